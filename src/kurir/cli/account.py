"""``kurir account``: how accounts stand, and to stop one and let it go on. It needs the administrator's token."""

from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kurir.cli import options, running
from kurir.cli.running import Place, plain

app = typer.Typer(name="account", help="See how accounts stand; stop one, let it go on.", no_args_is_help=True)

_STYLES: Final = {"working": "green", "throttled": "yellow", "out": "red", "parked": "red", "paused": "yellow"}


@app.command("list")
def list_accounts(
    as_json: options.AsJson = False,
    url: options.Url = "",
    admin_token: options.AdminToken = "",
    data: options.Data = options.DATA,
) -> None:
    """List every account, with how it stands and what waits for it."""
    reply = running.call(running.admin_place(url, admin_token, data), "GET", "/v1/admin/accounts")
    found = running.data_of(reply)
    if as_json:
        running.print_json(reply.body)
        return
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("account", "channel", "standing", "queued", "oldest", "sending"):
        table.add_column(name, justify="right" if name in ("queued", "oldest", "sending") else "left", overflow="fold")
    for one in found:
        queue = one["queue"]
        table.add_row(
            Text(plain(one["id"])),
            one["channel"],
            _standing(one),
            f"{queue['messages']:,}",
            _age(queue["oldest_age_seconds"]),
            f"{one['in_flight']}/{one['window']}",
        )
    console.print(table if found else "There is no account.")
    for one in found:
        if one["reason"]:
            console.print(Text(plain(f"{one['id']}: {one['reason']['detail']}")))


@app.command()
def show(
    account: options.AccountId,
    as_json: options.AsJson = False,
    url: options.Url = "",
    admin_token: options.AdminToken = "",
    data: options.Data = options.DATA,
) -> None:
    """Show how one account stands."""
    _call(running.admin_place(url, admin_token, data), "GET", account, "", as_json=as_json)


@app.command()
def pause(
    account: options.AccountId,
    as_json: options.AsJson = False,
    url: options.Url = "",
    admin_token: options.AdminToken = "",
    data: options.Data = options.DATA,
) -> None:
    """Stop an account: nothing of it is sent until it is resumed. Its messages are accepted, and wait."""
    _call(running.admin_place(url, admin_token, data), "POST", account, "/pause", as_json=as_json)


@app.command()
def resume(
    account: options.AccountId,
    as_json: options.AsJson = False,
    url: options.Url = "",
    admin_token: options.AdminToken = "",
    data: options.Data = options.DATA,
) -> None:
    """Let an account go on that was paused, or that the platform or an outage stopped: it is tried at once."""
    _call(running.admin_place(url, admin_token, data), "POST", account, "/resume", as_json=as_json)


def _call(place: Place, method: str, account: str, verb: str, *, as_json: bool) -> None:
    reply = running.call(place, method, f"/v1/admin/accounts/{quote(account, safe='')}{verb}")
    if reply.status == HTTPStatus.NOT_FOUND and reply.body.get("code") == "not_found":
        running.fail(plain(f"there is no account «{account}»; «kurir account list» lists them"))
    found = running.data_of(reply)
    if as_json:
        running.print_json(reply.body)
    else:
        _show(Console(highlight=False), found)


def _show(console: Console, account: dict[str, Any]) -> None:
    default = ", the default" if account["default"] else ""
    console.print(Text(plain(account["id"]), "bold").append(f"  {account['channel']} of {account['client']}{default}"))
    sentence = f": {account['reason']['detail']}" if account["reason"] else ""
    console.print(_standing(account).append(plain(sentence), "default"))
    if account["since"]:
        console.print(Text(f"since {running.when(account['since'])}"))
    if account["until"]:
        console.print(Text(f"until {running.when(account['until'])}, {running.from_now(account['until'])}"))
    console.print(Text(_queue(account["queue"], account["in_flight"])))
    slowed = f", at {account['rate_share']:.0%} of its rate" if account["rate_share"] < 1 else ""
    console.print(Text(f"{account['window']} may be sent at once now, at most {account['concurrency']}{slowed}"))


def _queue(queue: dict[str, Any], in_flight: int) -> str:
    """Return in words how many messages are queued, those being sent included, and how long the oldest has been due."""
    # The two numbers are of two moments: a message that just ended may still count as being sent.
    sending = min(in_flight, queue["messages"])
    being_sent = f", {sending:,} of them being sent" if sending else ""
    oldest = f", the oldest for {_age(queue['oldest_age_seconds'])}" if queue["oldest_at"] else ""
    return f"{queue['messages']:,} queued{being_sent}{oldest}"


def _standing(account: dict[str, Any]) -> Text:
    return Text(account["standing"], _STYLES.get(account["standing"], "dim"))


def _age(seconds: float | None) -> str:
    return "" if seconds is None else running.duration(seconds)
