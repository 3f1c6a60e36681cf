"""What every store promises of the quarantine: kept once, within a bound, told apart, and gone when it is asked for."""

from datetime import timedelta

import pytest

from kurir.store.base import Declared
from kurir.store.inbound import NotKept, Quarantined, Unread
from kurir.store.operations import quarantine
from support.records import (
    ACCOUNT,
    CLIENT,
    DECLARED,
    OTHER_ACCOUNT,
    OTHER_CLIENT,
    SECOND_ACCOUNT,
    T0,
    account,
    arrival,
    at,
    heard,
    take_in,
)

DAY = timedelta(days=1)
WHY = "the body is not JSON"


def unread(body: bytes = b"\xff{", seconds: float = 1, account_id: str = ACCOUNT, why: str = WHY) -> Unread:
    return Unread(account_id, body, why, at(seconds))


async def numbers(store, account_id: str = "", **more) -> list[int]:
    return [one.number for one in await store.quarantined(account_id, **more)]


# --- keeping ------------------------------------------------------------------------------------------------------------


async def test_a_webhook_is_kept_to_the_byte(store):
    body = bytes(range(256))
    number = await store.quarantine(unread(body))
    known = Quarantined(number, ACCOUNT, at(1), 1, WHY, None, 256)
    assert await store.quarantined() == [known]
    assert await store.quarantined_webhook(number) == (known, body)
    assert await store.quarantined_webhook(number + 1) is None
    assert await store.not_kept() == []


async def test_an_empty_body_is_one_too(store):
    number = await store.quarantine(unread(b""))
    record, body = await store.quarantined_webhook(number)
    assert (record.size, body) == (0, b"")


async def test_the_same_body_again_is_the_same_number_with_the_newer_reason(store):
    first = await store.quarantine(unread())
    assert await store.quarantine(unread(seconds=9, why="another")) == first
    assert await store.quarantined() == [Quarantined(first, ACCOUNT, at(1), 2, "another", None, 2)]


async def test_the_same_body_of_another_account_is_another_webhook(store):
    first = await store.quarantine(unread())
    second = await store.quarantine(unread(account_id=OTHER_ACCOUNT))
    assert await numbers(store) == [first, second]
    assert await numbers(store, OTHER_ACCOUNT) == [second]
    assert await numbers(store, "nobody") == []


async def test_it_is_listed_in_order_by_pages(store):
    known = [await store.quarantine(unread(b"%d" % number, account_id=ACCOUNT)) for number in range(5)]
    assert known == sorted(known)
    assert await numbers(store, limit=2) == known[:2]
    assert await numbers(store, after=known[1], limit=2) == known[2:4]
    assert await numbers(store, ACCOUNT, after=known[3]) == known[4:]


async def test_it_is_there_after_a_restart(store):
    number = await store.quarantine(unread())
    await store.close()
    await store.open()
    assert await numbers(store) == [number]


# --- the bound ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "value", "bodies"),
    [("MOST_BODIES", 3, [b"aa", b"bb", b"cc", b"dd", b"ee"]), ("MOST_BYTES", 6, [b"aa", b"bb", b"cc", b"d", b""])],
)
async def test_beyond_the_bound_the_first_ones_stay_and_the_others_are_counted(
    store, monkeypatch, bound, value, bodies
):
    monkeypatch.setattr(quarantine, bound, value)
    kept = [await store.quarantine(unread(body, seconds)) for seconds, body in enumerate(bodies)]
    full = [True, True, True, False, bound == "MOST_BYTES"]  # beside six bytes an empty body fits
    assert [number is not None for number in kept] == full
    assert await numbers(store) == [number for number in kept if number is not None]
    beyond = [seconds for seconds, number in enumerate(kept) if number is None]
    assert await store.not_kept() == [NotKept(ACCOUNT, len(beyond), at(beyond[0]), at(beyond[-1]))]
    again = await store.quarantine(unread(bodies[0], 20))
    assert again == kept[0], "what is there already is counted there"
    assert await store.quarantine(unread(bodies[0], 20, OTHER_ACCOUNT)) is not None, "the bound is the account's own"


async def test_a_body_that_is_too_large_is_counted(store, monkeypatch):
    monkeypatch.setattr(quarantine, "MOST_OF_ONE", 4)
    assert await store.quarantine(unread(b"12345")) is None
    assert await store.quarantine(unread(b"1234")) is not None
    assert [one.webhooks for one in await store.not_kept()] == [1]


async def test_room_that_was_made_is_used(store, monkeypatch):
    monkeypatch.setattr(quarantine, "MOST_BODIES", 1)
    first = await store.quarantine(unread(b"a"))
    assert await store.quarantine(unread(b"b")) is None
    assert await store.release(first)
    second = await store.quarantine(unread(b"c"))
    assert second is not None
    assert second > first, "a number is never given twice"
    assert [one.webhooks for one in await store.not_kept()] == [1], "what was lost is still said"


# --- leaving ------------------------------------------------------------------------------------------------------------


async def test_what_was_replayed_in_vain_stays_with_the_new_reason(store):
    number = await store.quarantine(unread())
    await store.still_unread(number, "still not", at(50))
    assert await store.quarantined() == [Quarantined(number, ACCOUNT, at(1), 1, "still not", at(50), 2)]
    await store.still_unread(number + 1, "of nobody", at(50))
    assert await numbers(store) == [number]


async def test_a_webhook_leaves_once(store):
    number = await store.quarantine(unread())
    assert await store.release(number)
    assert not await store.release(number)
    await store.still_unread(number, "late", at(9))
    assert await store.quarantined() == []
    assert await store.quarantine(unread(seconds=60)) > number


async def test_retention_takes_it_and_the_count_of_the_others(store, monkeypatch):
    monkeypatch.setattr(quarantine, "MOST_BODIES", 2)
    await store.quarantine(unread(b"a", 0))
    young = await store.quarantine(unread(b"b", 100))
    assert await store.quarantine(unread(b"c", 100)) is None
    await store.purge(at(50), 100)
    assert await numbers(store) == [young]
    assert len(await store.not_kept()) == 1
    assert not (await store.purge(at(101), 100)).more
    assert await store.quarantined() == []
    assert await store.not_kept() == []


async def test_retention_says_that_there_is_more(store):
    for number in range(3):
        await store.quarantine(unread(b"%d" % number, 0))
    assert (await store.purge(at(50), 2)).more
    assert len(await store.quarantined()) == 1


# --- erasing a person ---------------------------------------------------------------------------------------------------


async def test_a_person_who_is_forgotten_is_gone_from_the_bodies_too(store):
    phone, alias = "628111000111", "US.77"
    await take_in(store, arrival(heard=heard(phone=phone, aliases=(alias,), name="Budi")))
    theirs = [b'{"sender":{"id":"777"},oops', f"phone={phone}&x".encode(), f'\xff"{alias}"'.encode("latin-1"), b"777"]
    others = [b'{"sender":{"id":"1777"}', b'{"id":7770}', b'{"id":"x777"}', b"\xff\x00", b"", b'"at":77.7']
    for body in (*theirs, *others):
        await store.quarantine(unread(body))
    foreign = await store.quarantine(unread(theirs[0], account_id=OTHER_ACCOUNT))
    await store.forget(CLIENT, ACCOUNT, ["777"], at(9))
    left = [await store.quarantined_webhook(number) for number in await numbers(store)]
    assert [body for record, body in left if record.account_id == ACCOUNT] == others
    assert foreign in [record.number for record, _ in left], "the other client's is not touched"


async def test_a_person_is_looked_for_in_every_account_of_the_client_on_the_channel(store):
    """A webhook of one account may hold entries of another one of the same app."""
    more = (*DECLARED.accounts, account("acme-fb-2", channel="messenger"))
    await store.declare(Declared(DECLARED.clients, more), T0)
    beside = await store.quarantine(unread(b"777", account_id="acme-fb-2"))
    elsewhere = await store.quarantine(unread(b"777", account_id=SECOND_ACCOUNT))
    await store.forget(CLIENT, ACCOUNT, ["777"], at(9))
    assert await numbers(store) == [elsewhere]
    assert beside != elsewhere


async def test_a_person_is_looked_for_in_more_bodies_than_one_window_has(store):
    count = 2 * quarantine.WINDOW + 3
    for number in range(count):
        await store.quarantine(unread(b"%d 777" % number))
        await store.quarantine(unread(b"%d 888" % number))
    await store.forget(CLIENT, ACCOUNT, ["777"], at(9))
    left = [await store.quarantined_webhook(number) for number in await numbers(store, limit=1000)]
    assert [body for _, body in left] == [b"%d 888" % number for number in range(count)]


async def test_nobody_is_forgotten_for_another_client(store):
    number = await store.quarantine(unread(b"777"))
    await store.forget(OTHER_CLIENT, ACCOUNT, ["777"], at(9))
    assert await numbers(store) == [number]
