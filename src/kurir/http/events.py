"""The feed under ``/v1/events``: everything that happens to a client's messages and people, with a cursor that holds.

An event's ``id`` is its position, in commit order, so a cursor that has passed one never misses an earlier one.
"""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

from kurir.callbacks import dialects
from kurir.callbacks.feed import LISTENERS, Feed, TooManyListeners
from kurir.domain.problem import Problem
from kurir.http import models
from kurir.http.answers import RequestFailed
from kurir.http.edge import NativeRoute
from kurir.http.shown import Shown
from kurir.store.base import StoreError
from kurir.store.feed import EventRecord, FeedStore

log = structlog.get_logger(__name__)

#: The longest that a request waits for an event, in seconds.
LONGEST_WAIT: Final = 60.0
#: A comment goes down a quiet stream so often, in seconds: proxies close what is silent.
HEARTBEAT_SECONDS: Final = 15.0
#: A stream whose reader takes nothing for so long is given up, in seconds.
STALLED_SECONDS: Final = 30.0
#: A stream ends after so long, in seconds: its reader comes back, and shows its credentials again.
STREAM_SECONDS: Final = 3600.0
#: What a browser waits before it comes back, in milliseconds.
RETRY_MILLISECONDS: Final = 2000
#: Events that are read, and sent, at once.
PAGE: Final = 100

_FAILURES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": models.ProblemAnswer, "description": text}
    for status, text in {
        401: "Credentials missing or wrong",
        422: "Invalid parameters: all of them at once",
        429: "Too many requests, or too many streams of this client",
        503: "The store does not answer",
    }.items()
}

router = APIRouter(prefix="/v1", route_class=NativeRoute, responses=_FAILURES, tags=["Events"])


class EventBody(BaseModel):
    """An event in the standard dialect, with its id."""

    id: str = Field(description="Its place in the feed: the cursor that has passed it.")
    type: str = Field(description="Such as message.status.")
    timestamp: str = Field(description="When it happened at the platform, else when the gateway knew.")
    data: dict[str, Any]


class EventsAnswer(BaseModel):
    """Events, oldest first, and the cursor to go on with, which is never null."""

    data: list[EventBody]
    next: str


After = Annotated[
    str, Query(description="The `next` of an earlier answer, or an event's `id`; nothing: from the beginning")
]


@router.get("/events", response_model=EventsAnswer, summary="The feed, with a cursor and a long poll")
async def list_events(
    request: Request,
    after: After = "",
    wait: Annotated[
        float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for an event, if there is none")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Shown:
    """Return the client's events above the cursor, oldest first. With `wait`, an empty answer comes only after it."""
    feed, store, client_id = _parts_of(request)
    position = _position(after, "/after")
    events = await store.events(client_id, after=position, limit=limit)
    if not events and wait > 0:
        with _listening(feed, client_id):
            events = await _awaited(request, position, limit, wait)
    link = request.app.state.link
    newest = events[-1].position if events else position
    return {"data": [dialects.in_feed(event, link) for event in events], "next": str(newest)}


@router.get(
    "/events/stream",
    response_class=Response,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "Server-sent events; each `data` is an event"}
    },
    summary="The feed as server-sent events",
)
async def stream_events(request: Request, after: After = "") -> Response:
    """Send the client's events as they come. `Last-Event-ID` (or `after`) says from where on; nothing: from now on."""
    feed, store, client_id = _parts_of(request)
    header = request.headers.get("last-event-id", "").strip()
    given = header or after
    position = _position(given, "/Last-Event-ID" if header else "/after")
    if not given:
        position = await store.last_position(client_id)
    if feed.listeners(client_id) >= LISTENERS:
        raise _too_many()
    return _EventStream(feed, store, client_id, position, request.app.state.link)


class _EventStream(Response):
    """The stream itself. It reads a page, sends it, and only then reads on: a slow reader costs one page of memory."""

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, store: FeedStore, client_id: str, position: int, link: dialects.Link) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._feed = feed
        self._store = store
        self._client_id = client_id
        self._position = position
        self._link = link

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send events until the reader goes, stalls, or the gateway stops."""
        try:
            with self._feed.listening(self._client_id):
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                sending = asyncio.create_task(self._send(send))
                leaving = asyncio.create_task(_left(receive))
                stopping = asyncio.create_task(self._stopped())
                tasks = (sending, leaving, stopping)
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
        except TooManyListeners:  # as many came at this very moment
            await send({"type": "http.response.start", "status": 429, "headers": [(b"retry-after", b"2")]})
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(1.0):
                await send({"type": "http.response.body", "body": b""})

    async def _stopped(self) -> None:
        """Return when the gateway stops, or the stream is old enough."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STREAM_SECONDS):
                await self._feed.until_closed()

    async def _send(self, send: Send) -> None:
        try:
            # An id without data moves the reader's Last-Event-ID and is no event: who is cut off now comes back to here.
            await _write(send, f"retry: {RETRY_MILLISECONDS}\nid: {self._position}\n\n")
            while True:
                seen = self._feed.look(self._client_id)
                events = await self._store.events(self._client_id, after=self._position, limit=PAGE)
                if events:
                    await _write(send, "".join(_frame(dialects.in_feed(event, self._link)) for event in events))
                    self._position = events[-1].position
                    continue
                await self._feed.changed(self._client_id, seen, self._position, HEARTBEAT_SECONDS)
                if self._feed.look(self._client_id) == seen:
                    await _write(send, ": still here\n\n")
        except StoreError as error:
            log.warning("stream_ends", client=self._client_id, error=str(error))
        except (TimeoutError, OSError):
            log.info("stream_stalled", client=self._client_id)
        except Exception:
            log.exception("stream_fault", client=self._client_id)


async def _awaited(request: Request, position: int, limit: int, seconds: float) -> list[EventRecord]:
    """Return the events above *position* once there are any; none after *seconds*, or when the reader has gone.

    To be called while the client's feed is listened to. Raises StoreError.
    """
    feed, store, client_id = _parts_of(request)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    leaving = asyncio.create_task(_left(request.receive))
    tasks = [leaving]
    try:
        while not feed.closed and not leaving.done():
            seen = feed.look(client_id)
            events = await store.events(client_id, after=position, limit=limit)
            left = deadline - loop.time()
            if events or left <= 0:
                return events
            changing = asyncio.create_task(feed.changed(client_id, seen, position, left))
            tasks[1:] = [changing]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return []


async def _left(receive: Receive) -> None:
    """Return when the reader has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _write(send: Send, text: str) -> None:
    async with asyncio.timeout(STALLED_SECONDS):
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


def _frame(event: Shown) -> str:
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"id: {event['id']}\nevent: {event['type']}\ndata: {data}\n\n"


def _parts_of(request: Request) -> tuple[Feed, FeedStore, str]:
    state = request.app.state
    return state.feed, state.store, request.state.client_id


@contextlib.contextmanager
def _listening(feed: Feed, client_id: str) -> Iterator[None]:
    try:
        with feed.listening(client_id):
            yield
    except TooManyListeners:
        raise _too_many() from None


def _too_many() -> RequestFailed:
    detail = f"this client has {LISTENERS} streams and waiting requests open already; close one"
    return RequestFailed("rate_limited_here", detail, headers={"Retry-After": "5"})


def _position(cursor: str, where: str) -> int:
    """Return the position that *cursor* names, 0 for none. Raises RequestFailed."""
    if not cursor:
        return 0
    if cursor.isascii() and cursor.isdigit() and len(cursor) <= 18:
        return int(cursor)
    problem = Problem(
        where, "invalid_format", "the cursor must be the id of an event, or the «next» of an earlier answer"
    )
    raise RequestFailed("invalid_parameters", problems=[problem])
