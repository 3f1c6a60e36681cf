"""The store in one file of SQLite.

One thread writes, with group commit (:mod:`kurir.store.sqlite.writer`), two read
(:mod:`kurir.store.sqlite.readers`). What each method does inside its transaction stands in
:mod:`kurir.store.operations`. SQLite comes from apsw, never from
the standard library: two copies in one process break each other's locks, and the system's may have the bug that loses
commits.
"""

import asyncio
from pathlib import Path
from typing import Final, TypeVar

import apsw

from kurir.clock import SystemClock
from kurir.store import sql
from kurir.store.access import EngineFacts
from kurir.store.base import Accepted, Conflict, NewMessage, StoreUnusable
from kurir.store.database import Operation, Whose
from kurir.store.inbound import TakenIn, Webhook
from kurir.store.operations import accept, config, inbound
from kurir.store.sql import SqlStore
from kurir.store.sqlite import moved, words
from kurir.store.sqlite.opening import (
    SYNCHRONOUS,
    VERSION,
    Lock,
    check_version,
    connect_reader,
    connect_writer,
    make_log_durable,
    migrate,
)
from kurir.store.sqlite.readers import SECONDS, Reader
from kurir.store.sqlite.writer import Writer

T = TypeVar("T")

#: Short reads that share a transaction, at most.
TOGETHER: Final = 32


def _facts(db: apsw.Connection) -> EngineFacts:
    synchronous = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}[int(db.pragma("synchronous"))]
    return EngineFacts(
        engine="SQLite",
        version=apsw.sqlite_lib_version(),
        schema=int(db.execute(VERSION).fetchone()[0]),  # type: ignore[index]  # an aggregate always has its row
        size=int(db.pragma("page_count")) * int(db.pragma("page_size")),
        settings={"journal_mode": str(db.pragma("journal_mode")).upper(), "synchronous": synchronous},
    )


def _accept(db: apsw.Connection, message: NewMessage) -> Accepted | Conflict:
    """Write *message*, and say which place it got: nobody else writes, so that all with lower ones are known of before."""
    answer = accept.accept(db, message)
    if isinstance(answer, Conflict) or answer.replayed:
        return answer
    return Accepted(answer.tid, answer.status, replayed=False, seq=db.last_insert_rowid())


class SqliteStore(SqlStore):
    """:class:`kurir.store.GatewayStore` over SQLite.

    *synchronous* other than FULL (or EXTRA) gives up the promise of durability; tests use it to prove that they would
    notice. *vfs* names an apsw VFS, for tests that take the disk away.
    """

    def __init__(self, path: Path | str, *, synchronous: str = "FULL", vfs: str | None = None) -> None:
        if synchronous not in SYNCHRONOUS:
            raise ValueError(f"synchronous is one of {', '.join(SYNCHRONOUS)}, not {synchronous!r}")
        self._path = Path(path)
        self._synchronous = synchronous
        self._vfs = vfs
        self._lock = Lock(self._path)
        self._writer = Writer(self._connect_writer)
        self._prompt = Reader(self._connect_reader, "kurir-reader", together=TOGETHER)
        self._patient = Reader(self._connect_reader, "kurir-reader-patient")

    def _connect_writer(self) -> apsw.Connection:
        return connect_writer(self._path, self._synchronous, self._vfs)

    def _connect_reader(self) -> apsw.Connection:
        return connect_reader(self._path, self._vfs)

    def _prepare(self) -> None:
        """Open the file once, for the migrations."""
        make_log_durable(self._path, self._vfs)
        db = self._connect_writer()
        try:
            migrate(db, self._path, SystemClock().now())
            moved.refuse(db, self._path)
        finally:
            db.close()

    async def open(self) -> None:
        """Open the database, take it for this process, and run the migrations. Raises StoreUnusable."""
        check_version()
        self._lock.take()
        try:
            await asyncio.to_thread(self._prepare)
            await self._writer.start()
        except BaseException as error:
            self._lock.release()
            if isinstance(error, apsw.Error):
                raise StoreUnusable(f"the database {self._path} cannot be opened: {error}") from error
            raise
        self._prompt.start()
        self._patient.start()

    async def close(self) -> None:
        """Finish what was begun and close. Later calls raise StoreUnavailable."""
        await self._prompt.stop()
        await self._patient.stop()
        await self._writer.stop()
        self._lock.release()

    async def _write(self, whose: Whose, operation: Operation[T], *, seconds: float | None = None) -> T:  # noqa: ARG002
        return await self._writer.run(operation, seconds=seconds)

    async def _read(self, operation: Operation[T]) -> T:
        return await self._prompt.run(operation)

    async def _study(self, operation: Operation[T], *, seconds: float | None = None) -> T:
        return await self._patient.run(operation, seconds=seconds or SECONDS)

    async def accept(self, message: NewMessage) -> Accepted | Conflict:
        """Write *message*, or say what has its key."""
        return await self.accepting(message)

    def accepting(self, message: NewMessage) -> "asyncio.Future[Accepted | Conflict]":
        """Begin to accept *message*, without a task. Raises StoreUnavailable where it cannot be asked for."""
        return self._writer.ask(lambda db: _accept(db, message), seconds=sql.PATIENCE_SECONDS)

    def taking_in(self, webhook: Webhook) -> "asyncio.Future[TakenIn]":
        """Begin to take a webhook in, without a task. Raises StoreUnavailable where it cannot be asked for."""
        return self._writer.ask(lambda db: inbound.take_in(db, webhook), seconds=sql.PATIENCE_SECONDS)

    word_index = words

    async def engine_facts(self) -> EngineFacts:
        """Return what the database says of itself, as the writer's connection has it."""
        return await self._writer.run(_facts)

    def idle(self) -> bool:
        """Return whether nobody waits for a write just now."""
        return self._writer.idle()

    def health(self) -> str | None:
        """Return why nothing can be written, None as far as nothing is known against it."""
        return self._writer.health(config.probe)
