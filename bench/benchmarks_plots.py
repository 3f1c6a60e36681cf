"""The plots of docs/benchmarks.md: SVG on a white ground, readable on a phone, the same bytes for the same figures."""

from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams.update(
    {
        "svg.hashsalt": "kurir",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.facecolor": "white",
    }
)

from matplotlib import pyplot as plt  # noqa: E402 - behind the choice of what it draws with
from matplotlib.ticker import NullLocator  # noqa: E402 - as above

OURS, OTHERS = "#00796b", "#b0bec5"
LINES = ("#00796b", "#e65100", "#3949ab", "#6d4c41", "#546e7a")
WIDTH = 4.6


def write(known: dict[str, Any], folder: Path) -> None:
    """Write the plot of each section that is kept into *folder*."""
    folder.mkdir(exist_ok=True)
    draw = {
        "accept": ("sends accepted a second", _bars),
        "end_to_end": ("messages a second", _bars),
        "webhooks": ("webhooks a second", _bars),
        "callbacks": ("callbacks a second", _bars),
        "latency": ("ms added", _curve),
        "growth": ("queued already", _growth),
        "databases": ("messages a second", _bars),
    }
    for name, (label, function) in draw.items():
        if name in known:
            figure = function(known[name]["found"], label)
            path = folder / f"bench-{name.replace('_', '-')}.svg"
            figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
            plt.close(figure)
            path.write_text("\n".join(line.rstrip() for line in path.read_text("utf-8").splitlines()) + "\n", "utf-8")


def _bars(found: dict[str, Any], label: str) -> Any:
    key = "rate" if "rate" in next(iter(found.values()))[0] else "end_to_end"
    names = list(found)[::-1]
    middle = [median(one[key] for one in found[name]) for name in names]
    least = [m - min(one[key] for one in found[name]) for name, m in zip(names, middle, strict=True)]
    most = [max(one[key] for one in found[name]) - m for name, m in zip(names, middle, strict=True)]
    figure, axes = plt.subplots(figsize=(WIDTH, 0.45 * len(names) + 0.7))
    colours = [OURS if name.startswith(("kurir", "SQLite", "PostgreSQL")) else OTHERS for name in names]
    axes.barh(names, middle, color=colours, xerr=[least, most], error_kw={"ecolor": "#37474f", "lw": 1, "capsize": 2})
    for place, (value, more) in enumerate(zip(middle, most, strict=True)):
        axes.text(value + more, place, f" {value:,.0f}", va="center", fontsize=9)
    axes.set_xlim(0, max(m + more for m, more in zip(middle, most, strict=True)) * 1.2)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.locator_params(axis="x", nbins=4)
    axes.set_xlabel(label)
    return figure


def _curve(found: dict[str, Any], label: str) -> Any:
    figure, axes = plt.subplots(figsize=(WIDTH, 2.6))
    for number, one in enumerate(found["kurir"]):
        shares, ms = zip(*one["curve"], strict=True)
        axes.plot([max(each, 0.05) for each in ms], [share * 100 for share in shares], color=LINES[number % 5], lw=1.5)
    axes.set_xscale("log")
    axes.set_xticks([0.1, 0.5, 1, 2, 5, 10, 25, 100], minor=False)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    for bar, share in ((5, 50), (25, 99)):
        axes.plot([bar], [share], marker="v", color="#c62828", ms=6)
        axes.annotate(
            f"bar: p{share} ≤ {bar} ms", (bar, share), xytext=(0, -14), textcoords="offset points", fontsize=8
        )
    axes.set_xlabel(label)
    axes.set_ylabel("% of messages")
    return figure


def _growth(found: dict[str, Any], label: str) -> Any:
    figure, axes = plt.subplots(figsize=(WIDTH, 2.6))
    for number, (variant, sizes) in enumerate(found.items()):
        middle = [median(one["cpu"] for one in rounds) for rounds in sizes.values()]
        axes.plot([int(size) for size in sizes], middle, marker="o", color=LINES[number], lw=1.5, label=variant)
    axes.set_xscale("log")
    highest = max(median(one["cpu"] for one in rounds) for sizes in found.values() for rounds in sizes.values())
    axes.set_ylim(0, highest * 1.1)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel(label)
    axes.set_ylabel("µs of a core each")
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    return figure
