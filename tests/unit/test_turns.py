"""Turns at the processor: so many at once, the urgent first, then one client after the other."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kurir.delivery.turns import Turns
from kurir.domain.message import Priority


async def settle():
    """Let every task go on that can."""
    for _ in range(5):
        await asyncio.sleep(0)


class Work:
    """Tasks that take a turn each and hold it until they are let go; ``began`` is the order in which they got it."""

    def __init__(self, turns: int) -> None:
        self.turns = Turns(turns)
        self.began: list[tuple[str, Priority]] = []
        self.holding: list[asyncio.Event] = []
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, client: str, priority: Priority = Priority.NORMAL) -> asyncio.Task[None]:
        task = asyncio.create_task(self._one(client, priority))
        self.tasks.append(task)
        return task

    async def _one(self, client: str, priority: Priority) -> None:
        async with self.turns.turn(client, priority):
            self.began.append((client, priority))
            let_go = asyncio.Event()
            self.holding.append(let_go)
            await let_go.wait()

    async def finish_one(self) -> None:
        self.holding.pop(0).set()
        await settle()

    async def finish(self) -> None:
        while self.holding:
            await self.finish_one()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_never_more_at_once_than_there_are_turns_and_all_of_them_are_used():
    work = Work(3)
    for _ in range(10):
        work.ask("a")
    await settle()
    assert (len(work.holding), work.turns.waiting()) == (3, 7)
    await work.finish_one()
    assert (len(work.holding), work.turns.waiting()) == (3, 6)
    await work.finish()
    assert (len(work.began), work.turns.waiting(), work.turns._free) == (10, 0, 3)


async def test_a_client_with_ten_messages_is_through_after_twenty_turns_however_many_another_has():
    work = Work(1)
    for _ in range(1000):
        work.ask("flood")
    await settle()
    for _ in range(10):
        work.ask("small")
    await settle()
    for _ in range(21):
        await work.finish_one()
    counts = Counter(client for client, _ in work.began[2:22])  # the first two were given before «small» asked
    assert counts == {"small": 10, "flood": 10}
    await work.finish()


async def test_the_urgent_go_first_and_among_them_one_client_after_the_other():
    work = Work(1)
    work.ask("a")
    await settle()
    for client in ("a", "a", "b"):
        work.ask(client, Priority.BULK)
    for client in ("a", "a", "a", "b"):
        work.ask(client, Priority.HIGH)
    await settle()
    await work.finish()
    high, bulk = Priority.HIGH, Priority.BULK
    assert work.began[1:] == [
        ("a", high),
        ("b", high),
        ("a", high),
        ("a", bulk),  # every fourth turn is another's
        ("a", high),
        ("b", bulk),
        ("a", bulk),
    ]


async def test_of_one_client_the_first_that_asked_goes_first():
    turns = Turns(1)
    order = []

    async def one(number):
        async with turns.turn("a", Priority.NORMAL):
            order.append(number)

    async with turns.turn("a", Priority.NORMAL):
        tasks = [asyncio.create_task(one(number)) for number in range(20)]
        await settle()
    await asyncio.gather(*tasks)
    assert order == list(range(20))


async def test_a_turn_is_given_back_when_the_work_fails():
    turns = Turns(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with turns.turn("a", Priority.NORMAL):
                print(1 / 0)
    assert turns._free == 1


async def test_one_that_was_given_the_turn_in_the_moment_it_was_cancelled_passes_it_on():
    work = Work(1)
    work.ask("a")
    await settle()
    unlucky, following = work.ask("a"), work.ask("b")
    await settle()
    work.holding.pop(0).set()
    await asyncio.sleep(0)  # the first has ended: the turn is on the way to the unlucky one
    assert work.turns.waiting() == 1
    unlucky.cancel()
    await settle()
    assert unlucky.cancelled()
    assert [client for client, _ in work.began] == ["a", "b"]
    await work.finish()
    assert following.done()
    assert work.turns._free == 1


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["ask", "ask", "finish", "cancel", "step"]), st.integers(0, 7)), max_size=60
    ),
    turns=st.integers(1, 3),
)
@settings(max_examples=150, deadline=None)
def test_no_turn_is_lost_and_none_is_given_twice_whoever_is_cancelled_when(steps, turns):
    async def play():
        work = Work(turns)
        cancelled = set()
        for step, number in steps:
            if step == "ask":
                work.ask("abc"[number % 3], list(Priority)[number % 3])
            elif step == "finish" and work.holding:
                work.holding.pop(0).set()
            elif step == "cancel" and work.tasks:
                task = work.tasks[-1 - number % len(work.tasks)]
                if not task.done():
                    task.cancel()
                    cancelled.add(task)
            else:
                await asyncio.sleep(0)
            inside = turns - work.turns._free
            assert 0 <= inside <= turns
        for task in work.tasks:
            if task not in cancelled:
                continue
            await asyncio.gather(task, return_exceptions=True)
        while not all(task.done() for task in work.tasks):
            for let_go in work.holding:
                let_go.set()
            work.holding.clear()
            await asyncio.sleep(0)
        assert (work.turns._free, work.turns.waiting()) == (turns, 0)

    asyncio.run(asyncio.wait_for(play(), 10))
