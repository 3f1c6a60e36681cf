"""``kurir callback``: how callback endpoints stand, what was delivered, and to deliver it again.

It needs the administrator's token. What is shown was partly written by others (URLs, an endpoint's answers), and is made
harmless for a terminal.
"""

from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from rich.text import Text

from kurir.cli import durations, options, running, showing
from kurir.cli.running import plain

app = typer.Typer(
    name="callback",
    help="See how callback endpoints stand; add, delete, try, pause, rotate, replay.",
    no_args_is_help=True,
)

EndpointId = Annotated[str, typer.Argument(metavar="ID", help="The endpoint's id.")]

_PATH: Final = "/v1/admin/callbacks"
#: The most deliveries that are listed, and how many come with one call.
MOST: Final = 1000
PAGE: Final = 200
#: An endpoint's answer is shown up to so many characters.
_SHOWN: Final = 500

_STYLES: Final = {
    "working": "green",
    "failing": "yellow",
    "paused": "red",
    "delivered": "green",
    "pending": "yellow",
    "failed": "red",
}


@app.command("list")
@options.bundled
def list_endpoints(
    client: Annotated[str, typer.Option(help="Only the endpoints of this client.")] = "",
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """List every endpoint, with how it stands and what is owed to it."""
    reply = running.call(admin.place(), "GET", _PATH, {"client": client} if client else {})
    showing.answer(reply, _show_list, as_json=as_json)


@app.command()
@options.bundled
def add(
    url_of_hook: Annotated[str, typer.Argument(metavar="URL", help="Where events are posted to.")],
    client: Annotated[str, typer.Option(help="Whose events; else those of the only client that has accounts.")] = "",
    dialect: Annotated[str, typer.Option(help="compat or standard; else compat, or what the endpoint has.")] = "",
    event: Annotated[list[str] | None, typer.Option(help="A kind of event; repeat for more. Else all.")] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="name=value, or name=@path, to send along; repeat for more.")
    ] = None,
    secret: Annotated[
        str, typer.Option(envvar="KURIR_CALLBACK_SECRET", help="The secret to sign with (whsec_…); else a new one.")
    ] = "",
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Make an endpoint, or change the client's at this URL: what is not named stays. A new secret is shown once.

    The value of a header is often a secret: name=@path reads it from a file, so that it is on no command line.
    """
    place = admin.place()
    wanted = {"client": client or _only_client(place), "url": url_of_hook, "dialect": dialect, "secret": secret}
    body: dict[str, Any] = {name: value for name, value in wanted.items() if value}
    if event:
        body["events"] = event
    if header:
        body["headers"] = dict(_header(one) for one in header)
    showing.answer(running.call(place, "PUT", _PATH, body=body), _show, as_json=as_json)


@app.command()
@options.bundled
def delete(
    endpoint: EndpointId,
    yes: options.Yes = False,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Delete an endpoint with all that is owed to it, for good. The events stay in the feed."""
    place, path = admin.place(), _path(endpoint)
    if not yes:
        owed = running.data_of(running.call(place, "GET", path))["pending"]
        typer.confirm(f"Delete {plain(endpoint)}, to which {owed:,} callbacks are owed?", abort=True, err=True)
    showing.answer(
        running.call(place, "DELETE", path), lambda gone: print(plain(f"{gone['id']} is deleted")), as_json=as_json
    )


@app.command()
@options.bundled
def show(
    endpoint: EndpointId,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Show how one endpoint stands."""
    reply = running.call(admin.place(), "GET", _path(endpoint))
    showing.answer(reply, _show, as_json=as_json)


@app.command()
@options.bundled
def pause(
    endpoint: EndpointId,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Call an endpoint no more until it is resumed. What happens meanwhile is owed to it."""
    reply = running.call(admin.place(), "POST", _path(endpoint, "/pause"))
    showing.answer(reply, _show, as_json=as_json)


@app.command()
@options.bundled
def resume(
    endpoint: EndpointId,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Let a paused or failing endpoint go on: one event is tried at once, then everything flows in order."""
    reply = running.call(admin.place(), "POST", _path(endpoint, "/resume"))
    showing.answer(reply, _show, as_json=as_json)


@app.command()
@options.bundled
def rotate(
    endpoint: EndpointId,
    overlap: Annotated[
        str, typer.Option(help="So long both secrets sign, such as 24h; 0s ends the old one now.")
    ] = "24h",
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Give an endpoint a new secret, and print it: it is shown this once."""
    body = {"overlap_seconds": int(durations.read(overlap, "--overlap").total_seconds())}
    reply = running.call(admin.place(), "POST", _path(endpoint, "/rotate"), body=body)
    showing.answer(reply, _show, as_json=as_json)


@app.command("test")
@options.bundled
def try_endpoint(
    endpoint: EndpointId,
    kind: Annotated[
        str, typer.Option("--type", help="message.received, postback.received or message.status.")
    ] = "message.received",
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Post an example event, signed as a true one, and show what the endpoint said. The exit code is 1 unless it took it."""
    reply = running.call(admin.place(), "POST", _path(endpoint, "/test"), {"kind": kind})
    if showing.answer(reply, _show_test, as_json=as_json)["error"]:
        raise typer.Exit(1)


@app.command()
@options.bundled
def replay(
    endpoint: EndpointId,
    since: Annotated[str, typer.Option(help="Events from this time on: RFC 3339, or so long ago, such as 2h.")] = "",
    until: Annotated[str, typer.Option(help="Events before this time, as with --since.")] = "",
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    position: Annotated[list[int] | None, typer.Option(help="The event with this id; repeat for more.")] = None,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Deliver events again: some, those of a time, or all that failed. They keep their webhook-id."""
    if not (since or until or failed or position):
        raise typer.BadParameter("say which: --position, --since, --until or --failed")
    wanted: dict[str, Any] = {"positions": position or [], "failed_only": failed}
    wanted |= {name: durations.moment(text, f"--{name}") for name, text in (("since", since), ("until", until)) if text}
    reply = running.call(admin.place(), "POST", _path(endpoint, "/replay"), body=wanted)
    showing.answer(reply, lambda done: print(_replayed(done["count"])), as_json=as_json)


@app.command()
@options.bundled
def deliveries(
    endpoint: EndpointId,
    state: Annotated[str, typer.Option(help="Only those that are pending, delivered or failed.")] = "",
    position: Annotated[int, typer.Option(help="Only the event with this id, with every try.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many.")] = 20,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """List what was delivered to an endpoint, newest first; with --position show every try of one event."""
    place, path = admin.place(), _path(endpoint, "/deliveries")
    if position:
        showing.answer(running.call(place, "GET", f"{path}/{position}"), _show_delivery, as_json=as_json)
        return
    rows, more = running.pages(place, path, {"state": state} if state else {}, limit, PAGE)
    if as_json:
        running.print_json({"data": rows, "next": more})
        return
    table = showing.table("event", "type", "state", "tries", "when", right=("event", "tries"))
    for one in rows:
        state_of = showing.styled(one["state"], _STYLES)
        table.add_row(one["position"], one["type"], state_of, str(one["tries"]), _when(one))
    showing.print_table(table, "There is no such delivery.")
    if more:
        showing.print_more(MOST)


# --- what was asked ---------------------------------------------------------------------------------------------------


def _path(endpoint: str, verb: str = "") -> str:
    if endpoint in ("", ".", ".."):
        raise typer.BadParameter("an endpoint's id is what «kurir callback list» shows", param_hint="ID")
    return f"{_PATH}/{quote(endpoint, safe='')}{verb}"


def _only_client(place: running.Place) -> str:
    """Return the only client that has accounts. Ends with a sentence where there are several, or none."""
    found = sorted({one["client"] for one in running.data_of(running.call(place, "GET", "/v1/admin/accounts"))})
    if len(found) != 1:
        known = f"there are {', '.join(found)}" if found else "no account says"
        running.fail(plain(f"whose events? {known}; name the client with --client"))
    return str(found[0])


def _header(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise typer.BadParameter("--header takes name=value, or name=@path")
    if not value.startswith("@"):
        return name, value
    try:
        return name, Path(value[1:]).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        running.fail(plain(f"{value[1:]} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}"))


# --- showing ----------------------------------------------------------------------------------------------------------


def _show_list(found: list[Any]) -> None:
    table = showing.table("endpoint", "client", "standing", "pending", "failed", "url", right=("pending", "failed"))
    for one in found:
        standing = showing.styled(one["standing"], _STYLES)
        owed, failed = f"{one['pending']:,}", f"{one['failed']:,}"
        table.add_row(one["id"], Text(plain(one["client"])), standing, owed, failed, Text(plain(one["url"])))
    showing.print_table(table, "There is no callback endpoint.")
    for one in found:
        if one["reason"]:
            showing.console().print(Text(plain(f"{one['id']}: {one['reason']}")))


def _show(endpoint: dict[str, Any]) -> None:
    console = showing.console()
    console.print(Text(endpoint["id"], "bold").append(plain(f"  {endpoint['dialect']} of {endpoint['client']}")))
    console.print(Text(plain(endpoint["url"])), soft_wrap=True)
    why = f": {endpoint['reason']}" if endpoint["reason"] else ""
    console.print(showing.styled(endpoint["standing"], _STYLES).append(plain(why), "default"))
    if endpoint["since"]:
        console.print(Text(f"since {running.when(endpoint['since'])}"))
    if endpoint["next_at"]:
        console.print(Text(f"tried next {running.when(endpoint['next_at'])}, {running.from_now(endpoint['next_at'])}"))
    oldest = f", the oldest of {running.when(endpoint['oldest_at'])}" if endpoint["oldest_at"] else ""
    console.print(Text(f"{endpoint['pending']:,} owed{oldest}, {endpoint['failed']:,} failed"))
    console.print(Text(plain(f"events {', '.join(endpoint['events'])}")))
    if endpoint["secret"]:
        console.print(Text(f"secret {endpoint['secret']}"), soft_wrap=True)
        console.print("It is not shown again.")


def _show_test(tried: dict[str, Any]) -> None:
    console = showing.console()
    console.print(Text(plain(f"{tried['webhook_id']}  {_said(tried)}")))
    if tried["body"]:
        console.print(Text(plain(tried["body"][:_SHOWN]), "dim"), soft_wrap=True)
    if tried["resumed"]:
        console.print("It had failed, and goes on now: what is owed to it is delivered.")


def _show_delivery(delivery: dict[str, Any]) -> None:
    console = showing.console()
    state = showing.styled(delivery["state"], _STYLES)
    head = Text(f"{delivery['position']}  {delivery['type']}  ").append(state)
    console.print(head.append(f"  {_when(delivery)}", "default"))
    console.print(Text(plain(f"{delivery['webhook_id']}, conversation {delivery['conversation']}")))
    for one in delivery["attempts"]:
        console.print(Text(plain(f"  {running.when(one['at'])}  {_said(one)}")))
        if one["body"]:
            console.print(Text(plain(f"    {one['body'][:_SHOWN]}"), "dim"), soft_wrap=True)


def _said(tried: dict[str, Any]) -> str:
    """Return in one line what an endpoint said to a try."""
    answer = f"HTTP {tried['status']}" if tried["status"] else "no answer"
    why = f"  {tried['error']['code']}: {tried['error']['detail']}" if tried["error"] else ""
    return f"{answer}  {tried['duration_ms']} ms{why}"


def _when(delivery: dict[str, Any]) -> str:
    if delivery["next_at"]:
        return f"next {running.when(delivery['next_at'])}"
    return running.when(delivery["ended_at"]) if delivery["ended_at"] else ""


def _replayed(count: int) -> str:
    return f"{count:,} callback{'' if count == 1 else 's'} will be delivered again"
