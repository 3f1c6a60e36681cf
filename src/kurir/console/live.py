"""Telling open pages that something changed: one look a second for all of them, none where no page is open."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

import structlog

from kurir.store.base import StoreError

log = structlog.get_logger(__name__)

#: Seconds between two looks, and between two signs of life on a stream.
EVERY_SECONDS: Final = 1.0
HEARTBEAT_SECONDS: Final = 15.0
#: Streams that may be open at once, of everybody.
MOST: Final = 200
#: And of one user: nobody keeps the others' pages from being live.
MOST_OF_ONE: Final = 40


class TooManyStreams(Exception):
    """More pages are open than may be followed."""


class Pulse:
    """Asks *look* for numbers that change when something happens, and wakes who waits when they did. Of one event loop."""

    def __init__(self, look: Callable[[], Awaitable[tuple[int, ...]]]) -> None:
        self._look = look
        self._waiting: dict[asyncio.Event, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @contextlib.contextmanager
    def _listening(self, whose: str) -> Iterator[asyncio.Event]:
        if self.is_full(whose):
            raise TooManyStreams
        changed = asyncio.Event()
        self._waiting[changed] = whose
        if self._task is None:
            self._task = asyncio.create_task(self._follow(), name="console pulse")
        try:
            yield changed
        finally:
            self._waiting.pop(changed, None)
            if not self._waiting and self._task is not None:
                self._task.cancel()
                self._task = None

    def is_full(self, whose: str) -> bool:
        """Return whether the user *whose* may not listen once more, or nobody may."""
        of_one = sum(one == whose for one in self._waiting.values())
        return self._closed or len(self._waiting) >= MOST or of_one >= MOST_OF_ONE

    async def beats(self, whose: str) -> AsyncIterator[bool]:
        """Yield True to the user *whose* after each change, False as a sign of life. Raises TooManyStreams."""
        with self._listening(whose) as changed:
            while not self._closed:
                try:
                    await asyncio.wait_for(changed.wait(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield False
                    continue
                changed.clear()
                if not self._closed:
                    yield True

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for each in self._waiting:
            each.set()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _follow(self) -> None:
        last: tuple[int, ...] | None = None
        while True:
            try:
                seen = await self._look()
            except StoreError as error:
                log.debug("pulse_not_read", error=str(error))
                seen = last or ()
            if last is not None and seen != last:
                for each in self._waiting:
                    each.set()
            last = seen
            await asyncio.sleep(EVERY_SECONDS)
