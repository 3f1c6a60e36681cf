"""The errors that there are, and how often each happened lately: to messages, and to requests. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kurir.domain.errors import ERRORS, ErrorEntry
from kurir.store.access import RequestGroup
from kurir.store.looking import ErrorTally

#: How far back it is counted, as the search over messages writes it too.
LATELY: Final = timedelta(days=7)
LATELY_NAME: Final = "7d"


@dataclass(frozen=True, slots=True)
class Counted:
    """An error with how often it happened lately. ``tid`` is a message that failed with it, "" where none did."""

    entry: ErrorEntry
    messages: int = 0
    requests: int = 0
    last_at: datetime | None = None
    tid: str = ""

    @property
    def times(self) -> int:
        """How often it happened."""
        return self.messages + self.requests


def counted(messages: Sequence[ErrorTally], requests: Sequence[RequestGroup]) -> list[Counted]:
    """Return every error, those that happened most often first, then in the order of the registry."""
    of_messages: dict[str, ErrorTally] = {}
    found: dict[str, int] = {}
    times: dict[str, int] = {}
    last: dict[str, datetime] = {}
    for tally in messages:
        known = of_messages.get(tally.code)
        if known is None or tally.last_at > known.last_at:
            of_messages[tally.code] = tally
        found[tally.code] = found.get(tally.code, 0) + tally.times
        last[tally.code] = max(last.get(tally.code, tally.last_at), tally.last_at)
    for group in requests:
        times[group.code] = times.get(group.code, 0) + group.count
        last[group.code] = max(last.get(group.code, group.last_at), group.last_at)
    all_of_them = [
        Counted(
            entry=entry,
            messages=found.get(code, 0),
            requests=times.get(code, 0),
            last_at=last.get(code),
            tid=of_messages[code].tid if code in of_messages else "",
        )
        for code, entry in ERRORS.items()
    ]
    return sorted(all_of_them, key=lambda one: -one.times)


def platform_codes(known: Mapping[str, Sequence[str]], code: str) -> list[tuple[str, str]]:
    """Return the platforms' own codes that become *code*: (channel, the platform's code)."""
    return [(channel, own) for channel, _, own in (one.partition(" ") for one in known.get(code, ()))]
