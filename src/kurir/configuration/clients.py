"""Reading the clients: their credentials, their callbacks, their accounts, and what must be unique among them."""

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

import phonenumbers

from kurir.channels.base import Channel
from kurir.configuration.accounts import read_account
from kurir.configuration.keys import CALLBACK_KEYS, CLIENT_KEYS, COMPAT_EVENTS, DIALECTS, EVENTS, names
from kurir.configuration.model import CallbackConfig, ClientConfig
from kurir.configuration.problems import Path, WrongValueError, dotted, shown, wrong
from kurir.configuration.table import Reading, Table
from kurir.configuration.values import (
    duration,
    header_name,
    list_of,
    one_of,
    one_of_known,
    secret_text,
    source_network,
    text,
    url,
    webhook_secret,
)
from kurir.domain.account import Account

#: What needs no escape in a segment of a URL's path (RFC 3986, section 2.3), and is no "." or "..".
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,127}")
_ID_FORM: Final = "a client's id takes 1 to 128 letters, digits, dots, dashes, underscores and tildes, and no dot first"
#: How many networks a client's requests may come from.
MOST_NETWORKS: Final = 100
max_age: Final = duration(timedelta(seconds=1), timedelta(days=30))
_HEADERS_FORM: Final = 'a table such as { "X-Api-Key" = { env = "CRM_KEY" } }'


def read_clients(table: Table, channels: Mapping[str, Channel]) -> tuple[ClientConfig, ...]:
    """Read every client below *table*'s ``clients``. Problems are reported."""
    clients = []
    for path, name, values in table.entries("clients", "tables such as [clients.acme]"):
        if not _CLIENT_ID.fullmatch(name):
            table.reading.report(path, _ID_FORM)
        clients.append(_client(table.reading, path, name, values, channels))
    _report_repeated_usernames(table.reading, clients)
    _report_repeated_accounts(table.reading, table.path, table.raw("clients"))
    return tuple(clients)


def _client(
    reading: Reading, path: Path, client_id: str, values: object, channels: Mapping[str, Channel]
) -> ClientConfig:
    table = Table(reading, path, values, names(CLIENT_KEYS), "a client")
    return ClientConfig(
        id=client_id,
        username=table.need("username", table.referred(username), "", 'a string such as "acme"'),
        password=table.secret("password"),
        default_region=table.get("default_region", region, ""),
        max_age=table.get("max_age", max_age, timedelta(hours=24)),
        callbacks=_callbacks(table),
        accounts=_accounts(table, client_id, channels),
        allow_from=table.get("allow_from", allowed_networks, ()),
    )


def client_id(value: object) -> str:
    """Read the id of a client."""
    if not isinstance(value, str) or not _CLIENT_ID.fullmatch(value):
        raise WrongValueError(_ID_FORM)
    return value


def allowed_networks(value: object) -> tuple[str, ...]:
    """Read the networks that a client's requests may come from, each once."""
    found = list_of(source_network, 'a list of networks such as ["203.0.113.0/24"]')(value)
    if len(found) > MOST_NETWORKS:
        raise WrongValueError(f"expected at most {MOST_NETWORKS} networks, got {len(found)}")
    return tuple(dict.fromkeys(str(network) for network in found))


def username(value: object) -> str:
    """Read a client's user name."""
    found = text(value)
    # HTTP Basic ends the user name at the first colon.
    if ":" in found or len(found) > 255:
        raise WrongValueError("expected at most 255 characters without a colon")
    return found


def region(value: object) -> str:
    """Read a region of phone numbers."""
    expected = 'two letters of ISO 3166 such as "ID"'
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z]{2}", value):
        raise wrong(expected, value)
    if value.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise WrongValueError(f"expected {expected}, got {shown(value)}, which is no region with phone numbers")
    return value.upper()


# --- callbacks --------------------------------------------------------------------------------------------------------


def _callbacks(table: Table) -> tuple[CallbackConfig, ...]:
    callbacks: list[CallbackConfig] = []
    for path, values in table.tables("callbacks"):
        callback = _callback(table.reading, path, values)
        if callback.url and any(other.url == callback.url for other in callbacks):
            table.reading.report((*path, "url"), "another callback of this client has the same url")
        callbacks.append(callback)
    return tuple(callbacks)


def _callback(reading: Reading, path: Path, values: object) -> CallbackConfig:
    table = Table(reading, path, values, names(CALLBACK_KEYS), "a callback")
    dialect = table.get("dialect", one_of(DIALECTS), "compat")
    every: tuple[str, ...] = ("*",)
    events = table.get(
        "events", list_of(one_of_known((*EVENTS, "*"), "the name of an event"), "a list of events"), every
    )
    if dialect == "compat":
        for event in events:
            if event != "*" and event not in COMPAT_EVENTS:
                table.report("events", f'the compat dialect has no {event}; use dialect = "standard" for it')
    if "events" in table and not table.raw("events"):
        table.report("events", 'must name at least one event; "*" is all of them')
    return CallbackConfig(
        url=table.need("url", url, "", "an http:// or https:// URL"),
        dialect=dialect,
        secret=table.need("secret", table.referred(webhook_secret), "", "whsec_ and base64, or a reference to it"),
        events=tuple(dict.fromkeys(events)),
        headers=_headers(table),
    )


def _headers(table: Table) -> dict[str, str]:
    headers: dict[str, str] = {}
    for path, name, value in table.entries("headers", _HEADERS_FORM):
        try:
            headers[header_name(name)] = secret_text(table.reading.resolve(value))
        except WrongValueError as error:
            table.reading.report(path, str(error))
    if len({name.lower() for name in headers}) < len(headers):
        table.report("headers", "the same header is given twice, in other letters")
    return headers


# --- accounts, and what is unique -------------------------------------------------------------------------------------


def _accounts(table: Table, client_id: str, channels: Mapping[str, Channel]) -> tuple[Account, ...]:
    accounts = []
    defaults: set[str] = set()
    for path, values in table.tables("accounts"):
        account = read_account(table.reading, path, values, client_id, channels)
        if account is None:
            continue
        if account.default and account.channel in defaults:
            table.reading.report((*path, "default"), f"another {account.channel} account of {client_id} is the default")
        if account.default:
            defaults.add(account.channel)
        accounts.append(account)
    return tuple(accounts)


def _report_repeated_usernames(reading: Reading, clients: Iterable[ClientConfig]) -> None:
    owners: dict[str, str] = {}
    for client in clients:
        owner = owners.setdefault(client.username, client.id)
        if client.username and owner != client.id:
            reading.report(("clients", client.id, "username"), f"the client {owner} has the same user name")


def _report_repeated_accounts(reading: Reading, path: Path, clients: object) -> None:
    # Looks at the raw tables, so that an account with other problems counts as well.
    owners: dict[str, Path] = {}
    for client_id, client in clients.items() if isinstance(clients, Mapping) else ():
        accounts = client.get("accounts") if isinstance(client, Mapping) else None
        for position, account in enumerate(accounts if isinstance(accounts, list) else ()):
            account_id = account.get("id") if isinstance(account, Mapping) else None
            if not isinstance(account_id, str):
                continue
            here: Path = (*path, "clients", client_id, "accounts", position)
            if account_id in owners:
                reading.report((*here, "id"), f"{dotted(owners[account_id])} has the same id")
            owners.setdefault(account_id, here)
