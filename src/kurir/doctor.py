"""Is this installation well? Each check says what it found, how bad that is, and what mends it.

What is looked at is gathered first, as :class:`Facts`, and judged by :func:`findings`, which is pure. No secret is told, so
that what comes out can be pasted into a report. What cannot be seen from here is said to be not checked.
"""

import asyncio
import os
import platform
import shutil
import socket
import ssl
import stat
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from kurir import __version__
from kurir.secretbox import KeyFile
from kurir.settings import PostgresUrl, Settings
from kurir.store.access import EngineFacts
from kurir.store.base import QueueDepth

#: Room on the disk, in bytes, below which it is said, and below which it is bad.
LITTLE_ROOM: Final = 5 * 10**9
NO_ROOM: Final = 500 * 10**6
#: How long a sync of a small file to the disk may take, in milliseconds. A commit waits for one.
SLOW_SYNC: Final = 30.0
BAD_SYNC: Final = 300.0
SYNCS: Final = 5
#: How far the database's clock may be from this machine's, in seconds.
CLOCK_APART: Final = 2.0
CLOCK_WRONG: Final = 30.0
#: How long a message may wait that is due.
LONG_WAIT: Final = timedelta(minutes=5)
TOO_LONG_WAIT: Final = timedelta(hours=1)
#: How long ago a node may have said that it is there.
SILENT_NODE: Final = timedelta(seconds=10)
#: How soon a certificate may end: what renews it by itself does so a month before (Let's Encrypt, "FAQ").
ENDS_SOON: Final = timedelta(days=21)
ENDS_AT_ONCE: Final = timedelta(days=7)
#: How long the public URL may take to show its certificate, in seconds.
TLS_SECONDS: Final = 10.0
#: Instead of the permissions of a file that whoever looks may not look at.
UNSEEN: Final = -1
#: The oldest PostgreSQL that the tests run on.
OLDEST_POSTGRES: Final = 15


class Level(StrEnum):
    """How bad something is."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, and what mends it; ``fix`` is "" where there is nothing to mend."""

    subject: str
    level: Level
    says: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """The folder of the data: bytes that are free and in all, and how long a sync takes in milliseconds, None: it fails."""

    folder: Path
    free: int
    total: int
    sync_ms: float | None


@dataclass(frozen=True, slots=True)
class Worker:
    """An account, an endpoint or a node: its name, how it stands, and why or since when."""

    name: str
    standing: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Owed:
    """What is owed to an endpoint: how many callbacks, and since when the oldest."""

    name: str
    callbacks: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What the public URL showed: when its certificate ends; or what is wrong with it, or why nobody answered."""

    host: str
    ends: datetime | None = None
    refused: str = ""
    unreached: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is judged. ``key_mode`` are the permissions of the key's file, None where there is no file.

    ``running``: a gateway was asked; else only configuration and database were looked at. ``sealed``: the accounts, and when
    their tokens came to be what they are. ``disk`` is None where the folder of the data is not there. ``accounts``,
    ``endpoints``, ``depths`` and ``owed`` are None where nobody looked. ``fresh``: there is no database yet.
    """

    now: datetime
    settings: Settings
    engine: EngineFacts | None
    disk: DiskFacts | None
    key_mode: int | None
    not_ready: tuple[str, ...] = ()
    accounts: tuple[Worker, ...] | None = ()
    endpoints: tuple[Worker, ...] | None = ()
    nodes: tuple[tuple[str, datetime], ...] = ()
    depths: tuple[QueueDepth, ...] | None = field(default=())
    owed: tuple[Owed, ...] | None = ()
    sealed: tuple[tuple[str, datetime | None], ...] = ()
    running: bool = True
    fresh: bool = False


def measure(folder: Path) -> DiskFacts:
    """Look at the folder's disk: blocks for some syncs of a small file. Raises OSError where there is no such folder."""
    usage = shutil.disk_usage(folder)
    return DiskFacts(folder, usage.free, usage.total, _sync_ms(folder))


def _sync_ms(folder: Path) -> float | None:
    times = []
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for _ in range(SYNCS):
                file.write(b"\0" * 4096)
                file.flush()
                began = time.perf_counter()
                os.fsync(file.fileno())
                times.append((time.perf_counter() - began) * 1000)
    except OSError:
        return None
    return statistics.median(times)


def key_mode(settings: Settings) -> int | None:
    """Return the permissions of the key's file, :data:`UNSEEN` where they are hidden, None where the key is in no file."""
    if not isinstance(settings.encryption_key, KeyFile):
        return None
    try:
        return stat.S_IMODE(settings.encryption_key.path.stat().st_mode)
    except FileNotFoundError:
        return None
    except OSError:
        return UNSEEN


def disk(settings: Settings) -> DiskFacts | None:
    """Return what :func:`measure` finds of the folder of the data, None where it is not there or cannot be looked at."""
    try:
        return measure(settings.data_folder)
    except OSError:
        return None


async def look_at_disk(settings: Settings) -> tuple[DiskFacts | None, int | None]:
    """Look at the folder of the data and at the key's file, in a thread."""
    return await asyncio.to_thread(lambda: (disk(settings), key_mode(settings)))


# --- judging ------------------------------------------------------------------------------------------------------------


def findings(facts: Facts) -> list[Finding]:
    """Return what every check found, in the order in which one would look. Pure."""
    return [
        Finding("kurir", Level.OK, f"{__version__} on Python {platform.python_version()}, {platform.system()}"),
        _ready(facts),
        *_database(facts),
        *_disk(facts),
        _public_url(facts.settings),
        _key(facts),
        _admin(facts.settings),
        _accounts(facts),
        _tokens(facts),
        _endpoints(facts),
        _owed(facts),
        _waiting(facts),
        *_nodes(facts),
    ]


def worst(found: Sequence[Finding]) -> Level:
    """Return how bad the worst of them is."""
    order = list(Level)
    return max((one.level for one in found), key=order.index, default=Level.OK)


def text(found: Sequence[Finding]) -> str:
    """Return the findings as lines of text, fit to be pasted."""
    marks = {Level.OK: "ok  ", Level.WARN: "WARN", Level.BAD: "BAD "}
    lines = []
    for one in found:
        lines.append(f"{marks[one.level]}  {one.subject}: {one.says}")
        if one.fix:
            lines.append(f"      {one.fix}")
    return "\n".join(lines) + "\n"


def _ready(facts: Facts) -> Finding:
    if not facts.running:
        return Finding(
            "readiness", Level.OK, "no gateway was asked: this is of the configuration and the database alone"
        )
    if not facts.not_ready:
        return Finding("readiness", Level.OK, "messages are taken and sent")
    fix = "look into the log for the first error; what does not mend itself is mended by a restart"
    return Finding("readiness", Level.BAD, "; ".join(facts.not_ready), fix)


def _database(facts: Facts) -> list[Finding]:
    engine = facts.engine
    if engine is None:
        return [Finding("database", Level.BAD, "it does not answer", "see that it runs, and that its disk has room")]
    size = _bytes(engine.size)
    found = [
        Finding("database", Level.OK, f"{engine.engine} {engine.version}, schema {engine.schema}, {size}"),
        *([_durability(engine)] if engine.settings else []),  # what nobody works on has none: a start sets them
    ]
    if engine.engine == "PostgreSQL" and int(engine.version.split(".")[0].split()[0]) < OLDEST_POSTGRES:
        fix = f"upgrade to PostgreSQL {OLDEST_POSTGRES} or newer"
        found[0] = Finding("database", Level.BAD, f"PostgreSQL {engine.version} is too old", fix)
    if engine.replica:
        fix = "name the primary in database, or both with target_session_attrs"
        found.append(Finding("database", Level.BAD, "it is a replica, which takes no writes", fix))
    if engine.now is not None:
        apart = abs((engine.now - facts.now).total_seconds())
        level = Level.BAD if apart > CLOCK_WRONG else Level.WARN if apart > CLOCK_APART else Level.OK
        fix = "" if level is Level.OK else "let NTP set the clocks of both machines"
        found.append(Finding("clock", level, f"the database's is {apart:.1f} s from this machine's", fix))
    elif engine.engine == "SQLite":
        found.append(Finding("clock", Level.OK, "this machine's; whether NTP sets it is not checked"))
    return found


def _durability(engine: EngineFacts) -> Finding:
    """What a commit promises. SQLite: WAL with FULL syncs each commit; PostgreSQL: the three settings of its manual, 28.1."""
    wanted = {
        "journal_mode": {"WAL"},
        "synchronous": {"FULL", "EXTRA"},
        "fsync": {"on"},
        "synchronous_commit": {"on", "remote_apply", "remote_write"},
        "full_page_writes": {"on"},
    }
    shown = ", ".join(f"{name} {value}" for name, value in engine.settings.items())
    wrong = [name for name, value in engine.settings.items() if value not in wanted[name]]
    if not wrong:
        return Finding("durability", Level.OK, shown)
    fix = f"set {' and '.join(wrong)} back: until then a power cut can lose what was answered with 200"
    return Finding("durability", Level.BAD, shown, fix)


def _disk(facts: Facts) -> list[Finding]:
    disk = facts.disk
    if disk is None:
        fix = f"make {facts.settings.data_folder} and give it to kurir's user; else look as that user"
        return [Finding("disk", Level.BAD, "the folder of the data is not there, or hidden from who looks", fix)]
    level = Level.BAD if disk.free < NO_ROOM else Level.WARN if disk.free < LITTLE_ROOM else Level.OK
    fix = "" if level is Level.OK else "make room, lower retention or inbound_media_space"
    room = Finding("disk", level, f"{_bytes(disk.free)} free of {_bytes(disk.total)}", fix)
    if disk.sync_ms is None:
        fix = "see that the folder can be written by kurir's user, and that the disk is not full or read-only"
        return [room, Finding("sync", Level.BAD, "nothing can be written into the folder of the data", fix)]
    level = Level.BAD if disk.sync_ms > BAD_SYNC else Level.WARN if disk.sync_ms > SLOW_SYNC else Level.OK
    fix = "" if level is Level.OK else "every commit waits so long: use a local SSD, not a network disk"
    whose = "" if not isinstance(facts.settings.database, PostgresUrl) else "; the database's own disk is not checked"
    return [room, Finding("sync", level, f"a small write is on the disk after {disk.sync_ms:.1f} ms{whose}", fix)]


def _public_url(settings: Settings) -> Finding:
    url = settings.public_url
    if not url:
        fix = "set public_url: without it no platform can be told where to call, and files have no links"
        return Finding("public URL", Level.BAD, "none is set", fix)
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
    if parts.scheme != "https":
        fix = "put a proxy with TLS before it, and set public_url to its https:// address"
        return Finding("public URL", Level.WARN, f"{shown} is for this machine alone: no platform can call it", fix)
    return Finding("public URL", Level.OK, f"{shown}; whether platforms reach it: kurir account check")


def look_at_certificate(url: str, context: ssl.SSLContext | None = None) -> CertificateFacts | None:
    """Ask the host of *url* for its certificate, as a platform would; None where it is not https. Blocks for some seconds."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        return None
    host = parts.hostname
    trusted = context or ssl.create_default_context()
    try:
        with (
            socket.create_connection((host, parts.port or 443), TLS_SECONDS) as plain,
            trusted.wrap_socket(plain, server_hostname=host) as sealed,
        ):
            shown = sealed.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return CertificateFacts(host, refused=error.verify_message)
    except OSError as error:
        return CertificateFacts(host, unreached=error.strerror or str(error) or type(error).__name__)
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
    return CertificateFacts(host, ends)


def certificate(facts: CertificateFacts, now: datetime) -> Finding:
    """Return what is to be said of the public URL's certificate. Pure."""
    if facts.refused:
        fix = (
            "give the proxy the whole chain of a certificate that is valid for this name: platforms refuse others. Where they "
            "take it, this machine lacks the certificates of those who issue them"
        )
        return Finding("certificate", Level.BAD, f"{facts.host}: {facts.refused}", fix)
    if facts.ends is None:
        fix = "see that the proxy runs; if this machine alone cannot reach it, ask from outside"
        return Finding("certificate", Level.WARN, f"{facts.host} did not show one to here: {facts.unreached}", fix)
    left = facts.ends - now
    level = Level.BAD if left < ENDS_AT_ONCE else Level.WARN if left < ENDS_SOON else Level.OK
    fix = "" if level is Level.OK else "renew it, and see why that does not happen by itself"
    return Finding("certificate", level, f"valid for {facts.host}, until {facts.ends:%Y-%m-%d} ({left.days} days)", fix)


def _key(facts: Facts) -> Finding:
    source = facts.settings.encryption_key
    if not isinstance(source, KeyFile):
        return Finding("encryption key", Level.OK, "given by the configuration")
    if facts.key_mode is None and facts.fresh:
        return Finding(
            "encryption key", Level.OK, f"the first start makes {source.path.name}; keep a copy elsewhere then"
        )
    if facts.key_mode == UNSEEN:
        fix = "look as kurir's user"
        return Finding("encryption key", Level.WARN, f"{source.path.name} is hidden from who looks: not checked", fix)
    if facts.key_mode is None:
        fix = "without it no token can be read after a restart: restore it from a backup"
        return Finding("encryption key", Level.BAD, f"{source.path.name} is not there", fix)
    if facts.key_mode & 0o077:
        fix = f"chmod 600 {source.path.name}"
        return Finding("encryption key", Level.WARN, f"others can read it (mode {facts.key_mode:o})", fix)
    return Finding("encryption key", Level.OK, "in a file that only its owner reads; keep a copy elsewhere")


def _admin(settings: Settings) -> Finding:
    if settings.admin_token:
        return Finding("administrator's API", Level.OK, "open to the admin_token")
    fix = "set admin_token (kurir config init prints one) to use kurir account, client and callback"
    return Finding("administrator's API", Level.WARN, "closed: there is no admin_token", fix)


def _unseen(subject: str) -> Finding:
    return Finding(subject, Level.OK, "not looked at: ask a gateway that runs")


def _accounts(facts: Facts) -> Finding:
    if facts.accounts is None:
        return _unseen("accounts")
    stopped = [one for one in facts.accounts if one.standing in ("out", "parked")]
    paused = [one for one in facts.accounts if one.standing == "paused"]
    if stopped:
        return Finding("accounts", Level.BAD, _listed(stopped), "kurir account check NAME says what is wrong")
    if not facts.accounts:
        return Finding("accounts", Level.WARN, "there is none", "connect one: kurir account add")
    if paused:
        return Finding("accounts", Level.WARN, _listed(paused), "kurir account resume NAME lets one go on")
    return Finding("accounts", Level.OK, f"{len(facts.accounts)}, none stopped")


def _tokens(facts: Facts) -> Finding:
    known = sorted((at, name) for name, at in facts.sealed if at is not None)
    ask = "when tokens end is not known here: kurir account check asks the platform"
    if not known:
        return Finding("tokens", Level.OK, ask)
    at, name = known[0]
    return Finding("tokens", Level.OK, f"the oldest are those of {name}, {(facts.now - at).days} days; {ask}")


def _endpoints(facts: Facts) -> Finding:
    if facts.endpoints is None:
        return _unseen("callbacks")
    failing = [one for one in facts.endpoints if one.standing == "failing"]
    if failing:
        return Finding(
            "callbacks", Level.BAD, _listed(failing), "kurir callback test ID shows what the endpoint answers"
        )
    return Finding(
        "callbacks",
        Level.OK,
        f"{len(facts.endpoints)} {'endpoint' if len(facts.endpoints) == 1 else 'endpoints'}, none failing",
    )


def _owed(facts: Facts) -> Finding:
    if facts.owed is None:
        return _unseen("callbacks owed")
    late = [one for one in facts.owed if one.callbacks and one.oldest_at is not None]
    if not late:
        return Finding("callbacks owed", Level.OK, "none")
    oldest = min(late, key=lambda one: one.oldest_at or facts.now)
    age = facts.now - (oldest.oldest_at or facts.now)
    level = Level.BAD if age > TOO_LONG_WAIT else Level.WARN if age > LONG_WAIT else Level.OK
    fix = "" if level is Level.OK else "kurir callback test ID shows what the endpoint answers"
    many = sum(one.callbacks for one in late)
    says = f"{many}, the oldest for {max(0, int(age.total_seconds()))} s, to {oldest.name}"
    return Finding("callbacks owed", level, says, fix)


def _waiting(facts: Facts) -> Finding:
    if facts.depths is None:
        return _unseen("queue")
    due = [one for one in facts.depths if one.oldest_at is not None and one.oldest_at <= facts.now]
    if not due:
        return Finding("queue", Level.OK, "nothing that is due waits")
    oldest = min(due, key=lambda one: one.oldest_at or facts.now)
    age = facts.now - (oldest.oldest_at or facts.now)
    level = Level.BAD if age > TOO_LONG_WAIT else Level.WARN if age > LONG_WAIT else Level.OK
    fix = "" if level is Level.OK else f"the page of {oldest.account_id} says what it waits for"
    says = f"the oldest message waits for {int(age.total_seconds())} s, of {oldest.account_id}"
    return Finding("queue", level, says, fix)


def _nodes(facts: Facts) -> list[Finding]:
    if not facts.running:
        return []
    silent = [name for name, seen in facts.nodes if facts.now - seen > SILENT_NODE]
    if silent:
        fix = "see that these machines run; others take their work over"
        return [Finding("nodes", Level.WARN, f"not heard of lately: {', '.join(silent)}", fix)]
    return [Finding("nodes", Level.OK, f"{len(facts.nodes)}: {', '.join(name for name, _ in facts.nodes)}")]


def _listed(workers: Sequence[Worker]) -> str:
    return "; ".join(f"{one.name} is {one.standing}" + (f" ({one.why})" if one.why else "") for one in workers[:20])


def _bytes(value: int) -> str:
    number = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
