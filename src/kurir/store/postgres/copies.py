"""A copy into this database that was begun: noted in the database itself, in the transactions that write the rows.

So a copy that was killed goes on from where it was, and no gateway works on half of one.
"""

from dataclasses import dataclass
from typing import Any, Final

from kurir.store.base import StoreUnusable

_BEGUN: Final = "SELECT to_regclass('kurir_copy') IS NOT NULL"
_CREATE: Final = """
CREATE TABLE kurir_copy (source TEXT NOT NULL, stamp TEXT NOT NULL, begun_at TIMESTAMPTZ NOT NULL DEFAULT now());
CREATE TABLE kurir_copy_table (
    name    TEXT PRIMARY KEY,
    reached TEXT NOT NULL,            -- the key of its last row, as JSON
    rows    BIGINT NOT NULL,
    mended  BIGINT NOT NULL,          -- texts that lost a NUL
    done    BOOLEAN NOT NULL
)
"""
_NOTE: Final = "INSERT INTO kurir_copy (source, stamp) VALUES ($1, $2)"
_SOURCE: Final = (
    "SELECT source, stamp, to_char(begun_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM kurir_copy"
)
_REACHED: Final = "SELECT reached, rows, mended, done FROM kurir_copy_table WHERE name = $1"
_REACH: Final = """
INSERT INTO kurir_copy_table (name, reached, rows, mended, done) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE SET reached = excluded.reached, rows = excluded.rows, mended = excluded.mended,
    done = excluded.done
"""
_MENDED: Final = "SELECT coalesce(sum(mended), 0)::bigint FROM kurir_copy_table"
_DROP: Final = "DROP TABLE kurir_copy, kurir_copy_table"


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a table is copied. ``after``: the key of its last row as JSON, "" before the first."""

    after: str = ""
    rows: int = 0
    mended: int = 0
    done: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """What a copy that was begun is of: the file's path, what it looked like then, and when that was (RFC 3339)."""

    source: str
    stamp: str
    at: str


async def refuse(connection: Any) -> None:
    """Raise StoreUnusable where a copy into the database was begun and has not ended."""
    if await connection.fetchval(_BEGUN):
        raise StoreUnusable(
            "a copy into this database was begun and has not ended: run the same kurir db copy again, which goes on from "
            "where it was, or give kurir an empty database"
        )


async def begun(connection: Any) -> Begun | None:
    """Return the copy that was begun, None when there is none."""
    if not await connection.fetchval(_BEGUN):
        return None
    return Begun(*await connection.fetchrow(_SOURCE))


async def begin(connection: Any, source: str, stamp: str) -> None:
    """Note that a copy begins. The transaction is the caller's."""
    await connection.execute(_CREATE)
    await connection.execute(_NOTE, source, stamp)


async def reached(connection: Any, table: str) -> Reached:
    """Return how far *table* is copied."""
    row = await connection.fetchrow(_REACHED, table)
    return Reached() if row is None else Reached(*row)


async def reach(connection: Any, table: str, far: Reached) -> None:
    """Note how far *table* is copied, in the transaction that brought it there."""
    await connection.execute(_REACH, table, far.after, far.rows, far.mended, far.done)


async def mended(connection: Any) -> int:
    """Return how many texts lost a NUL so far."""
    found: int = await connection.fetchval(_MENDED)
    return found


async def end(connection: Any) -> None:
    """Forget the copy: from now on a gateway may work on the database."""
    await connection.execute(_DROP)
