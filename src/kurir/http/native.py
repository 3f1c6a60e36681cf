"""The native API under ``/v1``: messages and contacts of the client that asks."""

import base64
import binascii
import json
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request

from kurir.channels.base import Channel
from kurir.directory import Directory
from kurir.domain import channel as channels
from kurir.domain import recipient as recipients
from kurir.domain.problem import Problem
from kurir.domain.recipient import Form, Recipient
from kurir.domain.status import Status
from kurir.http import models
from kurir.http.answers import RequestFailed
from kurir.http.edge import NativeRoute, no_channel
from kurir.store.base import (
    AttemptRecord,
    ContactRecord,
    ErrorRecord,
    MessageFilter,
    MessageRecord,
    PartRecord,
    Store,
)

_FAILURES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": models.ProblemAnswer, "description": text}
    for status, text in {
        400: "Not JSON, not UTF-8, nested too deep",
        401: "Credentials missing or wrong",
        404: "Nothing of this client is there",
        413: "More than 256 KiB",
        415: "Not JSON",
        422: "Invalid parameters: all of them at once",
        429: "Too many requests",
        503: "The store does not answer",
    }.items()
}

router = APIRouter(prefix="/v1", route_class=NativeRoute, responses=_FAILURES)

Shown = dict[str, Any]


def _parts_of(request: Request) -> tuple[Store, Directory, str]:
    state = request.app.state
    return state.store, state.directory, request.state.client_id


# --- messages -----------------------------------------------------------------------------------------------------------


@router.get("/messages/{tid}", response_model=models.MessageAnswer, tags=["Messages"], summary="One message, whole")
async def get_message(request: Request, tid: Annotated[str, Path(max_length=64)]) -> Shown:
    """Return a message with its parts, attempts, losses and history, and in words why it waits or ended."""
    store, directory, client_id = _parts_of(request)
    record = await store.message(client_id, tid)
    if record is None:
        raise RequestFailed("not_found", "this client has no message with this tid")
    return {"data": {**_summary(record, directory), **_details(record)}}


@router.get("/messages", response_model=models.MessagesAnswer, tags=["Messages"], summary="Messages, newest first")
async def list_messages(
    request: Request,
    channel: str | None = None,
    id: Annotated[str | None, Query(max_length=1024)] = None,  # noqa: A002 - the query's name is the contract's
    recipient: Annotated[str | None, Query(max_length=256)] = None,
    status: Annotated[int | None, Query(ge=-3, le=3)] = None,
    after: Annotated[str | None, Query(max_length=100, description="The cursor «next» of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Shown:
    """Return the client's messages, newest first, without their parts and attempts."""
    store, directory, client_id = _parts_of(request)
    wanted = MessageFilter(
        channel=_channel(request, channel) if channel else None,
        message_id=id,
        recipient=recipient,
        status=Status(status) if status is not None else None,
        before_seq=_from_cursor(after),
    )
    records = await store.messages(client_id, wanted, limit + 1)
    more = _cursor(records[limit - 1].seq) if len(records) > limit else None
    return {"data": [_summary(record, directory) for record in records[:limit]], "next": more}


def _cursor(seq: int) -> str:
    return base64.urlsafe_b64encode(f"m{seq}".encode()).decode().rstrip("=")


def _from_cursor(text: str | None) -> int | None:
    if not text:
        return None
    try:
        plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        if plain.startswith("m") and plain[1:].isdigit() and len(plain) < 20:
            return int(plain[1:])
    except (binascii.Error, ValueError):
        pass
    problem = Problem("/after", "invalid_format", "after must be the «next» of an earlier page")
    raise RequestFailed("invalid_parameters", problems=[problem])


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment is not None else None


def _error(record: ErrorRecord | None) -> Shown | None:
    if record is None:
        return None
    return {"code": record.code, "detail": record.detail, "provider_code": record.provider_code}


def _summary(record: MessageRecord, directory: Directory) -> Shown:
    entry = directory.accounts().get(record.account_id)
    return {
        "tid": record.tid,
        "id": record.message_id,
        "channel": record.channel,
        "account": record.account_id,
        "recipient": record.recipient,
        "type": record.type,
        "status": int(record.status),
        "final": _is_final(record, entry.channel if entry else None),
        "reason": _error(why_it_waits(record, directory)),
        "waiting_until": _time(record.waiting_until),
        "error": _error(record.error),
        "run": record.run,
        "accepted_at": _time(record.accepted_at),
        "expires_at": _time(record.expires_at),
    }


def _is_final(record: MessageRecord, channel: Channel | None) -> bool:
    """Return whether nothing more can be learned: Telegram and LINE never tell more than sent."""
    if record.status in (Status.READ, Status.UNSENT, Status.UNDELIVERED, Status.FAILED):
        return True
    return channel is not None and not record.queued and record.status >= channel.CAPABILITIES.final_status


def why_it_waits(record: MessageRecord, directory: Directory) -> ErrorRecord | None:
    """Return why a pending message waits, in one sentence; None when it does not."""
    if record.status is not Status.PENDING:
        return None
    if not record.queued:
        detail = (
            "the platform accepted it; its «sent» receipt has not come. If none ever does: is the webhook connected?"
        )
        return ErrorRecord("awaiting_receipt", detail)
    entry = directory.accounts().get(record.account_id)
    if entry is None:
        fix = "put it back into the configuration, or the message expires"
        return ErrorRecord("account_disabled", f"the account is not enabled: «{record.account_id}»; {fix}")
    if entry.parked_code:
        return ErrorRecord(entry.parked_code, entry.parked_reason)
    if record.reason is not None:
        return record.reason
    if record.due_at > record.accepted_at:
        return ErrorRecord("scheduled", f"it is not sent before {_time(record.due_at)}")
    return ErrorRecord("queued", "it waits for its turn")


def _details(record: MessageRecord) -> Shown:
    return {
        "address": record.address,
        "parts": [_part(part) for part in record.parts],
        "attempts": [_attempt(attempt) for attempt in record.attempts],
        "losses": [{"pointer": one.pointer, "kind": one.kind, "detail": one.detail} for one in record.losses],
        "history": [
            {
                "status": int(event.status),
                "previous": int(event.previous),
                "at": _time(event.at),
                "error": _error(event.error),
            }
            for event in record.history
        ],
    }


def _part(part: PartRecord) -> Shown:
    return {
        "part": part.number,
        "state": part.phase.value,
        "status": int(part.status) if part.status is not None else None,
        "attempts": part.attempts,
        "provider_message_ids": list(part.platform_ids),
        "at": _time(part.answered_at or part.marked_at),
    }


def _attempt(attempt: AttemptRecord) -> Shown:
    return {
        "part": attempt.part,
        "at": _time(attempt.at),
        "duration_ms": attempt.duration_ms,
        "outcome": attempt.outcome,
        "code": attempt.code,
        "reason": attempt.reason,
        "request": json.loads(attempt.request or "{}"),
        "status": attempt.status,
        "headers": json.loads(attempt.headers or "{}"),
        "body": attempt.body.decode("utf-8", "replace"),
    }


# --- contacts -----------------------------------------------------------------------------------------------------------


@router.put(
    "/contacts/{channel}/{address}", response_model=models.ContactAnswer, tags=["Contacts"], summary="Link a phone"
)
async def put_contact(request: Request, channel: str, address: str, contact: models.ContactRequest) -> Shown:
    """Link a phone to an address of the account: a phone that was linked in the account moves here."""
    store, directory, client_id = _parts_of(request)
    name = _channel(request, channel)
    problems: list[Problem] = []
    entry = directory.find(client_id, name, contact.account) if contact.account else directory.default(client_id, name)
    if entry is None:
        problems.append(Problem("/account", "unknown_account", f"this client has no such enabled {name} account"))
    region = directory.clients()[client_id].default_region
    where = recipients.read(name, address if ":" in address else f"{recipients.PREFIX_OF[name]}:{address}")
    if not isinstance(where, Recipient):
        problems.append(Problem("", "invalid_recipient", f"the address in the path: {where.detail}"))
    phone = _phone(contact.phone, region)
    if phone is None:
        detail = "phone must be 7 to 15 digits with the country code, such as 6281234567890"
        problems.append(Problem("/phone", "invalid_recipient", detail))
    if problems or entry is None or phone is None or not isinstance(where, Recipient):
        raise RequestFailed("invalid_parameters", problems=problems)
    now = request.app.state.clock.now()
    record = ContactRecord(client_id, entry.account.id, name, where.value, phone, contact.name, linked_at=now)
    return {"data": _contact(await store.put_contact(record, now))}


@router.get("/contacts", response_model=models.ContactsAnswer, tags=["Contacts"], summary="Look contacts up")
async def list_contacts(
    request: Request, phone: Annotated[str | None, Query(max_length=40)] = None, channel: str | None = None
) -> Shown:
    """Return the client's contacts by phone, by channel, or all (at most 1,000)."""
    store, directory, client_id = _parts_of(request)
    name = _channel(request, channel) if channel else None
    digits: str | None = None
    if phone:
        digits = _phone(phone, directory.clients()[client_id].default_region)
        if digits is None:
            problem = Problem("/phone", "invalid_recipient", "phone must be 7 to 15 digits with the country code")
            raise RequestFailed("invalid_parameters", problems=[problem])
    return {
        "data": [_contact(one) for one in await store.contacts(client_id, phone=digits, channel=name)],
        "next": None,
    }


def _channel(request: Request, name: str) -> str:
    known = channels.canonical(name)
    if known not in request.app.state.channels:
        raise RequestFailed("unknown_channel", no_channel(name))
    return known


def _phone(text: str, region: str) -> str | None:
    """Return a phone's digits by the rules of a recipient, None when it is none."""
    read = recipients.read(channels.WHATSAPP, text, region)
    return read.value if isinstance(read, Recipient) and read.form is Form.PHONE else None


def _contact(record: ContactRecord) -> Shown:
    return {
        "channel": record.channel,
        "account": record.account_id,
        "address": record.address,
        "phone": record.phone,
        "name": record.name,
        "last_inbound_at": _time(record.last_inbound_at),
        "linked_at": _time(record.linked_at),
        "blocked": record.blocked,
    }
