"""What the platforms call: ``/webhooks/{account id}``.

A bad signature and an unknown account get the same bare answer. Nobody has to log in here, so a body is read only where it
can be verified, and all of them together have a bound. The 200 comes after the commit, also where the commit is of a body
in quarantine that nobody could read; a store that cannot write answers 503, so that the platform comes again.

As with a send, the work is an ASGI function of its own: a webhook has no use for the framework's stack, which cost more
than the taking in.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

import structlog
from fastapi import APIRouter
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from kurir import counting
from kurir.channels.base import Handshake, WebhookRejected, WebhookRequest
from kurir.directory import Directory
from kurir.http import edge
from kurir.http.answers import RequestFailed
from kurir.http.edge import Edge, RawRoute, guarded, raw
from kurir.intake.receive import Receiver
from kurir.store.base import StoreUnavailable

log = structlog.get_logger(__name__)

#: Meta batches up to 3 MB (WhatsApp, "Webhooks").
MAXIMUM_WEBHOOK: Final = 3 * 1024 * 1024
#: The bytes of all bodies that may be in memory at once; beyond it the answer is 503, and the platform comes again.
MAXIMUM_IN_FLIGHT: Final = 64 * 1024 * 1024
#: Where a body begins to count. Most webhooks are smaller, so they get through while somebody else fills the bound.
UNCOUNTED: Final = 16 * 1024

router = APIRouter(route_class=RawRoute, include_in_schema=False)


class BytesInFlight:
    """Counts the bytes of the bodies that are in memory at once: ``size``."""

    def __init__(self) -> None:
        self.size = 0


class _Counting:
    """A request's *receive* with its bytes counted until ``end``. It raises RequestFailed beyond the bound."""

    def __init__(self, in_flight: BytesInFlight, receive: Receive) -> None:
        self._in_flight = in_flight
        self._receive = receive
        self._size = 0
        self._counted = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        more = max(0, self._size - UNCOUNTED) - self._counted
        if more and self._in_flight.size + more > MAXIMUM_IN_FLIGHT:
            raise RequestFailed("overloaded", "too many large webhooks arrive at once", headers={"Retry-After": "5"})
        self._in_flight.size += more
        self._counted += more
        return message

    def end(self) -> None:
        self._in_flight.size -= self._counted


async def _post(scope: Scope, receive: Receive, send: Send, _edge: Edge) -> None:
    small = _small_body(receive)
    if small is not None:
        await _take(scope, send, small, refusal=401)
        return
    counting = _Counting(scope["app"].state.webhook_bytes, receive)
    try:
        await _take(scope, send, counting.receive, refusal=401)
    finally:
        counting.end()


async def _get(scope: Scope, receive: Receive, send: Send, _edge: Edge) -> None:  # noqa: ARG001 - a handshake is all in its query
    await _take(scope, send, b"", refusal=403)


@router.post("/webhooks/{account_id}")
@raw(guarded(_post))
async def receive_webhook(account_id: str) -> None:
    """Take a platform's webhook."""


@router.get("/webhooks/{account_id}")
@raw(guarded(_get))
async def answer_handshake(account_id: str) -> None:
    """Answer Meta's handshake."""


def _small_body(receive: Receive) -> bytes | None:
    """Return the body where all of it is here already and it is too small to count; None where it has to be received.

    Nearly every webhook comes in one piece with its head: then there is nothing to wait for, to time or to count.
    """
    cycle = getattr(receive, "__self__", None)
    if isinstance(cycle, RequestResponseCycle) and not cycle.more_body and len(cycle.body) <= UNCOUNTED:
        return bytes(cycle.body)
    return None


async def _take(scope: Scope, send: Send, source: bytes | Receive, *, refusal: int) -> None:
    """Take the webhook whose body is *source*, or comes from there, and answer it."""
    state = scope["app"].state
    directory: Directory = state.directory
    receiver: Receiver = state.receiver
    account_id: str = scope["path_params"]["account_id"]
    try:
        edge.check_length(scope, MAXIMUM_WEBHOOK)
        entry = directory.accounts().get(account_id)
        if entry is None:  # the server passes over a body that nobody reads
            log.info("webhook_rejected", account=account_id[:64], why="no such account")
            await _answer(send, refusal)
            return
        body = source if isinstance(source, bytes) else await edge.read_body(scope, source, MAXIMUM_WEBHOOK)
    except RequestFailed as failed:
        log.warning("webhook_not_read", account=account_id[:64], why=failed.detail)
        await _answer(send, failed.status, headers=failed.headers)
        return
    try:
        result = await receiver.receive(entry, _request(scope, body))
    except WebhookRejected as rejected:
        counting.WEBHOOKS.add(entry.account.channel, "rejected")
        log.warning("webhook_rejected", account=account_id, why=str(rejected))
        await _answer(send, refusal)
        return
    except StoreUnavailable as error:
        counting.WEBHOOKS.add(entry.account.channel, "not_stored")
        log.error("webhook_not_stored", account=account_id, error=str(error))  # noqa: TRY400 - a stack tells no more
        await _answer(send, 503, headers=edge.STORE_RETRY)
        return
    counting.WEBHOOKS.add(entry.account.channel, "taken")
    state.heard.note(account_id, state.clock.now())
    if isinstance(result, Handshake):
        await _answer(send, 200, result.body, headers={"Content-Type": "text/plain; charset=utf-8"})
    else:
        await _answer(send, 200)


def _request(scope: Scope, body: bytes) -> WebhookRequest:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    asked = scope["query_string"]
    query = dict(parse_qsl(asked.decode("latin-1"), keep_blank_values=True)) if asked else {}
    return WebhookRequest(scope["method"], query, headers, body)


async def _answer(send: Send, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
    start = [(b"content-length", b"%d" % len(body))]
    if headers:
        start += [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
