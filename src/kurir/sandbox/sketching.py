"""A platform request as the bubbles that it would be, without a phone: for a page that shows one message.

It reads with the emulators' own readers, but leniently: what is too long is shown with its length, and a file that is not
here is shown without its content. Nothing here refuses or raises, since what it reads is already sent.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from itertools import chain
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from kurir.sandbox import line_messages, messenger_messages, telegram_messages, whatsapp_messages
from kurir.sandbox.graph import GraphErrors, member
from kurir.sandbox.ids import Ids
from kurir.sandbox.media import Uploads
from kurir.sandbox.telegram_calls import Parameters
from kurir.sandbox.view import Block
from kurir.sandbox.wire import Form, JsonObject, UnreadableError, parse_json, shown_json

#: The blocks of one bubble.
Blocks = tuple[Block, ...]

#: LINE's endpoints that send, by the end of their path.
_LINE_SENDS: Final = ("push", "reply", "multicast", "narrowcast", "broadcast")
#: What is no message though a sending endpoint takes it.
_NO_MESSAGES: Final = ("status", "sender_action")


def bubbles_of_call(channel: str, method: str, url: str, body: object) -> tuple[Blocks, ...]:
    """Return the bubbles that *channel* would show of a request, each as its blocks; none where it is no message.

    *url* may be a path. *body* is the JSON or the form as an object, or as text. What cannot be read as a message of that
    platform is one bubble that holds the JSON.
    """
    try:
        fields = _fields(body)
        last = urlsplit(url).path.rpartition("/")[2].lower()
        return _bubbles(channel, method.upper(), last, fields)
    except Exception:  # noqa: BLE001 - a stranger's JSON that was sent long ago; the page about it has to be shown
        return ()


def blocks_of_call(channel: str, method: str, url: str, body: object) -> Blocks:
    """Return the blocks of :func:`bubbles_of_call` as those of one bubble."""
    return tuple(chain.from_iterable(bubbles_of_call(channel, method, url, body)))


def bubbles_of_request(channel: str, request: str) -> tuple[Blocks, ...]:
    """Return the bubbles of a call in the gateway's record: JSON with method, url, json and, of a file, upload."""
    try:
        record = parse_json(request)
    except UnreadableError:
        return ()
    if not isinstance(record, dict) or not isinstance(record.get("json"), dict):
        return ()
    fields, upload = dict(record["json"]), member(record, "upload")
    source = str(upload.get("source_url") or "")
    if source and channel == "telegram":
        fields.setdefault(str(upload.get("field")), source)
    return bubbles_of_call(channel, str(record.get("method")), str(record.get("url")), _with_file(fields, source))


def as_json(bubbles: tuple[Blocks, ...], *, at: str = "", tick: str = "") -> JsonObject:
    """Return what ``<kurir-bubble>`` takes: *at* is RFC 3339, *tick* clock, sent, delivered, read or failed."""
    return {"bubbles": [[asdict(block) for block in blocks] for blocks in bubbles], "at": at, "tick": tick}


def _fields(body: object) -> JsonObject:
    """Return *body* as an object, whatever it travels as."""
    if isinstance(body, bytes | bytearray):
        body = bytes(body).decode(errors="replace")
    if isinstance(body, str):
        try:
            body = parse_json(body)
        except UnreadableError:
            body = dict(parse_qsl(str(body), keep_blank_values=True))
    return {str(name): value for name, value in body.items()} if isinstance(body, Mapping) else {}


def _with_file(fields: JsonObject, source: str) -> JsonObject:
    """Return *fields* with the address of Messenger's file in its place, which travels beside the JSON."""
    attachment = member(member(fields, "message"), "attachment")
    if source and attachment and not member(attachment, "payload").get("url"):
        payload = member(attachment, "payload") | {"url": source}
        return fields | {"message": fields["message"] | {"attachment": attachment | {"payload": payload}}}
    return fields


def _bubbles(channel: str, method: str, last: str, fields: JsonObject) -> tuple[Blocks, ...]:
    if method != "POST" and channel != "telegram":
        return ()
    if channel == "telegram":
        return _telegram(last, fields)
    if channel == "line":
        return _line(fields) if last in _LINE_SENDS else ()
    if last != "messages" or any(fields.get(name) for name in _NO_MESSAGES):
        return ()
    if channel == "whatsapp":
        return _or_json(lambda: (_whatsapp(fields),), fields)
    if channel == "messenger":
        message = fields.get("message")
        message = parse_json(message) if isinstance(message, str) else message
        return _or_json(lambda: (_messenger(message),), message) if isinstance(message, dict) else ()
    return ()


def _or_json(read: Any, shown: object) -> tuple[Blocks, ...]:
    """Return what *read* gives, or *shown* as JSON where that is no message of the platform."""
    with suppress(Exception):  # a refusal, or a shape that no reader knows
        found: tuple[Blocks, ...] = read()
        if any(found):
            return tuple(blocks for blocks in found if blocks)
    return ((Block("unknown", text=shown_json(shown)),),)


def _uploads() -> Uploads:
    return Uploads(_ids())


def _ids() -> Ids:
    return Ids(0)


def _whatsapp(message: JsonObject) -> Blocks:
    reader = whatsapp_messages.Reader(GraphErrors(_ids()), _uploads(), lenient=True)
    try:
        return reader.blocks(message)
    except Exception:
        template = member(message, "template")
        if not template.get("name"):
            raise
        # A template of a real account, whose words only Meta has: its name, and what the message fills in.
        return (Block("text", text=str(template["name"]), role="title"), Block("unknown", text=shown_json(template)))


def _messenger(message: JsonObject) -> Blocks:
    return messenger_messages.Reader(GraphErrors(_ids()), _uploads(), {}, None, lenient=True).blocks(message)


def _line(fields: JsonObject) -> tuple[Blocks, ...]:
    messages = fields.get("messages")
    if not isinstance(messages, list):
        return ()
    found: list[Blocks] = []
    for message in messages[: line_messages.MESSAGES]:
        found += _or_json(lambda message=message: line_messages.Reader().messages([message]), message)
    return tuple(line_messages.with_facts(blocks) for blocks in found)


def _telegram(method: str, fields: JsonObject) -> tuple[Blocks, ...]:
    parameters = Parameters(Form(fields))
    reader = telegram_messages.Reader(_ids(), _uploads(), lenient=True)
    if method in telegram_messages.SENDERS:
        return _or_json(lambda: (reader.draft(method, parameters).blocks,), _plain(fields))
    if method == "sendmediagroup":
        return _or_json(lambda: tuple(draft.blocks for draft in reader.album(parameters)), _plain(fields))
    return ()


def _plain(fields: JsonObject) -> JsonObject:
    """Return *fields* as they can be written, since a form may hold anything."""
    parsed: JsonObject = json.loads(json.dumps(fields, default=str))
    return parsed
