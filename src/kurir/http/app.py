"""The ASGI application: the routes, and one way for every error to leave."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from kurir import __version__
from kurir.administration import Administration
from kurir.callbacks.dialects import Link
from kurir.callbacks.endpoints import Endpoints
from kurir.callbacks.feed import Feed
from kurir.channels.base import Channel
from kurir.clock import Clock
from kurir.connect.heard import LastWebhooks
from kurir.directory import Directory
from kurir.domain import channel as channels
from kurir.domain.problem import Problem, pointer
from kurir.http import (
    admin,
    admin_accounts,
    callbacks,
    clients,
    connect,
    console_links,
    contacts,
    doctoring,
    edge,
    events,
    logged,
    media,
    metrics,
    native,
    nodes,
    operations,
    quarantine,
    reference,
    send,
    webhooks,
)
from kurir.http.answers import RequestFailed
from kurir.http.console import nowhere
from kurir.http.console.pages import ROUTERS
from kurir.http.console.phones import PLACE, GuardedSandbox
from kurir.http.console.state import Console
from kurir.http.edge import Edge
from kurir.http.operator import Operator
from kurir.intake.accept import Acceptor
from kurir.intake.deep_links import DeepLinks
from kurir.intake.media import InboundFiles
from kurir.intake.receive import Receiver
from kurir.sandbox.app import create_control
from kurir.store.base import Store, StoreUnavailable
from kurir.store.postgres.leases import NodeRecord

log = structlog.get_logger(__name__)

_SEND_PATH: Final = re.compile(r"/([^/]+)/(?:send|preview)/[^/]+")

#: pydantic's kinds of errors → our codes.
_CODES: Final = {
    "missing": "missing",
    "string_type": "wrong_type",
    "int_type": "wrong_type",
    "int_parsing": "wrong_type",
    "model_attributes_type": "wrong_type",
    "string_too_long": "too_long",
    "greater_than_equal": "out_of_range",
    "less_than_equal": "out_of_range",
}

_DESCRIPTION: Final = """\
One REST API that sends chat messages over WhatsApp, Telegram, LINE and Facebook Messenger.

Every answer of the send endpoint has the published envelope; errors are that envelope and RFC 9457 at once, and their
`type` is a page of this gateway. Authenticate with `Auth-username` and `Auth-password`, or HTTP Basic with the same pair.
What is under `/v1/admin` wants `Authorization: Bearer` and the administrator's token.
"""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes call.

    ``operator`` gives delivery and ``endpoints`` the callbacks, which are there as long as requests come; ``link`` gives the
    URL of an event's file, and ``files`` opens it. ``heard`` is told of the platforms' calls. ``nodes`` are all that work on
    the database. ``console`` is the browser's.
    """

    edge: Edge
    store: Store
    directory: Directory
    channels: Mapping[str, Channel]
    acceptor: Acceptor
    receiver: Receiver
    operator: Callable[[], Operator]
    endpoints: Callable[[], Endpoints]
    feed: Feed
    connecting: Callable[[], connect.Connecting]
    heard: LastWebhooks
    administration: Administration
    link: Link
    deep_links: DeepLinks
    files: Callable[[], InboundFiles]
    clock: Clock
    readiness: Callable[[], Awaitable[list[str]]]
    platform_codes: Mapping[str, list[str]]
    nodes: Callable[[], Awaitable[Sequence[NodeRecord]]]
    console: Console


def create_app(parts: Parts) -> FastAPI:
    """Return the application over *parts*."""
    app = FastAPI(
        title="kurir",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for name in parts.__slots__:
        setattr(app.state, name, getattr(parts, name))
    app.state.webhook_bytes = webhooks.BytesInFlight()
    app.state.stored_metrics = metrics.Stored()
    app.include_router(send.router)
    app.include_router(native.router)
    app.include_router(contacts.router)
    app.include_router(events.router)
    app.include_router(admin.router)
    app.include_router(admin_accounts.router)
    app.include_router(clients.router)
    app.include_router(nodes.router)
    app.include_router(doctoring.router)
    app.include_router(console_links.router)
    app.include_router(connect.router)
    app.include_router(connect.client_router)
    app.include_router(callbacks.router)
    app.include_router(quarantine.router)
    app.include_router(webhooks.router)
    app.include_router(media.router)
    app.include_router(operations.router)
    app.include_router(metrics.router)
    for router in ROUTERS:
        app.include_router(router)
    if parts.console.sandbox is not None:
        app.mount(PLACE, GuardedSandbox(create_control(parts.console.sandbox)))
    app.include_router(nowhere.router)
    app.add_middleware(_NoNul)
    app.add_middleware(edge.RequestIds)
    app.add_exception_handler(RequestFailed, _on_failure)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(StoreUnavailable, _on_store)
    app.add_exception_handler(Exception, _on_fault)
    app.openapi = lambda: reference.document(app)  # type: ignore[method-assign] # FastAPI's documented way to extend it
    return app


def _failed(request: Request, failed: RequestFailed) -> Response:
    logged.refused(request.scope, failed)
    status, body, headers, kind = edge.failure(request.scope, failed, request.app.state.edge.base)
    response = Response(body, status_code=status, media_type=kind.decode())
    for name, value in headers:
        response.headers[name.decode()] = value.decode()
    return response


async def _on_failure(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestFailed)  # noqa: S101 - registered for this type
    return _failed(request, error)


class _NoNul:
    """Refuses a NUL in path or query: no id, name or number has one, and PostgreSQL cannot even look for it.

    What the platforms call is looked up in memory alone, and all that it refuses gets one bare answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        failed = None
        if scope["type"] != "http" or scope["path"].startswith("/webhooks/"):
            pass
        elif "\x00" in scope["path"]:
            failed = RequestFailed("not_found", "there is nothing at a path with the character NUL (%00)")
        elif b"%00" in scope["query_string"]:
            failed = RequestFailed("invalid_parameters", "a parameter holds the character NUL (%00): leave it out")
        if failed is None:
            await self._app(scope, receive, send)
        else:
            await _failed(Request(scope), failed)(scope, receive, send)


async def _on_http(request: Request, error: Exception) -> Response:
    """The router's own 404 and 405, in our words."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type
    path: str = request.scope["path"]  # not request.url, which raises for a Host that is none
    place = _SEND_PATH.fullmatch(path)
    if place is not None and channels.canonical(place.group(1)) not in request.app.state.channels:
        return _failed(request, RequestFailed("unknown_channel", edge.no_channel(place.group(1))))
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        detail = f"{request.method} is not possible here; use {allowed or 'another method'}"
        return _failed(request, RequestFailed("method_not_allowed", detail, headers=error.headers))
    if error.status_code == 404:
        return _failed(request, RequestFailed("not_found", f"there is nothing at {path[:200]}"))
    failed = RequestFailed("invalid_parameters", str(error.detail))
    failed.status = error.status_code
    return _failed(request, failed)


async def _on_invalid(request: Request, error: Exception) -> Response:
    """FastAPI's own validation of queries and small bodies."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type
    problems = [
        Problem(
            pointer(*(step for step in item["loc"] if step not in ("body", "query", "path"))),
            _CODES.get(item["type"], "invalid_format"),
            f"{'.'.join(map(str, item['loc'][1:])) or 'the body'} {_said(item['msg'])}",
        )
        for item in error.errors()
    ]
    return _failed(request, RequestFailed("invalid_parameters", problems=problems))


def _said(message: str) -> str:
    """Return pydantic's message as the end of a sentence that begins with the field."""
    for begin, ours in (
        ("Input should be ", "must be "),
        ("Field required", "is missing; add it"),
        ("String should ", "must "),
    ):
        if message.startswith(begin):
            return ours + message.removeprefix(begin)
    return f"is wrong: {message}"


async def _on_store(request: Request, error: Exception) -> Response:
    log.error("store_unavailable", path=request.scope["path"], error=str(error))
    return _failed(request, RequestFailed("not_durable", "the store does not answer", headers=edge.STORE_RETRY))


async def _on_fault(request: Request, error: Exception) -> Response:
    log.error("request_fault", request_id=edge.request_id(request.scope), path=request.scope["path"], exc_info=error)
    return _failed(request, RequestFailed("internal"))
