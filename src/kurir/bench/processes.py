"""The two processes of a run: the real ``kurir serve`` and a real sandbox, started, killed and started again.

The sandbox is a process of its own, so that it survives what the gateway is done to, as the platforms would.
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import aiohttp

from kurir import demo
from kurir.sandbox.config import CHANNELS, demo_config

USERNAME: Final = demo.CLIENT
PASSWORD: Final = "benchmark password 0001"  # noqa: S105 - it opens nothing but a gateway that lives for one run
#: How long a process may take to start or to end, in seconds; the longest start measured is printed with a run.
START_SECONDS: Final = 120.0
END_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.02
#: Linux gives connections ports from 32768 on, others from 49152 on.
PORTS: Final = range(12_000, 32_000)
#: What the gateway logs when it met a fault of its own.
FAULTS_IN_LOG: Final = ("Traceback (most recent call last)", "_fault", "not_classified", "not_understood")

_KURIR: Final = (sys.executable, "-m", "kurir")


class DidNotStart(RuntimeError):
    """A process of the run ended at once or did not answer in time; the text holds the end of its log."""


def free_port() -> int:
    """Return a port of this machine that is free now.

    It is below those that systems give to connections, so that none takes it while a process is killed and started again.
    Raises OSError when no free one was found.
    """
    for _ in range(100):
        port = PORTS.start + secrets.randbelow(len(PORTS))
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError(f"none of 100 ports between {PORTS.start} and {PORTS.stop} was free")


def spawn(arguments: Sequence[str], log: BinaryIO) -> "subprocess.Popen[bytes]":
    """Start a process in a session of its own; what it says goes to *log*. The project's tests put another way here."""
    return subprocess.Popen(arguments, stdout=log, stderr=log, start_new_session=True)  # noqa: S603 - our own command


class Process:
    """A process of ours that listens on a port of this machine. What it says goes to *log*."""

    def __init__(self, arguments: Sequence[str], url: str, probe: str, log: Path) -> None:
        self.url = url
        self._arguments = (*_KURIR, *arguments)
        self._probe = probe
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0

    @property
    def pid(self) -> int:
        """The process's id. Raises RuntimeError when it was not started."""
        if self._process is None:
            raise RuntimeError("the process was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and return at once."""
        with self.log.open("ab") as log:
            self._process = spawn(self._arguments, log)
        self.started_at = time.time()

    async def ready(self, seconds: float = START_SECONDS) -> float:
        """Wait until it answers 200; return for how many seconds it has been starting. Raises DidNotStart."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1.0)) as session:
            while time.time() < self.started_at + seconds:
                if not self.running:
                    break
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(self.url + self._probe) as answer:
                        if answer.status == 200:
                            return time.time() - self.started_at
                await asyncio.sleep(POLL_SECONDS)
        raise DidNotStart(f"{' '.join(self._arguments[1:4])} did not start: {self.last_words()}")

    def kill(self) -> float:
        """End it by SIGKILL; return when, in unix seconds."""
        if self._process is None:
            raise RuntimeError("the process was not started")
        at = time.time()
        self._process.kill()
        self._process.wait()
        return at

    async def terminate(self, seconds: float = END_SECONDS) -> tuple[int, float]:
        """End it by SIGTERM; return (exit code, seconds that it took). Killed after *seconds*: then the code is negative."""
        process = self._process
        if process is None:
            raise RuntimeError("the process was not started")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        while process.poll() is None and time.monotonic() < began + seconds:  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(POLL_SECONDS)
        if process.poll() is None:
            process.kill()
        return await asyncio.to_thread(process.wait), time.monotonic() - began

    def last_words(self) -> str:
        """Return the end of its log."""
        return self.log.read_text("utf-8", "replace")[-2000:] if self.log.exists() else ""

    def faults(self) -> int:
        """Return how many lines of its log tell of a fault of its own."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return sum(any(word in line for word in FAULTS_IN_LOG) for line in text.splitlines())

    def memory(self) -> dict[str, int]:
        """Return its resident memory in bytes, now (VmRSS) and at its highest (VmHWM). Linux only; {} elsewhere."""
        path = Path(f"/proc/{self.pid}/status")
        if not path.exists():
            return {}
        lines = (line.split() for line in path.read_text("ascii", "replace").splitlines())
        return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[0] in ("VmRSS:", "VmHWM:")}

    def processor_seconds(self) -> float:
        """Return the processor time that it has used. Linux only; 0 elsewhere."""
        path = Path(f"/proc/{self.pid}/stat")
        if not path.exists():
            return 0.0
        fields = path.read_text("ascii", "replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def gateway(folder: Path, port: int, document: Mapping[str, Any]) -> Process:
    """Return a gateway that is not started yet, its configuration written to *folder*."""
    config = folder / "kurir.toml"
    config.touch(mode=0o600)
    config.write_text(toml(document), "utf-8")
    arguments = ("serve", "--config", str(config), "--log-level", "warning")
    return Process(arguments, f"http://127.0.0.1:{port}", "/readyz", folder / "gateway.log")


def sandbox(folder: Path, port: int, gateway_url: str, people: int) -> Process:
    """Return a sandbox with so many *people* that is not started yet; it posts receipts to *gateway_url*."""
    ledger = folder / "platforms.jsonl"
    arguments = ("sandbox", "--port", str(port), "--people", str(people), "--ledger", str(ledger))
    return Process(
        (*arguments, "--gateway", gateway_url), f"http://127.0.0.1:{port}", "/sandbox/faults", folder / "sandbox.log"
    )


def configuration(
    folder: Path,
    port: int,
    sandbox_url: str,
    *,
    channels: Sequence[str] = CHANNELS,
    account: Mapping[str, Any] | None = None,
    edit: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Return the configuration of a gateway with one client and an account on each of *channels*.

    *account* is added to each account; *edit* may change the whole.
    """
    where = demo.Addresses(f"http://127.0.0.1:{port}", sandbox_url)
    document = demo.document(demo_config(), where, f"127.0.0.1:{port}", folder, PASSWORD)
    client = document["clients"][demo.CLIENT]
    client["accounts"] = [{**one, **(account or {})} for one in client["accounts"] if one["channel"] in channels]
    if edit is not None:
        edit(document)
    return document


def toml(document: Mapping[str, Any]) -> str:
    """Return *document* as TOML: one line for each key at the top, everything below it inline."""
    return "".join(f"{_key(name)} = {_value(value)}\n" for name, value in document.items())


def _key(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_value(one)}" for name, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, bool | int | float | str):
        return json.dumps(value, ensure_ascii=False)  # what JSON escapes, TOML's basic strings read alike
    raise TypeError(f"TOML has no {type(value).__name__}")
