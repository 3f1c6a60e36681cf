"""The log of requests: what was refused and why, grouped and one by one. An error's ``instance`` leads here."""

from typing import Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from kurir.console import asked_requests as view
from kurir.console.rights import Right
from kurir.http.answers import RequestFailed
from kurir.http.console.audit import number_of
from kurir.http.console.reveal import revealed
from kurir.http.console.route import ConsoleRoute, base_of, console_of, needs, open_to_all, page, visitor_of
from kurir.store.access import RequestFilter, RequestRecord

router = APIRouter(prefix="/console/requests", route_class=ConsoleRoute, include_in_schema=False)
#: The path of ``instance``, which is in no prefix.
instance_router = APIRouter(route_class=ConsoleRoute, include_in_schema=False)

#: Requests on a page, and groups above them.
ROWS: Final = 50
GROUPS: Final = 8
#: The kind under which a page of the list is revealed.
_LIST: Final = "requests"


@router.get("")
@needs(Right.SEE)
async def list_requests(request: Request) -> Response:
    """Show what was refused, by error and one by one. The address is the filter."""
    state, whose = console_of(request), visitor_of(request).client_ids
    asked = view.asked(request.query_params)
    name = request.query_params.get("range", "24h")
    name = name if name in view.RANGES else "24h"
    store, now = state.access.store, state.clock.now()
    found = await store.requests(asked.filter(whose, number_of(request, "before")), ROWS + 1)
    groups = await store.request_groups(whose, now - view.RANGES[name], GROUPS)
    masked = not await revealed(request, "list", _LIST)
    given = asked.given() | ({"range": name} if name != "24h" else {})

    def here(**changes: str) -> str:
        kept = {key: value for key, value in (given | changes).items() if value}
        return "?" + urlencode(kept)

    clients = sorted(request.app.state.directory.clients()) if whose is None else []
    return page(
        request,
        "requests.html",
        groups=view.groups(groups),
        rows=[view.row(one, masked=masked) for one in found[:ROWS]],
        more=len(found) > ROWS,
        asked=asked,
        given=given,
        here=here,
        clients=clients if len(clients) <= 12 else [],
        statuses=view.STATUSES,
        range=name,
        ranges=view.RANGE_NAMES,
        at_top="before" not in request.query_params,
        revealed_now=not masked,
        reveal_id=_LIST,
    )


@router.get("/{request_id}")
@needs(Right.SEE)
async def show_request(request: Request, request_id: str) -> Response:
    """Show one request: what was wrong with it, what was sent, what to do."""
    found = await _found(request, request_id)
    shown_plainly = await revealed(request, "request", request_id)
    return page(request, "request.html", it=view.shown(found, masked=not shown_plainly), revealed_now=shown_plainly)


@instance_router.get("/requests/{request_id}")
@open_to_all
async def instance(request: Request, request_id: str) -> Response:
    """Lead from the ``instance`` of an error to its page in the console."""
    return RedirectResponse(f"{base_of(request)}/console/requests/{quote(request_id, safe='')}", status_code=303)


async def _found(request: Request, request_id: str) -> RequestRecord:
    state = console_of(request)
    wanted = RequestFilter(client_ids=visitor_of(request).client_ids, request_id=request_id[:100])
    for again in (False, True):
        if again:
            await state.requests.flush()  # it may be waiting to be written
        found = await state.access.store.requests(wanted, 1)
        if found:
            return found[0]
    detail = (
        f"the log has no request «{request_id[:60]}»: it keeps those that were refused or changed something, for 14 days, "
        "and of a flood only the beginning"
    )
    raise RequestFailed("not_found", detail)
