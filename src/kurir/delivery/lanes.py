"""The bounded window of an account's queue that is in memory, and its order.

A lane is the messages of one (account, address). Within a lane the head blocks the rest; lanes do not block each other.
The window holds so many messages at most, and so many of one lane, that a million queued messages do not grow the
process and one long lane does not hide the others: what does not fit stays in the store, and the lane remembers from
where to fetch it. Pure bookkeeping: no I/O, no clock of its own.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from kurir.store.base import QueuedMessage

#: Messages of one lane in memory; when few are left the lane is fetched again.
LANE_MESSAGES: Final = 32
LANE_LOW: Final = 8
#: Messages of one account in memory.
WINDOW_MESSAGES: Final = 1024


@dataclass(slots=True)
class Lane:
    """The messages of one address, in order.

    ``left`` maps a stored lane to the seq after which messages of it were left in the store; while there are any, new ones
    are left too, since they come after those.
    """

    key: str
    messages: deque[QueuedMessage] = field(default_factory=deque)
    known: set[int] = field(default_factory=set)
    left: dict[str, int] = field(default_factory=dict)
    running: bool = False
    resting: bool = False


class Lanes:
    """The lanes of one account. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._ready: OrderedDict[str, Lane] = OrderedDict()
        self._resting: list[tuple[float, str]] = []
        self._left: dict[str, Lane] = {}
        self.size = 0

    def room(self) -> int:
        """Return how many messages still fit."""
        return WINDOW_MESSAGES - self.size

    def ready(self) -> int:
        """Return how many lanes have a head that may go now."""
        return len(self._ready)

    def add(self, key: str, message: QueuedMessage) -> None:
        """Put *message* at the end of its lane, unless it is in memory already; a full lane leaves it in the store."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
        if message.seq in lane.known:
            return
        if lane.left or len(lane.messages) >= LANE_MESSAGES:
            self._leave(lane, message)
        else:
            self._append(lane, message)

    def next(self) -> tuple[Lane, QueuedMessage] | None:
        """Take the head of the lane that has waited longest; the lane is busy until :meth:`done` or :meth:`rest`."""
        if not self._ready:
            return None
        _, lane = self._ready.popitem(last=False)
        lane.running = True
        return lane, lane.messages[0]

    def done(self, lane: Lane) -> None:
        """The head has left: the lane goes on with the next one, after the other lanes."""
        lane.known.discard(lane.messages.popleft().seq)
        self.size -= 1
        lane.running = False
        self._settle(lane)

    def rest(self, lane: Lane, until: float) -> None:
        """The head stays, and the lane with it, until *until*."""
        lane.running = False
        lane.resting = True
        heapq.heappush(self._resting, (until, lane.key))

    def replace_head(self, lane: Lane, message: QueuedMessage) -> None:
        """Put the head as it is stored now in place of the one in memory."""
        lane.messages[0] = message

    def wake(self, now: float) -> float | None:
        """Make the lanes ready whose rest is over; return when the next one's is, None when none rests."""
        while self._resting and self._resting[0][0] <= now:
            _, key = heapq.heappop(self._resting)
            lane = self._lanes[key]
            lane.resting = False
            self._settle(lane)
        return self._resting[0][0] if self._resting else None

    def hungry(self) -> list[Lane]:
        """Return the lanes of which more is in the store and few are left in memory."""
        return [lane for lane in self._left.values() if len(lane.messages) <= LANE_LOW]

    def refill(self, lane: Lane, fetched: Iterable[QueuedMessage], beyond: dict[str, int]) -> None:
        """Add what was fetched of a hungry lane, by seq; *beyond* maps a stored lane to where its fetch ended early."""
        lane.left = dict(beyond)
        for message in sorted(fetched, key=lambda one: one.seq):
            if message.seq in lane.known:
                continue
            if len(lane.messages) < LANE_MESSAGES and not any(after < message.seq for after in lane.left.values()):
                self._append(lane, message)
            else:
                self._leave(lane, message)
        if not lane.left:
            self._left.pop(lane.key, None)
        self._settle(lane)

    def _append(self, lane: Lane, message: QueuedMessage) -> None:
        lane.messages.append(message)
        lane.known.add(message.seq)
        self.size += 1
        self._settle(lane)

    def _leave(self, lane: Lane, message: QueuedMessage) -> None:
        after = message.seq - 1
        lane.left[message.lane] = min(lane.left.get(message.lane, after), after)
        self._left[lane.key] = lane

    def _settle(self, lane: Lane) -> None:
        """Make the lane ready when its head may go; forget it when nothing of it is left."""
        if lane.running or lane.resting:
            return
        if lane.messages:
            self._ready.setdefault(lane.key, lane)
        elif not lane.left:
            self._lanes.pop(lane.key, None)
