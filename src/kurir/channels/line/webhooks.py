"""LINE's webhooks: messages, presses, and news of people and groups.

One event of LINE becomes one event of ours, or is ignored with a reason, so ``webhookEventId`` is the id of both: a
redelivery has the same one, and only ``deliveryContext.isRedelivery`` differs. LINE adds fields, kinds and values without
notice, so what is not known is passed over where it is a field, and told as unsupported where it is a message.

Three things that LINE does not tell: a person's name (only its profile call does), the title of a button that was
pressed, and a message that carries the button. It reports neither delivery nor reading, but for notification messages,
which are sent by phone number and which the gateway does not send.

Sources: the pages "Receive messages (webhook)", "Messaging API reference", section "Webhook Event Objects", and
"Messaging API overview of LINE notification messages"; LINE's OpenAPI of 2026-07-01 for the fields.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from kurir.channels.base import (
    TIME_UNTOLD,
    AccountNews,
    ContactNews,
    Deleted,
    Edited,
    Ignored,
    Inbound,
    InboundLocation,
    InboundMedia,
    InboundMessage,
    JsonObject,
    Kind,
    Person,
    Press,
    Receipt,
    WebhookRequest,
    WebhookUnreadable,
)
from kurir.channels.line import messages as line_messages
from kurir.channels.line import urls as line_urls
from kurir.channels.text import storable
from kurir.domain.status import Status

#: Where the events come from: the type of a source → the member with the id that an answer goes to.
_CHATS: Final[Mapping[str, str]] = {"user": "userId", "group": "groupId", "room": "roomId"}
_FILES: Final[Mapping[str, Kind]] = {
    "image": Kind.IMAGE,
    "video": Kind.VIDEO,
    "audio": Kind.AUDIO,
    "file": Kind.DOCUMENT,
}
_NO_USE: Final[Mapping[str, str]] = {
    "memberLeft": "somebody left a group: LINE tells of nothing else in it",
    "videoPlayComplete": "a video was watched to its end",
    "beacon": "a person came near a beacon",
    "membership": "a person's paid membership changed",
    "module": "the channel was attached to an Official Account, or detached from it, as a module",
    "activated": "a module channel got the conversation",
    "deactivated": "a module channel gave the conversation away",
    "botResumed": "LINE resumed the Official Account of a module channel",
}

#: What identifies something is digits, hex, a ULID or base64. Longer than any that is known: it is none.
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
#: LINE says nothing of its tokens' length (the quote tokens of its examples have 86 characters); nobody prints more.
_LONGEST_TOKEN: Final = 1000
#: "Issue a nonce" of the page "User account linking": 10 to 255 characters.
_LONGEST_NONCE: Final = 255
_LONGEST_WORD: Final = 60
#: What we would put into ``X-Line-Delivery-Tag``: a tid, or a tid and the number of a part.
_REFERENCE: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?::[1-9][0-9]{0,4})?", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_9999: Final = 253_370_764_800_000


def events(request: WebhookRequest) -> list[Inbound]:
    """Return the events of a verified request, in its order; [] for the connection check. Raises WebhookUnreadable.

    {"destination": "U8e7…", "events": [{"type": "message", …}, …]}

    ``destination`` is the bot's user id. It is not asked for: the signature is of one channel's secret already.
    """
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise WebhookUnreadable(f"the body is not JSON: {type(error).__name__}") from None
    if not isinstance(body, dict) or not isinstance(body.get("events"), list):
        raise WebhookUnreadable("the body is not an object with a list «events»")
    return [_inbound(_Event.read(each, request.body, index)) for index, each in enumerate(body["events"])]


@dataclass(frozen=True, slots=True)
class _Event:
    """What every event has, read: the person is None where LINE names no chat that could be answered."""

    json: JsonObject
    kind: str
    event_id: str
    at: datetime
    person: Person | None
    reply_token: str
    standby: bool
    raw: bytes

    @classmethod
    def read(cls, given: object, body: bytes, index: int) -> "_Event":
        """Read the common members.

        {"type": "message", "mode": "active", "timestamp": 1625665242211, "source": {"type": "user", "userId": "U80…"},
         "webhookEventId": "01FZ74A0TDDPYRVKNK77XKC3ZR", "deliveryContext": {"isRedelivery": false},
         "replyToken": "38ef843bde154d9b91c21320ffd17a0f", …}

        In standby another module has the conversation, and there is nothing to reply with.
        """
        event = given if isinstance(given, dict) else {}
        standby = event.get("mode") == "standby"
        return cls(
            json=event,
            kind=_words(event.get("type")),
            event_id=_identifier(event.get("webhookEventId")) or _digest(given, body, index),
            at=_moment(event.get("timestamp")),
            person=_person(event.get("source")),
            reply_token="" if standby else _token(event.get("replyToken")),
            standby=standby,
            raw=_raw(given),
        )

    def part(self, name: str) -> JsonObject:
        """Return the object under *name*, {} where there is none."""
        value = self.json.get(name)
        return value if isinstance(value, dict) else {}

    def ignored(self, why: str, *, unread: bool = False) -> Ignored:
        """Return the event as one without use."""
        return Ignored(self.event_id, why, self.raw, unread)


def _inbound(event: _Event) -> Inbound:
    if event.kind in _NO_USE:
        return event.ignored(f"no use for «{event.kind}»: {_NO_USE[event.kind]}")
    if event.kind in _OF_NOBODY:
        return _OF_NOBODY[event.kind](event)
    if event.kind not in _OF_SOMEBODY:
        return event.ignored(f"no use for an event «{event.kind[:_LONGEST_WORD] or 'without a type'}»")
    if event.person is None:
        return event.ignored(f"an event «{event.kind}» whose source names no chat", unread=True)
    return _OF_SOMEBODY[event.kind](event, event.person)


# --- Messages ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Content:
    """What a message holds, in our words."""

    kind: Kind
    text: str = ""
    media: tuple[InboundMedia, ...] = ()
    location: InboundLocation | None = None


def _message(event: _Event, person: Person) -> Inbound:
    """Return a message.

    {"id": "444573844083572737", "type": "text", "text": "Hi", "quoteToken": "q3P…", "quotedMessageId": "4216…"}

    One without an id, which LINE does not send, is told by the event's: it must not be lost.
    """
    message = event.part("message")
    if not message:
        return event.ignored("an event «message» without a message", unread=True)
    content = _content(message)
    return InboundMessage(
        event_id=event.event_id,
        owner="",
        at=event.at,
        sender=person,
        kind=content.kind,
        platform_id=_identifier(message.get("id")) or event.event_id,
        text=content.text,
        media=content.media,
        location=content.location,
        reply_to=_identifier(message.get("quotedMessageId")),
        reply_token=event.reply_token,
        quote_token=_token(message.get("quoteToken")),
        standby=event.standby,
        raw=event.raw,
    )


def _content(message: JsonObject) -> _Content:
    """Return what *message* holds; one of an unknown kind, or that lacks what makes its kind, is unsupported."""
    kind = _words(message.get("type"))
    if kind == "text" and isinstance(message.get("text"), str):
        return _Content(Kind.TEXT, _words(message["text"]))
    if kind == "sticker":
        # Its text is what the sender wrote on it. Its keywords are LINE's guess, and up to 15 of them drawn by chance.
        return _Content(Kind.STICKER, _words(message.get("text")))
    if kind in _FILES:
        return _Content(_FILES[kind], media=_file(message))
    place = _location(message) if kind == "location" else None
    if place is not None:
        return _Content(Kind.LOCATION, location=place)
    return _Content(Kind.UNSUPPORTED, kind[:_LONGEST_WORD] or "unknown")


def _file(message: JsonObject) -> tuple[InboundMedia, ...]:
    """Return the file of a message; () where there is no way to it.

    {"id": "3547…", "type": "file", "fileName": "invoice.pdf", "fileSize": 2138}
    {"id": "6", "type": "image", "contentProvider": {"type": "external", "originalContentUrl": "https://e.x/o.jpg",
     "previewImageUrl": "https://e.x/p.jpg"}}

    LINE keeps what a person sent, under the message's id. What a LIFF app sent for them stays where the app has it, and
    anybody can fetch it. No content type is told.
    """
    provider = message.get("contentProvider")
    name, size = _words(message.get("fileName")), _number(message.get("fileSize"))
    if isinstance(provider, dict) and provider.get("type") == "external":
        given = _words(provider.get("originalContentUrl"))
        url = line_urls.encoded(given) if line_urls.is_https(given) and len(given) <= line_messages.URL else None
        return (InboundMedia(url=url, name=name, size=size, public=True),) if url else ()
    number = _identifier(message.get("id"))
    return (InboundMedia(id=number, name=name, size=size),) if number else ()


def _location(message: JsonObject) -> InboundLocation | None:
    """Return the place; None without coordinates.

    {"id": "8", "type": "location", "title": "Office", "address": "Jl. X 1", "latitude": 35.67966, "longitude": 139.73669}
    """
    latitude, longitude = _degrees(message.get("latitude"), 90), _degrees(message.get("longitude"), 180)
    if latitude is None or longitude is None:
        return None
    return InboundLocation(latitude, longitude, _words(message.get("title")), _words(message.get("address")))


def _edited(event: _Event, person: Person) -> Inbound:
    """Return the new words of a message (group chats only; the id is that of the message as it was first sent).

    {"message": {"id": "610830548529053697", "type": "text", "text": "Edited", "quoteToken": "q2"}}

    Edits may come out of order: the one with the latest time holds ("Edit event").
    """
    message = event.part("message")
    number, text = _identifier(message.get("id")), message.get("text")
    if not number or not isinstance(text, str):
        return event.ignored("an event «messageEdited» without the message's id or text", unread=True)
    return Edited(event.event_id, "", event.at, person, number, _words(text), event.raw)


def _unsent(event: _Event, person: Person) -> Inbound:
    """Return that a message was taken back. {"unsend": {"messageId": "325708"}}."""
    number = _identifier(event.part("unsend").get("messageId"))
    if not number:
        return event.ignored("an event «unsend» without the message's id", unread=True)
    return Deleted(event.event_id, "", event.at, person, number, event.raw)


def _postback(event: _Event, person: Person) -> Inbound:
    """Return a press, of a button or of a rich menu.

    {"postback": {"data": "k1"}}
    {"postback": {"data": "when", "params": {"datetime": "2017-12-25T01:00"}}}
    {"postback": {"data": "menu", "params": {"newRichMenuAliasId": "menu-b", "status": "SUCCESS"}}}

    A press has no message of its own, so the event's id stands for one: it tells presses apart, and quotes nothing. What
    was picked of a date and time, or the menu that was switched to, is its text.
    """
    data = event.part("postback").get("data")
    if not isinstance(data, str):
        press, kind, text = None, Kind.UNSUPPORTED, "postback"
    else:
        press, kind, text = Press(_words(data)), Kind.POSTBACK, _picked(event.part("postback").get("params"))
    return InboundMessage(
        event_id=event.event_id,
        owner="",
        at=event.at,
        sender=person,
        kind=kind,
        platform_id=event.event_id,
        text=text,
        press=press,
        reply_token=event.reply_token,
        standby=event.standby,
        raw=event.raw,
    )


def _picked(params: object) -> str:
    if not isinstance(params, dict):
        return ""
    names = ["datetime", "date", "time"]
    if params.get("status") == "SUCCESS":
        names.append("newRichMenuAliasId")
    return next((words for name in names if (words := _words(params.get(name)))), "")


# --- News of people and groups ----------------------------------------------------------------------------------------


def _reachable(event: _Event, person: Person) -> Inbound:
    """Return that a person added or unblocked the account, or that a group has it now.

    {"type": "follow", "replyToken": "…", "follow": {"isUnblocked": false}}; {"type": "join", "replyToken": "…"}

    A person is new where LINE says that they did not unblock; of a group it does not tell.
    """
    new = event.kind == "follow" and event.part("follow").get("isUnblocked") is False
    return ContactNews(
        event_id=event.event_id,
        owner="",
        at=event.at,
        person=person,
        blocked=False,
        first_time=new,
        reply_token=event.reply_token,
        raw=event.raw,
    )


def _unreachable(event: _Event, person: Person) -> Inbound:
    """Return that a person blocked the account, or that a group has it no more: LINE answers 200 to either all the same."""
    return ContactNews(event.event_id, "", event.at, person, blocked=True, raw=event.raw)


def _member_joined(event: _Event, person: Person) -> Inbound:
    """Return the group that somebody joined: its greeting is free. {"joined": {"members": [{"type": "user", …}]}}."""
    return ContactNews(event.event_id, "", event.at, person, reply_token=event.reply_token, raw=event.raw)


def _linked(event: _Event, person: Person) -> Inbound:
    """Return the nonce by which a person is known elsewhere ("User account linking").

    {"type": "accountLink", "replyToken": "…", "link": {"result": "ok", "nonce": "bm9uY2U…"}}

    It is the person who is linked, wherever they are. A link that failed names nobody.
    """
    nonce = _token(event.part("link").get("nonce"), _LONGEST_NONCE)
    if event.part("link").get("result") != "ok" or not nonce or not person.id:
        return event.ignored("an account link that failed, or without nonce or person")
    return ContactNews(
        event_id=event.event_id,
        owner="",
        at=event.at,
        person=Person(person.id, person.id),
        referral=nonce,
        reply_token=event.reply_token if person.id == person.address else "",
        raw=event.raw,
    )


# --- News without a person --------------------------------------------------------------------------------------------


def _delivered(event: _Event) -> Inbound:
    """Return the receipt of a notification message: {"type": "delivery", "delivery": {"data": "<tag or hashed phone>"}}.

    It is one where the tag is of our making; else somebody else sent the message with this channel.
    """
    tag = event.part("delivery").get("data")
    if not isinstance(tag, str) or not _REFERENCE.fullmatch(tag):
        return event.ignored("the delivery of a notification message that the gateway did not send")
    return Receipt(event.event_id, Status.DELIVERED, event.at, "", reference=tag, raw=event.raw)


def _suspended(event: _Event) -> Inbound:
    """Return that LINE suspended an Official Account.

    Only module channels are told, and of every account that they are attached to. So it does not stop this account: what
    LINE answers to its calls does.
    """
    reason = "LINE suspended the Official Account; see LINE Official Account Manager for the reason"
    return AccountNews(event.event_id, "", event.at, "account_policy", reason, raw=event.raw)


_OF_SOMEBODY: Final[Mapping[str, Callable[[_Event, Person], Inbound]]] = {
    "message": _message,
    "messageEdited": _edited,
    "unsend": _unsent,
    "postback": _postback,
    "follow": _reachable,
    "join": _reachable,
    "unfollow": _unreachable,
    "leave": _unreachable,
    "memberJoined": _member_joined,
    "accountLink": _linked,
}
_OF_NOBODY: Final[Mapping[str, Callable[[_Event], Inbound]]] = {"delivery": _delivered, "botSuspended": _suspended}


# --- Values -----------------------------------------------------------------------------------------------------------


def _person(source: object) -> Person | None:
    """Return who an event is of.

    {"type": "user", "userId": "U80…"}, {"type": "group", "groupId": "Ca5…", "userId"?: "U80…"}, and the same with "room"

    Who never agreed to it has no ``userId`` in a group ("Consent on getting user profile information").
    """
    given = source if isinstance(source, dict) else {}
    kind = given.get("type")
    address = _identifier(given.get(_CHATS[kind])) if isinstance(kind, str) and kind in _CHATS else ""
    return Person(address, _identifier(given.get("userId"))) if address else None


def _words(value: object) -> str:
    """Return a text, fit to be stored; "" for anything else."""
    return storable(value) if isinstance(value, str) else ""


def _identifier(value: object) -> str:
    """Return an id, which older pages show as a number too; "" for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**20:
        return str(value)
    return value if isinstance(value, str) and _IDENTIFIER.fullmatch(value) else ""


def _token(value: object, longest: int = _LONGEST_TOKEN) -> str:
    """Return an opaque token of printable ASCII; "" for anything else, since a part of it is worth nothing."""
    usable = isinstance(value, str) and len(value) <= longest and value.isascii() and value.isprintable()
    return value if usable and isinstance(value, str) else ""


def _number(value: object) -> int | None:
    """Return a size in bytes."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _degrees(value: object, most: int) -> float | None:
    """Return degrees from -*most* to *most*; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -most <= value <= most:
        return None  # compared before anything else: an integer may be too large for a float
    return float(value)


def _moment(value: object) -> datetime:
    """Return a time in milliseconds since 1970; TIME_UNTOLD for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _YEAR_9999:
        return TIME_UNTOLD
    return _EPOCH + timedelta(milliseconds=value)


def _raw(event: object) -> bytes:
    """Return *event* as ASCII JSON; b"" where it is nested deeper than can be written again."""
    try:
        return json.dumps(event, separators=(",", ":"), sort_keys=True).encode()
    except RecursionError:
        return b""


def _digest(event: object, body: bytes, index: int) -> str:
    """Return the id of an event that brings none: the same for a repeat, whatever it says of redelivery."""
    if isinstance(event, dict):
        event = {name: value for name, value in event.items() if name != "deliveryContext"}
    material = _raw(event) or hashlib.sha256(body).digest() + str(index).encode()
    return hashlib.sha256(material).hexdigest()
