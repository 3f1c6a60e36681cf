"""A message's whole story: what was asked for, each change of its status, and whom that was told to, try by try.

The functions run inside a transaction of a reader.
"""

from collections.abc import Sequence
from typing import Final

from kurir.store.base import StatusEvent
from kurir.store.database import Database
from kurir.store.feed import CallbackAttempt, CallbackRecord, Owed
from kurir.store.looking import Step, Story, ToldTo
from kurir.store.operations import reading, rows

_CLIENT: Final = "SELECT client_id, seq FROM message WHERE tid = ?"
_BODY: Final = "SELECT body FROM content WHERE seq = ?"
_STEPS: Final = (
    "SELECT position, kept_at, provider_message_id, kind, conversation FROM event WHERE seq = ? ORDER BY position"
)
_TOLD: Final = """
SELECT callback.endpoint_id, callback.state, callback.tries, callback.next_at, callback.ended_at, endpoint.url
FROM callback JOIN endpoint ON endpoint.id = callback.endpoint_id
WHERE callback.position = ? ORDER BY endpoint.position, endpoint.id
"""
_TRIES: Final = """
SELECT endpoint_id, position, at, duration_ms, status, headers, body, error FROM callback_attempt
WHERE endpoint_id = ? AND position = ? ORDER BY id
"""


def story(db: Database, client_ids: Sequence[str] | None, tid: str) -> Story | None:
    """Return a message with all that is known of it."""
    whose = db.execute(_CLIENT, (tid,)).fetchone()
    if whose is None or (client_ids is not None and whose[0] not in client_ids):
        return None
    client_id, seq = whose
    message = reading.message(db, client_id, tid)
    if message is None:
        return None
    said = db.execute(_BODY, (seq,)).fetchone()
    events = {event.position: event for event in message.history}
    steps = [_step(db, events[row[0]], row) for row in db.execute(_STEPS, (seq,)).fetchall()]
    return Story(message, b"{}" if said is None else said[0], tuple(steps))


def _step(db: Database, event: StatusEvent, row: rows.Row) -> Step:
    _, kept_at, provider_message_id, kind, conversation = row
    told = []
    for endpoint_id, state, tries, next_at, ended_at, url in db.execute(_TOLD, (event.position,)).fetchall():
        callback = CallbackRecord(
            endpoint_id,
            event.position,
            kind,
            conversation,
            Owed(state),
            tries,
            rows.moment_or_none(next_at),
            rows.moment_or_none(ended_at),
        )
        attempts = tuple(
            CallbackAttempt(each[0], each[1], rows.moment(each[2]), *each[3:])
            for each in db.execute(_TRIES, (endpoint_id, event.position))
        )
        told.append(ToldTo(callback, url, attempts))
    return Step(event, rows.moment(kept_at), provider_message_id, tuple(told))
