"""Many gateways on one PostgreSQL, each a process of its own, with a sandbox and a client that posts to whichever lives."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from kurir.bench import processes, scenario
from kurir.bench.ledgers import Row, rows
from kurir.bench.load import Client, Platforms, client_session
from kurir.bench.processes import Process
from kurir.sandbox.config import CHANNELS
from kurir.secretbox import encode_key, new_key
from support import postgres

#: The PostgreSQL that the nodes run on where a test brings none.
VERSION = "15"
ADMIN = "administrator of a cluster"


class Spread(Client):
    """A client that sends each request to some node that lives, as a load balancer would."""

    def __init__(self, nodes: "list[Node]", session: aiohttp.ClientSession, run: str) -> None:
        self._nodes = nodes
        self._random = Random(1)
        super().__init__("", session, run)

    @property
    def url(self) -> str:  # type: ignore[override] # it changes here
        return self._random.choice([node for node in self._nodes if node.open]).url

    @url.setter
    def url(self, _: str) -> None:
        """There is none that stays."""


class Node(Process):
    """One ``kurir serve``. ``open``: requests are sent to it."""

    open = False

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def up(self) -> None:
        self.start()
        await self.ready()
        self.open = True

    def down(self) -> float:
        self.open = False
        return self.kill()


@dataclass
class Nodes:
    """The nodes of a test, and what is around them."""

    folder: Path
    dsn: str
    config: Path
    sandbox: Process
    platforms: Platforms
    session: aiohttp.ClientSession
    nodes: list[Node] = field(default_factory=list)
    client: Spread = field(init=False)
    people: list[tuple[str, str]] = field(default_factory=list)

    def node(self, *options: str, port: int = 0) -> Node:
        """Return one more node that is not started."""
        port = port or processes.free_port()
        number = len(self.nodes)
        arguments = ("serve", "--config", str(self.config), "--listen", f"127.0.0.1:{port}", "--log-level", "warning")
        made = Node((*arguments, *options), f"http://127.0.0.1:{port}", "/readyz", self.folder / f"node-{number}.log")
        self.nodes.append(made)
        return made

    async def told(self, node: Node, path: str, method: str = "GET") -> Any:
        """Ask a node as the administrator."""
        headers = {"Authorization": f"Bearer {ADMIN}"}
        async with self.session.request(method, f"{node.url}/v1/admin/{path}", headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return (await answer.json())["data"]

    async def owners(self, by: Node) -> dict[str, int]:
        """Return the process that owns each account, as *by* tells."""
        return {name: one["pid"] for one in await self.told(by, "nodes") for name in one["accounts"]}

    async def until_owned(self, by: Node, pids: Sequence[int], seconds: float = 30.0) -> tuple[dict[str, int], float]:
        """Wait until every account is owned by some of *pids*, each of which has one; return the owners and the seconds."""
        began = time.monotonic()
        owners: dict[str, int] = {}
        while time.monotonic() < began + seconds:
            owners = await self.owners(by)
            if len(owners) == len(CHANNELS) and set(owners.values()) == set(pids):
                return owners, time.monotonic() - began
            await asyncio.sleep(0.05)
        raise AssertionError(f"the accounts are owned by {owners}, not by {pids}")

    def rows(self) -> list[Row]:
        return rows(self.folder / "platforms.jsonl")

    def words(self) -> str:
        """Return what the nodes logged, for a test that failed."""
        return "\n".join(f"--- {node.log.name}\n{node.last_words()}" for node in self.nodes)


@asynccontextmanager
async def nodes(
    folder: Path,
    *,
    cluster: postgres.Cluster | None = None,
    people: int = 40,
    account: Mapping[str, Any] | None = None,
    edit: Any = None,
) -> AsyncIterator[Nodes]:
    """Run a sandbox and a database for nodes, which a test makes and starts. All have ended when this ends.

    The platforms' webhooks go to the first node.
    """
    dsn = await postgres.new_database(cluster or postgres.shared(VERSION))
    port, sandbox_port = processes.free_port(), processes.free_port()
    sandbox = processes.sandbox(folder, sandbox_port, f"http://127.0.0.1:{port}", people)

    def whole(document: dict[str, Any]) -> None:
        document |= {"database": dsn, "admin_token": ADMIN, "encryption_key": encode_key(new_key())}
        if edit is not None:
            edit(document)

    settings = scenario.ACCOUNT if account is None else account
    document = processes.configuration(folder, port, sandbox.url, account=settings, edit=whole)
    config = folder / "kurir.toml"
    config.touch(mode=0o600)
    config.write_text(processes.toml(document), "utf-8")
    sandbox.start()
    await sandbox.ready()
    try:
        async with client_session() as session, client_session() as outside:
            found = Nodes(folder, dsn, config, sandbox, Platforms(sandbox.url, outside), outside)
            found.client = Spread(found.nodes, session, f"{int(time.time())}-{os.getpid()}")
            found.people = await found.platforms.people(CHANNELS)
            found.node(port=port)
            try:
                yield found
            except BaseException:
                print(found.words())
                raise
            finally:
                for node in found.nodes:
                    if node.running:
                        node.signal(signal.SIGCONT)
                        await node.terminate()
    finally:
        await sandbox.terminate()
