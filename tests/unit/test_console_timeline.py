"""A message's timeline: in the order in which the gateway knew, with when it happened beside it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kurir.console.timeline import timeline
from kurir.domain.status import Status
from kurir.store.base import AttemptRecord, ErrorRecord, PartRecord, Phase, StatusEvent
from kurir.store.looking import Step, Story
from support.message_record import RECORD

T0 = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def attempt(seconds: float, outcome: str, run: int = 1, part: int = 1, **more: object) -> AttemptRecord:
    base = AttemptRecord(
        part, at(seconds), 100, '{"json": {"to": "628123"}}', 200, "{}", b'{"ok": 1}', outcome, run=run
    )
    return replace(base, **more)  # type: ignore[arg-type]


def step(status: Status, previous: Status, happened: float, kept: float, error: ErrorRecord | None = None) -> Step:
    return Step(StatusEvent(1, "t1", status, previous, at(happened), error), at(kept), "wamid.628123456789", ())


def story(*steps: Step, attempts: tuple[AttemptRecord, ...] = (), parts: tuple[PartRecord, ...] = ()) -> Story:
    message = replace(RECORD, accepted_at=T0, due_at=T0, attempts=attempts, parts=parts)
    return Story(message, b"{}", steps)


def test_an_attempt_that_waits_shows_how_long_until_the_next():
    found = timeline(story(attempts=(attempt(1, "retry"), attempt(13.1, "sent"))))
    assert [one.kind for one in found] == ["accepted", "attempt", "attempt"]
    assert [one.number for one in found] == [0, 1, 2]
    assert found[2].after == timedelta(seconds=12)


def test_receipts_stand_as_they_came_and_tell_when_it_happened():
    read = step(Status.READ, Status.DELIVERED, 5, 10)
    late = step(Status.DELIVERED, Status.SENT, 4, 4.2)
    found = timeline(story(read, late, attempts=(attempt(1, "sent"),)))
    assert [one.step.event.status for one in found if one.step] == [Status.DELIVERED, Status.READ]
    assert [one.occurred for one in found if one.step] == [None, at(5)]
    assert {one.by for one in found if one.step} == {"receipt"}


def test_an_answer_that_made_it_sent_is_told_from_a_receipt():
    parts = (PartRecord(1, Phase.ANSWERED, Status.SENT, 1, ("1",), at(1), at(1.1)),)
    found = timeline(story(step(Status.SENT, Status.PENDING, 1.1, 1.1), attempts=(attempt(1, "sent"),), parts=parts))
    assert found[-1].by == "answer"


@pytest.mark.parametrize(
    ("error", "tries", "by"),
    [
        (ErrorRecord("recipient_blocked", "x", "403"), (attempt(1, "rejected", code="recipient_blocked"),), "answer"),
        (ErrorRecord("expired", "x"), (), "gateway"),
        (
            ErrorRecord("not_linked", "x"),
            (attempt(1.1, "rejected", status=0, duration_ms=0, code="not_linked"),),
            "gateway",
        ),
        (ErrorRecord("recipient_unreachable", "x", "131026"), (attempt(0.1, "sent"),), "receipt"),
    ],
)
def test_who_told_of_a_failure_is_said(error, tries, by):
    found = timeline(story(step(Status.FAILED, Status.PENDING, 1.15, 1.15, error), attempts=tries))
    assert found[-1].by == by


def test_a_new_run_and_a_later_time_are_shown():
    first = replace(story(attempts=(attempt(1, "rejected"), attempt(9, "sent", run=2))).message, due_at=at(60))
    found = timeline(Story(first, b"{}", ()))
    assert [one.kind for one in found] == ["accepted", "scheduled", "attempt", "attempt"]
    assert [one.anew for one in found] == [0, 0, 0, 2]
    assert found[-1].number == 1


def test_what_is_raw_says_nothing_about_the_person_where_it_is_masked():
    whole = story(step(Status.READ, Status.SENT, 2, 2), attempts=(attempt(1, "sent"),))
    assert "628123" in str([one.raw for one in timeline(whole)])
    assert "628123" not in str([one.raw for one in timeline(whole, masked=True)])
