"""The breaker of one account: stops its calls while the platform is away or has stopped it, and probes.

Closed, open, half-open (Nygard, "Release It!"; Postfix's *dead destination*, SCHEDULER_README). While open no call is
made. When the probe is due, one call may be in flight: a message of the queue, since the platforms have nothing cheaper
that proves as much. Where the outage's answers could not be read, a message that is sent into it may be a copy too many,
so a call that sends nothing goes first (a *look*), and a message only when that was answered. Pure: times are monotonic
seconds that the caller passes in, randomness comes from its Random.

Calls that fail open it when :data:`THRESHOLD` of them follow each other without a success between, at two recipients at
least. One recipient alone may be poisoned (a chat whose calls the platform never answers), so it takes twice as many,
and what that costs the others is bounded: the first probe comes within a second, none later than a minute, and the first
success of anybody closes it.
"""

import math
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from random import Random
from typing import Final

from kurir.delivery.retry import Backoff, steady_seconds
from kurir.store.base import ErrorRecord

#: Failures in a row that open the breaker; twice as many where they are of one recipient.
THRESHOLD: Final = 5
#: When it is probed, in seconds: after about 1, 2, 4 … 60, each drawn between half and the whole.
PROBES: Final = Backoff(base=1.0, maximum=60.0)
#: The rung that a stopped account begins on: the operator has to mend it, and that takes a while.
_LAST_RUNG: Final = 7


class State(StrEnum):
    """Whether calls are made."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Says how many of *maximum* calls may be in flight; *rng* draws the moments of the probes.

    ``probe_at``: when the next probe is due, minus infinity while closed. ``since``: when the first of the calls began that
    failed in a row; when the platform stopped the account.
    """

    def __init__(self, maximum: int, rng: Random) -> None:
        self.probe_at = -math.inf
        self.since = -math.inf
        self._maximum = maximum
        self._rng = rng
        self._error: ErrorRecord | None = None
        self._stopped_at: float | None = None
        self._failures: Counter[str] = Counter()
        self._worked_at = -math.inf
        self._rung = 0
        self._unreadable = False
        self._alive = False

    @property
    def reason(self) -> ErrorRecord | None:
        """Why it is open: the platform's reason to stop the account, or the last failure's; None while closed."""
        return self._error

    @property
    def stopped(self) -> bool:
        """Whether it is open because the platform stopped the account, which only the operator can mend."""
        return self._stopped_at is not None

    @property
    def blind(self) -> bool:
        """Whether a look has to show that the platform answers before a message is a probe; it is due at ``probe_at``."""
        return self._error is not None and not self.stopped and self._unreadable and not self._alive

    def state(self, now: float) -> State:
        """Return whether calls are made now; half-open from the moment when a probe is due until its outcome is told."""
        if self._error is None:
            return State.CLOSED
        return State.HALF_OPEN if now >= self.probe_at and not self.blind else State.OPEN

    def allowed(self, now: float) -> int:
        """Return how many calls may be in flight: all while closed, none while open, one when a probe is due."""
        if self._error is None:
            return self._maximum
        return 1 if self.state(now) is State.HALF_OPEN else 0

    def resize(self, maximum: int) -> None:
        """Take another maximum of calls in flight."""
        self._maximum = maximum

    def failed(self, now: float, began: float, address: str, error: ErrorRecord, *, unreadable: bool = False) -> bool:
        """A call to *address* that *began* then ended like an outage; return whether that opened the breaker.

        Like an outage: the platform could not be reached, did not answer, or said that it is unavailable. Not counted:
        a call that began before the last success came, or while open was no probe. A probe that failed delays the next.
        *unreadable*: nobody knows whether the call did what it was to do.
        """
        if self._error is not None:
            if began >= self.probe_at and not self.blind:
                if self._stopped_at is None:
                    self._error = error
                    self._unreadable = self._unreadable or unreadable
                self._alive = False
                self._climb(now)
            return False
        if began < self._worked_at:
            return False
        self._unreadable = self._unreadable or unreadable
        if not self._failures:
            self.since = began
        self._failures[address] += 1
        needed = THRESHOLD if len(self._failures) > 1 else 2 * THRESHOLD
        if self._failures.total() < needed:
            return False
        self._open(now, error)
        return True

    def looked(self, now: float, *, alive: bool) -> None:
        """A look has ended. Where one had to come first, a message may be the probe now, or the next look is put off."""
        if not self.blind:
            return
        self._alive = alive
        if alive:
            self.probe_at = now
        else:
            self._climb(now)

    def trip(self, now: float, reason: ErrorRecord) -> bool:
        """The platform stopped the account: open at once, probe once or twice a minute until the operator has mended it.

        Returns whether that is news: it was closed, or open for a reason with another code.
        """
        news = self._error is None or self._error.code != reason.code
        if self._stopped_at is None:
            self.since = now
        self._stopped_at = now
        self._rung = _LAST_RUNG
        self._open(now, reason)
        return news

    def worked(self, now: float, began: float) -> bool:
        """The platform answered a call that *began* then as it should; return whether that closed the breaker.

        After an outage any answer closes it, also to a call of before: the platform lives. An account that the platform
        stopped is closed by calls only that began later: that its token was good before proves nothing.
        """
        self._worked_at = now
        self._failures.clear()
        if self._error is None:
            self._unreadable = False
        if self._error is None or (self._stopped_at is not None and began <= self._stopped_at):
            return False
        self._close()
        return True

    def reset(self) -> None:
        """Close it: the operator says that the account works again."""
        self._failures.clear()
        self._close()

    def explain(self, time_of: Callable[[float], datetime]) -> ErrorRecord | None:
        """Return the reason as a sentence for the operator; None while closed.

        *time_of* gives the wall time of a monotonic moment.
        """
        if self._error is None:
            return None
        what = "no call has worked" if self._stopped_at is None else "the platform has stopped the account"
        since, due = (time_of(moment).strftime("%H:%M:%S %Z").strip() for moment in (self.since, self.probe_at))
        detail = f"{what} since {since}; next try at {due}; the last one: {self._error.detail}"
        return ErrorRecord(self._error.code, detail, self._error.provider_code)

    def _open(self, now: float, error: ErrorRecord) -> None:
        self._error = error
        self._failures.clear()
        self._climb(now)

    def _close(self) -> None:
        self._error = None
        self._stopped_at = None
        self._unreadable = self._alive = False
        self._rung = 0
        self.probe_at = -math.inf

    def _climb(self, now: float) -> None:
        self._rung = min(self._rung + 1, _LAST_RUNG)
        self.probe_at = now + steady_seconds(self._rung, self._rng, PROBES)
