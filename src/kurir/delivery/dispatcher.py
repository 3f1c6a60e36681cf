"""Keeps the accounts' queues moving: one worker an account, each with its lanes and its concurrency.

The store is the truth; a worker holds a bounded window of it (:mod:`kurir.delivery.lanes`) and reads on when work runs
low. ``wake`` after an accept is a hint; every worker also looks by itself once a second, so that a lost hint delays and
never loses.
"""

import asyncio
import contextlib
import heapq
import math
from random import Random
from typing import Final

import structlog

from kurir.channels.base import Scope
from kurir.clock import Clock
from kurir.delivery import retry
from kurir.delivery.lanes import LANES, Lane, Lanes
from kurir.delivery.retry import Backoff
from kurir.delivery.sender import PROBE_SECONDS, Finished, Progress, Sender, Stopped, Waiting
from kurir.directory import Directory, Entry
from kurir.domain import channel
from kurir.domain.recipient import Form, Recipient
from kurir.egress import Egress
from kurir.intake import identity
from kurir.store.base import ErrorRecord, QueuedMessage, Store, StoreError

log = structlog.get_logger(__name__)

#: How often a worker reads the queue without being told to, in seconds.
LOOK_SECONDS: Final = 1.0
#: How often a worker reads its whole queue anew, in seconds: whatever a hint or a cursor missed is found by this. A long
#: queue is read less often, so that reading it takes at most a tenth of the time.
RESCAN_SECONDS: Final = 30.0
RESCAN_SHARE: Final = 10
BATCH: Final = 200
#: Messages that are fetched of one lane at once, and how many lanes and batches are read before heads may start again.
LANE_BATCH: Final = 64
LANES_A_TURN: Final = 16
BATCHES_A_TURN: Final = 4
#: Messages of one account that wait for their send_at in memory; the rest is found by the next rescan.
SCHEDULED_MESSAGES: Final = 10_000
#: How long a message rests that the store, or a fault of ours, kept from moving.
STORE_SECONDS: Final = 5.0
FAULT_SECONDS: Final = 60.0
#: The longest wait before the store is read again after it failed.
TROUBLE_SECONDS: Final = 30.0

#: What the lane of an unresolved phone begins with (:func:`kurir.intake.identity.lane_of`).
_PHONE: Final = "phone:"


class Dispatcher:
    """Runs one worker for each enabled account."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        egress: Egress,
        clock: Clock,
        rng: Random | None = None,
        backoff: Backoff = retry.DEFAULT,
    ) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        jitter = rng or Random()  # noqa: S311 - jitter, not secrets
        self._sender = Sender(store, egress, clock, jitter, self._region_of, backoff)
        self._workers: dict[str, AccountWorker] = {}

    async def start(self) -> None:
        """Start a worker for each enabled account."""
        for account_id in self._directory.accounts():
            worker = AccountWorker(account_id, self._store, self._directory, self._sender, self._clock)
            self._workers[account_id] = worker
            worker.start()

    async def stop(self, seconds: float = 10.0) -> None:
        """Start no new call, let the running ones end for at most *seconds*, then stop."""
        self._sender.drain()
        await asyncio.gather(*(worker.stop(seconds) for worker in self._workers.values()))
        self._workers.clear()

    def wake(self, account_id: str) -> None:
        """Tell the account's worker that a message was accepted."""
        worker = self._workers.get(account_id)
        if worker is not None:
            worker.wake()

    def alive(self) -> bool:
        """Return whether every worker runs."""
        return all(worker.alive() for worker in self._workers.values())

    def held(self) -> int:
        """Return how many messages are in memory, of all accounts."""
        return sum(worker.held() for worker in self._workers.values())

    def _region_of(self, client_id: str) -> str:
        return self._directory.clients()[client_id].default_region


class AccountWorker:
    """One account's queue: loads, starts heads up to the concurrency, waits."""

    def __init__(self, account_id: str, store: Store, directory: Directory, sender: Sender, clock: Clock) -> None:
        self._account_id = account_id
        self._store = store
        self._directory = directory
        self._sender = sender
        self._clock = clock
        self._lanes = Lanes()
        self._cursor = 0
        self._read_to = 0
        self._more = True
        self._looked_at = -math.inf
        self._pass_began = 0.0
        self._rescan_at = math.inf
        self._scheduled: list[tuple[float, int]] = []
        self._scheduled_seqs: set[int] = set()
        self._paused_until = -math.inf
        self._parked: ErrorRecord | None = None
        self._parked_at = -math.inf
        self._parked_in_store = False
        self._running: set[asyncio.Task[None]] = set()
        self._event = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work."""
        entry = self._entry()
        if entry is not None and entry.parked_code:
            self._parked = ErrorRecord(entry.parked_code, entry.parked_reason)
            self._parked_in_store = True
        self._task = asyncio.create_task(self._work(), name=f"account {self._account_id}")

    def wake(self) -> None:
        """There is something new in the queue."""
        self._more = True
        self._event.set()

    def alive(self) -> bool:
        """Return whether the worker runs."""
        return self._task is not None and not self._task.done()

    def held(self) -> int:
        """Return how many messages are in memory."""
        return self._lanes.size

    async def stop(self, seconds: float) -> None:
        """Start nothing new, wait for what runs, then stop."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        late = list(self._running)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        with contextlib.suppress(StoreError):
            await self._mirror_parking()

    # --- the loop -----------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        trouble = 0.0
        while not self._stopping:
            self._event.clear()
            try:
                await self._mirror_parking()
                await self._load()
                wait = self._start_heads()
                trouble = 0.0
            except Exception as error:
                trouble = min(TROUBLE_SECONDS, max(0.5, trouble * 2))
                self._more = True
                if isinstance(error, StoreError):
                    log.warning("queue_not_read", account=self._account_id, error=str(error), retry_in=trouble)
                else:  # a fault of ours must not stop the account for good
                    log.exception("worker_fault", account=self._account_id, retry_in=trouble)
                await asyncio.sleep(trouble)
                continue
            if wait <= 0:
                await asyncio.sleep(0)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._event.wait()

    def _entry(self) -> Entry | None:
        return self._directory.accounts().get(self._account_id)

    def _concurrency(self) -> int:
        entry = self._entry()
        if entry is None:
            return 0
        return 1 if self._parked else entry.account.concurrency

    def _start_heads(self) -> float:
        """Start what may start; return how long to wait, in seconds, unless woken."""
        now = self._clock.monotonic()
        moments = [now + LOOK_SECONDS]
        wake_at = self._lanes.wake(now)
        if wake_at is not None:
            moments.append(wake_at)
        if self._scheduled:
            moments.append(self._scheduled[0][0])
        if now < self._paused_until:
            moments.append(self._paused_until)
        elif not self._stopping:
            while len(self._running) < self._concurrency():
                head = self._lanes.next()
                if head is None:
                    break
                task = asyncio.create_task(self._send(*head))
                self._running.add(task)
                task.add_done_callback(self._finished)
        if self._lanes.hungry() is not None or self._reads_on():
            return 0.0
        return min(moments) - now

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._event.set()

    async def _send(self, lane: Lane, message: QueuedMessage) -> None:
        began = self._clock.monotonic()
        entry = self._entry()
        progress: Progress
        try:
            progress = await self._sender.send(message, entry) if entry is not None else Waiting(LOOK_SECONDS)
        except StoreError as error:
            log.warning("message_not_moved", tid=message.tid, error=str(error))
            progress = Waiting(STORE_SECONDS)
        except Exception as error:
            # A fault of ours must neither lose the message nor stop the account: it is held, shown, and tried again.
            log.exception("message_fault", tid=message.tid, account=self._account_id)
            progress = Waiting(FAULT_SECONDS)
            reason = ErrorRecord("internal", f"a fault of the gateway ({type(error).__name__}); it is tried again")
            with contextlib.suppress(StoreError):
                await self._store.wait(message.tid, message.run, None, reason)
        self._settle(lane, progress, began)

    def _settle(self, lane: Lane, progress: Progress, began: float) -> None:
        """Let the lane, and the account, go on as *progress* says of a message whose sending *began* then."""
        now = self._clock.monotonic()
        if isinstance(progress, Stopped):
            self._park(progress.error, now)
            self._lanes.rest(lane, now + PROBE_SECONDS)
            return
        if progress.worked and began > self._parked_at:
            self._resume()
        if isinstance(progress, Finished):
            self._lanes.done(lane)
            self._pause(now + progress.pause)
            return
        self._lanes.rest(lane, now + progress.seconds)
        if progress.scope is Scope.ACCOUNT:
            self._pause(now + progress.seconds)
        if self._parked:  # the probe told nothing: the next one has its time too
            self._pause(now + PROBE_SECONDS)

    def _pause(self, until: float) -> None:
        self._paused_until = max(self._paused_until, until)

    # --- an account that the platform stopped ---------------------------------------------------------------------------

    def _park(self, error: ErrorRecord, now: float) -> None:
        """Call no more of this account, but one message every minute to see whether the operator has mended it."""
        if self._parked is None:
            log.error("account_parked", account=self._account_id, code=error.code, why=error.detail)
            self._parked = error
            self._directory.set_parked(self._account_id, error.code, error.detail)
        self._parked_at = now
        self._pause(now + PROBE_SECONDS)

    def _resume(self) -> None:
        if self._parked is not None:
            log.info("account_resumed", account=self._account_id)
            self._parked = None
            self._paused_until = -math.inf
            self._directory.set_parked(self._account_id, "", "")

    async def _mirror_parking(self) -> None:
        """Bring the store in line with whether the account is parked."""
        parked = self._parked
        if (parked is not None) == self._parked_in_store:
            return
        if parked is not None:
            await self._store.park(self._account_id, parked, self._clock.now())
        else:
            await self._store.unpark(self._account_id)
        self._parked_in_store = parked is not None

    # --- loading ------------------------------------------------------------------------------------------------------

    async def _load(self) -> None:
        """Read the queue on while heads are few, so much at a time that heads are not kept waiting for it."""
        now = self._clock.monotonic()
        if now >= self._rescan_at:
            self._cursor = 0
            self._more = True
            self._rescan_at = math.inf
            self._pass_began = now
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._more = True
        await self._join_due(now)
        for _ in range(LANES_A_TURN):
            lane = self._lanes.hungry()
            if lane is None:
                break
            await self._refill(lane)
        for _ in range(BATCHES_A_TURN):
            if not self._reads_on():
                break
            await self._read_on()

    def _reads_on(self) -> bool:
        return self._more and self._lanes.ready() < 2 * max(1, self._concurrency()) and self._lanes.count() < LANES

    async def _read_on(self) -> None:
        self._more = False  # a hint that comes while the store is read sets it again
        self._lanes.reading()
        batch = await self._store.queued(self._account_id, after_seq=self._cursor, limit=BATCH)
        for message in batch:
            if not await self._add(message):
                self._more = True
                return
            self._cursor = message.seq
            self._read_to = max(self._read_to, message.seq)
        if len(batch) == BATCH:
            self._more = True
        elif self._rescan_at == math.inf:  # the end of a pass over the whole queue
            now = self._clock.monotonic()
            self._rescan_at = now + max(RESCAN_SECONDS, RESCAN_SHARE * (now - self._pass_began))

    async def _add(self, message: QueuedMessage) -> bool:
        """Put *message* into its lane, or among those that wait for their time. False: there is no room for its lane."""
        wait = (message.due_at - self._clock.now()).total_seconds()
        if wait > 0:
            self._schedule(message.seq, self._clock.monotonic() + wait)
            return True
        key = self._lanes.home(message.lane) or await self._lane_key(message)
        return self._lanes.add(key, message)

    def _schedule(self, seq: int, moment: float) -> None:
        if len(self._scheduled) < SCHEDULED_MESSAGES and seq not in self._scheduled_seqs:
            heapq.heappush(self._scheduled, (moment, seq))
            self._scheduled_seqs.add(seq)

    async def _join_due(self, now: float) -> None:
        """Let the messages join their lanes whose time has come."""
        for _ in range(BATCH):
            if not self._scheduled or self._scheduled[0][0] > now:
                return
            seq = self._scheduled[0][1]
            self._lanes.reading()
            found = await self._store.queued(self._account_id, after_seq=seq - 1, limit=1)
            heapq.heappop(self._scheduled)
            self._scheduled_seqs.discard(seq)
            if found and found[0].seq == seq and not await self._add(found[0]):
                self._schedule(seq, now + LOOK_SECONDS)

    async def _refill(self, lane: Lane) -> None:
        """Fetch more of *lane*, but nothing that the queue was not read to yet.

        What lies before it may belong to the same lane by another name: an address by its phone.
        """
        fetched: dict[int, QueuedMessage] = {}
        beyond: dict[str, int] = {}
        self._lanes.reading()
        for name, after in list(lane.left.items()):
            rows = await self._store.queued(self._account_id, after_seq=after, lane=name, limit=LANE_BATCH)
            if len(rows) == LANE_BATCH and rows[-1].seq < self._read_to:
                beyond[name] = rows[-1].seq
            fetched.update((row.seq, row) for row in rows if row.seq <= self._read_to)
        if lane.head is not None and lane.head[1] not in fetched:
            name, seq = lane.head
            rows = await self._store.queued(self._account_id, after_seq=seq - 1, lane=name, limit=1)
            fetched.update((row.seq, row) for row in rows if row.seq == seq)
        now = self._clock.now()
        self._lanes.refill(lane, [message for message in fetched.values() if message.due_at <= now], beyond)

    async def _lane_key(self, message: QueuedMessage) -> str:
        """Return the lane by the resolved address, so that a phone and the address it is linked to share one.

        On WhatsApp a phone is an address, and may be linked to another one.
        """
        entry = self._entry()
        name = message.lane.removeprefix(_PHONE)
        if entry is None or (name == message.lane and message.channel != channel.WHATSAPP):
            return message.lane
        found = await identity.resolve(self._store, entry.account, Recipient(Form.PHONE, name))
        return found.address if isinstance(found, identity.Resolved) else message.lane
