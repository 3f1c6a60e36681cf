"""What every store promises of configuration: declared, brought in line, disabled, never deleted."""

from dataclasses import replace

import pytest

from kurir.store.base import Declared, EndpointRecord, ErrorRecord, Put, StoreUnusable
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


# --- what is made while the gateway runs ----------------------------------------------------------------------------------


async def _client(store, client_id):
    return next(found for found in await store.clients() if found.id == client_id)


async def test_what_is_put_is_there_as_it_was_put_and_no_declaration_takes_it_away(store):
    shop = client("shop", default_region="ID", previous_hash="old", previous_until=at(9), allow_from=("10.0.0.0/8",))
    bot = account("shop-bot", "shop", position=1000, is_default=True)
    assert await store.put_client(shop, at(1)) is Put.DONE
    assert await store.put_account(bot, at(1)) is Put.DONE
    await store.declare(Declared(), at(2))
    found = await _client(store, "shop")
    assert (found, found.declared, found.last_used_at) == (shop, False, None)
    assert (await _account(store, "shop-bot"), (await _account(store, "shop-bot")).declared) == (bot, False)
    assert [one.id for one in await store.clients() if one.enabled] == ["shop"]


async def test_what_is_there_already_is_not_made_again(store):
    was = await store.accounts()
    assert await store.put_account(account(sealed=b"other"), at(1)) is Put.MOVED
    assert await store.put_account(account(ACCOUNT, OTHER_CLIENT), at(1)) is Put.MOVED
    assert await store.put_client(client(max_age_seconds=1), at(1)) is Put.MOVED
    assert (await store.accounts(), await _client(store, CLIENT)) == (was, client())


async def test_a_change_of_what_has_changed_meanwhile_changes_nothing(store):
    first, second = await _account(store, ACCOUNT), await _client(store, CLIENT)
    assert await store.put_account(replace(first, options='{"a": 1}'), at(1), first) is Put.DONE
    assert await store.put_client(replace(second, max_age_seconds=1), at(1), second) is Put.DONE
    assert await store.put_account(replace(first, options='{"a": 2}'), at(2), first) is Put.MOVED
    assert await store.put_client(replace(second, max_age_seconds=2), at(2), second) is Put.MOVED
    assert (await _account(store, ACCOUNT)).options == '{"a": 1}'
    found = await _client(store, CLIENT)
    assert (found.max_age_seconds, found.declared) == (1, False)


async def test_two_enabled_clients_have_not_one_user_name(store):
    taken = (await _client(store, CLIENT)).username
    shop = client("shop", username=taken)
    assert await store.put_client(shop, at(1)) is Put.TAKEN
    assert [one.id for one in await store.clients()] == [CLIENT, OTHER_CLIENT]
    assert await store.put_client(replace(shop, enabled=False), at(1)) is Put.DONE
    disabled = await _client(store, "shop")
    assert await store.put_client(replace(disabled, enabled=True), at(2), disabled) is Put.TAKEN
    assert not (await _client(store, "shop")).enabled


async def test_a_change_of_the_settings_unparks_an_account_and_another_one_does_not(store):
    await store.park(ACCOUNT, REVOKED, at(1))
    await store.pause(ACCOUNT, at(1))
    was = await _account(store, ACCOUNT)
    assert await store.put_account(replace(was, options='{"a": 1}'), at(2), was) is Put.DONE
    was = await _account(store, ACCOUNT)
    assert was.parked_code == REVOKED.code
    assert await store.put_account(replace(was, sealed=b"mended"), at(3), was) is Put.DONE
    found = await _account(store, ACCOUNT)
    assert (found.parked_code, found.parked_at, found.paused_at) == ("", None, at(1))


async def test_a_new_default_takes_it_from_those_that_are_not_the_files(store):
    await store.declare(replace(DECLARED, accounts=(account(is_default=True),)), at(1))
    for name in ("one", "two", "three"):
        wanted = account(name, position=1000, is_default=name != "three")
        assert await store.put_account(wanted, at(2)) is Put.DONE
    defaults = {found.id: found.is_default for found in await store.accounts() if found.client_id == CLIENT}
    assert {name: defaults[name] for name in (ACCOUNT, "one", "two", "three")} == {
        ACCOUNT: True,
        "one": False,
        "two": True,
        "three": False,
    }


async def test_the_version_grows_with_every_change_and_with_nothing_else(store):
    versions = [await store.configuration_version()]
    was = await _account(store, ACCOUNT)
    await store.put_account(replace(was, enabled=False), at(1), was)
    versions.append(await store.configuration_version())
    await store.put_client(client("shop"), at(1))
    versions.append(await store.configuration_version())
    await store.declare(DECLARED, at(2))
    versions.append(await store.configuration_version())
    assert sorted(set(versions)) == versions
    await store.park(ACCOUNT, REVOKED, at(3))
    await store.pause(ACCOUNT, at(3))
    await store.client_used(CLIENT, at(3))
    assert await store.configuration_version() == versions[-1]


async def test_the_newest_use_of_a_client_is_known(store):
    await store.client_used(CLIENT, at(5))
    await store.client_used(CLIENT, at(4))
    await store.client_used("nobody", at(9))
    assert (await _client(store, CLIENT)).last_used_at == at(5)
    assert (await _client(store, OTHER_CLIENT)).last_used_at is None
    await store.declare(DECLARED, at(6))
    assert (await _client(store, CLIENT)).last_used_at == at(5)


async def test_a_client_that_the_file_names_has_one_password(store):
    was = await _client(store, CLIENT)
    rotated = replace(was, password_hash="new", previous_hash=was.password_hash, previous_until=at(99))
    assert await store.put_client(rotated, at(1), was) is Put.DONE
    await store.declare(DECLARED, at(2))
    found = await _client(store, CLIENT)
    assert (found, found.declared) == (client(), True)
