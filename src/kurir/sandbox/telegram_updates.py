"""Telegram's updates: numbered, kept until they are taken, posted to the webhook or fetched by a long poll.

Read from https://core.telegram.org/bots/api#getting-updates and, for what that page leaves open, from WebhookActor.cpp and
Client.cpp of https://github.com/tdlib/telegram-bot-api: an update that is not taken is posted again and holds up the later
ones of its chat and no others; a new getUpdates ends the one that waits. Updates live a day, presses 150 seconds.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kurir.clock import Clock
from kurir.sandbox.telegram_calls import refusal
from kurir.sandbox.webhooks import Webhooks, encode
from kurir.sandbox.wire import JsonObject

MAX_PENDING: Final = 20_000
LIFE_SECONDS: Final = 24 * 3600.0
PRESS_LIFE_SECONDS: Final = 150.0
#: What comes only to a bot that names it in ``allowed_updates``: https://core.telegram.org/bots/api#setwebhook.
BY_NAME_ONLY: Final = ("chat_member", "message_reaction", "message_reaction_count")
#: What the bot of a sandbox gets whose webhook was set by the configuration and not by ``setWebhook``.
CONFIGURED: Final = ("message", "edited_message", "callback_query", "my_chat_member", "message_reaction")

Note = Callable[[str], None]


@dataclass(slots=True)
class _Pending:
    """An update that nobody took yet: how often it is posted, and where its receiver's answers are noted."""

    chat: str
    update: JsonObject
    at: float
    copies: int
    note: Note


class Updates:
    """The queue of one bot."""

    def __init__(self, webhooks: Webhooks, clock: Clock, retries: tuple[float, ...], first: int) -> None:
        self._webhooks = webhooks
        self._clock = clock
        self._retries = retries or (1.0,)
        self._last = first
        self._pending: dict[int, _Pending] = {}
        self._drains: dict[str, asyncio.Task[None]] = {}
        self._polls = 0
        self._wake = asyncio.Event()
        self._closed = False
        self.allowed: tuple[str, ...] = CONFIGURED
        self.last_error: JsonObject = {}

    def __len__(self) -> int:
        self._expire()
        return len(self._pending)

    def put(self, chat: str, content: JsonObject, copies: int, note: Note) -> None:
        """Queue the update whose one member is *content*, unless its kind is not among the allowed ones."""
        kind = next(iter(content))
        if kind not in self.allowed if self.allowed else kind in BY_NAME_ONLY:
            note(f"not told: allowed_updates lacks {kind}")
            return
        self._last += 1
        self._pending[self._last] = _Pending(
            chat, {"update_id": self._last} | content, self._clock.monotonic(), copies, note
        )
        while len(self._pending) > MAX_PENDING:
            del self._pending[next(iter(self._pending))]
        if self._webhooks.url("telegram"):
            self._drain(chat)
        else:
            note("waits for getUpdates")
            self._stir()

    def changed(self, *, drop: bool = False) -> None:
        """Go on with what is pending after the webhook was set or taken away; *drop* forgets it."""
        if drop:
            self._pending.clear()
        self._polls += 1  # whoever polls is told that there is a webhook now
        self._stir()
        if self._webhooks.url("telegram"):
            for pending in list(self._pending.values()):
                self._drain(pending.chat)

    async def poll(self, offset: int, limit: int, seconds: float) -> list[JsonObject]:
        """Answer getUpdates: confirm what is before *offset*, return the rest, waiting *seconds* for the first.

        Raises RefusedError (409) beside a webhook, and when another call takes over.
        """
        self._refuse_beside_webhook("Conflict: can't use getUpdates method while webhook is active")
        self._polls += 1
        mine = self._polls
        self._stir()
        self._confirm(offset)
        deadline = asyncio.get_running_loop().time() + seconds
        while not (found := self._ready()) and not self._closed:
            remaining = deadline - asyncio.get_running_loop().time()
            if remaining <= 0:
                break
            wake = self._wake
            try:
                async with asyncio.timeout(remaining):
                    await wake.wait()
            except TimeoutError:
                break
            self._refuse_beside_webhook("Conflict: terminated by setWebhook request")
            if mine != self._polls:
                text = "Conflict: terminated by other getUpdates request"
                raise refusal(409, f"{text}; make sure that only one bot instance is running")
        for pending in found[:limit]:
            pending.note("fetched by getUpdates")
        return [pending.update for pending in found[:limit]]

    def reset(self) -> None:
        """Forget what is pending."""
        self._pending.clear()
        for task in self._drains.values():
            task.cancel()
        self._drains.clear()  # they end later, and what is put meanwhile wants a drain of its own

    def stop_waiting(self) -> None:
        """End the long polls."""
        self._closed = True
        self._stir()

    async def close(self) -> None:
        """Stop posting."""
        tasks = list(self._drains.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _refuse_beside_webhook(self, text: str) -> None:
        if self._webhooks.url("telegram"):
            more = "; use deleteWebhook to delete the webhook first" if "active" in text else ""
            raise refusal(409, text + more)

    def _stir(self) -> None:
        wake, self._wake = self._wake, asyncio.Event()
        wake.set()

    def _confirm(self, offset: int) -> None:
        numbers = list(self._pending)
        taken = numbers[:offset] if offset < 0 else [number for number in numbers if number < offset]
        for number in taken:
            del self._pending[number]

    def _ready(self) -> list[_Pending]:
        self._expire()
        return list(self._pending.values())

    def _expire(self) -> None:
        now = self._clock.monotonic()
        for number, pending in list(self._pending.items()):
            life = PRESS_LIFE_SECONDS if "callback_query" in pending.update else LIFE_SECONDS
            if now - pending.at > life:
                del self._pending[number]
                pending.note("too old: dropped")

    def _drain(self, chat: str) -> None:
        if chat in self._drains:
            return
        self._drains[chat] = asyncio.create_task(self._drained(chat))

    async def _drained(self, chat: str) -> None:
        """Post the chat's updates, and be its drain until the very step in which none was left: no put comes between."""
        try:
            await self._post_all(chat)
        finally:
            if self._drains.get(chat) is asyncio.current_task():  # after a reset it is another
                del self._drains[chat]

    async def _post_all(self, chat: str) -> None:
        """Post the chat's updates one after the other; one that is not taken is tried until it is, or is too old."""
        tries = 0
        while pending := next((each for each in self._ready() if each.chat == chat), None):
            number = pending.update["update_id"]
            if not self._webhooks.url("telegram"):
                return
            taken = False
            for _ in range(pending.copies):
                accepted, answer = await self._webhooks.post("telegram", encode(pending.update))
                pending.note(answer)
                taken = taken or accepted
                if not accepted:
                    self.last_error = {
                        "last_error_date": int(self._clock.now().timestamp()),
                        "last_error_message": f"Wrong response from the webhook: {answer}",
                    }
            if taken:
                self._pending.pop(number, None)
                tries = 0
                continue
            await asyncio.sleep(self._retries[min(tries, len(self._retries) - 1)])
            tries += 1
