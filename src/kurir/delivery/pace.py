"""The share of its rate at which an account goes, learned from the platform's answers.

A throttled account is slowed as TCP slows a connection, halved at once and regained bit by bit (RFC 5681): several nodes
and products may share the platform's limit, and nobody says so. Pure arithmetic: times are monotonic seconds.
"""

import math
from typing import Final

#: The least share of its rate that a throttled account keeps.
FLOOR: Final = 1 / 64
#: The whole rate is back so long after the last throttle: 10 s less than the 60 s within which it has to be seen again.
RECOVERY_SECONDS: Final = 50.0
#: The rate comes back over at least so long after a wait that the platform asked for.
RAMP_SECONDS: Final = 30.0
#: Meta's usage headers: from here on slower, from there on as slow as it gets, in percent. The headers are Meta's, these
#: two thresholds are ours.
USAGE_FROM: Final = 80.0
USAGE_TO: Final = 95.0
CRAWL: Final = 1 / 16
#: So long is a usage header believed.
USAGE_SECONDS: Final = 60.0


class Pace:
    """The share of its rate at which an account goes, from 1 down to :data:`FLOOR`, as the platform's answers teach it.

    Throttles and usage are two shares; the smaller one holds. ``throttled_at``: when it was halved last.
    """

    def __init__(self) -> None:
        self.throttled_at = -math.inf
        self._low = 1.0
        self._ramp_from = self._ramp_to = -math.inf
        self._percent = 0.0
        self._told_at = -math.inf

    def throttled(self, now: float, began: float, wait: float | None) -> bool:
        """Halve the share for a call that *began* then and was throttled; *wait* seconds the platform asked for.

        The share is halved once for all calls that had begun when it was halved last: a burst of them is one event.
        Returns whether it was halved.
        """
        fresh = began > self.throttled_at
        if not fresh and wait is None:
            return False
        share = self._regained(now)
        self._low = max(FLOOR, share / 2) if fresh else share
        if fresh:
            self.throttled_at = now
        self._rest(now + (wait or 0.0), now + RECOVERY_SECONDS if fresh else now)
        return fresh

    def usage(self, now: float, percent: float, regain_seconds: float) -> None:
        """Take note of Meta's usage header: the greatest of its percentages, and the seconds until calls pass again.

        Slower from 80 % on, down to a sixteenth at 95 %; believed for a minute. After a blockade, when the header is
        stale, the rate comes back over half a minute. (Meta, "Rate limiting", ``X-Business-Use-Case-Usage``.)
        """
        self._percent = percent
        self._told_at = now
        if regain_seconds > 0:
            self._low = min(self._regained(now), CRAWL)
            self._rest(now + regain_seconds, now)

    def factor(self, now: float) -> float:
        """Return the share of its rate at which the account goes now."""
        return min(self._regained(now), self._left(now))

    def why(self, now: float) -> str:
        """Return why the account is slowed, for people; "" where it is not."""
        factor = self.factor(now)
        if factor >= 1.0:
            return ""
        cause = "the platform throttled the account"
        if self._left(now) <= factor:
            cause = f"the platform says that {self._percent:.0f} % of the account's calls are used up"
        return f"{cause}; it sends at {max(1, int(100 * factor))} % of its rate"

    def _rest(self, until: float, least: float) -> None:
        """Stay as low as it is until *until*, and be back not before *least*."""
        self._ramp_from = max(self._ramp_from, until)
        self._ramp_to = max(self._ramp_to, least, until + RAMP_SECONDS)

    def _regained(self, now: float) -> float:
        if now >= self._ramp_to:
            return 1.0
        if now <= self._ramp_from:
            return self._low
        way = (now - self._ramp_from) / (self._ramp_to - self._ramp_from)
        return self._low + (1.0 - self._low) * way

    def _left(self, now: float) -> float:
        if now - self._told_at > USAGE_SECONDS:
            return 1.0
        way = min(1.0, max(0.0, (self._percent - USAGE_FROM) / (USAGE_TO - USAGE_FROM)))
        return 1.0 - (1.0 - CRAWL) * way
