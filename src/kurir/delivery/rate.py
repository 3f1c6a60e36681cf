"""How fast an account may call its platform: limits, what the platform's answers teach about them, when a call may go.

Pure arithmetic: times are monotonic seconds that the caller passes in as ``now``. The platforms' own
algorithms are not public and their published limits soft ("obey retry_after, do not tune"), so the configured rates only
start it off.

A moment that is given back here is one to ask again at, not a reservation: who comes first then, goes.
"""

import heapq
import math
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from kurir.channels.base import Scope
from kurir.configuration.values import show_rate
from kurir.delivery.gcra import Gcra
from kurir.delivery.pace import Pace
from kurir.delivery.retry import NAMED_MAXIMUM
from kurir.domain.account import Rate

#: The longest wait of our own after throttles without a named one, doubled from 1 s: of a recipient, and of the account
#: (which has to be back at its rate within 60 s of the last one).
RECIPIENT_MAXIMUM: Final = 60.0
ACCOUNT_MAXIMUM: Final = 16.0
#: So long after its wait a recipient's earlier throttles count, unless a call worked.
REPEATS_SECONDS: Final = 300.0
#: Where an account has no limit, its rate is measured over so long.
OBSERVED_SECONDS: Final = 5.0
#: Recipients of one account that are remembered; half of them may be such that the platform wants to wait.
KEPT: Final = 100_000

#: The limits that do not count the calls of the account that name them.
_NOT_BY_CALL: Final = frozenset({"account", "recipient", "group"})
_WAIT_RECIPIENT: Final = "the platform asked to wait with this recipient"


@dataclass(slots=True)
class _Recipient:
    """What is remembered of one recipient: its limit, how many throttles came in a row, and when the last one did."""

    limit: Gcra
    repeats: int = 0
    throttled_at: float = -math.inf

    def idle(self, now: float) -> bool:
        """Return whether nothing is lost by forgetting it."""
        return self.limit.full(now) and (not self.repeats or now >= self.limit.held_until + REPEATS_SECONDS)


@dataclass(slots=True)
class _Recipients:
    """The recipients that are remembered, oldest use first; those that the platform holds stand apart and stay."""

    kept: int
    loose: OrderedDict[str, _Recipient] = field(default_factory=OrderedDict)
    held: dict[str, _Recipient] = field(default_factory=dict)
    ends: list[tuple[float, str]] = field(default_factory=list)

    def find(self, address: str) -> _Recipient | None:
        return self.held.get(address) or self.loose.get(address)

    def use(self, now: float, address: str, rate: Rate | None) -> _Recipient:
        """Return the recipient, made if there was none, as the one used last; forget two that may be, if there are."""
        self._release(now)
        found = self.held.get(address)
        if found is not None:
            return found
        found = self.loose.pop(address, None) or _Recipient(Gcra(rate))
        for _ in range(2):  # two for one: what was remembered in a rush is forgotten after it
            oldest = next(iter(self.loose), None)
            if oldest is not None and self.loose[oldest].idle(now):
                del self.loose[oldest]
        if self.loose and len(self.loose) + len(self.held) >= self.kept:
            self.loose.popitem(last=False)
        self.loose[address] = found
        return found

    def hold(self, address: str, until: float) -> bool:
        """Hold the recipient, which is in use, until then; False where too many are held."""
        if address not in self.held:
            if len(self.held) >= self.kept // 2:
                return False
            self.held[address] = self.loose.pop(address)
        held = self.held[address].limit
        if until > held.held_until:
            held.hold(until)
            heapq.heappush(self.ends, (until, address))
        return True

    def _release(self, now: float) -> None:
        while self.ends and self.ends[0][0] <= now:
            _, address = heapq.heappop(self.ends)
            found = self.held.get(address)
            if found is not None and found.limit.held_until <= now:
                self.loose[address] = self.held.pop(address)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a throttle said of the wait: the seconds that the answer named, or the shape that the documentation gives."""

    wait: float | None
    base: float
    growth: float

    def seconds(self, repeats: int, maximum: float) -> float:
        """Return how long to wait after so many throttles in a row before this one."""
        if self.wait is not None:
            return min(NAMED_MAXIMUM, max(1.0, self.wait))
        return max(self.base, min(maximum, max(1.0, self.base) * self.growth ** min(repeats, 10)))


class Rates:
    """All limits of one account.

    *limits* are the account's, by name; None is unlimited. ``account`` counts every call and each name that a call gives
    (``push``, ``reply``, ``media``) those calls. ``recipient`` and ``group`` count the calls to one address: a call that
    names ``group`` counts to that *instead of* ``recipient``, where there is such a limit, since Telegram's 20 a minute
    are for groups and its one a second, with short bursts, for private chats (Bot API FAQ, "My bot is hitting limits").
    Where ``group`` is switched off, ``recipient`` holds for groups too.

    *widens*: the platform's throttles do not say whether they mean the recipient or the account (Telegram's 429), so that
    two recipients' at a time mean the account. False where the platform's codes tell.
    """

    def __init__(self, limits: Mapping[str, Rate | None], *, widens: bool, kept: int = KEPT) -> None:
        self._configured = limits.get("account")
        self._recipient = limits.get("recipient")
        self._group = limits.get("group")
        self._widens = widens
        self._account = Gcra(self._configured)
        self._calls = {name: Gcra(rate) for name, rate in limits.items() if name not in _NOT_BY_CALL and rate}
        self._recipients = _Recipients(kept)
        self._pace = Pace()
        self._repeats = 0
        self._asked: tuple[str, float] = ("", -math.inf)
        self._held_for = ""
        self._observed: deque[tuple[int, int]] = deque()
        self._promised: dict[str, float] = {}

    # --- before a call --------------------------------------------------------------------------------------------------

    def free_at(self, now: float, address: str, names: Sequence[str] = ()) -> float:
        """Return when a call to *address* that counts to the limits *names* may go; *now* if it may at once."""
        moments = [limit.free_at(now) for limit in self._named(names)]
        return max(self.account_free_at(now), self.recipient_free_at(now, address), *moments)

    def account_free_at(self, now: float) -> float:
        """Return when the account's own limit lets a call go."""
        self._keep_pace(now)
        return self._account.free_at(now)

    def recipient_free_at(self, now: float, address: str) -> float:
        """Return when the limit of *address* lets a call go."""
        found = self._recipients.find(address)
        return now if found is None else found.limit.free_at(now)

    def take_slot(self, now: float) -> None:
        """Count a call of the account that is about to be made; to whom is counted by :meth:`take_call`."""
        self._keep_pace(now)
        self._account.take(now)
        if self._configured is None:
            self._observe(now)

    def turn_at(self, now: float, names: Sequence[str]) -> float:
        """Return when a call that counts to the limits *names* has its turn; *now*: at once.

        Who has to wait is given a moment of its own, one after the other: else all who wait would come back at the same
        moment, and all but one of them in vain.
        """
        turn = now
        for name in names:
            limit = self._calls.get(name)
            free_at = now if limit is None else limit.free_at(now)
            if limit is not None and free_at > now:
                last = self._promised.get(name, free_at - limit.interval)
                self._promised[name] = max(free_at, last + limit.interval)
                turn = max(turn, self._promised[name])
            elif self._promised.get(name, now) <= now:
                self._promised.pop(name, None)
        return turn

    def take_call(self, now: float, address: str, names: Sequence[str] = ()) -> None:
        """Count a call to *address* that is made now, but for the account, whose slot was taken."""
        for limit in self._named(names):
            limit.take(now)
        rate = self._group if "group" in names and self._group else self._recipient
        if rate is not None:
            limit = self._recipients.use(now, address, rate).limit
            if limit.rate != rate:  # it was remembered before a call told that it is a group
                limit.change(now, rate)
            limit.take(now)

    def take(self, now: float, address: str, names: Sequence[str] = ()) -> None:
        """Count a call to *address* that is made now."""
        self.take_slot(now)
        self.take_call(now, address, names)

    def give_back_slot(self, taken_at: float) -> None:
        """Count no more the call of :meth:`take_slot` at *taken_at*, which is not made."""
        self._account.give_back(taken_at)

    def give_back_call(self, taken_at: float, address: str, names: Sequence[str] = ()) -> None:
        """Count no more the call of :meth:`take_call` at *taken_at*, which is not made."""
        found = self._recipients.find(address)
        for limit in (*self._named(names), *((found.limit,) if found else ())):
            limit.give_back(taken_at)

    def give_back(self, taken_at: float, address: str, names: Sequence[str] = ()) -> None:
        """Count no more the call that was taken at *taken_at* (the ``now`` of :meth:`take`) and was not made."""
        self.give_back_slot(taken_at)
        self.give_back_call(taken_at, address, names)

    def asked_to_wait(self, now: float, address: str) -> float:
        """Return how many seconds the platform still wants no call to *address*, 0.0 when it does not say so."""
        found = self._recipients.find(address)
        until = max(self._account.held_until, found.limit.held_until if found else -math.inf)
        return max(0.0, until - now)

    # --- after a call ---------------------------------------------------------------------------------------------------

    def throttled(
        self,
        now: float,
        began: float,
        address: str,
        scope: Scope,
        wait: float | None,
        base: float = 0.0,
        growth: float = 2.0,
    ) -> None:
        """Take note that the platform throttled a call that *began* then; *wait* are the seconds that its answer named.

        A named wait is kept to the second (at least 1 s, at most a week), and nothing is added. Without one, whom *scope*
        names waits *base* seconds (1 s for 0), and *growth* times as long for each throttle in a row: a recipient up to
        60 s, the account up to 16 s, and neither less than *base* (:class:`kurir.channels.base.Retry`). A throttled
        account is slowed too (:class:`Pace`); one without a limit takes the rate that it had as its limit until it is
        back. With *widens*, a second recipient's throttle while a first one waits is the account's too. A throttle of
        the part alone changes nothing.
        """
        asked = _Asked(wait, base, growth)
        if scope is Scope.ACCOUNT:
            self._account_throttled(now, began, asked)
        elif scope is Scope.RECIPIENT:
            self._recipient_throttled(now, began, address, asked)

    def usage(self, now: float, percent: float, regain_seconds: float = 0.0) -> None:
        """Take note of a usage header (see :meth:`Pace.usage`): nothing goes for *regain_seconds*."""
        regain = min(NAMED_MAXIMUM, max(0.0, regain_seconds))
        self._pace.usage(now, percent, regain)
        if regain:
            self._hold_account(now + regain, "the platform closed the account's calls for a while: too many were made")
        self._keep_pace(now)

    def worked(self, now: float, address: str, began: float | None = None) -> None:
        """Take note that the platform took a call that *began* then (*now* if it is not said): repeats are over."""
        moment = now if began is None else began
        if moment > self._pace.throttled_at:
            self._repeats = 0
        found = self._recipients.find(address)
        if found is not None and moment > found.throttled_at:
            found.repeats = 0

    def hold(self, until: float, why: str) -> None:
        """Let nothing of the account go before *until*: what the platform asked of the process before this one."""
        self._hold_account(until, why)

    # --- for people -----------------------------------------------------------------------------------------------------

    def factor(self, now: float) -> float:
        """Return the share of its rate at which the account goes now, 1 for the whole."""
        return self._pace.factor(now)

    def held(self, now: float) -> tuple[str, float] | None:
        """Return why the platform wants nothing of the account now, and until when; None when it does not say so."""
        until = self._account.held_until
        return (self._held_for, until) if until > now else None

    def slowed(self, now: float) -> str:
        """Return why the account is slower than its limit, in a sentence; "" when it is not."""
        return self._pace.why(now)

    def named_free_at(self, now: float, name: str) -> float:
        """Return when the limit *name*, of the account or of a kind of call, lets a call go; *now* for any other name."""
        if name == "account":
            return self.account_free_at(now)
        limit = self._calls.get(name)
        return now if limit is None else limit.free_at(now)

    def busy_recipients(self, now: float) -> int:
        """Return how many recipients the platform asked to wait with."""
        return sum(one.limit.held_until > now for one in self._recipients.held.values())

    def explain(self, now: float, address: str, names: Sequence[str] = ()) -> tuple[str, float] | None:
        """Return why a call to *address* has to wait, in a sentence, and until when; None when it may go."""
        found = self._recipients.find(address)
        reasons = [(self.account_free_at(now), self._why_account(now))]
        if found is not None:
            held = found.limit.held_until > now
            words = f"this recipient gets at most {show_rate(found.limit.rate)}"
            reasons.append((found.limit.free_at(now), _WAIT_RECIPIENT if held else words))
        for name in names:
            if name in self._calls:
                limit = self._calls[name]
                words = f"the account makes at most {show_rate(limit.rate)} calls of the kind {name}"
                reasons.append((limit.free_at(now), words))
        until, sentence = max(reasons)
        return (sentence, until) if until > now else None

    def _why_account(self, now: float) -> str:
        if self._account.held_until > now:
            return self._held_for
        return self._pace.why(now) or f"the account sends at most {show_rate(self._account.rate)}"

    # --- inside ---------------------------------------------------------------------------------------------------------

    def _named(self, names: Sequence[str]) -> list[Gcra]:
        return [self._calls[name] for name in names if name in self._calls]

    def _hold_account(self, until: float, why: str) -> None:
        if until > self._account.held_until:
            self._held_for = why
            self._account.hold(until)

    def _account_throttled(self, now: float, began: float, asked: _Asked) -> None:
        fresh = began > self._pace.throttled_at
        if not fresh and asked.wait is None:
            return
        seconds = asked.seconds(self._repeats, ACCOUNT_MAXIMUM)
        if fresh:
            self._repeats += 1
        self._pace.throttled(now, began, seconds)
        self._hold_account(now + seconds, "the platform throttled the account")
        self._keep_pace(now)

    def _recipient_throttled(self, now: float, began: float, address: str, asked: _Asked) -> None:
        found = self._recipients.use(now, address, self._recipient)
        fresh = began > found.throttled_at
        if not fresh and asked.wait is None:
            return
        until = now + asked.seconds(found.repeats, RECIPIENT_MAXIMUM)
        if fresh:
            found.throttled_at = now
            found.repeats += 1
        if not self._recipients.hold(address, until):
            # Nobody would remember this one's wait, and it is kept all the same: by everybody.
            self._hold_account(until, "more recipients have to wait than are remembered one by one")
        first, first_until = self._asked
        if self._widens and first != address and now < first_until:
            self._account_throttled(now, began, asked)
        if until > first_until:
            self._asked = address, until

    def _keep_pace(self, now: float) -> None:
        """Bring the account's limit in line with its pace."""
        factor = self._pace.factor(now)
        if self._configured is None:
            if factor >= 1.0 and self._account.rate is not None:
                self._account.change(now, None)
            elif factor < 1.0 and self._account.rate is None:
                self._account.change(now, self._observed_rate(now))
        self._account.slow(now, factor)

    def _observe(self, now: float) -> None:
        second = math.floor(now)
        count = self._observed.pop()[1] if self._observed and self._observed[-1][0] == second else 0
        self._observed.append((second, count + 1))
        while self._observed[0][0] < second - OBSERVED_SECONDS:
            self._observed.popleft()

    def _observed_rate(self, now: float) -> Rate:
        """Return the rate of the last seconds, at least one call a second."""
        recent = [(second, count) for second, count in self._observed if second > now - OBSERVED_SECONDS]
        seconds = max(1.0, now - recent[0][0]) if recent else 1.0
        calls = sum(count for _, count in recent)
        return Rate(calls, seconds) if calls > seconds else Rate(1, 1.0)
