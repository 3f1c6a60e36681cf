"""The HTTP server: uvicorn inside the loop that is already there, with our answer to what is no HTTP at all."""

import asyncio
import contextlib
import socket
from typing import Any, Final

import httptools
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kurir import counting
from kurir.http import answers, edge
from kurir.http.answers import RequestFailed
from kurir.http.whole import Find, Take, WholeRequest

#: Seconds that requests in flight get at a shutdown.
GRACE_SECONDS: Final = 10
#: Requests at once beyond which the server answers 503: each costs memory, and waiting longer helps nobody.
MAXIMUM_CONNECTIONS: Final = 4096
#: How long a request may take to arrive, head and body. A body that is waited for is given up a little earlier.
REQUEST_SECONDS: Final = 20.0
#: The largest head of a request that arrives in several pieces, in bytes; one piece has at most 256 KiB.
MAXIMUM_HEAD: Final = 64 * 1024

#: While an answer waits for its reader it is looked so often, in seconds, whether so much of it was taken, in bytes: a reader
#: that takes less is cut off, or an answer of two megabytes would lie in memory for as long as somebody likes.
STALL_SECONDS: Final = 20.0
LEAST_TAKEN: Final = 32 * 1024

#: uvicorn does what is due once a second at every tenth tick.
TICK_SECONDS: Final = 0.1
TICKS: Final = 864_000


async def _overloaded(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
    failed = RequestFailed("overloaded", "too many connections are open", headers={"Retry-After": "1"})
    await edge.answer_failure(scope, send, failed, "")


_OVERLOADED: Final = edge.RequestIds(_overloaded)


#: The headers, and tokens of ``Connection``, by which a client offers another protocol (RFC 9110, 7.8; RFC 7540, 3.2.1).
_OFFER: Final = frozenset({b"upgrade", b"http2-settings"})


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol over httptools, with what it lacks against whoever only wants to keep it busy.

    A request has to arrive within a time, its head has a size, and what is no request, or one too many, is answered in the
    shape of every other error. And one that came whole may go a shorter way (:mod:`kurir.http.whole`).
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._find: Find | None = getattr(self.config.loaded_app, "whole", None)
        self._take: Take | None = None  # set while a request may still go the shorter way
        self._pieces: list[bytes] = []
        self._idle_since: float | None = None
        self._arriving = True
        self._in_head = True
        self._head_size = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        if getattr(self.server_state, "leaving", False):
            # It was taken from the queue of the system just before that was closed: nobody goes over the connections again.
            transport.close()
            return
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._disarm()
        self._taken()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to look whether the reader takes what is written."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """The reader takes what is written."""
        super().resume_writing()
        self._taken()

    def _watch(self) -> None:
        if self._stall is None:
            self._stall = self.loop.call_later(STALL_SECONDS, self._look, self.transport.get_write_buffer_size())

    def _look(self, size: int) -> None:
        self._stall = None
        left = self.transport.get_write_buffer_size()
        if left == 0:
            return
        if size - left < min(size, LEAST_TAKEN):
            self.transport.abort()  # to close would be to wait until it is taken
        else:
            self._watch()

    def _taken(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _end(self) -> None:
        """Close, and do not wait for ever for who does not take the rest."""
        if self.transport.get_write_buffer_size():
            self._watch()
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse *data*; what is still incomplete afterwards has a deadline, and its head a size."""
        self._parse(data)
        if self._take is not None and not self.transport.is_closing():
            self._go_the_usual_way()  # the rest of it comes later
        if not self._arriving:
            self._disarm()
            return
        if self._in_head:
            self._head_size += len(data)
            if self._head_size > MAXIMUM_HEAD and not self.transport.is_closing():
                self.send_400_response(f"the request's head has more than {MAXIMUM_HEAD // 1024} KiB")
        if self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self._close)

    def _parse(self, data: bytes) -> None:
        """Parse *data*; an offer to speak another protocol is passed over, as RFC 9110 (7.8) lets a server do.

        The parser stops behind the head of a request with ``Upgrade``, and uvicorn drops its body: Java's HttpClient, which
        offers h2c with every request by default, could send nothing. So such a request is parsed again without the offer.
        """
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as stopped:
                if self.parser.get_method() == b"CONNECT":
                    self.send_400_response("CONNECT is for proxies")
                    return
                data = self._head_without_offer() + data[stopped.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            except httptools.HttpParserError:
                self.send_400_response("it cannot be parsed")
                return
            else:
                return

    def _should_upgrade(self) -> bool:
        """Let uvicorn wait with a request that offers another protocol, until it is parsed without the offer."""
        return True

    def _head_without_offer(self) -> bytes:
        head = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token for token in value.split(b",") if token.strip().lower() not in _OFFER]
                if tokens:
                    head.append(b"connection: " + b",".join(tokens))
            elif name not in _OFFER:
                head.append(name + b": " + value)
        return b"\r\n".join([*head, b"", b""])

    def on_message_begin(self) -> None:
        """A request begins. Its scope is made when it goes the usual way."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._take = self._idle_since = None
        self._arriving = self._in_head = True
        self._head_size = 0

    def on_headers_complete(self) -> None:
        """Start the request, unless it may turn out to be here whole."""
        self._in_head = False
        self._take = self._shorter_way()
        if self._take is None:
            self._start()

    def on_body(self, body: bytes) -> None:
        """A piece of the body is here."""
        if self._take is None:
            super().on_body(body)
        else:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        """The request is here, whole."""
        self._arriving = False
        take = self._take
        if take is None:
            super().on_message_complete()
            return
        before, pieces = self.cycle, self._pieces
        request = WholeRequest(self, self.url, self.headers, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        self.cycle = request  # type: ignore[assignment] # it has what this class looks for in a cycle
        if take(request):
            self._take, self._pieces = None, []
        else:
            self.cycle = before
            self._go_the_usual_way()
            super().on_message_complete()

    def _shorter_way(self) -> Take | None:
        """Return what may take the request if it is here whole. Anything unusual about it goes the usual way."""
        parser = self.parser
        if self._find is None or parser.get_method() != b"POST":
            return None
        take = self._find(self.url)
        plain = (
            take is not None
            and (self.cycle is None or self.cycle.response_complete)
            and not self.expect_100_continue
            and not parser.should_upgrade()
            and parser.should_keep_alive()
            and parser.get_http_version() == "1.1"
            and not self.flow.write_paused
            and not self._has_too_many()
        )
        return take if plain else None

    def _go_the_usual_way(self) -> None:
        pieces = self._pieces
        self._take, self._pieces = None, []
        self._start()
        for piece in pieces:
            super().on_body(piece)

    def _start(self) -> None:
        """Start the request, or refuse it where there are too many connections."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        app = self.app
        if self._has_too_many():
            self.app = _OVERLOADED
        try:
            super().on_headers_complete()
        finally:
            self.app = app

    def _has_too_many(self) -> bool:
        return len(self.connections) > MAXIMUM_CONNECTIONS or len(self.tasks) >= MAXIMUM_CONNECTIONS

    def reply(self, head: bytes, body: bytes, *, last: bool) -> None:
        """Write the answer to a request that came whole; with *last* close behind it."""
        if self.transport.is_closing():
            return
        common = b"".join([b"%b: %b\r\n" % each for each in self.server_state.default_headers])
        self.transport.write(b"".join((head, common, b"\r\n", body)))
        if last:
            self._end()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one. The wait has one timer, which looks when it runs out."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._wait_idly(self.timeout_keep_alive)

    def _wait_idly(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close, if the connection was idle for so long; a request that is under way begins the wait anew at its end."""
        self.timeout_keep_alive_task = None
        if self._idle_since is None or self.transport.is_closing():
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._wait_idly(left)
        else:
            self._end()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed as HTTP, and close."""
        failed = RequestFailed("malformed_request", f"this is no HTTP/1.1 request: {msg}")
        counting.REFUSED.add(failed.code)
        body = answers.failure(failed, "", envelope=True)
        head = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: "
            + str(len(body)).encode()
            + b"\r\n\r\n"
        )
        self.transport.write(head + body)
        self._end()

    def _close(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self._end()

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """uvicorn, but it leaves when it is told to, and not at its next tick."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Begin to shut down."""
        self.should_exit = True
        self.server_state.leaving = True  # type: ignore[attr-defined] # read by Protocol
        self._leaving.set()

    async def main_loop(self) -> None:
        """Tick until it is told to leave."""
        ticks = 0
        while not await self.on_tick(ticks):
            ticks = (ticks + 1) % TICKS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._leaving.wait()


class HttpServer:
    """Serves *app* on *host* and *port* (0: any free one) inside the running loop.

    *shared*: other processes may take the port too.
    """

    def __init__(self, app: Any, host: str, port: int, *, shared: bool = False) -> None:
        self._shared = shared
        self._app = app
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

    @property
    def port(self) -> int:
        """The port. Known once bound."""
        return self._port

    def bind(self) -> None:
        """Take the port. Raises OSError when it is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.create_server(
            (self._host, self._port), family=family, backlog=2048, reuse_port=self._shared
        )
        # asyncio leaves a socket alone that was made without a protocol number, and Nagle's algorithm then holds the second
        # write of an answer back until the first is acknowledged, for 40 ms. What is accepted inherits it (tcp(7)).
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
            timeout_keep_alive=75,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        self._server = _Server(config)
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
            self._server.leave()
            await self._task
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
