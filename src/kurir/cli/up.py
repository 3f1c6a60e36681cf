"""``kurir up``: gateway, sandbox and a demo client in one process."""

import asyncio
import json
import os
import shlex
import shutil
import socket
import sys
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from kurir import channels, demo, demo_facts, logs
from kurir.cli import running, serving
from kurir.configuration.file import parse
from kurir.connect import templates
from kurir.domain import channel
from kurir.egress import Egress
from kurir.gateway import Gateway, Options
from kurir.sandbox.config import demo_config
from kurir.sandbox.server import SandboxServer


def up(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The gateway's port; 0 takes a free one.")] = 8080,
    sandbox_port: Annotated[int, typer.Option(min=0, max=65535, help="The sandbox's port; 0 takes a free one.")] = 8081,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    data: Annotated[Path, typer.Option(help="The folder of the database, the key and the demo's password.")] = Path(
        "kurir-data"
    ),
    open_browser: Annotated[bool, typer.Option("--open", help="Open the console in the browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON with URLs and credentials.")] = False,
    log_level: Annotated[logs.Level, typer.Option(help="How much is logged.")] = logs.Level.ERROR,
) -> None:
    """Run the gateway with four emulated platforms and a demo client: nothing leaves this machine."""
    logs.set_up(log_level)
    if port == sandbox_port != 0:
        running.fail("--port and --sandbox-port must differ")

    async def work(stopping: asyncio.Event) -> None:
        data.mkdir(parents=True, exist_ok=True)
        # Each of the two servers names the other, and either port may be free to choose: the sandbox starts first, and
        # learns where receipts go when the gateway has its port.
        sandbox = SandboxServer(demo_config(), host, sandbox_port)
        await sandbox.start()
        word = demo.password(data, os.environ.get("KURIR_DEMO_PASSWORD"))
        token = demo.admin_token(data)
        place = _reserved(host) if port == 0 else None
        known_port = place.getsockname()[1] if place else port
        # What platforms call is what the sandbox calls: this machine, whatever address the servers listen on.
        where = demo.Addresses(f"http://127.0.0.1:{known_port}", sandbox.url)
        listen = f"[{host}]:{known_port}" if ":" in host else f"{host}:{known_port}"
        here = ("127.0.0.0/8", "::1/128")
        document = demo.document(
            sandbox.sandbox.config, where, listen, data.resolve(), word, admin=token, networks=here
        )
        configuration = parse(document, {}, channels=channels.installed())
        reserved = {demo.MEDIA_HOST: f"{sandbox.url}/sandbox/media"}
        options = Options(
            reserved, demo.contacts(sandbox.sandbox.config), share_port=place is not None, sandbox=sandbox.sandbox
        )
        gateway = Gateway(configuration, options)
        try:
            await gateway.start()
            serving.settle()
        except BaseException:
            await sandbox.stop()
            raise
        for name, url in demo_facts.webhooks(gateway.server.url).items():
            sandbox.sandbox.connect(name, url)
        await _read_templates(gateway)
        facts = _facts(gateway.server.url, sandbox.url, word, token)
        facts["console"] = await _console(gateway)
        sandbox.sandbox.hint = _curl(facts, "whatsapp", demo.example("text"))
        demo_facts.write(data, facts)
        print(json.dumps(facts), flush=True) if as_json else _print_screen(facts)
        if open_browser:
            webbrowser.open(facts["console"])
        await stopping.wait()
        sandbox.sandbox.stop_waiting()  # the streams of phones inside the console end with their page
        await gateway.stop()
        await sandbox.stop()

    serving.run(work)


def _reserved(host: str) -> socket.socket:
    """Return a socket that holds a free port which the gateway may take beside it: its address is told before it listens."""
    held = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind((host, 0))
    return held


async def _console(gateway: Gateway) -> str:
    """Return a link that lets the owner of the demo's console in, once."""
    return f"{gateway.server.url}/console/enter?token={await gateway.console.access.owner_link()}"


async def _read_templates(gateway: Gateway) -> None:
    """Read the sandbox's templates, as ``kurir template sync`` does: the first send is checked against them.

    A gateway in production does not do so by itself: what it knows of templates decides what it refuses, and reading them
    wants a permission of its own.
    """
    entry = gateway.directory.find(demo.CLIENT, channel.WHATSAPP, demo.ACCOUNTS[channel.WHATSAPP])
    assert entry is not None, "the demo's configuration has the account"  # noqa: S101 - an order within this package
    egress = Egress()
    try:
        await templates.sync(gateway.store, egress, gateway.clock, entry.account)
    except templates.NotSynced as error:
        typer.echo(f"the sandbox's templates were not read: {error}", err=True)
    finally:
        await egress.close()


def _facts(gateway: str, sandbox_url: str, word: str, token: str) -> dict[str, Any]:
    return {
        "url": gateway,
        "docs": f"{gateway}/docs",
        "phones": f"{sandbox_url}/phones",
        "sandbox": sandbox_url,
        "client_id": demo.CLIENT,
        "username": demo.CLIENT,
        "password": word,
        "admin_token": token,
        "recipient": demo.RECIPIENT,
    }


def _curl(facts: dict[str, Any], to: str, body: dict[str, Any]) -> str:
    text = json.dumps(body, ensure_ascii=False)
    return (
        f"curl -s {facts['url']}/{to}/send/{facts['client_id']} -H 'Auth-username: {facts['username']}' "
        f"-H 'Auth-password: {facts['password']}' -H 'Content-Type: application/json' -d {shlex.quote(text)}"
    )


def _print_screen(facts: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print("\n[bold]kurir is up.[/] Nothing leaves this machine. Ctrl-C stops it.\n")
    console.print(f"  API       {facts['url']}      reference {facts['docs']}")
    console.print(f"  Console   [bold]{facts['console']}[/]")
    console.print("            lets one browser in, once; «kurir console link» makes another")
    console.print(f"  Phones    [bold]{facts['phones']}[/]")
    console.print(f"  Client    demo · user name demo · password {facts['password']}\n")
    console.print("Send something, and look at the phones (any channel: whatsapp, telegram, line, messenger):\n")
    for kind in demo.TYPES:
        console.print(f"[dim]# {kind}[/]")
        console.print(_curl(facts, "whatsapp", demo.example(kind)), markup=False)
    command = Path(sys.argv[0]).name if shutil.which("kurir") else sys.argv[0]
    console.print("\nOr in short, from another terminal in this folder:", markup=False)
    console.print(f"  {command} send telegram 628xxxxxxxx 'Hello'", markup=False)
    console.print(f"\nNow look at the phones: [bold]{facts['phones']}[/]\n")
