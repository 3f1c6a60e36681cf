"""Telegram's payloads before an independent judge: aiogram's own models of the Bot API's methods.

The models keep unknown keys instead of refusing them, so they are looked for in every nested model. They check no
lengths; test_telegram.py does.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings

from kurir.channels import telegram
from kurir.channels.base import Again, Call, Facts, Rendering
from kurir.domain.account import Account, TelegramSettings
from kurir.domain.message import Message
from kurir.intake import wire
from support import cases
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
