"""Many nodes on one PostgreSQL: killed, stopped, paused, added; and what the checker says of it."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Collection, Sequence

import aiohttp
import asyncpg
import pytest

from kurir.bench import faults, ledgers, scenario
from kurir.bench.checker import Evidence, check, table
from kurir.bench.ledgers import Row
from kurir.bench.load import Load, lanes
from kurir.bench.processes import USERNAME
from kurir.store.postgres.leases import LEASE_SECONDS
from support import postgres
from support.nodes import Node, Nodes, nodes

#: How long a killed process, and one that is paused or cut off, may keep its accounts (decision 0018), in seconds.
KILLED_SECONDS = 5.0
PAUSED_SECONDS = 20.0
RATE = 30.0
PROFILE = faults.profile("slow")
#: So slow that a process which is stopped has many calls under way.
LONG_CALLS = {"latency": 0.6, "jitter": 0.6}


async def in_flight(on: Nodes, accounts: Collection[str]) -> set[str]:
    """Return the messages of *accounts* with a part that is marked in flight now, as the store has it."""
    connection = await asyncpg.connect(on.dsn)
    try:
        found = await connection.fetch(
            "SELECT tid FROM message JOIN part USING (seq) WHERE part.phase = 'in_flight' AND message.account_id = ANY($1)",
            list(accounts),
        )
    finally:
        await connection.close()
    return {row[0] for row in found}


async def judged(on: Nodes, ends: Sequence[float] = (), marked: Collection[str] = ()) -> Evidence:
    """Return the evidence of a run whose nodes were ended at *ends*: every invariant holds.

    What arrived twice was marked in flight by one of them, by the store's own account: *marked*. So the checker need not
    know how long a call may have been under way.
    """
    evidence = Evidence(
        posted=tuple(on.client.posted),
        messages=await on.client.told_all(on.client.posted),
        platform=on.rows(),
        kills=tuple(ends),
        in_flight=int(scenario.ACCOUNT["concurrency"]) * len({row.channel for row in on.rows()}),
        grace=600.0,
        heard_within=faults.latency(PROFILE) + scenario.CROSSING_SECONDS,
    )
    assert [str(one) for one in check(evidence) if one.holds is False] == []
    places: dict[str, list[str]] = {}
    for row in evidence.platform:
        if row.accepted and not row.repeat and row.text:
            places.setdefault(row.text, []).append(row.text)
    doubled = {ledgers.first_word(text)[0] for text, rows in places.items() if len(rows) > 1}  # type: ignore[index] # ours
    tids = {one.tid for one in evidence.posted if one.key in doubled}
    assert tids <= set(marked), "what was not in flight came twice"
    return evidence


async def begun(on: Nodes, many: int) -> None:
    """Start *many* nodes, and wait until each has a share."""
    while len(on.nodes) < many:
        on.node()
    for node in on.nodes[:many]:
        await node.up()
    await on.until_owned(on.nodes[0], [node.pid for node in on.nodes[:many]])


def of(owners: dict[str, int], node: Node) -> list[str]:
    return [name for name, pid in owners.items() if pid == node.pid]


async def gap(on: Nodes, before: int, channel: str, seconds: float) -> Row:
    """Wait for the first row of *channel* after the first *before* ones."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        new = [row for row in on.rows()[before:] if row.channel == channel]
        if new:
            return new[0]
        await asyncio.sleep(0.05)
    raise AssertionError(f"nothing more came on {channel}")


def channels_of(accounts: Sequence[str]) -> list[str]:
    short = {"wa": "whatsapp", "tg": "telegram", "line": "line", "fb": "messenger"}
    return [next((full for end, full in short.items() if name.endswith(end)), name) for name in accounts]


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.scorecard(9)
async def test_of_three_nodes_one_is_killed_under_load(tmp_path):
    async with nodes(tmp_path) as on:
        await begun(on, 3)
        await on.platforms.fault({"seed": 1, **PROFILE})
        took: list[float] = []
        ends: list[float] = []
        marked: set[str] = set()
        async with Load(on.client, lanes(on.people), RATE, 20261122):
            for victim in (on.nodes[1], on.nodes[2]):
                await on.client.until_posted(len(on.client.posted) + 150)
                accounts = of(await on.owners(on.nodes[0]), victim)
                ends.append(time.time())
                victim.down()
                marked |= await in_flight(on, accounts)
                rest = [node for node in on.nodes if node is not victim]
                _, seconds = await on.until_owned(on.nodes[0], [node.pid for node in rest])
                took.append(seconds)
                await on.client.until_posted(len(on.client.posted) + 100)
                await victim.up()
                await on.until_owned(on.nodes[0], [node.pid for node in on.nodes])
        await on.platforms.fault(None)
        settled = await on.client.settled(60.0)
        evidence = await judged(on, ends, marked)
        whole = table(evidence)[-1]
        print(
            f"scorecard 9: 3 processes on PostgreSQL 15, {len(took)} × kill -9 at {RATE:g}/s: {whole.accepted} accepted, "
            f"{whole.lost} lost, {whole.doubled} doubled and reported of {len(marked)} in flight, order kept; "
            f"taken over within {max(took):.1f} s; all settled {settled:.0f} s after the load"
        )
        assert max(took) <= KILLED_SECONDS
        assert whole.lost == 0


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.scorecard(10)
async def test_a_node_that_was_paused_past_its_lease_repeats_at_most_what_it_had_marked(tmp_path):
    async with nodes(tmp_path) as on:
        await begun(on, 2)
        await on.platforms.fault({"seed": 2, **LONG_CALLS})
        first, zombie = on.nodes
        async with Load(on.client, lanes(on.people), RATE, 20261122):
            await on.client.until_posted(150)
            owners = await on.owners(first)
            zombie.open = False
            paused_at = time.time()
            zombie.signal(signal.SIGSTOP)
            await asyncio.sleep(1.0)  # what it had sent to the database is committed
            marked = await in_flight(on, of(owners, zombie))
            _, took = await on.until_owned(first, [first.pid], 40.0)
            took += 1.0
            await on.client.until_posted(len(on.client.posted) + 100)
            woken_at = time.time()
            zombie.signal(signal.SIGCONT)
            await zombie.ready()
            await on.until_owned(first, [first.pid, zombie.pid])
            zombie.open = True
            await on.client.until_posted(len(on.client.posted) + 100)
        await on.platforms.fault(None)
        await on.client.settled(60.0)
        evidence = await judged(on, [paused_at, woken_at], marked)
        whole = table(evidence)[-1]
        lost = zombie.log.read_text().count("lease_lost")
        refused = zombie.log.read_text().count("another node owns the account by now")
        print(
            f"scorecard 10: 2 processes on PostgreSQL 15, one stopped for {woken_at - paused_at:.0f} s at {RATE:g}/s: "
            f"{whole.accepted} accepted, {whole.lost} lost, {whole.doubled} doubled and reported of {len(marked)} in flight; "
            f"taken over after {took:.1f} s; woken, it saw {lost} leases gone, {refused} late outcomes were refused"
        )
        assert took <= PAUSED_SECONDS
        assert lost == 2
        assert whole.lost == 0


@pytest.mark.slow
async def test_a_clean_stop_hands_over_at_once_and_a_new_node_takes_its_share(tmp_path):
    async with nodes(tmp_path) as on:
        await begun(on, 2)
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
            owners, _ = await on.until_owned(first, [first.pid, third.pid])
            assert len(of(owners, third)) == 2
            await on.client.until_posted(len(on.client.posted) + 50)
        await on.platforms.fault(None)
        await on.client.settled(30.0)
        evidence = await judged(on)
        assert table(evidence)[-1].doubled == 0


@pytest.mark.slow
async def test_an_account_is_paused_and_resumed_on_any_node(tmp_path):
    async with nodes(tmp_path) as on:
        await begun(on, 2)
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
        await begun(on, 2)
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
            for path, status in (("/livez", 200), ("/readyz", 200), ("/v1/messages", 404), ("/docs", 404)):
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
async def test_after_the_database_was_away_longer_than_a_lease_every_node_goes_on_with_what_it_had(tmp_path):
    cluster = postgres.Cluster(postgres.servers()["15"], durable=True)
    cluster.create()
    cluster.start()
    try:
        async with nodes(tmp_path, cluster=cluster) as on:
            await begun(on, 2)
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
            evidence = await judged(on)
            assert table(evidence)[-1].doubled == 0, "outcomes that waited for the database are written"
    finally:
        cluster.remove()
