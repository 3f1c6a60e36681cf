"""Operations: health, the API reference from vendored files, and the error registry, all without leaving the machine."""

from collections.abc import AsyncIterator
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, StreamingResponse

from kurir.domain.errors import ERRORS, ErrorEntry
from kurir.http import models
from kurir.http.answers import RequestFailed
from kurir.http.console import errors as error_pages
from kurir.http.edge import Edge

router = APIRouter(tags=["Operations"])

#: Swagger UI sets style attributes and shows its icons as data: URLs; scripts are ours alone.
_DOCS_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_STATIC: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "docs.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}


#: Bytes of a file that are written at once.
_PIECE: Final = 64 * 1024


def _secure(csp: str) -> dict[str, str]:
    return {"Content-Security-Policy": csp, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


@router.get("/livez", summary="The process runs")
async def livez() -> dict[str, str]:
    """Answer as long as the process can answer at all."""
    return {"status": "ok"}


@router.get("/readyz", summary="The gateway takes and sends messages")
async def readyz(request: Request) -> Response:
    """Answer 200 while messages are taken and sent; 503 with what is wrong when nothing can be written or a worker stopped."""
    wrong: list[str] = await request.app.state.readiness()
    body: dict[str, Any] = {"status": "ok" if not wrong else "not ready", "wrong": wrong}
    return JSONResponse(body, status_code=200 if not wrong else 503)


@router.get("/", include_in_schema=False)
async def root(request: Request) -> Response:
    """Lead somebody with a browser to the console."""
    return RedirectResponse(f"{_base(request)}/console", status_code=307)


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """Show the API reference."""
    edge: Edge = request.app.state.edge
    base = escape(edge.base, quote=True)
    page = (
        f'<!doctype html><html lang="en" data-base="{base}"><head><meta charset="utf-8"><title>kurir API</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="{base}/static/favicon-32x32.png"><link rel="stylesheet" href="{base}/static/swagger-ui.css">'
        f'</head><body><div id="docs"></div><script src="{base}/static/swagger-ui-bundle.js"></script>'
        f'<script src="{base}/static/docs.js"></script></body></html>'
    )
    return HTMLResponse(page, headers=_secure(_DOCS_CSP))


@router.get("/static/{name}", include_in_schema=False)
async def static(name: str) -> Response:
    """Serve a vendored file."""
    kind = _STATIC.get(name)
    if kind is None:
        raise RequestFailed("not_found", "there is no such file")
    content = _vendored(name)
    headers = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}
    headers["Content-Length"] = str(len(content))
    return StreamingResponse(_pieces(content), media_type=kind, headers=headers)


@cache
def _vendored(name: str) -> bytes:
    return files("kurir.http").joinpath("static", name).read_bytes()


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    """Give a file piece by piece: whoever reads slowly, or not at all, keeps no more than a piece of it in memory."""
    for begin in range(0, len(content), _PIECE):
        yield content[begin : begin + _PIECE]


@router.get("/errors", summary="Every error there is")
async def list_errors(request: Request) -> Response:
    """Return the error registry, as JSON or as a page."""
    if _wants_html(request):
        return error_pages.public_list(request)
    return JSONResponse({"data": [_entry(request, entry) for entry in ERRORS.values()], "next": None})


@router.get(
    "/errors/{code}",
    responses={404: {"model": models.SendFailure, "description": "There is no such error"}},
    summary="One error: cause, fix, platform codes",
)
async def show_error(request: Request, code: str) -> Response:
    """Return one entry of the error registry, as JSON or as a page."""
    entry = ERRORS.get(code)
    if entry is None:
        raise RequestFailed("not_found", f"there is no error «{code[:60]}»; GET /errors lists them all")
    shown = _entry(request, entry)
    if not _wants_html(request):
        return JSONResponse({"data": shown})
    return error_pages.public_error(request, code)


def _base(request: Request) -> str:
    edge: Edge = request.app.state.edge
    return escape(edge.base, quote=True)


def _entry(request: Request, entry: ErrorEntry) -> dict[str, Any]:
    return {
        "code": entry.code,
        "title": entry.title,
        "cause": entry.cause,
        "fix": entry.fix,
        "status": entry.status,
        "retryable": entry.retryable,
        "platform_codes": request.app.state.platform_codes.get(entry.code, []),
    }


def _wants_html(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
