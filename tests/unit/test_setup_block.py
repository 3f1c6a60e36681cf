"""The account's table for the configuration file: what is written, what stays, and when nothing is."""

import os
import stat
import tomllib
from pathlib import Path

import pytest

from kurir.connect import block

FILE = """\
# the shop's gateway
listen = "127.0.0.1:8080"   # behind nginx

[clients.acme]   # our first client
username = "acme"
password = "p"

[[clients.acme.accounts]]
id = "acme-line"
channel = "line"
channel_access_token = "t"
channel_secret = "s"

[clients.other]
username = "other"
password = "p"
"""
ACCOUNT = {"id": "acme-tg", "channel": "telegram"}
SECRETS = {"token": "7001:x", "secret_token": "s3cret"}


def test_the_table_names_secrets_and_holds_none():
    assert block.table("acme", ACCOUNT, SECRETS, in_files=False) == (
        '[[clients.acme.accounts]]\nid = "acme-tg"\nchannel = "telegram"\n'
        'token = { env = "ACME_TG_TOKEN" }\nsecret_token = { env = "ACME_TG_SECRET_TOKEN" }\n'
    )
    assert 'token = { file = "secrets/acme-tg-token" }' in block.table("acme", ACCOUNT, SECRETS, in_files=True)


def test_strings_of_any_characters_are_read_back_as_they_are():
    value = 'a"b\\c\nd\x7f\x00é\U0001f44b'
    text = block.table('we"ird', {"id": "x", "api_base": value}, {}, in_files=False)
    assert tomllib.loads(text)["clients"]['we"ird']["accounts"] == [{"id": "x", "api_base": value}]


def test_writing_keeps_the_file_and_its_comments_and_keeps_secrets_for_the_owner(tmp_path):
    path = tmp_path / "kurir.toml"
    path.write_text(FILE, "utf-8")
    path.chmod(0o640)
    block.write(path, "acme", ACCOUNT, SECRETS, in_files=True)
    text = path.read_text("utf-8")
    assert text.startswith(FILE)
    accounts = tomllib.loads(text)["clients"]["acme"]["accounts"]
    assert [one["id"] for one in accounts] == ["acme-line", "acme-tg"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    secret = tmp_path / accounts[1]["token"]["file"]
    assert secret.read_text("utf-8") == "7001:x\n"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    assert "7001:x" not in text
    assert sorted(one.name for one in tmp_path.iterdir()) == ["kurir.toml", "secrets"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (FILE.replace("clients.acme", "clients.acne"), "no client"),
        (FILE.replace("acme-line", "acme-tg"), "already"),
        (FILE.replace("acme-line", "x") + '[[clients.other.accounts]]\nid = "acme-tg"\n', "already"),
        ('[clients.acme]\naccounts = [{ id = "x" }]\n', "in one line"),
        ("clients = 7\n", "no client"),
        ("= nonsense", "not valid TOML"),
    ],
)
def test_a_file_that_it_does_not_fit_in_is_left_as_it_was(tmp_path, text, reason):
    path = tmp_path / "kurir.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(block.NotWritten, match=reason):
        block.write(path, "acme", ACCOUNT, SECRETS, in_files=True)
    assert path.read_text("utf-8") == text
    assert [one.name for one in tmp_path.iterdir()] == ["kurir.toml"]


def test_another_secret_in_the_same_place_is_never_replaced(tmp_path):
    path = tmp_path / "kurir.toml"
    path.write_text(FILE, "utf-8")
    (tmp_path / "secrets").mkdir()
    kept = tmp_path / "secrets" / "acme-tg-token"
    kept.write_text("another\n", "utf-8")
    with pytest.raises(block.NotWritten, match="another secret"):
        block.write(path, "acme", ACCOUNT, SECRETS, in_files=True)
    assert kept.read_text("utf-8") == "another\n"
    assert path.read_text("utf-8") == FILE
    kept.write_text("7001:x\n", "utf-8")
    block.write(path, "acme", ACCOUNT, SECRETS, in_files=True)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(block.NotWritten, match="no such file"):
        block.write(tmp_path / "kurir.toml", "acme", ACCOUNT, SECRETS, in_files=True)


# --- byte for byte, and on disk -----------------------------------------------------------------------------------------

TABLE = block.table("acme", ACCOUNT, SECRETS, in_files=True).encode()


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_what_was_in_the_file_stays_byte_for_byte_and_the_table_takes_over_how_its_lines_end(tmp_path, mark, end, last):
    path = tmp_path / "kurir.toml"
    before = mark + FILE.encode().replace(b"\n", end)
    if not last:
        before = before.removesuffix(end)
    path.write_bytes(before)
    block.write(path, "acme", ACCOUNT, SECRETS, in_files=True)
    assert path.read_bytes() == before + (b"" if last else end) + end + TABLE.replace(b"\n", end)


def test_a_file_whose_lines_end_in_both_ways_gets_the_more_frequent_one(tmp_path):
    path = tmp_path / "kurir.toml"
    before = FILE.encode().replace(b"\n", b"\r\n", 1)
    path.write_bytes(before)
    block.write(path, "acme", ACCOUNT, SECRETS, in_files=True)
    assert path.read_bytes() == before + b"\n" + TABLE


def test_a_secret_in_another_coding_is_another_one_and_the_configuration_is_not_blamed(tmp_path):
    path = tmp_path / "kurir.toml"
    path.write_text(FILE, "utf-8")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "acme-tg-token").write_bytes(b"\xff\xfe7\x00")
    with pytest.raises(block.NotWritten, match="another secret"):
        block.write(path, "acme", ACCOUNT, SECRETS, in_files=True)


@pytest.mark.parametrize("again", [False, True])
def test_on_return_the_names_of_the_files_are_on_disk_too(tmp_path, monkeypatch, again):
    path = tmp_path / "kurir.toml"
    path.write_text(FILE, "utf-8")
    done: list[tuple[str, str]] = []
    sync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        done.append(("sync", Path(f"/proc/self/fd/{handle}").resolve().name))
        sync(handle)

    def replaced(self: Path, target: Path) -> Path:
        done.append(("replace", target.name))
        return replace(self, target)

    if again:  # the secrets are there already, of a try that did not get to its end
        block.write(path, "acme", ACCOUNT, SECRETS, in_files=True)
        path.write_text(FILE, "utf-8")
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    block.write(path, "acme", ACCOUNT, SECRETS, in_files=True)
    place = done.index(("replace", "kurir.toml"))
    assert {("sync", "secrets"), ("sync", tmp_path.name)} <= set(done[:place])
    assert ("sync", tmp_path.name) in done[place:]


def test_a_secret_that_could_not_be_written_leaves_no_cut_file_and_the_next_try_works(tmp_path, monkeypatch):
    path = tmp_path / "kurir.toml"
    path.write_text(FILE, "utf-8")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(block.NotWritten, match="No space left"):
        block.write(path, "acme", ACCOUNT, SECRETS, in_files=True)
    assert path.read_text("utf-8") == FILE
    assert list((tmp_path / "secrets").iterdir()) == []
    monkeypatch.undo()
    block.write(path, "acme", ACCOUNT, SECRETS, in_files=True)
    assert (tmp_path / "secrets" / "acme-tg-token").read_bytes() == b"7001:x\n"
