"""Accounts that are made and changed while the gateway runs.

Their values are read by the readers of the configuration file, so a problem here is told as there. What the file declares is
the file's: it comes back at every start, and a change here would not last. An account that the file has stopped to name is
not enabled; whoever enables it here takes it over, with its messages and contacts.
"""

import secrets
import string
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from kurir.administration.fields import Fields
from kurir.administration.refusal import Refused, in_file, not_found
from kurir.channels.base import Channel
from kurir.clock import Clock
from kurir.configuration.accounts import ChannelKey, channel_keys, read_account, shown_value
from kurir.configuration.declared import account_record, open_account
from kurir.configuration.problems import suggestion
from kurir.configuration.values import show_rate
from kurir.domain.account import Account
from kurir.domain.channel import canonical
from kurir.domain.problem import Problem, pointer
from kurir.secretbox import SealError, SecretBox
from kurir.store.base import AccountRecord, Put, Store, StoreUnavailable

#: What every account has beside its settings; each may be given, and null is the default again.
OPTIONS: Final = (
    "api_base",
    "default",
    "concurrency",
    "unknown_outcome",
    "unknown_wait",
    "retry",
    "inbound_media",
    "rate",
)
#: Accounts of the file go before these, so that the first one is the default there as in the file alone.
_FIRST_POSITION: Final = 1000
#: A change that another one came before is made again, out of what that one left; so often, at most.
_TRIES: Final = 5
_ID_LETTERS: Final = 8


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to make. ``settings`` are its channel's own keys, ``options`` some of :data:`OPTIONS`.

    Without an ``id`` one is made of the channel and letters at random.
    """

    client_id: str
    channel: str
    id: str = ""
    settings: Mapping[str, object] = field(default_factory=dict, repr=False)
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Described:
    """An account as it is configured, as the file would write it. Of secrets only the names of those that are set."""

    record: AccountRecord
    settings: Mapping[str, object]
    secrets: tuple[str, ...]
    options: Mapping[str, object]


class Accounts:
    """The accounts, as an administrator changes them. See :class:`kurir.administration.Administration`."""

    def __init__(
        self,
        store: Store,
        box: Callable[[], SecretBox],
        channels: Mapping[str, Channel],
        clock: Clock,
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._box = box
        self._channels = channels
        self._clock = clock
        self._changed = changed

    async def create(self, wanted: NewAccount) -> AccountRecord:
        """Make an account, enabled. Durable, and at work here, on return. Raises Refused, StoreError."""
        records = await self._store.accounts()
        account_id = wanted.id or _made_id(canonical(wanted.channel))
        values = dict(wanted.options) | {"id": account_id, "channel": wanted.channel}
        channel = self._channels.get(canonical(wanted.channel))
        fields = self._fields(channel)
        if wanted.client_id not in {one.id for one in await self._store.clients() if one.enabled}:
            fields.add(
                Problem("/client", "unsupported_value", f"there is no enabled client «{wanted.client_id[:128]}»")
            )
        if any(one.id == account_id for one in records):
            fields.add(_taken(account_id))
        account = self._read(fields, values, wanted.settings, wanted.client_id)
        _refuse_second_default(fields, account, records)
        fields.finish()
        position = max([one.position + 1 for one in records if one.client_id == account.client_id] + [_FIRST_POSITION])
        record = replace(account_record(account, position, self._box()), declared=False)
        if await self._store.put_account(record, self._clock.now()) is not Put.DONE:
            raise Refused("invalid_parameters", problems=[_taken(account_id)])
        await self._changed()
        return await self.find(account_id)

    async def change(
        self, account_id: str, settings: Mapping[str, object] | None = None, options: Mapping[str, object] | None = None
    ) -> AccountRecord:
        """Change what is named of an account; None for a value is its default again. Everything else stays, secrets too.

        Durable on return; calls that run end as they were begun. Raises Refused, StoreError.
        """

        def changed(record: AccountRecord, records: list[AccountRecord]) -> AccountRecord:
            account = self._merged(self.opened(record), settings or {}, options or {})
            fields = Fields()
            _refuse_second_default(fields, account, records)
            fields.finish()
            return replace(account_record(account, record.position, self._box(), record), enabled=record.enabled)

        return await self._put(account_id, changed)

    async def disable(self, account_id: str) -> AccountRecord:
        """Switch an account off: it takes and sends nothing, and what it has to send waits. Durable on return.

        Raises Refused, StoreError.
        """
        return await self._put(account_id, lambda record, _: replace(record, enabled=False))

    async def enable(self, account_id: str) -> AccountRecord:
        """Switch an account on again. Durable, and at work here, on return. Raises Refused, StoreError."""
        return await self._put(account_id, lambda record, _: replace(record, enabled=True))

    async def find(self, account_id: str) -> AccountRecord:
        """Return an account. Raises Refused where there is none, StoreError."""
        return _of(await self._store.accounts(), account_id)

    def describe(self, record: AccountRecord) -> Described:
        """Return how an account is configured, without its secrets. Raises Refused where it cannot be opened."""
        account = self.opened(record)
        own = self._keys(self._channels[record.channel])
        secret = account.settings.SECRETS
        shown = {key.name: shown_value(key, getattr(account.settings, key.field)) for key in own}
        return Described(
            record,
            {key.name: shown[key.name] for key in own if key.field not in secret},
            tuple(key.name for key in own if key.field in secret and shown[key.name]),
            {
                "api_base": account.api_base,
                "default": account.default,
                "concurrency": account.concurrency,
                "unknown_outcome": account.unknown_outcome.value,
                "unknown_wait": _seconds(account.unknown_wait_seconds),
                "retry": _retry(account),
                "inbound_media": account.inbound_media.value,
                "rate": {name: show_rate(rate) for name, rate in sorted(account.rates.items())},
            },
        )

    def opened(self, record: AccountRecord) -> Account:
        """Return the account of *record*, secrets and all. Raises Refused where it cannot be opened."""
        try:
            return open_account(record, self._box(), self._channels)
        except (SealError, KeyError):
            detail = (
                f"the account «{record.id}» cannot be opened: its channel is not there, or its settings were sealed with "
                f"another encryption key"
            )
            raise Refused("internal", detail) from None

    async def _put(
        self, account_id: str, change: Callable[[AccountRecord, list[AccountRecord]], AccountRecord]
    ) -> AccountRecord:
        """Make *change* of an account, once more where another change came before it."""
        for _ in range(_TRIES):
            records = await self._store.accounts()
            record = _of(records, account_id)
            if record.declared and record.enabled:
                raise in_file("account", record.id)
            wanted = replace(change(record, records), declared=False)
            if _same(wanted, record):
                return record
            if await self._store.put_account(wanted, self._clock.now(), record) is Put.DONE:
                await self._changed()
                return await self.find(account_id)
        raise StoreUnavailable("the account was changed again and again meanwhile")

    def _keys(self, channel: Channel | None) -> tuple[ChannelKey, ...]:
        return () if channel is None else channel_keys(channel.NAME, channel.SETTINGS)

    def _fields(self, channel: Channel | None) -> Fields:
        return Fields([key.name for key in self._keys(channel)])

    def _read(
        self, fields: Fields, values: Mapping[str, object], settings: Mapping[str, object], client_id: str
    ) -> Account:
        """Return the account that *values* and *settings* make. Raises Refused with all that is wrong."""
        channel = self._channels.get(canonical(str(values["channel"])))
        known = [key.name for key in self._keys(channel)]
        for name in settings:
            if channel is not None and name not in known:
                hint = suggestion(name, known)
                fields.report(("settings", name), f"unknown setting of a {channel.NAME} account; {hint}")
        own = {name: value for name, value in settings.items() if name in known and value is not None}
        given = {name: _without_none(value) for name, value in values.items() if value is not None}
        account = read_account(fields, (), given | own, client_id, self._channels)
        if account is None:
            fields.finish()
        assert account is not None, "without problems there is an account"  # noqa: S101 - an order within this function
        return account

    def _merged(self, account: Account, settings: Mapping[str, object], options: Mapping[str, object]) -> Account:
        """Return *account* with what is named read anew, and the rest as it is. Raises Refused."""
        channel = self._channels[account.channel]
        own = self._keys(channel)
        fields = self._fields(channel)
        stored = {key.name: shown_value(key, getattr(account.settings, key.field)) for key in own}
        whole = {name: value for name, value in stored.items() if value != ""} | dict(settings)
        values = dict(options) | {"id": account.id, "channel": account.channel}
        if isinstance(retry := options.get("retry"), Mapping):
            values["retry"] = _retry(account) | dict(retry)
        read = self._read(fields, values, whole, account.client_id)
        fields.finish()
        named = {key.field for key in own if key.name in settings}
        changes: dict[str, Any] = {name: getattr(read, name) for name in OPTIONS if name in options and name in _PLAIN}
        if "unknown_wait" in options:
            changes["unknown_wait_seconds"] = read.unknown_wait_seconds
        if "retry" in options:
            changes["retrying"] = read.retrying
        if "rate" in options:
            given = options["rate"]
            some = {name: read.rates.get(name) for name in given} if isinstance(given, Mapping) else None
            changes["rates"] = read.rates if some is None else {**account.rates, **some}
        new = {name: getattr(read.settings, name) for name in named}
        return replace(account, settings=replace(account.settings, **new), **changes)


#: Options that are a member of an account by the same name.
_PLAIN: Final = frozenset({"api_base", "default", "concurrency", "unknown_outcome", "inbound_media"})


def _made_id(channel: str) -> str:
    letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(_ID_LETTERS))
    return f"{channel}-{letters}"


def _taken(account_id: str) -> Problem:
    return Problem(pointer("id"), "already_taken", f"id: there is an account «{account_id}»; choose another id")


def _of(records: list[AccountRecord], account_id: str) -> AccountRecord:
    for record in records:
        if record.id == account_id:
            return record
    raise not_found("account", account_id, "GET /v1/admin/accounts")


def _refuse_second_default(fields: Fields, account: Account, records: list[AccountRecord]) -> None:
    """Report it where the file names another default, which would come back at every start."""
    whose = account.client_id, account.channel
    for one in records:
        theirs = one.is_default and one.enabled and one.declared and (one.client_id, one.channel) == whose
        if account.default and theirs and one.id != account.id:
            detail = f"default: the configuration file names «{one.id}» the default; change it there"
            fields.add(Problem("/default", "already_taken", detail))


def _same(one: AccountRecord, other: AccountRecord) -> bool:
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("api_base", "sealed", "options", "is_default", "enabled", "declared")
    )


def _retry(account: Account) -> dict[str, object]:
    """Return how *account* tries again, as the file writes it."""
    retrying = account.retrying
    return {
        "attempts": retrying.attempts,
        "first": _seconds(retrying.first_seconds),
        "longest": _seconds(retrying.longest_seconds),
    }


def _without_none(value: object) -> object:
    """Return *value*, of a table without the entries that are None: those have their default."""
    if isinstance(value, Mapping):
        return {name: one for name, one in value.items() if one is not None}
    return value


def _seconds(seconds: float) -> str:
    return f"{seconds:g}s"
