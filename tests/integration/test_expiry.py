"""Scorecard row 23: what is past its expiry is never sent, whatever kept it, and ends with the status that is true of it.

The time is the test's: a real store, dispatcher, upkeep, egress and callbacks, with a platform on loopback that counts what
reaches it, and an endpoint of the client's that keeps what it is told.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kurir.callbacks.deliverer import Deliverer
from kurir.callbacks.keys import Keys
from kurir.clock import FakeClock
from kurir.domain.status import Status
from kurir.store.base import Declared, EndpointRecord, Mark, Store, Turn
from kurir.store.sqlite import SqliteStore
from kurir.upkeep import Upkeep
from support import delivering as support
from support.delivering import CLIENT, CUT, World, eventually, graph_error, records, refused
from support.endpoint import RecordingEndpoint, recording
from support.records import receipt

pytestmark = pytest.mark.scorecard(23)

HOUR, DAY = 3_600, 86_400
RETENTION = timedelta(days=90)
TELEGRAM, MESSENGER = f"{CLIENT}-telegram", f"{CLIENT}-messenger"
TO = "tg:1001"
PSID = "fb:6915551234567890"
#: Of two parts on Messenger, which takes 2,000 characters in one.
LONG = "first part. " * 160 + "second part. " * 40


@dataclass
class Ear:
    """The client's endpoint, and what the gateway knows of it."""

    hook: RecordingEndpoint
    deliverer: Deliverer
    store: Store
    id: str

    async def told(self, tid: str) -> list[tuple[int, str]]:
        """Return (status, code of the error) of every callback of the message, once nothing is owed any more."""

        async def nothing_owed() -> bool:
            self.deliverer.wake(CLIENT)
            found = await self.store.endpoint(self.id)
            assert found is not None
            return found.pending == 0

        await eventually(nothing_owed)
        calls = [json.loads(one.body)["data"] for one in self.hook.received]
        return [(one["status"], (one["error"] or {"code": ""})["code"]) for one in calls if one["tid"] == tid]


class Heard(World):
    """A world whose client has an endpoint."""

    ear: Ear


@asynccontextmanager
async def delivering(folder: Path, **more: Any) -> AsyncIterator[Heard]:
    async with support.delivering(folder, **more) as world, recording() as hook:
        record = EndpointRecord(CLIENT, hook.url, "standard", ("*",), b"")
        endpoint = await world.store.put_endpoint(record, world.clock.now())
        keys = Keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        deliverer = Deliverer(world.store, world.egress, world.clock, lambda _: keys)
        await deliverer.start()
        world.ear = Ear(hook, deliverer, world.store, endpoint.id)
        try:
            yield world
        finally:
            await deliverer.stop(1.0)


def _figures(what: str, calls: int) -> None:
    print(f"scorecard 23: {what}: ended as expired, {calls} calls after expiry, one callback of it")


async def _ends(world: Heard, tid: str, status: Status, code: str) -> None:
    message = await world.ended(tid)
    assert message.error is not None
    assert (message.status, message.error.code) == (status, code)
    assert message.history[-1].error == message.error
    assert [event.status for event in message.history].count(status) == 1
    changes = [(int(one.status), one.error.code if one.error else "") for one in message.history if one.status]
    assert await world.ear.told(tid) == changes
    assert changes.count((status, code)) == 1


async def _waits(world: Heard, tid: str) -> None:
    """Return when the message was tried and waits for its next try."""
    await world.when(tid, lambda message: message.reason is not None and message.attempts)


async def _tick(world: Heard, clock: FakeClock, seconds: float) -> None:
    clock.move(seconds)
    world.wake()


async def _upkeep(world: Heard) -> int:
    return await Upkeep(world.store, world.clock, RETENTION).expire()


def _busy_for(seconds: int):
    return lambda _: refused(429, "Too Many Requests", retry_after=seconds)


# --- at claim ------------------------------------------------------------------------------------------------------------


async def test_what_expired_before_it_is_claimed_is_not_sent(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock, start=False) as world:
        late = await world.accept(TO, expires_in=60)
        just = await world.accept("tg:1002", expires_in=61)
        clock.move(60)
        await world.dispatcher.start()
        await _ends(world, late, Status.UNSENT, "expired")
        assert (await world.ended(just)).status is Status.SENT
        assert [call.to for call in world.platform.calls] == ["1002"]
        assert (await world.message(late)).parts == ()
    _figures("at claim", 0)


async def test_what_expires_while_its_account_is_paused_is_not_sent_when_that_goes_on(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        await world.dispatcher.pause(TELEGRAM)
        first, second = await world.accept(TO, expires_in=60), await world.accept(TO, expires_in=HOUR)
        await _tick(world, clock, 60)
        assert await _upkeep(world) == 1
        await _ends(world, first, Status.UNSENT, "expired")
        await _tick(world, clock, HOUR)
        await world.dispatcher.resume(TELEGRAM)  # upkeep has not come by: the worker is the first to see it
        await _ends(world, second, Status.UNSENT, "expired")
        assert world.platform.calls == []
    _figures("while paused", 0)


async def test_what_waits_behind_another_in_its_lane_expires_there(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        world.platform.answers = _busy_for(HOUR)
        head = await world.accept(TO, "head", expires_in=DAY)
        await world.platform.called(1)
        behind = await world.accept(TO, "behind", expires_in=60)
        await _tick(world, clock, 60)
        assert await _upkeep(world) == 1
        await _ends(world, behind, Status.UNSENT, "expired")
        world.platform.answers = lambda _: None
        await _tick(world, clock, HOUR + 60)
        assert (await world.ended(head)).status is Status.SENT
        assert {call.text for call in world.platform.calls} == {"head"}
    _figures("behind another", 0)


async def test_what_was_to_be_sent_later_and_expired_meanwhile_is_not_sent(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock, start=False) as world:
        due = (clock.now() + timedelta(hours=1)).isoformat()
        tid = await world.accept(TO, send_at=due, expires_in=60)
        message = await world.message(tid)
        assert message.expires_at - message.due_at == timedelta(seconds=60)
        clock.move(HOUR + 60)
        await world.dispatcher.start()
        await _ends(world, tid, Status.UNSENT, "expired")
        assert world.platform.calls == []
    _figures("with send_at", 0)


# --- at retry --------------------------------------------------------------------------------------------------------------


async def test_what_expires_between_two_tries_is_not_tried_again(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        world.platform.answers = _busy_for(HOUR)
        tid = await world.accept(TO, expires_in=2 * HOUR)
        await _waits(world, tid)
        world.platform.answers = lambda _: None
        calls = len(world.platform.calls)
        await _tick(world, clock, 2 * HOUR)
        await _ends(world, tid, Status.FAILED, "expired")
        assert len(world.platform.calls) == calls == 1
        assert [each.outcome for each in (await world.message(tid)).attempts] == ["retry", "expired"]
    _figures("at retry", 0)


async def test_a_wait_that_would_outlast_the_message_ends_it_at_once(tmp_path):
    async with delivering(tmp_path, clock=FakeClock()) as world:
        world.platform.answers = _busy_for(HOUR)
        tid = await world.accept(TO, expires_in=60)
        await _ends(world, tid, Status.FAILED, "attempts_exhausted")
        assert len(world.platform.calls) == 1


async def test_what_expires_after_an_answer_that_nobody_could_read_is_in_doubt(tmp_path):
    """A copy may have left: no status says that it was not sent, and none that it was."""
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock, unknown_outcome="resend", unknown_wait_seconds=HOUR) as world:
        world.platform.answers = lambda _: CUT
        tid = await world.accept(PSID, channel="messenger", expires_in=2 * HOUR)
        await _waits(world, tid)
        calls = len(world.platform.calls)
        world.platform.answers = lambda _: None
        await _tick(world, clock, 2 * HOUR)
        await _ends(world, tid, Status.FAILED, "outcome_unknown")
        assert len(world.platform.calls) == calls == 1
    _figures("in doubt", 0)


async def test_of_a_message_that_was_sent_in_part_the_rest_expires(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        world.platform.answers = lambda request: None if "first" in request.text else _limited(request)
        tid = await world.accept(PSID, LONG, channel="messenger", expires_in=HOUR)
        await world.when(tid, lambda message: len(message.parts) == 2 and message.reason is not None)
        await world.dispatcher.pause(MESSENGER)
        calls = len(world.platform.calls)
        world.platform.answers = lambda _: None
        clock.move(HOUR)
        await world.dispatcher.resume(MESSENGER)
        await _ends(world, tid, Status.FAILED, "expired")
        assert len(world.platform.calls) == calls
        assert [part.status for part in (await world.message(tid)).parts] == [Status.SENT, Status.FAILED]
    _figures("sent in part", 0)


def _limited(_):
    return graph_error(613)


# --- after an outage ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _after_the_kill(folder, world: Heard, hours: float):
    """Another process over what a killed one left on disk, so many hours later."""
    copy = folder / "killed"
    copy.mkdir()
    for file in folder.glob("kurir.db*"):
        shutil.copy(file, copy)
    clock = FakeClock(world.clock.now() + timedelta(hours=hours))
    async with delivering(copy, clock=clock, store=SqliteStore(copy / "kurir.db")) as later:
        yield later


@pytest.mark.of_sqlite("its file is copied under a process that runs on")
async def test_after_two_hours_without_a_process_nothing_stale_is_sent(tmp_path):
    """Not begun, waiting for its next try, in the middle of its call when the process was killed, and one still alive."""
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        asked = []
        released = asyncio.Event()

        async def answers(request):
            asked.append(request.text)
            if request.text == "waits":
                return refused(429, "Too Many Requests", retry_after=600)
            if request.text == "in flight":
                await released.wait()
            return None

        world.platform.answers = answers
        in_flight = await world.accept(TO, "in flight", expires_in=HOUR)
        await eventually(lambda: "in flight" in asked)
        waits = await world.accept("tg:1002", "waits", expires_in=HOUR)
        await _waits(world, waits)
        await world.dispatcher.pause(TELEGRAM)
        fresh = await world.accept("tg:1003", "not begun", expires_in=HOUR)
        alive = await world.accept("tg:1004", "alive", expires_in=DAY)
        async with _after_the_kill(tmp_path, world, 2) as later:
            assert await _upkeep(later) == 3  # nobody works for an account that is still paused
            await later.dispatcher.resume(TELEGRAM)
            await _ends(later, fresh, Status.UNSENT, "expired")
            await _ends(later, waits, Status.FAILED, "expired")
            await _ends(later, in_flight, Status.FAILED, "outcome_unknown")
            assert (await later.ended(alive)).status is Status.SENT
            assert [call.text for call in later.platform.calls] == ["alive"]
        released.set()
        await world.ended(in_flight)
    _figures("after an outage of 2 h, 3 stale of 4", 0)


# --- a disabled account ------------------------------------------------------------------------------------------------------


async def test_of_an_account_that_was_taken_out_everything_expires_unsent(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        world.platform.answers = _busy_for(600)
        begun = await world.accept(TO, "begun", expires_in=2 * HOUR)
        await _waits(world, begun)
        untouched = await world.accept(TO, "untouched", expires_in=2 * HOUR)
        await world.dispatcher.stop(1.0)
        calls = len(world.platform.calls)
        declared = records(world.platform.url)
        rest = tuple(account for account in declared.accounts if account.id != TELEGRAM)
        await world.store.declare(Declared(declared.clients, rest), clock.now())
        await world.directory.reload(world.store)
        world.dispatcher = world.new_dispatcher()
        await world.dispatcher.start()
        clock.move(2 * HOUR - 1)
        assert await _upkeep(world) == 0
        clock.move(1)
        assert await _upkeep(world) == 2
        await _ends(world, untouched, Status.UNSENT, "expired")
        await _ends(world, begun, Status.FAILED, "expired")
        assert len(world.platform.calls) == calls == 1
    _figures("of a disabled account", 0)


# --- clocks ------------------------------------------------------------------------------------------------------------------


async def test_a_clock_that_jumps_ahead_expires_what_is_past_by_it_and_sends_the_rest(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        await world.dispatcher.pause(TELEGRAM)
        short, long = await world.accept(TO, "short", expires_in=HOUR), await world.accept("tg:1002", "long")
        clock.jump(2 * HOUR)
        await world.dispatcher.resume(TELEGRAM)
        await _ends(world, short, Status.UNSENT, "expired")
        assert (await world.ended(long)).status is Status.SENT
        assert [call.text for call in world.platform.calls] == ["long"]
    _figures("after a jump ahead", 0)


async def test_a_clock_that_is_set_back_neither_expires_nor_delays_a_message(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        await world.dispatcher.pause(TELEGRAM)
        tid = await world.accept(TO, expires_in=60)
        clock.jump(-DAY)
        assert await _upkeep(world) == 0
        await world.dispatcher.resume(TELEGRAM)
        assert (await world.ended(tid)).status is Status.SENT


async def test_a_clock_that_jumped_ahead_and_is_set_right_brings_nothing_back(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        await world.dispatcher.pause(TELEGRAM)
        tid = await world.accept(TO, expires_in=60)
        clock.jump(DAY)
        assert await _upkeep(world) == 1
        clock.jump(-DAY)
        await world.dispatcher.resume(TELEGRAM)
        world.wake()
        other = await world.accept(TO, "other")
        await world.ended(other)
        await _ends(world, tid, Status.UNSENT, "expired")
        assert [call.text for call in world.platform.calls] == ["other"]
    _figures("after a jump that was taken back", 0)


# --- a new run ---------------------------------------------------------------------------------------------------------------


async def test_an_expired_message_that_is_retried_has_its_life_again_and_expires_again(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        await world.dispatcher.pause(TELEGRAM)
        tid, other = await world.accept(TO, expires_in=60), await world.accept("tg:1002", "other", expires_in=60)
        clock.move(60)
        assert await _upkeep(world) == 2
        for each in (tid, other):
            assert await world.store.retry(CLIENT, each, clock.now()) is Turn.DONE
        clock.move(59)
        assert await _upkeep(world) == 0
        await world.store.cancel(CLIENT, other, clock.now())
        await world.dispatcher.resume(TELEGRAM)
        assert (await world.ended(tid)).status is Status.SENT
        await world.dispatcher.pause(TELEGRAM)
        await world.store.retry(CLIENT, other, clock.now())
        clock.move(200_000)
        await world.dispatcher.resume(TELEGRAM)
        message = await world.ended(other)
        assert (message.status, message.error and message.error.code) == (Status.UNSENT, "expired")
        assert [call.to for call in world.platform.calls] == ["1001"]
        expired, cancelled = (Status.UNSENT, "expired"), (Status.UNSENT, "cancelled")
        assert await world.ear.told(tid) == [expired, (Status.SENT, "")]
        assert await world.ear.told(other) == [expired, cancelled, expired], "one for each of its three runs"
    _figures("in a second and third run", 0)


async def test_a_new_run_that_expires_before_its_first_part_fails_that_part_and_no_other(tmp_path):
    """Of two parts that were sent the first was not delivered; the retry keeps the second, and expires before it begins."""
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        tid = await world.accept(PSID, LONG, channel="messenger", expires_in=HOUR)
        first, second = (await world.ended(tid)).parts
        account = {"account_id": MESSENGER, "at": clock.now()}
        await world.store.receive([receipt(Status.DELIVERED, second.platform_ids[0], **account)], clock.now())
        await world.store.receive([receipt(Status.UNDELIVERED, first.platform_ids[0], **account)], clock.now())
        await world.dispatcher.pause(MESSENGER)
        await world.store.retry(CLIENT, tid, clock.now())
        clock.move(HOUR)
        await world.dispatcher.resume(MESSENGER)
        message = await world.when(tid, lambda found: not found.queued, seconds=3)
        assert (message.status, message.error and message.error.code) == (Status.FAILED, "expired")
        assert [(part.number, part.status) for part in message.parts] == [(1, Status.FAILED), (2, Status.DELIVERED)]
        assert len(world.platform.calls) == 2


async def test_a_retry_of_what_expired_in_doubt_says_that_it_may_be_the_second_copy(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock, start=False) as world:
        tid = await world.accept(TO, expires_in=HOUR)
        [queued] = await world.store.queued(TELEGRAM)
        lost = Mark(tid, 1, 1, clock.now(), 1, queued.lane)  # the process that marked it died in its call
        assert await world.store.mark(lost)
        clock.move(2 * HOUR)
        await world.dispatcher.start()
        await _ends(world, tid, Status.FAILED, "outcome_unknown")
        await world.store.retry(CLIENT, tid, clock.now())
        world.wake()
        message = await world.ended(tid)
        assert message.status is Status.SENT
        assert message.attempts[-1].code == "maybe_duplicate"
