"""A CSV file of people, read for ``kurir contact import``: its lines, and in plain words what is wrong with one.

What contradicts itself within the file is found here, since lines are sent several at once, and of two that link one phone
to two addresses nobody could say which wins.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kurir.domain import channel

NEEDED: Final = ("phone", "channel", "address")
COLUMNS: Final = (*NEEDED, "name", "account")
#: The columns of a report: those of the file, so that a mended report can be imported, and what is wrong.
REPORTED: Final = ("line", *COLUMNS, "field", "reason", "fix")

#: What to do about a field that is wrong.
FIXES: Final = {
    "phone": "write the number with its country code, such as 6281234567890",
    "channel": "use whatsapp, telegram, line or messenger",
    "address": "use the channel's own id of the person: a chat id, U and 32 hex digits, a page-scoped id",
    "account": "use the id of an enabled account of this channel, or leave it blank for the default",
    "name": "shorten it or leave it blank",
    "line": "give the line one value for each column, and put a value with a comma or quotation mark in quotation marks",
}

#: What the csv module says → what that means.
_CSV_ERRORS: Final = {
    "unexpected end of data": "a quotation mark is never closed",
    "',' expected after '\"'": "a quotation mark stands inside a value; double it",
    "';' expected after '\"'": "a quotation mark stands inside a value; double it",
}


@dataclass(frozen=True, slots=True)
class Person:
    """A line of the file: its number, counted as an editor does, and the values by column, without blanks around."""

    line: int
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Bad:
    """A line that was not imported: which field is wrong, why, and what to do about it."""

    person: Person
    field: str
    reason: str
    fix: str


@dataclass(slots=True)
class Outcome:
    """What became of a file: how many were linked, the lines that were repeats, and those that are bad."""

    linked: int = 0
    repeats: int = 0
    bad: list[Bad] = field(default_factory=list)
    stopped: str = ""

    @property
    def exit_code(self) -> int:
        """1 where a line was bad, or not all lines were tried."""
        return 1 if self.bad or self.stopped else 0


def read_people(text: str) -> tuple[list[Person], Outcome]:
    """Return the lines of a CSV file that can be sent, and the outcome with those that cannot, and the repeats.

    The first line names the columns; commas or semicolons are between the values. Raises ValueError with the sentence for
    a file that cannot be imported at all.
    """
    if not text.strip():
        raise ValueError(f"it is empty: its first line must name the columns {', '.join(COLUMNS)}")
    first = text.lstrip("\r\n").splitlines()[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    columns: list[str] = []
    people: list[Person] = []
    outcome = Outcome()
    seen = _Seen()
    for line, row in _numbered(text, delimiter):
        if not any(one.strip() for one in row):
            continue
        if not columns:
            columns = _columns(row)
            continue
        values = dict.fromkeys(COLUMNS, "") | {
            name: value.strip() for name, value in zip(columns, row, strict=False) if name in COLUMNS
        }
        person = Person(line, values)
        if len(row) != len(columns):
            reason = f"it has {len(row)} values, and the first line names {len(columns)} columns"
            outcome.bad.append(Bad(person, "line", reason, FIXES["line"]))
            continue
        missing = [name for name in NEEDED if not values[name]]
        if missing:
            reason = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
            outcome.bad.append(Bad(person, missing[0], reason, FIXES[missing[0]]))
            continue
        clash = seen.clash(person)
        if clash is None:
            people.append(person)
        elif clash.reason:
            outcome.bad.append(clash)
        else:
            outcome.repeats += 1
    return people, outcome


def _numbered(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Give each row with the number of its first line. Raises ValueError where the text is not CSV."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for row in rows:
            yield line, row
            line = rows.line_num + 1
    except csv.Error as error:
        reason = _CSV_ERRORS.get(str(error), str(error))
        raise ValueError(f"it is no CSV from line {line} on: {reason}") from None


def _columns(row: Sequence[str]) -> list[str]:
    names = [one.strip().lower() for one in row]
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise ValueError(
            f"its first line must name the columns {', '.join(COLUMNS)} (the last two may be left out); "
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not there"
        )
    unknown = [name for name in names if name not in (*COLUMNS, *REPORTED)]
    if unknown:
        known = ", ".join(COLUMNS)
        raise ValueError(
            f"its first line names «{unknown[0] or 'nothing'}», which is no column; the columns are {known}"
        )
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"its first line names the column {twice[0]} twice")
    return names


class _Seen:
    """What the file said before: of lines that contradict each other, sent at once, nobody could say which wins."""

    def __init__(self) -> None:
        self._by_phone: dict[tuple[str, ...], Person] = {}
        self._by_address: dict[tuple[str, ...], Person] = {}

    def clash(self, person: Person) -> Bad | None:
        """Return why *person* cannot be sent after what came before; with no reason where it only says it again."""
        values = person.values
        where = (channel.canonical(values["channel"]), values["account"])
        phone = (*where, re.sub(r"[^0-9A-Za-z]", "", values["phone"]))
        address = (*where, values["address"].rpartition(":")[2])
        by_phone, by_address = self._by_phone.get(phone), self._by_address.get(address)
        if by_phone is None and by_address is None:
            self._by_phone[phone] = self._by_address[address] = person
            return None
        if by_phone is not None and by_phone is by_address:
            same = by_phone.values["name"] == values["name"]
            reason = "" if same else f"line {by_phone.line} gives the same person another name"
            return Bad(person, "name", reason, f"keep this line or line {by_phone.line}")
        wrong, other = ("phone", "address") if by_phone is not None else ("address", "phone")
        earlier = by_phone or by_address
        assert earlier is not None  # noqa: S101 - one of the two is there
        reason = f"line {earlier.line} gives the same {wrong} another {other}"
        return Bad(person, wrong, reason, f"keep this line or line {earlier.line}")


def write_report(report: Path, bad: Sequence[Bad]) -> None:
    """Write the bad lines, with what is wrong, so that the file can be mended and imported. Raises OSError."""
    with report.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, REPORTED)
        table.writeheader()
        for one in bad:
            told = {"line": one.person.line, "field": one.field, "reason": one.reason, "fix": one.fix}
            table.writerow({**one.person.values, **told})
