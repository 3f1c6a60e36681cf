"""How much happened in each five minutes and hour, by client, account and kind: counted behind marks, never where it happens.

Two marks follow each client (``followed``): one its messages, which are counted as accepted, one its events, which tell of
everything else. Of one client, numbers become visible in their order on either database, so that a mark passes nothing that
is still to come; numbers of two clients may not. A bite is read by a reader, and the writer adds its sums and moves the mark
in one transaction, where the mark still stands where it was.

A message that is queued again gets a new number. It was accepted once: ``counted`` has the new number where the old one had
been counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from kurir.domain.status import Status
from kurir.store.database import Database
from kurir.store.looking import TALLY_SECONDS, ErrorTally, LastOfAccount, Tally
from kurir.store.operations import rows
from kurir.store.operations.words import move_mark

ACCEPTED: Final = "accepted"
EVENTS: Final = "events"
FAILED: Final = "failed"
RECEIVED: Final = "received"
#: What somebody wrote or pressed.
_HEARD: Final = ("message.received", "postback.received")
#: The kinds of the statuses from SENT on.
_REACHED: Final = ("sent", "delivered", "read")
#: Rows of a client that are read at once, at least.
_LEAST: Final = 20
_HOUR: Final = 3_600
#: Seconds that a tally covers: each thing is counted in one of either.
_WIDTHS: Final = (TALLY_SECONDS, _HOUR)

_ACCEPTED_BEHIND: Final = """
SELECT client.id, coalesce(followed.reached, 0)
FROM client LEFT JOIN followed ON followed.what = 'accepted' AND followed.client_id = client.id
WHERE EXISTS (SELECT 1 FROM message WHERE message.client_id = client.id AND message.seq > coalesce(followed.reached, 0))
ORDER BY client.id
"""
_EVENTS_BEHIND: Final = """
SELECT client.id, coalesce(followed.reached, 0)
FROM client LEFT JOIN followed ON followed.what = 'events' AND followed.client_id = client.id
WHERE EXISTS (SELECT 1 FROM event WHERE event.client_id = client.id AND event.status IS DISTINCT FROM 0
    AND event.position > coalesce(followed.reached, 0))
ORDER BY client.id
"""
_MESSAGES: Final = """
SELECT message.seq, account_id, accepted_at, tid, counted.seq IS NOT NULL
FROM message LEFT JOIN counted ON counted.seq = message.seq
WHERE client_id = ? AND message.seq > ? ORDER BY message.seq LIMIT ?
"""
_EVENTS: Final = """
SELECT event.position, event.account_id, event.kept_at, event.kind, event.status, event.previous, event.error_code,
       coalesce(message.tid, '')
FROM event LEFT JOIN message ON message.seq = event.seq
WHERE event.client_id = ? AND event.status IS DISTINCT FROM 0 AND event.position > ? ORDER BY event.position LIMIT ?
"""
#: Since they were read, a message may have got a new number.
_STILL: Final = "SELECT count(*) FROM message WHERE client_id = ? AND seq > ? AND seq <= ?"
_COUNTED_ONCE: Final = "DELETE FROM counted WHERE seq = ?"
_WAS_COUNTED: Final = """
SELECT 1 FROM message JOIN followed ON followed.client_id = message.client_id
WHERE message.seq = ? AND followed.what = 'accepted' AND followed.reached >= ?
"""
_COUNT_NO_MORE: Final = "INSERT INTO counted (seq) VALUES (?) ON CONFLICT (seq) DO NOTHING"
_ADD: Final = """
INSERT INTO tally (width, kind, at, client_id, account_id, code, times, last_at, tid) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (width, kind, at, client_id, account_id, code) DO UPDATE SET times = tally.times + excluded.times,
    tid = CASE WHEN excluded.last_at >= tally.last_at THEN excluded.tid ELSE tally.tid END,
    last_at = CASE WHEN excluded.last_at >= tally.last_at THEN excluded.last_at ELSE tally.last_at END
"""
_LAST: Final = """
INSERT INTO account_last (account_id, client_id, heard_at, sent_at) VALUES (?, ?, ?, ?)
ON CONFLICT (account_id) DO UPDATE SET
    heard_at = CASE WHEN excluded.heard_at > coalesce(account_last.heard_at, 0) THEN excluded.heard_at
        ELSE account_last.heard_at END,
    sent_at = CASE WHEN excluded.sent_at > coalesce(account_last.sent_at, 0) THEN excluded.sent_at
        ELSE account_last.sent_at END
"""
DELETE_OLD: Final = """
DELETE FROM tally WHERE (width, kind, at, client_id, account_id, code) IN (
    SELECT width, kind, at, client_id, account_id, code FROM tally WHERE at < ? ORDER BY at LIMIT ?)
"""

#: {whose} are the columns by which it is summed up beside time and kind.
_TALLIES: Final = """
SELECT at - at % ? AS step, {whose} kind, CAST(sum(times) AS BIGINT) FROM tally
WHERE width = ? AND kind IN ('accepted', 'sent', 'delivered', 'read', 'failed', 'received') AND at >= ? AND at < ? {scope}
GROUP BY step, {whose} kind ORDER BY step, {whose} kind
"""
_ERRORS: Final = """
SELECT code, times, last_at, client_id, account_id, tid FROM tally
WHERE width = ? AND kind = 'failed' AND at >= ? AND at < ?
"""
_LASTS: Final = "SELECT account_id, client_id, heard_at, sent_at FROM account_last ORDER BY account_id"
_PULSE: Final = """
SELECT coalesce((SELECT max(seq) FROM message), 0), coalesce((SELECT max(position) FROM event), 0),
    coalesce((SELECT max(number) FROM quarantine), 0)
"""


# --- following ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Sum:
    """What of a kind happened to an account in the time of a tally. ``last_at`` in microseconds."""

    times: int = 0
    last_at: int = 0
    tid: str = ""


@dataclass(slots=True)
class Bite:
    """What comes next of a client, summed up, and the mark before it and after. ``number`` of rows that were read."""

    what: str
    client_id: str
    reached: int
    up_to: int = 0
    number: int = 0
    sums: dict[tuple[int, str, int, str, str], _Sum] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    again: list[int] = field(default_factory=list)

    def add(self, kind: str, at: int, account_id: str, tid: str, code: str = "") -> None:
        """Count one."""
        for width in _WIDTHS:
            sum_ = self.sums.setdefault((width, kind, _begun(at, width), account_id, code), _Sum())
            sum_.times += 1
            if at >= sum_.last_at:
                sum_.last_at, sum_.tid = at, tid


def read(db: Database, limit: int) -> tuple[list[Bite], bool]:
    """Return what comes next of each client, about *limit* rows, and whether there may be more; in a reader's transaction.

    Each client has its share of the rows, so that nobody waits for somebody who sends much.
    """
    marks = [Bite(ACCEPTED, *row) for row in db.execute(_ACCEPTED_BEHIND).fetchall()]
    marks.extend(Bite(EVENTS, *row) for row in db.execute(_EVENTS_BEHIND).fetchall())
    share = max(_LEAST, limit // max(1, len(marks)))
    bites = [(_read_messages if each.what == ACCEPTED else _read_events)(db, each, share) for each in marks]
    return bites, any(each.number == share for each in bites)


def _read_messages(db: Database, bite: Bite, limit: int) -> Bite:
    for seq, account_id, accepted_at, tid, was_counted in db.execute(_MESSAGES, (bite.client_id, bite.reached, limit)):
        bite.up_to, bite.number = seq, bite.number + 1
        if was_counted:
            bite.again.append(seq)
        else:
            bite.add(ACCEPTED, accepted_at, account_id, tid)
    return bite


def _read_events(db: Database, bite: Bite, limit: int) -> Bite:
    for position, account_id, at, kind, status, previous, code, tid in db.execute(
        _EVENTS, (bite.client_id, bite.reached, limit)
    ):
        bite.up_to, bite.number = position, bite.number + 1
        if kind in _HEARD:
            bite.add(RECEIVED, at, account_id, "")
            bite.heard[account_id] = max(at, bite.heard.get(account_id, 0))
        elif status is not None and status < Status.PENDING:
            bite.add(FAILED, at, account_id, tid, code or "")
        elif status is not None:
            for step in steps(previous, status):
                bite.add(_REACHED[step - 1], at, account_id, tid)
            if previous < Status.SENT:
                bite.sent[account_id] = max(at, bite.sent.get(account_id, 0))
    return bite


def steps(previous: int, status: int) -> range:
    """Return the statuses from SENT on that a change reaches: those that it skips too, unless it corrects a failure."""
    return range(previous + 1 if previous >= Status.PENDING else status, status + 1)


def keep(db: Database, bite: Bite) -> bool:
    """Add a bite's sums and move its mark, unless somebody did, or a number changed, since it was read."""
    if not bite.number:
        return False
    if bite.what == ACCEPTED:
        still = db.execute(_STILL, (bite.client_id, bite.reached, bite.up_to)).fetchone()
        if still is None or still[0] != bite.number:
            return False
    if not move_mark(db, bite.what, bite.client_id, bite.reached, bite.up_to):
        return False
    for (width, kind, at, account_id, code), each in bite.sums.items():
        db.execute(_ADD, (width, kind, at, bite.client_id, account_id, code, each.times, each.last_at, each.tid))
    for account_id in bite.heard.keys() | bite.sent.keys():
        last = (bite.heard.get(account_id), bite.sent.get(account_id))
        db.execute(_LAST, (account_id, bite.client_id, *last))
    for seq in bite.again:
        db.execute(_COUNTED_ONCE, (seq,))
    return True


def renumbered(db: Database, old: int, new: int) -> None:
    """A message's number *old* is *new* now: it is not counted once more if it was counted."""
    db.execute(_COUNTED_ONCE, (old,))
    if db.changes() or db.execute(_WAS_COUNTED, (new, old)).fetchone() is not None:
        db.execute(_COUNT_NO_MORE, (new,))


# --- reading --------------------------------------------------------------------------------------------------------------


def _begun(at: int, width: int) -> int:
    """Return when the time of *width* seconds began that *at* is in, in microseconds as *at*."""
    return at - at % (width * 1_000_000)


def tallies(
    db: Database,
    between: tuple[datetime, datetime],
    step_seconds: int,
    client_ids: Sequence[str] | None,
    *,
    by_account: bool,
    account_id: str | None = None,
    kind: str | None = None,
) -> list[Tally]:
    """Return how much happened in each step of the time *between*, of one account or of all."""
    if step_seconds <= 0 or step_seconds % TALLY_SECONDS:
        raise ValueError(f"steps are multiples of {TALLY_SECONDS} s, not {step_seconds} s")
    if client_ids == ():
        return []
    width = TALLY_SECONDS if step_seconds % _HOUR else _HOUR
    since, until = (rows.micros(moment) for moment in between)
    scope = "" if client_ids is None else f"AND client_id IN ({', '.join('?' * len(client_ids))})"
    scope += "" if account_id is None else " AND account_id = ?"
    scope += "" if kind is None else " AND kind = ?"
    statement = _TALLIES.replace("{whose}", "client_id, account_id," if by_account else "").replace("{scope}", scope)
    values = (step_seconds * 1_000_000, width, _begun(since, step_seconds), until, *(client_ids or ()))
    values += tuple(each for each in (account_id, kind) if each is not None)
    found = db.execute(statement, values)
    if by_account:
        moments: dict[int, datetime] = {}  # a step of each account and kind: the same few again and again
        return [
            Tally(moments.get(at) or moments.setdefault(at, rows.moment(at)), client_id, account, what, times)
            for at, client_id, account, what, times in found
        ]
    return [Tally(rows.moment(at), "", "", what, times) for at, what, times in found]


def top_errors(db: Database, since: datetime, client_ids: Sequence[str] | None, limit: int) -> list[ErrorTally]:
    """Return the codes that most messages failed with."""
    first = _begun(rows.micros(since), TALLY_SECONDS)
    hour = _begun(first - 1, _HOUR) + _HOUR * 1_000_000  # the first whole one
    by_code: dict[str, list[rows.Row]] = {}
    found = [*db.execute(_ERRORS, (TALLY_SECONDS, first, hour)), *db.execute(_ERRORS, (_HOUR, hour, rows.FOREVER))]
    for row in found:
        if client_ids is None or row[3] in client_ids:
            by_code.setdefault(row[0], []).append(row)
    errors = []
    for code, each in by_code.items():
        last = max(each, key=lambda row: row[2])
        errors.append(ErrorTally(code, sum(row[1] for row in each), rows.moment(last[2]), *last[3:]))
    return sorted(errors, key=lambda error: (-error.times, error.code))[:limit]


def last_of_accounts(db: Database, client_ids: Sequence[str] | None) -> list[LastOfAccount]:
    """Return what was last heard of each account."""
    return [
        LastOfAccount(account_id, rows.moment_or_none(heard_at), rows.moment_or_none(sent_at))
        for account_id, client_id, heard_at, sent_at in db.execute(_LASTS)
        if client_ids is None or client_id in client_ids
    ]


def pulse(db: Database) -> tuple[int, ...]:
    """Return the newest numbers of messages, events and quarantined webhooks."""
    row = db.execute(_PULSE).fetchone()
    return tuple(int(number) for number in row)
