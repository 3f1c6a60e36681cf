"""When an account's calls are stopped, how it is probed, and what makes it go on."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurir.delivery.breaker import THRESHOLD, Breaker, State
from kurir.store.base import ErrorRecord

AWAY = ErrorRecord("platform_unavailable", "WhatsApp answered 503", "503")
SILENT = ErrorRecord("no_answer", "no answer came within 30 seconds")
LOGIN = ErrorRecord("account_credentials", "the token is not valid any more", "190")
ANI, BUDI = "1001", "1002"
MAXIMUM = 20


def breaker(seed=7):
    return Breaker(MAXIMUM, Random(seed))


def fail(one, now, times, addresses=(ANI, BUDI), error=AWAY):
    """Let calls fail one after the other, each begun a tenth of a second before; return what was said of each."""
    said = []
    for number in range(times):
        moment = now + number
        said.append(one.failed(moment, moment - 0.1, addresses[number % len(addresses)], error))
    return said


def opened(seed=7):
    one = breaker(seed)
    fail(one, 100.0, THRESHOLD)
    return one


# --- opening ------------------------------------------------------------------------------------------------------------


def test_it_opens_when_enough_calls_to_several_recipients_fail_in_a_row_and_says_so_once():
    one = breaker()
    assert fail(one, 100.0, THRESHOLD + 3) == [False] * (THRESHOLD - 1) + [True] + [False] * 3
    assert one.state(104.0) is State.OPEN
    assert one.allowed(104.0) == 0
    assert one.reason == AWAY
    assert one.since == pytest.approx(99.9)


def test_one_recipient_alone_takes_twice_as_many():
    one = breaker()
    assert fail(one, 100.0, 2 * THRESHOLD, addresses=(ANI,)) == [False] * (2 * THRESHOLD - 1) + [True]


def test_a_poisoned_recipient_stops_nobody_while_others_are_served():
    one = breaker()
    for number in range(100):
        assert not one.failed(number, number - 0.5, ANI, SILENT)
        assert not one.worked(number + 0.25, number + 0.1)
        assert one.allowed(number + 0.3) == MAXIMUM


def test_a_success_between_starts_the_count_anew():
    one = breaker()
    fail(one, 100.0, THRESHOLD - 1)
    assert not one.worked(110.0, 109.0)
    assert not any(fail(one, 120.0, THRESHOLD - 1))
    assert one.state(130.0) is State.CLOSED


def test_failures_of_calls_from_before_the_last_success_do_not_count():
    one = breaker()
    one.worked(100.0, 99.0)
    assert not any(one.failed(101.0 + late, 99.5, (ANI, BUDI)[late % 2], SILENT) for late in range(50))
    assert one.allowed(200.0) == MAXIMUM


def test_a_stopped_account_opens_it_at_once():
    one = breaker()
    assert one.trip(100.0, LOGIN)
    assert one.allowed(100.0) == 0
    assert one.reason == LOGIN
    assert one.since == 100.0


# --- probing ------------------------------------------------------------------------------------------------------------


def test_one_call_may_go_when_the_probe_is_due_and_until_its_outcome_is_told():
    one = opened()
    assert one.allowed(one.probe_at - 0.001) == 0
    assert one.state(one.probe_at) is State.HALF_OPEN
    assert one.allowed(one.probe_at) == 1
    assert one.allowed(one.probe_at + 500) == 1


@given(st.integers(0, 2**32))
def test_probes_come_after_about_1_2_4_and_at_most_60_seconds(seed):
    one = opened(seed)
    opened_at = 100.0 + THRESHOLD - 1
    waits = [one.probe_at - opened_at]
    for _ in range(9):
        began = one.probe_at
        assert not one.failed(began + 0.2, began, ANI, AWAY)
        waits.append(one.probe_at - (began + 0.2))
    for wait, ceiling in zip(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60], strict=True):
        assert ceiling / 2 - 1e-6 <= wait <= ceiling + 1e-6


def test_the_probes_of_many_accounts_do_not_come_at_once():
    assert len({round(opened(seed).probe_at, 2) for seed in range(50)}) > 20


def test_calls_that_were_in_flight_when_it_opened_do_not_delay_the_probe():
    one = opened()
    due = one.probe_at
    for late in range(15):
        one.failed(105.0 + late, 103.0, str(late), SILENT)
    assert one.probe_at == due
    assert one.reason == AWAY


def test_a_stopped_account_is_probed_at_most_twice_a_minute():
    one = breaker()
    one.trip(100.0, LOGIN)
    for _ in range(5):
        tripped = one.probe_at
        one.trip(tripped, LOGIN)
        assert 30 <= one.probe_at - tripped <= 60
    assert one.since == 100.0


def test_a_probe_of_a_stopped_account_that_gets_no_answer_keeps_the_operators_reason():
    one = breaker()
    one.trip(100.0, LOGIN)
    due = one.probe_at
    assert not one.failed(due + 30, due, ANI, SILENT)
    assert one.reason == LOGIN
    assert one.probe_at > due + 30


# --- closing ------------------------------------------------------------------------------------------------------------


def test_a_probe_that_works_closes_it_and_says_so_once():
    one = opened()
    due = one.probe_at
    assert one.worked(due + 0.1, due)
    assert not one.worked(due + 0.2, due + 0.1)
    assert one.state(due + 0.2) is State.CLOSED
    assert one.allowed(due + 0.2) == MAXIMUM
    assert one.reason is None
    assert one.explain(lambda _: datetime.now(UTC)) is None


def test_the_next_outage_is_probed_from_the_beginning():
    one = opened()
    for _ in range(6):
        one.failed(one.probe_at + 0.1, one.probe_at, ANI, AWAY)
    one.worked(one.probe_at + 0.1, one.probe_at)
    fail(one, 1000.0, THRESHOLD)
    assert one.probe_at - (1000.0 + THRESHOLD - 1) <= 1


def test_after_an_outage_a_late_answer_closes_it_too():
    one = opened()
    assert one.worked(105.0, 90.0)
    assert one.allowed(105.0) == MAXIMUM


def test_a_stopped_account_is_not_closed_by_a_call_from_before():
    one = breaker()
    one.trip(100.0, LOGIN)
    assert not one.worked(101.0, 99.0)
    assert one.allowed(101.0) == 0
    assert one.worked(one.probe_at + 1, one.probe_at)


def test_an_outage_that_turns_out_to_be_a_stop_is_news_and_closes_as_a_stop():
    one = opened()
    due = one.probe_at
    assert one.trip(due + 0.1, LOGIN)
    assert not one.trip(due + 0.2, LOGIN)
    assert not one.worked(due + 1, 90.0)
    assert one.trip(due + 2, ErrorRecord("account_payment", "the account has not been paid for"))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["failed", "failed", "failed", "worked", "trip"]),
            st.floats(0, 20),
            st.floats(0, 60),
            st.sampled_from([ANI, BUDI]),
        ),
        max_size=80,
    ),
    st.integers(0, 2**32),
)
def test_whatever_happens_it_says_each_change_once_and_is_probed_within_a_minute(events, seed):
    one, now, is_open = breaker(seed), 1000.0, False
    for event, gap, age, address in events:
        now += gap
        if event == "failed":
            opens = one.failed(now, now - age, address, AWAY)
            assert not (opens and is_open)
            is_open = is_open or opens
        elif event == "worked":
            closes = one.worked(now, now - age)
            assert not closes or is_open
            is_open = is_open and not closes
        else:
            assert one.trip(now, LOGIN) or is_open
            is_open = True
        assert (one.reason is not None) == is_open
        assert one.allowed(now) in ({0, 1} if is_open else {MAXIMUM})
        assert not is_open or one.probe_at <= now + 60
        assert one.allowed(now + 60) >= 1
        assert len(one._failures) <= 2


def test_the_operator_closes_it_and_the_next_outage_is_counted_anew():
    one = breaker()
    one.trip(100.0, LOGIN)
    assert one.stopped
    one.reset()
    assert not one.stopped
    assert one.allowed(100.0) == MAXIMUM
    assert fail(one, 200.0, THRESHOLD) == [False] * (THRESHOLD - 1) + [True]
    assert not one.stopped
    assert one.probe_at - (200.0 + THRESHOLD - 1) <= 1
    one.reset()
    assert not any(fail(one, 300.0, THRESHOLD - 1))


# --- for people -----------------------------------------------------------------------------------------------------------


def time_of(moment):
    return datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC) + timedelta(seconds=moment)


def test_an_outage_is_told_with_its_beginning_and_the_next_try():
    one = opened()
    one.probe_at = 190.0
    said = one.explain(time_of)
    assert said.code == "platform_unavailable"
    assert said.provider_code == "503"
    assert said.detail == (
        "no call has worked since 12:01:39 UTC; next try at 12:03:10 UTC; the last one: WhatsApp answered 503"
    )


def test_an_outage_after_a_stop_that_was_mended_is_told_as_an_outage():
    one = breaker()
    one.trip(65.0, LOGIN)
    assert one.worked(one.probe_at + 1, one.probe_at)
    fail(one, 200.0, THRESHOLD)
    assert one.explain(time_of).detail.startswith("no call has worked since 12:03:19 UTC")


def test_the_newest_failure_is_the_one_that_is_told():
    one = opened()
    one.failed(one.probe_at + 30, one.probe_at, ANI, SILENT)
    assert one.reason == SILENT
    assert one.explain(time_of).detail.endswith("the last one: no answer came within 30 seconds")


def test_a_stopped_account_is_told_as_such():
    one = breaker()
    one.trip(65.0, LOGIN)
    detail = one.explain(time_of).detail
    assert detail.startswith("the platform has stopped the account since 12:01:05 UTC; next try at 12:0")
    assert detail.endswith("; the last one: the token is not valid any more")


def test_another_maximum_holds_from_then_on():
    one = breaker()
    one.resize(3)
    assert one.allowed(0.0) == 3
