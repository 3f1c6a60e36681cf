"""Every command of the documentation that needs only Python and loopback, run as it stands there.

A page's commands run in their order, in one shell, beside a ``kurir up`` of which they find the folder ``kurir-data``. What is
not run says why, in a comment before the block (``support.doc_commands``).
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import doc_commands
from support.process import Up, up

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
#: The slowest page takes some ten seconds by itself, and several times that beside three other tests on two cores.
PATIENCE = 110


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def commands_of(path: Path) -> list[doc_commands.Block]:
    return [one for one in doc_commands.blocks(path.read_text("utf-8")) if one.commands]


RUN = [path for path in PAGES if any(doc_commands.is_run(one) for one in commands_of(path))]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Up]]:
    folder = tmp_path_factory.mktemp("demo") / "kurir-data"
    with up(folder) as running:
        yield folder, running


@pytest.fixture(autouse=True)
def as_it_was(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set the sandbox back after each page: its clock, its faults, its phones."""
    yield
    if "demo" in request.fixturenames:
        _, running = request.getfixturevalue("demo")
        asked = urllib.request.Request(running.facts["sandbox"] + "/sandbox/reset", data=b"{}", method="POST")
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.status == 200


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("bash"), reason="curl or bash is missing")
@pytest.mark.parametrize("path", RUN, ids=name_of)
def test_the_commands_of_a_page_work(path: Path, demo: tuple[Path, Up], tmp_path: Path) -> None:
    data, running = demo
    facts = running.facts
    bin_ = doc_commands.tools(tmp_path)
    for name in ("examples", "requirements", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "kurir-data").symlink_to(data)
    ports = {"8080": facts["url"].rpartition(":")[2], "8081": facts["sandbox"].rpartition(":")[2]}
    more = {
        "PASSWORD": facts["password"],
        "KURIR_ADMIN_TOKEN": facts["admin_token"],
        "PIP_TARGET": str(tmp_path / "site"),  # nothing is installed into the environment of the tests
        "PIP_NO_INDEX": "1",
    }
    page = path.read_text("utf-8")
    if (
        "listen = " not in page
    ):  # a configuration of the page's own says where; one that was made listens where it likes
        more["KURIR_LISTEN"] = "127.0.0.1:0"
    script = doc_commands.script(page, ports)
    environment = doc_commands.environment(bin_, more)
    with subprocess.Popen(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=(tmp_path / "said").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as shell:
        try:
            code = shell.wait(PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)  # what runs on, of this page alone
    said = (tmp_path / "said").read_text("utf-8", "replace")
    print(said)
    assert code == 0, f"{name_of(path)}: the commands ended with {code}\n{said[-3000:]}"


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_what_is_not_run_says_why(path: Path) -> None:
    page = path.read_text("utf-8")
    found = list(doc_commands.blocks(page))
    assert len(found) == len([line for line in page.splitlines() if line.lstrip().startswith("```")]) // 2
    for block in found:
        assert block.how != "not run" or len(block.word) > 10, f"{name_of(path)}:{block.line} does not say why"
        assert block.how != "file" or "/" not in block.word, f"{name_of(path)}:{block.line}"
    assert len(re.findall("<!-- (?:not run|runs on|file|ends with)", page)) == sum(
        bool(block.how) for block in found
    ), "a mark stands on the line before its block"


def test_most_of_it_is_run() -> None:
    every = [block for path in PAGES for block in commands_of(path)]
    run = [block for block in every if doc_commands.is_run(block)]
    print(f"{len(run)} of {len(every)} blocks of commands are run, on {len(RUN)} pages")
    assert len(run) * 2 > len(every)


@pytest.mark.parametrize(
    ("page", "code"),
    [
        ("```sh\ntrue\n```\n", 0),
        ("```sh\nfalse\ntrue\n```\n", 1),
        ("<!-- not run: it would fail -->\n```sh\nfalse\n```\n", 0),
        ("<!-- ends with 1 -->\n```sh\nfalse\n```\n", 0),
        ("<!-- ends with 1 -->\n```sh\ntrue\n```\n", 1),
        ("<!-- runs on -->\n```sh\necho on; sleep 60\n```\n", 0),
        ("<!-- runs on -->\n```sh\necho off\n```\n", 1),
        ("<!-- runs on -->\n```sh\nfalse\n```\n", 1),
        ("<!-- file: a.csv -->\n```csv\na,b\n```\n```sh\n[ $(cat a.csv) = a,b ]\n```\n", 0),
        ("```text\n$ false\nfalse\n```\n", 1),
        ("```text\n$ true\nfalse\n```\n", 0),
        ("1. Indented:\n\n    ```sh\n    false\n    ```\n", 1),
    ],
)
def test_a_page_fails_where_a_command_does(page: str, code: int, tmp_path: Path) -> None:
    shell = subprocess.Popen(
        ["bash", "-c", doc_commands.script(page, {})],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    found = shell.wait(30)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(shell.pid, signal.SIGTERM)
    assert bool(found) == bool(code)
