"""Scorecard row 3: the power is cut 600 times under the real store, and nothing that was acknowledged is lost.

The store runs on a disk that forgets what was not synced. Before a random change of a file the cut happens: what would
be left of the files is laid out elsewhere, opened with a sound disk, and compared with what the store had acknowledged.
Half of the cuts are clean (all unsynced writes are gone), half torn (each unsynced sector of 512 bytes is kept or lost by
chance). Checkpoints come every few pages, so that many cuts fall into one. The control, synchronous=NORMAL, must lose.
"""

import asyncio
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest

from kurir.store.base import Accepted
from kurir.store.sqlite import SqliteStore, writer
from support.disks import ForgetfulDisk, lay_out
from support.records import new_message

SEED = 20_260_301
CUTS = 300
#: Cuts in the life of one store.
CUTS_PER_LIFE = 15
#: So many acknowledged messages a life. A life has about three changes of a file for each.
ACCEPTS = 240


@dataclass
class Tally:
    """What the cuts of one kind did."""

    cuts: int = 0
    acknowledged: int = 0
    lost: int = 0
    cuts_with_loss: int = 0
    corrupt: int = 0
    reopened: int = 0

    def __str__(self) -> str:
        return (
            f"{self.cuts} cuts, {self.acknowledged} acknowledged, {self.lost} lost in {self.cuts_with_loss}, "
            f"{self.corrupt} corrupt"
        )


@dataclass
class Life:
    """One store, from its first page to its end: which moments are cuts, and what each cut left."""

    chance: random.Random
    torn: bool
    acknowledged: list[str] = field(default_factory=list)
    remains: list[tuple[int, dict[str, bytes]]] = field(default_factory=list)
    changes: int = 0
    moments: frozenset[int] = frozenset()

    def change(self, disk: ForgetfulDisk) -> None:
        """A file is about to change. On the writing thread, which holds still meanwhile."""
        self.changes += 1
        if self.changes in self.moments:
            before = len(self.acknowledged)  # read first: what is acknowledged later does not count for this cut
            self.remains.append((before, disk.remains(self.chance if self.torn else None)))


async def _live(life: Life, synchronous: str) -> None:
    """Accept messages, now one at a time, now many at once."""
    disk = ForgetfulDisk()
    disk.before_change = lambda: life.change(disk)
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "kurir.db", synchronous=synchronous, vfs=disk.name)
        await store.open()

        async def accept() -> None:
            message = new_message(body=b"x" * life.chance.choice([50, 600, 5000]))
            assert isinstance(await store.accept(message), Accepted)
            life.acknowledged.append(message.tid)

        done = 0
        while done < ACCEPTS:
            together = min(life.chance.choice([1, 1, 2, 7, 30]), ACCEPTS - done)
            await asyncio.gather(*(accept() for _ in range(together)))
            done += together
        await store.close()
    disk.unregister()


def _judge(life: Life, tally: Tally) -> None:
    """Open what each cut left, and compare."""
    for acknowledged, remains in life.remains:
        tally.cuts += 1
        tally.acknowledged += acknowledged
        with tempfile.TemporaryDirectory() as folder:
            database = lay_out(remains, Path(folder))
            if not database.exists():  # the cut came before anything was synced
                tally.lost += acknowledged
                continue
            db = apsw.Connection(str(database))
            try:
                if db.pragma("integrity_check") != "ok":
                    tally.corrupt += 1
                    continue
                found = {tid for (tid,) in db.execute("SELECT tid FROM message")} if _has_messages(db) else set()
            except apsw.Error:
                tally.corrupt += 1
                continue
            finally:
                db.close()
            missing = set(life.acknowledged[:acknowledged]) - found
            tally.lost += len(missing)
            tally.cuts_with_loss += bool(missing)
            if tally.cuts % 10 == 0:
                asyncio.run(_reopen(database))
                tally.reopened += 1


def _has_messages(db: apsw.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'message'").fetchone() is not None


async def _reopen(database: Path) -> None:
    """The store itself starts on what is left, keeps its rules, and works."""
    store = SqliteStore(database)
    await store.open()
    assert await store.broken_invariants() == []
    assert isinstance(await store.accept(new_message()), Accepted)
    await store.close()


def _cut(synchronous: str, *, torn: bool, cuts: int) -> Tally:
    chance = random.Random(f"{SEED} {synchronous} {torn}")
    tally = Tally()
    rehearsal = Life(chance, torn)
    asyncio.run(_live(rehearsal, synchronous))
    while tally.cuts < cuts:
        life = Life(chance, torn)
        number = min(CUTS_PER_LIFE, cuts - tally.cuts)
        life.moments = frozenset(chance.sample(range(1, rehearsal.changes * 9 // 10), number))
        asyncio.run(_live(life, synchronous))
        _judge(life, tally)
    return tally


@pytest.mark.slow
@pytest.mark.scorecard(3)
def test_scorecard_3_a_power_cut_loses_nothing_that_was_acknowledged(monkeypatch):
    monkeypatch.setattr(writer, "CHECKPOINT_PAGES", 60)
    monkeypatch.setattr(writer, "RESTART_PAGES", 200)
    began = time.monotonic()
    clean = _cut("FULL", torn=False, cuts=CUTS)
    torn = _cut("FULL", torn=True, cuts=CUTS)
    control = _cut("NORMAL", torn=False, cuts=90)
    seconds = time.monotonic() - began
    print(f"scorecard 3: seed {SEED}; clean: {clean}; torn: {torn}; NORMAL: {control}; {seconds:.0f} s")
    for tally in (clean, torn):
        assert (tally.lost, tally.corrupt) == (0, 0)
        assert tally.cuts == CUTS
        assert tally.acknowledged > CUTS * ACCEPTS / 5
        assert tally.reopened > CUTS / 20
    assert control.lost > 0
    assert control.corrupt == 0
