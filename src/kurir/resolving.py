"""Names that clients chose are resolved in threads of their own, so that slow name servers hold up nobody else.

The system's resolver blocks its thread, for half a minute where a name server does not answer. The loop's own threads are
few (uvloop has four), and they are all that calls to platforms have.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

#: Names that are being resolved at once, at most. A thread is only made when it is needed.
THREADS: Final = 32


class ThreadsOfItsOwn(AbstractResolver):
    """The system's resolver, in at most :data:`THREADS` threads; *name* is what they are called."""

    def __init__(self, name: str) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"resolve {name}")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of *host*. Raises OSError where it has none, or nobody says."""
        ask = partial(
            socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return [
            ResolveResult(
                hostname=host,
                host=str(place[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, place in found
            if kind in (socket.AF_INET, socket.AF_INET6)
        ]

    async def close(self) -> None:
        """Resolve nothing more. Who waits for a name server is left to it."""
        self._threads.shutdown(wait=False, cancel_futures=True)
