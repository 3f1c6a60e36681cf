"""What the verbs of the command line share: lazy groups, bundles of options, tables, lines of ``kurir listen``."""

import importlib
import inspect
import ssl
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import aiohttp
import pytest
import typer
from rich.text import Text
from typer.testing import CliRunner

from kurir import client, unreached
from kurir.cli import account, app, lazy, listen, options, showing

#: What takes a second or more to load, and what only those need that talk to a gateway.
SERVER = (
    "kurir.gateway",
    "kurir.egress",
    "kurir.store.sqlite",
    "kurir.sandbox.server",
    "kurir.bench",
    "fastapi",
    "uvicorn",
)
VERBS = [(*one, "kurir") for one in app.VERBS.items()] + [(*one, "account") for one in account.VERBS.items()]


def loaded_by(code: str) -> set[str]:
    """Return the modules that a process of its own has loaded after *code*."""
    told = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.splitlines())


@pytest.mark.parametrize(("name", "verb", "group"), VERBS)
def test_the_list_of_verbs_says_what_the_verb_says_of_itself(name: str, verb: lazy.Verb, group: str) -> None:
    found = getattr(importlib.import_module(verb.module), verb.member)
    own = found.info.help if isinstance(found, typer.Typer) else inspect.getdoc(found).partition("\n\n")[0]
    assert " ".join(own.split()) == verb.help, f"{group} {name}"


def test_the_help_loads_no_verb() -> None:
    code = "from kurir.cli.app import app\ntry:\n    app(['--help'])\nexcept SystemExit:\n    pass"
    found = loaded_by(code)
    assert "kurir.cli.app" in found
    assert not found & {*SERVER, "aiohttp", *(verb.module for verb in app.VERBS.values())}


@pytest.mark.parametrize("verb", ["message", "contact", "account", "callback", "template", "send", "trigger"])
def test_a_verb_that_asks_a_server_loads_none(verb: str) -> None:
    found = loaded_by(f"import kurir.cli.app\nimport kurir.cli.{verb}")
    assert "aiohttp" in found
    assert not found & set(SERVER)


def test_the_sandbox_runs_without_a_gateway() -> None:
    found = loaded_by("import kurir.cli.app\nimport kurir.cli.sandbox")
    assert not found & {"kurir.gateway", "kurir.egress", "kurir.store.sqlite", "fastapi"}


def test_a_lazy_group_runs_the_verb_beside_those_that_are_registered() -> None:
    root = typer.Typer(cls=lazy.group({"check": lazy.Verb("kurir.cli.config", "check", "Words of the list.")}))
    root.callback()(lambda: None)
    root.command("here")(lambda: print("it ran"))
    shown = CliRunner().invoke(root, ["--help"])
    assert "Words of the list." in shown.output
    assert "here" in shown.output
    assert CliRunner().invoke(root, ["here"]).output == "it ran\n"
    assert "--config" in CliRunner().invoke(root, ["check", "--help"]).output
    assert CliRunner().invoke(root, ["chek"]).exit_code == 2


@dataclass(frozen=True)
class Size:
    """Two options that belong together."""

    width: Annotated[int, typer.Option(help="In characters.")] = 80
    height: Annotated[int, typer.Option(help="In lines.")] = 25


def test_a_bundle_is_its_options() -> None:
    told: list[Any] = []
    root = typer.Typer()

    @root.command()
    @options.bundled
    def draw(what: str, *, twice: bool = False, size: Size) -> None:
        """Draw."""
        told.append((what, twice, size))

    assert CliRunner().invoke(root, ["house", "--height", "3", "--twice"]).exit_code == 0
    assert told == [("house", True, Size(80, 3))]
    assert "In characters." in CliRunner().invoke(root, ["--help"]).output


def test_a_table_is_never_folded_where_no_terminal_reads_it(monkeypatch, capsys) -> None:
    for columns in (None, "20"):
        if columns is not None:
            monkeypatch.setenv("COLUMNS", columns)
        table = showing.table("address", "count", right=("count",))
        table.add_row(Text("U" * 150), "1")
        showing.print_table(table, "nothing")
        lines = capsys.readouterr().out.splitlines()
        assert [line.split() for line in lines] == [["address", "count"], ["U" * 150, "1"]]
    showing.print_table(showing.table("address"), "There is nothing.")
    assert "There is nothing." in capsys.readouterr().out


def test_prose_is_folded_only_for_a_width_that_is_known(monkeypatch, capsys) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    showing.console().print("word " * 100)
    assert len(capsys.readouterr().out.splitlines()) == 1
    monkeypatch.setenv("COLUMNS", "40")
    showing.console().print("word " * 100)
    assert len(capsys.readouterr().out.splitlines()) > 1


KEY = aiohttp.client_reqrep.ConnectionKey("hook.example", 443, True, True, None, None, None)
WHY = [
    (aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "refused")), "nothing listens there"),
    (
        aiohttp.ClientConnectorError(KEY, ConnectionResetError(104, "reset")),
        "it closed the connection while it was made",
    ),
    (
        aiohttp.ClientConnectorError(KEY, OSError(113, "No route to host")),
        "no connection could be made: No route to host",
    ),
    (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "unknown")), "no address is known for that name"),
    (aiohttp.ClientConnectorSSLError(KEY, OSError(1, "wrong version")), "what listens there speaks no TLS"),
    (
        aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError(1, "self-signed")),
        "its certificate is not trusted",
    ),
    (aiohttp.ConnectionTimeoutError("timeout"), "no answer came in time"),
    (aiohttp.ServerDisconnectedError(), "it closed the connection without an answer"),
    (aiohttp.ClientPayloadError("x"), "its answer broke off"),
    (aiohttp.InvalidURL("x"), "that is no http or https URL"),
    (aiohttp.ClientOSError(104, "reset"), "the connection broke"),
]


@pytest.mark.parametrize(("error", "words"), WHY)
def test_why_there_was_no_answer_is_said_in_words_of_our_own(error: Exception, words: str) -> None:
    assert unreached.why(error) == words


ANI = client.Person(address="wa:1", name="Ani")
ABOUT = [
    (client.MessageStatus(tid="t", message_id="m-1", recipient="1", status=client.Status.READ), "m-1 3"),
    (client.MessageReceived(sender=ANI, message=client.Received(type="text", text="Hi")), "wa:1  Hi"),
    (
        client.MessageReceived(sender=ANI, message=client.Received(type="image", media=client.Media(name="a.jpg"))),
        "wa:1  image  a.jpg",
    ),
    (
        client.PostbackReceived(
            sender=ANI, message=client.Received(type="postback", postback=client.Postback("btn2", "Button 2"))
        ),
        "wa:1  key btn2  Button 2",
    ),
    (client.MessageReaction(sender=ANI, reaction=client.Reacted("👍", "x")), "wa:1  👍"),
    (client.MessageReaction(sender=ANI, reaction=client.Reacted("", "x")), "wa:1  took the reaction back"),
    (client.AgentMessage(to=ANI, message=client.Received(type="text", text="Yes")), "to wa:1  Yes"),
    (client.ContactChanged(type="contact.blocked", contact=ANI), "wa:1"),
    (client.Event(type="news"), ""),
    (
        client.MessageReceived(sender=ANI, message=client.Received(type="text", text="x" * 500)),
        f"wa:1  {'x' * (listen.SHOWN - 7)}…",
    ),
]


@pytest.mark.parametrize(("event", "line"), ABOUT)
def test_listen_says_in_a_line_who_and_what_an_event_is_about(event: client.Event, line: str) -> None:
    assert listen.about(event) == line


def test_what_somebody_wrote_stays_in_its_line(capsys) -> None:
    event = client.MessageReceived(
        id="7",
        type="message.received",
        channel="whatsapp",
        sender=ANI,
        message=client.Received(text="two\nlines\x1b[2J"),
    )
    listen.Show(as_json=False).event(event, listen.Posted(204, 3))
    assert capsys.readouterr().out == ("     7  message.received   whatsapp   204  3 ms  wa:1  two\\nlines\\x1b[2J\n")
