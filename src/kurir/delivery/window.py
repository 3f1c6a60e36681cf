"""How many calls of one account may be in flight: a window that learns how many the platform bears.

Postfix has such a window for each destination. With its feedback of 1/N a success widens a window of N calls by 1/N, so
by one for each round of calls (SCHEDULER_README). Trouble halves it here, as it does TCP's (RFC 5681): the platforms name
no number of connections to settle at, and a storm has to be left quickly. Pure arithmetic, no clock of its own.
"""

import math


class Window:
    """A window of at least 1 and at most *maximum* calls; whole at the beginning. Raises ValueError below 1."""

    def __init__(self, maximum: int) -> None:
        self._maximum = _at_least_one(maximum)
        self._width = float(maximum)
        self._shrunk_at = -math.inf

    @property
    def size(self) -> int:
        """How many calls may be in flight."""
        return int(self._width)

    def went_well(self) -> None:
        """The platform answered a call and is well: whatever it said of the message, it did not ask us to slow down."""
        self._width = min(float(self._maximum), self._width + 1 / self.size)

    def went_badly(self, now: float, began: float) -> bool:
        """A call that *began* then was throttled, failed on the platform's side, or got no answer. Monotonic seconds.

        Halves the window once for all calls that had begun when it was halved last, and returns whether it did.
        """
        if began <= self._shrunk_at:
            return False
        self._shrunk_at = now
        self._width = max(1.0, self._width / 2)
        return True

    def resize(self, maximum: int) -> None:
        """Take another maximum; a window that was whole stays so. Raises ValueError below 1."""
        whole = self._width >= self._maximum
        self._maximum = _at_least_one(maximum)
        self._width = float(maximum) if whole else min(self._width, float(maximum))


def _at_least_one(maximum: int) -> int:
    if maximum < 1:
        raise ValueError(f"a window of {maximum} lets nothing through; it has to be at least 1")
    return maximum
