"""What every store promises of messages that waited too long: none outlives its expiry, none waits for receipts for ever."""

from dataclasses import replace
from datetime import timedelta

import pytest

from kurir.domain.status import Status
from kurir.store.base import Accepted, Declared, PartWaiting, Phase
from support.records import (
    ACCOUNT,
    CLIENT,
    DECLARED,
    SECOND_ACCOUNT,
    T0,
    at,
    attempt,
    mark,
    new_message,
    receipt,
    result,
    send_parts,
    sent,
    waiting,
)

DAY = timedelta(days=1)
LATE = at(86_400)
#: What is left when the client's first account is taken out of the configuration, or all of the client.
WITHOUT_ACCOUNT = replace(DECLARED, accounts=DECLARED.accounts[1:])
WITHOUT_CLIENT = Declared(DECLARED.clients[1:], DECLARED.accounts[2:])


async def _accepted(store, **fields):
    message = new_message(**fields)
    await store.accept(message)
    return message


async def _marked(store, total=1, **fields):
    message = await _accepted(store, **fields)
    assert await store.mark(mark(message, total=total))
    return message


async def _standing(store, message):
    record = await store.message(CLIENT, message.tid)
    return record.status, record.queued, record.error and record.error.code


# --- expiry -------------------------------------------------------------------------------------------------------------


async def test_what_waits_behind_a_head_or_on_a_parked_account_expires_in_time(store):
    head = await _marked(store, lane="one", expires_at=at(9 * 86_400))
    behind = await _accepted(store, lane="one")
    parked = await _accepted(store, account_id=SECOND_ACCOUNT)
    young = await _accepted(store, expires_at=at(86_401))
    assert await store.expire(at(86_399), 100) == 0
    assert await store.expire(LATE, 100) == 2
    assert await store.expire(LATE, 100) == 0
    for message in (behind, parked):
        record = await store.message(CLIENT, message.tid)
        assert (record.status, record.queued, record.error.code) == (Status.UNSENT, False, "expired")
        assert record.error.detail == "it expired at 2026-03-02T12:00:00+00:00, before it could be sent"
        assert [(event.status, event.at) for event in record.history] == [(Status.UNSENT, LATE)]
        assert await store.accept(message) == Accepted(message.tid, Status.UNSENT, replayed=True)
    for message in (head, young):
        assert await _standing(store, message) == (Status.PENDING, True, None)


async def test_a_worker_that_holds_an_expired_message_cannot_begin_it(store):
    message = await _accepted(store)
    assert await store.expire(LATE, 100) == 1
    assert not await store.mark(mark(message))
    assert await store.queued(ACCOUNT) == []


async def test_the_bite_is_bounded_and_takes_what_expired_first(store):
    messages = [await _accepted(store, expires_at=at(10 - number)) for number in range(5)]
    abandoned = await _marked(store, expires_at=at(1))
    await store.record(result(abandoned, waiting()))
    await store.declare(WITHOUT_ACCOUNT, T0)
    assert await store.expire(LATE, 2) == 2
    assert [(await _standing(store, message))[1] for message in messages] == [True, True, True, False, False]
    assert await store.expire(LATE, 4) == 4
    assert await store.expire(LATE, 4) == 0


@pytest.mark.parametrize("reached", ["in flight", "waiting", "between parts"])
async def test_what_has_begun_is_left_to_its_worker(store, reached):
    message = await _marked(store, total=2)
    if reached == "waiting":
        await store.record(result(message, waiting()))
    elif reached == "between parts":
        await store.record(result(message, sent("p-1")))
    assert await store.expire(at(0) + 90 * DAY, 100) == 0
    assert await _standing(store, message) == (Status.PENDING, True, None)


@pytest.mark.parametrize("declared", [WITHOUT_ACCOUNT, WITHOUT_CLIENT])
async def test_of_a_disabled_account_nothing_outlives_its_expiry(store, declared):
    untouched = await _accepted(store)
    waits = await _marked(store)
    await store.record(result(waits, waiting()))
    between = await _marked(store, total=2)
    await store.record(result(between, sent("p-1")))
    await store.declare(declared, T0)
    assert await store.expire(at(86_399), 100) == 0
    assert await store.expire(LATE, 100) == 3
    assert await _standing(store, untouched) == (Status.UNSENT, False, "expired")
    assert await _standing(store, waits) == (Status.FAILED, False, "expired")
    assert await _standing(store, between) == (Status.FAILED, False, "expired")
    record = await store.message(CLIENT, between.tid)
    assert [(part.phase, part.status) for part in record.parts] == [
        (Phase.ANSWERED, Status.SENT),
        (Phase.FAILED, Status.FAILED),
    ]


async def test_of_a_disabled_account_a_call_has_its_time_and_may_have_left_after_all(store):
    message = await _marked(store, expires_at=at(60))
    await store.declare(WITHOUT_ACCOUNT, T0)
    assert await store.expire(at(3_600), 100) == 0
    assert await store.expire(at(3_601), 100) == 1
    assert await _standing(store, message) == (Status.FAILED, False, "outcome_unknown")
    await store.receive([receipt(Status.SENT, "p-1", reference=f"{message.tid}:1")], at(3_700))
    assert await _standing(store, message) == (Status.SENT, False, None)


async def test_of_a_disabled_account_an_unknown_outcome_stays_one(store):
    message = await _marked(store)
    unknown = attempt(outcome="unknown")
    await store.record(result(message, PartWaiting(at(60), waiting().reason), attempt=unknown))
    await store.declare(WITHOUT_ACCOUNT, T0)
    assert await store.expire(LATE, 100) == 1
    assert await _standing(store, message) == (Status.FAILED, False, "outcome_unknown")


async def test_an_account_that_came_back_has_its_worker_again(store):
    message = await _marked(store)
    await store.record(result(message, waiting()))
    await store.declare(WITHOUT_ACCOUNT, T0)
    await store.declare(DECLARED, T0)
    assert await store.expire(LATE, 100) == 0
    assert await _standing(store, message) == (Status.PENDING, True, None)


# --- no receipt ---------------------------------------------------------------------------------------------------------


async def _taken(store, *seconds, told=()):
    """Accept a message whose parts the platform accepted at *seconds*; those in *told* have a receipt."""
    total = len(seconds)
    message = await _marked(store, total)
    for part, moment in enumerate(seconds, 1):
        following = mark(message, part + 1, total) if part < total else None
        verdict = sent(f"{message.tid}-{part}", status=Status.PENDING)
        await store.record(result(message, verdict, part, at=at(moment), next_mark=following))
    for part in told:
        await store.receive([receipt(Status.DELIVERED, f"{message.tid}-{part}")], at(100))
    return message


async def test_what_is_accepted_and_never_told_of_ends(store):
    message = await _taken(store, 10)
    assert await store.no_receipts(at(10), 100, LATE) == 0
    assert await store.no_receipts(at(10.000001), 100, LATE) == 1
    assert await store.no_receipts(at(99), 100, LATE) == 0
    assert await _standing(store, message) == (Status.FAILED, False, "no_receipt")
    record = await store.message(CLIENT, message.tid)
    assert [(event.status, event.at, event.error.code) for event in record.history] == [
        (Status.FAILED, LATE, "no_receipt")
    ]


async def test_a_message_has_waited_when_its_last_part_has(store):
    message = await _taken(store, 10, 50)
    assert await store.no_receipts(at(40), 100, LATE) == 0
    assert await store.no_receipts(at(60), 100, LATE) == 1
    record = await store.message(CLIENT, message.tid)
    assert [part.status for part in record.parts] == [Status.FAILED, Status.FAILED]


async def test_one_part_without_receipt_is_enough_and_the_others_keep_theirs(store):
    message = await _taken(store, 10, 11, told=(1,))
    assert await store.no_receipts(at(60), 100, LATE) == 1
    record = await store.message(CLIENT, message.tid)
    assert (record.status, [part.status for part in record.parts]) == (
        Status.FAILED,
        [Status.DELIVERED, Status.FAILED],
    )


async def test_a_late_receipt_of_delivery_corrects_it(store):
    message = await _taken(store, 10, 11)
    assert await store.no_receipts(at(60), 100, LATE) == 1
    await store.receive([receipt(Status.DELIVERED, f"{message.tid}-{part}") for part in (1, 2)], LATE)
    assert await _standing(store, message) == (Status.DELIVERED, False, None)


async def test_what_was_sent_or_waits_in_the_queue_is_no_case_of_it(store):
    await send_parts(store, 2)
    await _taken(store, 10, told=(1,))
    queued = await _marked(store, total=2)
    await store.record(result(queued, sent("p-1", status=Status.PENDING)))
    assert await store.no_receipts(at(0) + 90 * DAY, 100, LATE) == 0


async def test_no_more_of_them_end_at_once_than_may(store):
    messages = [await _taken(store, 10 + number) for number in range(5)]
    assert await store.no_receipts(at(60), 2, LATE) == 2
    assert [(await _standing(store, message))[0] for message in messages] == [Status.FAILED] * 2 + [Status.PENDING] * 3
    assert await store.no_receipts(at(60), 100, LATE) == 3
