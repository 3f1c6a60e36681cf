"""What every store promises of people: one contact each, under whatever address, and forgotten whole when they ask."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from kurir.domain.problem import Loss
from kurir.domain.status import Status
from kurir.store.base import ContactRecord, ErrorRecord, PartFailed, Received, Turn
from kurir.store.feed import Owed, Replay
from kurir.store.inbound import ChoiceRecord, Forgotten, LinkRecord
from support.records import (
    ACCOUNT,
    CLIENT,
    OTHER_ACCOUNT,
    OTHER_CLIENT,
    SECOND_ACCOUNT,
    arrival,
    at,
    attempt,
    called,
    endpoint,
    fail,
    failed,
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


def _contact(address="777", **fields):
    return replace(ContactRecord(CLIENT, ACCOUNT, "messenger", address), **fields)


async def _hear(store, *args, **fields):
    await take_in(store, arrival(event=None, heard=heard(*args, **fields)))


# --- learning -----------------------------------------------------------------------------------------------------------


async def test_who_writes_is_a_contact(store):
    await _hear(store, name="Budi", username="budi", phone="628111")
    known = _contact(name="Budi", username="budi", phone="628111", last_inbound_at=at(10), linked_at=at(10))
    assert await store.contact(ACCOUNT, "777") == known
    await _hear(store, at=at(30))
    assert await store.contact(ACCOUNT, "777") == replace(known, last_inbound_at=at(30))
    await _hear(store, at=at(20), name="Old name", username="old")
    assert await store.contact(ACCOUNT, "777") == replace(known, last_inbound_at=at(30)), "it came late"
    await _hear(store, at=at(40), name="Budiman", heard=False)
    assert await store.contact(ACCOUNT, "777") == replace(known, last_inbound_at=at(30), name="Budiman")


async def test_of_whom_nothing_is_heard_nothing_is_kept(store):
    await _hear(store, heard=False)
    assert await store.contact(ACCOUNT, "777") is None


async def test_a_phone_moves_to_whoever_was_newest(store):
    await _hear(store, "1", phone="628111", at=at(10))
    await _hear(store, "2", phone="628111", at=at(20))
    assert (await store.contact_by_phone(ACCOUNT, "628111")).address == "2"
    assert await store.contact(ACCOUNT, "1") == _contact("1", last_inbound_at=at(10))
    await _hear(store, "3", phone="628111", at=at(15))
    assert (await store.contact_by_phone(ACCOUNT, "628111")).address == "2"
    await _hear(store, "2", phone="628222", at=at(19))
    assert (await store.contact(ACCOUNT, "2")).phone == "628111"


async def test_a_phone_is_taken_away_and_all_else_stays(store):
    await _hear(store, name="Budi", phone="628111", aliases=("US.1",))
    before = await store.contact(ACCOUNT, "777")
    gone = await store.unlink_contact(CLIENT, ACCOUNT, "US.1", at(20))  # an alias names its contact
    assert gone == replace(before, phone="", linked_at=None)
    assert await store.contact(ACCOUNT, "777") == gone
    assert await store.contact_by_phone(ACCOUNT, "628111") is None
    assert await store.unlink_contact(CLIENT, ACCOUNT, "777", at(21)) == gone
    await _hear(store, "888", phone="628111", at=at(19))  # nobody has the phone any more, so that older news give it
    assert (await store.contact_by_phone(ACCOUNT, "628111")).address == "888"


async def test_only_its_own_client_takes_a_contacts_phone_away(store):
    await _hear(store, phone="628111")
    assert await store.unlink_contact(OTHER_CLIENT, ACCOUNT, "777", at(20)) is None
    assert await store.unlink_contact(CLIENT, SECOND_ACCOUNT, "777", at(20)) is None
    assert await store.unlink_contact(CLIENT, ACCOUNT, "888", at(20)) is None
    assert (await store.contact_by_phone(ACCOUNT, "628111")).address == "777"


async def test_the_newest_news_of_blocking_stand(store):
    for moment, blocked, stands in ((20, True, True), (10, False, True), (30, False, False), (25, True, False)):
        await _hear(store, heard=False, blocked=blocked, at=at(moment))
        assert (await store.contact(ACCOUNT, "777")).blocked is stands
    assert (await store.contact(ACCOUNT, "777")).blocked_at == at(30)
    assert [event.kind for event in await store.events(CLIENT)] == ["contact.blocked", "contact.unblocked"]
    [blocked, _] = await store.events(CLIENT)
    assert (blocked.at, blocked.conversation) == (at(20), "777")
    assert b'"address":"fb:777"' in blocked.data


async def test_an_alias_finds_its_contact(store):
    await _hear(store, aliases=("US.1", "US.2"), name="Budi")
    found = await store.contact(ACCOUNT, "US.1")
    assert (found.address, found.name) == ("777", "Budi")
    assert await store.contact(ACCOUNT, "US.2") == found
    assert await store.contact(SECOND_ACCOUNT, "US.1") is None
    await _hear(store, "US.1", at=at(50), name="Budiman")
    assert await store.contact(ACCOUNT, "777") == replace(found, name="Budiman", last_inbound_at=at(50))
    renamed = await store.put_contact(_contact("US.2", phone="628111"), at(60))
    assert renamed.address == "777"
    assert await store.contacts(CLIENT) == [renamed]


async def test_two_contacts_that_are_one_are_drawn_together(store):
    await _hear(store, "US.1", name="Budi", phone="628111", at=at(5), blocked=True)
    await _hear(store, "777", at=at(3), username="budi")
    await _hear(store, "777", at=at(9), aliases=("US.1",))
    known = await store.contact(ACCOUNT, "US.1")
    assert known == _contact(
        name="Budi",
        username="budi",
        phone="628111",
        linked_at=at(5),
        last_inbound_at=at(9),
        blocked=True,
        blocked_at=at(5),
    )
    assert await store.contacts(CLIENT) == [known]
    assert (await store.contact_by_phone(ACCOUNT, "628111")).address == "777"


async def test_an_address_moves_with_all_that_is_known(store):
    message = new_message()
    await store.accept(message)
    await store.mark(mark(message, address="-5", choices=(("Yes", "y"),)))
    await take_in(store, arrival(heard=heard("-5", phone="628111", aliases=("x",)), reply_token="t", address="-5"))
    await _hear(store, "-1005", at=at(12), name="Group")
    await _hear(store, "-5", at=at(14), moved_to="-1005", heard=False)
    known = await store.contact(ACCOUNT, "-1005")
    assert (known.name, known.phone, known.last_inbound_at) == ("Group", "628111", at(12))
    for old in ("-5", "x"):
        assert await store.contact(ACCOUNT, old) == known
    assert (await store.reply_token(ACCOUNT, "t")).address == "-1005"
    assert await store.choices(ACCOUNT, "-1005") == ChoiceRecord(at(1), message.message_id, (("Yes", "y"),))
    assert await store.choices(ACCOUNT, "-5") is None


async def test_who_writes_from_an_address_that_was_left_is_somebody_new(store):
    await _hear(store, "1", name="Budi", at=at(5))
    await _hear(store, "1", moved_to="2", at=at(10), heard=False)
    await _hear(store, "1", name="Budiman", at=at(9))
    assert (await store.contact(ACCOUNT, "1")).address == "2"
    await _hear(store, "1", name="Siti", at=at(20))
    assert [(one.address, one.name) for one in await store.contacts(CLIENT)] == [("1", "Siti"), ("2", "Budiman")]


async def test_moving_there_and_back(store):
    await _hear(store, "1", name="Budi", at=at(5))
    for moment, old, new in ((10, "1", "2"), (20, "2", "3"), (30, "3", "1")):
        await _hear(store, old, moved_to=new, at=at(moment), heard=False)
    [only] = await store.contacts(CLIENT)
    assert (only.address, only.name) == ("1", "Budi")
    assert await store.aliases(ACCOUNT, "1") == ["2", "3"]
    assert await store.aliases(ACCOUNT, "2") == []
    assert await store.contact(ACCOUNT, "2") == await store.contact(ACCOUNT, "3") == only


async def test_a_contact_belongs_to_its_account(store):
    await _hear(store)
    await take_in(
        store,
        arrival(
            account_id=OTHER_ACCOUNT,
            client_id=OTHER_CLIENT,
            event=None,
            heard=heard(account_id=OTHER_ACCOUNT, client_id=OTHER_CLIENT, phone="628111", moved_to="888"),
        ),
    )
    assert [one.address for one in await store.contacts(CLIENT)] == ["777"]
    assert [one.address for one in await store.contacts(OTHER_CLIENT)] == ["888"]
    assert await store.contact_by_phone(ACCOUNT, "628111") is None


async def test_contacts_are_paged(store):
    for account_id in (ACCOUNT, SECOND_ACCOUNT):
        for number in range(5):
            await store.put_contact(_contact(str(number), account_id=account_id), at(1))
    seen, cursor = [], None
    while page := await store.contacts(CLIENT, after=cursor, limit=3):
        seen += [(one.account_id, one.address) for one in page]
        cursor = seen[-1]
    assert len(seen) == 10
    assert seen == sorted(set(seen))


async def test_a_page_of_contacts_has_a_bound(store):
    arrivals = [arrival(event=None, heard=heard(f"a{number:04}")) for number in range(1_001)]
    await take_in(store, *arrivals)
    assert len(await store.contacts(CLIENT, limit=5_000)) == 1_000


# --- what answers teach -------------------------------------------------------------------------------------------------


async def _answered(store, verdict, **learned):
    message = new_message(lane="777")
    await store.accept(message)
    await store.mark(mark(message))
    return await store.record(result(message, verdict, **learned))


async def test_an_answer_that_they_blocked_us_is_news_once(store):
    blocked = PartFailed(Status.UNDELIVERED, ErrorRecord("blocked", "they blocked us", "403"))
    assert (await _answered(store, blocked, learned_blocked=True)).taught
    assert not (await _answered(store, blocked, learned_blocked=True, at=at(3))).taught
    told = [event.kind for event in await store.events(CLIENT)]
    assert told == ["contact.blocked", "message.status", "message.status"]
    assert await store.contact(ACCOUNT, "777") == _contact(blocked=True, blocked_at=at(2), block_inferred=True)
    assert not (await _answered(store, sent("p-1"))).taught
    assert (await _answered(store, sent("p-2"), learned_blocked=False, at=at(4))).taught
    assert not (await store.contact(ACCOUNT, "777")).blocked


BLOCKED = PartFailed(Status.UNDELIVERED, ErrorRecord("blocked", "they blocked us", "403"))


async def test_what_the_platform_tells_goes_before_what_an_answer_taught_by_whatever_clock(store):
    await _answered(store, BLOCKED, learned_blocked=True, attempt=attempt(at=at(20)))
    await _hear(store, heard=False, blocked=False, at=at(10))  # the gateway's clock is ahead of the platform's
    assert await store.contact(ACCOUNT, "777") == _contact(blocked_at=at(10))
    assert [event.kind for event in await store.events(CLIENT)][-1] == "contact.unblocked"
    await _hear(store, heard=False, blocked=True, at=at(5))  # between the platform's own words its times decide
    assert not (await store.contact(ACCOUNT, "777")).blocked


async def test_an_unblocking_of_the_second_in_which_we_heard_of_the_blocking_counts(store):
    """Platforms tell whole seconds: the news of 20 s came after our answer of 20.7 s, perhaps, and no other will come."""
    await _answered(store, BLOCKED, learned_blocked=True, attempt=attempt(at=at(20.7)))
    await _hear(store, heard=False, blocked=False, at=at(20))
    assert not (await store.contact(ACCOUNT, "777")).blocked
    await _hear(store, heard=False, blocked=True, at=at(30.7))  # LINE tells milliseconds
    await _hear(store, heard=False, blocked=False, at=at(30))
    assert not (await store.contact(ACCOUNT, "777")).blocked
    await _hear(store, heard=False, blocked=True, at=at(29))  # the second before is older
    assert not (await store.contact(ACCOUNT, "777")).blocked


async def test_an_answer_that_is_older_than_what_the_platform_told_teaches_nothing(store):
    await _hear(store, heard=False, blocked=False, at=at(30))
    assert not (await _answered(store, BLOCKED, learned_blocked=True, attempt=attempt(at=at(20)))).taught
    assert not (await store.contact(ACCOUNT, "777")).blocked
    assert (await _answered(store, BLOCKED, learned_blocked=True, attempt=attempt(at=at(40)))).taught
    assert (await store.contact(ACCOUNT, "777")).blocked


async def test_of_two_contacts_that_are_one_the_platforms_word_of_blocking_stands(store):
    await _answered(store, BLOCKED, learned_blocked=True, attempt=attempt(at=at(20)))
    await _hear(store, "US.1", heard=False, blocked=False, at=at(10))
    await _hear(store, "777", heard=False, aliases=("US.1",), at=at(40))
    found = await store.contact(ACCOUNT, "777")
    assert (found.blocked, found.blocked_at, found.block_inferred) == (False, at(10), False)


async def test_an_answer_names_the_address_that_replaces_theirs(store):
    await _hear(store, name="Group")
    await _answered(store, waiting(), moved_to="-100777")
    assert (await store.contact(ACCOUNT, "777")).address == "-100777"


async def test_an_answer_in_the_platforms_own_spelling_joins_both(store):
    await store.put_contact(_contact(name="Budi", phone="628111"), at(1))
    await _answered(store, sent("p-1"), alias="77")
    await _hear(store, "77", at=at(30))
    found = await store.contact(ACCOUNT, "777")
    assert (found.address, found.name, found.last_inbound_at) == ("77", "Budi", at(30))
    await _answered(store, sent("p-2"), alias="77")
    assert await store.contacts(CLIENT) == [found]


async def test_a_spelling_that_nobody_is_known_by_waits_for_somebody(store):
    await _answered(store, sent("p-1"), alias="77")
    assert await store.contacts(CLIENT) == []
    await _hear(store, "77")
    assert (await store.contact(ACCOUNT, "777")).address == "77"


# --- forgetting ---------------------------------------------------------------------------------------------------------

SECRET = "Budi's secret"


async def _acquainted(store):
    """A person with everything that may be known of one; returns a message to them that was read."""
    await store.put_link(LinkRecord("tok", CLIENT, ACCOUNT, at(1), "628111", SECRET))
    await take_in(
        store,
        arrival(
            heard=heard(name=SECRET, username=SECRET, phone="628111", aliases=("US.1",)),
            event=new_event(data=SECRET.encode(), media=SECRET.encode()),
            platform_id="m-1",
            address="777",
            quote_token=SECRET,
            reply_token="t",
        ),
    )
    message = new_message(
        recipient="628111", lane="phone:628111", body=SECRET.encode(), losses=(Loss("/footer", "dropped", SECRET),)
    )
    await store.accept(message)
    await store.mark(mark(message, address="777", facts=SECRET.encode(), choices=((SECRET, SECRET),)))
    told = attempt(request=SECRET, headers=SECRET, body=SECRET.encode(), reason=SECRET)
    await store.record(result(message, sent("p-1", quote_tokens=(SECRET,)), attempt=told))
    await store.receive([receipt(Status.READ, watermark=at(50), address="777")], at(50))
    return message


@pytest.mark.parametrize("named", ["777", "US.1"])
async def test_a_person_is_forgotten_whole(store, named):
    hook = (await store.put_endpoint(endpoint(), at(0))).id
    message = await _acquainted(store)
    refused = await fail(store, failed(), lane="777", recipient="fb:777", body=SECRET.encode())
    received, *statuses = await store.owed(hook)
    await store.called(
        [called(one, Owed.PENDING, body=SECRET.encode(), headers=SECRET) for one in (received, *statuses)]
    )
    done = await store.forget(CLIENT, ACCOUNT, [named], at(60))
    assert done == Forgotten(0, 0, 2, 1, contact=True)

    for address in ("777", "US.1"):
        assert await store.contact(ACCOUNT, address) is None
    assert await store.contact_by_phone(ACCOUNT, "628111") is None
    assert await store.link_of(ACCOUNT, "tok") is None
    assert await store.reply_token(ACCOUNT, "t") is None
    assert await store.choices(ACCOUNT, "777") is None
    assert await store.reply_target(CLIENT, ACCOUNT, "m-1") is None
    assert (await store.reply_target(CLIENT, ACCOUNT, "p-1")).address == ""

    assert await store.event(CLIENT, received.position) is None
    assert await store.callback_attempts(hook, received.position) == []
    kept = [await store.message(CLIENT, each.tid) for each in (message, refused)]
    shown = repr((kept, await store.events(CLIENT), await store.owed(hook), await store.contacts(CLIENT)))
    tries = [await store.callback_attempts(hook, each.position) for each in statuses]
    for personal in (SECRET, "628111", "777", "refused for good"):
        alone = rf"(?<![0-9a-f=-]){re.escape(personal)}(?![0-9a-f-])"  # not among the digits of a tid
        assert not re.search(alone, shown + repr(tries))

    assert [(each.message_id, each.status) for each in kept] == [
        (message.message_id, Status.READ),
        (refused.message_id, Status.FAILED),
    ]
    assert (kept[1].error.code, kept[1].error.provider_code) == ("content_refused", "131009")
    assert [part.platform_ids for part in kept[0].parts] == [("p-1",)]
    assert [event.change.status for event in await store.events(CLIENT)] == [Status.SENT, Status.READ, Status.FAILED]
    assert await store.retry(CLIENT, refused.tid, at(70)) is Turn.ENDED
    assert (await store.quoted(ACCOUNT, "p-1")).message_id == message.message_id
    assert await store.forget(CLIENT, ACCOUNT, [named], at(80)) == Forgotten()


async def test_what_waits_for_a_person_is_cancelled_first(store):
    await _acquainted(store)
    lanes = ("777", "US.1", "phone:628111", "777")
    waits = [new_message(lane=lane, body=SECRET.encode()) for lane in lanes]
    for message in waits:
        await store.accept(message)
    done = await store.forget(CLIENT, ACCOUNT, ["777"], at(60))
    assert (done.cancelled, done.messages) == (4, 5)
    for message in waits:
        found = await store.message(CLIENT, message.tid)
        assert (found.status, found.error.code, found.queued) == (Status.UNSENT, "cancelled", False)


async def test_nothing_is_forgotten_while_something_is_being_sent(store):
    message = await _acquainted(store)
    under_way, waits = new_message(lane="phone:628111"), new_message(lane="777")
    for each in (under_way, waits):
        await store.accept(each)
    await store.mark(mark(under_way, address="777"))
    assert await store.forget(CLIENT, ACCOUNT, ["777"], at(60)) == Forgotten(begun=1)
    assert (await store.contact(ACCOUNT, "777")).name == SECRET
    assert (await store.message(CLIENT, waits.tid)).queued
    assert (await store.message(CLIENT, message.tid)).recipient == "628111"
    await store.record(result(under_way, sent("p-2")))
    assert (await store.forget(CLIENT, ACCOUNT, ["777"], at(61))).contact


async def test_somebody_with_two_spellings_is_forgotten_as_one(store):
    one, other = "5511987654321", "551187654321"  # with Brazil's ninth digit, and as WhatsApp may write it
    waits, under_way = new_message(lane=one), new_message(lane=other)
    for each in (waits, under_way):
        await store.accept(each)
    await take_in(store, arrival(address=one, platform_id="p-in", heard=heard(address=one)))
    await store.mark(mark(under_way, address=other))
    assert await store.forget(CLIENT, ACCOUNT, [one, other], at(60)) == Forgotten(begun=1)
    assert (await store.message(CLIENT, waits.tid)).queued, "while one is being sent, nothing of the other is touched"
    assert await store.contact(ACCOUNT, one) is not None
    await store.record(result(under_way, sent("p-2")))
    done = await store.forget(CLIENT, ACCOUNT, [one, other], at(61))
    assert (done.cancelled, done.messages, done.contact) == (1, 2, True)
    assert [(await store.message(CLIENT, each.tid)).recipient for each in (waits, under_way)] == ["", ""]


async def test_receipts_that_wait_are_forgotten_with_their_person(store):
    theirs, others = receipt(Status.READ, "p-theirs", address="777"), receipt(Status.READ, "p-others", address="778")
    assert await store.receive([theirs, others], at(1)) == Received(2, 2)
    await store.forget(CLIENT, ACCOUNT, ["777"], at(60))
    for platform_id, status in (("p-theirs", Status.SENT), ("p-others", Status.READ)):
        message = new_message(lane="779")
        await store.accept(message)
        await store.mark(mark(message, address="779"))
        await store.record(result(message, sent(platform_id)))
        assert (await store.message(CLIENT, message.tid)).status is status


async def test_nobody_else_is_forgotten(store):
    await _acquainted(store)
    await _hear(store, "778", name="Siti")
    others = await send(store, "p-7", lane="778")
    elsewhere = new_message(account_id=SECOND_ACCOUNT, channel="telegram", lane="777")
    await store.accept(elsewhere)
    await take_in(store, arrival(account_id=SECOND_ACCOUNT, heard=heard(account_id=SECOND_ACCOUNT)))
    assert await store.forget(OTHER_CLIENT, ACCOUNT, ["777"], at(60)) == Forgotten()
    assert (await store.contact(ACCOUNT, "777")).name == SECRET
    await store.forget(CLIENT, ACCOUNT, ["777"], at(60))
    assert (await store.contact(ACCOUNT, "778")).name == "Siti"
    assert (await store.message(CLIENT, others.tid)).address == "778"
    assert (await store.message(CLIENT, elsewhere.tid)).queued
    assert await store.contact(SECOND_ACCOUNT, "777") is not None
    assert [event.account_id for event in await store.events(CLIENT) if event.change is None] == [SECOND_ACCOUNT]


async def test_who_was_forgotten_may_come_back(store):
    hook = (await store.put_endpoint(endpoint(), at(0))).id
    await _acquainted(store)
    await store.forget(CLIENT, ACCOUNT, ["777"], at(60))
    await _hear(store, name="Budi again", at=at(70))
    assert await store.contact(ACCOUNT, "777") == _contact(name="Budi again", last_inbound_at=at(70))
    await store.replay(hook, Replay(), at(80))
    assert {one.kind for one in await store.owed(hook)} == {"message.status"}


@pytest.mark.slow
async def test_a_person_among_many_is_forgotten_in_steps(store):
    for number in range(12):
        await take_in(
            store,
            *(
                arrival(platform_id=f"{number}.{each}", address=whom, event=new_event(conversation=whom))
                for each in range(1_000)
                for whom in ["777" if each % 500 == 0 else "778"]
            ),
        )
    done = await store.forget(CLIENT, ACCOUNT, ["777"], at(60))
    assert done.events == 24
    left = {event.conversation for event in await store.events(CLIENT, limit=20_000)}
    assert left == {"778"}
    assert await store.reply_target(CLIENT, ACCOUNT, "11.500") is None
    assert await store.reply_target(CLIENT, ACCOUNT, "11.501") is not None
