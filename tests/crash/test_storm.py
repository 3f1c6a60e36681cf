"""Scorecard row 16: a storm of mixed platform faults, then calm: nothing lost, nothing early, few requests wasted.

``KURIR_TIER=N`` lets it blow for ten minutes. The fewest requests that any sender needs are counted in
``kurir.bench.storm.cost``.
"""

import os

import pytest

from kurir.bench import faults, report
from kurir.bench.checker import table
from kurir.bench.ledgers import Row
from kurir.bench.storm import BACK_WITHIN, FACTOR, Weather, back_after, cost, rate, storm

NIGHTLY = os.environ.get("KURIR_TIER") == "N"
SEED = 20261122
WEATHER = Weather(
    calm=30.0 if NIGHTLY else 8.0,
    storm=540.0 if NIGHTLY else 15.0,
    outage=60.0 if NIGHTLY else 3.0,
    after=BACK_WITHIN + 10.0,
    profile=faults.profile("storm"),
)


@pytest.mark.slow
@pytest.mark.scorecard(16)
@pytest.mark.timeout(1800 if NIGHTLY else 240)
async def test_a_storm_loses_nothing_and_wastes_little(tmp_path):
    found = await storm(
        tmp_path,
        WEATHER,
        load_rate=100.0 if NIGHTLY else 60.0,
        seed=SEED,
        people=100,
        settle=600.0 if NIGHTLY else 90.0,
    )
    print(report.fault_table(table(found.evidence)))
    print("\n".join(str(verdict) for verdict in found.verdicts))
    rates = ", ".join(
        f"{channel} {found.before[channel]:.1f} → {found.during[channel]:.1f}/s, back after "
        f"{'never' if after is None else f'{after:.1f} s'}"
        for channel, after in found.back_after.items()
    )
    print(rates)
    whole = table(found.evidence)[-1]
    print(
        f"scorecard 16: {WEATHER.storm:g} s of mixed faults and {WEATHER.outage:g} s of outage, seed {SEED}: "
        f"{whole.accepted:,} accepted, {whole.lost} lost, {found.cost.requests:,} requests for {found.cost.minimum:,} "
        f"that no sender could spare ({found.cost.factor:.2f} ×); {rates}"
    )
    assert all(verdict.holds is not False for verdict in found.verdicts)
    assert whole.struck > 50, "a calm day proves nothing"
    assert found.cost.factor <= FACTOR
    assert all(after is not None and after <= BACK_WITHIN for after in found.back_after.values()), rates


# --- the figures themselves ------------------------------------------------------------------------------------------------


def row(n: int, at: float, **more) -> Row:
    facts = {"channel": "telegram", "address": "1", "accepted": True, "text": f"L1-{n}.0", **more}
    return Row(n=n, at=at, **facts)


def test_the_minimum_counts_what_no_sender_could_spare_and_nothing_else():
    rows = [
        row(1, 0.0),
        row(2, 0.1, accepted=False, fault="errors", text="L1-1.0"),
        row(3, 0.2, accepted=False, fault="throttle", wait=1.0),
        row(4, 0.3, accepted=False, fault="throttle", wait=0.9, early=True),
        row(5, 0.4, fault="cut_after"),
        row(6, 0.5, text="L1-5.0"),
        row(7, 0.6, accepted=False, fault="outage"),
        row(8, 0.7, accepted=False, fault="outage"),
        row(9, 0.8, fault="cut_after", channel="whatsapp"),
        row(10, 0.9, channel="whatsapp", text="L1-9.0"),
        row(11, 1.0, accepted=False, fault="rate"),
    ]
    found = cost(rows)
    # Three parts arrived; the error, the first throttle, Telegram's lost answer and one look at the outage come on top.
    assert (found.requests, found.minimum) == (11, 3 + 1 + 1 + 1 + 1)
    assert cost([row(n, n / 10) for n in range(1, 5)]).factor == 1.0


def test_the_rate_is_back_when_a_whole_window_has_it():
    calm = [row(n, n / 10) for n in range(1, 101)]
    assert rate(calm, "telegram", 0.05, 10.05) == pytest.approx(10.0)
    later = [row(200 + n, 20.0 + n / 10) for n in range(200)]
    assert back_after([*calm, *later], "telegram", 10.0, 12.0, 40.0) == pytest.approx(12.5, abs=0.3)
    assert back_after(calm, "telegram", 10.0, 12.0, 40.0) is None
    assert back_after([*calm, *later[::2]], "telegram", 10.0, 12.0, 40.0) is None


def test_a_copy_is_no_part_that_arrived():
    assert cost([row(1, 0.0), row(2, 0.1, text="L1-1.0")]).minimum == 1
