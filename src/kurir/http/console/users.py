"""Users of the console: who may look, as what; adding, changing and removing them, and the links that let them in."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from kurir.clock import uuid7
from kurir.console import users as view
from kurir.console.rights import ROLES, Right
from kurir.console.users import Wanted
from kurir.console.words import _
from kurir.http.answers import RequestFailed
from kurir.http.console.route import ConsoleRoute, Form, base_of, console_of, form, needs, page, to, visitor_of
from kurir.store.access import UserChange, UserOutcome, UserRecord

router = APIRouter(prefix="/console/users", route_class=ConsoleRoute, include_in_schema=False)


@router.get("")
@needs(Right.OWN)
async def list_users(request: Request) -> Response:
    """Show who may look at the console."""
    return await _page(request)


@router.post("")
@needs(Right.OWN)
async def add_user(request: Request) -> Response:
    """Add a user, and show the link that lets them in once."""
    sent, state = await form(request), console_of(request)
    wanted, clients = _wanted(sent), await _clients(request)
    problems = view.problems(wanted, clients)
    if problems:
        return await _page(request, problems=problems, typed=wanted, status=422)
    now = state.clock.now()
    user = UserRecord(uuid7(), wanted.name, wanted.role, wanted.scope, created_at=now)
    if not await state.access.store.put_user(user, now):
        return await _page(request, problems={"name": _("Another user has this name.")}, typed=wanted, status=422)
    after = {"role": user.role, "client": user.client_id}
    await state.audit.note(visitor_of(request), "user_added", "user", user.name, after=after)
    return await _link(request, user)


@router.post("/{user_id}")
@needs(Right.OWN)
async def change_user(request: Request, user_id: str) -> Response:
    """Change what a user may see, or whether they may look at all."""
    sent, user = await form(request), await _user(request, user_id)
    wanted = Wanted(user.name, sent.text("role", user.role), sent.text("client"))
    problems = view.problems(wanted, await _clients(request))
    if problems:
        raise RequestFailed("invalid_parameters", " ".join(problems.values()))
    change = UserChange(role=wanted.role, client_id=wanted.scope)
    return await _changed(request, user, change, "user_changed")


@router.post("/{user_id}/disable")
@needs(Right.OWN)
async def disable_user(request: Request, user_id: str) -> Response:
    """Let a user look no more, at once."""
    return await _changed(request, await _user(request, user_id), UserChange(enabled=False), "user_changed")


@router.post("/{user_id}/enable")
@needs(Right.OWN)
async def enable_user(request: Request, user_id: str) -> Response:
    """Let a user look again."""
    return await _changed(request, await _user(request, user_id), UserChange(enabled=True), "user_changed")


@router.post("/{user_id}/remove")
@needs(Right.OWN)
async def remove_user(request: Request, user_id: str) -> Response:
    """Remove a user with sessions and links."""
    state, user = console_of(request), await _user(request, user_id)
    _check(await state.access.store.remove_user(user.id))
    before = {"role": user.role, "client": user.client_id}
    await state.audit.note(visitor_of(request), "user_removed", "user", user.name, before=before)
    return to(request, "/users", "user_removed")


@router.post("/{user_id}/link")
@needs(Right.OWN)
async def make_link(request: Request, user_id: str) -> Response:
    """Make a link that lets a user in once, and show it."""
    return await _link(request, await _user(request, user_id))


@router.post("/{user_id}/sessions/end")
@needs(Right.OWN)
async def end_sessions(request: Request, user_id: str) -> Response:
    """End every session of a user, but not the one that asks."""
    state, visitor, user = console_of(request), visitor_of(request), await _user(request, user_id)
    ended = await state.access.store.close_sessions(user.id, but=visitor.session_id)
    await state.audit.note(visitor, "session_ended", "user", user.name, after={"sessions": ended})
    return to(request, "/users", "sessions_ended")


@router.post("/{user_id}/totp/reset")
@needs(Right.OWN)
async def reset_totp(request: Request, user_id: str) -> Response:
    """Turn a user's second factor off: the phone is lost."""
    state, user = console_of(request), await _user(request, user_id)
    _check(await state.access.store.change_user(user.id, UserChange(totp=b""), state.clock.now()))
    await state.audit.note(visitor_of(request), "totp_off", "user", user.name)
    return to(request, "/users", "totp_reset")


async def _changed(request: Request, user: UserRecord, change: UserChange, action: str) -> Response:
    state = console_of(request)
    _check(await state.access.store.change_user(user.id, change, state.clock.now()))
    after = {name: value for name, value in asdict(change).items() if value is not None}
    before = {name: getattr(user, name) for name in after}
    await state.audit.note(visitor_of(request), action, "user", user.name, before=before, after=after)
    return to(request, "/users", "user_changed")


def _check(outcome: UserOutcome) -> None:
    if outcome is UserOutcome.GONE:
        raise RequestFailed("not_found", "there is no such user any more")
    if outcome is UserOutcome.LAST_OWNER:
        detail = "this is the last owner who may look: make another user an owner first"
        raise RequestFailed("last_owner", detail)


async def _user(request: Request, user_id: str) -> UserRecord:
    for one in await console_of(request).access.store.users():
        if one.id == user_id:
            return one
    raise RequestFailed("not_found", "there is no such user")


async def _link(request: Request, user: UserRecord) -> Response:
    """Show a new link. It is in this answer alone: not in an address, not in the audit."""
    state = console_of(request)
    if not user.enabled:
        raise RequestFailed("not_allowed", "the user is disabled: enable the user first")
    token = await state.access.new_link(user.id)
    await state.audit.note(visitor_of(request), "link_made", "user", user.name)
    public = state.public_url or str(request.base_url).rstrip("/") + base_of(request)
    return await _page(request, link=f"{public}/console/enter?token={token}", link_of=user.name)


def _wanted(sent: Form) -> Wanted:
    return Wanted(sent.text("name").lower(), sent.text("role"), sent.text("client"))


async def _clients(request: Request) -> list[str]:
    return sorted(one.id for one in await request.app.state.store.clients())


async def _page(
    request: Request,
    *,
    problems: dict[str, str] | None = None,
    typed: Wanted | None = None,
    status: int = 200,
    **more: Any,
) -> Response:
    store = console_of(request).access.store
    users = await store.users()
    sessions = {one.id: await store.sessions(one.id) for one in users}
    model = {"link": "", "link_of": "", **more}
    return page(
        request,
        "users.html",
        status=status,
        rows=view.rows(users, sessions, console_of(request).clock.now()),
        roles={role: ROLES[role] for role in view.OFFERED},
        clients=await _clients(request),
        problems=problems or {},
        typed=typed or Wanted("", "viewer", ""),
        **model,
    )
