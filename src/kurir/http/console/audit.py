"""The audit: what was done, by whom, from where; as a page and as a file. Nobody can change it here."""

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from kurir.console import trail
from kurir.console.rights import Right
from kurir.http.answers import RequestFailed
from kurir.http.console.route import ConsoleRoute, console_of, needs, page, visitor_of
from kurir.store.access import AccessStore

router = APIRouter(prefix="/console/audit", route_class=ConsoleRoute, include_in_schema=False)

#: Entries on a page, and in one piece of a file.
ROWS: Final = 50
PIECE: Final = 500
_KINDS: Final = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}


@router.get("")
@needs(Right.SEE_ALL)
async def show_audit(request: Request) -> Response:
    """Show what was done, newest first. The address is the filter."""
    asked = trail.asked(request.query_params)
    wanted = asked.filter(visitor_of(request).client_ids, number_of(request, "before"))
    found = await console_of(request).access.store.audit(wanted, ROWS + 1)
    given = asked.given()

    def here(**changes: str) -> str:
        kept = {name: value for name, value in (given | changes).items() if value}
        return "?" + urlencode(kept)

    return page(
        request,
        "audit.html",
        rows=[trail.entry(one) for one in found[:ROWS]],
        more=len(found) > ROWS,
        asked=asked,
        given=given,
        here=here,
        kinds=trail.KINDS,
        ways=trail.WAYS,
        at_top="before" not in request.query_params,
    )


@router.get("/export")
@needs(Right.SEE_ALL)
async def export(request: Request) -> Response:
    """Give everything that the filter lets through as a file, newest first. That is noted, and stands in the file."""
    how = request.query_params.get("format", "csv")
    if how not in _KINDS:
        raise RequestFailed("invalid_parameters", "format is csv or jsonl")
    state, visitor = console_of(request), visitor_of(request)
    asked = trail.asked(request.query_params)
    await state.audit.note(visitor, "audit_exported", "audit", how, after=asked.given())
    name = f"kurir-audit-{state.clock.now():%Y-%m-%d}.{how}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    pieces = _pieces(state.access.store, asked, visitor.client_ids, how)
    return StreamingResponse(pieces, media_type=_KINDS[how], headers=headers)


async def _pieces(
    store: AccessStore, asked: trail.Asked, client_ids: tuple[str, ...] | None, how: str
) -> AsyncIterator[str]:
    before, head = None, True
    while True:
        found = await store.audit(asked.filter(client_ids, before), PIECE)
        yield trail.csv_lines(found, head=head) if how == "csv" else trail.json_lines(found)
        if len(found) < PIECE:
            return
        before, head = found[-1].number, False


def number_of(request: Request, name: str) -> int | None:
    """Return a number of the address, None where there is none that a row can have."""
    given = request.query_params.get(name, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else None
