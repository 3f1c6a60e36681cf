"""The stores under the contract. A second one is a second entry of STORES."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from kurir.store.base import Store
from kurir.store.sqlite import SqliteStore
from support.records import DECLARED, T0
from support.sweeps import sweep


async def _sqlite(folder: Path) -> Store:
    return SqliteStore(folder / "kurir.db")


#: Name → what makes a store that is not open yet. Each test has a folder, and so a database, of its own.
STORES: dict[str, Callable[[Path], Awaitable[Store]]] = {"sqlite": _sqlite}


@pytest.fixture(params=sorted(STORES))
async def bare_store(request, tmp_path) -> AsyncIterator[Store]:
    """An open, empty store. However a test ends, every rule of the schema must hold after it."""
    store = await STORES[request.param](tmp_path)
    await store.open()
    try:
        yield store
        await sweep(store)
    finally:
        await store.close()


@pytest.fixture
async def store(bare_store) -> Store:
    """A store with two clients and their accounts."""
    await bare_store.declare(DECLARED, T0)
    return bare_store
