"""A TCP proxy that can fall silent: it accepts, takes every byte, and passes nothing on, and closes nothing.

So behaves a network that drops packets behind a device that keeps its sessions, or a machine that hangs: the other side sees
connections that are open and say nothing. What was open when it fell silent stays silent for ever, as a session does of
which packets were lost; what is opened after :meth:`Swallowing.speak` passes.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_PIECE = 65_536


class Swallowing:
    """The proxy. ``port`` is its own; ``opened`` counts the connections that it accepted."""

    def __init__(self, port_behind: int) -> None:
        self._behind = port_behind
        self._silent = asyncio.Event()
        self._generation = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.opened = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def swallow(self) -> None:
        """Pass nothing on any more, of open connections and of new ones."""
        self._silent.set()

    def speak(self) -> None:
        """Let new connections pass. Those that are open stay silent."""
        self._generation += 1
        self._silent.clear()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.opened += 1
        writers = [writer]
        ways: list[asyncio.Task[None]] = []
        mine = self._generation
        try:
            if self._silent.is_set():
                await self._drain(reader)
                return
            with suppress(OSError):
                behind, to_behind = await asyncio.open_connection("127.0.0.1", self._behind)
                writers.append(to_behind)
                ways = [
                    asyncio.create_task(self._pass_on(reader, to_behind, mine)),
                    asyncio.create_task(self._pass_on(behind, writer, mine)),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for one in writers:
                one.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mine: int) -> None:
        with suppress(OSError):
            while piece := await reader.read(_PIECE):
                if self._silent.is_set() or mine != self._generation:
                    await self._drain(reader)
                    return
                writer.write(piece)
                await writer.drain()
            if self._silent.is_set() or mine != self._generation:
                await asyncio.Event().wait()  # an end is not passed on either

    async def _drain(self, reader: asyncio.StreamReader) -> None:
        """Take all that comes. When this side ends the connection, the proxy does too: only the other one must not see it."""
        with suppress(OSError):
            while await reader.read(_PIECE):
                pass


@asynccontextmanager
async def swallowing(port: int) -> AsyncIterator[Swallowing]:
    """Run such a proxy before the *port* of this machine."""
    proxy = Swallowing(port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
