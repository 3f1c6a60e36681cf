"""Settings and the doctor: how this installation is set up, and whether it is well."""

from fastapi import APIRouter, Request, Response

from kurir import doctor
from kurir.callbacks import ladder
from kurir.console import auditing, installation
from kurir.console.requests import KEPT_BODY
from kurir.console.rights import Right
from kurir.delivery.state import Standing
from kurir.http.answers import RequestFailed
from kurir.http.console.route import ConsoleRoute, console_of, needs, page
from kurir.http.operator import Operator
from kurir.settings import Settings
from kurir.store import GatewayStore
from kurir.store.access import REQUEST_LIFE, EngineFacts
from kurir.store.base import StoreError

router = APIRouter(prefix="/console/settings", route_class=ConsoleRoute, include_in_schema=False)


@router.get("")
@needs(Right.SEE_ALL)
async def show_settings(request: Request) -> Response:
    """Show every setting, where it came from, and what the doctor finds."""
    settings = _settings(request)
    found = doctor.findings(await _facts(request, settings))
    return page(
        request,
        "settings.html",
        rows=installation.rows(settings),
        findings=found,
        report=doctor.text(found),
        third_party=installation.THIRD_PARTY,
        retention=settings.retention,
        request_life=REQUEST_LIFE,
        body_bytes=KEPT_BODY,
    )


def _settings(request: Request) -> Settings:
    settings = console_of(request).settings
    if settings is None:
        raise RequestFailed("not_found", "nobody told the console the settings")
    return settings


async def _facts(request: Request, settings: Settings) -> doctor.Facts:
    state = request.app.state
    store: GatewayStore = state.store
    disk, key_mode = await doctor.look_at_disk(settings)
    return doctor.Facts(
        now=state.clock.now(),
        settings=settings,
        engine=await _engine(store),
        disk=disk,
        key_mode=key_mode,
        not_ready=tuple(await state.readiness()),
        accounts=await _accounts(request, store),
        endpoints=await _endpoints(request, store),
        nodes=tuple((f"{one.host} ({one.role}, {one.pid})", one.seen_at) for one in await state.nodes()),
        depths=tuple(await store.depths()),
    )


async def _engine(store: GatewayStore) -> EngineFacts | None:
    try:
        return await store.engine_facts()
    except StoreError:
        return None


async def _accounts(request: Request, store: GatewayStore) -> tuple[doctor.Worker, ...]:
    operator: Operator = request.app.state.operator()
    states = [operator.state(one.id) for one in await store.accounts()]
    return tuple(
        doctor.Worker(one.account_id, one.standing.value, one.reason.code if one.reason else "")
        for one in states
        if one.standing is not Standing.DISABLED
    )


async def _endpoints(request: Request, store: GatewayStore) -> tuple[doctor.Worker, ...]:
    endpoints = request.app.state.endpoints()
    found = []
    for one in await store.all_endpoints():
        standing, why, _since = ladder.standing(endpoints.standing(one), enabled=one.record.enabled)
        found.append(doctor.Worker(str(auditing.masked(one.record.url)), standing.value, why))
    return tuple(found)
