"""Rows of either database to the protocol's records, and values to what a column holds.

Each record's columns stand in one SELECT beside the function that reads them, in the same order; those who read rows
add what they look for. Times are integers: microseconds since 1970, UTC.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from kurir.domain.message import Priority
from kurir.domain.problem import Loss
from kurir.domain.status import Status
from kurir.store.base import (
    AccountRecord,
    AttemptRecord,
    ClientRecord,
    ContactRecord,
    EndpointRecord,
    ErrorRecord,
    MessageRecord,
    PartRecord,
    Phase,
    QueuedMessage,
    StatusEvent,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

#: Above every seq.
FOREVER: Final = 2**63 - 1

Row = Sequence[Any]


# --- values ---------------------------------------------------------------------------------------------------------


def micros(moment: datetime) -> int:
    """Return *moment* as a column holds it."""
    return (moment - _EPOCH) // _MICROSECOND


def micros_or_none(moment: datetime | None) -> int | None:
    """Return *moment* as a column holds it, None for None."""
    return None if moment is None else micros(moment)


def moment(value: int) -> datetime:
    """Return the time that a column holds."""
    return _EPOCH + timedelta(microseconds=value)


def moment_or_none(value: int | None) -> datetime | None:
    """Return the time that a column holds, None for None."""
    return None if value is None else moment(value)


def error_columns(error: ErrorRecord | None) -> tuple[str | None, str | None, str | None]:
    """Return the three columns of an error."""
    return (None, None, None) if error is None else (error.code, error.detail, error.provider_code)


def error_or_none(code: str | None, detail: str | None, provider_code: str | None) -> ErrorRecord | None:
    """Return the error that three columns hold."""
    return None if code is None else ErrorRecord(code, detail or "", provider_code or "")


def words_column(words: Iterable[str]) -> str:
    """Return a list of words as JSON."""
    return json.dumps(list(words), ensure_ascii=False)


def words(column: str) -> tuple[str, ...]:
    """Return the words that a column holds."""
    return () if column == "[]" else tuple(json.loads(column))


def losses_column(losses: Sequence[Loss]) -> str | None:
    """Return losses as JSON, None for none."""
    if not losses:
        return None
    return json.dumps([(loss.pointer, loss.kind, loss.detail) for loss in losses], ensure_ascii=False)


def losses(column: str | None) -> tuple[Loss, ...]:
    """Return the losses that a column holds."""
    return () if column is None else tuple(Loss(*item) for item in json.loads(column))


# --- configuration --------------------------------------------------------------------------------------------------

CLIENT: Final = """
SELECT id, username, password_hash, default_region, max_age_seconds, enabled, previous_hash, previous_until,
       allow_from, declared, last_used_at
FROM client
"""


def client(row: Row) -> ClientRecord:
    """Return the client of a row of CLIENT."""
    return ClientRecord(
        id=row[0],
        username=row[1],
        password_hash=row[2],
        default_region=row[3],
        max_age_seconds=row[4],
        enabled=bool(row[5]),
        previous_hash=row[6],
        previous_until=moment_or_none(row[7]),
        allow_from=words(row[8]),
        declared=bool(row[9]),
        last_used_at=moment_or_none(row[10]),
    )


ACCOUNT: Final = """
SELECT id, client_id, channel, api_base, sealed, options, is_default, position, enabled, parked_code,
       parked_reason, parked_at, paused_at, held_since, held_until, held_reason, declared, sealed_at
FROM account
"""


def account(row: Row) -> AccountRecord:
    """Return the account of a row of ACCOUNT."""
    return AccountRecord(
        id=row[0],
        client_id=row[1],
        channel=row[2],
        api_base=row[3],
        sealed=row[4],
        options=row[5],
        is_default=bool(row[6]),
        position=row[7],
        enabled=bool(row[8]),
        parked_code=row[9],
        parked_reason=row[10],
        parked_at=moment_or_none(row[11]),
        paused_at=moment_or_none(row[12]),
        held_since=moment_or_none(row[13]),
        held_until=moment_or_none(row[14]),
        held_reason=row[15],
        declared=bool(row[16]),
        sealed_at=moment(row[17]),
    )


ENDPOINT: Final = """
SELECT client_id, url, dialect, events, sealed, enabled
FROM endpoint
"""


def endpoint(row: Row) -> EndpointRecord:
    """Return the endpoint of a row of ENDPOINT."""
    return EndpointRecord(row[0], row[1], row[2], words(row[3]), row[4], bool(row[5]))


# --- messages -------------------------------------------------------------------------------------------------------

QUEUED: Final = """
SELECT message.seq, tid, client_id, channel, account_id, message_id, recipient, lane, body, priority, run, due_at,
       expires_at, facts, waiting_since, waiting_until, accepted_at, parts_total
FROM message JOIN content ON content.seq = message.seq
"""


def queued(row: Row, parts: tuple[PartRecord, ...]) -> QueuedMessage:
    """Return the queued message of a row of QUEUED."""
    return QueuedMessage(
        seq=row[0],
        tid=row[1],
        client_id=row[2],
        channel=row[3],
        account_id=row[4],
        message_id=row[5],
        recipient=row[6],
        lane=row[7],
        body=row[8],
        priority=Priority(row[9]),
        run=row[10],
        due_at=moment(row[11]) if row[11] > row[16] else None,
        expires_at=moment(row[12]),
        facts=row[13],
        parts=parts,
        waiting_since=moment_or_none(row[14]),
        waiting_until=moment_or_none(row[15]),
    )


PART: Final = """
SELECT number, phase, status, attempts, platform_ids, marked_at, answered_at, again
FROM part
"""


def part(row: Row) -> PartRecord:
    """Return the part of a row of PART."""
    return PartRecord(
        row[0],
        Phase(row[1]),
        None if row[2] is None else Status(row[2]),
        row[3],
        words(row[4]),
        moment_or_none(row[5]),
        moment_or_none(row[6]),
        words(row[7]),
    )


ATTEMPT: Final = """
SELECT part, at, duration_ms, request, status, headers, body, outcome, code, reason, counted, run
FROM attempt
"""
#: The same without what makes an attempt large.
SHORT_ATTEMPT: Final = """
SELECT part, at, duration_ms, '', status, '{}', x'', outcome, code, reason, counted, run
FROM attempt
"""


def attempt(row: Row) -> AttemptRecord:
    """Return the attempt of a row of ATTEMPT or SHORT_ATTEMPT."""
    return AttemptRecord(
        part=row[0],
        at=moment(row[1]),
        duration_ms=row[2],
        request=row[3],
        status=row[4],
        headers=row[5],
        body=row[6],
        outcome=row[7],
        code=row[8],
        reason=row[9],
        counted=bool(row[10]),
        run=row[11],
    )


EVENT: Final = """
SELECT position, status, previous, at, error_code, error_detail, error_provider
FROM event
"""


def event(row: Row, tid: str) -> StatusEvent:
    """Return the event of a row of EVENT about the message *tid*."""
    return StatusEvent(row[0], tid, Status(row[1]), Status(row[2]), moment(row[3]), error_or_none(*row[4:7]))


MESSAGE: Final = """
SELECT seq, tid, client_id, channel, account_id, message_id, recipient, address, type, status, queued, run,
       reason_code, reason_detail, reason_provider, waiting_until, error_code, error_detail, error_provider,
       accepted_at, due_at, expires_at, parts_total, lane, priority
FROM message
"""


def message(row: Row) -> MessageRecord:
    """Return the message of a row of MESSAGE, as lists show it."""
    return MessageRecord(
        seq=row[0],
        tid=row[1],
        client_id=row[2],
        channel=row[3],
        account_id=row[4],
        message_id=row[5],
        recipient=row[6],
        address=row[7],
        type=row[8],
        status=Status(row[9]),
        queued=bool(row[10]),
        run=row[11],
        reason=error_or_none(*row[12:15]),
        waiting_until=moment_or_none(row[15]),
        error=error_or_none(*row[16:19]),
        accepted_at=moment(row[19]),
        due_at=moment(row[20]),
        expires_at=moment(row[21]),
        parts_total=row[22],
        lane=row[23],
        priority=Priority(row[24]),
    )


# --- contacts -------------------------------------------------------------------------------------------------------

CONTACT: Final = """
SELECT client_id, account_id, channel, address, phone, name, last_inbound_at, linked_at, blocked, username,
       blocked_at, block_inferred
FROM contact
"""


def contact(row: Row) -> ContactRecord:
    """Return the contact of a row of CONTACT."""
    return ContactRecord(
        client_id=row[0],
        account_id=row[1],
        channel=row[2],
        address=row[3],
        phone=row[4],
        name=row[5],
        last_inbound_at=moment_or_none(row[6]),
        linked_at=moment_or_none(row[7]),
        blocked=bool(row[8]),
        username=row[9],
        blocked_at=moment_or_none(row[10]),
        block_inferred=bool(row[11]),
    )
