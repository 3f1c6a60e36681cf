"""Messenger: the published cases, and what must hold for every message, every answer and every webhook."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kurir.channels.base import (
    TIME_UNTOLD,
    AccountDown,
    Again,
    Answer,
    Call,
    Channel,
    Facts,
    Handshake,
    Ignored,
    Labels,
    Learned,
    NoAnswer,
    Receipt,
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
from kurir.channels.messenger import channel as messenger
from kurir.channels.messenger import event as messenger_event
from kurir.channels.messenger.errors import ANY
from kurir.domain import errors
from kurir.domain.account import Account, ChannelSettings, MessengerSettings
from kurir.domain.message import Message, MessageType, Template
from kurir.domain.status import Status, advance, of_parts
from kurir.intake import wire
from support import cases
from support.messages import seed_bodies

TID = "01890a5d-ac96-774b-bcce-b302099a8057"
PSID = "24312345678901234"
PAGE = "108123456789012"
APP_ID = "1517776481860111"
SECRET = "test_app_secret_0123456789abcdef"
SENT_CALL = Call(1, "POST", "https://graph.facebook.com/v26.0/1/messages", (), {"message": {"text": "x"}})


def account(*, human_agent: bool = False, app_id: str = APP_ID, verify_token: str = "vt-secret") -> Account:
    own = MessengerSettings(
        page_id=PAGE,
        page_access_token="EAATESTTOKEN123",
        app_secret=SECRET,
        verify_token=verify_token,
        app_id=app_id,
        human_agent=human_agent,
    )
    return Account("acme-fb", "acme", "messenger", messenger.API_BASE, own)


def facts(**more: Any) -> Facts:
    return Facts(**{"tid": TID, "address": PSID, "last_inbound_seconds": 600.0, **more})


def decoded(body: Any) -> Message:
    message = wire.decode(body, "messenger")
    assert isinstance(message, Message), message
    return message


def message_of(kind: str, body: Any, **more: Any) -> Message:
    envelope = {"id": "1", "times": 0, "timestamp": "2023-11-14T22:13:20Z", "recipient": PSID}
    return decoded({**envelope, "type": kind, "body": body, **more})


def rendered(message: Message, **more: Any) -> Rendering:
    assert messenger.problems(message) == []
    return messenger.render(message, account(), facts(**more))


def kinds(rendering: Rendering) -> set[str]:
    return {loss.kind for loss in rendering.losses}


def named(cases_: list[Any]) -> Any:
    return pytest.mark.parametrize("case", cases_, ids=[case["id"] for case in cases_])


# --- An independent reading of Meta's pages: what a request of the Send API may look like -----------------------------


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def words_fault(text: Any, maximum: int) -> list[str]:
    if not isinstance(text, str) or not text.strip():
        return [f"{text!r:.60} is no words"]
    return [] if units(text) <= maximum else [f"{units(text)} units, at most {maximum}"]


def only(value: dict[str, Any], mandatory: set[str], optional: set[str] = frozenset()) -> list[str]:
    missing, strange = mandatory - value.keys(), value.keys() - mandatory - optional
    return [f"missing {missing}"] * bool(missing) + [f"strange {strange}"] * bool(strange)


def button_faults(button: dict[str, Any]) -> list[str]:
    if button.get("type") == "web_url":
        found = only(button, {"type", "title", "url"})
        return found + ([] if button["url"].startswith("https://") else ["no absolute URL"])
    found = only(button, {"type", "title", "payload"}) + words_fault(button["title"], 20)
    found += [] if button["type"] == "postback" else ["strange button"]
    return found + ([] if 0 < units(button["payload"]) <= 1000 else ["payload"])


def element_faults(element: dict[str, Any]) -> list[str]:
    found = only(element, {"title"}, {"subtitle", "image_url", "buttons"}) + words_fault(element["title"], 80)
    found += words_fault(element["subtitle"], 80) if "subtitle" in element else []
    found += [] if len(element) > 1 else ["a title alone"]
    buttons = element.get("buttons", [])
    found += [] if len(buttons) <= 3 else ["too many buttons"]
    return found + [fault for button in buttons for fault in button_faults(button)]


def template_faults(payload: dict[str, Any]) -> list[str]:
    if payload.get("template_type") == "button":
        found = only(payload, {"template_type", "text", "buttons"}) + words_fault(payload["text"], 640)
        found += [] if 1 <= len(payload["buttons"]) <= 3 else ["number of buttons"]
        return found + [fault for button in payload["buttons"] for fault in button_faults(button)]
    found = only(payload, {"template_type", "elements"})
    found += [] if payload["template_type"] == "generic" else ["strange template"]
    found += [] if 1 <= len(payload["elements"]) <= 10 else ["number of cards"]
    return found + [fault for element in payload["elements"] for fault in element_faults(element)]


def quick_reply_faults(reply: dict[str, Any]) -> list[str]:
    found = only(reply, {"content_type", "title", "payload"}) + words_fault(reply["title"], 20)
    found += [] if reply["content_type"] == "text" else ["content type"]
    return found + ([] if 0 < units(reply["payload"]) <= 1000 else ["payload"])


def message_faults(message: dict[str, Any], *, uploaded: bool) -> list[str]:
    found = only(message, {"metadata"}, {"text", "attachment", "quick_replies"})
    found += [] if ("text" in message) != ("attachment" in message) else ["text xor attachment"]
    found += [] if 0 < units(message["metadata"]) < 1000 else ["metadata"]
    if "text" in message:
        found += words_fault(message["text"], 2000)
    if "quick_replies" in message:
        found += [] if 1 <= len(message["quick_replies"]) <= 13 else ["number of quick replies"]
        found += [fault for reply in message["quick_replies"] for fault in quick_reply_faults(reply)]
    if "attachment" in message:
        attachment = message["attachment"]
        found += only(attachment, {"type", "payload"})
        if attachment["type"] == "template":
            found += template_faults(attachment["payload"])
        else:
            found += [] if attachment["type"] in ("image", "video", "audio", "file") else ["attachment type"]
            found += only(attachment["payload"], {"is_reusable"} if uploaded else {"url"})
    return found


def faults(call: Call) -> list[str]:
    """Return what Meta would not take of *call*; [] when it takes it."""
    body = call.json
    found = only(body, {"recipient", "messaging_type", "message"}, {"tag", "reply_to"})
    found += only(body["recipient"], {"id"})
    found += [] if body["messaging_type"] in ("RESPONSE", "UPDATE", "MESSAGE_TAG") else ["messaging_type"]
    found += [] if (body["messaging_type"] == "MESSAGE_TAG") == ("tag" in body) else ["tag"]
    if "reply_to" in body:
        found += only(body["reply_to"], {"mid"})
    return found + message_faults(body["message"], uploaded=call.upload is not None)


def payloads(call: Call) -> list[str]:
    """Return what comes back from every choice of *call*, in order."""
    message = call.json["message"]
    template = message.get("attachment", {}).get("payload", {})
    buttons = [*template.get("buttons", [])]
    buttons += [button for element in template.get("elements", []) for button in element.get("buttons", [])]
    return [choice["payload"] for choice in (*buttons, *message.get("quick_replies", [])) if "payload" in choice]


# --- The published cases ----------------------------------------------------------------------------------------------


@named(cases.load("messenger", "outbound"))
def test_outbound_case(case):
    expect, store = case["expect"], case.get("store", {})
    result = wire.decode(case["input"], "messenger")
    problems = result if isinstance(result, list) else messenger.problems(result)
    if expect.get("gateway_http") == 422:
        found = {(problem.pointer, problem.code) for problem in problems}
        at = cases.to_pointer(expect["error_field"])
        assert any(place == at and code in cases.REASONS[expect["error_reason"]] for place, code in found), found
        return
    assert problems == []
    assert isinstance(result, Message)
    sender = account(human_agent=store.get("human_agent", False))
    known = facts(last_inbound_seconds=store.get("last_inbound_age_s", 600))
    if expect.get("error_code") == "window_closed":
        assert messenger.window_closed(sender, known)
        return
    assert not messenger.window_closed(sender, known)
    rendering = messenger.render(result, sender, known)
    tokens = {token.token: token.key for token in rendering.tokens}
    assert len(rendering.calls) == len(expect["requests"])
    for call, request in zip(rendering.calls, expect["requests"], strict=True):
        assert call.method == request["method"]
        assert call.url == messenger.API_BASE + request["path"].replace("{page_id}", PAGE)
        assert dict(call.headers) == {
            name: value.replace("{page_access_token}", "EAATESTTOKEN123") for name, value in request["headers"].items()
        }
        assert cases.differences(request["json"], call.json, tid=TID, tokens=tokens) == []
        assert faults(call) == []
    lost = {loss.kind for loss in (*rendering.losses, *result.ignored)} - {"part_ignored"}
    assert lost == set(expect.get("warnings", []))
    if "token_maps_to" in expect:
        assert expect["token_maps_to"] in tokens.values()


def outcome_of(case: Any, call: Call = SENT_CALL) -> Any:
    if case["http_status"] == 0:
        return messenger.classify(call, NoAnswer(Stage.AFTER_SEND, "the answer did not come in time"))
    body = case["body"] if isinstance(case["body"], str) else json.dumps(case["body"])
    headers = {name.lower(): value for name, value in case.get("headers", {}).items()}
    return messenger.classify(call, Answer(case["http_status"], headers, body.encode()))


#: A case's ``class`` → our outcome. ``permanent_recipient`` and the other refusals differ by their status.
OUTCOMES = {
    "ok": Sent,
    "window_closed": Rejected,
    "account": AccountDown,
    "permanent_recipient": Rejected,
    "permanent_message": Rejected,
    "thread_control": Rejected,
    "rate_limited": Retry,
    "transient": Retry,
    "ambiguous": Unknown,
}


@named(cases.load("messenger", "provider_response"))
def test_provider_response_case(case):
    expect, outcome = case["expect"], outcome_of(case)
    assert isinstance(outcome, OUTCOMES[expect["class"]]), outcome
    if isinstance(outcome, Sent):
        assert outcome.platform_ids == (expect["provider_message_id"],)
        assert outcome.status == expect["final_status"]
        assert outcome.learned == Learned(asset_id=expect.get("attachment_id", ""))
        return
    assert outcome.code in errors.ERRORS
    if isinstance(outcome, Rejected):
        assert outcome.status == expect.get("final_status", -3)
        assert expect["class"] not in errors.ERRORS or outcome.code == expect["class"]
    if isinstance(outcome, Retry):
        assert outcome.throttled is (expect["class"] == "rate_limited")
        assert expect.get("scope", "channel") != "channel" or not outcome.throttled or outcome.scope is Scope.ACCOUNT
        assert outcome.after == expect.get("retry_after_s")
        assert "first_delay_s" not in expect or outcome.base == expect["first_delay_s"]
        assert "max_retries" not in expect or 0 < outcome.attempts <= expect["max_retries"]
    if expect.get("fallback") == "send_by_url":
        by_id = {"message": {"attachment": {"type": "image", "payload": {"attachment_id": "1"}}}}
        again = outcome_of(case, Call(1, "POST", SENT_CALL.url, (), by_id))
        assert isinstance(again, Retry)
        assert again.again is Again.BY_URL


@named(cases.load("messenger", "verify"))
def test_verify_case(case):
    sender = account(verify_token=case["verify_token"])
    request = WebhookRequest("GET", case["query"], {}, b"")
    if case["expect"]["http"] == 200:
        assert messenger.verify(sender, request) == Handshake(case["expect"]["body"].encode())
    else:
        with pytest.raises(WebhookRejected):
            messenger.verify(sender, request)


def posted(body: str | bytes, signature: str = "") -> WebhookRequest:
    raw = body if isinstance(body, bytes) else body.encode()
    return WebhookRequest("POST", {}, {"x-hub-signature-256": signature}, raw)


def is_about_receipts(case: Any) -> bool:
    """Whether an inbound case is about receipts, echoes or signatures; test_messenger_inbound.py has the others."""
    events = [event for entry in json.loads(case["raw_body"])["entry"] for event in entry.get("messaging", [])]
    told = any("delivery" in event or "read" in event or "is_echo" in event.get("message", {}) for event in events)
    return told or case["expect"]["http"] == 401


def status_events(receipts: list[Receipt], store: Any) -> list[Any]:
    """Return the changes that *receipts* make to what a case's *store* holds, as a gateway's store would apply them."""
    messages = [
        {"message_id": sent["message_id"], "psid": sent["psid"], "parts": [{"mid": mid, **sent}]}
        for mid, sent in store.get("sent", {}).items()
    ]
    messages += store.get("parts", {}).values()
    events = []
    for receipt in receipts:
        unknown = store.get("unknown_outcome", {}).get(receipt.reference)
        if unknown:
            events.append(
                {
                    "event": "status",
                    "message_id": unknown["message_id"],
                    "status": receipt.status,
                    "provider_message_id": receipt.platform_id,
                }
            )
        for message in messages:
            before = [part.get("status", 1) for part in message["parts"]]
            after = [
                advance(Status(status), receipt.status) if covers(receipt, message["psid"], part) else status
                for part, status in zip(message["parts"], before, strict=True)
            ]
            total = len(before)
            if of_parts(map(Status, after), total=total) != of_parts(map(Status, before), total=total):
                status = of_parts(map(Status, after), total=total)
                events.append({"event": "status", "message_id": message["message_id"], "status": status})
    return events


def covers(receipt: Receipt, psid: str, part: Any) -> bool:
    if receipt.platform_id:
        return receipt.platform_id == part["mid"]
    sent_at = datetime.fromtimestamp(part["sent_at_ms"] / 1000, UTC)
    return receipt.watermark is not None and receipt.address == psid and sent_at <= receipt.watermark


@named([case for case in cases.load("messenger", "inbound") if is_about_receipts(case)])
def test_inbound_case_of_receipts_echoes_and_signatures(case):
    expect = case["expect"]
    request = posted(case["raw_body"], case["x_hub_signature_256"])
    if expect["http"] == 401:
        with pytest.raises(WebhookRejected):
            messenger.verify(account(), request)
        return
    assert messenger.verify(account(), request) is None
    found = messenger.parse(account(), request)
    receipts = [event for event in found if isinstance(event, Receipt)]
    assert all(receipt.owner == PAGE for receipt in receipts)
    # What a person writes in the page's inbox is no news of a message of ours.
    wanted = [event for event in expect["events"] if event["event"] == "status"]
    assert status_events(receipts, case.get("store", {})) == wanted


# --- Problems ---------------------------------------------------------------------------------------------------------


def test_the_module_is_a_channel():
    channel: Channel = messenger
    assert channel.NAME == "messenger"
    assert set(channel.RATES) == {"account", "recipient", "media"}


def test_templates_are_refused_in_both_places():
    message = message_of("template", {"template": {"name": "n", "language": "en"}})
    assert [(problem.pointer, problem.code) for problem in messenger.problems(message)] == [
        ("/type", "unsupported_type")
    ]
    fallback = {"when": "window_closed", "template": {"name": "n", "language": "en"}}
    message = message_of("text", {"text": "hi"}, fallback=fallback)
    assert message.fallback == Template("n", "en")
    assert [(problem.pointer, problem.code) for problem in messenger.problems(message)] == [
        ("/fallback", "unsupported_type")
    ]


def test_nothing_is_asked_of_the_outside():
    assert messenger.needs(message_of("text", {"text": "hi"}), account()).probe == ()


# --- Rendering --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "human_agent", "occasion", "closed"),
    [
        (0, False, {"messaging_type": "RESPONSE"}, False),
        (86_400, False, {"messaging_type": "RESPONSE"}, False),
        (86_401, False, {"messaging_type": "UPDATE"}, True),
        (86_401, True, {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}, False),
        (604_800, True, {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}, False),
        (604_801, True, {"messaging_type": "UPDATE"}, True),
        (None, False, {"messaging_type": "UPDATE"}, False),
        (None, True, {"messaging_type": "UPDATE"}, False),
    ],
)
def test_the_window_decides_on_the_messaging_type(age, human_agent, occasion, closed):
    sender, known = account(human_agent=human_agent), facts(last_inbound_seconds=age)
    (call,) = messenger.render(message_of("text", {"text": "hi"}), sender, known).calls
    assert {name: call.json[name] for name in ("messaging_type", "tag") if name in call.json} == occasion
    assert messenger.window_closed(sender, known) is closed


def test_a_reply_found_in_the_store_is_quoted_by_its_platform_id():
    message = message_of("text", {"text": "hi"}, reply_id="my-own-id")
    rendering = rendered(message, reply=ReplyTarget("m_abc", chat=PSID))
    assert rendering.calls[0].json["reply_to"] == {"mid": "m_abc"}
    assert rendering.losses == ()


@pytest.mark.parametrize("reply_id", ["m_abc", "mid.$abc"])
def test_a_platform_id_is_quoted_as_it_is(reply_id):
    rendering = rendered(message_of("text", {"text": "x" * 2001}, reply_id=reply_id))
    assert [call.json.get("reply_to") for call in rendering.calls] == [{"mid": reply_id}, None]


def test_a_reply_into_another_conversation_is_a_loss():
    message = message_of("text", {"text": "hi"}, reply_id="my-own-id")
    rendering = rendered(message, reply=ReplyTarget("m_abc", chat="1" * 17))
    assert "reply_to" not in rendering.calls[0].json
    assert kinds(rendering) == {"reply_id_not_found"}


def test_a_refused_quote_is_dropped_on_the_next_try():
    message = message_of("text", {"text": "hi"}, reply_id="m_abc")
    rendering = rendered(message, again={1: frozenset({Again.WITHOUT_QUOTE})})
    assert "reply_to" not in rendering.calls[0].json
    assert kinds(rendering) == {"reply_id_not_found"}


def test_a_reply_token_is_a_loss():
    rendering = rendered(message_of("text", {"text": "hi"}, reply_token="opaque"))
    assert [(loss.pointer, loss.kind) for loss in rendering.losses] == [("/reply_token", "reply_token_not_used")]


@pytest.mark.parametrize(
    ("kind", "attachment"),
    [("image", "image"), ("video", "video"), ("audio", "audio"), ("voice", "audio"), ("document", "file")],
)
def test_a_caption_follows_its_file_and_only_the_file_counts_as_media(kind, attachment):
    rendering = rendered(message_of(kind, {"text": "See", "media": {"url": "https://x.example/a.b", "name": "a.b"}}))
    first, second = rendering.calls
    payload = {"type": attachment, "payload": {"url": "https://x.example/a.b"}}
    assert first.json["message"] == {"attachment": payload, "metadata": f"{TID}:1"}
    assert second.json["message"] == {"text": "See", "metadata": f"{TID}:2"}
    assert (first.limits, second.limits) == (("media",), ())
    assert rendering.losses == ()


@pytest.mark.parametrize(
    ("url", "name", "lost"),
    [
        ("https://x.example/a%20b.pdf?v=1#p", "a b.pdf", False),
        ("https://x.example/a.pdf", "b.pdf", True),
        ("https://x.example", "b.pdf", True),
        ("https://x.example/", "", False),
    ],
)
def test_the_name_of_a_document_is_that_of_its_url(url, name, lost):
    rendering = rendered(message_of("document", {"media": {"url": url, "name": name}}))
    assert kinds(rendering) == ({"media_name_ignored"} if lost else set())


def test_a_file_that_the_platform_cannot_fetch_is_uploaded_under_its_own_name():
    message = message_of("document", {"media": {"url": "https://x.example/8f1c.pdf", "name": "Invoice.pdf"}})
    (call,) = rendered(message).calls
    error = {"error": {"code": 100, "error_subcode": 2018008, "message": "…"}}
    refusal = Answer(400, {}, json.dumps(error).encode())
    outcome = messenger.classify(call, refusal)
    assert isinstance(outcome, Retry)
    assert outcome.again is Again.UPLOAD
    rendering = rendered(message, again={1: frozenset({Again.UPLOAD})})
    (call,) = rendering.calls
    assert call.upload is not None
    assert (call.upload.field, call.upload.source_url) == ("filedata", "https://x.example/8f1c.pdf")
    assert call.upload.filename == "Invoice.pdf"
    assert dict(call.headers).keys() == {"Authorization"}
    assert faults(call) == []
    assert rendering.losses == ()
    assert messenger.classify(call, refusal) == Rejected(
        Status.FAILED,
        "media_refused",
        "Messenger could not fetch the file from its URL; Messenger said: …",
        "100/2018008",
    )


def test_a_location_is_a_map_button_with_at_most_six_decimals():
    (call,) = rendered(message_of("location", {"location": {"latitude": -6.20000049, "longitude": 106.8166661}})).calls
    payload = call.json["message"]["attachment"]["payload"]
    assert payload["text"] == "📍 -6.2, 106.816666"
    assert payload["buttons"][0]["url"].endswith("/?mlat=-6.2&mlon=106.816666#map=16/-6.2/106.816666")
    (call,) = rendered(message_of("location", {"text": "Here", "location": {"latitude": -1e-9, "longitude": 0}})).calls
    assert call.json["message"]["attachment"]["payload"]["text"] == "Here"
    assert "mlat=0&" in call.json["message"]["attachment"]["payload"]["buttons"][0]["url"]


def buttons(count: int) -> list[Any]:
    return [{"key": f"k{number}", "title": f"Option {number}"} for number in range(1, count + 1)]


HEADER = {"type": "text", "text": "Head", "media_url": ""}
IMAGE = {"type": "image", "text": "", "media_url": "https://x.example/h.png"}
FOOTER = {"title": "Shop", "text": "Terms apply"}


def test_header_and_footer_of_buttons_are_paragraphs():
    body = {"text": "Pick", "button": buttons(2)}
    rendering = rendered(message_of("button", body, header=HEADER, footer=FOOTER))
    payload = rendering.calls[0].json["message"]["attachment"]["payload"]
    assert payload["text"] == "Head\n\nPick\n\nShop\nTerms apply"
    assert rendering.losses == ()


def test_a_header_that_serves_as_the_words_stands_there_once():
    (call,) = rendered(message_of("button", {"text": "", "button": buttons(1)}, header=HEADER)).calls
    assert call.json["message"]["attachment"]["payload"]["text"] == "Head"


def test_a_card_without_a_footer_has_no_subtitle():
    (call,) = rendered(message_of("button", {"text": "Pick", "button": buttons(1)}, header=IMAGE)).calls
    (element,) = call.json["message"]["attachment"]["payload"]["elements"]
    assert element.keys() == {"title", "image_url", "buttons"}


@pytest.mark.parametrize("kind", [MessageType.IMAGE, MessageType.LOCATION, MessageType.LIST])
def test_a_message_without_its_content_which_no_decoder_makes_becomes_no_call(kind):
    message = Message("1", "messenger", PSID, kind)
    assert messenger.render(message, account(), facts()).calls == ()


def test_a_long_body_or_a_long_footer_is_no_card():
    for text, footer in (("p" * 81, FOOTER), ("Pick", {"title": "f" * 81, "text": ""})):
        rendering = rendered(message_of("button", {"text": text, "button": buttons(1)}, header=IMAGE, footer=footer))
        assert len(rendering.calls) == 2
        assert kinds(rendering) == {"header_sent_separately"}


def test_quick_replies_stand_under_the_last_piece_of_a_long_text():
    rendering = rendered(message_of("button", {"text": "x" * 1900 + "\n\n" + "y" * 200, "button": buttons(5)}))
    first, second = (call.json["message"] for call in rendering.calls)
    assert "quick_replies" not in first
    assert second["text"] == "y" * 200
    assert len(second["quick_replies"]) == 5
    assert kinds(rendering) == {"body_split", "buttons_as_quick_replies"}


def test_labels_of_the_operator_are_used_and_cut_to_the_limit():
    labels = Labels(
        open_map="Open the map in the browser", options="Nr. {first} bis {last}", map_url="https://m.example"
    )
    (call,) = rendered(message_of("location", {"location": {"latitude": 1, "longitude": 2}}), labels=labels).calls
    button = call.json["message"]["attachment"]["payload"]["buttons"][0]
    assert button == {"type": "web_url", "title": "Open the map in the…", "url": "https://m.example"}
    rendering = rendered(message_of("button", {"text": "Pick", "button": buttons(16)}), labels=labels)
    elements = rendering.calls[1].json["message"]["attachment"]["payload"]["elements"]
    assert [element["title"] for element in elements][::5] == ["Nr. 1 bis 3", "Nr. 16"]


def row(key: str, title: str, description: str = "") -> Any:
    return {"key": key, "title": title, "description": description}


def section(title: str, description: str, *actions: Any) -> Any:
    return {"title": title, "description": description, "actions": list(actions)}


def test_the_title_of_a_list_is_its_words_where_it_has_no_text():
    sections = [section("", "", row("a", "A"))]
    (call,) = rendered(message_of("list", {"text": "", "list": {"title": "Menu", "sections": sections}})).calls
    assert call.json["message"]["text"] == "Menu"
    body = {"text": "", "list": {"title": "Menu", "sections": sections}}
    (call,) = rendered(message_of("list", body, header=HEADER, footer=FOOTER)).calls
    assert call.json["message"]["text"] == "Head\n\nMenu\n\nShop\nTerms apply"


def test_the_words_of_sections_are_lines_of_the_text():
    sections = [
        section("One", "First", row("a", "A")),
        section("", "Second", row("b", "B")),
        section("Three", "", row("c", "C")),
    ]
    rendering = rendered(message_of("list", {"text": "Pick", "list": {"title": "", "sections": sections}}))
    text, carousel = (call.json["message"] for call in rendering.calls)
    assert text["text"] == "Pick\n\nOne — First\nSecond"
    elements = carousel["attachment"]["payload"]["elements"]
    assert [element.get("subtitle") for element in elements] == ["One", None, "Three"]
    assert kinds(rendering) == {"list_as_carousel"}


def test_a_row_title_that_only_its_button_cuts_is_no_loss():
    title = "A title of thirty characters.."
    body = {"text": "x", "list": {"title": "", "sections": [section("", "", row("a", title))]}}
    rendering = rendered(message_of("list", body))
    (element,) = rendering.calls[1].json["message"]["attachment"]["payload"]["elements"]
    assert (element["title"], element["buttons"][0]["title"]) == (title, "A title of thirty c…")
    assert kinds(rendering) == {"list_as_carousel"}


def test_a_section_title_that_does_not_fit_is_named_once():
    one = section("s" * 81, "", row("a", "A"), row("b", "B"))
    body = {"text": "x", "list": {"title": "", "sections": [one, section("", "", row("c", "C"))]}}
    lost = [(loss.pointer, loss.kind) for loss in rendered(message_of("list", body)).losses]
    assert lost == [("/body/list/sections/0/title", "title_truncated"), ("/body/list", "list_as_carousel")]


def wanted_keys(message: Message) -> list[str]:
    rows = [action for part in message.list.sections for action in part.actions] if message.list else []
    return [choice.key for choice in (*message.buttons, *rows)]


def resolves(body: Any, at: str) -> bool:
    """Whether the JSON pointer *at* names something in *body*; header and footer may stand inside ``body``."""
    for start in (body, body["body"]):
        value = start
        for step in at[1:].split("/"):
            if isinstance(value, list):
                value = value[int(step)] if int(step) < len(value) else None
            elif isinstance(value, dict) and step.isdigit():
                break  # a single button may stand in place of a list of one
            else:
                value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            return True
    return False


#: Every kind of loss that this channel may report.
KINDS = {
    "body_split",
    "buttons_as_carousel",
    "buttons_as_quick_replies",
    "description_truncated",
    "header_sent_separately",
    "list_as_carousel",
    "list_as_quick_replies",
    "media_name_ignored",
    "reply_id_not_found",
    "reply_token_not_used",
    "text_split",
    "title_truncated",
}


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=seed_bodies("messenger"), age=st.sampled_from([None, 5.0, 90_000.0]))
def test_every_message_is_rendered_within_the_limits_and_loses_no_key(body, age):
    message = decoded(body)
    assert messenger.problems(message) == []
    known = facts(last_inbound_seconds=age)
    rendering = messenger.render(message, account(), known)
    assert rendering == messenger.render(message, account(), known)
    assert [call.body() for call in rendering.calls] == [
        call.body() for call in messenger.render(wire.restore(wire.encode(message)), account(), known).calls
    ]
    assert [call.part for call in rendering.calls] == list(range(1, len(rendering.calls) + 1))
    total = len(rendering.calls)
    references = [f"{TID}:{number}" for number in range(1, total + 1)] if total > 1 else [TID]
    assert [call.json["message"]["metadata"] for call in rendering.calls] == references
    assert [fault for call in rendering.calls for fault in faults(call)] == []
    keys = {token.token: token.key for token in rendering.tokens}
    came_back = [keys.get(payload, payload) for call in rendering.calls for payload in payloads(call)]
    assert came_back == wanted_keys(message)
    assert all("quick_replies" not in call.json["message"] for call in rendering.calls[:-1])
    for loss in rendering.losses:
        assert loss.kind in KINDS
        assert loss.detail
        assert resolves(body, loss.pointer), loss


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=seed_bodies("messenger"))
def test_no_word_of_the_text_is_lost(body):
    message = decoded(body)
    shown: Counter[str] = Counter()
    for call in rendered(message).calls:
        shown.update("".join(_strings(call.json["message"])))
    wanted = Counter("".join(message.text.split()))
    assert not wanted - shown


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in items for text in _strings(item)]


def test_a_settings_object_of_another_channel_is_a_programming_error():
    other = Account("a", "acme", "line", "", settings=ChannelSettings())
    with pytest.raises(TypeError, match="no Messenger account"):
        messenger.render(message_of("text", {"text": "hi"}), other, facts())


# --- Answers ----------------------------------------------------------------------------------------------------------


def refusal(code: Any, subcode: Any = None, *, status: int = 400, call: Call = SENT_CALL, **more: Any) -> Any:
    error = {"message": "Words", "code": code, "error_subcode": subcode, **more}
    return messenger.classify(call, Answer(status, {}, json.dumps({"error": error}).encode()))


def throttled(scope, base=0, growth=2):
    return Retry("rate_limited", "", scope=scope, throttled=True, base=base, growth=growth)


def transient(*, base=2, growth=2, attempts=0, scope=Scope.PART):
    return Retry("platform_unavailable", "", scope=scope, attempts=attempts, base=base, growth=growth)


def of_content(code="content_refused"):
    return Rejected(Status.FAILED, code, "")


def of_recipient(code):
    return Rejected(Status.UNDELIVERED, code, "")


def of_account(code):
    return AccountDown(code, "")


def with_file(**payload):
    return Call(1, "POST", SENT_CALL.url, (), {"message": {"attachment": {"type": "image", "payload": payload}}})


CARD = with_file(template_type="generic", elements=[{"title": "x", "image_url": "https://x.example/a.jpg"}])
BY_URL = with_file(url="https://x.example/a.jpg")
LATER = Retry("media_refused", "", attempts=2, base=30, growth=1)
UPLOADED = Retry("media_refused", "", again=Again.UPLOAD)
OUTSIDE = (10303, 24001, 24002, 24005, 36103, 2018144, 2018154, 2018163, 2018166, 2018171, 2018234)

#: Meta's page "Common error codes" as data: (code, subcodes; None is none) → the outcome, without its words. A code of
#: ANY stands for the numbers that the page lists without a parent: they are tried as a code and as a subcode.
PAGE_OF_CODES = [
    (-1, (None,), transient(attempts=3)),
    (1, (None, 99), transient(attempts=2)),
    (1, (1357046,), Unknown("ambiguous_error", "")),
    (2, (None,), transient(growth=4, attempts=3)),
    (2, (2018344,), of_account("account_setup")),
    (1200, (None,), transient()),
    (ANY, (2018321,), transient(base=60, growth=1, attempts=5, scope=Scope.RECIPIENT)),
    (4, (None,), throttled(Scope.ACCOUNT, 60)),
    (4, (2018022,), throttled(Scope.RECIPIENT)),
    (17, (None,), throttled(Scope.ACCOUNT)),
    (32, (None,), throttled(Scope.ACCOUNT)),
    (341, (None,), throttled(Scope.ACCOUNT)),
    (80001, (None,), throttled(Scope.ACCOUNT)),
    (80006, (None,), throttled(Scope.ACCOUNT)),
    (613, (None, 1996, 2534040), throttled(Scope.ACCOUNT, 2)),
    (613, (2018338,), throttled(Scope.ACCOUNT, 3600)),
    (4, (2018354,), of_content()),
    (9, (2018352,), of_content()),
    (613, (1893016,), of_content()),
    (10, (None,), of_account("account_permission")),
    (10, (2018278, 2534022, 2018065), of_recipient("window_closed")),
    (10, (2018108,), of_recipient("recipient_unreachable")),
    (10, (2018300,), of_content("thread_control")),
    (10, (1893063,), of_account("account_policy")),
    (10, (1893015,), of_recipient("recipient_refused")),
    (10, (1404170, 2018336, 2534077), of_content()),
    (100, (None, 2018014, 2018034, 2018032, 2018320, *range(2534013, 2534038)), of_content()),
    (100, (33, 2018164), of_account("account_setup")),
    (100, (2018001,), of_recipient("recipient_unknown")),
    (100, (2018008, 2018294), LATER),
    (100, (2018047, 2018074, 2018109), of_content("media_refused")),
    (ANY, (36000,), of_content("media_refused")),
    (ANY, (2018328, 2018382, 9000001, 2018218, 2018247), of_content()),
    (ANY, (*OUTSIDE, *range(2071010, 2071026), *range(2018389, 2018397)), of_content()),
    (102, (None,), of_account("account_credentials")),
    (190, (None, 458, 459, 460, 463, 464, 467, 492), of_account("account_credentials")),
    (200, (None, 2018028), of_account("account_permission")),
    (200, (1545041,), of_recipient("recipient_unreachable")),
    (551, (None, 1545041), of_recipient("recipient_unreachable")),
    (200, (2018021, 2018027, 2534041), of_content()),
    (368, (None,), of_account("account_policy")),
    (2022, (None,), of_account("account_policy")),
]


@pytest.mark.parametrize(
    ("code", "subcode", "expected"),
    [(code, subcode, expected) for code, subcodes, expected in PAGE_OF_CODES for subcode in subcodes],
    ids=lambda value: str(value) if isinstance(value, int) else type(value).__name__,
)
def test_every_row_of_metas_page(code, subcode, expected):
    for status in (200, 400, 403, 500):  # published nowhere
        outcomes = [refusal(code or 1, subcode, status=status)]
        if code == ANY:
            outcomes.append(refusal(subcode, status=status))
        for outcome in outcomes:
            assert replace(outcome, reason="", provider_code="") == expected
            assert outcome.reason.endswith("; Messenger said: Words")
            assert outcome.code in errors.ERRORS
    named = str(code or 1) if subcode is None else f"{code or 1}/{subcode}"
    assert refusal(code or 1, subcode).provider_code == named


def test_no_row_of_the_table_is_without_its_page():
    named = {(code, subcode or 0) for code, subcodes, _ in PAGE_OF_CODES for subcode in subcodes}
    assert set(messenger.ERRORS) == named


@pytest.mark.parametrize(
    ("code", "subcode", "more", "expected"),
    [
        (190, 99999, {}, of_account("account_credentials")),
        (2, 424242, {}, transient(growth=4, attempts=3)),
        (100, 36000, {}, of_content("media_refused")),
        (100, 424242, {}, of_content()),
        (424242, None, {}, of_content()),
        (424242, 2071017, {}, of_content()),
        (
            100,
            None,
            {"message": "API calls from the server require an appsecret_proof argument"},
            of_account("account_setup"),
        ),
        (100, None, {"error_user_msg": "appsecret_proof"}, of_content()),
        (100, 2018008, {"call": BY_URL}, UPLOADED),
        (100, 2018294, {"call": BY_URL}, UPLOADED),
        (100, 2018008, {"call": CARD}, LATER),
        (100, 2018074, {"call": with_file(attachment_id="1")}, Retry("media_refused", "", again=Again.BY_URL)),
        (100, 2018074, {"call": BY_URL}, of_content("media_refused")),
    ],
)
def test_what_no_row_says_and_what_the_call_adds(code, subcode, more, expected):
    assert replace(refusal(code, subcode, **more), reason="", provider_code="") == expected


def with_usage(usage, error=None, *, status=400):
    raw = json.dumps({"error": error} if error else {"message_id": "m_1"}).encode()
    return messenger.classify(SENT_CALL, Answer(status, {"x-business-use-case-usage": usage}, raw))


def test_a_limit_that_is_reached_waits_as_the_header_says_and_not_less_than_the_page():
    usage = json.dumps({"1": [{"type": "messenger", "estimated_time_to_regain_access": 2}]})
    assert with_usage(usage, {"code": 80006}).after == 120.0
    assert with_usage(usage, {"code": 613, "error_subcode": 2018338}).after == 3600.0
    # A fault of the platform is not the limit that the header is about.
    assert with_usage(usage, {"code": 1200}).after is None
    plain = messenger.classify(SENT_CALL, Answer(429, {"x-business-use-case-usage": usage}, b"slow down"))
    assert isinstance(plain, Retry)
    assert (plain.after, plain.throttled, plain.scope) == (120.0, True, Scope.ACCOUNT)


@pytest.mark.parametrize("code", [None, 1, 2, 4, 10, 100, 551, 190, 2018321])
def test_every_outcome_teaches_how_much_of_the_limits_is_used(code):
    usage = json.dumps({"1": [{"call_count": 95, "total_cputime": 20}, {"estimated_time_to_regain_access": 3}]})
    outcome = with_usage(usage, {"code": code} if code else None, status=400 if code else 200)
    assert isinstance(outcome, Sent) is (code is None)
    assert (outcome.learned.usage, outcome.learned.regain_seconds) == (95.0, 180.0)
    unread = messenger.classify(SENT_CALL, Answer(502, {"x-app-usage": '{"total_time":81}'}, b"<html>"))
    assert isinstance(unread, Unknown)
    assert unread.learned == Learned(usage=81.0)


def test_an_error_that_may_have_sent_is_unknown():
    assert refusal(1, 1357046) == Unknown(
        "ambiguous_error",
        "Messenger gives this error for messages that went out too; Messenger said: Words",
        "1/1357046",
    )


def test_an_unknown_error_is_judged_by_is_transient_and_status():
    assert isinstance(refusal(424242, is_transient=True), Retry)
    assert isinstance(refusal(100, 424242, is_transient=True), Retry)
    assert refusal(2, 424242, is_transient=True).attempts == 3
    assert isinstance(refusal(100, is_transient=True), Rejected)
    assert isinstance(refusal(424242, status=503), Retry)
    assert refusal(424242, status=429).throttled
    assert isinstance(refusal(424242, status=200), Rejected)
    assert isinstance(refusal(0), Rejected)
    assert isinstance(refusal(None, status=400), Rejected)
    assert isinstance(refusal(None, status=500), Unknown)
    assert isinstance(refusal(None, status=200), Unknown)


def test_a_refused_message_with_a_quote_is_tried_once_without_it():
    quoting = Call(1, "POST", SENT_CALL.url, (), {**SENT_CALL.json, "reply_to": {"mid": "m_1"}})
    outcome = refusal(100, call=quoting)
    assert isinstance(outcome, Retry)
    assert outcome.again is Again.WITHOUT_QUOTE
    assert isinstance(refusal(100), Rejected)
    assert isinstance(refusal(100, 2018001, call=quoting), Rejected)


def test_an_error_object_wins_over_http_200_and_a_message_id():
    body = b'{"message_id":"m_1","error":{"code":36000,"message":"too large"}}'
    outcome = messenger.classify(SENT_CALL, Answer(200, {}, body))
    assert isinstance(outcome, Rejected)
    assert outcome.code == "media_refused"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b'{"recipient_id":"1"}'),
        (200, b'{"message_id":""}'),
        (200, b'{"message_id":7}'),
        (200, rb'{"message_id":"m_\ud800"}'),
        (200, rb'{"message_id":"m_\u0000"}'),
        (200, b'{"message_id":"m_'),
        (204, b""),
        (302, b""),
        (404, b"<html>"),
        (502, b"<html>Bad Gateway</html>"),
        (503, b'{"message_id":"m_1"}'),
        (500, b'{"error":"x"}'),
    ],
)
def test_what_cannot_be_read_is_unknown(status, body):
    outcome = messenger.classify(SENT_CALL, Answer(status, {}, body))
    assert isinstance(outcome, Unknown)
    assert outcome.code == "no_answer"


def test_no_answer():
    assert messenger.classify(SENT_CALL, NoAnswer(Stage.BEFORE_SEND, "refused")) == Retry("not_reached", "refused")
    assert messenger.classify(SENT_CALL, NoAnswer(Stage.AFTER_SEND, "reset")) == Unknown("no_answer", "reset")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ERROR = st.fixed_dictionaries(
    {},
    optional={
        "code": st.sampled_from(sorted({code for code, _ in messenger.ERRORS})) | JSON,
        "error_subcode": st.sampled_from(sorted({subcode for _, subcode in messenger.ERRORS})) | JSON,
        "is_transient": st.booleans() | JSON,
        "message": st.text(st.characters(), max_size=20) | JSON,
        "error_data": JSON,
    },
)
BODIES = st.one_of(
    st.binary(max_size=80),
    JSON.map(lambda value: json.dumps(value).encode()),
    ERROR.map(lambda error: json.dumps({"error": error}).encode()),
    JSON.map(lambda value: json.dumps({"message_id": value, "attachment_id": value}).encode()),
)
USAGE = JSON.map(json.dumps) | st.text(max_size=40)
HEADERS = st.fixed_dictionaries({}, optional={"x-business-use-case-usage": USAGE, "x-app-usage": USAGE})


@settings(max_examples=400, deadline=None)
@given(status=st.integers(100, 599), body=BODIES, headers=HEADERS, call=JSON)
@example(status=200, body=b"[" * 100_000, headers={}, call=None)
def test_classify_is_total(status, body, headers, call):
    sent = Call(1, "POST", "", (), {"message": call, "reply_to": call})
    outcome = messenger.classify(sent, Answer(status, headers, body))
    assert messenger.classify(sent, Answer(status, headers, body)) == outcome
    if isinstance(outcome, Sent):
        assert status == 200
        "".join(outcome.platform_ids).encode()
    else:
        assert outcome.code in errors.ERRORS
        assert "\0" not in outcome.reason
        outcome.reason.encode()


@settings(max_examples=200, deadline=None)
@given(status=st.integers(100, 599), body=BODIES, headers=HEADERS)
@example(status=400, body=b'{"error":{"code":100}}', headers={})
@example(status=400, body=b'{"error":{"code":100,"error_subcode":2018008}}', headers={})
def test_an_answer_that_stays_the_same_names_each_cure_once(status, body, headers):
    media = {"text": "", "media": {"url": "https://x.example/a.jpg", "name": ""}}
    message, taken = message_of("image", media, reply_id="m_1"), set()
    outcome = messenger.classify(rendered(message).calls[0], Answer(status, headers, body))
    while isinstance(outcome, Retry) and outcome.again is not None:
        assert outcome.again not in taken
        taken.add(outcome.again)
        call = rendered(message, again={1: frozenset(taken)}).calls[0]
        outcome = messenger.classify(call, Answer(status, headers, body))


@given(stage=st.sampled_from(Stage), reason=st.text())
def test_classify_is_total_without_an_answer(stage, reason):
    assert isinstance(messenger.classify(SENT_CALL, NoAnswer(stage, reason)), Retry | Unknown)


# --- Webhooks ---------------------------------------------------------------------------------------------------------

#: Raw body → its signature with the secret of the cases, as computed beside Meta's description of it.
SIGNED = r"""{"object":"page","entry":[{"id":"1","time":1,"messaging":[{"sender":{"id":"2"},"recipient":{"id":"1"},"""
SIGNED += r""""timestamp":1,"message":{"mid":"m_1","text":"\u00e4\u00f6\u00e5 \ud83d\ude00"}}]}]}"""


@pytest.mark.parametrize(
    ("body", "digest"),
    [
        ('{"object":"page","entry":[]}', "2b7879e7130e7d33e5e5d9551594b85a165ff60d548eca79072ba73ef0f2b8a7"),
        (SIGNED, "dd6cef59552d115c5b287d7ac81f0c2adaec4744dc02e86c64e1753747cb8942"),
    ],
)
def test_signature_vectors(body, digest):
    assert messenger.verify(account(), posted(body, "sha256=" + digest)) is None
    for wrong in (digest, "sha1=" + digest, "sha256=" + digest[::-1], "sha256=", "sha256=\udcff"):
        with pytest.raises(WebhookRejected):
            messenger.verify(account(), posted(body, wrong))


def test_a_body_written_again_does_not_match():
    assert len(SIGNED) == 185
    again = json.dumps(json.loads(SIGNED), ensure_ascii=False, separators=(",", ":"))
    digest = "dd6cef59552d115c5b287d7ac81f0c2adaec4744dc02e86c64e1753747cb8942"
    with pytest.raises(WebhookRejected):
        messenger.verify(account(), posted(again, "sha256=" + digest))
    of_the_wrong_bytes = "6cf5e2a65dc343e382d9dffba925987e043098f1c39274a2b754c6f72bc5e2ed"
    with pytest.raises(WebhookRejected):
        messenger.verify(account(), posted(SIGNED, "sha256=" + of_the_wrong_bytes))


def webhook(*events: Any, name: str = "messaging", **entry: Any) -> WebhookRequest:
    page = {"id": PAGE, "time": 1749416384000, name: list(events), **entry}
    return posted(json.dumps({"object": "page", "entry": [page]}))


def event(**content: Any) -> Any:
    return {"sender": {"id": PSID}, "recipient": {"id": PAGE}, "timestamp": 1749416383123, **content}


AT = datetime(2025, 6, 8, 20, 59, 43, 123000, tzinfo=UTC)
WATERMARK = datetime(2025, 6, 8, 20, 59, 43, tzinfo=UTC)


def without_raw(found: list[Any]) -> list[Any]:
    return [
        (type(item), *(getattr(item, name) for name in item.__slots__ if name not in ("raw", "event_id")))
        for item in found
    ]


def test_a_delivery_names_its_messages_and_its_watermark():
    request = webhook(event(delivery={"mids": ["m_1", "m_2", "m_1", 7], "watermark": 1749416383000}))
    found = messenger.parse(account(), request)
    assert without_raw(found) == without_raw(
        [
            Receipt("", Status.DELIVERED, AT, PAGE, platform_id="m_1", address=PSID),
            Receipt("", Status.DELIVERED, AT, PAGE, platform_id="m_2", address=PSID),
            Receipt("", Status.DELIVERED, AT, PAGE, watermark=WATERMARK, address=PSID),
        ]
    )
    assert len({item.event_id for item in found}) == 3
    assert json.loads(found[0].raw) == json.loads(request.body)["entry"][0]["messaging"][0]


@pytest.mark.parametrize("watermark", [1749416383000, "1749416383000", 1749416383])
def test_a_read_is_a_watermark_in_whatever_form_it_comes(watermark):
    found = messenger.parse(account(), webhook(event(read={"watermark": watermark})))
    expected = Receipt("", Status.READ, AT, PAGE, watermark=WATERMARK, address=PSID)
    assert without_raw(found) == without_raw([expected])


def test_receipts_of_a_conversation_that_another_app_holds_count_too():
    (receipt,) = messenger.parse(account(), webhook(event(read={"watermark": 1749416383000}), name="standby"))
    assert isinstance(receipt, Receipt)


def test_a_receipt_without_a_time_of_its_own_takes_the_entrys():
    silent = event(delivery={"mids": ["m_1"]})
    del silent["timestamp"]
    (receipt,) = messenger.parse(account(), webhook(silent))
    assert isinstance(receipt, Receipt)
    assert receipt.at == datetime(2025, 6, 8, 20, 59, 44, tzinfo=UTC)
    (receipt,) = messenger.parse(account(), webhook(silent, time=None))
    assert receipt.at == TIME_UNTOLD
    silent["delivery"]["watermark"] = 1749416383000
    assert {one.at for one in messenger.parse(account(), webhook(silent, time=None))} == {WATERMARK}


def test_the_event_id_is_the_same_for_a_repeat_and_another_for_another_event():
    first, again, other = (
        messenger.parse(account(), webhook(event(read={"watermark": mark}), time=time))[0].event_id
        for mark, time in (
            (1749416383000, 1749416384000),
            (1749416383000, 1749416999000),
            (1749416383001, 1749416384000),
        )
    )
    assert first == again != other


def echo(**message: Any) -> Any:
    content = {"is_echo": True, "app_id": int(APP_ID), "metadata": f"{TID}:2", "mid": "m_OUT", "text": "x", **message}
    return {"sender": {"id": PAGE}, "recipient": {"id": PSID}, "timestamp": 1749416383123, "message": content}


@pytest.mark.parametrize("app_id", [int(APP_ID), APP_ID])
def test_our_own_echo_proves_that_a_part_left(app_id):
    found = messenger.parse(account(), webhook(echo(app_id=app_id)))
    expected = Receipt("", Status.SENT, AT, PAGE, platform_id="m_OUT", address=PSID, reference=f"{TID}:2")
    assert without_raw(found) == without_raw([expected])


@pytest.mark.parametrize(
    "message",
    [{"app_id": 26390203743090}, {"app_id": None}, {"metadata": None}, {"metadata": "theirs"}, {"mid": ""}, {"mid": 1}],
)
def test_the_echo_of_somebody_else_is_ignored(message):
    (found,) = messenger.parse(account(), webhook(echo(**message)))
    assert isinstance(found, Ignored)


def test_without_an_app_id_our_metadata_tells_our_echo():
    (found,) = messenger.parse(account(app_id=""), webhook(echo(app_id=26390203743090)))
    assert isinstance(found, Receipt)
    (found,) = messenger.parse(account(app_id=""), webhook(echo(metadata="theirs")))
    assert isinstance(found, Ignored)


def test_a_batch_keeps_its_order_and_names_each_page():
    entries = [
        {"id": page, "time": 1749416384000, "messaging": [event(read={"watermark": 1749416383000})]}
        for page in (PAGE, 99, PAGE)
    ]
    request = posted(json.dumps({"object": "page", "entry": entries}))
    assert [item.owner for item in messenger.parse(account(), request) if isinstance(item, Receipt)] == [
        PAGE,
        "99",
        PAGE,
    ]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b'{"object":"user","entry":[]}', b'{"object":"page"}', b"[" * 99999]
)
def test_what_is_no_webhook_of_a_page_is_unreadable(body):
    with pytest.raises(WebhookUnreadable):
        messenger.parse(account(), posted(body))


EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "sender": st.just({"id": PSID}) | JSON,
        "recipient": st.just({"id": PAGE}) | JSON,
        "timestamp": st.integers(0, 10**16) | JSON,
        "delivery": st.fixed_dictionaries({}, optional={"mids": st.lists(JSON, max_size=3) | JSON, "watermark": JSON})
        | JSON,
        "read": st.fixed_dictionaries({"watermark": st.integers(0, 10**16) | JSON}) | JSON,
        "message": st.fixed_dictionaries(
            {"is_echo": st.just(True)}, optional={"app_id": JSON, "metadata": st.just(TID) | JSON, "mid": JSON}
        )
        | JSON,
        "postback": JSON,
    },
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "id": st.just(PAGE) | JSON,
        "time": JSON,
        "messaging": st.lists(EVENTS | JSON, max_size=3) | JSON,
        "standby": st.lists(EVENTS, max_size=2) | JSON,
        "changes": JSON,
    },
)
WEBHOOKS = st.one_of(
    st.binary(max_size=60),
    st.lists(ENTRIES | JSON, max_size=3).map(lambda entries: json.dumps({"object": "page", "entry": entries}).encode()),
)


@settings(max_examples=400, deadline=None)
@given(WEBHOOKS, st.sampled_from(["", APP_ID]))
@example(b'{"object":"page","entry":[{"messaging":[' + b"[" * 900 + b"]" * 900 + b"]}]}", "")
@example(rb'{"object":"page","entry":[{"id":"1","time":1,"messaging":[{"\ud800":1,"\u0000":2}]}]}', "")
@example(b'{"object":"page","entry":[{"id":1e999,"time":NaN,"changes":[Infinity]}]}', "")
def test_only_unreadable_leaves_parse(body, app_id):
    request = posted(body)
    try:
        found = messenger.parse(account(app_id=app_id), request)
    except WebhookUnreadable:
        return
    assert [item.event_id for item in found] == [
        item.event_id for item in messenger.parse(account(app_id=app_id), request)
    ]
    for item in found:
        assert item.event_id.isascii()
        if isinstance(item, Receipt):
            assert item.at.utcoffset() == timedelta(0)
            assert item.owner
            assert bool(item.platform_id) != bool(item.watermark)
            f"{item.platform_id}{item.address}{item.reference}".encode()
        elif isinstance(item, Ignored):
            item.why.encode()


def test_an_event_nested_deeper_than_json_can_be_written_has_no_raw_form():
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    ignored = messenger_event.ignored(nested, "why")
    assert (ignored.raw, ignored.why) == (b"", "why")


@given(st.binary(max_size=40), st.text(st.characters(), max_size=80), st.sampled_from(["GET", "POST"]))
def test_only_rejected_leaves_verify(body, text, method):
    query = {"hub.mode": "subscribe", "hub.verify_token": text, "hub.challenge": text}
    request = WebhookRequest(method, query, {"x-hub-signature-256": text}, body)
    with pytest.raises(WebhookRejected):
        messenger.verify(account(), request)
