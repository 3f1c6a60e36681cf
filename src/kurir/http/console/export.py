"""What a search finds, as a file. It is written while it is read, page by page, and noted in the audit before it begins."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from kurir.console import exporting
from kurir.console import messages as view
from kurir.console.rights import Right
from kurir.http.answers import RequestFailed
from kurir.http.console import finding
from kurir.http.console.route import ConsoleRoute, console_of, form, needs, visitor_of
from kurir.store import GatewayStore
from kurir.store.base import MessageRecord
from kurir.store.looking import Page, Search

router = APIRouter(prefix="/console/messages/export", route_class=ConsoleRoute, include_in_schema=False)

#: Messages that are read at once, and reads of a file: a search that finds little looks back a bounded way each time.
_ROWS: Final = 500
_READS: Final = 2_000


@router.post("")
@needs(Right.SEE)
async def export(request: Request) -> Response:
    """Send what the search in the form finds as a file.

    Where phones and texts are masked they stay so, unless somebody who may reveal them asks for them: that is in the audit.
    """
    sent = await form(request)
    kind = sent.text("format", "csv")
    if kind not in exporting.FORMATS:
        raise RequestFailed("invalid_parameters", "a file is csv or jsonl")
    state, visitor, console = request.app.state, visitor_of(request), console_of(request)
    asked = finding.asked_in_form(request, sent)
    plain = not console.masked or (visitor.may(Right.ACT) and "plain" in sent)
    # What comes while the file is written is not in it; and the first page tells which reading of the search it is.
    looked = await finding.look(request, asked, _ROWS)
    after = {"format": kind, "plain": plain, "most": exporting.MOST}
    # The audit is read by people who may see neither phones nor texts.
    told = view.without_text(asked) if console.masked else asked
    await console.audit.note(visitor, "exported", "message", told.query(), after=after)
    lines = _lines(state.store, looked.search, looked.found, kind, masked=not plain)
    name = f"messages-{state.clock.now():%Y%m%d-%H%M%S}.{kind}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines, media_type=exporting.FORMATS[kind], headers=headers)


async def _lines(store: GatewayStore, wanted: Search, page: Page, kind: str, *, masked: bool) -> AsyncIterator[str]:
    yield exporting.head(kind)
    written, last = 0, page.looked_back_to
    for _ in range(_READS):
        texts = await store.snippets([one.seq for one in page.rows])
        rows = page.rows[: exporting.MOST - written]
        yield "".join(exporting.line(kind, exporting.row(one, texts.get(one.seq, b""), masked=masked)) for one in rows)
        written += len(rows)
        last = _down_to(rows, last) if rows else page.looked_back_to or last
        if page.complete and len(rows) == len(page.rows):
            return
        if written >= exporting.MOST or page.next_seq is None:
            break
        page = await store.search(replace(wanted, before_seq=page.next_seq), _ROWS)
    yield exporting.more(kind, last.isoformat() if last is not None else "")


def _down_to(rows: Sequence[MessageRecord], before: datetime | None) -> datetime:
    """Return down to when *rows* lead. One that was queued again was accepted long before those that come after it here."""
    return next((one.accepted_at for one in reversed(rows) if one.run == 1), before or rows[-1].accepted_at)
