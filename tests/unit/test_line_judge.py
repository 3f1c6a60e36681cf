"""LINE's own SDK judges what the channel emits, and reads the webhooks as the channel reads them.

Every payload passes the SDK's models, and comes out of them without loss.

The models drop members that they do not know, so the round trip is compared. They check required members, one to five
messages and the length of postback data, not the lengths of texts and labels: ``test_line`` counts those.
"""

import json
import warnings
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings

from kurir.channels.base import (
    AccountNews,
    ContactNews,
    Deleted,
    Edited,
    Facts,
    Ignored,
    InboundMessage,
    Kind,
    Receipt,
    ReplyTarget,
    ReplyToken,
    WebhookRejected,
    WebhookRequest,
)
from kurir.channels.line import channel as line
from kurir.domain.message import Message
from support.cases import load
from support.line import ACCOUNT, SETTINGS, TID, USER, decoded, https_bodies, rendered
from support.line_events import EVENTS, body_of, webhook

with warnings.catch_warnings():
    # The SDK announces at import that its version 2 is deprecated; only its version 3 is used here.
    warnings.simplefilter("ignore")
    from linebot.v3 import webhooks
    from linebot.v3.messaging import PushMessageRequest, ReplyMessageRequest
    from linebot.v3.webhook import SignatureValidator, WebhookParser

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


# --- Webhooks ---------------------------------------------------------------------------------------------------------

#: The SDK's class of an event → ours.
KINDS = {
    "MessageEvent": InboundMessage,
    "PostbackEvent": InboundMessage,
    "MessageEditedEvent": Edited,
    "UnsendEvent": Deleted,
    "FollowEvent": ContactNews,
    "UnfollowEvent": ContactNews,
    "JoinEvent": ContactNews,
    "LeaveEvent": ContactNews,
    "MemberJoinedEvent": ContactNews,
    "AccountLinkEvent": ContactNews,
    "PnpDeliveryCompletionEvent": Receipt,
    "BotSuspendedEvent": AccountNews,
}
CONTENT = {
    "TextMessageContent": Kind.TEXT,
    "ImageMessageContent": Kind.IMAGE,
    "VideoMessageContent": Kind.VIDEO,
    "AudioMessageContent": Kind.AUDIO,
    "FileMessageContent": Kind.DOCUMENT,
    "LocationMessageContent": Kind.LOCATION,
    "StickerMessageContent": Kind.STICKER,
}


def agree(theirs, ours):
    """Compare one event as the SDK and as the channel read it."""
    assert isinstance(theirs, webhooks.Event)  # what the SDK does not know is of another class
    assert ours.event_id == theirs.webhook_event_id
    if isinstance(ours, Ignored):
        return
    assert isinstance(ours, KINDS[type(theirs).__name__])
    assert round(ours.at.timestamp() * 1000) == theirs.timestamp
    person = getattr(ours, "sender", getattr(ours, "person", None))
    if theirs.source is None:
        assert person is None
    else:
        chat = {"user": "user_id", "group": "group_id", "room": "room_id"}[theirs.source.type]
        assert person.address == getattr(theirs.source, chat)
        assert person.id == (theirs.source.user_id or "")
    if hasattr(ours, "reply_token"):
        assert ours.reply_token == (getattr(theirs, "reply_token", None) or "")
    if isinstance(ours, InboundMessage):
        assert ours.standby is (theirs.mode.value == "standby")
    AGREE.get(type(theirs).__name__, lambda *_: None)(theirs, ours)


def agree_on_message(theirs, ours):
    content = theirs.message
    assert ours.kind is CONTENT[type(content).__name__]
    assert ours.platform_id == content.id
    assert ours.text == (getattr(content, "text", None) or "")
    assert ours.quote_token == (getattr(content, "quote_token", None) or "")
    assert ours.reply_to == (getattr(content, "quoted_message_id", None) or "")
    if ours.kind is Kind.LOCATION:
        place = ours.location
        assert (place.latitude, place.longitude) == (content.latitude, content.longitude)
        assert (place.name, place.address) == (content.title or "", content.address or "")
    provider = getattr(content, "content_provider", None)
    for file in ours.media:
        external = provider is not None and provider.type == "external"
        assert file.public is external
        assert (file.url, file.id) == ((provider.original_content_url, "") if external else ("", content.id))
        assert (file.name, file.size) == (getattr(content, "file_name", ""), getattr(content, "file_size", None))


def agree_on_postback(theirs, ours):
    assert ours.press.data == theirs.postback.data
    assert ours.text in {"", *(theirs.postback.params or {}).values()}


def agree_on_edit(theirs, ours):
    assert (ours.platform_id, ours.text) == (theirs.message.id, theirs.message.text)


AGREE = {
    "MessageEvent": agree_on_message,
    "PostbackEvent": agree_on_postback,
    "MessageEditedEvent": agree_on_edit,
    "UnsendEvent": lambda theirs, ours: _same(ours.platform_id, theirs.unsend.message_id),
    "AccountLinkEvent": lambda theirs, ours: _same(ours.referral, theirs.link.nonce),
    "FollowEvent": lambda theirs, ours: _same((ours.blocked, ours.first_time), (False, not theirs.follow.is_unblocked)),
    "UnfollowEvent": lambda _, ours: _same(ours.blocked, True),
    "PnpDeliveryCompletionEvent": lambda theirs, ours: _same(ours.reference, theirs.delivery.data),
}


def _same(ours, theirs):
    assert ours == theirs


def both(raw, signature, secret):
    """Return pairs of (the SDK's event, ours) of a signed body."""
    account = replace(ACCOUNT, settings=replace(SETTINGS, channel_secret=secret))
    theirs = WebhookParser(secret).parse(raw, signature)
    return list(zip(theirs, line.parse(account, webhook(raw.encode(), signature)), strict=True))


@pytest.mark.parametrize("name", EVENTS)
def test_events_are_read_alike(name):
    for pair in both(*signed(EVENTS[name])):
        agree(*pair)


@pytest.mark.parametrize(
    "case", [case for case in load("line", "inbound") if case["expect"]["http"] == 200], ids=lambda case: case["id"]
)
def test_events_of_the_cases_are_read_alike(case):
    for theirs, ours in both(case["raw_body"], case["x_line_signature"], case["channel_secret"]):
        agree(theirs, ours)


def test_there_is_a_sample_of_every_event_and_message_of_the_judge():
    events = {name for name in vars(webhooks) if name.endswith("Event")} - {"Event"}
    contents = {name for name in vars(webhooks) if name.endswith("MessageContent")} - {"MessageContent"}
    pairs = [pair for each in EVENTS.values() for pair in both(*signed(each))]
    assert {type(theirs).__name__ for theirs, _ in pairs} == events
    assert {type(theirs.message).__name__ for theirs, _ in pairs if hasattr(theirs, "message")} == contents
    assert KINDS.keys() <= events
    unused = {type(theirs).__name__ for theirs, ours in pairs if isinstance(ours, Ignored)}
    assert unused | KINDS.keys() == events


def signed(each):
    request = webhook(body_of(each))
    return request.body.decode(), request.headers["x-line-signature"], SETTINGS.channel_secret
