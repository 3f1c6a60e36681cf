"""What stands before every route: request ids, credentials, caps, and one way for every error to leave.

The hot route goes round FastAPI's dependency solving, so none of this may sit in dependencies: it is here, in ASGI
middleware and in the route class, and a test walks over every route to see that it holds (docs/decisions).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import structlog
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kurir.auth import Administrator, Authenticated, Authenticator, Busy, Limited
from kurir.clock import uuid7_hex
from kurir.domain import channel as channels
from kurir.domain.errors import ERRORS
from kurir.http import answers, audited, logged
from kurir.http.answers import RequestFailed
from kurir.http.client_limits import ClientLimits
from kurir.intake import json_body
from kurir.store.base import StoreUnavailable

log = structlog.get_logger(__name__)

#: The largest body of a client's request, in bytes.
MAXIMUM_BODY: Final = 256 * 1024

#: When to come again while the store does not write.
STORE_RETRY: Final = {"Retry-After": "5"}
#: How long a body may take to arrive: whoever sends a byte a second must not keep a place for ever.
BODY_SECONDS: Final = 15.0

_JSON_TYPES: Final = frozenset({"application/json", "text/json", "text/plain"})


@dataclass(frozen=True, slots=True)
class Edge:
    """What the routes need of the process, to let a request in. ``watcher`` may read the metrics and nothing else.

    ``base`` is the path of the public URL.
    """

    authenticator: Authenticator
    administrator: Administrator
    watcher: Administrator
    limits: ClientLimits
    base: str = ""


def request_id(scope: Scope) -> str:
    """Return the id of the request, made by the middleware."""
    found: str = scope.get("state", {}).get("request_id", "")
    return found


class RequestIds:
    """Gives each request an id and sends it back as ``Request-Id``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and its id back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        header = (b"request-id", begin(scope))

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), header]
                logged.done(scope, message["status"])
            await send(message)

        await self._app(scope, receive, send_with_id)


def begin(scope: Scope) -> bytes:
    """Give the request an id, and return it."""
    identifier = "req_" + uuid7_hex()
    state = scope.setdefault("state", {})
    state["request_id"], state["began"] = identifier, time.perf_counter()
    return identifier.encode()


def known(edge: Edge, scope: Scope) -> str | None:
    """Return the client whose credentials were found right a short while ago; None where that has to be looked at."""
    cached = edge.authenticator.cached(scope["headers"])
    if cached is not None:
        scope.setdefault("state", {})["client_id"] = cached
    return cached


async def authenticate(edge: Edge, scope: Scope) -> str:
    """Return the client that the request's credentials belong to, and count the request. Raises RequestFailed."""
    cached = known(edge, scope)
    if cached is not None:
        edge.limits.request(cached)
        return cached
    headers, client = scope["headers"], scope.get("client")
    answer = await edge.authenticator.authenticate(headers, client[0] if client else "")
    if isinstance(answer, Authenticated):
        scope.setdefault("state", {})["client_id"] = answer.client_id
        edge.limits.request(answer.client_id)
        return answer.client_id
    if isinstance(answer, Limited):
        raise _too_many_failures(answer)
    if isinstance(answer, Busy):
        raise RequestFailed("overloaded", "too many logins are being checked at once", headers={"Retry-After": "1"})
    raise RequestFailed("unauthorized", headers={"WWW-Authenticate": 'Basic realm="kurir", charset="UTF-8"'})


def admit_administrator(edge: Edge, scope: Scope) -> None:
    """Let only the administrator pass. Raises RequestFailed: one answer, whether there is a token or not."""
    detail = (
        "the administrator's token is missing or wrong: send Authorization: Bearer with the admin_token of the "
        "configuration (KURIR_ADMIN_TOKEN); without one there, this API is closed"
    )
    _admit(edge.administrator, scope, detail)


def admit_watcher(edge: Edge, scope: Scope) -> None:
    """Let only pass who may read the metrics. Raises RequestFailed."""
    detail = (
        "the token is missing or wrong: send Authorization: Bearer with the metrics_token of the configuration "
        "(KURIR_METRICS_TOKEN), or with the admin_token where there is no other; without both, this is closed"
    )
    _admit(edge.watcher, scope, detail)


def _admit(holder: Administrator, scope: Scope, detail: str) -> None:
    client = scope.get("client")
    refusal = holder.refusal(scope["headers"], client[0] if client else "")
    if isinstance(refusal, Limited):
        raise _too_many_failures(refusal)
    if refusal is not None:
        raise RequestFailed("unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="kurir"'})


def _too_many_failures(limited: Limited) -> RequestFailed:
    seconds = {"Retry-After": str(max(1, round(limited.retry_after)))}
    return RequestFailed(
        "rate_limited_here", "too many failed logins; wait as long as Retry-After says", headers=seconds
    )


def header(scope: Scope, name: bytes) -> str | None:
    """Return the first header of this (lower-case) name, None when there is none."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


def check_length(scope: Scope, maximum: int) -> None:
    """Refuse a body that is declared to be larger than *maximum*."""
    declared = header(scope, b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > maximum:
        raise _too_large(maximum)


def _too_large(maximum: int) -> RequestFailed:
    return RequestFailed("too_large", f"the body has more than {maximum // 1024} KiB; send media by URL")


async def read_body(scope: Scope, receive: Receive, maximum: int = MAXIMUM_BODY) -> bytes:
    """Return the body. Raises RequestFailed beyond *maximum*, without reading what is declared to be larger."""
    check_length(scope, maximum)
    pieces: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RequestFailed("invalid_json", "the body ended before its declared length")
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > maximum:
                    raise _too_large(maximum)
                more = message.get("more_body", False)
    except TimeoutError:
        detail = f"the body did not arrive within {BODY_SECONDS:g} s"
        raise RequestFailed("invalid_json", detail, headers={"Connection": "close"}) from None
    return _noted(scope, pieces[0] if len(pieces) == 1 else b"".join(pieces))


def check_body(scope: Scope, body: bytes, maximum: int = MAXIMUM_BODY) -> bytes:
    """Return *body*, which came with its head. Raises RequestFailed beyond *maximum*."""
    check_length(scope, maximum)
    if len(body) > maximum:
        raise _too_large(maximum)
    return _noted(scope, body)


def _noted(scope: Scope, body: bytes) -> bytes:
    scope.setdefault("state", {})["body"] = body  # for the log of requests, should it be refused
    return body


def check_content_type(scope: Scope) -> None:
    """Refuse a named content type other than JSON or text/plain, and a charset other than UTF-8."""
    given = header(scope, b"content-type")
    if given is None or given == "application/json" or not given.strip():
        return
    kind, _, parameters = given.partition(";")
    kind = kind.strip().lower()
    if kind not in _JSON_TYPES and not (kind.startswith("application/") and kind.endswith("+json")):
        raise RequestFailed("unsupported_media_type", f"Content-Type is {kind[:80]}; send application/json")
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"').lower()
        if name.strip().lower() == "charset" and charset not in ("utf-8", "utf8", "us-ascii"):
            raise RequestFailed("unsupported_media_type", f"the charset is {charset[:40]}; send UTF-8")


async def answer(send: Send, status: int, body: bytes, headers: answers.Headers, kind: bytes = answers.JSON) -> None:
    """Send a whole answer."""
    start = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


def failure(scope: Scope, failed: RequestFailed, base: str) -> tuple[int, bytes, answers.Headers, bytes]:
    """Return (status, body, headers, content type) of an error of this request."""
    native = f"{scope['path']}/".startswith("/v1/")
    accept = header(scope, b"accept") or ""
    kind = answers.PROBLEM_JSON if native or "application/problem+json" in accept else answers.JSON
    body = answers.failure(failed, request_id(scope), envelope=not native, base=base)
    headers = [(name.lower().encode(), value.encode()) for name, value in failed.headers.items()]
    if ERRORS[failed.code].retryable and b"retry-after" not in {name for name, _ in headers}:
        headers.append((b"retry-after", b"2"))
    return failed.status, body, headers, kind


async def answer_failure(scope: Scope, send: Send, failed: RequestFailed, base: str) -> None:
    """Send an error, and keep it in the log of requests."""
    logged.refused(scope, failed)
    status, body, headers, kind = failure(scope, failed, base)
    await answer(send, status, body, headers, kind)


def no_channel(name: str) -> str:
    """Return the sentence for a channel that does not exist."""
    *before, last = channels.known()
    return f"there is no channel «{name[:40]}»; use {', '.join(before)} or {last}"


def refuse_foreign_client(client_id: str, wanted: str) -> None:
    """Refuse a path of another client, existing or not, with one answer."""
    if client_id != wanted:
        raise RequestFailed("forbidden")


RouteHandler = Callable[[Request], Coroutine[Any, Any, Response]]


class NativeRoute(APIRoute):
    """A route of the native API: the client is known, and the body checked, before FastAPI looks at anything."""

    def get_route_handler(self) -> RouteHandler:
        """Return FastAPI's handler behind the checks."""
        inner = super().get_route_handler()
        reads_body = self.body_field is not None
        optional = self.body_field is not None and not self.body_field.field_info.is_required()

        noted = audited.of_client(self.methods, self.path)

        async def handler(request: Request) -> Response:
            edge: Edge = request.app.state.edge
            request.state.client_id = await authenticate(edge, request.scope)
            response = await inner(await _checked(request, optional=optional) if reads_body else request)
            if noted is not None:
                await audited.note(request, response, noted, request.state.client_id)
            return response

        return handler


class AdminRoute(APIRoute):
    """A route of the administrator: token and body are checked before FastAPI looks at anything; what it changed is noted."""

    def get_route_handler(self) -> RouteHandler:
        """Return FastAPI's handler behind the check."""
        inner = super().get_route_handler()
        reads_body = self.body_field is not None
        optional = self.body_field is not None and not self.body_field.field_info.is_required()

        noted = audited.of_administrator(self.methods, self.path)

        async def handler(request: Request) -> Response:
            admit_administrator(request.app.state.edge, request.scope)
            response = await inner(await _checked(request, optional=optional) if reads_body else request)
            if noted is not None:
                await audited.note(request, response, noted)
            return response

        return handler


async def _checked(request: Request, *, optional: bool) -> Request:
    """Return *request* with its body read, checked and ready to be read again. Raises RequestFailed.

    Where the body is *optional*, none at all is none.
    """
    body = await read_body(request.scope, request.receive)
    if optional and not body:
        return Request(request.scope, _replay(body))
    check_content_type(request.scope)
    _ = read_json(body)  # the one reading of JSON that every path shares, with its clear errors
    return Request(_with_json_type(request.scope), _replay(body))


def read_json(body: bytes) -> object:
    """Return the JSON value in *body*. Raises RequestFailed."""
    try:
        return json_body.read(body)
    except json_body.UnreadableBody as error:
        raise RequestFailed(error.code, error.detail) from None


def _with_json_type(scope: Scope) -> Scope:
    """Return *scope* with the content type that FastAPI wants for a body that was read as JSON already."""
    others = [(key, value) for key, value in scope["headers"] if key not in (b"content-type", b"content-length")]
    return {**scope, "headers": [*others, (b"content-type", b"application/json")]}


def _replay(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


class RawRoute(APIRoute):
    """A route whose work is an ASGI function of its own; FastAPI sees only its signature, for OpenAPI.

    The endpoint carries the function as ``raw``. It saves the dependency solving, the response model and two copies of
    the request, none of which a send needs.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the endpoint's raw function; refuse other methods as every route does."""
        allowed = self.methods or set()
        if scope["method"] not in allowed:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})
        raw_endpoint: RawEndpoint = self.endpoint.raw  # type: ignore[attr-defined] # set by raw()
        await raw_endpoint(scope, receive, send)


RawEndpoint = Callable[[Scope, Receive, Send], Awaitable[None]]


def raw(function: RawEndpoint) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let *function* do the work of the decorated endpoint."""

    def decorate(endpoint: Callable[..., Any]) -> Callable[..., Any]:
        endpoint.raw = function  # type: ignore[attr-defined] # read by RawRoute
        return endpoint

    return decorate


def guarded(work: Callable[[Scope, Receive, Send, Edge], Awaitable[None]]) -> RawEndpoint:
    """Return *work* as an ASGI function whose every failure leaves as the one error body."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        edge: Edge = scope["app"].state.edge
        try:
            await work(scope, receive, send, edge)
        except Exception as error:  # noqa: BLE001 - each has its answer
            await answer_failure(scope, send, failed_by(scope, error), edge.base)

    return run


def failed_by(scope: Scope, error: BaseException) -> RequestFailed:
    """Return what a request that ended with *error* is answered, and log what is not the client's."""
    if isinstance(error, RequestFailed):
        return error
    if isinstance(error, StoreUnavailable):
        # A sentence of the store, where a stack would tell nothing more.
        log.error("not_durable", request_id=request_id(scope), path=scope["path"], error=str(error))
        return RequestFailed("not_durable", headers=STORE_RETRY)
    log.error("request_fault", request_id=request_id(scope), path=scope["path"], exc_info=error)
    return RequestFailed("internal")
