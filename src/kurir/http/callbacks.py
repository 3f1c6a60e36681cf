"""The administrator's API of callback endpoints: make, pause, rotate, replay, try, and look at what was delivered."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import AwareDatetime, BaseModel, Field

from kurir.callbacks import ladder as rungs
from kurir.callbacks.endpoints import Endpoints, InvalidEndpoint, Made, UnreadableEndpoint, Wanted
from kurir.callbacks.keys import OVERLAP
from kurir.domain.problem import Problem
from kurir.http import models, shown
from kurir.http.answers import RequestFailed
from kurir.http.edge import AdminRoute
from kurir.http.shown import Shown
from kurir.store.feed import CallbackAttempt, CallbackRecord, Endpoint, FeedStore, Owed, Replay

_FAILURES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": models.ProblemAnswer, "description": text}
    for status, text in {
        401: "The token is missing or wrong, or none is configured",
        422: "Invalid parameters: all of them at once",
        429: "Too many wrong tokens",
        503: "The store does not answer",
    }.items()
}
_OF_ONE: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": models.ProblemAnswer, "description": "There is no such endpoint"}
}
#: The longest that an old secret signs beside the new one, in seconds.
LONGEST_OVERLAP: Final = 30 * 86_400

router = APIRouter(prefix="/v1/admin/callbacks", route_class=AdminRoute, responses=_FAILURES, tags=["Administration"])

EndpointPath = Annotated[str, Path(max_length=64, description="The id of the endpoint")]


# --- bodies -----------------------------------------------------------------------------------------------------------


class EndpointRequest(BaseModel):
    """An endpoint to make, or to change: what is left out stays, and is the default of a new one."""

    client: str = Field(max_length=128, description="The id of the client.")
    url: str = Field(max_length=2000, description="With the client it tells endpoints apart. Private: allow_networks.")
    dialect: str | None = Field(None, description="`compat` (default) or `standard`.")
    events: list[str] | None = Field(None, max_length=50, description='Kinds of events; `["*"]` (default) is all.')
    headers: dict[str, str] | None = Field(None, description="Sent along, such as an API key. Never shown again.")
    secret: str | None = Field(
        None, description="whsec_ and base64 of 24 to 64 bytes; else one is made, and shown once."
    )
    enabled: bool | None = Field(None, description="A disabled endpoint is owed nothing. A new one is enabled.")


class RotateRequest(BaseModel):
    """A new secret."""

    overlap_seconds: int = Field(86_400, ge=0, le=LONGEST_OVERLAP, description="So long both secrets sign.")
    secret: str | None = Field(None, description="The new one; else one is made, and shown once.")


class ReplayRequest(BaseModel):
    """Which callbacks to owe again: some by position, or a range by the time of the event, or all that failed."""

    positions: list[Annotated[int, Field(ge=1, le=2**62)]] = Field(default_factory=list, max_length=1000)
    since: AwareDatetime | None = Field(None, description="RFC 3339; events from then on.")
    until: AwareDatetime | None = Field(None, description="RFC 3339; events before then.")
    failed_only: bool = Field(False, description="Only those that failed.")


class EndpointBody(BaseModel):
    """An endpoint as it stands at this moment. It never shows a secret or the value of a header."""

    id: str
    client: str
    url: str
    dialect: str
    events: list[str]
    enabled: bool
    standing: Literal["working", "failing", "paused", "disabled"]
    reason: str | None = Field(description="Why it is paused, or what it last failed with.")
    failures: int = Field(description="Failures in a row; the tenth pauses.")
    since: str | None = Field(description="Since when it is paused or fails.")
    next_at: str | None = Field(description="When it is tried next, while it fails.")
    in_flight: int
    pending: int = Field(description="Callbacks that are owed.")
    failed: int = Field(description="Callbacks that were refused for good; they can be replayed.")
    oldest_at: str | None = Field(description="When the oldest event that is owed happened.")
    secret: str | None = Field(description="Only in the answer of the call that made it.")


class EndpointAnswer(BaseModel):
    """An endpoint."""

    data: EndpointBody


class EndpointsAnswer(BaseModel):
    """Every endpoint, by client."""

    data: list[EndpointBody]
    next: str | None = None


class ReplayedBody(BaseModel):
    """How many callbacks are owed again."""

    count: int


class ReplayedAnswer(BaseModel):
    """What a replay did."""

    data: ReplayedBody


class DeletedBody(BaseModel):
    """The endpoint that is gone."""

    id: str


class DeletedAnswer(BaseModel):
    """An endpoint was deleted, with what was owed to it."""

    data: DeletedBody


class TryError(BaseModel):
    """Why a try was no success."""

    code: Literal["could_not_connect", "request_timeout", "error_status_code", "unclassified"]
    detail: str


class TryBody(BaseModel):
    """One try, and what the endpoint said."""

    at: str
    duration_ms: int
    status: int = Field(description="The HTTP status, 0 when no answer came.")
    error: TryError | None
    headers: dict[str, str]
    body: str


class DeliverySummary(BaseModel):
    """One event for one endpoint."""

    position: str = Field(description="The event's id in the feed.")
    webhook_id: str
    type: str
    conversation: str
    state: Literal["pending", "delivered", "failed"]
    tries: int = Field(description="Since it was owed, or last replayed.")
    next_at: str | None
    ended_at: str | None


class DeliveryBody(DeliverySummary):
    """One event for one endpoint, with every try that is kept."""

    attempts: list[TryBody]


class DeliveriesAnswer(BaseModel):
    """Deliveries, newest first."""

    data: list[DeliverySummary]
    next: str | None


class DeliveryAnswer(BaseModel):
    """One delivery."""

    data: DeliveryBody


class TestBody(TryBody):
    """What the endpoint said to an example."""

    webhook_id: str
    sent: Any = Field(description="The body as it was posted.")
    resumed: bool = Field(description="Whether the endpoint failed or was paused for it, and goes on now.")


class TestAnswer(BaseModel):
    """What the endpoint said to an example."""

    data: TestBody


# --- routes -----------------------------------------------------------------------------------------------------------


@router.get("", response_model=EndpointsAnswer, summary="Every callback endpoint, and how it stands")
async def list_endpoints(
    request: Request, client: Annotated[str, Query(max_length=128, description="Only this client's")] = ""
) -> Shown:
    """Return every endpoint by client, those that are not enabled too."""
    endpoints, store = _parts_of(request)
    wanted = [one for one in await store.all_endpoints() if client in ("", one.record.client_id)]
    return {"data": [_endpoint(endpoints, await store.endpoint(one.id) or one) for one in wanted], "next": None}


@router.put("", response_model=EndpointAnswer, summary="Make or change a callback endpoint")
async def put_endpoint(request: Request, wanted: EndpointRequest) -> Shown:
    """Make the client's endpoint at this URL, or change it. Durable on the 200.

    A new one is told of what happens from now on. What a configuration file declares is brought in line with the file again
    at the next start.
    """
    endpoints, _ = _parts_of(request)
    asked = Wanted(
        client_id=wanted.client,
        url=wanted.url,
        dialect=wanted.dialect,
        events=tuple(wanted.events) if wanted.events is not None else None,
        headers=wanted.headers,
        secret=wanted.secret,
        enabled=wanted.enabled,
    )
    try:
        made = await endpoints.put(asked)
    except InvalidEndpoint as error:
        raise RequestFailed("invalid_parameters", problems=error.problems) from None
    return await _made(request, made)


@router.get("/{endpoint_id}", response_model=EndpointAnswer, responses=_OF_ONE, summary="One callback endpoint")
async def get_endpoint(request: Request, endpoint_id: EndpointPath) -> Shown:
    """Return an endpoint."""
    return {"data": _endpoint(_parts_of(request)[0], await _found(request, endpoint_id))}


@router.delete("/{endpoint_id}", response_model=DeletedAnswer, responses=_OF_ONE, summary="Delete a callback endpoint")
async def delete_endpoint(request: Request, endpoint_id: EndpointPath) -> Shown:
    """Delete an endpoint with all that is owed to it, for good. The events stay in the feed."""
    if not await _parts_of(request)[0].delete(endpoint_id):
        raise _none(endpoint_id)
    return {"data": {"id": endpoint_id}}


@router.post("/{endpoint_id}/pause", response_model=EndpointAnswer, responses=_OF_ONE, summary="Pause callbacks")
async def pause_endpoint(request: Request, endpoint_id: EndpointPath) -> Shown:
    """Call the endpoint no more until it is resumed. What happens meanwhile is owed to it. Durable on the 200."""
    await _found(request, endpoint_id)
    await _parts_of(request)[0].pause(endpoint_id)
    return await get_endpoint(request, endpoint_id)


@router.post("/{endpoint_id}/resume", response_model=EndpointAnswer, responses=_OF_ONE, summary="Resume callbacks")
async def resume_endpoint(request: Request, endpoint_id: EndpointPath) -> Shown:
    """Let a paused or failing endpoint go on: one event is tried at once, then everything flows in order."""
    await _found(request, endpoint_id)
    await _parts_of(request)[0].resume(endpoint_id)
    return await get_endpoint(request, endpoint_id)


@router.post("/{endpoint_id}/rotate", response_model=EndpointAnswer, responses=_OF_ONE, summary="Rotate the secret")
async def rotate_endpoint(request: Request, endpoint_id: EndpointPath, wanted: RotateRequest | None = None) -> Shown:
    """Give the endpoint a new secret, shown once. Until `overlap_seconds` have passed both secrets sign."""
    overlap = OVERLAP if wanted is None else timedelta(seconds=wanted.overlap_seconds)
    given = (wanted.secret if wanted is not None else None) or ""
    try:
        made = await _parts_of(request)[0].rotate(endpoint_id, overlap, given)
    except InvalidEndpoint as error:
        raise RequestFailed("invalid_parameters", problems=error.problems) from None
    except UnreadableEndpoint:
        raise _unreadable() from None
    if made is None:
        raise _none(endpoint_id)
    return await _made(request, made)


@router.post("/{endpoint_id}/replay", response_model=ReplayedAnswer, responses=_OF_ONE, summary="Deliver events again")
async def replay_events(request: Request, endpoint_id: EndpointPath, wanted: ReplayRequest) -> Shown:
    """Owe callbacks again: by position, by time, or all that failed. They keep their `webhook-id`. Durable on the 200."""
    await _found(request, endpoint_id)
    if not (wanted.positions or wanted.since or wanted.until or wanted.failed_only):
        detail = "say which: positions, since, until or failed_only; since 1970-01-01T00:00:00Z is everything"
        raise RequestFailed("invalid_parameters", problems=[Problem("", "too_few", detail)])
    problems: list[Problem] = []
    since, until = _utc(problems, "/since", wanted.since), _utc(problems, "/until", wanted.until)
    if problems:
        raise RequestFailed("invalid_parameters", problems=problems)
    replay = Replay(tuple(wanted.positions), since, until, wanted.failed_only)
    return {"data": {"count": await _parts_of(request)[0].replay(endpoint_id, replay)}}


@router.get(
    "/{endpoint_id}/deliveries", response_model=DeliveriesAnswer, responses=_OF_ONE, summary="What was delivered"
)
async def list_deliveries(
    request: Request,
    endpoint_id: EndpointPath,
    state: Owed | None = None,
    after: Annotated[int | None, Query(ge=1, le=2**62, description="The `next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Shown:
    """Return the endpoint's callbacks, newest first."""
    await _found(request, endpoint_id)
    rows = await _parts_of(request)[1].callbacks(endpoint_id, state=state, before=after, limit=limit + 1)
    more = str(rows[limit - 1].position) if len(rows) > limit else None
    return {"data": [_delivery(row) for row in rows[:limit]], "next": more}


@router.get(
    "/{endpoint_id}/deliveries/{position}",
    response_model=DeliveryAnswer,
    responses=_OF_ONE,
    summary="One delivery, with its tries",
)
async def get_delivery(
    request: Request, endpoint_id: EndpointPath, position: Annotated[int, Path(ge=1, le=2**62)]
) -> Shown:
    """Return what became of one event at the endpoint, with every try that is kept."""
    await _found(request, endpoint_id)
    _, store = _parts_of(request)
    rows = await store.callbacks(endpoint_id, before=position + 1, limit=1)
    if not rows or rows[0].position != position:
        raise RequestFailed("not_found", f"nothing of the event {position} is known for this endpoint")
    tries = await store.callback_attempts(endpoint_id, position)
    return {"data": {**_delivery(rows[0]), "attempts": [_try(one) for one in tries]}}


@router.post("/{endpoint_id}/test", response_model=TestAnswer, responses=_OF_ONE, summary="Try an endpoint")
async def try_endpoint(
    request: Request,
    endpoint_id: EndpointPath,
    kind: Annotated[Literal["message.status", "message.received", "postback.received"], Query()] = "message.received",
) -> Shown:
    """Post an example event now, signed as a true one and marked `Kurir-Test: true`, and return what the endpoint said.

    An endpoint that answers 2xx is off its ladder: what is owed to it flows at once. One that an operator paused stays paused.
    """
    endpoint = await _found(request, endpoint_id)
    try:
        tried = await _parts_of(request)[0].test(endpoint, kind)
    except UnreadableEndpoint:
        raise _unreadable() from None
    told = {"webhook_id": tried.webhook_id, "sent": json.loads(tried.body), "resumed": tried.resumed}
    return {"data": {**_try(tried.attempt), **told}}


# --- how they are shown -----------------------------------------------------------------------------------------------


def _parts_of(request: Request) -> tuple[Endpoints, FeedStore]:
    state = request.app.state
    return state.endpoints(), state.store


async def _found(request: Request, endpoint_id: str) -> Endpoint:
    endpoint = await _parts_of(request)[1].endpoint(endpoint_id)
    if endpoint is None:
        raise _none(endpoint_id)
    return endpoint


def _none(endpoint_id: str) -> RequestFailed:
    detail = f"there is no callback endpoint «{endpoint_id[:64]}»; GET /v1/admin/callbacks lists them"
    return RequestFailed("not_found", detail)


def _unreadable() -> RequestFailed:
    detail = (
        "the endpoint's secret cannot be unsealed with the present encryption key; PUT /v1/admin/callbacks with a new "
        "secret and the headers mends it"
    )
    return RequestFailed("invalid_parameters", problems=[Problem("/secret", "invalid_format", detail)])


async def _made(request: Request, made: Made) -> Shown:
    endpoints, store = _parts_of(request)
    endpoint = await store.endpoint(made.endpoint.id) or made.endpoint
    return {"data": {**_endpoint(endpoints, endpoint), "secret": made.secret or None}}


def _endpoint(endpoints: Endpoints, endpoint: Endpoint) -> Shown:
    """Return *endpoint* as it is shown. What is sealed of it is not looked at."""
    record, ladder = endpoint.record, endpoints.standing(endpoint)
    standing, reason, since = rungs.standing(ladder, enabled=record.enabled)
    return {
        "id": endpoint.id,
        "client": record.client_id,
        "url": record.url,
        "dialect": record.dialect,
        "events": list(record.events),
        "enabled": record.enabled,
        "standing": standing.value,
        "reason": reason or None,
        "failures": ladder.failures,
        "since": shown.time(since),
        "next_at": shown.time(ladder.next_at),
        "in_flight": endpoints.in_flight(endpoint.id),
        "pending": endpoint.pending,
        "failed": endpoint.failed,
        "oldest_at": shown.time(endpoint.oldest_at),
        "secret": None,
    }


def _delivery(row: CallbackRecord) -> Shown:
    return {
        "position": str(row.position),
        "webhook_id": row.webhook_id,
        "type": row.kind,
        "conversation": row.conversation,
        "state": row.state.value,
        "tries": row.tries,
        "next_at": shown.time(row.next_at),
        "ended_at": shown.time(row.ended_at),
    }


def _try(attempt: CallbackAttempt) -> Shown:
    code, _, detail = attempt.error.partition(": ")
    headers: Mapping[str, str] = json.loads(attempt.headers or "{}")
    return {
        "at": shown.time(attempt.at),
        "duration_ms": attempt.duration_ms,
        "status": attempt.status,
        "error": {"code": code, "detail": detail} if code else None,
        "headers": headers,
        "body": attempt.body.decode("utf-8", "replace"),
    }


def _utc(problems: list[Problem], where: str, moment: datetime | None) -> datetime | None:
    """Return *moment* in UTC, None for none; a problem at *where* for one that UTC has no year of four digits for."""
    try:
        return moment.astimezone(UTC) if moment is not None else None
    except OverflowError:  # such as 0001-01-01T00:00:00+01:00
        problems.append(Problem(where, "out_of_range", f"{where[1:]} lies outside the years 1 to 9999 in UTC"))
        return None
