"""What the platforms call: ``/webhooks/{account id}``.

A bad signature and an unknown account get the same bare answer. The 200 comes after the commit; a store that cannot write
answers 503, so that the platform comes again.
"""

from typing import Final

import structlog
from fastapi import APIRouter, Request, Response

from kurir.channels.base import Handshake, WebhookRejected, WebhookRequest
from kurir.directory import Directory
from kurir.http import edge
from kurir.http.answers import RequestFailed
from kurir.intake.receive import Receiver
from kurir.store.base import StoreUnavailable

log = structlog.get_logger(__name__)

#: Meta batches up to 3 MB (WhatsApp, "Webhooks").
MAXIMUM_WEBHOOK: Final = 3 * 1024 * 1024

router = APIRouter(include_in_schema=False)


@router.post("/webhooks/{account_id}")
async def receive_webhook(request: Request, account_id: str) -> Response:
    """Take a platform's webhook."""
    return await _receive(request, account_id, refusal=401)


@router.get("/webhooks/{account_id}")
async def answer_handshake(request: Request, account_id: str) -> Response:
    """Answer Meta's handshake."""
    return await _receive(request, account_id, refusal=403)


async def _receive(request: Request, account_id: str, *, refusal: int) -> Response:
    directory: Directory = request.app.state.directory
    receiver: Receiver = request.app.state.receiver
    try:
        body = await edge.read_body(request.scope, request.receive, MAXIMUM_WEBHOOK)
    except RequestFailed as failed:
        return Response(status_code=failed.status, headers=failed.headers)
    entry = directory.accounts().get(account_id)
    if entry is None:
        log.info("webhook_rejected", account=account_id[:64], why="no such account")
        return Response(status_code=refusal)
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers.setdefault(name, value)
    webhook = WebhookRequest(request.method, dict(request.query_params), headers, body)
    try:
        result = await receiver.receive(entry, webhook)
    except WebhookRejected as rejected:
        log.warning("webhook_rejected", account=account_id, why=str(rejected))
        return Response(status_code=refusal)
    except StoreUnavailable as error:
        log.error("webhook_not_stored", account=account_id, error=str(error))  # noqa: TRY400 - a stack tells no more
        return Response(status_code=503, headers=edge.STORE_RETRY)
    if isinstance(result, Handshake):
        return Response(result.body, media_type="text/plain")
    return Response(status_code=200)
