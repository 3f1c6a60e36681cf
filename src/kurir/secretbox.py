"""Secrets at rest: AES-256-GCM under a key that does not lie in the database.

Platform tokens and callback secrets are sealed before the store sees them. A sealed value carries the id of its key, so
that a key can be replaced while values of the old one are still read; and it is bound to the row that it belongs to
(*about*), so that nobody who can write to the database can move one tenant's token into another tenant's row.

A lost or wrong key must stop the start with a sentence, not show as a hundred unreadable accounts. So a known value is
sealed into the database's meta table (:meth:`SecretBox.check`), and a missing key file is only made for a database that
was never sealed (:func:`open_box`).
"""

import base64
import binascii
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
#: Said wherever a key is expected and something else was found.
KEY_FORM: Final = "32 random bytes as base64 or hex, such as `openssl rand -base64 32` prints"

# A sealed value: one byte of format, the key's id, the nonce, then ciphertext and tag.
_FORMAT: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_HEAD: Final = len(_FORMAT) + _KEY_ID_BYTES + _NONCE_BYTES

_CHECK_META: Final = "encryption_check"
_CHECK_ABOUT: Final = "meta:encryption_check"
_CHECK_VALUE: Final = b"kurir can read its secrets"

_log = structlog.get_logger(__name__)


class EncryptionKeyError(Exception):
    """The encryption key is malformed, lost, or not the one that the database was sealed with."""


class SealError(Exception):
    """A sealed value cannot be opened: an unknown key, another row's value, or a damaged one."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The key lies in a file, which is made when it is absent and the database is new."""

    path: Path


@dataclass(frozen=True, slots=True)
class KeyValue:
    """The key itself, the newest first, where older ones are still needed for reading."""

    keys: tuple[bytes, ...] = field(repr=False)


KeySource: TypeAlias = KeyFile | KeyValue


class MetaStore(Protocol):
    """The two methods of the store that the check needs."""

    async def meta(self, key: str) -> str | None:
        """Return a value of the installation, None when it is not set."""
        ...

    async def set_meta(self, key: str, value: str, was: str | None = None) -> str:
        """Set a value of the installation where it is not set, or is *was*, and return the value that it has then."""
        ...


class SecretBox:
    """Seals with the first key, opens with any. Safe to share between threads."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise EncryptionKeyError(f"The encryption key must be {KEY_FORM}.")
        self._keys = tuple(keys)
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._first = _key_id(keys[0])

    @property
    def key_id(self) -> str:
        """The id of the key that seals, in hex. It tells keys apart and says nothing about them."""
        return self._first.hex()

    def seal(self, plaintext: bytes, *, about: str) -> bytes:
        """Encrypt *plaintext* for the row *about*. Two calls never give the same bytes."""
        nonce = os.urandom(_NONCE_BYTES)
        head = _FORMAT + self._first
        return head + nonce + self._ciphers[self._first].encrypt(nonce, plaintext, head + about.encode())

    def open(self, sealed: bytes, *, about: str) -> bytes:
        """Decrypt what :meth:`seal` gave for the same *about*. Raises SealError."""
        cipher = self._ciphers.get(_key_id_of(sealed))
        if sealed[:1] != _FORMAT or cipher is None:
            raise SealError(f"{about} was sealed with the unknown key {key_id_of(sealed)}.")
        try:
            return cipher.decrypt(
                sealed[_HEAD - _NONCE_BYTES : _HEAD], sealed[_HEAD:], sealed[: _HEAD - _NONCE_BYTES] + about.encode()
            )
        except (InvalidTag, ValueError):
            raise SealError(f"{about} cannot be opened: the value is damaged, or it is another row's.") from None

    def derive(self, purpose: str) -> tuple[bytes, ...]:
        """Return a key of 32 bytes for *purpose* from each key of the box, the newest first (HKDF, RFC 5869)."""
        return tuple(
            HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose.encode()).derive(key)
            for key in self._keys
        )

    def is_current(self, sealed: bytes) -> bool:
        """Return whether *sealed* was sealed with the first key; otherwise it is due to be sealed anew."""
        return sealed[:1] == _FORMAT and _key_id_of(sealed) == self._first

    async def is_checked(self, store: MetaStore) -> bool:
        """Return whether the database says that it was sealed with the first key."""
        stored = await store.meta(_CHECK_META)
        return stored is not None and self.is_current(_stored_bytes(stored))

    async def check(self, store: MetaStore) -> None:
        """Make sure that this box opens what the database holds. Raises EncryptionKeyError, saying what to do.

        A new database gets the known value sealed with the first key; so does one sealed with an older key. Of several
        processes that start at once, with different keys, one does that, and the others see it.
        """
        mine = base64.b64encode(self.seal(_CHECK_VALUE, about=_CHECK_ABOUT)).decode()
        stored = await store.meta(_CHECK_META)
        while stored != mine:
            if stored is not None:
                sealed = _stored_bytes(stored)
                try:
                    self.open(sealed, about=_CHECK_ABOUT)
                except SealError:
                    raise EncryptionKeyError(
                        f"The encryption key is not the one that this database was sealed with: the database has key id "
                        f"{key_id_of(sealed)}, the key given has {self.key_id}. Put the right key back (from your backup); "
                        f"without it the platform tokens in this database cannot be read."
                    ) from None
                if self.is_current(sealed):
                    return
            stored = await store.set_meta(_CHECK_META, mine, stored)


async def open_box(source: KeySource, store: MetaStore) -> SecretBox:
    """Return the box for an opened *store*, checked. Makes an absent key file for a database that was never sealed.

    Raises EncryptionKeyError. On return a key file that was made is durable, and the log says so.
    """
    if isinstance(source, KeyFile):
        keys = read_key_file(source.path)
        if not keys:
            keys = await _make_for_new_database(source.path, store)
    else:
        keys = source.keys
    box = SecretBox(keys)
    await box.check(store)
    return box


def new_key() -> bytes:
    """Return a new random key."""
    return secrets.token_bytes(KEY_BYTES)


def encode_key(key: bytes) -> str:
    """Return *key* in the form in which files and variables hold it."""
    return base64.urlsafe_b64encode(key).decode()


def parse_keys(text: str) -> tuple[bytes, ...]:
    """Return the keys in *text*, the newest first: one a line or separated by blanks or commas; # begins a comment.

    Raises EncryptionKeyError, never showing what it was given.
    """
    words = [word for line in text.splitlines() for word in re.split(r"[\s,]+", line.split("#", 1)[0]) if word]
    if not words:
        raise EncryptionKeyError(f"There is no encryption key: expected {KEY_FORM}.")
    return tuple(_parse_key(word) for word in words)


def read_key_file(path: Path) -> tuple[bytes, ...]:
    """Return the keys in the file at *path*, () when there is no file. Raises EncryptionKeyError."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise EncryptionKeyError(f"The key file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise EncryptionKeyError(f"The key file {path} is not text: expected {KEY_FORM}.") from None
    try:
        return parse_keys(text)
    except EncryptionKeyError as error:
        raise EncryptionKeyError(f"The key file {path} cannot be used. {error}") from None


def make_key_file(path: Path) -> bytes:
    """Write a new key to *path*, readable by its owner only, and return it. Raises FileExistsError, OSError."""
    key = new_key()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(encode_key(key) + "\n")
        file.flush()
        os.fsync(file.fileno())
    # The name must survive a power cut as well: what is sealed next is worth nothing without this file.
    _sync_folder(path.parent)
    return key


def write_key_file(path: Path, text: str) -> None:
    """Put *text* in the place of the key file at *path*, whole or not at all. Durable on return. Raises OSError.

    The new file has the owner and the permissions of the old one, so that who could read that reads this one.
    """
    path = path.resolve()  # not the link to it
    known, part = path.stat(), path.with_name(f"{path.name}.new")
    part.unlink(missing_ok=True)  # of a run that was killed
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if (known.st_uid, known.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(file.fileno(), known.st_uid, known.st_gid)
        os.fchmod(file.fileno(), stat.S_IMODE(known.st_mode))
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    _sync_folder(path.parent)


def key_id_of(sealed: bytes) -> str:
    """Return the id of the key that *sealed* was sealed with, in hex, or ``unknown`` for what is no sealed value."""
    return _key_id_of(sealed).hex() if sealed[:1] == _FORMAT and len(sealed) > _HEAD else "unknown"


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


async def _make_for_new_database(path: Path, store: MetaStore) -> tuple[bytes, ...]:
    stored = await store.meta(_CHECK_META)
    if stored is not None:
        raise EncryptionKeyError(
            f"There is no key file at {path}, but this database was sealed with the key "
            f"{key_id_of(_stored_bytes(stored))}. Put the file back (from your backup); without it the platform tokens "
            f"in this database cannot be read."
        )
    try:
        key = make_key_file(path)
    except FileExistsError:
        # Another process made it between our look and our write.
        return read_key_file(path)
    except OSError as error:
        raise EncryptionKeyError(f"The key file {path} cannot be made: {error.strerror}.") from None
    _log.warning(
        "encryption key made",
        path=str(path),
        advice="Back this file up apart from the database. Without it the stored platform tokens cannot be read.",
    )
    return (key,)


def _stored_bytes(stored: str) -> bytes:
    try:
        return base64.b64decode(stored, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _parse_key(word: str) -> bytes:
    if re.fullmatch(r"[0-9A-Fa-f]{64}", word):
        return bytes.fromhex(word)
    standard = word.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        key = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise EncryptionKeyError(f"Expected {KEY_FORM}; found {len(word)} characters that are no such key.")
    return key


def _key_id(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=_KEY_ID_BYTES, person=b"kurir-key-id").digest()


def _key_id_of(sealed: bytes) -> bytes:
    return sealed[len(_FORMAT) : len(_FORMAT) + _KEY_ID_BYTES]
