"""Templates as WhatsApp has them, read on request and kept, so that a send can be checked against them."""

from typing import Final

from kurir.channels.setup import Finding
from kurir.channels.whatsapp import setup as whatsapp_setup
from kurir.clock import Clock
from kurir.connect.connector import converse
from kurir.domain import channel
from kurir.domain.account import Account
from kurir.egress import Egress
from kurir.store import GatewayStore
from kurir.store.inbound import TemplateRecord

#: How long reading every page may take, in seconds.
SYNC_SECONDS: Final = 25.0


class NotSynced(Exception):
    """The templates could not be read, and what was known before still holds. The text says why, and what to do."""


async def sync(store: GatewayStore, egress: Egress, clock: Clock, account: Account) -> list[TemplateRecord]:
    """Read every template of the account from the platform and put them in place of those known; return them.

    On return they are durable. Raises NotSynced, then nothing has changed; or StoreError.
    """
    if account.channel != channel.WHATSAPP:
        raise NotSynced(f"templates are WhatsApp's; {account.id} is an account of {account.channel}")
    found = await converse(egress, account, whatsapp_setup.templates(account), seconds=SYNC_SECONDS)
    if isinstance(found, Finding):
        raise NotSynced(f"{found.detail}; {found.fix}" if found.fix else found.detail)
    now = clock.now()
    records = [TemplateRecord(one.name, one.language, one.status, one.category, one.components, now) for one in found]
    records.sort(key=lambda one: (one.name, one.language))
    await store.put_templates(account.id, records, now)
    return records
