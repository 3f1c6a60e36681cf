"""The console's files, each under the tag of its content, so that a browser keeps it for ever; and the live hints."""

import time
from collections.abc import AsyncIterator
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from kurir.console.live import HEARTBEAT_SECONDS, TooManyStreams
from kurir.console.pages import static_file
from kurir.console.rights import Right
from kurir.http.answers import RequestFailed
from kurir.http.console.route import ConsoleRoute, console_of, needs, open_to_all, visitor_of
from kurir.store.base import StoreUnavailable

router = APIRouter(prefix="/console", route_class=ConsoleRoute, include_in_schema=False)

_FOR_EVER: Final = "public, max-age=31536000, immutable"


@router.get("/static/{tag}/{name:path}")
@open_to_all
async def static(tag: str, name: str) -> Response:
    """Serve a file of the console. Under an old tag the present file is served, and not kept."""
    try:
        content, kind, current = static_file(name)
    except KeyError:
        raise RequestFailed("not_found", "there is no such file") from None
    kept = _FOR_EVER if tag == current else "no-cache"
    return Response(content, media_type=kind, headers={"Cache-Control": kept, "Vary": "Accept-Encoding"})


@router.get("/live")
@needs(Right.SEE)
async def live(request: Request) -> Response:
    """Tell the page when something changed, as server-sent events. What changed is for the page to ask."""
    state, whose = console_of(request), visitor_of(request).user_id
    pulse, token = state.pulse, request.cookies.get(state.cookie, "")
    if pulse.is_full(whose):
        raise RequestFailed("overloaded", "too many pages are open", headers={"Retry-After": "30"})

    async def stream() -> AsyncIterator[str]:
        yield "retry: 3000\n\n"
        looked_at = time.monotonic()
        try:
            async for changed in pulse.beats(whose):
                if time.monotonic() - looked_at >= HEARTBEAT_SECONDS:
                    looked_at = time.monotonic()
                    if not await state.access.lasts(token):
                        return  # signed out, or removed: who asks again is told so
                yield "event: pulse\ndata:\n\n" if changed else ": alive\n\n"
        except (TooManyStreams, StoreUnavailable):
            return

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
