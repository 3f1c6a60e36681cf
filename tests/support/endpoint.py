"""A client's callback endpoint that records what it gets, and misbehaves as it is told.

async with recording() as hook:
    hook.modes = [Mode.HANG, Mode.FAIL]   # the next two calls; then it is well again
    ...
    await hook.until(3)
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from standardwebhooks.webhooks import Webhook


class Mode(StrEnum):
    """How a call is answered."""

    WELL = "200"
    FAIL = "500"
    REFUSE = "400"
    GONE = "410"
    THROTTLE = "429"
    HANG = "hang"
    DRIP_HEAD = "drip head"
    DRIP_BODY = "drip body"
    ENDLESS_HEAD = "endless head"
    FLOOD = "1 GiB"
    REDIRECT = "redirect"
    CUT = "cut"
    GARBAGE = "garbage"


@dataclass
class Received:
    """A call as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    mode: Mode

    def verified(self, secret: str) -> Any:
        """Return the body as the Standard Webhooks library reads it, or raise its error."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass
class RecordingEndpoint:
    """``modes`` are those of the next calls, ``mode`` that of all later ones; ``location`` is where a redirect leads."""

    mode: Mode = Mode.WELL
    modes: list[Mode] = field(default_factory=list)
    location: str = ""
    received: list[Received] = field(default_factory=list)
    flooded: int = 0
    port: int = 0
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def until(self, count: int, seconds: float = 20.0) -> list[Received]:
        """Wait until *count* calls have arrived, and return them all."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: len(self.received) >= count)
        return list(self.received)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        mode = self.modes.pop(0) if self.modes else self.mode
        async with self._news:
            self.received.append(Received(head[0].split()[1], headers, body, mode))
            self._news.notify_all()
        return await self._answer(mode, writer)

    async def _answer(self, mode: Mode, writer: asyncio.StreamWriter) -> bool:
        match mode:
            case Mode.HANG:
                await asyncio.sleep(3600)
            case Mode.CUT:
                return False
            case Mode.GARBAGE:
                writer.write(b"\x00\xff nothing that HTTP knows\r\n\r\n")
                return False
            case Mode.DRIP_HEAD:
                for sign in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Slow: " + b"x" * 10_000:
                    writer.write(bytes([sign]))
                    await writer.drain()
                    await asyncio.sleep(0.05)
            case Mode.ENDLESS_HEAD:
                writer.write(b"HTTP/1.1 200 OK\r\n")
                while True:
                    writer.write(b"X-More: " + b"y" * 4000 + b"\r\n")
                    self.flooded += 4010
                    await writer.drain()
            case Mode.DRIP_BODY:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                for _ in range(100_000):
                    writer.write(b".")
                    await writer.drain()
                    await asyncio.sleep(0.05)
            case Mode.FLOOD:
                size = 1024 * 1024 * 1024
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                while self.flooded < size:
                    writer.write(b"z" * 65_536)
                    await writer.drain()
                    self.flooded += 65_536
            case Mode.REDIRECT:
                writer.write(
                    b"HTTP/1.1 307 Over There\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % self.location.encode()
                )
            case Mode.THROTTLE:
                writer.write(b"HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
            case _:
                text = f"answered {mode.value}".encode()
                writer.write(b"HTTP/1.1 %s So\r\nContent-Length: %d\r\n\r\n" % (mode.value.encode(), len(text)) + text)
        await writer.drain()
        return True


@asynccontextmanager
async def recording(mode: Mode = Mode.WELL) -> AsyncIterator[RecordingEndpoint]:
    """Run an endpoint on a free port of loopback."""
    endpoint = RecordingEndpoint(mode)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(endpoint.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    endpoint.port = server.sockets[0].getsockname()[1]
    try:
        yield endpoint
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
