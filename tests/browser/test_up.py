"""The first step as a newcomer takes it: ``kurir up``, the seed's sample by HTTP, and the message on four phones.

With KURIR_SCREENSHOTS set to a folder, the pictures of the README and the docs are written there.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from kurir import demo
from kurir.http.models import SAMPLE
from support.browser import chromium
from support.process import Up, up

pytestmark = pytest.mark.browser

#: What a message ends at: Telegram and LINE never tell more than sent.
LAST = {"whatsapp": 3, "telegram": 1, "line": 1, "messenger": 3}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("up")) as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def shot(page: Page, name: str) -> None:
    folder = os.environ.get("KURIR_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(300)  # lets the arrival animation end, for the picture only
        page.screenshot(path=Path(folder) / name)


def open_phones(browser: Browser, running: Up, **context: object) -> tuple[Page, list[str]]:
    """Open the phones, and return the page and what went wrong on it."""
    wrong: list[str] = []
    page = browser.new_context(**context).new_page()  # type: ignore[arg-type] # Playwright's options by name
    page.on("console", lambda line: wrong.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda request: (
            wrong.append(request.url)
            if not request.url.startswith((running.facts["sandbox"], "data:", "blob:"))
            else None
        ),
    )
    page.goto(running.facts["phones"])
    page.wait_for_selector("article", timeout=10_000)
    return page, wrong


def test_the_sample_as_it_is_printed_reaches_every_phone_and_its_last_status(running: Up) -> None:
    for channel, last in LAST.items():
        tid = running.send(channel, SAMPLE)
        message = running.until(tid, last)
        assert message["final"] is True
        assert [event["status"] for event in message["history"]][-1] == last


def test_every_type_reaches_every_phone_and_is_shown(running: Up, browser: Browser) -> None:
    running.call("GET", "/livez")
    for kind in demo.TYPES:
        for channel, last in LAST.items():
            running.until(running.send(channel, demo.example(kind)), last)
    page, wrong = open_phones(browser, running, viewport={"width": 1440, "height": 900}, color_scheme="light")
    for text in ("Hello from kurir", "Shall we deliver today?", "Track my order", "Look at this", "Our shop"):
        for_every_phone = page.get_by_text(text)
        assert for_every_phone.count() >= 4, text
    for picture in page.locator("article img").all():
        picture.scroll_into_view_if_needed()
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    for sound in page.locator("article audio").all():
        assert sound.get_attribute("src") or sound.locator("source").count()
    assert wrong == []


def test_what_is_sent_while_the_page_is_open_arrives_without_a_reload(running: Up, browser: Browser) -> None:
    page, wrong = open_phones(browser, running, viewport={"width": 1440, "height": 900}, color_scheme="light")
    words = "This one came while you were looking"
    for channel in LAST:
        body = demo.example("text")
        body["body"] = {"text": words}
        running.send(channel, body)
    page.wait_for_function(
        "words => [...document.querySelectorAll('article')].filter(a => a.textContent.includes(words)).length >= 4",
        arg=words,
    )
    assert wrong == []


def test_the_api_reference_is_served_from_this_machine_alone(running: Up, browser: Browser) -> None:
    wrong: list[str] = []
    page = browser.new_context().new_page()
    page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    page.on(
        "request",
        lambda request: (
            wrong.append(request.url) if not request.url.startswith((running.facts["url"], "data:", "blob:")) else None
        ),
    )
    page.goto(running.facts["docs"])
    page.wait_for_selector("text=Send a message", timeout=15_000)
    shot(page, "docs.png")
    page.goto(running.facts["url"] + "/errors/recipient_not_linked")
    assert page.locator("h1").inner_text() == "This phone has no address on this channel"
    shot(page, "error.png")
    page.context.close()
    assert wrong == []
