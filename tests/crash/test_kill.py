"""Scorecard row 1: the real server, killed at random moments under load while the platforms are slow and lose answers.

``KURIR_TIER=N`` runs the nightly figures: 200 kills at 500 messages a second. A kill does not test what is on the disk (the
page cache survives it); the power cuts do.
"""

import os
from dataclasses import replace

import pytest

from kurir.bench import faults, report, scenario
from kurir.bench.checker import check, held
from kurir.bench.ledgers import rows
from kurir.bench.load import Load, lanes

NIGHTLY = os.environ.get("KURIR_TIER") == "N"
SEED = 20261122

pytestmark = [pytest.mark.slow, pytest.mark.scorecard(1)]


def shown(result: scenario.Result) -> None:
    print(report.report(result))
    print(f"scorecard 1: {report.figures(result)}")
    assert result.held, [str(verdict) for verdict in result.verdicts if verdict.holds is False]


@pytest.mark.timeout(3600 if NIGHTLY else 240)
async def test_nothing_acknowledged_is_lost_by_kills(tmp_path):
    plan = scenario.Plan(
        kills=200 if NIGHTLY else 6,
        rate=500.0 if NIGHTLY else 80.0,
        seconds=500.0 if NIGHTLY else 10.0,
        seed=SEED,
        profile=faults.profile("shaky"),
        settle=600.0 if NIGHTLY else 60.0,
    )
    result = await scenario.run(plan, tmp_path)
    shown(result)
    assert sum(one.how == "SIGKILL" for one in result.endings) >= plan.kills
    assert {one.channel for one in result.evidence.platform} == set(plan.channels)
    whole = result.lines[-1]
    assert whole.accepted > plan.kills * 10, "a run without load proves nothing"
    assert next(line for line in result.lines if line.fault == "SIGKILL").accepted > plan.kills


@pytest.mark.timeout(900 if NIGHTLY else 120)
async def test_a_clean_stop_loses_and_doubles_nothing(tmp_path):
    plan = scenario.Plan(
        settle=60.0,
        terms=30 if NIGHTLY else 3,
        rate=80.0,
        seconds=60.0 if NIGHTLY else 4.0,
        seed=SEED,
        profile=faults.profile("slow"),
    )
    result = await scenario.run(plan, tmp_path)
    shown(result)
    assert result.lines[-1].doubled == 0


@pytest.mark.timeout(120)
async def test_the_checker_sees_what_a_gateway_without_its_database_loses(tmp_path):
    """The control: after a kill the database is thrown away, so that what was acknowledged is gone."""
    plan = scenario.Plan(rate=100.0, profile=faults.profile("slow"))
    async with scenario.stage(tmp_path, account=plan.account) as on:
        await on.platforms.fault(plan.profile)
        async with Load(on.client, lanes(on.people), plan.rate, SEED):
            await on.client.until_posted(150)
            kill = on.gateway.kill()
            for path in tmp_path.glob("kurir.db*"):
                path.unlink()
            on.gateway.start()
            await on.gateway.ready()
        await on.client.settled(30.0)
        evidence = await on.evidence(plan.profile, kills=[kill], in_flight=plan.concurrency)
    broken = {verdict.name for verdict in check(evidence) if verdict.holds is False}
    assert "nothing acknowledged is lost" in broken
    assert not held(check(replace(evidence, platform=rows(tmp_path / "platforms.jsonl")[:10])))
