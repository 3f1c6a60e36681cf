"""A long queue costs disk, not memory: the server's memory does not grow with what is queued.

``bench/million_queued.py`` is the same with a million, and prints what it takes.
"""

import pytest

from kurir.bench import backlog, scenario

FEW, MANY = 2_000, 50_000
SECONDS = 4.0
#: A queued message that was kept in memory would take more than this, in bytes: its row alone has six hundred.
BYTES_EACH = 400


async def started(folder, count: int) -> backlog.Started:
    folder.mkdir()
    async with scenario.stage(folder, people=100, start=False) as on:
        await backlog.fill(folder / "kurir.db", on.people, count)
        return await backlog.start(on, count, SECONDS)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_memory_does_not_grow_with_the_queue(tmp_path):
    few = await started(tmp_path / "few", FEW)
    many = await started(tmp_path / "many", MANY)
    assert few.peak > 0, "only Linux tells the memory of another process"
    each = (many.peak - few.peak) / (MANY - FEW)
    print(
        f"{MANY:,} queued: ready after {many.ready:.2f} s, first send after {many.first_send:.2f} s, "
        f"{many.peak / 2**20:.0f} MiB at the highest, {each:.0f} bytes for each message more than with {FEW:,}"
    )
    assert few.sent > 0
    assert many.sent > 0
    assert each < BYTES_EACH
