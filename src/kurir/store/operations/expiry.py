"""Ending what waited too long: in the queue past its expiry, or for receipts that never came.

A message of which a part has begun is left to the worker of its account, since only that one knows whether a call runs.
Where nobody works any more, because the account or its client was disabled or the operator paused it, it is ended here
too. The functions run inside a transaction of the writer.
"""

from datetime import datetime, timedelta
from typing import Final

from kurir.domain.status import Status
from kurir.store.base import ErrorRecord, Phase
from kurir.store.database import Database
from kurir.store.operations import delivery, parts, rows
from kurir.store.operations.parts import News

#: A call that was begun so long ago, on an account that has no worker, has no answer to come.
CALL_LIFE: Final = timedelta(hours=1)

_NOT_BEGUN: Final = """
SELECT tid, run, expires_at FROM message
WHERE queued = 1 AND expires_at <= ? AND parts_total = 0 ORDER BY expires_at LIMIT ?
"""
_ABANDONED: Final = """
SELECT tid, expires_at FROM message
WHERE queued = 1 AND expires_at <= ? AND parts_total > 0
  AND NOT EXISTS (SELECT 1 FROM account JOIN client ON client.id = account.client_id
      WHERE account.id = message.account_id AND account.enabled = 1 AND client.enabled = 1
      AND account.paused_at IS NULL)
  AND NOT EXISTS (SELECT 1 FROM part WHERE part.seq = message.seq AND phase = 'in_flight' AND marked_at > ?)
ORDER BY expires_at LIMIT ?
"""
_ANSWERED: Final = "SELECT number FROM part WHERE seq = ? AND phase = 'answered'"
_WAS_UNKNOWN: Final = "SELECT 1 FROM attempt WHERE seq = ? AND run = ? AND part = ? AND outcome = 'unknown' LIMIT 1"
_UNTOLD: Final = """
SELECT tid FROM part JOIN message ON message.seq = part.seq
WHERE phase = 'answered' AND part.status = 0 AND answered_at < ? AND message.queued = 0 AND message.status = 0
  AND NOT EXISTS (SELECT 1 FROM part AS later WHERE later.seq = part.seq AND later.answered_at >= ?)
ORDER BY answered_at LIMIT ?
"""
_UNTOLD_PARTS: Final = "SELECT number FROM part WHERE seq = ? AND status = 0"


def expire(db: Database, now: datetime, limit: int) -> int:
    """End queued messages past their expiry, those that expired first. Returns how many."""
    moment = rows.micros(now)
    ended = 0
    for tid, run, expires_at in list(db.execute(_NOT_BEGUN, (moment, limit))):
        ended += delivery.finish(db, tid, run, Status.UNSENT, ErrorRecord("expired", _late(expires_at)), now)
    for tid, expires_at in list(db.execute(_ABANDONED, (moment, rows.micros(now - CALL_LIFE), limit - ended))):
        _give_up(db, tid, expires_at, moment)
        ended += 1
    return ended


def _late(expires_at: int) -> str:
    return f"it expired at {rows.moment(expires_at).isoformat(timespec='seconds')}, before it could be sent"


def _give_up(db: Database, tid: str, expires_at: int, now: int) -> None:
    """Fail the first part that is not answered, as the account's worker would have done."""
    message = parts.find_message(db, tid)
    if message is None:
        raise AssertionError("a message that was just found is not there")
    answered = {number for (number,) in db.execute(_ANSWERED, (message.seq,))}
    number = next(number for number in range(1, message.total + 1) if number not in answered)
    part = parts.find_part(db, message.seq, number) or parts.new_part(message, number)
    error = ErrorRecord("expired", _late(expires_at))
    past = db.execute(_WAS_UNKNOWN, (message.seq, message.run, number)).fetchone()
    if part.phase is Phase.IN_FLIGHT or past is not None:
        error = ErrorRecord(parts.OUTCOME_UNKNOWN, f"no readable answer came, and {error.detail} again")
    news = News(Status.FAILED, now, error)
    delivery.keep_lost_call(db, message, part)
    part.phase = Phase.FAILED
    parts.learn(part, news)
    parts.save(db, part)
    parts.refresh(db, message, news, now)


def no_receipts(db: Database, before: datetime, limit: int, at: datetime) -> int:
    """End messages that the platform accepted before *before* and never told of. Returns how many."""
    bound, now = rows.micros(before), rows.micros(at)
    news = News(Status.FAILED, now, ErrorRecord("no_receipt", "no receipts arrived: is the webhook connected?"))
    tids = dict.fromkeys(tid for (tid,) in list(db.execute(_UNTOLD, (bound, bound, limit))))
    for tid in tids:
        message = parts.find_message(db, tid)
        if message is None:
            raise AssertionError("a message that was just found is not there")
        for (number,) in list(db.execute(_UNTOLD_PARTS, (message.seq,))):
            part = parts.find_part(db, message.seq, number)
            if part is not None:
                parts.learn(part, news)
                parts.save(db, part)
        parts.refresh(db, message, news, now)
    return len(tids)
