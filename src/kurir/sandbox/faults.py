"""What goes wrong on command: the decision about each request under the profile of its channel.

Everything here is a function of a profile and of the moments that are passed in: no clock, no I/O, no shared random
numbers. Whether the n-th message after a profile was set is refused, lost or answered with rubbish depends on the
profile's seed, the channel and n alone, so that a run that went badly can be run again. Only what is about time by its
nature (true rates, waits that an answer named, a profile's end) depends on the moments.
"""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kurir.sandbox.config import CHANNELS
from kurir.sandbox.profiles import MIXED, SHARES, Fault, Profile

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
#: The faults under which the platform takes the message all the same.
TAKEN: Final = frozenset({Fault.NONE, Fault.TIMEOUT_AFTER, Fault.CUT_AFTER, Fault.HALF_BODY, Fault.GARBAGE})


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
