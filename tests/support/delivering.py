"""Delivery without the HTTP edge: a real store, dispatcher and egress, and a platform whose answers a test writes.

async with delivering(folder) as world:
    world.platform.answers = lambda request: refused(400, "Bad Request: chat not found")
    tid = await world.accept("tg:1001", "hello")
    message = await world.ended(tid)
"""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web

from kurir import channels
from kurir.channels.base import Channel
from kurir.clock import Clock, SystemClock
from kurir.delivery.dispatcher import Dispatcher
from kurir.delivery.retry import Backoff
from kurir.directory import Directory
from kurir.domain.account import (
    Account,
    LineSettings,
    MessengerSettings,
    TelegramSettings,
    UnknownOutcome,
    WhatsAppSettings,
)
from kurir.egress import Egress, EgressSettings
from kurir.intake.accept import Acceptor, Taken
from kurir.networks import ip_network
from kurir.store.base import AccountRecord, ClientRecord, ContactRecord, Declared, MessageRecord, QueuedMessage, Store
from support.stores import store_of

CLIENT = "acme"
PATIENCE = 20.0
#: Waits of milliseconds, so that a test of repeats does not last.
QUICK = Backoff(base=0.005, maximum=0.02)
TELEGRAM_TOKEN = "42:telegram-token"
SETTINGS = {
    "telegram": TelegramSettings(TELEGRAM_TOKEN, "telegram-secret"),
    "line": LineSettings("line-token-0123", "line-secret-0123", data_api_base="http://127.0.0.1:9"),
    "whatsapp": WhatsAppSettings("10650001", "whatsapp-token", "meta-app-secret", "verify-me"),
    "messenger": MessengerSettings("20650001", "messenger-token", "meta-app-secret", "verify-me"),
}
LINE_USER = "U" + "0a" * 16


@dataclass
class Request:
    """A call as the platform received it. *number* counts from 1 over all calls."""

    number: int
    path: str
    headers: Mapping[str, str]
    json: Any
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The words of a text message, on any of the four."""
        body = self.json
        if "messages" in body:
            return body["messages"][0].get("text", "")
        if "message" in body:
            return body["message"].get("text", "")
        return body["text"]["body"] if isinstance(body.get("text"), dict) else body.get("text", "")

    @property
    def channel(self) -> str:
        """Which of the four it came to."""
        if self.path.startswith("/bot"):
            return "telegram"
        if self.path.startswith("/v2/bot"):
            return "line"
        return "messenger" if "message" in self.json else "whatsapp"

    @property
    def to(self) -> str:
        """Who it is for."""
        body = self.json
        to = body.get("chat_id") or body.get("to") or body.get("recipient")
        return str(to["id"] if isinstance(to, dict) else to)


Answers = Callable[[Request], web.StreamResponse | Awaitable[web.StreamResponse] | None]


def taken(request: Request) -> web.Response:
    """Answer as the platform does that takes a message."""
    number = request.number
    if request.channel == "telegram":
        to = request.to
        chat = int(to) if to.lstrip("-").isdigit() else 777
        return web.json_response({"ok": True, "result": {"message_id": number, "chat": {"id": chat}}})
    if request.channel == "line":
        return web.json_response({"sentMessages": [{"id": str(number)}]})
    if request.channel == "messenger":
        return web.json_response({"recipient_id": request.to, "message_id": f"m_{number}"})
    wa_id = request.to.lstrip("+")
    contacts = [{"input": request.to, "wa_id": wa_id}]
    return web.json_response(
        {"messaging_product": "whatsapp", "contacts": contacts, "messages": [{"id": f"wamid.{number}"}]}
    )


def refused(status: int, description: str, **parameters: Any) -> web.Response:
    """Answer as Telegram refuses."""
    body = {"ok": False, "error_code": status, "description": description}
    return web.json_response(body | ({"parameters": parameters} if parameters else {}), status=status)


def graph_error(code: int, status: int = 400, **more: Any) -> web.Response:
    """Answer as Meta refuses."""
    return web.json_response({"error": {"code": code, "message": "so it is", **more}}, status=status)


def line_error(status: int, message: str, **more: Any) -> web.Response:
    """Answer as LINE refuses."""
    return web.json_response({"message": message, **more}, status=status)


async def eventually(condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
    """Return as soon as *condition*, which may be a coroutine function, holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.005)


class Platform:
    """All four platforms, on loopback. ``answers`` may return None for «taken»; ``cut`` in it breaks the connection."""

    def __init__(self) -> None:
        self.calls: list[Request] = []
        self.answers: Answers = lambda _: None
        self.at_once = 0
        self.most_at_once = 0
        self.changed = asyncio.Condition()
        self.files: dict[str, Callable[[], web.StreamResponse]] = {}
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = web.Application(client_max_size=200 * 1024 * 1024)
        app.router.add_get("/files/{name}", self._file)
        app.router.add_get("/{path:.*}", self._look)
        app.router.add_post("/{path:.*}", self._take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return self.files[request.match_info["name"]]()

    async def _look(self, _: web.Request) -> web.StreamResponse:
        """Answer a call that sends nothing: the platform is there, whatever it makes of messages."""
        return web.json_response({"ok": True})

    async def _take(self, incoming: web.Request) -> web.StreamResponse:
        files: dict[str, bytes] = {}
        if incoming.content_type.startswith("multipart/"):
            body: Any = {}
            async for part in await incoming.multipart():
                if part.filename:
                    files[part.filename] = await part.read()
                else:
                    body[part.name] = await part.text()
        else:
            body = await incoming.json()
        request = Request(len(self.calls) + 1, incoming.path, incoming.headers, body, files)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        async with self.changed:
            self.calls.append(request)
            self.changed.notify_all()
        try:
            answer = self.answers(request)
            if answer is not None and not isinstance(answer, web.StreamResponse):
                answer = await answer
            if answer is CUT:
                assert incoming.transport is not None
                incoming.transport.abort()
                return web.Response()
            return taken(request) if answer is None else answer
        finally:
            self.at_once -= 1

    def of(self, channel: str) -> list[Request]:
        """The calls of one of the four."""
        return [call for call in self.calls if call.channel == channel]

    async def called(self, times: int, seconds: float = PATIENCE) -> list[Request]:
        """Return the calls as soon as there are so many."""
        async with asyncio.timeout(seconds), self.changed:
            await self.changed.wait_for(lambda: len(self.calls) >= times)
        return self.calls


#: The answer that is none: the connection is cut when the request is in.
CUT = web.Response()


def open_account(record: AccountRecord) -> Account:
    """The account of a record that :func:`records` made."""
    options = json.loads(record.options)
    if "unknown_outcome" in options:
        options["unknown_outcome"] = UnknownOutcome(options["unknown_outcome"])
    account = Account(record.id, record.client_id, record.channel, record.api_base, SETTINGS[record.channel])
    return replace(account, **options)


def records(api_base: str, **options: Any) -> Declared:
    """A client with an account on each channel; *options* are fields of every account."""
    accounts = tuple(
        AccountRecord(f"{CLIENT}-{name}", CLIENT, name, api_base, b"", json.dumps(options), position=position)
        for position, name in enumerate(SETTINGS)
    )
    return Declared((ClientRecord(CLIENT, CLIENT, "hash"),), accounts)


class World:
    """Everything that a test of delivery touches."""

    def __init__(self, store: Store, platform: Platform, clock: Clock, known: Mapping[str, Channel]) -> None:
        self.store = store
        self.platform = platform
        self.clock = clock
        self.channels = known
        self.directory = Directory(known, open_account)
        self.egress = Egress(EgressSettings((ip_network("127.0.0.0/8"),)))
        self.dispatcher = self.new_dispatcher()
        self.acceptor = Acceptor(store, self.directory, known, clock, self._accepted)
        self._ids = count(1)

    def _accepted(self, account_id: str, message: QueuedMessage | None) -> None:
        self.dispatcher.accepted(account_id, message)

    def new_dispatcher(self) -> Dispatcher:
        return Dispatcher(self.store, self.directory, self.egress, self.clock, Random(7), QUICK)

    def body(self, to: str, text: str, **more: Any) -> dict[str, Any]:
        return {
            "id": f"id-{next(self._ids)}",
            "times": 0,
            "timestamp": "2026-01-01T12:00:00Z",
            "recipient": to,
            "type": "text",
            "body": {"text": text},
        } | more

    async def accept(self, to: str, text: str = "hello", *, channel: str = "telegram", **more: Any) -> str:
        """Accept a message, and return its tid."""
        answer = await self.acceptor.accept(CLIENT, channel, self.body(to, text, **more))
        assert isinstance(answer, Taken), answer
        return answer.tid

    async def message(self, tid: str) -> MessageRecord:
        found = await self.store.message(CLIENT, tid)
        assert found is not None
        return found

    async def when(
        self, tid: str, condition: Callable[[MessageRecord], object], seconds: float = PATIENCE
    ) -> MessageRecord:
        """Return the message as soon as *condition* holds for it."""
        seen: list[MessageRecord] = []

        async def now() -> object:
            seen[:] = [await self.message(tid)]
            return condition(seen[0])

        try:
            await eventually(now, seconds)
        except TimeoutError:
            message = replace(seen[0], attempts=seen[0].attempts[-2:])
            raise AssertionError(f"it never came to that: {message}") from None
        return seen[0]

    async def ended(self, tid: str) -> MessageRecord:
        """Return the message when delivery is through with it."""
        return await self.when(tid, lambda message: not message.queued)

    async def waits(self, tid: str, code: str) -> MessageRecord:
        """Return the message when it waits for the reason *code*."""
        return await self.when(tid, lambda message: message.reason is not None and message.reason.code == code)

    async def link(self, channel: str, phone: str, address: str) -> None:
        contact = ContactRecord(CLIENT, f"{CLIENT}-{channel}", channel, address, phone)
        await self.store.put_contact(contact, self.clock.now())

    async def idle(self, seconds: float = PATIENCE) -> None:
        """Wait until nothing is queued."""

        async def empty() -> bool:
            return not await self.store.depths()

        await eventually(empty, seconds)

    def wake(self) -> None:
        """Let every worker look now: the time was moved."""
        for account in self.directory.accounts():
            self.dispatcher.wake(account)


@asynccontextmanager
async def delivering(
    folder: Path,
    *,
    clock: Clock | None = None,
    store: Store | None = None,
    known: Mapping[str, Channel] | None = None,
    start: bool = True,
    **options: Any,
) -> AsyncIterator[World]:
    """Run delivery against a platform of its own. *options* are fields of every account.

    However a test ends, every rule of the schema must hold after it.
    """
    platform = Platform()
    used = store if store is not None else await store_of(folder)
    await used.open()
    try:
        async with platform.running():
            world = World(used, platform, clock or SystemClock(), known or channels.installed())
            try:
                await used.declare(records(platform.url, **options), world.clock.now())
                await world.directory.reload(used)
                if start:
                    await world.dispatcher.start()
                yield world
            finally:
                await world.dispatcher.stop(1.0)
                await world.egress.close()
            assert await used.broken_invariants() == []
    finally:
        await used.close()
