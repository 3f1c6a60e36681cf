"""One sandbox: its configuration and everything that the emulators share."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from starlette.types import ASGIApp

from kurir.clock import Clock, SystemClock
from kurir.sandbox.config import SandboxConfig
from kurir.sandbox.faults import Faults
from kurir.sandbox.ids import Ids
from kurir.sandbox.ledger import Ledger
from kurir.sandbox.line_people import LinePeople
from kurir.sandbox.media import Uploads
from kurir.sandbox.messenger_people import MessengerPeople
from kurir.sandbox.people import People
from kurir.sandbox.phones import Phones, rfc3339
from kurir.sandbox.receipts import Receipts
from kurir.sandbox.reply_tokens import QuoteTokens, ReplyTokens
from kurir.sandbox.telegram_people import TelegramPeople
from kurir.sandbox.telegram_presses import Presses
from kurir.sandbox.telegram_updates import Updates
from kurir.sandbox.transcript import Transcript
from kurir.sandbox.view import Phone
from kurir.sandbox.webhooks import Webhooks
from kurir.sandbox.whatsapp_people import WhatsAppPeople

#: Meta's window: so long after a person's last message a business may write freely.
WINDOW_SECONDS = 24 * 3600.0
#: What a page can be told; https://developers.facebook.com/docs/messenger-platform/webhooks lists more.
MESSENGER_FIELDS = (
    "messages",
    "messaging_postbacks",
    "message_deliveries",
    "message_reads",
    "message_echoes",
    "messaging_referrals",
    "messaging_optins",
    "message_reactions",
    "message_edits",
    "messaging_policy_enforcement",
    "messaging_account_linking",
    "messaging_handovers",
    "messaging_feedback",
    "standby",
)


#: What can be switched on a phone: whether it is online, the chat is on its screen, its owner tells what they read, and uses
#: the app at all.
SWITCHES = ("online", "chat_open", "receipts", "on_channel")


class SandboxClock:
    """The machine's clock, and how far the sandbox is ahead of it.

    Only ages follow what was moved ahead: of windows, tokens, presses, retry keys. The wall-clock time, which webhooks carry,
    stays true: a gateway that hears from a day to come would trust it above all that follows once the sandbox is back.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.ahead = 0.0

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Return seconds that only grow, with what the sandbox was moved ahead."""
        return self._clock.monotonic() + self.ahead


@dataclass(slots=True)
class Subscriptions:
    """What Meta's platforms tell: whether the WhatsApp account is subscribed, and the page's fields."""

    whatsapp: bool = True
    messenger: set[str] = field(default_factory=lambda: set(MESSENGER_FIELDS))


class Sandbox:
    """The state behind the HTTP routes."""

    #: Files sent by LINE that can be fetched by the id of their message.
    MAX_CONTENTS = 1000

    def __init__(self, config: SandboxConfig, clock: Clock | None = None) -> None:
        self.config = config
        #: Where it is served, without a slash at the end; "" until it is, or where nobody told.
        self.url = ""
        #: The command that sends a first message, which the page shows while its phones are empty.
        self.hint = ""
        self.clock = SandboxClock(clock or SystemClock())
        self.ids = Ids(config.seed)
        self.phones = Phones(config)
        self.uploads = Uploads(self.ids)
        self.reply_tokens = ReplyTokens(self.ids, self.clock)
        self.quote_tokens = QuoteTokens(self.ids)
        self.transcript = Transcript(
            lambda: self.clock.now().timestamp(), lambda token: self.quote_tokens.look(token)[1]
        )
        #: The platforms' routes alone, by which a transcript is played again; None where nobody serves them.
        self.platforms: ASGIApp | None = None
        self.line_contents: OrderedDict[str, str] = OrderedDict()
        self.presses = Presses(self.ids, self.clock)
        self.subscriptions = Subscriptions()
        self.faults = Faults()
        self.ledger = Ledger(config.ledger)
        #: Set when the sandbox stops: what waits or holds a connection open ends then.
        self.stopping = asyncio.Event()
        self.webhooks = Webhooks(config)
        self.updates = Updates(self.webhooks, self.clock, config.retries, self.ids.first_update())
        self.receipts = Receipts(
            phones=self.phones,
            clock=self.clock,
            webhooks=self.webhooks,
            updates=self.updates,
            retries=config.retries,
            faults=self.faults,
        )
        self.people = People(self)
        self.people.join("whatsapp", WhatsAppPeople(self, self.people))
        self.people.join("telegram", TelegramPeople(self, self.people))
        self.people.join("line", LinePeople(self, self.people))
        self.people.join("messenger", MessengerPeople(self, self.people))

    def switch(self, phone: Phone, switches: Mapping[str, bool]) -> None:
        """Set some of SWITCHES on a phone, and release what waited for it."""
        for name in SWITCHES:
            setattr(phone, name, switches.get(name, getattr(phone, name)))
        if switches.get("online"):
            self.phones.arrive(phone)
        self.transcript.switched(phone.channel, phone.person, switches)
        self.phones.touch(phone)
        self.receipts.release(phone)

    def move_clock(self, seconds: float) -> None:
        """Let *seconds* pass on the platforms and phones, all at once."""
        self.clock.ahead += seconds
        self.transcript.moved(seconds)
        for phone in self.phones:
            phone.ahead = self.clock.ahead
            phone.closed = phone.channel in ("whatsapp", "messenger") and self.window_closed(phone)
            self.phones.touch(phone)

    def window_closed(self, phone: Phone) -> bool:
        """Return whether Meta's 24 hours since the person's last message are over.

        Somebody who never wrote counts as having written when the sandbox began, but the hours that pass by themselves do not
        count for them: a sandbox that runs for days is not to close its windows unasked.
        """
        return self.silence(phone) > WINDOW_SECONDS

    def silence(self, phone: Phone) -> float:
        """Return the seconds since the phone's owner last wrote, as :meth:`window_closed` counts them."""
        return self.clock.ahead if phone.heard is None else self.clock.monotonic() - phone.heard

    def phone_time(self, phone: Phone) -> str:
        """Return the time that *phone* shows, RFC 3339."""
        return rfc3339(self.clock.now() + timedelta(seconds=phone.ahead))

    def reset(self) -> list[tuple[Phone, bool]]:
        """Empty the phones and the ledger, set the clock back, and forget faults, uploads and what was not told yet.

        Nobody blocks an account any more: it is told so, on the platforms that tell it. Returns the phones that did, each with
        whether its account is told.
        """
        blocked = [phone for phone in self.phones if phone.blocked]
        self.faults.clear()
        self.ledger.clear()
        self.receipts.reset()
        self.updates.reset()
        self.uploads.clear()
        self.reply_tokens.clear()
        self.quote_tokens.clear()
        self.line_contents.clear()
        self.presses.clear()
        self.transcript.clear()
        self.clock.ahead = 0.0
        self.phones.reset()
        self.phones.tell_faults()
        return [(phone, self.people.let_in(phone)) for phone in blocked]

    def connect(self, channel: str, url: str) -> None:
        """Post the webhooks of *channel* to *url* from now on; "" posts none."""
        self.webhooks.connect(channel, url)
        if channel == "telegram":
            self.updates.changed()

    def stop_waiting(self) -> None:
        """End event streams, long polls and held connections, so that a server can shut down."""
        self.stopping.set()
        self.phones.close()
        self.updates.stop_waiting()

    async def close(self) -> None:
        """Stop everything that runs."""
        self.stop_waiting()
        await self.receipts.close()
        await self.updates.close()
        await self.webhooks.close()
        self.ledger.close()
