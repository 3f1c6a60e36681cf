"""Many gateways on one PostgreSQL, each a process of its own, with a sandbox and a client that posts to whichever lives."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import asyncpg

from kurir.bench import faults, ledgers, processes, scenario
from kurir.bench.checker import Evidence, check
from kurir.bench.ledgers import Heard, Row, rows
from kurir.bench.load import Client, Platforms, client_session
from kurir.bench.processes import Process
from kurir.sandbox.config import CHANNELS
from kurir.secretbox import encode_key, new_key
from support import postgres

#: The PostgreSQL that the nodes run on where a test brings none.
VERSION = "15"
ADMIN = "administrator of a cluster"
#: How long a killed process, and one that is paused or cut off, may keep its accounts (decision 0018), in seconds.
KILLED_SECONDS = 5.0
PAUSED_SECONDS = 20.0
#: What a run is made against where the test says nothing else: platforms that answer after 5 to 200 ms.
PROFILE = faults.profile("slow")


async def status(on: "Nodes", node: "Node", path: str) -> int:
    """Return the status of a GET, 0 where none came."""
    try:
        async with on.session.get(node.url + path) as answer:
            return answer.status
    except (aiohttp.ClientError, TimeoutError):
        return 0


def of(owners: Mapping[str, int], node: "Node") -> list[str]:
    """Return the accounts that *node* owns."""
    return [name for name, pid in owners.items() if pid == node.pid]


def _doubted(heard: Heard, away: Sequence[tuple[float, float]]) -> Heard:
    doubt = heard.status == 503 and any(heard.began <= until and heard.at >= since for since, until in away)
    return replace(heard, status=ledgers.NO_ANSWER) if doubt else heard


class Spread(Client):
    """A client that sends each request to some node that lives, as a load balancer would."""

    def __init__(self, nodes: "list[Node]", session: aiohttp.ClientSession, run: str) -> None:
        self._nodes = nodes
        self._random = Random(1)
        #: Each answer with the seconds of its Retry-After, 0 without one.
        self.answers: list[tuple[Heard, float]] = []
        super().__init__("", session, run)

    async def _request(self, channel: str, body: Mapping[str, Any]) -> tuple[Heard, float]:
        answer = await super()._request(channel, body)
        self.answers.append(answer)
        return answer

    @property
    def url(self) -> str:  # type: ignore[override] # it changes here
        return self._random.choice([node for node in self._nodes if node.open]).url

    @url.setter
    def url(self, _: str) -> None:
        """There is none that stays."""


class Node(Process):
    """One ``kurir serve``. ``open``: requests are sent to it. ``within``: the command that runs its command, if any."""

    open = False

    def __init__(self, arguments: Sequence[str], url: str, log: Path, within: Sequence[str] = ()) -> None:
        super().__init__(arguments, url, "/readyz", log)
        self._arguments = (*within, *self._arguments)

    def faulty(self) -> list[str]:
        """Return the lines of its log that tell of a fault of its own, with those after it: a stack."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return [
            "\n".join(lines[number : number + 40])
            for number, line in enumerate(lines)
            if any(word in line for word in processes.FAULTS_IN_LOG)
        ]

    def lines_a_second(self) -> int:
        """Return how many lines it logged in the two seconds in which it logged most, by the second.

        What is said once a second may stand at both ends of one.
        """
        seconds: Counter[str] = Counter()
        now = ""
        for line in self.log.read_text("utf-8", "replace").splitlines():
            if line.startswith("{"):
                now = json.loads(line)["timestamp"][:19]
            seconds[now] += 1  # a line of a library has no time of its own
        told = [(datetime.fromisoformat(each), lines) for each, lines in seconds.items() if each]
        pairs = (sum(lines for at, lines in told if 0 <= (at - first).total_seconds() <= 1) for first, _ in told)
        return -(-max(pairs, default=0) // 2)

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
    level: str
    nodes: list[Node] = field(default_factory=list)
    client: Spread = field(init=False)
    people: list[tuple[str, str]] = field(default_factory=list)

    def node(self, *options: str, port: int = 0, within: Sequence[str] = ()) -> Node:
        """Return one more node that is not started. *within* is the command that shall run its command."""
        port = port or processes.free_port()
        number = len(self.nodes)
        arguments = ("serve", "--config", str(self.config), "--listen", f"127.0.0.1:{port}", "--log-level", self.level)
        made = Node(
            (*arguments, *options), f"http://127.0.0.1:{port}", self.folder / f"node-{number}.log", within=within
        )
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

    async def until_owned(
        self, by: Node, pids: Sequence[int], seconds: float = 30.0, *, evenly: bool = False
    ) -> tuple[dict[str, int], float]:
        """Wait until every account is owned by some of *pids*, each of which has one; return the owners and the seconds.

        *evenly*: until nothing more is to be handed over.
        """
        began = time.monotonic()
        owners: dict[str, int] = {}
        while time.monotonic() < began + seconds:
            owners = await self.owners(by)
            shares = Counter(owners.values())
            even = not evenly or max(shares.values(), default=0) - min(shares.values(), default=0) <= 1
            if len(owners) == len(CHANNELS) and set(shares) == set(pids) and even:
                return owners, time.monotonic() - began
            await asyncio.sleep(0.05)
        raise AssertionError(f"the accounts are owned by {owners}, not by {pids}")

    async def begun(self, many: int) -> None:
        """Start *many* nodes, and wait until each has a share."""
        while len(self.nodes) < many:
            self.node()
        await asyncio.gather(*(node.up() for node in self.nodes[:many]))
        await self.until_owned(self.nodes[0], [node.pid for node in self.nodes[:many]], evenly=True)

    async def in_flight(self, accounts: Collection[str] = ()) -> set[str]:
        """Return the messages of *accounts*, or of all, with a part that the store has in flight now."""
        found = await self.asked(
            "SELECT tid FROM message JOIN part USING (seq) WHERE part.phase = 'in_flight'"
            " AND (message.account_id = ANY($1) OR cardinality($1) = 0)",
            list(accounts),
        )
        return {row[0] for row in found}

    async def asked(self, statement: str, *values: Any) -> list[Any]:
        """Ask the database itself; return the rows."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def judged(
        self,
        ends: Sequence[float] = (),
        marked: Collection[str] = (),
        away: Sequence[tuple[float, float]] = (),
    ) -> Evidence:
        """Return the evidence of a run whose nodes were ended, or cut off, at *ends*: every invariant holds.

        A 503 while the database was *away* (from, to) says nothing for certain, as no answer does: a commit may have been
        done and its answer lost. *ends* and *away* are unix seconds.

        What arrived twice was marked in flight by one of them, by the store's own account: *marked*. So the checker need
        not know how long a call may have been under way, nor how many.
        """
        posted = self.client.posted
        evidence = Evidence(
            posted=tuple(replace(one, heard=[_doubted(heard, away) for heard in one.heard]) for one in posted),
            messages=await self.client.told_all(posted),
            platform=self.rows(),
            kills=tuple(ends),
            in_flight=len(posted),
            grace=3600.0,
            heard_within=faults.latency(PROFILE) + scenario.CROSSING_SECONDS,
        )
        broken = [str(one) for one in check(evidence) if one.holds is False]
        assert not broken, "\n".join(broken)
        places: dict[str, list[str]] = {}
        for row in evidence.platform:
            if row.accepted and not row.repeat and row.text:
                places.setdefault(row.text, []).append(row.text)
        doubled = {ledgers.first_word(text)[0] for text, rows in places.items() if len(rows) > 1}  # type: ignore[index] # ours
        tids = {one.tid for one in evidence.posted if one.key in doubled}
        assert tids <= set(marked), "what was not in flight came twice"
        return evidence

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
    reach: Callable[[str], str] = lambda dsn: dsn,
    level: str = "warning",
) -> AsyncIterator[Nodes]:
    """Run a sandbox and a database for nodes, which a test makes and starts. All have ended when this ends.

    The platforms' webhooks go to the first node. *reach* says how the nodes reach the database, given how it is reached;
    *level* how much they log.
    """
    dsn = await postgres.new_database(cluster or postgres.shared(VERSION))
    port, sandbox_port = processes.free_port(), processes.free_port()
    sandbox = processes.sandbox(folder, sandbox_port, f"http://127.0.0.1:{port}", people)

    def whole(document: dict[str, Any]) -> None:
        document |= {"database": reach(dsn), "admin_token": ADMIN, "encryption_key": encode_key(new_key())}
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
            found = Nodes(folder, dsn, config, sandbox, Platforms(sandbox.url, outside), outside, level)
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
