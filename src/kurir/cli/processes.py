"""``kurir serve --processes N``: a parent that runs N gateways on one port, each a node of its own.

The parent opens no database. It holds the port (SO_REUSEPORT: the kernel spreads the connections), starts a child again
that died, and passes SIGTERM and SIGINT on. The first child alone starts first: it migrates the database, and makes the key
file where there is none. A child holds the read end of a pipe; when the parent is killed the pipe ends, and so do they.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import typer

from kurir.cli import serving
from kurir.settings import Listen

#: Tells a child that it is one: «parent's pipe,pipe to say that it is ready».
VARIABLE: Final = "KURIR_CHILD"
#: The waits before a child that died is started again, in seconds: doubled up to the last, anew after it lived for a while.
FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 30.0
LIVED_SECONDS: Final = 30.0
#: How long children may take to end, in seconds, before they are killed.
END_SECONDS: Final = 40.0


@dataclass(frozen=True, slots=True)
class Child:
    """What a child knows of its parent: two file descriptors."""

    alive: int
    ready: int

    @classmethod
    def here(cls) -> "Child | None":
        """Return what this process was told, None where it is no child."""
        told = os.environ.pop(VARIABLE, "")
        try:
            alive, ready = map(int, told.split(","))
        except ValueError:
            return None
        return cls(alive, ready)

    def follow(self, stopping: asyncio.Event) -> None:
        """Say that the child is ready, and stop when the parent is gone."""
        with contextlib.suppress(OSError):
            os.write(self.ready, b"1")
            os.close(self.ready)
        loop = asyncio.get_running_loop()

        def gone() -> None:
            loop.remove_reader(self.alive)
            stopping.set()

        loop.add_reader(self.alive, gone)


class Family:
    """The children of this process."""

    def __init__(self, arguments: Sequence[str], many: int, listen: Listen) -> None:
        self._arguments = [*arguments]
        self._many = many
        self._listen = listen
        self._children: dict[int, asyncio.subprocess.Process] = {}
        self._stopping: asyncio.Event | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Run the children until *stopping*, then end them. Ends with a sentence where the first does not start."""
        self._stopping = stopping
        with _port_of(self._listen) as (host, port):
            self._arguments += ["--listen", f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
            alive, held = os.pipe()
            try:
                first = asyncio.Event()
                tasks = [asyncio.create_task(self._keep(0, alive, first))]
                waits = [asyncio.create_task(first.wait()), asyncio.create_task(stopping.wait())]
                await asyncio.wait([*waits, *tasks], return_when=asyncio.FIRST_COMPLETED)
                if first.is_set():
                    tasks += [asyncio.create_task(self._keep(number, alive)) for number in range(1, self._many)]
                    typer.echo(f"kurir runs {self._many} processes on port {port}", err=True)
                await asyncio.wait([waits[1], *tasks], return_when=asyncio.FIRST_COMPLETED)
                failed = not stopping.is_set()
                await self._end(tasks, waits)
                if failed:
                    raise SystemExit(1)
            finally:
                os.close(alive)
                os.close(held)

    async def _keep(self, number: int, alive: int, first: asyncio.Event | None = None) -> None:
        """Run a child again and again. Returns where it never became ready, and would not the next time."""
        wait, was_ready = FIRST_WAIT, False
        while True:
            began = time.monotonic()
            readable, writable = os.pipe()
            try:
                child = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "kurir",
                    *self._arguments,
                    env={**os.environ, VARIABLE: f"{alive},{writable}"},
                    pass_fds=(alive, writable),
                )
            finally:
                os.close(writable)
            self._children[number] = child
            ready = await _told(readable)
            if ready and first is not None:
                first.set()
            code = await child.wait()
            del self._children[number]
            if self._stopping is not None and self._stopping.is_set():
                return
            was_ready = was_ready or ready
            if first is not None and not was_ready:
                return  # its own sentence says why
            wait = FIRST_WAIT if time.monotonic() - began > LIVED_SECONDS else min(LONGEST_WAIT, wait * 2)
            typer.echo(f"process {child.pid} ended with {code}; it is started again in {wait:g} s", err=True)
            await asyncio.sleep(wait)

    async def _end(self, tasks: list[asyncio.Task[None]], waits: Sequence["asyncio.Task[bool]"]) -> None:
        """End the children, by force where they do not."""
        for child in self._children.values():
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
        left = [asyncio.create_task(child.wait()) for child in self._children.values()]
        if left:
            await asyncio.wait(left, timeout=END_SECONDS)
        for child in list(self._children.values()):
            if child.returncode is None:
                child.kill()
                await child.wait()
        for task in (*tasks, *waits, *left):
            task.cancel()
        await asyncio.gather(*tasks, *waits, *left, return_exceptions=True)


def _once(told: "asyncio.Future[None]") -> Callable[[], None]:
    return lambda: None if told.done() else told.set_result(None)


async def _told(readable: int) -> bool:
    """Wait until a child says that it is ready (true) or has ended."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[None] = loop.create_future()
    loop.add_reader(readable, _once(told))
    try:
        await told
        return os.read(readable, 1) == b"1"
    finally:
        loop.remove_reader(readable)
        os.close(readable)


@contextlib.contextmanager
def _port_of(listen: Listen) -> Iterator[tuple[str, int]]:
    """Hold the port for the children, without listening on it. Raises OSError when others have it."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((listen.host, listen.port))
        yield listen.host, held.getsockname()[1]


def run(arguments: Sequence[str], many: int, listen: Listen) -> None:
    """Run *many* processes of ``kurir`` with *arguments* until this one is told to stop."""
    family = Family(arguments, many, listen)
    serving.run(family.run)
