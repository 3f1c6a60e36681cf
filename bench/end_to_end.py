"""Messages a second from the client's request to the platform's answer, the gateway on one core.

``./dev bench end_to_end``. The gateway runs on core 0; the generator and a platform that answers at once (Telegram's
success, over real HTTP) share core 1. Recipients are 2,000 different chats. It prints how many messages a second were
accepted, sent and recorded, beside the time that the same messages took to be accepted alone.
"""

import asyncio
import json
import time
import urllib.request
from collections.abc import Iterator

import load

MESSAGES = 10_000
RECIPIENTS = 2_000


class Platform(asyncio.Protocol):
    """Answers every request with Telegram's success; counts them."""

    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            place = head.lower().index(b"content-length: ") + 16
            length = int(head[place:].split(b"\r\n", 1)[0])
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            Platform.count += 1
            chat = json.loads(rest[:length])["chat_id"]
            body = json.dumps(
                {"ok": True, "result": {"message_id": Platform.count, "chat": {"id": chat}, "date": 1}}
            ).encode()
            head_out = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self._transport.write(head_out.encode() + body)


def bodies(port: int, count: int) -> Iterator[bytes]:
    for number in range(count):
        body = {
            "id": f"e2e-{number}",
            "times": 0,
            "timestamp": "2026-01-01T00:00:00Z",
            "recipient": f"tg:{number % RECIPIENTS + 1}",
            "type": "text",
            "body": {"text": "Your order 1042 has left our shop and will be with you tomorrow between 9 and 12."},
        }
        yield load.request(port, "/telegram/send/bench", body)


def pending(port: int) -> int:
    """Return how many messages are not sent yet, up to one page of them."""
    query = urllib.request.Request(f"http://127.0.0.1:{port}/v1/messages?status=0&limit=1")
    query.add_header("Auth-username", "bench")
    query.add_header("Auth-password", load.PASSWORD)
    with urllib.request.urlopen(query) as answer:
        return len(json.load(answer)["data"])


async def measure() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Platform, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with load.gateway(base, core=0) as (port, pid):
        load.pin(1)
        before, began = load.cpu_seconds(pid), time.perf_counter()
        result = await load.drive(port, bodies(port, MESSAGES), 32)
        accepted = time.perf_counter() - began
        while Platform.count < MESSAGES or await asyncio.to_thread(pending, port):
            await asyncio.sleep(0.05)
        seconds, cpu = time.perf_counter() - began, load.cpu_seconds(pid) - before
    server.close()
    print(f"{MESSAGES:,} messages to {RECIPIENTS:,} chats; refused {result.refused or 'none'}")
    print(f"accepted after {accepted:.2f} s ({MESSAGES / accepted:,.0f}/s while sending)")
    print(f"all sent and recorded after {seconds:.2f} s")
    print(f"end to end {MESSAGES / seconds:,.0f} messages/s, {cpu / MESSAGES * 1e6:.0f} µs of one core each")
    print(f"platform calls {Platform.count:,} ({Platform.count / MESSAGES:.3f} per message)")


def main() -> None:
    asyncio.run(measure())


if __name__ == "__main__":
    main()
