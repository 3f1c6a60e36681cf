"""What every store promises of configuration: declared, brought in line, disabled, never deleted."""

from dataclasses import replace

from kurir.store.base import Declared, EndpointRecord, ErrorRecord
from support.records import ACCOUNT, CLIENT, DECLARED, OTHER_ACCOUNT, OTHER_CLIENT, SECOND_ACCOUNT, account, at, client

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
    await bare_store.set_meta("key_check", "abc")
    await bare_store.set_meta("key_check", "äöü")
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
