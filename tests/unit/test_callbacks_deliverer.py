"""Callbacks on their way to endpoints, in simulated time: order, the ladder, bounds, crashes, isolation."""

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kurir.callbacks import ladder, worker
from kurir.callbacks.ladder import JITTER, LAST_STEP, WAITS
from kurir.callbacks.window import HELD
from kurir.callbacks.worker import IN_FLIGHT
from kurir.egress import Miss
from kurir.store.feed import Ladder, Owed, Replay
from support.feed import OK, URL, World, answer, miss

OTHER = "https://other.example.com/hook"
DAY = 86_400.0


def world_with(count: int = 0, conversations: int = 1) -> tuple[World, str]:
    world = World()
    endpoint = world.put()
    for number in range(count):
        world.add(f"c{number % conversations}")
    return world, endpoint


def after_steps(steps: int) -> float:
    """Return seconds after which an endpoint that is dead from the start was tried again *steps* times, and no more."""
    seconds = sum(WAITS[:steps]) * (1 + JITTER) + 1  # the second is for the calls themselves
    assert seconds < sum(WAITS[: steps + 1])
    return seconds


def test_an_event_is_posted_at_once_when_its_client_is_woken():
    world, endpoint = world_with()
    with world:
        world.start()
        world.pass_time(5.25)
        began = world.clock.seconds
        world.add()
        world.pass_time(0.2)
        assert world.endpoints.positions() == [1]
        assert world.endpoints.at()[0].at - began < 0.01
        assert world.states(endpoint) == {1: Owed.DELIVERED}


def test_a_lost_hint_delays_by_a_second_and_loses_nothing():
    world, _ = world_with()
    with world:
        world.start()
        world.pass_time(5.0)
        world.store.add("acme", "c0", world.clock.now())
        world.pass_time(1.2)
        assert world.endpoints.positions() == [1]


def test_a_conversation_is_in_order_and_conversations_go_side_by_side_up_to_ten():
    world, endpoint = world_with(60, conversations=30)
    with world:
        world.start()
        world.pass_time(3)
        assert world.endpoints.most == IN_FLIGHT
        assert sorted(world.endpoints.positions()) == list(range(1, 61))
        by_line = defaultdict(list)
        for one in world.endpoints.arrived:
            by_line[(one.position - 1) % 30].append(one)
        for line in by_line.values():
            assert [one.position for one in line] == sorted(one.position for one in line)
            assert all(first.answered <= then.at for first, then in pairwise(line))
        assert set(world.states(endpoint).values()) == {Owed.DELIVERED}


def test_a_hundred_events_of_one_person_keep_their_order_through_the_window():
    world, _ = world_with(150, conversations=1)
    with world:
        world.add("another")
        world.start()
        world.pass_time(0.5)
        assert 151 in world.endpoints.positions(), "somebody else's event waits for none of theirs"
        world.pass_time(15)
        assert [position for position in world.endpoints.positions() if position <= 150] == list(range(1, 151))


def test_results_are_written_many_at_once():
    world, _ = world_with(100, conversations=100)
    with world:
        world.start()
        world.pass_time(5)
        assert 1 < world.store.largest_batch <= 200


def test_memory_holds_a_bounded_window_of_a_long_queue():
    world, _ = world_with(5000, conversations=2500)
    world.endpoints.latency = 2.0
    with world:
        world.start()
        for _ in range(10):
            world.pass_time(1)
            assert world.deliverer.held() <= HELD
        world.endpoints.latency = 0.001
        world.pass_time(30)
        assert sorted(world.endpoints.positions()) == list(range(1, 5001))


@pytest.mark.scorecard(21)
def test_the_endpoint_goes_down_its_ladder_and_is_paused_after_ten_failures_in_a_row():
    world, endpoint = world_with(1)
    world.endpoints.script = lambda *_: answer(500)
    with world:
        world.start()
        world.pass_time(4 * DAY)
        calls = world.endpoints.at()
        assert len(calls) == LAST_STEP == 10
        waits = [then.at - first.answered for first, then in pairwise(calls)]
        for wait, published in zip(waits, WAITS, strict=True):
            assert published <= wait <= published * 1.1 + 0.1
        ladder = world.store.ends[endpoint].ladder
        assert ladder.paused_at is not None
        assert "10 times in a row" in ladder.paused_reason
        assert world.states(endpoint) == {1: Owed.PENDING}, "it is kept"
        assert 2.9 * DAY < calls[-1].at - calls[0].at < 3.5 * DAY
        assert {call.webhook_id for call in calls} == {f"evt_{endpoint}_1"}


def test_ten_calls_that_fail_together_are_one_step():
    world, endpoint = world_with(40, conversations=40)
    world.endpoints.script = lambda *_: miss()
    with world:
        world.start()
        world.pass_time(3)
        assert len(world.endpoints.arrived) == IN_FLIGHT
        assert world.store.ends[endpoint].ladder.failures == 1


@pytest.mark.scorecard(21)
def test_one_event_at_a_time_probes_and_then_everything_flows_in_order():
    world, endpoint = world_with(40, conversations=8)
    dead = True
    world.endpoints.script = lambda *_: miss(Miss.TIMEOUT) if dead else OK
    with world:
        world.start()
        world.pass_time(after_steps(4))
        probes = world.endpoints.arrived[8:]
        assert len(probes) == 4
        assert all(first.answered <= then.at for first, then in pairwise(probes))
        assert len({probe.position for probe in probes}) == 4, (
            "another conversation probes, in case it was that event's fault"
        )
        dead = False
        before = len(world.endpoints.arrived)
        world.pass_time(WAITS[4] * (1 + JITTER) + 60)
        after = world.endpoints.arrived[before:]
        assert after[1].at >= after[0].answered, "the probe first"
        assert world.endpoints.most <= IN_FLIGHT
        by_line = defaultdict(list)
        for one in after:
            by_line[(one.position - 1) % 8].append(one.position)
        assert all(line == sorted(line) for line in by_line.values())
        assert sorted(one.position for one in after) == list(range(1, 41))
        assert world.store.ends[endpoint].ladder == Ladder()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_what_puts_the_endpoint_on_its_ladder(status):
    world, endpoint = world_with(1)
    world.endpoints.script = lambda *_: answer(status)
    with world:
        world.start()
        world.pass_time(3)
        assert world.store.ends[endpoint].ladder.failures == 1
        assert world.store.tries[endpoint, 1][0].error == f"error_status_code: {status}"


@pytest.mark.parametrize(("asked", "least"), [("120", 120), ("1", 5), ("999999999", DAY)])
def test_retry_after_is_obeyed_up_to_a_day(asked, least):
    world, _ = world_with(30, conversations=30)
    world.endpoints.script = lambda *_: answer(429, retry_after=asked)
    with world:
        world.start()
        world.pass_time(least * 0.98)
        assert len(world.endpoints.arrived) == IN_FLIGHT
        world.pass_time(least * 0.15 + 1)
        assert len(world.endpoints.arrived) == IN_FLIGHT + 1


def test_a_longer_retry_after_of_a_call_that_ended_later_is_obeyed_too():
    world, _ = world_with(2, conversations=2)
    world.endpoints.script = lambda position, _: answer(503) if position == 1 else answer(503, retry_after="600")
    with world:
        world.start()
        world.pass_time(599)
        assert len(world.endpoints.arrived) == 2


@pytest.mark.parametrize("failures", [0, 1])
def test_what_an_operator_decided_on_another_node_is_not_undone_by_a_call_that_fails(failures):
    """The call was under way, and this node had not heard of it yet: an endpoint that is paused, and one that goes on."""
    world, endpoint = world_with(1)
    world.endpoints.script = lambda *_: answer(500)
    world.endpoints.latency = 0.5
    with world:
        world.start()
        world.pass_time(0.25 if not failures else 0.5 + WAITS[0] * (1 + JITTER))
        assert [world.store.ends[endpoint].ladder.failures, len(world.endpoints.under_way)] == [failures, 1]
        now = world.clock.now()
        decided = ladder.paused(Ladder(), now) if not failures else ladder.resumed(now)
        world.run(world.store.set_ladder(endpoint, decided))
        world.pass_time(2)
        stands = world.store.ends[endpoint].ladder
        if failures:
            assert stands.failures == 1, "its first step, again"
            assert len(world.endpoints.arrived) == 3, "it was probed at once"
        else:
            assert stands == decided
            world.pass_time(DAY)
            assert len(world.endpoints.arrived) == 1


def test_an_operator_pauses_an_endpoint_that_another_node_has_moved():
    world, endpoint = world_with()
    with world:
        world.start()
        moved = Ladder(2, world.clock.now(), world.clock.now(), last_error="500")
        world.run(world.store.set_ladder(endpoint, moved))
        world.run(world.deliverer.worker(endpoint).pause())
        stands = world.store.ends[endpoint].ladder
        assert (stands.failures, stands.paused_reason) == (2, ladder.OPERATOR)
        world.run(world.deliverer.worker(endpoint).resume())
        stands = world.store.ends[endpoint].ladder
        assert stands == ladder.resumed(stands.next_at)


@pytest.mark.scorecard(21)
def test_410_pauses_at_once_and_keeps_what_is_owed():
    world, endpoint = world_with(3)
    world.endpoints.script = lambda *_: answer(410)
    with world:
        world.start()
        world.pass_time(7 * DAY)
        assert len(world.endpoints.arrived) == 1
        assert "410" in world.store.ends[endpoint].ladder.paused_reason
        assert set(world.states(endpoint).values()) == {Owed.PENDING}


@pytest.mark.scorecard(21)
def test_resume_delivers_in_order_what_was_kept_and_what_came_meanwhile():
    world, endpoint = world_with(3)
    world.endpoints.script = lambda *_: answer(410)
    with world:
        world.start()
        world.pass_time(10)
        world.add("c0")
        world.endpoints.script = lambda *_: OK
        world.run(world.deliverer.worker(endpoint).resume())
        world.pass_time(3)
        assert world.endpoints.positions() == [1, 1, 2, 3, 4]
        assert world.store.ends[endpoint].ladder == Ladder()


def test_the_operators_pause_is_durable_and_outlives_a_restart():
    world, endpoint = world_with()
    with world:
        world.start()
        world.run(world.deliverer.worker(endpoint).pause())
        assert world.store.ends[endpoint].ladder.paused_at is not None
        world.add()
        world.stop()
        world.start()
        world.pass_time(100)
        assert world.endpoints.arrived == []
        world.run(world.deliverer.worker(endpoint).resume())
        world.pass_time(1)
        assert world.endpoints.positions() == [1]


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 422])
def test_another_4xx_and_a_redirect_are_about_the_event_three_tries_then_its_conversation_goes_on(status):
    world, endpoint = world_with()
    world.add("c0")
    world.add("c0")
    world.add("c1")
    world.endpoints.script = lambda position, _: answer(status) if position == 1 else OK
    with world:
        world.start()
        world.pass_time(1)
        assert world.states(endpoint)[3] is Owed.DELIVERED, "nobody else waits"
        world.pass_time(60)
        tries = [one.at for one in world.endpoints.at() if one.position == 1]
        assert len(tries) == 3
        assert tries[-1] - tries[0] < 60
        assert world.states(endpoint) == {1: Owed.FAILED, 2: Owed.DELIVERED, 3: Owed.DELIVERED}
        second = next(one for one in world.endpoints.at() if one.position == 2)
        assert second.at >= tries[-1], "its conversation kept its order"
        assert world.store.ends[endpoint].ladder == Ladder()


@pytest.mark.scorecard(21)
def test_an_event_that_failed_can_be_replayed():
    world, endpoint = world_with(1)
    world.endpoints.script = lambda *_: answer(400)
    with world:
        world.start()
        world.pass_time(70)
        assert world.states(endpoint) == {1: Owed.FAILED}
        world.endpoints.script = lambda *_: OK
        world.add("later")
        world.pass_time(1)

        async def replay():
            await world.store.replay(endpoint, Replay(failed_only=True), world.clock.now())
            world.deliverer.rescan(endpoint)

        world.run(replay())
        world.pass_time(1)
        assert world.states(endpoint) == {1: Owed.DELIVERED, 2: Owed.DELIVERED}


def test_an_event_that_breaks_the_endpoint_does_not_keep_the_others_from_it(monkeypatch):
    monkeypatch.setattr(worker, "POLL_SECONDS", 600.0)  # so that days take a moment
    world, endpoint = world_with(5, conversations=5)
    world.endpoints.script = lambda position, _: answer(500) if position == 1 else OK
    with world:
        world.start()
        world.pass_time(20)
        assert [position for position, state in world.states(endpoint).items() if state is Owed.PENDING] == [1]
        for _ in range(60):
            world.add("c1")
            world.pass_time(2 * 3600)
        world.pass_time(60)
        assert world.states(endpoint).pop(1) is Owed.FAILED
        assert set(world.states(endpoint).values()) == {Owed.FAILED, Owed.DELIVERED}
        assert world.store.ends[endpoint].ladder.paused_at is None


@pytest.mark.scorecard(20)
@pytest.mark.parametrize("behind", [60, 600])
def test_what_is_owed_behind_an_event_that_breaks_the_endpoint_does_not_keep_the_others_from_it(behind):
    world, endpoint = world_with(behind, conversations=1)  # the first of them is the one
    world.endpoints.script = lambda position, _: answer(500) if position == 1 else OK
    with world:
        world.start()
        world.pass_time(0.2)
        for hour in range(3):
            last = world.add(f"other {hour}")
            world.pass_time(3600)
        states = world.states(endpoint)
        assert {states[number] for number in range(behind + 1, last + 1)} == {Owed.DELIVERED}
        assert world.store.ends[endpoint].ladder.paused_at is None
        assert world.endpoints.positions().count(1) > 1
        assert not [number for number in world.endpoints.positions() if 1 < number <= behind], "none overtakes its head"


def test_the_search_for_a_probe_goes_on_where_it_ended_and_does_not_hurry():
    world, endpoint = world_with(1300, conversations=1)
    world.endpoints.script = lambda position, _: answer(500) if position == 1 else OK
    watched = 600
    steps = 1 + next(number for number, wait in enumerate(WAITS) if wait > watched)
    tries = steps + 1  # one was a probe: that is the endpoint's step
    with world:
        world.start()
        # The others do well, so that the first waits by itself, and long.
        while world.endpoints.positions().count(1) < tries:
            world.add("other")
            world.pass_time(10)
        assert world.store.ends[endpoint].ladder.failures == 1
        reads, owed = 0, world.store.owed

        async def counted(*args, **more):
            nonlocal reads
            reads += 1
            return await owed(*args, **more)

        world.store.owed = counted
        world.pass_time(watched)
        assert watched < reads < 1000, "a look a second for what is new, and seldom one at everything"
        assert world.endpoints.positions().count(1) == tries
        new = world.add("new")
        world.pass_time(0.2)
        assert world.endpoints.positions()[-1] == new
        assert world.store.ends[endpoint].ladder.failures == 0


@pytest.mark.scorecard(20)
def test_a_slow_and_a_dead_endpoint_of_others_delay_nobody():
    world, _ = world_with()
    world.put("other", OTHER)
    world.endpoints.slow[OTHER] = 15.0
    world.endpoints.script = lambda _, url: miss(Miss.TIMEOUT) if url == OTHER else OK
    for number in range(300):
        world.add(f"c{number}", "other")
        world.add(f"c{number}", "acme")
    with world:
        world.start()
        world.pass_time(5)
        assert len(world.endpoints.positions(URL)) == 300
        assert len(world.endpoints.positions(OTHER)) == IN_FLIGHT


def test_two_endpoints_of_a_client_each_get_every_event():
    world, _ = world_with()
    world.put("acme", OTHER, "standard")
    with world:
        world.start()
        for _ in range(5):
            world.add()
        world.pass_time(2)
        assert world.endpoints.positions(URL) == world.endpoints.positions(OTHER) == [1, 2, 3, 4, 5]
        ids = {one.webhook_id for one in world.endpoints.arrived}
        assert len(ids) == 10


def test_endpoints_come_go_and_change_while_it_runs():
    world, _ = world_with()
    with world:
        world.start()
        other = world.put("acme", OTHER)
        world.run(world.deliverer.reload())
        world.add()
        world.pass_time(1)
        assert world.endpoints.positions(OTHER) == [1]
        world.put("acme", OTHER, enabled=False)
        world.run(world.deliverer.reload())
        world.add()
        world.pass_time(2)
        assert world.endpoints.positions(OTHER) == [1]
        assert world.endpoints.positions(URL) == [1, 2]
        assert world.deliverer.worker(other) is None
        assert world.deliverer.alive()


def test_an_event_that_compat_has_no_shape_for_is_let_go_without_a_call():
    world, endpoint = world_with()
    with world:
        world.start()
        event = world.store.add("acme", "c0", world.clock.now())
        world.store.feed[0] = replace(event, kind="contact.blocked", change=None, data=b"{}")
        world.add("c0")
        world.pass_time(2)
        assert world.endpoints.positions() == [2]
        assert set(world.states(endpoint).values()) == {Owed.DELIVERED}


def test_an_event_that_cannot_be_read_ends_and_holds_up_nobody():
    world, endpoint = world_with()
    with world:
        world.start()
        event = world.store.add("acme", "c0", world.clock.now())
        world.store.feed[0] = replace(event, kind="message.received", change=None, data=b"{half")
        world.add("c0")
        world.pass_time(2)
        assert world.states(endpoint) == {1: Owed.FAILED, 2: Owed.DELIVERED}
        assert world.store.tries[endpoint, 1][0].error.startswith("unclassified: ")


def test_a_crash_repeats_at_most_what_was_in_flight_with_the_same_id():
    world, endpoint = world_with(50, conversations=25)
    world.endpoints.latency = 0.3
    with world:
        world.start()
        world.pass_time(0.5)
        world.kill()
        world.start()
        world.pass_time(10)
        first = {one.position for one in world.endpoints.arrived if one.life == 1}
        again = [one.position for one in world.endpoints.arrived if one.life == 2 and one.position in first]
        assert 0 < len(again) <= IN_FLIGHT
        assert set(world.states(endpoint).values()) == {Owed.DELIVERED}
        assert all(one.webhook_id == f"evt_{endpoint}_{one.position}" for one in world.endpoints.arrived)


def test_a_restart_on_the_ladder_waits_as_long_as_it_would_have():
    world, endpoint = world_with(1)
    world.endpoints.script = lambda *_: miss()
    with world:
        world.start()
        killed_at = after_steps(2) + WAITS[2] / 2  # late in the third wait: one that began anew would end too late
        world.pass_time(killed_at)
        assert world.store.ends[endpoint].ladder.failures == 3
        world.kill()
        world.start()
        world.pass_time(sum(WAITS[:3]) - 1 - killed_at)
        assert len(world.endpoints.arrived) == 3
        world.pass_time(after_steps(3) - sum(WAITS[:3]) + 1)
        assert len(world.endpoints.arrived) == 4
        assert world.store.ends[endpoint].ladder.failures == 4


def test_a_wall_clock_that_is_put_back_stretches_no_wait():
    world, _ = world_with(1)
    world.endpoints.script = lambda *_: miss()
    with world:
        world.start()
        world.pass_time(after_steps(1))
        assert len(world.endpoints.arrived) == 2
        world.clock.jump(-86_400)
        world.pass_time(after_steps(2) - after_steps(1))
        assert len(world.endpoints.arrived) == 3


def test_a_stop_ends_within_seconds_though_an_endpoint_hangs():
    world, endpoint = world_with(20, conversations=20)
    world.endpoints.latency = 1000.0
    with world:
        world.start()
        world.pass_time(1)
        began = world.clock.seconds
        world.stop(3.0)
        assert world.clock.seconds - began < 6
        assert set(world.states(endpoint).values()) == {Owed.PENDING}


def test_a_stop_waits_for_what_is_about_to_end_and_writes_it():
    world, endpoint = world_with(5, conversations=5)
    world.endpoints.latency = 1.0
    with world:
        world.start()
        world.pass_time(0.5)
        world.stop()
        assert set(world.states(endpoint).values()) == {Owed.DELIVERED}


def test_a_store_that_does_not_write_for_a_while_costs_no_event_and_no_second_call():
    world, endpoint = world_with(30, conversations=30)
    with world:
        world.start()
        world.pass_time(0.03)
        world.store.trouble = True
        world.pass_time(60)
        assert len(world.endpoints.arrived) == IN_FLIGHT
        world.store.trouble = False
        world.pass_time(10)
        assert sorted(world.endpoints.positions()) == list(range(1, 31))
        assert set(world.states(endpoint).values()) == {Owed.DELIVERED}


def test_secrets_and_texts_reach_no_log(capsys):
    world, _ = world_with(1)
    world.endpoints.script = lambda *_: answer(410)
    with world:
        world.start()
        world.pass_time(2)
    out = capsys.readouterr().out
    assert "MfKQ9r8G" not in out


# --- by property ----------------------------------------------------------------------------------------------------------

MOODS = st.sampled_from(
    [OK, OK, OK, answer(500), answer(404), answer(429, retry_after="3"), miss(), miss(Miss.TIMEOUT)]
)


@pytest.fixture
def quick_polls(monkeypatch):
    """Let an idle worker look seldom, so that days take a moment."""
    monkeypatch.setattr(worker, "POLL_SECONDS", 600.0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    conversations=st.lists(st.integers(0, 5), min_size=1, max_size=40),
    moods=st.lists(MOODS, max_size=60),
    crashes=st.lists(st.floats(0.01, 30.0), max_size=3),
)
def test_whatever_fails_the_order_holds_each_event_is_taken_and_after_success_never_again(
    quick_polls, conversations, moods, crashes
):
    world = World(seed=len(moods))
    endpoint = world.put()
    left = list(moods)
    world.endpoints.script = lambda *_: left.pop(0) if left else OK
    with world:
        world.start()
        for number in conversations:
            world.add(f"c{number}")
        for seconds in crashes:
            world.pass_time(seconds)
            world.kill()
            world.start()
        for _ in range(2000):
            if Owed.PENDING not in world.states(endpoint).values():
                break
            one = world.deliverer.worker(endpoint)
            if one.ladder.paused_at is not None:
                world.run(one.resume())
            world.pass_time(600)
        states = world.states(endpoint)
        assert Owed.PENDING not in states.values()
        calls = world.endpoints.at()
        last = {}
        for call in calls:
            line = conversations[call.position - 1]
            assert call.position >= last.get(line, 0), "a later event of the conversation was called before"
            last[line] = call.position
        for position, state in states.items():
            mine = [call for call in calls if call.position == position]
            taken = [call for call in mine if call.answer.status == 200 and call.answered is not None]
            if state is Owed.DELIVERED:
                assert taken
            else:
                assert sum(call.answer.status in (404, 500, 0) for call in mine) >= 3
            for one in taken[:1]:
                later = [call for call in mine if call.at > one.at]
                assert all(call.life > one.life for call in later), "it was called again though its success was known"


def test_an_endpoint_that_took_an_example_is_off_its_ladder_and_everything_flows():
    world, endpoint = world_with(20, conversations=4)
    dead = True
    world.endpoints.script = lambda *_: miss() if dead else OK
    with world:
        world.start()
        world.pass_time(after_steps(2))
        assert world.store.ends[endpoint].ladder.failures == 3
        dead = False
        assert world.run(world.deliverer.worker(endpoint).well()) is True
        assert world.store.ends[endpoint].ladder == Ladder(), "it is on disk"
        world.pass_time(1)
        assert set(world.states(endpoint).values()) == {Owed.DELIVERED}
        assert world.run(world.deliverer.worker(endpoint).well()) is False


def test_an_example_lets_what_was_paused_by_failures_go_on_and_never_what_an_operator_paused():
    world, endpoint = world_with(1)
    world.endpoints.script = lambda *_: answer(500)
    with world:
        world.start()
        world.pass_time(4 * DAY)
        worker_of = world.deliverer.worker(endpoint)
        assert worker_of.ladder.paused_at is not None
        world.endpoints.script = lambda *_: OK
        assert world.run(worker_of.well()) is True
        world.pass_time(1)
        assert world.states(endpoint) == {1: Owed.DELIVERED}
        world.run(worker_of.pause())
        assert world.run(worker_of.well()) is False
        world.add()
        world.pass_time(100)
        assert world.states(endpoint)[2] is Owed.PENDING
