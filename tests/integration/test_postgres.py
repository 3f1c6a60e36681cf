"""The store in PostgreSQL when the database is not as it should be: absent, somebody else's, restarted, full, asleep."""

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from kurir import demo
from kurir.store.base import Accepted, StoreError, StoreUnavailable, StoreUnusable
from kurir.store.postgres import PostgresStore
from support import postgres
from support.bodies import body
from support.delivering import eventually
from support.postgres import Cluster
from support.records import CLIENT, DECLARED, T0, new_message
from support.servers import Running, running

VERSIONS = sorted(postgres.servers(), key=int)
pytestmark = [
    pytest.mark.skipif(not VERSIONS, reason="no PostgreSQL is installed here"),
    pytest.mark.scorecard(26),
]
NEWEST = VERSIONS[-1] if VERSIONS else ""


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """A cluster of the test's own, that it may stop, and that keeps what it acknowledged."""
    own = Cluster(postgres.servers()[NEWEST], durable=True)
    try:
        own.create()
        own.start()
        yield own
    finally:
        own.remove()


async def _open(cluster: Cluster, **options: int) -> PostgresStore:
    store = PostgresStore(await postgres.new_database(cluster), **options)
    await store.open()
    await store.declare(DECLARED, T0)
    return store


# --- opening ----------------------------------------------------------------------------------------------------------------


async def test_a_database_that_is_not_there_is_said_so_without_its_password():
    with pytest.raises(StoreUnusable) as told:
        await PostgresStore("postgresql://kurir:hush-hush@127.0.0.1:1/kurir").open()
    assert "cannot be used" in str(told.value)
    assert "hush-hush" not in str(told.value)


async def test_a_database_of_somebody_else_is_left_alone():
    dsn = await postgres.new_database(postgres.shared(NEWEST))
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE invoices (id BIGINT)")
    with pytest.raises(StoreUnusable, match="give kurir one of its own"):
        await PostgresStore(dsn).open()
    assert [
        row[0] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ] == ["invoices"]
    await connection.close()


async def test_a_schema_of_a_newer_kurir_is_left_alone():
    dsn = await postgres.new_database(postgres.shared(NEWEST))
    store = PostgresStore(dsn)
    await store.open()
    await store.close()
    connection = await asyncpg.connect(dsn)
    await connection.execute("INSERT INTO migration VALUES (99, 'later', 0)")
    await connection.close()
    with pytest.raises(StoreUnusable, match="written by a newer one"):
        await PostgresStore(dsn).open()


async def test_nodes_that_start_at_once_take_turns_with_the_migrations():
    dsn = await postgres.new_database(postgres.shared(NEWEST))
    stores = [PostgresStore(dsn) for _ in range(5)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(*(store.declare(DECLARED, T0) for store in stores))
    assert {len(await store.accounts()) for store in stores} == {len(DECLARED.accounts)}
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_closed_store_says_so():
    store = PostgresStore(await postgres.new_database(postgres.shared(NEWEST)))
    await store.open()
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.accept(new_message())
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.clients()


# --- two stores, one database -----------------------------------------------------------------------------------------------


async def test_two_processes_give_one_id_one_row_and_positions_in_the_order_of_their_commits():
    """Two stores race for the same ids; a reader's cursor never passes a position that is still to come."""
    dsn = await postgres.new_database(postgres.shared(NEWEST))
    one, other = PostgresStore(dsn), PostgresStore(dsn)
    await one.open()
    await other.open()
    await one.declare(DECLARED, T0)
    seen: list[int] = []
    messages = [new_message(message_id=f"m-{number}") for number in range(300)]
    doubles = [new_message(message_id=f"m-{number}") for number in range(300)]

    async def follow() -> None:
        while len(seen) < 300:
            found = await other.events(CLIENT, after=seen[-1] if seen else 0, limit=7)
            seen.extend(event.position for event in found)
            await asyncio.sleep(0)

    follower = asyncio.create_task(follow())
    first = await asyncio.gather(
        *(one.accept(message) for message in messages), *(other.accept(message) for message in doubles)
    )
    answers = [answer for answer in first if isinstance(answer, Accepted)]
    assert len(answers) == 600
    assert len({answer.tid for answer in answers}) == 300
    cancelled = [
        (one if number % 2 else other).cancel(CLIENT, tid, T0)
        for number, tid in enumerate(sorted({answer.tid for answer in answers}))
    ]
    await asyncio.gather(*cancelled)
    async with asyncio.timeout(20):
        await follower
    assert seen == sorted(set(seen))
    assert len(seen) == 300, "the cursor passed none"
    assert await one.broken_invariants() == []
    await one.close()
    await other.close()


async def test_a_process_that_sleeps_inside_a_transaction_holds_its_client_up_for_some_seconds_only():
    """Somebody takes the client's lock and is stopped: the server ends that session, and the next write goes on."""
    dsn = await postgres.new_database(postgres.shared(NEWEST))
    store = PostgresStore(dsn)
    await store.open()
    await store.declare(DECLARED, T0)
    sleeper = PostgresStore(dsn)
    await sleeper.open()
    async with sleeper._connected() as connection:
        await connection.execute("BEGIN")
        await sleeper._begin(connection, CLIENT)
        began = time.monotonic()
        first = asyncio.create_task(store.accept(new_message()))
        await asyncio.sleep(2.2)  # by now it is plain that the database says nothing about this client
        with pytest.raises(StoreUnavailable):
            await store.accept(new_message(message_id="refused"))
        assert time.monotonic() - began < 4.8, "in two seconds"
        assert isinstance(await first, Accepted)
        took = time.monotonic() - began
        assert 3 < took < 9, f"{took:.1f} s"
        assert isinstance(await store.accept(new_message()), Accepted)
        assert not await store.key_known(CLIENT, "messenger", "refused"), "what was refused while it waited is not kept"
    await sleeper.close()
    await store.close()


async def test_a_pool_that_is_used_up_is_said_so_in_time():
    store = PostgresStore(await postgres.new_database(postgres.shared(NEWEST)), connections=2)
    await store.open()
    await store.declare(DECLARED, T0)
    taken = [await store._pool.acquire() for _ in range(2)]
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.accept(new_message())
    assert time.monotonic() - began < 4
    assert store.health() is not None
    for connection in taken:
        await store._pool.release(connection)
    assert isinstance(await store.accept(new_message()), Accepted)
    assert store.health() is None
    await store.close()


async def test_those_who_look_leave_connections_to_those_who_send():
    store = PostgresStore(await postgres.new_database(postgres.shared(NEWEST)), connections=2)
    await store.open()
    await store.declare(DECLARED, T0)
    looking = [
        asyncio.create_task(store._study(lambda db: db.execute("SELECT pg_sleep(3)").fetchall())) for _ in range(3)
    ]
    await asyncio.sleep(0.2)
    began = time.monotonic()
    assert isinstance(await store.accept(new_message()), Accepted)
    assert time.monotonic() - began < 1
    found = await asyncio.gather(*looking, return_exceptions=True)
    assert [type(one) for one in found].count(StoreUnavailable) == 2
    assert store.health() is None
    await store.close()


# --- outages ----------------------------------------------------------------------------------------------------------------


async def test_what_was_accepted_survives_a_crash_of_the_database_and_the_store_comes_back_by_itself(cluster):
    store = await _open(cluster)
    kept: list[str] = []
    refused = 0

    async def load(number: int) -> None:
        nonlocal refused
        for round_ in range(40):
            message = new_message(message_id=f"{number}-{round_}")
            try:
                answer = await store.accept(message)
            except StoreError:
                refused += 1
                await asyncio.sleep(0.05)
            else:
                assert isinstance(answer, Accepted)
                kept.append(answer.tid)

    tasks = [asyncio.create_task(load(number)) for number in range(8)]
    await _until(lambda: len(kept) >= 60)
    await asyncio.to_thread(cluster.kill)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.accept(new_message())
    assert time.monotonic() - began < 3
    assert store.health() is not None
    await asyncio.to_thread(cluster.start)
    await asyncio.gather(*tasks)
    await _until(lambda: store.health() is None)
    for tid in kept:
        assert await store.message(CLIENT, tid) is not None, "accepted and lost"
    assert refused > 0
    print(f"scorecard 26: {len(kept)} accepted around a kill -9 of PostgreSQL, 0 lost, {refused} refused meanwhile")
    await store.close()


async def test_while_the_database_is_away_sends_get_503_within_two_seconds_and_all_comes_back(tmp_path, cluster):
    store = PostgresStore(await postgres.new_database(cluster))
    async with running(tmp_path, store=store) as up:
        status, _, before = await up.send("telegram", body())
        assert status == 200
        await up.until(before["data"]["tid"], 1)
        await asyncio.to_thread(cluster.kill)
        slowest = 0.0
        for _ in range(5):
            began = time.monotonic()
            status, headers, refusal = await up.send("telegram", body())
            slowest = max(slowest, time.monotonic() - began)
            assert (status, refusal["code"]) == (503, "not_durable")
            assert int(headers["Retry-After"]) >= 1
        assert slowest < 2.5, f"{slowest:.1f} s"
        assert await _post_webhook(up) == 503, "so that the platform sends it again"
        assert await _ready(up) == 503
        await asyncio.to_thread(cluster.start)
        after = body()
        async with asyncio.timeout(30):
            await _until_200(lambda: _status_of_send(up, after))
            await up.until((await up.send("telegram", after))[2]["data"]["tid"], 1, 30)
            await _until_200(lambda: _post_webhook(up))
            await _until_200(lambda: _ready(up))
    print(f"scorecard 26: sends got their 503 within {slowest:.1f} s while PostgreSQL was away, and went on after it")


async def test_a_pool_that_is_full_refuses_in_time_and_all_comes_back(tmp_path, cluster):
    """Somebody locks a table for some seconds: every connection of the pool waits, and many more requests come."""
    dsn = await postgres.new_database(cluster)
    async with running(tmp_path, store=PostgresStore(dsn, connections=3)) as up:
        status, _, before = await up.send("telegram", body())
        assert status == 200
        tid = before["data"]["tid"]
        await up.until(tid, 1)
        locker = await asyncpg.connect(dsn)
        await locker.execute("BEGIN; LOCK TABLE message IN ACCESS EXCLUSIVE MODE")

        async def sent(given: dict[str, Any]) -> tuple[int, str, float]:
            began = time.monotonic()
            status, headers, _ = await up.send("telegram", given)
            return status, headers.get("Retry-After", ""), time.monotonic() - began

        async def read() -> tuple[int, str, float]:
            began = time.monotonic()
            async with up.session.get(f"{up.url}/v1/messages/{tid}") as response:
                return response.status, response.headers.get("Retry-After", ""), time.monotonic() - began

        bodies = [body() for _ in range(30)]
        asked = [asyncio.create_task(one) for one in (*map(sent, bodies), *(read() for _ in range(30)))]
        await asyncio.sleep(0.5)
        began = time.monotonic()
        async with up.session.get(f"{up.url}/livez") as response:
            assert response.status == 200
        assert time.monotonic() - began < 1
        await _ready(up)
        assert time.monotonic() - began < 3
        await asyncio.sleep(3.0)
        await locker.execute("ROLLBACK")
        await locker.close()
        answers = await asyncio.gather(*asked)
        assert {status for status, _, _ in answers} == {200, 503}, "some waited long enough, others did not"
        assert all(wait for status, wait, _ in answers if status == 503)
        assert max(seconds for _, _, seconds in answers) < 8
        async with asyncio.timeout(20):
            await _until_200(lambda: _ready(up))
            again = [await up.send("telegram", given) for given in bodies]
            assert {status for status, _, _ in again} == {200}
            tids = [answer["data"]["tid"] for _, _, answer in again]
            # The platform wants one message a second, and which of them was accepted first nobody knows.

            async def sends_again() -> bool:
                return sum([(await up.message(tid))["status"] == 1 for tid in tids]) >= 3

            await eventually(sends_again)
    refused = sum(1 for status, _, _ in answers if status == 503)
    print(
        f"scorecard 26: a pool of 3 connections, all busy for 4 s: of {len(answers)} requests {refused} got a 503 in time"
    )


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 -- nobody sets an event for it
            await asyncio.sleep(0.01)


async def _until_200(ask: Callable[[], Awaitable[int]]) -> None:
    while await ask() != 200:  # noqa: ASYNC110 -- nobody sets an event for it
        await asyncio.sleep(0.2)


async def _status_of_send(up: Running, given: dict[str, Any]) -> int:
    return (await up.send("telegram", given))[0]


async def _ready(up: Running) -> int:
    async with up.session.get(f"{up.url}/readyz") as response:
        return response.status


async def _post_webhook(up: Running) -> int:
    """Post a signed WhatsApp webhook with a receipt for a message that nobody sent; return the status of the answer."""
    facts = up.sandbox.sandbox.config.whatsapp
    status = {"id": "wamid.x", "status": "sent", "timestamp": "1700000000", "recipient_id": "6281234"}
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "1", "phone_number_id": facts.phone_number_id},
        "statuses": [status],
    }
    sent = json.dumps(
        {
            "object": "whatsapp_business_account",
            "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}],
        }
    )
    signature = hmac.new(facts.app_secret.encode(), sent.encode(), "sha256").hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={signature}", "Content-Type": "application/json"}
    async with up.session.post(
        f"{up.url}/webhooks/{demo.ACCOUNTS['whatsapp']}", data=sent, headers=headers
    ) as response:
        return response.status
