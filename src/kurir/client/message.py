"""Messages to send: one function a type, and whatever they have in common.

A message has its ``id`` from the moment that it is made. The gateway takes an id once on each channel, so the same
:class:`Message` may be sent again whenever it is not known what became of it: it is never sent twice.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypedDict, Unpack

Json = dict[str, Any]
MediaKind = Literal["image", "video", "document"]


@dataclass(frozen=True, slots=True)
class Button:
    """A button. ``key`` comes back when it is pressed: any length, any characters. ``title`` is what the person reads."""

    key: str
    title: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a list. ``key`` comes back when it is chosen."""

    key: str
    title: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A group of rows."""

    title: str
    rows: Sequence[Row]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """Above the words of a button or list message: a text, or the URL of a picture, video or document."""

    text: str = ""
    media_url: str = ""
    kind: MediaKind = "image"


@dataclass(frozen=True, slots=True)
class Footer:
    """Below a button or list message."""

    text: str = ""
    title: str = ""


class Common(TypedDict, total=False):
    """What every message may have."""

    id: str
    reply_id: str
    reply_token: str
    account: str
    send_at: datetime
    expires_in: int
    priority: Literal["high", "normal", "bulk"]
    strict: bool
    fallback: Mapping[str, Any]


class Framed(Common, total=False):
    """What button and list messages may have beside that."""

    header: Header
    footer: Footer


@dataclass(frozen=True, slots=True)
class Message:
    """A message to send. Make it with the function of its type, such as :meth:`text`.

    Attributes:
        recipient: A phone with its country code, or an explicit address (``tg:…``, ``line:…``, ``fb:…``, ``wa:…``).
        type: The type, as the API names it.
        body: The content, as the API wants it.
        more: The other members of the request, such as ``reply_id``.
        id: Your own id: the idempotency key. A new UUID unless it is given.
        at: When it was made. The gateway keeps it for you, and does not interpret it.
    """

    recipient: str
    type: str
    body: Mapping[str, Any]
    more: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    at: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)

    def as_json(self) -> Json:
        """Return the request's body."""
        return {
            "id": self.id,
            "times": int(self.at.timestamp()),
            "timestamp": self.at.isoformat(),
            "recipient": self.recipient,
            "type": self.type,
            "body": dict(self.body),
            **self.more,
        }

    @classmethod
    def text(cls, recipient: str, text: str, **more: Unpack[Common]) -> "Message":
        """Return a message of words."""
        return _make(recipient, "text", {"text": text}, more)

    @classmethod
    def image(cls, recipient: str, url: str, text: str = "", *, name: str = "", **more: Unpack[Common]) -> "Message":
        """Return a picture by URL, with *text* as its caption."""
        return _make(recipient, "image", _media(url, text, name), more)

    @classmethod
    def video(cls, recipient: str, url: str, text: str = "", *, name: str = "", **more: Unpack[Common]) -> "Message":
        """Return a video by URL, with *text* as its caption."""
        return _make(recipient, "video", _media(url, text, name), more)

    @classmethod
    def audio(cls, recipient: str, url: str, text: str = "", *, name: str = "", **more: Unpack[Common]) -> "Message":
        """Return a sound file by URL."""
        return _make(recipient, "audio", _media(url, text, name), more)

    @classmethod
    def voice(cls, recipient: str, url: str, text: str = "", *, name: str = "", **more: Unpack[Common]) -> "Message":
        """Return a voice note by URL."""
        return _make(recipient, "voice", _media(url, text, name), more)

    @classmethod
    def document(cls, recipient: str, url: str, text: str = "", *, name: str = "", **more: Unpack[Common]) -> "Message":
        """Return a file by URL; *name* is what the person sees."""
        return _make(recipient, "document", _media(url, text, name), more)

    @classmethod
    def location(
        cls, recipient: str, latitude: float, longitude: float, text: str = "", **more: Unpack[Common]
    ) -> "Message":
        """Return a point, in degrees."""
        return _make(
            recipient, "location", {"text": text, "location": {"latitude": latitude, "longitude": longitude}}, more
        )

    @classmethod
    def button(cls, recipient: str, text: str, buttons: Sequence[Button], **more: Unpack[Framed]) -> "Message":
        """Return words with buttons under them."""
        content = {"text": text, "button": [{"key": one.key, "title": one.title} for one in buttons]}
        return _make(recipient, "button", content, more)

    @classmethod
    def list(
        cls, recipient: str, text: str, title: str, sections: Sequence[Section], **more: Unpack[Framed]
    ) -> "Message":
        """Return words with a list to choose from; *title* is the label that opens it."""
        content = {"text": text, "list": {"title": title, "sections": [_section(one) for one in sections]}}
        return _make(recipient, "list", content, more)

    @classmethod
    def template(
        cls,
        recipient: str,
        name: str,
        language: str,
        parameters: Mapping[str, Any] | None = None,
        **more: Unpack[Common],
    ) -> "Message":
        """Return a template of WhatsApp. *parameters* has ``header``, ``body`` and ``buttons``, where it has any."""
        given = {"name": name, "language": language, **({"parameters": dict(parameters)} if parameters else {})}
        return _make(recipient, "template", {"template": given}, more)


_PLAIN: Final = ("reply_id", "reply_token", "account", "expires_in", "priority", "strict", "fallback")


def _make(recipient: str, kind: str, body: Json, given: Framed | Common) -> Message:
    values: Json = dict(given)
    more: Json = {name: values[name] for name in _PLAIN if values.get(name) is not None}
    at = values.get("send_at")
    if at is not None:
        if at.tzinfo is None:
            raise ValueError("send_at has no time zone; datetime.now(UTC) has one")
        more["send_at"] = at.isoformat()
    header, footer = values.get("header"), values.get("footer")
    if header is not None:
        more["header"] = (
            {"type": header.kind, "media_url": header.media_url}
            if header.media_url
            else {"type": "text", "text": header.text}
        )
    if footer is not None:
        more["footer"] = {"title": footer.title, "text": footer.text}
    identifier = {"id": values["id"]} if values.get("id") is not None else {}
    return Message(recipient, kind, body, more, **identifier)


def _media(url: str, text: str, name: str) -> Json:
    return {"text": text, "media": {"url": url, "name": name}}


def _section(one: Section) -> Json:
    rows = [{"key": row.key, "title": row.title, "description": row.description} for row in one.rows]
    return {"title": one.title, "description": one.description, "actions": rows}
