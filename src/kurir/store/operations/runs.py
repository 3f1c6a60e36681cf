"""A message's runs: cancelling one of which nothing may have left, and opening a new one after a failure.

The functions run inside a transaction of the writer, which is what settles their race with a mark.
"""

from datetime import datetime
from typing import Final

from kurir.domain.status import Status
from kurir.store.base import ErrorRecord, Phase, Turn
from kurir.store.database import Database
from kurir.store.operations import delivery, parts, rows
from kurir.store.operations.parts import Message, News, Part

_DOUBTS: Final = "SELECT 1 FROM attempt WHERE seq = ? AND (outcome = 'unknown' OR status >= 500) LIMIT 1"
_NUMBERS: Final = "SELECT number FROM part WHERE seq = ? ORDER BY number"
_FORGET_PART: Final = "DELETE FROM part WHERE seq = ? AND number = ?"
_ERASED: Final = "SELECT 1 FROM message WHERE seq = ? AND erased_at IS NOT NULL"
_OPEN_RUN: Final = """
UPDATE message SET seq = ?, run = run + 1, queued = ?, status = 0, ended_at = NULL, due_at = accepted_at,
    expires_at = ? + life, error_code = NULL, error_detail = NULL, error_provider = NULL
WHERE seq = ?
"""
_FORGET_RENDERING: Final = """
UPDATE message SET parts_total = 0, address = '', render_losses = NULL WHERE seq = ?
"""
_FORGET_FACTS: Final = "UPDATE content SET facts = NULL WHERE seq = ?"


def cancel(db: Database, client_id: str, tid: str, at: datetime) -> Turn:
    """End a queued message of which nothing may have left."""
    message = _own(db, client_id, tid)
    if message is None:
        return Turn.NOT_FOUND
    if not message.queued:
        return Turn.ENDED
    begun = [part for (number,) in db.execute(_NUMBERS, (message.seq,)) if (part := _part(db, message, number))]
    if any(part.phase is not Phase.WAITING for part in begun) or _may_have_left(db, message):
        return Turn.BEGUN
    now = rows.micros(at)
    news = News(Status.UNSENT, now, ErrorRecord("cancelled", "the client cancelled it before it was sent"))
    for part in begun:  # called, and refused for certain each time: an account that was stopped, a rate, an outage
        part.phase = Phase.FAILED
        parts.learn(part, news)
        parts.save(db, part)
    parts.move(db, message, Status.UNSENT, news, now, queued=False)
    return Turn.DONE


def _may_have_left(db: Database, message: Message) -> bool:
    """Return whether a call of any run may have sent something. Of a 5xx nobody knows, whatever its body says."""
    return db.execute(_DOUBTS, (message.seq,)).fetchone() is not None


def _part(db: Database, message: Message, number: int) -> Part | None:
    return parts.find_part(db, message.seq, number)


def retry(db: Database, client_id: str, tid: str, at: datetime) -> Turn:
    """Queue a failed message again, behind the others, with what the platform has already left as it is."""
    message = _own(db, client_id, tid)
    if message is None:
        return Turn.NOT_FOUND
    if message.status >= Status.PENDING:
        return Turn.NOT_FAILED
    if db.execute(_ERASED, (message.seq,)).fetchone() is not None:
        return Turn.ENDED
    kept = 0
    for (number,) in list(db.execute(_NUMBERS, (message.seq,))):
        part = parts.find_part(db, message.seq, number)
        if part is not None and part.phase is Phase.ANSWERED and (part.status or 0) >= Status.PENDING:
            kept += 1
        else:
            if part is not None:
                delivery.keep_lost_call(db, message, part)
            db.execute(_FORGET_PART, (message.seq, number))
    now = rows.micros(at)
    if not kept:
        for statement in (_FORGET_RENDERING, _FORGET_FACTS):
            db.execute(statement, (message.seq,))
    seq = parts.next_seq(db)
    queued = not 0 < message.total <= kept  # a part in doubt failed the message, and left after all: only receipts miss
    db.execute(_OPEN_RUN, (seq, queued, now, message.seq))
    parts.renumber(db, message.seq, seq)
    message.seq = seq
    parts.tell(db, message, Status.PENDING, now, now)
    return Turn.DONE


def _own(db: Database, client_id: str, tid: str) -> Message | None:
    message = parts.find_message(db, tid)
    return message if message is not None and message.client_id == client_id else None
