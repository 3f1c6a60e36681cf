"""One message: how it looks on the phone, why it waits or failed, what became of it, and what was said over the wire."""

from typing import Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

from kurir import demo_facts
from kurir.clock import uuid7
from kurir.console import requested, snippets
from kurir.console.rights import Right
from kurir.console.timeline import timeline
from kurir.directory import Directory, Entry
from kurir.domain.errors import ERRORS
from kurir.domain.status import Status
from kurir.http import turns
from kurir.http.answers import RequestFailed
from kurir.http.console import bubble
from kurir.http.console.phones import PLACE
from kurir.http.console.reveal import revealed
from kurir.http.console.route import ConsoleRoute, base_of, console_of, form, inside, needs, page, to, visitor_of
from kurir.http.native import is_final
from kurir.http.why import why_it_waits
from kurir.intake.accept import Acceptor, IdReused, Refused
from kurir.store import GatewayStore
from kurir.store.base import MessageRecord, Turn
from kurir.store.feed import Owed
from kurir.store.looking import Story

router = APIRouter(prefix="/console/messages", route_class=ConsoleRoute, include_in_schema=False)

#: The parts of the page of which one is shown.
TABS: Final = ("request", "platform", "answers", "receipts", "callbacks", "losses", "copy")
#: Where a sandbox of this process can be.
_HERE: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@router.get("/{tid}")
@needs(Right.SEE)
async def show_message(request: Request, tid: str) -> Response:
    """Show a message with all that is known of it."""
    state = request.app.state
    story = await story_of(request, tid)
    message = story.message
    entry: Entry | None = state.directory.accounts().get(message.account_id)
    content = requested.message_of(story.body)
    body = requested.request_of(content, message.accepted_at) if content is not None else None
    open_ = await revealed(request, "message", tid)
    tab = request.query_params.get("tab", "request")
    public = console_of(request).public_url or str(request.base_url).rstrip("/")
    send_url = f"{public}/{message.channel}/send/{message.client_id}"
    final = is_final(message, entry.channel if entry is not None else None)
    known = bool(message.address) and await state.store.contact(message.account_id, message.address) is not None
    return page(
        request,
        "message.html",
        message=message,
        contact=console_of(request).references.of("contact", message.account_id, message.address) if known else "",
        story=story,
        hidden=not open_,
        why=await why_it_waits(state, message.client_id, message),
        failure=message.error if message.status < Status.PENDING else None,
        entry=ERRORS.get(message.error.code) if message.error is not None else None,
        timeline=timeline(story, masked=not open_),
        final=final,
        last_word=entry is not None and message.status >= entry.channel.CAPABILITIES.final_status,
        settled=final and all(one.callback.state is not Owed.PENDING for step in story.steps for one in step.callbacks),
        tabs=TABS,
        tab=tab if tab in TABS else "request",
        body=body,
        send_path=f"/{message.channel}/send/{message.client_id}",
        snippets=snippets.snippets(send_url, body) if body is not None and open_ else {},
        chosen=request.query_params.get("as", "curl"),
        drawn=bubble.of_story(story, entry) if open_ else None,
        files=bubble.files(),
        place=PLACE,
        can_copy=open_ and body is not None and _copy_account(request, message) is not None,
    )


async def story_of(request: Request, tid: str) -> Story:
    """Return the story of a message that the visitor may see. Raises RequestFailed for every other."""
    store: GatewayStore = request.app.state.store
    found = await store.story(visitor_of(request).client_ids, tid) if len(tid) <= 64 else None
    if found is None:
        raise RequestFailed("not_found", "there is no message with this tid")
    return found


@router.post("/{tid}/retry")
@needs(Right.ACT)
async def retry(request: Request, tid: str) -> Response:
    """Queue a failed message again."""
    record = (await story_of(request, tid)).message
    store: GatewayStore = request.app.state.store
    turn = await store.retry(record.client_id, tid, request.app.state.clock.now())
    if turn is Turn.DONE:
        request.app.state.operator().wake(record.account_id)
    return await _turned(request, turn, record, "retried")


@router.post("/{tid}/cancel")
@needs(Right.ACT)
async def cancel(request: Request, tid: str) -> Response:
    """End a message of which nothing was sent yet."""
    record = (await story_of(request, tid)).message
    store: GatewayStore = request.app.state.store
    turn = await store.cancel(record.client_id, tid, request.app.state.clock.now())
    return await _turned(request, turn, record, "cancelled")


async def _turned(request: Request, turn: Turn, record: MessageRecord, said: str) -> Response:
    if turn is not Turn.DONE:
        now = (await story_of(request, record.tid)).message
        why = turns.refusal(turn, now)
        raise RequestFailed(why.code, why.detail)
    before = {"status": int(record.status)}
    await console_of(request).audit.note(
        visitor_of(request), f"message_{said}", "message", record.tid, client_id=record.client_id, before=before
    )
    return await _back(request, record.tid, said)


async def _back(request: Request, tid: str, said: str) -> Response:
    """Lead to the message, or to the list that the button stood in."""
    wanted = inside((await form(request)).text("next", "/console"))
    if wanted.startswith("/console/messages?") or wanted == "/console/messages":
        path, _, query = wanted.partition("?")
        kept = [one for one in query.split("&") if one and not one.startswith("said=")]
        response = to(request, path.removeprefix("/console"))
        response.headers["location"] = f"{base_of(request)}{path}?{'&'.join([*kept, f'said={said}'])}"
        return response
    return to(request, f"/messages/{tid}", said)


@router.post("/{tid}/to-sandbox")
@needs(Right.ACT)
async def send_to_sandbox(request: Request, tid: str) -> Response:
    """Send a copy of a message to the demo's own recipient, whose phone is in this process."""
    story = await story_of(request, tid)
    content = requested.message_of(story.body)
    account = _copy_account(request, story.message)
    if account is None or content is None or not await revealed(request, "message", tid):
        raise RequestFailed("not_found", "there is no sandbox in this process that this message could be sent to")
    body = requested.request_of(content, request.app.state.clock.now())
    for name in ("reply_id", "reply_token", "send_at"):
        body.pop(name, None)
    body |= {"id": f"copy-{uuid7()}", "recipient": demo_facts.RECIPIENT, "account": account}
    acceptor: Acceptor = request.app.state.acceptor
    taken = await acceptor.accept(story.message.client_id, story.message.channel, body)
    if isinstance(taken, Refused):
        raise RequestFailed("invalid_message", problems=taken.problems)
    assert not isinstance(taken, IdReused), "the id is new"  # noqa: S101 - made above
    await console_of(request).audit.note(
        visitor_of(request),
        "message_sent",
        "message",
        taken.tid,
        client_id=story.message.client_id,
        after={"copy_of": tid, "channel": story.message.channel, "account": account},
    )
    return to(request, f"/messages/{taken.tid}", "sent")


def _copy_account(request: Request, message: MessageRecord) -> str | None:
    """Return the sandbox's own account of the message's client and channel, None where there is none.

    Only an account that the demo itself made is good for a copy: no other platform than the sandbox gets it.
    """
    directory: Directory = request.app.state.directory
    wanted = demo_facts.ACCOUNTS.get(message.channel, "")
    if console_of(request).sandbox is None or wanted not in directory.accounts():
        return None
    account = directory.accounts()[wanted].account
    here = urlsplit(account.api_base).hostname in _HERE
    return wanted if here and account.client_id == message.client_id else None
