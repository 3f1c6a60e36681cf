"""Setting a LINE channel up: the endpoint, its test, the quota, and what each wrong answer is said to be."""

import pytest

from kurir.channels.line import setup as line_setup
from kurir.channels.setup import Site
from kurir.domain.account import Account, LineSettings
from support.talks import codes, held, table

URL = "https://chat.example.com/webhooks/acme-line"
SITE = Site(URL, answers=True)
ACCOUNT = Account("acme-line", "acme", "line", "https://api.line.me", LineSettings("t0ken", "s3cret"))
BOT = {"userId": "U1", "basicId": "@216ru", "displayName": "Shop", "chatMode": "bot", "markAsReadMode": "auto"}
FINE = {
    "/v2/bot/info": (200, BOT),
    "GET https://api.line.me/v2/bot/channel/webhook/endpoint": (200, {"endpoint": URL, "active": True}),
    "PUT https://api.line.me/v2/bot/channel/webhook/endpoint": (200, {}),
    "/webhook/test": (
        200,
        {"success": True, "timestamp": "2026-11-22T00:00:00Z", "statusCode": 200, "reason": "OK", "detail": "200"},
    ),
    "/quota/consumption": (200, {"totalUsage": 512}),
    "/message/quota": (200, {"type": "limited", "value": 1000}),
}
ENDPOINT = "GET https://api.line.me/v2/bot/channel/webhook/endpoint"


def check(**changes):
    return held(line_setup.check(ACCOUNT, changes.pop("site", SITE)), table(FINE | changes.pop("rows", {})))


def test_a_channel_that_works_is_named_with_its_quota():
    report, calls = check()
    assert report.findings == ()
    assert report.identity.handle == "@216ru"
    assert report.facts == (("messages this month", "512 of 1,000"),)
    assert report.reached
    assert all(("Authorization", "Bearer t0ken") in call.headers for call in calls)
    assert {call.method: call.body() for call in calls}["GET"] == b""


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ((401, {"message": "Authentication failed. Confirm that the access token is valid."}), "token_refused"),
        ((403, {"message": "Access to this API is not available for your account"}), "not_permitted"),
        ((500, {"message": "Internal server error"}), "platform_trouble"),
        ((404, b"<html>"), "not_understood"),
        (None, "not_reached"),
    ],
)
def test_a_token_that_does_not_work_is_all_that_is_said(said, code):
    report, calls = check(rows={"/v2/bot/info": said})
    assert codes(report) == [code]
    assert len(calls) == 1
    assert "t0ken" not in str(report)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ({ENDPOINT: (404, {"message": "Not found"})}, "webhook_missing"),
        ({ENDPOINT: (200, {"endpoint": "https://other.example/x", "active": True})}, "webhook_elsewhere"),
        ({ENDPOINT: (200, {"endpoint": URL, "active": False})}, "endpoint_inactive"),
        (
            {
                "/webhook/test": (
                    200,
                    {"success": False, "statusCode": 401, "reason": "ERROR_STATUS_CODE", "detail": "401"},
                )
            },
            "signature_refused",
        ),
        (
            {
                "/webhook/test": (
                    200,
                    {"success": False, "statusCode": 0, "reason": "COULD_NOT_CONNECT", "detail": "TLS"},
                )
            },
            "endpoint_failing",
        ),
        ({"/quota/consumption": (200, {"totalUsage": 1000})}, "quota_used"),
    ],
)
def test_what_is_wrong_is_said_with_a_fix(rows, code):
    report, _ = check(rows=rows)
    assert codes(report) == [code]
    assert report.wrong
    assert report.findings[0].fix


def test_a_quota_that_is_nearly_used_and_chat_are_notes():
    rows = {"/quota/consumption": (200, {"totalUsage": 900}), "/v2/bot/info": (200, BOT | {"chatMode": "chat"})}
    report, _ = check(rows=rows)
    assert codes(report) == ["chat_mode", "quota_nearly_used"]
    assert not report.wrong


def test_the_webhook_is_not_tested_while_the_gateway_does_not_answer():
    report, calls = check(site=Site(URL, answers=False))
    assert report.findings == ()
    assert not report.reached
    assert not any("/webhook/test" in call.url for call in calls)


def test_connect_sets_the_endpoint_then_lets_line_test_it():
    endpoints = [(404, {"message": "Not found"}), (200, {"endpoint": URL, "active": True})]

    def answer(call):
        if call.method == "GET" and call.url.endswith("/webhook/endpoint"):
            return endpoints.pop(0)
        return table(FINE)(call)

    report, calls = held(line_setup.connect(ACCOUNT, SITE), answer)
    assert report.findings == ()
    assert report.done == (f"the webhook endpoint is set to {URL}",)
    (put,) = [call for call in calls if call.method == "PUT"]
    assert put.json == {"endpoint": URL}
    (test,) = [call for call in calls if call.url == "https://api.line.me/v2/bot/channel/webhook/test"]
    assert (test.method, test.json) == ("POST", {"endpoint": URL})


def test_connect_leaves_an_endpoint_of_somebody_else_unless_told():
    rows = FINE | {ENDPOINT: (200, {"endpoint": "https://other.example/x", "active": True})}
    report, calls = held(line_setup.connect(ACCOUNT, SITE), table(rows))
    assert codes(report) == ["webhook_elsewhere"]
    assert not any(call.method == "PUT" for call in calls)
    _, calls = held(line_setup.connect(ACCOUNT, SITE, replace=True), table(rows))
    assert any(call.method == "PUT" for call in calls)


def test_an_endpoint_that_line_refuses_is_told_in_its_words():
    rows = {"PUT https": (400, {"message": "Invalid webhook endpoint URL"}), ENDPOINT: (404, {"message": "Not found"})}
    report, _ = held(
        line_setup.connect(ACCOUNT, SITE), table(rows | {key: value for key, value in FINE.items() if key not in rows})
    )
    assert codes(report) == ["webhook_refused"]
    assert "Invalid webhook endpoint URL" in report.findings[0].detail


@pytest.mark.parametrize(
    ("quota", "used", "limit"),
    [({"type": "none"}, 7, None), ({"type": "limited", "value": 500}, 7, 500)],
)
def test_the_quota_is_read(quota, used, limit):
    found, _ = held(
        line_setup.quota(ACCOUNT), table({"consumption": (200, {"totalUsage": used}), "/quota": (200, quota)})
    )
    assert found == line_setup.Quota(used, limit)


@pytest.mark.parametrize("usage", [{}, {"totalUsage": "many"}, {"totalUsage": -1}, {"totalUsage": True}])
def test_a_quota_that_is_none_is_no_quota(usage):
    found, _ = held(line_setup.quota(ACCOUNT), table({"consumption": (200, usage), "/quota": (200, {"type": "none"})}))
    assert found.code == "not_understood"
