"""The checker: three ledgers in, one verdict for each invariant out. Pure, so that a test can break each invariant once.

The client's ledger says what was acknowledged, the platforms' ledger what arrived, and the gateway's answers what it
says of itself. The first two are independent of the gateway; the third is held against them. This is the idea of Jepsen
(https://jepsen.io/analyses): nothing is believed that only the system under test tells.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

from kurir.bench.ledgers import NO_ANSWER, TRY_LATER, Key, Messages, Posted, Row, Told, first_word

#: Violations that a verdict names, at most; the rest is counted.
EXAMPLES: Final = 5
#: Where a message may stand at the end without having ended: it left, and its receipt has not come.
AWAITING: Final = "awaiting_receipt"
#: The one error with which a failed message may have arrived: the gateway says that it does not know.
UNKNOWN: Final = "outcome_unknown"
#: The platform that makes a repeat harmless (X-Line-Retry-Key).
IDEMPOTENT: Final = "line"
KILL: Final = "SIGKILL"
#: How far apart the end of a wait may be in two rows, in seconds: a row's time is taken a little after its wait.
SAME_END: Final = 0.25
#: Faults under which a platform takes a message and its answer is lost: only another attempt can tell.
ANSWER_LOST: Final = frozenset({"timeout_after", "cut_after", "half_body", "garbage"})
_FORWARD: Final = frozenset(
    {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3), (0, -1), (0, -2), (0, -3), (1, -2), (1, -3)}
)

Found: TypeAlias = dict[Key, str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a run left. *kills*: unix seconds of each SIGKILL.

    *in_flight*: how many calls the gateway can have in flight at once, over all accounts. *grace*: for how many seconds
    around a kill a call may have been in flight: the longest latency of the platforms, and some for the recording.
    *heard_within*: how many seconds a wait that a platform names may take to be known: its latency, and some for calls
    that had left by then. What a kill cuts off within it was not heard.
    """

    posted: Sequence[Posted]
    platform: Sequence[Row]
    messages: Messages
    kills: Sequence[float] = ()
    in_flight: int = 0
    grace: float = 2.0
    heard_within: float = 0.5


@dataclass(frozen=True, slots=True)
class Verdict:
    """One invariant. *broken* counts the violations."""

    name: str
    holds: bool
    detail: str
    broken: int = 0
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        word = "holds" if self.holds else "BROKEN"
        lines = [f"{word:<6}  {self.name}: {self.detail}", *(f"{'':8}{example}" for example in self.examples)]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class FaultLine:
    """One line of the table: what became of the messages that one kind of fault met.

    *struck*: how often the fault struck. *accepted*: messages with a 200 among those that it met. *unknown*: those of
    which the gateway says that nobody knows, or that they may be doubled.
    """

    fault: str
    struck: int
    accepted: int
    lost: int
    doubled: int
    unknown: int
    in_order: bool


def check(evidence: Evidence) -> tuple[Verdict, ...]:
    """Return the verdict of every invariant of what was sent; those of the callbacks are in ``bench.callbacks``."""
    case = _Case(evidence)
    return tuple(
        _verdict(name, find(case), detail(case) if callable(detail) else detail) for name, find, detail in _INVARIANTS
    )


def arrivals(evidence: Evidence) -> Mapping[Key, Mapping[int, Sequence[Row]]]:
    """Return message → place of a part's first word → the rows by which the person got it, by the platforms' ledger."""
    return _Case(evidence).arrived


def held(verdicts: Sequence[Verdict]) -> bool:
    """Return whether no invariant is broken."""
    return all(verdict.holds for verdict in verdicts)


def table(evidence: Evidence) -> tuple[FaultLine, ...]:
    """Return what became of the messages that each kind of fault met; the last line is all messages."""
    case = _Case(evidence)
    met: dict[str, set[Key]] = defaultdict(set)
    struck: Counter[str] = Counter()
    for row in evidence.platform:
        if row.fault:
            struck[row.fault] += 1
            word = first_word(row.text)
            if word is not None:
                met[row.fault].add(word[0])
    if evidence.kills:
        struck[KILL] = len(evidence.kills)
        met[KILL] = {one.key for one in evidence.posted if case.met_by_kill(one)}
    lines = [_line(case, name, struck[name], met[name]) for name in sorted(struck)]
    return (*lines, _line(case, "all", sum(struck.values()), {one.key for one in evidence.posted}))


def _line(case: "_Case", name: str, struck: int, keys: set[Key]) -> FaultLine:
    return FaultLine(
        fault=name,
        struck=struck,
        accepted=sum(1 for key in keys if key in case.posted and case.posted[key].acknowledged),
        lost=len(keys & case.lost.keys()),
        doubled=len(keys & case.doubled.keys()),
        unknown=sum(1 for key in keys if (told := case.told(key)) is not None and told.unknown),
        in_order=not keys & case.disordered.keys(),
    )


class _Case:
    """The evidence, put in order."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.posted: Mapping[Key, Posted] = {one.key: one for one in evidence.posted}
        #: Message → place of a part's first word → the rows by which the person got it, in the platform's order.
        self.arrived: dict[Key, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
        self.strangers: list[Row] = []
        for row in evidence.platform:
            if not row.accepted or row.repeat:
                continue
            word = first_word(row.text)
            owner = self.posted.get(word[0]) if word is not None else None
            if word is None or owner is None or (owner.channel, owner.address) != (row.channel, row.address):
                self.strangers.append(row)
            else:
                self.arrived[word[0]][word[1]].append(row)

    def told(self, key: Key) -> Told | None:
        """Return what the gateway says of the message, None when it does not know it or nobody heard its tid."""
        one = self.posted.get(key)
        return self.evidence.messages.get(one.tid) if one is not None and one.tid else None

    def first(self, key: Key) -> int | None:
        """Return the number of the row by which the person first got anything of the message."""
        parts = self.arrived.get(key)
        return min(rows[0].n for rows in parts.values()) if parts else None

    def kill_near(self, row: Row) -> float | None:
        """Return the kill that may have kept the gateway from noting this row's answer."""
        grace = self.evidence.grace
        return next((kill for kill in self.evidence.kills if abs(kill - row.at) <= grace), None)

    def killed_before_hearing(self, told: float) -> bool:
        """Return whether a kill may have kept the gateway from hearing, or noting, what a platform told it then."""
        return any(told <= kill <= told + self.evidence.heard_within for kill in self.evidence.kills)

    def met_by_kill(self, one: Posted) -> bool:
        """Return whether the gateway held the message, or the client its request, when it was killed."""
        known = one.acknowledged
        first = next((row for rows in self.arrived.get(one.key, {}).values() for row in rows), None)
        for kill in self.evidence.kills:
            if any(heard.began <= kill and heard.at >= kill for heard in one.heard):
                return True
            if known is not None and known.at <= kill and (first is None or first.at >= kill - self.evidence.grace):
                return True
        return False

    @cached_property
    def lost(self) -> Found:
        """Acknowledged messages that neither arrived whole nor failed with a reason, and that nobody will send."""
        found: Found = {}
        for one in self.evidence.posted:
            if one.acknowledged is None:
                continue
            told, arrived = self.told(one.key), len(self.arrived.get(one.key, ()))
            if told is None:
                found[one.key] = f"acknowledged as {one.tid}, of which the gateway knows nothing"
            elif told.status < 0:
                if not told.error:
                    found[one.key] = f"ended with {told.status} and no reason"
            elif told.status == 0 and told.reason != AWAITING:
                continue  # it waits still, and says why: «everything ended» is about that
            elif arrived == 0:
                found[one.key] = f"stands at {told.status}, and never arrived"
            elif arrived < told.parts:
                found[one.key] = f"{arrived} of its {told.parts} parts arrived"
        return found

    @cached_property
    def doubled(self) -> dict[Key, tuple[Row, ...]]:
        """Messages of which a part arrived more than once: the rows that were followed by another of the same part."""
        found: dict[Key, tuple[Row, ...]] = {}
        for key, parts in self.arrived.items():
            extra = tuple(row for rows in parts.values() for row in rows[:-1])
            if extra:
                found[key] = extra
        return found

    @cached_property
    def disordered(self) -> Found:
        """Messages that arrived before one of their lane which was acknowledged before they were posted."""
        found: Found = {}
        lanes: dict[tuple[str, str], list[Posted]] = defaultdict(list)
        for one in self.evidence.posted:
            if one.acknowledged is not None and one.key in self.arrived:
                lanes[one.key.lane, one.priority].append(one)
        for lane in lanes.values():
            lane.sort(key=lambda one: one.key.serial)
            before: Posted | None = None
            for one in lane:
                places = self.arrived[one.key]
                if (
                    before is not None
                    and _preceded(before, one)
                    and self._last(before.key) > (self.first(one.key) or 0)
                ):
                    found[one.key] = f"arrived before serial {before.key.serial} of its lane"
                firsts = [places[place][0].n for place in sorted(places)]
                if firsts != sorted(firsts):
                    found[one.key] = "its parts arrived in another order"
                before = one
        return found

    def _last(self, key: Key) -> int:
        """Return the number of the row by which the person first got the last part of the message."""
        return max(rows[0].n for rows in self.arrived[key].values())


def _preceded(before: Posted, one: Posted) -> bool:
    """Return whether *before* was acknowledged when *one* was first posted: only then an order is promised."""
    known = before.acknowledged
    return known is not None and bool(one.heard) and known.at <= one.heard[0].began


# --- the invariants -------------------------------------------------------------------------------------------------------


def _lost(case: _Case) -> Found:
    return case.lost


def _half(case: _Case) -> Found:
    """Find what arrived although the client was told that it was not taken."""
    found: Found = {}
    for one in case.evidence.posted:
        unheard = any(heard.status == NO_ANSWER for heard in one.heard)
        if one.acknowledged is None and one.key in case.arrived and not unheard:
            found[one.key] = f"arrived, and the client was told {sorted({heard.status for heard in one.heard})}"
    return found


def _answers(case: _Case) -> Found:
    found: Found = {}
    for one in case.evidence.posted:
        wrong = {heard.status for heard in one.heard} - {200, NO_ANSWER} - TRY_LATER
        tids = {heard.tid for heard in one.heard if heard.status == 200}
        if wrong:
            found[one.key] = f"answered {sorted(wrong)}"
        elif len(tids) > 1:
            found[one.key] = f"one id, {len(tids)} tids"
    return found


def _doubled_with_key(case: _Case) -> Found:
    return {
        key: f"arrived {len(extra) + 1} times"
        for key, extra in case.doubled.items()
        if case.posted[key].channel == IDEMPOTENT
    }


def _unexplained(case: _Case) -> Found:
    """Find the doubled messages that neither a fault nor a kill explains, or too many that one kill does."""
    found: Found = {}
    by_kill: Counter[float] = Counter()
    for key, extra in case.doubled.items():
        if case.posted[key].channel == IDEMPOTENT:
            continue
        for row in extra:
            if row.fault in ANSWER_LOST:
                continue
            kill = case.kill_near(row)
            if kill is None:
                found[key] = f"row {row.n} was answered {row.status} with no fault and no kill near, and sent again"
                continue
            by_kill[kill] += 1
            if by_kill[kill] > case.evidence.in_flight:
                found[key] = f"more than {case.evidence.in_flight} parts doubled by one kill"
    return found


def _unreported(case: _Case) -> Found:
    found: Found = {}
    for key in case.doubled:
        told = case.told(key)
        if told is None or not told.unknown:
            found[key] = "arrived more than once, and the gateway does not say so"
    return found


def _disordered(case: _Case) -> Found:
    return case.disordered


def _unsettled(case: _Case) -> Found:
    return {
        one.key: f"still 0: {told.reason or 'no reason given'}"
        for one in case.evidence.posted
        if (told := case.told(one.key)) is not None and told.status == 0 and told.reason != AWAITING
    }


def _backward(case: _Case) -> Found:
    """Find histories with a step that the contract does not have.

    Two steps back are the contract's own: proof that a part did leave corrects outcome_unknown, and a receipt of delivery
    corrects a failure that was reported too early.
    """
    found: Found = {}
    for one in case.evidence.posted:
        told = case.told(one.key)
        if told is None:
            continue
        at = 0
        for change in told.history:
            corrected = change.previous in (-2, -3) and change.status > 0
            if change.previous != at or ((change.previous, change.status) not in _FORWARD and not corrected):
                found[one.key] = f"{change.previous} → {change.status} after {at}"
            at = change.status
        if at != told.status:
            found[one.key] = f"its history ends with {at}, and it stands at {told.status}"
    return found


def _untrue(case: _Case) -> Found:
    """Find what is said to be sent and never arrived, or said to have failed for certain and did arrive whole."""
    found: Found = {}
    for one in case.evidence.posted:
        told = case.told(one.key)
        if told is None:
            continue
        arrived = len(case.arrived.get(one.key, ()))
        if told.status > 0 and arrived < max(1, told.parts):
            found[one.key] = f"said to be {told.status}; {arrived} of {told.parts} parts arrived"
        elif told.status < 0 and arrived and arrived >= told.parts and told.error != UNKNOWN:
            found[one.key] = f"said to be {told.status} ({told.error}), and arrived"
    return found


def _early(case: _Case) -> Found:
    """Find the requests that came before a wait was over of which the gateway could know."""
    found: Found = {}
    named: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in case.evidence.platform:
        until = row.at + row.wait
        if not row.early:
            if row.wait > 0:
                named[row.channel].append((row.at, until))
            continue
        # What is left is named in whole seconds, rounded up. Where two waits may be meant, the later one is.
        ends = until - 1.0 - SAME_END, until + SAME_END
        told = max((at for at, end in named[row.channel] if ends[0] <= end <= ends[1]), default=-math.inf)
        if row.at > told + case.evidence.heard_within and not case.killed_before_hearing(told):
            found[Key(row.channel, row.n)] = (
                f"{row.at - told:.2f} s after a wait was named that had {row.wait:.2f} s left"
            )
    return found


def _strangers(case: _Case) -> Found:
    return {Key(row.channel, row.n): f"arrived on {row.channel}, and nobody posted it so" for row in case.strangers}


# --- their figures --------------------------------------------------------------------------------------------------------


def _acknowledged(case: _Case) -> str:
    posted = case.evidence.posted
    acknowledged = sum(1 for one in posted if one.acknowledged)
    failed = sum(1 for told in case.evidence.messages.values() if told.status < 0)
    return f"{len(posted):,} posted, {acknowledged:,} acknowledged, {failed:,} of these failed with a reason"


def _unanswered(case: _Case) -> str:
    without = [one for one in case.evidence.posted if one.acknowledged is None]
    arrived = sum(1 for one in without if one.key in case.arrived)
    return f"{len(without):,} never acknowledged, {arrived:,} of these arrived, each after a request without an answer"


def _repeats(case: _Case) -> str:
    known = sum(1 for row in case.evidence.platform if row.repeat)
    return f"{known:,} repeats that the platform knew by their key"


def _doubles(case: _Case) -> str:
    extra = [row for key, rows in case.doubled.items() if case.posted[key].channel != IDEMPOTENT for row in rows]
    by_fault = sum(1 for row in extra if row.fault in ANSWER_LOST)
    at_kill = len(extra) - by_fault
    return f"{len(extra):,} parts arrived again: {by_fault:,} after a fault of the platform, {at_kill:,} at a kill"


def _reported(case: _Case) -> str:
    unknown = sum(1 for told in case.evidence.messages.values() if told.unknown)
    return f"{len(case.doubled):,} messages doubled; {unknown:,} are reported as unknown or perhaps doubled"


def _lanes(case: _Case) -> str:
    return f"{len({one.key.lane for one in case.evidence.posted}):,} lanes"


def _waiting(case: _Case) -> str:
    waiting = sum(1 for told in case.evidence.messages.values() if told.reason == AWAITING and told.status == 0)
    return f"{waiting:,} left and wait for a receipt"


def _requests(case: _Case) -> str:
    return f"{len(case.evidence.platform):,} requests came to the platforms"


def _waits(case: _Case) -> str:
    named = sum(1 for row in case.evidence.platform if row.wait > 0 and not row.early)
    crossed = sum(1 for row in case.evidence.platform if row.early)
    return f"{named:,} waits named, {crossed:,} requests had left before theirs was heard"


_INVARIANTS: Final[tuple[tuple[str, Callable[[_Case], Found], str | Callable[[_Case], str]], ...]] = (
    ("nothing acknowledged is lost", _lost, _acknowledged),
    ("nothing is half taken", _half, _unanswered),
    ("every answer is 200, 429 or 503, and one id has one tid", _answers, "no other answer was heard"),
    ("nothing is doubled where the platform has a key", _doubled_with_key, _repeats),
    ("elsewhere each double is explained", _unexplained, _doubles),
    ("each double is reported", _unreported, _reported),
    ("order is kept in every lane", _disordered, _lanes),
    ("everything ended", _unsettled, _waiting),
    ("statuses only go forward", _backward, "every history read"),
    ("statuses are true", _untrue, "every status held against the platforms' ledger"),
    ("no request before a named wait is over", _early, _waits),
    ("nothing arrives that nobody posted", _strangers, _requests),
)


def _verdict(name: str, found: Found, detail: str) -> Verdict:
    examples = tuple(_examples(found))
    if found:
        return Verdict(name, holds=False, detail=f"{len(found):,} violations", broken=len(found), examples=examples)
    return Verdict(name, holds=True, detail=detail)


def _examples(found: Found) -> Iterator[str]:
    for number, (key, sentence) in enumerate(sorted(found.items())):
        if number == EXAMPLES:
            return
        yield f"{key.lane}-{key.serial}: {sentence}"
