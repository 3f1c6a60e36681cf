"""The feed of events and the callbacks that are owed for them, as the store keeps them.

An event has a position, given in commit order, so a cursor that has passed a position never misses an earlier one. A
callback is owed from the commit of its event, once for each endpoint that is enabled then and wants its kind; its row is
its own job, as a message's is.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from kurir.domain.problem import Loss
from kurir.domain.status import Status
from kurir.quick import quick
from kurir.store.base import EndpointRecord, ErrorRecord, PartRecord

#: Every kind of event there is, as an endpoint's filter names it; ``*`` stands for all.
KINDS = (
    "message.status",
    "message.received",
    "postback.received",
    "message.reaction",
    "message.edited",
    "message.deleted",
    "message.agent",
    "contact.blocked",
    "contact.unblocked",
    "contact.linked",
    "contact.referred",
)
STATUS_KIND = "message.status"
#: Those that the compat dialect carries: an endpoint of that dialect is owed no others, whatever its filter says.
COMPAT_KINDS = ("message.status", "message.received", "postback.received")


@quick
@dataclass(frozen=True, slots=True)
class StatusChange:
    """What an event of the kind ``message.status`` tells of its message, as the message stood after that change.

    ``provider_message_id`` is that of the last part sent, else "" (of a part with several, the first). ``parts`` and
    ``losses`` are the message's of today.
    """

    tid: str
    message_id: str
    recipient: str
    status: Status
    previous: Status
    error: ErrorRecord | None = None
    provider_message_id: str = ""
    parts: tuple[PartRecord, ...] = ()
    losses: tuple[Loss, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event of a client's feed; a change to the status 0 is none.

    Either ``change`` is set (``message.status``), or ``data`` (every other kind), as JSON. ``at`` is when it happened at the
    platform, else when we knew; ``conversation`` orders its callbacks. ``media`` as in
    :class:`kurir.store.inbound.NewEvent`.
    """

    position: int
    client_id: str
    kind: str
    account_id: str
    channel: str
    conversation: str
    at: datetime
    change: StatusChange | None = None
    data: bytes = b""
    media: bytes | None = None


def endpoint_id_of(client_id: str, url: str) -> str:
    """Return the id of a client's endpoint: 12 characters of a-z and 2-7, of the SHA-256 of both."""
    digest = hashlib.sha256(f"{client_id}\0{url}".encode()).digest()
    return base64.b32encode(digest)[:12].decode("ascii").lower()


class Owed(StrEnum):
    """Where a callback stands: to be called, taken by the endpoint, refused for good (it can be replayed)."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@quick
@dataclass(frozen=True, slots=True)
class CallbackRecord:
    """A callback: the event at ``position`` for an endpoint. ``tries`` counts those of this run; a replay begins a new one.

    ``webhook_id`` is the ``webhook-id`` header: the same for every try and every replay.
    """

    endpoint_id: str
    position: int
    kind: str
    conversation: str
    state: Owed
    tries: int = 0
    next_at: datetime | None = None
    ended_at: datetime | None = None
    event: EventRecord | None = None

    @property
    def webhook_id(self) -> str:
        """Return the id that receivers tell repeats by."""
        return f"evt_{self.endpoint_id}_{self.position}"


@quick
@dataclass(frozen=True, slots=True)
class CallbackAttempt:
    """One try of a callback. ``status`` is the HTTP status, 0 when no answer came; then ``error`` says why. Body ≤ 16 KiB."""

    endpoint_id: str
    position: int
    at: datetime
    duration_ms: int
    status: int
    headers: str = "{}"
    body: bytes = b""
    error: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Called:
    """What came of a try: the attempt, the state that follows, and when the next try is due (PENDING only)."""

    attempt: CallbackAttempt
    state: Owed
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ladder:
    """Where an endpoint stands on its ladder: how many steps failed in a row, since when, and when it is tried next.

    ``paused_at`` is set while nothing is sent to it: the operator, a 410 or the last step stopped it; ``paused_reason``
    says which.
    """

    failures: int = 0
    failing_since: datetime | None = None
    next_at: datetime | None = None
    paused_at: datetime | None = None
    paused_reason: str = ""
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint with where it stands and what is owed to it."""

    id: str
    record: EndpointRecord
    ladder: Ladder = field(default_factory=Ladder)
    pending: int = 0
    failed: int = 0
    oldest_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """Which callbacks to owe again. ``positions`` names some; else a range by time of event; ``failed_only`` of both."""

    positions: tuple[int, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    failed_only: bool = False


class FeedStore(Protocol):
    """The part of the store that is about events and callbacks."""

    async def events(self, client_id: str, *, after: int = 0, limit: int = 100) -> list[EventRecord]:
        """Return the client's events above the position *after*, by position, joined with their messages of today.

        The same events are shown that callbacks are owed for. Of what retention has deleted, positions are missing.
        """
        ...

    async def last_position(self, client_id: str) -> int:
        """Return the position of the client's newest event, 0 when there is none."""
        ...

    async def event(self, client_id: str, position: int) -> EventRecord | None:
        """Return one event of the client."""
        ...

    async def all_endpoints(self) -> list[Endpoint]:
        """Return every endpoint of every client, enabled or not, without counts."""
        ...

    async def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """Return an endpoint with its counts."""
        ...

    async def put_endpoint(self, record: EndpointRecord, at: datetime, was: bytes | None = None) -> Endpoint | None:
        """Create or change a client's endpoint by its URL. A configuration file leaves it alone unless it names it.

        *was* is what was sealed in the record that *record* was made of, b"" where there was no such endpoint. None is
        returned, and nothing changes, where that is something else by now: every change seals anew. Without *was* it is
        changed whatever it is.

        It keeps its ladder, and its place among the client's endpoints; a new one comes last. Its id (12 characters,
        lower-case letters and digits) is made from client and URL, so that it is the same everywhere. A new endpoint is
        owed events from now on.
        """
        ...

    async def delete_endpoint(self, endpoint_id: str) -> bool:
        """Delete an endpoint with what is owed to it; False when there is none.

        In several transactions where much is owed, so that nobody waits for it: the first one disables the endpoint, and
        what a crash interrupts is finished by asking again.
        """
        ...

    async def set_ladder(self, endpoint_id: str, ladder: Ladder, was: Ladder | None = None) -> Ladder | None:
        """Keep where an endpoint stands on its ladder, where it still stands at *was* (None: wherever).

        Durable on return. Returns where it stands then: at *ladder*, or where another one put it meanwhile; None where
        there is no such endpoint. So a step that somebody took who did not know of an operator's pause does not end it.
        """
        ...

    async def owed(self, endpoint_id: str, *, after: int = 0, limit: int = 100) -> list[CallbackRecord]:
        """Return pending callbacks of an endpoint above a position, by position, with their events."""
        ...

    async def trace_of(self, tid: str) -> str:
        """Return the ``traceparent`` that was stored with a message, "" where none was, or no such message is there."""
        ...

    async def called(self, results: Sequence[Called]) -> None:
        """Keep what came of tries, in one transaction: the attempts and the callbacks' new states.

        Of a callback, the first 10 attempts and the last 40 are kept: five ladders in full. What is no longer pending only
        changes by a delivery. Results of callbacks that are not there any more are passed over.
        """
        ...

    async def replay(self, endpoint_id: str, wanted: Replay, at: datetime) -> int:
        """Owe callbacks again (also events that the endpoint was never owed, if it wants their kind); return how many.

        What is pending stays as it is, and is not counted. A range is by the event's ``at``, from ``since`` to before
        ``until``, and ends with the newest event of now. In several transactions where there is much: what a crash
        interrupts is owed as far as it came, and asking again does the rest.
        """
        ...

    async def callbacks(
        self, endpoint_id: str, *, state: Owed | None = None, before: int | None = None, limit: int = 100
    ) -> list[CallbackRecord]:
        """Return an endpoint's callbacks, newest first, below a position, without their events."""
        ...

    async def callback_attempts(self, endpoint_id: str, position: int) -> list[CallbackAttempt]:
        """Return the tries of a callback in their order."""
        ...
