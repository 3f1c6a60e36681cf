"""Outages whose answers cannot be read: a message in doubt waits for a sign of life, and no copy is used up by them."""

from datetime import timedelta

import pytest

from kurir.delivery.doubt import COPIES
from kurir.delivery.state import Standing
from kurir.domain.status import Status
from support.delivering import CLIENT
from support.simulation import DEAD, Mood, Setting, Simulation

PEOPLE = {
    "telegram": [str(1000 + number) for number in range(50)],
    "whatsapp": [f"6281111111{number:02}" for number in range(50)],
    "line": [f"U{number:032x}" for number in range(50)],
}
OUTAGE = 600.0


def send(world, to, label, **more):
    return world.run(world.accept(to, label, **more))


def empty(world):
    return not world.store.ask("SELECT 1 FROM message WHERE queued = 1")


def look_at_copies(world):
    """No second copy went before the platform had answered since the first was in doubt."""
    platform = world.platform
    for number, arrival in enumerate(platform.arrivals):
        before = [one for one in platform.arrivals[:number] if one.label == arrival.label and one.mood in DEAD]
        if before and not arrival.repeatable:
            doubted = max(one.answered or 0.0 for one in before)
            assert any(doubted <= moment <= arrival.at for moment in platform.signs_of_life())


@pytest.mark.parametrize("channel", sorted(PEOPLE))
@pytest.mark.parametrize("mood", [Mood.PROXY, Mood.LOST])
@pytest.mark.parametrize("people", [1, 50])
def test_what_is_accepted_in_an_unreadable_outage_is_sent_after_it(channel, mood, people):
    with Simulation(Setting(channel)) as world:
        world.platform.mood = mood
        tids = [send(world, to, f"m{number}") for number, to in enumerate(PEOPLE[channel][:people])]
        world.pass_time(OUTAGE)
        looks = len(world.platform.looks)
        assert looks <= 20, f"{looks} looks in ten minutes"
        if channel != "line":  # a push is no copy
            assert looks >= 8
            labels = [one.label for one in world.platform.arrivals]
            assert len(labels) == len(set(labels)), "a copy was sent into the outage"
        world.platform.mood = Mood.TAKES
        world.until(lambda: empty(world), 400)
        assert [world.message(tid).error for tid in tids] == [None] * people
        assert {world.message(tid).status for tid in tids} <= {Status.SENT, Status.PENDING}
        look_at_copies(world)


def test_a_process_that_is_started_in_the_middle_of_an_outage_sends_no_copy_into_it():
    with Simulation(Setting("telegram")) as world:
        world.platform.mood, world.platform.latency = Mood.PROXY, 0.5
        tids = [send(world, to, f"m{number}") for number, to in enumerate(PEOPLE["telegram"][:3])]
        world.pass_time(0.2)
        world.crash()
        world.pass_time(30)
        for _ in range(4):
            world.start()
            world.pass_time(60)
            world.stop()
        world.start()
        world.pass_time(60)
        assert len(world.platform.arrivals) == 3
        world.platform.mood = Mood.TAKES
        world.until(lambda: empty(world), 130)
        assert [world.message(tid).status for tid in tids] == [Status.SENT] * 3
        assert [world.message(tid).attempts[-1].code for tid in tids] == ["maybe_duplicate"] * 3


def test_where_looks_are_answered_and_sends_are_not_three_copies_are_the_most():
    with Simulation(Setting("telegram")) as world:
        world.platform.moods["1001"] = Mood.SILENT
        tid = send(world, "1001", "m1")
        world.until(lambda: empty(world), 60)
        message = world.message(tid)
        assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")
        assert len(world.platform.arrivals) == COPIES
        look_at_copies(world)
        assert len(world.platform.looks) == COPIES - 1


def test_the_answers_to_others_are_the_proof_and_then_nobody_looks():
    with Simulation(Setting("telegram")) as world:
        world.platform.moods["1001"] = Mood.PROXY
        tid = send(world, "1001", "m0")
        for number in range(1, 40):
            send(world, "1002", f"m{number}")
            world.pass_time(0.4)
            if number == 2:
                world.platform.moods.clear()
        assert world.message(tid).status is Status.SENT
        assert world.platform.looks == []


def test_a_paused_account_is_not_looked_at():
    with Simulation(Setting("telegram")) as world:
        world.platform.mood = Mood.PROXY
        tid = send(world, "1001", "m1")
        world.pass_time(5)
        world.run(world.dispatcher.pause(world.account_id))
        world.pass_time(2)
        looks = len(world.platform.looks)
        assert looks >= 1
        world.platform.mood = Mood.TAKES
        world.pass_time(300)
        assert (len(world.platform.looks), len(world.platform.arrivals)) == (looks, 1)
        world.run(world.dispatcher.resume(world.account_id))
        world.pass_time(10)
        assert world.message(tid).status is Status.SENT
        look_at_copies(world)


def test_it_is_not_looked_at_before_a_wait_is_over_that_the_platform_asked_for():
    with Simulation(Setting("line")) as world:
        world.platform.mood = Mood.PROXY
        for number, to in enumerate(PEOPLE["line"][:8]):
            send(world, to, f"m{number}")
        world.pass_time(20)
        assert world.dispatcher.state(world.account_id).standing is Standing.OUT
        worker = world.dispatcher._workers[world.account_id]
        worker.rates.hold(world.clock.seconds + 200, "the platform asked for it")
        world.pass_time(1)
        looks = len(world.platform.looks)
        world.pass_time(190)
        assert len(world.platform.looks) == looks
        world.platform.mood = Mood.TAKES
        world.until(lambda: empty(world), 120)


def test_nobody_looks_where_nothing_waits_for_it():
    with Simulation(Setting("telegram", options={"unknown_outcome": "hold"})) as world:
        world.platform.mood = Mood.PROXY
        tid = send(world, "1001", "m1")
        world.pass_time(100)
        assert world.message(tid).error.code == "outcome_unknown"
        assert world.platform.looks == []


def test_while_the_breaker_is_open_a_look_goes_before_a_message():
    with Simulation(Setting("telegram")) as world:
        world.platform.mood = Mood.PROXY
        for number, to in enumerate(PEOPLE["telegram"]):
            send(world, to, f"m{number}")
        world.pass_time(60)
        called = len(world.platform.arrivals)
        assert world.dispatcher.state(world.account_id).standing is Standing.OUT
        world.pass_time(300)
        assert len(world.platform.arrivals) == called
        world.platform.mood = Mood.TAKES
        world.until(lambda: len(world.platform.arrivals) > called, 70, 0.1)
        assert world.platform.looks[-1].answered <= world.platform.arrivals[called].at


def test_a_message_that_waits_for_a_sign_of_life_says_so_and_until_when():
    with Simulation(Setting("telegram")) as world:
        world.platform.mood = Mood.PROXY
        tid = send(world, "1001", "m1")
        world.pass_time(40)
        message = world.message(tid)
        assert message.reason.code == message.attempts[-1].code
        until = message.waiting_until
        assert "sent again only when the platform answers again" in message.reason.detail
        assert message.reason.detail.endswith(f"next look at {until:%H:%M:%S} UTC")
        assert timedelta(0) < until - world.clock.now() < timedelta(seconds=61)
        world.platform.latency = 50.0
        world.until(lambda: world.message(tid).reason.detail.endswith("a look is under way"), 70)
        assert world.message(tid).waiting_until is None


def test_a_message_in_doubt_expires_in_an_outage():
    with Simulation(Setting("telegram")) as world:
        world.platform.mood = Mood.PROXY
        tid = send(world, "1001", "m1", expires_in=90)
        world.pass_time(95)
        message = world.message(tid)
        assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")
        assert len(world.platform.arrivals) == 1
        world.pass_time(200)
        looks = len(world.platform.looks)
        world.pass_time(500)
        assert len(world.platform.looks) == looks, "nobody waits any more"


def test_a_client_hears_of_no_second_copy_that_a_receipt_made_needless():
    with Simulation(Setting("whatsapp", options={"unknown_wait_seconds": 5.0})) as world:
        world.platform.mood = Mood.SILENT
        tid = send(world, PEOPLE["whatsapp"][0], "m1")
        world.pass_time(30)
        assert len(world.platform.arrivals) == 1
        assert world.run(world.store.message(CLIENT, tid)).queued
        assert len(world.platform.looks) >= 1
