"""A primary and its synchronous standby: what PostgreSQL itself brings for a machine that may die."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from support import postgres
from support.postgres import Cluster


@dataclass
class Pair:
    """Two clusters, of which the second one follows the first, until a fail-over turns them round."""

    primary: Cluster
    standby: Cluster

    def both(self, dsn: str) -> str:
        """Return how a database is reached wherever it is: with the hosts of both, the first one first."""
        parts = urlsplit(dsn)
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in sorted((self.primary, self.standby), key=id))
        return urlunsplit(parts._replace(netloc=f"{parts.username}@{hosts}", query="target_session_attrs=read-write"))

    async def synchronous(self, seconds: float = 30.0) -> None:
        """Let the primary answer no commit that its standby has not, and wait until the standby follows."""
        connection = await asyncpg.connect(self.primary.dsn())
        try:
            await connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            await connection.execute("SELECT pg_reload_conf()")
            async with asyncio.timeout(seconds):
                asked = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
                while not await connection.fetchval(asked):  # noqa: ASYNC110 - a server sets no event
                    await asyncio.sleep(0.05)
        finally:
            await connection.close()

    def fail_over(self) -> float:
        """Promote the standby, as its operator would; return the seconds that it took. It waits for no standby of its own."""
        began = time.monotonic()
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary
        return time.monotonic() - began

    async def rebuild(self) -> None:
        """Make the old primary, which is dead, the synchronous standby of the new one."""
        await asyncio.to_thread(self.standby.empty)
        await asyncio.to_thread(self.standby.create_as_standby_of, self.primary)
        await asyncio.to_thread(self.standby.start)
        await self.synchronous()


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    """Run a pair of Debian's clusters. What it acknowledged is on both disks."""
    # A standby looks for its primary every five seconds by itself, and until it is back no commit is answered.
    settings = {"wal_retrieve_retry_interval": "200ms"}
    clusters = [Cluster(postgres.servers()["15"], durable=True, settings=settings) for _ in range(2)]
    both = Pair(*clusters)
    try:
        await asyncio.to_thread(both.primary.create)
        await asyncio.to_thread(both.primary.start)
        await asyncio.to_thread(both.standby.create_as_standby_of, both.primary)
        await asyncio.to_thread(both.standby.start)
        await both.synchronous()
        yield both
    finally:
        for one in clusters:
            one.remove()
