"""Requests that came whole, head and body in one piece of data, as nearly all small ones do.

What ASGI gives each request, a task, a stream and a cycle, serves those whose parts come one by one. A request that is all
there, and whose work has nothing to wait for but a commit, is taken by a plain function and answered with one write, for half
of the cost. :class:`kurir.http.server.Protocol` asks the application (:data:`Find`) whether there is such a function for a
path; where the function finds that it has to wait for more, the same request goes the usual way, as if it had not been asked.
"""

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from kurir.http.answers import JSON, Headers

_ENDS: Final = (b"connection", b"close")


class Connection(Protocol):
    """What a request has to know of its connection."""

    client: tuple[str, int] | None

    def reply(self, head: bytes, body: bytes, *, last: bool) -> None:
        """Write an answer; with *last* the connection is closed behind it."""
        ...


class _Nobody:
    """An event that nobody waits for."""

    def set(self) -> None:
        """Tell nobody."""


_NOBODY: Final = _Nobody()


class WholeRequest:
    """A POST that came whole. In the protocol it stands where a cycle of uvicorn's would, so it has a cycle's members."""

    __slots__ = ("_connection", "body", "disconnected", "headers", "keep_alive", "response_complete", "url")

    message_event: Final = _NOBODY

    def __init__(self, connection: Connection, url: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self._connection = connection
        self.url = url
        self.headers = headers
        self.body = body
        self.disconnected = self.response_complete = False
        self.keep_alive = True

    def scope(self, path: str) -> Scope:
        """Return what the functions of :mod:`kurir.http.edge` want to know of the request."""
        return {
            "type": "http",
            "method": "POST",
            "path": path,
            "headers": self.headers,
            "client": self._connection.client,
            "state": {},
        }

    def answer(self, status: int, body: bytes, headers: Headers, kind: bytes = JSON) -> None:
        """Answer, if anybody is still there, with a body of the *kind*; of no kind with b"". To be called once."""
        if self.disconnected:
            return
        head = b"%bcontent-length: %d\r\n" % (STATUS_LINE[status], len(body))
        if kind:
            head += b"content-type: %b\r\n" % kind
        for each in headers:
            head += b"%b: %b\r\n" % each
        last = not self.keep_alive or _ENDS in headers
        if last and _ENDS not in headers:
            head += b"connection: close\r\n"
        self.response_complete = True
        self._connection.reply(head, body, last=last)


#: Takes a request. Returns False, having done nothing, where it has to go the usual way.
Take: TypeAlias = Callable[[WholeRequest], bool]
#: Returns what takes a whole POST to a URL (path and query, as they came), None where there is nothing special. An application
#: that has such functions has this one as ``whole``.
Find: TypeAlias = Callable[[bytes], Take | None]
