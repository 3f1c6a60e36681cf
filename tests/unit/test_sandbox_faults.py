"""The sandbox's faults as decisions: what a profile may say, and what follows from it, without a clock or a socket."""

import json
import math
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from kurir.sandbox import faults, ledger, profiles, refusals
from kurir.sandbox.config import CHANNELS, DEMO_PEOPLE, crowd, demo_config
from kurir.sandbox.faults import Decision, Faults
from kurir.sandbox.graph import GraphErrors
from kurir.sandbox.ids import Ids
from kurir.sandbox.ledger import Ledger
from kurir.sandbox.profile_words import in_words
from kurir.sandbox.profiles import Fault, Profile, ProfileError, read_profile
from kurir.sandbox.sketches import Endpoint, endpoint, ids_of, sketch

NOW = 1000.0


def running(channel="telegram", **members):
    made = Faults()
    made.put(channel, read_profile(members, (channel,)), NOW)
    return made


def sequence(made, channel, count, address="1", now=NOW):
    return [made.decide(channel, address, now) for _ in range(count)]


# --- reading a profile --------------------------------------------------------------------------------------------------

WHOLE = {
    "seed": 7,
    "seconds": 30,
    "latency": 0.2,
    "jitter": 0.1,
    "errors": 0.1,
    "error": "500",
    "throttle": 0.1,
    "retry_after": 3,
    "rate": 20,
    "recipient_rate": 1,
    "usage": 85,
    "regain_minutes": 4,
    "timeout_before": 0.05,
    "timeout_after": 0.05,
    "hold": 6,
    "cut_before": 0.05,
    "cut_after": 0.05,
    "half_body": 0.05,
    "garbage": 0.05,
    "garbage_before": 0.05,
    "expired_token": True,
    "blocked": 0.1,
    "quota": True,
    "outage": "503",
    "webhooks": {"drop": 0.1, "duplicate": 0.2, "reorder": 0.1, "delay": 2.0},
}


def test_a_whole_profile_is_read_and_shown_as_it_was_given():
    assert read_profile(WHOLE, ("line",)).as_json() == WHOLE
    assert sorted(WHOLE) == sorted(profiles.MEMBERS)


def test_an_empty_profile_breaks_nothing():
    assert read_profile({}, CHANNELS) == Profile()
    assert Profile().as_json() == {}


@pytest.mark.parametrize(
    ("profile", "member", "said"),
    [
        ([], "", "JSON object"),
        ({"latencey": 1}, "latencey", "latency"),
        ({"errors": 1.1}, "errors", "from 0 to 1"),
        ({"errors": -0.1}, "errors", "from 0 to 1"),
        ({"errors": math.nan}, "errors", "from 0 to 1"),
        ({"errors": "0.1"}, "errors", "A number"),
        ({"errors": True}, "errors", "A number"),
        ({"latency": 601}, "latency", "from 0 to 600"),
        ({"rate": 0}, "rate", "from 0.01"),
        ({"seconds": 0}, "seconds", "from 0.01 to 86400"),
        ({"hold": math.inf}, "hold", "from 0 to 3600"),
        ({"seed": 1.5}, "seed", "whole number"),
        ({"seed": 2**63}, "seed", "whole number"),
        ({"usage": 101}, "usage", "from 0 to 100"),
        ({"expired_token": 1}, "expired_token", "true or false"),
        ({"outage": "504"}, "outage", '"refused"'),
        ({"errors": 0.5, "error": "131000"}, "error", '"500"'),
        ({"errors": 0.5, "error": 500}, "error", "as text"),
        ({"errors": 0.5, "error": ["500"]}, "error", "as text"),
        ({"error": "500"}, "error", 'Add "errors"'),
        ({"quota": True}, "quota", "line alone"),
        ({"webhooks": 1}, "webhooks", "An object"),
        ({"webhooks": {"dorp": 1}}, "webhooks.dorp", "drop"),
        ({"webhooks": {"delay": -1}}, "webhooks.delay", "from 0 to 600"),
        ({"errors": 0.6, "garbage": 0.5}, "errors", "add up to 1.1"),
    ],
)
def test_what_cannot_be_is_refused_with_the_member_and_its_limits(profile, member, said):
    with pytest.raises(ProfileError) as caught:
        read_profile(profile, ("telegram",))
    assert caught.value.member == member
    assert said in caught.value.detail


def test_shares_that_make_up_the_whole_are_allowed():
    assert read_profile(dict.fromkeys(("errors", "throttle", "garbage"), 1 / 3) | {"cut_after": 0}, CHANNELS)


@pytest.mark.parametrize("error", ["500", "503"])
def test_two_statuses_can_be_asked_of_every_platform(error):
    assert read_profile({"errors": 1, "error": error}, CHANNELS).error == error


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(profiles.MEMBERS), inner, max_size=4),
    max_leaves=8,
)


@given(json_values, st.sampled_from([CHANNELS, *((name,) for name in CHANNELS)]))
def test_nothing_but_a_profile_error_comes_out_of_reading(value, channels):
    try:
        profile = read_profile(value, channels)
    except ProfileError:
        return
    assert read_profile(json.loads(json.dumps(profile.as_json())), channels) == profile


# --- decisions ----------------------------------------------------------------------------------------------------------


def test_without_a_profile_nothing_happens():
    made = Faults()
    assert not made
    assert made.decide("line", "x", NOW) == made.decide_other("line", NOW) == Decision()
    assert made.webhook("whatsapp", NOW) == faults.POSTED


SHARED = dict.fromkeys(profiles.SHARES, 0.1)


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_same_seed_gives_the_same_sequence(channel):
    members = SHARED | {"seed": 3, "jitter": 1.0}
    first = sequence(running(channel, **members), channel, 200)
    assert sequence(running(channel, **members), channel, 200) == first
    assert sequence(running(channel, **members | {"seed": 4}), channel, 200) != first


def test_a_profile_that_is_set_again_begins_its_sequence_again():
    profile = read_profile({"errors": 0.5, "seed": 1}, ("line",))
    made = Faults()
    made.put("line", profile, NOW)
    first = sequence(made, "line", 50)
    made.put("line", profile, NOW + 9)
    assert sequence(made, "line", 50, now=NOW + 10) == first


def test_channels_do_not_share_a_sequence():
    assert sequence(running("line", errors=0.5), "line", 64) != sequence(
        running("messenger", errors=0.5), "messenger", 64
    )


def test_other_requests_do_not_move_the_sequence_of_messages():
    plain, disturbed = running(errors=0.5), running(errors=0.5)
    for _ in range(20):
        disturbed.decide_other("telegram", NOW)
        disturbed.webhook("telegram", NOW)
    assert [one.fault for one in sequence(plain, "telegram", 40)] == [
        one.fault for one in sequence(disturbed, "telegram", 40)
    ]


def test_shares_are_kept():
    members = {"errors": 0.2, "cut_after": 0.1, "garbage": 0.05}
    counts = Counter(one.fault for one in sequence(running("line", **members), "line", 20_000))
    for name, share in members.items():
        # Five standard deviations of a binomial draw; the draws are the same in every run.
        assert counts[Fault(name)] == pytest.approx(share * 20_000, abs=5 * math.sqrt(20_000 * share * (1 - share)))
    assert set(counts) == {Fault.NONE, *map(Fault, members)}


@pytest.mark.parametrize("share", profiles.SHARES)
def test_a_whole_share_befalls_every_message(share):
    assert {one.fault for one in sequence(running("line", **{share: 1}), "line", 50)} == {share}


def test_latency_and_jitter_make_the_delay():
    delays = [one.delay for one in sequence(running("line", latency=2, jitter=1), "line", 200)]
    assert 2 <= min(delays) < 2.1
    assert 2.9 < max(delays) < 3


def test_a_profile_ends_with_its_time():
    made = running(errors=1, seconds=30)
    assert made.left("telegram", NOW + 10) == 20
    assert made.decide("telegram", "1", NOW + 29.9).fault is Fault.ERRORS
    assert made.decide("telegram", "1", NOW + 30) == Decision()
    assert made.profile("telegram", NOW + 30) is None
    assert not made


def test_clearing_one_channel_leaves_the_others():
    made = running(errors=1)
    made.put("line", Profile(errors=1.0), NOW)
    made.clear("telegram")
    assert made.profile("line", NOW)
    made.clear()
    assert not made


def test_an_outage_and_an_expired_token_befall_everything_else_too():
    made = running("line", outage="503")
    assert made.decide("line", "x", NOW).code == made.decide_other("line", NOW).code == "503"
    made = running("line", expired_token=True, errors=1)
    assert made.decide("line", "x", NOW).fault is made.decide_other("line", NOW).fault is Fault.EXPIRED_TOKEN
    assert running("line", errors=1).decide_other("line", NOW).taken


def test_an_error_that_is_asked_for_is_the_only_one():
    assert {one.code for one in sequence(running("whatsapp", errors=1, error="131057"), "whatsapp", 50)} == {"131057"}
    assert {one.code for one in sequence(running("whatsapp", errors=1), "whatsapp", 50)} == set(
        profiles.MIXED["whatsapp"]
    )


# --- rates and waits ----------------------------------------------------------------------------------------------------


def test_a_rate_lets_a_burst_and_then_its_rate_through():
    made = running("line", rate=20)
    assert sum(one.taken for one in sequence(made, "line", 60)) == 20
    assert not made.decide("line", "x", NOW + 0.04).taken
    assert made.decide("line", "x", NOW + 0.05).taken
    assert sum(one.taken for one in sequence(made, "line", 60, now=NOW + 0.55)) == 10


@settings(max_examples=60)
@given(st.floats(0.5, 50), st.lists(st.floats(0, 0.5), min_size=1, max_size=120))
def test_no_window_holds_more_than_burst_and_rate_allow(rate, gaps):
    made = running("line", rate=rate)
    now, taken = NOW, []
    for gap in gaps:
        now += gap
        if made.decide("line", "x", now).taken:
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= max(rate, 1) + (taken[last] - taken[first]) * rate + 1e-6


def test_a_recipients_rate_leaves_other_recipients_alone():
    made = running("messenger", recipient_rate=1)
    assert made.decide("messenger", "a", NOW).taken
    beyond = made.decide("messenger", "a", NOW)
    assert (beyond.fault, beyond.code, beyond.early) == (Fault.RECIPIENT_RATE, "613", False)
    assert made.decide("messenger", "b", NOW).taken
    assert made.decide("messenger", "a", NOW + 1).taken


def test_a_message_that_the_account_may_not_send_costs_its_recipient_nothing():
    made = running("line", rate=1, recipient_rate=1)
    assert made.decide("line", "a", NOW).taken
    assert made.decide("line", "b", NOW).fault is Fault.RATE
    assert made.decide("line", "b", NOW + 1).taken


def test_what_the_platform_refused_is_given_back():
    made = running("line", rate=1, recipient_rate=1)
    assert made.decide("line", "a", NOW).taken
    made.refund("line", "a")
    assert made.decide("line", "a", NOW).taken


def test_recipients_that_are_remembered_have_a_bound(monkeypatch):
    monkeypatch.setattr(faults, "MAX_RECIPIENTS", 3)
    made = running("line", recipient_rate=1)
    for address in "abcd":
        assert made.decide("line", address, NOW).taken
    assert made.decide("line", "a", NOW).taken, "the oldest was forgotten"
    assert not made.decide("line", "d", NOW).taken


@pytest.mark.parametrize(
    ("channel", "scope"), [("telegram", "recipient"), ("line", "account"), ("messenger", "account")]
)
def test_while_a_named_wait_runs_everything_of_its_scope_is_early(channel, scope):
    made = running(channel, throttle=1, retry_after=3)
    told = made.decide(channel, "a", NOW)
    assert (told.fault, told.wait, told.early) == (Fault.THROTTLE, 3, False)
    again = made.decide(channel, "a", NOW + 1)
    assert (again.fault, again.wait, again.early) == (Fault.THROTTLE, 2, True)
    assert made.decide(channel, "b", NOW + 1).early is (scope == "account")
    assert made.decide(channel, "a", NOW + 3).early is False


@given(st.floats(0, 1e7), st.integers(1, 86_400))
def test_a_named_wait_is_named_to_the_second_whatever_the_clock_says(now, seconds):
    made = Faults()
    made.put("line", Profile(throttle=1.0, retry_after=float(seconds)), now)
    assert made.decide("line", "a", now).wait == seconds
    assert made.decide("line", "a", now).wait in (seconds, seconds + 1)


def test_the_two_throttles_of_whatsapp_are_about_the_number_and_about_the_pair():
    for one in sequence(running("whatsapp", throttle=1), "whatsapp", 40):
        assert one.code in ("130429", "131056")
        assert one.wait == 0
    made = running("whatsapp", throttle=1, retry_after=5, seed=1)
    told = made.decide("whatsapp", "a", NOW)
    assert made.decide("whatsapp", "b", NOW).early is (told.code == "130429")


def test_telegram_always_names_a_wait_in_whole_seconds():
    assert running(throttle=1).decide("telegram", "1", NOW).wait == 1
    assert running(throttle=1, retry_after=2.5).decide("telegram", "1", NOW).wait == 3
    made = running(recipient_rate=0.2)
    assert made.decide("telegram", "1", NOW).taken
    assert made.decide("telegram", "1", NOW + 1).wait == 4


def test_who_blocked_the_sender_is_always_the_same():
    made = running(blocked=0.5, seed=2)
    found = {address: made.decide("telegram", address, NOW).fault for address in map(str, range(400))}
    assert {made.decide("telegram", address, NOW).fault is fault for address, fault in found.items()} == {True}
    assert 150 < sum(fault is Fault.BLOCKED for fault in found.values()) < 250
    assert running(blocked=1).decide("telegram", "", NOW).taken, "nobody is no recipient"


# --- webhooks -----------------------------------------------------------------------------------------------------------


def test_webhooks_have_their_own_sequence_and_shares():
    members = {"seed": 5, "webhooks": {"drop": 0.2, "duplicate": 0.3, "reorder": 0.4, "delay": 2.0}}
    made, again = running("whatsapp", **members), running("whatsapp", **members)
    fates = [made.webhook("whatsapp", NOW) for _ in range(5000)]
    assert fates == [again.webhook("whatsapp", NOW) for _ in range(5000)]
    kept = [fate for fate in fates if fate.copies]
    assert 1 - len(kept) / 5000 == pytest.approx(0.2, abs=0.03)
    assert sum(fate.copies == 2 for fate in kept) / len(kept) == pytest.approx(0.3, abs=0.04)
    assert sum(fate.late for fate in kept) / len(kept) == pytest.approx(0.4, abs=0.04)
    assert 0 <= min(fate.delay for fate in kept) <= max(fate.delay for fate in kept) < 2


# --- the platforms' words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "code"),
    [(channel, code) for channel in CHANNELS for code in sorted({*profiles.MIXED[channel], *profiles.ASKED[channel]})],
)
def test_every_error_that_can_be_asked_for_has_the_platforms_words(channel, code):
    decision = Decision(Fault.ERRORS, code)
    refusal = refusals.refusal(channel, decision, GraphErrors(Ids(1)), datetime(2026, 1, 1, tzinfo=UTC))
    assert refusal.status >= 400
    if channel in ("whatsapp", "messenger"):
        assert f"(#{refusal.body['error']['code']})" in refusal.body["error"]["message"]
        assert code in ("500", "503", str(refusal.body["error"]["code"]))
    assert code not in ("500", "503") or refusal.status == int(code)


def test_meta_counts_usage_for_the_account_in_percent_and_minutes():
    headers = refusals.usage_headers("whatsapp", "102", Decision(usage=85, regain_minutes=4))
    assert json.loads(headers["x-app-usage"]) == {"call_count": 85, "total_cputime": 25, "total_time": 25}
    assert json.loads(headers["x-business-use-case-usage"]) == {
        "102": [
            {
                "type": "whatsapp",
                "call_count": 85,
                "total_cputime": 25,
                "total_time": 25,
                "estimated_time_to_regain_access": 4,
            }
        ]
    }
    assert refusals.usage_headers("telegram", "", Decision(usage=85)) == {}


# --- sketches -----------------------------------------------------------------------------------------------------------

JSON = Headers({"content-type": "application/json"})
FORM = Headers({"content-type": "application/x-www-form-urlencoded"})
LINE = Headers({"content-type": "application/json", "x-line-retry-key": "k"})


@pytest.mark.parametrize(
    ("channel", "headers", "body", "expected"),
    [
        (
            "whatsapp",
            JSON,
            {"to": "+62 812-3", "type": "text", "text": {"body": "Hi"}, "biz_opaque_callback_data": "r"},
            ("628123", "Hi", "", "r"),
        ),
        ("whatsapp", JSON, {"to": "62", "type": "image", "image": {"caption": "c"}}, ("62", "c", "", "")),
        (
            "whatsapp",
            JSON,
            {"recipient": "ID.1", "type": "interactive", "interactive": {"body": {"text": "b"}}},
            ("ID.1", "b", "", ""),
        ),
        ("telegram", JSON, {"chat_id": 7, "text": "x" * 301}, ("7", "x" * 300, "", "")),
        ("telegram", FORM, b"chat_id=-5&caption=a+b", ("-5", "a b", "", "")),
        ("telegram", JSON, {"chat_id": "7", "media": [{"type": "photo"}, {"caption": "two"}]}, ("7", "two", "", "")),
        (
            "line",
            LINE,
            {"to": "U1", "messages": [{"type": "image"}, {"type": "text", "text": "t"}]},
            ("U1", "t", "k", ""),
        ),
        ("line", LINE, {"to": ["U1", "U2"], "messages": [{"altText": "a"}]}, ("U1", "a", "k", "")),
        (
            "messenger",
            JSON,
            {"recipient": {"id": "9"}, "message": {"text": "t", "metadata": "m"}},
            ("9", "t", "", "m"),
        ),
        (
            "messenger",
            FORM,
            b'recipient={"id":"9"}&message={"attachment":{"payload":{"elements":[{"title":"e"}]}}}',
            ("9", "e", "", ""),
        ),
    ],
)
def test_a_request_is_told_in_a_few_words(channel, headers, body, expected):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    said = sketch(Endpoint(channel, "push"), headers, b"", raw, lambda _: "")
    assert (said.address, said.text, said.key, said.reference) == expected
    assert said.sends


def test_the_chat_of_a_reply_is_that_of_its_token():
    body = json.dumps({"replyToken": "tok", "messages": []}).encode()
    assert sketch(Endpoint("line", "reply"), LINE, b"", body, {"tok": "U7"}.__getitem__).address == "U7"


def test_read_marks_and_typing_are_no_messages():
    read = json.dumps({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.x"}).encode()
    assert not sketch(Endpoint("whatsapp", "messages"), JSON, b"", read, str).sends
    typing = json.dumps({"recipient": {"id": "9"}, "sender_action": "typing_on"}).encode()
    assert not sketch(Endpoint("messenger", "messages"), JSON, b"", typing, str).sends


@given(
    st.sampled_from(CHANNELS),
    st.sampled_from([JSON, FORM, Headers({"content-type": "multipart/form-data"})]),
    st.data(),
)
def test_no_body_breaks_a_sketch(channel, headers, data):
    raw = data.draw(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
    said = sketch(Endpoint(channel, "push"), headers, b"", raw, lambda _: "")
    json.dumps([said.address, said.text, said.key, said.reference], ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/graph/v26.0/106540352242922/messages", Endpoint("whatsapp", "messages")),
        ("POST", "/graph/v26.0/106540352242922/media", Endpoint("whatsapp")),
        ("POST", "/graph/v26.0/me/messages", Endpoint("messenger", "messages")),
        ("POST", "/graph/v26.0/108123456789012/messages", Endpoint("messenger", "messages")),
        ("GET", "/graph/v26.0/24312345678901234", Endpoint("messenger")),
        ("GET", "/graph/v26.0", None),
        ("POST", "/telegram/bot1:x/sendMessage", Endpoint("telegram", "sendmessage")),
        ("POST", "/telegram/bot1:x/sendChatAction", Endpoint("telegram")),
        ("GET", "/telegram/bot1:x/getMe", Endpoint("telegram")),
        ("POST", "/line/v2/bot/message/push", Endpoint("line", "push")),
        ("POST", "/line/v2/bot/message/reply", Endpoint("line", "reply")),
        ("POST", "/line/v2/bot/message/validate/push", Endpoint("line")),
        ("GET", "/line/v2/bot/info", Endpoint("line")),
    ],
)
def test_endpoints_are_known_by_their_paths(method, path, expected):
    known = {("messenger", person.psid) for person in DEMO_PEOPLE}
    assert endpoint(demo_config(), method, path, lambda *key: key in known) == expected


def test_ids_are_read_from_what_the_platforms_answer():
    assert ids_of("whatsapp", {"messages": [{"id": "wamid.1"}]}) == ("wamid.1",)
    assert ids_of("telegram", {"ok": True, "result": [{"message_id": 1}, {"message_id": 2}]}) == ("1", "2")
    assert ids_of("line", {"message": "The retry key is already accepted", "sentMessages": [{"id": "4"}]}) == ("4",)
    assert ids_of("messenger", {"recipient_id": "9", "message_id": "m_1"}) == ("m_1",)
    assert ids_of("telegram", {"ok": False}) == ids_of("line", None) == ()


# --- the ledger, the people ---------------------------------------------------------------------------------------------

FACTS = {
    "at": 1.0,
    "channel": "line",
    "address": "U1",
    "accepted": True,
    "ids": ("1",),
    "status": 200,
    "fault": "",
    "early": False,
    "wait": 0,
    "key": "",
    "repeat": False,
    "text": "Grüße",
    "reference": "",
}


def test_a_ledger_gives_its_rows_by_pages_and_says_what_it_dropped(monkeypatch):
    monkeypatch.setattr(ledger, "MAX_ROWS", 5)
    book = Ledger()
    for _ in range(4):
        book.add(**FACTS)
    assert [row.n for row in book.after(1, 2)] == [2, 3]
    assert book.after(4, 10) == []
    for _ in range(8):
        book.add(**FACTS)
    assert book.dropped == 7
    assert [row.n for row in book.after(0, 3)] == [8, 9, 10]
    assert [row.n for row in book.after(9, 10)] == [10, 11, 12]
    book.clear()
    assert (book.after(0, 10), book.dropped, book.add(**FACTS).n) == ([], 0, 1)


def test_a_ledgers_file_has_a_line_for_each_row_and_is_appended_to(tmp_path):
    path = tmp_path / "ledger.jsonl"
    for _ in range(2):
        book = Ledger(path)
        book.write(book.add(**FACTS))
        book.close()
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert rows == [FACTS | {"n": 1, "ids": ["1"]}] * 2


def test_a_ledger_whose_file_cannot_be_written_to_goes_on_in_memory():
    book = Ledger()

    def full(_: str) -> None:
        raise OSError(28, "No space left on device")

    book._file = SimpleNamespace(write=full, close=lambda: None)
    book.write(book.add(**FACTS))
    book.write(book.add(**FACTS))
    assert len(book.after(0, 10)) == 2
    assert book._file is None


def test_a_crowd_begins_with_the_demo_and_shares_no_address():
    people = crowd(3000, 1)
    assert people[:2] == DEMO_PEOPLE
    assert people == crowd(3000, 1)
    assert people[2:] != crowd(3000, 2)[2:]
    for channel in CHANNELS:
        assert len({person.address(channel) for person in people}) == 3000


# --- a profile in words -------------------------------------------------------------------------------------------------


def test_a_profile_is_told_in_one_line():
    profile = read_profile({"timeout_after": 0.25, "hold": 10, "seconds": 60, "seed": 7}, ("whatsapp",))
    assert in_words(profile) == "25 % arrive without an answer; such connections stay open for 10 s (seed 7)"
    assert in_words(Profile(outage="refused")) == "every connection is reset unread"
    assert in_words(Profile(outage="503")) == "every request is answered 503"
    assert in_words(Profile(seconds=5)) == "no fault"


def test_every_member_of_a_profile_has_words():
    whole = read_profile({**WHOLE, "errors": 0.015}, ("line",))
    words = in_words(whole)
    for name in whole.as_json():
        without = replace(whole, **{name: getattr(Profile(), name)})
        assert (in_words(without) == words) is (name == "seconds"), name
    assert "1.5 % are refused with a passing error; that error is 500" in words
    assert "{" not in words
    for name in ("drop", "duplicate", "reorder", "delay"):
        assert in_words(replace(whole, webhooks=replace(whole.webhooks, **{name: 0.0}))) != words, name
