"""Who is this recipient, here: from the form of the request to an address of the account.

The rules are ``contract.md``'s, "Recipient". A phone is the address on WhatsApp; elsewhere it has to be linked to one.
On Telegram digits that the account has heard from are a chat id; digits that are both are nobody's to guess. A phone that
has two spellings (``recipient.variants``) is looked for under both: what is sent to is the one that was given, unless the
person is known under the other.
"""

from dataclasses import dataclass
from typing import Final

from kurir.domain import channel, recipient
from kurir.domain.account import Account
from kurir.domain.recipient import Form, Recipient
from kurir.quick import quick
from kurir.store.base import ContactRecord, ErrorRecord, Store


@quick
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
    """Return the address that *read* has on *account*, or why it has none (status −1).

    A person who is known under another address (one that replaced it, WhatsApp's spelling of a phone) is written to there.
    """
    if read.form is Form.ADDRESS:
        known = await known_at(store, account, read.value)
        return Resolved(read.value if known is None else known.address, known)
    linked = await linked_to(store, account.id, read.value)
    if account.channel == channel.WHATSAPP:
        found = linked or await known_at(store, account, read.value)
        return Resolved(read.value if found is None else found.address, found)
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


async def known_at(store: Store, account: Account, address: str) -> ContactRecord | None:
    """Return the contact at *address* on *account*: one of its addresses, or of a phone's spellings on WhatsApp."""
    spellings = recipient.variants(address) if account.channel == channel.WHATSAPP else (address,)
    for spelling in spellings:
        found = await store.contact(account.id, spelling)
        if found is not None:
            return found
    return None


async def linked_to(store: Store, account_id: str, phone: str) -> ContactRecord | None:
    """Return the contact that *phone* is linked to, in this spelling of it or in another one of the same number."""
    for spelling in recipient.variants(phone):
        found = await store.contact_by_phone(account_id, spelling)
        if found is not None:
            return found
    return None


#: How a person can be known whose phone alone says nothing on a channel, beside a link that somebody makes by hand.
_WAYS: Final = {
    channel.TELEGRAM: (
        "have the person open a t.me link of POST /v1/contacts/links, or share their contact with the bot (a bot cannot "
        "write first)"
    ),
    channel.MESSENGER: "have the person open an m.me link of POST /v1/contacts/links",
    channel.LINE: "link their LINE account with a nonce of POST /v1/contacts/links",
}


def _how_to_link(channel_name: str, phone: str) -> str:
    prefix = recipient.PREFIX_OF.get(channel_name, channel_name)
    way = _WAYS.get(channel_name)
    return (
        f"no {channel_name} address is linked to the phone {masked(phone)}; link it with PUT /v1/contacts/{channel_name}/"
        f'{{address}} and {{"phone": "…"}} or «kurir contact import», {f"{way}, " if way else ""}or send to the address '
        f"itself ({prefix}:…)"
    )


def masked(phone: str) -> str:
    """Return a phone for a text that others may read: the last four digits."""
    return "…" + phone[-4:]
