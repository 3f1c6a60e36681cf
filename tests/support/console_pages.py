"""A ``kurir up`` with something of everything in it, and a browser that is signed in to its console."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from kurir import demo
from support.process import Up, up

LAST = {"whatsapp": 3, "telegram": 1, "line": 1, "messenger": 3}
#: What axe calls serious: nothing of it may be on a page.
SERIOUS = frozenset({"serious", "critical"})


@dataclass
class Furnished:
    """The running gateway, what a page of each thing is at, and the browser's cookies once somebody signed in."""

    up: Up
    state: Path
    tids: dict[str, str] = field(default_factory=dict)
    failed: str = ""

    @property
    def url(self) -> str:
        return str(self.up.facts["url"])

    def sandbox(self, path: str, body: Any = None) -> Any:
        """Call the sandbox beside the gateway."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.up.facts['sandbox']}/sandbox{path}", data=data)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def admin(self, method: str, path: str, body: Any) -> Any:
        """Call the administrator's API."""
        request = urllib.request.Request(f"{self.url}/v1/admin{path}", data=json.dumps(body).encode(), method=method)
        request.add_header("Authorization", f"Bearer {self.up.facts['admin_token']}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def act(self, channel: str, act: dict[str, Any], person: str = "") -> Any:
        """Let the person of the first phone do something."""
        phones = self.sandbox("/phones")["data"]
        phone = next(one for one in phones if one["channel"] == channel and person in ("", one["person"]))
        return self.sandbox(f"/phones/{channel}/{phone['address']}/acts", act)


@contextmanager
def furnished(folder: Path) -> Iterator[Furnished]:
    """Run a gateway with messages of every type and status, answers, refused requests and a callback endpoint."""
    with up(folder) as started:
        made = Furnished(started, folder / "browser.json")
        for channel, last in LAST.items():
            for kind in ("text", "image", "button", "list", "location"):
                tid = started.send(channel, demo.example(kind))
                started.until(tid, last)
                made.tids[f"{channel}:{kind}"] = tid
        for channel in LAST:
            made.act(channel, {"do": "text", "text": "Is it still open? ขอบคุณ ありがとう 謝謝"})
        unknown = demo.example("text") | {"recipient": "6281200000009"}
        for channel in ("telegram", "line"):
            made.failed = started.send(channel, unknown)
            started.until(made.failed, -1)
            unknown = unknown | {"id": f"{unknown['id']}-2"}
        for wrong in (
            {"id": "x"},
            demo.example("text") | {"type": "parcel"},
            demo.example("text") | {"recipient": "12"},
        ):
            status, _ = started.call("POST", "/whatsapp/send/demo", wrong)
            assert status == 422
        # The address answers 405: every callback fails there.
        made.admin("PUT", "/callbacks", {"client": "demo", "url": f"{started.facts['sandbox']}/sandbox/acts"})
        started.send("telegram", demo.example("text") | {"id": "told"})
        yield made


def sign_in(browser: Browser, made: Furnished, **context: Any) -> BrowserContext:
    """Return a context that is signed in: by the one-time link the first time, by its cookies afterwards."""
    if made.state.exists():
        return browser.new_context(storage_state=str(made.state), **context)
    opened = browser.new_context(**context)
    page = opened.new_page()
    page.goto(made.up.facts["console"])
    page.click("main button.primary")
    page.wait_for_url("**/console")
    opened.storage_state(path=str(made.state))
    page.close()
    return opened


def listening(page: Page, made: Furnished) -> list[str]:
    """Return what goes wrong on *page* from now on: errors, refusals of the policy, requests to anywhere else."""
    wrong: list[str] = []
    page.on("console", lambda line: wrong.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request", lambda one: wrong.append(one.url) if not one.url.startswith((made.url, "data:", "blob:")) else None
    )
    return wrong


def sideways(page: Page) -> list[str]:
    """Return what makes the page scroll sideways, [] where nothing does."""
    found: list[str] = page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
            [...document.querySelectorAll("main *, header *")]
                .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
                .slice(0, 5).map(one => `${one.tagName} ${one.className} ${one.textContent.slice(0, 40)}`)"""
    )
    return found


def cut(page: Page) -> list[str]:
    """Return buttons, headings and badges whose words do not fit into them."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("main .button, main h1, main h2, main h3, main .badge, main .chip, .nav a")]
            .filter(one => one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1 && !one.matches(".phones *, .sr"))
            .map(one => `${one.tagName} ${one.textContent.trim().slice(0, 40)}`)"""
    )
    return found


def serious(page: Page) -> list[str]:
    """Return what axe finds serious or worse on the page (WCAG 2.2 AA and its best practices)."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['impact']} {one['id']} ×{len(one['nodes'])}: {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in SERIOUS
    ]
