"""Retrying and cancelling many messages: those that were picked, or all that a search finds. The count comes first."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from kurir.console import bulk, searching
from kurir.console.rights import Right
from kurir.http.answers import RequestFailed
from kurir.http.console import finding
from kurir.http.console.route import ConsoleRoute, Form, console_of, form, needs, page, to, visitor_of
from kurir.http.operator import Operator
from kurir.store import GatewayStore
from kurir.store.base import Turn
from kurir.store.looking import Counted, Named, Search

router = APIRouter(prefix="/console/messages/bulk", route_class=ConsoleRoute, include_in_schema=False)

#: Messages that are picked by hand, at most: a page has fewer.
_PICKED: Final = 200
#: Turns that wait for the store at once.
_AT_ONCE: Final = 100
#: Why some were not done, in the order in which it is told.
_REASONS: Final = (Turn.ENDED, Turn.BEGUN, Turn.NOT_FAILED, Turn.NOT_FOUND)


@dataclass(frozen=True, slots=True)
class Meant:
    """What an action is meant for: how many messages were named in all, and those that it is for, as far as counted."""

    named: int | None
    counted: Counted
    up_to: int = 0


@router.post("")
@needs(Right.ACT)
async def ask(request: Request) -> Response:
    """Say how many messages it would be, and ask."""
    sent = await form(request)
    action, picked = _action(sent), _picked(sent)
    if "all" not in sent and not picked:
        return _back(request, sent)
    meant = await _all(request, sent, action) if "all" in sent else await _some(request, picked, action)
    return page(
        request,
        "bulk.html",
        action=action,
        meant=meant,
        picked=picked if "all" not in sent else [],
        everything="all" in sent,
        asked=finding.asked_in_form(request, sent),
        parameters=_parameters(sent),
        most=bulk.MOST,
    )


@router.post("/do")
@needs(Right.ACT)
async def do(request: Request) -> Response:
    """Do it, in batches."""
    sent = await form(request)
    action, state = _action(sent), request.app.state
    store: GatewayStore = state.store
    if "all" in sent:
        wanted = await _search(request, sent, action)
        up_to = sent.text("up_to")
        if not (up_to.isascii() and up_to.isdigit() and len(up_to) < 19):
            raise RequestFailed("invalid_parameters", "the form is damaged; open the list anew")
        names = None if wanted is None else await store.tids(replace(wanted, before_seq=int(up_to)), bulk.MOST)
        found, complete = ((), True) if names is None else (names.found, names.complete)
    else:
        found, complete = tuple(await _named(request, _picked(sent))), True
    done = bulk.outcome(await _turn(request, found, action)) if found else bulk.Done(0, {})
    told = [("action", action), ("done", str(done.done)), ("more", str(int(not complete)))]
    told += [(one.value, str(done.not_done[one])) for one in _REASONS if done.not_done.get(one)]
    return to(request, f"/messages/bulk/done?{urlencode([*told, *_parameters(sent)])}")


@router.get("/done")
@needs(Right.ACT)
async def done_page(request: Request) -> Response:
    """Say what came of it. All that the address says is numbers, so that nobody can put words into the page."""
    parameters = request.query_params
    return page(
        request,
        "bulk_done.html",
        action=parameters.get("action", "") if parameters.get("action") in bulk.ACTIONS else "retry",
        done=_number(parameters.get("done", "")),
        reasons=[(one.value, count) for one in _REASONS if (count := _number(parameters.get(one.value, "")))],
        more=parameters.get("more") == "1",
        parameters=[one for one in parameters.multi_items() if one[0] in searching.PARAMETERS],
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _action(sent: Form) -> str:
    action = sent.text("action")
    if action not in bulk.ACTIONS:
        raise RequestFailed("invalid_parameters", "the form does not say what is to be done; open the list anew")
    return action


def _picked(sent: Form) -> list[str]:
    return [one for one in dict.fromkeys(sent.all("pick")) if one and len(one) <= 64][:_PICKED]


def _parameters(sent: Form) -> list[tuple[str, str]]:
    return [(name, value) for name in searching.PARAMETERS for value in sent.all(name) if value]


def _back(request: Request, sent: Form) -> Response:
    return to(request, f"/messages?{urlencode(_parameters(sent))}")


async def _search(request: Request, sent: Form, action: str) -> Search | None:
    """Return the search for what *action* is for, among all that the form's search finds."""
    looked = await finding.look(request, finding.asked_in_form(request, sent), 1)
    return bulk.narrowed(looked.search, action)


async def _all(request: Request, sent: Form, action: str) -> Meant:
    store: GatewayStore = request.app.state.store
    wanted = await _search(request, sent, action)
    if wanted is None:
        return Meant(None, Counted(0, complete=True))
    newest = (await store.search(wanted, 1)).rows
    # What comes while the question stands is not meant by the answer.
    up_to = newest[0].seq + 1 if newest else 0
    counted = await store.count(replace(wanted, before_seq=up_to), bulk.MOST + 1) if newest else None
    return Meant(None, counted or Counted(0, complete=True), up_to)


async def _some(request: Request, picked: Sequence[str], action: str) -> Meant:
    store: GatewayStore = request.app.state.store
    whose = visitor_of(request).client_ids
    pages = await asyncio.gather(*(store.search(Search(client_ids=whose, tid=tid), 1) for tid in picked))
    fit = [row for each in pages for row in each.rows if bulk.is_for(row, action)]
    return Meant(len(picked), Counted(len(fit), complete=True))


async def _named(request: Request, picked: Sequence[str]) -> list[Named]:
    """Return those of the picked messages that the visitor may see."""
    store: GatewayStore = request.app.state.store
    whose = visitor_of(request).client_ids
    pages = await asyncio.gather(*(store.search(Search(client_ids=whose, tid=tid), 1) for tid in picked))
    return [Named(row.seq, row.client_id, row.tid) for each in pages for row in each.rows]


async def _turn(request: Request, found: Sequence[Named], action: str) -> list[Turn]:
    """Retry or cancel each message, oldest first, and wake who sends. What was done before a failure stays done."""
    state, visitor = request.app.state, visitor_of(request)
    store: GatewayStore = state.store
    clients = sorted({one.client_id for one in found})
    await console_of(request).audit.note(
        visitor,
        "messages_retried" if action == "retry" else "messages_cancelled",
        "message",
        found[0].tid if len(found) == 1 else f"{len(found)} messages",
        client_id=clients[0] if len(clients) == 1 else "",
        after={"messages": len(found), "newest": found[0].tid, "oldest": found[-1].tid, "clients": clients},
    )
    turn = store.retry if action == "retry" else store.cancel
    turns: list[Turn] = []
    queue = list(reversed(found))
    for first in range(0, len(queue), _AT_ONCE):
        now = state.clock.now()
        batch = queue[first : first + _AT_ONCE]
        turns += await asyncio.gather(*(turn(one.client_id, one.tid, now) for one in batch))
    if action == "retry":
        operator: Operator = state.operator()
        for account_id, entry in state.directory.accounts().items():
            if entry.account.client_id in clients:
                operator.wake(account_id)
    return turns
