"""What the pages of callbacks and people show, by table; and the references that name people in addresses."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurir.callbacks import ladder as rungs
from kurir.callbacks.ladder import Standing, Why
from kurir.console import callbacks, contacts
from kurir.console.contacts import Open
from kurir.console.references import LONGEST, References
from kurir.domain.account import Account, MessengerSettings
from kurir.secretbox import SecretBox
from kurir.store.base import ContactRecord, EndpointRecord
from kurir.store.feed import CallbackAttempt, Endpoint, Ladder
from kurir.store.looking import LatelyTried

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


# --- endpoints --------------------------------------------------------------------------------------------------------


def endpoint(url: str = "https://x.example", *, enabled: bool = True, ladder: Ladder | None = None) -> Endpoint:
    record = EndpointRecord("acme", url, "standard", ("*",), b"", enabled)
    return Endpoint(url[-8:], record, ladder or Ladder())


PAUSED = Ladder(paused_at=NOW, paused_reason=rungs.OPERATOR)
FAILING = Ladder(failures=3, failing_since=NOW, next_at=NOW + HOUR, last_error="request_timeout: 10 s")


@pytest.mark.parametrize(
    ("ladder", "enabled", "standing", "needs"),
    [
        (Ladder(), True, Standing.WORKING, False),
        (FAILING, True, Standing.FAILING, True),
        (PAUSED, True, Standing.PAUSED, True),
        (replace(PAUSED, paused_reason="it failed 10 times"), True, Standing.PAUSED, True),
        (FAILING, False, Standing.DISABLED, False),
    ],
)
def test_a_card_says_how_an_endpoint_stands(ladder, enabled, standing, needs):
    card = callbacks.card(endpoint(enabled=enabled), ladder, 0, ())
    assert (card.standing, card.needs_somebody) == (standing, needs)


@pytest.mark.parametrize(
    ("statuses", "ladder", "refusing"),
    [
        ([], Ladder(), False),
        ([405] * 4, Ladder(), False),
        ([405] * 5, Ladder(), True),
        ([200, 405, 405, 405, 405, 405], Ladder(), True),
        ([405, 405, 405, 405, 405, 200], Ladder(), False),
        ([405, 405, 200, 405, 405], Ladder(), False),
        ([503] * 5, FAILING, False),
    ],
)
def test_a_working_endpoint_that_takes_nothing_is_no_good_news(statuses, ladder, refusing):
    tried = [LatelyTried(NOW + timedelta(seconds=place), code, "", 3) for place, code in enumerate(statuses)]
    card = callbacks.card(endpoint(), ladder, 0, tried[::-1])
    assert (card.refusing is not None) == refusing
    assert card.refusing is None or card.refusing.status == statuses[-1]


def test_what_needs_somebody_comes_first():
    each = [
        callbacks.card(endpoint("https://d.example", enabled=False), Ladder(), 0, ()),
        callbacks.card(endpoint("https://b.example"), Ladder(), 0, ()),
        callbacks.card(endpoint("https://a.example"), Ladder(), 0, ()),
        callbacks.card(endpoint("https://z.example"), FAILING, 0, ()),
        callbacks.card(endpoint("https://y.example"), PAUSED, 0, ()),
    ]
    assert [one.endpoint.record.url[8] for one in callbacks.in_order(each)] == ["y", "z", "a", "b", "d"]


def tried(seconds: int, status: int = 200, error: str = "", duration: int = 10) -> LatelyTried:
    return LatelyTried(NOW + timedelta(seconds=seconds), status, error, duration)


def test_the_bars_stand_in_the_order_of_time_and_the_rate_is_never_rounded_up_to_all():
    health = callbacks.health([tried(3, 503, "error_status_code: 503", 30), tried(1), tried(2, 204)])
    assert [bar.taken for bar in health.bars] == [True, True, False]
    assert (health.taken, health.rate, health.median_ms) == (2, 66, 10)
    assert callbacks.health([tried(0, 0, "x"), *(tried(n) for n in range(1, 1000))]).rate == 99
    assert (callbacks.health(()).rate, callbacks.health(()).bars) == (0, ())


@pytest.mark.parametrize("why", list(Why))
def test_every_reason_has_a_sentence(why):
    assert callbacks.reason_of(why).endswith((".", "which."))
    shown = callbacks.tried(CallbackAttempt("e", 1, NOW, 5, 0, '{"a": "b"}', b"\xff", f"{why}: because"))
    assert (shown.code, shown.detail, shown.headers, shown.body) == (why, "because", {"a": "b"}, "\ufffd")
    assert not shown.taken


def test_a_try_without_an_error_was_taken_by_its_status_alone():
    assert callbacks.tried(CallbackAttempt("e", 1, NOW, 5, 204, "nonsense")).taken
    assert callbacks.reason_of("") == ""


def test_the_first_problem_of_each_field_is_shown_at_it():
    found = callbacks.wrong_fields([("/url", "one"), ("/events/3", "two"), ("/events/0", "three"), ("", "whole")])
    assert dict(found) == {"url": "one", "events": "two", "": "whole"}


# --- people -----------------------------------------------------------------------------------------------------------


def account(channel: str, **settings) -> Account:
    made = MessengerSettings("1", "TOKEN", "s", "v", **settings)
    return Account(f"acme-{channel}", "acme", channel, "https://x.example", made)


@pytest.mark.parametrize(
    ("channel", "hours", "agent", "open_", "until"),
    [
        ("telegram", 1000, False, Open.ALWAYS, None),
        ("line", None, False, Open.ALWAYS, None),
        ("whatsapp", None, False, Open.UNKNOWN, None),
        ("whatsapp", 24, False, Open.OPEN, 0),
        ("whatsapp", 25, True, Open.CLOSED, -1),
        ("messenger", 23, False, Open.OPEN, 1),
        ("messenger", 25, False, Open.CLOSED, -1),
        ("messenger", 25, True, Open.AGENT, 7 * 24 - 25),
        ("messenger", 7 * 24 + 1, True, Open.CLOSED, 24 - 7 * 24 - 1),
    ],
)
def test_a_window_says_whether_a_message_is_taken_and_until_when(channel, hours, agent, open_, until):
    last = None if hours is None else NOW - hours * HOUR
    record = ContactRecord("acme", f"acme-{channel}", channel, "1", last_inbound_at=last)
    its = account(channel, human_agent=agent) if channel == "messenger" else None
    window = contacts.window(record, its, NOW)
    assert window.open is open_
    assert window.until == (None if until is None else NOW + until * HOUR)


def test_a_person_is_masked_unless_plain():
    record = ContactRecord(
        "acme", "acme-wa", "whatsapp", "6281234567890", "6281234567890", "Ani Wijaya", username="ani_w"
    )
    plain = contacts.person(record, "r", None, NOW, plain=True)
    assert (plain.phone, plain.recipient, plain.name) == ("+6281234567890", "wa:6281234567890", "Ani Wijaya")
    hidden = contacts.person(record, "r", None, NOW, plain=False)
    shown = f"{hidden.phone} {hidden.recipient} {hidden.name} {hidden.username}"
    for secret in ("812345", "Ani", "ijaya", "ani_w"):
        assert secret not in shown


def test_spellings_have_the_bare_phone_and_address():
    assert {"62811222333", "0811222333"} <= set(contacts.spellings("+62 811-222-333", ()))
    assert "628111222333" in contacts.spellings("08111222333", ("ID",))
    assert "1001" in contacts.spellings("tg:1001", ())
    assert all(contacts.spellings("Ani", ()))


def test_places_say_where_a_phone_leads_to():
    known = contacts.person(ContactRecord("acme", "acme-line", "line", "U1", "628111"), "r", None, NOW, plain=True)
    unlinked = contacts.person(ContactRecord("acme", "acme-telegram", "telegram", "1"), "r", None, NOW, plain=True)
    found = contacts.places([account(each) for each in ("line", "telegram", "whatsapp")], [known, unlinked])
    assert [(one.reached, one.can_link) for one in found] == [(True, True), (False, True), (True, False)]
    assert all(one.way for one in found)


def test_the_name_of_a_list_holds_no_phone_and_tells_lists_apart():
    one = contacts.name_of_list("6281234567890", "line", "")
    assert "1234567" not in one
    assert one != contacts.name_of_list("6281234567891", "line", "") != contacts.name_of_list("", "line", "")


# --- references -------------------------------------------------------------------------------------------------------


def references(*keys: bytes) -> References:
    return References(lambda: SecretBox(keys))


ONE, TWO = b"1" * 32, b"2" * 32


@given(
    parts=st.lists(
        st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=40),
        min_size=1,
        max_size=3,
    )
)
def test_a_reference_names_what_it_was_made_of_and_is_the_same_each_time(parts):
    made = references(ONE)
    reference = made.of("contact", *parts)
    assert made.parts("contact", reference) == tuple(parts)
    assert reference == references(ONE).of("contact", *parts)


def test_nobody_else_makes_one_and_another_kind_is_another():
    reference = references(ONE).of("contact", "acme-wa", "6281234567890")
    assert "628" not in reference
    for wrong in (references(TWO).parts("contact", reference), references(ONE).parts("after", reference)):
        assert wrong is None
    assert references(TWO, ONE).parts("contact", reference) == ("acme-wa", "6281234567890"), "an older key"
    for damaged in ("", "ü", "====", "A" * (LONGEST + 1), f"{reference}A", reference[:-1]):
        assert references(ONE).parts("contact", damaged) is None
