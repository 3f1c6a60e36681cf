"""How PostgreSQL runs the operations: what it promises, what it says of errors, who waits for whom."""

import asyncio
import logging

import asyncpg
import pytest

from kurir.domain.status import Status
from kurir.store.base import Accepted, StoreError, StoreUnavailable, StoreUnusable
from kurir.store.database import Whose
from kurir.store.postgres import PostgresStore
from kurir.store.postgres import store as engine
from support import postgres
from support.records import (
    CLIENT,
    DECLARED,
    OTHER_ACCOUNT,
    OTHER_CLIENT,
    T0,
    at,
    called,
    endpoint,
    new_message,
    send,
)

NEWEST = max(postgres.servers(), key=int, default="")
pytestmark = pytest.mark.skipif(not NEWEST, reason="no PostgreSQL is installed here")


@pytest.fixture
async def dsn() -> str:
    return await postgres.new_database(postgres.shared(NEWEST))


@pytest.fixture
async def store(dsn):
    opened = PostgresStore(dsn)
    await opened.open()
    await opened.declare(DECLARED, T0)
    yield opened
    await opened.close()


async def _alter(dsn: str, setting: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f"ALTER DATABASE {name} SET {setting}")
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("given", "used"), [("off", "on"), ("local", "on"), ("on", "on"), ("remote_apply", "remote_apply")]
)
async def test_a_commit_is_on_disk_whatever_the_database_was_set_to(dsn, given, used):
    await _alter(dsn, f"synchronous_commit = '{given}'")
    store = PostgresStore(dsn)
    await store.open()
    try:
        assert await store._read(
            lambda db: db.execute("SELECT current_setting('synchronous_commit')").fetchone()[0]
        ) == (used)
    finally:
        await store.close()


async def test_a_server_that_promises_nothing_is_told_of_loudly(dsn, caplog):
    connection = await asyncpg.connect(dsn)
    off = await connection.fetchval("SHOW fsync") == "off"
    await connection.close()
    with caplog.at_level(logging.ERROR):
        store = PostgresStore(dsn)
        await store.open()
        await store.close()
    assert ("NOT DURABLE" in caplog.text) is off


@pytest.mark.parametrize("password", ["s3cr#et", "s3cr?et@x", "s3cr/et"])
async def test_a_url_that_cannot_be_read_shows_nothing_of_its_password(password):
    with pytest.raises(StoreUnusable) as caught:
        await PostgresStore(f"postgresql://kurir:{password}@127.0.0.1:1/kurir").open()
    assert "s3cr" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_server_that_takes_no_writes_is_a_sentence_and_no_stack(dsn):
    await _alter(dsn, "default_transaction_read_only = on")
    with pytest.raises(StoreUnusable, match="cannot be used"):
        await PostgresStore(dsn).open()


async def test_an_error_shows_no_row_and_no_value(store):
    def break_a_rule(db):
        db.execute(
            "INSERT INTO contact (account_id, address, client_id, channel, phone, name, username, blocked, changed_at) "
            "VALUES ('a', '6281234567890', 'c', 'x', '6281234567890', 'Ani', ?, 0, 0)",
            (None,),
        )

    with pytest.raises(StoreError, match="NotNullViolationError") as caught:
        await store._write(Whose(client_id=CLIENT), break_a_rule)
    assert "628123" not in str(caught.value)
    with pytest.raises(StoreError) as caught:
        await store.accept(new_message(recipient="fb:628123\ud800"))
    assert "628123" not in str(caught.value)
    assert not isinstance(caught.value, StoreUnavailable), "the database is well"


async def test_a_value_that_cannot_be_written_harms_no_neighbour(store):
    answers = await asyncio.gather(
        *(store.accept(new_message(recipient="\ud800" if each == 3 else "")) for each in range(6)),
        return_exceptions=True,
    )
    assert [isinstance(each, Accepted) for each in answers] == [True, True, True, False, True, True]
    assert store.health() is None


async def test_a_read_for_people_may_take_longer_than_one_in_the_way(store, monkeypatch):
    monkeypatch.setattr(engine, "STATEMENT_MILLISECONDS", 200)
    async with asyncio.timeout(10):
        with pytest.raises(StoreUnavailable):
            await store._read(lambda db: db.execute("SELECT pg_sleep(1)").fetchone())
        await store._study(lambda db: db.execute("SELECT pg_sleep(1)").fetchone())


async def test_expiry_and_retention_wait_for_no_client_that_hangs(store):
    """A process that was stopped inside a transaction holds up its own client alone."""
    other = new_message(client_id=OTHER_CLIENT, account_id=OTHER_ACCOUNT, expires_at=at(1))
    await store.accept(other)
    holder = await asyncpg.connect(store._dsn)
    try:
        await holder.execute("BEGIN")
        await holder.execute(engine._LOCK_CLIENT.replace("$1", f"'{CLIENT}'"))
        async with asyncio.timeout(4):
            assert await store.expire(at(10), 100) == 1
            await store.purge(at(0), 100)
            assert isinstance(
                await store.accept(new_message(client_id=OTHER_CLIENT, account_id=OTHER_ACCOUNT)), Accepted
            )
    finally:
        await holder.close()
    assert (await store.message(OTHER_CLIENT, other.tid)).status is Status.UNSENT


async def test_one_client_takes_not_everybodys_place(store, monkeypatch):
    monkeypatch.setattr(engine, "CLIENT_QUEUE", 3)
    holder = await asyncpg.connect(store._dsn)
    try:
        await holder.execute("BEGIN")
        await holder.execute(engine._LOCK_CLIENT.replace("$1", f"'{CLIENT}'"))
        waiting = []
        for _ in range(5):
            waiting.append(asyncio.create_task(store.accept(new_message())))
            await asyncio.sleep(0.05)
        with pytest.raises(StoreUnavailable):
            await waiting[-1]
        assert isinstance(await store.accept(new_message(client_id=OTHER_CLIENT, account_id=OTHER_ACCOUNT)), Accepted)
        await holder.execute("ROLLBACK")
        assert all([isinstance(await each, Accepted) for each in waiting[:4]])
    finally:
        await holder.close()


async def test_results_of_an_endpoint_that_waits_hold_up_no_other_and_are_written_once(store):
    from kurir.callbacks.recorder import Recorder  # noqa: PLC0415 -- above the store

    mine = (await store.put_endpoint(endpoint(), at(0))).id
    theirs = (await store.put_endpoint(endpoint("https://b.example.com/", client_id=OTHER_CLIENT), at(0))).id
    await send(store)
    await send(store, client_id=OTHER_CLIENT, account_id=OTHER_ACCOUNT)
    ((first,), (second,)) = (await store.owed(mine), await store.owed(theirs))
    recorder = Recorder(store, apart=True)
    holder = await asyncpg.connect(store._dsn)
    try:
        await holder.execute("BEGIN")
        await holder.execute(engine._LOCK_CLIENT.replace("$1", f"'{CLIENT}'"))
        waits = asyncio.create_task(recorder.record(called(first)))
        async with asyncio.timeout(4):
            await recorder.record(called(second))
        assert not waits.done()
        await holder.execute("ROLLBACK")
        await waits
    finally:
        await holder.close()
    assert [len(await store.callback_attempts(each.endpoint_id, each.position)) for each in (first, second)] == [1, 1]
