"""The plain way of a message: one part, marked for the first time, taken by the platform, and nothing known of it before.

Nearly every message goes this way. :mod:`kurir.store.operations.delivery` asks here first; where a statement finds that
anything is otherwise, it has changed nothing, and the general way is gone, which comes to the same rows
(``tests/contract/test_store_plain.py`` compares them). What is saved is statements: each costs a hand-over between threads
on SQLite, and a way to the server and back on PostgreSQL.
"""

from typing import Final

from kurir.domain.status import Status, advance, of_parts
from kurir.store.base import AttemptRecord, Mark, PartAnswered, Recorded, Result
from kurir.store.database import Database
from kurir.store.operations import events, parts, rows

# PostgreSQL keeps the plan of a statement that it made while the tables were small and not analyzed, and then took a partial
# index of what is queued, or all open parts, for less than the index of the tid. A LIMIT, a count in place of EXISTS and the
# sum with nothing change no result and leave it the way by the tid (tests/contract/test_postgres_plans.py).

#: No part of it is there: then none was brought back by a receipt, and none is before this one.
_BEGIN: Final = """
UPDATE message SET parts_total = ?, address = ?, render_losses = ?, waiting_since = NULL, waiting_until = NULL,
    reason_code = NULL, reason_detail = NULL, reason_provider = NULL
WHERE tid = ? AND run = ? AND queued + 0 = 1 AND (SELECT count(*) FROM part WHERE part.seq = message.seq) = 0
RETURNING seq, account_id
"""
_FREEZE: Final = "UPDATE content SET facts = ? WHERE seq = ?"
_MARK: Final = """
INSERT INTO part (seq, number, run, phase, attempts, account_id, address, cures, marked_at)
VALUES (?, 1, ?, 'in_flight', 1, ?, ?, ?, ?)
"""
#: Nothing was learned of the part or of the message yet, no receipt and no watermark waits for it, and it has no sibling.
_OPEN: Final = """
SELECT message.seq, message.client_id, message.account_id, message.channel, message.message_id, message.address, message.lane,
    part.account_id, part.address,
    EXISTS (SELECT 1 FROM endpoint WHERE endpoint.client_id = message.client_id AND endpoint.enabled = 1)
FROM (
    SELECT seq, run, client_id, account_id, channel, message_id, address, lane FROM message
    WHERE tid = ? AND run = ? AND queued + 0 = 1 AND status = 0 AND parts_total = 1 LIMIT 1
) AS message JOIN part ON part.seq = message.seq AND part.number = 1
WHERE part.run = message.run AND part.phase IN ('in_flight', 'waiting') AND part.status IS NULL
    AND part.platform_ids = '[]' AND part.answered_at IS NULL AND part.covered_from IS NULL AND part.settled = 0
    AND part.error_code IS NULL
    AND NOT EXISTS (SELECT 1 FROM part AS other WHERE other.seq = message.seq AND other.number <> 1)
    AND NOT EXISTS (SELECT 1 FROM early_receipt WHERE early_receipt.account_id = part.account_id
        AND early_receipt.platform_id = ? AND early_receipt.platform_id <> '')
    AND NOT EXISTS (SELECT 1 FROM early_receipt WHERE early_receipt.account_id = part.account_id
        AND early_receipt.reference IN (?, ?) AND early_receipt.reference <> '')
    AND NOT EXISTS (SELECT 1 FROM watermark WHERE watermark.account_id = part.account_id
        AND watermark.address = part.address AND watermark.up_to >= ?)
"""
_ANSWER: Final = """
UPDATE part SET phase = 'answered', status = ?, platform_ids = ?, answered_at = ?, covered_from = ?,
    error_detail = NULL, error_provider = NULL
WHERE seq = ? AND number = 1
"""
_END: Final = """
UPDATE message SET status = ?, queued = 0, error_code = NULL, error_detail = NULL, error_provider = NULL, ended_at = ?,
    waiting_since = NULL, waiting_until = NULL, reason_code = NULL, reason_detail = NULL, reason_provider = NULL
WHERE seq = ?
"""
_ATTEMPT: Final = """
INSERT INTO attempt (seq, run, part, at, duration_ms, request, status, headers, body, outcome, code, reason, counted)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def mark(db: Database, wanted: Mark) -> bool:
    """Mark the first part of a message of which nothing was begun. Returns whether that was done."""
    if (
        wanted.part != 1
        or wanted.facts is None
        or wanted.again
        or wanted.reply_token
        or wanted.choices
        or wanted.tokens
    ):
        return False
    losses = rows.losses_column(wanted.losses)
    begun = db.execute(_BEGIN, (wanted.total, wanted.address, losses, wanted.tid, wanted.run)).fetchone()
    if begun is None:
        return False
    seq, account_id = begun
    db.execute(_FREEZE, (wanted.facts, seq))
    cures = rows.words_column(wanted.cures) if wanted.cures else "[]"
    db.execute(_MARK, (seq, wanted.run, account_id, wanted.address, cures, rows.micros(wanted.at)))
    return True


def record(db: Database, result: Result) -> Recorded | None:
    """Record that the platform took the only part of a message. None: it is not that plain, and nothing was changed."""
    verdict = result.verdict
    if not isinstance(verdict, PartAnswered) or verdict.status < Status.PENDING or len(verdict.platform_ids) > 1:
        return None
    if result.part != 1 or result.next_mark is not None or result.moved_to or result.alias:
        return None
    if result.learned_blocked is not None:
        return None
    now = rows.micros(result.at)
    platform_id = verdict.platform_ids[0] if verdict.platform_ids else ""
    covered_from = now - parts.TOLERANCE
    asked = (result.tid, result.run, platform_id, result.tid, f"{result.tid}:1", covered_from)
    found = db.execute(_OPEN, asked).fetchone()
    if found is None:
        return None
    seq, client_id, account_id, channel, message_id, to, lane, holder, address, owed = found
    keep_attempt(db, seq, result.run, result.attempt)
    if verdict.platform_ids:
        quote_token = verdict.quote_tokens[0] if verdict.quote_tokens else ""
        place = (result.tid, 1, message_id, address, quote_token)
        db.execute(parts.PLATFORM_ID, (holder, platform_id, *place))
    status = advance(Status.PENDING, verdict.status)
    ids = rows.words_column(verdict.platform_ids)
    db.execute(_ANSWER, (int(status), ids, now, covered_from, seq))
    status = of_parts((status,), total=1)
    db.execute(_END, (int(status), None if status == Status.PENDING else now, seq))
    if status != Status.PENDING:
        change = events.Change(client_id, account_id, channel, to or lane, seq, status, Status.PENDING, now)
        events.add_plain(db, change, now, platform_id, owed=bool(owed))
    return Recorded(status, queued=False, marked=False)


def keep_attempt(db: Database, seq: int, run: int, attempt: AttemptRecord) -> None:
    """Keep an attempt of a run."""
    db.execute(
        _ATTEMPT,
        (
            seq,
            run,
            attempt.part,
            rows.micros(attempt.at),
            attempt.duration_ms,
            attempt.request,
            attempt.status,
            attempt.headers,
            attempt.body,
            attempt.outcome,
            attempt.code,
            attempt.reason,
            attempt.counted,
        ),
    )
