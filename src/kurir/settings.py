"""The settings of the installation: each is a TOML key, a ``KURIR_*`` variable, and (unless a secret) a flag.

A flag wins over a variable, a variable over the file, the file over the default. Only the value that wins is looked at,
so a container can be started from a file whose own secrets are not mounted there. A variable that is set to nothing
counts as not set. Secrets have no flag, since every user of a machine can read its command lines.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from kurir.domain.account import Rate
from kurir.networks import Network
from kurir.secretbox import KeySource

#: The variable that names the configuration file.
CONFIG_VARIABLE: Final = "KURIR_CONFIG"
#: The name of the key file that is made beside the database.
KEY_FILE_NAME: Final = "kurir.key"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its TOML key, how its value is written, its default as text, its meaning."""

    name: str
    kind: str
    default: str
    meaning: str
    secret: bool = False

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"KURIR_{self.name.upper()}"

    @property
    def flag(self) -> str:
        """The flag of ``kurir serve``, "" for a secret."""
        return "" if self.secret else f"--{self.name.replace('_', '-')}"


SETTINGS: Final = (
    Setting("listen", "`host:port`", "127.0.0.1:8080", "The address that the server listens on."),
    Setting(
        "database",
        "path or URL",
        "kurir.db",
        "The database: a file (SQLite; a relative path is relative to the configuration file), or PostgreSQL 15 or newer as "
        "`postgresql://user:password@host/name`, with several hosts (`host1:5432,host2:5432`) for one that fails over, and "
        "`?sslmode=verify-full`. As a variable it is seen by fewer eyes than as a flag.",
    ),
    Setting(
        "database_connections",
        "integer",
        "10",
        "Connections to PostgreSQL that a process opens, at most: 2 to 100. Without meaning for SQLite.",
    ),
    Setting(
        "public_url",
        "URL",
        "the address of `listen` when that is loopback, else none",
        "The address that platforms call, without `/webhooks`. A path prefix is allowed; `http://` only on loopback.",
    ),
    Setting(
        "encryption_key",
        "secret",
        '{ file = "kurir.key" }',
        "Encrypts platform tokens at rest: 32 random bytes as base64 or hex, or several such keys, of which the first "
        "encrypts and the others are for reading. A key file that is absent is made when the database is new; the "
        "default one lies beside the database.",
        secret=True,
    ),
    Setting(
        "admin_token",
        "secret",
        "none",
        "The bearer token of the administrator's API, at least 16 characters. Without one that API is closed.",
        secret=True,
    ),
    Setting(
        "metrics_token",
        "secret",
        "the `admin_token`",
        "The bearer token that `/metrics` takes, at least 16 characters, so that what watches kurir need not be able to "
        "change it. Without one it takes the `admin_token`; without both it is closed.",
        secret=True,
    ),
    Setting(
        "traces_to",
        "URL",
        "none",
        "Where traces of OpenTelemetry go: a collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`. "
        "Without one there are none. It wants the extra `kurir[otel]`.",
    ),
    Setting(
        "allow_networks",
        "list of CIDRs",
        "[]",
        "Networks that media and callback URLs may reach although they are private. Link-local and metadata "
        "addresses are never reached. As a variable or flag: separated by commas.",
    ),
    Setting(
        "role",
        "all, api or worker",
        "all",
        "What this process does: `api` takes requests and webhooks and sends nothing, `worker` sends and answers only "
        "`/livez`, `/readyz` and `/metrics`, `all` does both. Other than `all` needs PostgreSQL, and both roles somewhere.",
    ),
    Setting(
        "processes",
        "integer",
        "1",
        "Processes of this node that share the port and the work: 1 to 64. More than one needs PostgreSQL.",
    ),
    Setting(
        "client_rate",
        "rate",
        "none",
        "How many requests of the API each client may make: `100/s`, `6000/60s burst 200`; without a burst as many at once "
        "as in one second. More get a 429. Each process counts for itself.",
    ),
    Setting(
        "client_queue",
        "integer or none",
        "none",
        "How many messages of each client may wait to be sent, those for later too: 1 to 1000000000. More get a 429 "
        "`queue_full`. They are counted every three seconds, and what a process accepts in between is added.",
    ),
    Setting(
        "retention",
        "duration",
        "90d",
        "How long finished messages, attempts and events are kept.",
    ),
    Setting(
        "search_text",
        "true or false",
        "true",
        "Whether the console finds messages by their words. `false` empties the index of words, and searches by words find "
        "nothing.",
    ),
    Setting(
        "label",
        "text",
        "none",
        "A word that the console shows beside its name, such as `staging`, so that nobody takes one installation for another.",
    ),
    Setting(
        "mask",
        "true or false",
        "true",
        "Whether the console hides phones, names and texts until somebody reveals them, which is noted in the audit.",
    ),
    Setting(
        "inbound_media_space",
        "size",
        "20GB",
        "How much disk the files may take that came in and are kept (`inbound_media`), in the folder `media` beside the "
        "database. What goes beyond is streamed.",
    ),
)


#: What a process may do.
ROLES: Final = ("all", "api", "worker")


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """Where a PostgreSQL database is, as libpq writes it. It may hold a password, so it is not shown."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Listen:
    """The address that the server listens on. Port 0 lets the system choose one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the installation. ``public_url`` has no slash at its end and is "" when nobody knows it.

    ``data_folder`` is where files lie that are in no database; ``inbound_media_space`` in bytes. ``sources``: the flag or the
    variable that each setting came from, "file" or "default".
    """

    listen: Listen
    database: Path | PostgresUrl
    database_connections: int
    data_folder: Path
    public_url: str
    encryption_key: KeySource
    admin_token: str | None = field(repr=False)
    allow_networks: tuple[Network, ...]
    retention: timedelta
    inbound_media_space: int
    client_rate: Rate | None = None
    client_queue: int | None = None
    search_text: bool = True
    role: str = "all"
    processes: int = 1
    label: str = ""
    metrics_token: str | None = field(default=None, repr=False)
    traces_to: str = ""
    mask: bool = True
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)
