"""How many messages a second SqliteStore.accept makes durable, by the number of callers.

    python bench/accept_store.py [--accepts 30000] [--folder DIR] [--bytes 600] [--synchronous FULL]

Each row is one run: so many callers, each of them accepting one message after the other on one event loop, with bodies
of 600 bytes and ids of their own, made before the clock starts. The folder decides what is measured: give one on the
disk that the database will be on (the default is the folder for temporary files). ``cpu`` is the processor time for one
accept, of the loop and the writing thread together; on a busy machine it is the steadier figure. The last line compares
batches with one commit a message: the same store with a batch of one. What else runs on the machine shows in the load
average.
"""

import argparse
import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kurir.clock import uuid7
from kurir.domain.message import Priority
from kurir.store.base import NewMessage
from kurir.store.sqlite import SqliteStore, writer

CALLERS = (1, 16, 64, 256)


@dataclass(frozen=True)
class Row:
    """One run. Times in seconds."""

    callers: int
    accepts: int
    seconds: float
    cpu: float
    latencies: list[float]

    @property
    def rate(self) -> float:
        return self.accepts / self.seconds

    def quantile(self, share: float) -> float:
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))]

    def __str__(self) -> str:
        p50, p99 = (self.quantile(share) * 1e3 for share in (0.5, 0.99))
        cpu = self.cpu / self.accepts * 1e6
        return f"{self.callers:>7} {self.rate:>11,.0f} {p50:>9.2f} {p99:>9.2f} {cpu:>8.1f}"


def message(number: int, body: bytes) -> NewMessage:
    now = datetime.now(UTC)
    recipient = str(628_100_000_000 + number * 7919 % 100_003)
    return NewMessage(
        tid=uuid7(),
        client_id="acme",
        channel="whatsapp",
        account_id="acme-wa",
        message_id=uuid7(),
        recipient=recipient,
        lane=recipient,
        type="text",
        body=body,
        fingerprint=b"\x01" * 32,
        fingerprint_version=1,
        losses=(),
        priority=Priority.NORMAL,
        accepted_at=now,
        due_at=now,
        expires_at=now + timedelta(days=1),
    )


async def run(callers: int, accepts: int, options: argparse.Namespace) -> Row:
    """Let *callers* share so many accepts on a database of their own."""
    body = os.urandom(options.bytes)
    messages = iter([message(number, body) for number in range(accepts)])
    latencies: list[float] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        store = SqliteStore(Path(place) / "kurir.db", synchronous=options.synchronous)
        await store.open()
        began, cpu = time.perf_counter(), time.process_time()

        async def call() -> None:
            for each in messages:
                now = time.perf_counter()
                await store.accept(each)
                latencies.append(time.perf_counter() - now)

        await asyncio.gather(*(call() for _ in range(callers)))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        await store.close()
    return Row(callers, len(latencies), seconds, cpu, sorted(latencies))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accepts", type=int, default=30_000, help="in each row; a tenth with one caller")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--bytes", type=int, default=600)
    parser.add_argument("--synchronous", default="FULL")
    options = parser.parse_args()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"synchronous={options.synchronous}, {options.bytes} bytes, {options.folder}, load average {load}")
    print(f"{'callers':>7} {'accepts/s':>11} {'p50 ms':>9} {'p99 ms':>9} {'cpu µs':>8}")
    rows = []
    for callers in CALLERS:
        accepts = options.accepts if callers > 1 else options.accepts // 10
        rows.append(asyncio.run(run(callers, accepts, options)))
        print(rows[-1], flush=True)
    best = max(rows, key=lambda row: row.rate)
    batch, writer.BATCH = writer.BATCH, 1
    single = asyncio.run(run(best.callers, options.accepts // 10, options))
    writer.BATCH = batch
    print(f"{single}   one commit a message")
    ratio = f"1 : {best.rate / single.rate:.1f}"
    print(f"batch of one : batched, {best.callers} callers: {single.rate:,.0f} : {best.rate:,.0f} = {ratio}")


if __name__ == "__main__":
    main()
