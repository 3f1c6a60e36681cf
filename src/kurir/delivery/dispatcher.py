"""Keeps the accounts' queues moving: one worker an account, each with its lanes, its rates and its breaker.

The store is the truth; a worker holds a bounded window of it (:mod:`kurir.delivery.lanes`) and reads on when work runs
low. ``wake`` after an accept is a hint; every worker also looks by itself once a second, so that a lost hint delays and
never loses.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random

from kurir.clock import Clock
from kurir.delivery.retry import Backoff
from kurir.delivery.sender import Sender
from kurir.delivery.state import AccountState, Limit, Standing, Why
from kurir.delivery.worker import AccountWorker
from kurir.directory import Directory, Entry
from kurir.egress import Egress
from kurir.store import GatewayStore
from kurir.store.base import ErrorRecord, QueuedMessage, StoreError
from kurir.store.postgres.leases import StoredStanding
from kurir.tracing import Traces


@dataclass(frozen=True, slots=True)
class Sharing:
    """How accounts are shared with other nodes; as it stands, they are not.

    *elsewhere* carries hints to the node that owns an account: the words are ``wake``, ``settled``, ``stopped``,
    ``paused`` and ``resumed``, each with the account's id. *may_begin* says whether an account is this node's, for long
    enough to make a call.
    """

    elsewhere: Callable[..., None] = lambda *_: None
    may_begin: Callable[[str], bool] = lambda _: True


ALONE = Sharing()


class Dispatcher:
    """Runs one worker for each enabled account that is this node's. *backoff* goes before the accounts' own.

    *fed* is told a client whose feed may have grown, *parked* an account that the platform stops, and why.
    """

    def __init__(  # noqa: PLR0913 -- its parts, and what it tells others
        self,
        store: GatewayStore,
        directory: Directory,
        egress: Egress,
        clock: Clock,
        rng: Random | None = None,
        backoff: Backoff | None = None,
        fed: Callable[[str], None] = lambda _: None,
        parked: Callable[[str, ErrorRecord], None] = lambda *_: None,
        *,
        sharing: Sharing = ALONE,
        traces: Traces | None = None,
    ) -> None:
        self._elsewhere = sharing.elsewhere
        self._may_begin = sharing.may_begin
        self._store = store
        self._directory = directory
        self._clock = clock
        self._parked = parked
        self._rng = rng or Random()  # noqa: S311 - jitter, not secrets
        self._sender = Sender(store, egress, clock, self._rng, self._region_of, backoff, fed, traces)
        self._workers: dict[str, AccountWorker] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def start(self) -> None:
        """Start a worker for each enabled account: all of them are this node's."""
        for account_id in self._directory.accounts():
            self._begin(account_id)

    def _begin(self, account_id: str) -> None:
        entry = self._directory.accounts()[account_id]
        worker = AccountWorker(
            entry,
            self._store,
            self._directory,
            self._sender,
            self._clock,
            self._rng,
            self._parked,
            lambda: self._may_begin(account_id),
        )
        self._workers[account_id] = worker
        worker.start()

    def own(self, account_id: str) -> None:
        """Work for the account from now on: another node may have done so until now."""
        if account_id not in self._workers and account_id in self._directory.accounts():
            self._sender.took_over(account_id)
            self._begin(account_id)

    async def disown(self, account_id: str, seconds: float) -> None:
        """Begin no call of the account any more; those that run may end for at most *seconds*."""
        async with self._turns[account_id]:
            worker = self._workers.get(account_id)
            if worker is not None:
                await worker.stop(seconds)
                self._workers.pop(account_id, None)

    async def restart(self, account_id: str, seconds: float, *, mended: bool) -> None:
        """Work for the account as it is configured now; calls that run may end for at most *seconds*.

        *mended*: what it is or where it calls has changed, so that nothing is known of how the platform takes it. An account
        that is another node's stays that. Raises StoreError.
        """
        async with self._turns[account_id]:
            worker = self._workers.get(account_id)
            if worker is None:
                return
            await worker.stop(seconds)  # who cancels this leaves the worker to :meth:`stop`
            trouble: StoreError | None = None
            if mended:
                # A call with the settings before may have been refused meanwhile.
                self._directory.set_parked(account_id, "", "")
                try:
                    await self._store.unpark(account_id)
                except StoreError as error:
                    trouble = error
            del self._workers[account_id]
            self.own(account_id)
            if trouble is not None:
                raise trouble

    def owns(self, account_id: str) -> bool:
        """Return whether this node works for the account."""
        return account_id in self._workers

    def follow(self, stored: Collection[StoredStanding], asked_at: float) -> None:
        """Do as the store said when it was asked at *asked_at* (monotonic): another node may have changed it."""
        for one in stored:
            worker = self._workers.get(one.account_id)
            if worker is not None:
                worker.follow(paused=one.paused, parked=bool(one.parked_code), asked_at=asked_at)
            else:
                self._directory.set_parked(one.account_id, one.parked_code, one.parked_reason)
                self._directory.set_paused(one.account_id, paused=one.paused)
                self._directory.set_held(one.account_id, one.held_since, one.held_until, one.held_reason)

    def hear(self, word: str, account_id: str, *more: str) -> None:
        """Take a hint of another node, for an account that is this node's."""
        worker = self._workers.get(account_id)
        if worker is None:
            return
        match word:
            case "wake":
                worker.wake()
            case "settled":
                worker.settled(*more)
            case "stopped":
                worker.stopped(ErrorRecord(*more))
            case "resumed":
                worker.resumed()
            case "paused":
                worker.follow(paused=True, parked=False, asked_at=self._clock.monotonic())

    async def stop(self, seconds: float = 10.0) -> None:
        """Start no new call, let the running ones end for at most *seconds*, then stop."""
        self._sender.drain()
        await asyncio.gather(*(worker.stop(seconds) for worker in self._workers.values()))
        self._workers.clear()

    def accepted(self, account_id: str, message: QueuedMessage | None) -> None:
        """Give the account's worker a *message* that was just accepted; None: tell it that there is one."""
        worker = self._workers.get(account_id)
        if worker is not None and message is not None:
            worker.offer(message)
        else:
            self.wake(account_id)

    def wake(self, account_id: str) -> None:
        """Tell the account's worker that there is something new in its queue."""
        worker = self._workers.get(account_id)
        if worker is not None:
            worker.wake()
        else:
            self._elsewhere("wake", account_id)

    def settled(self, account_id: str, address: str) -> None:
        """Tell the account's worker that a receipt settled a part to *address* whose outcome was unknown."""
        worker = self._workers.get(account_id)
        if worker is not None:
            worker.settled(address)
        else:
            self._elsewhere("settled", account_id, address)

    def stopped(self, account_id: str, error: ErrorRecord) -> None:
        """Tell the account's worker that the platform stopped the account, as its webhook said."""
        worker = self._workers.get(account_id)
        if worker is not None:
            worker.stopped(error)
        else:
            self._elsewhere("stopped", account_id, error.code, error.detail, error.provider_code)

    async def pause(self, account_id: str) -> None:
        """Let the account begin no call until it is resumed. Durable on return; another node that owns it follows soon.

        Raises StoreError.
        """
        worker = self._workers.get(account_id)
        if worker is not None:
            await worker.pause()
            return
        await self._store.pause(account_id, self._clock.now())
        self._directory.set_paused(account_id, paused=True)
        self._elsewhere("paused", account_id)

    async def resume(self, account_id: str) -> None:
        """Let the account work again, at once. Durable on return; another node that owns it follows soon.

        Raises StoreError.
        """
        worker = self._workers.get(account_id)
        if worker is not None:
            await worker.resume()
            return
        await self._store.pause(account_id, None)
        await self._store.unpark(account_id)
        self._directory.set_paused(account_id, paused=False)
        self._directory.set_parked(account_id, "", "")
        self._elsewhere("resumed", account_id)

    def state(self, account_id: str) -> AccountState:
        """Return how the account stands. Of one that is another node's only what the store knows."""
        worker = self._workers.get(account_id)
        if worker is not None:
            return worker.state()
        entry = self._directory.accounts().get(account_id)
        return AccountState(account_id, Standing.DISABLED) if entry is None else stored_state(entry, self._clock.now())

    def limits(self, account_id: str) -> tuple[Limit, ...]:
        """Return the account's limits, by name. Of one that is another node's only what is configured."""
        worker = self._workers.get(account_id)
        if worker is not None:
            return worker.limits()
        entry = self._directory.accounts().get(account_id)
        return tuple(Limit(*one) for one in sorted(entry.account.rates.items())) if entry is not None else ()

    def why(self, account_id: str, lane: str) -> Why | None:
        """Return what keeps messages of the account's stored lane *lane* from being sent; None: nothing but the queue."""
        worker = self._workers.get(account_id)
        if worker is not None:
            return worker.why(lane)
        state = self.state(account_id)
        return None if state.reason is None else Why(state.reason, state.until)

    def alive(self) -> bool:
        """Return whether every worker runs."""
        return all(worker.alive() for worker in self._workers.values())

    def held(self) -> int:
        """Return how many messages are in memory, of all accounts."""
        return sum(worker.held() for worker in self._workers.values())

    def _region_of(self, client_id: str) -> str:
        return self._directory.client(client_id).default_region


def stored_state(entry: Entry, now: datetime) -> AccountState:
    """Return how an account stands that another node works for: what outlives that node."""
    account = entry.account
    whole = AccountState(account.id, Standing.WORKING, concurrency=account.concurrency)
    if entry.paused:
        detail = "the operator paused the account, and can resume it"
        return replace(whole, standing=Standing.PAUSED, reason=ErrorRecord("account_paused", detail))
    if entry.parked_code:
        reason = ErrorRecord(entry.parked_code, entry.parked_reason)
        return replace(whole, standing=Standing.PARKED, reason=reason)
    if entry.held_until is not None and entry.held_until > now:
        reason = ErrorRecord("rate_limited", entry.held_reason)
        return replace(whole, standing=Standing.THROTTLED, reason=reason, until=entry.held_until)
    return whole
