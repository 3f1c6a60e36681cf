"""The errors that there are, what to do about each, and how often it happened; and the page that its ``type`` leads to."""

from fastapi import APIRouter, Request, Response

from kurir.console import registry, words
from kurir.console.rights import Right
from kurir.domain.errors import ERRORS
from kurir.http.answers import RequestFailed
from kurir.http.console.route import SECURITY, ConsoleRoute, console_of, needs, page, visitor_of
from kurir.store import GatewayStore

router = APIRouter(prefix="/console/errors", route_class=ConsoleRoute, include_in_schema=False)

#: Codes that are counted, at most: more than the registry has, times many clients.
_COUNTED = 2000


@router.get("")
@needs(Right.SEE)
async def list_errors(request: Request) -> Response:
    """Show every error, those that happened lately first."""
    return page(request, "errors.html", rows=await _counted(request), lately=registry.LATELY_NAME)


@router.get("/{code}")
@needs(Right.SEE)
async def show_error(request: Request, code: str) -> Response:
    """Show one error: why it happens, what to do, how often it happened."""
    if code not in ERRORS:
        raise RequestFailed("not_found", f"there is no error «{code[:60]}»")
    it = next(one for one in await _counted(request) if one.entry.code == code)
    return page(request, "error.html", it=it, lately=registry.LATELY_NAME, platform=_platform(request, code))


def public_list(request: Request) -> Response:
    """Return the list for whoever asks, signed in or not: without any number."""
    with words.spoken(words.negotiated(request.headers.get("accept-language", ""))):
        response = page(request, "errors.html", rows=registry.counted((), ()), lately="")
    response.headers.update(SECURITY)
    return response


def public_error(request: Request, code: str) -> Response:
    """Return the page of one error for whoever asks, signed in or not: without any number."""
    it = next(one for one in registry.counted((), ()) if one.entry.code == code)
    with words.spoken(words.negotiated(request.headers.get("accept-language", ""))):
        response = page(request, "error.html", it=it, lately="", platform=_platform(request, code))
    response.headers.update(SECURITY)
    return response


async def _counted(request: Request) -> list[registry.Counted]:
    state, whose = console_of(request), visitor_of(request).client_ids
    store: GatewayStore = request.app.state.store
    since = state.clock.now() - registry.LATELY
    return registry.counted(
        await store.top_errors(since, whose, _COUNTED), await store.request_groups(whose, since, _COUNTED)
    )


def _platform(request: Request, code: str) -> list[tuple[str, str]]:
    return registry.platform_codes(request.app.state.platform_codes, code)
