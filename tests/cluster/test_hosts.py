"""Several hosts in the URL of the database: which one is used, what a silent one costs, and what a commit is worth."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from kurir.store.base import Accepted, StoreUnavailable
from kurir.store.postgres import PostgresStore, connection, hosts
from kurir.store.postgres.hosts import Hosts, addresses
from support import postgres
from support.pairs import Pair, pair
from support.postgres import Cluster
from support.records import CLIENT, DECLARED, T0, new_message
from support.swallowing_proxy import swallowing


@pytest.mark.parametrize(
    ("dsn", "meant"),
    [
        ("postgresql://u:p@one/db", ()),
        ("postgresql:///db", ()),
        ("postgresql://u:p@one,two/db", (("one", 5432), ("two", 5432))),
        ("postgresql://u:p%40x@one:1,two:2/db?sslmode=require", (("one", 1), ("two", 2))),
        ("postgresql://u@one:1,two/db", (("one", 1), ("two", 5432))),
        ("postgresql://[::1]:7,[fe80::1]/db", (("::1", 7), ("fe80::1", 5432))),
        ("postgresql:///db?host=one,two&port=1,2", (("one", 1), ("two", 2))),
        ("postgresql:///db?host=/run/one,/run/two&port=7", (("/run/one", 7), ("/run/two", 7))),
    ],
)
def test_the_hosts_of_a_url(dsn, meant):
    assert addresses(dsn) == meant


@pytest.mark.parametrize(
    "dsn", ["postgresql://one,/db", "postgresql://one:x,two/db", "postgresql:///?host=a,b&port=1,2,3"]
)
def test_hosts_that_are_not_understood(dsn):
    with pytest.raises(ValueError, match=r"host|zip"):
        addresses(dsn)


@pytest.fixture
async def two() -> AsyncIterator[Pair]:
    async with pair() as made:
        yield made


async def store_of(on: Pair, dsn: str = "") -> PostgresStore:
    store = PostgresStore(dsn or on.both(await postgres.new_database(on.primary)))
    await store.open()
    await store.declare(DECLARED, T0)
    return store


@pytest.mark.slow
@pytest.mark.scorecard(41)
async def test_a_commit_that_the_standby_did_not_confirm_is_neither_answered_nor_seen(two, monkeypatch):
    """PostgreSQL would call it done when it is cancelled, and it would be lost with the primary."""
    monkeypatch.setattr(connection, "COMMIT_SECONDS", 1.0)
    store = await store_of(two)
    kept = await store.accept(new_message(message_id="kept"))
    assert isinstance(kept, Accepted)
    two.standby.signal(signal.SIGSTOP)
    for message_id in ("doubted", "doubted", "other"):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await store.accept(new_message(message_id=message_id))
        assert time.monotonic() - began < 4
    assert not await store.key_known(CLIENT, "messenger", "doubted")
    await asyncio.to_thread(two.primary.kill)
    two.standby.signal(signal.SIGCONT)
    await asyncio.to_thread(two.fail_over)
    async with asyncio.timeout(10):
        while not isinstance(await again(store, "later"), Accepted):  # noqa: ASYNC110 - a server sets no event
            await asyncio.sleep(0.05)
    assert await store.message(CLIENT, kept.tid) is not None
    await store.close()


async def again(store: PostgresStore, message_id: str) -> object:
    try:
        return await store.accept(new_message(message_id=message_id))
    except StoreUnavailable:
        return None


@pytest.mark.slow
@pytest.mark.scorecard(41)
async def test_the_primary_before_is_left_alone_when_it_comes_back(two):
    """Started again by mistake it takes writes; who saw the new primary, or sees both, does not go there."""
    both = two.both(two.primary.dsn())
    known = Hosts(both)
    first, _ = await known.connect()
    old = two.primary
    await asyncio.to_thread(old.kill)
    with pytest.raises((asyncpg.InternalClientError, OSError)):
        await known.connect()
    await asyncio.to_thread(two.fail_over)
    second, era = await known.connect()
    assert (await second.fetchval("SELECT pg_is_in_recovery()"), era) == (False, 1)
    await asyncio.to_thread(old.start)
    ports = []
    for one in (known, known, Hosts(both), Hosts(both)):
        found, _ = await one.connect()
        ports.append(await found.fetchval("SELECT inet_server_port()"))
        await found.close()
    assert ports == [two.primary.port] * 4
    await asyncio.to_thread(two.primary.kill)
    with pytest.raises(asyncpg.TargetServerAttributeNotMatched, match="before the last fail-over"):
        await known.connect()
    first.terminate()
    second.terminate()


async def test_a_host_that_swallows_packets_costs_less_than_the_time_to_connect():
    cluster = postgres.shared("15")
    async with swallowing(cluster.port) as proxy:
        proxy.swallow()
        known = Hosts(cluster.dsn().replace(str(cluster.port), f"{proxy.port},127.0.0.1:{cluster.port}"))
        seconds = []
        for _ in range(2):
            began = time.monotonic()
            found, _ = await known.connect()
            seconds.append(time.monotonic() - began)
            await found.close()
        assert seconds[0] < hosts.CONNECT_SECONDS
        assert seconds[1] < hosts.AHEAD_SECONDS, "the one that served last is asked first"
        alone = Hosts(cluster.dsn().replace(str(cluster.port), f"{proxy.port},127.0.0.1:{proxy.port}"))
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await alone.connect()
        assert time.monotonic() - began < hosts.CONNECT_SECONDS + 1.0


async def test_a_server_that_takes_no_writes_any_more_is_left(tmp_path):
    """As a primary does that is demoted in place: the sessions stay, and every write on them fails."""
    own = Cluster(postgres.servers()["15"])
    try:
        await asyncio.to_thread(own.create)
        await asyncio.to_thread(own.start)
        store = PostgresStore(await postgres.new_database(own))
        await store.open()
        await store.declare(DECLARED, T0)
        await asyncio.gather(*(store.accept(new_message(lane=str(number))) for number in range(5)))
        admin = await asyncpg.connect(own.dsn())
        await set_read_only(admin, "on")
        async with asyncio.timeout(10):
            while isinstance(await again(store, f"m{time.monotonic()}"), Accepted):  # noqa: ASYNC110 - a server sets no event
                await asyncio.sleep(0.02)
        assert store.health() is not None
        await set_read_only(admin, "off")
        async with asyncio.timeout(10):
            while not isinstance(await again(store, "later"), Accepted):  # noqa: ASYNC110 - a server sets no event
                await asyncio.sleep(0.05)
        assert store.health() is None
        await admin.close()
        await store.close()
    finally:
        own.remove()


async def set_read_only(admin: "asyncpg.Connection[asyncpg.Record]", word: str) -> None:
    await admin.execute(f"ALTER SYSTEM SET default_transaction_read_only = {word}")
    await admin.execute("SELECT pg_reload_conf()")
