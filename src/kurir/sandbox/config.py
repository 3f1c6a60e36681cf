"""What a sandbox is made of: the four demo accounts, the people with their phones, and where receipts go.

Everything here is invented. The demo secrets are public on purpose: they open nothing but a sandbox, and fixed values
let a configuration, a tutorial and a test agree on them without passing them around.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: The emulated platforms, in the order in which their phones are shown.
CHANNELS: tuple[str, ...] = ("whatsapp", "telegram", "line", "messenger")


@dataclass(frozen=True, slots=True)
class WhatsAppNumber:
    """A business number on the WhatsApp Cloud API, with the app that owns it."""

    phone_number_id: str
    access_token: str
    app_secret: str
    waba_id: str
    display_phone_number: str
    verify_token: str
    app_id: int = 1517776481860112


@dataclass(frozen=True, slots=True)
class TelegramBot:
    """A Telegram bot. *token* begins with the bot's own user id; *secret_token* is what its webhook calls carry."""

    token: str
    secret_token: str
    username: str

    @property
    def id(self) -> int:
        """The bot's user id."""
        return int(self.token.partition(":")[0])


@dataclass(frozen=True, slots=True)
class LineChannel:
    """A LINE Messaging API channel and its official account. *quota* is its messages a month, None for no limit."""

    channel_access_token: str
    channel_secret: str
    bot_user_id: str
    basic_id: str
    quota: int | None = None


@dataclass(frozen=True, slots=True)
class MessengerPage:
    """A Facebook page that an app may write for."""

    page_id: str
    page_access_token: str
    app_secret: str
    app_id: int
    verify_token: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with four phones, or one phone with four apps: one address on each platform.

    *spelt* is how WhatsApp writes the phone where that is not how it is dialled, as with some numbers of Brazil, Mexico and
    Argentina ("Phone numbers" of the Cloud API): sends take both, and what WhatsApp tells has this one.
    """

    name: str
    phone: str
    telegram_chat_id: int
    line_user_id: str
    psid: str
    spelt: str = ""

    @property
    def username(self) -> str:
        """This person's name on Telegram, without the @."""
        return re.sub(r"[^a-z0-9]+", "_", f"{self.name.lower()}_demo")

    @property
    def bsuid(self) -> str:
        """This person's business-scoped user id on WhatsApp."""
        return f"ID.{int(hashlib.sha256(self.phone.encode()).hexdigest()[:13], 16) + 10**16}"

    @property
    def wa_id(self) -> str:
        """This person's number as WhatsApp tells it."""
        return self.spelt or self.phone

    def address(self, channel: str) -> str:
        """Return this person's address on *channel*."""
        addresses = (self.phone, str(self.telegram_chat_id), self.line_user_id, self.psid)
        return dict(zip(CHANNELS, addresses, strict=True))[channel]


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds after the acceptance of a message at which its receipts are due, on a phone that is online and open."""

    sent: float = 0.05
    delivered: float = 0.2
    read: float = 0.4


#: The platforms repeat a webhook that is not taken for an hour (Messenger), a day (Telegram), a week (WhatsApp), ever
#: more rarely. The sandbox does the same within ten minutes, so that a gateway that was down for a while misses nothing.
REDELIVERY: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, *(30.0,) * 19)


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """A whole sandbox.

    *webhooks* maps a channel to the gateway's webhook URL; a channel without one posts no receipts. *retries* are the
    waits in seconds before a webhook is posted again that was not answered 2xx. With a *seed* the same requests get the
    same platform ids; without one the ids are new at every start, as a gateway that keeps its database needs them.
    Rows of the ledger are also appended to the file *ledger*, when there is one.
    """

    whatsapp: WhatsAppNumber
    telegram: TelegramBot
    line: LineChannel
    messenger: MessengerPage
    people: tuple[Person, ...]
    business: str = "Demo Shop"
    webhooks: Mapping[str, str] = field(default_factory=dict)
    delays: Delays = Delays()
    retries: tuple[float, ...] = REDELIVERY
    seed: int | None = None
    ledger: Path | None = None


DEMO_WHATSAPP = WhatsAppNumber(
    phone_number_id="106540352242922",
    access_token="EAASandboxWhatsAppAccessToken0001",  # noqa: S106 - a demo value that opens nothing but a sandbox
    app_secret="5a4db0c5a4db0c5a4db0c5a4db0c0001",  # noqa: S106 - as above
    waba_id="102290129340398",
    display_phone_number="15550783881",
    verify_token="sandbox-verify-whatsapp",  # noqa: S106 - as above
)
DEMO_TELEGRAM = TelegramBot(
    token="7001000:AASandboxTelegramBotToken_000000001",  # noqa: S106 - as above; 35 characters after the colon
    secret_token="sandbox-secret-telegram",  # noqa: S106 - as above
    username="demo_shop_bot",
)
DEMO_LINE = LineChannel(
    channel_access_token="SandboxLineChannelAccessToken0001",  # noqa: S106 - as above
    channel_secret="5a4db0c5a4db0c5a4db0c5a4db0c0003",  # noqa: S106 - as above
    bot_user_id="U8e742f61d673b39c7fff3cecb7536ef0",
    basic_id="@demoshop",
)
DEMO_MESSENGER = MessengerPage(
    page_id="108123456789012",
    page_access_token="EAASandboxMessengerPageToken00001",  # noqa: S106 - as above
    app_secret="5a4db0c5a4db0c5a4db0c5a4db0c0004",  # noqa: S106 - as above
    app_id=1517776481860111,
    verify_token="sandbox-verify-messenger",  # noqa: S106 - as above
)

#: Ani has the number that the published sample of a request prints, x and all, so that the sample reaches her as it is.
#: A number has digits only, so WhatsApp tells another one of her.
DEMO_PEOPLE: tuple[Person, ...] = (
    Person("Ani", "628xxxxxxxx", 7001, "U7a1f0c52d38e4b96a0d3c1e5f7b92846", "24312345678907001", spelt="6281100007001"),
    Person("Budi", "6281234567890", 1001, "U4af4980629af4980629af4980629af49", "24312345678901234"),
)


#: Enough for any load test; each person has four phones, of a few hundred bytes when empty.
MAX_PEOPLE = 100_000


def crowd(count: int, seed: int) -> tuple[Person, ...]:
    """Return *count* people: the demo's, then others who are the same for the same *seed*.

    Their numbers count up behind a beginning that no demo address has, so that no two people share an address.
    """
    people = list(DEMO_PEOPLE[:count])
    for number in range(len(people), count):
        digest = hashlib.sha256(f"{seed}:person:{number}".encode()).hexdigest()
        digits = int(digest[:8], 16) % 10_000
        people.append(
            Person(
                name=f"Person {number + 1}",
                phone=f"6289{digits:04d}{number:06d}",
                telegram_chat_id=8_000_000_000 + digits * 1_000_000 + number,
                line_user_id=f"U{digest[:26]}{number:06x}",
                psid=f"2{digits:04d}{number:012d}",
            )
        )
    return tuple(people)


def demo_config(
    *,
    webhooks: Mapping[str, str] | None = None,
    delays: Delays | None = None,
    seed: int | None = None,
    people: int = 2,
    ledger: Path | None = None,
) -> SandboxConfig:
    """Return the demo sandbox: the demo accounts, Ani and Budi, receipts to *webhooks*.

    With more *people* than two, the others are made up, the same ones for the same *seed*.
    """
    return SandboxConfig(
        whatsapp=DEMO_WHATSAPP,
        telegram=DEMO_TELEGRAM,
        line=DEMO_LINE,
        messenger=DEMO_MESSENGER,
        people=crowd(people, seed or 0),
        webhooks=dict(webhooks or {}),
        delays=delays or Delays(),
        seed=seed,
        ledger=ledger,
    )
