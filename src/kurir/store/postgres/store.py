"""The store in PostgreSQL: for many processes on many machines, over the same operations as SQLite's.

A write runs in a transaction that begins with a lock on its client (an advisory one, held until the commit), so that
writes about one client exclude each other on all nodes, and writes about two clients do not. A sequence that is drawn under
that lock becomes visible in its own order: a cursor never passes a number that is still to come. What waits for the
same client meanwhile shares the next transaction, as on SQLite. What concerns everybody (retention, the declaration)
locks all clients out, briefly.

A read is one transaction of its own, with one view of the database. Nothing here waits for ever: a connection, a
statement, a lock and a transaction that stands idle (its process was stopped) each have a limit.
"""

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final, TypeVar

import asyncpg

from kurir import counting
from kurir.clock import SystemClock
from kurir.store import migrations
from kurir.store.access import EngineFacts
from kurir.store.base import (
    Accepted,
    Conflict,
    Mark,
    Marked,
    NewMessage,
    NotOwner,
    Purged,
    Recorded,
    Result,
    StoreError,
    StoreUnavailable,
    StoreUnusable,
)
from kurir.store.database import Database, Operation, Whose, of_account
from kurir.store.feed import Called
from kurir.store.operations import accept, config, delivery, upkeep
from kurir.store.operations.rows import moment
from kurir.store.postgres import accept as batches
from kurir.store.postgres import copies, leases, ranges, retention, words
from kurir.store.postgres.connection import PostgresDatabase, commit
from kurir.store.postgres.hosts import Hosts
from kurir.store.sql import PATIENCE_SECONDS, SWEEP_SECONDS, SqlStore

T = TypeVar("T")

#: Operations of one client that share a commit, at most.
BATCH: Final = 128
#: Operations that may wait, at most. The next one is refused.
QUEUE: Final = 20_000
#: Of one client: it must not take everybody's place.
CLIENT_QUEUE: Final = 10_000
#: Seconds that a caller waits for a connection of the pool.
ACQUIRE_SECONDS: Final = 2.0
#: Seconds that somebody waits for a write while the database is known to be away, or says nothing for so long.
AWAY_SECONDS: Final = 2.0
#: What the server ends by itself, in milliseconds: a statement, waiting for a lock, a transaction whose process sleeps.
STATEMENT_MILLISECONDS: Final = 10_000
LOCK_MILLISECONDS: Final = 8_000
IDLE_MILLISECONDS: Final = 5_000
#: Seconds that a read may take where people look, and the sweep over the whole database.
STUDY_SECONDS: Final = 30.0
#: A transaction that another one got in the way of is tried again so often.
TRIES: Final = 4
#: Clients of messages that are remembered, so that a write about one needs no question.
KNOWN: Final = 100_000
#: Statements that a connection keeps prepared, at most: more than this folder has.
STATEMENTS: Final = 500
#: How often, at most, it is tried whether a database that failed can be written again, in seconds.
PROBE_SECONDS: Final = 1.0
#: The first number of our advisory locks: one that everybody shares, one a client, one for the migrations.
_ALL, _CLIENT, _MIGRATION = 1_802_857_065, 1_802_857_066, 1_802_857_067

#: What every session of ours is set to.
_SERVER: Final = {
    "application_name": "kurir",
    "statement_timeout": str(STATEMENT_MILLISECONDS),
    "lock_timeout": str(LOCK_MILLISECONDS),
    "idle_in_transaction_session_timeout": str(IDLE_MILLISECONDS),
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "jit": "off",  # our statements are short: compiling one takes longer than running it
}
#: A database or a role may have been set to commit before it is on disk. Stronger promises (remote_apply) stay.
_DURABLE: Final = """
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')
"""
_LOCK_CLIENT: Final = f"""
SELECT pg_advisory_xact_lock_shared({_ALL}, 0), pg_advisory_xact_lock({_CLIENT}, hashtext($1))
"""
_LOCK_ALL: Final = f"SELECT pg_advisory_xact_lock({_ALL}, 0)"
_CLIENT_OF_TID: Final = "SELECT client_id FROM message WHERE tid = $1"
_CLIENT_OF_ACCOUNT: Final = "SELECT client_id FROM account WHERE id = $1"
_CLIENT_OF_ENDPOINT: Final = "SELECT client_id FROM endpoint WHERE id = $1"
_VERSIONS: Final = """
CREATE TABLE IF NOT EXISTS migration (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)
"""
_VERSION: Final = "SELECT coalesce(max(version), 0) FROM migration"
_ENGINE: Final = """
SELECT current_setting('server_version'), (SELECT coalesce(max(version), 0) FROM migration),
    pg_database_size(current_database()), current_setting('fsync'), current_setting('synchronous_commit'),
    current_setting('full_page_writes'), CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT), pg_is_in_recovery()
"""
_APPLIED: Final = "INSERT INTO migration (version, name, applied_at) VALUES ($1, $2, $3)"
_IS_OURS: Final = """
SELECT to_regclass('migration') IS NOT NULL,
    EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r')
"""

#: After these no open connection is used again: there may be nobody at its other end, or a server that takes no writes.
_CUT_OFF: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)
#: Another transaction was in the way: the same one may succeed at once.
_AGAIN: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
#: What the machine or the network does to us, as opposed to what an operation did wrong.
_OUT_OF_REACH: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresSystemError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg raises on a connection that the server is just closing
    asyncpg.InvalidAuthorizationSpecificationError,
    *_AGAIN,
    OSError,
    TimeoutError,
)

_log = logging.getLogger(__name__)


def as_store_error(error: BaseException) -> BaseException:
    """Return *error* as the protocol's error where the database raised it; any other comes back as it is."""
    if isinstance(error, StoreError):
        return error
    if _is_about_a_value(error):
        return StoreError("PostgreSQL does not take a value")  # asyncpg's sentence shows it
    if isinstance(error, _OUT_OF_REACH):
        return StoreUnavailable(_said(error))
    if isinstance(error, asyncpg.PostgresError):
        return StoreError(_said(error))
    return error


def _is_about_a_value(error: BaseException) -> bool:
    """Return whether a parameter cannot be written, whoever noticed it: asyncpg or the server. The database is well."""
    return isinstance(error, asyncpg.DataError) or (
        isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)
    )


def _said(error: BaseException) -> str:
    """Return what went wrong, without the details and hints of the server: they show whole rows, with people's numbers."""
    message = getattr(error, "message", None) if isinstance(error, asyncpg.PostgresError) else None
    return f"{type(error).__name__}: {message or error}"


@dataclass(slots=True)
class _Job:
    """An operation that waits, and what became of it."""

    operation: Operation[Any]
    future: asyncio.Future[Any]
    message: NewMessage | None = None  # to be accepted: those that stand in a row are accepted with one statement
    owned: Whose | None = None  # what this node has to own for it
    asked_at: float = field(default_factory=time.monotonic)
    begun: bool = False
    given_up: bool = False
    result: Any = None
    error: BaseException | None = None

    def wake(self) -> None:
        if self.future.done():
            return  # a cancelled waiter does not want to know
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class PostgresStore(SqlStore):
    """:class:`kurir.store.GatewayStore` over PostgreSQL 15 and newer.

    *dsn* may name several hosts; the one that takes writes is used. *connections* is the size of the pool.
    """

    def __init__(self, dsn: str, *, connections: int = 10) -> None:
        self._dsn = dsn
        self._hosts = Hosts(dsn)
        self._size = connections
        self._studying = asyncio.Semaphore(max(1, connections // 2))  # the other half is delivery's
        self._pool: asyncpg.Pool[Any] | None = None
        self._waiting: dict[str, deque[_Job]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._begun: dict[str, float] = {}  # when the batch of a client that runs now began
        self._asked = 0
        self._clients: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._accounts: OrderedDict[str, str] = OrderedDict()  # tid → account, of what only its owner writes
        self._accepting = False
        self._failure: str | None = None
        self._probed_at = float("-inf")
        self._probe: asyncio.Task[None] | None = None
        #: What this node owns, where there are nodes; else everything is its own.
        self.fences: leases.Fences | None = None
        #: A range that retention drops holds so many numbers at least.
        self.smallest_range = ranges.SMALLEST

    # --- opening and closing -----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the pool and run the migrations; nodes that start at once take turns. Raises StoreUnusable."""
        opened: Any = self._opened  # asyncpg's stubs know fewer options than its pool hands over
        try:
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=0,  # asyncpg would tell of each try to have one, with a stack
                max_size=self._size,
                connect=opened,
                command_timeout=STATEMENT_MILLISECONDS / 1000 + 2,
                statement_cache_size=STATEMENTS,
                max_cached_statement_lifetime=0,
                init=_welcome,
                reset=_nothing,
                connection_class=_Connection,
                server_settings=_SERVER,
            )
            await self._migrate()
            await self._warn()
        except ValueError:
            await self._drop_pool()
            # What Python says of it holds a piece of the URL, and there may be a password in it.
            raise StoreUnusable(
                "the URL of the database cannot be read: in user and password, special characters (such as @ / : # ? %) "
                "have to be percent-encoded, and its options must be ones of PostgreSQL"
            ) from None
        except (
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
            OSError,
            TimeoutError,
        ) as error:
            await self._drop_pool()
            raise StoreUnusable(f"PostgreSQL cannot be used: {_said(error)}") from error
        except StoreUnusable:
            await self._drop_pool()
            raise
        self._accepting = True

    async def _warn(self) -> None:
        """Say it loudly where the server does not promise what its commits are taken for."""
        async with self._connected() as connection:
            for setting in ("fsync", "full_page_writes"):
                if await connection.fetchval(f"SHOW {setting}") == "off":
                    _log.error("NOT DURABLE: PostgreSQL runs with %s = off, so what was accepted may be lost", setting)

    async def _opened(self, *_dsn: str, **options: Any) -> Any:
        """Open a connection of the pool."""
        connection: Any
        connection, era = await self._hosts.connect(**options)
        connection.era = era
        return connection

    async def _migrate(self) -> None:
        known = migrations.load("postgres")
        async with self._connected() as connection, connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({_MIGRATION}, 0)")
            ours, inhabited = await connection.fetchrow(_IS_OURS)
            if inhabited and not ours:
                raise StoreUnusable("the database has tables that are not kurir's; give kurir one of its own")
            await connection.execute(_VERSIONS)
            version = await connection.fetchval(_VERSION)
            if version > len(known):
                raise StoreUnusable(
                    f"the database has the schema version {version}, and this kurir knows {len(known)}: "
                    f"it was written by a newer one"
                )
            await copies.refuse(connection)
            for migration in known[version:]:
                await connection.execute(migration.sql)
                now = int(SystemClock().now().timestamp() * 1_000_000)
                await connection.execute(_APPLIED, migration.version, migration.name, now)

    async def close(self) -> None:
        """Finish what was begun and close. Later calls raise StoreUnavailable."""
        self._accepting = False
        if self._probe is not None:
            self._probe.cancel()
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE_SECONDS)
        await self._drop_pool()

    async def _drop_pool(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(ACQUIRE_SECONDS):
                await pool.close()
        except Exception:  # noqa: BLE001 -- the connections are cut instead
            pool.terminate()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        """Lend a connection of the pool. One on which anything went wrong is cut: nobody shall meet half a transaction."""
        pool: Any = self._pool
        if pool is None:
            raise StoreUnavailable("the store is closed")
        try:
            async with asyncio.timeout(ACQUIRE_SECONDS):
                while (connection := await pool.acquire()).era != self._hosts.era:
                    _cut(connection)
                    await pool.release(connection)
        except TimeoutError as error:
            raise StoreUnavailable(f"no connection to the database within {ACQUIRE_SECONDS:g} s") from error
        era, began = connection.era, time.monotonic()
        try:
            yield connection
        except BaseException as error:
            _cut(connection)
            unheard = time.monotonic() - began > STATEMENT_MILLISECONDS / 1000  # the server ends it by itself before
            cut_off = unheard if isinstance(error, asyncio.CancelledError) else isinstance(error, _CUT_OFF)
            if cut_off and not _is_about_a_value(error) and era == self._hosts.era:
                self._hosts.distrust()
            raise
        finally:
            await pool.release(connection, timeout=ACQUIRE_SECONDS)

    # --- reading -----------------------------------------------------------------------------------------------------

    async def _read(self, operation: Operation[T]) -> T:
        return await self._look(operation, STATEMENT_MILLISECONDS / 1000)

    async def _study(self, operation: Operation[T], *, seconds: float | None = None) -> T:
        try:
            async with asyncio.timeout(ACQUIRE_SECONDS):
                await self._studying.acquire()
        except TimeoutError as error:
            raise StoreUnavailable("too many look at the database already") from error
        try:
            return await self._look(operation, seconds or STUDY_SECONDS)
        finally:
            self._studying.release()

    async def _look(self, operation: Operation[T], seconds: float) -> T:
        if not self._accepting:
            raise StoreUnavailable("the store is closed")
        try:
            async with asyncio.timeout(seconds + ACQUIRE_SECONDS), self._connected() as connection:
                await connection.execute(
                    f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {int(seconds * 1000)}"
                )
                database: PostgresDatabase = connection.database
                database.seconds = seconds + 2  # the server's limit comes first
                found = await database.run(operation)
                database.seconds = None
                await connection.execute("COMMIT")
                return found
        except TimeoutError as error:
            raise StoreUnavailable(f"the read took too long (more than {seconds:g} s)") from error
        except Exception as error:
            told = as_store_error(error)
            if told is error:
                raise
            raise told from error

    # --- writing -----------------------------------------------------------------------------------------------------

    async def _write(self, whose: Whose, operation: Operation[T], *, seconds: float | None = None) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        job = _Job(operation, future, owned=whose if whose.owner else None)
        answer: T = await self._asked_for(await self._client_of(whose), job, seconds)
        return answer

    async def mark(self, mark: Mark) -> Marked:
        """Mark a part in flight. MOVED where this node does not own its account, or not for long enough to call.

        Then the part may be marked all the same: whoever owns the account treats it as unknown.
        """

        def operation(db: Database) -> Marked:
            return delivery.mark(db, mark) if self._may_call(mark.tid) else Marked.MOVED

        try:
            marked = await self._write(Whose(tid=mark.tid, owner=True), operation)
        except NotOwner:
            return Marked.MOVED
        return marked if self._may_call(mark.tid) else Marked.MOVED

    async def record(self, result: Result) -> Recorded:
        """Record what became of a part, with the next part's mark, which is left out as :meth:`mark` would refuse it.

        Raises NotOwner.
        """

        def operation(db: Database) -> Recorded:
            whole = result if self._may_call(result.tid) else replace(result, next_mark=None)
            return delivery.record(db, whole)

        recorded = await self._write(Whose(tid=result.tid, owner=True), operation)
        return recorded if self._may_call(result.tid) else replace(recorded, marked=False)

    def _may_call(self, tid: str) -> bool:
        """Return whether a call may begin for a message that this transaction, or the last one, is about."""
        return self.fences is None or leases.may_call(self.fences, self._accounts.get(tid, ""))

    async def purge(self, before: datetime, limit: int, *, now: datetime | None = None) -> Purged:
        """Delete what ended before *before*, up to *limit* rows of each kind, and drop the ranges that hold nothing else."""

        async def write(client_id: str, operation: Operation[T]) -> T:
            return await self._write(Whose(client_id=client_id), operation)

        until = now or before
        async with self._reached() as connection:
            found = await ranges.known(connection)
        purged = await retention.purge(write, self._study, found, (before, until), limit)
        if not purged.more:
            async with self._reached() as connection:
                await ranges.drop(connection, before)
        return purged

    async def make_room(self, kept_for: timedelta) -> int:
        """Make the ranges that the next messages and events will stand in; return how many were. For one node at a time."""
        async with self._reached() as connection:
            return await ranges.make(connection, kept_for, self.smallest_range)

    async def broken_invariants(self) -> list[str]:
        """Return a sentence for each rule of the schema that does not hold."""
        return await self._study(lambda db: upkeep.broken_invariants(db, ranges=True), seconds=SWEEP_SECONDS)

    @asynccontextmanager
    async def _reached(self) -> AsyncIterator[Any]:
        """Lend a connection as :meth:`_connected` does; what the database says against it is the protocol's error."""
        try:
            async with self._connected() as connection:
                yield connection
        except Exception as error:
            told = as_store_error(error)
            if told is error:
                raise
            raise told from error

    async def connect(self) -> "asyncpg.Connection[Any]":
        """Open a connection beside the pool, for what belongs to a session: locks and notifications. The caller closes it."""
        connection, _ = await self._hosts.connect(
            command_timeout=STATEMENT_MILLISECONDS / 1000,
            server_settings={**_SERVER, "application_name": "kurir node", "lock_timeout": "3000"},
        )
        return connection

    async def take(self, node_id: str, name: str, account_id: str) -> int | None:
        """Take a free lease of an account under its client's lock; return its fence, None where it was not free.

        So no mark and no outcome of the owner before is written from then on.
        """
        return await self._write(
            of_account(account_id), lambda db: leases.take_one(db, node_id, name), seconds=PATIENCE_SECONDS
        )

    async def standings(self) -> list[leases.StoredStanding]:
        """Return what the store knows of how each enabled account stands."""
        return await self._read(leases.standings)

    async def nodes(self) -> list[leases.NodeRecord]:
        """Return every node, with what it holds, oldest first."""
        return await self._read(leases.nodes)

    async def accept(self, message: NewMessage) -> Accepted | Conflict:
        """Accept *message*: on return it is durable with its job, or was before, or its id is taken."""
        future: asyncio.Future[Accepted | Conflict] = asyncio.get_running_loop().create_future()
        job = _Job(lambda db: accept.accept(db, message), future, message)
        answer: Accepted | Conflict = await self._asked_for(message.client_id, job, PATIENCE_SECONDS)
        self._remember("tid", answer.tid, message.client_id)
        return answer

    async def _asked_for(self, client_id: str, job: _Job, seconds: float | None) -> Any:
        """Return what becomes of *job*, which is done with what else waits for the client."""
        if not self._accepting:
            raise StoreUnavailable("the store is closed")
        if self._asked >= QUEUE or len(self._waiting.get(client_id, ())) >= CLIENT_QUEUE:
            raise StoreUnavailable(f"{self._asked} operations wait for the database already")
        silent = time.monotonic() - self._begun.get(client_id, float("inf")) > AWAY_SECONDS
        away = silent or self._failure is not None
        self._asked += 1
        self._waiting.setdefault(client_id, deque()).append(job)
        if client_id not in self._tasks:
            self._tasks[client_id] = asyncio.create_task(self._serve(client_id), name=f"kurir-writer {client_id}")
        try:
            if seconds is not None and away:
                await asyncio.wait({job.future}, timeout=AWAY_SECONDS)
                if not job.begun:
                    job.given_up = True  # so that it is certain that nothing is kept
                    job.future.cancel()
                    raise StoreUnavailable("the database does not answer")
            async with asyncio.timeout(seconds):
                return await job.future
        except TimeoutError as error:
            job.given_up = True
            raise StoreUnavailable(f"the write took too long (more than {seconds:g} s)") from error
        except asyncio.CancelledError:
            job.future.cancel()  # the write is done all the same: what a call brought is recorded
            raise

    async def called(self, results: Sequence[Called]) -> None:
        """Keep what came of tries, in a transaction for each endpoint: no two have anything to do with each other."""
        by_endpoint: dict[str, list[Called]] = {}
        for result in results:
            by_endpoint.setdefault(result.attempt.endpoint_id, []).append(result)
        await asyncio.gather(*(super(PostgresStore, self).called(each) for each in by_endpoint.values()))

    async def _client_of(self, whose: Whose) -> str:
        """Return whose lock a write takes: a client's id, or "" for everybody's."""
        if whose.client_id:
            return whose.client_id
        found = set()
        if whose.tid:
            found.add(await self._known("tid", whose.tid, _CLIENT_OF_TID))
        for account_id in whose.account_ids:
            found.add(await self._known("account", account_id, _CLIENT_OF_ACCOUNT))
        for endpoint_id in whose.endpoint_ids:
            found.add(await self._known("endpoint", endpoint_id, _CLIENT_OF_ENDPOINT))
        return found.pop() if len(found) == 1 else ""

    async def _known(self, kind: str, key: str, statement: str) -> str:
        """Return the client of a message, account or endpoint, which never changes; "" when there is none."""
        client_id = self._clients.get((kind, key))
        if client_id is None:
            found = await self._read(lambda db: db.execute(statement, (key,)).fetchone())
            if found is None:
                return ""
            client_id = str(found[0])
            self._remember(kind, key, client_id)
        return client_id

    def _remember(self, kind: str, key: str, client_id: str) -> None:
        self._clients[kind, key] = client_id
        if len(self._clients) > KNOWN:
            self._clients.popitem(last=False)

    async def _serve(self, client_id: str) -> None:
        """Run what waits for the client, batch by batch, until nothing does."""
        waiting = self._waiting[client_id]
        try:
            while waiting:
                jobs = [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]
                self._begun[client_id] = time.monotonic()
                await self._commit(client_id, jobs)
                self._asked -= len(jobs)
                for job in jobs:
                    job.wake()
        finally:
            del self._tasks[client_id], self._waiting[client_id]
            self._begun.pop(client_id, None)

    async def _commit(self, client_id: str, jobs: list[_Job]) -> None:
        """Run *jobs* in one transaction. Afterwards each has its result, and it is durable, or its error."""
        began = time.monotonic()
        for left in reversed(range(TRIES)):
            try:
                await self._transact(client_id, jobs)
            except _AGAIN as error:
                if not left:
                    counting.COMMITS.add("failed")
                    self._fail(jobs, error)
            except Exception as error:  # noqa: BLE001 -- every waiter must be told
                counting.COMMITS.add("failed")
                self._fail(jobs, error)
                return
            else:
                self._failure = None
                counting.COMMITS.add("done")
                counting.COMMIT_SECONDS.add(time.monotonic() - began)
                return

    async def _transact(self, client_id: str, jobs: list[_Job]) -> None:
        for job in jobs:
            job.result, job.error = None, None  # of a try before
        async with self._connected() as connection:
            database = connection.database
            await self._begin(connection, client_id)
            jobs = [job for job in jobs if not job.given_up]
            for job in jobs:
                job.begun = True
            allowed = await self._allowed(database, jobs)
            if not await self._swift(database, allowed):
                await connection.execute("ROLLBACK")
                await self._begin(connection, client_id)
                await self._careful(connection, database, await self._allowed(database, jobs))
            await commit(connection)

    async def _begin(self, connection: Any, client_id: str) -> None:
        await connection.execute("BEGIN")
        if client_id:
            await connection.execute(_LOCK_CLIENT, client_id)
        else:
            await connection.execute(_LOCK_ALL)

    async def _allowed(self, database: PostgresDatabase, jobs: list[_Job]) -> list[_Job]:
        """Return the jobs that this node may do; the others have their error. Under the client's lock this stays true."""
        fences, owned = self.fences, [job for job in jobs if job.owned is not None]
        if fences is None or not owned:
            return jobs
        tids = [job.owned.tid for job in owned if job.owned is not None and job.owned.tid]
        names = {account_id for job in owned if job.owned is not None for account_id in job.owned.account_ids}
        accounts, ours = await database.run(lambda db: leases.owned(db, fences, tids, names))
        for tid, account_id in accounts.items():
            self._accounts[tid] = account_id
            if len(self._accounts) > KNOWN:
                self._accounts.popitem(last=False)
        allowed = []
        for job in jobs:
            job.error = None
            about = job.owned
            if about is None:
                allowed.append(job)
                continue
            wanted = {accounts.get(about.tid, "")} if about.tid else about.account_ids
            if not wanted <= ours:
                job.error = NotOwner("another node owns the account by now")
                for account_id in wanted - ours:
                    fences.lost(account_id)
            elif any(fences.since(account_id) > job.asked_at for account_id in wanted):
                job.error = NotOwner("another node owned the account meanwhile")
            else:
                allowed.append(job)
        return allowed

    async def _swift(self, database: PostgresDatabase, jobs: list[_Job]) -> bool:
        """Run *jobs* one after the other. False when one of them failed: then all are to be run once more, carefully."""

        def run(db: Any) -> None:
            for accepted, group in groupby(jobs, key=lambda job: job.message is not None):
                together = list(group)
                if accepted:
                    answers = batches.accept(db, [job.message for job in together if job.message is not None])
                    for job, answer in zip(together, answers, strict=True):
                        job.result = answer
                else:
                    for job in together:
                        job.result = job.operation(db)

        try:
            await database.run(run)
        except Exception as error:
            if isinstance(error, _OUT_OF_REACH) and not _is_about_a_value(error):
                raise
            return False  # it comes again where its savepoint holds it
        return True

    async def _careful(self, connection: Any, database: PostgresDatabase, jobs: list[_Job]) -> None:
        """Run each job in a savepoint, so that one that fails takes no stranger's with it."""
        for job in jobs:
            job.result, job.error = None, None
            await connection.execute("SAVEPOINT operation")
            try:
                job.result = await database.run(job.operation)
            except Exception as error:
                if isinstance(error, _OUT_OF_REACH) and not _is_about_a_value(error):
                    raise
                await connection.execute("ROLLBACK TO SAVEPOINT operation")
                job.error = as_store_error(error)
            await connection.execute("RELEASE SAVEPOINT operation")

    def _fail(self, jobs: list[_Job], error: BaseException) -> None:
        told = as_store_error(error)
        if isinstance(told, StoreUnavailable) and not isinstance(error, asyncpg.LockNotAvailableError):
            if self._failure is None:
                _log.warning("the database is out of reach: %s", told)
            self._failure = str(told)
        for job in jobs:
            job.result, job.error = None, told

    word_index = words

    def idle(self) -> bool:
        """Return whether nobody waits for a write just now."""
        return not self._asked

    # --- health ------------------------------------------------------------------------------------------------------

    async def engine_facts(self) -> EngineFacts:
        """Return what the database says of itself."""
        row = await self._study(lambda db: db.execute(_ENGINE).fetchone())
        return EngineFacts(
            engine="PostgreSQL",
            version=row[0],
            schema=row[1],
            size=row[2],
            settings={"fsync": row[3], "synchronous_commit": row[4], "full_page_writes": row[5]},
            now=moment(row[6]),
            replica=row[7],
        )

    def health(self) -> str | None:
        """Return why nothing can be written, None as far as nothing is known against it."""
        if not self._accepting:
            return "the store is closed"
        now = time.monotonic()
        oldest = min((jobs[0].asked_at for jobs in self._waiting.values() if jobs), default=now)
        if now - oldest >= PATIENCE_SECONDS:
            return f"the database has not finished a batch for {now - oldest:.0f} s"
        if self._failure is None:
            return None
        if now - self._probed_at >= PROBE_SECONDS and (self._probe is None or self._probe.done()):
            self._probed_at = now
            self._probe = asyncio.create_task(self._look_again())
        return f"the last commit failed: {self._failure}"

    async def _look_again(self) -> None:
        with suppress(StoreError):
            await self._write(Whose(client_id=" probe"), config.probe, seconds=PATIENCE_SECONDS)


class _Connection(asyncpg.Connection):
    """A connection of the pool, with the statements that are prepared on it, and the era that it is of (``hosts.py``)."""

    __slots__ = ("database", "era")
    database: PostgresDatabase
    era: int


def _cut(connection: Any) -> None:
    """Close a connection without a word; one that is closed has left the pool already."""
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


async def _welcome(connection: Any) -> None:
    connection.database = PostgresDatabase(connection)
    await connection.execute(_DURABLE)


async def _nothing(_connection: Any) -> None:
    """Reset nothing when a connection goes back to the pool: every transaction here ends itself."""
