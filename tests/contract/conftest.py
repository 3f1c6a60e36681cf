"""The stores under the contract. A second one is a second entry of STORES."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from kurir.store import GatewayStore
from kurir.store.sqlite import SqliteStore
from support.records import DECLARED, T0
from support.sweeps import sweep


class Make(Protocol):
    """Makes a store that is not open yet. ``durable=False``: for tests of what is stored, and not of when it is on disk."""

    async def __call__(self, folder: Path, *, durable: bool = True) -> GatewayStore: ...


async def _sqlite(folder: Path, *, durable: bool = True) -> GatewayStore:
    return SqliteStore(folder / "kurir.db", synchronous="FULL" if durable else "OFF")


#: Each test has a folder, and so a database, of its own.
STORES: dict[str, Make] = {"sqlite": _sqlite}


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
