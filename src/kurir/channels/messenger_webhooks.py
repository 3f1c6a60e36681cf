"""Messenger's webhooks: receipts and echoes of a page.

``delivery`` and ``read`` carry a watermark, which says the same of every earlier message to one person; it stays a
watermark here, since what it covers is the store's to know. The echo of our own call carries our ``metadata`` and
settles a call whose answer never came. Sources: Meta's pages "Webhooks" (2026-05-05), "message_deliveries",
"message_reads" and "message_echoes" of the Messenger platform.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from kurir.channels import graph
from kurir.channels.base import Ignored, Inbound, JsonObject, Receipt, WebhookRequest
from kurir.channels.messenger_errors import identifier
from kurir.domain.status import Status

_RECEIPTS: Final = {"delivery": Status.DELIVERED, "read": Status.READ}
#: What we put into ``metadata``: a tid, or a tid and the number of a part.
_REFERENCE: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?::[1-9][0-9]{0,4})?", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_9999: Final = 253_370_764_800_000
#: A number below this counts seconds: it would be a day of 2001 in milliseconds. Some events are said to do so.
_SECONDS_BELOW: Final = 10**12


def events(request: WebhookRequest, app_id: str) -> list[Inbound]:
    """Return the events of a verified request, in its order. Raises WebhookUnreadable, nothing else.

    *app_id* is the account's, "" where it is not configured: then our metadata alone tells our own echo.
    """
    found: list[Inbound] = []
    for entry in graph.entries_of(request, "page"):
        # A page that gave the conversation to another app gets standby in place of messaging.
        for name in ("messaging", "standby"):
            for event in _items(entry, name):
                found.extend(_inbound(event, entry, app_id))
        found.extend(_ignored(change, "a change of the page's feed") for change in _items(entry, "changes"))
    return found


def _items(entry: JsonObject, name: str) -> list[object]:
    value = entry.get(name)
    return value if isinstance(value, list) else []


def _inbound(event: object, entry: JsonObject, app_id: str) -> list[Inbound]:
    """Return what *event* tells. One event is one of ours, or it is ignored: nothing of it is dropped silently."""
    if not isinstance(event, dict):
        return [_ignored(event, "an event that is no object")]
    told = _Event(event, _number(entry.get("id")), _moment(event.get("timestamp")) or _moment(entry.get("time")))
    receipts: list[Receipt] = []
    for kind, status in _RECEIPTS.items():
        if isinstance(event.get(kind), dict):
            receipts += _receipts(told, kind, status)
    if isinstance(event.get("message"), dict) and event["message"].get("is_echo") is True:
        receipts += _own_echo(told, app_id)
    if receipts:
        return list(receipts)
    kinds = sorted(identifier(name)[:40] for name in event if name not in ("sender", "recipient", "timestamp"))
    return [_ignored(event, f"nothing of use in an event with {', '.join(kinds[:5]) or 'no content'}")]


@dataclass(frozen=True, slots=True)
class _Event:
    """One event: its JSON, the page's id, and when it happened."""

    json: JsonObject
    page: str
    at: datetime | None

    def party(self, role: str) -> str:
        """Return the id of the sender or the recipient."""
        value = self.json.get(role)
        return _number(value.get("id")) if isinstance(value, dict) else ""


def _receipts(event: _Event, kind: str, status: Status) -> list[Receipt]:
    """Return one receipt for each message id that is named, and one up to the watermark.

    {"sender": {"id": "<psid>"}, "recipient": {"id": "<page>"}, "timestamp": 1458668856463,
     "delivery": {"mids": ["m_AG5…"], "watermark": 1458668856253}}

    ``mids`` may be missing, and ``read`` never has them; the watermark says the same of every earlier message to this
    person ("message_deliveries", "message_reads").
    """
    body, psid, raw = event.json[kind], event.party("sender"), _raw(event.json)
    watermark = _moment(body.get("watermark"))
    at = event.at or watermark
    if at is None or not event.page:
        return []
    mids = dict.fromkeys(mid for value in _items(body, "mids") if (mid := identifier(value)))
    found = [
        Receipt(_event_id(kind, mid), status, at, event.page, platform_id=mid, address=psid, raw=raw) for mid in mids
    ]
    if watermark is not None and psid:
        event_id = _event_id(kind, event.page, psid, watermark.isoformat())
        found.append(Receipt(event_id, status, at, event.page, watermark=watermark, address=psid, raw=raw))
    return found


def _own_echo(event: _Event, app_id: str) -> list[Receipt]:
    """Return the proof that a message of ours left; [] for the echo of another app or of a person in the page's inbox.

    {"sender": {"id": "<page>"}, "recipient": {"id": "<psid>"}, "timestamp": 1458668856463,
     "message": {"is_echo": true, "app_id": 1517776481860111, "metadata": "<tid>", "mid": "m_…", "text": "…"}}
    """
    message = event.json["message"]
    mid, reference = identifier(message.get("mid")), message.get("metadata")
    foreign = bool(app_id) and _number(message.get("app_id")) != app_id
    if foreign or not mid or event.at is None or not event.page:
        return []
    if not isinstance(reference, str) or not _REFERENCE.fullmatch(reference):
        return []
    return [
        Receipt(
            _event_id("echo", mid),
            Status.SENT,
            event.at,
            event.page,
            platform_id=mid,
            address=event.party("recipient"),
            reference=reference,
            raw=_raw(event.json),
        )
    ]


def _ignored(event: object, why: str) -> Ignored:
    raw = _raw(event)
    return Ignored(_event_id("ignored", raw.decode()), why, raw)


def _event_id(*words: str) -> str:
    """Return an id that is the same for every repeat of an event, and short whatever the platform sends."""
    return f"{words[0]}:{hashlib.sha256(repr(words).encode()).hexdigest()[:32]}"


def _raw(event: object) -> bytes:
    """Return *event* as ASCII JSON; b"" where it is nested deeper than can be written again."""
    try:
        return json.dumps(event, separators=(",", ":"), sort_keys=True).encode()
    except RecursionError:
        return b""


def _number(value: object) -> str:
    """Return an id made of digits, which the platform gives as a string or as a number; "" for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**20:
        return str(value)
    return value if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20 else ""


def _moment(value: object) -> datetime | None:
    """Return the time in *value*: milliseconds since 1970, as a number or as digits; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        return None
    milliseconds = value * 1000 if value < _SECONDS_BELOW else value
    return _EPOCH + timedelta(milliseconds=milliseconds) if milliseconds < _YEAR_9999 else None
