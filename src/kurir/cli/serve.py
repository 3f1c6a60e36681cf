"""``kurir serve``: the gateway from a configuration file."""

import asyncio
import contextlib
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from kurir import channels, logs
from kurir.cli import processes as family
from kurir.cli import running, serving, systemd
from kurir.configuration.file import load
from kurir.configuration.problems import ConfigError
from kurir.gateway import Gateway, Options

#: When a process last printed the console's first link, and how long others need not.
_GREETED: Final = "console_greeted"
_TOGETHER: Final = timedelta(seconds=10)


def serve(
    config: Annotated[
        Path | None, typer.Option(help="The configuration file; else KURIR_CONFIG, else kurir.toml.")
    ] = None,
    listen: Annotated[str | None, typer.Option(help="host:port to listen on.")] = None,
    database: Annotated[str | None, typer.Option(help="The database's file, or postgresql://….")] = None,
    database_connections: Annotated[int | None, typer.Option(help="Connections to PostgreSQL, at most.")] = None,
    public_url: Annotated[str | None, typer.Option(help="What platforms call.")] = None,
    traces_to: Annotated[str | None, typer.Option(help="Where traces go: a collector's URL (OTLP over HTTP).")] = None,
    allow_networks: Annotated[str | None, typer.Option(help="Private networks that media may come from.")] = None,
    role: Annotated[str | None, typer.Option(help="What this process does: all, api or worker.")] = None,
    processes: Annotated[int | None, typer.Option(help="Processes that share the port and the work.")] = None,
    client_rate: Annotated[str | None, typer.Option(help="Requests that each client may make, such as 100/s.")] = None,
    client_queue: Annotated[
        str | None, typer.Option(help="Messages of each client that may wait, such as 100000.")
    ] = None,
    retention: Annotated[str | None, typer.Option(help="How long finished messages are kept, such as 90d.")] = None,
    search_text: Annotated[
        str | None, typer.Option(help="Whether the console finds messages by their words: true or false.")
    ] = None,
    inbound_media_space: Annotated[str | None, typer.Option(help="Disk for files that are kept, such as 20GB.")] = None,
    label: Annotated[str | None, typer.Option(help="A word that the console shows, such as staging.")] = None,
    mask: Annotated[bool | None, typer.Option(help="Hide phones and texts in the console until revealed.")] = None,
    log_level: Annotated[logs.Level, typer.Option(help="How much is logged.")] = logs.Level.INFO,
) -> None:
    """Run the gateway."""
    logs.set_up(log_level)
    flags = {
        "listen": listen,
        "database": database,
        "database_connections": database_connections,
        "public_url": public_url,
        "traces_to": traces_to,
        "allow_networks": allow_networks,
        "role": role,
        "processes": processes,
        "client_rate": client_rate,
        "client_queue": client_queue,
        "retention": retention,
        "search_text": search_text,
        "inbound_media_space": inbound_media_space,
        "label": label,
        "mask": mask,
    }
    try:
        configuration = load(config, os.environ, flags, channels=channels.installed())
    except ConfigError as error:
        running.fail(str(error))

    child = family.Child.here()
    settings = configuration.settings
    if settings.processes > 1 and child is None:
        family.run(sys.argv[1:], settings.processes, settings.listen)
        return

    async def work(stopping: asyncio.Event) -> None:
        gateway = Gateway(configuration, Options(share_port=child is not None))
        await gateway.start()
        serving.settle()
        typer.echo(f"kurir listens on {gateway.server.url}", err=True)
        await _greet(gateway)
        if child is not None:
            child.follow(stopping)
        # Of a family its parent speaks: systemd listens to one process.
        async with systemd.told() if child is None else contextlib.nullcontext():
            await stopping.wait()
        await gateway.stop()

    serving.run(work, patient=child is not None)


async def _greet(gateway: Gateway) -> None:
    """Print the one-time link of the first owner, where the console has no user yet. Not logged: it lets somebody in."""
    if gateway.configuration.settings.role == "worker" or not await _is_first(gateway):
        return
    token = await gateway.console.access.first_link()
    if token is not None:
        base = gateway.configuration.settings.public_url or gateway.server.url
        typer.echo(f"open the console (once, within a day): {base}/console/enter?token={token}", err=True)


async def _is_first(gateway: Gateway) -> bool:
    """Return whether no other process on this database has just greeted: of many that start together one does."""
    was, now = await gateway.store.meta(_GREETED), gateway.clock.now()
    if was is not None and now - datetime.fromisoformat(was) < _TOGETHER:
        return False
    return await gateway.store.set_meta(_GREETED, now.isoformat(), was) == now.isoformat()
