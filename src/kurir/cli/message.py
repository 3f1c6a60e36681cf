"""``kurir message``: what became of a message, in words; and to cancel or retry one.

Everything comes from the gateway's own HTTP, so that these verbs know nothing that a client's program could not ask for.
What is shown was partly written by others (recipients, platforms), and is made harmless for a terminal.
"""

import json
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from kurir.cli import options, running, showing
from kurir.cli.running import Place, plain
from kurir.domain.status import Status

app = typer.Typer(name="message", help="See what became of messages, cancel or retry one.", no_args_is_help=True)

#: The most messages that a list shows, and how many come with one call.
MOST: Final = 1000
PAGE: Final = 200

_TID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MEANINGS: Final = {
    Status.SENT: "the platform sent every part",
    Status.DELIVERED: "the platform says that every part reached the person's device",
    Status.READ: "the platform says that every part was read",
}


@app.command()
@options.bundled
def show(
    message: options.MessageName,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show requests and answers of the attempts.")
    ] = False,
    *,
    as_json: options.AsJson = False,
    login: options.AsClient,
) -> None:
    """Show one message: why it waits and until when, or how it ended; its parts, attempts, losses and history."""
    found = _ask(login.place(), message, "GET")
    if as_json:
        running.print_json({"data": found})
    else:
        _show(showing.console(), found, verbose=verbose)


@app.command("list")
@options.bundled
def list_messages(
    status: Annotated[
        str, typer.Option(help="Only messages with this status: a number from -3 to 3, or its name.")
    ] = "",
    recipient: Annotated[str, typer.Option(help="Only messages to this recipient, as they were sent.")] = "",
    channel: Annotated[str, typer.Option(help="Only messages of this channel.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many.")] = 20,
    *,
    as_json: options.AsJson = False,
    login: options.AsClient,
) -> None:
    """List messages, newest first."""
    wanted = {"status": _status_number(status), "recipient": recipient, "channel": channel}
    query = {name: value for name, value in wanted.items() if value}
    found, more = running.pages(login.place(), "/v1/messages", query, limit, PAGE)
    if as_json:
        running.print_json({"data": found, "next": more})
        return
    console = showing.console()
    for one in found:
        _show_short(console, one)
    if not found:
        console.print("There is no such message.")
    elif more:
        showing.print_more(MOST)


@app.command()
@options.bundled
def cancel(
    message: options.MessageName,
    *,
    as_json: options.AsJson = False,
    login: options.AsClient,
) -> None:
    """End a message of which nothing was sent yet. The exit code is 1 where it is too late."""
    _turn(login.place(), message, "/cancel", as_json=as_json)


@app.command()
@options.bundled
def retry(
    message: options.MessageName,
    *,
    as_json: options.AsJson = False,
    login: options.AsClient,
) -> None:
    """Send a failed message again, from its first part that was not sent. The exit code is 1 where it did not fail."""
    _turn(login.place(), message, "/retry", as_json=as_json)


# --- asking -------------------------------------------------------------------------------------------------------------


def _turn(place: Place, name: str, verb: str, *, as_json: bool) -> None:
    found = _ask(place, name, "POST", verb)
    if as_json:
        running.print_json({"data": found})
    else:
        _show_short(showing.console(), found)


def _ask(place: Place, name: str, method: str, verb: str = "") -> Any:
    """Return what the gateway answers about the message that *name* means: its tid, else the client's own id.

    An id of the client's may look like a tid; the message that has it as its tid comes first.
    """
    if _TID.fullmatch(name):
        reply = running.call(place, method, f"/v1/messages/{name}{verb}")
        if reply.status != HTTPStatus.NOT_FOUND:
            return running.data_of(reply)
    return running.data_of(running.call(place, method, f"/v1/messages/{_tid_of(place, name)}{verb}"))


def _tid_of(place: Place, name: str) -> str:
    """Return the tid of the message with the client's id *name*, which each channel has once."""
    found = running.data_of(running.call(place, "GET", "/v1/messages", {"id": name}))
    if not found:
        running.fail(plain(f"there is no message with the tid or the id «{name}»"))
    if len(found) > 1:
        several = ", ".join(f"{one['tid']} ({one['channel']})" for one in found)
        running.fail(plain(f"{len(found)} messages have the id «{name}»; name one by its tid: {several}"))
    return str(found[0]["tid"])


def _status_number(text: str) -> str:
    """Return the number of the status that *text* names, "" for none."""
    if not text:
        return ""
    numbers = {status.name.lower(): str(status.value) for status in Status}
    number = numbers.get(text.lower(), text.replace("−", "-"))
    if number not in numbers.values():
        raise typer.BadParameter(f"«{text}» is no status: use -3 to 3, or {', '.join(numbers)}", param_hint="--status")
    return number


# --- showing ------------------------------------------------------------------------------------------------------------


def _show(console: Console, message: dict[str, Any], *, verbose: bool) -> None:
    to = message["recipient"]
    if message["address"] and message["address"] not in to:
        to += f" ({message['address']})"
    console.print(Text(plain(message["id"]), "bold"), soft_wrap=True)
    console.print(_text(f"{message['type']} · {message['channel']} · {message['account']} → {to}"))
    console.print(_text(f"tid {message['tid']}"))
    console.print()
    _show_standing(console, message)
    console.print()
    facts = [("accepted", "accepted_at"), ("not before", "send_at"), ("expires", "expires_at")]
    times = [f"{word} {running.when(message[name])}" for word, name in facts if message[name]]
    console.print(_text(" · ".join([*times, f"priority {message['priority']}", f"run {message['run']}"])))
    _section(console, "Parts", (_part(one) for one in message["parts"]))
    if message["attempts"]:
        console.print(Text("\nAttempts", "bold"))
    for one in message["attempts"]:
        _show_attempt(console, one, verbose=verbose)
    losses = (f"{one['pointer']} {one['kind']}: {one['detail']}" for one in message["losses"])
    _section(console, "Losses", losses)
    _section(console, "History", (_change(one) for one in message["history"]))


def _show_short(console: Console, message: dict[str, Any]) -> None:
    """Show a message as a list does: two lines, and why it waits or failed."""
    status = _status(message["status"])
    console.print(_text(f"{message['tid']}  {running.when(message['accepted_at'])}  ").append(status), soft_wrap=True)
    _indented(console, f"{message['id']} · {message['channel']} → {message['recipient']} · {message['type']}")
    told = message["reason"] or message["error"]
    if told:
        until = f" (until {running.when(message['waiting_until'])})" if message["waiting_until"] else ""
        _indented(console, f"{told['detail']}{until}", "dim")


def _show_standing(console: Console, message: dict[str, Any]) -> None:
    """Show in one sentence why it waits or how it ended, and until when."""
    status, told = Status(message["status"]), message["reason"] or message["error"]
    sentence = told["detail"] if told else _MEANINGS.get(status, "")
    if status is Status.SENT and message["final"]:
        sentence += ", and tells no more on this channel"
    console.print(_status(status).append(f": {plain(sentence)}" if sentence else "", "not bold default"))
    if told:
        code = f"{told['code']}, the platform's {told['provider_code']}" if told["provider_code"] else told["code"]
        console.print(_text(f"code {code}"))
    if message["waiting_until"]:
        console.print(
            _text(f"until {running.when(message['waiting_until'])}, {running.from_now(message['waiting_until'])}")
        )


def _show_attempt(console: Console, attempt: dict[str, Any], *, verbose: bool) -> None:
    http = f"HTTP {attempt['status']}" if attempt["status"] else "no answer"
    counted = "" if attempt["counted"] else "  not counted"
    where = f"run {attempt['run']} part {attempt['part']}" if attempt["run"] > 1 else f"part {attempt['part']}"
    line = f"{where}  {running.when(attempt['at'])}  {attempt['duration_ms']:>5} ms  {http:<9}  {attempt['outcome']}{counted}"
    _indented(console, line)
    reason = attempt["reason"]
    if reason.startswith("(") and reason.endswith(")"):
        reason = reason[1:-1]  # what is said beside the platform's words, of an answer that had none
    if attempt["code"] or reason:
        _indented(console, f"{attempt['code']}: {reason}".strip(": "), indent=4)
    if verbose:
        request = attempt["request"]
        _raw(console, f"{request.get('method', '')} {request.get('url', '')}".strip(), "cyan")
        for name, value in request.get("headers", {}).items():
            _raw(console, f"{name}: {value}", "dim")
        content = {name: value for name, value in request.items() if name not in ("method", "url", "headers")}
        _raw(console, json.dumps(content.get("json", content), ensure_ascii=False))
        _raw(console, f"answer: {attempt['body'] or 'none'}", "green")


def _part(part: dict[str, Any]) -> str:
    status = f", {_status(part['status'])}" if part["status"] is not None else ""
    tries = "1 call" if part["attempts"] == 1 else f"{part['attempts']} calls"
    ids = f"  {' '.join(part['provider_message_ids'])}" if part["provider_message_ids"] else ""
    at = f" at {running.when(part['at'])}" if part["at"] else ""
    return f"part {part['part']}  {part['state'].replace('_', ' ')}{status}{at}, {tries}{ids}"


def _change(change: dict[str, Any]) -> str:
    why = f": {change['error']['detail']}" if change["error"] else ""
    return f"{running.when(change['at'])}  {_status(change['previous'])} → {_status(change['status'])}{why}"


def _section(console: Console, title: str, lines: Iterable[str]) -> None:
    found = list(lines)
    if found:
        console.print(Text(f"\n{title}", "bold"))
    for line in found:
        _indented(console, line)


def _indented(console: Console, line: str, style: str = "", *, indent: int = 2) -> None:
    console.print(Padding.indent(_text(line, style), indent))


def _raw(console: Console, line: str, style: str = "") -> None:
    """Show *line* as it is, so that it can be copied: where it is too long the terminal breaks it."""
    console.print(_text(f"    {line}", style), soft_wrap=True)


def _text(line: str, style: str = "") -> Text:
    return Text(plain(line), style)


def _status(number: int) -> Text:
    status = Status(number)
    style = "bold red" if status < 0 else "bold yellow" if status is Status.PENDING else "bold green"
    return Text(f"{status.value} {status.name.lower()}".replace("-", "−"), style)
