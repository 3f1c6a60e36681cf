"""Scorecard row 13: whatever is done in whatever order, every store stands where the model does after every step.

Messages, the feed of events, and what is owed for them to two endpoints: one that takes all, one of the compat dialect.

Hypothesis draws the steps: what makes sense, what comes twice, too late, of an older run, from a stranger, and after a crash.
``KURIR_TIER=N`` runs the figures of the row, every commit a fifth of them.
"""

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from contract.conftest import STORES, Make
from contract.model import FLIGHT, RECEIVED, Callback, Event, Hook, Marking, Message, Model, Told, Verdict
from kurir.domain.message import Priority
from kurir.domain.status import Status
from kurir.store import GatewayStore
from kurir.store.base import (
    Accepted,
    ErrorRecord,
    MessageRecord,
    PartAnswered,
    PartFailed,
    PartWaiting,
    QueuedMessage,
    ReceiptRecord,
    Received,
    Recorded,
)
from kurir.store.feed import COMPAT_KINDS, KINDS, CallbackAttempt, Called, EventRecord, Owed, Replay
from kurir.store.inbound import TakenIn, Webhook
from support import postgres
from support.records import (
    ACCOUNT,
    CLIENT,
    DECLARED,
    OTHER_CLIENT,
    SECOND_ACCOUNT,
    T0,
    arrival,
    at,
    attempt,
    endpoint,
    mark,
    new_event,
    new_message,
    result,
)

LONG = os.environ.get("KURIR_TIER") == "N"
STEPS = 50

ACCOUNTS = (ACCOUNT, SECOND_ACCOUNT)
WITHOUT_ACCOUNT = replace(DECLARED, accounts=DECLARED.accounts[1:])
MOMENTS = (-3_600, -1, 1, 1, 1, 60, 3_600, 3_600, 90_000, 9 * 86_400)

#: Which message: of those that there are, or were, the one that this number falls on.
picks = st.integers(0, 11)
numbers = st.integers(1, 3)
#: Which run a caller believes in: nearly always the message's.
runs = st.sampled_from([0, 0, 0, 0, 0, 0, 0, -1, 1])
verdicts = st.one_of(
    st.builds(
        lambda status, more: ("answered", status, more), st.sampled_from([0, 1]), st.sampled_from(["", "x", "shared"])
    ),
    st.sampled_from([("failed", -3, "refused"), ("failed", -2, "blocked"), ("failed", -3, "outcome_unknown")]),
    st.just(("waiting", 0, "throttled")),
)
#: A receipt: of whom, of which part, named how, with which status, how long ago, from the account or a stranger.
receipts = st.tuples(
    picks,
    numbers,
    st.sampled_from(["id", "id", "reference", "both", "lost copy", "bare", "older", "shared", "nothing"]),
    st.sampled_from([1, 2, 3, 2, 3, -2, -3]),
    st.sampled_from([0, 1, 30, -5]),
    st.sampled_from([True] * 9 + [False]),
)


def _seconds(moment: datetime | None) -> int | None:
    """A time as the model has it."""
    return None if moment is None else round((moment - T0).total_seconds())


def _error(code: str | None) -> ErrorRecord | None:
    return None if code is None else ErrorRecord(code, f"what {code} says")


def _seen(found: MessageRecord) -> dict[str, object]:
    """What of a stored message is compared."""
    return {
        "status": int(found.status),
        "queued": found.queued,
        "run": found.run,
        "error": found.error and found.error.code,
        "reason": (found.reason.code, _seconds(found.waiting_until)) if found.reason else None,
        "total": found.parts_total,
        "address": found.address,
        "due": _seconds(found.due_at),
        "expires": _seconds(found.expires_at),
        "parts": [
            (
                part.number,
                part.phase.value,
                part.status,
                part.attempts,
                part.platform_ids,
                _seconds(part.marked_at),
                _seconds(part.answered_at),
            )
            for part in found.parts
        ],
        "events": [
            (int(event.status), int(event.previous), _seconds(event.at), event.error and event.error.code)
            for event in found.history
        ],
        "attempts": [(each.run, each.part, each.outcome) for each in found.attempts],
    }


def _meant(message: Message) -> dict[str, object]:
    """The same of the model's message."""
    return {
        "status": message.status,
        "queued": message.queued,
        "run": message.run,
        "error": message.code,
        "reason": message.reason and message.reason[:2],
        "total": message.total,
        "address": message.address,
        "due": message.due,
        "expires": message.expires,
        "parts": [
            (number, part.phase, part.status, part.attempts, tuple(part.ids), part.marked, part.answered)
            for number, part in sorted(message.parts.items())
        ],
        "events": message.events,
        "attempts": message.attempts,
    }


def _place(queued: QueuedMessage) -> tuple[object, ...]:
    waits = _seconds(queued.waiting_since), _seconds(queued.waiting_until)
    return (queued.tid, queued.run, queued.facts, len(queued.parts), _seconds(queued.due_at), *waits)


def _meant_place(message: Message) -> tuple[object, ...]:
    _, until, since = message.reason or ("", None, None)
    due = message.due if message.due > message.accepted else None
    return (message.tid, message.run, message.facts, len(message.parts), due, since, until)


def _told(event: EventRecord) -> tuple[object, ...]:
    """What of a stored event is compared."""
    change = event.change
    code = change and change.error and change.error.code
    return event.kind, _seconds(event.at), change and (int(change.status), int(change.previous), code)


def _meant_event(event: Event) -> tuple[object, ...]:
    return event.kind, event.at, event.change


class Machine(RuleBasedStateMachine):
    """A store and the model, both told the same."""

    make: ClassVar[Make]
    template: ClassVar[Path]
    done: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.base = Path(tempfile.mkdtemp(dir=self.template.parent))
        self.folder = self.base / "0"
        self.model = Model()
        self.now = 0
        self.tids: list[str] = []
        self.news: list[Told] = []
        self.events = 0

    @initialize(first=st.integers(1, 3))
    def open(self, first) -> None:
        shutil.copytree(self.template, self.folder)
        self.store = self.loop.run_until_complete(self._opened())
        self.done["runs"] += 1
        self.urls = {}
        for dialect, kinds in (("standard", KINDS), ("compat", COMPAT_KINDS)):
            hook = endpoint(f"https://{dialect}.example/", dialect=dialect)
            put = self.loop.run_until_complete(self.store.put_endpoint(hook, T0))
            self.urls[put.id] = hook
            self.model.hooks[put.id] = Hook(kinds)
        for number in range(first):
            self.accept(ACCOUNT, "ab"[number % 2], Priority.NORMAL, 0, 86_400)

    async def _opened(self) -> GatewayStore:
        store = await self.make(self.folder, durable=False)
        await store.open()
        if not await store.accounts():  # a folder is copied with its file; a database on a server is empty
            await store.declare(DECLARED, T0)
        return store

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.loop.run_until_complete(self.store.close())
        self.loop.close()
        shutil.rmtree(self.base)

    # --- telling both, and looking ---------------------------------------------------------------------------------------

    def _both(self, call, meant) -> None:
        """Await *call*, whose answer has to be *meant*, and compare everything."""

        async def step() -> None:
            assert await call == meant
            await self._compare()

        self.loop.run_until_complete(step())
        self.done["steps"] += 1

    async def _compare(self) -> None:
        for number, tid in enumerate(self.tids):
            found, meant = await self.store.message(CLIENT, tid), self.model.messages.get(tid)
            assert (found and _seen(found)) == (meant and _meant(meant)), number
        for account in ACCOUNTS:
            queue = self.model.queue(account)
            assert [_place(each) for each in await self.store.queued(account)] == [_meant_place(each) for each in queue]
            begun = [each.tid for each in queue if each.total > 0]
            assert [each.tid for each in await self.store.begun(account)] == begun
        await self._compare_feed()
        assert await self.store.broken_invariants() == []
        self.done["messages"] += len(self.tids)

    async def _compare_feed(self) -> None:
        """One event for each that the model has; of a message and of what came in, in the model's order."""
        events = await self.store.events(CLIENT, limit=1_000)
        assert [each.position for each in events] == sorted({each.position for each in events})
        names = {each.position: each.data.decode() or each.change.tid for each in events}
        told = {name: [_told(each) for each in events if names[each.position] == name] for name in names.values()}
        feed = self.model.feed
        meant = {
            name: [_meant_event(each) for each in feed if each.name == name] for name in (one.name for one in feed)
        }
        assert told == meant
        came = [names[each.position] for each in events if each.change is None]
        assert came == [each.name for each in feed if each.change is None]
        places = {name: [each for each in names if names[each] == name] for name in names.values()}
        self.place = {
            each: places[each.name][[one for one in feed if one.name == each.name].index(each)] for each in feed
        }
        for hook in self.urls:
            found = {each.position: each for each in await self.store.callbacks(hook, limit=1_000)}
            assert {position: (each.state.value, each.tries) for position, each in found.items()} == {
                self.place[each.event]: (each.state, each.tries) for each in self.model.callbacks if each.hook == hook
            }
            pending = sorted(position for position, each in found.items() if each.state is Owed.PENDING)
            assert [each.position for each in await self.store.owed(hook, limit=1_000)] == pending
            self.done["callbacks"] += len(found)

    def _tid(self, pick: int) -> str:
        return self.tids[pick % len(self.tids)]

    def _message(self, pick: int) -> Message | None:
        """The message that is meant, None when it was deleted."""
        return self.model.messages.get(self._tid(pick))

    def _open(self) -> list[tuple[Message, int]]:
        """The parts that wait for the answer to their call, or for their next one."""
        return [
            (message, number)
            for message in self.model.messages.values()
            for number, part in sorted(message.parts.items())
            if part.open
        ]

    def _platform_id(self, tid: str, part: int, run: int) -> str:
        return f"m{self.tids.index(tid)}.{part}.{run}"

    # --- accept ----------------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.tids) < 5)
    @rule(
        account=st.sampled_from(ACCOUNTS),
        lane=st.sampled_from("ab"),
        priority=st.sampled_from(list(Priority)),
        delay=st.sampled_from([0, 0, 30]),
        life=st.sampled_from([60, 7_200, 86_400]),
    )
    def accept(self, account, lane, priority, delay, life) -> None:
        due = self.now + delay
        new = new_message(
            account_id=account,
            lane=lane,
            priority=priority,
            accepted_at=at(self.now),
            due_at=at(due),
            expires_at=at(due + life),
        )
        self.tids.append(new.tid)
        self._accept(new)

    def accept_again(self, pick, *, same: bool) -> None:
        key = next((key for key, kept in self.model.keys.items() if kept[0] == self._tid(pick)), None)
        if key is None:
            return  # the key has outlived its life
        fingerprint = b"\x01" if same else b"\x02"
        self._accept(new_message(message_id=key[1], fingerprint=fingerprint * 32, accepted_at=at(self.now)))

    def _accept(self, new) -> None:
        due, expires = _seconds(new.due_at), _seconds(new.expires_at)
        message = Message(
            number=len(self.tids),
            tid=new.tid,
            client=CLIENT,
            account=new.account_id,
            key=(CLIENT, new.message_id, new.channel),
            lane=new.lane,
            accepted=self.now,
            due=due,
            expires=expires,
            life=expires - due,
            priority=new.priority.value,
            seq=0,
        )
        kind, tid, status = self.model.accept(message, new.fingerprint)

        async def told():
            answer = await self.store.accept(new)
            if isinstance(answer, Accepted):
                return "replayed" if answer.replayed else "accepted", answer.tid, int(answer.status)
            return "conflict", answer.tid, 0

        self._both(told(), (kind, tid, status))

    # --- delivery ----------------------------------------------------------------------------------------------------------

    def _marking(self, message: Message, part: int, run: int) -> tuple[Marking, object]:
        """A mark for the model and for the store; the number of parts is that of the message for ever."""
        total = 1 + self.tids.index(message.tid) % 3
        address = message.address or message.lane
        facts = f"facts {message.run}".encode() if part == 1 else None
        meant = Marking(run, min(part, total), total, address, facts)
        wanted = mark(new_message(tid=message.tid), meant.part, total, run=run, at=at(self.now), address=address)
        return meant, replace(wanted, facts=facts)

    async def _marked(self, wanted) -> bool:
        return bool(await self.store.mark(wanted))

    @precondition(lambda self: self.tids)
    @rule(pick=picks, part=numbers, off=runs)
    def mark(self, pick, part, off) -> None:
        message = self._message(pick)
        if message is not None:
            meant, wanted = self._marking(message, part, message.run + off)
            self._both(self._marked(wanted), self.model.mark(message.tid, meant, self.now))

    @precondition(lambda self: any(message.queued for message in self.model.messages.values()))
    @rule(
        drawn=st.lists(st.tuples(picks, verdicts, st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=3)
    )
    def call(self, drawn) -> None:
        """As delivery does: mark the next part of a queued message and record what came of it, unless the call lasts."""
        for pick, what, unknown, goes_on, lasts in drawn:
            queued = [message for message in self.model.messages.values() if message.queued]
            if not queued:
                return
            message = queued[pick % len(queued)]
            part = min(set(range(1, 2 + self.tids.index(message.tid) % 3)) - message.answered())
            if part not in message.parts or message.parts[part].phase != FLIGHT:
                meant, wanted = self._marking(message, part, message.run)
                self._both(self._marked(wanted), self.model.mark(message.tid, meant, self.now))
            if not lasts:
                self._record(message, part, message.run, what, unknown=unknown, goes_on=goes_on)

    @precondition(lambda self: any(message.parts for message in self.model.messages.values()))
    @rule(pick=picks, part=numbers, off=runs, what=verdicts, unknown=st.booleans(), goes_on=st.booleans())
    def record(self, pick, part, off, what, unknown, goes_on) -> None:
        open_ones = self._open()
        message = self._message(pick)
        if open_ones and pick % 3:  # what is asked of a part that waits for it comes more often
            message, part = open_ones[pick % len(open_ones)]
        if message is not None:
            part = min(part, 1 + self.tids.index(message.tid) % 3)
            self._record(message, part, message.run + off, what, unknown=unknown, goes_on=goes_on)

    def _record(self, message: Message, part: int, run: int, what, *, unknown: bool, goes_on: bool) -> None:
        kind, status, more = what
        own = self._platform_id(message.tid, part, run)
        ids = {"": (own,), "x": (own, own + "x"), "shared": ("shared",)}.get(more, ())
        until = self.now + 60
        meant = Verdict(kind, status, ids, more, until)
        verdict = {
            "answered": PartAnswered(ids, Status(status)),
            "failed": PartFailed(Status(status), ErrorRecord(more, f"what {more} says")),
            "waiting": PartWaiting(at(until), ErrorRecord(more, f"what {more} says")),
        }[kind]
        outcome = "unknown" if unknown and kind == "waiting" else kind
        following, next_mark = self._marking(message, part + 1, message.run) if goes_on else (None, None)
        told = result(new_message(tid=message.tid), verdict, part, run=run, at=at(self.now), next_mark=next_mark)
        told = replace(told, attempt=attempt(part, outcome=outcome, at=at(self.now)))
        status, queued, marked, settled = self.model.record(message.tid, run, part, meant, outcome, following, self.now)
        self._both(self.store.record(told), Recorded(Status(status), queued=queued, marked=marked, settled=settled))

    def finish(self, pick, off) -> None:
        message = self._message(pick)
        if message is not None:
            run = message.run + off
            meant = self.model.finish(message.tid, run, -1, "recipient_not_linked", self.now)
            error = _error("recipient_not_linked")
            self._both(self.store.finish(message.tid, run, Status.UNSENT, error, at(self.now)), meant)

    def wait(self, pick, off, *, since: bool, until: bool) -> None:
        message = self._message(pick)
        if message is not None:
            run, code = message.run + off, "rate_limited"
            began, ends = self.now if since else None, self.now + 30 if until else None
            self.model.wait(message.tid, run, began, ends, code)
            moments = at(ends) if until else None, at(self.now) if since else None
            self._both(self.store.wait(message.tid, run, moments[0], _error(code), since=moments[1]), None)

    def cancel(self, pick, *, mine: bool) -> None:
        client = CLIENT if mine else OTHER_CLIENT
        meant = self.model.cancel(client, self._tid(pick), self.now)
        self._both(self.store.cancel(client, self._tid(pick), at(self.now)), meant)

    def retry(self, pick, *, mine: bool) -> None:
        self._retry(CLIENT if mine else OTHER_CLIENT, self._tid(pick))

    @precondition(lambda self: any(message.status < 0 for message in self.model.messages.values()))
    @rule(pick=picks)
    def retry_what_failed(self, pick) -> None:
        failed = [message.tid for message in self.model.messages.values() if message.status < 0]
        self._retry(CLIENT, failed[pick % len(failed)])

    def _retry(self, client: str, tid: str) -> None:
        meant = self.model.retry(client, tid, self.now)
        self.done["retried"] += meant == "done"
        self._both(self.store.retry(client, tid, at(self.now)), meant)

    @precondition(lambda self: self.tids)
    @rule(kind=st.integers(0, 13), pick=picks, off=runs, one=st.booleans(), two=st.booleans())
    def disturb(self, kind, pick, off, one, two) -> None:
        """Do one of what happens more seldom, or ought to change nothing: hypothesis draws every rule equally often."""
        backs = [0, 1, 60, 3_600, 90_000, 700_000]
        steps = [
            lambda: self.accept_again(pick, same=one),
            lambda: self.finish(pick, off),
            lambda: self.wait(pick, off, since=one, until=two),
            lambda: self.wait(pick, off, since=one, until=two),
            lambda: self.cancel(pick, mine=one or two),
            lambda: self.retry(pick, mine=one or two),
            lambda: self.configure(enabled=True),
            lambda: self.configure(enabled=False),
            lambda: self.no_receipts(backs[pick % 4]),
            lambda: self.purge(backs[2 + pick % 4]),
            lambda: self.open_again(crashes=True),
            lambda: self.open_again(crashes=False),
            lambda: self.enable(pick, enabled=one or two),
            lambda: self.enable(pick, enabled=one),
        ]
        steps[kind]()

    # --- receipts --------------------------------------------------------------------------------------------------------

    def _told(self, pick, part, way, status, ago, *, own: bool) -> Told:
        tid = self._tid(pick)
        message = self.model.messages.get(tid)
        run = message.run if message is not None else 1
        known = self._platform_id(tid, part, run)
        ways = {
            "id": (known, ""),
            "reference": ("", f"{tid}:{part}"),
            "both": (known, f"{tid}:{part}"),
            "lost copy": (known + "-copy", f"{tid}:{part}"),
            "bare": (known, tid),
            "older": (self._platform_id(tid, part, max(1, run - 1)), ""),
            "shared": ("shared", ""),
            "nothing": ("", ""),
        }
        account = message.account if message is not None and own else ACCOUNTS[pick % 2]
        self.events += 1
        code = "gone" if status < 0 else None
        return Told(account, f"e{self.events}", status, self.now - ago, *ways[way], code)

    @precondition(lambda self: self.tids)
    @rule(drawn=st.lists(receipts, min_size=1, max_size=3), again=st.sampled_from([False, False, False, True]))
    def receive(self, drawn, again) -> None:
        told = [self._told(*each, own=own) for *each, own in drawn]
        if again:
            told = [told[0], *self.news[-2:], *told]
        self.news += told
        self._receive(told)

    @precondition(lambda self: any(message.answered() for message in self.model.messages.values()))
    @rule(pick=picks, way=st.sampled_from(["lost copy", "id"]), status=st.sampled_from([2, -2, -3]))
    def receive_of_an_answered_part(self, pick, way, status) -> None:
        """A receipt of a part that the platform took, or of another copy of it."""
        parts = [(each, part) for each in self.model.messages.values() for part in sorted(each.answered())]
        message, part = parts[pick % len(parts)]
        self._receive([self._told(self.tids.index(message.tid), part, way, status, 0, own=True)])

    @precondition(lambda self: self._open())
    @rule(
        pick=picks,
        way=st.sampled_from(["reference", "both", "lost copy"]),
        status=st.sampled_from([1, 2, -3]),
        what=verdicts,
    )
    def receive_before_the_answer(self, pick, way, status, what) -> None:
        """A receipt tells of a part whose call lasts; then what came of the call is recorded."""
        message, part = self._open()[pick % len(self._open())]
        self._receive([self._told(self.tids.index(message.tid), part, way, status, 0, own=True)])
        self._record(message, part, message.run, what, unknown=False, goes_on=False)

    @precondition(lambda self: self.tids)
    @rule(
        account=st.sampled_from(ACCOUNTS),
        address=st.sampled_from("ab"),
        status=st.sampled_from([2, 3]),
        back=st.sampled_from([0, 1, 2, 60]),
    )
    def receive_watermark(self, account, address, status, back) -> None:
        self.events += 1
        told = Told(account, f"e{self.events}", status, self.now, watermark=self.now - back, address=address)
        self._receive([told])

    def _receive(self, told: list[Told]) -> None:
        new, waiting, settled = self.model.receive(told, self.now)
        wire = self._wire(told)

        async def call():
            answer = await self.store.receive(wire, at(self.now))
            assert len(set(answer.settled)) == len(answer.settled)
            return Received(answer.new, answer.waiting), set(answer.settled)

        self._both(call(), (Received(new, waiting), settled))

    @staticmethod
    def _wire(told: list[Told]) -> list[ReceiptRecord]:
        return [
            ReceiptRecord(
                account_id=each.account,
                event_id=each.event,
                status=Status(each.status),
                at=at(each.at),
                platform_id=each.platform_id,
                watermark=None if each.watermark is None else at(each.watermark),
                address=each.address,
                reference=each.reference,
                error=_error(each.code),
            )
            for each in told
        ]

    # --- the feed and its callbacks --------------------------------------------------------------------------------------

    @rule(
        drawn=st.lists(
            st.tuples(
                st.sampled_from(ACCOUNTS), st.integers(0, 2), st.sampled_from([RECEIVED, RECEIVED, "contact.blocked"])
            ),
            min_size=1,
            max_size=3,
        ),
        told=st.lists(receipts, max_size=2),
    )
    def take_in(self, drawn, told) -> None:
        """What came in, some of it again, with receipts in the same webhook."""
        news = [self._told(*each, own=own) for *each, own in told] if self.tids else []
        self.news += news
        came = []
        for account, back, kind in drawn:
            self.events += back == 0
            came.append((account, f"{account} came {max(0, self.events - back)}", kind))
        new, receipts, waiting, settled, grown = self.model.take_in(news, came, self.now)
        wire = tuple(
            arrival(
                account_id=account,
                event_id=name,
                at=at(self.now),
                event=new_event(kind, data=name.encode(), at=at(self.now)),
            )
            for account, name, kind in came
        )

        async def call():
            answer = await self.store.take_in(Webhook(at(self.now), self._wire(news), wire))
            assert len(set(answer.settled)) == len(answer.settled)
            return replace(answer, settled=()), set(answer.settled)

        self._both(call(), (TakenIn(frozenset(new), receipts, waiting, (CLIENT,) * grown), settled))

    def _called(self, callbacks: list[Callback], states: list[Owed]) -> None:
        """Tell both what came of tries of *callbacks*."""
        results = []
        for callback, state in zip(callbacks, states, strict=False):
            tried = CallbackAttempt(callback.hook, self.place[callback.event], at(self.now), 1, 200)
            results.append(Called(tried, state, at(self.now + 5) if state is Owed.PENDING else None))
            self.model.called(callback, state.value)
        self._both(self.store.called(results), None)

    @precondition(lambda self: self.model.callbacks)
    @rule(
        picked=st.lists(picks, min_size=1, max_size=3), states=st.lists(st.sampled_from(Owed), min_size=3, max_size=3)
    )
    def call_back(self, picked, states) -> None:
        """As a deliverer does with what is pending; or with whatever there is, as one does that came too late."""
        pending = [each for each in self.model.callbacks if each.state == "pending"]
        among = pending if pending and picked[0] % 4 else self.model.callbacks
        self._called([among[pick % len(among)] for pick in picked], states)

    @precondition(lambda self: self.model.feed)
    @rule(pick=picks, which=st.sampled_from(["one", "since", "all"]), failed_only=st.booleans())
    def replay(self, pick, which, failed_only) -> None:
        hook = list(self.urls)[pick % 2]
        event = self.model.feed[pick % len(self.model.feed)]
        wanted = {
            "one": ([event], Replay((self.place[event],), failed_only=failed_only)),
            "since": (
                [each for each in self.model.feed if each.at >= event.at],
                Replay(since=at(event.at), failed_only=failed_only),
            ),
            "all": (self.model.feed, Replay(failed_only=failed_only)),
        }
        events, asked = wanted[which]
        meant = self.model.replay(hook, events, failed_only=failed_only)
        self.done["replayed"] += meant
        self._both(self.store.replay(hook, asked, at(self.now)), meant)

    def enable(self, pick, *, enabled: bool) -> None:
        hook = list(self.urls)[pick % 2]
        self.model.hooks[hook].enabled = enabled

        async def put() -> None:
            await self.store.put_endpoint(replace(self.urls[hook], enabled=enabled), at(self.now))

        self._both(put(), None)

    # --- upkeep, time, crashes ---------------------------------------------------------------------------------------------

    @precondition(lambda self: self.tids)
    @rule(seconds=st.sampled_from(MOMENTS))
    def let_time_pass(self, seconds) -> None:
        """Forward, or back as somebody sets the clock; and look what is overdue then."""
        self.now += seconds
        self.expire()

    def expire(self) -> None:
        meant = self.model.expire(self.now)
        self._both(self.store.expire(at(self.now), 100), meant)

    def no_receipts(self, back) -> None:
        meant = self.model.no_receipts(self.now - back, self.now)
        self._both(self.store.no_receipts(at(self.now - back), 100, at(self.now)), meant)

    def purge(self, back) -> None:
        meant = self.model.purge(self.now - back, self.now)

        async def call() -> int:
            found = await self.store.purge(at(self.now - back), 100, now=at(self.now))
            assert not found.more
            return found.messages

        self._both(call(), meant)

    def configure(self, *, enabled: bool) -> None:
        self.model.disabled = set() if enabled else {ACCOUNT}
        self._both(self.store.declare(DECLARED if enabled else WITHOUT_ACCOUNT, at(self.now)), None)

    def open_again(self, *, crashes: bool) -> None:
        """Close and open the store, or open what lies in its folder at this moment as a killed process leaves it."""
        old = self.folder
        if crashes:
            self.folder = old.with_name(str(int(old.name) + 1))
            shutil.copytree(old, self.folder)
            postgres.goes_on_in(old, self.folder)  # a database on a server is where it was
        self.loop.run_until_complete(self.store.close())
        self.store = self.loop.run_until_complete(self._opened())
        self._both(asyncio.sleep(0), None)
        self.done["restarts"] += 1


async def _declared(make: Make, folder: Path) -> None:
    store = await make(folder, durable=False)
    await store.open()
    await store.declare(DECLARED, T0)
    await store.close()


@pytest.mark.slow
@pytest.mark.timeout(1800 if LONG else 300)
@pytest.mark.scorecard(13)
@pytest.mark.parametrize("name", sorted(STORES))
def test_scorecard_13_the_store_is_where_the_model_is_after_every_step(name, tmp_path):
    """Scorecard row 13: status, place in the queue, run, parts, attempts and events of every message; feed and callbacks."""
    (tmp_path / "template").mkdir()
    asyncio.run(_declared(STORES[name], tmp_path / "template"))
    machine = type(name, (Machine,), {"make": staticmethod(STORES[name]), "template": tmp_path / "template"})
    machine.done = done = Counter()
    runs = (500 if LONG else 60) if name == "sqlite" else (100 if LONG else 15)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate),  # shrinking a failure takes longer than the test may
        ),
    )
    print(
        f"scorecard 13: {name}: {done['runs']} runs of {STEPS} steps, {done['steps']} of them looked at in the store, "
        f"{done['messages']} messages and {done['callbacks']} callbacks compared, {done['retried']} retried, "
        f"{done['replayed']} replayed, {done['restarts']} restarts, none differs"
    )
