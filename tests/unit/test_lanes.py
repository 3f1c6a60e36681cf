"""The lanes against a plain model: a list of what is queued, and who may go."""

from collections import Counter
from datetime import UTC, datetime
from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kurir.delivery.lanes import LANE_MESSAGES, LANES, WINDOW_MESSAGES, Lane, Lanes
from kurir.domain.message import Priority
from kurir.store.base import QueuedMessage

DAY = datetime(2026, 3, 1, tzinfo=UTC)
ADDRESSES = ("a", "b", "c", "d", "e")


def queued(seq: int, lane: str = "a") -> QueuedMessage:
    return QueuedMessage(
        seq, f"tid-{seq}", "acme", "telegram", "acme-tg", f"id-{seq}", lane, lane, b"{}", Priority.NORMAL, 1, DAY, DAY
    )


def address_of(lane: str) -> str:
    return lane.removeprefix("phone:")


class Worker:
    """The reading half of an account's worker, over a dictionary in place of the store."""

    def __init__(self, batch: int = 50) -> None:
        self.lanes = Lanes()
        self.stored: dict[int, QueuedMessage] = {}
        self.cursor = self.read_to = 0
        self.batch = batch

    def queue(self, *messages: QueuedMessage) -> None:
        self.stored.update((message.seq, message) for message in messages)
        self.stored = dict(sorted(self.stored.items()))

    def after(self, seq: int, lane: str | None = None) -> list[QueuedMessage]:
        found = (one for one in self.stored.values() if one.seq > seq and lane in (None, one.lane))
        return list(islice(found, self.batch))

    def read_on(self) -> bool:
        """Read one batch; False at the end of the queue."""
        self.lanes.reading()
        found = self.after(self.cursor)
        for message in found:
            if not self.lanes.add(address_of(message.lane), message):
                return False
            self.cursor = message.seq
            self.read_to = max(self.read_to, message.seq)
        return bool(found)

    def fetch(self, lane: Lane) -> tuple[list[QueuedMessage], dict[str, int]]:
        self.lanes.reading()
        fetched: list[QueuedMessage] = []
        beyond: dict[str, int] = {}
        for name, after in lane.left.items():
            rows = self.after(after, name)
            if len(rows) == self.batch and rows[-1].seq < self.read_to:
                beyond[name] = rows[-1].seq
            fetched += [row for row in rows if row.seq <= self.read_to]
        if lane.head is not None and lane.head[1] in self.stored:
            fetched.append(self.stored[lane.head[1]])
        return list({one.seq: one for one in fetched}.values()), beyond

    def refill(self) -> bool:
        """Refill one lane; False when none is hungry."""
        lane = self.lanes.hungry()
        if lane is None:
            return False
        self.lanes.refill(lane, *self.fetch(lane))
        return True

    def send_all(self) -> list[QueuedMessage]:
        """Send until nothing is left, and return what was sent, in order."""
        sent: list[QueuedMessage] = []
        while True:
            self.lanes.wake(float("inf"))
            while self.refill():
                pass
            head = self.lanes.next()
            if head is not None:
                lane, message = head
                sent.append(message)
                del self.stored[message.seq]
                self.lanes.done(lane)
            elif not self.read_on() and self.lanes.hungry() is None:
                return sent


class LanesAgainstTheModel(RuleBasedStateMachine):
    """Anything may happen in any order; what the lanes hand out must be what a plain list would."""

    @initialize(batch=st.sampled_from([3, 20, 200]))
    def begin(self, batch: int) -> None:
        self.worker = Worker(batch)
        self.next_seq = 1
        self.now = 0.0
        self.running: dict[str, tuple[Lane, QueuedMessage]] = {}
        self.resting: dict[str, float] = {}
        self.fetched: tuple[Lane, list[QueuedMessage], dict[str, int]] | None = None

    @rule(lane=st.sampled_from([*ADDRESSES, "phone:a", "phone:b"]), count=st.sampled_from([1, 2, 7, 40, 400]))
    def accept(self, lane: str, count: int) -> None:
        self.worker.queue(*(queued(seq, lane) for seq in range(self.next_seq, self.next_seq + count)))
        self.next_seq += count

    @rule()
    def read_on(self) -> None:
        self.worker.read_on()

    @rule()
    def read_everything_again(self) -> None:
        self.worker.cursor = 0
        while self.worker.read_on():
            pass

    @rule()
    def refill_one(self) -> None:
        self.worker.refill()

    @rule()
    def begin_to_refill(self) -> None:
        lane = self.worker.lanes.hungry()
        if lane is not None and self.fetched is None:
            self.fetched = lane, *self.worker.fetch(lane)

    @rule()
    def start_a_head(self) -> None:
        head = self.worker.lanes.next()
        if head is None:
            return
        lane, message = head
        assert lane.key not in self.running, "two of a lane at once"
        assert self.resting.get(lane.key, self.now) <= self.now, "a resting lane goes"
        of_lane = [one.seq for one in self.worker.stored.values() if address_of(one.lane) == lane.key]
        assert message.seq == min(of_lane), "not the first of its lane"
        self.running[lane.key] = head

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def a_head_leaves(self, data: st.DataObject) -> None:
        lane, message = self.running.pop(data.draw(st.sampled_from(sorted(self.running))))
        del self.worker.stored[message.seq]
        self.worker.lanes.done(lane)
        self.end_the_refill()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), seconds=st.sampled_from([0.0, 1.0, 60.0]))
    def a_head_rests(self, data: st.DataObject, seconds: float) -> None:
        lane, _ = self.running.pop(data.draw(st.sampled_from(sorted(self.running))))
        self.resting[lane.key] = self.now + seconds
        self.worker.lanes.rest(lane, self.now + seconds)
        self.end_the_refill()

    def end_the_refill(self) -> None:
        """A read that began before a head left, or went to rest, brings its old picture afterwards."""
        if self.fetched is not None:
            self.worker.lanes.refill(*self.fetched)
            self.fetched = None

    @rule(seconds=st.sampled_from([0.0, 0.5, 30.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.end_the_refill()
        self.now += seconds
        until = self.worker.lanes.wake(self.now)
        waiting = [moment for moment in self.resting.values() if moment > self.now]
        assert until == (min(waiting) if waiting else None)
        self.resting = {key: moment for key, moment in self.resting.items() if moment > self.now}

    @invariant()
    def the_window_is_bounded(self) -> None:
        if not hasattr(self, "worker"):
            return
        lanes = self.worker.lanes
        held = [len(lane.messages) for lane in lanes._lanes.values()]
        assert sum(held) == lanes.size <= WINDOW_MESSAGES
        assert lanes.room() == WINDOW_MESSAGES - lanes.size
        assert max(held, default=0) <= LANE_MESSAGES
        assert all(not lane.messages for lane in lanes._lanes.values() if lane.resting)

    def teardown(self) -> None:
        if not hasattr(self, "worker"):
            return
        self.end_the_refill()
        for lane, message in self.running.values():
            del self.worker.stored[message.seq]
            self.worker.lanes.done(lane)
        expected = Counter(list(self.worker.stored))
        self.worker.cursor = 0
        sent = self.worker.send_all()
        assert Counter(one.seq for one in sent) == expected, "something was lost or doubled"
        for address in ADDRESSES:
            seqs = [one.seq for one in sent if address_of(one.lane) == address]
            assert seqs == sorted(seqs), "out of order"
        lanes = self.worker.lanes
        assert (lanes.size, lanes.count(), lanes._homes, lanes._hungry, lanes._resting) == (0, 0, {}, {}, [])


LanesAgainstTheModel.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True
)
TestLanesAgainstTheModel = LanesAgainstTheModel.TestCase


@given(st.lists(st.integers(1, LANE_MESSAGES), min_size=1, max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_the_lane_that_has_waited_longest_goes_first(counts, random):
    lanes = Lanes()
    names = [f"lane-{number}" for number, count in enumerate(counts) for _ in range(count)]
    random.shuffle(names)
    for seq, name in enumerate(names, 1):
        lanes.add(name, queued(seq, name))
    waiting = list(dict.fromkeys(names))
    turns = 0
    while (head := lanes.next()) is not None:
        lane, _ = head
        assert lane.key == waiting.pop(0)
        lanes.done(lane)
        turns += 1
        if lane.messages:
            waiting.append(lane.key)
    assert turns == len(names)


def test_a_refill_does_not_overtake_what_the_queue_was_not_read_to_yet():
    """A lane known by two names: the second name lies between what is in memory and what a refill could fetch."""
    worker = Worker(batch=50)
    worker.queue(*(queued(seq, "phone:a" if seq == 60 else "a") for seq in range(1, 101)))
    worker.read_on()
    assert [one.seq for one in worker.send_all()] == list(range(1, 101))


def test_fifty_thousand_messages_of_one_lane_keep_its_share_in_memory_and_all_go_in_order():
    worker = Worker(batch=5_000)
    worker.queue(*(queued(seq) for seq in range(1, 50_001)))
    while worker.read_on():
        assert worker.lanes.size <= LANE_MESSAGES
    worker.batch = LANE_MESSAGES
    sent = 0
    while (head := worker.lanes.next()) is not None:
        lane, message = head
        sent += 1
        assert message.seq == sent
        del worker.stored[message.seq]
        worker.lanes.done(lane)
        worker.refill()
        assert worker.lanes.size <= LANE_MESSAGES
    assert sent == 50_000


def test_fifty_thousand_lanes_keep_the_window_and_so_many_lanes_in_memory():
    lanes = Lanes()
    taken = 0
    for seq in range(1, 50_001):
        taken += lanes.add(f"lane-{seq}", queued(seq, f"lane-{seq}"))
    assert lanes.size == WINDOW_MESSAGES
    assert lanes.count() == taken == LANES


def test_a_thousand_resting_lanes_leave_the_window_to_the_others():
    lanes = Lanes()
    for seq in range(1, 1025):
        assert lanes.add(f"lane-{seq}", queued(seq, f"lane-{seq}"))
    assert lanes.room() == 0
    while (head := lanes.next()) is not None:
        lanes.rest(head[0], 100.0)
    assert lanes.room() == WINDOW_MESSAGES
    lanes.add("another", queued(2000, "another"))
    head = lanes.next()
    assert head is not None
    assert head[0].key == "another"


def test_long_lanes_that_fill_the_window_do_not_hide_a_short_one():
    worker = Worker(batch=200)
    seq = 0
    for _ in range(60):
        for number in range(40):
            seq += 1
            worker.queue(queued(seq, f"long-{number}"))
    worker.queue(queued(seq + 1, "short"))
    while worker.read_on():
        pass
    assert worker.lanes.room() == 0
    turns = 0
    while True:
        while worker.refill():
            pass
        head = worker.lanes.next()
        assert head is not None
        turns += 1
        lane, message = head
        del worker.stored[message.seq]
        worker.lanes.done(lane)
        if lane.key == "short":
            break
    assert turns < 3 * 41


def test_a_message_that_began_stays_the_head_when_an_older_one_becomes_due():
    worker = Worker()
    worker.queue(queued(10), queued(11))
    worker.read_on()
    lane, head = worker.lanes.next()
    worker.queue(queued(5))  # was scheduled, and is due now
    worker.lanes.add("a", worker.stored[5])
    worker.lanes.rest(lane, 1.0)
    assert head.seq == 10
    assert [one.seq for one in worker.send_all()] == [10, 5, 11]


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


def test_a_message_that_left_while_the_store_was_read_is_not_taken_in_again():
    lanes = Lanes()
    lanes.add("a", queued(1))
    lane, message = lanes.next()
    lanes.reading()
    lanes.done(lane)
    lanes.add("a", message)
    assert (lanes.size, lanes.count()) == (0, 0)
