"""A consistent copy of a SQLite database beside the process that writes it, and putting such a copy in its place.

A copy is one moment of the database: one read transaction is held while SQLite's backup copies page after page, so that no
write begins it anew, and no write waits for it (https://www.sqlite.org/c3ref/backup_finish.html, and
https://www.sqlite.org/wal.html for readers beside a writer). It is looked through and on the disk before it gets its name.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

import apsw

from kurir.store import migrations
from kurir.store.base import StoreError, StoreUnusable
from kurir.store.operations import config, rows, upkeep
from kurir.store.sqlite import moved
from kurir.store.sqlite.opening import (
    APPLICATION_ID,
    Lock,
    check_version,
    connect_reader,
    connect_writer,
    migrate,
)

#: Pages that are copied between two looks at the progress: 4 MiB.
PAGES: Final = 1_024
#: By how much the numbers of messages, events and quarantined webhooks leap when a database goes on from an earlier
#: moment. What was given out after that moment must not be given again: a client's cursor would pass new events, and a
#: ``webhook-id`` that comes twice is a repeat for whoever keeps them. It is more than a gateway gives out in a day at ten
#: thousand events a second.
LEAP: Final = 1_000_000_000

_VERSION: Final = "SELECT coalesce(max(version), 0) FROM migration"
_IS_TABLE: Final = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migration'"
_NUMBERED: Final = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'"
_GIVEN: Final = "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = ?"
_NEVER_GIVEN: Final = "INSERT INTO sqlite_sequence (name, seq) VALUES (?2, ?1)"
_WORKING: Final = "SELECT id FROM account WHERE paused_at IS NULL ORDER BY id"
_QUEUED: Final = "SELECT count(*) FROM message WHERE queued = 1"
_NEWEST: Final = "SELECT max(accepted_at) FROM message"

#: Told how many bytes of how many are copied.
Tell = Callable[[int, int], None]


class BackupError(StoreError):
    """A backup cannot be made or restored; the text is a sentence for the operator. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a database says of itself. ``size`` in bytes, with its log; ``version`` of its schema, 0 for none yet."""

    version: int
    size: int
    moved: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did.

    ``kept``: where that is now which was there before. ``migrated``: from which schema version it was brought to the newest,
    None when it had that. ``queued``: messages that delivery has work with. ``newest``: when the last one was accepted.
    ``held``: the accounts that were paused. ``moved``: where it was copied to before the backup was made, and when.
    """

    size: int
    kept: Path | None
    migrated: int | None
    queued: int
    newest: datetime | None
    held: tuple[str, ...]
    moved: tuple[str, str] | None


def look(path: Path) -> Look | None:
    """Return what the database at *path* says of itself, None when there is no file. Changes nothing, and waits for nobody.

    Raises StoreUnusable for a file that is not one of kurir's databases, or of a newer kurir.
    """
    if not path.exists():
        return None
    with looked_at(path) as db:
        version = version_of(db, path)
        return Look(version, _size_of(path), moved.where(db) if version else None)


def meta_of(path: Path, key: str) -> str | None:
    """Return a value of the installation, None when it is not set. Raises what :func:`look` does."""
    with looked_at(path) as db:
        return config.meta(db, key) if version_of(db, path) else None


def backup(path: Path, file: Path, tell: Tell) -> int:
    """Copy the database at *path*, which may be in use, to the new *file*; return its size in bytes.

    On return the copy is whole (SQLite's integrity check found nothing), on the disk, and its owner's alone to read. Raises
    BackupError, StoreUnusable.
    """
    check_version()
    if not path.exists():
        raise BackupError(f"there is no database at {path}")
    if file.exists():
        raise BackupError(f"{file} is there already, and is left as it is: name another file")
    with _written(Path(f"{file}.part")) as part:
        with _reading(path) as db:
            version_of(db, path)
            _copy(db, part, tell)
        _check(part, path)
        _sync(part)
        if file.exists():
            raise BackupError(f"{file} came to be there meanwhile, and is left as it is")
        part.rename(file)
    _sync(file.parent)
    return file.stat().st_size


def restore(file: Path, path: Path, tell: Tell, *, at: datetime, force: bool = False, hold: bool = False) -> Restored:
    """Put a copy of the backup *file* in the place of the database at *path*. The backup itself is not touched.

    It is looked through before: whether it is one of kurir's and not of a newer one, SQLite's integrity check, every rule of
    the schema. Its schema is brought to the newest version, and its numbers leap by :data:`LEAP`. *force*: a database that is
    there already is kept under another name. *hold*: all accounts are paused, at *at*.

    On return it is on the disk. A kill in the middle leaves what was there, or what was restored. Raises BackupError,
    StoreUnusable (also where a gateway runs on it).
    """
    check_version()
    if not file.is_file():
        raise BackupError(f"there is no backup at {file}")
    if path.exists() and file.samefile(path):
        raise BackupError(f"{file} is the database itself")
    lock = Lock(path)
    lock.take()
    try:
        if path.exists() and not force:
            raise BackupError(f"{path} is there already; --force keeps it under another name, and restores")
        path = path.resolve()  # from here on: a link stays one
        with _written(Path(f"{path}.restoring")) as part:
            with looked_at(file) as db:
                before = version_of(db, file)
                if not before:
                    raise BackupError(f"{file} is an empty database")
                gone = moved.where(db)
                _copy(db, part, tell)
            _check(part, file)
            queued, newest, held = _made_ready(part, file, at, hold=hold)
            _own(part, path)
            _sync(part)
            kept = _put_aside(path, at)
            part.rename(path)
        _sync(path.parent)
    finally:
        lock.release()
    migrated = before if before < len(migrations.load("sqlite")) else None
    return Restored(path.stat().st_size, kept, migrated, queued, newest, held, gone)


def reopen(path: Path, at: datetime, *, hold: bool = False) -> tuple[str, ...] | None:
    """Let a database be started again that was copied to PostgreSQL; None when it was not. Returns the accounts paused.

    Its numbers leap, as :func:`restore` does it. Raises StoreUnusable.
    """
    check_version()
    if not path.exists():
        raise BackupError(f"there is no database at {path}")
    lock = Lock(path)
    lock.take()
    held: tuple[str, ...] | None = None
    try:
        with _refusals(path), closing(connect_writer(path, "FULL", None)) as db:
            if version_of(db, path) and moved.where(db) is not None:
                with db:
                    moved.forget(db)
                    _leap(db)
                    held = _hold(db, at) if hold else ()
    finally:
        lock.release()
    return held


# --- reading ------------------------------------------------------------------------------------------------------------


@contextmanager
def _reading(path: Path) -> Iterator[apsw.Connection]:
    """Give a read-only connection that stays at one moment, also while others write."""
    with _sqlite_of(path), closing(connect_reader(path, None)) as db:
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # the moment is that of the first read
        yield db


@contextmanager
def looked_at(path: Path) -> Iterator[apsw.Connection]:
    """Give a connection that leaves nothing beside the file, where nobody writes to it.

    A database that nobody has open has no log. To read it as what cannot change spares SQLite the files that it else makes
    for readers, and works where nothing can be written (a backup on another disk).
    """
    if log_of(path).exists():
        with _reading(path) as db:
            yield db
        return
    with _sqlite_of(path):
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        with closing(apsw.Connection(f"file:{quote(str(path.resolve()))}?immutable=1", flags=flags)) as db:
            yield db


@contextmanager
def _sqlite_of(path: Path) -> Iterator[None]:
    """Tell what SQLite refuses in a sentence."""
    try:
        yield
    except apsw.Error as error:
        raise BackupError(f"{path}: {type(error).__name__}: {error}") from error


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Tell what SQLite or the system refuses in a sentence."""
    try:
        with _sqlite_of(path):
            yield
    except OSError as error:
        raise BackupError(f"{error.filename or path}: {error.strerror}") from error


def version_of(db: apsw.Connection, path: Path) -> int:
    """Return the schema version, 0 for an empty file. Raises StoreUnusable for what is not ours, or newer."""
    if db.execute(_IS_TABLE).fetchone() is None or db.pragma("application_id") != APPLICATION_ID:
        if db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is None:
            return 0
        raise StoreUnusable(f"{path} is a SQLite database, but not one of kurir's")
    version = int(db.execute(_VERSION).fetchone()[0])  # type: ignore[index]  # an aggregate always has its row
    known = len(migrations.load("sqlite"))
    if version > known:
        raise StoreUnusable(
            f"{path} has the schema version {version}, made by a newer kurir; this one knows versions to {known}"
        )
    return version


def log_of(path: Path) -> Path:
    """Return the log of the database at *path*: SQLite has it beside the file, and not beside a link to that."""
    return Path(f"{path.resolve()}-wal")


def _size_of(path: Path) -> int:
    log = log_of(path)
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


# --- writing ------------------------------------------------------------------------------------------------------------


@contextmanager
def _written(part: Path) -> Iterator[Path]:
    """Give a new file, its owner's alone, for nobody else at the same time; it is deleted unless it got another name.

    What a killed process left there is written over.
    """
    with _refusals(part):
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackupError(f"{part} is just being written by another process") from None
            os.ftruncate(descriptor, 0)
            os.fchmod(descriptor, 0o600)
            beside = [Path(f"{part}{end}") for end in ("-wal", "-shm", "-journal")]
            for left in beside:  # SQLite would take an old log for one of the new file
                left.unlink(missing_ok=True)
            try:
                yield part
            finally:
                for left in (part, *beside):
                    left.unlink(missing_ok=True)
        finally:
            os.close(descriptor)  # only now: it would drop the locks that SQLite has on the file in this process


def _copy(db: apsw.Connection, part: Path, tell: Tell) -> None:
    with closing(apsw.Connection(str(part))) as copy:
        copy.pragma("synchronous", "OFF")  # it is synced as a whole, by its caller
        page_bytes = int(db.pragma("page_size"))
        with copy.backup("main", db, "main") as pages:
            while not pages.done:
                pages.step(PAGES)
                tell((pages.page_count - pages.remaining) * page_bytes, pages.page_count * page_bytes)


def _check(part: Path, source: Path) -> None:
    """Raise BackupError where SQLite finds the copy damaged: then its source is."""
    with looked_at(part) as db:
        found = [str(row[0]) for row in db.execute("PRAGMA integrity_check(5)")]
    if found != ["ok"]:
        raise BackupError(f"{source} is damaged, and its copy was not kept: {'; '.join(found)}")


def _made_ready(part: Path, source: Path, at: datetime, *, hold: bool) -> tuple[int, datetime | None, tuple[str, ...]]:
    """Bring the copy to the newest schema, look whether every rule holds, and let its numbers leap.

    Returns how many messages are queued, when the newest was accepted, and the accounts that were paused.
    """
    with closing(connect_writer(part, "FULL", None)) as db:
        migrate(db, part, at)
        broken = upkeep.broken_invariants(db)
        if broken:
            raise BackupError(f"{source} does not keep the rules of its schema: {'; '.join(broken[:5])}")
        with db:
            _leap(db)
            held = _hold(db, at) if hold else ()
        queued = int(db.execute(_QUEUED).fetchone()[0])  # type: ignore[index]  # an aggregate always has its row
        newest = db.execute(_NEWEST).fetchone()[0]  # type: ignore[index]  # an aggregate always has its row
    return queued, rows.moment_or_none(newest), held


def _leap(db: apsw.Connection) -> None:
    for (name,) in db.execute(_NUMBERED).fetchall():
        db.execute(_GIVEN, (LEAP, name))
        if not db.changes():
            db.execute(_NEVER_GIVEN, (LEAP, name))


def _hold(db: apsw.Connection, at: datetime) -> tuple[str, ...]:
    """Pause every account that works; return them."""
    working = [str(row[0]) for row in db.execute(_WORKING)]
    for account_id in working:
        config.pause(db, account_id, at)
    return tuple(working)


def _own(part: Path, path: Path) -> None:
    """Where root restores: give the file to whom it was before, else to whom its folder is, so that a gateway can open it."""
    if os.geteuid() == 0:
        owner = (path if path.exists() else path.parent).stat()
        os.chown(part, owner.st_uid, owner.st_gid)


def _put_aside(path: Path, at: datetime) -> Path | None:
    """Give the database at *path* a second name, and take its log away; return that name, None when nothing is there.

    The first name stays: a gateway that is started in between finds a database, never none (it would make a new one). A log
    that stayed would be taken for that of the file that comes in its place.
    """
    kept = path.with_name(f"{path.name}.before-restore-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}")
    there, log = path.exists(), log_of(path)
    if there:
        with suppress(apsw.Error, StoreError):  # one that is damaged is kept as it is, with its log
            with looked_at(path) as db:
                version_of(db, path)
            with closing(connect_writer(path, "FULL", None)) as db:
                db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        os.link(path, kept)
    if log.exists():
        log.rename(f"{kept}-wal")
    Path(f"{path}-shm").unlink(missing_ok=True)
    return kept if there else None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
