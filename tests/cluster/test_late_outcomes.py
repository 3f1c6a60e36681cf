"""Scorecard row 10, in one process: calls end after another node took the account. None of their outcomes is written."""

import asyncio

import asyncpg
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from cluster.test_fences import Fences
from kurir.clock import SystemClock
from kurir.domain.status import Status
from kurir.store.base import Phase
from kurir.store.postgres import PostgresStore, leases
from kurir.store.postgres.leases import ACCOUNT as PREFIX
from support import postgres
from support.delivering import CLIENT, Request, World, delivering, eventually, taken
from support.nodes import VERSION

ACCOUNT = f"{CLIENT}-telegram"
CALLS = 8


@pytest.mark.scorecard(10)
async def test_what_calls_bring_after_another_node_took_the_account_is_refused_and_told_of(tmp_path):
    dsn = await postgres.new_database(postgres.shared(VERSION))
    old, new = PostgresStore(dsn), PostgresStore(dsn)
    answered = asyncio.Event()

    async def late(request: Request) -> web.StreamResponse:
        await answered.wait()
        return taken(request)

    async with delivering(tmp_path, store=old, start=False) as world:
        connection = await asyncpg.connect(dsn)
        try:
            await new.open()
            names = [PREFIX + name for name in world.directory.accounts()]
            await leases.know(connection, names)
            mine, theirs = Fences("one"), Fences("two")
            old.fences, new.fences = mine, theirs
            for name in world.directory.accounts():
                mine.fences[name] = await old.take("one", PREFIX + name, name)
            world.platform.answers = late
            tids = [await world.accept(f"tg:{1000 + number}", str(number)) for number in range(CALLS)]
            await world.dispatcher.start()
            await world.platform.called(CALLS)
            await connection.execute("UPDATE lease SET until_at = clock_timestamp()")
            for name in world.directory.accounts():
                theirs.fences[name] = await new.take("two", PREFIX + name, name)
            with capture_logs() as logs:
                answered.set()
                await eventually(lambda: len(refused(logs)) == CALLS)
            for tid in tids:
                message = await world.message(tid)
                assert (message.attempts, [part.phase for part in message.parts]) == ((), [Phase.IN_FLIGHT])
            assert mine.doubted == [ACCOUNT] * CALLS
            await world.dispatcher.stop(1.0)
            world.platform.answers = lambda _: None
            other = World(new, world.platform, SystemClock(), world.channels)
            try:
                await other.directory.reload(new)
                await other.dispatcher.start()
                for tid in tids:
                    message = await other.ended(tid)
                    assert message.status is Status.SENT
                    told = [(one.outcome, one.code) for one in message.attempts]
                    assert told == [("unknown", "no_answer"), ("sent", "maybe_duplicate")]
            finally:
                await other.dispatcher.stop(1.0)
                await other.egress.close()
            print(
                f"scorecard 10: {CALLS} calls ended after another node took the account: {CALLS} late outcomes refused by the "
                f"fence, 0 written; the new owner sent {CALLS} again, each told of as maybe_duplicate"
            )
        finally:
            await new.close()
            await connection.close()


def refused(logs: list[dict[str, object]]) -> list[dict[str, object]]:
    return [one for one in logs if one["event"] == "message_not_moved" and "another node" in str(one["error"])]
