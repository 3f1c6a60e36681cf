"""The words of setting an account up and of looking what is wrong with it, which the channels' ``setup`` modules share.

A set-up is a talk: it asks the platform, and what it asks next depends on the answer. It is written as a generator that
yields calls and is sent answers, so that the channel stays free of I/O and a test answers as it likes. Whoever drives it
(``kurir.connect``) makes the calls.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias, TypeVar

from kurir.channels.base import Answer, Call, JsonObject, NoAnswer
from kurir.channels.text import storable

#: The longest text of a platform's that is shown, in characters.
LONGEST_WORDS: Final = 300


class Level(StrEnum):
    """How much a finding weighs: WRONG keeps the account from working, a NOTE is worth knowing."""

    WRONG = "wrong"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: a stable *code*, what it is in one sentence, and what to do about it."""

    level: Level
    code: str
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the account is at the platform: its id there, its name, and its handle as people know it ("@shop_bot")."""

    id: str
    name: str = ""
    handle: str = ""


@dataclass(frozen=True, slots=True)
class Paste:
    """What has to be put by hand where the platform offers no call: *where* it goes, which *field*, and the *value*."""

    where: str
    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Site:
    """Where the gateway can be called. ``webhook_url`` is the account's, "" where nobody knows it.

    ``answers``: whether the gateway answers at its public address at this moment, None where that was not tried.
    """

    webhook_url: str
    answers: bool | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a talk found. ``facts`` are (name, value) pairs to be shown, ``done`` what it changed at the platform.

    ``reached``: the platform told that it reaches the webhook, which says more than any look from here.
    """

    identity: Identity | None = None
    findings: tuple[Finding, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    done: tuple[str, ...] = ()
    pastes: tuple[Paste, ...] = ()
    reached: bool = False

    @property
    def wrong(self) -> bool:
        """Whether something keeps the account from working."""
        return any(one.level is Level.WRONG for one in self.findings)


_T = TypeVar("_T")
#: A talk with a platform: it yields calls, is sent their answers, and returns what came of it.
Talk: TypeAlias = Generator[Call, Answer | NoAnswer, _T]


class Query(Call):
    """A call without a body: what is asked for by GET."""

    def body(self) -> bytes:
        """Return no bytes."""
        return b""


def query(url: str, headers: tuple[tuple[str, str], ...] = ()) -> Query:
    """Return a GET of *url*."""
    return Query(1, "GET", url, headers, {})


def wrong(code: str, detail: str, fix: str = "") -> Finding:
    """Return a finding that keeps the account from working."""
    return Finding(Level.WRONG, code, detail, fix)


def note(code: str, detail: str, fix: str = "") -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(Level.NOTE, code, detail, fix)


def not_reached(platform: str, answer: NoAnswer) -> Finding:
    """Return the finding for a platform that gave no answer."""
    detail = f"{platform} was not reached: {words(answer.reason)}"
    return wrong("not_reached", detail, "check api_base, this machine's network and its name resolution")


def trouble(platform: str, answer: Answer, said: str) -> Finding:
    """Return the finding for an answer that says nothing of the account: a fault, a rate limit, a page of a proxy."""
    detail = f"{platform} answered {answer.status}{': ' + words(said) if said else ''}"
    if answer.status == 429 or answer.status >= 500:
        return wrong("platform_trouble", detail, "try again in a minute")
    return wrong("not_understood", detail, "check that api_base is the platform's")


def words(value: object) -> str:
    """Return a platform's text fit to be shown and stored: one line, at most 300 characters; "" for anything else."""
    return storable(" ".join(value.split()))[:LONGEST_WORDS] if isinstance(value, str) else ""


def member(value: object, name: str) -> JsonObject:
    """Return the object *name* of *value*; {} where there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def objects(value: object, name: str) -> list[JsonObject]:
    """Return the objects in the list *name* of *value*; [] where there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def text(value: Mapping[str, Any], name: str) -> str:
    """Return the text *name* of *value*, also of a number; "" where there is none."""
    found = value.get(name)
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return words(found)


def count(value: Mapping[str, Any], name: str) -> int | None:
    """Return the whole number *name* of *value*, None where there is none or it is below 0."""
    found = value.get(name)
    good = isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 2**63
    return found if good else None
