"""Why a message waits: each sentence, and which goes first where several would do."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from kurir.delivery.state import AccountState, Standing, Why
from kurir.domain import errors
from kurir.domain.status import Status
from kurir.http import waiting
from kurir.http.waiting import Around
from kurir.store.base import Ahead, ErrorRecord, MessageRecord, PartRecord, Phase
from support.records import ACCOUNT, CLIENT, T0, at

FIRST = "01a203cb-0000-7000-8000-000000000001"
RECORD = MessageRecord(
    seq=7,
    tid="01a203cb-0000-7000-8000-000000000007",
    client_id=CLIENT,
    channel="messenger",
    account_id=ACCOUNT,
    message_id="order-7",
    recipient="fb:6915551234567890",
    address="",
    type="text",
    status=Status.PENDING,
    queued=True,
    run=1,
    reason=None,
    waiting_until=None,
    error=None,
    accepted_at=T0,
    due_at=T0,
    expires_at=at(86_400),
    parts_total=0,
    lane="6915551234567890",
)
WORKING = AccountState(ACCOUNT, Standing.WORKING)
RATE = Why(ErrorRecord("rate_limited", "the account sends 80/s at most"), at(12))
AHEAD = Ahead(3, FIRST)
IN_FLIGHT = PartRecord(1, Phase.IN_FLIGHT, attempts=1, marked_at=at(5))


def stopped(standing: Standing, code: str, detail: str = "so it is", seconds: float | None = None) -> AccountState:
    until = None if seconds is None else at(seconds)
    return AccountState(ACCOUNT, standing, ErrorRecord(code, detail), until)


def told(record: MessageRecord = RECORD, **around: Any) -> tuple[str, str, Any]:
    """Return (code, sentence, seconds until), of *record* ten seconds after it was accepted."""
    found = waiting.why(record, Around(**({"now": at(10), "account": WORKING} | around)))
    assert found is not None
    assert found.reason.code in errors.ERRORS
    until = None if found.until is None else (found.until - T0) / timedelta(seconds=1)
    return found.reason.code, found.reason.detail, until


# --- each sentence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.PENDING])
def test_a_message_with_another_status_waits_for_nothing(status):
    record = replace(RECORD, status=status, queued=False)
    assert waiting.why(record, Around(at(10), stopped(Standing.PAUSED, "account_paused"), RATE, AHEAD)) is None


def test_an_account_that_is_not_enabled_is_named_with_what_to_do():
    code, sentence, until = told(account=AccountState(ACCOUNT, Standing.DISABLED))
    expected = f"the account is not enabled: «{ACCOUNT}»; enable it, or its messages expire"
    assert (code, sentence, until) == ("account_disabled", expected, None)


@pytest.mark.parametrize(
    ("standing", "code", "seconds"),
    [
        (Standing.PAUSED, "account_paused", None),
        (Standing.PARKED, "account_credentials", 60.0),
        (Standing.OUT, "platform_unavailable", 4.0),
    ],
)
def test_a_stopped_account_is_told_in_its_own_words_with_its_time(standing, code, seconds):
    assert told(account=stopped(standing, code, "so it is", seconds)) == (code, "so it is", seconds)


@pytest.mark.parametrize(("until", "shown"), [(at(60), 60.0), (None, None)])
def test_its_own_last_try_says_why_it_waits(until, shown):
    reason = ErrorRecord("no_answer", "the platform's answer never came", "")
    assert told(replace(RECORD, reason=reason, waiting_until=until)) == ("no_answer", reason.detail, shown)


def test_the_platforms_own_code_of_the_last_try_is_kept():
    record = replace(RECORD, reason=ErrorRecord("rate_limited", "slow down", "131056"), waiting_until=at(60))
    found = waiting.why(record, Around(at(10), WORKING))
    assert found is not None
    assert found.reason.provider_code == "131056"


def test_a_message_with_a_send_at_says_when():
    assert told(replace(RECORD, due_at=at(3600))) == (
        "scheduled",
        "it is not sent before 2026-03-01T13:00:00.123456Z",
        3600.0,
    )


def test_a_call_under_way_is_told_with_its_beginning():
    one = told(replace(RECORD, parts_total=1, parts=(IN_FLIGHT,)))
    assert one == (
        "sending",
        "it was handed to the platform at 2026-03-01T12:00:05.123456Z, and its answer is awaited",
        None,
    )
    parts = (PartRecord(1, Phase.ANSWERED, Status.SENT, answered_at=at(4)), replace(IN_FLIGHT, number=2))
    assert told(replace(RECORD, parts_total=3, parts=parts))[1].startswith("part 2 of 3 was handed to the platform at")


@pytest.mark.parametrize(
    ("messages", "begins"),
    [
        (1, "1 message to the same recipient goes before it; the first is "),
        (3, "3 messages to the same recipient go before it; the first is "),
        (999, "999 messages to the same recipient go before it; the first is "),
        (1000, "1,000 or more messages to the same recipient go before it; the first is "),
    ],
)
def test_what_goes_before_it_is_counted_and_the_first_is_named(messages, begins):
    assert told(ahead=Ahead(messages, FIRST)) == ("waiting_for_lane", begins + FIRST, None)


def test_why_the_first_of_its_lane_waits_is_told_too():
    first = Why(ErrorRecord("no_answer", "the answer never came"), at(90))
    code, sentence, until = told(ahead=AHEAD, first=first)
    assert (code, until) == ("waiting_for_lane", None)
    assert sentence.endswith(f"the first is {FIRST}: the answer never came (until 2026-03-01T12:01:30.123456Z)")
    assert told(ahead=AHEAD, first=replace(first, until=None))[1].endswith(f"{FIRST}: the answer never came")


def test_that_the_first_only_waits_for_its_turn_is_not_worth_a_word():
    assert told(ahead=AHEAD, first=Why(ErrorRecord("queued", "it waits for its turn")))[1].endswith(FIRST)


def test_the_rate_is_told_with_its_time():
    assert told(rate=RATE) == ("rate_limited", "the account sends 80/s at most", 12.0)


def test_a_message_that_nothing_holds_waits_for_its_turn():
    assert told() == ("queued", "it waits for its turn", None)
    assert told(ahead=Ahead(0, "")) == ("queued", "it waits for its turn", None)


def test_between_two_calls_it_is_not_said_to_wait_for_a_turn_that_it_had():
    assert told(replace(RECORD, parts_total=2)) == ("queued", "it is being sent, or waits for its next call", None)


def test_a_wait_that_is_over_is_told_as_over():
    record = replace(RECORD, reason=ErrorRecord("no_answer", "no answer", "7"), waiting_until=at(10), parts_total=1)
    assert told(record) == (
        "queued",
        "it is tried again as soon as its turn comes; the last try said: no answer",
        None,
    )


def test_accepted_without_a_receipt_says_since_when_and_asks_for_the_webhook():
    parts = tuple(PartRecord(number, Phase.ANSWERED, answered_at=at(number)) for number in (1, 2))
    code, sentence, until = told(replace(RECORD, queued=False, parts_total=2, parts=parts))
    assert (code, until) == ("awaiting_receipt", None)
    assert "accepted it at 2026-03-01T12:00:02.123456Z; its «sent» receipt has not come" in sentence
    assert sentence.endswith("is the webhook connected?")
    assert "accepted it; its «sent»" in told(replace(RECORD, queued=False))[1], "a list does not know its parts"


# --- which goes first -----------------------------------------------------------------------------------------------------

#: What holds a message, in the order in which it is told: (what it is, its code, the record, the surroundings).
HOLDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("account_paused", {}, {"account": stopped(Standing.PAUSED, "account_paused")}),
    ("no_answer", {"reason": ErrorRecord("no_answer", "no"), "waiting_until": at(60)}, {}),
    ("scheduled", {"due_at": at(3600)}, {}),
    ("waiting_for_lane", {}, {"ahead": AHEAD}),
    ("rate_limited", {}, {"rate": RATE}),
    ("queued", {}, {}),
]


@pytest.mark.parametrize("first", range(len(HOLDS)), ids=[code for code, _, _ in HOLDS])
def test_of_several_reasons_the_widest_is_told(first):
    fields: dict[str, Any] = {}
    around: dict[str, Any] = {}
    for _, more_fields, more_around in HOLDS[first:]:
        fields |= more_fields
        around |= more_around
    assert told(replace(RECORD, **fields), **around)[0] == HOLDS[first][0]


@pytest.mark.parametrize("standing", [Standing.WORKING, Standing.THROTTLED])
def test_an_account_that_sends_is_no_reason_by_itself(standing):
    assert told(account=stopped(standing, "rate_limited"))[0] == "queued"


def test_nothing_overtakes_a_message_that_has_begun():
    record = replace(RECORD, parts_total=1, parts=(IN_FLIGHT,))
    assert not waiting.has_lane_to_ask(record)
    assert told(record, ahead=AHEAD)[0] == "sending"
    assert waiting.has_lane_to_ask(RECORD)
    assert not waiting.has_lane_to_ask(replace(RECORD, queued=False))


def test_a_call_under_way_after_a_crash_is_told_by_what_is_waited_for():
    crashed = ErrorRecord("no_answer", "the gateway stopped; a receipt may tell")
    record = replace(RECORD, parts_total=1, parts=(IN_FLIGHT,), reason=crashed, waiting_until=at(95))
    assert told(record)[::2] == ("no_answer", 95.0)


def test_the_time_that_was_asked_for_is_known_as_long_as_it_holds():
    assert waiting.send_time(RECORD) is None
    assert waiting.send_time(replace(RECORD, due_at=at(5))) == at(5)
