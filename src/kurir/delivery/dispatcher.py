"""Keeps the accounts' queues moving: one worker an account, each with its lanes and its concurrency.

The store is the truth; a worker holds a bounded window of it (:mod:`kurir.delivery.lanes`) and reads on when work runs
low. ``wake`` after an accept is a hint; every worker also looks by itself once a second, so that a lost hint delays and
never loses.
"""

import asyncio
import contextlib
import heapq
from random import Random
from typing import Final

import structlog

from kurir.channels.base import Scope
from kurir.clock import Clock
from kurir.delivery.lanes import Lane, Lanes
from kurir.delivery.sender import PROBE_SECONDS, Finished, Progress, Sender, Stopped, Waiting
from kurir.directory import Directory, Entry
from kurir.domain import recipient as recipients
from kurir.domain.recipient import Recipient
from kurir.egress import Egress
from kurir.intake import identity
from kurir.store.base import QueuedMessage, Store, StoreError

log = structlog.get_logger(__name__)

#: How often a worker reads the queue without being told to, in seconds.
LOOK_SECONDS: Final = 1.0
#: How often a worker reads its whole queue anew, in seconds: whatever a hint or a cursor missed is found by this.
RESCAN_SECONDS: Final = 30.0
BATCH: Final = 200
#: Messages of one account that wait for their send_at in memory; the rest is found by the next rescan.
SCHEDULED_MESSAGES: Final = 10_000


class Dispatcher:
    """Runs one worker for each enabled account."""

    def __init__(self, store: Store, directory: Directory, egress: Egress, clock: Clock, rng: Random | None = None) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        region = lambda client_id: directory.clients()[client_id].default_region  # noqa: E731 - one line, one use
        self._sender = Sender(store, egress, clock, rng or Random(), region)  # noqa: S311 - jitter, not secrets
        self._workers: dict[str, AccountWorker] = {}

    async def start(self) -> None:
        """Start a worker for each enabled account."""
        for account_id in self._directory.accounts():
            worker = AccountWorker(account_id, self._store, self._directory, self._sender, self._clock)
            self._workers[account_id] = worker
            worker.start()

    async def stop(self, seconds: float = 10.0) -> None:
        """Start no new call, let the running ones end for at most *seconds*, then stop."""
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
        self._more = True
        self._scheduled: list[tuple[float, int]] = []
        self._scanned_at = 0.0
        self._paused_until = 0.0
        self._parked = False
        self._running: set[asyncio.Task[None]] = set()
        self._event = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work."""
        entry = self._directory.accounts().get(self._account_id)
        self._parked = bool(entry and entry.parked_code)
        self._task = asyncio.create_task(self._work(), name=f"account {self._account_id}")

    def wake(self) -> None:
        """There is something new in the queue."""
        self._more = True
        self._event.set()

    def alive(self) -> bool:
        """Return whether the worker runs."""
        return self._task is not None and not self._task.done()

    async def stop(self, seconds: float) -> None:
        """Start nothing new, wait for what runs, then stop."""
        self._stopping = True
        self._event.set()
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        for task in (*self._running, *([self._task] if self._task else [])):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # --- the loop -----------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        trouble = 0.0
        while not self._stopping:
            try:
                self._event.clear()
                await self._load()
                timeout = self._start_heads()
                trouble = 0.0
            except StoreError as error:
                trouble = min(30.0, max(0.5, trouble * 2))
                log.warning("queue_not_read", account=self._account_id, error=str(error), retry_in=trouble)
                timeout = trouble
                self._more = True
                await asyncio.sleep(trouble)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._event.wait()
            if not self._event.is_set():
                self._more = True  # nobody told: look by ourselves

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
        wake_at = self._lanes.wake(now)
        if now < self._paused_until:
            return min(LOOK_SECONDS, self._paused_until - now)
        while len(self._running) < self._concurrency():
            head = self._lanes.next()
            if head is None:
                break
            task = asyncio.create_task(self._send(*head))
            self._running.add(task)
            task.add_done_callback(self._finished)
        return LOOK_SECONDS if wake_at is None else max(0.0, min(LOOK_SECONDS, wake_at - now))

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._event.set()

    async def _send(self, lane: Lane, message: QueuedMessage) -> None:
        entry = self._entry()
        progress: Progress
        try:
            progress = await self._sender.send(message, entry) if entry is not None else Waiting(LOOK_SECONDS)
        except StoreError as error:
            log.warning("message_not_moved", tid=message.tid, error=str(error))
            progress = Waiting(5.0)
        except asyncio.CancelledError:
            raise
        except Exception:
            # A fault of ours must neither lose the message nor stop the account: it is held, shown, and tried again.
            log.exception("message_fault", tid=message.tid, account=self._account_id)
            progress = Waiting(60.0)
        await self._settle(lane, message, progress)

    async def _settle(self, lane: Lane, message: QueuedMessage, progress: Progress) -> None:
        now = self._clock.monotonic()
        if isinstance(progress, Finished):
            self._lanes.done(lane)
            if self._parked and progress.called:
                self._parked = False
                log.info("account_resumed", account=self._account_id)
                with contextlib.suppress(StoreError):
                    await self._store.unpark(self._account_id)
            return
        seconds = PROBE_SECONDS
        if isinstance(progress, Stopped):
            if not self._parked:
                self._parked = True
                log.error("account_parked", account=self._account_id, code=progress.error.code, why=progress.error.detail)
                with contextlib.suppress(StoreError):
                    await self._store.park(self._account_id, progress.error, self._clock.now())
            self._paused_until = now + seconds
        else:
            seconds = progress.seconds
            if progress.scope is Scope.ACCOUNT:
                self._paused_until = max(self._paused_until, now + seconds)
        await self._refresh(lane, message)
        self._lanes.rest(lane, now + seconds)

    async def _refresh(self, lane: Lane, message: QueuedMessage) -> None:
        """Read the head anew: its parts have moved since it was loaded."""
        stored: list[QueuedMessage] = []
        with contextlib.suppress(StoreError):
            stored = await self._store.queued(self._account_id, after_seq=message.seq - 1, lane=message.lane, limit=1)
        if stored and stored[0].seq == message.seq:
            self._lanes.replace_head(lane, stored[0])

    # --- loading ------------------------------------------------------------------------------------------------------

    async def _load(self) -> None:
        """Read the queue on while heads are few and there is room."""
        for lane in self._lanes.hungry():
            await self._refill(lane)
        self._look_back()
        while self._more and self._lanes.ready() < 2 * max(1, self._concurrency()) and self._lanes.room() >= BATCH:
            batch = await self._store.queued(self._account_id, after_seq=self._cursor, limit=BATCH)
            for message in batch:
                await self._add(message)
            if batch:
                self._cursor = batch[-1].seq
            self._more = len(batch) == BATCH

    async def _add(self, message: QueuedMessage) -> None:
        wait = (message.due_at - self._clock.now()).total_seconds()
        if wait > 0:
            if len(self._scheduled) < SCHEDULED_MESSAGES:
                heapq.heappush(self._scheduled, (self._clock.monotonic() + wait, message.seq))
            return
        self._lanes.add(await self._lane_key(message), message)

    def _look_back(self) -> None:
        """Read the queue again from the first message that has become due, or from its start when it is time to.

        Messages that are in memory are known by their seq; those that have left the queue are refused by their mark.
        """
        now = self._clock.monotonic()
        if now - self._scanned_at >= RESCAN_SECONDS:
            self._scanned_at = now
            self._scheduled.clear()
            self._cursor = 0
            self._more = True
        while self._scheduled and self._scheduled[0][0] <= now:
            self._cursor = min(self._cursor, heapq.heappop(self._scheduled)[1] - 1)
            self._more = True

    async def _refill(self, lane: Lane) -> None:
        fetched: list[QueuedMessage] = []
        beyond: dict[str, int] = {}
        now = self._clock.now()
        for name, after in list(lane.left.items()):
            rows = await self._store.queued(self._account_id, after_seq=after, lane=name, limit=BATCH)
            if len(rows) == BATCH:
                beyond[name] = rows[-1].seq
            fetched += [message for message in rows if message.due_at <= now]
        self._lanes.refill(lane, fetched, beyond)

    async def _lane_key(self, message: QueuedMessage) -> str:
        """Return the lane by the resolved address, so that a phone and the address it is linked to share one."""
        entry = self._entry()
        if entry is None or not message.lane.startswith("phone:"):
            return message.lane
        read = recipients.read(message.channel, message.recipient)
        if not isinstance(read, Recipient):
            return message.lane
        found = await identity.resolve(self._store, entry.account, read)
        return found.address if isinstance(found, identity.Resolved) else message.lane
