"""A platform's webhook comes in: verified over the raw bytes, parsed, and on disk before it is answered.

The account in the path gives the secret. Each entry of a Meta batch goes to the account of the same app that owns its
number or page; entries of others are ignored, since their secret has not vouched for them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from kurir.channels.base import Handshake, Ignored, Receipt, WebhookRequest, WebhookUnreadable
from kurir.clock import Clock
from kurir.directory import Directory, Entry, owner_of, same_app
from kurir.store.base import ErrorRecord, ReceiptRecord, Store

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """What the webhook held is durable. Counts are of its events."""

    receipts: int
    ignored: int


class Receiver:
    """Takes webhooks. *settled* is told (account id, address) of what was open until a receipt told of it."""

    def __init__(
        self, store: Store, directory: Directory, clock: Clock, settled: Callable[[str, str], None] = lambda *_: None
    ) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._settled = settled

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
        receipts = [record for event in events if isinstance(event, Receipt) and (record := self._record(entry, event))]
        for event in events:
            if isinstance(event, Ignored):
                log.info("webhook_event_ignored", account=entry.account.id, why=event.why)
        if receipts:
            received = await self._store.receive(receipts, self._clock.now())
            for place in received.settled:
                self._settled(*place)
        return Stored(len(receipts), len(events) - len(receipts))

    def _record(self, entry: Entry, receipt: Receipt) -> ReceiptRecord | None:
        owner = self._owner(entry, receipt.owner)
        if owner is None:
            log.warning("webhook_of_another_account", account=entry.account.id, owner=receipt.owner)
            return None
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

    def _owner(self, entry: Entry, number: str) -> Entry | None:
        """Return the account that the platform's *number* belongs to, if the secret of *entry* vouches for it.

        A number that two accounts share is meant for the one that was called.
        """
        if number in ("", owner_of(entry.account)):
            return entry
        owner = self._directory.owner(entry.account.channel, number)
        return owner if owner is not None and same_app(owner.account, entry.account) else None
