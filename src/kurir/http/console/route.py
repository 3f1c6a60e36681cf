"""What stands before every page of the console: who looks, may they, and does the request come from a page of ours.

Each route names the right that it asks for (:func:`needs`) or that it asks for none (:func:`open_to_all`); one that names
neither does not even start. Unsafe requests must come from our own origin, as the browser says (``Sec-Fetch-Site``, else
``Origin``): the cookie's SameSite alone lets a sister host in.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute

from kurir import __version__
from kurir.console import pages, words
from kurir.console.rights import Right, Visitor
from kurir.domain.errors import ERRORS
from kurir.http import edge
from kurir.http.answers import RequestFailed
from kurir.http.console.said import SAID
from kurir.http.console.state import Console
from kurir.store.access import UserRecord
from kurir.store.base import StoreUnavailable

log = structlog.get_logger(__name__)

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

#: Everything from our own origin, and no script but files.
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SECURITY: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
    "Vary": "Cookie",
}
#: The largest form, in bytes.
MAXIMUM_FORM: Final = 256 * 1024
#: The cookies of somebody who is not signed in, or of the browser alone.
LANGUAGE_COOKIE: Final = "kurir_language"
THEME_COOKIE: Final = "kurir_theme"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def needs(right: Right) -> Callable[[Endpoint], Endpoint]:
    """Let only visitors with *right* use the decorated route."""

    def decorate(endpoint: Endpoint) -> Endpoint:
        endpoint.right = right  # type: ignore[attr-defined] # read by ConsoleRoute
        return endpoint

    return decorate


def open_to_all(endpoint: Endpoint) -> Endpoint:
    """Let everybody use the decorated route, signed in or not."""
    endpoint.right = None  # type: ignore[attr-defined] # read by ConsoleRoute
    return endpoint


class ConsoleRoute(APIRoute):
    """A route of the console. Its failures are pages."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return FastAPI's handler behind the checks."""
        inner = super().get_route_handler()
        right: Right | None = self.endpoint.right  # type: ignore[attr-defined] # needs() or open_to_all()

        async def handler(request: Request) -> Response:
            response = await _guarded(request, right, inner)
            for name, value in SECURITY.items():
                response.headers.setdefault(name, value)
            return response

        return handler


async def _guarded(request: Request, right: Right | None, inner: Callable[[Request], Awaitable[Response]]) -> Response:
    state = console_of(request)
    request.state.visitor = request.state.user = None
    with words.spoken(_before_sign_in(request)):
        if request.method not in _SAFE and not is_ours(request):
            return failure_page(request, RequestFailed("foreign_page"))
        try:
            await _look_who(request, state)
        except StoreUnavailable as error:
            return _unavailable(request, error)
    with words.spoken(_language(request)):
        visitor: Visitor | None = request.state.visitor
        if right is not None and visitor is None:
            return _to_sign_in(request)
        if right is not None and visitor is not None and not visitor.may(right):
            return failure_page(request, RequestFailed("not_allowed"))
        try:
            return await inner(request)
        except RequestFailed as failed:
            return failure_page(request, failed)
        except RequestValidationError:
            return failure_page(request, RequestFailed("invalid_parameters", "a parameter of this address is wrong"))
        except StoreUnavailable as error:
            return _unavailable(request, error)
        except Exception:
            log.exception("request_fault", request_id=edge.request_id(request.scope), path=request.scope["path"])
            return failure_page(request, RequestFailed("internal"))


async def _look_who(request: Request, state: Console) -> None:
    token = request.cookies.get(state.cookie)
    found = await state.access.visitor(token, address_of(request)) if token else None
    if found is not None:
        request.state.visitor, request.state.user = found


def _unavailable(request: Request, error: StoreUnavailable) -> Response:
    log.error("store_unavailable", path=request.scope["path"], error=str(error))
    return failure_page(request, RequestFailed("not_durable", "the store does not answer", headers=edge.STORE_RETRY))


def is_ours(request: Request) -> bool:
    """Return whether the browser says that the request was made by a page of this origin."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return request.headers.get("origin", "null").lower() in _origins(request)


def _origins(request: Request) -> set[str]:
    """Return the origins that are ours: what the browser calls us by, and the public URL where a proxy renames the host."""
    host = request.headers.get("host", "").lower()
    public = urlsplit(console_of(request).public_url)
    known = {f"http://{host}", f"https://{host}"} if host else set()
    return known | ({f"{public.scheme}://{public.netloc}".lower()} if public.netloc else set())


def _before_sign_in(request: Request) -> str:
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    return chosen if chosen in words.LANGUAGES else words.negotiated(request.headers.get("accept-language", ""))


def _language(request: Request) -> str:
    user: UserRecord | None = request.state.user
    return user.language if user is not None and user.language in words.LANGUAGES else _before_sign_in(request)


def _to_sign_in(request: Request) -> Response:
    path = request.scope["path"]
    query = f"?{request.url.query}" if request.scope["query_string"] else ""
    wanted = f"?{urlencode({'next': path + query})}" if request.method == "GET" and path != "/console" else ""
    where = f"{base_of(request)}/console/sign-in{wanted}"
    if "hx-request" in request.headers:  # a redirect would put the sign-in page into a piece of this one
        return Response(status_code=401, headers={"HX-Redirect": where})
    return RedirectResponse(where, status_code=303)


# --- what the routes use ----------------------------------------------------------------------------------------------


def console_of(request: Request) -> Console:
    """Return what the console's routes need of the process."""
    state: Console = request.app.state.console
    return state


def visitor_of(request: Request) -> Visitor:
    """Return who looks. For routes that need a right."""
    visitor: Visitor = request.state.visitor
    return visitor


def base_of(request: Request) -> str:
    """Return the path of the public URL, "" at its root."""
    state: edge.Edge = request.app.state.edge
    return state.base


def public_url_of(request: Request) -> str:
    """Return the address that others call: the public URL, else the one that this request came to."""
    return console_of(request).public_url or str(request.base_url).rstrip("/")


def address_of(request: Request) -> str:
    """Return the address that the request comes from."""
    return request.client.host if request.client else ""


def page(request: Request, template: str, *, status: int = 200, **model: Any) -> HTMLResponse:
    """Return a page: *template* with *model*, and what every page shows."""
    state = console_of(request)
    visitor: Visitor | None = getattr(request.state, "visitor", None)
    shared = {
        "path": request.scope["path"],
        "query": request.url.query,
        "visitor": visitor,
        "user": getattr(request.state, "user", None),
        "may": visitor.may if visitor is not None else _may_not,
        "Right": Right,
        "theme": _theme(request),
        "said": SAID.get(request.query_params.get("said", "")),
        "label": state.label,
        "sandbox": state.sandbox is not None,
        "masked": state.masked,
        "version": __version__,
        "now": state.clock.now(),
        "public_url": public_url_of(request),
    }
    drawn = pages.render(template, shared | model, base=base_of(request))
    # JSON that somebody sent may hold half of a surrogate pair, which no page can: it is shown as "?".
    return HTMLResponse(drawn.encode("utf-8", "replace"), status_code=status)


def _may_not(_right: Right) -> bool:
    return False


def _theme(request: Request) -> str:
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in ("light", "dark") else "system"


def failure_page(request: Request, failed: RequestFailed) -> Response:
    """Return the page of an error: what happened, why, what to do."""
    response = page(
        request,
        "failure.html",
        status=failed.status,
        entry=ERRORS[failed.code],
        detail=failed.detail,
        problems=failed.problems,
        request_id=edge.request_id(request.scope),
    )
    response.headers.update(failed.headers)
    return response


def to(request: Request, path: str, said: str = "", **query: str) -> RedirectResponse:
    """Lead on to a page of the console after something was done; *said* is a key of :data:`SAID`."""
    if said:
        query["said"] = said
    where = f"{base_of(request)}/console{path}"
    return RedirectResponse(f"{where}?{urlencode(query)}" if query else where, status_code=303)


def inside(path: str) -> str:
    """Return *path* when it is a page of the console, else that of its home: nobody is led elsewhere."""
    plain = path.partition("?")[0].partition("#")[0]
    if (plain != "/console" and not plain.startswith("/console/")) or "\\" in path or ".." in plain:
        return "/console"
    return quote(path, safe="/?&=%:+,~-_.")


class Form:
    """The fields of a form that was sent, each as text without blanks around it."""

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        self._fields = fields

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def text(self, name: str, default: str = "") -> str:
        """Return a field, *default* where it is missing."""
        found = self._fields.get(name)
        return found[-1].strip() if found else default

    def raw(self, name: str) -> str:
        """Return a field as it was typed: for passwords."""
        found = self._fields.get(name)
        return found[-1] if found else ""

    def all(self, name: str) -> list[str]:
        """Return every value of a field that may occur several times."""
        return [value.strip() for value in self._fields.get(name, ())]

    def fields(self) -> dict[str, str]:
        """Return every field, the last value of each."""
        return {name: values[-1].strip() for name, values in self._fields.items()}


async def form(request: Request) -> Form:
    """Return the form in the body. Raises RequestFailed where there is none that can be read."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await edge.read_body(request.scope, request.receive, MAXIMUM_FORM)
    if not body:
        return Form({})
    if kind != "application/x-www-form-urlencoded":
        raise RequestFailed("unsupported_media_type", "a form of the console is expected")
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=500, errors="strict")
    except ValueError:
        raise RequestFailed("invalid_parameters", "the form cannot be read") from None
    if any("\x00" in text for values in fields.values() for text in values):
        raise RequestFailed("invalid_parameters", "a field of the form holds the character NUL")
    return Form(fields)
