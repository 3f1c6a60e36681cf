"""What every store promises of a search: what is asked for and nothing else, newest first, and how far back it looked."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kurir.domain.message import Priority
from kurir.domain.status import Status
from kurir.store.base import Turn
from kurir.store.feed import Owed
from kurir.store.looking import Search
from kurir.store.operations import search, walking, words
from support.records import (
    ACCOUNT,
    CLIENT,
    OTHER_ACCOUNT,
    OTHER_CLIENT,
    SECOND_ACCOUNT,
    T0,
    at,
    called,
    endpoint,
    fail,
    failed,
    mark,
    new_message,
    receipt,
    result,
    send,
    sent,
    waiting,
)

CHAT = "6915551234567890"


async def found(store, limit=100, **fields) -> list[str]:
    page = await store.search(Search(**fields), limit)
    assert page.complete, page
    assert page.next_seq is page.looked_back_to is None
    return [row.tid for row in page.rows]


async def everything(store, wanted: Search, limit: int) -> list[str]:
    """Return the tids of all pages, one after the other."""
    tids: list[str] = []
    while True:
        page = await store.search(wanted, limit)
        assert len(page.rows) <= limit
        tids.extend(row.tid for row in page.rows)
        if page.complete:
            return tids
        assert page.next_seq is not None
        assert wanted.before_seq is None or page.next_seq < wanted.before_seq, "each page looks further back"
        assert page.looked_back_to is not None
        wanted = replace(wanted, before_seq=page.next_seq)


async def test_each_thing_that_is_known_of_a_message_finds_it(store):
    first = await send(store, "p-1", "p-2")
    second = await fail(
        store, account_id=SECOND_ACCOUNT, channel="telegram", lane="777", recipient="tg:777", type="image"
    )
    third = new_message(client_id=OTHER_CLIENT, account_id=OTHER_ACCOUNT, accepted_at=at(60))
    await store.accept(third)
    assert await found(store) == [third.tid, second.tid, first.tid]
    assert await found(store, client_ids=(CLIENT,)) == [second.tid, first.tid]
    assert await found(store, client_ids=()) == []
    assert await found(store, channel="telegram") == [second.tid]
    assert await found(store, account_id=SECOND_ACCOUNT) == [second.tid]
    assert await found(store, tid=first.tid) == [first.tid]
    assert await found(store, message_id=first.message_id) == [first.tid]
    assert await found(store, platform_id="p-2") == [first.tid]
    assert await found(store, platform_id="p-3") == []
    assert await found(store, type="image") == [second.tid]
    assert await found(store, statuses=(Status.FAILED, Status.SENT)) == [second.tid, first.tid]
    assert await found(store, error_code="content_refused") == [second.tid]
    assert await found(store, queued=True) == [third.tid]
    assert await found(store, queued=False) == [second.tid, first.tid]
    assert await found(store, since=at(60)) == [third.tid]
    assert await found(store, until=at(60)) == [second.tid, first.tid]
    [shown] = (await store.search(Search(tid=second.tid), 5)).rows
    assert shown == replace((await store.message(CLIENT, second.tid)), parts=(), attempts=(), losses=(), history=())


async def test_nobody_finds_what_is_somebody_elses(store):
    mine, theirs = await send(store, "p-1"), new_message(client_id=OTHER_CLIENT, account_id=OTHER_ACCOUNT)
    await store.accept(theirs)
    for names in ({"tid": theirs.tid}, {"message_id": theirs.message_id}, {"recipients": (theirs.recipient,)}):
        assert await found(store, **names, client_ids=(OTHER_CLIENT,)) == [theirs.tid]
        assert theirs.tid not in await found(store, **names, client_ids=(CLIENT,))
    assert await found(store, words="hello", client_ids=(CLIENT,)) == [mine.tid]
    assert await store.story((CLIENT,), theirs.tid) is None
    assert await store.story((), theirs.tid) is None
    assert (await store.story((CLIENT, OTHER_CLIENT), theirs.tid)).message.tid == theirs.tid


async def test_a_recipient_is_found_by_each_spelling_address_and_lane(store):
    named = new_message(recipient="08123", lane="phone:628123")
    await store.accept(named)
    moved = new_message(recipient="628123", lane="phone:628123")
    await store.accept(moved)
    assert await store.mark(mark(moved, address=CHAT))
    ended = new_message(recipient="628123", lane="phone:628123")
    await store.accept(ended)
    assert await store.cancel(CLIENT, ended.tid, at(1)) is Turn.DONE
    assert await found(store, recipients=("08123",)) == [named.tid]
    assert await found(store, recipients=("628123", "08123")) == [ended.tid, moved.tid, named.tid]
    assert await found(store, recipients=(CHAT,)) == [moved.tid]
    assert await found(store, recipients=("phone:628123",)) == [ended.tid, moved.tid, named.tid]
    assert await found(store, recipients=("phone:628123",), queued=False, client_ids=(CLIENT,)) == [ended.tid]
    assert await found(store, recipients=("8123",)) == []


async def test_pages_go_on_where_the_one_before_ended(store):
    accepted = [await send(store, f"p-{number}") for number in range(7)]
    newest_first = [message.tid for message in reversed(accepted)]
    for limit in (1, 2, 3, 7, 8):
        assert await everything(store, Search(), limit) == newest_first
    page = await store.search(Search(), 3)
    assert not page.complete
    assert page.looked_back_to == T0
    newer = await store.search(Search(after_seq=page.rows[1].seq), 5)
    assert ([row.tid for row in newer.rows], newer.complete) == (newest_first[:1], True)


async def test_a_rare_thing_is_looked_for_so_far_back_and_it_is_said_how_far(store, monkeypatch):
    rare = new_message(type="location", accepted_at=at(1))
    await store.accept(rare)
    for number in range(30):
        await store.accept(new_message(accepted_at=at(2 + number)))
    monkeypatch.setattr(walking, "BUDGET", 12)
    monkeypatch.setattr(walking, "FIRST", 5)
    page = await store.search(Search(type="location"), 10)
    assert (page.rows, page.complete, page.looked_back_to) == ((), False, at(2 + 30 - 12))
    assert await everything(store, Search(type="location"), 10) == [rare.tid]
    assert (await store.count(Search(type="location"), 10)).messages == 1
    monkeypatch.setattr(search, "PAGES", 2)
    counted = await store.count(Search(type="location"), 10)
    assert (counted.messages, counted.complete, counted.looked_back_to) == (0, False, at(2 + 30 - 24))


async def test_nobody_walks_on_below_what_is_too_old(store, monkeypatch):
    for number in range(30):
        await store.accept(new_message(accepted_at=at(3600 * number)))
    monkeypatch.setattr(walking, "BUDGET", 10)
    monkeypatch.setattr(walking, "FIRST", 5)
    monkeypatch.setattr(walking, "_SAMPLE", 2)
    page = await store.search(Search(since=at(3600 * 27)), 10)
    assert (len(page.rows), page.complete) == (3, True)


async def test_many_that_were_queued_again_do_not_hide_what_came_before_them(store, monkeypatch):
    old = [await fail(store) for _ in range(6)]
    new = new_message(accepted_at=at(7200))
    await store.accept(new)
    for message in old:
        assert await store.retry(CLIENT, message.tid, at(7300)) is Turn.DONE
    for name, value in (("BUDGET", 4), ("FIRST", 2), ("_SAMPLE", 2), ("_LARGE_SAMPLE", 3)):
        monkeypatch.setattr(walking, name, value)
    assert await everything(store, Search(since=at(7200)), 10) == [new.tid]
    assert await everything(store, Search(until=at(7200)), 10) == [message.tid for message in reversed(old)]


async def test_what_was_accepted_too_late_is_leapt_over(store, monkeypatch):
    again = await fail(store, accepted_at=at(3600))
    tids = [again.tid]
    for number in range(2, 60):
        message = new_message(accepted_at=at(3600 * number))
        await store.accept(message)
        tids.append(message.tid)
    assert await store.retry(CLIENT, again.tid, at(3600 * 60)) is Turn.DONE
    for name, value in (("BUDGET", 10), ("FIRST", 2), ("_SAMPLE", 2)):
        monkeypatch.setattr(walking, name, value)
    wanted = Search(since=at(3600), until=at(3600 * 4))
    page = await store.search(wanted, 10)
    assert [row.tid for row in page.rows] == [tids[0], tids[2], tids[1]]
    assert page.complete
    assert await everything(store, wanted, 1) == [tids[0], tids[2], tids[1]]
    assert await everything(store, replace(wanted, words="hello"), 2) == [tids[0], tids[2], tids[1]]


async def test_what_was_queued_again_stands_where_it_is_sent_again(store):
    again, other = await fail(store), await fail(store)
    assert await store.retry(CLIENT, again.tid, at(20)) is Turn.DONE
    assert await found(store) == [again.tid, other.tid]
    assert await found(store, until=at(1)) == [again.tid, other.tid]
    assert await found(store, error_code="content_refused") == [other.tid]


async def test_a_count_ends_where_it_is_told_to(store):
    for _ in range(5):
        await store.accept(new_message())
    assert await store.count(Search(), 100) == replace(await store.count(Search(), 100), messages=5, complete=True)
    counted = await store.count(Search(), 3)
    assert (counted.messages, counted.complete) == (3, False)
    names = await store.tids(Search(queued=True), 3)
    page = await store.search(Search(), 3)
    assert [(name.seq, name.client_id, name.tid) for name in names.found] == [
        (row.seq, CLIENT, row.tid) for row in page.rows
    ]
    assert names.next_seq == page.next_seq


async def test_what_messages_say_comes_with_one_call(store):
    accepted = [new_message(body=b'{"text": "%d"}' % number) for number in range(3)]
    for message in accepted:
        await store.accept(message)
    seqs = [row.seq for row in (await store.search(Search(), 9)).rows]
    said = await store.snippets([*seqs[:2], 10**9])
    assert said == {seqs[0]: b'{"text": "2"}', seqs[1]: b'{"text": "1"}'}
    assert await store.snippets([]) == {}


async def test_a_story_has_the_request_each_change_and_whom_it_was_told_to(store):
    hook = await store.put_endpoint(endpoint(), T0)
    assert hook is not None
    message = await send(store, "p-1")
    await store.receive([receipt(Status.READ, "p-1")], at(12))
    first, second = await store.owed(hook.id)
    await store.called([called(first, Owed.PENDING, error="cut off"), called(first, Owed.DELIVERED, 26)])
    story = await store.story(None, message.tid)
    assert story is not None
    assert story.message == await store.message(CLIENT, message.tid)
    assert story.body == message.body
    assert [(step.event.status, step.event.at, step.kept_at) for step in story.steps] == [
        (Status.SENT, at(2), at(2)),
        (Status.READ, at(10), at(12)),
    ]
    assert story.steps[0].provider_message_id == "p-1"
    [[told], [owed]] = [step.callbacks for step in story.steps]
    assert (told.url, told.callback.state, told.callback.position) == (endpoint().url, Owed.DELIVERED, first.position)
    assert [(attempt.status, attempt.error, attempt.body) for attempt in told.attempts] == [
        (503, "cut off", b"answer"),
        (200, "", b"answer"),
    ]
    assert (owed.callback.state, owed.callback.position, owed.attempts) == (Owed.PENDING, second.position, ())
    assert await store.story(None, "no-such-tid") is None


async def test_the_pulse_changes_with_messages_and_events(store):
    beats = [await store.pulse()]
    message = new_message()
    await store.accept(message)
    beats.append(await store.pulse())
    assert await store.mark(mark(message))
    await store.record(result(message, failed()))
    beats.append(await store.pulse())
    assert len(set(beats)) == 3
    assert await store.pulse() == beats[-1]


# --- as a plain filter over all rows --------------------------------------------------------------------------------------

TEXTS = ("Order 12 is paid", "ขอบคุณครับ order", "ご注文 ＡＢＣ", "abc", "")
SPELLINGS = ("a", "b", "c")


@st.composite
def messages(draw) -> dict:
    whose = draw(
        st.sampled_from(
            [
                (CLIENT, ACCOUNT, "messenger"),
                (CLIENT, SECOND_ACCOUNT, "telegram"),
                (OTHER_CLIENT, OTHER_ACCOUNT, "messenger"),
            ]
        )
    )
    spelling = st.sampled_from(SPELLINGS)
    return {
        "client_id": whose[0],
        "account_id": whose[1],
        "channel": whose[2],
        "recipient": draw(spelling),
        "lane": draw(spelling),
        "address": draw(spelling),
        "type": draw(st.sampled_from(["text", "image"])),
        "priority": draw(st.sampled_from(Priority)),
        "minutes": draw(st.integers(0, 3)),
        "end": draw(st.sampled_from(["queued", "begun", "sent", "content_refused", "expired", "cancelled", "retried"])),
        "text": draw(st.sampled_from(TEXTS)),
    }


def _some(strategy, **bounds):
    return st.lists(strategy, unique=True, **bounds).map(tuple)


searches = st.builds(
    Search,
    client_ids=st.none() | _some(st.sampled_from([CLIENT, OTHER_CLIENT])),
    channel=st.none() | st.sampled_from(["messenger", "telegram"]),
    account_id=st.none() | st.sampled_from([ACCOUNT, SECOND_ACCOUNT]),
    recipients=st.just(()) | _some(st.sampled_from(SPELLINGS), max_size=2),
    statuses=st.just(()) | _some(st.sampled_from(Status), max_size=3),
    type=st.none() | st.just("image"),
    error_code=st.none() | st.sampled_from(["content_refused", "cancelled"]),
    queued=st.none() | st.booleans(),
    since=st.none() | st.integers(0, 3).map(lambda minutes: at(60 * minutes)),
    until=st.none() | st.integers(0, 3).map(lambda minutes: at(60 * minutes)),
    words=st.just("") | st.sampled_from(["order", "ab", "ABC", "บคุณ", "注文", "注", '"12 is"', "paid order", "12 xyz"]),
)


async def _happen(store, wanted: dict) -> None:
    given_at = at(60 * wanted["minutes"])
    message = new_message(
        **{
            name: wanted[name]
            for name in ("client_id", "account_id", "channel", "recipient", "lane", "type", "priority")
        },
        accepted_at=given_at,
        due_at=given_at,
        body=f'{{"text": "{wanted["text"]}"}}'.encode(),
    )
    await store.accept(message)
    end = wanted["end"]
    if end == "queued":
        return
    if end == "cancelled":
        await store.cancel(message.client_id, message.tid, at(1))
        return
    assert await store.mark(mark(message, address=wanted["address"]))
    if end == "begun":
        await store.record(result(message, waiting()))
    elif end == "sent":
        await store.record(result(message, sent(message.tid)))
    else:
        await store.record(result(message, failed(code="content_refused" if end == "retried" else end)))
        if end == "retried":
            assert await store.retry(message.client_id, message.tid, at(20)) is Turn.DONE


def _lets_through(wanted: Search, row, said: str) -> bool:
    """The plain filter."""
    needles = words.needles_of(wanted.words)
    return (
        (wanted.client_ids is None or row.client_id in wanted.client_ids)
        and wanted.channel in (None, row.channel)
        and wanted.account_id in (None, row.account_id)
        and (not wanted.recipients or bool({row.recipient, row.lane, row.address} & set(wanted.recipients)))
        and (not wanted.statuses or row.status in wanted.statuses)
        and wanted.type in (None, row.type)
        and (wanted.error_code is None or (row.error is not None and row.error.code == wanted.error_code))
        and wanted.queued in (None, row.queued)
        and (wanted.since is None or row.accepted_at >= wanted.since)
        and (wanted.until is None or row.accepted_at < wanted.until)
        and all(needle in words.folded(said) for needle in needles)
    )


@pytest.mark.slow
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(
    given_messages=st.lists(messages(), max_size=10),
    indexed=st.integers(0, 12),
    wanted=st.lists(searches, min_size=3, max_size=6),
    limit=st.integers(1, 4),
    narrow=st.booleans(),
)
async def test_a_search_is_a_filter_over_all_rows(store, given_messages, indexed, wanted, limit, narrow):
    base = (await store.pulse())[0]  # of the example before
    for number, message in enumerate(given_messages):
        await _happen(store, message)
        if number == indexed:
            while await store.index_words(3):
                pass
    rows = (await store.search(Search(after_seq=base), 1_000)).rows
    assert len(rows) == len(given_messages)
    said = {row.tid: (await store.story(None, row.tid)).body.decode()[10:-2] for row in rows}
    with pytest.MonkeyPatch.context() as patch:
        if narrow:  # a page looks at a few rows only, and says so
            for name, value in (("BUDGET", 3), ("WORDS_BUDGET", 2), ("FIRST", 1)):
                patch.setattr(walking, name, value)
        for one in wanted:
            expected = [row.tid for row in rows if _lets_through(one, row, said[row.tid])]
            assert await everything(store, replace(one, after_seq=base), limit) == expected, one
