"""What people say on WhatsApp: their messages, pressed buttons, reactions, edits and deletions, and who they are.

Sources: Meta's pages "Webhooks: messages" with one page a type (text to system, 2026-05-21; edit, 2026-07-20; revoke),
"Business-scoped user IDs" (2026-03-31) and "smb_message_echoes" (2026-05-21).

A person is named by their phone where Meta tells it, and the business-scoped ids are aliases; who hides the phone behind a
username is named by the id alone, which is where an answer goes then. Messages of groups are ignored: the gateway talks
to one person at a time.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from kurir.channels.base import (
    TIME_UNTOLD,
    AgentMessage,
    ContactNews,
    Deleted,
    Edited,
    Inbound,
    InboundLocation,
    InboundMedia,
    InboundMessage,
    JsonObject,
    Kind,
    Person,
    Press,
    Reaction,
)
from kurir.channels.whatsapp.fields import (
    digest,
    first,
    fragment,
    ignored,
    member,
    moment,
    name,
    objects,
    phone,
    scoped_id,
    string,
)
from kurir.quick import quick

_CAPTIONED: Final = ("image", "video", "document")


# --- Who --------------------------------------------------------------------------------------------------------------


class People:
    """The ``contacts`` of one webhook, by each of their ids.

    [{"profile": {"name": "Ani", "username": "ani"}, "wa_id": "6281234567890", "user_id": "ID.1349…",
      "parent_user_id": "ID.ENT.1181…"}]
    """

    def __init__(self, value: JsonObject) -> None:
        contacts = objects(value.get("contacts"))
        self._known = {
            known: contact
            for contact in reversed(contacts)  # the first of two with the same id wins
            for known in (string(contact, "wa_id"), string(contact, "user_id"))
            if known
        }
        # A lone contact is the sender's also where the phone is spelt otherwise: Meta's "wa_id and phone may not match".
        self._only = contacts[0] if len(contacts) == 1 and _of_one_sender(objects(value.get("messages"))) else {}

    def named(self, own_phone: str, own_id: str, parent_id: str = "") -> Person | None:
        """Return the person with these ids, with what the contacts tell of them; None when no id is left."""
        contact = self._known.get(own_id) or self._known.get(own_phone) or self._only
        told = scoped_id(contact, "user_id")
        if own_id and told and own_id != told:
            contact, told = {}, ""
        spelt = phone(contact, "wa_id")
        own_phone = own_phone or spelt
        ids = (own_phone, own_id or told, spelt, parent_id or scoped_id(contact, "parent_user_id"))
        return person(*ids, contact=contact)


def _of_one_sender(messages: Sequence[JsonObject]) -> bool:
    return len(messages) == 1 or len({(string(one, "from"), string(one, "from_user_id")) for one in messages}) == 1


def person(own_phone: str, *ids: str, contact: JsonObject | None = None) -> Person | None:
    """Return who has these ids: the first that is there is where an answer goes, the others are aliases."""
    known = tuple(dict.fromkeys(one for one in (own_phone, *ids) if one))
    if not known:
        return None
    profile = member(contact, "profile")
    return Person(
        address=known[0],
        id=known[0],
        name=string(profile, "name"),
        username=string(profile, "username"),
        phone=own_phone,
        aliases=known[1:],
    )


# --- Messages ---------------------------------------------------------------------------------------------------------


@quick
@dataclass(frozen=True, slots=True)
class _Told:
    """One message whose sender and id are known."""

    json: JsonObject
    type: str
    id: str
    owner: str
    at: datetime
    sender: Person
    raw: bytes

    def message(self, kind: Kind, text: str = "", **content: Any) -> InboundMessage:
        return InboundMessage(
            event_id=self.id,
            owner=self.owner,
            at=self.at,
            sender=self.sender,
            kind=kind,
            platform_id=self.id,
            text=text,
            reply_to=string(self.json.get("context"), "id"),
            referral=_referral(self.json.get("referral")),
            raw=self.raw,
            **content,
        )

    def unsupported(self) -> InboundMessage:
        """Return the message as one that cannot be shown, by the most telling name of its kind."""
        inner = name(member(self.json, self.type), "type") if self.type in ("unsupported", "interactive") else ""
        return self.message(Kind.UNSUPPORTED, inner or self.type or "unknown")

    def about(self) -> dict[str, Any]:
        """Return what an event about another message has in common with this one."""
        return {"event_id": self.id, "owner": self.owner, "at": self.at, "sender": self.sender, "raw": self.raw}


def _referral(value: object) -> str:
    """Return what names the ad or the post that led here: its id, else its address, else the click's id."""
    if value is None:
        return ""
    return string(value, "source_id") or string(value, "source_url") or string(value, "ctwa_clid")


def message(value: JsonObject, owner: str, people: People) -> Iterable[Inbound]:
    """Return the events of one message.

    {"from": "16505551234", "from_user_id": "US.1349…", "id": "wamid.…", "timestamp": "1749416383", "type": "text",
     "text": {"body": "hi"}, "context": {"id": "wamid.<quoted>"}, "referral": {"source_id": "…", "ctwa_clid": "…"}}
    """
    kind, wamid, at = name(value, "type"), string(value, "id"), moment(value.get("timestamp")) or TIME_UNTOLD
    if value.get("group_id"):
        return [ignored(f"a message of type «{kind}» in a group", value)]
    if not wamid:
        return [ignored(f"a message of type «{kind}» without id", value)]
    if kind == "system":
        return _system(value, owner, at, people)
    sender = people.named(
        phone(value, "from"),
        scoped_id(value, "from_user_id") or scoped_id(value, "from"),
        scoped_id(value, "from_parent_user_id"),
    )
    if sender is None:
        return [ignored(f"a message of type «{kind}» without a sender who can be answered", value)]
    told = _Told(value, kind, wamid, owner, at, sender, fragment(value))
    reader = _READERS.get(kind)
    events = reader(told) if reader else None
    return events or [told.unsupported()]


def _text(told: _Told) -> list[Inbound] | None:
    content = member(told.json, "text")
    return [told.message(Kind.TEXT, string(content, "body"))] if isinstance(content.get("body"), str) else None


def _file(told: _Told) -> list[Inbound] | None:
    """{"caption": "…", "filename": "a.pdf", "mime_type": "…", "sha256": "…", "id": "…", "url": "https://lookaside…"}.

    A file that Meta could not fetch has neither id nor address, but an error (131052): it is told of by its kind.
    """
    content = member(told.json, told.type)
    media = InboundMedia(
        id=string(content, "id"),
        url=string(content, "url"),
        mime_type=string(content, "mime_type"),
        name=string(content, "filename"),
        animated=content.get("animated") is True,
    )
    if not media.id and not media.url:
        return None
    kind = Kind.VOICE if told.type == "voice" or content.get("voice") is True else Kind(told.type)
    caption = string(content, "caption") if told.type in _CAPTIONED else ""
    return [told.message(kind, caption, media=(media,))]


def _location(told: _Told) -> list[Inbound] | None:
    content = member(told.json, "location")
    latitude, longitude = _degrees(content.get("latitude"), 90), _degrees(content.get("longitude"), 180)
    if latitude is None or longitude is None:
        return None
    place = InboundLocation(latitude, longitude, string(content, "name"), string(content, "address"))
    return [told.message(Kind.LOCATION, location=place)]


def _degrees(value: object, limit: int) -> float | None:
    """Return *value* as degrees: a number, or the text of one as some of Meta's pages show; None when it is none."""
    if isinstance(value, str) and len(value) < 40:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -limit <= value <= limit:
        return None
    return float(value)


def _contacts(told: _Told) -> list[Inbound] | None:
    """[{"name": {"formatted_name": "…"}, "phones": [{"phone": "+1 650…", "wa_id": "1650…"}], "origin": "contact_request"}].

    A card is anybody's, unless it answers our request for the person's own number, which ``origin`` tells: Meta then
    fills it in itself.
    """
    cards = objects(told.json.get("contacts"))
    lines = [line for card in cards if (line := _card(card))]
    if not lines:
        return None
    events: list[Inbound] = [told.message(Kind.CONTACT, "\n".join(lines))]
    origin = string(told.json, "origin") or string(first(cards), "origin")
    phones = objects(cards[0].get("phones"))
    if origin == "contact_request" and len(cards) == 1 and len(phones) == 1 and (own := _own_phone(phones[0])):
        about = {**told.about(), "event_id": f"{told.id}:phone"}
        events.append(ContactNews(person=about.pop("sender"), shared_phone=own, **about))
    return events


def _card(card: JsonObject) -> str:
    shown = [string(one, "phone") or string(one, "wa_id") for one in objects(card.get("phones"))]
    named = member(card, "name")
    words = string(named, "formatted_name") or string(named, "first_name")
    return " ".join(f"{words} {', '.join(one for one in shown if one)}".split())


def _own_phone(value: JsonObject) -> str:
    """Return the digits of a card's phone; "" where it has no country code for certain."""
    written = string(value, "phone")
    digits = "".join(one for one in written if one.isascii() and one.isdigit()) if written.startswith("+") else ""
    return phone(value, "wa_id") or phone({"phone": digits}, "phone")


def _interactive(told: _Told) -> list[Inbound] | None:
    """{"type": "button_reply", "button_reply": {"id": "btn1", "title": "Button 1"}}.

    ``list_reply`` likewise, with a description. {"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent",
    "response_json": "{…}"}} answers a form (a flow, an address): what was filled in is the data of its button.
    """
    content = member(told.json, "interactive")
    reply = member(content, string(content, "type"))
    data, title = string(reply, "id"), string(reply, "title")
    if string(content, "type") == "nfm_reply":
        data, title = string(reply, "response_json"), string(reply, "body") or string(reply, "name")
    return [told.message(Kind.POSTBACK, press=Press(data, title))] if data else None


def _button(told: _Told) -> list[Inbound] | None:
    """{"payload": "PAYLOAD", "text": "Yes"}: a template's quick reply, whose payload is its text where none was given."""
    content = member(told.json, "button")
    title = string(content, "text")
    data = string(content, "payload") or title
    return [told.message(Kind.POSTBACK, press=Press(data, title))] if data else None


def _reaction(told: _Told) -> list[Inbound] | None:
    """{"message_id": "wamid.…", "emoji": "👍"}; without an emoji, or with an empty one, it was taken back."""
    content = member(told.json, "reaction")
    of = string(content, "message_id")
    return [Reaction(platform_id=of, emoji=string(content, "emoji"), **told.about())] if of else None


def _edit(told: _Told) -> list[Inbound] | None:
    """{"original_message_id": "wamid.…", "message": {"type": "image", "image": {"caption": "…"}}}: words or caption."""
    content = member(told.json, "edit")
    of, changed = string(content, "original_message_id"), member(content, "message")
    return [Edited(platform_id=of, text=words_of(changed), **told.about())] if of and changed else None


def _revoke(told: _Told) -> list[Inbound] | None:
    of = string(member(told.json, "revoke"), "original_message_id")
    return [Deleted(platform_id=of, **told.about())] if of else None


def _opened(told: _Told) -> list[Inbound]:
    """The person opened the chat for the first time, and has not written yet ("request_welcome", v16 to v24)."""
    about = told.about()
    return [ContactNews(person=about.pop("sender"), first_time=True, **about)]


def words_of(value: JsonObject) -> str:
    """Return the words of a message of any type: its text or its caption; "" where it has none."""
    content = member(value, string(value, "type"))
    return string(content, "body") or string(content, "caption")


_READERS: Final[Mapping[str, Callable[[_Told], list[Inbound] | None]]] = {
    "text": _text,
    **dict.fromkeys(("image", "video", "audio", "voice", "document", "sticker"), _file),
    "location": _location,
    "contacts": _contacts,
    "interactive": _interactive,
    "button": _button,
    "reaction": _reaction,
    "edit": _edit,
    "revoke": _revoke,
    "request_welcome": _opened,
}


# --- Other ids --------------------------------------------------------------------------------------------------------

#: The person changed their phone ("customer_changed_number" until v11), and with it, or alone, the business-scoped id.
_NEW_NUMBER: Final = frozenset({"user_changed_number", "customer_changed_number"})
_NEW_ID: Final = "user_changed_user_id"


def _system(value: JsonObject, owner: str, at: datetime, people: People) -> list[Inbound]:
    """Return the news of a person that a system message tells.

    {"from": "<old>", "type": "system", "system": {"type": "user_changed_number", "wa_id": "<new>", "user_id": "<new>",
     "body": "User A changed from <old> to <new>"}}

    The old ids are read from their members only: the body holds the person's name, and who may choose a text may not
    choose who moves.
    """
    system = member(value, "system")
    kind = name(system, "type")
    if kind not in _NEW_NUMBER and kind != _NEW_ID:
        return [ignored(f"a system message of type «{kind}»", value)]
    old_phone = phone(value, "from") or phone(system, "customer")
    old_id = scoped_id(value, "from_user_id") or scoped_id(value, "from") or scoped_id(system, "previous_user_id")
    was = people.named(old_phone, old_id) if old_phone or old_id else None
    new_phone = phone(system, "wa_id") or phone(system, "new_wa_id")
    new_id, new_parent = scoped_id(system, "user_id"), scoped_id(system, "parent_user_id")
    if was is None or not (new_phone or new_id):
        return [ignored(f"a system message of type «{kind}» that does not name old and new", value)]
    moved_to = new_phone or (new_id if kind in _NEW_NUMBER or not was.phone else "")
    return [_moved(was, moved_to, (new_id, new_parent), string(value, "id"), owner, at, fragment(value))]


def _moved(
    was: Person, moved_to: str, ids: Iterable[str], event_id: str, owner: str, at: datetime, raw: bytes
) -> Inbound:
    """Return that *was* has other ids now: the new ones become aliases, or the new address."""
    others = dict.fromkeys(one for one in (*was.aliases, *ids) if one and one not in (was.address, moved_to))
    moved_to = "" if moved_to == was.address else moved_to
    # A phone that they left is nobody's for certain: the new owner of the number may write tomorrow.
    left = Person(was.address, was.id, was.name, was.username, "", "" if moved_to else was.phone, tuple(others))
    return ContactNews(event_id, owner, at, left, moved_to=moved_to, raw=raw)


def user_id_update(value: JsonObject, owner: str, people: People) -> list[Inbound]:
    """Return the news of one member of the field ``user_id_update``.

    {"wa_id": "16505551234", "user_id": {"previous": "US.1349…", "current": "US.2481…"}, "timestamp": "1700000003"}
    """
    ids, parents = member(value, "user_id"), member(value, "parent_user_id")
    at = moment(value.get("timestamp")) or TIME_UNTOLD
    own_phone, old, new = phone(value, "wa_id"), scoped_id(ids, "previous"), scoped_id(ids, "current")
    was = people.named(own_phone, "") if own_phone else person("", old)
    if was is None or not new:
        return [ignored("a changed business-scoped id that does not name old and new", value)]
    raw = fragment(value)
    others = (old, new, scoped_id(parents, "previous"), scoped_id(parents, "current"))
    return [_moved(was, "" if own_phone else new, others, digest(raw), owner, at, raw)]


def echo(value: JsonObject, owner: str, people: People) -> list[Inbound]:
    """Return what the business itself wrote in its WhatsApp Business app, of the field ``smb_message_echoes``.

    {"from": "<business>", "to": "16505551234", "id": "wamid.…", "timestamp": "…", "type": "text", "text": {"body": "…"}}
    """
    kind, wamid, at = name(value, "type"), string(value, "id"), moment(value.get("timestamp")) or TIME_UNTOLD
    recipient = people.named(phone(value, "to"), scoped_id(value, "to_user_id") or scoped_id(value, "to"))
    if kind in ("edit", "revoke", "reaction", "") or not wamid or recipient is None:
        return [ignored(f"an echo of type «{kind}» without use, or without id or recipient", value)]
    return [AgentMessage(wamid, owner, at, recipient, wamid, words_of(value), fragment(value))]
