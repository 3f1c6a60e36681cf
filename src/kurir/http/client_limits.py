"""How much one client may ask for, where the operator sets a bound: requests a second, and messages that wait.

Both are for each client alike, and off unless they are set. Requests are counted in this process (GCRA, as the platforms' own
limits); the messages that wait are everybody's, so they are counted anew in the database every few seconds, and in between
what this process accepts is added. So the bound on messages is passed by what other processes accept in those seconds.
"""

import asyncio
import math
from typing import Final

import structlog

from kurir.clock import Clock
from kurir.delivery.gcra import ROUNDING_SECONDS
from kurir.directory import Directory
from kurir.domain.account import Rate
from kurir.http.answers import RequestFailed
from kurir.store.base import Store, StoreError

log = structlog.get_logger(__name__)

#: Seconds between two counts of what waits, and what a client is told to wait that has too much there.
COUNTED_EVERY: Final = 3.0
FULL_SECONDS: Final = 5


class ClientLimits:
    """The bounds on every client. ``rate`` None: requests are not bounded; ``queue`` None: what waits is not. Of one loop."""

    def __init__(self, rate: Rate | None, queue: int | None, store: Store, directory: Directory, clock: Clock) -> None:
        self._rate = rate
        self._queue = queue
        self._store = store
        self._directory = directory
        self._clock = clock
        # GCRA by virtual scheduling (:mod:`kurir.delivery.gcra` says of what): each client's theoretical arrival time. Of a
        # limit that is never slowed nor held this is all that there is to it, for a third of the processor's time.
        self._interval = rate.seconds / rate.count if rate else 0.0
        self._tolerance = self._interval * (rate.burst - 1) + ROUNDING_SECONDS if rate else 0.0
        self._arrivals: dict[str, float] = {}
        self._waiting: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to count what waits, where that is bounded."""
        if self._queue is not None:
            self._task = asyncio.create_task(self._follow(), name="what waits")

    async def stop(self) -> None:
        """Count no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def request(self, client_id: str) -> None:
        """Count a request of a client. Raises RequestFailed beyond the rate: then it was not counted."""
        if self._rate is None:
            return
        now = self._clock.monotonic()
        arrival = max(now, self._arrivals.get(client_id, now))
        wait = arrival - now - self._tolerance
        if wait > 0:
            detail = (
                f"a client may make {self._rate.count} requests in {self._rate.seconds:g} s; wait as Retry-After says"
            )
            raise RequestFailed("rate_limited_here", detail, headers={"Retry-After": str(math.ceil(wait))})
        self._arrivals[client_id] = arrival + self._interval

    def not_made(self, client_id: str) -> None:
        """Count the request no more that was counted a moment ago: it is looked at once more, from the beginning."""
        if self._rate is not None:
            self._arrivals[client_id] -= self._interval

    def message(self, client_id: str) -> None:
        """Let a message of the client in. Raises RequestFailed where as many wait as may."""
        if self._queue is not None and self._waiting.get(client_id, 0) >= self._queue:
            detail = (
                f"{self._queue:,} messages of this client wait to be sent, as many as may; nothing was kept of this one"
            )
            raise RequestFailed("queue_full", detail, headers={"Retry-After": str(FULL_SECONDS)})

    def accepted(self, client_id: str) -> None:
        """Note that a message was accepted."""
        if self._queue is not None:
            self._waiting[client_id] = self._waiting.get(client_id, 0) + 1

    async def count(self) -> None:
        """Count what waits for the enabled accounts of every client. Raises StoreError."""
        before = self._waiting.copy()
        depths = await self._store.depths()
        accounts, found = self._directory.accounts(), dict[str, int]()
        for one in depths:
            if (entry := accounts.get(one.account_id)) is not None:
                client_id = entry.account.client_id
                found[client_id] = found.get(client_id, 0) + one.messages
        # What was accepted while it was counted may be in the count or not: it is counted, until the next one.
        for client_id, many in self._waiting.items():
            if since := many - before.get(client_id, 0):
                found[client_id] = found.get(client_id, 0) + since
        self._waiting = found

    async def _follow(self) -> None:
        while True:
            try:
                await self.count()
            except StoreError as error:
                log.warning("queues_not_counted", error=str(error))
            await asyncio.sleep(COUNTED_EVERY)
