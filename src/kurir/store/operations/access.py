"""Users of the console, their sessions and links; the audit; the log of requests.

The functions run inside a transaction.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, Final

from kurir.domain.problem import Problem
from kurir.store.access import (
    REQUEST_LIFE,
    REQUESTS_KEPT,
    SESSION_IDLE,
    AuditFilter,
    AuditRecord,
    RequestFilter,
    RequestGroup,
    RequestRecord,
    SessionRecord,
    UserChange,
    UserOutcome,
    UserRecord,
)
from kurir.store.database import Database
from kurir.store.operations.rows import FOREVER, Row, micros, moment, moment_or_none

#: Requests that a grouping looks at, at most.
GROUPED: Final = 10_000

_USER: Final = """
SELECT console_user.id, name, role, client_id, password_hash, totp, totp_step, language, enabled, console_user.created_at,
    signed_in_at
FROM console_user
"""
_USERS: Final = _USER + " ORDER BY name"
_USER_NAMED: Final = _USER + " WHERE name = ?"
_USER_OF_ID: Final = _USER + " WHERE console_user.id = ?"
_OTHER_OWNER: Final = "SELECT id FROM console_user WHERE role = 'owner' AND enabled = 1 AND id <> ? LIMIT 1"
_ANY_USER: Final = "SELECT id FROM console_user LIMIT 1"
_PUT_USER: Final = """
INSERT INTO console_user
    (id, name, role, client_id, password_hash, totp, language, enabled, created_at, changed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, role = excluded.role, client_id = excluded.client_id, password_hash = excluded.password_hash,
    totp = excluded.totp, language = excluded.language, enabled = excluded.enabled, changed_at = excluded.changed_at
"""
_REMOVE_USER: Final = "DELETE FROM console_user WHERE id = ?"
_REMOVE_LINKS: Final = "DELETE FROM console_link WHERE user_id = ?"
_USE_TOTP: Final = "UPDATE console_user SET totp_step = ? WHERE id = ? AND totp_step < ?"

_OPEN_SESSION: Final = """
INSERT INTO console_session (digest, id, user_id, created_at, seen_at, address, agent) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_SIGNED_IN: Final = "UPDATE console_user SET signed_in_at = ? WHERE id = ?"
_SESSION: Final = """
SELECT its.id, its.user_id, its.created_at, its.seen_at, its.address, its.agent,
    console_user.id, name, role, client_id, password_hash, totp, totp_step, language, enabled, console_user.created_at,
    signed_in_at
FROM console_session AS its JOIN console_user ON console_user.id = its.user_id
WHERE its.digest = ? AND enabled = 1
"""
_TOUCH: Final = "UPDATE console_session SET seen_at = ? WHERE digest = ? AND seen_at < ?"
_SESSIONS: Final = """
SELECT id, user_id, created_at, seen_at, address, agent FROM console_session WHERE user_id = ? ORDER BY seen_at DESC
"""
_CLOSE: Final = "DELETE FROM console_session WHERE user_id = ?"
_ONLY: Final = " AND id = ?"
_BUT: Final = " AND id <> ?"

_PUT_LINK: Final = "INSERT INTO console_link (digest, user_id, expires_at) VALUES (?, ?, ?)"
_LINK: Final = "SELECT user_id FROM console_link WHERE digest = ? AND expires_at > ?"
_USE_LINK: Final = "DELETE FROM console_link WHERE digest = ? AND expires_at > ? RETURNING user_id"

_ADD_AUDIT: Final = """
INSERT INTO audit (at, actor, via, address, action, kind, subject, client_id, before_value, after_value)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_AUDIT: Final = """
SELECT at, actor, via, address, action, kind, subject, client_id, before_value, after_value, number FROM audit
WHERE number < ?
"""
_ADD_REQUEST: Final = """
INSERT INTO request_log
    (at, request_id, client_id, method, path, status, code, detail, problems, duration_us, address, agent, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_REQUEST: Final = """
SELECT at, request_id, client_id, method, path, status, code, detail, problems, duration_us, address, agent, body, number
FROM request_log
"""
_GROUPS: Final = """
SELECT code, client_id, count(*), max(at), max(number) FROM (
    SELECT code, client_id, at, number FROM request_log WHERE at >= ? AND status >= 400 {scope}
    ORDER BY number DESC LIMIT ?) AS newest
GROUP BY code, client_id ORDER BY count(*) DESC, code, client_id LIMIT ?
"""
_TEXTS_OF_REQUESTS: Final = """
SELECT number, body, path, detail, problems FROM request_log WHERE client_id = ? AND number > ? ORDER BY number LIMIT ?
"""
_DROP_REQUEST: Final = "DELETE FROM request_log WHERE number = ?"
#: Requests that are looked through at once; digits by which a phone is known, and the shortest name that is looked for.
_WINDOW: Final = 1_000
_DIGITS_OF_ONE: Final = 8
_SHORTEST_NAME: Final = 5
_BLANKS: Final = re.compile(r"[\s().-]")
_NEWEST: Final = " ORDER BY number DESC LIMIT ?"

_OLD_SESSIONS: Final = """
DELETE FROM console_session WHERE digest IN (
    SELECT digest FROM console_session WHERE seen_at < ? ORDER BY seen_at LIMIT ?)
"""
_OLD_LINKS: Final = """
DELETE FROM console_link WHERE digest IN (
    SELECT digest FROM console_link WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)
"""
_OLD_REQUESTS: Final = """
DELETE FROM request_log WHERE number IN (SELECT number FROM request_log WHERE at < ? ORDER BY at LIMIT ?)
"""
_NEWEST_REQUEST: Final = "SELECT max(number) FROM request_log"
_MANY_REQUESTS: Final = """
DELETE FROM request_log WHERE number IN (SELECT number FROM request_log WHERE number <= ? ORDER BY number LIMIT ?)
"""


# --- users ------------------------------------------------------------------------------------------------------------


def _user(row: Row) -> UserRecord:
    return UserRecord(
        id=row[0],
        name=row[1],
        role=row[2],
        client_id=row[3],
        password_hash=row[4],
        totp=bytes(row[5] or b""),
        totp_step=row[6],
        language=row[7],
        enabled=bool(row[8]),
        created_at=moment(row[9]),
        signed_in_at=moment_or_none(row[10]),
    )


def users(db: Database) -> list[UserRecord]:
    """Return every user."""
    return [_user(row) for row in db.execute(_USERS)]


def user_named(db: Database, name: str) -> UserRecord | None:
    """Return the user of this name."""
    row = db.execute(_USER_NAMED, (name,)).fetchone()
    return None if row is None else _user(row)


def put_user(db: Database, user: UserRecord, at: datetime, *, first: bool) -> bool:
    """Add or replace a user, unless the name is taken, or with *first* anybody is there."""
    named = user_named(db, user.name)
    if named is not None and named.id != user.id:
        return False
    if first and db.execute(_ANY_USER).fetchone() is not None:
        return False
    _put(db, user, at)
    return True


def _put(db: Database, user: UserRecord, at: datetime) -> None:
    now = micros(at)
    values = (user.id, user.name, user.role, user.client_id, user.password_hash, user.totp or None, user.language)
    db.execute(_PUT_USER, (*values, int(user.enabled), micros(user.created_at or at), now))


def change_user(db: Database, user_id: str, change: UserChange, at: datetime) -> UserOutcome:
    """Change what is named of a user."""
    row = db.execute(_USER_OF_ID, (user_id,)).fetchone()
    if row is None:
        return UserOutcome.GONE
    user = _user(row)
    given = {one.name: getattr(change, one.name) for one in fields(change) if getattr(change, one.name) is not None}
    wanted = replace(user, **given)
    named = user_named(db, wanted.name)
    if named is not None and named.id != user_id:
        return UserOutcome.TAKEN
    if _is_owner(user) and not _is_owner(wanted) and db.execute(_OTHER_OWNER, (user_id,)).fetchone() is None:
        return UserOutcome.LAST_OWNER
    _put(db, wanted, at)
    if change.password_hash is not None or not wanted.enabled:
        db.execute(_REMOVE_LINKS, (user_id,))
    if not wanted.enabled:
        db.execute(_CLOSE, (user_id,))
    return UserOutcome.DONE


def remove_user(db: Database, user_id: str) -> UserOutcome:
    """Delete a user with sessions and links."""
    row = db.execute(_USER_OF_ID, (user_id,)).fetchone()
    if row is None:
        return UserOutcome.GONE
    if _is_owner(_user(row)) and db.execute(_OTHER_OWNER, (user_id,)).fetchone() is None:
        return UserOutcome.LAST_OWNER
    db.execute(_REMOVE_LINKS, (user_id,))
    db.execute(_CLOSE, (user_id,))
    db.execute(_REMOVE_USER, (user_id,))
    return UserOutcome.DONE


def _is_owner(user: UserRecord) -> bool:
    return user.enabled and user.role == "owner"


def use_totp(db: Database, user_id: str, step: int) -> bool:
    """Note the use of a code, unless it was used."""
    db.execute(_USE_TOTP, (step, user_id, step))
    return db.changes() > 0


# --- sessions and links -----------------------------------------------------------------------------------------------


def _session(row: Row) -> SessionRecord:
    return SessionRecord(row[0], row[1], moment(row[2]), moment(row[3]), row[4], row[5])


def open_session(db: Database, digest: bytes, session: SessionRecord) -> None:
    """Keep a session."""
    created, seen = micros(session.created_at), micros(session.seen_at)
    db.execute(_OPEN_SESSION, (digest, session.id, session.user_id, created, seen, session.address, session.agent))
    db.execute(_SIGNED_IN, (created, session.user_id))


def session(db: Database, digest: bytes) -> tuple[SessionRecord, UserRecord] | None:
    """Return a session of a user who may look."""
    row = db.execute(_SESSION, (digest,)).fetchone()
    return None if row is None else (_session(row[:6]), _user(row[6:]))


def touch_session(db: Database, digest: bytes, at: datetime) -> None:
    """Note that a session is used."""
    now = micros(at)
    db.execute(_TOUCH, (now, digest, now))


def sessions(db: Database, user_id: str) -> list[SessionRecord]:
    """Return the sessions of a user."""
    return [_session(row) for row in db.execute(_SESSIONS, (user_id,))]


def close_sessions(db: Database, user_id: str, only: str | None, but: str | None) -> int:
    """End sessions of a user."""
    statement, values = _CLOSE, [user_id]
    if only is not None:
        statement, values = statement + _ONLY, [*values, only]
    if but is not None:
        statement, values = statement + _BUT, [*values, but]
    db.execute(statement, values)
    return db.changes()


def put_sign_in_link(db: Database, digest: bytes, user_id: str, expires_at: datetime) -> None:
    """Keep a link."""
    db.execute(_PUT_LINK, (digest, user_id, micros(expires_at)))


def sign_in_link(db: Database, digest: bytes, at: datetime) -> str | None:
    """Return whose link it is."""
    row = db.execute(_LINK, (digest, micros(at))).fetchone()
    return None if row is None else str(row[0])


def use_sign_in_link(db: Database, digest: bytes, at: datetime) -> str | None:
    """Return whose link it is, and delete it."""
    row = db.execute(_USE_LINK, (digest, micros(at))).fetchone()
    return None if row is None else str(row[0])


# --- audit ------------------------------------------------------------------------------------------------------------


def add_audit(db: Database, entries: Sequence[AuditRecord]) -> None:
    """Keep what was done."""
    for one in entries:
        subject = (one.action, one.kind, one.subject, one.client_id)
        db.execute(_ADD_AUDIT, (micros(one.at), one.actor, one.via, one.address, *subject, one.before, one.after))


def audit(db: Database, wanted: AuditFilter, limit: int) -> list[AuditRecord]:
    """Return what was done, newest first."""
    statement, values = _scoped(_AUDIT, [wanted.before or FOREVER], wanted.client_ids)
    for column, value in (
        ("actor", wanted.actor),
        ("action", wanted.action),
        ("kind", wanted.kind),
        ("subject", wanted.subject),
        ("via", wanted.via),
    ):
        if value is not None:
            statement, values = f"{statement} AND {column} = ?", [*values, value]
    if wanted.since is not None:
        statement, values = f"{statement} AND at >= ?", [*values, micros(wanted.since)]
    found = db.execute(statement + _NEWEST, (*values, limit))
    return [AuditRecord(moment(row[0]), *row[1:11]) for row in found]


# --- requests ---------------------------------------------------------------------------------------------------------


def add_requests(db: Database, requests: Sequence[RequestRecord]) -> None:
    """Keep what became of requests."""
    for one in requests:
        problems = json.dumps([[each.pointer, each.code, each.detail] for each in one.problems], ensure_ascii=False)
        what = (one.request_id, one.client_id, one.method, one.path, one.status, one.code, one.detail, problems)
        db.execute(_ADD_REQUEST, (micros(one.at), *what, one.duration_us, one.address, one.agent, one.body))


def _request(row: Row) -> RequestRecord:
    problems = tuple(Problem(*each) for each in json.loads(row[8]))
    made = RequestRecord(
        moment(row[0]), row[1], row[2], row[3], row[4], row[5], row[6], row[7], problems, row[9], row[10], row[11]
    )
    return replace(made, body=row[12], number=row[13])


def requests(db: Database, wanted: RequestFilter, limit: int) -> list[RequestRecord]:
    """Return requests, newest first."""
    statement, values = _scoped(_REQUEST + " WHERE number < ?", [wanted.before or FOREVER], wanted.client_ids)
    for column, value in (("code", wanted.code), ("status", wanted.status), ("request_id", wanted.request_id)):
        if value is not None:
            statement, values = f"{statement} AND {column} = ?", [*values, value]
    return [_request(row) for row in db.execute(statement + _NEWEST, (*values, limit))]


def request(db: Database, number: int) -> RequestRecord | None:
    """Return one request."""
    row = db.execute(_REQUEST + " WHERE number = ?", (number,)).fetchone()
    return None if row is None else _request(row)


def request_groups(db: Database, client_ids: tuple[str, ...] | None, since: datetime, limit: int) -> list[RequestGroup]:
    """Return refused requests by error and client."""
    scope, values = _scoped("", [micros(since)], client_ids)
    found = db.execute(_GROUPS.format(scope=scope), (*values, GROUPED, limit))
    return [RequestGroup(row[0], row[1], row[2], moment(row[3]), row[4]) for row in found]


def requests_naming(
    db: Database, client_id: str, names: Sequence[str], after: int | None
) -> tuple[list[int], int | None]:
    """Return the requests of a window of the client's that name a person, and the number to go on after; None at the end.

    Of a long number its last digits count, since people write a phone in many ways. Rather one too many goes than one too few.
    """
    needles = [name[-_DIGITS_OF_ONE:] if name.isdigit() else name for name in names if len(name) >= _SHORTEST_NAME]
    window = list(db.execute(_TEXTS_OF_REQUESTS, (client_id, after or 0, _WINDOW)))
    found = [
        number
        for number, *texts in window
        if any(needle in text for text in (" ".join(texts), _BLANKS.sub("", " ".join(texts))) for needle in needles)
    ]
    return found, window[-1][0] if len(window) == _WINDOW else None


def drop_request(db: Database, number: int) -> int:
    """Delete a request of the log."""
    db.execute(_DROP_REQUEST, (number,))
    return db.changes()


# --- upkeep -----------------------------------------------------------------------------------------------------------


def purge_access(db: Database, now: datetime, limit: int) -> int:
    """Delete what is of no use any more."""
    newest = db.execute(_NEWEST_REQUEST).fetchone()[0] or 0
    gone = 0
    for statement, bound in (
        (_OLD_SESSIONS, micros(now - SESSION_IDLE)),
        (_OLD_LINKS, micros(now)),
        (_OLD_REQUESTS, micros(now - REQUEST_LIFE)),
        (_MANY_REQUESTS, newest - REQUESTS_KEPT),
    ):
        db.execute(statement, (bound, limit))
        gone += db.changes()
    return gone


def _scoped(statement: str, values: list[Any], client_ids: tuple[str, ...] | None) -> tuple[str, list[Any]]:
    """Return *statement* with a clause that lets only rows of these clients through, and its values."""
    if client_ids is None:
        return statement, values
    if not client_ids:
        return statement + " AND 1 = 0", values
    marks = ", ".join("?" for _ in client_ids)
    return f"{statement} AND client_id IN ({marks})", [*values, *client_ids]
