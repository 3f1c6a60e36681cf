"""The folder of files that came in and are kept (``inbound_media = "keep"``).

A file is two: its bytes, and a description beside them (``….json``) that is written last. So a file is kept exactly when
its description is there, and whoever dies in between leaves bytes that the next fetch replaces. What will never be kept,
since the platform does not give it any more, has a description alone. Both get a name of their own first, are written
through to the disk, and are then renamed.

A file's name is the digest of whose it is and of the platform's handle: it tells nobody anything, and a folder that
outlives its database serves no file for another one. Beside the files, ``marks.json`` tells up to which event of each account
everything is settled. Whatever this module does blocks: call it in a thread.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from kurir.store.feed import EventRecord

_T = TypeVar("_T")

#: The name of the folder, in the folder of the database.
FOLDER: Final = "media"
_PART: Final = ".part"
_ABOUT: Final = ".json"
_MARKS: Final = "marks.json"


class ShelfTrouble(Exception):
    """The disk does not take it: it is full, or read-only, or broken. No OSError, which downloads take for the network's."""


class NoRoom(Exception):
    """The kept files would be more than ``inbound_media_space`` allows."""


class Shelved(StrEnum):
    """What became of a file: it is there, the platform does not give it any more, or the gateway left it out."""

    KEPT = "kept"
    GONE = "gone"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a file. ``size`` in bytes; ``at``: RFC 3339, when it was settled; ``why`` it is not there."""

    client_id: str
    account_id: str
    position: int
    number: int
    state: Shelved
    at: str
    mime_type: str = ""
    name: str = ""
    size: int = 0
    why: str = ""


def key_of(event: EventRecord, number: int) -> str:
    """Return the key of the *number*-th file of *event*, from 0: 64 hexadecimal digits."""
    head = f"{event.account_id}\0{event.position}\0{number}\0".encode()
    return hashlib.sha256(head + (event.media or b"")).hexdigest()


class Draft:
    """A file that is being written. It takes room until it is put away or dropped."""

    def __init__(self, shelf: "Shelf", key: str) -> None:
        self._shelf = shelf
        self._path = shelf.path(key)
        self._part = self._path.with_name(self._path.name + _PART)
        self._file: BinaryIO | None = None
        self.key = key
        self.size = 0

    def write(self, piece: bytes) -> None:
        """Add *piece*. Raises NoRoom or ShelfTrouble."""
        self._shelf.take_room(len(piece))
        self.size += len(piece)
        _on_disk(lambda: self._open().write(piece))

    def put(self, about: About) -> None:
        """Put the file on the shelf under its key. On return it is durable with *about*. Raises ShelfTrouble."""
        _on_disk(self._sync)
        self._shelf.drop_bytes(self.key)  # of a process that died before it could describe them
        _on_disk(lambda: _rename(self._part, self._path))
        try:
            self._shelf.describe(self.key, about)
        except ShelfTrouble:
            with suppress(OSError):
                self._path.unlink()
            raise

    def drop(self) -> None:
        """Forget the file and give its room back."""
        if self._file is not None:
            with suppress(OSError):  # what could not be written may fail once more when it is closed
                self._file.close()
            self._file = None
        with suppress(OSError):
            self._part.unlink(missing_ok=True)
        self._shelf.give_room(self.size)
        self.size = 0

    def _open(self) -> BinaryIO:
        if self._file is None:
            self._shelf.make(self._path.parent)
            self._file = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        return self._file

    def _sync(self) -> None:
        file = self._open()  # also of a file without a byte
        file.flush()
        os.fsync(file.fileno())
        file.close()
        self._file = None


class Shelf:
    """The folder. *space* is how many bytes the files in it may have together; descriptions are not counted."""

    def __init__(self, folder: Path, space: int) -> None:
        self._folder = folder
        self._space = space
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """The bytes of all files, with those that are being written."""
        return self._used

    def open(self) -> None:
        """Count what lies there, and remove what an earlier process did not finish. Raises ShelfTrouble."""
        _on_disk(self._count)

    def path(self, key: str) -> Path:
        """Return where the bytes of a file are, or would be."""
        return self._folder / key[:2] / key[2:]

    def find(self, key: str) -> About | None:
        """Return what is known of a file; None where it is not settled, or its bytes are not what they were."""
        path = self.path(key)
        try:
            about = _read(path.with_name(path.name + _ABOUT))
            whole = about is not None and (about.state is not Shelved.KEPT or path.stat().st_size == about.size)
        except OSError:
            return None
        return about if whole else None

    def draft(self, key: str) -> Draft:
        """Begin a file."""
        return Draft(self, key)

    def describe(self, key: str, about: About) -> None:
        """Settle a file; its bytes, if there are any, are there already. Durable on return. Raises ShelfTrouble."""
        path = self.path(key)

        def write() -> None:
            self.make(path.parent)
            _replace(path.with_name(path.name + _ABOUT), asdict(about))

        _on_disk(write)

    def delete(self, key: str) -> None:
        """Delete a file, its description last, so that what is interrupted is found again. Raises ShelfTrouble."""
        path = self.path(key)
        self.drop_bytes(key)
        _on_disk(lambda: path.with_name(path.name + _ABOUT).unlink(missing_ok=True))

    def drop_bytes(self, key: str) -> None:
        """Delete the bytes of a file, if there are any. Raises ShelfTrouble."""
        path = self.path(key)

        def unlink() -> None:
            with suppress(FileNotFoundError):
                size = path.stat().st_size
                path.unlink()
                self.give_room(size)

        _on_disk(unlink)

    def all(self) -> Iterator[tuple[str, About]]:
        """Yield every file that is settled."""
        for path in self._folder.glob(f"??/*{_ABOUT}"):
            try:
                about = _read(path)
            except OSError:
                continue  # deleted meanwhile
            if about is not None:
                yield path.parent.name + path.name.removesuffix(_ABOUT), about

    def marks(self) -> dict[str, int]:
        """Return, by account, up to which position its files are settled; {} where that was never written, or is damaged."""
        try:
            found = json.loads((self._folder / _MARKS).read_bytes())
            return {name: int(mark) for name, mark in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def set_marks(self, marks: Mapping[str, int]) -> None:
        """Keep the marks. Durable on return. Raises ShelfTrouble."""

        def write() -> None:
            self.make(self._folder)
            _replace(self._folder / _MARKS, dict(marks))

        _on_disk(write)

    def make(self, folder: Path) -> None:
        """Make *folder*, durably, for the gateway's own user alone. Raises OSError."""
        for one in (self._folder, folder):
            if not one.is_dir():
                one.mkdir(mode=0o700, exist_ok=True)
                _sync_folder(one.parent)

    def take_room(self, size: int) -> None:
        """Count *size* bytes more. Raises NoRoom; then none are counted."""
        with self._lock:
            if self._used + size > self._space:
                raise NoRoom
            self._used += size

    def give_room(self, size: int) -> None:
        """Count *size* bytes less."""
        with self._lock:
            self._used -= size

    def _count(self) -> None:
        used = 0
        for path in self._folder.glob("??/*"):
            if path.name.endswith(_PART):
                path.unlink(missing_ok=True)
            elif not path.name.endswith(_ABOUT):
                used += path.stat().st_size
        self._used = used


def _read(path: Path) -> About | None:
    """Return a description, None where it cannot be read as one. Raises OSError."""
    try:
        found = json.loads(path.read_bytes())
        return About(**{**found, "state": Shelved(found["state"])})
    except (ValueError, TypeError, KeyError):
        return None


def _replace(path: Path, value: object) -> None:
    part = path.with_name(path.name + _PART)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
        file.flush()
        os.fsync(file.fileno())
    _rename(part, path)


def _rename(part: Path, path: Path) -> None:
    part.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _on_disk(work: Callable[[], _T]) -> _T:
    try:
        return work()
    except OSError as error:
        raise ShelfTrouble(error.strerror or type(error).__name__) from error
