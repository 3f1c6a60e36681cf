"""Whether an account's platform answers, as far as calls showed it, and when it is looked at: pure arithmetic.

A part in doubt may have left already. Sent again into an outage whose answers cannot be read, it would only use up the
copies that a part may have. So it waits for a sign of life: any answer that is the platform's, to any call of the account.
Where no other call brings one, the worker makes a call that sends nothing (:meth:`kurir.channels.base.Channel.look`).
Times are monotonic seconds that the caller passes in, randomness comes from its Random.
"""

import math
from collections.abc import Iterator
from random import Random
from typing import Final

from kurir.channels.base import Answer
from kurir.delivery.breaker import PROBES
from kurir.delivery.retry import steady_seconds

#: The rung of the longest wait between two looks: a minute.
_LAST_RUNG: Final = 7


def shows_life(answer: object) -> bool:
    """Return whether *answer* is the platform's own, whatever it says: a JSON object, and no failure of a server.

    A proxy before a platform that is away answers 5xx, most often with a page; all four platforms answer with objects.
    """
    return isinstance(answer, Answer) and answer.status < 500 and answer.json() is not None


class Life:
    """Which sign of life of the platform was the last, and when it is looked at next; *rng* draws the moments of the looks.

    *order* numbers what happens in this process, so that before and after are told without a clock: it is shared with
    those who come into doubt. ``last_sign`` is the number of the last sign, 0 before the first; ``due_at``: the next look is
    made no earlier.
    """

    def __init__(self, rng: Random, order: Iterator[int]) -> None:
        self.last_sign = 0
        self.due_at = -math.inf
        self._order = order
        self._rng = rng
        self._rung = 0

    def heard(self, now: float) -> None:
        """An answer of the platform came: what follows is looked at soon again."""
        self.last_sign = next(self._order)
        self._rung = 0
        self.due_at = min(self.due_at, now + PROBES.base)

    def looked(self, now: float, *, alive: bool) -> None:
        """A look has ended. The next one comes after about 1, 2, 4 … 60 s without an answer, and after 1 s with one."""
        if alive:
            self.heard(now)
        self._rung = min(self._rung + 1, _LAST_RUNG)
        self.due_at = now + steady_seconds(self._rung, self._rng, PROBES)
