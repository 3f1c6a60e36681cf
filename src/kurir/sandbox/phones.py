"""The phones' state, and who hears of its changes.

Everything happens in one event loop, so nothing here is locked. A listener holds a set of phones that changed since it
last looked, not a queue of changes: a slow reader costs no memory and sees the newest state, which is all that a page
wants.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from kurir.sandbox.config import CHANNELS, SandboxConfig
from kurir.sandbox.view import Bubble, Phone, RefusedCall

#: How many bubbles a phone keeps: the newest. A load test must not grow the process.
MAX_BUBBLES = 200
#: How many refused calls a phone keeps: the newest.
MAX_REFUSED = 50
#: Of so many of these, the newest, what they would have shown is kept.
MAX_REFUSED_SHOWN = 5
#: The largest request, as JSON, that a bubble keeps; what the platforms take of sensible messages is far below.
MAX_PAYLOAD = 128 * 1024


def rfc3339(moment: datetime) -> str:
    """Return *moment* as RFC 3339 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Listener:
    """Somebody who waits for changes: an event stream or a long poll."""

    def __init__(self) -> None:
        self._changed: dict[tuple[str, str], Phone] = {}
        self._wake = asyncio.Event()
        #: Whether the faults changed. Whoever shows them sets it back.
        self.faults_changed = False
        self.closed = False

    def notice(self, phone: Phone) -> None:
        """Remember that *phone* changed."""
        self._changed[phone.channel, phone.address] = phone
        self._wake.set()

    def notice_faults(self) -> None:
        """Remember that the faults changed."""
        self.faults_changed = True
        self._wake.set()

    def close(self) -> None:
        """End the waiting for good."""
        self.closed = True
        self._wake.set()

    async def changes(self, seconds: float) -> list[Phone]:
        """Return the phones that changed since the last call; wait up to *seconds* for the first, then return none."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return []
        if not self.closed:
            self._wake.clear()
        changed, self._changed = list(self._changed.values()), {}
        return changed


class Phones:
    """All phones of a sandbox: one for each person and channel."""

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config
        self._phones: dict[tuple[str, str], Phone] = {}
        self._spelt = {("whatsapp", one.spelt): ("whatsapp", one.phone) for one in config.people if one.spelt}
        self._listeners: set[Listener] = set()
        self._closed = False
        self._fill()

    def _fill(self) -> None:
        for channel in CHANNELS:
            for person in self._config.people:
                address = person.address(channel)
                self._phones[channel, address] = Phone(channel, person.name, address, self._config.business)

    def __iter__(self) -> Iterator[Phone]:
        return iter(list(self._phones.values()))

    def of_first(self, people: int | None) -> list[Phone]:
        """Return the phones of the first so many *people*; of all without a number."""
        shown = self._config.people[:people]
        return [self._phones[channel, person.address(channel)] for channel in CHANNELS for person in shown]

    def get(self, channel: str, address: str) -> Phone | None:
        """Return the phone with *address* on *channel*; on WhatsApp also by the other spelling of its number."""
        place = (channel, address)
        return self._phones.get(self._spelt.get(place, place))

    def of_person(self, channel: str, person: str) -> Phone | None:
        """Return the phone on *channel* of the person with this name (any case) or address; "" is the first person."""
        for phone in self:
            if phone.channel == channel and (
                not person or person.lower() in (phone.person.lower(), phone.address.lower())
            ):
                return phone
        return None

    def add(self, phone: Phone, bubble: Bubble) -> None:
        """Show *bubble* on *phone*, without a payload that is too large to keep, and drop the oldest beyond the limit."""
        size = len(json.dumps(bubble.payload))
        if size > MAX_PAYLOAD:
            bubble.payload = {"left_out": f"{size} characters of JSON"}
        bubble.held = not phone.online
        bubble.quoted_words = self._words(phone, bubble.quoted)
        phone.bubbles.append(bubble)
        del phone.bubbles[:-MAX_BUBBLES]
        self.touch(phone)

    def refuse(self, channel: str, call: RefusedCall) -> None:
        """Show that a call was refused, on the phone that it is for; where none has that address on the channel's first."""
        phone = self.get(channel, call.to) or self.of_person(channel, "")
        if phone is not None:
            phone.refused.append(call)
            del phone.refused[:-MAX_REFUSED]
            for index, older in enumerate(phone.refused[:-MAX_REFUSED_SHOWN]):
                phone.refused[index] = replace(older, blocks=())
            self.touch(phone)

    def touch(self, phone: Phone) -> None:
        """Tell the listeners that *phone* changed."""
        for listener in self._listeners:
            listener.notice(phone)

    def tell_faults(self) -> None:
        """Tell the listeners that the faults changed."""
        for listener in self._listeners:
            listener.notice_faults()

    def find(self, phone: Phone, bubble_id: str) -> Bubble | None:
        """Return the bubble with this id on *phone*; None when there is none."""
        return next((bubble for bubble in reversed(phone.bubbles) if bubble.id == bubble_id), None)

    def shows(self, phone: Phone, bubble_id: str) -> bool:
        """Return whether *phone* has the bubble with this id."""
        return any(bubble.id == bubble_id for bubble in phone.bubbles)

    def read(self, phone: Phone, last: str = "") -> None:
        """Let the business have read what the owner wrote, up to the bubble *last*; all of it without one."""
        for bubble in phone.bubbles:
            if bubble.mine and bubble.tick != "clock":
                bubble.tick = "read"
            if last and bubble.id == last:
                break
        self.touch(phone)

    def arrive(self, phone: Phone) -> None:
        """Let what waited at the platform reach a phone that is online again."""
        for bubble in phone.bubbles:
            bubble.held = False

    def _words(self, phone: Phone, bubble_id: str) -> str:
        """Return how the quoted bubble begins, as a quote shows it; the kind of what has no words."""
        for bubble in phone.bubbles:
            if bubble_id and bubble.id == bubble_id:
                words = next((block.text for block in bubble.blocks if block.kind == "text" and block.text), "")
                return words[:80] or next((block.kind.capitalize() for block in bubble.blocks), "")
        return ""

    def reset(self) -> None:
        """Empty every phone and switch all of them on and open."""
        for phone in self:
            phone.bubbles.clear()
            phone.refused.clear()
            phone.online = phone.chat_open = phone.receipts = phone.on_channel = True
            phone.blocked = phone.closed = False
            phone.heard, phone.ahead, phone.notice = None, 0.0, ""
            self.touch(phone)

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        """Give a listener, for as long as the ``with`` block lasts."""
        listener = Listener()
        listener.closed = self._closed
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def newer(self, phone: Phone, after: str, seconds: float) -> list[Bubble]:
        """Return the bubbles after the one with the id *after* ("" or unknown: all); wait so long for the first."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        with self.listen() as listener:
            while True:
                found = _after(phone.bubbles, after)
                remaining = deadline - loop.time()
                if found or remaining <= 0 or listener.closed:
                    return found
                await listener.changes(remaining)

    def close(self) -> None:
        """End all waiting: the streams finish, the long polls answer with what there is."""
        self._closed = True
        for listener in self._listeners:
            listener.close()


def _after(bubbles: list[Bubble], after: str) -> list[Bubble]:
    for index, bubble in enumerate(bubbles):
        if after and bubble.id == after:
            return bubbles[index + 1 :]
    return list(bubbles)
