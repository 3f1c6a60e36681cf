"""The phones inside another page, mounted under a prefix, under a strict policy and among that page's own styles."""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Page, expect
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Mount, Route

from kurir.sandbox.app import create_app, create_control
from kurir.sandbox.config import DEMO_TELEGRAM, demo_config
from kurir.sandbox.pages import BUBBLE_SCRIPT, SCRIPT, STYLES, phones_main
from kurir.sandbox.sketching import as_json, bubbles_of_call
from kurir.sandbox.state import Sandbox
from support.browser import chromium
from support.sandbox import ANI

pytestmark = pytest.mark.browser

BASE = "/console/sandbox"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HOSTILE = '<img src=x onerror="window.pwned=1"></script><script>window.pwned=1</script>'
_ROWS = [{"id": "a", "title": "Kopi Susu", "description": "With palm sugar"}, {"id": "b", "title": "Americano"}]
_LIST = {"type": "list", "body": {"text": HOSTILE}, "action": {"button": "See drinks", "sections": [{"rows": _ROWS}]}}
_ACTION = {"type": "action", "action": {"type": "postback", "label": "Great", "data": "k"}}
CALLS = {
    "whatsapp": ("/v26.0/1/messages", {"to": "1", "type": "interactive", "interactive": _LIST}),
    "telegram": (
        "/bot1/sendPhoto",
        {
            "chat_id": 1,
            "photo": "https://media.sandbox.invalid/demo.jpg",
            "caption": "x" * 1100,
            "reply_markup": {
                "inline_keyboard": [
                    [{"text": "Left", "callback_data": "l"}, {"text": "Menu", "url": "https://e.example"}]
                ]
            },
        },
    ),
    "line": (
        "/v2/bot/message/push",
        {
            "to": "U",
            "messages": [
                {"type": "text", "text": "One"},
                {"type": "text", "text": "Two", "quickReply": {"items": [_ACTION]}},
            ],
        },
    ),
    "messenger": (
        "/v26.0/me/messages",
        {"recipient": {"id": "1"}, "message": {"text": "ขอบคุณ · ありがとう · شكراً 🎉"}},
    ),
}
#: What a careless host says of its own elements and classes.
HOST_CSS = """
:root { color-scheme: light dark; --line: red; --panel: red; --bubble: red; --touch: 3px; }
body { margin: 0; font: 22px/3 serif; color: red; }
button, select, input { border: 5px solid red; border-radius: 0; padding: 30px; min-height: 90px; text-transform: uppercase; }
h1, h2, h3, p, ol, li, label { margin: 40px; letter-spacing: .5em; }
article, section, header, nav, aside { border: 4px dashed red; padding: 20px; }
svg { width: 90px; height: 90px; }
.line, .text, .msg, .row, .day, .notice, .plain, .switch, .chip { display: inline-block; float: right; background: red; }
"""


def html(title: str, script: str, body: str) -> HTMLResponse:
    """Return a page of the host's, with the phones' styles and the module *script*."""
    links = "".join(f'<link rel="stylesheet" href="{BASE}/phones/static/{name}">' for name in STYLES)
    head = [
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f'<title>{title}</title><link rel="icon" href="data:,">',
        f'{links}<link rel="stylesheet" href="/console/host.css">',
        f'<script type="module" src="{BASE}/phones/static/{script}"></script>',
    ]
    whole = f'<html lang="en"><head>{"".join(head)}</head><body><main><h1>{title}</h1>{body}</main></body></html>'
    return HTMLResponse(f"<!doctype html>{whole}", headers={"Content-Security-Policy": POLICY})


def phones_page(_: object) -> HTMLResponse:
    return html("Console", SCRIPT, phones_main())


def bubbles_page(_: object) -> HTMLResponse:
    """Show one message of each channel as <kurir-bubble>, and one that holds nothing that can be read."""
    shown = ['<kurir-bubble channel="line"><script type="application/json">{</script></kurir-bubble>']
    for channel, (url, body) in CALLS.items():
        facts = json.dumps(as_json(bubbles_of_call(channel, "POST", url, body), at="2026-11-23T06:00:00Z"))
        data = f'<script type="application/json">{facts.replace("<", chr(92) + "u003c")}</script>'
        shown.insert(-1, f'<kurir-bubble channel="{channel}" business="Kopi Senja">{data}</kurir-bubble>')
    return html("Message", BUBBLE_SCRIPT, "".join(shown))


@contextmanager
def serving() -> Iterator[str]:
    """Serve a host at /console/phones; beside it the platforms, as their own server would."""
    sandbox = Sandbox(demo_config(seed=1))
    sandbox.hint = "curl"
    host = Starlette(
        routes=[
            Route("/console/phones", phones_page),
            Route("/console/bubbles", bubbles_page),
            Route("/console/host.css", lambda _: PlainTextResponse(HOST_CSS, media_type="text/css")),
            Mount(BASE, create_control(sandbox)),
            Mount("/", create_app(sandbox.config, sandbox=sandbox)),
        ]
    )
    server = uvicorn.Server(
        uvicorn.Config(host, port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    )
    ended = threading.Event()

    async def run() -> None:
        await server.serve()
        await sandbox.close()
        ended.set()

    threading.Thread(target=asyncio.run, args=(run(),), daemon=True).start()
    while not server.started:
        assert not ended.wait(0.01), "the host did not start"
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        sandbox.stop_waiting()
        server.should_exit = True
        assert ended.wait(10)


@contextmanager
def visiting(width: int = 1440) -> Iterator[tuple[Page, str, list[str]]]:
    """Open the host's page; the list is of everything that went wrong on it."""
    with serving() as url, chromium() as browser:
        wrong: list[str] = []
        seen = browser.new_page(viewport={"width": width, "height": 1000}, reduced_motion="reduce")
        seen.on("console", lambda line: wrong.append(line.text) if line.type in ("error", "warning") else None)
        seen.on("pageerror", lambda error: wrong.append(str(error)))
        seen.on("request", lambda asked: None if _expected(asked.url, url) else wrong.append(asked.url))
        seen.goto(f"{url}/console/phones")
        expect(seen.locator(".stage")).to_have_count(4)
        yield seen, url, wrong


def _expected(asked: str, url: str) -> bool:
    return asked.startswith((f"{url}{BASE}/", f"{url}/console/", f"{url}/telegram/"))


def shoot(seen: Page, name: str) -> None:
    """Take a picture where KURIR_SCREENSHOTS says."""
    folder = os.environ.get("KURIR_SCREENSHOTS")
    if folder:
        seen.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_everything_works_under_a_prefix_and_a_strict_policy() -> None:
    with visiting() as (seen, url, wrong):
        expect(seen.get_by_text("live", exact=True)).to_be_visible()
        photo = {"chat_id": int(ANI.telegram_chat_id), "photo": "https://media.sandbox.invalid/demo.jpg"}
        sent = seen.request.post(f"{url}/telegram/bot{DEMO_TELEGRAM.token}/sendPhoto", data=photo)
        assert sent.ok, sent.text()
        stage = seen.locator('.stage[data-channel="telegram"]')
        seen.wait_for_function("() => document.querySelector('.media img')?.naturalWidth > 0")
        assert stage.locator(".media img").get_attribute("src") == f"{BASE}/sandbox/media/demo.jpg"
        stage.get_by_role("textbox").fill("Thanks")
        seen.keyboard.press("Enter")
        expect(stage.locator(".msg.mine .text")).to_contain_text("Thanks")
        stage.get_by_role("switch", name="Online").click()
        expect(stage.get_by_text("Phone offline: messages wait at the platform")).to_be_visible()
        stage.locator(".entry-open").first.click()
        expect(seen.get_by_role("dialog")).to_contain_text("demo.jpg")
        seen.keyboard.press("Escape")
        seen.get_by_role("button", name="Reset").click()
        expect(seen.get_by_text("No messages yet")).to_have_count(4)
        assert wrong == []


def test_the_hosts_styles_and_the_phones_do_not_meet() -> None:
    with visiting() as (seen, _, wrong):
        looks = seen.evaluate(
            """() => [".phones-bar .plain", ".switch", ".typed", ".stage-head h2", ".app-bar", ".strip-nav button"]
            .map((name) => {
              const { color, borderTopColor, float, letterSpacing, textTransform, minHeight } =
                getComputedStyle(document.querySelector(name));
              return [name, color, borderTopColor, float, letterSpacing, textTransform, minHeight];
            })"""
        )
        for name, color, border, *rest in looks:
            red = "rgb(255, 0, 0)"
            assert color != red, name
            assert border != red, name
            assert rest[:3] == ["none", "normal", "none"], name
            assert rest[3] != "90px", name
        title = seen.locator("main > h1").evaluate("(one) => getComputedStyle(one).letterSpacing")
        assert title != "normal", "the host's own title keeps the host's looks"
        assert wrong == []


def test_an_unsafe_request_of_another_site_is_refused_under_a_prefix_too() -> None:
    with visiting() as (seen, url, _):
        path = f"{url}{BASE}/sandbox/reset"
        assert seen.request.post(path, data={}).status == 200
        assert seen.request.post(path, data={}, headers={"sec-fetch-site": "cross-site"}).status == 403
        assert seen.request.post(path, data={}, headers={"origin": "https://evil.example"}).status == 403


@pytest.mark.parametrize(("width", "columns"), [(390, 1), (900, 2), (1440, 4)])
def test_the_strip_follows_the_room_that_the_host_gives(width: int, columns: int) -> None:
    with visiting(width) as (seen, _, _wrong):
        tops = [round(one.bounding_box()["y"]) for one in seen.locator(".stage").all()]  # type: ignore[index] # drawn
        assert tops.count(tops[0]) == (4 if columns == 1 else columns), "one strip of four, or so many in a row"
        assert seen.evaluate(
            "document.querySelector('.phones').scrollWidth <= document.querySelector('.phones').clientWidth"
        )


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "light"), (390, "dark")])
def test_a_message_stands_alone_without_a_phone(width: int, scheme: str) -> None:
    with serving() as url, chromium() as browser:
        wrong: list[str] = []
        seen = browser.new_page(viewport={"width": width, "height": 1400}, color_scheme=scheme)  # type: ignore[arg-type] # two of three
        seen.on("console", lambda line: wrong.append(line.text) if line.type in ("error", "warning") else None)
        seen.on("pageerror", lambda error: wrong.append(str(error)))
        seen.goto(f"{url}/console/bubbles")
        expect(seen.locator("kurir-bubble .stage")).to_have_count(5)
        whatsapp, telegram, line, messenger = (
            seen.locator(f'kurir-bubble[channel="{channel}"]').first
            for channel in ("whatsapp", "telegram", "line", "messenger")
        )
        expect(whatsapp.locator(".text")).to_contain_text(HOSTILE)
        assert seen.evaluate("window.pwned") is None
        expect(whatsapp.get_by_text("With palm sugar")).to_be_hidden()
        whatsapp.get_by_text("See drinks").click()
        expect(whatsapp.get_by_text("With palm sugar")).to_be_visible()
        expect(telegram.locator(".count.over")).to_have_text("Too long: 1,100 / 1,024")
        seen.wait_for_function("() => document.querySelector('kurir-bubble img')?.naturalWidth > 0")
        expect(telegram.get_by_role("link", name="Menu")).to_be_visible()
        expect(line.locator(".bubble")).to_have_text(["One", "Two"])
        expect(line.locator(".chip")).to_have_text("Great")
        expect(messenger.locator(".text")).to_contain_text("ありがとう")
        assert seen.locator("kurir-bubble button.choice").count() == 0, "nothing can be pressed"
        assert seen.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shoot(seen, f"bubbles-{width}-{scheme}")
        assert wrong == []
