"""The configuration file: what is taken, what is refused with which sentence, and what the store gets of it."""

import base64
import json
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from kurir.auth import Hasher
from kurir.callbacks import keys
from kurir.callbacks.keys import unseal
from kurir.channels import BUILT_IN
from kurir.cli.config import app, summary
from kurir.configuration.accounts import EVERY_CHANNELS_RATES, channel_keys, documented
from kurir.configuration.declared import (
    account_about,
    account_record,
    declared,
    endpoint_about,
    existing_records,
    open_account,
)
from kurir.configuration.file import load, parse
from kurir.configuration.keys import ACCOUNT_KEYS, CALLBACK_KEYS, CHANNEL_MEANINGS, CLIENT_KEYS, EVENTS, Key
from kurir.configuration.model import Configuration
from kurir.configuration.problems import ConfigError, dotted, kind, shown
from kurir.configuration.template import TEMPLATE, new_secrets
from kurir.configuration.values import rate, show_duration, show_rate
from kurir.domain.account import ChannelSettings, LineSettings, MediaPolicy, Rate, TelegramSettings, UnknownOutcome
from kurir.secretbox import KeyFile, KeyValue, SealError, SecretBox, new_key
from kurir.settings import SETTINGS, Listen
from kurir.store.base import Declared, ErrorRecord
from kurir.store.sqlite import SqliteStore

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"
WHSEC = "whsec_" + base64.b64encode(bytes(range(32))).decode()
CHEAP = Hasher(memory_kib=8, passes=1)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

CLIENT = """
[clients.acme]
username = "acme"
password = "correct horse"
"""
TELEGRAM = """
[[clients.acme.accounts]]
id = "acme-tg"
channel = "telegram"
token = "123:abc"
secret_token = "s3cret"
"""
WHATSAPP = """
[[clients.acme.accounts]]
id = "acme-wa"
channel = "whatsapp"
phone_number_id = "100000000000000"
access_token = "EAAG"
app_secret = "app secret"
verify_token = "verify"
"""
CALLBACK = f"""
[[clients.acme.callbacks]]
url = "https://crm.example.com/hook"
secret = "{WHSEC}"
"""

#: The sample of the interface's description, with what it leaves to the reader filled in.
SAMPLE = f"""
listen = "127.0.0.1:8080"
database = "kurir.db"                     # a file (SQLite) or postgresql://…
public_url = "https://chat.example.com"   # what platforms call; a path prefix is allowed; http only on loopback
encryption_key = {{ file = "kurir.key" }}   # platform tokens at rest; made beside the SQLite file when absent
admin_token = {{ env = "KURIR_ADMIN_TOKEN" }}
allow_networks = []                       # CIDRs that media and callback URLs may reach although private
retention = "90d"                         # of finished messages, attempts, events

[clients.acme]
username = "acme"
password = {{ env = "ACME_PASSWORD" }}
default_region = "ID"
max_age = "24h"
callbacks = [
    {{ url = "https://crm.example.com/hook", dialect = "compat", secret = "{WHSEC}", events = ["*"], headers = {{}} }},
]

[[clients.acme.accounts]]
id = "acme-wa"                            # in webhook paths: opaque, lowercase, never a phone number
channel = "whatsapp"
phone_number_id = "100000000000000"
access_token = {{ env = "WA_TOKEN" }}
app_secret = {{ env = "META_SECRET" }}
verify_token = {{ env = "META_VERIFY" }}
waba_id = "200000000000000"
app_id = "300000000000000"
api_version = "v26.0"
api_base = "https://graph.facebook.com"
[[clients.acme.accounts]]
id = "acme-tg"
channel = "telegram"
token = {{ env = "TG_TOKEN" }}
secret_token = {{ env = "TG_SECRET" }}
receive = "webhook"
api_base = "https://api.telegram.org"
[[clients.acme.accounts]]
id = "acme-line"
channel = "line"
channel_access_token = {{ env = "LINE_TOKEN" }}
channel_secret = {{ env = "LINE_SECRET" }}
data_api_base = "https://api-data.line.me"
use_reply_tokens = true
default_preview_image_url = "https://www.example.com/preview.jpg"
default_audio_duration = "60s"
api_base = "https://api.line.me"
[[clients.acme.accounts]]
id = "acme-fb"
channel = "messenger"
page_id = "400000000000000"
page_access_token = {{ env = "FB_TOKEN" }}
app_secret = {{ env = "META_SECRET" }}
verify_token = {{ env = "META_VERIFY" }}
app_id = "300000000000000"
human_agent = false
api_version = "v26.0"
api_base = "https://graph.facebook.com"
"""
SAMPLE_ENV = {
    "KURIR_ADMIN_TOKEN": "admin-token-of-the-sample",
    "ACME_PASSWORD": "known-plaintext-password",
    "WA_TOKEN": "known-plaintext-wa-token",
    "META_SECRET": "known-plaintext-meta-secret",
    "META_VERIFY": "known-plaintext-verify",
    "TG_TOKEN": "123456:known-plaintext-tg-token",
    "TG_SECRET": "known-plaintext-tg-secret",
    "LINE_TOKEN": "known-plaintext-line-token",
    "LINE_SECRET": "known-plaintext-line-secret",
    "FB_TOKEN": "known-plaintext-fb-token",
}


def read(text: str, env: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None) -> Configuration:
    return parse(tomllib.loads(text), env or {}, flags or {}, channels=BUILT_IN)


def problems(text: str, env: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, env)
    return [str(problem) for problem in caught.value.problems]


# --- what is taken ----------------------------------------------------------------------------------------------------


def test_the_sample_parses_as_it_stands(tmp_path):
    path = tmp_path / "kurir.toml"
    path.write_text(SAMPLE, "utf-8")
    config = load(path, SAMPLE_ENV, channels=BUILT_IN)
    assert config.path == path
    assert config.settings.listen == Listen("127.0.0.1", 8080)
    assert config.settings.database == tmp_path / "kurir.db"
    assert config.settings.public_url == "https://chat.example.com"
    assert config.settings.encryption_key == KeyFile(tmp_path / "kurir.key")
    assert config.settings.admin_token == SAMPLE_ENV["KURIR_ADMIN_TOKEN"]
    assert config.settings.allow_networks == ()
    assert config.settings.retention == timedelta(days=90)
    (client,) = config.clients
    assert (client.id, client.username, client.password) == ("acme", "acme", SAMPLE_ENV["ACME_PASSWORD"])
    assert (client.default_region, client.max_age) == ("ID", timedelta(hours=24))
    (callback,) = client.callbacks
    assert (callback.dialect, callback.secret, callback.events, callback.headers) == ("compat", WHSEC, ("*",), {})
    assert [account.channel for account in client.accounts] == ["whatsapp", "telegram", "line", "messenger"]
    line = client.accounts[2]
    assert isinstance(line.settings, LineSettings)
    assert (line.settings.default_audio_duration_ms, line.settings.use_reply_tokens) == (60_000, True)
    assert summary(config) == f"{path} is fine: 1 client, 4 accounts"


def test_an_empty_file_gives_the_defaults(tmp_path):
    path = tmp_path / "kurir.toml"
    path.write_text("", "utf-8")
    found = load(path, {}, channels=BUILT_IN)
    assert found.clients == ()
    assert found.settings.public_url == "http://127.0.0.1:8080"
    assert found.settings.database == tmp_path / "kurir.db"
    assert found.settings.encryption_key == KeyFile(tmp_path / "kurir.key")
    assert found.settings.admin_token is None


def test_the_default_key_file_lies_beside_the_database():
    found = read('database = "/var/lib/kurir/chat.db"').settings
    assert found.encryption_key == KeyFile(Path("/var/lib/kurir/kurir.key"))


@pytest.mark.parametrize(
    ("text", "host", "port", "shown_as"),
    [
        ("0.0.0.0:80", "0.0.0.0", 80, "0.0.0.0:80"),
        ("[::1]:8080", "::1", 8080, "[::1]:8080"),
        ("localhost:0", "localhost", 0, "localhost:0"),
    ],
)
def test_listen_is_host_and_port(text, host, port, shown_as):
    found = read(f'listen = "{text}"').settings.listen
    assert (found.host, found.port, str(found)) == (host, port, shown_as)


def test_a_public_url_is_guessed_only_where_it_is_right():
    assert read('listen = "0.0.0.0:8080"').settings.public_url == ""
    assert read('listen = "[::1]:9000"').settings.public_url == "http://[::1]:9000"
    assert read('public_url = "https://example.com/chat/"').settings.public_url == "https://example.com/chat"
    assert read('public_url = "http://localhost:8080"').settings.public_url == "http://localhost:8080"


def test_an_account_gets_its_channels_defaults_and_its_own_limits():
    rates = 'rate = { account = "none", recipient = "2/s burst 9" }'
    (account,) = read(CLIENT + WHATSAPP + rates).clients[0].accounts
    channel = BUILT_IN["whatsapp"]
    assert account.rates == {**channel.RATES, "account": None, "recipient": Rate(2, 1, 9)}
    assert account.api_base == channel.API_BASE
    assert account.concurrency == channel.CONCURRENCY
    assert account.inbound_media is MediaPolicy.STREAM
    assert (account.default, account.unknown_outcome, account.unknown_wait_seconds) == (
        False,
        UnknownOutcome.RESEND,
        90.0,
    )


def test_an_account_takes_every_common_key():
    text = TELEGRAM + (
        'api_base = "http://127.0.0.1:9000/"\ndefault = true\nconcurrency = 3\nunknown_outcome = "hold"\n'
        'unknown_wait = "2m"\nreceive = "poll"\ninbound_media = "keep"\n'
    )
    (account,) = read(CLIENT + text).clients[0].accounts
    assert account.api_base == "http://127.0.0.1:9000"
    assert (account.default, account.concurrency) == (True, 3)
    assert (account.unknown_outcome, account.unknown_wait_seconds) == (UnknownOutcome.HOLD, 120.0)
    assert account.inbound_media is MediaPolicy.KEEP
    assert account.settings == TelegramSettings("123:abc", "s3cret", "poll")


def test_facebook_is_messenger():
    text = TELEGRAM.replace("telegram", "facebook").replace(
        'token = "123:abc"\nsecret_token = "s3cret"', 'page_id = "1"\npage_access_token = "a"\napp_secret = "b"'
    )
    (account,) = read(CLIENT + text + 'verify_token = "c"').clients[0].accounts
    assert account.channel == "messenger"


def test_polling_needs_no_secret_token():
    text = TELEGRAM.replace('secret_token = "s3cret"', 'receive = "poll"')
    assert read(CLIENT + text).clients[0].accounts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80/s", Rate(80, 1, 1)),
        ("20/60s", Rate(20, 60, 1)),
        ("1/6s burst 45", Rate(1, 6, 45)),
        ("100/m", Rate(100, 60, 1)),
        ("5/0.5s", Rate(5, 0.5, 1)),
        ("none", None),
    ],
)
def test_rates_are_read_and_shown(text, expected):
    assert rate(text) == expected
    assert rate(show_rate(expected)) == expected


def test_networks_and_regions_and_headers_are_normal():
    text = 'allow_networks = ["10.0.0.0/8", "fd00::/8"]' + CLIENT + 'default_region = "id"' + CALLBACK
    config = read(text + 'headers = { "X-Api-Key" = { env = "CRM_KEY" } }', {"CRM_KEY": "k"})
    assert config.settings.allow_networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert config.clients[0].default_region == "ID"
    assert config.clients[0].callbacks[0].headers == {"X-Api-Key": "k"}


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = tmp_path / "kurir.toml"
    path.write_bytes(b"\xef\xbb\xbflisten = '127.0.0.1:1'\n")
    assert load(path, {}, channels=BUILT_IN).settings.listen.port == 1


# --- what is refused: the sentence ------------------------------------------------------------------------------------

REFERENCE_SENTENCE = 'a string, { env = "NAME" } or { file = "path" }'
DURATION = 'expected a duration such as "90s", "15m", "24h" or "90d"'
SIZE = 'expected a size such as "500MB", "20GB" or "1TB"'
RATE = 'expected a rate such as "80/s", "20/60s", "1/6s burst 45" or "none"'
SECRET = "expected whsec_ and the base64 of 24 to 64 random bytes, such as `kurir config init` prints"
HTTP_URL = "expected an http:// or https:// URL without user name and fragment"
ADDRESS = "expected an http:// or https:// address without user name, query and fragment"
LISTEN = 'expected an address such as "127.0.0.1:8080" or "[::1]:8080"'
KEY = "32 random bytes as base64 or hex, such as `openssl rand -base64 32` prints"
ACCOUNT_ID = "expected 1 to 63 lower-case letters, digits and dashes, the first one no dash"

ACCOUNT = "clients.acme.accounts[0]"
HOOK = "clients.acme.callbacks[0]"

ONE_PROCESS = (
    'a SQLite file is for one process that does everything: set database = "postgresql://…" (KURIR_DATABASE), '
    "or leave this out"
)

BAD: list[tuple[str, list[str]]] = [
    # the top level
    ('listn = "x"', ['listn: unknown key of the top level; did you mean "listen"?']),
    (
        'zzz = "x"',
        [
            (
                "zzz: unknown key of the top level; known are: listen, database, database_connections, public_url, "
                "encryption_key, admin_token, metrics_token, traces_to, allow_networks, role, processes, client_rate, "
                "client_queue, retention, search_text, label, mask, inbound_media_space, clients"
            )
        ],
    ),
    ('listen = "8080"', [f'listen: {LISTEN}, got "8080"']),
    ("listen = 8080", [f"listen: {LISTEN}, got 8080"]),
    ('listen = "localhost:99999"', [f'listen: {LISTEN}, got "localhost:99999"']),
    ('listen = "::1:80"', [f'listen: {LISTEN}, got "::1:80"']),
    ('listen = "[::g]:80"', [f'listen: {LISTEN}, got "[::g]:80"']),
    (
        'database = "postgresql://user:secret@db"',
        ["database: the URL names no database: postgresql://user:password@host/name"],
    ),
    (
        'database = "mysql://db"',
        ['database: expected the path of a file, such as "kurir.db", or postgresql://user:password@host/name'],
    ),
    ('role = "worker"', [f"role: {ONE_PROCESS}"]),
    ("processes = 2", [f"processes: {ONE_PROCESS}"]),
    ('role = "sender"', ['role: expected "all", "api" or "worker", got "sender"']),
    ("processes = 0", ["processes: expected an integer from 1 to 64, got 0"]),
    ("database = true", ["database: expected a string, got true"]),
    ('database = ""', ["database: must not be empty"]),
    (
        'public_url = "http://chat.example.com"',
        [
            "public_url: expected an https:// address: platforms call no other; http:// is for loopback only",
        ],
    ),
    ('public_url = "https://user:secret@example.com"', [f"public_url: {ADDRESS}, got a string"]),
    ('public_url = "https://example.com/?a=1"', [f"public_url: {ADDRESS}, got a string"]),
    ('public_url = "chat.example.com"', [f"public_url: {ADDRESS}, got a string"]),
    ('encryption_key = "secret"', [f"encryption_key: Expected {KEY}; found 6 characters that are no such key."]),
    ("encryption_key = 7", [f"encryption_key: expected {REFERENCE_SENTENCE}, got an integer"]),
    ('encryption_key = { env = "NO_KEY" }', ["encryption_key: the environment variable NO_KEY is not set"]),
    ('admin_token = "short"', ["admin_token: expected at least 16 characters; `kurir config init` prints a token"]),
    ('admin_token = { env = "EMPTY" }', ["admin_token: the environment variable EMPTY is empty"]),
    ('admin_token = { env = "not a Name" }', ["admin_token: its environment variable is not set"]),
    (
        'admin_token = { env = "A", file = "b" }',
        [f"admin_token: expected {REFERENCE_SENTENCE}, got another table"],
    ),
    ('admin_token = { file = "/nowhere/at/all" }', ["admin_token: there is no file /nowhere/at/all"]),
    ('admin_token = { file = "/" }', ["admin_token: the file / cannot be read: Is a directory"]),
    (
        'allow_networks = "10.0.0.0/8 and more"',
        ['allow_networks[0]: expected a network such as "10.0.0.0/8", got "10.0.0.0/8 and more"'],
    ),
    (
        'allow_networks = ["10.0.0.1/8", 7]',
        [
            'allow_networks[0]: expected a network such as "10.0.0.0/8" (perhaps 10.0.0.0/8), got "10.0.0.1/8"',
            'allow_networks[1]: expected a network such as "10.0.0.0/8", got 7',
        ],
    ),
    (
        'allow_networks = ["169.254.169.254/32", "fe80::/64", "::ffff:169.254.0.0/112"]',
        [
            f"allow_networks[{position}]: {name} holds link-local or metadata addresses, which are never reached"
            for position, name in enumerate(("169.254.169.254/32", "fe80::/64", "::ffff:169.254.0.0/112"))
        ],
    ),
    ("allow_networks = {}", ['allow_networks: expected a list of networks such as ["10.0.0.0/8"], got a table']),
    ("retention = 90", [f"retention: {DURATION}, got 90"]),
    ("inbound_media_space = 20", [f"inbound_media_space: {SIZE}, got 20"]),
    ('inbound_media_space = "20 GB"', [f'inbound_media_space: {SIZE}, got "20 GB"']),
    ('inbound_media_space = "1.5TB"', [f'inbound_media_space: {SIZE}, got "1.5TB"']),
    ('retention = "90 days"', [f'retention: {DURATION}, got "90 days"']),
    ('retention = "1h"', ['retention: expected a duration from 1d to 36525d, got "1h"']),
    ("retention = 2026-01-01", [f"retention: {DURATION}, got a date or time"]),
    # clients
    ("clients = 7", ["clients: expected tables such as [clients.acme], got 7"]),
    (
        "clients.acme = 7",
        [
            "clients.acme: expected a table: a client, got 7",
            *[
                'clients.acme.username: is missing: expected a string such as "acme"',
                f"clients.acme.password: is missing: expected {REFERENCE_SENTENCE}",
            ],
        ],
    ),
    (
        '[clients."a/b"]\nusername = "a"\npassword = "b"',
        [
            (
                'clients."a/b": a client\'s id takes 1 to 128 letters, digits, dots, dashes, underscores and tildes, '
                "and no dot first"
            )
        ],
    ),
    (
        "[clients.acme]",
        [
            'clients.acme.username: is missing: expected a string such as "acme"',
            f"clients.acme.password: is missing: expected {REFERENCE_SENTENCE}",
        ],
    ),
    (
        '[clients.acme]\nusername = "a:b"\npassword = 12345678',
        [
            "clients.acme.username: expected at most 255 characters without a colon",
            f"clients.acme.password: expected {REFERENCE_SENTENCE}, got an integer",
        ],
    ),
    (
        CLIENT.replace('"correct horse"', '{ env = "ACME_PASSWORD" }'),
        ["clients.acme.password: the environment variable ACME_PASSWORD is not set"],
    ),
    (
        CLIENT.replace("correct horse", " blanks "),
        ["clients.acme.password: must not begin or end with white space"],
    ),
    (CLIENT + 'pasword = "x"', ['clients.acme.pasword: unknown key of a client; did you mean "password"?']),
    (
        CLIENT + 'default_region = "ZZ"',
        [
            (
                'clients.acme.default_region: expected two letters of ISO 3166 such as "ID", got "ZZ", which is no '
                "region with phone numbers"
            )
        ],
    ),
    (
        CLIENT + 'default_region = "Indonesia"',
        ['clients.acme.default_region: expected two letters of ISO 3166 such as "ID", got "Indonesia"'],
    ),
    (CLIENT + 'max_age = "31d"', ['clients.acme.max_age: expected a duration from 1s to 30d, got "31d"']),
    (
        CLIENT + CLIENT.replace("clients.acme", "clients.other"),
        ["clients.other.username: the client acme has the same user name"],
    ),
    # callbacks
    (CLIENT + "callbacks = {}", ["clients.acme.callbacks: expected a list of tables, got a table"]),
    (
        CLIENT + "callbacks = [7]",
        [
            "clients.acme.callbacks[0]: expected a table: a callback, got 7",
            f"{HOOK}.url: is missing: expected an http:// or https:// URL",
            f"{HOOK}.secret: is missing: expected whsec_ and base64, or a reference to it",
        ],
    ),
    (CLIENT + CALLBACK.replace("https", "ftp"), [f"{HOOK}.url: {HTTP_URL}, got a string"]),
    (
        CLIENT + CALLBACK.replace("whsec_", "wsec_"),
        [f"{HOOK}.secret: {SECRET}, got a string"],
    ),
    (
        CLIENT + CALLBACK.replace("AAEC", "…"),
        [f"{HOOK}.secret: {SECRET}; this is no base64, got a string"],
    ),
    (
        CLIENT + CALLBACK.replace(WHSEC, "whsec_c2hvcnQ="),
        [f"{HOOK}.secret: {SECRET}; these are 5 bytes"],
    ),
    (
        CLIENT + CALLBACK + 'dialect = "Compat"',
        [f'{HOOK}.dialect: expected "compat" or "standard", got "Compat"'],
    ),
    (
        CLIENT + CALLBACK + 'events = ["message.statuses", 1]',
        [
            (
                f'{HOOK}.events[0]: expected the name of an event, got "message.statuses": did you mean '
                '"message.status"?'
            ),
            f"{HOOK}.events[1]: expected the name of an event, got 1",
        ],
    ),
    (
        CLIENT + CALLBACK + 'events = ["contact.linked"]',
        [f'{HOOK}.events: the compat dialect has no contact.linked; use dialect = "standard" for it'],
    ),
    (
        CLIENT + CALLBACK + "events = []",
        [f'{HOOK}.events: must name at least one event; "*" is all of them'],
    ),
    (
        CLIENT + CALLBACK + 'headers = { "webhook-id" = "x", "b c" = "x", "X-A" = 7, "X-B" = "a\\nb" }',
        [
            f"{HOOK}.headers.webhook-id: is a header that kurir itself sets",
            f'{HOOK}.headers."b c": is no name of a header',
            f"{HOOK}.headers.X-A: expected {REFERENCE_SENTENCE}, got an integer",
            f"{HOOK}.headers.X-B: must not have control characters",
        ],
    ),
    (
        CLIENT + CALLBACK + 'headers = { "X-A" = "1", "x-a" = "2" }',
        [f"{HOOK}.headers: the same header is given twice, in other letters"],
    ),
    (
        CLIENT + CALLBACK + CALLBACK,
        ["clients.acme.callbacks[1].url: another callback of this client has the same url"],
    ),
    # accounts
    (CLIENT + 'accounts = "x"', ['clients.acme.accounts: expected a list of tables, got "x"']),
    (
        CLIENT + "accounts = [7]",
        [
            "clients.acme.accounts[0]: expected a table: an account, got 7",
            f'{ACCOUNT}.id: is missing: expected a string such as "acme-wa"',
        ],
    ),
    (
        CLIENT + "[[clients.acme.accounts]]",
        [
            (f"{ACCOUNT}.channel: is missing: expected the name of a channel: line, messenger, telegram, whatsapp"),
            f'{ACCOUNT}.id: is missing: expected a string such as "acme-wa"',
        ],
    ),
    (
        CLIENT + TELEGRAM.replace('"telegram"', '"telegramm"'),
        [f'{ACCOUNT}.channel: "telegramm" is no channel; did you mean "telegram"?'],
    ),
    (
        CLIENT + TELEGRAM.replace('"telegram"', "7"),
        [f"{ACCOUNT}.channel: expected the name of a channel: line, messenger, telegram, whatsapp, got 7"],
    ),
    (CLIENT + TELEGRAM.replace("acme-tg", "Acme"), [f'{ACCOUNT}.id: {ACCOUNT_ID}, got "Acme"']),
    (
        CLIENT + TELEGRAM.replace("acme-tg", "wa-6281234567"),
        [(f"{ACCOUNT}.id: must not hold a phone number (seven digits in a row): it stands in webhook addresses")],
    ),
    (
        CLIENT + TELEGRAM + TELEGRAM,
        ["clients.acme.accounts[1].id: clients.acme.accounts[0] has the same id"],
    ),
    (
        CLIENT + WHATSAPP.replace('access_token = "EAAG"', 'acces_token = "EAAG"'),
        [
            f'{ACCOUNT}.acces_token: unknown key of a whatsapp account; did you mean "access_token"?',
            f"{ACCOUNT}.access_token: is missing: expected {REFERENCE_SENTENCE}",
        ],
    ),
    (
        CLIENT + WHATSAPP.replace('"100000000000000"', "100000000000000"),
        [(f"{ACCOUNT}.phone_number_id: expected the digits of the number's id, in quotes, got 100000000000000")],
    ),
    (
        CLIENT + WHATSAPP + 'api_version = "26"',
        [f'{ACCOUNT}.api_version: expected a version such as "v26.0", got "26"'],
    ),
    (
        CLIENT + TELEGRAM.replace('secret_token = "s3cret"', ""),
        [(f'{ACCOUNT}.secret_token: is missing: expected {REFERENCE_SENTENCE} while receive is "webhook"')],
    ),
    (
        CLIENT + TELEGRAM.replace("s3cret", "not allowed!"),
        [(f"{ACCOUNT}.secret_token: expected 1 to 256 letters, digits, underscores and dashes, got a string")],
    ),
    (
        CLIENT + TELEGRAM + 'receive = "push"',
        [f'{ACCOUNT}.receive: expected "webhook" or "poll", got "push"'],
    ),
    (
        CLIENT + TELEGRAM.replace('"123:abc"', "{ env = 7 }"),
        [f"{ACCOUNT}.token: expected {REFERENCE_SENTENCE}, got another table"],
    ),
    (
        CLIENT + TELEGRAM.replace('"123:abc"', '""'),
        [f"{ACCOUNT}.token: must not be empty"],
    ),
    (
        CLIENT + TELEGRAM + 'api_base = "api.telegram.org"',
        [f"{ACCOUNT}.api_base: {ADDRESS}, got a string"],
    ),
    (
        CLIENT + TELEGRAM + 'default = "yes"',
        [f'{ACCOUNT}.default: expected true or false, got "yes"'],
    ),
    (
        CLIENT + TELEGRAM + "default = true" + TELEGRAM.replace("acme-tg", "acme-tg-2") + "default = true",
        ["clients.acme.accounts[1].default: another telegram account of acme is the default"],
    ),
    (
        CLIENT + TELEGRAM + "concurrency = 0",
        [f"{ACCOUNT}.concurrency: expected an integer from 1 to 1000, got 0"],
    ),
    (
        CLIENT + TELEGRAM + "concurrency = true",
        [f"{ACCOUNT}.concurrency: expected an integer from 1 to 1000, got true"],
    ),
    (
        CLIENT + TELEGRAM + 'unknown_outcome = "drop"',
        [f'{ACCOUNT}.unknown_outcome: expected "resend" or "hold", got "drop"'],
    ),
    (
        CLIENT + TELEGRAM + "unknown_wait = 90.5",
        [f"{ACCOUNT}.unknown_wait: {DURATION}, got 90.5"],
    ),
    (
        CLIENT + TELEGRAM + 'rate = "80/s"',
        [ACCOUNT + '.rate: expected a table such as { account = "80/s" }, got "80/s"'],
    ),
    (
        CLIENT + TELEGRAM + 'rate = { push = "80/s", account = "80", group = "0/s", recipient = 1 }',
        [
            f"{ACCOUNT}.rate.push: unknown limit of telegram; known are: account, group, recipient",
            f'{ACCOUNT}.rate.account: {RATE}, got "80"',
            f'{ACCOUNT}.rate.group: {RATE} with every number above 0, got "0/s"',
            f"{ACCOUNT}.rate.recipient: {RATE}, got 1",
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), BAD, ids=[expected[0].partition(":")[0] for _, expected in BAD])
def test_a_bad_file_is_refused_with_these_sentences(text, expected):
    assert problems(text, {"EMPTY": ""}) == expected


def test_line_keys_are_checked_by_their_names():
    text = CLIENT + (
        '[[clients.acme.accounts]]\nid = "l"\nchannel = "line"\nchannel_access_token = "a"\nchannel_secret = "b"\n'
        'default_preview_image_url = "http://example.com/a.jpg"\ndefault_audio_duration = "0s"\n'
        'use_reply_tokens = 1\ndata_api_base = "x"\ndefault_audio_duration_ms = 1\n'
    )
    here = "clients.acme.accounts[0]"
    assert problems(text) == [
        f'{here}.default_audio_duration_ms: unknown key of a line account; did you mean "default_audio_duration"?',
        f"{here}.data_api_base: {ADDRESS}, got a string",
        f"{here}.use_reply_tokens: expected true or false, got 1",
        f"{here}.default_preview_image_url: expected an https:// URL",
        f'{here}.default_audio_duration: expected a duration from 1s to 36525d, got "0s"',
    ]


def test_all_problems_come_in_one_message(tmp_path):
    path = tmp_path / "kurir.toml"
    path.write_text('listn = 1\n[clients.acme]\nusername = "acme"\n', "utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path, {}, channels=BUILT_IN)
    assert str(caught.value) == (
        f"{path} has 2 problems:\n"
        '  listn: unknown key of the top level; did you mean "listen"?\n'
        f"  clients.acme.password: is missing: expected {REFERENCE_SENTENCE}"
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"listen = \n", "is not valid TOML: line 1, column 10: invalid value"),
        (b"a = 1\na = 2\n", "is not valid TOML: line 2, column 6: cannot overwrite a value"),
        (b"\xff\xfe", "is not text in UTF-8 (at byte 0)"),
        (b"a = " + b"[" * 100_000, "is not valid TOML"),
        (b"a = " + b"9" * 10_000, "is not valid TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_refused_with_the_place(tmp_path, content, sentence):
    path = tmp_path / "kurir.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path, {}, channels=BUILT_IN)
    assert str(caught.value) == f"{path} has 1 problem:\n  {sentence}"


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file; `kurir config init` writes one"):
        load(tmp_path / "kurir.toml", {}, channels=BUILT_IN)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, {}, channels=BUILT_IN)


def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "kurir.toml"
    with path.open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    with pytest.raises(ConfigError, match="is too large for a configuration file"):
        load(path, {}, channels=BUILT_IN)


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_a_secret_in_a_file_loses_its_newline_and_is_found_beside_the_configuration(tmp_path):
    (tmp_path / "password").write_text("from a file\n", "utf-8")
    path = tmp_path / "kurir.toml"
    path.write_text('[clients.acme]\nusername = "acme"\npassword = { file = "password" }\n', "utf-8")
    assert load(path, {}, channels=BUILT_IN).clients[0].password == "from a file"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\n", "must not be empty"),
        (b"\xff", "the file {path} is not text in UTF-8"),
        (b"x" * 70_000, "the file {path} is too large for a secret"),
        (b"two\nlines\n", "must not have control characters"),
    ],
)
def test_a_secret_file_that_cannot_be_one_is_refused(tmp_path, content, sentence):
    (tmp_path / "password").write_bytes(content)
    path = tmp_path / "kurir.toml"
    path.write_text('[clients.acme]\nusername = "acme"\npassword = { file = "password" }\n', "utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path, {}, channels=BUILT_IN)
    expected = sentence.format(path=tmp_path / "password")
    assert [str(problem) for problem in caught.value.problems] == [f"clients.acme.password: {expected}"]


def test_a_variable_that_is_no_utf8_is_refused():
    env = {"ACME_PASSWORD": os.fsdecode(b"\xff\xfe")}
    assert problems(CLIENT.replace('"correct horse"', '{ env = "ACME_PASSWORD" }'), env) == [
        "clients.acme.password: must be text in UTF-8"
    ]


def test_a_path_with_a_nul_is_refused():
    (found,) = problems(CLIENT.replace('"correct horse"', '{ file = "a\\u0000b" }'))
    assert found == "clients.acme.password: expected the path of a file"


def test_no_secret_is_in_a_message_or_a_repr():
    marker = "mArKeR"
    everywhere = SAMPLE.replace('"100000000000000"', "7").replace("acme-tg", "6281234567")
    env = dict.fromkeys(SAMPLE_ENV, f" {marker}!")
    found = "\n".join(problems(everywhere, env))
    assert marker not in found
    config = read(SAMPLE, dict.fromkeys(SAMPLE_ENV, f"{marker}-{marker}-{marker}"))
    assert marker not in repr(config)
    assert WHSEC not in repr(config)


def test_a_misplaced_secret_is_not_repeated_as_the_name_of_a_variable():
    (found,) = problems(CLIENT.replace('"correct horse"', '{ env = "eaagPlainSecret" }'))
    assert found == "clients.acme.password: its environment variable is not set"


# --- flags, variables, file, defaults ---------------------------------------------------------------------------------


def test_a_flag_wins_over_a_variable_over_the_file_over_the_default():
    text = 'retention = "10d"'
    env = {"KURIR_RETENTION": "20d"}
    assert read("").settings.retention == timedelta(days=90)
    assert read(text).settings.retention == timedelta(days=10)
    assert read(text, env).settings.retention == timedelta(days=20)
    assert read(text, env, {"retention": "30d"}).settings.retention == timedelta(days=30)
    assert read(text, {"KURIR_RETENTION": ""}, {"retention": None}).settings.retention == timedelta(days=10)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("listen", "[::]:80", Listen("::", 80)),
        ("public_url", "https://a.example/x/", "https://a.example/x"),
        ("allow_networks", "10.0.0.0/8, 192.168.0.0/16", (ip_network("10.0.0.0/8"), ip_network("192.168.0.0/16"))),
        ("retention", "7d", timedelta(days=7)),
        ("inbound_media_space", "500MB", 500_000_000),
        ("admin_token", "an admin token that is long", "an admin token that is long"),
        ("metrics_token", "a token of what watches", "a token of what watches"),
        ("encryption_key", "ab" * 32, KeyValue((bytes.fromhex("ab" * 32),))),
    ],
)
def test_every_setting_has_a_variable(name, given, expected):
    assert getattr(read("", {f"KURIR_{name.upper()}": given}).settings, name) == expected


def test_a_relative_database_is_relative_to_where_it_was_named(tmp_path, monkeypatch):
    path = tmp_path / "etc" / "kurir.toml"
    path.parent.mkdir()
    path.write_text('database = "chat.db"', "utf-8")
    monkeypatch.chdir(tmp_path)
    assert load(path, {}, channels=BUILT_IN).settings.database == tmp_path / "etc" / "chat.db"
    assert load(path, {"KURIR_DATABASE": "a.db"}, channels=BUILT_IN).settings.database == tmp_path / "a.db"
    assert load(path, {}, {"database": "b.db"}, channels=BUILT_IN).settings.database == tmp_path / "b.db"


def test_what_does_not_win_is_not_looked_at():
    text = 'admin_token = { env = "NOT_HERE" }\nencryption_key = { file = "/" }'
    found = read(text, {"KURIR_ADMIN_TOKEN": "x" * 16, "KURIR_ENCRYPTION_KEY": "ab" * 32}).settings
    assert found.admin_token == "x" * 16


def test_a_wrong_flag_or_variable_is_named_as_such():
    with pytest.raises(ConfigError) as caught:
        read("", {"KURIR_RETENTION": "soon", "KURIR_ALLOW_NETWORKS": "10.0.0.0/8,x"}, {"public_url": "ftp://x"})
    assert [problem.place for problem in caught.value.problems] == [
        "--public-url",
        "KURIR_ALLOW_NETWORKS[1]",
        "KURIR_RETENTION",
    ]


def test_the_variable_names_the_file_and_the_current_folder_is_the_last_resort(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load(None, {}, channels=BUILT_IN).path is None
    (tmp_path / "kurir.toml").write_text('retention = "1d"', "utf-8")
    (tmp_path / "other.toml").write_text('retention = "2d"', "utf-8")
    assert load(None, {}, channels=BUILT_IN).settings.retention == timedelta(days=1)
    assert load(None, {"KURIR_CONFIG": "other.toml"}, channels=BUILT_IN).settings.retention == timedelta(days=2)
    given = load(Path("kurir.toml"), {"KURIR_CONFIG": "other.toml"}, channels=BUILT_IN)
    assert given.settings.retention == timedelta(days=1)
    assert given.settings.database == tmp_path / "kurir.db"


# --- channels of other packages ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PigeonSettings(ChannelSettings):
    loft: str
    seed: str = field(repr=False, default="")
    api_base_url: str = ""
    wings: int = 2
    speed: float = 1.5
    ringed: bool = True
    rest_ms: int = 5000
    nap_seconds: float = 1.0
    SECRETS: ClassVar[frozenset[str]] = frozenset({"seed"})

    def __post_init__(self) -> None:
        if self.wings != 2:
            raise ValueError("pigeons have two wings")


PIGEON = SimpleNamespace(
    NAME="pigeon", API_BASE="https://loft.example/", SETTINGS=PigeonSettings, RATES={"flock": Rate(1, 1)}, CONCURRENCY=1
)


def read_pigeon(keys: str) -> Configuration:
    text = CLIENT + f'[[clients.acme.accounts]]\nid = "p"\nchannel = "pigeon"\n{keys}'
    return parse(tomllib.loads(text), {"SEED": "corn"}, channels={**BUILT_IN, "pigeon": PIGEON})


def test_the_keys_of_another_packages_channel_come_from_its_dataclass():
    config = read_pigeon(
        'loft = "roof"\nseed = { env = "SEED" }\nspeed = 3\nrest = "2m"\nnap = "3s"\nrate = { recipient = "1/s" }\n'
    )
    (account,) = config.clients[0].accounts
    assert account.settings == PigeonSettings("roof", "corn", speed=3.0, rest_ms=120_000, nap_seconds=3.0)
    assert account.rates == {"flock": Rate(1, 1), "recipient": Rate(1, 1)}
    assert account.api_base == "https://loft.example"
    shown_keys = {key.name: (key.kind, key.default) for key in documented("pigeon", PigeonSettings)}
    assert shown_keys == {
        "loft": ("string", "required"),
        "seed": ("secret", "none"),
        "api_base_url": ("URL", "none"),
        "wings": ("integer", "2"),
        "speed": ("number", "1.5"),
        "ringed": ("boolean", "true"),
        "rest": ("duration", "5s"),
        "nap": ("duration", "1s"),
    }


def test_another_packages_channel_may_refuse_values():
    with pytest.raises(ConfigError) as caught:
        read_pigeon('loft = "roof"\nwings = 3\n')
    assert [str(problem) for problem in caught.value.problems] == ["clients.acme.accounts[0]: pigeons have two wings"]
    with pytest.raises(ConfigError) as caught:
        read_pigeon('wings = "two"\nspeed = "fast"\n')
    assert [str(problem) for problem in caught.value.problems] == [
        f"clients.acme.accounts[0].loft: is missing: expected {REFERENCE_SENTENCE}",
        f'clients.acme.accounts[0].wings: expected an integer from {-(2**63)} to {2**63 - 1}, got "two"',
        'clients.acme.accounts[0].speed: expected a number, got "fast"',
    ]


def test_a_dataclass_with_a_type_that_no_key_can_have_is_the_packages_fault():
    @dataclass(frozen=True, slots=True)
    class Odd(ChannelSettings):
        parts: list = field(default_factory=list)

    with pytest.raises(TypeError, match="must be a str, bool, int, float or StrEnum"):
        channel_keys("odd", Odd)


# --- anything else ----------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        *(key.name for key in (*CLIENT_KEYS, *CALLBACK_KEYS, *ACCOUNT_KEYS)),
        *(setting.name for setting in SETTINGS),
        "clients",
        "acme",
        "env",
        "file",
        "token",
        "secret_token",
        "phone_number_id",
        "account",
        "recipient",
        "*",
        "a b",
    ]
)
LEAVES = st.one_of(
    st.sampled_from(["telegram", "whatsapp", "line", "acme", "80/s", "24h", "https://a.example", WHSEC, "ID", "hold"]),
    st.text(),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.datetimes(),
    st.dates(),
    st.times(),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS | st.text(), inner, max_size=5)),
    max_leaves=12,
)
CLIENTS = st.dictionaries(
    st.text() | WORDS,
    st.fixed_dictionaries(
        {"username": VALUES, "password": VALUES},
        optional={
            "callbacks": st.lists(st.dictionaries(WORDS, VALUES, max_size=6), max_size=2),
            "accounts": st.lists(
                st.dictionaries(WORDS, VALUES, max_size=6).map(lambda one: {"channel": "telegram", **one}), max_size=2
            ),
        },
    ),
    max_size=2,
)


@given(
    document=st.dictionaries(WORDS | st.text(), VALUES, max_size=6),
    clients=CLIENTS | VALUES,
    env=st.dictionaries(st.sampled_from([setting.variable for setting in SETTINGS]), st.text(), max_size=3),
)
@settings(max_examples=120, deadline=None)
def test_nothing_but_a_config_error_ever_leaves_the_parser(document, clients, env):
    try:
        found = parse({**document, "clients": clients}, env, channels=BUILT_IN)
    except ConfigError as error:
        found = error
    assert isinstance(found, Configuration) or found.problems


def test_values_are_shown_shortly():
    assert shown("x" * 100) == '"' + "x" * 39 + '…"'
    assert shown(10**5000) == "an integer"
    assert [kind(value) for value in ([], {}, 1.0, None)] == ["a list", "a table", "a float", "something else"]
    assert dotted(("a", "b c", 0, "d")) == 'a."b c"[0].d'
    assert [show_duration(timedelta(seconds=seconds)) for seconds in (0, 90, 120, 7200, 172_800)] == [
        "0s",
        "90s",
        "2m",
        "2h",
        "2d",
    ]


# --- what the store gets ----------------------------------------------------------------------------------------------


def declare(config: Configuration, box: SecretBox, existing: Declared | None = None) -> Declared:
    return declared(config, box, existing or Declared(), now=NOW, hasher=CHEAP)


def test_what_is_declared_opens_to_what_was_configured():
    config = read(SAMPLE + 'rate = { media = "none" }\nunknown_outcome = "hold"', SAMPLE_ENV)
    box = SecretBox([new_key()])
    records = declare(config, box)
    (client,) = records.clients
    assert (client.id, client.username, client.max_age_seconds, client.enabled) == ("acme", "acme", 86_400, True)
    assert CHEAP.verifies(client.password_hash, SAMPLE_ENV["ACME_PASSWORD"].encode())
    opened = [open_account(record, box, BUILT_IN) for record in records.accounts]
    assert tuple(opened) == config.clients[0].accounts
    assert [record.position for record in records.accounts] == [0, 1, 2, 3]
    (endpoint,) = records.endpoints
    secrets = unseal(endpoint, box)
    assert (secrets.secret, secrets.headers) == (WHSEC, {})
    assert WHSEC not in repr(secrets)


def test_an_unchanged_configuration_declares_the_same_bytes_again():
    config = read(SAMPLE, SAMPLE_ENV)
    box = SecretBox([new_key()])
    first = declare(config, box)
    again = declare(config, box, first)
    assert again == first


def test_only_what_changed_is_declared_anew():
    box = SecretBox([new_key()])
    first = declare(read(SAMPLE, SAMPLE_ENV), box)
    changed = declare(read(SAMPLE, {**SAMPLE_ENV, "TG_TOKEN": "9:new", "ACME_PASSWORD": "new"}), box, first)
    assert [a.sealed == b.sealed for a, b in zip(first.accounts, changed.accounts, strict=True)] == [
        True,
        False,
        True,
        True,
    ]
    assert changed.clients[0].password_hash != first.clients[0].password_hash
    assert changed.endpoints == first.endpoints


def test_a_new_key_seals_everything_anew_while_the_old_one_still_reads():
    old, new = new_key(), new_key()
    config = read(SAMPLE, SAMPLE_ENV)
    first = declare(config, SecretBox([old]))
    rotated = declare(config, SecretBox([new, old]), first)
    only_new = SecretBox([new])
    assert tuple(open_account(one, only_new, BUILT_IN) for one in rotated.accounts) == config.clients[0].accounts
    assert [unseal(one, only_new).secret for one in rotated.endpoints] == [WHSEC]


def test_a_value_moved_to_another_row_does_not_open_and_is_replaced():
    box = SecretBox([new_key()])
    config = read(CLIENT + TELEGRAM + TELEGRAM.replace("acme-tg", "other"))
    first = declare(config, box)
    moved = replace(first.accounts[1], sealed=first.accounts[0].sealed)
    with pytest.raises(SealError):
        open_account(moved, box, BUILT_IN)
    mended = declare(config, box, replace(first, accounts=(first.accounts[0], moved)))
    assert open_account(mended.accounts[1], box, BUILT_IN) == config.clients[0].accounts[1]
    assert account_about("acme", "a") != endpoint_about("acme", "a")


def test_an_account_of_an_older_version_opens_with_todays_defaults():
    box = SecretBox([new_key()])
    about = account_about("acme", "acme-tg")
    (account,) = read(CLIENT + TELEGRAM).clients[0].accounts
    record = replace(
        account_record(account, 0, box),
        sealed=box.seal(json.dumps({"token": "123:abc", "forgotten": 1}).encode(), about=about),
        options="{}",
    )
    opened = open_account(record, box, BUILT_IN)
    assert opened == replace(account, settings=TelegramSettings("123:abc"))


async def test_no_plaintext_secret_is_in_the_databases_files(tmp_path):
    store = SqliteStore(tmp_path / "kurir.db")
    await store.open()
    box = SecretBox([new_key()])
    config = read(SAMPLE.replace("headers = {}", 'headers = { "X-Key" = "known-plaintext-header" }'), SAMPLE_ENV)
    await store.declare(declare(config, box), datetime.now(UTC))

    def written() -> bytes:
        return b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()) if path.is_file())

    open_files = written()
    kept = await existing_records(store)
    await store.close()
    for content in (open_files, written()):
        assert b"acme-wa" in content
        assert b"known-plaintext" not in content
        assert WHSEC.encode() not in content
        assert base64.b64decode(WHSEC.removeprefix("whsec_")) not in content
    assert tuple(open_account(one, box, BUILT_IN) for one in kept.accounts) == config.clients[0].accounts


async def test_a_restart_leaves_a_parked_account_parked_until_its_settings_change(tmp_path):
    store = SqliteStore(tmp_path / "kurir.db")
    await store.open()
    box = SecretBox([new_key()])
    now = datetime.now(UTC)
    config = read(CLIENT + TELEGRAM)
    await store.declare(declare(config, box), now)
    await store.park("acme-tg", ErrorRecord("account_credentials", "Unauthorized"), now)
    await store.declare(declare(config, box, await existing_records(store)), now)
    assert [one.parked_code for one in await store.accounts()] == ["account_credentials"]
    mended = read(CLIENT + TELEGRAM.replace("123:abc", "123:def"))
    await store.declare(declare(mended, box, await existing_records(store)), now)
    assert [one.parked_code for one in await store.accounts()] == [""]
    await store.close()


# --- the command line -------------------------------------------------------------------------------------------------

UNCOMMENTED_ENV = dict.fromkeys(
    (
        "ACME_WA_TOKEN",
        "ACME_META_APP_SECRET",
        "ACME_META_VERIFY_TOKEN",
        "ACME_TG_TOKEN",
        "ACME_TG_SECRET",
        "KURIR_METRICS_TOKEN",
        "ACME_LINE_TOKEN",
        "ACME_LINE_SECRET",
        "ACME_FB_TOKEN",
    ),
    "a1" * 16,
)


def uncommented(template: str) -> str:
    """Return the template with every key in force, and the prose still commented out."""
    lines = []
    for line in template.splitlines():
        bare = line.removeprefix("# ")
        is_key = bare.startswith("[[") or (" = " in bare and bare.split(" = ")[0].replace("_", "").isalnum())
        lines.append(bare if is_key else line)
    return "\n".join(lines)


def test_init_writes_a_file_that_check_accepts_once_its_secrets_are_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    refused = runner.invoke(app, ["check"])
    assert refused.exit_code == 1
    assert "`kurir config init` writes one" in refused.stderr
    written = runner.invoke(app, ["init"])
    assert written.exit_code == 0
    assert stat.S_IMODE((tmp_path / "kurir.toml").stat().st_mode) == 0o600
    env = dict(line.removeprefix("export ").split("=", 1) for line in written.stdout.splitlines())
    assert set(env) == {"ACME_PASSWORD", "ACME_CALLBACK_SECRET", "KURIR_ADMIN_TOKEN"}
    unset = runner.invoke(app, ["check"])
    assert (unset.exit_code, unset.stderr) == (
        1,
        "kurir.toml has 1 problem:\n  clients.acme.password: the environment variable ACME_PASSWORD is not set\n",
    )
    fine = runner.invoke(app, ["check"], env=env)
    assert (fine.exit_code, fine.stdout) == (0, "kurir.toml is fine: 1 client, 0 accounts\n")
    assert not (tmp_path / "kurir.key").exists()


def test_everything_in_the_template_is_right_when_uncommented(tmp_path):
    path = tmp_path / "full.toml"
    path.write_text(uncommented(TEMPLATE), "utf-8")
    env = {**new_secrets(), **UNCOMMENTED_ENV}
    fine = CliRunner().invoke(app, ["check", "--config", str(path)], env=env)
    assert (fine.exit_code, fine.stdout) == (0, f"{path} is fine: 1 client, 4 accounts\n")
    config = load(path, env, channels=BUILT_IN)
    assert len(config.clients[0].callbacks) == 1


def test_the_template_names_every_key():
    channel_names = {key.name for name, channel in BUILT_IN.items() for key in channel_keys(name, channel.SETTINGS)}
    common = {key.name for key in (*CLIENT_KEYS, *CALLBACK_KEYS, *ACCOUNT_KEYS)} | {one.name for one in SETTINGS}
    assert {name for name in channel_names | common if name not in TEMPLATE} == set()


def test_init_does_not_replace_a_file_unless_told_to(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("mine", "utf-8")
    refused = CliRunner().invoke(app, ["init", "--path", str(path)])
    assert (refused.exit_code, refused.stderr) == (1, f"{path} is there already; --force replaces it.\n")
    assert path.read_text("utf-8") == "mine"
    assert CliRunner().invoke(app, ["init", "--path", str(path), "--force"]).exit_code == 0
    assert path.read_text("utf-8") == TEMPLATE
    nowhere = CliRunner().invoke(app, ["init", "--path", str(tmp_path / "no" / "kurir.toml")])
    assert nowhere.exit_code == 1
    assert nowhere.stderr.endswith("cannot be written: No such file or directory.\n")


# --- the reference ----------------------------------------------------------------------------------------------------


def cell(default: str) -> str:
    return default if default in {"required", "none"} or default.startswith("the ") else f"`{default}`"


def key_table(keys: tuple[Key, ...]) -> str:
    rows = [f"| `{key.name}` | {key.kind} | {cell(key.default)} | {key.meaning} |" for key in keys]
    return "\n".join(["| key | kind | default | meaning |", "|---|---|---|---|", *rows])


def settings_table() -> str:
    rows = []
    for one in SETTINGS:
        flag = f"`{one.flag}`" if one.flag else "–"
        rows.append(f"| `{one.name}` | `{one.variable}` | {flag} | {one.kind} | {cell(one.default)} | {one.meaning} |")
    head = ["| key | variable | flag | kind | default | meaning |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def rates_table() -> str:
    rows = ["| channel | `concurrency` | limits |", "|---|---|---|"]
    for name, channel in BUILT_IN.items():
        limits = {**dict.fromkeys(EVERY_CHANNELS_RATES), **channel.RATES}
        words = ", ".join(f"`{limit}` {show_rate(value)}" for limit, value in limits.items())
        rows.append(f"| {name} | {channel.CONCURRENCY} | {words} |")
    return "\n".join(rows)


def reference_tables() -> dict[str, str]:
    """Return what the reference page must hold, by the name of the part."""
    channels = [
        f"### {name}\n\n{key_table(documented(name, channel.SETTINGS))}\n\n`api_base` is `{channel.API_BASE}`."
        for name, channel in BUILT_IN.items()
    ]
    return {
        "SETTINGS": settings_table(),
        "CLIENT": key_table(CLIENT_KEYS),
        "CALLBACK": key_table(CALLBACK_KEYS),
        "ACCOUNT": key_table(ACCOUNT_KEYS),
        "EVENTS": ", ".join(f"`{event}`" for event in EVENTS),
        "RATES": rates_table(),
        "CHANNELS": "\n\n".join(channels),
    }


@pytest.mark.parametrize("part", reference_tables())
def test_the_reference_page_is_what_the_model_says(part):
    assert reference_tables()[part] in REFERENCE.read_text("utf-8")


def test_every_key_of_a_built_in_channel_has_a_meaning():
    for name, channel in BUILT_IN.items():
        known: dict[str, Any] = {key.name: key for key in channel_keys(name, channel.SETTINGS)}
        assert set(known) == set(CHANNEL_MEANINGS[name])


def test_a_new_secret_of_a_callback_leaves_the_old_one_signing_for_a_day():
    box = SecretBox([new_key()])
    secrets = ["whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in range(3)]

    def stored(secret, existing, now):
        document = {
            "clients": {
                "acme": {
                    "username": "acme",
                    "password": "secret",
                    "callbacks": [{"url": "https://crm.example.com/hook", "secret": secret}],
                }
            }
        }
        config = parse(document, {}, channels=BUILT_IN)
        return declared(config, box, existing, now=now, hasher=CHEAP)

    first = stored(secrets[0], Declared(), NOW)
    assert keys.unseal(first.endpoints[0], box).signing(NOW) == (secrets[0],)
    second = stored(secrets[1], first, NOW)
    assert keys.unseal(second.endpoints[0], box).signing(NOW + timedelta(hours=23)) == (secrets[1], secrets[0])
    assert keys.unseal(second.endpoints[0], box).signing(NOW + timedelta(hours=24)) == (secrets[1],)
    again = stored(secrets[1], second, NOW + timedelta(hours=3))
    assert again.endpoints == second.endpoints, "a restart changes nothing of it"
