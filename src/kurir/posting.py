"""Posts to platforms and to clients' endpoints over connections that stay open: HTTP/1.1, one call at a time on each.

aiohttp makes the connections: names, both families of addresses, TLS. Then it is not asked any more: its client serves
everybody, and what it does for each call (a request and a response object, cookies, traces, a parser, three timers) costs
several times what a call of ours needs. Here a call is one write of bytes that are ready, and httptools, the parser of our own
server, reads the answer.

What came of a call is told by exceptions, aiohttp's own where it has one. Whether a byte was sent is told by who raises:
:meth:`Poster.connected` sends nothing, :meth:`Connection.post` may have.
"""

import asyncio
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import aiohttp
import httptools
from yarl import URL

from kurir.channels.base import Answer

#: The head of an answer, in bytes, at most.
MAXIMUM_HEAD: Final = 64 * 1024
#: Statuses that only say that there will be an answer.
_INFORMATIONAL: Final = range(100, 200)


class UnreadableAnswer(Exception):
    """What came is no HTTP, or has a head or an encoding that nobody needs."""


class AnswerTooLong(Exception):
    """The answer has more bytes than were asked for."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL as it is called: where the connection goes to, and the first lines of a post to it."""

    origin: URL
    head: bytes


#: What every request says, unless the caller says it in another way.
_SAID: Final = {
    "user-agent": "User-Agent: kurir",
    "accept": "Accept: */*",
    "accept-encoding": "Accept-Encoding: identity",
}


@lru_cache(maxsize=1024)
def target(url: str, own: frozenset[str] = frozenset()) -> Target:
    """Return *url* as it is called. Raises ValueError where it is no plain http or https URL.

    *own* are the names, in lower case, of headers that the caller gives: none of these is said for it.

    An account calls a handful of URLs, so that they are read once; where they are more, they are read again.
    """
    parsed = URL(url)
    if parsed.scheme not in ("http", "https"):
        raise aiohttp.NonHttpUrlClientError(parsed)
    if not parsed.raw_host:
        raise aiohttp.InvalidUrlClientError(parsed)
    if parsed.raw_user is not None or parsed.raw_password is not None:
        raise ValueError("it holds a user name")
    host = parsed.host_port_subcomponent
    said = (line for name, line in _SAID.items() if name not in own)
    lines = (f"POST {parsed.raw_path_qs} HTTP/1.1", f"Host: {host}", *said)
    return Target(parsed.origin(), "".join(f"{line}\r\n" for line in lines).encode())


def request(to: Target, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """Return a whole request. Raises ValueError where a header would be more than one."""
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    lines.append(f"Content-Length: {len(body)}\r\n\r\n")
    text = "".join(lines)
    if text.count("\n") != len(lines) + 1 or text.count("\r") != len(lines) + 1 or "\0" in text:
        raise ValueError("a line break or a NUL in a header")
    return to.head + text.encode() + body


class Poster:
    """The connections to those who are called. Made and closed inside the running loop.

    *connector* makes them, aiohttp's own where none is given.

    A connection that nobody used for *idle_seconds* is closed. To connect may take *connect_seconds*, and of a call so much
    time may pass without a byte of its answer as *read_seconds* says.
    """

    def __init__(
        self,
        *,
        connect_seconds: float,
        idle_seconds: float,
        read_seconds: float,
        connector: aiohttp.TCPConnector | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connector = connector or aiohttp.TCPConnector(limit=0, ttl_dns_cache=30)
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_seconds)
        self._idle: dict[URL, list[Connection]] = {}
        self.idle_seconds = idle_seconds
        self.read_seconds = read_seconds

    async def close(self) -> None:
        """Close every connection."""
        self._idle.clear()
        await self._connector.close()

    async def connected(self, origin: URL) -> "Connection":
        """Return a connection to *origin* that nobody else uses. Nothing is sent over it yet.

        Raises what aiohttp raises where none can be made.
        """
        connection = self.idle(origin)
        if connection is not None:
            return connection
        # What of a request aiohttp has to know to connect; it is not sent.
        wanted = aiohttp.ClientRequest("POST", origin, loop=self._loop)
        try:
            made = await self._connector.connect(wanted, traces=[], timeout=self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {origin}") from error
        return Connection(self, origin, made, self._loop)

    def idle(self, origin: URL) -> "Connection | None":
        """Return a connection to *origin* that is there already, None where there is none."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()  # the one that was used last: the others grow old, and are closed
            if connection.usable():
                return connection
        return None

    def put_back(self, connection: "Connection") -> None:
        """Keep *connection* for the next call."""
        self._idle.setdefault(connection.origin, []).append(connection)

    def forget(self, connection: "Connection") -> None:
        """*connection* is gone."""
        idle = self._idle.get(connection.origin, [])
        if connection in idle:
            idle.remove(connection)
        if not idle:
            self._idle.pop(connection.origin, None)


class Connection(asyncio.Protocol):
    """One connection. It has one timer, which is late rather than set anew for each call: it looks what is due then."""

    def __init__(
        self, poster: Poster, origin: URL, made: aiohttp.connector.Connection, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.origin = origin
        self._poster = poster
        self._loop = loop
        handler, transport = made.protocol, made.transport
        if handler is None or transport is None:
            raise aiohttp.ServerDisconnectedError
        self._made, self._handler, self._transport = made, handler, transport
        self._waiter: asyncio.Future[Answer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0
        self._idle_until = self._ends_at = self._read_by = 0.0
        self._most = 0
        self._decoded = True
        self._begin_answer()
        self._transport.set_protocol(self)

    def usable(self) -> bool:
        """Return whether a call may be made over it."""
        return self._loop.time() < self._idle_until and not self._transport.is_closing()

    async def post(self, request: bytes, *, seconds: float, most: int, decoded: bool = True) -> Answer:
        """Send *request* and return its answer, of at most *most* bytes, within so many *seconds*.

        An encoded body comes *decoded*, or as it is. Raises AnswerTooLong, UnreadableAnswer, TimeoutError and aiohttp's
        ClientError. Then the connection is closed, and :meth:`begun` tells how far the answer had come.
        """
        self._decoded = decoded
        now = self._loop.time()
        self._ends_at, self._read_by = now + seconds, now + self._poster.read_seconds
        self._most = most
        self._begin_answer()
        waiter: asyncio.Future[Answer] = self._loop.create_future()
        self._waiter = waiter
        self._watch(min(self._ends_at, self._read_by))
        self._transport.write(request)
        try:
            return await waiter
        except BaseException:
            self._waiter = None
            self._transport.abort()
            raise
        finally:
            del waiter  # else its error, the error's traceback and this frame would hold each other, and what was read

    def begun(self) -> Answer | None:
        """Return the answer as far as it came, None where its head never did, and forget it."""
        if not self._headed:
            return None
        answer = Answer(self._status, self._named(), b"".join(self._pieces)[: self._most])
        self._pieces.clear()
        return answer

    # --- what comes ---------------------------------------------------------------------------------------------------

    def _begin_answer(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )  # as aiohttp does: platforms are taken as they are
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._size = 0
        self._status = self._head_size = 0
        self._headed = self._complete = self._spoilt = False

    def data_received(self, data: bytes) -> None:
        """Read on in the answer."""
        waiter = self._waiter
        if waiter is None:  # nothing was asked
            self._transport.abort()
            return
        self._read_by = self._loop.time() + self._poster.read_seconds
        if not self._headed:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                self._fail(UnreadableAnswer(str(error)))
                return
            self._spoilt = True
        if self._complete:
            self._deliver(keep=not self._spoilt)
        elif self._size > self._most:
            self._fail(AnswerTooLong())
        elif not self._headed and self._head_size > MAXIMUM_HEAD:
            self._fail(UnreadableAnswer("its head is too long"))

    def on_message_begin(self) -> None:
        """Note where more comes than was asked for."""
        if self._complete:
            self._spoilt = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        if not self._complete:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Note the status, as long as the parser knows it."""
        if not self._complete:
            self._headed = True
            self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        if not self._complete and self._size <= self._most:
            self._size += len(body)
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        """Note that the answer is whole, unless it only says that there will be one."""
        if self._complete:
            return
        if self._status in _INFORMATIONAL:
            self._headers.clear()
            self._headed = False
            return
        self._complete = True
        self._spoilt = not self._parser.should_keep_alive()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who waits. An answer without a length ends with its connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiter is not None:
            names = {name.lower() for name, _ in self._headers}
            if self._headed and error is None and not names & {b"content-length", b"transfer-encoding"}:
                self._deliver(keep=False)
            elif self._headed:
                self._fail(aiohttp.ClientPayloadError("Response payload is not completed"))
            elif isinstance(error, OSError):
                self._fail(aiohttp.ClientOSError(*error.args))
            else:
                self._fail(aiohttp.ServerDisconnectedError())
        self._poster.forget(self)
        self._handler.connection_lost(error)
        self._made.close()
        # It holds this connection as this holds it: both, with what they read, would wait for the garbage collector.
        del self._parser

    def _deliver(self, *, keep: bool) -> None:
        try:
            answer = self._whole()
        except (AnswerTooLong, UnreadableAnswer) as error:
            self._fail(error)
            return
        waiter, self._waiter = self._waiter, None
        if keep and not self._transport.is_closing():
            self._idle_until = self._loop.time() + self._poster.idle_seconds
            self._watch(self._idle_until)
            self._poster.put_back(self)
        else:
            self._transport.close()
        if waiter is not None and not waiter.done():
            waiter.set_result(answer)

    def _whole(self) -> Answer:
        if self._size > self._most:
            raise AnswerTooLong
        headers = self._named()
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        encoding = headers.get("content-encoding") if self._decoded else None
        return Answer(self._status, headers, body if encoding is None else _plain(body, encoding, self._most))

    def _named(self) -> dict[str, str]:
        return {name.decode("latin-1").lower(): _text(value) for name, value in self._headers}

    def _fail(self, error: Exception) -> None:
        waiter, self._waiter = self._waiter, None
        self._transport.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    # --- time ---------------------------------------------------------------------------------------------------------

    def _watch(self, moment: float) -> None:
        """See to it that the timer fires no later than *moment*."""
        if self._timer is not None:
            if self._fires_at <= moment:
                return
            self._timer.cancel()
        self._fires_at = moment
        self._timer = self._loop.call_at(moment, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._waiter is None:
            if now >= self._idle_until:
                self._transport.close()
            else:
                self._watch(self._idle_until)
        elif now >= self._ends_at:
            self._fail(TimeoutError())
        elif now >= self._read_by:
            self._fail(aiohttp.SocketTimeoutError("Timeout on reading data from socket"))
        else:
            self._watch(min(self._ends_at, self._read_by))


def _text(value: bytes) -> str:
    """Return the value of a header as text that can be stored, whatever bytes it came in."""
    try:
        return value.decode().strip()
    except UnicodeDecodeError:
        return value.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode().strip()


def _plain(body: bytes, encoding: str, most: int) -> bytes:
    """Return *body* without the encoding that nobody asked for. Raises UnreadableAnswer or AnswerTooLong."""
    kind = encoding.strip().lower()
    if kind in ("", "identity") or not body:
        return body
    if kind not in ("gzip", "x-gzip", "deflate"):
        raise UnreadableAnswer(f"its encoding is {kind[:20]}")
    raw = kind == "deflate" and (body[0] & 0x0F) != 8  # without the head of zlib, as some servers understand the word
    reader = zlib.decompressobj(-zlib.MAX_WBITS if raw else zlib.MAX_WBITS | 32)
    try:
        plain = reader.decompress(body, most + 1)
    except zlib.error as error:
        raise UnreadableAnswer(f"its encoding is broken: {error}") from error
    if len(plain) > most:
        raise AnswerTooLong
    if not reader.eof:
        raise UnreadableAnswer("its encoding is cut")
    return plain
