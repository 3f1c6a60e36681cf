"""``kurir account add`` and ``change``: an account of a gateway that runs, made or changed without a restart.

What is given is the file's own keys, as ``--set key=value``. As with ``kurir account connect``, a secret is best given as "-"
(a line of standard input), "@path", a variable, or not at all: then the terminal is asked.
"""

import os
import secrets
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer
from rich.text import Text

from kurir import channels
from kurir.cli import options, running, showing
from kurir.cli.running import plain
from kurir.configuration.accounts import ChannelKey, channel_keys
from kurir.domain.channel import canonical

#: What every account has, beside its channel's own keys; of the last two, one entry each: ``rate.account=5/s``.
_OPTIONS: Final = ("api_base", "default", "concurrency", "unknown_outcome", "unknown_wait", "inbound_media")
_TABLES: Final = ("rate", "retry")
#: Secrets of our own choice, which the platform repeats: made where none is given.
_MADE: Final = frozenset({"secret_token", "verify_token"})
#: Options that are no text, and integers of the table ``retry``.
_KINDS: Final = {"default": "boolean", "concurrency": "integer", "retry.attempts": "integer"}

Settings: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A key of the account, as in the configuration file; repeat for more. A secret: key=@path, or key=- for a "
        "line of standard input. Nothing after the = is the default.",
    ),
]


@options.bundled
def add(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="whatsapp, telegram, line or messenger.")],
    client: Annotated[str, typer.Option(help="The client that the account is of.")],
    account_id: Annotated[str, typer.Option("--id", help="The account's id; else one is made.")] = "",
    settings: Settings = None,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Add an account to a gateway that runs. Secrets that are not given are asked for."""
    keys = _keys(channel)
    body = _body(settings or (), keys)
    own = body["settings"]
    for name, key in keys.items():
        given = own.get(name) or os.environ.get(f"KURIR_CONNECT_{name.upper()}", "")
        if not given and name in _MADE and own.get("receive") != "poll":
            given = secrets.token_urlsafe(32)
        if not given and key.required and sys.stdin.isatty():
            given = typer.prompt(name, hide_input=key.kind == "secret", err=True).strip()
        if given:
            own[name] = given
    body |= {"client": client, "channel": canonical(channel)} | ({"id": account_id} if account_id else {})
    reply = running.call(admin.place(), "POST", "/v1/admin/accounts", body=body)
    showing.answer(reply, lambda made: _say(made, "is there now"), as_json=as_json)


@options.bundled
def change(
    account: options.AccountId,
    settings: Settings = None,
    *,
    as_json: options.AsJson = False,
    admin: options.AsAdmin,
) -> None:
    """Change an account of a gateway that runs; what is not named stays, secrets too."""
    place = admin.place()
    keys = _keys(running.data_of(running.call_account(place, "GET", account))["channel"])
    body = _body(settings or (), keys)
    if not (body["settings"] or len(body) > 1):
        running.fail("nothing is changed: name what with --set KEY=VALUE")
    reply = running.call_account(place, "PATCH", account, body=body)
    showing.answer(reply, lambda changed: _say(changed, "is changed"), as_json=as_json)


def _say(account: Mapping[str, Any], what: str) -> None:
    sentence = f"{account['id']}, a {account['channel']} account of {account['client']}, {what}: {account['standing']}"
    showing.console().print(Text(plain(sentence)))


def _keys(channel: str) -> dict[str, ChannelKey]:
    found = channels.installed().get(canonical(channel))
    if found is None:
        running.fail(plain(f"there is no channel «{channel}»; use {', '.join(sorted(channels.installed()))}"))
    return {key.name: key for key in channel_keys(found.NAME, found.SETTINGS)}


def _body(given: Iterable[str], keys: Mapping[str, ChannelKey]) -> dict[str, Any]:
    """Return the body of a request that sets what was *given*."""
    body: dict[str, Any] = {"settings": {}}
    for word in given:
        name, equals, value = word.partition("=")
        table, dot, entry = name.partition(".")
        if not equals:
            running.fail(plain(f"--set {name}: expected KEY=VALUE"))
        if dot and table in _TABLES:
            body.setdefault(table, {})[entry] = _read(name, value, _KINDS.get(name, "string"))
        elif name in _OPTIONS:
            body[name] = _read(name, value, _KINDS.get(name, "string"))
        else:  # the gateway says it where there is no such key
            body["settings"][name] = _read(name, value, keys[name].kind if name in keys else "string")
    return body


def _read(name: str, value: str, kind: str) -> object:
    """Return the *value* that was given for a key, None for its default. Ends with a sentence where it is not of its kind."""
    if kind == "secret":
        value = _secret(name, value)
    if not value:
        return None
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    if kind in ("integer", "number"):
        try:
            return int(value) if kind == "integer" else float(value)
        except ValueError:
            running.fail(plain(f"{name}: expected {'an integer' if kind == 'integer' else 'a number'}"))
    return value


def _secret(name: str, value: str) -> str:
    if value == "-":
        return sys.stdin.readline().strip()
    if value.startswith("@"):
        try:
            return Path(value[1:]).expanduser().read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            running.fail(plain(f"{value[1:]} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}"))
    if value:
        typer.echo(
            f"warning: {name} is on the command line, where other users of this machine and the shell's history see it; use "
            f"{name}=- or {name}=@path",
            err=True,
        )
    return value
