"""A person writes, taps and blocks on the page of the phones, in Chromium, against a whole sandbox."""

import asyncio
import threading
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from kurir.sandbox.config import DEMO_LINE, DEMO_MESSENGER, DEMO_TELEGRAM, DEMO_WHATSAPP, demo_config
from kurir.sandbox.server import SandboxServer
from support.sandbox import ANI

pytestmark = pytest.mark.browser

CHROMIUM = "/usr/bin/chromium"
CHANNELS = ("whatsapp", "telegram", "line", "messenger")
REPLY = {"type": "reply", "reply": {"id": "k", "title": "Yes"}}
INTERACTIVE = {"type": "button", "body": {"text": "Ok?"}, "action": {"buttons": [REPLY]}}
ACTION = {"type": "action", "action": {"type": "postback", "label": "Yes", "data": "k", "displayText": "Yes"}}
POSTBACK = {"type": "postback", "title": "Yes", "payload": "k"}
QUESTIONS = {
    "whatsapp": (
        f"/graph/v26.0/{DEMO_WHATSAPP.phone_number_id}/messages",
        DEMO_WHATSAPP.access_token,
        {"messaging_product": "whatsapp", "to": ANI.phone, "type": "interactive", "interactive": INTERACTIVE},
    ),
    "telegram": (
        f"/telegram/bot{DEMO_TELEGRAM.token}/sendMessage",
        "",
        {
            "chat_id": ANI.telegram_chat_id,
            "text": "Ok?",
            "reply_markup": {"inline_keyboard": [[{"text": "Yes", "callback_data": "k"}]]},
        },
    ),
    "line": (
        "/line/v2/bot/message/push",
        DEMO_LINE.channel_access_token,
        {"to": ANI.line_user_id, "messages": [{"type": "text", "text": "Ok?", "quickReply": {"items": [ACTION]}}]},
    ),
    "messenger": (
        "/graph/v26.0/me/messages",
        DEMO_MESSENGER.page_access_token,
        {
            "recipient": {"id": ANI.psid},
            "messaging_type": "RESPONSE",
            "message": {
                "text": "Ok?",
                "quick_replies": [{"content_type": "text", "title": "Yes", "payload": "k"}],
            },
        },
    ),
}


class Running:
    """A sandbox in a thread of its own."""

    def __init__(self, webhooks: str = "") -> None:
        self.loop = asyncio.new_event_loop()
        urls = dict.fromkeys(CHANNELS, webhooks) if webhooks else {}
        self.server = SandboxServer(demo_config(seed=1, webhooks=urls))
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    async def _ask(self, channel):
        path, token, body = QUESTIONS[channel]
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            aiohttp.ClientSession() as http,
            http.post(self.server.url + path, json=body, headers=headers) as answer,
        ):
            assert answer.status == 200, await answer.text()

    def ask(self, channel):
        self.run(self._ask(channel))


@contextmanager
def sandbox(webhooks=""):
    """Run a sandbox; *webhooks* is the URL of whom it tells everything."""
    running = Running(webhooks)
    running.server.sandbox.hint = "curl"  # else the page asks for it in vain, which Chromium reports
    running.run(running.server.start())
    try:
        yield running
    finally:
        running.run(running.server.stop())
        running.loop.call_soon_threadsafe(running.loop.stop)


@pytest.fixture(scope="module")
def chromium():
    if not Path(CHROMIUM).exists():
        pytest.skip(f"NO BROWSER TEST RAN: {CHROMIUM} is missing, so nobody looked at the phones' page")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(params=[(1440, False), (390, True)], ids=["desktop", "phone"])
def visit(request, chromium):
    width, touch = request.param
    with sandbox() as running:
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, has_touch=touch, is_mobile=touch, reduced_motion="reduce"
        )
        page = context.new_page()
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{running.server.url}/phones")
        expect(page.locator(".stage")).to_have_count(4)
        yield running, page
        # An act that the phone does not allow is answered 409, which Chromium reports.
        assert [problem for problem in problems if "409 (Conflict)" not in problem] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        context.close()


def stage(page: Page, channel: str):
    return page.locator(f'.stage[data-channel="{channel}"]')


def test_a_person_types_and_taps_on_all_four(visit):
    running, page = visit
    for channel in CHANNELS:
        phone = stage(page, channel)
        box = phone.get_by_role("textbox")
        box.fill("Hello <b>")
        page.keyboard.press("Enter")
        expect(phone.locator(".msg.mine .text")).to_contain_text("Hello <b>")
        expect(box).to_have_value("")
        running.ask(channel)
        if channel in ("whatsapp", "messenger"):
            expect(phone.locator(".entry").last).to_have_attribute("data-tick", "read")
        phone.get_by_role("button", name="Yes", exact=True).click()
        if channel == "telegram":
            expect(phone.locator(".choice.waiting")).to_have_text("Yes")
        else:
            expect(phone.locator(".msg.mine")).to_have_count(2)
            expect(phone.locator(".msg.mine").last).to_contain_text("Yes")
        if channel in ("line", "messenger"):
            expect(phone.locator(".chips")).to_be_hidden()


def test_a_person_sends_a_place_answers_and_blocks(visit):
    _, page = visit
    phone = stage(page, "telegram")
    more = phone.get_by_role("button", name="Send something else")
    phone.get_by_role("textbox").fill("First")
    page.keyboard.press("Enter")
    more.click()
    phone.get_by_role("dialog").get_by_role("button", name="Location", exact=True).click()
    expect(phone.locator(".msg.mine .location")).to_have_count(1)
    phone.get_by_role("button", name="What to do with").first.focus()
    page.keyboard.press("Enter")
    phone.get_by_role("dialog").get_by_role("button", name="Reply").click()
    expect(phone.locator(".answering")).to_contain_text("First")
    page.keyboard.type("Second")
    page.keyboard.press("Enter")
    expect(phone.locator(".msg.mine .quote")).to_contain_text("First")
    more.click()
    phone.get_by_role("dialog").get_by_role("button", name="Block Demo Shop").click()
    expect(phone.locator(".banner")).to_have_text("Ani blocked Demo Shop")
    phone.get_by_role("textbox").fill("Anyone?")
    page.keyboard.press("Enter")
    expect(phone.locator(".toast")).to_have_text("Ani blocked Demo Shop. Unblock it first.")
    page.get_by_role("button", name="Let a day pass").click()
    expect(page.locator("#phones-ahead")).to_have_text("+1 day")
    expect(stage(page, "whatsapp").locator(".banner")).to_contain_text("the window is closed")
