"""The two dialects: every member of the published shapes, always there."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from kurir.callbacks import dialects, example
from kurir.channels.base import (
    ContactNews,
    InboundLocation,
    InboundMedia,
    InboundMessage,
    Kind,
    Person,
    Press,
    Reaction,
)
from kurir.domain.problem import Loss
from kurir.domain.status import Status
from kurir.intake import inbound_data
from kurir.store.base import ErrorRecord, PartRecord, Phase
from kurir.store.feed import KINDS, EventRecord, StatusChange

AT = datetime(2026, 11, 22, 5, 38, 8, 153726, tzinfo=UTC)
ENDS = AT + timedelta(hours=1)
PERSON = Person("1001", "1001", "Sari", "sari", "", "628111", ())


def link(event: EventRecord, number: int) -> tuple[str, datetime]:
    return f"https://chat.example.com/media/{event.position}/{number}", ENDS


def status_event(**more) -> EventRecord:
    change = StatusChange("tid-1", "m1", "+62 811-1", Status.SENT, Status.PENDING, **more)
    return EventRecord(7, "acme", "message.status", "acme-tg", "telegram", "1001", AT, change)


def event_of(message: InboundMessage, **more) -> EventRecord:
    data = inbound_data.received(message, channel="telegram", account_id="acme-tg", **more)
    kind = inbound_data.kind_of(message)
    kept = inbound_data.handles(inbound_data.files_of(message))
    return EventRecord(9, "acme", kind, "acme-tg", "telegram", "1001", AT, data=inbound_data.dump(data), media=kept)


def message(kind: Kind = Kind.TEXT, **more) -> InboundMessage:
    return InboundMessage("e1", "", AT, PERSON, kind, "1001:55", **more)


def told(event: EventRecord, dialect: str = "compat"):
    return json.loads(dialects.body(dialect, event, link))


def test_a_status_in_compat():
    assert told(status_event(provider_message_id="1001:9")) == {
        "status": {
            "message_id": "m1",
            "provider_message_id": "1001:9",
            "recipient_id": "+62 811-1",
            "status": 1,
            "tid": "tid-1",
            "times": 1795325888,
            "timestamp": "2026-11-22T05:38:08.153726Z",
            "error": None,
        }
    }


def test_a_failed_status_says_why():
    error = ErrorRecord("recipient_blocked", "the person blocked this account", "403")
    assert told(status_event(error=error))["status"]["error"] == {
        "code": "recipient_blocked",
        "detail": "the person blocked this account",
        "provider_code": "403",
    }


def test_a_status_in_the_standard_dialect():
    part = PartRecord(1, Phase.ANSWERED, Status.SENT, 2, ("9",), AT, AT)
    body = told(status_event(parts=(part,), losses=(Loss("/footer", "ignored", "no footer here"),)), "standard")
    assert list(body) == ["type", "timestamp", "data"]
    data = body["data"]
    assert list(data) == [
        "tid", "message_id", "channel", "account", "recipient", "status", "previous", "at", "error", "parts", "losses",
    ]  # fmt: skip
    assert (body["type"], data["status"], data["previous"]) == ("message.status", 1, 0)
    assert data["parts"] == [
        {
            "part": 1,
            "state": "answered",
            "status": 1,
            "attempts": 2,
            "provider_message_ids": ["9"],
            "at": "2026-11-22T05:38:08.153726Z",
        }
    ]
    assert data["losses"] == [{"pointer": "/footer", "kind": "ignored", "detail": "no footer here"}]


def test_a_text_in_compat_has_every_member():
    assert told(event_of(message(text="hello", reply_to="1001:50", reply_token="rt", referral="x", standby=True))) == {
        "from": {
            "avatar": "",
            "description": "",
            "name": "Sari",
            "username": "sari",
            "id": "1001",
            "address": "tg:1001",
            "phone": "628111",
        },
        "message": {
            "id": "1001:55",
            "type": "text",
            "text": "hello",
            "reply_id": "1001:50",
            "reply_token": "rt",
            "times": 1795325888,
            "timestamp": "2026-11-22T05:38:08.153726Z",
            "interactive": None,
            "location": None,
            "media": None,
            "postback": None,
        },
        "channel": "telegram",
        "account": "acme-tg",
    }


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_of_message_has_the_same_members(kind):
    body = told(event_of(message(kind)))
    assert set(body["message"]) == set(told(event_of(message()))["message"])
    assert body["message"]["type"] == kind.value


def test_a_file_gets_its_link_when_it_is_told_and_never_the_platforms_own():
    media = InboundMedia("file-handle", "https://api.telegram.org/file/bot42:SECRET/x", "image/jpeg", "x.jpg", 99, True)
    event = event_of(message(Kind.IMAGE, media=(media,)))
    for dialect in ("compat", "standard"):
        text = dialects.body(dialect, event, link)
        assert b"SECRET" not in text
        assert b"file-handle" not in text
    assert told(event)["message"]["media"] == {
        "animated": True,
        "id": "9-0",
        "mime_type": "image/jpeg",
        "name": "x.jpg",
        "size": 99,
        "url": "https://chat.example.com/media/9/0",
        "expires_at": "2026-11-22T06:38:08.153726Z",
    }
    assert inbound_data.read_handles(event.media) == (media,)


def test_several_files_of_a_message_are_several_events_with_one_id():
    files = (InboundMedia("a", name="a"), InboundMedia("b", name="b"))
    several = message(Kind.IMAGE, media=files, text="both")
    assert inbound_data.files_of(several) == files
    bodies = [told(event_of(several, number=number))["message"] for number in (0, 1)]
    assert [(one["id"], one["text"], one["media"]["name"]) for one in bodies] == [
        ("1001:55", "both", "a"),
        ("1001:55", "", "b"),
    ]
    assert [inbound_data.event_id_of(several, number) for number in (0, 1)] == ["e1", "e1#1"]


def test_a_location():
    body = told(event_of(message(Kind.LOCATION, location=InboundLocation(0.0, 106.8, "Monas", "Jakarta", 60))))
    assert body["message"]["location"] == {
        "address": "Jakarta", "latitude": 0.0, "live_period": 60, "longitude": 106.8, "name": "Monas",
    }  # fmt: skip


def test_a_pressed_button_brings_the_clients_own_key_and_id():
    key = "any length, any ‹characters› " * 40
    event = event_of(message(Kind.POSTBACK, press=Press("~t:abc", "Yes"), reply_to="1001:50"), key=key, reply_id="m1")
    assert event.kind == "postback.received"
    body = told(event)["message"]
    assert body["postback"] == {"key": key, "title": "Yes"}
    assert (body["type"], body["reply_id"]) == ("postback", "m1")


def test_compat_carries_three_kinds_and_standard_all():
    assert [kind for kind in KINDS if dialects.carries("compat", kind)] == [
        "message.status", "message.received", "postback.received",
    ]  # fmt: skip
    assert all(dialects.carries("standard", kind) for kind in KINDS)


def test_other_kinds_in_the_standard_dialect():
    data = inbound_data.reacted(
        Reaction("e", "", AT, PERSON, "1001:9", "👍"), channel="telegram", account_id="a", reply_id="m1"
    )
    event = EventRecord(1, "c", "message.reaction", "a", "telegram", "1001", AT, data=inbound_data.dump(data))
    assert dialects.body("compat", event) is None
    assert told(event, "standard")["data"]["reaction"]["emoji"] == "👍"
    news = inbound_data.contact(
        ContactNews("e", "", AT, PERSON, shared_phone="62899", moved_to="-100"), channel="telegram", account_id="a"
    )
    assert news["contact"]["phone"] == "62899"
    assert news["moved_to"] == "tg:-100"


def test_the_feed_adds_the_id():
    body = dialects.in_feed(status_event())
    assert list(body) == ["id", "type", "timestamp", "data"]
    assert body["id"] == "7"


def test_an_erased_event_keeps_its_shape():
    event = EventRecord(1, "c", "message.received", "a", "telegram", "1001", AT, data=b"{}")
    assert set(told(event)["message"]) == set(told(event_of(message()))["message"])


@pytest.mark.parametrize("kind", example.KINDS)
@pytest.mark.parametrize("dialect", ["compat", "standard"])
def test_the_examples_can_be_told_in_both_dialects(dialect, kind):
    assert told(example.event(kind, "acme", AT), dialect)
