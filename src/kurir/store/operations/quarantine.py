"""The quarantine: webhooks that a platform signed and that could not be read, kept whole until a later version can.

A body is kept once, however often it comes: account and digest name it. Each account has a bound. What is kept stays, since
the first bodies show a fault as well as the last ones do; what comes beyond the bound is counted, never kept in the place
of another. The functions run inside a transaction of the writer, the reading ones of a reader.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from kurir.store.database import Database
from kurir.store.inbound import NotKept, Quarantined, Unread
from kurir.store.operations import rows

#: What one account may have in quarantine: so many bodies, so many bytes together, and so many in one.
MOST_BODIES: Final = 1_000
MOST_BYTES: Final = 32 * 1024 * 1024
MOST_OF_ONE: Final = 3 * 1024 * 1024
#: Bodies that are searched in one step for a person who is to be forgotten: at most so many times MOST_OF_ONE in memory.
WINDOW: Final = 10

#: A body that comes again is counted, and the newest reason stands.
_AGAIN: Final = """
UPDATE quarantine SET times = times + 1, why = ? WHERE account_id = ? AND digest = ? RETURNING number
"""
_HELD: Final = "SELECT count(*), coalesce(sum(size), 0) FROM quarantine WHERE account_id = ?"
_KEEP: Final = """
INSERT INTO quarantine (account_id, digest, received_at, why, size, body) VALUES (?, ?, ?, ?, ?, ?) RETURNING number
"""
_NOT_KEPT: Final = """
INSERT INTO quarantine_not_kept (account_id, webhooks, first_at, last_at) VALUES (?, 1, ?, ?)
ON CONFLICT (account_id) DO UPDATE SET webhooks = quarantine_not_kept.webhooks + 1, last_at = excluded.last_at
"""
_SELECT: Final = "SELECT number, account_id, received_at, times, why, replayed_at, size FROM quarantine "
_ALL: Final = _SELECT + "WHERE number > ? ORDER BY number LIMIT ?"
_OF_ACCOUNT: Final = _SELECT + "WHERE account_id = ? AND number > ? ORDER BY number LIMIT ?"
_ONE: Final = _SELECT + "WHERE number = ?"
_BODY: Final = "SELECT body FROM quarantine WHERE number = ?"
_STILL: Final = "UPDATE quarantine SET why = ?, replayed_at = ? WHERE number = ?"
_DROP: Final = "DELETE FROM quarantine WHERE number = ?"
_LIST_NOT_KEPT: Final = "SELECT account_id, webhooks, first_at, last_at FROM quarantine_not_kept ORDER BY account_id"
#: A webhook of one account may hold entries of another one of the same app: so all the client's accounts on the channel.
_BODIES: Final = """
SELECT number, body FROM quarantine
WHERE number > ? AND EXISTS (
    SELECT 1 FROM account AS its CROSS JOIN account AS asked
    WHERE its.id = quarantine.account_id AND asked.id = ? AND asked.client_id = ?
        AND its.client_id = asked.client_id AND its.channel = asked.channel)
ORDER BY number LIMIT ?
"""

#: What retention outlives.
DELETE_OLD: Final = """
DELETE FROM quarantine WHERE number IN (
    SELECT number FROM quarantine WHERE received_at < ? ORDER BY received_at LIMIT ?)
"""
_ACCOUNT_OF: Final = "SELECT account_id FROM quarantine WHERE number = ?"
DELETE_OLD_COUNTS: Final = """
DELETE FROM quarantine_not_kept WHERE account_id IN (
    SELECT account_id FROM quarantine_not_kept WHERE last_at < ? ORDER BY last_at LIMIT ?)
"""


def keep(db: Database, unread: Unread) -> int | None:
    """Keep a webhook and return its number; None beyond the account's bound, where it is counted alone."""
    digest, size, now = hashlib.sha256(unread.body).digest(), len(unread.body), rows.micros(unread.at)
    again = db.execute(_AGAIN, (unread.why, unread.account_id, digest)).fetchone()
    if again is not None:
        return int(again[0])
    bodies, held = db.execute(_HELD, (unread.account_id,)).fetchone() or (0, 0)
    if bodies >= MOST_BODIES or size > MOST_OF_ONE or held + size > MOST_BYTES:
        db.execute(_NOT_KEPT, (unread.account_id, now, now))
        return None
    kept = db.execute(_KEEP, (unread.account_id, digest, now, unread.why, size, unread.body)).fetchone()
    assert kept is not None  # noqa: S101 - RETURNING of one row
    return int(kept[0])


def kept(db: Database, account_id: str, after: int, limit: int) -> list[Quarantined]:
    """Return what is in quarantine, of one account or with "" of all, above a number."""
    if account_id:
        return [_record(row) for row in db.execute(_OF_ACCOUNT, (account_id, after, limit))]
    return [_record(row) for row in db.execute(_ALL, (after, limit))]


def one(db: Database, number: int) -> tuple[Quarantined, bytes] | None:
    """Return one webhook in quarantine with its body."""
    row = db.execute(_ONE, (number,)).fetchone()
    body = db.execute(_BODY, (number,)).fetchone()
    return None if row is None or body is None else (_record(row), body[0])


def account_of(db: Database, number: int) -> str | None:
    """Return whose webhook has the number, None when nobody's has."""
    row = db.execute(_ACCOUNT_OF, (number,)).fetchone()
    return None if row is None else str(row[0])


def still(db: Database, number: int, why: str, at: datetime) -> None:
    """Note that a webhook was replayed, and could not be read."""
    db.execute(_STILL, (why, rows.micros(at), number))


def drop(db: Database, number: int) -> bool:
    """Delete a webhook. False: it was not there."""
    db.execute(_DROP, (number,))
    return db.changes() > 0


def not_kept(db: Database) -> list[NotKept]:
    """Return how many webhooks came beyond the bound, by account."""
    found = db.execute(_LIST_NOT_KEPT)
    return [NotKept(row[0], row[1], rows.moment(row[2]), rows.moment(row[3])) for row in found]


def naming(
    db: Database, whose: tuple[str, str], names: Sequence[str], after: int | None
) -> tuple[list[int], int | None]:
    """Return the webhooks of a window that hold one of *names* as a word, and the number to go on after; None at the end.

    *whose* are client and account. Nobody could read the bodies, so they are searched as bytes: a name that the platform
    writes with JSON's escapes is not found. No channel's addresses or phones need one.
    """
    words = b"|".join(re.escape(name.encode()) for name in names if name)
    if not words:
        return [], None
    client_id, account_id = whose
    window = list(db.execute(_BODIES, (after or 0, account_id, client_id, WINDOW)))
    pattern = re.compile(rb"(?<![0-9A-Za-z_])(?:" + words + rb")(?![0-9A-Za-z_])")
    found = [number for number, body in window if pattern.search(body)]
    return found, window[-1][0] if len(window) == WINDOW else None


def _record(row: rows.Row) -> Quarantined:
    number, account_id, received_at, times, why, replayed_at, size = row
    return Quarantined(number, account_id, rows.moment(received_at), times, why, rows.moment_or_none(replayed_at), size)
