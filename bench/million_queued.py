"""A million queued messages in a real database: how long the server takes to start on them, and what memory it needs.

    python bench/million_queued.py [--messages 1000000] [--seconds 30] [--people 500]

The database is filled by the store's own accept, in a process that has ended its part when the server starts. The server
then delivers to a sandbox on the same machine; it has no limits of its own, so it goes as fast as this machine lets it.
Memory is VmHWM, the highest resident size. The same start with an empty database is printed beside it.
"""

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

from kurir.bench import backlog, scenario

BAR_MEBIBYTES = 400
BAR_SECONDS = 10


async def measure(messages: int, seconds: float, people: int) -> None:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{scenario.origin()}; load average {load}")
    print(
        f"{'queued':>10} {'filled s':>9} {'file MiB':>9} {'ready s':>8} {'first send s':>13} {'peak MiB':>9} {'sent/s':>8}"
    )
    for count in (0, messages):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            async with scenario.stage(folder, people=people, start=False) as on:
                database = folder / "kurir.db"
                filled = await backlog.fill(database, on.people, count) if count else 0.0
                size = database.stat().st_size / 2**20 if count else 0.0
                found = await backlog.start(on, count, seconds if count else 3.0)
        rate = found.sent / found.seconds
        print(
            f"{count:>10,} {filled:>9.1f} {size:>9.0f} {found.ready:>8.2f} {found.first_send:>13.2f}"
            f" {found.peak / 2**20:>9.0f} {rate:>8.0f}",
            flush=True,
        )
    within = found.peak / 2**20 < BAR_MEBIBYTES and found.ready < BAR_SECONDS
    print(f"bars: below {BAR_MEBIBYTES} MiB, ready within {BAR_SECONDS} s: {'both kept' if within else 'NOT kept'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--people", type=int, default=500)
    options = parser.parse_args()
    asyncio.run(measure(options.messages, options.seconds, options.people))


if __name__ == "__main__":
    main()
