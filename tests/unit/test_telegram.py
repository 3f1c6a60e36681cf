"""The Telegram channel: the cases, the properties of every rendering, and every answer's meaning.

What comes in is test_telegram_inbound.py's.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kurir.channels.base import (
    AccountDown,
    Again,
    Answer,
    Call,
    Channel,
    Facts,
    Learned,
    MediaFacts,
    Needs,
    NoAnswer,
    Outcome,
    Rejected,
    Rendering,
    ReplyTarget,
    Retry,
    Scope,
    Sent,
    Stage,
    Unknown,
    Upload,
)
from kurir.channels.telegram import channel as telegram
from kurir.channels.telegram.text import Styled
from kurir.domain import errors
from kurir.domain import recipient as recipients
from kurir.domain.account import Account, LineSettings, TelegramSettings
from kurir.domain.message import Message
from kurir.domain.recipient import Form, Recipient
from kurir.domain.status import Status
from kurir.intake import wire
from support import cases
from support.messages import seed_bodies

TOKEN = "123456:TEST"
SECRET = "s3cr3t"
TID = "018bd12a-0000-7000-8000-000000000001"
LINKED = {"6281234567890": "1001"}
ACCOUNT = Account(
    id="acme-tg",
    client_id="acme",
    channel="telegram",
    api_base=telegram.API_BASE,
    settings=TelegramSettings(token=TOKEN, secret_token=SECRET),
)

#: A case's warning → our kind of loss, where the names differ.
WARNINGS = {"reply_token_mismatch": "reply_token_not_used"}

URL = "https://cdn.example.com/a.jpg"
TEXT_CALL = Call(1, "POST", f"{telegram.API_BASE}/bot{TOKEN}/sendMessage", (), {"chat_id": 1001, "text": "x"})
PHOTO_CALL = Call(1, "POST", f"{telegram.API_BASE}/bot{TOKEN}/sendPhoto", (), {"chat_id": 1001, "photo": URL})
UPLOAD_CALL = Call(1, "POST", PHOTO_CALL.url, (), {"chat_id": 1001}, upload=Upload("photo", URL, "a.jpg"))
REPLY_CALL = Call(1, "POST", TEXT_CALL.url, (), {"chat_id": 1001, "text": "x", "reply_parameters": {"message_id": 5}})


def by_id(case: Any) -> str:
    return case["id"]


def seed(kind: str, body: dict[str, Any] | None = None, **more: Any) -> Message:
    """Return the message of a request of type *kind*."""
    fields = {"id": "1", "times": 0, "timestamp": "2023-11-14T22:13:20Z", "recipient": "tg:1001", "type": kind}
    message = wire.decode({**fields, "body": body or {}, **more}, "telegram")
    assert isinstance(message, Message), message
    return message


def button(text: str = "q", key: str = "k", title: str = "Go", **more: Any) -> Message:
    return seed("button", {"text": text, "button": [{"key": key, "title": title}]}, **more)


def render(message: Message, address: str = "1001", **facts: Any) -> Rendering:
    assert telegram.problems(message) == []
    return telegram.render(message, ACCOUNT, Facts(tid=TID, address=address, **facts))


def only(rendering: Rendering) -> Call:
    assert len(rendering.calls) == 1
    return rendering.calls[0]


def methods(rendering: Rendering) -> list[str]:
    return [call.url.rpartition("/")[2] for call in rendering.calls]


def kinds(rendering: Rendering) -> list[str]:
    return [loss.kind for loss in rendering.losses]


def refusal(code: int, description: str = "", **more: Any) -> Answer:
    body = {"ok": False, "error_code": code, "description": description, **more}
    return Answer(code, {}, json.dumps(body).encode())


def address_of(message: Message) -> str:
    read = recipients.read("telegram", message.recipient)
    assert isinstance(read, Recipient)
    return read.value if read.form is Form.ADDRESS else LINKED.get(read.value, "")


@settings(deadline=None)
@given(seed_bodies("telegram"))
def test_the_words_of_a_text_alone_are_those_of_its_runs(body):
    message = wire.decode(body, "telegram")
    assert isinstance(message, Message)
    assert telegram._words(message) == Styled.of(telegram._runs(message))


def test_module_is_a_channel():
    channel: Channel = telegram
    assert channel.NAME == "telegram"
    assert set(channel.RATES) == {"account", "recipient", "group"}
    assert set(channel.CAPABILITIES.types) == set(wire.MessageType)


# --- the cases --------------------------------------------------------------------------------------------------------


def rendered(case: Any) -> Rendering | list[Any]:
    given_input = case["input"]
    if given_input.get("gateway_action") == "contact_thanks":
        call = telegram.contact_thanks(ACCOUNT, str(given_input["chat_id"]), given_input["text"])
        return Rendering((call,))
    message = wire.decode(given_input, "telegram")
    if not isinstance(message, Message):
        return message
    found = telegram.problems(message)
    if found:
        return found
    stored = case.get("store", {}).get(message.reply_id)
    reply = ReplyTarget(f"{stored['chat_id']}:{stored['message_id']}", str(stored["chat_id"])) if stored else None
    return telegram.render(message, ACCOUNT, Facts(tid=TID, address=address_of(message), reply=reply))


@pytest.mark.parametrize("case", cases.load("telegram", "outbound"), ids=by_id)
def test_outbound_case(case):
    expect = case["expect"]
    result = rendered(case)
    if expect.get("gateway_http") == 422:
        assert isinstance(result, list)
        found = {problem.pointer: problem.code for problem in result}
        assert found.get(cases.to_pointer(expect["error_field"])) in cases.REASONS[expect["error_reason"]]
        return
    assert isinstance(result, Rendering)
    if expect["final_status"] == Status.UNSENT:
        # Nobody is addressed: identity ends it before the channel is asked. A preview shows it without address.
        assert all(call.json["chat_id"] == "" for call in result.calls)
        return
    tokens = {token.token: token.key for token in result.tokens}
    assert len(result.calls) == len(expect["requests"])
    for call, request in zip(result.calls, expect["requests"], strict=True):
        assert call.method == request["method"]
        assert call.url == telegram.API_BASE + request["path"].replace("{token}", TOKEN)
        assert dict(call.headers)["Content-Type"] == request["content_type"]
        assert cases.differences(request["json"], call.json, tid=TID, tokens=tokens) == []
    if "token_maps_to" in expect:
        assert list(tokens.values()) == [expect["token_maps_to"]]
    warnings = {WARNINGS.get(name, name) for name in expect.get("warnings", ())}
    assert warnings <= {loss.kind for loss in result.losses}


def call_of(case: Any) -> Call:
    return PHOTO_CALL if case["expect"]["class"] == "media_url_failed" else TEXT_CALL


def class_of(outcome: Outcome) -> set[str]:
    """Return the cases' names for what *outcome* is."""
    match outcome:
        case Sent():
            return {"ok"}
        case Retry(throttled=True):
            return {"rate_limited"}
        case Retry(again=Again.NEW_ADDRESS):
            return {"migrate"}
        case Retry(again=Again.UPLOAD):
            return {"media_url_failed"}
        case Retry():
            return {"transient"}
        case Rejected(status=Status.UNDELIVERED):
            return {"permanent_recipient"}
        case Rejected():
            return {"permanent_message"}
        case AccountDown():
            return {"account"}
        case Unknown():
            return {"unknown", "ambiguous"}


@pytest.mark.parametrize("case", cases.load("telegram", "provider_response"), ids=by_id)
def test_provider_response_case(case):
    expect, body = case["expect"], case["body"]
    answer: Answer | NoAnswer = Answer(
        case["http_status"], {}, body.encode() if isinstance(body, str) else json.dumps(body).encode()
    )
    if case["http_status"] == 0:
        answer = NoAnswer(Stage.AFTER_SEND, body)
    outcome = telegram.classify(call_of(case), answer)
    assert expect["class"] in class_of(outcome)
    if isinstance(outcome, Sent):
        assert outcome.platform_ids == (expect["provider_message_id"],)
        assert outcome.status == expect["final_status"]
    if isinstance(outcome, Rejected):
        assert outcome.status == expect["final_status"]
    if "retry_after_s" in expect:
        assert isinstance(outcome, Retry)
        assert (outcome.after, outcome.scope) == (expect["retry_after_s"], Scope.RECIPIENT)
    if "new_chat_id" in expect:
        assert outcome.learned.moved_to == str(expect["new_chat_id"])
    if "mark_contact" in expect:
        assert outcome.learned.blocked is True


# --- what is refused at accept ----------------------------------------------------------------------------------------


def choices(count: int) -> list[dict[str, str]]:
    return [{"key": f"k{number}", "title": f"Title {number}", "description": ""} for number in range(count)]


def test_100_choices_are_taken_and_101_are_not():
    sections = [{"title": "", "description": "", "actions": choices(50)} for _ in range(2)]
    body = {"text": "q", "list": {"title": "", "sections": sections}}
    assert len(only(render(seed("list", body))).json["reply_markup"]["inline_keyboard"]) == 100
    sections.append({"title": "", "description": "", "actions": choices(1)})
    (problem,) = telegram.problems(seed("list", body))
    assert (problem.pointer, problem.code) == ("/body/list/sections", "too_many")
    assert "101" in problem.detail
    assert telegram.problems(seed("button", {"text": "q", "button": choices(100)})) == []


def test_templates_and_fallbacks_are_refused_at_once():
    template = {"name": "hello", "language": "en"}
    fallback = {"when": "window_closed", "template": template}
    found = telegram.problems(seed("template", {"template": template}, fallback=fallback))
    assert [(problem.pointer, problem.code) for problem in found] == [
        ("/type", "unsupported_type"),
        ("/fallback", "unsupported_type"),
    ]


@pytest.mark.parametrize("nothing", ["\x01", "\u202a\u202c", " \u202e\n"])
def test_words_that_telegram_would_drop_are_refused(nothing):
    (problem,) = telegram.problems(seed("text", {"text": nothing}))
    assert (problem.pointer, problem.code) == ("/body/text", "blank")
    found = telegram.problems(button(text=nothing, title=nothing))
    assert [(one.pointer, one.code) for one in found] == [("/body/button/0/title", "blank"), ("/body/text", "no_words")]


# --- rendering --------------------------------------------------------------------------------------------------------


def test_only_a_voice_note_wants_to_be_looked_at():
    voice = seed("voice", {"media": {"url": "https://x.example/n.ogg"}})
    assert telegram.needs(voice, ACCOUNT) == Needs(probe=("https://x.example/n.ogg",))
    assert telegram.needs(seed("image", {"media": {"url": URL}}), ACCOUNT) == Needs()


def test_markup_in_a_text_stays_literal():
    words = "<b>a & b</b> *c* _d_ https://x.example/?a=1"
    assert only(render(seed("text", {"text": words}))).json == {"chat_id": 1001, "text": words}


def test_long_text_is_cut_at_the_last_white_space_that_fits():
    first, second = "a" * 4000 + " " + "b" * 95, "c" * 50
    rendering = render(seed("text", {"text": f"{first} \n{second}"}))
    assert [call.json["text"] for call in rendering.calls] == [first, second]
    assert [(loss.pointer, loss.kind) for loss in rendering.losses] == [("/body/text", "text_split")]


def test_white_space_at_the_very_limit_is_a_cut():
    rendering = render(seed("text", {"text": "a" * 4096 + " b"}))
    assert [call.json["text"] for call in rendering.calls] == ["a" * 4096, "b"]


def test_space_that_carries_an_accent_is_no_gap():
    rendering = render(seed("text", {"text": "a" * 4000 + "\r\n" + "b" * 90 + " \u0301" + "c" * 10}))
    assert [call.json["text"] for call in rendering.calls] == ["a" * 4000, "b" * 90 + " \u0301" + "c" * 10]


def test_hard_cut_spares_joined_emoji():
    family = "👨‍👩‍👧‍👦"
    rendering = render(seed("text", {"text": "a" * 4095 + family}))
    assert [call.json["text"] for call in rendering.calls] == ["a" * 4095, family]


def test_piece_that_telegram_would_call_empty_is_not_sent():
    rendering = render(seed("text", {"text": "a" * 4096 + "\x01\x02"}))
    assert [call.json["text"] for call in rendering.calls] == ["a" * 4096]


def test_reply_stands_on_the_first_part_and_keyboard_on_the_last():
    rendering = render(button(text="a" * 4096 + "b", reply_id="1001:9"))
    first, last = (call.json for call in rendering.calls)
    assert first["reply_parameters"] == {"message_id": 9, "allow_sending_without_reply": True}
    assert "reply_markup" not in first
    assert "reply_parameters" not in last
    assert last["reply_markup"]["inline_keyboard"] == [[{"text": "Go", "callback_data": "k"}]]


def test_styles_go_with_their_words_when_a_text_is_cut():
    header = {"type": "text", "text": "🍎" * 4096 + " end"}
    footer = {"title": "", "text": "small"}
    first, last = (call.json for call in render(button(header=header, footer=footer)).calls)
    assert first["entities"] == [{"type": "bold", "offset": 0, "length": 8192}]
    assert last["text"] == "end\n\nq\n\nsmall"
    assert last["entities"] == [
        {"type": "bold", "offset": 0, "length": 3},
        {"type": "italic", "offset": 8, "length": 5},
    ]


def test_header_that_served_as_the_words_is_shown_once():
    message = button(text="", header={"type": "text", "text": "Choose"})
    assert only(render(message)).json["text"] == "Choose"


def test_list_title_serves_as_the_words_where_there_is_no_text():
    sections = [{"title": "", "description": "Desc", "actions": choices(1)}]
    titled = render(seed("list", {"text": "", "list": {"title": "Menu", "sections": sections}}))
    assert only(titled).json["text"] == "Menu\n\nDesc\n• Title 0"
    assert kinds(titled) == ["list_as_keyboard"]
    both = render(seed("list", {"text": "Words", "list": {"title": "Menu", "sections": sections}}))
    assert only(both).json["text"] == "Words\n\nDesc\n• Title 0"
    assert kinds(both) == ["list_as_keyboard", "list_title_ignored"]


def test_text_of_a_location_follows_it():
    rendering = render(seed("location", {"text": "Here", "location": {"latitude": 1, "longitude": 2}}))
    assert methods(rendering) == ["sendLocation", "sendMessage"]
    assert kinds(rendering) == ["caption_sent_as_text"]


def test_caption_of_1024_stays_and_1025_follows():
    short = render(seed("image", {"text": "😀" * 1024, "media": {"url": URL}}))
    assert methods(short) == ["sendPhoto"]
    assert short.losses == ()
    long = render(seed("image", {"text": "😀" * 1025, "media": {"url": URL}}))
    assert methods(long) == ["sendPhoto", "sendMessage"]
    assert kinds(long) == ["caption_sent_as_text"]


def test_header_file_carries_the_words_as_its_caption():
    header = {"type": "video", "media_url": "https://x.example/v.mp4"}
    call = only(render(button(header=header, footer={"title": "Shop", "text": ""})))
    assert call.json == {
        "chat_id": 1001,
        "video": "https://x.example/v.mp4",
        "supports_streaming": True,
        "caption": "q\n\nShop",
        "caption_entities": [{"type": "italic", "offset": 3, "length": 4}],
        "reply_markup": {"inline_keyboard": [[{"text": "Go", "callback_data": "k"}]]},
    }
    apart = render(button(text="b" * 1025, header=header))
    assert methods(apart) == ["sendVideo", "sendMessage"]
    assert [(loss.pointer, loss.kind) for loss in apart.losses] == [("/header", "header_sent_separately")]


def test_audio_shows_its_name_and_a_photo_does_not():
    audio = render(seed("audio", {"media": {"url": "https://x.example/s.mp3", "name": "My song"}}))
    assert only(audio).json["title"] == "My song"
    assert audio.losses == ()
    photo = render(seed("image", {"media": {"url": URL, "name": "Holiday"}}))
    assert [(loss.pointer, loss.kind) for loss in photo.losses] == [("/body/media/name", "media_name_ignored")]


@pytest.mark.parametrize(
    ("url", "name", "filename"),
    [
        ("https://x.example/a/report.docx", "", "report.docx"),
        ("https://x.example/a/report.docx", "Report 2023.docx", "Report 2023.docx"),
        ("https://x.example/a/report.docx?v=1.pdf", "Report", "Report.docx"),
        ("https://x.example/invoice.pdf", "Invoice 7.pdf", "Invoice 7.pdf"),
        ("https://x.example/%E6%97%A5.txt", "", "日.txt"),
        ("https://x.example/%2e%2e%2fetc%0a", "", ".._etc_"),
        ("https://x.example", "", "file"),
        ("https://x.example/", "a/b\\c\r\n.txt", "a_b_c__.txt"),
    ],
)
def test_document_that_cannot_go_by_url_is_uploaded_under_its_name(url, name, filename):
    call = only(render(seed("document", {"text": "c", "media": {"url": url, "name": name}})))
    assert call.upload == Upload("document", url, filename)
    assert call.json == {"chat_id": 1001, "caption": "c"}
    assert call.headers == ()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://x.example/a.PDF?sig=1#p", ""),
        ("https://x.example/a.zip", "a.zip"),
        ("https://x.example/a%20b.pdf", "a b.pdf"),
        ("https://x.example/a%20b.pdf", "a%20b.pdf"),
    ],
)
def test_document_goes_by_url_where_telegram_takes_it_so(url, name):
    call = only(render(seed("document", {"media": {"url": url, "name": name}})))
    assert call.upload is None
    assert call.json == {"chat_id": 1001, "document": url}


@pytest.mark.parametrize(
    ("kind", "known", "uploaded"),
    [
        ("voice", MediaFacts("audio/ogg", 900_000), False),
        ("voice", MediaFacts("Audio/Ogg; codecs=opus", None), False),
        ("voice", MediaFacts("audio/ogg", 1_000_001), True),
        ("voice", MediaFacts("audio/mpeg", 900_000), True),
        ("voice", MediaFacts(), False),
        ("image", MediaFacts("image/jpeg", 5_000_000), False),
        ("image", MediaFacts("image/jpeg", 5_000_001), True),
        ("video", MediaFacts("video/mp4", 20_000_001), True),
    ],
)
def test_file_that_is_known_not_to_go_by_url_is_uploaded(kind, known, uploaded):
    url = "https://x.example/f"
    call = only(render(seed(kind, {"media": {"url": url}}), media={url: known}))
    assert (call.upload is not None) is uploaded


def test_upload_cure_turns_that_very_part_into_an_upload():
    message = seed("image", {"text": "c" * 1025, "media": {"url": "https://x.example/picture?id=5"}})
    first, second = render(message, again={1: frozenset({Again.UPLOAD})}).calls
    assert first.upload == Upload("photo", "https://x.example/picture?id=5", "picture.jpg")
    assert first.json == {"chat_id": 1001}
    assert second == render(message).calls[1]


@pytest.mark.parametrize(
    ("address", "chat_id", "limits"),
    [
        ("1001", 1001, ()),
        ("-1001234567890", -1001234567890, ("group",)),
        ("@shop", "@shop", ("group",)),
        ("", "", ()),
    ],
)
def test_chat_and_the_limits_it_counts_to(address, chat_id, limits):
    call = only(render(seed("text", {"text": "x"}), address))
    assert call.json["chat_id"] == chat_id
    assert call.limits == limits


def reply_of(rendering: Rendering) -> Any:
    return only(rendering).json.get("reply_parameters", {}).get("message_id")


def test_reply_goes_to_the_message_that_was_found():
    message = seed("text", {"text": "x"}, reply_id="my-own-id")
    assert reply_of(render(message, reply=ReplyTarget("1001:7"))) == 7
    assert reply_of(render(message, "@shop", reply=ReplyTarget("-100123:7", chat="@shop"))) == 7


@pytest.mark.parametrize("target", [None, ReplyTarget(""), ReplyTarget("7")])
def test_an_id_that_names_no_message_leaves_the_choice_to_the_token(target):
    """A press has an id of its own, and its token names the message whose button was pressed."""
    rendering = render(seed("text", {"text": "x"}, reply_id="my-own-id", reply_token="1001:5"), reply=target)
    assert reply_of(rendering) == 5
    assert rendering.losses == ()


@pytest.mark.parametrize("target", [ReplyTarget("2002:7"), ReplyTarget("1001:0")])
def test_reply_to_what_is_not_in_this_chat_is_left_out_and_said(target):
    rendering = render(seed("text", {"text": "x"}, reply_id="my-own-id", reply_token="1001:5"), reply=target)
    assert reply_of(rendering) is None
    assert [(loss.pointer, loss.kind) for loss in rendering.losses] == [("/reply_id", "reply_id_not_found")]


@pytest.mark.parametrize("token", ["2002:5", "nonsense", "1001:", "1001:99999999999"])
def test_reply_token_of_no_message_here_is_not_used(token):
    rendering = render(seed("text", {"text": "x"}, reply_token=token))
    assert reply_of(rendering) is None
    assert [(loss.pointer, loss.kind) for loss in rendering.losses] == [("/reply_token", "reply_token_not_used")]


def test_without_quote_drops_the_reply_and_says_so():
    message = seed("text", {"text": "x"}, reply_id="1001:5")
    rendering = render(message, again={1: frozenset({Again.WITHOUT_QUOTE})})
    assert reply_of(rendering) is None
    assert kinds(rendering) == ["reply_id_not_found"]


def test_account_of_another_channel_is_a_fault_of_the_program():
    other = Account("a", "acme", "line", "https://x.example", LineSettings("t", "s"))
    with pytest.raises(TypeError):
        telegram.render(seed("text", {"text": "x"}), other, Facts(TID, "1001"))


# --- the properties of every rendering --------------------------------------------------------------------------------


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def squeezed(text: str) -> str:
    """Return *text* without what Telegram drops or a cut may drop."""
    return "".join(c for c in text if not c.isspace() and c > "\x20" and c != "\x7f" and not "\u2028" <= c <= "\u202e")


def breaches(call: Call) -> Iterator[str]:
    """Yield what Telegram would refuse or lose of *call*; written without a look at the adapter."""
    for words, entities, maximum in (("text", "entities", 4096), ("caption", "caption_entities", 1024)):
        text = call.json.get(words)
        if text is not None and not 1 <= len(text) <= maximum:
            yield f"{words} has {len(text)} characters"
        if text is not None and not squeezed(text):
            yield f"{words} shows nothing"
        for entity in call.json.get(entities, ()):
            if entity["offset"] < 0 or entity["length"] < 1 or entity["offset"] + entity["length"] > units(text or ""):
                yield f"{entities} holds {entity} beyond the text"
    if call.url.endswith("/sendMessage") and "text" not in call.json:
        yield "a message without text"
    rows = call.json.get("reply_markup", {}).get("inline_keyboard", ())
    if len(rows) > 100:
        yield f"{len(rows)} rows"
    for (pressed,) in rows:
        if not 1 <= len(pressed["callback_data"].encode()) <= 64 or not squeezed(pressed["text"]):
            yield f"the button {pressed}"


def fragments(message: Message) -> Iterator[str]:
    """Yield everything that the person must be able to read, in order."""
    yield message.header.text if message.header else ""
    yield message.text
    if message.list:
        yield message.list.title if not squeezed(message.text) else ""
        for section in message.list.sections:
            yield from (section.title, section.description)
            for row in section.actions:
                yield from (row.title, row.description)
    if message.footer:
        yield from (message.footer.title, message.footer.text)


@settings(max_examples=200, deadline=None)
@given(seed_bodies("telegram"))
def test_every_rendering_holds_the_limits_and_loses_nothing(body):
    message = wire.decode(body, "telegram")
    assert isinstance(message, Message)
    if telegram.problems(message):
        return
    facts = Facts(tid=TID, address=address_of(message))
    rendering = telegram.render(message, ACCOUNT, facts)
    assert rendering == telegram.render(message, ACCOUNT, facts)
    assert rendering == telegram.render(wire.restore(wire.encode(message)), ACCOUNT, facts)
    calls = rendering.calls
    assert [call.part for call in calls] == list(range(1, len(calls) + 1))
    assert [breach for call in calls for breach in breaches(call)] == []
    shown = squeezed("".join(call.json.get("text", call.json.get("caption", "")) for call in calls))
    place = 0
    for fragment in fragments(message):
        wanted = squeezed(fragment)
        found = shown.find(wanted, place)
        assert found >= 0, fragment
        place = found + len(wanted)
    tokens = {token.token: token.key for token in rendering.tokens}
    keyboards = [call.json["reply_markup"]["inline_keyboard"] for call in calls if "reply_markup" in call.json]
    pressed = [tokens.get(row["callback_data"], row["callback_data"]) for rows in keyboards for (row,) in rows]
    rows = [*message.buttons, *(row for one in (message.list.sections if message.list else ()) for row in one.actions)]
    assert pressed == [row.key for row in rows]
    assert all("reply_parameters" not in call.json for call in calls[1:])
    assert all(loss.pointer.startswith("/") and loss.detail for loss in rendering.losses)


# --- what answers mean ------------------------------------------------------------------------------------------------


def test_every_code_of_the_table_is_in_the_registry():
    assert {row.code for row in telegram.ERRORS if row.code} <= set(errors.ERRORS)


def of_content(code="content_refused"):
    return Rejected(Status.FAILED, code, "")


def of_recipient(code="recipient_refused", *, blocked=None):
    return Rejected(Status.UNDELIVERED, code, "", learned=Learned(blocked=blocked))


def of_account(code):
    return AccountDown(code, "")


FAULT = Retry("platform_unavailable", "")
FLOOD = Retry("rate_limited", "", 7.0, Scope.RECIPIENT, throttled=True)
MOVED = Retry("recipient_unknown", "", again=Again.NEW_ADDRESS, learned=Learned(moved_to="-1001234567890"))
#: The Bot API's own texts, with the code they come with → the outcome for a text, without its words.
TEXTS = [
    (400, "Logged out", of_account("account_setup")),
    (400, "FROZEN_METHOD_INVALID", of_account("account_policy")),
    (400, "group chat was upgraded to a supergroup chat", of_recipient("recipient_unknown")),
    (400, "chat not found", of_recipient("recipient_unknown")),
    (400, "private chat not found", of_recipient("recipient_unknown")),
    (400, "PEER_ID_INVALID", of_recipient("recipient_unknown")),
    (400, "not enough rights to send photos to the chat", of_recipient()),
    (400, "have no write access to the chat", of_recipient()),
    (400, "CHAT_WRITE_FORBIDDEN", of_recipient()),
    (400, "CHAT_RESTRICTED", of_recipient()),
    (400, "TOPIC_CLOSED", of_recipient()),
    (400, "VOICE_MESSAGES_FORBIDDEN", of_recipient()),
    (400, "message to be replied not found", of_content()),
    (400, "message thread not found", of_content()),
    (400, "message is too long", of_content()),
    (400, "message caption is too long", of_content()),
    (400, "text is too long", of_content()),
    (400, "message text is empty", of_content()),
    (400, "text must be non-empty", of_content()),
    (400, "can't parse entities: Unsupported start tag", of_content()),
    (400, "can't parse reply keyboard markup JSON object", of_content()),
    (400, "object expected as reply markup", of_content()),
    (400, "BUTTON_DATA_INVALID", of_content()),
    (400, "BUTTON_URL_INVALID", of_content()),
    (400, "inline keyboard button URL 'x' is invalid: unsupported scheme", of_content()),
    (400, "Text buttons are unallowed in the inline keyboard", of_content()),
    (400, "reply markup is too long", of_content()),
    (400, "REPLY_MARKUP_TOO_LONG", of_content()),
    (400, "BUTTON_TYPE_INVALID", of_content()),
    (400, "invalid location specified", of_content()),
    (400, "strings must be encoded in UTF-8", of_content()),
    (400, "failed to get HTTP URL content", of_content("media_refused")),
    (400, "wrong file identifier/HTTP URL specified", of_content("media_refused")),
    (400, "wrong remote file identifier specified: can't unserialize it", of_content("media_refused")),
    (400, "wrong type of the web page content", of_content("media_refused")),
    (400, "file must be non-empty", of_content("media_refused")),
    (
        400,
        "file of size 11 bytes is too big for a photo; the maximum size is 10485760 bytes",
        of_content("media_refused"),
    ),
    (400, "file is too big", of_content("media_refused")),
    (400, "PHOTO_INVALID_DIMENSIONS", of_content("media_refused")),
    (400, "IMAGE_PROCESS_FAILED", of_content("media_refused")),
    (400, "photo has unsupported extension. Use one of .jpg, .png", of_content("media_refused")),
    (400, "there is no photo in the request", of_content("media_refused")),
    (400, "there is no video in the request", of_content("media_refused")),
    (400, "there is no audio in the request", of_content("media_refused")),
    (400, "there is no voice in the request", of_content("media_refused")),
    (400, "there is no document in the request", of_content("media_refused")),
    (400, "something new", of_content()),
    (401, "invalid api-id/api-hash", of_account("account_setup")),
    (401, "Unauthorized", of_account("account_credentials")),
    (401, "invalid token specified", of_account("account_credentials")),
    (401, "something new", of_account("account_credentials")),
    (404, "Not Found: method not found", of_account("account_setup")),
    (404, "Not Found", of_account("account_credentials")),
    (404, "something new", of_account("account_credentials")),
    (409, "Conflict: terminated by other getUpdates request", of_account("account_setup")),
    (409, "Conflict: can't use getUpdates method while webhook is active", of_account("account_setup")),
    (409, "Conflict: terminated by setWebhook request", of_account("account_setup")),
    (409, "something new", of_account("account_setup")),
    (421, "Misdirected Request", of_account("account_setup")),
    (421, "something new", of_account("account_setup")),
    (403, "Forbidden: bot was blocked by the user", of_recipient("recipient_blocked", blocked=True)),
    (403, "Forbidden: user is deactivated", of_recipient("recipient_unreachable", blocked=True)),
    (403, "Forbidden: bot can't initiate conversation with a user", of_recipient("recipient_unreachable")),
    (403, "Forbidden: the group chat was deleted", of_recipient("recipient_unknown", blocked=True)),
    (403, "Forbidden: the bot can't send messages to the bot", of_recipient()),
    (403, "Forbidden: bot can't send messages to bots", of_recipient()),
    (403, "Forbidden: bot was kicked from the group chat", of_recipient(blocked=True)),
    (403, "Forbidden: bot was kicked from the supergroup chat", of_recipient(blocked=True)),
    (403, "Forbidden: bot was kicked from the channel chat", of_recipient(blocked=True)),
    (403, "Forbidden: bot is not a member of the channel chat", of_recipient()),
    (403, "something new", of_recipient()),
    (413, "Request Entity Too Large", of_content()),
    (413, "something new", of_content()),
    (429, "Too Many Requests: retry after 7", FLOOD),
    (429, "something new", replace(FLOOD, after=None)),
    (500, "Internal Server Error: sent message was immediately deleted and can't be returned", Sent(())),
    (500, "restart", FAULT),
    (500, "Internal Server Error", FAULT),
    (500, "something new", FAULT),
    (502, "something new", FAULT),
    (503, "something new", FAULT),
    (504, "something new", FAULT),
]


@pytest.mark.parametrize(("number", "text", "expected"), TEXTS, ids=lambda value: str(value)[:60])
def test_every_text_of_the_bot_api(number, text, expected):
    for words in (text, text.upper()):  # the texts are no contract, least of all their case
        outcome = telegram.classify(TEXT_CALL, refusal(number, f"Bad Request: {words}"))
        if isinstance(outcome, Sent):
            assert outcome == expected
            continue
        assert replace(outcome, reason="", provider_code="") == expected
        assert outcome.provider_code == str(number)
        assert outcome.code in errors.ERRORS


def test_every_text_has_its_row_and_every_row_its_text():
    reached = set()
    for number, text, _ in TEXTS:
        fitting = (row for row in telegram.ERRORS if row.error_code == number and row.text in text.lower())
        row = next(fitting)
        assert bool(row.text) is (text != "something new"), text
        reached.add(row)
    assert reached == set(telegram.ERRORS)


def test_group_that_became_a_supergroup_is_written_to_once_more_and_no_more():
    moved = refusal(
        400, "group chat was upgraded to a supergroup chat", parameters={"migrate_to_chat_id": -1001234567890}
    )
    assert replace(telegram.classify(TEXT_CALL, moved), reason="", provider_code="") == MOVED
    there = Call(1, "POST", TEXT_CALL.url, (), {"chat_id": -1001234567890, "text": "x"})
    assert replace(telegram.classify(there, moved), reason="", provider_code="") == of_recipient("recipient_unknown")


@pytest.mark.parametrize(
    "result",
    [
        None,
        True,
        [],
        {},
        {"message_id": 0, "chat": {"id": 1}},
        {"message_id": 5},
        {"message_id": True, "chat": {"id": 1}},
        {"message_id": "5", "chat": {"id": 1}},
        {"message_id": 5, "chat": {"id": 10**30}},
    ],
)
def test_success_without_a_usable_id_is_sent_all_the_same(result):
    answer = Answer(200, {}, json.dumps({"ok": True, "result": result}).encode())
    assert telegram.classify(TEXT_CALL, answer) == Sent(())


def test_number_of_a_named_chat_is_learned():
    call = Call(1, "POST", TEXT_CALL.url, (), {"chat_id": "@shop", "text": "x"})
    answer = Answer(200, {}, b'{"ok":true,"result":{"message_id":5,"chat":{"id":-1009}}}')
    assert telegram.classify(call, answer) == Sent(("-1009:5",), learned=Learned(alias="-1009"))


@pytest.mark.parametrize(
    ("answer", "after"),
    [
        (refusal(429, "Too Many Requests: retry after 7", parameters={"retry_after": 9}), 9.0),
        (refusal(429, "Too Many Requests: retry after 7"), 7.0),
        (refusal(429, "Too Many Requests", parameters={"retry_after": -1}), None),
        (refusal(429, "Too Many Requests", parameters={"retry_after": True}), None),
        (refusal(429, "Too Many Requests", parameters={"retry_after": float("inf")}), None),
        (refusal(429, "Too Many Requests", parameters={"retry_after": float("nan")}), None),
        (refusal(429, "Too Many Requests", parameters={"retry_after": 10**40}), 7 * 24 * 3600.0),
        (refusal(429, "Too Many Requests", parameters=[1]), None),
        (Answer(429, {"retry-after": "5"}, b'{"ok":false,"error_code":429,"description":""}'), 5.0),
        (Answer(429, {"retry-after": "5"}, b"<html>"), 5.0),
        (Answer(429, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"<html>"), None),
    ],
)
def test_wait_of_a_rate_limit(answer, after):
    outcome = telegram.classify(TEXT_CALL, answer)
    assert isinstance(outcome, Retry)
    assert (outcome.code, outcome.after, outcome.throttled) == ("rate_limited", after, True)
    assert outcome.scope is Scope.RECIPIENT


@pytest.mark.parametrize(
    ("call", "answer", "again", "code"),
    [
        (PHOTO_CALL, refusal(400, "Bad Request: failed to get HTTP URL content"), Again.UPLOAD, "media_refused"),
        (REPLY_CALL, refusal(400, "message to be replied not found"), Again.WITHOUT_QUOTE, "content_refused"),
        (
            TEXT_CALL,
            refusal(400, "group chat was upgraded", parameters={"migrate_to_chat_id": -1001}),
            Again.NEW_ADDRESS,
            "recipient_unknown",
        ),
    ],
)
def test_refusal_that_names_its_cure(call, answer, again, code):
    outcome = telegram.classify(call, answer)
    assert isinstance(outcome, Retry)
    assert (outcome.again, outcome.code) == (again, code)


def test_upload_has_no_second_way():
    outcome = telegram.classify(UPLOAD_CALL, refusal(400, "Bad Request: failed to get HTTP URL content"))
    assert isinstance(outcome, Rejected)
    assert outcome.code == "media_refused"


@pytest.mark.parametrize("body", [b"<html>413</html>", b'{"ok":false,"error_code":413,"description":"Too large"}'])
@pytest.mark.parametrize(
    ("call", "code"), [(TEXT_CALL, "content_refused"), (PHOTO_CALL, "media_refused"), (UPLOAD_CALL, "media_refused")]
)
def test_body_too_large_is_the_files_fault_where_there_is_one(call, code, body):
    outcome = telegram.classify(call, Answer(413, {}, body))
    assert isinstance(outcome, Rejected)
    assert (outcome.status, outcome.code) == (Status.FAILED, code)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (NoAnswer(Stage.AFTER_SEND, ""), "no_answer"),
        (Answer(200, {}, b'{"ok":tru'), "no_answer"),
        (Answer(200, {}, b"[1]"), "no_answer"),
        (Answer(200, {}, b'{"result":{}}'), "no_answer"),
        (Answer(502, {}, b"<html>"), "no_answer"),
        (Answer(404, {}, b"<html>"), "no_answer"),
        (Answer(500, {}, b'{"ok":true}'), "ambiguous_error"),
        (Answer(200, {}, b'{"ok":false}'), "ambiguous_error"),
        (Answer(200, {}, b'{"ok":false,"error_code":200}'), "ambiguous_error"),
    ],
)
def test_what_nobody_knows_is_unknown(answer, code):
    outcome = telegram.classify(TEXT_CALL, answer)
    assert isinstance(outcome, Unknown)
    assert outcome.code == code
    assert outcome.reason


def test_nothing_sent_is_tried_again():
    outcome = telegram.classify(TEXT_CALL, NoAnswer(Stage.BEFORE_SEND, "no such host"))
    assert outcome == Retry("not_reached", "no such host")


def test_codes_that_the_table_does_not_have():
    assert isinstance(telegram.classify(TEXT_CALL, refusal(418, "teapot")), Rejected)
    assert telegram.classify(TEXT_CALL, refusal(520, "")).code == "platform_unavailable"
    assert telegram.classify(TEXT_CALL, Answer(400, {}, b'{"ok":false,"error_code":"x"}')).code == "content_refused"


@pytest.mark.parametrize("spelled", [TOKEN, "123456%3ATEST"])
def test_token_never_comes_out(spelled):
    words = f"POST https://api.telegram.org/bot{spelled}/sendMessage failed"
    for answer in (
        NoAnswer(Stage.BEFORE_SEND, words),
        NoAnswer(Stage.AFTER_SEND, words),
        refusal(400, words),
        refusal(401, words),
    ):
        outcome = telegram.classify(TEXT_CALL, answer)
        assert spelled not in repr(outcome)
        assert "failed" in repr(outcome)
    with_longer = refusal(400, "x" * 495 + f" /bot{spelled}/")
    assert spelled[:6] not in repr(telegram.classify(TEXT_CALL, with_longer))


def test_call_outside_the_bot_api_has_no_token_to_hide():
    call = Call(1, "POST", "https://x.example/", (), {})
    assert telegram.classify(call, refusal(403, "Forbidden: x")).reason == "Forbidden: x"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
answer_bodies = st.one_of(
    st.binary(max_size=100),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {},
        optional={
            "ok": st.booleans() | json_values,
            "error_code": st.integers(100, 700) | json_values,
            "description": st.sampled_from([row.text for row in telegram.ERRORS]) | json_values,
            "parameters": st.fixed_dictionaries(
                {}, optional={"retry_after": json_values, "migrate_to_chat_id": json_values}
            )
            | json_values,
            "result": st.fixed_dictionaries(
                {}, optional={"message_id": json_values, "chat": st.just({"id": 1}) | json_values}
            )
            | json_values,
        },
    ).map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([TEXT_CALL, PHOTO_CALL, UPLOAD_CALL, REPLY_CALL]),
    st.one_of(
        st.builds(
            Answer,
            st.sampled_from([200, 302, 400, 401, 403, 404, 409, 413, 421, 429, 500, 502]) | st.integers(100, 999),
            st.dictionaries(st.just("retry-after"), st.text(max_size=8), max_size=1),
            answer_bodies,
        ),
        st.builds(NoAnswer, st.sampled_from(Stage), st.text(max_size=50)),
    ),
)
def test_every_answer_has_an_outcome(call, answer):
    outcome = telegram.classify(call, answer)
    assert isinstance(outcome, Outcome)
    assert telegram.classify(call, answer) == outcome
    if not isinstance(outcome, Sent):
        assert outcome.code in errors.ERRORS
        assert outcome.reason
        outcome.reason.encode()


@settings(max_examples=200, deadline=None)
@given(st.builds(Answer, st.sampled_from([200, 400, 403, 429, 500]), st.just({}), answer_bodies))
@example(refusal(400, "failed to get HTTP URL content"))
@example(refusal(400, "message to be replied not found"))
@example(refusal(400, "upgraded", parameters={"migrate_to_chat_id": -1001}))
def test_an_answer_that_stays_the_same_names_each_cure_once(answer):
    message = seed("image", {"media": {"url": URL, "name": ""}}, reply_id="mine")
    taken, address = set(), "1001"
    while True:
        reply = ReplyTarget(f"{address}:55", address)
        rendering = render(message, address, reply=reply, again={1: frozenset(taken)})
        outcome = telegram.classify(rendering.calls[0], answer)
        if not isinstance(outcome, Retry) or outcome.again is None:
            break
        assert outcome.again not in taken
        taken.add(outcome.again)
        address = outcome.learned.moved_to or address


def test_a_reply_is_no_loss_while_the_chat_is_not_known_yet():
    """At accept the recipient is not resolved: a false alarm would stay with the message for ever."""
    message = seed("text", {"text": "Yes"}, reply_id="mine")
    assert kinds(render(message, "", reply=ReplyTarget("1001:55", "1001"))) == []
    assert kinds(render(message, "1002", reply=ReplyTarget("1001:55", "1001"))) == ["reply_id_not_found"]
