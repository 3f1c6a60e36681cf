"""When a part that was not sent is tried again: pure arithmetic.

Exponential back-off with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): the n-th wait is drawn
between half and the whole of ``base · 2ⁿ⁻¹``, at most ``maximum``. A wait that the platform names is kept to the second,
with a little jitter on top so that a crowd does not come back at once; nobody is believed who names more than a week.
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


def wait_seconds(attempt: int, named: float | None, rng: Random, backoff: Backoff = DEFAULT) -> float:
    """Return how long to wait after the *attempt*-th failed try (from 1); *named* is the platform's own wait."""
    if named is not None:
        return min(max(0.0, named), NAMED_MAXIMUM) + rng.uniform(0.0, 0.25)
    ceiling = min(backoff.maximum, backoff.base * 2.0 ** min(max(attempt, 1) - 1, 30))
    return rng.uniform(ceiling / 2, ceiling)
