"""Faults of the disk under the SQLite store: full, read-only, I/O errors at the n-th write, a sync that fails.

What was acknowledged is there afterwards, what was refused is there not at all or, where the fault left it open, as a
whole; and when the fault ends the store works again without a restart.
"""

import asyncio
import itertools
import threading
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import apsw
import pytest

from kurir.domain.status import Status
from kurir.store.base import Accepted, MessageFilter, StoreUnavailable
from kurir.store.sqlite import SqliteStore
from support.delivering import eventually
from support.disks import FailingDisk, full, io_error
from support.records import ACCOUNT, CLIENT, DECLARED, T0, mark, new_message, receipt, result, send, sent

pytestmark = pytest.mark.of_sqlite("what a disk does to its file")


@pytest.fixture
def disk():
    disk = FailingDisk()
    yield disk
    disk.unregister()


@pytest.fixture
async def store(tmp_path, disk):
    store = SqliteStore(tmp_path / "kurir.db", vfs=disk.name)
    await store.open()
    await store.declare(DECLARED, T0)
    yield store
    disk.broken = lambda _operation, _path: None
    assert await store.broken_invariants() == []
    await store.close()
    _check_file(tmp_path / "kurir.db")


def _check_file(path: Path) -> None:
    db = apsw.Connection(str(path))
    assert db.pragma("integrity_check") == "ok"
    assert list(db.execute("PRAGMA foreign_key_check")) == []
    db.close()


async def _accept_many(store, number, together=8):
    """Accept messages. Returns those acknowledged and those refused."""
    acknowledged, refused = [], []
    for _ in range(0, number, together):
        messages = [new_message(body=b"x" * 600) for _ in range(together)]
        answers = await asyncio.gather(*(store.accept(message) for message in messages), return_exceptions=True)
        for message, answer in zip(messages, answers, strict=True):
            if isinstance(answer, Accepted):
                acknowledged.append(message)
            else:
                assert isinstance(answer, StoreUnavailable), answer
                refused.append(message)
    return acknowledged, refused


async def _stored(store):
    found, cursor = set(), None
    while page := await store.messages(CLIENT, MessageFilter(before_seq=cursor), 500):
        found |= {message.tid for message in page}
        cursor = page[-1].seq
    return found


def _failing_at(numbers, kinds, error):
    """Let the operations of *kinds* with these numbers fail, counted from now."""
    counter = itertools.count(1)

    def broken(operation, _path):
        return error() if operation in kinds and next(counter) in numbers else None

    return broken


async def test_a_full_disk_refuses_and_heals(store, disk):
    kept, _ = await _accept_many(store, 32)
    disk.broken = lambda operation, _path: full() if operation == "write" else None
    acknowledged, refused = await _accept_many(store, 32)
    assert (len(acknowledged), len(refused)) == (0, 32)
    assert {message.tid for message in kept} == await _stored(store)  # reading goes on
    disk.broken = lambda _operation, _path: None
    later, refused = await _accept_many(store, 32)
    assert not refused
    assert await _stored(store) == {message.tid for message in kept + later}


async def test_a_database_that_may_not_grow_refuses_and_heals(tmp_path):
    store = SqliteStore(tmp_path / "kurir.db")
    await store.open()

    def limit(pages):
        return lambda db: db.pragma("max_page_count", pages)

    pages = await store._writer.run(lambda db: db.pragma("page_count"))
    await store._writer.run(limit(pages + 12))
    acknowledged, refused = await _accept_many(store, 320)
    assert acknowledged
    assert refused
    assert await _stored(store) == {message.tid for message in acknowledged}
    await store._writer.run(limit(1_000_000))
    later, refused = await _accept_many(store, 32)
    assert not refused
    assert await _stored(store) == {message.tid for message in acknowledged + later}
    assert await store.broken_invariants() == []
    await store.close()
    _check_file(tmp_path / "kurir.db")


async def test_a_read_only_file_refuses_and_heals(store, disk):
    kept, _ = await _accept_many(store, 8)
    disk.broken = lambda operation, _path: apsw.exception_for(apsw.SQLITE_READONLY) if operation == "write" else None
    acknowledged, refused = await _accept_many(store, 16)
    assert (len(acknowledged), len(refused)) == (0, 16)
    disk.broken = lambda _operation, _path: None
    later, refused = await _accept_many(store, 8)
    assert not refused
    assert await _stored(store) == {message.tid for message in kept + later}


@pytest.mark.parametrize("number", range(1, 61))
async def test_an_io_error_at_the_nth_write_loses_nothing(store, disk, number):
    disk.broken = _failing_at({number}, {"write", "truncate"}, lambda: io_error(apsw.SQLITE_IOERR_WRITE))
    acknowledged, refused = await _accept_many(store, 48)
    assert disk.happened == 1
    assert refused
    found = await _stored(store)
    assert {message.tid for message in acknowledged} <= found
    assert not {message.tid for message in refused} & found
    for message in refused:  # the client repeats what was refused, and gets one row
        assert isinstance(await store.accept(message), Accepted)
    assert await _stored(store) == {message.tid for message in acknowledged + refused}


@pytest.mark.parametrize("number", range(1, 7))
async def test_a_sync_that_fails_is_no_acknowledgement_and_the_file_is_opened_anew(store, disk, number):
    before = store._writer._db
    disk.broken = _failing_at({number}, {"sync"}, lambda: io_error(apsw.SQLITE_IOERR_FSYNC))
    acknowledged, refused = await _accept_many(store, 64)
    assert disk.happened == 1
    assert refused
    assert store._writer._db is not before
    found = await _stored(store)
    assert found == {message.tid for message in acknowledged}
    assert isinstance(await store.accept(refused[0]), Accepted)


async def test_a_disk_that_is_gone_for_a_while(store, disk):
    """Nothing can be written, synced or opened: each call is refused at once, and all is well when the disk is back."""
    kept, _ = await _accept_many(store, 8)
    disk.broken = lambda _operation, _path: io_error(apsw.SQLITE_IOERR)
    for _ in range(5):
        acknowledged, refused = await _accept_many(store, 8)
        assert (len(acknowledged), len(refused)) == (0, 8)
    disk.broken = lambda _operation, _path: None
    later, refused = await _accept_many(store, 8)
    assert not refused
    assert await _stored(store) == {message.tid for message in kept + later}


async def test_a_checkpoint_that_fails_harms_no_answer(store, disk, monkeypatch):
    monkeypatch.setattr("kurir.store.sqlite.writer.CHECKPOINT_PAGES", 20)
    disk.broken = lambda _operation, path: None if path.endswith("-wal") else io_error(apsw.SQLITE_IOERR_WRITE)
    acknowledged, _ = await _accept_many(store, 160)
    assert disk.happened > 0
    disk.broken = lambda _operation, _path: None
    later, refused = await _accept_many(store, 160)
    assert not refused
    assert {message.tid for message in acknowledged + later} <= await _stored(store)


async def test_delivery_and_receipts_are_whole_or_not_at_all(store, disk):
    """A fault in the middle of a record: either all of it happened, or nothing."""
    refused = 0
    for number in range(1, 40):
        message = new_message()
        await store.accept(message)
        await store.mark(mark(message))
        disk.happened = 0
        disk.broken = _failing_at({number}, {"write", "sync"}, lambda: io_error(apsw.SQLITE_IOERR_WRITE))
        with suppress(StoreUnavailable):
            await store.record(result(message, sent(f"p-{number}")))
        disk.broken = lambda _operation, _path: None
        record = await store.message(CLIENT, message.tid)
        refused += record.status is Status.PENDING
        if record.status is Status.PENDING:
            assert (record.attempts, record.history, record.queued) == ((), (), True)
            await store.record(result(message, sent(f"p-{number}")))
        await store.receive([receipt(Status.READ, f"p-{number}")], T0)
        assert (await store.message(CLIENT, message.tid)).status is Status.READ
        assert await store.broken_invariants() == []
    assert refused > 3


async def test_a_refused_operation_takes_no_stranger_with_it(store):
    """One operation of a batch fails by its own fault: the others are committed."""

    def fails(_db):
        raise ZeroDivisionError

    good = [new_message() for _ in range(20)]
    answers = await asyncio.gather(
        *(store.accept(message) for message in good),
        store._writer.run(fails),
        store._writer.run(lambda db: db.execute("INSERT INTO meta VALUES ('a', NULL)")),
        store.set_meta("b", "c"),
        return_exceptions=True,
    )
    assert all(isinstance(answer, Accepted) for answer in answers[:20])
    assert [type(answer).__name__ for answer in answers[20:]] == ["ZeroDivisionError", "StoreError", "str"]
    assert await store.meta("b") == "c"


async def test_more_than_may_wait_is_refused(store, monkeypatch):
    monkeypatch.setattr("kurir.store.sqlite.writer.QUEUE", 50)
    answers = await asyncio.gather(*(store.accept(new_message()) for _ in range(80)), return_exceptions=True)
    assert [isinstance(answer, Accepted) for answer in answers] == [True] * 50 + [False] * 30
    assert all(isinstance(answer, StoreUnavailable) for answer in answers[50:])
    assert isinstance(await store.accept(new_message()), Accepted)


# --- health ---------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _stuck(store):
    """Let the writer hang, as it does on a disk that does not answer."""
    begun, free = threading.Event(), threading.Event()
    hang = asyncio.ensure_future(store._writer.run(lambda _db: (begun.set(), free.wait(20))))
    await asyncio.to_thread(begun.wait, 10)
    try:
        yield
    finally:
        free.set()
        await hang


async def test_a_writer_that_hangs_answers_in_time_and_the_same_id_replays(store, monkeypatch):
    monkeypatch.setattr("kurir.store.sql.PATIENCE_SECONDS", 0.1)
    message = new_message()
    async with _stuck(store):
        async with asyncio.timeout(5):
            with pytest.raises(StoreUnavailable, match="took too long"):
                await store.accept(message)
            with pytest.raises(StoreUnavailable, match="took too long"):
                await store.receive([receipt(Status.READ, "p-1", event_id="once")], T0)
    monkeypatch.undo()
    assert await store.accept(message) == Accepted(message.tid, Status.PENDING, replayed=True)
    assert (await store.receive([receipt(Status.READ, "p-1", event_id="once")], T0)).new == 0


async def test_health_tells_of_a_writer_that_hangs(store, monkeypatch):
    monkeypatch.setattr("kurir.store.sqlite.writer.PATIENCE_SECONDS", 0.1)
    async with _stuck(store):
        await asyncio.sleep(0.15)
        assert store.health() == "the writer has not finished a batch for 0 s"
    assert store.health() is None


async def test_health_tells_of_a_failed_commit_until_one_succeeds(store, disk):
    assert store.health() is None
    disk.broken = lambda operation, _path: full() if operation == "write" else None
    await _accept_many(store, 8)
    assert await store.expire(T0, 100) == 0  # a transaction that wrote nothing proves nothing
    assert store.health().startswith("the last commit failed: FullError")
    disk.broken = lambda _operation, _path: None
    await _accept_many(store, 8)
    assert store.health() is None


async def test_health_is_mended_by_a_small_write_at_most_once_a_second(store, disk, monkeypatch):
    tried = itertools.count()
    attempts = [0]

    def broken(operation, _path):
        if operation != "write":
            return None
        attempts[0] = next(tried) + 1
        return full()

    disk.broken = broken
    await _accept_many(store, 1, together=1)
    before = attempts[0]
    for _ in range(50):
        assert store.health() is not None
        await asyncio.sleep(0.002)
    assert attempts[0] == before + 1
    disk.broken = lambda _operation, _path: None
    monkeypatch.setattr("kurir.store.sqlite.writer.PROBE_SECONDS", 0.01)
    await eventually(lambda: store.health() is None)


async def test_an_operation_that_the_full_disk_refused_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr("kurir.store.sqlite.writer.PROBE_SECONDS", 0.01)
    store = SqliteStore(tmp_path / "kurir.db")
    await store.open()
    pages = await store._writer.run(lambda db: db.pragma("page_count"))
    await store._writer.run(lambda db: db.pragma("max_page_count", pages))
    with pytest.raises(StoreUnavailable, match="full"):
        await store.accept(new_message(body=b"x" * 100_000))
    assert "full" in store.health()
    await store._writer.run(lambda db: db.pragma("max_page_count", 1_000_000))
    await eventually(lambda: store.health() is None)
    await store.close()
    assert store.health() == "the store is closed"


# --- reading --------------------------------------------------------------------------------------------------------------


async def test_a_read_that_takes_too_long_is_ended(store):
    await send(store, "p-1")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(StoreUnavailable, match="took too long"):
        await store._patient.run(lambda db: db.execute(endless).fetchall(), seconds=0.2)
    assert len(await store.messages(CLIENT, MessageFilter(), 10)) == 1


async def test_a_long_read_of_people_does_not_hold_delivery_up(store):
    await store.accept(new_message())
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    slow = asyncio.ensure_future(store._patient.run(lambda db: db.execute(endless).fetchall(), seconds=1))
    await asyncio.sleep(0)
    assert len(await store.queued(ACCOUNT)) == 1
    assert isinstance(await store.accept(new_message()), Accepted)
    assert not slow.done()
    slow.cancel()


async def test_readers_cannot_write(store):
    for reader in (store._prompt, store._patient):
        with pytest.raises(Exception, match=r"(?i)read-?only"):
            await reader.run(lambda db: db.execute("DELETE FROM message"))


async def test_the_log_does_not_grow_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("kurir.store.sqlite.writer.CHECKPOINT_PAGES", 100)
    store, log = SqliteStore(tmp_path / "kurir.db"), tmp_path / "kurir.db-wal"
    await store.open()
    for _ in range(6):
        await _accept_many(store, 640, together=64)
    assert log.stat().st_size < 600 * 4120
    assert await store.broken_invariants() == []
    await store.close()
    assert not log.exists()
