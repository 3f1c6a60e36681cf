"""``kurir account connect``, ``reconnect`` and ``check``: from a platform's credentials to an account that is called.

``connect`` needs no gateway: it asks the platform itself, sets the webhook where that can be done, and gives the table for the
configuration file. ``reconnect`` and ``check`` ask the gateway that has the account, or read its configuration file.

A secret on a command line is seen by every user of the machine and kept by the shell, so it is taken from the terminal,
from standard input ("-"), from a file ("@path") or from a variable; as plain text it is taken with a warning.
"""

import asyncio
import os
import secrets
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import quote

import aiohttp
import typer
from rich.console import Console
from rich.text import Text

from kurir import channels
from kurir.channels.setup import Report
from kurir.cli import options, running
from kurir.cli.running import Place, plain
from kurir.clock import SystemClock
from kurir.configuration.accounts import read_account
from kurir.configuration.file import DEFAULT_FILE, find_file, load
from kurir.configuration.problems import ConfigError, WrongValueError
from kurir.configuration.table import Reading
from kurir.configuration.values import public_url as read_public_url
from kurir.connect import block
from kurir.connect.connector import Connector
from kurir.connect.shape import shaped
from kurir.domain import channel as names
from kurir.domain.account import Account
from kurir.egress import Egress

app = typer.Typer(name="connect", help="Connect a bot, a channel, a number or a page.", no_args_is_help=True)

#: How often the gateway is asked whether its platform has called, in seconds.
_ASK_SECONDS: Final = 1.0
_SHORT: Final = {names.WHATSAPP: "wa", names.TELEGRAM: "tg", names.LINE: "line", names.MESSENGER: "fb"}
#: What makes the platform call, in words.
_PROMPTS: Final = {
    names.TELEGRAM: "write anything to the bot",
    names.LINE: "write anything to the account, or press Verify in the console",
    names.WHATSAPP: "paste and verify the callback, then write anything to the number",
    names.MESSENGER: "paste and verify the callback, then write anything to the page",
}

Id: TypeAlias = Annotated[
    str, typer.Option("--id", help="The account's id; else the client's with -tg, -line, -wa, -fb.")
]
Client: TypeAlias = Annotated[str, typer.Option(help="The client; else the only one of the configuration.")]
PublicUrl: TypeAlias = Annotated[
    str, typer.Option(envvar="KURIR_PUBLIC_URL", help="What platforms call; else the configuration's public_url.")
]
ApiBase: TypeAlias = Annotated[str, typer.Option(help="Where the platform's API is, if not where it always is.")]
Config: TypeAlias = Annotated[
    Path | None, typer.Option(help="The configuration file to read the client and public_url from.")
]
Write: TypeAlias = Annotated[Path | None, typer.Option(help="Add the account to this configuration file.")]
SecretsIn: TypeAlias = Annotated[
    str, typer.Option("--secrets", help="env or files: how the table names secrets; files with --write, else env.")
]
Replace: TypeAlias = Annotated[bool, typer.Option("--replace", help="Take the webhook from whoever has it now.")]
Wait: TypeAlias = Annotated[int, typer.Option(help="Wait so many seconds for the first webhook at the gateway.")]

_SECRET: Final = "asked for; or - (standard input), or @path"  # noqa: S105 - words for help


def _secret(variable: str) -> Any:
    return typer.Option(envvar=variable, help=_SECRET)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What every channel's verb takes beside its credentials."""

    account_id: Id = ""
    client: Client = ""
    public_url: PublicUrl = ""
    api_base: ApiBase = ""
    config: Config = None
    write: Write = None
    secrets_in: SecretsIn = ""
    replace: Replace = False
    wait: Wait = 0


@dataclass(frozen=True, slots=True)
class _Key:
    """One key of an account: how it is asked for, whether it is secret, made here, or may be left out."""

    name: str
    prompt: str
    secret: bool = False
    made: bool = False
    optional: bool = False


_VERIFY: Final = _Key("verify_token", "", secret=True, made=True)
_APP: Final = (
    _Key("app_secret", "App secret (App Dashboard, App settings, Basic)", secret=True),
    _VERIFY,
    _Key("app_id", "App id (the same page; empty to paste the callback by hand)", optional=True),
)
_KEYS: Final[Mapping[str, tuple[_Key, ...]]] = {
    names.TELEGRAM: (
        _Key("token", "Token from @BotFather", secret=True),
        _Key("secret_token", "", secret=True, made=True),
    ),
    names.LINE: (
        _Key("channel_access_token", "Channel access token (long-lived; tab «Messaging API»)", secret=True),
        _Key("channel_secret", "Channel secret (tab «Basic settings»)", secret=True),
    ),
    names.WHATSAPP: (
        _Key("phone_number_id", "Phone number id (App Dashboard, WhatsApp, API setup)"),
        _Key("waba_id", "WhatsApp Business Account id (the same page)", optional=True),
        _Key("access_token", "Access token of a System User", secret=True),
        *_APP,
    ),
    names.MESSENGER: (
        _Key("page_id", "Page id"),
        _Key("page_access_token", "Page access token", secret=True),
        *_APP,
    ),
}


@app.command()
@options.bundled
def telegram(
    context: typer.Context,
    *,
    token: Annotated[str, _secret("KURIR_CONNECT_TOKEN")] = "",
    secret_token: Annotated[str, _secret("KURIR_CONNECT_SECRET_TOKEN")] = "",
    poll: Annotated[bool, typer.Option("--poll", help="Fetch updates: for a gateway nobody can call.")] = False,
    wanted: Wanted,
    admin: options.AsAdmin,
) -> None:
    """Connect a Telegram bot: checks the token and sets the webhook. The secret_token is made where none is given."""
    given = {"token": token, "secret_token": secret_token}
    _connect(context, names.TELEGRAM, wanted, admin, given, {"receive": "poll"} if poll else {})


@app.command()
@options.bundled
def line(
    context: typer.Context,
    *,
    channel_access_token: Annotated[str, _secret("KURIR_CONNECT_CHANNEL_ACCESS_TOKEN")] = "",
    channel_secret: Annotated[str, _secret("KURIR_CONNECT_CHANNEL_SECRET")] = "",
    wanted: Wanted,
    admin: options.AsAdmin,
) -> None:
    """Connect a LINE channel: checks the token and sets the webhook endpoint."""
    given = {"channel_access_token": channel_access_token, "channel_secret": channel_secret}
    _connect(context, names.LINE, wanted, admin, given)


@app.command()
@options.bundled
def whatsapp(
    context: typer.Context,
    *,
    phone_number_id: Annotated[str, typer.Option(help="The id of the number, not the number.")] = "",
    waba_id: Annotated[str, typer.Option(help="The WhatsApp Business Account's id.")] = "",
    access_token: Annotated[str, _secret("KURIR_CONNECT_ACCESS_TOKEN")] = "",
    app_secret: Annotated[str, _secret("KURIR_CONNECT_APP_SECRET")] = "",
    verify_token: Annotated[str, _secret("KURIR_CONNECT_VERIFY_TOKEN")] = "",
    app_id: Annotated[str, typer.Option(help="The app's id, by which its webhook can be read and set.")] = "",
    wanted: Wanted,
    admin: options.AsAdmin,
) -> None:
    """Connect a WhatsApp number: checks the token, subscribes the business account, prints what to paste at Meta."""
    given = {
        "phone_number_id": phone_number_id,
        "waba_id": waba_id,
        "access_token": access_token,
        "app_secret": app_secret,
        "verify_token": verify_token,
        "app_id": app_id,
    }
    _connect(context, names.WHATSAPP, wanted, admin, given)


@app.command()
@options.bundled
def messenger(
    context: typer.Context,
    *,
    page_id: Annotated[str, typer.Option(help="The page's id.")] = "",
    page_access_token: Annotated[str, _secret("KURIR_CONNECT_PAGE_ACCESS_TOKEN")] = "",
    app_secret: Annotated[str, _secret("KURIR_CONNECT_APP_SECRET")] = "",
    verify_token: Annotated[str, _secret("KURIR_CONNECT_VERIFY_TOKEN")] = "",
    app_id: Annotated[str, typer.Option(help="The app's id, by which its webhook can be read and set.")] = "",
    wanted: Wanted,
    admin: options.AsAdmin,
) -> None:
    """Connect a Facebook page: checks the token, subscribes the page, prints what to paste at Meta."""
    given = {
        "page_id": page_id,
        "page_access_token": page_access_token,
        "app_secret": app_secret,
        "verify_token": verify_token,
        "app_id": app_id,
    }
    _connect(context, names.MESSENGER, wanted, admin, given)


@options.bundled
def reconnect(
    account: options.AccountId,
    replace: Replace = False,
    wait: Wait = 0,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Set the webhook of an account that the gateway has, where its platform lets one. Exit code 1 if something is wrong."""
    place = admin.place()
    found = _asked(place, account, "connect", {"replace": replace})
    _print(found, as_json=as_json)
    if wait > 0:
        asyncio.run(_until_called(place, account, found["channel"], wait, connect=False))
    raise typer.Exit(0 if found["ok"] else 1)


@options.bundled
def check(
    account: Annotated[str, typer.Argument(metavar="[ID]", help="The account; else every one that is enabled.")] = "",
    config: Annotated[
        Path | None, typer.Option(help="Check the accounts of this configuration file, without a gateway.")
    ] = None,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Ask the platform what is wrong with an account, one line for each finding. Exit code 1 if something is wrong."""
    found = _check_here(config, account) if config else _check_there(admin.place(), account)
    if as_json:
        running.print_json(found)
    elif not found:
        print("There is no account.")
    else:
        for one in found:
            _print(one, as_json=False)
    raise typer.Exit(0 if all(one["ok"] for one in found) else 1)


# --- check --------------------------------------------------------------------------------------------------------------


def _check_there(place: Place, account: str) -> list[dict[str, Any]]:
    ids = [account]
    if not account:
        listed = running.data_of(running.call(place, "GET", "/v1/admin/accounts"))
        ids = [one["id"] for one in listed if one["standing"] != "disabled"]
    return [_asked(place, one, "check", None) for one in ids]


def _check_here(config: Path, account: str) -> list[dict[str, Any]]:
    try:
        configuration = load(config, os.environ, channels=channels.installed())
    except ConfigError as error:
        running.fail(str(error))
    accounts = [one for client in configuration.clients for one in client.accounts if account in ("", one.id)]
    if account and not accounts:
        running.fail(plain(f"{config} has no account «{account}»"))

    async def look() -> list[dict[str, Any]]:
        egress = Egress()
        try:
            connector = Connector(egress, SystemClock(), configuration.settings.public_url)
            return [shaped(one, await connector.check(one), one.settings.secrets()) for one in accounts]
        finally:
            await egress.close()

    return asyncio.run(look())


def _asked(place: Place, account: str, verb: str, body: object) -> dict[str, Any]:
    found: dict[str, Any] = running.data_of(running.call_account(place, "POST", account, f"/{verb}", body=body))
    return found


# --- connect ------------------------------------------------------------------------------------------------------------


def _connect(
    context: typer.Context,
    channel: str,
    wanted: Wanted,
    admin: options.AsAdmin,
    given: Mapping[str, str],
    plain_keys: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Connect an account that no gateway has yet, and give its table."""
    if wanted.secrets_in not in ("", "env", "files"):
        running.fail("--secrets is env or files")
    file = wanted.write or wanted.config or find_file(None, os.environ) or DEFAULT_FILE
    document = _document(file, must=wanted.write is not None or wanted.config is not None)
    client = wanted.client or _only_client(document, file)
    account_id = wanted.account_id or f"{client}-{_SHORT[channel]}"
    public = _public_url(wanted.public_url, document, file)
    values, kept, made = _values(context, channel, given)
    values = {"id": account_id, "channel": channel} | values | dict(plain_keys)
    if wanted.api_base:
        values["api_base"] = wanted.api_base
    account = _account(values | kept, client)
    report = asyncio.run(_set_up(account, public, replace=wanted.replace))
    shown = shaped(account, report)
    _print(shown, as_json=False, err=True)
    if report.identity is None or any(one.code == "webhook_elsewhere" for one in report.findings if not report.done):
        raise typer.Exit(1)
    in_files = wanted.secrets_in == "files" or (wanted.write is not None and wanted.secrets_in != "env")
    _give(wanted, client, values, kept, made, in_files=in_files)
    if wanted.wait > 0 and plain_keys.get("receive") != "poll":
        asyncio.run(_until_called(admin.place(), account_id, channel, wanted.wait, connect=True))
    raise typer.Exit(1 if report.wrong else 0)


async def _set_up(account: Account, public_url: str, *, replace: bool) -> Report:
    egress = Egress()
    try:
        return await Connector(egress, SystemClock(), public_url).connect(account, replace=replace, fresh=True)
    finally:
        await egress.close()


def _give(
    wanted: Wanted, client: str, values: dict[str, str], kept: dict[str, str], made: set[str], *, in_files: bool
) -> None:
    """Write the table into the file, or print it; tell what is to be done about the secrets."""
    if wanted.write is not None:
        try:
            block.write(wanted.write, client, values, kept, in_files=in_files)
        except block.NotWritten as error:
            typer.echo(plain(f"{wanted.write} is left as it was: {error}. The table is:\n"), err=True)
            print(block.table(client, values, kept, in_files=in_files), end="")
            raise typer.Exit(1) from None
        typer.echo(
            plain(f"{wanted.write} has the account «{values['id']}» now; start or restart the gateway"), err=True
        )
    else:
        typer.echo("\nAdd this to kurir.toml, then start or restart the gateway:\n", err=True)
        print(block.table(client, values, kept, in_files=in_files), end="")
    if in_files and wanted.write is not None:
        return
    typer.echo("\nKeep the secrets where the table looks for them; those made here are shown only now:", err=True)
    for key, value in kept.items():
        where = block.place_of(values["id"], key)
        name = where.file if in_files else where.variable
        typer.echo(f"  {name}" + (f"={value}" if key in made else ""), err=True)


def _values(
    context: typer.Context, channel: str, given: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str], set[str]]:
    """Return the plain values and the secrets of the account, asked for where they were not given, and those made here."""
    values: dict[str, str] = {}
    kept: dict[str, str] = {}
    made: set[str] = set()
    for key in _KEYS[channel]:
        value = _given(context, key, given.get(key.name, ""))
        if not value and key.made:
            value = secrets.token_urlsafe(32)
            made.add(key.name)
        if not value and not (key.optional and not sys.stdin.isatty()):
            value = _prompted(key)
        if value:
            (kept if key.secret else values)[key.name] = value
    return values, kept, made


def _given(context: typer.Context, key: _Key, value: str) -> str:
    """Return what was given for *key*: itself, a line of standard input, or what is in a file. Warns of a plain secret."""
    if not key.secret or not value:
        return value.strip()
    if value == "-":
        return sys.stdin.readline().strip()
    if value.startswith("@"):
        try:
            return Path(value[1:]).expanduser().read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            running.fail(plain(f"{value[1:]} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}"))
    source = context.get_parameter_source(key.name)
    if source is not None and source.name == "COMMANDLINE":
        option = f"--{key.name.replace('_', '-')}"
        warning = (
            f"warning: {option} is on the command line, where other users of this machine and the shell's history see it; "
            f"leave it out to be asked, or use - or @path"
        )
        typer.echo(warning, err=True)
    return value.strip()


def _prompted(key: _Key) -> str:
    if not sys.stdin.isatty():
        running.fail(f"--{key.name.replace('_', '-')} is missing, and there is no terminal to ask on")
    default = "" if key.optional else None
    found: str = typer.prompt(key.prompt, default=default, hide_input=key.secret, show_default=False, err=True)
    return found.strip()


def _account(values: dict[str, str], client: str) -> Account:
    """Return the account that *values* make, by the rules of the configuration file. Ends with a sentence if they do not."""
    reading = Reading("what was given", Path.cwd(), {})
    found = read_account(reading, (values["id"],), values, client, channels.installed())
    try:
        reading.finish()
    except ConfigError as error:
        running.fail(str(error))
    assert found is not None, "without problems there is an account"  # noqa: S101 - an order within this function
    return found


def _document(file: Path, *, must: bool) -> dict[str, Any]:
    """Return the configuration as TOML, its secrets not looked at; {} where there is none that *must* be there."""
    try:
        return tomllib.loads(file.read_text("utf-8-sig"))
    except FileNotFoundError:
        if not must:
            return {}
        running.fail(plain(f"{file}: there is no such file; «kurir config init» writes one"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        running.fail(plain(f"{file} cannot be read: {error}"))


def _only_client(document: dict[str, Any], file: Path) -> str:
    clients = document.get("clients")
    found = list(clients) if isinstance(clients, dict) else []
    if not found:
        running.fail(plain(f"whose account is it? {file} has no client; name one with --client"))
    if len(found) > 1:
        running.fail(plain(f"whose account is it? {file} has the clients {', '.join(found)}; name one with --client"))
    return str(found[0])


def _public_url(given: str, document: dict[str, Any], file: Path) -> str:
    """Return what platforms call, "" where neither an option nor the configuration says."""
    value = given or document.get("public_url", "")
    if not value:
        return ""
    try:
        return read_public_url(Reading(str(file), file.parent, os.environ).resolve(value))
    except WrongValueError as error:
        running.fail(plain(f"public_url: {error}"))


# --- waiting ------------------------------------------------------------------------------------------------------------


async def _until_called(place: Place, account: str, channel: str, seconds: int, *, connect: bool) -> None:
    """Wait until the gateway has the account and its platform has called. Ends with a sentence where that takes too long.

    *connect*: once the gateway has it, what wants a gateway that answers is done: LINE's test, the webhook of Meta's app.
    """
    path = f"{place.url}/v1/admin/accounts/{quote(account, safe='')}"
    state, seen = "", ""
    try:
        async with asyncio.timeout(seconds), aiohttp.ClientSession(headers=place.headers) as session:
            while True:
                state = await _state(session, path)
                if state.startswith("called "):
                    break
                if state == "waiting" and connect:
                    connect = False
                    async with session.post(f"{path}/connect", json={}) as response:
                        await response.read()
                    continue
                if state != seen:
                    typer.echo(
                        plain(_WAITING.get(state, state).format(place.url, account, _PROMPTS[channel])), err=True
                    )
                    seen = state
                await asyncio.sleep(_ASK_SECONDS)
    except TimeoutError:
        running.fail(plain(f"no webhook came within {seconds} s; «kurir account check {account}» says what is wrong"))
    Console(stderr=True, highlight=False).print(Text(f"✓ {account} is connected: its platform {state}", "green"))


_WAITING: Final = {
    "no gateway": "waiting for the gateway at {0} to run …",
    "no account": "waiting for the gateway at {0} to have «{1}»: restart it …",
    "waiting": "waiting for the first webhook: {2} …",
}


async def _state(session: aiohttp.ClientSession, path: str) -> str:
    """Return how far it is: no gateway, no account, waiting, or "called at …"."""
    try:
        async with session.get(f"{path}/connection") as response:
            if response.status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                return "no account"
            if response.status != HTTPStatus.OK:
                return f"the gateway answers {response.status}"
            at = (await response.json())["data"]["last_webhook_at"]
    except (aiohttp.ClientError, ValueError, LookupError):
        return "no gateway"
    return f"called at {running.when(at)}" if at else "waiting"


# --- showing ------------------------------------------------------------------------------------------------------------


def _print(report: dict[str, Any], *, as_json: bool, err: bool = False) -> None:
    """Print a report: who it is, what was done, one line for each finding, what to paste."""
    if as_json:
        running.print_json({"data": report})
        return
    console = Console(highlight=False, soft_wrap=True, stderr=err)
    mark = Text("✓ ", "green") if report["ok"] else Text("✗ ", "red")
    facts = "".join(f"; {one['name']} {one['value']}" for one in report["facts"])
    console.print(mark.append(plain(f"{report['account']}  {report['channel']}{_who(report)}{facts}"), "default"))
    for one in report["done"]:
        console.print(Text("  ✓ ", "green").append(plain(one), "default"))
    for one in report["findings"]:
        sign = Text("  ✗ ", "red") if one["level"] == "wrong" else Text("  · ", "yellow")
        fix = f" → {one['fix']}" if one["fix"] else ""
        console.print(sign.append(plain(f"{one['code']}: {one['detail']}{fix}"), "default"))
    where = ""
    for one in report["pastes"]:
        if one["where"] != where:
            where = one["where"]
            console.print(Text(plain(f"  to be pasted: {where}")))
        console.print(Text(plain(f"    {one['field']}: {one['value']}")))


def _who(report: dict[str, Any]) -> str:
    who = report["identity"]
    if who is None:
        return ""
    return f"  {' · '.join(part for part in (who['handle'], who['name']) if part) or who['id']}"
