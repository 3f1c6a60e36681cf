"""A message and its parts while something is learned of them: what changes, and what follows for the message.

Here the rules of ``kurir.domain.status`` meet the rows. Every change of a part's status goes through :func:`learn`,
every change of a message's through :func:`move`, and nobody else writes a status. The functions run inside a
transaction of the writer.
"""

import json
from dataclasses import dataclass
from typing import Final

from kurir.domain.status import Status, advance, of_parts
from kurir.quick import quick
from kurir.store.base import ErrorRecord, Phase
from kurir.store.database import Database
from kurir.store.operations import events, rows, tallies, words

#: The code of a part that was given up although it may have left: proof that it did corrects it.
OUTCOME_UNKNOWN: Final = "outcome_unknown"
#: So much before its answer was recorded a part was sent at the latest, in microseconds, where the platform does not say
#: when. Messenger's watermark is in milliseconds of Meta's clock, and covers what was sent at or before it; of a part without
#: an echo only the time of our answer is known, by our clock and after the way back. A second is a guess at both together,
#: which Meta's pages do not give: more would cover what was sent soon after the watermark.
TOLERANCE: Final = 1_000_000

_MESSAGE: Final = """
SELECT seq, tid, client_id, account_id, run, status, queued, parts_total, address, channel, message_id, lane,
       expires_at, erased_at IS NOT NULL
FROM message WHERE tid = ?
"""
_PART: Final = """
SELECT run, phase, status, attempts, account_id, address, platform_ids, again, cures, marked_at, answered_at,
       covered_from, settled, error_code, error_detail, error_provider
FROM part WHERE seq = ? AND number = ?
"""
_SAVE: Final = """
INSERT INTO part (seq, number, run, phase, status, attempts, account_id, address, platform_ids, again, cures,
                  marked_at, answered_at, covered_from, settled, error_code, error_detail, error_provider)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (seq, number) DO UPDATE SET run = excluded.run, phase = excluded.phase, status = excluded.status,
    attempts = excluded.attempts, account_id = excluded.account_id, address = excluded.address,
    platform_ids = excluded.platform_ids, again = excluded.again, cures = excluded.cures,
    marked_at = excluded.marked_at, answered_at = excluded.answered_at, covered_from = excluded.covered_from,
    settled = excluded.settled, error_code = excluded.error_code,
    error_detail = excluded.error_detail, error_provider = excluded.error_provider
"""
PLATFORM_ID: Final = """
INSERT INTO platform_id (account_id, platform_id, tid, part, message_id, address, quote_token)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (account_id, platform_id) DO UPDATE SET tid = excluded.tid, part = excluded.part, message_id = excluded.message_id,
    address = excluded.address, quote_token = excluded.quote_token, received_at = NULL
"""
_STANDING: Final = "SELECT status, phase FROM part WHERE seq = ?"
_UPDATE: Final = """
UPDATE message SET status = ?, queued = ?, error_code = ?, error_detail = ?, error_provider = ?, ended_at = ?
WHERE seq = ?
"""
_FORGET_REASON: Final = """
UPDATE message SET waiting_since = NULL, waiting_until = NULL, reason_code = NULL, reason_detail = NULL,
    reason_provider = NULL
WHERE seq = ? AND (reason_code IS NOT NULL OR waiting_until IS NOT NULL)
"""
#: The next number that the table would give, so that it is never given twice.
_TAKE_SEQ: Final = "UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'message' RETURNING seq"
#: What goes with a message's number where no foreign key renumbers it: PostgreSQL's partitions have none.
_RENUMBER: Final = (
    "UPDATE content SET seq = ? WHERE seq = ?",
    "UPDATE attempt SET seq = ? WHERE seq = ?",
    "UPDATE event SET seq = ? WHERE seq = ?",
)
_ERROR: Final = "SELECT error_code, error_detail, error_provider FROM message WHERE seq = ?"


@dataclass(slots=True)
class Message:
    """What of a message's row the rules look at."""

    seq: int
    tid: str
    client_id: str
    account_id: str
    run: int
    status: Status
    queued: bool
    total: int
    address: str
    channel: str
    message_id: str
    lane: str
    expires_at: int
    erased: bool


@dataclass(slots=True)
class Part:
    """A part's row. ``settled``: a receipt told of it before the answer to its call was recorded.

    ``cures``: what else the message offers for it. A watermark from ``covered_from`` on covers it.
    """

    seq: int
    number: int
    run: int
    phase: Phase
    status: Status | None
    attempts: int
    account_id: str
    address: str
    platform_ids: list[str]
    again: tuple[str, ...]
    cures: tuple[str, ...]
    marked_at: int | None
    answered_at: int | None
    covered_from: int | None
    settled: bool
    error: ErrorRecord | None

    @property
    def open(self) -> bool:
        """Whether the answer to its call is still to come."""
        return self.phase in (Phase.IN_FLIGHT, Phase.WAITING)


@quick
@dataclass(frozen=True, slots=True)
class News:
    """What is learned of a part, and when it happened (microseconds). ``again`` is the cure of a failure, "" for none."""

    status: Status
    at: int
    error: ErrorRecord | None = None
    again: str = ""


# --- rows -----------------------------------------------------------------------------------------------------------


def next_seq(db: Database) -> int:
    """Return a number above every message's, which is never given again."""
    return int(db.execute(_TAKE_SEQ).fetchone()[0])


def renumber(db: Database, old: int, new: int) -> None:
    """Let the rows of a message follow it, after its own row has its new number."""
    for statement in _RENUMBER:
        db.execute(statement, (new, old))
    words.forget(db, new)  # by its new number it is indexed anew, as whatever is above the mark
    tallies.renumbered(db, old, new)


def find_message(db: Database, tid: str) -> Message | None:
    """Return the message *tid*."""
    row = db.execute(_MESSAGE, (tid,)).fetchone()
    return (
        None
        if row is None
        else Message(
            seq=row[0],
            tid=row[1],
            client_id=row[2],
            account_id=row[3],
            run=row[4],
            status=Status(row[5]),
            queued=bool(row[6]),
            total=row[7],
            address=row[8],
            channel=row[9],
            message_id=row[10],
            lane=row[11],
            expires_at=row[12],
            erased=bool(row[13]),
        )
    )


def find_part(db: Database, seq: int, number: int) -> Part | None:
    """Return a part of the message *seq*."""
    row = db.execute(_PART, (seq, number)).fetchone()
    if row is None:
        return None
    return Part(
        seq,
        number,
        row[0],
        Phase(row[1]),
        None if row[2] is None else Status(row[2]),
        row[3],
        row[4],
        row[5],
        json.loads(row[6]),
        rows.words(row[7]),
        rows.words(row[8]),
        row[9],
        row[10],
        row[11],
        bool(row[12]),
        rows.error_or_none(*row[13:16]),
    )


def new_part(message: Message, number: int) -> Part:
    """Return a part that is not stored yet."""
    return Part(
        seq=message.seq,
        number=number,
        run=message.run,
        phase=Phase.WAITING,
        status=None,
        attempts=0,
        account_id=message.account_id,
        address=message.address,
        platform_ids=[],
        again=(),
        cures=(),
        marked_at=None,
        answered_at=None,
        covered_from=None,
        settled=False,
        error=None,
    )


def save(db: Database, part: Part) -> None:
    """Store *part*."""
    db.execute(
        _SAVE,
        (
            part.seq,
            part.number,
            part.run,
            part.phase.value,
            None if part.status is None else int(part.status),
            part.attempts,
            part.account_id,
            part.address,
            rows.words_column(part.platform_ids),
            rows.words_column(part.again),
            rows.words_column(part.cures),
            part.marked_at,
            part.answered_at,
            part.covered_from,
            part.settled,
            *rows.error_columns(part.error),
        ),
    )


def know_as(db: Database, message: Message, part: Part, platform_id: str, quote_token: str = "") -> None:
    """Remember that the platform calls *part* by *platform_id*, so that receipts and replies find it."""
    if platform_id not in part.platform_ids:
        part.platform_ids.append(platform_id)
    place = (message.tid, part.number, message.message_id, part.address)
    db.execute(PLATFORM_ID, (part.account_id, platform_id, *place, quote_token))


# --- rules ----------------------------------------------------------------------------------------------------------


def learn(part: Part, news: News) -> bool:
    """Let *part* learn *news*. Returns whether its status changed. The caller saves it."""
    before = Status.PENDING if part.status is None else part.status
    held = part.error is not None and part.error.code == OUTCOME_UNKNOWN
    proof = held and news.status >= Status.SENT
    after = advance(before, news.status, proof_of_sending=proof)
    part.status = after
    if after < Status.PENDING:
        if after != before:
            part.error = news.error
        return after != before
    part.error = None
    if part.phase is Phase.FAILED:  # it was given up too early: the platform has it after all
        part.phase = Phase.ANSWERED
        part.answered_at = news.at
        part.covered_from = news.at - TOLERANCE if part.covered_from is None else part.covered_from
    return after != before


def refresh(db: Database, message: Message, news: News, now: int) -> None:
    """Bring the message's row in line with its parts, and add an event when its status changes.

    *news* is what was learned last: its time is the event's, its error the message's when the message fails by it.
    """
    standing = list(db.execute(_STANDING, (message.seq,)))
    known = [Status(status) for status, _ in standing if status is not None]
    answered = sum(phase == Phase.ANSWERED.value for _, phase in standing)
    status = _next_status(message.status, of_parts(known, total=message.total))
    failed = any(part_status < Status.PENDING for part_status in known)
    queued = message.queued and not failed and not 0 < message.total <= answered
    if (status, queued) == (message.status, message.queued):
        return
    move(db, message, status, news, now, queued=queued)


def move(db: Database, message: Message, status: Status, news: News, now: int, *, queued: bool) -> None:
    """Give the message its new status and place, with the event where the status is new."""
    changed = status != message.status
    error = rows.error_columns(news.error if status < Status.PENDING else None)
    if status < Status.PENDING and not changed:
        error = db.execute(_ERROR, (message.seq,)).fetchone() or error
    ended_at = None if queued or status == Status.PENDING else now
    db.execute(_UPDATE, (int(status), queued, *error, ended_at, message.seq))
    if message.queued and not queued:
        db.execute(_FORGET_REASON, (message.seq,))
    if changed:
        tell(db, message, status, news.at, now, error)
    message.status, message.queued = status, queued


def tell(
    db: Database,
    message: Message,
    status: Status,
    at: int,
    now: int,
    error: tuple[str | None, str | None, str | None] = (None, None, None),
) -> None:
    """Add the event of the message's change to *status*; *message* still has the one before."""
    where = (message.client_id, message.account_id, message.channel, message.address or message.lane)
    events.add(db, events.Change(*where, message.seq, status, message.status, at, error), now)


def follows(current: Status, parts: Status) -> bool:
    """Return whether a message may stand at *current* while its parts say *parts*.

    They are equal, but for a message that failed: it stays at its first failure when another part fails in another way,
    and when the failure was corrected while parts that were never sent keep it from anything better.
    """
    return current == parts or (current < Status.PENDING and parts <= Status.PENDING)


def _next_status(current: Status, parts: Status) -> Status:
    return current if follows(current, parts) else parts


def forget_reason(db: Database, seq: int) -> None:
    """The message does not wait any more."""
    db.execute(_FORGET_REASON, (seq,))
