"""What the platforms call: ``/webhooks/{account id}``.

A bad signature and an unknown account get the same bare answer. Nobody has to log in here, so a body is read only where it
can be verified, and all of them together have a bound. The 200 comes after the commit, also where the commit is of a body
in quarantine that nobody could read; a store that cannot write answers 503, so that the platform comes again.

As with a send, the work is an ASGI function of its own: a webhook has no use for the framework's stack, which cost more
than the taking in.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

import structlog
from fastapi import APIRouter
from starlette.types import Message, Receive, Scope, Send

from kurir.channels.base import Handshake, WebhookRejected, WebhookRequest
from kurir.counting import REFUSED, WEBHOOKS
from kurir.directory import Directory, Entry
from kurir.http import edge
from kurir.http.answers import RequestFailed
from kurir.http.edge import Edge, RawRoute, guarded, raw
from kurir.http.whole import WholeRequest
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


def take_whole(request: WholeRequest, scope: Scope) -> bool:
    """Take a webhook that came whole, as nearly all come. Returns False where it is to go the usual way.

    What it checks and what it answers is what :func:`_take` does; what is refused or large goes there at once.
    """
    state = scope["app"].state
    account_id: str = scope["path_params"]["account_id"]
    entry = state.directory.accounts().get(account_id)
    if entry is None or len(request.body) > UNCOUNTED:
        return False
    receiver: Receiver = state.receiver
    with_id = (b"request-id", edge.begin(scope))

    def done(result: object) -> None:
        if isinstance(result, BaseException) and not isinstance(result, WebhookRejected | StoreUnavailable):
            failed = edge.failed_by(scope, result)
            REFUSED.add(failed.code)
            status, content, headers, kind = edge.failure(scope, failed, state.edge.base)
        else:
            kind = b""
            status, content, headers = _answer_to(result, scope, entry, refusal=401)
        request.answer(status, content, [*headers, with_id], kind)

    try:
        receiver.begin(entry, _request(scope, request.body), done)
    except Exception as error:  # noqa: BLE001 - each has its answer
        done(error)
    return True


def _answer_to(
    result: object, scope: Scope, entry: Entry, *, refusal: int
) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Return status, body and headers of the answer to a webhook that came to *result*, or failed with it."""
    state = scope["app"].state
    account_id, channel = entry.account.id, entry.account.channel
    if isinstance(result, WebhookRejected):
        WEBHOOKS.add(channel, "rejected")
        log.warning("webhook_rejected", account=account_id, why=str(result))
        return refusal, b"", []
    if isinstance(result, StoreUnavailable):
        WEBHOOKS.add(channel, "not_stored")
        log.error("webhook_not_stored", account=account_id, error=str(result))
        return 503, b"", _raw_headers(edge.STORE_RETRY)
    WEBHOOKS.add(channel, "taken")
    state.heard.note(account_id, state.clock.now())
    if isinstance(result, Handshake):
        return 200, result.body, [(b"content-type", b"text/plain; charset=utf-8")]
    return 200, b"", []


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
        REFUSED.add(failed.code)
        log.warning("webhook_not_read", account=account_id[:64], why=failed.detail)
        await _answer(send, failed.status, headers=_raw_headers(failed.headers))
        return
    result: object
    try:
        result = await receiver.receive(entry, _request(scope, body))
    except (WebhookRejected, StoreUnavailable) as error:
        result = error
    status, content, headers = _answer_to(result, scope, entry, refusal=refusal)
    await _answer(send, status, content, headers)


def _request(scope: Scope, body: bytes) -> WebhookRequest:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    asked = scope.get("query_string", b"")
    query = dict(parse_qsl(asked.decode("latin-1"), keep_blank_values=True)) if asked else {}
    return WebhookRequest(scope["method"], query, headers, body)


def _raw_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


async def _answer(send: Send, status: int, body: bytes = b"", headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    start = [(b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
