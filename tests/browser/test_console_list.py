"""The list and the page of messages in a real browser: what the reader picked, opened and typed survives what comes live."""

import csv
import io
from pathlib import Path

import pytest
from playwright.sync_api import expect

from kurir import demo
from support.browser import chromium
from support.process import up

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_picking_stays_while_messages_come_and_many_are_retried(tmp_path: Path) -> None:
    with up(tmp_path) as started, chromium() as browser:
        stranger = demo.example("text") | {"recipient": "6281200000009"}
        failed = [started.send("telegram", stranger | {"id": f"failed-{number}"}) for number in range(3)]
        for tid in failed:
            started.until(tid, -1)
        page = browser.new_page()
        page.goto(started.facts["console"])
        page.click("main button.primary")
        page.goto(f"{started.facts['url']}/console/messages")
        expect(page.locator("#live")).to_have_attribute("data-state", "on")
        page.keyboard.press("j")
        page.keyboard.press("x")
        page.check(f"#m-{failed[0]} input[data-select]")
        came = started.send("line", demo.example("text"))
        expect(page.locator(f"#m-{came}")).to_be_visible()
        picked = page.locator("input[data-select]:checked")
        expect(picked).to_have_count(2)
        assert {one.input_value() for one in picked.all()} == {failed[2], failed[0]}
        expect(page.locator("tr[data-current]")).to_have_id(f"m-{failed[2]}")

        page.click('#bulk button[value="retry"]')
        expect(page.locator("main")).to_contain_text("2 messages")
        page.click("main button.primary")
        expect(page.locator("h1")).to_have_text("2 messages are queued again")

        page.goto(f"{started.facts['url']}/console/messages?q=status:unsent")
        page.get_by_text("Export", exact=True).click()
        with page.expect_download() as file:
            page.click('button[name="format"][value="csv"]')
        rows = list(csv.DictReader(io.StringIO(Path(file.value.path()).read_text("utf-8-sig"), newline="")))
        assert failed[1] in {row["tid"] for row in rows}


def test_a_message_moves_on_before_the_readers_eyes_and_what_is_open_stays_open(tmp_path: Path) -> None:
    with up(tmp_path) as started, chromium() as browser:
        tid = started.send("whatsapp", demo.example("button") | {"send_at": "2030-01-01T00:00:00Z"})
        page = browser.new_page()
        page.goto(started.facts["console"])
        page.click("main button.primary")
        page.goto(f"{started.facts['url']}/console/messages/{tid}")
        expect(page.locator("kurir-bubble")).to_contain_text("Shall we deliver today?")
        expect(page.locator("#live")).to_have_attribute("data-state", "on")
        page.locator(".raw summary").first.click()
        status, _ = started.call("POST", f"/v1/messages/{tid}/cancel")
        assert status == 200
        expect(page.locator("h1 .badge")).to_have_text("Unsent")
        expect(page.locator(".timeline")).to_contain_text("by the gateway itself")
        assert page.locator(".raw[open]").count() == 1
        expect(page.locator("kurir-bubble .bubble")).to_be_visible()
        expect(page.locator("[data-retry]")).to_be_visible()
