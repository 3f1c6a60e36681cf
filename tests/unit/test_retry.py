"""When a part is tried again."""

from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from kurir.delivery import retry
from kurir.delivery.retry import Backoff, grown_seconds, named_seconds, steady_seconds, wait_seconds

WEEK = 7 * 86_400

attempts = st.integers(-3, 10_000)
seeds = st.integers(0, 2**32)
bases = st.floats(0.001, 60)
maxima = st.floats(0.001, 4000)


def ceiling(attempt, base, maximum):
    return min(maximum, base * 2.0 ** min(max(attempt, 1) - 1, 30))


@given(attempts, seeds, bases, maxima)
def test_a_wait_is_between_nothing_and_the_doubled_base(attempt, seed, base, maximum):
    assert 0 <= wait_seconds(attempt, Random(seed), Backoff(base, maximum)) <= ceiling(attempt, base, maximum)


@given(attempts, seeds, bases, maxima)
def test_a_steady_wait_is_between_half_and_the_whole_of_the_doubled_base(attempt, seed, base, maximum):
    whole = ceiling(attempt, base, maximum)
    assert whole / 2 <= steady_seconds(attempt, Random(seed), Backoff(base, maximum)) <= whole


@given(seeds, st.floats(0, WEEK))
def test_a_wait_that_the_platform_names_is_kept_with_a_little_jitter_on_top(seed, named):
    assert named <= named_seconds(named, Random(seed)) <= named + 0.25


@given(st.floats(max_value=0, allow_nan=False), seeds)
def test_a_wait_named_in_the_past_is_none(named, seed):
    assert 0 <= named_seconds(named, Random(seed)) <= 0.25


@given(st.floats(min_value=WEEK) | st.integers(min_value=WEEK) | st.just(10**400), seeds)
def test_a_named_wait_of_more_than_a_week_is_a_week(named, seed):
    assert WEEK <= named_seconds(named, Random(seed)) <= WEEK + 0.25


@given(st.integers(1, 6), st.floats(0.5, 60), st.floats(1, 4), seeds)
def test_a_documented_wait_is_never_shorter_than_documented_and_a_quarter_longer_at_most(attempt, base, growth, seed):
    documented = min(base * growth ** (attempt - 1), retry.GROWN_MAXIMUM)
    assert documented <= grown_seconds(attempt, base, growth, Random(seed)) <= documented * 1.25


def test_a_documented_first_wait_beyond_the_maximum_is_kept():
    """WhatsApp's 131048 names an hour, which is as long as the growth may make a wait."""
    assert grown_seconds(1, 7200.0, 2.0, Random(1)) >= 7200.0


@given(attempts, seeds)
def test_a_growth_of_any_number_of_attempts_has_an_end(attempt, seed):
    assert grown_seconds(attempt, 1.0, 4.0, Random(seed)) <= retry.GROWN_MAXIMUM * 1.25


def test_waits_grow_to_the_maximum_and_no_further():
    ceilings = [max(wait_seconds(n, Random(seed)) for seed in range(200)) for n in range(1, 15)]
    assert all(later > 1.5 * earlier for earlier, later in pairwise(ceilings[:8]))
    assert 0.9 < ceilings[0] <= retry.DEFAULT.base
    assert 290 < ceilings[-1] <= retry.DEFAULT.maximum


def test_a_crowd_does_not_come_back_at_once():
    assert len({round(named_seconds(5.0, Random(seed)), 2) for seed in range(200)}) > 15
    assert len({round(wait_seconds(4, Random(seed))) for seed in range(200)}) == 9


def test_the_same_seed_waits_the_same():
    assert [wait_seconds(n, Random(7)) for n in range(5)] == [wait_seconds(n, Random(7)) for n in range(5)]
