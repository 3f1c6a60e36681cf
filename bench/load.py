"""What the HTTP benchmarks share: a gateway in its own process on one core, and a load generator that is cheap enough.

The generator is a bare asyncio protocol: it writes a request and counts answers by their status line and Content-Length. A
general HTTP client in Python costs several times what the server does, and would be what is measured.
"""

import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PASSWORD = "benchmark password 0001"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def pin(core: int) -> None:
    """Keep this process on one core, where the system can."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {core})


@contextmanager
def gateway(telegram_base: str, *, core: int = 0, concurrency: int = 64) -> Iterator[tuple[int, int]]:
    """Run ``kurir serve`` with one Telegram account on core *core*; yields (port, process id)."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "kurir.toml"
        config.write_text(
            f'listen = "127.0.0.1:{port}"\ndatabase = "bench.db"\npublic_url = "http://127.0.0.1:{port}"\n'
            f'[clients.bench]\nusername = "bench"\npassword = "{PASSWORD}"\n[[clients.bench.accounts]]\nid = "bench-tg"\n'
            f'channel = "telegram"\napi_base = "{telegram_base}"\ntoken = "1:{"a" * 35}"\nsecret_token = "bench"\n'
            f"concurrency = {concurrency}\n"
            'rate = { account = "none", recipient = "none", group = "none" }\n'
        )
        command = [sys.executable, "-m", "kurir", "serve", "--config", str(config), "--log-level", "error"]
        process = subprocess.Popen(command, preexec_fn=lambda: pin(core), stderr=subprocess.DEVNULL)
        try:
            wait_for(port, process)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(20)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"the gateway ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit("the gateway did not start within 20 s")


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def request(port: int, path: str, body: object) -> bytes:
    """Return one request of the bench client, as bytes."""
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuth-username: bench\r\nAuth-password: {PASSWORD}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


@dataclass
class Load:
    """What a run of the generator saw."""

    seconds: float = 0.0
    answers: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


class _Connection(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], load: Load, done: Callable[[], None]) -> None:
        self._requests = requests
        self._load = load
        self._done = done
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def _next(self) -> None:
        content = next(self._requests, None)
        if content is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(content)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        place = head.lower().index(b"content-length: ") + 16
        length = int(head[place:].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self._load.latencies.append(time.perf_counter() - self._sent)
        status = head[9:12].decode()
        if status == "200":
            self._load.answers += 1
        else:
            self._load.refused[status] = self._load.refused.get(status, 0) + 1
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._done()


async def drive(port: int, requests: Iterator[bytes], connections: int) -> Load:
    """Send *requests* over so many connections, one at a time each, until they end."""
    load = Load()
    finished = asyncio.Event()
    open_connections = itertools.count(connections - 1, -1)

    def done() -> None:
        if next(open_connections) == 0:
            finished.set()

    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(requests, load, done), "127.0.0.1", port)
    await finished.wait()
    load.seconds = time.perf_counter() - began
    return load
