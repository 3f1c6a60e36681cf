"""Showing what is masked to somebody who has the right: one thing, in one session, for a quarter of an hour.

The audit is where it is kept: who is not written down is shown nothing. So it holds on every node, and whoever asks who saw a
phone or a text finds the answer.
"""

import json
from datetime import timedelta
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from kurir.console.rights import Right
from kurir.http.answers import RequestFailed
from kurir.http.console.route import ConsoleRoute, base_of, console_of, form, inside, needs, visitor_of
from kurir.store.access import AuditFilter

router = APIRouter(prefix="/console/reveal", route_class=ConsoleRoute, include_in_schema=False)

#: How long something stays revealed.
LASTS: Final = timedelta(minutes=15)
#: What can be revealed. ``list``: a page of a search, under its search.
KINDS: Final = frozenset({"message", "contact", "callback", "request", "webhook", "list"})
#: Entries of the audit about one thing that are looked through.
_ENTRIES: Final = 50
_LONGEST: Final = 300


async def revealed(request: Request, kind: str, subject: str) -> bool:
    """Return whether this thing is to be shown as it is: nothing is masked here, or this session had it revealed just now."""
    state, visitor = console_of(request), visitor_of(request)
    if not state.masked:
        return True
    if not visitor.may(Right.ACT):
        return False
    since = state.clock.now() - LASTS
    wanted = AuditFilter(actor=visitor.name, action="revealed", kind=kind, subject=subject[:_LONGEST], since=since)
    entries = await state.access.store.audit(wanted, _ENTRIES)
    return any(json.loads(one.after).get("session") == visitor.session_id for one in entries)


@router.post("")
@needs(Right.ACT)
async def reveal(request: Request) -> Response:
    """Reveal one thing, and lead back to its page. Whether the visitor may see the thing at all is that page's to say."""
    sent = await form(request)
    state, visitor = console_of(request), visitor_of(request)
    kind, subject = sent.text("kind"), sent.text("id")
    if kind not in KINDS or not (subject or kind == "list"):
        raise RequestFailed("invalid_parameters", "what is to be revealed is not said; open the page anew")
    after = {"session": visitor.session_id}
    await state.audit.note(visitor, "revealed", kind, subject[:_LONGEST], after=after)
    return RedirectResponse(base_of(request) + inside(sent.text("next", "/console")), status_code=303)
