"""What every store promises of accept: durable once, the same answer for the same id, a conflict for other content."""

import asyncio
from dataclasses import replace

import pytest

from kurir.clock import uuid7
from kurir.domain.message import Priority
from kurir.domain.problem import Loss
from kurir.domain.status import Status
from kurir.store.base import Accepted, Conflict, MessageFilter, StoreError, StoreUnavailable
from support.records import ACCOUNT, CLIENT, OTHER_ACCOUNT, OTHER_CLIENT, at, failed, mark, new_message, result, send


async def test_an_accepted_message_is_queued_with_all_that_it_came_with(store):
    message = new_message(
        body=b"\x00\xff body", priority=Priority.HIGH, due_at=at(60.000001), expires_at=at(120), recipient="日本 😀"
    )
    assert await store.accept(message) == Accepted(message.tid, Status.PENDING, replayed=False)
    [queued] = await store.queued(ACCOUNT)
    assert queued.seq > 0
    assert (queued.run, queued.facts, queued.parts) == (1, None, ())
    for name in ("tid", "client_id", "channel", "account_id", "message_id", "recipient", "lane", "body", "priority"):
        assert getattr(queued, name) == getattr(message, name)
    assert (queued.due_at, queued.expires_at) == (message.due_at, message.expires_at)


async def test_an_accepted_message_can_be_read(store):
    losses = (Loss("/body/footer", "ignored", "no footer on a text"), Loss("/body", "x", "й"))
    message = new_message(losses=losses)
    await store.accept(message)
    found = await store.message(CLIENT, message.tid)
    assert found is not None
    assert found.losses == losses
    assert (found.status, found.queued, found.run, found.parts_total) == (Status.PENDING, True, 1, 0)
    assert (found.reason, found.error, found.waiting_until) == (None, None, None)
    assert (found.parts, found.attempts, found.history) == ((), (), ())
    assert found.accepted_at == message.accepted_at


async def test_the_same_message_again_gets_the_first_tid_and_is_not_written(store):
    message = new_message()
    await store.accept(message)
    again = replace(message, tid=uuid7(), body=b"another rendering of the same", losses=(Loss("/x", "y", "z"),))
    assert await store.accept(again) == Accepted(message.tid, Status.PENDING, replayed=True)
    assert len(await store.queued(ACCOUNT)) == 1
    assert await store.message(CLIENT, again.tid) is None


async def test_a_replay_gets_the_status_of_today(store):
    message = await send(store, "p-1")
    assert await store.accept(replace(message, tid=uuid7())) == Accepted(message.tid, Status.SENT, replayed=True)


async def test_the_same_id_with_other_content_conflicts_and_changes_nothing(store):
    message = new_message()
    await store.accept(message)
    before = await store.message(CLIENT, message.tid)
    other = replace(message, tid=uuid7(), fingerprint=b"\x02" * 32, body=b"other", recipient="fb:1", lane="1")
    assert await store.accept(other) == Conflict(message.tid)
    assert await store.message(CLIENT, message.tid) == before
    assert await store.message(CLIENT, other.tid) is None
    assert len(await store.queued(ACCOUNT)) == 1


async def test_fingerprints_of_two_rule_versions_are_not_compared(store):
    message = new_message()
    await store.accept(message)
    assert await store.accept(replace(message, tid=uuid7(), fingerprint_version=2)) == Conflict(message.tid)


async def test_client_channel_and_id_make_the_key(store):
    message = new_message()
    others = [
        replace(message, tid=uuid7(), client_id=OTHER_CLIENT, account_id=OTHER_ACCOUNT),
        replace(message, tid=uuid7(), channel="telegram"),
        replace(message, tid=uuid7(), message_id=message.message_id + " "),
    ]
    for each in (message, *others):
        assert await store.accept(each) == Accepted(each.tid, Status.PENDING, replayed=False)


async def test_a_failed_message_keeps_its_id(store):
    message = new_message()
    await store.accept(message)
    await store.mark(mark(message))
    await store.record(result(message, failed()))
    assert await store.accept(replace(message, tid=uuid7())) == Accepted(message.tid, Status.FAILED, replayed=True)


@pytest.mark.scorecard(4)
async def test_scorecard_4_fifty_racing_requests_get_one_row_and_one_answer(store):
    """Scorecard row 4: the same id fifty times at once, for 200 ids."""
    keys = [f"race-{number}" for number in range(200)]
    calls = [(key, store.accept(new_message(message_id=key))) for _ in range(50) for key in keys]
    answers = await asyncio.gather(*(call for _, call in calls))
    tids = {key: set() for key in keys}
    first = dict.fromkeys(keys, 0)
    for (key, _), answer in zip(calls, answers, strict=True):
        assert isinstance(answer, Accepted)
        tids[key].add(answer.tid)
        first[key] += not answer.replayed
    assert all(len(found) == 1 for found in tids.values())
    assert set(first.values()) == {1}
    rows = [await store.messages(CLIENT, MessageFilter(message_id=key), 100) for key in keys]
    assert [len(found) for found in rows] == [1] * 200
    assert len(await store.queued(ACCOUNT, limit=1000)) == 200
    print(f"scorecard 4: {len(answers)} requests for {len(keys)} ids: {len(keys)} rows, 50 equal answers each")


async def test_racing_requests_with_two_contents_let_one_win(store):
    contents = [b"\x0a" * 32, b"\x0b" * 32]
    calls = [store.accept(new_message(message_id="fight", fingerprint=contents[n % 2])) for n in range(40)]
    answers = await asyncio.gather(*calls)
    assert len({answer.tid for answer in answers}) == 1
    accepted = [isinstance(answer, Accepted) for answer in answers]
    assert sum(accepted) == 20
    assert accepted[0::2] == [accepted[0]] * 20


async def test_an_accept_that_fails_fails_no_stranger(store):
    bad = new_message(
        recipient="\ud800"
    )  # a lone surrogate has no UTF-8: the edge refuses it, the store cannot keep it
    good = [new_message() for _ in range(40)]
    taken = new_message()
    await store.accept(taken)
    double = new_message(tid=taken.tid)  # a tid that is there already breaks a constraint
    batch = [*good[:20], bad, *good[20:], double]
    answers = await asyncio.gather(*(store.accept(each) for each in batch), return_exceptions=True)
    assert isinstance(answers[20], UnicodeEncodeError | StoreError)
    assert isinstance(answers[-1], Exception)
    assert sum(isinstance(answer, Accepted) for answer in answers) == 40
    assert len(await store.queued(ACCOUNT)) == 41
    assert await store.accept(replace(bad, recipient="fine")) == Accepted(bad.tid, Status.PENDING, replayed=False)


async def test_a_cancelled_caller_harms_nobody(store):
    messages = [new_message() for _ in range(60)]
    tasks = [asyncio.ensure_future(store.accept(message)) for message in messages]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    for number, answer in enumerate(answers):
        assert isinstance(answer, asyncio.CancelledError if number % 3 == 0 else Accepted)
    assert isinstance(await store.accept(new_message()), Accepted)


async def test_a_closed_store_is_unavailable(bare_store):
    await bare_store.close()
    with pytest.raises(StoreUnavailable):
        await bare_store.accept(new_message())
    with pytest.raises(StoreUnavailable):
        await bare_store.queued(ACCOUNT)
    await bare_store.open()  # for the sweep


async def test_what_was_accepted_is_there_after_a_restart(bare_store):
    messages = [new_message() for _ in range(10)]
    await asyncio.gather(*(bare_store.accept(message) for message in messages))
    await bare_store.close()
    await bare_store.open()
    assert {queued.tid for queued in await bare_store.queued(ACCOUNT)} == {message.tid for message in messages}
