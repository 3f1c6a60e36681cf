"""The root of the command line. Verbs are loaded when they are called; what they are for is told here."""

from typing import Annotated, Final

import typer

from kurir import __version__
from kurir.cli import lazy
from kurir.cli.lazy import Verb

VERBS: Final = {
    "up": Verb(
        "kurir.cli.up",
        "up",
        "Run the gateway with four emulated platforms and a demo client: nothing leaves this machine.",
    ),
    "serve": Verb("kurir.cli.serve", "serve", "Run the gateway."),
    "sandbox": Verb(
        "kurir.cli.sandbox", "app", "Run the four emulated platforms and their phones alone, or break one that runs."
    ),
    "send": Verb(
        "kurir.cli.send",
        "send",
        "Send a message. Without KURIR_URL and credentials it goes to the «kurir up» of this folder.",
    ),
    "trigger": Verb(
        "kurir.cli.trigger",
        "trigger",
        "Let a person of the sandbox do something on their phone; the gateway hears of it as from the platform.",
    ),
    "message": Verb("kurir.cli.message", "app", "See what became of messages, cancel or retry one."),
    "contact": Verb("kurir.cli.contact", "app", "See who is who; link, unlink, erase and import people; make links."),
    "client": Verb(
        "kurir.cli.client",
        "app",
        "See which clients there are; add and change one, give it a new password, switch it off.",
    ),
    "account": Verb(
        "kurir.cli.account", "app", "See how accounts stand; add and connect one, change it, stop it, let it go on."
    ),
    "template": Verb("kurir.cli.template", "app", "Read WhatsApp's message templates, and look at them."),
    "node": Verb("kurir.cli.node", "app", "See which nodes there are, and what each of them owns."),
    "doctor": Verb("kurir.cli.doctor", "examine", "Look whether the installation is well, and say what mends it."),
    "console": Verb(
        "kurir.cli.console", "app", "Make a link that lets somebody into the console, once; see who may look."
    ),
    "listen": Verb(
        "kurir.cli.listen", "listen", "Forward the client's events to a hook on this machine, signed, until Ctrl-C."
    ),
    "callback": Verb(
        "kurir.cli.callback", "app", "See how callback endpoints stand; add, delete, try, pause, rotate, replay."
    ),
    "webhook": Verb("kurir.cli.webhook", "app", "See webhooks that could not be read; replay them, delete them."),
    "bench": Verb(
        "kurir.cli.bench",
        "bench",
        "Load a gateway against four emulated platforms, end it as often as asked, and check what became of every message.",
    ),
    "db": Verb(
        "kurir.cli.db",
        "app",
        "See how the database stands, bring its schema up, back it up, restore it, copy it to PostgreSQL.",
    ),
    "keys": Verb("kurir.cli.keys", "app", "See which encryption keys there are, put in a new one, drop the old ones."),
    "config": Verb("kurir.cli.config", "app", "Write a configuration file, or check one."),
}

app = typer.Typer(
    name="kurir",
    cls=lazy.group(VERBS),
    help="One REST API for WhatsApp, Telegram, LINE and Facebook Messenger, and the truth about every message.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
