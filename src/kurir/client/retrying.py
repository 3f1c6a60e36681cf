"""When to ask again, and after how long. Pure.

A 429 and a 503 of the gateway say that nothing was done, as no connection does: any call may be repeated after them. Where no
answer came, or a proxy gave one (502, 504), it is not known what was done: only what is harmless to repeat is repeated.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from kurir.client.errors import NO_ANSWER, NOT_REACHED, STREAM_ENDED, KurirError

_NOTHING_DONE: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_UNKNOWN: Final = (HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT)


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a call is repeated at most, and how long is waited before, in seconds.

    The first wait is about ``first``, each next one twice as long, none longer than ``longest``. A ``Retry-After`` is waited
    for as it stands; one beyond ``longest`` is not, and the error is raised with it. ``times = 0`` switches repeats off.
    """

    times: int = 3
    first: float = 0.5
    longest: float = 30.0

    def wait(
        self, done: int, error: KurirError, *, repeatable: bool, chance: Callable[[], float] = random.random
    ) -> float | None:
        """Return how long to wait before the next try after *done* repeats, None when *error* is to be raised."""
        if done >= self.times or not (_nothing_done(error) or (_unknown(error) and repeatable)):
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= self.longest else None
        return self.step(done, chance)

    def step(self, done: int, chance: Callable[[], float] = random.random) -> float:
        """Return the wait after *done* repeats: many clients of one gateway must not come back at the same moment."""
        whole = min(self.longest, self.first * 2.0 ** min(done, 30))
        return whole * (0.5 + 0.5 * chance())


#: Told of an error of a feed, and of the seconds that are waited before the gateway is asked again.
OnOutage = Callable[[KurirError, float], None]


class Outage:
    """How long a feed has been without the gateway. It asks again until *patience* seconds have passed; None: for ever."""

    def __init__(self, retries: Retries, patience: float | None, told: OnOutage | None) -> None:
        self._retries = retries
        self._patience = patience
        self._told = told
        self._failures = 0
        self._since: float | None = None

    def over(self) -> None:
        """The gateway answered."""
        self._failures, self._since = 0, None

    def wait(self, error: KurirError, now: float) -> float | None:
        """Return how long to wait before asking again, None when *error* is to be raised. *now* is of a steady clock."""
        if not (_nothing_done(error) or _unknown(error)):
            return None
        self._since = now if self._since is None else self._since
        left = None if self._patience is None else self._since + self._patience - now
        if left is not None and left <= 0:
            return None
        named = error.retry_after
        wait = (
            named if named is not None and named <= 10 * self._retries.longest else self._retries.step(self._failures)
        )
        self._failures += 1
        wait = wait if left is None else min(wait, left)
        if self._told is not None:
            self._told(error, wait)
        return wait


def _nothing_done(error: KurirError) -> bool:
    return error.code == NOT_REACHED or error.status in _NOTHING_DONE


def _unknown(error: KurirError) -> bool:
    return error.code in (NO_ANSWER, STREAM_ENDED) or error.status in _UNKNOWN
