"""What every store promises of tallies: everything that happened is counted once, however often and by whoever it is asked."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kurir.domain.status import Status
from kurir.store.base import ErrorRecord, PartFailed, Turn
from kurir.store.looking import LastOfAccount
from kurir.store.operations import tallies
from support.records import (
    ACCOUNT,
    CLIENT,
    OTHER_ACCOUNT,
    OTHER_CLIENT,
    SECOND_ACCOUNT,
    T0,
    arrival,
    at,
    fail,
    failed,
    mark,
    new_event,
    new_message,
    receipt,
    result,
    send,
    sent,
    take_in,
)

ALL_DAY = (T0 - timedelta(days=1), T0 + timedelta(days=2))


async def settle(store, limit: int = 100) -> None:
    """Count all that is not counted."""
    while await store.tally(limit):
        pass


async def counts(store, between=ALL_DAY, **options) -> dict[str, int]:
    """Return kind → how often, of all accounts."""
    found: Counter[str] = Counter()
    for each in await store.tallies(*between, 300, **options):
        found[each.kind] += each.times
    return dict(found)


async def test_each_step_of_a_message_is_counted_where_it_happened(store):
    await send(store, "p-1")
    await store.receive([receipt(Status.DELIVERED, "p-1")], at(300))
    await store.receive([receipt(Status.READ, "p-1")], at(900))
    await fail(store, client_id=OTHER_CLIENT, account_id=OTHER_ACCOUNT)
    await take_in(
        store, arrival(), arrival(event=new_event("postback.received")), arrival(event=new_event("contact.blocked"))
    )
    await settle(store)
    five = await store.tallies(*ALL_DAY, 300)
    assert [
        ((each.at - T0.replace(microsecond=0)).total_seconds(), each.account_id, each.kind, each.times) for each in five
    ] == [
        (0, ACCOUNT, "accepted", 1),
        (0, ACCOUNT, "received", 2),
        (0, ACCOUNT, "sent", 1),
        (0, OTHER_ACCOUNT, "accepted", 1),
        (0, OTHER_ACCOUNT, "failed", 1),
        (300, ACCOUNT, "delivered", 1),
        (900, ACCOUNT, "read", 1),
    ]
    assert await store.tallies(*ALL_DAY, 300, kind="sent") == [each for each in five if each.kind == "sent"]
    summed = await store.tallies(*ALL_DAY, 300, by_account=False)
    assert [(each.client_id, each.account_id, each.kind, each.times) for each in summed] == [
        ("", "", "accepted", 2),
        ("", "", "failed", 1),
        ("", "", "received", 2),
        ("", "", "sent", 1),
        ("", "", "delivered", 1),
        ("", "", "read", 1),
    ]
    hour = await store.tallies(*ALL_DAY, 3600)
    assert {each.at.minute for each in hour} == {0}
    assert Counter({(each.client_id, each.kind): each.times for each in hour}) == Counter(
        {(each.client_id, each.kind): each.times for each in five}
    )
    assert await counts(store, client_ids=(OTHER_CLIENT,)) == {"accepted": 1, "failed": 1}
    assert await counts(store, client_ids=()) == {}
    assert await counts(store, (at(301), at(899))) == {"delivered": 1}


async def test_a_step_of_some_other_width_is_refused(store):
    for step in (0, -300, 299, 450):
        with pytest.raises(ValueError, match="multiples of 300 s"):
            await store.tallies(*ALL_DAY, step)


async def test_what_is_skipped_was_reached_too(store):
    await send(store, "p-1")
    await store.receive([receipt(Status.READ, "p-1")], at(10))
    await settle(store)
    assert await counts(store) == {"accepted": 1, "sent": 1, "delivered": 1, "read": 1}


def test_a_correction_counts_what_it_says_and_no_more():
    steps = {
        (previous, status): list(tallies.steps(previous, status))
        for previous, status in [(0, 1), (1, 3), (-3, 1), (-3, 2)]
    }
    assert steps == {(0, 1): [1], (1, 3): [2, 3], (-3, 1): [1], (-3, 2): [2]}


@pytest.mark.parametrize("counted_before", [True, False])
async def test_a_message_that_is_queued_again_was_accepted_once(store, counted_before):
    message = await fail(store)
    if counted_before:
        await settle(store)
    for _ in range(2):
        assert await store.retry(CLIENT, message.tid, at(20)) is Turn.DONE
        again = (await store.message(CLIENT, message.tid)).run
        assert await store.mark(mark(message, run=again))
        await store.record(result(message, failed(), run=again))
    await settle(store)
    assert await counts(store) == {"accepted": 1, "failed": 3}
    assert await store.retry(CLIENT, message.tid, at(30)) is Turn.DONE
    await settle(store)
    assert await counts(store) == {"accepted": 1, "failed": 3}
    assert await store._study(lambda db: db.execute("SELECT count(*) FROM counted").fetchone()[0]) == 0


async def test_a_message_that_is_cured_was_accepted_once(store):
    message = new_message()
    await store.accept(message)
    assert await store.mark(mark(message, cures=("template",)))
    await store.record(result(message, sent("p-1", status=Status.PENDING)))
    await settle(store)
    refused = receipt(Status.FAILED, "p-1", error=ErrorRecord("window_closed", "closed"), again="template")
    await store.receive([refused], at(10))
    assert (await store.message(CLIENT, message.tid)).queued
    await settle(store)
    assert await counts(store) == {"accepted": 1}


async def test_a_number_that_changes_while_it_is_counted_is_counted_once(store, monkeypatch):
    message = await fail(store)
    await store.accept(new_message())
    read = store._study

    async def retry_after(operation, **options):
        answer = await read(operation, **options)
        monkeypatch.setattr(store, "_study", read)
        assert await store.retry(CLIENT, message.tid, at(20)) is Turn.DONE
        return answer

    monkeypatch.setattr(store, "_study", retry_after)
    await settle(store)
    assert (await counts(store))["accepted"] == 2


async def test_two_who_count_the_same_count_it_once(store, monkeypatch):
    for number in range(5):
        await send(store, f"p-{number}")
    monkeypatch.setattr(tallies, "_LEAST", 1)
    for _ in range(12):
        await asyncio.gather(*(store.tally(2) for _ in range(4)))
    assert await counts(store) == {"accepted": 5, "sent": 5}
    assert not await store.tally(2)


async def test_the_errors_that_most_messages_failed_with(store):
    for code, times in (("content_refused", 3), ("blocked", 1), ("window_closed", 2)):
        for _ in range(times):
            last = await fail(store, PartFailed(Status.UNDELIVERED, ErrorRecord(code, "why")))
            if code == "content_refused":
                example = last
    other = await fail(store, client_id=OTHER_CLIENT, account_id=OTHER_ACCOUNT)
    await settle(store)
    first, second, third = await store.top_errors(at(0), (CLIENT,))
    assert [(each.code, each.times) for each in (first, second, third)] == [
        ("content_refused", 3),
        ("window_closed", 2),
        ("blocked", 1),
    ]
    assert (first.last_at, first.tid, first.client_id, first.account_id) == (at(2), example.tid, CLIENT, ACCOUNT)
    assert [(each.code, each.times) for each in await store.top_errors(at(0), limit=1)] == [("content_refused", 4)]
    assert [each.tid for each in await store.top_errors(at(0), (OTHER_CLIENT,))] == [other.tid]
    assert await store.top_errors(at(600)) == []
    assert await store.top_errors(at(-7200)) == await store.top_errors(at(0)), "of hours, or of five minutes"


async def test_when_an_account_was_last_heard_and_last_sent(store):
    assert await store.last_of_accounts() == []
    await send(store, "p-1")
    await store.receive([receipt(Status.DELIVERED, "p-1")], at(30))
    await take_in(store, arrival(account_id=SECOND_ACCOUNT))
    await settle(store)
    expected = [LastOfAccount(ACCOUNT, None, at(2)), LastOfAccount(SECOND_ACCOUNT, at(11), None)]
    assert await store.last_of_accounts() == expected
    assert await store.last_of_accounts((CLIENT,)) == expected
    assert await store.last_of_accounts((OTHER_CLIENT,)) == []


async def test_tallies_go_when_their_time_is_over(store):
    await fail(store)
    await settle(store)
    assert await counts(store) == {"accepted": 1, "failed": 1}
    await store.purge(at(300), 50)
    assert await counts(store) == {}
    await settle(store)
    assert await counts(store) == {}, "what is deleted is not counted anew"


STEPS = st.lists(
    st.sampled_from(["accept", "send", "fail", "receive", "tally", "tally", "retry", "deliver"]), max_size=20
)


@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS, limit=st.integers(1, 4))
async def test_whenever_it_is_counted_the_sums_are_the_same(store, steps, limit):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tallies, "_LEAST", 1)
        await _counted_right(store, steps, limit)


async def _counted_right(store, steps, limit):
    await settle(store)
    before = Counter(await counts(store))
    expected: Counter[str] = Counter()
    failures, waits = [], []
    for step in steps:
        if step == "accept":
            await store.accept(new_message())
            expected["accepted"] += 1
        elif step == "send":
            message = await send(store, f"p-{new_message().message_id}")
            waits.append((await store.message(CLIENT, message.tid)).parts[0].platform_ids[0])
            expected.update(("accepted", "sent"))
        elif step == "fail":
            failures.append(await fail(store))
            expected.update(("accepted", "failed"))
        elif step == "receive":
            await take_in(store, arrival())
            expected["received"] += 1
        elif step == "retry" and failures:
            assert await store.retry(CLIENT, failures.pop().tid, at(20)) is Turn.DONE
        elif step == "deliver" and waits:
            await store.receive([receipt(Status.DELIVERED, waits.pop())], at(10))
            expected["delivered"] += 1
        elif step == "tally":
            await store.tally(limit)
    await settle(store, limit)
    assert Counter(await counts(store)) - before == expected
