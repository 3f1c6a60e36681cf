"""A message as the store gives it, for tests of what is shown of it. Its id looks like a formula on purpose."""

from datetime import UTC, datetime

from kurir.domain.message import Priority
from kurir.domain.status import Status
from kurir.store.base import ErrorRecord, MessageRecord

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
RECORD = MessageRecord(
    seq=1,
    tid="t1",
    client_id="shop",
    channel="whatsapp",
    account_id="wa",
    message_id="=1+1",
    recipient="+628123456789",
    address="628123456789",
    type="text",
    status=Status.FAILED,
    queued=False,
    run=1,
    reason=None,
    waiting_until=None,
    error=ErrorRecord("recipient_unreachable", "gone", "131026"),
    accepted_at=NOW,
    due_at=NOW,
    expires_at=NOW,
    parts_total=1,
    priority=Priority.NORMAL,
)
