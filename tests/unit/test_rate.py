"""How fast an account may call: the limits hold, what is named is kept, and what was lost comes back."""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurir.channels.base import Scope
from kurir.channels.telegram import channel as telegram
from kurir.delivery.gcra import ROUNDING_SECONDS, Gcra
from kurir.delivery.pace import CRAWL, FLOOR, RAMP_SECONDS, Pace
from kurir.delivery.rate import Rates
from kurir.domain.account import Rate

#: Where monotonic time begins: the uptime of a machine, where a float is no longer fine.
START = 3_000_000.0

rates = st.builds(Rate, st.integers(1, 2000), st.sampled_from([0.5, 1.0, 6.0, 60.0]), st.sampled_from([1, 2, 3, 5, 45]))
waits = st.one_of(st.floats(0, 3), st.floats(0, 100), st.sampled_from([0.0, 0.0125, 1.0, 6.0, 60.0]))


def at(seconds, within=1e-5):
    """Return the moment so many seconds after START, give or take *within* (a relative error would be whole seconds)."""
    return pytest.approx(START + seconds, rel=0, abs=within)


# --- one limit ----------------------------------------------------------------------------------------------------------


@dataclass
class Caller:
    """Calls as soon as it may, and keeps a book: when each call was made, and how far the slowed clock had come then."""

    limit: Gcra
    now: float = START
    slowed: float = 0.0
    factor: float = 1.0
    held_until: float = -math.inf
    calls: list[tuple[float, float]] = field(default_factory=list)

    def sleep(self, seconds):
        self.now += seconds
        self.slowed += seconds * self.factor

    def call(self):
        if self.limit.free_at(self.now) > self.now:
            return False
        self.limit.take(self.now)
        self.calls.append((self.now, self.slowed))
        return True

    def call_when_free(self):
        self.sleep(self.limit.free_at(self.now) - self.now)
        assert self.call()

    def hold(self, seconds):
        self.limit.hold(self.now + seconds)
        self.held_until = max(self.held_until, self.now + seconds)

    def slow(self, factor):
        self.limit.slow(self.now, factor)
        self.factor = factor

    def give_back(self, index):
        if self.calls:
            self.limit.give_back(self.calls.pop(index % len(self.calls))[0])


operations = st.lists(
    st.one_of(
        st.tuples(st.just("sleep"), waits),
        st.tuples(st.just("call"), st.none()),
        st.tuples(st.just("call"), st.none()),
        st.tuples(st.just("call_when_free"), st.none()),
        st.tuples(st.just("hold"), st.floats(0, 90)),
        st.tuples(st.just("slow"), st.sampled_from([1.0, 0.5, 0.1, FLOOR])),
        st.tuples(st.just("give_back"), st.integers(0, 100)),
    ),
    max_size=60,
)


def perform(caller, operation, argument):
    method = getattr(caller, operation)
    return method() if argument is None else method(argument)


@given(rates, operations)
def test_no_window_of_time_has_more_calls_than_the_burst_and_what_came_free_in_it(rate, done):
    caller = Caller(Gcra(rate))
    for operation, argument in done:
        perform(caller, operation, argument)
        if operation == "give_back":
            continue
    interval = rate.seconds / rate.count
    for first, (_, began) in enumerate(caller.calls):
        for last, (_, ended) in enumerate(caller.calls[first:], 1):
            # Time that was slowed counts by its factor: the bound is that of the rate at which the limit stood.
            assert last <= rate.burst + (ended - began + 2 * ROUNDING_SECONDS) / interval + 1e-9


@given(rates, operations)
def test_whatever_was_done_the_next_call_goes_when_it_was_said_and_soon(rate, done):
    caller = Caller(Gcra(rate))
    for operation, argument in done:
        perform(caller, operation, argument)
        moment = caller.limit.free_at(caller.now)
        assert moment >= max(caller.now, caller.held_until)
        interval = rate.seconds / rate.count / caller.factor
        assert moment <= max(caller.held_until, caller.now + interval) + 2 * ROUNDING_SECONDS
        assert caller.limit.free_at(moment) == moment


@given(rates, st.floats(0, 50))
def test_who_calls_as_fast_as_allowed_gets_the_whole_rate(rate, idle):
    caller = Caller(Gcra(rate))
    caller.sleep(idle)
    for _ in range(rate.burst + 100):
        caller.call_when_free()
    assert caller.now - START - idle == pytest.approx(100 * rate.seconds / rate.count, rel=1e-3, abs=1e-4)


def test_eighty_a_second_is_one_every_12_5_milliseconds():
    limit = Gcra(Rate(80, 1, 1))
    limit.take(START)
    assert limit.free_at(START) == at(0.0125)
    assert limit.free_at(START + 0.0125) == START + 0.0125


def test_one_in_six_seconds_with_a_burst_of_45_is_45_at_once_and_then_one_every_six():
    caller = Caller(Gcra(Rate(1, 6, 45)))
    assert [caller.call() for _ in range(46)] == [True] * 45 + [False]
    caller.call_when_free()
    caller.call_when_free()
    assert [round(moment - START, 3) for moment, _ in caller.calls[44:]] == [0, 6, 12]


def test_a_call_that_went_unasked_is_counted_and_waited_for():
    limit = Gcra(Rate(1, 1, 1))
    for _ in range(5):
        limit.take(START)
    assert limit.free_at(START) == at(5)


def test_without_a_rate_everything_goes_but_not_while_held():
    limit = Gcra(None)
    for _ in range(10_000):
        limit.take(START)
    assert limit.free_at(START) == START
    limit.hold(START + 7)
    assert limit.free_at(START) == START + 7
    assert limit.free_at(START + 7) == START + 7


def test_no_burst_is_saved_up_by_waiting_for_the_platform():
    caller = Caller(Gcra(Rate(1, 6, 45)))
    caller.hold(600)
    caller.call_when_free()
    assert caller.now == START + 600
    caller.call_when_free()
    assert caller.now == at(606)


def test_a_shorter_hold_does_not_end_a_longer_one():
    limit = Gcra(Rate(1, 1, 1))
    limit.hold(START + 60)
    limit.hold(START + 5)
    assert limit.free_at(START) == START + 60


def test_a_slowed_limit_lets_through_its_share_and_goes_back_to_the_whole():
    caller = Caller(Gcra(Rate(10, 1, 1)))
    caller.slow(0.25)
    for _ in range(5):
        caller.call_when_free()
    assert caller.now - START == pytest.approx(1.6)
    caller.slow(1.0)
    caller.call_when_free()
    assert caller.now - START == pytest.approx(1.7)


@pytest.mark.parametrize("factor", [0.0, -1.0, 1.5, math.nan])
def test_a_factor_that_is_none_is_refused(factor):
    with pytest.raises(ValueError, match="factor"):
        Gcra(Rate(1, 1)).slow(START, factor)


def test_a_call_that_is_given_back_makes_room_for_another():
    caller = Caller(Gcra(Rate(1, 6, 2)))
    assert caller.call()
    assert caller.call()
    assert not caller.call()
    caller.give_back(0)
    assert caller.call()


def test_a_call_that_is_given_back_too_late_makes_no_room_since_a_burst_may_have_used_it():
    caller = Caller(Gcra(Rate(1, 6, 2)))
    assert caller.call()
    caller.sleep(100)
    assert caller.call()
    assert caller.call()
    caller.give_back(0)
    assert not caller.call()


def test_a_call_from_before_the_platform_wanted_to_wait_makes_no_room_after_it():
    caller = Caller(Gcra(Rate(1, 6, 2)))
    assert caller.call()
    caller.hold(100)
    caller.sleep(100)
    assert caller.call()
    caller.give_back(0)
    assert not caller.call()


def test_who_asks_with_a_moment_that_is_past_is_told_no_earlier_one():
    limit = Gcra(Rate(1, 10))
    limit.take(START + 5)
    assert limit.free_at(START) == at(15)


# --- the pace -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 1)), min_size=1, max_size=40))
def test_all_throttles_of_calls_that_had_begun_count_once(burst):
    pace = Pace()
    assert pace.throttled(START, START - 1, None)
    for late, before in burst:
        assert not pace.throttled(START + late, START - before, None)
    assert pace.factor(START) == 0.5


def test_each_throttle_of_a_later_call_halves_down_to_the_floor():
    pace = Pace()
    factors = []
    for step in range(10):
        pace.throttled(START + step * 1e-3, START + step * 1e-3 - 1e-4, None)
        factors.append(pace.factor(START + step * 1e-3))
    assert factors[:6] == pytest.approx([1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64], rel=0.01)
    assert factors[-1] >= FLOOR == pytest.approx(factors[-1], rel=0.01)


throttles = st.lists(
    st.tuples(st.floats(0.001, 70), st.floats(0, 40), st.none() | st.floats(0, 200)), min_size=1, max_size=30
)


@given(throttles)
def test_the_pace_is_whole_a_minute_after_the_last_throttle_or_half_a_minute_after_its_wait(events):
    pace, now, ends = Pace(), START, []
    for gap, age, wait in events:
        now += gap
        pace.throttled(now, now - age, wait)
        ends.append(now + (wait or 0))
    whole = max(now + 60, *(end + RAMP_SECONDS for end in ends))
    assert pace.factor(whole) >= 0.9
    assert pace.factor(whole + 10) == 1.0


@given(throttles)
def test_the_pace_only_rises_between_throttles_and_never_jumps(events):
    pace, now = Pace(), START
    for gap, age, wait in events:
        seen = [pace.factor(now + gap * step / 50) for step in range(51)]
        for before, after in pairwise(seen):
            assert 0 <= after - before <= gap / 50 / RAMP_SECONDS + 1e-9
        now += gap
        before = pace.factor(now)
        halved = pace.throttled(now, now - age, wait)
        assert pace.factor(now) == pytest.approx(max(FLOOR, before / 2) if halved else before)
        assert FLOOR <= pace.factor(now) <= 1.0


def test_the_pace_stays_low_while_the_platform_wants_to_wait_and_rises_evenly_after():
    pace = Pace()
    pace.throttled(START, START - 1, 100.0)
    assert [pace.factor(START + after) for after in (0, 99, 115, 130)] == pytest.approx([0.5, 0.5, 0.75, 1.0])


@pytest.mark.parametrize(
    ("percent", "factor"),
    [(0, 1.0), (80, 1.0), (87.5, (1 + CRAWL) / 2), (95, CRAWL), (100, CRAWL), (1e6, CRAWL), (math.nan, 1.0)],
)
def test_usage_slows_from_80_percent_on(percent, factor):
    pace = Pace()
    pace.usage(START, percent, 0)
    assert pace.factor(START) == pytest.approx(factor)
    assert pace.factor(START + 60) == pytest.approx(factor)
    assert pace.factor(START + 61) == 1.0  # nobody said so any more


def test_news_of_less_usage_is_believed_at_once():
    pace = Pace()
    pace.usage(START, 99, 0)
    pace.usage(START + 1, 10, 0)
    assert pace.factor(START + 1) == 1.0


def test_after_a_blockade_the_rate_comes_back_over_half_a_minute():
    pace = Pace()
    pace.usage(START, 100, 300)
    assert pace.factor(START + 300) == CRAWL
    assert CRAWL < pace.factor(START + 315) < 0.6
    assert pace.factor(START + 330) == 1.0


# --- all limits of an account -------------------------------------------------------------------------------------------

TELEGRAM = telegram.RATES
ANI, BUDI, CICI, GROUP = "1001", "1002", "1003", "-100200"


def test_a_call_waits_for_the_slowest_of_its_limits():
    limits = Rates({"account": Rate(30, 1), "recipient": Rate(1, 6), "media": Rate(5, 1)}, widens=False)
    limits.take(START, ANI, ["media"])
    assert limits.free_at(START, ANI) == at(6)
    assert limits.free_at(START, BUDI) == at(1 / 30)
    assert limits.free_at(START, BUDI, ["media"]) == at(1 / 5)
    assert limits.account_free_at(START) == at(1 / 30)
    assert limits.recipient_free_at(START, BUDI) == START


def test_limits_that_are_none_or_unheard_of_hold_nothing_back():
    limits = Rates({"account": None, "recipient": None, "push": None}, widens=False)
    for _ in range(1000):
        limits.take(START, ANI, ["push", "reply"])
    assert limits.free_at(START, ANI, ["push", "reply"]) == START
    assert limits.explain(START, ANI, ["push"]) is None


def test_a_private_chat_gets_three_at_once_and_then_one_a_second():
    limits = Rates({**TELEGRAM, "account": None}, widens=True)
    for _ in range(3):
        assert limits.free_at(START, ANI) == START
        limits.take(START, ANI)
    assert limits.free_at(START, ANI) == at(1)


def test_a_group_gets_one_every_three_seconds_instead():
    limits = Rates({**TELEGRAM, "account": None}, widens=True)
    limits.take(START, GROUP, ["group"])
    assert limits.free_at(START, GROUP, ["group"]) == at(3)


def test_a_group_is_a_recipient_like_others_where_the_limit_of_groups_is_off():
    limits = Rates({**TELEGRAM, "account": None, "group": None}, widens=True)
    limits.take(START, GROUP, ["group"])
    assert limits.free_at(START, GROUP, ["group"]) == START
    limits.take(START, GROUP, ["group"])
    limits.take(START, GROUP, ["group"])
    assert limits.free_at(START, GROUP, ["group"]) == at(1)


def test_a_group_that_was_first_known_by_a_throttle_has_its_own_limit_afterwards():
    limits = Rates({**TELEGRAM, "account": None}, widens=True)
    limits.throttled(START, START - 1, GROUP, Scope.RECIPIENT, 2)
    limits.take(START + 2, GROUP, ["group"])
    assert limits.free_at(START + 2, GROUP, ["group"]) == at(5)


def test_a_call_that_was_not_made_counts_nowhere():
    limits = Rates({"account": Rate(1, 10), "recipient": Rate(1, 20), "media": Rate(1, 30)}, widens=False)
    limits.take(START, ANI, ["media"])
    limits.give_back(START, ANI, ["media"])
    assert limits.free_at(START, ANI, ["media"]) == START


def test_giving_back_to_somebody_forgotten_harms_nobody():
    limits = Rates({"recipient": Rate(1, 20)}, widens=False)
    limits.give_back(START, ANI, ["media"])
    assert limits.free_at(START, ANI) == START


# --- throttles ----------------------------------------------------------------------------------------------------------


def test_a_throttled_recipient_waits_to_the_second_and_nobody_else():
    limits = Rates(TELEGRAM, widens=True)
    limits.throttled(START, START - 1, ANI, Scope.RECIPIENT, 37)
    assert limits.free_at(START, ANI) == START + 37
    assert limits.free_at(START + 37, ANI) == START + 37
    assert limits.free_at(START, BUDI) == START
    assert limits.factor(START) == 1.0


def test_a_second_recipient_within_the_wait_of_the_first_means_the_bot():
    limits = Rates(TELEGRAM, widens=True)
    limits.throttled(START, START - 1, ANI, Scope.RECIPIENT, 30)
    limits.throttled(START + 29, START + 28, BUDI, Scope.RECIPIENT, 5)
    assert limits.free_at(START + 29, CICI) == START + 34
    assert limits.factor(START + 29) == 0.5


@pytest.mark.parametrize(("second", "after", "widens"), [(ANI, 1, True), (BUDI, 31, True), (BUDI, 1, False)])
def test_the_same_recipient_or_one_later_or_a_platform_that_tells_means_the_recipient(second, after, widens):
    limits = Rates(TELEGRAM, widens=widens)
    limits.throttled(START, START - 1, ANI, Scope.RECIPIENT, 30)
    limits.throttled(START + after, START + after - 0.5, second, Scope.RECIPIENT, 60)
    assert limits.free_at(START + after, CICI) == START + after
    assert limits.factor(START + after) == 1.0


def test_a_throttled_account_waits_to_the_second_and_goes_on_at_half():
    limits = Rates({"account": Rate(10, 1)}, widens=False)
    limits.throttled(START, START - 1, ANI, Scope.ACCOUNT, 8)
    assert limits.free_at(START, BUDI) == START + 8
    limits.take(START + 8, BUDI)
    assert limits.free_at(START + 8, CICI) == at(8.2, within=0.01)


def test_a_throttle_of_the_part_alone_holds_nobody():
    limits = Rates(TELEGRAM, widens=True)
    limits.throttled(START, START - 1, ANI, Scope.PART, 30)
    assert limits.free_at(START, ANI) == START
    assert limits.factor(START) == 1.0


def throttled_in_a_row(limits, scope, times, **shape):
    now, seen = START, []
    for _ in range(times):
        limits.throttled(now, now - 0.001, ANI, scope, None, **shape)
        seen.append(limits.free_at(now, ANI) - now)
        now = limits.free_at(now, ANI) + 0.01
    return now, seen


def test_without_a_named_wait_a_recipient_waits_longer_each_time_until_a_call_works():
    limits = Rates({"account": None, "recipient": None}, widens=False)
    now, seen = throttled_in_a_row(limits, Scope.RECIPIENT, 8)
    assert seen == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])
    limits.worked(now, ANI)
    limits.throttled(now + 1, now + 0.5, ANI, Scope.RECIPIENT, None)
    assert limits.free_at(now + 1, ANI) == at(now - START + 2)


def test_without_a_named_wait_the_account_waits_longer_each_time_but_not_so_long():
    limits = Rates({"account": Rate(80, 1)}, widens=False)
    now, seen = throttled_in_a_row(limits, Scope.ACCOUNT, 7)
    assert seen == pytest.approx([1, 2, 4, 8, 16, 16, 16])
    limits.worked(now, ANI)
    limits.throttled(now + 1, now + 0.5, ANI, Scope.ACCOUNT, None)
    assert limits.account_free_at(now + 1) == at(now - START + 2)


@pytest.mark.parametrize("scope", [Scope.RECIPIENT, Scope.ACCOUNT])
def test_a_success_of_a_call_from_before_the_throttle_does_not_shorten_the_next_wait(scope):
    limits = Rates({"account": Rate(80, 1), "recipient": None}, widens=False)
    limits.throttled(START, START - 1, ANI, scope, None)
    limits.worked(START + 0.5, ANI, began=START - 1)
    limits.throttled(START + 2, START + 1.5, ANI, scope, None)
    assert limits.free_at(START + 2, ANI) == START + 4


@pytest.mark.parametrize("scope", [Scope.RECIPIENT, Scope.ACCOUNT])
def test_a_shorter_wait_that_is_named_later_does_not_end_a_longer_one(scope):
    limits = Rates({"account": Rate(80, 1), "recipient": None}, widens=False)
    limits.throttled(START, START - 1, ANI, scope, 60)
    limits.throttled(START + 1, START - 1, ANI, scope, 5)
    assert limits.free_at(START + 1, ANI) == START + 60


def test_the_shape_that_the_documentation_gives_is_kept():
    _, seen = throttled_in_a_row(Rates({"recipient": None}, widens=False), Scope.RECIPIENT, 4, base=1.0, growth=4.0)
    assert seen == pytest.approx([1, 4, 16, 60])
    _, seen = throttled_in_a_row(Rates({"account": Rate(80, 1)}, widens=False), Scope.ACCOUNT, 2, base=60.0)
    assert seen == pytest.approx([60, 60])


@pytest.mark.parametrize("scope", [Scope.RECIPIENT, Scope.ACCOUNT])
def test_a_burst_of_throttles_without_a_wait_is_one(scope):
    limits = Rates({"account": Rate(80, 1)}, widens=False)
    for late in range(20):
        limits.throttled(START + late / 100, START - 1, ANI, scope, None)
    assert limits.free_at(START + 0.2, ANI) == START + 1


@pytest.mark.parametrize("wait", [0.0, -5.0, 0.2, math.nan])
def test_a_named_wait_of_nothing_is_a_second_so_that_nothing_spins(wait):
    limits = Rates(TELEGRAM, widens=True)
    limits.throttled(START, START - 1, ANI, Scope.RECIPIENT, wait)
    assert limits.free_at(START, ANI) == START + 1


@pytest.mark.parametrize("wait", [8 * 86_400.0, 1e18, math.inf])
def test_nobody_is_believed_who_names_more_than_a_week(wait):
    limits = Rates(TELEGRAM, widens=True)
    limits.throttled(START, START - 1, ANI, Scope.ACCOUNT, wait)
    assert limits.free_at(START, ANI) == START + 7 * 86_400


# --- what an account without a limit learns ------------------------------------------------------------------------------


def test_an_account_without_a_limit_takes_half_of_the_rate_that_it_had_and_forgets_it_when_it_is_back():
    limits = Rates({"account": None, "recipient": None}, widens=False)
    for step in range(400):  # 40 a second for ten seconds
        limits.take(START + step / 40, str(step))
    now = START + 10
    limits.throttled(now, now - 0.1, ANI, Scope.ACCOUNT, 1)
    gone = now + 1
    assert limits.account_free_at(gone) == gone
    limits.take(gone, ANI)
    assert 1 / (limits.account_free_at(gone) - gone) == pytest.approx(20, rel=0.1)
    back = now + 60
    for step in range(1000):
        limits.take(back, str(step))
    assert limits.account_free_at(back) == back


def test_an_account_that_made_no_calls_lately_learns_one_a_second_at_least():
    limits = Rates({"account": None}, widens=False)
    limits.take(START - 100, ANI)
    limits.throttled(START, START - 1, ANI, Scope.ACCOUNT, 1)
    limits.take(START + 1, ANI)
    assert limits.account_free_at(START + 1) == at(3, within=0.1)


def test_usage_holds_the_account_while_access_is_not_regained_and_slows_it():
    limits = Rates({"account": Rate(80, 1)}, widens=False)
    limits.usage(START, 95)
    limits.take(START, ANI)
    assert limits.free_at(START, BUDI) == at(16 / 80)
    limits.usage(START, 100, 120)
    assert limits.free_at(START, BUDI) == START + 120


# --- a platform that has its own mind -------------------------------------------------------------------------------------


def drive(limits, began, seconds, answer, look=0.25):
    """Call recipient after recipient as soon as allowed; *answer(now)* throttles by a wait, or None where it works.

    Returns the moments of the calls that worked, those that were throttled, and the moment of the end.
    """
    now, end, worked, throttled = began, began + seconds, [], []
    while now < end:
        free = limits.free_at(now, ANI)
        if free > now:
            now = min(free, now + look)
            continue
        limits.take(now, ANI)
        verdict = answer(now)
        if verdict is None:
            worked.append(now)
            limits.worked(now, ANI)
        else:
            throttled.append(now)
            limits.throttled(now, now, ANI, Scope.ACCOUNT, verdict[0])
        now = math.nextafter(now, math.inf)
    return worked, throttled, now


@pytest.mark.parametrize("wait", [None, 1.0, 5.0, 30.0])
def test_after_ten_minutes_of_throttles_nine_tenths_of_the_rate_are_back_within_a_minute(wait):
    limits = Rates({"account": Rate(80, 1), "recipient": None}, widens=False)
    _, throttled, now = drive(limits, START, 600, lambda _: (wait,))
    assert len(throttled) < 60 if wait is None else len(throttled) < 620 / wait
    worked, _, _ = drive(limits, now, 75, lambda _: None)
    assert sum(throttled[-1] + 60 <= moment < throttled[-1] + 70 for moment in worked) >= 0.9 * 80 * 10


def test_a_platform_with_a_lower_limit_than_ours_is_mostly_called_as_often_as_it_bears():
    limits = Rates({"account": Rate(80, 1), "recipient": None}, widens=False)
    truth = Gcra(Rate(20, 1, 20))

    def answer(now):
        if truth.free_at(now) > now:
            return (1.0,)
        truth.take(now)
        return None

    worked, throttled, _ = drive(limits, START, 600, answer)
    assert len(worked) + len(throttled) <= 1.3 * len(worked)
    assert len(worked) >= 0.5 * 20 * 600


@dataclass
class Book:
    """What limits were promised, to be held against every call."""

    named: dict[str, float] = field(default_factory=dict)
    account_until: float = -math.inf
    calls: list[tuple[float, str]] = field(default_factory=list)


events = st.lists(
    st.tuples(
        st.sampled_from(["call", "call", "call", "throttled", "worked", "not made", "usage"]),
        st.sampled_from([str(1000 + number) for number in range(8)]),
        st.floats(0, 5),
        st.sampled_from([Scope.RECIPIENT, Scope.ACCOUNT, Scope.PART]),
        st.none() | st.floats(1, 40),
    ),
    max_size=80,
)


@given(events, rates, rates, st.booleans(), st.sampled_from([2, 4, 100]))
def test_limits_and_named_waits_hold_whatever_happens_in_whatever_order(done, account, recipient, widens, kept):
    limits = Rates({"account": account, "recipient": recipient}, widens=widens, kept=kept)
    book, now = Book(), START
    for event, address, gap, scope, wait in done:
        now += gap
        if event == "call" and limits.free_at(now, address) <= now:
            assert now >= max(book.account_until, book.named.get(address, -math.inf))
            limits.take(now, address)
            book.calls.append((now, address))
        elif event == "throttled":
            limits.throttled(now, now - gap / 2, address, scope, wait)
            if wait is not None and scope is Scope.RECIPIENT:
                book.named[address] = max(now + wait, book.named.get(address, -math.inf))
            elif wait is not None and scope is Scope.ACCOUNT:
                book.account_until = max(now + wait, book.account_until)
        elif event == "worked":
            limits.worked(now, address, now - gap / 2)
        elif event == "usage":
            limits.usage(now, 80 + gap * 4)
        elif event == "not made" and book.calls:
            moment, whom = book.calls.pop()
            limits.give_back(moment, whom)
    check(account, [moment for moment, _ in book.calls])
    if kept == 100:  # who is forgotten for want of room has his burst anew
        for address in {address for _, address in book.calls}:
            check(recipient, [moment for moment, whom in book.calls if whom == address])


def check(rate, moments):
    interval = rate.seconds / rate.count
    for first, began in enumerate(moments):
        for last, ended in enumerate(moments[first:], 1):
            assert last <= rate.burst + (ended - began + 2 * ROUNDING_SECONDS) / interval + 1e-9


# --- the memory of recipients ---------------------------------------------------------------------------------------------


def remembered(limits):
    return len(limits._recipients.loose) + len(limits._recipients.held)


def test_recipients_whose_burst_is_whole_again_are_forgotten():
    limits = Rates({"recipient": Rate(1, 6, 2)}, widens=False)
    for number in range(1000):
        limits.take(START + number * 0.001, str(number))
    assert remembered(limits) == 1000
    for number in range(600):
        limits.take(START + 100, f"later {number}")
    assert remembered(limits) <= 602


def test_where_recipients_have_no_limit_none_is_remembered():
    limits = Rates({"account": None, "recipient": None}, widens=False)
    for number in range(1000):
        limits.take(START, str(number))
    assert remembered(limits) == 0


def test_no_more_recipients_are_remembered_than_there_is_room_and_the_one_used_longest_ago_goes_first():
    limits = Rates({"recipient": Rate(1, 600)}, widens=False, kept=10)
    for number in range(10):
        limits.take(START, str(number))
    limits.take(START + 1, "0")
    limits.take(START + 1, "new")
    assert remembered(limits) == 10
    assert limits.free_at(START + 1, "1") == START + 1
    assert limits.free_at(START + 1, "0") > START + 600
    assert limits.free_at(START + 1, "2") > START + 500


def test_a_held_recipient_is_not_forgotten_for_others():
    limits = Rates({"recipient": Rate(1, 600)}, widens=False, kept=10)
    for number in range(5):
        limits.throttled(START, START - 1, f"held {number}", Scope.RECIPIENT, 3600)
    for number in range(100):
        limits.take(START + 1, str(number))
    assert remembered(limits) == 10
    assert [limits.free_at(START + 2, f"held {number}") for number in range(5)] == [START + 3600] * 5


def test_a_recipient_whose_wait_was_made_longer_is_held_to_its_end():
    limits = Rates({"recipient": Rate(1, 600)}, widens=False, kept=10)
    for wait in (10, 3600):
        for number in range(5):
            limits.throttled(START, START - 1, f"held {number}", Scope.RECIPIENT, wait)
    for number in range(100):
        limits.take(START + 20, str(number))
    assert [limits.free_at(START + 21, f"held {number}") for number in range(5)] == [START + 3600] * 5


def test_when_more_are_held_than_there_is_room_for_the_account_waits_for_the_one_too_many_and_says_so():
    limits = Rates({"account": Rate(80, 1), "recipient": None}, widens=False, kept=10)
    for number in range(5):
        limits.throttled(START, START - 1, f"held {number}", Scope.RECIPIENT, 3600)
    assert limits.free_at(START, ANI) == START
    limits.throttled(START, START - 1, "one too many", Scope.RECIPIENT, 30)
    assert limits.free_at(START, ANI) == START + 30
    sentence, until = limits.explain(START, ANI)
    assert sentence == "more recipients have to wait than are remembered one by one"
    assert until == START + 30


def test_room_is_there_again_when_held_recipients_have_waited():
    limits = Rates({"account": Rate(80, 1), "recipient": None}, widens=False, kept=10)
    for number in range(50):
        now = START + 20 * number
        limits.throttled(now, now - 1, str(number), Scope.RECIPIENT, 15)
        assert limits.free_at(now, "somebody else") == now


def test_repeats_are_forgotten_in_the_end():
    limits = Rates({"recipient": Rate(1, 1)}, widens=False)
    throttled_in_a_row(limits, Scope.RECIPIENT, 3)
    for number in range(2):
        limits.take(START + 1000, str(number))
    assert limits._recipients.find(ANI) is None


def test_a_recipient_that_works_again_is_forgotten_like_any_other():
    limits = Rates({"recipient": Rate(1, 1)}, widens=False)
    now, _ = throttled_in_a_row(limits, Scope.RECIPIENT, 3)
    limits.worked(now, ANI)
    for number in range(2):
        limits.take(now + 5, str(number))
    assert limits._recipients.find(ANI) is None


# --- for people -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prepare", "sentence", "seconds"),
    [
        (lambda one: one.take(START, BUDI), "the account sends at most 80/s", 0.0125),
        (lambda one: [one.take(START, ANI) for _ in range(3)], "this recipient gets at most 1/6s burst 3", 6),
        (lambda one: one.take(START, BUDI, ["media"]), "the account makes at most 5/s calls of the kind media", 0.2),
        (
            lambda one: one.throttled(START, START - 1, ANI, Scope.RECIPIENT, 9),
            "the platform asked to wait with this recipient",
            9,
        ),
        (
            lambda one: one.throttled(START, START - 1, BUDI, Scope.ACCOUNT, 9),
            "the platform throttled the account",
            9,
        ),
        (
            lambda one: one.usage(START, 100, 120),
            "the platform closed the account's calls for a while: too many were made",
            120,
        ),
        (
            lambda one: (one.usage(START, 95), one.take(START, BUDI)),
            "the platform says that 95 % of the account's calls are used up; it sends at 6 % of its rate",
            0.2,
        ),
    ],
)
def test_why_a_call_waits_is_told_in_a_sentence(prepare, sentence, seconds):
    limits = Rates({"account": Rate(80, 1), "recipient": Rate(1, 6, 3), "media": Rate(5, 1)}, widens=False)
    assert limits.explain(START, ANI, ["media"]) is None
    prepare(limits)
    assert limits.explain(START, ANI, ["media"]) == (sentence, at(seconds))


def test_how_slow_a_throttled_account_goes_is_told():
    limits = Rates({"account": Rate(1, 1)}, widens=False)
    limits.throttled(START, START - 1, ANI, Scope.ACCOUNT, 1)
    limits.throttled(START + 1, START + 0.5, ANI, Scope.ACCOUNT, 1)
    limits.take(START + 2, ANI)
    sentence, until = limits.explain(START + 2, BUDI)
    assert sentence == "the platform throttled the account; it sends at 25 % of its rate"
    assert until > START + 5


def test_the_reason_for_the_longest_wait_is_told():
    limits = Rates({"account": Rate(1, 1)}, widens=False)
    limits.usage(START, 100, 120)
    limits.throttled(START + 1, START + 0.5, ANI, Scope.ACCOUNT, 5)
    sentence, until = limits.explain(START + 1, BUDI)
    assert sentence == "the platform closed the account's calls for a while: too many were made"
    assert until == START + 120


def test_what_the_platform_asked_of_an_earlier_process_is_kept_and_told():
    limits = Rates({"account": Rate(10, 1)}, widens=False)
    assert limits.held(START) is None
    limits.hold(START + 30, "the platform asked for it before the restart")
    assert limits.account_free_at(START) == START + 30
    assert limits.held(START) == ("the platform asked for it before the restart", START + 30)
    assert limits.held(START + 30) is None


def test_that_an_account_is_slow_is_told_until_it_is_not():
    limits = Rates({"account": Rate(10, 1)}, widens=False)
    assert limits.slowed(START) == ""
    limits.throttled(START, START - 1, ANI, Scope.ACCOUNT, 1)
    assert limits.slowed(START) == "the platform throttled the account; it sends at 50 % of its rate"
    assert limits.slowed(START + 60) == ""


# --- for people ---------------------------------------------------------------------------------------------------------


def test_each_limit_says_when_it_is_free_and_how_many_recipients_the_platform_holds():
    limits = Rates(
        {"account": Rate(1, 10.0), "push": Rate(1, 4.0), "recipient": Rate(1, 1.0), "media": None}, widens=False
    )
    limits.take(START, "ani", ["push"])
    assert limits.named_free_at(START, "account") == at(10)
    assert limits.named_free_at(START, "push") == at(4)
    assert [limits.named_free_at(START, one) for one in ("media", "recipient", "nonsense")] == [START] * 3
    assert limits.busy_recipients(START) == 0
    limits.throttled(START, START, "ani", Scope.RECIPIENT, 5.0)
    assert limits.busy_recipients(START) == 1
    assert limits.busy_recipients(START + 5.1) == 0
