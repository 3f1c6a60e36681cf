"""Scorecard row 2 over HTTP: no 200 leaves the socket before its message is on disk, as the kernel saw it.

A whole gateway, real HTTP, real store; the answers are recognised by the tid in the body that goes to the socket.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.syscalls import STRACE, Verdict, judge

TESTS = Path(__file__).parents[1]
#: An answer to a send as it goes to the socket: its envelope, and in it the tid. strace escapes quotation marks.
ANSWER = re.compile(r"message_id.{1,80}?status.{1,6}0,.{1,4}tid.{1,8}?([0-9a-f-]{36})")
ANSWERS = 100

PROGRAM = """
import asyncio, sys
from pathlib import Path
from kurir import demo
from kurir.store.sqlite import SqliteStore
from support.servers import running

async def main(folder, synchronous):
    store = SqliteStore(Path(folder) / f"{synchronous}.db", synchronous=synchronous)
    async with running(Path(folder), store=store) as up:
        async def send():
            status, _, answer = await up.send("telegram", demo.example("text"))
            assert status == 200, answer
            print("TID", answer["data"]["tid"])
        for together in [1] * 10 + [2] * 10 + [10] * 7:
            await asyncio.gather(*(send() for _ in range(together)))

asyncio.run(main(*sys.argv[1:]))
"""


def run(folder: Path, synchronous: str) -> tuple[Verdict, set[str]]:
    trace = folder / f"trace-{synchronous}"
    done = subprocess.run(
        [*STRACE, "-o", str(trace), sys.executable, "-c", PROGRAM, str(folder), synchronous],
        cwd=TESTS,
        env={"PYTHONPATH": str(TESTS), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    tids = set(re.findall(r"TID ([0-9a-f-]{36})", done.stdout))
    assert len(tids) == ANSWERS
    return judge(trace.read_text(errors="replace"), ANSWER), tids


@pytest.mark.slow
@pytest.mark.scorecard(2)
@pytest.mark.timeout(400)
def test_no_http_answer_leaves_before_its_message_is_synced(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: install the package strace for scorecard row 2")
    full, tids = run(tmp_path, "FULL")
    normal, _ = run(tmp_path, "NORMAL")
    print(
        f"scorecard 2: over HTTP with FULL {len(full.answers)} answers, {len(full.early)} before their fdatasync; "
        f"the control with NORMAL {len(normal.early)} of {len(normal.answers)}"
    )
    assert set(full.answers) == tids
    assert full.early == []
    assert len(normal.early) > ANSWERS / 2
