"""What every store promises of the queue as delivery reads it: by priority, by lane, by place, and what has begun."""

import asyncio
import random
from dataclasses import replace

from kurir.domain.message import Priority
from kurir.domain.status import Status
from kurir.store.base import Ahead, ErrorRecord
from support.records import (
    ACCOUNT,
    CLIENT,
    SECOND_ACCOUNT,
    at,
    mark,
    new_message,
    result,
    send,
    sent,
    waiting,
)

EXPIRED = ErrorRecord("expired", "it was not sent in time")
HIGH, NORMAL, BULK = Priority.HIGH, Priority.NORMAL, Priority.BULK


async def _accept(store, **fields):
    message = new_message(**fields)
    await store.accept(message)
    return message


async def _accept_all(store, priorities, **fields):
    return [await _accept(store, priority=priority, **fields) for priority in priorities]


async def _begin(store, **fields):
    message = await _accept(store, **fields)
    assert await store.mark(mark(message))
    return message


def _tids(found):
    return [each.tid for each in found]


async def _seq(store, message):
    return (await store.message(CLIENT, message.tid)).seq


# --- by priority ---------------------------------------------------------------------------------------------------------


async def test_so_many_of_each_priority_are_read_in_one_order(store):
    priorities = [BULK] * 6 + [NORMAL] * 2 + [HIGH] * 4 + [NORMAL] * 3 + [BULK, HIGH]
    messages = await _accept_all(store, priorities)
    found = await store.queued(ACCOUNT, limit=3)
    wanted = [*messages[:3], *messages[6:8], *messages[8:11], messages[12]]
    assert _tids(found) == _tids(wanted)
    assert _tids(await store.queued(ACCOUNT)) == _tids(messages)


async def test_only_the_priorities_that_are_named_are_read_each_above_its_own_seq(store):
    messages = await _accept_all(store, [HIGH, NORMAL, BULK] * 3)
    seqs = [await _seq(store, message) for message in messages]
    assert _tids(await store.queued(ACCOUNT, {BULK: 0})) == _tids(messages[2::3])
    assert _tids(await store.queued(ACCOUNT, {HIGH: seqs[0], BULK: seqs[5]})) == _tids(
        [messages[3], messages[6], messages[8]]
    )
    assert await store.queued(ACCOUNT, {NORMAL: seqs[7]}) == []
    assert await store.queued(ACCOUNT, {}) == []


async def test_nothing_that_ended_and_nothing_of_another_account_is_queued(store):
    await send(store, "p-1")
    ended = await _accept(store)
    await store.finish(ended.tid, 1, Status.UNSENT, EXPIRED, at(2))
    await _accept(store, account_id=SECOND_ACCOUNT)
    left = await _accept(store)
    assert _tids(await store.queued(ACCOUNT)) == [left.tid]


async def test_all_priorities_are_read_at_one_moment(store):
    """Whatever is seen, everything that was accepted before it is seen too, of whatever priority."""
    chance = random.Random(2)
    accepted: list[str] = []

    async def accept_on():
        for _ in range(40):
            batch = [new_message(priority=chance.choice(list(Priority))) for _ in range(5)]
            for message in batch:  # one after the other, so that the order of the commits is known
                await store.accept(message)
                accepted.append(message.tid)

    writing = asyncio.create_task(accept_on())
    sights = []
    while not writing.done():
        known = len(accepted)
        sights.append(_tids(await store.queued(ACCOUNT, limit=1000)))
        assert len(sights[-1]) >= known
    await writing
    assert len({len(seen) for seen in sights}) > 2  # it was read while it grew
    assert all(seen == accepted[: len(seen)] for seen in sights)
    assert _tids(await store.queued(ACCOUNT, limit=1000)) == accepted


async def test_a_message_in_the_queue_says_since_when_it_is_due_and_why_it_waits(store):
    now = await _accept(store)
    later = await _accept(store, due_at=at(60))
    earlier = await _accept(store, accepted_at=at(5), due_at=at(3))
    await store.wait(now.tid, 1, at(9), ErrorRecord("rate_limited", "soon"), since=at(4))
    found = {each.tid: each for each in await store.queued(ACCOUNT)}
    assert [found[each.tid].due_at for each in (now, later, earlier)] == [None, at(60), None]
    assert (found[now.tid].waiting_since, found[now.tid].waiting_until) == (at(4), at(9))
    assert (found[later.tid].waiting_since, found[later.tid].waiting_until) == (None, None)


async def test_the_wait_that_a_result_asks_for_begins_with_it(store):
    message = await _begin(store)
    await store.record(result(message, waiting(60), at=at(7)))
    [queued] = await store.queued(ACCOUNT)
    assert (queued.waiting_since, queued.waiting_until) == (at(7), at(60))
    assert await store.mark(mark(message, at=at(61)))
    [queued] = await store.queued(ACCOUNT)
    assert (queued.waiting_since, queued.waiting_until) == (None, None)


async def test_a_wait_without_end_is_known_by_its_reason_alone(store):
    message = await _accept(store)
    await store.wait(message.tid, 1, None, ErrorRecord("account_parked", "revoked"), since=at(4))
    [queued] = await store.queued(ACCOUNT)
    assert (queued.waiting_since, queued.waiting_until) == (at(4), None)
    assert (await store.message(CLIENT, message.tid)).reason == ErrorRecord("account_parked", "revoked")


async def test_a_message_can_be_read_with_its_lane_and_priority(store):
    message = await _accept(store, lane="phone:+6281", priority=BULK)
    found = await store.message(CLIENT, message.tid)
    assert (found.lane, found.priority) == ("phone:+6281", BULK)


# --- what has begun ------------------------------------------------------------------------------------------------------


async def test_begun_is_what_had_a_part_marked_in_the_order_of_accept(store):
    in_flight = await _begin(store, priority=BULK)
    untouched = await _accept(store, priority=HIGH)
    waits = await _begin(store)
    await store.record(result(waits, waiting()))
    between = await _accept(store, priority=HIGH)
    await store.mark(mark(between, total=2))
    await store.record(result(between, sent("p-1")))
    ended = await _begin(store)
    await store.record(result(ended, sent("p-2")))
    await _begin(store, account_id=SECOND_ACCOUNT)
    found = await store.begun(ACCOUNT)
    assert _tids(found) == _tids([in_flight, waits, between])
    assert all(each.begun for each in found)
    assert [len(each.parts) for each in found] == [1, 1, 1]
    [queued] = [each for each in await store.queued(ACCOUNT) if each.tid == untouched.tid]
    assert not queued.begun


async def test_begun_is_read_in_pages(store):
    messages = [await _begin(store) for _ in range(5)]
    seen, cursor = [], 0
    while page := await store.begun(ACCOUNT, after_seq=cursor, limit=2):
        seen += _tids(page)
        cursor = page[-1].seq
    assert seen == _tids(messages)


# --- lanes ---------------------------------------------------------------------------------------------------------------


async def test_several_lanes_are_read_as_one(store):
    messages = [await _accept(store, lane=f"l{number % 4}") for number in range(12)]
    wanted = [message for message in messages if message.lane in ("l1", "l3")]
    assert _tids(await store.in_lanes(ACCOUNT, ["l3", "l1"], high=False)) == _tids(wanted)
    assert _tids(await store.in_lanes(ACCOUNT, ["l1", "l3", "l1", "none"], high=False)) == _tids(wanted)
    seen, cursor = [], 0
    while page := await store.in_lanes(ACCOUNT, ["l1", "l3"], high=False, after_seq=cursor, limit=4):
        assert len(page) <= 4
        seen += _tids(page)
        cursor = page[-1].seq
    assert seen == _tids(wanted)
    assert await store.in_lanes(ACCOUNT, [], high=False) == []


async def test_of_a_lane_the_high_ones_are_read_or_all_others(store):
    messages = await _accept_all(store, [NORMAL, HIGH, BULK, HIGH, NORMAL], lane="l")
    await _accept(store, lane="l", account_id=SECOND_ACCOUNT)
    ended = await _accept(store, lane="l")
    await store.finish(ended.tid, 1, Status.UNSENT, EXPIRED, at(2))
    assert _tids(await store.in_lanes(ACCOUNT, ["l"], high=True)) == _tids(messages[1::2])
    assert _tids(await store.in_lanes(ACCOUNT, ["l"], high=False)) == _tids(messages[0::2])


async def test_one_message_is_read_by_its_seq(store):
    message = await _begin(store, lane="l", priority=HIGH)
    seq = await _seq(store, message)
    found = await store.at_seq(ACCOUNT, seq)
    assert found == (await store.queued(ACCOUNT))[0]
    assert await store.at_seq(SECOND_ACCOUNT, seq) is None
    assert await store.at_seq(ACCOUNT, seq + 1) is None
    await store.record(result(message, sent("p-1")))
    assert await store.at_seq(ACCOUNT, seq) is None


# --- what goes before ----------------------------------------------------------------------------------------------------


async def _ahead(store, message, seconds=10):
    seq = await _seq(store, message)
    return await store.ahead(message.account_id, message.lane, seq, message.priority, at(seconds))


async def test_before_a_message_goes_what_came_earlier_and_what_is_high(store):
    normal, bulk, high, last, late_high = await _accept_all(store, [NORMAL, BULK, HIGH, NORMAL, HIGH], lane="l")
    for stranger in ({"lane": "other"}, {"lane": "l", "account_id": SECOND_ACCOUNT}):
        await _accept(store, **stranger)
    assert await _ahead(store, last) == Ahead(4, high.tid)
    assert await _ahead(store, normal) == Ahead(2, high.tid)
    assert await _ahead(store, bulk) == Ahead(3, high.tid)
    assert await _ahead(store, high) == Ahead(0, "")
    assert await _ahead(store, late_high) == Ahead(1, high.tid)
    await store.finish(high.tid, 1, Status.UNSENT, EXPIRED, at(2))
    assert await _ahead(store, last) == Ahead(3, late_high.tid)
    await store.finish(late_high.tid, 1, Status.UNSENT, EXPIRED, at(2))
    assert await _ahead(store, last) == Ahead(2, normal.tid)


async def test_what_has_begun_goes_before_all_others_of_its_lane(store):
    high = await _accept(store, lane="l", priority=HIGH)
    normal = await _accept(store, lane="l")
    begun = await _begin(store, lane="l", priority=BULK)
    last = await _accept(store, lane="l", priority=HIGH)
    await _begin(store, lane="other")
    assert await _ahead(store, last) == Ahead(2, begun.tid)
    assert await _ahead(store, high) == Ahead(1, begun.tid)
    assert await _ahead(store, normal) == Ahead(3, begun.tid)
    await store.record(result(begun, sent("p-1")))
    assert await _ahead(store, normal) == Ahead(2, high.tid)


async def test_what_still_waits_for_its_send_at_goes_before_nobody(store):
    later = await _accept(store, lane="l", due_at=at(60))
    later_high = await _accept(store, lane="l", due_at=at(30), priority=HIGH)
    ahead_of_its_time = await _accept(store, lane="l", accepted_at=at(500), due_at=at(500))  # the clock was set back
    last = await _accept(store, lane="l")
    assert await _ahead(store, last, 29.999999) == Ahead(1, ahead_of_its_time.tid)
    assert await _ahead(store, last, 30) == Ahead(2, later_high.tid)
    assert await _ahead(store, last, 60) == Ahead(3, later_high.tid)
    assert (await store.message(CLIENT, later.tid)).queued


async def test_no_more_than_a_thousand_are_counted(store):
    head = await _accept(store, lane="l")
    await asyncio.gather(*(_accept(store, lane="l") for _ in range(1_010)))
    last = await _accept(store, lane="l")
    assert await _ahead(store, last) == Ahead(1000, head.tid)


async def test_a_thousand_that_wait_for_their_send_at_hide_nobody(store):
    await asyncio.gather(*(_accept(store, lane="l", due_at=at(600)) for _ in range(1_000)))
    due = await _accept(store, lane="l")
    last = await _accept(store, lane="l")
    assert await _ahead(store, last) == Ahead(1, due.tid)


async def test_a_race_of_reading_and_writing_shows_no_half_message(store):
    """A queued message that has begun is read with its part, whenever it is read."""
    messages = [await _accept(store) for _ in range(40)]
    marking = asyncio.gather(*(store.mark(replace(mark(message), total=2)) for message in messages))
    while not marking.done():
        for found in await store.begun(ACCOUNT):
            assert len(found.parts) == 1
            assert found.facts is not None
    assert all(await marking)
    assert len(await store.begun(ACCOUNT)) == 40
