"""What may go wrong on command: the profile of a channel, its members with their limits, and its reading from JSON.

A profile is a value. What happens to a request under one is decided in ``faults.py``, and told in ``profile_words.py``.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

#: The transient errors of each platform: those that a seeded mix draws from first, then those that can be asked for.
#: https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes,
#: https://developers.facebook.com/docs/messenger-platform/error-codes, https://github.com/tdlib/telegram-bot-api
#: (Client.cpp) and https://developers.line.biz/en/reference/messaging-api/#status-codes. Their texts: refusals.py.
MIXED: Final[Mapping[str, tuple[str, ...]]] = {
    "whatsapp": ("131000", "131016", "2"),
    "telegram": ("500", "500 restart"),
    "line": ("500",),
    "messenger": ("2", "1200"),
}
ASKED: Final[Mapping[str, tuple[str, ...]]] = {
    "whatsapp": ("131000", "131016", "131057", "133004", "1", "2", "500", "503"),
    "telegram": ("500", "500 restart", "502", "503"),
    "line": ("500", "503"),
    "messenger": ("1", "2", "1200", "500", "503"),
}
OUTAGES: Final = ("503", "refused")

JsonObject: TypeAlias = dict[str, Any]


class Fault(StrEnum):
    """What happens to a request. The values are the members of a profile, and what the ledger shows."""

    NONE = ""
    OUTAGE = "outage"
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 - the name of a fault
    QUOTA = "quota"
    BLOCKED = "blocked"
    RATE = "rate"
    RECIPIENT_RATE = "recipient_rate"
    ERRORS = "errors"
    THROTTLE = "throttle"
    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    CUT_BEFORE = "cut_before"
    CUT_AFTER = "cut_after"
    HALF_BODY = "half_body"
    GARBAGE = "garbage"
    GARBAGE_BEFORE = "garbage_before"


#: The faults of which at most one befalls a request, in the order in which a draw is compared with their shares.
SHARES: Final = (
    Fault.ERRORS,
    Fault.THROTTLE,
    Fault.TIMEOUT_BEFORE,
    Fault.TIMEOUT_AFTER,
    Fault.CUT_BEFORE,
    Fault.CUT_AFTER,
    Fault.HALF_BODY,
    Fault.GARBAGE,
    Fault.GARBAGE_BEFORE,
)


class ProfileError(Exception):
    """A profile that cannot be: *member* is at fault ("" for the whole), *detail* says what is allowed."""

    def __init__(self, member: str, detail: str) -> None:
        super().__init__(member, detail)
        self.member = member
        self.detail = detail


@dataclass(frozen=True, slots=True)
class WebhookFaults:
    """What befalls a channel's webhooks: shares from 0 to 1, and the longest delay in seconds."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Profile:
    """What goes wrong on one channel. Shares are from 0 to 1, times in seconds, rates in messages a second.

    None means "not at all": no true rate, no named wait, no usage headers, no end.
    """

    seed: int = 0
    seconds: float | None = None
    latency: float = 0.0
    jitter: float = 0.0
    errors: float = 0.0
    error: str = ""
    throttle: float = 0.0
    retry_after: float | None = None
    rate: float | None = None
    recipient_rate: float | None = None
    usage: int | None = None
    regain_minutes: int = 0
    timeout_before: float = 0.0
    timeout_after: float = 0.0
    hold: float = 60.0
    cut_before: float = 0.0
    cut_after: float = 0.0
    half_body: float = 0.0
    garbage: float = 0.0
    garbage_before: float = 0.0
    expired_token: bool = False
    blocked: float = 0.0
    quota: bool = False
    outage: str = ""
    webhooks: WebhookFaults = WebhookFaults()

    def as_json(self) -> JsonObject:
        """Return the members that differ from a profile without faults, as they were given."""
        plain, given = asdict(Profile()), asdict(self)
        shown = {name: value for name, value in given.items() if value != plain[name]}
        if "webhooks" in shown:
            shown["webhooks"] = {name: value for name, value in shown["webhooks"].items() if value}
        return shown


# Each number's least and largest value. 0 as the least of a rate or of "seconds" would mean "never", which is an outage.
_NUMBERS: Final[Mapping[str, tuple[float, float]]] = {
    "seconds": (0.01, 86_400),
    "latency": (0, 600),
    "jitter": (0, 600),
    "retry_after": (0, 86_400),
    "rate": (0.01, 1_000_000),
    "recipient_rate": (0.01, 1_000_000),
    "hold": (0, 3_600),
    "blocked": (0, 1),
} | dict.fromkeys(map(str, SHARES), (0, 1))
_INTEGERS: Final[Mapping[str, tuple[int, int]]] = {
    "seed": (-(2**63), 2**63 - 1),
    "usage": (0, 100),
    "regain_minutes": (0, 1_440),
}
_SWITCHES: Final = ("expired_token", "quota")
_WEBHOOKS: Final[Mapping[str, tuple[float, float]]] = {
    "drop": (0, 1),
    "duplicate": (0, 1),
    "reorder": (0, 1),
    "delay": (0, 600),
}
MEMBERS: Final = (*_NUMBERS, *_INTEGERS, *_SWITCHES, "error", "outage", "webhooks")


def read_profile(value: Any, channels: tuple[str, ...]) -> Profile:
    """Return the profile in the JSON *value*, for all of *channels*.

    Raises:
        ProfileError: The value is no object, or a member is unknown, out of its limits or not of these channels.
    """
    if not isinstance(value, dict):
        raise ProfileError("", 'A profile is a JSON object, such as {"latency": 0.2, "errors": 0.1}.')
    unknown = next((name for name in value if name not in MEMBERS), None)
    if unknown is not None:
        raise ProfileError(str(unknown), f"There is no such member. There are: {', '.join(sorted(MEMBERS))}.")
    members: JsonObject = {}
    for name, given in value.items():
        if name in _NUMBERS:
            members[name] = _number(name, given, *_NUMBERS[name])
        elif name in _INTEGERS:
            members[name] = _integer(name, given, *_INTEGERS[name])
        elif name in _SWITCHES:
            members[name] = _switch(name, given)
    if "error" in value:
        members["error"] = _error(value["error"], channels)
    if "outage" in value:
        members["outage"] = _outage(value["outage"])
    if "webhooks" in value:
        members["webhooks"] = _webhooks(value["webhooks"])
    _check_together(members, channels)
    return Profile(**members)


def _number(name: str, given: Any, least: float, most: float) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not least <= given <= most:
        raise ProfileError(name, f"A number from {least:g} to {most:g} is expected.")
    return given


def _integer(name: str, given: Any, least: int, most: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        raise ProfileError(name, f"A whole number from {least} to {most} is expected.")
    return given


def _switch(name: str, given: Any) -> bool:
    if not isinstance(given, bool):
        raise ProfileError(name, "true or false is expected.")
    return given


def _error(given: Any, channels: tuple[str, ...]) -> str:
    for channel in channels:
        if given not in ASKED[channel]:
            codes = ", ".join(f'"{code}"' for code in ASKED[channel])
            raise ProfileError("error", f"A transient error of {channel} is expected, as text: {codes}.")
    return str(given)


def _outage(given: Any) -> str:
    if given not in OUTAGES:
        raise ProfileError("outage", '"503" or "refused" is expected.')
    return str(given)


def _webhooks(given: Any) -> WebhookFaults:
    if not isinstance(given, dict):
        raise ProfileError("webhooks", 'An object is expected, such as {"duplicate": 0.2}.')
    for name, value in given.items():
        if name not in _WEBHOOKS:
            raise ProfileError(f"webhooks.{name}", f"There is no such member. There are: {', '.join(_WEBHOOKS)}.")
        _number(f"webhooks.{name}", value, *_WEBHOOKS[name])
    return WebhookFaults(**given)


def _check_together(members: JsonObject, channels: tuple[str, ...]) -> None:
    total = math.fsum(members.get(name, 0) for name in SHARES)
    if total > 1 + 1e-9:
        names = ", ".join(SHARES)
        raise ProfileError(
            next(name for name in SHARES if members.get(name)),
            f"The shares of {names} exclude each other, so they add up to at most 1; these add up to {total:g}.",
        )
    if members.get("quota") and channels != ("line",):
        raise ProfileError("quota", "Only LINE has a monthly limit. Set it on the channel line alone.")
    if members.get("error") and not members.get("errors"):
        raise ProfileError("error", 'It says which error, but no share says how often. Add "errors", from 0 to 1.')
