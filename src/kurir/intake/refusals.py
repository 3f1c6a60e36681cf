"""What is known before a call: why the platform will refuse a message, from what it told of the person before.

A message that is known to be refused is not called for, and a preview says so. What is not known is tried.
"""

from datetime import datetime, timedelta
from typing import Final

from kurir.channels.base import Facts, Rejected
from kurir.directory import Entry
from kurir.domain.message import Message
from kurir.domain.status import Status
from kurir.intake.identity import Resolved
from kurir.store.base import ContactRecord

#: How long a refusal for blocking is believed that was an answer to a call, and not the platform's own news: then a message
#: is tried again. The news that the person came back may be lost, or seem older than the refusal, by another clock.
BELIEVED: Final = timedelta(minutes=10)


def known_refusal(message: Message, entry: Entry, facts: Facts, to: Resolved, now: datetime) -> Rejected | None:
    """Return why the platform is known to refuse *message* at *now* (UTC), with what would work; None: it is to be tried."""
    contact = to.contact
    if contact is not None and entry.channel.CAPABILITIES.tells_blocking and _blocks(contact, now):
        since = "" if contact.blocked_at is None else f" at {contact.blocked_at.isoformat(timespec='seconds')}"
        reason = f"the person blocked the account{since}, or it was removed from the chat; only they can undo that"
        return Rejected(Status.UNDELIVERED, "recipient_blocked", reason)
    return entry.channel.refusal(message, entry.account, facts)


def _blocks(contact: ContactRecord, now: datetime) -> bool:
    """Return whether the person is believed to block the account. A clock that was set back makes nothing believed longer."""
    if not contact.blocked or not contact.block_inferred or contact.blocked_at is None:
        return contact.blocked
    return abs(now - contact.blocked_at) < BELIEVED
