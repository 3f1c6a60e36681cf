"""The sandbox's faults as a client meets them: at the socket, in the platforms' words, in the ledger, by webhook."""

import asyncio
import json
import sys
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import aiohttp
import pytest
from typer.testing import CliRunner

from kurir import demo
from kurir.cli.app import app
from kurir.sandbox import receipts
from kurir.sandbox.app import create_app
from kurir.sandbox.config import CHANNELS, DEMO_LINE, DEMO_TELEGRAM, DEMO_WHATSAPP, demo_config
from kurir.sandbox.faults import Faults
from kurir.sandbox.profiles import Profile, WebhookFaults
from kurir.sandbox.server import SandboxServer
from support.sandbox import ANI, BUDI, PATIENCE, running

TEXT = {"type": "text", "text": {"body": "Hi"}}
SENT = 200


async def put(world, channel="all", **profile):
    status, body = await world.call("PUT", f"/sandbox/faults/{channel}", json=profile)
    assert status == 200, body
    return body["data"]


async def clear(world):
    status, body = await world.call("DELETE", "/sandbox/faults/all")
    assert (status, set(body["data"].values())) == (200, {None})


async def rows(world, after=0):
    status, body = await world.call("GET", f"/sandbox/ledger?after={after}")
    assert status == 200
    return body["data"]


async def send(world, channel, text="Hi"):
    """Send a text to Budi on *channel*; return the status and the answer."""
    if channel == "whatsapp":
        return await world.whatsapp({"type": "text", "text": {"body": text}})
    if channel == "telegram":
        return await world.telegram("sendMessage", text=text)
    if channel == "line":
        return await world.push({"type": "text", "text": text})
    return await world.messenger({"text": text})


def wire(channel):
    """Return a sending request to Budi as bytes."""
    path, body, token = {
        "whatsapp": (
            f"/graph/v26.0/{DEMO_WHATSAPP.phone_number_id}/messages",
            {"messaging_product": "whatsapp", "to": BUDI.phone} | TEXT,
            DEMO_WHATSAPP.access_token,
        ),
        "telegram": (f"/telegram/bot{DEMO_TELEGRAM.token}/sendMessage", {"chat_id": 1001, "text": "Hi"}, ""),
        "line": (
            "/line/v2/bot/message/push",
            {"to": BUDI.line_user_id, "messages": [{"type": "text", "text": "Hi"}]},
            DEMO_LINE.channel_access_token,
        ),
        "messenger": (
            "/graph/v26.0/me/messages",
            {"recipient": {"id": BUDI.psid}, "message": {"text": "Hi"}},
            demo_config().messenger.page_access_token,
        ),
    }[channel]
    raw = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw


async def talk(world, request):
    """Send bytes on a connection of our own; return what came back, and how it ended: "eof" or "reset"."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(world.server.url.rpartition(":")[2]))
    writer.write(request)
    received = b""
    try:
        async with asyncio.timeout(PATIENCE):
            while chunk := await reader.read(65536):
                received += chunk
        return received, "eof"
    except ConnectionResetError:
        return received, "reset"
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


# --- at the socket ------------------------------------------------------------------------------------------------------

NO_ANSWER = {
    "timeout_before": ("eof", False),
    "timeout_after": ("eof", True),
    "cut_before": ("reset", False),
    "cut_after": ("reset", True),
}


@pytest.mark.parametrize("channel", CHANNELS)
async def test_a_message_without_an_answer_is_on_the_phone_only_when_it_was_taken(channel):
    async with running() as world:
        for fault, (ending, taken) in NO_ANSWER.items():
            before = len(await world.bubbles(channel))
            await put(world, channel, **{fault: 1, "hold": 0.02})
            assert await talk(world, wire(channel)) == (b"", ending), fault
            (row,) = (await rows(world))[-1:]
            assert (row["fault"], row["accepted"], row["status"], bool(row["ids"])) == (fault, taken, 0, taken)
            assert len(await world.bubbles(channel)) == before + taken


async def test_an_outage_refuses_connections_without_reading():
    async with running() as world:
        await put(world, outage="refused")
        for channel in CHANNELS:
            received, ending = await talk(world, wire(channel))
            assert (received, ending) == (b"", "reset")
        assert {(row["accepted"], row["status"], row["text"]) for row in await rows(world)} == {(False, 0, "")}


@pytest.mark.parametrize("channel", CHANNELS)
async def test_half_an_answer_ends_where_half_of_its_body_is(channel):
    async with running() as world:
        await put(world, channel, half_body=1)
        received, ending = await talk(world, wire(channel))
        head, _, body = received.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert (len(body), ending) == (length // 2, "eof")
        assert [row["accepted"] for row in await rows(world)] == [True]
        assert len(await world.bubbles(channel)) == 1


@pytest.mark.parametrize("channel", CHANNELS)
async def test_rubbish_is_answered_200_after_acceptance_and_502_before(channel):
    async with running() as world:
        await put(world, channel, garbage=1)
        received, _ = await talk(world, wire(channel).replace(b"Host: x", b"Host: x\r\nConnection: close"))
        head, _, body = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        with pytest.raises(ValueError, match=r"utf-8|JSON|Expecting"):
            json.loads(body)
        await put(world, channel, garbage_before=1)
        status, page = await send(world, channel)
        assert status == 502
        assert page.startswith("<html>")
        assert [(row["accepted"], row["status"]) for row in await rows(world)] == [(True, 200), (False, 502)]
        assert len(await world.bubbles(channel)) == 1


async def test_a_held_connection_does_not_hold_up_a_shutdown():
    async with SandboxServer(demo_config()) as server, aiohttp.ClientSession() as http:
        server.sandbox.faults.put("telegram", Profile(timeout_after=1.0, hold=600.0), 0.0)
        server.sandbox.faults.put("line", Profile(latency=600.0), 0.0)
        bot = f"{server.url}/telegram/bot{DEMO_TELEGRAM.token}/sendMessage"
        held = asyncio.create_task(http.post(bot, json={"chat_id": 1001, "text": "Hi"}))
        slow = asyncio.create_task(http.get(f"{server.url}/line/v2/bot/info"))
        async with asyncio.timeout(PATIENCE):
            with server.sandbox.phones.listen() as listener:
                await listener.changes(PATIENCE)
            await server.stop()
            with pytest.raises(aiohttp.ClientError):
                await held
            with suppress(aiohttp.ClientError):
                await slow


async def test_a_client_that_hangs_up_during_a_latency_was_not_answered():
    async with running() as world:
        await put(world, "telegram", latency=0.2)
        _, writer = await asyncio.open_connection("127.0.0.1", int(world.server.url.rpartition(":")[2]))
        with world.server.sandbox.phones.listen() as listener:
            writer.write(wire("telegram"))
            await listener.changes(PATIENCE)
        assert [row["accepted"] for row in await rows(world)] == [True]
        writer.close()
        async with asyncio.timeout(PATIENCE):
            while (await rows(world))[0]["status"]:
                pass


@pytest.mark.parametrize("fault", ["timeout_after", "cut_before", "half_body"])
async def test_under_another_server_a_fault_that_cuts_says_that_it_cannot(fault):
    application = create_app(demo_config())
    sandbox = application.state.sandbox
    sandbox.faults.put("telegram", Profile(hold=0.0, **{fault: 1.0}), 0.0)
    body, told = json.dumps({"chat_id": 1001, "text": "Hi"}).encode(), []
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/telegram/bot{DEMO_TELEGRAM.token}/sendMessage",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }

    async def receive():
        return {"type": "http.request", "body": body}

    async def keep(message):
        told.append(message)

    await application(scope, receive, keep)
    assert told[0]["status"] == 501
    assert b"kurir sandbox" in told[1]["body"]
    await sandbox.close()


async def test_a_request_that_breaks_off_is_none():
    async with running() as world:
        _, writer = await asyncio.open_connection("127.0.0.1", int(world.server.url.rpartition(":")[2]))
        writer.write(wire("telegram")[:-5])
        await writer.drain()
        writer.close()
        await send(world, "line")
        assert [row["channel"] for row in await rows(world)] == ["line"]


# --- in the platforms' words --------------------------------------------------------------------------------------------


async def test_errors_are_the_platforms_own_and_nothing_arrives():
    async with running() as world:
        await put(world, errors=1, error="500")
        told = {channel: await send(world, channel) for channel in CHANNELS}
        assert {status for status, _ in told.values()} == {500}
        assert told["whatsapp"][1]["error"]["code"] == 131000
        assert told["messenger"][1]["error"]["code"] == 2
        assert told["telegram"][1] == {"ok": False, "error_code": 500, "description": "Internal Server Error"}
        assert told["line"][1] == {"message": "Internal Server Error"}
        assert [await world.bubbles(channel) for channel in CHANNELS] == [[], [], [], []]


async def test_throttles_name_the_wait_where_the_platform_does():
    async with running() as world:
        await put(world, throttle=1, retry_after=3)
        told, waits = {}, {}
        for channel in CHANNELS:
            received, _ = await talk(world, wire(channel).replace(b"Host: x", b"Host: x\r\nConnection: close"))
            head, _, body = received.partition(b"\r\n\r\n")
            told[channel] = json.loads(body)
            headers = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:])
            waits[channel] = headers["retry-after"]
        assert set(waits.values()) == {"3"}
        assert told["telegram"] == {
            "ok": False,
            "error_code": 429,
            "description": "Too Many Requests: retry after 3",
            "parameters": {"retry_after": 3},
        }
        assert told["line"]["message"] == "The API rate limit has been exceeded. Try again later."
        assert told["whatsapp"]["error"]["code"] in (130429, 131056)
        assert told["messenger"]["error"]["code"] == 613
        assert [row["early"] for row in await rows(world)] == [False] * 4
        for channel in ("telegram", "line", "messenger"):
            await send(world, channel)
        later = await rows(world, 4)
        assert [row["early"] for row in later] == [True] * 3
        assert all(1 <= row["wait"] <= 3 for row in later)


async def test_a_true_rate_throttles_what_goes_beyond_it():
    async with running() as world:
        await put(world, rate=0.01, retry_after=9)
        for channel in CHANNELS:
            assert [(await send(world, channel))[0] == SENT for _ in range(3)] == [True, False, False]
        found = [(row["accepted"], row["fault"], row["early"]) for row in await rows(world)]
        assert Counter(found) == {(True, "", False): 4, (False, "rate", False): 4, (False, "rate", True): 4}


async def test_a_refused_message_takes_nothing_of_a_true_rate():
    async with running() as world:
        await put(world, "telegram", rate=0.01)
        assert (await world.telegram("sendMessage", text=""))[0] == 400
        assert (await send(world, "telegram"))[0] == SENT


async def test_blocked_people_are_refused_but_on_line_nothing_is_said():
    async with running() as world:
        await put(world, blocked=1)
        told = {channel: await send(world, channel) for channel in CHANNELS}
        assert told["telegram"][1]["description"] == "Forbidden: bot was blocked by the user"
        assert told["whatsapp"][1]["error"]["code"] == 131026
        assert (told["messenger"][1]["error"]["code"], told["messenger"][1]["error"]["error_subcode"]) == (551, 1545041)
        assert told["line"][0] == SENT
        assert told["line"][1]["sentMessages"][0]["id"]
        assert [await world.bubbles(channel) for channel in CHANNELS] == [[], [], [], []]
        await clear(world)
        assert (await send(world, "line"))[0] == SENT
        assert len(await world.bubbles("line")) == 1


async def test_a_used_up_month_is_lines_own():
    async with running() as world:
        await put(world, "line", quota=True)
        assert await send(world, "line") == (429, {"message": "You have reached your monthly limit."})
        for channel in ("telegram", "all"):
            status, body = await world.call("PUT", f"/sandbox/faults/{channel}", json={"quota": True})
            assert (status, body["field"]) == (400, "quota")


async def test_an_expired_token_refuses_every_endpoint():
    async with running() as world:
        await put(world, expired_token=True)
        told = [await send(world, channel) for channel in CHANNELS]
        told += [await world.telegram("getMe"), await world.call("GET", "/line/v2/bot/info")]
        told += [await world.call("GET", "/graph/v26.0/me"), await world.telegram("sendChatAction", action="typing")]
        assert {status for status, _ in told} == {401}
        graph = [body["error"] for _, body in told if "error" in body]
        assert {(error["code"], error["error_subcode"]) for error in graph} == {(190, 463)}


async def test_an_outage_answers_every_endpoint_with_a_page():
    async with running() as world:
        await put(world, outage="503")
        told = [await send(world, channel) for channel in CHANNELS]
        told += [await world.telegram("getMe"), await world.call("GET", "/line/v2/bot/info")]
        assert {status for status, _ in told} == {503}
        assert all(page.startswith("<html>") for _, page in told)
        assert (await world.call("GET", "/sandbox/phones"))[0] == 200, "the sandbox's own routes go on"
        assert len(await rows(world)) == 4, "the ledger is of messages"


async def test_metas_usage_headers_are_on_every_answer():
    async with running() as world:
        await put(world, usage=85, regain_minutes=4, errors=0.5)
        for path, owner, kind in (
            (f"{DEMO_WHATSAPP.phone_number_id}", DEMO_WHATSAPP.waba_id, "whatsapp"),
            ("me", demo_config().messenger.page_id, "messenger"),
        ):
            for method, url in (("GET", path), ("POST", f"{path}/messages")):
                async with world.http.request(method, f"{world.server.url}/graph/v26.0/{url}", json={}) as response:
                    case = json.loads(response.headers["x-business-use-case-usage"])[owner][0]
                    assert (case["type"], case["call_count"], case["estimated_time_to_regain_access"]) == (kind, 85, 4)
                    assert json.loads(response.headers["x-app-usage"])["call_count"] == 85
        async with world.http.get(f"{world.server.url}/line/v2/bot/info") as response:
            assert "x-app-usage" not in response.headers


async def test_latency_holds_the_answer_back_and_not_the_message():
    async with running() as world:
        await put(world, "whatsapp", latency=600)
        sending = asyncio.create_task(send(world, "whatsapp"))
        bubble = await world.bubble_when("whatsapp", lambda one: one["tick"] == "read")
        assert not sending.done()
        assert (await rows(world))[0]["ids"] == [bubble["id"]]
        sending.cancel()


# --- setting and seeing -------------------------------------------------------------------------------------------------


async def test_profiles_are_set_seen_replaced_and_cleared():
    async with running() as world:
        assert (await put(world, "line", latency=0.1)) == dict.fromkeys(CHANNELS) | {"line": {"latency": 0.1}}
        assert (await put(world, "line", jitter=0.1))["line"] == {"jitter": 0.1}
        await put(world, errors=0.5)
        status, body = await world.call("DELETE", "/sandbox/faults/line")
        assert (status, body["data"]["line"], body["data"]["telegram"]) == (200, None, {"errors": 0.5})
        assert (await world.call("GET", "/sandbox/faults"))[1] == body
        await world.call("POST", "/sandbox/reset")
        assert set((await world.call("GET", "/sandbox/faults"))[1]["data"].values()) == {None}


async def test_a_profile_says_how_long_it_lasts_and_ends():
    async with running() as world:
        status, body = await world.call("PUT", "/sandbox/faults/line", json={"quota": True, "seconds": 0.2})
        assert status == 200
        assert 0 < body["left_seconds"]["line"] <= 0.2
        async with asyncio.timeout(PATIENCE):
            while (await send(world, "line"))[0] != SENT:
                pass


@pytest.mark.parametrize(
    ("channel", "content", "status", "said"),
    [
        ("sms", b"{}", 404, "whatsapp, telegram, line, messenger, all"),
        ("line", b'{"errors": 2}', 400, "errors: A number from 0 to 1"),
        ("line", b"{", 400, "not JSON"),
        ("line", b"[" * 5000, 400, "not JSON"),
        ("line", b" " * 17_000, 400, "at most 16384 bytes"),
        ("all", b'{"errors": 1, "error": "131000"}', 400, "error: A transient error of telegram"),
    ],
)
async def test_what_cannot_be_set_is_refused_in_a_sentence_and_changes_nothing(channel, content, status, said):
    async with running() as world:
        await put(world, "line", latency=0.5)
        got, body = await world.call("PUT", f"/sandbox/faults/{channel}", data=content)
        assert got == body["status"] == status
        assert said in body["detail"]
        assert (await world.call("GET", "/sandbox/faults"))[1]["data"]["line"] == {"latency": 0.5}


async def test_another_sites_page_cannot_break_anything():
    async with running() as world:
        for method in ("PUT", "DELETE"):
            foreign = {"Origin": "https://evil.example"}
            got, _ = await world.call(method, "/sandbox/faults/all", json={"errors": 1}, headers=foreign)
            assert got == 403


async def test_listeners_hear_of_faults():
    async with running() as world, world.http.get(f"{world.server.url}/sandbox/events?people=1") as stream:

        async def next_faults():
            async with asyncio.timeout(PATIENCE):
                while (await stream.content.readline()) != b"event: faults\n":
                    pass
                return json.loads((await stream.content.readline())[6:])["data"]

        assert await next_faults() == dict.fromkeys(CHANNELS)
        await put(world, "line", latency=0.1)
        assert (await next_faults())["line"] == {"latency": 0.1}
        await clear(world)
        assert (await next_faults())["line"] is None


async def test_the_same_seed_breaks_the_same_messages_again():
    async with running() as world:
        runs = []
        for _ in range(2):
            await put(world, "line", seed=11, errors=0.2, throttle=0.2, cut_before=0.1, cut_after=0.1, garbage=0.1)
            first = (await rows(world))[-1]["n"] if runs else 0
            for _ in range(30):
                await talk(world, wire("line").replace(b"Host: x", b"Host: x\r\nConnection: close"))
            runs.append([(row["fault"], row["accepted"], row["status"]) for row in await rows(world, first)])
        assert runs[0] == runs[1]
        assert len({fault for fault, _, _ in runs[0]}) >= 4


# --- the ledger ---------------------------------------------------------------------------------------------------------


async def test_the_ledger_tells_what_each_platform_received():
    async with running() as world:
        opaque = {"biz_opaque_callback_data": "part-1"}
        _, whatsapp = await world.whatsapp(TEXT | opaque)
        _, telegram = await world.telegram("sendMessage", text="two", chat_id=ANI.telegram_chat_id)
        key = str(uuid.uuid4())
        _, line = await world.push({"type": "text", "text": "three"}, **{"X-Line-Retry-Key": key})
        _, messenger = await world.messenger({"text": "four", "metadata": "part-4"})
        status, body = await world.call("GET", "/sandbox/ledger")
        assert (status, body["next"], body["dropped"]) == (200, 4, 0)
        shown = [
            (row["n"], row["channel"], row["address"], row["text"], row["ids"], row["key"], row["reference"])
            for row in body["data"]
        ]
        assert shown == [
            (1, "whatsapp", BUDI.phone, "Hi", [whatsapp["messages"][0]["id"]], "", "part-1"),
            (2, "telegram", str(ANI.telegram_chat_id), "two", [str(telegram["result"]["message_id"])], "", ""),
            (3, "line", BUDI.line_user_id, "three", [line["sentMessages"][0]["id"]], key, ""),
            (4, "messenger", BUDI.psid, "four", [messenger["message_id"]], "", "part-4"),
        ]
        assert {(row["accepted"], row["status"], row["fault"], row["early"]) for row in body["data"]} == {
            (True, 200, "", False)
        }
        times = [row["at"] for row in body["data"]]
        assert times == sorted(times)


async def test_the_ledger_holds_what_the_platform_refused_by_itself():
    async with running() as world:
        assert (await world.telegram("sendMessage", text="Hi", chat_id=5))[0] == 400
        assert (await world.telegram("sendChatAction", action="typing"))[0] == 200
        (row,) = await rows(world)
        assert (row["accepted"], row["status"], row["ids"], row["address"], row["fault"]) == (False, 400, [], "5", "")


async def test_a_retry_key_that_line_knows_is_a_repeat_and_no_second_message():
    async with running() as world:
        key = {"X-Line-Retry-Key": str(uuid.uuid4())}
        await put(world, "line", cut_after=1)
        with pytest.raises(aiohttp.ClientError):
            await world.push({"type": "text", "text": "once"}, **key)
        await clear(world)
        status, body = await world.push({"type": "text", "text": "once"}, **key)
        assert status == 409
        first, second = await rows(world)
        assert (first["accepted"], first["status"], first["repeat"]) == (True, 0, False)
        assert (second["accepted"], second["status"], second["repeat"]) == (False, 409, True)
        assert second["ids"] == first["ids"] == [body["sentMessages"][0]["id"]]
        assert len(await world.bubbles("line")) == 1


async def test_the_ledger_is_read_by_pages_and_emptied_by_a_reset():
    async with running() as world:
        for number in range(5):
            await world.telegram("sendMessage", text=str(number))
        seen, after = [], 0
        while True:
            _, body = await world.call("GET", f"/sandbox/ledger?after={after}&limit=2")
            if not body["data"]:
                break
            seen += [row["text"] for row in body["data"]]
            after = body["next"]
        assert (seen, after) == (["0", "1", "2", "3", "4"], 5)
        await world.call("POST", "/sandbox/reset")
        assert await rows(world) == []


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=٣", "limit=0", "limit=10001", "limit=1e3"])
async def test_a_wrong_page_is_refused(query):
    async with running() as world:
        status, body = await world.call("GET", f"/sandbox/ledger?{query}")
        assert (status, body["field"]) == (400, query.partition("=")[0])


async def test_files_arrive_in_the_ledger_with_their_caption():
    async with running() as world:
        form = aiohttp.FormData({"chat_id": "1001", "caption": "A file"})
        form.add_field("document", b"x" * 300_000, filename="a.bin", content_type="application/octet-stream")
        bot = f"/telegram/bot{DEMO_TELEGRAM.token}/sendDocument"
        assert (await world.call("POST", bot, data=form))[0] == SENT
        (row,) = await rows(world)
        assert (row["address"], row["text"], row["accepted"]) == ("1001", "A file", True)


# --- webhooks -----------------------------------------------------------------------------------------------------------
# The receiver checks each signature.


def names(statuses):
    return [status["status"] for status in statuses]


async def test_doubled_webhooks_come_twice_and_are_the_same_bytes():
    async with running() as world:
        await put(world, webhooks={"duplicate": 1})
        await send(world, "whatsapp")
        assert names(await world.receiver.statuses(6)) == ["sent", "sent", "delivered", "delivered", "read", "read"]
        assert world.receiver.raw[0::2] == world.receiver.raw[1::2]


async def test_dropped_webhooks_never_come_and_the_phone_says_so():
    async with running() as world:
        await put(world, webhooks={"drop": 1})
        await send(world, "messenger")
        bubble = await world.bubble_when("messenger", lambda one: one["final"] and one["events"][-1]["answer"])
        assert [event["answer"] for event in bubble["events"][1:]] == ["dropped by a fault"] * 3
        await clear(world)
        await send(world, "messenger")
        assert len(await world.receiver.events(3)) == 3, "only the second message's"


async def test_a_webhook_that_is_kept_back_comes_after_the_next_one(monkeypatch):
    monkeypatch.setattr(receipts, "LATE_SECONDS", 0.2)
    async with running() as world:
        await put(world, webhooks={"reorder": 1})
        await send(world, "whatsapp")
        # "sent" waits for "delivered"; "read" has no successor, and comes when its time is over.
        assert names(await world.receiver.statuses(3)) == ["delivered", "sent", "read"]
        bubble = await world.bubble_when("whatsapp", lambda one: one["events"][-1]["answer"].endswith("200"))
        assert [event["answer"] for event in bubble["events"][1:]] == [
            "kept back by a fault, 200",
            "200",
            "kept back by a fault, 200",
        ]


async def test_late_webhooks_come_late_and_in_the_order_of_their_message():
    async with running() as world:
        profile = Profile(seed=3, webhooks=WebhookFaults(delay=0.3))
        expected = Faults()
        expected.put("whatsapp", profile, 0.0)
        least = sum(expected.webhook("whatsapp", 0.0).delay for _ in range(3))
        await put(world, "whatsapp", seed=3, webhooks={"delay": 0.3})
        loop = asyncio.get_running_loop()
        started = loop.time()
        await send(world, "whatsapp")
        assert names(await world.receiver.statuses(3)) == ["sent", "delivered", "read"]
        assert loop.time() - started >= least > 0


async def test_a_reset_forgets_a_webhook_that_is_kept_back():
    async with running() as world:
        await put(world, webhooks={"reorder": 1})
        await send(world, "whatsapp")
        await world.bubble_when("whatsapp", lambda one: "kept back" in one["events"][-1]["answer"])
        await world.call("POST", "/sandbox/reset")
        await send(world, "messenger")
        await world.receiver.events(3)
        assert all(body["object"] == "page" for body in world.receiver.bodies)


async def test_a_doubled_webhook_that_is_refused_is_posted_again():
    async with running() as world:
        world.receiver.answers = [500, 500]
        await put(world, webhooks={"duplicate": 1})
        await send(world, "whatsapp")
        assert Counter(names(await world.receiver.statuses(8))) == {"sent": 4, "delivered": 2, "read": 2}


# --- refused calls on the phones ----------------------------------------------------------------------------------------


async def refused(world, channel, person="Budi"):
    _, body = await world.call("GET", "/sandbox/phones")
    phones = [phone for phone in body["data"] if phone["channel"] == channel]
    return next(phone["refused"] for phone in phones if phone["person"] == person)


async def test_a_refused_call_is_shown_in_the_platforms_own_words():
    async with running() as world:
        await put(world, throttle=1, retry_after=3)
        said = {
            "whatsapp": ("POST messages", 400, "(#13"),
            "telegram": ("POST sendMessage", 429, "Too Many Requests: retry after 3"),
            "line": ("POST push", 429, "The API rate limit has been exceeded. Try again later."),
            "messenger": ("POST messages", 400, "(#613) Calls to this api have exceeded the rate limit."),
        }
        for channel, (method, status, words) in said.items():
            await send(world, channel)
            (row,) = await rows(world, (await rows(world))[-1]["n"] - 1)
            (call,) = await refused(world, channel)
            assert (call["method"], call["status"], call["fault"]) == (method, status, "throttle")
            assert call["words"].startswith(words)
            assert call["to"] == row["address"]
            assert await refused(world, channel, "Ani") == []
        await put(world, expired_token=True)
        await send(world, "telegram")
        assert [call["words"] for call in await refused(world, "telegram")][1:] == ["Unauthorized"]
        await put(world, outage="503")
        await send(world, "telegram")
        assert (await refused(world, "telegram"))[-1]["words"] == "Service Unavailable, and a page that is no JSON"
        await world.call("POST", "/sandbox/reset")
        assert await refused(world, "telegram") == []


async def test_what_an_emulator_refuses_by_itself_is_shown_and_what_is_taken_or_silent_is_not():
    async with running() as world:
        assert (await world.telegram("sendMessage", text=""))[0] == 400
        (call,) = await refused(world, "telegram")
        assert (call["status"], call["words"], call["fault"]) == (400, "Bad Request: message text is empty", "")
        await world.telegram("sendMessage", chat_id=5, text="Hi")
        assert await refused(world, "telegram") == [call]
        assert [one["to"] for one in await refused(world, "telegram", "Ani")] == ["5"], "nobody's: on the first phone"
        await send(world, "line")
        await put(world, "line", cut_before=1)
        with suppress(aiohttp.ClientError):
            await send(world, "line")
        assert await refused(world, "line") == []


async def test_a_phone_keeps_the_newest_refused_calls(monkeypatch):
    monkeypatch.setattr("kurir.sandbox.phones.MAX_REFUSED", 2)
    async with running() as world:
        await put(world, "telegram", expired_token=True)
        for _ in range(3):
            await send(world, "telegram")
        assert len(await refused(world, "telegram")) == 2


# --- the command line ---------------------------------------------------------------------------------------------------


async def fault(world, *arguments):
    return await asyncio.to_thread(CliRunner().invoke, app, ["sandbox", "fault", *arguments, "--url", world.server.url])


async def test_the_command_sets_shows_and_clears():
    async with running() as world:
        done = await fault(world, "line", "--latency", "0.2", "--webhooks-drop", "0.1", "--quota", "--seconds", "60")
        assert done.exit_code == 0
        wanted = {"latency": 0.2, "quota": True, "seconds": 60.0, "webhooks": {"drop": 0.1}}
        assert (await world.call("GET", "/sandbox/faults"))[1]["data"]["line"] == wanted
        shown = (await fault(world, "--list")).output
        assert "telegram   works" in shown
        told = "the month's messages are used up; answers take 0.2 s; 10 % of the webhooks never come"
        assert f"line       {told}, for 60 s more" in shown.splitlines()
        assert "{" not in shown
        as_json = json.loads((await fault(world, "--list", "--json")).stdout)
        assert as_json["data"]["line"] == wanted
        assert as_json == (await world.call("GET", "/sandbox/faults"))[1] | {"left_seconds": as_json["left_seconds"]}
        done = await fault(
            world, "telegram", "--profile", '{"errors": 0.5, "webhooks": {"delay": 1}}', "--errors", "0.1"
        )
        assert (await world.call("GET", "/sandbox/faults"))[1]["data"]["telegram"] == {
            "errors": 0.1,
            "webhooks": {"delay": 1},
        }
        assert (await fault(world, "--clear")).exit_code == 0
        assert set((await world.call("GET", "/sandbox/faults"))[1]["data"].values()) == {None}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("line", "--errors", "2"), 2, "Invalid value for --errors: A number from 0 to 1"),
        (("line", "--webhooks-drop", "2"), 2, "Invalid value for --webhooks-drop: A number from 0 to 1"),
        (("line", "--profile", '{"errors": 2}'), 2, "Invalid value for --profile: errors: A number from 0 to 1"),
        (("telegram", "--quota"), 2, "Invalid value for --quota: Only LINE has a monthly limit"),
        (("sms", "--errors", "1"), 2, "Invalid value for CHANNEL: there are whatsapp, telegram"),
        (("line",), 2, "name what goes wrong"),
        (("line", "--profile", "{"), 2, "is no JSON"),
        (("line", "--profile", "[]"), 2, "is no JSON object"),
        (("line", "--profile", '{"webhooks": 1}', "--webhooks-drop", "1"), 2, "webhooks is no JSON object"),
        (("line", "--list", "--latency", "1"), 2, "stand alone"),
    ],
)
async def test_the_command_says_what_is_wrong(arguments, code, said):
    async with running() as world:
        done = await fault(world, *arguments)
        assert done.exit_code == code
        assert said in " ".join(done.output.replace("│", " ").split())


async def test_the_command_says_when_there_is_no_sandbox():
    async with running() as world:
        url = world.server.url
    done = await asyncio.to_thread(CliRunner().invoke, app, ["sandbox", "fault", "--list", "--url", url])
    assert done.exit_code == 1
    fix = "start it with «kurir up» or «kurir sandbox», or name another one with --url or --data"
    assert done.stderr == f"the sandbox at {url} was not reached: nothing listens there; {fix}\n"


async def test_the_command_finds_the_sandbox_of_the_running_demo(tmp_path):
    async with running() as world:
        facts = {"url": "http://127.0.0.1:1", "sandbox": world.server.url}
        (tmp_path / demo.FACTS_FILE).write_text(json.dumps(facts), encoding="utf-8")
        words = ["sandbox", "fault", "telegram", "--latency", "1", "--data", str(tmp_path)]
        done = await asyncio.to_thread(CliRunner().invoke, app, words)
        assert (done.exit_code, "telegram   answers take 1 s" in done.stdout.splitlines()) == (0, True)
        elsewhere = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--url", "http://127.0.0.1:1"])
        assert elsewhere.stderr.startswith("the sandbox at http://127.0.0.1:1 was not reached: ")


async def test_the_sandbox_alone_has_people_and_writes_its_ledger(tmp_path):
    path = tmp_path / "ledger.jsonl"
    command = ["-m", "kurir", "sandbox", "--port", "0", "--people", "30", "--seed", "1", "--ledger", str(path)]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(60), aiohttp.ClientSession() as http:
            line = (await process.stderr.readline()).decode()
            url = line.split("listens on ")[1].split(";")[0]
            async with http.get(f"{url}/sandbox/phones") as response:
                phones = (await response.json())["data"]
            assert len(phones) == 4 * 30
            async with http.get(f"{url}/sandbox/phones?people=3") as response:
                assert len((await response.json())["data"]) == 4 * 3
            last = next(phone for phone in phones if (phone["channel"], phone["person"]) == ("telegram", "Person 30"))
            bot = f"{url}/telegram/bot{DEMO_TELEGRAM.token}/sendMessage"
            async with http.post(bot, json={"chat_id": last["address"], "text": "Hi"}) as response:
                assert response.status == SENT
            process.terminate()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    (row,) = [json.loads(one) for one in path.read_text("utf-8").splitlines()]
    assert (row["address"], row["accepted"], row["text"], row["status"]) == (last["address"], True, "Hi", 200)


async def test_a_ledger_that_cannot_be_opened_stops_the_start(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        SandboxServer(replace(demo_config(), ledger=tmp_path / "missing" / "ledger.jsonl"))
