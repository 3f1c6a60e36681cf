"""The hints to open pages: who may listen, and how often."""

import asyncio
from contextlib import AsyncExitStack, aclosing

import pytest

from kurir.console.live import MOST, MOST_OF_ONE, Pulse, TooManyStreams


async def nothing_new() -> tuple[int, ...]:
    return (1,)


async def listen(stack: AsyncExitStack, pulse: Pulse, whose: str) -> None:
    """Open a stream of *whose*, which waits for the first change."""
    beats = pulse.beats(whose)
    first = asyncio.ensure_future(anext(beats))
    await asyncio.sleep(0)
    if first.done():
        await first

    async def end() -> None:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        async with aclosing(beats):
            pass

    stack.push_async_callback(end)


async def test_nobody_keeps_the_others_from_listening():
    pulse = Pulse(nothing_new)
    async with AsyncExitStack() as stack:
        for _ in range(MOST_OF_ONE):
            await listen(stack, pulse, "anna")
        with pytest.raises(TooManyStreams):
            await listen(stack, pulse, "anna")
        assert (pulse.is_full("anna"), pulse.is_full("budi")) == (True, False)
        for number in range(MOST - MOST_OF_ONE):
            await listen(stack, pulse, f"user {number}")
        assert pulse.is_full("budi")
    assert not pulse.is_full("anna")
    pulse.close()
    assert pulse.is_full("anna")
