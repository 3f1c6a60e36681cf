"""The store's part that the console uses for itself: users, sessions, audit, log of requests."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeVar

from kurir.store.access import (
    AuditFilter,
    AuditRecord,
    RequestFilter,
    RequestGroup,
    RequestRecord,
    SessionRecord,
    UserChange,
    UserOutcome,
    UserRecord,
)
from kurir.store.database import Operation, Whose
from kurir.store.operations import access

T = TypeVar("T")

#: These rows are no client's: writes about them exclude each other, and nobody else.
_CONSOLE: Final = Whose(client_id=" console")


class SqlAccess(ABC):
    """:class:`kurir.store.access.AccessStore` over SQL."""

    @abstractmethod
    async def _write(self, whose: Whose, operation: Operation[T], *, seconds: float | None = None) -> T: ...

    @abstractmethod
    async def _read(self, operation: Operation[T]) -> T: ...

    @abstractmethod
    async def _study(self, operation: Operation[T], *, seconds: float | None = None) -> T: ...

    async def users(self) -> list[UserRecord]:
        """Return every user by name."""
        return await self._study(access.users)

    async def user_named(self, name: str) -> UserRecord | None:
        """Return the user who signs in with this name."""
        return await self._study(lambda db: access.user_named(db, name))

    async def put_user(self, user: UserRecord, at: datetime, *, first: bool = False) -> bool:
        """Add or replace a user."""
        return await self._write(_CONSOLE, lambda db: access.put_user(db, user, at, first=first))

    async def change_user(self, user_id: str, change: UserChange, at: datetime) -> UserOutcome:
        """Change what is named of a user."""
        return await self._write(_CONSOLE, lambda db: access.change_user(db, user_id, change, at))

    async def remove_user(self, user_id: str) -> UserOutcome:
        """Delete a user, with sessions and links."""
        return await self._write(_CONSOLE, lambda db: access.remove_user(db, user_id))

    async def use_totp(self, user_id: str, step: int) -> bool:
        """Note that a code was used."""
        return await self._write(_CONSOLE, lambda db: access.use_totp(db, user_id, step))

    async def open_session(self, digest: bytes, session: SessionRecord) -> None:
        """Keep a new session."""
        await self._write(_CONSOLE, lambda db: access.open_session(db, digest, session))

    async def session(self, digest: bytes) -> tuple[SessionRecord, UserRecord] | None:
        """Return the session with its user."""
        return await self._study(lambda db: access.session(db, digest))

    async def touch_session(self, digest: bytes, at: datetime) -> None:
        """Note that the session is used."""
        await self._write(_CONSOLE, lambda db: access.touch_session(db, digest, at))

    async def sessions(self, user_id: str) -> list[SessionRecord]:
        """Return the user's sessions."""
        return await self._study(lambda db: access.sessions(db, user_id))

    async def close_sessions(self, user_id: str, *, only: str | None = None, but: str | None = None) -> int:
        """End the user's sessions."""
        return await self._write(_CONSOLE, lambda db: access.close_sessions(db, user_id, only, but))

    async def put_sign_in_link(self, digest: bytes, user_id: str, expires_at: datetime) -> None:
        """Keep a link that lets in once."""
        await self._write(_CONSOLE, lambda db: access.put_sign_in_link(db, digest, user_id, expires_at))

    async def sign_in_link(self, digest: bytes, at: datetime) -> str | None:
        """Return whose link it is."""
        return await self._study(lambda db: access.sign_in_link(db, digest, at))

    async def use_sign_in_link(self, digest: bytes, at: datetime) -> str | None:
        """Return whose link it is, and delete it."""
        return await self._write(_CONSOLE, lambda db: access.use_sign_in_link(db, digest, at))

    async def add_audit(self, entries: Sequence[AuditRecord]) -> None:
        """Keep what was done."""
        await self._write(_CONSOLE, lambda db: access.add_audit(db, entries))

    async def audit(self, wanted: AuditFilter, limit: int) -> list[AuditRecord]:
        """Return what was done, newest first."""
        return await self._study(lambda db: access.audit(db, wanted, limit))

    async def add_requests(self, requests: Sequence[RequestRecord]) -> None:
        """Keep what became of requests."""
        await self._write(_CONSOLE, lambda db: access.add_requests(db, requests))

    async def requests(self, wanted: RequestFilter, limit: int) -> list[RequestRecord]:
        """Return requests, newest first."""
        return await self._study(lambda db: access.requests(db, wanted, limit))

    async def request(self, number: int) -> RequestRecord | None:
        """Return one request of the log."""
        return await self._study(lambda db: access.request(db, number))

    async def request_groups(
        self, client_ids: tuple[str, ...] | None, since: datetime, limit: int
    ) -> list[RequestGroup]:
        """Return refused requests by error and client."""
        return await self._study(lambda db: access.request_groups(db, client_ids, since, limit))

    async def purge_access(self, now: datetime, limit: int) -> int:
        """Delete what is of no use any more."""
        return await self._write(_CONSOLE, lambda db: access.purge_access(db, now, limit))
