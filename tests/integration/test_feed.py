"""The feed: its cursor, its long poll, its stream."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from kurir.callbacks import feed as feeds
from kurir.http import events as module
from support.bodies import body
from support.servers import Running, running


async def sent(gateway: Running, **more: Any) -> str:
    status, _, answer = await gateway.send("telegram", body(recipient="tg:1001", **more))
    assert status == 200, answer
    tid = answer["data"]["tid"]
    await gateway.until(tid, 1)
    return tid


async def read(gateway: Running, **query: Any) -> tuple[int, Any]:
    async with gateway.session.get(f"{gateway.url}/v1/events", params=query) as response:
        return response.status, await response.json(content_type=None)


async def frames(response: aiohttp.ClientResponse, count: int) -> list[dict[str, str]]:
    """Read *count* frames with data."""
    found: list[dict[str, str]] = []
    one: dict[str, str] = {}
    async with asyncio.timeout(10):
        while len(found) < count:
            line = (await response.content.readline()).decode().rstrip("\n")
            assert line or not response.content.at_eof()
            if not line:
                if "data" in one:
                    found.append(one)
                one = {}
            elif not line.startswith(":"):
                name, _, value = line.partition(": ")
                one[name] = value
    return found


async def test_the_cursor_walks_through_every_event_once(tmp_path):
    async with running(tmp_path) as gateway:
        tids = [await sent(gateway, id=f"m-{number}") for number in range(5)]
        seen, cursor = [], ""
        while True:
            status, page = await read(gateway, after=cursor, limit=2)
            assert status == 200
            if not page["data"]:
                break
            assert page["next"] == page["data"][-1]["id"]
            seen += page["data"]
            cursor = page["next"]
        assert page["next"] == cursor, "an empty page gives the cursor back"
        assert [one["data"]["tid"] for one in seen] == tids
        assert list(seen[0]) == ["id", "type", "timestamp", "data"]
        assert {one["data"]["status"] for one in seen} == {1}, "a status 0 is no event"


async def test_a_long_poll_answers_when_something_happens_and_empty_when_nothing_does(tmp_path):
    async with running(tmp_path) as gateway:
        _, page = await read(gateway, wait=0.3)
        assert (page["data"], page["next"]) == ([], "0")
        waiting = asyncio.create_task(read(gateway, wait=30))
        tid = await sent(gateway)
        _, page = await asyncio.wait_for(waiting, 10)
        assert page["data"][0]["data"]["tid"] == tid


async def test_readers_that_leave_their_long_polls_make_room_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(feeds, "LISTENERS", 2)
    async with running(tmp_path) as gateway:
        listeners = gateway.gateway._feed.listeners
        async with asyncio.timeout(20):  # far less than the polls would last
            for _ in range(3):
                waiting = [asyncio.create_task(read(gateway, wait=60)) for _ in range(2)]
                while listeners("demo") < 2:  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(0.01)
                assert (await read(gateway, wait=60))[0] == 429
                for one in waiting:
                    one.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
                while listeners("demo"):  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(0.01)
        assert (await read(gateway, wait=0.1))[0] == 200


@pytest.mark.parametrize("query", [{"after": "x"}, {"after": "-1"}, {"after": "9" * 19}, {"wait": 61}, {"limit": 0}])
async def test_a_wrong_parameter_is_told(tmp_path, query):
    async with running(tmp_path) as gateway:
        assert (await read(gateway, **query))[0] == 422


async def test_nobody_reads_the_feed_without_credentials(tmp_path):
    async with running(tmp_path) as gateway:
        for path in ("", "/stream"):
            async with aiohttp.request("GET", f"{gateway.url}/v1/events{path}") as response:
                assert response.status == 401


async def test_a_stream_goes_on_after_the_last_id(tmp_path):
    async with running(tmp_path) as gateway:
        first = await sent(gateway)
        url = f"{gateway.url}/v1/events/stream"
        async with gateway.session.get(url) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            second = await sent(gateway)
            [frame] = await frames(response, 1)
            assert json.loads(frame["data"])["data"]["tid"] == second, "from now on"
            assert frame["event"] == "message.status"
        third = await sent(gateway)
        async with gateway.session.get(url, headers={"Last-Event-ID": frame["id"]}) as response:
            [after] = await frames(response, 1)
            assert json.loads(after["data"])["data"]["tid"] == third
        async with gateway.session.get(url, headers={"Last-Event-ID": "0"}) as response:
            everything = await frames(response, 3)
            assert [json.loads(one["data"])["data"]["tid"] for one in everything] == [first, second, third]


async def test_a_quiet_stream_is_kept_alive_and_ends_at_once_when_the_gateway_stops(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.1)
    async with (
        running(tmp_path) as gateway,
        gateway.session.get(f"{gateway.url}/v1/events/stream") as response,
        asyncio.timeout(10),
    ):
        while not (await response.content.readline()).startswith(b":"):
            pass
        waiting = asyncio.create_task(read(gateway, wait=60))
        while gateway.gateway._feed.listeners("demo") < 2:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        gateway.gateway._feed.close()
        await response.content.read()
        assert (await waiting)[0] == 200


async def test_one_stream_more_than_may_be_is_429_and_a_closed_one_makes_room(tmp_path, monkeypatch):
    monkeypatch.setattr(feeds, "LISTENERS", 2)
    monkeypatch.setattr(module, "LISTENERS", 2)
    async with running(tmp_path) as gateway:
        url = f"{gateway.url}/v1/events/stream"
        async with gateway.session.get(url) as one, gateway.session.get(url) as two:
            await one.content.readline()
            await two.content.readline()
            async with gateway.session.get(url) as three:
                assert three.status == 429
            assert (await read(gateway, wait=5))[0] == 429
        async with asyncio.timeout(10):
            while gateway.gateway._feed.listeners("demo"):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
        async with gateway.session.get(url) as again:
            assert again.status == 200
