"""What somebody does with a person whom an account knows: link a phone, take it away, erase all of them on request.

The routes of the API and of the console both come here. An address that was replaced by another names the same person, and
on WhatsApp so does the other spelling of a phone (``kurir.domain.recipient.variants``).
"""

from datetime import datetime

from kurir.domain import channel as channels
from kurir.domain import recipient as recipients
from kurir.domain.account import Account
from kurir.domain.recipient import Form, Recipient
from kurir.intake import identity
from kurir.store import GatewayStore
from kurir.store.base import ContactRecord
from kurir.store.inbound import Forgotten


def phone_of(text: str, region: str) -> str | None:
    """Return a phone's digits by the rules of a recipient, None when it is none. *region* is the client's default one."""
    read = recipients.read(channels.WHATSAPP, text, region)
    return read.value if isinstance(read, Recipient) and read.form is Form.PHONE else None


async def link(
    store: GatewayStore, account: Account, address: str, phone: str, now: datetime, *, name: str = ""
) -> ContactRecord:
    """Link *phone* (digits) to the person at *address*; whoever had it in this account loses it. Durable on return."""
    known = await identity.known_at(store, account, address)
    at = address if known is None else known.address
    # Two spellings of one number are one phone: it moves here in the spelling under which the account knows it.
    holder = await identity.linked_to(store, account.id, phone)
    if holder is not None and holder.address != at:
        phone = holder.phone
    record = ContactRecord(account.client_id, account.id, account.channel, at, phone, name, linked_at=now)
    return await store.put_contact(record, now)


async def erase(store: GatewayStore, account: Account, address: str, now: datetime) -> tuple[str, Forgotten]:
    """Erase the person at *address*; return under which address they stood, and what was erased.

    While something is being sent to them nothing is erased (``begun``). Durable on return.
    """
    known = await identity.known_at(store, account, address)
    stands = address if known is None else known.address
    spellings = recipients.variants(address) if account.channel == channels.WHATSAPP else (address,)
    everywhere = tuple(dict.fromkeys((stands, *spellings)))
    return stands, await store.forget(account.client_id, account.id, everywhere, now)


def being_sent(total: Forgotten) -> str:
    """Return the sentence for a person to whom something is under way: nobody knows yet what of it has left."""
    many = "a message to them has" if total.begun == 1 else f"{total.begun} messages to them have"
    return f"{many} begun to be sent, and must end first, at its expires_at at the latest: ask again then"
