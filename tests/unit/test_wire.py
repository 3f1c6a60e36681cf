"""The seed's body, decoded: what is taken, what is refused and where, what is lost, and what counts as the same content."""

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kurir.domain.message import HeaderType, Message, MessageType
from kurir.domain.problem import Problem
from kurir.http.models import SAMPLE, SendRequest
from kurir.intake import wire
from support.bodies import COUNTED, MEDIA, TYPES, body, changed, full, other_value, without
from support.messages import RECIPIENTS, seed_bodies
from support.seed_sample import PLAIN, sample

CHANNELS = ("whatsapp", "telegram", "line", "messenger")


def decoded(given_body: Any, channel: str = "whatsapp") -> Message:
    message = wire.decode(given_body, channel)
    assert isinstance(message, Message), message
    return message


def problems(given_body: Any, channel: str = "whatsapp") -> set[tuple[str, str]]:
    found = wire.decode(given_body, channel)
    assert isinstance(found, list), "it was accepted"
    return {(problem.pointer, problem.code) for problem in found}


# --- the sample -------------------------------------------------------------------------------------------------------


def test_the_models_sample_is_the_published_one():
    assert json.loads(PLAIN) == SAMPLE


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("kind", ["text", "button", "list", "location"])
def test_the_sample_is_taken_as_it_stands(kind, channel):
    message = decoded(sample(type=kind), channel)
    assert message.header is None
    assert message.footer is None
    assert message.media is None


@pytest.mark.parametrize("kind", list(MEDIA))
def test_the_sample_is_taken_for_media_once_the_url_is_filled_in(kind):
    assert problems(sample(type=kind)) == {("/body/media/url", "blank")}
    message = decoded(changed(sample(type=kind), "/body/media/url", "https://example.com/a.jpg"))
    assert message.media is not None
    assert message.text == "xxx xxxx xxxxx."


def test_the_samples_filled_in_buttons_and_list_are_losses_of_a_text():
    assert [(loss.pointer, loss.kind) for loss in decoded(sample()).ignored] == [
        ("/body/button", "part_ignored"),
        ("/body/list", "part_ignored"),
    ]


# --- mandatory fields -------------------------------------------------------------------------------------------------

WRONG = {
    "string": [5, True, [], {}, 1.5],
    "integer": ["x", True, [], {}, 1.5, "1.5", ""],
    "object": [5, True, "x", [1]],
}
MANDATORY = [
    ("text", "/id", "string", "blank"),
    ("text", "/times", "integer", ""),
    ("text", "/timestamp", "string", "invalid_format"),
    ("text", "/recipient", "string", "blank"),
    ("text", "/type", "string", "unsupported_value"),
    ("text", "/body/text", "string", "blank"),
    ("image", "/body/media", "object", ""),
    ("image", "/body/media/url", "string", "blank"),
    ("voice", "/body/media/url", "string", "blank"),
    ("location", "/body/location", "object", ""),
    ("location", "/body/location/latitude", "number", ""),
    ("location", "/body/location/longitude", "number", ""),
    ("button", "/body/button/0/key", "string", "blank"),
    ("button", "/body/button/0/title", "string", "blank"),
    ("list", "/body/list", "object", ""),
    ("list", "/body/list/title", "string", "allowed"),
    ("list", "/body/list/sections/0/title", "string", "allowed"),
    ("list", "/body/list/sections/0/description", "string", "allowed"),
    ("list", "/body/list/sections/0/actions/0/key", "string", "blank"),
    ("list", "/body/list/sections/0/actions/0/title", "string", "blank"),
    ("list", "/body/list/sections/0/actions/0/description", "string", "allowed"),
]


@pytest.mark.parametrize(("kind", "at", "json_type", "blank"), MANDATORY)
def test_a_mandatory_field_that_is_missing_null_blank_or_of_another_type_is_named(kind, at, json_type, blank):
    good = body(kind)
    decoded(good)
    assert problems(without(good, at)) == {(at, "missing")}
    assert problems(changed(good, at, None)) == {(at, "missing")}
    for value in WRONG.get(json_type, ["x", True, [], {}]):
        assert problems(changed(good, at, value)) == {(at, "wrong_type")}, value
    for value in ("", "  ", "\n\t\u00a0"):
        if blank == "allowed":
            decoded(changed(good, at, value))
        elif blank:
            assert problems(changed(good, at, value)) == {(at, blank)}


@pytest.mark.parametrize(
    ("kind", "at", "value", "expected"),
    [
        ("button", "/body/button", None, ("/body/button", "missing")),
        ("button", "/body/button", [], ("/body/button", "too_few")),
        ("button", "/body/button", "x", ("/body/button", "wrong_type")),
        ("button", "/body/button", [5], ("/body/button/0", "wrong_type")),
        ("button", "/body/button", {"key": "a"}, ("/body/button/0/title", "missing")),
        ("list", "/body/list/sections", [], ("/body/list/sections", "too_few")),
        ("list", "/body/list/sections", {}, ("/body/list/sections", "wrong_type")),
        ("list", "/body/list/sections", ["x"], ("/body/list/sections/0", "wrong_type")),
        ("list", "/body/list/sections/0/actions", [], ("/body/list/sections/0/actions", "too_few")),
        ("list", "/body/list/sections/0/actions", None, ("/body/list/sections/0/actions", "missing")),
        ("list", "/body/list/sections/0/actions", [[]], ("/body/list/sections/0/actions/0", "wrong_type")),
        ("location", "/body/location/latitude", 90.0001, ("/body/location/latitude", "out_of_range")),
        ("location", "/body/location/latitude", -91, ("/body/location/latitude", "out_of_range")),
        ("location", "/body/location/longitude", 180.5, ("/body/location/longitude", "out_of_range")),
        ("location", "/body/location/longitude", 10**400, ("/body/location/longitude", "out_of_range")),
        ("location", "/body/location/latitude", "nan", ("/body/location/latitude", "out_of_range")),
        ("location", "/body/location/latitude", "inf", ("/body/location/latitude", "out_of_range")),
        ("location", "/body/location/latitude", "1_0", ("/body/location/latitude", "wrong_type")),
        ("text", "/times", 2**63, ("/times", "out_of_range")),
        ("text", "/times", 1e300, ("/times", "out_of_range")),
        ("text", "/times", "٣", ("/times", "wrong_type")),
        ("text", "/id", "x" * 1025, ("/id", "too_long")),
        ("text", "/id", "é" * 513, ("/id", "too_long")),
        ("text", "/type", "Text", ("/type", "unsupported_value")),
        ("text", "/type", "sticker", ("/type", "unsupported_value")),
        ("text", "/timestamp", "yesterday", ("/timestamp", "invalid_format")),
        ("text", "/timestamp", "2023-02-30T00:00:00Z", ("/timestamp", "invalid_format")),
        ("text", "/timestamp", "1699594688", ("/timestamp", "invalid_format")),
        ("text", "/recipient", "nobody", ("/recipient", "invalid_recipient")),
        ("text", "/body", [1], ("/body", "wrong_type")),
        ("image", "/body/media/url", "/relative.jpg", ("/body/media/url", "unsupported_scheme")),
        ("image", "/body/media/url", "ftp://example.com/a", ("/body/media/url", "unsupported_scheme")),
        ("image", "/body/media/url", "file:///etc/passwd", ("/body/media/url", "unsupported_scheme")),
        ("image", "/body/media/url", "data:image/png;base64,AAAA", ("/body/media/url", "unsupported_scheme")),
        ("image", "/body/media/url", "https://", ("/body/media/url", "unsupported_scheme")),
        ("image", "/body/media/url", "https://example.com/a b.jpg", ("/body/media/url", "invalid_format")),
        ("image", "/body/media/url", "https://example.com/a\nb", ("/body/media/url", "invalid_format")),
        ("image", "/body/media/name", 5, ("/body/media/name", "wrong_type")),
        ("image", "/body/text", ["x"], ("/body/text", "wrong_type")),
        ("text", "/reply_id", 5, ("/reply_id", "wrong_type")),
        ("text", "/reply_id", {"id": "x"}, ("/reply_id", "wrong_type")),
        ("text", "/reply_token", [1], ("/reply_token", "wrong_type")),
        ("button", "/header", "x", ("/header", "wrong_type")),
        ("button", "/header", {"type": "audio", "media_url": "x"}, ("/header/type", "unsupported_value")),
        ("button", "/header", {"type": {"a": 1}}, ("/header/type", "unsupported_value")),
        ("button", "/header", {"type": ["text"]}, ("/header/type", "unsupported_value")),
        ("button", "/header", {"type": "text"}, ("/header/text", "missing")),
        ("button", "/header", {"type": "text", "text": " "}, ("/header/text", "blank")),
        ("button", "/header", {"type": "image", "media_url": ""}, ("/header/media_url", "blank")),
        ("button", "/header", {"type": "image", "media_url": "x"}, ("/header/media_url", "unsupported_scheme")),
        ("list", "/footer", [5], ("/footer", "wrong_type")),
        ("list", "/footer", {"title": 5}, ("/footer/title", "wrong_type")),
        ("list", "/footer", {"text": ["x"], "title": "T"}, ("/footer/text", "wrong_type")),
    ],
)
def test_a_wrong_value_is_named_with_its_pointer_and_code(kind, at, value, expected):
    good = body(kind)
    if at.count("/") == 1:
        assert problems({**good, at[1:]: value}) == {expected}
    else:
        assert problems(changed(good, at, value)) == {expected}


@pytest.mark.parametrize("value", [[], "text", 5, None, True, [{"id": "x"}]])
def test_a_body_that_is_no_object_is_one_problem(value):
    assert problems(value) == {("", "wrong_type")}


def test_all_problems_are_reported_at_once():
    found = problems({"type": "list", "body": {"list": {"sections": [{"actions": [{}, {"key": " ", "title": 5}]}, 5]}}})
    assert found == {
        ("/id", "missing"),
        ("/times", "missing"),
        ("/timestamp", "missing"),
        ("/recipient", "missing"),
        ("/body/list/title", "missing"),
        ("/body/list/sections/0/title", "missing"),
        ("/body/list/sections/0/description", "missing"),
        ("/body/list/sections/0/actions/0/key", "missing"),
        ("/body/list/sections/0/actions/0/title", "missing"),
        ("/body/list/sections/0/actions/0/description", "missing"),
        ("/body/list/sections/0/actions/1/key", "blank"),
        ("/body/list/sections/0/actions/1/title", "wrong_type"),
        ("/body/list/sections/0/actions/1/description", "missing"),
        ("/body/list/sections/1", "wrong_type"),
        ("/body/text", "no_words"),
    }


@pytest.mark.parametrize("item", [{}, 5, {"key": "a"}])
@pytest.mark.parametrize("count", [150, 1000])
def test_of_many_wrong_items_a_hundred_problems_are_enough(item, count):
    for given_body in (
        changed(body("button"), "/body/button", [item] * count),
        changed(body("list"), "/body/list/sections", [item] * count),
        changed(body("list"), "/body/list/sections/0/actions", [item] * count),
    ):
        found = wire.decode(without(given_body, "/id"), "whatsapp")
        assert isinstance(found, list)
        assert found[0].pointer == "/id"
        last = found[-1]
        assert (last.pointer, last.code) == ("/body", "more_problems")
        assert "more items were not looked at" in last.detail
        assert wire.ENOUGH_PROBLEMS <= len(found) <= wire.ENOUGH_PROBLEMS + 5


def test_the_items_that_were_not_looked_at_are_counted_through_the_sections():
    section = {"title": "T", "description": "", "actions": [5] * 60}
    found = wire.decode(changed(body("list"), "/body/list/sections", [section] * 5), "whatsapp")
    assert isinstance(found, list)
    assert len(found) == wire.ENOUGH_PROBLEMS + 1
    assert "23 more items" in found[-1].detail, "20 actions and 3 sections"


@pytest.mark.parametrize(
    ("kind", "at", "value"),
    [
        ("button", "/body/button", {"key": "k", "title": "T"}),
        ("button", "/body/button", {}),
        ("list", "/body/list/sections", {}),
        ("list", "/body/list/sections/0/actions", 5),
    ],
)
def test_more_items_than_any_message_needs_are_one_problem(kind, at, value):
    found = wire.decode(changed(body(kind), at, [value] * 1001), "line")
    assert isinstance(found, list)
    (problem,) = found
    assert (problem.pointer, problem.code) == (at, "too_many")
    assert "1001 items" in problem.detail
    assert "at most 1000" in problem.detail


def test_sections_and_actions_are_counted_together():
    row = {"key": "k", "title": "T", "description": ""}
    section = {"title": "S", "description": "", "actions": [row] * 9}
    decoded(changed(body("list"), "/body/list/sections", [section] * 100))
    many = changed(body("list"), "/body/list/sections", [section] * 100 + [{**section, "actions": [row]}])
    assert problems(many) == {("/body/list/sections", "too_many")}


def test_the_sentence_about_words_names_every_place_for_them():
    for kind, places in (
        ("button", "fill in body.text or a text header"),
        ("list", "fill in body.text, a text header or list.title"),
    ):
        blank = changed(body(kind), "/body/text", "")
        found = wire.decode(changed(blank, "/body/list/title", "") if kind == "list" else blank, "line")
        assert isinstance(found, list)
        assert [problem.detail.partition(": ")[2] for problem in found] == [places]


def test_every_problem_says_what_is_wrong_in_a_sentence_that_names_the_field():
    found = wire.decode({"type": "button", "body": {"button": [{}]}, "expires_in": -1}, "line")
    assert isinstance(found, list)
    for problem in found:
        assert problem.pointer[1:].replace("/", ".") in problem.detail
        assert len(problem.detail.split()) > 3


# --- what is taken ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "2023-11-10T12:38:08.153726382+07:00",
        "2023-11-10T12:38:08Z",
        "2023-11-10T12:38:08z",
        "2023-11-10t12:38:08.1Z",
        "2023-11-10 12:38:08",
        "2023-11-10T12:38:08+0700",
        "2023-11-10T12:38:08-11:30",
        "2023-11-10T12:38:08+14:00",
        "2023-11-10T12:38:08.123456789123Z",
        "2016-12-31T23:59:60Z",
        "0001-01-01T00:00:00Z",
    ],
)
def test_a_timestamp_parses_with_any_offset_and_any_number_of_digits(text):
    decoded(body(timestamp=text))
    decoded({**without(body(), "/timestamp"), "timestampt": text})


def test_the_alias_counts_where_the_name_itself_is_null():
    decoded(body(timestamp=None, timestampt="2023-11-10T12:38:08Z"))
    assert problems({**without(body(), "/timestamp"), "timestampt": "never"}) == {("/timestampt", "invalid_format")}


@pytest.mark.parametrize("value", [0, -5, 1700000000, "0", " 1700000000 ", "-5", 1700000000.0, 2**63 - 1])
def test_times_is_any_integer_also_as_a_string(value):
    decoded(body(times=value))


@pytest.mark.parametrize("value", [0, -0.0, "0", " -6.2 ", 90, -90, 1e-300])
def test_a_coordinate_is_any_number_of_degrees_also_as_a_string(value):
    message = decoded(changed(body("location"), "/body/location/latitude", value))
    assert message.location is not None
    assert message.location.latitude == float(value)


def test_unknown_fields_are_ignored_everywhere():
    good = changed(body("button"), "/body/button/0/colour", "red")
    assert decoded({**good, "x": {"y": [1]}, "TEXT": "x"}) == decoded({**good})


def test_a_single_button_counts_as_a_list_of_one():
    several = body("button")
    single = changed(several, "/body/button", several["body"]["button"][0])
    assert decoded(single) == decoded(several)


@pytest.mark.parametrize(
    "empty", [None, "", " ", 0, 0.0, False, {}, [], {"url": "", "name": None}, [{"key": ""}], [[]]]
)
@pytest.mark.parametrize("part", ["media", "location", "button", "list", "template"])
def test_an_unused_part_that_is_empty_or_zeroed_is_absent(part, empty):
    assert decoded(changed(body(), f"/body/{part}", empty)).ignored == ()


@pytest.mark.parametrize(
    "value", ["x", 5, True, [1], {"url": 5}, {"url": "not a url"}, [{"key": 7}], {"latitude": 900}]
)
@pytest.mark.parametrize("part", ["media", "location", "button", "list", "template"])
def test_an_unused_part_that_is_filled_in_is_never_validated_and_is_a_loss(part, value):
    (loss,) = decoded(changed(body(), f"/body/{part}", value)).ignored
    assert (loss.pointer, loss.kind) == (f"/body/{part}", "part_ignored")


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind not in ("button", "list")])
def test_header_and_footer_of_other_types_are_losses_and_never_validated(kind):
    message = decoded(body(kind, header={"type": "hologram"}, footer=["x"]))
    assert {(loss.pointer, loss.kind) for loss in message.ignored} == {
        ("/header", "header_footer_ignored"),
        ("/footer", "header_footer_ignored"),
    }


@pytest.mark.parametrize("kind", ["button", "list"])
def test_header_and_footer_stand_beside_the_body_or_inside_it(kind):
    header, footer = {"type": "text", "text": "H"}, {"title": "T", "text": ""}
    beside = decoded(body(kind, id="x", header=header, footer=footer))
    inside = body(kind, id="x", header={"type": "", "text": ""}, footer=None)
    inside["body"] |= {"header": header, "footer": footer}
    assert decoded(inside) == beside
    assert beside.header is not None
    assert beside.header.type is HeaderType.TEXT


def test_of_two_headers_the_one_beside_the_body_wins_and_the_other_is_a_loss():
    two = body("button", header={"type": "text", "text": "Top"})
    two["body"]["header"] = {"type": "text", "text": "Inner"}
    message = decoded(two)
    assert message.header is not None
    assert message.header.text == "Top"
    assert [(loss.pointer, loss.kind) for loss in message.ignored] == [("/body/header", "header_footer_ignored")]
    two["body"]["header"] = two["header"]
    assert decoded(two).ignored == ()


def test_a_problem_of_a_header_inside_the_body_points_there():
    inside = body("button")
    inside["body"]["header"] = {"type": "text", "text": 5}
    assert problems(inside) == {("/body/header/text", "wrong_type")}
    assert wire.placed(inside, "/header/media_url") == "/body/header/media_url"
    assert wire.placed(body("button", header={"type": "image"}), "/header/media_url") == "/header/media_url"
    assert wire.placed(inside, "/body/media/url") == "/body/media/url"


def test_a_header_of_blank_type_is_no_header_and_what_it_held_is_a_loss():
    assert decoded(body("button", header={"type": "", "text": "", "media_url": ""})).ignored == ()
    message = decoded(body("button", header={"type": " ", "text": "words"}))
    assert message.header is None
    assert [(loss.pointer, loss.kind) for loss in message.ignored] == [("/header", "header_footer_ignored")]


def test_what_a_header_of_another_type_holds_is_a_loss():
    message = decoded(body("list", header={"type": "text", "text": "H", "media_url": "https://example.com/a.jpg"}))
    assert [loss.pointer for loss in message.ignored] == ["/header/media_url"]
    message = decoded(body("list", header={"type": "image", "text": "H", "media_url": "https://example.com/a.jpg"}))
    assert [loss.pointer for loss in message.ignored] == ["/header/text"]


@pytest.mark.parametrize(("footer", "exists"), [({"title": "T"}, True), ({"text": "t"}, True), ({"title": " "}, False)])
def test_a_footer_exists_when_its_title_or_text_is_not_blank(footer, exists):
    assert (decoded(body("button", footer=footer)).footer is not None) is exists


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize(
    ("kind", "text", "header", "title", "has_words"),
    [
        ("button", "", None, "", False),
        ("button", " ", None, "", False),
        ("button", None, None, "", False),
        ("button", "", {"type": "image", "media_url": "https://example.com/a.jpg"}, "", False),
        ("button", "", {"type": "text", "text": "H"}, "", True),
        ("list", "", None, "", False),
        ("list", "", None, " ", False),
        ("list", "", None, "Menu", True),
        ("list", "", {"type": "text", "text": "H"}, "", True),
        ("list", "words", None, "", True),
    ],
)
def test_buttons_and_lists_need_words_on_every_channel(channel, kind, text, header, title, has_words):
    given_body = changed(body(kind, recipient=RECIPIENTS[channel][0], header=header), "/body/text", text)
    if kind == "list":
        given_body = changed(given_body, "/body/list/title", title)
    if has_words:
        decoded(given_body, channel)
    else:
        assert problems(given_body, channel) == {("/body/text", "no_words")}


# --- extensions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("account", 5, "wrong_type"),
        ("account", ["a"], "wrong_type"),
        ("expires_in", 0, "out_of_range"),
        ("expires_in", -1, "out_of_range"),
        ("expires_in", 2_592_001, "out_of_range"),
        ("expires_in", 2**70, "out_of_range"),
        ("expires_in", "soon", "wrong_type"),
        ("expires_in", 1.5, "wrong_type"),
        ("expires_in", True, "wrong_type"),
        ("send_at", 1700000000, "wrong_type"),
        ("send_at", "2026-11-22T09:00:00", "invalid_format"),
        ("send_at", "tomorrow", "invalid_format"),
        ("send_at", "9999-12-31T23:59:59Z", "out_of_range"),
        ("priority", "urgent", "unsupported_value"),
        ("priority", "HIGH", "unsupported_value"),
        ("priority", 5, "wrong_type"),
        ("strict", "true", "wrong_type"),
        ("strict", 1, "wrong_type"),
        ("strict", [], "wrong_type"),
        ("fallback", "template", "wrong_type"),
    ],
)
def test_an_extension_that_is_given_is_validated(name, value, code):
    assert problems(body(**{name: value})) == {(f"/{name}", code)}


def test_a_fallback_names_when_and_a_whole_template():
    assert problems(body(fallback={"when": "always", "template": {"name": " ", "parameters": []}})) == {
        ("/fallback/when", "unsupported_value"),
        ("/fallback/template/name", "blank"),
        ("/fallback/template/language", "missing"),
        ("/fallback/template/parameters", "wrong_type"),
    }


def test_empty_parameters_of_a_template_are_absent_and_others_are_kept_as_they_are():
    given_parameters = {"header": " ", "body": ["", {"x": None}], "buttons": [], "other": 0, "none": None}
    message = decoded(
        body("template", body={"template": {"name": "a", "language": "en", "parameters": given_parameters}}), "whatsapp"
    )
    assert json.loads(message.template.parameters) == {"body": ["", {"x": None}], "other": 0}


@pytest.mark.parametrize("channel", CHANNELS)
def test_an_unknown_type_is_told_the_types_that_the_channel_has(channel):
    found = wire.decode(body() | {"type": "sticker"}, channel)
    (detail,) = (problem.detail for problem in found if problem.pointer == "/type")
    assert ("template" in detail) is (channel == "whatsapp")


@pytest.mark.parametrize(
    "name", ["account", "expires_in", "send_at", "priority", "fallback", "reply_id", "reply_token"]
)
@pytest.mark.parametrize("empty", [None, "", " "])
def test_an_extension_that_is_null_or_blank_is_absent(name, empty):
    plain = body()
    assert decoded({**plain, name: empty}) == decoded(plain)


def test_extensions_are_read():
    message = decoded(
        body(account="acme", expires_in="60", send_at="2026-11-22T09:00:00+07:00", priority="bulk", strict=True)
    )
    assert (message.account, message.expires_in_seconds, message.priority, message.strict) == ("acme", 60, "bulk", True)
    assert message.send_at is not None
    assert message.send_at.isoformat() == "2026-11-22T09:00:00+07:00"


# --- the same content -------------------------------------------------------------------------------------------------


def print_of(given_body: Any, channel: str = "whatsapp") -> bytes:
    return wire.fingerprint(wire.encode(decoded(given_body, channel)))


@pytest.mark.parametrize("kind", TYPES)
def test_every_field_that_the_type_uses_counts(kind):
    first = full(kind)
    fields = COUNTED[kind]
    for at in fields:
        other = changed(first, at, other_value(at))
        assert print_of(other) != print_of(first), at
    assert print_of(changed(first, "/type", "audio" if kind == "voice" else "voice") if kind in MEDIA else first)


@pytest.mark.parametrize("kind", TYPES)
def test_what_the_client_did_not_mean_does_not_count(kind):
    first = full(kind)
    same = [
        {**first, "times": 5},
        {**first, "timestamp": "2024-01-01T00:00:00Z"},
        {**without(first, "/timestamp"), "timestampt": "2024-01-01T00:00:00Z"},
        {**first, "unknown": {"x": 1}},
        dict(reversed(first.items())),
        {**first, "expires_in": "60"},
    ]
    unused = next(part for part in ("location", "list") if part != kind)
    same += [changed(first, f"/body/{unused}", value) for value in ({}, {"latitude": 5}, "x")]
    if kind in ("button", "list"):
        inside = without(without(first, "/header"), "/footer")
        inside["body"] = {**inside["body"], "header": first["header"], "footer": first["footer"]}
        same.append(inside)
    assert {print_of(one) for one in same} == {print_of(first)}


def test_strings_are_compared_untouched():
    first = body(id="x")
    for text in ("Hello ", " Hello", "hello", "Hello\n", "He\u200bllo"):
        assert print_of(changed(first, "/body/text", text)) != print_of(first)
    assert print_of(changed(first, "/body/text", "e\u0301")) != print_of(changed(first, "/body/text", "é"))


@pytest.mark.parametrize("channel", CHANNELS)
@settings(max_examples=80, deadline=None)
@given(st.data())
def test_what_is_stored_is_the_message_again(channel, data):
    message = decoded(data.draw(seed_bodies(channel)), channel)
    encoded = wire.encode(message)
    restored = wire.restore(encoded)
    assert wire.encode(restored) == encoded
    assert restored.type is message.type
    assert (restored.text, restored.buttons, restored.list) == (message.text, message.buttons, message.list)


# --- the schema and the decoder agree ---------------------------------------------------------------------------------

USED: dict[str, list[str]] = {
    kind: ["/times", "/timestamp", "/type", "/body", *(at for at in COUNTED[kind] if not at.startswith("/fallback"))]
    for kind in TYPES
}
for _kind in ("button", "list"):
    USED[_kind] += ["/header", "/header/type", "/footer"]
USED["button"] += ["/body/button", "/body/button/0"]
USED["list"] += ["/body/list", "/body/list/sections", "/body/list/sections/0", "/body/list/sections/0/actions"]
USED["image"] += ["/body/media"]
USED["location"] += ["/body/location"]

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.just("text"),
    st.just("0"),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
)
_DELETE = object()


_said = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@settings(deadline=None)
@given(_said, _said, st.sampled_from([{}, {"send_at": "2099-01-01T00:00:00.5+07:00"}]), seed_bodies("telegram"))
def test_a_text_alone_is_written_and_read_as_every_message_is(identifier, text, more, other):
    for given_body in (body("text", id=identifier, recipient="tg:1", body={"text": text}, **more), other):
        message = decoded(given_body, "telegram")
        assert wire.encode(message) == wire._encode(message)
        assert wire.restore(wire.encode(message)) == wire._restore(json.loads(wire.encode(message)))


#: What a plain text may be changed to: some stay plain, most do not, some are no messages.
_ODD_VALUES = st.one_of(
    st.sampled_from(
        [None, True, False, 0, 7, -1, 2**63, 1.0, 0.5, "", " ", "0", "x", "x" * 300, [], {}, {"text": "y"}]
    ),
    st.sampled_from(
        ["tg:1001", "-100123", "@name_of", "0812345678", "+62 812-3456-7890", "line:U1", "2026-01-01T00:00:60Z"]
    ),
    _said,
)
_PLAIN_PLACES = (
    "/id",
    "/times",
    "/timestamp",
    "/recipient",
    "/type",
    "/body",
    "/body/text",
    "/body/media",
    "/strict",
    "/x",
)


@pytest.mark.parametrize("channel", CHANNELS)
@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_plain_text_is_decoded_as_every_body_is(channel, data):
    text = st.one_of(st.just("hello"), _said)
    given_body = body("text", recipient=data.draw(st.sampled_from(RECIPIENTS[channel])), body={"text": data.draw(text)})
    for at in data.draw(st.lists(st.sampled_from(_PLAIN_PLACES), max_size=2, unique=True)):
        if not at.startswith("/body/") or isinstance(given_body.get("body"), dict):
            given_body = changed(given_body, at, data.draw(_ODD_VALUES))
    plain = wire._plain_text(given_body, channel, "ID")
    decoder = wire._Decoder(channel, "ID")
    message, found = decoder.message(given_body)
    assert plain is None or (found == [] and plain == (message, decoder.read))
    assert wire.examined(given_body, channel, "ID") == (message, found, decoder.read)


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_least_text_is_plain(channel):
    given_body = body("text", recipient=RECIPIENTS[channel][0], body={"text": "hello"})
    assert wire._plain_text(given_body, channel, "") is not None


def _is_mandatory(kind: str, at: str) -> bool:
    return any(row[0] == kind and row[1] == at for row in MANDATORY) or at in ("/id", "/times", "/recipient", "/type")


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_what_the_schema_refuses_in_used_fields_the_decoder_refuses(data):
    kind = data.draw(st.sampled_from(TYPES))
    at = data.draw(st.sampled_from(USED[kind]))
    value = data.draw(st.one_of(st.just(_DELETE), _values))
    good = full(kind)
    mutated = without(good, at) if value is _DELETE else changed(good, at, value)
    if not _is_mandatory(kind, at) and value is not _DELETE:
        # Existing clients may send an empty value of another type for «none», such as [] where an object is optional.
        assume(not wire.is_empty(value))
    if at in ("/header", "/footer") and isinstance(value, dict):
        assume(wire.is_empty(value.get("type", "x")) is False)  # a header without type is no header, whatever it holds
    try:
        SendRequest.model_validate(mutated)
    except ValidationError:
        found = wire.decode(mutated, "whatsapp")
        assert isinstance(found, list), (at, value)
        assert all(isinstance(problem, Problem) for problem in found)


@pytest.mark.parametrize("kind", TYPES)
def test_the_sample_and_the_least_bodies_pass_the_schema_and_the_decoder(kind):
    SendRequest.model_validate(sample(type=kind))
    SendRequest.model_validate(body(kind))
    SendRequest.model_validate(full(kind))
    assert decoded(body(kind)).type is MessageType(kind)


@settings(max_examples=400, deadline=None)
@given(_values, st.sampled_from(CHANNELS))
def test_decoding_never_raises_whatever_the_body(value, channel):
    for given_body in (
        value,
        {"type": "list", "body": value},
        {"type": "button", "header": value, "body": {"button": value}},
    ):
        wire.decode(given_body, channel)
