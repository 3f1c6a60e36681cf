"""How many calls may be in flight: never none, never more than the maximum, few in a storm, all when it is over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurir.delivery.window import Window

maximums = st.integers(1, 200)
events = st.lists(
    st.one_of(
        st.just(("well", 0.0)),
        st.tuples(st.just("badly"), st.floats(0, 5)),
        st.tuples(st.just("resize"), st.integers(1, 200).map(float)),
    ),
    max_size=200,
)


@given(maximums, events)
def test_it_is_at_least_one_and_at_most_the_maximum_whatever_happens(maximum, done):
    window = Window(maximum)
    for second, (event, argument) in enumerate(done):
        before = window.size
        if event == "well":
            window.went_well()
            assert before <= window.size <= before + 1
        elif event == "badly":
            window.went_badly(second, second - argument)
            assert before // 2 <= window.size <= before
        else:
            maximum = int(argument)
            window.resize(maximum)
        assert 1 <= window.size <= maximum


@given(maximums, events)
def test_enough_successes_bring_the_whole_window_back(maximum, done):
    window = Window(maximum)
    for second, (event, argument) in enumerate(done):
        if event == "badly":
            window.went_badly(second, second - argument)
    rounds = 0
    while window.size < maximum:
        for _ in range(window.size):  # one round: each of the calls in flight works
            window.went_well()
        rounds += 1
        assert rounds <= maximum + 10
    window.went_well()
    assert window.size == maximum


@given(maximums)
def test_an_unbroken_storm_leaves_at_most_two(maximum):
    window = Window(maximum)
    now = 0.0
    for _ in range(8):  # 200 halved seven times is 1.6
        began, now = now + 0.001, now + 1
        in_flight = window.size
        halved = [window.went_badly(now, began) for _ in range(in_flight)]
        assert sum(halved) == 1
    assert window.size <= 2


def test_all_calls_that_had_begun_count_once():
    window = Window(20)
    assert window.went_badly(10.0, 9.0)
    assert not any(window.went_badly(10.0 + late, 9.9) for late in range(19))
    assert window.size == 10
    assert window.went_badly(30.0, 10.1)
    assert window.size == 5


def test_a_round_of_successes_widens_it_by_one():
    window = Window(20)
    window.went_badly(1.0, 0.0)
    for _ in range(9):
        window.went_well()
    assert window.size == 10
    window.went_well()
    window.went_well()
    assert window.size == 11


def test_a_whole_window_stays_whole_and_a_narrow_one_narrow_when_the_maximum_changes():
    window = Window(4)
    window.resize(20)
    assert window.size == 20
    window.went_badly(1.0, 0.0)
    window.resize(40)
    assert window.size == 10
    window.resize(3)
    assert window.size == 3


@pytest.mark.parametrize("maximum", [0, -1])
def test_a_window_that_lets_nothing_through_is_refused(maximum):
    with pytest.raises(ValueError, match="at least 1"):
        Window(maximum)
    window = Window(5)
    with pytest.raises(ValueError, match="at least 1"):
        window.resize(maximum)
    assert window.size == 5
