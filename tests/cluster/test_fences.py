"""The fence in the store: only the node that owns an account marks its parts, and writes what became of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import asyncpg
import pytest

from kurir.store.base import ErrorRecord, Marked, NotOwner, Phase
from kurir.store.postgres import PostgresStore, leases
from kurir.store.postgres.leases import ACCOUNT as PREFIX
from kurir.store.postgres.leases import LEASE_SECONDS, SILENT_SECONDS
from support import postgres
from support.records import ACCOUNT, DECLARED, SECOND_ACCOUNT, T0, at, mark, new_message, result, sent

NAME = PREFIX + ACCOUNT


@dataclass
class Fences:
    """What a node believes. ``seconds`` are left of all that it owns; ``asked`` counts how often that was asked.

    ``taken``: since when it has an account; ``doubted``: what the store said is another's.
    """

    node_id: str
    fences: dict[str, int | None] = field(default_factory=dict)
    seconds: Callable[[int], float] = lambda _: 15.0
    asked: int = 0
    taken: dict[str, float] = field(default_factory=dict)
    doubted: list[str] = field(default_factory=list)

    def fence(self, account_id: str) -> int | None:
        return self.fences.get(account_id)

    def left(self, _account_id: str) -> float:
        self.asked += 1
        return self.seconds(self.asked)

    def since(self, account_id: str) -> float:
        return self.taken.get(account_id, float("-inf"))

    def lost(self, account_id: str) -> None:
        self.doubted.append(account_id)


@dataclass
class Pair:
    """Two nodes' stores over one database; the first owns the account."""

    old: PostgresStore
    new: PostgresStore
    mine: Fences
    theirs: Fences
    connection: "asyncpg.Connection[asyncpg.Record]"

    async def pass_on(self) -> None:
        """Let the first one's lease run out, and the other one take it."""
        await self.connection.execute("UPDATE lease SET until_at = clock_timestamp() WHERE name = $1", NAME)
        self.theirs.fences[ACCOUNT] = await self.new.take(self.theirs.node_id, NAME, ACCOUNT)
        assert self.theirs.fences[ACCOUNT] is not None


@pytest.fixture(params=sorted(postgres.servers()))
async def pair(request, tmp_path) -> AsyncIterator[Pair]:
    dsn = await postgres.new_database(postgres.shared(request.param))
    old, new = PostgresStore(dsn), PostgresStore(dsn)
    await old.open()
    await new.open()
    await old.declare(DECLARED, T0)
    connection = await asyncpg.connect(dsn)
    try:
        await leases.know(connection, [NAME, PREFIX + SECOND_ACCOUNT])
        mine, theirs = Fences("one"), Fences("two")
        old.fences, new.fences = mine, theirs
        mine.fences[ACCOUNT] = await old.take("one", NAME, ACCOUNT)
        yield Pair(old, new, mine, theirs, connection)
    finally:
        await connection.close()
        await old.close()
        await new.close()


async def test_a_lease_that_is_held_is_not_taken(pair):
    assert pair.mine.fences[ACCOUNT] == 1
    assert await pair.new.take("two", NAME, ACCOUNT) is None
    assert await pair.old.take("one", NAME, ACCOUNT) is None


async def test_the_owner_marks_and_records(pair):
    message = new_message()
    await pair.new.accept(message)  # every node accepts
    assert await pair.old.mark(mark(message)) is Marked.MARKED
    await pair.old.record(result(message, sent("mid.1")))
    assert (await pair.new.message(message.client_id, message.tid)).status == 1


async def test_a_node_that_does_not_own_the_account_marks_nothing(pair):
    message = new_message()
    await pair.new.accept(message)
    assert await pair.new.mark(mark(message)) is Marked.MOVED
    assert (await pair.new.queued(ACCOUNT))[0].parts == ()


async def test_what_came_of_a_call_of_the_owner_before_is_not_written(pair):
    message, other = new_message(), new_message(lane="other")
    for one in (message, other):
        await pair.old.accept(one)
    assert await pair.old.mark(mark(message)) is Marked.MARKED
    await pair.pass_on()
    with pytest.raises(NotOwner):
        await pair.old.record(result(message, sent("mid.1")))
    assert await pair.old.mark(mark(other)) is Marked.MOVED
    with pytest.raises(NotOwner):
        await pair.old.finish(other.tid, 1, sent("x").status, ErrorRecord("expired", "late"), at(5))
    with pytest.raises(NotOwner):
        await pair.old.park(ACCOUNT, ErrorRecord("account_blocked", "late"), at(5))
    first, second = await pair.new.queued(ACCOUNT)
    assert [part.phase for part in first.parts] == [Phase.IN_FLIGHT], "unknown to the new owner"
    assert second.parts == ()
    await pair.new.record(result(message, sent("mid.2")))
    assert await pair.new.mark(mark(other)) is Marked.MARKED


async def test_a_refused_write_takes_no_other_with_it(pair):
    message = new_message()
    await pair.old.accept(message)
    await pair.old.mark(mark(message))
    await pair.pass_on()
    late = [pair.old.record(result(message, sent("mid.1"))) for _ in range(3)]
    accepted = [pair.old.accept(new_message(lane=str(number))) for number in range(20)]
    found = await asyncio.gather(*late, *accepted, return_exceptions=True)
    assert [type(one) for one in found[:3]] == [NotOwner] * 3
    assert not [one for one in found[3:] if isinstance(one, BaseException)]


async def test_an_owner_whose_lease_is_nearly_over_marks_nothing(pair):
    message = new_message()
    await pair.old.accept(message)
    pair.mine.seconds = lambda _: 1.9
    assert await pair.old.mark(mark(message)) is Marked.MOVED
    assert (await pair.old.queued(ACCOUNT))[0].parts == ()


async def test_an_owner_whose_lease_ran_short_in_the_commit_does_not_call(pair):
    message = new_message()
    await pair.old.accept(message)
    pair.mine.seconds = lambda asked: 15.0 if asked == 1 else 1.9
    assert await pair.old.mark(mark(message)) is Marked.MOVED
    assert (await pair.old.queued(ACCOUNT))[0].parts[0].phase is Phase.IN_FLIGHT


async def test_an_outcome_is_written_as_long_as_nobody_took_the_account(pair):
    """The database was away for longer than the lease, and nobody else came: the outcome is not thrown away."""
    message = new_message()
    await pair.old.accept(message)
    await pair.old.mark(mark(message, total=2))
    pair.mine.seconds = lambda _: -10.0
    both = result(message, sent("mid.1"), next_mark=mark(message, part=2, total=2))
    recorded = await pair.old.record(both)
    assert not recorded.marked
    assert [part.phase for part in (await pair.old.queued(ACCOUNT))[0].parts] == [Phase.ANSWERED]


async def test_marks_and_a_taking_over_come_one_after_the_other(pair):
    """Whatever the order: a mark that succeeded is seen by the new owner when it has the lease."""
    messages = [new_message(lane=str(number)) for number in range(60)]
    for one in messages:
        await pair.old.accept(one)
    marked: set[str] = set()
    some = asyncio.Event()

    async def marks() -> None:
        for one in messages:
            if await pair.old.mark(mark(one)) is Marked.MARKED:
                marked.add(one.tid)
            if len(marked) == 10:
                some.set()

    marking = asyncio.create_task(marks())
    async with asyncio.timeout(5):
        await some.wait()
    await pair.pass_on()
    seen = {one.tid for one in await pair.new.queued(ACCOUNT) if one.parts}
    await marking
    assert 10 <= len(marked) < len(messages)
    assert marked <= seen
    assert {one.tid for one in await pair.new.queued(ACCOUNT) if one.parts} == seen


async def test_a_node_is_dead_when_its_session_is_gone_and_not_before(pair):
    one, two = pair.connection, await pair.new.connect()
    try:
        for connection, name in ((one, "one"), (two, "two")):
            assert await leases.lock(connection, name)
            await leases.enter(connection, name, "host", 1, "all")
        assert await leases.bury(one, "one") == []
        assert (await leases.renew(one, "one"))[1] == {NAME: 1}
        two_sees = await leases.look(two)
        assert (two_sees.workers, two_sees.holders[NAME]) == ({"one", "two"}, "one")
        third = await pair.new.connect()
        try:
            await two.close()
            assert await leases.bury(one, "one") == [], "it renewed just now: its connection may be all that was cut"
            await silent_for(one, "two", SILENT_SECONDS + 0.1)
            async with asyncio.timeout(5):
                while not (buried := await leases.bury(one, "one")):  # noqa: ASYNC110 - another process sets no event
                    await asyncio.sleep(0.01)
            assert buried == ["two"]
            assert await leases.lock(third, "two")
        finally:
            await third.close()
    finally:
        if not two.is_closed():
            await two.close()


async def silent_for(connection: "asyncpg.Connection[asyncpg.Record]", node_id: str, seconds: float) -> None:
    """Let it be so long that the node renewed last."""
    await connection.execute(
        "UPDATE node SET until_at = clock_timestamp() + make_interval(secs => $2) WHERE id = $1",
        node_id,
        LEASE_SECONDS - seconds,
    )


async def test_a_silent_node_whose_session_lives_is_not_dead(pair):
    two = await pair.new.connect()
    try:
        assert await leases.lock(two, "two")
        await leases.enter(two, "two", "host", 1, "all")
        await silent_for(pair.connection, "two", SILENT_SECONDS + 0.1)
        assert await leases.bury(pair.connection, "one") == []
    finally:
        await two.close()


async def test_what_was_asked_before_the_account_was_taken_again_is_not_written(pair):
    """It waited in the store, and the account went to another node and came back: nobody waits for it any more."""
    message = new_message()
    await pair.old.accept(message)
    assert await pair.old.mark(mark(message)) is Marked.MARKED
    late = asyncio.create_task(pair.old.record(result(message, sent("mid.1"))))
    await asyncio.sleep(0)  # it is asked for
    pair.mine.taken[ACCOUNT] = time.monotonic()
    with pytest.raises(NotOwner, match="meanwhile"):
        await late
    assert [part.phase for part in (await pair.old.queued(ACCOUNT))[0].parts] == [Phase.IN_FLIGHT]
    await pair.old.record(result(message, sent("mid.1")))
    assert pair.mine.doubted == [], "nobody else has it"


async def test_a_node_hears_from_the_store_that_its_account_is_anothers(pair):
    message = new_message()
    await pair.old.accept(message)
    await pair.pass_on()
    assert await pair.old.mark(mark(message)) is Marked.MOVED
    assert set(pair.mine.doubted) == {ACCOUNT}


async def test_what_a_node_took_without_hearing_so_is_given_back(pair):
    await leases.enter(pair.connection, "two", "host", 1, "all")
    taken = await leases.take(pair.connection, "two", [PREFIX + SECOND_ACCOUNT, NAME])
    assert taken == {PREFIX + SECOND_ACCOUNT: 1}
    await leases.drop(pair.connection, "two", list(taken))
    assert await leases.take(pair.connection, "one", list(taken)) == {PREFIX + SECOND_ACCOUNT: 2}
