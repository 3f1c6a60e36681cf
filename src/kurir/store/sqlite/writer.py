"""The one thread that writes, with group commit.

Every write of the process passes through one connection on one thread. It takes whatever queued up while the last
commit was being made durable, runs it in one transaction, and commits it: one fsync for all, and nobody waits for a
timer. An operation that fails is taken out, and the others are committed without it. Then it wakes every waiter with
one call into the event loop. Cancelling a waiter does not touch the transaction, since the thread knows nothing of
tasks.

Checkpoints are made here and nowhere else: SQLite versions before 3.51.3 could lose commits when two connections did.
"""

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future as ThreadFuture
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import apsw

from kurir import counting
from kurir.store.base import StoreError, StoreUnavailable
from kurir.store.sqlite.handing import Inbox

T = TypeVar("T")

#: A transaction's part: it gets a connection inside a transaction that somebody else begins and commits. It may be run
#: twice, so it does nothing but read and write there.
Operation = Callable[[apsw.Connection], T]

#: Operations that share one commit, at most.
BATCH: Final = 256
#: Operations that may wait, at most. The next one is refused.
QUEUE: Final = 10_000
#: Seconds that whoever must answer somebody waits for the disk; and after which a writer is called stuck.
PATIENCE_SECONDS: Final = 10.0
#: How often, at most, it is tried whether a disk that failed can be written again, in seconds.
PROBE_SECONDS: Final = 1.0
#: After so many new pages in the WAL it is copied into the database, by and by.
CHECKPOINT_PAGES: Final = 2_000
#: From so many pages on, the writer waits for its readers, so that the WAL can begin anew …
RESTART_PAGES: Final = 16_000
#: … for so long: nothing is accepted meanwhile.
READER_MILLISECONDS: Final = 200
#: For anything else. No other process has a business in the file, so this is for a backup that is just being made.
BUSY_MILLISECONDS: Final = 5_000

#: What the machine does to us, as opposed to what an operation did wrong.
MACHINE_ERRORS: Final = (
    apsw.FullError,
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.InterruptError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.ProtocolError,
    apsw.PermissionsError,
)

#: After these a connection is not trusted any more: what it believes to be on disk may not be.
#: One that was opened while the file could only be read goes on reading only.
_DISTRUST: Final = (apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.CantOpenError, apsw.ReadOnlyError)
#: The same trouble is logged again after so many seconds.
_LOG_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


def as_store_error(error: Exception) -> Exception:
    """Return *error* as the protocol's error where SQLite raised it; any other comes back as it is."""
    if isinstance(error, MACHINE_ERRORS):
        return StoreUnavailable(f"{type(error).__name__}: {error}")
    if isinstance(error, apsw.Error):
        return StoreError(f"{type(error).__name__}: {error}")
    return error


@dataclass(slots=True)
class _Job:
    """An operation that waits, and what became of it."""

    operation: Operation[Any]
    future: asyncio.Future[Any]
    asked_at: float
    seconds: float | None = None
    result: Any = None
    error: Exception | None = None

    def wake(self) -> None:
        """Tell the waiter. On the loop's thread; a cancelled waiter does not want to know."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)

    def due(self) -> float:
        """Return the moment from which nobody waits for it any more (monotonic seconds)."""
        return math.inf if self.seconds is None or self.future.done() else self.asked_at + self.seconds


class Writer:
    """The writing thread. ``connect`` opens a connection that is ready to write."""

    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        self._connect = connect
        self._jobs: Inbox[_Job] = Inbox()
        self._asked: deque[_Job] = deque()  # each operation that is not finished, in their order
        self._watch: asyncio.TimerHandle | None = None
        self._watch_at = math.inf
        self._accepting = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._db: apsw.Connection | None = None
        self._wal_pages = 0
        self._checkpointed_pages = 0
        self._distrusted = False
        self._failure: str | None = None
        self._probed_at = -math.inf
        self._logged = ""
        self._logged_at = -math.inf

    # --- the loop's side ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the connection on the writing thread and begin. Raises what ``connect`` raises."""
        self._loop = asyncio.get_running_loop()
        self._jobs = Inbox()  # one that was ended takes nothing more
        self._asked.clear()
        opened: ThreadFuture[None] = ThreadFuture()
        self._thread = threading.Thread(target=self._main, args=(opened,), name="kurir-writer", daemon=True)
        self._thread.start()
        await asyncio.wrap_future(opened)
        self._accepting = True

    def idle(self) -> bool:
        """Return whether nothing is asked for."""
        return not self._asked

    async def run(self, operation: Operation[T], *, seconds: float | None = None) -> T:
        """Return what *operation* returns, once it is committed and durable. Raises StoreError and its kin.

        With *seconds* it raises StoreUnavailable when it takes longer. The operation stays asked for: it may still be
        committed, so only one that may be repeated is given a deadline.
        """
        return await self.ask(operation, seconds=seconds)

    def ask(self, operation: Operation[T], *, seconds: float | None = None) -> asyncio.Future[T]:
        """Ask for what :meth:`run` does, and return what will tell. Raises StoreUnavailable where it cannot be asked for."""
        loop = self._loop
        if not self._accepting or loop is None:
            raise StoreUnavailable("the store is closed")
        if len(self._asked) >= QUEUE:
            raise StoreUnavailable(f"{len(self._asked)} operations wait for the disk already")
        future: asyncio.Future[T] = loop.create_future()
        job = _Job(operation, future, time.monotonic(), seconds)
        self._ask(loop, job)
        if seconds is not None and job.due() < self._watch_at:
            self._watch_until(job.due())
        return future

    def _watch_until(self, moment: float) -> None:
        """See to it that whoever waits is told at *moment*: one timer for all, since hardly anybody ever waits so long."""
        assert self._loop is not None  # noqa: S101 -- who asks has it
        if self._watch is not None:
            self._watch.cancel()
        self._watch_at = moment
        self._watch = self._loop.call_later(moment - time.monotonic(), self._give_up)

    def _give_up(self) -> None:
        """Tell those whose time is over."""
        self._watch, self._watch_at = None, math.inf
        now = time.monotonic()
        for job in self._asked:
            if job.due() <= now:
                job.future.set_exception(StoreUnavailable(f"the write took too long (more than {job.seconds:g} s)"))
        following = min((job.due() for job in self._asked), default=math.inf)
        if following < math.inf:
            self._watch_until(following)

    def health(self, probe: Operation[Any]) -> str | None:
        """Return why nothing can be committed, None as far as nothing is known against it. Asks the database nothing.

        A failed commit is told of until another one succeeds. So that a store heals that nobody writes to, *probe*, which
        has to change something, is tried meanwhile; its outcome is for the next one who asks.
        """
        loop, thread = self._loop, self._thread
        if not self._accepting or loop is None or thread is None:
            return "the store is closed"
        if not thread.is_alive():
            return "the writer has ended"
        now = time.monotonic()
        waited = now - self._asked[0].asked_at if self._asked else 0.0
        if waited >= PATIENCE_SECONDS:
            return f"the writer has not finished a batch for {waited:.0f} s"
        failure = self._failure
        if failure is None:
            return None
        if not self._asked and now - self._probed_at >= PROBE_SECONDS:
            self._probed_at = now
            nobody: asyncio.Future[Any] = loop.create_future()
            nobody.cancel()
            self._ask(loop, _Job(probe, nobody, now))
        return f"the last commit failed: {failure}"

    def _ask(self, loop: asyncio.AbstractEventLoop, job: _Job) -> None:
        self._asked.append(job)
        self._jobs.put(loop, job)

    async def stop(self) -> None:
        """Commit what was asked for, close the connection and end the thread."""
        self._accepting = False
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.end()
            await asyncio.to_thread(thread.join)
        if self._watch is not None:
            self._watch.cancel()
            self._watch, self._watch_at = None, math.inf

    def _wake(self, jobs: Sequence[_Job]) -> None:
        for job in jobs:
            self._asked.popleft()
            job.wake()

    # --- the thread's side -------------------------------------------------------------------------------------------

    def _main(self, opened: "ThreadFuture[None]") -> None:
        try:
            self._trust(self._connect())
        except Exception as error:  # noqa: BLE001 -- it is raised where start() waits
            opened.set_exception(error)
            return
        opened.set_result(None)
        more = True
        while more:
            jobs, more = self._jobs.take(BATCH)
            if jobs:
                self._commit(jobs)
                self._hand_back(jobs)
            self._mend()
            self._checkpoint()
        if self._db is not None:
            with suppress(apsw.Error):
                self._db.close()
            self._db = None

    def _commit(self, jobs: Sequence[_Job]) -> None:
        """Run *jobs* in one transaction. Afterwards each has its result, and it is durable, or its error."""
        began = time.monotonic()
        try:
            db = self._db if self._db is not None and not self._distrusted else self._trust(self._connect())
            if not self._swift(db, jobs):
                self._careful(db, jobs)
            db.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 -- the thread must live on, and every waiter must be told
            counting.COMMITS.add("failed")
            self._fail(jobs, error)
        else:
            counting.COMMITS.add("done")
            counting.COMMIT_SECONDS.add(time.monotonic() - began)

    def _swift(self, db: apsw.Connection, jobs: Sequence[_Job]) -> bool:
        """Run *jobs* one after the other. Returns False, with nothing done, when one of them failed.

        A savepoint makes SQLite copy each page that an operation touches, which doubles its cost. Failures are rare, and
        an operation does nothing outside the transaction: so all are run once more when there was one.
        """
        db.execute("BEGIN IMMEDIATE")
        try:
            for job in jobs:
                job.result = job.operation(db)
        except _DISTRUST:
            raise
        except Exception as error:  # noqa: BLE001 -- it comes again where its savepoint holds it
            self._suspect(error)
            if db.in_transaction:
                db.execute("ROLLBACK")
            return False
        return True

    def _careful(self, db: apsw.Connection, jobs: Sequence[_Job]) -> None:
        """Run each job in a savepoint, so that one that fails takes no stranger's with it."""
        db.execute("BEGIN IMMEDIATE")
        for job in jobs:
            db.execute("SAVEPOINT operation")
            try:
                job.result = job.operation(db)
            except Exception as error:
                if not db.in_transaction:
                    raise  # SQLite rolled everything back by itself: what ran before this job is gone too
                self._suspect(error)
                db.execute("ROLLBACK TO operation")
                job.result, job.error = None, as_store_error(error)
                if isinstance(error, MACHINE_ERRORS):
                    self._failure = str(job.error)
            db.execute("RELEASE operation")

    def _fail(self, jobs: Sequence[_Job], error: Exception) -> None:
        """Nothing of *jobs* was committed: roll back, and give every one of them *error*."""
        self._suspect(error)
        if self._db is not None and self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except apsw.Error as rollback_error:
                self._suspect(rollback_error)
                self._distrusted = True
        told = as_store_error(error)
        self._failure = str(told)
        for job in jobs:
            if job.error is None:
                job.result = None
                job.error = told

    def _hand_back(self, jobs: Sequence[_Job]) -> None:
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop was closed under us: nobody waits any more
                loop.call_soon_threadsafe(self._wake, jobs)

    def _suspect(self, error: Exception) -> None:
        if isinstance(error, _DISTRUST):
            self._distrusted = True
        if isinstance(error, apsw.Error):
            said, now = f"{type(error).__name__}: {error}", time.monotonic()
            if said != self._logged or now - self._logged_at >= _LOG_SECONDS:
                self._logged, self._logged_at = said, now
                _log.warning("the database refused: %s", said)

    def _trust(self, db: apsw.Connection) -> apsw.Connection:
        """Make *db* the writing connection, in place of the last one.

        The old one is closed after the new one is open. So the index of the WAL stays in memory, and a transaction
        whose fsync failed, whose pages the kernel may still hold, is not found again as if it had been committed.
        """
        old, self._db = self._db, db
        self._distrusted = False
        self._checkpointed_pages = 0
        db.set_wal_hook(self._committed)
        if old is not None:
            with suppress(apsw.Error):
                old.close()
        return db

    def _mend(self) -> None:
        """Replace a connection that is not trusted. Where that fails now, the next batch tries again."""
        if not self._distrusted:
            return
        try:
            self._trust(self._connect())
        except Exception as error:  # noqa: BLE001 -- whatever it is, the next batch meets it again
            _log.warning("the database cannot be reopened yet: %s", error)

    def _committed(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        """Note the length of the WAL, and that the disk works (SQLite calls this after each commit that wrote)."""
        self._failure = None
        if pages < self._wal_pages:
            self._checkpointed_pages = 0
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self) -> None:
        """Copy the WAL into the database when it has grown; nobody waits for this but the next batch."""
        if self._db is None or self._wal_pages - self._checkpointed_pages < CHECKPOINT_PAGES:
            return
        long = self._wal_pages >= RESTART_PAGES
        mode = apsw.SQLITE_CHECKPOINT_RESTART if long else apsw.SQLITE_CHECKPOINT_PASSIVE
        try:
            self._db.set_busy_timeout(READER_MILLISECONDS)
            self._db.wal_checkpoint(mode=mode)
            self._checkpointed_pages = self._wal_pages
        except apsw.BusyError:
            self._checkpointed_pages = self._wal_pages  # a reader holds it: try again after as many pages
        except apsw.Error as error:
            self._suspect(error)
            self._checkpointed_pages = self._wal_pages
            self._mend()
        finally:
            self._db.set_busy_timeout(BUSY_MILLISECONDS)
