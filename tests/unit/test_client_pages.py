"""What the pages of clients show and take."""

from datetime import UTC, datetime, timedelta

import pytest

from kurir.console import clients as view
from kurir.store.base import AccountRecord, ClientRecord

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def test_clients_that_are_let_in_come_first_with_what_they_own():
    records = [ClientRecord("a", "a", "x", enabled=False), ClientRecord("b", "b", "x"), ClientRecord("c", "c", "x")]
    accounts = [
        AccountRecord(f"{one}-{number}", one, "line", "", b"")
        for one, many in (("b", 2), ("a", 1))
        for number in range(many)
    ]
    found = view.rows(records, accounts, {"b": 3})
    assert [(row.record.id, row.accounts, row.endpoints) for row in found] == [("b", 2, 3), ("c", 0, 0), ("a", 1, 0)]


@pytest.mark.parametrize(
    ("until", "found"),
    [(None, None), (NOW, None), (NOW + timedelta(seconds=1), NOW + timedelta(seconds=1))],
)
def test_two_passwords_let_in_until_a_moment(until, found):
    record = ClientRecord("a", "a", "x", previous_hash="y", previous_until=until)
    assert view.Row(record, 0, 0).overlaps_until(NOW) == found


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, {}),
        ({"username": "", "max_age": "2h"}, {"username": None, "max_age": "2h"}),
        (
            {"allow_from": " 10.0.0.0/8, 192.0.2.0/24\n::1/128 "},
            {"allow_from": ["10.0.0.0/8", "192.0.2.0/24", "::1/128"]},
        ),
        ({"allow_from": " \n"}, {"allow_from": None}),
        ({"password": "mine", "id": "other"}, {}),
    ],
)
def test_a_form_sets_what_it_names_and_no_password(fields, found):
    assert view.given(fields) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [("0", timedelta(0)), ("86400", timedelta(days=1)), ("1", None), ("", None), ("-1", None), ("²", None)],
)
def test_an_overlap_is_one_of_those_offered(text, found):
    assert view.overlap(text) == found


def test_a_forms_tag_changes_with_the_password_and_tells_nothing_of_it():
    one, other = (ClientRecord("a", "a", word) for word in ("hash 1", "hash 2"))
    assert view.tag(one) != view.tag(other)
    assert view.tag(one) == view.tag(ClientRecord("b", "b", "hash 1"))
    assert "hash" not in view.tag(one)
