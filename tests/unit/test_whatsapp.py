"""WhatsApp: the cases of the channel, its limits over arbitrary messages, and answers and webhooks of any bytes."""

import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kurir.channels.base import (
    AccountDown,
    Again,
    Answer,
    Call,
    Channel,
    Facts,
    Handshake,
    Ignored,
    Labels,
    MediaFacts,
    NoAnswer,
    Rejected,
    Rendering,
    ReplyTarget,
    Retry,
    Scope,
    Sent,
    Stage,
    Unknown,
    WebhookRejected,
    WebhookRequest,
    WebhookUnreadable,
)
from kurir.channels.meta import graph
from kurir.channels.whatsapp import channel as whatsapp
from kurir.domain import recipient as recipients
from kurir.domain.account import Account, LineSettings, WhatsAppSettings
from kurir.domain.errors import ERRORS as REGISTRY
from kurir.domain.message import Message, MessageType
from kurir.domain.status import Status
from kurir.intake import wire
from support import cases
from support.messages import seed_bodies

TID = "0197a5b0-0000-7000-8000-000000000001"
PHONE_NUMBER_ID = "106540352242922"
APP_SECRET = "test_app_secret_0123456789abcdef"
ACCOUNT = Account(
    id="acme-wa",
    client_id="acme",
    channel="whatsapp",
    api_base="https://graph.facebook.com",
    settings=WhatsAppSettings(
        phone_number_id=PHONE_NUMBER_ID, access_token="TOKEN", app_secret=APP_SECRET, verify_token="vt-secret"
    ),
)
OUTCOMES = (Sent, Retry, Rejected, Unknown, AccountDown)


def body(kind: str = "text", /, **content: Any) -> dict[str, Any]:
    around = {name: content.pop(name) for name in ("header", "footer", "reply_id", "reply_token") if name in content}
    return {
        "id": "m-1",
        "times": 0,
        "timestamp": "2023-11-10T12:38:08+07:00",
        "recipient": "6281234567890",
        "type": kind,
        "body": content,
        **around,
    }


def decoded(request: dict[str, Any]) -> Message:
    message = wire.decode(request, "whatsapp")
    assert isinstance(message, Message), message
    return message


def rendered(request: dict[str, Any], **facts: Any) -> Rendering:
    message = decoded(request)
    assert whatsapp.problems(message) == []
    return whatsapp.render(message, ACCOUNT, Facts(tid=TID, **({"address": "6281234567890"} | facts)))


def kinds(rendering: Rendering) -> list[str]:
    return [loss.kind for loss in rendering.losses]


def buttons(*titles: str, key: str = "k{}") -> list[dict[str, str]]:
    return [{"key": key.format(number), "title": title} for number, title in enumerate(titles, 1)]


def a_list(*sections: tuple[str, str, list[tuple[str, str, str]]], title: str = "") -> dict[str, Any]:
    return {
        "title": title,
        "sections": [
            {
                "title": name,
                "description": description,
                "actions": [{"key": key, "title": title, "description": text} for key, title, text in rows],
            }
            for name, description, rows in sections
        ],
    }


def test_the_module_has_every_member_of_a_channel() -> None:
    channel: Channel = whatsapp
    assert channel.NAME == "whatsapp"
    assert channel.SETTINGS is WhatsAppSettings
    assert channel.CONCURRENCY == 20
    members = [name for name in vars(Channel) if not name.startswith("_")]
    assert [name for name in members if not hasattr(whatsapp, name)] == []


# --- The cases --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases.load("whatsapp", "outbound"), ids=lambda case: case["id"])
def test_outbound(case: dict[str, Any]) -> None:
    expected = case["expect"]
    message = wire.decode(case["input"], "whatsapp")
    found = message if isinstance(message, list) else whatsapp.problems(message)
    if expected.get("gateway_http") == 422:
        at = cases.to_pointer(expected["error_field"])
        codes = cases.REASONS[expected["error_reason"]]
        # A missing object is found at the object: body.media for body.media.url.
        assert any(at.startswith(problem.pointer) and problem.code in codes for problem in found), found
        return
    assert found == []
    assert isinstance(message, Message)
    resolved = recipients.read("whatsapp", message.recipient)
    assert isinstance(resolved, recipients.Recipient)
    known = case.get("store", {}).get("messages", {}).get(message.reply_id)
    facts = Facts(tid=TID, address=resolved.value, reply=ReplyTarget(known) if known else None)
    rendering = whatsapp.render(message, ACCOUNT, facts)

    tokens = {token.token: token.key for token in rendering.tokens}
    expected_requests = [
        {
            "method": request["method"],
            "url": "https://graph.facebook.com" + request["path"].replace("{phone_number_id}", PHONE_NUMBER_ID),
            "headers": {name: value.replace("{access_token}", "TOKEN") for name, value in request["headers"].items()},
            "json": request["json"],
        }
        for request in expected["requests"]
    ]
    requests = [
        {"method": call.method, "url": call.url, "headers": dict(call.headers), "json": json.loads(call.body())}
        for call in rendering.calls
    ]
    assert cases.differences(expected_requests, requests, tid=TID, tokens=tokens) == []
    losses = {loss.kind for loss in (*rendering.losses, *message.ignored)}
    assert losses - {"part_ignored"} == set(expected.get("warnings", []))
    if "token_maps_to" in expected:
        assert list(tokens.values()) == [expected["token_maps_to"]]


CLASSES = {
    "ok": (Sent, Status.PENDING),
    "window_closed": (Rejected, Status.UNDELIVERED),
    "permanent_recipient": (Rejected, Status.UNDELIVERED),
    "permanent_message": (Rejected, Status.FAILED),
    "rate_limited": (Retry, None),
    "transient": (Retry, None),
    "account": (AccountDown, None),
    "ambiguous": (Unknown, None),
}


@pytest.mark.parametrize("case", cases.load("whatsapp", "provider_response"), ids=lambda case: case["id"])
def test_provider_response(case: dict[str, Any]) -> None:
    expected = case["expect"]
    given_body = case["body"]
    raw = given_body.encode() if isinstance(given_body, str) else json.dumps(given_body).encode()
    headers = {name.lower(): value for name, value in case.get("headers", {}).items()}
    answer = Answer(case["http_status"], headers, raw) if case["http_status"] else NoAnswer(Stage.AFTER_SEND, "timeout")
    outcome = whatsapp.classify(rendered(body(text="x")).calls[0], answer)

    kind, status = CLASSES[expected["class"]]
    assert isinstance(outcome, kind), outcome
    assert getattr(outcome, "status", None) == status
    assert getattr(outcome, "throttled", False) == (expected["class"] == "rate_limited")
    if isinstance(outcome, Sent):
        assert outcome.platform_ids == (expected["provider_message_id"],)
        assert outcome.learned.alias == "".join(expected.get("remember_alias", {}).values())
    if "scope" in expected:
        assert isinstance(outcome, Retry)
        # The cases' "channel" is one number and "account" the business's: both are our account.
        assert outcome.scope == {"channel": "account"}.get(expected["scope"], expected["scope"])
    if "retry_after_s" in expected:
        assert isinstance(outcome, Retry)
        assert outcome.after == expected["retry_after_s"]
    if "first_delay_s" in expected:
        assert isinstance(outcome, Retry)
        assert (outcome.after, outcome.base) == (None, expected["first_delay_s"])
    if expected["class"] == "window_closed":
        assert getattr(outcome, "code", "") == "window_closed"
    assert getattr(outcome, "code", "not_reached") in REGISTRY


@pytest.mark.parametrize("case", cases.load("whatsapp", "verify"), ids=lambda case: case["id"])
def test_handshake(case: dict[str, Any]) -> None:
    request = WebhookRequest("GET", case["query"], {}, b"")
    if case["expect"]["http"] == 200:
        assert whatsapp.verify(ACCOUNT, request) == Handshake(case["expect"]["body"].encode())
    else:
        with pytest.raises(WebhookRejected):
            whatsapp.verify(ACCOUNT, request)


@pytest.mark.parametrize("challenge", ["", "<script>", "1" * 201])
def test_a_challenge_that_is_not_metas_is_not_echoed(challenge: str) -> None:
    query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": "vt-secret"}
    with pytest.raises(WebhookRejected):
        whatsapp.verify(ACCOUNT, WebhookRequest("GET", query, {}, b""))


def signed(raw: bytes, signature: str | None = None) -> WebhookRequest:
    digest = hmac.new(APP_SECRET.encode(), raw, hashlib.sha256).hexdigest()
    return WebhookRequest("POST", {}, {"x-hub-signature-256": signature or f"sha256={digest}"}, raw)


# --- Rendering: what the cases leave open -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "member"),
    [
        ("6281234567890", {"to": "+6281234567890"}),
        ("US.13491208655302741918", {"recipient": "US.13491208655302741918"}),
        ("ID.ENT.13491208655302741918", {"recipient": "ID.ENT.13491208655302741918"}),
        ("", {"to": ""}),
    ],
)
def test_the_recipient_is_named_by_phone_or_by_business_scoped_id(address: str, member: dict[str, str]) -> None:
    payload = rendered(body(text="x"), address=address).calls[0].json
    assert {name: payload[name] for name in ("to", "recipient") if name in payload} == member


def test_a_text_header_that_serves_as_the_words_is_not_shown_twice() -> None:
    header = {"type": "text", "text": "Which one?"}
    rendering = rendered(body("button", text=" ", button=buttons("A"), header=header))
    assert rendering.calls[0].json["interactive"]["body"] == {"text": "Which one?"}
    assert "header" not in rendering.calls[0].json["interactive"]
    assert rendering.losses == ()


def test_the_title_of_a_list_may_be_words_and_label_both() -> None:
    image = {"type": "image", "media_url": "https://example.com/a.jpg"}
    rendering = rendered(body("list", list=a_list(("", "", [("k", "A", "")]), title="Pick one"), header=image))
    assert [call.json["type"] for call in rendering.calls] == ["image", "interactive"]
    interactive = rendering.calls[1].json["interactive"]
    assert (interactive["body"]["text"], interactive["action"]["button"]) == ("Pick one", "Pick one")
    assert kinds(rendering) == ["header_sent_separately"]


def test_words_longer_than_a_header_in_a_header_become_the_body_whole() -> None:
    words = "Word " * 300
    rendering = rendered(body("button", button=buttons("A"), header={"type": "text", "text": words}))
    assert [call.json["type"] for call in rendering.calls] == ["text", "interactive"]
    assert [(loss.pointer, loss.kind) for loss in rendering.losses] == [("/header/text", "body_split")]


def test_a_row_title_that_is_cut_stands_whole_in_a_free_description() -> None:
    title = "A button title that is much too long for a row"
    rendering = rendered(body("button", text="Pick", button=buttons("1", "2", "3", title)))
    rows = rendering.calls[0].json["interactive"]["action"]["sections"][0]["rows"]
    assert rows[3] == {"id": "k4", "title": "A button title that is…", "description": title}
    assert [(loss.pointer, loss.kind) for loss in rendering.losses] == [
        ("/body/button", "buttons_as_list"),
        ("/body/button/3/title", "title_truncated"),
    ]


def test_the_third_equal_title_gets_the_next_number() -> None:
    rendering = rendered(body("button", text="q", button=buttons("Yes", "Yes", "Yes")))
    shown = [button["reply"]["title"] for button in rendering.calls[0].json["interactive"]["action"]["buttons"]]
    assert shown == ["Yes", "Yes 2", "Yes 3"]
    assert kinds(rendering) == ["title_deduplicated", "title_deduplicated"]


def test_a_title_that_looks_like_a_repeat_is_told_apart_too() -> None:
    rendering = rendered(body("button", text="q", button=buttons("Yes 2", "Yes", "Yes")))
    shown = [button["reply"]["title"] for button in rendering.calls[0].json["interactive"]["action"]["buttons"]]
    assert shown == ["Yes 2", "Yes", "Yes 3"]


def test_sections_are_cut_over_lists_and_keep_their_titles() -> None:
    sections = [(name, "", [(f"{name}{n}", f"{name} {n}", "") for n in range(7)]) for name in "ABC"]
    rendering = rendered(
        body("list", text="x", list=a_list(*sections), footer={"text": "Foot"}, header={"type": "text", "text": "Head"})
    )
    shape = [
        [(section["title"], len(section["rows"])) for section in call.json["interactive"]["action"]["sections"]]
        for call in rendering.calls
    ]
    assert shape == [[("A", 7), ("B", 3)], [("B", 4), ("C", 6)], [("C", 1)]]
    assert [call.json["interactive"]["body"]["text"] for call in rendering.calls] == ["x", "(2/3)", "(3/3)"]
    assert ["header" in call.json["interactive"] for call in rendering.calls] == [True, False, False]
    assert ["footer" in call.json["interactive"] for call in rendering.calls] == [False, False, True]
    assert [call.json["biz_opaque_callback_data"] for call in rendering.calls] == [f"{TID}:{n}" for n in (1, 2, 3)]


def test_an_untitled_single_section_with_a_description_adds_the_description_alone() -> None:
    rendering = rendered(body("list", text="x", list=a_list(("", "All\nof them", [("k", "A", "")]))))
    assert rendering.calls[0].json["interactive"]["body"]["text"] == "x\n\nAll of them"


def test_the_label_of_a_list_is_the_configured_word_cut_to_its_limit() -> None:
    labels = Labels(menu="A menu with a very long name")
    payload = rendered(body("button", text="x", button=buttons(*"ABCD")), labels=labels).calls[0].json
    assert payload["interactive"]["action"]["button"] == "A menu with a very…"


def test_a_key_too_long_for_a_row_but_not_for_a_button_is_a_token_in_rows_only() -> None:
    key = "k" * 256
    assert rendered(body("button", text="x", button=[{"key": key, "title": "A"}])).tokens == ()
    rows = rendered(body("list", text="x", list=a_list(("", "", [(key, "A", "")]))))
    assert [token.key for token in rows.tokens] == [key]
    assert rows.calls[0].json["interactive"]["action"]["sections"][0]["rows"][0]["id"] == rows.tokens[0].token


def test_a_key_that_looks_like_a_token_is_carried_by_one() -> None:
    rendering = rendered(body("button", text="x", button=[{"key": "~t:AAAAAAAAAAAAAAAAAAAAAA", "title": "A"}]))
    assert [token.key for token in rendering.tokens] == ["~t:AAAAAAAAAAAAAAAAAAAAAA"]


def test_a_repeated_key_is_a_token_only_within_one_platform_message() -> None:
    same = [{"key": "k", "title": f"T{n}"} for n in range(11)]
    rendering = rendered(body("button", text="x", button=same))
    last = rendering.calls[1].json["interactive"]["action"]["sections"][0]["rows"]
    assert [row["id"] for row in last] == ["k"]


@pytest.mark.parametrize(
    ("url", "name", "shown"),
    [
        ("https://example.com/a.pdf", "Invoice", "Invoice.pdf"),
        ("https://example.com/a.pdf", "Invoice.docx", "Invoice.docx"),
        ("https://example.com/a.pdf", "Version 1.2", "Version 1.2.pdf"),
        ("https://example.com/a", "Invoice", "Invoice"),
        ("https://example.com/%2e%2e%2fetc%00.pdf", "", "..etc.pdf"),
        ("https://example.com/", "", None),
        ("https://[bad/a.pdf", "", "a.pdf"),
    ],
)
def test_the_name_of_a_document(url: str, name: str, shown: str | None) -> None:
    payload = rendered(body("document", media={"url": url, "name": name})).calls[0].json
    assert payload["document"] == {"link": url} | ({"filename": shown} if shown else {})


@pytest.mark.parametrize(
    ("url", "content_type", "voice"),
    [
        ("https://example.com/n.ogg", "", True),
        ("https://example.com/n.OPUS?x=1", "", True),
        ("https://example.com/n", "audio/ogg; codecs=opus", True),
        ("https://example.com/n", "audio/mpeg", False),
        ("https://example.com/n", "", False),
        ("https://example.com/n.mp3", "audio/ogg", False),
    ],
)
def test_a_voice_message_is_one_where_the_file_can_be(url: str, content_type: str, *, voice: bool) -> None:
    request = body("voice", media={"url": url})
    rendering = rendered(request, media={url: MediaFacts(content_type)} if content_type else {})
    assert rendering.calls[0].json["audio"] == {"link": url} | ({"voice": True} if voice else {})
    assert kinds(rendering) == ([] if voice else ["voice_sent_as_audio"])
    tells = url.endswith("mp3") or "." in url.rsplit("/", 1)[1]
    assert whatsapp.needs(decoded(request), ACCOUNT).probe == (() if tells else (url,))


def test_only_a_voice_message_needs_to_be_probed() -> None:
    assert whatsapp.needs(decoded(body("image", media={"url": "https://example.com/n"})), ACCOUNT).probe == ()


def test_a_quote_refused_is_left_out_and_said() -> None:
    request = body(text="x", reply_id="wamid.A")
    assert rendered(request).calls[0].json["context"] == {"message_id": "wamid.A"}
    without = rendered(request, again={1: frozenset({Again.WITHOUT_QUOTE})})
    assert "context" not in without.calls[0].json
    assert kinds(without) == ["reply_id_not_found"]


def test_a_reply_that_the_store_knows_wins_over_its_own_form() -> None:
    rendering = rendered(body(text="x", reply_id="wamid.A"), reply=ReplyTarget("wamid.B"))
    assert rendering.calls[0].json["context"] == {"message_id": "wamid.B"}


def test_a_reply_token_is_not_used_and_said() -> None:
    assert kinds(rendered(body(text="x", reply_token="t"))) == ["reply_token_not_used"]


@pytest.mark.parametrize(
    ("request_body", "at", "code"),
    [
        (body("template", template={"name": "A b", "language": "en"}), "/body/template/name", "invalid_format"),
        (
            body(text="x") | {"fallback": {"when": "window_closed", "template": {"name": "a", "language": "en-US"}}},
            "/fallback/template/language",
            "invalid_format",
        ),
        (body("image", media={"url": "https://x.fi/a.GIF?v=.jpg"}), "/body/media/url", "media_type_unsupported"),
        (body("video", media={"url": "https://x.fi/a.mov"}), "/body/media/url", "media_type_unsupported"),
        (body("voice", media={"url": "https://x.fi/a.wav"}), "/body/media/url", "media_type_unsupported"),
        (
            body("button", text="x", button=buttons("A"), header={"type": "image", "media_url": "https://x.fi/a.svg"}),
            "/header/media_url",
            "media_type_unsupported",
        ),
    ],
)
def test_problems_name_the_field_and_the_cure(request_body: dict[str, Any], at: str, code: str) -> None:
    found = whatsapp.problems(decoded(request_body))
    assert [(problem.pointer, problem.code) for problem in found] == [(at, code)]
    assert code in REGISTRY


@pytest.mark.parametrize("url", ["https://x.fi/a.zip", "https://x.fi/a.xyz", "https://x.fi/a"])
def test_any_file_may_be_a_document(url: str) -> None:
    assert whatsapp.problems(decoded(body("document", media={"url": url}))) == []


def test_a_file_whose_name_tells_nothing_is_tried() -> None:
    assert whatsapp.problems(decoded(body("image", media={"url": "https://x.fi/image.php?id=7"}))) == []


@pytest.mark.parametrize("kind", ["location", "list"])
def test_a_message_without_its_content_has_no_calls(kind: str) -> None:
    message = Message("m", "whatsapp", "6281234567890", MessageType(kind))
    assert whatsapp.render(message, ACCOUNT, Facts(TID, "6281234567890")) == Rendering(())


def test_settings_of_another_channel_are_a_fault_of_ours() -> None:
    other = Account("x", "acme", "whatsapp", "https://x", LineSettings("a", "b"))
    with pytest.raises(TypeError, match="no WhatsApp settings"):
        whatsapp.verify(other, WebhookRequest("POST", {}, {}, b""))


# --- Rendering: properties --------------------------------------------------------------------------------------------


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def excesses(payload: dict[str, Any]) -> list[str]:
    """Return where *payload* breaks a limit of Meta's pages. Written from the pages, not from the channel's table."""
    found: list[str] = []

    def text(at: str, value: Any, maximum: int, *, line: bool = False) -> None:
        if not isinstance(value, str) or not value.strip() or units(value) > maximum:
            found.append(f"{at}: {value!r:.80} is not 1 to {maximum} long")
        elif line and value != " ".join(value.split()):
            found.append(f"{at}: {value!r:.80} is not one line")

    def members(at: str, value: dict[str, Any], needed: set[str], allowed: frozenset[str] = frozenset()) -> None:
        if not needed <= set(value) <= needed | allowed:
            found.append(f"{at}: has {sorted(value)}")

    kind = payload["type"]
    members(
        "$",
        payload,
        {"messaging_product", "recipient_type", "type", kind, "biz_opaque_callback_data"},
        {"to", "recipient", "context"},
    )
    text("biz_opaque_callback_data", payload["biz_opaque_callback_data"], 512)
    content = payload[kind]
    if kind == "text":
        members("text", content, {"preview_url", "body"})
        text("text.body", content["body"], 4096)
    elif kind in ("image", "video"):
        members(kind, content, {"link"}, {"caption"})
        text("caption", content.get("caption", "-"), 1024)
    elif kind == "document":
        members(kind, content, {"link"}, {"caption", "filename"})
        text("caption", content.get("caption", "-"), 1024)
        text("filename", content.get("filename", "-"), 100_000)
    elif kind == "audio":
        members(kind, content, {"link"}, {"voice"})
    elif kind == "location":
        members(kind, content, {"latitude", "longitude"}, {"name"})
    else:
        assert kind == "interactive"
        interactive(content, text, members, found)
    return found


def interactive(content: dict[str, Any], text: Any, members: Any, found: list[str]) -> None:
    members("interactive", content, {"type", "body", "action"}, {"header", "footer"})
    text("body", content["body"]["text"], 1024)
    text("footer", content.get("footer", {"text": "-"})["text"], 60, line=True)
    header = content.get("header", {"type": "text", "text": "-"})
    if header["type"] == "text":
        text("header", header["text"], 60, line=True)
    action = content["action"]
    if content["type"] == "button":
        replies = [button["reply"] for button in action["buttons"]]
        ids, limit = [reply["id"] for reply in replies], 256
        if not 1 <= len(replies) <= 3 or len({reply["title"] for reply in replies}) != len(replies):
            found.append("buttons: not 1 to 3 with titles of their own")
        for reply in replies:
            text("button title", reply["title"], 20, line=True)
    else:
        rows = [row for section in action["sections"] for row in section["rows"]]
        ids, limit = [row["id"] for row in rows], 200
        text("label", action["button"], 20, line=True)
        if header["type"] != "text":
            found.append("header: a list takes text only")
        if not 1 <= len(rows) <= 10 or not all(section["rows"] for section in action["sections"]):
            found.append("rows: not 1 to 10, or an empty section")
        for section in action["sections"]:
            if len(action["sections"]) > 1 or "title" in section:
                text("section title", section.get("title"), 24, line=True)
        for row in rows:
            text("row title", row["title"], 24, line=True)
            text("row description", row.get("description", "-"), 72, line=True)
    if len(set(ids)) != len(ids):
        found.append("ids: not unique")
    found += [f"id: {one!r:.80}" for one in ids if units(one) > limit or one != one.strip() or not one]


def ids_of(payload: dict[str, Any]) -> list[str]:
    action = payload.get("interactive", {}).get("action", {})
    rows = [row["id"] for section in action.get("sections", []) for row in section["rows"]]
    return rows + [button["reply"]["id"] for button in action.get("buttons", [])]


def keys_of(message: Message) -> list[str]:
    rows = [action.key for section in message.list.sections for action in section.actions] if message.list else []
    return rows + [button.key for button in message.buttons]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(seed_bodies("whatsapp"), st.sampled_from(["6281234567890", "US.13491208655302741918", ""]))
def test_every_message_without_problems_renders_within_the_limits(request_body: dict[str, Any], address: str) -> None:
    message = decoded(request_body)
    if whatsapp.problems(message):
        return
    rendering = whatsapp.render(message, ACCOUNT, Facts(tid=TID, address=address))
    payloads = [json.loads(call.body()) for call in rendering.calls]
    assert payloads
    assert [excess for payload in payloads for excess in excesses(payload)] == []

    assert [call.part for call in rendering.calls] == list(range(1, len(payloads) + 1))
    tids = [f"{TID}:{call.part}" for call in rendering.calls] if len(payloads) > 1 else [TID]
    assert [payload["biz_opaque_callback_data"] for payload in payloads] == tids
    assert not any("context" in payload for payload in payloads[1:])

    tokens = {token.token: token.key for token in rendering.tokens}
    assert len(tokens) == len(rendering.tokens)
    assert [tokens.get(one, one) for payload in payloads for one in ids_of(payload)] == keys_of(message)
    assert whatsapp.render(message, ACCOUNT, Facts(tid=TID, address=address)) == rendering
    for loss in rendering.losses:
        assert loss.pointer.startswith("/")
        assert loss.detail
    shown = "".join("".join(json.dumps(payload, ensure_ascii=False).split()) for payload in payloads)
    if message.type == "text":
        assert "".join(json.dumps(message.text, ensure_ascii=False)[1:-1].split())[:50] in shown


# --- Answers ----------------------------------------------------------------------------------------------------------


def answered(status: int, error: dict[str, Any], *, headers: dict[str, str] | None = None, reply_id: str = "") -> Any:
    call = rendered(body(text="x", reply_id=reply_id)).calls[0]
    return whatsapp.classify(call, Answer(status, headers or {}, json.dumps({"error": error}).encode()))


def throttled(scope: Scope, base: float = 0, growth: float = 2) -> Retry:
    return Retry("rate_limited", "", scope=scope, throttled=True, base=base, growth=growth)


def transient(scope: Scope = Scope.PART, base: float = 2, growth: float = 2, attempts: int = 0) -> Retry:
    return Retry("platform_unavailable", "", scope=scope, attempts=attempts, base=base, growth=growth)


def of_content(code: str = "content_refused") -> Rejected:
    return Rejected(Status.FAILED, code, "")


def of_recipient(code: str = "recipient_refused") -> Rejected:
    return Rejected(Status.UNDELIVERED, code, "")


def of_account(code: str) -> AccountDown:
    return AccountDown(code, "")


FILE_LATER = Retry("media_refused", "", attempts=2, base=60, growth=1)
#: Meta's pages "Error codes" and "Rate limiting" as data: what the error object says → the outcome, without its words.
PAGES: list[tuple[tuple[int, ...], dict[str, Any], Any]] = [
    ((0, 104, 190), {}, of_account("account_credentials")),
    ((190,), {"error_subcode": 463}, of_account("account_credentials")),
    ((1,), {}, Unknown("ambiguous_error", "")),
    ((2, 131016, 133004), {}, transient()),
    ((3, 10, 131005, *range(200, 300)), {}, of_account("account_permission")),
    ((4,), {}, throttled(Scope.ACCOUNT, 60)),
    ((17, 32, 341, 613, 80007, 80008), {}, throttled(Scope.ACCOUNT)),
    ((33,), {}, of_account("account_setup")),
    ((100,), {"error_subcode": 33}, of_account("account_setup")),
    ((100,), {}, of_content()),
    ((100,), {"message": "API calls from the server require an appsecret_proof argument"}, of_account("account_setup")),
    ((100,), {"error_data": {"details": "text.body: appsecret_proof is no text"}}, of_content()),
    ((368, 131031, 131064), {}, of_account("account_policy")),
    ((130403, 130472, 130497, 131021, 131049, 131050, 137000), {}, of_recipient()),
    ((130429,), {}, throttled(Scope.ACCOUNT, 1)),
    ((131000,), {}, transient(attempts=3)),
    ((131008, 131009, 131051, 131055, 131059, 131062, 132068), {}, of_content()),
    ((131014, 131053), {"error_data": {"details": "weblink failed with http code 404"}}, of_content("media_refused")),
    ((131014, 131053), {"error_data": {"details": "weblink failed with http code 503"}}, FILE_LATER),
    ((131014, 131053), {"error_data": {"details": "weblink failed with http code 5031"}}, of_content("media_refused")),
    ((131014, 131053), {"error_data": {"details": "The download timed out"}}, FILE_LATER),
    ((131014, 131053), {"error_data": "Connection Time-out"}, FILE_LATER),
    ((131014, 131052, 131053), {}, of_content("media_refused")),
    ((131026,), {}, of_recipient("recipient_unreachable")),
    ((131030, 131037, 131045, 133010, 134102), {}, of_account("account_setup")),
    ((131042, 131044, 134011), {}, of_account("account_payment")),
    ((131047,), {}, of_recipient("window_closed")),
    ((131048,), {}, throttled(Scope.ACCOUNT, 3600)),
    ((131056,), {}, throttled(Scope.RECIPIENT, 1, 4)),
    ((131057, 2494100), {}, transient(Scope.ACCOUNT)),
    ((131063, 132000, 132001, 132005, 132007, 132008, 132012, 132018), {}, of_content("template_refused")),
    ((132015, 132016, 134100), {}, of_content("template_refused")),
    ((132069,), {}, throttled(Scope.PART)),
    ((133000, 133005, 133006, 133008, 133009, 133015, 133016), {}, of_account("account_setup")),
    ((134101,), {}, transient(base=600, growth=1)),
    ((135000,), {}, Retry("content_refused", "", attempts=2, base=2)),
]


@pytest.mark.parametrize(
    ("code", "more", "expected"),
    [(code, more, expected) for codes, more, expected in PAGES for code in codes],
    ids=lambda value: str(value) if isinstance(value, int | dict) else type(value).__name__,
)
def test_every_row_of_metas_pages(code: int, more: dict[str, Any], expected: Any) -> None:
    for status in (200, 400, 403, 500):  # the page names none since 2026
        outcome = answered(status, {"code": code, "message": "words", **more})
        subcode = f"/{more['error_subcode']}" if "error_subcode" in more else ""
        assert replace(outcome, reason="", provider_code="") == expected
        assert outcome.provider_code == f"{code}{subcode}"
        assert outcome.code in REGISTRY
        said = graph.error_of(Answer(status, {}, json.dumps({"error": {"message": "words", **more}}).encode()))
        assert said is not None
        assert outcome.reason.endswith(f"; WhatsApp says: {said.message}")


def test_no_row_of_the_table_is_without_its_page() -> None:
    assert set(whatsapp.ERRORS) == {code for codes, _, _ in PAGES for code in codes}


@pytest.mark.parametrize(
    ("status", "outcome", "code"),
    [
        (500, Retry, "platform_unavailable"),
        (429, Retry, "rate_limited"),
        (404, Rejected, "content_refused"),
        (200, Unknown, "ambiguous_error"),
    ],
)
def test_an_unknown_code_is_judged_by_the_status(status: int, outcome: type, code: str) -> None:
    found = answered(status, {"code": 139999})
    assert (type(found), found.code) == (outcome, code)


def test_an_error_without_a_code_does_not_park_the_account() -> None:
    assert isinstance(answered(400, {"message": "no code"}), Rejected)
    assert isinstance(answered(400, {"code": True}), Rejected)
    assert isinstance(answered(401, {"code": 0}), AccountDown)
    assert isinstance(answered(401, {"code": 190.0}), AccountDown)
    assert isinstance(answered(401, {"code": "190"}), AccountDown)


def test_what_the_platform_calls_transient_is_tried_again_but_for_an_ambiguous_code() -> None:
    assert isinstance(answered(400, {"code": 131009, "is_transient": True}), Retry)
    assert isinstance(answered(400, {"code": 1, "is_transient": True}), Unknown)
    assert answered(400, {"code": 131056, "is_transient": True}).scope is Scope.RECIPIENT


def test_a_limit_that_is_reached_waits_as_the_header_says_and_not_less_than_the_page() -> None:
    usage = {"x-business-use-case-usage": json.dumps({"1": [{"estimated_time_to_regain_access": 2}]})}
    assert answered(400, {"code": 4}).after is None
    assert answered(400, {"code": 4}, headers=usage).after == 120
    assert answered(400, {"code": 80007}, headers=usage).after == 120
    assert answered(400, {"code": 131048}, headers=usage).after == 3600
    # A fault of the platform is not the limit that the header is about.
    assert answered(500, {"code": 131016}, headers=usage).after is None
    bare = whatsapp.classify(CALL, Answer(429, usage, b"slow down"))
    assert isinstance(bare, Retry)
    assert bare.after == 120


USAGE = {
    "x-app-usage": '{"call_count":28,"total_time":25,"total_cputime":26}',
    "x-business-use-case-usage": '{"1":[{"type":"whatsapp","call_count":104.5,"total_cputime":25,"total_time":2,'
    '"estimated_time_to_regain_access":0},{"estimated_time_to_regain_access":5}],"2":[{"call_count":9}]}',
}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, USAGE, b'{"messages":[{"id":"wamid.1"}]}'),
        Answer(200, USAGE, b"<html>"),
        Answer(429, USAGE, b"slow down"),
        *(Answer(400, USAGE, json.dumps({"error": {"code": code}}).encode()) for code in (1, 2, 4, 100, 131026, 190)),
    ],
    ids=lambda answer: f"{answer.status} {answer.body.decode()}",
)
def test_every_outcome_teaches_how_much_of_the_limits_is_used(answer: Answer) -> None:
    learned = whatsapp.classify(CALL, answer).learned
    assert (learned.usage, learned.regain_seconds) == (104.5, 300.0)


@pytest.mark.parametrize(
    ("headers", "usage", "regain"),
    [
        ({}, None, None),
        ({"x-app-usage": '{"call_count":0}'}, 0.0, None),
        ({"x-app-usage": '{"total_cputime":"28"}'}, 28.0, None),
        ({"x-app-usage": '{"call_count":-4,"estimated_time_to_regain_access":5}'}, 0.0, None),
        ({"x-app-usage": '[{"call_count":5}]'}, None, None),
        ({"x-app-usage": '{"call_count":true,"total_time":null,"total_cputime":NaN}'}, None, None),
        ({"x-app-usage": '{"call_count":Infinity}'}, 1e6, None),
        ({"x-app-usage": '{"call_count":1' + "0" * 400 + "}"}, 1e6, None),
        ({"x-app-usage": '{"call_count":1' + "0" * 5000 + "}"}, None, None),
        ({"x-app-usage": '{"call_count":7}' + " " * 40_000}, None, None),
        ({"x-business-use-case-usage": '{"1":[{"estimated_time_to_regain_access":1e300}]}'}, None, 604_800.0),
        ({"x-business-use-case-usage": '{"1":[{"estimated_time_to_regain_access":0.5}]}'}, None, 30.0),
        ({"x-business-use-case-usage": '{"1":{"call_count":5},"2":[3,{"total_time":6}]}'}, 6.0, None),
        ({"x-business-use-case-usage": json.dumps({"1": [{"call_count": n} for n in range(100)]})}, 31.0, None),
        ({"x-business-use-case-usage": "[" * 30_000}, None, None),
    ],
)
def test_usage_headers_of_every_kind(headers: dict[str, str], usage: float | None, regain: float | None) -> None:
    learned = graph.usage_of(headers)
    assert (learned.usage, learned.regain_seconds) == (usage, regain)


def test_content_refused_with_a_quote_is_tried_once_without_it() -> None:
    assert answered(400, {"code": 131009}, reply_id="wamid.A").again is Again.WITHOUT_QUOTE
    assert isinstance(answered(400, {"code": 131053}, reply_id="wamid.A"), Rejected)
    # Once more at most, so not once without the quote and once more after that.
    assert answered(400, {"code": 135000}, reply_id="wamid.A").again is None


@pytest.mark.parametrize(
    ("status", "raw"),
    [
        (200, b""),
        (200, b"<html>"),
        (200, b'{"messages":[]}'),
        (200, b'{"messages":[{"id":7}]}'),
        (200, b'{"messages":[{"id":" "}]}'),
        (502, b"{}"),
        (503, b"<html>"),
        (404, b"not found"),
        (301, b""),
    ],
)
def test_an_answer_that_is_not_the_platforms_leaves_it_unknown(status: int, raw: bytes) -> None:
    assert whatsapp.classify(rendered(body(text="x")).calls[0], Answer(status, {}, raw)) == Unknown(
        "no_answer",
        f"WhatsApp answered {status} without the id of a message"
        if status == 200
        else f"WhatsApp's answer has status {status} and is not what WhatsApp answers",
    )


def test_429_of_whatever_stands_before_the_platform_is_a_rate_limit() -> None:
    found = whatsapp.classify(rendered(body(text="x")).calls[0], Answer(429, {}, b"slow down"))
    assert isinstance(found, Retry)
    assert (found.throttled, found.scope) == (True, Scope.ACCOUNT)


def test_no_answer_before_and_after_the_first_byte() -> None:
    call = rendered(body(text="x")).calls[0]
    refused = whatsapp.classify(call, NoAnswer(Stage.BEFORE_SEND, "refused"))
    assert isinstance(refused, Retry)
    assert refused.code == "not_reached"
    assert isinstance(whatsapp.classify(call, NoAnswer(Stage.AFTER_SEND, "reset")), Unknown)


def test_an_alias_is_learned_only_where_the_spelling_differs() -> None:
    def alias(contacts: list[dict[str, Any]], address: str = "6281234567890") -> str:
        call = rendered(body(text="x"), address=address).calls[0]
        raw = json.dumps({"contacts": contacts, "messages": [{"id": "wamid.1"}]}).encode()
        outcome = whatsapp.classify(call, Answer(200, {}, raw))
        assert isinstance(outcome, Sent)
        return outcome.learned.alias

    assert alias([{"wa_id": "6281234567890"}]) == ""
    assert alias([{"input": "+52 1 55", "wa_id": "52155"}]) == ""
    assert alias([{"wa_id": "5215512345678"}], "525512345678") == "5215512345678"
    assert alias([{"user_id": "US.1"}], "US.13491208655302741918") == ""
    assert alias([{"input": "US.13491208655302741918", "wa_id": "6281"}], "US.13491208655302741918") == ""
    assert alias([]) == ""


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1", "190", "wamid.1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=6) | st.sampled_from(["id", "code", "error", "status", "timestamp"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)
CODES = st.one_of(JSON, st.sampled_from(sorted(whatsapp.ERRORS)), st.integers(-(10**30), 10**30))
ERROR_BODIES = st.fixed_dictionaries(
    {
        "error": st.fixed_dictionaries(
            {},
            optional={"code": CODES, "error_subcode": CODES, "is_transient": JSON, "message": JSON, "error_data": JSON},
        )
    },
    optional={"messages": JSON},
)
SENT_BODIES = st.fixed_dictionaries(
    {},
    optional={
        "messages": JSON | st.lists(st.fixed_dictionaries({"id": JSON})),
        "contacts": JSON | st.lists(st.fixed_dictionaries({"wa_id": JSON, "input": JSON})),
    },
)
BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"[" * 100_000, b'{"error":' * 50_000, b"1" * 5000]),
    (JSON | ERROR_BODIES | SENT_BODIES).map(lambda value: json.dumps(value).encode()),
)
HEADERS = st.dictionaries(
    st.sampled_from(["x-business-use-case-usage", "x-app-usage", "retry-after", "date"]),
    st.text(max_size=20)
    | JSON.map(json.dumps)
    | st.sampled_from(
        [
            '{"1":[{"estimated_time_to_regain_access":1e14}]}',
            '{"1":[{"estimated_time_to_regain_access":"9"}]}',
            "[" * 90_000,
        ]
    ),
)
CALL = rendered(body(text="x", reply_id="wamid.A")).calls[0]


@settings(max_examples=200, deadline=None)
@given(
    st.builds(Answer, st.integers(100, 599), HEADERS, BODIES) | st.builds(NoAnswer, st.sampled_from(Stage), st.text()),
    st.sampled_from([CALL, Call(1, "POST", "https://x", (), {})]),
)
def test_every_answer_has_an_outcome(answer: Answer | NoAnswer, call: Call) -> None:
    outcome = whatsapp.classify(call, answer)
    assert isinstance(outcome, OUTCOMES)
    assert whatsapp.classify(call, answer) == outcome
    assert outcome.learned.usage is None or 0 <= outcome.learned.usage <= 1e6
    assert outcome.learned.regain_seconds is None or 0 < outcome.learned.regain_seconds <= 604_800
    if isinstance(outcome, Sent):
        assert outcome.status is Status.PENDING
        assert all(isinstance(one, str) and one.strip() for one in outcome.platform_ids)
    else:
        assert outcome.code in REGISTRY
        assert outcome.reason
    said = answer.json() if isinstance(answer, Answer) else None
    if said is not None and isinstance(said.get("error"), dict):
        assert not isinstance(outcome, Sent)


@settings(max_examples=200, deadline=None)
@given(st.builds(Answer, st.integers(100, 599), HEADERS, BODIES))
@example(Answer(400, {}, b'{"error":{"code":131009}}'))
def test_an_answer_that_stays_the_same_names_each_cure_once(answer: Answer) -> None:
    request, taken = body(text="x", reply_id="wamid.A"), set[Again]()
    outcome = whatsapp.classify(rendered(request).calls[0], answer)
    while isinstance(outcome, Retry) and outcome.again is not None:
        assert outcome.again not in taken
        taken.add(outcome.again)
        outcome = whatsapp.classify(rendered(request, again={1: frozenset(taken)}).calls[0], answer)
    assert taken <= {Again.WITHOUT_QUOTE}


# --- Webhooks ---------------------------------------------------------------------------------------------------------

VECTORS = [
    (b'{"object":"page","entry":[]}', "2b7879e7130e7d33e5e5d9551594b85a165ff60d548eca79072ba73ef0f2b8a7"),
    (
        (
            b'{"object":"whatsapp_business_account","entry":[{"id":"102290129340398","changes":[{"value":{'
            b'"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550783881","phone_number_id":'
            b'"106540352242922"},"statuses":[{"id":"wamid.TEST","status":"sent","timestamp":"1750030073",'
            b'"recipient_id":"16505551234","biz_opaque_callback_data":"b3d31d85"}]},"field":"messages"}]}]}'
        ),
        "3a567942f0c963415866fd35023e6d466c80f3001ca5082102f166f007d91929",
    ),
    (
        (
            b'{"object":"page","entry":[{"id":"1","time":1,"messaging":[{"sender":{"id":"2"},"recipient":{"id":"1"},'
            b'"timestamp":1,"message":{"mid":"m_1","text":"\\u00e4\\u00f6\\u00e5 \\ud83d\\ude00"}}]}]}'
        ),
        "dd6cef59552d115c5b287d7ac81f0c2adaec4744dc02e86c64e1753747cb8942",
    ),
]


@pytest.mark.parametrize(("raw", "digest"), VECTORS, ids=["page", "status", "escaped"])
def test_signature_vectors(raw: bytes, digest: str) -> None:
    assert whatsapp.verify(ACCOUNT, signed(raw, f"sha256={digest}")) is None
    for wrong in (digest, f"sha1={digest}", f"sha256={digest[:-1]}", f"sha256={digest.upper()}", "", "sha256=é"):
        with pytest.raises(WebhookRejected):
            whatsapp.verify(ACCOUNT, WebhookRequest("POST", {}, {"x-hub-signature-256": wrong}, raw))
    with pytest.raises(WebhookRejected):
        whatsapp.verify(ACCOUNT, WebhookRequest("POST", {}, {}, raw))


def test_a_body_written_anew_does_not_match_its_signature() -> None:
    raw, digest = VECTORS[2]
    again = json.dumps(json.loads(raw), ensure_ascii=False, separators=(",", ":")).encode()
    with pytest.raises(WebhookRejected):
        whatsapp.verify(ACCOUNT, signed(again, f"sha256={digest}"))
    with pytest.raises(WebhookRejected):
        whatsapp.verify(ACCOUNT, signed(raw, "sha256=6cf5e2a65dc343e382d9dffba925987e043098f1c39274a2b754c6f72bc5e2ed"))


def parsed(*statuses: Any, **value: Any) -> list[Any]:
    value = {"metadata": {"phone_number_id": PHONE_NUMBER_ID}, "statuses": list(statuses), **value}
    webhook = {"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "messages", "value": value}]}]}
    return whatsapp.parse(ACCOUNT, signed(json.dumps(webhook).encode()))


def a_status(word: str = "sent", **members: Any) -> dict[str, Any]:
    return {"id": "wamid.1", "status": word, "timestamp": "1750030073", "recipient_id": "16505551234", **members}


def test_a_receipt_of_every_kind() -> None:
    receipts = parsed(*(a_status(word) for word in ("sent", "delivered", "read", "played", "failed")))
    assert [receipt.status for receipt in receipts] == [1, 2, 3, 3, -2]
    assert [receipt.event_id for receipt in receipts][:2] == ["wamid.1:sent", "wamid.1:delivered"]
    assert receipts[0].at.isoformat() == "2025-06-15T23:27:53+00:00"
    assert (receipts[0].owner, receipts[0].address, receipts[0].error) == (PHONE_NUMBER_ID, "16505551234", None)
    assert receipts[4].error.code == "delivery_failed"
    assert json.loads(receipts[0].raw) == a_status()


def test_seconds_and_milliseconds_are_the_same_moment() -> None:
    moments = {
        parsed(a_status(timestamp=one))[0].at for one in ("1750030073", 1750030073, "1750030073000", 1750030073000)
    }
    assert len(moments) == 1


@pytest.mark.parametrize("word", ["accepted", "deleted", "warning", "", "SENT"])
def test_a_status_without_use_is_ignored(word: str) -> None:
    assert isinstance(parsed(a_status(word))[0], Ignored)


@pytest.mark.parametrize(
    "broken", [{"id": 7}, {"id": ""}, {"timestamp": None}, {"timestamp": "x"}, {"timestamp": 10**17}, {"timestamp": 0}]
)
def test_a_status_without_id_or_time_is_ignored(broken: dict[str, Any]) -> None:
    assert isinstance(parsed(a_status(**broken))[0], Ignored)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (131047, "window_closed"),
        (131026, "recipient_unreachable"),
        (131053, "media_refused"),
        (135000, "content_refused"),
        (131042, "account_payment"),
        (131000, "delivery_failed"),
        (130429, "delivery_failed"),
        (139999, "delivery_failed"),
    ],
)
def test_why_a_receipt_says_failed(code: int, expected: str) -> None:
    errors = [{"code": code, "title": "Title", "error_data": {"details": "Details"}}]
    error = parsed(a_status("failed", errors=errors))[0].error
    assert (error.code, error.provider_code) == (expected, str(code))
    assert error.reason.endswith("WhatsApp says: Details")
    assert expected in REGISTRY


def test_a_group_participants_receipt_is_an_event_of_its_own() -> None:
    receipt = parsed(a_status("read", recipient_participant_id="1650"))[0]
    assert receipt.event_id == "wamid.1:read:1650"


def test_a_user_without_phone_is_named_by_the_business_scoped_id() -> None:
    status = a_status(recipient_user_id="US.1")
    del status["recipient_id"]
    assert parsed(status)[0].address == "US.1"


def test_what_no_database_takes_does_not_leave_a_webhook() -> None:
    receipt = parsed(a_status(id="wamid.\ud800\0", biz_opaque_callback_data="\udfff"))[0]
    assert (receipt.platform_id, receipt.reference) == ("wamid.\ufffd", "\ufffd")
    receipt.raw.decode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{",
        b'{"object":"page","entry":[]}',
        b'{"object":"whatsapp_business_account"}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_a_body_that_is_not_whatsapps_is_unreadable(raw: bytes) -> None:
    with pytest.raises(WebhookUnreadable):
        whatsapp.parse(ACCOUNT, signed(raw))


def test_a_body_nested_to_the_edge_of_the_parser_is_read_or_unreadable() -> None:
    for depth in range(880, 1010):
        deep = '{"a":' * depth + "1" + "}" * depth
        changes = f'[{{"field":"x","value":{deep}}}]'
        raw = f'{{"object":"whatsapp_business_account","entry":[{{"changes":{changes}}}]}}'.encode()
        try:
            whatsapp.parse(ACCOUNT, signed(raw))
        except WebhookUnreadable:
            continue


@settings(deadline=None)
@given(
    st.sampled_from(["GET", "POST"]),
    st.dictionaries(
        st.sampled_from(["hub.mode", "hub.challenge", "hub.verify_token"]), st.text() | st.just("subscribe")
    ),
    st.dictionaries(st.just("x-hub-signature-256"), st.text()),
    st.binary(),
)
def test_a_forged_request_is_rejected_and_nothing_else(
    method: str, query: dict[str, str], headers: dict[str, str], raw: bytes
) -> None:
    with pytest.raises(WebhookRejected):
        whatsapp.verify(ACCOUNT, WebhookRequest(method, query, headers, raw))
