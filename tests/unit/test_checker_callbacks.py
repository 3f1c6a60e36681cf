"""The check of the callbacks' books sees each fault that it is there for, and no other."""

from dataclasses import replace

import pytest

from kurir.bench.callbacks import Arrived, Books, check_callbacks

KEYS = frozenset({("a", 1), ("a", 2), ("b", 1)})
CALLS = tuple(Arrived(key, f"evt_{key[0]}{key[1]}") for key in (("a", 1), ("b", 1), ("a", 2)))
GOOD = Books(KEYS, KEYS, CALLS, kills=1, in_flight=1)


def broken(books: Books) -> set[str]:
    return {verdict.name for verdict in check_callbacks(books) if not verdict.holds}


@pytest.mark.parametrize(
    "books",
    [
        GOOD,
        replace(GOOD, arrived=(*CALLS, CALLS[0])),  # a repeat after a kill, also behind a later one
        replace(GOOD, taken=frozenset()),  # taken, and the 200 was lost
    ],
)
def test_good_books_pass(books):
    assert broken(books) == set()


@pytest.mark.parametrize(
    ("books", "name"),
    [
        (replace(GOOD, arrived=CALLS[:2]), "what was taken reaches the endpoint"),
        (replace(GOOD, arrived=(*CALLS, Arrived(("c", 9), "x"))), "nothing arrives that nobody told"),
        (replace(GOOD, arrived=CALLS[::-1]), "conversations are in order"),
        (replace(GOOD, arrived=(*CALLS, Arrived(("a", 1), "other"))), "an event has one webhook-id"),
        (
            replace(GOOD, arrived=(CALLS[0], CALLS[1], replace(CALLS[2], webhook_id="evt_a1"))),
            "an event has one webhook-id",
        ),
        (replace(GOOD, arrived=(*CALLS, *CALLS)), "repeats are what was in flight at kills"),
    ],
)
def test_each_fault_is_seen(books, name):
    assert broken(books) == {name}
