"""The HTTP server: uvicorn inside the loop that is already there, with our answer to what is no HTTP at all."""

import asyncio
import contextlib
import socket
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kurir.http import answers
from kurir.http.answers import RequestFailed

#: Seconds that requests in flight get at a shutdown.
GRACE_SECONDS: Final = 10
#: Requests at once beyond which the server answers 503: each costs memory, and waiting longer helps nobody.
MAXIMUM_CONNECTIONS: Final = 4096


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol over httptools, whose answer to a malformed request has the shape of every other error."""

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed as HTTP, and close."""
        body = answers.failure(RequestFailed("invalid_parameters", f"this is not HTTP/1.1: {msg}"), "", envelope=True)
        body = body.replace(b'"status":422', b'"status":400').replace(b'"code":422', b'"code":400')
        head = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: "
            + str(len(body)).encode()
            + b"\r\n\r\n"
        )
        self.transport.write(head + body)
        self.transport.close()


class HttpServer:
    """Serves *app* on *host* and *port* (0: any free one) inside the running loop."""

    def __init__(self, app: Any, host: str, port: int) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end. Known once started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def port(self) -> int:
        """The port. Known once bound."""
        return self._port

    def bind(self) -> None:
        """Take the port. Raises OSError when it is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.create_server((self._host, self._port), family=family, backlog=2048)
        self._port = self._socket.getsockname()[1]

    async def start(self) -> None:
        """Listen, and return when requests are served. Raises OSError when the port is taken."""
        if self._socket is None:
            self.bind()
        assert self._socket is not None  # noqa: S101 - bound above
        config = uvicorn.Config(
            self._app,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAXIMUM_CONNECTIONS,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        self._server = uvicorn.Server(config)
        # _serve and not serve: the signals belong to the process that embeds this server.
        self._task = asyncio.create_task(self._server._serve([self._socket]))  # noqa: SLF001 - there is no public way
        while not self._server.started:
            if self._task.done():
                await self._task
                raise OSError(f"the server did not start on {self.url}")
            await asyncio.sleep(0.002)

    async def stop(self) -> None:
        """Take no more requests, let those in flight finish, and close the socket."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
