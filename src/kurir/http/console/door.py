"""Signing in and out, and what a user sets for herself: password, second factor, sessions, language."""

import base64
import io
import json
from typing import Any, Final

import segno
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from kurir.console import totp, words
from kurir.console.access import LONGEST_PASSWORD, SHORTEST_PASSWORD, Browser, NotIn, SignedIn
from kurir.console.rights import Right
from kurir.console.users import is_name
from kurir.console.words import _
from kurir.http.answers import RequestFailed
from kurir.http.console.route import (
    LANGUAGE_COOKIE,
    ConsoleRoute,
    Form,
    address_of,
    base_of,
    console_of,
    form,
    inside,
    needs,
    open_to_all,
    page,
    to,
    visitor_of,
)
from kurir.store.access import SESSION_LONGEST, AuditFilter, UserChange, UserOutcome, UserRecord

router = APIRouter(prefix="/console", route_class=ConsoleRoute, include_in_schema=False)

#: A language's cookie lasts a year, in seconds.
_YEAR: Final = 365 * 86_400
#: Times that a user signed in which are looked through for a session.
_ENTRIES: Final = 100


# --- in and out -------------------------------------------------------------------------------------------------------


@router.get("/sign-in")
@open_to_all
async def sign_in_page(request: Request, next: str = "/console") -> Response:  # noqa: A002 - the query's name
    """Show where to sign in."""
    if request.state.visitor is not None:
        return RedirectResponse(base_of(request) + inside(next), status_code=303)
    return _sign_in(request, next)


@router.post("/sign-in")
@open_to_all
async def sign_in(request: Request) -> Response:
    """Sign in by name and password."""
    sent = await form(request)
    state, browser = console_of(request), _browser(request)
    name, password = sent.text("name"), sent.raw("password")
    try:
        done = await state.access.by_password(name, password, sent.text("code"), browser)
    except NotIn as refused:
        await _note_failure(request, name, refused.why)
        return _refused(request, sent, refused)
    return await _let_in(request, done, "password", inside(sent.text("next", "/console")))


def _refused(request: Request, sent: Form, refused: NotIn) -> Response:
    why = {
        "wrong": _("The name or the password is wrong."),
        "wrong_code": _("The code is wrong, or was used. Wait for the next one."),
        "code": "",
        "limited": _("Too many failures. Try again in %(seconds)s s.", seconds=refused.retry_after),
    }[refused.why]
    with_code = refused.why in ("code", "wrong_code")
    response = _sign_in(request, sent.text("next", "/console"), sent.text("name"), why, code=with_code)
    response.status_code = 429 if refused.why == "limited" else 401 if why else 200
    if refused.retry_after:
        response.headers["Retry-After"] = str(refused.retry_after)
    return response


def _sign_in(request: Request, leads_to: str, name: str = "", why: str = "", *, code: bool = False) -> Response:
    return page(request, "sign_in.html", link=None, token="", next=leads_to, name=name, why=why, code=code)


@router.get("/enter")
@open_to_all
async def link_page(request: Request, token: str = "") -> Response:
    """Show what a one-time link leads to. It is used up by the button alone: a preview of the link uses nothing."""
    good = bool(token) and await console_of(request).access.link_is_good(token)
    return page(request, "sign_in.html", link=good, token=token, next="", name="", why="", code=False)


@router.post("/enter")
@open_to_all
async def enter(request: Request) -> Response:
    """Sign in by a one-time link."""
    sent = await form(request)
    try:
        done = await console_of(request).access.by_link(sent.raw("token"), _browser(request))
    except NotIn:
        response = page(request, "sign_in.html", link=False, token="", next="", name="", why="", code=False)
        response.status_code = 401
        return response
    return await _let_in(request, done, "link", "/console")


async def _let_in(request: Request, done: SignedIn, how: str, leads_to: str) -> Response:
    state = console_of(request)
    name, after = done.user.name, {"by": how, "session": done.session.id}
    await state.audit.note_by(name, "console", address_of(request), "signed_in", ("user", name), after=after)
    response = RedirectResponse(base_of(request) + leads_to, status_code=303)
    response.set_cookie(
        state.cookie,
        done.token,
        max_age=int(SESSION_LONGEST.total_seconds()),
        path="/",
        secure=state.secure,
        httponly=True,
        samesite="lax",
    )
    return response


async def _note_failure(request: Request, name: str, why: str) -> None:
    if why in ("wrong", "wrong_code"):
        await console_of(request).audit.note_failure(name, address_of(request), why)


@router.post("/sign-out")
@needs(Right.SEE)
async def sign_out(request: Request) -> Response:
    """End the session."""
    state, visitor = console_of(request), visitor_of(request)
    await state.access.store.close_sessions(visitor.user_id, only=visitor.session_id)
    await state.audit.note(visitor, "signed_out", "user", visitor.name)
    response = to(request, "/sign-in", "signed_out")
    response.delete_cookie(state.cookie, path="/", secure=state.secure, httponly=True, samesite="lax")
    return response


def _browser(request: Request) -> Browser:
    return Browser(address_of(request), request.headers.get("user-agent", ""))


# --- one's own --------------------------------------------------------------------------------------------------------


@router.post("/language")
@open_to_all
async def set_language(request: Request) -> Response:
    """Speak another language from now on: to the user on every browser, to a stranger on this one."""
    sent = await form(request)
    wanted, state = sent.text("language"), console_of(request)
    if wanted not in words.LANGUAGES:
        raise RequestFailed("invalid_parameters", f"there is no language «{wanted[:20]}»")
    user: UserRecord | None = request.state.user
    if user is not None:
        await state.access.store.change_user(user.id, UserChange(language=wanted), state.clock.now())
    response = RedirectResponse(base_of(request) + inside(sent.text("next", "/console")), status_code=303)
    response.set_cookie(LANGUAGE_COOKIE, wanted, max_age=_YEAR, path="/", secure=state.secure, samesite="lax")
    return response


@router.get("/me")
@needs(Right.SEE)
async def me(request: Request) -> Response:
    """Show the user's password, second factor and sessions."""
    return await _me(request)


@router.post("/me/password")
@needs(Right.SEE)
async def set_password(request: Request) -> Response:
    """Set the user's name and password; the other sessions end."""
    state, visitor, sent = console_of(request), visitor_of(request), await form(request)
    user: UserRecord = request.state.user
    name, new = sent.text("name").lower(), sent.raw("password")
    problems: dict[str, str] = {}
    if not is_name(name):
        problems["name"] = _("A name has 1 to 100 characters.")
    if not SHORTEST_PASSWORD <= len(new) <= LONGEST_PASSWORD:
        problems["password"] = _("A password has at least %(least)s characters.", least=SHORTEST_PASSWORD)
    if user.password_hash and not await _came_by_link(request):
        problems |= await _not_the_password(request, "current", sent.raw("current"))
    if problems:
        return await _me(request, problems, status=422)
    try:
        outcome = await state.access.set_password(user, name, new, visitor.session_id)
    except NotIn as refused:
        return await _me(request, {"password": _too_many(refused)}, status=429)
    if outcome is UserOutcome.TAKEN:
        return await _me(request, {"name": _("Another user has this name.")}, status=422)
    await state.audit.note(visitor, "password_set", "user", name, before={"name": user.name}, after={"name": name})
    return to(request, "/me", "password_set")


@router.post("/me/totp")
@needs(Right.SEE)
async def set_totp(request: Request) -> Response:
    """Turn the second factor on, once a code of it was typed; or off."""
    state, visitor, sent = console_of(request), visitor_of(request), await form(request)
    user: UserRecord = request.state.user
    if "off" in sent:
        problems = await _not_the_password(request, "off", sent.raw("current"))
        if problems:
            return await _me(request, problems, status=422)
        await state.access.store.change_user(user.id, UserChange(totp=b""), state.clock.now())
        await state.audit.note(visitor, "totp_off", "user", user.name)
        return to(request, "/me", "totp_off")
    if user.totp:
        return await _me(request, {"off": _("Turn it off first.")}, status=422)
    if not user.password_hash:
        return await _me(request, {"password": _("Set a password first: the code is asked for beside it.")}, status=422)
    try:
        secret = base64.b32decode(sent.text("secret"), casefold=True)
    except ValueError:
        raise RequestFailed("invalid_parameters", "the secret of the form is damaged; open the page anew") from None
    if len(secret) != totp.SECRET_BYTES:
        raise RequestFailed("invalid_parameters", "the secret of the form is damaged; open the page anew")
    if not await state.access.turn_on_totp(user, secret, sent.text("code")):
        problem = _("The code does not fit. Is the clock of the phone right?")
        return await _me(request, {"code": problem}, secret=secret, status=422)
    await state.audit.note(visitor, "totp_on", "user", user.name)
    return to(request, "/me", "totp_on")


@router.post("/me/sessions/{session_id}/end")
@needs(Right.SEE)
async def end_session(request: Request, session_id: str) -> Response:
    """End one of the user's sessions."""
    state, visitor = console_of(request), visitor_of(request)
    if await state.access.store.close_sessions(visitor.user_id, only=session_id):
        await state.audit.note(visitor, "session_ended", "user", visitor.name)
    return to(request, "/me", "session_ended")


async def _me(
    request: Request, problems: dict[str, str] | None = None, *, secret: bytes = b"", status: int = 200
) -> Response:
    state, visitor = console_of(request), visitor_of(request)
    user: UserRecord = request.state.user
    new = secret or totp.new_secret()
    return page(
        request,
        "me.html",
        status=status,
        problems=problems or {},
        sessions=await state.access.store.sessions(user.id),
        current=visitor.session_id,
        has_password=bool(user.password_hash),
        has_totp=bool(user.totp),
        secret=base64.b32encode(new).decode(),
        secret_text=totp.text(new),
        qr=_qr(totp.uri(new, user.name, "kurir")) if user.password_hash and not user.totp else None,
        least=SHORTEST_PASSWORD,
        asks=bool(user.password_hash) and not await _came_by_link(request),
    )


async def _not_the_password(request: Request, field: str, password: str) -> dict[str, str]:
    """Return the problem of *field* where it does not hold the user's present password."""
    try:
        right = await console_of(request).access.is_password(request.state.user, password, _browser(request))
    except NotIn as refused:
        return {field: _too_many(refused)}
    return {} if right else {field: _("This is not your present password.")}


def _too_many(refused: NotIn) -> str:
    return _("Too many failures. Try again in %(seconds)s s.", seconds=refused.retry_after)


async def _came_by_link(request: Request) -> bool:
    """Return whether this session began with a one-time link: who lost the password comes so, and cannot type it."""
    state, visitor = console_of(request), visitor_of(request)
    since = state.clock.now() - SESSION_LONGEST
    wanted = AuditFilter(actor=visitor.name, action="signed_in", kind="user", subject=visitor.name, since=since)
    for one in await state.access.store.audit(wanted, _ENTRIES):
        after = json.loads(one.after)
        if after.get("session") == visitor.session_id:
            return bool(after.get("by") == "link")
    return False


def _qr(text: str) -> dict[str, Any]:
    """Return a QR code as the path of an SVG, with its width in modules: no inline style, no foreign image."""
    code = segno.make(text, error="m")
    out = io.BytesIO()
    code.save(out, kind="svg", xmldecl=False, svgns=False, border=2, omitsize=True)
    drawn = out.getvalue().decode()
    path = drawn.split(' d="', 1)[1].split('"', 1)[0]
    return {"path": path, "width": code.symbol_size(border=2)[0]}
