"""``./dev scorecard``: the reliability scorecard, each row with what its tests measured. Rows without a test say so.

The rows are those of docs/reliability.md. A row passes when every test marked with it passes. Exit code 1 when one fails.
"""

import json
import os
import subprocess
import sys
import tempfile
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


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "scorecard", "-p", "no:randomly", *sys.argv[1:]]
        run = subprocess.run(
            command, env={**os.environ, "KURIR_SCORECARD": str(target)}, capture_output=True, text=True, check=False
        )
        found = json.loads(target.read_text()) if target.exists() else {}
    if not found:
        print(run.stdout + run.stderr)
        return 1
    failed = 0
    for row, name in ROWS.items():
        known = found.get(str(row))
        if known is None:
            print(f"{row:>3}  missing  {name}")
            continue
        passed = all(outcome == "passed" for outcome in known["outcomes"])
        failed += not passed
        figures = "; ".join(dict.fromkeys(known["figures"])) or f"{len(known['outcomes'])} tests"
        print(f"{row:>3}  {'pass   ' if passed else 'FAIL   '}  {name}: {figures}")
    if failed:
        print(run.stdout[-4000:])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
