"""What every store promises of receipts: each is applied once, in any order, before or after its send was recorded."""

import asyncio
import random

import pytest

from kurir.domain.status import Status
from kurir.store.base import ErrorRecord, PartFailed, Phase, Received, Recorded
from support.records import (
    ACCOUNT,
    CLIENT,
    OTHER_ACCOUNT,
    SECOND_ACCOUNT,
    at,
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

GONE = ErrorRecord("delivery_failed", "the number is gone", "131026")
HELD = PartFailed(Status.FAILED, ErrorRecord("outcome_unknown", "held by policy"))


async def _status(store, message):
    return (await store.message(CLIENT, message.tid)).status


async def _history(store, message):
    return [event.status for event in (await store.message(CLIENT, message.tid)).history]


async def _marked(store, total=1, **fields):
    message = new_message(**fields)
    await store.accept(message)
    assert await store.mark(mark(message, total=total))
    return message


async def test_receipts_move_a_message_forward(store):
    message = await send(store, "p-1", recipient="fb:1")
    assert await store.receive([receipt(Status.DELIVERED, "p-1", at=at(11))], at(12)) == Received(1, 0)
    assert await store.receive([receipt(Status.READ, "p-1", at=at(13))], at(14)) == Received(1, 0)
    record = await store.message(CLIENT, message.tid)
    assert [(event.status, event.previous, event.at) for event in record.history] == [
        (Status.SENT, Status.PENDING, at(2)),
        (Status.DELIVERED, Status.SENT, at(11)),
        (Status.READ, Status.DELIVERED, at(13)),
    ]


async def test_late_and_lower_receipts_change_nothing(store):
    message = await send(store, "p-1")
    await store.receive([receipt(Status.READ, "p-1")], at(12))
    late = [receipt(status, "p-1") for status in (Status.DELIVERED, Status.SENT, Status.FAILED, Status.UNDELIVERED)]
    assert await store.receive(late, at(13)) == Received(4, 0)
    assert await _history(store, message) == [Status.SENT, Status.READ]


async def test_a_repeat_of_a_receipt_is_known(store):
    message = await send(store, "p-1")
    again = receipt(Status.DELIVERED, "p-1")
    assert await store.receive([again, again], at(12)) == Received(1, 0)
    assert await store.receive([again], at(99)) == Received(0, 0)
    assert await _history(store, message) == [Status.SENT, Status.DELIVERED]


async def test_events_of_two_accounts_may_share_an_id(store):
    await send(store, "p-1")
    await send(store, "p-1", account_id=SECOND_ACCOUNT)
    same = [receipt(Status.READ, "p-1", event_id="e", account_id=each) for each in (ACCOUNT, SECOND_ACCOUNT)]
    assert await store.receive(same, at(12)) == Received(2, 0)


async def test_a_platform_id_is_looked_up_in_its_account_only(store):
    message = await send(store, "p-1")
    assert await store.receive([receipt(Status.READ, "p-1", account_id=SECOND_ACCOUNT)], at(12)) == Received(1, 1)
    assert await _status(store, message) is Status.SENT


async def test_a_failing_receipt_fails_the_message_with_its_error(store):
    message = await send(store, "p-1")
    await store.receive([receipt(Status.UNDELIVERED, "p-1", error=GONE)], at(12))
    record = await store.message(CLIENT, message.tid)
    assert (record.status, record.error, record.history[-1].error) == (Status.UNDELIVERED, GONE, GONE)
    assert record.parts[0].phase is Phase.ANSWERED


async def test_delivery_corrects_a_failure_that_was_told_too_early(store):
    message = await send(store, "p-1")
    await store.receive([receipt(Status.FAILED, "p-1", error=GONE)], at(12))
    await store.receive([receipt(Status.DELIVERED, "p-1")], at(13))
    record = await store.message(CLIENT, message.tid)
    assert (record.status, record.error) == (Status.DELIVERED, None)
    assert await _history(store, message) == [Status.SENT, Status.FAILED, Status.DELIVERED]


async def test_a_message_has_the_least_status_of_its_parts(store):
    message, _ = await send_parts(store, 3)
    for part in (1, 2, 3):
        assert await _status(store, message) is Status.SENT
        await store.receive([receipt(Status.READ, f"{message.tid}-{part}")], at(12))
    assert await _history(store, message) == [Status.SENT, Status.READ]


async def test_the_first_failure_of_a_message_stays(store):
    message, _ = await send_parts(store, 2)
    await store.receive([receipt(Status.UNDELIVERED, f"{message.tid}-1", error=GONE)], at(12))
    await store.receive([receipt(Status.FAILED, f"{message.tid}-2")], at(13))
    record = await store.message(CLIENT, message.tid)
    assert (record.status, record.error) == (Status.UNDELIVERED, GONE)
    assert await _history(store, message) == [Status.SENT, Status.UNDELIVERED]


# --- early --------------------------------------------------------------------------------------------------------------


async def test_a_receipt_that_comes_before_the_answer_waits_for_it(store):
    message = await _marked(store)
    early = [receipt(Status.SENT, "p-1", at=at(1.5)), receipt(Status.READ, "p-1", at=at(1.7))]
    assert await store.receive(early, at(1.8)) == Received(2, 2)
    assert await _status(store, message) is Status.PENDING
    assert await store.record(result(message, sent("p-1"))) == Recorded(Status.READ, queued=False, marked=False)
    record = await store.message(CLIENT, message.tid)
    [event] = record.history
    assert (event.status, event.previous, event.at) == (Status.READ, Status.PENDING, at(1.7))


async def test_an_early_failure_fails_the_message_with_its_error(store):
    message = await _marked(store, total=2)
    await store.receive([receipt(Status.UNDELIVERED, "p-1", error=GONE)], at(1.8))
    recorded = await store.record(result(message, sent("p-1"), next_mark=mark(message, 2, 2)))
    assert recorded == Recorded(Status.UNDELIVERED, queued=False, marked=False)
    assert (await store.message(CLIENT, message.tid)).error == GONE


async def test_an_early_receipt_is_applied_once(store):
    message = await _marked(store)
    await store.receive([receipt(Status.DELIVERED, "p-1")], at(1.8))
    await store.record(result(message, sent("p-1")))
    other = await _marked(store)
    await store.record(result(other, sent("p-1")))  # a platform that began to count afresh
    assert await _status(store, other) is Status.SENT


async def test_an_early_receipt_of_another_account_is_not_taken(store):
    message = await _marked(store)
    await store.receive([receipt(Status.READ, "p-1", account_id=OTHER_ACCOUNT)], at(1.8))
    await store.record(result(message, sent("p-1")))
    assert await _status(store, message) is Status.SENT


async def test_early_receipts_of_another_copy_are_found_by_the_id_that_one_of_them_brings(store):
    message = new_message()
    await store.accept(message)
    told = [receipt(Status.READ, "copy"), receipt(Status.SENT, "copy", reference=f"{message.tid}:1")]
    assert await store.receive(told, at(1)) == Received(2, 2)
    assert await store.mark(mark(message))
    assert (await store.record(result(message, sent("p-1")))).status is Status.READ


async def test_receipts_that_name_nothing_are_not_kept(store):
    assert await store.receive([receipt(Status.READ)], at(1)) == Received(1, 0)


# --- references ---------------------------------------------------------------------------------------------------------


async def test_a_reference_settles_a_part_in_flight(store):
    message = await _marked(store)
    told = receipt(Status.SENT, "wamid.1", reference=message.tid, at=at(1.5))
    assert await store.receive([told], at(1.8)) == Received(1, 0, ((ACCOUNT, message.lane),))
    record = await store.message(CLIENT, message.tid)
    assert (record.status, record.queued) == (Status.SENT, False)
    assert (record.parts[0].phase, record.parts[0].platform_ids) == (Phase.ANSWERED, ("wamid.1",))
    assert record.parts[0].answered_at == at(1.5)
    await store.receive([receipt(Status.READ, "wamid.1")], at(3))
    assert await _status(store, message) is Status.READ


async def test_the_answer_to_a_settled_part_adds_to_it(store):
    message = await _marked(store, total=2)
    await store.receive([receipt(Status.DELIVERED, "mid.1", reference=f"{message.tid}:1")], at(1.8))
    assert not await store.mark(mark(message, 1, 2))
    following = mark(message, 2, 2)
    recorded = await store.record(result(message, sent("mid.1", quote_tokens=("q",)), next_mark=following))
    assert recorded == Recorded(Status.PENDING, queued=True, marked=True)
    record = await store.message(CLIENT, message.tid)
    assert (record.parts[0].status, record.parts[0].platform_ids) == (Status.DELIVERED, ("mid.1",))
    await store.receive([receipt(Status.DELIVERED, "mid.2", reference=f"{message.tid}:2")], at(4))
    record = await store.message(CLIENT, message.tid)
    assert (record.status, record.queued) == (Status.DELIVERED, False)


async def test_what_is_known_to_have_left_is_neither_tried_again_nor_failed(store):
    for verdict in (waiting(), failed(), HELD):
        message = await _marked(store)
        await store.receive([receipt(Status.SENT, "p-" + message.tid, reference=f"{message.tid}:1")], at(1.8))
        recorded = await store.record(result(message, verdict))
        assert recorded == Recorded(Status.SENT, queued=False, marked=False, settled=True)
        record = await store.message(CLIENT, message.tid)
        assert (record.error, record.reason, len(record.attempts)) == (None, None, 1)


async def test_a_reference_settles_a_part_that_waits(store):
    message = await _marked(store)
    await store.record(result(message, waiting()))
    await store.receive([receipt(Status.DELIVERED, "p-1", reference=f"{message.tid}:1")], at(5))
    record = await store.message(CLIENT, message.tid)
    assert (record.status, record.queued, record.reason) == (Status.DELIVERED, False, None)


async def test_what_was_settled_is_told_once_for_each_address_and_only_where_an_outcome_was_open(store):
    one, same, other = await _marked(store), await _marked(store), await _marked(store, lane="2")
    await store.record(result(other, waiting()))
    known = await send(store, "p-known")
    told = [receipt(Status.SENT, f"p-{each.tid}", reference=f"{each.tid}:1") for each in (one, same, other)]
    told += [receipt(Status.READ, "p-known"), receipt(Status.READ, f"p-{one.tid}"), receipt(Status.SENT, "p-early")]
    answer = await store.receive(told, at(5))
    assert answer == Received(6, 1, ((ACCOUNT, one.lane), (ACCOUNT, "2")))
    assert await _status(store, known) is Status.READ
    assert await store.receive(told, at(6)) == Received(0, 0)


async def test_a_reference_may_tell_of_a_failure(store):
    message = await _marked(store)
    await store.receive([receipt(Status.FAILED, "p-1", reference=f"{message.tid}:1", error=GONE)], at(1.8))
    record = await store.message(CLIENT, message.tid)
    assert (record.status, record.queued, record.error) == (Status.FAILED, False, GONE)


async def test_a_proof_of_sending_corrects_a_part_that_was_held(store):
    message = await _marked(store)
    await store.record(result(message, HELD))
    assert await _status(store, message) is Status.FAILED
    await store.receive([receipt(Status.SENT, "p-1", reference=f"{message.tid}:1")], at(99))
    record = await store.message(CLIENT, message.tid)
    assert (record.status, record.error, record.queued) == (Status.SENT, None, False)
    assert (record.parts[0].phase, record.parts[0].platform_ids) == (Phase.ANSWERED, ("p-1",))


async def test_a_proof_does_not_bring_a_message_back_whose_rest_was_not_sent(store):
    message = await _marked(store, total=2)
    await store.record(result(message, HELD))
    await store.receive([receipt(Status.READ, "p-1", reference=f"{message.tid}:1")], at(99))
    record = await store.message(CLIENT, message.tid)
    assert (record.status, record.queued, record.parts[0].status) == (Status.FAILED, False, Status.READ)
    assert record.error == HELD.error


async def test_a_refusal_is_not_corrected_by_being_sent(store):
    message = await _marked(store)
    await store.record(result(message, failed()))
    await store.receive([receipt(Status.SENT, "p-1", reference=f"{message.tid}:1")], at(99))
    assert await _status(store, message) is Status.FAILED


async def test_of_two_copies_of_a_part_the_failed_one_is_not_heard(store):
    message = await _marked(store)
    await store.record(result(message, waiting()))  # unknown, and sent again
    await store.mark(mark(message))
    await store.record(result(message, sent("second")))
    await store.receive([receipt(Status.FAILED, "first", reference=f"{message.tid}:1")], at(9))
    assert await _status(store, message) is Status.SENT
    await store.receive([receipt(Status.READ, "first", reference=f"{message.tid}:1")], at(10))
    assert await _status(store, message) is Status.READ


async def test_a_reference_is_heard_from_its_own_account_only(store):
    message = await _marked(store)
    stranger = receipt(Status.READ, "p-1", reference=message.tid, account_id=OTHER_ACCOUNT)
    assert await store.receive([stranger], at(1.8)) == Received(1, 1)
    assert await _status(store, message) is Status.PENDING


async def test_references_of_nonsense_are_kept_quietly(store):
    message = await _marked(store)
    words = [f"{message.tid}:x", f"{message.tid}:99999999999999999999", f"{message.tid}:²", "tid:1", ":", "٣"]
    answer = await store.receive([receipt(Status.READ, f"p-{n}", reference=w) for n, w in enumerate(words)], at(1.8))
    assert answer.new == len(words)


# --- watermarks ---------------------------------------------------------------------------------------------------------


def _watermark(status, seconds, **fields):
    fields.setdefault("address", "6915551234567890")
    return receipt(status, watermark=at(seconds), **fields)


async def _send_at(store, seconds, platform_id, **fields):
    message = new_message(**fields)
    await store.accept(message)
    await store.mark(mark(message))
    await store.record(result(message, sent(platform_id), at=at(seconds)))
    return message


async def test_a_watermark_covers_what_was_answered_up_to_it(store):
    messages = [await _send_at(store, seconds, f"p{seconds}") for seconds in (10, 19, 20, 21, 21.000001, 30)]
    assert await store.receive([_watermark(Status.DELIVERED, 20)], at(40)) == Received(1, 0)
    statuses = [await _status(store, message) for message in messages]
    assert statuses == [Status.DELIVERED] * 4 + [Status.SENT] * 2
    await store.receive([_watermark(Status.READ, 29)], at(50))
    assert [await _status(store, message) for message in messages] == [Status.READ] * 6


async def test_a_watermark_goes_by_the_platforms_own_time_of_sending_where_that_is_known(store):
    before, after = await _send_at(store, 20.9, "before"), await _send_at(store, 20.9, "after")
    echoes = [receipt(Status.SENT, "before", at=at(20)), receipt(Status.SENT, "after", at=at(20.4))]
    await store.receive(echoes, at(21))
    late = await _send_at(store, 300, "late")  # the answer took five minutes, or the clocks differ by as much
    await store.receive([_watermark(Status.DELIVERED, 20.2)], at(22))
    assert [await _status(store, each) for each in (before, after)] == [Status.DELIVERED, Status.SENT]
    assert await _status(store, late) is Status.SENT
    await store.receive([receipt(Status.SENT, "late", at=at(20.1))], at(301))  # the echo comes last
    assert await _status(store, late) is Status.DELIVERED


async def test_an_echo_that_comes_before_the_answer_gives_the_time_of_sending(store):
    await store.receive([receipt(Status.SENT, "p-1", at=at(20.4)), _watermark(Status.READ, 20.3)], at(21))
    assert await _history(store, await _send_at(store, 20.5, "p-1")) == [Status.SENT]
    await store.receive([receipt(Status.SENT, "p-2", at=at(20.2))], at(21))
    assert await _history(store, await _send_at(store, 300, "p-2")) == [Status.READ]


async def test_a_watermark_is_of_one_account_and_one_address(store):
    other_address = await _send_at(store, 10, "a", lane="1")
    other_account = await _send_at(store, 10, "a", account_id=SECOND_ACCOUNT)
    await store.receive([_watermark(Status.READ, 20)], at(40))
    assert await _status(store, other_address) is Status.SENT
    assert await _status(store, other_account) is Status.SENT


async def test_a_watermark_waits_for_answers_recorded_later(store):
    await store.receive([_watermark(Status.DELIVERED, 20, at=at(20.5)), _watermark(Status.READ, 15)], at(25))
    first, second = await _send_at(store, 12, "p1"), await _send_at(store, 20.9, "p2")
    third = await _send_at(store, 21.1, "p3")
    assert await _history(store, first) == [Status.READ]
    record = await store.message(CLIENT, second.tid)
    assert [(event.status, event.at) for event in record.history] == [(Status.DELIVERED, at(20.5))]
    assert await _history(store, third) == [Status.SENT]


async def test_the_highest_watermark_counts(store):
    await store.receive([_watermark(Status.READ, 20)], at(25))
    await store.receive([_watermark(Status.READ, 5)], at(26))
    assert await _history(store, await _send_at(store, 12, "p1")) == [Status.READ]


async def test_a_watermark_writes_one_event_for_a_message_of_parts(store):
    message, _ = await send_parts(store, 4)
    await store.receive([_watermark(Status.READ, 30)], at(40))
    assert await _history(store, message) == [Status.SENT, Status.READ]


async def test_a_watermark_leaves_what_has_no_answer_yet(store):
    message = await _marked(store, total=2)
    await store.record(result(message, sent("p-1"), next_mark=mark(message, 2, 2)))
    await store.receive([_watermark(Status.READ, 30)], at(40))
    record = await store.message(CLIENT, message.tid)
    assert [part.status for part in record.parts] == [Status.READ, None]
    assert record.queued


async def test_a_watermark_applies_to_a_part_that_a_reference_settles(store):
    message = await _marked(store)
    await store.receive([_watermark(Status.READ, 30)], at(31))
    await store.receive([receipt(Status.SENT, "m", reference=f"{message.tid}:1", at=at(29))], at(40))
    assert await _history(store, message) == [Status.READ]


# --- many ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_scorecard_17_shuffled_doubled_and_early_receipts_reach_the_maximum(store):
    """Scorecard row 17 on the store: 10,000 receipts, five times each status, shuffled, half of them before the send."""
    seed = 17
    chance = random.Random(seed)
    messages = [await _marked(store) for _ in range(720)]
    known = [Status.SENT, Status.DELIVERED, Status.READ]
    reached = {message.tid: known[: chance.randint(1, 3)] for message in messages}
    receipts = [
        receipt(status, f"p-{tid}", event_id=f"{tid}-{int(status)}")
        for tid, found in reached.items()
        for status in found * 7
    ]
    chance.shuffle(receipts)
    half = len(receipts) // 2
    for start in range(0, half, 50):
        await store.receive(receipts[start : start + 50], at(5))
    await asyncio.gather(*(store.record(result(message, sent(f"p-{message.tid}"))) for message in messages))
    for start in range(half, len(receipts), 50):
        await store.receive(receipts[start : start + 50], at(6))
    for message in messages:
        history = await _history(store, message)
        assert history[-1] is max(reached[message.tid])
        assert history == sorted(set(history))
    print(f"scorecard 17: seed {seed}, {len(receipts)} receipts of {len(messages)} messages: all at their maximum")
