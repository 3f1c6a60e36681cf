"""What a part has been through, as its attempts tell it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurir.channels.base import Call
from kurir.delivery.past import REPEATABLE, Past, past_of
from kurir.store.base import AttemptRecord, PartRecord, Phase

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LINE = Call(1, "POST", "https://api.line.example/push", (), {}, repeatable=True)
TELEGRAM = Call(1, "POST", "https://api.telegram.example/sendMessage", (), {})


def attempt(outcome, hours=0.0, *, status=0, counted=True, run=1):
    return AttemptRecord(
        1, NOON + timedelta(hours=hours), 5, "{}", status, "{}", b"", outcome, counted=counted, run=run
    )


def past(*attempts):
    found = Past()
    for one in attempts:
        found.count(one)
    return found


def part(marked_hours=0.0):
    return PartRecord(1, Phase.WAITING, attempts=1, marked_at=NOON + timedelta(hours=marked_hours))


def test_a_part_without_a_past_is_in_no_doubt():
    assert not Past().in_doubt(TELEGRAM, NOON)
    assert not Past().in_doubt(LINE, NOON + timedelta(days=9))
    assert not Past().doubtful()


@pytest.mark.parametrize(
    ("outcome", "counted", "faults", "unknown"),
    [
        ("retry", True, 1, 0),
        ("retry", False, 0, 0),
        ("account_down", False, 0, 0),
        ("unknown", True, 0, 1),
        ("sent", True, 0, 0),
        ("rejected", True, 0, 0),
    ],
)
def test_faults_that_count_and_unknown_outcomes_are_counted(outcome, counted, faults, unknown):
    found = past(attempt(outcome, counted=counted))
    assert (found.faults, found.unknown) == (faults, unknown)


def test_where_a_repeat_is_none_one_unknown_outcome_is_doubt_and_a_fault_is_not():
    assert past(attempt("unknown")).in_doubt(TELEGRAM, NOON)
    assert not past(attempt("retry", status=500)).in_doubt(TELEGRAM, NOON)


def test_a_repeatable_call_comes_into_doubt_when_its_key_is_no_longer_relied_on():
    found = past(attempt("unknown"), attempt("unknown", 5))
    assert not found.in_doubt(LINE, NOON + REPEATABLE - timedelta(seconds=1))
    assert found.in_doubt(LINE, NOON + REPEATABLE)


def test_with_a_key_a_platforms_fault_may_have_been_taken_too_and_a_refusal_was_not():
    assert past(attempt("retry", status=500)).lapsed(NOON + REPEATABLE)
    assert not past(attempt("retry", status=429, counted=False)).lapsed(NOON + timedelta(days=9))
    assert not past(attempt("retry", status=0)).lapsed(NOON + timedelta(days=9))


def test_copies_of_a_repeatable_call_are_one_until_its_key_lapsed():
    within = past(attempt("unknown"), attempt("unknown", 1), attempt("unknown", 22.9))
    assert within.copies(LINE) == 1
    after = past(attempt("unknown"), attempt("unknown", 23), attempt("unknown", 24))
    assert after.copies(LINE) == 3
    assert after.copies(TELEGRAM) == 3


def test_an_earlier_runs_unknown_outcome_is_remembered_as_a_doubt_and_not_as_a_copy():
    found = past_of([attempt("unknown", run=1)], part(), run=2, calls=0)
    assert found.doubtful()
    assert (found.unknown, found.copies(TELEGRAM), found.in_doubt(TELEGRAM, NOON)) == (0, 0, False)


def test_a_call_that_nobody_wrote_down_ended_unknown():
    found = past_of([], part(2), run=1, calls=1)
    assert (found.unknown, found.since) == (1, NOON + timedelta(hours=2))
    assert found.in_doubt(TELEGRAM, NOON)


def test_of_calls_and_attempts_the_missing_ones_ended_unknown_and_the_first_that_is_known_dates_the_doubt():
    found = past_of([attempt("retry", 1), attempt("retry", 2)], part(3), run=1, calls=4)
    assert (found.faults, found.unknown, found.since) == (2, 2, NOON + timedelta(hours=1))


def test_what_was_decided_without_a_call_before_the_first_one_is_left_out():
    """An attempt more than there were calls, such as the decision of an earlier process, tells of no call."""
    found = past_of([attempt("unknown"), attempt("retry", 1)], part(), run=1, calls=1)
    assert (found.faults, found.unknown) == (1, 0)


@given(
    st.lists(
        st.tuples(st.sampled_from(["retry", "unknown", "account_down"]), st.integers(0, 40), st.booleans()), max_size=12
    ),
    st.integers(0, 15),
)
def test_copies_and_faults_are_never_more_than_the_calls(steps, calls):
    steps = sorted(steps, key=lambda step: step[1])
    attempts = [attempt(outcome, hours, status=500 if fault else 0) for outcome, hours, fault in steps]
    found = past_of(attempts, part(), run=1, calls=calls)
    assert found.faults + found.unknown <= calls
    assert found.late <= found.unknown
    assert found.copies(LINE) <= 1 + calls
    assert found.unknown >= calls - len(attempts)
