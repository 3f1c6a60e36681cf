"""Questions that come at once are put to the store together, and each has its own answer."""

import asyncio

import pytest

from kurir.store.base import StoreError, StoreUnavailable
from kurir.store.together import MOST, Together


class Shelf:
    """Answers with the double of a number, and notes what was asked together. ``gate`` holds the answers back."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self, numbers):
        self.asked.append(list(numbers))
        await self.gate.wait()
        if 13 in numbers:
            raise StoreError("nobody asks for that")
        if 99 in numbers:
            raise StoreUnavailable("the store is closed")
        return {number: 2 * number for number in numbers if number < 100}


async def test_what_is_asked_in_one_turn_of_the_loop_is_one_read():
    shelf = Shelf()
    together = Together(shelf.ask)
    assert await asyncio.gather(*(together.get(number) for number in (1, 2, 1, 100))) == [2, 4, 2, None]
    assert shelf.asked == [[1, 2, 100]]
    assert await together.get(3) == 6
    assert shelf.asked[1:] == [[3]]


async def test_what_is_asked_while_a_read_is_under_way_is_answered_by_the_next_one():
    shelf = Shelf()
    shelf.gate.clear()
    together = Together(shelf.ask)
    first = asyncio.create_task(together.get(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(together.get(number)) for number in (1, 2)]
    await asyncio.sleep(0)
    assert shelf.asked == [[1]]
    shelf.gate.set()
    assert await asyncio.gather(first, *others) == [2, 2, 4]
    assert shelf.asked == [[1], [1, 2]]


async def test_so_many_are_asked_together_and_no_more():
    shelf = Shelf()
    together = Together(shelf.ask)
    await asyncio.gather(*(together.get(-number) for number in range(MOST + 1)))
    assert [len(asked) for asked in shelf.asked] == [MOST, 1]


async def test_a_question_that_cannot_be_answered_fails_nobody_elses():
    together = Together(Shelf().ask)
    found = await asyncio.gather(*(together.get(number) for number in (1, 13, 2)), return_exceptions=True)
    assert (found[0], found[2]) == (2, 4)
    assert isinstance(found[1], StoreError)
    assert await together.get(5) == 10


async def test_a_store_that_is_away_is_asked_once():
    shelf = Shelf()
    together = Together(shelf.ask)
    found = await asyncio.gather(*(together.get(number) for number in (1, 99)), return_exceptions=True)
    assert all(isinstance(one, StoreUnavailable) for one in found)
    assert len(shelf.asked) == 1


async def test_who_waits_no_more_takes_nothing_from_the_others():
    shelf = Shelf()
    shelf.gate.clear()
    together = Together(shelf.ask)
    gone, stays = (asyncio.create_task(together.get(number)) for number in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    shelf.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await stays == 4
