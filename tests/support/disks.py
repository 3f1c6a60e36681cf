"""Disks that misbehave, as apsw VFSes over the real files: one that loses power, one that fails.

``ForgetfulDisk`` keeps beside each file what would be on the platter: bytes get there by a sync of the file, a deletion by
a sync of the folder (which SQLite makes with the first sync of a new journal or WAL). At any moment ``remains`` tells what
a power cut would leave. ``FailingDisk`` raises at a write or sync of one's choice.
"""

import random
from collections.abc import Callable
from itertools import count
from pathlib import Path

import apsw

#: What a disk writes as a whole, at least.
SECTOR = 512

_names = count(1)


def _path(name) -> str:
    return name.filename() if isinstance(name, apsw.URIFilename) else name


class _Platter:
    """What of one file is on the platter, and its changes since the last sync: (offset, bytes), or a size to cut to.

    A deletion is a cut to nothing: an empty journal or WAL is as good as none.
    """

    def __init__(self) -> None:
        self.durable = bytearray()
        self.pending: list[tuple[int, bytes] | int] = []
        self.deletion: int | None = None

    def delete(self) -> None:
        self.deletion = len(self.pending)
        self.pending.append(0)

    def sync(self) -> None:
        for change in self.pending:
            self.durable = _changed(self.durable, change)
        self.pending.clear()
        self.deletion = None

    def sync_folder(self) -> None:
        if self.deletion is not None:
            self.durable = bytearray()
            del self.pending[: self.deletion + 1]
            self.deletion = None

    def torn(self, chance: random.Random) -> bytes:
        """What is left when each unsynced sector, and each cut, had an even chance."""
        content = bytearray(self.durable)
        for change in self.pending:
            if isinstance(change, int):
                if chance.random() < 0.5:
                    content = _changed(content, change)
                continue
            offset, data = change
            while data:
                step = min(len(data), SECTOR - offset % SECTOR)
                if chance.random() < 0.5:
                    content = _changed(content, (offset, data[:step]))
                offset, data = offset + step, data[step:]
        return bytes(content)


def _changed(content: bytearray, change: tuple[int, bytes] | int) -> bytearray:
    if isinstance(change, int):
        return content[:change]
    offset, data = change
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data
    return content


class ForgetfulDisk(apsw.VFS):
    """A disk whose power may be cut. ``before_change`` is called before each write, sync, cut to size and deletion."""

    def __init__(self) -> None:
        self.name = f"forgetful-{next(_names)}"
        super().__init__(self.name, "")
        self.platters: dict[str, _Platter] = {}
        self.before_change: Callable[[], None] = lambda: None

    def remains(self, chance: random.Random | None = None) -> dict[str, bytes]:
        """What a power cut leaves of each file; with *chance*, some of what was not synced is left too."""
        return {
            name: bytes(platter.durable) if chance is None else platter.torn(chance)
            for name, platter in self.platters.items()
        }

    def xOpen(self, name, flags):
        path = _path(name)
        platter = self.platters.setdefault(path, _Platter()) if path else _Platter()
        return _ForgetfulFile(self, platter, name, flags)

    def xDelete(self, filename, syncdir):
        self.before_change()
        super().xDelete(filename, syncdir)
        platter = self.platters.get(filename)
        if platter is not None:
            platter.delete()
        if syncdir:
            self.sync_folder()

    def sync_folder(self) -> None:
        for platter in self.platters.values():
            platter.sync_folder()


class _ForgetfulFile(apsw.VFSFile):
    def __init__(self, disk: ForgetfulDisk, platter: _Platter, name, flags) -> None:
        self._disk, self._platter = disk, platter
        self._folder_is_synced = not flags[0] & (apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL)
        super().__init__("", name, flags)

    def xWrite(self, data, offset):
        self._disk.before_change()
        super().xWrite(data, offset)
        self._platter.pending.append((offset, bytes(data)))

    def xTruncate(self, newsize):
        self._disk.before_change()
        super().xTruncate(newsize)
        self._platter.pending.append(newsize)

    def xSync(self, flags):
        self._disk.before_change()
        super().xSync(flags)
        self._platter.sync()
        if not self._folder_is_synced:
            self._disk.sync_folder()
            self._folder_is_synced = True


class FailingDisk(apsw.VFS):
    """A disk that fails while ``broken`` says so. ``broken(operation, path)`` returns the exception to raise, or None.

    Operations are ``write``, ``sync``, ``truncate`` and ``open``.
    """

    def __init__(self) -> None:
        self.name = f"failing-{next(_names)}"
        super().__init__(self.name, "")
        self.broken: Callable[[str, str], Exception | None] = lambda _operation, _path: None
        self.happened = 0

    def check(self, operation: str, path: str) -> None:
        error = self.broken(operation, path)
        if error is not None:
            self.happened += 1
            raise error

    def xOpen(self, name, flags):
        self.check("open", _path(name) or "")
        return _FailingFile(self, name, flags)

    def excepthook(self, *_: object) -> None:
        """The exceptions are ours: nobody needs to see them printed."""


class _FailingFile(apsw.VFSFile):
    def __init__(self, disk: FailingDisk, name, flags) -> None:
        self._disk, self._path = disk, _path(name) or ""
        super().__init__("", name, flags)

    def xWrite(self, data, offset):
        self._disk.check("write", self._path)
        super().xWrite(data, offset)

    def xTruncate(self, newsize):
        self._disk.check("truncate", self._path)
        super().xTruncate(newsize)

    def xSync(self, flags):
        self._disk.check("sync", self._path)
        super().xSync(flags)

    def excepthook(self, *_: object) -> None:
        """As above."""


def full() -> Exception:
    """The disk has no room."""
    return apsw.exception_for(apsw.SQLITE_FULL)


def io_error(extended: int) -> Exception:
    """An I/O error with its extended code."""
    return apsw.exception_for(extended)


def lay_out(remains: dict[str, bytes], folder: Path) -> Path:
    """Write what a power cut left into *folder*, and return the path of the database."""
    database = None
    for name, content in remains.items():
        path = folder / Path(name).name
        if content:
            path.write_bytes(content)
        if not name.endswith(("-wal", "-journal", "-shm")):
            database = path
    if database is None:
        raise AssertionError("no database was ever opened")
    return database
