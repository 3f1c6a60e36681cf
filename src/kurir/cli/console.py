"""``kurir console``: who may look at the console, and a link that lets somebody in. It needs the administrator's token."""

from typing import Annotated, Any, Final

import typer
from rich.text import Text

from kurir.cli import options, running, showing
from kurir.cli.running import plain

app = typer.Typer(
    name="console",
    help="Make a link that lets somebody into the console, once; see who may look.",
    no_args_is_help=True,
)

_PATH: Final = "/v1/admin/console"


@app.command()
@options.bundled
def link(
    user: Annotated[
        str | None, typer.Argument(metavar="[USER]", help="Whom it lets in; else the first owner.", show_default=False)
    ] = None,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Make a link that lets one browser into the console, once, within a day."""
    reply = running.call(admin.place(), "POST", f"{_PATH}/links", body={"user": user} if user else {})
    showing.answer(reply, _show_link, as_json=as_json)


@app.command()
@options.bundled
def users(*, as_json: options.AsJson = False, admin: options.AsAdmin) -> None:
    """List who may look at the console, and when each signed in last."""
    showing.answer(running.call(admin.place(), "GET", f"{_PATH}/users"), _show_users, as_json=as_json)


def _show_link(found: dict[str, Any]) -> None:
    console = showing.console()
    typer.echo(plain(found["url"]))  # not folded at the width of a terminal: it is to be copied
    whom = plain(found["user"]) if found["user"] else "the first owner, who is made by it"
    console.print(Text(f"It lets one browser in, once, until {running.when(found['expires_at'])}: {whom}."))


def _show_users(found: list[Any]) -> None:
    table = showing.table("user", "role", "client", "standing", "password", "second factor", "signed in")
    for one in found:
        table.add_row(
            Text(plain(one["name"])),
            one["role"],
            Text(plain(one["client"] or "")),
            showing.styled("enabled" if one["enabled"] else "disabled", {"enabled": "green", "disabled": "red"}),
            "set" if one["has_password"] else "none",
            "on" if one["second_factor"] else "off",
            running.when(one["last_signed_in_at"]) if one["last_signed_in_at"] else "",
        )
    showing.print_table(table, "Nobody yet. «kurir console link» lets the first owner in.")
