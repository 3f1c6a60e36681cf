"""How SQLite finds what delivery asks for: by an index, in the order wanted, with 100,000 messages in the queue.

The plans are asked of the statements as they run, traced from a real call of the store: so none that is added later goes
unseen, and none is copied here. A plan does not depend on the machine, and a speed would.
"""

import apsw
import pytest
import pytest_asyncio

from kurir.domain.message import Priority
from kurir.store.sqlite import SqliteStore
from support.records import ACCOUNT, DECLARED, T0, at, mark, new_message

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

QUEUED = 100_000
HOT = 500  # of them in one lane
#: A message like the one with this tid, as often as is asked for: other tid and lane, every tenth high, every third bulk.
_MULTIPLY = """
WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?)
INSERT INTO message (tid, lane, priority, {columns})
SELECT tid || n, iif(n % (? / ?) = 0, 'hot', 'lane' || (n % 20000)),
    iif(n % 10 = 0, 'high', iif(n % 3 = 0, 'bulk', 'normal')), {columns} FROM message, number WHERE tid = ?
"""


def _multiply(db: apsw.Connection, tid: str) -> None:
    own = ("seq", "tid", "lane", "priority")
    columns = ", ".join(name for _, name, *_ in db.execute("PRAGMA table_info(message)") if name not in own)
    db.execute(_MULTIPLY.format(columns=columns), (QUEUED, QUEUED, HOT, tid))
    [(queued,)] = db.execute("SELECT count(*) FROM message WHERE queued = 1")
    assert queued > QUEUED


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def full(tmp_path_factory):
    """A store with 100,000 queued messages, some of them begun."""
    store = SqliteStore(tmp_path_factory.mktemp("plans") / "kurir.db", synchronous="OFF")
    await store.open()
    await store.declare(DECLARED, T0)
    seed = new_message()
    await store.accept(seed)
    await store._writer.run(lambda db: _multiply(db, seed.tid))
    for message in await store.queued(ACCOUNT, limit=20):
        await store.mark(mark(new_message(tid=message.tid), total=2))
    yield store
    await store.close()


def _explain(db: apsw.Connection, statement: str) -> list[str]:
    values = (None,) * statement.count("?")  # what is bound changes no plan: the tables have no statistics
    return [detail for _, _, _, detail in db.execute("EXPLAIN QUERY PLAN " + statement, values)]


async def _plans(store, runner, call) -> dict[str, list[str]]:
    """Return the plan of every statement that *call* runs on *runner*."""
    statements: dict[str, None] = {}

    def trace(event) -> None:
        statements[event["sql"]] = None

    await runner.run(lambda db: db.trace_v2(apsw.SQLITE_TRACE_STMT, trace))
    await call
    await runner.run(lambda db: db.trace_v2(0))
    wanted = [each for each in statements if each.lstrip().startswith(("SELECT", "UPDATE", "WITH", "INSERT"))]
    assert wanted, statements
    return {each: await runner.run(lambda db, each=each: _explain(db, each)) for each in wanted}


def _bad(detail: str) -> bool:
    return detail.startswith("SCAN") or "TEMP B-TREE" in detail or "AUTOMATIC" in detail


async def _walks(store, runner, call) -> set[str]:
    """Return the indices that *call* searches. None of its statements may walk through a table, or sort."""
    plans = await _plans(store, runner, call)
    for statement, plan in plans.items():
        assert not [detail for detail in plan if _bad(detail)], (statement, plan)
    details = [detail for plan in plans.values() for detail in plan]
    return {detail.split(" INDEX ")[-1].split(" ")[0] if " INDEX " in detail else "key" for detail in details}


async def test_the_queue_by_priority(full):
    assert "message_in_queue" in await _walks(full, full._prompt, full.queued(ACCOUNT, limit=100))
    after = {Priority.NORMAL: 50_000, Priority.BULK: 0}
    assert "message_in_queue" in await _walks(full, full._prompt, full.queued(ACCOUNT, after))


async def test_what_has_begun(full):
    assert len(await full.begun(ACCOUNT)) == 60
    assert "message_begun" in await _walks(full, full._prompt, full.begun(ACCOUNT, after_seq=5))


@pytest.mark.parametrize("high", [True, False])
async def test_lanes(full, high):
    lanes = ["hot", "lane7", "lane8"]
    assert len(await full.in_lanes(ACCOUNT, lanes, high=high)) > 1
    call = full.in_lanes(ACCOUNT, lanes, high=high, after_seq=5)
    assert "message_in_lane" in await _walks(full, full._prompt, call)


async def test_one_message_by_its_seq(full):
    assert await full.at_seq(ACCOUNT, 50_000) is not None
    assert await _walks(full, full._prompt, full.at_seq(ACCOUNT, 50_000)) == {"key"}


@pytest.mark.parametrize("priority", list(Priority))
async def test_what_goes_before(full, priority):
    assert (await full.ahead(ACCOUNT, "hot", 10**6, priority, at(1))).messages > 1
    call = full.ahead(ACCOUNT, "hot", 90_000, priority, at(1))
    assert await _walks(full, full._patient, call) <= {"message_in_lane", "message_begun"}


async def test_the_past_of_a_part(full):
    [message] = await full.queued(ACCOUNT, {Priority.NORMAL: 0}, limit=1)
    plans = await _plans(full, full._prompt, full.past(message.tid, 1))
    details = [detail for plan in plans.values() for detail in plan]
    assert any("attempt_by_message" in detail for detail in details)
    assert not [detail for detail in details if detail.startswith("SCAN")]


async def test_expiry_when_nothing_is_overdue_and_when_all_is(full):
    assert "message_by_expiry" in await _walks(full, full._writer, full.expire(at(-1), 200))
    assert "message_by_expiry" in await _walks(full, full._writer, full.expire(at(10**6), 20))


async def test_a_plan_that_walks_is_seen(full):
    """The control: without an index that fits, the same look finds the walk and the sort."""
    statement = "SELECT tid FROM message WHERE recipient > '' ORDER BY address"
    details = await full._prompt.run(lambda db: _explain(db, statement))
    assert len([detail for detail in details if _bad(detail)]) == 2
