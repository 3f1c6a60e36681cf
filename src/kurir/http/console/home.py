"""The home page: how every account stands, what happened, what goes wrong, what is left to set up."""

from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from kurir.console import accounts as account_view
from kurir.console import callbacks as callback_view
from kurir.console import overview
from kurir.console.rights import Right
from kurir.http.console.route import ConsoleRoute, base_of, needs, page, visitor_of
from kurir.http.operator import Operator
from kurir.store import GatewayStore
from kurir.store.base import AccountRecord
from kurir.store.feed import Endpoint
from kurir.store.postgres.leases import ACCOUNT

#: Webhooks in quarantine that are counted; of more stands «100+».
COUNTED: Final = 100
#: Endpoints that are asked how their last tries went; of the others only what stops them is known here.
LOOKED_AT: Final = 20

router = APIRouter(prefix="/console", route_class=ConsoleRoute, include_in_schema=False)


@router.get("")
@needs(Right.SEE)
async def home(request: Request) -> Response:
    """Show the home page."""
    state, visitor = request.app.state, visitor_of(request)
    store: GatewayStore = state.store
    now, whose = state.clock.now(), visitor.client_ids
    name = request.query_params.get("range", "24h")
    length, step, small_step = overview.RANGES.get(name, overview.RANGES["24h"])
    summed = await store.tallies(now - length, now, step, whose, by_account=False)
    by_account = await store.tallies(now - length, now, small_step, whose, kind="sent")
    accounts = await own_accounts(request)
    shown = overview.worst_first(accounts, state.operator().state)[: overview.CARDS]
    lines = overview.sparks(by_account, now - length, now, small_step)
    cards = await cards_of(request, shown, sparks=lambda one: lines.get(one, ""))
    endpoints = await _endpoints(request)
    steps = overview.first_steps(
        has_password=bool(request.state.user.password_hash),
        accounts=len(accounts),
        sent=any(card.last is not None and card.last.sent_at is not None for card in cards),
        heard=any(card.last is not None and card.last.heard_at is not None for card in cards),
        endpoints=bool(endpoints),
    )
    return page(
        request,
        "home.html",
        cards=cards,
        more_accounts=len(accounts) - len(shown),
        chart=overview.chart(summed, now - length, now, step),
        range=name if name in overview.RANGES else "24h",
        ranges=overview.RANGE_NAMES,
        **await _in_trouble(request, endpoints),
        errors=overview.top_errors(await store.top_errors(now - length, whose, 5)),
        steps=[one for one in steps if visitor.may(one.right)],
    )


async def _endpoints(request: Request) -> list[Endpoint]:
    whose = visitor_of(request).client_ids
    return [
        one for one in await request.app.state.store.all_endpoints() if whose is None or one.record.client_id in whose
    ]


async def _in_trouble(request: Request, endpoints: list[Endpoint]) -> dict[str, Any]:
    """Return what needs somebody beside the accounts: webhooks that nobody could read, and callback endpoints."""
    state, visitor = request.app.state, visitor_of(request)
    store: GatewayStore = state.store
    sees_all = visitor.may(Right.SEE_ALL)
    unread = await store.quarantined(limit=COUNTED + 1) if sees_all else []
    lost = await store.not_kept() if sees_all else []
    cards = [await _endpoint_card(request, one, tries=number < LOOKED_AT) for number, one in enumerate(endpoints)]
    return {
        "quarantined": account_view.counted(unread, COUNTED) if unread else "",
        "lost": sum(one.webhooks for one in lost),
        "failing": sum(one.needs_somebody or one.refusing is not None for one in cards),
    }


async def _endpoint_card(request: Request, endpoint: Endpoint, *, tries: bool) -> callback_view.Card:
    state = request.app.state
    tried = await state.store.lately_tried(endpoint.id, callback_view.IN_A_ROW) if tries else ()
    return callback_view.card(endpoint, state.endpoints().standing(endpoint), 0, tried)


@router.get("/")
@needs(Right.SEE)
async def home_with_slash(request: Request) -> Response:
    """Lead to the home page."""
    return RedirectResponse(f"{base_of(request)}/console", status_code=308)


async def own_accounts(request: Request) -> list[AccountRecord]:
    """Return the accounts that the visitor may see."""
    whose = visitor_of(request).client_ids
    return [one for one in await request.app.state.store.accounts() if whose is None or one.client_id in whose]


async def cards_of(
    request: Request, records: list[AccountRecord], *, sparks: Callable[[str], str] | None = None
) -> list[overview.AccountCard]:
    """Return how these accounts stand."""
    state = request.app.state
    store: GatewayStore = state.store
    operator: Operator = state.operator()
    depths = {one.account_id: one for one in await store.depths()}
    lasts = {one.account_id: one for one in await store.last_of_accounts(visitor_of(request).client_ids)}
    nodes = await state.nodes()
    owners = {
        lease.removeprefix(ACCOUNT): node.host for node in nodes for lease in node.names if lease.startswith(ACCOUNT)
    }
    heard = state.connecting().heard
    return [
        overview.AccountCard(
            record=one,
            state=operator.state(one.id),
            depth=depths.get(one.id),
            last=lasts.get(one.id),
            quota=await store.quota(one.id),
            webhook_at=heard.last(one.id),
            spark=sparks(one.id) if sparks else "",
            node=owners.get(one.id, "") if len(nodes) > 1 else "",
        )
        for one in records
    ]
