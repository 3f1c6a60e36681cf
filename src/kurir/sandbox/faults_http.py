"""The routes under /sandbox by which faults are set, seen and cleared, and the ledger is read."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kurir.sandbox.config import CHANNELS
from kurir.sandbox.ledger import MAX_PAGE
from kurir.sandbox.profile_words import in_words
from kurir.sandbox.profiles import ProfileError, read_profile
from kurir.sandbox.state import Sandbox
from kurir.sandbox.wire import TooLargeError, UnreadableError, parse_json, read_body

#: The name that stands for every channel.
ALL: Final = "all"
MAX_PROFILE_BODY: Final = 16 * 1024
#: Rows of a ledger that are given when a request names no number.
PAGE: Final = 1_000


def problem(status: int, detail: str, **more: Any) -> JSONResponse:
    """Return a problem (RFC 9457) with a sentence that says what to do."""
    body = {"status": status, "detail": detail} | more
    return JSONResponse(body, status, media_type="application/problem+json")


class FaultRoutes:
    """The routes of one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        """Return the routes, with their whole paths."""
        return [
            Route("/sandbox/faults", self._list),
            Route("/sandbox/faults/{channel}", self._put, methods=["PUT"]),
            Route("/sandbox/faults/{channel}", self._delete, methods=["DELETE"]),
            Route("/sandbox/ledger", self._ledger),
        ]

    async def _list(self, _: Request) -> Response:
        return self._state()

    async def _put(self, request: Request) -> Response:
        channels = _channels(request)
        if not channels:
            return _no_channel(request)
        try:
            profile = read_profile(parse_json(await read_body(request, MAX_PROFILE_BODY)), channels)
        except ProfileError as error:
            sentence = f"{error.member}: {error.detail}" if error.member else error.detail
            return problem(400, sentence, field=error.member)
        except TooLargeError:
            return problem(400, f"A profile has at most {MAX_PROFILE_BODY} bytes.", field="")
        except UnreadableError as error:
            return problem(400, f"The body is not JSON: {error}. A profile is an object.", field="")
        now = self._sandbox.clock.monotonic()
        for channel in channels:
            self._sandbox.faults.put(channel, profile, now)
            self._sandbox.transcript.broken(channel, profile.as_json())
        self._sandbox.phones.tell_faults()
        return self._state()

    async def _delete(self, request: Request) -> Response:
        channels = _channels(request)
        if not channels:
            return _no_channel(request)
        for channel in channels:
            self._sandbox.faults.clear(channel)
            self._sandbox.transcript.broken(channel, None)
        self._sandbox.phones.tell_faults()
        return self._state()

    def _state(self) -> Response:
        return JSONResponse(fault_state(self._sandbox))

    async def _ledger(self, request: Request) -> Response:
        after = _count(request.query_params, "after", 0)
        limit = _count(request.query_params, "limit", PAGE)
        if after is None:
            return problem(400, "after: The number of a row is expected, 0 for the first page.", field="after")
        if limit is None or not 1 <= limit <= MAX_PAGE:
            return problem(400, f"limit: A whole number from 1 to {MAX_PAGE} is expected.", field="limit")
        rows = self._sandbox.ledger.after(after, limit)
        newest = rows[-1].n if rows else after
        shown = [asdict(row) for row in rows]
        return JSONResponse({"data": shown, "next": newest, "dropped": self._sandbox.ledger.dropped})


def fault_state(sandbox: Sandbox) -> dict[str, Any]:
    """Return every channel's profile as JSON and in words, and the seconds that are left of those that have an end."""
    now = sandbox.clock.monotonic()
    profiles = {channel: sandbox.faults.profile(channel, now) for channel in CHANNELS}
    left = {channel: sandbox.faults.left(channel, now) for channel in CHANNELS}
    return {
        "data": {channel: profile.as_json() if profile else None for channel, profile in profiles.items()},
        "words": {channel: in_words(profile) for channel, profile in profiles.items() if profile},
        "left_seconds": {channel: round(seconds, 3) for channel, seconds in left.items() if seconds is not None},
    }


def _channels(request: Request) -> tuple[str, ...]:
    """Return the channels that the path means, none when there is no such one."""
    name = request.path_params["channel"]
    if name == ALL:
        return CHANNELS
    return (name,) if name in CHANNELS else ()


def _no_channel(request: Request) -> Response:
    names = ", ".join((*CHANNELS, ALL))
    return problem(404, f"There is no channel {request.path_params['channel']}. There are: {names}.")


def _count(query: Mapping[str, str], name: str, default: int) -> int | None:
    """Return a parameter that is a whole number of 0 or more, None when it is something else."""
    text = query.get(name, "")
    if not text:
        return default
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
