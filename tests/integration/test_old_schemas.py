"""A database that was written under the first schema is brought to the newest with everything that is in it."""

from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

from kurir.store import GatewayStore, migrations
from kurir.store.base import Accepted, MessageFilter
from kurir.store.looking import Search
from kurir.store.postgres import PostgresStore
from kurir.store.sqlite import SqliteStore
from kurir.store.sqlite.opening import connect_writer, migrate
from support import postgres
from support.furnished import furnish
from support.records import CLIENT, T0, new_message

VERSIONS = sorted(postgres.servers(), key=int)

#: What is copied: the tables of the first schema with their columns.
_COLUMNS = """
SELECT c.relname::text, array_agg(quote_ident(a.attname) ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND c.relname <> 'migration' GROUP BY c.relname
"""
_SEQUENCES = "SELECT sequencename::text, last_value FROM pg_sequences WHERE last_value IS NOT NULL"


def first_only(monkeypatch: pytest.MonkeyPatch) -> None:
    load = migrations.load
    monkeypatch.setattr(migrations, "load", lambda dialect: load(dialect)[:1])


async def what_is_there(store: GatewayStore) -> Any:
    """What the newest kurir says of everything that the first schema could hold."""
    return {
        "clients": await store.clients(),
        "accounts": await store.accounts(),
        "messages": await store.messages(CLIENT, MessageFilter(), limit=1000),
        "events": await store.events(CLIENT, after=0, limit=1000),
        "endpoints": await store.all_endpoints(),
        "quarantined": await store.quarantined(limit=1000),
        "people": await store.contacts(CLIENT),
    }


async def goes_on(store: GatewayStore) -> None:
    """What came with later schemas works over what is old: a search by words; and what is new is taken."""
    while await store.index_words(100):
        pass
    old = (await store.search(Search(), 1000)).rows
    assert old
    answer = await store.accept(new_message(message_id="after the upgrade"))
    assert isinstance(answer, Accepted)
    assert not answer.replayed
    assert (await store.search(Search(), 1)).rows[0].tid == answer.tid
    found = {row.tid for row in (await store.search(Search(words="hello"), 1000)).rows}
    assert answer.tid in found
    assert found & {row.tid for row in old}


async def test_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = SqliteStore(tmp_path / "newest.db", synchronous="OFF")
    await newest.open()
    await furnish(newest)
    wanted = await what_is_there(newest)
    await newest.close()
    old = tmp_path / "old.db"
    with monkeypatch.context() as only:
        first_only(only)
        old.touch()
        db = connect_writer(old, "OFF", None)
        migrate(db, old, T0)
    copy_sqlite(db, tmp_path / "newest.db")
    db.close()
    store = SqliteStore(old, synchronous="OFF")
    await store.open()
    assert await what_is_there(store) == wanted
    await goes_on(store)
    await store.close()


def copy_sqlite(db: apsw.Connection, source: Path) -> None:
    db.pragma("foreign_keys", value=False)
    db.execute("ATTACH ? AS source", (str(source),))
    tables = (
        "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'migration'"
    )
    for (table,) in list(db.execute(tables)):
        columns = ", ".join(f'"{row[1]}"' for row in db.execute(f"PRAGMA main.table_info({table})"))
        db.execute(f"INSERT OR REPLACE INTO main.{table} ({columns}) SELECT {columns} FROM source.{table}")
    db.execute("DETACH source")


@pytest.mark.skipif(not VERSIONS, reason="no PostgreSQL is installed here")
@pytest.mark.parametrize("version", VERSIONS)
async def test_postgresql(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = postgres.shared(version)
    source, old = await postgres.new_database(cluster), await postgres.new_database(cluster)
    newest = PostgresStore(source)
    await newest.open()
    await furnish(newest)
    wanted = await what_is_there(newest)
    await newest.close()
    first = migrations.load("postgres")[0]
    there, here = await asyncpg.connect(source), await asyncpg.connect(old)
    await here.execute(
        "CREATE TABLE migration (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)"
    )
    await here.execute(first.sql)
    await here.execute("INSERT INTO migration VALUES ($1, $2, 0)", first.version, first.name)
    await copy_postgres(there, here)
    await there.close()
    await here.close()
    store = PostgresStore(old)
    await store.open()
    assert await what_is_there(store) == wanted
    await goes_on(store)
    await store.close()


async def copy_postgres(there: asyncpg.Connection, here: asyncpg.Connection) -> None:
    await here.execute("SET session_replication_role = replica")  # foreign keys hold when all is there
    for table, columns in await here.fetch(_COLUMNS):
        rows = await there.fetch(f"SELECT {', '.join(columns)} FROM {table}")
        await here.execute(f"DELETE FROM {table}")
        names = [each.strip('"') for each in columns]
        await here.copy_records_to_table(table, records=[tuple(row) for row in rows], columns=names)
    for sequence, last in await there.fetch(_SEQUENCES):
        if await here.fetchval("SELECT to_regclass($1) IS NOT NULL", sequence):
            await here.execute(f"SELECT setval('{sequence}', {last})")
