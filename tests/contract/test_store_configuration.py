"""What every store promises of configuration: declared, brought in line, disabled, never deleted."""

from dataclasses import replace

import pytest

from kurir.store.base import Declared, EndpointRecord, ErrorRecord, StoreUnusable
from support.records import (
    ACCOUNT,
    CLIENT,
    DECLARED,
    OTHER_ACCOUNT,
    OTHER_CLIENT,
    SECOND_ACCOUNT,
    T0,
    account,
    at,
    client,
)

REVOKED = ErrorRecord("account_unauthorized", "the token was revoked", "190")


def _endpoint(url, **fields):
    return replace(EndpointRecord(CLIENT, url, "compat", ("*",), b"sealed"), **fields)


async def _account(store, account_id):
    return next(found for found in await store.accounts() if found.id == account_id)


async def test_an_empty_store(bare_store):
    assert (await bare_store.clients(), await bare_store.accounts()) == ([], [])
    assert await bare_store.endpoints(CLIENT) == []
    assert await bare_store.depths() == []
    assert await bare_store.meta("anything") is None


async def test_values_of_the_installation(bare_store):
    assert await bare_store.set_meta("key_check", "abc") == "abc"
    assert await bare_store.set_meta("key_check", "a second one who thought that it is not set") == "abc"
    assert await bare_store.set_meta("key_check", "xyz", "what it never was") == "abc"
    assert await bare_store.set_meta("key_check", "äöü", "abc") == "äöü"
    assert await bare_store.meta("key_check") == "äöü"
    await bare_store.close()
    await bare_store.open()
    assert await bare_store.meta("key_check") == "äöü"


async def test_what_is_declared_is_there_as_it_was_declared(bare_store):
    clients = (client("b", default_region="ID", max_age_seconds=60), client("a"))
    accounts = (
        account("b2", "b", position=0, is_default=True, options='{"rate": "1/s"}', sealed=b"\x00\xff"),
        account("b1", "b", position=1),
        account("a1", "a"),
    )
    endpoints = (
        _endpoint("https://z.example/2", client_id="b", dialect="standard", events=("message.status", "x")),
        _endpoint("https://a.example/1", client_id="b"),
    )
    await bare_store.declare(Declared(clients, accounts, endpoints), at(0))
    assert await bare_store.clients() == [clients[1], clients[0]]
    assert await bare_store.accounts() == [accounts[2], accounts[0], accounts[1]]
    assert await bare_store.endpoints("b") == list(endpoints)
    assert await bare_store.endpoints("a") == []


async def test_declaring_again_brings_in_line(store):
    changed = account(api_base="https://other.example", position=7, options='{"a": 1}')
    await store.declare(replace(DECLARED, clients=(client(username="new"),), accounts=(changed,)), at(1))
    assert await _account(store, ACCOUNT) == changed
    assert (await store.clients())[0].username == "new"


async def test_what_is_no_longer_declared_is_disabled_and_comes_back(store):
    endpoint = _endpoint("https://a.example/1")
    await store.declare(replace(DECLARED, endpoints=(endpoint,)), at(1))
    await store.declare(Declared((client(),), (account(),)), at(2))
    assert [(found.id, found.enabled) for found in await store.clients()] == [(CLIENT, True), (OTHER_CLIENT, False)]
    enabled = {found.id: found.enabled for found in await store.accounts()}
    assert enabled == {ACCOUNT: True, SECOND_ACCOUNT: False, OTHER_ACCOUNT: False}
    assert await store.endpoints(CLIENT) == [replace(endpoint, enabled=False)]
    await store.declare(Declared(), at(3))
    assert not any(found.enabled for found in await store.accounts())
    await store.declare(replace(DECLARED, endpoints=(endpoint,)), at(4))
    assert all(found.enabled for found in [*await store.clients(), *await store.accounts()])
    assert await store.endpoints(CLIENT) == [endpoint]


async def test_a_parked_account_says_why_and_keeps_the_first_reason(store):
    await store.park(ACCOUNT, REVOKED, at(5))
    await store.park(ACCOUNT, ErrorRecord("other", "later"), at(6))
    found = await _account(store, ACCOUNT)
    assert (found.parked_code, found.parked_reason, found.parked_at) == (REVOKED.code, REVOKED.detail, at(5))
    assert (await _account(store, SECOND_ACCOUNT)).parked_code == ""
    await store.unpark(ACCOUNT)
    assert await _account(store, ACCOUNT) == account()
    await store.unpark(ACCOUNT)
    await store.park("nobody", REVOKED, at(7))


async def test_a_parked_account_stays_parked_until_its_settings_change(store):
    await store.park(ACCOUNT, REVOKED, at(5))
    await store.declare(replace(DECLARED, accounts=(account(position=3, options='{"x": 1}'),)), at(6))
    assert (await _account(store, ACCOUNT)).parked_code == REVOKED.code
    await store.declare(replace(DECLARED, accounts=(account(sealed=b"a new token"),)), at(7))
    assert (await _account(store, ACCOUNT)).parked_code == ""
    await store.park(ACCOUNT, REVOKED, at(8))
    mended = account(sealed=b"a new token", api_base="https://other.example")
    await store.declare(replace(DECLARED, accounts=(mended,)), at(9))
    assert await _account(store, ACCOUNT) == mended


async def test_a_pause_is_noted_until_it_is_taken_back(store):
    await store.pause(ACCOUNT, at(5))
    assert (await _account(store, ACCOUNT)).paused_at == at(5)
    assert (await _account(store, SECOND_ACCOUNT)).paused_at is None
    await store.pause(ACCOUNT, at(6))
    assert (await _account(store, ACCOUNT)).paused_at == at(6)
    await store.pause(ACCOUNT, None)
    assert await _account(store, ACCOUNT) == account()
    await store.pause(ACCOUNT, None)
    await store.pause("nobody", at(7))


async def test_the_last_hold_is_known(store):
    await store.hold(ACCOUNT, at(5), at(65), "Too Many Requests")
    await store.hold(ACCOUNT, at(10), at(40), "a shorter one that came later")
    found = await _account(store, ACCOUNT)
    assert (found.held_since, found.held_until, found.held_reason) == (at(10), at(40), "a shorter one that came later")
    assert (await _account(store, SECOND_ACCOUNT)).held_until is None
    await store.hold("nobody", at(5), at(6), "x")


async def test_what_holds_an_account_back_outlives_a_new_configuration_and_a_restart(store):
    await store.pause(ACCOUNT, at(5))
    await store.hold(ACCOUNT, at(6), at(66), "Too Many Requests")
    await store.park(ACCOUNT, REVOKED, at(7))
    before = await _account(store, ACCOUNT)
    await store.declare(DECLARED, at(8))
    assert await _account(store, ACCOUNT) == before
    await store.declare(replace(DECLARED, accounts=DECLARED.accounts[1:]), at(9))
    assert await _account(store, ACCOUNT) == replace(before, enabled=False)
    await store.declare(DECLARED, at(10))
    await store.close()
    await store.open()
    assert await _account(store, ACCOUNT) == before
    assert (before.paused_at, before.held_until, before.parked_code) == (at(5), at(66), REVOKED.code)


async def test_a_mended_account_is_unparked_and_no_more(store):
    await store.pause(ACCOUNT, at(5))
    await store.hold(ACCOUNT, at(6), at(66), "Too Many Requests")
    await store.park(ACCOUNT, REVOKED, at(7))
    mended = account(sealed=b"a new token")
    await store.declare(replace(DECLARED, accounts=(mended, *DECLARED.accounts[1:])), at(8))
    found = await _account(store, ACCOUNT)
    assert (found.parked_code, found.parked_reason, found.parked_at) == ("", "", None)
    assert (found.paused_at, found.held_since, found.held_until) == (at(5), at(6), at(66))


async def test_what_a_configuration_says_of_an_accounts_state_is_not_believed(bare_store):
    told = account(
        parked_code="x", parked_reason="y", parked_at=at(1), paused_at=at(1), held_until=at(9), held_reason="z"
    )
    await bare_store.declare(Declared((client(),), (told,)), at(2))
    assert await bare_store.accounts() == [account()]


async def test_an_account_keeps_its_client(store):
    """Its messages, contacts and events are the client's: a move would show them to another, and lock half of them."""
    moved = replace(DECLARED, accounts=(replace(DECLARED.accounts[0], client_id=OTHER_CLIENT),))
    with pytest.raises(StoreUnusable, match=f"{DECLARED.accounts[0].id} belongs to the client {CLIENT}.*another id"):
        await store.declare(moved, T0)
    assert {each.id: each.client_id for each in await store.accounts()}[DECLARED.accounts[0].id] == CLIENT
