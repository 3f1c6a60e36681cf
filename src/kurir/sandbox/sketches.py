"""What a request on a sending endpoint is, in a few words: for whom, which text, which key.

Faults and the ledger need this before, and whether or not, the emulator accepts the request. So nothing here refuses:
what cannot be read is left empty.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.datastructures import Headers

from kurir.sandbox.config import SandboxConfig
from kurir.sandbox.graph import member, members
from kurir.sandbox.wire import (
    MAX_UPLOAD_BODY,
    JsonObject,
    TooLargeError,
    UnreadableError,
    parse_form,
    parse_json,
)

#: The characters of a text that the ledger keeps.
MAX_TEXT: Final = 300
_LINE_SENDING: Final = ("push", "reply", "multicast")
_NOT_SENT: Final = ("sendchataction",)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A platform's endpoint: its channel, and the last part of the path when messages are sent by it, else ""."""

    channel: str
    sends: str = ""


@dataclass(frozen=True, slots=True)
class Sketch:
    """What a sending request says. *sends* is false for read marks and typing signs, which are no messages."""

    address: str = ""
    text: str = ""
    key: str = ""
    reference: str = ""
    sends: bool = True


def endpoint(config: SandboxConfig, method: str, path: str, knows: Callable[[str, str], object]) -> Endpoint | None:
    """Return the endpoint at *path*, None where no platform is.

    *knows* tells whether a channel has a phone with an address: Graph's one host carries two platforms, and the object
    in the path says which.
    """
    parts = path.split("/")
    last = parts[-1]
    if parts[1] == "telegram":
        name = last.lower()
        sends = name.startswith("send") and name not in _NOT_SENT
        return Endpoint("telegram", name if sends else "")
    if parts[1] == "line":
        sends = method == "POST" and parts[-2] == "message" and last in _LINE_SENDING
        return Endpoint("line", last if sends else "")
    if parts[1] != "graph" or len(parts) < 4:
        return None
    node = parts[3]
    page = node in ("me", config.messenger.page_id)
    channel = "messenger" if page or knows("messenger", node) else "whatsapp"
    sends = method == "POST" and last == "messages" and (page or node == config.whatsapp.phone_number_id)
    return Endpoint(channel, last if sends else "")


def sketch(place: Endpoint, headers: Headers, query: bytes, raw: bytes, reply_address: Callable[[str], str]) -> Sketch:
    """Return what the body *raw* of a sending request says; *reply_address* tells the chat of a LINE reply token."""
    if place.channel in ("whatsapp", "line"):
        try:
            body = parse_json(raw)
        except UnreadableError:
            return Sketch()
        if not isinstance(body, dict):
            return Sketch()
        return _whatsapp(body) if place.channel == "whatsapp" else _line(place, headers, body, reply_address)
    try:
        fields = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        form = parse_form(raw, headers.get("content-type", ""), fields, limit=MAX_UPLOAD_BODY)
    except (UnreadableError, TooLargeError):
        return Sketch()
    return _telegram(form.fields) if place.channel == "telegram" else _messenger(form.fields)


def _whatsapp(body: JsonObject) -> Sketch:
    address = re.sub(r"[+\s().-]", "", _word(body.get("to"))) or _word(body.get("recipient"))
    content = member(body, str(body.get("type", "text")))
    texts = (
        content.get("body"),
        content.get("caption"),
        member(content, "body").get("text"),
        content.get("name"),
        content.get("emoji"),
        content.get("filename"),
    )
    reference = _word(body.get("biz_opaque_callback_data"))
    return Sketch(address, _first(texts), reference=reference, sends=body.get("status") != "read")


def _telegram(fields: JsonObject) -> Sketch:
    album = _parsed(fields.get("media"))
    texts = [fields.get(name) for name in ("text", "caption", "title", "first_name")]
    texts += [item.get("caption") for item in album if isinstance(item, dict)] if isinstance(album, list) else []
    return Sketch(_word(fields.get("chat_id")), _first(texts))


def _line(place: Endpoint, headers: Headers, body: JsonObject, reply_address: Callable[[str], str]) -> Sketch:
    to = body.get("to")
    address = _word(to[0]) if isinstance(to, list) and to else _word(to)
    if place.sends == "reply":
        address = reply_address(_word(body.get("replyToken")))
    texts = [
        message.get(name)
        for message in members(body, "messages")
        if isinstance(message, dict)
        for name in ("text", "altText", "title")
    ]
    return Sketch(address, _first(texts), key=headers.get("x-line-retry-key", ""))


def _messenger(fields: JsonObject) -> Sketch:
    message = _parsed(fields.get("message"))
    payload = member(member(message, "attachment"), "payload")
    texts = [message.get("text") if isinstance(message, dict) else None, payload.get("text")]
    texts += [element.get("title") for element in members(payload, "elements") if isinstance(element, dict)]
    address = _word(member({"": _parsed(fields.get("recipient"))}, "").get("id"))
    reference = _word(member({"": message}, "").get("metadata"))
    return Sketch(address, _first(texts), reference=reference, sends=not fields.get("sender_action"))


def _parsed(value: Any) -> Any:
    """Return *value*, or what it is as JSON: in a form the objects travel as text."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except UnreadableError:
        return None


def _first(texts: Any) -> str:
    return _clean(next((text[:MAX_TEXT] for text in texts if isinstance(text, str) and text), ""))


def _word(value: Any) -> str:
    """Return a text or a whole number as a short text, "" for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return _clean(str(value)[:512])


def ids_of(channel: str, answer: Any) -> tuple[str, ...]:
    """Return the message ids in the JSON that an emulator answered."""
    if not isinstance(answer, dict):
        return ()
    if channel == "whatsapp":
        found = [message.get("id") for message in members(answer, "messages")]
    elif channel == "line":
        found = [message.get("id") for message in members(answer, "sentMessages")]
    elif channel == "messenger":
        found = [answer.get("message_id")]
    else:
        result = answer.get("result")
        messages = result if isinstance(result, list) else [result]
        found = [message.get("message_id") for message in messages if isinstance(message, dict)]
    return tuple(str(each) for each in found if each)


def _clean(text: str) -> str:
    """Return *text* without lone surrogates, which JSON may carry and UTF-8 cannot."""
    return text.encode(errors="replace").decode()
