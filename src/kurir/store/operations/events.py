"""Adding an event, and owing its callbacks: the one place that writes to the feed.

An event is numbered by the writer's transaction, and what is owed for it is owed in that same transaction: so nothing is
owed that did not happen, and nothing happens unowed. A paused endpoint is owed too, so that it misses nothing; a disabled
one is not. A return to the status 0 is a message's history only: no feed has it, and nobody is called for it. The
functions run inside a transaction of the writer.
"""

from dataclasses import dataclass
from typing import Final

from kurir.domain.status import Status
from kurir.quick import quick
from kurir.store.database import Database
from kurir.store.feed import COMPAT_KINDS, STATUS_KIND


def wants(kind: str) -> str:
    """Return the condition that an endpoint wants a kind of event; *kind* is a piece of SQL."""
    return f"""(EXISTS (SELECT 1 FROM json_each(endpoint.events) AS wanted WHERE wanted.value IN ('*', {kind}))
    AND (endpoint.dialect <> 'compat' OR {kind} IN {COMPAT_KINDS!r}))"""  # noqa: S608 -- pieces of our own


_ADD_CHANGE: Final = """
INSERT INTO event (client_id, kind, account_id, channel, conversation, at, kept_at, seq, status, previous,
                   provider_message_id, error_code, error_detail, error_provider)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, coalesce(
    (SELECT platform_ids ->> 0 FROM part WHERE seq = ? AND platform_ids <> '[]' ORDER BY number DESC LIMIT 1), ''), ?, ?, ?)
RETURNING position
"""
_ADD_PLAIN: Final = """
INSERT INTO event (client_id, kind, account_id, channel, conversation, at, kept_at, seq, status, previous, provider_message_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ADD: Final = """
INSERT INTO event (client_id, kind, account_id, channel, conversation, at, kept_at, data, media)
VALUES (?, ?, ?, coalesce((SELECT channel FROM account WHERE id = ?), ''), ?, ?, ?, ?, ?)
RETURNING position
"""
_OWE: Final = f"""
INSERT INTO callback (endpoint_id, position)
SELECT id, ?1 FROM endpoint WHERE client_id = ?2 AND enabled = 1 AND {wants("?3")}
"""  # noqa: S608 -- constants
_LAST: Final = "SELECT coalesce(max(position), 0) FROM event"
_GROWN: Final = "SELECT client_id FROM event WHERE position > ? AND +status IS DISTINCT FROM 0"


@quick
@dataclass(frozen=True, slots=True)
class Change:
    """A change of a message's status, as its event keeps it. ``at`` in microseconds."""

    client_id: str
    account_id: str
    channel: str
    conversation: str
    seq: int
    status: Status
    previous: Status
    at: int
    error: tuple[str | None, str | None, str | None] = (None, None, None)


@dataclass(frozen=True, slots=True)
class News:
    """An event of any other kind, as :class:`kurir.store.inbound.NewEvent` has it. ``at`` in microseconds."""

    client_id: str
    account_id: str
    kind: str
    conversation: str
    at: int
    data: bytes
    media: bytes | None = None


def add(db: Database, event: Change | News, now: int) -> None:
    """Add *event* at the end of its client's feed, and owe it to every enabled endpoint that wants it."""
    if isinstance(event, Change):
        kind = STATUS_KIND
        [(position,)] = db.execute(
            _ADD_CHANGE,
            (
                event.client_id,
                kind,
                event.account_id,
                event.channel,
                event.conversation,
                event.at,
                now,
                event.seq,
                int(event.status),
                int(event.previous),
                event.seq,
                *event.error,
            ),
        )
        if event.status == Status.PENDING:
            return
    else:
        kind = event.kind
        [(position,)] = db.execute(
            _ADD,
            (
                event.client_id,
                kind,
                event.account_id,
                event.account_id,
                event.conversation,
                event.at,
                now,
                event.data,
                event.media,
            ),
        )
    db.execute(_OWE, (position, event.client_id, kind))


def add_plain(db: Database, change: Change, now: int, platform_id: str, *, owed: bool) -> None:
    """Add *change*, which is no failure, of a message that the platform calls by *platform_id*; *owed*: to somebody."""
    values = (
        change.client_id,
        STATUS_KIND,
        change.account_id,
        change.channel,
        change.conversation,
        change.at,
        now,
        change.seq,
        int(change.status),
        int(change.previous),
        platform_id,
    )
    if not owed:
        db.execute(_ADD_PLAIN, values)
        return
    [(position,)] = db.execute(_ADD_PLAIN + "RETURNING position", values)
    db.execute(_OWE, (position, change.client_id, STATUS_KIND))


def last(db: Database) -> int:
    """Return the newest position of all."""
    row = db.execute(_LAST).fetchone()
    return 0 if row is None else int(row[0])


def grown(db: Database, after: int) -> tuple[str, ...]:
    """Return the clients whose feeds have events above the position *after*."""
    return tuple(sorted({client_id for (client_id,) in db.execute(_GROWN, (after,))}))
