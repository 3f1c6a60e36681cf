"""``kurir db``: how the database stands, its migrations, and the way to PostgreSQL and back, as an operator sees it."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import apsw
import asyncpg
import pytest
from typer.testing import CliRunner, Result

from kurir.cli.app import app
from kurir.configuration.file import read_database
from kurir.configuration.problems import ConfigError
from kurir.secretbox import KeyValue, new_key, open_box
from kurir.settings import PostgresUrl
from kurir.store import migrations
from kurir.store.migrations import Migration
from kurir.store.postgres import PostgresStore, copies
from kurir.store.postgres.place import hushed, place_of
from kurir.store.sqlite import SqliteStore
from support import postgres
from support.furnished import furnished

VERSIONS = sorted(postgres.servers(), key=int)
on_postgres = pytest.mark.skipif(not VERSIONS, reason="no PostgreSQL is installed here")

PASSWORD = "hush-hush"


def _run(*arguments: object, **env: str) -> Result:
    done = CliRunner().invoke(app, ["db", *map(str, arguments)], env={"KURIR_CONFIG": "", "KURIR_DATABASE": "", **env})
    assert "Traceback" not in done.output
    assert "hush" not in done.output, "a password is never shown"
    return done


def _furnished(path: Path) -> Path:
    async def fill() -> None:
        store = SqliteStore(await furnished(path), synchronous="OFF")
        await store.open()
        await open_box(KeyValue((new_key(),)), store)
        await store.close()

    asyncio.run(fill())
    return path


def _new_database() -> str:
    """Return an empty PostgreSQL, with a password in its URL that the server does not ask for."""
    dsn = asyncio.run(postgres.new_database(postgres.shared(VERSIONS[-1])))
    return dsn.replace("kurir@", f"kurir:{PASSWORD}@")


def _migrations(steps: Sequence[Migration]) -> str:
    return f"{len(steps)} migration{'' if len(steps) == 1 else 's'}"


# --- which database -------------------------------------------------------------------------------------------------------


def test_no_secret_is_needed_to_know_which_database_it_is(tmp_path, monkeypatch):
    config = tmp_path / "kurir.toml"
    config.write_text(
        'database = "data/kurir.db"\nadmin_token = { env = "NOT_SET" }\n[clients.acme]\npassword = { env = "NOT_SET" }\n'
    )
    monkeypatch.chdir(tmp_path)
    assert read_database(None, {}) == tmp_path / "data" / "kurir.db"
    assert read_database(config, {"KURIR_DATABASE": "other.db"}) == tmp_path / "other.db"
    assert read_database(None, {"KURIR_CONFIG": "nowhere.toml"}, "here.db") == tmp_path / "here.db"
    assert read_database(None, {}, "postgresql://a@b/c") == PostgresUrl("postgresql://a@b/c")
    config.write_text("database = 7")
    with pytest.raises(ConfigError, match="database: expected"):
        read_database(config, {})
    done = _run("status", "--config", config)
    assert done.exit_code == 1
    assert "database: expected" in done.output


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://kurir:hush@db.internal/kurir", "db.internal/kurir"),
        ("postgres://kurir:hu%2Fsh@db:5432/kurir?sslmode=require&password=hush", "db:5432/kurir"),
        ("postgresql://a:hush@one:5432,two:5433/kurir?target_session_attrs=read-write", "one:5432,two:5433/kurir"),
        ("postgresql://[::1]:5432/kurir", "[::1]:5432/kurir"),
        ("postgresql:///kurir?host=/var/run/postgresql", "localhost/kurir"),
    ],
)
def test_a_url_is_shown_without_what_opens_it(url, shown):
    assert place_of(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://kurir:hu/sh@db/kurir",
        "postgresql://kurir:hu@sh@db/kurir/x",
        "postgresql://kurir:hush#@db/kurir",
        "postgresql://kurir:hu?sh@db/kurir",
        "postgresql://db:hush/kurir",
        "postgresql://db/",
        "mysql://kurir:hush@db/kurir",
        "kurir.db",
    ],
)
def test_of_a_url_that_is_not_understood_nothing_is_quoted(url):
    with pytest.raises(ValueError, match="write / as %2F") as told:
        place_of(url)
    assert "hu" not in str(told.value)
    assert hushed("what was said", url) == "what was said"


def test_what_others_say_of_a_url_loses_its_password():
    url = "postgresql://kurir:hu%2Fsh@db/kurir?password=quiet"
    assert hushed("no hu/sh for hu%2Fsh or quiet on db", url) == "no … for … or … on db"


@pytest.mark.parametrize("verb", ["status", "migrate"])
def test_a_database_that_is_not_reached_is_said_so_without_its_password(verb):
    done = _run(verb, "--database", f"postgresql://kurir:{PASSWORD}@127.0.0.1:1/kurir")
    assert done.exit_code == 1
    assert "PostgreSQL at 127.0.0.1:1/kurir cannot be used: ConnectionRefusedError" in done.output
    assert _run(verb, "--database", "postgresql://kurir:hush/hush@db/kurir").exit_code == 1


# --- how it stands, and its schema ----------------------------------------------------------------------------------------


def test_a_plan_says_what_would_run_and_runs_nothing(tmp_path):
    database = tmp_path / "kurir.db"
    plan = _run("migrate", "--plan", "--database", database)
    steps = migrations.load("sqlite")
    assert plan.exit_code == 0, plan.output
    assert plan.output.splitlines()[0] == f"{database}: would run {_migrations(steps)} from version 0"
    assert plan.output.splitlines()[1:] == [f"{step.version:04d} {step.name.replace('_', ' ')}" for step in steps]
    assert "CREATE TABLE" not in plan.output
    assert "CREATE TABLE message (" in _run("migrate", "--plan", "-v", "--database", database).output
    assert list(tmp_path.iterdir()) == [], "nothing was made"
    assert "there is no database at" in _run("status", "--database", database).output


def test_a_migration_says_what_it_did_and_then_that_nothing_is_left(tmp_path):
    database = tmp_path / "kurir.db"
    done = _run("migrate", "--database", database)
    newest = migrations.load("sqlite")
    assert done.output.startswith(f"{database}: ran {_migrations(newest)} from version 0\n0001 first\n")
    before = database.stat().st_mtime_ns
    for options in ((), ("--plan",)):
        done = _run("migrate", *options, "--database", database)
        assert done.output == f"{database} has the schema version {len(newest)}, the newest: there is nothing to do\n"
    done = _run("status", KURIR_DATABASE=str(database))
    assert done.exit_code == 0
    assert done.output.startswith(f"SQLite at {database}\nschema version {len(newest)}, the newest\n")
    assert (database.stat().st_mtime_ns, {path.name for path in tmp_path.iterdir()}) == (
        before,
        {"kurir.db", "kurir.db.lock"},
    )


async def test_a_plan_is_made_beside_a_gateway(tmp_path):
    store = SqliteStore(tmp_path / "kurir.db")
    await store.open()
    assert "there is nothing to do" in _run("migrate", "--plan", "--database", tmp_path / "kurir.db").output
    assert "the newest" in _run("status", "--database", tmp_path / "kurir.db").output
    await store.close()


def test_what_is_not_ours_or_newer_is_left_alone(tmp_path):
    database = tmp_path / "kurir.db"
    _run("migrate", "--database", database)
    db = apsw.Connection(str(database))
    db.execute("INSERT INTO migration VALUES (99, 'of_the_future', 0)")
    db.close()
    for verb in ("status", "migrate"):
        done = _run(verb, "--database", database)
        assert done.exit_code == 1
        assert "made by a newer kurir" in done.output
    (tmp_path / "letter.db").write_bytes(b"This is a letter, and no database. " * 100)
    assert "NotADBError" in _run("migrate", "--plan", "--database", tmp_path / "letter.db").output


@on_postgres
def test_postgresql_is_planned_migrated_and_shown_too():
    dsn = _new_database()
    place = place_of(dsn)
    plan = _run("migrate", "--plan", "--verbose", "--database", dsn)
    newest = migrations.load("postgres")
    assert plan.output.startswith(f"{place}: would run {_migrations(newest)} from version 0\n0001 first\n")
    assert "CREATE TABLE message (" in plan.output
    assert f"schema version 0 of {len(newest)}" in _run("status", "--database", dsn).output
    assert f"{place}: ran " in _run("migrate", "--database", dsn).output
    assert "there is nothing to do" in _run("migrate", "--database", dsn).output
    shown = _run("status", "--database", dsn).output
    assert f"at {place}\nschema version {len(newest)}, the newest\n" in shown
    assert "0 nodes at work" in shown


# --- to PostgreSQL and back -----------------------------------------------------------------------------------------------


@on_postgres
def test_a_database_is_moved_and_the_operator_is_told_what_to_do_next(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "media").mkdir(parents=True)
    (tmp_path / "data" / "kurir.key").touch()
    database, dsn = _furnished(tmp_path / "data" / "kurir.db"), _new_database()
    (tmp_path / "kurir.toml").write_text('database = "data/kurir.db"\n')
    done = _run("copy", KURIR_COPY_TO=dsn)
    assert done.exit_code == 0, done.output
    shown = done.output.replace("\n", " ")
    for words in (
        f"is in PostgreSQL at {place_of(dsn)}: ",
        "every rule of the schema holds there",
        f'Now set database = "postgresql://…@{place_of(dsn)}" in kurir.toml (KURIR_DATABASE)',
        "with the same encryption key as before (its id is ",
        f'encryption_key = {{ file = "{tmp_path}/data/kurir.key" }}',
        f"move {tmp_path}/data/media there",
        "no gateway starts on it. The way back: kurir db reopen",
    ):
        assert words in shown, done.output
    assert re.search(r"^message +12  [0-9a-f]{32}", done.output, re.MULTILINE), done.output
    assert "copying message: 12 of 12" in done.output
    status = _run("status").output
    assert f"copied to PostgreSQL at {place_of(dsn)} on " in status
    again = _run("copy", "--to", dsn)
    assert again.exit_code == 1
    assert "already" in again.output
    other = _run("migrate", "--database", database.with_name("new.db"))
    assert other.exit_code == 0
    done = _run("reopen", "--hold")
    assert done.exit_code == 0, done.output
    assert "a gateway may start on it again" in done.output
    assert "every account is paused (acme-fb, globex-fb)" in done.output
    done = _run("reopen")
    assert done.exit_code == 1
    assert "there is nothing to reopen" in done.output


@on_postgres
def test_a_copy_that_was_begun_is_seen_in_the_status(tmp_path):
    database, dsn = _furnished(tmp_path / "kurir.db"), _new_database()

    async def begin() -> None:
        store = PostgresStore(dsn)
        await store.open()
        await store.close()
        connection = await asyncpg.connect(dsn)
        await copies.begin(connection, str(database), "stamp")
        await connection.close()

    asyncio.run(begin())
    shown = _run("status", "--database", dsn).output.replace("\n", " ")
    assert f"a copy of {database} was begun at " in shown
    assert "no gateway starts" in shown
    done = _run("copy", "--from", database, "--to", dsn)
    assert done.exit_code == 1
    assert "is another file, or was written to since" in done.output
