"""What every store promises of delivery: the queue, the mark before a call, the record after it, and their guards."""

import asyncio

import pytest

from kurir.domain.message import Priority
from kurir.domain.problem import Loss
from kurir.domain.status import Status
from kurir.store.base import ErrorRecord, PartFailed, Phase, QueueDepth, Recorded, StoreError
from support.records import (
    ACCOUNT,
    CLIENT,
    SECOND_ACCOUNT,
    at,
    attempt,
    failed,
    mark,
    new_message,
    receipt,
    result,
    send,
    send_parts,
    sent,
    waiting,
)

EXPIRED = ErrorRecord("expired", "it was not sent in time")


async def _accept(store, **fields):
    message = new_message(**fields)
    await store.accept(message)
    return message


# --- queue --------------------------------------------------------------------------------------------------------------


async def test_the_queue_is_read_in_the_order_of_accept(store):
    messages = [await _accept(store, lane=str(number % 3)) for number in range(9)]
    queued = await store.queued(ACCOUNT)
    assert [each.tid for each in queued] == [message.tid for message in messages]
    assert [each.seq for each in queued] == sorted({each.seq for each in queued})
    assert [each.tid for each in await store.queued(ACCOUNT, limit=4)] == [message.tid for message in messages[:4]]
    rest = await store.queued(ACCOUNT, {Priority.NORMAL: queued[3].seq})
    assert [each.tid for each in rest] == [message.tid for message in messages[4:]]


async def test_the_queue_of_one_lane(store):
    messages = [await _accept(store, lane=str(number % 3)) for number in range(9)]
    lane = await store.in_lanes(ACCOUNT, ["1"], high=False)
    assert [each.tid for each in lane] == [message.tid for message in messages[1::3]]
    rest = await store.in_lanes(ACCOUNT, ["1"], high=False, after_seq=lane[0].seq, limit=1)
    assert [each.tid for each in rest] == [messages[4].tid]


async def test_the_queue_is_that_of_one_account(store):
    await _accept(store)
    other = await _accept(store, account_id=SECOND_ACCOUNT, channel="telegram")
    assert [each.tid for each in await store.queued(SECOND_ACCOUNT)] == [other.tid]
    assert await store.queued("nobody") == []


async def test_the_queue_shows_parts_and_facts(store):
    message = await _accept(store)
    await store.mark(mark(message, total=2, facts=b'{"a": 1}', again=("upload",)))
    [queued] = await store.queued(ACCOUNT)
    assert queued.facts == b'{"a": 1}'
    [part] = queued.parts
    assert (part.number, part.phase, part.status, part.attempts) == (1, Phase.IN_FLIGHT, None, 1)
    assert (part.again, part.marked_at, part.answered_at, part.platform_ids) == (("upload",), at(1), None, ())


async def test_depths_tell_how_much_waits_and_since_when(store):
    await _accept(store, accepted_at=at(5))
    await _accept(store, accepted_at=at(6))
    await _accept(store, account_id=SECOND_ACCOUNT, accepted_at=at(7))
    await send(store, "p")
    assert await store.depths() == [QueueDepth(ACCOUNT, 2, at(5)), QueueDepth(SECOND_ACCOUNT, 1, at(7))]


async def test_a_scheduled_message_is_as_old_as_it_is_due(store):
    await _accept(store, accepted_at=at(1), due_at=at(900))
    await _accept(store, accepted_at=at(2), due_at=at(800), priority=Priority.BULK)
    assert await store.depths() == [QueueDepth(ACCOUNT, 2, at(800))]
    await _accept(store, accepted_at=at(850), due_at=at(850), priority=Priority.HIGH)
    assert await store.depths() == [QueueDepth(ACCOUNT, 3, at(800))], "it is due before the one that came later"
    await _accept(store, accepted_at=at(60), due_at=at(60))
    await _accept(store, accepted_at=at(61), due_at=at(61))
    await _accept(store, accepted_at=at(62), due_at=at(700))
    assert await store.depths() == [QueueDepth(ACCOUNT, 6, at(60))]


async def test_a_send_at_that_was_past_does_not_make_a_message_older(store):
    await _accept(store, accepted_at=at(10), due_at=at(3))
    assert await store.depths() == [QueueDepth(ACCOUNT, 1, at(10))]


# --- mark ---------------------------------------------------------------------------------------------------------------


async def test_the_first_mark_stores_what_the_rendering_found(store):
    known = Loss("/body/footer", "ignored", "known at accept")
    found = Loss("/body/text", "split", "found by the rendering")
    message = await _accept(store, losses=(known,))
    tokens = (("~t:abc", " a key "), ("~t:def", "другой"))
    assert await store.mark(mark(message, total=3, address="777", losses=(known, found), tokens=tokens))
    record = await store.message(CLIENT, message.tid)
    assert (record.parts_total, record.address, record.losses) == (3, "777", (known, found))
    assert await store.key_of(CLIENT, "~t:abc") == " a key "
    assert await store.key_of(CLIENT, "~t:def") == "другой"


async def test_a_later_mark_keeps_what_the_first_one_stored(store):
    message = await _accept(store)
    await store.mark(mark(message, total=2, losses=(Loss("/x", "y", "z"),), facts=b"first"))
    await store.record(result(message, sent("p-1"), next_mark=mark(message, 2, 2)))
    [queued] = await store.queued(ACCOUNT)
    assert queued.facts == b"first"
    assert (await store.message(CLIENT, message.tid)).losses == (Loss("/x", "y", "z"),)


async def test_a_part_may_be_marked_again(store):
    message = await _accept(store)
    assert await store.mark(mark(message))
    assert await store.mark(mark(message, at=at(30), again=("push",)))
    [queued] = await store.queued(ACCOUNT)
    assert (queued.parts[0].attempts, queued.parts[0].marked_at, queued.parts[0].again) == (2, at(30), ("push",))


async def test_a_mark_of_another_run_changes_nothing(store):
    message = await _accept(store)
    assert not await store.mark(mark(message, run=2))
    [queued] = await store.queued(ACCOUNT)
    assert (queued.parts, queued.facts) == ((), None)


async def test_a_mark_of_a_message_that_ended_changes_nothing(store):
    message = await _accept(store)
    await store.finish(message.tid, 1, Status.UNSENT, EXPIRED, at(1))
    assert not await store.mark(mark(message))
    assert (await store.message(CLIENT, message.tid)).parts == ()


async def test_a_mark_of_a_message_that_is_not_there(store):
    assert not await store.mark(mark(new_message()))


async def test_a_mark_of_an_answered_part_changes_nothing(store):
    message = await _accept(store)
    await store.mark(mark(message, total=2))
    await store.record(result(message, sent("p-1")))
    assert not await store.mark(mark(message, 1, 2))
    assert (await store.message(CLIENT, message.tid)).parts[0].phase is Phase.ANSWERED


# --- record -------------------------------------------------------------------------------------------------------------


async def test_a_part_that_was_taken_ends_a_message_of_one(store):
    message = await _accept(store)
    await store.mark(mark(message))
    assert await store.record(result(message, sent("p-1"))) == Recorded(Status.SENT, queued=False, marked=False)
    record = await store.message(CLIENT, message.tid)
    [part] = record.parts
    assert (part.phase, part.status, part.platform_ids) == (Phase.ANSWERED, Status.SENT, ("p-1",))
    assert (part.answered_at, part.attempts) == (at(2), 1)
    [event] = record.history
    assert (event.status, event.previous, event.at, event.error) == (Status.SENT, Status.PENDING, at(2), None)
    assert record.attempts == (attempt(),)
    assert await store.queued(ACCOUNT) == []


async def test_taken_but_not_sent_ends_delivery_without_an_event(store):
    message = await _accept(store)
    await store.mark(mark(message))
    recorded = await store.record(result(message, sent("wamid.1", status=Status.PENDING)))
    assert recorded == Recorded(Status.PENDING, queued=False, marked=False)
    record = await store.message(CLIENT, message.tid)
    assert (record.history, record.parts[0].status) == ((), Status.PENDING)


async def test_an_attempt_is_kept_as_it_was(store):
    message = await _accept(store)
    await store.mark(mark(message))
    exchange = attempt(
        duration_ms=1234, request="ünï", status=0, headers="", body=b"\x00\xff", outcome="retry", code="c", reason="r"
    )
    await store.record(result(message, waiting(), attempt=exchange))
    assert (await store.message(CLIENT, message.tid)).attempts == (exchange,)


async def test_the_next_part_is_marked_in_the_same_transaction(store):
    message = await _accept(store)
    await store.mark(mark(message, total=2))
    recorded = await store.record(result(message, sent("p-1"), next_mark=mark(message, 2, 2, at=at(3))))
    assert recorded == Recorded(Status.PENDING, queued=True, marked=True)
    [queued] = await store.queued(ACCOUNT)
    assert [part.phase for part in queued.parts] == [Phase.ANSWERED, Phase.IN_FLIGHT]
    assert queued.parts[1].marked_at == at(3)
    recorded = await store.record(result(message, sent("p-2"), 2))
    assert recorded == Recorded(Status.SENT, queued=False, marked=False)


async def test_a_message_stays_pending_until_every_part_is_sent(store):
    message, recorded = await send_parts(store, 5)
    assert recorded == Recorded(Status.SENT, queued=False, marked=False)
    record = await store.message(CLIENT, message.tid)
    assert [part.platform_ids for part in record.parts] == [(f"{message.tid}-{n}",) for n in range(1, 6)]
    assert [event.status for event in record.history] == [Status.SENT]


async def test_a_part_that_waits_stays_in_the_queue_and_says_why(store):
    message = await _accept(store)
    await store.mark(mark(message))
    assert await store.record(result(message, waiting(60))) == Recorded(Status.PENDING, queued=True, marked=False)
    record = await store.message(CLIENT, message.tid)
    assert (record.reason, record.waiting_until) == (waiting().reason, at(60))
    assert record.parts[0].phase is Phase.WAITING
    assert await store.mark(mark(message))
    record = await store.message(CLIENT, message.tid)
    assert (record.reason, record.waiting_until, record.parts[0].attempts) == (None, None, 2)


async def test_a_failed_part_fails_the_message_and_marks_no_other(store):
    message = await _accept(store)
    await store.mark(mark(message, total=3))
    await store.record(result(message, sent("p-1"), next_mark=mark(message, 2, 3)))
    verdict = failed(Status.UNDELIVERED, "blocked")
    recorded = await store.record(result(message, verdict, 2, next_mark=mark(message, 3, 3)))
    assert recorded == Recorded(Status.UNDELIVERED, queued=False, marked=False)
    record = await store.message(CLIENT, message.tid)
    assert record.error == verdict.error
    assert [(part.phase, part.status) for part in record.parts] == [
        (Phase.ANSWERED, Status.SENT),
        (Phase.FAILED, Status.UNDELIVERED),
    ]
    [event] = record.history
    assert (event.status, event.error) == (Status.UNDELIVERED, verdict.error)


async def test_a_part_may_fail_before_its_first_mark(store):
    message = await _accept(store)
    await store.mark(mark(message, total=2))
    await store.record(result(message, sent("p-1")))
    recorded = await store.record(result(message, PartFailed(Status.FAILED, EXPIRED), 2))
    assert recorded == Recorded(Status.FAILED, queued=False, marked=False)
    assert (await store.message(CLIENT, message.tid)).error == EXPIRED


async def test_a_result_of_another_run_is_kept_as_an_attempt_only(store):
    message = await _accept(store)
    await store.mark(mark(message))
    recorded = await store.record(result(message, sent("p-1"), run=2, next_mark=mark(message, 2, 2)))
    assert recorded == Recorded(Status.PENDING, queued=True, marked=False)
    record = await store.message(CLIENT, message.tid)
    assert len(record.attempts) == 1
    assert (record.parts[0].phase, record.history) == (Phase.IN_FLIGHT, ())


async def test_a_result_that_comes_twice_changes_nothing_more(store):
    message = await send(store, "p-1")
    for verdict, settled in ((sent("p-1"), False), (sent("p-9"), False), (failed(), True), (waiting(), True)):
        recorded = await store.record(result(message, verdict))
        assert recorded == Recorded(Status.SENT, queued=False, marked=False, settled=settled)
    record = await store.message(CLIENT, message.tid)
    assert (record.parts[0].platform_ids, record.error, record.reason) == (("p-1",), None, None)
    assert (len(record.attempts), len(record.history)) == (5, 1)


async def test_a_result_of_a_message_that_is_not_there_is_an_error(store):
    with pytest.raises(StoreError):
        await store.record(result(new_message(), sent("p")))


async def test_records_of_many_messages_at_once(store):
    messages = [await _accept(store) for _ in range(60)]
    assert all(await asyncio.gather(*(store.mark(mark(message)) for message in messages)))
    recorded = await asyncio.gather(*(store.record(result(message, sent(message.tid))) for message in messages))
    assert set(recorded) == {Recorded(Status.SENT, queued=False, marked=False)}
    positions = [(await store.message(CLIENT, message.tid)).history[0].position for message in messages]
    assert len(set(positions)) == 60


async def test_positions_of_events_grow_in_the_order_of_commits(store):
    positions = []
    for _ in range(5):
        message = await send(store, "p")
        positions.append((await store.message(CLIENT, message.tid)).history[0].position)
    assert positions == sorted(positions)


# --- finish and wait ----------------------------------------------------------------------------------------------------


async def test_finish_ends_a_message_that_has_not_begun(store):
    message = await _accept(store)
    assert await store.finish(message.tid, 1, Status.UNSENT, EXPIRED, at(9))
    record = await store.message(CLIENT, message.tid)
    assert (record.status, record.queued, record.error) == (Status.UNSENT, False, EXPIRED)
    [event] = record.history
    assert (event.status, event.at, event.error) == (Status.UNSENT, at(9), EXPIRED)


async def test_finish_comes_once_and_only_for_the_run(store):
    message = await _accept(store)
    assert not await store.finish(message.tid, 2, Status.UNSENT, EXPIRED, at(9))
    assert await store.finish(message.tid, 1, Status.UNSENT, EXPIRED, at(9))
    assert not await store.finish(message.tid, 1, Status.FAILED, EXPIRED, at(10))
    assert not await store.finish("no such tid", 1, Status.FAILED, EXPIRED, at(10))
    assert len((await store.message(CLIENT, message.tid)).history) == 1


async def test_finish_leaves_a_message_alone_that_has_begun(store):
    in_flight, waits = await _accept(store), await _accept(store)
    await store.mark(mark(in_flight))
    await store.mark(mark(waits))
    await store.record(result(waits, waiting()))
    ended = await send(store, "p")
    for message in (in_flight, waits, ended):
        assert not await store.finish(message.tid, 1, Status.UNSENT, EXPIRED, at(9))
    assert (await store.message(CLIENT, in_flight.tid)).status is Status.PENDING
    assert (await store.message(CLIENT, ended.tid)).status is Status.SENT


async def test_a_race_of_mark_and_finish_has_one_winner(store):
    messages = [await _accept(store) for _ in range(30)]
    calls = []
    for number, message in enumerate(messages):
        pair = [store.mark(mark(message)), store.finish(message.tid, 1, Status.UNSENT, EXPIRED, at(1))]
        calls.extend(pair if number % 2 else reversed(pair))
    answers = await asyncio.gather(*calls)
    assert all(one != other for one, other in zip(answers[::2], answers[1::2], strict=True))


async def test_why_a_message_waits_can_be_read(store):
    message = await _accept(store)
    reason = ErrorRecord("account_parked", "the token was revoked", "190")
    await store.wait(message.tid, 1, None, reason)
    await store.wait(message.tid, 1, None, reason)
    record = await store.message(CLIENT, message.tid)
    assert (record.reason, record.waiting_until, record.queued) == (reason, None, True)
    await store.wait(message.tid, 1, at(5), ErrorRecord("rate", "soon"))
    record = await store.message(CLIENT, message.tid)
    assert (record.reason, record.waiting_until) == (ErrorRecord("rate", "soon"), at(5))


async def test_a_reason_of_another_run_or_of_an_ended_message_is_not_kept(store):
    message = await _accept(store)
    await store.wait(message.tid, 2, at(5), ErrorRecord("rate", "soon"))
    assert (await store.message(CLIENT, message.tid)).reason is None
    ended = await send(store, "p")
    await store.wait(ended.tid, 1, at(5), ErrorRecord("rate", "soon"))
    assert (await store.message(CLIENT, ended.tid)).reason is None


async def test_the_reason_goes_when_the_message_ends(store):
    message = await _accept(store)
    await store.wait(message.tid, 1, at(5), ErrorRecord("rate", "soon"))
    await store.finish(message.tid, 1, Status.UNSENT, EXPIRED, at(9))
    record = await store.message(CLIENT, message.tid)
    assert (record.reason, record.waiting_until) == (None, None)


async def test_a_receipt_that_fails_a_part_stops_the_others(store):
    message = await _accept(store)
    await store.mark(mark(message, total=2))
    await store.record(result(message, sent("p-1")))
    await store.receive([receipt(Status.UNDELIVERED, "p-1", error=ErrorRecord("blocked", "gone"))], at(5))
    assert await store.queued(ACCOUNT) == []
    assert not await store.mark(mark(message, 2, 2))
