"""The list of messages: what a search finds, newest first. The address is the search."""

from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from kurir.console import examples, searching
from kurir.console import messages as view
from kurir.console.rights import Right
from kurir.domain.errors import ERRORS
from kurir.domain.message import MessageType
from kurir.http.console import finding
from kurir.http.console.reveal import revealed
from kurir.http.console.route import ConsoleRoute, needs, page, public_url_of, visitor_of
from kurir.store import GatewayStore

router = APIRouter(prefix="/console/messages", route_class=ConsoleRoute, include_in_schema=False)

#: Messages on a page.
ROWS: Final = 50
#: The fields that the form beside the search has.
_FORM: Final = ("to", "account", "type", "error", "since", "until")


@router.get("")
@needs(Right.SEE)
async def list_messages(request: Request) -> Response:
    """Show the messages that a search finds."""
    state, visitor = request.app.state, visitor_of(request)
    before = request.query_params.get("before", "")
    cursor = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None
    asked = finding.asked_in_address(request)
    looked = await finding.look(request, asked, ROWS, cursor)
    store: GatewayStore = state.store
    texts = await store.snippets([row.seq for row in looked.found.rows])
    subject = view.name_of_list(request.query_params.multi_items())
    masked = not await revealed(request, "list", subject)
    now = state.clock.now()
    shown = view.chips(asked, state.directory, visitor)
    return page(
        request,
        "messages.html",
        example=examples.send(public_url_of(request), "whatsapp", "$CLIENT"),
        asked=asked,
        rows=[view.row(one, texts.get(one.seq, b""), now, masked=masked) for one in looked.found.rows],
        found=looked.found,
        chips=shown,
        lifts=view.lifts(asked, shown),
        filters={name: next(iter(asked.of(name)), "") for name in _FORM},
        rest=asked.without_names(_FORM).query(),
        accounts=view.accounts_of(state.directory, visitor),
        types=[one.value for one in MessageType],
        codes=sorted(ERRORS),
        parameters=[
            (name, value) for name, value in request.query_params.multi_items() if name in searching.PARAMETERS
        ],
        hidden=masked,
        subject=subject,
        here=_here(request),
        at_top=cursor is None,
    )


def _here(request: Request) -> Any:
    """Return a function from changed parameters to the address of this page with them; None takes one away."""

    def here(**changes: str | None) -> str:
        kept = [one for one in request.query_params.multi_items() if one[0] not in changes and one[0] != "said"]
        kept += [(name, value) for name, value in changes.items() if value is not None]
        return "?" + urlencode(kept)

    return here
