"""The check of the callbacks' books: what happened, against what a client's endpoint got.

The endpoint is the client's, so that a repeat is no fault: one that can be told by its ``webhook-id`` is promised. Lost, in
another order, under a second id: these are.

:class:`Books` are of any events. :class:`Statuses` are of a run that sends: there the platforms' ledger and the histories of
the messages say what happened, the feed says in which order, and the endpoint's ledger says what it was told.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from kurir.bench.checker import EXAMPLES, Evidence, Verdict, arrivals

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

    *in_flight*: how many calls may be repeated by one of the *kills*, or of the *outages* of the endpoint.
    """

    taken: frozenset[Key]
    asked: frozenset[Key]
    arrived: Sequence[Arrived]
    kills: int = 0
    in_flight: int = 0
    outages: int = 0


class Step(NamedTuple):
    """A change of a message's status, as the feed and a callback tell it. *message_id* is the client's own id."""

    tid: str
    message_id: str
    previous: int
    status: int


@dataclass(frozen=True, slots=True)
class Call:
    """A callback as the endpoint of a run got it. *at*: unix seconds."""

    at: float
    webhook_id: str
    step: Step


@dataclass(frozen=True, slots=True)
class Statuses:
    """What a run that sends left of its callbacks. *fed* is the feed and *calls* the endpoint's ledger, in their order.

    *refused*: why the endpoint took calls not. *certain*: how much of the feed is older than the histories of *evidence*;
    what is younger need not stand in them. *outages*: how often the endpoint was dead. *in_flight*: calls to it at once, at
    most.
    """

    evidence: Evidence
    fed: Sequence[Step]
    calls: Sequence[Call]
    certain: int
    refused: Sequence[str] = ()
    outages: int = 0
    in_flight: int = 0


def check_statuses(statuses: Statuses) -> tuple[Verdict, ...]:
    """Return one verdict for each invariant of the callbacks of a run that sends."""
    outages = f", which was dead {statuses.outages} ×" if statuses.outages else ""
    return (
        _verdict(
            "callbacks: each change of a status is told once in the feed",
            [*_unfed(statuses)],
            f"{len(statuses.fed):,} changes",
        ),
        _verdict(
            "callbacks: what a platform took at once was told to the endpoint",
            [*_untold(statuses)],
            f"{len(statuses.calls):,} calls came to it{outages}",
        ),
        _verdict("callbacks: each call is signed", statuses.refused, "every signature fits"),
        *check_callbacks(_books(statuses), "callbacks: "),
    )


#: The platform whose 200 is no status yet: its receipt is.
BY_RECEIPT: Final = "whatsapp"


def _unfed(statuses: Statuses) -> Iterator[str]:
    """Find changes of the messages' histories that the feed has not, or has twice, and those that it alone has."""
    said: Counter[tuple[str, int, int]] = Counter()
    for told in statuses.evidence.messages.values():
        said.update((told.tid, one.previous, one.status) for one in told.history if one.status != 0)
    known = {tid for tid, _, _ in said} | set(statuses.evidence.messages)
    fed = Counter((one.tid, one.previous, one.status) for one in statuses.fed)
    certain = Counter((one.tid, one.previous, one.status) for one in statuses.fed[: statuses.certain])
    for tid, previous, status in sorted((said - fed).keys()):
        yield f"{tid} went {previous} → {status}, and the feed does not say so"
    for tid, previous, status in sorted((certain - said).keys()):
        if tid in known:  # of the others no 200 was heard, so nobody asked for their history
            yield f"the feed says that {tid} went {previous} → {status}, and its history does not"


def _untold(statuses: Statuses) -> Iterator[str]:
    """Find messages that a platform has, by its own ledger, and of which the endpoint never heard."""
    heard = {call.step.message_id for call in statuses.calls}
    arrived = arrivals(statuses.evidence)
    for one in statuses.evidence.posted:
        told = statuses.evidence.messages.get(one.tid) if one.tid else None
        whole = told is not None and len(arrived.get(one.key, ())) >= max(1, told.parts)
        if whole and one.channel != BY_RECEIPT and one.message_id not in heard:
            yield f"{one.key.lane}-{one.key.serial} arrived on {one.channel}, and the endpoint was told nothing of it"


def _books(statuses: Statuses) -> Books:
    """Return the books of the feed and the endpoint. A conversation is a lane, its numbers are the feed's."""
    lane_of = {one.message_id: one.key.lane for one in statuses.evidence.posted}
    keys: dict[Step, Key] = {}
    for number, step in enumerate(statuses.fed, 1):
        keys.setdefault(step, (lane_of.get(step.message_id, step.message_id), number))
    arrived = tuple(
        # What the feed has not is a stranger, whatever else is right about it.
        Arrived(keys.get(call.step, (f"{call.step.tid} {call.step.previous} → {call.step.status}", 0)), call.webhook_id)
        for call in statuses.calls
    )
    taken = frozenset(keys.values())
    kills = len(statuses.evidence.kills)
    return Books(taken, taken, arrived, kills, statuses.in_flight, statuses.outages)


def check_callbacks(books: Books, prefix: str = "") -> tuple[Verdict, ...]:
    """Return one verdict for each invariant, its name behind *prefix*."""
    return tuple(_verdict(prefix + name, list(find(books)), told(books)) for name, find, told in _INVARIANTS)


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
    """Find more repeats than calls were in flight when either side was gone."""
    extra = _repeats(books)
    if extra > (books.kills + books.outages) * books.in_flight:
        yield f"{extra} repeats, {_gone(books)} with {books.in_flight} calls in flight at most"


def _gone(books: Books) -> str:
    dead = f" and {books.outages} × the endpoint dead" if books.outages else ""
    return f"{books.kills} kills{dead}"


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
        lambda books: f"{_repeats(books)} repeats by {_gone(books)}",
    ),
)


def _verdict(name: str, found: Sequence[str], detail: str) -> Verdict:
    if found:
        return Verdict(
            name, holds=False, detail=f"{len(found):,} violations", broken=len(found), examples=tuple(found[:EXAMPLES])
        )
    return Verdict(name, holds=True, detail=detail)
