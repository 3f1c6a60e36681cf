"""The doctor over HTTP: what a running gateway tells of itself, for its console and for ``kurir doctor``."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from kurir import doctor
from kurir.callbacks import ladder
from kurir.console import auditing
from kurir.delivery.state import Standing
from kurir.http import models
from kurir.http.answers import RequestFailed
from kurir.http.edge import AdminRoute
from kurir.http.operator import Operator
from kurir.http.shown import Shown
from kurir.settings import Settings
from kurir.store import GatewayStore
from kurir.store.access import EngineFacts
from kurir.store.base import AccountRecord, StoreError

router = APIRouter(
    prefix="/v1/admin/doctor", route_class=AdminRoute, responses=models.ADMIN_FAILURES, tags=["Administration"]
)


class CheckBody(BaseModel):
    """What a check found."""

    subject: str
    level: Literal["ok", "warn", "bad"]
    says: str
    fix: str = Field(description='What mends it, "" where nothing is to be done.')


class DoctorBody(BaseModel):
    """Whether the installation is well."""

    level: Literal["ok", "warn", "bad"] = Field(description="That of the worst check.")
    public_url: str = Field(description='"" where none is set. Its certificate is not looked at from here.')
    findings: list[CheckBody]


class DoctorAnswer(BaseModel):
    """Whether the installation is well."""

    data: DoctorBody


@router.get("", response_model=DoctorAnswer, summary="Whether the installation is well")
async def examine(request: Request) -> Shown:
    """Look at database, disk, key, accounts, callbacks, queue and nodes; say what mends what is wrong, and no secret."""
    settings: Settings | None = request.app.state.console.settings
    if settings is None:
        raise RequestFailed("not_found", "nobody told the gateway the settings")
    found = doctor.findings(await facts(request, settings))
    rows = [{"subject": one.subject, "level": one.level, "says": one.says, "fix": one.fix} for one in found]
    url = str(auditing.masked(settings.public_url))
    return {"data": {"level": doctor.worst(found), "public_url": url, "findings": rows}}


async def facts(request: Request, settings: Settings) -> doctor.Facts:
    """Return what the running gateway and its store tell. Raises StoreError where the store tells nothing at all."""
    state = request.app.state
    store: GatewayStore = state.store
    disk, key_mode = await doctor.look_at_disk(settings)
    accounts = [one for one in await store.accounts() if one.enabled]
    endpoints, owed = await _endpoints(request, store)
    return doctor.Facts(
        now=state.clock.now(),
        settings=settings,
        engine=await _engine(store),
        disk=disk,
        key_mode=key_mode,
        not_ready=tuple(await state.readiness()),
        accounts=_accounts(request, accounts),
        endpoints=endpoints,
        owed=owed,
        sealed=tuple((one.id, one.sealed_at) for one in accounts),
        nodes=tuple((f"{one.host} ({one.role}, {one.pid})", one.seen_at) for one in await state.nodes()),
        depths=tuple(await store.depths()),
    )


async def _engine(store: GatewayStore) -> EngineFacts | None:
    try:
        return await store.engine_facts()
    except StoreError:
        return None


def _accounts(request: Request, accounts: list[AccountRecord]) -> tuple[doctor.Worker, ...]:
    operator: Operator = request.app.state.operator()
    states = [operator.state(one.id) for one in accounts]
    return tuple(
        doctor.Worker(one.account_id, one.standing.value, one.reason.code if one.reason else "")
        for one in states
        if one.standing is not Standing.DISABLED
    )


async def _endpoints(
    request: Request, store: GatewayStore
) -> tuple[tuple[doctor.Worker, ...], tuple[doctor.Owed, ...]]:
    """Return how the endpoints stand, and what is owed to those that are enabled."""
    endpoints = request.app.state.endpoints()
    stand, owed = [], []
    for one in await store.all_endpoints():
        name = str(auditing.masked(one.record.url))
        standing, why, _since = ladder.standing(endpoints.standing(one), enabled=one.record.enabled)
        stand.append(doctor.Worker(name, standing.value, why))
        counted = await store.endpoint(one.id) if standing is not ladder.Standing.DISABLED else None
        if counted is not None:
            owed.append(doctor.Owed(name, counted.pending, counted.oldest_at))
    return tuple(stand), tuple(owed)
