"""Taking a webhook in: its receipts, its arrivals, what they teach and what replies will need, in one transaction.

Beside it stand the small tables that it feeds: quoted messages, reply tokens, vanishing choices, links, and the place in
Telegram's updates. The functions run inside a transaction of the writer, the reading ones of a reader.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from kurir.store.base import Received, StoreError
from kurir.store.database import Database
from kurir.store.inbound import (
    Arrival,
    ChoiceRecord,
    LinkRecord,
    QuotaRecord,
    Quoted,
    ReplyTokenRecord,
    TakenIn,
    TemplateRecord,
    Webhook,
)
from kurir.store.operations import events, people, receipts, rows

#: What has to have changed for an event that is only one if its arrival teaches something; of other kinds: anything.
_NEWS_OF: Final = {
    "contact.blocked": frozenset({"blocked"}),
    "contact.unblocked": frozenset({"blocked"}),
    "contact.linked": frozenset({"phone", "address"}),
}

#: A message of ours keeps its name, should a platform give a person's message the same.
_KNOW: Final = """
INSERT INTO platform_id (account_id, platform_id, tid, part, message_id, address, quote_token, received_at)
VALUES (?, ?, '', 0, '', ?, ?, ?)
ON CONFLICT (account_id, platform_id) DO UPDATE SET address = excluded.address, quote_token = excluded.quote_token,
    received_at = excluded.received_at WHERE platform_id.tid = ''
"""
_QUOTED: Final = "SELECT tid, message_id FROM platform_id WHERE account_id = ? AND platform_id = ? AND tid <> ''"
_PUT_TOKEN: Final = """
INSERT INTO reply_token (account_id, token, address, received_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING
"""  # noqa: S105 -- a statement
_TOKEN: Final = "SELECT address, received_at, used_at FROM reply_token WHERE account_id = ? AND token = ?"  # noqa: S105 -- a statement
_FRESH_TOKEN: Final = """
SELECT token, received_at FROM reply_token
WHERE account_id = ? AND address = ? AND used_at IS NULL AND received_at > ? ORDER BY received_at DESC LIMIT 1
"""  # noqa: S105 -- a statement
_USE_TOKEN: Final = """
UPDATE reply_token SET used_at = coalesce(used_at, ?), used_by = ?
WHERE account_id = ? AND token = ? AND (used_at IS NULL OR used_by = ?)
"""  # noqa: S105 -- a statement
_PUT_CHOICES: Final = """
INSERT INTO vanishing_choice (account_id, address, at, message_id, choices) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (account_id, address) DO UPDATE SET at = excluded.at, message_id = excluded.message_id,
    choices = excluded.choices WHERE excluded.at >= vanishing_choice.at
"""
_DROP_CHOICES: Final = "DELETE FROM vanishing_choice WHERE account_id = ? AND address = ? AND message_id = ? AND at = ?"
_CHOICES: Final = "SELECT at, message_id, choices FROM vanishing_choice WHERE account_id = ? AND address = ?"
_PUT_OFFSET: Final = """
INSERT INTO poll (account_id, next_offset, at) VALUES (?, ?, ?)
ON CONFLICT (account_id) DO UPDATE SET next_offset = excluded.next_offset, at = excluded.at
"""
_OFFSET: Final = "SELECT next_offset FROM poll WHERE account_id = ? AND at >= ?"
_DROP_OFFSET: Final = "DELETE FROM poll WHERE account_id = ? AND next_offset = ?"
_PUT_LINK: Final = """
INSERT INTO link_token (token, client_id, account_id, phone, payload, created_at, used_at, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
_LINK: Final = """
SELECT token, client_id, account_id, created_at, phone, payload, used_at, expires_at
FROM link_token WHERE token = ? AND account_id = ?
"""
_USE_LINK: Final = "UPDATE link_token SET used_at = ? WHERE token = ? AND account_id = ? AND used_at IS NULL"
_DROP_TEMPLATES: Final = "DELETE FROM template WHERE account_id = ?"
_PUT_TEMPLATE: Final = """
INSERT INTO template (account_id, name, language, status, category, components, synced_at) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (account_id, name, language) DO UPDATE SET status = excluded.status,
    category = excluded.category, components = excluded.components
"""
_SELECT_TEMPLATE: Final = "SELECT name, language, status, category, components, synced_at FROM template "
_TEMPLATES: Final = _SELECT_TEMPLATE + "WHERE account_id = ? ORDER BY name, language"
_TEMPLATE: Final = _SELECT_TEMPLATE + "WHERE account_id = ? AND name = ? AND language = ?"
_PUT_QUOTA: Final = """
INSERT INTO quota (account_id, used, allowed, at) VALUES (?, ?, ?, ?)
ON CONFLICT (account_id) DO UPDATE SET used = excluded.used, allowed = excluded.allowed, at = excluded.at
    WHERE excluded.at >= quota.at
"""
_QUOTA: Final = "SELECT used, allowed, at FROM quota WHERE account_id = ?"


# --- taking in ------------------------------------------------------------------------------------------------------


def take_in(db: Database, webhook: Webhook) -> TakenIn:
    """Take everything of a webhook in; what was taken in before changes nothing."""
    now = rows.micros(webhook.at)
    received, grown = Received(0, 0, ()), set[str]()
    if webhook.receipts:
        before = events.last(db)
        received = receipts.receive(db, webhook.receipts, webhook.at)
        grown.update(events.grown(db, before))
    new = frozenset(arrival.event_id for arrival in webhook.arrivals if _take(db, arrival, now, grown))
    if webhook.poll_offset is not None:
        db.execute(_PUT_OFFSET, (*webhook.poll_offset, now))
    return TakenIn(new, received.new, received.waiting, tuple(sorted(grown)), received.settled)


def _take(db: Database, arrival: Arrival, now: int, grown: set[str]) -> bool:
    """Take an arrival in, and add the clients whose feeds grew by it to *grown*. Returns whether it is new."""
    if not receipts.is_new(db, arrival.account_id, arrival.event_id, now):
        return False
    event, heard = arrival.event, arrival.heard
    if arrival.link and use_link(db, arrival.account_id, arrival.link, rows.moment(now)) is None:
        event, heard = None, replace(heard, phone="") if heard is not None else None  # somebody used it in this moment
    changed: frozenset[str] = frozenset()
    if heard is not None:
        known = people.glance(db, heard.account_id, heard.address, heard.phone)
        if arrival.typed is not None and known[-1] is not None:
            event = arrival.typed(_choice_record(known[-3:])) or event
        tells = event is None or event.kind not in people.BLOCKING
        plain = people.learn_plain(db, heard, known, now)
        changed = people.learn(db, heard, now, tells=tells) if plain is None else plain
        if tells and "blocked" in changed:
            grown.add(heard.client_id)
    if event is not None and (not arrival.changes or changed & _NEWS_OF.get(event.kind, changed)):
        at = rows.micros(event.at)
        told = (event.kind, event.conversation, at, event.data, event.media)
        events.add(db, events.News(arrival.client_id, arrival.account_id, *told), now)
        grown.add(arrival.client_id)
    if arrival.platform_id:
        key = (arrival.account_id, arrival.platform_id)
        db.execute(_KNOW, (*key, arrival.address, arrival.quote_token, now))
    if arrival.reply_token:
        received_at = rows.micros(arrival.at)
        db.execute(_PUT_TOKEN, (arrival.account_id, arrival.reply_token, arrival.address, received_at))
    return True


# --- what replies and presses need ----------------------------------------------------------------------------------


def quoted(db: Database, account_id: str, platform_id: str) -> Quoted | None:
    """Return which message of ours a platform id is of."""
    row = db.execute(_QUOTED, (account_id, platform_id)).fetchone()
    return None if row is None else Quoted(*row)


def reply_token(db: Database, account_id: str, token: str) -> ReplyTokenRecord | None:
    """Return a reply token."""
    row = db.execute(_TOKEN, (account_id, token)).fetchone()
    return None if row is None else ReplyTokenRecord(row[0], rows.moment(row[1]), row[2] is not None)


def fresh_reply_token(db: Database, account_id: str, address: str, since: datetime) -> tuple[str, datetime] | None:
    """Return the newest unused reply token of a chat."""
    row = db.execute(_FRESH_TOKEN, (account_id, address, rows.micros(since))).fetchone()
    return None if row is None else (row[0], rows.moment(row[1]))


def use_token(db: Database, account_id: str, token: str, tid: str, now: int) -> bool:
    """Use a reply token up for the message *tid*. False: another message has, or it is not known."""
    db.execute(_USE_TOKEN, (now, tid, account_id, token, tid))
    return db.changes() > 0


def put_choices(
    db: Database, account_id: str, address: str, shown: tuple[int, str], choices: Iterable[tuple[str, str]]
) -> None:
    """Keep the vanishing choices that a conversation was *shown* last: when, and by which message of the client's."""
    db.execute(_PUT_CHOICES, (account_id, address, *shown, json.dumps(list(choices), ensure_ascii=False)))


def drop_choices(db: Database, account_id: str, address: str, shown: tuple[int, str]) -> None:
    """Forget the choices that were kept as *shown*: nobody saw them."""
    db.execute(_DROP_CHOICES, (account_id, address, shown[1], shown[0]))


def choices(db: Database, account_id: str, address: str) -> ChoiceRecord | None:
    """Return the vanishing choices that a conversation was shown last."""
    row = db.execute(_CHOICES, (account_id, address)).fetchone()
    return None if row is None else _choice_record(row)


def _choice_record(row: rows.Row) -> ChoiceRecord:
    return ChoiceRecord(rows.moment(row[0]), row[1], tuple((title, key) for title, key in json.loads(row[2])))


def poll_offset(db: Database, account_id: str, since: datetime | None) -> int | None:
    """Return the offset of the account's next getUpdates."""
    row = db.execute(_OFFSET, (account_id, 0 if since is None else rows.micros(since))).fetchone()
    return None if row is None else int(row[0])


def drop_poll_offset(db: Database, account_id: str, offset: int) -> None:
    """Forget an offset that the platform has heard."""
    db.execute(_DROP_OFFSET, (account_id, offset))


# --- links ----------------------------------------------------------------------------------------------------------


def put_link(db: Database, link: LinkRecord) -> None:
    """Keep a link token."""
    times = (rows.micros(link.created_at), rows.micros_or_none(link.used_at), rows.micros_or_none(link.expires_at))
    db.execute(_PUT_LINK, (link.token, link.client_id, link.account_id, link.phone, link.payload, *times))
    if db.changes() == 0:
        raise StoreError("the link token is taken")


def link_of(db: Database, account_id: str, token: str) -> LinkRecord | None:
    """Return a link token of the account."""
    row = db.execute(_LINK, (token, account_id)).fetchone()
    if row is None:
        return None
    used_at, expires_at = rows.moment_or_none(row[6]), rows.moment_or_none(row[7])
    return LinkRecord(row[0], row[1], row[2], rows.moment(row[3]), row[4], row[5], used_at, expires_at)


def use_link(db: Database, account_id: str, token: str, at: datetime) -> LinkRecord | None:
    """Use a link token up; None where it is not known, or was used."""
    db.execute(_USE_LINK, (rows.micros(at), token, account_id))
    return link_of(db, account_id, token) if db.changes() else None


# --- what platforms say of an account -------------------------------------------------------------------------------


def put_templates(db: Database, account_id: str, given: Sequence[TemplateRecord], at: datetime) -> None:
    """Replace the account's templates."""
    db.execute(_DROP_TEMPLATES, (account_id,))
    for one in given:
        value = (one.name, one.language, one.status, one.category, one.components, rows.micros(at))
        db.execute(_PUT_TEMPLATE, (account_id, *value))


def templates(db: Database, account_id: str) -> list[TemplateRecord]:
    """Return the account's templates."""
    return [_template(row) for row in db.execute(_TEMPLATES, (account_id,))]


def template(db: Database, account_id: str, name: str, language: str) -> TemplateRecord | None:
    """Return one template of the account."""
    row = db.execute(_TEMPLATE, (account_id, name, language)).fetchone()
    return None if row is None else _template(row)


def _template(row: rows.Row) -> TemplateRecord:
    return TemplateRecord(row[0], row[1], row[2], row[3], row[4], rows.moment(row[5]))


def set_quota(db: Database, account_id: str, used: int, limit: int | None, at: datetime) -> None:
    """Keep the account's quota, unless newer figures are known."""
    db.execute(_PUT_QUOTA, (account_id, used, limit, rows.micros(at)))


def quota(db: Database, account_id: str) -> QuotaRecord | None:
    """Return the account's quota."""
    row = db.execute(_QUOTA, (account_id,)).fetchone()
    return None if row is None else QuotaRecord(row[0], row[1], rows.moment(row[2]))
