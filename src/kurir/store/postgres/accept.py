"""Accepting many messages of one client with two statements: their keys and rows go in as arrays.

One by one, each would cost two round trips to the server. What it does for each message is what
:mod:`kurir.store.operations.accept` does.
"""

from collections.abc import Sequence
from typing import Final

from kurir.domain.status import Status
from kurir.store.base import Accepted, Conflict, NewMessage
from kurir.store.database import Database
from kurir.store.operations import rows
from kurir.store.operations.accept import columns

#: The key decides: who takes it first has the message, within the batch too. The rows keep the order of the batch.
_ACCEPT: Final = """
WITH wanted AS (
    SELECT * FROM unnest(
        ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::bigint[],
        ?::bigint[], ?::bigint[], ?::text[], ?::bytea[], ?::bytea[], ?::bigint[]
    ) WITH ORDINALITY AS row (tid, client_id, channel, account_id, message_id, recipient, lane, type, priority, accepted_at,
        due_at, expires_at, losses, body, fingerprint, version, place)
), taken AS (
    INSERT INTO idempotency (client_id, message_id, channel, tid, fingerprint, version)
    SELECT client_id, message_id, channel, tid, fingerprint, version FROM wanted ORDER BY place
    ON CONFLICT DO NOTHING RETURNING tid
), written AS (
    INSERT INTO message (tid, client_id, channel, account_id, message_id, recipient, lane, type, priority, accepted_at, due_at,
        expires_at, life, losses)
    SELECT tid, client_id, channel, account_id, message_id, recipient, lane, type, priority, accepted_at, due_at, expires_at,
        expires_at - due_at, losses
    FROM wanted JOIN taken USING (tid) ORDER BY place
    RETURNING seq, tid
), said AS (
    INSERT INTO content (seq, body) SELECT seq, body FROM written JOIN wanted USING (tid)
)
SELECT tid FROM written
"""
_FIND: Final = """
SELECT place, idempotency.tid, idempotency.fingerprint, version, coalesce(message.status, idempotency.status, 0)
FROM unnest(?::text[], ?::text[], ?::text[]) WITH ORDINALITY AS wanted (client_id, message_id, channel, place)
JOIN idempotency ON idempotency.client_id = wanted.client_id AND idempotency.message_id = wanted.message_id
    AND idempotency.channel = wanted.channel
LEFT JOIN message ON message.tid = idempotency.tid
"""


def accept(db: Database, messages: Sequence[NewMessage]) -> list[Accepted | Conflict]:
    """Accept *messages*, in their order. Returns an answer for each."""
    columns = zip(*(_row(message) for message in messages), strict=True)
    new = {tid for (tid,) in db.execute(_ACCEPT, tuple(map(list, columns)))}
    answers: list[Accepted | Conflict] = [Accepted(message.tid, Status.PENDING, replayed=False) for message in messages]
    known = [place for place, message in enumerate(messages) if message.tid not in new]
    if known:
        keys = [(messages[place].client_id, messages[place].message_id, messages[place].channel) for place in known]
        found = db.execute(_FIND, tuple(map(list, zip(*keys, strict=True)))).fetchall()
        if len(found) != len(known):
            raise AssertionError("a key that could not be taken is not there")
        for number, tid, fingerprint, version, status in found:
            place = known[number - 1]
            message = messages[place]
            same = (fingerprint, version) == (message.fingerprint, message.fingerprint_version)
            answers[place] = Accepted(tid, Status(status), replayed=True) if same else Conflict(tid)
    return answers


def _row(message: NewMessage) -> tuple[object, ...]:
    return (
        *columns(message),
        rows.losses_column(message.losses),
        message.body,
        message.fingerprint,
        message.fingerprint_version,
    )
