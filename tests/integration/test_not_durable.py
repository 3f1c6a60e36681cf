"""What a client sees when the store cannot write: 503 with Retry-After, nothing half-written, and work again afterwards."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import apsw
import pytest

from kurir import demo
from kurir.store.sqlite import SqliteStore
from support.delivering import eventually
from support.disks import FailingDisk, full, io_error
from support.servers import running

pytestmark = pytest.mark.of_sqlite("what a disk does to its file")

#: Telegram takes one a second for one chat.
MESSAGES = 5


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    made = FailingDisk()
    yield made
    made.unregister()


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(full, id="the disk is full"),
        pytest.param(lambda: apsw.exception_for(apsw.SQLITE_READONLY), id="the file is read-only"),
        pytest.param(lambda: io_error(apsw.SQLITE_IOERR_WRITE), id="a write fails"),
        pytest.param(lambda: io_error(apsw.SQLITE_IOERR_FSYNC), id="a sync fails"),
    ],
)
async def test_a_store_that_cannot_write_answers_503_keeps_nothing_and_heals(
    tmp_path: Path, disk: FailingDisk, failure
) -> None:
    store = SqliteStore(tmp_path / "kurir.db", vfs=disk.name)
    async with running(tmp_path, store=store) as up:
        status, _, answer = await up.send("telegram", demo.example("text", "before"))
        assert status == 200
        await up.until(answer["data"]["tid"], 1)
        disk.broken = lambda operation, path: failure() if operation in ("write", "sync") and "wal" in path else None
        bodies = [demo.example("text", f"during-{number}") for number in range(MESSAGES)]
        answers = await asyncio.gather(*(up.send("telegram", body) for body in bodies))
        for status, headers, answer in answers:
            assert status == 503, answer
            assert int(headers["Retry-After"]) >= 1
            assert answer["meta"] == {
                "status": False,
                "code": 503,
                "message": "Service Unavailable",
                "errors": answer["meta"]["errors"],
            }
            assert answer["code"] == "not_durable"
            assert answer["data"] is None
        assert (await up.message((await listed(up))[0]["tid"]))["status"] == 1, "reading works while writing does not"
        assert [message["id"] for message in await listed(up)] == ["before"]
        disk.broken = lambda _operation, _path: None
        again = await asyncio.gather(*(up.send("telegram", body) for body in bodies))
        assert [status for status, _, _ in again] == [200] * MESSAGES
        for _, headers, answer in again:
            assert "Idempotent-Replayed" not in headers
            await up.until(answer["data"]["tid"], 1)
        assert len(await listed(up)) == 1 + MESSAGES


async def readiness(up) -> tuple[int, list[str]]:
    async with aiohttp.ClientSession() as anybody, anybody.get(f"{up.url}/readyz") as response:
        return response.status, (await response.json())["wrong"]


async def test_readiness_tells_of_a_full_disk_and_heals_by_itself(
    tmp_path: Path, disk: FailingDisk, monkeypatch
) -> None:
    monkeypatch.setattr("kurir.store.sqlite.writer.PROBE_SECONDS", 0.02)
    store = SqliteStore(tmp_path / "kurir.db", vfs=disk.name)
    async with running(tmp_path, store=store) as up:
        assert await readiness(up) == (200, [])

        async def quota_read() -> bool:
            return await store.quota("demo-line") is not None

        await eventually(quota_read)  # the last that a start writes by itself
        disk.broken = lambda operation, path: full() if operation == "write" and "wal" in path else None
        assert await readiness(up) == (200, []), "an idle store that nobody writes to is healthy"
        assert (await up.send("telegram", demo.example("text", "during")))[0] == 503
        for _ in range(5):
            status, [wrong] = await readiness(up)
            assert status == 503
            assert wrong.startswith("store: the last commit failed: FullError")
            await asyncio.sleep(0.03)
        disk.broken = lambda _operation, _path: None

        async def ready() -> bool:
            return await readiness(up) == (200, [])

        await eventually(ready)
        assert await listed(up) == []


async def test_readiness_asks_the_database_nothing(tmp_path: Path, monkeypatch) -> None:
    async with running(tmp_path) as up:
        monkeypatch.setattr(up.gateway.store._prompt, "run", None)
        monkeypatch.setattr(up.gateway.store._patient, "run", None)
        assert await readiness(up) == (200, [])
        monkeypatch.undo()


async def test_readiness_tells_of_upkeep_that_has_ended(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        await up.gateway._upkeep.stop()
        assert await readiness(up) == (503, ["upkeep: a task does not run"])


async def listed(up) -> list:
    async with up.session.get(f"{up.url}/v1/messages?limit=200") as response:
        assert response.status == 200
        return (await response.json())["data"]
