"""Delivery against a model: whatever clients, operators, platforms, clocks and crashes do, what it promises holds.

Hypothesis makes up the steps, time is simulated (:mod:`support.simulation`), and every call is looked at in the moment when
it reaches the platform. This is about delivery; the store alone has its own model in ``tests/contract``.
"""

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count, pairwise

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kurir.delivery.doubt import COPIES
from kurir.domain.account import Rate, Retrying
from kurir.domain.status import Status, advance
from kurir.store.base import ErrorRecord, ReceiptRecord, Turn
from support.delivering import CLIENT
from support.simulation import STORE_SECONDS, TAKEN, UNKNOWN, Arrival, Look, Mood, Setting, Simulation

NIGHTLY = os.environ.get("KURIR_TIER") == "N"
ADDRESSES = {
    "telegram": ("1001", "1002", "1003"),
    "line": tuple("U" + digit * 32 for digit in "abc"),
    "whatsapp": ("628111111111", "628111111112", "628111111113"),
}
CONCURRENCY = 2
UNKNOWN_WAIT = 15.0
RATES = {"account": Rate(4, 1), "recipient": Rate(1, 2, burst=3)}
RETRYING = Retrying(attempts=4, first_seconds=1.0, longest_seconds=20.0)
#: What was counted and marked may reach the platform so much later, and what is told may be known so much later.
SLACK = 8 * STORE_SECONDS
#: How soon what was accepted is known to its worker, at the latest.
SEEN = 3.0
#: Two parts, on Telegram and WhatsApp.
LONG = 1100


@dataclass
class Posted:
    """A message that the gateway answered for. *mark* is how many calls there were when its run began."""

    label: str
    tid: str
    address: str
    priority: str
    at: float
    scheduled: bool
    due: datetime
    expires: datetime
    jumps_back: int
    life: int
    mark: int = 0
    runs: int = 1
    cancelled: bool = False
    called: bool = field(default=False)


class Delivery(RuleBasedStateMachine):
    """Steps of a life of one account."""

    # --- steps --------------------------------------------------------------------------------------------------------

    @initialize(
        channel=st.sampled_from(sorted(ADDRESSES)),
        policy=st.sampled_from(["resend", "resend", "hold"]),
        seed=st.integers(0, 1000),
    )
    def begin(self, channel: str, policy: str, seed: int) -> None:
        self.channel, self.policy = channel, policy
        options = {"concurrency": CONCURRENCY, "unknown_outcome": policy, "unknown_wait_seconds": UNKNOWN_WAIT}
        self.world = Simulation(Setting(channel, RATES, RETRYING, options), seed, self.look_at)
        self.world.__enter__()
        self.clock, self.platform = self.world.clock, self.world.platform
        self.platform.watch_look = self.look_at_a_look
        self.posted: dict[str, Posted] = {}
        self.numbers = count(1)
        self.paused_at: float | None = None
        self.jumped_at = float("-inf")
        self.jumps_back = 0
        self.jumps_forward: list[float] = []

    @precondition(lambda self: self.world.up)
    @rule(
        lane=st.integers(0, 2),
        priority=st.sampled_from(["normal", "normal", "high", "bulk"]),
        long=st.booleans(),
        expires_in=st.sampled_from([20, 120, 2000, 200_000]),
        later=st.sampled_from([0, 0, 0, 7, 40]),
        times=st.sampled_from([1, 1, 3]),
    )
    def accept(self, *, lane: int, priority: str, long: bool, expires_in: int, later: int, times: int) -> None:
        for _ in range(times):
            self.post(ADDRESSES[self.channel][lane], priority, LONG if long else 1, expires_in, later)

    def post(self, address: str, priority: str, words: int, expires_in: int, later: int) -> Posted:
        label = f"m{next(self.numbers)}"
        now = self.clock.now()
        due = now + timedelta(seconds=later)
        more = {"priority": priority, "expires_in": expires_in}
        if later:
            more["send_at"] = due.isoformat()
        at = self.clock.seconds
        # known before it is answered: its worker may be faster than the answer
        posted = Posted(label, "", address, priority, at, later > 0, due, due, self.jumps_back, self.platform.life)
        self.posted[label] = posted
        posted.tid = self.world.run(self.world.accept(address, f"{label} " * words, **more))
        posted.expires = max(due, now) + timedelta(seconds=expires_in + 1)
        return posted

    @rule(seconds=st.sampled_from([0.01, 0.06, 0.3, 1.0, 3.0, 10.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(
        mood=st.sampled_from(list(Mood)),
        lane=st.sampled_from([0, 1, None, None]),
        wait=st.sampled_from([2, 6, 50]),
        seconds=st.sampled_from([0.1, 2.0, 8.0, 25.0]),
    )
    def the_platforms_mood_changes(self, mood: Mood, lane: int | None, wait: float, seconds: float) -> None:
        self.platform.wait = wait
        if lane is None:
            self.platform.mood = mood
            self.platform.moods.clear()
        else:
            self.platform.moods[ADDRESSES[self.channel][lane]] = mood
        self.send_some(["normal", "normal"], seconds)

    @precondition(lambda self: self.world.up)
    @rule(
        priorities=st.lists(st.sampled_from(["normal", "high", "bulk"]), min_size=1, max_size=4),
        mood=st.sampled_from([Mood.LOST, Mood.SILENT, Mood.PROXY, Mood.FAULT, Mood.THROTTLES_FOR]),
        seconds=st.sampled_from([0.02, 0.2, 2.0, 8.0]),
    )
    def some_are_sent_into_trouble(self, priorities: list[str], mood: Mood, seconds: float) -> None:
        before, self.platform.mood = self.platform.mood, mood
        self.send_some(priorities, seconds)
        self.platform.mood = before

    def send_some(self, priorities: list[str], seconds: float) -> None:
        """Accept messages, the long and the short, for one lane after the other, and let time pass."""
        if self.world.up:
            for number, priority in enumerate(priorities):
                words = 1 if number % 2 else LONG
                self.post(ADDRESSES[self.channel][number // 2], priority, words, 2000, 0)
        self.world.pass_time(seconds)

    @rule()
    def the_platform_is_well(self) -> None:
        self.platform.mood = Mood.TAKES
        self.platform.moods.clear()

    @rule(latency=st.sampled_from([0.02, 0.7, 9.0]))
    def the_platform_takes_its_time(self, latency: float) -> None:
        self.platform.latency = latency

    @precondition(lambda self: self.world.up and self.channel == "whatsapp")
    @rule(data=st.data(), status=st.sampled_from([Status.SENT, Status.DELIVERED, Status.READ, Status.FAILED]))
    def a_receipt_comes(self, data: st.DataObject, status: Status) -> None:
        told_of = [one for one in self.platform.arrivals if one.taken]
        if not told_of:
            return
        arrival = data.draw(st.sampled_from(told_of[-4:]))
        arrival.receipts.append(status.name)
        error = ErrorRecord("recipient_unreachable", "undeliverable", "131026") if status is Status.FAILED else None
        receipt = ReceiptRecord(
            account_id=self.world.account_id,
            event_id=f"{arrival.number}:{status.name}",
            status=status,
            at=self.clock.now(),
            platform_id=arrival.platform_id,
            address=arrival.address,
            reference=f"{self.posted[arrival.label].tid}:{arrival.part}",
            error=error,
        )
        self.world.run(self.world.receipt(receipt))

    @precondition(lambda self: self.world.up and self.posted)
    @rule(data=st.data())
    def a_client_cancels(self, data: st.DataObject) -> None:
        posted = self.posted[data.draw(st.sampled_from(list(self.posted)))]
        turn = self.world.run(self.world.store.cancel(CLIENT, posted.tid, self.clock.now()))
        if turn is Turn.DONE:
            assert not self.may_have_left(posted), "cancelled although it may have left"
        posted.cancelled = posted.cancelled or turn is Turn.DONE

    def may_have_left(self, posted: Posted) -> bool:
        """Return whether a call of the message sent something, or nobody knows. What a receipt told to have failed did not."""
        open_ended = TAKEN | UNKNOWN | {Mood.FAULT}
        arrivals = self.platform.arrivals
        calls = [one for one in arrivals if one.label == posted.label and Status.FAILED.name not in one.receipts]
        return any(one.mood in open_ended or one.answered is None for one in calls)

    @precondition(lambda self: self.world.up and self.posted)
    @rule(data=st.data())
    def a_client_retries(self, data: st.DataObject) -> None:
        failed = [one for one in self.posted.values() if self.row(one)[1] < 0]
        if not failed:
            return
        posted = data.draw(st.sampled_from(failed))
        turn = self.world.run(self.world.store.retry(CLIENT, posted.tid, self.clock.now()))
        if turn is Turn.DONE:
            posted.runs += 1
            posted.mark = len(self.platform.arrivals)
            posted.cancelled = False
            posted.expires += self.clock.now() - posted.due
            posted.due = self.clock.now()
            assert self.world.dispatcher is not None
            self.world.dispatcher.wake(self.world.account_id)

    @precondition(lambda self: self.world.up)
    @rule()
    def the_operator_pauses_or_resumes(self) -> None:
        assert self.world.dispatcher is not None
        if self.paused_at is None:
            self.world.run(self.world.dispatcher.pause(self.world.account_id))
            self.paused_at = self.clock.seconds
        else:
            self.paused_at = None
            self.world.run(self.world.dispatcher.resume(self.world.account_id))

    @precondition(lambda self: self.world.up)
    @rule(
        commits=st.sampled_from([0, 0, 1, 2, 3, 4]),
        down=st.sampled_from([0.1, 5.0, 60.0, 4000.0, 90_000.0]),
    )
    def the_process_is_killed(self, commits: int, down: float) -> None:
        """At once, or right after so many more commits; and another one is started after a while."""
        if commits:
            self.send_some(["normal", "high"], 0.001)
            self.world.store.commits_left = commits
            self.world.pass_time(3.0)
            self.world.store.commits_left = -1
        if self.world.store.dead or not commits:
            self.world.crash()
            self.world.pass_time(down)
            self.world.start()

    @precondition(lambda self: self.world.up)
    @rule(down=st.sampled_from([0.1, 30.0]))
    def the_process_is_stopped_and_started(self, down: float) -> None:
        self.world.stop()
        self.world.pass_time(down)
        self.world.start()

    @rule(seconds=st.sampled_from([-4000.0, -30.0, 30.0, 4000.0]), down=st.booleans())
    def somebody_sets_the_clock(self, *, seconds: float, down: bool) -> None:
        if down:
            self.world.crash()
        self.set_clock(seconds)
        if down:
            self.world.start()

    def set_clock(self, seconds: float) -> None:
        self.clock.jump(seconds)
        self.jumped_at = self.clock.seconds
        if seconds < 0:
            self.jumps_back += 1
        else:
            self.jumps_forward.append(self.clock.seconds)

    # --- what holds at each call --------------------------------------------------------------------------------------

    def row(self, posted: Posted) -> tuple[int, int, int]:
        """Return (queued, status, run) of a message as committed."""
        found: tuple[int, int, int] = self.world.store.ask(
            "SELECT queued, status, run FROM message WHERE tid = ?", posted.tid
        )[0]
        return found

    def look_at(self, arrival: Arrival) -> None:
        """Check a call in the moment when it reaches the platform."""
        posted = self.posted[arrival.label]
        hanging = [one for one in self.platform.open if not one.receipts]  # a receipt told what the others came to
        assert not any(one.address == arrival.address for one in hanging), "two of a lane at once"
        assert len(hanging) < CONCURRENCY, "more calls at once than the account has"
        assert len(self.platform.open) < 2 * CONCURRENCY, "too many calls hang"
        assert not posted.cancelled, "called although it was cancelled"
        if self.paused_at is not None:
            assert arrival.at <= self.paused_at + SLACK, f"called {arrival.at - self.paused_at:g} s after the pause"
        before = [one for one in self.platform.arrivals[:-1] if one.label == arrival.label]
        for number in range(1, arrival.part):
            assert any(one.part == number and one.mood in TAKEN for one in before), "a part went before an earlier one"
        self.look_at_copies(arrival, posted, [one for one in before if one.part == arrival.part])
        self.look_at_waits(arrival, posted)
        if not posted.called:
            posted.called = True
            self.look_at_order(arrival, posted)
            self.look_at_times(arrival, posted)

    def look_at_copies(self, arrival: Arrival, posted: Posted, before: list[Arrival]) -> None:
        copies = [one for one in before if one.taken and "FAILED" not in one.receipts]
        for one in copies:
            assert not (one.known and self.was_recorded(one, posted)), "sent again although it was known to have left"
        if copies and not arrival.repeatable:
            assert arrival.after_unknown, "perhaps doubled, and not said so"
        open_ends = [
            one for one in before if one.number > posted.mark and (one.mood in UNKNOWN or one.answered is None)
        ]
        if not arrival.repeatable:
            most = 1 if self.policy == "hold" else COPIES
            of_this_kind = [one for one in open_ends if not one.repeatable]
            assert len(of_this_kind) < most, f"the {len(of_this_kind) + 1}th call after unknown outcomes"
            if of_this_kind:
                doubted = max(one.answered if one.life == arrival.life else self.world.began for one in of_this_kind)
                heard = any(doubted <= moment <= arrival.at for moment in self.platform.signs_of_life())
                assert heard, f"a copy {arrival.at - doubted:g} s after its doubt, and nobody had answered since"

    def look_at_a_look(self, look: Look) -> None:
        """Check a look in the moment when it reaches the platform."""
        mine = [one for one in self.platform.looks if one.life == look.life]
        assert all(one.answered is not None for one in mine), "two looks at once"
        if mine:
            assert look.at - mine[-1].answered >= 0.5 - SLACK, "looks without a pause"
        if self.paused_at is not None:
            assert look.at <= self.paused_at + SLACK, "looked at while the account is paused"
        if self.channel == "line":  # whose waits are the account's
            for one in self.platform.arrivals:
                if one.wait is not None and one.answered is not None and one.life == look.life:
                    assert not one.answered + SLACK < look.at < one.answered + one.wait - 1e-3, "looked at in a wait"

    def was_recorded(self, arrival: Arrival, posted: Posted) -> bool:
        wall = round(arrival.wall.timestamp() * 1e6)
        found = self.world.store.ask(
            "SELECT 1 FROM attempt JOIN message ON message.seq = attempt.seq"
            " WHERE tid = ? AND part = ? AND at = ? AND outcome = 'sent'",
            posted.tid,
            arrival.part,
            wall,
        )
        return bool(found)

    def look_at_waits(self, arrival: Arrival, posted: Posted) -> None:
        """No call before a wait that the platform named is over."""
        for one in self.platform.arrivals[:-1]:
            if one.wait is None or one.answered is None or arrival.at <= one.answered + SLACK:
                continue
            same_life = one.life == arrival.life
            if not same_life and any(moment >= one.answered for moment in self.jumps_forward):
                continue  # a clock that was set forward between two processes looks like time that passed
            if self.channel == "line":  # the account's; it is stored a moment after it is learned
                meant = same_life or self.world.began > one.answered + 1.5
            else:
                meant = one.address == arrival.address and (same_life or one.label == posted.label)
            if not same_life and one.label == posted.label and not self.kept(one, posted):
                meant = False
            if meant:
                early = one.answered + one.wait - arrival.at
                assert early <= 1e-3, f"called {early:g} s before a wait of {one.wait:g} s was over"

    def kept(self, arrival: Arrival, posted: Posted) -> bool:
        """Return whether the process lived long enough to record the outcome, and the run is the same one."""
        wall = round(arrival.wall.timestamp() * 1e6)
        found = self.world.store.ask(
            "SELECT 1 FROM attempt JOIN message ON message.seq = attempt.seq WHERE tid = ? AND part = ? AND at = ?"
            " AND attempt.run = message.run",
            posted.tid,
            arrival.part,
            wall,
        )
        return bool(found)

    def look_at_order(self, arrival: Arrival, posted: Posted) -> None:
        """Of one lane and one class: what was accepted first goes first; and high goes before all others."""
        marks = self.world.store.ask(
            "SELECT attempts FROM part JOIN message ON message.seq = part.seq WHERE tid = ? AND number = 1", posted.tid
        )
        if posted.scheduled or posted.runs > 1 or marks != [(1,)]:
            return  # an earlier mark whose call a crash prevented has begun it
        for other in self.posted.values():
            if other.address != posted.address or other.called or other.scheduled or other.runs > 1:
                continue
            if other is posted or not other.tid or not self.row(other)[0]:
                continue
            same_class = (other.priority == "high") == (posted.priority == "high")
            if same_class:
                assert other.at > posted.at or int(other.label[1:]) > int(posted.label[1:]), "overtaken in its lane"
            elif other.priority == "high":
                known_at = max(other.at, self.world.began)
                assert arrival.at < known_at + SEEN, "a high message waits behind another of its lane"

    def look_at_times(self, arrival: Arrival, posted: Posted) -> None:
        if self.jumped_at > arrival.at - 1.0:
            return
        assert arrival.wall <= posted.expires, "called after it had expired"
        if posted.jumps_back == self.jumps_back and posted.scheduled:
            assert arrival.wall >= posted.due - timedelta(milliseconds=1), "called before its send_at"

    # --- what holds at every moment -----------------------------------------------------------------------------------

    @invariant()
    def nobody_saw_anything_wrong(self) -> None:
        if hasattr(self, "world"):
            for fault in self.platform.faults:
                raise fault
            assert self.world.store.dead or self.world.dispatcher is None or self.world.dispatcher.alive()

    # --- what holds in the end ----------------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if not self.platform.faults:
                self.look_at_the_end()
        finally:
            self.world.__exit__(None, None, None)

    def look_at_the_end(self) -> None:
        """When everything is well again everything ends, and what is said of it is true."""
        world = self.world
        self.the_platform_is_well()
        self.platform.latency = 0.02
        self.set_clock(max([0.0, *((one.due - self.clock.now()).total_seconds() for one in self.posted.values())]))
        if self.paused_at is not None:
            self.the_operator_pauses_or_resumes()
        last = [self.post(address, "normal", 1, 50_000, 0) for address in ADDRESSES[self.channel]]
        world.until(lambda: not world.store.ask("SELECT 1 FROM message WHERE queued = 1"), 6000.0, step=5.0)
        assert world.run(world.store.broken_invariants()) == []
        for posted in self.posted.values():
            self.look_at_message(posted)
        for posted in last:
            assert any(one.label == posted.label and one.taken for one in self.platform.arrivals), "a lane is stuck"
        self.look_at_rates()
        worker = world.dispatcher._workers[world.account_id]
        assert (worker.lanes.size, worker.lanes.count()) == (0, 0)

    def look_at_message(self, posted: Posted) -> None:
        message = self.world.message(posted.tid)
        calls = [one for one in self.platform.arrivals if one.label == posted.label]
        codes = message.error.code if message.error is not None else ""
        steps = [event.status for event in message.history]
        for earlier, later in pairwise([Status.PENDING, *steps]):
            forward = later in (advance(earlier, later), advance(earlier, later, proof_of_sending=True))
            assert forward or (later is Status.PENDING and earlier < 0), f"{earlier.name} → {later.name}"
        if message.status > 0 or (self.channel == "whatsapp" and message.status is Status.PENDING):
            for number in range(1, message.parts_total + 1):
                assert any(one.part == number and one.mood in TAKEN for one in calls), "said to be sent, and was not"
        if message.status is Status.UNSENT and posted.runs == 1:
            assert not calls or (codes == "cancelled" and not self.may_have_left(posted)), "unsent, and was called"
        if message.status is Status.FAILED and codes in {"attempts_exhausted", "expired"} and posted.runs == 1:
            failed = next(part.number for part in message.parts if part.phase == "failed")
            left = [one for one in calls if one.part == failed and one.taken and "FAILED" not in one.receipts]
            assert not left, f"{codes}, and the platform has it"
        if codes == "cancelled":
            assert posted.cancelled
        if codes == "outcome_unknown":
            crashed = self.platform.life > posted.life  # perhaps between the mark and the call
            assert crashed or any(one.mood in UNKNOWN for one in calls), "everything about it is known"
        faults: dict[tuple[int, int], int] = defaultdict(int)
        for attempt in message.attempts:
            faults[attempt.run, attempt.part] += attempt.outcome == "retry" and attempt.counted
        assert max(faults.values(), default=0) <= RETRYING.attempts
        self.look_at_marks(posted, calls, {attempt.at: attempt.code for attempt in message.attempts})

    def look_at_marks(self, posted: Posted, calls: list[Arrival], codes: dict[datetime, str]) -> None:
        """A person got several copies only where that is said of each but the first."""
        for number in {one.part for one in calls}:
            copies = [one for one in calls if one.part == number and one.taken and "FAILED" not in one.receipts]
            for one in copies[1:]:
                assert not one.repeatable or self.channel == "line"
                if one.known and one.wall in codes:
                    assert codes[one.wall] == "maybe_duplicate", f"a copy of {posted.label} that nobody is told of"

    def look_at_rates(self) -> None:
        lives: dict[int, list[Arrival]] = defaultdict(list)
        for one in self.platform.arrivals:
            lives[one.life].append(one)
        for calls in lives.values():
            within(RATES["account"], (one.at for one in calls))
            for address in ADDRESSES[self.channel]:
                within(RATES["recipient"], (one.at for one in calls if one.address == address))


def within(rate: Rate, moments: Iterable[float]) -> None:
    """Fail when the calls were more than *rate* lets through, by the generic cell rate algorithm."""
    interval = rate.seconds / rate.count
    expected = float("-inf")
    for moment in moments:
        early = expected - interval * (rate.burst - 1) - moment
        assert early <= SLACK, f"{early:g} s too early for {rate}"
        expected = max(expected, moment) + interval


Delivery.TestCase.settings = settings(
    max_examples=4000 if NIGHTLY else 200,
    stateful_step_count=50 if NIGHTLY else 30,
    deadline=None,
    derandomize=not NIGHTLY,
    print_blob=True,
    phases=[phase for phase in Phase if phase is not Phase.explain],  # it traces every line
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestDelivery = pytest.mark.timeout(14_400 if NIGHTLY else 600)(pytest.mark.slow(Delivery.TestCase))
