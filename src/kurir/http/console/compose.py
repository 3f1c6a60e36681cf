"""Sending a message by hand: a form, what it would look like, and the same way in as the API's."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Request, Response

from kurir.clock import uuid7
from kurir.console import composing
from kurir.console import messages as view
from kurir.console.rights import Right
from kurir.directory import Entry
from kurir.domain.problem import Loss, Problem
from kurir.http.answers import RequestFailed
from kurir.http.console import bubble
from kurir.http.console.phones import PLACE
from kurir.http.console.route import ConsoleRoute, Form, console_of, form, needs, page, to, visitor_of
from kurir.intake.accept import Acceptor, IdReused, Preview, Refused

router = APIRouter(prefix="/console/messages/new", route_class=ConsoleRoute, include_in_schema=False)


@router.get("")
@needs(Right.ACT)
async def compose(request: Request) -> Response:
    """Show the form. The address may fill in the account and the recipient."""
    given = {name: request.query_params.get(name, "")[:1000] for name in ("account", "recipient", "type")}
    return _show(request, {**given, "id": f"console-{uuid7()}"})


@router.post("")
@needs(Right.ACT)
async def send(request: Request) -> Response:
    """Accept the message as the API would, and lead to its page; or show what it would look like."""
    sent = await form(request)
    fields = _fields(sent)
    entry = _entry(request, fields["account"])
    if entry is None:
        return _show(request, fields, [Problem("/account", "unknown_account", "choose the account to send from")])
    account, acceptor = entry.account, _acceptor(request)
    body = composing.body_of(fields, request.app.state.clock.now())
    if "preview" in sent:
        seen = await acceptor.preview(account.client_id, account.channel, body)
        if isinstance(seen, Refused):
            return _show(request, fields, seen.problems)
        return _show(request, fields, preview=seen)
    taken = await acceptor.accept(account.client_id, account.channel, body)
    if isinstance(taken, Refused):
        return _show(request, fields, taken.problems)
    if isinstance(taken, IdReused):
        raise RequestFailed("id_reused", "this form was sent before, with other content; open the form anew")
    if not taken.replayed:
        after = {"channel": account.channel, "account": account.id, "type": fields["type"]}
        await console_of(request).audit.note(
            visitor_of(request), "message_sent", "message", taken.tid, client_id=account.client_id, after=after
        )
    return to(request, f"/messages/{taken.tid}", "sent")


def _acceptor(request: Request) -> Acceptor:
    acceptor: Acceptor = request.app.state.acceptor
    return acceptor


def _fields(sent: Form) -> dict[str, str]:
    return {name: sent.text(name).replace("\r\n", "\n") for name in composing.FIELDS}


def _entry(request: Request, account_id: str) -> Entry | None:
    """Return the enabled account of that id, if the visitor may see it."""
    visitor = visitor_of(request)
    entry: Entry | None = request.app.state.directory.accounts().get(account_id)
    whose = visitor.client_ids
    return None if entry is None or (whose is not None and entry.account.client_id not in whose) else entry


def _show(
    request: Request, fields: Mapping[str, str], problems: Sequence[Problem] = (), preview: Preview | None = None
) -> Response:
    at, others = composing.at_fields(problems)
    losses: tuple[Loss, ...] = () if preview is None else preview.losses
    channel = "" if preview is None else preview.entry.account.channel
    return page(
        request,
        "compose.html",
        status=422 if problems else 200,
        fields={name: fields.get(name, "") for name in composing.FIELDS},
        problems=at,
        others=others,
        types=composing.TYPES,
        accounts=view.accounts_of(request.app.state.directory, visitor_of(request)),
        drawn=None if preview is None else bubble.of_calls(channel, preview.rendering.calls),
        losses=losses,
        channel=channel,
        files=bubble.files(),
        place=PLACE,
    )
