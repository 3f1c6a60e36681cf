"""Letting people in: one-time links, passwords with an optional second factor, sessions; and what is noted of it.

A token is 32 random bytes, and the store has only its SHA-256: who reads the database can neither sign in nor take a session
over. A link lets in once. Failed sign-ins are bounded for each name and network as those of the API are
(:class:`kurir.auth.FailureLimiter`), wrong codes of a second factor for each user wherever they come from, and an unknown
name costs the same work as a wrong password.
"""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from kurir.auth import FailureLimiter, Hasher
from kurir.clock import Clock, uuid7
from kurir.console import totp
from kurir.console.rights import Role, Visitor
from kurir.secretbox import SealError, SecretBox
from kurir.store.access import (
    SESSION_IDLE,
    SESSION_LONGEST,
    AccessStore,
    SessionRecord,
    UserChange,
    UserOutcome,
    UserRecord,
)
from kurir.store.base import StoreUnavailable

T = TypeVar("T")

#: How often the use of a session is written down.
TOUCHED: Final = timedelta(minutes=1)
#: How long a link lets in.
LINK_LIFE: Final = timedelta(hours=24)
#: The shortest password that somebody may choose (NIST SP 800-63B-4, 3.1.1.2: 15 where it is the only factor).
SHORTEST_PASSWORD: Final = 12
LONGEST_PASSWORD: Final = 256
LONGEST_NAME: Final = 100
#: The name of the first owner, who comes by the link of the first start.
FIRST_OWNER: Final = "owner"
#: Threads that hash passwords, few since a hash takes 19 MiB and 26 ms of a core; and passwords that may wait for one.
HASHING: Final = 2
WAITING: Final = 32


class NotIn(Exception):
    """Somebody is not let in. ``why``: wrong, wrong_code, code (one is wanted), link, or limited, for ``retry_after`` s."""

    def __init__(self, why: str, retry_after: int = 0) -> None:
        super().__init__(why)
        self.why = why
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Browser:
    """Where a request comes from: the address, and what the browser calls itself."""

    address: str
    agent: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session: its token, for the cookie alone, and whose it is."""

    token: str = field(repr=False)
    user: UserRecord
    session: SessionRecord


class Access:
    """Signs people in and out. *box* opens sealed second factors. Belongs to one event loop.

    ``store`` is where users and sessions are kept, for the routes that show or end them.
    """

    def __init__(
        self, store: AccessStore, clock: Clock, box: Callable[[], SecretBox], hasher: Hasher | None = None
    ) -> None:
        self.store = store
        self._clock = clock
        self._box = box
        self._hasher = hasher or Hasher()
        self._limiter = FailureLimiter(clock)
        self._codes = FailureLimiter(clock)
        self._pool = ThreadPoolExecutor(HASHING, thread_name_prefix="kurir-console")
        self._hashing = 0

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    # --- links --------------------------------------------------------------------------------------------------------

    async def new_link(self, user_id: str = "") -> str:
        """Return the token of a new link that lets the user in once; "" makes the first owner. Durable on return."""
        token = secrets.token_urlsafe(32)
        await self.store.put_sign_in_link(_digest(token), user_id, self._clock.now() + LINK_LIFE)
        return token

    async def first_link(self) -> str | None:
        """Return the token of a link for the first owner; None where there is a user already."""
        return None if await self.store.users() else await self.new_link()

    async def first_owner(self) -> UserRecord | None:
        """Return the enabled owner who came first; None where there is none yet."""
        owners = [one for one in await self.store.users() if one.role == Role.OWNER and one.enabled]
        return min(owners, key=lambda one: one.id, default=None)

    async def owner_link(self) -> str:
        """Return the token of a link for the owner who came first; for the first owner where there is none yet."""
        first = await self.first_owner()
        return await self.new_link(first.id if first else "")

    async def link_is_good(self, token: str) -> bool:
        """Return whether the link would let somebody in now."""
        user_id = await self.store.sign_in_link(_digest(token), self._clock.now())
        if user_id is None:
            return False
        users = await self.store.users()
        return any(one.id == user_id and one.enabled for one in users) if user_id else not users

    async def by_link(self, token: str, browser: Browser) -> SignedIn:
        """Sign in by a link, which is good for nothing afterwards. Raises NotIn."""
        now = self._clock.now()
        user_id = await self.store.use_sign_in_link(_digest(token), now)
        if user_id is None:
            raise NotIn("link")
        if not user_id:
            owner = UserRecord(uuid7(), FIRST_OWNER, Role.OWNER, created_at=now)
            if not await self.store.put_user(owner, now, first=True):
                raise NotIn("link")  # an owner came by another link meanwhile
            return await self._signed_in(owner, browser)
        user = next((one for one in await self.store.users() if one.id == user_id and one.enabled), None)
        if user is None:
            raise NotIn("link")
        return await self._signed_in(user, browser)

    # --- passwords ----------------------------------------------------------------------------------------------------

    async def by_password(self, name: str, password: str, code: str, browser: Browser) -> SignedIn:
        """Sign in by name and password, with the *code* of a second factor where the user has one. Raises NotIn."""
        name = name.strip().lower()[:LONGEST_NAME]
        wait = self._limiter.take(name.encode(), browser.address)
        if wait:
            raise NotIn("limited", wait)
        user = await self.store.user_named(name)
        right = await self._verifies(user, password[:LONGEST_PASSWORD])
        if user is None or not right or not user.enabled:
            raise NotIn("wrong")
        self._limiter.give_back(name.encode(), browser.address)
        if user.totp:
            await self._check_code(user, code)
        return await self._signed_in(user, browser)

    async def _check_code(self, user: UserRecord, code: str) -> None:
        """Let the right code pass, once. Who comes here knows the password: guesses from all places are counted together."""
        if not code.strip():
            raise NotIn("code")
        wait = self._codes.take(user.id.encode(), user.id)
        if wait:
            raise NotIn("limited", wait)
        if not await self._code_is_good(user, code):
            raise NotIn("wrong_code")
        self._codes.give_back(user.id.encode(), user.id)

    async def _verifies(self, user: UserRecord | None, password: str) -> bool:
        """Return whether the password is the user's; the same work is done where there is none."""
        known = user.password_hash if user is not None else ""
        return await self._hashes(self._verifies_now, known, password.encode())

    def _verifies_now(self, known: str, password: bytes) -> bool:
        if not known or self._hasher.is_fast(known):  # the hash of a generated password would tell by its speed
            self._hasher.waste(password)
        return bool(known) and self._hasher.verifies(known, password)

    async def _hashes(self, work: Callable[..., T], *given: object) -> T:
        """Return what *work* returns, from a thread. Raises NotIn where too many wait already."""
        if self._hashing >= WAITING:
            raise NotIn("limited", 1)
        self._hashing += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *given)
        finally:
            self._hashing -= 1

    async def _code_is_good(self, user: UserRecord, code: str) -> bool:
        try:
            secret = self._box().open(user.totp, about=totp.about(user.id))
        except SealError:
            return False
        step = totp.step_of(secret, code, self._clock.now())
        return step is not None and await self.store.use_totp(user.id, step)

    async def turn_on_totp(self, user: UserRecord, secret: bytes, code: str) -> bool:
        """Give the user a second factor, if *code* is one of it now; the code is used up by that. False: it is none."""
        step = totp.step_of(secret, code, self._clock.now())
        if step is None:
            return False
        sealed = self._box().seal(secret, about=totp.about(user.id))
        await self.store.change_user(user.id, UserChange(totp=sealed), self._clock.now())
        await self.store.use_totp(user.id, step)
        return True

    async def set_password(self, user: UserRecord, name: str, password: str, session_id: str) -> UserOutcome:
        """Give the user a name and a password; every other session and every link ends. Raises NotIn where it is busy."""
        stored = await self._hashes(self._hasher.hash, password)
        change = UserChange(name=name, password_hash=stored)
        outcome = await self.store.change_user(user.id, change, self._clock.now())
        if outcome is UserOutcome.DONE:
            await self.store.close_sessions(user.id, but=session_id)
        return outcome

    async def is_password(self, user: UserRecord, password: str, browser: Browser) -> bool:
        """Return whether the password is the user's: asked for again before what matters. Raises NotIn("limited")."""
        wait = self._limiter.take(user.name.encode(), browser.address)
        if wait:
            raise NotIn("limited", wait)
        right = await self._verifies(user, password[:LONGEST_PASSWORD])
        if right:
            self._limiter.give_back(user.name.encode(), browser.address)
        return right

    # --- sessions -----------------------------------------------------------------------------------------------------

    async def _signed_in(self, user: UserRecord, browser: Browser) -> SignedIn:
        now, token = self._clock.now(), secrets.token_urlsafe(32)
        session = SessionRecord(uuid7(), user.id, now, now, browser.address, browser.agent[:300])
        await self.store.open_session(_digest(token), session)
        return SignedIn(token, replace(user, signed_in_at=now), session)

    async def visitor(self, token: str, address: str) -> tuple[Visitor, UserRecord] | None:
        """Return who has this session; None: nobody any more."""
        digest = _digest(token)
        found = await self.store.session(digest)
        if found is None:
            return None
        session, user = found
        now = self._clock.now()
        if not _lasts(session, now):
            return None
        if now - session.seen_at >= TOUCHED:
            # Where the disk is full, who looks must still see why; the session then ends a little early.
            with contextlib.suppress(StoreUnavailable):
                await self.store.touch_session(digest, now)
        scope = user.client_id if user.role == Role.CLIENT else ""
        return Visitor(user.id, user.name, Role(user.role), scope, session.id, address), user

    async def lasts(self, token: str) -> bool:
        """Return whether this session lets somebody in just now. To look does not prolong it."""
        found = await self.store.session(_digest(token))
        return found is not None and _lasts(found[0], self._clock.now())


def _lasts(session: SessionRecord, now: datetime) -> bool:
    return now - session.seen_at < SESSION_IDLE and now - session.created_at < SESSION_LONGEST


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
