"""A TCP proxy that breaks the connection after so many bytes, and a client that tells a whole answer from a torn one.

    async with cutting(port, Cut(answer=17)) as proxied:
        torn = await exchange(proxied, request)

Each proxy serves one connection with one cut, on a port of its own, so that many may be cut at once and nothing has to be
agreed on. What is beyond the cut never reaches the other side. Both ends learn of it at the same moment: with
``abrupt`` by a reset (SO_LINGER of 0 s, RFC 9293 section 3.10.7.1), otherwise by an orderly end.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

#: Seconds that one exchange may last.
PATIENCE = 10.0
_PIECE = 65_536


@dataclass(frozen=True)
class Cut:
    """Where a connection breaks. ``request`` and ``answer`` count bytes let through; None lets all of them through.

    With ``request`` the connection breaks as soon as so many of its bytes are through, whatever is answered: at the
    request's full length the gateway has it whole and finds nobody to answer to.
    """

    request: int | None = None
    answer: int | None = None
    abrupt: bool = False


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer. *size* is its length in bytes, head included."""

    status: int
    headers: dict[str, str]
    body: bytes
    size: int


@asynccontextmanager
async def cutting(port: int, cut: Cut) -> AsyncIterator[int]:
    """Run a proxy before the *port* of this machine that breaks its connection as *cut* says. Gives its own port."""
    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.add(task)
        behind, to_behind = await asyncio.open_connection("127.0.0.1", port)
        ways = [
            asyncio.create_task(_forward(reader, to_behind, cut.request)),
            asyncio.create_task(_forward(behind, writer, cut.answer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, to_behind):
                await _end(end, abrupt=cut.abrupt)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*served)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int | None) -> None:
    """Copy at most *most* bytes. Returns when they are through, or when either side has ended.

    With none to copy it still waits for the first byte: an answer is cut when it is there, and not before.
    """
    left = most
    with suppress(ConnectionError):
        while piece := await reader.read(_PIECE):
            writer.write(piece if left is None else piece[:left])
            await writer.drain()
            if left is not None:
                left -= len(piece)
                if left <= 0:
                    return


async def _end(writer: asyncio.StreamWriter, *, abrupt: bool) -> None:
    if abrupt:
        own = writer.get_extra_info("socket")
        with suppress(OSError):
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()  # what was let through is still handed over
    with suppress(ConnectionError):
        await writer.wait_closed()


async def exchange(port: int, request: bytes) -> Answer | None:
    """Send *request* to this machine's *port*, and return its answer, None where it did not come whole."""
    received = bytearray()
    async with asyncio.timeout(PATIENCE):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            return None
        try:
            writer.write(request)
            while (answer := whole(bytes(received))) is None:
                piece = await reader.read(_PIECE)
                if not piece:
                    return None
                received += piece
            return answer
        except ConnectionError:
            return whole(bytes(received))
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


def whole(received: bytes) -> Answer | None:
    """Return the answer in *received*, None where bytes of it are missing. Its length has to be declared."""
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers["content-length"])
    if len(body) < length:
        return None
    return Answer(int(first.split()[1]), headers, body[:length], len(head) + len(end) + length)


def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """Return a POST of JSON as it goes over the wire; the connection is closed after it."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
