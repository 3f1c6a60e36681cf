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

from kurir.cli import serving, systemd
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
        self._ending = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        """Run the children until *stopping*, then end them. Ends with a sentence where the first does not start."""
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
                async with systemd.told() if first.is_set() else contextlib.nullcontext():
                    await asyncio.wait([waits[1], *tasks], return_when=asyncio.FIRST_COMPLETED)
                failed = not stopping.is_set()
                self._ending.set()
                found = await asyncio.gather(*tasks, return_exceptions=True)
                for wait in waits:
                    wait.cancel()
                for fault in found:
                    if isinstance(fault, BaseException):
                        typer.echo(f"a process is not kept any more: {type(fault).__name__}: {fault}", err=True)
                if failed:
                    raise SystemExit(1)
            finally:
                os.close(alive)
                os.close(held)

    async def _keep(self, number: int, alive: int, first: asyncio.Event | None = None) -> None:
        """Run a child again and again. Returns where it never became ready, and would not the next time."""
        wait, was_ready = FIRST_WAIT, False
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                child, readable = await self._started(alive)
            except OSError as error:  # no memory, no file descriptors: there may be some again
                if first is not None and not was_ready:
                    raise
                ended = f"process {number + 1} cannot be started: {error.strerror or error}"
            else:
                ready, code = await self._ended(child, readable, first)
                was_ready = was_ready or ready
                ended = f"process {child.pid} ended with {code}"
            if self._ending.is_set() or (first is not None and not was_ready):
                return  # its own sentence says why
            wait = FIRST_WAIT if time.monotonic() - began > LIVED_SECONDS else min(LONGEST_WAIT, wait * 2)
            typer.echo(f"{ended}; it is started again in {wait:g} s", err=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._ending.wait()

    async def _started(self, alive: int) -> tuple[asyncio.subprocess.Process, int]:
        """Start a child; return it with the pipe by which it says that it is ready. Raises OSError."""
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
        except BaseException:
            os.close(readable)
            raise
        finally:
            os.close(writable)
        return child, readable

    async def _ended(
        self, child: asyncio.subprocess.Process, readable: int, first: asyncio.Event | None
    ) -> tuple[bool, int]:
        """Wait until the child has ended; return whether it was ready before, and its code.

        It is told to end when the family is to, also where that was before it began.
        """
        ending = asyncio.create_task(self._end(child))
        try:
            ready = await _told(readable)
            if ready and first is not None:
                first.set()
            return ready, await child.wait()
        except asyncio.CancelledError:  # a second signal: at once
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            raise
        finally:
            ending.cancel()

    async def _end(self, child: asyncio.subprocess.Process) -> None:
        """End the child when the family is to end, by force where it does not."""
        await self._ending.wait()
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, TimeoutError):
                child.send_signal(how)
                async with asyncio.timeout(END_SECONDS):
                    await child.wait()
                    return


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
