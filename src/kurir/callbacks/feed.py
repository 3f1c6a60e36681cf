"""Who waits for a client's feed to grow: wakes them after a commit, and looks at the store once a second for them all.

The store is the truth, and a hint may be lost: so while somebody waits for a client's events, one task asks for the
client's last position each second, however many wait.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import structlog

from kurir.store.base import StoreError
from kurir.store.feed import FeedStore

log = structlog.get_logger(__name__)

#: How often the store is looked at for a client whose feed somebody waits for, in seconds.
POLL_SECONDS: Final = 1.0
#: Wakes that come closer together than this, in seconds, are one: each makes every listener read.
CALM_SECONDS: Final = 0.05
#: Streams and waiting requests of one client at once, at most.
LISTENERS: Final = 50


class TooManyListeners(Exception):
    """The client has as many streams and waiting requests open as it may."""


@dataclass(frozen=True, slots=True)
class Seen:
    """How a client's feed stood when it was looked at: changes so far, and the last position that was known."""

    changes: int
    last: int


@dataclass(slots=True)
class _Listened:
    """A client whose feed somebody listens to."""

    listeners: int = 0
    changes: int = 0
    last: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    poller: asyncio.Task[None] | None = None
    later: asyncio.TimerHandle | None = None
    told_at: float = float("-inf")


class Feed:
    """The clients' feeds, as those see them who wait for more."""

    def __init__(self, store: FeedStore) -> None:
        self._store = store
        self._clients: dict[str, _Listened] = {}
        self._closed = False
        self._closing = asyncio.Event()

    @property
    def closed(self) -> bool:
        """Whether the gateway is stopping: nobody waits any longer."""
        return self._closed

    def close(self) -> None:
        """Let everybody go who waits."""
        self._closed = True
        self._closing.set()
        for one in self._clients.values():
            one.changed.set()

    async def until_closed(self) -> None:
        """Return when the gateway stops."""
        await self._closing.wait()

    @contextlib.contextmanager
    def listening(self, client_id: str) -> Iterator[None]:
        """Count one more listener of the client. Raises TooManyListeners."""
        one = self._clients.setdefault(client_id, _Listened())
        if one.listeners >= LISTENERS:
            raise TooManyListeners
        one.listeners += 1
        if one.poller is None:
            one.poller = asyncio.create_task(self._poll(client_id, one), name=f"feed {client_id}")
        try:
            yield
        finally:
            one.listeners -= 1
            if not one.listeners:
                del self._clients[client_id]
                one.poller.cancel()
                if one.later is not None:
                    one.later.cancel()

    def listeners(self, client_id: str) -> int:
        """Return how many listen to the client's feed."""
        one = self._clients.get(client_id)
        return one.listeners if one is not None else 0

    def wake(self, client_id: str) -> None:
        """Hint that the client's feed has grown."""
        one = self._clients.get(client_id)
        if one is None or one.later is not None:
            return
        loop = asyncio.get_running_loop()
        wait = one.told_at + CALM_SECONDS - loop.time()
        if wait > 0:
            one.later = loop.call_later(wait, self._tell, one)
        else:
            self._tell(one)

    def look(self, client_id: str) -> Seen:
        """Return how the feed stands; to be asked before the store is read."""
        one = self._clients[client_id]
        return Seen(one.changes, one.last)

    async def changed(self, client_id: str, seen: Seen, after: int, seconds: float) -> None:
        """Wait until the feed may hold more than was read after *seen* above *after*: at most *seconds*, less if closed."""
        one = self._clients[client_id]
        known = max(after, seen.last)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._closed and one.changes == seen.changes and one.last <= known:
                    await one.changed.wait()

    def _tell(self, one: _Listened) -> None:
        one.later = None
        one.changes += 1
        one.told_at = asyncio.get_running_loop().time()
        changed, one.changed = one.changed, asyncio.Event()
        changed.set()

    async def _poll(self, client_id: str, one: _Listened) -> None:
        while True:
            try:
                last = await self._store.last_position(client_id)
            except StoreError as error:
                log.warning("feed_waits_for_store", client=client_id, error=str(error))
            else:
                if last > one.last:
                    one.last = last
                    self._tell(one)
            await asyncio.sleep(POLL_SECONDS)
