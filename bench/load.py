"""What the HTTP benchmarks share: a gateway in its own process on one core. The generator is that of ``kurir.bench``."""

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kurir.bench import generator
from kurir.bench.generator import cpu_seconds, drive
from kurir.bench.processes import PASSWORD, free_port

__all__ = ["PASSWORD", "cpu_seconds", "drive", "free_port", "gateway", "pin", "request", "wait_for"]


def pin(core: int) -> None:
    """Keep this process on one core, where the system can."""
    generator.pin(0, core)


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
    sys.exit("the gateway did not start within 60 s")


def request(port: int, path: str, body: object) -> bytes:
    """Return one request of the bench client, as bytes."""
    return generator.request(port, path, json.dumps(body).encode(), generator.login("bench"))
