"""What the platforms post: receipts and what people do, in each phone's order, held back while a phone is off.

Each phone has an outbox. A message that was accepted enters it as a journey of steps (sent, delivered, read), something
that a person does as a journey of one step; a step is posted when it is due and the phone allows it, and waits for the
phone otherwise. Steps of one phone are posted one after the other; a step that is not answered 2xx is tried again beside
the queue, as Meta's own redelivery lets later webhooks pass
(https://developers.facebook.com/docs/graph-api/webhooks/getting-started). LINE's is the same when it is switched on, and
marks what it repeats; Telegram's updates have a queue of their own, see ``telegram_updates.py``.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from heapq import heappop, heappush
from typing import Any, Final

from kurir.clock import Clock
from kurir.sandbox.faults import POSTED, Faults, WebhookFate
from kurir.sandbox.phones import Phones, rfc3339
from kurir.sandbox.telegram_updates import Updates
from kurir.sandbox.view import Bubble, LedgerEvent, Phone
from kurir.sandbox.webhooks import NOBODY, Webhooks, encode, sign

__all__ = ["NOBODY", "Receipts", "Step", "encode", "sign"]

#: Whether what happens in this task is played again: then nobody is told of it.
QUIET: ContextVar[bool] = ContextVar("quiet", default=False)
REPLAYED: Final = "replayed: nobody is told"
#: Journeys that one phone may hold back, and webhooks that may wait for another try; beyond, receipts are dropped.
MAX_JOURNEYS = 20_000
MAX_RETRIES = 1_000
#: The characters that are kept of the receiver's answers to all tries of one webhook.
MAX_ANSWERS = 120
#: A webhook that a fault keeps back goes out after the phone's next one, or so long after its time when none follows.
LATE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to tell: what it makes of the bubble's tick and status, when it is due, and the webhook's body.

    Without a *tick* the bubble keeps the ones that it has.

    *needs* is what the phone must be: "" nothing, "online", or "open" (online, with the chat on the screen). *again* makes
    the body that is posted when the first one was not taken, where that is another.
    """

    tick: str
    status: int
    what: str
    delay: float
    body: Callable[[datetime], dict[str, Any]]
    needs: str = ""
    final: bool = False
    again: Callable[[dict[str, Any]], dict[str, Any]] | None = None


@dataclass(slots=True)
class _Journey:
    """The steps of one message that are still to come. The bubble is None where no phone shows one.

    *fate* is what a fault does to the next step's webhook, None while that is not decided.
    """

    steps: list[Step]
    bubble: Bubble | None
    accepted: float
    fate: WebhookFate | None = None
    quiet: bool = False


@dataclass(slots=True)
class _Late:
    """A webhook that a fault keeps back until the phone's next one was posted."""

    phone: Phone
    bubble: Bubble | None
    step: Step
    body: dict[str, Any]
    copies: int
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class _Outbox:
    """What one phone's platform still has to tell."""

    phone: Phone
    due: list[tuple[float, int, _Journey]] = field(default_factory=list)
    held: list[tuple[int, _Journey]] = field(default_factory=list)
    late: _Late | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def allows(self, step: Step) -> bool:
        """Return whether the phone is in the state that *step* needs."""
        if step.needs == "open":
            return self.phone.online and self.phone.chat_open
        return self.phone.online or not step.needs

    def drop_late(self) -> None:
        """Forget the webhook that was kept back."""
        late, self.late = self.late, None
        if late is not None and late.timer is not None:
            late.timer.cancel()


class Receipts:
    """The outboxes of all phones, and the HTTP client that empties them."""

    def __init__(
        self,
        *,
        phones: Phones,
        clock: Clock,
        webhooks: Webhooks,
        updates: Updates,
        retries: tuple[float, ...],
        faults: Faults,
    ) -> None:
        self._phones = phones
        self._clock = clock
        self._webhooks = webhooks
        self._updates = updates
        self._retries = retries
        self._faults = faults
        self._outboxes: dict[tuple[str, str], _Outbox] = {}
        self._workers: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._repeats: set[asyncio.Task[None]] = set()
        self._count = 0
        self._epoch = 0

    def begin(self, phone: Phone, bubble: Bubble | None, steps: list[Step]) -> None:
        """Start the journey of a message that was just accepted."""
        if not steps:
            return
        outbox = self._outbox(phone)
        if len(outbox.due) + len(outbox.held) >= MAX_JOURNEYS:
            return
        self._count += 1
        now = asyncio.get_running_loop().time()
        heappush(outbox.due, (now + steps[0].delay, self._count, _Journey(steps, bubble, now, quiet=QUIET.get())))
        outbox.wake.set()

    def release(self, phone: Phone) -> None:
        """Look again at what was held back, since *phone* was switched."""
        outbox = self._outbox(phone)
        now = asyncio.get_running_loop().time()
        for number, journey in outbox.held:
            heappush(outbox.due, (now, number, journey))
        outbox.held.clear()
        outbox.wake.set()

    def reset(self) -> None:
        """Forget everything that was still to be told."""
        self._epoch += 1
        for outbox in self._outboxes.values():
            outbox.due.clear()
            outbox.held.clear()
            outbox.drop_late()
        for task in self._repeats:
            task.cancel()

    async def close(self) -> None:
        """Stop telling and close the connections."""
        tasks = [*self._workers.values(), *self._repeats]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for outbox in self._outboxes.values():
            outbox.drop_late()
        self._workers.clear()
        self._outboxes.clear()

    def _outbox(self, phone: Phone) -> _Outbox:
        key = (phone.channel, phone.address)
        if key not in self._outboxes:
            self._outboxes[key] = _Outbox(phone)
            self._workers[key] = asyncio.create_task(self._work(self._outboxes[key]))
        return self._outboxes[key]

    async def _work(self, outbox: _Outbox) -> None:
        while True:
            number, journey = await self._next(outbox)
            epoch = self._epoch
            if not outbox.allows(journey.steps[0]):
                outbox.held.append((number, journey))
                continue
            fate = POSTED if journey.quiet else journey.fate
            if fate is None:
                fate = self._fate(outbox.phone.channel)
                if fate.delay:
                    journey.fate = fate
                    heappush(outbox.due, (asyncio.get_running_loop().time() + fate.delay, number, journey))
                    continue
            journey.fate = None
            if journey.steps[0].tick == "read" and not outbox.phone.receipts and outbox.phone.channel == "whatsapp":
                self._keep_silent(outbox.phone, journey)
                continue
            await self._tell(outbox, journey, fate)
            if journey.steps and epoch == self._epoch:
                now = asyncio.get_running_loop().time()
                heappush(outbox.due, (max(now, journey.accepted + journey.steps[0].delay), number, journey))

    async def _next(self, outbox: _Outbox) -> tuple[int, _Journey]:
        loop = asyncio.get_running_loop()
        while not outbox.due or outbox.due[0][0] > loop.time():
            outbox.wake.clear()
            try:
                async with asyncio.timeout_at(outbox.due[0][0] if outbox.due else None):
                    await outbox.wake.wait()
            except TimeoutError:
                pass  # the first step is due now
        _, number, journey = heappop(outbox.due)
        return number, journey

    def _fate(self, channel: str) -> WebhookFate:
        """Return what happens to the next webhook of *channel*. One that goes nowhere is none of those counted."""
        if not self._faults or not self._webhooks.url(channel):
            return POSTED
        return self._faults.webhook(channel, self._clock.monotonic())

    def _keep_silent(self, phone: Phone, journey: _Journey) -> None:
        """End the journey of a message whose reader tells nobody that it was read: the account never learns it."""
        journey.steps.clear()
        if journey.bubble is not None:
            words = f"{phone.person} has read receipts off: nobody is told"
            journey.bubble.events.append(LedgerEvent(rfc3339(self._clock.now()), journey.bubble.status, words))
            self._phones.touch(phone)

    async def _tell(self, outbox: _Outbox, journey: _Journey, fate: WebhookFate) -> None:
        bubble, step = journey.bubble, journey.steps.pop(0)
        now = self._clock.now()
        body = step.body(now)
        if bubble is not None:
            if step.tick:
                bubble.tick, bubble.status, bubble.final = step.tick, step.status, step.final
            if bubble.mine:
                bubble.payload = body
            bubble.events.append(LedgerEvent(rfc3339(now), bubble.status, step.what))
        if journey.quiet:
            self._note(outbox.phone, bubble, step, REPLAYED)
            return
        if not fate.copies:
            self._note(outbox.phone, bubble, step, "dropped by a fault")
            return
        webhook = _Late(outbox.phone, bubble, step, body, fate.copies)
        if fate.late and outbox.late is None:
            self._keep_back(outbox, webhook)
            return
        await self._deliver(webhook)
        late = outbox.late
        if late is not None:
            outbox.drop_late()
            await self._deliver(late)

    def _keep_back(self, outbox: _Outbox, webhook: _Late) -> None:
        """Keep *webhook* until the phone's next one was posted, or until it is clear that none follows."""

        def alone() -> None:
            outbox.late = None
            self._spawn(self._deliver(webhook))

        webhook.timer = asyncio.get_running_loop().call_later(LATE_SECONDS, alone)
        outbox.late = webhook
        self._note(outbox.phone, webhook.bubble, webhook.step, "kept back by a fault")

    async def _deliver(self, webhook: _Late) -> None:
        """Post a webhook, as often as its fault wants, and again later what was not taken."""
        channel = webhook.phone.channel

        def noted(answer: str) -> None:
            self._note(webhook.phone, webhook.bubble, webhook.step, answer)

        if channel == "telegram":
            self._updates.put(webhook.phone.address, webhook.body, webhook.copies, noted)
            return
        raw = encode(webhook.body, ascii_only=channel != "line")
        for _ in range(webhook.copies):
            accepted, answer = await self._webhooks.post(channel, raw)
            noted(answer)
            if not accepted:
                self._spawn(self._repeat(webhook, noted))

    async def _repeat(self, webhook: _Late, noted: Callable[[str], None]) -> None:
        channel, again = webhook.phone.channel, webhook.step.again
        raw = encode(again(webhook.body) if again else webhook.body, ascii_only=channel != "line")
        for wait in self._retries:
            await asyncio.sleep(wait)
            accepted, answer = await self._webhooks.post(channel, raw)
            noted(answer)
            if accepted:
                return

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._repeats) >= MAX_RETRIES:
            work.close()
            return
        task = asyncio.create_task(work)
        self._repeats.add(task)
        task.add_done_callback(self._repeats.discard)

    def _note(self, phone: Phone, bubble: Bubble | None, step: Step, answer: str) -> None:
        """Write the receiver's answer beside the step, after those of earlier tries."""
        if bubble is None:
            return
        for index, event in enumerate(bubble.events):
            if event.what == step.what:
                told = f"{event.answer}, {answer}" if event.answer else answer
                told = told if len(told) <= MAX_ANSWERS else f"… {told[-MAX_ANSWERS:]}"
                bubble.events[index] = replace(event, answer=told)
        self._phones.touch(phone)
