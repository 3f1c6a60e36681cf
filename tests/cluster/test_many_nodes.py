"""Many nodes on one PostgreSQL: killed, stopped, paused, added; and what the checker says of it.

``KURIR_TIER=N`` kills thirty times and pauses four times, under more load.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Collection, Sequence

import aiohttp
import pytest

from kurir.bench.checker import table
from kurir.bench.load import Load, lanes
from kurir.bench.processes import USERNAME
from kurir.store.postgres.leases import LEASE_SECONDS
from support import postgres
from support.nodes import KILLED_SECONDS, PAUSED_SECONDS, PROFILE, Node, Nodes, nodes, of

NIGHTLY = os.environ.get("KURIR_TIER") == "N"
RATE = 50.0 if NIGHTLY else 30.0
KILLS = 30 if NIGHTLY else 2
PAUSES = 4 if NIGHTLY else 1
#: So slow that a process which is stopped has many calls under way.
LONG_CALLS = {"latency": 0.6, "jitter": 0.6}
LONGEST_CALL = 1.2


def channels_of(accounts: Sequence[str]) -> list[str]:
    short = {"wa": "whatsapp", "tg": "telegram", "line": "line", "fb": "messenger"}
    return [next((full for end, full in short.items() if name.endswith(end)), name) for name in accounts]


@pytest.mark.slow
@pytest.mark.timeout(1800 if NIGHTLY else 180)
@pytest.mark.scorecard(9)
async def test_of_three_nodes_one_is_killed_under_load(tmp_path):
    async with nodes(tmp_path) as on:
        await on.begun(3)
        await on.platforms.fault({"seed": 1, **PROFILE})
        took: list[float] = []
        ends: list[float] = []
        marked: set[str] = set()
        async with Load(on.client, lanes(on.people), RATE, 20261122):
            for number in range(KILLS):
                victim = on.nodes[1 + number % 2]
                await more(on, 100)
                accounts = of(await on.owners(on.nodes[0]), victim)
                ends.append(time.time())
                victim.down()
                marked |= await on.in_flight(accounts)
                rest = [node for node in on.nodes if node is not victim]
                _, seconds = await on.until_owned(on.nodes[0], [node.pid for node in rest])
                took.append(seconds)
                await more(on, 50)
                await victim.up()
                await on.until_owned(on.nodes[0], [node.pid for node in on.nodes])
        await on.platforms.fault(None)
        settled = await on.client.settled(120.0)
        evidence = await on.judged(ends, marked)
        whole = table(evidence)[-1]
        print(
            f"scorecard 9: 3 processes on PostgreSQL 15, {len(took)} × kill -9 at {RATE:g}/s: {whole.accepted} accepted, "
            f"{whole.lost} lost, {whole.doubled} doubled and reported of {len(marked)} in flight, order kept; "
            f"taken over within {max(took):.1f} s; all settled {settled:.0f} s after the load"
        )
        assert max(took) <= KILLED_SECONDS
        assert whole.lost == 0


async def more(on: Nodes, many: int) -> None:
    await on.client.until_posted(sum(1 for one in on.client.posted if one.acknowledged) + many)


@pytest.mark.slow
@pytest.mark.timeout(600 if NIGHTLY else 180)
@pytest.mark.scorecard(10)
async def test_a_node_that_was_paused_past_its_lease_repeats_at_most_what_it_had_marked(tmp_path):
    async with nodes(tmp_path) as on:
        await on.begun(2)
        await on.platforms.fault({"seed": 2, **LONG_CALLS})
        ends: list[float] = []
        took: list[float] = []
        marked: set[str] = set()
        late = lost = had = 0
        async with Load(on.client, lanes(on.people), RATE, 20261122):
            for number in range(PAUSES):
                first, zombie = on.nodes if number % 2 == 0 else reversed(on.nodes)
                await more(on, 150)
                owners = await on.owners(first)
                had += len(of(owners, zombie))
                zombie.open = False
                paused_at = time.time()
                zombie.signal(signal.SIGSTOP)
                await asyncio.sleep(1.0)  # what it had sent to the database is committed
                open_then = await calls_under_way(on, of(owners, zombie))
                _, seconds = await on.until_owned(first, [first.pid], 40.0)
                took.append(seconds + 1.0)
                await more(on, 100)
                gone_before = accounts_lost(zombie)
                woken_at = time.time()
                zombie.signal(signal.SIGCONT)
                await zombie.ready()
                await on.until_owned(first, [first.pid, zombie.pid], evenly=True)
                zombie.open = True
                await more(on, 100)
                ends += [paused_at, woken_at]
                marked |= {tid for tid, _ in open_then}
                lost += accounts_lost(zombie) - gone_before
                late += await brought_late(on, open_then, paused_at)
        await on.platforms.fault(None)
        await on.client.settled(120.0)
        evidence = await on.judged(ends, marked)
        whole = table(evidence)[-1]
        print(
            f"scorecard 10: 2 processes on PostgreSQL 15, {PAUSES} × one stopped past its lease at {RATE:g}/s: "
            f"{whole.accepted} accepted, {whole.lost} lost, {whole.doubled} doubled and reported of {len(marked)} in flight; "
            f"taken over within {max(took):.1f} s; woken, it saw that {lost} accounts were gone; {late} late outcomes written"
        )
        assert max(took) <= PAUSED_SECONDS
        assert lost == had
        assert late == 0
        assert whole.lost == 0


def accounts_lost(node: Node) -> int:
    return node.log.read_text().count('{"lease": "account:')


async def calls_under_way(on: Nodes, accounts: Collection[str]) -> list[tuple[str, int]]:
    """Return (message, part) of each call of *accounts* that the store has in flight now."""
    asked = (
        "SELECT tid, part.number FROM message JOIN part USING (seq)"
        " WHERE part.phase = 'in_flight' AND message.account_id = ANY($1)"
    )
    return [(row[0], row[1]) for row in await on.asked(asked, list(accounts))]


async def brought_late(on: Nodes, calls: Collection[tuple[str, int]], paused_at: float) -> int:
    """Return of how many of *calls*, which were under way at *paused_at*, the store has an outcome other than «unknown».

    Such an outcome could only be the paused node's.
    """
    asked = (
        "SELECT count(*) FROM attempt AS tried JOIN message USING (seq)"
        " JOIN unnest($1::text[], $2::bigint[]) AS open (tid, part) ON open.tid = message.tid AND open.part = tried.part"
        " WHERE tried.outcome <> 'unknown' AND tried.at BETWEEN $3 AND $4"
    )
    span = [int((paused_at - LONGEST_CALL) * 1e6), int(paused_at * 1e6)]
    [found] = await on.asked(asked, [tid for tid, _ in calls], [part for _, part in calls], *span)
    return int(found[0])


@pytest.mark.slow
async def test_a_clean_stop_hands_over_at_once_and_a_new_node_takes_its_share(tmp_path):
    async with nodes(tmp_path) as on:
        await on.begun(2)
        await on.platforms.fault({"seed": 3, **PROFILE})
        first, second = on.nodes
        async with Load(on.client, lanes(on.people), 40.0, 1):
            await on.client.until_posted(100)
            second.open = False
            await asyncio.sleep(0.3)  # what was sent to it is answered
            code, _ = await second.terminate()
            assert code == 0
            _, seconds = await on.until_owned(first, [first.pid])
            assert seconds < 2.0
            assert len(await on.told(first, "nodes")) == 1
            await on.client.until_posted(len(on.client.posted) + 50)
            third = on.node()
            await third.up()
            owners, _ = await on.until_owned(first, [first.pid, third.pid], evenly=True)
            assert len(of(owners, third)) == 2
            await on.client.until_posted(len(on.client.posted) + 50)
        await on.platforms.fault(None)
        await on.client.settled(30.0)
        evidence = await on.judged()
        assert table(evidence)[-1].doubled == 0


@pytest.mark.slow
async def test_an_account_is_paused_and_resumed_on_any_node(tmp_path):
    async with nodes(tmp_path) as on:
        await on.begun(2)
        owners = await on.owners(on.nodes[0])
        for asked, other in (on.nodes, reversed(on.nodes)):
            account = of(owners, other)[0]  # owned by the other one
            paused = await on.told(asked, f"accounts/{account}/pause", "POST")
            assert (paused["standing"], paused["node"]["host"] != "") == ("paused", True)
            await until_standing(on, other, account, "paused")
            await on.told(asked, f"accounts/{account}/resume", "POST")
            await until_standing(on, other, account, "working")


async def until_standing(on: Nodes, node: Node, account: str, standing: str) -> None:
    """Wait until *node* says so of an account that it owns: by the hint at once, else within a second."""
    async with asyncio.timeout(2.0):
        while (await on.told(node, f"accounts/{account}"))["standing"] != standing:  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_who_waits_for_the_feed_on_another_node_hears_at_once(tmp_path):
    async with nodes(tmp_path) as on:
        await on.begun(2)
        owners = await on.owners(on.nodes[0])
        owner = next(node for node in on.nodes if "telegram" in channels_of(of(owners, node)))
        other = next(node for node in on.nodes if node is not owner)
        lane = next(one for one in lanes(on.people) if one.channel == "telegram")
        waiting = asyncio.create_task(waited(on, other))
        await asyncio.sleep(0.5)
        one = await on.client.post(lane)
        event, at = await waiting
        assert one.tid in json.dumps(event)
        assert one.acknowledged is not None
        print(f"told on another node {at - one.acknowledged.at:.2f} s after the 200")


async def waited(on: Nodes, node: Node) -> tuple[object, float]:
    """Return the first event that a long poll on *node* brings, and when it came."""
    async with on.client.session.get(f"{node.url}/v1/events?wait=20") as answer:
        assert answer.status == 200, await answer.text()
        data = (await answer.json())["data"]
        return data[0], time.time()


@pytest.mark.slow
async def test_an_api_process_accepts_and_a_worker_process_sends(tmp_path):
    async with nodes(tmp_path) as on:
        api, worker = on.node("--role", "api"), on.node("--role", "worker")
        await api.up()
        worker.start()
        await worker.ready()
        owners, _ = await on.until_owned(api, [worker.pid])
        assert len(owners) == 4
        await on.client.post(lanes(on.people)[0])
        await on.client.settled(10.0)
        assert sum(row.accepted for row in on.rows()) == 1
        async with aiohttp.ClientSession() as session:
            known = {"/livez": 200, "/readyz": 200, "/metrics": 401, "/v1/messages": 404, "/docs": 404}
            for path, status in known.items():
                async with session.get(worker.url + path) as answer:
                    assert answer.status == status
            async with session.post(f"{worker.url}/line/send/{USERNAME}", json={}) as answer:
                assert answer.status == 404


@pytest.mark.slow
async def test_processes_share_a_port_and_one_that_dies_is_started_again(tmp_path):
    async with nodes(tmp_path) as on:
        family = on.node("--processes", "3")
        await family.up()
        seen = {one["pid"] for one in await until_nodes(on, family, 3)}
        assert family.pid not in seen
        victim = seen.pop()
        on.nodes[0].open = False
        os.kill(victim, signal.SIGKILL)
        async with asyncio.timeout(20):
            now = {victim}
            while victim in now:
                await asyncio.sleep(0.05)
                now = {one["pid"] for one in await until_nodes(on, family, 3)}
        assert seen < now
        await on.client.post(lanes(on.people)[0])
        await on.client.settled(15.0)
        code, _ = await family.terminate()
        assert code == 0
        assert not [pid for pid in now if alive(pid)]


async def until_nodes(on: Nodes, by: Node, many: int) -> list[dict[str, int]]:
    """Wait until there are so many nodes; return them."""
    async with asyncio.timeout(30):
        while True:
            try:
                found = await on.told(by, "nodes")
            except aiohttp.ClientError:
                found = []
            if len(found) == many:
                return list(found)
            await asyncio.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.skipif(not NIGHTLY, reason="long tier: it waits for longer than a lease")
async def test_after_the_database_was_away_longer_than_a_lease_every_node_goes_on_with_what_it_had(tmp_path):
    cluster = postgres.Cluster(postgres.servers()["15"], durable=True)
    cluster.create()
    cluster.start()
    try:
        async with nodes(tmp_path, cluster=cluster) as on:
            await on.begun(2)
            owners = await on.owners(on.nodes[0])
            await on.platforms.fault({"seed": 5, **PROFILE})
            async with Load(on.client, lanes(on.people), RATE, 1):
                await on.client.until_posted(60)
                cluster.stop()
                posted = len(on.client.posted)
                await asyncio.sleep(LEASE_SECONDS + 3)  # the leases' own time passes, on the database's clock
                cluster.start()
                await on.client.until_posted(posted + 60)
            await on.platforms.fault(None)
            await on.client.settled(60.0)
            assert await on.owners(on.nodes[0]) == owners
            assert "lease_lost" not in "".join(node.log.read_text() for node in on.nodes)
            evidence = await on.judged()
            assert table(evidence)[-1].doubled == 0, "outcomes that waited for the database are written"
    finally:
        cluster.remove()
