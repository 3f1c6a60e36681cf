"""The business's side with its ticks, limits in red, the switches of the owner, and transcripts, on the real sandbox."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from test_phones_acts import QUESTIONS, sandbox

from kurir.sandbox.config import DEMO_LINE, DEMO_TELEGRAM, DEMO_WHATSAPP
from support.browser import chromium
from support.sandbox import ANI

pytestmark = pytest.mark.browser

CHANNELS = ("whatsapp", "telegram", "line", "messenger")
LONG = "This text is far too long for Telegram. " * 104


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(params=["light", "dark"])
def visit(request: pytest.FixtureRequest, browser: Browser) -> Iterator[tuple[Page, str]]:
    """Open the phones; whatever the page complains of fails the test."""
    with sandbox() as running:
        context = browser.new_context(
            viewport={"width": 1440, "height": 900},
            reduced_motion="reduce",
            color_scheme=request.param,
            bypass_csp=True,
        )
        page, wrong = context.new_page(), []
        page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{running.server.url}/phones")
        expect(page.locator(".stage")).to_have_count(4)
        yield page, running.server.url
        # What the sandbox refuses with a sentence, Chromium reports.
        assert [line for line in wrong if not line.startswith("Failed to load resource: the server responded")] == []
        context.close()


def stage(page: Page, channel: str) -> Locator:
    return page.locator(f'.stage[data-channel="{channel}"]')


def ask(page: Page, url: str, channel: str) -> None:
    path, token, body = QUESTIONS[channel]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    assert page.request.post(url + path, data=body, headers=headers).ok


def serious(page: Page) -> list[object]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}).response
    return [
        (one["id"], node["html"][:160], node["failureSummary"][:200])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def test_the_business_sees_its_own_messages_with_the_ticks_that_each_platform_tells(visit: tuple[Page, str]) -> None:
    page, url = visit
    for channel in CHANNELS:
        ask(page, url, channel)
        stage(page, channel).get_by_role("textbox").fill("A question?")
        page.keyboard.press("Enter")
    for channel in ("whatsapp", "messenger"):
        expect(stage(page, channel).locator(".entry").first).to_have_attribute("data-tick", "read")
    # The customer's side: what came in has no ticks, what was written has the app's.
    expect(stage(page, "whatsapp").locator(".msg:not(.mine) .ticks")).to_have_count(0)
    expect(stage(page, "whatsapp").locator(".msg.mine .ticks")).to_have_attribute("data-tick", "sent")
    expect(stage(page, "messenger").locator(".msg.mine .circle")).to_have_attribute("data-tick", "sent")
    page.get_by_role("radio", name="Business").check(force=True)
    for channel in CHANNELS:
        expect(stage(page, channel).locator(".msg.mine .text")).to_contain_text(["Ok?"])
        expect(stage(page, channel).locator(".msg:not(.mine) .text")).to_contain_text(["A question?"])
        expect(stage(page, channel).locator(".app-bar strong")).to_have_text("Ani")
        expect(stage(page, channel).get_by_role("textbox")).to_be_hidden()
        expect(stage(page, channel).get_by_text("This side writes through the API")).to_be_visible()
    expect(stage(page, "whatsapp").locator(".msg.mine .ticks")).to_have_attribute("data-tick", "read")
    expect(stage(page, "telegram").locator(".msg.mine .ticks")).to_have_attribute("data-tick", "sent")
    expect(stage(page, "line").locator(".msg.mine :is(.ticks, .read-word)")).to_have_count(0)
    expect(stage(page, "messenger").locator(".msg.mine .circle.face")).to_have_attribute("aria-label", "read")
    expect(stage(page, "line").get_by_text("final on this channel")).to_be_visible()
    assert serious(page) == []
    page.get_by_role("radio", name="Customer").check(force=True)
    expect(stage(page, "line").locator(".msg:not(.mine) .text")).to_contain_text(["Ok?"])


def test_what_is_too_long_is_refused_with_a_red_counter_and_a_mark_where_it_ends(visit: tuple[Page, str]) -> None:
    page, url = visit
    bot = f"{url}/telegram/bot{DEMO_TELEGRAM.token}/sendMessage"
    assert page.request.post(bot, data={"chat_id": int(ANI.telegram_chat_id), "text": LONG}).status == 400
    reply = {"type": "reply", "reply": {"id": "k", "title": "Twenty-five characters ok"}}
    buttons = {"type": "button", "body": {"text": "Ok?"}, "action": {"buttons": [reply]}}
    message = {"messaging_product": "whatsapp", "to": ANI.phone, "type": "interactive", "interactive": buttons}
    graph = f"{url}/graph/v26.0/{DEMO_WHATSAPP.phone_number_id}/messages"
    bearer = {"Authorization": f"Bearer {DEMO_WHATSAPP.access_token}"}
    assert page.request.post(graph, data=message, headers=bearer).status == 400
    telegram, whatsapp = stage(page, "telegram").locator(".refused"), stage(page, "whatsapp").locator(".refused")
    telegram.locator("summary").click()
    expect(telegram.locator(".count.over")).to_have_text("Too long: 4,159 / 4,096")
    assert telegram.locator("mark.beyond").inner_text().endswith("This text is far too long for Telegram.")
    assert len(telegram.locator("mark.beyond").inner_text()) < 90, (
        "so many are beyond the limit, and the words for a reader"
    )
    whatsapp.locator("summary").click()
    expect(whatsapp.locator(".count.over")).to_have_text("Too long: 25 / 20")
    expect(whatsapp.locator("mark.beyond")).to_contain_text("rs ok")
    assert serious(page) == []


def test_near_its_limit_a_text_says_how_long_it_is(visit: tuple[Page, str]) -> None:
    page, url = visit
    bot = f"{url}/telegram/bot{DEMO_TELEGRAM.token}/sendMessage"
    for text in ("short", "x" * 4000):
        assert page.request.post(bot, data={"chat_id": int(ANI.telegram_chat_id), "text": text}).ok
    expect(stage(page, "telegram").locator(".count")).to_have_text(["Length: 4,000 / 4,096"])


def test_receipts_and_being_there_are_switched(visit: tuple[Page, str]) -> None:
    page, url = visit
    whatsapp = stage(page, "whatsapp")
    expect(page.get_by_role("switch", name="Receipts")).to_have_count(1)
    whatsapp.get_by_role("switch", name="Receipts").click()
    ask(page, url, "whatsapp")
    expect(whatsapp.locator(".entry")).to_contain_text("Ani has read receipts off: nobody is told")
    expect(whatsapp.locator(".entry")).to_have_attribute("data-tick", "delivered")
    telegram = stage(page, "telegram")
    telegram.get_by_role("button", name="Send something else").click()
    telegram.get_by_role("button", name="Be on Telegram no more").click()
    expect(telegram.locator(".banner")).to_have_text("Ani is not on Telegram")
    path, _, body = QUESTIONS["telegram"]
    assert page.request.post(url + path, data=body).status == 400
    expect(telegram.locator(".refused")).to_contain_text("chat not found")
    telegram.get_by_role("button", name="Send something else").click()
    telegram.get_by_role("button", name="Be on Telegram again").click()
    expect(telegram.locator(".banner")).to_be_hidden()
    assert serious(page) == []


def test_a_transcript_is_saved_and_played_again(visit: tuple[Page, str], tmp_path: Path) -> None:
    page, url = visit
    telegram = stage(page, "telegram")
    telegram.get_by_role("textbox").fill("Hello?")
    page.keyboard.press("Enter")
    expect(telegram.locator(".msg.mine")).to_have_count(1)
    ask(page, url, "telegram")
    expect(telegram.locator(".msg")).to_have_count(2)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save a transcript").click()
    path = tmp_path / saved.value.suggested_filename
    saved.value.save_as(path)
    assert path.name == "case-ani.json"
    assert len(json.loads(path.read_text())["steps"]) == 2
    page.get_by_role("button", name="Reset").click()
    expect(page.get_by_text("No messages yet")).to_have_count(4)
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="Replay a transcript").click()
    chosen.value.set_files(path)
    expect(page.locator("#phones-toast")).to_have_text("2 steps were played again.")
    expect(telegram.locator(".msg .text")).to_contain_text(["Hello?", "Ok?"])
    path.write_text("{}")
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="Replay a transcript").click()
    chosen.value.set_files(path)
    expect(page.locator("#phones-toast")).to_contain_text("The transcript was not played. A transcript as")


def test_the_phones_hold_right_to_left_words(visit: tuple[Page, str]) -> None:
    page, url = visit
    line = {"to": ANI.line_user_id, "messages": [{"type": "text", "text": "مرحبا، طلبك جاهز"}]}
    bearer = {"Authorization": f"Bearer {DEMO_LINE.channel_access_token}"}
    assert page.request.post(f"{url}/line/v2/bot/message/push", data=line, headers=bearer).ok
    words = stage(page, "line").locator(".msg .text")
    expect(words).to_contain_text("مرحبا")
    assert words.evaluate("(one) => getComputedStyle(one).direction") == "rtl"
    page.evaluate("document.documentElement.dir = 'rtl'")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    boxes = [stage(page, channel).bounding_box()["x"] for channel in CHANNELS]  # type: ignore[index] # drawn
    assert boxes == sorted(boxes, reverse=True), "the row runs from right to left"
    bubble, chat = (
        stage(page, "line").locator(".msg .bubble").bounding_box(),
        stage(page, "line").locator(".chat").bounding_box(),
    )
    assert bubble
    assert chat
    assert bubble["x"] + bubble["width"] > chat["x"] + chat["width"] * 0.6, "what comes in stands at the right"
