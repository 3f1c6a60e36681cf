"""Scorecard row 30: the wall clock jumps by an hour or a day, forth or back, while messages wait for something.

An administrator, a virtual machine that was asleep, or a first NTP answer does that. What counts time (a named wait, a
rate, a probe) goes by the clock that never jumps, so nothing is early and nothing starves. What names a moment
(``send_at``, expiry) goes by the wall clock, whatever it shows. The time passes in a fake clock, in both of its halves.
"""

import asyncio
import math
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from kurir.clock import FakeClock
from kurir.domain.account import Rate
from kurir.domain.status import Status
from kurir.store.base import MessageRecord
from support.delivering import (
    CUT,
    LINE_USER,
    Answers,
    Request,
    World,
    delivering,
    eventually,
    open_account,
    refused,
)

HOUR, DAY = 3_600.0, 86_400.0
JUMPS = (HOUR, -HOUR, DAY, -DAY)
#: Longer than all jumps together: what expires is a test of its own.
AGE = 30 * 86_400
#: The longest that a worker may take to see that the wall clock was set, in seconds of the fake clock: a whole reading
#: of its queue every thirty, and a look a second.
SEEN_SECONDS = 31.0
TO = "tg:1001"

pytestmark = pytest.mark.scorecard(30)
each_jump = pytest.mark.parametrize("jump", JUMPS)


async def passes(world: World, seconds: float, step: float | None = None) -> None:
    """Let *seconds* pass, *step* at a time, and let delivery do what is to be done then.

    A message on another account shows that every worker had its turn.
    """
    assert isinstance(world.clock, FakeClock)
    left = seconds
    while left > 0:
        world.clock.move(min(left, step or seconds))
        left -= step or seconds
        world.wake()
        await world.ended(await world.accept(LINE_USER, "beat", channel="line", expires_in=AGE))


async def ends_within(world: World, tid: str, seconds: float, step: float = 1.0) -> MessageRecord:
    """Return the message when delivery is through with it. It fails when *seconds* pass, and a turn more, before that."""
    for _ in range(math.ceil(seconds / step)):
        if not (await world.message(tid)).queued:
            break
        await passes(world, step)
    await passes(world, 1e-9)  # what was begun in the last turn ends, however slow the machine is
    return await world.ended(tid)


def calls(world: World) -> list[str]:
    """The words of the calls so far, without those that only show that time passes."""
    return [call.text for call in world.platform.calls if call.text != "beat"]


async def is_called(world: World, times: int) -> None:
    await eventually(lambda: len(calls(world)) >= times)
    assert len(calls(world)) == times


def accepting(world: World, text: str = "hello", to: str = TO, **more: object):
    return world.accept(to, text, **({"expires_in": AGE} | more))


# --- waiting in the queue ---------------------------------------------------------------------------------------------


@each_jump
async def test_what_waits_in_the_queue_goes_on_at_once(tmp_path, jump):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock, start=False) as world:
        tid = await accepting(world)
        clock.jump(jump)
        await world.dispatcher.start()
        assert (await ends_within(world, tid, SEEN_SECONDS)).status is Status.SENT
        assert calls(world) == ["hello"]


@each_jump
async def test_a_lane_keeps_its_order(tmp_path, jump):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock, start=False) as world:
        for number in range(4):
            last = await accepting(world, str(number))
            clock.jump(jump)
        await world.dispatcher.start()
        await ends_within(world, last, SEEN_SECONDS)
        assert calls(world) == ["0", "1", "2", "3"]


@each_jump
async def test_a_lane_keeps_its_order_while_its_head_waits(tmp_path, jump):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        world.platform.answers = lambda request: refused(429, "slow", retry_after=5) if request.number == 1 else None
        first = await accepting(world, "0")
        await world.waits(first, "rate_limited")
        for number in range(1, 4):
            clock.jump(jump)
            last = await accepting(world, str(number))
        await passes(world, 4.5)
        assert calls(world) == ["0"]
        await ends_within(world, last, 1.0 + SEEN_SECONDS)
        assert calls(world) == ["0", "0", "1", "2", "3"]


# --- waits that count time ----------------------------------------------------------------------------------------------


@each_jump
async def test_a_named_wait_is_kept_to_the_second(tmp_path, jump):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        world.platform.answers = lambda request: refused(429, "slow", retry_after=7) if request.number == 1 else None
        tid = await accepting(world)
        await world.waits(tid, "rate_limited")
        clock.jump(jump)
        await passes(world, 6.9)
        assert calls(world) == ["hello"], "early"
        assert (await ends_within(world, tid, 0.4 + 1.0, 0.2)).status is Status.SENT
        assert calls(world) == ["hello"] * 2


async def waits_of(folder: Path, answers: Answers, jump: float, seconds: float, step: float) -> list[float]:
    """Send one message that is taken in the end, and return the seconds between its calls; every third step *jump*.

    The waits are drawn from the same seed each time, so that they can be compared.
    """
    clock, moments = FakeClock(), []

    def note(request: Request):
        if request.text == "beat":
            return None
        moments.append(clock.monotonic())
        return answers(replace(request, number=len(moments)))

    async with delivering(folder, clock=clock) as world:
        world.platform.answers = note
        tid = await accepting(world)
        for turn in range(round(seconds / step)):
            # The wait after a call begins when its outcome is recorded: no time may pass between.
            message = await world.when(tid, lambda message: moments and len(message.attempts) >= len(moments))
            if not message.queued:
                break
            if turn % 3 == 1:
                clock.jump(jump)
            await passes(world, step)
        assert (await world.ended(tid)).status is Status.SENT
    return [after - before for before, after in pairwise(moments)]


async def same_waits(folder: Path, answers: Answers, jump: float, seconds: float, step: float) -> int:
    """Check that the waits are the same as without a jump, but for a step; returns how many there were."""
    folders = [folder / "still", folder / "jumping"]
    for one in folders:
        await asyncio.to_thread(one.mkdir)
    still = await waits_of(folders[0], answers, 0.0, seconds, step)
    jumping = await waits_of(folders[1], answers, jump, seconds, step)
    assert len(jumping) == len(still)
    assert all(abs(one - other) <= step + 1e-6 for one, other in zip(still, jumping, strict=True)), (still, jumping)
    return len(still)


@each_jump
async def test_a_back_off_is_neither_cut_short_nor_drawn_out(tmp_path, jump):
    def answers(request: Request):
        return refused(500, "Internal Server Error") if request.number < 6 else None

    assert await same_waits(tmp_path, answers, jump, 60.0, 0.5) == 5


@each_jump
async def test_a_parked_account_is_probed_as_often_as_without_a_jump(tmp_path, jump):
    def answers(request: Request):
        return refused(401, "Unauthorized") if request.number < 4 else None

    assert await same_waits(tmp_path, answers, jump, 240.0, 5.0) == 3


@each_jump
async def test_an_unknown_outcome_is_given_the_time_that_it_has_for_its_receipt(tmp_path, jump):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock, unknown_wait_seconds=90.0) as world:
        world.platform.answers = lambda request: CUT if request.number == 1 else None
        tid = await world.accept("6281234567890", channel="whatsapp", expires_in=AGE)
        await world.waits(tid, "no_answer")
        clock.jump(jump)
        await passes(world, 89)
        assert len(calls(world)) == 1
        message = await ends_within(world, tid, 2.0 + 1.0)
        assert [attempt.outcome for attempt in message.attempts] == ["unknown", "sent"]


@each_jump
async def test_no_jump_lets_more_through_than_the_rate(tmp_path, jump):
    """Ten a second to the account: whatever the wall clock does, no second sees more than eleven, and all arrive."""
    clock, moments, rate = FakeClock(), [], Rate(10, 1.0, 1)
    async with delivering(tmp_path, clock=clock, start=False) as world:
        world.directory._open = lambda record: replace(open_account(record), rates={"account": rate})
        await world.directory.reload(world.store)
        world.dispatcher = world.new_dispatcher()

        def note(request: Request) -> None:
            if request.text != "beat":
                moments.append(clock.monotonic())

        world.platform.answers = note
        tids = [await accepting(world, str(number), f"tg:{2000 + number}") for number in range(40)]
        await world.dispatcher.start()
        for turn in range(120):
            if turn % 10 == 5:
                clock.jump(jump if turn % 20 == 5 else -jump)
            await passes(world, 0.1)
            if len(moments) == len(tids):
                break
        assert len(moments) == len(tids), "they starve"
        for tid in tids:
            assert (await world.ended(tid)).status is Status.SENT
        most = max(sum(1 for other in moments if moment <= other < moment + 1.0 - 1e-6) for moment in moments)
        assert most <= 1.1 * rate.count
        assert len(set(calls(world))) == len(calls(world)) == 40


# --- waits for a moment -------------------------------------------------------------------------------------------------


@each_jump
async def test_a_message_for_later_goes_when_the_wall_clock_shows_its_time_and_not_before(tmp_path, jump):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        moment = clock.now() + timedelta(minutes=10)
        tid = await accepting(world, send_at=moment.isoformat())
        await passes(world, 2)
        clock.jump(jump)
        if jump < 0:
            await passes(world, 11 * 60)  # its ten minutes have passed, but it is not its time
            assert calls(world) == []
            clock.jump(-jump)
        assert (await ends_within(world, tid, SEEN_SECONDS)).status is Status.SENT
        assert calls(world) == ["hello"]


@each_jump
async def test_what_expires_by_the_wall_clock_ends_in_sight_and_is_never_called_again(tmp_path, jump):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        world.platform.answers = lambda request: refused(429, "slow", retry_after=20) if request.number == 1 else None
        tid = await accepting(world, expires_in=60)
        await world.waits(tid, "rate_limited")
        clock.jump(jump)
        message = await ends_within(world, tid, 21.0 + SEEN_SECONDS)
        if jump > 0:
            assert (message.status, message.error.code) == (Status.FAILED, "expired")
            assert calls(world) == ["hello"]
        else:
            assert message.status is Status.SENT
            assert calls(world) == ["hello"] * 2


# --- over a restart -----------------------------------------------------------------------------------------------------


async def restarted(world: World, jump: float) -> None:
    """The gateway is started anew, and the wall clock is set meanwhile."""
    assert isinstance(world.clock, FakeClock)
    await world.dispatcher.stop(0.0)
    world.clock.jump(jump)
    world.dispatcher = world.new_dispatcher()
    await world.dispatcher.start()


@each_jump
async def test_a_named_wait_starves_nobody_over_a_restart(tmp_path, jump):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        world.platform.answers = lambda request: refused(429, "slow", retry_after=40) if request.number == 1 else None
        tid = await accepting(world)
        await world.waits(tid, "rate_limited")
        await restarted(world, jump)
        await passes(world, 1e-9)
        await ends_within(world, tid, 41.0 + SEEN_SECONDS, 3.0)
        assert calls(world) == ["hello"] * 2


@each_jump
async def test_a_call_that_a_crash_cut_short_is_given_its_time_and_no_more(tmp_path, jump):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock, unknown_wait_seconds=90.0) as world:
        never = asyncio.Event()

        async def hang(_: Request) -> None:
            await never.wait()

        world.platform.answers = lambda request: hang(request) if request.number == 1 else None
        tid = await world.accept("6281234567890", channel="whatsapp", expires_in=AGE)
        await is_called(world, 1)
        await restarted(world, jump)
        never.set()
        if jump < 0:
            await world.waits(tid, "no_answer")
            await passes(world, 60)
            assert len(calls(world)) == 1, "a receipt may still tell"
        message = await ends_within(world, tid, 31.0 + SEEN_SECONDS, 3.0)
        assert [attempt.outcome for attempt in message.attempts] == ["unknown", "sent"]


# --- all at once --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("jump", [HOUR, DAY])
async def test_scorecard_30_a_hundred_messages_through_refusals_and_jumps(tmp_path, jump):
    seed = f"30 {jump}"
    chance, clock = Random(seed), FakeClock()
    free_at: dict[str, float] = {}
    early: list[str] = []
    taken: dict[str, list[str]] = defaultdict(list)
    tried: dict[str, int] = defaultdict(int)

    def answers(request: Request):
        if request.text == "beat":
            return None
        now = clock.monotonic()
        if now < free_at.get(request.to, 0.0):
            early.append(request.text)
        tried[request.text] += 1
        fate = chance.random()
        if tried[request.text] < 4 and fate < 0.2:
            seconds = chance.choice([1, 2, 3])
            free_at[request.to] = now + seconds
            return refused(429, "Too Many Requests", retry_after=seconds)
        if tried[request.text] < 4 and fate < 0.3:
            return refused(500, "Internal Server Error")
        taken[request.to].append(request.text)
        return None

    jumps = 0
    async with delivering(tmp_path, clock=clock) as world:
        world.platform.answers = answers
        sent: dict[str, list[str]] = defaultdict(list)
        tids: list[str] = []
        for number in range(100):
            to = str(3000 + number % 10)
            sent[to].append(f"m{number}")
            tids.append(await accepting(world, f"m{number}", f"tg:{to}"))
            if number % 8 == 7:
                clock.jump(jump if chance.random() < 0.5 else -jump)
                jumps += 1
                await passes(world, chance.choice([0.3, 0.9, 1.7]))
        for turn in range(200):
            if sum(map(len, taken.values())) >= len(tids):
                break
            if turn % 5 == 4:
                clock.jump(jump if chance.random() < 0.5 else -jump)
                jumps += 1
            await passes(world, 1.0)
        for tid in tids:
            assert (await world.ended(tid)).status is Status.SENT
    print(
        f"scorecard 30: seed {seed!r}; {jumps} jumps of {abs(jump) / HOUR:g} h forth and back: {len(tids)} messages, "
        f"{sum(tried.values())} calls, {len(early)} early, 0 lost, 0 twice, order kept in {len(taken)} lanes"
    )
    assert taken == sent
    assert early == []
    assert jumps > 10
