"""The typed client, with and without asyncio, against a real gateway, and against servers that misbehave."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from kurir.client import AsyncClient, Button, Client, KurirError, Message, MessageStatus, Retries, Status
from kurir.http import events as server_events
from support.bodies import ANI
from support.servers import PASSWORD, running

QUICK = Retries(times=3, first=0.01, longest=1.0)


@dataclass
class Driver:
    """Either client, driven alike: the one without asyncio works in a thread."""

    client: Any

    async def call(self, name: str, /, *args: Any, **more: Any) -> Any:
        async with asyncio.timeout(20):
            if isinstance(self.client, AsyncClient):
                return await getattr(self.client, name)(*args, **more)
            return await asyncio.to_thread(getattr(self.client, name), *args, **more)

    async def take(self, many: Any, count: int | None = None) -> list[Any]:
        """Return what *many* yields, or the first *count*, the loop's body of the last of them ended."""
        async with asyncio.timeout(20):
            if hasattr(many, "__aiter__"):
                found: list[Any] = []
                async with contextlib.aclosing(aiter(many)) as each:
                    while count is None or len(found) < count:
                        try:
                            found.append(await anext(each))
                        except StopAsyncIteration:
                            break
                return found
            return await asyncio.to_thread(lambda: list(itertools.islice(iter(many), count)))

    async def refused(self, name: str, /, *args: Any, **more: Any) -> KurirError:
        with pytest.raises(KurirError) as caught:
            await self.call(name, *args, **more)
        return caught.value

    async def close(self) -> None:
        closed = self.client.close()
        if closed is not None:
            await closed


@asynccontextmanager
async def driving(kind: type[Any], url: str, password: str = PASSWORD, **more: Any) -> AsyncIterator[Driver]:
    driver = Driver(kind(url, "demo", password, retries=QUICK, **{"timeout": 5.0, **more}))
    try:
        yield driver
    finally:
        await driver.close()


both = pytest.mark.parametrize("kind", [Client, AsyncClient])


# --- a real gateway -----------------------------------------------------------------------------------------------------


@both
async def test_a_message_is_sent_once_looked_at_and_listed(tmp_path, kind):
    async with running(tmp_path) as gateway, driving(kind, gateway.url) as driver:
        message = Message.button(ANI, "Yes?", [Button("yes", "Yes")], id="order-1")
        first = await driver.call("send", "telegram", message)
        again = await driver.call("send", "telegram", message)
        assert (first.message_id, first.status, first.replayed) == ("order-1", Status.PENDING, False)
        assert (again.tid, again.replayed) == (first.tid, True)
        await gateway.until(first.tid, 1)
        found = await driver.call("message", first.tid)
        assert (found.status, found.id, found.parts[0].state) == (Status.SENT, "order-1", "answered")
        assert found.attempts[0].status == 200
        assert found.history[-1].status is Status.SENT
        for number in range(4):
            await driver.call("send", "line", Message.text(ANI, f"Hi {number}", id=f"m-{number}").as_json())
        listed = await driver.take(driver.client.messages(page=2))
        assert [one.id for one in listed] == ["m-3", "m-2", "m-1", "m-0", "order-1"]
        assert [one.id for one in await driver.take(driver.client.messages(message_id="m-2"))] == ["m-2"]
        assert await driver.take(driver.client.messages(status=Status.FAILED)) == []


@both
async def test_a_preview_sends_nothing_and_losses_are_counted(tmp_path, kind):
    async with running(tmp_path) as gateway, driving(kind, gateway.url) as driver:
        message = {**Message.text(ANI, "Hi").as_json(), "footer": {"text": "no footer here"}}
        shown = await driver.call("preview", "telegram", message)
        assert shown.parts[0].method == "POST"
        assert shown.parts[0].json["text"] == "Hi"
        assert shown.losses[0].pointer == "/footer"
        assert await driver.take(driver.client.messages()) == []
        assert (await driver.call("send", "telegram", message)).losses == len(shown.losses)


@both
async def test_every_problem_of_a_message_is_in_the_one_error(tmp_path, kind):
    async with running(tmp_path) as gateway, driving(kind, gateway.url) as driver:
        error = await driver.refused("send", "telegram", {"id": "", "type": "text", "body": {}})
        assert (error.code, error.status) == ("invalid_message", 422)
        assert {"/id", "/recipient", "/body/text"} <= {one.pointer for one in error.problems}
        assert error.request_id.startswith("req_")
        assert error.type.endswith("/errors/invalid_message")
        reused = Message.text(ANI, "one", id="same")
        await driver.call("send", "telegram", reused)
        error = await driver.refused("send", "telegram", Message.text(ANI, "two", id="same"))
        assert (error.code, error.status) == ("id_reused", 409)
        assert (await driver.refused("send", "telegraph", reused)).code == "unknown_channel"
        assert (await driver.refused("message", "nothing")).code == "not_found"


@both
async def test_a_message_is_cancelled_and_a_failed_one_sent_again(tmp_path, kind):
    async with running(tmp_path) as gateway, driving(kind, gateway.url) as driver:
        late = {**Message.text(ANI, "Later").as_json(), "send_at": "8999-12-31T23:59:59Z"}
        tid = (await driver.call("send", "telegram", late)).tid
        cancelled = await driver.call("cancel", tid)
        assert (cancelled.status, cancelled.final) == (Status.UNSENT, True)
        assert (await driver.refused("cancel", tid)).code == "already_ended"
        assert (await driver.call("retry", tid)).run == 2


@both
async def test_people_are_linked_found_and_named(tmp_path, kind):
    async with running(tmp_path) as gateway, driving(kind, gateway.url) as driver:
        linked = await driver.call("link_contact", "telegram", "4711", "+62 899 111", name="Citra")
        assert (linked.address, linked.phone, linked.name, linked.blocked) == ("4711", "62899111", "Citra", False)
        assert await driver.take(driver.client.contacts(phone="62899111")) == [linked]
        assert linked in await driver.take(driver.client.contacts(channel="telegram"))
        assert await driver.call("contact", "telegram", "4711", account="demo-tg") == linked
        alone = await driver.call("unlink_contact", "telegram", "4711")
        assert (alone.phone, alone.name, alone.linked_at) == ("", "Citra", None)
        assert (await driver.call("erase_contact", "telegram", "4711"))["contact"] is True
        assert (await driver.refused("contact", "telegram", "4711")).code == "not_found"


@both
async def test_a_link_is_made_and_every_call_makes_another(tmp_path, kind):
    async with running(tmp_path) as gateway, driving(kind, gateway.url) as driver:
        begun = datetime.now(UTC)
        made = await driver.call("make_link", "telegram", phone="628110000009", payload="order 7", expires_in=60)
        assert (made.account, made.phone, made.payload) == ("demo-tg", "628110000009", "order 7")
        assert made.url.endswith(made.token)
        assert timedelta(seconds=55) < made.expires_at - begun < timedelta(seconds=90)
        assert (await driver.call("make_link", "telegram", payload="order 7")).token != made.token
        assert (await driver.refused("make_link", "whatsapp", payload="x")).problems[0].pointer == "/channel"


@both
async def test_a_wrong_password_is_told_and_never_asked_again(tmp_path, kind):
    async with running(tmp_path) as gateway, driving(kind, gateway.url, "wrong — pässword") as driver:
        error = await driver.refused("message", "x")
        assert (error.code, error.status) == ("unauthorized", 401)
        with pytest.raises(KurirError, match="unauthorized"):
            await driver.take(driver.client.stream(), 1)


@both
async def test_events_are_polled_from_a_cursor_that_is_remembered(tmp_path, kind):
    async with running(tmp_path) as gateway, driving(kind, gateway.url) as driver:
        tids = []
        for number in range(5):
            tids.append((await driver.call("send", "telegram", Message.text(ANI, "Hi", id=f"m-{number}"))).tid)
            await gateway.until(tids[-1], 1)
        feed = driver.client.events(follow=False, limit=2)
        found = await driver.take(feed)
        assert [one.tid for one in found] == tids
        assert all(isinstance(one, MessageStatus) and one.status is Status.SENT for one in found)
        assert feed.cursor == found[-1].id
        assert await driver.take(driver.client.events(feed.cursor, follow=False)) == []
        waiting = asyncio.create_task(driver.take(driver.client.events(feed.cursor, wait=10), 1))
        tid = (await driver.call("send", "telegram", Message.text(ANI, "Hi"))).tid
        assert [one.tid for one in await waiting] == [tid]


@both
async def test_the_cursor_is_past_what_was_worked_on_and_not_past_what_was_only_read(tmp_path, kind):
    async with running(tmp_path) as gateway, driving(kind, gateway.url) as driver:
        for number in range(3):
            sent = await driver.call("send", "telegram", Message.text(ANI, "Hi", id=f"m-{number}"))
            await gateway.until(sent.tid, 1)
        for feed in (driver.client.events("0"), driver.client.stream("0")):
            first, second = await driver.take(feed, 2)
            assert feed.cursor == first.id, "the body of the second one has not ended"
            assert second.message_id == "m-1"


@both
async def test_a_stream_that_ends_is_taken_up_where_it_ended(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(server_events, "STREAM_SECONDS", 0.3)
    told: list[str] = []
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_outage(error: KurirError, _: float) -> None:
        told.append(error.code)
        loop.call_soon_threadsafe(ended.set)

    async with running(tmp_path) as gateway, driving(kind, gateway.url) as driver:
        stream = driver.client.stream("0", on_outage=on_outage)
        waiting = asyncio.create_task(driver.take(stream, 6))
        tids = []
        for number in range(6):
            tids.append((await driver.call("send", "telegram", Message.text(ANI, "Hi", id=f"m-{number}"))).tid)
            await gateway.until(tids[-1], 1)
            if number == 2:
                await asyncio.wait_for(ended.wait(), 10)
        assert [one.tid for one in await waiting] == tids, "each once, in order"
        assert set(told) == {"stream_ended"}


# --- servers that misbehave ---------------------------------------------------------------------------------------------

ACCEPTED = {"meta": {}, "data": {"message_id": "m", "status": 0, "tid": "t"}}
Act = Callable[[web.Request], Any]


def answered(status: int, body: Any = None, **headers: str) -> Act:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: web.Response(
        status=status,
        body=json.dumps({} if body is None else body),
        headers={"Content-Type": "application/json", **given},
    )


async def cut(request: web.Request) -> web.Response:
    """Close the connection without an answer."""
    await request.read()
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def half(request: web.Request) -> web.StreamResponse:
    """Answer with fewer bytes than were announced."""
    response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"data": {')
    assert request.transport is not None
    request.transport.close()
    return response


BUSY = {"code": "overloaded", "detail": "busy"}


@dataclass
class Fake:
    """Answers each request with the next of ``acts``, and keeps what was asked."""

    acts: list[Act]
    url: str = ""
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path_qs, await request.read()))
        self.headers.append(request.headers)
        found = self.acts.pop(0)(request)
        return await found if asyncio.iscoroutine(found) else found


@asynccontextmanager
async def faking(*acts: Act) -> AsyncIterator[Fake]:
    fake = Fake(list(acts))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/chat"
    try:
        yield fake
    finally:
        await runner.cleanup()


@both
@pytest.mark.parametrize("act", [answered(503, BUSY), answered(429, BUSY, Retry_After="0"), answered(502), cut, half])
async def test_a_send_is_repeated_with_the_same_id(kind, act):
    async with faking(act, act, answered(200, ACCEPTED)) as fake, driving(kind, fake.url) as driver:
        assert (await driver.call("send", "line", Message.text(ANI, "Hi"))).tid == "t"
        assert len(fake.asked) == 3
        assert len(set(fake.asked)) == 1, "the very same request each time"
        assert fake.asked[0][:2] == ("POST", "/chat/line/send/demo")


@both
async def test_repeats_end(kind):
    async with faking(*[answered(503, BUSY)] * 4) as fake, driving(kind, fake.url) as driver:
        error = await driver.refused("send", "line", Message.text(ANI, "Hi"))
        assert (error.code, error.status, len(fake.asked)) == ("overloaded", 503, 4)


@both
@pytest.mark.parametrize("verb", ["cancel", "retry"])
async def test_what_might_be_done_twice_is_not_repeated_when_nobody_knows(kind, verb):
    async with faking(cut) as fake, driving(kind, fake.url) as driver:
        assert (await driver.refused(verb, "t")).code == "no_answer"
        assert len(fake.asked) == 1
    async with faking(answered(503, BUSY), answered(409, {"code": "c", "detail": "d"})) as fake:
        async with driving(kind, fake.url) as driver:
            assert (await driver.refused(verb, "t")).code == "c"
        assert len(fake.asked) == 2, "a 503 says that nothing was done"


@both
async def test_a_gateway_that_is_not_there_is_told_after_a_few_tries(kind):
    async with faking() as fake:
        url = fake.url
    async with driving(kind, url) as driver:
        assert (await driver.refused("cancel", "t")).code == "not_reached"
        stream = driver.client.stream(patience=0.2)
        with pytest.raises(KurirError, match="not_reached"):
            await driver.take(stream)


@both
async def test_a_server_that_says_nothing_is_given_up(kind):
    async def hang(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with faking(*[hang] * 4) as fake, driving(kind, fake.url, timeout=0.1) as driver:
        assert (await driver.refused("message", "t")).code == "no_answer"
        assert len(fake.asked) == 4


@both
@pytest.mark.parametrize("body", [[], {}, {"data": 5}, {"data": {"tid": 5}}])
async def test_an_answer_that_is_no_gateways_is_told_and_not_asked_again(kind, body):
    async with faking(answered(200, body)) as fake, driving(kind, fake.url) as driver:
        assert (await driver.refused("send", "line", {})).code == "unreadable_answer"


@both
async def test_an_answer_without_end_costs_bounded_memory(kind, monkeypatch):
    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x" * 65536)
        return response

    monkeypatch.setattr("kurir.client.calls.LARGEST_ANSWER", 1_000_000)
    async with faking(flood) as fake, driving(kind, fake.url) as driver:
        assert "larger" in (await driver.refused("message", "t")).detail


@both
async def test_a_redirect_is_not_followed_and_takes_no_password_along(kind):
    async with faking(answered(302, Location="http://127.0.0.1:1/")) as fake, driving(kind, fake.url) as driver:
        assert (await driver.refused("message", "t")).status == 302


@both
async def test_a_password_arrives_as_it_is_written(kind):
    async with faking(answered(200, ACCEPTED)) as fake, driving(kind, fake.url, "pässwörd €") as driver:
        await driver.call("send", "line", {})
        assert fake.headers[0]["Auth-password"].encode("utf-8", "surrogateescape") == "pässwörd €".encode()


async def test_a_connection_is_kept_and_one_that_was_closed_meanwhile_is_no_error():
    ports: list[Any] = []

    def once(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.append(request.transport.get_extra_info("peername"))
        response = web.json_response(ACCEPTED)
        if len(ports) == 2:
            asyncio.get_running_loop().call_later(0.05, request.transport.close)
        return response

    async with faking(once, once, once) as fake:
        async with driving(Client, fake.url) as driver:
            driver.client._retries = Retries(times=0)
            await driver.call("send", "line", {})
            await driver.call("send", "line", {})
            await asyncio.sleep(0.1)
            await driver.call("send", "line", {})
        assert ports[0] == ports[1] != ports[2]


EVENT = {
    "id": "5",
    "type": "message.status",
    "timestamp": "2026-11-22T09:00:00Z",
    "data": {"tid": "t", "message_id": "m", "recipient": "r", "status": 1},
}


def streaming(*frames: str) -> Act:
    """Send *frames*, and break off in the middle of another."""

    async def act(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for one in [*frames, 'id: 99\ndata: {"cut']:
            await response.write(one.encode())
        assert request.transport is not None
        request.transport.close()
        return response

    return act


def frame(number: int) -> str:
    return f"id: {number}\ndata: {json.dumps({**EVENT, 'id': str(number)})}\n\n"


@both
async def test_a_stream_that_breaks_off_goes_on_after_the_last_whole_event(kind):
    acts = (streaming("id: 4\n\n"), answered(503, BUSY), streaming(frame(5), frame(6)), streaming(frame(7)))
    async with faking(*acts) as fake, driving(kind, fake.url) as driver:
        stream = driver.client.stream()
        assert [one.id for one in await driver.take(stream, 3)] == ["5", "6", "7"]
        assert [path for _, path, _ in fake.asked] == [
            "/chat/v1/events/stream",
            "/chat/v1/events/stream?after=4",
            "/chat/v1/events/stream?after=4",
            "/chat/v1/events/stream?after=6",
        ]


@both
async def test_events_go_on_over_an_outage(kind):
    page = {"data": [EVENT], "next": "5"}
    acts = (cut, answered(503, BUSY), answered(200, page), answered(200, {"data": [], "next": "5"}))
    async with faking(*acts) as fake, driving(kind, fake.url) as driver:
        feed = driver.client.events("3", follow=False)
        assert [one.id for one in await driver.take(feed)] == ["5"]
        assert feed.cursor == "5"
        assert fake.asked[-1][1] == "/chat/v1/events?after=5&limit=100"


@both
async def test_an_erasure_names_the_account_and_gives_what_the_gateway_says(kind):
    async with faking(answered(200, {"data": {"messages": 3}})) as fake, driving(kind, fake.url) as driver:
        assert await driver.call("erase_contact", "line", "U1/2", account="a b") == {"messages": 3}
        assert fake.asked[0][:2] == ("DELETE", "/chat/v1/contacts/line/U1%2F2?account=a+b")
