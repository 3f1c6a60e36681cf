"""``kurir doctor``: is this installation well? A gateway that runs is asked; else configuration and database are looked at.

The exit code is that of the worst finding: 0 well, 1 to be looked at, 2 bad. Where nothing could be looked at it is 2 too.
"""

import asyncio
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import apsw
import typer
from rich.text import Text

from kurir import channels, doctor
from kurir.callbacks import ladder
from kurir.cli import options, running, showing
from kurir.cli.running import plain
from kurir.configuration.file import load
from kurir.configuration.model import Configuration
from kurir.configuration.problems import ConfigError
from kurir.console import auditing
from kurir.doctor import Facts, Finding, Level, Owed, Worker
from kurir.settings import PostgresUrl
from kurir.store import migrations
from kurir.store.access import EngineFacts
from kurir.store.base import StoreError
from kurir.store.operations import callbacks, config, reading
from kurir.store.postgres.look import look as look_there
from kurir.store.sqlite import backup

#: Exit codes, by the worst finding.
CODES: Final = {Level.OK: 0, Level.WARN: 1, Level.BAD: 2}
_STYLES: Final = {Level.OK: "green", Level.WARN: "yellow", Level.BAD: "red"}


@options.bundled
def examine(
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no gateway: look at the configuration and the database.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option(help="With --offline: the file; else KURIR_CONFIG, else kurir.toml.")
    ] = None,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Look whether the installation is well, and say what mends it.

    Exit code 0: it is; 1: something is to be looked at; 2: something is bad, or nothing could be looked at.
    """
    try:
        found = _offline(config) if offline else _of_gateway(admin)
    except typer.Exit:  # its sentence is told
        raise typer.Exit(CODES[Level.BAD]) from None
    level = doctor.worst(found)
    if as_json:
        rows = [{"subject": one.subject, "level": one.level, "says": one.says, "fix": one.fix} for one in found]
        running.print_json({"level": level, "findings": rows})
    else:
        _show(found)
    raise typer.Exit(CODES[level])


def _show(found: list[Finding]) -> None:
    out = showing.console()
    words = {Level.OK: "ok  ", Level.WARN: "look", Level.BAD: "bad "}
    for one in found:
        out.print(Text.assemble((words[one.level], _STYLES[one.level]), f"  {one.subject}: {plain(one.says)}"))
        if one.fix:
            out.print(Text(f"      {plain(one.fix)}"))


# --- a gateway that runs ------------------------------------------------------------------------------------------------


def _of_gateway(admin: options.AsAdmin) -> list[Finding]:
    data: dict[str, Any] = running.data_of(running.call(admin.place(), "GET", "/v1/admin/doctor"))
    found = [Finding(one["subject"], Level(one["level"]), one["says"], one["fix"]) for one in data["findings"]]
    return _with_certificate(found, data["public_url"])


def _with_certificate(found: list[Finding], url: str) -> list[Finding]:
    """Add what this machine sees of the public URL's certificate, behind what is said of the URL."""
    shown = doctor.look_at_certificate(url)
    if shown is None:
        return found
    place = next((at for at, one in enumerate(found, 1) if one.subject == "public URL"), len(found))
    return [*found[:place], doctor.certificate(shown, datetime.now(UTC)), *found[place:]]


# --- configuration and database alone -----------------------------------------------------------------------------------


def _offline(path: Path | None) -> list[Finding]:
    try:
        configuration = load(path, os.environ, channels=channels.installed())
    except ConfigError as error:
        fix = "mend these keys; with the variables of the gateway set here, kurir config check tells the same"
        return [Finding("configuration", Level.BAD, str(error), fix)]
    settings = configuration.settings
    facts = replace(_bare(configuration), key_mode=doctor.key_mode(settings), disk=doctor.disk(settings))
    try:
        facts, more = _with_database(facts, configuration)
    except (StoreError, apsw.Error) as error:
        more = [Finding("database", Level.BAD, str(error), "kurir db status says which database it is")]
    found = [one for one in doctor.findings(facts) if not (more and one.subject in _of(more))]
    return _with_certificate([*found[:2], *more, *found[2:]], settings.public_url)


def _of(found: list[Finding]) -> set[str]:
    return {one.subject for one in found}


def _bare(configuration: Configuration) -> Facts:
    """Return what the configuration alone tells: nothing of what is in the database."""
    return Facts(
        now=datetime.now(UTC),
        settings=configuration.settings,
        engine=None,
        disk=None,
        key_mode=None,
        accounts=None,
        endpoints=None,
        depths=None,
        owed=None,
        running=False,
    )


def _declared(configuration: Configuration) -> tuple[Worker, ...]:
    return tuple(Worker(one.id, "declared") for client in configuration.clients for one in client.accounts)


def _with_database(facts: Facts, configuration: Configuration) -> tuple[Facts, list[Finding]]:
    """Return *facts* with what the database tells, and what else is to be said of it. Raises StoreError, apsw.Error."""
    settings = configuration.settings
    if isinstance(settings.database, PostgresUrl):
        there = asyncio.run(look_there(settings.database.url))
        newest = len(migrations.load("postgres"))
        engine = EngineFacts("PostgreSQL", there.server, there.version, there.size, {})
        more = _of_version(there.version, newest)
        more.append(
            Finding("nodes", Level.OK, f"{there.nodes} at work; ask one of them for queue, accounts and callbacks")
        )
        return replace(facts, engine=engine), more
    path = settings.database
    about = backup.look(path)
    if about is None:
        first = replace(facts, accounts=_declared(configuration), endpoints=(), depths=(), owed=(), fresh=True)
        return first, [Finding("database", Level.WARN, f"there is none at {path} yet", "kurir serve makes it")]
    more = _of_version(about.version, len(migrations.load("sqlite")))
    if about.moved is not None:
        says = f"it was copied to PostgreSQL at {about.moved[0]}: no gateway starts on it"
        more.append(Finding("moved", Level.WARN, says, "kurir db reopen lets one start on it again"))
    engine = EngineFacts("SQLite", apsw.sqlite_lib_version(), about.version, about.size, {})
    facts = replace(facts, engine=engine)
    return (facts if more else _with_rows(facts, configuration, path)), more


def _of_version(version: int, newest: int) -> list[Finding]:
    if version == newest:
        return []
    says = f"the schema has the version {version}, and this kurir makes it {newest}: nothing in it is looked at"
    if version > newest:
        fix = "start the kurir that made it, or a newer one; the way back is a backup"
        return [Finding("schema", Level.BAD, f"{says}, and no gateway of this version starts on it", fix)]
    return [Finding("schema", Level.WARN, says, "the next start brings it up, or kurir db migrate; back it up before")]


def _with_rows(facts: Facts, configuration: Configuration, path: Path) -> Facts:
    """Return *facts* with what stands in a SQLite database; nothing of it is changed."""
    with backup.looked_at(path) as db:
        accounts = [one for one in config.accounts(db) if one.enabled]
        endpoints = [callbacks.endpoint(db, one.id) for one in callbacks.all_endpoints(db) if one.record.enabled]
        depths = reading.depths(db)
    stand, owed = [], []
    for one in endpoints:
        if one is not None:
            name = str(auditing.masked(one.record.url))
            standing, why, _since = ladder.standing(one.ladder, enabled=True)
            stand.append(Worker(name, standing.value, why))
            owed.append(Owed(name, one.pending, one.oldest_at))
    known = {one.id for one in accounts}
    new = [one for one in _declared(configuration) if one.name not in known]
    return replace(
        facts,
        accounts=(
            *(
                Worker(
                    one.id, "parked" if one.parked_code else "paused" if one.paused_at else "enabled", one.parked_code
                )
                for one in accounts
            ),
            *new,
        ),
        sealed=tuple((one.id, one.sealed_at) for one in accounts),
        endpoints=tuple(stand),
        owed=tuple(owed),
        depths=tuple(depths),
    )
