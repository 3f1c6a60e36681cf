"""The root of the command line."""

from typing import Annotated

import typer

from kurir import __version__
from kurir.cli import (
    account,
    bench,
    callback,
    config,
    connect,
    contact,
    listen,
    message,
    sandbox,
    send,
    serve,
    template,
    trigger,
    up,
)

app = typer.Typer(
    name="kurir",
    help="One REST API for WhatsApp, Telegram, LINE and Facebook Messenger, and the truth about every message.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(up.up)
app.command("serve")(serve.serve)
app.add_typer(sandbox.app)
app.command("send")(send.send)
app.command("trigger")(trigger.trigger)
app.add_typer(message.app)
app.add_typer(contact.app)
account.app.add_typer(connect.app)
account.app.command("reconnect")(connect.reconnect)
account.app.command("check")(connect.check)
app.add_typer(account.app)
app.add_typer(template.app)
app.command("listen")(listen.listen)
app.add_typer(callback.app)
app.command("bench")(bench.bench)
app.add_typer(config.app, name="config")


def _version(value: bool) -> None:
    if value:
        print(f"kurir {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """See kurir COMMAND --help."""


def main() -> None:
    """Run the command line."""
    app()
