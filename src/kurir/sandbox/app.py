"""The sandbox's HTTP: four platform roots under one base URL, and what the phones' page and tests use.

Inside ``/graph``, ``/telegram`` and ``/line`` everything is the platform's own, so any client of the platform works
once its base URL points here. Under ``/sandbox`` is what no platform has: the phones as JSON, their events, their
switches.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kurir.sandbox import media
from kurir.sandbox.acts import ACTS, ActError, read_act
from kurir.sandbox.config import SandboxConfig
from kurir.sandbox.effects import Effects
from kurir.sandbox.faults_http import FaultRoutes, fault_state, problem
from kurir.sandbox.graph import GraphErrors
from kurir.sandbox.graph_apps import Apps
from kurir.sandbox.line import Line
from kurir.sandbox.messenger import Messenger
from kurir.sandbox.pages import STATIC, phones_page
from kurir.sandbox.replay import MAX_TRANSCRIPT, ReplayError, play
from kurir.sandbox.state import SWITCHES, Sandbox
from kurir.sandbox.telegram import Telegram
from kurir.sandbox.view import Phone
from kurir.sandbox.whatsapp import MEDIA_PATH, WhatsApp
from kurir.sandbox.wire import File, RefusedError, TooLargeError, UnreadableError, parse_json, read_body

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https: http:; "
    "media-src 'self' https: http:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'"
)
MAX_WAIT = 60.0
MAX_SWITCH_BODY = 4096
MAX_ACT_BODY = 128 * 1024
MAX_FILE = 25 * 1024 * 1024
#: Thirty days: the longest that anything on the four platforms lives.
MAX_MOVE = 30 * 24 * 3600
#: The longest wait between two steps of a transcript that is played again.
MAX_PAUSE = 5.0
HEARTBEAT_SECONDS = 15.0
#: Changes within this time travel as one event: a burst of receipts must not send a phone's JSON a hundred times.
COALESCE_SECONDS = 0.03

_VERSION = re.compile(r"v[0-9]{1,3}\.[0-9]")


def create_app(config: SandboxConfig, *, sandbox: Sandbox | None = None) -> Starlette:
    """Return the sandbox as an ASGI application. Its state is ``app.state.sandbox``.

    A server that has its own lifespan must await ``app.state.sandbox.close()`` at its end, and call
    ``app.state.sandbox.stop_waiting()`` before it waits for open connections.
    """
    sandbox = sandbox or Sandbox(config)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await sandbox.close()

    platforms = [
        Mount("/graph", routes=_Graph(sandbox).routes()),
        Mount("/telegram", routes=Telegram(sandbox).routes()),
        Mount("/line", routes=Line(sandbox).routes()),
    ]
    sandbox.platforms = Starlette(routes=platforms, exception_handlers={RefusedError: _refused})
    app = Starlette(
        routes=[
            *platforms,
            *FaultRoutes(sandbox).routes(),
            *_Control(sandbox).routes(),
        ],
        middleware=[Middleware(_Frame), Middleware(Effects, sandbox)],
        exception_handlers={RefusedError: _refused},
        lifespan=lifespan,
    )
    app.state.sandbox = sandbox
    return app


def create_control(sandbox: Sandbox) -> Starlette:
    """Return the page's routes and those under ``/sandbox``, without the platforms: for a host that has a page of its own.

    Mount it at any path of the host's, and see ``pages.py``. The host says who may come in; the sandbox's own server, which
    the gateway sends to, runs beside it and closes *sandbox*.
    """
    return Starlette(
        routes=[*FaultRoutes(sandbox).routes(), *_Control(sandbox).routes()],
        middleware=[Middleware(_Frame)],
    )


async def _refused(_: Request, error: Exception) -> Response:
    if not isinstance(error, RefusedError):
        raise error
    return error.response()


class _Frame:
    """Marks every response as the sandbox's, and refuses unsafe requests to /sandbox that another site's page makes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Kurir-Sandbox"] = "1"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if _foreign(scope):
            refusal = PlainTextResponse("This request comes from another site.", 403)
            await refusal(scope, receive, marked)
            return
        await self._app(scope, receive, marked)


def _foreign(scope: Scope) -> bool:
    """Return whether a browser says that an unsafe request to /sandbox was made by another origin's page."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if scope["method"] in ("GET", "HEAD", "OPTIONS") or not path.startswith("/sandbox/"):
        return False
    headers = Headers(scope=scope)
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


class _Graph:
    """Graph's one host carries two platforms: the object in the path says which."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._errors = GraphErrors(sandbox.ids)
        self._whatsapp = WhatsApp(sandbox)
        self._messenger = Messenger(sandbox)
        self._apps = Apps(sandbox)

    def routes(self) -> list[Route]:
        """Return the routes inside /graph."""
        return [
            Route(MEDIA_PATH, self._whatsapp.download, methods=["GET"]),
            Route("/{version}/{node}/{edge}", self._edge, methods=["GET", "POST", "DELETE"]),
            Route("/{version}/{node}", self._node, methods=["GET", "DELETE"]),
            Route("/{path:path}", self._nowhere, methods=["GET", "POST", "DELETE", "PUT"]),
        ]

    async def _edge(self, request: Request) -> Response:
        node, edge = request.path_params["node"], request.path_params["edge"]
        edges: dict[tuple[str, str], Callable[[Request], Awaitable[Response]]] = {}
        if self._whatsapp.owns(node):
            edges = {("POST", "messages"): self._whatsapp.messages, ("POST", "media"): self._whatsapp.upload}
        elif self._whatsapp.owns_account(node):
            edges = self._whatsapp.account_edges()
        elif self._messenger.owns(node):
            edges = self._messenger.edges()
        elif self._apps.owns(node):
            edges = self._apps.edges()
        answer = edges.get((request.method, edge))
        if answer is None or not _VERSION.fullmatch(request.path_params["version"]):
            raise self._unknown(request, node)
        return await answer(request)

    async def _node(self, request: Request) -> Response:
        node = request.path_params["node"]
        if not _VERSION.fullmatch(request.path_params["version"]):
            raise self._unknown(request, node)
        if self._messenger.knows(node) and request.method == "GET":
            return await self._messenger.node(request)
        return await self._whatsapp.node(request)

    async def _nowhere(self, request: Request) -> Response:
        raise self._errors.unknown_path("/" + request.path_params["path"])

    def _unknown(self, request: Request, node: str) -> RefusedError:
        if not _VERSION.fullmatch(request.path_params["version"]):
            return self._errors.unknown_path(request.url.path)
        return self._errors.unknown_object(request.method, node)


class _Control:
    """What the page and tests use: the phones, their events, their switches, the media files."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route | Mount]:
        """Return the routes outside the platforms' roots."""
        return [
            Route("/", _to_page),
            Route("/phones", _page),
            Mount("/phones/static", StaticFiles(directory=STATIC, check_dir=False)),
            Route("/sandbox/phones", self._phones),
            Route("/sandbox/phones/{channel}/messages", self._messages),
            Route("/sandbox/phones/{channel}/{address}", self._switch, methods=["POST"]),
            Route("/sandbox/phones/{channel}/{address}/acts", self._act, methods=["POST"]),
            Route("/sandbox/acts", self._acts),
            Route("/sandbox/files", self._upload, methods=["POST"]),
            Route("/sandbox/clock", self._clock, methods=["GET", "POST"]),
            Route("/sandbox/events", self._events),
            Route("/sandbox/hint", self._hint),
            Route("/sandbox/transcript", self._transcript),
            Route("/sandbox/replay", self._replay, methods=["POST"]),
            Route("/sandbox/reset", self._reset, methods=["POST"]),
            Route("/sandbox/media/{name}", media.serve_demo),
            Route("/sandbox/media/uploads/{upload_id}", self._sandbox.uploads.serve),
        ]

    async def _phones(self, request: Request) -> Response:
        people = _people(request)
        if people == 0:
            return problem(400, "people: A whole number of 1 or more is expected.")
        return JSONResponse({"data": [phone.as_json() for phone in self._sandbox.phones.of_first(people)]})

    async def _messages(self, request: Request) -> Response:
        query = request.query_params
        phone = self._sandbox.phones.of_person(request.path_params["channel"], query.get("person", ""))
        if phone is None:
            return problem(404, "There is no such phone. GET /sandbox/phones lists them.")
        try:
            seconds = min(max(float(query.get("wait", "0").removesuffix("s")), 0.0), MAX_WAIT)
        except ValueError:
            return problem(400, "wait is a number of seconds.")
        bubbles = await self._sandbox.phones.newer(phone, query.get("after", ""), seconds)
        return JSONResponse({"data": [asdict(bubble) for bubble in bubbles]})

    async def _switch(self, request: Request) -> Response:
        phone = self._phone(request)
        if phone is None:
            return problem(404, "There is no such phone. GET /sandbox/phones lists them.")
        try:
            wanted = parse_json(await read_body(request, MAX_SWITCH_BODY))
        except (TooLargeError, UnreadableError):
            return problem(400, "A small JSON object is expected.")
        if not isinstance(wanted, dict) or not all(isinstance(wanted.get(name, True), bool) for name in SWITCHES):
            return problem(400, f"{', '.join(SWITCHES)} are true or false.")
        self._sandbox.switch(phone, {name: wanted[name] for name in SWITCHES if name in wanted})
        return JSONResponse({"data": phone.as_json()})

    async def _acts(self, _: Request) -> Response:
        return JSONResponse({"data": ACTS})

    async def _act(self, request: Request) -> Response:
        phone = self._phone(request)
        if phone is None:
            return problem(404, "There is no such phone. GET /sandbox/phones lists them.")
        try:
            act = read_act(parse_json(await read_body(request, MAX_ACT_BODY)))
            bubble = self._sandbox.people.act(phone, act)
        except (TooLargeError, UnreadableError):
            return problem(400, 'A JSON object is expected, such as {"do": "text", "text": "Hi"}.')
        except ActError as error:
            return problem(error.status, error.detail)
        return JSONResponse({"data": asdict(bubble) if bubble else None})

    async def _upload(self, request: Request) -> Response:
        """Keep the body as a file that a person can send; its name is the parameter ``name``."""
        try:
            content = await read_body(request, MAX_FILE)
        except TooLargeError:
            return problem(413, f"A file has at most {MAX_FILE // 1024 // 1024} MB.")
        if not content:
            return problem(400, "The body is the file, and it is empty.")
        name = request.query_params.get("name", "")[:200].rpartition("/")[2] or "file"
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        upload_id, media = self._sandbox.uploads.put(File(name, kind, content))
        return JSONResponse({"data": {"file": upload_id} | asdict(media)})

    async def _clock(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                wanted = parse_json(await read_body(request, MAX_SWITCH_BODY))
            except (TooLargeError, UnreadableError):
                wanted = None
            seconds = wanted.get("move") if isinstance(wanted, dict) else None
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_MOVE:
                return problem(
                    400, f"move: Seconds from 0 to {MAX_MOVE} are expected. POST /sandbox/reset sets the clock back."
                )
            self._sandbox.move_clock(seconds)
        return JSONResponse({"data": {"ahead": self._sandbox.clock.ahead}})

    def _phone(self, request: Request) -> Phone | None:
        """Return the phone in the path, whose owner may be named instead of the address."""
        channel, who = request.path_params["channel"], request.path_params["address"]
        return self._sandbox.phones.get(channel, who) or self._sandbox.phones.of_person(channel, who)

    async def _reset(self, _: Request) -> Response:
        """Begin anew; say whose account was let in again, and whether its platform tells the account that."""
        let_in = [
            {"channel": phone.channel, "person": phone.person, "told": told} for phone, told in self._sandbox.reset()
        ]
        return JSONResponse({"data": {"unblocked": let_in}})

    async def _transcript(self, request: Request) -> Response:
        """Return what happened since the last reset, of one ``person`` where it is named."""
        return JSONResponse(self._sandbox.transcript.as_json(request.query_params.get("person", "")))

    async def _replay(self, request: Request) -> Response:
        """Empty the phones and play a transcript on them; ``pause`` is the longest wait between two steps, in seconds."""
        try:
            pause = min(max(float(request.query_params.get("pause", "0")), 0.0), MAX_PAUSE)
            transcript = parse_json(await read_body(request, MAX_TRANSCRIPT))
            played = await play(self._sandbox, transcript, pause)
        except TooLargeError:
            return problem(413, f"A transcript has at most {MAX_TRANSCRIPT // 1024 // 1024} MB.")
        except (UnreadableError, ValueError):
            return problem(400, "A transcript as GET /sandbox/transcript gives it is expected.")
        except ReplayError as error:
            return problem(error.status, str(error))
        return JSONResponse({"data": {"played": played.steps, "refused": played.refused}})

    async def _hint(self, _: Request) -> Response:
        if not self._sandbox.hint:
            return problem(404, "No command is known that would send a first message.")
        return JSONResponse({"data": {"curl": self._sandbox.hint}})

    async def _events(self, request: Request) -> Response:
        people = _people(request)
        if people == 0:
            return problem(400, "people: A whole number of 1 or more is expected.")
        return StreamingResponse(
            self._stream(people), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    async def _stream(self, people: int | None) -> AsyncIterator[str]:
        """Give each phone and the faults once, so that a page needs no second request, then what changed."""
        followed = {(phone.channel, phone.address): phone for phone in self._sandbox.phones.of_first(people)}
        with self._sandbox.phones.listen() as listener:
            yield self._faults_event()
            for phone in followed.values():
                yield _event(phone)
            while not listener.closed:
                changed = await listener.changes(HEARTBEAT_SECONDS)
                for phone in changed:
                    if (phone.channel, phone.address) in followed:
                        yield _event(phone)
                faults, listener.faults_changed = listener.faults_changed, False
                if faults:
                    yield self._faults_event()
                if changed or faults:
                    await asyncio.sleep(COALESCE_SECONDS)
                elif not listener.closed:
                    yield ": still here\n\n"

    def _faults_event(self) -> str:
        return f"event: faults\ndata: {json.dumps(fault_state(self._sandbox))}\n\n"


def _people(request: Request) -> int | None:
    """Return how many people's phones are asked for: None for all, 0 when the number is none."""
    text = request.query_params.get("people", "")
    if not text:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def _event(phone: Phone) -> str:
    return f"event: phone\ndata: {json.dumps(phone.as_json(), ensure_ascii=False)}\n\n"


async def _to_page(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/phones", 307)


async def _page(_: Request) -> Response:
    headers = {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return HTMLResponse(phones_page(), headers=headers)
