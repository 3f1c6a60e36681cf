"""How single values are written in the configuration: durations, addresses, networks, rates, URLs.

Each reader takes what TOML gave (or the text of a variable or flag) and returns the value, or raises
:class:`~kurir.configuration.problems.WrongValueError` with what it expected. URLs are not shown in its sentence: they
may carry a password or a token.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from kurir.configuration.problems import WrongItemsError, WrongValueError, shown, suggestion, wrong
from kurir.domain.account import Rate
from kurir.networks import NEVER, Network
from kurir.settings import Listen

_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhdw])")
_DURATION_FORM: Final = 'a duration such as "90s", "15m", "24h" or "90d"'
_CENTURY: Final = timedelta(days=36_525)

_SIZES: Final = {"MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE: Final = re.compile(r"([0-9]{1,6})(MB|GB|TB)")

_RATE: Final = re.compile(r"([0-9]{1,9})/([0-9]{1,6}(?:\.[0-9]{1,3})?)?([smh])(?: burst ([0-9]{1,9}))?")
_RATE_FORM: Final = 'a rate such as "80/s", "20/60s", "1/6s burst 45" or "none"'

_HOST: Final = re.compile(r"[A-Za-z0-9._-]+")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

#: Headers of a callback that are the gateway's to set.
RESERVED_HEADERS: Final = frozenset(
    {"connection", "content-encoding", "content-length", "content-type", "expect", "host", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "webhook-id", "webhook-signature", "webhook-timestamp"}
)


# --- plain values -----------------------------------------------------------------------------------------------------


def text(value: object) -> str:
    """Read a string that is not blank and has no control characters."""
    if not isinstance(value, str):
        raise wrong("a string", value)
    return _clean(value)


def secret_text(value: object) -> str:
    """Read a string as :func:`text` does, without ever showing it."""
    if not isinstance(value, str):
        raise wrong('a string, { env = "NAME" } or { file = "path" }', value, secret=True)
    return _clean(value)


def switch(value: object) -> bool:
    """Read true or false; a variable writes it as a word."""
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    return boolean(value)


def boolean(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise wrong("true or false", value)
    return value


def integer(low: int, high: int) -> Callable[[object], int]:
    """Return a reader of integers from *low* to *high*."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise wrong(f"an integer from {low} to {high}", value)
        return value

    return read


def number(value: object) -> float:
    """Read a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e15:
        raise wrong("a number", value)
    return float(value)


def matching(pattern: str, expected: str, *, secret: bool = False) -> Callable[[object], str]:
    """Return a reader of strings of which the whole matches *pattern*."""
    compiled = re.compile(pattern)

    def read(value: object) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise wrong(expected, value, secret=secret)
        return value

    return read


def one_of(words: Sequence[str]) -> Callable[[object], str]:
    """Return a reader of one of *words*."""

    def read(value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise wrong(_alternatives(words), value)

    return read


def member(enum: type[_E]) -> Callable[[object], _E]:
    """Return a reader of a member of *enum*."""
    read_word = one_of([str(item) for item in enum])
    return lambda value: enum(read_word(value))


def list_of(read_item: Callable[[object], _T], expected: str) -> Callable[[object], tuple[_T, ...]]:
    """Return a reader of lists, which names every wrong item by its position."""

    def read(value: object) -> tuple[_T, ...]:
        if not isinstance(value, list | tuple):
            raise wrong(expected, value)
        items: list[_T] = []
        mistakes: list[tuple[int, str]] = []
        for position, item in enumerate(value):
            try:
                items.append(read_item(item))
            except WrongValueError as error:
                mistakes.append((position, str(error)))
        if mistakes:
            raise WrongItemsError(mistakes)
        return tuple(items)

    return read


def _clean(value: str) -> str:
    if not value.strip():
        raise WrongValueError("must not be empty")
    if value != value.strip():
        raise WrongValueError("must not begin or end with white space")
    if _CONTROL.search(value):
        raise WrongValueError("must not have control characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise WrongValueError("must be text in UTF-8") from None
    return value


def _alternatives(words: Sequence[str]) -> str:
    quoted = [f'"{word}"' for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


# --- durations, sizes and rates ---------------------------------------------------------------------------------------


def duration(low: timedelta, high: timedelta = _CENTURY) -> Callable[[object], timedelta]:
    """Return a reader of durations from *low* to *high*."""

    def read(value: object) -> timedelta:
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise wrong(_DURATION_FORM, value)
        seconds = int(match[1]) * _UNITS[match[2]]
        if not low.total_seconds() <= seconds <= high.total_seconds():
            raise wrong(f"a duration from {show_duration(low)} to {show_duration(high)}", value)
        return timedelta(seconds=seconds)

    return read


def show_duration(value: timedelta) -> str:
    """Return *value* as the file writes it, in the largest unit that is exact (weeks are shown as days)."""
    seconds = int(value.total_seconds())
    unit = next((unit for unit in ("d", "h", "m") if seconds and seconds % _UNITS[unit] == 0), "s")
    return f"{seconds // _UNITS[unit]}{unit}"


def size(value: object) -> int:
    """Read a size on a disk, in bytes: ``20GB`` is 20,000,000,000."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise wrong('a size such as "500MB", "20GB" or "1TB"', value)
    return int(match[1]) * _SIZES[match[2]]


def rate(value: object) -> Rate | None:
    """Read a rate; ``none`` is None. ``20/60s burst 5`` is 20 in 60 seconds, five of them at once."""
    if value == "none":
        return None
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise wrong(_RATE_FORM, value)
    count, seconds, burst = int(match[1]), float(match[2] or 1) * _UNITS[match[3]], int(match[4] or 1)
    if count < 1 or seconds <= 0 or burst < 1:
        raise wrong(f"{_RATE_FORM} with every number above 0", value)
    return Rate(count, seconds, burst)


def show_rate(value: Rate | None) -> str:
    """Return *value* as the file writes it."""
    if value is None:
        return "none"
    period = "s" if value.seconds == 1 else f"{value.seconds:g}s"
    return f"{value.count}/{period}" + (f" burst {value.burst}" if value.burst != 1 else "")


# --- addresses --------------------------------------------------------------------------------------------------------


def listen(value: object) -> Listen:
    """Read ``host:port``; an IPv6 address stands in brackets."""
    expected = 'an address such as "127.0.0.1:8080" or "[::1]:8080"'
    host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65_535:
        raise wrong(expected, value)
    if host.startswith("[") and host.endswith("]"):
        try:
            return Listen(str(ipaddress.IPv6Address(host[1:-1])), int(port))
        except ValueError:
            raise wrong(expected, value) from None
    if not _HOST.fullmatch(host):
        raise wrong(expected, value)
    return Listen(host, int(port))


def network(value: object) -> Network:
    """Read a CIDR. Never one inside a link-local network, nor an address where clouds keep credentials."""
    if not isinstance(value, str):
        raise wrong('a network such as "10.0.0.0/8"', value)
    try:
        found = ipaddress.ip_network(value)
    except ValueError:
        raise wrong(f'a network such as "10.0.0.0/8"{_meant_network(value)}', value) from None
    if any(_inside(found, forbidden) for forbidden in NEVER):
        raise WrongValueError(f"{value} holds link-local or metadata addresses, which are never reached")
    return found


def source_network(value: object) -> Network:
    """Read a CIDR, or one address, that requests may come from."""
    if not isinstance(value, str):
        raise wrong('a network such as "203.0.113.0/24"', value)
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        raise wrong(f'a network such as "203.0.113.0/24"{_meant_network(value)}', value) from None


def is_loopback(host: str) -> bool:
    """Return whether *host* is this machine: localhost, or a loopback address."""
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _meant_network(value: str) -> str:
    try:
        return f" (perhaps {ipaddress.ip_network(value, strict=False)})"
    except ValueError:
        return ""


def _inside(found: Network, outer: Network) -> bool:
    if isinstance(found, ipaddress.IPv6Network) and found.prefixlen >= 96 and found.network_address.ipv4_mapped:
        found = ipaddress.IPv4Network((found.network_address.ipv4_mapped, found.prefixlen - 96))
    if isinstance(found, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and found.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and found.subnet_of(outer)


# --- URLs -------------------------------------------------------------------------------------------------------------


def url(value: object) -> str:
    """Read an http or https URL without user name and fragment."""
    expected = "an http:// or https:// URL without user name and fragment"
    parts = _split_url(value, expected)
    if parts.fragment:
        raise wrong(expected, value, secret=True)
    return str(value)


def secure_url(value: object) -> str:
    """Read an https URL."""
    found = url(value)
    if not found.lower().startswith("https://"):
        raise WrongValueError("expected an https:// URL")
    return found


def base_url(value: object) -> str:
    """Read a URL to which paths are added: no query, no fragment; a slash at its end is dropped."""
    expected = "an http:// or https:// address without user name, query and fragment"
    parts = _split_url(value, expected)
    if parts.query or parts.fragment or "?" in str(value) or "#" in str(value):
        raise wrong(expected, value, secret=True)
    return str(value).rstrip("/")


def public_url(value: object) -> str:
    """Read the address that platforms call: https, or http on this machine only."""
    found = base_url(value)
    parts = urlsplit(found)
    if parts.scheme.lower() == "http" and not is_loopback(parts.hostname or ""):
        raise WrongValueError("expected an https:// address: platforms call no other; http:// is for loopback only")
    return found


def _split_url(value: object, expected: str) -> SplitResult:
    if not isinstance(value, str) or re.search(r"[\x00-\x20\x7f\\]", value):
        raise wrong(expected, value, secret=True)
    try:
        parts = urlsplit(value)
        usable = parts.scheme.lower() in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        value.encode()
    except ValueError:
        usable = False
        parts = SplitResult("", "", "", "", "")
    if not usable or parts.username is not None or parts.password is not None:
        raise wrong(expected, value, secret=True)
    return parts


# --- callbacks --------------------------------------------------------------------------------------------------------


def webhook_secret(value: object) -> str:
    """Read a Standard Webhooks secret: ``whsec_`` and the base64 of 24 to 64 bytes."""
    expected = "whsec_ and the base64 of 24 to 64 random bytes, such as `kurir config init` prints"
    if not isinstance(value, str) or not value.startswith("whsec_"):
        raise wrong(expected, value, secret=True)
    try:
        size = len(base64.b64decode(value.removeprefix("whsec_"), validate=True))
    except (binascii.Error, ValueError):
        raise wrong(f"{expected}; this is no base64", value, secret=True) from None
    if not 24 <= size <= 64:
        raise WrongValueError(f"expected {expected}; these are {size} bytes")
    return value


def header_name(value: str) -> str:
    """Read the name of a header that a client may set on its callbacks."""
    if not _HEADER_NAME.fullmatch(value):
        raise WrongValueError("is no name of a header")
    if value.lower() in RESERVED_HEADERS:
        raise WrongValueError("is a header that kurir itself sets")
    return value


def one_of_known(words: Iterable[str], what: str) -> Callable[[object], str]:
    """Return a reader of one of *words* that names the nearest one when it meets another."""
    known = list(words)

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise wrong(what, value)
        if value not in known:
            raise WrongValueError(f"expected {what}, got {shown(value)}: {suggestion(value, known)}")
        return value

    return read
