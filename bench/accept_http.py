"""Accepted sends a second over HTTP: full validation, authentication, durable commit (synchronous=FULL), one server core.

``./dev bench accept_http``. The gateway runs on core 0, the generator on core 1; the messages are scheduled for later, so
that nothing but the accept is measured. It prints the rate, the latency, and in the same run the rate with one connection,
where every accept pays its own commit.
"""

import asyncio
from collections.abc import Iterator

import load

MESSAGES = 20_000


def bodies(port: int, count: int, run: str) -> Iterator[bytes]:
    for number in range(count):
        body = {
            "id": f"{run}-{number}",
            "times": 0,
            "timestamp": "2026-01-01T00:00:00Z",
            "recipient": f"tg:{number % 5000 + 1}",
            "type": "text",
            "send_at": "2099-01-01T00:00:00Z",
            "body": {
                "text": f"Your order {number} has left our shop and will be with you tomorrow between 9 and 12. " * 4
            },
        }
        yield load.request(port, "/telegram/send/bench", body)


async def measure() -> None:
    with load.gateway("http://127.0.0.1:9", core=0) as (port, pid):
        load.pin(1)
        await load.drive(port, bodies(port, 500, "warm"), 8)
        base = 0.0
        print(f"{'connections':>12} {'accepts/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'µs CPU each':>12}")
        for connections, count in ((1, 3_000), (16, MESSAGES), (64, MESSAGES), (256, MESSAGES)):
            before = load.cpu_seconds(pid)
            result = await load.drive(port, bodies(port, count, f"c{connections}"), connections)
            cpu = load.cpu_seconds(pid) - before
            rate = result.answers / result.seconds
            base = base or rate
            print(
                f"{connections:>12} {rate:>10,.0f} {result.percentile(0.5):>8.2f} {result.percentile(0.99):>8.2f}"
                f" {cpu / result.answers * 1e6:>12.0f}   {rate / base:.1f} × one connection"
            )
            if result.refused:
                print(f"             refused: {result.refused}")


def main() -> None:
    asyncio.run(measure())


if __name__ == "__main__":
    main()
