"""The plain way of a message and the general one come to the same rows, whatever was known before.

Each story is told twice: to a store as it is, and to one whose plain way is closed.
"""

from collections.abc import AsyncIterator

import pytest

from contract.conftest import STORES
from kurir.domain.problem import Loss
from kurir.domain.status import Status
from kurir.store import GatewayStore
from kurir.store.base import ErrorRecord, Marked
from kurir.store.operations import plain
from support.records import (
    CLIENT,
    DECLARED,
    T0,
    at,
    attempt,
    endpoint,
    failed,
    mark,
    new_message,
    receipt,
    result,
    sent,
    waiting,
)

TABLES = {
    "message": "seq",
    "content": "seq",
    "part": "seq, number",
    "attempt": "id",
    "platform_id": "platform_id",
    "event": "position",
    "callback": "endpoint_id, position",
    "early_receipt": "id",
    "key_token": "token",
    "reply_token": "token",
    "vanishing_choice": "address",
}
#: Columns that hold a number that the database drew, and of which table it is: where it begins to count is its own affair.
DRAWN = {
    "message": {0: "message"},
    "content": {0: "message"},
    "part": {0: "message"},
    "attempt": {0: "attempt", 1: "message"},
    "event": {0: "event", 8: "message"},
    "callback": {1: "event"},
    "early_receipt": {0: "early_receipt"},
}


async def _accept(store, number=1, **fields):
    message = new_message(
        tid=f"0199c000-0000-7000-8000-{number:012}", message_id=f"m-{number}", lane=f"{number}", **fields
    )
    await store.accept(message)
    return message


def first(message, **fields):
    """The first mark of a message, as the sender writes it."""
    return mark(message, **({"facts": b"{}"} | fields))


# --- the stories: what comes before, and whether both steps go the plain way ----------------------------------------------


async def nothing(store):
    message = await _accept(store)
    yield await store.mark(first(message))
    yield await store.record(result(message, sent("p-1")))


async def losses_and_cures(store):
    message = await _accept(store)
    yield await store.mark(first(message, losses=(Loss("/body", "shortened", "it was"),), cures=("template",)))
    yield await store.record(result(message, sent("p-1", quote_tokens=("q-1",))))


async def taken_is_not_sent(store):
    message = await _accept(store)
    yield await store.mark(first(message))
    yield await store.record(result(message, sent("p-1", status=Status.PENDING)))


async def no_id(store):
    message = await _accept(store)
    yield await store.mark(first(message))
    yield await store.record(result(message, sent()))


async def it_waited(store):
    message = await _accept(store)
    await store.wait(message.tid, 1, at(60), ErrorRecord("rate_limited", "later"), since=T0)
    yield await store.mark(first(message))
    await store.wait(message.tid, 1, at(60), ErrorRecord("rate_limited", "later"), since=T0)
    yield await store.record(result(message, sent("p-1")))


async def an_endpoint_is_told(store):
    await store.put_endpoint(endpoint(), at(0))
    message = await _accept(store)
    yield await store.mark(first(message))
    yield await store.record(result(message, sent("p-1")))


async def an_id_is_given_twice(store):
    for number in (1, 2):
        message = await _accept(store, number)
        yield await store.mark(first(message))
        yield await store.record(result(message, sent("p-1")))


async def a_second_run(store):
    message = await _accept(store)
    await store.mark(first(message))
    await store.record(result(message, failed()))
    await store.retry(CLIENT, message.tid, at(30))
    yield await store.mark(first(message, run=2))
    yield await store.record(result(message, sent("p-2"), run=2))


PLAIN = [
    nothing,
    losses_and_cures,
    taken_is_not_sent,
    no_id,
    it_waited,
    an_endpoint_is_told,
    an_id_is_given_twice,
    a_second_run,
]


async def a_receipt_came_first(store):
    message = await _accept(store)
    yield await store.mark(first(message))
    await store.receive([receipt(Status.DELIVERED, "p-1")], at(5))
    yield await store.record(result(message, sent("p-1", status=Status.PENDING)))


async def a_receipt_by_reference_came_first(store):
    message = await _accept(store)
    await store.receive([receipt(Status.READ, reference=message.tid)], at(5))
    await store.receive([receipt(Status.SENT, reference=f"{message.tid}:1", event_id="e-2")], at(5))
    yield await store.mark(first(message))
    yield await store.record(result(message, sent("p-1")))


async def a_refusal_came_first(store):
    message = await _accept(store)
    yield await store.mark(first(message, cures=("template",)))
    error = ErrorRecord("window_closed", "it is")
    await store.receive([receipt(Status.FAILED, "p-1", error=error, again="template")], at(5))
    yield await store.record(result(message, sent("p-1", status=Status.PENDING)))


async def a_watermark_covers_it(store):
    message = await _accept(store)
    yield await store.mark(first(message))
    await store.receive([receipt(Status.READ, watermark=at(100), address=message.lane)], at(5))
    yield await store.record(result(message, sent("p-1")))


async def two_parts(store):
    message = await _accept(store)
    yield await store.mark(first(message, total=2))
    yield await store.record(result(message, sent("p-1"), next_mark=mark(message, 2, 2)))
    yield await store.record(result(message, sent("p-2"), part=2))


async def a_second_try(store):
    message = await _accept(store)
    yield await store.mark(first(message))
    yield await store.record(result(message, waiting()))
    yield await store.mark(mark(message))
    yield await store.record(result(message, sent("p-1"), attempt=attempt(counted=False)))


async def it_was_cancelled(store):
    message = await _accept(store)
    await store.cancel(CLIENT, message.tid, at(1))
    yield await store.mark(first(message))


async def of_an_older_run(store):
    message = await _accept(store)
    await store.mark(first(message))
    await store.record(result(message, failed()))
    await store.retry(CLIENT, message.tid, at(30))
    yield await store.mark(first(message))
    yield await store.record(result(message, sent("p-1")))


async def a_receipt_settled_it(store):
    message = await _accept(store)
    yield await store.mark(first(message))
    await store.receive([receipt(Status.SENT, reference=message.tid)], at(5))
    yield await store.record(result(message, sent("p-1")))


async def it_was_given_up(store):
    message = await _accept(store)
    yield await store.mark(first(message))
    yield await store.record(result(message, failed(code="outcome_unknown")))
    yield await store.record(result(message, sent("p-1")))


async def several_ids(store):
    message = await _accept(store)
    yield await store.mark(first(message))
    yield await store.record(result(message, sent("p-1", "p-2")))


async def something_is_learned(store):
    message = await _accept(store)
    yield await store.mark(first(message))
    yield await store.record(result(message, sent("p-1"), alias="777"))


async def keys_and_choices(store):
    message = await _accept(store)
    yield await store.mark(first(message, tokens=(("t", "k"),), choices=(("Yes", "y"),)))
    yield await store.record(result(message, sent("p-1")))


async def a_reply_token_is_gone(store):
    message = await _accept(store)
    yield await store.mark(first(message, reply_token="r"))


OTHERWISE = [
    a_receipt_came_first,
    a_receipt_by_reference_came_first,
    a_refusal_came_first,
    a_watermark_covers_it,
    two_parts,
    a_second_try,
    it_was_cancelled,
    of_an_older_run,
    a_receipt_settled_it,
    it_was_given_up,
    several_ids,
    something_is_learned,
    keys_and_choices,
    a_reply_token_is_gone,
]


@pytest.fixture(params=sorted(STORES))
async def pair(request, tmp_path) -> AsyncIterator[list[GatewayStore]]:
    """Two stores that are alike."""
    stores = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        made = await STORES[request.param](folder, durable=False)
        await made.open()
        stores.append(made)
        await made.declare(DECLARED, T0)
    yield stores
    for made in stores:
        await made.close()


async def _rows(store):
    def read(db):
        return {
            table: [list(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY {order}")]
            for table, order in TABLES.items()
        }

    rows = await store._read(read)
    firsts = {
        table: min((row[0] for row in rows[table]), default=0)
        for table in ("message", "attempt", "event", "early_receipt")
    }
    for table, places in DRAWN.items():
        for row in rows[table]:
            for place, of in places.items():
                row[place] = None if row[place] is None else row[place] - firsts[of]
    return rows


@pytest.mark.parametrize("story", [*PLAIN, *OTHERWISE], ids=lambda story: story.__name__)
async def test_both_ways_come_to_the_same_rows(pair, story, monkeypatch):
    ways = plain.mark, plain.record
    one, other = pair
    taken = [0, 0]

    def mark_plainly(db, wanted):
        done = ways[0](db, wanted)
        taken[0] += done
        return done

    def record_plainly(db, told):
        done = ways[1](db, told)
        taken[1] += done is not None
        return done

    monkeypatch.setattr(plain, "mark", mark_plainly)
    monkeypatch.setattr(plain, "record", record_plainly)
    answers = [answer async for answer in story(one)]
    monkeypatch.setattr(plain, "mark", lambda *_: False)
    monkeypatch.setattr(plain, "record", lambda *_: None)
    assert [answer async for answer in story(other)] == answers
    assert await _rows(one) == await _rows(other)
    if story in PLAIN:
        marks = sum(isinstance(answer, Marked) for answer in answers)
        assert taken[0] >= marks
        assert taken[1] == len(answers) - marks
