"""``kurir config``: write a commented configuration file, and check one. Neither opens the database."""

import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from kurir.channels import installed
from kurir.configuration.file import DEFAULT_FILE, load
from kurir.configuration.model import Configuration
from kurir.configuration.problems import ConfigError
from kurir.configuration.template import TEMPLATE, new_secrets
from kurir.settings import CONFIG_VARIABLE

app = typer.Typer(name="config", help="Write a configuration file, or check one.", no_args_is_help=True)


@app.command()
def init(
    path: Annotated[Path, typer.Option("--path", help="The file to write.")] = DEFAULT_FILE,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a commented configuration file, and print new secrets for it.

    The secrets go to standard output alone, as lines for a shell, to be kept: kurir config init > kurir.env
    """
    try:
        _write(path, force=force)
    except FileExistsError:
        _fail(f"{path} is there already; --force replaces it.")
    except OSError as error:
        _fail(f"{path} cannot be written: {error.strerror}.")
    typer.echo(f"{path} is written. Set these variables; the values are new and shown only now:\n", err=True)
    for name, value in new_secrets().items():
        typer.echo(f"export {name}={value}")
    named = "" if path == DEFAULT_FILE else f" --config {path}"
    typer.echo(f"\nThen: kurir config check{named}", err=True)


@app.command()
def check(
    config: Annotated[
        Path | None, typer.Option("--config", envvar=CONFIG_VARIABLE, help="The file to check, else kurir.toml.")
    ] = None,
) -> None:
    """Check a configuration file with everything that it refers to. Exit code 0 when it is fine, else 1."""
    try:
        configuration = load(config or DEFAULT_FILE, os.environ, channels=installed())
    except ConfigError as error:
        _fail(str(error))
    typer.echo(summary(configuration))


def summary(configuration: Configuration) -> str:
    """Return the sentence for a configuration that is fine."""
    accounts = sum(len(client.accounts) for client in configuration.clients)
    counted = f"{_count(len(configuration.clients), 'client')}, {_count(accounts, 'account')}"
    return f"{configuration.path} is fine: {counted}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _write(path: Path, *, force: bool) -> None:
    # Readable by its owner only, since an operator may write secrets into it later.
    how = os.O_TRUNC if force else os.O_EXCL
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600), "w", encoding="utf-8") as file:
        file.write(TEMPLATE)


def _fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)
