"""The bounded window of an account's queue that is in memory, and its order.

A lane is the messages of one (account, address). Within a lane the head blocks the rest; lanes do not block each other.
The window holds so many messages at most, and so many of one lane, that a million queued messages do not grow the
process and one long lane does not hide the others: what does not fit stays in the store, and the lane remembers from
where to fetch it. A lane that rests holds no message at all, so that a thousand recipients whose platform fails leave
the whole window to the others, and what is fetched when the rest is over is as the store knows it then.

Pure bookkeeping: no I/O, no clock of its own.
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
#: Lanes of one account that are known at once, most of them by a few numbers only.
LANES: Final = 4096


@dataclass(slots=True)
class Lane:
    """The messages of one address, in order.

    ``left`` maps a stored lane to the seq after which messages of it were left in the store; while there are any, new ones
    are left too, since they come after those. ``head`` is the message that went first before the lane rested (stored
    lane and seq): it stays first, since its parts may have begun. ``names`` are the stored lanes that are led here.
    """

    key: str
    messages: deque[QueuedMessage] = field(default_factory=deque)
    known: set[int] = field(default_factory=set)
    left: dict[str, int] = field(default_factory=dict)
    head: tuple[str, int] | None = None
    names: set[str] = field(default_factory=set)
    running: bool = False
    resting: bool = False


class Lanes:
    """The lanes of one account. Times are monotonic seconds.

    A message is added once, however often the store is read; :meth:`reading` is called before each read, so that what
    leaves while the read is under way is not taken in again by its old picture.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._homes: dict[str, Lane] = {}
        self._ready: OrderedDict[str, Lane] = OrderedDict()
        self._hungry: OrderedDict[str, Lane] = OrderedDict()
        self._resting: list[tuple[float, str]] = []
        self._gone: set[int] = set()
        self.size = 0

    def room(self) -> int:
        """Return how many messages still fit."""
        return WINDOW_MESSAGES - self.size

    def ready(self) -> int:
        """Return how many lanes have a head that may go now."""
        return len(self._ready)

    def count(self) -> int:
        """Return how many lanes are known."""
        return len(self._lanes)

    def home(self, name: str) -> str | None:
        """Return the key of the lane that the stored lane *name* is led to, while there is one.

        It goes on there until the lane is empty, so that a contact linked in between lets nothing overtake.
        """
        lane = self._homes.get(name)
        return None if lane is None else lane.key

    def reading(self) -> None:
        """The store is read from now on: what left before this moment is in no answer any more."""
        self._gone.clear()

    def add(self, key: str, message: QueuedMessage) -> bool:
        """Put *message* at the end of its lane, unless it is in memory already; where there is no room it is left.

        False: it would need one lane more than there may be, and nothing was noted.
        """
        lane = self._homes.get(message.lane) or self._lanes.get(key)
        if message.seq in self._gone or (lane is not None and message.seq in lane.known):
            return True
        if lane is None:
            if len(self._lanes) >= LANES:
                return False
            lane = self._lanes[key] = Lane(key)
        lane.names.add(message.lane)
        self._homes[message.lane] = lane
        if lane.left or len(lane.messages) >= LANE_MESSAGES or self.room() <= 0:
            self._leave(lane, message)
        else:
            self._append(lane, message)
        self._settle(lane)
        return True

    def next(self) -> tuple[Lane, QueuedMessage] | None:
        """Take the head of the lane that has waited longest; the lane is busy until :meth:`done` or :meth:`rest`."""
        if not self._ready:
            return None
        _, lane = self._ready.popitem(last=False)
        lane.running = True
        return lane, lane.messages[0]

    def done(self, lane: Lane) -> None:
        """The head has left: the lane goes on with the next one, after the other lanes."""
        seq = lane.messages.popleft().seq
        lane.known.discard(seq)
        self._gone.add(seq)
        self.size -= 1
        lane.running = False
        self._settle(lane)

    def rest(self, lane: Lane, until: float) -> None:
        """The head stays, and the lane with it, until *until*. Its messages are fetched anew then."""
        head = lane.messages[0]
        lane.head = head.lane, head.seq
        for message in lane.messages:
            self._leave(lane, message)
        self.size -= len(lane.messages)
        lane.messages.clear()
        lane.known.clear()
        lane.running = False
        lane.resting = True
        self._settle(lane)
        heapq.heappush(self._resting, (until, lane.key))

    def wake(self, now: float) -> float | None:
        """End the rests that are over; return when the next one is, None when no lane rests."""
        while self._resting and self._resting[0][0] <= now:
            _, key = heapq.heappop(self._resting)
            lane = self._lanes[key]
            lane.resting = False
            self._settle(lane)
        return self._resting[0][0] if self._resting else None

    def hungry(self) -> Lane | None:
        """Return the lane that has waited longest of those of which more is in the store and few are left in memory.

        None also where there is no room.
        """
        return next(iter(self._hungry.values()), None) if self.room() > 0 else None

    def refill(self, lane: Lane, fetched: Iterable[QueuedMessage], beyond: dict[str, int]) -> None:
        """Add what was fetched of a hungry lane, by seq; *beyond* maps a stored lane to where its fetch ended early.

        A lane that has gone to rest since it was read is not touched. Where room is short a lane gets a share of it.
        """
        if lane.resting:
            return
        first, lane.head = lane.head, None
        lane.left = dict(beyond)
        limit = min(LANE_MESSAGES, len(lane.messages) + max(1, self.room() // 8))
        for message in sorted(fetched, key=lambda one: ((one.lane, one.seq) != first, one.seq)):
            if message.seq in lane.known or message.seq in self._gone:
                continue
            heads = (message.lane, message.seq) == first
            after_all = heads or not any(after < message.seq for after in lane.left.values())
            if after_all and len(lane.messages) < limit and self.room() > 0:
                self._append(lane, message)
            else:
                self._leave(lane, message)
        self._hungry.pop(lane.key, None)  # if it still is, it goes behind the others
        self._settle(lane)

    def _append(self, lane: Lane, message: QueuedMessage) -> None:
        lane.messages.append(message)
        lane.known.add(message.seq)
        self.size += 1

    @staticmethod
    def _leave(lane: Lane, message: QueuedMessage) -> None:
        after = message.seq - 1
        lane.left[message.lane] = min(lane.left.get(message.lane, after), after)

    def _settle(self, lane: Lane) -> None:
        """Bring what is ready and what is hungry in line with *lane*; forget it when nothing of it is left."""
        if lane.left and not lane.resting and len(lane.messages) <= LANE_LOW:
            self._hungry.setdefault(lane.key, lane)
        else:
            self._hungry.pop(lane.key, None)
        if lane.running or lane.resting:
            return
        if lane.messages:
            self._ready.setdefault(lane.key, lane)
        elif not lane.left:
            del self._lanes[lane.key]
            for name in lane.names:
                del self._homes[name]
