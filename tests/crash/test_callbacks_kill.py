"""The real gateway killed at random moments while platforms call it, or are polled, and a client's endpoint is called."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import aiohttp
import pytest

from kurir.bench import processes
from kurir.bench.callbacks import Arrived, Books, check_callbacks
from kurir.callbacks.worker import IN_FLIGHT
from support.delivering import eventually
from support.endpoint import RecordingEndpoint, recording
from support.inbound import (
    ADMIN,
    CLIENT,
    PASSWORD,
    Updates,
    by_polling,
    configuration,
    line_headers,
    platforms,
)

SEED, KILLS = 20261122, 6
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CONVERSATIONS, EACH = 20, 40

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@contextmanager
def ended(gateway: processes.Process) -> Iterator[None]:
    try:
        yield
    finally:
        if gateway.running:
            gateway.kill()


async def killed(gateway: processes.Process, random: Random) -> int:
    """Kill the gateway and start it again, at random moments, also while it starts; return how often."""
    for number in range(KILLS):
        await asyncio.sleep(random.uniform(0.1, 0.9))
        gateway.kill()
        gateway.start()
        if number % 3 != 2:
            await gateway.ready()
    await gateway.ready()
    return KILLS


async def platform(gateway: processes.Process, conversation: int, taken: set[Any], random: Random) -> None:
    """Tell of one person's messages, one after the other, each again and again until it is taken, as LINE does."""
    async with aiohttp.ClientSession() as session:
        for number in range(EACH):
            source = {"type": "user", "userId": "U" + f"{conversation:032x}"}
            event = {
                "type": "message",
                "mode": "active",
                "webhookEventId": f"{conversation} {number}",
                "source": source,
            }
            event |= {"timestamp": 1_790_000_000_000 + number}
            message = {"id": str(1000 * conversation + number), "type": "text", "quoteToken": "q"}
            message["text"] = f"{conversation}.{number}"
            body = {"destination": "U" + "0" * 32, "events": [event | {"message": message}]}
            raw = json.dumps(body).encode()
            while (str(conversation), number) not in taken:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    url = f"{gateway.url}/webhooks/acme-line"
                    timeout = aiohttp.ClientTimeout(total=2)
                    async with session.post(url, data=raw, headers=line_headers(raw), timeout=timeout) as response:
                        if response.status == 200:
                            taken.add((str(conversation), number))
                            continue
                await asyncio.sleep(random.uniform(0.01, 0.1))
            await asyncio.sleep(random.uniform(0.0, 0.2))


def arrived(hook: RecordingEndpoint) -> tuple[Arrived, ...]:
    found = []
    for one in hook.received:
        conversation, _, number = one.verified(SECRET)["data"]["message"]["text"].partition(".")
        found.append(Arrived((conversation, int(number)), one.headers["webhook-id"]))
    return tuple(found)


@pytest.mark.scorecard(1)
async def test_each_event_that_was_taken_reaches_the_endpoint_in_order_with_one_id_whatever_is_killed(tmp_path):
    random, port, taken = Random(SEED), processes.free_port(), set()
    async with platforms() as apart, recording() as hook:
        document = configuration(tmp_path, apart.url, port)
        document["clients"][CLIENT]["callbacks"] = [{"url": hook.url, "secret": SECRET, "dialect": "standard"}]
        gateway = processes.gateway(tmp_path, port, document)
        with ended(gateway):
            gateway.start()
            await gateway.ready()
            asked = frozenset((str(one), number) for one in range(CONVERSATIONS) for number in range(EACH))
            told = asyncio.gather(*(platform(gateway, one, taken, random) for one in range(CONVERSATIONS)))
            kills = await killed(gateway, random)
            await told
            began = time.monotonic()
            await eventually(lambda: nothing_owed(gateway.url), 60)
            quiet = time.monotonic() - began
            faults = gateway.faults()
            code, _ = await gateway.terminate()
        books = Books(frozenset(taken), asked, arrived(hook), kills, IN_FLIGHT)
    verdicts = check_callbacks(books)
    print("\n".join(str(verdict) for verdict in verdicts))
    repeats = len(books.arrived) - len({one.key for one in books.arrived})
    print(
        f"scorecard 1: with callbacks, seed {SEED}: {kills} kills: {len(taken):,} events taken, each arrived, "
        f"{repeats} of them again with the same webhook-id, {CONVERSATIONS} conversations in order; nothing owed "
        f"{quiet:.1f} s later"
    )
    assert all(verdict.holds for verdict in verdicts)
    assert taken == asked
    assert (faults, code) == (0, 0)


async def nothing_owed(url: str) -> bool:
    headers = {"Authorization": f"Bearer {ADMIN}"}
    async with aiohttp.request("GET", f"{url}/v1/admin/callbacks", headers=headers) as response:
        [endpoint] = (await response.json())["data"]
    return bool(endpoint["pending"] == 0)


@pytest.mark.scorecard(1)
async def test_no_update_that_is_fetched_is_lost_or_told_twice_by_kills(tmp_path):
    random, port, count = Random(SEED), processes.free_port(), 600
    async with platforms() as apart:
        updates = Updates(apart)
        document = configuration(tmp_path, apart.url, port)
        by_polling(document)
        gateway = processes.gateway(tmp_path, port, document)

        async def people() -> None:
            for number in range(1, count + 1):
                who = {"id": 1001, "is_bot": False, "first_name": "Ani"}
                message = {"message_id": number, "from": who, "chat": {"id": 1001, "type": "private"}}
                message |= {"date": 1_790_000_000, "text": f"t{number}"}
                updates.waiting[number] = {"update_id": number, "message": message}
                await asyncio.sleep(random.uniform(0.0, 0.02))

        with ended(gateway):
            gateway.start()
            await gateway.ready()
            told = asyncio.create_task(people())
            kills = await killed(gateway, random)
            await told
            await eventually(lambda: not updates.waiting, 60)
            texts = await feed(gateway.url)
            faults = gateway.faults()
            code, _ = await gateway.terminate()
    assert texts == [f"t{number}" for number in range(1, count + 1)], "each once, and in their order"
    assert (faults, code) == (0, 0)
    print(
        f"scorecard 1: polling, seed {SEED}: {kills} kills: {count} updates, each told once and in order, by "
        f"{len(updates.offsets)} calls"
    )


async def feed(url: str) -> list[str]:
    headers = {"Auth-username": CLIENT, "Auth-password": PASSWORD}
    async with aiohttp.request("GET", f"{url}/v1/events?limit=1000", headers=headers) as response:
        return [one["data"]["message"]["text"] for one in (await response.json())["data"]]
