"""What people and the API look at: messages, replies, tokens, queue depths.

The functions run inside a transaction of a reader.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from kurir import tracing
from kurir.store.base import MessageFilter, MessageRecord, QueueDepth, ReplyRecord
from kurir.store.database import Database
from kurir.store.operations import rows

_MESSAGE: Final = rows.MESSAGE + "WHERE tid = ? AND client_id = ?"
_PARTS: Final = rows.PART + "WHERE seq = ? ORDER BY number"
_ATTEMPTS: Final = rows.ATTEMPT + "WHERE seq = ? ORDER BY id"
_EVENTS: Final = rows.EVENT + "WHERE seq = ? ORDER BY position"
_LOSSES: Final = "SELECT losses, render_losses FROM message WHERE seq = ?"

_LIST: Final = rows.MESSAGE + "WHERE client_id = ?"
_OF_CHANNEL: Final = " AND channel = ?"
# + keeps the planner from walking through all of the client's messages for the order's sake.
_LIST_WITH_ID: Final = rows.MESSAGE + "WHERE +client_id = ?"
_WITH_ID: Final = """ AND seq IN (
    SELECT message.seq FROM idempotency JOIN message ON message.tid = idempotency.tid
    WHERE idempotency.client_id = ? AND idempotency.message_id = ?)
"""
_TO: Final = " AND recipient = ?"
_AT: Final = " AND status = ?"
_BEFORE: Final = " AND seq < ?"
_NEWEST: Final = " ORDER BY seq DESC LIMIT ?"

_OWN_ID: Final = """
SELECT message.seq FROM idempotency JOIN message ON message.tid = idempotency.tid
WHERE idempotency.client_id = ? AND idempotency.message_id = ? AND message.account_id = ?
"""
_OWN_TID: Final = "SELECT seq FROM message WHERE tid = ? AND client_id = ? AND account_id = ?"
_FIRST_PART: Final = """
SELECT account_id, platform_ids FROM part WHERE seq = ? AND platform_ids <> '[]' ORDER BY number LIMIT 1
"""
_PLATFORM_ID: Final = """
SELECT platform_id, address, quote_token FROM platform_id
WHERE account_id = ? AND platform_id = ? AND EXISTS (SELECT 1 FROM account WHERE account.id = ? AND client_id = ?)
"""
_KEY: Final = "SELECT key FROM key_token WHERE client_id = ? AND token = ?"
_TAIL: Final = """
SELECT substr(content.body, length(content.body) - ?) FROM message JOIN content ON content.seq = message.seq
WHERE message.tid = ?
"""
_DEPTHS: Final = """
SELECT account_id, priority, count(*) FROM message WHERE queued = 1 GROUP BY account_id, priority
"""
_BEGINNINGS: Final = """
SELECT accepted_at, due_at, seq FROM message
WHERE account_id = ? AND priority = ? AND queued = 1 AND seq > ? ORDER BY seq LIMIT ?
"""
#: Messages of a queue that are looked at together: most often the first one is enough.
_LOOK: Final = 100


# --- messages -------------------------------------------------------------------------------------------------------


def message(db: Database, client_id: str, tid: str) -> MessageRecord | None:
    """Return a message with all that is known of it."""
    row = db.execute(_MESSAGE, (tid, client_id)).fetchone()
    if row is None:
        return None
    found = rows.message(row)
    known, rendered = db.execute(_LOSSES, (found.seq,)).fetchone() or (None, None)
    return replace(
        found,
        parts=tuple(rows.part(item) for item in db.execute(_PARTS, (found.seq,))),
        attempts=tuple(rows.attempt(item) for item in db.execute(_ATTEMPTS, (found.seq,))),
        losses=tuple(dict.fromkeys(rows.losses(known) + rows.losses(rendered))),
        history=tuple(rows.event(item, tid) for item in db.execute(_EVENTS, (found.seq,))),
    )


def messages(db: Database, client_id: str, wanted: MessageFilter, limit: int) -> list[MessageRecord]:
    """Return the newest messages that *wanted* lets through."""
    statement, values = _LIST, [client_id]
    clauses: list[tuple[str, tuple[Any, ...]]] = []
    if wanted.channel is not None:
        clauses.append((_OF_CHANNEL, (wanted.channel,)))
    if wanted.message_id is not None:
        statement = _LIST_WITH_ID
        clauses.append((_WITH_ID, (client_id, wanted.message_id)))
    if wanted.recipient is not None:
        clauses.append((_TO, (wanted.recipient,)))
    if wanted.status is not None:
        clauses.append((_AT, (int(wanted.status),)))
    if wanted.before_seq is not None:
        clauses.append((_BEFORE, (wanted.before_seq,)))
    for clause, clause_values in clauses:
        statement += clause
        values.extend(clause_values)
    return [rows.message(row) for row in db.execute(statement + _NEWEST, (*values, limit))]


def reply_target(db: Database, client_id: str, account_id: str, reply_id: str) -> ReplyRecord | None:
    """Return the message that a reply names; of one with several parts, the first that the platform knows."""
    row = db.execute(_OWN_ID, (client_id, reply_id, account_id)).fetchone()
    if row is None:
        row = db.execute(_OWN_TID, (reply_id, client_id, account_id)).fetchone()
    platform_id = reply_id
    if row is not None:
        first = db.execute(_FIRST_PART, (row[0],)).fetchone()
        if first is None:
            return None
        platform_id = rows.words(first[1])[0]
    known = db.execute(_PLATFORM_ID, (account_id, platform_id, account_id, client_id)).fetchone()
    return None if known is None else ReplyRecord(*known)


def key_of(db: Database, client_id: str, token: str) -> str | None:
    """Return the key that a token stands for."""
    row = db.execute(_KEY, (client_id, token)).fetchone()
    return None if row is None else str(row[0])


def traces(db: Database, tids: Sequence[str]) -> dict[str, str]:
    """Return the traces that were stored with messages, of those that have one."""
    found = {}
    for tid in tids:
        row = db.execute(_TAIL, (tracing.TAIL - 1, tid)).fetchone()
        if row is not None:
            found[tid] = tracing.found(bytes(row[0]))
    return found


def depths(db: Database) -> list[QueueDepth]:
    """Return how much waits for each account, and since when the oldest has been due."""
    counts: dict[str, int] = {}
    oldest: dict[str, int] = {}
    for account_id, priority, count in list(db.execute(_DEPTHS)):
        counts[account_id] = counts.get(account_id, 0) + count
        # In the order of the queue nothing after the first message without a later send_at has been due for longer: the
        # walk ends there, after one row of a queue in which nothing is scheduled.
        for accepted_at, due_at in _beginnings(db, account_id, priority):
            begins = max(accepted_at, due_at)
            oldest[account_id] = min(begins, oldest.get(account_id, begins))
            if due_at <= accepted_at:
                break
    return [QueueDepth(name, counts[name], rows.moment(oldest[name])) for name in sorted(counts)]


def _beginnings(db: Database, account_id: str, priority: str) -> Iterator[tuple[int, int]]:
    """Yield when the messages of a queue were accepted and are due, in its order; read a window at a time."""
    after = 0
    while window := db.execute(_BEGINNINGS, (account_id, priority, after, _LOOK)).fetchall():
        for accepted_at, due_at, after in window:  # noqa: B007 -- where the next window begins
            yield accepted_at, due_at
        if len(window) < _LOOK:
            return
