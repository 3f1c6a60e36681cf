"""The rules by which clients and accounts are made and changed, over a store of their own."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from kurir import channels
from kurir.administration import Administration
from kurir.administration.accounts import NewAccount
from kurir.administration.fields import Fields
from kurir.administration.refusal import Refused
from kurir.clock import FakeClock
from kurir.configuration.problems import WrongValueError
from kurir.domain.account import LineSettings
from kurir.secretbox import SecretBox, new_key
from kurir.store.base import Declared
from kurir.store.sqlite import SqliteStore
from support.records import T0, account, client

LINE = {"channel_access_token": "access", "channel_secret": "secret"}


class Desk:
    """An administration over a store, and how often it said that something changed."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.clock = FakeClock()
        self.box = SecretBox([new_key()])
        self.changes = 0
        self.administration = Administration(store, lambda: self.box, channels.installed(), self.clock, self.changed)
        self.accounts, self.clients = self.administration.accounts, self.administration.clients

    async def changed(self) -> None:
        self.changes += 1

    async def line(self, **options: Any) -> str:
        made = await self.accounts.create(NewAccount("acme", "line", settings=LINE, options=options))
        return made.id


@pytest.fixture
async def desk(tmp_path) -> AsyncIterator[Desk]:
    store = SqliteStore(tmp_path / "kurir.db")
    await store.open()
    await store.declare(Declared((client("acme"), client("of-file"))), T0)
    found = Desk(store)
    was = (await store.clients())[0]
    await store.put_client(replace(was, default_region="ID"), T0, was)
    yield found
    await store.close()


async def refused(work: Any) -> Refused:
    with pytest.raises(Refused) as error:
        await work
    return error.value


def places(error: Refused) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.code) for problem in error.problems]


# --- reading ------------------------------------------------------------------------------------------------------------


def test_a_problem_names_its_place_in_the_body_and_no_reference_that_only_the_file_knows():
    fields = Fields(["token"])
    fields.report(("token",), 'is missing: expected a string, { env = "NAME" } or { file = "path" }')
    fields.report(("rate", "account"), "expected a rate")
    assert [(one.pointer, one.code, one.detail) for one in fields.problems] == [
        ("/settings/token", "missing", "settings.token is missing: expected a string"),
        ("/rate/account", "invalid_format", "rate.account: expected a rate"),
    ]
    with pytest.raises(Refused) as error:
        fields.finish()
    assert (error.value.code, len(error.value.problems)) == ("invalid_parameters", 2)


@pytest.mark.parametrize("reference", [{"env": "HOME"}, {"file": "/etc/hostname"}, {}])
def test_a_reference_is_followed_nowhere(reference):
    with pytest.raises(WrongValueError):
        Fields().resolve(reference)


# --- accounts -----------------------------------------------------------------------------------------------------------


async def test_what_is_not_named_of_an_account_stays(desk):
    name = await desk.line(rate={"account": "7/s"}, retry={"attempts": 3}, concurrency=4, unknown_wait="20s")
    before = desk.accounts.opened(await desk.accounts.find(name))
    await desk.accounts.change(name, {"default_audio_duration": "5s"}, {"retry": {"first": "2s"}})
    after = desk.accounts.opened(await desk.accounts.find(name))
    assert isinstance(after.settings, LineSettings)
    assert after.settings == replace(before.settings, default_audio_duration_ms=5000)
    assert after.retrying == replace(before.retrying, first_seconds=2.0)
    assert replace(after, settings=before.settings, retrying=before.retrying) == before
    assert desk.changes == 2


async def test_null_is_the_default_again_and_for_a_secret_a_problem(desk):
    name = await desk.line(concurrency=4, rate={"account": "7/s"})
    await desk.accounts.change(name, {"use_reply_tokens": False}, {})
    await desk.accounts.change(name, {"use_reply_tokens": None}, {"concurrency": None, "rate": {"account": None}})
    account = desk.accounts.opened(await desk.accounts.find(name))
    line = channels.installed()["line"]
    assert account.settings.use_reply_tokens is True
    assert (account.concurrency, account.rates) == (
        line.CONCURRENCY,
        dict(line.RATES) | {"account": line.RATES["account"]},
    )
    assert places(await refused(desk.accounts.change(name, {"channel_secret": None}))) == [
        ("/settings/channel_secret", "missing")
    ]


async def test_a_change_that_changes_nothing_is_none(desk):
    name = await desk.line()
    version = await desk.store.configuration_version()
    await desk.accounts.change(name, dict(LINE), {"concurrency": None})
    await desk.accounts.enable(name)
    assert (desk.changes, await desk.store.configuration_version()) == (1, version)


async def test_all_that_is_wrong_is_told_at_once(desk):
    wanted = NewAccount("nobody", "line", "NO", {"channel_access_token": " ", "colour": "red"}, {"concurrency": 0})
    assert sorted(places(await refused(desk.accounts.create(wanted)))) == [
        ("/client", "unsupported_value"),
        ("/concurrency", "invalid_format"),
        ("/id", "invalid_format"),
        ("/settings/channel_access_token", "invalid_format"),
        ("/settings/channel_secret", "missing"),
        ("/settings/colour", "unsupported_value"),
    ]
    assert (await desk.store.accounts(), desk.changes) == ([], 0)


async def test_an_id_of_another_clients_account_is_refused(desk):
    await desk.accounts.create(NewAccount("acme", "line", "bot", LINE))
    error = await refused(desk.accounts.create(NewAccount("of-file", "line", "bot", LINE)))
    assert places(error) == [("/id", "already_taken")]
    assert [one.client_id for one in await desk.store.accounts()] == ["acme"]


async def test_the_file_names_the_default(desk):
    declared = account("filed", "acme", channel="line", is_default=True)
    await desk.store.declare(Declared((client("of-file"),), (declared,)), T0)
    was = (await desk.store.clients())[0]
    assert was.id == "acme"
    assert was.enabled, "it is not the file's"
    assert places(await refused(desk.line(default=True))) == [("/default", "already_taken")]
    name = await desk.line()
    assert places(await refused(desk.accounts.change(name, {}, {"default": True}))) == [("/default", "already_taken")]


async def test_of_two_defaults_the_newer_one_counts(desk):
    first = await desk.line(default=True)
    second = await desk.line(default=True)
    assert {one.id: one.is_default for one in await desk.store.accounts()} == {first: False, second: True}


async def test_two_changes_at_once_are_both_made(desk):
    name = await desk.line()
    await asyncio.gather(
        desk.accounts.change(name, {}, {"concurrency": 5}),
        desk.accounts.change(name, {}, {"unknown_wait": "33s"}),
        desk.accounts.change(name, {"use_reply_tokens": False}),
    )
    account = desk.accounts.opened(await desk.accounts.find(name))
    assert (account.concurrency, account.unknown_wait_seconds) == (5, 33.0)
    assert account.settings.use_reply_tokens is False


async def test_an_account_that_was_sealed_with_another_key_says_so(desk):
    name = await desk.line()
    desk.box = SecretBox([new_key()])
    error = await refused(desk.accounts.change(name, {}, {"concurrency": 5}))
    assert (error.code, "encryption key" in error.detail) == ("internal", True)


async def test_a_repr_shows_no_secret(desk):
    wanted = NewAccount("acme", "line", settings=LINE)
    made = await desk.clients.create("shop")
    assert "access" not in repr(wanted)
    assert made.password not in repr(made)


# --- clients ------------------------------------------------------------------------------------------------------------


async def test_the_overlap_of_a_rotation_has_bounds(desk):
    await desk.clients.create("shop")
    for overlap in (timedelta(seconds=-1), timedelta(days=31)):
        error = await refused(desk.clients.rotate("shop", overlap))
        assert places(error) == [("/overlap_seconds", "out_of_range")]


async def test_a_rotation_keeps_the_password_before_and_none_before_that(desk):
    first = (await desk.clients.create("shop")).record.password_hash
    second = (await desk.clients.rotate("shop")).record
    assert (second.previous_hash, second.previous_until) == (first, desk.clock.now() + timedelta(hours=24))
    third = (await desk.clients.rotate("shop", timedelta(hours=1))).record
    assert (third.previous_hash, third.previous_until) == (
        second.password_hash,
        desk.clock.now() + timedelta(hours=1),
    )
    last = (await desk.clients.rotate("shop", timedelta(0))).record
    assert (last.previous_hash, last.previous_until) == ("", None)


async def test_what_is_not_named_of_a_client_stays_and_null_is_the_default(desk):
    made = await desk.clients.create("shop", {"username": "till", "max_age": "2h", "allow_from": ["10.0.0.0/8"]})
    changed = await desk.clients.change("shop", {"default_region": "id"})
    assert changed == replace(made.record, default_region="ID")
    changed = await desk.clients.change("shop", {"username": None, "max_age": None, "allow_from": None})
    assert (changed.username, changed.max_age_seconds, changed.allow_from) == ("shop", 86_400, ())


async def test_a_client_of_the_file_is_the_files(desk):
    for work in (
        desk.clients.change("of-file", {"max_age": "1h"}),
        desk.clients.rotate("of-file"),
        desk.clients.disable("of-file"),
    ):
        assert (await refused(work)).code == "configured_in_file"
    assert desk.changes == 0
