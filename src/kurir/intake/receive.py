"""A platform's webhook comes in: verified over the raw bytes, parsed, and on disk before it is answered.

The account in the path gives the secret. Each entry of a Meta batch goes to the account of the same app that owns its
number or page; entries of others are ignored, since their secret has not vouched for them.

What a webhook says of messages and people becomes events of the client's feed (``kurir.intake.arrivals``), committed with
its receipts in one transaction. Calls that a platform wants at once (Telegram's answer to a pressed button) are made
after the commit, never durably and never twice.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from kurir.channels.base import (
    TIME_UNTOLD,
    AccountNews,
    Call,
    Handshake,
    Ignored,
    Inbound,
    Receipt,
    WebhookRequest,
    WebhookUnreadable,
)
from kurir.clock import Clock
from kurir.directory import Directory, Entry, owner_of, same_app
from kurir.egress import Egress
from kurir.intake.arrivals import Arrivals, Resolver
from kurir.store import GatewayStore
from kurir.store.base import ErrorRecord, ReceiptRecord, StoreError
from kurir.store.inbound import TakenIn, Webhook

log = structlog.get_logger(__name__)

#: Calls that are made at once, at most, beside the webhooks that asked for them; what comes beyond is not made.
CALLS_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Stored:
    """What the webhook held is durable. Counts are of its events; ``new`` of those that were not known before."""

    receipts: int
    ignored: int
    new: int = 0


@dataclass(frozen=True, slots=True)
class Hears:
    """Who is told of what came in, once it is durable.

    ``settled``: (account id, address) of what was open until a receipt told of it. ``fed``: the client whose feed has
    grown. ``stopped``: (account id, error) of an account that the platform stopped.
    """

    settled: Callable[[str, str], None] = lambda *_: None
    fed: Callable[[str], None] = lambda _: None
    stopped: Callable[[str, ErrorRecord], None] = lambda *_: None


class Receiver:
    """Takes webhooks. *egress* makes the calls that a platform wants at once; without it they are not made."""

    def __init__(
        self,
        store: GatewayStore,
        directory: Directory,
        clock: Clock,
        hears: Hears | None = None,
        egress: Callable[[], Egress | None] = lambda: None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._hears = hears or Hears()
        self._egress = egress
        self._resolver = Resolver(store, clock)
        self._calls: set[asyncio.Task[None]] = set()

    async def receive(self, entry: Entry, request: WebhookRequest) -> Handshake | Stored:
        """Verify, parse and store *request* of the account's platform.

        Raises WebhookRejected when it is not the platform's, StoreUnavailable when it could not be made durable. A body
        that the platform signed and nobody can read is logged and taken: asking for it again would bring the same.
        """
        handshake = entry.channel.verify(entry.account, request)
        if handshake is not None:
            return handshake
        try:
            events = entry.channel.parse(entry.account, request)
        except WebhookUnreadable as error:
            log.warning("webhook_unreadable", account=entry.account.id, size=len(request.body), why=str(error))
            return Stored(0, 0)
        return await self.take(entry, events)

    async def take(
        self, entry: Entry, events: Sequence[Inbound], *, poll_offset: tuple[str, int] | None = None
    ) -> Stored:
        """Make *events* of the account's platform durable, with *poll_offset* (account id, offset) in the same commit.

        Raises StoreUnavailable; then nothing of it happened.
        """
        receipts: list[ReceiptRecord] = []
        arrivals = Arrivals()
        ignored = 0
        for event in events:
            if isinstance(event, Ignored):
                ignored += 1
                log.info("webhook_event_ignored", account=entry.account.id, why=event.why)
                continue
            owner = self._owner(entry, event.owner)
            dated = event if event.at != TIME_UNTOLD else replace(event, at=self._clock.now())
            if owner is None:
                ignored += 1
                log.warning("webhook_of_another_account", account=entry.account.id, owner=event.owner)
            elif isinstance(dated, Receipt):
                receipts.append(_record(owner, dated))
            elif isinstance(dated, AccountNews):
                self._account_news(owner, dated)
            else:
                try:
                    arrivals += await self._resolver.arrivals(owner, dated)
                except StoreError:
                    raise
                except Exception:  # a fault of ours: one event must not hold back its neighbours, again and again
                    log.exception("event_not_understood", account=owner.account.id, event_id=dated.event_id)
                    ignored += 1
        if receipts or arrivals.records or poll_offset is not None:
            now = self._clock.now()
            taken = await self._store.take_in(Webhook(now, receipts, arrivals.records, poll_offset))
            self._tell(taken, arrivals)
            return Stored(len(receipts), ignored, len(taken.new))
        return Stored(0, ignored)

    async def stop(self) -> None:
        """Let the calls that are under way end for a moment, and give the others up: they were never promised."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=1.0)
        for task in self._calls:
            task.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    # --- after the commit -------------------------------------------------------------------------------------------------

    def _tell(self, taken: TakenIn, arrivals: Arrivals) -> None:
        for place in taken.settled:
            self._hears.settled(*place)
        for client_id in taken.clients:
            self._hears.fed(client_id)
        for event_id, (owner, calls) in arrivals.calls.items():
            if event_id in taken.new:
                for call in calls:
                    self._call(owner, call)

    def _call(self, entry: Entry, call: Call) -> None:
        egress = self._egress()
        if egress is None or len(self._calls) >= CALLS_AT_ONCE:
            log.warning("call_not_made", account=entry.account.id, method=call.method)
            return
        task = asyncio.create_task(_make(egress, entry, call))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def _account_news(self, owner: Entry, news: AccountNews) -> None:
        level = log.error if news.stops else log.warning
        level("account_news", account=owner.account.id, code=news.code, why=news.reason)
        if news.stops:
            self._hears.stopped(owner.account.id, ErrorRecord(news.code, news.reason))

    def _owner(self, entry: Entry, number: str) -> Entry | None:
        """Return the account that the platform's *number* belongs to, if the secret of *entry* vouches for it.

        A number that two accounts share is meant for the one that was called.
        """
        if number in ("", owner_of(entry.account)):
            return entry
        owner = self._directory.owner(entry.account.channel, number)
        return owner if owner is not None and same_app(owner.account, entry.account) else None


def _record(owner: Entry, receipt: Receipt) -> ReceiptRecord:
    error = receipt.error
    return ReceiptRecord(
        account_id=owner.account.id,
        event_id=receipt.event_id,
        status=receipt.status,
        at=receipt.at,
        platform_id=receipt.platform_id,
        watermark=receipt.watermark,
        address=receipt.address,
        reference=receipt.reference,
        error=ErrorRecord(error.code, error.reason, error.provider_code) if error else None,
    )


async def _make(egress: Egress, entry: Entry, call: Call) -> None:
    account = entry.account
    exchange = await egress.send(call, account.settings.secrets(), account.client_id)
    status = getattr(exchange.answer, "status", 0)
    if status != 200:
        log.info("call_refused", account=account.id, method=call.method, status=status)
