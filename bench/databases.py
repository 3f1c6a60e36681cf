"""SQLite, and PostgreSQL with one and with two processes, side by side: messages a second from end to end.

``./dev bench databases``. Everything shares the cores of the machine: gateway, PostgreSQL, a platform that answers at
once and the generator. So a second process helps as far as cores are left; what each of them used is printed beside.
``CLIENTS`` clients with an account each send at once, since one client's writes follow each other on PostgreSQL. The three
ways take turns, in ``ROUNDS`` rounds, and the medians are printed. PostgreSQL is the newest that is here, with
fsync, on the disk of SQLite's file.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

import load
from kurir.bench.generator import Platform

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from support import postgres

MESSAGES = 6_000
CLIENTS = 8
RECIPIENTS = 2_000
CONNECTIONS = 64
ROUNDS = 3


@dataclass(frozen=True)
class Way:
    """How the gateway runs. *cores* of the machine may be used by everything together."""

    name: str
    postgres: bool
    processes: int = 1
    clients: int = CLIENTS


WAYS = (
    Way("SQLite", postgres=False),
    Way("PostgreSQL, 1 process", postgres=True),
    Way("PostgreSQL, 2 processes", postgres=True, processes=2),
    Way("PostgreSQL, 1 client", postgres=True, clients=1),
)


@dataclass
class Round:
    accepted: float
    end_to_end: float
    gateway: float
    database: float
    log: float


def newest() -> str:
    """Return the major version of the newest PostgreSQL that is here."""
    return max(postgres.servers(), key=int)


def descendants(pid: int) -> list[int]:
    """Return *pid* and every process below it."""
    found = [pid]
    for each in found:
        for path in Path(f"/proc/{each}/task").glob("*/children"):
            found += [int(child) for child in path.read_text().split()]
    return found


def used(pid: int) -> float:
    """Return the processor seconds of a process and of all below it, those that ended too."""
    total = 0.0
    for each in descendants(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(field) for field in fields[11:15])
    return total / os.sysconf("SC_CLK_TCK")


def config(folder: Path, port: int, base: str, database: str) -> Path:
    lines = [f'listen = "127.0.0.1:{port}"', f'database = "{database}"', f'public_url = "http://127.0.0.1:{port}"']
    for number in range(CLIENTS):
        lines += [
            f'[clients.c{number}]\nusername = "c{number}"\npassword = "{load.PASSWORD}"',
            f'[[clients.c{number}.accounts]]\nid = "a{number}"\nchannel = "telegram"\napi_base = "{base}"',
            f'token = "{number + 1}:{"a" * 35}"\nsecret_token = "bench"\nconcurrency = 64',
            'rate = { account = "none", recipient = "none", group = "none" }',
        ]
    path = folder / "kurir.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


@contextmanager
def gateway(way: Way, base: str) -> Iterator[tuple[int, int, int, str]]:
    """Run the gateway; yields its port, its process id, and PostgreSQL's with how it is reached: 0 and "" without one."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = 0
        database = "bench.db"
        if way.postgres:
            cluster = postgres.Cluster(postgres.servers()[newest()], durable=True, settings={"shared_buffers": "512MB"})
            stack.callback(cluster.remove)
            cluster.create()
            cluster.start()
            server, database = int((cluster.data / "postmaster.pid").read_text().split()[0]), cluster.dsn()
        port = load.free_port()
        command = [sys.executable, "-m", "kurir", "serve", "--config", str(config(folder, port, base, database))]
        command += ["--log-level", "error"] + (["--processes", str(way.processes)] if way.processes > 1 else [])
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            load.wait_for(port, process)
            yield port, process.pid, server, database if way.postgres else ""
        finally:
            process.terminate()
            process.wait(60)


def bodies(port: int, clients: int, count: int) -> Iterator[bytes]:
    for number in range(count):
        body = {
            "id": f"e2e-{number}",
            "times": 0,
            "timestamp": "2026-01-01T00:00:00Z",
            "recipient": f"tg:{number % RECIPIENTS + 1}",
            "type": "text",
            "body": {"text": f"Your order {number} has left our shop and will be with you tomorrow between 9 and 12."},
        }
        name = f"c{number % clients}"
        sent = load.request(port, f"/telegram/send/{name}", body)
        yield sent.replace(b"Auth-username: bench", b"Auth-username: " + name.encode())


def pending(port: int, number: int) -> bool:
    """Return whether the client has a message that is not sent yet."""
    query = urllib.request.Request(f"http://127.0.0.1:{port}/v1/messages?status=0&limit=1")
    query.add_header("Auth-username", f"c{number}")
    query.add_header("Auth-password", load.PASSWORD)
    with urllib.request.urlopen(query) as answer:
        return bool(json.load(answer)["data"])


async def one(way: Way, base: str, count: int = MESSAGES) -> Round:
    """Return what one round of *way* came to, after a first load that nobody counts."""
    with gateway(way, base) as (port, pid, server, dsn):
        await asyncio.sleep(5 if way.processes > 1 else 2)  # the nodes share out their accounts
        before, log = (used(pid), used(server) if server else 0.0), await written(dsn)
        began = time.perf_counter()
        result = await load.drive(port, bodies(port, way.clients, count), CONNECTIONS)
        accepted = time.perf_counter() - began
        if result.refused:
            sys.exit(f"{way.name}: refused {result.refused}")
        for number in range(way.clients):
            while await asyncio.to_thread(pending, port, number):
                await asyncio.sleep(0.05)
        seconds = time.perf_counter() - began
        cpu = used(pid) - before[0], (used(server) - before[1]) if server else 0.0
        log = await written(dsn) - log
    each = (cpu[0] / count * 1e6, cpu[1] / count * 1e6, log / count)
    return Round(count / accepted, count / seconds, *each)


async def written(dsn: str) -> int:
    """Return how many bytes PostgreSQL has written to its write-ahead log, 0 without one."""
    if not dsn:
        return 0
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"))
    finally:
        await connection.close()


async def measure() -> None:
    found: dict[Way, list[Round]] = {way: [] for way in WAYS}
    async with Platform() as platform:
        for _ in range(ROUNDS):
            for way in WAYS:
                found[way].append(await one(way, platform.url))
    print(f"{MESSAGES:,} messages of {CLIENTS} clients (last line: of one), {CONNECTIONS} connections")
    print(
        f"medians of {ROUNDS} rounds that took turns; of each message: µs of the processors, bytes of PostgreSQL's log"
    )
    names = ("accepted/s", "end to end/s", "ratio", "µs gateway", "µs database", "log bytes")
    print(f"{'':24}" + "".join(f"{name:>14}" for name in names))
    base_rate = statistics.median(each.end_to_end for each in found[WAYS[0]])
    for way, rounds in found.items():
        accepted, rate, *rest = (
            statistics.median(getattr(each, name) for each in rounds)
            for name in ("accepted", "end_to_end", "gateway", "database", "log")
        )
        print(
            f"{way.name:24}{accepted:>14,.0f}{rate:>14,.0f}{rate / base_rate:>14.2f}"
            + "".join(f"{x:>14,.0f}" for x in rest)
        )


def main() -> None:
    asyncio.run(measure())


if __name__ == "__main__":
    main()
