"""The wheel as a user installs it: alone, from the lock of what it runs on, in an empty environment.

A package that forgot its files works in its own clone and nowhere else; this fetches every asset from the installed one.
"""

import re
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

import pytest

from kurir.http.models import SAMPLE
from support.process import up

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_installed_wheel_sends_the_sample_and_serves_every_asset(tmp_path: Path) -> None:
    wheels = tmp_path / "dist"
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    home = tmp_path / "a path with a space"
    venv.create(home, with_pip=True)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements" / "run.txt")], check=True)
    subprocess.run([*pip, "--no-deps", str(next(wheels.glob("*.whl")))], check=True)
    with up(tmp_path / "data", command=(str(home / "bin" / "kurir"),)) as running:
        for channel, last in {"whatsapp": 3, "telegram": 1, "line": 1, "messenger": 3}.items():
            running.until(running.send(channel, SAMPLE), last)
        seen: set[str] = set()
        for base, page in ((running.facts["url"], "/docs"), (running.facts["sandbox"], "/phones")):
            fetch_all(base, page, seen)
    assert len(seen) > 12, seen


def fetch_all(base: str, path: str, seen: set[str]) -> None:
    """Fetch *path* and everything that it refers to on the same server."""
    if path in seen:
        return
    seen.add(path)
    with urllib.request.urlopen(base + path, timeout=10) as answer:
        assert answer.status == 200
        kind = answer.headers.get_content_type()
        text = answer.read().decode("utf-8", "replace")
    expected = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "png": "image/png"}
    wanted = expected.get(path.rpartition(".")[2])
    assert wanted is None or kind == wanted, (path, kind)
    if kind == "text/html":
        for found in re.findall(r"(?:src|href)=[\"'](/[^\"'#]+)", text):
            fetch_all(base, found, seen)
    elif kind == "text/javascript" and "swagger" not in path:
        for found in re.findall(r"(?:from|import)\s+[\"']\./([^\"']+)", text):
            fetch_all(base, path.rpartition("/")[0] + "/" + found, seen)
