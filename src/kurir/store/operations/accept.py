"""Accepting a message: its idempotency key and its row, in one transaction.

The functions here run inside a transaction of the writer.
"""

from typing import Final

from kurir.domain.status import Status
from kurir.store.base import Accepted, Conflict, NewMessage
from kurir.store.database import Database
from kurir.store.operations import rows

_TAKE_KEY: Final = """
INSERT INTO idempotency (client_id, message_id, channel, tid, fingerprint, version) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
_FIND_KEY: Final = """
SELECT idempotency.tid, fingerprint, version, coalesce(message.status, idempotency.status, 0)
FROM idempotency LEFT JOIN message ON message.tid = idempotency.tid
WHERE idempotency.client_id = ? AND idempotency.message_id = ? AND idempotency.channel = ?
"""
_KEY_KNOWN: Final = "SELECT 1 FROM idempotency WHERE client_id = ? AND message_id = ? AND channel = ?"
_INSERT: Final = """
INSERT INTO message (tid, client_id, channel, account_id, message_id, recipient, lane, type, priority, accepted_at,
                     due_at, expires_at, life, losses)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SAY: Final = "INSERT INTO content (seq, body) VALUES (last_insert_rowid(), ?)"


def key_known(db: Database, client_id: str, channel: str, message_id: str) -> bool:
    """Return whether the key is taken."""
    return db.execute(_KEY_KNOWN, (client_id, message_id, channel)).fetchone() is not None


def accept(db: Database, message: NewMessage) -> Accepted | Conflict:
    """Write *message*, or find the one that has its key already.

    The key is taken before anything is looked up: the unique constraint, not a look before the insert, decides a race.
    """
    db.execute(
        _TAKE_KEY,
        (
            message.client_id,
            message.message_id,
            message.channel,
            message.tid,
            message.fingerprint,
            message.fingerprint_version,
        ),
    )
    if db.changes() == 0:
        return _known(db, message)
    db.execute(
        _INSERT,
        (
            *columns(message),
            rows.micros(message.expires_at) - rows.micros(message.due_at),
            rows.losses_column(message.losses),
        ),
    )
    db.execute(_SAY, (message.body,))
    return Accepted(message.tid, Status.PENDING, replayed=False)


def columns(message: NewMessage) -> tuple[object, ...]:
    """Return what the row of a message says of it first, in the order of both ways to insert one."""
    return (
        message.tid,
        message.client_id,
        message.channel,
        message.account_id,
        message.message_id,
        message.recipient,
        message.lane,
        message.type,
        message.priority.value,
        rows.micros(message.accepted_at),
        rows.micros(message.due_at),
        rows.micros(message.expires_at),
    )


def _known(db: Database, message: NewMessage) -> Accepted | Conflict:
    """Answer for a key that is taken. Fingerprints of two rule versions cannot be compared, so they are unequal."""
    found = db.execute(_FIND_KEY, (message.client_id, message.message_id, message.channel)).fetchone()
    if found is None:
        raise AssertionError("a key that could not be taken is not there")
    tid, fingerprint, version, status = found
    if (fingerprint, version) != (message.fingerprint, message.fingerprint_version):
        return Conflict(tid)
    return Accepted(tid, Status(status), replayed=True)
