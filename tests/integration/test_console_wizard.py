"""Connecting an account in the browser, over real HTTP against the sandbox: the four channels, and what may be wrong."""

import asyncio
import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kurir.connect.connector import Connector
from kurir.console.offers import OFFERS
from kurir.console.wizard import sandbox_values
from kurir.egress import Egress
from kurir.http.connect import Connecting
from support.bodies import body
from support.console import post, signed_in, text
from support.servers import Running, running

CHANNELS = [one.channel for one in OFFERS]
SHORT = {"telegram": "tg", "line": "line", "whatsapp": "wa", "messenger": "fb"}
#: Turns that a condition may take to come true, each after a moment of the loop's.
SECONDS = 10.0


@asynccontextmanager
async def gateway(tmp_path: Path, *, public_url: str | None = None) -> AsyncIterator[Running]:
    """Run a gateway that knows its own address, with the sandbox in its console, as ``kurir up`` has it."""
    async with running(tmp_path) as made:
        app = made.gateway.app
        egress = Egress()
        heard = app.state.connecting().heard
        connector = Connector(egress, made.gateway.clock, made.url if public_url is None else public_url)
        app.state.connecting = lambda: Connecting(egress, connector, heard)
        app.state.console = replace(made.gateway.console, sandbox=made.sandbox.sandbox)
        try:
            yield made
        finally:
            await egress.close()


def credentials(made: Running, channel: str, **changes: str) -> dict[str, str]:
    """Return the form as the button «Use the sandbox's credentials» fills it in."""
    values = sandbox_values(made.sandbox.sandbox.config, made.sandbox.url, channel)
    return values | {"client": "demo", "id": f"new-{SHORT[channel]}", "replace": "1"} | changes


async def until(look: Any, seconds: float = SECONDS) -> Any:
    """Return what *look* finds, as soon as it finds something."""
    async with asyncio.timeout(seconds):
        while True:
            found = await look()
            if found:
                return found
            await asyncio.sleep(0.02)


async def write(made: Running, channel: str, words: str) -> None:
    """Let a person of the sandbox write to the account."""
    person = made.sandbox.sandbox.config.people[0]
    path = f"{made.sandbox.url}/sandbox/phones/{channel}/{person.address(channel)}/acts"
    async with aiohttp.request("POST", path, json={"do": "text", "text": words}) as response:
        assert response.status == 200, await response.text()


# --- the way of a newcomer --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", CHANNELS)
async def test_an_account_is_connected_and_turns_green_and_its_answers_and_receipts_are_its_own(
    tmp_path: Path, channel: str
) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        new = f"new-{SHORT[channel]}"
        done = await post(browser, f"/console/accounts/new/{channel}", credentials(made, channel))
        assert done.headers["Location"] == f"/console/accounts/{new}/connected"
        shown = await text(browser, f"/console/accounts/{new}/connected")
        assert "Demo Shop" in shown
        assert made.sandbox.sandbox.webhooks.url(channel) == f"{made.url}/webhooks/{new}"
        assert "It works" not in shown
        await write(made, channel, "Anybody there?")

        async def green() -> bool:
            return "It works: somebody wrote" in await text(browser, f"/console/accounts/{new}/connected")

        await until(green)
        person = made.sandbox.sandbox.config.people[0]
        prefix = {"telegram": "tg", "line": "line", "whatsapp": "", "messenger": "psid"}[channel]
        address = person.address(channel)
        recipient = f"{prefix}:{address}" if prefix else address
        status, _, answer = await made.send(channel, body(recipient=recipient, account=new))
        assert status == 200, answer
        wanted = 2 if channel in ("whatsapp", "messenger") else 1
        message = await made.until(answer["data"]["tid"], wanted)
        assert message["account"] == new


async def test_every_step_is_written_down_and_no_secret_is(tmp_path: Path) -> None:
    from kurir.store.access import AuditFilter  # noqa: PLC0415 - one test looks there

    async with gateway(tmp_path) as made, signed_in(made, name="ani") as browser:
        sent = credentials(made, "telegram")
        await post(browser, "/console/accounts/new/telegram", sent)
        found = await made.gateway.store.audit(AuditFilter(subject="new-tg"), 10)
        assert [(one.action, one.actor) for one in found] == [("account_connected", "ani"), ("account_added", "ani")]
        assert sent["token"].partition(":")[2] not in "".join(one.before + one.after for one in found)
        page = await text(browser, "/console/accounts/new-tg/connected")
        assert sent["token"] not in page
        assert sent["token"] not in await text(browser, "/console/accounts/new-tg")


# --- what may be wrong ----------------------------------------------------------------------------------------------------


async def test_a_refused_token_is_told_in_the_platforms_words_and_nothing_is_made(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        sent = credentials(made, "telegram", token="7001000:" + "x" * 35)
        answer = await browser.post("/console/accounts/new/telegram", data=sent, allow_redirects=False)
        shown = html.unescape(await answer.text())
        assert answer.status == 422
        assert "Telegram says «Unauthorized»" in shown
        assert "token_refused" in shown
        assert "@BotFather" in shown
        assert not any(one.id == "new-tg" for one in await made.gateway.store.accounts())


async def test_a_webhook_of_another_is_left_unless_it_is_to_be_taken(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        before = made.sandbox.sandbox.webhooks.url("telegram")
        sent = credentials(made, "telegram")
        del sent["replace"]
        answer = await browser.post("/console/accounts/new/telegram", data=sent, allow_redirects=False)
        shown = html.unescape(await answer.text())
        assert answer.status == 422
        assert f"the webhook is set to {before}" in shown
        assert "demo-tg is the very same one" in shown
        assert 'name="replace"' in shown
        assert made.sandbox.sandbox.webhooks.url("telegram") == before


@pytest.mark.parametrize("channel", ["whatsapp", "messenger"])
async def test_a_number_or_page_that_is_connected_already_is_not_connected_twice_unawares(
    tmp_path: Path, channel: str
) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        made.sandbox.sandbox.connect(channel, f"{made.url}/webhooks/demo-{SHORT[channel]}")
        sent = credentials(made, channel)
        del sent["replace"]
        answer = await post(browser, f"/console/accounts/new/{channel}", sent, 422)
        shown = html.unescape(await answer.text())
        assert f"demo-{SHORT[channel]} is the very same one" in shown
        assert 'name="replace"' in shown
        assert not any(one.id == sent["id"] for one in await made.gateway.store.accounts())


async def test_only_checking_says_who_it_is_and_makes_nothing(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        sent = credentials(made, "line") | {"check": "1"}
        answer = await browser.post("/console/accounts/new/line", data=sent, allow_redirects=False)
        shown = await answer.text()
        assert answer.status == 200
        assert "@demoshop" in shown
        assert not any(one.id == "new-line" for one in await made.gateway.store.accounts())


@pytest.mark.parametrize(
    ("channel", "changes", "words"),
    [
        ("telegram", {"token": ""}, "token"),
        ("telegram", {"id": "My Bot"}, "1 to 63 lower-case letters"),
        ("telegram", {"id": "bot-6281234567"}, "must not hold a phone number"),
        ("telegram", {"id": "demo-tg"}, "there is an account «demo-tg»"),
        ("telegram", {"client": ""}, "choose the client"),
        ("telegram", {"secret_token": "with blank"}, "secret_token"),
        ("whatsapp", {"phone_number_id": "+62 812"}, "the digits of the number's id"),
        ("telegram", {"api_base": "ftp://x"}, "api_base"),
    ],
)
async def test_each_problem_stands_beside_its_field(
    tmp_path: Path, channel: str, changes: dict[str, str], words: str
) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        sent = credentials(made, channel, **changes)
        answer = await browser.post(f"/console/accounts/new/{channel}", data=sent, allow_redirects=False)
        shown = html.unescape(await answer.text())
        assert answer.status == 422
        name = next(iter(changes))
        assert re.search(rf'class="field field-wrong">\s*<label for="f-{name}"', shown), shown
        assert words in shown


async def test_without_a_public_url_a_bot_is_polled_and_hears(tmp_path: Path) -> None:
    async with gateway(tmp_path, public_url="") as made, signed_in(made) as browser:
        assert "public_url is not set" in await text(browser, "/console/accounts/new")
        form = await text(browser, "/console/accounts/new/telegram")
        assert re.search(r'value="poll" checked', form)
        await post(browser, "/console/accounts/new/telegram", credentials(made, "telegram", receive="poll"))
        assert made.sandbox.sandbox.webhooks.url("telegram") == ""
        await write(made, "telegram", "Hello by poll")

        async def green() -> bool:
            return "It works: somebody wrote" in await text(browser, "/console/accounts/new-tg/connected")

        await until(green)


async def test_a_minute_without_a_webhook_tells_what_it_may_be(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        await post(browser, "/console/accounts/new/telegram", credentials(made, "telegram"))
        assert "CDN" not in await text(browser, "/console/accounts/new-tg/connected")
        reports = made.gateway.app.state.console.reports
        last = reports.last("new-tg")
        reports.keep("new-tg", replace(last, at=last.at.replace(year=last.at.year - 1)))
        assert "CDN" in await text(browser, "/console/accounts/new-tg/connected")


async def test_the_sandboxs_credentials_are_offered_where_there_is_one_only(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        page = await text(browser, "/console/accounts/new/telegram?from=sandbox")
        assert made.sandbox.sandbox.config.telegram.token in page
        assert "the same one as demo-tg" in page
        made.gateway.app.state.console = replace(made.gateway.console, sandbox=None)
        assert "from=sandbox" not in await text(browser, "/console/accounts/new/telegram")
        await text(browser, "/console/accounts/new/telegram?from=sandbox", 404)


@pytest.mark.parametrize("role", ["viewer", "client"])
async def test_who_may_not_operate_connects_nothing(tmp_path: Path, role: str) -> None:
    async with (
        gateway(tmp_path) as made,
        signed_in(made, role, client_id="demo" if role == "client" else "") as browser,
    ):
        for path in ("/console/accounts/new", "/console/accounts/new/telegram", "/console/accounts/demo-tg/connected"):
            await text(browser, path, 403)
        await post(browser, "/console/accounts/new/telegram", credentials(made, "telegram"), 403)
        assert not any(one.id == "new-tg" for one in await made.gateway.store.accounts())


async def test_the_client_that_was_just_added_is_chosen(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        await made.gateway.app.state.administration.clients.create("shop")
        offers = await text(browser, "/console/accounts/new?client=shop")
        assert 'href="/console/accounts/new/line?client=shop"' in offers
        form = await text(browser, "/console/accounts/new/line?client=shop")
        assert '<option value="shop" selected>' in form
        assert 'value="shop-line"' in form
        assert "line?client=nobody" not in await text(browser, "/console/accounts/new?client=nobody")


async def test_a_channel_that_there_is_not_is_not_found(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        await text(browser, "/console/accounts/new/pigeon", 404)
