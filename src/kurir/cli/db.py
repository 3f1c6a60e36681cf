"""``kurir db``: the database itself: how it stands, its schema, backups, and the way to PostgreSQL.

These verbs open the database, and ask no gateway. Of the configuration they read which database it is, and nothing else, so
that they need no secret. What they print names no user and no password.
"""

import asyncio
import base64
import binascii
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeAlias

import typer
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn

from kurir.cli import running, serving, showing
from kurir.cli.running import plain
from kurir.clock import SystemClock
from kurir.configuration.file import find_file, read_database
from kurir.configuration.problems import ConfigError
from kurir.secretbox import key_id_of
from kurir.settings import KEY_FILE_NAME, PostgresUrl
from kurir.store import copying, migrations
from kurir.store.base import StoreError, StoreUnusable
from kurir.store.postgres import PostgresStore
from kurir.store.postgres.look import Look as PostgresLook
from kurir.store.postgres.look import look as look_there
from kurir.store.postgres.place import hushed, place_of
from kurir.store.sqlite import SqliteStore, backup

app = typer.Typer(
    name="db",
    help="See how the database stands, bring its schema up, back it up, restore it, copy it to PostgreSQL.",
    no_args_is_help=True,
)

#: Seconds between two lines about the same table, where no terminal shows a bar.
LINE_SECONDS: Final = 5.0
#: The folder of files that came in and are kept, and what the database says of its key: the gateway's names.
_MEDIA: Final = "media"
_SEALED: Final = "encryption_check"

Config: TypeAlias = Annotated[
    Path | None, typer.Option(help="The configuration file; else KURIR_CONFIG, else kurir.toml.")
]
Database: TypeAlias = Annotated[
    str | None, typer.Option(help="The database's file, or postgresql://…; else that of the configuration.")
]
Hold: TypeAlias = Annotated[
    bool, typer.Option("--hold", help="Pause every account, so that nothing is sent before it is resumed.")
]


# --- how it stands, and its schema ----------------------------------------------------------------------------------------


@app.command()
def status(*, config: Config = None, database: Database = None) -> None:
    """Say which database it is, its schema's version and its size, and whether a gateway may start on it."""
    there = _database(config, database)
    if isinstance(there, PostgresUrl):
        found = _looked_at(there)
        print(f"PostgreSQL {found.server} at {place_of(there.url)}")
        print(f"schema version {_of_newest(found.version, 'postgres')}")
        print(f"{_size(found.size)}")
        print(f"{_many(found.nodes, 'node')} at work")
        if found.begun is not None:
            print(
                plain(
                    f"a copy of {found.begun.source} was begun at {found.begun.at} and has not ended: no gateway starts"
                )
            )
        return
    with _sentences():
        here = backup.look(there)
        if here is None:
            running.fail(plain(f"there is no database at {there}; a gateway that starts makes it"))
        print(plain(f"SQLite at {there}"))
        print(f"schema version {_of_newest(here.version, 'sqlite')}")
        print(f"{_size(here.size)}")
        if here.moved is not None:
            print(plain(f"copied to PostgreSQL at {here.moved[0]} on {here.moved[1]}: no gateway starts on it"))


@app.command()
def migrate(
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would run, and run nothing.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the SQL too.")] = False,
    config: Config = None,
    database: Database = None,
) -> None:
    """Bring the schema to the newest version, as every start of a gateway does."""
    there = _database(config, database)
    if isinstance(there, PostgresUrl):
        name, dialect, version = place_of(there.url), "postgres", _looked_at(there).version
    else:
        with _sentences():
            found = backup.look(there)
        name, dialect, version = str(there), "sqlite", 0 if found is None else found.version
    steps = migrations.load(dialect)[version:]
    if not steps:
        print(plain(f"{name} has the schema version {_of_newest(version, dialect)}: there is nothing to do"))
        return
    if not plan:
        with _sentences():
            asyncio.run(_migrate(there))
    print(plain(f"{name}: {'would run' if plan else 'ran'} {_many(len(steps), 'migration')} from version {version}"))
    for step in steps:
        print(f"{step.version:04d} {step.name.replace('_', ' ')}")
        if verbose:
            print(step.sql.rstrip())


async def _migrate(there: Path | PostgresUrl) -> None:
    if isinstance(there, Path):
        store: SqliteStore | PostgresStore = SqliteStore(there)
    else:
        store = PostgresStore(there.url, connections=2)
    try:
        await store.open()
    except StoreUnusable as error:
        raise StoreUnusable(hushed(str(error), there.url) if isinstance(there, PostgresUrl) else str(error)) from None
    await store.close()


# --- backups --------------------------------------------------------------------------------------------------------------


@app.command("backup")
def back_up(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not be there yet.")],
    *,
    config: Config = None,
    database: Database = None,
) -> None:
    """Write a consistent copy of a SQLite database to FILE, also while a gateway works on it."""
    there = _sqlite(
        config,
        database,
        "pg_dump --format=custom makes a consistent copy of one moment, pg_basebackup with an archive of the log lets you go "
        "back to any",
    )
    began = time.monotonic()
    with _sentences(), _bar(DownloadColumn(binary_units=True)) as bar:
        size = backup.backup(there, file, lambda done, total: bar.tell("copying", done, total))
    seconds = time.monotonic() - began
    print(
        plain(
            f"{file}: {_size(size)} in {seconds:.2f} s, whole and on the disk. It holds what people wrote and their numbers"
        )
    )
    print(plain(f"The encryption key ({_key_id(file)}) is not in it: keep that apart, without it no token can be read"))


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="The backup to restore; it is left as it is.")],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Keep a database that is there under another name, and restore.")
    ] = False,
    hold: Hold = False,
    config: Config = None,
    database: Database = None,
) -> None:
    """Put a backup in the place of a SQLite database on which no gateway works. It is looked through before."""
    there = _sqlite(config, database, "pg_restore reads what pg_dump wrote")
    at = SystemClock().now()
    with _sentences(), _bar(DownloadColumn(binary_units=True)) as bar:
        done = backup.restore(
            file, there, lambda part, total: bar.tell("copying", part, total), at=at, force=force, hold=hold
        )
    print(plain(f"{there}: restored from {file}, {_size(done.size)}; it is whole, and every rule of the schema holds"))
    if done.migrated is not None:
        print(f"its schema was brought from version {done.migrated} to the newest")
    if done.kept is not None:
        print(plain(f"what was there is kept as {done.kept}"))
    if done.newest is not None:
        print(f"the last message in it was accepted at {_when(done.newest)}; whatever was accepted later is gone")
    print("what was given out later is not given again: the numbers of messages and events leap")
    _tell_queued(done.queued, done.held, hold=hold)
    if done.moved is not None:
        print(
            plain(
                f"the backup is of after it was copied to PostgreSQL at {done.moved[0]}: kurir db reopen lets it start"
            )
        )


@app.command()
def reopen(
    *,
    hold: Hold = False,
    config: Config = None,
    database: Database = None,
) -> None:
    """Let a gateway start again on a SQLite database that was copied to PostgreSQL."""
    there = _sqlite(config, database, "only a SQLite file can be copied to PostgreSQL, and be reopened")
    with _sentences():
        held = backup.reopen(there, SystemClock().now(), hold=hold)
        if held is None:
            running.fail(plain(f"{there} was not copied to PostgreSQL: there is nothing to reopen"))
    print(
        plain(f"{there}: a gateway may start on it again. It knows nothing of what PostgreSQL took since it was copied")
    )
    if hold:
        print(f"every account is paused ({_named(held)}); «kurir account resume ID» lets one go on")
    else:
        print("What was queued when it was copied is sent again, though PostgreSQL has sent it")


def _tell_queued(queued: int, held: tuple[str, ...], *, hold: bool) -> None:
    if hold:
        print(f"{_many(queued, 'message')} queued, and nothing is sent: every account is paused ({_named(held)})")
        print("See «kurir message list --status pending», cancel what has been sent, then «kurir account resume ID»")
    elif queued:
        print(f"{_many(queued, 'message')} queued: what was sent since the backup is sent again once a gateway starts")
        print("To look first: kurir db restore again, with --force --hold")


def _named(held: tuple[str, ...]) -> str:
    return plain(", ".join(held)) or "as before"


# --- to PostgreSQL ----------------------------------------------------------------------------------------------------------


@app.command("copy")
def copy_to(
    *,
    to: Annotated[
        str,
        typer.Option(
            envvar="KURIR_COPY_TO",
            help="The empty database to copy into, as postgresql://user:password@host/name.",
        ),
    ],
    source: Annotated[
        str | None, typer.Option("--from", help="The SQLite file; else the database of the configuration.")
    ] = None,
    config: Config = None,
) -> None:
    """Copy a SQLite database into an empty PostgreSQL, compare both, and close the file. Run it again to go on."""
    there = _sqlite(config, source, "name the SQLite file with --from")
    began = time.monotonic()

    outcome: copying.Outcome | None = None

    async def work(stopping: asyncio.Event) -> None:
        nonlocal outcome
        with _bar(MofNCompleteColumn()) as bar:
            outcome = await copying.copy(there, to, bar.tell, at=SystemClock().now(), stopping=stopping)

    with _sentences():
        serving.run(work)
    if outcome is None:
        running.fail("the same command goes on from there")
    _tell_copied(outcome, there, time.monotonic() - began)
    _tell_what_next(outcome, there, config)


def _tell_copied(outcome: copying.Outcome, path: Path, seconds: float) -> None:
    table = showing.table("table", "rows", "checksum, the same in both", right=("rows",))
    for one in outcome.tables:
        table.add_row(one.table, f"{one.rows:,}", one.checksum)
    showing.print_table(table, "")
    rows = sum(one.rows for one in outcome.tables)
    print(plain(f"\n{path} is in PostgreSQL at {outcome.place}: {_many(rows, 'row')} in {seconds:.1f} s"))
    if outcome.begun:
        print(f"this run went on with the copy that was begun at {outcome.begun}")
    if outcome.mended:
        print(f"{_many(outcome.mended, 'text')} lost a NUL character, which PostgreSQL cannot keep")
    for sentence in outcome.broken:
        print(plain(f"a rule of the schema does not hold, as before the copy: {sentence}"))
    if not outcome.broken:
        print("every rule of the schema holds there")


def _tell_what_next(outcome: copying.Outcome, path: Path, config: Path | None) -> None:
    file = find_file(config, os.environ)
    folder = (Path.cwd() if file is None else file.parent).resolve()
    print(
        f'\nNow set database = "postgresql://…@{outcome.place}" {"" if file is None else plain(f"in {file} ")}(KURIR_DATABASE)'
    )
    print(f"and start the gateway with the same encryption key as before ({_key_id(path)}).")
    own = path.resolve().parent
    key, media = own / KEY_FILE_NAME, own / _MEDIA
    if own != folder and key.exists():
        print(plain(f'It is looked for in {folder} now: encryption_key = {{ file = "{key}" }}'))
    if own != folder and media.exists():
        print(plain(f"Files that came in are looked for in {folder / _MEDIA} now: move {media} there"))
    print(
        plain(
            f"{path} is kept as it was and says that it was moved: no gateway starts on it. The way back: kurir db reopen"
        )
    )


# --- what they share --------------------------------------------------------------------------------------------------------


def _database(config: Path | None, named: str | None) -> Path | PostgresUrl:
    """Return the database that is meant. Ends with a sentence where the configuration or the URL is wrong."""
    try:
        found = read_database(config, os.environ, named)
        if isinstance(found, PostgresUrl):
            place_of(found.url)
    except (ConfigError, ValueError) as error:
        running.fail(str(error))
    return found


def _sqlite(config: Path | None, named: str | None, instead: str) -> Path:
    """Return the SQLite file that is meant. For PostgreSQL it ends with exit code 2, and what to do *instead*."""
    found = _database(config, named)
    if isinstance(found, PostgresUrl):
        _not_for_postgres(f"the database is PostgreSQL ({place_of(found.url)}): {instead}")
    return found


def _not_for_postgres(sentence: str) -> NoReturn:
    typer.echo(plain(sentence), err=True)
    raise typer.Exit(2)


def _looked_at(there: PostgresUrl) -> PostgresLook:
    with _sentences():
        return asyncio.run(look_there(there.url))


@contextmanager
def _sentences() -> Iterator[None]:
    """End with the sentence of an error of the store."""
    try:
        yield
    except StoreError as error:
        running.fail(plain(error))


class _Bar:
    """Progress on standard error: a bar on a terminal, else a line when something is done, and every five seconds."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._tasks: dict[str, Any] = {}
        self._told_at = time.monotonic()

    def tell(self, what: str, done: int, total: int) -> None:
        """Show that *done* of *total* are done of *what*."""
        if self._progress is not None:
            if what not in self._tasks:
                for task in self._tasks.values():
                    self._progress.update(task, visible=False)
                self._tasks[what] = self._progress.add_task(what, total=total)
            self._progress.update(self._tasks[what], completed=done, total=total)
        elif (done == total != 0 and what not in self._tasks) or time.monotonic() - self._told_at > LINE_SECONDS:
            self._told_at = time.monotonic()
            if done == total:
                self._tasks[what] = None
            sys.stderr.write(f"{what}: {done:,} of {total:,}\n")
            sys.stderr.flush()


@contextmanager
def _bar(column: ProgressColumn) -> Iterator[_Bar]:
    console = showing.console(err=True)
    if not console.is_terminal:
        yield _Bar(None)
        return
    with Progress(TextColumn("{task.description}"), BarColumn(), column, console=console, transient=True) as progress:
        yield _Bar(progress)


def _key_id(path: Path) -> str:
    """Return the id of the key by which the secrets of a database are sealed, for a sentence."""
    with _sentences():
        stored = backup.meta_of(path, _SEALED)
    try:
        return f"its id is {key_id_of(base64.b64decode(stored or '', validate=True))}"
    except binascii.Error:
        return "its id is unknown"


def _of_newest(version: int, dialect: str) -> str:
    newest = len(migrations.load(dialect))
    return f"{version}, the newest" if version == newest else f"{version} of {newest}"


def _size(number: int) -> str:
    """Return bytes in the largest binary unit of which they are two or more."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if number >= 2 * 2**power:
            return f"{number / 2**power:.1f} {unit}"
    return _many(number, "byte")


def _many(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _when(moment: datetime) -> str:
    return running.when(moment.isoformat())
