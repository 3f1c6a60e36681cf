"""The administrator's API of the quarantine: webhooks that could not be read, to look at, to read again, and to delete.

The bodies hold people's words, so only the administrator sees them. The routes replay one webhook at a time, which bounds
what one request does; whoever wants all of them goes through the list.
"""

import base64
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from kurir.http import models, shown
from kurir.http.answers import RequestFailed
from kurir.http.edge import AdminRoute
from kurir.http.shown import Shown
from kurir.intake.receive import Receiver
from kurir.store.inbound import InboundStore, NotKept, Quarantined

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
    404: {"model": models.ProblemAnswer, "description": "There is no such webhook in quarantine"}
}
_NOT_ENABLED: Final[dict[int | str, dict[str, Any]]] = {
    409: {"model": models.ProblemAnswer, "description": "The account is not enabled"}
}

router = APIRouter(prefix="/v1/admin/webhooks", route_class=AdminRoute, responses=_FAILURES, tags=["Administration"])

Number = Annotated[int, Path(ge=1, le=2**62, description="The webhook's id")]


# --- bodies -----------------------------------------------------------------------------------------------------------


class WebhookSummary(BaseModel):
    """A webhook that the platform signed and that could not be read, without its body."""

    id: str
    account: str
    received_at: str = Field(description="When it came first.")
    times: int = Field(description="How often the very same body came.")
    why: str = Field(description="Why it could not be read, the last time that was tried.")
    replayed_at: str | None = Field(description="When it was last replayed in vain.")
    size: int = Field(description="Of the body, in bytes.")


class WebhookBody(WebhookSummary):
    """A webhook in quarantine with its body, in one of the two ways."""

    body: str | None = Field(description="As it came; null where it is no UTF-8.")
    body_base64: str | None = Field(description="Where it is no UTF-8; else null.")


class NotKeptBody(BaseModel):
    """What came beyond the bound of an account's quarantine, and is lost."""

    account: str
    count: int
    first_at: str
    last_at: str


class WebhooksAnswer(BaseModel):
    """Webhooks in quarantine, in the order in which they came."""

    data: list[WebhookSummary]
    next: str | None
    not_kept: list[NotKeptBody] = Field(description="Of every account that has some: webhooks beyond the bound.")


class WebhookAnswer(BaseModel):
    """A webhook in quarantine."""

    data: WebhookBody


class ReplayedWebhookBody(BaseModel):
    """What a replay brought."""

    id: str
    account: str
    understood: bool = Field(description="True: it is out of quarantine.")
    why: str | None = Field(description="Why it stays there.")
    new: int = Field(description="Of what people did: how much was not known before.")
    receipts: int = Field(description="Receipts in it, those that were known before too.")
    ignored: int = Field(description="Events in it that the gateway has no use for.")


class ReplayedWebhookAnswer(BaseModel):
    """A webhook was read once more."""

    data: ReplayedWebhookBody


class ReleasedBody(BaseModel):
    """The webhook that is gone."""

    id: str


class ReleasedAnswer(BaseModel):
    """A webhook was deleted from the quarantine."""

    data: ReleasedBody


# --- routes -----------------------------------------------------------------------------------------------------------


@router.get("", response_model=WebhooksAnswer, summary="Webhooks that could not be read")
async def list_webhooks(
    request: Request,
    account: Annotated[str, Query(max_length=128, description="Only this account's")] = "",
    after: Annotated[int, Query(ge=0, le=2**62, description="The `next` of the page before")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Shown:
    """Return the webhooks in quarantine in the order in which they came, without their bodies."""
    store, _ = _parts_of(request)
    found = await store.quarantined(account, after=after, limit=limit + 1)
    lost = [_not_kept(one) for one in await store.not_kept() if account in ("", one.account_id)]
    more = str(found[limit - 1].number) if len(found) > limit else None
    return {"data": [_summary(one) for one in found[:limit]], "next": more, "not_kept": lost}


@router.get("/{number}", response_model=WebhookAnswer, responses=_OF_ONE, summary="One webhook, with its body")
async def get_webhook(request: Request, number: Number) -> Shown:
    """Return a webhook in quarantine with its body, as it came. It holds what people wrote."""
    record, body = await _found(request, number)
    try:
        text, encoded = body.decode(), None
    except UnicodeDecodeError:
        text, encoded = None, base64.b64encode(body).decode()
    return {"data": {**_summary(record), "body": text, "body_base64": encoded}}


@router.post(
    "/{number}/replay",
    response_model=ReplayedWebhookAnswer,
    responses=_OF_ONE | _NOT_ENABLED,
    summary="Read a webhook again",
)
async def replay_webhook(request: Request, number: Number) -> Shown:
    """Read a webhook as if it came now, and let it out of quarantine where it was understood. Durable on the 200.

    What of it was understood before is not told again. Where it still cannot be read it stays, with the new reason.
    """
    record, body = await _found(request, number)
    replayed = await _parts_of(request)[1].replay(record, body)
    if replayed is None:
        detail = (
            f"the account «{record.account_id}» is not enabled, so that nothing of it is read; see the configuration"
        )
        raise RequestFailed("account_not_enabled", detail)
    stored = replayed.stored
    return {
        "data": {
            "id": str(number),
            "account": record.account_id,
            "understood": not replayed.why,
            "why": replayed.why or None,
            "new": stored.new,
            "receipts": stored.receipts,
            "ignored": stored.ignored,
        }
    }


@router.delete("/{number}", response_model=ReleasedAnswer, responses=_OF_ONE, summary="Delete a webhook")
async def delete_webhook(request: Request, number: Number) -> Shown:
    """Delete a webhook from the quarantine, for good: the platform will not send it again. Durable on the 200."""
    if not await _parts_of(request)[0].release(number):
        raise _none(number)
    return {"data": {"id": str(number)}}


def _parts_of(request: Request) -> tuple[InboundStore, Receiver]:
    state = request.app.state
    return state.store, state.receiver


async def _found(request: Request, number: int) -> tuple[Quarantined, bytes]:
    found = await _parts_of(request)[0].quarantined_webhook(number)
    if found is None:
        raise _none(number)
    return found


def _none(number: int) -> RequestFailed:
    return RequestFailed("not_found", f"no webhook {number} is in quarantine; GET /v1/admin/webhooks lists them")


def _summary(record: Quarantined) -> Shown:
    return {
        "id": str(record.number),
        "account": record.account_id,
        "received_at": shown.time(record.received_at),
        "times": record.times,
        "why": record.why,
        "replayed_at": shown.time(record.replayed_at),
        "size": record.size,
    }


def _not_kept(lost: NotKept) -> Shown:
    return {
        "account": lost.account_id,
        "count": lost.webhooks,
        "first_at": shown.time(lost.first_at),
        "last_at": shown.time(lost.last_at),
    }
