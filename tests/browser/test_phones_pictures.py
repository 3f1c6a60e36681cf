"""A talk on all four phones as the docs show it: at every width, light and dark, nothing cut and nothing that axe finds.

With KURIR_SCREENSHOTS set to a folder the pictures of the README and the docs are written there.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from test_phones_acts import Running, sandbox

from kurir.sandbox.config import DEMO_LINE, DEMO_MESSENGER, DEMO_TELEGRAM, DEMO_WHATSAPP
from support.browser import chromium
from support.sandbox import ANI

pytestmark = pytest.mark.browser

PICTURE = "https://media.sandbox.invalid/demo.jpg"
PAID = "Hi Ani 👋 your order *#1042* is paid, Rp 68.000. Thank you!"
WORDS = "Your table by the sea is ready.\n2 × Kopi Susu Gula Aren\n1 × Roti Bakar"
CHANNELS = ("whatsapp", "telegram", "line", "messenger")


def calls() -> dict[str, tuple[str, str, list[dict[str, object]]]]:
    """Return for each channel the path, the token and what the shop sends, as the platform takes it."""
    head = {"messaging_product": "whatsapp", "to": ANI.phone}
    titles = ("Track my order", "Change the time")
    replies = [{"type": "reply", "reply": {"id": title.lower(), "title": title}} for title in titles]
    header = {"type": "image", "image": {"link": PICTURE}}
    buttons = {"type": "button", "header": header, "body": {"text": WORDS}, "action": {"buttons": replies}}
    whatsapp = [
        head | {"type": "text", "text": {"body": PAID}},
        head | {"type": "interactive", "interactive": buttons | {"footer": {"text": "Jalan Senja 8"}}},
    ]
    chat = {"chat_id": int(ANI.telegram_chat_id)}
    keys = [[{"text": title, "callback_data": title}] for title in titles]
    telegram = [
        chat | {"photo": PICTURE, "caption": f"<b>Order #1042</b>\n{WORDS}", "parse_mode": "HTML"},
        chat | {"text": "ขอบคุณค่ะ · 谢谢 · ありがとう 🎉", "reply_markup": {"inline_keyboard": keys}},
    ]
    taps = [{"type": "postback", "label": title, "data": title, "displayText": title} for title in titles]
    template = {
        "type": "buttons",
        "thumbnailImageUrl": PICTURE,
        "title": "Order #1042",
        "text": "On its way",
        "actions": taps,
    }
    line = [
        {"type": "text", "text": "こんにちは、ご注文ありがとうございます。☕"},
        {"type": "template", "altText": "Order #1042", "template": template},
    ]
    postbacks = [{"type": "postback", "title": title, "payload": title} for title in titles]
    card = {"title": "Order #1042", "subtitle": "Your table is ready", "image_url": PICTURE, "buttons": postbacks}
    generic = {"attachment": {"type": "template", "payload": {"template_type": "generic", "elements": [card]}}}
    chips = [{"content_type": "text", "title": title, "payload": title} for title in ("Great 👍", "Fine")]
    messenger = [generic, {"text": "How was your coffee?", "quick_replies": chips}]
    to = {"recipient": {"id": ANI.psid}, "messaging_type": "RESPONSE"}
    return {
        "whatsapp": (f"/graph/v26.0/{DEMO_WHATSAPP.phone_number_id}/messages", DEMO_WHATSAPP.access_token, whatsapp),
        "telegram": (f"/telegram/bot{DEMO_TELEGRAM.token}/", "", telegram),
        "line": (
            "/line/v2/bot/message/push",
            DEMO_LINE.channel_access_token,
            [{"to": ANI.line_user_id, "messages": [message]} for message in line],
        ),
        "messenger": (
            "/graph/v26.0/me/messages",
            DEMO_MESSENGER.page_access_token,
            [to | {"message": message} for message in messenger],
        ),
    }


def act(page: Page, url: str, channel: str, **what: object) -> None:
    answer = page.request.post(f"{url}/sandbox/phones/{channel}/Ani/acts", data=what)
    assert answer.ok, answer.text()


def talk(page: Page, url: str) -> None:
    """Let Ani ask and the shop answer on all four phones."""
    asked = {
        "whatsapp": "Is my order paid?",
        "telegram": "Where is it?",
        "line": "注文できますか？",
        "messenger": "Hello!",
    }
    for channel, (path, token, bodies) in calls().items():
        act(page, url, channel, do="text", text=asked[channel])
        for body in bodies:
            method = ("sendPhoto" if "photo" in body else "sendMessage") if channel == "telegram" else ""
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            sent = page.request.post(f"{url}{path}{method}", data=body, headers=headers)
            assert sent.ok, sent.text()
    act(page, url, "telegram", do="react", emoji="❤️")
    for channel in ("whatsapp", "messenger"):
        ticks = page.locator(f'.stage[data-channel="{channel}"] .entry[data-tick="read"]:not(.heard)')
        expect(ticks).to_have_count(2)


class Taker(BaseHTTPRequestHandler):
    """Takes every webhook, as a gateway does."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer 200."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def taking() -> Iterator[str]:
    """Serve somebody who takes webhooks."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with taking() as url, sandbox(url) as started:
        yield started


@pytest.mark.parametrize(
    ("width", "height", "scheme"), [(1440, 900, "light"), (1440, 900, "dark"), (768, 1024, "dark"), (390, 844, "light")]
)
def test_a_talk_looks_right_at_every_width(
    browser: Browser, running: Running, width: int, height: int, scheme: str
) -> None:
    touch, url = width < 1000, running.server.url
    context = browser.new_context(
        viewport={"width": width, "height": height},
        has_touch=touch,
        is_mobile=touch,
        color_scheme=scheme,  # type: ignore[arg-type] # two of three
        reduced_motion="reduce",
        bypass_csp=True,
    )
    page = context.new_page()
    page.goto(f"{url}/phones")
    expect(page.locator(".stage")).to_have_count(4)
    page.get_by_role("button", name="Reset").click()
    expect(page.get_by_text("No messages yet")).to_have_count(4)
    talk(page, url)
    expect(page.locator("#phones-toast")).not_to_have_class("page-toast shown", timeout=8000)
    for side in ("Customer", "Business"):
        page.get_by_role("radio", name=side).check(force=True)
        page.wait_for_function("() => [...document.querySelectorAll('.chat img')].every((one) => one.complete)")
        shoot(page, width, scheme, side)
        assert page.evaluate("document.documentElement.scrollWidth") == width, "nothing sticks out to the side"
        assert cut(page) == []
        assert serious(page) == []
    if touch:
        assert small(page) == []
    context.close()


def shoot(page: Page, width: int, scheme: str, side: str) -> None:
    folder = os.environ.get("KURIR_SCREENSHOTS")
    if not folder:
        return
    docs = {(1440, "light"): "phones", (1440, "dark"): "phones-dark", (390, "light"): "phones-narrow"}
    name = docs.get((width, scheme), f"phones-{width}-{scheme}")
    page.screenshot(path=Path(folder) / f"{name}{'' if side == 'Customer' else '-business'}.png")


def cut(page: Page) -> list[str]:
    """Return what of a bubble is wider than its phone."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll(".chat")].flatMap((chat) => {
          const box = chat.getBoundingClientRect();
          return [...chat.querySelectorAll(".bubble:not(.slide), .keyboard, .choice:not(.slide *)")]
            .map((one) => [one.getBoundingClientRect(), one.outerHTML.slice(0, 90)])
            .filter(([inner]) => inner.right > box.right + 1 || inner.left < box.left - 1)
            .map(([, html]) => html);
        })"""
    )
    return found


def small(page: Page) -> list[str]:
    """Return what can be tapped and is smaller than 44 pixels one way."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll(".phones :is(button, select, a.choice, .switch, .sides label)")]
        .filter((one) => one.offsetParent && !one.closest("[hidden]"))
        .map((one) => [one.getBoundingClientRect(), one.outerHTML.slice(0, 90)])
        .filter(([box]) => box.height < 43.5)
        .map(([box, html]) => `${box.width}×${box.height} ${html}`)"""
    )
    return found


def serious(page: Page) -> list[object]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}).response
    return [
        (one["id"], node["html"][:160], node["failureSummary"][:200])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
