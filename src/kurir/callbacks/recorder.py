"""Writes what came of tries into the store, many in one transaction: whatever came while the last one was committing."""

import asyncio
import contextlib
from typing import Final

import structlog

from kurir.store.base import StoreError, StoreUnavailable
from kurir.store.feed import Called, FeedStore

log = structlog.get_logger(__name__)

#: Results in one transaction, at most.
BATCH: Final = 200
#: Seconds between two tries of a store that does not write.
TROUBLE_SECONDS: Final = 1.0


class Recorder:
    """Records results in batches. What it holds is bounded by the calls that may be in flight.

    *apart*: an endpoint's results wait for no other endpoint's. That is for a store that writes about many clients at once,
    where one client may have to wait alone; where all share one writer, all share its commits.
    """

    def __init__(self, store: FeedStore, *, apart: bool = False) -> None:
        self._store = store
        self._apart = apart
        self._waiting: dict[str, list[tuple[Called, asyncio.Future[None]]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def record(self, called: Called) -> None:
        """Keep *called*. Durable on return; while the store does not write, this waits."""
        kept = asyncio.get_running_loop().create_future()
        queue = called.attempt.endpoint_id if self._apart else ""
        self._waiting.setdefault(queue, []).append((called, kept))
        if queue not in self._tasks:
            self._tasks[queue] = asyncio.create_task(self._run(queue), name=f"callback results {queue}")
        await kept

    async def stop(self, seconds: float) -> None:
        """Write what is still to be written, for at most *seconds*."""
        tasks = list(self._tasks.values())
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(asyncio.gather(*tasks), seconds)

    async def _run(self, queue: str) -> None:
        try:
            while waiting := self._waiting[queue]:
                batch, self._waiting[queue] = waiting[:BATCH], waiting[BATCH:]
                await self._write(batch)
        finally:
            del self._tasks[queue], self._waiting[queue]

    async def _write(self, batch: list[tuple[Called, asyncio.Future[None]]]) -> None:
        while True:
            try:
                await self._store.called([called for called, _ in batch])
            except StoreUnavailable as error:
                log.warning("callback_results_wait", results=len(batch), error=str(error))
                await asyncio.sleep(TROUBLE_SECONDS)
                continue
            except StoreError as error:
                if len(batch) > 1:  # one that the store does not take keeps no other from being written
                    for one in batch:
                        await self._write([one])
                    return
                log.error("callback_result_lost", position=batch[0][0].attempt.position, error=str(error))  # noqa: TRY400 - a sentence
            break
        for _, kept in batch:
            if not kept.done():
                kept.set_result(None)
