"""Reading TOML tables key by key, going on after a mistake, so that one start tells all of them.

A key that is wrong gives its default (or a placeholder) to the reader, and a problem to the collector. Nothing that was
read may be used before :meth:`Reading.finish` found the collector empty.
"""

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path as FilePath
from typing import Final, TypeVar

from kurir.configuration.problems import (
    ConfigError,
    ConfigProblem,
    Path,
    WrongItemsError,
    WrongValueError,
    dotted,
    suggestion,
    wrong,
)
from kurir.configuration.values import secret_text

_T = TypeVar("_T")

REFERENCE_FORM: Final = 'a string, { env = "NAME" } or { file = "path" }'
_SECRET_FILE_BYTES: Final = 65_536
#: Only a name of this form is repeated in a message; anything else may be a secret at the wrong place.
_SHOWN_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")


class Reading:
    """What one reading of a configuration needs and collects. ``folder`` is what relative paths are relative to."""

    def __init__(self, source: str, folder: FilePath, env: Mapping[str, str]) -> None:
        self.source = source
        self.folder = folder
        self.env = env
        self._problems: list[ConfigProblem] = []

    def report(self, path: Path, detail: str) -> None:
        """Collect a problem."""
        self._problems.append(ConfigProblem(dotted(path), detail))

    def attempt(self, path: Path, value: object, read: Callable[[object], _T], default: _T) -> _T:
        """Return what *read* makes of *value*; *default* when it is wrong, which is reported at *path*."""
        try:
            return read(value)
        except WrongItemsError as error:
            for position, detail in error.items:
                self.report((*path, position), detail)
        except WrongValueError as error:
            self.report(path, str(error))
        return default

    def finish(self) -> None:
        """Raise ConfigError if there was any problem."""
        if self._problems:
            raise ConfigError(self.source, self._problems)

    def resolve(self, value: object) -> object:
        """Return what a reference to a variable or a file stands for; anything else comes back as it is.

        The newlines at the end of a file are dropped. Raises WrongValueError.
        """
        if not isinstance(value, Mapping):
            return value
        match dict(value):
            case {"env": str(name), **rest} if not rest:
                return self._variable(name)
            case {"file": str(name), **rest} if not rest:
                return self._file(name)
        raise WrongValueError(f"expected {REFERENCE_FORM}, got another table")

    def path(self, text: str) -> FilePath:
        """Return the path that *text* names, seen from the configuration file. Raises WrongValueError."""
        try:
            return self.folder / FilePath(text).expanduser()
        except (RuntimeError, ValueError):
            raise WrongValueError("expected the path of a file") from None

    def _variable(self, name: str) -> str:
        value = self.env.get(name)
        if value:
            return value
        spoken = f"the environment variable {name}" if _SHOWN_VARIABLE.fullmatch(name) else "its environment variable"
        raise WrongValueError(f"{spoken} is {'not set' if value is None else 'empty'}")

    def _file(self, name: str) -> str:
        path = self.path(name)
        try:
            with path.open("rb") as file:
                content = file.read(_SECRET_FILE_BYTES + 1)
            if len(content) > _SECRET_FILE_BYTES:
                raise WrongValueError(f"the file {path} is too large for a secret")
            return content.decode("utf-8").rstrip("\r\n")
        except FileNotFoundError:
            raise WrongValueError(f"there is no file {path}") from None
        except OSError as error:
            raise WrongValueError(f"the file {path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise WrongValueError(f"the file {path} is not text in UTF-8") from None
        except ValueError as error:
            raise (
                error if isinstance(error, WrongValueError) else WrongValueError("expected the path of a file")
            ) from None


class Table:
    """One table of the file. Keys that are not *known* are reported at once, each with the nearest one."""

    def __init__(self, reading: Reading, path: Path, values: object, known: Collection[str], what: str) -> None:
        self.reading = reading
        self.path = path
        self._values: Mapping[str, object] = {}
        if not isinstance(values, Mapping):
            reading.report(path, str(wrong(f"a table: {what}", values)))
            return
        self._values = values
        for key in values:
            if key not in known:
                hint = suggestion(key, known)
                reading.report((*path, key), f"unknown key of {what}" + (f"; {hint}" if hint else ""))

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def raw(self, key: str) -> object:
        """Return the value of *key* as TOML gave it, None when it is absent (TOML has no null)."""
        return self._values.get(key)

    def get(self, key: str, read: Callable[[object], _T], default: _T) -> _T:
        """Return the value of *key*, *default* when it is absent or wrong."""
        if key not in self._values:
            return default
        return self.reading.attempt((*self.path, key), self._values[key], read, default)

    def need(self, key: str, read: Callable[[object], _T], placeholder: _T, expected: str) -> _T:
        """Return the value of *key*; that it is absent is a problem, which says what was *expected*."""
        if key not in self._values:
            self.report(key, f"is missing: expected {expected}")
        return self.get(key, read, placeholder)

    def referred(self, read: Callable[[object], _T]) -> Callable[[object], _T]:
        """Return *read* for values that may be in a variable or a file."""
        return lambda value: read(self.reading.resolve(value))

    def secret(self, key: str) -> str:
        """Return the secret at *key*, which must be there."""
        return self.need(key, self.referred(secret_text), "", REFERENCE_FORM)

    def report(self, key: str, detail: str) -> None:
        """Collect a problem of *key*."""
        self.reading.report((*self.path, key), detail)

    def tables(self, key: str) -> list[tuple[Path, object]]:
        """Return the tables of the list at *key*, each with its path; [] when it is absent or no list."""
        value = self._values.get(key, [])
        if not isinstance(value, list):
            self.report(key, str(wrong("a list of tables", value)))
            return []
        return [((*self.path, key, position), item) for position, item in enumerate(value)]

    def entries(self, key: str, expected: str) -> list[tuple[Path, str, object]]:
        """Return (path, name, value) of each entry of the table at *key*; [] when it is absent or no table."""
        value = self._values.get(key, {})
        if not isinstance(value, Mapping):
            self.report(key, str(wrong(expected, value)))
            return []
        return [((*self.path, key, name), name, item) for name, item in value.items()]
