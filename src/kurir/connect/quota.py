"""How much of its monthly quota each account has used, as the platform says.

It is read at the start, hourly, and at once when a send was refused for it. LINE alone has one. It calls the number
approximate, so it is shown and never decides about a message.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from kurir.channels.line import setup as line_setup
from kurir.channels.setup import Finding
from kurir.clock import Clock
from kurir.connect.connector import converse
from kurir.directory import Directory, Entry
from kurir.domain import channel
from kurir.egress import Egress
from kurir.store import GatewayStore
from kurir.store.base import ErrorRecord, StoreError

log = structlog.get_logger(__name__)

#: How often an account is asked for, in seconds; how soon again after it did not answer; and at the soonest.
EVERY_SECONDS: Final = 3600.0
TROUBLE_SECONDS: Final = 300.0
LEAST_SECONDS: Final = 60.0
#: Why the platform stops an account that has used its quota up, by our code.
QUOTA: Final = "account_quota"


class Quotas:
    """Reads the quotas of the accounts of this node that have one, one account after the other."""

    def __init__(
        self,
        store: GatewayStore,
        directory: Directory,
        egress: Egress,
        clock: Clock,
        owns: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._owns = owns
        self._store = store
        self._directory = directory
        self._egress = egress
        self._clock = clock
        self._due: dict[str, float] = {}
        self._read: dict[str, float] = {}
        self._hint = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin: every account at once, then hourly."""
        self._task = asyncio.create_task(self._run(), name="quotas")

    async def stop(self) -> None:
        """End at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def alive(self) -> bool:
        """Return whether it runs."""
        return self._task is not None and not self._task.done()

    def parked(self, account_id: str, error: ErrorRecord) -> None:
        """Hear that the platform stopped the account: where it did so for its quota, that is read at once."""
        if error.code == QUOTA:
            self.wake(account_id)

    def wake(self, account_id: str) -> None:
        """Hint that a send was refused for the account's quota: it is read soon, at most once a minute."""
        soonest = self._read.get(account_id, -LEAST_SECONDS) + LEAST_SECONDS
        self._due[account_id] = max(self._clock.monotonic(), soonest)
        self._hint.set()

    async def read(self, account_id: str) -> bool:
        """Ask for the account's quota and keep it; return whether that worked. Raises StoreError."""
        entry = self._entries().get(account_id)
        if entry is None:
            return False
        self._read[account_id] = self._clock.monotonic()
        found = await converse(self._egress, entry.account, line_setup.quota(entry.account))
        if isinstance(found, Finding):
            log.warning("quota_not_read", account=account_id, why=found.detail)
            return False
        await self._store.set_quota(account_id, found.used, found.limit, self._clock.now())
        return True

    def _entries(self) -> dict[str, Entry]:
        """Return the enabled accounts that have a quota, as they are configured now."""
        accounts = self._directory.accounts().items()
        return {name: one for name, one in accounts if one.account.channel == channel.LINE and self._owns(name)}

    async def _run(self) -> None:
        while True:
            self._hint.clear()
            entries, now = self._entries(), self._clock.monotonic()
            self._due = {name: self._due.get(name, now) for name in entries}
            for name in [name for name, due in self._due.items() if due <= now]:
                del self._due[name]
                wait = await self._wait_after(name)
                self._due.setdefault(name, self._clock.monotonic() + wait)  # a hint may have come meanwhile
            # Nobody asks to be woken for an account that was added: it is found within the hour.
            wait = min((due - self._clock.monotonic() for due in self._due.values()), default=EVERY_SECONDS)
            try:
                async with asyncio.timeout(max(wait, 0.0)):
                    await self._hint.wait()
            except TimeoutError:
                continue

    async def _wait_after(self, account_id: str) -> float:
        """Read the account's quota; return after how many seconds it is read again."""
        try:
            return EVERY_SECONDS if await self.read(account_id) else TROUBLE_SECONDS
        except StoreError as error:
            log.warning("quota_not_kept", account=account_id, error=str(error))
        except Exception:
            log.exception("quota_fault", account=account_id)
        return TROUBLE_SECONDS
