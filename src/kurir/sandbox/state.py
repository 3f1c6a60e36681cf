"""One sandbox: its configuration and everything that the emulators share."""

import asyncio

from kurir.clock import Clock, SystemClock
from kurir.sandbox.config import SandboxConfig
from kurir.sandbox.faults import Faults
from kurir.sandbox.ids import Ids
from kurir.sandbox.ledger import Ledger
from kurir.sandbox.media import Uploads
from kurir.sandbox.phones import Phones
from kurir.sandbox.receipts import Receipts
from kurir.sandbox.reply_tokens import ReplyTokens
from kurir.sandbox.view import Phone


class Sandbox:
    """The state behind the HTTP routes."""

    def __init__(self, config: SandboxConfig, clock: Clock | None = None) -> None:
        self.config = config
        #: The command that sends a first message, which the page shows while its phones are empty.
        self.hint = ""
        self.clock = clock or SystemClock()
        self.ids = Ids(config.seed)
        self.phones = Phones(config)
        self.uploads = Uploads(self.ids)
        self.reply_tokens = ReplyTokens(self.ids, self.clock)
        self.faults = Faults()
        self.ledger = Ledger(config.ledger)
        #: Set when the sandbox stops: what waits or holds a connection open ends then.
        self.stopping = asyncio.Event()
        self.receipts = Receipts(
            phones=self.phones,
            clock=self.clock,
            webhooks=config.webhooks,
            secrets={"whatsapp": config.whatsapp.app_secret, "messenger": config.messenger.app_secret},
            retries=config.retries,
            faults=self.faults,
        )

    def switch(self, phone: Phone, *, online: bool | None = None, chat_open: bool | None = None) -> None:
        """Switch a phone on or off, or open or close its chat, and release the receipts that waited for it."""
        if online is not None:
            phone.online = online
            if online:
                self.phones.arrive(phone)
        if chat_open is not None:
            phone.chat_open = chat_open
        self.phones.touch(phone)
        self.receipts.release(phone)

    def reset(self) -> None:
        """Empty the phones and the ledger, and forget faults, uploads and receipts that were not told yet."""
        self.faults.clear()
        self.ledger.clear()
        self.receipts.reset()
        self.uploads.clear()
        self.reply_tokens.clear()
        self.phones.reset()
        self.phones.tell_faults()

    def connect(self, channel: str, url: str) -> None:
        """Post the receipts of *channel* to *url* from now on; "" posts none."""
        self.receipts.connect(channel, url)

    def stop_waiting(self) -> None:
        """End event streams, long polls and held connections, so that a server can shut down."""
        self.stopping.set()
        self.phones.close()

    async def close(self) -> None:
        """Stop everything that runs."""
        self.stop_waiting()
        await self.receipts.close()
        self.ledger.close()
