"""Messenger's webhooks: what people write, press and do in a page's conversations, receipts, echoes and the page's own news.

Each element of ``entry[].messaging`` is one event, told apart by the member that it has beside ``sender``, ``recipient``
and ``timestamp``; the tables below name a reader for each. What no table names, and what a reader cannot use, is
Ignored with a reason. Sources: Meta's pages "Webhooks" (2026-05-05), "messages" (2026-03-27), "messaging_postbacks",
"message_reactions", "message_edits", "messaging_referrals", "messaging_optins", "messaging_account_linking",
"messaging_policy_enforcement", "message_deliveries", "message_reads" and "message_echoes" of the Messenger platform.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kurir.channels.base import (
    TIME_UNTOLD,
    AccountNews,
    AgentMessage,
    ContactNews,
    Deleted,
    Edited,
    Inbound,
    InboundMessage,
    JsonObject,
    Kind,
    Person,
    Press,
    Reaction,
    Receipt,
    WebhookRequest,
)
from kurir.channels.messenger.attachments import contents
from kurir.channels.messenger.errors import identifier
from kurir.channels.messenger.event import Event, event_id, ignored, moment, number, raw_of, words
from kurir.channels.meta import graph
from kurir.domain.status import Status

#: The page's own inbox among the apps whose echoes come ("message_echoes").
PAGE_INBOX: Final = "26390203743090"
#: What we put into ``metadata``: a tid, or a tid and the number of a part.
_REFERENCE: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?::[1-9][0-9]{0,4})?", re.ASCII)


def events(request: WebhookRequest, app_id: str) -> list[Inbound]:
    """Return the events of a verified request, in its order. Raises WebhookUnreadable, nothing else.

    *app_id* is the account's, "" where it is not configured: then our metadata alone tells our own echo.
    """
    found: list[Inbound] = []
    for entry in graph.entries_of(request, "page"):
        if not any(name in entry for name in ("messaging", "standby", "changes")):
            found.append(ignored(entry, "an entry without events"))
        # A page that gave the conversation to another app gets standby in place of messaging.
        for name in ("messaging", "standby"):
            for value in _items(entry, name):
                found.extend(_inbound(value, entry, app_id, standby=name == "standby"))
        found.extend(ignored(change, "a change of the page's feed") for change in _items(entry, "changes"))
    return found


def _items(holder: JsonObject, name: str) -> list[object]:
    """Return the list *name* of *holder*; what stands there instead of a list is its only item."""
    value = holder.get(name)
    return value if isinstance(value, list) else [] if value is None else [value]


def _inbound(value: object, entry: JsonObject, app_id: str, *, standby: bool) -> list[Inbound]:
    """Return what one event tells; an event that tells nothing of use is Ignored, never dropped."""
    if not isinstance(value, dict):
        return [ignored(value, "an event that is no object", unread=True)]
    at = moment(value.get("timestamp")) or moment(entry.get("time")) or TIME_UNTOLD
    event = Event(value, number(entry.get("id")), at, standby, app_id, raw_of(value))
    if not event.page:
        return [event.ignored("an event of an entry without the page's id", unread=True)]
    found: list[Inbound] = []
    for name, read in _READERS.items():
        body = value.get(name)
        if isinstance(body, dict):
            found += read(event, body)
    for name, read_told in _PERSONAL.items():
        body = value.get(name)
        if isinstance(body, dict) and not (name == "message" and body.get("is_echo") is True):
            found += _personal(event, body, name, read_told)
    if found:
        return found
    names = sorted(identifier(name)[:40] for name in value if name not in ("sender", "recipient", "timestamp"))
    return [event.ignored(f"nothing of use in an event with {', '.join(names[:5]) or 'no content'}")]


# --- What a person did ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Told:
    """An event of a person: who, and when."""

    event: Event
    sender: Person
    at: datetime


def _personal(
    event: Event, body: JsonObject, name: str, read: Callable[[_Told, JsonObject], list[Inbound]]
) -> list[Inbound]:
    psid = event.party("sender")
    if not psid:
        # A checkbox on a web page names a ``user_ref`` instead; the person has an id from their first message on.
        return [event.ignored(f"an event with {name} that does not name its sender", unread=True)]
    if psid == event.page:
        return [event.ignored(f"an event with {name} of the page itself")]
    return read(_Told(event, Person(psid, id=psid), event.at), body)


def _message(told: _Told, body: JsonObject) -> list[Inbound]:
    """Read what a person wrote, sent or tapped.

    {"sender": {"id": "<psid>"}, "recipient": {"id": "<page>"}, "timestamp": 1458692752478,
     "message": {"mid": "m_…", "text": "hi", "quick_reply": {"payload": "RED"}, "reply_to": {"mid": "m_…"},
                 "attachments": [{"type": "image", "payload": {"url": "https://…"}}], "referral": {"ref": "…"}}}

    A tapped quick reply is a message whose text is its title. A message with attachments of several types is several of
    ours under one mid, each with its own event id.
    """
    event, mid = told.event, identifier(body.get("mid"))
    if body.get("is_deleted") is True:
        if not mid:
            return [event.ignored("a deleted message without its id", unread=True)]
        return [Deleted(event_id("deleted", mid), event.page, told.at, told.sender, mid, raw=event.raw)]
    # The first part of a message bears the message's own event id.
    name = ("message", mid or event.raw.decode())
    return [
        InboundMessage(
            event_id(*name, *([str(at)] if at else [])),
            event.page,
            told.at,
            told.sender,
            content.kind,
            mid,
            text=content.text,
            media=content.media,
            location=content.location,
            press=content.press,
            reply_to=_reply_to(body),
            referral=_ref(body),
            standby=event.standby,
            raw=event.raw,
        )
        for at, content in enumerate(contents(body))
    ]


def _postback(told: _Told, body: JsonObject) -> list[Inbound]:
    """Read a pressed button of a template, the Get Started button or the menu.

    {"…": "…", "postback": {"mid": "m_…", "title": "Start", "payload": "K1", "referral": {"ref": "…"}}}

    Old ones have no mid: then the person, the time and the payload tell a repeat. In ``standby`` there is no payload.
    """
    event, mid = told.event, identifier(body.get("mid"))
    press = Press(words(body.get("payload")), words(body.get("title")))
    named = (mid,) if mid else (told.sender.id, told.at.isoformat(), press.data)
    return [
        InboundMessage(
            event_id("postback", *named),
            event.page,
            told.at,
            told.sender,
            Kind.POSTBACK,
            mid,
            press=press,
            referral=_ref(body),
            standby=event.standby,
            raw=event.raw,
        )
    ]


def _reaction(told: _Told, body: JsonObject) -> list[Inbound]:
    """Read a reaction that was given or taken back.

    {"…": "…", "reaction": {"reaction": "love", "emoji": "❤", "action": "react", "mid": "m_…"}}
    {"…": "…", "reaction": {"action": "unreact", "mid": "m_…"}}
    """
    event, mid, action = told.event, identifier(body.get("mid")), identifier(body.get("action"))
    if not mid or action not in ("react", "unreact"):
        return [event.ignored("a reaction that does not tell what was done to which message", unread=True)]
    # Where the emoji is missing its name stands for it: "" would say that it was taken back.
    emoji = (words(body.get("emoji")) or words(body.get("reaction")) or "other") if action == "react" else ""
    same = event_id("reaction", mid, told.sender.id, action, emoji, told.at.isoformat())
    return [Reaction(same, event.page, told.at, told.sender, mid, emoji, raw=event.raw)]


def _edit(told: _Told, body: JsonObject) -> list[Inbound]:
    """Read the new words of a message: {"…": "…", "message_edit": {"mid": "m_…", "text": "new", "num_edit": 1}}."""
    event, mid, text = told.event, identifier(body.get("mid")), words(body.get("text"))
    if not mid or not text:
        return [event.ignored("an edit that does not tell the new words of which message", unread=True)]
    times = number(body.get("num_edit")) or told.at.isoformat()
    return [Edited(event_id("edit", mid, times), event.page, told.at, told.sender, mid, text, raw=event.raw)]


def _referral(told: _Told, body: JsonObject) -> list[Inbound]:
    """Read that somebody came back by a link or an ad into a conversation that exists.

    {"…": "…", "referral": {"ref": "promo-7", "source": "SHORTLINK", "type": "OPEN_THREAD"}}

    A link (m.me) or the chat plugin opens the window of 24 hours; an ad does with the message that follows ("Send a
    message", standard messaging).
    """
    heard = body.get("source") != "ADS"
    return [_news(told, "referral", words(body.get("ref")), heard=heard)]


def _optin(told: _Told, body: JsonObject) -> list[Inbound]:
    """Read an opt-in by a plugin on a web page, which opens the window: {"…": "…", "optin": {"ref": "…"}}.

    Those with a ``type`` are consents to messages of marketing, which the gateway does not send.
    """
    if body.get("type") is not None:
        return [told.event.ignored("a consent to marketing messages, which are not sent here")]
    return [_news(told, "optin", words(body.get("ref")), heard=True)]


def _account_linking(told: _Told, body: JsonObject) -> list[Inbound]:
    """Read that somebody logged in by the operator's page, whose code comes back here.

    {"…": "…", "account_linking": {"status": "linked", "authorization_code": "…"}}
    """
    code = words(body.get("authorization_code"))
    if body.get("status") != "linked" or not code:
        return [told.event.ignored("an account link that was cut, or that carries no code")]
    return [_news(told, "account_linking", code, heard=False)]


def _news(told: _Told, kind: str, referral: str, *, heard: bool) -> ContactNews:
    event = told.event
    same = event_id(kind, told.sender.id, told.at.isoformat(), referral)
    return ContactNews(same, event.page, told.at, told.sender, referral=referral, heard=heard, raw=event.raw)


_PERSONAL: Final[Mapping[str, Callable[[_Told, JsonObject], list[Inbound]]]] = {
    "message": _message,
    "postback": _postback,
    "reaction": _reaction,
    "message_edit": _edit,
    "referral": _referral,
    "optin": _optin,
    "account_linking": _account_linking,
}


def _reply_to(body: JsonObject) -> str:
    """Return the mid of the message that is quoted, "" where none is."""
    quoted = body.get("reply_to")
    return identifier(quoted.get("mid")) if isinstance(quoted, dict) else ""


def _ref(body: JsonObject) -> str:
    """Return the payload of the link (m.me) or the ad by which somebody came."""
    referral = body.get("referral")
    return words(referral.get("ref")) if isinstance(referral, dict) else ""


# --- What became of our messages --------------------------------------------------------------------------------------


def _receipts(kind: str, status: Status) -> Callable[[Event, JsonObject], list[Inbound]]:
    """Return the reader of receipts of one *kind*: one for each message id that is named, and one up to the watermark.

    {"sender": {"id": "<psid>"}, "recipient": {"id": "<page>"}, "timestamp": 1458668856463,
     "delivery": {"mids": ["m_AG5…"], "watermark": 1458668856253}}

    ``mids`` may be missing, and ``read`` never has them; the watermark says the same of every earlier message to this
    person, and stays a watermark here, since what it covers is the store's to know ("message_deliveries").
    """

    def read(event: Event, body: JsonObject) -> list[Inbound]:
        psid, raw, watermark = event.party("sender"), event.raw, moment(body.get("watermark"))
        at = watermark or TIME_UNTOLD if event.at == TIME_UNTOLD else event.at
        mids = dict.fromkeys(mid for value in _items(body, "mids") if (mid := identifier(value)))
        found: list[Inbound] = [
            Receipt(event_id(kind, mid), status, at, event.page, platform_id=mid, address=psid, raw=raw) for mid in mids
        ]
        if watermark is not None and psid:
            same = event_id(kind, event.page, psid, watermark.isoformat())
            found.append(Receipt(same, status, at, event.page, watermark=watermark, address=psid, raw=raw))
        return found

    return read


def _echo(event: Event, body: JsonObject) -> list[Inbound]:
    """Read the echo of a message to a person: the proof that ours left, or what somebody wrote in the page's inbox.

    {"sender": {"id": "<page>"}, "recipient": {"id": "<psid>"}, "timestamp": 1458668856463,
     "message": {"is_echo": true, "app_id": 1517776481860111, "metadata": "<tid>", "mid": "m_…", "text": "…"}}

    Ours carries our app's id and our metadata; it settles a call whose answer never came. What comes from the inbox names
    the inbox as its app, or none. What another app sent is that app's.
    """
    if body.get("is_echo") is not True:
        return []
    mid, metadata, app = identifier(body.get("mid")), words(body.get("metadata")), number(body.get("app_id"))
    reference = metadata if _REFERENCE.fullmatch(metadata) else ""
    psid = event.party("recipient")
    if not mid:
        return [event.ignored("an echo that does not tell its message", unread=True)]
    if reference and (not event.app_id or app == event.app_id):
        same = event_id("echo", mid)
        return [Receipt(same, Status.SENT, event.at, event.page, mid, None, psid, reference, raw=event.raw)]
    by_a_person = app == PAGE_INBOX or body.get("app_id") is None
    if reference or not by_a_person or psid in ("", event.page):
        return [event.ignored("the echo of a message that neither this gateway nor the page's inbox sent")]
    text = words(body.get("text"))
    return [AgentMessage(event_id("agent", mid), event.page, event.at, Person(psid, id=psid), mid, text, raw=event.raw)]


# --- News of the page -------------------------------------------------------------------------------------------------


def _policy(event: Event, body: JsonObject) -> list[Inbound]:
    """Read what Meta holds against the page; only a block stops it ("messaging_policy_enforcement").

    {"recipient": {"id": "<page>"}, "timestamp": 1458668856463,
     "policy_enforcement": {"action": "block", "reason": "The bot violated our Platform Policies."}}
    """
    action, reason = identifier(body.get("action"))[:40], words(body.get("reason")).strip()
    if not action:
        return [event.ignored("a policy enforcement that does not tell what was done", unread=True)]
    if action == "unblock":
        reason = "Meta lifted its block of the page: resume the account"
    same = event_id("policy", event.page, action, event.at.isoformat())
    said = reason or f"Meta enforces its policies on the page ({action})"
    return [AccountNews(same, event.page, event.at, "account_policy", said, stops=action == "block", raw=event.raw)]


_READERS: Final[Mapping[str, Callable[[Event, JsonObject], list[Inbound]]]] = {
    "delivery": _receipts("delivery", Status.DELIVERED),
    "read": _receipts("read", Status.READ),
    "message": _echo,
    "policy_enforcement": _policy,
}
