"""What both clients do alike over several calls, without any I/O: pages of a list, long polling, a stream taken up again.

A shell asks and waits; what to ask next, what to yield, and whether to go on after an error is said here.
"""

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from kurir.client import calls, sse
from kurir.client.calls import Call
from kurir.client.errors import KurirError
from kurir.client.events import Event
from kurir.client.retrying import Outage

_T = TypeVar("_T")
_Item_co = TypeVar("_Item_co", covariant=True)


class Page(Protocol[_Item_co]):
    """A page of a list, and the cursor of the next, None on the last."""

    @property
    def data(self) -> tuple[_Item_co, ...]:
        """Return what is on the page."""
        ...

    @property
    def next(self) -> str | None:
        """Return the cursor of the next page."""
        ...


class Pages(Generic[_T]):
    """A list, page by page: *call* makes the call for the page behind a cursor, "" for the first."""

    def __init__(self, call: Callable[[str], Call[Page[_T]]]) -> None:
        self._call = call
        self._after: str | None = ""

    def next_call(self) -> Call[Page[_T]] | None:
        """Return the call for the next page, None behind the last."""
        return None if self._after is None else self._call(self._after)

    def took(self, page: Page[_T]) -> tuple[_T, ...]:
        """Take note of the page that came; return what is on it."""
        self._after = page.next
        return page.data


class Feed:
    """A feed of events. ``cursor`` is past those whose loop body has ended: keep it, and give it as *after* again."""

    def __init__(self, after: str, outage: Outage) -> None:
        self.cursor = after
        self._outage = outage

    def _pause(self, error: KurirError, now: float) -> float:
        """Return the seconds to wait before asking again; raises *error* where that makes no sense. *now* is steady."""
        wait = self._outage.wait(error, now)
        if wait is None:
            raise error
        return wait


class Polled(Feed):
    """Events by long polling: *wait* seconds at most in one call, *limit* events; without *follow* up to the newest."""

    def __init__(self, after: str, outage: Outage, *, follow: bool, wait: float, limit: int) -> None:
        super().__init__(after, outage)
        self._follow = follow
        self._wait = min(wait, calls.LONGEST_WAIT) if follow else 0.0
        self._limit = limit

    def _next_call(self) -> Call[calls.EventPage]:
        return calls.event_page(self.cursor, self._wait, self._limit)

    def _each(self, page: calls.EventPage) -> Iterator[Event]:
        """Yield the events of a page, and move the cursor past each whose loop body has ended."""
        self._outage.over()
        for event in page.data:
            yield event
            self.cursor = event.id
        self.cursor = page.next

    def _ends_with(self, page: calls.EventPage) -> bool:
        return not page.data and not self._follow


class Streamed(Feed):
    """Events as they come. A broken stream is taken up behind the last frame that came."""

    def __init__(self, after: str, outage: Outage) -> None:
        super().__init__(after, outage)
        self._received = after

    def _path(self) -> str:
        return calls.stream_path(self._received)

    def _each(self, parser: sse.Parser, piece: bytes) -> Iterator[Event]:
        """Yield the events that *piece* completes, and move the cursor past each whose loop body has ended."""
        self._outage.over()
        for frame in parser.feed(piece):
            self._received = frame.id or self._received
            if frame.data:
                yield calls.event_of(frame.data)
            self.cursor = self._received
