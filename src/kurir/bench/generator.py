"""A load generator that is cheap enough to measure a fast server, and a platform that answers at once.

Both are bare protocols of asyncio that look for no more of HTTP than a status line and a Content-Length: a general HTTP client
or server in Python costs several times what a fast server does, and would be what is measured. The generator counts what it
uses of its own core, so that a run in which it was the bottleneck is told.
"""

import asyncio
import itertools
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, cast

from kurir.bench.processes import PASSWORD

_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_CHAT: Final = re.compile(rb'"chat_id": *"?(-?\d+)')
_NUMBER: Final = re.compile(rb"#(\d{7})")
#: What a generator may use of its core before its figures are doubted.
BUSY: Final = 0.85
#: A run that takes longer hangs, in seconds.
PATIENCE: Final = 300.0


def pin(process: int, core: int) -> None:
    """Keep *process* (0: this one) on one core, where the system can and has more than one."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(process, {core})


def cpu_seconds(process: int) -> float:
    """Return the processor time that *process* has used, all its threads together. Linux only; 0 elsewhere."""
    path = Path(f"/proc/{process}/stat")
    if not path.exists():
        return 0.0
    fields = path.read_text("ascii", "replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def request(port: int, path: str, content: bytes, headers: str = "") -> bytes:
    """Return a POST of *content* as bytes; *headers* are whole lines."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def login(username: str) -> str:
    """Return the lines by which a client of a run says who it is."""
    return f"Auth-username: {username}\r\nAuth-password: {PASSWORD}\r\n"


def sends(
    port: int, username: str, count: int, *, run: str, recipients: int = 2_000, send_at: str = "", first: int = 0
) -> list[bytes]:
    """Return *count* sends of a text to so many chats in turn. Every text is another one, with its number as ``#0000042``."""
    lines, path = login(username), f"/telegram/send/{username}"
    found = []
    for number in range(first, first + count):
        order = number * 7919 % 1_000_003
        text = f"Your order {order} has left our shop and will be with you tomorrow between 9 and 12. Ask for #{number:07}."
        body = {
            "id": f"{run}-{number}",
            "times": 0,
            "timestamp": "2026-01-01T00:00:00Z",
            "recipient": f"tg:{number % recipients + 1}",
            "type": "text",
            "body": {"text": text},
        }
        if send_at:
            body["send_at"] = send_at
        found.append(request(port, path, json.dumps(body).encode(), lines))
    return found


@dataclass
class Load:
    """What a run of the generator saw. *latencies* are in seconds; *busy* is the share of its core that it used."""

    seconds: float = 0.0
    answers: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    busy: float = 0.0

    def percentile(self, share: float) -> float:
        """Return the latency in milliseconds below which *share* of the answers came."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


class _Connection(asyncio.Protocol):
    """One request at a time: when its answer is whole it is counted, and *answered* gives the next one or None."""

    def __init__(self, load: Load, answered: Callable[["_Connection"], None], lost: Callable[[], None]) -> None:
        self._load = load
        self._answered = answered
        self._lost = lost
        self._buffer = b""
        self._sent = 0.0
        self.number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods alone
        self._answered(self)

    def send(self, content: bytes) -> None:
        """Send the next request."""
        self._sent = time.perf_counter()
        self._transport.write(content)

    def close(self) -> None:
        """Send no more."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._buffer, 0, end)
        if length is None:
            raise ValueError("an answer without a Content-Length")
        if len(self._buffer) < end + 4 + int(length[1]):
            return
        self._load.latencies.append(time.perf_counter() - self._sent)
        status = self._buffer[9:12]
        self._buffer = b""
        if status == b"200":
            self._load.answers += 1
        else:
            word = status.decode("ascii", "replace")
            self._load.refused[word] = self._load.refused.get(word, 0) + 1
        self._answered(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._lost()


async def drive(port: int, requests: Iterable[bytes], connections: int) -> Load:
    """Send *requests* over so many connections, one at a time each, until they end."""
    load, waiting, finished = Load(), iter(requests), asyncio.Event()
    left = itertools.count(connections - 1, -1)

    def answered(connection: _Connection) -> None:
        content = next(waiting, None)
        if content is None:
            connection.close()
        else:
            connection.send(content)

    def lost() -> None:
        if next(left) == 0:
            finished.set()

    loop = asyncio.get_running_loop()
    began, used = time.perf_counter(), time.process_time()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(load, answered, lost), "127.0.0.1", port)
    await asyncio.wait_for(finished.wait(), PATIENCE)
    load.seconds = time.perf_counter() - began
    load.busy = (time.process_time() - used) / load.seconds
    return load


async def paced(port: int, requests: Sequence[bytes], rate: float, connections: int) -> tuple[Load, dict[int, float]]:
    """Send *requests* at *rate* a second, whether or not those before are answered, while a connection is free.

    Returns what was seen and, for each request's place, the ``perf_counter`` at which the last byte of its answer came.
    """
    load, heard, finished = Load(), {}, asyncio.Event()
    free: list[_Connection] = []
    late: list[int] = []

    def answered(connection: _Connection) -> None:
        if connection.number:
            heard[connection.number - 1] = time.perf_counter()
            if len(heard) == len(requests):
                finished.set()
        if late:
            begin(connection, late.pop(0))
        else:
            free.append(connection)

    def begin(connection: _Connection, place: int) -> None:
        connection.number = place + 1
        connection.send(requests[place])

    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(load, answered, lambda: None), "127.0.0.1", port)
    began, used = time.perf_counter(), time.process_time()
    for place in range(len(requests)):
        wait = began + place / rate - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        if free:
            begin(free.pop(), place)
        else:
            late.append(place)
    await asyncio.wait_for(finished.wait(), PATIENCE)
    load.seconds = time.perf_counter() - began
    load.busy = (time.process_time() - used) / load.seconds
    for connection in free:
        connection.close()
    return load, heard


class Platform:
    """A Telegram that answers every request at once with success, on a port of this machine, from ``async with`` on.

    *count* requests came so far. With *stamped* it notes for each text's number the ``perf_counter`` of its first byte.
    """

    def __init__(self) -> None:
        self.count = 0
        self.port = 0
        self.stamped: dict[int, float] | None = None
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Caller(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    def answer(self, content: bytes, came: float) -> bytes:
        """Return the body of the answer to a request that *came* at that moment."""
        self.count += 1
        if self.stamped is not None:
            number = _NUMBER.search(content)
            if number is not None:
                self.stamped[int(number[1])] = came
        chat = _CHAT.search(content)
        return b'{"ok":true,"result":{"message_id":%d,"chat":{"id":%s},"date":1}}' % (
            self.count,
            chat[1] if chat else b"0",
        )


class Endpoint(Platform):
    """A client's endpoint, which takes every callback at once."""

    def answer(self, content: bytes, came: float) -> bytes:  # noqa: ARG002 - as of its parent
        """Return an empty body."""
        self.count += 1
        return b""


class _Caller(asyncio.Protocol):
    """One who calls the platform."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._buffer = b""
        self._came = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods alone

    def data_received(self, data: bytes) -> None:
        if not self._buffer:
            self._came = time.perf_counter()
        self._buffer = self._buffer + data if self._buffer else data
        for content in self._whole():
            body = self._platform.answer(content, self._came)
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )

    def _whole(self) -> Iterator[bytes]:
        """Yield the bodies that are whole, and forget them."""
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._buffer, 0, end)
            until = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < until:
                return
            yield self._buffer[end + 4 : until]
            self._buffer = self._buffer[until:]
