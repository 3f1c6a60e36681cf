"""The administrator's API under ``/v1/admin``: how accounts stand, and to stop one and let it go on."""

from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter, Request

from kurir.delivery.state import Standing
from kurir.http import models, shown, waiting
from kurir.http.answers import RequestFailed
from kurir.http.edge import AdminRoute
from kurir.http.operator import Operator
from kurir.http.shown import Shown
from kurir.store import GatewayStore
from kurir.store.base import AccountRecord, QueueDepth
from kurir.store.inbound import QuotaRecord
from kurir.store.postgres.leases import ACCOUNT

_OF_ONE: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": models.ProblemAnswer, "description": "There is no such account"}
}
_NOT_ENABLED: Final[dict[int | str, dict[str, Any]]] = {
    409: {"model": models.ProblemAnswer, "description": "The account is not enabled"}
}

router = APIRouter(prefix="/v1/admin", route_class=AdminRoute, responses=models.ADMIN_FAILURES, tags=["Administration"])


@router.get("/accounts", response_model=models.AccountsAnswer, summary="Every account, and how it stands")
async def list_accounts(request: Request) -> Shown:
    """Return every account by client and position, those that are not enabled too."""
    store, operator, now = _parts_of(request)
    depths = {depth.account_id: depth for depth in await store.depths()}
    owners = await _owners(request)
    accounts = [
        _account(one, operator, depths.get(one.id), now)
        | {"quota": _quota(await store.quota(one.id)), "node": owners.get(one.id)}
        for one in await store.accounts()
    ]
    return {"data": accounts, "next": None}


@router.get(
    "/accounts/{account_id}",
    response_model=models.AccountAnswer,
    responses=_OF_ONE,
    summary="One account, and how it stands",
)
async def get_account(request: Request, account_id: str) -> Shown:
    """Return an account."""
    return await shown_account(request, await _found(request, account_id))


@router.post(
    "/accounts/{account_id}/pause",
    response_model=models.AccountAnswer,
    responses=_OF_ONE | _NOT_ENABLED,
    summary="Stop an account",
)
async def pause_account(request: Request, account_id: str) -> Shown:
    """Start no more calls of the account; what is being sent ends. On the 200 it is durable, over restarts too.

    Messages are still accepted, and wait. To pause a paused account changes nothing.
    """
    await _enabled(request, account_id)
    await _parts_of(request)[1].pause(account_id)
    return await shown_account(request, await _found(request, account_id))


@router.post(
    "/accounts/{account_id}/resume",
    response_model=models.AccountAnswer,
    responses=_OF_ONE | _NOT_ENABLED,
    summary="Let an account go on",
)
async def resume_account(request: Request, account_id: str) -> Shown:
    """Let an account go on that is paused, parked or out: it is tried at once. On the 200 it is durable.

    What the platform asked to wait for is waited for all the same. To resume an account that works changes nothing.
    """
    await _enabled(request, account_id)
    await _parts_of(request)[1].resume(account_id)
    return await shown_account(request, await _found(request, account_id))


def _parts_of(request: Request) -> tuple[GatewayStore, Operator, datetime]:
    state = request.app.state
    return state.store, state.operator(), state.clock.now()


async def _found(request: Request, account_id: str) -> AccountRecord:
    for record in await _parts_of(request)[0].accounts():
        if record.id == account_id:
            return record
    raise RequestFailed("not_found", f"there is no account «{account_id[:64]}»; GET /v1/admin/accounts lists them")


async def _enabled(request: Request, account_id: str) -> None:
    await _found(request, account_id)
    if _parts_of(request)[1].state(account_id).standing is Standing.DISABLED:
        detail = f"the account «{account_id}» is not enabled, so that nothing of it is sent; enable it first"
        raise RequestFailed("account_not_enabled", detail)


async def shown_account(request: Request, record: AccountRecord) -> Shown:
    """Return an answer with the account of *record* as it stands."""
    store, operator, now = _parts_of(request)
    depth = next((one for one in await store.depths() if one.account_id == record.id), None)
    quota = await request.app.state.store.quota(record.id)
    owners = await _owners(request)
    return {"data": _account(record, operator, depth, now) | {"quota": _quota(quota), "node": owners.get(record.id)}}


async def _owners(request: Request) -> dict[str, Shown]:
    """Return the node that owns each account."""
    return {
        name.removeprefix(ACCOUNT): {"id": node.id, "host": node.host}
        for node in await request.app.state.nodes()
        for name in node.names
        if name.startswith(ACCOUNT)
    }


def _account(record: AccountRecord, operator: Operator, depth: QueueDepth | None, now: datetime) -> Shown:
    """Return *record* as it is shown. Its sealed settings, which hold the secrets, are not looked at."""
    state = operator.state(record.id)
    since = {Standing.PAUSED: record.paused_at, Standing.PARKED: record.parked_at}.get(state.standing)
    return {
        "id": record.id,
        "client": record.client_id,
        "channel": record.channel,
        "default": record.is_default,
        "declared": record.declared,
        "standing": state.standing.value,
        "reason": shown.error(waiting.why_stopped(record.id, state)),
        "since": shown.time(since),
        "until": shown.time(state.until),
        "in_flight": state.in_flight,
        "window": state.window,
        "concurrency": state.concurrency,
        "rate_share": state.rate_share,
        "queue": _queue(depth, now),
    }


def _quota(quota: QuotaRecord | None) -> Shown | None:
    """Return how much of its monthly quota the account has used, as the platform said *at* that time; None: it told none."""
    return None if quota is None else {"used": quota.used, "limit": quota.limit, "at": shown.time(quota.at)}


def _queue(depth: QueueDepth | None, now: datetime) -> Shown:
    """Return what is queued. What is scheduled for later counts as queued, and has no age before it is due."""
    messages = depth.messages if depth else 0
    oldest = depth.oldest_at if depth else None
    if oldest is None or oldest > now:
        return {"messages": messages, "oldest_at": None, "oldest_age_seconds": None}
    age = round((now - oldest).total_seconds(), 3)
    return {"messages": messages, "oldest_at": shown.time(oldest), "oldest_age_seconds": age}
