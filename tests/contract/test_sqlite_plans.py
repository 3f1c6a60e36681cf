"""How SQLite finds what delivery asks for: by an index, in the order wanted, with 100,000 messages in the queue.

And what the feed and the callbacks ask for, with a million events, half of them owed.

The plans are asked of the statements as they run, traced from a real call of the store: so none that is added later goes
unseen, and none is copied here. A plan does not depend on the machine, and a speed would.
"""

import re

import apsw
import pytest
import pytest_asyncio

from kurir.domain.message import Priority
from kurir.domain.status import Status
from kurir.store.feed import Owed, Replay
from kurir.store.looking import PeopleSearch, Search
from kurir.store.operations import callbacks, erasure, events, feed, inbound, people, quarantine, upkeep
from kurir.store.sqlite import SqliteStore
from support.records import (
    ACCOUNT,
    CLIENT,
    DECLARED,
    OTHER_CLIENT,
    T0,
    arrival,
    at,
    called,
    endpoint,
    heard,
    mark,
    new_message,
    receipt,
    send,
    take_in,
)

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

QUEUED = 100_000
EVENTS = 1_000_000
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
    db.execute("INSERT INTO content (seq, body) SELECT seq, x'7b7d' FROM message WHERE true ON CONFLICT DO NOTHING")
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


#: A row of a statement's own parameters.
ONE_ROW = ("SCAN CONSTANT ROW", "SCAN asked")


def _explain(db: apsw.Connection, statement: str) -> list[str]:
    numbered = [int(number) for number in re.findall(r"\?(\d+)", statement)]
    values = (None,) * max(
        numbered, default=statement.count("?")
    )  # what is bound changes no plan: there are no statistics
    plan = [detail for _, _, _, detail in db.execute("EXPLAIN QUERY PLAN " + statement, values)]
    return [detail for detail in plan if detail not in ONE_ROW]


async def _plans(store, runner, call) -> dict[str, list[str]]:
    """Return the plan of every statement that *call* runs on *runner*."""
    statements: dict[str, None] = {}

    def trace(event) -> None:
        statements[event["sql"]] = None

    await runner.run(lambda db: db.trace_v2(apsw.SQLITE_TRACE_STMT, trace))
    await call
    await runner.run(lambda db: db.trace_v2(0))
    wanted = [each for each in statements if each.lstrip().startswith(("SELECT", "UPDATE", "WITH", "INSERT", "DELETE"))]
    assert wanted, statements
    return {each: await runner.run(lambda db, each=each: _explain(db, each)) for each in wanted}


def _bad(detail: str) -> bool:
    if "VIRTUAL TABLE" in detail or detail.startswith(
        ("SCAN (subquery", "SCAN step")
    ):  # a column's words; a window with a limit
        return False
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
    assert "message_by_expiry" in await _walks(full, full._prompt, full.expire(at(-1), 200))
    await _walks(full, full._writer, full.expire(at(10**6), 20))


async def test_a_plan_that_walks_is_seen(full):
    """The control: without an index that fits, the same look finds the walk and the sort."""
    statement = "SELECT tid FROM message WHERE recipient > '' ORDER BY address"
    details = await full._prompt.run(lambda db: _explain(db, statement))
    assert len([detail for detail in details if _bad(detail)]) == 2


# --- searches -----------------------------------------------------------------------------------------------------------

#: Few rows, whatever comes: clients, accounts, and the index of words in its own order.
_FEW = ("SCAN client", "SCAN account", "SCAN words VIRTUAL TABLE", "SCAN main.words_config")


async def _searched(full, call) -> set[str]:
    """Return what is searched, index by index. Only what is found by a recipient may be sorted: there are few."""
    plans = await _plans(full, full._patient, call)
    for statement, plan in plans.items():
        walked = [detail for detail in plan if _bad(detail) and not detail.startswith(_FEW)]
        if "recipient IN" in statement or "lane IN" in statement or "address IN" in statement:
            walked = [detail for detail in walked if detail != "USE TEMP B-TREE FOR ORDER BY"]
        assert not walked, (statement, plan)
    details = [detail for plan in plans.values() for detail in plan]
    return {detail.split(" INDEX ")[-1].split(" ")[0] if " INDEX " in detail else detail[:24] for detail in details}


@pytest.mark.parametrize(
    ("wanted", "by"),
    [
        (Search(), set()),
        (Search(type="location", since=at(-1), until=at(-1)), {"message_run_again"}),
        (Search(client_ids=(CLIENT, OTHER_CLIENT), channel="line"), {"message_by_client"}),
        (Search(account_id=ACCOUNT, type="location"), {"message_by_client"}),
        (Search(statuses=(Status.FAILED, Status.UNSENT)), {"message_failed"}),
        (Search(error_code="expired", client_ids=(CLIENT,)), {"message_by_error"}),
        (Search(queued=True, type="location"), {"message_in_queue"}),
        (
            Search(recipients=("lane7", "hot")),
            {"message_by_recipient", "message_by_address", "message_by_lane", "message_in_lane"},
        ),
        (Search(tid="no-such-tid"), {"sqlite_autoindex_message_1"}),
        (Search(message_id="no-such-id"), set()),
        (Search(platform_id="no-such-id"), set()),
        (Search(words="parcel"), {"message_by_client"}),
        (Search(words="pa", client_ids=(CLIENT,)), {"message_by_client"}),
    ],
)
async def test_a_search_goes_by_an_index(full, wanted, by):
    assert by <= await _searched(full, full.search(wanted, 50))
    assert by <= await _searched(full, full.count(wanted, 50))


async def test_what_people_look_at_goes_by_an_index(full):
    [first, *_] = (await full.search(Search(), 3)).rows
    for call in (
        full.snippets([first.seq]),
        full.story(None, first.tid),
        full.tallies(at(-1), at(1), 300),
        full.tallies(at(-1), at(1), 3600, (CLIENT,)),
        full.top_errors(at(-1)),
        full.pulse(),
    ):
        plans = await _plans(full, full._patient, call)
        details = [detail for plan in plans.values() for detail in plan]
        assert not [detail for detail in details if detail.startswith("SCAN") and detail not in _FEW], plans


async def test_what_follows_goes_by_an_index(full):
    """Its reads, and its writes: to count and to index costs the more the more there is new, and never the more there is."""
    for runner, call in (
        (full._patient, full.tally(100)),
        (full._writer, full.tally(100)),
        (full._patient, full.index_words(10)),
        (full._writer, full.index_words(10)),
    ):
        plans = await _plans(full, runner, call)
        details = [detail for plan in plans.values() for detail in plan]
        assert not [each for each in details if each.startswith("SCAN") and not each.startswith(_FEW)], plans


# --- the feed -----------------------------------------------------------------------------------------------------------

#: The client's first event again and again, every tenth another client's; owed are the later half of the client's.
_MORE_EVENTS = """
WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?)
INSERT INTO event (client_id, kind, account_id, channel, conversation, at, kept_at, data)
SELECT iif(n % 10 = 0, ?, ?), 'message.received', 'acme-fb', 'messenger', 'c' || (n % 5000), n, n, x'7b7d' FROM number
"""
_OWE_HALF = """
INSERT INTO callback (endpoint_id, position, state, tries, ended_at)
SELECT ?, position, iif(position % 2, 'delivered', 'pending'), position % 2, iif(position % 2, 1, NULL)
FROM event WHERE client_id = ? AND position > ?
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fed(tmp_path_factory):
    """A store with a million events, and an endpoint that is owed a quarter of them; returns both."""
    store = SqliteStore(tmp_path_factory.mktemp("plans") / "kurir.db", synchronous="OFF")
    await store.open()
    await store.declare(DECLARED, T0)
    hook = (await store.put_endpoint(endpoint(), T0)).id

    def fill(db: apsw.Connection) -> None:
        db.execute(_MORE_EVENTS, (EVENTS, OTHER_CLIENT, CLIENT))
        db.execute(_OWE_HALF, (hook, CLIENT, EVENTS // 2))

    await store._writer.run(fill)
    await send(store, "p-1")
    yield store, hook
    await store.close()


async def test_the_feed(fed):
    store, _ = fed
    assert len(await store.events(CLIENT, after=EVENTS // 2, limit=50)) == 50
    walks = await _walks(store, store._prompt, store.events(CLIENT, after=EVENTS - 50, limit=100))
    assert "event_in_feed" in walks
    assert "event_in_feed" in await _walks(store, store._prompt, store.last_position(CLIENT))
    assert await _walks(store, store._prompt, store.event(CLIENT, EVENTS)) <= {"key"}


async def test_what_is_owed(fed):
    store, hook = fed
    assert len(await store.owed(hook, after=EVENTS // 2, limit=50)) == 50
    walks = await _walks(store, store._prompt, store.owed(hook, after=EVENTS - 50))
    assert "callback_pending" in walks
    assert "callback_pending" in await _walks(store, store._patient, store.endpoint(hook))
    walks = await _walks(store, store._patient, store.callbacks(hook, state=Owed.PENDING, before=EVENTS))
    assert "callback_pending" in walks
    for state in (None, Owed.DELIVERED, Owed.FAILED):
        await _walks(store, store._patient, store.callbacks(hook, state=state, before=EVENTS))


async def test_what_came_of_tries_and_replays(fed):
    store, hook = fed
    [first, *_] = await store.owed(hook, limit=2)
    await _walks(store, store._writer, store.called([called(first)]))
    await _walks(store, store._patient, store.callback_attempts(hook, first.position))
    await _walks(store, store._writer, store.replay(hook, Replay((first.position,)), at(1)))
    await _walks(store, store._writer, store.replay(hook, Replay(failed_only=True), at(1)))
    assert "event_in_feed" in await _walks(store, store._writer, store.replay(hook, Replay(since=at(0)), at(1)))


async def test_what_the_console_asks_of_callbacks_and_people(fed):
    store, hook = fed
    await _walks(store, store._patient, store.lately_tried(hook, 60))
    assert "callback_failed" in await _walks(store, store._patient, store.replayable(hook, Replay(failed_only=True)))
    assert "event_in_feed" in await _walks(store, store._patient, store.replayable(hook, Replay(since=at(0))))
    plans = await _plans(store, store._patient, store.people(PeopleSearch(exact=("628111", "777")), 50))
    details = [detail for plan in plans.values() for detail in plan]
    assert not [each for each in details if _bad(each) and not each.startswith("SCAN account")], plans
    assert [each for each in details if "contact_by_phone" in each], "a phone is found by its index"
    await _walks(store, store._patient, store.people(PeopleSearch(name="ani", after=(ACCOUNT, "7")), 50))
    await _walks(store, store._patient, store.people(PeopleSearch(name="ani", account_id=ACCOUNT), 50))
    walks = await _walks(store, store._patient, store.people(PeopleSearch(client_ids=(CLIENT,)), 50))
    assert "contact_by_client" in walks


async def test_taking_in_and_purging(fed):
    store, _ = fed
    told = arrival(heard=heard(phone="628111", aliases=("x",)), reply_token="t", platform_id="m", address="777")
    taken = take_in(store, told, receipts=[receipt(2, "p-1")], poll_offset=(ACCOUNT, 1))
    await _walks(store, store._writer, taken)
    assert "event_by_age" in await _walks(store, store._writer, store.purge(at(-1), 100))


#: What may walk: what asks for all endpoints, what another clause is added to, and the sweep.
_MAY_SCAN = {"_ALL", "_ENDPOINT", "_NO_ORPHANS", "_LIST", "_LIST_NOT_KEPT", "_SELECT", "_SELECT_TEMPLATE", "_STATUSES"}


async def test_no_statement_of_what_comes_in_or_goes_to_clients_walks(fed):
    store, _ = fed
    modules = (
        callbacks,
        erasure,
        events,
        feed,
        inbound,
        people,
        quarantine,
        upkeep,
    )
    found = [(f"{module.__name__}.{name}", each) for module in modules for name, each in vars(module).items()]
    statements = [(name, one) for name, each in found for one in (each if isinstance(each, tuple) else (each,))]
    statements = [
        (name, one)
        for name, one in statements
        if isinstance(one, str) and one.lstrip().startswith(("SELECT", "INSERT", "UPDATE", "DELETE"))
    ]
    assert len(statements) > 80
    for name, statement in statements:
        if name.rpartition(".")[2] in _MAY_SCAN:
            continue
        details = await store._prompt.run(lambda db, one=statement: _explain(db, one))
        walked = [each for each in details if each.startswith("SCAN") and _bad(each)]
        assert not walked, (name, statement, details)
