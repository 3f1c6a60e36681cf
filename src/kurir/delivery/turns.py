"""Who works next: turns at the processor, fair between clients.

Sending a message is little work around a long wait for the platform. The waits cost nothing; the work of all messages
shares one processor and one database. So the work, and only the work, is done in turns: a few at once, and of those who
wait first the urgent ones, then one client after the other, however many messages and accounts each of them has.
"""

import asyncio
from collections import OrderedDict, deque
from typing import Final

from kurir.domain.message import Priority

#: Turns at once: enough that those who wait for the disk share a commit.
TURNS: Final = 32
#: Every so many turns go to those of lower priority first, so that nobody starves.
OTHERS: Final = 4


class Turns:
    """Turns of work. Within one event loop."""

    def __init__(self, turns: int = TURNS) -> None:
        self._free = turns
        self._given = 0
        self._high: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._other: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    def turn(self, client_id: str, priority: Priority) -> "Turn":
        """Wait for a turn, and have it for as long as the ``async with`` block lasts."""
        return Turn(self, client_id, priority)

    def waiting(self) -> int:
        """Return how many wait."""
        return sum(len(queue) for queues in (self._high, self._other) for queue in queues.values())

    async def take(self, client_id: str, priority: Priority) -> None:
        """Wait for a turn, which is to be passed on."""
        if self._free > 0:
            self._free -= 1
            return
        queues = self._high if priority is Priority.HIGH else self._other
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queues.setdefault(client_id, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.pass_on()  # it was given the turn in the moment it was cancelled
            raise

    def pass_on(self) -> None:
        """End a turn: whoever is next has it."""
        self._given += 1
        order = (self._other, self._high) if self._given % OTHERS == 0 else (self._high, self._other)
        for queues in order:
            while queues:
                client_id, queue = queues.popitem(last=False)
                following = _living(queue)
                if queue:
                    queues[client_id] = queue  # behind the other clients
                if following is not None:
                    following.set_result(None)
                    return
        self._free += 1


class Turn:
    """A turn that is wanted, and then had."""

    __slots__ = ("_client_id", "_priority", "_turns")

    def __init__(self, turns: Turns, client_id: str, priority: Priority) -> None:
        self._turns = turns
        self._client_id = client_id
        self._priority = priority

    async def __aenter__(self) -> None:
        await self._turns.take(self._client_id, self._priority)

    async def __aexit__(self, *_: object) -> None:
        self._turns.pass_on()


def _living(queue: deque[asyncio.Future[None]]) -> asyncio.Future[None] | None:
    """Take the first of *queue* that still waits."""
    while queue:
        future = queue.popleft()
        if not future.done():
            return future
    return None
