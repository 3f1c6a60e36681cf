"""The body of a request out of what the store keeps: the same message, whatever it says."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from kurir.console import requested
from kurir.domain.message import Message
from kurir.intake import wire
from support.messages import seed_bodies

AT = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


def again(body: dict[str, Any], channel: str) -> tuple[Message, Message]:
    first, problems = wire.examine(body, channel)
    assert first is not None
    assert not problems
    kept = requested.message_of(wire.encode(first))
    assert kept is not None
    second, problems = wire.examine(requested.request_of(kept, AT), channel)
    assert not problems
    assert second is not None
    return kept, second


@pytest.mark.parametrize("channel", ["whatsapp", "telegram", "line", "messenger"])
def test_the_request_out_of_the_store_is_accepted_as_the_very_same_message(channel):
    @given(seed_bodies(channel))
    def holds(body):
        kept, second = again(body, channel)
        assert second == kept
        assert wire.encode(second) == wire.encode(kept)

    holds()


def test_what_goes_around_a_message_is_in_its_request_too():
    body = {
        "id": "1",
        "times": 0,
        "timestamp": "2026-11-23T06:00:00Z",
        "recipient": "6281234567890",
        "type": "template",
        "body": {"template": {"name": "hello", "language": "en", "parameters": {"body": ["Sari"]}}},
        "reply_id": "wamid.1",
        "account": "shop",
        "expires_in": 60,
        "send_at": "2026-12-01T00:00:00+07:00",
        "priority": "high",
        "strict": True,
        "fallback": {"when": "window_closed", "template": {"name": "hi", "language": "id"}},
    }
    kept, second = again(body, "whatsapp")
    assert second == kept
    written = requested.request_of(kept, AT)
    assert {name: written[name] for name in ("account", "expires_in", "priority", "strict")} == {
        "account": "shop",
        "expires_in": 60,
        "priority": "high",
        "strict": True,
    }
    assert written["timestamp"] == "2026-11-23T06:00:00+00:00"


@pytest.mark.parametrize("body", [b"{}", b"", b"no json", b"[]", b'{"id": "1"}', b'{"type": "nonsense"}'])
def test_what_was_erased_or_cannot_be_read_is_no_message_and_says_nothing(body):
    assert requested.message_of(body) is None
    assert requested.line_of(body) == ""


@pytest.mark.parametrize(
    ("kind", "content", "line"),
    [
        ("text", {"text": " Hello \n  there "}, "Hello there"),
        ("image", {"text": "Look", "media": {"url": "https://x.example/a.jpg", "name": "a.jpg"}}, "Look"),
        ("image", {"media": {"url": "https://x.example/p/a.jpg", "name": "photo"}}, "photo"),
        ("voice", {"media": {"url": "https://x.example/p/a.ogg"}}, "a.ogg"),
        ("location", {"location": {"latitude": -6.175392, "longitude": 106.827153}}, "-6.17539, 106.82715"),
        ("button", {"text": "Shall we?", "button": [{"key": "y", "title": "Yes"}]}, "Shall we?"),
        ("text", {"text": "x" * 500}, "x" * 159 + "…"),
    ],
)
def test_a_line_says_what_a_message_says(kind, content, line):
    body = {"id": "1", "times": 0, "timestamp": "2026-11-23T06:00:00Z", "recipient": "628123456789", "type": kind}
    message, problems = wire.examine({**body, "body": content}, "whatsapp")
    assert message is not None
    assert not problems
    assert requested.line_of(wire.encode(message)) == line
