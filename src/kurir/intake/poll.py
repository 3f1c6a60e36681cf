"""Updates that are fetched, for a gateway that nobody can call from outside: ``receive = "poll"`` (Telegram's getUpdates).

The platform forgets an update when a later call names a higher offset. So the offset is committed together with what the
updates brought, and named only afterwards: a process that dies in between is given the same updates again, and takes in
none of them twice, since each has a number.

An offset is named only until the platform has heard it. After a week without updates it may number the next one at random
("Update", update_id), so below an offset that was kept for ever: the call that names it would confirm an update which
nobody has seen.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Final, Protocol, runtime_checkable

import structlog

from kurir.channels.base import Answer, Call, Inbound, WebhookUnreadable
from kurir.clock import Clock, SystemClock
from kurir.directory import Directory, Entry
from kurir.domain.account import Account
from kurir.egress import Egress
from kurir.intake.receive import Receiver
from kurir.store import GatewayStore
from kurir.store.base import StoreError

log = structlog.get_logger(__name__)

#: How long the platform holds a call that has nothing to bring, in seconds ("getUpdates": positive, up to 50).
HOLD_SECONDS: Final = 50
#: Updates at once; fewer after an answer that was too large to read.
LIMIT: Final = 100
#: The platform keeps an update for so long ("getUpdates"): an offset that is older has nothing left to confirm.
OFFSET_LIFE: Final = timedelta(hours=24)
#: The waits after a call that failed, in seconds: doubled up to the last.
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0


class Fetched(Protocol):
    """What an answer brought. ``offset`` is that of the next call, None where the last one still holds."""

    @property
    def events(self) -> Sequence[Inbound]:
        """The events, in their order."""
        ...

    @property
    def offset(self) -> int | None:
        """The offset."""
        ...


@runtime_checkable
class Polls(Protocol):
    """What a channel module has whose platform lets updates be fetched."""

    def poll(self, account: Account, offset: int | None, timeout_seconds: int, limit: int = ...) -> Call:
        """Return the call for the next updates."""
        ...

    def polled(self, account: Account, answer: Answer) -> Fetched:
        """Return what a 200 brought. Raises WebhookUnreadable."""
        ...

    def unhook(self, account: Account) -> Call:
        """Return the call that takes the platform's webhook away, which keeps updates from being fetched."""
        ...


class Poller:
    """Fetches the updates of every account of this node that wants it. *rng* spreads the waits after failures."""

    def __init__(
        self,
        store: GatewayStore,
        directory: Directory,
        egress: Egress,
        receiver: Receiver,
        clock: Clock | None = None,
        rng: Random | None = None,
        may_begin: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._may_begin = may_begin
        self._store = store
        self._directory = directory
        self._egress = egress
        self._receiver = receiver
        self._clock = clock or SystemClock()
        self._rng = rng or Random()  # noqa: S311 - jitter, not secrets
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Begin, for the accounts that are enabled now: all of them are this node's."""
        for account_id in self._directory.accounts():
            self.own(account_id)

    def own(self, account_id: str) -> None:
        """Begin for one account, if it wants it."""
        entry = self._directory.accounts().get(account_id)
        if entry is None or account_id in self._tasks or not isinstance(entry.channel, Polls):
            return
        if getattr(entry.account.settings, "receive", "webhook") == "poll":
            self._tasks[account_id] = asyncio.create_task(self._follow(account_id), name=f"poll {account_id}")

    async def disown(self, account_id: str) -> None:
        """End at once for one account: what was fetched and not committed is fetched again, by whoever owns it."""
        task = self._tasks.pop(account_id, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def stop(self) -> None:
        """End at once: what was fetched and not committed is fetched again."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    def alive(self) -> bool:
        """Return whether every account's loop runs."""
        return not any(task.done() for task in self._tasks.values())

    def accounts(self) -> Mapping[str, bool]:
        """Return the accounts whose updates are fetched, and whether each one's loop runs."""
        return {account_id: not task.done() for account_id, task in self._tasks.items()}

    async def _follow(self, account_id: str) -> None:
        wait, limit = 0.0, LIMIT
        while True:
            entry = self._directory.accounts().get(account_id)
            if entry is None:
                await asyncio.sleep(LONGEST_WAIT)
                continue
            if not self._may_begin(account_id):  # it may be another node's by now
                await asyncio.sleep(FIRST_WAIT)
                continue
            try:
                trouble = await self._once(entry, limit)
            except StoreError as error:
                trouble = f"the store does not answer: {error}"
            except Exception as error:  # a fault of ours must not end the account's updates for good
                log.exception("poll_fault", account=account_id)
                trouble = f"a fault of the gateway ({type(error).__name__})"
            if not trouble:
                wait, limit = 0.0, min(LIMIT, limit * 2)
                continue
            wait = min(LONGEST_WAIT, max(FIRST_WAIT, wait * 2))
            limit = max(1, limit // 2)  # perhaps the answer was too large
            log.warning("updates_not_fetched", account=account_id, why=trouble, retry_in=wait)
            await asyncio.sleep(self._rng.uniform(wait / 2, wait))

    async def _once(self, entry: Entry, limit: int) -> str:
        """Fetch once and take in what came; return why that did not work, "" where it did."""
        channel, account = entry.channel, entry.account
        assert isinstance(channel, Polls)  # noqa: S101 - only such accounts are followed
        offset = await self._store.poll_offset(account.id, self._clock.now() - OFFSET_LIFE)
        call = channel.poll(account, offset, HOLD_SECONDS, limit)
        exchange = await self._egress.send(call, account.settings.secrets(), account.client_id)
        answer = exchange.answer
        if not isinstance(answer, Answer):
            return answer.reason
        if answer.status == 409:  # "Conflict": a webhook is set, or another process fetches
            return await self._unhook(entry, channel, _said(answer))
        if answer.status != 200:
            return f"the platform answered {answer.status}: {_said(answer)}"
        try:
            fetched = channel.polled(account, answer)
        except WebhookUnreadable as error:
            return str(error)
        if fetched.offset is not None:
            await self._receiver.take(entry, fetched.events, poll_offset=(account.id, fetched.offset))
            return ""
        if offset is not None:  # it has heard it, and has nothing above it
            await self._store.drop_poll_offset(account.id, offset)
        if exchange.duration_ms < 1000:  # it did not hold the call as it was asked to
            await asyncio.sleep(FIRST_WAIT)
        return ""

    async def _unhook(self, entry: Entry, channel: Polls, said: str) -> str:
        """Take away the webhook that keeps updates from being fetched: the configuration says that they are."""
        if "webhook" not in said.lower():
            return f"somebody else fetches this account's updates: {said}"
        account = entry.account
        exchange = await self._egress.send(channel.unhook(account), account.settings.secrets(), account.client_id)
        if isinstance(exchange.answer, Answer) and exchange.answer.status == 200:
            log.warning("webhook_removed", account=account.id, why="receive is «poll», and a webhook was set")
        return said


def _said(answer: Answer) -> str:
    body = answer.json() or {}
    return str(body.get("description") or "no reason given")[:300]
