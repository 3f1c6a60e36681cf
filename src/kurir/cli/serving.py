"""Running a server, or anything that goes on until Ctrl-C: the loop, the signals, and the errors of a start as a sentence."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from kurir.cli.running import fail
from kurir.configuration.problems import ConfigError
from kurir.secretbox import EncryptionKeyError
from kurir.store.base import StoreUnusable

#: How many objects may come before the youngest are looked at, and how many such looks before the older ones are.
COLLECT: Final = (10_000, 20, 20)


def run(work: Callable[[asyncio.Event], Awaitable[None]], *, patient: bool = False) -> None:
    """Run *work* until it ends; it is given an event that is set on SIGINT and SIGTERM.

    A second signal ends at once, unless *patient*: who is one of a family hears each signal twice, from its parent and from
    whoever sent it to all of them (a terminal, systemd), and its parent ends it where it has to.
    """

    async def main() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_signal() -> None:
            if stopping.is_set() and not patient:
                sys.stderr.write("stopped at once\n")
                loop.stop()
            stopping.set()

        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, on_signal)
        await work(stopping)

    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(main())
    except (ConfigError, EncryptionKeyError, StoreUnusable) as error:
        fail(str(error))
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        fail(f"cannot start: {place}{error.strerror or error}")
    except RuntimeError as error:
        if "Event loop stopped" not in str(error):
            raise


def settle() -> None:
    """Let the garbage collector alone with what a started process holds for good: modules, routes, tables.

    It would walk over all of that again and again, and most of what a message makes is freed by its reference counts.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return how the fastest event loop that is here is made; None for asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop
