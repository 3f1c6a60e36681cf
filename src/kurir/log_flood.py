"""Keeps what is wrong with everything at once from being told once for each thing: a database that is away, 500 sends.

Within a second each event is told once, and some more than once while there are few lines. The next line of an event says how
many like it were left out. What becomes of an account or of a lease is told of each.
"""

import time
from collections.abc import Callable
from typing import Any, Final

import structlog

#: So many lines within a second are let through, whatever they tell.
FREE: Final = 3


class FloodGate:
    """A processor of structlog. Events are told apart by their names, of which there are as many as the code has."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._lines = 0
        self._told: set[str] = set()
        self._left_out: dict[str, int] = {}

    def __call__(self, logger: Any, name: str, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - structlog's signature
        """Return *event*, with ``left_out`` where lines like it were left out before. Raises DropEvent."""
        now, word = self._clock(), str(event.get("event"))
        if word.startswith(("account_", "lease_")):
            return event
        if now - self._since >= 1.0:
            self._since, self._lines = now, 0
            self._told.clear()
        if word in self._told and self._lines >= FREE:
            self._left_out[word] = self._left_out.get(word, 0) + 1
            raise structlog.DropEvent
        self._told.add(word)
        self._lines += 1
        left_out = self._left_out.pop(word, 0)
        return {**event, "left_out": left_out} if left_out else event
