"""Delivery: the queue, the mark before a call, and the record of what became of it.

Every function that writes looks first whether the message is still queued and in the run that its caller believes; what
a caller brings too late changes nothing. The functions run inside a transaction of the writer (``queued`` of a reader).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from kurir.domain.message import Priority
from kurir.domain.status import Status
from kurir.store.base import (
    Ahead,
    AttemptRecord,
    ErrorRecord,
    Mark,
    Marked,
    PartAnswered,
    PartFailed,
    PartRecord,
    PartWaiting,
    Phase,
    QueuedMessage,
    Recorded,
    Result,
    StoreError,
)
from kurir.store.database import Database
from kurir.store.inbound import Heard
from kurir.store.operations import inbound, parts, people, plain, receipts, rows
from kurir.store.operations.parts import Message, News, Part

_QUEUE: Final = (
    rows.QUEUED
    + "WHERE account_id = ? AND priority = ? AND queued = 1 AND message.seq > ? ORDER BY message.seq LIMIT ?"
)
_BEGUN: Final = (
    rows.QUEUED
    + "WHERE account_id = ? AND queued = 1 AND parts_total > 0 AND message.seq > ? ORDER BY message.seq LIMIT ?"
)
_LANE: Final = (
    rows.QUEUED + "WHERE account_id = ? AND lane = ? AND (priority = 'high') = ? AND queued = 1 AND message.seq > ? "
    "ORDER BY message.seq LIMIT ?"
)
_AT: Final = rows.QUEUED + "WHERE message.seq = ? AND account_id = ? AND queued = 1"
_PAST: Final = rows.SHORT_ATTEMPT + "WHERE seq = (SELECT seq FROM message WHERE tid = ?) AND part = ? ORDER BY id"  # noqa: S608 -- two constants
#: Of one class of priority; the other classes that go before it are asked for with a bound of their own.
_AHEAD: Final = """
SELECT tid FROM message
WHERE account_id = ? AND lane = ? AND (priority = 'high') = ? AND queued = 1 AND seq < ?
  AND (due_at <= accepted_at OR due_at <= ?) ORDER BY seq LIMIT 1000
"""
#: What has begun goes before everything else. A lane has one such message, or a few after a retry.
_BEGUN_AHEAD: Final = """
SELECT tid FROM message
WHERE account_id = ? AND lane = ? AND queued = 1 AND parts_total > 0 AND seq <> ? ORDER BY seq LIMIT 10
"""
_PARTS: Final = rows.PART + "WHERE seq = ? ORDER BY number"
_BEGIN: Final = "UPDATE message SET parts_total = ?, address = ? WHERE seq = ? AND (parts_total <> ? OR address <> ?)"
_FREEZE: Final = "UPDATE content SET facts = ? WHERE seq = ?"
_LOSE: Final = "UPDATE message SET render_losses = ? WHERE seq = ? AND render_losses IS DISTINCT FROM ?"
_TOKEN: Final = "INSERT INTO key_token (client_id, token, key) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S105 -- a statement
#: A part that waits and was not called for what it is now: a receipt brought it back.
_BROUGHT_BACK: Final = "SELECT 1 FROM part WHERE seq = ? AND number < ? AND phase = 'waiting' AND attempts = 0 LIMIT 1"
_ANY_PART: Final = "SELECT 1 FROM part WHERE seq = ? LIMIT 1"
_WAIT: Final = """
UPDATE message SET waiting_since = ?, waiting_until = ?, reason_code = ?, reason_detail = ?, reason_provider = ?
WHERE tid = ? AND run = ? AND queued = 1
  AND (waiting_until IS DISTINCT FROM ? OR reason_code IS DISTINCT FROM ? OR reason_detail IS DISTINCT FROM ?
       OR reason_provider IS DISTINCT FROM ?)
"""


def queued(db: Database, account_id: str, after: Mapping[Priority, int], limit: int) -> list[QueuedMessage]:
    """Return queued messages with their parts, of each priority so many."""
    found: list[QueuedMessage] = []
    for priority, after_seq in after.items():
        found += _read(db, _QUEUE, (account_id, priority.value, after_seq, limit))
    return sorted(found, key=lambda message: message.seq)


def begun(db: Database, account_id: str, after_seq: int, limit: int) -> list[QueuedMessage]:
    """Return queued messages of which a part has begun."""
    return _read(db, _BEGUN, (account_id, after_seq, limit))


def in_lanes(
    db: Database, account_id: str, lanes: Sequence[str], after_seq: int, limit: int, *, high: bool
) -> list[QueuedMessage]:
    """Return queued messages of some lanes by seq."""
    found: list[QueuedMessage] = []
    for lane in dict.fromkeys(lanes):  # one lane by its index each: of several at once SQLite would sort them all
        found += _read(db, _LANE, (account_id, lane, high, after_seq, limit))
    return sorted(found, key=lambda message: message.seq)[:limit]


def at_seq(db: Database, account_id: str, seq: int) -> QueuedMessage | None:
    """Return the queued message with this seq."""
    return next(iter(_read(db, _AT, (seq, account_id))), None)


def _read(db: Database, statement: str, values: tuple[str | int, ...]) -> list[QueuedMessage]:
    found = list(db.execute(statement, values))
    return [rows.queued(row, _parts_of(db, row[0]) if row[-1] else ()) for row in found]


def ahead(db: Database, account_id: str, lane: str, seq: int, priority: Priority, now: datetime) -> Ahead:
    """Return what goes before a message in its lane."""
    is_high = priority is Priority.HIGH
    before = [(seq, is_high)] if is_high else [(rows.FOREVER, True), (seq, False)]
    moment = rows.micros(now)
    begun = [tid for (tid,) in db.execute(_BEGUN_AHEAD, (account_id, lane, seq))]
    others = [tid for bound, high in before for (tid,) in db.execute(_AHEAD, (account_id, lane, high, bound, moment))]
    tids = list(dict.fromkeys(begun + others))
    return Ahead(min(len(tids), 1000), tids[0] if tids else "")


def past(db: Database, tid: str, part: int) -> list[AttemptRecord]:
    """Return the attempts of a part without what makes them large."""
    return [rows.attempt(row) for row in db.execute(_PAST, (tid, part))]


def _parts_of(db: Database, seq: int) -> tuple[PartRecord, ...]:
    return tuple(rows.part(row) for row in db.execute(_PARTS, (seq,)))


def mark(db: Database, wanted: Mark) -> Marked:
    """Mark a part in flight, if it may be called."""
    if plain.mark(db, wanted):
        return Marked.MARKED
    message = parts.find_message(db, wanted.tid)
    return Marked.MOVED if message is None else _mark(db, message, wanted)


def _mark(db: Database, message: Message, wanted: Mark) -> Marked:
    if not message.queued or message.run != wanted.run:
        return Marked.MOVED
    part = parts.find_part(db, message.seq, wanted.part)
    if part is not None and part.phase is Phase.ANSWERED:
        return Marked.MOVED  # a receipt told meanwhile that the platform has it
    if part is not None and not set(part.again) <= set(wanted.again):
        return Marked.MOVED  # a receipt told meanwhile that it has to go in another form
    if db.execute(_BROUGHT_BACK, (message.seq, wanted.part)).fetchone() is not None:
        return Marked.MOVED  # it is not to be sent any more, or only after that one
    at = rows.micros(wanted.at)
    if wanted.reply_token and not inbound.use_token(db, message.account_id, wanted.reply_token, message.tid, at):
        return Marked.TOKEN_USED
    if wanted.choices:
        shown = (at, message.message_id)
        inbound.put_choices(db, message.account_id, wanted.address, shown, wanted.choices)
    if part is None:
        part = parts.new_part(message, wanted.part)
    db.execute(_BEGIN, (wanted.total, wanted.address, message.seq, wanted.total, wanted.address))
    if wanted.facts is not None:
        losses = rows.losses_column(wanted.losses)
        db.execute(_FREEZE, (wanted.facts, message.seq))
        db.execute(_LOSE, (losses, message.seq, losses))
    for token, key in wanted.tokens:
        db.execute(_TOKEN, (message.client_id, token, key))
    part.run, part.phase, part.status, part.error = message.run, Phase.IN_FLIGHT, None, None
    part.attempts += 1
    part.address, part.again, part.cures = wanted.address, wanted.again, wanted.cures
    part.marked_at, part.answered_at, part.covered_from, part.settled = at, None, None, False
    parts.save(db, part)
    parts.forget_reason(db, message.seq)
    message.total, message.address = wanted.total, wanted.address
    return Marked.MARKED


def record(db: Database, result: Result) -> Recorded:
    """Keep the attempt, and let the part, the message and the next part follow from it."""
    recorded = plain.record(db, result)
    if recorded is not None:
        return recorded
    message = parts.find_message(db, result.tid)
    if message is None:
        raise StoreError(f"there is no message {result.tid}")
    plain.keep_attempt(db, message.seq, result.run, result.attempt)
    taught = _teach(db, message, result)
    if message.run != result.run:
        return Recorded(message.status, message.queued, marked=False, taught=taught)
    part = parts.find_part(db, message.seq, result.part)
    if part is None and message.queued and result.part <= message.total and isinstance(result.verdict, PartFailed):
        part = parts.new_part(message, result.part)  # it expired before its first call, other parts having begun
    cured = False
    if part is not None and part.run == message.run and (part.open or part.settled):
        cured = _conclude(db, message, part, result)
    marked = Marked.MOVED if result.next_mark is None else _mark(db, message, result.next_mark)
    told = part is not None and part.phase is Phase.ANSWERED
    settled = (told or cured) and not isinstance(result.verdict, PartAnswered)
    token_used = marked is Marked.TOKEN_USED
    return Recorded(message.status, message.queued, bool(marked), settled, token_used, taught)


def _teach(db: Database, message: Message, result: Result) -> bool:
    """Learn of the person what an answer says. Returns whether that gave an event."""
    if not result.moved_to and not result.alias and result.learned_blocked is None:
        return False
    address = message.address or message.lane
    heard = Heard(
        account_id=message.account_id,
        client_id=message.client_id,
        channel=message.channel,
        address=result.alias or address,  # the platform's spelling is the one that its webhooks have
        at=result.attempt.at,  # when the call began: what the person did meanwhile is newer
        aliases=(address,) if result.alias not in {"", address} else (),
        blocked=result.learned_blocked,
        moved_to=result.moved_to,
        inferred=True,
    )
    return "blocked" in people.learn(db, heard, rows.micros(result.at))


def _conclude(db: Database, message: Message, part: Part, result: Result) -> bool:
    """Apply a verdict to a part whose answer was still to come. Returns whether the message is queued for a cure instead.

    A part that a receipt told of has left for certain: only its answer can still add to it.
    """
    verdict, at = result.verdict, rows.micros(result.at)
    if isinstance(verdict, PartAnswered):
        return _answered(db, message, part, verdict, at)
    if part.settled:
        return False
    unclear = isinstance(verdict, PartWaiting) or verdict.error.code == parts.OUTCOME_UNKNOWN
    if unclear and part.cures and receipts.cure(db, message, part, at):
        return True
    if isinstance(verdict, PartWaiting):
        part.phase = Phase.WAITING
        parts.save(db, part)
        wait(db, message.tid, message.run, result.at, verdict.until, verdict.reason)
    else:
        if verdict.error.code != parts.OUTCOME_UNKNOWN and part.marked_at is not None:
            # It was refused: a word that they type now is no press of what they were never shown.
            inbound.drop_choices(db, message.account_id, part.address, (part.marked_at, message.message_id))
        news = News(verdict.status, at, verdict.error)
        part.phase = Phase.FAILED
        parts.learn(part, news)
        parts.save(db, part)
        parts.refresh(db, message, news, at)
    return False


def _answered(db: Database, message: Message, part: Part, verdict: PartAnswered, at: int) -> bool:
    early = [platform_id for platform_id in part.platform_ids if platform_id not in verdict.platform_ids]
    part.platform_ids = [*verdict.platform_ids, *early]
    for number, platform_id in enumerate(verdict.platform_ids):
        quote_token = verdict.quote_tokens[number] if number < len(verdict.quote_tokens) else ""
        parts.know_as(db, message, part, platform_id, quote_token)
    part.phase, part.settled = Phase.ANSWERED, False
    part.answered_at = at if part.answered_at is None else part.answered_at
    part.covered_from = part.answered_at - parts.TOLERANCE if part.covered_from is None else part.covered_from
    news = News(verdict.status, at)
    parts.learn(part, news)
    last = receipts.catch_up(db, message, part, news, at)
    if last is None:
        return True
    parts.save(db, part)
    parts.refresh(db, message, last, at)
    return False


def keep_lost_call(db: Database, message: Message, part: Part) -> None:
    """Keep an unknown attempt for a call whose answer nobody will record: whoever sends again has to know of it."""
    if part.phase is Phase.IN_FLIGHT and part.marked_at is not None:
        at, why = rows.moment(part.marked_at), "the process stopped in the middle of the call"
        lost = AttemptRecord(part.number, at, 0, "", 0, "{}", b"", "unknown", "ambiguous_error", why)
        plain.keep_attempt(db, message.seq, part.run, lost)


def finish(db: Database, tid: str, run: int, status: Status, error: ErrorRecord, at: datetime) -> bool:
    """End a queued message that has no part."""
    message = parts.find_message(db, tid)
    if message is None or not message.queued or message.run != run:
        return False
    if db.execute(_ANY_PART, (message.seq,)).fetchone() is not None:
        return False
    now = rows.micros(at)
    parts.move(db, message, status, News(status, now, error), now, queued=False)
    return True


def wait(db: Database, tid: str, run: int, since: datetime | None, until: datetime | None, reason: ErrorRecord) -> None:
    """Keep why a queued message waits; writes nothing when that is known already."""
    value = (rows.micros_or_none(until), *rows.error_columns(reason))
    db.execute(_WAIT, (rows.micros_or_none(since), *value, tid, run, *value))
