"""Opening the SQLite store: one process, one schema version, a SQLite that keeps what it commits; and a sweep that sees."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime

import apsw
import pytest

from kurir.store import migrations
from kurir.store.base import Accepted, StoreUnusable
from kurir.store.migrations import Migration
from kurir.store.operations import accept, config, delivery, expiry, parts, reading, receipts, runs, upkeep
from kurir.store.sqlite import SqliteStore, opening
from support.records import CLIENT, new_message, send

pytestmark = pytest.mark.of_sqlite("its file, its pragmas, its plans")

HOLDER = """
import asyncio, sys
from kurir.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    print("open", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def _opened(path):
    store = SqliteStore(path)
    await store.open()
    return store


async def test_a_second_process_is_told_who_has_the_database(tmp_path):
    path = tmp_path / "kurir.db"
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, str(path), stdout=subprocess.PIPE)
    try:
        assert await holder.stdout.readline() == b"open\n"
        with pytest.raises(StoreUnusable, match=rf"held by the process {holder.pid}\b"):
            await SqliteStore(path).open()
    finally:
        holder.send_signal(signal.SIGKILL)
        await holder.communicate()
    store = await _opened(path)  # a killed process holds nothing
    await store.close()


async def test_the_same_process_cannot_open_it_twice(tmp_path):
    store = await _opened(tmp_path / "kurir.db")
    with pytest.raises(StoreUnusable, match=str(os.getpid())):
        await SqliteStore(tmp_path / "kurir.db").open()
    assert isinstance(await store.accept(new_message()), Accepted)
    await store.close()


async def test_an_old_sqlite_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(StoreUnusable, match=r"3\.51\.2 can lose committed writes; 3\.51\.3"):
        await SqliteStore(tmp_path / "kurir.db").open()


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path):
    store = await _opened(tmp_path / "kurir.db")
    await store.close()
    db = apsw.Connection(str(tmp_path / "kurir.db"))
    db.execute("INSERT INTO migration VALUES (99, 'of_the_future', 0)")
    db.close()
    for _ in range(2):  # the lock was given back
        with pytest.raises(StoreUnusable, match="version 99, made by a newer kurir"):
            await SqliteStore(tmp_path / "kurir.db").open()


async def test_a_database_of_somebody_else_is_refused(tmp_path):
    db = apsw.Connection(str(tmp_path / "other.db"))
    db.execute("CREATE TABLE song (name)")
    db.close()
    with pytest.raises(StoreUnusable, match="not one of kurir's"):
        await SqliteStore(tmp_path / "other.db").open()


async def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "kurir.db").write_bytes(b"This is a letter, and no database." * 100)
    with pytest.raises(StoreUnusable, match="cannot be opened"):
        await SqliteStore(tmp_path / "kurir.db").open()


async def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreUnusable, match=re.escape(str(tmp_path / "nowhere"))):
        await SqliteStore(tmp_path / "nowhere" / "kurir.db").open()


def test_only_a_level_of_sqlite_is_taken_as_synchronous(tmp_path):
    with pytest.raises(ValueError, match="FULL"):
        SqliteStore(tmp_path / "kurir.db", synchronous="FULL; DROP TABLE message")


async def test_the_connections_are_set_up_as_promised(tmp_path):
    store = await _opened(tmp_path / "kurir.db")
    wanted = {"journal_mode": "wal", "synchronous": 2, "mmap_size": 0, "foreign_keys": 1}
    for name, value in wanted.items():
        assert await store._writer.run(lambda db, name=name: db.pragma(name)) == value
    assert await store._prompt.run(lambda db: db.pragma("query_only")) == 1
    await store.close()


async def test_what_the_database_creates_is_for_its_owner_only(tmp_path):
    umask = os.umask(0o022)
    try:
        store = await _opened(tmp_path / "kurir.db")
        await send(store, "p-1")
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        await store.close()
    finally:
        os.umask(umask)
    assert modes == dict.fromkeys(("kurir.db", "kurir.db-wal", "kurir.db-shm", "kurir.db.lock"), 0o600)


async def test_the_mode_of_a_file_that_is_there_is_left_alone(tmp_path):
    path = tmp_path / "kurir.db"
    store = await _opened(path)
    await store.close()
    path.chmod(0o640)
    store = await _opened(path)
    await send(store, "p-1")
    assert {path.stat().st_mode & 0o777, (tmp_path / "kurir.db-wal").stat().st_mode & 0o777} == {0o640}
    await store.close()


# --- migrations -----------------------------------------------------------------------------------------------------------


def test_the_migrations_are_numbered_without_a_gap():
    steps = migrations.load("sqlite")
    assert [step.version for step in steps] == list(range(1, len(steps) + 1))


def _steps(second):
    known = migrations.load("sqlite")
    return (*known, Migration(len(known) + 1, "second", second))


async def test_a_migration_runs_once_and_keeps_what_is_there(tmp_path, monkeypatch):
    store = await _opened(tmp_path / "kurir.db")
    message = await send(store, "p-1")
    await store.close()
    steps = _steps("CREATE TABLE added (a TEXT); SELECT 1; INSERT INTO meta VALUES ('second', 'ran')")
    monkeypatch.setattr(opening.migrations, "load", lambda _: steps)
    for _ in range(2):
        store = await _opened(tmp_path / "kurir.db")
        assert await store.meta("second") == "ran"
        assert (await store.message(CLIENT, message.tid)).status == 1
        await store.close()


async def test_a_database_of_the_first_schema_is_brought_up_to_date_with_its_rows(tmp_path):
    path = tmp_path / "kurir.db"
    steps = migrations.load("sqlite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening.migrations, "load", lambda _: steps[:1])
        db = opening.connect_writer(path, "FULL", None)
        opening.migrate(db, path, datetime(2026, 1, 1, tzinfo=UTC))
    db.execute("INSERT INTO client VALUES ('acme', 'acme', 'x', 'ID', 86400, 1, 1, 1000000)")
    columns = "id, client_id, channel, api_base, sealed, options, is_default, position, enabled, declared, changed_at"
    db.execute(f"INSERT INTO account ({columns}) VALUES ('a', 'acme', 'line', '', x'00', '{{}}', 1, 0, 1, 1, 1000000)")
    db.close()
    store = await _opened(path)
    (client,), (account,) = await store.clients(), await store.accounts()
    assert (client.previous_hash, client.previous_until, client.allow_from, client.last_used_at) == ("", None, (), None)
    assert account.sealed_at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert await store.users() == []
    await store.close()


async def test_a_migration_that_fails_leaves_the_older_version(tmp_path, monkeypatch):
    store = await _opened(tmp_path / "kurir.db")
    await store.close()
    steps = _steps("CREATE TABLE added (a); SELECT no_such_function()")
    with monkeypatch.context() as patch:
        patch.setattr(opening.migrations, "load", lambda _: steps)
        with pytest.raises(StoreUnusable, match="no_such_function"):
            await SqliteStore(tmp_path / "kurir.db").open()
    store = await _opened(tmp_path / "kurir.db")
    assert await store._prompt.run(lambda db: list(db.execute("SELECT max(version) FROM migration"))) == [
        (len(steps) - 1,)
    ]
    assert (
        await store._prompt.run(lambda db: list(db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'added'"))) == []
    )
    await store.close()


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from kurir.store import migrations
from kurir.store.sqlite import opening

path = Path(sys.argv[1])
db = opening.connect_writer(path, "FULL", None)
db.create_scalar_function("die", lambda: os.kill(os.getpid(), signal.SIGKILL))
statements = migrations.load("sqlite")[0].sql.split(";\\n")
cut = int(sys.argv[2])
sql = ";\\n".join([*statements[:cut], "SELECT die()", *statements[cut:]])
migrations.load = lambda _: (migrations.Migration(1, "first", sql),)
opening.migrate(db, path, datetime.now(UTC))
"""


@pytest.mark.parametrize("statement", [1, 5, 12, 20, 30])
async def test_a_kill_in_the_middle_of_a_migration_leaves_the_older_version(tmp_path, statement):
    path = tmp_path / "kurir.db"
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(path), str(statement))
    assert await killed.wait() == -signal.SIGKILL
    db = apsw.Connection(str(path))
    assert list(db.execute("SELECT name FROM sqlite_schema")) == []
    db.close()
    store = await _opened(path)
    assert isinstance(await store.accept(new_message()), Accepted)
    await store.close()


# --- the sweep ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("UPDATE message SET queued = 1", "queued with status 1"),
        ("UPDATE message SET queued = 1, status = 0, ended_at = NULL", "all its 1 parts are answered"),
        ("UPDATE message SET status = 2", "its parts say"),
        ("UPDATE message SET status = 2", "its last event says 1"),
        ("UPDATE message SET status = 0, ended_at = NULL, parts_total = 2", "is not queued"),
        ("UPDATE message SET ended_at = NULL", "does not go with its place"),
        ("UPDATE message SET reason_code = 'x'", "waits for a reason"),
        ("UPDATE message SET error_code = 'x'", "has an error"),
        ("UPDATE part SET status = 3", "its parts say"),
        ("UPDATE part SET phase = 'in_flight', status = NULL, run = 0", "in flight in the run 0"),
        ("UPDATE part SET status = NULL", "has the status none"),
        ("UPDATE part SET number = 4", "is not among its 1 parts"),
        ("UPDATE part SET answered_at = NULL", "answered at no time"),
        ("UPDATE part SET platform_ids = '[\"p-9\"]'", "leads nowhere"),
        ("DELETE FROM event", "its last event says 0"),
        ("UPDATE event SET previous = 2", "does not begin where"),
        ("DELETE FROM idempotency", "has no idempotency key"),
        ("DELETE FROM message", "belongs to no message"),
        ("PRAGMA foreign_keys = OFF; DELETE FROM message", "has no message"),
        (
            "INSERT INTO early_receipt VALUES (1, 'acme-fb', 'p-1', '', '', 2, 0, NULL, NULL, NULL, '', 0)",
            "still waits for a send",
        ),
    ],
)
async def test_the_sweep_sees_a_broken_rule(tmp_path, damage, sentence):
    store = await _opened(tmp_path / "kurir.db")
    await send(store, "p-1")
    assert await store.broken_invariants() == []
    await store.close()
    db = apsw.Connection(str(tmp_path / "kurir.db"))
    db.execute("PRAGMA foreign_keys = ON")
    db.execute(damage)
    db.close()
    store = await _opened(tmp_path / "kurir.db")
    broken = await store.broken_invariants()
    await store.close()
    assert any(sentence in each for each in broken), broken


# --- plans ----------------------------------------------------------------------------------------------------------------

#: What may walk through a whole table: small tables, the queue, the sweep, and what another clause is added to.
_MAY_SCAN = {"_TAKE_SEQ", "_CLIENTS", "_ACCOUNTS", "_DEPTHS", "_STATUSES", "_LIST_WITH_ID"}


async def test_no_statement_walks_through_a_large_table(tmp_path):
    """Every statement of the store finds its rows by an index, without statistics and in an empty database."""
    store = await _opened(tmp_path / "kurir.db")
    modules = (
        accept,
        delivery,
        expiry,
        parts,
        reading,
        receipts,
        upkeep,
        config,
        runs,
    )
    statements = [
        (name, text)
        for module in modules
        for name, text in vars(module).items()
        if isinstance(text, str) and text.strip().startswith(("SELECT", "INSERT", "UPDATE", "DELETE"))
    ]
    assert len(statements) > 60
    for name, text in statements:
        plan = await store._writer.run(lambda db, text=text: _plan(db, text))
        assert name in _MAY_SCAN or not any(step.startswith("SCAN") for step in plan), (name, plan)
    plan = await store._writer.run(lambda db: _plan(db, delivery._QUEUE))
    assert plan == [
        "SEARCH message USING INDEX message_in_queue (account_id=? AND priority=? AND seq>?)",
        "SEARCH content USING INTEGER PRIMARY KEY (rowid=?)",
    ]
    for statement in (expiry._NOT_BEGUN, expiry._ABANDONED):
        plan = await store._writer.run(lambda db, text=statement: _plan(db, text))
        assert plan[0] == "SEARCH message USING INDEX message_by_expiry (expires_at<?)"
    plan = await store._writer.run(lambda db: _plan(db, expiry._UNTOLD))
    assert plan[0] == "SEARCH part USING COVERING INDEX part_without_receipt (answered_at<?)"
    plan = await store._writer.run(lambda db: _plan(db, reading._LIST_WITH_ID + reading._WITH_ID + reading._NEWEST))
    assert plan[0] == "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)"
    await store.close()


def _plan(db, statement):
    return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", (None,) * statement.count("?"))]
