"""People as the accounts know them: contacts, their other addresses, and what is learned of them.

What comes in teaches, and so do answers of platforms; a client links, renames and imports. A person is one contact: what
is known of another address of theirs is drawn together under the one that stands. The functions run inside a transaction
of the writer, the reading ones of a reader.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from kurir.store import contact_data
from kurir.store.base import ContactRecord
from kurir.store.database import Database
from kurir.store.inbound import Heard
from kurir.store.operations import events, rows

#: Contacts that one list shows, at most.
LIST: Final = 1_000
#: The kinds of events that tell whether somebody blocked us.
BLOCKING: Final = ("contact.unblocked", "contact.blocked")
_SECOND: Final = 1_000_000

_CONTACT: Final = rows.CONTACT + "WHERE account_id = ? AND address = ?"
#: How many are asked for by one statement: each is planned once, and what is asked for fills the next larger one.
_SIZES: Final = (1, 4, 16, 64, 200)


def _sized(statement: str) -> dict[int, str]:
    return {size: statement.format(among=f"IN ({', '.join('?' * size)})") for size in _SIZES}


_CONTACTS_AT: Final = _sized(rows.CONTACT + "WHERE account_id = ? AND address {among}")
_CONTACTS_BY_PHONE: Final = _sized(rows.CONTACT + "WHERE account_id = ? AND phone {among} AND phone <> ''")
_ALIASES_AMONG: Final = _sized("SELECT account_id, alias FROM contact_alias WHERE account_id = ? AND alias {among}")
_ALIAS: Final = "SELECT address, moved, at FROM contact_alias WHERE account_id = ? AND alias = ?"
_ALIASES: Final = "SELECT alias FROM contact_alias WHERE account_id = ? AND address = ? ORDER BY alias"
_CONTACTS: Final = rows.CONTACT + "WHERE client_id = ? AND (account_id, address) > (?, ?)"
_WITH_PHONE: Final = " AND phone = ? AND phone <> ''"
_OF_CHANNEL: Final = " AND channel = ?"
_BY_ADDRESS: Final = " ORDER BY account_id, address LIMIT ?"

#: Whatever taking in what a person wrote has to know, in one look: where their address leads, who stands there, who has
#: their phone, and which choices the conversation was shown.
_GLANCE: Final = """
SELECT contact_alias.address, holder.address, contact.client_id, contact.channel, contact.phone, contact.name,
       contact.username, contact.last_inbound_at, contact.blocked, contact.blocked_at, contact.block_inferred,
       vanishing_choice.at, vanishing_choice.message_id, vanishing_choice.choices
FROM (SELECT ? AS account_id, ? AS address, ? AS phone) AS asked
LEFT JOIN contact_alias ON contact_alias.account_id = asked.account_id AND contact_alias.alias = asked.address
LEFT JOIN contact AS holder ON holder.account_id = asked.account_id AND holder.phone = asked.phone AND holder.phone <> ''
LEFT JOIN contact ON contact.account_id = asked.account_id AND contact.address = asked.address
LEFT JOIN vanishing_choice
    ON vanishing_choice.account_id = asked.account_id AND vanishing_choice.address = asked.address
"""
_NEW_CONTACT: Final = """
INSERT INTO contact (account_id, address, client_id, channel, phone, name, username, last_inbound_at, linked_at, blocked,
                     blocked_at, block_inferred, changed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_HEARD_AGAIN: Final = """
UPDATE contact SET last_inbound_at = ?, blocked_at = ?, block_inferred = ?, changed_at = ?
WHERE account_id = ? AND address = ?
"""
_TAKE_PHONE: Final = """
UPDATE contact SET phone = '', linked_at = NULL, changed_at = ?
WHERE account_id = ? AND phone = ? AND phone <> '' AND address <> ?
"""
_PUT_CONTACT: Final = """
INSERT INTO contact (account_id, address, client_id, channel, phone, name, username, last_inbound_at, linked_at, blocked,
                     blocked_at, block_inferred, changed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (account_id, address) DO UPDATE SET client_id = excluded.client_id, channel = excluded.channel,
    phone = excluded.phone,
    name = excluded.name, username = excluded.username, last_inbound_at = excluded.last_inbound_at,
    linked_at = excluded.linked_at, blocked = excluded.blocked, blocked_at = excluded.blocked_at,
    block_inferred = excluded.block_inferred, changed_at = excluded.changed_at
"""
_UNLINK: Final = "UPDATE contact SET phone = '', linked_at = NULL, changed_at = ? WHERE account_id = ? AND address = ?"
_DELETE_CONTACT: Final = "DELETE FROM contact WHERE account_id = ? AND address = ?"
_PUT_ALIAS: Final = """
INSERT INTO contact_alias (account_id, alias, address, moved, at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (account_id, alias) DO UPDATE SET address = excluded.address, moved = excluded.moved, at = excluded.at
"""
_LEAD_ALIASES: Final = "UPDATE contact_alias SET address = ? WHERE account_id = ? AND address = ?"
_DROP_ALIAS: Final = "DELETE FROM contact_alias WHERE account_id = ? AND alias = ?"
_MOVE_TOKENS: Final = "UPDATE reply_token SET address = ? WHERE account_id = ? AND address = ?"
#: Of two conversations that turn out to be one, the younger choices stay.
_MOVE_CHOICES: Final = """
INSERT INTO vanishing_choice (account_id, address, at, message_id, choices)
SELECT account_id, ?1, at, message_id, choices FROM vanishing_choice WHERE account_id = ?2 AND address = ?3
ON CONFLICT (account_id, address) DO UPDATE SET at = excluded.at, message_id = excluded.message_id, choices = excluded.choices
    WHERE excluded.at > vanishing_choice.at
"""
_DROP_CHOICES: Final = "DELETE FROM vanishing_choice WHERE account_id = ? AND address = ?"


# --- reading --------------------------------------------------------------------------------------------------------


def contact(db: Database, account_id: str, address: str) -> ContactRecord | None:
    """Return the contact with an address, or with it as an alias."""
    found = _at(db, account_id, address)
    if found is None:
        alias = db.execute(_ALIAS, (account_id, address)).fetchone()
        found = None if alias is None else _at(db, account_id, alias[0])
    return found


def contact_by_phone(db: Database, account_id: str, phone: str) -> ContactRecord | None:
    """Return the contact that a phone is linked to."""
    return contacts_by_phone(db, [(account_id, phone)]).get((account_id, phone))


def contacts_at(db: Database, places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], ContactRecord]:
    """Return the contacts with these (account id, address), or with them as an alias."""
    found = _many(db, _CONTACTS_AT, places, lambda one: one.address)
    for account_id, address in _asked(db, _ALIASES_AMONG, [place for place in places if place not in found]):
        known = contact(db, account_id, address)
        if known is not None:
            found[account_id, address] = known
    return found


def contacts_by_phone(db: Database, places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], ContactRecord]:
    """Return the contacts that these (account id, phone) are linked to."""
    return _many(db, _CONTACTS_BY_PHONE, places, lambda one: one.phone)


def _many(
    db: Database, sized: dict[int, str], places: Sequence[tuple[str, str]], name: Callable[[ContactRecord], str]
) -> dict[tuple[str, str], ContactRecord]:
    records = [rows.contact(row) for row in _asked(db, sized, places)]
    return {(record.account_id, name(record)): record for record in records}


def _asked(db: Database, sized: dict[int, str], places: Sequence[tuple[str, str]]) -> list[rows.Row]:
    """Return what *sized* finds of these (account id, name)."""
    names: dict[str, list[str]] = {}
    for account_id, name in places:
        names.setdefault(account_id, []).append(name)
    found: list[rows.Row] = []
    for account_id, wanted in names.items():
        for start in range(0, len(wanted), _SIZES[-1]):
            some = wanted[start : start + _SIZES[-1]]
            size = next(size for size in _SIZES if size >= len(some))
            found += db.execute(sized[size], (account_id, *some, *some[-1:] * (size - len(some))))
    return found


def contacts(
    db: Database,
    client_id: str,
    phone: str | None,
    channel: str | None,
    after: tuple[str, str] | None,
    limit: int,
) -> list[ContactRecord]:
    """Return the client's contacts above *after*."""
    statement, values = _CONTACTS, [client_id, *(after or ("", ""))]
    if phone is not None:
        statement += _WITH_PHONE
        values.append(phone)
    if channel is not None:
        statement += _OF_CHANNEL
        values.append(channel)
    return [rows.contact(row) for row in db.execute(statement + _BY_ADDRESS, (*values, min(limit, LIST)))]


def aliases(db: Database, account_id: str, address: str) -> list[str]:
    """Return the other addresses of the contact at *address*."""
    return [alias for (alias,) in db.execute(_ALIASES, (account_id, address))]


def _at(db: Database, account_id: str, address: str) -> ContactRecord | None:
    row = db.execute(_CONTACT, (account_id, address)).fetchone()
    return None if row is None else rows.contact(row)


# --- what a client says ---------------------------------------------------------------------------------------------


def put_contact(db: Database, given: ContactRecord, at: datetime) -> ContactRecord:
    """Create or change a contact. What *given* leaves empty stays as it is; so does whether the person blocked us."""
    known = contact(db, given.account_id, given.address)
    if known is None:
        stored = given
        db.execute(_DROP_ALIAS, (given.account_id, given.address))
    else:
        stored = _merged(known, given)
    if stored.phone and stored.linked_at is None:
        stored = replace(stored, linked_at=at)
    _store(db, stored, rows.micros(at))
    return stored


def unlink_contact(db: Database, client_id: str, account_id: str, address: str, at: datetime) -> ContactRecord | None:
    """Take a contact's phone away. Returns the contact as it is now, None where the client has none there."""
    known = contact(db, account_id, address)
    if known is None or known.client_id != client_id:
        return None
    db.execute(_UNLINK, (rows.micros(at), account_id, known.address))
    return replace(known, phone="", linked_at=None)


def _merged(known: ContactRecord, given: ContactRecord) -> ContactRecord:
    phone = given.phone or known.phone
    return replace(
        known,
        client_id=given.client_id,
        channel=given.channel,
        phone=phone,
        name=given.name or known.name,
        username=given.username or known.username,
        last_inbound_at=_later(known.last_inbound_at, given.last_inbound_at),
        linked_at=known.linked_at if phone == known.phone else given.linked_at,
    )


def _store(db: Database, stored: ContactRecord, now: int) -> None:
    """Store a contact. Its phone leaves whoever had it."""
    db.execute(_TAKE_PHONE, (now, stored.account_id, stored.phone, stored.address))
    db.execute(
        _PUT_CONTACT,
        (
            stored.account_id,
            stored.address,
            stored.client_id,
            stored.channel,
            stored.phone,
            stored.name,
            stored.username,
            rows.micros_or_none(stored.last_inbound_at),
            rows.micros_or_none(stored.linked_at),
            stored.blocked,
            rows.micros_or_none(stored.blocked_at),
            stored.block_inferred,
            now,
        ),
    )


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment is not None), default=None)


# --- what is learned ------------------------------------------------------------------------------------------------


def learn(db: Database, heard: Heard, now: int, *, tells: bool = True) -> frozenset[str]:
    """Learn what was heard of a person, with the event where it changes whether they blocked us (unless not *tells*).

    Returns what has changed: among new, name, phone, address and blocked.
    """
    changed: set[str] = set()
    address = _standing(db, heard)
    if heard.moved_to and heard.moved_to != address:
        _draw_together(db, heard, address, heard.moved_to, moved=True, now=now)
        address = heard.moved_to
        changed.add("address")
    for alias in heard.aliases:
        if alias and alias != address and _leads(db, heard.account_id, alias) != address:
            _draw_together(db, heard, alias, address, moved=False, now=now)
            changed.add("address")
    known = _at(db, heard.account_id, address)
    if known is None:
        if not _tells(heard):
            return frozenset(changed)
        changed.add("new")
        db.execute(_DROP_ALIAS, (heard.account_id, address))
        known = ContactRecord(heard.client_id, heard.account_id, heard.channel, address)
    stored = _with_phone(db, _taught(known, heard), heard)
    changed |= {
        word
        for word, before, after in (
            ("name", (known.name, known.username), (stored.name, stored.username)),
            ("phone", known.phone, stored.phone),
            ("blocked", known.blocked, stored.blocked),
        )
        if before != after
    }
    if changed or stored != known:
        _store(db, stored, now)
    if "blocked" in changed and tells:
        tell_blocked(db, stored, heard.at, now)
    return frozenset(changed)


def glance(db: Database, account_id: str, address: str, phone: str) -> rows.Row:
    """Return a row of what is known at *address*: for :func:`learn_plain`; its last three columns are those of choices."""
    return db.execute(_GLANCE, (account_id, address, phone)).fetchone()  # type: ignore[no-any-return]  # always one row


def learn_plain(db: Database, heard: Heard, known: rows.Row, now: int) -> frozenset[str] | None:
    """Do as :func:`learn` where what was heard is plain; None, with nothing done, where it is not.

    Plain is nearly all that people write: no address leads anywhere and no phone changes hands, whether they blocked us
    stays as it is, and either nobody is known there yet, or who is has the name that they had. *known* is what
    :func:`glance` gave for the address and the phone that were heard.
    """
    if known[0] is not None or heard.moved_to or heard.aliases or heard.blocked:
        return None
    holder, client_id, channel, phone, name, username, last, blocked, blocked_at, inferred = known[1:11]
    at, told = rows.micros(heard.at), heard.blocked is not None
    if client_id is None:
        if holder is not None or not _tells(heard):
            return None
        db.execute(
            _NEW_CONTACT,
            (
                heard.account_id,
                heard.address,
                heard.client_id,
                heard.channel,
                heard.phone,
                heard.name,
                heard.username,
                at if heard.heard else None,
                at if heard.phone else None,
                False,
                at if told else None,
                told and heard.inferred,
                now,
            ),
        )
        learned = ("new", "name" if heard.name or heard.username else "", "phone" if heard.phone else "")
        return frozenset(filter(None, learned))
    late = last is not None and at < last
    names = ((name, heard.name), (username, heard.username))
    if blocked or (client_id, channel) != (heard.client_id, heard.channel) or heard.phone not in ("", phone):
        return None
    if any(told_name and told_name != was and not (late and was) for was, told_name in names):
        return None
    then = last if late or not heard.heard else at
    block = (blocked_at, bool(inferred))
    if told and (blocked_at is None or (inferred and not heard.inferred) or at >= blocked_at - blocked_at % _SECOND):
        block = (at, heard.inferred)
    if (then, *block) != (last, blocked_at, bool(inferred)):
        db.execute(_HEARD_AGAIN, (then, *block, now, heard.account_id, heard.address))
    return frozenset()


def _tells(heard: Heard) -> bool:
    """Return whether there is something to keep of somebody who is not known."""
    return bool(heard.heard or heard.name or heard.username or heard.phone or heard.blocked is not None)


def _taught(known: ContactRecord, heard: Heard) -> ContactRecord:
    """Return the contact with what was heard, but for the phone. Older news of names and of blocking change nothing."""
    late = known.last_inbound_at is not None and heard.at < known.last_inbound_at
    block = (known.blocked, known.blocked_at, known.block_inferred)
    if heard.blocked is not None and _newer_news(known, heard):
        block = (heard.blocked, heard.at, heard.inferred)
    return replace(
        known,
        client_id=heard.client_id,
        channel=heard.channel,
        name=(known.name or heard.name) if late else (heard.name or known.name),
        username=(known.username or heard.username) if late else (heard.username or known.username),
        last_inbound_at=_later(known.last_inbound_at, heard.at) if heard.heard else known.last_inbound_at,
        blocked=block[0],
        blocked_at=block[1],
        block_inferred=block[2],
    )


def _newer_news(known: ContactRecord, heard: Heard) -> bool:
    """Return whether what was *heard* of blocking comes after what is *known*.

    What the platform tells goes before what we inferred from an answer, whatever the times say: they are of two clocks, and
    an unblocking that seemed older would never be heard of again. Platforms tell whole seconds: what they tell of the second
    in which we learned something came after it, perhaps.
    """
    if known.blocked_at is None or (known.block_inferred and not heard.inferred):
        return True
    return heard.at >= known.blocked_at.replace(microsecond=0)


def _with_phone(db: Database, known: ContactRecord, heard: Heard) -> ContactRecord:
    """Return the contact with the phone that was heard to be theirs, unless newer news say otherwise."""
    if not heard.phone or heard.phone == known.phone:
        return known
    holder = contact_by_phone(db, heard.account_id, heard.phone)
    for one in (known, holder):
        if one is not None and one.phone and one.linked_at is not None and one.linked_at > heard.at:
            return known
    return replace(known, phone=heard.phone, linked_at=heard.at)


def _leads(db: Database, account_id: str, alias: str) -> str | None:
    row = db.execute(_ALIAS, (account_id, alias)).fetchone()
    return None if row is None else row[0]


def _standing(db: Database, heard: Heard) -> str:
    """Return the address under which the person stands.

    An address that was left may be another person's today (a phone that was given out anew): who writes from it after the
    move is somebody new, and the address leads nowhere else any more.
    """
    alias = db.execute(_ALIAS, (heard.account_id, heard.address)).fetchone()
    if alias is None:
        return heard.address
    address, moved, at = alias
    if moved and heard.heard and rows.micros(heard.at) > at:
        db.execute(_DROP_ALIAS, (heard.account_id, heard.address))
        return heard.address
    return str(address)


def _draw_together(db: Database, heard: Heard, left: str, stands: str, *, moved: bool, now: int) -> None:
    """Let *left* be another address of the person at *stands*, with all that was known under either."""
    account_id = heard.account_id
    old, new = _at(db, account_id, left), _at(db, account_id, stands)
    db.execute(_DELETE_CONTACT, (account_id, left))
    db.execute(_DROP_ALIAS, (account_id, stands))
    db.execute(_LEAD_ALIASES, (stands, account_id, left))
    db.execute(_PUT_ALIAS, (account_id, left, stands, moved, rows.micros(heard.at)))
    if old is not None:
        _store(db, replace(old, address=stands) if new is None else _one_of(old, new), now)
    db.execute(_MOVE_TOKENS, (stands, account_id, left))
    db.execute(_MOVE_CHOICES, (stands, account_id, left))
    db.execute(_DROP_CHOICES, (account_id, left))


def _one_of(old: ContactRecord, new: ContactRecord) -> ContactRecord:
    """Return the one contact that two turned out to be, at the address of *new*: what is newer wins."""
    linked = [(one.linked_at, one is new, one) for one in (new, old) if one.linked_at is not None]
    phone = max(linked, key=lambda each: each[:2])[2] if linked else new
    told = [(not one.block_inferred, one.blocked_at, one is new, one) for one in (new, old) if one.blocked_at]
    block = max(told, key=lambda each: each[:3])[3] if told else new
    return replace(
        new,
        name=new.name or old.name,
        username=new.username or old.username,
        phone=phone.phone,
        linked_at=phone.linked_at,
        last_inbound_at=_later(new.last_inbound_at, old.last_inbound_at),
        blocked=block.blocked,
        blocked_at=block.blocked_at,
        block_inferred=block.block_inferred,
    )


def tell_blocked(db: Database, one: ContactRecord, at: datetime, now: int) -> None:
    """Add the event that *one* has blocked us, or does so no more."""
    whom = contact_data.person(one.channel, one.address, name=one.name, username=one.username, phone=one.phone)
    data = contact_data.contact(whom, at, channel=one.channel, account_id=one.account_id)
    told = (BLOCKING[one.blocked], one.address, rows.micros(at), contact_data.dump(data))
    events.add(db, events.News(one.client_id, one.account_id, *told), now)
