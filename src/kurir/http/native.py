"""The native API under ``/v1``: messages of the client that asks."""

import base64
import binascii
import json
from typing import Annotated, Any, Final, NoReturn

from fastapi import APIRouter, Path, Query, Request

from kurir.channels.base import Channel
from kurir.delivery.state import AccountState, Why
from kurir.directory import Directory
from kurir.domain import channel as channels
from kurir.domain.problem import Problem
from kurir.domain.status import Status
from kurir.http import models, shown, turns, waiting
from kurir.http.answers import RequestFailed
from kurir.http.edge import NativeRoute, no_channel
from kurir.http.operator import Operator
from kurir.http.shown import Shown
from kurir.http.why import why_it_waits
from kurir.store.base import (
    AttemptRecord,
    MessageFilter,
    MessageRecord,
    PartRecord,
    Store,
    Turn,
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

#: What a turn that was not done answers: too late, or nothing to do.
_TOO_LATE: Final[dict[int | str, dict[str, Any]]] = {
    409: {"model": models.ProblemAnswer, "description": "Too late, or nothing to do: code and detail say why"}
}

_NO_MESSAGE: Final = "this client has no message with this tid"

TidPath = Annotated[str, Path(max_length=64, description="The gateway's id of the message")]


def _parts_of(request: Request) -> tuple[Store, Directory, str]:
    state = request.app.state
    return state.store, state.directory, request.state.client_id


# --- messages -----------------------------------------------------------------------------------------------------------


@router.get("/messages/{tid}", response_model=models.MessageAnswer, tags=["Messages"], summary="One message, whole")
async def get_message(request: Request, tid: TidPath) -> Shown:
    """Return a message with its parts, attempts, losses and history, and in words why it waits or ended."""
    return {"data": await _whole(request, tid)}


@router.post(
    "/messages/{tid}/cancel",
    response_model=models.MessageAnswer,
    responses=_TOO_LATE,
    tags=["Messages"],
    summary="Cancel a message",
)
async def cancel_message(request: Request, tid: TidPath) -> Shown:
    """End a message of which nothing was sent yet: its status becomes -1. On the 200 that is durable.

    409 when it has ended or was sent (`already_ended`), or when a part of it is being sent, was taken by the platform, or may
    have left (`already_partly_sent`). What was refused for certain, by a stopped account or a rate limit, can be cancelled.
    """
    store, _, client_id = _parts_of(request)
    turn = await store.cancel(client_id, tid, request.app.state.clock.now())
    if turn is not Turn.DONE:
        await _refuse(request, turn, tid)
    return {"data": await _whole(request, tid)}


@router.post(
    "/messages/{tid}/retry",
    response_model=models.MessageAnswer,
    responses=_TOO_LATE,
    tags=["Messages"],
    summary="Retry a failed message",
)
async def retry_message(request: Request, tid: TidPath) -> Shown:
    """Open a new run of a failed message, from its first part that was not sent. On the 200 that is durable.

    It is queued behind the others, with the status 0, and may wait as long as it might the first time. 409 `not_failed` when
    its status is not below 0.
    """
    store, _, client_id = _parts_of(request)
    turn = await store.retry(client_id, tid, request.app.state.clock.now())
    if turn is not Turn.DONE:
        await _refuse(request, turn, tid)
    found = await _whole(request, tid)
    _operator_of(request).wake(found["account"])
    return {"data": found}


async def _refuse(request: Request, turn: Turn, tid: str) -> NoReturn:
    """Raise the 409 that says why nothing was done with a message. Raises a 404 where there is none."""
    store, _, client_id = _parts_of(request)
    record = await store.message(client_id, tid)
    if record is None:
        raise RequestFailed("not_found", _NO_MESSAGE)
    why = turns.refusal(turn, record)
    raise RequestFailed(why.code, why.detail)


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
    now, operator = request.app.state.clock.now(), _operator_of(request)
    states: dict[str, AccountState] = {}
    data = []
    for record in records[:limit]:
        state = states.setdefault(record.account_id, operator.state(record.account_id))
        # What goes before it in its lane would be a query for each row; whoever wants it asks for the message.
        around = waiting.Around(now, state, operator.why(record.account_id, record.lane))
        data.append(_summary(record, directory, waiting.why(record, around)))
    return {"data": data, "next": more}


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


async def _whole(request: Request, tid: str) -> Shown:
    """Return the client's message with all that is known of it. Raises RequestFailed when there is none."""
    store, directory, client_id = _parts_of(request)
    record = await store.message(client_id, tid)
    if record is None:
        raise RequestFailed("not_found", _NO_MESSAGE)
    why = await why_it_waits(request.app.state, client_id, record)
    return {**_summary(record, directory, why), **_details(record)}


def _operator_of(request: Request) -> Operator:
    found: Operator = request.app.state.operator()
    return found


def _summary(record: MessageRecord, directory: Directory, why: Why | None) -> Shown:
    entry = directory.accounts().get(record.account_id)
    return {
        "tid": record.tid,
        "id": record.message_id,
        "channel": record.channel,
        "account": record.account_id,
        "recipient": record.recipient,
        "type": record.type,
        "priority": record.priority.value,
        "status": int(record.status),
        "final": is_final(record, entry.channel if entry else None),
        "reason": shown.error(why.reason) if why else None,
        "waiting_until": shown.time(why.until) if why else None,
        "error": shown.error(record.error),
        "run": record.run,
        "accepted_at": shown.time(record.accepted_at),
        "send_at": shown.time(waiting.send_time(record)),
        "expires_at": shown.time(record.expires_at),
    }


def is_final(record: MessageRecord, channel: Channel | None) -> bool:
    """Return whether nothing more can be learned: Telegram and LINE never tell more than sent."""
    if record.status in (Status.READ, Status.UNSENT, Status.UNDELIVERED, Status.FAILED):
        return True
    return channel is not None and not record.queued and record.status >= channel.CAPABILITIES.final_status


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
                "at": shown.time(event.at),
                "error": shown.error(event.error),
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
        "at": shown.time(part.answered_at or part.marked_at),
    }


def _attempt(attempt: AttemptRecord) -> Shown:
    return {
        "run": attempt.run,
        "part": attempt.part,
        "at": shown.time(attempt.at),
        "duration_ms": attempt.duration_ms,
        "outcome": attempt.outcome,
        "counted": attempt.counted,
        "code": attempt.code,
        "reason": attempt.reason,
        "request": json.loads(attempt.request or "{}"),
        "status": attempt.status,
        "headers": json.loads(attempt.headers or "{}"),
        "body": attempt.body.decode("utf-8", "replace"),
    }


def _channel(request: Request, name: str) -> str:
    known = channels.canonical(name)
    if known not in request.app.state.channels:
        raise RequestFailed("unknown_channel", no_channel(name))
    return known
