"""What a store has to do with messages, in plain Python: the model that a store is compared with (scorecard row 13).

It is written from the protocol's docstrings, keeps everything in dictionaries, and knows neither SQL nor the code under
test, not even its rule for statuses. Times are whole seconds. Only what the protocol shows is compared, so the model has no
rows and no transactions: one call, one change.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

HOUR, DAY = 3_600, 86_400
FAILED, UNDELIVERED, UNSENT, PENDING, SENT, DELIVERED, READ = range(-3, 4)
FLIGHT, WAITING, ANSWERED, REFUSED = "in_flight", "waiting", "answered", "failed"


def moved(current: int, new: int, *, proof: bool) -> int:
    """The status after *new* was learned at *current*. *proof*: new proves that a part left that was given up in doubt."""
    if current in (PENDING, SENT, DELIVERED, READ) and new >= PENDING:
        return max(current, new)
    if current == PENDING or (current == SENT and new < UNSENT):
        return new
    corrected = current < UNSENT and (new >= DELIVERED or (proof and current == FAILED and new == SENT))
    return new if corrected else current


STATUS, RECEIVED = "message.status", "message.received"


@dataclass(eq=False)
class Event:
    """An event of the feed: of a change of a message's status, or of something that came in (then *name* says what)."""

    kind: str
    name: str
    at: int
    kept: int
    change: tuple[int, int, str | None] | None = None


@dataclass(eq=False)
class Callback:
    """What is owed to an endpoint."""

    hook: str
    event: Event
    state: str = "pending"
    tries: int = 0


@dataclass
class Hook:
    """An endpoint, and the kinds that it is owed."""

    kinds: tuple[str, ...]
    enabled: bool = True


@dataclass
class Part:
    """A part that was marked, or failed before it could be."""

    run: int
    address: str
    phase: str = WAITING
    status: int | None = None
    attempts: int = 0
    ids: list[str] = field(default_factory=list)
    marked: int | None = None
    answered: int | None = None
    covered: int | None = None
    settled: bool = False
    code: str | None = None

    @property
    def open(self) -> bool:
        return self.phase in (FLIGHT, WAITING)

    def learn(self, status: int, at: int, code: str | None) -> bool:
        before = self.status or PENDING
        self.status = moved(before, status, proof=self.code == "outcome_unknown")
        if self.status >= PENDING:
            self.code = None
            if self.phase == REFUSED:
                self.phase, self.answered = ANSWERED, at
                self.covered = at - 1 if self.covered is None else self.covered
        elif self.status != before:
            self.code = code
        return self.status != before


@dataclass
class Message:
    """A message, its job and its history: ``events`` are (status, previous, at, code), ``attempts`` (run, part, outcome)."""

    number: int
    tid: str
    client: str
    account: str
    key: tuple[str, str, str]
    lane: str
    accepted: int
    due: int
    expires: int
    life: int
    priority: str
    seq: int
    status: int = PENDING
    queued: bool = True
    run: int = 1
    total: int = 0
    address: str = ""
    facts: bytes | None = None
    code: str | None = None
    reason: tuple[str, int | None, int | None] | None = None
    ended: int | None = None
    parts: dict[int, Part] = field(default_factory=dict)
    events: list[tuple[int, int, int, str | None]] = field(default_factory=list)
    attempts: list[tuple[int, int, str]] = field(default_factory=list)
    tell: Callable[[Event], None] = lambda _: None

    def answered(self) -> set[int]:
        return {number for number, part in self.parts.items() if part.phase == ANSWERED}

    def whole(self) -> bool:
        return 0 < self.total <= len(self.answered())

    def refresh(self, at: int, code: str | None, now: int) -> None:
        """Let status and place follow from the parts; *at* and *code* are of what was learned last."""
        known = [part.status for part in self.parts.values() if part.status is not None]
        failed = min(known, default=PENDING) < PENDING
        says = min(known, default=PENDING) if failed or len(known) >= self.total else PENDING
        stays = self.status < PENDING and says <= PENDING
        self.move(self.status if stays else says, at, code, now, queued=self.queued and not failed and not self.whole())

    def move(self, status: int, at: int, code: str | None, now: int, *, queued: bool) -> None:
        if (status, queued) == (self.status, self.queued):
            return
        if status != self.status:
            self.code = code if status < PENDING else None
            self.events.append((status, self.status, at, self.code))
            self.tell(Event(STATUS, self.tid, at, now, (status, self.status, self.code)))
        if not queued:
            self.reason = None
        self.ended = None if queued or status == PENDING else now
        self.status, self.queued = status, queued


@dataclass
class Early:
    """A receipt that waits for its send to be recorded."""

    account: str
    platform_id: str
    reference: str
    status: int
    at: int
    code: str | None
    received: int


@dataclass(frozen=True)
class Told:
    """A receipt as it comes in."""

    account: str
    event: str
    status: int
    at: int
    platform_id: str = ""
    reference: str = ""
    code: str | None = None
    watermark: int | None = None
    address: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of a call: ``kind`` is answered, failed or waiting."""

    kind: str
    status: int = SENT
    ids: tuple[str, ...] = ()
    code: str = ""
    until: int = 0


@dataclass(frozen=True)
class Marking:
    """A mark that is asked for."""

    run: int
    part: int
    total: int
    address: str
    facts: bytes | None


class Model:
    """A store of messages."""

    def __init__(self) -> None:
        self.messages: dict[str, Message] = {}
        self.keys: dict[tuple[str, str, str], tuple[str, bytes, int, int | None]] = {}
        self.ids: dict[tuple[str, str], tuple[str, int]] = {}
        self.early: list[Early] = []
        self.seen: dict[tuple[str, str], int] = {}
        self.watermarks: dict[tuple[str, str, int], tuple[int, int]] = {}
        self.disabled: set[str] = set()
        self.hooks: dict[str, Hook] = {}
        self.feed: list[Event] = []
        self.callbacks: list[Callback] = []
        self._seq = 0

    def place(self) -> int:
        self._seq += 1
        return self._seq

    # --- accept --------------------------------------------------------------------------------------------------------

    def accept(self, new: Message, fingerprint: bytes) -> tuple[str, str, int]:
        """Returns (accepted, replayed or conflict; tid; status)."""
        known = self.keys.get(new.key)
        if known is None:
            self.keys[new.key] = (new.tid, fingerprint, PENDING, None)
            self.messages[new.tid] = new
            new.seq = self.place()
            new.tell = self.tell
            return "accepted", new.tid, PENDING
        tid, kept, status, _ = known
        if kept != fingerprint:
            return "conflict", tid, PENDING
        return "replayed", tid, self.messages[tid].status if tid in self.messages else status

    # --- delivery ------------------------------------------------------------------------------------------------------

    def queue(self, account: str) -> list[Message]:
        found = [each for each in self.messages.values() if each.queued and each.account == account]
        return sorted(found, key=lambda each: each.seq)

    def mark(self, tid: str, wanted: Marking, now: int) -> bool:
        message = self.messages.get(tid)
        if message is None or not message.queued or message.run != wanted.run or wanted.part in message.answered():
            return False
        part = message.parts.setdefault(wanted.part, Part(message.run, wanted.address))
        message.total, message.address, message.reason = wanted.total, wanted.address, None
        message.facts = message.facts if wanted.facts is None else wanted.facts
        part.run, part.address, part.phase, part.status, part.code = message.run, wanted.address, FLIGHT, None, None
        part.marked, part.answered, part.covered, part.settled = now, None, None, False
        part.attempts += 1
        return True

    def record(
        self, tid: str, run: int, number: int, verdict: Verdict, outcome: str, following: Marking | None, now: int
    ) -> tuple[int, bool, bool, bool]:
        """Returns (status, queued, marked, settled)."""
        message = self.messages[tid]
        message.attempts.append((run, number, outcome))
        if run != message.run:
            return message.status, message.queued, False, False
        part = message.parts.get(number)
        if part is None and message.queued and number <= message.total and verdict.kind == "failed":
            part = message.parts[number] = Part(message.run, message.address)
        if part is not None and part.run == message.run and (part.open or part.settled):
            self._conclude(message, number, part, verdict, now)
        marked = following is not None and self.mark(tid, following, now)
        settled = part is not None and part.phase == ANSWERED and verdict.kind != "answered"
        return message.status, message.queued, marked, settled

    def _conclude(self, message: Message, number: int, part: Part, verdict: Verdict, now: int) -> None:
        if verdict.kind == "answered":
            part.ids = [*verdict.ids, *(each for each in part.ids if each not in verdict.ids)]
            self.ids |= {(message.account, each): (message.tid, number) for each in verdict.ids}
            part.phase, part.settled = ANSWERED, False
            part.answered = now if part.answered is None else part.answered
            part.covered = part.answered - 1 if part.covered is None else part.covered
            part.learn(verdict.status, now, None)
            message.refresh(*self._catch_up(message, number, (now, None)), now)
        elif part.settled:
            return
        elif verdict.kind == "waiting":
            part.phase = WAITING
            self.wait(message.tid, message.run, now, verdict.until, verdict.code)
        else:
            self._fail(message, part, verdict.status, verdict.code, now)

    def _fail(self, message: Message, part: Part, status: int, code: str, now: int) -> None:
        part.phase = REFUSED
        part.learn(status, now, code)
        message.refresh(now, code, now)

    def finish(self, tid: str, run: int, status: int, code: str, now: int) -> bool:
        message = self.messages.get(tid)
        if message is None or not message.queued or message.run != run or message.parts:
            return False
        message.move(status, now, code, now, queued=False)
        return True

    def wait(self, tid: str, run: int, since: int | None, until: int | None, code: str) -> None:
        message = self.messages.get(tid)
        if message is None or not message.queued or message.run != run:
            return
        if message.reason is None or message.reason[:2] != (code, until):
            message.reason = code, until, since

    def cancel(self, client: str, tid: str, now: int) -> str:
        message = self.messages.get(tid)
        if message is None or message.client != client:
            return "not_found"
        if not message.queued:
            return "ended"
        doubt = any(outcome == "unknown" for _, _, outcome in message.attempts)
        if doubt or any(part.phase != WAITING for part in message.parts.values()):
            return "begun"
        for part in message.parts.values():
            part.phase = REFUSED
            part.learn(UNSENT, now, "cancelled")
        message.move(UNSENT, now, "cancelled", now, queued=False)
        return "done"

    def retry(self, client: str, tid: str, now: int) -> str:
        message = self.messages.get(tid)
        if message is None or message.client != client:
            return "not_found"
        if message.status >= PENDING:
            return "not_failed"
        for number, part in list(message.parts.items()):
            if part.phase == ANSWERED and (part.status or PENDING) >= PENDING:
                continue
            self._note_lost_call(message, number)
            del message.parts[number]
        if not message.parts:
            message.total, message.address, message.facts = 0, "", None
        message.events.append((PENDING, message.status, now, None))
        message.seq, message.run, message.status, message.code, message.ended = (
            self.place(),
            message.run + 1,
            PENDING,
            None,
            None,
        )
        message.queued = not message.whole()
        message.due, message.expires = message.accepted, now + message.life
        return "done"

    @staticmethod
    def _note_lost_call(message: Message, number: int) -> None:
        part = message.parts.get(number)
        if part is not None and part.phase == FLIGHT:
            message.attempts.append((part.run, number, "unknown"))

    # --- receipts --------------------------------------------------------------------------------------------------------

    def receive(self, receipts: Sequence[Told], now: int) -> tuple[int, int, set[tuple[str, str]]]:
        """Returns (new, waiting, settled)."""
        new = waiting = 0
        settled: set[tuple[str, str]] = set()
        for told in receipts:
            if (told.account, told.event) in self.seen:
                continue
            self.seen[told.account, told.event] = now
            new += 1
            if told.watermark is not None:
                self._cover(told, told.watermark, now)
            else:
                waiting += self._apply(told, now, settled)
        return new, waiting, settled

    def _apply(self, told: Told, now: int, settled: set[tuple[str, str]]) -> bool:
        by_id = self.ids.get((told.account, told.platform_id)) if told.platform_id else None
        found = by_id or self._referred(told)
        if found is None:
            return self._keep(told, told.platform_id, told.reference, now)
        tid, number = found
        message = self.messages.get(tid)
        if message is None:
            return False
        part = message.parts.get(number)
        older = by_id is not None and (part is None or told.platform_id not in part.ids)
        if older and told.status < PENDING:
            return False
        if part is None:
            return message.queued and self._keep(told, "", f"{tid}:{number}", now)
        if part.open:
            settled.add((message.account, part.address))
        self._tell(message, number, part, told, now)
        return False

    def _referred(self, told: Told) -> tuple[str, int] | None:
        tid, _, number = told.reference.partition(":")
        message = self.messages.get(tid)
        if message is None or message.account != told.account or int(number or 1) not in message.parts:
            return None
        return tid, int(number or 1)

    def _keep(self, told: Told, platform_id: str, reference: str, now: int) -> bool:
        if not platform_id and not reference:
            return False
        self.early.append(Early(told.account, platform_id, reference, told.status, told.at, told.code, now))
        return True

    def _tell(self, message: Message, number: int, part: Part, told: Told, now: int) -> None:
        if _of_lost_copy(part, told.platform_id, told.status):
            return
        new_id = bool(told.platform_id) and told.platform_id not in part.ids
        if new_id:
            self._know(message, number, told.platform_id)
        settles = part.open
        if settles:
            part.phase, part.settled, part.answered = ANSWERED, True, min(told.at, now)
            part.covered = part.answered - 1
        part.learn(told.status, told.at, told.code)
        dated = told.status == SENT and part.answered is not None and part.covered != told.at
        if dated:
            part.covered = told.at
        last = (told.at, told.code)
        message.refresh(*(self._catch_up(message, number, last) if settles or new_id or dated else last), now)

    def _know(self, message: Message, number: int, platform_id: str) -> None:
        if platform_id not in message.parts[number].ids:
            message.parts[number].ids.append(platform_id)
        self.ids[message.account, platform_id] = message.tid, number

    def _catch_up(self, message: Message, number: int, last: tuple[int, str | None]) -> tuple[int, str | None]:
        """Let a part learn what came before its answer. Returns when and why it changed last."""
        part = message.parts[number]
        while (early := self._next_early(message, number)) is not None:
            self.early.remove(early)
            if _of_lost_copy(part, early.platform_id, early.status):
                continue
            if early.platform_id:
                self._know(message, number, early.platform_id)
            if early.status == SENT:
                part.covered = early.at
            if part.learn(early.status, early.at, early.code):
                last = early.at, early.code
        for (account, address, status), (up_to, at) in sorted(self.watermarks.items(), key=lambda each: each[0][2]):
            theirs = (account, address) == (message.account, part.address)
            covered = part.covered is not None and part.covered <= up_to
            if theirs and covered and part.learn(status, at, None):
                last = at, None
        return last

    def _next_early(self, message: Message, number: int) -> Early | None:
        """The receipt that waited longest of those that are known to be of this part by now."""
        ids = message.parts[number].ids
        references = {f"{message.tid}:{number}"} | ({message.tid} if number == 1 else set())
        for early in self.early:
            mine = early.reference in references or (early.platform_id and early.platform_id in ids)
            if mine and early.account == message.account:
                return early
        return None

    def _cover(self, told: Told, up_to: int, now: int) -> None:
        key = told.account, told.address, told.status
        if up_to > self.watermarks.get(key, (up_to - 1, 0))[0]:
            self.watermarks[key] = up_to, told.at
        for message in self.messages.values():
            reached = False
            for part in message.parts.values():
                theirs = message.account == told.account and part.address == told.address
                if theirs and part.covered is not None and part.status is not None and part.covered <= up_to:
                    reached |= part.learn(told.status, told.at, None)
            if reached:
                message.refresh(told.at, None, now)

    # --- the feed --------------------------------------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        """Put an event into the feed, and owe it to whom it concerns."""
        self.feed.append(event)
        self.callbacks += [
            Callback(name, event) for name, hook in self.hooks.items() if hook.enabled and event.kind in hook.kinds
        ]

    def take_in(
        self, receipts: Sequence[Told], arrivals: Sequence[tuple[str, str, str]], now: int
    ) -> tuple[set[str], int, int, set[tuple[str, str]], bool]:
        """*arrivals* are (account, event id, kind). Returns (new ones, receipts, waiting, settled, whether the feed grew)."""
        before = len(self.feed)
        counts = self.receive(receipts, now)
        new = set()
        for account, name, kind in arrivals:
            if (account, name) not in self.seen:
                self.seen[account, name] = now
                new.add(name)
                self.tell(Event(kind, name, now, now))
        return new, *counts, len(self.feed) > before

    def called(self, callback: Callback, state: str) -> None:
        if callback.state == "pending" or state == "delivered":
            callback.state = state
            callback.tries += 1

    def replay(self, hook: str, events: Sequence[Event], *, failed_only: bool) -> int:
        """Owe *events* again. Returns how many."""
        owed = 0
        for event in events:
            found = [each for each in self.callbacks if each.hook == hook and each.event is event]
            if found and found[0].state != "pending" and (found[0].state == "failed" or not failed_only):
                found[0].state, found[0].tries = "pending", 0
                owed += 1
            elif not found and not failed_only and event.kind in self.hooks[hook].kinds:
                self.callbacks.append(Callback(hook, event))
                owed += 1
        return owed

    # --- upkeep ----------------------------------------------------------------------------------------------------------

    def expire(self, now: int) -> int:
        overdue = [each for each in self.messages.values() if each.queued and each.expires <= now]
        ended = 0
        for message in overdue:
            if message.total == 0:
                ended += self.finish(message.tid, message.run, UNSENT, "expired", now)
            elif message.account in self.disabled:
                ended += self._give_up(message, now)
        return ended

    def _give_up(self, message: Message, now: int) -> bool:
        calls = [part.marked or 0 for part in message.parts.values() if part.phase == FLIGHT]
        if max(calls, default=now - HOUR) > now - HOUR:
            return False
        number = min(set(range(1, message.total + 1)) - message.answered())
        part = message.parts.setdefault(number, Part(message.run, message.address))
        doubt = part.phase == FLIGHT or (message.run, number, "unknown") in message.attempts
        self._note_lost_call(message, number)
        self._fail(message, part, FAILED, "outcome_unknown" if doubt else "expired", now)
        return True

    def no_receipts(self, before: int, now: int) -> int:
        ended = 0
        for message in self.messages.values():
            if message.queued or message.status != PENDING:
                continue
            untold = [part for part in message.parts.values() if part.phase == ANSWERED and part.status == PENDING]
            if not untold or max(part.answered or 0 for part in message.parts.values()) >= before:
                continue
            for part in untold:
                part.learn(FAILED, now, "no_receipt")
            message.refresh(now, "no_receipt", now)
            ended += 1
        return ended

    def purge(self, before: int, now: int) -> int:
        gone = [each for each in self.messages.values() if each.ended is not None and each.ended < before]
        for message in gone:
            tid, fingerprint, _, _ = self.keys[message.key]
            self.keys[message.key] = tid, fingerprint, message.status, message.ended
            del self.messages[message.tid]
        week = before - 7 * DAY
        self.keys = {key: kept for key, kept in self.keys.items() if kept[3] is None or kept[3] >= week}
        self.seen = {event: at for event, at in self.seen.items() if at >= week}
        self.early = [early for early in self.early if early.received >= now - DAY]
        old = {message.tid for message in gone}
        self.feed = [
            event
            for event in self.feed
            if (event.name not in old if event.change is not None else event.kept >= before)
        ]
        self.callbacks = [callback for callback in self.callbacks if callback.event in self.feed]
        return len(gone)


def _of_lost_copy(part: Part, platform_id: str, status: int) -> bool:
    """Whether one of two copies failed, and not the one whose answer came."""
    return status < PENDING and bool(part.ids and platform_id) and platform_id not in part.ids
