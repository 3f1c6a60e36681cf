"""From a file, the environment and the flags to a :class:`Configuration`, or one error with all problems."""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from kurir.channels.base import Channel
from kurir.configuration.clients import read_clients
from kurir.configuration.model import Configuration
from kurir.configuration.problems import ConfigError, ConfigProblem
from kurir.configuration.table import Reading, Table
from kurir.configuration.top import read_settings
from kurir.secretbox import KeySource
from kurir.settings import CONFIG_VARIABLE, SETTINGS, PostgresUrl

#: Read when nobody names another file, if it is there.
DEFAULT_FILE: Final = Path("kurir.toml")

#: More than any installation writes by hand; a wrong path (a database, a device) must not be read to its end.
_FILE_BYTES: Final = 16 * 1024 * 1024

_TOP_KEYS: Final = (*(setting.name for setting in SETTINGS), "clients")
_NO_FLAGS: Final[Mapping[str, object]] = {}


def load(
    path: Path | None,
    env: Mapping[str, str],
    flags: Mapping[str, object] = _NO_FLAGS,
    *,
    channels: Mapping[str, Channel],
) -> Configuration:
    """Read the configuration file and everything that it refers to.

    *path* is what ``--config`` named; without it ``KURIR_CONFIG`` counts, then ``kurir.toml`` if there is one, else
    there is no file and every setting comes from variables, flags and defaults. *flags* maps names of settings to what
    the command line gave, None where it gave nothing. Raises ConfigError with every problem found.
    """
    found = find_file(path, env)
    document = {} if found is None else _document(found)
    return parse(document, env, flags, channels=channels, path=found)


def parse(
    document: Mapping[str, object],
    env: Mapping[str, str],
    flags: Mapping[str, object] = _NO_FLAGS,
    *,
    channels: Mapping[str, Channel],
    path: Path | None = None,
) -> Configuration:
    """Return the configuration of a parsed TOML *document* that came from *path*. Raises ConfigError."""
    current_folder = Path.cwd()
    reading = Reading(
        "the configuration" if path is None else str(path),
        current_folder if path is None else Path(os.path.abspath(path)).parent,  # noqa: PTH100  keeps symbolic links
        env,
    )
    table = Table(reading, (), document, _TOP_KEYS, "the top level")
    settings = read_settings(table, flags, current_folder)
    clients = read_clients(table, channels)
    reading.finish()
    return Configuration(settings, clients, path)


def read_database(path: Path | None, env: Mapping[str, str], named: str | None = None) -> Path | PostgresUrl:
    """Return the database that *named* means, else KURIR_DATABASE, else the file, else the default; nothing else is read.

    So a verb that needs no secret works where none is mounted. Raises ConfigError.
    """
    found = None if named else find_file(path, env)
    return _read_only(("database",), found, env, named).settings.database


def read_keys(
    path: Path | None, env: Mapping[str, str], named: str | None = None
) -> tuple[Path | PostgresUrl, KeySource]:
    """Return the database and where its encryption key is; nothing else is read. Raises ConfigError."""
    settings = _read_only(("database", "encryption_key"), find_file(path, env), env, named).settings
    return settings.database, settings.encryption_key


def _read_only(names: Sequence[str], found: Path | None, env: Mapping[str, str], database: str | None) -> Configuration:
    document = {} if found is None else _document(found)
    variables = {name: value for name, value in env.items() if name in {f"KURIR_{one.upper()}" for one in names}}
    only = {name: value for name, value in document.items() if name in names}
    return parse(only, variables, {"database": database}, channels={}, path=found)


def find_file(path: Path | None, env: Mapping[str, str]) -> Path | None:
    """Return the configuration file that counts, None when there is none to read."""
    if path is not None:
        return path
    if env.get(CONFIG_VARIABLE):
        return Path(env[CONFIG_VARIABLE])
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def _document(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES + 1)
        if len(content) > _FILE_BYTES:
            raise _unreadable(path, "is too large for a configuration file")
        # Some editors begin a UTF-8 file with a byte order mark.
        return tomllib.loads(content.decode("utf-8-sig"))
    except FileNotFoundError:
        raise _unreadable(path, "there is no such file; `kurir config init` writes one") from None
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"is not text in UTF-8 (at byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(path, f"is not valid TOML: {_toml_sentence(str(error))}") from None
    except (ValueError, RecursionError):
        raise _unreadable(path, "is not valid TOML") from None


def _unreadable(path: Path, detail: str) -> ConfigError:
    return ConfigError(str(path), [ConfigProblem("", detail)])


def _toml_sentence(message: str) -> str:
    """Return *message* of tomllib with the place first. It quotes single characters at most, except a repeated key."""
    match = re.fullmatch(r"(.*) \(at (.*)\)", message, re.DOTALL)
    return f"{match[2]}: {match[1][:1].lower()}{match[1][1:]}" if match else message
