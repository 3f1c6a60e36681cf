"""``kurir client``: which clients there are; make one, give it a new password, let it in no more.

It needs the administrator's token. A new password is shown once: nobody can ask for it again.
"""

from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from rich.text import Text

from kurir.cli import durations, options, running, showing
from kurir.cli.running import plain

app = typer.Typer(
    name="client",
    help="See which clients there are; add and change one, give it a new password, switch it off.",
    no_args_is_help=True,
)

ClientId = Annotated[str, typer.Argument(metavar="ID", help="The client's id.")]
Username = Annotated[str | None, typer.Option(help="What it sends as Auth-username; its id by default.")]
Region = Annotated[str | None, typer.Option(help="The country of numbers with a leading 0, such as ID.")]
MaxAge = Annotated[str | None, typer.Option(help="How long a message may wait, such as 24h.")]
AllowFrom = Annotated[
    list[str] | None,
    typer.Option(help="A network that its requests may come from; repeat for more. One empty one: from anywhere."),
]

_PATH: Final = "/v1/admin/clients"


@app.command("list")
@options.bundled
def list_clients(*, as_json: options.AsJson = False, admin: options.AsAdmin) -> None:
    """List every client, and when it was let in last."""
    showing.answer(running.call(admin.place(), "GET", _PATH), _show_list, as_json=as_json)


@app.command()
@options.bundled
def add(
    client: ClientId,
    username: Username = None,
    default_region: Region = None,
    max_age: MaxAge = None,
    allow_from: AllowFrom = None,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Make a client. Its password is made here, and shown once."""
    body = {"id": client} | _given(username, default_region, max_age, allow_from)
    showing.answer(running.call(admin.place(), "POST", _PATH, body=body), _show, as_json=as_json)


@app.command()
@options.bundled
def change(
    client: ClientId,
    username: Username = None,
    default_region: Region = None,
    max_age: MaxAge = None,
    allow_from: AllowFrom = None,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Change a client; what is not named stays, and an empty value is the default again."""
    body = _given(username, default_region, max_age, allow_from)
    if not body:
        running.fail("nothing is changed: name an option")
    showing.answer(_call(admin, "PATCH", client, body=body), _show, as_json=as_json)


@app.command()
@options.bundled
def rotate(
    client: ClientId,
    overlap: Annotated[str, typer.Option(help="How long the password before lets in as well; 0s: no more.")] = "24h",
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Give a client a new password, which is shown once."""
    body = {"overlap_seconds": int(durations.read(overlap, "--overlap").total_seconds())}
    showing.answer(_call(admin, "POST", client, "/rotate-password", body=body), _show, as_json=as_json)


@app.command()
@options.bundled
def disable(client: ClientId, *, as_json: options.AsJson = False, admin: options.AsAdmin) -> None:
    """Let a client in no more. Its accounts send nothing; its messages wait, until they expire."""
    showing.answer(_call(admin, "POST", client, "/disable"), _show, as_json=as_json)


@app.command()
@options.bundled
def enable(client: ClientId, *, as_json: options.AsJson = False, admin: options.AsAdmin) -> None:
    """Let a client in again."""
    showing.answer(_call(admin, "POST", client, "/enable"), _show, as_json=as_json)


def _call(admin: options.AsAdmin, method: str, client: str, verb: str = "", *, body: object = None) -> running.Reply:
    return running.call(admin.place(), method, f"{_PATH}/{quote(client, safe='')}{verb}", body=body)


def _given(
    username: str | None, default_region: str | None, max_age: str | None, allow_from: list[str] | None
) -> dict[str, Any]:
    """Return what was given; an empty value as None, which is the default."""
    texts = {"username": username, "default_region": default_region, "max_age": max_age}
    body: dict[str, Any] = {name: value or None for name, value in texts.items() if value is not None}
    if allow_from is not None:
        body["allow_from"] = [network for network in allow_from if network]
    return body


def _show_list(found: list[Any]) -> None:
    table = showing.table("client", "user name", "standing", "kept in", "last used")
    for one in found:
        table.add_row(
            Text(plain(one["id"])),
            Text(plain(one["username"])),
            showing.styled(_standing(one), {"enabled": "green", "disabled": "red"}),
            "file" if one["declared"] else "database",
            running.when(one["last_used_at"]) if one["last_used_at"] else "",
        )
    showing.print_table(table, "There is no client.")


def _show(client: dict[str, Any]) -> None:
    console = showing.console()
    name = f", user name {client['username']}" if client["username"] != client["id"] else ""
    console.print(Text(plain(client["id"]), "bold").append(plain(f"  {_standing(client)}{name}"), "default"))
    if client["allow_from"]:
        console.print(Text(plain(f"let in from {', '.join(client['allow_from'])}")))
    if client["password"]:
        console.print(Text(plain(f"password {client['password']}")))
        console.print("It is shown only now.")
    if client["previous_until"]:
        console.print(Text(f"The password before lets in until {running.when(client['previous_until'])}."))


def _standing(client: dict[str, Any]) -> str:
    return "enabled" if client["enabled"] else "disabled"
