"""Reading the settings of the installation, each from the layer that wins: flag, variable, file, default."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

from kurir import tracing
from kurir.configuration.problems import WrongValueError
from kurir.configuration.table import Reading, Table
from kurir.configuration.values import (
    duration,
    integer,
    is_loopback,
    list_of,
    listen,
    network,
    one_of,
    public_url,
    rate,
    secret_text,
    size,
    switch,
    text,
    url,
)
from kurir.domain.account import Rate
from kurir.networks import Network
from kurir.secretbox import EncryptionKeyError, KeyFile, KeySource, KeyValue, parse_keys, read_key_file
from kurir.settings import KEY_FILE_NAME, ROLES, SETTINGS, Listen, PostgresUrl, Settings

_T = TypeVar("_T")

_ADMIN_TOKEN_LENGTH: Final = 16
_LONGEST_LABEL: Final = 24
_BY_NAME: Final = {setting.name: setting for setting in SETTINGS}


def read_settings(table: Table, flags: Mapping[str, object], current_folder: Path) -> Settings:
    """Read every setting from its flag, its variable, the file's top *table*, or its default.

    Problems are reported to the table's reading. Relative paths of flags and variables are relative to
    *current_folder*, those of the file to the file's folder.
    """
    layers = _Layers(table, flags, current_folder)
    folder = table.reading.folder
    address = layers.read("listen", listen, Listen("127.0.0.1", 8080))
    own_url = f"http://{address}" if is_loopback(address.host) and address.port else ""
    file: Path | PostgresUrl = folder / "kurir.db"
    database = layers.read("database", _database(layers.folder("database")), file)
    data_folder = database.parent if isinstance(database, Path) else folder
    beside_database: KeySource = KeyFile(data_folder / KEY_FILE_NAME)
    role = layers.read("role", one_of(ROLES), "all")
    processes = layers.read("processes", _counted(1, 64), 1)
    if not isinstance(database, PostgresUrl):
        for name, asked in (("role", role != "all"), ("processes", processes > 1)):
            if asked:
                fix = 'set database = "postgresql://…" (KURIR_DATABASE), or leave this out'
                table.reading.report((name,), f"a SQLite file is for one process that does everything: {fix}")
    return Settings(
        listen=address,
        database=database,
        data_folder=data_folder,
        database_connections=layers.read("database_connections", _counted(2, 100), 10),
        public_url=layers.read("public_url", public_url, own_url),
        encryption_key=layers.read("encryption_key", _encryption_key(table.reading), beside_database),
        admin_token=layers.read("admin_token", table.referred(_admin_token), None),
        metrics_token=layers.read("metrics_token", table.referred(_admin_token), None),
        traces_to=layers.read("traces_to", _collector, ""),
        allow_networks=layers.read("allow_networks", _networks, ()),
        client_rate=layers.read("client_rate", _client_rate, None),
        client_queue=layers.read("client_queue", _client_queue, None),
        retention=layers.read("retention", duration(timedelta(days=1)), timedelta(days=90)),
        search_text=layers.read("search_text", switch, True),
        inbound_media_space=layers.read("inbound_media_space", size, 20 * 10**9),
        role=role,
        processes=processes,
        label=layers.read("label", _label, ""),
        mask=layers.read("mask", switch, True),
        sources=layers.sources,
    )


class _Layers:
    """Finds the value that wins, and the place to name when it is wrong."""

    def __init__(self, table: Table, flags: Mapping[str, object], current_folder: Path) -> None:
        self._table = table
        self._flags = flags
        self._current_folder = current_folder
        self.sources: dict[str, str] = {}

    def read(self, name: str, read: Callable[[object], _T], default: _T) -> _T:
        setting = _BY_NAME[name]
        variable = self._table.reading.env.get(setting.variable)
        if self._flags.get(name) is not None:
            place, value = setting.flag, self._flags[name]
        elif variable:
            place, value = setting.variable, variable
        else:
            self.sources[name] = "file" if name in self._table else "default"
            return self._table.get(name, read, default)
        self.sources[name] = place
        return self._table.reading.attempt((place,), value, read, default)

    def folder(self, name: str) -> Path:
        outside = self._flags.get(name) is not None or self._table.reading.env.get(_BY_NAME[name].variable)
        return self._current_folder if outside else self._table.reading.folder


def _label(value: object) -> str:
    found = text(value)
    if len(found) > _LONGEST_LABEL:
        raise WrongValueError(f"at most {_LONGEST_LABEL} characters are expected, and it has {len(found)}")
    return found


def _counted(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        # A variable is a string.
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        return integer(low, high)(value)

    return read


def _client_rate(value: object) -> Rate | None:
    found = rate(value)
    if found is None or "burst" in str(value):
        return found
    return replace(found, burst=max(1, math.ceil(found.count / found.seconds)))


def _client_queue(value: object) -> int | None:
    return None if value == "none" else _counted(1, 10**9)(value)


def _database(folder: Path) -> Callable[[object], Path | PostgresUrl]:
    def read(value: object) -> Path | PostgresUrl:
        named = text(value)
        scheme, separator, rest = named.partition("://")
        if separator and scheme in {"postgresql", "postgres"}:
            if not rest.rpartition("@")[2].partition("?")[0].partition("/")[2]:
                raise WrongValueError("the URL names no database: postgresql://user:password@host/name")
            return PostgresUrl(named)
        if separator or named == ":memory:" or named.endswith("/"):
            raise WrongValueError(
                'expected the path of a file, such as "kurir.db", or postgresql://user:password@host/name'
            )
        try:
            return folder / Path(named).expanduser()
        except RuntimeError:
            raise WrongValueError("there is no such home folder") from None

    return read


def _encryption_key(reading: Reading) -> Callable[[object], KeySource]:
    def read(value: object) -> KeySource:
        # A key file may be absent: it is made when the database is new, which only its opening tells.
        if isinstance(value, Mapping) and isinstance(value.get("file"), str) and len(value) == 1:
            path = reading.path(value["file"])
            _keys(lambda: read_key_file(path))
            return KeyFile(path)
        found = secret_text(reading.resolve(value))
        return KeyValue(_keys(lambda: parse_keys(found)))

    return read


def _keys(read: Callable[[], tuple[bytes, ...]]) -> tuple[bytes, ...]:
    try:
        return read()
    except EncryptionKeyError as error:
        raise WrongValueError(str(error)) from None


def _admin_token(value: object) -> str:
    token = secret_text(value)
    if len(token) < _ADMIN_TOKEN_LENGTH:
        raise WrongValueError(f"expected at least {_ADMIN_TOKEN_LENGTH} characters; `kurir config init` prints a token")
    return token


def _collector(value: object) -> str:
    found = url(value)
    if not tracing.installed():
        raise WrongValueError(
            "traces want libraries that are not installed: pip install opentelemetry-sdk "
            "opentelemetry-exporter-otlp-proto-http, or leave this out"
        )
    return found


def _networks(value: object) -> tuple[Network, ...]:
    # A variable or flag has one string, and typer gives a tuple for a flag that may be repeated.
    if isinstance(value, str):
        value = [word.strip() for word in value.split(",") if word.strip()]
    return list_of(network, 'a list of networks such as ["10.0.0.0/8"]')(value)
