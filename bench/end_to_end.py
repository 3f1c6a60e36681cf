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
from kurir.bench.generator import Platform

MESSAGES = 10_000
RECIPIENTS = 2_000


def bodies(port: int, count: int) -> Iterator[bytes]:
    for number in range(count):
        body = {
            "id": f"e2e-{number}",
            "times": 0,
            "timestamp": "2026-01-01T00:00:00Z",
            "recipient": f"tg:{number % RECIPIENTS + 1}",
            "type": "text",
            "body": {"text": f"Your order {number} has left our shop and will be with you tomorrow between 9 and 12."},
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
    async with Platform() as platform:
        with load.gateway(platform.url, core=0) as (port, pid):
            load.pin(1)
            before, began = load.cpu_seconds(pid), time.perf_counter()
            result = await load.drive(port, bodies(port, MESSAGES), 32)
            accepted = time.perf_counter() - began
            while platform.count < MESSAGES or await asyncio.to_thread(pending, port):
                await asyncio.sleep(0.05)
            seconds, cpu = time.perf_counter() - began, load.cpu_seconds(pid) - before
    print(f"{MESSAGES:,} messages to {RECIPIENTS:,} chats; refused {result.refused or 'none'}")
    print(f"accepted after {accepted:.2f} s ({MESSAGES / accepted:,.0f}/s while sending)")
    print(f"all sent and recorded after {seconds:.2f} s")
    print(f"end to end {MESSAGES / seconds:,.0f} messages/s, {cpu / MESSAGES * 1e6:.0f} µs of one core each")
    print(f"platform calls {platform.count:,} ({platform.count / MESSAGES:.3f} per message)")


def main() -> None:
    asyncio.run(measure())


if __name__ == "__main__":
    main()
