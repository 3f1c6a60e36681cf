"""The seed's endpoint, and the preview of what it would send.

The order of the checks is the contract's: 404 path or channel · 405 · 401 · 403 · 413 · 415 · 400 · 422 · replay 200 or
409 · 503. The router answers the first two.
"""

from asyncio import Future
from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from kurir import tracing
from kurir.domain import channel as channels
from kurir.egress import masked_request
from kurir.http import answers, edge, logged, models
from kurir.http.answers import RequestFailed
from kurir.http.edge import Edge, RawRoute, guarded, raw
from kurir.http.whole import WholeRequest
from kurir.intake.accept import Accepting, Acceptor, IdReused, Refused, Taken
from kurir.store.base import Accepted, Conflict
from kurir.tracing import Parent

ChannelName = Literal["whatsapp", "telegram", "line", "messenger", "facebook"]
ChannelPath = Annotated[ChannelName, Path(description="whatsapp, telegram, line or messenger; facebook is an alias")]
ClientPath = Annotated[str, Path(description="The clientID that the credentials belong to")]

_FAILURES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": models.SendFailure, "description": text}
    for status, text in {
        400: "Not JSON, not UTF-8, nested too deep",
        401: "Credentials missing or wrong",
        403: "Not the clientID of these credentials",
        404: "Unknown path or channel",
        405: "Another method",
        409: "The id was used for other content",
        413: "More than 256 KiB",
        415: "Not JSON",
        422: "Invalid fields: all of them at once",
        429: "Too many requests",
        503: "Not made durable: nothing was kept",
    }.items()
}


_TAKEN: Final = {
    "headers": {
        name: {"description": text, "schema": {"type": kind}}
        for name, kind, text in (
            (
                "Kurir-Losses",
                "integer",
                "How many things the channel shows in another way than asked; absent when none.",
            ),
            ("Idempotent-Replayed", "string", "true when this id was accepted before with the same content."),
            ("Request-Id", "string", "The id of this request, for the log."),
        )
    }
}


async def _let_in(scope: Scope, receive: Receive, on_edge: Edge) -> tuple[str, str, object]:
    """Return (client, channel, parsed body) of a request that passed every check before its fields."""
    channel_name = _channel(scope)
    client_id = await edge.authenticate(on_edge, scope)
    edge.refuse_foreign_client(client_id, scope["path_params"]["client_id"])
    body = await edge.read_body(scope, receive)
    edge.check_content_type(scope)
    return client_id, channel_name, edge.read_json(body)


def _channel(scope: Scope) -> str:
    given: str = scope["path_params"]["channel"]
    channel_name = channels.canonical(given)
    if channel_name not in scope["app"].state.channels:
        raise RequestFailed("unknown_channel", edge.no_channel(given))
    return channel_name


async def _send(scope: Scope, receive: Receive, send: Send, on_edge: Edge) -> None:
    client_id, channel_name, body = await _let_in(scope, receive, on_edge)
    acceptor: Acceptor = scope["app"].state.acceptor
    on_edge.limits.message(client_id)
    taken = await acceptor.accept(client_id, channel_name, body, _parent(acceptor, scope))
    content, headers = _answer(taken)
    if isinstance(taken, Taken) and not taken.replayed:
        on_edge.limits.accepted(client_id)
    await edge.answer(send, 200, content, headers)


def _parent(acceptor: Acceptor, scope: Scope) -> Parent | None:
    """Return the trace that a request belongs to, None where nobody wants to know."""
    return None if acceptor.traces is None else tracing.parent_of(scope["headers"])


def _answer(taken: Taken | Refused | IdReused) -> tuple[bytes, answers.Headers]:
    """Return body and headers of the answer 200. Raises RequestFailed where it is another one."""
    if isinstance(taken, Refused):
        raise RequestFailed("invalid_message", problems=taken.problems)
    if isinstance(taken, IdReused):
        detail = f"the id «{taken.message_id[:100]}» belongs to a message with other content; use a new id"
        raise RequestFailed("id_reused", detail, extra={"tid": taken.tid})
    headers: answers.Headers = []
    if taken.losses:
        headers.append((b"kurir-losses", str(len(taken.losses)).encode()))
    if taken.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    return answers.success(taken.message_id, taken.status, taken.tid), headers


def take_whole(request: WholeRequest, scope: Scope) -> bool:
    """Take a send that came whole. Returns False where more than its commit has to be waited for.

    What it checks, in which order, and what it answers is what :func:`_send` does.
    """
    state = scope["app"].state
    on_edge: Edge = state.edge
    acceptor: Acceptor = state.acceptor
    with_id = (b"request-id", edge.begin(scope))

    def end(accepting: Accepting, asked: Future[Accepted | Conflict]) -> None:
        if asked.cancelled():  # the process ends
            return
        try:
            taken = acceptor.taken(accepting, asked.result())
            content, headers = _answer(taken)
            if isinstance(taken, Taken) and not taken.replayed:
                on_edge.limits.accepted(accepting.new.client_id)
            request.answer(200, content, [*headers, with_id])
        except Exception as error:  # noqa: BLE001 - each has its answer
            accepting.not_written()
            fail(error)

    def fail(error: Exception) -> None:
        failed = edge.failed_by(scope, error)
        logged.refused(scope, failed)
        status, content, headers, kind = edge.failure(scope, failed, on_edge.base)
        request.answer(status, content, [*headers, with_id], kind)

    try:
        channel_name = _channel(scope)
        client_id = edge.known(on_edge, scope)
        if client_id is None:
            return False
        on_edge.limits.request(client_id)
        edge.refuse_foreign_client(client_id, scope["path_params"]["client_id"])
        body = edge.check_body(scope, request.body)
        edge.check_content_type(scope)
        content = edge.read_json(body)
        on_edge.limits.message(client_id)
        accepting = acceptor.begin(client_id, channel_name, content, _parent(acceptor, scope))
        if accepting is None:
            on_edge.limits.not_made(client_id)
            return False
        if isinstance(accepting, Refused):
            _answer(accepting)
        else:
            acceptor.ask(accepting).add_done_callback(partial(end, accepting))
    except Exception as error:  # noqa: BLE001 - each has its answer
        fail(error)
    return True


async def _preview(scope: Scope, receive: Receive, send: Send, on_edge: Edge) -> None:
    client_id, channel_name, body = await _let_in(scope, receive, on_edge)
    acceptor: Acceptor = scope["app"].state.acceptor
    preview = await acceptor.preview(client_id, channel_name, body)
    if isinstance(preview, Refused):
        raise RequestFailed("invalid_message", problems=preview.problems)
    secrets = preview.entry.account.settings.secrets()
    parts = b",".join(masked_request(call, secrets).encode() for call in preview.rendering.calls)
    losses = to_json([{"pointer": one.pointer, "kind": one.kind, "detail": one.detail} for one in preview.losses])
    await edge.answer(send, 200, b'{"data":{"parts":[' + parts + b'],"losses":' + losses + b"}}", [])


router = APIRouter(route_class=RawRoute, tags=["Send"])


@router.post(
    "/{channel}/send/{client_id}",
    response_model=models.SendAnswer,
    responses={200: _TAKEN, **_FAILURES},
    summary="Send a message",
)
@raw(guarded(_send))
async def send_message(channel: ChannelPath, client_id: ClientPath, message: models.SendRequest) -> None:
    """Accept a message. The 200 comes after it is durable on disk; its status is 0 until the platform has it.

    The same content with the same id again answers 200 with the same tid and today's status, and sends nothing twice.
    """


@router.post(
    "/{channel}/preview/{client_id}",
    response_model=models.PreviewAnswer,
    responses=_FAILURES,
    summary="Show what would be sent",
)
@raw(guarded(_preview))
async def preview_message(channel: ChannelPath, client_id: ClientPath, message: models.SendRequest) -> None:
    """Return the exact platform calls of a message, secrets masked, and what would be lost. Sends nothing."""
