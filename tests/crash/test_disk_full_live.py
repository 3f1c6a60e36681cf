"""Scorecard rows 24 and 25 on a real file system: the disk full, or the files read-only, in the middle of the load.

As root a small tmpfs is filled, and the database's files are made immutable (chattr, ext4 refuses writes through open
files too). Elsewhere both are played by RLIMIT_FSIZE, beyond which a write fails with EFBIG; which one it was is printed.
"""

import asyncio
import contextlib
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kurir.bench import faults, scenario
from kurir.bench.checker import check
from kurir.bench.load import Load, Mix, lanes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SEED = 20261122
#: The bar of row 24: how soon messages are taken again after there is space, in seconds.
HEALED_WITHIN = 10.0
#: What a process under RLIMIT_FSIZE may still write to its log.
LOG_ROOM = 256 * 1024


@dataclass(frozen=True)
class Trouble:
    """How a disk is spoilt and mended while the gateway runs. *folder* holds the database."""

    name: str
    folder: Path
    spoil: Callable[[scenario.Stage], None]
    mend: Callable[[scenario.Stage], None]


def full_by_limit(folder: Path) -> Trouble:
    """No file of the process may grow beyond what its log needs: for SQLite a disk that takes nothing more."""

    def spoil(on: scenario.Stage) -> None:
        limit = on.gateway.log.stat().st_size + LOG_ROOM
        resource.prlimit(on.gateway.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def mend(on: scenario.Stage) -> None:
        resource.prlimit(on.gateway.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    return Trouble("RLIMIT_FSIZE", folder, spoil, mend)


@contextlib.contextmanager
def full_disk(folder: Path) -> Iterator[Trouble]:
    """A tmpfs of 32 MiB that is filled to the last byte; without the right to mount, the limit on file sizes."""
    place = folder / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        yield full_by_limit(place)
        return
    filler = place / "filler"

    def spoil(_: scenario.Stage) -> None:
        with filler.open("wb", buffering=0) as file:
            for size in (65536, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"\0" * size)
        assert shutil.disk_usage(place).free == 0

    try:
        yield Trouble("a full tmpfs", place, spoil, lambda _: filler.unlink())
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[Trouble]:
    """The database's files immutable; where that cannot be, the limit on file sizes."""
    place = folder / "disk"
    place.mkdir()
    probe = place / "probe"
    with probe.open("wb", buffering=0) as file:
        made = (
            shutil.which("chattr")
            and not subprocess.run(["chattr", "+i", str(probe)], capture_output=True, check=False).returncode
        )
        try:
            file.write(b"x")
        except OSError:
            works = True
        else:
            works = False
        if made:
            subprocess.run(["chattr", "-i", str(probe)], check=True)
    if not works:
        yield full_by_limit(place)
        return

    def change(flag: str) -> None:
        # Not the -shm file: SQLite maps it into memory, where a forbidden write is no error but the end of the process.
        files = [str(path) for path in (place / "kurir.db", place / "kurir.db-wal") if path.exists()]
        subprocess.run(["chattr", flag, *files], check=True)

    try:
        yield Trouble("immutable files", place, lambda _: change("+i"), lambda _: change("-i"))
    finally:
        change("-i")


async def until(on: scenario.Stage, what: Callable[[], bool], seconds: float) -> float:
    """Wait until *what* is so, and return how long that took. The gateway has to live."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not what():
            assert on.gateway.running, on.gateway.last_words()
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def through(trouble: Trouble, folder: Path, row: int) -> None:
    """Spoil the disk under load, look at what the gateway says meanwhile, mend it, and check the books."""

    def edit(document: dict) -> None:
        document["database"] = str(trouble.folder / "kurir.db")

    profile = faults.profile("slow")
    async with scenario.stage(folder, edit=edit) as on:
        await on.platforms.fault(profile)
        pid = on.gateway.pid

        def answers(since: float, *statuses: int) -> list:
            heard = [heard for one in on.client.posted for heard in one.heard if heard.began >= since]
            return [one for one in heard if not statuses or one.status in statuses]

        async with Load(on.client, lanes(on.people), 60.0, SEED, Mix(long=0.0, once=0.0)):
            await on.client.until_posted(150)
            known = next(one.tid for one in on.client.posted if one.acknowledged)
            spoilt = time.time()
            trouble.spoil(on)
            refused_after = await until(on, lambda: bool(answers(spoilt, 503)), 60.0)
            await asyncio.sleep(3.0)
            reads = [(await on.client.told(known)) is not None, await on.client.open() >= 0]
            async with on.client.session.get(f"{on.gateway.url}/readyz") as answer:
                ready_while_spoilt = answer.status
            meanwhile = answers(spoilt)
            trouble.mend(on)
            mended = time.time()
            healed = await until(on, lambda: bool(answers(mended, 200)), 60.0)
            await asyncio.sleep(2.0)
        await on.client.settled(60.0)
        async with on.client.session.get(f"{on.gateway.url}/readyz") as answer:
            ready_again = answer.status
        same = on.gateway.running and on.gateway.pid == pid
        evidence = await on.evidence(profile)
    refusals = [one for one in meanwhile if one.status == 503]
    slowest = max(one.at - one.began for one in refusals)
    print(
        f"scorecard {row}: {trouble.name}, seed {SEED}: {len(evidence.posted):,} posted, 503 from {refused_after:.2f} s on "
        f"({len(refusals)} of {len(meanwhile)} answers meanwhile, the slowest {slowest:.2f} s), healed after {healed:.2f} s"
    )
    verdicts = check(evidence)
    print("\n".join(str(verdict) for verdict in verdicts))
    assert {one.status for one in meanwhile} <= {200, 503}, "an answer that is neither, or none"
    assert reads == [True, True], "reads work while nothing can be written"
    assert (ready_while_spoilt, ready_again) == (503, 200)
    assert healed <= HEALED_WITHIN
    assert same, "it healed without a restart"
    assert all(verdict.holds is not False for verdict in verdicts)


@pytest.mark.scorecard(24)
async def test_a_full_disk_is_refused_at_once_and_healed_from(tmp_path):
    with full_disk(tmp_path) as trouble:
        await through(trouble, tmp_path, 24)


@pytest.mark.scorecard(25)
async def test_read_only_files_are_refused_at_once_and_healed_from(tmp_path):
    with read_only(tmp_path) as trouble:
        await through(trouble, tmp_path, 25)


@pytest.mark.scorecard(24)
async def test_a_limit_on_file_sizes_is_a_full_disk(tmp_path):
    (tmp_path / "disk").mkdir()
    await through(full_by_limit(tmp_path / "disk"), tmp_path, 24)
