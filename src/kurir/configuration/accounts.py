"""Reading one account: what every account takes, and what its channel does.

A channel's own keys are derived from the fields of its settings dataclass, so that a channel of another package needs
no change here. A field without a default is required; a field that ends in ``_ms`` or ``_seconds`` is written as a
duration without that ending; one that ends in ``_base`` is an address, one in ``_url`` an https URL. What a dataclass
cannot say of the built-in channels' keys stands in the tables. A dataclass may refuse values with a ValueError.
"""

import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, replace
from datetime import timedelta
from enum import StrEnum
from typing import Final

from kurir.channels.base import Channel
from kurir.configuration.keys import ACCOUNT_KEYS, CHANNEL_MEANINGS, REQUIRED, Key, names
from kurir.configuration.problems import Path, WrongValueError, shown, suggestion, wrong
from kurir.configuration.table import REFERENCE_FORM, Reading, Table
from kurir.configuration.values import (
    base_url,
    boolean,
    duration,
    integer,
    matching,
    member,
    number,
    one_of,
    rate,
    secret_text,
    secure_url,
    show_duration,
    text,
)
from kurir.domain.account import Account, ChannelSettings, MediaPolicy, Rate, Retrying, UnknownOutcome
from kurir.domain.channel import canonical

Reader: typing.TypeAlias = Callable[[object], object]

MOST_CONCURRENCY: Final = 1000
#: The limits that every channel knows, also where its default is none.
EVERY_CHANNELS_RATES: Final = ("account", "recipient")

_ACCOUNT_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PHONE_LIKE: Final = re.compile(r"[0-9]{7}")
_WAIT: Final = duration(timedelta(seconds=1), timedelta(days=1))
_RETRY_WAIT: Final = duration(timedelta(seconds=1), timedelta(hours=1))
_RETRY_ATTEMPTS: Final = integer(0, 1000)

#: What the type of a field does not tell.
_READERS: Final[dict[tuple[str, str], Reader]] = {
    ("telegram", "receive"): one_of(("webhook", "poll")),
    ("telegram", "secret_token"): matching(
        r"[A-Za-z0-9_-]{1,256}", "1 to 256 letters, digits, underscores and dashes", secret=True
    ),
    ("whatsapp", "phone_number_id"): matching(r"[0-9]{1,32}", "the digits of the number's id, in quotes"),
    ("whatsapp", "api_version"): matching(r"v[0-9]{1,3}\.[0-9]", 'a version such as "v26.0"'),
    ("messenger", "page_id"): matching(r"[0-9]{1,32}", "the digits of the page's id, in quotes"),
    ("messenger", "api_version"): matching(r"v[0-9]{1,3}\.[0-9]", 'a version such as "v26.0"'),
}

_KINDS: Final = {("telegram", "receive"): "`webhook` or `poll`"}

#: Endings of fields that hold a duration, and how many of their unit are in a second.
_DURATIONS: Final = {"_ms": 1000, "_seconds": 1}

_NOTHING: Final = object()

#: (channel, key, other key, value): the key is required while the other key has that value.
_REQUIRED_WHILE: Final = (("telegram", "secret_token", "receive", "webhook"),)


@dataclass(frozen=True, slots=True)
class ChannelKey:
    """One key of a channel's own, and the field of its settings that the value goes to."""

    name: str
    field: str
    kind: str
    default: object
    read: Reader
    referable: bool

    @property
    def required(self) -> bool:
        """Whether the key must be given."""
        return self.default is MISSING


def channel_keys(name: str, settings: type[ChannelSettings]) -> tuple[ChannelKey, ...]:
    """Return the keys that accounts of the channel *name* take beside those that every account takes."""
    hints = typing.get_type_hints(settings)
    return tuple(_channel_key(name, settings, field, hints[field.name]) for field in fields(settings) if field.init)


def documented(name: str, settings: type[ChannelSettings]) -> tuple[Key, ...]:
    """Return the channel's own keys as the reference page shows them."""
    meanings = CHANNEL_MEANINGS.get(name, {})
    return tuple(
        Key(key.name, key.kind, _show_default(key), meanings.get(key.name, "")) for key in channel_keys(name, settings)
    )


def read_account(
    reading: Reading, path: Path, values: object, client_id: str, channels: Mapping[str, Channel]
) -> Account | None:
    """Read one account; None when its channel or its settings have problems, which are reported."""
    channel = _channel(reading, path, values, channels)
    own = channel_keys(channel.NAME, channel.SETTINGS) if channel else ()
    known = (*names(ACCOUNT_KEYS), *(key.name for key in own))
    if channel is None and isinstance(values, Mapping):
        # Which keys are known depends on the channel, so without one none is called unknown.
        known = tuple(values)
    table = Table(reading, path, values, known, f"a {channel.NAME} account" if channel else "an account")
    account_id = table.need("id", _account_id, "", 'a string such as "acme-wa"')
    common = _Common(
        default=table.get("default", boolean, default=False),
        concurrency=table.get("concurrency", integer(1, MOST_CONCURRENCY), channel.CONCURRENCY if channel else 1),
        unknown_outcome=table.get("unknown_outcome", member(UnknownOutcome), UnknownOutcome.RESEND),
        unknown_wait=table.get("unknown_wait", _WAIT, timedelta(seconds=90)),
        api_base=table.get("api_base", base_url, channel.API_BASE.rstrip("/") if channel else ""),
        inbound_media=table.get("inbound_media", member(MediaPolicy), MediaPolicy.STREAM),
    )
    if channel is None:
        return None
    rates = _rates(table, channel)
    retrying = _retrying(table)
    settings = _settings(table, channel, own)
    if settings is None:
        return None
    return Account(
        id=account_id,
        client_id=client_id,
        channel=channel.NAME,
        api_base=common.api_base,
        settings=settings,
        default=common.default,
        concurrency=common.concurrency,
        unknown_outcome=common.unknown_outcome,
        unknown_wait_seconds=common.unknown_wait.total_seconds(),
        retrying=retrying,
        rates=rates,
        inbound_media=common.inbound_media,
    )


@dataclass(frozen=True, slots=True)
class _Common:
    """What every account has beside its settings and rates."""

    default: bool
    concurrency: int
    unknown_outcome: UnknownOutcome
    unknown_wait: timedelta
    api_base: str
    inbound_media: MediaPolicy


def _channel(reading: Reading, path: Path, values: object, channels: Mapping[str, Channel]) -> Channel | None:
    if not isinstance(values, Mapping):
        return None
    place = (*path, "channel")
    if "channel" not in values:
        reading.report(place, f"is missing: expected {_channel_words(channels)}")
        return None
    word = values["channel"]
    if not isinstance(word, str):
        reading.report(place, str(wrong(_channel_words(channels), word)))
        return None
    channel = channels.get(canonical(word))
    if channel is None:
        reading.report(place, f"{shown(word)} is no channel; {suggestion(word, sorted(channels))}")
    return channel


def _channel_words(channels: Mapping[str, Channel]) -> str:
    return "the name of a channel: " + ", ".join(sorted(channels))


def _account_id(value: object) -> str:
    if not isinstance(value, str) or not _ACCOUNT_ID.fullmatch(value):
        raise wrong("1 to 63 lower-case letters, digits and dashes, the first one no dash", value)
    if _PHONE_LIKE.search(value):
        raise WrongValueError("must not hold a phone number (seven digits in a row): it stands in webhook addresses")
    return value


def _rates(table: Table, channel: Channel) -> dict[str, Rate | None]:
    rates = dict(channel.RATES)
    known = sorted({*channel.RATES, *EVERY_CHANNELS_RATES})
    for path, name, value in table.entries("rate", 'a table such as { account = "80/s" }'):
        if name not in known:
            table.reading.report(path, f"unknown limit of {channel.NAME}; {suggestion(name, known)}")
            continue
        try:
            rates[name] = rate(value)
        except WrongValueError as error:
            table.reading.report(path, str(error))
    return rates


def _retrying(table: Table) -> Retrying:
    found = Retrying()
    for path, name, value in table.entries("retry", 'a table such as { attempts = 15, first = "1s", longest = "5m" }'):
        try:
            if name == "attempts":
                found = replace(found, attempts=_RETRY_ATTEMPTS(value))
            elif name == "first":
                found = replace(found, first_seconds=_RETRY_WAIT(value).total_seconds())
            elif name == "longest":
                found = replace(found, longest_seconds=_RETRY_WAIT(value).total_seconds())
            else:
                table.reading.report(path, f"unknown key; {suggestion(name, ['attempts', 'first', 'longest'])}")
        except WrongValueError as error:
            table.reading.report(path, str(error))
    if found.first_seconds > found.longest_seconds:
        table.report("retry", "first must not be longer than longest")
    return found


# --- a channel's own keys ---------------------------------------------------------------------------------------------


def _settings(table: Table, channel: Channel, own: tuple[ChannelKey, ...]) -> ChannelSettings | None:
    found: dict[str, object] = {}
    for key in own:
        read = table.referred(key.read) if key.referable else key.read
        value = table.get(key.name, read, _NOTHING)
        if value is not _NOTHING:
            found[key.field] = value
        elif key.name not in table and key.required:
            table.report(key.name, f"is missing: expected {REFERENCE_FORM if key.referable else key.kind}")
    for name, key_name, other, word in _REQUIRED_WHILE:
        missing = name == channel.NAME and key_name not in table
        if missing and found.get(other, _default(own, other)) == word:
            table.report(key_name, f'is missing: expected {REFERENCE_FORM} while {other} is "{word}"')
    if any(key.required and key.field not in found for key in own):
        return None
    try:
        return channel.SETTINGS(**found)
    except ValueError as error:
        table.reading.report(table.path, str(error))
        return None


def _default(own: tuple[ChannelKey, ...], name: str) -> object:
    return next((key.default for key in own if key.name == name), None)


def _channel_key(channel: str, settings: type[ChannelSettings], field: Field[object], hint: object) -> ChannelKey:
    default = field.default if field.default_factory is MISSING else field.default_factory()
    name = field.name
    if hint in {int, float} and name.endswith(tuple(_DURATIONS)):
        ending = next(ending for ending in _DURATIONS if name.endswith(ending))
        read = _scaled(_DURATIONS[ending], whole=hint is int)
        return ChannelKey(name.removesuffix(ending), name, "duration", default, read, referable=False)
    secret = name in settings.SECRETS
    read = _READERS.get((channel, name)) or _reader(name, hint, default, secret=secret)
    kind = _KINDS.get((channel, name)) or _kind(name, hint, secret=secret)
    return ChannelKey(name, name, kind, default, read, referable=hint is str)


def _reader(name: str, hint: object, default: object, *, secret: bool) -> Reader:
    if hint is str:
        read: Reader = secret_text if secret else text
        if name.endswith("_base"):
            read = base_url
        elif name.endswith("_url"):
            read = secure_url
        return read if default else _or_empty(read)
    if hint is bool:
        return boolean
    if hint is int:
        return integer(-(2**63), 2**63 - 1)
    if hint is float:
        return number
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return member(hint)
    raise TypeError(f"a channel's setting must be a str, bool, int, float or StrEnum, not {hint}: {name}")


def _or_empty(read: Reader) -> Reader:
    return lambda value: value if value == "" else read(value)


def _scaled(per_second: int, *, whole: bool) -> Reader:
    read = duration(timedelta(seconds=1))

    def scaled(value: object) -> float:
        amount = read(value).total_seconds() * per_second
        return int(amount) if whole else amount

    return scaled


def _kind(name: str, hint: object, *, secret: bool) -> str:
    if hint is str:
        return "secret" if secret else "URL" if name.endswith(("_base", "_url")) else "string"
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return " or ".join(f"`{item}`" for item in hint)
    return {bool: "boolean", int: "integer", float: "number"}[typing.cast("type[bool | int | float]", hint)]


def shown_value(key: ChannelKey, value: object) -> object:
    """Return the *value* of a channel's own key as the file writes it: a duration as text, a word of an enum as itself."""
    if key.kind == "duration":
        ending = key.field.removeprefix(key.name)
        return show_duration(timedelta(seconds=float(str(value)) / _DURATIONS[ending]))
    return str(value) if isinstance(value, StrEnum) else value


def _show_default(key: ChannelKey) -> str:
    if key.required:
        return REQUIRED
    if isinstance(key.default, bool):
        return str(key.default).lower()
    return str(shown_value(key, key.default)) or "none"
