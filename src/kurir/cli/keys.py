"""``kurir keys``: the encryption key, changed while no gateway works on the database.

These verbs open the database themselves. Of the configuration they read the database and the encryption key, nothing else;
what they print of a key is its id.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeAlias, TypeVar

import typer

from kurir import rekeying
from kurir.cli import running, showing
from kurir.cli.running import plain
from kurir.configuration.file import read_keys
from kurir.configuration.problems import ConfigError
from kurir.rekeying import NotPossible
from kurir.secretbox import EncryptionKeyError, KeyFile, KeySource
from kurir.settings import PostgresUrl
from kurir.store import GatewayStore
from kurir.store.base import StoreError
from kurir.store.postgres import PostgresStore
from kurir.store.postgres.look import look
from kurir.store.postgres.place import hushed
from kurir.store.sqlite import SqliteStore

T = TypeVar("T")

app = typer.Typer(
    name="keys",
    help="See which encryption keys there are, put in a new one, drop the old ones.",
    no_args_is_help=True,
)

Config: TypeAlias = Annotated[
    Path | None, typer.Option(help="The configuration file; else KURIR_CONFIG, else kurir.toml.")
]
Database: TypeAlias = Annotated[
    str | None, typer.Option(help="The database's file, or postgresql://…; else that of the configuration.")
]


@app.command("list")
def list_keys(*, config: Config = None, database: Database = None) -> None:
    """Say how many stored secrets each key encrypts, the key that encrypts new ones first."""
    _, source = _places(config, database)
    found = _run(config, database, lambda store: rekeying.standing(source, store))
    table = showing.table("key", "secrets", "", right=("secrets",))
    for number, (key, many) in enumerate(found.values.items()):
        table.add_row(key, f"{many:,}", "" if number else "encrypts")
    for key, many in found.strange.items():
        table.add_row(key, f"{many:,}", "is not here: they cannot be read")
    showing.print_table(table, "There is no key.")


@app.command()
def rotate(*, config: Config = None, database: Database = None) -> None:
    """Make a new key and encrypt every stored secret with it. Killed in the middle, run it again: it goes on."""
    _, source = _places(config, database)
    done = _run(config, database, lambda store: rekeying.rotate(source, store))
    if not done.began:
        print("a rotation that had been begun is ended")
    many = f"{done.sealed:,} secret{'' if done.sealed == 1 else 's'}"
    print(f"key {done.key_id} encrypts now; {many} encrypted anew")
    if done.unread:
        print(plain(f"no key here opens these, which are as they were: {rekeying.names(done.unread)}"))
    if isinstance(source, KeyFile):
        print(
            plain(f"{source.path} has the new key first. Back it up, and copy it to every other node before it starts")
        )
        print("The old keys stay in it: backups and links to files need them. «kurir keys drop-old» takes them out")


@app.command("drop-old")
def drop_old(*, config: Config = None, database: Database = None) -> None:
    """Take all keys but the first out of the key file, where no stored secret needs them."""
    _, source = _places(config, database)
    gone = _run(config, database, lambda store: rekeying.drop_old(source, store))
    if not gone:
        print("there is one key, and no old one")
        return
    print(f"dropped: {', '.join(gone)}. A backup from before the rotation needs them still")


def _places(config: Path | None, database: str | None) -> tuple[Path | PostgresUrl, KeySource]:
    try:
        return read_keys(config, os.environ, database)
    except ConfigError as error:
        running.fail(str(error))


def _run(config: Path | None, database: str | None, work: Callable[[GatewayStore], Awaitable[T]]) -> T:
    there, _ = _places(config, database)
    if isinstance(there, Path) and not there.exists():
        running.fail(plain(f"there is no database at {there}; a gateway that starts makes it, and its key"))
    with _sentences(there):
        return asyncio.run(_opened(there, work))


async def _opened(there: Path | PostgresUrl, work: Callable[[GatewayStore], Awaitable[T]]) -> T:
    """Do *work* with the database, on which no gateway may be at work. Raises NotPossible and the store's errors."""
    store: GatewayStore
    if isinstance(there, PostgresUrl):
        seen = await look(there.url)
        if seen.nodes:
            raise NotPossible(f"{seen.nodes} node(s) are at work on the database: stop every gateway first")
        store = PostgresStore(there.url, connections=2)
    else:
        store = SqliteStore(there)
    await store.open()
    try:
        return await work(store)
    finally:
        await store.close()


@contextmanager
def _sentences(there: Path | PostgresUrl) -> Iterator[None]:
    """End with the sentence of an error."""
    try:
        yield
    except (StoreError, EncryptionKeyError, NotPossible) as error:
        running.fail(plain(hushed(str(error), there.url) if isinstance(there, PostgresUrl) else str(error)))
    except OSError as error:
        running.fail(plain(f"{error.filename}: {error.strerror}"))
