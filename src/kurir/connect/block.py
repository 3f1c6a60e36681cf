"""The account's table for the configuration file, and putting it there without touching anything else in it.

The table is added at the end of the file as text, so that comments and order stay. What came of it is read again before it
takes the file's place, which happens at once or not at all. What was there stays byte for byte: the marks at the ends of its
lines, which the table takes over, and a byte order mark. Secrets go into files of their own, readable by their owner.
"""

import json
import os
import stat
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

#: The folder for secrets, beside the configuration file.
FOLDER: Final = "secrets"
_MARK: Final = "\ufeff"


class NotWritten(Exception):
    """The configuration file was left as it was. The text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a secret is kept: in the environment variable, or in the file, whose path is relative to the configuration."""

    variable: str
    file: str


def place_of(account_id: str, key: str) -> Place:
    """Return where the secret *key* of an account is kept."""
    variable = f"{account_id}_{key}".upper().replace("-", "_")
    return Place(variable, f"{FOLDER}/{account_id}-{key.replace('_', '-')}")


def table(client_id: str, account: Mapping[str, str], secrets: Mapping[str, str], *, in_files: bool) -> str:
    """Return the account's table: its plain keys as they are, its secrets by where they are kept."""
    lines = [f"[[clients.{_key(client_id)}.accounts]]"]
    lines += [f"{key} = {_string(value)}" for key, value in account.items()]
    for key in secrets:
        where = place_of(account["id"], key)
        kept = f'{{ file = "{where.file}" }}' if in_files else f'{{ env = "{where.variable}" }}'
        lines.append(f"{key} = {kept}")
    return "\n".join(lines) + "\n"


def added(text: str, client_id: str, account_id: str, wanted: str) -> str:
    """Return the file's *text* with the table at its end; the table's lines end as the text's do. Raises NotWritten."""
    before = _parsed(text)
    client = before.get("clients", {}).get(client_id) if isinstance(before.get("clients"), dict) else None
    if not isinstance(client, dict):
        raise NotWritten(f"it has no client «{client_id}»: add [clients.{client_id}] with username and password first")
    for other in before["clients"].values():
        accounts = other.get("accounts") if isinstance(other, dict) else None
        if any(isinstance(one, dict) and one.get("id") == account_id for one in _list(accounts)):
            raise NotWritten(f"it has an account «{account_id}» already: change it there, or choose another --id")
    end = "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"
    whole = text if not text or text.endswith("\n") else text + end
    whole += end + wanted.replace("\n", end)
    try:
        after = tomllib.loads(whole.removeprefix(_MARK))
    except tomllib.TOMLDecodeError:
        raise NotWritten("its accounts are written in one line («accounts = […]»): put the table in by hand") from None
    last = _list(after["clients"][client_id].get("accounts"))[-1:]
    if not last or last[0].get("id") != account_id:
        raise NotWritten("the table would not stand where it belongs: put it in by hand")
    return whole


def write(
    path: Path, client_id: str, account: Mapping[str, str], secrets: Mapping[str, str], *, in_files: bool
) -> None:
    """Put the account's table into the configuration file at *path*, and its secrets into files where *in_files*.

    On return both are on disk. Raises NotWritten; then the configuration is as it was, and a secret may be there already,
    whole.
    """
    try:
        path = path.resolve()
        text = path.read_bytes().decode("utf-8")
        whole = added(text, client_id, account["id"], table(client_id, account, secrets, in_files=in_files))
        for key, value in secrets.items() if in_files else ():
            _keep(path.parent / place_of(account["id"], key).file, value)
        _replace(path, whole)
    except UnicodeDecodeError:
        raise NotWritten("it is not text in UTF-8") from None
    except FileNotFoundError:
        raise NotWritten("there is no such file; «kurir config init» writes one") from None
    except OSError as error:
        raise NotWritten(f"{error.filename or path}: {error.strerror}") from None


def _keep(path: Path, value: str) -> None:
    """Write a secret for its owner alone. One that is there and says the same is left, another one is never replaced."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if path.read_bytes().rstrip(b"\r\n") != value.encode():
            raise NotWritten(
                f"{path} is there and holds another secret: remove it first, or choose another --id"
            ) from None
        path.chmod(0o600)
    else:
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(value.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)  # what is cut would look like another secret at the next try
            raise
    _settle(path.parent)
    _settle(path.parent.parent)


def _replace(path: Path, text: str) -> None:
    """Put *text* in the place of the file at once, with the mode that it had."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _settle(path.parent)


def _settle(folder: Path) -> None:
    """Put the names in *folder* on disk: a file that was synced can lose its name to a power cut until then."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text.removeprefix(_MARK))
    except tomllib.TOMLDecodeError as error:
        raise NotWritten(f"it is not valid TOML: {error}") from None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() and name.isascii() else _string(name)


def _string(value: str) -> str:
    """Return a TOML string; what JSON escapes, TOML escapes in the same way, except for U+007F."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
