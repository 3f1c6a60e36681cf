"""Copying a SQLite database into an empty PostgreSQL: every table in the order of its key, by COPY, batch after batch.

A batch and the note of how far it came are one transaction, so that a copy which was killed goes on from where it was. Then
both databases are read once more: each table has to have the same rows, by count and by checksum, every rule of the schema
has to hold, and a number that SQLite gave out is never given again. Only then does the file say that it was moved
(:mod:`kurir.store.sqlite.moved`), and PostgreSQL that it may be used. Nothing else of the file is changed, so that until the
end it can simply be started again.

What the tables and columns are is read from SQLite's schema. PostgreSQL may keep a table in pieces and know fewer foreign
keys: rows are copied into the table as a whole, parents before children.

PostgreSQL's text cannot hold NUL. No text that a gateway wrote holds one: it is taken out where texts come in. Should one be
there all the same, it is taken out here in the same way, and counted.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Final, TypeAlias

import apsw
import asyncpg

from kurir.store import migrations
from kurir.store.base import StoreError, StoreUnusable
from kurir.store.operations import upkeep
from kurir.store.postgres import PostgresStore, copies, ranges
from kurir.store.postgres.connection import commit, run_in_greenlet, wait
from kurir.store.postgres.copies import Reached
from kurir.store.postgres.hosts import Hosts
from kurir.store.postgres.place import hushed, place_of
from kurir.store.postgres.statements import translated
from kurir.store.sqlite import moved
from kurir.store.sqlite.backup import log_of, look, looked_at, version_of
from kurir.store.sqlite.opening import Lock, check_version, connect_writer

#: Rows of a batch, and bytes of texts and bodies in it from which on it takes no more.
BATCH_ROWS: Final = 5_000
BATCH_BYTES: Final = 16 * 1024 * 1024
#: Ranges into which what is copied is put, at most. Numbers that leapt (:data:`kurir.store.sqlite.backup.LEAP`) would be many.
RANGES: Final = 16
#: Rows that are read from PostgreSQL at once, to be compared.
FETCHED: Final = 500
#: How long another copy may take to let go of the database, in seconds: the session of one that was killed lives on until
#: its server sees that nobody is there.
PATIENCE_SECONDS: Final = 20.0
#: The session of a copy that was killed ends though it waits for something, where the server's system can tell it.
_NOTICE_KILLS: Final = "SET client_connection_check_interval = 1000"
#: The number of the advisory lock that a copy holds.
_LOCK: Final = 1_802_857_069
_SERVER: Final = {
    "application_name": "kurir db copy",
    "statement_timeout": "1800000",  # milliseconds
    "lock_timeout": "60000",
    "idle_in_transaction_session_timeout": "60000",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "work_mem": "262144",  # kB, for the sweep over all tables
}

#: The index of words is another one in PostgreSQL, and made there anew.
_TABLES: Final = """
SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~' AND name <> 'migration'
    AND name <> 'words' AND name NOT LIKE 'words~_%' ESCAPE '~'
ORDER BY name
"""
_COLUMNS: Final = "SELECT name, pk FROM pragma_table_info(?) ORDER BY cid"
_PARENTS: Final = 'SELECT DISTINCT "table" FROM pragma_foreign_key_list(?)'
_GIVEN: Final = "SELECT seq FROM sqlite_sequence WHERE name = ?"
#: A column's type, and the sequence that gives its numbers: its own, or the one that its default takes them from.
_TYPES: Final = """
SELECT attname::text, format_type(atttypid, NULL), coalesce(pg_get_serial_sequence($1::text, attname::text), (
    SELECT sequence.oid::regclass::text FROM pg_attrdef
    JOIN pg_depend ON pg_depend.classid = 'pg_attrdef'::regclass AND pg_depend.objid = pg_attrdef.oid
    JOIN pg_class AS sequence ON sequence.oid = pg_depend.refobjid AND sequence.relkind = 'S'
    WHERE adrelid = attrelid AND adnum = attnum))
FROM pg_attribute WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped
"""
_VERSION: Final = "SELECT coalesce(max(version), 0) FROM migration"

_Row: TypeAlias = tuple[Any, ...]
#: Told what is done ("copying message", "reading message in PostgreSQL"), how many rows of how many.
Tell: TypeAlias = Callable[[str, int, int], None]


class CopyError(StoreError):
    """The copy was not begun, or cannot go on; the text is a sentence for the operator."""


class CopyStopped(CopyError):
    """Somebody stopped the copy between two batches."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A table that is the same in both databases: how many rows, and their checksum in hex."""

    table: str
    rows: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a copy. ``place``: the PostgreSQL, to be shown. ``begun``: when it was begun, where that was another run.

    ``mended``: texts that lost a NUL. ``broken``: rules of the schema that did not hold before either.
    """

    place: str
    tables: tuple[Copied, ...]
    begun: str
    mended: int
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the source. ``json``, ``texts``: the places of such columns in PostgreSQL, by their number."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    json: tuple[int, ...] = ()
    texts: tuple[int, ...] = ()
    numbers: tuple[tuple[str, str], ...] = ()  # a column whose values a sequence gives, and that sequence

    @property
    def listed(self) -> str:
        return ", ".join(f'"{name}"' for name in self.columns)

    @property
    def copied(self) -> str:
        """The condition for the rows of the source that are copied.

        All but the note that it was moved, and how far its own index of words has come.
        """
        left_out = {"meta": f"key <> '{moved.META}'", "followed": "what <> 'words'"}
        return left_out.get(self.name, "TRUE")

    def key_of(self, row: _Row) -> list[Any]:
        return [row[self.columns.index(name)] for name in self.key]


async def copy(path: Path, dsn: str, tell: Tell, *, at: datetime, stopping: asyncio.Event) -> Outcome:
    """Copy the SQLite database at *path* into the PostgreSQL at *dsn*, or go on with a copy that was begun.

    On return PostgreSQL holds the same, durably, and the file says that it was moved, at *at*. Once *stopping* is set it
    raises CopyStopped after the batch. Raises CopyError, StoreUnusable (also where a gateway has the file).
    """
    try:
        place = place_of(dsn)
    except ValueError as error:
        raise CopyError(str(error)) from None
    check_version()
    if look(path) is None:
        raise CopyError(f"there is no database at {path}")
    lock = Lock(path)
    lock.take()
    one = _Copy(path, dsn, place, tell, stopping)
    try:
        return await one.run(at)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, ValueError) as error:
        told = hushed(f"{type(error).__name__}: {error}".rstrip(": "), dsn)
        stays = "; what is copied stays, and the same command goes on from there" if one.begun else ""
        raise CopyError(f"{place}: {told}{stays}") from error
    except StoreUnusable as error:
        raise StoreUnusable(hushed(str(error), dsn)) from None
    finally:
        lock.release()


class _Copy:
    """One run of a copy."""

    def __init__(self, path: Path, dsn: str, place: str, tell: Tell, stopping: asyncio.Event) -> None:
        self._path = path
        self._source = str(path.resolve())
        self._dsn = dsn
        self._place = place
        self._tell = tell
        self._stopping = stopping
        self.begun = False

    async def run(self, at: datetime) -> Outcome:
        with looked_at(self._path) as db:
            tables = self._tables(db)
            gone = moved.where(db)
            async with self._connected() as connection:
                before = await copies.begun(connection)
                if gone is not None and (before is None or before.source != self._source):
                    raise CopyError(f"{self._path} was moved to {gone[0]} at {gone[1]} already")
                if before is None:
                    await self._begin(connection, db, tables)
                elif gone is None:
                    self._check_source(before)
                self.begun = True
                tables = [await self._fitting(connection, table) for table in tables]
                if gone is None:
                    for table in tables:
                        await self._copy_table(connection, db, table)
                    await self._go_on_counting(connection, db, tables)
                    await connection.execute("ANALYZE")
                copied, broken = await self._compare(connection, db, tables)
                mended = await copies.mended(connection)
                db.close()
                self._note_moved(at)
                async with _transaction(connection):
                    await copies.end(connection)
        return Outcome(self._place, copied, "" if before is None else before.at, mended, broken)

    # --- beginning ------------------------------------------------------------------------------------------------------

    def _tables(self, db: apsw.Connection) -> list[_Table]:
        """Return the tables of the source, parents before children."""
        version, known = version_of(db, self._path), len(migrations.load("sqlite"))
        if not version:
            raise CopyError(f"{self._path} is empty: set the database to PostgreSQL, and start")
        if version < known:
            raise CopyError(
                f"{self._path} has the schema version {version}, and this kurir's is {known}: run kurir db migrate first"
            )
        names = [str(row[0]) for row in db.execute(_TABLES)]
        parents = {name: {str(row[0]) for row in db.execute(_PARENTS, (name,))} - {name} for name in names}
        found = []
        for name in TopologicalSorter(parents).static_order():
            columns = db.execute(_COLUMNS, (name,)).fetchall()
            key = tuple(str(column) for column, place in sorted(columns, key=lambda row: str(row[1])) if place)
            found.append(_Table(name, tuple(str(column) for column, _ in columns), key))
        return found

    @asynccontextmanager
    async def _connected(self) -> "AsyncIterator[asyncpg.Connection[Any]]":
        """Give a connection to the server that takes writes, with the lock that only one copy has."""
        connection, _ = await Hosts(self._dsn).connect(server_settings=_SERVER)
        try:
            with suppress(asyncpg.PostgresError):
                await connection.execute(_NOTICE_KILLS)
            until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1::int, 0)", _LOCK):
                if asyncio.get_running_loop().time() > until or self._stopping.is_set():
                    raise CopyError(f"another copy into {self._place} is under way")
                await asyncio.sleep(0.2)
            yield connection
        finally:
            connection.terminate()

    async def _begin(
        self, connection: "asyncpg.Connection[Any]", db: apsw.Connection, tables: Sequence[_Table]
    ) -> None:
        """Make the tables and their ranges, and note that a copy begins. Refuses a database that anybody wrote to."""
        store = PostgresStore(self._dsn, connections=2)
        await store.open()
        await store.close()
        async with _transaction(connection):
            await connection.execute("LOCK TABLE migration IN ACCESS EXCLUSIVE MODE")  # nodes that start wait for it
            for name in (*(table.name for table in tables), "key_range", "node"):
                if await connection.fetchval(f'SELECT EXISTS (SELECT 1 FROM "{name}")'):  # noqa: S608 -- our own name
                    raise CopyError(
                        f"{self._place} is in use: its table {name} has rows, and no copy was begun there. Copy into an "
                        "empty database"
                    )
            for kind in ranges.TABLES:
                last = _given(db, kind)
                await ranges.cover(connection, kind, last, max(ranges.SMALLEST, -(-last // RANGES)))
            await copies.begin(connection, self._source, _stamp(self._path))

    def _check_source(self, before: copies.Begun) -> None:
        if before.stamp != _stamp(self._path):
            raise CopyError(
                f"at {before.at} a copy of {before.source} was begun into {self._place}. {self._path} is another file, or was "
                "written to since: make that database empty, and begin again"
            )

    async def _fitting(self, connection: "asyncpg.Connection[Any]", table: _Table) -> _Table:
        """Return *table* with what PostgreSQL says of its columns."""
        types = {name: (kind, sequence) for name, kind, sequence in await connection.fetch(_TYPES, table.name)}
        version = await connection.fetchval(_VERSION)
        if not set(table.columns) <= set(types) or version != len(migrations.load("postgres")):
            raise CopyError(
                f"the tables in {self._place} are those of another version of kurir: finish the copy with that one, or "
                "make the database empty and begin again"
            )
        kinds = [types[name][0] for name in table.columns]
        return replace(
            table,
            json=tuple(place for place, kind in enumerate(kinds) if kind == "jsonb"),
            texts=tuple(place for place, kind in enumerate(kinds) if kind == "text"),
            numbers=tuple((name, types[name][1]) for name in table.columns if types[name][1]),
        )

    # --- copying --------------------------------------------------------------------------------------------------------

    async def _copy_table(self, connection: "asyncpg.Connection[Any]", db: apsw.Connection, table: _Table) -> None:
        far = await copies.reached(connection, table.name)
        total = _count(db, table)
        while not far.done:
            for rows in _batches(db, table, far.after):
                if self._stopping.is_set():
                    raise CopyStopped(f"stopped in the table {table.name}; the same command goes on from there")
                kept, mended = _storable(table, rows)
                far = Reached(_as_json(table.key_of(rows[-1])), far.rows + len(rows), far.mended + mended)
                async with _transaction(connection):
                    await connection.copy_records_to_table(table.name, records=kept, columns=table.columns)
                    await copies.reach(connection, table.name, far)
                self._tell(f"copying {table.name}", far.rows, total)
            far = replace(far, done=True)
            async with _transaction(connection):
                await copies.reach(connection, table.name, far)

    async def _go_on_counting(
        self, connection: "asyncpg.Connection[Any]", db: apsw.Connection, tables: Sequence[_Table]
    ) -> None:
        """Let each sequence go on above what SQLite gave out, also to rows that are deleted by now."""
        async with _transaction(connection):
            for table in tables:
                for column, sequence in table.numbers:
                    highest = _one(db, f'SELECT coalesce(max("{column}"), 0) FROM "{table.name}"')  # noqa: S608 -- our own names
                    reached = max(highest, _given(db, table.name))
                    if reached:
                        await connection.execute("SELECT setval($1::text::regclass, $2)", sequence, reached)

    # --- comparing ------------------------------------------------------------------------------------------------------

    async def _compare(
        self, connection: "asyncpg.Connection[Any]", db: apsw.Connection, tables: Sequence[_Table]
    ) -> tuple[tuple[Copied, ...], tuple[str, ...]]:
        """Return what is the same, and which rules were broken before. Raises CopyError where anything differs."""
        different: list[str] = []
        # First, since PostgreSQL may end a transaction that stands idle while a large file is read.
        here = [await self._sum_here(db, table) for table in tables]
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for table, ours in zip(tables, here, strict=True):
                theirs = await self._sum_there(connection, table, ours.rows)
                if ours != theirs:
                    different.append(
                        f"{table.name} ({ours.rows:,} rows, {ours.checksum} in the file; {theirs.rows:,}, {theirs.checksum})"
                    )
            if different:
                raise CopyError(
                    f"{self._place} does not hold the same as {self._path}: {'; '.join(different)}. Nothing was changed "
                    "in the file. Make that database empty, and begin again"
                )
            broken = await run_in_greenlet(lambda: upkeep.broken_invariants(_Streamed(connection)))
        before = set(upkeep.broken_invariants(db)) if broken else set()
        new = [sentence for sentence in broken if sentence not in before]
        if new:
            raise CopyError(f"{self._place} does not keep the rules of its schema: {'; '.join(new[:5])}")
        return tuple(here), tuple(broken)

    async def _sum_here(self, db: apsw.Connection, table: _Table) -> Copied:
        total = _Sum(table, self._tell, "in the file", _count(db, table))
        statement = f'SELECT {table.listed} FROM "{table.name}" WHERE {table.copied}'  # noqa: S608 -- our own names
        for row in db.execute(statement):
            if not total.rows % FETCHED:
                await asyncio.sleep(0)  # a signal is heard by the loop
                self._check_stop()
            total.add(_storable(table, [row])[0][0])
        return total.done()

    async def _sum_there(self, connection: "asyncpg.Connection[Any]", table: _Table, rows_here: int) -> Copied:
        total = _Sum(table, self._tell, "in PostgreSQL", rows_here)
        rows = await connection.cursor(f'SELECT {table.listed} FROM "{table.name}"')  # noqa: S608 -- our own names
        while found := await rows.fetch(FETCHED):
            self._check_stop()
            for row in found:
                total.add(tuple(row))
        return total.done()

    def _check_stop(self) -> None:
        if self._stopping.is_set():
            raise CopyStopped("stopped while the databases were compared; the same command compares them again")

    # --- ending ---------------------------------------------------------------------------------------------------------

    def _note_moved(self, at: datetime) -> None:
        with closing(connect_writer(self._path, "FULL", None)) as db:
            if moved.where(db) is None:
                with db:
                    moved.note(db, self._place, at)


@asynccontextmanager
async def _transaction(connection: "asyncpg.Connection[Any]") -> AsyncIterator[None]:
    """Begin, and commit. After an error the connection is given up by its caller, and the server rolls back."""
    await connection.execute("BEGIN")
    yield
    await commit(connection)


# --- rows ---------------------------------------------------------------------------------------------------------------


def _batches(db: apsw.Connection, table: _Table, after: str) -> Iterator[list[_Row]]:
    """Yield the rows above the key *after* in the order of the key, a batch at a time."""
    key = ", ".join(f'"{name}"' for name in table.key)
    above = f"({key}) > ({', '.join('?' * len(table.key))})" if after else "TRUE"
    statement = f'SELECT {table.listed} FROM "{table.name}" WHERE {table.copied} AND {above} ORDER BY {key}'  # noqa: S608 -- our own names
    rows: list[_Row] = []
    size = 0
    for row in db.execute(statement, _from_json(after)):
        rows.append(row)
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if len(rows) == BATCH_ROWS or size >= BATCH_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _storable(table: _Table, rows: Sequence[_Row]) -> tuple[Sequence[_Row], int]:
    """Return *rows* as PostgreSQL can keep them, and how many texts lost a NUL."""
    kept: list[_Row] = []
    mended = 0
    for row in rows:
        changed = {place: row[place].replace("\0", "") for place in table.texts if row[place] and "\0" in row[place]}
        for place in table.json:
            if row[place] and ("\0" in row[place] or "\\u0000" in row[place]):
                whole = json.loads(row[place].replace("\0", ""))
                fit = json.dumps(_without_nul(whole))
                if fit != json.dumps(whole) or "\0" in row[place]:
                    changed[place] = fit
        mended += len(changed)
        kept.append(tuple(changed.get(place, value) for place, value in enumerate(row)) if changed else row)
    return kept, mended


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [_without_nul(one) for one in value]
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(one) for name, one in value.items()}
    return value


def _as_json(key: Sequence[Any]) -> str:
    """Return a key of integers, texts and bytes as JSON."""
    return json.dumps([{"hex": one.hex()} if isinstance(one, bytes) else one for one in key])


def _from_json(text: str) -> tuple[Any, ...]:
    """Return the key that :func:`_as_json` wrote, () for ""."""
    return tuple(bytes.fromhex(one["hex"]) if isinstance(one, dict) else one for one in json.loads(text or "[]"))


class _Sum:
    """The checksum of a table: the sum of its rows' hashes, so that it does not matter in which order they come.

    A row's hash is BLAKE2b (16 bytes) of the values in the order of the source's columns as Python writes them, which tells
    apart every two values that SQLite or PostgreSQL has for us; JSON that PostgreSQL keeps as such is written anew first.
    """

    def __init__(self, table: _Table, tell: Tell, where: str, total: int) -> None:
        self._table = table
        self._tell = tell
        self._what = f"reading {table.name} {where}"
        self._total = total
        self._sum = 0
        self.rows = 0

    def add(self, row: _Row) -> None:
        """Add a row, as PostgreSQL can keep it."""
        if self._table.json:
            values = list(row)
            for place in self._table.json:
                if values[place] is not None:
                    values[place] = json.dumps(json.loads(values[place]), sort_keys=True)
            row = tuple(values)
        digest = hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self._sum = (self._sum + int.from_bytes(digest, "big")) % 2**128
        self.rows += 1
        if not self.rows % FETCHED:
            self._tell(self._what, self.rows, self._total)

    def done(self) -> Copied:
        """Return what the rows come to."""
        self._tell(self._what, self.rows, self._total)
        return Copied(self._table.name, self.rows, f"{self._sum:032x}")


class _Streamed:
    """A PostgreSQL connection in a transaction, for operations that only read: rows come by and by, however many they are."""

    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self._connection = connection

    def execute(self, statements: str, bindings: Sequence[Any] | None = None, /) -> "_Stream":
        """Run one statement."""
        return _Stream(wait(self._cursor(translated(statements), bindings or ())))

    async def _cursor(self, statement: str, values: Sequence[Any]) -> Any:
        return await self._connection.cursor(statement, *values)

    def changes(self) -> int:
        """Nothing is ever changed."""
        return 0


class _Stream:
    def __init__(self, cursor: Any) -> None:
        self._left = self._rows(cursor)

    def _rows(self, cursor: Any) -> Iterator[Any]:
        while found := wait(cursor.fetch(FETCHED)):
            yield from found

    def __iter__(self) -> Iterator[Any]:
        return self._left

    def fetchone(self) -> Any:
        return next(self._left, None)

    def fetchall(self) -> list[Any]:
        return list(self._left)


def _given(db: apsw.Connection, table: str) -> int:
    """Return the highest number that was ever given to a row of *table*, 0 for none, or where rows have no such number."""
    found = db.execute(_GIVEN, (table,)).fetchone()
    return 0 if found is None else int(found[0])


def _count(db: apsw.Connection, table: _Table) -> int:
    return _one(db, f'SELECT count(*) FROM "{table.name}" WHERE {table.copied}')  # noqa: S608 -- our own name


def _one(db: apsw.Connection, statement: str) -> int:
    return int(db.execute(statement).fetchone()[0])  # type: ignore[index]  # an aggregate always has its row


def _stamp(path: Path) -> str:
    """Return what tells whether a database that nobody has open was written to: sizes and times of the file and its log."""
    stamps = []
    for file in (path, log_of(path)):
        if file.exists() and file.stat().st_size:
            found = file.stat()
            stamps.append(f"{found.st_size}:{found.st_mtime_ns}")
    return " ".join(stamps)
