"""Time and ids, so that nothing else in kurir asks the machine for them.

Wall-clock time is for the edges (what is shown, what is stored, what a platform said); durations are measured with the
monotonic clock. Tests use :class:`FakeClock`.
"""

import os
import time
from datetime import UTC, datetime
from typing import Final, Protocol


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


class _Randomness:
    """Random numbers of 80 bits from the system, fetched a page at a time: one system call for 400 ids instead of one each."""

    def __init__(self) -> None:
        self._numbers: list[int] = []

    def take(self) -> int:
        """Return a number that was never given before. Threads may ask at once: a list gives each of its items once."""
        try:
            return self._numbers.pop()
        except IndexError:
            page = os.urandom(4000)
            numbers = [int.from_bytes(page[at : at + 10], "big") for at in range(0, len(page), 10)]
            self._numbers.extend(numbers[1:])
            return numbers[0]

    def forget(self) -> None:
        """Throw the page away: a forked child must not give its parent's numbers."""
        self._numbers = []


_RANDOMNESS: Final = _Randomness()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_RANDOMNESS.forget)


def uuid7(milliseconds: int | None = None) -> str:
    """Return a UUIDv7 (RFC 9562, section 5.7) as text: 48 bits of Unix milliseconds, then 74 random bits."""
    text = uuid7_hex(milliseconds)
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


#: What of a UUIDv7 is random, and the version and the variant between.
_RANDOM_BITS: Final = 0xFFF << 64 | (1 << 62) - 1
_FIXED_BITS: Final = 0x7 << 76 | 1 << 63


def uuid7_hex(milliseconds: int | None = None) -> str:
    """Return a UUIDv7 as its 32 hexadecimal digits alone."""
    stamp = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    return f"{(stamp & 0xFFFFFFFFFFFF) << 80 | _FIXED_BITS | _RANDOMNESS.take() & _RANDOM_BITS:032x}"
