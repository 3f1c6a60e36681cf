"""What is typed into the search, and what it asks for."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurir.console import searching
from kurir.console.searching import Asked
from kurir.domain.status import Status

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "fields", "text"),
    [
        ("", (), ""),
        ("hello there", (), "hello there"),
        ('"hello there"', (), '"hello there"'),
        ("status:failed hello", (("status", "failed"),), "hello"),
        ("phone:+628123 recipient:0812", (("to", "+628123"), ("to", "0812")), ""),
        ("error:131026 since:2h", (("error", "131026"), ("since", "2h")), ""),
        ('account:"my shop" x', (("account", "my shop"),), "x"),
        ("https://a.example/x", (), "https://a.example/x"),
        ("channel:line channel:telegram", (("channel", "telegram"),), ""),
        ("status:failed status:sent status:failed", (("status", "failed"), ("status", "sent")), ""),
        ("client:a client:b", (("client", "a"), ("client", "b")), ""),
    ],
)
def test_fields_and_text_are_told_apart(typed, fields, text):
    assert searching.read(typed) == Asked(fields, text)


@pytest.mark.parametrize("typed", ["status:great", "channel:fax", "since:soon", "type:poem", "until:31.12.2026"])
def test_what_is_not_understood_is_told_and_left_out(typed):
    asked = searching.read(f"{typed} x")
    assert asked.wrong == (typed,)
    assert asked.fields == ()


def test_a_search_that_is_too_long_says_so():
    assert searching.read("x " * searching.LONGEST).wrong


@given(st.lists(st.sampled_from(["status:failed", "to:0812", "since:2h", 'account:"a b"', "hello", '"a b"', "<b>"])))
def test_a_search_written_out_and_read_again_is_the_same(terms):
    asked = searching.read(" ".join(terms))
    assert searching.read(asked.query()) == asked


def test_named_parameters_count_like_typed_ones_and_the_later_one_wins():
    asked = searching.from_parameters(
        {"q": ["account:a hello"], "account": ["b"], "since": ["nonsense"], "to": ['0812"']}
    )
    assert asked.of("account") == ("b",)
    assert asked.of("to") == ("0812",)
    assert asked.wrong == ("since:nonsense",)
    assert asked.text == "hello"
    assert asked.without_names(("account", "to")).query() == "hello"


def test_a_search_asks_the_store_for_all_of_its_fields():
    asked = searching.read(
        "status:failed status:-2 channel:facebook account:a type:text error:E1 since:2h until:2026-11-23"
    )
    (wanted,) = searching.searches(asked, client_ids=None, regions=[], now=NOW)
    assert wanted.statuses == (Status.FAILED, Status.UNDELIVERED)
    assert (wanted.channel, wanted.account_id, wanted.type, wanted.error_code) == ("messenger", "a", "text", "E1")
    assert wanted.since == NOW - timedelta(hours=2)
    assert wanted.until == datetime(2026, 11, 23, tzinfo=UTC)


def test_nobody_finds_the_messages_of_a_client_that_is_not_theirs():
    asked = searching.read("client:other client:mine")
    (wanted,) = searching.searches(asked, client_ids=("mine",), regions=[], now=NOW)
    assert wanted.client_ids == ("mine",)
    (nobody,) = searching.searches(searching.read("client:other"), client_ids=("mine",), regions=[], now=NOW)
    assert nobody.client_ids == ()


def test_text_is_tried_as_an_id_as_a_phone_and_as_words_in_this_order():
    tries = searching.searches(searching.read("081234567890"), client_ids=None, regions=["ID"], now=NOW)
    assert [bool(one.message_id) for one in tries] == [True, False, False, False]
    assert tries[1].platform_id == "081234567890"
    assert "6281234567890" in tries[2].recipients
    assert "+6281234567890" in tries[2].recipients
    assert tries[3].words == "081234567890"
    tid = "01a20713-bd02-7df2-af31-0e6014ad6188"
    assert [one.tid for one in searching.searches(searching.read(tid), client_ids=None, regions=[], now=NOW)] == [tid]
