"""What the pages of accounts show and take: filters, a day as a strip, what a rate means, forms, the wizard's rules."""

from datetime import UTC, datetime, timedelta

import pytest

from kurir import channels
from kurir.administration.accounts import NewAccount
from kurir.administration.refusal import Refused
from kurir.channels.setup import Identity, Report, note, wrong
from kurir.configuration.accounts import channel_keys
from kurir.console import accounts as view
from kurir.console import examples, offers, wizard
from kurir.console.accounts import Beat, Checked, Effect, Reports
from kurir.console.overview import AccountCard
from kurir.delivery.state import AccountState, Standing
from kurir.domain.account import Rate
from kurir.domain.problem import Problem
from kurir.sandbox.config import demo_config
from kurir.store.base import AccountRecord
from kurir.store.looking import Tally

NOW = datetime(2026, 11, 23, 12, 10, tzinfo=UTC)
CHANNELS = channels.installed()


def card(name, channel="telegram", client="acme", standing=Standing.WORKING):
    record = AccountRecord(name, client, channel, "", b"")
    return AccountCard(record, AccountState(name, standing), None, None, None, None, "")


CARDS = [
    card("a"),
    card("b", "line"),
    card("c", client="other", standing=Standing.PARKED),
    card("d", "line", standing=Standing.PAUSED),
]


# --- the list -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({}, "abcd"),
        ({"channel": "line"}, "bd"),
        ({"channel": "line", "standing": "paused"}, "d"),
        ({"client": "other"}, "c"),
        ({"client": "nobody"}, ""),
    ],
)
def test_the_list_is_narrowed(wanted, names):
    assert "".join(one.record.id for one in view.chosen(CARDS, wanted)) == names


def test_what_makes_no_difference_is_not_offered():
    assert view.choices(CARDS) == {
        "channel": ["line", "telegram"],
        "standing": ["working", "parked", "paused"],
        "client": ["acme", "other"],
    }
    assert view.choices(CARDS[:1]) == {}


# --- a day ----------------------------------------------------------------------------------------------------------------


def test_a_day_is_a_strip_of_half_hours_with_zeros_filled_in():
    at = datetime(2026, 11, 23, 11, 30, tzinfo=UTC)
    tallies = [
        Tally(at, "acme", "a", "sent", 3),
        Tally(at, "acme", "a", "failed", 1),
        Tally(at, "acme", "b", "failed", 9),
        Tally(at, "acme", "a", "accepted", 5),
        Tally(at - timedelta(days=2), "acme", "a", "sent", 7),
    ]
    beats = view.strip(tallies, "a", NOW - view.STRIP, NOW)
    assert len(beats) == 49
    assert [one for one in beats if one.kind != "none"] == [Beat(at, 3, 1)]
    assert (beats[0].at, beats[-1].at) == (
        datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
        datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("sent", "failed", "kind", "share"),
    [(0, 0, "none", 0.0), (4, 0, "good", 0.0), (3, 1, "mixed", 0.25), (0, 2, "bad", 1.0), (999, 1, "mixed", 0.12)],
)
def test_a_failure_is_always_seen(sent, failed, kind, share):
    beat = Beat(NOW, sent, failed)
    assert (beat.kind, beat.bad_share) == (kind, share)


# --- rates ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "waiting", "effect"),
    [
        (None, 100, None),
        (Rate(30, 1.0), 0, Effect(1800, 1, 0)),
        (Rate(20, 60.0, 5), 25, Effect(20, 5, 60)),
        (Rate(1, 6.0, 45), 45, Effect(10, 45, 0)),
    ],
)
def test_what_a_rate_means(rate, waiting, effect):
    assert view.effect(rate, waiting) == effect


def test_a_paused_account_drains_and_another_does_not():
    assert view.draining(AccountState("a", Standing.PAUSED, in_flight=2)) == 2
    assert view.draining(AccountState("a", Standing.PAUSED)) == 0
    assert view.draining(AccountState("a", Standing.WORKING, in_flight=2)) is None


# --- forms ----------------------------------------------------------------------------------------------------------------


def keys_of(name):
    return channel_keys(name, CHANNELS[name].SETTINGS)


def test_an_empty_secret_stays_and_another_empty_field_is_the_default():
    fields = {
        "s.channel_access_token": "",
        "s.channel_secret": "new",
        "s.default_preview_image_url": "",
        "has.use_reply_tokens": "1",
        "s.default_audio_duration": "30s",
    }
    assert view.given_settings(keys_of("line"), fields) == {
        "channel_secret": "new",
        "default_preview_image_url": None,
        "use_reply_tokens": False,
        "default_audio_duration": "30s",
    }
    assert view.given_settings(keys_of("line"), fields | {"s.use_reply_tokens": "1"})["use_reply_tokens"] is True
    assert view.given_settings(keys_of("line"), {}) == {}


def test_options_and_limits_are_taken_and_what_is_not_sent_stays():
    fields = {"concurrency": "7", "rate.account": "5/s", "rate.group": "", "rate.nonsense": "1/s", "api_base": ""}
    assert view.given_options(fields, ["account", "group", "recipient"]) == {
        "concurrency": 7,
        "api_base": None,
        "rate": {"account": "5/s", "group": None},
    }
    assert view.given_options({"concurrency": "many", "has.default": "1"}, []) == {
        "concurrency": "many",
        "default": False,
    }
    assert view.given_options({}, ["account"]) == {}


def test_problems_stand_by_their_fields():
    problems = [
        Problem("/settings/token", "missing", "token is missing"),
        Problem("/rate/account", "invalid_format", "rate"),
        Problem("/allow_from/1", "invalid_format", "second"),
        Problem("/allow_from/2", "invalid_format", "third"),
        Problem("", "invalid_format", "all of it"),
    ]
    assert view.by_field(problems) == (
        {"token": "token is missing", "rate.account": "rate", "allow_from": "second"},
        ["all of it"],
    )


def test_a_key_of_few_words_is_a_choice():
    words = {key.name: view.words_of(key) for key in keys_of("telegram")}
    assert words == {"token": [], "secret_token": [], "receive": ["webhook", "poll"]}


def test_the_last_check_is_kept_and_only_so_many():
    reports = Reports()
    for number in range(501):
        reports.keep(f"a{number}", Checked(Report(), NOW))
    reports.keep("a1", Checked(Report(done=("x",)), NOW))
    assert reports.last("a0") is None
    last = reports.last("a1")
    assert last is not None
    assert last.report.done == ("x",)


def test_a_count_beyond_what_was_asked_for_says_so():
    assert (view.counted([1] * 3, 3), view.counted([1] * 4, 3)) == ("3", "3+")


# --- the wizard -----------------------------------------------------------------------------------------------------------


def new(channel, account_id="new", **changes):
    values = wizard.sandbox_values(demo_config(), "http://127.0.0.1:9", channel)
    settings = {name: value for name, value in values.items() if name != "api_base"} | changes
    if channel in ("whatsapp", "messenger"):
        settings.setdefault("verify_token", "word")
    if channel == "telegram":
        settings.setdefault("secret_token", "word")
    return NewAccount("acme", channel, account_id, settings=settings, options={"api_base": values["api_base"]})


@pytest.mark.parametrize("channel", [one.channel for one in offers.OFFERS])
def test_what_is_asked_for_is_what_the_channel_must_have(channel):
    offer = offers.offer_of(channel)
    assert offer is not None
    keys = {key.name: key for key in keys_of(channel)}
    asked = {one.name: one for one in offer.asked}
    assert set(asked) <= set(keys)
    assert {name for name, key in keys.items() if key.required} <= set(asked)
    for name, one in asked.items():
        assert one.secret == (keys[name].kind == "secret")
        assert not (one.optional and keys[name].required and not one.made)
    assert wizard.hint(channel)
    assert len(wizard.late(channel)) > 2
    assert wizard.unsaved(new(channel), CHANNELS).channel == channel


def test_there_is_no_offer_for_a_channel_that_is_not_ours():
    assert offers.offer_of("pigeon") is None
    assert wizard.hint("pigeon") == ""


@pytest.mark.parametrize(
    ("client", "taken", "found"),
    [
        ("acme", [], "acme-tg"),
        ("acme", ["acme-tg", "acme-tg-2"], "acme-tg-3"),
        ("Toko Bunga", [], "toko-bunga-tg"),
        ("6281234567", [], "account-tg"),
        ("", [], "account-tg"),
    ],
)
def test_a_proposed_id_is_free_and_holds_no_phone_number(client, taken, found):
    assert wizard.proposed_id(client, "telegram", taken) == found
    assert wizard.unsaved(new("telegram", found), CHANNELS).id == found


def test_what_is_wrong_is_said_all_at_once():
    with pytest.raises(Refused) as refused:
        wizard.unsaved(new("whatsapp", "Not An Id", phone_number_id="+62", access_token=""), CHANNELS)
    assert {one.pointer for one in refused.value.problems} == {
        "/id",
        "/settings/phone_number_id",
        "/settings/access_token",
    }


@pytest.mark.parametrize("channel", [one.channel for one in offers.OFFERS])
def test_the_same_bot_channel_number_or_page_is_found(channel):
    mine, twin = wizard.unsaved(new(channel), CHANNELS), wizard.unsaved(new(channel, "twin"), CHANNELS)
    others = [wizard.unsaved(new(one.channel, f"other-{one.channel}"), CHANNELS) for one in offers.OFFERS]
    assert wizard.twins(mine, [mine, twin, *others]) == [f"other-{channel}", "twin"]


@pytest.mark.parametrize(
    ("report", "replace", "codes"),
    [
        (Report(findings=(wrong("token_refused", "x"),)), False, ["token_refused"]),
        (Report(findings=(wrong("token_refused", "x"), wrong("public_url_missing", "x"))), True, ["token_refused"]),
        (Report(findings=(wrong("public_url_missing", "x"),)), True, ["public_url_missing"]),
        (Report(Identity("1"), (wrong("webhook_elsewhere", "x"), note("n", "x"))), False, ["webhook_elsewhere"]),
        (Report(Identity("1"), (wrong("webhook_elsewhere", "x"),)), True, []),
        (Report(Identity("1"), (wrong("webhook_missing", "x"), wrong("app_not_subscribed", "x"))), False, []),
    ],
)
def test_only_what_connecting_does_not_mend_is_an_obstacle(report, replace, codes):
    assert [one.code for one in wizard.obstacles(report, replace=replace)] == codes


@pytest.mark.parametrize(
    ("called", "heard", "since", "late", "reached"),
    [
        (None, None, NOW - timedelta(seconds=59), False, False),
        (None, None, NOW - timedelta(seconds=60), True, False),
        (None, None, None, True, False),
        (NOW, None, NOW - timedelta(days=1), False, True),
        (None, NOW, NOW - timedelta(days=1), False, True),
    ],
)
def test_after_a_minute_without_a_webhook_it_is_late(called, heard, since, late, reached):
    found = wizard.waiting(called, heard, since, NOW, fetches=False)
    assert (found.late, found.reached) == (late, reached)


@pytest.mark.parametrize(
    ("identity", "who"),
    [
        (None, ""),
        (Identity("1"), "1"),
        (Identity("1", "Shop"), "Shop"),
        (Identity("1", "Shop", "@shop"), "@shop"),
    ],
)
def test_an_account_is_called_as_people_know_it(identity, who):
    assert wizard.who(identity) == who


# --- examples -------------------------------------------------------------------------------------------------------------


def test_an_example_quotes_what_the_shell_would_read():
    command = examples.send("http://x", "line", "acme", username="it's", password="$HOME", account_id="acme-line")
    assert "'Auth-username: it'\"'\"'s'" in command
    assert "'Auth-password: $HOME'" in command
    assert '"account": "acme-line"' in command
    assert '"Auth-password: $KURIR_PASSWORD"' in examples.send("http://x", "line", "acme")
