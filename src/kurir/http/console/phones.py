"""The sandbox's phones inside the console, where the sandbox runs in the same process (``kurir up``).

The page holds the phones' own element; what its scripts ask for is passed on to the sandbox, for those who may operate. The
sandbox's own server beside it stays what tests and other tools use.
"""

from typing import Final

from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from kurir.console.rights import Right
from kurir.http.answers import RequestFailed
from kurir.http.console.route import ConsoleRoute, address_of, console_of, is_ours, needs, page
from kurir.sandbox.pages import SCRIPT, STYLES, phones_main
from kurir.store.base import StoreError

router = APIRouter(prefix="/console", route_class=ConsoleRoute, include_in_schema=False)

#: Where the sandbox's routes are mounted.
PLACE: Final = "/console/sandbox"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@router.get("/phones")
@needs(Right.OPERATE)
async def phones(request: Request) -> Response:
    """Show the four phones."""
    if console_of(request).sandbox is None:
        raise RequestFailed("not_found", "there is no sandbox in this process; `kurir up` runs one")
    return page(
        request,
        "phones.html",
        phones_main=Markup(phones_main()),  # noqa: S704 - a file of our own, with nobody's words
        styles=STYLES,
        script=SCRIPT,
        place=PLACE,
    )


class GuardedSandbox:
    """The sandbox's routes for those who may operate the console. Mounted at :data:`PLACE`."""

    def __init__(self, control: ASGIApp) -> None:
        self._control = control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            return
        refusal = await _refusal(Request(scope))
        await (self._control if refusal is None else refusal)(scope, receive, send)


async def _refusal(request: Request) -> Response | None:
    state = console_of(request)
    if request.method not in _SAFE and not is_ours(request):
        return PlainTextResponse("This request does not come from a page of the console.", 403)
    token = request.cookies.get(state.cookie)
    try:
        found = await state.access.visitor(token, address_of(request)) if token else None
    except StoreError:
        return PlainTextResponse("The store does not answer.", 503, headers={"Retry-After": "5"})
    if found is None:
        return PlainTextResponse("Sign in to the console first.", 401)
    return None if found[0].may(Right.OPERATE) else PlainTextResponse("Your role does not allow this.", 403)
