"""All that works for an account in this process, begun, ended and begun anew as one.

Its queue, its updates, its quota and its files are four workers that know nothing of one another. One change of an account
is made at a time, whether a lease asks for it (:mod:`kurir.duties`) or the configuration (:mod:`kurir.live`).
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kurir.callbacks.deliverer import Deliverer
from kurir.connect.quota import Quotas
from kurir.delivery.dispatcher import Dispatcher
from kurir.egress import CALL_SECONDS, CONNECT_SECONDS
from kurir.intake.media_keep import MediaKeeper
from kurir.intake.poll import Poller
from kurir.upkeep import Upkeep

#: How long calls may take to end that run with settings which have changed, or for an account that was switched off: as long
#: as any takes that uploads nothing. One that is cut off may have been carried out, and would be made again.
DRAIN_SECONDS: Final = CONNECT_SECONDS + CALL_SECONDS


@dataclass(frozen=True, slots=True)
class Workers:
    """All that works. *fed* is told a client whose feed may have grown, on this node only."""

    dispatcher: Dispatcher
    deliverer: Deliverer
    poller: Poller
    quotas: Quotas
    upkeep: Upkeep
    media: MediaKeeper
    fed: Callable[[str], None]


class AccountWork:
    """The work for accounts. *workers* is asked when the first one begins, not before."""

    def __init__(self, workers: Callable[[], Workers]) -> None:
        self._workers = workers
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def begin(self, account_id: str) -> None:
        """Work for the account from now on."""
        workers = self._workers()
        async with self._turns[account_id]:
            workers.dispatcher.own(account_id)
            workers.poller.own(account_id)
            workers.quotas.wake(account_id)

    async def end(self, account_id: str, seconds: float) -> None:
        """Work for the account no more; calls that run may end for at most *seconds*."""
        workers = self._workers()
        async with self._turns[account_id]:
            await workers.poller.disown(account_id)
            await workers.dispatcher.disown(account_id, seconds)

    async def restart(self, account_id: str, *, mended: bool) -> None:
        """Work for the account as it is configured now, if it is this node's. Raises StoreError, and works all the same."""
        workers = self._workers()
        async with self._turns[account_id]:
            if not workers.dispatcher.owns(account_id):
                return
            await workers.poller.disown(account_id)
            try:
                await workers.dispatcher.restart(account_id, DRAIN_SECONDS, mended=mended)
            finally:
                if workers.dispatcher.owns(account_id):
                    workers.poller.own(account_id)
                    workers.quotas.wake(account_id)
