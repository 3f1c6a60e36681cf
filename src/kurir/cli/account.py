"""``kurir account``: how accounts stand, and to change one, stop it and let it go on. It needs the administrator's token."""

from typing import Any, Final

import typer
from rich.text import Text

from kurir.cli import lazy, options, running, showing
from kurir.cli.lazy import Verb
from kurir.cli.running import plain

#: What talks to the platforms themselves, and takes longer to load.
VERBS: Final = {
    "add": Verb(
        "kurir.cli.account_change",
        "add",
        "Add an account to a gateway that runs. Secrets that are not given are asked for.",
    ),
    "change": Verb(
        "kurir.cli.account_change",
        "change",
        "Change an account of a gateway that runs; what is not named stays, secrets too.",
    ),
    "connect": Verb("kurir.cli.connect", "app", "Connect a bot, a channel, a number or a page."),
    "reconnect": Verb(
        "kurir.cli.connect",
        "reconnect",
        "Set the webhook of an account that the gateway has, where its platform lets one. Exit code 1 if something is wrong.",
    ),
    "check": Verb(
        "kurir.cli.connect",
        "check",
        "Ask the platform what is wrong with an account, one line for each finding. Exit code 1 if something is wrong.",
    ),
}
app = typer.Typer(
    name="account",
    cls=lazy.group(VERBS),
    help="See how accounts stand; add and connect one, change it, stop it, let it go on.",
    no_args_is_help=True,
)

_STYLES: Final = {"working": "green", "throttled": "yellow", "out": "red", "parked": "red", "paused": "yellow"}


@app.command("list")
@options.bundled
def list_accounts(
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """List every account, with how it stands and what waits for it."""
    showing.answer(running.call(admin.place(), "GET", "/v1/admin/accounts"), _show_list, as_json=as_json)


@app.command()
@options.bundled
def show(
    account: options.AccountId,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Show how one account stands."""
    showing.answer(running.call_account(admin.place(), "GET", account), _show, as_json=as_json)


@app.command()
@options.bundled
def pause(
    account: options.AccountId,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Stop an account: nothing of it is sent until it is resumed. Its messages are accepted, and wait."""
    showing.answer(running.call_account(admin.place(), "POST", account, "/pause"), _show, as_json=as_json)


@app.command()
@options.bundled
def resume(
    account: options.AccountId,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Let an account go on that was paused, or that the platform or an outage stopped: it is tried at once."""
    showing.answer(running.call_account(admin.place(), "POST", account, "/resume"), _show, as_json=as_json)


@app.command()
@options.bundled
def disable(
    account: options.AccountId,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Switch an account off: it takes no message and sends none. What waits stays, until it expires."""
    showing.answer(running.call_account(admin.place(), "POST", account, "/disable"), _show, as_json=as_json)


@app.command()
@options.bundled
def enable(
    account: options.AccountId,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Switch an account on again."""
    showing.answer(running.call_account(admin.place(), "POST", account, "/enable"), _show, as_json=as_json)


def _show_list(found: list[Any]) -> None:
    numbers = ("queued", "oldest", "sending")
    table = showing.table("account", "channel", "standing", *numbers, right=numbers)
    for one in found:
        queue = one["queue"]
        table.add_row(
            Text(plain(one["id"])),
            one["channel"],
            showing.styled(one["standing"], _STYLES),
            f"{queue['messages']:,}",
            _age(queue["oldest_age_seconds"]),
            f"{one['in_flight']}/{one['window']}",
        )
    showing.print_table(table, "There is no account.")
    for one in found:
        if one["reason"]:
            showing.console().print(Text(plain(f"{one['id']}: {one['reason']['detail']}")))


def _show(account: dict[str, Any]) -> None:
    console = showing.console()
    default = ", the default" if account["default"] else ""
    console.print(Text(plain(account["id"]), "bold").append(f"  {account['channel']} of {account['client']}{default}"))
    sentence = f": {account['reason']['detail']}" if account["reason"] else ""
    console.print(showing.styled(account["standing"], _STYLES).append(plain(sentence), "default"))
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


def _age(seconds: float | None) -> str:
    return "" if seconds is None else running.duration(seconds)
