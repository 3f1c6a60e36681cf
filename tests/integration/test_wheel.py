"""The wheel as a user installs it: alone, from the lock of what it runs on, in an empty environment.

A package that forgot its files works in its own clone and nowhere else; this fetches every asset from the installed one.
"""

import re
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from kurir.http.models import SAMPLE
from support.process import Up, up

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_installed_wheel_sends_the_sample_and_serves_every_asset(tmp_path: Path) -> None:
    wheels = tmp_path / "dist"
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    home = tmp_path / "a path with a space"
    venv.create(home)
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install", "--quiet"]
    pip += ["--disable-pip-version-check", "--no-compile"]  # most of what comes is never run here
    subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements" / "run.txt")], check=True)
    subprocess.run([*pip, "--no-deps", str(next(wheels.glob("*.whl")))], check=True)
    with up(tmp_path / "data", command=(str(home / "bin" / "kurir"),)) as running:
        for channel, last in {"whatsapp": 3, "telegram": 1, "line": 1, "messenger": 3}.items():
            running.until(running.send(channel, SAMPLE), last)
        opener = signed_in(running)
        seen: set[str] = set()
        fetch_all(opener, running.facts["sandbox"] + "/phones", seen)
        for page in ("/docs", "/console", "/console/phones", "/console/messages/new"):
            fetch_all(opener, running.facts["url"] + page, seen)
        for language, home_word in (
            ("ja", "ホーム"),
            ("id", "Beranda"),
        ):  # catalogues are files that a wheel may forget
            asked = urllib.request.Request(running.facts["url"] + "/console", headers={"Accept-Language": language})
            with opener.open(asked, timeout=10) as answer:
                assert home_word in answer.read().decode()
    names = {one.rpartition("/")[2] for one in seen}
    assert {"console.css", "htmx.min.js", "uPlot.iife.min.js", "icons.svg", "phones.js", "bubble.js"} <= names, names


def signed_in(running: Up) -> urllib.request.OpenerDirector:
    """Return a browser, as far as it takes one, that came by the console's link."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    address = urlsplit(running.facts["console"])
    enter = urllib.request.Request(f"{running.facts['url']}{address.path}", data=address.query.encode())
    enter.add_header("Origin", running.facts["url"])
    with opener.open(enter, timeout=10) as answer:
        assert answer.url.endswith("/console"), answer.url
    return opener


def fetch_all(opener: urllib.request.OpenerDirector, url: str, seen: set[str]) -> None:
    """Fetch *url* and everything that it needs on the same server: scripts, styles, pictures, what scripts import."""
    if url in seen:
        return
    seen.add(url)
    with opener.open(url, timeout=10) as answer:
        assert answer.status == 200
        kind = answer.headers.get_content_type()
        text = answer.read().decode("utf-8", "replace")
    path = urlsplit(url).path
    expected = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "png": "image/png"}
    wanted = expected.get(path.rpartition(".")[2])
    assert wanted is None or kind == wanted, (path, kind)
    needed: list[str] = []
    if kind == "text/html":
        needed = re.findall(r"<(?:script|img|use)[^>]*(?:src|href)=[\"']([^\"'#]+)", text)
        needed += re.findall(r"<link[^>]*href=[\"']([^\"'#]+)", text)
    elif kind == "text/javascript" and "swagger" not in path:
        needed = re.findall(r"(?:from|import)\s+[\"'](\./[^\"']+)", text)
    for one in needed:
        if not one.startswith(("data:", "http")):
            fetch_all(opener, urljoin(url, one), seen)
