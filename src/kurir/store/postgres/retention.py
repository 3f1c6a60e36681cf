"""Deleting what is old, in PostgreSQL: messages row by row, what is large with its range (:mod:`kurir.store.postgres.ranges`).

A message's row is small, and its age counts from its last change: so it is deleted by itself, under its client's lock. With
it nobody finds its content, its attempts and its events any more. These are deleted at once where their range holds little,
and else when it is dropped. Nothing here keeps all clients waiting.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final, Protocol, TypeVar

from kurir.store.base import Purged
from kurir.store.database import Database, Operation
from kurir.store.operations import rows, upkeep
from kurir.store.postgres.ranges import EVENT, MESSAGE, Range, between, left_to_drop

T = TypeVar("T")

_OLD_MESSAGES: Final = """
SELECT client_id, seq FROM message WHERE ended_at IS NOT NULL AND ended_at < ? ORDER BY ended_at LIMIT ?
"""
_OLD_KEYS: Final = """
SELECT client_id, message_id, channel FROM idempotency WHERE ended_at IS NOT NULL AND ended_at < ? ORDER BY ended_at LIMIT ?
"""
_OLD_EVENTS: Final = """
SELECT client_id, position FROM event
WHERE seq IS NULL AND kept_at < ? AND position >= ? AND position < ? ORDER BY kept_at LIMIT ?
"""
#: In a range that something has kept: what its messages and events left behind.
_LEFT_EVENTS: Final = """
SELECT client_id, position FROM event
WHERE seq IS NOT NULL AND kept_at < ? AND position >= ? AND position < ?
  AND NOT EXISTS (SELECT 1 FROM message WHERE message.seq = event.seq) ORDER BY position LIMIT ?
"""
_LEFT_CONTENTS: Final = """
SELECT '', content.seq FROM content
WHERE content.seq >= ? AND content.seq < ? AND NOT EXISTS (SELECT 1 FROM message WHERE message.seq = content.seq)
ORDER BY content.seq LIMIT ?
"""
_DELETE_MESSAGES: Final = """
WITH gone AS (
    DELETE FROM message WHERE seq = ANY(?::bigint[]) AND ended_at < ?
    RETURNING seq, client_id, message_id, channel, status, ended_at
), outlived AS (
    UPDATE idempotency SET status = gone.status, ended_at = gone.ended_at FROM gone
    WHERE idempotency.client_id = gone.client_id AND idempotency.message_id = gone.message_id
      AND idempotency.channel = gone.channel
)
SELECT seq FROM gone
"""
_DELETE_CONTENTS: Final = (
    "DELETE FROM attempt WHERE seq = ANY(?::bigint[])",
    "DELETE FROM content WHERE seq = ANY(?::bigint[])",
)
#: Of a list, PostgreSQL does not see that it has no NULL, which the index wants.
_EVENTS_OF: Final = "SELECT position FROM event WHERE seq = ANY(?::bigint[]) AND seq IS NOT NULL"
_DELETE_EVENTS: Final = (
    """
    DELETE FROM callback_attempt WHERE (endpoint_id, position) IN (
        SELECT endpoint_id, position FROM callback WHERE position = ANY(?::bigint[]))
    """,
    "DELETE FROM callback WHERE position = ANY(?::bigint[])",
    "DELETE FROM event WHERE position = ANY(?::bigint[])",
)
_DELETE_KEYS: Final = """
DELETE FROM idempotency USING unnest(?::text[], ?::text[], ?::text[]) AS old (client_id, message_id, channel)
WHERE idempotency.client_id = old.client_id AND idempotency.message_id = old.message_id AND idempotency.channel = old.channel
  AND ended_at < ?
"""


class Write(Protocol):
    """Runs an operation in a transaction, under the lock of a client."""

    async def __call__(self, client_id: str, operation: Operation[T], /) -> T:
        """Return what *operation* returns."""
        ...


class Read(Protocol):
    """Runs an operation in a transaction that reads."""

    async def __call__(self, operation: Operation[T], /) -> T:
        """Return what *operation* returns."""
        ...


async def purge(
    write: Write, read: Read, found: Sequence[Range], when: tuple[datetime, datetime], limit: int
) -> Purged:
    """Delete row by row what ended before, by *when* (before, now), and is left to no range in *found*; *limit* of a kind."""
    before, now = when
    bound, retention = rows.micros(before), now - before
    contents, events = (left_to_drop(found, kind, retention) for kind in (MESSAGE, EVENT))
    own_events = between(events)
    more = False

    async def each_client(look: Operation[list[Any]], delete: Callable[[Database, list[Any]], int]) -> int:
        """Delete what *look* finds, client by client."""
        nonlocal more
        old = await read(look)
        more = more or len(old) == limit
        deleted = 0
        for client_id, group in groupby(sorted(old), key=lambda row: row[0]):
            mine = [row[1] if len(row) == 2 else row for row in group]
            deleted += await write(client_id, lambda db, mine=mine: delete(db, mine))  # type: ignore[misc]
        return deleted

    def with_their_rows(db: Database, seqs: list[int]) -> int:
        gone = [seq for (seq,) in db.execute(_DELETE_MESSAGES, (seqs, bound))]
        _delete(db, _DELETE_CONTENTS, _outside(gone, contents))
        # Not asked for by their positions too: PostgreSQL would then rather walk through a range than use the index.
        positions = [position for (position,) in db.execute(_EVENTS_OF, (gone,))]
        _delete(db, _DELETE_EVENTS, _outside(positions, events))
        return len(gone)

    def keys(db: Database, old: list[tuple[str, str, str]]) -> int:
        columns = (list(column) for column in zip(*old, strict=True))
        db.execute(_DELETE_KEYS, (*columns, rows.micros(before - upkeep.KEY_LIFE)))
        return db.changes()

    messages = await each_client(lambda db: db.execute(_OLD_MESSAGES, (bound, limit)).fetchall(), with_their_rows)
    expired = rows.micros(before - upkeep.KEY_LIFE)
    await each_client(lambda db: db.execute(_OLD_KEYS, (expired, limit)).fetchall(), keys)
    for numbers in own_events:
        values = (bound, *numbers, limit)
        await each_client(lambda db, values=values: db.execute(_OLD_EVENTS, values).fetchall(), _events)  # type: ignore[misc]
    for late in (each for each in found if each.overdue(retention)):
        numbers = (late.lower, late.upper)
        if late.kind == EVENT:
            values = (bound, *numbers, limit)
            await each_client(lambda db, values=values: db.execute(_LEFT_EVENTS, values).fetchall(), _events)  # type: ignore[misc]
        else:
            orphans = (*numbers, limit)
            await each_client(lambda db, orphans=orphans: db.execute(_LEFT_CONTENTS, orphans).fetchall(), _contents)  # type: ignore[misc]
    small = await write(" upkeep", lambda db: upkeep.purge_small(db, before, limit, now))
    return Purged(messages, more or small)


def _events(db: Database, positions: list[int]) -> int:
    return _delete(db, _DELETE_EVENTS, positions)


def _contents(db: Database, seqs: list[int]) -> int:
    return _delete(db, _DELETE_CONTENTS, seqs)


def _outside(numbers: list[int], ranges: Sequence[Range]) -> list[int]:
    return [number for number in numbers if not any(each.lower <= number < each.upper for each in ranges)]


def _delete(db: Database, statements: Sequence[str], numbers: list[int]) -> int:
    if numbers:
        for statement in statements:
            db.execute(statement, (numbers,))
    return len(numbers)
