"""Changes to callback endpoints that meet each other: each is made of the endpoint as the one before left it."""

import asyncio
from datetime import timedelta

import pytest

from kurir.callbacks import keys, ladder
from kurir.callbacks.deliverer import Deliverer
from kurir.callbacks.endpoints import Endpoints, Wanted
from kurir.secretbox import SecretBox
from kurir.store.feed import Ladder
from support.feed import URL, World

BOX = SecretBox([b"k" * 32])
DAY = timedelta(days=1)


def endpoints_of(world: World) -> Endpoints:
    world.deliverer = Deliverer(world.store, world.endpoints, world.clock, lambda record: keys.unseal(record, BOX))
    return Endpoints(world.store, world.deliverer, world.endpoints, BOX, world.clock, lambda: {"acme"})


async def _signing(world: World, endpoint_id: str) -> tuple[str, ...]:
    endpoint = await world.store.endpoint(endpoint_id)
    return keys.unseal(endpoint.record, BOX).signing(world.clock.now())


def test_of_two_rotations_at_once_both_secrets_that_were_handed_out_sign():
    async def rotate_twice() -> None:
        endpoint = (await endpoints.put(Wanted("acme", URL))).endpoint
        first, second = await asyncio.gather(endpoints.rotate(endpoint.id, DAY), endpoints.rotate(endpoint.id, DAY))
        assert await _signing(world, endpoint.id) == (second.secret, first.secret)

    with World() as world:
        endpoints = endpoints_of(world)
        world.run(rotate_twice())


@pytest.mark.parametrize("other", ["rotates", "changes", "deletes"])
def test_what_two_nodes_do_to_an_endpoint_at_once_is_done_one_after_the_other(other):
    async def both() -> None:
        endpoint = (await here.put(Wanted("acme", URL))).endpoint
        elsewhere = {
            "rotates": lambda: there.rotate(endpoint.id, DAY),
            "changes": lambda: there.put(Wanted("acme", URL, dialect="standard", headers={"X-Key": "1"})),
            "deletes": lambda: there.delete(endpoint.id),
        }
        rotated, done = await asyncio.gather(here.rotate(endpoint.id, DAY), elsewhere[other]())
        found = await world.store.endpoint(endpoint.id)
        if other == "deletes":
            assert found is None
            return
        signing = await _signing(world, endpoint.id)
        assert rotated.secret in signing, "it was answered"
        if other == "rotates":
            assert set(signing) == {rotated.secret, done.secret}
        else:
            assert found.record.dialect == "standard"
            assert keys.unseal(found.record, BOX).headers == {"X-Key": "1"}

    with World() as world:
        there = endpoints_of(world)
        world.deliverer, second = None, world.deliverer
        here = endpoints_of(world)
        world.run(both())
        world.run(second.stop())


def test_of_two_nodes_that_make_an_endpoint_at_once_one_makes_its_secret():
    async def both() -> None:
        made = await asyncio.gather(*(one.put(Wanted("acme", URL)) for one in (here, there)))
        secrets = [one.secret for one in made if one.secret]
        assert (await _signing(world, made[0].endpoint.id),) == (tuple(secrets),)

    with World() as world:
        there = endpoints_of(world)
        world.deliverer, second = None, world.deliverer
        here = endpoints_of(world)
        world.run(both())
        world.run(second.stop())


def test_a_pause_by_a_node_that_does_not_call_the_endpoint_outlives_a_step_of_the_one_that_does():
    async def pause() -> None:
        endpoint = world.put()
        here = world.store.ends[endpoint].ladder
        steps = [ladder.step(here, world.clock.now(), "500")]
        set_ladder = world.store.set_ladder

        async def after_a_step(endpoint_id: str, wanted: Ladder, was: Ladder | None = None) -> Ladder | None:
            if steps:  # the owner's call fails between the look and the write
                await set_ladder(endpoint_id, steps.pop())
            return await set_ladder(endpoint_id, wanted, was)

        world.store.set_ladder = after_a_step
        await endpoints.pause(endpoint)
        stands = world.store.ends[endpoint].ladder
        assert (stands.failures, stands.paused_reason) == (1, ladder.OPERATOR)
        await endpoints.resume(endpoint)
        assert world.store.ends[endpoint].ladder.paused_at is None

    with World() as world:
        endpoints = endpoints_of(world)
        world.run(pause())


def test_a_rotation_beside_a_change_undoes_none_of_it():
    async def change_and_rotate() -> None:
        endpoint = (await endpoints.put(Wanted("acme", URL))).endpoint
        changed = Wanted("acme", URL, dialect="standard", events=("contact.blocked",), enabled=False)
        _, rotated = await asyncio.gather(endpoints.put(changed), endpoints.rotate(endpoint.id, DAY))
        record = rotated.endpoint.record
        assert (record.dialect, record.events, record.enabled) == ("standard", ("contact.blocked",), False)
        assert (await world.store.endpoint(endpoint.id)).record == record

    with World() as world:
        endpoints = endpoints_of(world)
        world.run(change_and_rotate())


@pytest.mark.parametrize("rotates_first", [True, False])
def test_a_rotation_brings_no_deleted_endpoint_back(rotates_first):
    async def delete_and_rotate() -> None:
        endpoint = (await endpoints.put(Wanted("acme", URL))).endpoint
        both = [endpoints.rotate(endpoint.id, DAY), endpoints.delete(endpoint.id)]
        rotated, deleted = await asyncio.gather(*both) if rotates_first else reversed(await asyncio.gather(*both[::-1]))
        assert (deleted, rotated is not None) == (True, rotates_first)
        assert await world.store.all_endpoints() == []

    with World() as world:
        endpoints = endpoints_of(world)
        world.run(delete_and_rotate())


def test_a_change_that_does_not_say_so_enables_nothing_and_a_new_endpoint_is_enabled():
    async def change() -> list[bool]:
        asked = [{}, {"enabled": False}, {"headers": {"X-Key": "1"}}, {"enabled": True}, {"events": ("*",)}]
        return [(await endpoints.put(Wanted("acme", URL, **one))).endpoint.record.enabled for one in asked]

    with World() as world:
        endpoints = endpoints_of(world)
        assert world.run(change()) == [True, False, False, True, True]
