"""What a review mended, each held by a test: bounds of downloads, links, media types of strangers, pauses of a poll."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace

import pytest
from aiohttp import web

from kurir import channels
from kurir.channels.base import Answer, Call
from kurir.directory import Entry
from kurir.domain.account import Account, TelegramSettings
from kurir.egress import DOWNLOAD_SECONDS, Egress, EgressSettings, Exchange, MediaUnavailable
from kurir.intake.poll import FIRST_WAIT, HOLD_SECONDS, Poller
from kurir.networks import ip_network
from kurir.store.inbound import LinkRecord
from support.inbound import ANI, receiving
from support.simulation import SimulatedClock, SimulatedLoop

# --- downloads ------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def endless() -> AsyncIterator[str]:
    """Give the URL of a file that begins and never ends."""

    async def give(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        await response.write(b"begun")
        await asyncio.Event().wait()
        return response

    app = web.Application()
    app.router.add_get("/file", give)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/file"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def fetching() -> AsyncIterator[tuple[Egress, Call]]:
    egress = Egress(EgressSettings((ip_network("127.0.0.0/8"),)))
    try:
        async with endless() as url:
            yield egress, Call(1, "GET", url, (), {}, file=True)
    finally:
        await egress.close()


@pytest.mark.parametrize("guarded", [True, False])
async def test_a_client_has_five_downloads_and_all_of_them_twenty(monkeypatch, guarded):
    monkeypatch.setattr("kurir.egress.DOWNLOAD_WAIT_SECONDS", 0.05)
    async with fetching() as (egress, call), AsyncExitStack() as held:

        async def open_for(owner: str) -> AsyncExitStack:
            one = await held.enter_async_context(AsyncExitStack())
            await one.enter_async_context(egress.download(call, guarded=guarded, owner=owner))
            return one

        first = [await open_for("a") for _ in range(5)]
        with pytest.raises(MediaUnavailable, match="too many files"):
            await open_for("a")
        for owner in "bcd":
            for _ in range(5):
                await open_for(owner)
        with pytest.raises(MediaUnavailable, match="too many files") as refused:
            await open_for("e")
        assert not refused.value.final, "in a moment there is room again"
        await first[0].aclose()
        await open_for("e")


async def test_a_download_that_never_ends_is_cut(monkeypatch):
    assert DOWNLOAD_SECONDS == 600.0
    monkeypatch.setattr("kurir.egress.DOWNLOAD_SECONDS", 0.2)
    monkeypatch.setattr("kurir.egress.DOWNLOAD_WAIT_SECONDS", 0.05)
    async with fetching() as (egress, call):
        for _ in range(6):  # one more than a client may have: each gives its slot back
            async with asyncio.timeout(10):
                with pytest.raises(MediaUnavailable):
                    await read_all(egress, call)


async def read_all(egress: Egress, call: Call) -> None:
    async with egress.download(call, guarded=False, owner="a") as download:
        async for piece in download.chunks:
            assert piece == b"begun"


# --- deep links -------------------------------------------------------------------------------------------------------------


async def test_a_link_that_somebody_opens_who_is_linked_already_still_brings_its_payload(tmp_path):
    async with receiving(tmp_path) as inbox:
        account = "acme-telegram"
        store, now = inbox.gateway.store, inbox.gateway.clock.now()
        for number in (1, 2):
            link = LinkRecord(
                f"token-{number}", "acme", account, now, "628111", f"shop {number}", expires_at=now + timedelta(days=1)
            )
            await store.put_link(link)
            person = {"id": int(ANI["telegram"]), "is_bot": False, "first_name": "Ani"}
            text = f"/start token-{number}"
            message = {"message_id": number, "from": person, "chat": {"id": person["id"], "type": "private"}}
            message |= {"date": int(now.timestamp()), "text": text}
            message["entities"] = [{"type": "bot_command", "offset": 0, "length": 6}]
            await inbox.telegram({"message": message})
        linked = [one["data"] for one in await inbox.events() if one["type"] == "contact.linked"]
        assert [(one["referral"], one["contact"]["phone"]) for one in linked] == [
            ("shop 1", "628111"),
            ("shop 2", "628111"),
        ]


# --- files ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "answered", "given"),
    [
        ("image/jpeg", "text/html", "image/jpeg"),
        ('image/jpeg; charset="a"', "text/html", "image/jpeg"),
        ("image/jpeg\r\nSet-Cookie: a=b", "image/png", "image/png"),
        ("image/jpeg\x01", "image/png", "image/png"),
        ("bild/größe", "image/png", "image/png"),
        ("image", "image/png", "image/png"),
        ("x" * 128 + "/y", "image/png", "image/png"),
        ("no type", "none either", "application/octet-stream"),
        ("", "", "application/octet-stream"),
    ],
)
async def test_a_media_type_of_a_strangers_making_is_not_passed_on(tmp_path, told, answered, given):
    async with receiving(tmp_path) as inbox:
        path = "/lookaside/file"
        described = {"url": f"{inbox.platform.url}{path}", "mime_type": told, "id": "55", "file_size": 5}
        inbox.platform.gets["/v26.0/55"] = lambda _: web.json_response(described)
        inbox.platform.gets[path] = lambda _: web.Response(body=b"bytes", headers={"Content-Type": answered})
        image = {"id": "55", "sha256": "x", "mime_type": told}
        when = str(int(inbox.gateway.clock.now().timestamp()))
        message = {"from": ANI["whatsapp"], "id": "wamid.1", "timestamp": when, "type": "image", "image": image}
        await inbox.whatsapp(message)
        [event] = [one for one in await inbox.events() if one["type"] == "message.received"]
        status, headers, content = await inbox.fetch(event["data"]["message"]["media"]["url"])
        assert (status, content) == (200, b"bytes")
        assert headers["Content-Type"] == given
        assert "Set-Cookie" not in headers


# --- polling ----------------------------------------------------------------------------------------------------------------


class Platform:
    """Telegram with nothing to bring: it holds a call for *seconds*, where it was asked to for fifty."""

    def __init__(self, loop: SimulatedLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self.calls: list[float] = []

    async def send(self, *_: object) -> Exchange:
        self.calls.append(self._loop.time())
        await asyncio.sleep(self._seconds)
        answer = Answer(200, {}, json.dumps({"ok": True, "result": []}).encode())
        return Exchange(answer, round(self._seconds * 1000), "")


class NoOffset:
    async def poll_offset(self, *_: object) -> None:
        return None


@pytest.mark.parametrize(("held", "seconds"), [(0.005, 10), (HOLD_SECONDS, 200)])
def test_a_platform_that_does_not_hold_the_call_is_asked_once_a_second(held, seconds):
    clock = SimulatedClock()
    loop = SimulatedLoop(clock)
    settings = TelegramSettings("42:token", "secret", receive="poll")
    account = Account("acme-tg", "acme", "telegram", "https://api.telegram.org", settings)
    directory = SimpleNamespace(accounts=lambda: {"acme-tg": Entry(account, channels.installed()["telegram"])})
    platform = Platform(loop, held)

    async def run() -> None:
        poller = Poller(NoOffset(), directory, platform, None)
        poller.start()
        assert poller.accounts() == {"acme-tg": True}
        await asyncio.sleep(seconds)
        await poller.stop()

    loop.run_until_complete(run())
    loop.close()
    between = {round(later - earlier, 3) for earlier, later in zip(platform.calls, platform.calls[1:], strict=False)}
    assert between == {held if held == HOLD_SECONDS else held + FIRST_WAIT}
    assert FIRST_WAIT == 1.0
