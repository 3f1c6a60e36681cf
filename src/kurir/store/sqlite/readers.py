"""The threads that read, each with a read-only connection of its own and a limit on its time.

There are two: one for what delivery and accept need at once, one for what people look at, so that a heavy search in the
console never holds up a message. Each read is one transaction and sees one state of the database.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import apsw

from kurir.store.base import StoreUnavailable
from kurir.store.sqlite.writer import Operation, as_store_error

T = TypeVar("T")

#: Seconds that a read may take.
SECONDS: Final = 5.0
#: Reads that may wait, at most.
QUEUE: Final = 2_000
#: Steps of SQLite's machine between two looks at the clock: some 0.1 ms.
_STEPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Job:
    operation: Operation[Any]
    future: asyncio.Future[Any]
    seconds: float


class Reader:
    """A reading thread. ``connect`` opens a read-only connection; it is opened with the first read."""

    def __init__(self, connect: Callable[[], apsw.Connection], name: str) -> None:
        self._connect = connect
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._pending = 0
        self._accepting = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._db: apsw.Connection | None = None
        self._deadline = 0.0
        self._stopping = False

    def start(self) -> None:
        """Begin, on the running loop."""
        self._stopping = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._main, name=self._name, daemon=True)
        self._thread.start()
        self._accepting = True

    async def run(self, operation: Operation[T], *, seconds: float = SECONDS) -> T:
        """Return what *operation* returns. Raises StoreUnavailable when it takes more than *seconds*."""
        loop = self._loop
        if not self._accepting or loop is None:
            raise StoreUnavailable("the store is closed")
        if self._pending >= QUEUE:
            raise StoreUnavailable(f"{self._pending} reads wait already")
        future: asyncio.Future[T] = loop.create_future()
        self._pending += 1
        self._jobs.put(_Job(operation, future, seconds))
        return await future

    async def stop(self) -> None:
        """Answer what was asked for, close the connection and end the thread. A long read is broken off."""
        self._accepting = False
        self._stopping = True
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(thread.join)

    def _main(self) -> None:
        while (job := self._jobs.get()) is not None:
            result, error = self._read(job)
            if self._loop is not None:
                with suppress(RuntimeError):  # the loop was closed under us: nobody waits any more
                    self._loop.call_soon_threadsafe(self._wake, job.future, result, error)
        self._close()

    def _wake(self, future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
        self._pending -= 1
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def _read(self, job: _Job) -> tuple[Any, Exception | None]:
        try:
            db = self._opened()
            self._deadline = time.monotonic() + job.seconds
            db.execute("BEGIN")
            try:
                return job.operation(db), None
            finally:
                self._deadline = float("inf")
                if db.in_transaction:
                    db.execute("COMMIT")
        except apsw.InterruptError:
            why = "the store is closing" if self._stopping else f"the read took too long (more than {job.seconds:g} s)"
            return None, StoreUnavailable(why)
        except Exception as error:  # noqa: BLE001 -- the thread must live on, and the waiter must be told
            if isinstance(error, apsw.Error):
                self._close()  # the next read begins with a fresh connection
            return None, as_store_error(error)

    def _opened(self) -> apsw.Connection:
        if self._db is None:
            self._db = self._connect()
            self._db.set_progress_handler(self._too_late, _STEPS)
        return self._db

    def _too_late(self) -> bool:
        return self._stopping or time.monotonic() > self._deadline

    def _close(self) -> None:
        if self._db is not None:
            with suppress(apsw.Error):
                self._db.close()
            self._db = None
