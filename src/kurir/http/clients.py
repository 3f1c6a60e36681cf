"""The administrator's API of clients: make and change them, give them a new password, let them in no more."""

from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from kurir.administration.clients import LONGEST_OVERLAP, OVERLAP, Clients
from kurir.administration.refusal import Refused
from kurir.configuration.values import show_duration
from kurir.http import models, shown
from kurir.http.admin_accounts import FAILURES, failed
from kurir.http.edge import AdminRoute
from kurir.http.shown import Shown
from kurir.store.base import ClientRecord

_OF_ONE: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": models.ProblemAnswer, "description": "There is no such client"},
    409: {"model": models.ProblemAnswer, "description": "The client stands in the configuration file"},
}

router = APIRouter(prefix="/v1/admin/clients", route_class=AdminRoute, responses=FAILURES, tags=["Administration"])

ClientPath = Annotated[str, Path(max_length=128, description="The id of the client")]


class ClientOptions(BaseModel):
    """What a client has, as the configuration file writes it. null is the default."""

    model_config = ConfigDict(extra="forbid")

    username: str | None = Field(None, description="What it sends as Auth-username; its id by default.")
    default_region: str | None = Field(None, description="The country of numbers with a leading 0, such as `ID`.")
    max_age: str | None = Field(None, description="How long a message may wait, such as `24h`.")
    allow_from: list[str] | None = Field(None, description="Networks that its requests may come from; else any.")


class NewClientRequest(ClientOptions):
    """A client to make."""

    id: str = Field(max_length=128, description="It stands in the paths of its requests.")


class ChangeClientRequest(ClientOptions):
    """What to change; what is left out stays."""


class RotatePasswordRequest(BaseModel):
    """How long the password before lets in beside the new one."""

    overlap_seconds: int = Field(
        int(OVERLAP.total_seconds()), ge=0, le=int(LONGEST_OVERLAP.total_seconds()), description="0: no more, at once."
    )


class ClientBody(BaseModel):
    """A client. Its password is shown once, in the answer of the call that made it."""

    id: str
    username: str
    default_region: str | None
    max_age: str
    allow_from: list[str]
    enabled: bool
    declared: bool = Field(description="Whether the configuration file brought it; then it is changed there alone.")
    previous_until: str | None = Field(description="Until when the password before lets in as well.")
    last_used_at: str | None = Field(
        description="When it was let in last, to a minute; null: never, as far as is known."
    )
    password: str | None = Field(description="Only in the answer of the call that made it.")


class ClientAnswer(BaseModel):
    """A client."""

    data: ClientBody


class ClientsAnswer(BaseModel):
    """Every client, by id."""

    data: list[ClientBody]
    next: str | None = None


@router.get("", response_model=ClientsAnswer, summary="Every client")
async def list_clients(request: Request) -> Shown:
    """Return every client by id, those that are not enabled too."""
    return {"data": [_client(one, request) for one in await _clients(request).all()], "next": None}


@router.post("", response_model=ClientAnswer, summary="Make a client")
async def create_client(request: Request, wanted: NewClientRequest) -> Shown:
    """Make a client with a new password. On the 200 it is durable, and the client is let in."""
    try:
        made = await _clients(request).create(wanted.id, wanted.model_dump(exclude_unset=True, exclude={"id"}))
    except Refused as refused:
        raise failed(refused) from None
    return {"data": _client(made.record, request, made.password)}


@router.get("/{client_id}", response_model=ClientAnswer, responses={404: _OF_ONE[404]}, summary="One client")
async def get_client(request: Request, client_id: ClientPath) -> Shown:
    """Return a client."""
    try:
        return {"data": _client(await _clients(request).find(client_id), request)}
    except Refused as refused:
        raise failed(refused) from None


@router.patch("/{client_id}", response_model=ClientAnswer, responses=_OF_ONE, summary="Change a client")
async def change_client(request: Request, client_id: ClientPath, wanted: ChangeClientRequest) -> Shown:
    """Change a client. On the 200 it is durable, and true of its next request."""
    try:
        record = await _clients(request).change(client_id, wanted.model_dump(exclude_unset=True))
    except Refused as refused:
        raise failed(refused) from None
    return {"data": _client(record, request)}


@router.post(
    "/{client_id}/rotate-password", response_model=ClientAnswer, responses=_OF_ONE, summary="Give a new password"
)
async def rotate_password(
    request: Request, client_id: ClientPath, wanted: RotatePasswordRequest | None = None
) -> Shown:
    """Give a client a new password, which is shown in this answer only. The one before lets in for the overlap."""
    overlap = OVERLAP if wanted is None else timedelta(seconds=wanted.overlap_seconds)
    try:
        made = await _clients(request).rotate(client_id, overlap)
    except Refused as refused:
        raise failed(refused) from None
    return {"data": _client(made.record, request, made.password)}


@router.post("/{client_id}/disable", response_model=ClientAnswer, responses=_OF_ONE, summary="Let a client in no more")
async def disable_client(request: Request, client_id: ClientPath) -> Shown:
    """Let a client in no more; its accounts send nothing. What happened before is still told to its endpoints."""
    try:
        return {"data": _client(await _clients(request).disable(client_id), request)}
    except Refused as refused:
        raise failed(refused) from None


@router.post("/{client_id}/enable", response_model=ClientAnswer, responses=_OF_ONE, summary="Let a client in again")
async def enable_client(request: Request, client_id: ClientPath) -> Shown:
    """Let a client in that was switched off, or that the configuration file does not name any more."""
    try:
        return {"data": _client(await _clients(request).enable(client_id), request)}
    except Refused as refused:
        raise failed(refused) from None


def _clients(request: Request) -> Clients:
    found: Clients = request.app.state.administration.clients
    return found


def _client(record: ClientRecord, request: Request, password: str | None = None) -> Shown:
    until = record.previous_until
    overlaps = until is not None and until > request.app.state.clock.now()
    return {
        "id": record.id,
        "username": record.username,
        "default_region": record.default_region or None,
        "max_age": show_duration(timedelta(seconds=record.max_age_seconds)),
        "allow_from": list(record.allow_from),
        "enabled": record.enabled,
        "declared": record.declared,
        "previous_until": shown.time(until) if overlaps else None,
        "last_used_at": shown.time(record.last_used_at),
        "password": password,
    }
