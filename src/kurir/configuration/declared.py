"""From a configuration to what the store keeps, and back.

Passwords become hashes, settings and callback secrets sealed JSON. What the store holds already is kept byte for byte
where it still says the same: a password that still verifies keeps its hash, and settings that did not change keep their
sealed bytes. So a restart changes nothing, and an account that the platform stopped stays parked until its settings
really change. What was sealed with an older key is sealed anew, which is how a key is rotated.
"""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Final

from kurir.auth import Hasher
from kurir.channels.base import Channel
from kurir.configuration.model import CallbackConfig, ClientConfig, Configuration
from kurir.domain.account import Account, ChannelSettings, MediaPolicy, Rate, Retrying, UnknownOutcome
from kurir.secretbox import SealError, SecretBox
from kurir.store.base import AccountRecord, ClientRecord, Declared, EndpointRecord, Store

_NOTHING: Final = Declared()
#: How long a callback's old secret signs beside the new one, unless it is said otherwise.
ROTATION_OVERLAP: Final = timedelta(hours=24)


def declared(
    config: Configuration,
    box: SecretBox,
    existing: Declared = _NOTHING,
    *,
    now: datetime,
    hasher: Hasher | None = None,
) -> Declared:
    """Return what *config* declares, ready for :meth:`Store.declare`.

    *existing* is what the store holds (:func:`existing_records`). Verifying or hashing a chosen password takes some
    26 ms of a core; they are spread over all cores. *now* (UTC) is when a callback's secret changes that is new.
    """
    used = hasher or Hasher()
    stored_clients = {record.id: record for record in existing.clients}
    stored_accounts = {record.id: record for record in existing.accounts}
    stored_endpoints = {(record.client_id, record.url): record for record in existing.endpoints}
    with ThreadPoolExecutor(thread_name_prefix="kurir-declare") as pool:
        clients = tuple(
            pool.map(lambda client: client_record(client, used, stored_clients.get(client.id)), config.clients)
        )
    return Declared(
        clients,
        tuple(
            account_record(account, position, box, stored_accounts.get(account.id))
            for client in config.clients
            for position, account in enumerate(client.accounts)
        ),
        tuple(
            endpoint_record(client.id, callback, box, now, stored_endpoints.get((client.id, callback.url)))
            for client in config.clients
            for callback in client.callbacks
        ),
    )


async def existing_records(store: Store) -> Declared:
    """Return every client, account and endpoint that *store* holds."""
    clients = await store.clients()
    endpoints = [record for client in clients for record in await store.endpoints(client.id)]
    return Declared(clients, await store.accounts(), endpoints)


# --- one record -------------------------------------------------------------------------------------------------------


def client_record(client: ClientConfig, hasher: Hasher, stored: ClientRecord | None = None) -> ClientRecord:
    """Return *client* as it is stored, with the hash of *stored* if it is still good."""
    keeps = stored is not None and hasher.keeps(stored.password_hash, client.password)
    return ClientRecord(
        id=client.id,
        username=client.username,
        password_hash=stored.password_hash if stored and keeps else hasher.hash(client.password),
        default_region=client.default_region,
        max_age_seconds=int(client.max_age.total_seconds()),
        allow_from=client.allow_from,
        declared=True,
    )


def account_record(
    account: Account, position: int, box: SecretBox, stored: AccountRecord | None = None
) -> AccountRecord:
    """Return *account* as it is stored, with the sealed bytes of *stored* if they say the same."""
    return AccountRecord(
        id=account.id,
        client_id=account.client_id,
        channel=account.channel,
        api_base=account.api_base,
        sealed=_sealed(
            _json(asdict(account.settings)),
            account_about(account.client_id, account.id),
            box,
            stored.sealed if stored else None,
        ),
        options=_options(account),
        is_default=account.default,
        position=position,
        declared=True,
    )


def endpoint_record(
    client_id: str, callback: CallbackConfig, box: SecretBox, now: datetime, stored: EndpointRecord | None = None
) -> EndpointRecord:
    """Return *callback* as it is stored, with the sealed bytes of *stored* if they say the same.

    A secret that it replaces signs beside it for another day, so that receivers can follow.
    """
    about = endpoint_about(client_id, callback.url)
    known = _opened(stored.sealed, about, box) if stored is not None else {}
    plain = _json(
        {"secret": callback.secret, "headers": dict(callback.headers)} | _overlap(known, callback.secret, now)
    )
    return EndpointRecord(
        client_id=client_id,
        url=callback.url,
        dialect=callback.dialect,
        events=callback.events,
        sealed=_sealed(plain, about, box, stored.sealed if stored else None),
    )


def _overlap(known: Mapping[str, str], secret: str, now: datetime) -> dict[str, str]:
    """Return which secret signs beside *secret*, and until when, as :class:`kurir.callbacks.keys.Keys` reads it."""
    if not known:
        return {}
    if known["secret"] != secret:
        return {"previous": known["secret"], "previous_until": (now + ROTATION_OVERLAP).isoformat()}
    return {name: known[name] for name in ("previous", "previous_until") if name in known}


def _opened(sealed: bytes, about: str, box: SecretBox) -> dict[str, str]:
    """Return what is sealed of an endpoint, {} where it cannot be opened any more."""
    try:
        found: dict[str, str] = json.loads(box.open(sealed, about=about))
    except SealError:
        return {}
    return found


def account_about(client_id: str, account_id: str) -> str:
    """Return what an account's sealed settings are bound to."""
    return f"account:{client_id}:{account_id}"


def endpoint_about(client_id: str, url: str) -> str:
    """Return what an endpoint's sealed secrets are bound to."""
    return f"endpoint:{client_id}:{url}"


def _sealed(plain: bytes, about: str, box: SecretBox, stored: bytes | None) -> bytes:
    if stored is not None and box.is_current(stored):
        try:
            if box.open(stored, about=about) == plain:
                return stored
        except SealError:
            # Damaged, or moved here from another row: what is declared now replaces it.
            pass
    return box.seal(plain, about=about)


def _options(account: Account) -> str:
    return _json(
        {
            "concurrency": account.concurrency,
            "unknown_outcome": account.unknown_outcome.value,
            "unknown_wait_seconds": account.unknown_wait_seconds,
            "inbound_media": account.inbound_media.value,
            "retry": asdict(account.retrying),
            "rates": {
                name: None if rate is None else [rate.count, rate.seconds, rate.burst]
                for name, rate in sorted(account.rates.items())
            },
        }
    ).decode()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


# --- the way back -----------------------------------------------------------------------------------------------------


def open_account(record: AccountRecord, box: SecretBox, channels: Mapping[str, Channel]) -> Account:
    """Return the account of *record*. Raises KeyError for a channel that is not there, and SealError.

    Settings that the channel no longer has are left out, limits that it has newly get its default.
    """
    channel = channels[record.channel]
    about = account_about(record.client_id, record.id)
    stored = json.loads(box.open(record.sealed, about=about))
    options = json.loads(record.options)
    rates = {name: None if rate is None else Rate(*rate) for name, rate in options.get("rates", {}).items()}
    return Account(
        id=record.id,
        client_id=record.client_id,
        channel=record.channel,
        api_base=record.api_base,
        settings=_settings(channel.SETTINGS, stored),
        default=record.is_default,
        concurrency=options.get("concurrency", channel.CONCURRENCY),
        unknown_outcome=UnknownOutcome(options.get("unknown_outcome", UnknownOutcome.RESEND)),
        unknown_wait_seconds=float(options.get("unknown_wait_seconds", 90.0)),
        retrying=Retrying(**options.get("retry", {})),
        rates={**channel.RATES, **rates},
        inbound_media=MediaPolicy(options.get("inbound_media", MediaPolicy.STREAM)),
    )


def _settings(kind: type[ChannelSettings], stored: Mapping[str, object]) -> ChannelSettings:
    known = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in stored.items() if name in known})
