"""A stored platform request as bubbles: every request of the cases, what is too long, and anything at all."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurir.sandbox.sketching import as_json, blocks_of_call, bubbles_of_call, bubbles_of_request

CASES = Path(__file__).parents[1] / "cases"
CHANNELS = ("whatsapp", "telegram", "line", "messenger")
GRAPH = "https://graph.facebook.com/v26.0/1/messages"
PUSH = "https://api.line.me/v2/bot/message/push"
SEND = {"whatsapp": GRAPH, "messenger": GRAPH, "line": PUSH, "telegram": "https://api.telegram.org/bot***/sendMessage"}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
#: Members that the readers look at, so that a guess gets past the first door.
names = st.sampled_from(
    [
        "type",
        "text",
        "image",
        "interactive",
        "template",
        "location",
        "contacts",
        "body",
        "action",
        "buttons",
        "sections",
        "message",
        "attachment",
        "payload",
        "template_type",
        "elements",
        "messages",
        "contents",
        "hero",
        "chat_id",
        "reply_markup",
        "inline_keyboard",
        "media",
        "caption",
        "entities",
    ]
)
near = st.recursive(
    st.none()
    | st.integers()
    | st.sampled_from(["text", "image", "flex", "bubble", "list", "button", "generic", "HTML", ""]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5),
    max_leaves=20,
)


def requests(channel: str) -> list[tuple[str, dict[str, Any]]]:
    """Return every request that a case expects the gateway to make, with the case's id."""
    cases = json.loads((CASES / f"{channel}.json").read_text())["cases"]
    return [
        (case["id"], request)
        for case in cases
        for request in case.get("expect", {}).get("requests", ())
        if isinstance(request, dict) and isinstance(request.get("json"), dict)
    ]


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_message_of_the_cases_is_bubbles_and_few_are_only_json(channel: str) -> None:
    drawn = unread = 0
    for name, request in requests(channel):
        found = bubbles_of_call(channel, request["method"], request["path"], request["json"])
        last = request["path"].rpartition("/")[2]
        if not (last == "messages" or last.startswith("send") or last in ("push", "reply")):
            assert found == (), name
            continue
        if request["json"].get("sender_action") or request["json"].get("status") or last == "sendChatAction":
            assert found == (), name
            continue
        assert found, name
        assert all(found), name
        drawn += 1
        unread += any(block.kind == "unknown" for blocks in found for block in blocks)
        json.dumps(as_json(found))
    assert drawn > 20
    assert unread <= drawn / 10, f"{unread} of {drawn} are shown as JSON"


def test_what_is_too_long_is_shown_with_its_length() -> None:
    replies = [{"type": "reply", "reply": {"id": f"{n}", "title": f"{n}" * 30}} for n in range(4)]
    body = {"text": "b" * 1100}
    buttons = {"type": "button", "body": body, "action": {"buttons": replies}}
    text, rows = blocks_of_call("whatsapp", "POST", GRAPH, {"to": "1", "type": "interactive", "interactive": buttons})[
        :2
    ]
    assert (text.length, text.limit) == (1100, 1024)
    assert [(one.length, one.limit) for one in rows.choices] == [(30, 20)] * 4
    (block,) = blocks_of_call("telegram", "POST", SEND["telegram"], {"chat_id": 1, "text": "🎉" * 5000})
    assert (block.length, block.limit) == (5000, 4096)
    (block,) = blocks_of_call("line", "POST", PUSH, {"to": "U", "messages": [{"type": "text", "text": "🎉" * 3000}]})
    assert (block.length, block.limit) == (6000, 5000)
    (block,) = blocks_of_call("messenger", "POST", GRAPH, {"recipient": {"id": "1"}, "message": {"text": "m" * 2001}})
    assert (block.length, block.limit) == (2001, 2000)


def test_a_record_of_the_gateway_is_read_with_its_file() -> None:
    call = {"method": "POST", "url": "https://api.telegram.org/bot***/sendPhoto", "headers": {}}
    record = call | {
        "json": {"chat_id": "7", "caption": "Look"},
        "upload": {"field": "photo", "source_url": "https://shop.example/a.jpg", "filename": "a.jpg"},
    }
    ((picture, caption),) = bubbles_of_request("telegram", json.dumps(record))
    assert (picture.kind, picture.url, caption.text) == ("image", "https://shop.example/a.jpg", "Look")
    assert bubbles_of_request("telegram", "") == ()
    assert bubbles_of_request("telegram", "[1]") == ()


def test_a_template_of_a_real_account_is_shown_by_its_name() -> None:
    template = {"name": "order_ready", "language": {"code": "id"}, "components": []}
    title, rest = blocks_of_call("whatsapp", "POST", GRAPH, {"to": "1", "type": "template", "template": template})
    assert (title.text, rest.kind) == ("order_ready", "unknown")


def test_messages_of_one_call_are_bubbles_of_their_own() -> None:
    messages = [{"type": "text", "text": "one"}, {"type": "hologram"}, {"type": "text", "text": "two"}]
    found = bubbles_of_call("line", "POST", PUSH, json.dumps({"to": "U", "messages": messages}))
    assert [blocks[0].kind for blocks in found] == ["text", "unknown", "text"]


@pytest.mark.parametrize("body", [None, 1, "", b"\xff", "a=1&b=2", [], {"message": "{"}, {"messages": 3}])
def test_what_is_no_message_is_no_bubble(body: object) -> None:
    for channel in ("line", "messenger"):
        assert bubbles_of_call(channel, "POST", SEND[channel], body) == ()
    for channel in (*CHANNELS, "pigeon"):
        assert bubbles_of_call(channel, "GET", "https://x.example/media", body) == ()


@given(st.sampled_from(CHANNELS), st.text(max_size=8), st.text(max_size=20), values)
def test_nothing_that_is_read_raises(channel: str, method: str, url: str, body: object) -> None:
    assert isinstance(bubbles_of_call(channel, method, url, body), tuple)


@given(st.sampled_from(CHANNELS), st.dictionaries(names, near, max_size=6))
def test_nothing_that_is_nearly_a_message_raises(channel: str, body: dict[str, object]) -> None:
    for blocks in bubbles_of_call(channel, "POST", SEND[channel], body):
        assert blocks
