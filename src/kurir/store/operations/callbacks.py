"""Endpoints and the callbacks that are owed to them: what is pending, what came of a try, what is to be told again.

A callback's row is its own job. It is written with its event (:mod:`kurir.store.operations.events`); here it is read, moved on
and owed again. What may concern a million rows is done in steps, each a transaction of its own, so that the writer is
never held up. The functions run inside a transaction of the writer, the reading ones of a reader.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from kurir.store.base import EndpointRecord
from kurir.store.database import Database
from kurir.store.feed import (
    CallbackAttempt,
    CallbackRecord,
    Called,
    Endpoint,
    EventRecord,
    Ladder,
    Owed,
    Replay,
    endpoint_id_of,
)
from kurir.store.operations import feed, rows
from kurir.store.operations.events import wants

# Without statistics SQLite would walk through all callbacks of an endpoint by its key: so the index is named where only
# those of one state are asked for, which are few.

#: Callbacks that one transaction deletes or owes again, at most.
STEP: Final = 2_000
#: Of a callback's attempts the first and the last ones are kept, so many of each.
FIRST_ATTEMPTS: Final = 10
LAST_ATTEMPTS: Final = 40
#: Of an endpoint's answer so much is kept, in bytes.
BODY_BYTES: Final = 16_384

_ENDPOINT: Final = """
SELECT client_id, url, dialect, events, sealed, enabled, id, failures, failing_since, next_at, paused_at, paused_reason,
       last_error
FROM endpoint
"""
_ALL: Final = _ENDPOINT + "ORDER BY client_id, position, url"
_ONE: Final = _ENDPOINT + "WHERE id = ?"
_PENDING: Final = """
SELECT count(*), min(position) FROM callback INDEXED BY callback_pending WHERE endpoint_id = ? AND state = 'pending'
"""
_FAILED: Final = "SELECT count(*) FROM callback INDEXED BY callback_failed WHERE endpoint_id = ? AND state = 'failed'"
_KEPT_AT: Final = "SELECT kept_at FROM event WHERE position = ?"
#: As the console or the API asks for it. What a configuration file names it declares again at the next start.
_PUT: Final = """
INSERT INTO endpoint (id, client_id, url, position, dialect, events, sealed, enabled, declared, created_at, changed_at)
VALUES (?1, ?2, ?3, (SELECT coalesce(max(position), -1) + 1 FROM endpoint WHERE client_id = ?2), ?4, ?5, ?6, ?7, 0, ?8, ?8)
ON CONFLICT (client_id, url) DO UPDATE SET dialect = excluded.dialect, events = excluded.events,
    sealed = excluded.sealed, enabled = excluded.enabled, changed_at = excluded.changed_at
"""
_SEALED: Final = "SELECT sealed FROM endpoint WHERE id = ?"
_SET_LADDER: Final = """
UPDATE endpoint SET failures = ?, failing_since = ?, next_at = ?, paused_at = ?, paused_reason = ?, last_error = ?
WHERE id = ?
"""
_DISABLE: Final = "UPDATE endpoint SET enabled = 0 WHERE id = ?"
_NEXT_OWED: Final = """
SELECT max(position), count(*) FROM (
    SELECT position FROM callback WHERE endpoint_id = ? ORDER BY position LIMIT ?) AS step
"""
_FORGIVE: Final = (
    "DELETE FROM callback_attempt WHERE endpoint_id = ? AND position <= ?",
    "DELETE FROM callback WHERE endpoint_id = ? AND position <= ?",
)
_DELETE: Final = "DELETE FROM endpoint WHERE id = ?"

_CALLBACK: Final = (
    "callback.endpoint_id, callback.position, callback.state, callback.tries, callback.next_at, callback.ended_at"
)
_OWED: Final = f"""
SELECT {feed.COLUMNS}, {_CALLBACK}
FROM callback INDEXED BY callback_pending CROSS JOIN {feed.JOINED}
WHERE callback.endpoint_id = ? AND callback.state = 'pending' AND callback.position > ?
  AND event.position = callback.position AND {feed.WHOLE}
ORDER BY callback.position LIMIT ?
"""  # noqa: S608 -- constants
_LIST: Final = """
SELECT {columns}, event.kind, event.conversation FROM callback {index} CROSS JOIN event
WHERE callback.endpoint_id = ? AND event.position = callback.position AND callback.position < ? {state}
ORDER BY callback.position DESC LIMIT ?
"""


def _list(index: str = "", state: str = "") -> str:
    """Return the statement that lists callbacks, newest first: all, or those that an index and a condition name."""
    return _LIST.format(columns=_CALLBACK, index=index, state=state)


_LIST_ALL: Final = _list()
_LIST_OF: Final = {
    Owed.PENDING: _list("INDEXED BY callback_pending", "AND callback.state = 'pending'"),
    Owed.FAILED: _list("INDEXED BY callback_failed", "AND callback.state = 'failed'"),
    Owed.DELIVERED: _list(state="AND callback.state = 'delivered'"),  # nearly all are
}

_ATTEMPTS: Final = """
SELECT endpoint_id, position, at, duration_ms, status, headers, body, error
FROM callback_attempt WHERE endpoint_id = ? AND position = ? ORDER BY id
"""
_MOVE: Final = """
UPDATE callback SET state = ?1, next_at = ?2, ended_at = ?3, tries = tries + 1
WHERE endpoint_id = ?4 AND position = ?5 AND (state = 'pending' OR ?1 = 'delivered')
"""
_IS_THERE: Final = "SELECT 1 FROM callback WHERE endpoint_id = ? AND position = ?"
_KEEP: Final = """
INSERT INTO callback_attempt (endpoint_id, position, at, duration_ms, status, headers, body, error)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_THIN_OUT: Final = """
DELETE FROM callback_attempt WHERE endpoint_id = ?1 AND position = ?2 AND id = (
    SELECT id FROM callback_attempt WHERE endpoint_id = ?1 AND position = ?2 ORDER BY id LIMIT 1 OFFSET ?3)
AND (SELECT count(*) FROM callback_attempt WHERE endpoint_id = ?1 AND position = ?2) > ?3 + ?4
"""

_CLIENT_OF: Final = "SELECT client_id FROM endpoint WHERE id = ?"
_NEXT_EVENTS: Final = """
SELECT max(position), count(*) FROM (SELECT position FROM event
    WHERE client_id = ? AND status IS DISTINCT FROM 0 AND position > ? AND position <= ? ORDER BY position LIMIT ?) AS step
"""
_NEXT_FAILED: Final = """
SELECT max(position), count(*) FROM (SELECT position FROM callback INDEXED BY callback_failed
    WHERE endpoint_id = ? AND state = 'failed' AND position > ? AND position <= ? ORDER BY position LIMIT ?) AS step
"""
_OWE_AGAIN: Final = f"""
INSERT INTO callback (endpoint_id, position)
SELECT endpoint.id, event.position FROM endpoint CROSS JOIN event
WHERE endpoint.id = ? AND event.client_id = endpoint.client_id AND event.position > ? AND event.position <= ?
  AND event.status IS DISTINCT FROM 0 AND event.at >= ? AND event.at < ? AND {wants("event.kind")}
ON CONFLICT (endpoint_id, position) DO UPDATE SET state = 'pending', tries = 0, next_at = NULL, ended_at = NULL
    WHERE callback.state <> 'pending'
"""  # noqa: S608 -- constants
_FAILED_AGAIN: Final = """
UPDATE callback INDEXED BY callback_failed SET state = 'pending', tries = 0, next_at = NULL, ended_at = NULL
WHERE endpoint_id = ? AND state = 'failed' AND position > ? AND position <= ?
  AND (SELECT at >= ? AND at < ? FROM event WHERE event.position = callback.position)
"""


# --- endpoints ------------------------------------------------------------------------------------------------------


def all_endpoints(db: Database) -> list[Endpoint]:
    """Return every endpoint, without counts."""
    return [_endpoint(row) for row in db.execute(_ALL)]


def endpoint(db: Database, endpoint_id: str) -> Endpoint | None:
    """Return an endpoint with what is owed to it."""
    row = db.execute(_ONE, (endpoint_id,)).fetchone()
    if row is None:
        return None
    pending, oldest = db.execute(_PENDING, (endpoint_id,)).fetchone() or (0, None)
    failed = db.execute(_FAILED, (endpoint_id,)).fetchone() or (0,)
    kept_at = None if oldest is None else db.execute(_KEPT_AT, (oldest,)).fetchone()
    since = None if kept_at is None else rows.moment(kept_at[0])
    return _endpoint(row, pending, failed[0], since)


def put_endpoint(db: Database, record: EndpointRecord, at: datetime, was: bytes | None) -> Endpoint | None:
    """Create or change an endpoint, and return it with what is owed to it; None where *was* is not what is sealed there."""
    endpoint_id = endpoint_id_of(record.client_id, record.url)
    sealed = db.execute(_SEALED, (endpoint_id,)).fetchone()
    if was is not None and (b"" if sealed is None else sealed[0]) != was:
        return None
    events = rows.words_column(record.events)
    how = (record.dialect, events, record.sealed, record.enabled, rows.micros(at))
    db.execute(_PUT, (endpoint_id, record.client_id, record.url, *how))
    stored = endpoint(db, endpoint_id)
    if stored is None:
        raise AssertionError("an endpoint that was just put is not there")
    return stored


def delete_endpoint(db: Database, endpoint_id: str) -> bool | None:
    """Delete an endpoint, or the next callbacks of one to which much is owed. True: done, None: go on, False: none there."""
    db.execute(_DISABLE, (endpoint_id,))
    if db.changes() == 0:
        return False
    reach, found = db.execute(_NEXT_OWED, (endpoint_id, STEP)).fetchone() or (None, 0)
    if reach is not None:
        for statement in _FORGIVE:
            db.execute(statement, (endpoint_id, reach))
    if found == STEP:
        return None
    db.execute(_DELETE, (endpoint_id,))
    return True


def set_ladder(db: Database, endpoint_id: str, ladder: Ladder, was: Ladder | None) -> Ladder | None:
    """Keep where an endpoint stands, if it still stands at *was*; return where it stands then."""
    row = db.execute(_ONE, (endpoint_id,)).fetchone()
    if row is None:
        return None
    stored = _endpoint(row).ladder
    if was is not None and stored != was:
        return stored
    times = (ladder.failing_since, ladder.next_at, ladder.paused_at)
    values = (ladder.failures, *map(rows.micros_or_none, times), ladder.paused_reason, ladder.last_error)
    db.execute(_SET_LADDER, (*values, endpoint_id))
    return ladder


def _endpoint(row: rows.Row, pending: int = 0, failed: int = 0, oldest_at: datetime | None = None) -> Endpoint:
    since, next_at, paused_at = map(rows.moment_or_none, row[8:11])
    ladder = Ladder(row[7], since, next_at, paused_at, row[11], row[12])
    return Endpoint(row[6], rows.endpoint(row), ladder, pending, failed, oldest_at)


# --- callbacks ------------------------------------------------------------------------------------------------------


def owed(db: Database, endpoint_id: str, after: int, limit: int) -> list[CallbackRecord]:
    """Return pending callbacks above a position, with their events."""
    found = []
    for row in list(db.execute(_OWED, (endpoint_id, after, limit))):
        event = feed.read(db, row)
        found.append(_callback(row[-6:], event.kind, event.conversation, event))
    return found


def callbacks(
    db: Database, endpoint_id: str, state: Owed | None, before: int | None, limit: int
) -> list[CallbackRecord]:
    """Return callbacks below a position, newest first."""
    statement = _LIST_ALL if state is None else _LIST_OF[state]
    bound = rows.FOREVER if before is None else before
    return [_callback(row, row[6], row[7]) for row in db.execute(statement, (endpoint_id, bound, limit))]


def attempts(db: Database, endpoint_id: str, position: int) -> list[CallbackAttempt]:
    """Return the tries of a callback."""
    return [
        CallbackAttempt(row[0], row[1], rows.moment(row[2]), *row[3:])
        for row in db.execute(_ATTEMPTS, (endpoint_id, position))
    ]


def called(db: Database, results: Sequence[Called]) -> None:
    """Keep attempts and what follows from them."""
    for result in results:
        attempt = result.attempt
        key = (attempt.endpoint_id, attempt.position)
        at, pending = rows.micros(attempt.at), result.state is Owed.PENDING
        next_at, ended_at = (rows.micros_or_none(result.next_at), None) if pending else (None, at)
        db.execute(_MOVE, (result.state.value, next_at, ended_at, *key))
        if db.changes() == 0 and db.execute(_IS_THERE, key).fetchone() is None:
            continue  # the endpoint was deleted meanwhile, or retention was faster
        body = attempt.body[:BODY_BYTES]
        db.execute(_KEEP, (*key, at, attempt.duration_ms, attempt.status, attempt.headers, body, attempt.error))
        db.execute(_THIN_OUT, (*key, FIRST_ATTEMPTS, LAST_ATTEMPTS))


def _callback(row: rows.Row, kind: str, conversation: str, event: EventRecord | None = None) -> CallbackRecord:
    return CallbackRecord(
        endpoint_id=row[0],
        position=row[1],
        kind=kind,
        conversation=conversation,
        state=Owed(row[2]),
        tries=row[3],
        next_at=rows.moment_or_none(row[4]),
        ended_at=rows.moment_or_none(row[5]),
        event=event,
    )


# --- replays --------------------------------------------------------------------------------------------------------


def newest(db: Database, endpoint_id: str) -> int:
    """Return the position of the newest event of the endpoint's client: a replay of now ends there."""
    client = db.execute(_CLIENT_OF, (endpoint_id,)).fetchone()
    return 0 if client is None else feed.last_position(db, client[0])


def replay(db: Database, endpoint_id: str, wanted: Replay, after: int, up_to: int) -> tuple[int, int | None]:
    """Owe again what lies above *after* and not above *up_to*, the next step of it.

    Returns how many, and the position to go on after, None at the end. Positions that are named are done by their order.
    """
    client = db.execute(_CLIENT_OF, (endpoint_id,)).fetchone()
    if client is None:
        return 0, None
    again = _FAILED_AGAIN if wanted.failed_only else _OWE_AGAIN
    since = -rows.FOREVER if wanted.since is None else rows.micros(wanted.since)
    until = rows.FOREVER if wanted.until is None else rows.micros(wanted.until)
    if wanted.positions:
        owed_again = 0
        ahead = sorted({position for position in wanted.positions if after < position <= up_to})
        for position in ahead[:STEP]:
            db.execute(again, (endpoint_id, position - 1, position, since, until))
            owed_again += db.changes()
        return owed_again, ahead[STEP - 1] if len(ahead) > STEP else None
    whose, statement = (endpoint_id, _NEXT_FAILED) if wanted.failed_only else (client[0], _NEXT_EVENTS)
    reach, found = db.execute(statement, (whose, after, up_to, STEP)).fetchone() or (None, 0)
    if reach is None:
        return 0, None
    db.execute(again, (endpoint_id, after, reach, since, until))
    return db.changes(), reach if found == STEP else None
