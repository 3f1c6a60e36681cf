"""What is held in memory of what is owed to one endpoint: a bounded window of it, by conversation. Pure.

A conversation's callbacks go one after the other, in the order of their commits; conversations go side by side. Only the
head of a conversation is ever started. A conversation that has its share in the window, or whose head waits, gives its
other rows back: they are in the store, and ``skipped`` remembers from where on to read them again.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from kurir.store.feed import CallbackRecord

#: Callbacks of one endpoint that are held at once, at most; and of one conversation.
HELD: Final = 200
OF_ONE: Final = 20


@dataclass(slots=True)
class Row:
    """A callback that is held. ``due`` is the monotonic moment from which on it may be called, None for at once."""

    record: CallbackRecord
    due: float | None = None
    flying: bool = False

    def is_due(self, now: float) -> bool:
        """Return whether it may be called at *now*."""
        return not self.flying and (self.due is None or self.due <= now)


@dataclass(slots=True)
class Window:
    """The rows that are held, by conversation, and what was read of the store so far.

    ``frontier`` is the position up to which rows were read. ``skipped`` maps a conversation to the position behind which
    rows of it were read and not taken.
    """

    lines: dict[str, deque[Row]] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    positions: set[int] = field(default_factory=set)
    frontier: int = 0

    def __len__(self) -> int:
        return len(self.positions)

    def offer(self, record: CallbackRecord, due: float | None = None) -> bool:
        """Take a row that was read, or remember that it was passed over: False. Rows of a conversation come by position."""
        if record.position in self.positions:
            return True
        name = record.conversation
        line = self.lines.get(name)
        if name in self.skipped or (line is not None and (len(line) >= OF_ONE or line[0].due is not None)):
            self.skipped.setdefault(name, record.position - 1)
            return False
        row = Row(record, due)
        if line is None:
            self.lines[name] = deque([row])
        else:
            line.append(row)
        self.positions.add(record.position)
        return True

    def heads(self, now: float) -> list[Row]:
        """Return the rows that may be started at *now*, by position."""
        found = [line[0] for line in self.lines.values() if line[0].is_due(now)]
        return sorted(found, key=lambda row: row.record.position)

    def next_due(self) -> float | None:
        """Return when the next head that waits is due."""
        waits = [line[0].due for line in self.lines.values() if line[0].due is not None and not line[0].flying]
        return min(waits, default=None)

    def done(self, row: Row) -> None:
        """Let go of a head that has ended."""
        line = self.lines.get(row.record.conversation)
        if line is None or line[0] is not row:
            return  # forgotten meanwhile
        line.popleft()
        self.positions.discard(row.record.position)
        if not line:
            del self.lines[row.record.conversation]

    def wait(self, row: Row, until: float | None) -> None:
        """Let a head wait until *until*, None for no time; the rows behind one that waits are given back."""
        row.flying = False
        row.due = until
        line = self.lines.get(row.record.conversation)
        if line is None or line[0] is not row or until is None:
            return
        while len(line) > 1:
            after = line.pop()
            self.positions.discard(after.record.position)
            self.skipped[row.record.conversation] = after.record.position - 1

    def to_read_again(self) -> str | None:
        """Return a conversation of which rows were passed over and none is held any more."""
        return next((name for name in self.skipped if name not in self.lines), None)

    def forget(self) -> None:
        """Give everything back but what is being called: it will be read again from the beginning."""
        self.lines = {name: deque([line[0]]) for name, line in self.lines.items() if line[0].flying}
        self.positions = {line[0].record.position for line in self.lines.values()}
        self.skipped = {}
        self.frontier = 0
