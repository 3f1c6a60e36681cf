"""How an event is told: the bodies of the compat dialect, and the envelopes of the standard one. Pure.

``compat`` is the shape that clients of the published API parse already: statuses and incoming messages, every member
always there (absent text "", number 0, object null). ``standard`` is one envelope, ``{type, timestamp, data}``, for every
kind of event, as Standard Webhooks proposes it.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from kurir.channels.base import JsonObject
from kurir.domain.problem import Loss
from kurir.intake.inbound_data import rfc3339
from kurir.store import contact_data
from kurir.store.base import ErrorRecord, PartRecord
from kurir.store.feed import COMPAT_KINDS, EventRecord, StatusChange

COMPAT: Final = "compat"
STANDARD: Final = "standard"

#: Gives the URL of an event's file (by its number, from 0) and when it expires; None where files are not served.
Link = Callable[[EventRecord, int], tuple[str, datetime] | None]

_FROM: Final = ("avatar", "description", "name", "username", "id", "address", "phone")
_MESSAGE: Final = (
    "id",
    "type",
    "text",
    "reply_id",
    "reply_token",
    "times",
    "timestamp",
    "interactive",
    "location",
    "media",
    "postback",
)


def no_link(event: EventRecord, number: int) -> tuple[str, datetime] | None:  # noqa: ARG001 - a Link's signature
    """Give no file a URL."""
    return None


def carries(dialect: str, kind: str) -> bool:
    """Return whether *dialect* has a shape for events of this kind."""
    return dialect != COMPAT or kind in COMPAT_KINDS


def body(dialect: str, event: EventRecord, link: Link = no_link) -> bytes | None:
    """Return what is posted for *event*; None where the dialect has no shape for its kind."""
    if not carries(dialect, event.kind):
        return None
    told = compat(event, link) if dialect == COMPAT else standard(event, link)
    return contact_data.dump(told)


def standard(event: EventRecord, link: Link = no_link) -> JsonObject:
    """Return the envelope of *event*."""
    data = _standard_status(event, event.change) if event.change is not None else _data(event, link)
    return {"type": event.kind, "timestamp": rfc3339(event.at), "data": data}


def in_feed(event: EventRecord, link: Link = no_link) -> JsonObject:
    """Return the envelope of *event* with its ``id``, which is the feed's cursor."""
    return {"id": str(event.position), **standard(event, link)}


def compat(event: EventRecord, link: Link = no_link) -> JsonObject:
    """Return the published shape of *event*, of a kind that compat carries."""
    if event.change is not None:
        return {"status": _compat_status(event, event.change)}
    data = _data(event, link)
    sender, message = data.get("from") or {}, data.get("message") or {}
    return {
        "from": {name: sender.get(name, "") for name in _FROM},
        "message": {name: message.get(name, _ABSENT[name]) for name in _MESSAGE},
        "channel": event.channel,
        "account": event.account_id,
    }


_ABSENT: Final[dict[str, Any]] = dict.fromkeys(_MESSAGE, "") | {
    "times": 0,
    **dict.fromkeys(("interactive", "location", "media", "postback")),
}


# --- statuses ---------------------------------------------------------------------------------------------------------


def _compat_status(event: EventRecord, change: StatusChange) -> JsonObject:
    return {
        "message_id": change.message_id,
        "provider_message_id": change.provider_message_id,
        "recipient_id": change.recipient,
        "status": int(change.status),
        "tid": change.tid,
        "times": int(event.at.timestamp()),
        "timestamp": rfc3339(event.at),
        "error": _error(change.error),
    }


def _standard_status(event: EventRecord, change: StatusChange) -> JsonObject:
    return {
        "tid": change.tid,
        "message_id": change.message_id,
        "channel": event.channel,
        "account": event.account_id,
        "recipient": change.recipient,
        "status": int(change.status),
        "previous": int(change.previous),
        "at": rfc3339(event.at),
        "error": _error(change.error),
        "parts": [_part(part) for part in change.parts],
        "losses": [_loss(loss) for loss in change.losses],
    }


def _error(record: ErrorRecord | None) -> JsonObject | None:
    if record is None:
        return None
    return {"code": record.code, "detail": record.detail, "provider_code": record.provider_code}


def _part(part: PartRecord) -> JsonObject:
    at = part.answered_at or part.marked_at
    return {
        "part": part.number,
        "state": part.phase.value,
        "status": int(part.status) if part.status is not None else None,
        "attempts": part.attempts,
        "provider_message_ids": list(part.platform_ids),
        "at": rfc3339(at) if at is not None else None,
    }


def _loss(loss: Loss) -> JsonObject:
    return {"pointer": loss.pointer, "kind": loss.kind, "detail": loss.detail}


# --- what came in -----------------------------------------------------------------------------------------------------


def _data(event: EventRecord, link: Link) -> JsonObject:
    """Return the event's data with the link to its file filled in."""
    data: JsonObject = json.loads(event.data) if event.data else {}
    message = data.get("message")
    if isinstance(message, dict) and isinstance(message.get("media"), dict):
        found = link(event, 0)
        url, expires_at = ("", "") if found is None else (found[0], rfc3339(found[1]))
        file = message["media"]
        message["media"] = {
            "animated": file.get("animated", False),
            "id": f"{event.position}-0",
            "mime_type": file.get("mime_type", ""),
            "name": file.get("name", ""),
            "size": file.get("size", 0),
            "url": url,
            "expires_at": expires_at,
        }
    return data
