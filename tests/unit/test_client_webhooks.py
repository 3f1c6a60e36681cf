"""Callbacks checked by the typed client, against the gateway's own signing and the library of Standard Webhooks."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from kurir import client
from kurir.callbacks import dialects, example, signing
from kurir.channels.base import InboundMedia, InboundMessage, Kind, Person
from kurir.client import KurirError, MessageReceived, MessageStatus, PostbackReceived, Status, verify
from kurir.intake import inbound_data
from kurir.store.feed import EventRecord

AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
NOW = AT.timestamp()
OLD, NEW, OTHER = (signing.new_secret() for _ in range(3))
DIALECTS = (dialects.COMPAT, dialects.STANDARD)


def told(dialect: str, kind: str) -> bytes:
    body = dialects.body(dialect, example.event(kind, "acme", AT))
    assert body is not None
    return body


def signed(body: bytes, *keys: str, webhook_id: str = "evt_a_1") -> dict[str, str]:
    return signing.headers(webhook_id, AT, body, keys or (NEW,))


def refused(code: str, headers: dict[str, str], body: bytes, secret: Any = NEW, **more: Any) -> str:
    with pytest.raises(KurirError) as caught:
        verify(headers, body, secret, **{"now": NOW, **more})
    assert caught.value.code == code
    return caught.value.detail


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_status_is_told_alike_in_both_dialects(dialect: str) -> None:
    body = told(dialect, "message.status")
    event = verify(signed(body), body, NEW, now=NOW)
    assert isinstance(event, MessageStatus)
    assert (event.id, event.type, event.at) == ("evt_a_1", "message.status", AT)
    assert (event.message_id, event.status, event.recipient) == ("test-message", Status.SENT, "628111000001")
    assert (event.provider_message_id, event.error) == ("wamid.test", None)
    assert event.raw == json.loads(body)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_message_is_told_alike_in_both_dialects(dialect: str) -> None:
    body = told(dialect, "message.received")
    event = verify(signed(body), body, NEW, now=NOW)
    assert isinstance(event, MessageReceived)
    assert (event.sender.name, event.sender.address) == ("Test", "wa:628111000001")
    assert (event.message.type, event.message.text) == ("text", "This is a test of your callback endpoint.")
    assert (event.message.media, event.message.location, event.message.postback) == (None, None, None)
    assert (event.channel, event.account, event.message.timestamp) == ("whatsapp", "test", AT)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_press_gives_the_key_back(dialect: str) -> None:
    body = told(dialect, "postback.received")
    event = verify(signed(body), body, NEW, now=NOW)
    assert isinstance(event, PostbackReceived)
    assert event.key == "test-key"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("linked", [True, False])
def test_a_file_has_its_link_where_there_is_one(dialect: str, *, linked: bool) -> None:
    media = InboundMedia("m1", mime_type="image/jpeg", name="a.jpg", size=7)
    message = InboundMessage(
        event_id="e", owner="", at=AT, sender=Person("1"), kind=Kind.IMAGE, platform_id="p", media=(media,)
    )
    data = inbound_data.received(message, channel="whatsapp", account_id="a")
    record = EventRecord(9, "acme", "message.received", "a", "whatsapp", "1", AT, None, inbound_data.dump(data))
    body = dialects.body(dialect, record, lambda *_: ("https://x/f", AT) if linked else None)
    assert body is not None
    event = verify(signed(body), body, NEW, now=NOW)
    assert isinstance(event, MessageReceived)
    found = event.message.media
    assert found is not None
    assert (found.mime_type, found.name, found.size, found.id) == ("image/jpeg", "a.jpg", 7, "9-0")
    assert (found.url, found.expires_at) == (("https://x/f", AT) if linked else ("", None))


@pytest.mark.parametrize(
    ("signing_keys", "known"), [((NEW, OLD), OLD), ((NEW, OLD), NEW), ((NEW,), [OLD, NEW])], ids=["old", "new", "both"]
)
def test_while_a_secret_is_rotated_either_signature_is_enough(signing_keys: tuple[str, ...], known: Any) -> None:
    body = told(dialects.COMPAT, "message.status")
    assert verify(signed(body, *signing_keys), body, known, now=NOW).type == "message.status"


def test_what_the_library_of_standard_webhooks_signs_is_taken_and_the_other_way_round() -> None:
    body = told(dialects.STANDARD, "message.status")
    theirs = Webhook(NEW).sign("msg_1", AT, body.decode())
    headers = {"Webhook-Id": "msg_1", "Webhook-Timestamp": str(int(NOW)), "Webhook-Signature": theirs}
    assert verify(headers, body.decode(), NEW, now=NOW).id == "msg_1"


@pytest.mark.parametrize("seconds", [-301, 301, -1e6, 1e9])
def test_an_old_callback_and_one_of_the_future_are_refused(seconds: float) -> None:
    body = told(dialects.COMPAT, "message.status")
    detail = refused("timestamp_out_of_range", signed(body), body, now=NOW + seconds)
    assert ("ahead" in detail) == (seconds < 0)
    verify(signed(body), body, NEW, now=NOW + seconds, tolerance=2e9)


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_five_minutes_either_way_are_taken(seconds: float) -> None:
    body = told(dialects.COMPAT, "message.status")
    verify(signed(body), body, NEW, now=NOW + seconds)


def test_whatever_is_changed_breaks_the_signature() -> None:
    body = told(dialects.COMPAT, "message.status")
    headers = signed(body)
    refused("invalid_signature", headers, body + b" ")
    refused("invalid_signature", headers, body, OTHER)
    refused("invalid_signature", {**headers, "webhook-id": "evt_a_2"}, body)
    refused("invalid_signature", {**headers, "webhook-timestamp": str(int(NOW) + 1)}, body)
    refused("invalid_signature", {**headers, "webhook-signature": "v1a," + headers["webhook-signature"][3:]}, body)
    refused("invalid_signature", {**headers, "webhook-signature": "v1,"}, body)
    refused("invalid_signature", {**headers, "webhook-signature": "v1,é"}, body)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_named(name: str) -> None:
    body = told(dialects.COMPAT, "message.status")
    headers = {key: value for key, value in signed(body).items() if key != name}
    assert name in refused("invalid_webhook", headers, body)


@pytest.mark.parametrize("stamp", ["soon", "-5", "1.5", "١٢٣", "9" * 20])
def test_a_timestamp_that_is_none_is_refused(stamp: str) -> None:
    body = told(dialects.COMPAT, "message.status")
    refused("invalid_webhook", {**signed(body), "webhook-timestamp": stamp}, body)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
def test_a_signed_body_that_is_no_object_is_refused(body: bytes) -> None:
    refused("invalid_webhook", signed(body), body)


@pytest.mark.parametrize("body", [b"{}", b'{"status": {"tid": 5}}', b'{"type": "message.status", "data": {}}'])
def test_a_signed_body_that_tells_no_event_is_refused(body: bytes) -> None:
    refused("unreadable_answer", signed(body), body)


def test_a_kind_of_tomorrow_is_a_plain_event() -> None:
    body = b'{"type": "message.pinned", "timestamp": "2026-11-22T09:00:00Z", "data": {"channel": "line"}}'
    event = verify(signed(body), body, NEW, now=NOW)
    assert type(event) is client.Event
    assert (event.type, event.channel, event.at) == ("message.pinned", "line", AT)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_*", []])
def test_a_secret_that_is_none_is_the_callers_mistake(secret: Any) -> None:
    body = told(dialects.COMPAT, "message.status")
    with pytest.raises(ValueError, match="secret"):
        verify(signed(body), body, secret, now=NOW)
