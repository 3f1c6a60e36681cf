"""What every store promises of reading, contacts and upkeep: nobody reads another's, and keys outlive their messages."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from kurir import tracing
from kurir.clock import uuid7
from kurir.domain.message import Message, MessageType
from kurir.domain.status import Status
from kurir.intake import wire
from kurir.store.base import Accepted, Conflict, ContactRecord, MessageFilter, Purged, Received, ReplyRecord
from support.records import (
    ACCOUNT,
    CLIENT,
    OTHER_ACCOUNT,
    OTHER_CLIENT,
    SECOND_ACCOUNT,
    at,
    mark,
    new_message,
    receipt,
    result,
    send,
    send_parts,
    sent,
)

DAY = timedelta(days=1)


def _contact(address="111", **fields):
    return replace(ContactRecord(CLIENT, ACCOUNT, "messenger", address), **fields)


# --- messages -----------------------------------------------------------------------------------------------------------


async def test_a_message_is_shown_to_its_client_only(store):
    message = await send(store, "p-1")
    assert await store.message(CLIENT, message.tid) is not None
    assert await store.message(OTHER_CLIENT, message.tid) is None
    assert await store.message(CLIENT, "no such tid") is None
    assert await store.messages(OTHER_CLIENT, MessageFilter(), 10) == []


async def test_a_list_is_newest_first_and_paged_by_its_cursor(store):
    messages = [new_message() for _ in range(7)]
    for message in messages:
        await store.accept(message)
    seen, cursor = [], None
    while page := await store.messages(CLIENT, MessageFilter(before_seq=cursor), 3):
        seen += [found.tid for found in page]
        cursor = page[-1].seq
    assert seen == [message.tid for message in reversed(messages)]


async def test_a_list_carries_no_parts(store):
    await send(store, "p-1")
    [found] = await store.messages(CLIENT, MessageFilter(), 10)
    assert (found.parts, found.attempts, found.losses, found.history) == ((), (), (), ())
    assert (found.status, found.parts_total, found.address) == (Status.SENT, 1, "6915551234567890")


async def test_a_list_can_be_narrowed(store):
    first = await send(store, "p-1", recipient="fb:1")
    second = new_message(recipient="fb:2", message_id=first.message_id, channel="telegram", account_id=SECOND_ACCOUNT)
    third = new_message(recipient="fb:2")
    for message in (second, third):
        await store.accept(message)

    async def tids(**wanted):
        return [found.tid for found in await store.messages(CLIENT, MessageFilter(**wanted), 10)]

    assert await tids(channel="telegram") == [second.tid]
    assert await tids(message_id=first.message_id) == [second.tid, first.tid]
    assert await tids(message_id=first.message_id, channel="messenger") == [first.tid]
    assert await tids(recipient="fb:2") == [third.tid, second.tid]
    assert await tids(status=Status.SENT) == [first.tid]
    assert await tids(status=Status.PENDING, recipient="fb:2", channel="messenger") == [third.tid]
    assert await tids(recipient="' OR 1=1 --") == []


# --- replies and tokens -------------------------------------------------------------------------------------------------


async def test_a_reply_finds_our_message_by_id_tid_and_platform_id(store):
    message = new_message()
    await store.accept(message)
    assert await store.reply_target(CLIENT, ACCOUNT, message.message_id) is None
    await store.mark(mark(message, address="777"))
    await store.record(result(message, sent("p-1", "p-2", quote_tokens=("q1", "q2"))))
    first = ReplyRecord("p-1", "777", "q1")
    assert await store.reply_target(CLIENT, ACCOUNT, message.message_id) == first
    assert await store.reply_target(CLIENT, ACCOUNT, message.tid) == first
    assert await store.reply_target(CLIENT, ACCOUNT, "p-1") == first
    assert await store.reply_target(CLIENT, ACCOUNT, "p-2") == ReplyRecord("p-2", "777", "q2")
    assert await store.reply_target(CLIENT, ACCOUNT, "p-3") is None


async def test_a_reply_finds_the_first_part_of_several(store):
    message, _ = await send_parts(store, 3)
    assert (await store.reply_target(CLIENT, ACCOUNT, message.tid)).platform_id == f"{message.tid}-1"


async def test_a_reply_finds_nothing_of_another_client_or_account(store):
    message = await send(store, "p-1")
    for name in (message.message_id, message.tid, "p-1"):
        assert await store.reply_target(OTHER_CLIENT, ACCOUNT, name) is None
        assert await store.reply_target(OTHER_CLIENT, OTHER_ACCOUNT, name) is None
        assert await store.reply_target(CLIENT, SECOND_ACCOUNT, name) is None


async def test_a_token_stands_for_a_key_of_its_client(store):
    message = new_message()
    await store.accept(message)
    await store.mark(mark(message, tokens=(("~t:a", "key"),)))
    await store.mark(mark(message, tokens=(("~t:a", "key"), ("~t:b", "two"))))
    assert await store.key_of(CLIENT, "~t:a") == "key"
    assert await store.key_of(CLIENT, "~t:b") == "two"
    assert await store.key_of(OTHER_CLIENT, "~t:a") is None
    assert await store.key_of(CLIENT, "~t:c") is None


# --- contacts -----------------------------------------------------------------------------------------------------------


async def test_a_contact_is_put_and_found(store):
    given = _contact(phone="628111", name="Bud ”i“", last_inbound_at=at(3))
    stored = await store.put_contact(given, at(5))
    assert stored == replace(given, linked_at=at(5))
    assert await store.contact(ACCOUNT, "111") == stored
    assert await store.contact_by_phone(ACCOUNT, "628111") == stored
    assert await store.contacts(CLIENT) == [stored]
    assert await store.contact(SECOND_ACCOUNT, "111") is None
    assert await store.contact_by_phone(SECOND_ACCOUNT, "628111") is None
    assert await store.contacts(OTHER_CLIENT) == []


async def test_putting_a_contact_again_keeps_what_is_not_given(store):
    await store.put_contact(_contact(phone="628111", name="Budi", last_inbound_at=at(3), blocked=True), at(5))
    stored = await store.put_contact(_contact(name="Budiman", last_inbound_at=at(2)), at(6))
    assert stored == _contact(phone="628111", name="Budiman", last_inbound_at=at(3), linked_at=at(5), blocked=True)
    stored = await store.put_contact(_contact(phone="628222"), at(7))
    assert (stored.phone, stored.name, stored.linked_at) == ("628222", "Budiman", at(7))
    assert await store.contact_by_phone(ACCOUNT, "628111") is None


async def test_a_phone_moves_to_the_newest_contact_of_its_account(store):
    await store.put_contact(_contact("111", phone="628111"), at(1))
    await store.put_contact(_contact("111", account_id=SECOND_ACCOUNT, channel="telegram", phone="628111"), at(1))
    moved = await store.put_contact(_contact("222", phone="628111"), at(2))
    assert await store.contact_by_phone(ACCOUNT, "628111") == moved
    left = await store.contact(ACCOUNT, "111")
    assert (left.phone, left.linked_at) == ("", None)
    assert (await store.contact_by_phone(SECOND_ACCOUNT, "628111")).address == "111"


async def test_contacts_without_a_phone_are_many_and_found_by_none(store):
    for address in ("111", "222"):
        await store.put_contact(_contact(address), at(1))
    assert await store.contact_by_phone(ACCOUNT, "") is None
    assert [found.address for found in await store.contacts(CLIENT)] == ["111", "222"]


async def test_contacts_can_be_narrowed(store):
    await store.put_contact(_contact("111", phone="628111"), at(1))
    await store.put_contact(_contact("222", phone="628222"), at(1))
    await store.put_contact(_contact("333", account_id=SECOND_ACCOUNT, channel="telegram", phone="628111"), at(1))
    assert [found.address for found in await store.contacts(CLIENT, phone="628111")] == ["111", "333"]
    assert [found.address for found in await store.contacts(CLIENT, channel="messenger")] == ["111", "222"]
    assert [found.address for found in await store.contacts(CLIENT, phone="628111", channel="telegram")] == ["333"]


# --- upkeep -------------------------------------------------------------------------------------------------------------


async def test_purge_deletes_what_ended_before_and_nothing_else(store):
    old, young = await send(store, "p-1"), await send(store, "p-2")
    await store.receive([receipt(Status.READ, "p-2")], at(0) + 50 * DAY)  # it changed since: it is young
    waits = new_message()
    await store.accept(waits)
    accepted = new_message()
    await store.accept(accepted)
    await store.mark(mark(accepted))
    await store.record(result(accepted, sent("wamid", status=Status.PENDING)))
    assert (await store.purge(at(0), 100)).messages == 0
    assert (await store.purge(at(0) + 3 * DAY, 100)).messages == 1
    assert (await store.purge(at(0) + 3 * DAY, 100)).messages == 0
    assert await store.message(CLIENT, old.tid) is None
    for message in (young, waits, accepted):
        assert await store.message(CLIENT, message.tid) is not None


async def test_purge_takes_the_oldest_first_and_not_more_than_it_may(store):
    messages = []
    for seconds in range(5):
        message = new_message()
        await store.accept(message)
        await store.mark(mark(message))
        await store.record(result(message, sent(f"p{seconds}"), at=at(seconds)))
        messages.append(message)
    assert (await store.purge(at(60), 2)).messages == 2
    assert [await store.message(CLIENT, message.tid) is None for message in messages] == [
        True,
        True,
        False,
        False,
        False,
    ]


async def test_a_key_outlives_its_message_by_a_week(store):
    message = await send(store, "p-1")
    assert (await store.purge(at(0) + DAY, 100)).messages == 1
    again = replace(message, tid=uuid7())
    assert await store.accept(again) == Accepted(message.tid, Status.SENT, replayed=True)
    assert await store.accept(replace(again, fingerprint=b"\x02" * 32)) == Conflict(message.tid)
    assert (await store.purge(at(0) + 7 * DAY, 100)).messages == 0
    assert await store.accept(again) == Accepted(message.tid, Status.SENT, replayed=True)
    assert (await store.purge(at(0) + 8 * DAY, 100)).messages == 0
    assert await store.accept(again) == Accepted(again.tid, Status.PENDING, replayed=False)


async def test_platform_ids_and_tokens_outlive_their_message(store):
    message = new_message()
    await store.accept(message)
    await store.mark(mark(message, address="777", tokens=(("~t:a", "key"),)))
    await store.record(result(message, sent("p-1", quote_tokens=("q",))))
    assert (await store.purge(at(0) + 90 * DAY, 100)).messages == 1
    assert await store.key_of(CLIENT, "~t:a") == "key"
    assert await store.reply_target(CLIENT, ACCOUNT, "p-1") == ReplyRecord("p-1", "777", "q")
    assert await store.reply_target(CLIENT, ACCOUNT, message.message_id) is None
    assert await store.receive([receipt(Status.READ, "p-1")], at(0) + 91 * DAY) == Received(1, 0)


async def test_the_order_of_accept_is_never_given_twice(store):
    await send(store, "p-1")
    last = await send(store, "p-2")
    seq = (await store.message(CLIENT, last.tid)).seq
    position = (await store.message(CLIENT, last.tid)).history[0].position
    await store.purge(at(0) + 90 * DAY, 100)
    message = await send(store, "p-3")
    found = await store.message(CLIENT, message.tid)
    assert found.seq > seq
    assert found.history[0].position > position


async def test_early_receipts_and_known_events_are_forgotten_in_time(store):
    early = receipt(Status.READ, "never-sent")
    await store.receive([early], at(0))
    await store.purge(at(0) + 20 * DAY, 100)
    assert await store.receive([early], at(0) + 20 * DAY) == Received(1, 1)


async def test_an_early_receipt_waits_for_a_day_and_not_for_the_retention(store):
    await store.receive([receipt(Status.READ, "p-1"), receipt(Status.READ, "p-2")], at(0))
    await store.purge(at(0) - 89 * DAY, 100, now=at(0) + DAY)
    first = await send(store, "p-1")
    assert (await store.message(CLIENT, first.tid)).status is Status.READ
    await store.purge(at(0) - 89 * DAY, 100, now=at(1) + DAY)
    second = await send(store, "p-2")
    assert (await store.message(CLIENT, second.tid)).status is Status.SENT


async def test_a_purge_deletes_no_more_of_a_kind_than_it_may_and_says_when_there_is_more(store):
    early = [receipt(Status.READ, f"never-{number}") for number in range(5)]
    await store.receive(early, at(0))
    bites = []
    while not bites or bites[-1].more:
        bites.append(await store.purge(at(0) + 20 * DAY, 2))
        assert len(bites) < 10
    assert bites == [Purged(0, more=True), Purged(0, more=True), Purged(0, more=False)]
    assert await store.receive(early, at(0) + 20 * DAY) == Received(5, 5), "the dedupe of all five is gone"
    message = await send(store, "never-4")
    assert (await store.message(CLIENT, message.tid)).status is Status.READ
    message = await send(store, "never-1", account_id=SECOND_ACCOUNT)
    assert (await store.message(CLIENT, message.tid)).status is Status.SENT


async def test_keys_are_purged_to_the_last_though_no_message_is(store):
    messages = [await send(store, f"p-{number}") for number in range(5)]
    assert (await store.purge(at(0) + DAY, 100)) == Purged(5, more=False)
    bites = 1
    while (await store.purge(at(0) + 9 * DAY, 2)).more:
        bites += 1
    assert bites == 3
    for message in messages:
        again = replace(message, tid=uuid7())
        assert await store.accept(again) == Accepted(again.tid, Status.PENDING, replayed=False)


async def test_the_trace_of_a_message_is_found_by_its_tid(store):
    header = f"00-{'4b' * 16}-{'f0' * 8}-01"
    body = wire.encode(Message("1", "telegram", "+351", MessageType.TEXT, "olá"))
    messages = [new_message(body=one) for one in (tracing.marked(body, header), body, b"{}")]
    for message in messages:
        await store.accept(message)
    asked = [*(message.tid for message in messages), "no such tid"]
    assert await asyncio.gather(*map(store.trace_of, asked)) == [header, "", "", ""]
