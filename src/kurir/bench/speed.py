"""Speed side by side: the gateway and what it is measured against, one after the other on the same core, in turns.

Whatever runs has core 0 for itself; the generator and the platform that answers at once have core 1. Each round starts a fresh
process, warms it up and measures it; the contenders take turns within a round, so that a machine that is slower for a while is
slower for all of them, and what is compared are ratios within a round. Medians of the rounds are shown, with the least and the
most.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median as _median
from typing import Any, Final

import aiohttp

from kurir.bench.generator import BUSY, Load, Platform, cpu_seconds, drive, pin, sends
from kurir.bench.processes import PASSWORD, DidNotStart, free_port, toml

CLIENT: Final = "bench"
ACCOUNT: Final = "bench-tg"
ADMIN: Final = "benchmark administrator 0001"
CORE: Final = 0
GENERATOR_CORE: Final = 1
IN_FLIGHT: Final = 64
WARM: Final = 500
FAR: Final = "2099-01-01T00:00:00Z"
START_SECONDS: Final = 60.0
#: The shortest form: rounds, messages of each, and when no further round would end in time, in seconds.
SHORT_ROUNDS: Final = 3
SHORT_MESSAGES: Final = 2_000
ENOUGH: Final = 50.0
#: How often it is looked whether the last outcomes are recorded, in seconds.
LOOK: Final = 0.02


@dataclass(frozen=True, slots=True)
class Round:
    """What a contender did in a round.

    *rate*: messages a second. *cpu*: µs of a core for each. *p50*, *p99*: from a request to its answer, in ms. *busy*: the
    share of its own core that the generator used.
    """

    rate: float
    cpu: float
    p50: float = 0.0
    p99: float = 0.0
    busy: float = 0.0

    @property
    def core(self) -> float:
        """The share of a core that it used: what is missing it waited, for the disk, the generator or other programs."""
        return self.rate * self.cpu / 1e6


@dataclass(frozen=True, slots=True)
class Running:
    """A contender that runs: its port, its process, and its folder where it has one."""

    port: int
    pid: int
    folder: Path = field(default_factory=Path)

    async def admin(self, path: str, method: str = "POST") -> Any:
        """Call the administrator's API. Raises RuntimeError with what it says."""
        headers = {"Authorization": f"Bearer {ADMIN}"}
        url = f"http://127.0.0.1:{self.port}/v1/admin/{path}"
        async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as answer:
            said = await answer.json()
            if answer.status != 200:
                raise RuntimeError(f"{method} {path}: {answer.status} {said}")
            return said["data"]

    async def waits(self, run: str) -> bool:
        """Return whether the newest pending message of the client is one of *run*."""
        headers = {"Auth-username": CLIENT, "Auth-password": PASSWORD}
        url = f"http://127.0.0.1:{self.port}/v1/messages?status=0&limit=1"
        async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as answer:
            return any(one["id"].startswith(f"{run}-") for one in (await answer.json())["data"])

    def memory(self) -> int:
        """Return its resident memory in bytes; 0 where the system does not tell."""
        path = Path(f"/proc/{self.pid}/status")
        lines = path.read_text("ascii", "replace").splitlines() if path.exists() else []
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)


@asynccontextmanager
async def served(
    command: Sequence[str], port: int, folder: Path | None = None, *, core: int | None = CORE, cwd: Path | None = None
) -> AsyncIterator[Running]:
    """Run *command*, which listens on *port*, on *core* (None: wherever) until the block ends. Raises DidNotStart."""
    log = tempfile.TemporaryFile()  # noqa: SIM115 - closed below, with the process
    process = subprocess.Popen(command, stdout=log, stderr=log, cwd=cwd)  # noqa: S603, ASYNC220 - our own command
    try:
        if core is not None:
            pin(process.pid, core)
        await _listens(process, port, log)
        yield Running(port, process.pid, folder or Path())
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, 30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


async def _listens(process: "subprocess.Popen[bytes]", port: int, log: Any) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    log.seek(0)
    raise DidNotStart(f"it did not start: {log.read().decode('utf-8', 'replace')[-2000:]}")


def account(platform: str, name: str = ACCOUNT, token: int = 1) -> dict[str, Any]:
    """Return a Telegram account without limits of our own, which would hide the gateway's speed."""
    rate = {"account": "none", "recipient": "none", "group": "none"}
    token_of = f"{token}:{'a' * 35}"
    return {
        "id": name,
        "channel": "telegram",
        "api_base": platform,
        "token": token_of,
        "secret_token": "bench",
        "concurrency": IN_FLIGHT,
        "rate": rate,
    }


def document(port: int, accounts: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """Return the configuration of a gateway with one client; *more* is added to the client."""
    return {
        "listen": f"127.0.0.1:{port}",
        "public_url": f"http://127.0.0.1:{port}",
        "database": "bench.db",
        "admin_token": ADMIN,
        "allow_networks": ["127.0.0.0/8"],
        "clients": {CLIENT: {"username": CLIENT, "password": PASSWORD, "accounts": list(accounts), **more}},
    }


@asynccontextmanager
async def gateway(
    platform: str, settings: Callable[[int], Mapping[str, Any]] | None = None, folder: Path | None = None
) -> AsyncIterator[Running]:
    """Run ``kurir serve`` as it is shipped, everything on, with one Telegram account that calls *platform*.

    *settings* gives another configuration for a port. *folder* may hold its database; else it gets a new one.
    """
    port = free_port()
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        config = place / "kurir.toml"
        config.touch(mode=0o600)
        made = settings(port) if settings is not None else document(port, [account(platform)])
        config.write_text(toml(made), "utf-8")
        command = [sys.executable, "-m", "kurir", "serve", "--config", str(config), "--log-level", "error"]
        async with served(command, port, place) as running:
            yield running


def measured(load: Load, seconds: float, cpu: float) -> Round:
    """Return the round of a load that took *seconds* and *cpu* seconds. Raises RuntimeError when anything was refused."""
    if load.refused:
        raise RuntimeError(f"refused: {load.refused}")
    return Round(
        load.answers / seconds, cpu / load.answers * 1e6, load.percentile(0.5), load.percentile(0.99), load.busy
    )


async def accepts(running: Running, count: int) -> Round:
    """Measure how fast sends are answered that are due in 2099: nothing but the accepting of them."""
    warm = sends(running.port, CLIENT, WARM, run="warm", send_at=FAR)
    await drive(running.port, warm, 8)
    requests = sends(running.port, CLIENT, count, run="run", send_at=FAR, first=WARM)
    used = cpu_seconds(running.pid)
    load = await drive(running.port, requests, IN_FLIGHT)
    return measured(load, load.seconds, cpu_seconds(running.pid) - used)


async def delivers(running: Running, platform: Platform, count: int, *, queued: bool, first: int = 0) -> Round:
    """Measure from the first request until the platform took everything, and (*queued*) every outcome is recorded."""
    await _until_sent(running, platform, sends(running.port, CLIENT, WARM, run="warm", first=first), queued=queued)
    requests = sends(running.port, CLIENT, count, run="run", first=first + WARM)
    used = cpu_seconds(running.pid)
    load, seconds = await _until_sent(running, platform, requests, queued=queued)
    return measured(load, seconds, cpu_seconds(running.pid) - used)


async def _until_sent(
    running: Running, platform: Platform, requests: Sequence[bytes], *, queued: bool
) -> tuple[Load, float]:
    run = "warm" if b'"warm-' in requests[0] else "run"
    wanted, began, used = platform.count + len(requests), time.perf_counter(), time.process_time()
    load = await drive(running.port, requests, IN_FLIGHT)
    if queued:
        while platform.count < wanted or await running.waits(run):  # noqa: ASYNC110 - a poll costs nothing here
            await asyncio.sleep(LOOK)
    seconds = time.perf_counter() - began
    load.busy = (time.process_time() - used) / seconds
    return load, seconds


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that is measured. *open* runs it, given the platform's URL; *share*: of the messages that the others get."""

    name: str
    open: Callable[[str], AbstractAsyncContextManager[Running]]
    queued: bool = False
    share: float = 1.0


def program(*arguments: str, cwd: Path | None = None) -> Callable[[str], AbstractAsyncContextManager[Running]]:
    """Return how a Python program is run that takes a port and the platform's URL behind *arguments*."""

    def opened(platform: str) -> AbstractAsyncContextManager[Running]:
        port = free_port()
        return served([sys.executable, *arguments, str(port), platform], port, cwd=cwd)

    return opened


KURIR: Final = Contender("kurir", gateway, queued=True)
# What is many times faster gets more messages, so that its round is not over before the clock of /proc has ticked often.
ECHO: Final = Contender("bare echo", program("-m", "kurir.bench.bare", "echo"), share=5.0)
RELAY: Final = Contender("bare relay, aiohttp", program("-m", "kurir.bench.bare", "relay"), share=2.0)

#: Contender → what it did in each round.
Rounds = dict[str, list[Round]]


async def accepting(contenders: Sequence[Contender], rounds: int, messages: int, say: Callable[[str], None]) -> Rounds:
    """Let *contenders* take turns at accepting."""

    async def one(contender: Contender) -> Round:
        async with contender.open("http://127.0.0.1:9") as running:
            return await accepts(running, int(messages * contender.share))

    return await turns(contenders, rounds, one, say)


async def delivering(contenders: Sequence[Contender], rounds: int, messages: int, say: Callable[[str], None]) -> Rounds:
    """Let *contenders* take turns at sending end to end."""

    async def one(contender: Contender) -> Round:
        async with Platform() as platform, contender.open(platform.url) as running:
            return await delivers(running, platform, int(messages * contender.share), queued=contender.queued)

    return await turns(contenders, rounds, one, say)


async def turns(
    contenders: Sequence[Contender],
    rounds: int,
    one: Callable[[Contender], Awaitable[Round]],
    say: Callable[[str], None],
) -> Rounds:
    """Let *contenders* take turns at *one*."""
    found: Rounds = {contender.name: [] for contender in contenders}
    with on_generator_core():
        for number in range(rounds):
            for contender in contenders:
                done = await one(contender)
                found[contender.name].append(done)
                place = f"round {number + 1}: " if rounds > 1 else ""
                say(f"  {place}{contender.name:24} {done.rate:>8,.0f}/s {done.cpu:>7,.0f} µs")
    return found


async def short(say: Callable[[str], None]) -> str:
    """Run the shortest form: accepting beside the bare echo, end to end beside a relay of aiohttp; return the tables.

    Takes less than a minute: no round is begun after ENOUGH seconds. Raises DidNotStart.
    """
    sections = (
        ("accept, beside a bare echo", accepting, ECHO),
        ("end to end, beside a bare relay that keeps nothing", delivering, RELAY),
    )
    found: dict[str, Rounds] = {title: {} for title, _, _ in sections}
    began = time.monotonic()
    longest = 0.0
    for number in range(SHORT_ROUNDS):
        at = time.monotonic()
        if number and at - began + longest > ENOUGH:
            break
        for title, measure, base in sections:
            say(f"{title}, round {number + 1}")
            for name, rounds in (await measure((base, KURIR), 1, SHORT_MESSAGES, say)).items():
                found[title].setdefault(name, []).extend(rounds)
        longest = max(longest, time.monotonic() - at)
    return "\n\n".join(f"{title}\n{table(found[title], base.name)}" for title, _, base in sections)


@contextlib.contextmanager
def on_generator_core() -> Any:
    """Keep this process on the generator's core within the block."""
    if not hasattr(os, "sched_getaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    pin(0, GENERATOR_CORE)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def ratios(found: Rounds, name: str, base: str) -> list[float]:
    """Return the rate of *name* over that of *base*, round by round."""
    return [one.rate / other.rate for one, other in zip(found[name], found[base], strict=True)]


def by_processor(found: Rounds, name: str, base: str) -> list[float]:
    """Return the same from the processor time of each message, which other work on the machine disturbs less."""
    return [other.cpu / one.cpu if one.cpu else 0.0 for one, other in zip(found[name], found[base], strict=True)]


def table(found: Rounds, base: str) -> str:
    """Return the medians of every contender, and its ratio to *base* with the least and the most of it."""
    heads = f"{'':24}{'per s':>9}{'µs each':>9}{'p50 ms':>8}{'p99 ms':>8}{'core':>6}{'ratio':>8}"
    lines = [f"{heads}  {'least – most':14}{'by processor':>13}"]
    for name, rounds in found.items():
        keys = ("rate", "cpu", "p50", "p99", "core")
        rate, cpu, p50, p99, core = (_median(getattr(one, key) for one in rounds) for key in keys)
        each = ratios(found, name, base)
        lines.append(
            f"{name:24}{rate:>9,.0f}{cpu:>9,.0f}{p50:>8.2f}{p99:>8.2f}{core:>6.0%}{_median(each):>8.3f}"
            f"  {min(each):.3f} – {max(each):.3f} {_median(by_processor(found, name, base)):>13.3f}"
        )
    busy = {name: max(one.busy for one in rounds) for name, rounds in found.items()}
    lines += [
        f"doubtful: the generator used {share:.0%} of its core beside {name}, which may be faster"
        for name, share in busy.items()
        if share > BUSY
    ]
    cores = {name: _median(one.core for one in rounds) for name, rounds in found.items()}
    lines += [
        f"doubtful: {name} used {share:.0%} of its core, and waited otherwise: for other programs, the generator or the disk"
        for name, share in cores.items()
        if 0 < share < BUSY
    ]
    return "\n".join(lines)
