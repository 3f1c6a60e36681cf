"""One of three nodes loses the database, and nothing else: its cable is pulled, while platforms and clients still reach it."""

import asyncio
import os
import time
from urllib.parse import urlsplit

import pytest

from kurir.bench import processes
from kurir.bench.checker import table
from kurir.bench.load import Load, lanes
from kurir.store.postgres.connection import COMMIT_SECONDS
from kurir.store.postgres.leases import LEASE_SECONDS
from support import netns, postgres
from support.nodes import PAUSED_SECONDS, PROFILE, nodes, of, status
from support.postgres import Cluster

RATE = 30.0
WHY_NOT = netns.possible() if os.environ.get("KURIR_TIER") == "N" else "long tier: KURIR_TIER=N"
if WHY_NOT and os.environ.get("KURIR_TIER") == "N":
    print(f"SKIPPED: the node that is cut off from its database: {WHY_NOT}")


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.scorecard(10)
@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
async def test_of_three_nodes_one_is_cut_off_from_the_database(tmp_path):
    cluster = Cluster(postgres.servers()["15"], durable=True)
    with netns.namespace(tmp_path) as alone:
        try:
            # Beyond loopback, since the cable ends on an address of its own, which nobody but the namespace reaches.
            cluster.settings["listen_addresses"] = f"127.0.0.1,{alone.host}"
            await asyncio.to_thread(cluster.create)
            with (cluster.data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {alone.inside}/32 trust\n")
            await asyncio.to_thread(cluster.start)
            async with nodes(tmp_path, cluster=cluster) as on:
                sandbox_port = urlsplit(on.sandbox.url).port
                assert sandbox_port is not None
                calls = alone.let_out(sandbox_port)
                port = processes.free_port()
                alone.let_in(port)
                there = on.dsn.replace("127.0.0.1", alone.host)
                on.node()
                cut = on.node(port=port, within=(*alone.within, "env", f"KURIR_DATABASE={there}"))
                await on.begun(3)
                first, other, _ = on.nodes
                await on.platforms.fault({"seed": 7, **PROFILE})
                async with Load(on.client, lanes(on.people), RATE, 20261123):
                    await on.client.until_posted(150)
                    owners = await on.owners(first)
                    assert of(owners, cut)
                    cut_at = time.time()
                    alone.pull()
                    await asyncio.sleep(1.0)  # what it had sent to the database is committed
                    marked = await on.in_flight(of(owners, cut))
                    _, took = await on.until_owned(first, [first.pid, other.pid], 40.0)
                    took += 1.0
                    await on.client.until_posted(sum(1 for one in on.client.posted if one.acknowledged) + 100)
                    assert await status(on, cut, "/livez") == 200
                    assert await status(on, cut, "/readyz") == 503
                    plugged_at = time.time()
                    alone.plug()
                    await cut.ready()
                    back = time.time() - plugged_at
                    await on.until_owned(first, [node.pid for node in on.nodes])
                    await on.client.until_posted(sum(1 for one in on.client.posted if one.acknowledged) + 100)
                await on.platforms.fault(None)
                await on.client.settled(60.0)
                moments = [float(line) for line in calls.read_text().splitlines()]
                late = [moment - cut_at for moment in moments if cut_at + LEASE_SECONDS < moment < plugged_at]
                last = max(moment - cut_at for moment in moments if moment < plugged_at)
                evidence = await on.judged([cut_at, plugged_at], marked, [(cut_at, plugged_at + COMMIT_SECONDS)])
                whole = table(evidence)[-1]
                refused = [one.at - one.began for one, _ in on.client.answers if one.status == 503]
                print(
                    f"scorecard 10: 3 processes on PostgreSQL 15, one cut off from the database for "
                    f"{plugged_at - cut_at:.0f} s at {RATE:g}/s: {whole.accepted} accepted, {whole.lost} lost, "
                    f"{whole.doubled} doubled and reported of {len(marked)} in flight; taken over after {took:.1f} s; its "
                    f"last call {last:.1f} s after the cut; {len(refused)} sends got their 503 from it, within "
                    f"{max(refused, default=0.0):.1f} s; it was back {back:.1f} s after the network"
                )
                assert {one.status for one, _ in on.client.answers} <= {200, 503}
                assert late == [], "a call after its leases were over"
                assert moments
                assert took <= PAUSED_SECONDS
                assert whole.lost == 0
        finally:
            cluster.remove()
