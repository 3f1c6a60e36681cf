"""The data of an event, written at once where a message is words alone: the very bytes that its dictionary makes."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurir.channels.base import InboundLocation, InboundMedia, InboundMessage, Kind, Person, Press
from kurir.intake import inbound_data

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ['"', "\\", "\n\t", "😀", "ก", "\x1f\x7f"]
)
TIMES = st.integers(1, 2**42).map(lambda milliseconds: datetime.fromtimestamp(milliseconds / 1000, UTC))
PERSONS = st.builds(Person, *[WORDS] * 6)
PLAIN = st.builds(
    InboundMessage,
    event_id=WORDS,
    owner=WORDS,
    at=TIMES,
    sender=PERSONS,
    kind=st.sampled_from(Kind),
    platform_id=WORDS,
    text=WORDS,
    reply_to=WORDS,
    reply_token=WORDS,
    referral=WORDS,
    standby=st.booleans(),
    live=st.booleans(),
)


def _same(message: InboundMessage, **more: object) -> None:
    where = {"channel": "telegram", "account_id": 'a"1', **more}
    assert inbound_data.received_json(message, **where) == inbound_data.dump(inbound_data.received(message, **where))


@given(PLAIN, WORDS, st.sampled_from(["whatsapp", "telegram", "line", "messenger", "other"]))
def test_words_alone_are_written_as_their_dictionary_is(message, reply_id, channel):
    _same(message, reply_id=reply_id, channel=channel)


@pytest.mark.parametrize(
    "more",
    [
        {"media": (InboundMedia("f1", "", "image/png", "a.png", 7), InboundMedia("f2"))},
        {"location": InboundLocation(1.5, -2.0, "Here", "There")},
        {"press": Press("k", "Title")},
    ],
)
def test_what_is_more_than_words_is_written_by_its_dictionary(more):
    at = datetime(2026, 11, 22, 5, 38, 8, 153726, tzinfo=UTC)
    message = InboundMessage("e1", "", at, Person("1001"), Kind.TEXT, "1001:55", "hi")
    for number in range(len(more.get("media", (None,)))):
        _same(replace(message, **more), number=number, key="k")
