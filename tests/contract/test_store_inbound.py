"""What every store promises of what comes in: taken in once, in one transaction, with all that later steps ask for."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from kurir.domain.status import Status
from kurir.store.base import Marked, ReplyRecord, StoreError
from kurir.store.inbound import (
    ChoiceRecord,
    LinkRecord,
    QuotaRecord,
    Quoted,
    ReplyTokenRecord,
    TakenIn,
    TemplateRecord,
    Webhook,
)
from support.records import (
    ACCOUNT,
    CLIENT,
    OTHER_ACCOUNT,
    OTHER_CLIENT,
    SECOND_ACCOUNT,
    arrival,
    at,
    endpoint,
    heard,
    mark,
    new_event,
    new_message,
    receipt,
    result,
    send,
    sent,
    take_in,
    waiting,
)

DAY = timedelta(days=1)


async def _kinds(store, client_id=CLIENT):
    return [event.kind for event in await store.events(client_id)]


# --- taking in ----------------------------------------------------------------------------------------------------------


async def test_an_empty_webhook_changes_nothing(store):
    assert await store.take_in(Webhook(at(1))) == TakenIn()


async def test_what_came_in_before_changes_nothing(store):
    first, second = arrival(heard=heard(name="Budi")), arrival()
    taken = await take_in(store, first, second)
    assert (taken.new, taken.clients) == ({first.event_id, second.event_id}, (CLIENT,))
    again = replace(first, heard=heard(name="Mallory"), reply_token="t", platform_id="m-1", event=new_event("other"))
    assert await take_in(store, again, second) == TakenIn()
    assert await _kinds(store) == ["message.received"] * 2
    assert (await store.contact(ACCOUNT, "777")).name == "Budi"
    assert await store.reply_token(ACCOUNT, "t") is None


async def test_an_events_id_is_the_accounts_own(store):
    one = arrival()
    taken = await take_in(
        store,
        one,
        replace(one, account_id=SECOND_ACCOUNT),
        replace(one, account_id=OTHER_ACCOUNT, client_id=OTHER_CLIENT),
    )
    assert (taken.new, taken.clients) == ({one.event_id}, (CLIENT, OTHER_CLIENT))
    assert [event.account_id for event in await store.events(CLIENT)] == [ACCOUNT, SECOND_ACCOUNT]


async def test_receipts_and_arrivals_of_a_webhook_are_one(store):
    message = await send(store, "p-1")
    taken = await take_in(store, arrival(), receipts=[receipt(Status.READ, "p-1"), receipt(Status.READ, "p-9")])
    assert (taken.receipts, taken.waiting, taken.clients) == (2, 1, (CLIENT,))
    assert await _kinds(store) == ["message.status", "message.status", "message.received"]
    assert (await store.message(CLIENT, message.tid)).status is Status.READ


async def test_a_receipt_that_changes_nothing_grows_no_feed(store):
    await send(store, "p-1")
    taken = await take_in(store, receipts=[receipt(Status.SENT, "p-1")])
    assert (taken.receipts, taken.clients) == (1, ())


async def test_a_receipt_that_settles_an_open_part_says_whose(store):
    message = new_message()
    await store.accept(message)
    await store.mark(mark(message, address="777"))
    taken = await take_in(store, receipts=[receipt(Status.SENT, "p-1", reference=message.tid)])
    assert taken.settled == ((ACCOUNT, "777"),)


async def test_the_same_webhook_from_many_hands_is_taken_in_once(store):
    hook = (await store.put_endpoint(endpoint(), at(0))).id
    arrivals = [arrival() for _ in range(5)]
    taken = await asyncio.gather(*(take_in(store, *arrivals) for _ in range(20)))
    assert sum(len(each.new) for each in taken) == 5
    assert len(await store.events(CLIENT)) == len(await store.owed(hook)) == 5


async def test_an_arrival_that_cannot_be_kept_takes_everything_with_it(store):
    good = arrival()
    with pytest.raises(StoreError):
        await take_in(store, good, arrival(event=replace(new_event(), data=None)), poll_offset=(ACCOUNT, 5))
    assert await store.events(CLIENT) == []
    assert await store.poll_offset(ACCOUNT) is None
    assert (await take_in(store, good)).new == {good.event_id}


async def test_the_place_in_the_updates_is_kept_with_what_they_brought(store):
    assert await store.poll_offset(SECOND_ACCOUNT) is None
    await take_in(store, arrival(account_id=SECOND_ACCOUNT), poll_offset=(SECOND_ACCOUNT, 1_000_000_007))
    await take_in(store, poll_offset=(SECOND_ACCOUNT, 12))
    assert await store.poll_offset(SECOND_ACCOUNT) == 12
    assert await store.poll_offset(ACCOUNT) is None


async def test_the_place_in_the_updates_is_known_as_long_as_it_means_something(store):
    await take_in(store, poll_offset=(ACCOUNT, 12))  # at 11
    assert await store.poll_offset(ACCOUNT, at(11)) == 12
    assert await store.poll_offset(ACCOUNT, at(12)) is None
    await store.drop_poll_offset(ACCOUNT, 11)
    assert await store.poll_offset(ACCOUNT) == 12, "another one"
    await store.drop_poll_offset(ACCOUNT, 12)
    assert await store.poll_offset(ACCOUNT) is None


async def test_an_event_that_is_one_only_if_it_teaches_something(store):
    def news(kind, **fields):
        return arrival(event=new_event(kind), changes=True, heard=heard(heard=False, **fields))

    await take_in(store, news("contact.unblocked", blocked=False, name="Budi"))
    assert await _kinds(store) == [], "nobody had blocked us"
    await take_in(store, news("contact.blocked", blocked=True, at=at(20)))
    await take_in(store, news("contact.blocked", blocked=True, at=at(21), name="Another"))
    await take_in(store, news("contact.blocked", blocked=True, at=at(22)), news("contact.linked", phone="628111"))
    await take_in(store, news("contact.linked", phone="628111"))
    await take_in(store, news("contact.unblocked", blocked=False, at=at(15)))
    assert await _kinds(store) == ["contact.blocked", "contact.linked"]
    await take_in(store, news("contact.unblocked", blocked=False, at=at(23)))
    assert await _kinds(store) == ["contact.blocked", "contact.linked", "contact.unblocked"]


async def test_news_of_blocking_is_an_event_though_the_arrival_has_another(store):
    await take_in(store, arrival(heard=heard(blocked=True)))
    await take_in(store, arrival(heard=heard(blocked=False, at=at(12))), arrival(heard=heard(blocked=False, at=at(13))))
    assert await _kinds(store) == [
        "contact.blocked",
        "message.received",
        "contact.unblocked",
        "message.received",
        "message.received",
    ]


# --- replies and presses ------------------------------------------------------------------------------------------------


async def test_a_persons_message_can_be_replied_to_until_retention(store):
    await take_in(store, arrival(platform_id="m-1", address="777", quote_token="q"))
    found = ReplyRecord("m-1", "777", "q")
    assert await store.reply_target(CLIENT, ACCOUNT, "m-1") == found
    assert await store.reply_target(CLIENT, SECOND_ACCOUNT, "m-1") is None
    assert await store.reply_target(OTHER_CLIENT, ACCOUNT, "m-1") is None
    assert await store.quoted(ACCOUNT, "m-1") is None
    await store.purge(at(11), 100)
    assert await store.reply_target(CLIENT, ACCOUNT, "m-1") == found
    await store.purge(at(12), 100)
    assert await store.reply_target(CLIENT, ACCOUNT, "m-1") is None


async def test_a_receipt_is_never_of_a_persons_message(store):
    await take_in(store, arrival(platform_id="m-1", address="777"))
    taken = await take_in(store, receipts=[receipt(Status.READ, "m-1")])
    assert (taken.receipts, taken.waiting) == (1, 1)
    message = await send(store, "m-1")
    assert (await store.message(CLIENT, message.tid)).status is Status.READ


async def test_a_message_of_ours_keeps_its_platform_id(store):
    message = await send(store, "p-1")
    await take_in(store, arrival(platform_id="p-1", address="666"))
    assert await store.reply_target(CLIENT, ACCOUNT, "p-1") == ReplyRecord("p-1", message.lane)
    assert await store.quoted(ACCOUNT, "p-1") == Quoted(message.tid, message.message_id)


async def test_a_quoted_message_is_known_after_it_was_deleted(store):
    message = await send(store, "p-1")
    await store.receive([receipt(Status.READ, "p-copy", reference=f"{message.tid}:1")], at(9))
    assert (await store.purge(at(0) + 90 * DAY, 100)).messages == 1
    for platform_id in ("p-1", "p-copy"):
        assert await store.quoted(ACCOUNT, platform_id) == Quoted(message.tid, message.message_id)
    assert await store.quoted(SECOND_ACCOUNT, "p-1") is None


async def test_a_reply_token_is_used_by_one_message_only(store):
    await take_in(store, arrival(reply_token="t", address="777", at=at(4)))
    assert await store.reply_token(ACCOUNT, "t") == ReplyTokenRecord("777", at(4), used=False)
    assert await store.reply_token(SECOND_ACCOUNT, "t") is None
    first, second = new_message(), new_message()
    for message in (first, second):
        await store.accept(message)
    assert await store.mark(mark(first, reply_token="t")) is Marked.MARKED
    assert await store.reply_token(ACCOUNT, "t") == ReplyTokenRecord("777", at(4), used=True)
    refused = mark(second, reply_token="t", tokens=(("~t:a", "key"),), choices=(("Yes", "y"),))
    assert await store.mark(refused) is Marked.TOKEN_USED
    assert not Marked.TOKEN_USED
    assert not (await store.message(CLIENT, second.tid)).parts
    assert (await store.key_of(CLIENT, "~t:a"), await store.choices(ACCOUNT, second.lane)) == (None, None)
    assert await store.mark(replace(refused, reply_token="never seen")) is Marked.TOKEN_USED
    await store.record(result(first, waiting()))
    assert await store.mark(mark(first, reply_token="t")) is Marked.MARKED, "its own repeat"
    assert await store.mark(replace(refused, reply_token="")) is Marked.MARKED


async def test_a_mark_that_comes_too_late_uses_no_token_up(store):
    await take_in(store, arrival(reply_token="t", address="777"))
    message = new_message()
    await store.accept(message)
    await store.cancel(CLIENT, message.tid, at(1))
    assert await store.mark(mark(message, reply_token="t")) is Marked.MOVED
    assert not (await store.reply_token(ACCOUNT, "t")).used


async def test_a_next_mark_may_lack_its_token(store):
    message = new_message()
    await store.accept(message)
    await store.mark(mark(message, total=2))
    recorded = await store.record(result(message, sent("p-1"), next_mark=mark(message, 2, 2, reply_token="gone")))
    assert (recorded.marked, recorded.token_used, recorded.queued) == (False, True, True)


async def test_the_race_for_a_reply_token_has_one_winner(store):
    await take_in(store, arrival(reply_token="t", address="777"))
    messages = [new_message() for _ in range(10)]
    for message in messages:
        await store.accept(message)
    told = await asyncio.gather(*(store.mark(mark(message, reply_token="t")) for message in messages))
    assert sorted(each.value for each in told) == ["marked"] + ["token_used"] * 9


async def test_a_conversation_has_the_choices_it_was_shown_last(store):
    assert await store.choices(ACCOUNT, "777") is None
    older, newer, without = new_message(), new_message(), new_message()
    for message in (older, newer, without):
        await store.accept(message)
    await store.mark(mark(newer, address="777", at=at(5), choices=(("Ja ä", "yes"), ("Ja ä", "again"))))
    shown = ChoiceRecord(at(5), newer.message_id, (("Ja ä", "yes"), ("Ja ä", "again")))
    await store.mark(mark(older, address="777", at=at(4), choices=(("No", "no"),)))
    await store.mark(mark(without, address="777", at=at(6)))
    assert await store.choices(ACCOUNT, "777") == shown
    assert await store.choices(SECOND_ACCOUNT, "777") is None
    await store.purge(at(0), 100, now=at(5) + DAY)
    assert await store.choices(ACCOUNT, "777") == shown
    await store.purge(at(0), 100, now=at(5.1) + DAY)
    assert await store.choices(ACCOUNT, "777") is None


async def test_reply_tokens_are_kept_for_two_days(store):
    await take_in(store, *(arrival(reply_token=f"t{number}", address="777", at=at(number)) for number in range(5)))
    await store.purge(at(0), 100, now=at(1) + 2 * DAY)
    assert await store.reply_token(ACCOUNT, "t0") is None
    assert await store.reply_token(ACCOUNT, "t1") is not None
    bites = 1
    while (await store.purge(at(0), 2, now=at(0) + 5 * DAY)).more:
        bites += 1
    assert bites == 3
    assert await store.reply_token(ACCOUNT, "t4") is None


# --- links --------------------------------------------------------------------------------------------------------------

LINK = LinkRecord("tok", CLIENT, ACCOUNT, at(1), "628111", "from the website")


async def test_a_link_is_used_once_and_by_its_account(store):
    await store.put_link(LINK)
    with pytest.raises(StoreError):
        await store.put_link(replace(LINK, phone="628222"))
    assert await store.link_of(ACCOUNT, "tok") == LINK
    assert await store.link_of(SECOND_ACCOUNT, "tok") is None
    assert await store.use_link(OTHER_ACCOUNT, "tok", at(5)) is None
    used = await asyncio.gather(*(store.use_link(ACCOUNT, "tok", at(5)) for _ in range(5)))
    assert sorted(used, key=str) == sorted([replace(LINK, used_at=at(5))] + [None] * 4, key=str)
    assert await store.link_of(ACCOUNT, "tok") == replace(LINK, used_at=at(5))


async def test_an_arrival_by_a_link_uses_it_up_and_a_used_one_teaches_no_phone(store):
    await store.put_link(LINK)
    linked = new_event("contact.linked")
    first = arrival(link="tok", heard=heard("1", phone="628111"), event=linked, changes=True)
    second = arrival(link="tok", heard=heard("2", phone="628111", at=at(30)), event=linked, changes=True)
    await take_in(store, first)
    await take_in(store, second)
    assert (await store.contact_by_phone(ACCOUNT, "628111")).address == "1"
    assert (await store.contact(ACCOUNT, "2")).phone == ""
    assert await _kinds(store) == ["contact.linked"]
    assert (await store.link_of(ACCOUNT, "tok")).used_at == at(11)


async def test_a_link_says_until_when_it_is_good(store):
    """Whether it still is, is for its reader to say, who knows when the link was opened."""
    await store.put_link(replace(LINK, expires_at=at(60)))
    assert (await store.link_of(ACCOUNT, "tok")).expires_at == at(60)
    assert await store.use_link(ACCOUNT, "tok", at(5)) == replace(LINK, expires_at=at(60), used_at=at(5))
    await store.put_link(replace(LINK, token="ever"))
    assert (await store.link_of(ACCOUNT, "ever")).expires_at is None


async def test_links_go_with_retention(store):
    await store.put_link(LINK)
    await store.purge(at(1), 100)
    assert await store.link_of(ACCOUNT, "tok") == LINK
    await store.purge(at(2), 100)
    assert await store.link_of(ACCOUNT, "tok") is None


# --- what platforms say of an account -----------------------------------------------------------------------------------


async def test_templates_are_replaced_as_a_whole(store):
    def one(name, language="en", **fields):
        base = TemplateRecord(name, language, "APPROVED", "UTILITY", '[{"type": "BODY"}]', at(5))
        return replace(base, **fields)

    assert await store.templates(ACCOUNT) == []
    await store.put_templates(ACCOUNT, [one("b"), one("a", "id"), one("a")], at(5))
    await store.put_templates(SECOND_ACCOUNT, [one("z")], at(5))
    assert await store.templates(ACCOUNT) == [one("a"), one("a", "id"), one("b")]
    assert await store.template(ACCOUNT, "a", "id") == one("a", "id")
    assert await store.template(ACCOUNT, "a", "fr") is None
    await store.put_templates(ACCOUNT, [one("a", status="PAUSED")], at(6))
    assert await store.templates(ACCOUNT) == [one("a", status="PAUSED", synced_at=at(6))]
    assert await store.templates(SECOND_ACCOUNT) == [one("z")]


async def test_the_newest_figures_of_a_quota_stand(store):
    assert await store.quota(ACCOUNT) is None
    await store.set_quota(ACCOUNT, 180, 200, at(5))
    await store.set_quota(ACCOUNT, 170, 200, at(4))
    assert await store.quota(ACCOUNT) == QuotaRecord(180, 200, at(5))
    await store.set_quota(ACCOUNT, 3, None, at(6))
    assert await store.quota(ACCOUNT) == QuotaRecord(3, None, at(6))
    assert await store.quota(SECOND_ACCOUNT) is None
