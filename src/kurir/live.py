"""Follows the configuration while the process runs: clients and accounts that were made, changed or switched off.

What is true stands in the store, and a version of it. A change that this process made is followed before its answer goes
out. One that another node made comes by a hint; and every node looks at the version each second, so that a lost hint delays
and never loses.

With one process all accounts are its own. With leases it begins and ends none by itself: which ones there are is all that
:mod:`kurir.nodes` has to know. An account that is at work is begun anew here, when what it works by has changed.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from kurir.auth import Authenticator
from kurir.clock import Clock
from kurir.directory import Changes, Directory
from kurir.nodes import Keeper
from kurir.store.base import Store, StoreError
from kurir.workers import DRAIN_SECONDS, AccountWork, Workers

log = structlog.get_logger(__name__)

#: How often the configuration's version is looked at, in seconds.
LOOK_SECONDS: Final = 1.0
#: How often it is written down which clients were let in, in seconds.
USED_SECONDS: Final = 60.0
#: So many clients at once: they share a commit where the database lets them.
USED_AT_ONCE: Final = 50
#: The hint that clients or accounts have changed.
HINT: Final = "configuration"


class Live:
    """Brings *directory*, *authenticator* and the workers in line with the store. *keeper* is None with one process.

    *workers* is asked from :meth:`start` on. Belongs to one event loop.
    """

    def __init__(
        self,
        store: Store,
        directory: Directory,
        authenticator: Authenticator,
        clock: Clock,
        work: AccountWork,
        workers: Callable[[], Workers],
        keeper: Keeper | None = None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._authenticator = authenticator
        self._clock = clock
        self._work = work
        self._workers = workers
        self._keeper = keeper
        self._followed = -1
        self._following = asyncio.Lock()
        self._hint = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._moves: set[asyncio.Task[None]] = set()
        self._wrote_used_at = clock.monotonic()

    async def load(self) -> None:
        """Read clients and accounts for the first time. Raises StoreError, and what opening an account raises."""
        version = await self._store.configuration_version()
        await self._directory.reload(self._store)
        self._authenticator.replace(self._directory.clients().values())
        self._followed = version

    def start(self) -> None:
        """Begin to look, when all workers are there."""
        self._task = asyncio.create_task(self._look(), name="configuration")

    async def stop(self) -> None:
        """Look no more, and write down who was let in. Accounts that end or begin anew are left to their workers."""
        if self._task is None:
            return
        running = [self._task, *self._moves]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._task = None
        with contextlib.suppress(StoreError):
            await self._write_used()

    def alive(self) -> bool:
        """Return whether it looks."""
        return self._task is not None and not self._task.done()

    def hear(self) -> None:
        """Another node says that something changed."""
        self._hint.set()

    async def changed(self) -> None:
        """Follow what this process just changed, and tell the other nodes. Never raises: what fails is done in a second."""
        if self._keeper is not None:
            self._keeper.tell(HINT)
        try:
            await self.follow()
        except StoreError as error:
            log.warning("configuration_not_followed", error=str(error), retry_in=LOOK_SECONDS)

    async def follow(self) -> None:
        """Do as the store says by now, if it is not done. Raises StoreError.

        On return new accounts are known and at work, or about to be. Those that end or begin anew have stopped to begin
        calls; the ones that run end meanwhile.
        """
        async with self._following:
            version = await self._store.configuration_version()
            if version != self._followed:
                changes = await self._directory.follow(self._store)
                self._authenticator.replace(self._directory.clients().values())
                self._followed = version
                self._move(changes)
                await asyncio.sleep(0)  # a worker that begins has begun, and one that ends begins nothing more
                log.info(
                    "configuration_followed",
                    version=version,
                    begun=sorted(changes.begun),
                    ended=sorted(changes.ended),
                    changed=sorted(changes.changed),
                )
            await self._workers().media.follow()

    def _move(self, changes: Changes) -> None:
        """Let the workers follow. What runs may take its time to end, which the next change does not wait for."""
        for account_id in changes.changed:
            self._spawn(self._restart(account_id, mended=account_id in changes.mended))
        if self._keeper is None:
            for account_id in changes.ended:
                self._spawn(self._work.end(account_id, DRAIN_SECONDS))
            for account_id in changes.begun:
                self._spawn(self._work.begin(account_id))
        elif changes.begun or changes.ended:
            self._keeper.look()

    async def _restart(self, account_id: str, *, mended: bool) -> None:
        try:
            await self._work.restart(account_id, mended=mended)
        except StoreError as error:
            log.warning("account_not_unparked", account=account_id, error=str(error))

    def _spawn(self, move: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(move)
        self._moves.add(task)
        task.add_done_callback(self._moved)

    def _moved(self, task: asyncio.Task[None]) -> None:
        self._moves.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("account_fault", exc_info=task.exception())

    async def _look(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._hint.wait()
            self._hint.clear()
            try:
                await self.follow()
                if self._clock.monotonic() - self._wrote_used_at >= USED_SECONDS:
                    await self._write_used()
            except StoreError as error:
                log.debug("configuration_not_looked_at", error=str(error))
            except Exception:
                log.exception("configuration_fault")

    async def _write_used(self) -> None:
        """Write down which clients were let in since the last time. Raises StoreError: then it is not known."""
        self._wrote_used_at = self._clock.monotonic()
        used, now = sorted(self._authenticator.used()), self._clock.now()
        for place in range(0, len(used), USED_AT_ONCE):
            await asyncio.gather(*(self._store.client_used(one, now) for one in used[place : place + USED_AT_ONCE]))
