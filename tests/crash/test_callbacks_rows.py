"""Scorecard rows 20 to 22 on the real gateway: endpoints that hang, drip, flood and lead astray, and one that was dead.

Their halves in simulated time, and byte for byte, are marked where they stand: tests/unit/test_callbacks_*.py and
tests/integration/test_callbacks*.py.
"""

import asyncio
import contextlib
import json
import re
import socket
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kurir.bench import processes
from kurir.callbacks.ladder import LAST_STEP, WAITS
from kurir.clock import FakeClock
from kurir.egress import MAXIMUM_CALLBACK_ANSWER
from support.delivering import eventually
from support.endpoint import Mode, RecordingEndpoint, recording
from support.inbound import ADMIN, CLIENT, Inbox, configuration, line_headers, platforms, receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOGIN = {"Authorization": f"Bearer {ADMIN}"}
#: The bars of row 20: how long a call may last (with what a busy machine adds), and what each endpoint may cost.
LONGEST_MS, MEMORY = 16_000, 5 * 1024 * 1024
#: Events before and while the others misbehave.
EVENTS = 150

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def told(number: int, conversation: int = 0, at: int = 1_790_000_000_000) -> bytes:
    """A LINE webhook with one message, numbered."""
    source = {"type": "user", "userId": "U" + f"{conversation:032x}"}
    event = {"type": "message", "mode": "active", "timestamp": at + number, "webhookEventId": f"event {number}"}
    message = {"id": str(number), "type": "text", "text": f"number {number}", "quoteToken": f"q{number}"}
    body = {"destination": "U" + "0" * 32, "events": [event | {"source": source, "message": message}]}
    return json.dumps(body).encode()


def declared(*urls: str) -> list[dict[str, Any]]:
    return [{"url": url, "secret": SECRET, "dialect": "standard"} for url in urls]


# --- row 20 -------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def nobody_accepts() -> Iterator[str]:
    """Give the URL of a port where a connection is never made: its queue is full, and the system answers no more."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}/hook"


@asynccontextmanager
async def served(folder: Path, document: dict[str, Any], port: int) -> AsyncIterator[processes.Process]:
    gateway = processes.gateway(folder, port, document)
    gateway.start()
    try:
        await gateway.ready()
        yield gateway
    finally:
        if gateway.running:
            await gateway.terminate()


async def flow(url: str, hook: RecordingEndpoint, numbers: range) -> list[float]:
    """Post events one after the other; the seconds from each to its callback."""
    found = []
    async with aiohttp.ClientSession() as session:
        for number in numbers:
            raw, before, began = told(number, number % 20), len(hook.received), time.perf_counter()
            async with session.post(f"{url}/webhooks/acme-line", data=raw, headers=line_headers(raw)) as response:
                assert response.status == 200
            await hook.until(before + 1, 10)
            found.append(time.perf_counter() - began)
    return found


async def ids_of(url: str, urls: dict[str, str]) -> dict[str, str]:
    """Return the endpoints' ids by our names of them."""
    async with aiohttp.request("GET", f"{url}/v1/admin/callbacks", headers=LOGIN) as response:
        known = {one["url"]: one["id"] for one in (await response.json())["data"]}
    return {name: known[one] for name, one in urls.items()}


async def deliveries(url: str, endpoint: str, after: int) -> list[Any]:
    """Return the attempts of an endpoint's first tried callback above a position; of one that was always dead, of any."""
    async with aiohttp.ClientSession(headers=LOGIN) as session:
        async with session.get(f"{url}/v1/admin/callbacks/{endpoint}/deliveries?limit=1000") as response:
            known = sorted(int(one["position"]) for one in (await response.json())["data"])
        for position in [one for one in known if one > after][:20] + known[:1]:
            async with session.get(f"{url}/v1/admin/callbacks/{endpoint}/deliveries/{position}") as response:
                attempts = (await response.json())["data"]["attempts"]
            if attempts and (position > after or attempts[0]["status"] == 0):
                return list(attempts)
    return []


@pytest.mark.scorecard(20)
async def test_hostile_endpoints_cost_a_bounded_call_each_and_no_other_endpoint_anything(tmp_path):
    hostile = {
        "header drip": Mode.DRIP_HEAD,
        "no answer": Mode.HANG,
        "endless head": Mode.ENDLESS_HEAD,
        "body drip": Mode.DRIP_BODY,
        "1 GiB": Mode.FLOOD,
        "redirect loop": Mode.REDIRECT,
        "redirect to metadata": Mode.REDIRECT,
    }
    port = processes.free_port()
    async with contextlib.AsyncExitStack() as stack:
        platform = await stack.enter_async_context(platforms())
        well = await stack.enter_async_context(recording())
        hooks = {name: await stack.enter_async_context(recording()) for name in hostile}
        hooks["redirect loop"].location = hooks["redirect loop"].url
        hooks["redirect to metadata"].location = "http://169.254.169.254/latest/meta-data/"
        silent = stack.enter_context(nobody_accepts())
        document = configuration(tmp_path, platform.url, port)
        urls = {name: hook.url for name, hook in hooks.items()} | {"connect hang": silent}
        document["clients"][CLIENT]["callbacks"] = declared(well.url, *urls.values())
        gateway = await stack.enter_async_context(served(tmp_path, document, port))
        ids = await ids_of(gateway.url, urls)
        # They behave at first: what it costs to have so many endpoints is not what is asked here.
        await flow(gateway.url, well, range(EVENTS))
        calm = await flow(gateway.url, well, range(EVENTS, 2 * EVENTS))
        await asyncio.gather(*(hook.until(2 * EVENTS, 30) for hook in hooks.values()))
        before = gateway.memory().get("VmRSS", 0)
        for name, mode in hostile.items():
            hooks[name].mode = mode
        busy = await flow(gateway.url, well, range(1000, 1000 + EVENTS))

        async def first_tries() -> bool:
            return all([await deliveries(gateway.url, one, 2 * EVENTS) for one in ids.values()])

        await eventually(first_tries, 60)
        middle = gateway.memory().get("VmRSS", 0)
        busy += await flow(gateway.url, well, range(2000, 2000 + EVENTS))
        after = gateway.memory().get("VmRSS", 0)
        attempts = {name: (await deliveries(gateway.url, one, 2 * EVENTS))[0] for name, one in ids.items()}
        assert gateway.running
        assert gateway.faults() == 0, gateway.last_words()
    longest = max(one["duration_ms"] for one in attempts.values())
    assert longest <= LONGEST_MS, attempts
    assert all(len(one["body"]) <= MAXIMUM_CALLBACK_ANSWER for one in attempts.values())
    flood = hooks["1 GiB"]  # what is read no further than 64 KiB stands in the system's buffers
    assert flood.flooded / len(flood.received) < 16 * 1024 * 1024
    statuses = {name: one["status"] for name, one in attempts.items()}
    assert statuses["redirect loop"] == statuses["redirect to metadata"] == 307
    assert {statuses[name] for name in ("header drip", "no answer", "endless head", "connect hang")} == {0}
    assert after - before <= MEMORY * len(ids), (before, after)
    assert after - middle <= MEMORY, "and it does not go on"
    quick, slow = (statistics.quantiles(one, n=100)[98] * 1000 for one in (calm, busy))
    assert max(busy) < 5.0, "another endpoint waits for none of them"
    print(
        f"scorecard 20: {len(ids)} hostile endpoints: {', '.join(ids)}: the longest call {longest / 1000:.1f} s, memory "
        f"{(after - before) / 1024 / 1024:+.1f} MiB in all, {(after - before) / 1024 / 1024 / len(ids):+.1f} for each, "
        f"{(after - middle) / 1024 / 1024:+.1f} MiB of it in the second half; from a webhook to the callback of another "
        f"endpoint p99 {quick:.0f} ms before and {slow:.0f} ms meanwhile, {slow / quick:.2f} × ({EVENTS} and "
        f"{2 * EVENTS} events)"
    )


# --- row 21 -------------------------------------------------------------------------------------------------------------

CONVERSATIONS = 5


async def write(inbox: Inbox, numbers: range) -> None:
    for number in numbers:
        raw = told(number, number % CONVERSATIONS)
        assert await inbox.hook("acme-line", raw, line_headers(raw)) == 200


async def step(inbox: Inbox, clock: FakeClock, seconds: float, tries: int, hook: RecordingEndpoint) -> None:
    """Let *seconds* pass, and wait until the endpoint has been tried so many times in all."""
    clock.move(seconds)
    inbox.gateway._fed(CLIENT)
    await hook.until(tries, 20)


@pytest.mark.scorecard(21)
@pytest.mark.parametrize("dead_hours", [6, 100])
async def test_an_endpoint_that_was_dead_is_tried_by_the_schedule_and_gets_everything_in_order(
    tmp_path, dead_hours, capfd
):
    clock = FakeClock()
    async with (
        recording(Mode.FAIL) as hook,
        receiving(
            tmp_path,
            clock=clock,
            edit=lambda document: document["clients"][CLIENT].update(callbacks=declared(hook.url)),
        ) as inbox,
    ):
        await write(inbox, range(1))
        await hook.until(1)
        moments, written = [0.0], 1
        store = inbox.gateway.store
        for number, wait in enumerate(WAITS):
            await standing(store, number + 1)
            await write(inbox, range(written, written + 5))
            written += 5
            clock.move(wait - 1)
            inbox.gateway._fed(CLIENT)
            await asyncio.sleep(1.2)  # it looks once a second of the real time
            assert len(hook.received) == number + 1, "not before its time"
            if moments[-1] + wait > dead_hours * 3600:
                hook.mode = Mode.WELL
            await step(inbox, clock, 1 + wait * 0.1, number + 2, hook)
            moments.append(moments[-1] + wait * 1.1)
            if hook.mode is Mode.WELL:
                break
        failed = len(moments) - (hook.mode is Mode.WELL)
        if failed == LAST_STEP:
            await standing(store, LAST_STEP)
            [endpoint] = await store.all_endpoints()
            assert endpoint.ladder.paused_at is not None
            assert f"failed {LAST_STEP} times in a row" in endpoint.ladder.paused_reason
            said = "".join(capfd.readouterr())
            assert re.search(r"error.*callback_endpoint_paused.*failed 10 times", said), "the owner is told"
            clock.move(10 * 86_400)
            await write(inbox, range(written, written + 5))
            written += 5
            hook.mode = Mode.WELL
            async with aiohttp.request(
                "POST", f"{inbox.url}/v1/admin/callbacks/{endpoint.id}/resume", headers=LOGIN
            ) as response:
                assert response.status == 200
        calls = (await hook.until(failed + written, 30))[failed:]
        seen = defaultdict(list)
        for one in hook.received:
            body = one.body
            seen[one.headers["webhook-id"]].append(body)
        assert len(seen) == written
        assert all(len(set(bodies)) == 1 for bodies in seen.values()), "an id stands for one event, and its body"
        by_conversation = defaultdict(list)
        for one in calls:
            data = json.loads(one.body)["data"]
            by_conversation[data["from"]["address"]].append(int(data["message"]["id"]))
        assert all(earlier < later for line in by_conversation.values() for earlier, later in pairwise(line))
        assert sorted(number for line in by_conversation.values() for number in line) == list(range(written))
    paused = f", paused after {LAST_STEP} failures, resumed ten days later" if failed == LAST_STEP else ""
    print(
        f"scorecard 21: dead for {dead_hours} h (fake clock): {failed} tries, none before its step or a tenth after it"
        f"{paused}; then {written} events in the order of their conversations, each with one id"
    )


async def standing(store: Any, failures: int) -> None:
    """Wait until the ladder on disk has so many failures."""

    async def there() -> bool:
        [endpoint] = await store.all_endpoints()
        return bool(endpoint.ladder.failures == failures)

    await eventually(there)
