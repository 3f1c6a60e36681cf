"""The bounded window of an account's queue that is in memory, and its order.

A lane is the messages of one (account, address). Within a lane the head blocks the rest; lanes do not block each other.
A message of which a part has begun goes first; then those of high priority, then all others by their place in the queue.
Among lanes the best priority that waits in a lane decides, and every few starts a lane of a lower one has its turn, so
that a flood of urgent messages starves nobody.

The window holds so many messages at most, and so many of one lane, that a million queued messages do not grow the
process and one long lane does not hide the others: what does not fit stays in the store, and the lane remembers from
where to fetch it. A lane that rests for long holds no message at all, so that a thousand recipients whose platform fails
leave the whole window to the others, and what is fetched when the rest is over is as the store knows it then.

Pure bookkeeping: no I/O, no clock of its own.
"""

import heapq
from bisect import insort
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from kurir.domain.message import Priority
from kurir.store.base import QueuedMessage

#: Messages of one class of one lane in memory; when few are left the lane is fetched again.
LANE_MESSAGES: Final = 32
LANE_LOW: Final = 8
#: Messages of one account in memory, and how many more while they are of high priority.
WINDOW_MESSAGES: Final = 1024
HIGH_MESSAGES: Final = 256
#: Lanes of one account that are known at once, most of them by a few numbers only; and how many more by high messages.
LANES: Final = 16_384
HIGH_LANES: Final = 1024

RANKS: Final = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.BULK: 2}
#: Every so many starts the lanes of this rank go first.
_TURNS: Final = ((16, 2), (4, 1))


@dataclass(slots=True)
class Track:
    """The messages of one class (high, or all others) of a lane, by seq.

    ``left``: messages above this seq were left in the store, None when there are none. Those in memory above it wait for
    the fetch, since something may stand between.
    """

    messages: list[QueuedMessage] = field(default_factory=list)
    left: int | None = None

    def leave(self, after: int) -> None:
        """Note that something above *after* is in the store and not here."""
        self.left = after if self.left is None else min(self.left, after)

    def first(self) -> QueuedMessage | None:
        """Return the message that goes first, None when there is none or when the store has to be asked first."""
        if not self.messages or (self.left is not None and self.messages[0].seq > self.left):
            return None
        return self.messages[0]

    def low(self) -> bool:
        """Return whether more is in the store and little is here that can go."""
        return self.left is not None and (len(self.messages) <= LANE_LOW or self.first() is None)

    def beyond(self, running: QueuedMessage | None) -> list[QueuedMessage]:
        """Return what is here above what was left: it is fetched again with that, but for what is being sent."""
        if self.left is None:
            return []
        return [message for message in self.messages if message.seq > self.left and message is not running]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the store had of a track, by seq, without what is not due yet. ``beyond``: there may be more above this seq."""

    messages: Iterable[QueuedMessage] = ()
    beyond: int | None = None


@dataclass(slots=True)
class Lane:
    """The messages of one address.

    ``names`` are the stored lanes that are led here. ``begun`` is the seq of a message that goes before all others since a
    part of it has begun; ``pinned`` is that message while it is in memory. ``running`` is what is being sent. ``until`` is
    when its rest is over, None while it does not rest; ``rank`` says among which lanes it is ready; ``asked``: the store
    is being asked for more of it, and what it answers is still to be taken in.
    """

    key: str
    names: list[str] = field(default_factory=list)
    high: Track = field(default_factory=Track)
    rest: Track = field(default_factory=Track)
    begun: int | None = None
    pinned: QueuedMessage | None = None
    running: QueuedMessage | None = None
    until: float | None = None
    rank: int | None = None
    asked: bool = False

    @property
    def resting(self) -> bool:
        """Whether it waits for a moment."""
        return self.until is not None

    def head(self) -> QueuedMessage | None:
        """Return what goes next, None when there is nothing or when the store has to be asked first."""
        if self.begun is not None:
            return self.pinned
        if self.high.messages or self.high.left is not None:
            return self.high.first()
        return self.rest.first()

    def lacks_head(self) -> bool:
        """Return whether its begun message has to be fetched, for which there is always room: it can only get less by it."""
        return self.begun is not None and self.pinned is None

    def wants_first(self) -> bool:
        """Return whether what goes before the others has to be fetched: what has begun, or is high."""
        return self.lacks_head() or self.high.low()

    def empty(self) -> bool:
        """Return whether nothing of it is left, here or in the store."""
        nothing_left = self.begun is None and self.high.left is None and self.rest.left is None
        return nothing_left and not self.high.messages and not self.rest.messages

    def track(self, message: QueuedMessage) -> Track:
        """Return the track that *message* belongs to."""
        return self.high if message.priority is Priority.HIGH else self.rest

    def urgency(self) -> int:
        """Return the best rank of what waits here: a normal message lifts the bulk before it."""
        if self.high.messages or self.high.left is not None:
            return 0
        pinned, messages = self.pinned, self.rest.messages
        if pinned is not None and pinned.priority is not Priority.BULK:
            return RANKS[pinned.priority]
        bulk = pinned is not None or bool(messages)
        return 2 if bulk and all(message.priority is Priority.BULK for message in messages) else 1


class Lanes:
    """The lanes of one account. Times are monotonic seconds.

    A message is added once, however often the store is read; :meth:`reading` is called before each read, so that what
    leaves while the read is under way is not taken in again by its old picture.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._homes: dict[str, Lane] = {}
        self._ready: tuple[OrderedDict[str, Lane], ...] = (OrderedDict(), OrderedDict(), OrderedDict())
        self._hungry: OrderedDict[str, Lane] = OrderedDict()
        self._hungry_first: OrderedDict[str, Lane] = OrderedDict()
        self._resting: list[tuple[float, str]] = []
        self._gone: set[int] = set()
        self._starts = 0
        self._at_rest = 0
        self.size = 0

    def room(self, *, high: bool = False) -> int:
        """Return how many messages still fit."""
        return WINDOW_MESSAGES + (HIGH_MESSAGES if high else 0) - self.size

    def has_room_for_lanes(self, *, high: bool = False) -> bool:
        """Return whether one more lane may be known."""
        return len(self._lanes) < LANES + (HIGH_LANES if high else 0)

    def ready(self, priority: Priority | None = None) -> int:
        """Return how many lanes have a head that may go now: of one priority, or all."""
        if priority is not None:
            return len(self._ready[RANKS[priority]])
        return sum(map(len, self._ready))

    def count(self) -> int:
        """Return how many lanes are known."""
        return len(self._lanes)

    def resting(self) -> int:
        """Return how many lanes rest."""
        return self._at_rest

    def home(self, name: str) -> str | None:
        """Return the key of the lane that the stored lane *name* is led to, while there is one.

        It goes on there until the lane is empty, so that a contact linked in between lets nothing overtake.
        """
        lane = self._homes.get(name)
        return None if lane is None else lane.key

    def reading(self) -> None:
        """The store is read from now on: what left before this moment is in no answer any more."""
        self._gone.clear()

    def add(self, key: str, message: QueuedMessage, *, after: int | None = None) -> bool:
        """Put *message* into its lane, unless it is there already; where there is no room it is left in the store.

        *after*: the queue was read up to this seq only, so that others of the lane may stand between it and the message:
        the lane is fetched from there. False: it would need one lane more than there may be, and nothing was noted.
        """
        lane = self._homes.get(message.lane) or self._lanes.get(key)
        if message.seq in self._gone or (lane is not None and self._knows(lane, message)):
            return True
        if lane is None:
            if not self.has_room_for_lanes(high=message.priority is Priority.HIGH):
                return False
            lane = self._lanes[key] = Lane(key)
        self._name(lane, message.lane)
        track = lane.track(message)
        if message.begun and lane.begun is None and lane.running is None:
            lane.begun, lane.pinned = message.seq, message
            self.size += 1
        elif after is not None:
            track.leave(after)
        elif lane.resting:
            track.leave(message.seq - 1)
        elif track.left is None or message.seq <= track.left:
            self._insert(lane, track, message)
        self._settle(lane)
        return True

    def next(self) -> tuple[Lane, QueuedMessage] | None:
        """Take the head of a lane: of the best rank that is ready, of those the one that has waited longest.

        The lane is busy until :meth:`done`, :meth:`rest` or :meth:`pause`.
        """
        self._starts += 1
        order = next((rank for every, rank in _TURNS if self._starts % every == 0 and self._ready[rank]), None)
        for rank in (0, 1, 2) if order is None else (order,):
            if self._ready[rank]:
                _, lane = self._ready[rank].popitem(last=False)
                lane.rank = None
                lane.running = lane.head()
                if lane.running is None:
                    raise AssertionError("a lane without a head was ready")
                return lane, lane.running
        return None

    def done(self, lane: Lane) -> None:
        """The head has left: the lane goes on with the next one, after the other lanes."""
        message = self._stop(lane)
        if lane.begun == message.seq:
            lane.begun, lane.pinned = None, None
        else:
            lane.track(message).messages.remove(message)
        self._gone.add(message.seq)
        self.size -= 1
        self._settle(lane)

    def rest(self, lane: Lane, until: float, *, begun: bool) -> None:
        """The head stays, and the lane with it, until *until*. Its messages are fetched anew then.

        *begun*: a part of the head has been called, so that nothing may go before it.
        """
        message = self._stop(lane)
        if begun:
            lane.begun = message.seq
        self._drop(lane)
        self._sleep(lane, until)

    def pause(self, lane: Lane, until: float) -> None:
        """The lane waits until *until* for its turn at the platform, as it is; where room is short it is fetched anew."""
        self._stop(lane)
        if self.size > WINDOW_MESSAGES // 2:
            self._drop(lane)
        self._sleep(lane, until)

    def wake(self, now: float) -> float | None:
        """End the rests that are over; return when the next one is, None when no lane rests."""
        while self._resting and (self._resting[0][0] <= now or not self._waits(*self._resting[0])):
            until, key = heapq.heappop(self._resting)
            if self._waits(until, key):
                self._rise(self._lanes[key])
        return self._resting[0][0] if self._resting else None

    def end_rest(self, key: str) -> None:
        """Let the lane *key* go on at once, if it is there and rests: what it waited for is known."""
        lane = self._lanes.get(key)
        if lane is not None and lane.resting:
            self._rise(lane)

    def hungry(self) -> Lane | None:
        """Return the lane that is to be fetched next, of those of which more is in the store and little is in memory.

        None also where there is no room.
        """
        for lanes, high in ((self._hungry_first, True), (self._hungry, False)):
            lane = next(iter(lanes.values()), None)
            if lane is not None and (self.room(high=high) > 0 or lane.lacks_head()):
                lane.asked = True
                return lane
        return None

    def refill(
        self,
        lane: Lane,
        names: Sequence[str],
        begun: QueuedMessage | None,
        high: Fetched,
        rest: Fetched,
    ) -> None:
        """Take in what was fetched of a hungry lane above its tracks' ``left``.

        *names*: the stored lanes that were asked; *begun*: its begun message, None when it is not queued any more. A lane
        that has rested since :meth:`hungry` gave it is not touched. Where room is short a lane gets a share of it.
        """
        if not lane.asked:
            return
        lane.asked = False
        for name in names:
            self._name(lane, name)
        if lane.begun is not None and lane.pinned is None:
            if begun is not None and begun.seq == lane.begun and begun.seq not in self._gone:
                lane.pinned = begun
                self.size += 1
            else:
                lane.begun = None
        for track, fetched in ((lane.high, high), (lane.rest, rest)):
            self._take_in(lane, track, fetched)
        self._hungry.pop(lane.key, None)  # if it still is, it goes behind the others
        self._hungry_first.pop(lane.key, None)
        self._settle(lane, front=False)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _take_in(self, lane: Lane, track: Track, fetched: Fetched) -> None:
        if track.left is None:
            return
        again = track.beyond(lane.running)
        track.messages = [message for message in track.messages if message not in again]
        self.size -= len(again)
        track.left = fetched.beyond
        limit = min(LANE_MESSAGES, len(track.messages) + max(1, self.room() // 8))
        for message in fetched.messages:
            if message.seq in self._gone or self._knows(lane, message):
                continue
            if track.left is not None and message.seq > track.left:
                break
            if len(track.messages) >= limit or self.room(high=track is lane.high) <= 0:
                track.leave(message.seq - 1)
                break
            insort(track.messages, message, key=_place)
            self.size += 1

    def _insert(self, lane: Lane, track: Track, message: QueuedMessage) -> None:
        """Put *message* at its place. What does not fit is the last one of the track, which is left in the store."""
        insort(track.messages, message, key=_place)
        self.size += 1
        if len(track.messages) > LANE_MESSAGES or self.room(high=track is lane.high) < 0:
            last = track.messages[-1]
            if last is lane.running:  # it holds its own place: what came now is before it in the queue, and comes next
                last = message
            track.messages.remove(last)
            track.leave(last.seq - 1)
            self.size -= 1

    def _drop(self, lane: Lane) -> None:
        """Forget the lane's messages, but not from where to fetch them."""
        lane.asked = False
        if lane.pinned is not None:
            lane.pinned = None
            self.size -= 1
        for track in (lane.high, lane.rest):
            if track.messages:
                track.leave(track.messages[0].seq - 1)
                self.size -= len(track.messages)
                track.messages = []

    @staticmethod
    def _stop(lane: Lane) -> QueuedMessage:
        message, lane.running = lane.running, None
        if message is None:
            raise AssertionError("nothing of this lane was being sent")
        return message

    def _sleep(self, lane: Lane, until: float) -> None:
        lane.until = until
        self._at_rest += 1
        self._settle(lane)
        heapq.heappush(self._resting, (until, lane.key))

    def _rise(self, lane: Lane) -> None:
        lane.until = None
        self._at_rest -= 1
        self._settle(lane)

    def _waits(self, until: float, key: str) -> bool:
        """Return whether this entry of the heap is still true: a rest may have ended early, and another one begun."""
        lane = self._lanes.get(key)
        return lane is not None and lane.until == until

    @staticmethod
    def _knows(lane: Lane, message: QueuedMessage) -> bool:
        if message.seq == lane.begun or (lane.running is not None and message.seq == lane.running.seq):
            return True
        return any(known.seq == message.seq for known in lane.track(message).messages)

    def _name(self, lane: Lane, name: str) -> None:
        if name not in lane.names:
            lane.names.append(name)
        self._homes.setdefault(name, lane)

    def _settle(self, lane: Lane, *, front: bool = True) -> None:
        """Bring what is ready and what is hungry in line with *lane*; forget it when nothing of it is left.

        *front*: where it has become hungry by something urgent, it is fetched before the others.
        """
        front = front and lane.urgency() < RANKS[Priority.BULK]
        first = not lane.resting and lane.wants_first()
        _note(self._hungry_first, lane, wanted=first, front=front or lane.lacks_head())
        _note(self._hungry, lane, wanted=not lane.resting and lane.rest.low(), front=front)
        if lane.running is not None or lane.resting or lane.head() is None:
            self._unready(lane)
            if lane.running is None and not lane.resting and lane.empty():
                del self._lanes[lane.key]
                for name in lane.names:
                    if self._homes.get(name) is lane:
                        del self._homes[name]
            return
        rank = lane.urgency()
        if lane.rank != rank:
            self._unready(lane)
            self._ready[rank][lane.key] = lane
            lane.rank = rank

    def _unready(self, lane: Lane) -> None:
        if lane.rank is not None:
            del self._ready[lane.rank][lane.key]
            lane.rank = None


def _note(lanes: OrderedDict[str, Lane], lane: Lane, *, wanted: bool, front: bool) -> None:
    """Let *lane* be among *lanes* or not; *front*: before those that are."""
    if not wanted:
        lanes.pop(lane.key, None)
    elif lane.key not in lanes:
        lanes[lane.key] = lane
        if front:
            lanes.move_to_end(lane.key, last=False)


def _place(message: QueuedMessage) -> int:
    return message.seq
