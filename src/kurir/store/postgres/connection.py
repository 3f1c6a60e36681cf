"""A PostgreSQL connection as the :class:`~kurir.store.database.Database` that the operations talk to.

An operation is an ordinary function: it runs a statement and looks at its rows. asyncpg answers a coroutine. So the operation
runs in a greenlet of its own, on the event loop's thread: at a statement it hands the coroutine to the task that runs it,
which awaits it and hands the rows back. Meanwhile the loop serves others.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import asyncpg
from greenlet import getcurrent, greenlet

from kurir.store.database import Operation
from kurir.store.postgres.statements import translated

T = TypeVar("T")

#: Seconds that a commit may take.
COMMIT_SECONDS: Final = 12.0
#: asyncpg knows no «no limit», so it is a day.
_NO_LIMIT: Final = 86_400.0


async def commit(connection: Any) -> None:
    """Commit. On return it is durable, on a synchronous standby too where there is one.

    A commit that waits for its standby must not be cancelled, as asyncpg does when its time is over: PostgreSQL then says
    that it succeeded, with a warning, and it is on the primary alone, and seen by all
    (https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION-HA). So after ``COMMIT_SECONDS``
    the connection is dropped without a word, and TimeoutError raised: nobody knows yet whether it will come.
    (The server's own statement_timeout does not end a commit.)
    """
    work = asyncio.ensure_future(connection.execute("COMMIT", timeout=_NO_LIMIT))
    try:
        await asyncio.wait({work}, timeout=COMMIT_SECONDS)
    finally:
        if not work.done():
            connection.terminate()
            work.add_done_callback(_heard)
    if not work.done():
        raise TimeoutError(f"the commit took longer than {COMMIT_SECONDS:g} s")
    work.result()


def _heard(work: "asyncio.Future[Any]") -> None:
    """Take the error of a commit that nobody waits for any more."""
    if not work.cancelled():
        work.exception()


async def run_in_greenlet(function: Callable[[], T]) -> T:
    """Return what *function* returns; what it passes to :func:`wait` is awaited here."""
    worker = greenlet(function)
    worker.gr_context = contextvars.copy_context()
    pending: Any = worker.switch()
    while not worker.dead:
        try:
            answer = await pending
        except BaseException as error:  # noqa: BLE001 -- it is raised where the operation waits
            pending = worker.throw(error)
        else:
            pending = worker.switch(answer)
    result: T = pending
    return result


def wait(pending: Awaitable[T]) -> T:
    """Return what *pending* comes to. Only inside :func:`run_in_greenlet`."""
    parent = getcurrent().parent
    if parent is None:
        raise RuntimeError("a statement outside an operation")
    answer: T = parent.switch(pending)
    return answer


@dataclass(frozen=True, slots=True)
class _Statement:
    """A statement as PostgreSQL wants it: whether it selects, or returns what it changed, and which parameters are booleans.

    A comparison is 0 or 1 in SQLite, and so is what is compared with it.
    """

    text: str
    selects: bool
    returns: bool
    booleans: tuple[int, ...]

    @classmethod
    async def of(cls, connection: "asyncpg.Connection[Any]", text: str) -> "_Statement":
        """Return the statement; the server is asked once for the types of its parameters."""
        told = translated(text)
        prepared = await connection.prepare(told)
        booleans = tuple(place for place, kind in enumerate(prepared.get_parameters()) if kind.name == "bool")
        return cls(told, told.lstrip().startswith(("SELECT", "WITH")), "RETURNING" in told, booleans)

    def values(self, bindings: Sequence[Any]) -> Sequence[Any]:
        """Return the parameters as asyncpg wants them."""
        if not self.booleans:
            return bindings
        values = list(bindings)
        for place in self.booleans:
            values[place] = None if values[place] is None else bool(values[place])
        return values


#: What is known of each statement, by its text: there are as many as this folder has.
_statements: dict[str, _Statement] = {}


class _Rows:
    """The rows of a statement, all of them there."""

    __slots__ = ("_left",)

    def __init__(self, rows: list[Any]) -> None:
        self._left = iter(rows)

    def __iter__(self) -> Iterator[Any]:
        return self._left

    def fetchone(self) -> Any:
        return next(self._left, None)

    def fetchall(self) -> list[Any]:
        return list(self._left)


class PostgresDatabase:
    """One connection of the pool; asyncpg keeps its statements prepared."""

    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self._connection = connection
        self._changes = 0
        #: Seconds that a statement may take, None: as long as the pool lets one.
        self.seconds: float | None = None

    def execute(self, statements: str, bindings: Sequence[Any] | None = None, /) -> _Rows:
        """Run one statement, from inside an operation."""
        return _Rows(wait(self._fetch(statements, bindings or ())))

    def changes(self) -> int:
        """Return how many rows the last INSERT, UPDATE or DELETE concerned."""
        return self._changes

    async def _fetch(self, text: str, bindings: Sequence[Any]) -> list[Any]:
        statement = _statements.get(text)
        if statement is None:
            statement = _statements[text] = await _Statement.of(self._connection, text)
        values = statement.values(bindings)
        if statement.selects:
            return await self._connection.fetch(statement.text, *values, timeout=self.seconds)
        if statement.returns:
            rows = await self._connection.fetch(statement.text, *values, timeout=self.seconds)
            self._changes = len(rows)
            return rows
        said = await self._connection.execute(statement.text, *values)  # such as «UPDATE 3»
        self._changes = int(said.rpartition(" ")[2])
        return []

    async def run(self, operation: Operation[T]) -> T:
        """Return what *operation* returns. The transaction is the caller's."""
        return await run_in_greenlet(lambda: operation(self))
