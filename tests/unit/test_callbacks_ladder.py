"""The ladder's arithmetic."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurir.callbacks import ladder
from kurir.callbacks.ladder import Verdict
from kurir.store.feed import Ladder

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@given(st.integers(0, 999))
def test_every_status_has_a_meaning(status):
    found = ladder.judge(status)
    assert (found is Verdict.TAKEN) == (200 <= status < 300)
    assert (found is Verdict.GONE) == (status == 410)
    if 300 <= status < 500 and status not in (408, 410, 429):
        assert found is Verdict.EVENT


def test_the_ladder_is_five_seconds_to_a_day_over_about_three_days():
    assert (ladder.WAITS[0], ladder.WAITS[-1]) == (5.0, 86_400.0)
    assert list(ladder.WAITS) == sorted(ladder.WAITS)
    assert timedelta(days=3) <= timedelta(seconds=sum(ladder.WAITS)) <= timedelta(days=3.5)
    assert ladder.LAST_STEP == 10


@given(failures=st.integers(0, 8), draw=st.floats(0, 1), asked=st.floats(0, 86_400))
def test_a_wait_is_never_shorter_than_its_step_nor_than_what_was_asked(failures, draw, asked):
    stood = Ladder(failures)
    after = ladder.step(stood, NOW, "e", asked=asked, draw=draw)
    wait = (after.next_at - NOW).total_seconds()
    assert wait >= max(ladder.WAITS[failures], asked) - 0.001
    assert wait <= max(ladder.WAITS[failures] * 1.1, asked) + 0.001
    assert after.failures == failures + 1


def test_the_tenth_failure_in_a_row_pauses_and_keeps_since_when():
    since = NOW - timedelta(days=3)
    after = ladder.step(Ladder(9, since), NOW, "error_status_code: 500")
    assert (after.paused_at, after.next_at, after.failing_since) == (NOW, None, since)
    assert "error_status_code: 500" in after.paused_reason


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("99999999999999999999", 86_400.0),
        ("Sun, 22 Nov 2026 12:01:00 GMT", 60.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 22 Nov 2126 11:00:00 GMT", 86_400.0),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        ("٣", 0.0),
    ],
)
def test_retry_after_in_both_its_forms(text, seconds):
    assert ladder.retry_after({"retry-after": text}, NOW) == seconds


@given(st.text(max_size=60))
def test_no_retry_after_breaks_anything(text):
    assert 0 <= ladder.retry_after({"retry-after": text}, NOW) <= ladder.LONGEST


def test_three_tries_of_a_refused_event_fit_into_a_minute():
    waits = [ladder.event_wait(refusals, 1.0) for refusals in (1, 2, 3)]
    assert waits[2] is None
    assert sum(waits[:2]) + 2 * 15 < 60, "though both answers take as long as they may"


def test_a_pause_keeps_its_first_reason_and_a_resume_begins_anew_with_a_probe():
    gone = ladder.gone(Ladder(), NOW)
    assert ladder.paused(gone, NOW + timedelta(1)) is gone
    assert ladder.paused(Ladder(), NOW).paused_reason == ladder.OPERATOR
    assert ladder.resumed(NOW) == Ladder(next_at=NOW)


def test_what_may_be_an_events_own_doing():
    assert ladder.blames_event(500, "error_status_code", {})
    assert ladder.blames_event(0, "request_timeout", {})
    assert not ladder.blames_event(0, "could_not_connect", {})
    assert not ladder.blames_event(429, "error_status_code", {})
    assert not ladder.blames_event(503, "error_status_code", {"retry-after": "9"})
