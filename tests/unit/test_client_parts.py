"""The pure parts of the typed client: messages, reading, waits, server-sent events, errors."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurir.channels import BUILT_IN
from kurir.channels.base import ContactNews, Deleted, Edited, Person, Reaction
from kurir.client import (
    Button,
    ContactChanged,
    Footer,
    Header,
    KurirError,
    Message,
    MessageDeleted,
    MessageEdited,
    MessageReaction,
    Retries,
    Row,
    Section,
    calls,
    events,
    sse,
)
from kurir.client.answers import MessageDetails, Status
from kurir.client.calls import Answer, Login
from kurir.client.reading import read
from kurir.client.retrying import Outage
from kurir.domain import message as messages
from kurir.domain.status import Status as TheirStatus
from kurir.intake import inbound_data, wire
from kurir.store.feed import KINDS

URL = "https://media.sandbox.invalid/demo.jpg"
TO = "628xxxxxxxx"
AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)

# --- messages -----------------------------------------------------------------------------------------------------------


def every_type() -> list[Message]:
    section = Section("One", [Row("r", "Row", "more"), Row("s", "Other")], "first")
    framed: dict[str, Any] = {"header": Header("Above"), "footer": Footer("Below", "Shop")}
    return [
        Message.text(TO, "Hello"),
        Message.image(TO, URL, "caption", name="demo.jpg"),
        Message.video(TO, URL, "caption"),
        Message.audio(TO, URL),
        Message.voice(TO, URL),
        Message.document(TO, URL, name="bill.pdf"),
        Message.location(TO, 0.0, -180),
        Message.button(TO, "Yes?", [Button("yes", "Yes"), Button("no", "No")], **framed),
        Message.list(TO, "Which?", "Menu", [section], header=Header(media_url=URL), footer=Footer("Below")),
    ]


@pytest.mark.parametrize("message", every_type(), ids=lambda one: one.type)
def test_the_gateway_takes_every_type(message: Message) -> None:
    for channel in BUILT_IN:
        taken = wire.decode(message.as_json(), channel)
        assert isinstance(taken, messages.Message), taken
        assert taken.type == message.type


def test_there_is_a_function_for_every_type() -> None:
    assert {one.type for one in every_type()} | {"template"} == set(messages.MessageType)


def test_what_goes_along_arrives() -> None:
    later = datetime(2026, 11, 23, 9, 0, tzinfo=timezone(timedelta(hours=7)))
    message = Message.text(
        TO, "Hi", id="order-7", reply_id="r", account="a", send_at=later, expires_in=60, priority="bulk", strict=True
    )
    assert message.as_json() == {
        "id": "order-7",
        "times": int(message.at.timestamp()),
        "timestamp": message.at.isoformat(),
        "recipient": TO,
        "type": "text",
        "body": {"text": "Hi"},
        "reply_id": "r",
        "account": "a",
        "send_at": "2026-11-23T09:00:00+07:00",
        "expires_in": 60,
        "priority": "bulk",
        "strict": True,
    }


def test_a_template_names_its_parameters_only_where_it_has_some() -> None:
    assert Message.template(TO, "bill", "id").body == {"template": {"name": "bill", "language": "id"}}
    given_parameters = Message.template(TO, "bill", "id", {"body": ["7"]}).body["template"]["parameters"]
    assert given_parameters == {"body": ["7"]}


def test_every_message_has_an_id_of_its_own_that_stays() -> None:
    first, second = Message.text(TO, "Hi"), Message.text(TO, "Hi")
    assert first.id != second.id
    assert first.as_json() == first.as_json()


def test_a_time_without_a_zone_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Message.text(TO, "Hi", send_at=datetime(2026, 11, 22))  # noqa: DTZ001 - that is the mistake


# --- events -------------------------------------------------------------------------------------------------------------

PERSON = Person("1001", "1001", "Ani")


def test_the_other_kinds_of_events_are_read() -> None:
    place = {"channel": "telegram", "account_id": "a"}

    def told(kind: str, data: Any) -> Any:
        return events.of_envelope({"id": "5", "type": kind, "timestamp": "2026-11-22T09:00:00Z", "data": data})

    reaction = told(
        "message.reaction", inbound_data.reacted(Reaction("e", "", AT, PERSON, "7", "👍"), **place, reply_id="mine")
    )
    assert isinstance(reaction, MessageReaction)
    assert (reaction.reaction.emoji, reaction.reaction.reply_id, reaction.sender.address) == ("👍", "mine", "tg:1001")
    edited = told("message.edited", inbound_data.edited(Edited("e", "", AT, PERSON, "7", "new"), **place))
    assert isinstance(edited, MessageEdited)
    assert (edited.message.id, edited.message.text, edited.account) == ("7", "new", "a")
    deleted = told("message.deleted", inbound_data.deleted(Deleted("e", "", AT, PERSON, "7"), **place))
    assert isinstance(deleted, MessageDeleted)
    assert deleted.message.timestamp == AT
    news = ContactNews(event_id="e", owner="", at=AT, person=PERSON, shared_phone="628111", referral="spring")
    linked = told("contact.linked", inbound_data.contact(news, **place))
    assert isinstance(linked, ContactChanged)
    assert (linked.contact.phone, linked.referral, linked.type, linked.id) == (
        "628111",
        "spring",
        "contact.linked",
        "5",
    )


def test_every_kind_and_every_status_of_the_gateway_is_known() -> None:
    assert set(events._KINDS) == set(KINDS)
    assert {one.name: one.value for one in Status} == {one.name: one.value for one in TheirStatus}


# --- reading ------------------------------------------------------------------------------------------------------------

LEAST = {
    "tid": "t",
    "id": "m",
    "channel": "line",
    "account": "a",
    "recipient": "r",
    "type": "text",
    "status": 1,
    "accepted_at": "2026-11-22T09:00:00Z",
}


def test_what_a_newer_gateway_adds_or_leaves_out_does_not_matter() -> None:
    found = read(MessageDetails, {**LEAST, "colour": "blue", "parts": None, "error": None})
    assert (found.status, found.accepted_at, found.parts, found.error) == (Status.SENT, AT, (), None)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"status": 4}, "/status"),
        ({"tid": 5}, "/tid"),
        ({"tid": None}, "/tid"),
        ({"run": True}, "/run"),
        ({"final": 1}, "/final"),
        ({"accepted_at": "today"}, "/accepted_at"),
        ({"accepted_at": "2026-11-22T09:00:00"}, "/accepted_at"),
        ({"parts": {}}, "/parts"),
        ({"parts": [{"part": 1}]}, "/parts/0/state"),
        ({"error": "bad"}, "/error"),
    ],
)
def test_a_member_of_another_type_is_named(change: dict[str, Any], where: str) -> None:
    with pytest.raises(KurirError, match=where) as caught:
        read(MessageDetails, {**LEAST, **change})
    assert caught.value.code == "unreadable_answer"


def test_an_error_carries_all_that_the_gateway_says() -> None:
    body = {
        "type": "/errors/invalid_message",
        "code": "invalid_message",
        "detail": "wrong",
        "errors": [{"pointer": "/recipient", "code": "missing", "detail": "recipient is missing"}],
    }
    error = calls.failure(Answer(422, {"retry-after": "7", "request-id": "req_1"}, json.dumps(body).encode()))
    assert (error.code, error.status, error.retry_after, error.request_id) == ("invalid_message", 422, 7.0, "req_1")
    assert (error.problems[0].pointer, error.type) == ("/recipient", "/errors/invalid_message")
    assert str(error) == "recipient is missing (/recipient) [invalid_message, HTTP 422]"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"code": 5}', b'{"code": "a", "detail": "b", "errors": 5}'])
def test_an_answer_of_something_else_is_an_error_too(body: bytes) -> None:
    error = calls.failure(Answer(502, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, body))
    assert (error.status, error.retry_after) == (502, None)


# --- which gateway ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["", "chat.example.com", "ftp://x", "http://", "http://u:p@x", "http://x/?a=1", "http://x:port"]
)
def test_an_address_that_is_none_is_the_callers_mistake(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever kind
        Login(url, "acme", "secret")


def test_a_password_is_never_shown() -> None:
    assert "hunter2" not in repr(Login("http://x/", "acme", "hunter2"))
    with pytest.raises(ValueError, match="password") as caught:
        Login("http://x", "acme", "hunter2\n")
    assert "hunter2" not in str(caught.value)


def test_what_stands_in_a_path_is_quoted() -> None:
    login = Login("http://x/chat/", "a/b", "secret")
    assert calls.send(login, "line", {}).path == "/line/send/a%2Fb"
    assert login.url == "http://x/chat"
    with pytest.raises(ValueError, match="path"):
        calls.message("..")


# --- asking again -------------------------------------------------------------------------------------------------------

RETRIES = Retries(times=3, first=1.0, longest=8.0)


def error(code: str = "x", status: int = 0, retry_after: float | None = None) -> KurirError:
    return KurirError(code, "", status=status, retry_after=retry_after)


@pytest.mark.parametrize(
    ("failed", "repeatable", "unrepeatable"),
    [
        (error("not_reached"), True, True),
        (error("no_answer"), True, False),
        (error(status=429), True, True),
        (error(status=503), True, True),
        (error(status=502), True, False),
        (error(status=504), True, False),
        (error(status=500), False, False),
        (error(status=409), False, False),
        (error(status=422), False, False),
        (error("unreadable_answer"), False, False),
        (error("unreadable_answer", 200), False, False),
    ],
)
def test_only_what_is_safe_is_asked_again(failed: KurirError, *, repeatable: bool, unrepeatable: bool) -> None:
    assert (RETRIES.wait(0, failed, repeatable=True) is not None) is repeatable
    assert (RETRIES.wait(0, failed, repeatable=False) is not None) is unrepeatable


def test_waits_grow_and_end() -> None:
    busy = error(status=503)
    waits = [RETRIES.wait(done, busy, repeatable=True, chance=lambda: 1.0) for done in range(5)]
    assert waits == [1.0, 2.0, 4.0, None, None]
    assert RETRIES.wait(0, busy, repeatable=True, chance=lambda: 0.0) == 0.5
    assert Retries(times=99, first=1.0, longest=8.0).wait(50, busy, repeatable=True, chance=lambda: 1.0) == 8.0


def test_a_named_wait_is_waited_for_and_a_long_one_raised() -> None:
    assert RETRIES.wait(0, error(status=429, retry_after=7), repeatable=True) == 7
    assert RETRIES.wait(0, error(status=429, retry_after=9), repeatable=True) is None


def test_a_feed_asks_as_long_as_it_has_patience_and_anew_after_an_answer() -> None:
    told: list[float] = []
    outage = Outage(RETRIES, 10.0, lambda _, wait: told.append(wait))
    assert outage.wait(error("not_reached"), 100.0) is not None
    assert outage.wait(error("not_reached"), 109.9) == pytest.approx(0.1)
    assert outage.wait(error("not_reached"), 110.0) is None
    outage.over()
    assert outage.wait(error("not_reached"), 200.0) is not None
    assert len(told) == 3
    assert outage.wait(error(status=401), 201.0) is None
    assert Outage(RETRIES, 0.0, None).wait(error("not_reached"), 0.0) is None
    assert Outage(RETRIES, None, None).wait(error("not_reached"), 1e9) is not None


# --- server-sent events -------------------------------------------------------------------------------------------------

STREAM = (
    'retry: 2000\nid: 4\n\n: still here\n\nid: 5\nevent: message.status\ndata: {"a":1}\n\n'
    "data: é\ndata:  two\nid: 6\n\nid: 7\ndata: cut"
).encode()
FRAMES = [sse.Frame("4"), sse.Frame("5", "message.status", '{"a":1}'), sse.Frame("6", "", "é\n two")]


@given(cuts=st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=20), crlf=st.booleans())
def test_a_stream_is_read_alike_however_it_is_cut(cuts: list[int], *, crlf: bool) -> None:
    whole = STREAM.replace(b"\n", b"\r\n") if crlf else STREAM
    parser, found, begin = sse.Parser(), [], 0
    for end in [*sorted(cuts), len(whole)]:
        found += list(parser.feed(whole[begin:end]))
        begin = max(begin, end)
    assert found == FRAMES


def test_an_event_without_an_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LARGEST", 1000)
    parser = sse.Parser()
    for _ in range(5):
        assert list(parser.feed(b"data: " + b"x" * 400 + b"\n\n")) != []
    for _ in range(2):
        assert list(parser.feed(b"x" * 400)) == []
    with pytest.raises(KurirError, match="MiB"):
        list(parser.feed(b"x" * 400))
