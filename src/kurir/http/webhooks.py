"""What the platforms call: ``/webhooks/{account id}``.

A bad signature and an unknown account get the same bare answer. Nobody has to log in here, so a body is read only where it
can be verified, and all of them together have a bound. The 200 comes after the commit, also where the commit is of a body
in quarantine that nobody could read; a store that cannot write answers 503, so that the platform comes again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from fastapi import APIRouter, Request, Response
from starlette.types import Message, Receive

from kurir.channels.base import Handshake, WebhookRejected, WebhookRequest
from kurir.directory import Directory
from kurir.http import edge
from kurir.http.answers import RequestFailed
from kurir.intake.receive import Receiver
from kurir.store.base import StoreUnavailable

log = structlog.get_logger(__name__)

#: Meta batches up to 3 MB (WhatsApp, "Webhooks").
MAXIMUM_WEBHOOK: Final = 3 * 1024 * 1024
#: The bytes of all bodies that may be in memory at once; beyond it the answer is 503, and the platform comes again.
MAXIMUM_IN_FLIGHT: Final = 64 * 1024 * 1024
#: Where a body begins to count. Most webhooks are smaller, so they get through while somebody else fills the bound.
UNCOUNTED: Final = 16 * 1024

router = APIRouter(include_in_schema=False)


class BytesInFlight:
    """Counts the bytes of the bodies that are in memory at once: ``size``."""

    def __init__(self) -> None:
        self.size = 0

    @contextmanager
    def counting(self, receive: Receive) -> Iterator[Receive]:
        """Give *receive* with its bytes counted until the block ends. It raises RequestFailed beyond the bound."""
        size = counted = 0

        async def count() -> Message:
            nonlocal size, counted
            message = await receive()
            size += len(message.get("body", b""))
            more = max(0, size - UNCOUNTED) - counted
            if more and self.size + more > MAXIMUM_IN_FLIGHT:
                raise RequestFailed(
                    "overloaded", "too many large webhooks arrive at once", headers={"Retry-After": "5"}
                )
            self.size += more
            counted += more
            return message

        try:
            yield count
        finally:
            self.size -= counted


@router.post("/webhooks/{account_id}")
async def receive_webhook(request: Request, account_id: str) -> Response:
    """Take a platform's webhook."""
    in_flight: BytesInFlight = request.app.state.webhook_bytes
    with in_flight.counting(request.receive) as receive:
        return await _receive(request, receive, account_id, refusal=401)


@router.get("/webhooks/{account_id}")
async def answer_handshake(request: Request, account_id: str) -> Response:
    """Answer Meta's handshake."""
    return await _receive(request, _no_body, account_id, refusal=403)


async def _no_body() -> Message:
    """Stand for the body of a handshake, which is all in the query: what comes with it is not read."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def _receive(request: Request, receive: Receive, account_id: str, *, refusal: int) -> Response:
    directory: Directory = request.app.state.directory
    receiver: Receiver = request.app.state.receiver
    try:
        edge.check_length(request.scope, MAXIMUM_WEBHOOK)
        entry = directory.accounts().get(account_id)
        if entry is None:  # the server passes over a body that nobody reads
            log.info("webhook_rejected", account=account_id[:64], why="no such account")
            return Response(status_code=refusal)
        body = await edge.read_body(request.scope, receive, MAXIMUM_WEBHOOK)
    except RequestFailed as failed:
        log.warning("webhook_not_read", account=account_id[:64], why=failed.detail)
        return Response(status_code=failed.status, headers=failed.headers)
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
    request.app.state.connecting().heard.note(account_id, request.app.state.clock.now())
    if isinstance(result, Handshake):
        return Response(result.body, media_type="text/plain")
    return Response(status_code=200)
