"""Webhooks in quarantine: what a platform signed and nobody here could read. Looked at, read again, dropped.

One webhook may hold entries of several clients' accounts, so who is bound to one client does not see these pages.
"""

import base64
from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter, Request, Response

from kurir.console.rights import Right
from kurir.http.answers import RequestFailed
from kurir.http.console.reveal import revealed
from kurir.http.console.route import ConsoleRoute, console_of, needs, page, to, visitor_of
from kurir.intake.receive import Receiver
from kurir.store import GatewayStore
from kurir.store.inbound import Quarantined

router = APIRouter(prefix="/console/webhooks", route_class=ConsoleRoute, include_in_schema=False)

ROWS: Final = 50


@router.get("")
@needs(Right.SEE_ALL)
async def list_webhooks(request: Request, account: str = "", after: str = "") -> Response:
    """Show what is in quarantine, in the order in which it came, and what did not find room there."""
    store: GatewayStore = request.app.state.store
    cursor = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else 0
    found = await store.quarantined(account[:128], after=cursor, limit=ROWS + 1)
    lost = [one for one in await store.not_kept() if account in ("", one.account_id)]
    return page(
        request,
        "webhooks.html",
        rows=found[:ROWS],
        lost=lost,
        account=account,
        after=cursor,
        more=found[ROWS - 1].number if len(found) > ROWS else None,
        channels={one.id: one.channel for one in await store.accounts()},
    )


@router.get("/{number}")
@needs(Right.SEE_ALL)
async def one_webhook(request: Request, number: str) -> Response:
    """Show a webhook in quarantine. Its body holds what people wrote."""
    record, body = await _found(request, number)
    plain = await revealed(request, "webhook", str(record.number))
    text, encoded = "", False
    if plain:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            text, encoded = base64.b64encode(body).decode(), True
    return page(request, "webhook.html", record=record, body=text, encoded=encoded, plain=plain)


@router.post("/{number}/replay")
@needs(Right.OPERATE)
async def replay(request: Request, number: str) -> Response:
    """Read a webhook as if it came now, and let it out of quarantine where it was understood."""
    record, body = await _found(request, number)
    receiver: Receiver = request.app.state.receiver
    replayed = await receiver.replay(record, body)
    if replayed is None:
        raise RequestFailed("account_not_enabled", f"the account «{record.account_id}» is not enabled")
    after = {"understood": not replayed.why, "new": replayed.stored.new, "receipts": replayed.stored.receipts}
    await _note(request, "webhook_replayed", record, after)
    if replayed.why:
        return to(request, f"/webhooks/{record.number}", "still_unread")
    return to(request, "/webhooks", "understood")


@router.post("/{number}/drop")
@needs(Right.OPERATE)
async def drop(request: Request, number: str) -> Response:
    """Delete a webhook for good: the platform will not send it again."""
    record, _body = await _found(request, number)
    store: GatewayStore = request.app.state.store
    await store.release(record.number)
    await _note(request, "webhook_dropped", record, {"times": record.times, "size": record.size})
    return to(request, "/webhooks", "removed")


async def _found(request: Request, number: str) -> tuple[Quarantined, bytes]:
    store: GatewayStore = request.app.state.store
    wanted = int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0
    found = await store.quarantined_webhook(wanted) if wanted else None
    if found is None:
        raise RequestFailed("not_found", f"no webhook {number[:20]} is in quarantine")
    return found


async def _note(request: Request, action: str, record: Quarantined, after: Mapping[str, object]) -> None:
    subject = f"{record.account_id} {record.number}"
    await console_of(request).audit.note(visitor_of(request), action, "webhook", subject, after=after)
