"""Telegram's payloads before an independent judge: aiogram's own models of the Bot API's methods and updates.

The models keep unknown keys instead of refusing them, so they are looked for in every nested model. They check no
lengths; test_telegram.py does.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings

from kurir.channels.base import (
    Again,
    Call,
    ContactNews,
    Edited,
    Facts,
    InboundMessage,
    Kind,
    Reaction,
    Rendering,
    WebhookRequest,
)
from kurir.channels.telegram import channel as telegram
from kurir.channels.telegram import received as telegram_received
from kurir.domain.account import Account, TelegramSettings
from kurir.domain.message import Message
from kurir.intake import wire
from support import cases
from support import telegram_updates as updates
from support.messages import seed_bodies

aiogram_methods = pytest.importorskip("aiogram.methods")
aiogram_types = pytest.importorskip("aiogram.types")
pydantic = pytest.importorskip("pydantic")

pytestmark = pytest.mark.judge

ACCOUNT = Account("acme-tg", "acme", "telegram", telegram.API_BASE, TelegramSettings(token="123456:TEST"))


def extras(model: Any, at: str = "") -> Iterator[str]:
    """Yield the path of every key that the models do not know."""
    yield from (at + key for key in model.model_extra or {})
    for key, value in model:
        for outer in value if isinstance(value, list) else [value]:
            for inner in outer if isinstance(outer, list) else [outer]:
                if hasattr(inner, "model_extra"):
                    yield from extras(inner, f"{at}{key}.")


def judge(method: str, payload: dict[str, Any]) -> None:
    model = getattr(aiogram_methods, method[0].upper() + method[1:]).model_validate(payload)
    markup = payload.get("reply_markup", {})
    if "inline_keyboard" in markup:
        assert isinstance(model.reply_markup, aiogram_types.InlineKeyboardMarkup)
    if "remove_keyboard" in markup:
        assert isinstance(model.reply_markup, aiogram_types.ReplyKeyboardRemove)
    assert list(extras(model)) == []


def judge_call(call: Call) -> None:
    payload = dict(call.json)
    if call.upload:
        assert call.upload.field not in payload
        payload[call.upload.field] = "attach://file"  # the file part of the form
    judge(call.url.rpartition("/")[2], payload)


def test_every_case_passes():
    judged = 0
    for case in cases.load("telegram", "outbound"):
        given_input = case["input"]
        if "gateway_action" in given_input:
            judge_call(telegram.contact_thanks(ACCOUNT, str(given_input["chat_id"]), given_input["text"]))
            continue
        message = wire.decode(given_input, "telegram")
        if not isinstance(message, Message) or telegram.problems(message):
            continue
        for call in telegram.render(message, ACCOUNT, Facts(tid="t", address="1001")).calls:
            judge_call(call)
            judged += 1
    assert judged > 15


@settings(max_examples=200, deadline=None)
@given(seed_bodies("telegram"))
def test_every_message_passes(body):
    message = wire.decode(body, "telegram")
    assert isinstance(message, Message)
    if telegram.problems(message):
        return
    again = {1: frozenset({Again.UPLOAD})}
    for facts in (Facts("t", "1001"), Facts("t", "@shop"), Facts("t", "-1001", again=again)):
        rendering: Rendering = telegram.render(message, ACCOUNT, facts)
        for call in rendering.calls:
            judge_call(call)


GOOD = {"chat_id": 1001, "text": "x", "reply_markup": {"inline_keyboard": [[{"text": "A", "callback_data": "a"}]]}}


def test_judge_takes_what_is_right():
    judge("sendMessage", GOOD)


@pytest.mark.parametrize(
    "wrong",
    [
        {**GOOD, "reply_markup": {"inline_keyboard": [{"text": "A", "callback_data": "a"}]}},
        {**GOOD, "reply_to_message": 5},
        {**GOOD, "reply_markup": {"inline_keyboard": [[{"text": "A", "callback_data": "a", "key": "a"}]]}},
        {"chat_id": 1001},
    ],
    ids=["flat keyboard", "extra key", "nested extra key", "no text"],
)
def test_judge_refuses_what_is_wrong(wrong):
    with pytest.raises((AssertionError, pydantic.ValidationError)):
        judge("sendMessage", wrong)


# --- what comes in ----------------------------------------------------------------------------------------------------

#: What aiogram calls a message's content → our kind, where the words differ.
KINDS = {
    "photo": Kind.IMAGE,
    "animation": Kind.VIDEO,
    "video_note": Kind.VIDEO,
    "venue": Kind.LOCATION,
    "poll": Kind.UNSUPPORTED,
    "dice": Kind.UNSUPPORTED,
    "story": Kind.UNSUPPORTED,
    "web_app_data": Kind.UNSUPPORTED,
}


def parsed(update: Any) -> Any:
    request = WebhookRequest("POST", {}, {}, json.dumps(update).encode())
    return telegram.parse(ACCOUNT, request)[0]


@pytest.mark.parametrize("name", updates.ALL)
def test_update_is_read_as_the_judge_reads_it(name):
    judged = aiogram_types.Update.model_validate(updates.ALL[name])
    assert list(extras(judged)) == []
    event, inner = parsed(updates.ALL[name]), judged.event
    assert event.event_id == str(judged.update_id)
    if isinstance(event, ContactNews):
        assert event.person.address == str(inner.chat.id)
        return
    if judged.event_type == "callback_query":
        assert (event.press.data, event.platform_id) == (inner.data, inner.id)
        assert event.reply_to == f"{inner.message.chat.id}:{inner.message.message_id}"
        return
    assert event.platform_id == f"{inner.chat.id}:{inner.message_id}"
    assert event.sender.address == str(inner.chat.id)
    if isinstance(event, Reaction):
        assert event.emoji == inner.new_reaction[0].emoji
        return
    assert event.at.timestamp() == (inner.edit_date or inner.date.timestamp())
    if inner.from_user:
        assert (event.sender.name, event.sender.username) == (inner.from_user.full_name, inner.from_user.username)
    if isinstance(event, Edited):
        assert event.text == inner.text
        return
    assert isinstance(event, InboundMessage)
    content = inner.content_type.value
    file = getattr(inner, content, None)
    largest = file[-1] if isinstance(file, list) else file
    if name != "gif":  # an image of ours, an animation as any other to the judge
        assert event.kind == KINDS.get(content, content)
    assert [media.id for media in event.media] == ([largest.file_id] if hasattr(largest, "file_id") else [])
    assert event.text == (inner.text or inner.caption or event.text)


def test_every_field_of_a_message_that_the_judge_knows_has_its_place():
    """What stands in no table would be told as a message of that name: so each new field is looked at once."""
    tables = (telegram_received.READ, telegram_received.SERVICE, telegram_received.NAMED)
    placed = {field for table in (*tables, telegram_received.ABOUT, telegram_received.APART) for field in table}
    fields = {field.alias or name for name, field in aiogram_types.Message.model_fields.items()}
    assert fields - placed == set()


def test_every_kind_of_update_that_is_asked_for_is_one():
    assert set(telegram.ALLOWED_UPDATES) < set(aiogram_types.Update.model_fields)


def test_calls_beside_messages_pass():
    press = parsed(updates.press()).press
    for call in (*press.known, *press.unknown):
        judge("answerCallbackQuery", call.json)
    judge("deleteWebhook", telegram.unhook(ACCOUNT).json)
    judge("getUpdates", telegram.poll(ACCOUNT, 5, 25).json)
