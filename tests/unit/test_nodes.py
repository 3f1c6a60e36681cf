"""What a node takes and gives, how hints travel, and what its clock is compared by: the pure part of :mod:`kurir.nodes`."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurir.nodes import HINT_BYTES, Keeper, Share, ahead, packed, share, unpacked


def settle(total: int, held: dict[str, int], turns: int = 50) -> dict[str, int]:
    """Let the nodes take and give in turn until nobody does either; return what each holds."""
    held = dict(held)
    for _ in range(turns):
        before = dict(held)
        for node in sorted(held):
            what = share(node, held, total, total - sum(held.values()), 0)
            held[node] += what.take - what.give
        if held == before:
            return held
    raise AssertionError(f"it never ends: {held}")


@pytest.mark.parametrize(
    ("held", "total", "expected"),
    [
        ({"a": 0}, 4, {"a": 4}),
        ({"a": 4, "b": 0}, 4, {"a": 2, "b": 2}),
        ({"a": 2, "b": 2, "c": 0}, 4, {"a": 1, "b": 2, "c": 1}),
        ({"a": 0, "b": 0}, 1, {"a": 1, "b": 0}),
        ({"a": 1, "b": 0}, 1, {"a": 1, "b": 0}),
        ({"a": 0, "b": 0, "c": 0}, 0, {"a": 0, "b": 0, "c": 0}),
    ],
)
def test_shares(held: dict[str, int], total: int, expected: dict[str, int]) -> None:
    assert settle(total, held) == expected


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(0, 60))
def test_every_node_gets_its_share_and_then_nothing_moves(counts: list[int], free: int) -> None:
    held = {f"n{number}": count for number, count in enumerate(counts)}
    total = sum(counts) + free
    settled = settle(total, held, turns=200)
    assert sum(settled.values()) == total
    assert max(settled.values()) - min(settled.values()) <= 1


def test_what_nobody_takes_is_taken_beyond_the_share() -> None:
    counts = {"a": 2, "b": 0}
    assert share("a", counts, 4, free=2, left=0) == Share()
    assert share("a", counts, 4, free=2, left=2) == Share(take=2)


@given(st.lists(st.lists(st.text(max_size=400), min_size=1, max_size=3), max_size=60))
def test_hints_arrive_whole_in_notifications_that_postgresql_takes(hints: list[list[str]]) -> None:
    texts = packed("node", hints)
    assert all(len(text.encode()) < 8000 for text in texts)
    arrived = [hint for text in texts for hint in unpacked(text)[1]]
    assert arrived == [hint for hint in hints if len(json.dumps(hint)) + 2 <= HINT_BYTES]
    assert Counter(unpacked(text)[0] for text in texts) == Counter({"node": len(texts)})


def test_many_hints_take_several_notifications() -> None:
    hints = [["wake", f"account-{number}"] for number in range(1000)]
    assert 1000 * 20 / HINT_BYTES < len(packed("node", hints)) < 10


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=20,
)


@given(JSON | st.lists(JSON, min_size=2, max_size=2))
def test_of_a_notification_only_hints_are_taken(told: object) -> None:
    """Whoever may log in to the database may send any."""
    sender, hints = unpacked(json.dumps(told))
    assert isinstance(sender, str)
    assert all(hint and all(isinstance(word, str) for word in hint) for hint in hints)


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 20_000, '["n", [[]]]', '["n", {"a": 1}]', '["n", "leases"]', "7", "null"]
)
def test_what_is_no_notification_of_ours_has_no_hints(text: str) -> None:
    assert unpacked(text)[1] == []


def test_a_hint_that_breaks_who_hears_it_keeps_no_other_from_being_heard() -> None:
    heard: list[Sequence[str]] = []

    class Works:
        def hear(self, hint: Sequence[str]) -> None:
            if hint == ["settled", "account"]:
                raise TypeError("it lacks the address")
            heard.append(hint)

    anything: Any = Works()
    keeper = Keeper(anything, anything, "all")
    keeper._heard(None, 1, "kurir", json.dumps(["other", [["settled", "account"], ["wake", "account"]]]))
    assert heard == [["wake", "account"]]


@pytest.mark.parametrize(
    ("before", "told", "after", "seconds"),
    [
        (100.0, 100.1, 100.2, 0.0),
        (100.0, 90.0, 100.2, 10.0),
        (100.0, 110.2, 100.2, -10.0),
        (100.0, 103.0, 160.0, 0.0),  # the process was stopped meanwhile
    ],
)
def test_how_much_a_clock_is_ahead_at_least(before: float, told: float, after: float, seconds: float) -> None:
    assert ahead(before, told, after) == pytest.approx(seconds)
