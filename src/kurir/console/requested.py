"""What a client asked for, in the API's own shape, out of the form in which the store keeps it.

The store keeps one canonical form (:func:`kurir.intake.wire.encode`); people know the request. What a message is made of is
the same in both, so that the body that is written here is accepted as the very same message.
"""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from kurir.domain.message import Message, Priority, Template
from kurir.intake import wire

Json = dict[str, Any]

#: Characters of a line that tells what a message says.
LONGEST_LINE: Final = 160


def message_of(body: bytes) -> Message | None:
    """Return the message in *body* as the store keeps it; None for one whose content was erased, or that cannot be read."""
    try:
        return wire.restore(body) if len(body) > len(b"{}") else None
    except (KeyError, ValueError, TypeError):
        return None


def request_of(message: Message, at: datetime) -> Json:
    """Return the body of a request that asks for *message*; *at* is its timestamp."""
    found: Json = {
        "id": message.id,
        "times": 0,
        "timestamp": at.isoformat(timespec="seconds"),
        "recipient": message.recipient,
        "type": message.type.value,
    }
    if message.header:
        found["header"] = {"type": message.header.type.value, "text": message.header.text}
        found["header"]["media_url"] = message.header.media_url
    found["body"] = _content(message)
    if message.footer:
        found["footer"] = asdict(message.footer)
    optional: Json = {
        "reply_id": message.reply_id,
        "reply_token": message.reply_token,
        "account": message.account,
        "expires_in": message.expires_in_seconds,
        "send_at": message.send_at.isoformat() if message.send_at else None,
        "priority": message.priority.value if message.priority is not Priority.NORMAL else None,
        "strict": message.strict or None,
    }
    found.update({name: value for name, value in optional.items() if value})
    if message.fallback:
        found["fallback"] = {"when": "window_closed", "template": _template(message.fallback)}
    return found


def _content(message: Message) -> Json:
    content: Json = {}
    if message.text:
        content["text"] = message.text
    if message.media:
        content["media"] = {"url": message.media.url, "name": message.media.name}
    if message.location:
        content["location"] = {"latitude": message.location.latitude, "longitude": message.location.longitude}
    if message.buttons:
        content["button"] = [{"key": one.key, "title": one.title} for one in message.buttons]
    if message.list:
        content["list"] = {
            "title": message.list.title,
            "sections": [
                {
                    "title": section.title,
                    "description": section.description,
                    "actions": [asdict(action) for action in section.actions],
                }
                for section in message.list.sections
            ],
        }
    if message.template:
        content["template"] = _template(message.template)
    return content


def _template(template: Template) -> Json:
    return {"name": template.name, "language": template.language, "parameters": json.loads(template.parameters or "{}")}


def line_of(body: bytes) -> str:
    """Return a line of what a message says, "" where it says nothing that is text. *body* is as the store keeps it."""
    message = message_of(body)
    if message is None:
        return ""
    tried = [message.text]
    tried += [message.header.text] if message.header else []
    tried += [message.list.title] if message.list else []
    tried += [message.media.name, message.media.url.rpartition("/")[2]] if message.media else []
    tried += [message.template.name] if message.template else []
    tried += [f"{message.location.latitude:.5f}, {message.location.longitude:.5f}"] if message.location else []
    for found in tried:
        line = " ".join(found.split())
        if line:
            return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"
    return ""
