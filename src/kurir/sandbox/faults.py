"""What goes wrong on command: the profile of a channel, and the decision about each request.

Everything here is a function of a profile and of the moments that are passed in: no clock, no I/O, no shared random
numbers. Whether the n-th message after a profile was set is refused, lost or answered with rubbish depends on the
profile's seed, the channel and n alone, so that a run that went badly can be run again. Only what is about time by its
nature (true rates, waits that an answer named, a profile's end) depends on the moments.
"""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

from kurir.sandbox.config import CHANNELS

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
#: The rate limit errors that a share draws from, and whom each is about: the whole account or one recipient. Telegram
#: does not say whom; its limits of a few seconds are a chat's (https://core.telegram.org/bots/faq#my-bot-is-hitting-limits).
ACCOUNT: Final = "account"
RECIPIENT: Final = "recipient"
THROTTLES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "whatsapp": (("130429", ACCOUNT), ("131056", RECIPIENT)),
    "telegram": (("429", RECIPIENT),),
    "line": (("429", ACCOUNT),),
    "messenger": (("613", ACCOUNT),),
}
#: What a channel answers beyond a true rate: the account's, the recipient's.
RATE_CODES: Final[Mapping[str, tuple[str, str]]] = {
    "whatsapp": ("130429", "131056"),
    "telegram": ("429", "429"),
    "line": ("429", "429"),
    "messenger": ("613", "613"),
}
#: Recipients whose rate or wait is remembered; beyond, the one that was silent the longest is forgotten.
MAX_RECIPIENTS: Final = 100_000
#: What an answer of Telegram names at least, since it always names a wait; seconds.
LEAST_WAIT: Final = 1
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
#: The faults under which the platform takes the message all the same.
TAKEN: Final = frozenset({Fault.NONE, Fault.TIMEOUT_AFTER, Fault.CUT_AFTER, Fault.HALF_BODY, Fault.GARBAGE})


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


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to one request.

    *code* is the platform's own for a refusal. *wait* is the whole seconds that the answer names, 0 for none; *early* is true
    when the request came while a wait that was named before was running. *delay* is the seconds before the answer,
    *hold* the seconds that a connection without an answer stays open. *usage* is the percentage of Meta's headers.
    """

    fault: Fault = Fault.NONE
    code: str = ""
    wait: int = 0
    early: bool = False
    delay: float = 0.0
    hold: float = 0.0
    usage: int | None = None
    regain_minutes: int = 0

    @property
    def taken(self) -> bool:
        """Whether the platform works on the request, whatever becomes of the answer."""
        return self.fault in TAKEN


@dataclass(frozen=True, slots=True)
class WebhookFate:
    """What happens to one webhook: posted so many times (0: dropped), *delay* seconds late, after the next one."""

    copies: int = 1
    delay: float = 0.0
    late: bool = False


NOTHING: Final = Decision()
POSTED: Final = WebhookFate()


@dataclass(slots=True)
class _Bucket:
    """A token bucket: *rate* tokens a second, as many at once, at least one."""

    rate: float
    tokens: float
    at: float

    def take(self, now: float) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        self.tokens = min(max(self.rate, 1.0), self.tokens + (now - self.at) * self.rate)
        self.at = now
        # A hair less than one is one: a sum of small refills must not come short by a rounding error.
        if self.tokens >= 1.0 - 1e-9:
            self.tokens -= 1.0
            return 0.0
        return (1.0 - self.tokens) / self.rate


def _full(rate: float, now: float) -> _Bucket:
    return _Bucket(rate, max(rate, 1.0), now)


@dataclass(slots=True)
class _Wait:
    """A wait that an answer named: until when it runs, and what is answered meanwhile."""

    until: float
    fault: Fault
    code: str


@dataclass(slots=True)
class _Running:
    """One channel's profile at work."""

    profile: Profile
    until: float
    counts: dict[str, int] = field(default_factory=dict)
    account: _Bucket | None = None
    recipients: "OrderedDict[str, _Bucket]" = field(default_factory=OrderedDict)
    account_wait: _Wait | None = None
    waits: "OrderedDict[str, _Wait]" = field(default_factory=OrderedDict)


class Faults:
    """The profiles of a sandbox. Moments are seconds of one clock that never goes back."""

    def __init__(self) -> None:
        self._running: dict[str, _Running] = {}

    def __bool__(self) -> bool:
        """Whether any channel may have a profile; the one question that a request without faults costs."""
        return bool(self._running)

    def put(self, channel: str, profile: Profile, now: float) -> None:
        """Replace the channel's profile; its sequence of decisions begins anew."""
        until = now + profile.seconds if profile.seconds is not None else math.inf
        self._running[channel] = _Running(profile, until)

    def clear(self, channel: str = "") -> None:
        """Drop the profile of *channel*; of every channel without one."""
        for name in [channel] if channel else CHANNELS:
            self._running.pop(name, None)

    def profile(self, channel: str, now: float) -> Profile | None:
        """Return the channel's profile, None when it has none or its time is over."""
        running = self._at(channel, now)
        return running.profile if running else None

    def left(self, channel: str, now: float) -> float | None:
        """Return the seconds that the channel's profile still holds, None when it has no end."""
        running = self._at(channel, now)
        return running.until - now if running and math.isfinite(running.until) else None

    def _at(self, channel: str, now: float) -> _Running | None:
        running = self._running.get(channel)
        if running is not None and now >= running.until:
            del self._running[channel]
            return None
        return running

    # --- Requests -----------------------------------------------------------------------------------------------------

    def decide(self, channel: str, address: str, now: float) -> Decision:
        """Return what happens to a message for *address*, and count it."""
        running = self._at(channel, now)
        if running is None:
            return NOTHING
        profile = running.profile
        draw, jitter, choice = _draws(running, channel, "message")
        fault, code, wait, early = self._fault(running, channel, address, (draw, choice), now)
        return Decision(
            fault,
            code,
            wait,
            early,
            profile.latency + profile.jitter * jitter,
            profile.hold,
            profile.usage,
            profile.regain_minutes,
        )

    def decide_other(self, channel: str, now: float) -> Decision:
        """Return what happens to a request that sends nothing: only the channel's outage, token, time and headers."""
        running = self._at(channel, now)
        if running is None:
            return NOTHING
        profile = running.profile
        _, jitter, _ = _draws(running, channel, "other")
        fault, code = _whole_channel(profile)
        delay = profile.latency + profile.jitter * jitter
        return Decision(fault, code, delay=delay, usage=profile.usage, regain_minutes=profile.regain_minutes)

    def refund(self, channel: str, address: str) -> None:
        """Give back what a message took of the true rates, since the platform refused it for another reason."""
        running = self._running.get(channel)
        if running is None:
            return
        for bucket in (running.account, running.recipients.get(address)):
            if bucket is not None:
                bucket.tokens += 1.0

    def _fault(
        self, running: _Running, channel: str, address: str, draws: tuple[float, float], now: float
    ) -> tuple[Fault, str, int, bool]:
        """Return the fault, its code, the wait that the answer names, and whether the request came too early."""
        profile, (draw, choice) = running.profile, draws
        fault, code = _whole_channel(profile)
        if fault:
            return fault, code, 0, False
        waiting = _waiting(running, address, now)
        if waiting is not None:
            return waiting.fault, waiting.code, math.ceil(waiting.until - now), True
        if profile.quota:
            return Fault.QUOTA, "429", 0, False
        if profile.blocked and address and _share(f"{profile.seed}:{channel}:blocked:{address}") < profile.blocked:
            return Fault.BLOCKED, "", 0, False
        fault = _drawn(profile, draw)
        if fault is Fault.ERRORS:
            mix = MIXED[channel]
            return fault, profile.error or mix[int(choice * len(mix))], 0, False
        if fault is Fault.THROTTLE:
            kinds = THROTTLES[channel]
            code, scope = kinds[int(choice * len(kinds))]
            named = _named(channel, profile.retry_after, LEAST_WAIT)
            _begin_wait(running, _Wait(now + named, fault, code), address, scope, now)
            return fault, code, named, False
        if fault in TAKEN:
            limited = self._beyond_rate(running, channel, address, now)
            if limited is not None:
                return limited
        return fault, "", 0, False

    def _beyond_rate(
        self, running: _Running, channel: str, address: str, now: float
    ) -> tuple[Fault, str, int, bool] | None:
        """Take from the true rates; return the refusal when one of them has nothing left."""
        profile = running.profile
        own = None
        if profile.recipient_rate is not None and address:
            own = _recipient_bucket(running, address, profile.recipient_rate, now)
            missing = own.take(now)
            if missing:
                named = _named(channel, profile.retry_after, missing)
                wait = _Wait(now + named, Fault.RECIPIENT_RATE, RATE_CODES[channel][1])
                _begin_wait(running, wait, address, RECIPIENT, now)
                return wait.fault, wait.code, named, False
        if profile.rate is not None:
            running.account = running.account or _full(profile.rate, now)
            missing = running.account.take(now)
            if missing:
                if own is not None:
                    own.tokens += 1.0
                named = _named(channel, profile.retry_after, missing)
                wait = _Wait(now + named, Fault.RATE, RATE_CODES[channel][0])
                _begin_wait(running, wait, address, ACCOUNT, now)
                return wait.fault, wait.code, named, False
        return None

    # --- Webhooks -----------------------------------------------------------------------------------------------------

    def webhook(self, channel: str, now: float) -> WebhookFate:
        """Return what happens to the channel's next webhook, and count it."""
        running = self._at(channel, now)
        if running is None:
            return POSTED
        faults = running.profile.webhooks
        draw, delay, other = _draws(running, channel, "webhook")
        # Dropped first; the two others are drawn apart from each other, since a webhook may well be late and doubled.
        if draw < faults.drop:
            return WebhookFate(copies=0)
        doubled = _share(f"{running.profile.seed}:{channel}:doubled:{running.counts['webhook']}") < faults.duplicate
        return WebhookFate(2 if doubled else 1, faults.delay * delay, other < faults.reorder)


def _draws(running: _Running, channel: str, stream: str) -> tuple[float, float, float]:
    """Return three numbers in [0, 1) for the next one of *stream*."""
    running.counts[stream] = count = running.counts.get(stream, 0) + 1
    digest = hashlib.blake2b(f"{running.profile.seed}:{channel}:{stream}:{count}".encode(), digest_size=18).digest()
    first, second, third = (int.from_bytes(digest[at : at + 6], "big") / 2**48 for at in (0, 6, 12))
    return first, second, third


def _share(key: str) -> float:
    """Return a number in [0, 1) that belongs to *key*."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest(), "big") / 2**48


def _whole_channel(profile: Profile) -> tuple[Fault, str]:
    if profile.outage:
        return Fault.OUTAGE, profile.outage
    return (Fault.EXPIRED_TOKEN, "") if profile.expired_token else (Fault.NONE, "")


def _drawn(profile: Profile, draw: float) -> Fault:
    """Return the one of the shares in which *draw* falls."""
    edge = 0.0
    for fault in SHARES:
        edge += getattr(profile, fault)
        if draw < edge:
            return fault
    return Fault.NONE


def _named(channel: str, asked: float | None, missing: float) -> int:
    """Return the wait that an answer names, in whole seconds as the header has it. Others than Telegram name one on wish."""
    if asked is not None:
        return math.ceil(asked)
    return max(LEAST_WAIT, math.ceil(missing)) if channel == "telegram" else 0


def _begin_wait(running: _Running, wait: _Wait, address: str, scope: str, now: float) -> None:
    """Let a wait run from now on, when it has a length."""
    if wait.until <= now:
        return
    if scope == ACCOUNT:
        running.account_wait = wait
    elif address:
        running.waits[address] = wait
        running.waits.move_to_end(address)
        while len(running.waits) > MAX_RECIPIENTS:
            running.waits.popitem(last=False)


def _waiting(running: _Running, address: str, now: float) -> _Wait | None:
    """Return the longest wait that runs for a message to *address*."""
    waits = [wait for wait in (running.account_wait, running.waits.get(address)) if wait and wait.until > now]
    return max(waits, key=lambda wait: wait.until, default=None)


def _recipient_bucket(running: _Running, address: str, rate: float, now: float) -> _Bucket:
    bucket = running.recipients.get(address)
    if bucket is None:
        bucket = running.recipients[address] = _full(rate, now)
        while len(running.recipients) > MAX_RECIPIENTS:
            running.recipients.popitem(last=False)
    running.recipients.move_to_end(address)
    return bucket
