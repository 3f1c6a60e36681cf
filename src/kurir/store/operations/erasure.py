"""Erasing a person on request: what of them is looked for where, and what stays as a bare record.

No index leads from a person to all that was ever said with them, since only this would need it: so it is looked for by
walking through the client's messages and events and the account's platform ids, in windows, on the patient reader. What is
found is erased in the writer, window by window, and the contact last: whoever is interrupted asks again, and finds the
contact with its aliases still there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from kurir.domain.status import Status
from kurir.store.base import ErrorRecord
from kurir.store.database import Database, Operation
from kurir.store.inbound import Forgotten
from kurir.store.operations import access, delivery, people, quarantine, rows, words

T = TypeVar("T")

#: What is left of a message's body: an empty JSON object.
ERASED_BODY: Final = b"{}"
#: Rows that one step looks at, and messages that one step cancels.
WINDOW: Final = 5_000
CANCELLED: Final = 500

#: Whose messages and contacts it may concern.
_IS_THEIRS: Final = "SELECT 1 FROM account WHERE id = ? AND client_id = ?"
_BEGUN: Final = """
SELECT seq FROM message WHERE account_id = ? AND queued = 1 AND parts_total > 0 AND (address = ? OR lane = ?)
"""
_WAITING: Final = """
SELECT tid, run FROM message
WHERE account_id = ? AND lane = ? AND (priority = 'high') = ? AND queued = 1 AND client_id = ? LIMIT ?
"""
_MESSAGES: Final = """
SELECT seq, account_id, address, lane, queued, erased_at FROM message WHERE client_id = ? AND seq > ? ORDER BY seq LIMIT ?
"""
_EVENTS: Final = """
SELECT position, account_id, conversation, seq FROM event
WHERE client_id = ? AND status IS DISTINCT FROM 0 AND position > ? ORDER BY position LIMIT ?
"""
_PLATFORM_IDS: Final = """
SELECT platform_id, address, tid FROM platform_id
WHERE account_id = ? AND platform_id > ? ORDER BY platform_id LIMIT ?
"""

_ERASE_MESSAGE: Final = """
UPDATE message SET recipient = '', lane = '', address = '', losses = NULL, render_losses = NULL,
    error_detail = CASE WHEN error_code IS NULL THEN NULL ELSE 'the person was erased on request' END,
    erased_at = ?
WHERE seq = ? AND queued = 0
"""
_ERASE_CONTENT: Final = "UPDATE content SET body = ?, facts = NULL WHERE seq = ?"
_ERASE_OF_MESSAGE: Final = (
    "UPDATE part SET address = '', error_detail = CASE WHEN error_code IS NULL THEN NULL ELSE '' END WHERE seq = ?",
    "UPDATE attempt SET request = '{}', headers = '{}', body = ?, reason = '' WHERE seq = ?",
    """
    UPDATE callback_attempt SET headers = '{}', body = ? WHERE (endpoint_id, position) IN (
        SELECT callback.endpoint_id, callback.position FROM event
        CROSS JOIN callback ON callback.position = event.position WHERE event.seq = ?)
    """,
    "UPDATE event SET conversation = '', error_detail = CASE WHEN error_code IS NULL THEN NULL ELSE '' END WHERE seq = ?",
)
_DELETE_EVENT: Final = "DELETE FROM event WHERE position = ? AND seq IS NULL"
#: Where no foreign key does it.
_DELETE_OF_EVENT: Final = (
    """
    DELETE FROM callback_attempt WHERE (endpoint_id, position) IN (
        SELECT endpoint_id, position FROM callback WHERE position = ?)
    """,
    "DELETE FROM callback WHERE position = ?",
)
_FORGET_ID: Final = "DELETE FROM platform_id WHERE account_id = ? AND platform_id = ? AND tid = ''"
_ERASE_ID: Final = """
UPDATE platform_id SET address = '', quote_token = '' WHERE account_id = ? AND platform_id = ? AND tid <> ''
"""
_ERASE_PERSON: Final = (
    "DELETE FROM contact_alias WHERE account_id = ? AND address = ?",
    "DELETE FROM contact_alias WHERE account_id = ? AND alias = ?",
    "DELETE FROM reply_token WHERE account_id = ? AND address = ?",
    "DELETE FROM vanishing_choice WHERE account_id = ? AND address = ?",
    "DELETE FROM watermark WHERE account_id = ? AND address = ?",
    "DELETE FROM early_receipt WHERE account_id = ? AND address = ? AND address <> ''",
)
_ERASE_LINKS: Final = "DELETE FROM link_token WHERE account_id = ? AND phone = ? AND phone <> ''"
_ERASE_CONTACT: Final = "DELETE FROM contact WHERE account_id = ? AND address = ?"


@dataclass(frozen=True, slots=True)
class _Person:
    """Whom it is about: every address of theirs, and every lane that messages to them may stand in."""

    client_id: str
    account_id: str
    addresses: tuple[str, ...]
    lanes: tuple[str, ...]
    phones: tuple[str, ...]


class Run(Protocol):
    """Runs an operation: in a transaction that writes, or in one that reads."""

    async def __call__(self, operation: Operation[T], /) -> T:
        """Return what *operation* returns."""
        ...


async def forget(write: Run, study: Run, whom: tuple[str, str, Sequence[str]], at: datetime) -> Forgotten:
    """Erase the person *whom* (client id, account id, addresses), unless something is being sent to them."""
    person = await write(lambda db: _find(db, *whom))
    if person is None:
        return Forgotten()
    cancelled = 0
    while True:
        begun, now_cancelled, more = await write(lambda db: _stop(db, person, at))
        cancelled += now_cancelled
        if begun:
            return Forgotten(begun=begun, cancelled=cancelled)
        if not more:
            break
    moment = rows.micros(at)
    messages = await _walk(write, study, person, _messages_of, lambda db, seq: _erase_message(db, seq, moment))
    events = await _walk(write, study, person, _events_of, _erase_event)
    await _walk(write, study, person, _platform_ids_of, lambda db, known: _erase_id(db, person, known))
    await _walk(write, study, person, _unread_of, quarantine.drop)
    await _walk(write, study, person, _requests_of, access.drop_request)
    contact = await write(lambda db: _erase_person(db, person))
    return Forgotten(0, cancelled, messages, events, contact)


def _find(db: Database, client_id: str, account_id: str, named: Sequence[str]) -> _Person | None:
    if db.execute(_IS_THEIRS, (account_id, client_id)).fetchone() is None:
        return None
    addresses, phones = dict[str, None](), dict[str, None]()
    for address in named:
        contact = people.contact(db, account_id, address)
        stands = address if contact is None else contact.address
        addresses |= dict.fromkeys((stands, address, *people.aliases(db, account_id, stands)))
        if contact is not None and contact.phone:
            phones[contact.phone] = None
    lanes = (*addresses, *(f"phone:{phone}" for phone in phones))
    return _Person(client_id, account_id, tuple(addresses), lanes, tuple(phones))


def _stop(db: Database, person: _Person, at: datetime) -> tuple[int, int, bool]:
    """Cancel what waits, unless something has begun. Returns how many have begun, how many ended, and whether more wait."""
    begun = {seq for lane in person.lanes for (seq,) in db.execute(_BEGUN, (person.account_id, lane, lane))}
    if begun:
        return len(begun), 0, False
    error = ErrorRecord("cancelled", "the person was erased on request")
    cancelled = 0
    for lane in person.lanes:
        for high in (True, False):
            left = CANCELLED - cancelled
            waiting = (person.account_id, lane, high, person.client_id, left)
            for tid, run in list(db.execute(_WAITING, waiting)):
                cancelled += delivery.finish(db, tid, run, Status.UNSENT, error, at)
    return 0, cancelled, cancelled == CANCELLED


# --- looking, in windows --------------------------------------------------------------------------------------------

#: What a window found, and the cursor to go on after; None at the end.
_Found = tuple[list[Any], Any]


async def _walk(
    write: Run,
    study: Run,
    person: _Person,
    look: Callable[[Database, _Person, Any], _Found],
    erase: Callable[[Database, Any], int],
) -> int:
    """Erase whatever *look* finds, window by window. Returns how much that was."""
    erased, cursor = 0, None
    while True:
        found, cursor = await study(lambda db, after=cursor: look(db, person, after))  # type: ignore[misc]
        if found:
            erased += await write(lambda db, found=found: sum(erase(db, one) for one in found))  # type: ignore[misc]
        if cursor is None:
            return erased


def _messages_of(db: Database, person: _Person, after: int | None) -> _Found:
    window = list(db.execute(_MESSAGES, (person.client_id, after or 0, WINDOW)))
    found = [
        seq
        for seq, account_id, address, lane, queued, erased_at in window
        if account_id == person.account_id
        and (address in person.addresses or lane in person.lanes)
        and not queued
        and erased_at is None
    ]
    return found, window[-1][0] if len(window) == WINDOW else None


def _events_of(db: Database, person: _Person, after: int | None) -> _Found:
    window = list(db.execute(_EVENTS, (person.client_id, after or 0, WINDOW)))
    found = [
        position
        for position, account_id, conversation, seq in window
        if seq is None and account_id == person.account_id and conversation in person.addresses
    ]
    return found, window[-1][0] if len(window) == WINDOW else None


def _platform_ids_of(db: Database, person: _Person, after: str | None) -> _Found:
    window = list(db.execute(_PLATFORM_IDS, (person.account_id, after or "", WINDOW)))
    found = [platform_id for platform_id, address, _ in window if address in person.addresses]
    return found, window[-1][0] if len(window) == WINDOW else None


def _unread_of(db: Database, person: _Person, after: int | None) -> _Found:
    names = (*person.addresses, *person.phones)
    return quarantine.naming(db, (person.client_id, person.account_id), names, after)


def _requests_of(db: Database, person: _Person, after: int | None) -> _Found:
    return access.requests_naming(db, person.client_id, (*person.addresses, *person.phones), after)


# --- erasing --------------------------------------------------------------------------------------------------------


def _erase_message(db: Database, seq: int, now: int) -> int:
    db.execute(_ERASE_MESSAGE, (now, seq))
    if db.changes() == 0:
        return 0  # it was queued again meanwhile, or retention was faster
    db.execute(_ERASE_CONTENT, (ERASED_BODY, seq))
    words.forget(db, seq)
    for statement in _ERASE_OF_MESSAGE:
        db.execute(statement, (b"", seq) if "body = ?" in statement else (seq,))
    return 1


def _erase_event(db: Database, position: int) -> int:
    db.execute(_DELETE_EVENT, (position,))
    deleted = db.changes()
    if deleted:
        for statement in _DELETE_OF_EVENT:
            db.execute(statement, (position,))
    return deleted


def _erase_id(db: Database, person: _Person, platform_id: str) -> int:
    for statement in (_FORGET_ID, _ERASE_ID):
        db.execute(statement, (person.account_id, platform_id))
    return 1


def _erase_person(db: Database, person: _Person) -> bool:
    for statement in _ERASE_PERSON:
        for address in person.addresses:
            db.execute(statement, (person.account_id, address))
    for phone in person.phones:
        db.execute(_ERASE_LINKS, (person.account_id, phone))
    known = 0
    for address in person.addresses:
        db.execute(_ERASE_CONTACT, (person.account_id, address))
        known += db.changes()
    return known > 0
