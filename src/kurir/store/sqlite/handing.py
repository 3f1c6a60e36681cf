"""Handing jobs from the event loop to a thread, a turn of the loop at a time.

To hand each over by itself took a tenth of the gateway's processor, since each time the thread is woken. So what is asked for
in one turn of the loop is handed over at its end, together, and shares the commit or the transaction that it would have shared
by luck before.
"""

import asyncio
import queue
from typing import Generic, TypeVar

J = TypeVar("J")


class Inbox(Generic[J]):
    """Jobs on their way to one thread, in their order."""

    def __init__(self) -> None:
        self._turns: queue.SimpleQueue[list[J] | None] = queue.SimpleQueue()
        self._turn: list[J] = []  # the loop's
        self._taken: list[J] = []  # the thread's, as the rest is
        self._ended = False

    def put(self, loop: asyncio.AbstractEventLoop, job: J) -> None:
        """Hand *job* over at the end of this turn of *loop*, whose thread calls this."""
        if not self._turn:
            loop.call_soon(self._hand_over)
        self._turn.append(job)

    def end(self) -> None:
        """Hand over what is here and nothing after it. On the loop's thread."""
        self._hand_over()
        self._turns.put(None)

    def _hand_over(self) -> None:
        if self._turn:
            jobs, self._turn = self._turn, []
            self._turns.put(jobs)

    def take(self, most: int) -> tuple[list[J], bool]:
        """Wait for a job, and return it with what else is here, up to *most*; and whether more may come. The thread's."""
        while len(self._taken) < most and not self._ended:
            try:
                jobs = self._turns.get(block=not self._taken)
            except queue.Empty:
                break
            if jobs is None:
                self._ended = True
            else:
                self._taken.extend(jobs)
        batch, self._taken = self._taken[:most], self._taken[most:]
        return batch, bool(self._taken) or not self._ended
