"""What systemd is told, by a socket that listens as it does."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kurir.cli import systemd


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """Listen as systemd does; give the socket and the value of NOTIFY_SOCKET."""
    place = str(tmp_path / "notify") if request.param == "path" else f"@kurir-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + place[1:] if place.startswith("@") else place)
        listening.setblocking(False)
        yield listening, place


async def heard(listening: socket.socket) -> str:
    async with asyncio.timeout(30):
        return (await asyncio.get_running_loop().sock_recv(listening, 100)).decode()


async def test_ready_alive_again_and_again_and_stopping(manager: tuple[socket.socket, str]) -> None:
    listening, place = manager
    async with systemd.told({"NOTIFY_SOCKET": place, "WATCHDOG_USEC": "2000", "WATCHDOG_PID": str(os.getpid())}):
        assert await heard(listening) == "READY=1"
        for _ in range(3):
            assert await heard(listening) == "WATCHDOG=1"
    found = [await heard(listening)]
    while found[-1] == "WATCHDOG=1":  # what was told before the end
        found.append(await heard(listening))
    assert found[-1] == "STOPPING=1"
    with pytest.raises(BlockingIOError):
        listening.recv(100)


async def test_without_a_watchdog_only_the_beginning_and_the_end(manager: tuple[socket.socket, str]) -> None:
    listening, place = manager
    async with systemd.told({"NOTIFY_SOCKET": place, "WATCHDOG_USEC": "2000", "WATCHDOG_PID": "1"}):
        await asyncio.sleep(0)
    assert (await heard(listening), await heard(listening)) == ("READY=1", "STOPPING=1")


async def test_a_loop_that_hangs_says_nothing(manager: tuple[socket.socket, str]) -> None:
    listening, place = manager
    async with systemd.told({"NOTIFY_SOCKET": place, "WATCHDOG_USEC": "2000"}):
        assert await heard(listening) == "READY=1"
        assert await heard(listening) == "WATCHDOG=1"
        while True:  # what is there already
            try:
                listening.recv(100)
            except BlockingIOError:
                break
        listening.settimeout(0.05)  # the loop stands still for this time, in which it would have spoken fifty times
        with pytest.raises(TimeoutError):
            listening.recv(100)
        listening.setblocking(False)
        assert await heard(listening) == "WATCHDOG=1", "and again when it goes on"


@pytest.mark.parametrize("place", ["", "relative", "/no/such/socket", "@nobody-listens-here"])
async def test_without_a_manager_nothing_happens(place: str) -> None:
    async with systemd.told({"NOTIFY_SOCKET": place, "WATCHDOG_USEC": "2000000"}):
        pass
    assert systemd.tell("READY=1", {"NOTIFY_SOCKET": place}) is False


@pytest.mark.parametrize(
    ("env", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_how_long_a_silence_may_be(env: dict[str, str], seconds: float | None) -> None:
    assert systemd.watched_seconds(env) == seconds
