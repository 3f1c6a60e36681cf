"""Setting a Telegram bot up: what is asked, what is set, and what each wrong answer is said to be."""

from dataclasses import replace

import pytest

from kurir.channels.setup import Level, Site
from kurir.channels.telegram import setup as telegram_setup
from kurir.domain.account import Account, TelegramSettings
from support.talks import codes, held, table

TOKEN = "7001000:" + "x" * 35
URL = "https://chat.example.com/webhooks/acme-tg"
SITE = Site(URL, answers=True)
ACCOUNT = Account("acme-tg", "acme", "telegram", "https://api.telegram.org", TelegramSettings(TOKEN, "s3cret"))
POLLING = replace(ACCOUNT, settings=TelegramSettings(TOKEN, receive="poll"))
BOT = {
    "id": 7001000,
    "is_bot": True,
    "first_name": "Shop",
    "username": "shop_bot",
    "can_join_groups": True,
    "can_read_all_group_messages": True,
}
HOOKED = {
    "url": URL,
    "has_custom_certificate": False,
    "pending_update_count": 0,
    "allowed_updates": ["message", "edited_message", "callback_query", "my_chat_member", "message_reaction"],
}


def ok(result):
    return 200, {"ok": True, "result": result}


def no(status, description):
    return status, {"ok": False, "error_code": status, "description": description}


def answers(info=HOOKED, bot=BOT, **more):
    rows = {f"/{name}": said for name, said in more.items()}
    return table({**rows, "/getMe": ok(bot), "/getWebhookInfo": ok(info)})


def test_a_bot_that_works_is_named_and_nothing_is_wrong():
    report, calls = held(telegram_setup.check(ACCOUNT, SITE), answers())
    assert report.findings == ()
    assert report.identity.handle == "@shop_bot"
    assert report.reached
    assert [call.url.rpartition("/")[2] for call in calls] == ["getMe", "getWebhookInfo"]
    assert all(TOKEN in call.url for call in calls)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (no(401, "Unauthorized"), "token_refused"),
        (no(404, "Not Found"), "token_refused"),
        (no(429, "Too Many Requests: retry after 5"), "platform_trouble"),
        ((502, b"<html>bad gateway</html>"), "platform_trouble"),
        ((200, b"[]"), "not_understood"),
        (None, "not_reached"),
    ],
)
def test_a_token_that_does_not_work_is_all_that_is_said(said, code):
    report, calls = held(telegram_setup.check(ACCOUNT, SITE), table({"/getMe": said}))
    assert codes(report) == [code]
    assert report.wrong
    assert report.identity is None
    assert len(calls) == 1
    assert TOKEN not in str(report)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"url": ""}, "webhook_missing"),
        ({"url": "https://other.example/hook"}, "webhook_elsewhere"),
        ({"allowed_updates": ["message", "callback_query"]}, "updates_missing"),
        ({"allowed_updates": []}, "updates_missing"),
        (
            {"last_error_message": "Connection refused", "last_error_date": 1763800000, "pending_update_count": 3},
            "webhook_failing",
        ),
    ],
)
def test_what_is_wrong_with_the_webhook_is_said_with_a_fix(change, code):
    report, _ = held(telegram_setup.check(ACCOUNT, SITE), answers(HOOKED | change))
    assert codes(report) == [code]
    assert report.wrong
    assert report.findings[0].fix


def test_the_platforms_own_words_and_time_are_in_the_finding():
    info = HOOKED | {"last_error_message": "SSL error", "last_error_date": 1763800000, "pending_update_count": 3}
    report, _ = held(telegram_setup.check(ACCOUNT, SITE), answers(info))
    assert "2025-11-22T08:26:40Z: «SSL error»; 3 updates wait" in report.findings[0].detail
    assert report.facts == (("updates that wait", "3"),)
    assert not report.reached


def test_an_error_that_has_passed_and_privacy_mode_are_notes():
    info = HOOKED | {"last_error_message": "timeout", "last_error_date": 1763800000}
    bot = BOT | {"can_read_all_group_messages": False}
    report, _ = held(telegram_setup.check(ACCOUNT, SITE), answers(info, bot))
    assert codes(report) == ["privacy_mode", "webhook_failed_before"]
    assert {one.level for one in report.findings} == {Level.NOTE}
    assert not report.wrong


def test_connect_sets_the_webhook_with_the_secret_and_every_update_that_is_read():
    infos = [HOOKED | {"url": ""}, HOOKED]

    def answer(call):
        if call.url.endswith("getWebhookInfo"):
            return ok(infos.pop(0))
        return ok(True) if call.url.endswith("setWebhook") else ok(BOT)

    report, calls = held(telegram_setup.connect(ACCOUNT, SITE), answer)
    assert report.findings == ()
    assert report.done == (f"the webhook is set to {URL}",)
    (set_it,) = [call for call in calls if call.url.endswith("setWebhook")]
    assert set_it.json == {
        "url": URL,
        "secret_token": "s3cret",
        "allowed_updates": ["message", "edited_message", "callback_query", "my_chat_member", "message_reaction"],
    }


def test_connect_leaves_a_webhook_of_somebody_else_unless_told():
    elsewhere = HOOKED | {"url": "https://other.example/hook"}
    report, calls = held(telegram_setup.connect(ACCOUNT, SITE), answers(elsewhere))
    assert codes(report) == ["webhook_elsewhere"]
    assert not any(call.url.endswith("setWebhook") for call in calls)
    _, calls = held(telegram_setup.connect(ACCOUNT, SITE, replace=True), answers(elsewhere, setWebhook=ok(True)))
    assert any(call.url.endswith("setWebhook") for call in calls)


@pytest.mark.parametrize(
    ("site", "account", "code"),
    [
        (Site(""), ACCOUNT, "public_url_missing"),
        (Site("http://chat.example.com/webhooks/acme-tg"), ACCOUNT, "public_url_http"),
        (Site("https://chat.example.com:9443/webhooks/acme-tg"), ACCOUNT, "public_url_port"),
        (SITE, replace(ACCOUNT, settings=TelegramSettings(TOKEN)), "secret_missing"),
    ],
)
def test_what_telegram_would_refuse_is_said_before_it_is_asked(site, account, code):
    report, calls = held(telegram_setup.connect(account, site), answers(HOOKED | {"url": ""}))
    assert codes(report) == [code]
    assert not any(call.url.endswith("setWebhook") for call in calls)


def test_a_server_of_ones_own_may_call_http_and_any_port():
    own = replace(ACCOUNT, api_base="http://127.0.0.1:8081")
    site = Site("http://127.0.0.1:8080/webhooks/acme-tg")
    report, _ = held(
        telegram_setup.connect(own, site), answers(HOOKED | {"url": site.webhook_url}, setWebhook=ok(True))
    )
    assert report.findings == ()


def test_a_webhook_that_telegram_refuses_is_told_in_its_words():
    refused = no(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
    report, _ = held(telegram_setup.connect(ACCOUNT, SITE), answers(HOOKED | {"url": ""}, setWebhook=refused))
    assert codes(report) == ["webhook_refused"]
    assert "An HTTPS URL must be provided" in report.findings[0].detail


def test_a_bot_that_fetches_needs_no_webhook_and_is_in_its_own_way_with_one():
    report, _ = held(telegram_setup.check(POLLING, Site("")), answers(HOOKED | {"url": ""}))
    assert report.findings == ()
    report, _ = held(telegram_setup.check(POLLING, Site("")), answers())
    assert codes(report) == ["webhook_elsewhere"]
    infos = [HOOKED, HOOKED | {"url": ""}]

    def answer(call):
        if call.url.endswith("getWebhookInfo"):
            return ok(infos.pop(0))
        return ok(True) if call.url.endswith("deleteWebhook") else ok(BOT)

    report, calls = held(telegram_setup.connect(POLLING, Site(""), replace=True), answer)
    assert report.findings == ()
    assert any(call.url.endswith("deleteWebhook") for call in calls)
