"""Changes to callback endpoints that meet each other: each is made of the endpoint as the one before left it."""

import asyncio
from datetime import timedelta

import pytest

from kurir.callbacks import keys
from kurir.callbacks.deliverer import Deliverer
from kurir.callbacks.endpoints import Endpoints, Wanted
from kurir.secretbox import SecretBox
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
