"""What this process remembers of the messages that wait, so that the store need not be asked again; bounded.

Nothing here is needed for a message to go on: the store has what its attempts came to, and until when it was to wait.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import Final

from kurir.clock import Clock
from kurir.delivery.past import Past
from kurir.store.base import QueuedMessage

#: Parts that wait whose past is remembered; that of others is read from the store.
REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Remembered:
    """The past of a part that waits, true while it has so many marks in that run."""

    run: int
    marks: int
    past: Past


class Memory:
    """The pasts of parts that wait, and the waits that this process keeps by its monotonic clock.

    ``order`` numbers what happens in this process. ``doubts_from``: a part in doubt whose past is not remembered came into
    it before the moment of this number: before the process began (0), or before something was forgotten last.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = clock.monotonic()
        self._began: dict[str, float] = {}
        self._pasts: dict[tuple[str, int], _Remembered] = {}
        self._waits: dict[str, None] = {}
        self.order = count(1)
        self.doubts_from = 0

    def began(self, account_id: str) -> None:
        """Another node may have worked for the account until now: what is remembered may not be true any more."""
        self._began[account_id] = self._clock.monotonic()
        self._pasts.clear()
        self._waits.clear()
        self.forgot()

    def take_past(self, tid: str, part: int, run: int, marks: int) -> Past | None:
        """Return and forget the past of a part in *run* after so many *marks*; None where it is not known."""
        found = self._pasts.pop((tid, part), None)
        return found.past if found is not None and (found.run, found.marks) == (run, marks) else None

    def keep_past(self, tid: str, part: int, run: int, marks: int, past: Past) -> None:
        """Remember the past of a part that waits."""
        key = tid, part
        self._pasts.pop(key, None)
        if len(self._pasts) >= REMEMBERED:
            del self._pasts[next(iter(self._pasts))]
            self.forgot()
        self._pasts[key] = _Remembered(run, marks, replace(past))

    def forgot(self) -> None:
        """Something is not remembered that may have come into doubt up to this moment."""
        self.doubts_from = next(self.order)

    def waited(self, wait: str) -> bool:
        """Return whether *wait* is kept by the monotonic clock."""
        return wait in self._waits

    def note_wait(self, wait: str) -> None:
        """Remember a wait that is kept by the monotonic clock: a wall clock that jumps does not begin it again."""
        if len(self._waits) >= REMEMBERED:
            del self._waits[next(iter(self._waits))]
        self._waits[wait] = None

    def rest_left(self, queued: QueuedMessage, now: datetime) -> float:
        """Return how long *queued* still has to rest that waited before this process began, once for each wait.

        A clock that was set back meanwhile makes no wait longer than it was meant to be.
        """
        until, since = queued.waiting_until, queued.waiting_since
        here = any((queued.tid, part.number) in self._pasts for part in queued.parts)
        if until is None or here or queued.tid in self._waits:
            return 0.0
        self.note_wait(queued.tid)
        left = (until - now).total_seconds()
        if since is None:
            return left
        # Of the wait, at least: it began before this process did, or before the account was its own.
        elapsed = self._clock.monotonic() - self._began.get(queued.account_id, self._started)
        return min(left, (until - since).total_seconds() - elapsed)
