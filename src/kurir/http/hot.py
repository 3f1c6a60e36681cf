"""The way of a send and of a webhook around the framework's stack, for the two paths that carry nearly every request.

A send that goes through Starlette's and FastAPI's middleware and two routers pays for them and uses none of it: its route
answers every request and every failure by itself, and so does a webhook's. So the server asks
this first; whatever is not plainly ``POST /{channel}/send/{clientID}`` or ``POST /webhooks/{account id}`` goes the usual
way, where the same routes stand, and OpenAPI, 404 and 405 come from.
"""

import re
from functools import lru_cache
from typing import Final

from fastapi import FastAPI
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from kurir.http import send as sending
from kurir.http import webhooks
from kurir.http.edge import RequestIds
from kurir.http.whole import Take, WholeRequest

#: What a process answers that takes no requests.
HEALTH: Final = frozenset({"/livez", "/readyz", "/metrics"})


#: The usual names, in which nothing is to be decoded. Others go the usual way.
_SEND: Final = re.compile(rb"/([a-z]{1,20})/send/([A-Za-z0-9._~-]{1,64})")
_WEBHOOK: Final = re.compile(rb"/webhooks/([A-Za-z0-9._~-]{1,64})")


@lru_cache(1_000)
def _send_place(url: bytes) -> tuple[str, str, str] | None:
    """Return path, channel and client of the URL of a send; None where it is none, or not to be taken whole."""
    found = _SEND.fullmatch(url)
    return None if found is None else (url.decode(), found[1].decode(), found[2].decode())


@lru_cache(1_000)
def _webhook_place(url: bytes) -> tuple[str, str] | None:
    """Return path and account of the URL of a webhook; None where it is none, or not to be taken whole."""
    found = _WEBHOOK.fullmatch(url)
    return None if found is None else (url.decode(), found[1].decode())


class HotPath:
    """An ASGI application that takes sends and webhooks itself and hands everything else to *app*."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._send: ASGIApp = RequestIds(sending.send_message.raw)  # type: ignore[attr-defined] # set by raw()
        self._webhook: ASGIApp = RequestIds(webhooks.receive_webhook.raw)  # type: ignore[attr-defined] # set by raw()

    def whole(self, url: bytes) -> Take | None:
        """Return what takes a whole request to *url*: of a send, or of a webhook."""
        if _send_place(url) is not None:
            return self._take_send
        return None if _webhook_place(url) is None else self._take_webhook

    def _take_webhook(self, request: WholeRequest) -> bool:
        place = _webhook_place(request.url)
        assert place is not None, "it was found before"  # noqa: S101 - narrows the type
        path, account_id = place
        scope = request.scope(path)
        scope["app"] = self._app
        scope["path_params"] = {"account_id": account_id}
        return webhooks.take_whole(request, scope)

    def _take_send(self, request: WholeRequest) -> bool:
        place = _send_place(request.url)
        assert place is not None, "it was found before"  # noqa: S101 - narrows the type
        path, channel, client_id = place
        scope = request.scope(path)
        scope["app"] = self._app
        scope["path_params"] = {"channel": channel, "client_id": client_id}
        return sending.take_whole(request, scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a send or a webhook, or pass the request on."""
        if scope["type"] == "http" and scope["method"] == "POST":
            steps = scope["path"].split("/")
            if len(steps) == 4 and steps[2] == "send" and steps[1] and steps[3]:
                scope["app"] = self._app
                scope["path_params"] = {"channel": steps[1], "client_id": steps[3]}
                await self._send(scope, receive, send)
                return
            if len(steps) == 3 and steps[1] == "webhooks" and steps[2] and not steps[0]:
                scope["app"] = self._app
                scope["path_params"] = {"account_id": steps[2]}
                await self._webhook(scope, receive, send)
                return
        await self._app(scope, receive, send)


class HealthOnly:
    """An ASGI application that hands *app* what asks how the process is, and answers 404 to everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and scope["path"] not in HEALTH:
            refused = PlainTextResponse("this process sends and takes no requests (role = worker)\n", status_code=404)
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, send)
