"""What the pages of people show: who they are, where they can be reached, how long, and what to do where they cannot. Pure."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from kurir.channels.messenger import channel as messenger
from kurir.channels.whatsapp import channel as whatsapp
from kurir.console import masking, searching
from kurir.console.words import mark
from kurir.domain import channel
from kurir.domain.account import Account, MessengerSettings
from kurir.domain.recipient import PREFIX_OF
from kurir.store.base import ContactRecord

#: Why a phone alone does not lead to a person on a channel, and what does.
WAYS: Final = {
    channel.WHATSAPP: mark("The phone is the address: send to it, and nothing has to be linked."),
    channel.TELEGRAM: mark(
        "A bot cannot look a phone up, and cannot write first. Have the person open a t.me link made here, or share their "
        "contact with the bot."
    ),
    channel.LINE: mark(
        "LINE gives ids of its own and never a phone. The person adds the account as a friend; then your own page links "
        "them with the nonce of a link made here."
    ),
    channel.MESSENGER: mark(
        "Messenger gives each page ids of its own and never a phone. Have the person open an m.me link made here; their "
        "first message brings the id."
    ),
}


class Open(StrEnum):
    """Whether the platform takes a free message to the person now."""

    ALWAYS = "always"
    OPEN = "open"
    AGENT = "agent"
    CLOSED = "closed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Window:
    """Whether a message is taken now, and until when; ``until`` lies behind where it is closed, None where nothing ends.

    ALWAYS: the channel has no window. AGENT: only from people, on Messenger. UNKNOWN: they never wrote as far as is known.
    """

    open: Open
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """A contact as the pages show it: masked already where it is to be. ``plain`` is whether it is not."""

    record: ContactRecord
    reference: str
    address: str
    phone: str
    name: str
    username: str
    window: Window
    plain: bool

    @property
    def recipient(self) -> str:
        """The address with its prefix, as a send names it."""
        return f"{PREFIX_OF.get(self.record.channel, self.record.channel)}:{self.address}"


@dataclass(frozen=True, slots=True)
class Place:
    """An account of the client's, and who the phone is there; None where it leads to nobody. ``way`` says what does."""

    account: Account
    person: Person | None
    way: str

    @property
    def reached(self) -> bool:
        """Whether a send to the phone reaches somebody."""
        return self.person is not None or self.account.channel == channel.WHATSAPP

    @property
    def can_link(self) -> bool:
        """Whether there are links that a person opens."""
        return self.account.channel != channel.WHATSAPP


def window(record: ContactRecord, account: Account | None, now: datetime) -> Window:
    """Return whether the platform takes a free message to the person now. *account* is None where it is not enabled."""
    if record.channel not in (channel.WHATSAPP, channel.MESSENGER):
        return Window(Open.ALWAYS)
    if record.last_inbound_at is None:
        return Window(Open.UNKNOWN)
    lasts = whatsapp.WINDOW_SECONDS if record.channel == channel.WHATSAPP else messenger.WINDOW_SECONDS
    until = record.last_inbound_at + timedelta(seconds=lasts)
    if now <= until:
        return Window(Open.OPEN, until)
    settings = None if account is None else account.settings
    if isinstance(settings, MessengerSettings) and settings.human_agent:
        longest = record.last_inbound_at + timedelta(seconds=messenger.HUMAN_AGENT_SECONDS)
        if now <= longest:
            return Window(Open.AGENT, longest)
    return Window(Open.CLOSED, until)


def person(record: ContactRecord, reference: str, account: Account | None, now: datetime, *, plain: bool) -> Person:
    """Return a contact as it is shown; not *plain*: with phone, address and names masked."""

    def phone(text: str) -> str:
        return text if plain or not text else masking.phone(text)

    def name(text: str) -> str:
        return text if plain else masking.name(text)

    return Person(
        record=record,
        reference=reference,
        address=phone(record.address),
        phone=phone(f"+{record.phone}" if record.phone[:1].isdigit() else record.phone),
        name=name(record.name),
        username=name(record.username),
        window=window(record, account, now),
        plain=plain,
    )


def spellings(text: str, regions: Sequence[str]) -> tuple[str, ...]:
    """Return what *text* may be of a person: phones and addresses in every spelling, without the prefix of a channel."""
    found = searching.spellings(text, regions)
    bare = [one.partition(":")[2] for one in found if ":" in one]
    return tuple(dict.fromkeys(one for one in (*found, *bare, *(each.lstrip("+") for each in found)) if one))


def name_of_list(typed: str, channel_name: str, account_id: str) -> str:
    """Return what a list of people is called in the audit, where it was revealed: what was typed may be a phone."""
    whole = hashlib.sha256(f"{typed}\x00{channel_name}\x00{account_id}".encode()).hexdigest()[:12]
    words = [one for one in (masking.phone(typed) if typed else "", channel_name[:40], account_id[:100]) if one]
    return " ".join(["contacts", *words, whole])


def places(accounts: Iterable[Account], known: Sequence[Person]) -> list[Place]:
    """Return where the phone of *known* people leads to on each of *accounts*."""
    by_account = {one.record.account_id: one for one in known if one.record.phone}
    return [Place(one, by_account.get(one.id), WAYS.get(one.channel, "")) for one in accounts]
