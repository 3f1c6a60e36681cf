"""docs/benchmarks.json, and docs/benchmarks.md and its plots, which are made of it.

``write`` makes the page and the plots anew, from benchmarks_template.md; a test compares the page with what ``page`` makes.
Each section carries its own date, commit and machine, so that one of them can be measured again alone. What was not measured
is said to be not measured.
"""

import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

DOCS = Path(__file__).parent.parent / "docs"
KEPT = DOCS / "benchmarks.json"
PAGE = DOCS / "benchmarks.md"
TEMPLATE = Path(__file__).parent / "benchmarks_template.md"
IMAGES = DOCS / "images"
VERSIONS = ("aiohttp", "apsw", "fastapi", "httptools", "httpx", "pydantic", "pyreqwest", "uvicorn", "uvloop")
SMALLEST, BIGGEST = "1000", "1000000"

Section = dict[str, Any]
Kept = dict[str, Section]


def processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def commit() -> str:
    """Return the commit that was measured, with a + where the tree differed from it."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False, cwd=DOCS.parent)
        return done.stdout.strip() if done.returncode == 0 else ""

    found = git("rev-parse", "--short", "HEAD")
    changed = git("status", "--porcelain", "--", "src", "bench")
    return f"{found}{'+' if changed else ''}" if found else "no commit"


def origin() -> str:
    return f"{commit()}; Python {platform.python_version()}, {os.cpu_count()} cores, {processor()}, {platform.system()}"


def keep(name: str, messages: int, found: dict[str, Any]) -> None:
    """Keep what a section found in docs/benchmarks.json."""
    known = load()
    known[name] = {
        "commit": commit(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": {"cores": os.cpu_count(), "processor": processor(), "system": platform.system()},
        "python": platform.python_version(),
        "versions": {one: metadata.version(one) for one in VERSIONS if _installed(one)},
        "load": round(os.getloadavg()[0], 1),
        "rounds": _rounds(found),
        "messages": messages,
        "found": found,
    }
    KEPT.write_text(json.dumps(_rounded(known), indent=1, ensure_ascii=False, sort_keys=False) + "\n", encoding="utf-8")


def _rounds(found: Any) -> int:
    """Return how many rounds of each there were."""
    return len(found) if isinstance(found, list) else _rounds(next(iter(found.values())))


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def load() -> Kept:
    return json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}


def write() -> None:
    """Write the page and the plots from what is kept."""
    known = load()
    PAGE.write_text(page(known), encoding="utf-8")
    import benchmarks_plots  # noqa: PLC0415 - it needs matplotlib, which the page alone does not

    benchmarks_plots.write(known, IMAGES)


# --- figures ---


def values(rounds: list[dict[str, float]], key: str) -> list[float]:
    return [one[key] for one in rounds]


def ratios(section: Section, name: str, base: str, key: str = "rate") -> list[float]:
    """Return *name* over *base*, round by round; of processor time the other way round, so that more is better."""
    found = section["found"]
    pairs = zip(found[name], found[base], strict=True)
    return [one[key] / other[key] if key == "rate" else other[key] / one[key] for one, other in pairs]


def spread(found: list[float], digits: int = 2) -> str:
    return f"{median(found):.{digits}f} ({min(found):.{digits}f}–{max(found):.{digits}f})"


def growth_of(section: Section) -> list[tuple[str, str, list[float]]]:
    """Return (variant, size, cost over that with the smallest queue, round by round) of the biggest queue measured."""
    found = []
    for variant, sizes in section["found"].items():
        biggest = max(sizes, key=int)
        first = median(values(sizes[SMALLEST], "cpu"))
        found.append((variant, biggest, [cost / first for cost in values(sizes[biggest], "cpu")]))
    return found


@dataclass(frozen=True)
class Bar:
    """What was set out to reach: a *ratio* to another contender, or a figure of our own in each round."""

    what: str
    bound: float
    section: str
    base: str = ""
    key: str = ""

    def found(self, section: Section) -> list[float]:
        return ratios(section, "kurir", self.base) if self.base else values(section["found"]["kurir"], self.key)

    def by_processor(self, section: Section) -> list[float]:
        return ratios(section, "kurir", self.base, "cpu") if self.base else []

    def reached(self, section: Section) -> bool:
        """A ratio has to be reached in rate and in processor time: on a busy machine one of them flatters."""
        if not self.base:
            return median(self.found(section)) <= self.bound
        return min(median(self.found(section)), median(self.by_processor(section))) >= self.bound


BARS = (
    Bar("accept, beside the bare echo", 0.25, "accept", "bare echo"),
    Bar("end to end, beside the bare relay", 0.33, "end_to_end", "bare relay"),
    Bar("end to end, beside FastAPI + httpx", 10, "end_to_end", "FastAPI + httpx"),
    Bar("webhooks in, beside the bare echo", 0.2, "webhooks", "bare echo"),
    Bar("latency added at 10 % load, p50 in ms", 5, "latency", key="p50"),
    Bar("latency added at 10 % load, p99 in ms", 25, "latency", key="p99"),
)
FLAT = 1.2


def bars(known: Kept) -> Iterator[str]:
    """Yield a table with a row for each bar: what was found, and whether it is reached."""
    yield "| what | bar | found | by processor time | reached |"
    yield "|---|---|---|---|---|"
    for bar in BARS:
        begin = f"| {bar.what} | {'≥' if bar.base else '≤'} {bar.bound:g} |"
        section = known.get(bar.section)
        if section is None or (bar.base and bar.base not in section["found"]):
            yield f"{begin} not measured | | |"
            continue
        by_processor = spread(bar.by_processor(section)) if bar.base else ""
        yield f"{begin} {spread(bar.found(section))} | {by_processor} | {'yes' if bar.reached(section) else '**no**'} |"
    if "growth" not in known:
        yield f"| cost with a million queued, over that with 1,000 | ≤ {FLAT} | not measured | | |"
        return
    for variant, size, found in growth_of(known["growth"]):
        judged = ("yes" if median(found) <= FLAT else "**no**") if size == BIGGEST else "not measured so far"
        begin = f"| cost with {int(size):,} queued {variant}, over that with 1,000 | ≤ {FLAT} |"
        yield f"{begin} | {spread(found)} | {judged} |"


def turns(section: Section, base: str) -> Iterator[str]:
    """Yield a table of contenders that took turns."""
    yield "| | a second | µs of a core each | p50 ms | p99 ms | of its core | ratio to the bare one | by processor time |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, rounds in section["found"].items():
        rate, cpu, p50, p99 = (median(values(rounds, key)) for key in ("rate", "cpu", "p50", "p99"))
        core = median(one["rate"] * one["cpu"] / 1e6 for one in rounds)
        waits = f"{p50:.1f} | {p99:.1f}" if p50 else "|"
        ratio = spread(ratios(section, name, base), 3) if name != base else "1"
        by_processor = f"{median(ratios(section, name, base, 'cpu')):.3f}" if name != base else "1"
        yield f"| {name} | {rate:,.0f} | {cpu:,.0f} | {waits} | {core:.0%} | {ratio} | {by_processor} |"
    busy = {name: max(values(rounds, "busy")) for name, rounds in section["found"].items()}
    doubted = [f"{name} ({share:.0%})" for name, share in busy.items() if share > 0.85]
    if doubted:
        yield ""
        yield (
            f"The generator used more than 85 % of its own core beside {', '.join(doubted)}, which may be faster than shown: "
            "there the ratio by processor time is the one to read."
        )


def measured(section: Section) -> str:
    machine = section["machine"]
    return (
        f"{section['rounds']} round{'s' if section['rounds'] > 1 else ''}, about {section['messages']:,} messages; "
        f"{section['date']}, commit "
        f"{section['commit']}, Python {section['python']}, {machine['cores']} cores, {machine['processor']}, "
        f"{machine['system']}; load average at the end {section['load']}."
    )


# --- the page ---

BASES = {"accept": "bare echo", "end_to_end": "bare relay", "webhooks": "bare echo", "callbacks": "bare loop, aiohttp"}
#: Section → the alternative text of its plot.
PLOTS = {
    "accept": "Bars: sends accepted a second by the bare echo and by the gateway, as in the table above",
    "end_to_end": "Bars: messages a second end to end of each contender, as in the table above",
    "webhooks": "Bars: webhooks taken a second by the bare echo and by the gateway, as in the table above",
    "callbacks": "Bars: callbacks delivered a second by the bare loop and by the gateway, as in the table above",
    "latency": "A curve: the share of messages by the milliseconds added to them, one line for each round",
    "growth": "Lines: microseconds for each message as the queue grows, as in the table above",
    "databases": "Bars: messages a second end to end with each database, as in the table above",
}


def page(known: Kept) -> str:
    """Return the page that goes with what is kept."""

    def filled(found: re.Match[str]) -> str:
        name = found[1]
        if name == "bars":
            return "\n".join(bars(known))
        section = known.get(name)
        if section is None:
            return "Not measured."
        plot = [f"![{PLOTS[name]}](images/bench-{name.replace('_', '-')}.svg)", ""] if name in PLOTS else []
        return "\n".join([*_table(name, section), "", *plot, measured(section)])

    return re.sub(r"\[\[(\w+)\]\]", filled, TEMPLATE.read_text("utf-8"))


def _table(name: str, section: Section) -> Iterator[str]:
    if name in BASES:
        base = BASES[name] if BASES[name] in section["found"] else next(iter(section["found"]))
        yield from turns(section, base)
    elif name == "latency":
        yield "| at | messages | p50 ms | p99 ms | request to 200: p50 ms | p99 ms |"
        yield "|---|---|---|---|---|---|"
        for one in section["found"]["kurir"]:
            shown = " | ".join(f"{one[key]:.2f}" for key in ("p50", "p99", "accept_p50", "accept_p99"))
            yield f"| {one['rate']:,.0f}/s of {one['most']:,.0f}/s | {one['count']:,} | {shown} |"
    elif name == "memory":
        yield "| queued | before MiB | after MiB | MiB more |"
        yield "|---|---|---|---|"
        for one in section["found"]["kurir"]:
            sizes = (one["before"], one["after"], one["after"] - one["before"])
            yield f"| {one['queued']:,} | {' | '.join(f'{size / 2**20:,.1f}' for size in sizes)} |"
    elif name == "growth":
        yield "| queued | where | messages a second | µs each | over that with 1,000 |"
        yield "|---|---|---|---|---|"
        for variant, sizes in section["found"].items():
            first = median(values(sizes[SMALLEST], "cpu"))
            for size, rounds in sizes.items():
                costs = values(rounds, "cpu")
                yield (
                    f"| {int(size):,} | {variant} | {median(values(rounds, 'rate')):,.0f} | {median(costs):,.0f} | "
                    f"{spread([cost / first for cost in costs])} |"
                )
    else:
        yield "| | accepted a second | end to end a second | over SQLite's | µs gateway | µs database | bytes of its log |"
        yield "|---|---|---|---|---|---|---|"
        first = median(values(next(iter(section["found"].values())), "end_to_end"))
        for way, rounds in section["found"].items():
            keys = ("accepted", "end_to_end", "gateway", "database", "log")
            accepted, rate, cpu, other, log = (median(values(rounds, key)) for key in keys)
            own = f"{other:,.0f} | {log:,.0f}" if other else "|"
            yield f"| {way} | {accepted:,.0f} | {rate:,.0f} | {rate / first:.2f} | {cpu:,.0f} | {own} |"


if __name__ == "__main__":
    write()
