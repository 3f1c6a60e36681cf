"""What systemd is told of a service: that it is ready, that its loop goes round, that it stops. Without systemd, nothing.

The protocol is one datagram of ``NAME=value`` lines to the socket in ``NOTIFY_SOCKET`` (sd_notify(3), sd_watchdog_enabled(3));
no library is needed for it. A loop that hangs says nothing any more, and systemd ends the process and starts it again.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Final

#: The part of the watchdog's time after which it is told again: half of it, as sd_watchdog_enabled(3) recommends.
SHARE: Final = 0.5


def tell(state: str, env: Mapping[str, str]) -> bool:
    """Send *state* to the service manager. Returns whether there is one that took it; a lost datagram is no failure."""
    place = env.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return False
    address = "\0" + place[1:] if place.startswith("@") else place
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sent:
        try:
            sent.sendto(state.encode(), address)
        except OSError:
            return False
    return True


def watched_seconds(env: Mapping[str, str]) -> float | None:
    """Return after how many seconds of silence systemd ends this process, None where it does not."""
    if env.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # it is meant for another process
    told = env.get("WATCHDOG_USEC", "")
    return int(told) / 1e6 if told.isascii() and told.isdigit() and int(told) > 0 else None


@contextlib.asynccontextmanager
async def told(env: Mapping[str, str] | None = None) -> AsyncIterator[None]:
    """Say that the service is ready; meanwhile, that its loop goes round; at the end, that it stops."""
    env = os.environ if env is None else env
    tell("READY=1", env)
    seconds = watched_seconds(env)
    lives = None if seconds is None else asyncio.create_task(_live(seconds * SHARE, env), name="systemd")
    try:
        yield
    finally:
        if lives is not None:
            lives.cancel()
        tell("STOPPING=1", env)


async def _live(seconds: float, env: Mapping[str, str]) -> None:
    while True:
        tell("WATCHDOG=1", env)
        await asyncio.sleep(seconds)
