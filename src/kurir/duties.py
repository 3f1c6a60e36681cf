"""What a node does for what it owns: an account's queue, updates and quota; an endpoint's callbacks; the upkeep.

:mod:`kurir.nodes` decides what that is. This is also where the hints of other nodes arrive, and where it is looked, every
second, what others changed in the store.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Final

import structlog

from kurir.clock import Clock
from kurir.directory import Directory
from kurir.domain.account import MediaPolicy
from kurir.nodes import Hint
from kurir.store.base import StoreError
from kurir.store.postgres import PostgresStore
from kurir.store.postgres.leases import ACCOUNT, ENDPOINT, UPKEEP
from kurir.workers import AccountWork, Workers

log = structlog.get_logger(__name__)

#: Hints that are about an account.
_OF_ACCOUNTS: Final = frozenset({"wake", "settled", "stopped", "paused", "resumed"})


class Duties:
    """:class:`kurir.nodes.Works` of a gateway. *workers* is asked when the first lease was taken, not before.

    *configured* is told that another node changed clients or accounts.
    """

    def __init__(
        self,
        store: PostgresStore,
        directory: Directory,
        clock: Clock,
        workers: Callable[[], Workers],
        configured: Callable[[], None] = lambda: None,
    ) -> None:
        self.accounts = AccountWork(workers)
        self._configured = configured
        self._store = store
        self._directory = directory
        self._clock = clock
        self._workers = workers
        self._standing = asyncio.Lock()
        self._asked = self._looked = 0
        self._reload: asyncio.Task[None] | None = None
        self._looked_around = False
        self.upkeeping = False

    def wanted(self) -> Mapping[str, Collection[str]]:
        """Return the names of all leases that somebody has to hold, by kind."""
        return {
            ACCOUNT: [ACCOUNT + account_id for account_id in self._directory.accounts()],
            ENDPOINT: [ENDPOINT + endpoint_id for endpoint_id in self._workers().deliverer.enabled()],
            UPKEEP: [UPKEEP],
        }

    async def own(self, name: str) -> None:
        """Begin to work for it. Raises StoreError."""
        workers = self._workers()
        if name.startswith(ACCOUNT):
            account_id = name.removeprefix(ACCOUNT)
            await self._look()  # how it stands now: the owner before wrote down what holds it back
            await self.accounts.begin(account_id)
        elif name.startswith(ENDPOINT):
            await workers.deliverer.own(name.removeprefix(ENDPOINT))
        elif name == UPKEEP and not self.upkeeping:
            await workers.media.start()  # one node keeps files: two of a host may share the folder
            workers.upkeep.start()
            self.upkeeping = True

    async def disown(self, name: str, seconds: float) -> None:
        """Work for it no more."""
        workers = self._workers()
        if name.startswith(ACCOUNT):
            await self.accounts.end(name.removeprefix(ACCOUNT), seconds)
        elif name.startswith(ENDPOINT):
            await workers.deliverer.disown(name.removeprefix(ENDPOINT), seconds)
        elif name == UPKEEP:
            self.upkeeping = False
            await workers.upkeep.stop()
            await workers.media.stop()

    async def follow(self) -> None:
        """Look what others changed in the store. Raises StoreError."""
        await self._look()
        await self._workers().deliverer.reload()
        if not self._looked_around:
            await self._look_around()
            self._looked_around = True

    async def _look_around(self) -> None:
        """Say it where files are kept on this machine, or another, and links to them are opened on all."""
        keeping = sum(one.account.inbound_media is MediaPolicy.KEEP for one in self._directory.accounts().values())
        hosts = {node.host for node in await self._store.nodes()} if keeping else set()
        if len(hosts) > 1:
            log.warning(
                "kept_files_need_a_shared_folder",
                accounts=keeping,
                hosts=sorted(hosts),
                advice='One node fetches the files of accounts with inbound_media = "keep", into its own folder. Let all '
                "hosts share it: else links that are opened on another one last as long as the platform has the file.",
            )

    async def _look(self) -> None:
        """Bring accounts in line with the store; what several ask for at once is done once."""
        self._asked += 1
        mine = self._asked
        async with self._standing:
            if self._looked >= mine:
                return
            asked, asked_at = self._asked, self._clock.monotonic()
            self._workers().dispatcher.follow(await self._store.standings(), asked_at)
            self._looked = asked

    def hear(self, hint: Hint) -> None:
        """Another node gave a hint. One that is not understood comes from a newer version."""
        workers = self._workers()
        match hint:
            case [word, *facts] if word in _OF_ACCOUNTS and facts:
                workers.dispatcher.hear(word, *facts)
            case ["fed", client_id]:
                workers.fed(client_id)
            case ["rescan", endpoint_id]:
                worker = workers.deliverer.worker(endpoint_id)
                if worker is not None:
                    worker.rescan()
            case ["configuration"]:
                self._configured()
            case ["endpoints"]:
                if self._reload is None or self._reload.done():
                    self._reload = asyncio.create_task(self._reload_endpoints(workers), name="endpoints changed")
            case _:
                log.debug("hint_not_understood", word=str(hint[:1]))

    async def _reload_endpoints(self, workers: Workers) -> None:
        try:
            await workers.deliverer.reload()
        except StoreError as error:
            log.debug("endpoints_not_read", error=str(error))
