"""Opening a SQLite database: is it ours alone, is SQLite new enough, is the schema at this version?

One process has the database: it holds an exclusive ``flock`` on a file beside it, which names its process id.
"""

import fcntl
import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

import apsw

from kurir.store import migrations
from kurir.store.base import StoreUnusable
from kurir.store.operations import rows
from kurir.store.sqlite.writer import BUSY_MILLISECONDS

#: Up to 3.51.2 SQLite could lose committed writes when a WAL was reset (fixed on 2026-03-13).
OLDEST_SQLITE: Final = (3, 51, 3)
#: "kuri", as the first migration sets it.
APPLICATION_ID: Final = 0x6B757269
SYNCHRONOUS: Final = ("EXTRA", "FULL", "NORMAL", "OFF")

_WAL_BYTES: Final = 64 * 1024 * 1024
#: SQLite's own VFS writes less than 128 KiB at once.
_PIECE_BYTES: Final = 64 * 1024

_VERSIONS: Final = """
CREATE TABLE IF NOT EXISTS migration (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT
"""
VERSION: Final = "SELECT coalesce(max(version), 0) FROM migration"
_APPLIED: Final = "INSERT INTO migration (version, name, applied_at) VALUES (?, ?, ?)"
_IS_TABLE: Final = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?"
_ANY_TABLE: Final = "SELECT 1 FROM sqlite_schema LIMIT 1"


class Lock:
    """The exclusive right to a database, held by a file beside it until :meth:`release` or the end of the process."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._file: int | None = None

    def take(self) -> None:
        """Take the lock. Raises StoreUnusable that names the process that has it."""
        path = Path(f"{self._database}.lock")
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnusable(f"the lock file {path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(file, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(file)
            raise StoreUnusable(
                f"the database {self._database} is held by the process {holder}; stop it first, or ask it over HTTP"
            ) from error
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file

    def release(self) -> None:
        """Give the lock back. The file stays: to delete it would let two processes hold two files of one name."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def check_version() -> None:
    """Raise StoreUnusable when the SQLite that is linked in has the bug that loses commits."""
    version = apsw.sqlite_lib_version()
    if tuple(int(number) for number in version.split(".")) < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise StoreUnusable(
            f"SQLite {version} can lose committed writes; {wanted} or newer is needed (install apsw anew)"
        )


def connect_writer(path: Path, synchronous: str, vfs: str | None) -> apsw.Connection:
    """Return a connection that may write. A database that it creates can be read by its owner only."""
    _create(path)
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    db = apsw.Connection(str(path), flags=flags, vfs=vfs, statementcachesize=200)
    if db.readonly("main"):  # SQLite is content with that; we are not
        db.close()
        raise apsw.ReadOnlyError(f"{path} can be opened for reading only")
    db.set_busy_timeout(BUSY_MILLISECONDS)
    _plan_once(db)
    db.pragma("mmap_size", 0)
    db.pragma("journal_mode", "WAL")
    db.pragma("synchronous", synchronous)
    db.pragma("foreign_keys", value=True)
    db.pragma("journal_size_limit", _WAL_BYTES)
    db.pragma("cache_size", -32_000)
    db.pragma("temp_store", "MEMORY")
    return db


def _plan_once(db: apsw.Connection) -> None:
    """Let a statement keep the plan that it was prepared with, whatever values it is run with.

    Else SQLite, as apsw builds it (with STAT4), looks at the values of many statements and prepares them anew each time:
    twenty to fifty microseconds for one that takes two. (https://sqlite.org/c3ref/c_dbconfig_defensive.html, ENABLE_QPSG.)
    """
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)


def _create(path: Path) -> None:
    """Create the file when there is none, mode 0600, which SQLite gives to ``-wal`` and ``-shm`` too.

    A file that is there is not even opened: closing it would drop the locks that SQLite has on it in this process. What
    else goes wrong SQLite meets again, and tells.
    """
    with suppress(OSError):
        os.close(os.open(path.resolve(), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def make_log_durable(path: Path, vfs: str | None) -> None:
    """Write the log anew that a killed process left, byte for byte, and sync it. To be called before SQLite reads it.

    Where the last sync of that process failed, Linux calls pages of the log clean that are on no disk, and later syncs
    succeed (https://wiki.postgresql.org/wiki/Fsync_Errors). SQLite would take the transaction on them for committed, and
    a checkpoint would write it into the database while nothing on disk could complete it after a power cut. Raises
    apsw.Error when the disk still does not take it.
    """
    log = Path(f"{path.resolve()}-wal")
    if not path.exists() or not log.exists() or log.stat().st_size == 0:
        return
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_WAL  # CREATE: sync its folder too
    file = apsw.VFSFile(vfs or "", str(log), [flags, 0])
    try:
        size = file.xFileSize()
        for offset in range(0, size, _PIECE_BYTES):
            file.xWrite(file.xRead(min(_PIECE_BYTES, size - offset), offset), offset)
        file.xSync(apsw.SQLITE_SYNC_NORMAL)
    finally:
        file.xClose()


def connect_reader(path: Path, vfs: str | None) -> apsw.Connection:
    """Return a connection that can only read."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=vfs, statementcachesize=200)
    db.set_busy_timeout(BUSY_MILLISECONDS)
    _plan_once(db)
    db.pragma("mmap_size", 0)
    db.pragma("query_only", value=True)
    db.pragma("cache_size", -16_000)
    db.pragma("temp_store", "MEMORY")
    return db


def migrate(db: apsw.Connection, path: Path, at: datetime) -> None:
    """Bring the schema to the newest version, one transaction a step. Raises StoreUnusable for a schema not ours."""
    steps = migrations.load("sqlite")
    version = 0
    if db.execute(_IS_TABLE, ("migration",)).fetchone() is not None:
        version = db.execute(VERSION).fetchone()[0]  # type: ignore[index]  # an aggregate always has its row
    elif db.execute(_ANY_TABLE).fetchone() is not None:
        raise StoreUnusable(f"{path} is a SQLite database, but not one of kurir's")
    if version and db.pragma("application_id") != APPLICATION_ID:
        raise StoreUnusable(f"{path} is a SQLite database, but not one of kurir's")
    if version > len(steps):
        raise StoreUnusable(
            f"{path} has the schema version {version}, made by a newer kurir; this one knows versions to {len(steps)}"
        )
    for step in steps[version:]:
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute(_VERSIONS)
            list(db.execute(step.sql))  # a statement that gives a row would stop the ones after it
            db.execute(_APPLIED, (step.version, step.name, rows.micros(at)))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
