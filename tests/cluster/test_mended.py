"""What a node holds it works for, and a blip takes nothing from it: keepers in this process, over a real database."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from kurir import nodes
from kurir.nodes import Keeper
from kurir.store.base import StoreUnavailable
from kurir.store.postgres import PostgresStore, leases
from kurir.store.postgres.leases import ACCOUNT, ENDPOINT, UPKEEP
from support import postgres
from support.bodies import body
from support.records import DECLARED, T0
from support.servers import running
from support.swallowing_proxy import swallowing

VERSION = "15"
ACCOUNTS = [ACCOUNT + each.id for each in DECLARED.accounts]
ENDPOINTS = [f"{ENDPOINT}{number}" for number in range(4)]


class Works:
    """Notes what it is to work for. ``wants`` may be changed; ``ended`` is with how many seconds of grace."""

    def __init__(self) -> None:
        self.wants: dict[str, Sequence[str]] = {ACCOUNT: ACCOUNTS, ENDPOINT: ENDPOINTS, UPKEEP: [UPKEEP]}
        self.owned: set[str] = set()
        self.ended: list[tuple[str, float]] = []
        self.fails: set[str] = set()

    def wanted(self) -> Mapping[str, Sequence[str]]:
        return self.wants

    async def own(self, name: str) -> None:
        if name in self.fails:
            self.fails.discard(name)
            raise StoreUnavailable("not now")
        self.owned.add(name)

    async def disown(self, name: str, seconds: float) -> None:
        self.owned.discard(name)
        self.ended.append((name, seconds))

    async def follow(self) -> None:
        """Nothing changes here."""

    def hear(self, hint: Sequence[str]) -> None:
        """No hint is of use here."""


@asynccontextmanager
async def keeper(dsn: str, works: Works, role: str = "all", **options: Any) -> AsyncIterator[Keeper]:
    """Run a node of its own over the database at *dsn*."""
    store = PostgresStore(dsn)
    await store.open()
    await store.declare(DECLARED, T0)
    one = Keeper(store, works, role, **options)
    store.fences = one
    try:
        yield one
    finally:
        await one.leave()
        await store.close()


@pytest.fixture
async def dsn() -> str:
    return await postgres.new_database(postgres.shared(VERSION))


async def until(seen: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not seen():  # noqa: ASYNC110 - a poll costs nothing here
            await asyncio.sleep(0.01)


def all_of(works: Works) -> set[str]:
    return {name for names in works.wants.values() for name in names}


async def test_what_was_taken_is_worked_for_though_the_connection_was_lost_in_that_moment(dsn, monkeypatch):
    works = Works()
    wants, works.wants = works.wants, {}
    async with keeper(dsn, works) as node:
        await node.start()
        take, cuts = leases.take, [1]

        async def cut(connection: Any, node_id: str, names: Sequence[str]) -> dict[str, int]:
            if cuts:
                cuts.pop()
                connection.terminate()
            return await take(connection, node_id, names)

        monkeypatch.setattr(leases, "take", cut)
        works.wants = wants
        await until(lambda: works.owned == all_of(works))
        assert not cuts
        assert works.ended == []


async def test_what_could_not_be_begun_is_given_back_and_begun_again(dsn):
    works = Works()
    works.fails = {ACCOUNTS[0], ENDPOINTS[0]}
    async with keeper(dsn, works) as node:
        await node.start()
        await until(lambda: works.owned == all_of(works))


async def test_a_node_whose_connection_is_cut_goes_on_with_what_it_had(dsn):
    """Another one looks in that moment who is dead: that the session is gone is not enough."""
    works = Works()
    async with keeper(dsn, works) as cut, keeper(dsn, Works(), "api") as other:
        await cut.start()
        await other.start()
        connection = await asyncpg.connect(dsn)
        try:
            await cut._keep()
            session = cut._connection.get_server_pid()
            assert await connection.fetchval("SELECT pg_terminate_backend($1)", session)
            async with asyncio.timeout(1):
                while await connection.fetchval("SELECT count(*) FROM pg_locks WHERE pid = $1", session):  # noqa: ASYNC110 - a server sets no event
                    await asyncio.sleep(0.001)
            await other._with_connection(other._bury)
            await cut._keep()
            assert cut._connection.get_server_pid() != session
            assert await connection.fetchval("SELECT count(*) FROM lease WHERE node_id <> $1", cut.node_id) == 0
        finally:
            await connection.close()
        assert (works.owned, works.ended) == (all_of(works), [])


async def test_a_lock_in_the_way_of_a_renewal_ends_no_session_and_is_tried_again_at_once(dsn, monkeypatch):
    works = Works()
    async with keeper(dsn, works) as node:
        await node._with_connection(node._renew)
        await node._share()
        session = node._connection
        await session.execute("SET lock_timeout = '0.2s'")
        other = await asyncpg.connect(dsn)
        renew, refused = leases.renew, []

        async def renewed(connection: Any, node_id: str) -> Any:
            try:
                return await renew(connection, node_id)
            except asyncpg.LockNotAvailableError as error:
                refused.append(error)
                await other.execute("COMMIT")  # the lock goes when it was met, and not by a clock
                raise

        monkeypatch.setattr(leases, "renew", renewed)
        try:
            await other.execute("BEGIN; SELECT * FROM lease FOR UPDATE")
            await node._keep()
            assert len(refused) == 1
            assert node.alive() == ""
            assert node._connection is session
        finally:
            await other.close()


async def test_an_account_that_is_another_nodes_is_not_begun_for_from_the_first_refusal_on(tmp_path, dsn, monkeypatch):
    """The node hears of it late: its own connection hangs. Before, each head of a lane asked again and again."""
    store = PostgresStore(dsn)
    async with running(tmp_path, store=store) as up:
        node = up.gateway._keeper
        telegram = next(name for name in node._held if name.startswith(ACCOUNT) and "tg" in name)
        marks = []
        mark = store.mark

        async def counted(wanted: Any) -> Any:
            marked = await mark(wanted)
            marks.append(marked)
            return marked

        monkeypatch.setattr(store, "mark", counted)
        connection = await asyncpg.connect(dsn)
        try:
            async with node._busy:
                await connection.execute(
                    "UPDATE lease SET node_id = 'other', fence = fence + 1,"
                    " until_at = clock_timestamp() + interval '60 seconds' WHERE name = $1",
                    telegram,
                )
                answers = [await up.send("telegram", body()) for _ in range(3)]
                assert [status for status, _, _ in answers] == [200] * 3
                await until(lambda: bool(marks))
                await asyncio.sleep(0.5)
                assert 1 <= len(marks) <= 3
                assert not any(marks)
            await until(lambda: telegram not in node._held, 3.0)
            await connection.execute(
                "UPDATE lease SET node_id = '', until_at = clock_timestamp() WHERE name = $1", telegram
            )
            for _, _, answer in answers:
                await up.until(answer["data"]["tid"] if "data" in answer else answer["tid"], 1)
        finally:
            await connection.close()


async def test_a_node_leaves_in_time_where_the_database_has_fallen_silent(monkeypatch):
    monkeypatch.setattr(nodes, "LEAVE_SECONDS", 0.3)
    cluster = postgres.shared(VERSION)
    there = await postgres.new_database(cluster)
    works = Works()
    async with swallowing(cluster.port) as proxy:
        store = PostgresStore(there.replace(f":{cluster.port}/", f":{proxy.port}/"))
        await store.open()
        await store.declare(DECLARED, T0)
        node = store.fences = Keeper(store, works, "all")
        await node.start()
        await until(lambda: works.owned == all_of(works))
        proxy.swallow()
        try:
            async with asyncio.timeout(5.0):
                await node.leave()
            assert works.owned == set()
        finally:
            store._pool.terminate()


async def test_a_node_that_leaves_gives_each_lease_back_when_its_work_has_ended(dsn):
    """What drains long keeps the others from nothing; and the last of it is free at once when it has drained."""
    slow = asyncio.Event()

    class Slow(Works):
        async def disown(self, name: str, seconds: float) -> None:
            if name == ACCOUNTS[0]:
                await slow.wait()
            await super().disown(name, seconds)

    one, two = Slow(), Works()
    async with keeper(dsn, one) as first, keeper(dsn, two) as second:
        await first.start()
        await until(lambda: one.owned == all_of(one))
        await second.start()
        leaving = asyncio.create_task(first.leave())
        await until(lambda: two.owned == all_of(two) - {ACCOUNTS[0]})
        slow.set()
        await leaving
        await until(lambda: two.owned == all_of(two), 0.5)  # by the hint: it would look within a second by itself


@pytest.mark.parametrize(("seconds", "said"), [(0.0, []), (60.0, [60.0]), (-60.0, [-60.0])])
async def test_a_clock_that_is_off_is_said_once(dsn, seconds, said):
    with capture_logs() as logs:
        async with keeper(dsn, Works(), wall=lambda: time.time() + seconds) as node:
            for _ in range(3):
                await node._with_connection(node._renew)
    told = [round(entry["seconds_ahead"]) for entry in logs if entry["event"] == "node_clock_is_off"]
    assert told == said
    assert node.alive() == "", "it may be the database's clock, and so everybody's"


async def test_nodes_on_two_hosts_that_keep_files_are_told_what_that_needs(tmp_path, dsn):
    store = PostgresStore(dsn)
    await store.open()
    await store.close()
    connection = await asyncpg.connect(dsn)
    await leases.enter(connection, "another", "another.example", 1, "api")
    await connection.close()

    def keep(document: dict[str, Any]) -> None:
        for account in document["clients"]["demo"]["accounts"]:
            account["inbound_media"] = "keep"

    with capture_logs() as logs:
        async with running(tmp_path, store=PostgresStore(dsn), edit=keep) as up:
            here = up.gateway._keeper.host
    [told] = [entry for entry in logs if entry["event"] == "kept_files_need_a_shared_folder"]
    assert told["hosts"] == sorted({here, "another.example"})
    assert told["log_level"] == "warning"
