"""Scorecard row 11: a task that is cancelled at any of its suspensions leaves nothing open and loses nothing.

The task that accepts (behind HTTP, and without it), that takes a webhook and that sends is cancelled at its first
suspension, then at its second, until it gets to its end; each time before what it waits for has happened, and just after
it. Then every rule of the store holds, the next write goes through, the slots are free, and what had been accepted is sent.
"""

import itertools
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from kurir import demo
from kurir.domain.status import Status
from kurir.egress import Egress, EgressSettings
from kurir.intake.accept import Taken
from kurir.networks import ip_network
from kurir.sandbox.config import DEMO_MESSENGER, DEMO_WHATSAPP
from kurir.sandbox.receipts import encode, sign
from kurir.store.base import Phase
from support.bodies import TYPES, body
from support.delivering import (
    CLIENT,
    CUT,
    LINE_USER,
    Answers,
    Platform,
    World,
    delivering,
    eventually,
    graph_error,
    line_error,
    refused,
)
from support.hooked_loop import Hook, Point, cancelled_at, hooked
from support.servers import PASSWORD, Running, running

#: The tasks, by the qualified names of their coroutines.
REQUEST, SENDING, WORKING = "RequestResponseCycle.run_asgi", "AccountWorker._send", "AccountWorker._work"
#: A worker goes on for ever, so its points have an end of their own; here it is through with its queue by then.
WORKER_POINTS = 10
LANES = 10
#: No task here is suspended as often as that.
BOUND = 200

pytestmark = [
    pytest.mark.slow,
    pytest.mark.scorecard(11),
    pytest.mark.of_sqlite("cluster/test_cancellation_postgres.py runs it over PostgreSQL"),
]


async def at_every_point(one: Callable[[Point], Awaitable[Hook]]) -> int:
    """Run *one* with each point until the task gets to its end without being cancelled; returns how many there were."""
    points = 0
    for late in (False, True):
        for number in range(1, BOUND):
            hook = await one(Point(number, late))
            if not hook.cancelled:
                assert number > 1, "it was never suspended"
                assert hook.task is not None
                break
            points += 1
        else:
            raise AssertionError(f"it was suspended {BOUND} times and not at its end")
    return points


# --- accept -----------------------------------------------------------------------------------------------------------

TO = {"whatsapp": "6281234567890", "telegram": "tg:1001", "line": LINE_USER, "messenger": "fb:6915551234567890"}


async def test_scorecard_11_accept_cancelled_at_every_point_keeps_the_message_whole_or_not_at_all(tmp_path):
    points = kept = 0
    async with delivering(tmp_path, start=False) as world:
        target = await world.accept("tg:1001")
        for (channel, to), kind, reply in itertools.product(TO.items(), TYPES, ("", target)):

            async def one(point: Point, channel=channel, to=to, kind=kind, reply=reply) -> Hook:
                nonlocal kept
                given = body(kind, recipient=to, reply_id=reply)
                hook, _ = await cancelled_at(world.acceptor.accept(CLIENT, channel, given), point)
                again = await world.acceptor.accept(CLIENT, channel, given)
                assert isinstance(again, Taken)
                assert (await world.message(again.tid)).queued
                kept += again.replayed and hook.cancelled
                return hook

            points += await at_every_point(one)
            assert await world.store.broken_invariants() == []
        await world.dispatcher.start()
        await world.idle(60.0)
        stored = await world.store._study(lambda db: db.execute("SELECT count(*) FROM message").fetchone()[0])
        assert len(world.platform.calls) == stored
    print(
        f"scorecard 11: accept cancelled at {points} points: {kept} kept and repeated, {stored} messages, each sent once"
    )
    assert 0 < kept < points
    assert points >= 200


@dataclass
class Scene:
    """A gateway whose accounts call a platform of the test."""

    up: Running
    platform: Platform

    async def post(self, path: str, raw: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        """POST on a connection of its own; returns (status, body), status 0 where none came."""
        with suppress(aiohttp.ClientError):
            async with aiohttp.request("POST", self.up.url + path, data=raw, headers=headers) as response:
                return response.status, await response.read()
        return 0, b""

    async def send(self, given: dict[str, Any]) -> tuple[int, Any]:
        """Send; head and body come one by one, since a request that comes whole has no task that could be cancelled."""
        headers = {"Auth-username": demo.CLIENT, "Auth-password": PASSWORD, "Content-Type": "application/json"}
        headers["Expect"] = "100-continue"
        return await self.post(f"/telegram/send/{demo.CLIENT}", json.dumps(given).encode(), headers)

    def forget_logins(self) -> None:
        """Let the next login be hashed anew."""
        self.up.gateway._authenticator._successes.clear()


@pytest.fixture
async def scene(tmp_path: Path):
    platform = Platform()

    def to_platform(document: dict[str, Any]) -> None:
        for account in document["clients"][demo.CLIENT]["accounts"]:
            account["api_base"] = platform.url

    async with platform.running(), running(tmp_path, edit=to_platform) as up:
        yield Scene(up, platform)


async def test_scorecard_11_a_request_cancelled_at_every_point_leaves_the_next_one_unharmed(scene):
    points, number = 0, itertools.count(1_000_000)
    tids: dict[str, str] = {}
    for kind, reply, fresh_login in itertools.product(("text", "list"), ("", "unknown"), (False, True)):

        async def one(point: Point, kind=kind, reply=reply, fresh_login=fresh_login) -> Hook:
            given = body(kind, recipient=f"tg:{next(number)}", reply_id=reply)
            if fresh_login:
                scene.forget_logins()
            with hooked(REQUEST, point) as hook:
                status, _ = await scene.send(given)
            assert status == 200 or hook.cancelled
            status, answer = await scene.send(given)
            assert status == 200, answer
            tids[given["id"]] = json.loads(answer)["data"]["tid"]
            assert await scene.up.gateway.store.broken_invariants() == []
            return hook

        points += await at_every_point(one)
    for tid in tids.values():
        await scene.up.until(tid, 1)
    assert len(scene.platform.calls) == len(tids)
    print(f"scorecard 11: an HTTP send cancelled at {points} points: {len(tids)} messages, each sent once")
    assert points >= 32


# --- receive ----------------------------------------------------------------------------------------------------------


def whatsapp_receipt(platform_id: str) -> tuple[str, bytes, dict[str, str]]:
    status = {"id": platform_id, "status": "read", "timestamp": "1790000000", "recipient_id": "628123"}
    number = {"phone_number_id": DEMO_WHATSAPP.phone_number_id}
    change = {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": number, "statuses": [status]}}
    raw = encode({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]})
    return "/webhooks/demo-wa", raw, {"X-Hub-Signature-256": sign(DEMO_WHATSAPP.app_secret, raw)}


def messenger_receipt(platform_id: str) -> tuple[str, bytes, dict[str, str]]:
    event = {
        "sender": {"id": "24312345678907001"},
        "recipient": {"id": DEMO_MESSENGER.page_id},
        "timestamp": 1_790_000_000_000,
        "delivery": {"mids": [platform_id], "watermark": 1},
    }
    raw = encode({"object": "page", "entry": [{"id": DEMO_MESSENGER.page_id, "time": 1, "messaging": [event]}]})
    return "/webhooks/demo-fb", raw, {"X-Hub-Signature-256": sign(DEMO_MESSENGER.app_secret, raw)}


async def test_scorecard_11_a_webhook_cancelled_at_every_point_is_taken_when_the_platform_repeats_it(scene):
    points, number = 0, itertools.count(1)
    receipts = (("whatsapp", "62812345678", whatsapp_receipt), ("messenger", "fb:69155512345678", messenger_receipt))
    for (channel, to, made), _ in itertools.product(receipts, range(3)):

        async def one(point: Point, channel=channel, to=to, made=made) -> Hook:
            given = body(recipient=f"{to}{next(number):02}")
            status, _, answer = await scene.up.send(channel, given)
            assert status == 200, answer
            tid = answer["data"]["tid"]
            found: list[str] = []

            async def sent() -> bool:
                parts = (await scene.up.message(tid))["parts"]
                found[:] = parts[0]["provider_message_ids"] if parts else []
                return bool(found)

            await eventually(sent)
            request = made(found[0])
            with hooked(REQUEST, point) as hook:
                status, _ = await scene.post(*request)
            assert status == 200 or hook.cancelled
            assert (await scene.post(*request))[0] == 200
            assert await scene.up.gateway.store.broken_invariants() == []
            reached = (await scene.up.message(tid))["history"]
            assert len(reached) == len({event["status"] for event in reached}), "no change is told twice"
            await scene.up.until(tid, 3 if channel == "whatsapp" else 2)
            return hook

        points += await at_every_point(one)
    print(f"scorecard 11: a webhook cancelled at {points} points and repeated: every receipt applied once")
    assert points >= 12


# --- dispatch ---------------------------------------------------------------------------------------------------------

LONG = "one " * 1000 + "two " * 1000 + "three " * 400
UNFETCHED = "Bad Request: failed to get HTTP URL content"


@dataclass(frozen=True)
class Sending:
    """A message that is sent while its task is cancelled. *parts* are its calls that the platform takes."""

    channel: str
    to: str
    parts: int
    more: Callable[[World], dict[str, Any]] = lambda _: {}
    answers: Answers | None = None


def _photo(world: World) -> dict[str, Any]:
    world.platform.files["photo.jpg"] = lambda: web.Response(body=b"jpeg", content_type="image/jpeg")
    return {"type": "image", "body": {"media": {"url": f"{world.platform.url}/files/photo.jpg"}}}


def _then_taken(refusal: Callable[[], web.Response]) -> Answers:
    """Refuse the first call of a message, and take what comes then."""
    return lambda request: refusal() if request.number == 1 and request.text != "beside" else None


SENDINGS = {
    "telegram": Sending("telegram", "tg:1001", 1),
    "telegram by phone": Sending("telegram", "6281234567890", 1),
    "telegram in three parts": Sending("telegram", "tg:1001", 3, lambda _: {"body": {"text": LONG}}),
    "telegram uploaded": Sending(
        "telegram", "tg:1001", 1, _photo, lambda request: None if request.files else refused(400, UNFETCHED)
    ),
    "telegram after a fault": Sending("telegram", "tg:1001", 1, answers=_then_taken(lambda: refused(500, "Internal"))),
    "telegram throttled": Sending(
        "telegram", "tg:1001", 1, answers=_then_taken(lambda: refused(429, "Too Many Requests", retry_after=0))
    ),
    "telegram cut off": Sending("telegram", "tg:1001", 1, answers=_then_taken(lambda: CUT)),
    "line": Sending("line", LINE_USER, 1),
    "line after a fault": Sending("line", LINE_USER, 1, answers=_then_taken(lambda: line_error(500, "Internal"))),
    "whatsapp": Sending("whatsapp", "6281234567890", 1),
    "whatsapp after a fault": Sending(
        "whatsapp", "6281234567890", 1, answers=_then_taken(lambda: graph_error(131000, 500))
    ),
    "whatsapp in three parts": Sending("whatsapp", "6281234567890", 3, lambda _: {"body": {"text": LONG}}),
    "messenger": Sending("messenger", "fb:6915551234567890", 1),
    "messenger in six parts": Sending("messenger", "fb:6915551234567890", 6, lambda _: {"body": {"text": LONG}}),
    "messenger after a fault": Sending(
        "messenger", "fb:6915551234567890", 1, answers=_then_taken(lambda: graph_error(2, 500))
    ),
}
BESIDE = {
    "whatsapp": "6281234567899",
    "telegram": "tg:2002",
    "line": "U" + "0b" * 16,
    "messenger": "fb:6915551234567899",
}


@pytest.mark.parametrize("name", SENDINGS)
async def test_scorecard_11_a_sending_cancelled_at_every_point_frees_its_slots_and_is_sent_after_a_restart(
    tmp_path, name
):
    sending, twice = SENDINGS[name], 0
    options = {"concurrency": 1, "unknown_wait_seconds": 0.001}
    async with delivering(tmp_path, start=False, **options) as world:
        await world.link("telegram", "6281234567890", "1001")
        if sending.answers is not None:
            world.platform.answers = sending.answers

        async def one(point: Point) -> Hook:
            nonlocal twice
            world.platform.calls.clear()
            await world.egress.close()
            world.egress = Egress(EgressSettings((ip_network("127.0.0.0/8"),)))  # so that it connects anew
            world.dispatcher = world.new_dispatcher()
            tid = await world.accept(sending.to, name, channel=sending.channel, **sending.more(world))
            with hooked(SENDING, point) as hook:
                await world.dispatcher.start()
                await eventually(lambda: hook.task is not None and hook.task.done())
            assert await world.store.broken_invariants() == []
            beside = await world.accept(BESIDE[sending.channel], "beside", channel=sending.channel)
            await world.ended(beside)  # with one at once: the slot is free
            await world.dispatcher.stop(1.0)
            world.dispatcher = world.new_dispatcher()
            await world.dispatcher.start()
            message = await world.ended(tid)
            await world.dispatcher.stop(1.0)
            assert message.status is (Status.PENDING if sending.channel == "whatsapp" else Status.SENT)
            assert [part.phase for part in message.parts] == [Phase.ANSWERED] * sending.parts
            calls = [call for call in world.platform.calls if call.text != "beside"]
            taken = [call for call in calls if sending.answers is None or sending.answers(call) is None]
            more = len(taken) - sending.parts
            assert 0 <= more <= hook.cancelled, "one call was under way"
            if more:
                assert "unknown" in [attempt.outcome for attempt in message.attempts], "and is told of"
            if sending.channel == "line":
                assert len({call.headers["X-Line-Retry-Key"] for call in taken}) == 1
            words = [call.text for call in taken]
            assert sorted(set(words), key=words.index) == sorted(set(words), key=words[::-1].index, reverse=True)
            twice += more
            return hook

        points = await at_every_point(one)
    print(
        f"scorecard 11: {name}: sending cancelled at {points} points: 0 lost, {twice} called twice, each told of as unknown"
    )
    assert points >= 10


async def test_scorecard_11_on_hold_a_cancelled_sending_is_never_called_twice(tmp_path):
    held = 0
    async with delivering(tmp_path, start=False, unknown_outcome="hold") as world:

        async def one(point: Point) -> Hook:
            nonlocal held
            world.platform.calls.clear()
            world.dispatcher = world.new_dispatcher()
            tid = await world.accept("tg:1001")
            with hooked(SENDING, point) as hook:
                await world.dispatcher.start()
                await eventually(lambda: hook.task is not None and hook.task.done())
            await world.dispatcher.stop(1.0)
            world.dispatcher = world.new_dispatcher()
            await world.dispatcher.start()
            message = await world.ended(tid)
            await world.dispatcher.stop(1.0)
            assert len(world.platform.calls) <= 1
            if message.status is Status.SENT:
                assert len(world.platform.calls) == 1
            else:
                assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")
                held += 1
            return hook

        points = await at_every_point(one)
    print(f"scorecard 11: on hold: sending cancelled at {points} points: 0 called twice, {held} told of as unknown")
    assert 0 < held < points


async def test_scorecard_11_a_worker_cancelled_at_every_point_leaves_its_queue_to_the_next(tmp_path):
    points = stranded = 0
    async with delivering(tmp_path, start=False, concurrency=1) as world:
        for number, late in itertools.product(range(1, WORKER_POINTS + 1), (False, True)):
            world.platform.calls.clear()
            world.dispatcher = world.new_dispatcher()
            tids = [await world.accept(f"tg:{1001 + lane}", str(lane)) for lane in range(LANES)]
            with hooked(WORKING, Point(number, late)) as hook:
                await world.dispatcher.start()

                async def gone_or_through(hook=hook, tids=tids) -> bool:
                    assert hook.task is not None
                    return hook.task.done() or not any([(await world.message(tid)).queued for tid in tids])

                await eventually(gone_or_through)
            await world.dispatcher.stop(1.0)
            assert await world.store.broken_invariants() == []
            stranded += len(world.platform.calls) < LANES
            world.dispatcher = world.new_dispatcher()
            await world.dispatcher.start()
            for tid in tids:
                assert (await world.ended(tid)).status is Status.SENT
            await world.dispatcher.stop(1.0)
            assert sorted(call.text for call in world.platform.calls) == [str(lane) for lane in range(LANES)]
            points += hook.cancelled
    print(
        f"scorecard 11: a worker cancelled at {points} points, {stranded} times with messages left: 0 lost, 0 called twice"
    )
    assert points >= WORKER_POINTS
    assert stranded > WORKER_POINTS / 2
