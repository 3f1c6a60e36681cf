"""Keeps the accounts' queues moving: one worker an account, each with its lanes, its rates and its breaker.

The store is the truth; a worker holds a bounded window of it (:mod:`kurir.delivery.lanes`) and reads on when work runs
low. ``wake`` after an accept is a hint; every worker also looks by itself once a second, so that a lost hint delays and
never loses.
"""

import asyncio
from collections.abc import Callable
from random import Random

from kurir.clock import Clock
from kurir.delivery.retry import Backoff
from kurir.delivery.sender import Sender
from kurir.delivery.state import AccountState, Standing, Why
from kurir.delivery.worker import AccountWorker
from kurir.directory import Directory
from kurir.egress import Egress
from kurir.store import GatewayStore
from kurir.store.base import ErrorRecord


class Dispatcher:
    """Runs one worker for each enabled account. *backoff* goes before the accounts' own.

    *fed* is told a client whose feed may have grown, *parked* an account that the platform stops, and why.
    """

    def __init__(
        self,
        store: GatewayStore,
        directory: Directory,
        egress: Egress,
        clock: Clock,
        rng: Random | None = None,
        backoff: Backoff | None = None,
        fed: Callable[[str], None] = lambda _: None,
        parked: Callable[[str, ErrorRecord], None] = lambda *_: None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._parked = parked
        self._rng = rng or Random()  # noqa: S311 - jitter, not secrets
        self._sender = Sender(store, egress, clock, self._rng, self._region_of, backoff, fed)
        self._workers: dict[str, AccountWorker] = {}

    async def start(self) -> None:
        """Start a worker for each enabled account."""
        for account_id, entry in self._directory.accounts().items():
            worker = AccountWorker(
                entry, self._store, self._directory, self._sender, self._clock, self._rng, self._parked
            )
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

    def settled(self, account_id: str, address: str) -> None:
        """Tell the account's worker that a receipt settled a part to *address* whose outcome was unknown."""
        worker = self._workers.get(account_id)
        if worker is not None:
            worker.settled(address)

    def stopped(self, account_id: str, error: ErrorRecord) -> None:
        """Tell the account's worker that the platform stopped the account, as its webhook said."""
        worker = self._workers.get(account_id)
        if worker is not None:
            worker.stopped(error)

    async def pause(self, account_id: str) -> None:
        """Let the account begin no call until it is resumed. Durable on return. Raises KeyError, StoreError."""
        await self._workers[account_id].pause()

    async def resume(self, account_id: str) -> None:
        """Let the account work again, at once. Durable on return. Raises KeyError, StoreError."""
        await self._workers[account_id].resume()

    def state(self, account_id: str) -> AccountState:
        """Return how the account stands."""
        worker = self._workers.get(account_id)
        return AccountState(account_id, Standing.DISABLED) if worker is None else worker.state()

    def why(self, account_id: str, lane: str) -> Why | None:
        """Return what keeps messages of the account's stored lane *lane* from being sent; None: nothing but the queue."""
        worker = self._workers.get(account_id)
        return None if worker is None else worker.why(lane)

    def alive(self) -> bool:
        """Return whether every worker runs."""
        return all(worker.alive() for worker in self._workers.values())

    def held(self) -> int:
        """Return how many messages are in memory, of all accounts."""
        return sum(worker.held() for worker in self._workers.values())

    def _region_of(self, client_id: str) -> str:
        return self._directory.clients()[client_id].default_region
