"""Setting a WhatsApp number and a Facebook page up: subscriptions, the app's webhook, what is pasted, and templates."""

import json
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from kurir.channels.messenger import setup as messenger_setup
from kurir.channels.setup import Site
from kurir.channels.whatsapp import setup as whatsapp_setup
from kurir.domain.account import Account, MessengerSettings, WhatsAppSettings
from support.talks import codes, held, table

BASE = "https://graph.facebook.com/v26.0"
WA_URL = "https://chat.example.com/webhooks/acme-wa"
FB_URL = "https://chat.example.com/webhooks/acme-fb"
WA = Account(
    "acme-wa",
    "acme",
    "whatsapp",
    "https://graph.facebook.com",
    WhatsAppSettings("106", "t0ken", "s3cret", "v3rify", waba_id="102"),
)
WA_APP = replace(WA, settings=replace(WA.settings, app_id="15"))
FB = Account(
    "acme-fb", "acme", "messenger", "https://graph.facebook.com", MessengerSettings("108", "t0ken", "s3cret", "v3rify")
)
FB_APP = replace(FB, settings=replace(FB.settings, app_id="15"))
NUMBER = {
    "display_phone_number": "+1 555-078-3881",
    "verified_name": "Shop",
    "quality_rating": "GREEN",
    "status": "CONNECTED",
    "throughput": {"level": "STANDARD"},
    "whatsapp_business_manager_messaging_limit": "TIER_2K",
    "id": "106",
}
WABA_APPS = {"data": [{"whatsapp_business_api_data": {"id": "15", "name": "Shop app", "link": "https://x.example"}}]}
PAGE_APPS = {"data": [{"id": "15", "name": "Shop app", "subscribed_fields": list(messenger_setup.WEBHOOK_FIELDS)}]}
WA_FINE = {
    "/102/subscribed_apps": (200, WABA_APPS),
    "/15/subscriptions": (
        200,
        {
            "data": [
                {
                    "object": "whatsapp_business_account",
                    "callback_url": WA_URL,
                    "active": True,
                    "fields": [{"name": "messages", "version": "v26.0"}],
                }
            ]
        },
    ),
    "/106?": (200, NUMBER),
}
FB_FINE = {
    "/108/subscribed_apps": (200, PAGE_APPS),
    "/15/subscriptions": (
        200,
        {
            "data": [
                {
                    "object": "page",
                    "callback_url": FB_URL,
                    "active": True,
                    "fields": [{"name": name} for name in messenger_setup.WEBHOOK_FIELDS],
                }
            ]
        },
    ),
    "/108?": (200, {"id": "108", "name": "Shop"}),
}


def error(status, code, message, **more):
    return status, {"error": {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "x"} | more}


def wa(account=WA_APP, site=None, **rows):
    return held(
        whatsapp_setup.check(account, site or Site(WA_URL, answers=True)),
        table(rows | {key: said for key, said in WA_FINE.items() if key not in rows}),
    )


# --- WhatsApp -----------------------------------------------------------------------------------------------------------


def test_a_number_that_works_is_named_with_its_limits_and_nothing_is_to_be_pasted():
    report, calls = wa()
    assert report.findings == ()
    assert report.pastes == ()
    assert (report.identity.handle, report.identity.name) == ("+1 555-078-3881", "Shop")
    assert report.facts == (("quality rating", "GREEN"), ("messaging limit", "TIER_2K"), ("throughput", "STANDARD"))
    tokens = {dict(call.headers)["Authorization"] for call in calls}
    assert tokens == {"Bearer t0ken", "Bearer 15|s3cret"}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (error(401, 190, "Error validating access token: Session has expired"), "token_refused"),
        (error(403, 10, "Application does not have permission for this action"), "not_permitted"),
        (
            error(400, 100, "Unsupported get request. Object with ID '106' does not exist", error_subcode=33),
            "unknown_object",
        ),
        (error(400, 100, "API calls from the server require an appsecret_proof argument"), "proof_wanted"),
        (error(400, 4, "Application request limit reached"), "platform_trouble"),
        (error(500, 2, "Service temporarily unavailable", is_transient=True), "platform_trouble"),
        ((503, b"<html>"), "platform_trouble"),
        (None, "not_reached"),
    ],
)
@pytest.mark.parametrize("channel", ["whatsapp", "messenger"])
def test_a_token_that_does_not_work_is_all_that_is_said(channel, said, code):
    setup, account, node = {
        "whatsapp": (whatsapp_setup, WA_APP, "/106?"),
        "messenger": (messenger_setup, FB_APP, "/108?"),
    }[channel]
    for talk in (setup.check, setup.connect):
        report, calls = held(talk(account, Site(WA_URL, answers=True)), table({node: said}))
        assert codes(report) == [code]
        assert report.findings[0].fix
        assert len(calls) == 1
        assert "t0ken" not in str(report)


def test_a_version_that_does_not_know_a_field_is_asked_for_fewer():
    def answer(call):
        if "/106?" in call.url and "throughput" in call.url:
            return error(400, 100, "(#100) Tried accessing nonexisting field (throughput)")
        return table(WA_FINE)(call)

    report, _ = held(whatsapp_setup.check(WA_APP, Site(WA_URL)), answer)
    assert report.findings == ()


@pytest.mark.parametrize(
    ("change", "code", "wrong"),
    [
        ({"quality_rating": "RED"}, "quality_low", True),
        ({"quality_rating": "YELLOW"}, "quality_medium", False),
        ({"status": "BANNED"}, "number_not_connected", True),
    ],
)
def test_how_the_number_stands_is_said(change, code, wrong):
    report, _ = wa(**{"/106?": (200, NUMBER | change)})
    assert codes(report) == [code]
    assert report.wrong is wrong


@pytest.mark.parametrize(
    ("key", "said", "code"),
    [
        ("/102/subscribed_apps", (200, {"data": []}), "app_not_subscribed"),
        (
            "/102/subscribed_apps",
            (200, {"data": [{"whatsapp_business_api_data": {"id": "99", "name": "Other"}}]}),
            "app_not_subscribed",
        ),
        ("/102/subscribed_apps", error(400, 100, "Object does not exist", error_subcode=33), "unknown_object"),
        ("/15/subscriptions", (200, {"data": []}), "webhook_missing"),
        (
            "/15/subscriptions",
            (
                200,
                {
                    "data": [
                        {
                            "object": "whatsapp_business_account",
                            "callback_url": "https://other.example/x",
                            "active": True,
                        }
                    ]
                },
            ),
            "webhook_elsewhere",
        ),
        (
            "/15/subscriptions",
            (200, {"data": [{"object": "whatsapp_business_account", "callback_url": WA_URL, "active": False}]}),
            "endpoint_inactive",
        ),
        (
            "/15/subscriptions",
            (
                200,
                {
                    "data": [
                        {"object": "whatsapp_business_account", "callback_url": WA_URL, "active": True, "fields": []}
                    ]
                },
            ),
            "fields_missing",
        ),
    ],
)
def test_what_is_wrong_with_the_subscription_is_said(key, said, code):
    report, _ = wa(**{key: said})
    assert codes(report) == [code]
    assert report.wrong
    assert report.findings[0].fix


def test_the_webhook_of_another_account_of_this_gateway_is_as_good():
    subscription = {
        "object": "whatsapp_business_account",
        "callback_url": "https://chat.example.com/webhooks/acme-wa-2",
        "active": True,
        "fields": ["messages"],
    }
    report, _ = wa(**{"/15/subscriptions": (200, {"data": [subscription]})})
    assert report.findings == ()


def test_without_an_app_id_what_has_to_be_pasted_is_given_exactly():
    report, calls = wa(WA)
    assert report.findings == ()
    assert [(one.field, one.value) for one in report.pastes] == [
        ("Callback URL", WA_URL),
        ("Verify token", "v3rify"),
        ("Webhook fields", "messages"),
    ]
    assert not any("subscriptions" in call.url for call in calls)


def test_without_a_waba_id_that_is_a_note():
    report, _ = wa(replace(WA, settings=replace(WA.settings, waba_id="")))
    assert codes(report) == ["waba_unknown"]
    assert not report.wrong


def test_connect_subscribes_the_business_account_and_sets_the_apps_webhook():
    state = {"set": False}

    def answer(call):
        if call.method == "POST" and "/15/subscriptions" in call.url:
            state["set"] = True
            return 200, {"success": True}
        if call.method == "GET" and "/15/subscriptions" in call.url and not state["set"]:
            return 200, {"data": []}
        if call.method == "POST":
            return 200, {"success": True}
        return table(WA_FINE)(call)

    report, calls = held(whatsapp_setup.connect(WA_APP, Site(WA_URL, answers=True)), answer)
    assert report.findings == ()
    assert len(report.done) == 2
    posted = [urlsplit(call.url) for call in calls if call.method == "POST"]
    assert [one.path for one in posted] == ["/v26.0/102/subscribed_apps", "/v26.0/15/subscriptions"]
    assert parse_qs(posted[1].query) == {
        "object": ["whatsapp_business_account"],
        "callback_url": [WA_URL],
        "verify_token": ["v3rify"],
        "fields": ["messages"],
    }


@pytest.mark.parametrize("answers", [False, None])
def test_the_apps_webhook_is_not_set_while_no_gateway_could_answer_the_handshake(answers):
    rows = {"/15/subscriptions": (200, {"data": []}), "POST ": (200, {"success": True})} | {
        key: value for key, value in WA_FINE.items() if "subscriptions" not in key
    }
    report, calls = held(whatsapp_setup.connect(WA_APP, Site(WA_URL, answers=answers)), table(rows))
    assert codes(report) == ["webhook_missing"]
    assert report.pastes
    assert not any(call.method == "POST" and "subscriptions" in call.url for call in calls)


def test_a_webhook_of_somebody_else_is_left_unless_told():
    theirs = {
        "object": "whatsapp_business_account",
        "callback_url": "https://other.example/x",
        "active": True,
        "fields": ["messages", "account_update"],
    }
    rows = {
        "GET https://graph.facebook.com/v26.0/15/subscriptions": (200, {"data": [theirs]}),
        "POST ": (200, {"success": True}),
    } | WA_FINE
    report, calls = held(whatsapp_setup.connect(WA_APP, Site(WA_URL, answers=True)), table(rows))
    assert codes(report) == ["webhook_elsewhere"]
    assert not any(call.method == "POST" and "subscriptions" in call.url for call in calls)
    _, calls = held(whatsapp_setup.connect(WA_APP, Site(WA_URL, answers=True), replace=True), table(rows))
    (changed,) = [call for call in calls if call.method == "POST" and "subscriptions" in call.url]
    assert parse_qs(urlsplit(changed.url).query)["fields"] == ["messages,account_update"]


# --- Messenger ----------------------------------------------------------------------------------------------------------


def fb(account=FB_APP, **rows):
    return held(
        messenger_setup.check(account, Site(FB_URL, answers=True)),
        table(rows | {key: said for key, said in FB_FINE.items() if key not in rows}),
    )


def test_a_page_that_works_is_named():
    report, _ = fb()
    assert report.findings == ()
    assert report.pastes == ()
    assert report.identity.name == "Shop"


@pytest.mark.parametrize(
    ("apps", "code"),
    [
        ([], "app_not_subscribed"),
        ([{"id": "99", "name": "Other", "subscribed_fields": ["messages"]}], "app_not_subscribed"),
        ([{"id": "15", "subscribed_fields": ["messages"]}], "fields_missing"),
        ([{"id": "15"}], "fields_missing"),
    ],
)
def test_a_page_that_is_not_subscribed_is_said(apps, code):
    report, _ = fb(**{"/108/subscribed_apps": (200, {"data": apps})})
    assert codes(report) == [code]
    assert report.wrong


def test_connect_subscribes_the_page_to_all_that_is_read_and_says_what_to_paste():
    rows = {"POST ": (200, {"success": True})} | FB_FINE
    report, calls = held(messenger_setup.connect(FB, Site(FB_URL, answers=True)), table(rows))
    assert report.findings == ()
    (post,) = [urlsplit(call.url) for call in calls if call.method == "POST"]
    assert post.path == "/v26.0/108/subscribed_apps"
    assert parse_qs(post.query)["subscribed_fields"] == [",".join(messenger_setup.WEBHOOK_FIELDS)]
    assert [one.value for one in report.pastes[:2]] == [FB_URL, "v3rify"]


@pytest.mark.parametrize("channel", ["whatsapp", "messenger"])
def test_where_another_account_of_ours_has_the_apps_webhook_ours_is_set_with_the_token_that_is_its_own(channel):
    setup, account, url, fine, kind = {
        "whatsapp": (whatsapp_setup, WA_APP, WA_URL, WA_FINE, "whatsapp_business_account"),
        "messenger": (messenger_setup, FB_APP, FB_URL, FB_FINE, "page"),
    }[channel]
    other = "https://chat.example.com/webhooks/acme-other"
    there = {"object": kind, "callback_url": other, "active": True, "fields": [{"name": "feed"}]}
    rows = {"POST ": (200, {"success": True}), "/15/subscriptions": (200, {"data": [there]})} | {
        key: said for key, said in fine.items() if key != "/15/subscriptions"
    }
    report, calls = held(setup.connect(account, Site(url, answers=True)), table(rows))
    (asked,) = [parse_qs(urlsplit(call.url).query) for call in calls if call.method == "POST" and "/15/" in call.url]
    assert (asked["callback_url"], asked["verify_token"]) == ([url], ["v3rify"])
    assert f"the app's webhook is set to {url}" in report.done


@pytest.mark.parametrize("replace", [False, True])
def test_the_webhook_of_another_account_of_ours_is_taken_where_it_is_asked_for(replace):
    other = "https://chat.example.com/webhooks/acme-other"
    there = {"object": "page", "callback_url": other, "active": True, "fields": list(messenger_setup.WEBHOOK_FIELDS)}
    rows = {"POST ": (200, {"success": True}), "/15/subscriptions": (200, {"data": [there]})} | {
        key: said for key, said in FB_FINE.items() if key != "/15/subscriptions"
    }
    report, calls = held(messenger_setup.connect(FB_APP, Site(FB_URL, answers=True), replace=replace), table(rows))
    asked = [parse_qs(urlsplit(call.url).query) for call in calls if call.method == "POST" and "/15/" in call.url]
    assert [one["callback_url"] for one in asked] == ([[FB_URL]] if replace else [])
    assert (f"the app's webhook is set to {FB_URL}" in report.done) == replace
    assert not report.wrong


def test_a_public_url_that_is_not_known_is_wrong_for_both():
    report, _ = held(messenger_setup.check(FB, Site("")), table(FB_FINE))
    assert codes(report) == ["public_url_missing"]
    report, _ = held(whatsapp_setup.check(WA, Site("")), table(WA_FINE))
    assert codes(report) == ["public_url_missing"]


# --- templates ----------------------------------------------------------------------------------------------------------


def template(name, language="en_US", **more):
    components = [{"type": "BODY", "text": "Hello {{1}}"}]
    return {
        "name": name,
        "language": language,
        "status": "APPROVED",
        "category": "UTILITY",
        "components": components,
        "id": "1",
    } | more


def test_templates_are_read_page_by_page_by_the_cursor_and_never_by_an_address():
    pages = {
        None: {
            "data": [template("a"), template("b")],
            "paging": {"cursors": {"after": "c1"}, "next": "https://evil.example/steal"},
        },
        "c1": {"data": [template("b"), template("b", "id")], "paging": {"cursors": {"before": "c1", "after": "c2"}}},
    }

    def answer(call):
        assert call.url.startswith(f"{BASE}/102/message_templates?")
        return 200, pages[parse_qs(urlsplit(call.url).query).get("after", [None])[0]]

    found, calls = held(whatsapp_setup.templates(WA), answer)
    assert [(one.name, one.language) for one in found] == [("a", "en_US"), ("b", "en_US"), ("b", "id")]
    assert json.loads(found[0].components) == [{"type": "BODY", "text": "Hello {{1}}"}]
    assert len(calls) == 2


def test_what_is_no_template_is_passed_over():
    page = {"data": [template("a"), {"name": "x"}, {"language": "id"}, template("y", components="?"), 7, None]}
    found, _ = held(whatsapp_setup.templates(WA), lambda _: (200, page))
    assert [one.name for one in found] == ["a"]


def test_pages_without_end_have_an_end():
    page = {"data": [], "paging": {"cursors": {"after": "again"}, "next": "https://x.example"}}
    found, calls = held(whatsapp_setup.templates(WA), lambda _: (200, page))
    assert found.code == "too_many_templates"
    assert len(calls) == whatsapp_setup.PAGES


def test_templates_that_cannot_be_read_say_why():
    found, _ = held(whatsapp_setup.templates(WA), lambda _: error(403, 200, "Requires whatsapp_business_management"))
    assert found.code == "not_permitted"
    found, calls = held(
        whatsapp_setup.templates(replace(WA, settings=replace(WA.settings, waba_id=""))), lambda _: None
    )
    assert (found.code, calls) == ("waba_unknown", [])
