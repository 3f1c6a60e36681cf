"""``kurir callback``: how callback endpoints stand, what was delivered, and to deliver it again.

It needs the administrator's token. What is shown was partly written by others (URLs, an endpoint's answers), and is made
harmless for a terminal.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kurir.cli import options, running
from kurir.cli.running import Place, Reply, plain
from kurir.configuration.problems import WrongValueError
from kurir.configuration.values import duration

app = typer.Typer(
    name="callback", help="See how callback endpoints stand; try, pause, rotate, replay.", no_args_is_help=True
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
def list_endpoints(
    client: Annotated[str, typer.Option(help="Only the endpoints of this client.")] = "",
    as_json: options.AsJson = False,
    url: options.Url = "",
    admin_token: options.AdminToken = "",
    data: options.Data = options.DATA,
) -> None:
    """List every endpoint, with how it stands and what is owed to it."""
    query = {"client": client} if client else {}
    reply = running.call(running.admin_place(url, admin_token, data), "GET", _PATH, query)
    found = running.data_of(reply)
    if as_json:
        running.print_json(reply.body)
        return
    console = Console(highlight=False)
    table = _table("endpoint", "client", "standing", "pending", "failed", "url")
    for one in found:
        table.add_row(
            one["id"],
            Text(plain(one["client"])),
            _styled(one["standing"]),
            f"{one['pending']:,}",
            f"{one['failed']:,}",
            Text(plain(one["url"])),
        )
    console.print(table if found else "There is no callback endpoint.")
    for one in found:
        if one["reason"]:
            console.print(Text(plain(f"{one['id']}: {one['reason']}")))


@app.command()
def show(
    endpoint: EndpointId,
    as_json: options.AsJson = False,
    url: options.Url = "",
    admin_token: options.AdminToken = "",
    data: options.Data = options.DATA,
) -> None:
    """Show how one endpoint stands."""
    place = running.admin_place(url, admin_token, data)
    _print(running.call(place, "GET", _path(endpoint)), as_json=as_json)


@app.command()
def pause(
    endpoint: EndpointId,
    as_json: options.AsJson = False,
    url: options.Url = "",
    admin_token: options.AdminToken = "",
    data: options.Data = options.DATA,
) -> None:
    """Call an endpoint no more until it is resumed. What happens meanwhile is owed to it."""
    place = running.admin_place(url, admin_token, data)
    _print(running.call(place, "POST", _path(endpoint, "/pause")), as_json=as_json)


@app.command()
def resume(
    endpoint: EndpointId,
    as_json: options.AsJson = False,
    url: options.Url = "",
    admin_token: options.AdminToken = "",
    data: options.Data = options.DATA,
) -> None:
    """Let a paused or failing endpoint go on: one event is tried at once, then everything flows in order."""
    place = running.admin_place(url, admin_token, data)
    _print(running.call(place, "POST", _path(endpoint, "/resume")), as_json=as_json)


@app.command()
def rotate(
    endpoint: EndpointId,
    overlap: Annotated[
        str, typer.Option(help="So long both secrets sign, such as 24h; 0s ends the old one now.")
    ] = "24h",
    as_json: options.AsJson = False,
    url: options.Url = "",
    admin_token: options.AdminToken = "",
    data: options.Data = options.DATA,
) -> None:
    """Give an endpoint a new secret, and print it: it is shown this once."""
    body = {"overlap_seconds": int(_duration(overlap, "--overlap").total_seconds())}
    place = running.admin_place(url, admin_token, data)
    _print(running.call(place, "POST", _path(endpoint, "/rotate"), body=body), as_json=as_json)


@app.command("test")
def try_endpoint(
    endpoint: EndpointId,
    kind: Annotated[
        str, typer.Option("--type", help="message.received, postback.received or message.status.")
    ] = "message.received",
    as_json: options.AsJson = False,
    url: options.Url = "",
    admin_token: options.AdminToken = "",
    data: options.Data = options.DATA,
) -> None:
    """Post an example event, signed as a true one, and show what the endpoint said. The exit code is 1 unless it took it."""
    place = running.admin_place(url, admin_token, data)
    reply = running.call(place, "POST", _path(endpoint, "/test"), {"kind": kind})
    tried = running.data_of(reply)
    if as_json:
        running.print_json(reply.body)
    else:
        console = Console(highlight=False)
        console.print(Text(plain(f"{tried['webhook_id']}  {_said(tried)}")))
        if tried["body"]:
            console.print(Text(plain(tried["body"][:_SHOWN]), "dim"), soft_wrap=True)
    if tried["error"]:
        raise typer.Exit(1)


@app.command()
def replay(
    endpoint: EndpointId,
    since: Annotated[str, typer.Option(help="Events from this time on: RFC 3339, or so long ago, such as 2h.")] = "",
    until: Annotated[str, typer.Option(help="Events before this time, as with --since.")] = "",
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    position: Annotated[list[int] | None, typer.Option(help="The event with this id; repeat for more.")] = None,
    as_json: options.AsJson = False,
    url: options.Url = "",
    admin_token: options.AdminToken = "",
    data: options.Data = options.DATA,
) -> None:
    """Deliver events again: some, those of a time, or all that failed. They keep their webhook-id."""
    if not (since or until or failed or position):
        raise typer.BadParameter("say which: --position, --since, --until or --failed")
    wanted: dict[str, Any] = {"positions": position or [], "failed_only": failed}
    wanted |= {name: _time(text, f"--{name}") for name, text in (("since", since), ("until", until)) if text}
    place = running.admin_place(url, admin_token, data)
    reply = running.call(place, "POST", _path(endpoint, "/replay"), body=wanted)
    count = running.data_of(reply)["count"]
    if as_json:
        running.print_json(reply.body)
    else:
        print(f"{count:,} callback{'' if count == 1 else 's'} will be delivered again")


@app.command()
def deliveries(
    endpoint: EndpointId,
    state: Annotated[str, typer.Option(help="Only those that are pending, delivered or failed.")] = "",
    position: Annotated[int, typer.Option(help="Only the event with this id, with every try.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many.")] = 20,
    as_json: options.AsJson = False,
    url: options.Url = "",
    admin_token: options.AdminToken = "",
    data: options.Data = options.DATA,
) -> None:
    """List what was delivered to an endpoint, newest first; with --position show every try of one event."""
    place = running.admin_place(url, admin_token, data)
    console = Console(highlight=False)
    if position:
        reply = running.call(place, "GET", _path(endpoint, f"/deliveries/{position}"))
        found = running.data_of(reply)
        if as_json:
            running.print_json(reply.body)
        else:
            _show_delivery(console, found)
        return
    rows, more = _pages(place, endpoint, {"state": state} if state else {}, limit)
    if as_json:
        running.print_json({"data": rows, "next": more})
        return
    table = _table("event", "type", "state", "tries", "when")
    for one in rows:
        table.add_row(one["position"], one["type"], _styled(one["state"]), str(one["tries"]), _when(one))
    console.print(table if rows else "There is no such delivery.")
    if more:
        console.print(f"There are more; --limit shows up to {MOST:,}.")


def _pages(place: Place, endpoint: str, query: dict[str, str], limit: int) -> tuple[list[Any], str | None]:
    found: list[Any] = []
    after: str | None = None
    while True:
        more = {"limit": str(min(PAGE, limit - len(found)))} | ({"after": after} if after else {})
        reply = running.call(place, "GET", _path(endpoint, "/deliveries"), query | more)
        found += running.data_of(reply)
        after = reply.body.get("next")
        if after is None or len(found) >= limit:
            return found, after


# --- what was asked ---------------------------------------------------------------------------------------------------


def _path(endpoint: str, verb: str = "") -> str:
    if endpoint in ("", ".", ".."):
        raise typer.BadParameter("an endpoint's id is what «kurir callback list» shows", param_hint="ID")
    return f"{_PATH}/{quote(endpoint, safe='')}{verb}"


def _duration(text: str, option: str) -> timedelta:
    try:
        return duration(timedelta(0))(text)
    except WrongValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _time(text: str, option: str) -> str:
    """Return the RFC 3339 time that *text* names, or says how long ago it was."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None:
        return (datetime.now(UTC) - _duration(text, option)).isoformat()
    if moment.tzinfo is None:
        raise typer.BadParameter("the time needs its offset, such as a Z at the end", param_hint=option)
    return moment.isoformat()


# --- showing ----------------------------------------------------------------------------------------------------------


def _print(reply: Reply, *, as_json: bool) -> None:
    endpoint = running.data_of(reply)
    if as_json:
        running.print_json(reply.body)
        return
    console = Console(highlight=False)
    console.print(Text(endpoint["id"], "bold").append(plain(f"  {endpoint['dialect']} of {endpoint['client']}")))
    console.print(Text(plain(endpoint["url"])), soft_wrap=True)
    why = f": {endpoint['reason']}" if endpoint["reason"] else ""
    console.print(_styled(endpoint["standing"]).append(plain(why), "default"))
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


def _show_delivery(console: Console, delivery: dict[str, Any]) -> None:
    state = Text(f"{delivery['position']}  {delivery['type']}  ").append(_styled(delivery["state"]))
    console.print(state.append(f"  {_when(delivery)}", "default"))
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


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        right = name in ("pending", "failed", "tries", "event")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    return table


def _styled(word: str) -> Text:
    return Text(word, _STYLES.get(word, "dim"))
