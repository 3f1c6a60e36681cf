"""Scorecard row 25: a file that turns read-only, I/O errors at every write, syncs that fail: no 200 for what is lost.

The hardest is the sync. When one fails, Linux marks the pages clean that it could not write, and tells once
(https://wiki.postgresql.org/wiki/Fsync_Errors): whoever reads the file sees bytes that are on no disk, and the next sync,
which has nothing to write, succeeds. ``CleaningDisk`` does the same, so that trusting such pages shows as a loss when the
power is cut.
"""

import asyncio
import copy
import itertools
import shutil
from collections.abc import Awaitable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp
import apsw
import pytest

from kurir import demo
from kurir.domain.status import Status
from kurir.sandbox.config import DEMO_WHATSAPP
from kurir.sandbox.receipts import encode, sign
from kurir.store.base import Accepted, NewMessage, StoreUnavailable
from kurir.store.sqlite import SqliteStore
from support.delivering import eventually
from support.disks import FailingDisk, ForgetfulDisk, _ForgetfulFile, _Platter, io_error, lay_out
from support.records import CLIENT, DECLARED, T0, mark, new_message, receipt, result, sent
from support.servers import Running, running

pytestmark = pytest.mark.of_sqlite("what a disk does to its file")

WRITES = 300
#: After every so many the files are looked at as a killed process leaves them.
LOOK = 5
#: The syncs that fail, counted from the first message; before a kill, and in the control of it.
SYNCS = range(1, 41, 2)
KILLED = range(1, 41, 6)
CONTROL = range(1, 7, 2)
SEED = 25
#: Writes after which an HTTP request meets its I/O error.
HTTP_WRITES = range(1, 61, 3)


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    made = FailingDisk()
    yield made
    made.unregister()


def heal(disk: FailingDisk) -> None:
    disk.broken = lambda _operation, _path: None


# --- I/O errors at every write ----------------------------------------------------------------------------------------


@dataclass
class Ledger:
    """What the store acknowledged, and what it refused."""

    accepted: list[NewMessage] = field(default_factory=list)
    refused: list[NewMessage] = field(default_factory=list)
    sent: list[NewMessage] = field(default_factory=list)
    read: list[NewMessage] = field(default_factory=list)
    refusals: int = 0

    async def taken(self, work: Awaitable[object]) -> bool:
        """Return whether *work* was acknowledged; nothing but StoreUnavailable may refuse it."""
        try:
            await work
        except StoreUnavailable:
            self.refusals += 1
            return False
        return True

    async def turn(self, store: SqliteStore) -> None:
        """Three messages at once, and one of them through delivery to its receipt."""
        messages = [new_message(body=b"x" * 600) for _ in range(3)]
        took = await asyncio.gather(*(self.taken(store.accept(message)) for message in messages))
        for message, accepted in zip(messages, took, strict=True):
            (self.accepted if accepted else self.refused).append(message)
        first = messages[0]
        if not took[0] or not await self.taken(store.mark(mark(first))):
            return
        if not await self.taken(store.record(result(first, sent(f"p-{first.tid}")))):
            return
        self.sent.append(first)
        if await self.taken(store.receive([receipt(Status.READ, f"p-{first.tid}")], T0)):
            self.read.append(first)


def found_in(folder: Path) -> set[str]:
    """Return the tids of a database that is whole."""
    db = apsw.Connection(str(folder / "kurir.db"))
    try:
        assert db.pragma("integrity_check") == "ok"
        return {tid for (tid,) in db.execute("SELECT tid FROM message")}
    finally:
        db.close()


def copied(folder: Path, to: Path) -> Path:
    """Copy what a process that is killed now leaves of its files, without the index that lives in memory."""
    to.mkdir()
    for name in ("kurir.db", "kurir.db-wal"):
        if (folder / name).exists():
            shutil.copy(folder / name, to / name)
    return to


@pytest.mark.slow
@pytest.mark.scorecard(25)
async def test_scorecard_25_an_io_error_at_every_write_acknowledges_nothing_that_is_lost(tmp_path, disk, monkeypatch):
    monkeypatch.setattr("kurir.store.sqlite.writer.CHECKPOINT_PAGES", 150)
    store = SqliteStore(tmp_path / "kurir.db", vfs=disk.name)
    await store.open()
    await store.declare(DECLARED, T0)
    every = Ledger()
    for number in range(1, WRITES + 1):
        counter = itertools.count(1)
        at = number

        def broken(operation: str, _path: str, counter=counter, at=at) -> Exception | None:
            return io_error(apsw.SQLITE_IOERR_WRITE) if operation == "write" and next(counter) == at else None

        disk.happened, disk.broken = 0, broken
        now = Ledger()
        while not disk.happened:
            await now.turn(store)
        heal(disk)
        assert disk.happened == 1
        if number % LOOK == 0:
            kill = await asyncio.to_thread(copied, tmp_path, tmp_path / f"killed-{number}")
            left = await asyncio.to_thread(found_in, kill)
            await asyncio.to_thread(shutil.rmtree, kill)
            assert {message.tid for message in [*every.accepted, *now.accepted]} <= left, (
                "it is in the files, not in memory"
            )
        for message in now.accepted:
            known = await store.message(CLIENT, message.tid)
            assert known is not None
            assert known.status is (
                Status.READ if message in now.read else Status.SENT if message in now.sent else Status.PENDING
            )
        for message in now.refused:
            assert await store.message(CLIENT, message.tid) is None
            assert await store.accept(message) == Accepted(message.tid, Status.PENDING, replayed=False)
        every.accepted += [*now.accepted, *now.refused]
        every.refused += now.refused
        every.refusals += now.refusals
        every.sent += now.sent
    assert await store.broken_invariants() == []
    await store.close()
    assert await asyncio.to_thread(found_in, tmp_path) == {message.tid for message in every.accepted}
    assert every.refusals > WRITES / 2, "an error of a checkpoint refuses nothing, all others do"
    print(
        f"scorecard 25: I/O error at write 1 to {WRITES}: {every.refusals} operations refused, {len(every.accepted)} messages "
        f"accepted, {len(every.sent)} sent, 0 acknowledged and lost, 0 refused and kept"
    )


# --- over HTTP --------------------------------------------------------------------------------------------------------


async def post_receipt(up: Running, identifier: str) -> int:
    """Post a receipt as WhatsApp does; returns the status of the answer."""
    statuses = [{"id": identifier, "status": "read", "timestamp": "1790000000", "recipient_id": "628123"}]
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"phone_number_id": DEMO_WHATSAPP.phone_number_id},
        "statuses": statuses,
    }
    change = {"field": "messages", "value": value}
    raw = encode({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]})
    headers = {"X-Hub-Signature-256": sign(DEMO_WHATSAPP.app_secret, raw)}
    async with aiohttp.request("POST", f"{up.url}/webhooks/demo-wa", data=raw, headers=headers) as response:
        return response.status


def later(identifier: str) -> dict[str, object]:
    """A message that nobody sends while the test lasts, so that every write is an accept's."""
    return demo.example("text", identifier) | {"send_at": "2099-01-01T00:00:00Z"}


async def ids_of(up: Running) -> set[str]:
    def read(db: apsw.Connection) -> set[str]:
        return {name for (name,) in db.execute("SELECT message_id FROM message")}

    return await up.gateway.store._patient.run(read)


@pytest.mark.scorecard(25)
async def test_scorecard_25_a_file_that_turns_read_only_answers_503_to_clients_and_platforms(tmp_path, disk):
    async with running(tmp_path, store=SqliteStore(tmp_path / "kurir.db", vfs=disk.name)) as up:
        assert (await up.send("telegram", later("before")))[0] == 200
        assert await post_receipt(up, "wamid.before") == 200
        disk.broken = lambda operation, _path: (
            apsw.exception_for(apsw.SQLITE_READONLY) if operation in ("write", "truncate") else None
        )
        answers = await asyncio.gather(*(up.send("telegram", later(f"during-{number}")) for number in range(30)))
        assert [status for status, _, _ in answers] == [503] * 30
        assert {answer["code"] for _, _, answer in answers} == {"not_durable"}
        assert await asyncio.gather(*(post_receipt(up, f"wamid.{number}") for number in range(5))) == [503] * 5
        assert (await up.send("telegram", later("before")))[0] == 200, "a repeat writes nothing, and is on disk"
        assert await ids_of(up) == {"before"}
        async with up.session.get(f"{up.url}/readyz") as response:
            assert response.status == 503
        heal(disk)
        status, headers, _ = await up.send("telegram", later("before"))
        assert (status, headers["Idempotent-Replayed"]) == (200, "true")
        answers = await asyncio.gather(*(up.send("telegram", later(f"during-{number}")) for number in range(30)))
        assert [status for status, _, _ in answers] == [200] * 30
        assert not any("Idempotent-Replayed" in headers for _, headers, _ in answers)
        assert await post_receipt(up, "wamid.0") == 200
    print("scorecard 25: read-only while it runs: 35 of 35 answers 503, nothing kept; healed without a restart")


@pytest.mark.scorecard(25)
async def test_scorecard_25_over_http_an_io_error_never_ends_in_a_200_of_what_is_not_there(tmp_path, disk):
    answered = {200: 0, 503: 0}
    kept = {"first"}
    async with running(tmp_path, store=SqliteStore(tmp_path / "kurir.db", vfs=disk.name)) as up:
        assert (await up.send("line", later("first")))[0] == 200
        for number, kind in itertools.product(HTTP_WRITES, ("write", "sync")):
            counter = itertools.count(1)
            error = apsw.SQLITE_IOERR_WRITE if kind == "write" else apsw.SQLITE_IOERR_FSYNC
            at = number if kind == "write" else 1 + number // 12

            def broken(operation: str, _path: str, kind=kind, error=error, counter=counter, at=at) -> Exception | None:
                return io_error(error) if operation == kind and next(counter) == at else None

            disk.happened, disk.broken = 0, broken
            for turn in itertools.count():
                names = [f"{kind}-{number}-{turn}-{which}" for which in range(4)]
                answers = await asyncio.gather(*(up.send("line", later(name)) for name in names))
                for name, (status, _, answer) in zip(names, answers, strict=True):
                    answered[status] += 1
                    assert answer["meta"]["code"] == status
                    if status == 200:
                        kept.add(name)
                if disk.happened:
                    break
            heal(disk)
            assert await ids_of(up) == kept
        assert (await up.send("line", later("last")))[0] == 200
    assert await asyncio.to_thread(found_ids, tmp_path) == {*kept, "last"}
    assert answered[503] >= 2 * len(HTTP_WRITES)
    print(
        f"scorecard 25: over HTTP {2 * len(HTTP_WRITES)} I/O and sync errors: {answered[200]} answers 200, all kept; "
        f"{answered[503]} answers 503, none kept"
    )


def found_ids(folder: Path) -> set[str]:
    db = apsw.Connection(str(folder / "kurir.db"))
    try:
        return {name for (name,) in db.execute("SELECT message_id FROM message")}
    finally:
        db.close()


# --- syncs that fail --------------------------------------------------------------------------------------------------


class CleaningDisk(ForgetfulDisk):
    """A disk under a kernel that calls the pages clean that it could not write: ``failing`` is the number of that sync.

    With *chance* some of their sectors reach the platter all the same. ``failed`` are the files whose sync failed.
    """

    def __init__(self, chance: Random | None = None) -> None:
        super().__init__()
        self.chance = chance
        self.syncs = 0
        self.failing = 0
        self.failed: list[str] = []

    def xOpen(self, name, flags):
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        return _CleanedFile(self, self.platters.setdefault(path, _Platter()) if path else _Platter(), name, flags, path)

    def excepthook(self, *_: object) -> None:
        """The exceptions are ours: nobody needs to see them printed."""

    def after_a_kill(self, folder: Path, to: Path) -> "CleaningDisk":
        """Return the machine as a killed process leaves it: the page cache as it stands, beside what is on the platter."""
        left = CleaningDisk(self.chance)
        for name, platter in self.platters.items():
            if Path(name).exists() and not name.endswith("-shm"):
                left.platters[str(to / Path(name).name)] = copy.deepcopy(platter)
        copied(folder, to)
        return left


class _CleanedFile(_ForgetfulFile):
    def __init__(self, disk: CleaningDisk, platter: _Platter, name, flags, path: str | None) -> None:
        self._name = path or ""
        super().__init__(disk, platter, name, flags)

    def xSync(self, flags):
        disk, platter = self._disk, self._platter
        disk.syncs += 1
        if disk.syncs != disk.failing:
            super().xSync(flags)
            return
        disk.failed.append(self._name.rpartition("-")[2] if self._name.endswith("-wal") else "db")
        if disk.chance is not None:
            platter.durable = bytearray(platter.torn(disk.chance))
        platter.pending.clear()
        platter.deletion = None
        raise io_error(apsw.SQLITE_IOERR_FSYNC)

    def excepthook(self, *_: object) -> None:
        """As above."""


@dataclass
class Life:
    """One store until a sync fails, and what was acknowledged."""

    folder: Path
    disk: CleaningDisk
    acknowledged: set[str] = field(default_factory=set)
    refused: int = 0

    async def accept(self, store: SqliteStore, times: int, size: int) -> None:
        for _ in range(times):
            messages = [new_message(body=b"x" * size) for _ in range(4)]
            answers = await asyncio.gather(*(store.accept(message) for message in messages), return_exceptions=True)
            for message, answer in zip(messages, answers, strict=True):
                if isinstance(answer, Accepted):
                    self.acknowledged.add(message.tid)
                else:
                    assert isinstance(answer, StoreUnavailable), answer
                    self.refused += 1

    async def until_a_sync_fails(self, number: int) -> SqliteStore:
        store = SqliteStore(self.folder / "kurir.db", vfs=self.disk.name)
        await store.open()
        await store.declare(DECLARED, T0)
        self.disk.failing = self.disk.syncs + number
        async with asyncio.timeout(20):
            while not self.disk.failed:
                await self.accept(store, 1, 600)
        return store

    def judge(self, remains: dict[str, bytes], folder: Path) -> str:
        """Return what is wrong with what a power cut leaves: "" for nothing."""
        folder.mkdir()
        lay_out(remains, folder)
        try:
            lost = self.acknowledged - found_in(folder)
        except (apsw.Error, AssertionError) as error:
            return f"corrupt: {type(error).__name__}"
        finally:
            shutil.rmtree(folder)
        return f"{len(lost)} acknowledged messages are lost" if lost else ""


def lives(folder: Path, numbers: Iterable[int]) -> Iterator[tuple[int, Life]]:
    """A life for each sync that fails: one in which nothing of it reached the platter, one in which some did."""
    for number in numbers:
        for chance in (None, Random(SEED + number)):
            own = folder / f"{number}-{'torn' if chance else 'nothing'}"
            own.mkdir()
            disk = CleaningDisk(chance)
            yield number, Life(own, disk)
            disk.unregister()
            shutil.rmtree(own)


@pytest.fixture
def small_log(monkeypatch):
    """Checkpoints every few pages, so that syncs of the database fail too."""
    monkeypatch.setattr("kurir.store.sqlite.writer.CHECKPOINT_PAGES", 30)
    monkeypatch.setattr("kurir.store.sqlite.writer.RESTART_PAGES", 60)


@pytest.mark.slow
@pytest.mark.scorecard(25)
async def test_scorecard_25_what_is_accepted_after_a_failed_sync_outlives_a_power_cut(tmp_path, small_log):
    lived, acknowledged, refused, wrong = 0, 0, 0, []
    files: set[str] = set()
    for number, life in lives(tmp_path, SYNCS):
        store = await life.until_a_sync_fails(number)
        before = len(life.acknowledged)
        await life.accept(store, 3, 100)  # less than what was refused, so that some of it stays behind
        assert len(life.acknowledged) == before + 12, "it goes on with what it opened anew"
        complaint = life.judge(life.disk.remains(), tmp_path / "cut")
        if complaint:
            wrong.append((number, complaint))
        assert await store.broken_invariants() == []
        await store.close()
        lived, acknowledged = lived + 1, acknowledged + len(life.acknowledged)
        refused += life.refused
        files |= set(life.disk.failed)
    print(
        f"scorecard 25: seed {SEED}; {lived} syncs failed and their pages were called clean, then a power cut: "
        f"{acknowledged} acknowledged, {refused} refused, {len(wrong)} cuts with a loss"
    )
    assert files == {"wal", "db"}
    assert refused > len(SYNCS)
    assert wrong == []


async def cuts_of_a_start(folder: Path, numbers: Iterable[int]) -> tuple[int, list[tuple[int, str]]]:
    """Let syncs fail, kill the process, start anew, cut the power at every change meanwhile and after twelve messages.

    Returns (number of cuts, what was wrong after which of them).
    """
    cuts, wrong = 0, []
    for number, life in lives(folder, numbers):
        store = await life.until_a_sync_fails(number)
        disk = life.disk.after_a_kill(life.folder, life.folder / "after")
        before, moments, torn = set(life.acknowledged), [], Random(SEED + number)

        def before_change(moments=moments, disk=disk, torn=torn) -> None:
            moments.append(disk.remains(torn))
            if len(moments) < 2 or moments[-2] != disk.remains():  # only a sync makes another clean cut
                moments.append(disk.remains())

        disk.before_change = before_change
        next_one = SqliteStore(life.folder / "after" / "kurir.db", vfs=disk.name)
        await next_one.open()
        disk.before_change = lambda: None
        await life.accept(next_one, 3, 100)
        complaints = [life.judge(disk.remains(), folder / "cut")]
        life.acknowledged, after = before, life.acknowledged
        complaints += [life.judge(remains, folder / "cut") for remains in moments]
        assert len(after) == len(before) + 12
        cuts += len(complaints)
        wrong += [(number, complaint) for complaint in complaints if complaint]
        await next_one.close()
        disk.unregister()
        await store.close()
    return cuts, wrong


@pytest.mark.slow
@pytest.mark.scorecard(25)
async def test_scorecard_25_a_start_after_a_failed_sync_and_a_kill_outlives_a_power_cut_at_any_moment(
    tmp_path, small_log, monkeypatch
):
    """The next process reads a log whose end is on no disk: it must not let the database depend on it."""
    cuts, wrong = await cuts_of_a_start(tmp_path, KILLED)
    assert wrong == []
    monkeypatch.setattr("kurir.store.sqlite.store.make_log_durable", lambda *_: None)
    control, lost = await cuts_of_a_start(tmp_path, CONTROL)
    print(
        f"scorecard 25: seed {SEED}; {2 * len(KILLED)} syncs failed, the process killed and started anew, {cuts} power "
        f"cuts meanwhile and after it: 0 with a loss; the control, which trusts the log as it is: {len(lost)} of {control}"
    )
    assert lost


@pytest.mark.scorecard(25)
async def test_scorecard_25_after_a_failed_sync_nothing_is_accepted_until_the_file_is_open_anew(tmp_path, disk):
    store = SqliteStore(tmp_path / "kurir.db", vfs=disk.name)
    await store.open()
    await store.declare(DECLARED, T0)
    syncs = itertools.count(1)

    def broken(operation: str, path: str) -> Exception | None:
        if operation == "sync" and next(syncs) == 1:
            return io_error(apsw.SQLITE_IOERR_FSYNC)
        return apsw.exception_for(apsw.SQLITE_CANTOPEN) if operation == "open" and "-" not in Path(path).name else None

    disk.broken = broken
    distrusted = store._writer._db
    with pytest.raises(StoreUnavailable):
        await store.accept(new_message())
    refused = [new_message() for _ in range(5)]
    for message in refused:
        with pytest.raises(StoreUnavailable):
            await store.accept(message)
    assert store.health() is not None
    heal(disk)
    for message in refused:
        assert await store.accept(message) == Accepted(message.tid, Status.PENDING, replayed=False)
    assert store._writer._db is not distrusted
    await eventually(lambda: store.health() is None)
    assert await store.broken_invariants() == []
    await store.close()
