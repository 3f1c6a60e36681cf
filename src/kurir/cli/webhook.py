"""``kurir webhook``: what platforms told that could not be read, and to read it again after an upgrade.

It needs the administrator's token. The bodies were written by others, people's words among them: they are shown when they
are asked for, and made harmless for a terminal.
"""

import base64
import sys
from http import HTTPStatus
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from kurir.cli import options, running, showing
from kurir.cli.running import Place, Reply, plain

app = typer.Typer(
    name="webhook", help="See webhooks that could not be read; replay them, delete them.", no_args_is_help=True
)

WebhookId = Annotated[int, typer.Argument(metavar="ID", min=1, help="The webhook's id, as the list shows it.")]
WebhookIds = Annotated[
    list[int] | None, typer.Argument(metavar="[ID]...", min=1, help="The ids of webhooks, as the list shows them.")
]
OfAccount = Annotated[str, typer.Option(help="Only the webhooks of this account.")]
All = Annotated[bool, typer.Option("--all", help="All of them, or with --account all of that account.")]

_PATH: Final = "/v1/admin/webhooks"
#: The most webhooks that are listed, how many come with one call, and what no quarantine has.
MOST: Final = 1000
PAGE: Final = 200
_EVERY: Final = 10**9
#: A body is shown up to so many characters; --body gives all of it.
_SHOWN: Final = 2000


@app.command("list")
@options.bundled
def list_webhooks(
    account: OfAccount = "",
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many.")] = 100,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """List the webhooks that could not be read, in the order in which they came, and how many were not kept."""
    place, query = admin.place(), {"account": account} if account else {}
    found, more = running.pages(place, _PATH, query, limit, PAGE)
    lost = running.call(place, "GET", _PATH, query | {"limit": "1"}).body.get("not_kept") or []
    if as_json:
        running.print_json({"data": found, "next": more, "not_kept": lost})
        return
    table = showing.table("id", "account", "came", "times", "bytes", "why", right=("id", "times", "bytes"))
    for one in found:
        counts = (f"{one['times']:,}", f"{one['size']:,}")
        came = running.when(one["received_at"])
        table.add_row(one["id"], Text(plain(one["account"])), came, *counts, Text(plain(one["why"])))
    showing.print_table(table, "No webhook is in quarantine: whatever came could be read.")
    if more:
        showing.print_more(MOST)
    for one in lost:
        since = f"from {running.when(one['first_at'])} to {running.when(one['last_at'])}"
        print(plain(f"{one['account']}: {one['count']:,} more were not kept, {since}; replay or delete to make room"))


@app.command()
@options.bundled
def show(
    webhook: WebhookId,
    body: Annotated[
        bool, typer.Option("--body", help="Print the body alone, byte for byte; it holds what people wrote.")
    ] = False,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Show a webhook that could not be read, with its body."""
    reply = running.call(admin.place(), "GET", f"{_PATH}/{webhook}")
    if body:
        sys.stdout.buffer.write(_bytes(running.data_of(reply)))
        sys.stdout.buffer.flush()
    else:
        showing.answer(reply, _show, as_json=as_json)


@app.command()
@options.bundled
def replay(
    webhooks: WebhookIds = None,
    account: OfAccount = "",
    every: All = False,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Read webhooks again, in the order in which they came. What was told before is not told twice.

    The exit code is 1 unless all of them were understood.
    """
    place, done, stayed = admin.place(), [], False
    for number in _named(place, webhooks, account, every=every):
        reply = running.call(place, "POST", f"{_PATH}/{number}/replay")
        found, sentence = _replayed(number, reply)
        stayed = stayed or not found["understood"]
        done.append(found)
        if not as_json:
            print(plain(sentence))
    if as_json:
        running.print_json({"data": done})
    elif not done:
        print("No webhook is in quarantine: there is nothing to read again.")
    if stayed:
        raise typer.Exit(1)


@app.command()
@options.bundled
def delete(
    webhooks: WebhookIds = None,
    account: OfAccount = "",
    every: All = False,
    yes: options.Yes = False,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Delete webhooks that could not be read, for good: the platforms will not send them again."""
    place = admin.place()
    named = _named(place, webhooks, account, every=every)
    if named and not yes:
        what = f"{len(named):,} webhook{'' if len(named) == 1 else 's'}"
        typer.confirm(f"Delete {what} that nobody has read?", abort=True, err=True)
    gone = [running.data_of(running.call(place, "DELETE", f"{_PATH}/{number}")) for number in named]
    if as_json:
        running.print_json({"data": gone})
    else:
        print(f"{len(gone):,} deleted")


def _named(place: Place, webhooks: list[int] | None, account: str, *, every: bool) -> list[int]:
    """Return the ids that were named, or with --all those that there are."""
    if bool(webhooks) == every or (webhooks and account):
        raise typer.BadParameter("name the webhooks by their ids, or say --all (with --account, of one account)")
    if webhooks:
        return webhooks
    found, _ = running.pages(place, _PATH, {"account": account} if account else {}, _EVERY, MOST)
    return [int(one["id"]) for one in found]


def _replayed(number: int, reply: Reply) -> tuple[dict[str, Any], str]:
    """Return what a replay brought, and a line that says it. What keeps one from being read keeps no other from it."""
    if reply.status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
        why = str(reply.body.get("detail"))
        return {"id": str(number), "understood": False, "why": why}, f"{number}: {why}"
    found = running.data_of(reply)
    if not found["understood"]:
        return found, f"{number}: stays in quarantine: {found['why']}"
    return (
        found,
        f"{number}: understood, {found['new']:,} new, {found['receipts']:,} receipts, {found['ignored']:,} ignored",
    )


def _bytes(webhook: dict[str, Any]) -> bytes:
    text = webhook["body"]
    return base64.b64decode(webhook["body_base64"]) if text is None else text.encode()


def _show(webhook: dict[str, Any]) -> None:
    here = showing.console()
    here.print(Text(plain(f"{webhook['id']}  {webhook['account']}"), "bold"))
    here.print(Text(plain(webhook["why"])))
    times = "once" if webhook["times"] == 1 else f"{webhook['times']:,} times, first"
    here.print(Text(f"came {times} {running.when(webhook['received_at'])}, {webhook['size']:,} bytes"))
    if webhook["replayed_at"]:
        here.print(Text(f"replayed in vain {running.when(webhook['replayed_at'])}"))
    body = _bytes(webhook).decode("utf-8", "backslashreplace")
    here.print(Text(plain(body[:_SHOWN]), "dim"), soft_wrap=True)
    if len(body) > _SHOWN:
        here.print(f"The rest is shown by «kurir webhook show {webhook['id']} --body».")
