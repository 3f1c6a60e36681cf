"""Runs a sandbox with uvicorn: inside a loop that is already there, or as a command of its own."""

import asyncio
import contextlib
import socket
import sys
from typing import Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kurir.sandbox.app import create_app
from kurir.sandbox.config import SandboxConfig
from kurir.sandbox.effects import CONNECTION
from kurir.sandbox.state import Sandbox

#: Seconds that requests in flight get at a shutdown.
GRACE_SECONDS = 3
#: uvicorn does what is due once a second at every tenth tick.
TICK_SECONDS = 0.1
TICKS = 864_000


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, but a request knows its connection, so that a fault can cut it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {CONNECTION: self.transport}  # type: ignore[dict-item]  # an extension of our own


class _Server(uvicorn.Server):
    """uvicorn, but it ends the sandbox's event streams before it waits for open connections, not after."""

    def __init__(self, config: uvicorn.Config, sandbox: Sandbox) -> None:
        super().__init__(config)
        self._sandbox = sandbox
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Begin to shut down."""
        self.should_exit = True
        self._leaving.set()

    async def main_loop(self) -> None:
        """Tick until it is told to leave, and not to the next tick."""
        ticks = 0
        while not await self.on_tick(ticks):
            ticks = (ticks + 1) % TICKS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._leaving.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._sandbox.stop_waiting()
        await super().shutdown(sockets)


def _server(sandbox: Sandbox, host: str, port: int, log_level: str) -> _Server:
    config = uvicorn.Config(
        create_app(sandbox.config, sandbox=sandbox),
        host=host,
        port=port,
        http=_Protocol,
        log_level=log_level,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ws="none",
    )
    return _Server(config, sandbox)


class SandboxServer:
    """A sandbox that listens on *host* and *port* (0: any free one) inside the running loop."""

    def __init__(self, config: SandboxConfig, host: str = "127.0.0.1", port: int = 0) -> None:
        self.sandbox = Sandbox(config)
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end. Known once started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Listen, and return when requests are served. Raises OSError when the port is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.create_server((self._host, self._port), family=family, backlog=1024)
        # asyncio leaves a socket alone that was made without a protocol number, and Nagle's algorithm then holds an
        # answer back for 40 ms. What is accepted inherits it (tcp(7)).
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._port = self._socket.getsockname()[1]
        self.sandbox.url = self.url
        self._server = _server(self.sandbox, self._host, self._port, "warning")
        # _serve and not serve: the signals belong to the process that embeds this server.
        self._task = asyncio.create_task(self._server._serve([self._socket]))  # noqa: SLF001 - there is no public way
        while not self._server.started:
            if self._task.done():
                await self._task
                raise OSError(f"The sandbox did not start on {self.url}.")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """End the streams, let requests in flight finish, and close the socket."""
        if self._server is not None and self._task is not None:
            self._server.leave()
            await self._task
        if self._socket is not None:
            self._socket.close()
        await self.sandbox.close()
        self._server = self._task = self._socket = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def run(config: SandboxConfig, host: str = "127.0.0.1", port: int = 8090, log_level: str = "info") -> None:
    """Serve a sandbox until SIGINT or SIGTERM; exits the process with 1 when it cannot start."""
    server = _server(Sandbox(config), host, port, log_level)
    server.run()
    if not server.started:
        sys.exit(1)
