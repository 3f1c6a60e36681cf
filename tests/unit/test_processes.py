"""The parent of ``kurir serve --processes``: what it starts it also ends. Its children are scripts here."""

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kurir.cli import processes
from kurir.cli.processes import Family
from kurir.settings import Listen

#: A process that says that it is ready, and takes its time to end when it is told to.
CHILD = """
import os, signal, time
def say(word):
    with open(os.environ["FAMILY_LOG"], "a") as log:
        log.write(f"{word} {os.getpid()}\\n")
def told(*_):
    say("told")
    time.sleep(float(os.environ["FAMILY_SECONDS"]))
    os._exit(0)
signal.signal(signal.SIGTERM, told)
_, ready = map(int, os.environ["KURIR_CHILD"].split(","))
say("started")
os.write(ready, b"1")
os.close(ready)
while True:
    signal.pause()
"""


class Watched:
    """A family of two, and what its children say."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "family.log"
        self.log.touch()
        self.stopping = asyncio.Event()
        self.family = asyncio.create_task(Family(["serve"], 2, Listen("127.0.0.1", 0)).run(self.stopping))

    def said(self, word: str) -> list[int]:
        return [int(line.split()[1]) for line in self.log.read_text().splitlines() if line.startswith(word)]

    async def until(self, seen: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not seen():
                assert not self.family.done()
                await asyncio.sleep(0.01)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "kurir").mkdir()
    (tmp_path / "kurir" / "__init__.py").touch()
    (tmp_path / "kurir" / "__main__.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("FAMILY_LOG", str(tmp_path / "family.log"))
    monkeypatch.setenv("FAMILY_SECONDS", "0")
    monkeypatch.setattr(processes, "FIRST_WAIT", 0.05)
    return tmp_path


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_who_would_be_started_again_while_the_family_ends_is_not(folder, monkeypatch, capsys):
    monkeypatch.setenv("FAMILY_SECONDS", "0.5")  # longer than the wait before a start
    monkeypatch.setattr(processes, "END_SECONDS", 5.0)
    watched = Watched(folder)
    await watched.until(lambda: len(watched.said("started")) == 2)
    victim = watched.said("started")[1]
    os.kill(victim, signal.SIGKILL)
    await watched.until(lambda: "it is started again" in capsys.readouterr().err)
    watched.stopping.set()
    async with asyncio.timeout(4):
        await watched.family
    assert set(watched.said("started")) == {*watched.said("told"), victim}
    assert all(gone(pid) for pid in watched.said("started"))


async def test_who_is_just_starting_when_the_family_ends_is_told_too(folder, monkeypatch):
    start = asyncio.create_subprocess_exec
    watched = Watched(folder)

    async def told_meanwhile(*arguments: str, **options: object) -> asyncio.subprocess.Process:
        child = await start(*arguments, **options)
        await watched.until(lambda: child.pid in watched.said("started"))
        watched.stopping.set()
        await watched.until(lambda: watched.said("told") != [])  # the other one
        return child

    await watched.until(lambda: len(watched.said("started")) == 2)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", told_meanwhile)
    os.kill(watched.said("started")[1], signal.SIGKILL)
    async with asyncio.timeout(4):
        await watched.family
    assert len(watched.said("told")) == 2
    assert all(gone(pid) for pid in watched.said("started"))


async def test_who_does_not_end_is_killed(folder, monkeypatch):
    monkeypatch.setenv("FAMILY_SECONDS", "60")
    monkeypatch.setattr(processes, "END_SECONDS", 0.2)
    watched = Watched(folder)
    await watched.until(lambda: len(watched.said("started")) == 2)
    watched.stopping.set()
    async with asyncio.timeout(4):
        await watched.family
    assert all(gone(pid) for pid in watched.said("started"))


async def test_a_second_signal_ends_all_at_once(folder, monkeypatch):
    """The server then leaves its loop, which cancels what runs."""
    monkeypatch.setenv("FAMILY_SECONDS", "60")
    watched = Watched(folder)
    await watched.until(lambda: len(watched.said("started")) == 2)
    watched.stopping.set()
    await watched.until(lambda: len(watched.said("told")) == 2)
    watched.family.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watched.family
    async with asyncio.timeout(4):
        while not all(gone(pid) for pid in watched.said("started")):  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("which", [1, 2])
async def test_a_process_that_cannot_be_started_is_said_and_tried_again(folder, monkeypatch, capsys, which):
    """The first one is not: what keeps it from starting is told, and that is the end."""
    start, starts = asyncio.create_subprocess_exec, []

    async def fails_once(*arguments: str, **options: object) -> asyncio.subprocess.Process:
        starts.append(arguments)
        if len(starts) == which:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return await start(*arguments, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", fails_once)
    if which == 1:
        with pytest.raises(SystemExit):
            await Family(["serve"], 2, Listen("127.0.0.1", 0)).run(asyncio.Event())
        assert "OSError: [Errno 24] Too many open files" in capsys.readouterr().err
        return
    watched = Watched(folder)
    await watched.until(lambda: len(watched.said("started")) == 2)
    assert "process 2 cannot be started: Too many open files; it is started again" in capsys.readouterr().err
    watched.stopping.set()
    await watched.family


PATIENT = """
import asyncio, os, signal
from kurir.cli import serving
async def work(stopping):
    os.kill(os.getpid(), signal.SIGTERM)
    await stopping.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.1)
    print("drained")
serving.run(work, patient={patient})
"""


@pytest.mark.parametrize(("patient", "output"), [(True, "drained"), (False, "")])
def test_a_child_that_hears_of_its_end_twice_drains_all_the_same(patient, output):
    """As under systemd, which tells every process of a service, while the parent tells its children."""
    command = [sys.executable, "-c", PATIENT.format(patient=patient)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, output), done.stderr


async def test_the_parent_tells_systemd_of_the_family(folder, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        manager.bind("")  # Linux chooses a name
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + manager.getsockname()[1:].decode())
        watched = Watched(folder)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10):
            assert await loop.sock_recv(manager, 100) == b"READY=1"
            assert watched.said("started"), "the first child was ready before"
            watched.stopping.set()
            assert await loop.sock_recv(manager, 100) == b"STOPPING=1"
            await watched.family
