"""The check of the callbacks' books sees each fault that it is there for, and no other."""

from dataclasses import replace

import pytest

from kurir.bench.callbacks import Arrived, Books, Call, Statuses, Step, check_callbacks, check_statuses
from kurir.bench.checker import Evidence
from kurir.bench.ledgers import Change, Heard, Key, Posted, Row, Told, words

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
        (replace(GOOD, arrived=(*CALLS, *CALLS), outages=1), "repeats are what was in flight at kills"),
    ],
)
def test_each_fault_is_seen(books, name):
    assert broken(books) == {name}


# --- a run that sends ---------------------------------------------------------------------------------------------------


def posted(lane: str, serial: int, channel: str) -> Posted:
    key = Key(lane, serial)
    name = f"run-{lane}-{serial}"
    return Posted(key, channel, lane, name, heard=[Heard(0.0, 0.1, 200, f"tid-{name}")])


def step(lane: str, serial: int, previous: int, status: int) -> Step:
    name = f"run-{lane}-{serial}"
    return Step(f"tid-{name}", name, previous, status)


POSTED = (posted("L1", 1, "messenger"), posted("L1", 2, "messenger"), posted("L2", 1, "whatsapp"))
FED = (step("L1", 1, 0, 1), step("L1", 1, 1, 3), step("L1", 2, 0, 1), step("L2", 1, 0, 1))
TOLD_TO_CLIENT = tuple(Call(1.0, f"evt-{number}", one) for number, one in enumerate(FED))


def history(one: Posted) -> Told:
    changes = tuple(Change(fed.previous, fed.status) for fed in FED if fed.tid == one.tid)
    return Told(one.tid, changes[-1].status, history=changes)


RUN = Statuses(
    Evidence(
        posted=POSTED,
        platform=tuple(
            Row(number, 0.5, one.channel, one.address, accepted=True, text=words(one.key, 1))
            for number, one in enumerate(POSTED, 1)
        ),
        messages={one.tid: history(one) for one in POSTED},
        kills=(0.4,),
    ),
    fed=FED,
    calls=TOLD_TO_CLIENT,
    certain=len(FED),
    in_flight=1,
)


def with_history(tid: str, *changes: Change) -> Statuses:
    told = replace(RUN.evidence.messages[tid], history=changes)
    return replace(RUN, evidence=replace(RUN.evidence, messages={**RUN.evidence.messages, tid: told}))


def wrong(statuses: Statuses) -> set[str]:
    return {verdict.name.removeprefix("callbacks: ") for verdict in check_statuses(statuses) if not verdict.holds}


FIRST = POSTED[0].tid
FEED = "each change of a status is told once in the feed"


@pytest.mark.parametrize(
    "statuses",
    [
        RUN,
        replace(RUN, calls=(*TOLD_TO_CLIENT, TOLD_TO_CLIENT[0])),  # again under its id, after the kill
        replace(RUN, calls=(*TOLD_TO_CLIENT, *TOLD_TO_CLIENT[:2]), outages=1),
        # A receipt that came when the histories were read, and a return to 0, of which no feed tells.
        replace(with_history(FIRST, Change(0, 1)), certain=1),
        with_history(FIRST, Change(0, 1), Change(1, 3), Change(3, 0)),
    ],
)
def test_good_books_of_a_run_pass(statuses):
    assert wrong(statuses) == set()


@pytest.mark.parametrize(
    ("statuses", "names"),
    [
        (with_history(FIRST, Change(0, 1), Change(1, 2), Change(2, 3)), {FEED}),
        (with_history(FIRST, Change(0, 1)), {FEED}),
        (replace(RUN, fed=(*FED, FED[0]), certain=5), {FEED}),
        (replace(RUN, fed=FED[1:], certain=3), {FEED, "nothing arrives that nobody told"}),
        (
            replace(RUN, calls=(*TOLD_TO_CLIENT[:2], TOLD_TO_CLIENT[3])),
            {"what was taken reaches the endpoint", "what a platform took at once was told to the endpoint"},
        ),
        (replace(RUN, calls=TOLD_TO_CLIENT[:3]), {"what was taken reaches the endpoint"}),
        (replace(RUN, calls=TOLD_TO_CLIENT[::-1]), {"conversations are in order"}),
        (
            replace(RUN, calls=(*TOLD_TO_CLIENT, replace(TOLD_TO_CLIENT[0], webhook_id="x"))),
            {"an event has one webhook-id"},
        ),
        (replace(RUN, refused=("invalid_signature",)), {"each call is signed"}),
        (
            replace(RUN, calls=(*TOLD_TO_CLIENT, *TOLD_TO_CLIENT[:2])),
            {"repeats are what was in flight at kills"},
        ),
    ],
)
def test_each_fault_of_a_run_is_seen(statuses, names):
    assert wrong(statuses) == names
