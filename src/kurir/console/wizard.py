"""Connecting a bot, a channel, a number or a page: what is proposed, what keeps it from being made, what is waited for. Pure.

Findings come from ``kurir.connect`` in the platform's own words, and are shown as they are. What is asked for stands in
:mod:`kurir.console.offers`.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kurir.administration.accounts import NewAccount
from kurir.administration.fields import Fields
from kurir.channels.base import Channel
from kurir.channels.setup import Finding, Identity, Report
from kurir.configuration.accounts import channel_keys, read_account
from kurir.console.words import mark
from kurir.domain import channel as channels
from kurir.domain.account import (
    Account,
    LineSettings,
    MessengerSettings,
    TelegramSettings,
    WhatsAppSettings,
)
from kurir.sandbox.config import SandboxConfig

#: After so long without a webhook, what may be in its way is told.
PATIENCE: Final = timedelta(seconds=60)
_SHORT: Final = {
    channels.WHATSAPP: "wa",
    channels.TELEGRAM: "tg",
    channels.LINE: "line",
    channels.MESSENGER: "fb",
}

#: What makes the platform call for the first time.
_HINTS: Final = {
    channels.TELEGRAM: mark("Write anything to %(who)s in Telegram."),
    channels.LINE: mark("Add %(who)s as a friend in LINE and write anything, or press Verify in the console."),
    channels.WHATSAPP: mark("Write anything to %(who)s in WhatsApp."),
    channels.MESSENGER: mark("Write anything to %(who)s in Messenger."),
}

#: Why nothing may have come, by channel; what concerns every channel comes first. Each is a trap that others fell into
#: (ecosystem notes, 1.5): proxies that time out, a certificate without its intermediate, a token put into the wrong field.
_EVERYWHERE: Final = (
    mark(
        "No request reached the gateway. Look at what stands before it: a CDN, a firewall or a bot filter may answer instead."
    ),
    mark(
        "The certificate must be complete. A missing intermediate certificate works in browsers, and not for platforms."
    ),
)
_LATE: Final = {
    channels.TELEGRAM: (
        mark("Telegram calls the ports 443, 80, 88 and 8443 only, and over IPv4."),
        mark("Another system that sets the webhook of the same bot takes it away from here: run the check below."),
    ),
    channels.LINE: (
        mark(
            "In the LINE Developers Console «Use webhook» must be on, and the account's «Response mode» must let webhooks "
            "through."
        ),
        mark("LINE gives up after two seconds: a slow proxy is enough."),
    ),
    channels.WHATSAPP: (
        mark("The verify token goes into the field «Verify token». The access token does not belong there."),
        mark(
            "Meta gives the verification six seconds, and the address must be taken as it is: no redirect, no added slash."
        ),
        mark(
            "The field «messages» must be subscribed, and the app must be live for numbers that are not test numbers."
        ),
    ),
    channels.MESSENGER: (
        mark("The verify token goes into the field «Verify token». The access token does not belong there."),
        mark(
            "Meta gives the verification six seconds, and the address must be taken as it is: no redirect, no added slash."
        ),
        mark("An app in development hears only from people who have a role in it."),
    ),
}


def proposed_id(client_id: str, channel: str, taken: Collection[str]) -> str:
    """Return an id for a new account that nobody has: the client's with the channel's short name, and a number if need be.

    It holds no phone number, since it stands in the webhook's address.
    """
    plain = re.sub(r"[^a-z0-9-]+", "-", client_id.lower()).strip("-")
    if not plain or re.search(r"[0-9]{7}", plain):
        plain = "account"
    base = f"{plain[:40].rstrip('-')}-{_SHORT.get(channel, channel)}"
    number = 2
    found = base
    while found in taken:
        found, number = f"{base}-{number}", number + 1
    return found


def unsaved(new: NewAccount, known: Mapping[str, Channel]) -> Account:
    """Return the account that *new* would make, which is stored nowhere. Raises Refused with everything that is wrong."""
    channel = known.get(channels.canonical(new.channel))
    keys = [key.name for key in channel_keys(channel.NAME, channel.SETTINGS)] if channel is not None else []
    fields = Fields(keys)
    values = {**new.options, **new.settings, "id": new.id, "channel": new.channel}
    account = read_account(fields, (), values, new.client_id, known)
    fields.finish()
    assert account is not None, "without problems there is an account"  # noqa: S101 - an order within this function
    return account


def twins(account: Account, others: Iterable[Account]) -> list[str]:
    """Return the ids of accounts that are the very same bot, channel, number or page: one webhook serves one of them."""
    mine = _sender(account)
    return sorted(
        one.id for one in others if one.id != account.id and one.channel == account.channel and _sender(one) == mine
    )


def _sender(account: Account) -> str:
    match account.settings:
        case TelegramSettings():
            return account.settings.token.partition(":")[0]
        case LineSettings():
            return account.settings.channel_secret
        case WhatsAppSettings():
            return account.settings.phone_number_id
        case MessengerSettings():
            return account.settings.page_id
        case _:
            return account.id


def obstacles(report: Report, *, replace: bool) -> tuple[Finding, ...]:
    """Return of a check before the account is made what keeps it from being made: the rest is mended by connecting it.

    A platform that did not tell who the account is has refused its credentials, or was not reached. A webhook that leads
    elsewhere is somebody's: it is taken with *replace* only.
    """
    if report.identity is None:
        return tuple(one for one in report.findings if one.code != "public_url_missing") or report.findings
    return tuple(one for one in report.findings if one.code == "webhook_elsewhere" and not replace)


def who(identity: Identity | None) -> str:
    """Return how people know an account: its handle, else its name, else its id; "" where nobody told."""
    return "" if identity is None else identity.handle or identity.name or identity.id


def hint(channel: str) -> str:
    """Return what makes the platform call for the first time, with ``%(who)s`` for whom to write to; "" for others."""
    return _HINTS.get(channel, "")


def late(channel: str) -> tuple[str, ...]:
    """Return what may keep webhooks from coming."""
    return (*_EVERYWHERE, *_LATE.get(channel, ()))


@dataclass(frozen=True, slots=True)
class Waiting:
    """Whether the platform has called. ``called_at``: a webhook, or Meta's handshake; ``heard_at``: somebody wrote.

    ``late``: for a minute nothing has come that was waited for. ``fetches``: updates are fetched, nobody calls.
    """

    called_at: datetime | None
    heard_at: datetime | None
    late: bool
    fetches: bool

    @property
    def reached(self) -> bool:
        """Whether the connection is proven."""
        return self.called_at is not None or self.heard_at is not None


def waiting(
    called_at: datetime | None, heard_at: datetime | None, since: datetime | None, now: datetime, *, fetches: bool
) -> Waiting:
    """Return how an account that was connected *since* then (None: nobody knows) stands, as far as its platform has called."""
    reached = called_at is not None or heard_at is not None
    is_late = not reached and (since is None or now - since >= PATIENCE)
    return Waiting(called_at, heard_at, is_late, fetches)


def sandbox_values(config: SandboxConfig, url: str, channel: str) -> dict[str, str]:
    """Return the credentials of the emulated account of *channel*, which open nothing but the sandbox at *url*."""
    whatsapp, page = config.whatsapp, config.messenger
    every: dict[str, dict[str, str]] = {
        channels.TELEGRAM: {"api_base": f"{url}/telegram", "token": config.telegram.token},
        channels.LINE: {
            "api_base": f"{url}/line",
            "data_api_base": f"{url}/line",
            "channel_access_token": config.line.channel_access_token,
            "channel_secret": config.line.channel_secret,
        },
        channels.WHATSAPP: {
            "api_base": f"{url}/graph",
            "phone_number_id": whatsapp.phone_number_id,
            "waba_id": whatsapp.waba_id,
            "access_token": whatsapp.access_token,
            "app_secret": whatsapp.app_secret,
            "app_id": str(whatsapp.app_id),
        },
        channels.MESSENGER: {
            "api_base": f"{url}/graph",
            "page_id": page.page_id,
            "page_access_token": page.page_access_token,
            "app_secret": page.app_secret,
            "app_id": str(page.app_id),
        },
    }
    return every.get(channel, {})
