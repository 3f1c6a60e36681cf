"""What became of a message, entry by entry, in the order in which the gateway came to know of it. Pure.

A receipt tells when something happened, by the platform's clock, and may come late or before an earlier one: so an entry has
both times. Statuses that the store kept and attempts that delivery made are put into one row here.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from kurir.console import masking
from kurir.domain.status import Status
from kurir.store.base import AttemptRecord, ErrorRecord, MessageRecord
from kurir.store.looking import Step, Story

#: Times that differ by less are one: platforms tell whole seconds.
_SAME: Final = timedelta(seconds=1)
#: An outcome is written so soon after its answer.
_AT_ONCE: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened to a message.

    ``kind``: accepted, scheduled, attempt, status. ``at`` is when the gateway knew of it, ``occurred`` when it happened where
    that is another time. ``after`` is how long after the entry before. ``number`` counts the attempts of a part in a run;
    ``by`` says who told a status: answer, receipt or gateway. ``raw`` is what is known of it, as JSON.
    """

    kind: str
    at: datetime
    raw: dict[str, Any]
    occurred: datetime | None = None
    after: timedelta | None = None
    number: int = 0
    attempt: AttemptRecord | None = None
    step: Step | None = None
    by: str = ""
    anew: int = 0


def timeline(story: Story, *, masked: bool = False) -> tuple[Entry, ...]:
    """Return what became of the message of *story*, first things first.

    *masked*: what is raw says neither whom it was to nor what it said.
    """
    message = story.message
    entries = [Entry("accepted", message.accepted_at, _accepted(message))]
    if message.due_at > message.accepted_at:
        entries.append(Entry("scheduled", message.accepted_at, {"due_at": message.due_at}))
    steps = [_status(step, message, masked=masked) for step in story.steps]
    later = [*_attempts(message, masked=masked), *steps]
    later.sort(key=lambda one: (_end(one), one.kind != "attempt"))
    return _with_gaps([*entries, *later])


def _accepted(message: MessageRecord) -> dict[str, Any]:
    return {
        "tid": message.tid,
        "id": message.message_id,
        "client": message.client_id,
        "account": message.account_id,
        "priority": message.priority.value,
        "accepted_at": message.accepted_at,
        "due_at": message.due_at,
        "expires_at": message.expires_at,
    }


def _attempts(message: MessageRecord, *, masked: bool) -> list[Entry]:
    counted: dict[tuple[int, int], int] = {}
    entries, run = [], 1
    for one in message.attempts:
        number = counted[one.run, one.part] = counted.get((one.run, one.part), 0) + 1
        raw: dict[str, Any] = {
            "run": one.run,
            "part": one.part,
            "at": one.at,
            "duration_ms": one.duration_ms,
            "outcome": one.outcome,
            "counted": one.counted,
            "code": one.code,
            "reason": masking.loose(one.reason) if masked else one.reason,
            "http_status": one.status,
        }
        if not masked and one.request:
            raw |= {"request": _read(one.request), "answer": {"headers": _read(one.headers), "body": _read(one.body)}}
        anew, run = one.run if one.run != run else 0, one.run
        entries.append(Entry("attempt", one.at, raw, number=number, attempt=one, anew=anew))
    return entries


def _read(text: str | bytes) -> Any:
    """Return the value of JSON, and other text as it is."""
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    try:
        return json.loads(plain)
    except ValueError:
        return plain


def _status(step: Step, message: MessageRecord, *, masked: bool) -> Entry:
    event = step.event
    raw = {
        "status": int(event.status),
        "previous": int(event.previous),
        "occurred_at": event.at,
        "received_at": step.kept_at,
        "provider_message_id": masking.phone(step.provider_message_id) if masked else step.provider_message_id,
        "error": _error(event.error, masked=masked),
    }
    occurred = event.at if abs(step.kept_at - event.at) >= _SAME else None
    return Entry("status", step.kept_at, raw, occurred=occurred, step=step, by=_by(step, message))


def _error(error: ErrorRecord | None, *, masked: bool) -> dict[str, str] | None:
    if error is None:
        return None
    detail = masking.loose(error.detail) if masked else error.detail
    return {"code": error.code, "detail": detail, "provider_code": error.provider_code}


def _by(step: Step, message: MessageRecord) -> str:
    """Return who told a status: the platform's answer, its receipt, or nobody but the gateway."""
    event = step.event
    if any(part.answered_at == event.at for part in message.parts):
        return "answer"
    for one in message.attempts:
        since = event.at - one.at
        at_once = timedelta(0) <= since <= timedelta(milliseconds=one.duration_ms) + _AT_ONCE
        if event.error is not None and one.code == event.error.code and at_once:
            return "answer" if one.status else "gateway"
    if event.status < Status.PENDING and (event.error is None or not event.error.provider_code):
        return "gateway"
    return "receipt"


def _end(entry: Entry) -> datetime:
    took = entry.attempt.duration_ms if entry.attempt is not None else 0
    return entry.at + timedelta(milliseconds=took)


def _with_gaps(entries: list[Entry]) -> tuple[Entry, ...]:
    found: list[Entry] = []
    before: datetime | None = None
    for one in entries:
        after = None if before is None else max(one.at - before, timedelta(0))
        found.append(replace(one, after=after))
        before = _end(one)
    return tuple(found)
