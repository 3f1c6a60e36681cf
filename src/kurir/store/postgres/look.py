"""What a PostgreSQL database says of itself, before anybody works on it. Nothing is changed."""

from dataclasses import dataclass
from typing import Final

import asyncpg

from kurir.store import migrations
from kurir.store.base import StoreUnusable
from kurir.store.postgres import copies
from kurir.store.postgres.hosts import Hosts
from kurir.store.postgres.place import hushed, place_of

_SERVER: Final = {"application_name": "kurir db", "statement_timeout": "30000"}  # milliseconds
_ABOUT: Final = """
SELECT current_setting('server_version'), pg_database_size(current_database()), to_regclass('migration') IS NOT NULL,
    EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p'))
"""
_VERSION: Final = "SELECT coalesce(max(version), 0) FROM migration"
_NODES: Final = "SELECT count(*) FROM node WHERE until_at > clock_timestamp()"


@dataclass(frozen=True, slots=True)
class Look:
    """What it says. ``version`` of its schema, 0 for none yet; ``size`` in bytes; ``nodes`` that renewed themselves lately."""

    server: str
    version: int
    size: int
    nodes: int
    begun: copies.Begun | None


async def look(dsn: str) -> Look:
    """Return what the database at *dsn* says of itself.

    Raises StoreUnusable where it is not reached, holds somebody else's tables, or is of a newer kurir; its sentence has no
    password.
    """
    try:
        place = place_of(dsn)
        connection, _ = await Hosts(dsn).connect(server_settings=_SERVER)
    except ValueError as error:
        raise StoreUnusable(str(error)) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        told = hushed(f"{type(error).__name__}: {error}".rstrip(": "), dsn)
        raise StoreUnusable(f"PostgreSQL at {place} cannot be used: {told}") from error
    try:
        about = await connection.fetch(_ABOUT)
        server, size, ours, inhabited = about[0]
        if inhabited and not ours:
            raise StoreUnusable(f"{place} has tables that are not kurir's; give kurir a database of its own")
        version = await connection.fetchval(_VERSION) if ours else 0
        known = len(migrations.load("postgres"))
        if version > known:
            raise StoreUnusable(
                f"{place} has the schema version {version}, made by a newer kurir; this one knows versions to {known}"
            )
        nodes = await connection.fetchval(_NODES) if version else 0
        return Look(server, version, size, nodes, await copies.begun(connection))
    finally:
        connection.terminate()
