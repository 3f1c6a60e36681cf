"""What has to be done now and then, in small bites: what is overdue is ended, what is too old or without its event deleted.

And what follows the messages at some distance, so that whoever accepts one need not wait for it: tallies, the index of words.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import structlog

from kurir.clock import Clock
from kurir.store import GatewayStore
from kurir.store.base import StoreError

log = structlog.get_logger(__name__)

#: How often it is looked for messages past their expiry, in seconds.
EXPIRY_SECONDS: Final = 1.0
#: How often it is looked for what is too old, in seconds.
EVERY_SECONDS: Final = 3600.0
#: How often it is looked whether there is room for what comes next, in seconds.
ROOM_SECONDS: Final = 60.0
#: How often it is looked for kept files whose events are gone, in seconds: a person who was erased waits no longer.
SWEEP_SECONDS: Final = 600.0
#: How soon it is tried again after it failed, in seconds.
TROUBLE_SECONDS: Final = 30.0
#: Rows of a kind in one transaction: few enough that nobody who sends waits for it.
BITE: Final = 200
#: How often it is looked for messages and events that are not counted, or not indexed, in seconds.
FOLLOW_SECONDS: Final = 1.0
#: Rows that are counted, and messages that are indexed, in one transaction. To index one takes some 50 µs.
TALLY_BITE: Final = 1_000
WORDS_BITE: Final = 100
#: A message that a platform accepted waits so long for its first receipt.
RECEIPT_LIFE: Final = timedelta(days=30)


class Upkeep:
    """Ends messages that are overdue, and deletes what *retention* has outlived: at start, then again and again.

    *sweep* deletes kept files without an event, and returns how many; without one there are no kept files. *search_text*:
    messages are to be found by their words.
    """

    def __init__(
        self,
        store: GatewayStore,
        clock: Clock,
        retention: timedelta,
        sweep: Callable[[], Awaitable[int]] | None = None,
        *,
        search_text: bool = True,
    ) -> None:
        self._store = store
        self._clock = clock
        self._retention = retention
        self._sweep = sweep
        self._search_text = search_text
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        kinds: list[tuple[str, Callable[[], Awaitable[int]], float]] = [
            ("expired", self.expire, EXPIRY_SECONDS),
            ("no_receipt", self.no_receipts, EVERY_SECONDS),
            ("retention", self.once, EVERY_SECONDS),
            ("access", self.access, EVERY_SECONDS),
            ("tallies", self.tally, FOLLOW_SECONDS),
            ("words", self.index_words, FOLLOW_SECONDS),
            ("room", lambda: self._store.make_room(self._retention), ROOM_SECONDS),
        ]
        if self._sweep is not None:
            kinds.append(("kept_files", self._sweep, SWEEP_SECONDS))
        self._tasks = [asyncio.create_task(self._repeat(*kind), name=f"upkeep {kind[0]}") for kind in kinds]

    async def stop(self) -> None:
        """End, between two bites."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def alive(self) -> bool:
        """Return whether all of it runs."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    async def expire(self) -> int:
        """End every message that is past its expiry and that no worker ends; return how many that were."""
        return await self._bites(lambda: self._store.expire(self._clock.now(), BITE))

    async def no_receipts(self) -> int:
        """End every message that a platform accepted long ago and never told of; return how many that were."""
        now = self._clock.now()
        return await self._bites(lambda: self._store.no_receipts(now - RECEIPT_LIFE, BITE, now))

    async def once(self) -> int:
        """Delete everything that is too old now; return how many messages that were."""
        now = self._clock.now()
        before = now - self._retention
        deleted = 0
        while True:
            bite = await self._store.purge(before, BITE, now=now)
            deleted += bite.messages
            if not bite.more:
                return deleted
            await asyncio.sleep(0)  # lets others take a turn between two bites

    async def access(self) -> int:
        """Delete sessions and links of the console that let nobody in any more, and old requests; return how many."""
        return await self._bites(lambda: self._store.purge_access(self._clock.now(), BITE))

    async def tally(self) -> int:
        """Count what is not counted yet. Returns 0: nobody wants to read of it every second."""
        more = True
        while more:
            more = await self._store.tally(TALLY_BITE)
            await asyncio.sleep(0)  # lets others take a turn between two bites
        return 0

    async def index_words(self) -> int:
        """Index messages by their words for as long as nobody waits for a write, half of the time at most. Returns 0."""
        while True:
            began = time.monotonic()
            if not await self._store.index_words(WORDS_BITE, on=self._search_text) or not self._store.idle():
                return 0
            await asyncio.sleep(time.monotonic() - began)

    async def _bites(self, bite: Callable[[], Awaitable[int]]) -> int:
        ended = 0
        while found := await bite():
            ended += found
            await asyncio.sleep(0)
        return ended

    async def _repeat(self, kind: str, work: Callable[[], Awaitable[int]], every: float) -> None:
        """Do *work* for ever: whatever goes wrong is logged, and tried again."""
        while True:
            wait = every
            try:
                done = await work()
                if done:
                    log.info("upkeep", kind=kind, done=done)
            except StoreError as error:
                wait = TROUBLE_SECONDS
                log.warning("upkeep_not_done", kind=kind, error=str(error), retry_in=wait)
            except Exception:
                wait = TROUBLE_SECONDS
                log.exception("upkeep_fault", kind=kind, retry_in=wait)
            await asyncio.sleep(wait)
