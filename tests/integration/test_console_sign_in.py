"""Letting people into the console: links, passwords, second factors, sessions, over a real store and a clock that is set."""

import asyncio
import base64
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kurir.auth import REMOTE_FAILURES, USERNAME_FAILURES, Hasher
from kurir.clock import FakeClock, uuid7
from kurir.console import totp
from kurir.console.access import LINK_LIFE, WAITING, Access, Browser, NotIn, SignedIn
from kurir.console.rights import Role
from kurir.secretbox import SecretBox
from kurir.store.access import SESSION_IDLE, SESSION_LONGEST, UserChange, UserOutcome, UserRecord
from support.stores import store_of

HERE = Browser("192.0.2.7", "Firefox")
PASSWORD = "a sentence is a good password"


class CountingHasher(Hasher):
    """A cheap hasher that counts its slow work."""

    def __init__(self) -> None:
        super().__init__(memory_kib=8, passes=1)
        self.slow = 0
        self.open = threading.Event()
        self.open.set()

    def verifies(self, stored: str, password: bytes) -> bool:
        self.open.wait(30)
        if not self.is_fast(stored):
            self.slow += 1
        return super().verifies(stored, password)


@dataclass
class Door:
    """Access over a store, with the clock and the hasher that a test looks at."""

    access: Access
    clock: FakeClock
    hasher: CountingHasher

    async def user(self, name: str = "anna", role: Role = Role.OWNER, password: str = PASSWORD) -> UserRecord:
        made = UserRecord(uuid7(), name, role, password_hash=self.hasher.hash(password) if password else "")
        assert await self.access.store.put_user(made, self.clock.now())
        return made

    async def sign_in(
        self, name: str = "anna", password: str = PASSWORD, code: str = "", at: Browser = HERE
    ) -> SignedIn:
        return await self.access.by_password(name, password, code, at)

    async def refused(self, name: str = "anna", password: str = PASSWORD, code: str = "", at: Browser = HERE) -> NotIn:
        with pytest.raises(NotIn) as refused:
            await self.sign_in(name, password, code, at)
        return refused.value

    async def is_in(self, done: SignedIn) -> bool:
        return await self.access.visitor(done.token, HERE.address) is not None


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    store = await store_of(tmp_path)
    await store.open()
    clock, hasher = FakeClock(), CountingHasher()
    access = Access(store, clock, lambda: SecretBox([b"k" * 32]), hasher)
    try:
        yield Door(access, clock, hasher)
    finally:
        access.close()
        await store.close()


# --- links --------------------------------------------------------------------------------------------------------------


async def test_the_first_link_makes_the_owner_and_lets_in_once(door):
    token = await door.access.first_link()
    assert token is not None
    assert await door.access.link_is_good(token)
    assert await door.access.link_is_good(token), "to look at it uses nothing up"
    done = await door.access.by_link(token, HERE)
    assert (done.user.name, done.user.role) == ("owner", Role.OWNER)
    assert not await door.access.link_is_good(token)
    with pytest.raises(NotIn, match="link"):
        await door.access.by_link(token, HERE)
    assert await door.access.first_link() is None


async def test_of_two_links_for_the_first_owner_the_second_is_refused(door):
    first, second = await door.access.new_link(), await door.access.new_link()
    await door.access.by_link(first, HERE)
    assert not await door.access.link_is_good(second)
    with pytest.raises(NotIn, match="link"):
        await door.access.by_link(second, HERE)
    assert len(await door.access.store.users()) == 1


async def test_a_link_that_many_open_at_once_lets_one_in(door):
    token = await door.access.new_link()
    found = await asyncio.gather(*(door.access.by_link(token, HERE) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(one, SignedIn) for one in found) == 1


async def test_a_link_expires(door):
    token = await door.access.new_link((await door.user()).id)
    door.clock.move(LINK_LIFE.total_seconds() - 1)
    assert await door.access.link_is_good(token)
    door.clock.move(1)
    assert not await door.access.link_is_good(token)
    with pytest.raises(NotIn, match="link"):
        await door.access.by_link(token, HERE)


async def test_a_link_of_somebody_who_is_disabled_or_removed_lets_nobody_in(door):
    await door.user()
    for act in (
        lambda one: door.access.store.change_user(one.id, UserChange(enabled=False), door.clock.now()),
        lambda one: door.access.store.remove_user(one.id),
    ):
        other = await door.user(f"user-{uuid7()}", Role.VIEWER)
        token = await door.access.new_link(other.id)
        assert await act(other) is UserOutcome.DONE
        assert not await door.access.link_is_good(token)
        with pytest.raises(NotIn, match="link"):
            await door.access.by_link(token, HERE)


@pytest.mark.parametrize("token", ["", "x", "\x00", "\udc80", "é" * 5000])
async def test_what_is_no_link_lets_nobody_in(door, token):
    assert not await door.access.link_is_good(token)
    with pytest.raises(NotIn, match="link"):
        await door.access.by_link(token, HERE)


async def test_the_owners_link_is_for_the_enabled_owner_who_came_first(door):
    first = await door.user("first")
    await door.user("second")
    assert (await door.access.by_link(await door.access.owner_link(), HERE)).user.name == "first"
    await door.access.store.change_user(first.id, UserChange(enabled=False), door.clock.now())
    assert (await door.access.by_link(await door.access.owner_link(), HERE)).user.name == "second"


# --- passwords ----------------------------------------------------------------------------------------------------------


async def test_name_and_password_let_in_however_the_name_is_written(door):
    await door.user()
    for name in ("anna", "Anna", " ANNA "):
        assert (await door.sign_in(name)).user.name == "anna"


async def test_an_unknown_name_gets_the_answer_and_the_work_of_a_known_one(door):
    await door.user()
    await door.user("linked", password="")
    await door.user("fast", password="kurir_pw_" + "A" * 43)
    gone = await door.user("gone", Role.VIEWER)
    await door.access.store.change_user(gone.id, UserChange(enabled=False), door.clock.now())
    for name in ("anna", "nobody", "linked", "fast", "gone", ""):
        door.hasher.slow = 0
        assert (await door.refused(name, "not the password")).why == "wrong"
        assert door.hasher.slow == 1, name
    assert (await door.refused("gone")).why == "wrong"
    assert (await door.refused("linked", "")).why == "wrong"


async def test_failures_are_bounded_and_say_when_to_come_again(door):
    await door.user()
    for _ in range(USERNAME_FAILURES[0]):
        assert (await door.refused("anna", "wrong")).why == "wrong"
    refused = await door.refused()
    assert refused.why == "limited"
    assert 1 <= refused.retry_after <= USERNAME_FAILURES[1]
    assert await door.sign_in(at=Browser("198.51.100.1", "")), "from another network it is not bounded"
    door.clock.move(refused.retry_after)
    assert await door.sign_in()


async def test_failures_under_many_names_are_bounded_by_their_network(door):
    for number in range(REMOTE_FAILURES[0]):
        assert (await door.refused(f"name-{number}", "wrong")).why == "wrong"
    assert (await door.refused("another", "wrong")).why == "limited"


async def test_who_signs_in_again_and_again_is_not_bounded(door):
    await door.user()
    for _ in range(USERNAME_FAILURES[0] + 5):
        await door.sign_in()


async def test_only_so_many_passwords_wait_to_be_hashed(door):
    door.hasher.open.clear()
    many = {
        asyncio.ensure_future(door.refused(f"name-{number}", "wrong", at=Browser(f"192.0.2.{number}", "")))
        for number in range(WAITING + 8)
    }
    refused: set[asyncio.Future[NotIn]] = set()
    async with asyncio.timeout(20):
        while len(refused) < 8:
            done, many = await asyncio.wait(many, return_when=asyncio.FIRST_COMPLETED)
            refused |= done
    door.hasher.open.set()
    assert [one.result().why for one in refused] == ["limited"] * 8
    assert {one.why for one in await asyncio.gather(*many)} == {"wrong"}


async def test_the_present_password_is_asked_for_under_the_same_bound(door):
    made = await door.user()
    assert await door.access.is_password(made, PASSWORD, HERE)
    for _ in range(USERNAME_FAILURES[0]):
        assert not await door.access.is_password(made, "wrong", HERE)
    with pytest.raises(NotIn, match="limited"):
        await door.access.is_password(made, PASSWORD, HERE)


# --- second factors -----------------------------------------------------------------------------------------------------

#: RFC 6238, appendix B, for SHA-1: seconds and the code of eight digits, of which ours are the last six.
VECTORS = {
    59: "94287082",
    1111111109: "07081804",
    1111111111: "14050471",
    1234567890: "89005924",
    2000000000: "69279037",
    20000000000: "65353130",
}


@pytest.mark.parametrize(("seconds", "code"), VECTORS.items())
def test_codes_are_those_of_the_rfc(seconds, code):
    secret = b"12345678901234567890"
    assert totp.code_at(secret, seconds // 30) == code[-6:]
    assert totp.step_of(secret, code[-6:], datetime.fromtimestamp(seconds, UTC)) == seconds // 30


@pytest.mark.parametrize(("steps", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_phones_clock_may_be_one_step_off(steps, taken):
    secret, now = totp.new_secret(), datetime(2026, 3, 1, 12, 0, 7, tzinfo=UTC)
    step = int(now.timestamp()) // 30 + steps
    assert (totp.step_of(secret, totp.code_at(secret, step), now) == step) is taken


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "123 45", "-12345", "12345\x00"])
def test_what_is_no_code_is_none(code):
    assert totp.step_of(totp.new_secret(), code, datetime.now(UTC)) is None


def test_an_apps_address_has_the_secret_in_base32():
    secret = b"\x00" * 19 + b"\xff"
    plain = base64.b32encode(secret).decode()
    assert totp.text(secret).replace(" ", "") == plain
    assert totp.uri(secret, "anna b", "kurir") == (
        f"otpauth://totp/kurir:anna%20b?secret={plain}&issuer=kurir&digits=6&period=30"
    )


async def with_totp(door: Door) -> bytes:
    made, secret = await door.user(), totp.new_secret()
    assert await door.access.turn_on_totp(made, secret, code_of(door, secret))
    door.clock.move(60)
    return secret


def code_of(door: Door, secret: bytes, steps: int = 0) -> str:
    return totp.code_at(secret, int(door.clock.now().timestamp()) // 30 + steps)


async def test_a_code_is_asked_for_and_lets_in_once(door):
    secret = await with_totp(door)
    assert (await door.refused()).why == "code"
    assert (await door.refused(code="000 000")).why == "wrong_code"
    code = code_of(door, secret)
    assert await door.sign_in(code=f" {code[:3]} {code[3:]} ")
    assert (await door.refused(code=code)).why == "wrong_code", "a code is good once"
    assert (await door.refused(code=code_of(door, secret, -1))).why == "wrong_code", "and none from before it"
    assert await door.sign_in(code=code_of(door, secret, 1))


async def test_the_code_that_turned_it_on_does_not_let_in(door):
    made, secret = await door.user(), totp.new_secret()
    code = code_of(door, secret)
    assert await door.access.turn_on_totp(made, secret, code)
    assert (await door.refused(code=code)).why == "wrong_code"


async def test_a_wrong_password_does_not_tell_that_there_is_a_second_factor(door):
    secret = await with_totp(door)
    for code in ("", "000000", code_of(door, secret)):
        assert (await door.refused(password="wrong", code=code)).why == "wrong"


async def test_wrong_codes_are_bounded_wherever_they_come_from(door):
    secret = await with_totp(door)
    for number in range(USERNAME_FAILURES[0]):
        assert (await door.refused(code="000000", at=Browser(f"192.0.2.{number}", ""))).why == "wrong_code"
    assert (await door.refused(code=code_of(door, secret), at=Browser("198.51.100.9", ""))).why == "limited"


async def test_the_stored_secret_is_sealed_for_its_user(door):
    secret = await with_totp(door)
    anna = await door.access.store.user_named("anna")
    assert anna is not None
    assert secret not in anna.totp
    zoe = await door.user("zoe")
    await door.access.store.change_user(zoe.id, UserChange(totp=anna.totp), door.clock.now())
    assert (await door.refused("zoe", code=code_of(door, secret))).why == "wrong_code"


# --- sessions -----------------------------------------------------------------------------------------------------------


async def test_a_session_ends_when_it_is_not_used(door):
    await door.user()
    done = await door.sign_in()
    for _ in range(3):
        door.clock.move(SESSION_IDLE.total_seconds() - 1)
        assert await door.is_in(done), "its use is what keeps it"
    door.clock.move(SESSION_IDLE.total_seconds())
    assert not await door.is_in(done)


async def test_a_session_ends_however_it_is_used(door):
    await door.user()
    done = await door.sign_in()
    hours = int(SESSION_LONGEST / timedelta(hours=6))
    for _ in range(hours - 1):
        door.clock.move(6 * 3600)
        assert await door.is_in(done)
    door.clock.move(6 * 3600)
    assert not await door.is_in(done)


async def test_a_new_password_ends_the_other_sessions_and_the_links(door):
    made = await door.user()
    here, there, link = await door.sign_in(), await door.sign_in(), await door.access.new_link(made.id)
    outcome = await door.access.set_password(made, "anna", "another sentence", here.session.id)
    assert outcome is UserOutcome.DONE
    assert await door.is_in(here)
    assert not await door.is_in(there)
    assert not await door.access.link_is_good(link)
    assert (await door.refused()).why == "wrong"
    assert await door.sign_in(password="another sentence")


async def test_who_is_disabled_is_out_at_once(door):
    await door.user()
    zoe = await door.user("zoe", Role.VIEWER)
    done = await door.sign_in("zoe")
    assert await door.is_in(done)
    await door.access.store.change_user(zoe.id, UserChange(enabled=False), door.clock.now())
    assert not await door.is_in(done)


async def test_a_new_role_counts_from_the_next_look(door):
    zoe = await door.user("zoe", Role.OPERATOR)
    done = await door.sign_in("zoe")
    await door.access.store.change_user(zoe.id, UserChange(role="client", client_id="acme"), door.clock.now())
    found = await door.access.visitor(done.token, HERE.address)
    assert found is not None
    assert (found[0].role, found[0].client_ids) == (Role.CLIENT, ("acme",))


async def test_neither_token_nor_password_is_in_what_is_shown_of_a_value(door):
    await door.user()
    done = await door.sign_in()
    assert done.token not in repr(done)
    assert "$" not in repr(done.user)


async def test_the_work_of_a_refusal_does_not_hold_the_loop(door):
    """Hashing goes on in threads: meanwhile the loop turns."""
    slow = Access(door.access.store, door.clock, lambda: SecretBox([b"k" * 32]), Hasher(memory_kib=65_536, passes=3))
    began, turns = time.monotonic(), 0
    task = asyncio.ensure_future(slow.by_password("nobody", "x", "", HERE))
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    with pytest.raises(NotIn):
        await task
    slow.close()
    assert turns > 100, time.monotonic() - began
