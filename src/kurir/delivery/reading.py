"""Reading an account's queue into its lanes: what is next of each priority, and what of a lane was left in the store.

Three streams are read, one a priority, each on its own, so that a hundred thousand bulk messages hide no urgent one. Two
of them meet in a lane (normal and bulk keep their order there); so a message is put into its lane at once only where
both were read up to it, and else the lane is fetched by itself.
"""

import math
from bisect import insort
from dataclasses import dataclass
from typing import Final

from kurir.clock import Clock
from kurir.delivery.lanes import WINDOW_MESSAGES, Fetched, Lane, Lanes
from kurir.directory import Directory
from kurir.domain import channel, recipient
from kurir.domain.message import Priority
from kurir.domain.recipient import Form, Recipient
from kurir.intake import identity
from kurir.store.base import QueuedMessage, Store

#: How often a queue is read without being told to, in seconds.
LOOK_SECONDS: Final = 1.0
#: How often a whole queue is read anew, in seconds: whatever a hint or a cursor missed is found by this. A long
#: queue is read less often, so that reading it takes at most a tenth of the time.
RESCAN_SECONDS: Final = 30.0
RESCAN_SHARE: Final = 10
BATCH: Final = 200
#: With so many messages of an account in memory what is accepted waits in the store until it is read.
OFFERED_MESSAGES: Final = WINDOW_MESSAGES // 2
#: Messages that are fetched of one lane at once, and how many lanes and batches are read before heads may start again.
LANE_BATCH: Final = 64
LANES_A_TURN: Final = 16
BATCHES_A_TURN: Final = 4
#: Messages of one account that wait for their send_at in memory, those that are due first; the rest is found by a rescan.
SCHEDULED_MESSAGES: Final = 10_000
#: A wall clock that differs by so much more from the monotonic one than before was set anew.
JUMP_SECONDS: Final = 1.0

_SHARING_LANES: Final = ((Priority.NORMAL, Priority.BULK), (Priority.BULK, Priority.NORMAL))
#: What the lane of an unresolved phone begins with (:func:`kurir.intake.identity.lane_of`).
_PHONE: Final = "phone:"


@dataclass(slots=True)
class _Stream:
    """How far one priority was read. ``seen``: everything of it up to this seq was seen once."""

    cursor: int = 0
    seen: int = 0
    more: bool = True
    pass_began: float = 0.0
    rescan_at: float = math.inf


class QueueReader:
    """Keeps *lanes* supplied from the store."""

    def __init__(self, account_id: str, lanes: Lanes, store: Store, directory: Directory, clock: Clock) -> None:
        self._account_id = account_id
        self._lanes = lanes
        self._store = store
        self._directory = directory
        self._clock = clock
        began = clock.monotonic()
        self._streams = {priority: _Stream(pass_began=began) for priority in Priority}
        self._looked_at = -math.inf
        self._begun_cursor: int | None = 0
        self._offered: list[QueuedMessage] = []
        self._scheduled: list[tuple[float, int]] = []
        self._scheduled_seqs: set[int] = set()
        self._drift = self._measure_drift()

    def wake(self) -> None:
        """There may be something new in the queue."""
        for stream in self._streams.values():
            stream.more = True

    def offer(self, message: QueuedMessage) -> None:
        """*message* was just accepted: it need not be read, where all that stands before it was.

        What is offered is put into its lanes by :meth:`load`. The cursors stay: a reading meets it again, and knows it.
        """
        if self._behind():
            return  # the reading to come will meet it
        if len(self._offered) + self._lanes.size >= OFFERED_MESSAGES:
            self.wake()
        else:
            self._offered.append(message)

    def _behind(self) -> bool:
        """Return whether something may be in the queue that was not read yet."""
        return self._begun_cursor is not None or any(stream.more for stream in self._streams.values())

    def next_moment(self) -> float:
        """Return when the next message is due that waits for its send_at (monotonic), infinity when none does."""
        return self._scheduled[0][0] if self._scheduled else math.inf

    def hungry(self, concurrency: int) -> bool:
        """Return whether there is something to read now, for so many messages at once."""
        return self._begun_cursor is not None or self._lanes.hungry() is not None or bool(self._wanted(concurrency))

    async def load(self, concurrency: int) -> None:
        """Read on while heads are few, so much at a time that heads are not kept waiting for it.

        What had begun before this process did is read first and whole, since it goes before all others of its lane.
        """
        now = self._clock.monotonic()
        await self._take_offered()
        while self._begun_cursor is not None:
            await self._read_begun(self._begun_cursor)
        self._look_again(now)
        await self._join_due(now)
        for _ in range(LANES_A_TURN):
            lane = self._lanes.hungry()
            if lane is None:
                break
            await self._refill(lane)
        for _ in range(BATCHES_A_TURN):
            wanted = self._wanted(concurrency)
            if not wanted:
                break
            await self._read_on(wanted)

    async def _take_offered(self) -> None:
        offered, self._offered = self._offered, []
        try:
            for message in offered:
                if self._behind():  # the reading to come will meet it, behind what stands before it
                    return
                if not await self._add(message):
                    self.wake()
        except BaseException:
            self.wake()
            raise

    # --- the streams --------------------------------------------------------------------------------------------------

    def _look_again(self, now: float) -> None:
        drift = self._measure_drift()
        if abs(drift - self._drift) > JUMP_SECONDS:  # somebody set the clock: what is due when is to be seen anew
            self._scheduled.clear()
            self._scheduled_seqs.clear()
            for stream in self._streams.values():
                stream.rescan_at = now
        self._drift = drift
        for stream in self._streams.values():
            if now >= stream.rescan_at:
                stream.cursor, stream.more, stream.rescan_at, stream.pass_began = 0, True, math.inf, now
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self.wake()

    def _measure_drift(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()

    def _wanted(self, concurrency: int) -> dict[Priority, int]:
        """Return from where to read, for each priority of which there is more and too few lanes are ready.

        Of normal and bulk, one that was read to its end is read along with the other. It brings next to nothing, and both
        are known up to the same seq: else whatever comes of the other would have to be fetched lane by lane.
        """
        wanted = {
            priority: stream.cursor
            for priority, stream in self._streams.items()
            if stream.more
            and self._lanes.ready(priority) < 2 * max(1, concurrency)
            and self._lanes.has_room_for_lanes(high=priority is Priority.HIGH)
        }
        for one, other in _SHARING_LANES:
            if one in wanted and not self._streams[other].more:
                wanted[other] = self._streams[other].cursor
        return wanted

    async def _read_begun(self, cursor: int) -> None:
        batch = await self._store.begun(self._account_id, after_seq=cursor, limit=BATCH)
        for message in batch:
            if not await self._add(message):
                break  # so many lanes wait already; the streams bring the rest when there is room
        full = len(batch) == BATCH and self._lanes.has_room_for_lanes()
        self._begun_cursor = batch[-1].seq if full else None

    async def _read_on(self, wanted: dict[Priority, int]) -> None:
        for priority in wanted:
            self._streams[priority].more = False  # a hint that comes while the store is read sets it again
        self._lanes.reading()
        batch = await self._store.queued(self._account_id, wanted, limit=BATCH)
        full = self._note_bounds(wanted, batch)
        stuck: set[Priority] = set()
        try:
            for message in batch:
                stream = self._streams[message.priority]
                if message.priority in stuck:
                    continue
                if await self._add(message, self._gap(message)):
                    stream.cursor = message.seq
                else:
                    stuck.add(message.priority)
                    stream.seen = min(stream.seen, message.seq - 1)
                    stream.more = True
        except BaseException:
            for priority in wanted:  # what was read and not put into its lane was not seen
                stream = self._streams[priority]
                stream.seen, stream.more = min(stream.seen, stream.cursor), True
            raise
        now = self._clock.monotonic()
        for priority in wanted.keys() - stuck:
            stream = self._streams[priority]
            if priority in full:
                stream.more = True
            elif stream.rescan_at == math.inf:  # the end of a pass over the whole queue
                stream.rescan_at = now + max(RESCAN_SECONDS, RESCAN_SHARE * (now - stream.pass_began))

    def _note_bounds(self, wanted: dict[Priority, int], batch: list[QueuedMessage]) -> set[Priority]:
        """Note up to which seq each priority was seen by this reading; return those of which there is more."""
        full = set()
        top = max((stream.seen for stream in self._streams.values()), default=0)
        top = max([top, *(message.seq for message in batch)])
        for priority in wanted:
            mine = [message.seq for message in batch if message.priority is priority]
            stream = self._streams[priority]
            if len(mine) == BATCH:
                full.add(priority)
                stream.seen = max(stream.seen, mine[-1])
            else:  # all were read at one moment: whatever has a lower seq than any that is seen is seen too
                stream.seen = top
        return full

    def _gap(self, message: QueuedMessage) -> int | None:
        """Return after which seq others of its lane may not have been seen yet that go before *message*; None: none."""
        if message.priority is Priority.HIGH:
            return None
        seen = min(self._streams[Priority.NORMAL].seen, self._streams[Priority.BULK].seen)
        return None if message.seq <= seen else seen

    async def _add(self, message: QueuedMessage, after: int | None = None) -> bool:
        """Put *message* into its lane, or among those that wait for their time. False: there is no room for its lane."""
        wait = (message.due_at - self._clock.now()).total_seconds() if message.due_at is not None else 0.0
        if wait > 0 and not message.begun:
            self._schedule(message.seq, self._clock.monotonic() + wait)
            return True
        key = self._lanes.home(message.lane) or await self._lane_key(message)
        return self._lanes.add(key, message, after=after)

    # --- messages for later -------------------------------------------------------------------------------------------

    def _schedule(self, seq: int, moment: float) -> None:
        if seq in self._scheduled_seqs:
            return
        insort(self._scheduled, (moment, seq))
        self._scheduled_seqs.add(seq)
        if len(self._scheduled) > SCHEDULED_MESSAGES:
            self._scheduled_seqs.discard(self._scheduled.pop()[1])

    async def _join_due(self, now: float) -> None:
        """Let the messages join their lanes whose time has come."""
        for _ in range(BATCH):
            if not self._scheduled or self._scheduled[0][0] > now:
                return
            seq = self._scheduled[0][1]
            self._lanes.reading()
            found = await self._store.at_seq(self._account_id, seq)
            del self._scheduled[0]
            self._scheduled_seqs.discard(seq)
            if found is not None and not await self._add(found, self._gap(found)):
                self._schedule(seq, now + LOOK_SECONDS)

    # --- lanes --------------------------------------------------------------------------------------------------------

    async def _refill(self, lane: Lane) -> None:
        """Fetch more of *lane*, under every name that leads to it: an address may have messages by its phone."""
        names = list(dict.fromkeys([*lane.names, *await self._aliases(lane.key)]))
        self._lanes.reading()
        begun = None
        if lane.begun is not None and lane.pinned is None:
            begun = await self._store.at_seq(self._account_id, lane.begun)
        high = await self._fetch(names, lane.high.left, high=True)
        rest = await self._fetch(names, lane.rest.left, high=False)
        self._lanes.refill(lane, names, begun, high, rest)

    async def _fetch(self, names: list[str], after: int | None, *, high: bool) -> Fetched:
        if after is None:
            return Fetched()
        rows = await self._store.in_lanes(self._account_id, names, high=high, after_seq=after, limit=LANE_BATCH)
        now = self._clock.now()
        due = [message for message in rows if message.due_at is None or message.due_at <= now or message.begun]
        return Fetched(due, rows[-1].seq if len(rows) == LANE_BATCH else None)

    async def _aliases(self, address: str) -> list[str]:
        """Return the stored lanes that lead to *address* beside its own: those of a phone, in each of its spellings.

        It is the phone that is linked to the address, and on WhatsApp also the address itself, where it is a phone.
        """
        known = await self._store.contact(self._account_id, address)
        entry = self._directory.accounts().get(self._account_id)
        phones = [known.phone] if known is not None and known.phone else []
        if entry is not None and entry.account.channel == channel.WHATSAPP:
            others = await self._store.aliases(self._account_id, address)
            phones += [address, *others]
        name = known.channel if known is not None else channel.WHATSAPP
        spelt = (spelling for phone in phones for spelling in recipient.variants(phone))
        return [identity.lane_of(name, Recipient(Form.PHONE, phone)) for phone in spelt]

    async def _lane_key(self, message: QueuedMessage) -> str:
        """Return the lane by the resolved address, so that a phone and the address it is linked to share one.

        On WhatsApp a phone is an address, and may be linked to another one.
        """
        entry = self._directory.accounts().get(self._account_id)
        name = message.lane.removeprefix(_PHONE)
        if entry is None or (name == message.lane and message.channel != channel.WHATSAPP):
            return message.lane
        found = await identity.resolve(self._store, entry.account, Recipient(Form.PHONE, name))
        return found.address if isinstance(found, identity.Resolved) else message.lane
