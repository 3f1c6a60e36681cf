"""``kurir template``: a WhatsApp account's templates, as the gateway knows them. It needs the administrator's token."""

import json
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kurir.cli import options, running
from kurir.cli.running import Place, plain

app = typer.Typer(name="template", help="Read WhatsApp's message templates, and look at them.", no_args_is_help=True)


@app.command()
def sync(
    account: options.AccountId,
    as_json: options.AsJson = False,
    url: options.Url = "",
    admin_token: options.AdminToken = "",
    data: options.Data = options.DATA,
) -> None:
    """Read every template of the account from WhatsApp, in place of those that the gateway knows."""
    found = _call(running.admin_place(url, admin_token, data), "POST", account, "/sync")
    if as_json:
        running.print_json({"data": found, "next": None})
        return
    usable = sum(one["status"] == "APPROVED" for one in found)
    print(f"{len(found)} templates, {usable} of them APPROVED")


@app.command("list")
def list_templates(
    account: options.AccountId,
    as_json: options.AsJson = False,
    url: options.Url = "",
    admin_token: options.AdminToken = "",
    data: options.Data = options.DATA,
) -> None:
    """List the account's templates as they were read last."""
    found = _call(running.admin_place(url, admin_token, data), "GET", account, "")
    if as_json:
        running.print_json({"data": found, "next": None})
        return
    if not found:
        print(plain(f"No template is known; «kurir template sync {account}» reads them."))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("template", "language", "status", "category"):
        table.add_column(name, overflow="fold")
    for one in found:
        style = "green" if one["status"] == "APPROVED" else "red"
        status = Text(plain(one["status"]), style)
        table.add_row(Text(plain(one["name"])), Text(plain(one["language"])), status, Text(plain(one["category"])))
    console = Console(highlight=False)
    console.print(table)
    console.print(Text(f"read {running.when(found[0]['synced_at'])}"))


@app.command()
def show(
    account: options.AccountId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The template's name.")],
    language: Annotated[str, typer.Option(help="Only in this language, such as en_US.")] = "",
    as_json: options.AsJson = False,
    url: options.Url = "",
    admin_token: options.AdminToken = "",
    data: options.Data = options.DATA,
) -> None:
    """Show a template in each of its languages, with the parameters that it wants."""
    known = _call(running.admin_place(url, admin_token, data), "GET", account, "")
    found = [one for one in known if one["name"] == name and language in ("", one["language"])]
    if not found:
        running.fail(plain(f"«{account}» has no such template; «kurir template sync {account}» reads them anew"))
    if as_json:
        running.print_json({"data": found, "next": None})
        return
    for one in found:
        print(plain(f"{one['name']}  {one['language']}  {one['status']}  {one['category']}"))
        for part in one["components"]:
            print(plain(f"  {_component(part)}"))


def _component(part: Any) -> str:
    """Return a component in words, where it has any: ``{"type": "BODY", "text": "Hello {{1}}"}``."""
    if not isinstance(part, dict):
        return json.dumps(part, ensure_ascii=False)
    kind = str(part.get("type", "")).lower()
    if isinstance(part.get("text"), str):
        return f"{kind}: {part['text']}"
    if isinstance(part.get("buttons"), list):
        words = (f"{one.get('type')} «{one.get('text')}»" for one in part["buttons"] if isinstance(one, dict))
        return f"{kind}: {', '.join(words)}"
    return f"{kind}: {str(part.get('format', '')).lower()}".rstrip(": ")


def _call(place: Place, method: str, account: str, verb: str) -> list[dict[str, Any]]:
    reply = running.call(place, method, f"/v1/admin/accounts/{quote(account, safe='')}/templates{verb}")
    if reply.status == HTTPStatus.NOT_FOUND and reply.body.get("code") == "not_found":
        running.fail(plain(f"there is no account «{account}»; «kurir account list» lists them"))
    found: list[dict[str, Any]] = running.data_of(reply)
    return found
