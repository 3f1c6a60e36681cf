"""What the platforms received on their sending endpoints, in order: the other side of a sender's own books.

A checker holds this against what the sender says. A message that was taken and whose answer was lost has
``accepted: true`` and ``status: 0``.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import structlog

#: Rows that are kept; then the oldest go. A row is about half a kilobyte.
MAX_ROWS: Final = 500_000
#: Rows that one answer carries at most.
MAX_PAGE: Final = 10_000

_log = structlog.get_logger("kurir.sandbox")


@dataclass(slots=True)
class Row:
    """One request. *at* is Unix seconds; *status* the HTTP status that was answered, 0 when none was.

    *early* is true when it came while a wait ran that an earlier answer had named; *wait* is the seconds that this
    answer named. *repeat* is true when LINE knew its retry *key*. *text* is the first text of the message.
    """

    n: int
    at: float
    channel: str
    address: str
    accepted: bool
    ids: tuple[str, ...]
    status: int
    fault: str
    early: bool
    wait: int
    key: str
    repeat: bool
    text: str
    reference: str


class Ledger:
    """The rows of one sandbox, in memory and, when a file is named, on the disk."""

    def __init__(self, path: Path | None = None) -> None:
        """Open *path* to append to it. Raises OSError when that cannot be."""
        self._rows: list[Row] = []
        self._count = 0
        self._file: TextIO | None = path.open("a", encoding="utf-8", buffering=1) if path else None

    def add(self, **facts: Any) -> Row:
        """Add the row of a request that was just decided on; its number is the next."""
        self._count += 1
        row = Row(n=self._count, **facts)
        if len(self._rows) < MAX_ROWS:
            self._rows.append(row)
        else:
            self._rows[(row.n - 1) % MAX_ROWS] = row
        return row

    def write(self, row: Row) -> None:
        """Append *row* to the file, if there is one, since nothing about it changes any more.

        A file that cannot be written to is given up with one warning: the phones go on.
        """
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
        except OSError as error:
            _log.warning("the ledger's file is given up", reason=error.strerror)
            self._file = None

    def after(self, number: int, limit: int) -> list[Row]:
        """Return the rows after *number*, at most *limit*, of those that are still kept."""
        first = max(number, self.dropped)
        last = min(first + limit, self._count)
        return [self._rows[index % MAX_ROWS] for index in range(first, last)]

    @property
    def dropped(self) -> int:
        """How many of the oldest rows are gone."""
        return max(0, self._count - MAX_ROWS)

    def clear(self) -> None:
        """Forget all rows and begin again at 1. The file stays as it is."""
        self._rows = []
        self._count = 0

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
