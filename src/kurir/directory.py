"""Who is who in this process: clients and accounts by their names, read from the store at start.

The hot paths ask this instead of the database. ``follow`` brings it in line with a change while the process runs.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from kurir.channels.base import Channel
from kurir.domain.account import Account, MediaPolicy, MessengerSettings, WhatsAppSettings
from kurir.store.base import AccountRecord, ClientRecord, Store

log = structlog.get_logger(__name__)


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


@dataclass(frozen=True, slots=True)
class Changes:
    """Which accounts are enabled now and were not before, which are no more, and of which the worker has to begin anew.

    ``mended`` are those of the *changed* that have other settings, or another platform's address.
    """

    begun: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()
    mended: frozenset[str] = frozenset()


class Directory:
    """The enabled clients and accounts. *open_account* decrypts a record into an account."""

    def __init__(self, channels: Mapping[str, Channel], open_account: Callable[[AccountRecord], Account]) -> None:
        self._channels = channels
        self._open = open_account
        self._clients: dict[str, ClientRecord] = {}
        self._known: dict[str, ClientRecord] = {}
        self._accounts: dict[str, Entry] = {}
        self._defaults: dict[tuple[str, str], Entry] = {}
        self._owners: dict[tuple[str, str], Entry] = {}

    async def reload(self, store: Store) -> None:
        """Read every client and account anew, with how each stands. Raises what opening an account raises.

        An account of a channel that is not installed is passed over, and logged: its messages wait.
        """
        clients = await self._enabled_clients(store)
        for record in await store.accounts():
            if record.enabled and record.channel not in self._channels:
                fix = (
                    f"install the package that brings the channel {record.channel} and restart, or disable the account"
                )
                log.warning("account_without_channel", account=record.id, channel=record.channel, fix=fix)
        accounts = [
            self._entry(record, self._channels[record.channel])
            for record in await self._enabled_accounts(store, clients)
        ]
        self._take(clients, accounts)

    async def follow(self, store: Store) -> Changes:
        """Bring clients and accounts in line with the store, and return what changed.

        How an account stands is kept: its worker knows it best. Only one that has other settings than before stands as the
        store says. An account that cannot be opened stays as it was, and is logged. Raises StoreError.
        """
        clients = await self._enabled_clients(store)
        accounts: list[Entry] = []
        changed: set[str] = set()
        mended: set[str] = set()
        for record in await self._enabled_accounts(store, clients):
            old = self._accounts.get(record.id)
            try:
                entry = self._entry(record, self._channels[record.channel])
            except Exception:
                log.exception("account_not_opened", account=record.id)
                if old is not None:
                    accounts.append(old)
                continue
            if old is not None:
                if _where(old.account) != _where(entry.account):
                    mended.add(record.id)
                else:
                    entry = replace(old, account=entry.account)
                if _work(old.account) != _work(entry.account):
                    changed.add(record.id)
            accounts.append(entry)
        before = frozenset(self._accounts)
        self._take(clients, accounts)
        now = frozenset(self._accounts)
        return Changes(now - before, before - now, frozenset(changed), frozenset(mended))

    async def _enabled_clients(self, store: Store) -> dict[str, ClientRecord]:
        return {record.id: record for record in await store.clients() if record.enabled}

    async def _enabled_accounts(self, store: Store, clients: Collection[str]) -> list[AccountRecord]:
        return [
            record
            for record in sorted(await store.accounts(), key=lambda one: (one.client_id, one.position))
            if record.enabled and record.client_id in clients and record.channel in self._channels
        ]

    def _entry(self, record: AccountRecord, channel: Channel) -> Entry:
        return Entry(
            account=self._open(record),
            channel=channel,
            parked_code=record.parked_code,
            parked_reason=record.parked_reason,
            paused=record.paused_at is not None,
            held_since=record.held_since,
            held_until=record.held_until,
            held_reason=record.held_reason,
        )

    def _take(self, clients: dict[str, ClientRecord], entries: Iterable[Entry]) -> None:
        accounts: dict[str, Entry] = {}
        defaults: dict[tuple[str, str], Entry] = {}
        owners: dict[tuple[str, str], Entry] = {}
        for entry in entries:
            account = entry.account
            accounts[account.id] = entry
            place = (account.client_id, account.channel)
            if place not in defaults or (account.default and not defaults[place].account.default):
                defaults[place] = entry
            owner = owner_of(account)
            if owner:
                owners[account.channel, owner] = entry
        self._clients, self._accounts, self._defaults, self._owners = clients, accounts, defaults, owners
        self._known |= clients

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

    def client(self, client_id: str) -> ClientRecord:
        """Return a client that is enabled, or was when what is being done for it began. Raises KeyError."""
        return self._known[client_id]

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


def _where(account: Account) -> tuple[object, ...]:
    """Return as whom *account* calls, and where."""
    return account.settings, account.api_base


def _work(account: Account) -> Account:
    """Return what a worker of *account* works by: not which one is the default, nor what becomes of files."""
    return replace(account, default=False, inbound_media=MediaPolicy.STREAM)


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
