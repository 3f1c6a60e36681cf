"""What the gateway answers, as values. A time is aware; an absent text is "", an absent object None."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any


class Status(IntEnum):
    """The status of a message. Below 0 it ended without arriving; 2 and 3 only where the platform tells."""

    FAILED = -3
    UNDELIVERED = -2
    UNSENT = -1
    PENDING = 0
    SENT = 1
    DELIVERED = 2
    READ = 3


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a message waits or ended: the gateway's code, a sentence, and the platform's own code or ""."""

    code: str
    detail: str = ""
    provider_code: str = ""


@dataclass(frozen=True, slots=True)
class Loss:
    """What the channel shows in another way than it was asked."""

    pointer: str
    kind: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that is durable at the gateway.

    ``losses`` is how many things the channel shows in another way. ``replayed``: the same message had been accepted before,
    and ``status`` is its status of now.
    """

    message_id: str
    tid: str
    status: Status = Status.PENDING
    losses: int = 0
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class PreviewPart:
    """A call that the platform would get, secrets masked."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be sent; nothing was."""

    parts: tuple[PreviewPart, ...] = ()
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A platform call of a message. ``status`` is None before the platform's answer."""

    part: int
    state: str
    status: Status | None = None
    attempts: int = 0
    provider_message_ids: tuple[str, ...] = ()
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An exchange with the platform, secrets masked. ``status`` is the HTTP status, 0 when no answer came."""

    run: int
    part: int
    at: datetime
    duration_ms: int
    outcome: str
    counted: bool = True
    code: str = ""
    reason: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a message's status."""

    status: Status
    previous: Status
    at: datetime
    error: Reason | None = None


@dataclass(frozen=True, slots=True)
class MessageSummary:
    """A message in a list. ``reason`` is why it waits, ``error`` why it failed; ``final``: no more can be learned."""

    tid: str
    id: str
    channel: str
    account: str
    recipient: str
    type: str
    status: Status
    accepted_at: datetime
    priority: str = "normal"
    final: bool = False
    reason: Reason | None = None
    waiting_until: datetime | None = None
    error: Reason | None = None
    run: int = 1
    send_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MessageDetails(MessageSummary):
    """A message with all that is known of it."""

    address: str = ""
    parts: tuple[Part, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    losses: tuple[Loss, ...] = ()
    history: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Messages, newest first, and the cursor of the next page, None on the last one."""

    data: tuple[MessageSummary, ...] = ()
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Contact:
    """A person as one account knows them."""

    channel: str
    account: str
    address: str
    phone: str = ""
    name: str = ""
    last_inbound_at: datetime | None = None
    linked_at: datetime | None = None
    blocked: bool = False
    username: str = ""


@dataclass(frozen=True, slots=True)
class ContactPage:
    """Contacts, and the cursor of the next page, None on the last one."""

    data: tuple[Contact, ...] = ()
    next: str | None = None


@dataclass(frozen=True, slots=True)
class ContactLink:
    """A link that a person opens, good once until ``expires_at``.

    On LINE ``url`` has a ``{linkToken}`` that the client's own page fills in.
    """

    channel: str
    account: str
    url: str
    token: str
    expires_at: datetime
    phone: str = ""
    payload: str = ""
