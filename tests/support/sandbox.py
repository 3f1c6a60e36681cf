"""A running sandbox, a client for its four platforms and a receiver of its webhooks, for tests."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from aiohttp import web

from kurir.sandbox.config import (
    DEMO_LINE,
    DEMO_MESSENGER,
    DEMO_PEOPLE,
    DEMO_TELEGRAM,
    DEMO_WHATSAPP,
    Delays,
    demo_config,
)
from kurir.sandbox.server import SandboxServer

ANI, BUDI = DEMO_PEOPLE
FAST = Delays(sent=0.01, delivered=0.02, read=0.03)
PATIENCE = 10.0
SECRETS = {"whatsapp": DEMO_WHATSAPP.app_secret, "messenger": DEMO_MESSENGER.app_secret}
RECEIPTS = ("whatsapp", "messenger")
ALL = ("whatsapp", "telegram", "line", "messenger")


@dataclass
class Receiver:
    """Takes webhooks, checks their signatures, and answers with the statuses it is told, then 200."""

    bodies: list[dict[str, Any]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    telegram_secret: str = DEMO_TELEGRAM.secret_token
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.Request) -> web.Response:
        raw = await request.read()
        channel = request.match_info["channel"]
        self.check(channel, raw, request.headers)
        async with self.changed:
            self.raw.append(raw)
            self.bodies.append(json.loads(raw))
            self.headers.append(dict(request.headers))
            self.changed.notify_all()
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    def check(self, channel: str, raw: bytes, headers: Mapping[str, str]) -> None:
        """Check that the platform itself sent *raw*, as its page says how."""
        if channel == "telegram":
            assert headers["X-Telegram-Bot-Api-Secret-Token"] == self.telegram_secret
        elif channel == "line":
            digest = hmac.new(DEMO_LINE.channel_secret.encode(), raw, hashlib.sha256).digest()
            assert headers["x-line-signature"] == base64.b64encode(digest).decode()
        else:
            expected = hmac.new(SECRETS[channel].encode(), raw, hashlib.sha256).hexdigest()
            assert headers["X-Hub-Signature-256"] == f"sha256={expected}"

    async def wait(self, count: int) -> list[dict[str, Any]]:
        """Return the bodies as soon as there are *count* of them."""
        async with asyncio.timeout(PATIENCE), self.changed:
            await self.changed.wait_for(lambda: len(self.bodies) >= count)
        return self.bodies

    async def statuses(self, count: int) -> list[dict[str, Any]]:
        """Return the WhatsApp statuses of the first *count* webhooks."""
        return [body["entry"][0]["changes"][0]["value"]["statuses"][0] for body in await self.wait(count)]

    async def events(self, count: int) -> list[dict[str, Any]]:
        """Return the Messenger events of the first *count* webhooks."""
        return [body["entry"][0]["messaging"][0] for body in await self.wait(count)]


@dataclass
class World:
    """Everything that a test of the sandbox talks to."""

    server: SandboxServer
    http: aiohttp.ClientSession
    receiver: Receiver

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        async with self.http.request(method, self.server.url + path, **more) as response:
            assert response.headers["X-Kurir-Sandbox"] == "1"
            text = await response.text()
            return response.status, json.loads(text) if "json" in response.content_type else text

    async def whatsapp(self, message: Any, to: str = BUDI.phone) -> tuple[int, Any]:
        envelope = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": f"+{to}"}
        return await self.graph(f"{DEMO_WHATSAPP.phone_number_id}/messages", envelope | message)

    async def messenger(self, message: Any, to: str = BUDI.psid, **more: Any) -> tuple[int, Any]:
        body = {"recipient": {"id": to}, "messaging_type": "RESPONSE", "message": message} | more
        return await self.graph("me/messages", body, DEMO_MESSENGER.page_access_token)

    async def graph(self, path: str, body: Any, token: str = DEMO_WHATSAPP.access_token) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        return await self.call("POST", f"/graph/v26.0/{path}", json=body, headers=headers)

    async def telegram(self, method: str, **fields: Any) -> tuple[int, Any]:
        body = {"chat_id": BUDI.telegram_chat_id} | fields
        return await self.call("POST", f"/telegram/bot{DEMO_TELEGRAM.token}/{method}", json=body)

    async def line(self, body: Any, path: str = "push", **headers: str) -> tuple[int, Any]:
        bearer = {"Authorization": f"Bearer {DEMO_LINE.channel_access_token}"} | headers
        return await self.call("POST", f"/line/v2/bot/message/{path}", json=body, headers=bearer)

    async def push(self, *messages: Any, **headers: str) -> tuple[int, Any]:
        return await self.line({"to": BUDI.line_user_id, "messages": list(messages)}, **headers)

    async def bubbles(self, channel: str, person: str = "Budi") -> list[dict[str, Any]]:
        _, body = await self.call("GET", f"/sandbox/phones/{channel}/messages?person={person}")
        return body["data"]

    async def bubble_when(
        self, channel: str, condition: Callable[[dict[str, Any]], object], person: str = "Budi"
    ) -> dict[str, Any]:
        """Return the newest bubble as soon as *condition* holds for it."""
        with self.server.sandbox.phones.listen() as listener:
            async with asyncio.timeout(PATIENCE):
                while True:
                    bubbles = await self.bubbles(channel, person)
                    if bubbles and condition(bubbles[-1]):
                        return bubbles[-1]
                    await listener.changes(PATIENCE)

    async def act(self, channel: str, do: str, person: str = "Budi", **more: Any) -> dict[str, Any]:
        """Let a person do something; return the bubble that it is about."""
        status, body = await self.call("POST", f"/sandbox/phones/{channel}/{person}/acts", json={"do": do} | more)
        assert status == 200, body
        return body["data"]

    async def refused(self, channel: str, do: str, person: str = "Budi", **more: Any) -> tuple[int, str]:
        """Let a person try what is not possible; return the status and the sentence."""
        status, body = await self.call("POST", f"/sandbox/phones/{channel}/{person}/acts", json={"do": do} | more)
        return status, body["detail"]

    async def phone(self, channel: str, person: str = "Budi") -> dict[str, Any]:
        _, body = await self.call("GET", "/sandbox/phones")
        return next(one for one in body["data"] if (one["channel"], one["person"]) == (channel, person))

    async def switch(self, channel: str, address: str, **states: bool) -> None:
        status, _ = await self.call("POST", f"/sandbox/phones/{channel}/{address}", json=states)
        assert status == 200


@asynccontextmanager
async def running(
    *, delays: Delays = FAST, retries: tuple[float, ...] = (0.01, 0.02), channels: tuple[str, ...] = RECEIPTS
) -> AsyncIterator[World]:
    """Run a sandbox whose webhooks of *channels* go to a receiver."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{channel}", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    webhooks = {channel: f"http://127.0.0.1:{port}/{channel}" for channel in channels}
    config = replace(demo_config(webhooks=webhooks, delays=delays, seed=1), retries=retries)
    try:
        async with SandboxServer(config) as server, aiohttp.ClientSession() as http:
            yield World(server, http, receiver)
    finally:
        await runner.cleanup()


def summary(block: dict[str, Any]) -> dict[str, Any]:
    """Return a block without its empty members and without what its platform counts, which is what a person would compare."""
    empty, counted = (None, "", [], False, 0.0), ("length", "limit")
    shown = {name: value for name, value in block.items() if value not in empty and name not in counted}
    if shown["kind"] != "text" or shown.get("role") == "body":
        shown.pop("role", None)
    for name in ("choices",):
        if name in shown:
            shown[name] = [
                {key: value for key, value in choice.items() if value and key not in counted} for choice in shown[name]
            ]
    if "cards" in shown:
        shown["cards"] = [[summary(inner) for inner in card] for card in shown["cards"]]
    return shown


def junk_variants(value: Any) -> list[Any]:
    """Return copies of *value* in each of which one member, however deep, is something else than it should be."""
    junk = (None, 1, "", [None], {"type": {}})
    if isinstance(value, dict):
        return [value | {name: other} for name in value for other in [*junk, *junk_variants(value[name])]]
    if isinstance(value, list):
        return [
            [*value[:i], other, *value[i + 1 :]]
            for i in range(len(value))
            for other in [*junk, *junk_variants(value[i])]
        ]
    return []
