"""What has to be done now and then: finished messages older than the retention are deleted, in small bites."""

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from kurir.clock import Clock
from kurir.store.base import Store, StoreError

log = structlog.get_logger(__name__)

#: How often it is looked for what is too old, in seconds.
EVERY_SECONDS: Final = 3600.0
#: Messages in one transaction: few enough that nobody who sends waits for it.
BITE: Final = 200


class Upkeep:
    """Deletes what *retention* has outlived, once at start and then every hour."""

    def __init__(self, store: Store, clock: Clock, retention: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._retention = retention
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._work(), name="upkeep")

    async def stop(self) -> None:
        """End, between two bites."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def once(self) -> int:
        """Delete everything that is too old now; return how many messages that were."""
        before = self._clock.now() - self._retention
        deleted = 0
        while bite := await self._store.purge(before, BITE):
            deleted += bite
            await asyncio.sleep(0)  # lets others take a turn between two bites
        return deleted

    async def _work(self) -> None:
        while True:
            try:
                deleted = await self.once()
                if deleted:
                    log.info("retention", deleted=deleted)
            except StoreError as error:
                log.warning("retention_not_applied", error=str(error))
            await asyncio.sleep(EVERY_SECONDS)
