"""Authentication: every answer, what is remembered, what is bounded, and that nobody learns who exists."""

import asyncio
import base64
import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurir import auth
from kurir.auth import (
    AdminToken,
    Authenticated,
    Authenticator,
    Busy,
    Denied,
    FailureLimiter,
    Hasher,
    Limited,
    bearer,
    credentials,
    generate_password,
)
from kurir.clock import FakeClock
from kurir.store.base import ClientRecord

CHEAP = {"memory_kib": 8, "passes": 1}
HERE = "192.0.2.1"


class CountingHasher(Hasher):
    """Counts slow work, and can be made to wait for the test."""

    def __init__(self) -> None:
        super().__init__(**CHEAP)
        self.slow: list[str] = []
        self.gate: threading.Event | None = None
        self.lock = threading.Lock()

    def verifies(self, stored: str, password: bytes) -> bool:
        if not self.is_fast(stored):
            with self.lock:
                self.slow.append("dummy" if stored == self.dummy_hash else "real")
            if self.gate is not None:
                assert self.gate.wait(5)
        return super().verifies(stored, password)


def headers(username: str | bytes = "acme", password: str | bytes = "correct") -> list[tuple[bytes, bytes]]:
    encoded = [value if isinstance(value, bytes) else value.encode() for value in (username, password)]
    return [
        (b"host", b"localhost"),
        (b"auth-username", encoded[0]),
        (b"auth-password", encoded[1]),
        (b"content-type", b"application/json"),
    ]


def basic(username: str = "acme", password: str = "correct") -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Basic " + base64.b64encode(f"{username}:{password}".encode()))]


def client(hasher: Hasher, name: str = "acme", password: str = "correct", *, enabled: bool = True) -> ClientRecord:
    return ClientRecord(f"{name}-id", name, hasher.hash(password), enabled=enabled)


@pytest.fixture
def hasher():
    return CountingHasher()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def gate(clock, hasher):
    authenticator = Authenticator(clock, hasher, slots=2)
    authenticator.replace([client(hasher)])
    hasher.slow.clear()
    yield authenticator
    if hasher.gate is not None:
        hasher.gate.set()
    authenticator.close()


# --- passwords --------------------------------------------------------------------------------------------------------


def test_a_chosen_password_is_kept_as_argon2id_with_owasps_floor():
    hasher = Hasher()
    stored = hasher.hash("correct horse")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hasher.verifies(stored, b"correct horse")
    assert not hasher.verifies(stored, b"battery staple")


def test_a_generated_password_is_kept_as_a_fast_salted_hash(hasher):
    password = generate_password()
    assert password.startswith("kurir_pw_")
    assert len(base64.urlsafe_b64decode(password.removeprefix("kurir_pw_") + "=")) == 32
    first, second = hasher.hash(password), hasher.hash(password)
    assert first.startswith("$kurir-blake2b$")
    assert first != second
    assert password not in first
    assert hasher.verifies(first, password.encode())
    assert not hasher.verifies(first, generate_password().encode())
    assert hasher.slow == []


@pytest.mark.parametrize(
    "stored",
    ["", "plain", "$argon2id$broken", "$kurir-blake2b$", "$kurir-blake2b$é$é", "$kurir-blake2b$" + "A" * 999 + "$"],
)
def test_a_malformed_hash_verifies_nothing(hasher, stored):
    assert not hasher.verifies(stored, b"")
    assert not hasher.verifies(stored, b"password")


def test_a_hash_is_kept_while_it_is_what_would_be_made_today(hasher):
    assert hasher.keeps(hasher.hash("chosen"), "chosen")
    assert not hasher.keeps(hasher.hash("chosen"), "other")
    assert not hasher.keeps(Hasher(memory_kib=16, passes=1).hash("chosen"), "chosen")
    generated = generate_password()
    assert hasher.keeps(hasher.hash(generated), generated)
    assert not hasher.keeps(hasher.hash("chosen"), generated)
    assert not hasher.keeps("", "chosen")


# --- headers ----------------------------------------------------------------------------------------------------------


def test_both_styles_of_headers_are_read():
    assert credentials(headers("acme", "p")) == (b"acme", b"p")
    assert credentials(basic("acme", "p:with:colons")) == (b"acme", b"p:with:colons")
    assert credentials([(b"authorization", b"bAsIc  " + base64.b64encode(b"a:b") + b" ")]) == (b"a", b"b")


def test_the_two_headers_win_over_authorization():
    assert credentials([*headers("acme", "p"), *basic("other", "q")]) == (b"acme", b"p")
    assert credentials([*headers("acme", "p"), (b"authorization", b"Bearer of-a-proxy")]) == (b"acme", b"p")
    assert credentials([(b"auth-username", b"acme"), *basic("other", "q")]) is None


@pytest.mark.parametrize(
    "given",
    [
        [],
        [(b"auth-username", b"acme")],
        [(b"auth-password", b"correct")],
        headers("", "correct"),
        headers("acme", ""),
        headers(b"ac\0me", b"x"),
        headers(b"acme", b"\0"),
        [*headers(), (b"auth-username", b"acme")],
        [*headers(), (b"auth-password", b"correct")],
        [*basic(), *basic()],
        [*basic(), *basic(), *basic()],
        [(b"authorization", b"Basic")],
        [(b"authorization", b"Basic !!!!")],
        [(b"authorization", b"Basic " + base64.b64encode(b"no colon"))],
        [(b"authorization", b"Basic " + base64.b64encode(b":p"))],
        [(b"authorization", b"Bearer token")],
    ],
)
async def test_missing_malformed_and_repeated_headers_are_denied_without_work(gate, hasher, given):
    assert credentials(given) is None
    assert gate.cached(given) is None
    assert await gate.authenticate(given, HERE) == Denied()
    assert hasher.slow == []


@given(given=st.lists(st.tuples(st.sampled_from([b"auth-username", b"auth-password", b"authorization"]), st.binary())))
def test_no_header_makes_the_reading_raise(given):
    credentials(given)
    bearer(given)


@pytest.mark.parametrize("name", ["zoë", "пользователь", "用户"])
async def test_names_and_passwords_beyond_ascii_are_compared_as_utf8(clock, hasher, name):
    authenticator = Authenticator(clock, hasher, slots=1)
    authenticator.replace([client(hasher, name, f"{name}-пароль")])
    assert await authenticator.authenticate(headers(name, f"{name}-пароль"), HERE) == Authenticated(f"{name}-id")
    assert await authenticator.authenticate(basic(name, f"{name}-пароль"), HERE) == Authenticated(f"{name}-id")
    assert await authenticator.authenticate(headers(name, b"\xff\xfe"), HERE) == Denied()
    assert await authenticator.authenticate(headers(b"\xff\xfe", "x"), HERE) == Denied()
    authenticator.close()


# --- the answers ------------------------------------------------------------------------------------------------------


async def test_the_right_password_is_let_in_and_hashed_once(gate, hasher):
    assert gate.cached(headers()) is None
    assert await gate.authenticate(headers(), HERE) == Authenticated("acme-id")
    assert gate.cached(headers()) == "acme-id"
    assert gate.cached(basic()) == "acme-id"
    assert await gate.authenticate(headers(), HERE) == Authenticated("acme-id")
    assert hasher.slow == ["real"]


async def test_unknown_wrong_and_disabled_get_one_answer_after_the_same_work(clock, hasher):
    generated = generate_password()
    authenticator = Authenticator(clock, hasher, slots=1)
    authenticator.replace(
        [
            client(hasher),
            client(hasher, "gone", enabled=False),
            client(hasher, "machine", generated),
            client(hasher, "stopped", generated, enabled=False),
        ]
    )
    work = {}
    for name, password in {
        "nobody": "correct",
        "acme": "wrong",
        "gone": "correct",
        "machine": "wrong",
        "stopped": generated,
    }.items():
        hasher.slow.clear()
        assert await authenticator.authenticate(headers(name, password), HERE) == Denied()
        assert authenticator.cached(headers(name, password)) is None
        work[name] = list(hasher.slow)
    assert work == {"nobody": ["dummy"], "acme": ["real"], "gone": ["real"], "machine": ["dummy"], "stopped": ["dummy"]}
    authenticator.close()


async def test_a_generated_password_needs_no_slow_hash(clock, hasher):
    password = generate_password()
    authenticator = Authenticator(clock, hasher, slots=1)
    authenticator.replace([client(hasher, "machine", password)])
    hasher.slow.clear()
    assert await authenticator.authenticate(headers("machine", password), HERE) == Authenticated("machine-id")
    assert authenticator.cached(headers("machine", password)) == "machine-id"
    assert hasher.slow == []
    authenticator.close()


async def test_an_enabled_client_counts_before_a_disabled_one_of_the_same_name(clock, hasher):
    authenticator = Authenticator(clock, hasher, slots=1)
    old = ClientRecord("old", "acme", hasher.hash("correct"), enabled=False)
    for order in ([client(hasher), old], [old, client(hasher)]):
        authenticator.replace(order)
        assert await authenticator.authenticate(headers(), HERE) == Authenticated("acme-id")
    authenticator.close()


# --- rotation, and networks ---------------------------------------------------------------------------------------------


def rotated(hasher: Hasher, clock: FakeClock, old: str, new: str, *, seconds: float = 60.0) -> ClientRecord:
    until = clock.now() + timedelta(seconds=seconds)
    return replace(client(hasher, password=new), previous_hash=hasher.hash(old), previous_until=until)


async def test_the_password_before_lets_in_until_its_overlap_ends(clock, hasher):
    old, new = generate_password(), generate_password()
    authenticator = Authenticator(clock, hasher, slots=1)
    authenticator.replace([rotated(hasher, clock, old, new)])
    hasher.slow.clear()
    for password in (old, new):
        assert await authenticator.authenticate(headers(password=password), HERE) == Authenticated("acme-id")
        assert authenticator.cached(headers(password=password)) == "acme-id"
    assert hasher.slow == []
    clock.move(59)
    assert authenticator.cached(headers(password=old)) == "acme-id"
    clock.move(2)
    assert authenticator.cached(headers(password=old)) is None
    assert await authenticator.authenticate(headers(password=old), HERE) == Denied()
    assert authenticator.cached(headers(password=new)) == "acme-id"
    authenticator.close()


async def test_a_chosen_password_before_a_generated_one_is_hashed_once(clock, hasher):
    authenticator = Authenticator(clock, hasher, slots=1)
    authenticator.replace([rotated(hasher, clock, "chosen", generate_password())])
    hasher.slow.clear()
    assert await authenticator.authenticate(headers(password="chosen"), HERE) == Authenticated("acme-id")
    assert await authenticator.authenticate(headers(password="wrong"), HERE) == Denied()
    assert hasher.slow == ["real", "real"]
    clock.move(61)
    assert await authenticator.authenticate(headers(password="chosen"), HERE) == Denied()
    assert hasher.slow == ["real", "real", "dummy"]
    authenticator.close()


async def test_a_rotation_without_overlap_forgets_the_success_of_the_password_before(clock, hasher):
    old, new = generate_password(), generate_password()
    authenticator = Authenticator(clock, hasher, slots=1)
    authenticator.replace([client(hasher, password=old)])
    assert await authenticator.authenticate(headers(password=old), HERE) == Authenticated("acme-id")
    authenticator.replace([client(hasher, password=new)])
    assert authenticator.cached(headers(password=old)) is None
    assert await authenticator.authenticate(headers(password=old), HERE) == Denied()
    authenticator.close()


async def test_from_elsewhere_the_right_password_is_a_wrong_one_after_the_same_work(clock, hasher):
    authenticator = Authenticator(clock, hasher, slots=1)
    authenticator.replace([replace(client(hasher), allow_from=("192.0.2.0/24", "2001:db8::/32"))])
    for here in (HERE, "2001:db8::7", f"::ffff:{HERE}"):
        assert await authenticator.authenticate(headers(), here) == Authenticated("acme-id")
    hasher.slow.clear()
    for elsewhere in ("198.51.100.1", "2001:db9::1", "", "no address"):
        assert await authenticator.authenticate(headers(), elsewhere) == Denied()
    assert hasher.slow == ["dummy"] * 4
    assert authenticator.cached(headers()) is None, "where it came from has to be asked each time"
    assert await authenticator.authenticate(headers(), HERE) == Authenticated("acme-id")
    assert hasher.slow == ["dummy"] * 4
    authenticator.close()


async def test_what_is_being_checked_for_one_network_lets_nobody_in_from_another(clock, hasher):
    authenticator = Authenticator(clock, hasher, slots=2)
    authenticator.replace([replace(client(hasher), allow_from=("192.0.2.0/24",))])
    answers = await asyncio.gather(
        *(authenticator.authenticate(headers(), remote) for remote in (HERE, "198.51.100.1", HERE))
    )
    assert answers == [Authenticated("acme-id"), Denied(), Authenticated("acme-id")]
    authenticator.close()


async def test_a_generated_password_from_elsewhere_is_limited_like_a_wrong_one(clock, hasher):
    password = generate_password()
    authenticator = Authenticator(clock, hasher, slots=1)
    authenticator.replace([replace(client(hasher, password=password), allow_from=("192.0.2.0/24",))])
    answers = [await authenticator.authenticate(headers(password=password), "198.51.100.1") for _ in range(30)]
    assert answers[0] == Denied()
    assert isinstance(answers[-1], Limited)
    assert await authenticator.authenticate(headers(password=password), HERE) == Authenticated("acme-id")
    authenticator.close()


async def test_it_is_told_who_was_let_in_since_it_was_asked_last(gate):
    assert gate.used() == frozenset()
    await gate.authenticate(headers(password="wrong"), HERE)
    assert gate.used() == frozenset()
    await gate.authenticate(headers(), HERE)
    assert gate.used() == {"acme-id"}
    assert gate.used() == frozenset()
    gate.cached(headers())
    assert gate.used() == {"acme-id"}


# --- what is remembered -----------------------------------------------------------------------------------------------


async def test_a_success_answers_for_five_minutes(gate, hasher, clock):
    await gate.authenticate(headers(), HERE)
    clock.move(299)
    assert gate.cached(headers()) == "acme-id"
    clock.move(2)
    assert gate.cached(headers()) is None
    assert await gate.authenticate(headers(), HERE) == Authenticated("acme-id")
    assert hasher.slow == ["real", "real"]


async def test_a_success_is_forgotten_when_the_password_changes_or_the_client_is_disabled(gate, hasher):
    same = client(hasher)
    for changed in ([client(hasher, password="new")], [client(hasher, enabled=False)], []):
        gate.replace([same])
        assert await gate.authenticate(headers(), HERE) == Authenticated("acme-id")
        gate.replace(changed)
        assert gate.cached(headers()) is None
        assert await gate.authenticate(headers(), HERE) == Denied()


async def test_a_success_stays_when_another_client_changes(gate, hasher):
    await gate.authenticate(headers(), HERE)
    gate.replace([*gate._records.values(), client(hasher, "other")])
    assert gate.cached(headers()) == "acme-id"


async def test_a_password_that_changes_while_it_is_hashed_lets_nobody_in(gate, hasher):
    hasher.gate = threading.Event()
    attempt = asyncio.create_task(gate.authenticate(headers(), HERE))
    await asyncio.sleep(0)
    gate.replace([client(CountingHasher(), password="new")])
    hasher.gate.set()
    assert await attempt == Denied()
    assert gate.cached(headers()) is None


async def test_a_new_hash_of_the_same_password_keeps_nobody_out_who_was_being_let_in(gate, hasher):
    hasher.gate = threading.Event()
    attempt = asyncio.create_task(gate.authenticate(headers(), HERE))
    await asyncio.sleep(0)
    gate.replace([client(CountingHasher())])
    hasher.gate.set()
    assert await attempt == Authenticated("acme-id")
    assert gate.cached(headers()) == "acme-id"
    assert hasher.slow == ["real", "real"]


@pytest.mark.parametrize("change", [{"enabled": False}, {"allow_from": ("198.51.100.0/24",)}])
async def test_who_is_shut_out_while_it_is_hashed_is_not_let_in(gate, hasher, change):
    hasher.gate = threading.Event()
    attempt = asyncio.create_task(gate.authenticate(headers(), HERE))
    await asyncio.sleep(0)
    gate.replace([replace(client(CountingHasher()), **change)])
    hasher.gate.set()
    assert await attempt == Denied()


async def test_a_password_that_was_made_meanwhile_lets_in(gate, hasher):
    password = generate_password()
    hasher.gate = threading.Event()
    attempt = asyncio.create_task(gate.authenticate(headers(password=password), HERE))
    await asyncio.sleep(0)
    gate.replace([client(CountingHasher(), password=password)])
    hasher.gate.set()
    assert await attempt == Authenticated("acme-id")


async def test_no_more_successes_are_remembered_than_are_allowed(gate, monkeypatch, hasher):
    monkeypatch.setattr(auth, "REMEMBERED", 3)
    gate.replace([client(hasher, f"c{number}") for number in range(5)])
    for number in range(5):
        await gate.authenticate(headers(f"c{number}"), HERE)
    assert [gate.cached(headers(f"c{number}")) is not None for number in range(5)] == [False, False, True, True, True]


async def test_a_wrong_password_is_not_remembered(gate):
    for _ in range(3):
        await gate.authenticate(headers(password="wrong"), HERE)
    assert gate._successes == {}


# --- what is bounded --------------------------------------------------------------------------------------------------


async def test_failures_for_one_user_name_from_one_network_are_limited(gate, clock, hasher):
    burst, seconds = auth.USERNAME_FAILURES
    for number in range(burst):
        assert await gate.authenticate(headers(password=f"wrong {number}"), HERE) == Denied()
    hasher.slow.clear()
    assert await gate.authenticate(headers(password="one more"), HERE) == Limited(int(seconds))
    assert hasher.slow == []
    assert await gate.authenticate(headers("nobody", "x"), HERE) == Denied()
    clock.move(seconds)
    assert await gate.authenticate(headers(password="one more"), HERE) == Denied()


async def test_failures_in_a_clients_name_from_elsewhere_do_not_keep_it_out(gate):
    for number in range(100):
        await gate.authenticate(headers(password=f"wrong {number}"), f"198.51.100.{number}")
    assert await gate.authenticate(headers(), "203.0.113.9") == Authenticated("acme-id")


async def test_failures_from_one_address_are_limited_whatever_the_name(gate, clock):
    burst, seconds = auth.REMOTE_FAILURES
    for number in range(burst):
        assert await gate.authenticate(headers(f"user {number}", "x"), HERE) == Denied()
    assert await gate.authenticate(headers("yet another", "x"), HERE) == Limited(int(seconds))
    assert await gate.authenticate(headers("yet another", "x"), "192.0.2.2") == Denied()


async def test_an_unknown_user_name_is_limited_like_a_known_one(gate):
    burst, seconds = auth.USERNAME_FAILURES
    for number in range(burst):
        await gate.authenticate(headers("nobody", f"{number}"), HERE)
    assert await gate.authenticate(headers("nobody", "x"), HERE) == Limited(int(seconds))


async def exhaust(gate: Authenticator, remote: str = HERE) -> None:
    for number in range(200):
        if isinstance(await gate.authenticate(headers(password=f"wrong {number}"), remote), Limited):
            return
    raise AssertionError("never limited")


async def test_nobody_locks_out_a_client_whose_password_was_right_before(gate, clock):
    await gate.authenticate(headers(), HERE)
    await exhaust(gate)
    assert gate.cached(headers()) == "acme-id"
    clock.move(auth.FRESH_SECONDS + 1)
    await exhaust(gate)
    assert await gate.authenticate(headers(), HERE) == Authenticated("acme-id")


async def test_nobody_locks_out_a_client_with_a_generated_password(clock, hasher):
    password = generate_password()
    authenticator = Authenticator(clock, hasher, slots=1)
    authenticator.replace([client(hasher, "acme", password)])
    await exhaust(authenticator)
    assert await authenticator.authenticate(headers("acme", password), HERE) == Authenticated("acme-id")
    authenticator.close()


async def test_a_success_costs_no_attempt(gate, clock):
    for _ in range(auth.USERNAME_FAILURES[0] * 2):
        assert await gate.authenticate(headers(), HERE) == Authenticated("acme-id")
        clock.move(auth.KNOWN_SECONDS + 1)
    first = client(CountingHasher())
    gate.replace([first])
    assert await gate.authenticate(headers(), HERE) == Authenticated("acme-id")
    assert gate._limiter.take(b"acme", HERE) == 0


def test_a_whole_ipv6_network_counts_as_one_address(clock):
    limiter = FailureLimiter(clock)
    burst, _ = auth.REMOTE_FAILURES
    for number in range(burst):
        assert limiter.take(f"user {number}".encode(), f"2001:db8::{number:x}") == 0
    assert limiter.take(b"another", "2001:db8::ffff") > 0
    assert limiter.take(b"another", "2001:db8:0:1::1") == 0
    assert limiter.take(b"another", "not:an:address") == 0


def test_the_limiter_remembers_no_more_than_it_may(clock, monkeypatch):
    monkeypatch.setattr(auth, "LIMITED", 10)
    limiter = FailureLimiter(clock)
    for number in range(100):
        limiter.take(f"user {number}".encode(), f"10.0.0.{number}")
    assert len(limiter._usernames._levels) == len(limiter._remotes._levels) == 10


async def test_a_pair_that_comes_many_times_at_once_is_hashed_once(gate, hasher):
    hasher.gate = threading.Event()
    attempts = [asyncio.create_task(gate.authenticate(headers(), HERE)) for _ in range(200)]
    await asyncio.sleep(0)
    hasher.gate.set()
    assert set(await asyncio.gather(*attempts)) == {Authenticated("acme-id")}
    assert hasher.slow == ["real"]


async def test_a_caller_that_goes_away_does_not_take_the_answer_from_the_others(gate, hasher):
    hasher.gate = threading.Event()
    first = asyncio.create_task(gate.authenticate(headers(), HERE))
    second = asyncio.create_task(gate.authenticate(headers(), HERE))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    hasher.gate.set()
    assert await second == Authenticated("acme-id")


async def test_when_too_many_wait_the_next_is_told_so_and_the_remembered_still_come_in(gate, hasher):
    await gate.authenticate(headers(), HERE)
    hasher.gate = threading.Event()
    room = 2 * (1 + auth.WAITING_PER_SLOT)
    waiting = [asyncio.create_task(gate.authenticate(headers(f"user {number}", "x"), HERE)) for number in range(room)]
    await asyncio.sleep(0)
    assert await gate.authenticate(headers("one too many", "x"), HERE) == Busy(1)
    assert gate.cached(headers()) == "acme-id"
    assert await gate.authenticate(headers(), HERE) == Authenticated("acme-id")
    hasher.gate.set()
    assert set(await asyncio.gather(*waiting)) == {Denied()}
    assert await gate.authenticate(headers("one too many", "x"), HERE) == Denied()


def test_the_fast_path_is_fast(gate, hasher):
    # A bound with much room: it fails when somebody puts a slow hash there, not when the machine is busy.
    asyncio.run(gate.authenticate(headers(), HERE))
    given = headers()
    best = min(_seconds(lambda: gate.cached(given)) for _ in range(20))
    assert best < 50e-6


def _seconds(work) -> float:
    start = time.perf_counter()
    for _ in range(100):
        work()
    return (time.perf_counter() - start) / 100


def test_nothing_shows_a_password(gate):
    attempt = auth._Attempt(b"acme", b"correct", None, b"", HERE)
    assert "correct" not in repr(attempt)


# --- the administrator ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([(b"authorization", b"Bearer the-admin-token-\xc3\xab")], True),
        ([(b"authorization", b"bearer  the-admin-token-\xc3\xab ")], True),
        ([(b"authorization", b"Bearer the-admin-token")], False),
        ([(b"authorization", b"Bearer \xff\xfe")], False),
        ([(b"authorization", b"Basic the-admin-token-\xc3\xab")], False),
        ([(b"authorization", b"Bearer")], False),
        ([(b"authorization", b"Bearer the-admin-token-\xc3\xab")] * 2, False),
        ([], False),
    ],
)
def test_the_administrator_has_the_token(given, expected):
    assert AdminToken("the-admin-token-ë").matches(given) is expected


@pytest.mark.parametrize("token", [None, ""])
def test_without_a_token_nobody_is_the_administrator(token):
    assert not AdminToken(token).matches([(b"authorization", b"Bearer ")])
    assert not AdminToken(token).matches([(b"authorization", b"Bearer x")])
