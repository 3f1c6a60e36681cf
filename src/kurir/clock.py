"""Time and ids, so that nothing else in kurir asks the machine for them.

Wall-clock time is for the edges (what is shown, what is stored, what a platform said); durations are measured with the
monotonic clock. Tests use :class:`FakeClock`.
"""

import os
import time
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds of a clock that never jumps."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds of a clock that never jumps."""
        return time.monotonic()


class FakeClock:
    """A clock that moves only when told to."""

    def __init__(self, start: datetime | None = None) -> None:
        self._wall = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._monotonic = 1000.0

    def now(self) -> datetime:
        """Return the time set."""
        return self._wall

    def monotonic(self) -> float:
        """Return the seconds moved so far, from an arbitrary start."""
        return self._monotonic

    def move(self, seconds: float) -> None:
        """Let *seconds* pass on both clocks."""
        self._wall = datetime.fromtimestamp(self._wall.timestamp() + seconds, UTC)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward (or back) without letting time pass, as an administrator or NTP does."""
        self._wall = datetime.fromtimestamp(self._wall.timestamp() + seconds, UTC)


def uuid7(milliseconds: int | None = None) -> str:
    """Return a UUIDv7 (RFC 9562, section 5.7) as text: 48 bits of Unix milliseconds, then 74 random bits."""
    stamp = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    random = int.from_bytes(os.urandom(10), "big")
    value = (
        (stamp & 0xFFFFFFFFFFFF) << 80 | 0x7 << 76 | (random >> 68 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    )
    return str(UUID(int=value))
