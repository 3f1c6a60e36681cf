"""Retention on PostgreSQL by ranges: what is dropped with its range, what is deleted by row, and that nothing else goes."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from kurir.domain.status import Status
from kurir.store.base import Accepted, StoreUnavailable, Turn
from kurir.store.feed import Owed
from kurir.store.postgres import PostgresStore, ranges
from support import postgres
from support.records import (
    ACCOUNT,
    CLIENT,
    DECLARED,
    T0,
    arrival,
    at,
    called,
    endpoint,
    fail,
    mark,
    new_message,
    receipt,
    result,
    send,
    sent,
    take_in,
)
from support.sweeps import sweep

KEPT = timedelta(days=80)
DAY = timedelta(days=1)
#: Numbers in a range of these tests.
WIDTH = 10


@pytest.fixture(params=sorted(postgres.servers()))
async def store(request):
    store = PostgresStore(await postgres.new_database(postgres.shared(request.param)))
    store.smallest_range = WIDTH
    await store.open()
    await store.declare(DECLARED, T0)
    yield store
    await sweep(store)
    await store.close()


async def _ask(store, statement, *values):
    async with store._connected() as connection:
        return await connection.fetch(statement, *values)


async def _made(store, days: float, kind: str = "") -> None:
    """Let a range have been made every so many days, the newest now."""
    await _ask(
        store,
        """
        UPDATE key_range SET made_at = clock_timestamp() - step.back * $1::interval
        FROM (SELECT kind, lower, row_number() OVER (PARTITION BY kind ORDER BY lower DESC) - 1 AS back FROM key_range) AS step
        WHERE step.kind = key_range.kind AND step.lower = key_range.lower AND ($2 = '' OR key_range.kind = $2)
        """,
        timedelta(days=days),
        kind,
    )


async def _tables(store) -> set[str]:
    found = await _ask(
        store, "SELECT relid::regclass::text FROM pg_class, pg_partition_tree(oid) WHERE relkind = 'p' AND isleaf"
    )
    return {name for (name,) in found if not name.endswith("_rest")}


async def _count(store, table: str) -> int:
    [(count,)] = await _ask(store, f"SELECT count(*) FROM {table}")
    return int(count)


async def _fill(store, count: int) -> list:
    """Send so many messages, with room made before each."""
    found = []
    for _ in range(count):
        await store.make_room(timedelta(seconds=WIDTH / 2))  # in a second come fewer than a range holds
        found.append(await send(store))
    return found


async def _purge(store, now=None, limit: int = 1_000):
    now = now or at(0) + KEPT + DAY
    total = 0
    while True:
        bite = await store.purge(now - KEPT, limit, now=now)
        total += bite.messages
        if not bite.more:
            return total


async def test_room_is_made_before_it_is_needed_and_everything_finds_its_range(store):
    assert await store.make_room(KEPT) == 2
    assert await store.make_room(KEPT) == 0
    messages = await _fill(store, 35)
    tables = await _tables(store)
    assert {"content_1", "attempt_1", "event_1", "callback_1", "callback_attempt_1", "content_11", "event_31"} <= tables
    assert [await _count(store, f"ONLY {name}_rest") for name in ("content", "attempt", "event")] == [0, 0, 0]
    assert await _count(store, "content_11") == WIDTH
    assert (await store.message(CLIENT, messages[12].tid)).attempts != ()


async def test_a_range_gets_as_wide_as_what_comes_in_an_eighth_of_the_retention(store):
    await store.make_room(KEPT)
    await _ask(store, "UPDATE key_range SET made_at = clock_timestamp() - interval '2 days'")
    for _ in range(6):
        await send(store)
    await store.make_room(KEPT)
    [(lower, upper)] = await _ask(
        store, "SELECT lower, upper FROM key_range WHERE kind = 'message' ORDER BY lower DESC LIMIT 1"
    )
    assert (lower, upper - lower) in ((11, 29), (11, 30)), "ten days hold five times what two did"


async def test_one_busy_minute_makes_no_giant(store):
    await store.make_room(KEPT)
    for _ in range(6):
        await send(store)
    await store.make_room(KEPT)
    [(width,)] = await _ask(store, "SELECT max(upper - lower) FROM key_range")
    assert width == ranges.GROWTH * WIDTH


async def test_what_is_old_goes_with_its_range(store):
    hook = (await store.put_endpoint(endpoint(), at(0))).id
    messages = await _fill(store, 25)
    await store.called([called(owed) for owed in await store.owed(hook)])
    young = await send(store)
    await _ask(store, "UPDATE message SET ended_at = ended_at + 86400000000 * 50 WHERE tid = $1", young.tid)
    await _ask(
        store, "UPDATE event SET kept_at = kept_at + 86400000000 * 50 WHERE seq = (SELECT max(seq) FROM message)"
    )
    await _made(store, 10)
    before = await _tables(store)
    deleted = []
    await _ask(store, "CREATE TABLE row_deletes (name TEXT)")
    for name in ("content_1", "attempt_1", "event_1", "callback_1", "callback_attempt_1"):
        await _ask(
            store,
            f"CREATE FUNCTION note_{name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN INSERT INTO row_deletes VALUES ('{name}'); RETURN OLD; END $$",
        )
        await _ask(store, f"CREATE TRIGGER note BEFORE DELETE ON {name} FOR EACH ROW EXECUTE FUNCTION note_{name}()")
    assert await _purge(store) == 25
    assert await _ask(store, "SELECT name FROM row_deletes") == deleted
    await _ask(store, "DROP TABLE row_deletes")
    gone = before - await _tables(store)
    assert {"content_1", "attempt_1", "content_11", "event_1", "callback_1", "callback_attempt_1", "event_11"} <= gone
    assert not {"content_21", "event_21"} & gone, "in them is what is young"
    assert (await store.message(CLIENT, young.tid)).history[-1].status is Status.SENT
    for message in messages:
        assert await store.message(CLIENT, message.tid) is None
        known = await store.accept(new_message(message_id=message.message_id, fingerprint=message.fingerprint))
        assert known == Accepted(message.tid, Status.SENT, replayed=True)
    # Some events of deleted messages stand in the range of the young one: nobody is told of them.
    assert [event.change.tid for event in await store.events(CLIENT)] == [young.tid]
    assert [event.event.change.tid for event in await store.owed(hook)] == [young.tid]


async def test_a_message_that_lives_on_keeps_its_range_and_nothing_of_it_is_lost(store):
    await store.make_room(KEPT)
    lasting = new_message(body=b'{"text": "later"}', expires_at=at(0) + 300 * DAY)
    await store.accept(lasting)
    hook = (await store.put_endpoint(endpoint(), at(0))).id
    await _fill(store, 25)
    await _made(store, 10)
    assert await _purge(store) == 25
    assert "content_1" in await _tables(store)
    assert "content_11" not in await _tables(store)
    (queued,) = await store.queued(ACCOUNT)
    assert queued.body == lasting.body
    await store.mark(mark(lasting, at=at(0) + 100 * DAY))
    await store.record(result(lasting, sent("p-last"), at=at(0) + 100 * DAY))
    assert await _purge(store, at(0) + 150 * DAY) == 0
    assert [event.event.change.tid for event in await store.owed(hook)][-1] == lasting.tid
    assert await _purge(store, at(0) + 181 * DAY) == 1
    assert "content_1" not in await _tables(store)


async def test_the_first_events_of_a_message_that_lives_on_may_go_and_its_last_stay(store):
    await store.make_room(KEPT)
    message = await send(store, "p-lasting")
    await _fill(store, 12)
    await store.receive([receipt(Status.READ, "p-lasting")], at(40 * 86_400))
    await _made(store, 10)
    assert await _purge(store) == 12
    record = await store.message(CLIENT, message.tid)
    assert record.status is Status.READ
    assert [event.status for event in record.history] == [Status.READ]


async def test_in_a_range_that_takes_long_to_fill_rows_are_deleted_at_once(store):
    messages = await _fill(store, 25)
    await take_in(store, arrival())
    await _made(store, 60)
    tables = await _tables(store)
    assert await _purge(store) == 25
    for table in ("message", "content", "attempt", "event"):
        assert await _count(store, table) == 0, table
    assert "content_21" in await _tables(store) & tables
    assert await store.message(CLIENT, messages[0].tid) is None


async def test_numbers_without_a_range_are_kept_and_deleted_all_the_same(store):
    hook = (await store.put_endpoint(endpoint(), at(0))).id
    message = await send(store)
    await take_in(store, arrival())
    await store.called([called(owed) for owed in await store.owed(hook)])
    assert await _count(store, "content_rest") == 1
    assert await store.make_room(KEPT) == 2
    later = (await _fill(store, 3))[-1]
    assert await _count(store, "content_rest") == 1
    assert (await store.message(CLIENT, message.tid)).status is Status.SENT
    assert await _purge(store) == 4
    assert [await _count(store, name) for name in ("content", "attempt", "event", "callback", "callback_attempt")] == [
        0
    ] * 5
    assert await store.message(CLIENT, later.tid) is None


async def test_what_a_lasting_message_kept_back_is_deleted_by_row_in_the_end(store):
    await store.make_room(KEPT)
    lasting = new_message(expires_at=at(0) + 900 * DAY)
    await store.accept(lasting)
    await _fill(store, 25)
    await _made(store, 10)
    assert await _purge(store) == 25
    assert await _count(store, "content_1") == WIDTH, "nobody finds them any more"
    await _ask(store, "UPDATE key_range SET made_at = made_at - interval '130 days'")
    assert await _purge(store) == 0
    assert await _count(store, "content_1") == 1
    assert await _count(store, "attempt_1") == 0
    assert (await store.queued(ACCOUNT))[0].tid == lasting.tid


async def test_a_retried_message_takes_its_content_and_attempts_along(store):
    await store.make_room(KEPT)
    failed = await fail(store, body=b'{"text": "again"}')
    await _fill(store, 12)
    assert await store.retry(CLIENT, failed.tid, at(60)) is Turn.DONE
    (queued,) = await store.queued(ACCOUNT)
    assert (queued.tid, queued.body) == (failed.tid, failed.body)
    assert len((await store.message(CLIENT, failed.tid)).attempts) == 1
    await _made(store, 10)
    await _purge(store)
    assert "content_1" not in await _tables(store)
    assert (await store.queued(ACCOUNT))[0].body == failed.body


async def test_who_has_a_range_open_is_waited_for_a_second_and_nobody_behind_it_for_long(store):
    await _fill(store, 12)
    await _made(store, 10)
    async with asyncio.timeout(20):
        reader = await asyncpg.connect(store._dsn)
        try:
            await reader.execute("BEGIN; SELECT count(*) FROM content")
            with pytest.raises(StoreUnavailable, match="LockNotAvailable"):
                await _purge(store)
            accepted = asyncio.create_task(store.accept(new_message()))
            with pytest.raises(StoreUnavailable):
                await _purge(store)
            assert not (await accepted).replayed
            await reader.execute("ROLLBACK")
        finally:
            await reader.close()
    await _purge(store)
    assert "content_1" not in await _tables(store)


async def test_a_number_that_was_drawn_long_ago_is_not_dropped_with_its_range(store):
    await store.make_room(KEPT)
    async with asyncio.timeout(20):
        late = await asyncpg.connect(store._dsn)
        try:
            await late.execute("BEGIN")
            columns = (
                "tid, client_id, channel, account_id, message_id, recipient, lane, type, priority, accepted_at, due_at, "
                "expires_at, life"
            )
            [(seq,)] = await late.fetch(
                f"INSERT INTO message ({columns}) VALUES ('t-late', $1, 'messenger', $2, 'late', '', 'l', 'text', 'normal', "
                "0, 0, 9000000000000000, 0) RETURNING seq",
                CLIENT,
                ACCOUNT,
            )
            await late.execute("INSERT INTO content (seq, body) VALUES ($1, $2)", seq, b"late")
            await late.execute(
                "INSERT INTO idempotency (client_id, message_id, channel, tid, fingerprint, version) "
                "VALUES ($1, 'late', 'messenger', 't-late', $2, 1)",
                CLIENT,
                b"",
            )
            await _fill(store, 12)
            await _made(store, 10)
            dropping = asyncio.create_task(_purge(store))
            await asyncio.sleep(0.3)
            await late.execute("COMMIT")
            assert await dropping == 12
        finally:
            await late.close()
    assert [(each.tid, each.body) for each in await store.queued(ACCOUNT)] == [("t-late", b"late")]


async def test_a_pending_callback_of_a_deleted_message_is_told_no_more(store):
    hook = (await store.put_endpoint(endpoint(), at(0))).id
    await _fill(store, 12)
    await _made(store, 10)
    assert len(await store.owed(hook)) == 12
    await _purge(store)
    assert await store.owed(hook) == []
    assert await store.callbacks(hook, state=Owed.DELIVERED) == []


async def test_what_is_copied_finds_ranges_too(store):
    async with store._connected() as connection, connection.transaction():
        await ranges.cover(connection, ranges.MESSAGE, 25, WIDTH)
        await ranges.cover(connection, ranges.EVENT, 0, WIDTH)
    assert {"content_1", "content_11", "content_21"} <= await _tables(store)
    assert not {name for name in await _tables(store) if name.startswith("event")}
    await _fill(store, 3)
    assert await _count(store, "content_1") == 3
