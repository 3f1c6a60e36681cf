"""What every store promises of the words of messages: found in any script, behind a mark, and gone with what they are of."""

import json

import pytest

from kurir.domain.message import (
    Button,
    Footer,
    Header,
    HeaderType,
    ListAction,
    ListBody,
    ListSection,
    Media,
    MessageType,
)
from kurir.domain.message import Message as Asked
from kurir.domain.status import Status
from kurir.intake import wire
from kurir.store.base import Turn
from kurir.store.looking import Search
from kurir.store.operations import walking, words
from support.records import (
    CLIENT,
    OTHER_ACCOUNT,
    OTHER_CLIENT,
    at,
    fail,
    failed,
    mark,
    new_message,
    receipt,
    result,
    send,
)

CHAT = "6915551234567890"


async def say(store, text: str, **fields) -> str:
    message = new_message(body=json.dumps({"text": text}).encode(), **fields)
    await store.accept(message)
    return message.tid


async def index(store) -> int:
    """Index all that is not; return how many messages that were."""
    done = 0
    while some := await store.index_words(2):
        done += some
    return done


async def found(store, asked: str, **fields) -> list[str]:
    page = await store.search(Search(words=asked, **fields), 50)
    assert page.complete
    return [row.tid for row in page.rows]


@pytest.fixture(params=["indexed", "not_indexed"])
def follow(request):
    """Whether the messages are indexed when they are looked for: it makes no difference to what is found."""

    async def nothing(_store) -> int:
        return 0

    return index if request.param == "indexed" else nothing


async def test_words_are_found_in_any_script_and_case(store, follow):
    thai = await say(store, "ขอบคุณสำหรับคำสั่งซื้อ")
    japanese = await say(store, "ご注文ありがとうございます。ＡＢＣ１２")
    chinese = await say(store, "您的订单已发货")
    german = await say(store, "Die STRASSE heißt Große Straße")
    await follow(store)
    assert await found(store, "คำสั่ง") == [thai]
    assert await found(store, "ありがとう") == [japanese]
    assert await found(store, "abc12") == [japanese]
    assert await found(store, "订单已") == [chinese]
    assert await found(store, "订单") == [chinese]
    assert await found(store, "单") == [chinese]
    assert await found(store, "strasse GROSSE") == [german]
    assert await found(store, "no such words") == []


async def test_all_words_have_to_occur_and_quoted_ones_in_a_row(store, follow):
    first = await say(store, "The parcel 4711 has  left\nour shop")
    second = await say(store, "left: the shop of parcel 4712")
    await follow(store)
    assert await found(store, "parcel left shop") == [second, first]
    assert await found(store, "parcel 4711") == [first]
    assert await found(store, '"has left our shop"') == [first]
    assert await found(store, '"parcel shop"') == []
    assert await found(store, 'left "shop of"') == [second]
    assert await found(store, "%arcel") == await found(store, "_arcel") == await found(store, "parc*") == []
    assert await found(store, "of") == [second]
    assert await found(store, "   ") == [second, first], "nothing is asked for"
    assert await found(store, '"') == []


async def test_all_that_a_person_reads_is_searched_and_no_url_or_key(store, follow):
    every = Asked(
        id="1",
        channel="telegram",
        recipient="777",
        type=MessageType.LIST,
        text="the-text",
        media=Media("https://example.com/secret-url", "the-file.pdf"),
        buttons=(Button("secret-key", "the-button"),),
        list=ListBody(
            "the-list", (ListSection("the-section", "about-it", (ListAction("secret-key", "the-row", "about-row"),)),)
        ),
        header=Header(HeaderType.TEXT, "the-header"),
        footer=Footer("the-footer", "below-it"),
    )
    message = new_message(body=wire.encode(every))
    await store.accept(message)
    await follow(store)
    for read in ("text", "file.pdf", "button", "list", "section", "row", "header", "footer"):
        assert await found(store, f"the-{read}") == [message.tid], read
    for read in ("about-it", "about-row", "below-it"):
        assert await found(store, read) == [message.tid], read
    for unread in ("secret", "example.com", "telegram"):
        assert await found(store, unread) == [], unread


@pytest.mark.parametrize(
    "body",
    [b"", b"no JSON \xff", b"[]", b'{"text": 7, "list": 1, "buttons": [3], "header": "x"}', b'{"list": [1, [2]]}'],
)
async def test_what_has_another_shape_says_nothing(store, body):
    await store.accept(new_message(body=body))
    assert await index(store) == 1
    assert await found(store, "anything") == []


async def test_what_no_database_keeps_as_text_is_passed_over(store):
    message = new_message(body=b'{"text": "zero\\u0000zero and half \\ud83d of a pair"}')
    await store.accept(message)
    assert await index(store) == 1
    assert await found(store, "half ? of") == await found(store, "zero?zero") == [message.tid]


async def test_one_clients_words_are_not_anothers(store, follow):
    mine = await say(store, "hello there")
    theirs = await say(store, "hello there", client_id=OTHER_CLIENT, account_id=OTHER_ACCOUNT)
    await follow(store)
    assert await found(store, "hello", client_ids=(CLIENT,)) == [mine]
    assert await found(store, "hello", client_ids=(OTHER_CLIENT,)) == [theirs]
    assert await found(store, "hello", client_ids=(CLIENT, OTHER_CLIENT)) == [theirs, mine]
    assert await found(store, "hello") == [theirs, mine]
    assert await found(store, "hello", client_ids=()) == []


async def test_what_is_indexed_and_what_is_not_yet_stand_on_one_page(store):
    old = await say(store, "parcel one")
    assert await index(store) == 1
    new = await say(store, "parcel two")
    assert await found(store, "parcel") == [new, old]
    assert await index(store) == 1
    assert await index(store) == 0
    assert await found(store, "parcel") == [new, old]


async def test_words_go_with_other_conditions(store, follow):
    await say(store, "parcel", type="image")
    wanted = await fail(store, body=b'{"text": "parcel"}')
    await follow(store)
    assert await found(store, "parcel", statuses=(Status.FAILED,)) == [wanted.tid]
    assert await found(store, "parcel", recipients=(CHAT,), type="text") == [wanted.tid]
    assert await found(store, "letter", tid=wanted.tid) == []


async def test_a_frequent_word_is_found_page_by_page(store, monkeypatch):
    tids = [await say(store, f"parcel number {number}") for number in range(9)]
    await index(store)
    monkeypatch.setattr(walking, "WORDS_BUDGET", 4)
    page = await store.search(Search(words="parcel"), 50)
    assert ([row.tid for row in page.rows], page.complete) == (tids[:4:-1], False)
    page = await store.search(Search(words="parcel", before_seq=page.next_seq), 3)
    assert ([row.tid for row in page.rows], page.complete) == (tids[4:1:-1], False)
    assert (await store.count(Search(words="number 7"), 50)).messages == 1


async def test_a_message_that_is_queued_again_is_found_once(store):
    message = await fail(store, body=b'{"text": "parcel"}')
    cured = new_message(body=b'{"text": "parcel"}')
    await store.accept(cured)
    assert await store.mark(mark(cured, cures=("template",)))
    await store.record(result(cured, failed(code="window_closed")))
    assert await index(store) == 2
    assert await store.retry(CLIENT, message.tid, at(20)) is Turn.DONE
    assert await found(store, "parcel") == [message.tid, cured.tid]
    assert await index(store) == 1
    assert await found(store, "parcel") == [message.tid, cured.tid]


async def test_a_message_that_is_deleted_is_found_no_more(store):
    old = await send(store, "p-1", body=b'{"text": "parcel"}')
    await store.receive([receipt(Status.READ, "p-1")], at(10))
    assert await index(store) == 1
    assert await found(store, "parcel") == [old.tid]
    assert (await store.purge(at(100), 50)).messages == 1
    assert await found(store, "parcel") == []
    new = await say(store, "parcel")
    await index(store)
    assert await found(store, "parcel") == [new]


async def test_a_person_who_is_erased_is_found_by_no_word(store):
    early = await send(store, "p-1", body=b'{"text": "parcel"}')
    await index(store)
    late = await send(store, "p-2", body=b'{"text": "parcel"}')
    assert (await store.forget(CLIENT, early.account_id, [CHAT], at(50))).messages == 2
    assert await found(store, "parcel") == []
    await index(store)
    assert await found(store, "parcel") == []
    assert await store.story(None, late.tid) is not None


async def test_what_is_erased_between_reading_and_indexing_is_not_indexed(store, monkeypatch):
    message = await send(store, "p-1", body=b'{"text": "parcel"}')
    read = store._study
    interrupted = []

    async def erase_after(operation, **options):
        answer = await read(operation, **options)
        if isinstance(answer, list) and answer and isinstance(answer[0], words.Bite) and not interrupted:
            interrupted.append(answer)
            assert (await store.forget(CLIENT, message.account_id, [CHAT], at(50))).messages == 1
        return answer

    monkeypatch.setattr(store, "_study", erase_after)
    assert await index(store) == 1
    assert interrupted
    seqs, _ = await read(lambda db: store.word_index.find(db, ("parcel",), None, (0, 2**62), 9))
    assert seqs == []


async def test_a_search_by_words_that_is_called_off_finds_nothing_until_it_is_on_again(store):
    tid = await say(store, "parcel")
    await index(store)
    while await store.index_words(1, on=False):
        pass
    page = await store.search(Search(words="parcel"), 9)
    assert (page.rows, page.complete, page.text_searched) == ((), True, False)
    assert (await store.count(Search(words="parcel"), 9)).messages == 0
    assert len((await store.search(Search(), 9)).rows) == 1
    assert await store._study(words.is_empty)
    assert await index(store) == 1
    assert await found(store, "parcel") == [tid]


async def test_two_who_index_the_same_do_it_once(store, monkeypatch):
    tid = await say(store, "parcel")
    read = store._study

    async def twice(operation, **options):
        answer = await read(operation, **options)
        if isinstance(answer, list) and answer and isinstance(answer[0], words.Bite):
            monkeypatch.setattr(store, "_study", read)
            assert await store.index_words(9) == 1
        return answer

    monkeypatch.setattr(store, "_study", twice)
    await index(store)
    assert await found(store, "parcel") == [tid]
