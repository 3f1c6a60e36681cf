"""WhatsApp's templates: their form, what becomes of them, what they are checked against, and when a fallback is sent."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kurir.channels.base import Again, Answer, Facts, Rejected, Rendering, Retry
from kurir.channels.keys import token_for
from kurir.channels.line import channel as line
from kurir.channels.messenger import channel as messenger
from kurir.channels.telegram import channel as telegram
from kurir.channels.text import ago
from kurir.channels.whatsapp import channel as whatsapp
from kurir.channels.whatsapp import templates as whatsapp_templates
from kurir.domain.account import Account, LineSettings, MessengerSettings, TelegramSettings, WhatsAppSettings
from kurir.domain.errors import ERRORS as REGISTRY
from kurir.domain.message import Message, Template
from kurir.domain.status import Status
from kurir.http.models import SendRequest
from kurir.intake import wire

TID = "0197a5b0-0000-7000-8000-000000000001"
ACCOUNT = Account("acme-wa", "acme", "whatsapp", "https://graph.example", WhatsAppSettings("1", "TOKEN", "s", "v"))
DAY = 24 * 3600.0
AT = "/body/template"
IN = f"{AT}/parameters"


def body(kind: str = "text", /, content: Any = None, **top: Any) -> dict[str, Any]:
    return {
        "id": "m-1",
        "times": 0,
        "timestamp": "2023-11-10T12:38:08+07:00",
        "recipient": "6281234567890",
        "type": kind,
        "body": {"text": "hello"} if content is None else content,
        **top,
    }


def template(parameters: Any = None, name: str = "order_update", language: str = "en_US") -> dict[str, Any]:
    return {"name": name, "language": language} | ({} if parameters is None else {"parameters": parameters})


def a_template(parameters: Any = None, **more: str) -> dict[str, Any]:
    return body("template", {"template": template(parameters, **more)})


def with_fallback(parameters: Any = None, /, **top: Any) -> dict[str, Any]:
    return body(fallback={"when": "window_closed", "template": template(parameters)}, **top)


def decoded(request: dict[str, Any], channel: str = "whatsapp") -> Message:
    message = wire.decode(request, channel)
    assert isinstance(message, Message), message
    return message


def problems(parameters: Any) -> list[tuple[str, str]]:
    found = whatsapp.problems(decoded(a_template(parameters)))
    assert all(problem.code in REGISTRY for problem in found)
    return [(problem.pointer.removeprefix(IN), problem.code) for problem in found]


def rendered(request: dict[str, Any], **facts: Any) -> Rendering:
    message = decoded(request)
    assert whatsapp.problems(message) == []
    return whatsapp.render(message, ACCOUNT, Facts(tid=TID, **({"address": "6281234567890"} | facts)))


def components(parameters: Any) -> list[dict[str, Any]]:
    return rendered(a_template(parameters)).calls[0].json["template"]["components"]


def kinds(rendering: Rendering) -> list[str]:
    return [loss.kind for loss in rendering.losses]


def text(value: str, name: str = "") -> dict[str, Any]:
    return {"type": "text", **({"parameter_name": name} if name else {}), "text": value}


# --- what is sent -------------------------------------------------------------------------------------------------------


def test_a_template_is_graphs_template_object() -> None:
    parameters = {
        "header": {"type": "image", "media_url": "HTTPS://x.example/a.jpg"},
        "body": ["Ann", 77],
        "buttons": [{"index": 1, "text": "track/77"}, {"index": 0, "key": "yes"}],
    }
    (call,) = rendered(a_template(parameters)).calls
    assert call.json == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "+6281234567890",
        "type": "template",
        "template": {
            "name": "order_update",
            "language": {"code": "en_US"},
            "components": [
                {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://x.example/a.jpg"}}]},
                {"type": "body", "parameters": [text("Ann"), text("77")]},
                {
                    "type": "button",
                    "sub_type": "quick_reply",
                    "index": "0",
                    "parameters": [{"type": "payload", "payload": "yes"}],
                },
                {"type": "button", "sub_type": "url", "index": "1", "parameters": [text("track/77")]},
            ],
        },
        "biz_opaque_callback_data": TID,
    }


@pytest.mark.parametrize("parameters", [None, {}, {"header": "", "body": [], "buttons": None}])
def test_a_template_without_parameters_has_no_components(parameters: Any) -> None:
    content = rendered(a_template(parameters)).calls[0].json["template"]
    assert content == {"name": "order_update", "language": {"code": "en_US"}}


@pytest.mark.parametrize(
    ("header", "parameter"),
    [
        ("Ann", text("Ann")),
        (7, text("7")),
        (["Ann"], text("Ann")),
        ({"first_name": "Ann"}, text("Ann", "first_name")),
        ({"type": "text", "text": "Ann"}, text("Ann")),
        ({"type": "video", "media_url": "https://x.example/a.mp4"}, {"video": {"link": "https://x.example/a.mp4"}}),
        (
            {"type": "document", "media_url": "https://x.example/77.pdf", "name": "Invoice"},
            {"document": {"link": "https://x.example/77.pdf", "filename": "Invoice.pdf"}},
        ),
        (
            {"type": "location", "latitude": 0, "longitude": -1.5, "name": "Shop", "address": "Main 1", "x": 1},
            {"location": {"latitude": 0, "longitude": -1.5, "name": "Shop", "address": "Main 1"}},
        ),
    ],
)
def test_a_header_is_a_value_a_file_or_a_place(header: Any, parameter: dict[str, Any]) -> None:
    kind = next(name for name in parameter if name in ("text", "video", "document", "location"))
    assert components({"header": header}) == [{"type": "header", "parameters": [{"type": kind} | parameter]}]


def test_named_values_carry_their_names_and_numbered_ones_their_order() -> None:
    assert components({"body": {"order_no": "77", "name": "Ann"}}) == [
        {"type": "body", "parameters": [text("Ann", "name"), text("77", "order_no")]}
    ]


def test_a_coupons_code_and_a_single_button() -> None:
    assert components({"buttons": {"code": "SUMMER25"}}) == [
        {
            "type": "button",
            "sub_type": "copy_code",
            "index": "0",
            "parameters": [{"type": "coupon_code", "coupon_code": "SUMMER25"}],
        }
    ]


@pytest.mark.parametrize("key", ["k" * 129, " blank", "~t:looks like one", "é" * 200])
def test_a_key_that_no_payload_carries_travels_as_a_token(key: str) -> None:
    rendering = rendered(a_template({"buttons": [{"key": key}]}))
    payload = rendering.calls[0].json["template"]["components"][0]["parameters"][0]["payload"]
    assert payload == token_for("acme", key)
    assert [(token.token, token.key) for token in rendering.tokens] == [(payload, key)]


@pytest.mark.parametrize(
    ("value", "flat"),
    [
        ("a\nb", "a b"),
        ("a \r\n\t b", "a b"),
        ("a      b", "a    b"),
        ("\ta\n ", "a"),
        ("a    b", "a    b"),
        ("\u00a0a", "\u00a0a"),
    ],
)
def test_what_meta_refuses_in_a_value_becomes_spaces_and_a_loss(value: str, flat: str) -> None:
    rendering = rendered(a_template({"body": [value]}))
    assert rendering.calls[0].json["template"]["components"][0]["parameters"] == [text(flat)]
    expected = [] if flat == value else [("/body/template/parameters/body/0", "parameter_flattened")]
    assert [(loss.pointer, loss.kind) for loss in rendering.losses] == expected


def test_what_a_template_cannot_carry_is_a_loss() -> None:
    rendering = rendered(a_template({"footer": "x", "body": ["a"]}) | {"reply_id": "wamid.A", "reply_token": "t"})
    assert "context" not in rendering.calls[0].json
    assert sorted(kinds(rendering)) == ["part_ignored", "reply_not_quotable", "reply_token_not_used"]


# --- its form -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"body": "Ann"}, [("/body", "wrong_type")]),
        ({"body": ["a", " ", None, True, {}]}, [(f"/body/{n}", c) for n, c in ((1, "blank"), (2, "wrong_type"))]
         + [("/body/3", "wrong_type"), ("/body/4", "wrong_type")]),
        ({"body": {"1": "a", "a/b": "x", "ok": "y"}}, [("/body/1", "invalid_format"), ("/body/a~1b", "invalid_format")]),
        ({"body": {"a" * 150_000 + "!": "x"}}, [("/body/" + "a" * 128, "invalid_format")]),
        ({"body": ["a"] * 205}, [("/body", "too_many")]),
        ({"header": ["a", "b"]}, [("/header", "too_many")]),
        ({"header": True}, [("/header", "wrong_type")]),
        ({"header": {"a": "x", "b": "y"}}, [("/header", "unsupported_value")]),
        ({"header": {"type": "gif", "media_url": "https://x.example/a.gif"}}, [("/header", "unsupported_value")]),
        ({"header": {"type": "text"}}, [("/header/text", "wrong_type")]),
        ({"header": {"type": "image"}}, [("/header/media_url", "missing")]),
        ({"header": {"type": "image", "media_url": 5}}, [("/header/media_url", "wrong_type")]),
        ({"header": {"type": "image", "media_url": "ftp://x/a.jpg"}}, [("/header/media_url", "unsupported_scheme")]),
        ({"header": {"type": "image", "media_url": "https://x/a b.jpg"}}, [("/header/media_url", "invalid_format")]),
        ({"header": {"type": "image", "media_url": "https://x/a.gif"}}, [("/header/media_url", "media_type_unsupported")]),
        (
            {"header": {"type": "location", "latitude": 91, "longitude": "1", "name": " "}},
            [
                ("/header/latitude", "out_of_range"),
                ("/header/longitude", "wrong_type"),
                ("/header/name", "blank"),
                ("/header/address", "missing"),
            ],
        ),
        ({"buttons": "x"}, [("/buttons", "wrong_type")]),
        ({"buttons": [{"key": "a"}] * 11}, [("/buttons", "too_many")]),
        ({"buttons": ["x", {}, {"key": "a", "text": "b"}]}, [
            ("/buttons/0", "wrong_type"), ("/buttons/1", "missing"), ("/buttons/2", "too_many")]),
        ({"buttons": [{"index": 10, "key": "a"}, {"index": "x", "key": "a"}, {"index": True, "key": "a"}]}, [
            (f"/buttons/{n}/index", "out_of_range") for n in range(3)]),
        ({"buttons": [{"key": "a"}, {"index": "0", "key": "b"}]}, [("/buttons/1/index", "unsupported_value")]),
        ({"buttons": [{"text": {}}, {"code": 5}]}, [("/buttons/0", "missing")]),
    ],
)  # fmt: skip
def test_a_parameter_of_another_form_is_refused_where_it_stands(parameters: Any, expected: Any) -> None:
    assert problems(parameters) == expected


@pytest.mark.parametrize(
    ("more", "at"),
    [
        ({"name": "Order Update"}, "/name"),
        ({"name": "a" * 513}, "/name"),
        ({"language": "en-US"}, "/language"),
        ({"language": "English"}, "/language"),
    ],
)
def test_a_name_and_a_language_have_whatsapps_form(more: dict[str, str], at: str) -> None:
    found = whatsapp.problems(decoded(a_template(**more)))
    assert [(problem.pointer, problem.code) for problem in found] == [(AT + at, "invalid_format")]


def test_a_fallback_is_checked_as_a_template_is() -> None:
    found = whatsapp.problems(decoded(with_fallback({"body": [""]})))
    assert [(problem.pointer, problem.code) for problem in found] == [("/fallback/template/parameters/body/0", "blank")]


@pytest.mark.parametrize("channel", [telegram, line, messenger])
def test_elsewhere_there_are_no_templates_whatever_their_parameters(channel: Any) -> None:
    message = decoded(a_template({"body": "wrong"}), channel.NAME) if channel is not line else None
    if message is not None:
        assert [problem.pointer for problem in channel.problems(message)] == ["/type"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6)
    | st.sampled_from(["image", "text", "location", "https://x.example/a.jpg", "a\n\tb"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.text(max_size=3) | st.sampled_from(["type", "text", "media_url", "index", "key", "code", "name"]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.fixed_dictionaries({}, optional={"header": VALUES, "body": VALUES, "buttons": VALUES, "x": VALUES}), VALUES)
def test_whatever_is_given_is_refused_or_written(parameters: Any, listed: Any) -> None:
    message = decoded(a_template(parameters))
    assert message.template is not None
    whatsapp_templates.mismatches(message.template, "APPROVED", json.dumps(listed), AT)
    if whatsapp.problems(message):
        return
    rendering = whatsapp.render(message, ACCOUNT, Facts(tid=TID, address="6281234567890"))
    assert len(rendering.calls) == 1
    assert rendering == whatsapp.render(wire.restore(wire.encode(message)), ACCOUNT, Facts(TID, "6281234567890"))
    for component in rendering.calls[0].json["template"].get("components", ()):
        for parameter in component["parameters"]:
            words = parameter.get(parameter["type"])
            assert words
            if component["type"] != "button" and isinstance(words, str):
                assert not set(words) & set("\n\r\t")
                assert " " * 5 not in words
    SendRequest.model_validate(a_template(parameters))


# --- against the template as it is synced -------------------------------------------------------------------------------

NUMBERED = [
    {"type": "HEADER", "format": "TEXT", "text": "Order {{1}}"},
    {"type": "BODY", "text": "Hi {{1}}, your order {{2}} of {{1}} is on its way."},
    {"type": "FOOTER", "text": "Bye"},
    {
        "type": "BUTTONS",
        "buttons": [
            {"type": "QUICK_REPLY", "text": "Stop"},
            {"type": "URL", "text": "Track", "url": "https://x.example/{{1}}"},
            {"type": "URL", "text": "Shop", "url": "https://x.example/"},
            {"type": "PHONE_NUMBER", "text": "Call", "phone_number": "+1"},
        ],
    },
]
FITTING = {"header": "77", "body": ["Ann", "77"], "buttons": [{"index": 1, "text": "77"}]}
NAMED = [{"type": "BODY", "text": "Hi {{first_name}}, {{order_no}}"}]
PICTURE = [{"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "Hello"}]


def faults(listed: Any, parameters: Any, status: str = "APPROVED") -> list[tuple[str, str]]:
    given_template = Template("order_update", "en_US", json.dumps(parameters))
    found = whatsapp_templates.mismatches(given_template, status, json.dumps(listed), AT)
    assert {problem.code for problem in found} <= {"template_refused"}
    return [(problem.pointer.removeprefix(IN), problem.detail.split(" ", 1)[1]) for problem in found]


def test_what_fits_is_not_refused() -> None:
    assert faults(NUMBERED, FITTING) == []
    assert faults(NUMBERED, FITTING | {"buttons": [{"key": "stop"}, {"text": "77"}]}) == []
    assert faults(NAMED, {"body": {"order_no": "1", "first_name": "Ann"}}) == []
    assert faults(PICTURE, {"header": {"type": "image", "media_url": "https://x.example/a.jpg"}}) == []
    assert faults([{"type": "BODY", "text": "Hi"}], {}) == []


TRACK = {"index": 1, "text": "77"}


@pytest.mark.parametrize(
    ("listed", "parameters", "at", "says"),
    [
        (NUMBERED, FITTING | {"body": ["Ann"]}, "/body", "has 1 values, and the template wants 2 values"),
        (NUMBERED, FITTING | {"body": {"a": "Ann"}}, "/body", "has another form: the template wants 2 values"),
        (NUMBERED, {**FITTING, "body": []}, "/body", "is missing: the template's body wants 2 values"),
        (NUMBERED, {**FITTING, "header": None}, "/header", "is missing: the template's header wants the value of {{1}}"),
        (
            NUMBERED,
            FITTING | {"header": {"type": "image", "media_url": "https://x.example/a.jpg"}},
            "/header",
            "is of the kind image, and the template's header wants the value of {{1}}",
        ),
        (NUMBERED, FITTING | {"header": {"x": "y"}}, "/header", "has another form"),
        (NUMBERED, FITTING | {"buttons": []}, "/buttons", 'lacks {"index": 1, "text": "…"}: button 1 (URL) wants it'),
        (NUMBERED, FITTING | {"buttons": [TRACK, {"index": 2, "text": "x"}]}, "/buttons/0", "is not wanted: button 2"),
        (NUMBERED, FITTING | {"buttons": [TRACK, {"index": 0, "text": "x"}]}, "/buttons/0", "has text, and button 0"),
        (NUMBERED, FITTING | {"buttons": [TRACK, {"index": 3, "key": "x"}]}, "/buttons/0", "is not wanted: button 3"),
        (NUMBERED, FITTING | {"buttons": [TRACK, {"index": 4, "key": "x"}]}, "/buttons/0", "is for button 4, and"),
        (NAMED, {"body": ["Ann", "1"]}, "/body", "the template wants 2 values by name: {{first_name}}, {{order_no}}"),
        (NAMED, {"body": {"first_name": "Ann"}}, "/body", "lacks {{order_no}}"),
        (NAMED, {"body": {"first_name": "A", "order_no": "1", "z": "1"}}, "/body/z", "is no variable of the template"),
        (NAMED, {"header": "x", "body": {"first_name": "A", "order_no": "1"}}, "/header", "is not wanted"),
        (PICTURE, {}, "/header", 'is missing: the template\'s header wants a file: {"type": "image"'),
        (PICTURE, {"header": {"type": "image", "media_url": "https://x.example/a"}, "body": ["x"]}, "/body", "is not wanted"),
        ([{"type": "HEADER", "format": "LOCATION"}], {"header": "x"}, "/header", "is of the kind text"),
        ([{"type": "HEADER", "format": "GIF"}], {}, "/header", "is missing: the template's header wants a gif, for which"),
        ([{"type": "BUTTONS", "buttons": [{"type": "COPY_CODE"}]}], {}, "/buttons", 'lacks {"index": 0, "code"'),
        ([{"type": "BUTTONS", "buttons": [{"type": "OTP"}]}], {}, "/buttons", 'lacks {"index": 0, "text"'),
        ([{"type": "BODY", "text": "x"}], {"buttons": [{"key": "a"}]}, "/buttons/0", "and the template has no buttons"),
        ([{"type": "CAROUSEL"}], {}, "", "cannot be filled in: the template has a carousel"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_what_is_wanted(listed: Any, parameters: Any, at: str, says: str) -> None:
    given_parameters = {name: value for name, value in parameters.items() if value}
    found = faults(listed, given_parameters)
    assert any(
        place in (at, "/buttons/1" if at == "/buttons/0" else at) and says in detail for place, detail in found
    ), found


@pytest.mark.parametrize("status", ["PAUSED", "PENDING", "REJECTED", ""])
def test_a_template_that_is_not_approved_is_refused(status: str) -> None:
    ((at, says),) = faults(NUMBERED, FITTING, status)
    assert at == f"{AT}/name"
    assert status in says


@pytest.mark.parametrize("components_text", ["", "{}", "null", "[1, null, {}]", '[{"type": 5}]', "[" * 100_000])
def test_components_that_cannot_be_read_are_not_compared(components_text: str) -> None:
    assert whatsapp_templates.mismatches(Template("a", "en"), "approved", components_text, AT) == []


# --- the canonical form -------------------------------------------------------------------------------------------------


def print_of(request: dict[str, Any]) -> bytes:
    return wire.fingerprint(wire.encode(decoded(request)))


def test_templates_and_fallbacks_count_in_what_is_compared() -> None:
    for make in (a_template, with_fallback):
        first = print_of(make({"body": ["a"]}))
        assert print_of(make({"body": ["a"], "header": None, "buttons": []})) == first
        assert print_of(make({"body": ["b"]})) != first
        assert print_of(make({"body": ["a"], "header": "x"})) != first
        assert print_of(make()) == print_of(make({}))
    assert print_of(a_template(language="id")) != print_of(a_template())
    assert print_of(with_fallback()) != print_of(body())


@pytest.mark.parametrize("request_body", [a_template({"body": {"a": "x"}}), with_fallback({"body": ["x"]})])
def test_what_is_stored_is_the_message_again(request_body: dict[str, Any]) -> None:
    message = decoded(request_body)
    assert wire.restore(wire.encode(message)) == message
    SendRequest.model_validate(request_body)


# --- the window ---------------------------------------------------------------------------------------------------------


def refused(code: int) -> Answer:
    return Answer(400, {}, json.dumps({"error": {"code": code, "message": "so it is"}}).encode())


@pytest.mark.parametrize(("age", "kind"), [(None, "text"), (0.0, "text"), (DAY, "text"), (DAY + 1, "template")])
def test_a_fallback_is_sent_when_the_window_is_known_to_be_closed(age: float | None, kind: str) -> None:
    rendering = rendered(with_fallback({"body": ["x"]}, reply_id="wamid.A"), last_inbound_seconds=age)
    (call,) = rendering.calls
    assert call.json["type"] == kind
    assert ("context" in call.json) is (kind == "text")
    assert kinds(rendering) == ([] if kind == "text" else ["sent_as_template", "reply_not_quotable"])
    assert call.cures == ((Again.TEMPLATE,) if kind == "text" else ())


def test_a_refusal_for_the_closed_window_is_cured_by_the_fallback_once() -> None:
    request = with_fallback({"body": ["x"]})
    (call,) = rendered(request).calls
    outcome = whatsapp.classify(call, refused(131047))
    assert isinstance(outcome, Retry)
    assert (outcome.again, outcome.code) == (Again.TEMPLATE, "window_closed")
    cured = rendered(request, again={1: frozenset({Again.TEMPLATE})})
    assert [one.json["type"] for one in cured.calls] == ["template"]
    assert kinds(cured) == ["sent_as_template"]
    outcome = whatsapp.classify(cured.calls[0], refused(131047))
    assert isinstance(outcome, Rejected)
    assert (outcome.status, outcome.code) == (Status.UNDELIVERED, "window_closed")


def test_without_a_fallback_the_refusal_is_final() -> None:
    for request in (body(), a_template()):
        outcome = whatsapp.classify(rendered(request).calls[0], refused(131047))
        assert isinstance(outcome, Rejected)


def test_a_fallback_cures_nothing_else() -> None:
    assert isinstance(whatsapp.classify(rendered(with_fallback()).calls[0], refused(131026)), Rejected)


def test_what_was_sent_before_the_window_closed_stays_sent() -> None:
    request = with_fallback() | {"body": {"text": "word " * 2000}}
    assert len(rendered(request).calls) == 3
    cured = rendered(request, again={2: frozenset({Again.TEMPLATE})})
    assert [call.json["type"] for call in cured.calls] == ["text", "template"]
    assert cured.calls[0] == rendered(request).calls[0]
    assert [call.json["biz_opaque_callback_data"] for call in cured.calls] == [f"{TID}:1", f"{TID}:2"]
    assert kinds(cured) == ["text_split", "sent_as_template"]


def test_the_losses_of_what_is_not_sent_are_not_told() -> None:
    request = with_fallback() | {"body": {"text": "word " * 2000}}
    assert kinds(rendered(request, last_inbound_seconds=DAY * 3)) == ["sent_as_template"]


def test_a_template_has_no_use_for_a_fallback() -> None:
    request = a_template({"body": ["own"]}) | {"fallback": {"when": "window_closed", "template": template()}}
    for facts in ({}, {"last_inbound_seconds": DAY * 3}):
        rendering = rendered(request, **facts)
        assert [call.json["template"].get("components") for call in rendering.calls] == [
            [{"type": "body", "parameters": [text("own")]}]
        ]
        assert kinds(rendering) == []
        assert rendering.calls[0].cures == ()


# --- refused before it is tried -----------------------------------------------------------------------------------------


def facts(age: float | None) -> Facts:
    return Facts(tid=TID, address="x", last_inbound_seconds=age)


@pytest.mark.parametrize(
    ("request_body", "age", "refuses"),
    [
        (body(), None, False),
        (body(), DAY, False),
        (body(), DAY + 1, True),
        (with_fallback(), DAY + 1, False),
        (a_template(), DAY * 40, False),
    ],
)
def test_whatsapp_refuses_at_once_what_it_is_known_to_refuse(
    request_body: Any, age: float | None, *, refuses: bool
) -> None:
    outcome = whatsapp.refusal(decoded(request_body), ACCOUNT, facts(age))
    assert (outcome is not None) is refuses
    if outcome is not None:
        assert (outcome.status, outcome.code) == (Status.UNDELIVERED, "window_closed")
        assert "24 hours ago" in outcome.reason
        assert "type template" in outcome.reason


@pytest.mark.parametrize(
    ("human_agent", "age", "says"),
    [
        (False, None, ""),
        (False, DAY, ""),
        (False, DAY * 3, "3 days ago"),
        (True, DAY * 3, ""),
        (True, DAY * 7, ""),
        (True, DAY * 7 + 1, "7 days ago"),
    ],
)
def test_messenger_refuses_at_once_beyond_the_window_of_its_account(
    age: float | None, says: str, *, human_agent: bool
) -> None:
    sender = Account("a", "acme", "messenger", "", MessengerSettings("1", "t", "s", "v", human_agent=human_agent))
    outcome = messenger.refusal(decoded(body() | {"recipient": "fb:7001234567890123"}, "messenger"), sender, facts(age))
    assert (outcome.reason if outcome else "").startswith(f"the person last wrote {says}" if says else "")
    assert (outcome is None) is (not says)
    if outcome is not None:
        assert (outcome.status, outcome.code) == (Status.UNDELIVERED, "window_closed")
        assert ("set human_agent" in outcome.reason) is not human_agent


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 hours ago"),
        (3600, "1 hour ago"),
        (DAY, "24 hours ago"),
        (2 * DAY - 1, "47 hours ago"),
        (2 * DAY, "2 days ago"),
    ],
)
def test_how_long_ago_is_told_in_whole_hours_or_days(seconds: float, words: str) -> None:
    assert ago(seconds) == words


def test_the_others_have_no_window() -> None:
    message = decoded(body() | {"recipient": "tg:1"}, "telegram")
    assert (
        telegram.refusal(message, Account("a", "b", "telegram", "", TelegramSettings("t", "s")), facts(DAY * 99))
        is None
    )
    assert line.refusal(message, Account("a", "b", "line", "", LineSettings("t", "s")), facts(DAY * 99)) is None
