"""The sandbox's own HTTP: phones as JSON, long polls, the event stream, switches, files, and who may not call."""

import asyncio
import json
import time

import aiohttp
import pytest

from kurir.sandbox.config import DEMO_PEOPLE, demo_config
from kurir.sandbox.media import DEMO_FILES
from kurir.sandbox.phones import MAX_BUBBLES
from kurir.sandbox.server import SandboxServer
from support.sandbox import BUDI, PATIENCE, running


async def read_events(response, count):
    """Return the data of the next *count* events of a stream that are about a phone."""
    events, kind = [], b""
    async with asyncio.timeout(PATIENCE):
        async for line in response.content:
            if line.startswith(b"event: "):
                kind = line[7:].strip()
            if line.startswith(b"data: ") and kind == b"phone":
                events.append(json.loads(line[6:]))
            if len(events) == count:
                break
    return events


async def test_each_person_has_a_phone_on_each_channel():
    async with running() as world:
        _, body = await world.call("GET", "/sandbox/phones")
    phones = [(phone["channel"], phone["person"], phone["address"]) for phone in body["data"]]
    channels = ("whatsapp", "telegram", "line", "messenger")
    assert phones == [(channel, person.name, person.address(channel)) for channel in channels for person in DEMO_PEOPLE]
    assert all(phone["online"] and phone["chat_open"] and phone["bubbles"] == [] for phone in body["data"])


async def test_the_published_sample_reaches_ani():
    assert demo_config().people[0].phone == "628xxxxxxxx"


async def test_a_long_poll_answers_as_soon_as_a_bubble_comes():
    async with running() as world:
        _, first = await world.telegram("sendMessage", text="one")
        path = f"/sandbox/phones/telegram/messages?person=budi&after={first['result']['message_id']}&wait=9s"
        poll = asyncio.create_task(world.call("GET", path))
        await world.telegram("sendMessage", text="two")
        async with asyncio.timeout(PATIENCE):
            _, body = await poll
        assert [bubble["blocks"][0]["text"] for bubble in body["data"]] == ["two"]


async def test_a_long_poll_ends_empty_when_nothing_comes():
    async with running() as world:
        assert await world.call("GET", "/sandbox/phones/line/messages?wait=0.02") == (200, {"data": []})


@pytest.mark.parametrize(
    ("path", "status"),
    [("sms/messages", 404), ("line/messages?person=Cici", 404), ("line/messages?wait=soon", 400)],
)
async def test_a_wrong_question_gets_a_plain_answer(path, status):
    async with running() as world:
        got, body = await world.call("GET", f"/sandbox/phones/{path}")
        assert got == body["status"] == status


async def test_the_stream_gives_every_phone_and_then_each_change():
    async with running() as world, world.http.get(world.server.url + "/sandbox/events") as response:
        assert response.content_type == "text/event-stream"
        phones = await read_events(response, 8)
        assert {phone["person"] for phone in phones} == {"Ani", "Budi"}
        await world.telegram("sendMessage", text="one")
        (phone,) = await read_events(response, 1)
        assert (phone["channel"], phone["bubbles"][0]["blocks"][0]["text"]) == ("telegram", "one")
        await world.switch("telegram", phone["address"], online=False)
        (phone,) = await read_events(response, 1)
        assert phone["online"] is False


async def test_open_streams_and_polls_do_not_hold_up_a_shutdown():
    server = SandboxServer(demo_config())
    await server.start()
    async with aiohttp.ClientSession() as http:
        stream = await http.get(server.url + "/sandbox/events")
        await read_events(stream, 8)
        poll = asyncio.create_task(http.get(server.url + "/sandbox/phones/line/messages?wait=60"))
        bot = f"{server.url}/telegram/bot{demo_config().telegram.token}/getUpdates?timeout=50"
        updates = asyncio.create_task(http.get(bot))
        await http.get(server.url + "/sandbox/phones")
        started = time.monotonic()
        async with asyncio.timeout(PATIENCE):
            await server.stop()
            assert (await stream.content.read()).strip() == b""
            assert (await poll).status == (await updates).status == 200
        assert time.monotonic() - started < 2.5
    await server.stop()


async def test_a_server_can_start_again_and_says_when_its_port_is_taken():
    server = SandboxServer(demo_config())
    await server.start()
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        await SandboxServer(demo_config(), port=port).start()
    await server.stop()
    async with SandboxServer(demo_config(), port=port) as again:
        assert again.url == server.url


async def test_a_phone_keeps_its_newest_bubbles():
    async with running() as world:
        for _ in range(MAX_BUBBLES // 5 + 1):
            await world.push(*[{"type": "text", "text": "x"}] * 5)
        assert len(await world.bubbles("line")) == MAX_BUBBLES


async def test_a_reset_empties_and_switches_on():
    async with running() as world:
        await world.switch("whatsapp", BUDI.phone, online=False)
        await world.whatsapp({"type": "text", "text": {"body": "x"}})
        await world.receiver.wait(1)
        await world.call("POST", "/sandbox/reset")
        assert await world.bubbles("whatsapp") == []
        await world.switch("whatsapp", BUDI.phone, chat_open=True)
        await world.whatsapp({"type": "text", "text": {"body": "y"}})
        statuses = await world.receiver.statuses(4)
        assert len({status["id"] for status in statuses[1:]}) == 1


@pytest.mark.parametrize("depth", [70, 400, 20_000])
async def test_a_deeply_nested_body_is_refused_and_breaks_nothing(depth):
    nested = "[" * depth + "]" * depth
    config = demo_config()
    token = {"Authorization": f"Bearer {config.whatsapp.access_token}", "Content-Type": "application/json"}
    envelope = '{"messaging_product": "whatsapp", "to": "628xxxxxxxx", "type": "interactive", "interactive": %s}'
    async with running() as world:
        path = f"/graph/v26.0/{config.whatsapp.phone_number_id}/messages"
        status, _ = await world.call("POST", path, data=envelope % f'{{"type": "flow", "x": {nested}}}', headers=token)
        assert status == 400
        assert (await world.telegram("sendMessage", text="x", reply_markup=nested))[0] == 400
        assert (await world.call("GET", "/sandbox/phones"))[0] == 200


async def test_a_huge_payload_is_not_kept():
    async with running() as world:
        status, _ = await world.push({"type": "text", "text": "x", "padding": "x" * 200_000})
        assert status == 200
        (bubble,) = await world.bubbles("line")
        assert list(bubble["payload"]) == ["left_out"]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"online": 1}', b"x" * 5000])
async def test_a_switch_is_a_small_object(body):
    async with running() as world:
        assert (await world.call("POST", f"/sandbox/phones/whatsapp/{BUDI.phone}", data=body))[0] == 400
        assert (await world.call("POST", "/sandbox/phones/whatsapp/1", data=b"{}"))[0] == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "{url}"}, 200),
        ({"Origin": "{url}", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
async def test_another_sites_page_may_not_switch_or_reset(headers, status):
    async with running() as world:
        sent = {name: value.format(url=world.server.url) for name, value in headers.items()}
        for path in ("/sandbox/reset", f"/sandbox/phones/whatsapp/{BUDI.phone}"):
            assert (await world.call("POST", path, data=b"{}", headers=sent))[0] == status


async def test_the_demo_files_are_served_whole_and_in_parts():
    async with running() as world:
        for name, media in DEMO_FILES.items():
            async with world.http.get(f"{world.server.url}/sandbox/media/{name}") as response:
                assert (response.status, response.content_type) == (200, media.mime_type)
                assert len(await response.read()) == media.size
        url = f"{world.server.url}/sandbox/media/demo.mp4"
        async with world.http.get(url, headers={"Range": "bytes=4-7"}) as response:
            assert (response.status, await response.read()) == (206, b"ftyp")
        for path in ("none.jpg", "..%2Fapp.py", "uploads/1"):
            assert (await world.call("GET", f"/sandbox/media/{path}"))[0] == 404


async def test_the_page_comes_with_a_strict_policy():
    async with running() as world:
        async with world.http.get(world.server.url + "/") as response:
            assert response.url.path == "/phones"
            assert response.content_type == "text/html"
            policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "frame-ancestors 'none'; base-uri 'none'; form-action 'none'" in policy
        assert (await world.call("GET", "/phones/static/phones.js"))[0] == 200
        assert (await world.call("GET", "/sandbox/hint"))[0] == 404
        world.server.sandbox.hint = "curl …"
        assert await world.call("GET", "/sandbox/hint") == (200, {"data": {"curl": "curl …"}})


async def test_the_same_seed_gives_the_same_ids_and_none_gives_new_ones():
    async def wamid(seed):
        async with SandboxServer(demo_config(seed=seed)) as server, aiohttp.ClientSession() as http:
            config = server.sandbox.config.whatsapp
            url = f"{server.url}/graph/v26.0/{config.phone_number_id}/messages?access_token={config.access_token}"
            body = {"messaging_product": "whatsapp", "to": BUDI.phone, "type": "text", "text": {"body": "x"}}
            async with http.post(url, json=body) as response:
                return (await response.json())["messages"][0]["id"]

    assert await wamid(7) == await wamid(7)
    assert await wamid(None) != await wamid(None)
