"""What the three sides of a run wrote down: the client, the platforms, and the gateway.

Every message that a run posts names itself in its text: a lane, a serial number, and for each word its place, such as
``L17-4.0 L17-4.1``. So a row of the platforms' ledger tells which message it is of, and which part of it, without asking
the gateway. Times are unix seconds of one machine's clock.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeAlias

#: Statuses by which the gateway asks a client to try again: it took nothing.
TRY_LATER: Final = frozenset({429, 503})
NO_ANSWER: Final = 0

_WORD: Final = re.compile(r"(L[0-9]+)-([0-9]+)\.([0-9]+)(?: |$)")


class Key(NamedTuple):
    """A message of a run: its lane, and its place among the messages of the lane."""

    lane: str
    serial: int


def words(key: Key, count: int) -> str:
    """Return a text of *count* words that name the message and their own place."""
    return " ".join(f"{key.lane}-{key.serial}.{place}" for place in range(count))


def first_word(text: str) -> tuple[Key, int] | None:
    """Return (the message that *text* is of, the place of its first word), or None when it is of none.

    The first whole word counts, since a platform's limit may cut a text within a word.
    """
    found = _WORD.search(text)
    return None if found is None else (Key(found[1], int(found[2])), int(found[3]))


@dataclass(frozen=True, slots=True)
class Heard:
    """What the client heard of one request: the HTTP status, or NO_ANSWER, and the tid of a 200."""

    began: float
    at: float
    status: int
    tid: str = ""


@dataclass(slots=True)
class Posted:
    """A message that the client posted, with what it heard each time. *priority* is "" for the default."""

    key: Key
    channel: str
    address: str
    message_id: str
    priority: str = ""
    heard: list[Heard] = field(default_factory=list)

    @property
    def acknowledged(self) -> Heard | None:
        """The first 200."""
        return next((one for one in self.heard if one.status == 200), None)

    @property
    def tid(self) -> str:
        """The tid of the first 200, "" without one."""
        return self.acknowledged.tid if self.acknowledged else ""


@dataclass(frozen=True, slots=True)
class Row:
    """What a platform received once on an endpoint that sends. *status* is 0 where it gave no answer.

    *accepted*: the person has it. *fault*: what the sandbox did on purpose, "" nothing. *early*: it came before a wait
    that the platform named was over. *wait*: the seconds that its answer named. *repeat*: LINE knew its retry key.
    """

    n: int
    at: float
    channel: str
    address: str
    accepted: bool
    status: int = 200
    fault: str = ""
    early: bool = False
    wait: float = 0.0
    repeat: bool = False
    text: str = ""

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """Return a row of the sandbox's ledger as it stands there."""
        return cls(**{name: data[name] for name in cls.__slots__ if name in data})


def rows(path: Path) -> list[Row]:
    """Return the platforms' ledger from the sandbox's file, by number; a last line that is not whole is left out."""
    if not path.exists():
        return []
    lines = path.read_text("utf-8").split("\n")
    return sorted((Row.read(json.loads(line)) for line in lines[:-1]), key=lambda row: row.n)


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt of a message as the gateway tells it."""

    part: int
    outcome: str
    code: str = ""

    @property
    def unknown(self) -> bool:
        """Whether it tells that nobody knows what became of the part, or of an attempt before it."""
        return self.outcome == "unknown" or self.code == "maybe_duplicate"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a message's status as the gateway tells it; *error* is the code, "" without one."""

    previous: int
    status: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """A message as the gateway tells it at the end. *reason* and *error* are codes, "" where there is none."""

    tid: str
    status: int
    reason: str = ""
    error: str = ""
    parts: int = 1
    attempts: tuple[Tried, ...] = ()
    history: tuple[Change, ...] = ()

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """Return a message from the ``data`` of GET /v1/messages/{tid}."""
        return cls(
            tid=data["tid"],
            status=data["status"],
            reason=_code(data["reason"]),
            error=_code(data["error"]),
            parts=len(data["parts"]),
            attempts=tuple(Tried(one["part"], one["outcome"], one["code"]) for one in data["attempts"]),
            history=tuple(Change(one["previous"], one["status"], _code(one["error"])) for one in data["history"]),
        )

    @property
    def unknown(self) -> bool:
        """Whether the gateway says of this message that it may have been sent twice, or that nobody knows."""
        return self.error == "outcome_unknown" or any(attempt.unknown for attempt in self.attempts)


def _code(error: Mapping[str, Any] | None) -> str:
    return "" if error is None else str(error["code"])


Messages: TypeAlias = Mapping[str, Told]
