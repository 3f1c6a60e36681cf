"""Events that never happened, for an endpoint to be tried with. Their ids say ``test``, and so does a header."""

from datetime import datetime
from typing import Final

from kurir.channels.base import InboundMessage, Kind, Person, Press
from kurir.clock import uuid7
from kurir.domain.status import Status
from kurir.intake import inbound_data
from kurir.store.base import PartRecord, Phase
from kurir.store.feed import STATUS_KIND, EventRecord, StatusChange

#: The header that tells a test from an event, and its value.
HEADER: Final = ("Kurir-Test", "true")
#: The kinds that there is an example of: those that both dialects carry.
KINDS: Final = (STATUS_KIND, inbound_data.RECEIVED, inbound_data.POSTBACK)

_CHANNEL: Final = "whatsapp"
_ACCOUNT: Final = "test"
_ADDRESS: Final = "628111000001"


def event(kind: str, client_id: str, at: datetime) -> EventRecord:
    """Return an example of an event of *kind*, one of :data:`KINDS`."""
    change, data = (_change(at), b"") if kind == STATUS_KIND else (None, inbound_data.dump(_received(kind, at)))
    return EventRecord(0, client_id, kind, _ACCOUNT, _CHANNEL, _ADDRESS, at, change, data)


def webhook_id() -> str:
    """Return a new id, which no event has."""
    return f"evt_test_{uuid7().replace('-', '')}"


def _change(at: datetime) -> StatusChange:
    part = PartRecord(1, Phase.ANSWERED, Status.SENT, 1, ("wamid.test",), at, at)
    return StatusChange(
        tid=uuid7(),
        message_id="test-message",
        recipient=_ADDRESS,
        status=Status.SENT,
        previous=Status.PENDING,
        provider_message_id="wamid.test",
        parts=(part,),
    )


def _received(kind: str, at: datetime) -> dict[str, object]:
    pressed = kind == inbound_data.POSTBACK
    message = InboundMessage(
        event_id="test",
        owner="",
        at=at,
        sender=Person(_ADDRESS, _ADDRESS, "Test", phone=_ADDRESS),
        kind=Kind.POSTBACK if pressed else Kind.TEXT,
        platform_id="wamid.test",
        text="" if pressed else "This is a test of your callback endpoint.",
        press=Press("test-key", "Test") if pressed else None,
    )
    return inbound_data.received(message, channel=_CHANNEL, account_id=_ACCOUNT, key="test-key" if pressed else "")
