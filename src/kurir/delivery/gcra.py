"""One rate limit: the generic cell rate algorithm (ITU-T I.371 and ATM Forum Traffic Management 4.0).

In the form of the continuous-state leaky bucket, which they show to be the same as virtual scheduling: one number a limit,
exact, and no timer. Pure arithmetic: times are monotonic seconds that the caller passes in as ``now``.
"""

import math
from typing import Final

from kurir.domain.account import Rate

#: Rounding of monotonic seconds: what is so near counts as reached. (A float of a year's uptime is exact to 4e-9 s.)
ROUNDING_SECONDS: Final = 1e-6


class Gcra:
    """One limit: at most ``burst + t · count / seconds`` calls in any *t* seconds.

    ``Rate(80, 1, 1)`` is one call every 12.5 ms; ``Rate(1, 6, 45)`` is 45 calls at once, then one every 6 s. None is no
    limit, but may be held. The state is the backlog: how many seconds at full speed until the whole burst is free again.
    """

    __slots__ = ("_at", "_backlog", "_factor", "_interval", "_loose_at", "_tolerance", "held_until", "rate")

    def __init__(self, rate: Rate | None) -> None:
        self.held_until = -math.inf
        self._backlog = 0.0
        self._factor = 1.0
        self._at = self._loose_at = -math.inf
        self._use(rate)

    @property
    def interval(self) -> float:
        """The seconds from one call to the next at full speed, 0 without a limit."""
        return self._interval

    def free_at(self, now: float) -> float:
        """Return when a call may go, *now* if it may at once; at the latest, where the limit is slowed."""
        moment = max(now, self._at)
        wait = (self._backlog_at(moment) - self._tolerance) / self._factor
        return max(self.held_until, moment + wait if wait > ROUNDING_SECONDS else now)

    def take(self, now: float) -> None:
        """Count a call that is made now. One that was not free counts too, and those after it wait for it."""
        self._advance(now)
        if self._backlog < self._interval:
            self._loose_at = now
        self._backlog += self._interval

    def give_back(self, taken_at: float) -> None:
        """Count no more the call that was taken at *taken_at* and not made.

        Its room is gone where the bucket was (nearly) full again in between: a burst may have used it since.
        """
        if taken_at >= self._loose_at:
            self._backlog = max(0.0, self._backlog - self._interval)

    def hold(self, until: float) -> None:
        """Let nothing go before *until*, and one call at that moment: no burst is saved up by waiting."""
        self.held_until = max(self.held_until, until)

    def slow(self, now: float, factor: float) -> None:
        """Go on at *factor* of the rate (0 < factor ≤ 1; 1 is the whole). What was counted stays counted."""
        if not 0.0 < factor <= 1.0:
            raise ValueError(f"a factor of {factor} is not above 0 and at most 1")
        self._advance(now)
        self._factor = factor

    def change(self, now: float, rate: Rate | None) -> None:
        """Go on by another *rate*. A call that would have gone goes; as many calls as were too many are too many."""
        self._advance(now)
        beyond = (self._backlog - self._tolerance) / self._interval if self._interval else 0.0
        self._use(rate)
        self._backlog = max(0.0, self._tolerance + beyond * self._interval)

    def full(self, now: float) -> bool:
        """Return whether nothing is remembered: the whole burst is free and nothing is held."""
        return self.held_until <= now and self._backlog_at(now) <= 0.0

    def _use(self, rate: Rate | None) -> None:
        self.rate = rate
        self._interval = rate.seconds / rate.count if rate else 0.0
        self._tolerance = self._interval * (rate.burst - 1) if rate else 0.0

    def _advance(self, now: float) -> None:
        if now > self._at:
            self._backlog = self._backlog_at(now)
            if self._at < self.held_until <= now:
                self._loose_at = self.held_until
            self._at = now

    def _backlog_at(self, now: float) -> float:
        backlog, at = self._backlog, self._at
        if at < self.held_until <= now:
            backlog = max(self._tolerance, backlog - (self.held_until - at) * self._factor)
            at = self.held_until
        return max(0.0, backlog - max(0.0, now - at) * self._factor)
