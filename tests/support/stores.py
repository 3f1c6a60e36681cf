"""The store that tests run on where they do not say which: SQLite, or the PostgreSQL that KURIR_TEST_STORE names.

``KURIR_TEST_STORE=postgres15 ./dev test tests/integration`` runs the integration tests over PostgreSQL.
"""

import os
from pathlib import Path

from kurir.store import GatewayStore
from kurir.store.postgres import PostgresStore
from kurir.store.sqlite import SqliteStore
from support import postgres

CHOSEN = os.environ.get("KURIR_TEST_STORE", "sqlite")


async def store_of(folder: Path) -> GatewayStore:
    """Return a store for a test that has *folder*, not open; the same database for the same folder."""
    if CHOSEN == "sqlite":
        return SqliteStore(folder / "kurir.db")
    cluster = postgres.shared(CHOSEN.removeprefix("postgres"))
    return PostgresStore(await postgres.database_of(cluster, folder))
