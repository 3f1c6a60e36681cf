"""The check of the callbacks' books: what platforms told and was taken, against what a client's endpoint got.

The endpoint is the client's, so that a repeat is no fault: one that can be told by its ``webhook-id`` is promised. Lost, in
another order, under a second id: these are.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kurir.bench.checker import EXAMPLES, Verdict

#: An event: its conversation, and its number in it, which grows.
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A callback as the endpoint got it. Callbacks are in the order in which they came."""

    key: Key
    webhook_id: str


@dataclass(frozen=True, slots=True)
class Books:
    """Both ledgers. *taken* are the events that were answered 200; *asked* those of which nobody knows, too.

    *in_flight*: how many calls may be repeated by one of the *kills*.
    """

    taken: frozenset[Key]
    asked: frozenset[Key]
    arrived: Sequence[Arrived]
    kills: int = 0
    in_flight: int = 0


def check_callbacks(books: Books) -> tuple[Verdict, ...]:
    """Return one verdict for each invariant."""
    return tuple(_verdict(name, list(find(books)), told(books)) for name, find, told in _INVARIANTS)


def _lost(books: Books) -> Iterable[str]:
    got = {one.key for one in books.arrived}
    return (f"{key[0]}-{key[1]} was taken, and never arrived" for key in sorted(books.taken - got))


def _strangers(books: Books) -> Iterable[str]:
    return (f"{key[0]}-{key[1]} was told by nobody" for key in sorted({one.key for one in books.arrived} - books.asked))


def _disordered(books: Books) -> Iterable[str]:
    """Find the events that first arrived after a later one of their conversation."""
    newest: dict[str, int] = {}
    seen: set[Key] = set()
    for one in books.arrived:
        conversation, number = one.key
        if one.key in seen:
            continue
        seen.add(one.key)
        if number < newest.get(conversation, number):
            yield f"{conversation}-{number} arrived after {newest[conversation]}"
        newest[conversation] = max(number, newest.get(conversation, number))


def _renamed(books: Books) -> Iterable[str]:
    """Find events with several ids, and ids with several events."""
    ids: Mapping[Key, set[str]] = defaultdict(set)
    keys: Mapping[str, set[Key]] = defaultdict(set)
    for one in books.arrived:
        ids[one.key].add(one.webhook_id)
        keys[one.webhook_id].add(one.key)
    yield from (f"{key[0]}-{key[1]} came under {len(found)} ids" for key, found in ids.items() if len(found) > 1)
    yield from (f"{name} is the id of {len(found)} events" for name, found in keys.items() if len(found) > 1)


def _repeated(books: Books) -> Iterable[str]:
    """Find more repeats than calls were in flight at kills."""
    extra = _repeats(books)
    if extra > books.kills * books.in_flight:
        yield f"{extra} repeats, and {books.kills} kills with {books.in_flight} calls in flight at most"


def _repeats(books: Books) -> int:
    return sum(Counter(one.key for one in books.arrived).values()) - len({one.key for one in books.arrived})


_INVARIANTS: Final[tuple[tuple[str, Callable[[Books], Iterable[str]], Callable[[Books], str]], ...]] = (
    ("what was taken reaches the endpoint", _lost, lambda books: f"{len(books.taken):,} events taken"),
    ("nothing arrives that nobody told", _strangers, lambda books: f"{len(books.arrived):,} callbacks"),
    (
        "conversations are in order",
        _disordered,
        lambda books: f"{len({one.key[0] for one in books.arrived})} conversations",
    ),
    ("an event has one webhook-id", _renamed, lambda books: f"{len({one.webhook_id for one in books.arrived}):,} ids"),
    (
        "repeats are what was in flight at kills",
        _repeated,
        lambda books: f"{_repeats(books)} repeats by {books.kills} kills",
    ),
)


def _verdict(name: str, found: Sequence[str], detail: str) -> Verdict:
    if found:
        return Verdict(
            name, holds=False, detail=f"{len(found):,} violations", broken=len(found), examples=tuple(found[:EXAMPLES])
        )
    return Verdict(name, holds=True, detail=detail)
