"""When a part is tried again."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from kurir.delivery import retry
from kurir.delivery.retry import Backoff, wait_seconds

attempts = st.integers(-3, 10_000)
seeds = st.integers(0, 2**32)


@given(attempts, seeds, st.floats(0.001, 60), st.floats(0.001, 4000))
def test_a_wait_is_between_half_and_the_whole_of_the_doubled_base(attempt, seed, base, maximum):
    ceiling = min(maximum, base * 2.0 ** min(max(attempt, 1) - 1, 30))
    wait = wait_seconds(attempt, None, Random(seed), Backoff(base, maximum))
    assert ceiling / 2 <= wait <= ceiling


@given(attempts, seeds, st.floats(0, 7 * 86_400))
def test_a_wait_that_the_platform_names_is_kept_with_a_little_jitter_on_top(attempt, seed, named):
    assert named <= wait_seconds(attempt, named, Random(seed)) <= named + 0.25


@given(st.floats(max_value=0, allow_nan=False), seeds)
def test_a_wait_named_in_the_past_is_none(named, seed):
    assert 0 <= wait_seconds(1, named, Random(seed)) <= 0.25


@given(st.floats(min_value=7 * 86_400) | st.integers(min_value=7 * 86_400) | st.just(10**400), seeds)
def test_a_named_wait_of_more_than_a_week_is_a_week(named, seed):
    assert 7 * 86_400 <= wait_seconds(1, named, Random(seed)) <= 7 * 86_400 + 0.25


def test_waits_grow_to_the_maximum_and_no_further():
    ceilings = [max(wait_seconds(n, None, Random(seed)) for seed in range(200)) for n in range(1, 15)]
    assert ceilings == sorted(ceilings) or ceilings[-1] <= retry.DEFAULT.maximum
    assert 0.9 < ceilings[0] <= 1.0
    assert 290 < ceilings[-1] <= 300


def test_a_crowd_does_not_come_back_at_once():
    waits = {round(wait_seconds(1, 5.0, Random(seed)), 2) for seed in range(200)}
    assert len(waits) > 15


def test_the_same_seed_waits_the_same():
    assert [wait_seconds(n, None, Random(7)) for n in range(5)] == [wait_seconds(n, None, Random(7)) for n in range(5)]
