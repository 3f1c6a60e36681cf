"""A gateway that platforms call, and a platform that says only what a test says: for what comes in.

async with receiving(folder) as inbox:
    await inbox.telegram({"update_id": 1, "message": {...}})
    [event] = await inbox.events()
"""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from kurir import channels
from kurir.clock import Clock
from kurir.configuration.file import parse
from kurir.gateway import Gateway
from support.delivering import Platform, eventually, refused
from support.stores import store_of
from support.sweeps import sweep

CLIENT, PASSWORD = "acme", "correct horse battery staple"
ADMIN = "an administrator's token"
TELEGRAM_TOKEN, TELEGRAM_SECRET = "123456:TEST-token-of-the-bot", "s3cr3t"
LINE_SECRET, META_SECRET = "0123456789abcdef0123456789abcdef", "test_app_secret_0123456789abcdef"
LINE_TOKEN, WHATSAPP_TOKEN, PAGE_TOKEN = "line-access-token", "whatsapp-access-token", "page-access-token"
NUMBER, PAGE = "106540352242922", "108123456789012"
ANI = {"telegram": "1001", "line": "U" + "4af49806" * 4, "whatsapp": "6281234567890", "messenger": "24312345678901234"}
#: Where the configuration says that the gateway can be reached from outside.
PUBLIC = "https://chat.example.com/kurir"
#: Everything that nobody but the platform may be shown.
SECRETS = (TELEGRAM_TOKEN, TELEGRAM_SECRET, LINE_SECRET, META_SECRET, LINE_TOKEN, WHATSAPP_TOKEN, PAGE_TOKEN)

#: The settings of an account by channel, without the id.
ACCOUNTS: dict[str, dict[str, Any]] = {
    "telegram": {"token": TELEGRAM_TOKEN, "secret_token": TELEGRAM_SECRET},
    "line": {"channel_access_token": LINE_TOKEN, "channel_secret": LINE_SECRET},
    "whatsapp": {
        "phone_number_id": NUMBER,
        "access_token": WHATSAPP_TOKEN,
        "app_secret": META_SECRET,
        "verify_token": "vt-secret",
        "waba_id": "102290129340398",
    },
    "messenger": {
        "page_id": PAGE,
        "page_access_token": PAGE_TOKEN,
        "app_secret": META_SECRET,
        "verify_token": "vt-secret",
        "app_id": "1517776481860111",
    },
}


class Files(Platform):
    """The platforms, with answers to GET by path: the descriptions of files, and the files. ``asked`` are those paths."""

    def __init__(self) -> None:
        super().__init__()
        self.gets: dict[str, Callable[[web.Request], web.StreamResponse]] = {}
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    async def _look(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, request.headers))
        answer = self.gets.get(request.path)
        return web.json_response({"ok": True}) if answer is None else answer(request)

    def of_telegram(self, method: str) -> list[Any]:
        """The bodies of the calls of a method of Telegram's."""
        return [call.json for call in self.calls if call.path.rpartition("/")[2] == method]


class Updates:
    """Telegram's getUpdates: updates stay until a call names a higher offset; a webhook keeps them from being fetched."""

    def __init__(self, platform: Files, *, webhook: bool = False) -> None:
        self.waiting: dict[int, Any] = {}
        self.webhook = webhook
        self.offsets: list[int] = []
        platform.answers = self.answer

    async def answer(self, request: Any) -> web.Response | None:
        match request.path.rpartition("/")[2]:
            case "deleteWebhook":
                self.webhook = False
                return web.json_response({"ok": True, "result": True})
            case "getUpdates" if self.webhook:
                return refused(
                    409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook first"
                )
            case "getUpdates":
                offset = int(request.json.get("offset", 0))
                self.offsets.append(offset)
                self._confirm(offset)
                if not self.waiting:
                    await asyncio.sleep(0.02)
                    self._confirm(offset)  # what is below it is never told, though it came later
                known = [self.waiting[number] for number in sorted(self.waiting)][:100]
                return web.json_response({"ok": True, "result": known})
        return None

    def _confirm(self, offset: int) -> None:
        self.waiting = {number: one for number, one in self.waiting.items() if number >= offset}


def by_polling(document: Any) -> None:
    for account in document["clients"][CLIENT]["accounts"]:
        if account["channel"] == "telegram":
            account["receive"] = "poll"
            del account["secret_token"]


def account(channel: str, url: str, identifier: str = "", **more: Any) -> dict[str, Any]:
    """Return an account on *channel* whose platform is at *url*."""
    data = {"data_api_base": url} if channel == "line" else {}
    return (
        {"id": identifier or f"acme-{channel}", "channel": channel, "api_base": url} | data | ACCOUNTS[channel] | more
    )


@dataclass
class Inbox:
    """``session`` is logged in as the client."""

    gateway: Gateway
    platform: Files
    session: aiohttp.ClientSession
    cursor: str = ""
    numbers: Any = field(default_factory=lambda: count(900_001))

    @property
    def url(self) -> str:
        return self.gateway.server.url

    # --- as a platform --------------------------------------------------------------------------------------------

    async def hook(self, account_id: str, raw: bytes, headers: Mapping[str, str]) -> int:
        """POST *raw* to an account's webhook; returns the status."""
        url = f"{self.url}/webhooks/{account_id}"
        async with aiohttp.request("POST", url, data=raw, headers=headers) as response:
            return response.status

    async def telegram(self, update: Any, account_id: str = "acme-telegram") -> None:
        """Post an update, which is taken; without an ``update_id`` it gets one."""
        whole = {"update_id": next(self.numbers), **update}
        assert await self.hook(account_id, json.dumps(whole).encode(), telegram_headers()) == 200

    async def line(self, *events: Any, account_id: str = "acme-line") -> None:
        """Post events, which are taken."""
        raw = json.dumps({"destination": "U" + "0" * 32, "events": events}).encode()
        assert await self.hook(account_id, raw, line_headers(raw)) == 200

    async def whatsapp(self, *messages: Any, account_id: str = "acme-whatsapp", **more: Any) -> None:
        """Post messages of Ani's (or what *more* names), which are taken."""
        value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER}, **more}
        if messages:
            value |= {"contacts": [{"profile": {"name": "Ani"}, "wa_id": ANI["whatsapp"]}], "messages": messages}
        entry = {"id": "1", "changes": [{"field": "messages", "value": value}]}
        await self.meta({"object": "whatsapp_business_account", "entry": [entry]}, account_id)

    async def messenger(self, *events: Any, account_id: str = "acme-messenger") -> None:
        """Post messaging events, which are taken."""
        await self.meta({"object": "page", "entry": [{"id": PAGE, "messaging": list(events)}]}, account_id)

    async def meta(self, body: Any, account_id: str) -> None:
        raw = json.dumps(body).encode()
        assert await self.hook(account_id, raw, meta_headers(raw)) == 200

    # --- as the client --------------------------------------------------------------------------------------------

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.session.get(self.url + path) as response:
            return response.status, await response.json(content_type=None)

    async def events(self, account_id: str = "") -> list[Any]:
        """Return the events since they were asked for last, or every event of one account."""
        if account_id:
            found, after = [], ""
            while True:
                status, answer = await self.get(f"/v1/events?limit=1000&after={after}")
                assert status == 200, answer
                if not answer["data"]:
                    return [one for one in found if one["data"]["account"] == account_id]
                found += answer["data"]
                after = answer["next"]
        status, answer = await self.get(f"/v1/events?limit=1000&after={self.cursor}")
        assert status == 200, answer
        self.cursor = answer["next"]
        return answer["data"]

    async def send(self, channel: str, text: str = "hello", **more: Any) -> str:
        """Send a message to Ani; return its tid."""
        prefix = {"telegram": "tg:", "line": "line:", "messenger": "fb:", "whatsapp": ""}[channel]
        body = {
            "id": f"id-{next(self.numbers)}",
            "times": 0,
            "timestamp": "2026-01-01T12:00:00Z",
            "recipient": prefix + ANI[channel],
            "type": "text",
            "body": {"text": text},
        } | more
        async with self.session.post(f"{self.url}/{channel}/send/{CLIENT}", json=body) as response:
            answer = await response.json()
            assert response.status == 200, answer
        tid: str = answer["data"]["tid"]
        return tid

    async def message(self, tid: str) -> Any:
        status, answer = await self.get(f"/v1/messages/{tid}")
        assert status == 200, answer
        return answer["data"]

    async def sent(self, channel: str, text: str = "hello", **more: Any) -> Any:
        """Send a message to Ani, and return it once the platform has all of it, or it has failed."""
        tid = await self.send(channel, text, **more)
        seen: list[Any] = []

        async def ended() -> bool:
            seen[:] = [await self.message(tid)]
            parts = seen[0]["parts"]
            return seen[0]["status"] < 0 or (bool(parts) and all(part["state"] == "answered" for part in parts))

        await eventually(ended)
        return seen[0]

    def local(self, link: str) -> str:
        """Return *link*, which the gateway made for its public address, where it listens here."""
        assert link.startswith(PUBLIC + "/media/"), link
        return self.url + urlsplit(link).path.removeprefix(urlsplit(PUBLIC).path)

    async def fetch(self, link: str) -> tuple[int, Mapping[str, str], bytes]:
        """Open a link to a file, as somebody without credentials."""
        async with aiohttp.request("GET", self.local(link)) as response:
            return response.status, response.headers, await response.read()


def telegram_headers(secret: str = TELEGRAM_SECRET) -> dict[str, str]:
    return {"X-Telegram-Bot-Api-Secret-Token": secret}


def line_headers(raw: bytes, secret: str = LINE_SECRET) -> dict[str, str]:
    return {"X-Line-Signature": base64.b64encode(hmac.digest(secret.encode(), raw, hashlib.sha256)).decode()}


def meta_headers(raw: bytes, secret: str = META_SECRET) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()}


def configuration(folder: Path, url: str, port: int = 0) -> dict[str, Any]:
    """Return a configuration with an account on each channel, whose platforms are all at *url*."""
    accounts = [account(channel, url) for channel in ACCOUNTS]
    return {
        "listen": f"127.0.0.1:{port}",
        "database": str(folder / "kurir.db"),
        "public_url": PUBLIC,
        "admin_token": ADMIN,
        "allow_networks": ["127.0.0.0/8"],
        "clients": {CLIENT: {"username": CLIENT, "password": PASSWORD, "accounts": accounts}},
    }


@asynccontextmanager
async def receiving(
    folder: Path,
    *,
    clock: Clock | None = None,
    store: Any = None,
    platform: Files | None = None,
    edit: Callable[[dict[str, Any]], None] | None = None,
) -> AsyncIterator[Inbox]:
    """Run a gateway with an account on each channel. *edit* may change the configuration before it is read.

    With *platform* that one, which runs already, is used: a gateway that is started again finds the same one.
    """
    async with platforms(platform) as used:
        document = configuration(folder, used.url)
        if edit is not None:
            edit(document)
        used_store = store or await store_of(folder)
        gateway = Gateway(parse(document, {}, channels=channels.installed()), store=used_store, clock=clock)
        await gateway.start()
        try:
            async with aiohttp.ClientSession(headers={"Auth-username": CLIENT, "Auth-password": PASSWORD}) as session:
                yield Inbox(gateway, used, session)
            await sweep(gateway.store)
        finally:
            await gateway.stop()


@asynccontextmanager
async def platforms(known: Files | None = None) -> AsyncIterator[Files]:
    """Run platforms of one's own, or use *known*, which run."""
    if known is not None:
        yield known
        return
    platform = Files()
    async with platform.running():
        yield platform
