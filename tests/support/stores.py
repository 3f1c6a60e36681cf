"""The store that tests run on where they do not say which: SQLite, or the PostgreSQL that KURIR_TEST_STORE names.

``KURIR_TEST_STORE=postgres15 ./dev test tests/integration`` runs the integration tests over PostgreSQL. What is about SQLite
alone says so by the marker ``of_sqlite``, and is left out there.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kurir.store import GatewayStore
from kurir.store.base import NewMessage
from kurir.store.database import EVERYBODY, Database
from kurir.store.operations import accept
from kurir.store.postgres import PostgresStore
from kurir.store.sqlite import SqliteStore
from support import postgres

CHOSEN = os.environ.get("KURIR_TEST_STORE", "sqlite")
#: The class of that store: a test that counts what is asked of a store, or lets it fail, has a class of its own above it.
STORE: Any = SqliteStore if CHOSEN == "sqlite" else PostgresStore


async def store_of(folder: Path, kind: Callable[[Any], GatewayStore] | None = None) -> Any:
    """Return a store for a test that has *folder*, not open; the same database for the same folder. *kind* is above STORE."""
    if CHOSEN == "sqlite":
        return (kind or SqliteStore)(folder / "kurir.db")
    dsn = await postgres.database_of(postgres.shared(CHOSEN.removeprefix("postgres")), folder)
    return (kind or PostgresStore)(dsn)


async def accept_all(store: Any, messages: Sequence[NewMessage]) -> None:
    """Accept many messages in the quickest way that the store has: one transaction, or rows in arrays."""
    if isinstance(store, SqliteStore):
        await store._write(EVERYBODY, lambda db: [accept.accept(db, message) for message in messages])
    else:
        for start in range(0, len(messages), 1000):  # fewer than may wait
            await asyncio.gather(*map(store.accept, messages[start : start + 1000]))
        async with store._connected() as connection:
            await connection.execute(
                "ANALYZE"
            )  # as the server does by itself within a minute: the sweep's plans need it


async def change(store: Any, statement: str) -> None:
    """Run a statement over the whole database that no operation has, such as one that makes everything old."""
    await store._write(EVERYBODY, lambda db: db.execute(statement).fetchall())


async def everything(store: Any) -> list[str]:
    """Return every row of every table, as «table (columns)»."""
    tables = (
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if isinstance(store, SqliteStore)
        else "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    )

    def read(db: Database) -> list[str]:
        names = [name for (name,) in db.execute(tables).fetchall()]
        return [f"{name} {tuple(row)!r}" for name in names for row in db.execute(f"SELECT * FROM {name}").fetchall()]

    found: list[str] = await store._study(read)
    return found
