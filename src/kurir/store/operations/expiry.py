"""Ending what waited too long: in the queue past its expiry, or for receipts that never came.

A message of which a part has begun is left to the worker of its account, since only that one knows whether a call runs.
Where nobody works any more, because the account or its client was disabled or the operator paused it, it is ended here
too. The functions run inside a transaction of the writer.
"""

from collections.abc import Sequence
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
SELECT client_id, tid FROM message
WHERE queued = 1 AND expires_at <= ? AND parts_total = 0 ORDER BY expires_at LIMIT ?
"""
_WITHOUT_WORKER: Final = """
NOT EXISTS (SELECT 1 FROM account JOIN client ON client.id = account.client_id
    WHERE account.id = message.account_id AND account.enabled = 1 AND client.enabled = 1
    AND account.paused_at IS NULL)
AND NOT EXISTS (SELECT 1 FROM part WHERE part.seq = message.seq AND phase = 'in_flight' AND marked_at > ?)
"""
_ABANDONED: Final = f"""
SELECT client_id, tid FROM message
WHERE queued = 1 AND expires_at <= ? AND parts_total > 0
  AND {_WITHOUT_WORKER}
ORDER BY expires_at LIMIT ?
"""  # noqa: S608 -- constants
#: Whether one of them still is, and what of it is to be ended.
_STILL: Final = f"""
SELECT run, expires_at, parts_total FROM message
WHERE tid = ? AND queued = 1 AND expires_at <= ? AND (parts_total = 0 OR ({_WITHOUT_WORKER}))
"""  # noqa: S608 -- constants
_ANSWERED: Final = "SELECT number FROM part WHERE seq = ? AND phase = 'answered'"
_WAS_UNKNOWN: Final = "SELECT 1 FROM attempt WHERE seq = ? AND run = ? AND part = ? AND outcome = 'unknown' LIMIT 1"
_UNTOLD: Final = """
SELECT client_id, tid FROM part JOIN message ON message.seq = part.seq
WHERE phase = 'answered' AND part.status = 0 AND answered_at < ? AND message.queued = 0 AND message.status = 0
  AND NOT EXISTS (SELECT 1 FROM part AS later WHERE later.seq = part.seq AND later.answered_at >= ?)
ORDER BY answered_at LIMIT ?
"""
_STILL_UNTOLD: Final = """
SELECT 1 FROM part JOIN message ON message.seq = part.seq
WHERE message.tid = ? AND phase = 'answered' AND part.status = 0 AND answered_at < ? AND message.queued = 0
  AND message.status = 0 AND NOT EXISTS (SELECT 1 FROM part AS later WHERE later.seq = part.seq AND later.answered_at >= ?)
LIMIT 1
"""
_UNTOLD_PARTS: Final = "SELECT number FROM part WHERE seq = ? AND status = 0"


def overdue(db: Database, now: datetime, limit: int) -> list[tuple[str, str]]:
    """Return client and tid of queued messages past their expiry, those that expired first."""
    moment = rows.micros(now)
    found = db.execute(_NOT_BEGUN, (moment, limit)).fetchall()
    if len(found) < limit:
        found += db.execute(_ABANDONED, (moment, rows.micros(now - CALL_LIFE), limit - len(found))).fetchall()
    return [(client_id, tid) for client_id, tid in found]


def expire(db: Database, tids: Sequence[str], now: datetime) -> int:
    """End those of *tids* that are still queued past their expiry. Returns how many."""
    moment, begun = rows.micros(now), rows.micros(now - CALL_LIFE)
    ended = 0
    for tid in tids:
        found = db.execute(_STILL, (tid, moment, begun)).fetchone()
        if found is None:
            continue
        run, expires_at, total = found
        if total:
            _give_up(db, tid, expires_at, moment)
            ended += 1
        else:
            ended += delivery.finish(db, tid, run, Status.UNSENT, ErrorRecord("expired", _late(expires_at)), now)
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


def untold(db: Database, before: datetime, limit: int) -> list[tuple[str, str]]:
    """Return client and tid of messages that the platform accepted before *before* and never told of."""
    bound = rows.micros(before)
    return list(dict.fromkeys((client_id, tid) for client_id, tid in db.execute(_UNTOLD, (bound, bound, limit))))


def no_receipts(db: Database, tids: Sequence[str], before: datetime, at: datetime) -> int:
    """End those of *tids* that the platform accepted before *before* and still has not told of. Returns how many."""
    bound, now = rows.micros(before), rows.micros(at)
    news = News(Status.FAILED, now, ErrorRecord("no_receipt", "no receipts arrived: is the webhook connected?"))
    ended = 0
    for tid in tids:
        message = parts.find_message(db, tid)
        if message is None or db.execute(_STILL_UNTOLD, (tid, bound, bound)).fetchone() is None:
            continue
        for (number,) in list(db.execute(_UNTOLD_PARTS, (message.seq,))):
            part = parts.find_part(db, message.seq, number)
            if part is not None:
                parts.learn(part, news)
                parts.save(db, part)
        parts.refresh(db, message, news, now)
        ended += 1
    return ended
