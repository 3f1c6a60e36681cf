"""The LINE channel: the cases, the limits for any message, every refusal of the table. What comes in: test_line_inbound."""

import json
import re
from collections import Counter
from dataclasses import replace

import pytest
import regex
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from kurir.channels.base import (
    AccountDown,
    Again,
    Answer,
    Call,
    Channel,
    Facts,
    Labels,
    MediaFacts,
    NoAnswer,
    Rejected,
    ReplyTarget,
    ReplyToken,
    Retry,
    Scope,
    Sent,
    Stage,
    Unknown,
)
from kurir.channels.line import channel as line
from kurir.channels.line import errors as line_errors
from kurir.domain.errors import ERRORS
from kurir.domain.message import Message
from kurir.domain.problem import Problem
from kurir.domain.status import Status
from support.cases import REASONS, differences, load, to_pointer
from support.line import ACCOUNT, SETTINGS, TID, USER, account_of, decoded, facts_of, https_bodies, rendered

CHANNEL: Channel = line


def body(kind, content=None, **others):
    return {
        "id": "m-1",
        "times": 0,
        "timestamp": "2023-11-14T22:13:20Z",
        "recipient": "6281234567890",
        "type": kind,
        "body": content or {},
        **others,
    }


def message(kind, content=None, **others):
    found = decoded(body(kind, content, **others))
    assert isinstance(found, Message), found
    return found


def problems(kind, content=None, **others):
    found = decoded(body(kind, content, **others))
    assert not isinstance(found, Message)
    return [(problem.pointer, problem.code) for problem in found]


def render(kind, content=None, *, account=ACCOUNT, facts=None, **others):
    return line.render(message(kind, content, **others), account, facts or Facts(TID, USER))


def sent_messages(rendering):
    return [each for call in rendering.calls for each in call.json["messages"]]


def kinds(rendering):
    return [loss.kind for loss in rendering.losses]


def media(url, name="", text=""):
    return {"text": text, "media": {"url": url, "name": name}}


def buttons(*titles, text="Choose"):
    return {"text": text, "button": [{"key": f"k{index}", "title": title} for index, title in enumerate(titles)]}


def sections(count, *, title="", text="Choose", description=""):
    action = {"key": "k", "title": "A", "description": ""}
    section = {"title": "S", "description": description, "actions": [action]}
    return {"text": text, "list": {"title": title, "sections": [section] * count}}


# --- The cases --------------------------------------------------------------------------------------------------------

OUTBOUND = load("line", "outbound")
ANSWERS = load("line", "provider_response")


@pytest.mark.parametrize("case", OUTBOUND, ids=lambda case: case["id"])
def test_outbound_case(case):
    expected = case["expect"]
    found = decoded(case["input"])
    if "error_field" in expected:
        assert not isinstance(found, Message)
        codes = REASONS[expected["error_reason"]]
        assert any(each.pointer == to_pointer(expected["error_field"]) and each.code in codes for each in found), found
        return
    assert isinstance(found, Message), found
    if expected.get("error_code") == "recipient_not_linked":
        # Who is meant is found out elsewhere. The channel takes the message, and shows it in a preview without address.
        assert facts_of(case).address == ""
        assert rendered(case).calls[0].json["to"] == ""
        return
    rendering = rendered(case)
    tokens = {token.token: token.key for token in rendering.tokens}
    assert len(rendering.calls) == len(expected["requests"])
    for call, request in zip(rendering.calls, expected["requests"], strict=True):
        assert (call.method, call.url) == (request["method"], line.API_BASE + request["path"])
        wanted = {
            name: value.replace("{channel_access_token}", SETTINGS.channel_access_token)
            for name, value in request["headers"].items()
        }
        assert differences(wanted, dict(call.headers), tid=TID, tokens=tokens) == []
        assert differences(request["json"], call.json, tid=TID, tokens=tokens) == []
    losses = {loss.kind for loss in (*found.ignored, *rendering.losses)}
    assert set(expected.get("warnings", ())) <= losses
    if "token_maps_to" in expected:
        assert list(tokens.values()) == [expected["token_maps_to"]]


def call_of(case):
    """The call that *case* answers: a reply where the case is about a reply token, else a push."""
    reply = "reply" in case["id"] or "reply_token" in case["expect"]["class"]
    call = PUSH if not reply else REPLY
    return replace(call, after_unknown="previous" in case["expect"])


PUSH = render("text", {"text": "Hi"}).calls[0]
REPLY = render("text", {"text": "Hi"}, facts=Facts(TID, USER, reply_token=ReplyToken("rt", 3.0))).calls[0]
QUOTING = render(
    "text", {"text": "Hi"}, facts=Facts(TID, USER, reply=ReplyTarget("1", USER, "qt")), reply_id="1"
).calls[0]


def answer(status, content=None, **headers):
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


#: A case's class → the outcome that says it: its type, and fields of it.
CLASSES = {
    "ok": (Sent, {"status": Status.SENT}),
    "permanent_recipient": (Rejected, {"status": Status.UNDELIVERED, "code": "recipient_unknown"}),
    "reply_token_unusable": (Retry, {"again": Again.PUSH}),
    "account": (AccountDown, {"code": "account_credentials"}),
    "rate_limited": (Retry, {"code": "rate_limited", "throttled": True, "scope": Scope.ACCOUNT, "after": None}),
    "account_quota": (AccountDown, {"code": "account_quota"}),
    "unknown": (Unknown, {"code": "ambiguous_error"}),
}


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case["id"])
def test_provider_response_case(case):
    call, expected = call_of(case), case["expect"]
    if case["http_status"] == 0:
        outcome = line.classify(call, NoAnswer(Stage.AFTER_SEND, "read timeout"))
    else:
        outcome = line.classify(call, Answer(case["http_status"], case["headers"], json.dumps(case["body"]).encode()))
    if expected["class"] == "ambiguous_but_safe_to_retry":
        # LINE's own JSON is a retry; no answer is unknown, and a call that may be repeated is, with the same key.
        assert call.repeatable
        assert isinstance(outcome, Retry if case["http_status"] else Unknown)
        return
    kind, fields = CLASSES[expected["class"]]
    assert isinstance(outcome, kind)
    assert {name: getattr(outcome, name) for name in fields} == fields
    if "provider_message_id" in expected:
        assert outcome.platform_ids == (expected["provider_message_id"],)
    if "store_quote_token" in expected:
        assert outcome.learned.quote_tokens == (expected["store_quote_token"],)


# --- The module as a channel ------------------------------------------------------------------------------------------


def test_tables_use_codes_of_the_registry():
    assert {row.code for row in line.ERRORS} - {""} <= ERRORS.keys()
    assert line.RATES.keys() == {"account", "recipient", "push", "reply"}
    assert all(limit.maximum > 0 and limit.source for limit in line.LIMITS)


def test_no_secret_shows_in_settings():
    assert "secret-token" not in repr(ACCOUNT)


# --- Problems ---------------------------------------------------------------------------------------------------------


def test_http_files_are_refused_in_body_and_header():
    header = {"type": "image", "text": "", "media_url": "http://x.fi/a.jpg"}
    assert problems("image", media("http://x.fi/a.jpg")) == [("/body/media/url", "https_required")]
    assert problems("button", buttons("A"), header=header) == [("/header/media_url", "https_required")]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://x.fi/" + "a" * 1988, "too_long"),
        ("https://x.fi/" + "ü" * 332, "too_long"),
        ("https://" + "ü" * 70 + "/a.jpg", "invalid_format"),
        ("https://:443/a.jpg", "invalid_format"),
        ("https://x.fi/" + "a" * 1987, None),
    ],
)
def test_url_is_measured_as_it_travels(url, code):
    found = decoded(body("image", media(url)))
    if code is None:
        assert isinstance(found, Message)
    else:
        assert [(each.pointer, each.code) for each in found] == [("/body/media/url", code)]


def test_templates_and_fallbacks_are_whatsapps():
    template = {"name": "hello", "language": "id"}
    fallback = {"when": "window_closed", "template": template}
    assert problems("template", {"template": template}) == [("/type", "unsupported_type")]
    assert problems("text", {"text": "x"}, fallback=fallback) == [("/fallback", "unsupported_type")]


def test_list_has_at_most_twelve_sections_and_each_problem_is_told():
    header = {"type": "image", "media_url": "http://x.fi/a.jpg"}
    assert problems("list", sections(13)) == [("/body/list/sections", "too_many")]
    assert problems("list", sections(13), header=header) == [
        ("/header/media_url", "https_required"),
        ("/body/list/sections", "too_many"),
    ]
    assert len(sent_messages(render("list", sections(12)))[1]["contents"]["contents"]) == 12


def test_cards_are_weighed():
    assert problems("list", sections(1, description="d" * 30_000)) == [("/body/list/sections/0", "too_long")]
    assert problems("list", sections(6, description="d" * 9_000)) == [("/body/list/sections", "too_long")]
    assert problems("button", buttons(*["ß" * 200] * 60)) == [("/body/button", "too_long")]
    assert problems("button", buttons("A" * 21, text="\x01" * 5000)) == [("/body/text", "too_long")]
    assert isinstance(decoded(body("button", buttons(*["A"] * 101))), Message)


# --- Rendering --------------------------------------------------------------------------------------------------------


def test_rendering_again_gives_the_same_bytes_and_each_part_its_own_key():
    text = {"text": "word " * 6000}
    first, second = render("text", text), render("text", text)
    assert [call.body() for call in first.calls] == [call.body() for call in second.calls]
    retry_keys = [dict(call.headers)["X-Line-Retry-Key"] for call in first.calls]
    assert retry_keys == [dict(call.headers)["X-Line-Retry-Key"] for call in second.calls]
    assert len(set(retry_keys)) == len(first.calls) == 2
    assert [(call.part, call.messages) for call in first.calls] == [(1, 5), (2, 1)]
    assert all(call.repeatable and call.limits == ("push",) for call in first.calls)


def test_retry_key_does_not_change_between_releases():
    assert dict(PUSH.headers)["X-Line-Retry-Key"] == "38b6f994-8e41-518c-81e0-45154fe4cd77"


def test_first_call_replies_and_the_rest_is_pushed():
    facts = Facts(TID, USER, reply_token=ReplyToken("rt", 3.0))
    first, second = render("text", {"text": "word " * 6000}, facts=facts, reply_token="opaque").calls
    assert (first.url, first.limits, first.repeatable) == (line.API_BASE + "/v2/bot/message/reply", ("reply",), False)
    assert "X-Line-Retry-Key" not in dict(first.headers)
    assert first.json["replyToken"] == "rt"
    assert (second.limits, second.repeatable) == (("push",), True)


@pytest.mark.parametrize(
    ("facts", "account"),
    [
        (Facts(TID, USER), ACCOUNT),
        (Facts(TID, USER, reply_token=ReplyToken("rt", 3), again={1: frozenset({Again.PUSH})}), ACCOUNT),
        (
            Facts(TID, USER, reply_token=ReplyToken("rt", 3)),
            replace(ACCOUNT, settings=replace(SETTINGS, use_reply_tokens=False)),
        ),
    ],
)
def test_reply_token_that_is_not_used_is_a_loss(facts, account):
    rendering = render("text", {"text": "x"}, facts=facts, account=account, reply_token="opaque")
    assert rendering.calls[0].limits == ("push",)
    assert [(loss.pointer, loss.kind) for loss in rendering.losses] == [("/reply_token", "reply_token_not_used")]
    assert render("text", {"text": "x"}, facts=facts, account=account).losses == ()


def test_quote_goes_on_the_first_text_even_after_an_image():
    facts = Facts(TID, USER, reply=ReplyTarget("1", USER, "qt"))
    rendering = render("image", media("https://x.fi/a.jpg", text="Look"), facts=facts, reply_id="1")
    assert sent_messages(rendering)[1] == {"type": "text", "text": "Look", "quoteToken": "qt"}
    again = replace(facts, again={1: frozenset({Again.WITHOUT_QUOTE})})
    rendering = render("text", {"text": "Look"}, facts=again, reply_id="1")
    assert sent_messages(rendering) == [{"type": "text", "text": "Look"}]
    assert kinds(rendering) == ["reply_not_quotable"]


@pytest.mark.parametrize(
    ("reply", "kind", "loss"),
    [
        (None, "text", "reply_id_not_found"),
        (ReplyTarget("1", USER, ""), "text", "reply_not_quotable"),
        (ReplyTarget("1", "Cother", "qt"), "text", "reply_not_quotable"),
        (ReplyTarget("1", USER, "qt"), "button", "reply_not_quotable"),
    ],
)
def test_quote_that_is_not_possible_is_a_loss(reply, kind, loss):
    content = buttons("A") if kind == "button" else {"text": "x"}
    rendering = render(kind, content, facts=Facts(TID, USER, reply=reply), reply_id="1")
    assert kinds(rendering) == [loss]
    assert "quoteToken" not in json.dumps(rendering.calls[0].json)


def test_image_with_text_and_name():
    rendering = render("image", media("HTTPS://x.fi/a.jpg", "A", "Look"))
    assert [each["type"] for each in sent_messages(rendering)] == ["image", "text"]
    assert sent_messages(rendering)[0]["originalContentUrl"] == "https://x.fi/a.jpg"
    assert kinds(rendering) == ["media_name_ignored", "caption_sent_as_text"]


@pytest.mark.parametrize(
    ("kind", "url", "content_type", "native"),
    [
        ("image", "https://x.fi/a.PNG", "", True),
        ("image", "https://x.fi/a.webp", "", False),
        ("image", "https://x.fi/download.php?id=1", "", True),
        ("image", "https://x.fi/download", "image/gif", False),
        ("audio", "https://x.fi/a.mp3?x=1.ogg", "", True),
        ("voice", "https://x.fi/a.m4a", "audio/ogg", True),
        ("voice", "https://x.fi/a", "audio/ogg; codecs=opus", False),
        ("voice", "https://x.fi/a", "audio/mpeg", True),
        ("voice", "https://x.fi/a", "application/octet-stream", True),
        ("video", "https://x.fi/a.mp4", "", True),
        ("video", "https://x.fi/a.mov", "", False),
        ("document", "https://x.fi/a.jpg", "", False),
    ],
)
def test_file_is_native_unless_it_is_known_that_line_cannot_show_it(kind, url, content_type, native):
    account = replace(ACCOUNT, settings=replace(SETTINGS, default_preview_image_url="https://x.fi/p.jpg"))
    facts = Facts(TID, USER, media={url: MediaFacts(content_type)})
    rendering = render(kind, media(url), account=account, facts=facts)
    assert (sent_messages(rendering)[0]["type"] != "flex") is native
    assert kinds(rendering) == ([] if native else ["transcoded_to_link"])


@pytest.mark.parametrize("preview", ["", "http://x.fi/p.jpg", "https:///p.jpg", "https://x.fi/" + "p" * 2000])
def test_video_without_usable_preview_is_a_link(preview):
    account = replace(ACCOUNT, settings=replace(SETTINGS, default_preview_image_url=preview))
    assert kinds(render("video", media("https://x.fi/a.mp4"), account=account)) == ["transcoded_to_link"]


@pytest.mark.parametrize(("found", "duration"), [(None, 60_000), (0, 60_000), (1234, 1234)])
def test_audio_says_its_duration(found, duration):
    facts = Facts(TID, USER, media={"https://x.fi/a.mp3": MediaFacts("", duration_ms=found)})
    assert sent_messages(render("audio", media("https://x.fi/a.mp3"), facts=facts))[0]["duration"] == duration


def test_only_audio_that_line_could_play_is_probed():
    def probed(kind, url):
        return line.needs(message(kind, media(url)), ACCOUNT).probe

    assert probed("audio", "https://x.fi/a.mp3") == ("https://x.fi/a.mp3",)
    assert probed("voice", "https://x.fi/a") == ("https://x.fi/a",)
    assert probed("voice", "https://x.fi/a.ogg") == ()
    assert probed("image", "https://x.fi/a.jpg") == ()
    assert line.needs(message("text", {"text": "x"}), ACCOUNT).probe == ()


@pytest.mark.parametrize(
    ("url", "name", "shown"),
    [
        ("https://x.fi/a/%E6%97%A5%E6%9C%AC.pdf?x=/y#z", "", "日本.pdf"),
        ("https://user@x.fi:8443/", "", "x.fi:8443"),
        ("https://x.fi", " ", "x.fi"),
        ("https://x.fi/a.pdf", "Two\nlines ", "Two lines"),
    ],
)
def test_document_is_a_card_with_a_name(url, name, shown):
    card = sent_messages(render("document", media(url, name)))[0]
    assert card["altText"] == shown
    assert card["contents"]["body"]["contents"][0]["text"] == shown


def test_document_whose_url_fits_no_button_is_text():
    url = "https://x.fi/" + "a" * 988
    rendering = render("document", media(url, "N" * 1001))
    assert sent_messages(rendering) == [{"type": "text", "text": "N" * 999 + "…\n" + url}]
    assert kinds(rendering) == ["transcoded_to_link", "title_truncated"]


@pytest.mark.parametrize(
    ("url", "encoded"),
    [
        ("https://bücher.example/ä?ö#ü", "https://xn--bcher-kva.example/%C3%A4?%C3%B6#%C3%BC"),
        ("https://x.fi/100%/%2F?a=[1]|2", "https://x.fi/100%25/%2F?a=[1]%7C2"),
        ("https://ü:p@x.fi:8443\\a", "https://%C3%BC:p@x.fi:8443%5Ca"),
        ("https://[::1]/a", "https://[::1]/a"),
    ],
)
def test_url_is_percent_encoded(url, encoded):
    assert sent_messages(render("image", media(url)))[0]["originalContentUrl"] == encoded


@pytest.mark.parametrize(
    ("latitude", "longitude", "address"),
    [(-6.2, 106.816666, "-6.2, 106.816666"), (90, -180.0, "90, -180"), (5e-324, -1e-9, "0, 0")],
)
def test_location_has_an_address(latitude, longitude, address):
    place = {"location": {"latitude": latitude, "longitude": longitude}}
    shown = sent_messages(render("location", place, facts=Facts(TID, USER, labels=Labels(location="Lokasi"))))[0]
    assert (shown["title"], shown["address"]) == ("Lokasi", address)


def test_location_title_is_cut_and_told():
    place = {"text": "T" * 101, "location": {"latitude": 0, "longitude": 0}}
    assert kinds(render("location", place)) == ["title_truncated"]


def header_text(text):
    return {"type": "text", "text": text, "media_url": ""}


def test_text_header_is_the_templates_title_or_its_words():
    template = sent_messages(render("button", buttons("A"), header=header_text("Menu")))[0]["template"]
    assert (template["title"], template["text"]) == ("Menu", "Choose")
    template = sent_messages(render("button", buttons("A", text=""), header=header_text("Menu")))[0]["template"]
    assert "title" not in template
    assert template["text"] == "Menu"


def test_footer_makes_a_card_with_grey_lines():
    rendering = render("button", buttons("A"), header=header_text("Menu"), footer={"title": "F", "text": "f"})
    rows = sent_messages(rendering)[0]["contents"]["body"]["contents"]
    assert [(row["text"], row.get("size")) for row in rows] == [
        ("Menu", "lg"),
        ("Choose", None),
        ("F", "sm"),
        ("f", "xs"),
    ]
    assert rendering.losses == ()


@pytest.mark.parametrize("change", [{"header": header_text("M" * 41)}, {"text": "t" * 61, "header": header_text("M")}])
def test_template_that_would_not_fit_is_a_card(change):
    content = buttons("A", text=change.pop("text", "Choose"))
    assert sent_messages(render("button", content, **change))[0]["type"] == "flex"


def test_label_is_cut_at_forty_and_the_whole_title_is_shown_when_pressed():
    rendering = render("button", buttons("T" * 41, "\n two \n", "X" * 301))
    actions = [each["action"] for each in sent_messages(rendering)[0]["contents"]["footer"]["contents"]]
    assert [action["label"] for action in actions] == ["T" * 39 + "…", "two", "X" * 39 + "…"]
    assert [action["displayText"] for action in actions] == ["T" * 41, "\n two \n", "X" * 299 + "…"]
    assert [loss.pointer for loss in rendering.losses] == ["/body/button/0/title", "/body/button/2/title"]


def test_words_beyond_a_text_begin_before_the_card():
    rendering = render("button", buttons("A", text="word " * 2000), header=header_text("Menu"))
    shown = sent_messages(rendering)
    assert [each["type"] for each in shown] == ["text", "text", "flex"]
    assert shown[0]["text"] == "Menu"
    assert kinds(rendering) == ["body_split"]


def test_header_and_footer_that_are_long_are_texts_of_their_own():
    footer = {"title": "F" * 600, "text": "f" * 600}
    rendering = render("button", buttons("A"), header=header_text("M" * 1001), footer=footer)
    assert [each["type"] for each in sent_messages(rendering)] == ["text", "template", "text"]
    assert kinds(rendering) == ["header_sent_separately", "footer_sent_separately"]


@pytest.mark.parametrize(
    ("header", "first", "losses"),
    [
        (
            {"type": "image", "media_url": "https://x.fi/a.gif"},
            "flex",
            ["transcoded_to_link", "header_sent_separately"],
        ),
        (
            {"type": "video", "media_url": "https://x.fi/a.mp4"},
            "flex",
            ["transcoded_to_link", "header_sent_separately"],
        ),
        ({"type": "document", "media_url": "https://x.fi/a"}, "flex", ["transcoded_to_link", "header_sent_separately"]),
    ],
)
def test_header_that_no_card_holds_comes_first(header, first, losses):
    rendering = render("button", buttons("A"), header=header)
    assert [each["type"] for each in sent_messages(rendering)] == [first, "template"]
    assert kinds(rendering) == losses


def test_list_image_header_comes_before_the_words():
    rendering = render("list", sections(1), header={"type": "image", "media_url": "https://x.fi/a.jpg"})
    assert [each["type"] for each in sent_messages(rendering)] == ["image", "text", "flex"]


def test_list_of_several_sections_is_a_carousel_and_its_footer_follows():
    rendering = render("list", sections(2, title="Menu"), header=header_text("H"), footer={"title": "F", "text": "f"})
    words, card, footer = sent_messages(rendering)
    assert words["text"] == "H\n\nChoose"
    assert (card["altText"], card["contents"]["type"]) == ("Choose", "carousel")
    assert footer["text"] == "F\nf"
    assert kinds(rendering) == ["list_as_flex", "list_title_ignored", "header_in_body", "footer_sent_separately"]


def test_list_footer_stands_in_a_single_card_where_there_is_room():
    footer = {"title": "", "text": "f" * 900}
    rows = sent_messages(render("list", sections(1), footer=footer))[-1]["contents"]["body"]["contents"]
    assert rows[-1] == {"type": "text", "text": "f" * 900, "wrap": True, "size": "xs", "color": "#888888"}
    rendering = render("list", sections(1, description="d" * 29_400), footer=footer)
    assert [each["type"] for each in sent_messages(rendering)] == ["text", "flex", "text"]


@pytest.mark.parametrize(
    ("text", "title", "header", "words"),
    [
        ("", "Menu", None, "Menu"),
        ("", "Menu", "Head", "Head\n\nMenu"),
        ("", "", "Head", "Head"),
        ("Text", "Text", None, "Text"),
        ("Text", " ", "Head", "Head\n\nText"),
    ],
)
def test_list_words_are_shown_once(text, title, header, words):
    others = {"header": header_text(header)} if header else {}
    rendering = render("list", sections(1, title=title, text=text), **others)
    assert [each["text"] for each in sent_messages(rendering) if each["type"] == "text"] == [words]
    assert "list_title_ignored" not in kinds(rendering)


# --- Any message ------------------------------------------------------------------------------------------------------


def clusters(text):
    return len(regex.findall(r"\X", text))


def units(text):
    return len(text.encode("utf-16-le")) // 2


def weight(value):
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def check_url(url, limit):
    assert re.fullmatch(r"https://[!-~]+", url), url
    assert len(url) <= limit


def check_action(action, label):
    assert 1 <= clusters(action["label"]) <= label
    assert action["label"].strip()
    if action["type"] == "uri":
        return check_url(action["uri"], 1000)
    assert action["type"] == "postback"
    assert 1 <= units(action["data"]) <= 300
    assert 1 <= clusters(action["displayText"]) <= 300
    return None


def check_flex(contents):
    if contents["type"] == "carousel":
        assert 1 <= len(contents["contents"]) <= 12
        assert weight(contents) <= 50_000
    for bubble in contents["contents"] if contents["type"] == "carousel" else [contents]:
        assert bubble["type"] == "bubble"
        assert weight(bubble) <= 30_000
        if "hero" in bubble:
            check_url(bubble["hero"]["url"], 2000)
        rows = bubble["body"]["contents"] + bubble.get("footer", {"contents": []})["contents"]
        assert bubble["body"]["contents"]
        for row in rows:
            if row["type"] == "text":
                assert row["text"].strip()
            else:
                check_action(row["action"], 40)


def check_template(template):
    beside = "title" in template or "thumbnailImageUrl" in template
    assert 1 <= clusters(template["text"]) <= (60 if beside else 160)
    assert template["text"].strip()
    assert 1 <= clusters(template.get("title", "x")) <= 40
    assert 1 <= len(template["actions"]) <= 4
    if "thumbnailImageUrl" in template:
        check_url(template["thumbnailImageUrl"], 2000)
    for action in template["actions"]:
        check_action(action, 20)


def check_message(each):
    """Check one LINE message against the reference, with nothing of the channel's own."""
    if "altText" in each:
        assert 1 <= units(each["altText"]) <= 1500
    match each["type"]:
        case "text":
            assert each["text"].strip()
            assert units(each["text"]) <= 5000
        case "image" | "video":
            check_url(each["originalContentUrl"], 2000)
            check_url(each["previewImageUrl"], 2000)
        case "audio":
            check_url(each["originalContentUrl"], 2000)
            assert each["duration"] >= 1
        case "location":
            assert 1 <= units(each["title"]) <= 100
            assert 1 <= units(each["address"]) <= 100
        case "template":
            check_template(each["template"])
        case "flex":
            check_flex(each["contents"])
        case other:
            raise AssertionError(other)


def pressed(value):
    """Yield the postback data anywhere in *value*."""
    if isinstance(value, dict):
        if value.get("type") == "postback":
            yield value["data"]
        for each in value.values():
            yield from pressed(each)
    elif isinstance(value, list):
        for each in value:
            yield from pressed(each)


def facts_for_any():
    quote = st.sampled_from([None, ReplyTarget("1", USER, ""), ReplyTarget("1", "", "qt")])
    token = st.sampled_from([None, ReplyToken("rt", 3.0)])
    cures = st.dictionaries(st.integers(1, 2), st.frozensets(st.sampled_from(Again)))
    return st.builds(
        Facts,
        tid=st.just(TID),
        address=st.sampled_from([USER, ""]),
        reply=quote,
        reply_token=token,
        again=cures,
    )


@settings(max_examples=200, deadline=None)
@given(https_bodies(), facts_for_any())
def test_any_message_is_within_the_limits_and_every_key_comes_back(given_body, facts):
    found = decoded(given_body)
    if not isinstance(found, Message):
        assert {each.code for each in found} <= {"too_many", "too_long"}
    assume(isinstance(found, Message))
    rendering = line.render(found, ACCOUNT, facts)
    assert [call.part for call in rendering.calls] == list(range(1, len(rendering.calls) + 1))
    for call in rendering.calls:
        assert 1 <= call.messages == len(call.json["messages"]) <= 5
        assert call.repeatable is ("X-Line-Retry-Key" in dict(call.headers)) is ("to" in call.json)
        for each in call.json["messages"]:
            check_message(each)
        assert len(call.body()) <= 2_000_000
    tokens = {token.token: token.key for token in rendering.tokens}
    came_back = Counter(tokens.get(value, value) for call in rendering.calls for value in pressed(call.json))
    rows = [row for section in found.list.sections for row in section.actions] if found.list else found.buttons
    assert came_back == Counter(row.key for row in rows)
    assert all(loss.pointer.startswith("/") and loss.detail for loss in rendering.losses)
    assert len(set(rendering.losses)) == len(rendering.losses)


# --- Answers ----------------------------------------------------------------------------------------------------------


def test_sent_gives_ids_and_quote_tokens_in_order():
    sent = {"sentMessages": [{"id": "1", "quoteToken": "a"}, {"id": 2}, {"id": True}, {"id": ""}, {}, "x"]}
    outcome = line.classify(PUSH, answer(200, sent))
    assert outcome.platform_ids == ("1", "2")
    assert outcome.learned.quote_tokens == ("a", "")
    assert line.classify(PUSH, answer(200, {})) == Sent(())
    assert line.classify(PUSH, answer(200, {"sentMessages": 1})) == Sent(())


def test_accepted_retry_key_is_success_with_the_ids_of_the_first_time():
    body_ = {"message": "The retry key is already accepted", "sentMessages": [{"id": 461230966842064897}]}
    assert line.classify(PUSH, answer(409, body_)).platform_ids == ("461230966842064897",)
    assert line.classify(PUSH, answer(409, {"message": "The retry key is already accepted"})) == Sent(())


@pytest.mark.parametrize(
    ("status", "content", "outcome", "fields"),
    [
        (200, b"", Unknown, {"code": "no_answer"}),
        (200, b'{"sentMess', Unknown, {"code": "no_answer"}),
        (200, [], Unknown, {"code": "no_answer"}),
        (302, {}, Unknown, {"code": "no_answer"}),
        (302, {"message": "moved"}, Unknown, {"code": "no_answer"}),
        (400, {"message": "The property, ‘to’, in the request body is invalid"}, Rejected, {"status": -2}),
        (400, {"message": "x", "details": [{"message": "bad", "property": "to"}]}, Rejected, {"status": -2}),
        (400, {"message": "The request body has 1 error(s)", "details": [{"message": "Long", "property": "m.text"}]},
         Rejected, {"status": -3, "code": "content_refused",
                    "reason": "LINE: The request body has 1 error(s); m.text Long"}),
        (400, {"message": "The property, 'messages', in the request body is invalid"}, Rejected, {"status": -3}),
        (400, {"message": "The request body could not be parsed as JSON"}, Rejected, {"status": -3}),
        (400, {"message": "The content type, text/html, is not supported"}, Rejected, {"status": -3}),
        (400, {"message": "Something new"}, Rejected, {"status": -3, "code": "content_refused"}),
        (400, {"message": "Invalid reply token"}, Rejected, {"status": -3}),
        (400, b"<html>", Unknown, {"code": "no_answer"}),
        (401, b"<html>", AccountDown, {"code": "account_credentials"}),
        (403, {"message": "Access to this API is not available for your account"}, AccountDown,
         {"code": "account_permission"}),
        (403, b"", AccountDown, {"code": "account_permission"}),
        (404, {"message": "Not found"}, AccountDown, {"code": "account_setup"}),
        (408, b"", Unknown, {"code": "no_answer"}),
        (409, {"message": "Conflict"}, Unknown, {"code": "ambiguous_error"}),
        (409, b"half", Unknown, {"code": "no_answer"}),
        (410, {"message": "The content is gone"}, Rejected, {"status": -3}),
        (413, b"", Rejected, {"status": -3}),
        (415, {"message": "x"}, Rejected, {"status": -3}),
        (418, {"message": "x"}, Rejected, {"status": -3, "code": "content_refused"}),
        (422, {"message": "Failed to send messages"}, Rejected, {"status": -2, "code": "recipient_unreachable"}),
        (429, {"message": "Too many to one user"}, Retry, {"scope": Scope.RECIPIENT, "throttled": True}),
        (429, b"", Retry, {"scope": Scope.ACCOUNT, "throttled": True}),
        (500, b"<html>", Unknown, {"code": "no_answer"}),
        (500, {"error": 1}, Unknown, {"code": "no_answer"}),
        (503, {"message": "Service Unavailable"}, Retry, {"code": "platform_unavailable", "throttled": False}),
    ],
)  # fmt: skip
def test_answer_to_a_push(status, content, outcome, fields):
    found = line.classify(PUSH, answer(status, content))
    assert isinstance(found, outcome)
    assert {name: getattr(found, name) for name in fields} == fields


def of_content():
    return Rejected(Status.FAILED, "content_refused", "")


def of_recipient(code):
    return Rejected(Status.UNDELIVERED, code, "")


def of_account(code):
    return AccountDown(code, "")


RATE = Retry("rate_limited", "", scope=Scope.ACCOUNT, throttled=True)
RECIPIENT_RATE = replace(RATE, scope=Scope.RECIPIENT)
FAULT = Retry("platform_unavailable", "")
QUOTA = of_account("account_quota")
LONG = {"message": "Length must be between 0 and 5000", "property": "messages[0].text"}
NO_QUOTE = Retry("content_refused", "", again=Again.WITHOUT_QUOTE)

#: LINE's reference as data: the call, the status, the message (with details) → the outcome, without its words.
REFUSALS = [
    ("push", 400, "Failed to send messages", of_recipient("recipient_unknown")),
    ("push", 400, "The property, 'to', in the request body is invalid (line: -, column: -)",
     of_recipient("recipient_unknown")),
    ("push", 400, ("The request body has 1 error(s)", [{"message": "invalid", "property": "to"}]),
     of_recipient("recipient_unknown")),
    ("reply", 400, "Invalid reply token", Retry("content_refused", "", again=Again.PUSH)),
    ("push", 400, "Invalid reply token", of_content()),
    ("quoting", 400, ("The request body has 1 error(s)", [{"property": "messages[0].quoteToken"}]), NO_QUOTE),
    ("quoting", 400, "Invalid quoteToken", NO_QUOTE),
    ("quoting", 400, "The quote token is invalid", NO_QUOTE),
    ("push", 400, "The quote token is invalid", of_content()),
    ("push", 400, ("The request body has 1 error(s)", [LONG]), of_content()),
    ("push", 400, "The property, 'messages', in the request body is invalid", of_content()),
    ("push", 400, "The request body could not be parsed as JSON", of_content()),
    ("push", 400, "The content type, text/html, is not supported", of_content()),
    ("push", 400, "something new", of_content()),
    ("push", 401, "Authentication failed due to the following reason: invalid token", of_account("account_credentials")),
    ("push", 403, "Access to this API is not available for your account", of_account("account_permission")),
    ("push", 403, "something new", of_account("account_permission")),
    ("push", 404, "Not found", of_account("account_setup")),
    ("push", 405, "Method not allowed", of_account("account_setup")),
    ("push", 409, "The retry key is already accepted", Sent(())),
    ("push", 409, "something new", Unknown("ambiguous_error", "")),
    ("push", 410, "The content is gone", of_content()),
    ("push", 413, "Request entity too large", of_content()),
    ("push", 415, "Unsupported media type", of_content()),
    ("push", 422, "Failed to send messages", of_recipient("recipient_unreachable")),
    ("push", 422, "something new", of_content()),
    ("push", 429, "You have reached your monthly limit.", QUOTA),
    ("push", 429, "YOU HAVE REACHED YOUR  Monthly\u00a0Limit", QUOTA),
    ("push", 429, ("The API rate limit has been exceeded.", [{"message": "you have reached your Monthly limit"}]), QUOTA),
    ("reply", 429, "You have reached your monthly limit.", QUOTA),
    ("push", 429, "The API rate limit has been exceeded. Try again later.", RATE),
    ("push", 429, "THE API RATE LIMIT HAS BEEN EXCEEDED.", RATE),
    ("push", 429, "something new", RECIPIENT_RATE),
    ("push", 500, "Internal Server Error", FAULT),
    ("push", 503, "Service Unavailable", FAULT),
    ("reply", 500, "Internal Server Error", Unknown("ambiguous_error", "")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "status", "said", "expected"), REFUSALS, ids=lambda value: str(value)[:60])
def test_every_refusal_of_lines_reference(kind, status, said, expected):
    message_, details = said if isinstance(said, tuple) else (said, None)
    call = {"push": PUSH, "reply": REPLY, "quoting": QUOTING}[kind]
    outcome = line.classify(call, answer(status, {"message": message_} | ({"details": details} if details else {})))
    if isinstance(outcome, Sent):
        assert outcome == expected
        return
    assert replace(outcome, reason="", provider_code="") == expected
    assert outcome.provider_code == str(status)
    assert message_ in outcome.reason or "\u00a0" in message_
    assert outcome.code in ERRORS


def test_every_refusal_has_its_row_and_every_row_its_refusal():
    reached = set()
    for _, status, said, _ in REFUSALS:
        message_, details = said if isinstance(said, tuple) else (said, None)
        row = line_errors.find(status, line_errors.read({"message": message_, "details": details}))
        if (status, said) == (422, "something new"):
            assert row is line_errors.OTHER
            continue
        assert row.status == min(status, 500), said
        if status in {400, 403, 409, 422, 429}:  # the others are told by their status alone
            assert bool(row.says or row.field) is (said != "something new"), said
        reached.add(row)
    assert reached == set(line.ERRORS)


def test_no_answer_before_and_after_sending():
    assert line.classify(PUSH, NoAnswer(Stage.BEFORE_SEND, "refused")).code == "not_reached"
    assert isinstance(line.classify(PUSH, NoAnswer(Stage.BEFORE_SEND, "refused")), Retry)
    assert line.classify(REPLY, NoAnswer(Stage.AFTER_SEND, "reset")).code == "no_answer"


def test_reply_that_failed_inside_line_is_unknown():
    outcome = line.classify(REPLY, answer(500, {"message": "Internal Server Error"}))
    assert (type(outcome), outcome.code) == (Unknown, "ambiguous_error")


@pytest.mark.parametrize(
    "refused",
    [
        {"message": "The request body has 1 error(s)", "details": [{"property": "messages[0].quoteToken"}]},
        {"message": "Invalid quoteToken"},
        {"message": "The quote token is invalid"},
    ],
)
def test_quote_token_that_is_refused_is_left_out_once(refused):
    assert line.classify(QUOTING, answer(400, refused)).again is Again.WITHOUT_QUOTE
    assert line.classify(PUSH, answer(400, refused)).status is Status.FAILED


@pytest.mark.parametrize(
    ("given", "after"), [("3", 3.0), ("999999", 3600.0), ("-1", None), ("soon", None), ("٣", None)]
)
def test_retry_after_is_obeyed_where_somebody_sends_it(given, after):
    outcome = line.classify(PUSH, answer(429, {"message": "The API rate limit"}, retry_after=given))
    assert outcome.after == after


def json_values():
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    names = st.sampled_from(["message", "details", "property", "sentMessages", "id", "quoteToken"]) | st.text(
        max_size=5
    )
    return st.recursive(
        leaf, lambda each: st.lists(each, max_size=4) | st.dictionaries(names, each, max_size=4), max_leaves=12
    )


def bodies():
    return st.binary(max_size=100) | json_values().map(lambda value: json.dumps(value).encode())


STATUSES = st.sampled_from([200, 202, 302, 400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 500, 503]) | st.integers(
    100, 999
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([PUSH, REPLY, QUOTING]), STATUSES, bodies(), st.text(max_size=10), st.booleans())
def test_classify_is_total(call, status, raw, retry_after, after_unknown):
    asked = replace(call, after_unknown=after_unknown), Answer(status, {"retry-after": retry_after}, raw)
    found = line.classify(*asked)
    assert line.classify(*asked) == found
    assert isinstance(found, Sent | Retry | Rejected | Unknown | AccountDown)
    if not isinstance(found, Sent):
        assert found.code in ERRORS
        found.reason.encode()


@settings(max_examples=200, deadline=None)
@given(STATUSES, bodies(), st.booleans())
@example(400, b'{"message":"Invalid reply token"}', False)
@example(400, b'{"message":"Invalid quoteToken"}', False)
def test_an_answer_that_stays_the_same_names_each_cure_once(status, raw, after_unknown):
    facts = Facts(TID, USER, reply=ReplyTarget("1", USER, "qt"), reply_token=ReplyToken("rt", 3.0))
    taken = set()
    while True:
        call = render("text", {"text": "Hi"}, facts=facts, reply_id="1").calls[0]
        found = line.classify(replace(call, after_unknown=after_unknown), Answer(status, {}, raw))
        if not isinstance(found, Retry) or found.again is None:
            break
        assert found.again not in taken
        taken.add(found.again)
        facts = replace(facts, again={1: frozenset(taken)})


def test_classify_survives_a_body_that_nests_for_ever():
    assert isinstance(line.classify(PUSH, Answer(500, {}, b"[" * 60_000)), Unknown)
    assert isinstance(
        line.classify(Call(1, "POST", "", (), {"messages": 3}), answer(400, {"message": "quotetoken"})), Rejected
    )


# --- The rest -----------------------------------------------------------------------------------------------------------


def test_account_of_another_channel_is_a_mistake():
    with pytest.raises(TypeError, match="acme-line"):
        line.render(message("text", {"text": "x"}), replace(ACCOUNT, settings=object()), Facts(TID, USER))


def test_problem_details_are_sentences():
    found = decoded(body("image", media("http://x.fi/a.jpg")))
    assert found == [
        Problem(
            "/body/media/url",
            "https_required",
            "body.media.url begins with http://, and LINE takes files by https only; put the file where https reaches it",
        )
    ]
    assert account_of({"channel": {"default_preview_image_url": None}}) == ACCOUNT
