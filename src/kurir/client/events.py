"""Events as typed values: of the feed, of its stream, and of callbacks in either dialect.

``match`` on the class is how a program tells them apart. A kind that this version does not know is a plain
:class:`Event`, with everything that came in ``raw``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from kurir.client.answers import Loss, Part, Reason, Status
from kurir.client.errors import UNREADABLE_ANSWER, KurirError
from kurir.client.reading import read


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened. ``id`` is the same whenever it is told again, so that repeats can be known by it.

    In the feed it is the cursor; of a callback it is the ``webhook-id``. ``at`` is when it happened at the platform, else
    when the gateway knew.
    """

    id: str = ""
    type: str = ""
    at: datetime | None = None
    channel: str = ""
    account: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageStatus(Event):
    """A message of yours has a new status. ``message_id`` is your id of it.

    The compat dialect has no ``channel``, ``account``, ``previous``, ``parts`` and ``losses``.
    """

    tid: str
    message_id: str
    recipient: str
    status: Status
    previous: Status | None = None
    error: Reason | None = None
    provider_message_id: str = ""
    parts: tuple[Part, ...] = ()
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """Who wrote. ``address`` is always safe to answer to; ``id`` is the phone on WhatsApp, the native id elsewhere."""

    id: str = ""
    address: str = ""
    name: str = ""
    username: str = ""
    phone: str = ""
    avatar: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Location:
    """A point in degrees; ``live_period`` in seconds, 0 for one that stands still."""

    latitude: float = 0.0
    longitude: float = 0.0
    address: str = ""
    name: str = ""
    live_period: int = 0


@dataclass(frozen=True, slots=True)
class Media:
    """A file that came in. ``url`` needs no credentials, and works until ``expires_at``; ``size`` in bytes, 0 unknown."""

    id: str = ""
    url: str = ""
    mime_type: str = ""
    name: str = ""
    size: int = 0
    animated: bool = False
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Postback:
    """What was pressed: the very key that was sent, and its title."""

    key: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Received:
    """A message of a person. ``id`` is what a ``reply_id`` takes, ``reply_token`` what a ``reply_token`` takes.

    ``reply_id`` is your own id when the message that they answered was yours, else the platform's, "" when they answered none.
    ``referral``, ``standby`` and ``live`` are told by the standard dialect alone.
    """

    id: str = ""
    type: str = ""
    text: str = ""
    reply_id: str = ""
    reply_token: str = ""
    timestamp: datetime | None = None
    location: Location | None = None
    media: Media | None = None
    postback: Postback | None = None
    referral: str = ""
    standby: bool = False
    live: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived(Event):
    """A person wrote."""

    sender: Person = field(metadata={"json": "from"})
    message: Received


@dataclass(frozen=True, slots=True, kw_only=True)
class PostbackReceived(MessageReceived):
    """A person pressed a button or chose a row."""

    @property
    def key(self) -> str:
        """Return the key that you sent with it."""
        return self.message.postback.key if self.message.postback is not None else ""


@dataclass(frozen=True, slots=True)
class Reacted:
    """A reaction. ``emoji`` is "" when it was taken back; ``reply_id`` is your own id of the message, where it was yours."""

    emoji: str = ""
    message_id: str = ""
    reply_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReaction(Event):
    """A person reacted to a message."""

    sender: Person = field(metadata={"json": "from"})
    reaction: Reacted


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageEdited(Event):
    """A person changed the words of a message of theirs: those in ``message.text`` are the new ones."""

    sender: Person = field(metadata={"json": "from"})
    message: Received


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDeleted(Event):
    """A person took a message of theirs back."""

    sender: Person = field(metadata={"json": "from"})
    message: Received


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMessage(Event):
    """Somebody of the business wrote in the platform's own inbox."""

    to: Person
    message: Received


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactChanged(Event):
    """A person blocked or unblocked the account, shared their phone, or came by a link: ``type`` tells which."""

    contact: Person
    referral: str = ""
    first_time: bool = False
    reply_token: str = ""
    moved_to: str = ""


_KINDS: Final[Mapping[str, type[Event]]] = {
    "message.status": MessageStatus,
    "message.received": MessageReceived,
    "postback.received": PostbackReceived,
    "message.reaction": MessageReaction,
    "message.edited": MessageEdited,
    "message.deleted": MessageDeleted,
    "message.agent": AgentMessage,
    "contact.blocked": ContactChanged,
    "contact.unblocked": ContactChanged,
    "contact.linked": ContactChanged,
    "contact.referred": ContactChanged,
}


def of_envelope(envelope: Mapping[str, Any], event_id: str = "") -> Event:
    """Return the event in an envelope of the standard dialect; *event_id* where the envelope has none.

    Raises KurirError (``unreadable_answer``).
    """
    kind, data = envelope.get("type"), envelope.get("data")
    if not isinstance(kind, str) or not isinstance(data, Mapping):
        raise KurirError(UNREADABLE_ANSWER, "an event should have a type and data")
    told = {**data, "id": event_id or envelope.get("id") or "", "type": kind, "at": envelope.get("timestamp")}
    if kind == "message.status":
        told["provider_message_id"] = _last_sent(data)
    return _told(kind, told, envelope)


def of_compat(body: Mapping[str, Any], event_id: str = "") -> Event:
    """Return the event in a body of the compat dialect. Raises KurirError (``unreadable_answer``)."""
    status, message = body.get("status"), body.get("message")
    if isinstance(status, Mapping):
        told = {**status, "recipient": status.get("recipient_id"), "at": status.get("timestamp")}
        kind = "message.status"
    elif isinstance(message, Mapping):
        told = {**body, "at": message.get("timestamp")}
        kind = "postback.received" if message.get("type") == "postback" else "message.received"
    else:
        raise KurirError(UNREADABLE_ANSWER, "an event should have a status or a message")
    return _told(kind, {**told, "id": event_id, "type": kind}, body)


def of_body(body: Mapping[str, Any], event_id: str = "") -> Event:
    """Return the event in the body of a callback of either dialect. Raises KurirError (``unreadable_answer``)."""
    if isinstance(body.get("type"), str) and "data" in body:
        return of_envelope(body, event_id)
    return of_compat(body, event_id)


def _told(kind: str, told: Mapping[str, Any], raw: Mapping[str, Any]) -> Event:
    return read(_KINDS.get(kind, Event), {**told, "raw": raw})


def _last_sent(data: Mapping[str, Any]) -> str:
    """Return the platform's id of the last part sent, as the compat dialect tells it."""
    parts = data.get("parts")
    ids = (
        [part.get("provider_message_ids") for part in parts if isinstance(part, Mapping)]
        if isinstance(parts, list)
        else []
    )
    return next((str(one[0]) for one in reversed(ids) if isinstance(one, list) and one), "")
