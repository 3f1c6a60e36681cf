"""What WhatsApp tells us by webhook: receipts of our messages. Everything else is ignored, with its raw fragment.

Source: Meta's pages "Webhooks: messages, status" and "Webhooks: overview" (read 2026-09-11): a body holds several
entries, changes and statuses, repeats are usual, the order is not kept, and ``delivered`` may be left out before
``read``.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from kurir.channels import graph
from kurir.channels.base import (
    Ignored,
    Inbound,
    JsonObject,
    Receipt,
    ReceiptError,
    WebhookRequest,
    WebhookUnreadable,
)
from kurir.channels.text import storable
from kurir.channels.whatsapp_errors import ERRORS, Kind
from kurir.domain.account import Account
from kurir.domain.status import Status

#: The status words of receipts ("Webhooks: messages, status"). ``accepted`` repeats the answer of 200.
_STATUSES: Final[Mapping[str, Status]] = {
    "sent": Status.SENT,
    "delivered": Status.DELIVERED,
    "read": Status.READ,
    "played": Status.READ,
    "failed": Status.UNDELIVERED,
}


def parse(account: Account, request: WebhookRequest) -> list[Inbound]:
    """Return the events of a verified webhook, in its order. Raises WebhookUnreadable, nothing else.

    Each event names its own business number, since a batch may hold several of one app.
    """
    del account
    try:
        return [
            event
            for entry in graph.entries_of(request, "whatsapp_business_account")
            for change in objects(entry.get("changes"))
            for event in _change(change)
        ]
    except RecursionError:
        raise WebhookUnreadable("the body is nested too deep") from None


def _change(change: JsonObject) -> Iterator[Inbound]:
    """Yield the events of one change.

    {"field": "messages", "value": {"metadata": {"phone_number_id": "1065…"}, "statuses": […], "messages": […]}}
    """
    field, value = string(change, "field"), change.get("value")
    if field != "messages" or not isinstance(value, dict):
        yield _ignored(f"the webhook field «{field[:60]}» is not used", change)
        return
    metadata = value.get("metadata")
    owner = string(metadata, "phone_number_id")
    for status in objects(value.get("statuses")):
        yield _receipt(status, owner)
    for message in objects(value.get("messages")):
        kind = string(message, "type")[:60]
        yield _ignored(f"an inbound message of type «{kind}»: receiving is not there yet", message, "id")
    for error in objects(value.get("errors")):
        yield _ignored(f"an error of the account, code {_number(error.get('code'))}", error)


def _receipt(status: JsonObject, owner: str) -> Inbound:
    """Return the receipt of one status.

    {"id": "wamid.…", "status": "failed", "timestamp": "1750030073", "recipient_id": "16505551234",
     "biz_opaque_callback_data": "…", "errors": [{"code": 131053, "title": "…", "error_data": {"details": "…"}}]}
    """
    word, wamid = string(status, "status"), string(status, "id")
    known, at = _STATUSES.get(word), _moment(status.get("timestamp"))
    if known is None or not wamid or at is None:
        return _ignored(f"a status «{word[:60]}» without use, or without id or time", status)
    person = string(status, "recipient_participant_id")
    return Receipt(
        event_id=":".join(part for part in (wamid, word, person) if part),
        status=known,
        at=at,
        owner=owner,
        platform_id=wamid,
        address=string(status, "recipient_id") or string(status, "recipient_user_id"),
        reference=string(status, "biz_opaque_callback_data"),
        error=_receipt_error(status) if known is Status.UNDELIVERED else None,
        raw=_raw(status),
    )


def _receipt_error(status: JsonObject) -> ReceiptError:
    """Return why WhatsApp could not deliver. What would be tried again as an answer is final as a receipt."""
    error = first(status.get("errors"))
    code = _number(error.get("code"))
    row = ERRORS.get(code)
    final = row is not None and row.kind in (Kind.CONTENT, Kind.RECIPIENT, Kind.ACCOUNT)
    data = error.get("error_data")
    said = string(data, "details") or string(error, "message") or string(error, "title")
    reason = row.meaning if row else "WhatsApp could not deliver the message"
    return ReceiptError(
        code=row.code if row and final else "delivery_failed",
        reason=f"{reason}; WhatsApp says: {said[:500]}" if said else reason,
        provider_code=str(code) if code >= 0 else "",
    )


def _ignored(why: str, fragment: JsonObject, key: str = "") -> Ignored:
    """Return *fragment* as ignored, with its own id where it has one under *key*, else the digest of its bytes."""
    raw = _raw(fragment)
    own = string(fragment, key)
    return Ignored(own or "sha256:" + hashlib.sha256(raw).hexdigest(), why, raw)


def _raw(fragment: JsonObject) -> bytes:
    return json.dumps(fragment, separators=(",", ":"), sort_keys=True).encode()


def _moment(value: object) -> datetime | None:
    """Return a time in seconds, or in milliseconds as Meta has sent at times, as a moment; None when it is none."""
    number = _number(value)
    seconds = number / 1000 if number >= 10**12 else number
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < 10**11 else None


def _number(value: object) -> int:
    """Return an integer, or the digits of one, as a number; -1 for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value < 10**18 else -1
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 18 else -1


def objects(value: object) -> list[JsonObject]:
    """Return the objects in *value*, where it is a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def first(value: object) -> JsonObject:
    """Return the first object in *value*, where it is a list; {} when there is none."""
    return next(iter(objects(value)), {})


def string(owner: object, key: str) -> str:
    """Return the string under *key*, fit to be stored, where *owner* is an object and has one; else ""."""
    value = owner.get(key) if isinstance(owner, dict) else None
    return storable(value) if isinstance(value, str) else ""
