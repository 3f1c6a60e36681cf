"""What one client may ask for: requests a second, and messages that wait; the short way in and the usual one."""

import asyncio
import json
import random
from typing import Any

from kurir import demo
from kurir.clock import SystemClock
from kurir.configuration.file import parse
from kurir.console import installation
from kurir.delivery.gcra import Gcra
from kurir.domain.account import Rate
from kurir.http.answers import RequestFailed
from kurir.http.client_limits import ClientLimits
from support.bodies import body
from support.servers import PASSWORD, running

HEADERS = {"Auth-username": demo.CLIENT, "Auth-password": PASSWORD, "Content-Type": "application/json"}


class Still(SystemClock):
    """A clock whose monotonic time goes on as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 1000.0

    def monotonic(self) -> float:
        return self.at


async def _whole(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: Any
) -> tuple[int, dict[str, str], Any]:
    """Send a message in one piece, which goes the short way; return (status, headers, answer)."""
    raw = json.dumps(sent).encode()
    head = [f"POST /telegram/send/{demo.CLIENT} HTTP/1.1", "Host: x", f"Content-Length: {len(raw)}"]
    head += [f"{name}: {value}" for name, value in HEADERS.items()]
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + raw)
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]), headers, json.loads(await reader.readexactly(int(headers["content-length"])))


async def test_requests_beyond_the_rate_are_429_and_say_when_to_come_again(tmp_path):
    def edit(document: dict[str, Any]) -> None:
        document["client_rate"] = "2/s burst 5"
        document["clients"]["other"] = {"username": "other", "password": PASSWORD, "accounts": []}

    async with running(tmp_path, edit=edit) as up:
        limits = up.gateway.app.state.edge.limits
        limits._clock = clock = Still()
        reader, writer = await asyncio.open_connection("127.0.0.1", up.gateway.server.port)
        statuses = []
        for number in range(3):
            status, _, _ = await up.send("telegram", body(id=f"u-{number}", recipient="tg:1001"))
            statuses.append(status)
        for number in range(4):
            status, headers, answer = await _whole(reader, writer, body(id=f"w-{number}", recipient="tg:1001"))
            statuses.append(status)
        assert statuses == [200] * 5 + [429] * 2
        assert answer["code"] == "rate_limited_here"
        assert "2 requests in 1 s" in answer["detail"]
        assert headers["retry-after"] == "1"
        # Every way in counts, reading too, and what is wrong as well; another client has its own.
        async with up.session.get(f"{up.url}/v1/messages") as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "1")
        async with up.session.get(
            f"{up.url}/v1/messages", headers={"Auth-username": "other", "Auth-password": PASSWORD}
        ) as response:
            assert response.status == 200
        clock.at += 0.5
        assert (await _whole(reader, writer, {"id": 1}))[0] == 422
        assert (await _whole(reader, writer, {"id": 1}))[0] == 429
        clock.at += 0.5
        # One that goes the usual way after all, since it answers another message, counts once.
        clock.at += 0.5
        replied = body(id="reply", recipient="tg:1001", reply_id="unknown")
        assert [(await _whole(reader, writer, replied))[0] for _ in range(3)] == [200, 200, 429]
        writer.close()


async def test_messages_beyond_the_queue_are_429_and_nothing_of_them_is_kept(tmp_path):
    def edit(document: dict[str, Any]) -> None:
        document["client_queue"] = 3
        document["clients"]["other"] = {"username": "other", "password": PASSWORD, "accounts": []}

    later = {"recipient": "tg:1001", "send_at": "2099-01-01T00:00:00Z"}
    async with running(tmp_path, edit=edit) as up:
        limits = up.gateway.app.state.edge.limits
        await limits.stop()  # counted when the test says
        reader, writer = await asyncio.open_connection("127.0.0.1", up.gateway.server.port)
        tids = []
        for number in range(2):
            status, _, answer = await up.send("telegram", body(id=f"l-{number}", **later))
            tids.append(answer["data"]["tid"])
            assert status == 200
        again = await _whole(reader, writer, {**body(id="l-2", **later)})
        assert again[0] == 200
        for told in (
            await _whole(reader, writer, body(id="l-3", **later)),
            await up.send("telegram", body(id="l-3", **later)),
        ):
            assert (told[0], told[2]["code"]) == (429, "queue_full")
            assert "3 messages" in told[2]["detail"]
        async with up.session.get(f"{up.url}/v1/messages?id=l-3") as response:
            assert (await response.json())["data"] == []
        await limits.count()
        assert limits._waiting == {demo.CLIENT: 3}
        async with up.session.post(f"{up.url}/v1/messages/{tids[0]}/cancel") as response:
            assert response.status == 200
        await limits.count()
        assert (await _whole(reader, writer, body(id="l-3", **later)))[0] == 200
        # The same content with the same id is no new message, and takes no room.
        await limits.count()
        assert (await _whole(reader, writer, body(id="l-4", **later)))[0] == 429
        writer.close()


async def test_what_is_accepted_while_it_is_counted_is_counted(tmp_path):
    class Store:
        async def depths(self) -> list[Any]:
            limits.accepted("a")
            return []

    class Nobody:
        def accounts(self) -> dict[str, Any]:
            return {}

    limits = ClientLimits(None, 1, Store(), Nobody(), SystemClock())  # type: ignore[arg-type]
    limits.message("a")
    await limits.count()
    assert limits._waiting == {"a": 1}


def test_a_client_is_let_through_as_the_accounts_limits_let_calls_through():
    """The short form against the long one: a thousand requests at random moments."""
    chance, clock, rate = random.Random(7), Still(), Rate(20, 3, 4)
    limits, known = ClientLimits(rate, None, None, None, clock), Gcra(rate)  # type: ignore[arg-type]
    refused = 0
    for _ in range(1000):
        clock.at += chance.choice((0.0, 0.01, 0.15, chance.random()))
        free = known.free_at(clock.at) <= clock.at
        try:
            limits.request("a")
        except RequestFailed:
            refused += 1
            assert not free
        else:
            assert free
            known.take(clock.at)
    assert 100 < refused < 900


def test_the_page_of_settings_shows_the_bounds_as_the_file_writes_them():
    def shown(document: dict[str, Any]) -> dict[str, str]:
        parsed = parse({**document, "clients": {"a": {"username": "a", "password": PASSWORD}}}, {}, channels={})
        return {one.setting.name: one.value for one in installation.rows(parsed.settings)}

    assert (shown({})["client_rate"], shown({})["client_queue"]) == ("none", "none")
    bounded = shown({"client_rate": "6000/60s", "client_queue": 9})
    # Without a burst as many at once as in one second.
    assert (bounded["client_rate"], bounded["client_queue"]) == ("6000/60s burst 100", "9")


def test_without_bounds_nothing_is_counted():
    limits = ClientLimits(None, None, None, None, SystemClock())  # type: ignore[arg-type]
    for _ in range(3):
        limits.request("a")
        limits.message("a")
        limits.accepted("a")
        limits.not_made("a")
    assert not limits._arrivals
    assert not limits._waiting
    limited = ClientLimits(Rate(1, 60, 1), None, None, None, Still())  # type: ignore[arg-type]
    limited.request("a")
    limited.not_made("a")
    limited.request("a")
