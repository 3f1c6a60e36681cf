"""``kurir listen``: what reaches the hook is what a callback endpoint gets, in order, signed, over outages of either side."""

import asyncio
import json
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import typer
from typer.testing import CliRunner
from yarl import URL

from kurir.cli import listen as module
from kurir.cli.app import app
from kurir.cli.listen import Show, Wanted, forward
from kurir.cli.running import Place
from kurir.http import events as server_events
from kurir.sandbox.config import DEMO_TELEGRAM
from kurir.store.feed import COMPAT_KINDS, KINDS
from support import telegram_updates as updates
from support.bodies import body
from support.endpoint import Mode, RecordingEndpoint, recording
from support.process import up
from support.servers import PASSWORD, Running, running

TOKEN = "an administrator's token"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ITS_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def open_loopback(document: dict[str, Any]) -> None:
    document["admin_token"] = TOKEN
    document["allow_networks"] = ["127.0.0.0/8"]


def wanted(hook: str, dialect: str = "compat", **more: Any) -> Wanted:
    kinds = frozenset(COMPAT_KINDS if dialect == "compat" else KINDS)
    return Wanted(hook, dialect, kinds, SECRET, **{"after": "0", **more})


def place(gateway: Running, password: str = PASSWORD) -> Place:
    return Place(gateway.url, {"Auth-username": "demo", "Auth-password": password})


@asynccontextmanager
async def forwarding(gateway: Running, asked: Wanted, show: Show | None = None):
    task = asyncio.create_task(forward(place(gateway), asked, show or Show(as_json=True)))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def sent(gateway: Running, *, ends: int = 1, **more: Any) -> str:
    status, _, answer = await gateway.send("telegram", body(**{"recipient": "tg:1001", **more}))
    assert status == 200, answer
    await gateway.until(answer["data"]["tid"], ends)
    return answer["data"]["tid"]


async def hears(gateway: Running, update: dict[str, Any], number: int) -> None:
    """Let the bot be told *update*, as the platform would."""
    headers = {"X-Telegram-Bot-Api-Secret-Token": DEMO_TELEGRAM.secret_token}
    url = f"{gateway.url}/webhooks/demo-tg"
    async with aiohttp.request("POST", url, json={**update, "update_id": number}, headers=headers) as response:
        assert response.status == 200, await response.text()


@pytest.mark.parametrize("dialect", ["compat", "standard"])
async def test_the_hook_gets_the_very_bodies_that_a_callback_endpoint_gets(tmp_path, dialect):
    async with recording() as endpoint, recording() as hook, running(tmp_path, edit=open_loopback) as gateway:
        asked = {"client": "demo", "url": endpoint.url, "secret": ITS_SECRET, "dialect": dialect}
        login = {"Authorization": f"Bearer {TOKEN}"}
        url = f"{gateway.url}/v1/admin/callbacks"
        async with aiohttp.request("PUT", url, json=asked, headers=login) as response:
            assert response.status == 200
        async with forwarding(gateway, wanted(hook.url, dialect)):
            await sent(gateway, id="m-1")
            await hears(gateway, updates.message(text="Hello"), 1)
            await hears(gateway, updates.message(location={**updates.PLACE}, message_id=11), 2)
            photo = [{**updates.FILE, "width": 1, "height": 1, "file_size": 5}]
            await hears(gateway, updates.message(photo=photo, caption="Look", message_id=12), 3)
            await hears(gateway, updates.press(), 4)
            await hears(gateway, updates.reaction([{"type": "emoji", "emoji": "👍"}], []), 5)
            await sent(gateway, id="m-2", recipient="tg:999", ends=-2)
            expected = 6 if dialect == "compat" else 7
            theirs, ours = await endpoint.until(expected), await hook.until(expected)
        # The endpoint gets conversations side by side, the hook everything in the feed's order.
        assert sorted(_told(one) for one in ours) == sorted(_told(one) for one in theirs)
        assert all(one.verified(SECRET) for one in ours)
        assert [one.headers["webhook-id"] for one in ours] == sorted(
            (one.headers["webhook-id"] for one in ours), key=lambda name: int(name.rsplit("_", 1)[1])
        )


def _told(one: Any) -> str:
    """Return the body with what the link to a file expires by taken out: the two are made at different moments."""
    told = json.loads(one.body)
    media = ((told.get("data") or told).get("message") or {}).get("media")
    if media:
        media["url"] = media["expires_at"] = bool(media["url"])
    return json.dumps(told)


async def test_events_keep_their_order_and_their_ids_when_they_are_asked_for_again(tmp_path):
    async with recording() as hook, running(tmp_path) as gateway:
        tids = [await sent(gateway, id=f"m-{number}") for number in range(4)]
        for _ in range(2):
            async with forwarding(gateway, wanted(hook.url)):
                await hook.until(4)
            hook.received, first = [], hook.received
            assert [json.loads(one.body)["status"]["tid"] for one in first] == tids
        assert len({one.headers["webhook-id"] for one in first}) == 4
        show = Show(as_json=True)
        async with forwarding(gateway, wanted(hook.url, after=first[1].headers["webhook-id"].rsplit("_", 1)[1]), show):
            await hook.until(2)
        assert [json.loads(one.body)["status"]["tid"] for one in hook.received] == tids[2:]


async def test_a_stream_that_ends_loses_and_repeats_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(server_events, "STREAM_SECONDS", 0.2)
    async with recording() as hook, running(tmp_path) as gateway, forwarding(gateway, wanted(hook.url)):
        tids = [await sent(gateway, id=f"m-{number}") for number in range(12)]
        assert [json.loads(one.body)["status"]["tid"] for one in await hook.until(12)] == tids


async def test_only_the_kinds_and_times_that_were_asked_for_come(tmp_path):
    async with recording() as hook, running(tmp_path) as gateway:
        await hears(gateway, updates.message(text="Old"), 1)  # of 2023
        await sent(gateway, id="m-1")
        await hears(gateway, updates.message(text="New", message_id=11, date=int(datetime.now(UTC).timestamp())), 2)
        begin = datetime.now(UTC) - timedelta(minutes=10)
        asked = replace(wanted(hook.url, begin=begin), kinds=frozenset({"message.received"}))
        async with forwarding(gateway, asked):
            [one] = await hook.until(1)
            assert json.loads(one.body)["message"]["text"] == "New"


async def test_what_the_hook_says_is_shown_and_ends_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "HOOK_SECONDS", 0.3)
    async with recording() as hook, running(tmp_path) as gateway:
        hook.modes = [Mode.FAIL, Mode.REDIRECT, Mode.HANG, Mode.CUT]
        capsys.readouterr()
        async with forwarding(gateway, wanted(hook.url)):
            for number in range(5):
                await sent(gateway, id=f"m-{number}")
            await hook.until(5)
            await hears_of(capsys, lines := [], 5)
    assert [one["status"] for one in lines] == [500, 307, 0, 0, 200]
    assert [bool(one["error"]) for one in lines] == [False, False, True, True, False]
    assert [one["id"] for one in lines] == sorted(one["id"] for one in lines)


async def hears_of(capsys: Any, lines: list[Any], count: int) -> None:
    """Wait until *count* lines of JSON were printed."""
    async with asyncio.timeout(10):
        while len(lines) < count:
            await asyncio.sleep(0.02)
            lines += [json.loads(one) for one in capsys.readouterr().out.splitlines() if one.startswith('{"id"')]


async def test_a_hook_that_is_not_there_is_waited_for(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "KNOCK_SECONDS", 0.05)
    async with running(tmp_path) as gateway:
        async with recording() as gone:
            url = gone.url
        tids = [await sent(gateway, id=f"m-{number}") for number in range(2)]
        async with forwarding(gateway, wanted(url)):
            async with asyncio.timeout(10):
                while "nothing listens at" not in (said := capsys.readouterr().err):  # noqa: ASYNC110 - of a stream
                    await asyncio.sleep(0.02)
            assert said.count("nothing listens at") == 1
            back = RecordingEndpoint()
            server = await serve_at(back, url)
            try:
                assert [json.loads(one.body)["status"]["tid"] for one in await back.until(2)] == tids
            finally:
                await server.cleanup()


async def serve_at(hook: RecordingEndpoint, url: str) -> Any:
    """Let something listen at *url* that records what it gets."""
    from aiohttp import web  # noqa: PLC0415 - of this one test

    from support.endpoint import Received  # noqa: PLC0415

    changed = asyncio.Condition()

    async def take(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        async with changed:
            hook.received.append(Received(request.path, headers, await request.read(), Mode.WELL))
            changed.notify_all()
        return web.Response()

    async def until(count: int) -> list[Received]:
        async with asyncio.timeout(10), changed:
            await changed.wait_for(lambda: len(hook.received) >= count)
        return hook.received

    hook.until = until  # type: ignore[method-assign] # another server's
    application = web.Application()
    application.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", URL(url).port).start()
    return runner


async def test_wrong_credentials_end_it_with_the_gateways_sentence(tmp_path, capsys):
    async with running(tmp_path) as gateway:
        with pytest.raises(typer.Exit):
            await forward(place(gateway, "wrong"), wanted("http://127.0.0.1:1"), Show(as_json=False))
    assert "unauthorized, HTTP 401" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--forward-to", "localhost:3000"], "http or https"),
        (["--forward-to", "http://x", "--dialect", "xml"], "no dialect"),
        (["--forward-to", "http://x", "--events", "message.reaction"], "compat has no"),
        (["--forward-to", "http://x", "--events", "message.sent", "--dialect", "standard"], "standard has no"),
        (["--forward-to", "http://x", "--secret", "short"], "whsec_"),
        (["--forward-to", "http://x", "--since", "yesterday"], "no event's id"),
        (["--forward-to", "http://x", "--since", "2026-11-22T09:00:00"], "no event's id"),
    ],
)
def test_a_mistake_in_the_options_is_named(words, said):
    found = CliRunner().invoke(app, ["listen", *words], env={"COLUMNS": "500", "NO_COLOR": "1"})
    assert found.exit_code == 2
    assert said in found.stderr


def test_since_is_an_id_a_time_or_how_long_ago():
    now = datetime(2026, 11, 22, 9, tzinfo=UTC)
    assert module._since("", now) == ("", None)
    assert module._since("42", now) == ("42", None)
    assert module._since("10m", now) == ("0", now - timedelta(minutes=10))
    assert module._since("2026-11-22T08:00:00Z", now) == ("0", now - timedelta(hours=1))


async def test_ctrl_c_ends_it_cleanly_and_says_how_to_go_on(tmp_path):
    async with recording() as hook:
        with up(tmp_path / "kurir-data") as demo:
            command = [
                sys.executable,
                "-u",
                "-m",
                "kurir",
                "listen",
                "--forward-to",
                hook.url,
                "--data",
                tmp_path / "kurir-data",
            ]
            with subprocess.Popen(  # noqa: ASYNC220 - begun at once, read in threads
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as process:
                assert process.stdout is not None
                lines = [await asyncio.to_thread(process.stdout.readline) for _ in range(3)]
                assert lines[0].endswith(f"→ {hook.url}, dialect compat\n")
                secret = lines[1].removeprefix("secret ").strip()
                assert secret.startswith("whsec_")
                tid = None
                async with asyncio.timeout(20):
                    while not hook.received:  # it may not be listening yet, and then begins with the next one
                        tid = await asyncio.to_thread(demo.send, "telegram", body())
                        await asyncio.to_thread(demo.until, tid, 1)
                        await asyncio.sleep(0.05)
                assert hook.received[-1].verified(secret)["status"]["status"] == 1
                line = await asyncio.to_thread(process.stdout.readline)
                assert "message.status" in line
                assert "200" in line
                process.send_signal(signal.SIGINT)
                out, err = await asyncio.to_thread(process.communicate, None, 10)
                assert (process.returncode, err) == (0, "")
                assert "--since" in out
