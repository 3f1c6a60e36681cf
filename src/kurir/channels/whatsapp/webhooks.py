"""What WhatsApp tells us by webhook, event by event.

Receipts are read here, what people say in ``.inbound``, news of the account in ``.news``.

Source: Meta's pages "Webhooks: messages, status" and "Webhooks: overview" (read 2026-09-11): a body holds several
entries, changes and statuses, up to 1000 updates in 3 MB, repeats are usual, the order is not kept, and ``delivered``
may be left out before ``read``. Each event is read on its own, so that an odd one costs its neighbours nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from kurir.channels.base import Inbound, JsonObject, Receipt, ReceiptError, WebhookRequest
from kurir.channels.meta import graph
from kurir.channels.whatsapp import inbound as whatsapp_inbound
from kurir.channels.whatsapp import news as whatsapp_news
from kurir.channels.whatsapp.errors import ERRORS, Kind
from kurir.channels.whatsapp.fields import first, fragment, ignored, member, moment, name, number, string
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

#: What reading an event of any shape may end in. The readers are written to end in none of them; should one still, it is
#: that event's loss alone.
_ODD: Final = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def parse(account: Account, request: WebhookRequest) -> list[Inbound]:
    """Return the events of a verified webhook, in its order. Raises WebhookUnreadable, nothing else.

    Each event names its own business number, since a batch may hold several of one app.
    """
    waba_id = getattr(account.settings, "waba_id", "")
    return [
        event
        for entry in graph.entries_of(request, "whatsapp_business_account")
        for event in _each(entry.get("changes"), "a change", partial(_change, entry=entry, waba_id=waba_id))
    ]


def _each(values: object, what: str, read: Callable[[JsonObject], Iterable[Inbound]]) -> Iterator[Inbound]:
    """Yield the events of each item of *values*; one that cannot be read is ignored, with the reason."""
    if values is None:
        return
    for value in values if isinstance(values, list) else [values]:
        if not isinstance(value, dict):
            yield ignored(f"{what} that is no object", value)
            continue
        try:
            yield from list(read(value))
        except _ODD as error:
            yield replace(ignored(f"{what} that cannot be read: {type(error).__name__}", value), unread=True)


def _change(change: JsonObject, entry: JsonObject, waba_id: str) -> Iterable[Inbound]:
    """Return the events of one change.

    {"field": "messages", "value": {"metadata": {"phone_number_id": "1065…"}, "contacts": […], "messages": […],
     "statuses": […], "errors": […]}}
    """
    field, value = string(change, "field"), member(change, "value")
    owner = string(value.get("metadata"), "phone_number_id")
    people = whatsapp_inbound.People(value)
    found: list[Inbound] = []
    match field:
        case "messages":
            found += _each(value.get("statuses"), "a status", lambda one: [_receipt(one, owner)])
            found += _each(value.get("messages"), "a message", lambda one: whatsapp_inbound.message(one, owner, people))
            found += _each(value.get("errors"), "an error", lambda one: whatsapp_news.of_error(one, owner, entry))
        case "smb_message_echoes":
            found += _each(
                value.get("message_echoes"), "an echo", lambda one: whatsapp_inbound.echo(one, owner, people)
            )
        case "user_id_update":
            found += _each(
                value.get("user_id_update"),
                "a changed id",
                lambda one: whatsapp_inbound.user_id_update(one, owner, people),
            )
        case _:
            return whatsapp_news.of_field(change, entry, waba_id)
    return found or [ignored(f"a webhook of the field «{name(change, 'field')}» that tells nothing", change)]


# --- Receipts ---------------------------------------------------------------------------------------------------------


def _receipt(status: JsonObject, owner: str) -> Inbound:
    """Return the receipt of one status.

    {"id": "wamid.…", "status": "failed", "timestamp": "1750030073", "recipient_id": "16505551234",
     "biz_opaque_callback_data": "…", "errors": [{"code": 131053, "title": "…", "error_data": {"details": "…"}}]}
    """
    word, wamid = string(status, "status"), string(status, "id")
    known, at = _STATUSES.get(word), moment(status.get("timestamp"))
    if known is None or not wamid or at is None:
        return ignored(f"a status «{name(status, 'status')}» without use, or without id or time", status)
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
        raw=fragment(status),
    )


def _receipt_error(status: JsonObject) -> ReceiptError:
    """Return why WhatsApp could not deliver. What would be tried again as an answer is final as a receipt."""
    error = first(status.get("errors"))
    code = number(error.get("code"))
    row = ERRORS.get(code)
    final = row is not None and row.kind in (Kind.CONTENT, Kind.RECIPIENT, Kind.ACCOUNT)
    said = string(error.get("error_data"), "details") or string(error, "message") or string(error, "title")
    reason = row.meaning if row else "WhatsApp could not deliver the message"
    return ReceiptError(
        code=row.code if row and final else "delivery_failed",
        reason=f"{reason}; WhatsApp says: {said[:500]}" if said else reason,
        provider_code=str(code) if code >= 0 else "",
    )
