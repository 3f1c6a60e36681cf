"""``./dev scorecard``: the reliability scorecard, each row with what its tests measured. Rows without a test say so.

A row passes when every test marked with it passes. Exit code 1 when one fails. ``./dev scorecard --write`` puts the table
into docs/reliability.md, dated, with the machine.
"""

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
}


PAGE = Path(__file__).parent.parent / "docs" / "reliability.md"


def main() -> int:
    arguments = [one for one in sys.argv[1:] if one != "--write"]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "scorecard", *arguments]
        run = subprocess.run(
            command, env={**os.environ, "KURIR_SCORECARD": str(target)}, capture_output=True, text=True, check=False
        )
        found = json.loads(target.read_text()) if target.exists() else {}
    if not found:
        print(run.stdout + run.stderr)
        return 1
    table = [(row, name, *_result(found.get(str(row)))) for row, name in ROWS.items()]
    for row, name, result, figures in table:
        print(f"{row:>3}  {result:<7}  {name}" + (f": {figures}" if figures else ""))
    if "--write" in sys.argv:
        PAGE.write_text(_page(table), encoding="utf-8")
    failed = any(result == "FAIL" for _, _, result, _ in table)
    if failed:
        print(run.stdout[-4000:])
    return 1 if failed else 0


def _result(known: dict[str, list[str]] | None) -> tuple[str, str]:
    """Return (pass, FAIL or missing, the figures) of a row."""
    if known is None:
        return "missing", ""
    figures = "; ".join(dict.fromkeys(known["figures"])) or f"{len(known['outcomes'])} tests"
    return ("pass" if all(outcome == "passed" for outcome in known["outcomes"]) else "FAIL"), figures


def _page(table: list[tuple[int, str, str, str]]) -> str:
    """Return the page with the table."""
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    rows = "".join(f"| {row} | {name} | {result} | {figures} |\n" for row, name, result, figures in table)
    return (
        "# Reliability scorecard\n\n"
        "Forty things that a gateway has to survive. `./dev scorecard` runs the rows that exist and prints them with their\n"
        "figures and seeds; `./dev scorecard --write` wrote this page. A missing row has no test yet, and nothing is claimed\n"
        "of it. A row that is there may be proven in part only: its figures say what was run.\n\n"
        f"Run on {datetime.now(UTC):%Y-%m-%d}: {machine}.\n\n"
        f"| row | what | result | figures |\n|---|---|---|---|\n{rows}"
    )


if __name__ == "__main__":
    sys.exit(main())
