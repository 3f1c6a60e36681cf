"""Who waits for a client's feed, in simulated time."""

import asyncio

import pytest

from kurir.callbacks.feed import LISTENERS, Feed, TooManyListeners
from support.feed import World


async def listen(feed: Feed, world: World, after: int, seconds: float) -> tuple[list[int], float]:
    with feed.listening("acme"):
        until = world.clock.seconds + seconds
        while True:
            seen = feed.look("acme")
            found = [one.position for one in await world.store.events("acme", after=after)]
            if found or world.clock.seconds >= until:
                return found, world.clock.seconds
            await feed.changed("acme", seen, after, until - world.clock.seconds)


def test_however_many_wait_the_store_is_asked_once_a_second():
    world = World()
    with world:

        async def all_wait():
            feed = Feed(world.store)
            return await asyncio.gather(*(listen(feed, world, 0, 30) for _ in range(LISTENERS)))

        world.run(all_wait())
        assert world.store.position_reads <= 32
        assert world.store.reads <= 3 * LISTENERS


def test_a_hint_wakes_at_once_and_a_lost_one_within_a_second():
    for hint in (True, False):
        world = World()
        with world:

            async def wait(world=world, hint=hint):
                feed = Feed(world.store)
                waiting = asyncio.create_task(listen(feed, world, 0, 60))
                await asyncio.sleep(5.5)
                began = world.clock.seconds
                world.store.add("acme", "c0", world.clock.now())
                if hint:
                    feed.wake("acme")
                found, at = await waiting
                assert found == [1]
                return at - began

            assert world.run(wait()) < (0.1 if hint else 1.1)


def test_many_hints_are_few_readings():
    world = World()
    with world:

        async def storm():
            feed = Feed(world.store)
            with feed.listening("acme"):
                for _ in range(1000):
                    feed.wake("acme")
                    await asyncio.sleep(0.001)
                return feed.look("acme").changes

        assert world.run(storm()) <= 25


def test_a_client_has_so_many_listeners_and_leaves_nothing_behind():
    world = World()
    with world:

        async def crowd():
            feed = Feed(world.store)
            waiting = [asyncio.create_task(listen(feed, world, 0, 9)) for _ in range(LISTENERS)]
            await asyncio.sleep(1)
            with pytest.raises(TooManyListeners), feed.listening("acme"):
                pass
            with feed.listening("other"):
                pass
            await asyncio.gather(*waiting)
            assert feed.listeners("acme") == 0
            assert not feed._clients

        world.run(crowd())


def test_closing_lets_everybody_go():
    world = World()
    with world:

        async def close():
            feed = Feed(world.store)
            with feed.listening("acme"):
                waiting = asyncio.create_task(feed.changed("acme", feed.look("acme"), 0, 1000))
                await asyncio.sleep(1)
                feed.close()
                await waiting
                return world.clock.seconds

        assert world.run(close()) < 1010
