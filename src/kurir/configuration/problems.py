"""What is wrong with a configuration, all of it at once, each problem with the place it is at.

A place is the TOML path of a key (``clients.acme.accounts[0].token``), or the flag or variable that a value came from.
A sentence never repeats a secret: where a value may be one, only its kind is named.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Final, TypeAlias

#: A path inside the file: keys and list positions.
Path: TypeAlias = tuple[str | int, ...]

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing that is wrong: where, and what was expected there."""

    place: str
    detail: str

    def __str__(self) -> str:
        return f"{self.place}: {self.detail}" if self.place else self.detail


class ConfigError(Exception):
    """The configuration cannot be used. ``problems`` are all that were found, in the order of the file."""

    def __init__(self, source: str, problems: Sequence[ConfigProblem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join([f"{source} has {count}:", *(f"  {problem}" for problem in self.problems)]))


class WrongValueError(ValueError):
    """A value is not what its key takes. The sentence begins with what was expected."""


class WrongItemsError(WrongValueError):
    """Items of a list are not what its key takes: pairs of (position, sentence)."""

    def __init__(self, items: Sequence[tuple[int, str]]) -> None:
        self.items = tuple(items)
        super().__init__("; ".join(f"item {position}: {detail}" for position, detail in items))


def wrong(expected: str, value: object, *, secret: bool = False) -> WrongValueError:
    """Return the error for *value* where *expected* was expected; of a secret only the kind is shown."""
    return WrongValueError(f"expected {expected}, got {kind(value) if secret else shown(value)}")


def shown(value: object) -> str:
    """Return *value* as the file writes it, shortened, or what kind of value it is."""
    match value:
        case str():
            return json.dumps(value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…", ensure_ascii=False)
        case bool():
            return "true" if value else "false"
        case int() | float():
            text = _number(value)
            return text if len(text) <= _SHOWN else kind(value)
        case _:
            return kind(value)


def kind(value: object) -> str:
    """Return what kind of TOML value *value* is, with its article."""
    match value:
        case str():
            return "a string"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a float"
        case datetime() | date() | time():
            return "a date or time"
        case Mapping():
            return "a table"
        case Sequence():
            return "a list"
        case _:
            return "something else"


def dotted(path: Path) -> str:
    """Return *path* as TOML writes it."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            key = step if _BARE_KEY.fullmatch(step) else shown(step)
            text += f".{key}" if text else key
    return text


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a sentence that names the nearest known word, or all of them when none is near."""
    words = list(known)
    near = difflib.get_close_matches(word.lower()[:100], words, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    return "known are: " + ", ".join(words) if words else ""


def _number(value: float) -> str:
    try:
        return str(value)
    except ValueError:
        # Python refuses to print integers of thousands of digits.
        return " " * (_SHOWN + 1)
