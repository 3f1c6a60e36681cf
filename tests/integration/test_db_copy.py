"""Copying a SQLite database to PostgreSQL: whole, the same, from where it was broken off, and never into the wrong place."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

from kurir.store import copying
from kurir.store.base import Accepted, StoreUnusable
from kurir.store.copying import CopyError, CopyStopped, Outcome
from kurir.store.inbound import Unread
from kurir.store.postgres import PostgresStore, copies
from kurir.store.sqlite import SqliteStore, backup
from support import postgres
from support.bodies import body
from support.furnished import WORDS, furnish, furnished
from support.records import ACCOUNT, DECLARED, T0, at, new_message, send
from support.servers import running
from support.sweeps import sweep

VERSIONS = sorted(postgres.servers(), key=int)
pytestmark = pytest.mark.skipif(not VERSIONS, reason="no PostgreSQL is installed here")
NEWEST = VERSIONS[-1] if VERSIONS else ""


@pytest.fixture
async def dsn() -> str:
    """An empty PostgreSQL."""
    return await postgres.new_database(postgres.shared(NEWEST))


@pytest.fixture
async def source(tmp_path) -> Path:
    """A SQLite database with something in every table, that nobody has open."""
    return await furnished(tmp_path / "kurir.db")


async def _filled(path: Path, fill: Callable[[SqliteStore], Awaitable[None]]) -> Path:
    store = SqliteStore(path, synchronous="OFF")
    await store.open()
    await fill(store)
    await sweep(store)
    await store.close()
    return path


def _said_nothing(_what: str, _done: int, _total: int) -> None:
    pass


async def _copy(path: Path, dsn: str, tell: copying.Tell = _said_nothing, stop: asyncio.Event | None = None) -> Outcome:
    return await copying.copy(path, dsn, tell, at=T0, stopping=stop or asyncio.Event())


def _tables(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return table → its rows, of all tables but SQLite's own, the list of migrations and the index of words."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    names = [name for name in names if name not in ("sqlite_sequence", "migration") and not name.startswith("words")]
    found = {name: list(db.execute(f"SELECT * FROM {name}")) for name in names}
    db.close()
    found["followed"] = [row for row in found["followed"] if row[0] != "words"]
    return found


async def _rows(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def _do(dsn: str, statement: str) -> None:
    await _rows(dsn, statement)


def _do_here(path: Path, statement: str, *bindings: Any) -> None:
    db = apsw.Connection(str(path))
    db.execute(statement, bindings)
    db.close()


def _comparable(rows: list[tuple[Any, ...]]) -> list[str]:
    """Return rows so that two databases can be compared: sorted, and JSON without its blanks."""
    return sorted(repr(tuple(_bare(value) for value in row)) for row in rows)


def _bare(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("["):
        return json.dumps(json.loads(value))
    return value


async def _same(path: Path, dsn: str) -> None:
    for name, rows in _tables(path).items():
        columns = ", ".join(
            column for _, column, *_ in apsw.Connection(str(path)).execute(f"PRAGMA table_info({name})")
        )
        there = await _rows(dsn, f"SELECT {columns} FROM {name}")
        assert _comparable(there) == _comparable([row for row in rows if row[0] != "moved_to"]), name


# --- whole, and the same -------------------------------------------------------------------------------------------------


async def test_every_table_is_copied_and_a_gateway_can_go_on(source, dsn):
    before = _tables(source)
    assert all(before.values()), "each table of the schema has rows: one that is added to it must be filled here too"
    outcome = await _copy(source, dsn)
    assert {one.table: one.rows for one in outcome.tables} == {name: len(rows) for name, rows in before.items()}
    assert len({one.checksum for one in outcome.tables}) == len(before), "no two tables have the same rows"
    await _same(source, dsn)
    store = PostgresStore(dsn)
    await store.open()
    assert await store.meta("words") == WORDS
    await send(store, "p-new")
    (last,) = [row[0] for row in await _rows(dsn, "SELECT id FROM attempt ORDER BY seq DESC LIMIT 1")]
    assert last > max(row[0] for row in before["attempt"])
    await sweep(store)
    await store.close()


async def test_what_is_copied_stands_in_ranges_also_after_a_leap(source, dsn):
    """There are few of them, though the numbers leapt when the file was restored."""
    _do_here(source, "UPDATE sqlite_sequence SET seq = seq + ? WHERE name IN ('message', 'event')", backup.LEAP)
    store = await _opened(source)
    await send(store, "p-leapt")
    await store.close()
    await _copy(source, dsn)
    for table in ("content", "attempt", "event", "callback", "callback_attempt"):
        assert await _rows(dsn, f"SELECT 1 FROM {table}_rest") == [], table
    found = await _rows(
        dsn, "SELECT kind, count(*), max(upper) > 1000000000 FROM key_range GROUP BY kind ORDER BY kind"
    )
    assert found == [("event", copying.RANGES, True), ("message", copying.RANGES, True)]


async def test_numbers_that_were_given_out_are_not_given_again(tmp_path, dsn):
    async def fill(store: SqliteStore) -> None:
        await store.declare(DECLARED, T0)
        for _ in range(5):
            await send(store)
            await store.quarantine(Unread(ACCOUNT, os.urandom(8), "why", at(1)))
        for number in range(1, 6):
            await store.release(number)
        while (await store.purge(at(10_000_000), 100)).more:
            pass

    path = await _filled(tmp_path / "kurir.db", fill)
    assert not _tables(path)["message"], "the highest numbers are of rows that are gone"
    await _copy(path, dsn)
    store = PostgresStore(dsn)
    await store.open()
    await send(store, "p-new")
    assert await store.quarantine(Unread(ACCOUNT, b"new", "why", at(1))) == 6
    assert await _rows(dsn, "SELECT seq, (SELECT min(position) FROM event) FROM message") == [(6, 6)]
    await store.close()


async def test_a_nul_is_taken_out_as_it_is_where_texts_come_in(source, dsn):
    _do_here(source, "UPDATE contact SET name = ? WHERE address = '777'", "A\0n\0i")
    _do_here(
        source, "UPDATE part SET platform_ids = ? WHERE platform_ids LIKE '%p-last%'", '["p-last", "\\u0000x\\\\u0000"]'
    )
    _do_here(source, "INSERT INTO platform_id VALUES (?, ?, 'tid', 1, '', '', '', NULL)", ACCOUNT, "x\\u0000")
    outcome = await _copy(source, dsn)
    assert outcome.mended == 2
    assert await _rows(dsn, "SELECT name FROM contact WHERE address = '777'") == [("Ani",)]
    assert await _rows(dsn, "SELECT platform_ids ->> 1 FROM part WHERE platform_ids ->> 0 = 'p-last'") == [
        ("x\\u0000",)
    ]


async def test_a_rule_that_was_broken_before_is_told_and_stops_nothing(source, dsn):
    _do_here(source, "UPDATE endpoint SET paused_at = 1, paused_reason = ''")
    outcome = await _copy(source, dsn)
    assert len(outcome.broken) == 2
    assert all("is paused and says not why" in sentence for sentence in outcome.broken)


# --- broken off ----------------------------------------------------------------------------------------------------------


class _Broken(BaseException):
    """The process is gone."""


async def test_a_copy_that_breaks_off_again_and_again_goes_on_from_where_it_was(source, dsn, monkeypatch):
    """Each run gets three batches further, of two rows each; none is copied twice, none is left out."""
    monkeypatch.setattr(copying, "BATCH_ROWS", 2)
    batches: list[str] = []

    def break_off(what: str, _done: int, _total: int) -> None:
        batches.append(what)
        if what.startswith("copying") and len(batches) == 3:
            raise _Broken

    runs, outcome = 0, None
    while outcome is None:
        runs += 1
        batches.clear()
        with suppress(_Broken):
            outcome = await _copy(source, dsn, break_off)
    assert runs > 10
    assert outcome.begun
    await _same(source, dsn)
    assert await _rows(dsn, "SELECT to_regclass('kurir_copy')") == [(None,)]


async def test_a_copy_that_is_killed_goes_on_from_where_it_was(tmp_path, dsn):
    """The process waits for a lock that the test has on a table in the middle, and is ended by SIGKILL there."""

    async def fill(store: SqliteStore) -> None:
        await furnish(store)
        await asyncio.gather(*(store.accept(new_message()) for _ in range(500)))

    source = await _filled(tmp_path / "kurir.db", fill)
    store = PostgresStore(dsn)
    await store.open()
    await store.close()
    holder = await asyncpg.connect(dsn)
    await holder.execute("BEGIN; LOCK TABLE part IN SHARE MODE")
    command = (sys.executable, "-m", "kurir", "db", "copy", "--from", str(source), "--to", dsn)
    process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(60):
            while not await _rows(dsn, "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'part'::regclass"):
                assert process.returncode is None, await process.stderr.read()
                await asyncio.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.communicate()
    assert await holder.fetchval("SELECT count(*) FROM message") > 500
    assert await holder.fetchval("SELECT done FROM kurir_copy_table WHERE name = 'message'")
    with pytest.raises(StoreUnusable, match="a copy into this database was begun and has not ended"):
        await PostgresStore(dsn).open()
    await holder.execute("COMMIT")
    await holder.close()
    told: list[str] = []
    outcome = await _copy(source, dsn, lambda what, *_: told.append(what))
    assert outcome.begun
    assert "copying message" not in told, "not once more"
    assert "copying part" in told
    await _same(source, dsn)


async def test_a_copy_that_is_asked_to_stop_does_so_after_a_batch(source, dsn):
    stop = asyncio.Event()

    def tell(what: str, _done: int, _total: int) -> None:
        if what == "copying message":
            stop.set()

    with pytest.raises(CopyStopped, match="the same command goes on from there"):
        await _copy(source, dsn, tell, stop)
    assert not backup.look(source).moved, "until the end the file can be used again"
    assert (await _copy(source, dsn)).begun
    await _same(source, dsn)


async def test_a_kill_between_the_two_last_commits_leaves_nothing_to_be_repaired_by_hand(source, dsn, monkeypatch):
    async def gone(_connection: object) -> None:
        raise OSError("the network went away")

    with monkeypatch.context() as patched:
        patched.setattr(copies, "end", gone)
        with pytest.raises(CopyError, match="the network went away; what is copied stays"):
            await _copy(source, dsn)
    assert backup.look(source).moved, "no gateway starts on the file"
    with pytest.raises(StoreUnusable, match="has not ended"):
        await PostgresStore(dsn).open()
    await _copy(source, dsn)
    store = PostgresStore(dsn)
    await store.open()
    await store.close()


async def test_a_difference_is_found_and_nothing_is_moved(source, dsn):
    stop = asyncio.Event()

    def tell(what: str, _done: int, _total: int) -> None:
        if what.startswith("reading event in PostgreSQL"):
            stop.set()

    with pytest.raises(CopyStopped):
        await _copy(source, dsn, tell, stop)
    await _do(dsn, "UPDATE event SET at = at + 1 WHERE position = (SELECT max(position) FROM event)")
    with pytest.raises(
        CopyError, match=r"does not hold the same as .*: event \(11 rows, [0-9a-f]{32} in the file; 11, "
    ):
        await _copy(source, dsn)
    assert not backup.look(source).moved
    store = await _opened(source)
    await store.close()


async def _opened(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    await store.open()
    return store


# --- refused -------------------------------------------------------------------------------------------------------------


async def test_a_file_that_was_moved_is_not_started_until_it_is_reopened(source, dsn):
    await _copy(source, dsn)
    with pytest.raises(StoreUnusable, match=r"was copied to PostgreSQL at 2026-03-01T12:00:00Z.*kurir db reopen"):
        await SqliteStore(source).open()
    with pytest.raises(CopyError, match=r"was moved to 127\.0\.0\.1:.* already"):
        await _copy(source, dsn)
    last = max(row[0] for row in _tables(source)["event"])
    assert backup.reopen(source, at(70), hold=True) == (ACCOUNT, "globex-fb")
    store = await _opened(source)
    assert all(one.paused_at is not None for one in await store.accounts())
    await send(store, "p-new")
    assert max(row[0] for row in _tables(source)["event"]) >= last + backup.LEAP
    await sweep(store)
    await store.close()
    assert backup.reopen(source, at(70)) is None


async def test_a_file_that_a_gateway_has_is_left_to_it(source, dsn):
    store = await _opened(source)
    with pytest.raises(StoreUnusable, match=f"held by the process {os.getpid()}"):
        await _copy(source, dsn)
    await store.close()


async def test_a_file_that_was_written_to_meanwhile_is_told_from_the_one_that_was_begun(source, dsn, tmp_path):
    stop = asyncio.Event()
    with pytest.raises(CopyStopped):
        await _copy(source, dsn, lambda *_: stop.set(), stop)
    other = await furnished(tmp_path / "other.db")
    with pytest.raises(
        CopyError, match=r"a copy of .*/kurir.db was begun .*other.db is another file, or was written to"
    ):
        await _copy(other, dsn)
    store = await _opened(source)
    assert isinstance(await store.accept(new_message()), Accepted)
    await store.close()
    with pytest.raises(CopyError, match="was written to since"):
        await _copy(source, dsn)


async def test_a_database_that_is_in_use_is_left_alone(source, dsn):
    store = PostgresStore(dsn)
    await store.open()
    await store.declare(DECLARED, T0)
    await store.close()
    with pytest.raises(CopyError, match="is in use: its table account has rows"):
        await _copy(source, dsn)
    assert await _rows(dsn, "SELECT to_regclass('kurir_copy')") == [(None,)]


async def test_a_database_of_somebody_else_is_left_alone(source, dsn):
    await _do(dsn, "CREATE TABLE invoices (id BIGINT)")
    with pytest.raises(StoreUnusable, match="give kurir one of its own"):
        await _copy(source, dsn)


async def test_two_copies_at_once_take_turns_or_are_refused(source, dsn, tmp_path, monkeypatch):
    monkeypatch.setattr(copying, "PATIENCE_SECONDS", 0.0)
    holder = await asyncpg.connect(dsn)
    assert await holder.fetchval(f"SELECT pg_try_advisory_lock({copying._LOCK}, 0)")
    with pytest.raises(CopyError, match=r"another copy into .* is under way"):
        await _copy(source, dsn)
    await holder.close()


async def test_an_older_schema_is_brought_up_first(source, dsn, monkeypatch):
    one = copying.migrations.load("sqlite")
    monkeypatch.setattr(copying.migrations, "load", lambda _dialect: (*one, one[0]))
    with pytest.raises(CopyError, match="run kurir db migrate first"):
        await _copy(source, dsn)


async def test_a_database_that_is_not_reached_is_said_so_without_its_password(source):
    with pytest.raises(CopyError) as told:
        await _copy(source, "postgresql://kurir:hush-hush@127.0.0.1:1/kurir")
    assert str(told.value).startswith("127.0.0.1:1/kurir: ")
    assert "hush" not in str(told.value)
    with pytest.raises(CopyError, match="in a user name or password write / as %2F") as told:
        await _copy(source, "postgresql://kurir:hush/hush@127.0.0.1/kurir")
    assert "hush" not in str(told.value)


async def test_what_is_no_database_is_said_so(tmp_path, dsn):
    with pytest.raises(CopyError, match="there is no database at"):
        await _copy(tmp_path / "kurir.db", dsn)
    assert list(tmp_path.iterdir()) == []


# --- an installation ------------------------------------------------------------------------------------------------------


def _slow(document: dict[str, Any]) -> None:
    for account in document["clients"]["demo"]["accounts"]:
        account["rate"] = {"recipient": "1/600s burst 1"}


async def test_a_gateway_goes_on_in_postgresql_with_what_was_queued(tmp_path, dsn):
    """Order, keys, tokens, the feed and its cursor: nobody sees from outside that the database is another one."""
    messages = [body("text", recipient="tg:1001") for _ in range(5)]
    async with running(tmp_path, store=SqliteStore(tmp_path / "kurir.db"), edit=_slow) as gateway:
        tids = [(await gateway.send("telegram", message))[2]["data"]["tid"] for message in messages[:4]]
        await gateway.until(tids[0], 1)
        async with gateway.session.get(f"{gateway.url}/v1/events") as answer:
            feed = await answer.json()
    assert await _copy(tmp_path / "kurir.db", dsn)
    store = PostgresStore(dsn)

    def quick(document: dict[str, Any]) -> None:
        for account in document["clients"]["demo"]["accounts"]:
            account["rate"] = {"recipient": "none"}

    async with running(tmp_path, store=store, edit=quick) as gateway:
        for message in messages:
            status, headers, answer = await gateway.send("telegram", message)
            assert status == 200
            tids.append(answer["data"]["tid"])
        assert headers.get("Idempotent-Replayed") is None, "the last one is new"
        assert tids[:4] == tids[4:8], "the others are known"
        for tid in tids:
            await gateway.until(tid, 1)
        async with gateway.session.get(f"{gateway.url}/v1/events?after={feed['next']}") as answer:
            after = await answer.json()
    assert [event["data"]["tid"] for event in after["data"]] == [*tids[1:4], tids[8]], "in their order, each once"
    assert [event["data"]["tid"] for event in feed["data"]] == tids[:1]
