"""Scorecard row 15: one client's heap of bulk messages delays neither another client's messages nor its own urgent ones.

Client A posts a heap of bulk messages to three accounts, each with a limit of its own, so that they wait. Client B posts
one message a second, high, to an account without a limit. ``KURIR_TIER=N`` makes the heap 100,000 high.
"""

import asyncio
import os
import time

import pytest

from kurir.bench import processes, scenario
from kurir.bench.checker import check
from kurir.bench.ledgers import first_word
from kurir.bench.load import Client, Lane, client_session, lanes
from kurir.bench.report import percentile
from kurir.bench.scenario import delays

NIGHTLY = os.environ.get("KURIR_TIER") == "N"
HEAP = 100_000 if NIGHTLY else 2_000
#: Messages a second of each of A's three accounts.
RATE = 100 if NIGHTLY else 40
SAMPLES = 120 if NIGHTLY else 15
A_CHANNELS, B_CHANNEL = ("whatsapp", "telegram", "messenger"), "line"
#: The bar of the row: 2 seconds, and the time that the account's own limit takes for one message.
BAR = 2.0


def two_clients(document: dict) -> None:
    """Give the LINE account to another client, and A's accounts a limit."""
    accounts = document["clients"]["demo"]["accounts"]
    own = [one for one in accounts if one["channel"] != B_CHANNEL]
    for one in own:
        one["rate"] = {**one["rate"], "account": f"{RATE}/s"}
    document["clients"]["demo"]["accounts"] = own
    others = [one for one in accounts if one["channel"] == B_CHANNEL]
    document["clients"]["other"] = {"username": "other", "password": processes.PASSWORD, "accounts": others}


async def heap(client: Client, over: list[Lane], count: int) -> None:
    """Post *count* messages, each lane its share one after the other, sixteen lanes at once."""
    free = asyncio.Queue()
    for lane in over:
        free.put_nowait(lane)
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            lane = await free.get()
            await client.post(lane)
            free.put_nowait(lane)

    await asyncio.gather(*(work() for _ in range(16)))


async def every_second(client: Client, over: list[Lane], count: int) -> None:
    """Post *count* messages, one a second, each to the next lane."""
    due = time.monotonic()
    for number in range(count):
        await client.post(over[number % len(over)])
        due += 1.0
        await asyncio.sleep(max(0.0, due - time.monotonic()))


@pytest.mark.slow
@pytest.mark.scorecard(15)
@pytest.mark.timeout(3600 if NIGHTLY else 300)
async def test_a_heap_of_bulk_delays_neither_another_client_nor_its_own_high(tmp_path):
    async with scenario.stage(tmp_path, people=102, edit=two_clients) as on, client_session("other") as session:
        people = [one for one in on.people if one[0] in A_CHANNELS]
        others = lanes([one for one in on.people if one[0] == B_CHANNEL], first=10_000, priority="high")
        bulk = lanes(people[: len(people) * 4 // 5], priority="bulk")
        urgent = lanes(people[len(people) * 4 // 5 :], first=20_000, priority="high")
        other = Client(on.gateway.url, session, on.client.run, "other")
        heaping = asyncio.create_task(heap(on.client, bulk, HEAP))
        try:
            await on.client.until_posted(HEAP // 4)
            began = time.time()
            await asyncio.gather(every_second(other, others, SAMPLES), every_second(on.client, urgent, SAMPLES))
            watched = time.time() - began
        finally:
            if not heaping.done():
                await asyncio.wait([heaping], timeout=600.0 if NIGHTLY else 60.0)
            heaping.cancel()
        await on.client.settled(HEAP / RATE + 60.0)
        evidence = await on.evidence({})
        rows = on.rows()
        others_told = await other.told_all(other.posted)

    others_delay = sorted(delays(other.posted, rows).values())
    own = [one for one in on.client.posted if one.priority == "high"]
    own_delays = delays(own, rows)
    own_delay = sorted(own_delays.values())
    overtaken = _overtaken(on.client, rows, own)
    passed = sum(1 for row in rows if row.accepted and row.channel in A_CHANNELS and began <= row.at < began + watched)
    verdicts = check(
        type(evidence)(
            posted=(*evidence.posted, *other.posted), platform=rows, messages={**evidence.messages, **others_told}
        )
    )
    print("\n".join(str(verdict) for verdict in verdicts))
    print(
        f"scorecard 15: {HEAP:,} bulk of A at {RATE}/s on each of {len(A_CHANNELS)} accounts; B's high, 1/s: p95 "
        f"{percentile(others_delay, 0.95) * 1000:.0f} ms from 200 to the platform; A's own high: p95 "
        f"{percentile(own_delay, 0.95) * 1000:.0f} ms, past {overtaken:.0%} of the bulk that waited; A passed "
        f"{passed / watched:.0f}/s meanwhile, of {RATE * len(A_CHANNELS)}/s allowed"
    )
    assert all(verdict.holds is not False for verdict in verdicts)
    assert len(others_delay) == SAMPLES
    assert len(own_delay) == SAMPLES
    assert percentile(others_delay, 0.95) <= BAR
    assert percentile(own_delay, 0.95) <= BAR + 1 / RATE
    assert overtaken > 0.5


def _overtaken(client: Client, rows: list, own: list) -> float:
    """Return which share of the bulk that waited when a high message was acknowledged arrived after it.

    Of the messages of its channel; the least share of all high ones that had at least a hundred to overtake.
    """
    first = {}
    for row in rows:
        word = first_word(row.text) if row.accepted else None
        if word is not None:
            first.setdefault(word[0], row.at)
    shares = []
    for one in own:
        known = one.acknowledged.at
        waited = [
            first[each.key]
            for each in client.posted
            if each.priority == "bulk"
            and each.channel == one.channel
            and each.acknowledged is not None
            and each.acknowledged.at <= known <= first[each.key]
        ]
        if len(waited) >= 100:
            shares.append(sum(1 for at in waited if at > first[one.key]) / len(waited))
    assert shares, "nothing waited, so nothing was overtaken: the heap was too small"
    return min(shares)
