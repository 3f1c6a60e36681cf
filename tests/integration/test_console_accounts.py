"""Accounts in the console, over real HTTP: who sees what, stopping and starting, checking, and changing settings."""

import copy
import html
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kurir.administration.accounts import NewAccount
from kurir.connect.connector import Connector
from kurir.egress import Egress
from kurir.http.connect import Connecting
from kurir.store.access import AuditFilter
from kurir.store.base import ErrorRecord
from kurir.store.inbound import Unread
from support.bodies import body
from support.console import post, signed_in, text
from support.servers import PASSWORD, Running, running

PAGE = "/console/accounts/demo-tg"


def two_clients(document: dict[str, Any]) -> None:
    """Add another client, with a bot of its own."""
    bot = copy.deepcopy(document["clients"]["demo"]["accounts"][1]) | {"id": "other-tg", "token": "7002000:" + "y" * 35}
    document["clients"]["other"] = {"username": "other", "password": f"{PASSWORD} too", "accounts": [bot]}


@asynccontextmanager
async def gateway(tmp_path: Path, **options: Any) -> AsyncIterator[Running]:
    """Run a gateway that knows its own address."""
    async with running(tmp_path, **options) as made:
        app, egress = made.gateway.app, Egress()
        heard = app.state.connecting().heard
        connector = Connector(egress, made.gateway.clock, made.url)
        app.state.connecting = lambda: Connecting(egress, connector, heard)
        try:
            yield made
        finally:
            await egress.close()


async def page(browser: Any, path: str, status: int = 200) -> str:
    return html.unescape(await text(browser, path, status))


async def made_here(made: Running, account_id: str = "new-tg") -> str:
    """Make an account of the sandbox's bot while the gateway runs; return its id."""
    bot = made.sandbox.sandbox.config.telegram
    settings = {"token": bot.token, "secret_token": bot.secret_token}
    options = {"api_base": f"{made.sandbox.url}/telegram"}
    new = NewAccount("demo", "telegram", account_id, settings=settings, options=options)
    await made.gateway.app.state.administration.accounts.create(new)
    return account_id


async def actions(made: Running, account_id: str) -> list[str]:
    """Return what was written down of the account, the newest first."""
    found = await made.gateway.store.audit(AuditFilter(kind="account", subject=account_id), 50)
    return [one.action for one in found]


def form_of(made: Running, account_id: str, **changes: str) -> dict[str, str]:
    """Return the settings' form as the page fills it in, with *changes*."""
    entry = made.gateway.directory.accounts()[account_id]
    fields = {
        "s.token": "",
        "s.secret_token": "",
        "s.receive": "webhook",
        "rate.account": "30/s",
        "rate.group": "20/60s",
        "rate.recipient": "1/s burst 3",
        "concurrency": "20",
        "unknown_outcome": "resend",
        "unknown_wait": "90s",
        "inbound_media": "stream",
        "has.default": "1",
        "api_base": entry.account.api_base,
    }
    return fields | changes


# --- who sees what --------------------------------------------------------------------------------------------------------


async def test_the_list_shows_every_account_and_narrows_by_its_address(tmp_path: Path) -> None:
    async with gateway(tmp_path, edit=two_clients) as made, signed_in(made) as browser:
        shown = await page(browser, "/console/accounts")
        assert all(f'id="a-{one}"' in shown for one in ("demo-wa", "demo-tg", "demo-line", "demo-fb", "other-tg"))
        telegram = await page(browser, "/console/accounts?channel=telegram&client=demo")
        assert 'id="a-demo-tg"' in telegram
        assert 'id="a-demo-wa"' not in telegram
        assert 'id="a-other-tg"' not in telegram
        assert "No account fits" in await page(browser, "/console/accounts?standing=parked")


async def test_a_user_of_one_client_sees_nothing_of_another(tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, edit=two_clients) as made,
        signed_in(made, "client", client_id="other") as browser,
    ):
        shown = await page(browser, "/console/accounts")
        assert 'id="a-other-tg"' in shown
        assert "demo-tg" not in shown
        await page(browser, PAGE, 404)
        own = await page(browser, "/console/accounts/other-tg")
        assert "/pause" not in own
        assert "secret_token" not in own


@pytest.mark.parametrize(("role", "client_id"), [("viewer", ""), ("client", "demo")])
async def test_who_may_not_operate_changes_nothing(tmp_path: Path, role: str, client_id: str) -> None:
    async with gateway(tmp_path) as made, signed_in(made, role, client_id=client_id) as browser:
        shown = await page(browser, PAGE)
        assert 'method="post" action="/console/accounts' not in shown
        for verb in ("pause", "resume", "disable", "enable", "check", "connect", "settings"):
            await post(browser, f"{PAGE}/{verb}", status=403)
        await page(browser, f"{PAGE}/settings", 403)
        assert made.gateway.app.state.operator().state("demo-tg").standing.value == "working"
        assert await actions(made, "demo-tg") == []


async def test_phones_of_recent_messages_are_masked_where_they_are_to_be(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        status, _, answer = await made.send("telegram", body(recipient="tg:7001"))
        assert status == 200, answer
        await made.until(answer["data"]["tid"], 1)
        assert "tg:7001" in await page(browser, PAGE)
        made.gateway.app.state.console = replace(made.gateway.console, masked=True)
        shown = await page(browser, PAGE)
        assert "tg:7001" not in shown
        assert answer["data"]["tid"] in shown


# --- stopping and starting ------------------------------------------------------------------------------------------------


async def test_an_account_is_paused_drained_and_resumed(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made, "operator") as browser:
        await post(browser, f"{PAGE}/pause")
        shown = await page(browser, PAGE)
        assert "Paused" in shown
        assert "Drained: nothing is being sent" in shown
        await post(browser, f"{PAGE}/resume")
        assert "Drained" not in await page(browser, PAGE)
        assert await actions(made, "demo-tg") == ["account_resumed", "account_paused"]


async def test_an_account_that_the_platform_stopped_says_why_and_is_tried_again_by_a_button(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        operator = made.gateway.app.state.operator()
        operator.stopped("demo-tg", ErrorRecord("account_unauthorized", "Telegram says «Unauthorized»", "401"))
        shown = await page(browser, PAGE)
        assert "Telegram says «Unauthorized»" in shown
        assert "Try now" in shown
        await post(browser, f"{PAGE}/resume")
        assert operator.state("demo-tg").standing.value == "working"
        entry = (await made.gateway.store.audit(AuditFilter(subject="demo-tg"), 1))[0]
        assert entry.before == '{"standing": "parked"}'


async def test_an_account_that_was_made_here_is_disabled_and_enabled(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        await made_here(made)
        await post(browser, "/console/accounts/new-tg/disable")
        assert "It takes and sends nothing" in await page(browser, "/console/accounts/new-tg")
        assert "new-tg" not in made.gateway.directory.accounts()
        await post(browser, "/console/accounts/new-tg/pause", status=409)
        await page(browser, "/console/accounts/new-tg/connected", 409)
        await post(browser, "/console/accounts/new-tg/enable")
        assert "new-tg" in made.gateway.directory.accounts()
        assert await actions(made, "new-tg") == ["account_enabled", "account_disabled"]


async def test_an_account_of_the_file_is_changed_there(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        assert "stands in the configuration file" in await page(browser, PAGE)
        assert f"{PAGE}/disable" not in await page(browser, PAGE)
        for verb in ("disable", "enable", "settings"):
            answer = await post(browser, f"{PAGE}/{verb}", {"concurrency": "3"}, status=409)
            assert "demo-tg" in html.unescape(await answer.text())
        assert await actions(made, "demo-tg") == []


# --- the platform ---------------------------------------------------------------------------------------------------------


async def test_a_check_shows_what_the_platform_says_and_reconnecting_mends_it(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        made.sandbox.sandbox.connect("telegram", "")
        done = await post(browser, f"{PAGE}/check")
        assert done.headers["Location"] == f"{PAGE}?said=checked_bad"
        shown = await page(browser, PAGE)
        assert "no webhook is set: nothing that people write arrives" in shown
        assert "webhook_missing" in shown
        await post(browser, f"{PAGE}/connect", {"back": "connected"})
        assert made.sandbox.sandbox.webhooks.url("telegram") == f"{made.url}/webhooks/demo-tg"
        assert "webhook_missing" not in await page(browser, PAGE)
        assert await actions(made, "demo-tg") == ["account_connected"]


async def test_a_webhook_of_another_is_taken_only_where_that_is_asked_for(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        made.sandbox.sandbox.connect("telegram", "http://127.0.0.1:9/elsewhere")
        await post(browser, f"{PAGE}/connect")
        assert made.sandbox.sandbox.webhooks.url("telegram") == "http://127.0.0.1:9/elsewhere"
        assert "another system gets the updates" in await page(browser, PAGE)
        assert await actions(made, "demo-tg") == []
        await post(browser, f"{PAGE}/connect", {"replace": "1"})
        assert made.sandbox.sandbox.webhooks.url("telegram") == f"{made.url}/webhooks/demo-tg"


async def test_two_accounts_of_one_bot_say_so_on_both_pages(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        assert "The same one as" not in await page(browser, PAGE)
        await made_here(made)
        assert "The same one as new-tg." in await page(browser, PAGE)
        assert "The same one as demo-tg." in await page(browser, "/console/accounts/new-tg")


async def test_webhooks_that_could_not_be_read_are_counted(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        for one in range(2):
            await made.gateway.store.quarantine(Unread("demo-tg", b"{%d" % one, "no JSON", datetime.now(UTC)))
        assert "Webhooks that could not be read: 2." in await page(browser, PAGE)


# --- settings -------------------------------------------------------------------------------------------------------------


async def test_a_rate_is_changed_at_once_and_an_empty_secret_stays(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        await made_here(made)
        before = made.gateway.directory.accounts()["new-tg"].account
        sent = form_of(made, "new-tg", **{"rate.account": "5/s"})
        await post(browser, "/console/accounts/new-tg/settings", sent)
        after = made.gateway.directory.accounts()["new-tg"].account
        assert after.settings == before.settings
        assert after.rates["account"] is not None
        assert after.rates["account"].count == 5
        assert "5/s" in await page(browser, "/console/accounts/new-tg")
        entry = (await made.gateway.store.audit(AuditFilter(subject="new-tg"), 1))[0]
        assert entry.action == "account_changed"
        assert '"account": "5/s"' in entry.after
        assert '"account": "30/s"' in entry.before


async def test_a_token_is_taken_and_never_shown(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        await made_here(made)
        token = "7001000:" + "z" * 35
        await post(browser, "/console/accounts/new-tg/settings", form_of(made, "new-tg", **{"s.token": token}))
        assert made.gateway.directory.accounts()["new-tg"].account.settings.token == token
        for path in ("/console/accounts/new-tg", "/console/accounts/new-tg/settings"):
            assert token not in await page(browser, path)
        entry = (await made.gateway.store.audit(AuditFilter(subject="new-tg"), 1))[0]
        assert token not in entry.after
        assert '"replaced": ["token"]' in entry.after


async def test_the_effect_of_a_rate_is_shown_and_changes_nothing(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        await made_here(made)
        sent = form_of(made, "new-tg", **{"rate.account": "6/60s", "effect": "1"})
        answer = await post(browser, "/console/accounts/new-tg/settings", sent, status=200)
        shown = await answer.text()
        assert "6 a minute" in shown
        assert 'value="6/60s"' in shown
        rate = made.gateway.directory.accounts()["new-tg"].account.rates["account"]
        assert rate is not None
        assert rate.count == 30
        assert await actions(made, "new-tg") == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("rate.account", "fast", "expected"),
        ("concurrency", "0", "concurrency"),
        ("unknown_wait", "soon", "unknown_wait"),
        ("s.secret_token", "with blank", "1 to 256 letters"),
        ("api_base", "nowhere", "api_base"),
    ],
)
async def test_what_is_wrong_stands_beside_its_field(tmp_path: Path, name: str, value: str, words: str) -> None:
    async with gateway(tmp_path) as made, signed_in(made) as browser:
        await made_here(made)
        sent = form_of(made, "new-tg", **{name: value})
        answer = await post(browser, "/console/accounts/new-tg/settings", sent, status=422)
        shown = html.unescape(await answer.text())
        beside = shown.partition(f'<label for="f-{name}"')
        assert beside[0].rstrip().endswith('class="field field-wrong">')
        assert words in beside[2].partition("</div>")[0]
        assert await actions(made, "new-tg") == []
