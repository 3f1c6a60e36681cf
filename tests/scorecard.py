"""``./dev scorecard``: the reliability scorecard, each row with what its tests measured, and when.

    ./dev scorecard                     the rows that fit every commit (tier C), then the whole table
    ./dev scorecard --tier N            the long forms of the rows that have one: minutes to an hour
    ./dev scorecard --rows 1,16         some rows only; goes with --tier
    ./dev scorecard --write             keep what was found in docs/reliability.json, and write docs/reliability.md from it

A row passes when every test marked with it passes. Of each row and tier the last run that was kept is shown, with its
commit and date; a row that was never run says so. Exit code 1 when a row of this run fails.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

ROWS = {
    1: "kill -9 under load: nothing acknowledged is lost",
    2: "a 200 only after fdatasync; the control with NORMAL fails",
    3: "600 simulated power cuts; the control with NORMAL loses",
    4: "the same id ×50 at once: one row, one send, equal answers",
    5: "the same id, changed content: refused, first untouched",
    6: "the answer's connection cut at every byte: one send",
    7: "the platform's connection cut at every stage × 4 channels",
    8: "several parts: fail or crash at part k, nothing sent again",
    9: "two nodes, one killed: nothing lost",
    10: "a woken zombie: its late outcomes are refused",
    11: "every await cancelled: nothing left open",
    12: "the invariants hold after every integration test",
    13: "model test of the store",
    14: "200 lanes with transient failures: order kept",
    15: "one client's bulk does not delay another's message",
    16: "ten minutes of platform faults",
    17: "receipts early, doubled, shuffled: the maximum reached",
    18: "webhook junk: no 5xx, no worker dies",
    19: "database down while webhooks come: none lost",
    20: "slow and hostile callback endpoints",
    21: "a callback endpoint dead for six hours",
    22: "callback signatures",
    23: "expired messages are never sent",
    24: "the disk full under load",
    25: "read-only file, I/O errors, fsync errors: never a 200",
    26: "PostgreSQL restarts and outage",
    27: "half-open database socket",
    28: "a wedged dispatcher is seen",
    29: "an hour of load",
    30: "clock jumps",
    31: "refused addresses are never connected to",
    32: "every failed login looks and costs the same",
    33: "every route × own, other, none, revoked",
    34: "login flood beside a good client",
    35: "slow and endless requests",
    36: "generated requests over the whole OpenAPI",
    37: "no secret in any log, answer or metric",
    38: "the console against hostile origins and texts",
    39: "upgrade and roll back",
    40: "speed",
    41: "PostgreSQL fails over to its synchronous standby",
}


#: Rows of which there is a long form.
LONG = (1, 9, 10, 11, 13, 15, 16, 18, 24, 26, 27, 41)
FOLDER = Path(__file__).parent.parent / "docs"
PAGE = FOLDER / "reliability.md"
KEPT = FOLDER / "reliability.json"
TIERS = {"C": "every commit", "N": "long"}

Run = dict[str, str]
#: Row → tier → its last run.
Runs = dict[str, dict[str, Run]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev scorecard", description="Run the reliability scorecard.")
    parser.add_argument("--tier", choices=sorted(TIERS), default="C", help="C: fits every commit; N: the long forms")
    parser.add_argument("--rows", default="", help="such as 1,16: these rows only")
    parser.add_argument("--write", action="store_true", help="keep the results, and write docs/reliability.md")
    options, arguments = parser.parse_known_args()
    rows = options.rows or (",".join(map(str, LONG)) if options.tier == "N" else "")
    found, output = _run(options.tier, rows, arguments)
    if not found:
        print(output)
        return 1
    now = {row: _judge(known) for row, known in found.items() if known["outcomes"]}
    runs: Runs = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for row, run in now.items():
        runs.setdefault(row, {})[options.tier] = run
    for row, name in ROWS.items():
        print("\n".join(_lines(row, name, runs.get(str(row), {}), fresh=options.tier if str(row) in now else "")))
    if options.write:
        KEPT.write_text(json.dumps(runs, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
        PAGE.write_text(_page(runs), encoding="utf-8")
    failed = [row for row, run in now.items() if run["result"] == "FAIL"]
    if failed:
        print(output[-6000:])
    return 1 if failed else 0


def _run(tier: str, rows: str, arguments: list[str]) -> tuple[dict[str, dict[str, list[str]]], str]:
    """Run the tests; return what conftest collected of each row, and what pytest said."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "rows.json"
        environment = {"KURIR_SCORECARD": str(target), "KURIR_TIER": tier, "KURIR_ROWS": rows}
        command = [sys.executable, "-m", "pytest", "-q", "-m", "scorecard", *arguments]
        run = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
        found = json.loads(target.read_text()) if target.exists() else {}
    return found, run.stdout + run.stderr


def _judge(known: dict[str, list[str]]) -> Run:
    """Return a row's run: its result, its figures, the commit and the date."""
    passed = all(outcome == "passed" for outcome in known["outcomes"])
    figures = "; ".join(dict.fromkeys(known["figures"])) or f"{len(known['outcomes'])} tests"
    return {
        "result": "pass" if passed else "FAIL",
        "figures": figures,
        "commit": _commit(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def _commit() -> str:
    """Return the commit that was run, with a + where the tree differed from it."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False, cwd=FOLDER.parent)
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short", "HEAD")
    changed = git("status", "--porcelain", "--", "src", "tests")
    return f"{commit}{'+' if changed else ''}" if commit else "no commit"


def _lines(row: int, name: str, runs: dict[str, Run], fresh: str) -> list[str]:
    if not runs:
        return [f"{row:>3}  not run  {name}"]
    return [
        f"{row:>3}  {run['result']:<7}  {name} [{TIERS[tier]}; {run['commit']}, {run['date']}"
        f"{', just now' if tier == fresh else ''}]: {run['figures']}"
        for tier, run in sorted(runs.items())
    ]


def _page(runs: Runs) -> str:
    """Return the page with the table."""
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    lines = []
    for row, name in ROWS.items():
        known = runs.get(str(row), {})
        if not known:
            lines.append(f"| {row} | {name} | not run | | | |")
        for tier, run in sorted(known.items()):
            lines.append(
                f"| {row} | {name} | {run['result']} | {TIERS[tier]} | {run['figures']} | {run['commit']}, {run['date']} |"
            )
    return (
        "# Reliability scorecard\n\n"
        "Forty-one things that a gateway has to survive. `./dev scorecard` runs the rows that fit every commit,\n"
        "`./dev scorecard --tier N` their long forms; each prints its figures and seeds, and `--write` keeps them here.\n"
        "A row that says «not run» has no test yet or was not run, and nothing is claimed of it. A row that is there\n"
        "may be proven in part only: its figures say what was run. A commit with a + was run with changes that the\n"
        "next one holds.\n\n"
        f"The machine: {machine}.\n\n"
        "| row | what | result | form | figures | commit, date |\n|---|---|---|---|---|---|\n" + "\n".join(lines) + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
