"""A run: load on a gateway that is killed and started again while the platforms misbehave, then the check of the books."""

import asyncio
import contextlib
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from kurir import __version__
from kurir.bench import faults, ledgers, processes
from kurir.bench.callbacks import Statuses, Step, check_statuses
from kurir.bench.checker import Evidence, FaultLine, Verdict, check, table
from kurir.bench.hook import KIND, SECRET, Hook
from kurir.bench.ledgers import Posted, Row
from kurir.bench.load import Client, Load, Mix, Platforms, client_session, lanes
from kurir.callbacks.worker import IN_FLIGHT
from kurir.sandbox.config import CHANNELS

#: What every account of a run is set to: no limit of our own that would hide the gateway's speed, and unknown outcomes
#: that are settled while somebody waits.
ACCOUNT: Final[Mapping[str, Any]] = {
    "rate": {"account": "none", "recipient": "none"},
    "unknown_wait": "2s",
    "concurrency": 32,
}
#: How long a call that was under way at a kill may take beyond the platforms' latency: its recording, a busy machine.
RECORDING_SECONDS: Final = 1.5
#: How long a call may be under way to a platform while the answer of another one names a wait, on a busy machine.
CROSSING_SECONDS: Final = 1.0
#: One in so many kills falls into a start, at a random moment of its first second.
START_KILLS: Final = 5
#: How long the gateway runs after the last kill before the load ends, in seconds.
CALM_SECONDS: Final = 2.0
#: How long the client's endpoint is dead in a run with kills or faults, in seconds: shorter than the ladder's first step,
#: since a run would wait half a minute for the second one.
DEAF_SECONDS: Final = 2.0
#: The share of the load's time in which it dies, at a moment that the seed fixes.
DEAF_BETWEEN: Final = (0.2, 0.6)
#: How long the feed has to stand still until no receipt is on its way any more, in seconds.
QUIET_SECONDS: Final = 1.0
#: The bar of a clean stop, in seconds (docs/reliability.md, row 40).
DRAIN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does. *rate*: messages a second over all channels. *seconds*: about how long the load lasts.

    *kills* and *terms*: how often the gateway is ended by SIGKILL and by SIGTERM. *profile*: the platforms' faults.
    *settle*: how long the gateway gets at the end to finish, at most, in seconds: a platform may name long waits.
    """

    kills: int = 0
    terms: int = 0
    rate: float = 200.0
    seconds: float = 30.0
    seed: int = 1
    channels: Sequence[str] = CHANNELS
    people: int = 60
    profile: Mapping[str, Any] = field(default_factory=dict)
    account: Mapping[str, Any] = field(default_factory=lambda: dict(ACCOUNT))
    settle: float = 600.0
    mix: Mix = field(default_factory=Mix)

    @property
    def concurrency(self) -> int:
        """How many calls the gateway may have in flight, over all accounts."""
        return int(self.account["concurrency"]) * len(self.channels)

    @property
    def outages(self) -> int:
        """How often the client's endpoint dies: once in a run in which anything else goes wrong."""
        return 1 if self.kills or self.terms or self.profile else 0


@dataclass(frozen=True, slots=True)
class Ending:
    """One end of the gateway and its start after it. *code*: the exit code, of a SIGTERM only. Times in seconds.

    *first_send*: from the start to the first message that a platform received after it; None when none came before the
    next end. *ready* is None when it was killed before it was ready.
    """

    how: str
    at: float
    ready: float | None
    first_send: float | None
    took: float = 0.0
    code: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to."""

    plan: Plan
    evidence: Evidence
    verdicts: tuple[Verdict, ...]
    lines: tuple[FaultLine, ...]
    endings: tuple[Ending, ...]
    settled_after: float
    began: float
    memory: int = 0

    @property
    def held(self) -> bool:
        """Whether every invariant holds."""
        return all(verdict.holds for verdict in self.verdicts)

    @property
    def accept_seconds(self) -> list[float]:
        """The time from a request to its 200, of every 200, ordered."""
        return sorted(
            heard.at - heard.began for one in self.evidence.posted for heard in one.heard if heard.status == 200
        )

    @property
    def delivery_seconds(self) -> list[float]:
        """The time from the first 200 to the platform's acceptance of the first part, where both came, ordered."""
        return sorted(delays(self.evidence.posted, self.evidence.platform).values())

    @property
    def rate(self) -> float:
        """Parts that the platforms took a second, from the first to the last."""
        moments = [row.at for row in self.evidence.platform if row.accepted]
        return len(moments) / (moments[-1] - moments[0]) if len(moments) > 1 and moments[-1] > moments[0] else 0.0


def delays(posted: Sequence[Posted], platform_rows: Sequence[Row]) -> dict[ledgers.Key, float]:
    """Return for each message the seconds from its 200 to the platform's acceptance of its first part (0 if before)."""
    first: dict[ledgers.Key, float] = {}
    for row in platform_rows:
        word = ledgers.first_word(row.text) if row.accepted else None
        if word is not None:
            first.setdefault(word[0], row.at)
    return {
        one.key: max(0.0, first[one.key] - one.acknowledged.at)
        for one in posted
        if one.acknowledged is not None and one.key in first
    }


@dataclass
class Stage:
    """A gateway and its sandbox as processes, a client that is logged in, and the folder that holds their files.

    *hook* is the client's endpoint, None in a run without callbacks.
    """

    folder: Path
    gateway: processes.Process
    sandbox: processes.Process
    platforms: Platforms
    client: Client
    people: list[tuple[str, str]]
    hook: Hook | None = None

    def rows(self) -> list[Row]:
        """Return the platforms' ledger as it stands on the disk."""
        return ledgers.rows(self.folder / "platforms.jsonl")

    async def evidence(
        self, profile: Mapping[str, Any], *, kills: Sequence[float] = (), in_flight: int = 0
    ) -> Evidence:
        """Read all three ledgers of a run under the faults of *profile*."""
        return Evidence(
            posted=tuple(self.client.posted),
            messages=await self.client.told_all(self.client.posted),
            platform=self.rows(),
            kills=tuple(kills),
            in_flight=in_flight,
            grace=faults.longest(profile) + RECORDING_SECONDS,
            heard_within=faults.latency(profile) + CROSSING_SECONDS,
        )

    async def books(
        self, profile: Mapping[str, Any], seconds: float, *, kills: Sequence[float] = (), in_flight: int = 0
    ) -> tuple[Evidence, Statuses]:
        """Read all ledgers of a run with callbacks, once nothing moves any more, or *seconds* have passed.

        Raises RuntimeError in a run without.
        """
        hook = self.hook
        if hook is None:
            raise RuntimeError("the run has no callbacks")
        until = time.monotonic() + seconds
        fed, cursor = await self._quiet_feed(until)
        certain = len(fed)
        evidence = await self.evidence(profile, kills=kills, in_flight=in_flight)
        later, _ = await self.client.feed(cursor)
        fed += later
        owed = set(fed)
        while time.monotonic() < until and not hook.has(owed):  # noqa: ASYNC110 - a poll costs nothing here
            await asyncio.sleep(QUIET_SECONDS / 4)
        (self.folder / "callbacks.jsonl").write_text(hook.book(), "utf-8")
        calls, refused = tuple(hook.calls), tuple(hook.refused)
        return evidence, Statuses(evidence, fed, calls, certain, refused, hook.outages, IN_FLIGHT)

    async def _quiet_feed(self, until: float) -> tuple[list[Step], str]:
        """Return the feed and its cursor, once it stood still for QUIET_SECONDS, or at *until* (monotonic)."""
        fed, cursor = await self.client.feed()
        since = time.monotonic()
        while time.monotonic() < min(since + QUIET_SECONDS, until):
            await asyncio.sleep(QUIET_SECONDS / 4)
            more, cursor = await self.client.feed(cursor)
            if more:
                fed += more
                since = time.monotonic()
        return fed, cursor


@asynccontextmanager
async def stage(
    folder: Path,
    *,
    channels: Sequence[str] = CHANNELS,
    people: int = 60,
    account: Mapping[str, Any] | None = None,
    edit: Callable[[dict[str, Any]], None] | None = None,
    start: bool = True,
    callbacks: bool = False,
) -> AsyncIterator[Stage]:
    """Run a sandbox and a gateway with *people* and an account on each of *channels*, their files in *folder*.

    Both processes have ended when this ends. With *start* false only the sandbox is started. With *callbacks* the client
    has an endpoint, which is told each change of a status.
    """
    async with contextlib.AsyncExitStack() as also:
        told = await also.enter_async_context(Hook()) if callbacks else None
        port, sandbox_port = processes.free_port(), processes.free_port()
        sandbox = processes.sandbox(folder, sandbox_port, f"http://127.0.0.1:{port}", people)
        settings = ACCOUNT if account is None else account
        document = processes.configuration(folder, port, sandbox.url, channels=channels, account=settings, edit=edit)
        if told is not None:
            _told_to(document, told.url)
        gateway = processes.gateway(folder, port, document)
        also.push_async_callback(_ended, gateway, sandbox)
        sandbox.start()
        if start:
            gateway.start()
        await sandbox.ready()
        if start:
            await gateway.ready()
        async with client_session() as session, client_session() as outside:
            platforms = Platforms(sandbox.url, outside)
            run = f"{int(time.time())}-{os.getpid()}"
            client = Client(gateway.url, session, run)
            yield Stage(folder, gateway, sandbox, platforms, client, await platforms.people(channels), told)


def _told_to(document: dict[str, Any], url: str) -> None:
    """Give the client of *document* an endpoint at *url* on this machine."""
    document["allow_networks"] = ["127.0.0.0/8"]
    endpoint = {"url": url, "secret": SECRET, "dialect": "standard", "events": [KIND]}
    document["clients"][processes.USERNAME]["callbacks"] = [endpoint]


async def _ended(*running: processes.Process) -> None:
    for process in running:
        if process.running:
            await process.terminate()


@contextlib.contextmanager
def folder_of(keep: Path | None) -> Any:
    """Give the folder of a run: *keep*, which stays, or a temporary one."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="kurir-bench-") as place:
        yield Path(place)


async def run(plan: Plan, folder: Path, say: Callable[[str], None] = lambda _: None) -> Result:
    """Run *plan* with its files in *folder*; *say* is told how it goes.

    Raises DidNotStart when a process does not come up, ValueError when the sandbox refuses the profile.
    """
    async with stage(folder, channels=plan.channels, people=plan.people, account=plan.account, callbacks=True) as on:
        await on.platforms.fault({"seed": plan.seed, **plan.profile} if plan.profile else None)
        began = time.time()
        async with Load(on.client, lanes(on.people), plan.rate, plan.seed, plan.mix):
            say(f"load of {plan.rate:g}/s over {len(on.people):,} lanes")
            outages = asyncio.create_task(_outages(plan, on.hook, say))
            try:
                endings = await _endings(plan, on.gateway, say)
                await asyncio.sleep(CALM_SECONDS if endings else plan.seconds)
                await outages
            finally:
                outages.cancel()
        memory = on.gateway.memory().get("VmHWM", 0)
        if plan.profile:
            await on.platforms.fault(None)
        settled = await on.client.settled(plan.settle)
        say(f"settled after {settled:.1f} s; reading the ledgers")
        kills = [one.at for one in endings if one.how == "SIGKILL"]
        evidence, statuses = await on.books(plan.profile, plan.settle, kills=kills, in_flight=plan.concurrency)
        verdicts = (
            *check(evidence),
            *check_statuses(statuses),
            _log_verdict(on.gateway),
            *_drain_verdicts(endings),
        )
        whole = tuple(_with_first_sends(endings, evidence.platform))
        return Result(plan, evidence, verdicts, table(evidence), whole, settled, began, memory)


async def _outages(plan: Plan, hook: Hook | None, say: Callable[[str], None]) -> None:
    """Let the client's endpoint die as often as planned."""
    if hook is None:
        return
    random = Random(f"outage {plan.seed}")  # noqa: S311 - a schedule that can be repeated
    for _ in range(plan.outages):
        await asyncio.sleep(plan.seconds * random.uniform(*DEAF_BETWEEN))
        say(f"the client's endpoint is dead for {DEAF_SECONDS:g} s")
        await hook.be_deaf(DEAF_SECONDS)


async def _endings(plan: Plan, gateway: processes.Process, say: Callable[[str], None]) -> list[Ending]:
    """End the gateway and start it again as often as planned, at random moments that the seed fixes."""
    random = Random(plan.seed)  # noqa: S311 - a schedule that can be repeated
    order = ["SIGKILL"] * plan.kills + ["SIGTERM"] * plan.terms
    random.shuffle(order)
    share = plan.seconds / max(1, len(order))
    endings: list[Ending] = []
    for number, how in enumerate(order):
        await asyncio.sleep(random.uniform(0.1, 2 * share - 0.1) if share > 0.1 else 0.1)
        if how == "SIGKILL":
            at, code, took = gateway.kill(), 0, 0.0
        else:
            at = time.time()
            code, took = await gateway.terminate()
        gateway.start()
        if how == "SIGKILL" and number % START_KILLS == START_KILLS - 1:
            await asyncio.sleep(random.uniform(0.0, 1.0))
            endings.append(Ending(how, at, None, None))
            at = gateway.kill()
            gateway.start()
        ready = await gateway.ready()
        endings.append(Ending(how, at, ready, None, took, code))
        say(f"{how} {number + 1} of {len(order)}: ready again after {ready:.2f} s")
    return endings


def _with_first_sends(endings: Sequence[Ending], platform_rows: Sequence[Row]) -> list[Ending]:
    """Return *endings* with the time from each start to the first message that a platform received after it.

    What a platform receives shortly after an end may have left before it. A process takes longer than that to start, so
    rows count from the second half of its start on.
    """
    found: list[Ending] = []
    moments = [row.at for row in platform_rows]
    for number, one in enumerate(endings):
        until = endings[number + 1].at if number + 1 < len(endings) else float("inf")
        begun = one.at + one.took
        first = None
        if one.ready is not None:
            after = [at for at in moments if begun + one.ready / 2 <= at < until]
            first = after[0] - begun if after else None
        found.append(Ending(one.how, one.at, one.ready, first, one.took, one.code))
    return found


def _log_verdict(gateway: processes.Process) -> Verdict:
    count = gateway.faults()
    name = "the gateway's log tells of no fault of its own"
    return Verdict(name, holds=count == 0, detail=f"{count} lines" if count else "no such line", broken=count)


def _drain_verdicts(endings: Sequence[Ending]) -> tuple[Verdict, ...]:
    """Return the verdict on the clean stops; none without one."""
    terms = [one for one in endings if one.how == "SIGTERM"]
    if not terms:
        return ()
    late = [one for one in terms if one.took > DRAIN_SECONDS or one.code != 0]
    detail = f"{len(terms)} times, the slowest {max(one.took for one in terms):.2f} s"
    examples = tuple(f"exit code {one.code} after {one.took:.2f} s" for one in late[:5])
    name = f"SIGTERM ends it cleanly within {DRAIN_SECONDS:g} s"
    return (Verdict(name, holds=not late, detail=detail, broken=len(late), examples=examples),)


def origin() -> str:
    """Return what was run, and where: the commit of a checkout, else the version; Python, the cores, the system."""
    place = Path(__file__).parent
    try:
        said = subprocess.run(  # noqa: S603 - our own question
            ["git", "-C", str(place), "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 - wherever it is
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
        commit = said.stdout.strip() if said.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        commit = ""
    code = f"commit {commit}" if commit else f"kurir {__version__}"
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    return f"{code}; {machine}"
