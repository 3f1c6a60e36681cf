"""``kurir template``: a WhatsApp account's templates, as the gateway knows them. It needs the administrator's token."""

import json
from typing import Annotated, Any

import typer
from rich.text import Text

from kurir.cli import options, running, showing
from kurir.cli.running import plain

app = typer.Typer(name="template", help="Read WhatsApp's message templates, and look at them.", no_args_is_help=True)


@app.command()
@options.bundled
def sync(
    account: options.AccountId,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Read every template of the account from WhatsApp, in place of those that the gateway knows."""
    reply = running.call_account(admin.place(), "POST", account, "/templates/sync")
    showing.answer(reply, _tell, as_json=as_json)


@app.command("list")
@options.bundled
def list_templates(
    account: options.AccountId,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """List the account's templates as they were read last."""
    reply = running.call_account(admin.place(), "GET", account, "/templates")
    showing.answer(reply, lambda found: _show_list(found, account), as_json=as_json)


@app.command()
@options.bundled
def show(
    account: options.AccountId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The template's name.")],
    language: Annotated[str, typer.Option(help="Only in this language, such as en_US.")] = "",
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Show a template in each of its languages, with the parameters that it wants."""
    known = running.data_of(running.call_account(admin.place(), "GET", account, "/templates"))
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


def _tell(found: list[Any]) -> None:
    usable = sum(one["status"] == "APPROVED" for one in found)
    print(f"{len(found)} templates, {usable} of them APPROVED")


def _show_list(found: list[Any], account: str) -> None:
    if not found:
        print(plain(f"No template is known; «kurir template sync {account}» reads them."))
        return
    table = showing.table("template", "language", "status", "category")
    for one in found:
        status = Text(plain(one["status"]), "green" if one["status"] == "APPROVED" else "red")
        table.add_row(Text(plain(one["name"])), Text(plain(one["language"])), status, Text(plain(one["category"])))
    showing.print_table(table, "")
    print(f"read {running.when(found[0]['synced_at'])}")


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
