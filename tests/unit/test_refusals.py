"""What is known before a call: who blocked the account, by whose word, and for how long that is believed."""

from datetime import UTC, datetime, timedelta

import pytest

from kurir.channels.base import Facts
from kurir.channels.telegram import channel as telegram
from kurir.channels.whatsapp import channel as whatsapp
from kurir.directory import Entry
from kurir.domain.account import Account, TelegramSettings, WhatsAppSettings
from kurir.intake import wire
from kurir.intake.identity import Resolved
from kurir.intake.refusals import BELIEVED, known_refusal
from kurir.store.base import ContactRecord

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ENTRIES = {
    "telegram": Entry(Account("a", "c", "telegram", "", TelegramSettings("42:token")), telegram),
    "whatsapp": Entry(Account("a", "c", "whatsapp", "", WhatsAppSettings("1", "token", "secret", "verify")), whatsapp),
}


def refused(channel: str = "telegram", **fields) -> str:
    """The code of the refusal that is known, "" for none."""
    body = {"id": "1", "times": 0, "timestamp": "2026-03-01T12:00:00Z", "recipient": "628111111111", "type": "text"}
    message = wire.decode(body | {"body": {"text": "hello"}}, channel)
    contact = ContactRecord("c", "a", channel, "1001", **fields) if fields else None
    facts = Facts(tid="t", address="1001")
    found = known_refusal(message, ENTRIES[channel], facts, Resolved("1001", contact), NOW)
    return "" if found is None else found.code


@pytest.mark.parametrize(
    ("ago", "inferred", "code"),
    [
        (timedelta(days=300), False, "recipient_blocked"),
        (-timedelta(days=300), False, "recipient_blocked"),
        (SECOND, True, "recipient_blocked"),
        (BELIEVED - SECOND, True, "recipient_blocked"),
        (BELIEVED, True, ""),
        (-BELIEVED, True, ""),  # the clock was set back since
    ],
)
def test_the_platforms_word_is_believed_and_an_answer_for_ten_minutes(ago, inferred, code):
    assert refused(blocked=True, blocked_at=NOW - ago, block_inferred=inferred) == code


def test_who_did_not_block_the_account_is_tried():
    assert refused() == ""
    assert refused(blocked=False, blocked_at=NOW) == ""


def test_a_platform_that_does_not_tell_of_blocking_is_tried():
    assert refused("whatsapp", blocked=True, blocked_at=NOW) == ""
