"""What Parlour posts to us: receipts, messages, presses, and whether somebody blocked the bot.

{"events": [
  {"id": "e1", "at": 1700000000, "type": "receipt", "message_id": "m1", "status": "read"},
  {"id": "e2", "at": 1700000001, "type": "message", "from": {"id": "ani", "name": "Ani"},
   "message": {"id": "m2", "text": "Hello", "reply_to": "m1",
               "file": {"id": "f1", "kind": "image", "type": "image/png", "name": "cat.png", "size": 2000}}},
  {"id": "e3", "at": 1700000002, "type": "press", "from": {"id": "ani"}, "message_id": "m1",
   "button": {"id": "yes", "title": "Yes"}},
  {"id": "e4", "at": 1700000003, "type": "blocked", "from": {"id": "ani"}}]}

The header ``X-Parlour-Signature`` is ``sha256=`` and the HMAC-SHA256 of the body in hex.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from kurir.channels.base import (
    TIME_UNTOLD,
    ContactNews,
    Handshake,
    Ignored,
    Inbound,
    InboundMedia,
    InboundMessage,
    Kind,
    Person,
    Press,
    Receipt,
    WebhookRejected,
    WebhookRequest,
    WebhookUnreadable,
)
from kurir.channels.text import storable
from kurir.domain.account import Account
from kurir.domain.status import Status
from kurir_parlour.settings import settings_of

_STATUSES: Final[Mapping[str, Status]] = {"delivered": Status.DELIVERED, "read": Status.READ}
_FILES: Final[Mapping[str, Kind]] = {
    "image": Kind.IMAGE,
    "video": Kind.VIDEO,
    "audio": Kind.AUDIO,
    "voice": Kind.VOICE,
    "document": Kind.DOCUMENT,
}


def verify(account: Account, request: WebhookRequest) -> Handshake | None:
    """Check the signature over the raw bytes, in constant time. Parlour has no handshake."""
    secret = settings_of(account).signing_secret.encode()
    wanted = "sha256=" + hmac.new(secret, request.body, hashlib.sha256).hexdigest()
    given = request.headers.get("x-parlour-signature", "")
    if not hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode()):
        raise WebhookRejected("the signature in X-Parlour-Signature is missing or wrong")
    return None


def parse(account: Account, request: WebhookRequest) -> list[Inbound]:  # noqa: ARG001 - the protocol's signature
    """Return the events of a verified webhook. Raises WebhookUnreadable, whatever the bytes, and nothing else."""
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        raise WebhookUnreadable("the body is no JSON") from None
    events = body.get("events") if isinstance(body, dict) else None
    if not isinstance(events, list):
        raise WebhookUnreadable("the body has no list «events»")
    return [_inbound(event if isinstance(event, dict) else {}) for event in events]


def _inbound(event: dict[str, Any]) -> Inbound:
    number = _text(event.get("id"))
    if not number:  # without it a repeat could not be told from a new event
        return Ignored("", "an event without an id", _raw(event), unread=True)
    reader = _READERS.get(_text(event.get("type")))
    found = reader(event, number) if reader else Ignored(number, "no use for an event of this type", _raw(event))
    return found or Ignored(number, "an event that lacks what makes its type", _raw(event), unread=True)


def _receipt(event: dict[str, Any], number: str) -> Inbound | None:
    status, message = _STATUSES.get(_text(event.get("status"))), _text(event.get("message_id"))
    if status is None or not message:
        return None
    return Receipt(number, status, _at(event), owner="", platform_id=message, raw=_raw(event))


def _message(event: dict[str, Any], number: str) -> Inbound | None:
    person, message = _person(event), _object(event.get("message"))
    if person is None or not _text(message.get("id")):
        return None
    file = _object(message.get("file"))
    kind = _FILES.get(_text(file.get("kind")), Kind.DOCUMENT) if file else Kind.TEXT
    return InboundMessage(
        event_id=number,
        owner="",
        at=_at(event),
        sender=person,
        kind=kind,
        platform_id=_text(message["id"]),
        text=_text(message.get("text")),
        media=(_file(file),) if file else (),
        reply_to=_text(message.get("reply_to")),
        raw=_raw(event),
    )


def _file(file: dict[str, Any]) -> InboundMedia:
    size = file.get("size")
    whole = isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 2**53
    return InboundMedia(
        id=_text(file.get("id")),
        mime_type=_text(file.get("type")),
        name=_text(file.get("name")),
        size=size if whole else None,
    )


def _press(event: dict[str, Any], number: str) -> Inbound | None:
    person, button = _person(event), _object(event.get("button"))
    if person is None or not isinstance(button.get("id"), str):
        return None
    return InboundMessage(
        event_id=number,
        owner="",
        at=_at(event),
        sender=person,
        kind=Kind.POSTBACK,
        platform_id=number,
        press=Press(storable(button["id"]), _text(button.get("title"))),
        reply_to=_text(event.get("message_id")),
        raw=_raw(event),
    )


def _blocked(event: dict[str, Any], number: str) -> Inbound | None:
    person = _person(event)
    blocked = event.get("type") == "blocked"
    return ContactNews(number, "", _at(event), person, blocked=blocked, raw=_raw(event)) if person else None


_READERS: Final[Mapping[str, Callable[[dict[str, Any], str], Inbound | None]]] = {
    "receipt": _receipt,
    "message": _message,
    "press": _press,
    "blocked": _blocked,
    "unblocked": _blocked,
}


def _person(event: dict[str, Any]) -> Person | None:
    given = _object(event.get("from"))
    name = _text(given.get("id"))
    return Person(address=name, id=name, name=_text(given.get("name"))) if name else None


def _at(event: dict[str, Any]) -> datetime:
    at = event.get("at")
    if isinstance(at, bool) or not isinstance(at, int) or not 0 < at < 2**33:
        return TIME_UNTOLD  # the gateway's own clock takes its place
    return datetime.fromtimestamp(at, UTC)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return storable(value) if isinstance(value, str) else ""


def _raw(event: dict[str, Any]) -> bytes:
    try:
        return json.dumps(event).encode()
    except RecursionError:
        return b""
