"""Who is this recipient, here: from the form of the request to an address of the account.

The rules are ``contract.md``'s, "Recipient". A phone is the address on WhatsApp; elsewhere it has to be linked to one.
On Telegram digits that the account has heard from are a chat id; digits that are both are nobody's to guess.
"""

from dataclasses import dataclass

from kurir.domain import channel, recipient
from kurir.domain.account import Account
from kurir.domain.recipient import Form, Recipient
from kurir.store.base import ContactRecord, ErrorRecord, Store


@dataclass(frozen=True, slots=True)
class Resolved:
    """The recipient's address on the account, and what is known of the person there."""

    address: str
    contact: ContactRecord | None


def lane_of(channel_name: str, read: Recipient) -> str:
    """Return what orders messages to *read* before it is resolved: its address, or ``phone:`` and the digits.

    On WhatsApp the phone is the address, so that both spellings share a lane.
    """
    if read.form is Form.ADDRESS or channel_name == channel.WHATSAPP:
        return read.value
    return "phone:" + read.value


async def resolve(store: Store, account: Account, read: Recipient) -> Resolved | ErrorRecord:
    """Return the address that *read* has on *account*, or why it has none (status −1)."""
    if read.form is Form.ADDRESS:
        return Resolved(read.value, await store.contact(account.id, read.value))
    linked = await store.contact_by_phone(account.id, read.value)
    if account.channel == channel.WHATSAPP:
        if linked is not None:
            return Resolved(linked.address, linked)
        return Resolved(read.value, await store.contact(account.id, read.value))
    heard = await store.contact(account.id, read.value) if account.channel == channel.TELEGRAM else None
    if heard is not None and heard.last_inbound_at is None:
        heard = None  # only linked by somebody's hand: nobody has written from there
    if heard is not None and linked is not None and heard.address != linked.address:
        detail = (
            f"{read.value} is a chat that this account has heard from (tg:{read.value}), and a phone linked to "
            f"tg:{linked.address}; use one of these two"
        )
        return ErrorRecord("recipient_ambiguous", detail)
    found = heard or linked
    if found is not None:
        return Resolved(found.address, found)
    return ErrorRecord("recipient_not_linked", _how_to_link(account.channel, read.value))


def _how_to_link(channel_name: str, phone: str) -> str:
    prefix = recipient.PREFIX_OF.get(channel_name, channel_name)
    return (
        f"no {channel_name} address is linked to the phone {masked(phone)}; link it with PUT /v1/contacts/{channel_name}/"
        f'{{address}} and {{"phone": "…"}}, or send to the address itself ({prefix}:…)'
    )


def masked(phone: str) -> str:
    """Return a phone for a text that others may read: the last four digits."""
    return "…" + phone[-4:]
