"""``kurir db backup`` and ``restore``: a backup is one moment and whole, a restore loses nothing of what it holds."""

import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import apsw
import pytest
from typer.testing import CliRunner, Result

from kurir.cli.app import app
from kurir.store.base import StoreUnusable
from kurir.store.feed import Owed
from kurir.store.sqlite import SqliteStore, backup
from kurir.store.sqlite.backup import LEAP, BackupError
from support.bodies import body
from support.furnished import furnish, furnished
from support.process import Up, up
from support.records import ACCOUNT, CLIENT, OTHER_ACCOUNT, SECOND_ACCOUNT, T0, at, called, new_message, send
from support.sweeps import sweep


def _said_nothing(_done: int, _total: int) -> None:
    pass


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["db", *map(str, arguments)])


@pytest.fixture
async def database(tmp_path) -> Path:
    """A SQLite database with something in every table, that nobody has open."""
    return await furnished(tmp_path / "kurir.db")


async def _opened(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    await store.open()
    return store


def _values(path: Path, statement: str) -> list[Any]:
    with closing(apsw.Connection(str(path))) as db:
        return [row[0] for row in db.execute(statement)]


def _do(path: Path, statement: str) -> None:
    with closing(apsw.Connection(str(path))) as db:
        list(db.execute(statement))


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _damage(path: Path) -> None:
    """Write nonsense over a page in the middle."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xa5" * 4096)


# --- beside a gateway -----------------------------------------------------------------------------------------------------


@contextmanager
def _load(gateway: Up, acknowledged: "SimpleQueue[str]") -> Iterator[None]:
    """Send messages until the block ends, from four threads; each tid is put into *acknowledged* once it is answered."""
    ending = threading.Event()

    def work(name: int) -> None:
        for number in count():
            if ending.is_set():
                return
            acknowledged.put(gateway.send("line", body("text", id=f"{name}-{number}")))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        for thread in threads:
            thread.join()


@pytest.mark.slow
async def test_a_backup_under_load_has_all_that_was_acknowledged_before_it_began(tmp_path):
    """Restored it keeps every rule, and has nothing that nobody sent."""
    acknowledged: SimpleQueue[str] = SimpleQueue()
    source, restored = tmp_path / "one" / "kurir.db", tmp_path / "two.db"
    with up(source.parent) as gateway, _load(gateway, acknowledged):
        before = {acknowledged.get(timeout=30) for _ in range(40)}
        done = _run("backup", tmp_path / "copy.db", "--database", source)
        assert done.exit_code == 0, done.output
        after = {acknowledged.get(timeout=30) for _ in range(40)}
    while not acknowledged.empty():
        after.add(acknowledged.get())
    done = _run("restore", tmp_path / "copy.db", "--database", restored)
    assert done.exit_code == 0, done.output
    there = set(_values(restored, "SELECT tid FROM message"))
    assert before <= there < before | after, "it was made under load"
    store = await _opened(restored)
    await sweep(store)
    assert all([await store.message("demo", tid) for tid in before])
    await store.close()


# --- a backup -------------------------------------------------------------------------------------------------------------


async def test_a_backup_is_one_moment_of_a_database_that_is_written_to(tmp_path):
    """Writes come between its pages: it has none of them, and does not begin anew."""
    store = await _opened(tmp_path / "kurir.db")
    await furnish(store)
    for _ in range(200):
        await store.accept(new_message(body=b"x" * 60_000))
    writer = apsw.Connection(str(tmp_path / "kurir.db"))
    writer.set_busy_timeout(5_000)
    steps = []

    def write(done: int, total: int) -> None:
        steps.append((done, total))
        writer.execute("INSERT INTO meta VALUES (?, '')", (f"step-{len(steps)}",))

    backup.backup(tmp_path / "kurir.db", tmp_path / "copy.db", write)
    writer.close()
    assert len(steps) > 2
    assert [done for done, _ in steps] == sorted({done for done, _ in steps}), "no page is copied twice"
    assert _values(tmp_path / "copy.db", "SELECT count(*) FROM meta WHERE key LIKE 'step-%'") == [0]
    assert len(_values(tmp_path / "kurir.db", "SELECT key FROM meta WHERE key LIKE 'step-%'")) == len(steps)
    await store.close()


def test_a_backup_is_its_owners_alone_and_leaves_nothing_beside_it(database):
    umask = os.umask(0o022)
    try:
        done = _run("backup", database.with_name("copy.db"), "--database", database)
    finally:
        os.umask(umask)
    assert done.exit_code == 0, done.output
    assert re.search(r"copy\.db: \d{3}\.\d KiB in \d+\.\d\d s, whole and on the disk", done.output)
    assert database.with_name("copy.db").stat().st_mode & 0o777 == 0o600
    assert {name for name in _files(database.parent) if name.startswith("copy")} == {"copy.db"}


def test_a_backup_overwrites_nothing(database):
    copy = database.with_name("copy.db")
    copy.write_text("mine")
    done = _run("backup", copy, "--database", database)
    assert done.exit_code == 1
    assert "is there already, and is left as it is" in done.output
    assert copy.read_text() == "mine"


def test_a_backup_that_was_killed_leaves_nothing_in_the_way(database):
    database.with_name("copy.db.part").write_bytes(b"half of one" * 1000)
    backup.backup(database, database.with_name("copy.db"), _said_nothing)
    assert _values(database.with_name("copy.db"), "PRAGMA integrity_check") == ["ok"]


def test_two_backups_to_one_file_do_not_mix(database):
    def second(_done: int, _total: int) -> None:
        with pytest.raises(BackupError, match="is just being written by another process"):
            backup.backup(database, database.with_name("copy.db"), _said_nothing)

    backup.backup(database, database.with_name("copy.db"), second)


def test_a_damaged_database_gives_no_backup(database):
    _damage(database)
    done = _run("backup", database.with_name("copy.db"), "--database", database)
    assert done.exit_code == 1
    assert re.search(r"is damaged, and its copy was not kept|CorruptError", done.output), done.output
    assert {name for name in _files(database.parent) if name.startswith("copy")} == set()


def test_a_backup_of_nothing_is_said_so(tmp_path):
    done = _run("backup", tmp_path / "copy.db", "--database", tmp_path / "kurir.db")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "there is no database at" in done.output
    assert _files(tmp_path) == set()
    _do(tmp_path / "song.db", "CREATE TABLE song (name)")
    assert "not one of kurir's" in _run("backup", tmp_path / "copy.db", "--database", tmp_path / "song.db").output
    assert _run("backup", tmp_path / "no" / "copy.db", "--database", tmp_path / "song.db").exit_code == 1


@pytest.mark.parametrize("verb", ["backup", "restore"])
def test_postgresql_has_tools_of_its_own(tmp_path, verb):
    done = _run(verb, tmp_path / "copy", "--database", "postgresql://kurir:hush-hush@db.internal/kurir")
    assert done.exit_code == 2
    assert "the database is PostgreSQL (db.internal/kurir): pg_" in done.output
    assert "hush" not in done.output


# --- a restore ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(database) -> Path:
    """A backup of the database."""
    backup.backup(database, database.with_name("copy.db"), _said_nothing)
    return database.with_name("copy.db")


async def test_a_restore_keeps_what_was_there_and_leaves_the_backup_as_it_is(database, copy):
    store = await _opened(database)
    later = await send(store, "p-later")
    await store.close()
    before = copy.read_bytes()
    done = _run("restore", copy, "--database", database)
    assert done.exit_code == 1
    assert "is there already; --force keeps it under another name" in done.output
    done = _run("restore", copy, "--database", database, "--force")
    assert done.exit_code == 0, done.output
    for words in (
        "every rule of the schema holds",
        "whatever was accepted later is gone",
        "7 messages queued: what was sent since the backup is sent again once a gateway starts",
    ):
        assert words in done.output, done.output
    kept = Path(re.search(r"what was there is kept as (\S+)", done.output)[1])
    assert later.tid in _values(kept, "SELECT tid FROM message")
    assert later.tid not in _values(database, "SELECT tid FROM message")
    assert copy.read_bytes() == before
    assert database.stat().st_mode & 0o777 == 0o600
    store = await _opened(database)
    await sweep(store)
    await store.close()


async def test_numbers_that_were_given_out_after_the_backup_are_not_given_again(database, copy):
    store = await _opened(database)
    await send(store, "p-later")
    last = await store.last_position(CLIENT)
    await store.close()
    backup.restore(copy, database, _said_nothing, at=T0, force=True)
    store = await _opened(database)
    message = await send(store, "p-other")
    assert await store.last_position(CLIENT) > last + LEAP / 2
    assert _values(database, f"SELECT seq FROM message WHERE tid = '{message.tid}'")[0] > LEAP
    owed = (await store.owed((await store.all_endpoints())[0].id))[-1]
    await store.called([called(owed, Owed.DELIVERED)])
    await sweep(store)
    await store.close()


async def test_a_restore_may_hold_every_account(database, copy):
    done = _run("restore", copy, "--database", database, "--force", "--hold")
    assert done.exit_code == 0, done.output
    assert f"and nothing is sent: every account is paused ({ACCOUNT}, {OTHER_ACCOUNT})" in done.output
    store = await _opened(database)
    assert {one.id for one in await store.accounts() if one.paused_at is not None} == {
        ACCOUNT,
        SECOND_ACCOUNT,
        OTHER_ACCOUNT,
    }
    await store.close()


async def test_a_restore_leaves_a_gateway_alone(database, copy):
    store = await _opened(database)
    done = _run("restore", copy, "--database", database, "--force")
    assert done.exit_code == 1
    assert f"held by the process {os.getpid()}" in done.output
    assert await store.clients()
    await store.close()


async def test_the_log_of_a_killed_process_goes_with_what_it_is_of(database, copy):
    """It would be taken for the log of the file that comes in its place."""
    store = await _opened(database)
    last = await send(store, "p-last")
    killed = database.with_name("killed.db")
    for end in ("", "-wal"):
        shutil.copy(f"{database}{end}", f"{killed}{end}")
    await store.close()
    backup.backup(killed, killed.with_name("of-killed.db"), _said_nothing)
    assert last.tid in _values(killed.with_name("of-killed.db"), "SELECT tid FROM message")
    shutil.copy(f"{killed}-wal", f"{killed}.restoring-wal")  # that of a restore which was killed as well
    done = backup.restore(copy, killed, _said_nothing, at=T0, force=True)
    assert last.tid in _values(done.kept, "SELECT tid FROM message")
    assert last.tid not in _values(killed, "SELECT tid FROM message")
    assert _values(killed, "PRAGMA integrity_check") == ["ok"]


def test_a_link_to_a_database_is_followed(database, copy, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.db"
    link.symlink_to(database)
    with closing(apsw.Connection(str(database))) as db:
        db.execute("INSERT INTO meta VALUES ('in the log', '')")
        assert Path(f"{database}-wal").stat().st_size
        backup.backup(link, tmp_path / "of-link.db", _said_nothing)
        assert backup.meta_of(link, "in the log") == ""
    assert _values(tmp_path / "of-link.db", "SELECT 1 FROM meta WHERE key = 'in the log'")
    done = backup.restore(copy, link, _said_nothing, at=T0, force=True)
    assert link.is_symlink()
    assert done.kept.parent == database.parent
    assert not _values(database, "SELECT 1 FROM meta WHERE key = 'in the log'")


def test_a_damaged_database_is_kept_as_it_is(database, copy):
    database.write_bytes(b"This is no database any more. " * 1000)
    Path(f"{database}-wal").write_bytes(b"nor is this a log")
    done = backup.restore(copy, database, _said_nothing, at=T0, force=True)
    assert done.kept.read_bytes().startswith(b"This is no database")
    assert Path(f"{done.kept}-wal").read_bytes() == b"nor is this a log"
    assert _values(database, "PRAGMA integrity_check") == ["ok"]


async def test_a_restore_that_is_killed_leaves_what_was_there(database, copy, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_arguments: object) -> None:
        raise Killed

    for owner, name in ((os, "link"), (Path, "rename"), (backup, "migrate"), (backup, "_sync")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, killed)
            with pytest.raises(Killed):
                backup.restore(copy, database, _said_nothing, at=at(len(name)), force=True)
        store = await _opened(database)
        await sweep(store)
        await store.close()
    backup.restore(copy, database, _said_nothing, at=T0, force=True)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("INSERT INTO migration VALUES (99, 'of_the_future', 0)", "made by a newer kurir"),
        ("UPDATE message SET status = 3 WHERE queued = 1", "does not keep the rules of its schema"),
        ("PRAGMA application_id = 1", "not one of kurir's"),
        ("", "is damaged, and its copy was not kept|CorruptError"),
    ],
)
def test_what_is_no_sound_backup_is_not_restored(database, copy, damage, words):
    if damage:
        _do(copy, damage)
    else:
        _damage(copy)
    before = database.read_bytes()
    files = _files(database.parent) | {"kurir.db.lock"}
    done = _run("restore", copy, "--database", database, "--force")
    assert done.exit_code == 1
    assert re.search(words, done.output), done.output
    assert database.read_bytes() == before
    assert _files(database.parent) == files, "nothing was made or left"


def test_a_backup_is_not_restored_over_itself(database, tmp_path):
    with pytest.raises(BackupError, match="is the database itself"):
        backup.restore(database, database, _said_nothing, at=T0, force=True)
    with pytest.raises(BackupError, match="there is no backup at"):
        backup.restore(tmp_path / "none.db", database, _said_nothing, at=T0)
    (tmp_path / "empty.db").touch()
    with pytest.raises(BackupError, match="is an empty database"):
        backup.restore(tmp_path / "empty.db", tmp_path / "new.db", _said_nothing, at=T0)
    with pytest.raises(StoreUnusable, match="lock file"):
        backup.restore(database, tmp_path / "nowhere" / "new.db", _said_nothing, at=T0)
