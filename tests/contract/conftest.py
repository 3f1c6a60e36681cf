"""The stores under the contract. A second one is a second entry of STORES."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from kurir.store import GatewayStore
from kurir.store.postgres import PostgresStore
from kurir.store.sqlite import SqliteStore
from support import postgres
from support.records import DECLARED, T0
from support.sweeps import sweep


class Make(Protocol):
    """Makes a store that is not open yet. ``durable=False``: for tests of what is stored, and not of when it is on disk."""

    async def __call__(self, folder: Path, *, durable: bool = True) -> GatewayStore: ...


async def _sqlite(folder: Path, *, durable: bool = True) -> GatewayStore:
    return SqliteStore(folder / "kurir.db", synchronous="FULL" if durable else "OFF")


def _postgres(version: str) -> Make:
    async def make(folder: Path, *, durable: bool = True) -> GatewayStore:
        return PostgresStore(await postgres.database_of(postgres.shared(version), folder))

    return make


#: Each test has a folder, and so a database, of its own.
STORES: dict[str, Make] = {"sqlite": _sqlite} | {
    f"postgres{version}": _postgres(version) for version in postgres.servers()
}


#: The older versions of PostgreSQL run what is quick: what is slow is slow on each of them.
OLDER = tuple(f"postgres{version}" for version in sorted(postgres.servers(), key=int)[:-1])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the slow tests of the contract to SQLite and the newest PostgreSQL; KURIR_TIER=N runs them on all."""
    if os.environ.get("KURIR_TIER") == "N":
        return
    out = [
        item
        for item in items
        if any(f"[{name}" in item.name or f"-{name}" in item.name for name in OLDER)
        and any(item.get_closest_marker(mark) for mark in ("slow", "hypothesis"))
    ]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in set(out)]


@pytest.fixture(params=sorted(STORES))
async def bare_store(request, tmp_path) -> AsyncIterator[GatewayStore]:
    """An open, empty store. However a test ends, every rule of the schema must hold after it."""
    store = await STORES[request.param](tmp_path)
    await store.open()
    try:
        yield store
        await sweep(store)
    finally:
        await store.close()


@pytest.fixture
async def store(bare_store) -> GatewayStore:
    """A store with two clients and their accounts."""
    await bare_store.declare(DECLARED, T0)
    return bare_store
