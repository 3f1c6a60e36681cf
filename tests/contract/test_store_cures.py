"""What every store promises of a message that a receipt refused, and that has something else to send in its stead."""

import asyncio

import pytest

from kurir.domain.status import Status
from kurir.store.base import ErrorRecord, Marked, PartFailed, Phase, Received
from support.records import (
    ACCOUNT,
    CLIENT,
    at,
    attempt,
    fail,
    mark,
    new_message,
    receipt,
    result,
    sent,
    waiting,
)

CLOSED = ErrorRecord("window_closed", "more than 24 hours", "131047")
TEMPLATE = ("template",)
PLACE = (ACCOUNT, "6915551234567890")


def _mark(message, part=1, total=1, **fields):
    return mark(message, part, total, cures=fields.pop("cures", TEMPLATE), **fields)


def _accepted(*ids):
    return sent(*ids, status=Status.PENDING)


def _closed(platform_id, **fields):
    return receipt(Status.UNDELIVERED, platform_id, error=CLOSED, again="template", **fields)


async def _taken(store, total=1, *, told=(), **fields):
    """A message whose parts the platform took, their ids p-1, p-2 …; of *told* it said that they were sent."""
    message = new_message(**fields)
    await store.accept(message)
    assert await store.mark(_mark(message, 1, total))
    for part in range(1, total + 1):
        following = _mark(message, part + 1, total) if part < total else None
        await store.record(result(message, _accepted(f"p-{part}"), part, next_mark=following))
    await store.receive([receipt(Status.SENT, f"p-{part}") for part in told], at(11))
    return message


async def _parts(store, message):
    record = await store.message(CLIENT, message.tid)
    return [(part.number, part.phase, part.status, part.again, part.platform_ids) for part in record.parts]


async def _queued(store, message):
    found = await store.begun(ACCOUNT, after_seq=0, limit=10)
    return message.tid in [each.tid for each in found]


async def test_a_refusal_with_a_cure_queues_the_message_again(store):
    message = await _taken(store)
    before = (await store.message(CLIENT, message.tid)).seq
    assert await store.receive([_closed("p-1")], at(12)) == Received(1, 0, (PLACE,))
    record = await store.message(CLIENT, message.tid)
    assert (record.status, record.queued, record.error, record.reason) == (Status.PENDING, True, None, CLOSED)
    assert record.history == ()
    assert record.seq > before  # whoever reads on in the queue finds it
    assert await _parts(store, message) == [(1, Phase.WAITING, None, TEMPLATE, ())]
    assert await store.broken_invariants() == []

    assert await store.mark(_mark(message, cures=(), again=TEMPLATE, at=at(13)))
    await store.record(result(message, _accepted("t-1"), at=at(14)))
    assert not (await store.message(CLIENT, message.tid)).queued
    await store.receive([receipt(Status.DELIVERED, "t-1")], at(15))
    record = await store.message(CLIENT, message.tid)
    assert [(event.status, event.previous) for event in record.history] == [(Status.DELIVERED, Status.PENDING)]
    assert await _parts(store, message) == [(1, Phase.ANSWERED, Status.DELIVERED, TEMPLATE, ("t-1",))]


async def test_the_cure_is_taken_once(store):
    message = await _taken(store)
    await store.receive([_closed("p-1")], at(12))
    await store.mark(_mark(message, cures=TEMPLATE, again=TEMPLATE))  # even if it were offered again
    await store.record(result(message, _accepted("t-1")))
    await store.receive([_closed("t-1")], at(15))
    record = await store.message(CLIENT, message.tid)
    assert (record.status, record.queued, record.error) == (Status.UNDELIVERED, False, CLOSED)


@pytest.mark.parametrize("why", ["no cure", "another cure", "expired", "sent", "failed"])
async def test_else_the_refusal_is_what_it_always_was(store, why):
    message = new_message(expires_at=at(100))
    await store.accept(message)
    await store.mark(_mark(message, cures={"no cure": (), "another cure": ("push",)}.get(why, TEMPLATE)))
    await store.record(result(message, _accepted("p-1")))
    if why in ("sent", "failed"):
        told = Status.SENT if why == "sent" else Status.FAILED
        await store.receive([receipt(told, "p-1", error=None if why == "sent" else CLOSED)], at(11))
    await store.receive([_closed("p-1")], at(100) if why == "expired" else at(12))
    record = await store.message(CLIENT, message.tid)
    assert (record.status, record.queued) == (Status.FAILED if why == "failed" else Status.UNDELIVERED, False)
    assert [part.again for part in record.parts] == [()]


async def test_an_erased_message_is_not_sent_again(store):
    message = await _taken(store)
    await store.forget(CLIENT, ACCOUNT, [message.lane], at(12))
    await store.receive([_closed("p-1")], at(13))
    assert not (await store.message(CLIENT, message.tid)).queued


async def test_a_retry_may_take_the_cure_anew(store):
    message = await fail(store)
    await store.retry(CLIENT, message.tid, at(10))
    await store.mark(_mark(message, run=2))
    await store.record(result(message, _accepted("p-1"), run=2))
    await store.receive([_closed("p-1")], at(12))
    assert await _parts(store, message) == [(1, Phase.WAITING, None, TEMPLATE, ())]


# --- news of the copy that was refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize("marked", [False, True])
async def test_late_news_of_the_refused_copy_change_nothing(store, marked):
    message = await _taken(store)
    await store.receive([_closed("p-1")], at(12))
    if marked:
        await store.mark(_mark(message, cures=(), again=TEMPLATE))
    before = await _parts(store, message)
    await store.receive([_closed("p-1"), receipt(Status.SENT, "p-1")], at(13))
    assert await _parts(store, message) == before
    assert (await store.message(CLIENT, message.tid)).queued


async def test_a_refused_copy_that_was_delivered_after_all_ends_it(store):
    message = await _taken(store)
    await store.receive([_closed("p-1")], at(12))
    await store.receive([receipt(Status.DELIVERED, "p-1")], at(13))
    record = await store.message(CLIENT, message.tid)
    assert (record.status, record.queued) == (Status.DELIVERED, False)
    assert await store.mark(_mark(message, again=TEMPLATE)) is Marked.MOVED


# --- several parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
async def test_of_several_parts_the_first_that_was_not_sent_stands_for_all(store, order):
    message = await _taken(store, 3)
    await store.receive([_closed(f"p-{part}") for part in order], at(12))
    assert await _parts(store, message) == [(1, Phase.WAITING, None, TEMPLATE, ())]
    await store.mark(_mark(message, cures=(), again=TEMPLATE))
    await store.record(result(message, _accepted("t-1")))
    await store.receive([_closed(f"p-{part}") for part in order], at(15))
    await store.receive([receipt(Status.READ, "t-1")], at(16))
    record = await store.message(CLIENT, message.tid)
    assert (record.status, record.queued, record.parts_total) == (Status.READ, False, 1)
    assert await store.broken_invariants() == []


async def test_what_was_sent_stays(store):
    message = await _taken(store, 3, told=(1,))
    await store.receive([_closed("p-3"), _closed("p-2")], at(12))
    assert await _parts(store, message) == [
        (1, Phase.ANSWERED, Status.SENT, (), ("p-1",)),
        (2, Phase.WAITING, None, TEMPLATE, ()),
    ]


async def test_where_a_later_part_was_sent_the_window_is_open(store):
    message = await _taken(store, 2, told=(2,))
    await store.receive([_closed("p-1")], at(12))
    record = await store.message(CLIENT, message.tid)
    assert (record.status, record.queued) == (Status.UNDELIVERED, False)


async def test_a_later_part_that_is_under_way_is_not_sent_on(store):
    message = new_message()
    await store.accept(message)
    await store.mark(_mark(message, 1, 3))
    await store.record(result(message, _accepted("p-1"), next_mark=_mark(message, 2, 3)))
    await store.receive([_closed("p-1")], at(12))
    recorded = await store.record(result(message, _accepted("p-2"), 2, next_mark=_mark(message, 3, 3)))
    assert (recorded.queued, recorded.marked) == (True, False)
    assert await store.mark(_mark(message, 2, 3)) is Marked.MOVED
    assert await _parts(store, message) == [(1, Phase.WAITING, None, TEMPLATE, ())]
    assert await store.broken_invariants() == []


async def test_who_rendered_before_the_refusal_may_not_call(store):
    message = await _taken(store)
    await store.receive([_closed("p-1")], at(12))
    assert await store.mark(_mark(message)) is Marked.MOVED
    assert await store.mark(_mark(message, again=TEMPLATE))


# --- before the answer --------------------------------------------------------------------------------------------------


async def _called(store, **fields):
    message = new_message(**fields)
    await store.accept(message)
    await store.mark(_mark(message))
    return message


@pytest.mark.parametrize("named", [True, False])
async def test_a_refusal_that_comes_before_the_answer_waits_for_it(store, named):
    message = await _called(store)
    early = _closed("p-1" if named else "", reference=message.tid)
    assert await store.receive([early], at(1.5)) == Received(1, 1)
    recorded = await store.record(result(message, _accepted("p-1")))
    assert recorded.queued
    assert await _parts(store, message) == [(1, Phase.WAITING, None, TEMPLATE, ())]
    await store.receive([_closed("p-1")], at(12))  # now it is known by its id
    assert await _queued(store, message)


@pytest.mark.parametrize(
    "verdict", [waiting(), PartFailed(Status.FAILED, ErrorRecord("outcome_unknown", "held by policy"))]
)
async def test_a_refusal_settles_a_call_that_got_no_answer(store, verdict):
    message = await _called(store)
    await store.receive([_closed("p-1", reference=message.tid)], at(1.5))
    unknown = attempt(outcome="unknown", status=0)
    recorded = await store.record(result(message, verdict, attempt=unknown))
    assert (recorded.queued, recorded.settled, recorded.status) == (True, True, Status.PENDING)
    assert await _parts(store, message) == [(1, Phase.WAITING, None, TEMPLATE, ())]
    [found] = await store.begun(ACCOUNT, after_seq=0, limit=10)
    assert found.parts[0].attempts == 0  # of what is sent now nothing is in doubt


async def test_a_refusal_settles_a_part_in_doubt(store):
    message = await _called(store)
    await store.record(result(message, waiting(), attempt=attempt(outcome="unknown", status=0)))
    assert await store.receive([_closed("p-1", reference=message.tid)], at(12)) == Received(1, 0, (PLACE,))
    assert await _parts(store, message) == [(1, Phase.WAITING, None, TEMPLATE, ())]
    await store.receive([_closed("p-1")], at(13))
    assert await _queued(store, message)


async def test_a_refusal_that_waits_does_not_fail_what_has_no_answer_yet(store):
    message = await _called(store)
    await store.receive([_closed("p-1", reference=message.tid)], at(1.5))
    assert await _parts(store, message) == [(1, Phase.IN_FLIGHT, None, (), ())]


async def test_a_refusal_and_its_repeats_from_many_hands_queue_it_once(store):
    message = await _taken(store)
    same = _closed("p-1")
    told = await asyncio.gather(*(store.receive([same], at(12)) for _ in range(5)))
    assert sorted(each.new for each in told) == [0, 0, 0, 0, 1]
    assert (await store.message(CLIENT, message.tid)).queued
