"""Files that came in: ``/media/…``, the links that callbacks carry. The signature in the path is the permission."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

import structlog
from fastapi import APIRouter, Request, Response
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, StreamingResponse

from kurir.http.answers import RequestFailed
from kurir.intake.file_names import disposition
from kurir.intake.media import EgressRefused, InboundFiles, KeptFile, MediaUnavailable, NoSuchFile, OpenFile, Ticket

log = structlog.get_logger(__name__)

#: A number in a link has at most so many digits.
_DIGITS: Final = 18

router = APIRouter(include_in_schema=False)


@router.get("/media/{account_id}/{position}/{number}/{until}/{signature}")
async def get_media(
    request: Request, account_id: str, position: str, number: str, until: str, signature: str
) -> Response:
    """Give a file that came in; of a kept one also a range. A link that is not ours, or has ended, finds nothing."""
    ticket = Ticket(account_id, _number(position), _number(number), _number(until), signature)
    files: InboundFiles = request.app.state.files()
    stack = contextlib.AsyncExitStack()
    try:
        file = await stack.enter_async_context(files.open(ticket))
    except NoSuchFile:
        raise RequestFailed("not_found", "there is no such file, or the link to it has ended") from None
    except EgressRefused as refused:
        log.warning("media_refused", account=account_id[:64], why=str(refused))
        raise RequestFailed("media_gone", "the file is not where the gateway may fetch it") from None
    except MediaUnavailable as missing:
        log.info("media_not_fetched", account=account_id[:64], position=ticket.position, why=str(missing))
        raise RequestFailed("media_gone" if missing.final else "media_unavailable", str(missing)) from None
    try:
        if isinstance(file, KeptFile):
            await stack.aclose()  # it holds nothing
            return FileResponse(file.path, headers=_headers(file), stat_result=file.stat)
        return StreamingResponse(_pieces(file, stack), headers=_headers(file), background=BackgroundTask(stack.aclose))
    except BaseException:
        await stack.aclose()  # nobody will read it
        raise


async def _pieces(file: OpenFile, stack: contextlib.AsyncExitStack) -> AsyncIterator[bytes]:
    """Pass the bytes on, and let go of the platform's connection however the reader leaves."""
    async with stack:
        async for piece in file.chunks:
            yield piece


def _headers(file: OpenFile | KeptFile) -> dict[str, str]:
    """Return headers by which a browser saves the file, and runs nothing of it: strangers sent it."""
    headers = {
        "Content-Type": file.mime_type,
        "Content-Disposition": disposition(file.name),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, max-age=3600",
    }
    if isinstance(file, OpenFile) and file.length is not None:
        headers["Content-Length"] = str(file.length)
    return headers


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise RequestFailed("not_found", "there is no such file, or the link to it has ended")
    return int(text)
