"""Requests of the log as pages show them: groups by error, rows, and a body with the wrong fields marked. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from kurir.console import masking
from kurir.console.requests import KEPT_BODY, NOT_KEPT_CODE
from kurir.console.words import mark
from kurir.domain.errors import ERRORS, ErrorEntry
from kurir.domain.problem import Problem, pointer
from kurir.store.access import RequestFilter, RequestGroup, RequestRecord

#: How far back groups look: the address's word → its length.
RANGES: Final = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7), "14d": timedelta(14)}
RANGE_NAMES: Final = {
    "1h": mark("1 hour"),
    "24h": mark("24 hours"),
    "7d": mark("7 days"),
    "14d": mark("14 days"),
}
#: The statuses that the filter offers.
STATUSES: Final = (200, 400, 401, 403, 404, 409, 422, 429, 503)


@dataclass(frozen=True, slots=True)
class Group:
    """Requests that were refused for one reason, with what to do about it."""

    group: RequestGroup
    entry: ErrorEntry | None


@dataclass(frozen=True, slots=True)
class Asked:
    """Which requests the address asks for; "" lets all through."""

    client: str = ""
    code: str = ""
    status: str = ""

    def filter(self, client_ids: tuple[str, ...] | None, before: int | None) -> RequestFilter:
        """Return what to ask the store for: of the clients that the visitor may see, those that are asked for."""
        whose = client_ids
        if self.client:
            wanted = "" if self.client == "-" else self.client
            whose = (wanted,) if client_ids is None or wanted in client_ids else ()
        status = int(self.status) if self.status in {str(one) for one in STATUSES} else None
        return RequestFilter(client_ids=whose, code=self.code or None, status=status, before=before)

    def given(self) -> dict[str, str]:
        """Return the parameters that narrow."""
        parts = {"client": self.client, "code": self.code, "status": self.status}
        return {name: value for name, value in parts.items() if value}


@dataclass(frozen=True, slots=True)
class Row:
    """A request as a list shows it. ``opens`` is its id, "" where it has no page of its own."""

    record: RequestRecord
    path: str
    detail: str
    opens: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a body: its text, and what is wrong with the field that stands there."""

    text: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """A request as its page shows it. ``cut``: the body was longer than what the log keeps."""

    record: RequestRecord
    path: str
    detail: str
    entry: ErrorEntry | None
    problems: tuple[Problem, ...]
    lines: tuple[Line, ...]
    cut: bool


def asked(parameters: Mapping[str, str]) -> Asked:
    """Return what the address asks for."""
    return Asked(**{name: parameters.get(name, "")[:100] for name in ("client", "code", "status")})


def groups(found: Sequence[RequestGroup]) -> list[Group]:
    """Return the groups with what to do about each."""
    return [Group(one, ERRORS.get(one.code)) for one in found]


def row(record: RequestRecord, *, masked: bool) -> Row:
    """Return a request for a list."""
    hide = masking.loose if masked else str
    opens = record.request_id if record.code != NOT_KEPT_CODE else ""
    return Row(record, hide(record.path), hide(record.detail), opens)


def shown(record: RequestRecord, *, masked: bool) -> Shown:
    """Return a request for its page; *masked*: without anything that was typed into it."""
    hide = masking.loose if masked else str
    problems = tuple(Problem(one.pointer, one.code, hide(one.detail)) for one in record.problems)
    return Shown(
        record=record,
        path=hide(record.path),
        detail=hide(record.detail),
        entry=ERRORS.get(record.code),
        problems=problems,
        lines=body_lines(record.body, problems, masked=masked),
        cut=len(record.body.encode()) >= KEPT_BODY,
    )


def body_lines(body: str, problems: Sequence[Problem], *, masked: bool) -> tuple[Line, ...]:
    """Return a body line by line, each problem at the line of its field: a missing field's at that of what should have it.

    A body that is no JSON, or is cut, stays as it is; masked, it is hidden whole.
    """
    if not body:
        return ()
    try:
        value = json.loads(body)
    except ValueError:
        return (Line(masking.HIDDEN),) if masked else tuple(Line(one) for one in body.splitlines())
    lines: list[tuple[str, str]] = []
    _write(value, "", "", "", lines, masked=masked)
    places = {where: number for number, (where, _) in reversed(list(enumerate(lines))) if where is not None}
    told: dict[int, list[Problem]] = {}
    for one in problems:
        where = one.pointer
        while where not in places:
            where = where.rpartition("/")[0]
        told.setdefault(places[where], []).append(one)
    return tuple(Line(text, tuple(told.get(number, ()))) for number, (_, text) in enumerate(lines))


def _write(
    value: Any, where: str, indent: str, before: str, lines: list[tuple[str, str]], *, masked: bool, after: str = ""
) -> None:
    """Write JSON as people read it, each line with the pointer of what begins on it."""
    if isinstance(value, dict) and value:
        lines.append((where, f"{indent}{before}{{"))
        for place, (key, inner) in enumerate(value.items()):
            comma = "," if place < len(value) - 1 else ""
            name = json.dumps(key, ensure_ascii=False)
            _write(inner, where + pointer(key), f"{indent}  ", f"{name}: ", lines, masked=masked, after=comma)
        lines.append((where, f"{indent}}}{after}"))
    elif isinstance(value, list) and value:
        lines.append((where, f"{indent}{before}["))
        for place, inner in enumerate(value):
            comma = "," if place < len(value) - 1 else ""
            _write(inner, where + pointer(place), f"{indent}  ", "", lines, masked=masked, after=comma)
        lines.append((where, f"{indent}]{after}"))
    else:
        hidden = masked and value not in (None, True, False, "", [], {})
        text = f'"{masking.HIDDEN}"' if hidden else json.dumps(value, ensure_ascii=False)
        lines.append((where, f"{indent}{before}{text}{after}"))
