"""An account's worker: its rates, its breaker, its waits, its priorities; over restarts, and with people in between.

What takes long happens in simulated time (:mod:`support.simulation`); what is about the process, over real sockets.
"""

import asyncio
from itertools import pairwise

import pytest

from kurir.delivery.state import Standing
from kurir.domain.account import Rate, Retrying
from kurir.domain.status import Status
from kurir.store.base import ErrorRecord, ReceiptRecord, Turn
from support.delivering import CLIENT, delivering, eventually
from support.simulation import STORE_SECONDS, Mood, Setting, Simulation

SLACK = 8 * STORE_SECONDS
LINE_USERS = tuple("U" + digit * 32 for digit in "abcdef")
PEOPLE = tuple(f"62811111111{number}" for number in range(10))
LONG = "m1 " * 1500  # two parts on Telegram and on WhatsApp


def labels(world):
    return [one.label for one in world.platform.arrivals]


def send(world, to, label, **more):
    return world.run(world.accept(to, label, **more))


# --- rates ------------------------------------------------------------------------------------------------------------


def test_the_accounts_and_the_recipients_rates_are_kept():
    with Simulation(Setting("telegram", {"account": Rate(10, 1), "recipient": Rate(1, 2, 3)})) as world:
        for number in range(60):
            send(world, str(1000 + number % 4), f"m{number}")
        world.until(lambda: len(world.platform.arrivals) == 60, 60)
        moments = [one.at for one in world.platform.arrivals]
        for first, moment in enumerate(moments):
            within = sum(moment <= other < moment + 1 - SLACK for other in moments)
            assert within <= 10, f"{within} calls in the second after the call {first}"
        of_one = [one.at for one in world.platform.arrivals if one.address == "1001"]
        assert of_one[2] - of_one[0] < 1
        assert all(later - earlier >= 2 - SLACK for earlier, later in pairwise(of_one[3:]))


def test_a_throttled_account_is_slowed_and_comes_back_within_a_minute():
    with Simulation(Setting("line", {"account": Rate(20, 1)})) as world:
        world.platform.mood = Mood.THROTTLES_ACCOUNT
        for number in range(12):
            send(world, LINE_USERS[number % 6], f"m{number}")
        world.pass_time(10)
        worker = world.dispatcher._workers[world.account_id]
        slowed = worker.state().rate_share
        assert slowed <= 0.5
        assert worker.state().standing is Standing.THROTTLED
        assert len(world.platform.arrivals) < 40
        world.platform.mood = Mood.TAKES
        world.until(lambda: not world.store.ask("SELECT 1 FROM message WHERE queued = 1"), 100)
        world.pass_time(60)
        assert worker.state().rate_share == 1.0
        counted = world.store.ask("SELECT count(*) FROM attempt WHERE outcome = 'retry' AND counted")
        assert counted == [(0,)], "throttling uses up no attempts"


def test_a_hold_of_the_account_is_kept_over_a_new_process_and_made_no_longer_by_a_clock_set_back():
    with Simulation(Setting("line")) as world:
        world.platform.mood, world.platform.wait = Mood.THROTTLES_FOR, 50.0
        send(world, LINE_USERS[0], "m1")
        world.pass_time(10)
        world.platform.mood = Mood.TAKES
        throttled = world.platform.arrivals[0].answered
        world.crash()
        world.clock.jump(-3600)
        world.start()
        send(world, LINE_USERS[1], "m2")
        world.until(lambda: len(world.platform.arrivals) == 3, 200)
        again = [one.at - throttled for one in world.platform.arrivals[1:]]
        assert 50 <= min(again) <= 50 + 10 + 3  # the ten seconds before the crash are begun anew: nobody knows them


def test_a_messages_wait_does_not_begin_anew_behind_a_hold_of_the_account_when_the_clock_was_set_back():
    with Simulation(Setting("line")) as world:
        world.platform.mood, world.platform.wait = Mood.THROTTLES_FOR, 50.0
        send(world, LINE_USERS[0], "m1")
        world.pass_time(10)
        world.platform.mood = Mood.TAKES
        world.crash()
        world.clock.jump(-3600)
        world.start()
        started = world.clock.seconds
        world.until(lambda: len(world.platform.arrivals) == 2, 200)
        assert world.platform.arrivals[1].at - started <= 53


# --- outages ----------------------------------------------------------------------------------------------------------


def test_an_outage_opens_the_breaker_costs_messages_no_attempts_and_a_probe_closes_it():
    retrying = Retrying(attempts=3, first_seconds=0.5, longest_seconds=2.0)
    with Simulation(Setting("telegram", retrying=retrying)) as world:
        world.platform.mood = Mood.UNREACHABLE
        tids = [send(world, str(1000 + number), f"m{number}") for number in range(8)]
        world.pass_time(300)
        worker = world.dispatcher._workers[world.account_id]
        assert worker.state().standing is Standing.OUT
        calls = len(world.platform.arrivals)
        assert calls < 40, f"{calls} calls into an outage of five minutes"
        probes = world.store.ask("SELECT count(*) FROM attempt WHERE NOT counted")[0][0]
        assert probes >= 5
        world.platform.mood = Mood.TAKES
        world.until(lambda: worker.state().standing is Standing.WORKING, 90)
        world.until(lambda: not world.store.ask("SELECT 1 FROM message WHERE queued = 1"), 60)
        assert [world.message(tid).status for tid in tids] == [Status.SENT] * 8


def test_a_stopped_account_is_parked_over_a_new_process_and_a_probe_resumes_it():
    with Simulation(Setting("telegram")) as world:
        world.platform.mood = Mood.STOPPED
        tid = send(world, "1001", "m1")
        world.pass_time(30)
        world.crash()
        assert world.store.ask("SELECT parked_code FROM account") == [("account_credentials",)]
        world.platform.mood = Mood.TAKES
        world.start()
        world.pass_time(5)
        assert world.message(tid).status is Status.SENT
        assert world.store.ask("SELECT coalesce(parked_code, '') FROM account") == [("",)]


def test_so_many_attempts_as_the_account_allows_are_made_and_no_more():
    retrying = Retrying(attempts=3, first_seconds=0.5, longest_seconds=2.0)
    with Simulation(Setting("telegram", retrying=retrying)) as world:
        world.platform.moods["1001"] = Mood.FAULT
        tid = send(world, "1001", "m1")
        world.pass_time(30)
        message = world.message(tid)
        assert (message.status, message.error.code) == (Status.FAILED, "attempts_exhausted")
        assert len(world.platform.arrivals) == 3


# --- waits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [0.0, -3600.0])
def test_a_messages_wait_is_kept_over_a_new_process_and_not_doubled_by_a_clock_set_back(jump):
    with Simulation(Setting("telegram")) as world:
        world.platform.moods["1001"], world.platform.wait = Mood.THROTTLES_FOR, 40.0
        send(world, "1001", "m1")
        world.pass_time(10)
        world.platform.moods.clear()
        first = world.platform.arrivals[0].answered
        world.crash()
        world.start()
        world.pass_time(1)
        world.clock.jump(jump)
        world.until(lambda: len(world.platform.arrivals) == 2, 120)
        assert 40 <= world.platform.arrivals[1].at - first <= 43


def test_the_wait_for_a_receipt_after_a_crash_is_not_doubled_by_a_clock_set_back():
    with Simulation(Setting("whatsapp", options={"unknown_wait_seconds": 30.0})) as world:
        world.platform.latency = 9.0
        send(world, PEOPLE[0], "m1")
        world.pass_time(1)
        world.crash()
        world.platform.latency = 0.05  # as long a look takes, too
        world.start()
        started = world.clock.seconds
        world.pass_time(5)
        world.clock.jump(-3600)
        world.until(lambda: len(world.platform.arrivals) == 2, 120)
        assert world.platform.arrivals[1].at - started <= 33


# --- priorities -------------------------------------------------------------------------------------------------------


def test_high_overtakes_the_bulk_of_its_own_lane_and_of_others_but_not_what_has_begun():
    with Simulation(Setting("telegram", {"account": Rate(1, 1)}, options={"concurrency": 1})) as world:
        for number in range(1, 5):
            send(world, "1001" if number % 2 else "1002", f"m{number}", priority="bulk")
        world.platform.moods["1001"] = Mood.FAULT
        world.until(lambda: world.platform.arrivals, 5, 0.2)
        world.platform.moods.clear()
        send(world, "1001", "m91", priority="high")
        send(world, "1002", "m92", priority="high")
        world.until(lambda: len(world.platform.arrivals) == 7, 60)
        assert labels(world)[0] == "m1"
        order = labels(world)[1:]
        assert order.index("m1") < order.index("m91") < order.index("m3")
        assert order.index("m92") < order.index("m2")


def test_a_normal_message_is_not_hidden_by_thousands_of_bulk_ones_before_it():
    with Simulation(Setting("telegram", {"account": Rate(10, 1)}, options={"concurrency": 2})) as world:
        world.run(world.dispatcher.pause(world.account_id))

        async def fill():
            for number in range(5000):
                await world.accept(str(10_000 + number % 50), f"m{number}", priority="bulk", expires_in=86_400)

        world.run(fill())
        send(world, "77", "m9999")
        send(world, "78", "m9998", priority="high")
        world.run(world.dispatcher.resume(world.account_id))
        world.until(lambda: {"m9998", "m9999"} <= set(labels(world)), 20)
        assert labels(world).index("m9998") < 3
        assert labels(world).index("m9999") < 10


# --- receipts ---------------------------------------------------------------------------------------------------------


def settle(world, tid, arrival):
    receipt = ReceiptRecord(
        world.account_id,
        f"event-{arrival.number}",
        Status.DELIVERED,
        world.clock.now(),
        arrival.platform_id,
        address=arrival.address,
        reference=f"{tid}:{arrival.part}",
    )
    world.run(world.receipt(receipt))


def test_a_receipt_that_settles_an_unknown_part_ends_its_lanes_rest():
    with Simulation(Setting("whatsapp")) as world:
        world.platform.mood = Mood.SILENT
        first = send(world, PEOPLE[0], "m1")
        world.pass_time(2)
        world.platform.mood = Mood.TAKES
        send(world, PEOPLE[0], "m2")
        world.pass_time(2)
        assert labels(world) == ["m1"]
        settle(world, first, world.platform.arrivals[0])
        world.pass_time(1)
        assert labels(world) == ["m1", "m2"]
        assert world.message(first).status is Status.DELIVERED


def test_a_receipt_that_comes_before_the_call_has_ended_lets_the_lane_go_on_at_once():
    """A time-out takes a minute, a receipt a second: the usual order."""
    with Simulation(Setting("whatsapp")) as world:
        world.platform.mood, world.platform.latency = Mood.SILENT, 60.0
        first = send(world, PEOPLE[0], "m1")
        world.pass_time(2)
        world.platform.mood, world.platform.latency = Mood.TAKES, 0.05
        send(world, PEOPLE[0], "m2")
        send(world, PEOPLE[0], "m3")
        world.pass_time(2)
        assert labels(world) == ["m1"]
        settle(world, first, world.platform.arrivals[0])
        world.pass_time(10)
        assert labels(world) == ["m1", "m2", "m3"]
        assert world.platform.arrivals[0].answered is None
        worker = world.dispatcher._workers[world.account_id]
        whole = worker.window.size
        world.pass_time(60)
        assert labels(world) == ["m1", "m2", "m3"]
        message = world.message(first)
        assert (message.status, [one.outcome for one in message.attempts]) == (Status.DELIVERED, ["unknown"])
        assert (worker.window.size, worker.lanes.count()) == (whole, 0), "its time-out is no trouble"


def test_the_next_part_goes_while_the_call_hangs_of_the_one_that_a_receipt_settled():
    with Simulation(Setting("whatsapp")) as world:
        world.platform.mood, world.platform.latency = Mood.SILENT, 60.0
        tid = send(world, PEOPLE[0], LONG)
        world.pass_time(2)
        world.platform.mood, world.platform.latency = Mood.TAKES, 0.05
        send(world, PEOPLE[0], "m2")
        settle(world, tid, world.platform.arrivals[0])
        world.pass_time(10)
        assert [(one.label, one.part) for one in world.platform.arrivals] == [("m1", 1), ("m1", 2), ("m2", 1)]
        world.pass_time(60)
        assert len(world.platform.arrivals) == 3
        assert [one.part for one in world.message(tid).attempts] == [2, 1]


@pytest.mark.parametrize("mood", [Mood.TAKES, Mood.REFUSES, Mood.FAULT, Mood.STOPPED])
def test_a_late_answer_to_a_settled_part_is_recorded_and_nothing_is_called_for_it(mood):
    with Simulation(Setting("whatsapp")) as world:
        world.platform.mood, world.platform.latency = mood, 60.0
        tid = send(world, PEOPLE[0], LONG)
        world.pass_time(2)
        world.platform.mood, world.platform.latency = Mood.TAKES, 0.05
        world.platform.arrivals[0].platform_id = "id-1"
        settle(world, tid, world.platform.arrivals[0])
        world.pass_time(100)
        assert [one.part for one in world.platform.arrivals] == [1, 2]
        message = world.message(tid)
        assert (message.queued, len(message.attempts)) == (False, 2)
        assert message.status > 0 or message.status is Status.PENDING


def test_no_more_calls_are_left_hanging_than_may_be_in_flight():
    with Simulation(Setting("whatsapp", options={"concurrency": 2})) as world:
        world.platform.mood, world.platform.latency = Mood.SILENT, 60.0
        tids = {f"m{number}": send(world, PEOPLE[number], f"m{number}") for number in range(8)}
        for _ in range(20):
            world.pass_time(1)
            for arrival in list(world.platform.open):
                if not arrival.receipts:
                    arrival.receipts.append("DELIVERED")
                    settle(world, tids[arrival.label], arrival)
        assert len(world.platform.open) == 4
        world.platform.mood, world.platform.latency = Mood.TAKES, 0.05
        world.until(lambda: len(world.platform.arrivals) == 8, 200)


# --- retry and cancel -------------------------------------------------------------------------------------------------


def test_a_retry_sends_only_what_was_not_sent():
    with Simulation(Setting("telegram")) as world:
        tid = send(world, "1001", LONG)
        world.platform.latency = 1.0
        world.until(lambda: world.platform.arrivals, 5, 0.1)
        world.platform.mood = Mood.REFUSES
        world.pass_time(5)
        assert world.message(tid).status is Status.UNDELIVERED
        world.platform.mood = Mood.TAKES
        assert world.run(world.store.retry(CLIENT, tid, world.clock.now())) is Turn.DONE
        world.pass_time(10)
        assert [one.part for one in world.platform.arrivals] == [1, 2, 2]
        assert world.message(tid).status is Status.SENT


def test_a_retry_after_an_unknown_run_says_that_it_may_be_a_copy():
    with Simulation(Setting("telegram", options={"unknown_outcome": "hold"})) as world:
        world.platform.mood = Mood.SILENT
        tid = send(world, "1001", "m1")
        world.pass_time(5)
        assert world.message(tid).error.code == "outcome_unknown"
        world.platform.mood = Mood.TAKES
        world.run(world.store.retry(CLIENT, tid, world.clock.now()))
        world.pass_time(5)
        message = world.message(tid)
        assert (message.status, message.attempts[-1].code) == (Status.SENT, "maybe_duplicate")


def test_a_retry_of_a_line_push_after_its_key_lapsed_says_that_it_may_be_a_copy():
    with Simulation(Setting("line")) as world:
        world.platform.mood = Mood.SILENT
        tid = send(world, LINE_USERS[0], "m1", expires_in=30)
        world.pass_time(60)
        assert world.message(tid).error.code == "outcome_unknown"
        world.stop()
        world.pass_time(90_000)
        world.platform.mood = Mood.TAKES
        world.start()
        world.run(world.store.retry(CLIENT, tid, world.clock.now()))
        world.pass_time(5)
        assert sum(one.taken for one in world.platform.arrivals) == 2
        assert world.message(tid).attempts[-1].code == "maybe_duplicate"


async def test_of_a_cancel_and_a_send_exactly_one_wins(tmp_path):
    async with delivering(tmp_path) as world:
        tids = [await world.accept(f"tg:{1000 + number}") for number in range(60)]
        turns = await asyncio.gather(*(world.store.cancel(CLIENT, tid, world.clock.now()) for tid in tids))
        messages = [await world.ended(tid) for tid in tids]
        called = {call.to for call in world.platform.calls}
        for number, (turn, message) in enumerate(zip(turns, messages, strict=True)):
            assert (turn is Turn.DONE) == (message.status is Status.UNSENT) == (str(1000 + number) not in called)


# --- people -----------------------------------------------------------------------------------------------------------


async def test_a_pause_is_kept_over_a_new_process_until_somebody_resumes(tmp_path):
    async with delivering(tmp_path) as world:
        account = f"{CLIENT}-telegram"
        await world.dispatcher.pause(account)
        tid = await world.accept("tg:1001")
        await world.dispatcher.stop()
        await world.directory.reload(world.store)
        world.dispatcher = world.new_dispatcher()
        await world.dispatcher.start()
        await eventually(lambda: world.dispatcher.held() == 1)
        assert world.dispatcher.state(account).standing is Standing.PAUSED
        assert world.platform.calls == []
        await world.dispatcher.resume(account)
        assert (await world.ended(tid)).status is Status.SENT


def test_no_call_of_a_message_in_several_parts_begins_after_a_pause():
    with Simulation(Setting("telegram")) as world:
        world.platform.latency = 2.0
        send(world, "1001", LONG)
        world.pass_time(1)
        world.run(world.dispatcher.pause(world.account_id))
        world.pass_time(10)
        assert [one.part for one in world.platform.arrivals] == [1]


def test_why_a_message_waits_is_told_with_a_reason_and_a_time():
    with Simulation(Setting("telegram", {"account": Rate(1, 60)})) as world:
        send(world, "1001", "m1")
        send(world, "1002", "m2")
        world.pass_time(1)
        why = world.dispatcher.why(world.account_id, "1002")
        assert why.reason == ErrorRecord("rate_limited", why.reason.detail)
        assert 55 < (why.until - world.clock.now()).total_seconds() <= 60
