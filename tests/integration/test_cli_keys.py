"""``kurir keys``: a new encryption key for everything that is encrypted, safe at every point where it may be killed."""

import asyncio
import re
import stat
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from kurir import rekeying, secretbox
from kurir.cli.app import app
from kurir.configuration.declared import account_about, endpoint_about
from kurir.console import totp
from kurir.secretbox import KeyFile, KeyValue, SealError, SecretBox, encode_key, new_key, open_box, read_key_file
from kurir.store import GatewayStore
from kurir.store.access import UserRecord
from kurir.store.base import Declared, EndpointRecord
from kurir.store.postgres import PostgresStore
from kurir.store.sqlite import SqliteStore
from support import postgres
from support.records import ACCOUNT, CLIENT, OTHER_ACCOUNT, OTHER_CLIENT, T0, account, client

URL = "https://shop.example/hook"
NEWEST = sorted(postgres.servers(), key=int)[-1:]
STORES = ["sqlite", *(f"postgres{version}" for version in NEWEST)]


class Killed(BaseException):
    """The process is gone."""


async def _filled(store: GatewayStore, path: Path) -> None:
    """Fill an open store with something sealed of each kind."""
    box = await open_box(KeyFile(path), store)

    def sealed(about: str) -> bytes:
        return box.seal(f"the secret of {about}".encode(), about=about)

    accounts = [
        replace(account(name, whose), sealed=sealed(account_about(whose, name)))
        for name, whose in ((ACCOUNT, CLIENT), (OTHER_ACCOUNT, OTHER_CLIENT))
    ]
    endpoint = EndpointRecord(CLIENT, URL, "compat", ("*",), sealed(endpoint_about(CLIENT, URL)))
    await store.declare(Declared([client(CLIENT), client(OTHER_CLIENT)], accounts, [endpoint]), T0)
    # What is not enabled any more is sealed all the same.
    await store.declare(Declared([client(CLIENT)], accounts[:1], [endpoint]), T0)
    careful = UserRecord("u-1", "careful", "owner", totp=sealed(totp.about("u-1")), created_at=T0)
    await store.put_user(careful, T0)
    await store.put_user(UserRecord("u-2", "careless", "viewer", created_at=T0), T0)


async def _whole(store: GatewayStore, path: Path, *, all_new: bool) -> None:
    """Everything opens with the keys of the file; with *all_new* by the first alone."""
    keys = read_key_file(path)
    box = SecretBox(keys[:1] if all_new else keys)
    values = await store.sealed_values()
    assert len(values) == 4
    for one in values:
        about = rekeying.about(one)
        assert box.open(one.value, about=about) == f"the secret of {about}".encode()
    await SecretBox(keys).check(store)


def _store(name: str, folder: Path) -> Callable[[], Awaitable[GatewayStore]]:
    dsn = ""

    async def opened() -> GatewayStore:
        nonlocal dsn
        if name == "sqlite":
            store: GatewayStore = SqliteStore(folder / "kurir.db", synchronous="OFF")
        else:
            dsn = dsn or await postgres.database_of(postgres.shared(name.removeprefix("postgres")), folder)
            store = PostgresStore(dsn, connections=2)
        await store.open()
        return store

    return opened


@pytest.mark.parametrize("name", STORES)
async def test_a_rotation_seals_everything_anew_and_keeps_what_it_says(tmp_path, name):
    path, opened = tmp_path / "kurir.key", _store(name, tmp_path)
    store = await opened()
    try:
        await _filled(store, path)
        [old] = read_key_file(path)
        accounts = await store.accounts()
        done = await rekeying.rotate(KeyFile(path), store)
        assert (done.began, done.sealed, done.unread) == (True, 4, ())
        assert read_key_file(path)[1:] == (old,)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        await _whole(store, path, all_new=True)
        # A token is as old as it was, and whoever follows the configuration sees nothing new.
        assert [replace(one, sealed=b"") for one in await store.accounts()] == [
            replace(one, sealed=b"") for one in accounts
        ]
        assert [one.sealed_at for one in await store.accounts()] == [one.sealed_at for one in accounts]
        assert await rekeying.drop_old(KeyFile(path), store) == (SecretBox([old]).key_id,)
        assert old not in read_key_file(path)
        await _whole(store, path, all_new=True)
        with pytest.raises(SealError):
            SecretBox([old]).open((await store.sealed_values())[0].value, about="anything")
        again = await rekeying.rotate(KeyFile(path), store)
        assert (again.began, again.sealed) == (True, 4)
    finally:
        await store.close()


#: Where it is killed: the function that is entered and not left, or left and nothing after it done.
POINTS = [(name, when) for name in ("write_key_file", "check", "replace_sealed") for when in ("before", "after")]


OWN = {("write_key_file", "before"), ("rename", "before"), ("replace_sealed", "after")}


@pytest.mark.parametrize("name", STORES)
@pytest.mark.parametrize(("where", "when"), [*POINTS, ("rename", "before")])
async def test_whenever_it_is_killed_all_can_be_read_and_the_next_run_ends_it(tmp_path, monkeypatch, name, where, when):
    path, opened = tmp_path / "kurir.key", _store(name, tmp_path)
    store = await opened()
    await _filled(store, path)
    [old] = read_key_file(path)
    owner: Any = {"write_key_file": rekeying, "check": SecretBox, "replace_sealed": type(store), "rename": Path}[where]
    attribute = "replace" if where == "rename" else where
    real = getattr(owner, attribute)

    def killed(*given: Any) -> Any:
        if when == "before":
            raise Killed
        real(*given)
        raise Killed

    async def killed_later(*given: Any) -> Any:
        if when == "after":
            await real(*given)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(owner, attribute, killed_later if where in ("check", "replace_sealed") else killed)
        with pytest.raises(Killed):
            await rekeying.rotate(KeyFile(path), store)
    await store.close()
    store = await opened()
    try:
        assert old in read_key_file(path), "no key is lost"
        # A start in between: it reads everything.
        box = SecretBox(read_key_file(path))
        assert all(box.open(one.value, about=rekeying.about(one)) for one in await store.sealed_values())
        done = await rekeying.rotate(KeyFile(path), store)
        # Nothing had begun, or nothing was left to do: then it is a rotation of its own.
        assert done.began is ((where, when) in OWN)
        assert not path.with_name("kurir.key.new").exists()
        await _whole(store, path, all_new=True)
        await rekeying.drop_old(KeyFile(path), store)
        assert len(read_key_file(path)) == 1
        await _whole(store, path, all_new=True)
    finally:
        await store.close()


async def test_a_gateway_without_the_new_key_does_not_start(tmp_path):
    path, store = tmp_path / "kurir.key", await _store("sqlite", tmp_path)()
    try:
        await _filled(store, path)
        old = read_key_file(path)
        await rekeying.rotate(KeyFile(path), store)
        with pytest.raises(secretbox.EncryptionKeyError, match="not the one that this database was sealed with"):
            await open_box(KeyValue(old), store)
    finally:
        await store.close()


async def test_a_foreign_key_file_is_left_as_it_is(tmp_path):
    path, store = tmp_path / "kurir.key", await _store("sqlite", tmp_path)()
    try:
        await _filled(store, path)
        path.write_text(encode_key(new_key()) + "\n")
        before, values = path.read_text(), await store.sealed_values()
        with pytest.raises(secretbox.EncryptionKeyError):
            await rekeying.rotate(KeyFile(path), store)
        assert path.read_text() == before
        assert await store.sealed_values() == values
    finally:
        await store.close()


async def test_what_no_key_opens_is_told_and_left(tmp_path):
    path, store = tmp_path / "kurir.key", await _store("sqlite", tmp_path)()
    try:
        await _filled(store, path)
        values = await store.sealed_values()
        broken = next(one for one in values if one.id == OTHER_ACCOUNT)
        assert await store.replace_sealed([(broken, b"\x01nonsense")]) == 1
        assert await store.replace_sealed([(broken, b"it is another one now")]) == 0
        done = await rekeying.rotate(KeyFile(path), store)
        assert (done.sealed, done.unread) == (3, (f"account {OTHER_ACCOUNT}",))
        assert await rekeying.drop_old(KeyFile(path), store)
    finally:
        await store.close()


async def test_a_value_that_is_no_file_is_the_operators_to_change(tmp_path):
    path, store = tmp_path / "kurir.key", await _store("sqlite", tmp_path)()
    try:
        await _filled(store, path)
        [old] = read_key_file(path)
        with pytest.raises(rekeying.NotPossible, match="put a new key in front"):
            await rekeying.rotate(KeyValue((old,)), store)
        both = KeyValue((new_key(), old))
        with pytest.raises(rekeying.NotPossible, match="keys rotate"):
            await rekeying.drop_old(both, store)
        done = await rekeying.rotate(both, store)
        assert (done.began, done.sealed) == (False, 4)
        with pytest.raises(rekeying.NotPossible, match="leave out all but the first"):
            await rekeying.drop_old(both, store)
        assert await rekeying.drop_old(KeyValue(both.keys[:1]), store) == ()
    finally:
        await store.close()


# --- the command line -------------------------------------------------------------------------------------------------


def _run(folder: Path, *words: str) -> Result:
    environment = {"KURIR_CONFIG": "", "KURIR_DATABASE": str(folder / "kurir.db"), "NO_COLOR": "1", "COLUMNS": "200"}
    done = CliRunner().invoke(app, ["keys", *words], env=environment)
    assert "Traceback" not in done.output
    return done


def test_the_verbs_tell_ids_and_never_a_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "there is no database" in _run(tmp_path, "rotate").output

    async def fill() -> None:
        store = await _store("sqlite", tmp_path)()
        await _filled(store, tmp_path / "kurir.key")
        await store.close()

    asyncio.run(fill())
    first = read_key_file(tmp_path / "kurir.key")[0]
    said = [_run(tmp_path, word) for word in ("list", "rotate", "list", "drop-old", "drop-old", "list")]
    assert [one.exit_code for one in said] == [0] * 6, said
    assert re.search(rf"{SecretBox([first]).key_id} +4 +encrypts", said[0].output)
    assert "4 secrets encrypted anew" in said[1].output
    assert re.search(rf"{SecretBox([first]).key_id} +0", said[2].output)
    assert f"dropped: {SecretBox([first]).key_id}" in said[3].output
    assert "no old one" in said[4].output
    second = read_key_file(tmp_path / "kurir.key")[0]
    assert SecretBox([first]).key_id not in said[5].output
    for one in said:
        assert encode_key(first) not in one.output
        assert encode_key(second) not in one.output


def test_nothing_is_rotated_below_a_gateway_that_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def work() -> Result:
        store = await _store("sqlite", tmp_path)()
        try:
            await _filled(store, tmp_path / "kurir.key")
            return await asyncio.to_thread(_run, tmp_path, "rotate")
        finally:
            await store.close()

    refused = asyncio.run(work())
    assert refused.exit_code == 1
    assert len(read_key_file(tmp_path / "kurir.key")) == 1
