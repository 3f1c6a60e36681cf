"""Many messages at once: which an action is for, lines of an export, a form's body."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kurir.console import bulk, composing, exporting
from kurir.domain.problem import Problem
from kurir.domain.status import Status
from kurir.intake import wire
from kurir.store.base import Turn
from kurir.store.looking import Search
from support.message_record import RECORD

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
FAILED = (Status.FAILED, Status.UNDELIVERED, Status.UNSENT)


@pytest.mark.parametrize(
    ("wanted", "action", "statuses"),
    [
        (Search(), "retry", FAILED),
        (Search(statuses=(Status.FAILED, Status.READ)), "retry", (Status.FAILED,)),
        (Search(statuses=(Status.READ,)), "retry", None),
        (Search(queued=True), "retry", None),
        (Search(), "cancel", (Status.PENDING,)),
        (Search(statuses=(Status.PENDING, Status.SENT)), "cancel", (Status.PENDING,)),
        (Search(statuses=(Status.FAILED,)), "cancel", None),
        (Search(queued=False), "cancel", None),
    ],
)
def test_an_action_is_for_those_alone_that_it_can_be_done_with(wanted, action, statuses):
    found = bulk.narrowed(replace(wanted, words="x", client_ids=("a",)), action)
    if statuses is None:
        assert found is None
        return
    assert found is not None
    assert found.statuses == statuses
    assert (found.words, found.client_ids) == ("x", ("a",))
    assert found.queued is (True if action == "cancel" else None)


@pytest.mark.parametrize(
    ("status", "queued", "retry", "cancel"),
    [
        (Status.FAILED, False, True, False),
        (Status.UNSENT, False, True, False),
        (Status.PENDING, True, False, True),
        (Status.PENDING, False, False, False),
        (Status.READ, False, False, False),
    ],
)
def test_a_message_is_for_one_action_at_most(status, queued, retry, cancel):
    record = replace(RECORD, status=status, queued=queued)
    assert (bulk.is_for(record, "retry"), bulk.is_for(record, "cancel")) == (retry, cancel)


def test_what_came_of_many_is_counted():
    done = bulk.outcome([Turn.DONE, Turn.ENDED, Turn.DONE, Turn.BEGUN, Turn.ENDED])
    assert done == bulk.Done(2, {Turn.ENDED: 2, Turn.BEGUN: 1})


# --- files ----------------------------------------------------------------------------------------------------------


def body(text: str) -> bytes:
    asked = {"id": "1", "times": 0, "timestamp": "2026-11-23T06:00:00Z", "recipient": "628123456789", "type": "text"}
    message, problems = wire.examine({**asked, "body": {"text": text}}, "whatsapp")
    assert message is not None
    assert not problems
    return wire.encode(message)


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_no_text_of_a_spreadsheet_is_a_formula(sign):
    text = f'{sign}HYPERLINK("http://x.example")'
    line = exporting.line("csv", exporting.row(RECORD, body(text), masked=False))
    (values,) = csv.reader(io.StringIO(line, newline=""))
    row = dict(zip(exporting.COLUMNS, values, strict=True))
    assert row["text"] == f"'{text}"
    assert row["id"] == "'=1+1"
    assert row["recipient"] == "'+628123456789"
    assert row["status"] == "-3"


def test_lines_of_json_say_everything_as_it_is():
    row = json.loads(exporting.line("jsonl", exporting.row(RECORD, body("=1 \u2028 ไทย"), masked=False)))
    assert row["text"] == "=1 \u2028 ไทย"
    assert (row["status"], row["status_name"], row["error"]) == (-3, "failed", "recipient_unreachable")
    assert row["accepted_at"] == "2026-11-23T06:00:00Z"


@pytest.mark.parametrize("kind", list(exporting.FORMATS))
def test_a_masked_file_has_neither_the_phone_nor_the_text(kind):
    line = exporting.line(kind, exporting.row(RECORD, body("secret words"), masked=True))
    assert "secret" not in line
    assert "8123456" not in line


def test_a_file_that_lacks_something_says_so_in_its_last_line():
    assert "not everything" in exporting.more("csv", "2026-11-23")
    assert "until:2026-11-23" in json.loads(exporting.more("jsonl", "2026-11-23"))["not_everything"]
    assert exporting.head("jsonl") == ""


# --- by hand --------------------------------------------------------------------------------------------------------


def written(**fields: str) -> dict[str, object]:
    base = {"id": "1", "account": "wa", "recipient": "628123456789", "text": "Hello"}
    return composing.body_of({**base, **fields}, NOW)


def test_a_form_becomes_the_body_of_a_send():
    assert written(type="text") == {
        "id": "1",
        "times": 0,
        "timestamp": "2026-11-23T06:00:00+00:00",
        "recipient": "628123456789",
        "type": "text",
        "account": "wa",
        "body": {"text": "Hello"},
    }


@pytest.mark.parametrize("kind", composing.TYPES)
def test_every_type_of_the_form_is_accepted_once_it_is_filled_in(kind):
    fields = {
        "media_url": "https://x.example/a.jpg",
        "latitude": "-6.1",
        "longitude": "106.8",
        "buttons": "yes = Yes, today | ignored\n\n No \n",
        "list_title": "Choose",
        "rows": "a = First | the first one\nSecond",
    }
    message, problems = wire.examine(written(type=kind, **fields), "whatsapp")
    assert problems == []
    assert message is not None
    assert message.ignored == ()
    if kind == "button":
        assert [(one.key, one.title) for one in message.buttons] == [("yes", "Yes, today"), ("No", "No")]
    if kind == "list":
        assert message.list is not None
        rows = [(one.key, one.title, one.description) for one in message.list.sections[0].actions]
        assert rows == [("a", "First", "the first one"), ("Second", "Second", "")]


@pytest.mark.parametrize(
    ("kind", "field"),
    [("image", "media_url"), ("location", "latitude"), ("button", "buttons"), ("list", "rows"), ("text", "text")],
)
def test_what_is_missing_is_said_at_its_field(kind, field):
    _, problems = wire.examine(written(type=kind, text=""), "whatsapp")
    at, _others = composing.at_fields(problems)
    assert field in at


def test_a_problem_without_a_field_is_said_apart():
    problem = Problem("/priority", "x", "y")
    assert composing.at_fields([problem]) == ({}, [problem])
