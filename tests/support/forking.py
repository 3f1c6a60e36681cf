"""Processes of kurir that begin as a fork of one that has imported everything already.

The suite starts and kills some hundred of them, and what a start costs is mostly the same imports again: two seconds of
processor, where a fork takes milliseconds. Apart from that each is what ``python -m kurir`` is: a process of its own with its
own memory, in its own session, that ends as it would. The long tier, the benchmarks and the tests of the command line start
theirs from nothing.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn, cast

#: What a gateway or a sandbox imports before it serves.
IMPORTED: Final = (
    "kurir.cli.app",
    "kurir.cli.serve",
    "kurir.cli.sandbox",
    "kurir.gateway",
    "kurir.sandbox.app",
    "uvloop",
)
_TESTS: Final = Path(__file__).parent.parent
_POLL_SECONDS: Final = 0.005


# --- where it is forked from --------------------------------------------------------------------------------------------


def _serve() -> None:
    """Fork a process for each line that asks for one, until the lines end. One thread, no loop: else nothing may be forked."""
    for name in IMPORTED:
        importlib.import_module(name)
    assert threading.active_count() == 1
    asked, answers = sys.stdin, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in asked:
        wanted = json.loads(line)
        answer: int | None
        if "poll" in wanted:
            ended, status = os.waitpid(wanted["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if ended else None
        else:
            answer = os.fork()
            if answer == 0:
                answers.close()
                _become(wanted)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _become(wanted: dict[str, Any]) -> NoReturn:
    """Be the process that is *wanted*, in a fork."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(wanted["log"], os.O_WRONLY | os.O_APPEND)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(log)
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    sys.argv = ["kurir", *wanted["arguments"]]
    importlib.import_module("kurir.cli.app").main()
    sys.exit()


# --- who asks for it ----------------------------------------------------------------------------------------------------


class Forker:
    """The process that others are forked from. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.forking"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_TESTS,
        )

    def ask(self, **wanted: Any) -> Any:
        """Have a line answered."""
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(wanted) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())


class Forked:
    """A forked process, with what :class:`subprocess.Popen` has of it. It stays a zombie until it is asked after."""

    def __init__(self, forker: Forker, arguments: Sequence[str], log: str) -> None:
        self._forker = forker
        self.args = arguments
        self.returncode: int | None = None
        self.pid: int = forker.ask(
            arguments=list(arguments),
            log=log,
            folder=str(Path.cwd()),
            environment=dict(os.environ),
        )

    def poll(self) -> int | None:
        """Return how it ended, None while it runs."""
        if self.returncode is None:
            self.returncode = self._forker.ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            time.sleep(_POLL_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it is known to have ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


_forker: Forker | None = None


def spawn(arguments: Sequence[str], log: BinaryIO) -> "subprocess.Popen[bytes]":
    """Do what :func:`kurir.bench.processes.spawn` does for ``python -m kurir …``, by a fork."""
    global _forker  # noqa: PLW0603 - one for the whole run, made when it is first needed
    assert tuple(arguments[:3]) == (sys.executable, "-m", "kurir")
    if _forker is None:
        _forker = Forker()
    return cast("subprocess.Popen[bytes]", Forked(_forker, arguments[3:], log.name))


if __name__ == "__main__":
    _serve()
