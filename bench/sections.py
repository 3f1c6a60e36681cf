"""The sections of ``side_by_side``: each measures one thing for some rounds, and returns what every round found."""

import asyncio
import importlib.util
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import webhooks_in
from kurir.bench import backlog, speed
from kurir.bench.generator import Endpoint, Load, Platform, cpu_seconds, drive, paced, sends
from kurir.bench.processes import PASSWORD, free_port
from kurir.bench.speed import ACCOUNT, CLIENT, ECHO, IN_FLIGHT, KURIR, WARM, Contender, Round, Running, program
from kurir.callbacks.worker import IN_FLIGHT as CALLS_IN_FLIGHT

RIVALS = Path(__file__).parent / "rivals"
RELAY = Contender("bare relay", program(str(RIVALS / "bare_relay.py")), share=3.0)
RELAY_AIOHTTP = Contender("bare relay, aiohttp", program(str(RIVALS / "relay_aiohttp.py")), share=2.0)
BY_HAND = Contender("FastAPI + aiohttp", program(str(RIVALS / "fastapi_aiohttp.py")), share=0.5)
BY_HAND_HTTPX = Contender("FastAPI + httpx", program(str(RIVALS / "fastapi_httpx.py")), share=0.1)
OWED = "kurir, callback owed"
CALLER = "bare loop, aiohttp"
#: A load of so much of what was measured as the most.
TENTH = 0.1
#: Percentiles that are kept of latencies, for the plot.
SHARES = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
#: Messages a section needs, whatever is asked for, to be more than its own start.
LEAST = 200


@dataclass(frozen=True)
class Options:
    """*long*: also what takes minutes, and every round of what else would. *quick*: end to end beside the bare relay only."""

    rounds: int
    messages: int
    long: bool = False
    quick: bool = False


Say = Callable[[str], None]
#: Contender, size or variant → what its rounds found.
Found = dict[str, Any]


def kept(found: speed.Rounds) -> Found:
    return {name: [asdict(one) for one in rounds] for name, rounds in found.items()}


async def accept(options: Options, say: Say) -> Found:
    found = await speed.accepting((ECHO, KURIR), options.rounds, options.messages, say)
    say(speed.table(found, ECHO.name))
    return kept(found)


async def end_to_end(options: Options, say: Say) -> Found:
    contenders, base = [RELAY, KURIR], RELAY
    if importlib.util.find_spec("pyreqwest") is None:
        say("pyreqwest is missing: the bare relay posts on with aiohttp")
        contenders, base = [RELAY_AIOHTTP, KURIR], RELAY_AIOHTTP
    elif not options.quick:
        contenders.append(RELAY_AIOHTTP)
    if not options.quick:
        contenders += [BY_HAND, BY_HAND_HTTPX]
    found = await speed.delivering(contenders, options.rounds, options.messages, say)
    say(speed.table(found, base.name))
    return kept(found)


# --- what comes in, and is told ---


def _whatsapp() -> dict[str, Any]:
    return {
        "id": "bench-wa",
        "channel": "whatsapp",
        "api_base": "http://127.0.0.1:9",
        "phone_number_id": webhooks_in.NUMBER,
        "access_token": "x",
        "app_secret": webhooks_in.SECRET,
        "verify_token": "x",
    }


def receiving(endpoint: str = "") -> Any:
    """Run a gateway with a WhatsApp account, and with an *endpoint* that wants every event."""

    def settings(port: int) -> dict[str, Any]:
        more = {"callbacks": [{"url": endpoint, "secret": "whsec_" + "A" * 32}]} if endpoint else {}
        return speed.document(port, [_whatsapp()], **more)

    return speed.gateway("", settings)


async def _takes(running: Running, count: int) -> Round:
    """Measure how fast webhooks are taken."""
    await drive(running.port, webhooks_in.webhooks(running.port, WARM, "warm"), 8)
    requests = webhooks_in.webhooks(running.port, count, "run")
    used = cpu_seconds(running.pid)
    load = await drive(running.port, requests, IN_FLIGHT)
    return speed.measured(load, load.seconds, cpu_seconds(running.pid) - used)


async def webhooks(options: Options, say: Say) -> Found:
    @asynccontextmanager
    async def owed(_: str) -> AsyncIterator[Running]:
        async with receiving("http://127.0.0.1:9/") as running:
            await running.admin(f"callbacks/{(await running.admin('callbacks', 'GET'))[0]['id']}/pause")
            yield running

    contenders = [ECHO, Contender(KURIR.name, lambda _: receiving()), Contender(OWED, owed)]

    async def one(contender: Contender) -> Round:
        async with contender.open("http://127.0.0.1:9") as running:
            return await _takes(running, int(options.messages * contender.share))

    found = await speed.turns(contenders, options.rounds, one, say)
    say(speed.table(found, ECHO.name))
    return kept(found)


async def callbacks(options: Options, say: Say) -> Found:
    async def one(contender: Contender) -> Round:
        async with Endpoint() as endpoint:
            return await (_calls if contender.queued else _posts)(endpoint, options.messages)

    contenders = [Contender(CALLER, program()), Contender(KURIR.name, program(), queued=True)]
    found = await speed.turns(contenders, options.rounds, one, say)
    say(speed.table(found, CALLER))
    return kept(found)


async def _posts(endpoint: Endpoint, count: int) -> Round:
    """Let a loop of aiohttp post *count* bodies, so many at once as the gateway does."""
    port = free_port()
    command = [sys.executable, str(RIVALS / "bare_caller.py"), str(port), endpoint.url + "/hook", str(CALLS_IN_FLIGHT)]

    async def told(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"%d\n" % number)
        await reader.readline()
        writer.close()

    async with speed.served(command, port) as running:
        await told(WARM)
        began, busy, used = time.perf_counter(), time.process_time(), cpu_seconds(running.pid)
        await told(count)
        seconds = time.perf_counter() - began
        cpu = cpu_seconds(running.pid) - used
    return Round(count / seconds, cpu / count * 1e6, busy=(time.process_time() - busy) / seconds)


async def _calls(endpoint: Endpoint, count: int) -> Round:
    """Let the gateway deliver *count* events that it owes, until each is recorded as taken."""
    async with receiving(endpoint.url + "/hook") as running:
        path = f"callbacks/{(await running.admin('callbacks', 'GET'))[0]['id']}"

        async def delivered() -> None:
            while (await running.admin(path, "GET"))["pending"]:
                await asyncio.sleep(speed.LOOK)

        await drive(running.port, webhooks_in.webhooks(running.port, WARM, "warm"), 8)
        await delivered()
        await running.admin(f"{path}/pause")
        await drive(running.port, webhooks_in.webhooks(running.port, count, "run"), 8)
        before = endpoint.count
        began, busy, used = time.perf_counter(), time.process_time(), cpu_seconds(running.pid)
        await running.admin(f"{path}/resume")
        while endpoint.count < before + count:
            await asyncio.sleep(speed.LOOK)
        await delivered()
        seconds = time.perf_counter() - began
        cpu = cpu_seconds(running.pid) - used
    return Round(count / seconds, cpu / count * 1e6, busy=(time.process_time() - busy) / seconds)


# --- waiting, and waiting in masses ---


async def latency(options: Options, say: Say) -> Found:
    """Measure from the last byte of the 200 to the first byte of the platform's call, at a tenth of the most."""
    rounds = []
    for number in range(options.rounds if options.long else 1):
        with speed.on_generator_core():
            async with Platform() as platform, speed.gateway(platform.url) as running:
                most = (await speed.delivers(running, platform, options.messages, queued=True)).rate
                rate = most * TENTH
                count = max(LEAST, int(rate * (20 if options.long else 8)))
                requests = sends(running.port, CLIENT, count, run="paced", first=WARM + options.messages)
                platform.stamped = {}
                load, heard = await paced(running.port, requests, rate, IN_FLIGHT)
                until = time.monotonic() + 30
                while len(platform.stamped) < count and time.monotonic() < until:
                    await asyncio.sleep(speed.LOOK)
        first = WARM + options.messages
        added = sorted(max(0.0, platform.stamped[first + place] - at) * 1000 for place, at in heard.items())
        p50, p99 = _share(added, 0.5), _share(added, 0.99)
        curve = [[share, round(_share(added, share), 3)] for share in SHARES]
        rounds.append(
            {"most": most, "rate": rate, "count": count, "p50": p50, "p99": p99, "accept_p50": load.percentile(0.5)}
            | {"accept_p99": load.percentile(0.99), "busy": load.busy, "curve": curve}
        )
        say(
            f"  round {number + 1}: {rate:,.0f}/s, {count:,} messages: added p50 {p50:.2f} ms, p99 {p99:.2f} ms;"
            f" to the 200 p50 {load.percentile(0.5):.2f} ms, p99 {load.percentile(0.99):.2f} ms"
        )
    return {KURIR.name: rounds}


def _share(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


async def memory(options: Options, say: Say) -> Found:
    """Measure what 100,000 messages that wait for a paused account take."""
    rounds = []
    count = 100_000 if options.long else 20_000
    for number in range(min(options.rounds, 3 if options.long else 1)):
        with speed.on_generator_core():
            async with Platform() as platform, speed.gateway(platform.url) as running:
                await speed.delivers(running, platform, 2_000, queued=True)
                await running.admin(f"accounts/{ACCOUNT}/pause")
                before = running.memory()
                for first in range(0, count, 10_000):
                    load = await drive(
                        running.port, sends(running.port, CLIENT, 10_000, run="queued", first=10_000 + first), IN_FLIGHT
                    )
                    _none_refused(load)
                await asyncio.sleep(2)
                after = running.memory()
        # Not reckoned up to another count: it is windows and caches that fill, and then it grows no more.
        rounds.append({"queued": count, "before": before, "after": after})
        say(
            f"  round {number + 1}: {before / 2**20:,.1f} MiB, with {count:,} queued {after / 2**20:,.1f} MiB:"
            f" {(after - before) / 2**20:,.1f} MiB more"
        )
    return {KURIR.name: rounds}


def _none_refused(load: Load) -> None:
    if load.refused:
        raise RuntimeError(f"refused: {load.refused}")


PEOPLE = [("telegram", str(number)) for number in range(1, 2_001)]
OTHER = "of other accounts, paused"
SAME = "of the same account, due in 2099"


def _growth_settings(platform: str) -> Callable[[int], dict[str, Any]]:
    def settings(port: int) -> dict[str, Any]:
        made = speed.document(port, [speed.account(platform)])
        others = {"username": "backlog", "password": PASSWORD, "accounts": [speed.account(platform, "backlog-tg", 2)]}
        return made | {"clients": {**made["clients"], "backlog": others}}

    return settings


async def growth(options: Options, say: Say) -> Found:
    """Measure the cost of a message while so many others are queued already."""
    sizes = [1_000, 10_000] + ([100_000, 1_000_000] if options.long else [])
    owners = {
        OTHER: backlog.Owner("backlog", {"telegram": "backlog-tg"}),
        SAME: backlog.Owner(CLIENT, {"telegram": ACCOUNT}, due=datetime(2099, 1, 1, tzinfo=UTC)),
    }
    found: Found = {variant: {str(size): [] for size in sizes} for variant in owners}
    with tempfile.TemporaryDirectory() as temporary:
        places: dict[tuple[str, int], Path] = {}
        for variant, owner in owners.items():
            for size in sizes:
                places[variant, size] = await _filled(Path(temporary) / f"{len(places)}", owner, size, say)
        for number in range(options.rounds if options.long else min(2, options.rounds)):
            for (variant, size), place in places.items():
                done = await _with_queue(place, options.messages)
                found[variant][str(size)].append(asdict(done))
                say(f"  round {number + 1}: {size:>9,} {variant:34} {done.rate:>8,.0f}/s {done.cpu:>7,.0f} µs")
    for variant, by_size in found.items():
        costs = [statistics.median(one["cpu"] for one in by_size[str(size)]) for size in sizes]
        say(
            f"{variant}: "
            + ", ".join(f"{size:,}: {cost / costs[0]:.2f} ×" for size, cost in zip(sizes, costs, strict=True))
        )
    return found


async def _filled(place: Path, owner: backlog.Owner, size: int, say: Say) -> Path:
    """Make a database with *size* messages queued; the other accounts are paused."""
    place.mkdir()
    async with Platform() as platform, speed.gateway("", _growth_settings(platform.url), place) as running:
        await running.admin("accounts/backlog-tg/pause")
    seconds = await backlog.fill(place / "bench.db", PEOPLE, size, owner)
    say(f"  {size:,} queued within {seconds:.1f} s ({seconds / size * 1e6:.0f} µs each)")
    return place


async def _with_queue(place: Path, messages: int) -> Round:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "run"
        await asyncio.to_thread(shutil.copytree, place, folder)
        with speed.on_generator_core():
            async with Platform() as platform, speed.gateway("", _growth_settings(platform.url), folder) as running:
                return await speed.delivers(running, platform, messages, queued=True)


async def databases(options: Options, say: Say) -> Found:
    """Measure SQLite and PostgreSQL with one and two processes."""
    import databases as side  # noqa: PLC0415 - it needs the tests' own PostgreSQL

    found: Found = {way.name.replace("PostgreSQL", f"PostgreSQL {side.newest()}"): [] for way in side.WAYS}
    async with Platform() as platform:
        for number in range(options.rounds):
            for name, way in zip(found, side.WAYS, strict=True):
                done = await side.one(way, platform.url, options.messages)
                found[name].append(asdict(done))
                cost = f"{done.gateway:>7,.0f} + {done.database:,.0f} µs"
                say(f"  round {number + 1}: {name:27} {done.end_to_end:>7,.0f}/s {cost}")
    return found


SECTIONS = {
    "accept": accept,
    "end_to_end": end_to_end,
    "webhooks": webhooks,
    "callbacks": callbacks,
    "latency": latency,
    "memory": memory,
    "growth": growth,
    "databases": databases,
}
#: Only when they are named, or with --all.
LONG = ("databases",)
