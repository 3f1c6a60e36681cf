"""LINE's own SDK judges what the channel emits: every payload passes its models, and comes out of them without loss.

The models drop members that they do not know, so the round trip is compared. They check required members, one to five
messages and the length of postback data, not the lengths of texts and labels: ``test_line`` counts those.
"""

import json
import warnings
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings

from kurir.channels import line
from kurir.channels.base import Facts, ReplyTarget, ReplyToken, WebhookRejected, WebhookRequest
from kurir.domain.message import Message
from support.cases import load
from support.line import ACCOUNT, SETTINGS, TID, USER, decoded, https_bodies, rendered

with warnings.catch_warnings():
    # The SDK announces at import that its version 2 is deprecated; only its version 3 is used here.
    warnings.simplefilter("ignore")
    from linebot.v3.messaging import PushMessageRequest, ReplyMessageRequest
    from linebot.v3.webhook import SignatureValidator

pytestmark = [
    pytest.mark.judge,
    # The SDK's generated models use pydantic's old interface, which warns at every call.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

OUTBOUND = [case for case in load("line", "outbound") if case["expect"]["requests"]]


def lost(given_value, back, at="$"):
    """Return where *back* lacks something of *given_value* or has it otherwise."""
    if isinstance(given_value, dict):
        missing = [f"{at}.{key}" for key in given_value if key not in back]
        return missing + [
            each for key, value in given_value.items() if key in back for each in lost(value, back[key], f"{at}.{key}")
        ]
    if isinstance(given_value, list):
        if len(given_value) != len(back):
            return [at]
        return [
            each
            for index, pair in enumerate(zip(given_value, back, strict=True))
            for each in lost(*pair, f"{at}[{index}]")
        ]
    return [] if given_value == back else [at]


def judge(model, payload):
    assert lost(payload, model.from_dict(json.loads(json.dumps(payload))).to_dict()) == []


def judge_call(call):
    judge(ReplyMessageRequest if call.url.endswith("/reply") else PushMessageRequest, json.loads(call.body()))


@pytest.mark.parametrize("case", OUTBOUND, ids=lambda case: case["id"])
def test_payloads_of_the_cases(case):
    for call in rendered(case).calls:
        judge_call(call)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(https_bodies())
def test_payloads_of_any_message(given_body):
    message = decoded(given_body)
    assume(isinstance(message, Message))
    for reply_token in (None, ReplyToken("rt", 1.0)):
        facts = Facts(TID, USER, reply=ReplyTarget("1", USER, "qt"), reply_token=reply_token)
        for call in line.render(message, ACCOUNT, facts).calls:
            judge_call(call)


URL = "https://cdn.example.com/a"


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "video", "originalContentUrl": URL}],
        [{"type": "audio", "originalContentUrl": URL}],
        [{"type": "location", "address": "0, 0", "latitude": 0, "longitude": 0}],
        [{"type": "text", "text": "x"}] * 6,
        [],
        [{"type": "document", "originalContentUrl": URL}],
        [{"type": "text", "text": "x", "caption": "y"}],
    ],
    ids=["no preview", "no duration", "no title", "six messages", "no message", "unknown type", "unknown member"],
)
def test_the_judge_refuses(messages):
    # pydantic's ValidationError is a ValueError, and so is the SDK's own for an unknown type.
    with pytest.raises((ValueError, AssertionError)):
        judge(PushMessageRequest, {"to": USER, "messages": messages})


def test_the_judge_refuses_postback_data_beyond_its_length():
    action = {"type": "postback", "label": "A", "data": "d" * 301, "displayText": "A"}
    template = {"type": "buttons", "text": "x", "actions": [action]}
    with pytest.raises(ValueError, match="300"):
        judge(
            PushMessageRequest, {"to": USER, "messages": [{"type": "template", "altText": "x", "template": template}]}
        )


@pytest.mark.parametrize("case", load("line", "inbound"), ids=lambda case: case["id"])
def test_signatures_are_judged_alike(case):
    theirs = SignatureValidator(case["channel_secret"]).validate(case["raw_body"], case["x_line_signature"])
    account = replace(ACCOUNT, settings=replace(SETTINGS, channel_secret=case["channel_secret"]))
    request = WebhookRequest("POST", {}, {"x-line-signature": case["x_line_signature"]}, case["raw_body"].encode())
    try:
        line.verify(account, request)
        ours = True
    except WebhookRejected:
        ours = False
    assert ours is theirs
