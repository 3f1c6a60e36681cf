"""A newcomer's whole story in a real browser: from the link in the terminal to the message that was mended.

Login link → connect a sandbox account in the wizard → send → see it on the phone → tap → see the callback → break the
platform → see why → mend → retry.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from support.browser import chromium
from support.console_pages import Furnished, listening
from support.process import up

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@contextmanager
def hook() -> Iterator[tuple[str, list[Any]]]:
    """A client's endpoint on this machine: its URL, and what it was told."""
    told: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def person(made: Furnished) -> str:
    """Return the address of the person whose phones are looked at."""
    phones = made.sandbox("/phones")["data"]
    return "tg:" + next(str(one["address"]) for one in phones if one["channel"] == "telegram")


def write(page: Page, made: Furnished, words: str) -> None:
    """Let the person write something on the Telegram phone."""
    page.goto(f"{made.url}/console/phones")
    phone = page.locator('.stage[data-channel="telegram"]')
    phone.get_by_role("textbox").fill(words)
    phone.get_by_role("textbox").press("Enter")
    expect(phone.locator(".log")).to_contain_text(words)


def send(page: Page, made: Furnished, account: str, words: str, kind: str = "text") -> None:
    """Send a message by hand; the page of the message comes."""
    page.goto(f"{made.url}/console/messages/new")
    page.select_option("#f-account", account)
    page.fill("#f-recipient", person(made))
    page.check(f'input[name="type"][value="{kind}"]', force=True)
    page.fill("#f-text", words)
    if kind == "button":
        page.fill("#f-buttons", "yes = Yes please\nno = Not today")
    page.click("main form.compose button.primary")
    page.wait_for_url(re.compile(r"/console/messages/[0-9a-f-]{36}"))


def test_a_newcomer_connects_sends_is_answered_breaks_and_mends(tmp_path: Path) -> None:
    with up(tmp_path) as started, chromium() as browser, hook() as (url, told):
        made = Furnished(started, tmp_path / "browser.json")
        page = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB").new_page()
        page.set_default_timeout(15_000)
        wrong = listening(page, made)

        # The link lets in, once.
        page.goto(started.facts["console"])
        page.click("main button.primary")
        page.wait_for_url("**/console")
        expect(page.locator("#steps-title")).to_contain_text("First steps")
        stranger = browser.new_context().new_page()
        stranger.goto(started.facts["console"])
        expect(stranger.locator("main")).to_contain_text("was used")
        stranger.context.close()

        # A channel is connected: the platform is asked, the webhook set, the first call waited for.
        page.click("nav >> text=Accounts")
        page.click("main >> text=Connect a channel")
        page.get_by_role("link", name="Connect Telegram").click()
        page.click("main >> text=Use the sandbox's credentials")
        page.fill("#f-id", "my-bot")
        page.click("main >> text=Check and connect")
        if page.locator("input[name=replace]").count():  # the demo's account has the webhook until now
            page.check("input[name=replace]")
            page.click("main >> text=Check and connect")
        page.wait_for_url("**/console/accounts/my-bot/connected")
        expect(page.locator("section.first-call")).to_be_visible()
        write(page, made, "Hello, are you open?")
        page.goto(f"{made.url}/console/accounts/my-bot/connected")
        expect(page.locator("section.first-call")).to_contain_text("It works")

        # An endpoint is told what happens.
        page.goto(f"{made.url}/console/callbacks/new")
        page.fill("#f-url", url)
        page.check('input[name="dialect"][value="standard"]')
        page.click("main form button.primary")
        expect(page.locator("#secret")).to_contain_text("whsec_")

        # A message goes out by the new account, and lands on the phone.
        send(page, made, "my-bot", "Shall we deliver today?", "button")
        expect(page.locator("main .message-title")).to_contain_text("Sent")
        expect(page.locator("kurir-bubble")).to_contain_text("Yes please")
        page.click("nav >> text=Phones")
        phone = page.locator('.stage[data-channel="telegram"]')
        expect(phone).to_contain_text("Shall we deliver today?")

        # Its button is tapped there; the endpoint is told, and the console shows that.
        phone.get_by_role("button", name="Yes please").click()
        page.goto(f"{made.url}/console/callbacks")
        page.click(f"main >> text={url}")
        expect(page.locator("main")).to_contain_text("postback.received")
        pressed = [one for one in told if one["type"] == "postback.received"]
        assert [one["data"]["message"]["postback"]["key"] for one in pressed] == ["yes"]

        # The platform breaks: the message's page says why.
        page.click("nav >> text=Phones")
        page.get_by_label("Fault on Telegram").select_option("Blocked")
        expect(page.locator(".fault-bar:visible")).to_contain_text("Blocked")
        send(page, made, "my-bot", "Are you there?")
        expect(page.locator("main .message-title")).to_contain_text(re.compile("Failed|Undelivered"))
        expect(page.locator("main .notice.bad")).to_contain_text("Why it failed")
        failed = page.url

        # It is mended, and the message retried.
        page.click("nav >> text=Phones")
        page.locator(".fault-bar:visible >> text=Clear").click()
        expect(page.locator(".fault-bar:visible")).to_have_count(0)
        write(page, made, "I am back")  # a person who blocked a bot is written to again only after a sign of theirs
        page.goto(failed)
        page.keyboard.press("r")
        expect(page.locator("main .message-title")).to_contain_text("Sent")
        expect(page.locator("main .timeline")).to_contain_text("run 2")
        assert wrong == []
