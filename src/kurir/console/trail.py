"""The audit as people read it: what changed in each entry, and its rows for a file. Pure."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kurir.console.auditing import ACTIONS, ADMINISTRATOR
from kurir.store.access import AuditFilter, AuditRecord

#: What things are, as the filter offers them.
KINDS: Final = (
    "user",
    "client",
    "account",
    "message",
    "contact",
    "endpoint",
    "webhook",
    "request",
    "list",
    "audit",
    "sandbox",
)
WAYS: Final = ("console", "api")
COLUMNS: Final = (
    "number",
    "at",
    "actor",
    "via",
    "address",
    "action",
    "kind",
    "subject",
    "client_id",
    "before",
    "after",
)
#: Characters by which a spreadsheet takes a cell for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True, slots=True)
class Change:
    """A member of what was changed: its value before and after, None where there was none."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as the page shows it."""

    record: AuditRecord
    words: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which entries the address asks for; "" lets all through."""

    actor: str = ""
    action: str = ""
    kind: str = ""
    subject: str = ""
    via: str = ""

    def filter(self, client_ids: tuple[str, ...] | None, before: int | None) -> AuditFilter:
        """Return what to ask the store for."""
        return AuditFilter(
            client_ids=client_ids,
            actor=self.actor or None,
            action=self.action or None,
            kind=self.kind or None,
            subject=self.subject or None,
            via=self.via or None,
            before=before,
        )

    def given(self) -> dict[str, str]:
        """Return the parameters that narrow."""
        parts = {name: getattr(self, name) for name in ("actor", "action", "kind", "subject", "via")}
        return {name: value for name, value in parts.items() if value}


def asked(parameters: Mapping[str, str]) -> Asked:
    """Return what the address asks for."""
    return Asked(**{name: parameters.get(name, "")[:300] for name in ("actor", "action", "kind", "subject", "via")})


def entry(record: AuditRecord) -> Entry:
    """Return an entry of the audit with what it changed."""
    return Entry(record, ACTIONS.get(record.action, record.action), changes(record.before, record.after))


def changes(before: str, after: str) -> tuple[Change, ...]:
    """Return the members that differ, in the order of what was after; objects inside by their path."""
    was, now = _flat(before), _flat(after)
    names = [
        name for name in dict.fromkeys((*now, *was)) if name != "session"
    ]  # it binds entries to a browser: no news
    return tuple(Change(name, was.get(name), now.get(name)) for name in names if was.get(name) != now.get(name))


def _flat(text: str) -> dict[str, str]:
    try:
        value = json.loads(text)
    except ValueError:
        return {"": text}
    found: dict[str, str] = {}
    _collect("", value, found)
    return found


def _collect(name: str, value: Any, found: dict[str, str]) -> None:
    if isinstance(value, dict) and (value or not name):
        for key, inner in value.items():
            _collect(f"{name}.{key}" if name else str(key), inner, found)
    else:
        found[name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def who(record: AuditRecord) -> str:
    """Return who did it, "" for somebody who is not known."""
    return record.actor or (ADMINISTRATOR if record.via == "api" else "")


def csv_lines(records: Sequence[AuditRecord], *, head: bool) -> str:
    """Return entries as CSV (RFC 4180), with the names of the columns before them where it is the *head*."""
    out = io.StringIO()
    writer = csv.writer(out)
    if head:
        writer.writerow(COLUMNS)
    writer.writerows([_cell(value) for value in _values(one)] for one in records)
    return out.getvalue()


def json_lines(records: Sequence[AuditRecord]) -> str:
    """Return entries as JSON, one a line."""
    return "".join(json.dumps(_object(one), ensure_ascii=False) + "\n" for one in records)


def _values(record: AuditRecord) -> list[str]:
    return [str(getattr(record, name)) if name != "at" else record.at.isoformat() for name in COLUMNS]


def _object(record: AuditRecord) -> dict[str, Any]:
    plain = dict(zip(COLUMNS, _values(record), strict=True))
    return plain | {
        "number": record.number,
        "before": json.loads(record.before),
        "after": json.loads(record.after),
    }


def _cell(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value
