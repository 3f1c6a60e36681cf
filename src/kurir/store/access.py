"""What the console asks of the store: its users and their sessions, what was done and by whom, which requests were refused.

As in :mod:`kurir.store.base` every method is one transaction, durable on return, and times are aware UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from kurir.domain.problem import Problem

#: A session ends when it was not used for so long, and so long after it began, whatever is done.
SESSION_IDLE: Final = timedelta(hours=12)
SESSION_LONGEST: Final = timedelta(days=7)
#: How long an entry of the log of requests is kept, and how many are, at most.
REQUEST_LIFE: Final = timedelta(days=14)
REQUESTS_KEPT: Final = 100_000


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A person who may look at the console. ``name`` is in lower case.

    ``client_id`` "" is a user of the whole installation. ``password_hash`` "" lets nobody in by a password; ``totp`` is the
    sealed secret of a second factor, b"" without one, and ``totp_step`` the last time step of which a code was used.
    """

    id: str
    name: str
    role: str
    client_id: str = ""
    password_hash: str = field(default="", repr=False)
    totp: bytes = field(default=b"", repr=False)
    totp_step: int = 0
    language: str = ""
    enabled: bool = True
    created_at: datetime | None = None
    signed_in_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class UserChange:
    """What is to be another of a user; None: it stays."""

    name: str | None = None
    role: str | None = None
    client_id: str | None = None
    password_hash: str | None = field(default=None, repr=False)
    totp: bytes | None = field(default=None, repr=False)
    language: str | None = None
    enabled: bool | None = None


class UserOutcome(StrEnum):
    """What became of a change of a user. LAST_OWNER: nobody would be left who may do everything, so nothing changed."""

    DONE = "done"
    GONE = "gone"
    TAKEN = "taken"
    LAST_OWNER = "last_owner"


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A browser that is signed in. ``id`` names it to its user; the token itself is in the cookie alone."""

    id: str
    user_id: str
    created_at: datetime
    seen_at: datetime
    address: str
    agent: str


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Something that was done: by whom, from where, to what, and what it was before and is after (JSON objects as text).

    ``number`` orders them; 0 before it is stored. ``via`` is console, api or cli.
    """

    at: datetime
    actor: str
    via: str
    address: str
    action: str
    kind: str
    subject: str
    client_id: str = ""
    before: str = "{}"
    after: str = "{}"
    number: int = 0


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries of the audit are asked for: those below the number *before*; None: all."""

    client_ids: tuple[str, ...] | None = None
    actor: str | None = None
    action: str | None = None
    kind: str | None = None
    subject: str | None = None
    via: str | None = None
    since: datetime | None = None
    before: int | None = None


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A request of a client as the log keeps it. ``duration_us`` in microseconds; ``client_id`` "": nobody was let in."""

    at: datetime
    request_id: str
    client_id: str
    method: str
    path: str
    status: int
    code: str
    detail: str
    problems: tuple[Problem, ...]
    duration_us: int
    address: str
    agent: str
    body: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests are asked for: those below the number *before*; None: all."""

    client_ids: tuple[str, ...] | None = None
    code: str | None = None
    status: int | None = None
    request_id: str | None = None
    before: int | None = None


@dataclass(frozen=True, slots=True)
class RequestGroup:
    """Requests that were refused for the same reason: how many, and the newest of them."""

    code: str
    client_id: str
    count: int
    last_at: datetime
    last_number: int


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the database says of itself. ``settings`` are those that durability depends on, by their own names.

    ``size`` in bytes; ``now`` is its own clock, None where it has the machine's; ``replica``: it only follows another one.
    """

    engine: str
    version: str
    schema: int
    size: int
    settings: Mapping[str, str]
    now: datetime | None = None
    replica: bool = False


class AccessStore(Protocol):
    """The part of the store that only the console and its log of requests use."""

    async def users(self) -> list[UserRecord]:
        """Return every user of the console by name."""
        ...

    async def user_named(self, name: str) -> UserRecord | None:
        """Return the user who signs in with *name*, in lower case."""
        ...

    async def put_user(self, user: UserRecord, at: datetime, *, first: bool = False) -> bool:
        """Add or replace a user. False, and nothing changed: the name is another user's, or with *first* there is a user."""
        ...

    async def change_user(self, user_id: str, change: UserChange, at: datetime) -> UserOutcome:
        """Change what *change* names of a user, and nothing else: two who change one at once lose nothing.

        Who is disabled loses sessions and links; a new password ends the links. Of enabled owners one is always left.
        """
        ...

    async def remove_user(self, user_id: str) -> UserOutcome:
        """Delete a user, with sessions and links, unless it is the last enabled owner."""
        ...

    async def use_totp(self, user_id: str, step: int) -> bool:
        """Note that a code of this time step was used. False: one of it, or of a later one, was used before."""
        ...

    async def open_session(self, digest: bytes, session: SessionRecord) -> None:
        """Keep a new session, and when its user signed in."""
        ...

    async def session(self, digest: bytes) -> tuple[SessionRecord, UserRecord] | None:
        """Return the session with its user; None where there is none, or its user may not look any more."""
        ...

    async def touch_session(self, digest: bytes, at: datetime) -> None:
        """Note that the session is used."""
        ...

    async def sessions(self, user_id: str) -> list[SessionRecord]:
        """Return the user's sessions, the one used last first."""
        ...

    async def close_sessions(self, user_id: str, *, only: str | None = None, but: str | None = None) -> int:
        """End the user's sessions, *only* the one with this id, or all *but* it. Returns how many that were."""
        ...

    async def put_sign_in_link(self, digest: bytes, user_id: str, expires_at: datetime) -> None:
        """Keep a link that lets the user in once; *user_id* "" makes the first owner."""
        ...

    async def sign_in_link(self, digest: bytes, at: datetime) -> str | None:
        """Return whose link it is, and let it be; None: there is none, or it has expired at *at*."""
        ...

    async def use_sign_in_link(self, digest: bytes, at: datetime) -> str | None:
        """Return whose link it is, and delete it; None: there is none, or it has expired at *at*."""
        ...

    async def add_audit(self, entries: Sequence[AuditRecord]) -> None:
        """Keep what was done."""
        ...

    async def audit(self, wanted: AuditFilter, limit: int) -> list[AuditRecord]:
        """Return what was done, newest first."""
        ...

    async def add_requests(self, requests: Sequence[RequestRecord]) -> None:
        """Keep what became of requests."""
        ...

    async def requests(self, wanted: RequestFilter, limit: int) -> list[RequestRecord]:
        """Return requests, newest first."""
        ...

    async def request(self, number: int) -> RequestRecord | None:
        """Return one request of the log."""
        ...

    async def request_groups(
        self, client_ids: tuple[str, ...] | None, since: datetime, limit: int
    ) -> list[RequestGroup]:
        """Return refused requests by error and client, the most frequent first. Of the newest 10,000 since then."""
        ...

    async def engine_facts(self) -> EngineFacts:
        """Return what the database says of itself, asked just now."""
        ...

    async def purge_access(self, now: datetime, limit: int) -> int:
        """Delete up to *limit* sessions, links and entries of the log of requests each that have no use any more at *now*.

        Of the log the newest :data:`REQUESTS_KEPT` stay at most. The audit stays whole: it is deleted by nobody but the
        database's owner. Returns how many rows went.
        """
        ...
