"""Walking back through messages, newest first, along an index and within a budget.

What :mod:`kurir.store.operations.search` looks for is found here: along a road (an index, or the table's own order), or among
messages that are known by their numbers. Each look says down to which message it came.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, Final

from kurir.store.database import Database
from kurir.store.looking import Search
from kurir.store.operations import rows, words
from kurir.store.operations.words import WordIndex

#: Rows that a page looks at, at most: where only the row is looked at, and where what the message says has to be read.
BUDGET: Final = 50_000
WORDS_BUDGET: Final = 3_000
#: Most pages are full after few rows, and need not look for the end of so many.
FIRST: Final = 1_000
#: Rows that are read by number at once. Lists are filled up to one of these lengths, so that there are few statements.
_LENGTHS: Final = (1, 8, 50, 200)
#: By so much the clocks of those who accept may differ, in microseconds.
_SLACK: Final = 10 * 60 * 1_000_000
#: Rows by which it is told when messages of some number were accepted, and so many where all of them were queued again.
_SAMPLE: Final = 50
_LARGE_SAMPLE: Final = 5_000
_BODIES: Final = "SELECT seq, body FROM content WHERE seq IN ({seqs})"
_NEWEST: Final = "SELECT seq FROM message WHERE seq < ? ORDER BY seq DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Where:
    """A condition, and its values."""

    text: str
    values: tuple[Any, ...] = ()

    def __add__(self, other: "Where") -> "Where":
        return Where(f"{self.text} AND {other.text}", self.values + other.values)


@dataclass(frozen=True, slots=True)
class Road:
    """Messages in the order of an index: its hint for SQLite, "" for the table's own order, and what leads along it."""

    hint: str
    where: Where


EVERYTHING: Final = Road("", Where("1 = 1"))


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found at a place: rows, newest first, and the seq down to which (included) it was looked."""

    found: list[rows.Row]
    down_to: int


@dataclass(frozen=True, slots=True)
class Quest:
    """A search under way. ``select`` begins the statement that reads a row; its first column is the seq."""

    db: Database
    wanted: Search
    select: str
    kept: Where
    needles: tuple[str, ...]
    index: WordIndex
    leaps: bool = False  # over what was accepted too late, since whatever else is there is looked at elsewhere

    @property
    def floor(self) -> int:
        """The lowest seq that is looked at."""
        return (self.wanted.after_seq or 0) + 1

    @property
    def budget(self) -> int:
        """Rows that may be looked at."""
        return WORDS_BUDGET if self.needles else BUDGET


def one_of(column: str, values: Sequence[Any]) -> Where:
    """Return that *column* is one of *values*, of which there is at least one."""
    listed, each = filled(values)
    return Where(f"{column} IN ({listed})", each)


def filled(values: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """Return question marks for *values*, and these, filled up with the last one to one of few lengths."""
    length = next((length for length in _LENGTHS if length >= len(values)), len(values))
    filled = (*values, *repeat(values[-1], length - len(values)))
    return ", ".join("?" * length), filled


def walk(quest: Quest, road: Road, before: int, limit: int, budget: int) -> Looked:
    """Walk back along *road*, until *limit* rows are found or *budget* rows were looked at."""
    hint = f"INDEXED BY {road.hint} " if road.hint else ""
    found: list[rows.Row] = []
    before = beginning(quest, road, before)
    for size in (min(FIRST, budget), budget - FIRST):
        if size <= 0:
            break
        window = road.where + Where("seq >= ? AND seq < ?", (quest.floor, before))
        last = quest.db.execute(
            f"SELECT seq FROM message {hint}WHERE {window.text} ORDER BY seq DESC LIMIT 1 OFFSET ?",  # noqa: S608 -- pieces of our own
            (*window.values, size - 1),
        ).fetchone()
        down_to = quest.floor if last is None else int(last[0])
        window = road.where + Where("seq >= ? AND seq < ?", (down_to, before)) + quest.kept
        statement = f"{quest.select}{hint}WHERE {window.text} ORDER BY seq DESC"
        if not quest.needles:
            statement, window = f"{statement} LIMIT ?", replace(window, values=(*window.values, limit - len(found)))
        for row in _saying(quest, quest.db.execute(statement, window.values)):
            found.append(row)
            if len(found) == limit:
                return Looked(found, row[0])
        if last is None or is_all_older(quest, road, down_to):
            return Looked(found, quest.floor)
        before = down_to
    return Looked(found, before)


def is_all_older(quest: Quest, road: Road, seq: int) -> bool:
    """Return whether whatever lies below *seq* was accepted before what is asked for.

    A number is given when a message is accepted, or anew when it is queued again: so of some messages in a row that were not,
    the one that was accepted last tells when their numbers were given, but for the clocks.
    """
    if quest.wanted.since is None:
        return False
    given_at = _given_at(quest, road, seq)
    return given_at is not None and given_at < rows.micros(quest.wanted.since) - _SLACK


def beginning(quest: Quest, road: Road, before: int) -> int:
    """Return below which number to begin, where a quest may leap over what was accepted too late."""
    if not quest.leaps or quest.wanted.until is None:
        return before
    until = rows.micros(quest.wanted.until) + _SLACK
    newest = quest.db.execute(_NEWEST, (before,)).fetchone()
    if newest is None or (_given_at(quest, road, newest[0]) or 0) <= until:
        return before
    low, high = quest.floor - 1, int(newest[0])  # at high everything is too late, at low it is not
    while high - low > FIRST:
        middle = (low + high) // 2
        if (_given_at(quest, road, middle) or 0) > until:
            high = middle
        else:
            low = middle
    return high


def _given_at(quest: Quest, road: Road, seq: int) -> int | None:
    """Return when numbers of about *seq* were given: 0 where there are none on the road, None where nobody can tell."""
    window = road.where + Where("seq <= ? AND seq >= ?", (seq, quest.floor))
    hint = f"INDEXED BY {road.hint} " if road.hint else ""
    statement = f"SELECT accepted_at, run FROM message {hint}WHERE {window.text} ORDER BY seq DESC LIMIT ?"  # noqa: S608 -- pieces of our own
    for size in (_SAMPLE, _LARGE_SAMPLE):
        sample = quest.db.execute(statement, (*window.values, size)).fetchall()
        first_runs = [int(at) for at, run in sample if run == 1]
        if first_runs or not sample:
            return max(first_runs, default=0)
    return None


def among(quest: Quest, seqs: Sequence[int], down_to: int, before: int, limit: int) -> Looked:
    """Look at the messages *seqs*, newest first, which are all that there may be from *down_to* on."""
    found: list[rows.Row] = []
    for row in _saying(quest, _rows_of(quest, [seq for seq in seqs if quest.floor <= seq < before])):
        found.append(row)
        if len(found) == limit:
            return Looked(found, row[0])
    return Looked(found, down_to)


def _rows_of(quest: Quest, seqs: Sequence[int]) -> Iterator[rows.Row]:
    """Yield the rows of *seqs* that the conditions let through, in their order."""
    for numbers in _pieces(seqs):
        window = one_of("seq", numbers) + quest.kept
        statement = f"{quest.select}WHERE {window.text} ORDER BY seq DESC"
        yield from quest.db.execute(statement, window.values).fetchall()


def _saying(quest: Quest, found: Iterable[rows.Row]) -> Iterator[rows.Row]:
    """Yield the rows whose messages say all the words."""
    if not quest.needles:
        yield from found
        return
    for some in _pieces(list(found)):
        said = dict(bodies(quest.db, [row[0] for row in some]))
        for row in some:
            text = words.words_of(said.get(row[0], b""))
            if all(needle in text for needle in quest.needles):
                yield row


def bodies(db: Database, seqs: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Yield what messages say, each with its seq."""
    for numbers in _pieces(seqs):
        listed, values = filled(numbers)
        yield from db.execute(_BODIES.replace("{seqs}", listed), values).fetchall()


def _pieces(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield *values* a few at a time, and then more: whoever asks may need no more than the first."""
    done, size = 0, _LENGTHS[-2]
    while done < len(values):
        yield values[done : done + size]
        done, size = done + size, _LENGTHS[-1]
