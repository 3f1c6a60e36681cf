"""What a search of the console finds: for the list, and for what is done with all of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fastapi import Request

from kurir.console import messages as view
from kurir.console import searching
from kurir.console.rights import Right
from kurir.console.searching import Asked
from kurir.http.answers import RequestFailed
from kurir.http.console.route import Form, console_of, visitor_of
from kurir.store import GatewayStore
from kurir.store.looking import Page, Search


@dataclass(frozen=True, slots=True)
class Looked:
    """What a search came to: the one of its readings that found something, and its page."""

    asked: Asked
    search: Search
    found: Page


def asked_in_address(request: Request) -> Asked:
    """Return the search that stands in the address."""
    return _asked(request, {name: request.query_params.getlist(name) for name in searching.PARAMETERS})


def asked_in_form(request: Request, sent: Form) -> Asked:
    """Return the search in a form that acts on all that it finds. Raises RequestFailed where part of it is not understood."""
    asked = _asked(request, {name: sent.all(name) for name in searching.PARAMETERS})
    if asked.wrong:  # left out, it would find more than was meant
        detail = f"this part of the search is not understood: {asked.wrong[0][:100]}"
        raise RequestFailed("invalid_parameters", detail)
    return asked


def _asked(request: Request, parameters: Mapping[str, Sequence[str]]) -> Asked:
    asked = searching.from_parameters(parameters)
    if console_of(request).masked and not visitor_of(request).may(Right.ACT):
        # Who may not see a text must not find out what it says by searching either.
        return view.without_text(asked)
    return asked


async def look(request: Request, asked: Asked, limit: int, before_seq: int | None = None) -> Looked:
    """Return what a search finds, newest first. Raises nothing for one that is wrong: what is wrong is told."""
    state = request.app.state
    store: GatewayStore = state.store
    whose = visitor_of(request).client_ids
    clients = (one for one in state.directory.clients().values() if whose is None or one.id in whose)
    regions = sorted({one.default_region for one in clients if one.default_region})
    tries = searching.searches(asked, client_ids=whose, regions=regions, now=state.clock.now())
    looked: Looked | None = None
    for wanted in tries:
        search = replace(wanted, before_seq=before_seq)
        looked = Looked(asked, search, await store.search(search, limit))
        if looked.found.rows:
            break
    assert looked is not None, "a search has at least one reading"  # noqa: S101 - narrows the type
    return looked
