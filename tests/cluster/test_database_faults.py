"""The database fails under load: restarted, silent, failed over. The nodes stay, refuse, and go on by themselves.

``KURIR_TIER=N`` runs the long forms: twenty restarts and five minutes without a database, ten fail-overs.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kurir.bench.checker import table
from kurir.bench.load import Load, lanes
from kurir.sandbox.config import DEMO_WHATSAPP
from kurir.sandbox.receipts import encode, sign
from kurir.store.postgres.connection import COMMIT_SECONDS
from support import postgres
from support.nodes import PROFILE, Node, Nodes, nodes, status
from support.pairs import Pair, pair
from support.postgres import Cluster
from support.swallowing_proxy import Swallowing, swallowing

NIGHTLY = os.environ.get("KURIR_TIER") == "N"
nightly = pytest.mark.skipif(not NIGHTLY, reason="long tier: KURIR_TIER=N")
RATE = 50.0 if NIGHTLY else 20.0
#: What the scorecard asks for, in seconds: a send is refused within, work goes on within, silence is noticed within.
REFUSED_SECONDS = 2.0
BACK_SECONDS = 10.0
NOTICED_SECONDS = 30.0
#: Lines of its log in one second, at most.
LINES = 10
#: A machine that runs the tests beside two databases takes its time; so much, in seconds, is not the gateway's.
SLACK = 1.0 if NIGHTLY else 3.0


@dataclass
class Away:
    """One time without a database: when it began and ended (unix seconds), and how long each node took to be back."""

    what: str
    began: float
    ended: float = 0.0
    back: list[float] = field(default_factory=list)
    #: After how many seconds the platforms got the first message again.
    sending: float = 0.0


@dataclass
class Day:
    """A run, with all that happened to its database."""

    on: Nodes
    aways: list[Away] = field(default_factory=list)

    @asynccontextmanager
    async def away(self, what: str) -> AsyncIterator[Away]:
        """Note a time without a database. At its end it is back, and so are all nodes, by themselves."""
        one = Away(what, time.time())
        self.aways.append(one)
        yield one
        one.ended = time.time()
        one.back = await asyncio.gather(*(self._back(node, one.ended) for node in self.on.nodes))
        one.sending = await self._sending(one.ended)
        assert max(one.back) <= BACK_SECONDS, f"{what}: back after {max(one.back):.1f} s"
        assert one.sending <= BACK_SECONDS, f"{what}: sending after {one.sending:.1f} s"

    async def _back(self, node: Node, since: float) -> float:
        """Wait until *node* says that it is ready; return after how many seconds."""
        async with asyncio.timeout(60):
            while await status(self.on, node, "/readyz") != 200:  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.05)
        return time.time() - since

    async def _sending(self, since: float) -> float:
        """Wait until a platform gets a message; return after how many seconds it did."""
        async with asyncio.timeout(60):
            while not (new := [row.at for row in self.on.rows() if row.at > since]):  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.1)
        return min(new) - since

    def refusals(self) -> list[float]:
        """Return the seconds that each refused send took. Each had a Retry-After, and none was told anything else."""
        heard = [(one, wait) for one, wait in self.on.client.answers if one.status != 200]
        assert {one.status for one, _ in heard} <= {503}, "neither 401 nor 500, and an answer always"
        assert all(wait > 0 for _, wait in heard), "each with Retry-After"
        return sorted(one.at - one.began for one, _ in heard)

    def settled_alive(self, pids: list[int]) -> int:
        """Return the most lines that a node logged in a second. All processes are those that began."""
        assert [node.pid for node in self.on.nodes if node.running] == pids, "no process ended"
        assert [line for node in self.on.nodes for line in node.faulty()] == []
        return max(node.lines_a_second() for node in self.on.nodes)


async def webhook(on: Nodes, node: Node) -> int:
    """Post a receipt for a message that nobody sent, signed by its platform; return the status of the answer."""
    receipt = {"id": "wamid.nobody", "status": "sent", "timestamp": "1700000000", "recipient_id": "6281234"}
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"phone_number_id": DEMO_WHATSAPP.phone_number_id},
        "statuses": [receipt],
    }
    raw = encode(
        {
            "object": "whatsapp_business_account",
            "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}],
        }
    )
    headers = {"X-Hub-Signature-256": sign(DEMO_WHATSAPP.app_secret, raw)}
    async with on.session.post(f"{node.url}/webhooks/demo-wa", data=raw, headers=headers) as answer:
        return answer.status


async def refused(on: Nodes, many: int, seconds: float) -> None:
    """Wait until *many* more sends were refused, at most so many *seconds*."""
    before = sum(1 for heard, _ in on.client.answers if heard.status == 503)
    async with asyncio.timeout(seconds):
        while sum(1 for heard, _ in on.client.answers if heard.status == 503) < before + many:  # noqa: ASYNC110 - a poll costs nothing here
            await asyncio.sleep(0.02)


async def more(on: Nodes, many: int, seconds: float = 30.0) -> None:
    await on.client.until_posted(sum(1 for one in on.client.posted if one.acknowledged) + many, seconds)


async def restart(day: Day, cluster: Cluster, how: str, seconds: float = 1.0) -> set[str]:
    """Stop the database: «fast», «immediate» or «kill -9»; start it after so many *seconds* and some refusals.

    Returns what was in flight when it was back, by its account.
    """
    stop: dict[str, Callable[[], None]] = {
        "fast": lambda: cluster.stop(how=signal.SIGINT),
        "immediate": lambda: cluster.stop(how=signal.SIGQUIT),
        "kill -9": cluster.kill,
    }
    async with day.away(how):
        await asyncio.to_thread(stop[how])
        await asyncio.gather(refused(day.on, 3, 20.0), asyncio.sleep(seconds))
        assert await webhook(day.on, day.on.nodes[0]) == 503, "so that the platform sends it again"
        assert await status(day.on, day.on.nodes[0], "/livez") == 200
        assert await status(day.on, day.on.nodes[0], "/readyz") == 503
        await asyncio.to_thread(cluster.start)
        return await day.on.in_flight()


async def silence(day: Day, proxy: Swallowing, seconds: float = 0.0) -> tuple[float, set[str]]:
    """Swallow what the nodes and the database tell each other.

    Returns after how many seconds all nodes said so, and what was in flight when it was over.
    """
    async with day.away("silence"):
        began = time.monotonic()
        proxy.swallow()
        async with asyncio.timeout(NOTICED_SECONDS):
            while {await status(day.on, node, "/readyz") for node in day.on.nodes} != {503}:  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.05)
        noticed = time.monotonic() - began
        await refused(day.on, 3, 20.0)
        await asyncio.sleep(seconds)
        marked = await day.on.in_flight()  # by a way of its own
        proxy.speak()
    return noticed, marked


async def fail_over(day: Day, on: Pair, seconds: float = 1.0) -> set[str]:
    """Kill the primary and promote its standby after so many *seconds*; return what was in flight by the standby's account."""
    async with day.away("fail-over"):
        await asyncio.to_thread(on.primary.kill)
        await asyncio.gather(refused(day.on, 3, 20.0), asyncio.sleep(seconds))
        assert await webhook(day.on, day.on.nodes[0]) == 503
        await asyncio.to_thread(on.fail_over)
        day.on.dsn = on.primary.dsn(day.on.dsn.rpartition("/")[2])
        return await day.on.in_flight()


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """A cluster of the test's own that keeps what it acknowledged."""
    own = Cluster(postgres.servers()["15"], durable=True)
    try:
        await asyncio.to_thread(own.create)
        await asyncio.to_thread(own.start)
        yield own
    finally:
        own.remove()


async def figures(day: Day, pids: list[int], marked: set[str]) -> str:
    """Judge the run, and return what it came to."""
    on = day.on
    await on.platforms.fault(None)
    settled = await on.client.settled(120.0)
    lines = day.settled_alive(pids)
    # A commit that was under way may be refused as late as its own time is over.
    away = [(one.began, one.ended + COMMIT_SECONDS) for one in day.aways]
    evidence = await on.judged([one.began for one in day.aways], marked, away)
    whole = table(evidence)[-1]
    assert lines <= LINES
    return (
        f"{len(pids)} × kurir at {RATE:g}/s: {whole.accepted} accepted, {whole.lost} lost, {whole.doubled} doubled and "
        f"reported of {len(marked)} in flight, order kept, at most {lines} log lines a second; all settled {settled:.0f} s "
        f"after the load"
    )


def slowest(day: Day) -> str:
    """Return after how many seconds all nodes took sends again, and the platforms got messages, at the longest."""
    return (
        f"{max(max(one.back) for one in day.aways):.1f} s, sending after {max(one.sending for one in day.aways):.1f} s"
    )


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.scorecard(26)
@pytest.mark.scorecard(27)
@pytest.mark.scorecard(41)
@pytest.mark.skipif(NIGHTLY, reason="long tier: each of it has a longer form")
async def test_a_bad_day_of_the_database(tmp_path: Path):
    """Restarted three times, silent, then dead for good: its standby takes over. All that under load, in one process."""
    async with pair() as two, swallowing(two.primary.port) as proxy:

        def reach(dsn: str) -> str:
            return two.both(dsn).replace(f":{two.primary.port}", f":{proxy.port}")

        async with nodes(tmp_path, cluster=two.primary, people=20, reach=reach, level="info") as on:
            await on.begun(1)
            pids = [node.pid for node in on.nodes]
            await on.platforms.fault({"seed": 41, **PROFILE})
            day = Day(on)
            marked: set[str] = set()
            async with Load(on.client, lanes(on.people), RATE, 20261123):
                await more(on, 20)
                for how in ("fast", "immediate", "kill -9"):
                    marked |= await restart(day, two.primary, how)
                    await more(on, 10)
                refusals = day.refusals()
                noticed, open_then = await silence(day, proxy)
                await more(on, 10)
                last = await fail_over(day, two)
                await more(on, 20)
            whole = await figures(day, pids, marked | open_then | last)
            backs = [f"{one.what} {max(one.back):.1f} s (sending {one.sending:.1f} s)" for one in day.aways]
            assert refusals[-1] <= REFUSED_SECONDS + SLACK, f"a send was refused after {refusals[-1]:.1f} s"
            print(
                f"scorecard 26: PostgreSQL restarted 3 ×: back after {', '.join(backs[:3])}; refused within "
                f"{refusals[-1]:.1f} s, each 503 with Retry-After; {whole}"
            )
            print(f"scorecard 27: the database silent: noticed after {noticed:.0f} s; {whole}")
            print(
                f"scorecard 41: primary killed under load, its synchronous standby promoted: back: {backs[4]}; {whole}"
            )


@nightly
@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.scorecard(26)
async def test_twenty_restarts_and_five_minutes_without_a_database(tmp_path: Path, cluster: Cluster):
    async with nodes(tmp_path, cluster=cluster, level="info") as on:
        await on.begun(3)
        pids = [node.pid for node in on.nodes]
        await on.platforms.fault({"seed": 26, **PROFILE})
        day = Day(on)
        marked: set[str] = set()
        async with Load(on.client, lanes(on.people), RATE, 20261123):
            await more(on, 100)
            for number in range(20):
                marked |= await restart(day, cluster, ("fast", "immediate", "kill -9")[number % 3])
                await more(on, 100)
            marked |= await restart(day, cluster, "kill -9", 300.0)
            await more(on, 200)
        refusals = day.refusals()
        whole = await figures(day, pids, marked)
        assert refusals[-1] <= REFUSED_SECONDS + SLACK, f"a send was refused after {refusals[-1]:.1f} s"
        print(
            f"scorecard 26: PostgreSQL restarted 20 × and away for 5 minutes: back after {slowest(day)}; "
            f"{len(refusals)} sends refused, within {refusals[-1]:.1f} s, each 503 with Retry-After; {whole}"
        )


@nightly
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.scorecard(27)
async def test_a_database_that_falls_silent_again_and_again(tmp_path: Path, cluster: Cluster):
    async with swallowing(cluster.port) as proxy:

        def reach(dsn: str) -> str:
            return dsn.replace(f":{cluster.port}", f":{proxy.port}")

        async with nodes(tmp_path, cluster=cluster, reach=reach) as on:
            await on.begun(3)
            pids = [node.pid for node in on.nodes]
            await on.platforms.fault({"seed": 27, **PROFILE})
            day = Day(on)
            noticed: list[float] = []
            marked: set[str] = set()
            async with Load(on.client, lanes(on.people), RATE, 20261123):
                for seconds in (0.0, 5.0, 10.0, 40.0, 0.0):
                    await more(on, 100)
                    after, open_then = await silence(day, proxy, seconds)
                    noticed.append(after)
                    marked |= open_then
                await more(on, 200)
            whole = await figures(day, pids, marked)
            print(
                f"scorecard 27: the database silent 5 × for up to 40 s: noticed within {max(noticed):.0f} s, back after "
                f"{slowest(day)}; {whole}"
            )


@nightly
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.scorecard(41)
async def test_ten_fail_overs(tmp_path: Path):
    async with pair() as two, nodes(tmp_path, cluster=two.primary, reach=two.both) as on:
        await on.begun(3)
        pids = [node.pid for node in on.nodes]
        await on.platforms.fault({"seed": 41, **PROFILE})
        day = Day(on)
        marked: set[str] = set()
        async with Load(on.client, lanes(on.people), RATE, 20261123):
            await more(on, 100)
            for number in range(10):
                if number:
                    await two.rebuild()
                marked |= await fail_over(day, two)
                await more(on, 100)
        refusals = day.refusals()
        whole = await figures(day, pids, marked)
        away = max(one.ended - one.began for one in day.aways)
        print(
            f"scorecard 41: 10 × the primary killed, its synchronous standby promoted within {away:.1f} s: back after "
            f"{slowest(day)}; refused within {refusals[-1]:.1f} s; {whole}"
        )
