"""What a storm of platform faults cost: how many requests more than no sender could spare, and how soon the rate was back.

Both are read from the platforms' ledger alone. Pure functions, and the run that they are read from.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kurir.bench.callbacks import check_statuses
from kurir.bench.checker import ANSWER_LOST, Evidence, Verdict, check
from kurir.bench.ledgers import Row, first_word
from kurir.bench.load import Load, Mix, lanes
from kurir.bench.scenario import Stage, stage
from kurir.sandbox.config import CHANNELS

#: Faults that befall a share of the requests whatever the sender does, and that nothing came of: each costs one request.
UNAVOIDABLE: Final = frozenset({"errors", "throttle", "timeout_before", "cut_before", "garbage_before"})
#: Platforms without receipts: there a lost answer can be settled by another request only.
WITHOUT_RECEIPTS: Final = frozenset({"telegram", "line"})
#: The rate is counted over so many seconds.
WINDOW: Final = 5.0
#: How often it is looked whether the rate is back, in seconds.
LOOK: Final = 2.0
#: The share of the old rate that has to be back, and how soon, in seconds (docs/reliability.md, row 16).
BACK: Final = 0.9
BACK_WITHIN: Final = 60.0
#: How many requests a sender may make for each that none could spare.
FACTOR: Final = 1.3


@dataclass(frozen=True, slots=True)
class Cost:
    """Requests that came to the platforms, and the fewest with which a sender that knows all could have done."""

    requests: int
    minimum: int

    @property
    def factor(self) -> float:
        """Requests for each that could not be spared."""
        return self.requests / self.minimum if self.minimum else 1.0


@dataclass(frozen=True, slots=True)
class Storm:
    """What the storm came to. Rates in accepted messages a second; *back_after*: channel → seconds, None for never."""

    evidence: Evidence
    verdicts: tuple[Verdict, ...]
    cost: Cost
    before: Mapping[str, float]
    during: Mapping[str, float]
    back_after: Mapping[str, float | None]


def cost(rows: Sequence[Row]) -> Cost:
    """Return what *rows* cost.

    No sender can do with fewer than one request for each part that arrived; one more for each that a random fault
    refused, lost or answered with rubbish before the platform took it; one more for each lost answer of a platform that
    sends no receipts; and one for each channel that had an outage, since nobody knows of an outage without asking. Not
    counted, and so the sender's own waste: requests that came early, requests beyond a true rate, every further request
    into an outage, and copies of what a receipt would have settled.
    """
    arrived = {(row.channel, row.address, word) for row in rows if row.accepted and (word := first_word(row.text))}
    refused = sum(1 for row in rows if row.fault in UNAVOIDABLE and not row.early)
    unheard = sum(1 for row in rows if row.fault in ANSWER_LOST and row.channel in WITHOUT_RECEIPTS)
    outages = {row.channel for row in rows if row.fault == "outage"}
    return Cost(len(rows), len(arrived) + refused + unheard + len(outages))


def rate(rows: Sequence[Row], channel: str, since: float, until: float) -> float:
    """Return how many messages a second the channel's platform took between two moments."""
    count = sum(1 for row in rows if row.accepted and row.channel == channel and since <= row.at < until)
    return count / (until - since) if until > since else 0.0


def back_after(rows: Sequence[Row], channel: str, old: float, end: float, until: float) -> float | None:
    """Return how many seconds after *end* the channel had BACK of its *old* rate again, over WINDOW; None for never."""
    moments = sorted(row.at for row in rows if row.accepted and row.channel == channel and row.at >= end)
    step = 0.25
    for number in range(int((until - end - WINDOW) / step) + 1):
        since = end + number * step
        count = sum(1 for at in moments if since <= at < since + WINDOW)
        if count / WINDOW >= BACK * old:
            return since + WINDOW - end
    return None


@dataclass(frozen=True, slots=True)
class Weather:
    """The phases of a storm, in seconds: calm, the *profile*, an outage of every platform, calm again.

    The last calm ends as soon as every channel has its old rate back.
    """

    calm: float
    storm: float
    outage: float
    after: float
    profile: Mapping[str, Any]


def _before(rows: Sequence[Row], began: float, broke: float) -> dict[str, float]:
    """Return each channel's rate in the first calm, whose first second fills connections and caches and is no rate."""
    return {channel: rate(rows, channel, began + 1.0, broke) for channel in CHANNELS}


async def _recovered(on: Stage, began: float, broke: float, end: float, most: float) -> float:
    """Wait until every channel has its old rate back, at most so many seconds after *end*; return when that was."""
    while time.time() < end + most:
        await asyncio.sleep(LOOK)
        rows = on.rows()
        old = _before(rows, began, broke)
        if all(back_after(rows, one, old[one], end, time.time()) is not None for one in CHANNELS):
            break
    return time.time()


async def storm(folder: Path, weather: Weather, *, load_rate: float, seed: int, people: int, settle: float) -> Storm:
    """Run *load_rate* messages a second through *weather*, and read the books."""
    async with stage(folder, people=people, callbacks=True) as on:
        async with Load(on.client, lanes(on.people), load_rate, seed, Mix(long=0.0, once=0.0)):
            began = time.time()
            await asyncio.sleep(weather.calm)
            broke = time.time()
            await on.platforms.fault({"seed": seed, **weather.profile})
            await asyncio.sleep(weather.storm)
            if weather.outage:
                await on.platforms.fault({"outage": "503"})
                await asyncio.sleep(weather.outage)
            await on.platforms.fault(None)
            end = time.time()
            done = await _recovered(on, began, broke, end, weather.after)
        await on.client.settled(settle)
        evidence, statuses = await on.books(weather.profile, settle)
    before = _before(evidence.platform, began, broke)
    return Storm(
        evidence=evidence,
        verdicts=(*check(evidence), *check_statuses(statuses)),
        cost=cost(evidence.platform),
        before=before,
        during={channel: rate(evidence.platform, channel, broke, end) for channel in CHANNELS},
        back_after={one: back_after(evidence.platform, one, before[one], end, done) for one in CHANNELS},
    )
