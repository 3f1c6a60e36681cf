"""The audit: what goes into it, how a change is read, and its files."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kurir.clock import FakeClock
from kurir.console import auditing, trail
from kurir.console.auditing import FAILURES_AN_HOUR, Audit
from kurir.console.rights import Role, Visitor
from kurir.console.trail import Change
from kurir.store.access import AuditRecord

RECORD = AuditRecord(
    datetime(2026, 3, 1, 12, tzinfo=UTC), "anna", "console", "192.0.2.7", "client_changed", "client", "acme", "acme"
)
ANNA = Visitor("1", "anna", Role.OWNER, "", "s", "192.0.2.7")


class Store:
    """Keeps the audit in memory, and knows one user."""

    def __init__(self) -> None:
        self.found: list[AuditRecord] = []

    async def add_audit(self, entries) -> None:
        self.found += entries

    async def user_named(self, name: str):
        return type("User", (), {"name": "anna"}) if name == "anna" else None


# --- what goes in -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ({"name": "x", "password": "p", "has_password": True}, {"name": "x", "password": "•••", "has_password": True}),
        ({"settings": {"access_token": "t", "waba_id": "1"}}, {"settings": {"access_token": "•••", "waba_id": "1"}}),
        ({"list": [{"secret": "s"}, "x"]}, {"list": [{"secret": "•••"}, "x"]}),
        ({"headers": {"Authorization": "x", "X-Token": "t"}}, {"headers": {"Authorization": "•••", "X-Token": "•••"}}),
        ({"url": "https://u:p@h.example/x?key=1#f"}, {"url": "https://•••@h.example/x?•••"}),
        ({"url": "https://h.example/x"}, {"url": "https://h.example/x"}),
        ({"url": "https://[bad"}, {"url": "•••"}),
        ({"secret": None}, {"secret": None}),
    ],
)
def test_no_secret_goes_into_the_audit(value, masked):
    assert auditing.masked(value) == masked


async def test_an_action_without_words_is_not_noted():
    with pytest.raises(KeyError):
        await Audit(Store(), FakeClock()).note(ANNA, "unheard_of", "user", "x")  # type: ignore[arg-type]


async def test_what_is_noted_names_who_and_from_where():
    store = Store()
    audit = Audit(store, FakeClock())  # type: ignore[arg-type]
    await audit.note(ANNA, "client_changed", "client", "acme", client_id="acme", before={"a": 1}, after={"a": 2})
    (found,) = store.found
    assert (found.actor, found.via, found.address, found.client_id) == ("anna", "console", "192.0.2.7", "acme")
    assert (json.loads(found.before), json.loads(found.after)) == ({"a": 1}, {"a": 2})


async def test_failures_to_sign_in_fill_no_disk():
    store, clock = Store(), FakeClock()
    audit = Audit(store, clock)  # type: ignore[arg-type]
    for _ in range(FAILURES_AN_HOUR * 2):
        await audit.note_failure("hunter2 as a name", "192.0.2.7", "wrong")
    assert len(store.found) == FAILURES_AN_HOUR
    assert "hunter2" not in repr(store.found)
    clock.move(3600)
    await audit.note_failure(" Anna ", "192.0.2.7", "wrong")
    assert store.found[-1].actor == "anna"


def test_every_action_has_words_and_every_kind_a_name():
    assert all(words and words[0].islower() for words in auditing.ACTIONS.values())


# --- how it is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("{}", "{}", []),
        ('{"a": 1}', '{"a": 1}', []),
        ('{"a": 1, "b": "x"}', '{"a": 2, "b": "x"}', [Change("a", "1", "2")]),
        ("{}", '{"a": "ß"}', [Change("a", None, "ß")]),
        ('{"a": null}', "{}", [Change("a", "null", None)]),
        ('{"a": {"b": 1, "c": 2}}', '{"a": {"b": 1, "c": 3}}', [Change("a.c", "2", "3")]),
        ('{"a": []}', '{"a": [1, "x"]}', [Change("a", "[]", '[1, "x"]')]),
        ('{"a": {}}', '{"a": ""}', [Change("a", "{}", "")]),
        ("{}", '{"by": "link", "session": "0190"}', [Change("by", None, "link")]),
        ("not json", "{}", [Change("", "not json", None)]),
    ],
)
def test_a_change_is_told_member_by_member(before, after, expected):
    assert list(trail.changes(before, after)) == expected


def test_an_action_of_a_later_version_is_told_by_its_name():
    assert trail.entry(replace(RECORD, action="of_tomorrow")).words == "of_tomorrow"


# --- files --------------------------------------------------------------------------------------------------------------


def test_a_file_for_spreadsheets_holds_no_formula():
    hostile = [replace(RECORD, subject=f"{sign}cmd") for sign in "=+-@\t"]
    rows = list(csv.reader(io.StringIO(trail.csv_lines([RECORD, *hostile], head=True))))
    assert tuple(rows[0]) == trail.COLUMNS
    assert rows[1][trail.COLUMNS.index("subject")] == "acme"
    assert all(row[trail.COLUMNS.index("subject")].startswith("'") for row in rows[2:])
    assert trail.csv_lines([], head=False) == ""


def test_a_file_of_lines_has_json_on_each():
    record = replace(RECORD, number=7, subject="line\nbreak", after='{"a": 1}')
    (line,) = trail.json_lines([record]).splitlines()
    found = json.loads(line)
    assert tuple(found) == trail.COLUMNS
    assert (found["number"], found["subject"], found["after"]) == (7, "line\nbreak", {"a": 1})


def test_the_address_narrows_by_what_it_names():
    asked = trail.asked({"actor": "anna", "kind": "", "other": "x"})
    assert asked.given() == {"actor": "anna"}
    wanted = asked.filter(("acme",), 5)
    assert (wanted.actor, wanted.kind, wanted.client_ids, wanted.before) == ("anna", None, ("acme",), 5)
