"""When a part that was not sent is tried again: pure arithmetic.

Exponential back-off with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): the n-th wait is drawn
between nothing and ``base · 2ⁿ⁻¹``, at most ``maximum``. Where the platform's pages name the waits for a code, theirs are
kept, with a little on top. A wait that an answer names is kept to the second, with a little on top so that a crowd does not
come back at once; nobody is believed who names more than a week.
"""

from dataclasses import dataclass
from random import Random
from typing import Final


@dataclass(frozen=True, slots=True)
class Backoff:
    """The shape of the waits, in seconds."""

    base: float = 1.0
    maximum: float = 300.0


DEFAULT: Final = Backoff()
#: The longest wait before a part is sent again of which nobody knows whether it left: each time may be one too many.
UNKNOWN_MAXIMUM: Final = 3600.0
#: The longest wait that a platform may name, whatever number its answer holds.
NAMED_MAXIMUM: Final = 7 * 86_400.0
#: The longest wait that follows from the growth which a platform's pages name.
GROWN_MAXIMUM: Final = 3600.0


def wait_seconds(attempt: int, rng: Random, backoff: Backoff = DEFAULT) -> float:
    """Return how long to wait after the *attempt*-th failed try, counted from 1."""
    return rng.uniform(0.0, _ceiling(attempt, backoff))


def steady_seconds(attempt: int, rng: Random, backoff: Backoff = DEFAULT) -> float:
    """Return the same, but drawn from the upper half: for what only one sender does, such as probing a platform."""
    ceiling = _ceiling(attempt, backoff)
    return rng.uniform(ceiling / 2, ceiling)


def named_seconds(named: float, rng: Random) -> float:
    """Return how long to wait where the answer names *named* seconds."""
    return min(max(0.0, named), NAMED_MAXIMUM) + rng.uniform(0.0, 0.25)


def grown_seconds(attempt: int, base: float, growth: float, rng: Random) -> float:
    """Return the *attempt*-th of the waits ``base · growthⁿ⁻¹`` that a platform's pages name, and up to a quarter more."""
    return min(base * growth ** min(max(attempt, 1) - 1, 30), max(base, GROWN_MAXIMUM)) * rng.uniform(1.0, 1.25)


def _ceiling(attempt: int, backoff: Backoff) -> float:
    return min(backoff.maximum, backoff.base * 2.0 ** min(max(attempt, 1) - 1, 30))
