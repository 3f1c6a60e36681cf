"""Connecting accounts over real HTTP: the connector, the routes, quotas and templates."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from kurir.channels.line import setup as line_setup
from kurir.clock import FakeClock
from kurir.connect.connector import Connector, converse
from kurir.connect.quota import LEAST_SECONDS, Quotas
from kurir.connect.templates import NotSynced, sync
from kurir.domain.account import Account, LineSettings
from kurir.egress import Egress
from kurir.store.base import ErrorRecord
from support.connecting import ENDPOINT, INFO, LOGIN, QUOTA, USED, gateway_with, line_answers, template
from support.platform import answering
from support.servers import running

ACCOUNT = Account("acme-line", "acme", "line", "", LineSettings("line-t0ken", "s3cret"))
LIVE = {"GET /livez": (200, {"status": "ok"})}
TEMPLATES = "/v26.0/102290129340398/message_templates"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest_asyncio.fixture
async def egress():
    made = Egress()
    yield made
    await made.close()


def codes(report):
    return [one.code for one in report.findings]


# --- the connector ------------------------------------------------------------------------------------------------------


async def test_an_account_that_works_has_no_findings_and_a_get_has_no_body(egress):
    async with answering(line_answers() | LIVE) as platform:
        connector = Connector(egress, FakeClock(datetime.now(UTC)), platform.url)
        platform.answers[f"GET {ENDPOINT}"] = (200, {"endpoint": connector.webhook_url("acme-line"), "active": True})
        report = await connector.check(replace(ACCOUNT, api_base=platform.url))
        assert report.findings == ()
        assert report.identity.handle == "@shop"
        assert all(body == b"" for line, body, _ in platform.asked if line.startswith("GET"))
        headers = next(headers for line, _, headers in platform.asked if line == f"GET {INFO}")
        assert headers["Authorization"] == "Bearer line-t0ken"


async def test_a_public_address_that_does_not_answer_is_said_unless_the_platform_reaches_it(egress):
    async with answering(line_answers()) as platform:
        account = replace(ACCOUNT, api_base=platform.url)
        connector = Connector(egress, FakeClock(datetime.now(UTC)), platform.url)
        platform.answers[f"GET {ENDPOINT}"] = (200, {"endpoint": connector.webhook_url("acme-line"), "active": True})
        report = await connector.check(account)
        assert codes(report) == ["public_url_unreachable"]
        assert "answered 404" in report.findings[0].detail
        assert (await connector.connect(account, fresh=True)).findings == ()


async def test_a_public_address_of_this_machine_is_wrong_where_the_platform_is_not_on_it(egress):
    connector = Connector(egress, FakeClock(), "http://localhost:8080")
    report = await connector.check(replace(ACCOUNT, api_base="http://platform.invalid"))
    assert codes(report) == ["not_reached", "public_url_local"]
    assert "line-t0ken" not in str(report)


@pytest.mark.parametrize(("seconds", "words"), [(90, "90 s ahead of"), (-90, "90 s behind"), (20, "")])
async def test_a_clock_that_is_off_is_said(egress, seconds, words):
    async with answering(line_answers(), {"Date": "Sun, 22 Nov 2026 12:00:00 GMT"}) as platform:
        clock = FakeClock(NOW)
        clock.move(seconds)
        report = await Connector(egress, clock, "").check(replace(ACCOUNT, api_base=platform.url))
        found = [one.detail for one in report.findings if one.code == "clock_off"]
        assert len(found) == bool(words)
        assert all(words in one for one in found)


async def test_a_platform_that_never_answers_costs_the_time_that_there_is_and_no_more(egress):
    async with answering({}) as platform:
        never = asyncio.Event()
        platform.answers[f"GET {QUOTA}"] = never
        found = await converse(
            egress,
            replace(ACCOUNT, api_base=platform.url),
            line_setup.quota(replace(ACCOUNT, api_base=platform.url)),
            seconds=0.1,
        )
        assert found.code == "not_reached"
        never.set()


async def test_a_channel_of_another_package_is_said_to_be_none_of_ours(egress):
    connector = Connector(egress, FakeClock(), "")
    account = replace(ACCOUNT, channel="carrier-pigeon")
    for report in (await connector.check(account), await connector.connect(account)):
        assert codes(report) == ["no_setup"]
        assert not report.wrong


# --- the routes ---------------------------------------------------------------------------------------------------------


async def ask(gateway, method, path, body=None, headers=LOGIN):
    async with gateway.session.request(method, f"{gateway.url}{path}", json=body, headers=headers) as response:
        return response.status, await response.json()


async def test_an_account_is_connected_to_the_sandbox_and_then_nothing_is_wrong(tmp_path):
    async with gateway_with(tmp_path) as (gateway, _):
        status, answer = await ask(gateway, "POST", "/v1/admin/accounts/demo-tg/connect", {"replace": True})
        assert status == 200
        found = answer["data"]
        assert [one for one in found["findings"] if one["level"] == "wrong"] == []
        assert found["ok"] is True
        assert found["identity"]["handle"] == "@demo_shop_bot"
        assert found["done"] == [f"the webhook is set to {gateway.url}/webhooks/demo-tg"]
        assert found["webhook_url"] == f"{gateway.url}/webhooks/demo-tg"
        status, answer = await ask(gateway, "POST", "/v1/admin/accounts/demo-tg/check")
        assert (status, answer["data"]["ok"], answer["data"]["done"]) == (200, True, [])


async def test_connecting_a_second_time_and_without_a_body_changes_nothing(tmp_path):
    async with gateway_with(tmp_path) as (gateway, _):
        first = await ask(gateway, "POST", "/v1/admin/accounts/demo-tg/connect", {"replace": True})
        assert await ask(gateway, "POST", "/v1/admin/accounts/demo-tg/connect") == first


async def test_a_wrong_token_is_said_and_shown_nowhere(tmp_path):
    def edit(document):
        document["clients"]["demo"]["accounts"][1]["token"] = "7001000:" + "x" * 35

    async with gateway_with(tmp_path, edit) as (gateway, _):
        status, answer = await ask(gateway, "POST", "/v1/admin/accounts/demo-tg/check")
        assert status == 200
        assert [one["code"] for one in answer["data"]["findings"]] == ["token_refused"]
        assert "Unauthorized" in answer["data"]["findings"][0]["detail"]
        assert "xxxxx" not in str(answer)


async def test_check_hides_a_verify_token_that_connect_shows(tmp_path):
    def edit(document):
        del document["clients"]["demo"]["accounts"][3]["app_id"]

    async with gateway_with(tmp_path, edit) as (gateway, _):
        _, checked = await ask(gateway, "POST", "/v1/admin/accounts/demo-fb/check")
        assert "sandbox-verify-messenger" not in str(checked)
        _, connected = await ask(gateway, "POST", "/v1/admin/accounts/demo-fb/connect")
        assert [one["value"] for one in connected["data"]["pastes"] if one["field"] == "Verify token"] == [
            "sandbox-verify-messenger"
        ]


async def test_an_account_that_the_platform_stopped_is_said_to_be(tmp_path):
    async with gateway_with(tmp_path) as (gateway, _):
        gateway.gateway.directory.set_parked("demo-tg", "account_credentials", "the token was revoked")
        _, answer = await ask(gateway, "POST", "/v1/admin/accounts/demo-tg/check")
        assert answer["data"]["findings"][0]["code"] == "account_parked"
        assert "revoked" in answer["data"]["findings"][0]["detail"]
        assert answer["data"]["ok"] is False


async def test_when_the_platform_called_last_is_told(tmp_path):
    async with gateway_with(tmp_path) as (gateway, parts):
        path = "/v1/admin/accounts/demo-tg/connection"
        status, answer = await ask(gateway, "GET", path)
        assert (status, answer["data"]["last_webhook_at"]) == (200, None)
        parts.heard.note("demo-tg", NOW)
        _, answer = await ask(gateway, "GET", path)
        assert answer["data"]["last_webhook_at"] == "2026-11-22T12:00:00Z"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "connection"), ("POST", "check"), ("POST", "connect"), ("GET", "templates"), ("POST", "templates/sync")],
)
async def test_only_the_administrator_may_and_only_of_accounts_that_there_are(tmp_path, method, path):
    async with gateway_with(tmp_path) as (gateway, _):
        assert (await ask(gateway, method, f"/v1/admin/accounts/demo-tg/{path}", headers={}))[0] == 401
        assert (await ask(gateway, method, f"/v1/admin/accounts/nobody/{path}"))[0] == 404


# --- templates ----------------------------------------------------------------------------------------------------------


async def test_templates_are_synced_kept_and_told_to_the_client(tmp_path):
    async with answering({f"GET {TEMPLATES}": (200, {"data": [template("b"), template("a", "REJECTED")]})}) as platform:

        def edit(document):
            document["clients"]["demo"]["accounts"][0]["api_base"] = platform.url

        async with gateway_with(tmp_path, edit) as (gateway, _):
            admin, own = "/v1/admin/accounts/demo-wa/templates", "/v1/accounts/demo-wa/templates"
            assert await ask(gateway, "GET", admin) == (200, {"data": [], "next": None})
            status, answer = await ask(gateway, "POST", f"{admin}/sync")
            assert status == 200
            assert [(one["name"], one["status"]) for one in answer["data"]] == [("a", "REJECTED"), ("b", "APPROVED")]
            assert answer["data"][0]["components"] == [{"type": "BODY", "text": "Hi {{1}}"}]
            assert await ask(gateway, "GET", admin) == (200, answer)
            assert await ask(gateway, "GET", own, headers={}) == (200, answer)
            assert (await ask(gateway, "GET", "/v1/accounts/nobody/templates", headers={}))[0] == 404
            record = await gateway.gateway.store.template("demo-wa", "b", "en_US")
            assert record is not None
            platform.answers[f"GET {TEMPLATES}"] = (401, {"error": {"message": "expired", "code": 190}})
            status, failed = await ask(gateway, "POST", f"{admin}/sync")
            assert (status, failed["code"]) == (502, "templates_not_synced")
            assert "expired" in failed["detail"]
            assert await ask(gateway, "GET", admin) == (200, answer)
            platform.answers[f"GET {TEMPLATES}"] = (200, {"data": [template("c")]})
            await ask(gateway, "POST", f"{admin}/sync")
            assert await gateway.gateway.store.template("demo-wa", "b", "en_US") is None


async def test_templates_of_an_account_that_does_not_name_its_waba_are_not_synced_and_why_is_said(tmp_path):
    def edit(document):
        del document["clients"]["demo"]["accounts"][0]["waba_id"]

    async with gateway_with(tmp_path, edit) as (gateway, _):
        status, failed = await ask(gateway, "POST", "/v1/admin/accounts/demo-wa/templates/sync")
        assert (status, failed["code"]) == (502, "templates_not_synced")
        assert "waba_id is not set" in failed["detail"]
        assert "add waba_id" in failed["detail"]


async def test_templates_of_another_channel_are_none(egress):
    with pytest.raises(NotSynced, match="WhatsApp's"):
        await sync(None, egress, FakeClock(), ACCOUNT)


# --- quotas -------------------------------------------------------------------------------------------------------------


async def until_used(store, used):
    """Return the quota of the demo's LINE account as soon as so much of it is used."""
    async with asyncio.timeout(10):
        while True:
            kept = await store.quota("demo-line")
            if kept is not None and kept.used == used:
                return kept
            await asyncio.sleep(0.01)


async def test_quotas_are_read_at_the_start_and_when_a_send_was_refused_for_them(tmp_path):
    async with answering(line_answers()) as platform:

        def edit(document):
            document["clients"]["demo"]["accounts"][2]["api_base"] = platform.url

        async with running(tmp_path, edit=edit) as gateway:
            later = datetime.now(UTC) + timedelta(hours=1)  # than what the gateway itself reads
            egress, clock, store = Egress(), FakeClock(later), gateway.gateway.store
            before = platform.count(f"GET {USED}")
            quotas = Quotas(store, gateway.gateway.directory, egress, clock)
            try:
                quotas.start()
                await platform.until_asked(f"GET {USED}", before + 1)
                kept = await until_used(store, 12)
                assert kept.limit == 1000
                assert await store.quota("demo-tg") is None
                platform.answers[f"GET {USED}"] = (200, {"totalUsage": 1000})
                clock.move(LEAST_SECONDS)
                quotas.parked("demo-line", ErrorRecord("account_setup", "not for this"))
                quotas.parked("demo-line", ErrorRecord("account_quota", "the monthly limit is reached"))
                await until_used(store, 1000)
                asked = platform.count(f"GET {USED}")
                platform.answers[f"GET {USED}"] = (200, {"totalUsage": 900})
                for seconds in (1, 20, 38, 1):  # however often it is refused, it is read once a minute
                    clock.move(seconds)
                    quotas.parked("demo-line", ErrorRecord("account_quota", "the monthly limit is reached"))
                await until_used(store, 900)
                assert platform.count(f"GET {USED}") == asked + 1
                assert quotas.alive()
            finally:
                await quotas.stop()
                await egress.close()
            assert not quotas.alive()


async def test_a_quota_that_cannot_be_read_leaves_what_is_known_and_is_logged(tmp_path):
    async with answering({f"GET {QUOTA}": (401, {"message": "Authentication failed"})}) as platform:

        def edit(document):
            document["clients"]["demo"]["accounts"][2]["api_base"] = platform.url

        async with running(tmp_path, edit=edit) as gateway:
            await gateway.gateway._quotas.stop()  # the gateway's own reading would be logged, too
            egress, store = Egress(), gateway.gateway.store
            await store.set_quota("demo-line", 7, 500, NOW)
            quotas = Quotas(store, gateway.gateway.directory, egress, FakeClock(NOW))
            try:
                with capture_logs() as logs:
                    assert not await quotas.read("demo-line")
                    assert not await quotas.read("nobody")
            finally:
                await egress.close()
            assert [one["event"] for one in logs if one["event"].startswith("quota")] == ["quota_not_read"]
            assert (await store.quota("demo-line")).used == 7
