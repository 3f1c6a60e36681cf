"""Ranges of numbers, each one partition of several tables, so that retention drops tables and need not delete rows.

Numbers grow with time: a range of ``seq`` holds the contents and attempts of the messages of some days, a range of positions
the events of some days with their callbacks. A range is made before its first number is given, as wide as what comes in an
eighth of the retention, so that nine or so hold everything. Below a million numbers a range is not worth a table: then it
holds more, and its rows are deleted one by one (:mod:`kurir.store.postgres.retention`).

A number that no range covers goes to the partition ``rest``. Nothing depends on a range being there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

#: A range holds so many numbers at least.
SMALLEST: Final = 1_000_000
#: Ranges that should hold what is kept.
PER_RETENTION: Final = 8
#: A range is at most so many times as wide as the one before: a busy minute is no forecast.
GROWTH: Final = 8
#: Seconds that a change of the schema waits for those who use the tables: all others wait behind it. An automatic vacuum
#: gives way to somebody who has waited for a second (PostgreSQL's deadlock_timeout).
LOCK_SECONDS: Final = 1.5

MESSAGE: Final = "message"
EVENT: Final = "event"
#: Kind → its sequence, and the tables that have a partition for each range. A row that others are looked for by comes last.
TABLES: Final = {
    MESSAGE: ("message_seq_seq", ("attempt", "content")),
    EVENT: ("event_position", ("callback_attempt", "callback", "event")),
}

_RANGES: Final = """
SELECT kind, lower, upper, reached, made_at, lead(made_at) OVER (PARTITION BY kind ORDER BY lower) AS next_at,
    clock_timestamp() AS now
FROM key_range ORDER BY kind, lower
"""
_MADE: Final = """
INSERT INTO key_range (kind, lower, upper, reached, made_at) VALUES ($1, $2, $3, $4, clock_timestamp())
"""
_DROPPED: Final = "DELETE FROM key_range WHERE kind = $1 AND lower = $2"
_ANY_MESSAGE: Final = "SELECT EXISTS (SELECT 1 FROM message WHERE seq >= $1 AND seq < $2)"
_NEWEST_EVENT: Final = """
SELECT kept_at FROM event WHERE position >= $1 AND position < $2 ORDER BY position DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from *lower* up to below *upper*, and when (by the database) it was made and the next one was."""

    kind: str
    lower: int
    upper: int
    reached: int
    made_at: datetime
    next_at: datetime | None
    now: datetime

    def turns_over(self, retention: timedelta) -> bool:
        """Return whether it was filled so fast that it is dropped soon after its rows are too old."""
        return self.next_at is not None and self.next_at - self.made_at <= 2 * retention / PER_RETENTION

    def overdue(self, retention: timedelta) -> bool:
        """Return whether something that should have gone with it has kept it from being dropped."""
        ended = self.next_at or self.now
        return self.now - ended > retention + 3 * retention / PER_RETENTION


async def known(connection: Any) -> list[Range]:
    """Return all ranges, of each kind from the lowest."""
    return [Range(*row) for row in await connection.fetch(_RANGES)]


async def last_number(connection: Any, kind: str) -> int:
    """Return the last number that was given, 0 before the first."""
    last, called = await connection.fetchrow(f"SELECT last_value, is_called FROM {TABLES[kind][0]}")  # noqa: S608 -- a constant
    return int(last) if called else 0


async def make(connection: Any, retention: timedelta, smallest: int = SMALLEST) -> int:
    """Make the ranges that will be needed next; return how many were. To be called by one at a time.

    Raises asyncpg's LockNotAvailableError where the tables were in use for too long; then it can be called again.
    """
    made = 0
    found = await known(connection)
    for kind in TABLES:
        last = await last_number(connection, kind)
        newest = next((each for each in reversed(found) if each.kind == kind), None)
        if newest is None:
            lower, width = last + 1, smallest
        elif newest.upper - last > max(smallest // 2, (newest.upper - newest.lower) // 4):
            continue
        else:
            lower, width = newest.upper, _width(newest, last, retention, smallest)
        if (
            lower <= last
        ):  # numbers beyond the newest range were given: they are in the rest, and so may the next ones be
            lower = last + smallest
        async with connection.transaction():
            await _patience(connection)
            await _make_one(connection, kind, lower, lower + width, last)
        made += 1
    return made


def _width(newest: Range, last: int, retention: timedelta, smallest: int) -> int:
    """Return how many numbers an eighth of the retention takes, by what came since the newest range was made."""
    elapsed = max(newest.now - newest.made_at, timedelta(seconds=1))
    expected = int((last - newest.reached) * (retention / PER_RETENTION / elapsed))
    return min(max(smallest, expected), max(smallest, GROWTH * (newest.upper - newest.lower)))


async def cover(connection: Any, kind: str, last: int, width: int = SMALLEST) -> None:
    """Make ranges for the numbers 1 to *last*, in a database that has none yet: for what is copied into it."""
    for lower in range(1, last + 1, width):
        await _make_one(connection, kind, lower, lower + width, last)


async def _make_one(connection: Any, kind: str, lower: int, upper: int, last: int) -> None:
    for table in reversed(TABLES[kind][1]):
        # Attached, and not made as a partition: so those who write meanwhile need not wait.
        name = f"{table}_{lower}"
        await connection.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        await connection.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({lower}) TO ({upper})")
    await connection.execute(_MADE, kind, lower, upper, last)


async def drop(connection: Any, before: datetime) -> int:
    """Drop every range that holds nothing which is to be kept; return how many were.

    A range of messages goes when none of them is there any more. A range of events goes when its newest was kept before
    *before*. Raises asyncpg's LockNotAvailableError where the tables were in use for too long.
    """
    dropped = 0
    for each in await known(connection):
        if each.upper > await last_number(connection, each.kind) or not await _is_done(connection, each, before):
            continue
        async with connection.transaction():
            await _patience(connection)
            tables = TABLES[each.kind][1]
            # ONLY: the other ranges may be in use, by a vacuum for example.
            locked = ", ".join(f"ONLY {table}, ONLY {table}_{each.lower}" for table in tables)
            await connection.execute(f"LOCK TABLE {locked} IN ACCESS EXCLUSIVE MODE")
            if not await _is_done(connection, each, before):
                continue  # somebody had drawn a number long ago, and was only now done with it
            for table in tables:
                await connection.execute(f"DROP TABLE {table}_{each.lower}")
            await connection.execute(_DROPPED, each.kind, each.lower)
        dropped += 1
    return dropped


async def _is_done(connection: Any, each: Range, before: datetime) -> bool:
    if each.kind == MESSAGE:
        return not await connection.fetchval(_ANY_MESSAGE, each.lower, each.upper)
    newest = await connection.fetchval(_NEWEST_EVENT, each.lower, each.upper)
    return newest is None or int(newest) < int(before.timestamp() * 1_000_000)


async def _patience(connection: Any) -> None:
    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS:g}s'")


def left_to_drop(found: Sequence[Range], kind: str, retention: timedelta) -> list[Range]:
    """Return the ranges whose rows are left to their drop, from the lowest."""
    return [each for each in found if each.kind == kind and each.turns_over(retention) and not each.overdue(retention)]


def between(ranges: Sequence[Range]) -> list[tuple[int, int]]:
    """Return the numbers that none of *ranges*, from the lowest, has: as pairs of the first and the one after the last."""
    bounds = [0, *(bound for each in ranges for bound in (each.lower, each.upper)), 2**63 - 1]
    return [(lower, upper) for lower, upper in zip(bounds[::2], bounds[1::2], strict=True) if lower < upper]
