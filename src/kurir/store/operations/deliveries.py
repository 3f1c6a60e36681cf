"""How an endpoint has done lately, and how much a replay would owe it again: for those who look, nothing is changed.

The functions run inside a transaction of a reader.
"""

from typing import Final

from kurir.store.database import Database
from kurir.store.feed import Replay
from kurir.store.looking import HowMany, LatelyTried
from kurir.store.operations import rows
from kurir.store.operations.events import wants

#: Events that a count looks at, at most, and in one statement.
BUDGET: Final = 200_000
WINDOW: Final = 5_000

_LATELY: Final = """
SELECT at, status, error, duration_ms FROM callback_attempt WHERE endpoint_id = ? ORDER BY position DESC, id DESC LIMIT ?
"""
_CLIENT_OF: Final = "SELECT client_id FROM endpoint WHERE id = ?"
_FAILED_FLOOR: Final = """
SELECT min(position), count(*) FROM (SELECT position FROM callback INDEXED BY callback_failed
    WHERE endpoint_id = ? AND state = 'failed' AND position < ? ORDER BY position DESC LIMIT ?) AS step
"""
_EVENTS_FLOOR: Final = """
SELECT min(position), count(*) FROM (SELECT position FROM event
    WHERE client_id = ? AND status IS DISTINCT FROM 0 AND position < ? ORDER BY position DESC LIMIT ?) AS step
"""
_FAILED: Final = """
SELECT count(*) FROM callback INDEXED BY callback_failed CROSS JOIN event
WHERE callback.endpoint_id = ? AND callback.state = 'failed' AND callback.position >= ? AND callback.position < ?
  AND event.position = callback.position AND event.at >= ? AND event.at < ?
"""
_EVENTS: Final = f"""
SELECT count(*) FROM endpoint CROSS JOIN event
WHERE endpoint.id = ? AND event.client_id = endpoint.client_id AND event.position >= ? AND event.position < ?
  AND event.status IS DISTINCT FROM 0 AND event.at >= ? AND event.at < ? AND {wants("event.kind")}
  AND NOT EXISTS (SELECT 1 FROM callback WHERE callback.endpoint_id = endpoint.id
      AND callback.position = event.position AND callback.state = 'pending')
"""  # noqa: S608 -- constants


def lately(db: Database, endpoint_id: str, limit: int) -> list[LatelyTried]:
    """Return the tries of the endpoint's newest events, newest first."""
    return [LatelyTried(rows.moment(row[0]), *row[1:]) for row in db.execute(_LATELY, (endpoint_id, limit))]


def replayable(db: Database, endpoint_id: str, wanted: Replay) -> HowMany:
    """Return how many callbacks a replay of a range would owe again, from the newest event back."""
    client = db.execute(_CLIENT_OF, (endpoint_id,)).fetchone()
    if client is None:
        return HowMany(0, complete=True)
    since = -rows.FOREVER if wanted.since is None else rows.micros(wanted.since)
    until = rows.FOREVER if wanted.until is None else rows.micros(wanted.until)
    floor, count = (_FAILED_FLOOR, _FAILED) if wanted.failed_only else (_EVENTS_FLOOR, _EVENTS)
    whose = endpoint_id if wanted.failed_only else client[0]
    before, many = rows.FOREVER, 0
    for _ in range(BUDGET // WINDOW):
        lowest, found = db.execute(floor, (whose, before, WINDOW)).fetchone() or (None, 0)
        if lowest is None:
            return HowMany(many, complete=True)
        counted = db.execute(count, (endpoint_id, lowest, before, since, until)).fetchone()
        many += 0 if counted is None else counted[0]
        if found < WINDOW:
            return HowMany(many, complete=True)
        before = lowest
    return HowMany(many, complete=False)
