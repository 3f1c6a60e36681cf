"""The apps of Meta's two platforms: an app's own subscription, which says where its webhooks go.

``GET``, ``POST`` and ``DELETE /{app-id}/subscriptions`` with an app access token, which is ``app id|app secret``. Before Meta
takes an address it calls it with a challenge, and wants the very words back.

Sources: Meta's pages "Graph API reference: App subscriptions", "Access tokens" and "Webhooks: getting started".
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kurir.sandbox.graph import GraphErrors, authenticate, read_object, token_of
from kurir.sandbox.media import is_web_url
from kurir.sandbox.state import MESSENGER_FIELDS, Sandbox

#: Fields of a WhatsApp Business Account's webhooks, as far as the sandbox tells any of them.
WHATSAPP_FIELDS: Final = ("messages", "message_template_status_update", "account_update", "phone_number_quality_update")


@dataclass(slots=True)
class _App:
    """An app: which of the channels it carries, the kind of object that its webhooks are about, and the fields it wants."""

    id: str
    secret: str
    channel: str
    kind: str
    known: tuple[str, ...]
    fields: list[str] = field(default_factory=list)


class Apps:
    """The app of the WhatsApp number and the app of the page."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._errors = GraphErrors(sandbox.ids)
        number, page = sandbox.config.whatsapp, sandbox.config.messenger
        apps = (
            _App(str(number.app_id), number.app_secret, "whatsapp", "whatsapp_business_account", WHATSAPP_FIELDS),
            _App(str(page.app_id), page.app_secret, "messenger", "page", MESSENGER_FIELDS),
        )
        for app in apps:
            app.fields.extend(app.known)
        self._apps = {app.id: app for app in apps}

    def owns(self, node: str) -> bool:
        """Return whether *node* is an app."""
        return node in self._apps

    def edges(self) -> dict[tuple[str, str], Callable[[Request], Awaitable[Response]]]:
        """Return an app's edges by method and name."""
        return {
            ("GET", "subscriptions"): self._read,
            ("POST", "subscriptions"): self._set,
            ("DELETE", "subscriptions"): self._remove,
        }

    async def _read(self, request: Request) -> Response:
        app = self._authenticated(request)
        url = self._sandbox.webhooks.url(app.channel)
        fields = [{"name": name, "version": request.path_params["version"]} for name in app.fields]
        found = {"object": app.kind, "callback_url": url, "active": True, "fields": fields}
        return JSONResponse({"data": [found] if url else []})

    async def _set(self, request: Request) -> Response:
        app = self._authenticated(request)
        given = {**(await self._body(request)), **request.query_params}
        url, token = str(given.get("callback_url", "")), str(given.get("verify_token", ""))
        fields = [name.strip() for name in str(given.get("fields", "")).split(",") if name.strip()]
        unknown = [name for name in fields if name not in app.known]
        if given.get("object") != app.kind:
            raise self._errors.parameter(f"Param object must be {app.kind}")
        # Meta takes https alone; beside a sandbox a gateway on this machine has no certificate.
        if not is_web_url(url, ("https", "http")) or not token or not fields or unknown:
            what = f"unknown field {unknown[0]}" if unknown else "callback_url, verify_token and fields are required"
            raise self._errors.parameter(what)
        challenge = secrets.token_hex(8)
        status, said = await self._sandbox.webhooks.challenge(app.channel, url, token, challenge)
        if status != 200 or said != challenge:
            why = f"HTTP Status Code = {status}" if status else said
            message = f"(#2200) Callback verification failed with the following errors: {why}"
            raise self._errors.refusal(2200, message)
        app.fields = fields
        self._sandbox.connect(app.channel, url)
        return JSONResponse({"success": True})

    async def _remove(self, request: Request) -> Response:
        app = self._authenticated(request)
        self._sandbox.connect(app.channel, "")
        return JSONResponse({"success": True})

    async def _body(self, request: Request) -> dict[str, object]:
        return await read_object(request, self._errors) if await request.body() else {}

    def _authenticated(self, request: Request) -> _App:
        app = self._apps[request.path_params["node"]]
        own = f"{app.id}|{app.secret}"
        authenticate(request, self._errors, token=own, app_secret=app.secret, given=token_of(request))
        return app
