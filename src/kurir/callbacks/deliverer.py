"""Keeps every endpoint's callbacks moving: one worker an endpoint, so that a slow or dead one delays no other.

The store is the truth. ``wake`` after a commit is a hint; every worker looks by itself once a second. ``reload`` follows a
change of the endpoints.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final

import structlog

from kurir.callbacks import dialects
from kurir.callbacks.keys import Keys
from kurir.callbacks.recorder import Recorder
from kurir.callbacks.worker import EndpointWorker, Poster, Tools
from kurir.clock import Clock
from kurir.secretbox import SealError
from kurir.store.base import EndpointRecord
from kurir.store.feed import Endpoint, FeedStore
from kurir.tracing import Traces

log = structlog.get_logger(__name__)

#: How long a stop waits for calls that are under way, in seconds, and then for their results to be written.
DRAIN_SECONDS: Final = 5.0
RESULT_SECONDS: Final = 2.0


class Deliverer:
    """Runs one worker for each enabled endpoint that is this node's.

    *open_keys* unseals an endpoint's secrets, and may raise SealError. *may_begin* says whether an endpoint is this node's,
    None where all of them are; then ``own`` begins with one. *elsewhere* carries hints to the other nodes: ``endpoints`` where
    one was changed, ``rescan`` and the id of one to which something is owed again.
    """

    def __init__(  # noqa: PLR0913 -- its parts, and what it tells others
        self,
        store: FeedStore,
        poster: Poster,
        clock: Clock,
        open_keys: Callable[[EndpointRecord], Keys],
        *,
        link: dialects.Link = dialects.no_link,
        rng: Random | None = None,
        may_begin: Callable[[str], bool] | None = None,
        elsewhere: Callable[..., None] = lambda *_: None,
        traces: Traces | None = None,
    ) -> None:
        self._shared = may_begin is not None
        self._elsewhere = elsewhere
        self._owned: set[str] = set()
        self._enabled: frozenset[str] = frozenset()
        self._unreadable: dict[str, EndpointRecord] = {}
        self._store = store
        self._open = open_keys
        self._recorder = Recorder(store, apart=self._shared)
        self._tools = Tools(store, poster, self._recorder, clock, rng or Random(), link, may_begin or _always, traces)  # noqa: S311 - jitter, not secrets
        self._workers: dict[str, EndpointWorker] = {}
        self._reloading = asyncio.Lock()
        self._asked = self._reloaded = 0

    async def start(self) -> None:
        """Start a worker for each enabled endpoint. Raises StoreError."""
        await self.reload()

    async def reload(self) -> None:
        """Bring the workers in line with the endpoints as the store has them now. Raises StoreError."""
        self._asked += 1
        mine = self._asked
        async with self._reloading:
            if self._reloaded >= mine:
                return  # it was done for several at once
            asked = self._asked
            asked_at = self._tools.clock.monotonic()
            found = {one.id: one for one in await self._store.all_endpoints() if one.record.enabled}
            self._enabled = frozenset(found)
            enabled = {name: one for name, one in found.items() if not self._shared or name in self._owned}
            gone = [worker for worker_id, worker in self._workers.items() if worker_id not in enabled]
            for worker in gone:
                del self._workers[worker.id]
            for endpoint in enabled.values():
                self._bring_in_line(endpoint)
                if self._shared and endpoint.id in self._workers:
                    self._workers[endpoint.id].follow(endpoint.ladder, asked_at)
            self._reloaded = asked
            await asyncio.gather(*(worker.stop(DRAIN_SECONDS) for worker in gone))

    def _bring_in_line(self, endpoint: Endpoint) -> None:
        worker = self._workers.get(endpoint.id)
        if (worker is not None and worker.record == endpoint.record) or (
            self._unreadable.get(endpoint.id) == endpoint.record
        ):
            return
        try:
            keys = self._open(endpoint.record)
        except SealError as error:
            log.error("callback_endpoint_unreadable", endpoint=endpoint.id, error=str(error))  # noqa: TRY400 - a sentence
            self._unreadable[endpoint.id] = endpoint.record
            return
        self._unreadable.pop(endpoint.id, None)
        if worker is not None:
            worker.change(endpoint.record, keys)
            return
        worker = self._workers[endpoint.id] = EndpointWorker(endpoint, keys, self._tools)
        worker.start()

    def enabled(self) -> frozenset[str]:
        """Return the ids of all endpoints that were enabled when the store was looked at last."""
        return self._enabled

    async def own(self, endpoint_id: str) -> None:
        """Call the endpoint from now on. Raises StoreError."""
        self._owned.add(endpoint_id)
        await self.reload()

    async def disown(self, endpoint_id: str, seconds: float = DRAIN_SECONDS) -> None:
        """Begin no call of the endpoint any more; those that run may end for at most *seconds*."""
        self._owned.discard(endpoint_id)
        async with self._reloading:
            worker = self._workers.pop(endpoint_id, None)
            if worker is not None:
                await worker.stop(seconds)

    def changed(self) -> None:
        """Tell the other nodes that an endpoint was changed."""
        self._elsewhere("endpoints")

    async def stop(self, seconds: float = DRAIN_SECONDS) -> None:
        """Begin no call, let the running ones end for at most *seconds*; what is cut off is repeated after the next start."""
        async with self._reloading:
            await asyncio.gather(*(worker.stop(seconds) for worker in self._workers.values()))
            self._workers.clear()
            await self._recorder.stop(RESULT_SECONDS)

    def wake(self, client_id: str) -> None:
        """Hint that the client's feed has grown."""
        for worker in self._workers.values():
            if worker.record.client_id == client_id:
                worker.wake()

    def rescan(self, endpoint_id: str) -> None:
        """Look at everything that is owed to an endpoint, since something is owed to it again."""
        worker = self._workers.get(endpoint_id)
        if worker is not None:
            worker.rescan()
        else:
            self._elsewhere("rescan", endpoint_id)

    def worker(self, endpoint_id: str) -> EndpointWorker | None:
        """Return the worker of an enabled endpoint, None where there is none."""
        return self._workers.get(endpoint_id)

    def alive(self) -> bool:
        """Return whether every worker runs."""
        return all(worker.alive() for worker in self._workers.values())

    def held(self) -> int:
        """Return how many callbacks are in memory, of all endpoints."""
        return sum(worker.held() for worker in self._workers.values())


def _always(_endpoint_id: str) -> bool:
    return True
