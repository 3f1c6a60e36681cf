"""Scorecard row 2: no answer leaves before its row is on disk, as the kernel saw it.

A process of its own opens the real store, accepts 100 messages, some one at a time and some together, and writes an
answer to a pipe for each. strace tells the order of its system calls. With synchronous=NORMAL the same test must fail.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.syscalls import STRACE, Verdict, judge

TESTS = Path(__file__).parents[1]
ANSWER = re.compile(r"ANSWER ([0-9a-f-]{36})")
ANSWERS = 100

PROGRAM = """
import asyncio, os, sys
from support.records import new_message
from kurir.store.sqlite import SqliteStore

async def main(path, synchronous):
    store = SqliteStore(path, synchronous=synchronous)
    await store.open()

    async def serve():
        message = new_message(body=b"x" * 600)
        answer = await store.accept(message)
        os.write(1, f"ANSWER {answer.tid}\\n".encode())

    for together in [1] * 10 + [2] * 10 + [10] * 7:
        await asyncio.gather(*(serve() for _ in range(together)))
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


def _run(folder: Path, synchronous: str) -> Verdict:
    trace = folder / f"trace-{synchronous}"
    program = [sys.executable, "-c", PROGRAM, str(folder / f"{synchronous}.db"), synchronous]
    done = subprocess.run(
        [*STRACE, "-o", str(trace), *program],
        cwd=TESTS,
        env={"PYTHONPATH": str(TESTS), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if "ptrace" in done.stderr and "ANSWER" not in done.stdout:
        pytest.skip(f"SKIPPED scorecard row 2: strace may not trace here: {done.stderr.strip()[:200]}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(ANSWER.findall(done.stdout)) == ANSWERS
    return judge(trace.read_text(errors="replace"), ANSWER)


@pytest.mark.slow
@pytest.mark.scorecard(2)
def test_scorecard_2_no_answer_leaves_before_its_row_is_synced(tmp_path):
    if shutil.which("strace") is None:
        pytest.skip("SKIPPED scorecard row 2: strace is not installed (apt-get install strace)")
    full, normal = _run(tmp_path, "FULL"), _run(tmp_path, "NORMAL")
    print(
        f"scorecard 2: FULL: {len(full.answers)} answers, {len(full.early)} before their fdatasync; "
        f"NORMAL: {len(normal.answers)} answers, {len(normal.early)} before"
    )
    assert (len(full.answers), full.early) == (ANSWERS, [])
    assert len(normal.answers) == ANSWERS
    assert len(normal.early) > ANSWERS / 2


_TID = "01a203b7-f056-7d34-894d-a20c479d600d"
_WRITE = f'7 pwrite64(5</d/k.db-wal>, "..{_TID}..", 4096, 32) = 4096\n'
_SYNC = "7 fdatasync(5</d/k.db-wal>) = 0\n"
_ANSWER = f'6 write(1<pipe:[1]>, "ANSWER {_TID}\\n", 44) = 44\n'


@pytest.mark.parametrize(
    ("trace", "early"),
    [
        (_WRITE + _SYNC + _ANSWER, 0),
        (_WRITE + _ANSWER + _SYNC, 1),
        (_SYNC + _WRITE + _ANSWER, 1),
        (_ANSWER, 1),
        (_WRITE + "7 fdatasync(9</d/k.db>) = 0\n" + _ANSWER, 1),
        (_WRITE + "7 fdatasync(5</d/k.db-wal>) = -1 EIO (Input/output error)\n" + _ANSWER, 1),
        (
            _WRITE
            + "7 fdatasync(5</d/k.db-wal> <unfinished ...>\n7 <... fdatasync resumed>) = 0\n"
            + _ANSWER.replace("6 ", "[pid   6] "),
            0,
        ),
        (_WRITE + "7 fdatasync(5</d/k.db-wal> <unfinished ...>\n" + _ANSWER + "7 <... fdatasync resumed>) = 0\n", 1),
    ],
)
def test_the_judge_sees_what_is_early(trace, early):
    verdict = judge(trace, ANSWER)
    assert (len(verdict.answers), len(verdict.early)) == (1, early)
