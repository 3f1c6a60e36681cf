"""What every store promises of a message's runs: what a client may cancel, and what a retry keeps, forgets and opens."""

import asyncio
import random
from dataclasses import replace
from datetime import timedelta

import pytest

from kurir.clock import uuid7
from kurir.domain.message import Priority
from kurir.domain.problem import Loss
from kurir.domain.status import Status
from kurir.store.base import Accepted, Ahead, ErrorRecord, PartFailed, PartRecord, Phase, Received, Recorded, Turn
from support.records import (
    ACCOUNT,
    CLIENT,
    DECLARED,
    OTHER_CLIENT,
    T0,
    at,
    attempt,
    fail,
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

DAY = 86_400
EXPIRED = ErrorRecord("expired", "it was not sent in time")
GONE = ErrorRecord("delivery_failed", "the number is gone", "131026")
HELD = PartFailed(Status.FAILED, ErrorRecord("outcome_unknown", "held by policy"))
WITHOUT_ACCOUNT = replace(DECLARED, accounts=DECLARED.accounts[1:])


async def _accept(store, **fields):
    message = new_message(**fields)
    await store.accept(message)
    return message


async def _read(store, message):
    found = await store.message(CLIENT, message.tid)
    assert found is not None
    return found


async def _standing(store, message):
    found = await _read(store, message)
    return found.status, found.queued, found.error and found.error.code


async def _one_of_two(store, *, first=Status.SENT, **fields):
    """A message of two parts: the platform took the first and refused the second."""
    message = await _accept(store, **fields)
    losses = (Loss("/body/text", "split", "found by the rendering"),)
    assert await store.mark(mark(message, total=2, address="777", facts=b"frozen", losses=losses))
    following = mark(message, 2, 2, address="777")
    await store.record(result(message, sent("p-1", status=first), next_mark=following))
    await store.record(result(message, failed(), 2))
    return message


# --- cancel --------------------------------------------------------------------------------------------------------------


async def test_a_message_that_has_not_begun_can_be_cancelled(store):
    message = await _accept(store)
    await store.wait(message.tid, 1, at(60), ErrorRecord("rate_limited", "soon"))
    assert await store.cancel(CLIENT, message.tid, at(5)) is Turn.DONE
    found = await _read(store, message)
    assert (found.status, found.queued, found.run) == (Status.UNSENT, False, 1)
    assert found.error is not None
    assert (found.error.code, found.reason, found.waiting_until) == ("cancelled", None, None)
    [event] = found.history
    assert (event.status, event.previous, event.at, event.error) == (
        Status.UNSENT,
        Status.PENDING,
        at(5),
        found.error,
    )
    assert await store.queued(ACCOUNT) == []
    assert not await store.mark(mark(message))
    assert await store.accept(replace(message, tid=uuid7())) == Accepted(message.tid, Status.UNSENT, replayed=True)


async def test_only_the_client_of_a_message_finds_it_for_cancelling(store):
    message = await _accept(store)
    assert await store.cancel(OTHER_CLIENT, message.tid, at(5)) is Turn.NOT_FOUND
    assert await store.cancel(CLIENT, "no such tid", at(5)) is Turn.NOT_FOUND
    assert await _standing(store, message) == (Status.PENDING, True, None)


async def test_what_is_not_queued_any_more_is_not_cancelled(store):
    delivered = await send(store, "p-1")
    taken = await send(store, "p-2")
    refused = await fail(store)
    cancelled = await _accept(store)
    assert await store.cancel(CLIENT, cancelled.tid, at(5)) is Turn.DONE
    for message in (delivered, taken, refused, cancelled):
        before = await _read(store, message)
        assert await store.cancel(CLIENT, message.tid, at(9)) is Turn.ENDED
        assert await _read(store, message) == before


async def test_what_has_begun_is_not_cancelled(store):
    in_flight, doubtful, broken, between = [await _accept(store) for _ in range(4)]
    for message in (in_flight, doubtful, broken, between):
        await store.mark(mark(message, total=2))
    await store.record(result(doubtful, waiting(), attempt=attempt(outcome="unknown", status=0)))
    await store.record(result(broken, waiting(), attempt=attempt(outcome="retry", status=503)))
    await store.record(result(between, sent("p-1")))
    for message in (in_flight, doubtful, broken, between):
        before = await _read(store, message)
        assert await store.cancel(CLIENT, message.tid, at(9)) is Turn.BEGUN
        assert await _read(store, message) == before


async def test_what_was_refused_for_certain_each_time_has_not_left_and_can_be_cancelled(store):
    message = await _accept(store)
    for number, (outcome, status) in enumerate([("account_down", 401), ("retry", 429), ("retry", 0)]):
        await store.mark(mark(message, total=2))
        await store.record(result(message, waiting(60 + number), attempt=attempt(outcome=outcome, status=status)))
    assert await store.cancel(CLIENT, message.tid, at(9)) is Turn.DONE
    found = await _read(store, message)
    assert (found.status, found.queued, found.reason, found.waiting_until) == (Status.UNSENT, False, None, None)
    assert found.error is not None
    assert found.error.code == "cancelled"
    assert [(part.phase, part.status) for part in found.parts] == [(Phase.FAILED, Status.UNSENT)]
    assert not await store.mark(mark(message, total=2))
    assert await store.cancel(CLIENT, message.tid, at(9)) is Turn.ENDED
    assert await store.broken_invariants() == []


async def test_a_doubt_of_an_earlier_run_keeps_a_message_from_being_cancelled(store):
    message = await _accept(store)
    await store.mark(mark(message))
    await store.record(result(message, failed(), attempt=attempt(outcome="unknown", status=0)))
    assert await store.retry(CLIENT, message.tid, at(5)) is Turn.DONE
    assert await store.cancel(CLIENT, message.tid, at(6)) is Turn.BEGUN


async def test_a_race_of_mark_and_cancel_has_one_winner(store):
    """Scheduled both ways, and all at once: for each message exactly one of the two comes through."""
    chance = random.Random(5)
    messages = [await _accept(store) for _ in range(60)]
    calls = []
    for message in messages:
        pair = [
            ("mark", message, store.mark(mark(message))),
            ("cancel", message, store.cancel(CLIENT, message.tid, T0)),
        ]
        chance.shuffle(pair)
        calls += pair
    answers = await asyncio.gather(*(call for _, _, call in calls))
    told = {message.tid: {} for message in messages}
    for (kind, message, _), answer in zip(calls, answers, strict=True):
        told[message.tid][kind] = bool(answer) if kind == "mark" else answer
    assert all(
        answer in ({"mark": True, "cancel": Turn.BEGUN}, {"mark": False, "cancel": Turn.DONE})
        for answer in told.values()
    )
    assert len({answer["mark"] for answer in told.values()}) == 2  # each won at least once
    for message in messages:
        found = await _read(store, message)
        assert (len(found.parts), found.status) == (
            (1, Status.PENDING) if told[message.tid]["mark"] else (0, Status.UNSENT)
        )


async def test_two_who_cancel_at_once_are_told_who_did(store):
    message = await _accept(store)
    answers = await asyncio.gather(*(store.cancel(CLIENT, message.tid, at(n)) for n in range(5)))
    assert sorted(answers) == sorted([Turn.DONE] + [Turn.ENDED] * 4)
    assert len((await _read(store, message)).history) == 1


# --- retry: the message ----------------------------------------------------------------------------------------------------


async def _undelivered(store):
    message = await send(store, "p-1")
    await store.receive([receipt(Status.UNDELIVERED, "p-1", error=GONE)], at(5))
    return message


async def _held(store):
    return await fail(store, HELD)


async def _cancelled(store):
    message = await _accept(store)
    await store.cancel(CLIENT, message.tid, at(5))
    return message


async def _expired(store):
    message = await _accept(store, expires_at=at(3))
    assert await store.expire(at(4), 10) == 1
    return message


async def _untold(store):
    message = await _accept(store)
    await store.mark(mark(message))
    await store.record(result(message, sent("p-1", status=Status.PENDING)))
    assert await store.no_receipts(at(4), 10, at(5)) == 1
    return message


FAILURES = {
    "refused": fail,
    "undelivered": _undelivered,
    "outcome unknown": _held,
    "cancelled": _cancelled,
    "expired": _expired,
    "no receipts": _untold,
}


@pytest.mark.parametrize("kind", FAILURES)
async def test_a_failed_message_is_queued_again_as_if_it_were_new(store, kind):
    message = await FAILURES[kind](store)
    before = await _read(store, message)
    assert await store.retry(CLIENT, message.tid, at(100)) is Turn.DONE
    after = await _read(store, message)
    assert (after.status, after.queued, after.run, after.error, after.reason) == (Status.PENDING, True, 2, None, None)
    assert (after.parts, after.parts_total, after.address, after.losses) == ((), 0, "", ())
    assert after.attempts == before.attempts
    assert after.history[:-1] == before.history
    event = after.history[-1]
    assert (event.status, event.previous, event.at, event.error) == (Status.PENDING, before.status, at(100), None)
    assert event.position > before.history[-1].position
    for name in ("tid", "message_id", "recipient", "lane", "priority", "type", "accepted_at"):
        assert getattr(after, name) == getattr(before, name)
    [queued] = await store.queued(ACCOUNT)
    assert (queued.tid, queued.run, queued.facts, queued.parts, queued.due_at) == (message.tid, 2, None, (), None)
    assert queued.body == message.body
    assert await store.mark(mark(message, run=2, at=at(101)))
    recorded = await store.record(result(message, sent("p-9"), run=2, at=at(102)))
    assert recorded == Recorded(Status.SENT, queued=False, marked=False)
    assert (await _read(store, message)).attempts[-1].run == 2


async def test_who_asks_again_is_told_of_the_new_run(store):
    message = await fail(store)
    again = replace(message, tid=uuid7())
    assert await store.accept(again) == Accepted(message.tid, Status.FAILED, replayed=True)
    await store.retry(CLIENT, message.tid, at(100))
    assert await store.accept(again) == Accepted(message.tid, Status.PENDING, replayed=True)


async def test_only_the_client_of_a_message_finds_it_for_a_retry(store):
    message = await fail(store)
    assert await store.retry(OTHER_CLIENT, message.tid, at(5)) is Turn.NOT_FOUND
    assert await store.retry(CLIENT, "no such tid", at(5)) is Turn.NOT_FOUND
    assert (await _read(store, message)).run == 1


async def test_what_did_not_fail_is_not_retried(store):
    fresh = await _accept(store)
    in_flight = await _accept(store)
    await store.mark(mark(in_flight))
    taken = await send(store, "p-1")
    read = await send(store, "p-2")
    await store.receive([receipt(Status.READ, "p-2")], at(5))
    corrected = await send(store, "p-3")
    await store.receive([receipt(Status.FAILED, "p-3"), receipt(Status.DELIVERED, "p-3")], at(5))
    for message in (fresh, in_flight, taken, read, corrected):
        before = await _read(store, message)
        assert await store.retry(CLIENT, message.tid, at(9)) is Turn.NOT_FAILED
        assert await _read(store, message) == before


async def test_a_retried_message_is_behind_the_others(store):
    first = await fail(store, lane="l")
    second, third = await _accept(store, lane="l"), await _accept(store, lane="l")
    await store.retry(CLIENT, first.tid, at(100))
    fourth = await _accept(store, lane="l")
    order = [each.tid for each in (second, third, first, fourth)]
    found = await store.queued(ACCOUNT)
    assert [each.tid for each in found] == order
    assert [each.tid for each in await store.in_lanes(ACCOUNT, ["l"], high=False)] == order
    assert len({each.seq for each in found}) == 4
    retried = found[2]
    assert await store.ahead(ACCOUNT, "l", retried.seq, Priority.NORMAL, at(100)) == Ahead(2, second.tid)
    assert await store.at_seq(ACCOUNT, retried.seq) == retried


async def test_places_in_the_queue_are_never_given_twice(store):
    seqs = set()
    message = await fail(store)
    for run in range(2, 8):
        seqs.add((await _read(store, message)).seq)
        await store.retry(CLIENT, message.tid, at(run))
        other = await _accept(store)
        seqs.add((await _read(store, other)).seq)
        await store.mark(mark(message, run=run))
        await store.record(result(message, failed(), run=run))
    assert len(seqs) == 12


@pytest.mark.parametrize("due", [0, 3600], ids=["at once", "later"])
async def test_a_retried_message_lives_as_long_as_it_did(store, due):
    message = await _accept(store, due_at=at(due), expires_at=at(due + DAY))
    await store.cancel(CLIENT, message.tid, at(5))
    await store.retry(CLIENT, message.tid, at(50_000))
    [queued] = await store.queued(ACCOUNT)
    assert (queued.expires_at, queued.due_at) == (at(50_000 + DAY), None)
    assert await store.expire(at(50_000 + DAY - 1), 10) == 0
    assert await store.expire(at(50_000 + DAY), 10) == 1
    assert await _standing(store, message) == (Status.UNSENT, False, "expired")


async def test_a_message_that_is_retried_twice_lives_no_longer(store):
    message = await _accept(store, expires_at=at(DAY))
    for number in (1, 2, 3):
        await store.cancel(CLIENT, message.tid, at(5))
        await store.retry(CLIENT, message.tid, at(number * 1000))
        [queued] = await store.queued(ACCOUNT)
        assert queued.expires_at == at(number * 1000 + DAY)


async def test_a_message_can_be_retried_again_and_again(store):
    message = await fail(store)
    for run in (2, 3, 4):
        assert await store.retry(CLIENT, message.tid, at(run * 100)) is Turn.DONE
        assert await store.retry(CLIENT, message.tid, at(run * 100)) is Turn.NOT_FAILED
        assert not await store.mark(mark(message, run=run - 1))
        assert await store.mark(mark(message, run=run))
        await store.record(result(message, failed(), run=run))
    found = await _read(store, message)
    assert (found.status, found.run, [each.run for each in found.attempts]) == (Status.FAILED, 4, [1, 2, 3, 4])
    assert [(each.previous, each.status) for each in found.history] == [
        (Status.PENDING, Status.FAILED),
        (Status.FAILED, Status.PENDING),
    ] * 3 + [(Status.PENDING, Status.FAILED)]


async def test_two_who_retry_at_once_open_one_run(store):
    message = await fail(store)
    answers = await asyncio.gather(*(store.retry(CLIENT, message.tid, at(n)) for n in range(5)))
    assert sorted(answers) == sorted([Turn.DONE] + [Turn.NOT_FAILED] * 4)
    assert (await _read(store, message)).run == 2


async def test_a_new_run_can_be_cancelled_and_expires_like_the_first(store):
    message = await fail(store)
    await store.retry(CLIENT, message.tid, at(10))
    assert await store.cancel(CLIENT, message.tid, at(11)) is Turn.DONE
    assert await _standing(store, message) == (Status.UNSENT, False, "cancelled")
    await store.retry(CLIENT, message.tid, at(12))
    assert await store.finish(message.tid, 2, Status.UNSENT, EXPIRED, at(13)) is False
    assert await store.finish(message.tid, 3, Status.UNSENT, EXPIRED, at(13)) is True
    assert await _standing(store, message) == (Status.UNSENT, False, "expired")


async def test_of_an_older_run_a_reason_to_wait_is_not_kept(store):
    message = await fail(store)
    await store.retry(CLIENT, message.tid, at(10))
    await store.wait(message.tid, 1, at(60), ErrorRecord("rate_limited", "soon"))
    assert (await _read(store, message)).reason is None
    await store.wait(message.tid, 2, at(60), ErrorRecord("rate_limited", "soon"), since=at(11))
    assert (await _read(store, message)).waiting_until == at(60)


# --- retry: the parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [Status.PENDING, Status.SENT])
async def test_a_part_that_the_platform_took_is_kept_with_the_rendering(store, first):
    message = await _one_of_two(store, first=first)
    before = await _read(store, message)
    await store.retry(CLIENT, message.tid, at(100))
    after = await _read(store, message)
    assert after.parts == before.parts[:1]
    assert (after.parts_total, after.address, after.losses) == (2, "777", before.losses)
    [queued] = await store.begun(ACCOUNT)
    assert (queued.tid, queued.facts, queued.begun, queued.run) == (message.tid, b"frozen", True, 2)
    assert await store.cancel(CLIENT, message.tid, at(101)) is Turn.BEGUN
    assert not await store.mark(mark(message, 1, 2, run=2))
    assert await store.mark(mark(message, 2, 2, run=2, facts=None))
    recorded = await store.record(result(message, sent("p-2b"), 2, run=2))
    assert recorded == Recorded(min(first, Status.SENT), queued=False, marked=False)
    parts = (await _read(store, message)).parts
    assert [(part.platform_ids, part.attempts) for part in parts] == [(("p-1",), 1), (("p-2b",), 1)]


async def test_parts_that_were_delivered_or_read_are_kept(store):
    message, _ = await send_parts(store, 3)
    ids = [f"{message.tid}-{part}" for part in (1, 2, 3)]
    await store.receive([receipt(Status.READ, ids[0]), receipt(Status.DELIVERED, ids[2])], at(10))
    await store.receive([receipt(Status.UNDELIVERED, ids[1], error=GONE)], at(11))
    await store.retry(CLIENT, message.tid, at(100))
    found = await _read(store, message)
    assert [(part.number, part.status) for part in found.parts] == [(1, Status.READ), (3, Status.DELIVERED)]
    assert await store.mark(mark(message, 2, 3, run=2))
    assert await store.record(result(message, sent("again"), 2, run=2)) == Recorded(
        Status.SENT, queued=False, marked=False
    )
    await store.receive([receipt(Status.READ, "again")], at(120))
    assert (await _read(store, message)).status is Status.DELIVERED


async def test_a_part_that_failed_after_it_was_taken_begins_anew(store):
    message, _ = await send_parts(store, 2)
    await store.receive([receipt(Status.UNDELIVERED, f"{message.tid}-{part}") for part in (1, 2)], at(10))
    await store.retry(CLIENT, message.tid, at(100))
    found = await _read(store, message)
    assert (found.parts, found.parts_total, found.losses) == ((), 0, ())


@pytest.mark.parametrize("reached", ["waiting", "in flight"])
async def test_a_part_that_was_under_way_when_another_failed_begins_anew(store, reached):
    message = await _accept(store)
    await store.mark(mark(message, total=2))
    await store.record(result(message, sent("p-1"), next_mark=mark(message, 2, 2, again=("upload",))))
    if reached == "waiting":
        await store.record(result(message, waiting(), 2))
    await store.receive([receipt(Status.UNDELIVERED, "p-1", error=GONE)], at(5))
    assert (await _read(store, message)).parts[1].phase is (Phase.WAITING if reached == "waiting" else Phase.IN_FLIGHT)
    await store.retry(CLIENT, message.tid, at(100))
    assert (await _read(store, message)).parts == ()
    assert await store.mark(mark(message, run=2, total=2))
    assert await store.mark(mark(message, 2, 2, run=2))
    parts = (await _read(store, message)).parts
    assert [(part.number, part.attempts, part.again) for part in parts] == [(1, 1, ()), (2, 1, ())]


async def test_a_late_result_of_an_older_run_is_kept_as_an_attempt_only(store):
    message = await _accept(store)
    await store.mark(mark(message, total=2))
    await store.record(result(message, sent("p-1"), next_mark=mark(message, 2, 2)))
    await store.receive([receipt(Status.UNDELIVERED, "p-1", error=GONE)], at(5))
    await store.retry(CLIENT, message.tid, at(100))
    assert await store.mark(mark(message, run=2, total=2))
    before = await _read(store, message)
    for verdict in (sent("p-2"), failed(), waiting()):
        recorded = await store.record(result(message, verdict, 2, next_mark=mark(message, 2, 2)))
        assert recorded == Recorded(Status.PENDING, queued=True, marked=False)
    after = await _read(store, message)
    assert (after.parts, after.history, after.reason) == (before.parts, before.history, None)
    assert [each.run for each in after.attempts[-3:]] == [1, 1, 1]


async def test_facts_are_frozen_anew_where_none_were_kept(store):
    message = await _accept(store)
    await store.mark(mark(message, facts=b"old", losses=(Loss("/a", "x", "old"),)))
    await store.record(result(message, failed()))
    await store.retry(CLIENT, message.tid, at(100))
    await store.mark(mark(message, run=2, total=3, facts=b"new", losses=(Loss("/b", "y", "new"),), address="888"))
    [queued] = await store.queued(ACCOUNT)
    assert queued.facts == b"new"
    found = await _read(store, message)
    assert (found.parts_total, found.address, found.losses) == (3, "888", (Loss("/b", "y", "new"),))


async def test_losses_known_at_accept_outlive_a_retry(store):
    known = Loss("/body/footer", "ignored", "known at accept")
    message = await _accept(store, losses=(known,))
    await store.mark(mark(message, losses=(known, Loss("/b", "split", "found"))))
    await store.record(result(message, failed()))
    await store.retry(CLIENT, message.tid, at(100))
    assert (await _read(store, message)).losses == (known,)


async def test_a_corrected_part_leaves_nothing_to_send_when_it_was_the_last(store):
    """A part in doubt failed the message, proof came, and the other part has no receipt yet: all parts are there."""
    message = await _whole_and_failed(store)
    assert await store.retry(CLIENT, message.tid, at(100)) is Turn.DONE
    found = await _read(store, message)
    assert [part.phase for part in found.parts] == [Phase.ANSWERED] * 2
    assert (found.status, found.queued, found.run) == (Status.PENDING, False, 2)
    await store.receive([receipt(Status.READ, "p-1"), receipt(Status.READ, "p-2")], at(120))
    assert await _standing(store, message) == (Status.READ, False, None)


async def _whole_and_failed(store):
    message = await _accept(store)
    await store.mark(mark(message, total=2))
    await store.record(result(message, sent("p-1", status=Status.PENDING), next_mark=mark(message, 2, 2)))
    await store.record(result(message, HELD, 2))
    await store.receive([receipt(Status.SENT, "p-2", reference=f"{message.tid}:2")], at(5))
    assert await _standing(store, message) == (Status.FAILED, False, "outcome_unknown")
    return message


# --- retry: late news of the older run ---------------------------------------------------------------------------------------


async def _sent_again(store):
    """A message whose first copy failed by a receipt, and whose second one is in flight."""
    message = await _undelivered(store)
    await store.retry(CLIENT, message.tid, at(100))
    assert await store.mark(mark(message, run=2, at=at(101)))
    return message


@pytest.mark.parametrize("status", [Status.UNDELIVERED, Status.FAILED])
async def test_a_failure_of_the_older_copy_changes_nothing(store, status):
    message = await _sent_again(store)
    before = await _read(store, message)
    assert await store.receive([receipt(status, "p-1", error=GONE)], at(110)) == Received(1, 0)
    assert await _read(store, message) == before
    await store.record(result(message, sent("p-2"), run=2))
    assert await store.receive([receipt(status, "p-1", reference=f"{message.tid}:1")], at(111)) == Received(1, 0)
    assert await _standing(store, message) == (Status.SENT, False, None)
    await store.receive([receipt(status, "p-2", error=GONE)], at(112))
    assert await _standing(store, message) == (status, False, GONE.code)


async def test_the_delivery_of_the_older_copy_is_a_proof_for_the_part(store):
    message = await _sent_again(store)
    settled = ((ACCOUNT, message.lane),)
    assert await store.receive([receipt(Status.DELIVERED, "p-1")], at(110)) == Received(1, 0, settled)
    assert await _standing(store, message) == (Status.DELIVERED, False, None)
    assert not await store.mark(mark(message, run=2))
    await store.record(result(message, sent("p-2"), run=2))
    await store.receive([receipt(Status.READ, "p-2")], at(111))
    found = await _read(store, message)
    assert (found.status, found.parts[0].platform_ids) == (Status.READ, ("p-2", "p-1"))


async def test_a_delivery_of_the_older_copy_counts_after_the_newer_was_answered(store):
    message = await _sent_again(store)
    await store.record(result(message, sent("p-2"), run=2))
    assert await store.receive([receipt(Status.READ, "p-1")], at(110)) == Received(1, 0)
    assert await _standing(store, message) == (Status.READ, False, None)


@pytest.mark.parametrize("status", [Status.UNDELIVERED, Status.FAILED])
async def test_a_failure_of_the_older_copy_changes_nothing_before_the_newer_is_begun(store, status):
    message = await _undelivered(store)
    await store.retry(CLIENT, message.tid, at(100))
    assert await store.receive([receipt(status, "p-1")], at(110)) == Received(1, 0)
    assert await _standing(store, message) == (Status.PENDING, True, None)
    assert (await _read(store, message)).parts == ()


async def test_a_delivery_of_the_older_copy_that_comes_before_the_newer_is_begun_is_not_lost(store):
    message = await _undelivered(store)
    await store.retry(CLIENT, message.tid, at(100))
    await store.receive([receipt(Status.DELIVERED, "p-1")], at(110))
    if await store.mark(mark(message, run=2, at=at(111))):  # a store that takes it for sent need not send it
        await store.record(result(message, sent("p-2"), run=2, at=at(112)))
    assert await _standing(store, message) == (Status.DELIVERED, False, None)


async def test_a_receipt_by_reference_for_a_part_that_a_retry_forgot_waits_for_it(store):
    message = await _held(store)
    await store.retry(CLIENT, message.tid, at(100))
    told = receipt(Status.DELIVERED, "p-old", reference=f"{message.tid}:1", at=at(105))
    assert await store.receive([told], at(106)) == Received(1, 1)
    await store.mark(mark(message, run=2, at=at(111)))
    recorded = await store.record(result(message, sent("p-2"), run=2, at=at(112)))
    assert recorded == Recorded(Status.DELIVERED, queued=False, marked=False)


async def test_a_failure_by_reference_of_a_copy_that_is_not_the_answered_one_is_not_heard(store):
    message = await _held(store)
    await store.retry(CLIENT, message.tid, at(100))
    await store.receive([receipt(Status.FAILED, "p-old", reference=f"{message.tid}:1")], at(106))
    await store.mark(mark(message, run=2, at=at(111)))
    await store.record(result(message, sent("p-2"), run=2, at=at(112)))
    assert await _standing(store, message) == (Status.SENT, False, None)


async def test_a_watermark_covers_the_parts_of_every_run(store):
    message = await _one_of_two(store)
    await store.retry(CLIENT, message.tid, at(100))
    await store.mark(mark(message, 2, 2, run=2, address="777", at=at(101)))
    await store.record(result(message, sent("p-2"), 2, run=2, at=at(102)))
    await store.receive([receipt(Status.READ, watermark=at(50), address="777")], at(110))
    assert [part.status for part in (await _read(store, message)).parts] == [Status.READ, Status.SENT]
    await store.receive([receipt(Status.READ, watermark=at(102), address="777")], at(111))
    assert await _standing(store, message) == (Status.READ, False, None)


# --- retry: upkeep -----------------------------------------------------------------------------------------------------------


async def test_retention_counts_from_the_end_of_the_last_run(store):
    message = await fail(store)
    await store.retry(CLIENT, message.tid, at(10 * DAY))
    assert (await store.purge(at(20 * DAY), 100)).messages == 0
    await store.mark(mark(message, run=2, at=at(11 * DAY)))
    await store.record(result(message, sent("p-2"), run=2, at=at(11 * DAY)))
    assert (await store.purge(at(11 * DAY), 100)).messages == 0
    assert (await store.purge(at(11 * DAY + 1), 100)).messages == 1
    assert await store.message(CLIENT, message.tid) is None
    assert await store.retry(CLIENT, message.tid, at(12 * DAY)) is Turn.NOT_FOUND
    again = replace(message, tid=uuid7())
    assert await store.accept(again) == Accepted(message.tid, Status.SENT, replayed=True)


async def test_a_retried_message_may_go_without_receipts_again(store):
    message = await _untold(store)
    await store.retry(CLIENT, message.tid, at(100))
    assert await store.no_receipts(at(10**7), 10, at(101)) == 0
    await store.mark(mark(message, run=2, at=at(200)))
    await store.record(result(message, sent("p-2", status=Status.PENDING), run=2, at=at(201)))
    assert await store.no_receipts(at(201), 10, at(300)) == 0
    assert await store.no_receipts(at(202), 10, at(300)) == 1
    assert await _standing(store, message) == (Status.FAILED, False, "no_receipt")


async def test_a_kept_part_without_receipt_has_the_time_of_the_last_one(store):
    message = await _one_of_two(store, first=Status.PENDING)
    await store.retry(CLIENT, message.tid, at(100))
    assert await store.no_receipts(at(150), 10, at(400)) == 0
    await store.mark(mark(message, 2, 2, run=2, at=at(200)))
    await store.record(result(message, sent("p-2", status=Status.PENDING), 2, run=2, at=at(201)))
    assert await store.no_receipts(at(150), 10, at(400)) == 0
    assert await store.no_receipts(at(202), 10, at(400)) == 1
    assert [part.status for part in (await _read(store, message)).parts] == [Status.FAILED] * 2


async def test_of_a_disabled_account_a_new_run_that_was_not_begun_expires_unsent(store):
    message = await fail(store)
    await store.retry(CLIENT, message.tid, at(100))
    await store.declare(WITHOUT_ACCOUNT, T0)
    assert await store.expire(at(100 + DAY), 10) == 1
    assert await _standing(store, message) == (Status.UNSENT, False, "expired")


async def test_of_a_disabled_account_the_rest_of_a_kept_message_expires(store):
    message = await _one_of_two(store)
    await store.retry(CLIENT, message.tid, at(100))
    await store.declare(WITHOUT_ACCOUNT, T0)
    assert await store.expire(at(100 + DAY), 10) == 1
    assert await _standing(store, message) == (Status.FAILED, False, "expired")
    assert [part.status for part in (await _read(store, message)).parts] == [Status.SENT, Status.FAILED]


@pytest.mark.parametrize("kept", [Status.SENT, Status.DELIVERED])
async def test_of_a_disabled_account_what_was_sent_of_a_message_does_not_fail_with_the_rest(store, kept):
    message, _ = await send_parts(store, 2)
    await store.receive([receipt(kept, f"{message.tid}-2"), receipt(Status.UNDELIVERED, f"{message.tid}-1")], at(10))
    await store.retry(CLIENT, message.tid, at(100))
    await store.declare(WITHOUT_ACCOUNT, T0)
    await store.expire(at(100 + DAY), 10)
    found = await _read(store, message)
    assert [(part.number, part.status) for part in found.parts] == [(1, Status.FAILED), (2, kept)]
    assert await _standing(store, message) == (Status.FAILED, False, "expired")


# --- attempts over runs ------------------------------------------------------------------------------------------------------


async def test_the_past_of_a_part_is_that_of_all_runs_without_what_is_large(store):
    message = await _accept(store)
    await store.mark(mark(message, total=2))
    big = {"request": "x" * 100, "headers": '{"a": "b"}', "body": b"y" * 100}
    first = attempt(1, at=at(2), outcome="unknown", code="ambiguous_error", reason="lost", counted=False, **big)
    await store.record(result(message, waiting(), attempt=first))
    await store.mark(mark(message, total=2, at=at(70)))
    await store.record(
        result(message, sent("p-1"), attempt=attempt(1, at=at(71), **big), next_mark=mark(message, 2, 2))
    )
    other = attempt(2, at=at(72), outcome="rejected", status=400, **big)
    await store.record(result(message, failed(), 2, attempt=other))
    await store.retry(CLIENT, message.tid, at(100))
    await store.mark(mark(message, 2, 2, run=2))
    third = attempt(2, at=at(102), outcome="retry", status=503, duration_ms=7, **big)
    await store.record(result(message, waiting(), 2, run=2, attempt=third))

    def short(exchange, run):
        return replace(exchange, request="", headers="{}", body=b"", run=run)

    assert await store.past(message.tid, 1) == [short(first, 1), short(attempt(1, at=at(71)), 1)]
    assert await store.past(message.tid, 2) == [short(other, 1), short(third, 2)]
    assert await store.past(message.tid, 3) == []
    assert await store.past("no such tid", 1) == []
    found = await _read(store, message)
    assert found.attempts == (first, attempt(1, at=at(71), **big), other, replace(third, run=2))
    assert [each.counted for each in found.attempts] == [False, True, True, True]


async def test_the_run_of_an_attempt_is_that_of_its_result(store):
    message = await fail(store)
    await store.retry(CLIENT, message.tid, at(100))
    await store.record(result(message, failed(), attempt=attempt(run=99)))
    assert [each.run for each in await store.past(message.tid, 1)] == [1, 1]


async def test_a_call_that_a_retry_finds_without_an_outcome_is_noted_as_unknown(store):
    """Else the next run would take a part for one that was never sent, and not say that it may be the second copy."""
    message = await _accept(store)
    await store.mark(mark(message, total=2))
    await store.record(result(message, sent("p-1"), next_mark=mark(message, 2, 2)))
    await store.receive([receipt(Status.UNDELIVERED, "p-1", error=GONE)], at(5))  # the process died in the call
    await store.retry(CLIENT, message.tid, at(100))
    assert [each.outcome for each in await store.past(message.tid, 2)] == ["unknown"]


# --- crash -----------------------------------------------------------------------------------------------------------------


async def test_runs_are_there_after_a_restart(store):
    retried, cancelled = await _one_of_two(store), await _accept(store)
    await store.retry(CLIENT, retried.tid, at(100))
    await store.cancel(CLIENT, cancelled.tid, at(100))
    before = [await _read(store, message) for message in (retried, cancelled)]
    queued = await store.begun(ACCOUNT)
    await store.close()
    await store.open()
    assert [await _read(store, message) for message in (retried, cancelled)] == before
    assert await store.begun(ACCOUNT) == queued
    after = await _accept(store)
    assert (await _read(store, after)).seq > before[0].seq
    assert timedelta(0) < before[0].expires_at - before[0].accepted_at
    assert isinstance(queued[0].parts[0], PartRecord)
