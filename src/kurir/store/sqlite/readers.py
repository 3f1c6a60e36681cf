"""The threads that read, each with a read-only connection of its own and a limit on its time.

There are two: one for what delivery and accept need at once, one for what people look at, so that a heavy search in the
console never holds up a message. Each read is one transaction and sees one state of the database.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import apsw

from kurir.quick import quick
from kurir.store.base import StoreUnavailable
from kurir.store.sqlite.handing import Inbox
from kurir.store.sqlite.writer import Operation, as_store_error

T = TypeVar("T")

#: Seconds that a read may take.
SECONDS: Final = 5.0
#: Reads that may wait, at most.
QUEUE: Final = 2_000
#: Steps of SQLite's machine between two looks at the clock: some 0.1 ms.
_STEPS: Final = 10_000


@quick
@dataclass(frozen=True, slots=True)
class _Job:
    operation: Operation[Any]
    future: asyncio.Future[Any]
    seconds: float


@quick
@dataclass(frozen=True, slots=True)
class _Done:
    """What became of a read."""

    future: asyncio.Future[Any]
    result: Any
    error: Exception | None


class Reader:
    """A reading thread. ``connect`` opens a read-only connection; it is opened with the first read.

    Up to *together* reads that wait share a transaction, which begins after all of them were asked for, and are answered
    when the last of them is done: for short ones, of which many come at once.
    """

    def __init__(self, connect: Callable[[], apsw.Connection], name: str, *, together: int = 1) -> None:
        self._connect = connect
        self._name = name
        self._together = together
        self._jobs: Inbox[_Job] = Inbox()
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
        self._jobs = Inbox()  # one that was ended takes nothing more
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
        self._jobs.put(loop, _Job(operation, future, seconds))
        return await future

    async def stop(self) -> None:
        """Answer what was asked for, close the connection and end the thread. A long read is broken off."""
        self._accepting = False
        self._stopping = True
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.end()
            await asyncio.to_thread(thread.join)

    def _main(self) -> None:
        more = True
        while more:
            jobs, more = self._jobs.take(self._together)
            done = self._read(jobs)
            if done and self._loop is not None:
                with suppress(RuntimeError):  # the loop was closed under us: nobody waits any more
                    self._loop.call_soon_threadsafe(self._wake, done)
        self._close()

    def _wake(self, done: list[_Done]) -> None:
        self._pending -= len(done)
        for one in done:
            if one.future.done():
                continue
            if one.error is None:
                one.future.set_result(one.result)
            else:
                one.future.set_exception(one.error)

    def _read(self, jobs: list[_Job]) -> list[_Done]:
        done = [self._one(job) for job in jobs]
        db, self._deadline = self._db, float("inf")
        if db is not None and db.in_transaction:
            try:
                db.execute("COMMIT")
            except apsw.Error:  # nothing was written, so that nothing is lost by a fresh connection
                self._close()
        return done

    def _one(self, job: _Job) -> _Done:
        """Run one read in the transaction that is open, or in a new one."""
        error: Exception
        try:
            db = self._opened()
            self._deadline = time.monotonic() + job.seconds
            if not db.in_transaction:
                db.execute("BEGIN")
            return _Done(job.future, job.operation(db), None)
        except apsw.InterruptError:
            why = "the store is closing" if self._stopping else f"the read took too long (more than {job.seconds:g} s)"
            error = StoreUnavailable(why)
        except Exception as fault:  # noqa: BLE001 -- the thread must live on, and the waiter must be told
            if isinstance(fault, apsw.Error):
                self._close()  # the next read begins with a fresh connection
            error = as_store_error(fault)
        return _Done(job.future, None, error)

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
