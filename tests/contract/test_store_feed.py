"""What every store promises of events and callbacks: each owed once to whom it concerns, in order, until it is taken."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from kurir.domain.problem import Loss
from kurir.domain.status import Status
from kurir.store.base import ErrorRecord, Phase
from kurir.store.feed import COMPAT_KINDS, KINDS, Ladder, Owed, Replay, endpoint_id_of
from support.records import (
    ACCOUNT,
    CLIENT,
    DECLARED,
    OTHER_ACCOUNT,
    OTHER_CLIENT,
    SECOND_ACCOUNT,
    arrival,
    at,
    called,
    endpoint,
    fail,
    mark,
    new_event,
    new_message,
    receipt,
    result,
    send,
    send_parts,
    sent,
    take_in,
)

DAY = timedelta(days=1)


async def _put(store, *args, **fields):
    return (await store.put_endpoint(endpoint(*args, **fields), at(0))).id


async def _positions(store, endpoint_id, **wanted):
    return [each.position for each in await store.owed(endpoint_id, **wanted)]


async def _arrive(store, count=1, **fields):
    for _ in range(count):
        await take_in(store, arrival(**fields))


# --- the feed -----------------------------------------------------------------------------------------------------------


async def test_an_empty_feed(store):
    assert await store.events(CLIENT) == []
    assert await store.last_position(CLIENT) == 0
    assert await store.event(CLIENT, 1) is None


async def test_a_change_of_status_is_an_event_with_its_message(store):
    message = new_message(recipient="fb:777", losses=(Loss("/footer", "dropped", "no footers here"),))
    await store.accept(message)
    await store.mark(mark(message, address="777", total=2))
    second = mark(message, 2, 2, address="777")
    await store.record(result(message, sent("p-1"), next_mark=second))
    assert await store.events(CLIENT) == [], "the message as a whole has not changed"
    await store.record(result(message, sent("p-2", "p-3"), 2, at=at(7)))
    [event] = await store.events(CLIENT)
    assert (event.kind, event.client_id, event.account_id, event.channel) == (
        "message.status",
        CLIENT,
        ACCOUNT,
        "messenger",
    )
    assert (event.conversation, event.at, event.data, event.media) == ("777", at(7), b"", None)
    change = event.change
    assert (change.tid, change.message_id, change.recipient) == (message.tid, message.message_id, "fb:777")
    assert (change.status, change.previous, change.error) == (Status.SENT, Status.PENDING, None)
    assert change.provider_message_id == "p-2", "the last part's, and its first"
    assert [(part.number, part.phase) for part in change.parts] == [(1, Phase.ANSWERED), (2, Phase.ANSWERED)]
    assert [loss.kind for loss in change.losses] == ["dropped"]
    assert await store.event(CLIENT, event.position) == event
    assert await store.last_position(CLIENT) == event.position


async def test_a_receipts_event_has_the_platforms_time_and_a_failures_its_error(store):
    await send(store, "p-1")
    await store.receive([receipt(Status.READ, "p-1", at=at(50))], at(99))
    await fail(store)
    _, read, failed = await store.events(CLIENT)
    assert (read.change.status, read.change.previous, read.at) == (Status.READ, Status.SENT, at(50))
    assert (failed.change.status, failed.change.error) == (
        Status.FAILED,
        ErrorRecord("content_refused", "refused for good", "131009"),
    )
    assert failed.change.provider_message_id == ""


async def test_what_never_began_is_ordered_by_its_lane(store):
    message = new_message(lane="phone:628111")
    await store.accept(message)
    await store.cancel(CLIENT, message.tid, at(3))
    [event] = await store.events(CLIENT)
    assert (event.conversation, event.change.status) == ("phone:628111", Status.UNSENT)


async def test_a_return_to_pending_is_history_and_in_no_feed(store):
    hook = await _put(store)
    message = await fail(store)
    await store.retry(CLIENT, message.tid, at(9))
    history = (await store.message(CLIENT, message.tid)).history
    assert [event.status for event in history] == [Status.FAILED, Status.PENDING]
    assert [event.change.status for event in await store.events(CLIENT)] == [Status.FAILED]
    assert await store.event(CLIENT, history[1].position) is None
    assert await store.last_position(CLIENT) == history[0].position
    assert await _positions(store, hook) == [history[0].position]
    assert await store.replay(hook, Replay((history[1].position,)), at(10)) == 0
    await store.mark(mark(message, run=2))
    await store.record(result(message, sent("p-9"), run=2))
    kept, again = await store.events(CLIENT)
    assert (kept.change.provider_message_id, again.change.provider_message_id) == ("", "p-9")


async def test_the_feed_is_paged_by_its_cursor(store):
    await _arrive(store, 7)
    seen, cursor = [], 0
    while page := await store.events(CLIENT, after=cursor, limit=3):
        seen += [event.position for event in page]
        cursor = page[-1].position
    assert len(seen) == 7
    assert seen == sorted(set(seen))


async def test_an_event_keeps_its_data_and_media(store):
    given = new_event("postback.received", data=b'{"\xc3\xa4": 1}', media=b"[1]", at=at(3))
    await take_in(store, arrival(event=given))
    [event] = await store.events(CLIENT)
    assert (event.kind, event.data, event.media, event.at) == ("postback.received", given.data, b"[1]", at(3))
    assert (event.change, event.conversation, event.channel) == (None, "777", "messenger")


async def test_a_feed_is_its_clients_alone(store):
    await send(store, "p-1")
    await take_in(store, arrival(account_id=OTHER_ACCOUNT, client_id=OTHER_CLIENT))
    [mine], [theirs] = await store.events(CLIENT), await store.events(OTHER_CLIENT)
    assert (mine.client_id, theirs.client_id) == (CLIENT, OTHER_CLIENT)
    assert await store.event(CLIENT, theirs.position) is None
    assert await store.event(OTHER_CLIENT, mine.position) is None


async def test_positions_are_never_given_twice(store):
    await _arrive(store, 3)
    last = await store.last_position(CLIENT)
    while (await store.purge(at(0) + 90 * DAY, 100)).more:
        pass
    assert await store.last_position(CLIENT) == 0
    await _arrive(store)
    assert await store.last_position(CLIENT) > last


async def test_positions_follow_the_commits_of_many_at_once(store):
    messages = [await send(store, f"p-{number}") for number in range(20)]
    seen = 0
    told = [store.receive([receipt(Status.READ, f"p-{number}")], at(9)) for number in range(20)]
    told += [take_in(store, arrival()) for _ in range(20)]
    for done in asyncio.as_completed(told):
        await done
        last = await store.last_position(CLIENT)
        assert last >= seen
        seen = last
    assert len(await store.events(CLIENT)) == len(messages) + 40


# --- endpoints ----------------------------------------------------------------------------------------------------------


async def test_an_endpoints_id_is_made_from_client_and_url(store):
    known = await _put(store)
    assert known == endpoint_id_of(CLIENT, endpoint().url) == "2kclljcgxsge"
    ids = {known, await _put(store, endpoint().url + "/2"), await _put(store, client_id=OTHER_CLIENT)}
    assert len(ids) == 3
    assert all(len(each) == 12 and each.isalnum() and each == each.lower() for each in ids)


async def test_an_endpoint_is_put_and_changed(store):
    first = await store.put_endpoint(endpoint(), at(0))
    assert (first.record, first.ladder, first.pending, first.failed, first.oldest_at) == (
        endpoint(),
        Ladder(),
        0,
        0,
        None,
    )
    ladder = Ladder(3, at(1), at(2), at(3), "the last step failed", "HTTP 503")
    await store.set_ladder(first.id, ladder)
    changed = endpoint(dialect="compat", events=("message.status",), sealed=b"new", enabled=False)
    assert await store.put_endpoint(changed, at(5)) == replace(first, record=changed, ladder=ladder)
    second = await store.put_endpoint(endpoint("https://b.example/"), at(6))
    assert [each.id for each in await store.all_endpoints()] == [first.id, second.id]
    assert await store.endpoints(CLIENT) == [changed, second.record]
    assert await store.endpoint("nobody") is None
    await store.set_ladder("nobody", ladder)


async def test_an_endpoint_that_another_one_changed_is_not_changed_out_of_what_it_was(store):
    known = await store.put_endpoint(endpoint(sealed=b"1"), at(0), b"")
    assert known is not None
    assert await store.put_endpoint(endpoint(sealed=b"2"), at(1), b"") is None, "it is there already"
    assert await store.put_endpoint(endpoint(sealed=b"2"), at(1), b"1") is not None
    assert await store.put_endpoint(endpoint(sealed=b"3"), at(2), b"1") is None
    assert (await store.endpoint(known.id)).record.sealed == b"2"
    await store.delete_endpoint(known.id)
    assert await store.put_endpoint(endpoint(sealed=b"3"), at(3), b"2") is None, "a change brings nothing back"
    assert await store.all_endpoints() == []


async def test_an_endpoint_that_another_one_moved_is_not_moved_from_where_it_stood(store):
    hook = await _put(store)
    step, paused = Ladder(1, at(1), at(2), last_error="500"), Ladder(paused_at=at(1), paused_reason="operator")
    assert await store.set_ladder(hook, paused, Ladder()) == paused
    assert await store.set_ladder(hook, step, Ladder()) == paused
    assert (await store.endpoint(hook)).ladder == paused
    assert await store.set_ladder(hook, step, paused) == step
    assert await store.set_ladder("nobody", step, Ladder()) is None


async def test_a_declared_endpoint_keeps_its_ladder_and_what_it_is_owed(store):
    declared = replace(DECLARED, endpoints=(endpoint(),))
    await store.declare(declared, at(0))
    [found] = await store.all_endpoints()
    ladder = Ladder(2, at(1), at(9), last_error="HTTP 500")
    await store.set_ladder(found.id, ladder)
    await _arrive(store)
    await store.declare(replace(DECLARED, endpoints=(endpoint(sealed=b"rotated"),)), at(2))
    assert (await store.endpoint(found.id)).ladder == ladder
    await store.declare(DECLARED, at(3))
    await _arrive(store)
    disabled = await store.endpoint(found.id)
    assert (disabled.record.enabled, disabled.pending) == (False, 1)
    await store.declare(declared, at(4))
    assert (await store.endpoint(found.id)).pending == 1


async def test_a_configuration_leaves_alone_what_it_never_named(store):
    hook = await _put(store)
    await store.declare(DECLARED, at(1))
    await store.declare(replace(DECLARED, endpoints=(endpoint("https://other.example/"),)), at(2))
    assert (await store.endpoint(hook)).record.enabled
    await store.declare(replace(DECLARED, endpoints=(endpoint(),)), at(3))
    await store.put_endpoint(endpoint(sealed=b"by hand"), at(4))
    await store.declare(DECLARED, at(5))
    found = (await store.endpoint(hook)).record
    assert (found.sealed, found.enabled) == (b"by hand", False), "a file named it once, and does no more"


async def test_a_deleted_endpoint_is_gone_with_what_it_was_owed(store):
    hook, other = await _put(store), await _put(store, "https://b.example/")
    await _arrive(store, 3)
    [first, *_] = await store.owed(hook)
    await store.called([called(first, Owed.PENDING)])
    assert await store.delete_endpoint(hook)
    assert not await store.delete_endpoint(hook)
    assert await store.endpoint(hook) is None
    assert (await store.owed(hook), await store.callback_attempts(hook, first.position)) == ([], [])
    assert len(await store.owed(other)) == 3
    assert await _put(store) == hook
    assert await store.owed(hook) == [], "a new one is owed from now on"


# --- what is owed -------------------------------------------------------------------------------------------------------


async def test_each_event_is_owed_once_to_each_endpoint_that_wants_it(store):
    everything, statuses = await _put(store), await _put(store, "https://b.example/", events=("message.status",))
    theirs = await _put(store, client_id=OTHER_CLIENT)
    twice = arrival()
    await take_in(store, twice, twice)
    await take_in(store, twice)
    await send(store, "p-1")
    received, status = await store.events(CLIENT)
    assert await _positions(store, everything) == [received.position, status.position]
    assert await _positions(store, statuses) == [status.position]
    assert await _positions(store, theirs) == []
    assert [each.event for each in await store.owed(everything)] == [received, status]


@pytest.mark.parametrize("dialect", ["compat", "standard"])
async def test_compat_is_owed_what_it_carries(store, dialect):
    hook = await _put(store, dialect=dialect, events=("*",))
    named = await _put(store, "https://b.example/", dialect=dialect, events=KINDS)
    await take_in(store, *(arrival(event=new_event(kind)) for kind in KINDS[1:]))
    await send(store, "p-1")
    carried = set(COMPAT_KINDS if dialect == "compat" else KINDS)
    for each in (hook, named):
        assert {one.kind for one in await store.owed(each)} == carried
    await store.replay(hook, Replay(), at(20))
    assert {one.kind for one in await store.owed(hook)} == carried


async def test_a_paused_endpoint_is_owed_and_a_disabled_one_is_not(store):
    paused = await _put(store)
    await store.set_ladder(paused, Ladder(paused_at=at(1), paused_reason="operator"))
    disabled = await _put(store, "https://b.example/", enabled=False)
    await _arrive(store)
    assert len(await store.owed(paused)) == 1
    assert await store.owed(disabled) == []


async def test_what_is_owed_is_paged_by_position(store):
    hook = await _put(store)
    await _arrive(store, 5)
    positions = await _positions(store, hook)
    assert await _positions(store, hook, limit=2) == positions[:2]
    assert await _positions(store, hook, after=positions[1], limit=2) == positions[2:4]


async def test_a_callbacks_id_is_the_same_for_every_try_and_replay(store):
    hook = await _put(store)
    await _arrive(store)
    [owed] = await store.owed(hook)
    assert owed.webhook_id == f"evt_{hook}_{owed.position}"
    await store.called([called(owed)])
    await store.replay(hook, Replay((owed.position,)), at(30))
    assert [each.webhook_id for each in await store.owed(hook)] == [owed.webhook_id]


async def test_tries_move_a_callback_on(store):
    hook = await _put(store)
    await _arrive(store, 3)
    one, two, three = await store.owed(hook)
    await store.called([called(one), called(two, Owed.PENDING), called(three, Owed.FAILED)])
    [left] = await store.owed(hook)
    assert (left.position, left.tries, left.next_at, left.ended_at) == (two.position, 1, at(25), None)
    found = await store.callbacks(hook)
    assert [(each.state, each.tries, each.next_at, each.ended_at) for each in found] == [
        (Owed.FAILED, 1, None, at(20)),
        (Owed.PENDING, 1, at(25), None),
        (Owed.DELIVERED, 1, None, at(20)),
    ]
    whole = await store.endpoint(hook)
    assert (whole.pending, whole.failed, whole.oldest_at) == (1, 1, at(11))
    for state, meant in ((Owed.FAILED, three), (Owed.PENDING, two), (Owed.DELIVERED, one)):
        assert [each.position for each in await store.callbacks(hook, state=state)] == [meant.position]
    newest_two = await store.callbacks(hook, before=three.position, limit=1)
    assert [(each.position, each.kind, each.conversation, each.event) for each in newest_two] == [
        (two.position, "message.received", "777", None)
    ]


async def test_what_ended_only_a_delivery_changes(store):
    hook = await _put(store)
    await _arrive(store)
    [owed] = await store.owed(hook)
    for state, stands in ((Owed.FAILED, Owed.FAILED), (Owed.PENDING, Owed.FAILED), (Owed.DELIVERED, Owed.DELIVERED)):
        await store.called([called(owed, state)])
        assert [each.state for each in await store.callbacks(hook)] == [stands]
    await store.called([called(owed, Owed.FAILED)])
    assert [each.state for each in await store.callbacks(hook)] == [Owed.DELIVERED]
    assert len(await store.callback_attempts(hook, owed.position)) == 4


async def test_results_of_nothing_are_passed_over(store):
    hook = await _put(store)
    await _arrive(store)
    [owed] = await store.owed(hook)
    await store.called(
        [called(replace(owed, position=10**6)), called(replace(owed, endpoint_id="nobody")), called(owed)]
    )
    assert await store.owed(hook) == []
    assert await store.callback_attempts("nobody", owed.position) == []


async def test_attempts_are_kept_the_first_and_the_last_ones(store):
    hook = await _put(store)
    await _arrive(store)
    [owed] = await store.owed(hook)
    results = [called(owed, Owed.PENDING, number, error="request_timeout", status=0) for number in range(70)]
    await store.called(results[:3])
    assert await store.callback_attempts(hook, owed.position) == [each.attempt for each in results[:3]]
    await store.called(results[3:])
    kept = await store.callback_attempts(hook, owed.position)
    assert kept == [each.attempt for each in [*results[:10], *results[-40:]]]
    assert (await store.owed(hook))[0].tries == 70
    await store.called([called(owed, body=b"x" * 20_000)])
    assert len((await store.callback_attempts(hook, owed.position))[-1].body) == 16_384


# --- replays ------------------------------------------------------------------------------------------------------------


async def _ended(store, hook, *states):
    """Events at 100, 101, … seconds whose callbacks ended so; returns their positions."""
    for number in range(len(states)):
        await _arrive(store, event=new_event(at=at(100 + number)))
    owed = await store.owed(hook)
    await store.called(
        [called(one, state) for one, state in zip(owed, states, strict=True) if state is not Owed.PENDING]
    )
    return [one.position for one in owed]


async def test_a_replay_of_some_positions(store):
    hook = await _put(store)
    one, two, three = await _ended(store, hook, Owed.DELIVERED, Owed.FAILED, Owed.PENDING)
    assert await store.replay(hook, Replay((one, three, 10**6)), at(200)) == 1
    again, pending = await store.owed(hook)
    assert (again.position, again.tries, again.ended_at) == (one, 0, None)
    assert pending.position == three
    assert await store.replay(hook, Replay((one, two), failed_only=True), at(200)) == 1
    assert await _positions(store, hook) == [one, two, three]
    assert len(await store.callback_attempts(hook, one)) == 1, "what was tried before is not forgotten"


async def test_a_replay_of_a_range_and_of_all_failures_since(store):
    hook = await _put(store)
    positions = await _ended(store, hook, *[Owed.FAILED, Owed.DELIVERED] * 3)
    assert await store.replay(hook, Replay(since=at(103), failed_only=True), at(200)) == 1
    assert await _positions(store, hook) == [positions[4]]
    assert await store.replay(hook, Replay(since=at(101), until=at(103)), at(200)) == 2
    assert await _positions(store, hook) == [positions[1], positions[2], positions[4]]
    assert await store.replay(hook, Replay(), at(200)) == 3
    assert await _positions(store, hook) == positions


async def test_a_replay_owes_what_came_before_the_endpoint_did_and_only_its_clients(store):
    await _arrive(store, 2)
    await send(store, "p-1")
    await take_in(store, arrival(account_id=OTHER_ACCOUNT, client_id=OTHER_CLIENT))
    [theirs] = await store.events(OTHER_CLIENT)
    hook = await _put(store, events=("message.received",))
    assert await store.owed(hook) == []
    assert await store.replay(hook, Replay((theirs.position,)), at(200)) == 0
    assert await store.replay(hook, Replay(failed_only=True), at(200)) == 0
    assert await store.replay(hook, Replay(), at(200)) == 2
    assert {each.kind for each in await store.owed(hook)} == {"message.received"}
    assert await store.replay("nobody", Replay(), at(200)) == 0


@pytest.mark.slow
async def test_a_long_replay_is_complete(store):
    for _ in range(9):
        await take_in(store, *(arrival() for _ in range(500)))
    hook = await _put(store)
    assert await store.replay(hook, Replay(), at(200)) == 4_500
    assert await store.replay(hook, Replay(), at(200)) == 0
    found = await store.endpoint(hook)
    assert found.pending == 4_500
    positions = [event.position for event in await store.events(CLIENT, limit=5_000)]
    assert await store.replay(hook, Replay(tuple(positions)), at(200)) == 0
    await store.called([called(each) for each in await store.owed(hook, limit=5_000)])
    assert await store.replay(hook, Replay(tuple(positions)), at(200)) == 4_500
    assert await store.delete_endpoint(hook)


# --- retention ----------------------------------------------------------------------------------------------------------


async def test_what_is_owed_is_kept_until_retention_and_goes_with_its_event(store):
    hook = await _put(store)
    await store.set_ladder(hook, Ladder(paused_at=at(1), paused_reason="410"))
    await send(store, "p-1")
    await _arrive(store)
    both = await store.owed(hook)
    await store.called([called(each, Owed.PENDING) for each in both])
    await store.purge(at(2), 100)
    assert len(await store.owed(hook)) == 2
    assert (await store.purge(at(5), 100)).messages == 1
    assert [each.kind for each in await store.owed(hook)] == ["message.received"]
    await store.purge(at(11), 100)
    assert len(await store.events(CLIENT)) == 1
    await store.purge(at(11.1), 100)
    assert (await store.events(CLIENT), await store.owed(hook)) == ([], [])
    assert await store.callback_attempts(hook, both[1].position) == []


async def test_old_events_go_in_bites(store):
    await _arrive(store, 5)
    bites = []
    while not bites or bites[-1].more:
        bites.append(await store.purge(at(100), 2))
        assert len(bites) < 10
    assert len(bites) == 3
    assert await store.events(CLIENT) == []


async def test_feed_and_callbacks_outlive_a_restart(store):
    hook = await _put(store)
    await send_parts(store, 3, account_id=SECOND_ACCOUNT, channel="telegram")
    await _arrive(store)
    events, owed = await store.events(CLIENT), await store.owed(hook)
    assert len(events) == len(owed) == 2
    await store.close()
    await store.open()
    assert (await store.events(CLIENT), await store.owed(hook)) == (events, owed)
