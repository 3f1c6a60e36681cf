"""Who is asking: a client by user name and password, checked slowly once and quickly afterwards; or the administrator.

A chosen password is kept as argon2id, a check of which costs 26 ms of a core; that must happen once, not per request.
So a success is remembered for some minutes under a keyed hash of (user name, password, stored hash): a hit costs a few
microseconds, a changed password misses by itself, and nothing in memory is worth stealing. A generated password has
256 random bits, which no slow hash makes harder to guess: it is kept as a fast hash, keyed with its own salt. After a
rotation the password before lets in as well, until its overlap ends.

Nobody learns from an answer, or from how long it took, whether a user name exists: an unknown user, a wrong password, a
disabled client and one that asks from a network it may not come from get the same answer after the same work. Nobody can
stop another by failing on purpose: what was right once in this process passes the failure limiter, what waits for a hash
slot is bounded, and a password that arrives a hundred times at once is hashed once.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import math
import os
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import argon2

from kurir import networks
from kurir.clock import Clock
from kurir.store.base import ClientRecord

#: Raw request headers as ASGI gives them: the names in lower case.
Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

#: What leak scanners look for.
PASSWORD_PREFIX: Final = "kurir_pw_"  # noqa: S105  the prefix of passwords, not one of them
_GENERATED: Final = re.compile(rf"{PASSWORD_PREFIX}[A-Za-z0-9_-]{{43}}")

#: How long a success answers by itself, and how long it passes the failure limiter (to be hashed again).
FRESH_SECONDS: Final = 300.0
KNOWN_SECONDS: Final = 86_400.0
REMEMBERED: Final = 10_000
#: So often a pair is verified whose client changes each time while it is: nodes that start at once with one configuration
#: each write a hash of their own.
CHANGES: Final = 3

#: Attempts in reserve and the seconds that bring one back: for one user name, and for one remote address. An address
#: may be a whole office or a proxy, so it has more.
USERNAME_FAILURES: Final = (20, 30.0)
REMOTE_FAILURES: Final = (60, 2.0)
#: How many user names, and how many addresses, the limiter remembers.
LIMITED: Final = 10_000

#: How many hashes may wait for each one that is being computed, and what those turned away are told to wait.
WAITING_PER_SLOT: Final = 16
BUSY_SECONDS: Final = 1

_FAST: Final = "$kurir-blake2b$"
_SALT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The credentials belong to this client."""

    client_id: str


@dataclass(frozen=True, slots=True)
class Denied:
    """The credentials are missing, malformed or wrong; nobody is told which."""


@dataclass(frozen=True, slots=True)
class Limited:
    """Too many failures for this user name or from this address. Whole seconds until the next attempt is looked at."""

    retry_after: int


@dataclass(frozen=True, slots=True)
class Busy:
    """More passwords wait to be hashed than may wait. Whole seconds until another try makes sense."""

    retry_after: int = BUSY_SECONDS


Answer: TypeAlias = Authenticated | Denied | Limited | Busy


# --- passwords --------------------------------------------------------------------------------------------------------


def generate_password() -> str:
    """Return a new password: a prefix that leak scanners know, and 32 random bytes."""
    return PASSWORD_PREFIX + secrets.token_urlsafe(32)


def generated_hash(password: str) -> str:
    """Return what is stored for a password that :func:`generate_password` made: a fast hash with a salt of its own."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"{_FAST}{_encode(salt)}${_encode(_fast_digest(salt, password.encode()))}"


class Hasher:
    """Hashes passwords and verifies them. The defaults are OWASP's floor for argon2id: 19 MiB, two passes, one lane."""

    def __init__(self, *, memory_kib: int = 19_456, passes: int = 2) -> None:
        self._argon2 = argon2.PasswordHasher(
            time_cost=passes, memory_cost=memory_kib, parallelism=1, hash_len=32, salt_len=_SALT_BYTES
        )
        # The form of a hash is enough: no password is known for it, and to verify one costs what it always does.
        salt, digest = (base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (_SALT_BYTES, 32))
        self.dummy_hash = f"$argon2id$v=19$m={memory_kib},t={passes},p=1${salt}${digest}"

    def hash(self, password: str) -> str:
        """Return what is stored for *password*: a fast hash of a generated one, argon2id of a chosen one."""
        if _GENERATED.fullmatch(password):
            return generated_hash(password)
        return self._argon2.hash(password.encode())

    def verifies(self, stored: str, password: bytes) -> bool:
        """Return whether *password* is the one that *stored* was made of. A malformed hash verifies nothing."""
        if self.is_fast(stored):
            salt, _, digest = stored.removeprefix(_FAST).partition("$")
            return hmac.compare_digest(_fast_digest(_decode(salt)[:_SALT_BYTES], password), _decode(digest))
        try:
            return self._argon2.verify(stored, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    def is_fast(self, stored: str) -> bool:
        """Return whether *stored* is the hash of a generated password."""
        return stored.startswith(_FAST)

    def keeps(self, stored: str, password: str) -> bool:
        """Return whether *stored* can stay for *password*: it verifies, and is what :meth:`hash` would make today."""
        if self.is_fast(stored) != bool(_GENERATED.fullmatch(password)):
            return False
        if not self.verifies(stored, password.encode()):
            return False
        return self.is_fast(stored) or not self._argon2.check_needs_rehash(stored)

    def waste(self, password: bytes) -> None:
        """Do the work of a slow verification in vain, so that an unknown user takes as long as a known one."""
        self.verifies(self.dummy_hash, password)


def _fast_digest(salt: bytes, password: bytes) -> bytes:
    return hashlib.blake2b(password, key=salt, digest_size=32, person=b"kurir-password").digest()


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _decode(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""


# --- headers ----------------------------------------------------------------------------------------------------------


def credentials(headers: Headers) -> tuple[bytes, bytes] | None:
    """Return (user name, password) from ``Auth-username`` and ``Auth-password``, else from HTTP Basic.

    None when they are missing, empty, malformed or repeated. Where one of the two headers is there, Authorization is
    not looked at: it may belong to a proxy on the way.
    """
    username = password = basic = None
    for name, value in headers:
        # All three names have thirteen letters, which spares most headers the comparison of their bytes.
        if len(name) != 13:
            continue
        if name == b"auth-username":
            if username is not None:
                return None
            username = value
        elif name == b"auth-password":
            if password is not None:
                return None
            password = value
        elif name == b"authorization":
            # Of repeated ones none counts.
            basic = value if basic is None else b""
    if username is None and password is None:
        return _basic(basic) if basic else None
    return _pair(username, password)


def bearer(headers: Headers) -> bytes | None:
    """Return the token of ``Authorization: Bearer …``, None when it is missing, repeated or of another scheme."""
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(b" ")
    return token.strip() or None if scheme.lower() == b"bearer" else None


def _basic(value: bytes) -> tuple[bytes, bytes] | None:
    scheme, _, encoded = value.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        username, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return _pair(username, password) if colon else None


def _pair(username: bytes | None, password: bytes | None) -> tuple[bytes, bytes] | None:
    # NUL separates the parts of the cache's key, so it must not occur in them.
    if not username or not password or b"\0" in username or b"\0" in password:
        return None
    return username, password


class AdminToken:
    """The administrator's bearer token. Without one nobody is the administrator."""

    def __init__(self, token: str | None) -> None:
        # Without a token there is one that nobody knows, so that its absence cannot be told from a wrong guess.
        self._digest = _token_digest((token or secrets.token_urlsafe(32)).encode())

    def matches(self, headers: Headers) -> bool:
        """Return whether *headers* carry the token, compared in constant time whatever its length."""
        token = bearer(headers)
        return token is not None and hmac.compare_digest(self._digest, _token_digest(token))


def _token_digest(token: bytes) -> bytes:
    return hashlib.blake2b(token, digest_size=32).digest()


# --- the failure limiter ----------------------------------------------------------------------------------------------


class _Buckets:
    """Token buckets by key, the least recently used forgotten."""

    def __init__(self, burst: int, seconds: float) -> None:
        self._burst = float(burst)
        self._seconds = seconds
        self._levels: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def wait(self, key: bytes, now: float) -> float:
        """Return the seconds until *key* has a token, 0 when it has one."""
        missing = 1.0 - self._level(key, now)
        return max(0.0, missing * self._seconds)

    def change(self, key: bytes, by: float, now: float) -> None:
        """Take a token from *key*, or give one back."""
        self._levels[key] = (min(self._burst, self._level(key, now) + by), now)
        self._levels.move_to_end(key)
        if len(self._levels) > LIMITED:
            self._levels.popitem(last=False)

    def _level(self, key: bytes, now: float) -> float:
        level, at = self._levels.get(key, (self._burst, now))
        return min(self._burst, level + (now - at) / self._seconds)


class FailureLimiter:
    """Bounds failed attempts per user name from one network, and per network.

    A user name's attempts are counted for each network apart: counted together, anybody could keep a client out by failing
    in its name. An attempt is taken before the work and given back on success, so that a thousand at once cannot all slip
    through. Keys are hashed, so that a long user name costs no more memory than a short one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._usernames = _Buckets(*USERNAME_FAILURES)
        self._remotes = _Buckets(*REMOTE_FAILURES)

    def take(self, username: bytes, remote: str) -> int:
        """Take an attempt and return 0, or take nothing and return the whole seconds until there is one."""
        now = self._clock.monotonic()
        keys = _limiter_keys(username, remote)
        wait = max(self._usernames.wait(keys[0], now), self._remotes.wait(keys[1], now))
        if wait > 0:
            return max(1, math.ceil(wait))
        self._change(keys, -1.0, now)
        return 0

    def give_back(self, username: bytes, remote: str) -> None:
        """Give back the attempt that :meth:`take` took."""
        self._change(_limiter_keys(username, remote), 1.0, self._clock.monotonic())

    def _change(self, keys: tuple[bytes, bytes], by: float, now: float) -> None:
        self._usernames.change(keys[0], by, now)
        self._remotes.change(keys[1], by, now)


def _limiter_keys(username: bytes, remote: str) -> tuple[bytes, bytes]:
    network = _network(remote).encode(errors="surrogateescape")
    return (
        hashlib.blake2b(username + b"\0" + network, digest_size=16).digest(),
        hashlib.blake2b(network, digest_size=16).digest(),
    )


def _network(remote: str) -> str:
    # One household or machine has a whole /64 of IPv6 addresses to fail from.
    if ":" in remote:
        try:
            return str(ipaddress.ip_network((remote, 64), strict=False))
        except ValueError:
            return remote
    return remote


# --- the administrator ------------------------------------------------------------------------------------------------


class Administrator:
    """Lets the administrator in, and bounds how fast others can guess the token.

    Wrong tokens are counted for each network like failed logins. Where too many came from, no token is looked at for a
    while, unless the right one came from there within a day: a stranger behind the same proxy cannot keep the
    administrator out. Belongs to one event loop.
    """

    def __init__(self, token: str | None, clock: Clock) -> None:
        self._token = AdminToken(token)
        self._clock = clock
        self._limiter = FailureLimiter(clock)
        self._known: OrderedDict[str, float] = OrderedDict()

    def refusal(self, headers: Headers, remote: str) -> Denied | Limited | None:
        """Return why a request is not let in, None when it is. *remote* is the address that it came from."""
        if bearer(headers) is None:
            return Denied()
        network, right = _network(remote), self._token.matches(headers)
        if not (right and self._is_known(network)):
            wait = self._limiter.take(b"", remote)
            if wait:
                return Limited(wait)
            if not right:
                return Denied()
            self._limiter.give_back(b"", remote)
        self._remember(network)
        return None

    def _is_known(self, network: str) -> bool:
        at = self._known.get(network)
        return at is not None and self._clock.monotonic() - at < KNOWN_SECONDS

    def _remember(self, network: str) -> None:
        self._known[network] = self._clock.monotonic()
        self._known.move_to_end(network)
        if len(self._known) > LIMITED:
            self._known.popitem(last=False)


# --- the authenticator ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Success:
    """A pair that was verified against this record. From ``ends`` on the password is no more (monotonic)."""

    record: ClientRecord
    at: float
    ends: float

    def within(self, seconds: float, now: float) -> bool:
        """Return whether it was verified within so many seconds, and still holds."""
        return now < min(self.at + seconds, self.ends)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A pair that is being looked at, with the record of its user name if there is one that may ask from ``remote``."""

    username: bytes
    password: bytes = field(repr=False)
    record: ClientRecord | None
    digest: bytes
    remote: str


class Authenticator:
    """Verifies the credentials of requests. Belongs to one event loop.

    ``cached`` is the hot route's way: a microsecond, and None for everything that it does not know. ``authenticate`` is
    the full way. ``replace`` says which clients there are; it is to be called again whenever they change.
    """

    def __init__(self, clock: Clock, hasher: Hasher | None = None, *, slots: int | None = None) -> None:
        self._clock = clock
        self._hasher = hasher or Hasher()
        self._limiter = FailureLimiter(clock)
        self._slots = slots or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._slots, thread_name_prefix="kurir-hash")
        # Copied for each pair, which is a third cheaper than to begin a keyed hash anew.
        self._keyed = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=32)
        self._records: dict[bytes, ClientRecord] = {}
        self._stored: dict[bytes, bytes] = {}
        self._places: dict[bytes, tuple[networks.Network, ...]] = {}
        self._used: set[str] = set()
        self._successes: dict[bytes, _Success] = {}
        self._checks: dict[bytes, asyncio.Task[Answer]] = {}

    def replace(self, clients: Iterable[ClientRecord]) -> None:
        """Take *clients* as all there are. Successes of clients that changed are forgotten."""
        # Where a disabled client and an enabled one share a user name, the enabled one counts.
        ordered = sorted(clients, key=lambda client: client.enabled)
        self._records = {client.username.encode(): client for client in ordered if client.username}
        self._stored = {
            name: f"{client.password_hash}\0{client.previous_hash}".encode() for name, client in self._records.items()
        }
        self._places = {
            name: tuple(ipaddress.ip_network(one) for one in client.allow_from)
            for name, client in self._records.items()
            if client.allow_from
        }
        self._successes = {
            digest: success for digest, success in self._successes.items() if self._is_valid(success.record)
        }

    def cached(self, headers: Headers) -> str | None:
        """Return the client's id if this very pair was verified in the last minutes, else None: then authenticate."""
        pair = credentials(headers)
        if pair is None or pair[0] in self._places:
            return None
        success = self._successes.get(self._digest(*pair))
        if success is None or not success.within(FRESH_SECONDS, self._clock.monotonic()):
            return None
        return self._let_in(success.record)

    async def authenticate(self, headers: Headers, remote: str) -> Answer:
        """Return whose credentials *headers* carry. *remote* is the address that the request came from."""
        pair = credentials(headers)
        if pair is None:
            return Denied()
        places = self._places.get(pair[0])
        elsewhere = places is not None and not networks.holds(places, remote)
        digest = self._digest(*pair, elsewhere=elsewhere)
        attempt = _Attempt(*pair, None if elsewhere else self._records.get(pair[0]), digest, remote)
        known = self._known(digest)
        if known is not None and known.within(FRESH_SECONDS, self._clock.monotonic()):
            return Authenticated(self._let_in(known.record))
        if attempt.record is not None:
            stored = self._generated_and_right(attempt.record, attempt.password)
            if stored:
                return self._succeeded(attempt, attempt.record, stored)
        check = self._checks.get(digest)
        if check is None:
            refusal = self._refusal(attempt, known=known is not None)
            if refusal is not None:
                return refusal
            check = self._begin(attempt, limited=known is None)
        # A caller that goes away must not take the answer from others that wait for the same pair.
        return await asyncio.shield(check)

    def used(self) -> frozenset[str]:
        """Return the clients that were let in since this was asked last."""
        used, self._used = frozenset(self._used), set()
        return used

    def close(self) -> None:
        """Stop the threads that hash. What they are at is finished."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _let_in(self, record: ClientRecord) -> str:
        self._used.add(record.id)
        return record.id

    def _digest(self, username: bytes, password: bytes, *, elsewhere: bool = False) -> bytes:
        # The stored hash is part of the key: after a change of the password an old success is never found again. From
        # elsewhere a pair is another one than from a network of its client: what is known of that one does not help it.
        stored = b"" if elsewhere else self._stored.get(username, b"")
        pair = self._keyed.copy()
        pair.update(username + b"\0" + password + b"\0" + stored)
        return pair.digest()

    def _known(self, digest: bytes) -> _Success | None:
        success = self._successes.get(digest)
        return success if success and success.within(KNOWN_SECONDS, self._clock.monotonic()) else None

    def _hashes(self, record: ClientRecord) -> tuple[str, ...]:
        """Return the hashes of the passwords that let in at this moment."""
        if record.previous_until is None or record.previous_until <= self._clock.now():
            return (record.password_hash,)
        return record.password_hash, record.previous_hash

    def _generated_and_right(self, record: ClientRecord, password: bytes) -> str:
        """Return the hash of the generated password that this is, "" if it is none."""
        # So cheap that it needs neither slot nor limiter: whoever has the right generated password always gets in. When
        # it is wrong the slow way follows, or its duration would tell that the user exists.
        if not record.enabled:
            return ""
        fast = [stored for stored in self._hashes(record) if self._hasher.is_fast(stored)]
        return "".join([stored for stored in fast if self._hasher.verifies(stored, password)][:1])

    def _refusal(self, attempt: _Attempt, *, known: bool) -> Limited | Busy | None:
        if len(self._checks) >= self._slots * (1 + WAITING_PER_SLOT):
            return Busy()
        wait = 0 if known else self._limiter.take(attempt.username, attempt.remote)
        return Limited(wait) if wait else None

    def _begin(self, attempt: _Attempt, *, limited: bool) -> asyncio.Task[Answer]:
        check = asyncio.get_running_loop().create_task(self._check(attempt, limited=limited))
        self._checks[attempt.digest] = check
        check.add_done_callback(lambda _: self._checks.pop(attempt.digest, None))
        return check

    async def _check(self, attempt: _Attempt, *, limited: bool) -> Answer:
        loop = asyncio.get_running_loop()
        for _ in range(CHANGES):
            stored = await loop.run_in_executor(self._pool, self._verify, attempt)
            record = attempt.record
            if record is None:
                return Denied()
            if self._is_valid(record):
                if not stored:
                    return Denied()
                if limited:
                    self._limiter.give_back(attempt.username, attempt.remote)
                return self._succeeded(attempt, record, stored)
            # The clients changed while the hash was computed, perhaps only by a new hash of the same password.
            today, places = self._records.get(attempt.username), self._places.get(attempt.username)
            if today is None or not today.enabled:
                break
            if places is not None and not networks.holds(places, attempt.remote):
                break
            digest = self._digest(attempt.username, attempt.password)
            attempt = replace(attempt, record=today, digest=digest)
            if fast := self._generated_and_right(today, attempt.password):
                return self._succeeded(attempt, today, fast)
        return Denied()

    def _verify(self, attempt: _Attempt) -> str:
        """Return the hash of the chosen password that this is, "" if it is none. One slow verification, whoever asks.

        A rotation makes a generated password, so that at most one of a client's two is a chosen one.
        """
        hashes = () if attempt.record is None else self._hashes(attempt.record)
        stored = next((one for one in hashes if not self._hasher.is_fast(one)), "")
        if not stored:
            self._hasher.waste(attempt.password)
            return ""
        return stored if self._hasher.verifies(stored, attempt.password) else ""

    def _is_valid(self, record: ClientRecord) -> bool:
        """Return whether what was verified against *record* still holds for today's clients."""
        today = self._records.get(record.username.encode())
        return (
            today is not None
            and today.enabled
            and (today.id, today.password_hash, today.previous_hash)
            == (record.id, record.password_hash, record.previous_hash)
        )

    def _succeeded(self, attempt: _Attempt, record: ClientRecord, stored: str) -> Authenticated:
        now, ends = self._clock.monotonic(), math.inf
        if stored != record.password_hash and record.previous_until is not None:
            ends = now + (record.previous_until - self._clock.now()).total_seconds()
        self._successes.pop(attempt.digest, None)
        if len(self._successes) >= REMEMBERED:
            del self._successes[next(iter(self._successes))]
        self._successes[attempt.digest] = _Success(record, now, ends)
        return Authenticated(self._let_in(record))
