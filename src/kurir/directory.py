"""Who is who in this process: clients and accounts by their names, read from the store at start.

The hot paths ask this instead of the database. ``reload`` follows a change of configuration.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from kurir.channels.base import Channel
from kurir.domain.account import Account, MessengerSettings, WhatsAppSettings
from kurir.store.base import AccountRecord, ClientRecord, Store


@dataclass(frozen=True, slots=True)
class Entry:
    """An enabled account, opened, with its channel, and whether the platform or the operator stopped it.

    From ``held_since`` until ``held_until`` the platform wants nothing of it, as was known at the start.
    """

    account: Account
    channel: Channel
    parked_code: str = ""
    parked_reason: str = ""
    paused: bool = False
    held_since: datetime | None = None
    held_until: datetime | None = None
    held_reason: str = ""


class Directory:
    """The enabled clients and accounts. *open_account* decrypts a record into an account."""

    def __init__(self, channels: Mapping[str, Channel], open_account: Callable[[AccountRecord], Account]) -> None:
        self._channels = channels
        self._open = open_account
        self._clients: dict[str, ClientRecord] = {}
        self._accounts: dict[str, Entry] = {}
        self._defaults: dict[tuple[str, str], Entry] = {}
        self._owners: dict[tuple[str, str], Entry] = {}

    async def reload(self, store: Store) -> None:
        """Read every client and account anew."""
        clients = {record.id: record for record in await store.clients() if record.enabled}
        accounts: dict[str, Entry] = {}
        defaults: dict[tuple[str, str], Entry] = {}
        owners: dict[tuple[str, str], Entry] = {}
        for record in sorted(await store.accounts(), key=lambda one: (one.client_id, one.position)):
            channel = self._channels.get(record.channel)
            if not record.enabled or record.client_id not in clients or channel is None:
                continue
            entry = Entry(
                account=self._open(record),
                channel=channel,
                parked_code=record.parked_code,
                parked_reason=record.parked_reason,
                paused=record.paused_at is not None,
                held_since=record.held_since,
                held_until=record.held_until,
                held_reason=record.held_reason,
            )
            accounts[record.id] = entry
            place = (record.client_id, record.channel)
            if place not in defaults or (record.is_default and not defaults[place].account.default):
                defaults[place] = entry
            owner = owner_of(entry.account)
            if owner:
                owners[record.channel, owner] = entry
        self._clients, self._accounts, self._defaults, self._owners = clients, accounts, defaults, owners

    def set_parked(self, account_id: str, code: str, reason: str) -> None:
        """Note that the platform stopped the account, or with "" that it works again, for those who ask here."""
        self._change(account_id, parked_code=code, parked_reason=reason)

    def set_paused(self, account_id: str, *, paused: bool) -> None:
        """Note whether the operator stopped the account, for those who ask here."""
        self._change(account_id, paused=paused)

    def set_held(self, account_id: str, since: datetime | None, until: datetime | None, reason: str) -> None:
        """Note until when the platform wants nothing of the account, for those who ask here."""
        self._change(account_id, held_since=since, held_until=until, held_reason=reason)

    def _change(self, account_id: str, **changes: Any) -> None:
        old = self._accounts.get(account_id)
        if old is None:
            return
        new = replace(old, **changes)
        self._accounts[account_id] = new
        for places in (self._defaults, self._owners):
            for place, entry in places.items():
                if entry is old:
                    places[place] = new

    def clients(self) -> Mapping[str, ClientRecord]:
        """Return the enabled clients by id."""
        return self._clients

    def accounts(self) -> Mapping[str, Entry]:
        """Return the enabled accounts by id."""
        return self._accounts

    def default(self, client_id: str, channel: str) -> Entry | None:
        """Return the client's default account on the channel."""
        return self._defaults.get((client_id, channel))

    def find(self, client_id: str, channel: str, account_id: str) -> Entry | None:
        """Return the client's account by id, if it is one of this channel."""
        entry = self._accounts.get(account_id)
        if entry is None or entry.account.client_id != client_id or entry.account.channel != channel:
            return None
        return entry

    def owner(self, channel: str, number: str) -> Entry | None:
        """Return the account that owns a platform's number (phone number id, page id) on the channel."""
        return self._owners.get((channel, number))


def owner_of(account: Account) -> str:
    """Return the platform's own number of *account*, by which its webhooks name it; "" where the path alone does."""
    match account.settings:
        case WhatsAppSettings():
            return account.settings.phone_number_id
        case MessengerSettings():
            return account.settings.page_id
        case _:
            return ""


def same_app(one: Account, other: Account) -> bool:
    """Return whether two accounts belong to one platform app, so that a webhook of one may carry entries of the other."""
    mine, theirs = getattr(one.settings, "app_secret", ""), getattr(other.settings, "app_secret", "")
    return one.channel == other.channel and bool(mine) and mine == theirs
