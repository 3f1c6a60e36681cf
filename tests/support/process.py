"""``kurir up`` as its users run it: a process of its own, known by the one line of JSON that it prints."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Up:
    """A running ``kurir up``."""

    facts: dict[str, Any]
    process: subprocess.Popen[str]

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Call the gateway as the demo client; returns (status, parsed answer)."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.facts["url"] + path, data=data, method=method)
        request.add_header("Auth-username", self.facts["username"])
        request.add_header("Auth-password", self.facts["password"])
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def send(self, channel: str, body: Any) -> str:
        """Send *body*, and return the tid."""
        status, answer = self.call("POST", f"/{channel}/send/{self.facts['client_id']}", body)
        assert status == 200, answer
        tid: str = answer["data"]["tid"]
        return tid

    def until(self, tid: str, status: int, seconds: float = 15.0) -> Any:
        """Wait until the message has *status*, and return it."""
        deadline = time.monotonic() + seconds
        while True:
            _, answer = self.call("GET", f"/v1/messages/{tid}")
            if answer["data"]["status"] == status:
                return answer["data"]
            assert time.monotonic() < deadline, answer["data"]
            time.sleep(0.02)


@contextmanager
def up(folder: Path, *, command: tuple[str, ...] = (sys.executable, "-m", "kurir")) -> Iterator[Up]:
    """Run ``kurir up`` on free ports with its data in *folder*; it is ended by SIGTERM and has to end well."""
    arguments = ("up", "--port", "0", "--sandbox-port", "0", "--json", "--data", str(folder))
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, f"kurir up ended with {process.wait(5)}"
            yield Up(json.loads(line), process)
        finally:
            process.terminate()
            try:
                code = process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    assert code == 0, f"kurir up ended with {code}"
