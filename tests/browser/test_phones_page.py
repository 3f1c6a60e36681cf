"""The page of the phones, as a person meets it: in Chromium, against a tiny server with canned phones."""

import asyncio
import os
import re
import threading
from pathlib import Path

import pytest
from fixture_server import CURL, HOSTILE, serving, text
from playwright.sync_api import Browser, Page, expect, sync_playwright

from kurir.sandbox.config import DEMO_TELEGRAM, demo_config
from kurir.sandbox.server import SandboxServer
from kurir.sandbox.view import Bubble, LedgerEvent, RefusedCall

pytestmark = pytest.mark.browser

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHANNELS = ("whatsapp", "telegram", "line", "messenger")
MISSING_MEDIA = re.compile(r"Failed to load resource.*404")


@pytest.fixture(scope="module")
def chromium():
    if not Path(CHROMIUM).exists():
        pytest.skip(f"NO BROWSER TEST RAN: {CHROMIUM} is missing, so nobody looked at the phones' page")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def sandbox():
    with serving() as running:
        yield running


class Visit:
    """One page, and all that went wrong while it was open."""

    def __init__(self, browser: Browser, url: str, **options) -> None:
        options = {"viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"} | options
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.url = url
        self.problems: list[str] = []
        self.foreign: list[str] = []
        self.page.add_init_script(
            "window.violations = []; addEventListener('securitypolicyviolation', (e) => "
            "window.violations.push(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`))"
        )
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.problems.append(said.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda asked: asked.url.startswith(url) or self.foreign.append(asked.url))

    def open(self, person: str = "Sari") -> Page:
        self.page.goto(f"{self.url}/phones#person={person}")
        expect(self.page.locator(".stage")).to_have_count(4)
        expect(self.page.get_by_text("live", exact=True)).to_be_visible()
        return self.page

    def assert_clean(self, *, allowed: re.Pattern[str] | None = None) -> None:
        assert [one for one in self.problems if not (allowed and allowed.search(one))] == []
        assert self.page.evaluate("window.violations") == []
        assert self.foreign == []


@pytest.fixture
def visit(chromium, sandbox):
    visits = []

    def make(**options) -> Visit:
        visits.append(Visit(chromium, sandbox.url, **options))
        return visits[-1]

    yield make
    for one in visits:
        one.context.close()


@pytest.fixture
def real_sandbox():
    """The sandbox itself, with its own policy, on a loop in a thread."""
    started, ended, found = threading.Event(), asyncio.Event(), {}

    async def run() -> None:
        async with SandboxServer(demo_config()) as server:
            server.sandbox.hint = "curl -d @message.json localhost"
            found.update(url=server.url, loop=asyncio.get_running_loop())
            started.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    assert started.wait(10), "the sandbox did not start"
    yield found["url"]
    found["loop"].call_soon_threadsafe(ended.set)
    thread.join(10)


def stage(page: Page, channel: str):
    return page.locator(f'.stage[data-channel="{channel}"]')


def shoot(page: Page, name: str, *, tall: bool = False) -> None:
    """Take a picture where KURIR_SCREENSHOTS says; *tall* shows all of every chat."""
    directory = os.environ.get("KURIR_SCREENSHOTS")
    if not directory:
        return
    if tall:
        page.evaluate(
            """() => { const all = (name) => [...document.querySelectorAll(name)];
            const need = Math.max(...all(".chat").map((one) => one.scrollHeight)) + 260;
            all(".phone").forEach((one) => one.style.setProperty("block-size", `${need}px`)); }"""
        )
    page.wait_for_timeout(400)
    Path(directory).mkdir(parents=True, exist_ok=True)
    page.screenshot(path=Path(directory) / f"{name}.png", full_page=tall)


def test_four_phones_of_the_first_person_stand_in_order(visit):
    seen = visit()
    page = seen.open(person="")
    names = [f"{name}-style preview" for name in ("WhatsApp", "Telegram", "LINE", "Messenger")]
    expect(page.locator(".stage-head h2")).to_have_text(names)
    expect(page.get_by_role("combobox", name="Person")).to_have_value("Sari")
    expect(page.get_by_text("Not affiliated with")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "en"
    lefts = [one.bounding_box()["x"] for one in page.locator(".stage").all()]
    tops = {round(one.bounding_box()["y"]) for one in page.locator(".stage").all()}
    assert lefts == sorted(lefts)
    assert len(tops) == 1
    seen.assert_clean()


def test_a_business_message_is_incoming_without_ticks_and_named_for_a_reader(visit):
    page = visit().open()
    for channel in CHANNELS:
        chat = stage(page, channel).get_by_role("log")
        assert chat.locator('.icon[class*="tick"]').count() == 0
        bubble = chat.locator(".bubble").first.bounding_box()
        around = chat.bounding_box()
        assert bubble["x"] - around["x"] < around["width"] * 0.2
    first = stage(page, "whatsapp").get_by_role("article").first
    assert first.get_attribute("aria-label") == "From Kopi Senja, 12:38, read"
    expect(stage(page, "telegram").get_by_role("article", name="From Kopi Senja, 12:38, sent")).to_have_count(2)


def test_the_time_stands_where_each_app_has_it(visit):
    page = visit().open()
    for channel in ("whatsapp", "telegram"):
        expect(stage(page, channel).locator(".bubble .text > time")).to_have_text(["12:38", "12:38"])
    bubble = stage(page, "line").locator(".beside > .bubble").first.bounding_box()
    time = stage(page, "line").locator(".beside > time").first.bounding_box()
    assert time["x"] >= bubble["x"] + bubble["width"]
    assert stage(page, "messenger").locator("article time").count() == 0


def test_the_ledger_tells_the_truth_of_each_channel(visit):
    page = visit().open()
    whatsapp = stage(page, "whatsapp").locator(".ledger")
    expect(whatsapp.get_by_role("button").first).to_have_accessible_name(re.compile(r"^Read, status 3"))
    expect(whatsapp.locator(".entry").first).to_contain_text("webhook: read")
    expect(whatsapp.locator(".entry").first).to_contain_text("answered 200")
    expect(whatsapp.locator(".entry").first).to_contain_text("12:38:04")
    assert whatsapp.locator(".entry").first.locator(".icon-tick-read").count() == 2
    expect(whatsapp).not_to_contain_text("final on this channel")
    for channel in ("telegram", "line"):
        ledger = stage(page, channel).locator(".ledger")
        expect(ledger.get_by_text("final on this channel")).to_have_count(2)
        expect(ledger.get_by_role("button").first).to_have_accessible_name(re.compile(r"^Sent, status 1"))
    page.get_by_role("combobox", name="Person").select_option("Budi")
    expect(whatsapp.get_by_role("button", name=re.compile("^Undelivered, status −2"))).to_have_count(1)
    failed = whatsapp.locator('.entry[data-tick="failed"]')
    expect(failed).to_contain_text("131026")
    expect(failed.locator(".entry-open .icon-tick-failed")).to_be_visible()
    expect(whatsapp.locator('.entry[data-tick="clock"] .entry-open .icon-tick-clock')).to_be_visible()
    expect(stage(page, "whatsapp").get_by_text("Not on this phone: it failed")).to_be_visible()


def test_entries_stand_at_the_height_of_their_bubbles_and_scroll_with_them(visit):
    page = visit().open("Budi")
    for channel in CHANNELS:
        whole = stage(page, channel)
        chat = whole.get_by_role("log")
        chat.evaluate("(one) => { one.scrollTop = one.scrollHeight / 2; }")
        page.wait_for_timeout(150)
        rows = [one.bounding_box()["y"] for one in whole.get_by_role("article").all()]
        entries = [one.bounding_box()["y"] for one in whole.locator(".entry").all()]
        assert len(rows) == len(entries)
        assert max(abs(row - entry) for row, entry in zip(rows, entries, strict=True)) < 2


def test_an_entry_opens_all_steps_and_the_request(visit):
    page = visit().open()
    stage(page, "messenger").locator(".entry-open").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("message_deliveries")
    expect(dialog).to_contain_text('"to": "6801234567890123"')
    shoot(page, "inspector")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_kind_of_block_is_drawn(visit, channel):
    seen = visit()
    page = seen.open("Budi")
    chat = stage(page, channel).get_by_role("log")
    for tag, word in (("strong", "bold"), ("em", "italic"), ("s", "gone"), ("code", "code")):
        expect(chat.locator(f".text {tag}", has_text=word).first).to_have_text(word)
    expect(chat.get_by_text("Fresh from the bar")).to_be_visible()
    expect(chat.locator("img").first).to_have_js_property("naturalWidth", 400)
    expect(chat.get_by_role("button", name="Play How we roast")).to_be_visible()
    expect(chat.locator(".voice .wave rect")).to_have_count(34)
    expect(chat.locator(".audio-name")).to_have_text("Jingle.wav")
    document = chat.get_by_role("link", name=re.compile("Invoice 1042.pdf"))
    expect(document).to_contain_text("PDF · 182 kB")
    assert document.get_attribute("href").endswith("/sandbox/media/demo.pdf")
    expect(chat.locator(".location")).to_contain_text("Jalan Senja 8, Jakarta")
    expect(chat.locator(".location")).to_contain_text("6.20876° S, 106.84560° E")
    expect(chat.get_by_text("Is this time right?")).to_be_visible()
    expect(chat.get_by_text("Answer before 13:00")).to_be_visible()
    for title in ("Yes", "Another time", "Cancel"):
        expect(chat.get_by_role("button", name=title)).to_be_visible()
    expect(chat.get_by_role("link", name="See the menu")).to_have_attribute("rel", "noopener noreferrer")
    expect(chat.get_by_role("group", name=re.compile("Card . of 3"))).to_have_count(3)
    expect(chat.locator("blockquote")).to_contain_text("Is it still open?")
    chat.get_by_text("A kind that this preview does not draw").click()
    expect(chat.locator(".unknown pre")).to_contain_text('"hologram"')
    expect(chat.get_by_text("Not drawn here: Sticker 446/1988")).to_be_visible()
    expect(chat.get_by_text("This image could not be loaded")).to_be_visible()
    chips = stage(page, channel).get_by_role("group", name="Quick replies")
    if channel in ("line", "messenger"):
        expect(chips.get_by_role("button")).to_have_text(["Great", "Fine", "Could be better"])
    else:
        expect(chips).to_be_hidden()
    seen.assert_clean(allowed=MISSING_MEDIA)


def test_spans_count_utf_16_units_and_other_marks_stay_as_they_are(visit):
    page = visit().open("Budi")
    for channel in CHANNELS:
        first = stage(page, channel).get_by_role("article").first
        expect(first).to_contain_text("Marks 🎉 bold, italic, gone and code. *This* stays")
        expect(first.get_by_role("link")).to_have_attribute("href", "https://example.com/menu")


def test_one_block_of_keys_is_one_row(visit):
    page = visit().open("Budi")
    chat = stage(page, "telegram").get_by_role("log")
    left, right, menu = (
        chat.locator(".key", has_text=words).bounding_box() for words in ("Left", "Right", "See the menu")
    )
    assert left["y"] == right["y"] < menu["y"]
    assert menu["width"] > left["width"] * 1.9


def test_hostile_text_is_shown_literally_and_runs_nothing(visit, sandbox):
    for phone in sandbox.phones:
        phone.business = HOSTILE
        phone.bubbles[0].events = [LedgerEvent(phone.bubbles[0].at, 1, HOSTILE, HOSTILE)]
        phone.bubbles[0].quoted = HOSTILE
    link = sandbox.phone("line", "Budi").bubbles[-1].blocks[1].choices[0]
    object.__setattr__(link, "payload", "")
    object.__setattr__(link, "url", "javascript:window.pwned=1")
    seen = visit()
    page = seen.open("Budi")
    for channel in CHANNELS:
        whole = stage(page, channel)
        expect(whole.get_by_role("article").nth(2).locator(".text")).to_contain_text(HOSTILE)
        expect(whole.locator(".app-bar strong")).to_have_text(HOSTILE)
        expect(whole.locator(".entry").first).to_contain_text(HOSTILE)
    stage(page, "line").get_by_role("button", name="Great").click()
    assert page.evaluate("window.pwned") is None
    assert page.locator("main script, img[src='x']").count() == 0
    seen.assert_clean(allowed=MISSING_MEDIA)


def test_a_press_that_the_sandbox_refuses_is_said_in_the_phone(visit):
    page = visit().open()
    for channel in CHANNELS:
        choice = stage(page, channel).get_by_role("button", name="Track my order")
        choice.focus()
        page.keyboard.press("Enter")
        # The server of these tests holds canned phones and answers no act.
        expect(stage(page, channel).locator(".toast")).to_have_text("The sandbox answered 404.")
        expect(stage(page, channel).locator(".toast")).to_be_visible()


def test_the_list_opens_as_a_sheet_in_its_phone(visit):
    page = visit().open("Budi")
    for channel in CHANNELS:
        whole = stage(page, channel)
        opener = whole.get_by_role("button", name="See drinks")
        opener.click()
        sheet = whole.get_by_role("dialog", name="See drinks")
        expect(sheet.locator("legend")).to_have_text(["Hot", "Cold"])
        expect(sheet.get_by_role("radio")).to_have_count(4)
        expect(sheet).to_contain_text("With palm sugar")
        inside, frame = sheet.bounding_box(), whole.locator(".screen").bounding_box()
        assert inside["x"] >= frame["x"] - 1
        assert inside["y"] + inside["height"] <= frame["y"] + frame["height"] + 1
    shoot(page, "sheet")
    expect(sheet.get_by_role("button", name="Send")).to_be_disabled()
    sheet.get_by_text("Es Kopi").click()
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    expect(opener).to_be_focused()
    opener.click()
    sheet.get_by_text("Es Kopi").click()
    sheet.get_by_role("button", name="Send").click()
    expect(sheet).to_have_count(0)
    expect(whole.locator(".toast")).to_have_text("The sandbox answered 404.")


def test_a_voice_message_plays(visit):
    page = visit().open("Budi")
    chat = stage(page, "whatsapp").get_by_role("log")
    chat.get_by_role("button", name="Play voice message").click()
    expect(chat.get_by_role("button", name="Pause voice message")).to_be_visible()
    page.wait_for_function("() => document.querySelector('.voice audio').currentTime > 0.1")


def test_a_switch_posts_and_the_phone_shows_it(visit, sandbox):
    page = visit().open()
    whole = stage(page, "whatsapp")
    whole.get_by_role("switch", name="Online").click()
    expect(whole.get_by_text("Phone offline: messages wait at the platform")).to_be_visible()
    whole.get_by_role("switch", name="Chat open").press("Space")
    expect(whole.get_by_role("switch", name="Chat open")).not_to_be_checked()
    expect(whole.get_by_role("switch", name="Chat open")).to_be_enabled()
    path = f"/sandbox/phones/whatsapp/{sandbox.phone('whatsapp').address}"
    assert sandbox.posts == [(path, {"online": False}), (path, {"chat_open": False})]
    shoot(page, "offline")


def test_a_refused_switch_goes_back_and_says_why(visit, sandbox):
    sandbox.refuse_posts = True
    page = visit().open()
    switch = stage(page, "line").get_by_role("switch", name="Online")
    switch.click()
    expect(page.get_by_text("The phone was not switched. The sandbox answered 500.")).to_be_visible()
    expect(switch).to_be_checked()


def test_a_message_and_its_receipts_arrive_live(visit, sandbox):
    seen = visit()
    page = seen.open()
    phone = sandbox.phone("whatsapp")
    bubble = Bubble(id="new", at="2026-11-22T12:40:00+07:00", blocks=(text("Your coffee is ready ☕"),))
    phone.bubbles.append(bubble)
    sandbox.publish(phone)
    chat = stage(page, "whatsapp").get_by_role("log")
    new = chat.get_by_role("article").last
    expect(new).to_contain_text("Your coffee is ready ☕")
    expect(new).to_be_in_viewport()
    bubble.tick, bubble.status = "delivered", 2
    bubble.events.append(LedgerEvent("2026-11-22T12:40:01+07:00", 2, "webhook: delivered", "200"))
    sandbox.publish(phone)
    expect(new).to_have_attribute("aria-label", re.compile("delivered$"))
    expect(stage(page, "whatsapp").locator(".entry").last).to_contain_text("webhook: delivered")
    seen.assert_clean()


def test_the_arrival_moves_only_for_those_who_want_motion(visit, sandbox):
    for motion, name in (("no-preference", "phones-arrive"), ("reduce", "none")):
        page = visit(reduced_motion=motion).open()
        phone = sandbox.phone("telegram")
        phone.bubbles.append(Bubble(id=motion, at=phone.bubbles[-1].at, blocks=(text(f"For {motion}"),)))
        sandbox.publish(phone)
        row = stage(page, "telegram").get_by_role("article").last
        expect(row).to_contain_text(f"For {motion}")
        style = row.locator(".stack").evaluate(
            "(one) => [getComputedStyle(one).animationName, getComputedStyle(one).animationDuration]"
        )
        assert style[0] == name
        assert name == "none" or style[1] == "0.16s"


def test_a_lost_stream_is_said_and_caught_up(visit, sandbox):
    page = visit().open()
    sandbox.refuse_streams = True
    sandbox.drop_streams()
    expect(page.get_by_text("reconnecting", exact=True)).to_be_visible()
    phone = sandbox.phone("line")
    phone.bubbles.append(Bubble(id="missed", at=phone.bubbles[-1].at, blocks=(text("Sent while you were away"),)))
    sandbox.refuse_streams = False
    expect(page.get_by_text("live", exact=True)).to_be_visible(timeout=15_000)
    expect(stage(page, "line").get_by_text("Sent while you were away")).to_be_visible()


def test_reset_empties_the_phones_and_shows_how_to_begin(visit, sandbox):
    seen = visit()
    page = seen.open()
    page.get_by_role("combobox", name="Person").select_option("Sari")
    page.get_by_role("button", name="Reset").click()
    expect(page.get_by_role("heading", name="Send the first message")).to_be_visible()
    expect(page.locator("#phones-first-code")).to_have_text(CURL)
    expect(page.get_by_text("No messages yet")).to_have_count(4)
    assert sandbox.posts == [("/sandbox/reset", {})]
    shoot(page, "empty")
    seen.assert_clean()


def test_messages_of_another_person_are_one_press_away(visit, sandbox):
    for phone in sandbox.phones:
        if phone.person == "Sari":
            phone.bubbles.clear()
    page = visit().open(person="")
    expect(page.get_by_text("Sari's phones are empty. Messages arrived for Budi.")).to_be_visible()
    page.get_by_role("button", name="Show Budi's phones").click()
    expect(page.get_by_role("combobox", name="Person")).to_have_value("Budi")
    expect(stage(page, "line").get_by_text("Jalan Senja 8, Jakarta")).to_be_visible()


def test_without_a_hint_a_sentence_stands_there(visit, sandbox):
    sandbox.hint = False
    for phone in sandbox.phones:
        phone.bubbles.clear()
    page = visit().open()
    expect(page.get_by_text("Send a message through the API and it lands on these phones.")).to_be_visible()
    expect(page.locator("#phones-first-curl")).to_be_hidden()


def test_the_theme_is_kept(visit):
    page = visit(color_scheme="light").open()
    ground = "() => getComputedStyle(document.body).color"
    light = page.evaluate(ground)
    page.get_by_role("radio", name="Dark").check(force=True)
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    expect(page.locator(".stage")).to_have_count(4)
    assert page.evaluate(ground) == dark
    page.get_by_role("radio", name="System").check(force=True)
    assert page.evaluate(ground) == light


def test_a_phone_sized_page_is_a_strip_with_the_ledger_under_each_phone(visit):
    seen = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, device_scale_factor=2)
    page = seen.open()
    first = stage(page, "whatsapp")
    phone, ledger = first.locator(".phone").bounding_box(), first.locator(".ledger").bounding_box()
    assert ledger["y"] >= phone["y"] + phone["height"]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, select, a.choice, .switch, .theme label")]
        .filter((one) => one.offsetParent && one.getBoundingClientRect().height < 40)
        .map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert small == []
    shoot(page, "mobile")
    page.get_by_role("button", name="LINE", exact=True).tap()
    expect(stage(page, "line").locator(".phone")).to_be_in_viewport(ratio=0.5)
    expect(page.get_by_role("button", name="LINE", exact=True)).to_have_attribute("aria-current", "true")
    shoot(page, "mobile-line")
    seen.assert_clean()


@pytest.mark.parametrize(("person", "scheme"), [("Sari", "light"), ("Budi", "dark")])
def test_axe_finds_nothing_serious(visit, scheme, person):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = visit(color_scheme=scheme, bypass_csp=True).open(person)
    shoot(page, f"desktop-{person.lower()}-{scheme}")
    shoot(page, f"all-{person.lower()}-{scheme}", tall=True)
    found = axe.run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}).response
    serious = [
        (one["id"], node["html"][:160], node["failureSummary"][:300])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
    assert serious == []


@pytest.mark.parametrize(
    ("name", "width", "height"), [("tablet", 820, 1180), ("laptop", 1280, 800), ("wide", 1920, 1080)]
)
def test_other_widths_hold(visit, name, width, height):
    seen = visit(viewport={"width": width, "height": height})
    page = seen.open()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    shoot(page, name)
    seen.assert_clean()


@pytest.fixture
def broken(chromium, real_sandbox):
    """A visit of the real sandbox, whose platforms can be broken."""
    visits = []

    def make(**options) -> Visit:
        visits.append(Visit(chromium, real_sandbox, **options))
        return visits[-1]

    yield make
    for one in visits:
        one.context.close()


def profiles(page: Page) -> dict:
    return page.request.get(f"{page.url.partition('/phones')[0]}/sandbox/faults").json()["data"]


def fault_of(page: Page, name: str):
    return page.get_by_role("combobox", name=f"Fault on {name}")


def fault_bar(page: Page, channel: str):
    return stage(page, channel).locator(".fault-bar")


def test_every_ready_made_fault_is_taken_shown_and_cleared(broken):
    seen = broken()
    page = seen.open("Ani")
    for channel, name in zip(CHANNELS, ("WhatsApp", "Telegram", "LINE", "Messenger"), strict=True):
        choice, bar = fault_of(page, name), fault_bar(page, channel)
        offered = choice.locator("option:not([disabled])").all_inner_texts()
        assert ("Monthly limit" in offered) is (channel == "line")
        assert "Webhooks doubled" in offered
        assert offered[0] == "Works"
        for one in offered[1:]:
            choice.select_option(one)
            expect(bar).to_contain_text(f"{one}: ")
            assert profiles(page)[channel], one
            expect(choice).to_have_value(one)
        bar.get_by_role("button", name="Clear").click()
        expect(bar).to_be_hidden()
        expect(choice).to_be_focused()
        assert profiles(page)[channel] is None
    seen.assert_clean(allowed=re.compile("Failed to load resource.*404"))


def test_a_fault_that_was_set_elsewhere_is_shown_until_it_ends(broken):
    page = broken().open("Ani")
    faults = f"{page.url.partition('/phones')[0]}/sandbox/faults"
    page.request.put(f"{faults}/telegram", data={"errors": 0.25, "latency": 0.5, "webhooks": {"drop": 0.1}})
    words = "25 % are refused with a passing error; answers take 0.5 s; 10 % of the webhooks never come"
    expect(fault_bar(page, "telegram")).to_contain_text(words)
    expect(fault_of(page, "Telegram")).to_have_value("own")
    page.request.put(f"{faults}/messenger", data={"outage": "503", "usage": 80, "seconds": 600})
    expect(fault_bar(page, "messenger")).to_contain_text(
        "every request is answered 503; the usage headers say 80 %, for 600 s"
    )
    page.request.put(f"{faults}/line", data={"outage": "503", "seconds": 2})
    expect(fault_bar(page, "line")).to_contain_text("Outage: every request is answered 503, for 2 s")
    expect(fault_bar(page, "line")).to_be_hidden(timeout=10_000)
    page.get_by_role("button", name="Reset").click()
    expect(fault_bar(page, "telegram")).to_be_hidden()


@pytest.mark.parametrize("width", [390, 700, 1080, 1280, 1440, 1920])
def test_no_name_of_a_fault_is_cut(broken, width):
    page = broken(viewport={"width": width, "height": 900}).open("Ani")
    # A select does not tell that its text is cut: a copy as wide as its longest option has to fit.
    missing = page.evaluate(
        """() => [...document.querySelectorAll(".fault-choice select")].map((one) => {
            const free = one.cloneNode(true);
            free.style.cssText = "position: absolute; inline-size: max-content; font-weight: 650";
            one.parentElement.append(free);
            const wanted = free.getBoundingClientRect().width;
            free.remove();
            return wanted - one.getBoundingClientRect().width;
        })"""
    )
    assert len(missing) == len(CHANNELS)
    assert max(missing) <= 0, missing


def in_refused(page: Page, channel: str):
    return stage(page, channel).locator(".refused")


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_refused_calls_stand_in_the_ledger_in_the_platforms_words(sandbox, visit, width, scheme):
    at, method = "2026-11-22T12:38:05.250Z", "POST sendMessage"
    telegram, messenger = sandbox.phone("telegram"), sandbox.phone("messenger")
    wait = "Too Many Requests: retry after 3"
    telegram.refused.append(RefusedCall(at, method, 429, wait, telegram.address, "throttle"))
    messenger.refused.append(RefusedCall(at, "POST messages", 400, HOSTILE, messenger.address))
    page = visit(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True).open()
    expect(in_refused(page, "telegram").locator("summary")).to_contain_text(f"1 call refused429 {wait}")
    telegram.refused.append(RefusedCall(at, method, 400, "Bad Request: chat not found", "5"))
    sandbox.publish(telegram)
    calls = in_refused(page, "telegram")
    expect(calls.locator("summary")).to_contain_text("2 calls refused")
    expect(calls.locator("summary")).to_contain_text("400 Bad Request: chat not found")
    expect(calls.get_by_role("listitem")).to_have_count(0)
    shoot(page, f"refused-{width}-{scheme}")
    calls.locator("summary").click()
    first, second = calls.get_by_role("listitem").all()
    expect(first).to_contain_text("POST sendMessage to 5")
    expect(second).to_contain_text("429 Too Many Requests: retry after 3 (fault throttle)")
    assert telegram.address not in second.inner_text(), "the phone's own address is said above"
    expect(in_refused(page, "line")).to_be_hidden()
    expect(in_refused(page, "messenger").locator("summary")).to_contain_text("1 call refused")
    expect(in_refused(page, "messenger").locator("summary")).to_contain_text(HOSTILE)
    assert page.evaluate("window.pwned") is None
    shoot(page, f"refused-open-{width}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    tops = {round(stage(page, channel).locator(".phone").bounding_box()["y"]) for channel in CHANNELS}
    assert len(tops) == 1
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}).response
    assert [one["id"] for one in found["violations"] if one["impact"] in ("serious", "critical")] == []
    page.get_by_role("button", name="Reset").click()
    expect(calls).to_be_hidden()


def test_a_fault_that_is_not_taken_goes_back_and_says_why(visit):
    page = visit().open()
    fault_of(page, "LINE").select_option("Outage")
    expect(page.get_by_text("The fault was not changed. The sandbox answered")).to_be_visible()
    expect(fault_of(page, "LINE")).to_have_value("")
    expect(fault_bar(page, "line")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_broken_platform_is_plain_to_see_at_phone_width_and_in_the_dark(broken, scheme):
    seen = broken(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme=scheme, bypass_csp=True
    )
    page = seen.open("Ani")
    fault_of(page, "WhatsApp").select_option("Time-outs")
    bar = fault_bar(page, "whatsapp")
    expect(bar).to_contain_text("half of these arrive")
    expect(bar).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for control in (fault_of(page, "WhatsApp"), bar.get_by_role("button", name="Clear")):
        assert control.bounding_box()["height"] >= 44
    shoot(page, f"fault-mobile-{scheme}")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}).response
    assert [one["id"] for one in found["violations"] if one["impact"] in ("serious", "critical")] == []


def test_phones_of_a_row_stand_level_when_one_is_broken(broken):
    page = broken().open("Ani")
    fault_of(page, "Telegram").select_option("Outage")
    expect(fault_bar(page, "telegram")).to_be_visible()
    tops = {round(stage(page, channel).locator(".phone").bounding_box()["y"]) for channel in CHANNELS}
    assert len(tops) == 1
    shoot(page, "fault-desktop")


def test_the_page_works_on_the_real_sandbox_under_its_policy(chromium, real_sandbox):
    seen = Visit(chromium, real_sandbox)
    try:
        page = seen.open("Budi")
        expect(page.locator("#phones-first-code")).to_have_text("curl -d @message.json localhost")
        picture = "https://media.sandbox.invalid/demo.jpg"
        keys = [[{"text": "Left", "callback_data": "l"}, {"text": "Right", "callback_data": "r"}]]
        photo = {"chat_id": 1001, "photo": picture, "caption": "Hi & bye", "reply_markup": {"inline_keyboard": keys}}
        sent = page.request.post(f"{real_sandbox}/telegram/bot{DEMO_TELEGRAM.token}/sendPhoto", data=photo)
        assert sent.ok, sent.text()
        whole = stage(page, "telegram")
        expect(whole.get_by_text("Hi & bye")).to_be_visible()
        expect(whole.locator(".key")).to_have_text(["Left", "Right"])
        expect(whole.locator(".entry")).to_contain_text("final on this channel")
        page.wait_for_function("() => document.querySelector('.media img')?.naturalWidth > 0")
        whole.get_by_role("switch", name="Online").click()
        expect(whole.get_by_text("Phone offline: messages wait at the platform")).to_be_visible()
        page.get_by_role("button", name="Reset").click()
        expect(page.get_by_text("No messages yet")).to_have_count(4)
        seen.assert_clean()
    finally:
        seen.context.close()
