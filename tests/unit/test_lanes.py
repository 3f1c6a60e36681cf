"""The lanes and the reading of them against a plain model: a list of what is queued, and who may go.

The reader is the real one. Its store is a list whose answers are pictures of the moment when it was asked, and come later:
whatever may happen while a read is under way does happen here.
"""

from collections import Counter
from collections.abc import Generator
from dataclasses import replace
from datetime import timedelta
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kurir.channels.telegram import channel as telegram
from kurir.clock import FakeClock
from kurir.delivery import lanes as module
from kurir.delivery.lanes import HIGH_MESSAGES, LANE_LOW, LANE_MESSAGES, LANES, WINDOW_MESSAGES, Fetched, Lane, Lanes
from kurir.delivery.reading import RESCAN_SECONDS, QueueReader
from kurir.directory import Entry
from kurir.domain.account import Account, TelegramSettings, WhatsAppSettings
from kurir.domain.message import Priority
from kurir.store.base import ContactRecord, PartRecord, Phase, QueuedMessage, StoreUnavailable

HIGH, NORMAL, BULK = Priority
ACCOUNT = Account("acme-tg", "acme", "telegram", "", TelegramSettings("42:token"))
#: The phone of 1001 stands for it in some messages.
PHONE = "628000001"
NAMES = ("1001", "1002", "1003", "1004", "1005", f"phone:{PHONE}")
CLOCK = FakeClock()
DAY = CLOCK.now() + timedelta(days=365)


def queued(seq: int, lane: str = "a", priority: Priority = NORMAL, **more) -> QueuedMessage:
    message = QueuedMessage(
        seq, f"tid-{seq}", "acme", "telegram", "acme-tg", f"id-{seq}", lane, lane, b"{}", priority, 1, None, DAY
    )
    return replace(message, **more) if more else message


def as_begun(message: QueuedMessage) -> QueuedMessage:
    return replace(message, parts=(PartRecord(1, Phase.WAITING, attempts=1),))


class Later:
    """What a read waits for."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Queue:
    """The queue as a list, read as the store is read."""

    def __init__(self) -> None:
        self.stored: dict[int, QueuedMessage] = {}
        self.next_seq = 1
        self.contacts = {"1001": ContactRecord("acme", "acme-tg", "telegram", "1001", PHONE)}
        self.other_addresses: dict[str, list[str]] = {}
        self.high_read_to = 0

    def put(self, lane: str, priority: Priority = NORMAL, count: int = 1, **more) -> None:
        for _ in range(count):
            self.stored[self.next_seq] = queued(self.next_seq, lane, priority, **more)
            self.next_seq += 1

    def _above(self, seq, limit, wanted):
        return [one for one in self.stored.values() if one.seq > seq and wanted(one)][:limit]

    async def queued(self, _account, after, *, limit):
        found = []
        for priority, seq in after.items():
            mine = self._above(seq, limit, lambda one, priority=priority: one.priority is priority)
            found += mine
            if priority is HIGH and len(mine) < limit:
                self.high_read_to = self.next_seq - 1
        await Later()
        return sorted(found, key=lambda one: one.seq)

    async def begun(self, _account, *, after_seq, limit):
        found = self._above(after_seq, limit, lambda one: one.begun)
        await Later()
        return found

    async def in_lanes(self, _account, lanes, *, high, after_seq, limit):
        found = self._above(after_seq, limit, lambda one: one.lane in lanes and (one.priority is HIGH) == high)
        await Later()
        return found

    async def at_seq(self, _account, seq):
        found = self.stored.get(seq)
        await Later()
        return found

    async def contact(self, _account, address):
        await Later()
        return self.contacts.get(address)

    async def contact_by_phone(self, _account, phone):
        await Later()
        return next((one for one in self.contacts.values() if one.phone == phone), None)

    async def aliases(self, _account, address):
        await Later()
        return self.other_addresses.get(address, [])


class Accounts:
    """The directory as the reader asks it."""

    def __init__(self, account: Account = ACCOUNT) -> None:
        self.account = account

    def accounts(self):
        return {self.account.id: Entry(self.account, telegram)}


class Worker:
    """The reading half of an account's worker. A read goes on when it is told to."""

    def __init__(self, concurrency: int = 3, account: Account = ACCOUNT) -> None:
        self.account = account
        self.queue = Queue()
        self.clock = FakeClock()
        self.concurrency = concurrency
        self.restart()

    def restart(self) -> None:
        """Begin anew on the same store, as after a crash."""
        self.lanes = Lanes()
        self.reader = QueueReader(self.account.id, self.lanes, self.queue, Accounts(self.account), self.clock)
        self.load = None

    def read(self, steps: int | None = None) -> bool:
        """Go on with a read, or begin one, so many steps, None for to its end. True: it has ended."""
        if self.load is None:
            self.load = self.reader.load(self.concurrency)
        while steps is None or steps > 0:
            try:
                self.load.send(None)
            except StopIteration:
                self.load = None
                return True
            steps = None if steps is None else steps - 1
        return False

    def read_all(self) -> None:
        """Read until there is nothing to read now."""
        self.reader.wake()
        for _ in range(20):  # as long as it has something to read, and not for ever: its window may be full
            self.read()
            if not self.reader.hungry(self.concurrency):
                return

    def send(self) -> QueuedMessage | None:
        """Send the next head to its end."""
        head = self.lanes.next()
        if head is None:
            return None
        lane, message = head
        del self.queue.stored[message.seq]
        self.lanes.done(lane)
        return message

    def send_gone(self) -> bool:
        """Let go of one that left the queue while it was in memory; False when there is none."""
        head = self.lanes.next()
        if head is not None:
            self.lanes.done(head[0])
        return head is not None

    def send_all(self) -> list[QueuedMessage]:
        """Send until nothing is left, and return what was sent, in order."""
        sent: list[QueuedMessage] = []
        idle = 0
        while self.queue.stored:
            self.lanes.wake(float("inf"))
            self.read_all()
            message = self.send()
            if message is not None:
                sent.append(message)
                idle = 0
                continue
            idle += 1
            assert idle < 50, f"stuck with {len(self.queue.stored)} messages"
            self.clock.move(RESCAN_SECONDS)
        return sent


def address_of(name: str) -> str:
    return "1001" if name == f"phone:{PHONE}" else name


def held(lanes: Lanes) -> int:
    """Count the messages in memory."""
    known = lanes._lanes.values()
    return sum(len(lane.high.messages) + len(lane.rest.messages) + (lane.pinned is not None) for lane in known)


class LanesAgainstTheModel(RuleBasedStateMachine):
    """Anything may happen in any order; what the lanes hand out must be what a plain list would."""

    @initialize(
        small=st.booleans(),
        concurrency=st.sampled_from([1, 3, 20]),
        lanes=st.sampled_from([4, 100]),
        begun=st.booleans(),
    )
    def begin(self, *, small: bool, concurrency: int, lanes: int, begun: bool) -> None:
        sizes = {"WINDOW_MESSAGES": 24, "HIGH_MESSAGES": 6, "LANES": lanes, "HIGH_LANES": 2} if small else {}
        self.patches = mock.patch.multiple(module, **sizes) if sizes else None
        if self.patches is not None:
            self.patches.start()
        self.window = module.WINDOW_MESSAGES + module.HIGH_MESSAGES
        self.worker = Worker(concurrency)
        self.queue, self.clock = self.worker.queue, self.worker.clock
        self.running: dict[str, tuple[Lane, QueuedMessage]] = {}
        self.resting: dict[str, float] = {}
        self.high_known_to = 0
        if begun:
            self.queue.put("1003", BULK)
            self.queue.stored[1] = as_begun(self.queue.stored[1])
            self.queue.put("1003", HIGH)

    @property
    def lanes(self) -> Lanes:
        return self.worker.lanes

    # --- the store ----------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), priority=st.sampled_from(Priority), count=st.sampled_from([1, 1, 2, 7, 40, 250]))
    def accept(self, name: str, priority: Priority, count: int) -> None:
        self.queue.put(name, priority, count)
        self.worker.reader.wake()

    @rule(name=st.sampled_from(NAMES), priority=st.sampled_from(Priority), count=st.sampled_from([1, 1, 2, 7, 40]))
    def accept_and_offer(self, name: str, priority: Priority, count: int) -> None:
        """As SQLite's store does, which knows its place: nobody else writes."""
        for _ in range(count):
            self.queue.put(name, priority)
            self.worker.reader.offer(self.queue.stored[self.queue.next_seq - 1])

    @rule(name=st.sampled_from(NAMES), seconds=st.sampled_from([1.0, 5.0, 40.0]))
    def accept_for_later_and_offer(self, name: str, seconds: float) -> None:
        self.queue.put(name, due_at=self.clock.now() + timedelta(seconds=seconds))
        self.worker.reader.offer(self.queue.stored[self.queue.next_seq - 1])

    @rule(name=st.sampled_from(NAMES), priority=st.sampled_from(Priority), seconds=st.sampled_from([1.0, 5.0, 40.0]))
    def accept_for_later(self, name: str, priority: Priority, seconds: float) -> None:
        self.queue.put(name, priority, due_at=self.clock.now() + timedelta(seconds=seconds))
        self.worker.reader.wake()

    @precondition(lambda self: self.queue.stored)
    @rule(data=st.data())
    def one_that_does_not_run_leaves_the_queue(self, data: st.DataObject) -> None:
        """Cancelled, expired, or settled by a receipt."""
        running = {message.seq for _, message in self.running.values()}
        free = [seq for seq in self.queue.stored if seq not in running]
        if free:
            seq = data.draw(st.sampled_from(free))
            gone = self.queue.stored.pop(seq)
            if gone.begun:
                self.lanes.end_rest(address_of(gone.lane))
                self.resting.pop(address_of(gone.lane), None)

    # --- reading ------------------------------------------------------------------------------------------------------

    @rule(steps=st.sampled_from([1, 2, 3, 10]))
    def read_a_little(self, steps: int) -> None:
        if self.worker.read(steps):
            self.high_known_to = self.queue.high_read_to

    @rule()
    def read_to_the_end(self) -> None:
        self.worker.read()
        self.high_known_to = self.queue.high_read_to

    @rule()
    def read_all(self) -> None:
        self.worker.read_all()
        self.high_known_to = self.queue.high_read_to

    @rule()
    def start_again_on_the_same_store(self) -> None:
        for _, message in self.running.values():
            if message.seq % 2 and message.seq in self.queue.stored:
                self.queue.stored[message.seq] = as_begun(self.queue.stored[message.seq])
        self.worker.restart()
        self.running.clear()
        self.resting.clear()
        self.high_known_to = self.queue.high_read_to = 0

    # --- sending ------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.worker.load is None)  # the worker reads and starts by turns
    @rule(count=st.sampled_from([1, 2, 5]))
    def start_heads(self, count: int) -> None:
        for _ in range(count):
            head = self.lanes.next()
            if head is None:
                return
            lane, message = head
            self.look_at(lane, message)
            self.running[lane.key] = head

    def look_at(self, lane: Lane, message: QueuedMessage) -> None:
        """Check that *message* is the first of its lane by the rule."""
        assert lane.key not in self.running, "two of a lane at once"
        assert self.resting.get(lane.key, self.clock.monotonic()) <= self.clock.monotonic(), "a resting lane goes"
        assert lane.key == address_of(message.lane)
        known = self.queue.stored.get(message.seq)
        if known is None:
            return  # it left while it was in memory: its sender finds that out
        assert message.due_at is None or message.due_at <= self.clock.now(), "before its time"
        mine = [one for one in self.queue.stored.values() if address_of(one.lane) == lane.key and one is not known]
        before = [one for one in mine if one.due_at is None and one.seq < message.seq]
        if known.begun:
            return
        assert not any(one.begun for one in mine), "before one that has begun"
        if message.due_at is not None:
            return
        high = [one for one in before if one.priority is HIGH]
        if message.priority is HIGH:
            assert not high, "before an earlier high one"
        else:
            assert len(high) == len(before), "before an earlier one"
            urgent = [one for one in mine if one.priority is HIGH and one.due_at is None]
            assert not any(one.seq <= self.high_known_to for one in urgent), "before a high one that is known"

    def take(self, data: st.DataObject) -> tuple[Lane, QueuedMessage]:
        return self.running.pop(data.draw(st.sampled_from(sorted(self.running))))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def a_head_leaves(self, data: st.DataObject) -> None:
        lane, message = self.take(data)
        self.queue.stored.pop(message.seq, None)
        self.lanes.done(lane)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), seconds=st.sampled_from([0.0, 1.0, 60.0]), begun=st.booleans())
    def a_head_rests(self, *, data: st.DataObject, seconds: float, begun: bool) -> None:
        lane, message = self.take(data)
        if message.seq not in self.queue.stored:
            self.lanes.done(lane)
            return
        begun = begun or self.queue.stored[message.seq].begun
        if begun:
            self.queue.stored[message.seq] = as_begun(self.queue.stored[message.seq])
        self.lanes.rest(lane, self.clock.monotonic() + seconds, begun=begun)
        self.resting[lane.key] = self.clock.monotonic() + seconds

    @precondition(lambda self: self.running)
    @rule(data=st.data(), seconds=st.sampled_from([0.1, 2.0]))
    def a_head_waits_for_its_turn(self, data: st.DataObject, seconds: float) -> None:
        lane, message = self.take(data)
        if message.seq not in self.queue.stored:
            self.lanes.done(lane)
            return
        self.lanes.pause(lane, self.clock.monotonic() + seconds)
        self.resting[lane.key] = self.clock.monotonic() + seconds

    @precondition(lambda self: self.resting)
    @rule(data=st.data())
    def a_rest_ends_early(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.resting)))
        self.lanes.end_rest(key)
        del self.resting[key]

    @precondition(lambda self: self.worker.load is None)
    @rule(seconds=st.sampled_from([0.0, 0.5, 30.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.move(seconds)
        now = self.clock.monotonic()
        until = self.lanes.wake(now)
        waiting = [moment for moment in self.resting.values() if moment > now]
        assert until == (min(waiting) if waiting else None)
        self.resting = {key: moment for key, moment in self.resting.items() if moment > now}
        assert self.lanes.resting() == len(self.resting)

    # --- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def memory_is_bounded_and_counted(self) -> None:
        if not hasattr(self, "worker"):
            return
        lanes = self.lanes
        assert held(lanes) == lanes.size <= self.window
        assert (lanes.room(), lanes.room(high=True)) == (module.WINDOW_MESSAGES - lanes.size, self.window - lanes.size)
        assert lanes.count() <= module.LANES + module.HIGH_LANES
        for lane in lanes._lanes.values():
            assert max(len(lane.high.messages), len(lane.rest.messages)) <= LANE_MESSAGES
            assert lane.rank is None or not lane.resting
        assert sum(lanes.ready(priority) for priority in Priority) == lanes.ready()

    def teardown(self) -> None:
        try:
            if hasattr(self, "worker"):
                self.everything_goes_in_the_end()
        finally:
            if getattr(self, "patches", None) is not None:
                self.patches.stop()

    def everything_goes_in_the_end(self) -> None:
        if self.worker.load is not None:
            self.worker.read()
        for lane, message in self.running.values():
            self.queue.stored.pop(message.seq, None)
            self.lanes.done(lane)
        self.clock.move(60.0)  # everything is due
        self.worker.read_all()
        expected = Counter(list(self.queue.stored))
        sent: Counter[int] = Counter()
        idle = 0
        while self.queue.stored:
            self.lanes.wake(float("inf"))
            self.worker.read_all()
            head = self.lanes.next()
            if head is not None:
                idle = 0
                lane, message = head
                sent[message.seq] += self.queue.stored.pop(message.seq, None) is not None
                self.lanes.done(lane)
            else:
                idle += 1
                assert idle < 50, f"stuck with {len(self.queue.stored)} messages"
                self.clock.move(RESCAN_SECONDS)
        assert sent == expected, "something was lost or doubled"
        self.lanes.wake(float("inf"))
        self.worker.read_all()
        while self.worker.send_gone():
            self.worker.read_all()
        assert (self.lanes.size, self.lanes.count(), self.lanes._homes, dict(self.lanes._hungry)) == (0, 0, {}, {})


LanesAgainstTheModel.TestCase.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, derandomize=True
)
TestLanesAgainstTheModel = pytest.mark.timeout(300)(LanesAgainstTheModel.TestCase)


# --- whose turn it is -------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, LANE_MESSAGES), min_size=1, max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_the_lane_that_has_waited_longest_goes_first(counts, random):
    lanes = Lanes()
    names = [f"lane-{number}" for number, count in enumerate(counts) for _ in range(count)]
    random.shuffle(names)
    for seq, name in enumerate(names, 1):
        lanes.add(name, queued(seq, name))
    waiting = list(dict.fromkeys(names))
    left = Counter(names)
    for _ in names:
        lane, _ = lanes.next()
        assert lane.key == waiting.pop(0)
        lanes.done(lane)
        left[lane.key] -= 1
        if left[lane.key]:
            waiting.append(lane.key)
    assert lanes.next() is None


def many(lanes: Lanes, priority: Priority, count: int, first: int) -> None:
    for seq in range(first, first + count):
        lanes.add(f"{priority}-{seq}", queued(seq, f"{priority}-{seq}", priority))


def test_urgent_lanes_go_first_and_every_few_starts_one_of_the_others_has_its_turn():
    lanes = Lanes()
    for first, priority in ((1, BULK), (1000, NORMAL), (2000, HIGH)):
        many(lanes, priority, 300, first)
    started = []
    for _ in range(160):
        lane, message = lanes.next()
        started.append(message.priority)
        lanes.done(lane)
    assert Counter(started) == {HIGH: 120, NORMAL: 30, BULK: 10}
    assert [number for number, priority in enumerate(started, 1) if priority is BULK] == list(range(16, 161, 16))
    assert started[:3] == [HIGH] * 3


def test_where_nothing_urgent_waits_the_others_lose_no_start():
    lanes = Lanes()
    many(lanes, BULK, 20, 1)
    assert [lanes.next()[1].seq for _ in range(20)] == list(range(1, 21))


def test_a_normal_message_lifts_the_bulk_before_it():
    lanes = Lanes()
    lanes.add("a", queued(1, "a", BULK))
    lanes.add("b", queued(2, "b", BULK))
    lanes.add("b", queued(3, "b", NORMAL))
    assert [lanes.next()[1].seq for _ in range(2)] == [2, 1]


def test_a_high_message_overtakes_its_lane_unless_one_of_it_has_begun():
    lanes = Lanes()
    for seq, priority in ((1, BULK), (2, NORMAL), (3, HIGH), (4, HIGH)):
        lanes.add("a", queued(seq, priority=priority))
    lane, message = lanes.next()
    assert message.seq == 3
    lanes.done(lane)
    lanes.rest(lanes.next()[0], 1.0, begun=False)
    lanes.wake(1.0)
    assert lanes.hungry() is lane

    worker = Worker()
    for priority in (BULK, NORMAL):
        worker.queue.put("1001", priority)
    worker.read_all()
    lane, message = worker.lanes.next()
    worker.queue.stored[1] = as_begun(message)
    worker.queue.put("1001", HIGH)
    worker.lanes.rest(lane, 1.0, begun=True)
    assert [one.seq for one in worker.send_all()] == [1, 3, 2]


# --- memory -----------------------------------------------------------------------------------------------------------


def test_two_thousand_messages_of_one_lane_keep_its_share_in_memory_and_all_go_in_order():
    worker = Worker()
    worker.queue.put("1001", count=2_000)
    for seq in range(1, 2_001):
        worker.read_all()
        assert worker.lanes.size <= LANE_MESSAGES
        assert worker.send().seq == seq


def test_fifty_thousand_lanes_keep_the_window_and_so_many_lanes_in_memory():
    lanes = Lanes()
    taken = 0
    for seq in range(1, 50_001):
        taken += lanes.add(f"lane-{seq}", queued(seq, f"lane-{seq}"))
    assert lanes.size == WINDOW_MESSAGES
    assert lanes.count() == taken == LANES


def test_a_full_window_has_room_for_urgent_messages():
    lanes = Lanes()
    many(lanes, BULK, WINDOW_MESSAGES + 10, 1)
    assert lanes.size == WINDOW_MESSAGES
    many(lanes, HIGH, HIGH_MESSAGES + 10, 10_000)
    assert (lanes.size, lanes.room(high=True)) == (WINDOW_MESSAGES + HIGH_MESSAGES, 0)
    assert lanes.ready(HIGH) == HIGH_MESSAGES


def test_a_thousand_resting_lanes_leave_the_window_to_the_others():
    lanes = Lanes()
    many(lanes, NORMAL, WINDOW_MESSAGES, 1)
    assert lanes.room() == 0
    while (head := lanes.next()) is not None:
        lanes.rest(head[0], 100.0, begun=True)
    assert lanes.room() == WINDOW_MESSAGES
    lanes.add("another", queued(2000, "another"))
    assert lanes.next()[0].key == "another"


def test_what_is_accepted_for_resting_lanes_does_not_fill_the_window():
    """A message that failed twice has nothing behind it in memory or in the store: the next one is taken in at once."""
    lanes = Lanes()
    for seq in range(1, WINDOW_MESSAGES + 1):
        lanes.add(f"{seq}", queued(seq, f"{seq}"))
    for until in (1.0, 2.0):
        while (lane := lanes.hungry()) is not None:
            lanes.reading()
            lanes.refill(lane, lane.names, as_begun(queued(int(lane.key), lane.key)), Fetched(), Fetched())
        while (head := lanes.next()) is not None:
            lanes.rest(head[0], until, begun=True)
        lanes.wake(1.5)
    assert lanes.resting() == WINDOW_MESSAGES
    for seq in range(1, WINDOW_MESSAGES + 1):
        lanes.add(f"{seq}", queued(10_000 + seq, f"{seq}"))
    lanes.add("another", queued(20_000, "another"))
    assert lanes.next() is not None, "nobody is served while all these rest"


def test_an_account_whose_window_is_full_behind_messages_that_have_begun_goes_on():
    lanes = Lanes()
    for seq in range(1, WINDOW_MESSAGES + 1):
        lanes.add(f"{seq}", as_begun(queued(seq, f"{seq}")))
    while (head := lanes.next()) is not None:
        lanes.rest(head[0], 1.0, begun=True)
    for seq in range(1, WINDOW_MESSAGES + 1):
        lanes.add(f"{seq}", queued(10_000 + seq, f"{seq}"))
    lanes.wake(1.0)
    assert lanes.resting() == 0
    assert lanes.next() is not None or lanes.hungry() is not None, "nothing goes, and nothing will be read: for ever"


def test_an_account_whose_window_is_full_behind_urgent_messages_in_the_store_goes_on():
    lanes = Lanes()
    for number in range(WINDOW_MESSAGES // LANE_MESSAGES):
        for place in range(LANE_MESSAGES):
            lanes.add(f"{number}", queued(1 + number * LANE_MESSAGES + place, f"{number}"))
    for number in range(WINDOW_MESSAGES // LANE_MESSAGES):
        lanes._lanes[f"{number}"].high.leave(20_000)  # more urgent ones than there was room for
        lanes._settle(lanes._lanes[f"{number}"])
    lanes.add("late", queued(30_000, "late", BULK))  # has no room, and counts as a normal one when it is empty
    assert lanes.next() is not None or lanes.hungry() is not None, "nothing goes, and nothing will be read: for ever"


def test_a_lane_with_urgent_messages_is_not_fetched_for_others_that_have_no_room():
    lanes = Lanes()
    many(lanes, BULK, WINDOW_MESSAGES, 10)
    lanes.add("a", queued(1, priority=HIGH))
    lanes.add("a", queued(2), after=1)
    assert lanes.room() < 0 < lanes.room(high=True)
    for _ in range(3):
        lane = lanes.hungry()
        if lane is None:
            return
        lanes.reading()
        lanes.refill(lane, ["a"], None, Fetched(), Fetched([queued(2)]))
    assert lane.rest.messages, "it is fetched, and fetched again, and nothing comes of it"


def test_a_lane_for_which_there_is_no_room_hides_no_urgent_one_for_which_there_is():
    lanes = Lanes()
    for seq in range(1, LANE_MESSAGES + 10):
        lanes.add("a", queued(seq, priority=HIGH))
    for _ in range(LANE_MESSAGES - 1):
        lanes.done(lanes.next()[0])
    many(lanes, BULK, WINDOW_MESSAGES + 1, 1000)
    assert lanes.room() <= 0 < lanes.room(high=True)
    assert lanes.hungry() is not None
    assert lanes.hungry().key == "a"


@pytest.mark.parametrize("begun", [False, True])
def test_a_lane_that_has_rested_and_gone_on_since_it_was_read_is_not_filled_by_the_old_reading(begun):
    lanes = Lanes()
    for seq in range(1, LANE_LOW):
        lanes.add("a", queued(seq))
    lanes.add("a", queued(50), after=20)
    lane, _ = lanes.next()
    assert lanes.hungry() is lane
    lanes.reading()
    fetched = Fetched([queued(50)])  # above what is in memory, as it is now
    lanes.rest(lane, 60.0, begun=begun)
    lanes.end_rest("a")  # a receipt told what became of it
    lanes.refill(lane, ["a"], None, Fetched(), fetched)
    assert lane.head() is None, "50 goes before 1"


def test_long_lanes_that_fill_the_window_starve_none_of_each_other():
    worker = Worker(concurrency=3)
    for _ in range(60):
        for number in range(40):
            worker.queue.put(f"long-{number}")
    served: Counter[str] = Counter()
    for _ in range(40 * 40):
        worker.read_all()
        served[worker.send().lane] += 1
    assert min(served[f"long-{number}"] for number in range(40)) >= 30, served


# --- what happens meanwhile -------------------------------------------------------------------------------------------


def test_a_bulk_message_beyond_what_was_read_of_the_normal_ones_waits_for_them():
    """More normal messages than one reading brings stand between: the lane is fetched from where they were read to."""
    worker = Worker()
    worker.queue.put("1002", NORMAL, 250)
    worker.queue.put("1001", NORMAL)
    worker.queue.put("1001", BULK)
    worker.read()
    while (message := worker.send()) is not None and message.lane != "1001":
        worker.read_all()
    assert message == queued(251, "1001")


def test_a_phone_that_is_linked_while_its_messages_wait_lets_nothing_overtake():
    lanes = Lanes()
    lanes.add("phone:628", queued(1, "phone:628"))
    assert lanes.home("phone:628") == "phone:628"
    lanes.add("1001", queued(2, "phone:628"))  # by now the phone resolves
    lane, first = lanes.next()
    assert (first.seq, lanes.next()) == (1, None)
    lanes.done(lane)
    lane, second = lanes.next()
    lanes.done(lane)
    assert second.seq == 2
    assert lanes.home("phone:628") is None


WHATSAPP = Account("acme-wa", "acme", "whatsapp", "", WhatsAppSettings("1065", "token", "secret", "verify"))
BRAZIL = ("5511987654321", "551187654321")
MEXICO = ("5215512345678", "525512345678")
ARGENTINA = ("5491112345678", "541112345678")


def seqs_of_one_person(worker: Worker, names: tuple[str, ...], **more) -> list[int]:
    """Queue a long lane under the first of *names*, so that it is refilled before the others were read; send all of it."""
    worker.queue.put(names[0], count=40, **more)
    worker.queue.put("somebody", count=80, **more)
    worker.queue.put("somebody else", count=80, **more)  # and with that the first batch is full
    for _ in range(20):
        for name in reversed(names):
            worker.queue.put(name, **more)
    return [message.seq for message in worker.send_all() if message.lane in names]


@pytest.mark.parametrize("spellings", [BRAZIL, BRAZIL[::-1], MEXICO, MEXICO[::-1], ARGENTINA, ARGENTINA[::-1]])
def test_a_long_lane_keeps_its_order_over_both_spellings_of_a_number(spellings):
    worker = Worker(1, WHATSAPP)
    worker.queue.contacts = {spellings[0]: ContactRecord("acme", WHATSAPP.id, "whatsapp", spellings[0])}
    sent = seqs_of_one_person(worker, spellings, channel="whatsapp", account_id=WHATSAPP.id)
    assert sent == [*range(1, 41), *range(201, 241)]


def test_a_long_lane_keeps_its_order_over_the_id_that_whatsapp_gave_the_holder_of_a_phone():
    worker = Worker(1, WHATSAPP)
    holder = ContactRecord("acme", WHATSAPP.id, "whatsapp", "US.1")
    worker.queue.contacts = {"US.1": holder, BRAZIL[0]: holder}  # the phone is another address of theirs
    worker.queue.other_addresses = {"US.1": [BRAZIL[0]]}
    sent = seqs_of_one_person(worker, ("US.1", *BRAZIL), channel="whatsapp", account_id=WHATSAPP.id)
    assert sent == [*range(1, 41), *range(201, 261)]


@pytest.mark.parametrize("spellings", [BRAZIL, BRAZIL[::-1]])
def test_a_long_lane_keeps_its_order_over_both_spellings_of_a_linked_phone(spellings):
    worker = Worker(1)
    worker.queue.contacts = {"1001": ContactRecord("acme", ACCOUNT.id, "telegram", "1001", spellings[0])}
    sent = seqs_of_one_person(worker, ("1001", *(f"phone:{spelling}" for spelling in spellings)))
    assert sent == [*range(1, 41), *range(201, 261)]


def test_a_message_that_left_while_the_store_was_read_is_not_taken_in_again():
    lanes = Lanes()
    lanes.add("a", queued(1))
    lane, message = lanes.next()
    lanes.reading()
    lanes.done(lane)
    lanes.add("a", message)
    assert (lanes.size, lanes.count()) == (0, 0)


def test_what_had_begun_before_the_process_did_goes_first_whatever_the_streams_bring():
    worker = Worker()
    worker.queue.put("1001", BULK, 3)
    worker.queue.stored[3] = as_begun(worker.queue.stored[3])
    worker.queue.put("1001", HIGH)
    worker.restart()
    worker.read()
    assert [one.seq for one in worker.send_all()] == [3, 4, 1, 2]


# --- what is offered -----------------------------------------------------------------------------------------------------


def caught_up() -> Worker:
    worker = Worker()
    worker.read_all()
    return worker


def accepted(worker: Worker, lane: str = "1002", **more) -> QueuedMessage:
    """Return a message that was accepted just now."""
    worker.queue.put(lane, **more)
    return worker.queue.stored[worker.queue.next_seq - 1]


def test_what_is_offered_is_not_read(monkeypatch):
    worker = caught_up()
    monkeypatch.setattr(worker.queue, "queued", None)
    message = accepted(worker)
    worker.reader.offer(message)
    worker.read()
    lane, head = worker.lanes.next()
    assert (lane.key, head) == ("1002", message)


def test_what_is_offered_behind_something_unread_is_read_with_it():
    worker = caught_up()
    first, second, third = (accepted(worker) for _ in range(3))
    worker.reader.offer(first)
    worker.reader.wake()  # there is something of which nobody offered anything
    worker.reader.offer(third)
    assert worker.send_all() == [first, second, third]


def test_what_is_offered_beyond_the_window_stays_in_the_store_and_is_read_later(monkeypatch):
    monkeypatch.setattr("kurir.delivery.reading.OFFERED_MESSAGES", 3)
    worker = caught_up()
    messages = [accepted(worker, f"100{number}") for number in range(8)]
    for message in messages:
        worker.reader.offer(message)
    assert [one.seq for one in worker.send_all()] == [one.seq for one in messages]


def test_what_is_offered_and_could_not_be_placed_is_read_later(monkeypatch):
    worker = caught_up()
    message = accepted(worker, f"phone:{PHONE}")
    worker.reader.offer(message)

    async def fails(*_):
        raise StoreUnavailable("not now")

    with monkeypatch.context() as broken:
        broken.setattr(worker.queue, "contact_by_phone", fails)
        with pytest.raises(StoreUnavailable):
            worker.read()
        worker.load = None
    assert worker.send_all() == [message]


def test_what_is_offered_for_later_waits_for_its_time(monkeypatch):
    worker = caught_up()
    monkeypatch.setattr(worker.queue, "queued", None)
    worker.reader.offer(accepted(worker, due_at=worker.clock.now() + timedelta(seconds=0.5)))
    worker.read()
    assert worker.lanes.next() is None
    assert worker.reader.next_moment() == pytest.approx(worker.clock.monotonic() + 0.5)
