"""Secrets at rest: what a box opens, what it refuses, and how keys are found, made, replaced and missed."""

import asyncio
import base64
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from kurir import secretbox
from kurir.secretbox import (
    EncryptionKeyError,
    KeyFile,
    KeyValue,
    SealError,
    SecretBox,
    encode_key,
    key_id_of,
    make_key_file,
    new_key,
    open_box,
    parse_keys,
    read_key_file,
)

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))


class MemoryMeta:
    """The two methods of the store that the check needs."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.writes = 0

    async def meta(self, key: str) -> str | None:
        return self.values.get(key)

    async def set_meta(self, key: str, value: str, was: str | None = None) -> str:
        if self.values.get(key, was) != was:
            return self.values[key]
        self.writes += 1
        self.values[key] = value
        return value


# --- sealing ----------------------------------------------------------------------------------------------------------


@given(plaintext=st.binary(max_size=500), about=st.text(max_size=50))
def test_what_is_sealed_opens_for_the_same_row_only(plaintext, about):
    box = SecretBox([KEY])
    sealed = box.seal(plaintext, about=about)
    assert box.open(sealed, about=about) == plaintext
    with pytest.raises(SealError):
        box.open(sealed, about=about + "x")


def test_the_plaintext_is_not_in_the_sealed_value_and_no_two_are_equal():
    box = SecretBox([KEY])
    first, second = (box.seal(b"EAAG-token", about="account:acme:wa") for _ in range(2))
    assert first != second
    assert b"EAAG-token" not in first


@given(position=st.integers(0, 60), bit=st.integers(0, 7))
def test_a_damaged_value_does_not_open(position, bit):
    box = SecretBox([KEY])
    sealed = bytearray(box.seal(b"a" * 40, about="row"))
    sealed[position] ^= 1 << bit
    with pytest.raises(SealError):
        box.open(bytes(sealed), about="row")


@given(garbage=st.binary(max_size=80))
def test_what_was_never_sealed_does_not_open(garbage):
    with pytest.raises(SealError):
        SecretBox([KEY]).open(garbage, about="row")


@pytest.mark.parametrize("size", range(40))
def test_a_shortened_value_does_not_open(size):
    box = SecretBox([KEY])
    with pytest.raises(SealError):
        box.open(box.seal(b"a" * 40, about="row")[:size], about="row")


def test_another_key_does_not_open_and_is_named_by_its_id():
    sealed = SecretBox([OTHER]).seal(b"x", about="account:acme:wa")
    with pytest.raises(SealError, match=f"account:acme:wa was sealed with the unknown key {SecretBox([OTHER]).key_id}"):
        SecretBox([KEY]).open(sealed, about="account:acme:wa")


def test_an_older_key_reads_while_the_newest_seals():
    old = SecretBox([OTHER]).seal(b"x", about="row")
    box = SecretBox([KEY, OTHER])
    assert box.open(old, about="row") == b"x"
    assert not box.is_current(old)
    assert box.is_current(box.seal(b"x", about="row"))
    assert not box.is_current(b"")
    assert key_id_of(old) == SecretBox([OTHER]).key_id
    assert key_id_of(b"nothing") == "unknown"


@pytest.mark.parametrize("keys", [[], [b"short"], [KEY, b""]])
def test_a_box_needs_whole_keys(keys):
    with pytest.raises(EncryptionKeyError, match="must be 32 random bytes"):
        SecretBox(keys)


# --- keys as text -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        KEY.hex(),
        KEY.hex().upper(),
        base64.b64encode(b"\xff" * 32).decode(),
        base64.urlsafe_b64encode(b"\xff" * 32).decode().rstrip("="),
        encode_key(KEY) + "\n",
    ],
)
def test_keys_are_base64_or_hex(text):
    assert parse_keys(text) in {(KEY,), (b"\xff" * 32,)}


def test_several_keys_stand_on_lines_or_are_separated():
    text = f"# the new one\n{encode_key(KEY)}  # made in May\n\n{OTHER.hex()}\n"
    assert parse_keys(text) == (KEY, OTHER)
    assert parse_keys(f"{KEY.hex()},{OTHER.hex()}") == (KEY, OTHER)


@pytest.mark.parametrize("text", ["passphrase", "ab" * 31, "!" * 44, encode_key(KEY)[:-6], "é" * 44])
def test_anything_else_is_refused_without_being_shown(text):
    with pytest.raises(EncryptionKeyError, match="Expected 32 random bytes as base64 or hex") as caught:
        parse_keys(text)
    assert text not in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n", "# nothing"])
def test_no_key_is_refused(text):
    with pytest.raises(EncryptionKeyError, match="There is no encryption key"):
        parse_keys(text)


def test_a_source_does_not_show_its_keys():
    assert str(KEY) not in repr(KeyValue((KEY,)))


# --- the key file -----------------------------------------------------------------------------------------------------


def test_a_key_file_is_made_for_its_owner_only_and_read_back(tmp_path):
    path = tmp_path / "kurir.key"
    key = make_key_file(path)
    assert read_key_file(path) == (key,)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        make_key_file(path)


def test_an_absent_key_file_is_no_mistake_by_itself(tmp_path):
    assert read_key_file(tmp_path / "kurir.key") == ()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"\xff", "is not text"), (b"passphrase", "cannot be used. Expected 32"), (b"", "cannot be used. There is no")],
)
def test_a_key_file_that_holds_no_key_is_refused(tmp_path, content, sentence):
    path = tmp_path / "kurir.key"
    path.write_bytes(content)
    with pytest.raises(EncryptionKeyError, match=f"The key file {path} {sentence}"):
        read_key_file(path)


def test_a_key_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(EncryptionKeyError, match="cannot be read: Is a directory"):
        read_key_file(tmp_path)


# --- starting ---------------------------------------------------------------------------------------------------------


async def test_a_new_database_gets_a_key_file_and_the_log_says_so(tmp_path):
    path = tmp_path / "kurir.key"
    store = MemoryMeta()
    with capture_logs() as logs:
        box = await open_box(KeyFile(path), store)
    assert [(entry["event"], entry["path"]) for entry in logs] == [("encryption key made", str(path))]
    assert path.read_text("ascii").strip() not in str(logs)
    again = await open_box(KeyFile(path), store)
    assert again.key_id == box.key_id
    assert store.writes == 1


async def test_a_lost_key_file_stops_the_start_and_no_new_one_is_made(tmp_path):
    path = tmp_path / "kurir.key"
    store = MemoryMeta()
    box = await open_box(KeyFile(path), store)
    path.unlink()
    with pytest.raises(EncryptionKeyError, match=f"no key file at {path}.*sealed with the key {box.key_id}.*backup"):
        await open_box(KeyFile(path), store)
    assert not path.exists()


async def test_a_wrong_key_stops_the_start_with_both_ids():
    store = MemoryMeta()
    await open_box(KeyValue((KEY,)), store)
    with pytest.raises(EncryptionKeyError) as caught:
        await open_box(KeyValue((OTHER,)), store)
    assert SecretBox([KEY]).key_id in str(caught.value)
    assert SecretBox([OTHER]).key_id in str(caught.value)
    assert store.writes == 1


@pytest.mark.parametrize("stored", ["", "garbage!", base64.b64encode(b"\x01" * 60).decode()])
async def test_a_damaged_check_stops_the_start(stored):
    store = MemoryMeta()
    store.values["encryption_check"] = stored
    with pytest.raises(EncryptionKeyError, match="is not the one that this database was sealed with"):
        await open_box(KeyValue((KEY,)), store)


async def test_after_a_rotation_the_new_key_alone_is_enough():
    store = MemoryMeta()
    await open_box(KeyValue((OTHER,)), store)
    await open_box(KeyValue((KEY, OTHER)), store)
    await open_box(KeyValue((KEY,)), store)
    with pytest.raises(EncryptionKeyError):
        await open_box(KeyValue((OTHER,)), store)


@pytest.mark.parametrize("before", [(), (OTHER,)])
async def test_of_two_processes_that_start_at_once_with_different_keys_one_does(before):
    """Also where both keys are to replace the one that the database was sealed with."""

    class SlowMeta(MemoryMeta):
        async def meta(self, key: str) -> str | None:
            found = await super().meta(key)
            await asyncio.sleep(0)  # both look before one of them writes
            return found

    store = SlowMeta()
    if before:
        await open_box(KeyValue(before), store)
    sources = [KeyValue((bytes([first]) * 32, *before)) for first in (1, 2)]
    found = await asyncio.gather(*(open_box(one, store) for one in sources), return_exceptions=True)
    assert [type(one) for one in found] == [SecretBox, EncryptionKeyError]
    again = await open_box(sources[0], store)
    assert again.key_id == found[0].key_id


async def test_a_key_file_made_by_another_process_meanwhile_is_used(tmp_path, monkeypatch):
    path = tmp_path / "kurir.key"
    reads = iter([(), (KEY,)])
    path.write_text(encode_key(KEY), "ascii")
    monkeypatch.setattr(secretbox, "read_key_file", lambda _: next(reads))
    assert (await open_box(KeyFile(path), MemoryMeta())).key_id == SecretBox([KEY]).key_id


async def test_a_key_file_that_cannot_be_made_stops_the_start(tmp_path):
    with pytest.raises(EncryptionKeyError, match="cannot be made: No such file or directory"):
        await open_box(KeyFile(tmp_path / "no" / "kurir.key"), MemoryMeta())


def test_new_keys_are_whole_and_differ():
    assert len(new_key()) == 32
    assert new_key() != new_key()
