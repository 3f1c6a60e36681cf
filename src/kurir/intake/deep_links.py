"""Deep links: a person who opens one is known from then on, and by which phone.

A link carries a token of ours: random, good once and for a while. Who comes back with it (``kurir.intake.arrivals``) is tied
to the phone it was made for. That proves who opened the link, not whose phone it is: give it to the holder of the phone
only.

- Telegram: ``https://t.me/<bot>?start=<token>``; the token has up to 64 characters of ``A-Za-z0-9_-`` ("Deep linking" of
  the Bot features page). The bot's name is asked once, by getMe.
- Messenger: ``https://m.me/<page>?ref=<token>`` ("m.me links" of the Messenger Platform).
- LINE: the token is the nonce of the account link, 10 to 255 characters that cannot be guessed ("Linking user accounts" of
  the Messaging API). The page of the client's own system sends the person on to :data:`LINE_PAGE`, where it puts the
  linkToken that LINE issued for this person.
- WhatsApp needs none: the phone is the address.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import quote

from kurir.channels.base import Answer
from kurir.channels.telegram.bot import plain_call
from kurir.clock import Clock
from kurir.directory import Entry
from kurir.domain import channel
from kurir.domain.account import Account, MessengerSettings, TelegramSettings
from kurir.egress import Egress
from kurir.store.inbound import InboundStore, LinkRecord

#: Bytes of chance in a token; 32 characters.
TOKEN_BYTES: Final = 24
#: Where LINE ties a nonce to a person; the client's page fills the linkToken in.
LINE_PAGE: Final = "https://access.line.me/dialog/bot/accountLink?linkToken={{linkToken}}&nonce={nonce}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A link to make: *phone* in digits, or "", and the *payload* that comes back with the person."""

    phone: str
    payload: str
    life: timedelta


@dataclass(frozen=True, slots=True)
class DeepLink:
    """A link that was made, and is durable."""

    url: str
    record: LinkRecord


@dataclass(frozen=True, slots=True)
class NeedsNone:
    """The channel has no such links, and why none is needed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Nameless:
    """The bot's name is not known, since the platform did not tell: our error code, and why."""

    code: str
    reason: str


class DeepLinks:
    """Makes deep links. *egress* asks for the bots' names, which are remembered: they change with the token alone."""

    def __init__(self, store: InboundStore, clock: Clock, egress: Callable[[], Egress]) -> None:
        self._store = store
        self._clock = clock
        self._egress = egress
        self._names: dict[str, tuple[Account, str]] = {}

    async def make(self, entry: Entry, wanted: Wanted) -> DeepLink | NeedsNone | Nameless:
        """Make a link for the account of *entry*. On return its token is durable. Raises StoreError."""
        account, token = entry.account, secrets.token_urlsafe(TOKEN_BYTES)
        url = await self._url(account, token)
        if not isinstance(url, str):
            return url
        now = self._clock.now()
        record = LinkRecord(
            token, account.client_id, account.id, now, wanted.phone, wanted.payload, expires_at=now + wanted.life
        )
        await self._store.put_link(record)
        return DeepLink(url, record)

    async def _url(self, account: Account, token: str) -> str | NeedsNone | Nameless:
        match account.settings:
            case TelegramSettings():
                name = await self._bot_name(account)
                return name if isinstance(name, Nameless) else f"https://t.me/{quote(name, safe='')}?start={token}"
            case MessengerSettings():
                return f"https://m.me/{quote(account.settings.page_id, safe='')}?ref={token}"
            case _ if account.channel == channel.LINE:
                return LINE_PAGE.format(nonce=token)
            case _ if account.channel == channel.WHATSAPP:
                return NeedsNone("on WhatsApp the phone is the address: send to it, and nothing has to be linked")
            case _:
                return NeedsNone(f"{account.channel} has no deep links; link with PUT /v1/contacts")

    async def _bot_name(self, account: Account) -> str | Nameless:
        known = self._names.get(account.id)
        if known is not None and known[0] == account:
            return known[1]
        call, masked = plain_call(account, "getMe", {}), account.settings.secrets()
        exchange = await self._egress().send(call, masked, account.client_id)
        if not isinstance(exchange.answer, Answer):
            return Nameless("not_reached", f"Telegram did not answer who the bot is: {exchange.answer.reason}")
        name = _name_in(exchange.answer)
        if isinstance(name, str):
            self._names[account.id] = account, name
        return name


def _name_in(answer: Answer) -> str | Nameless:
    """{"ok": true, "result": {"id": 99, "is_bot": true, "first_name": "Shop", "username": "shop_bot"}}."""
    body = answer.json() or {}
    found = body.get("result")
    name = found.get("username") if isinstance(found, dict) else None
    if answer.status == 200 and isinstance(name, str) and name:
        return name
    said = str(body.get("description") or "no reason given")[:300]
    if answer.status in (401, 404):  # 404 where the token is not even shaped like one
        return Nameless("account_credentials", f"Telegram refused the bot's token ({answer.status}): {said}")
    return Nameless("platform_unavailable", f"Telegram did not tell the bot's name ({answer.status}): {said}")
