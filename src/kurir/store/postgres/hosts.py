"""Which of several hosts is used: the one that takes writes, and of two that both do, the one that was promoted last.

asyncpg tries host after host within one time limit for all of them, so that one which swallows packets uses up the time of
those behind it. Here the host that served last is tried first, and the others side by side when it does not answer at once.

A primary that failed and was started again by mistake takes writes like the one that replaced it. A promotion begins a new
timeline (https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-TIMELINES), so the number of that tells
which of the two is the older one, and no process that saw the newer one goes back.
"""

import asyncio
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

#: Seconds that opening a connection may take, over all hosts.
CONNECT_SECONDS: Final = 2.0
#: Seconds that the host which served last has for itself, before the others are tried beside it.
AHEAD_SECONDS: Final = 0.3
#: Seconds that the others still have when one that takes writes was found: a newer one may be among them.
BESIDE_SECONDS: Final = 0.5

_PORT: Final = "5432"
_HOST: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>[0-9]+))?")
#: The cluster, and the timeline that it writes, in hexadecimal: the first eight digits of a segment's name.
_TIMELINE: Final = """
SELECT system_identifier::text, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) FROM pg_control_system()
"""

Address: TypeAlias = tuple[str, int]


def addresses(dsn: str) -> tuple[Address, ...]:
    """Return the hosts of a connection URI with their ports, none where it names fewer than two.

    The form is libpq's: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS. Raises ValueError.
    """
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    named = unquote(parts.netloc.rpartition("@")[2]) or query.get("host", [""])[-1]
    hosts = named.split(",")
    if len(hosts) < 2:
        return ()
    ports = query.get("port", [_PORT])[-1].split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    found = []
    for text, port in zip(hosts, ports, strict=True):
        match = _HOST.fullmatch(text)
        if match is None or not match["host"]:
            raise ValueError("a host of the database's URL is not understood")
        found.append((match["host"].strip("[]"), int(match["port"] or port)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Found:
    """A host that takes writes. ``timeline`` is (cluster, number), None where the server does not tell."""

    place: int
    connection: "asyncpg.Connection[Any]"
    timeline: tuple[str, int] | None


class Hosts:
    """The hosts of a connection URI. ``era`` grows when open connections are not to be used again.

    With one host all is left to asyncpg.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._addresses: tuple[Address, ...] | None = None
        self._last: int | None = None
        self._newest: tuple[str, int] | None = None
        self.era = 0

    def distrust(self) -> None:
        """Let no connection that is open now be used again: one of them led nowhere, or to a server that takes no writes."""
        self.era += 1

    async def connect(self, **options: Any) -> "tuple[asyncpg.Connection[Any], int]":
        """Open a connection to the host that takes writes; return it with its era. *options* are asyncpg's.

        Raises what asyncpg raises, TimeoutError after ``CONNECT_SECONDS``, ValueError where the URI is not understood.
        """
        if self._addresses is None:
            self._addresses = addresses(self._dsn)
        options |= {"timeout": CONNECT_SECONDS, "target_session_attrs": "read-write"}
        era = self.era
        if not self._addresses:
            return await asyncpg.connect(self._dsn, **options), era
        found = await self._search(self._addresses, options)
        if self._is_behind(found.timeline):  # another search found a newer one meanwhile
            found.connection.terminate()
            raise _behind(*self._addresses[found.place])
        self._last = found.place
        if found.timeline is not None and found.timeline != self._newest:
            if self._newest is not None:
                self.distrust()  # what is open leads to the one before
                era = self.era
            self._newest = found.timeline
        return found.connection, era

    def _is_behind(self, timeline: tuple[str, int] | None) -> bool:
        """Return whether a server writes an older timeline of the cluster than one that was seen."""
        newest = self._newest
        return timeline is not None and newest is not None and timeline[0] == newest[0] and timeline[1] < newest[1]

    async def _search(self, hosts: Sequence[Address], options: dict[str, Any]) -> _Found:
        """Return the host that served last if it answers at once, else the newest of those that do."""
        loop = asyncio.get_running_loop()
        until = loop.time() + CONNECT_SECONDS
        tasks: dict[asyncio.Task[_Found], int] = {}
        try:
            if self._last is not None:
                first = asyncio.create_task(self._try(hosts, self._last, options))
                tasks[first] = self._last
                await asyncio.wait(tasks, timeout=AHEAD_SECONDS)
                if first.done() and first.exception() is None:
                    return _taken(tasks, first)
            for place in range(len(hosts)):
                if place not in tasks.values():
                    tasks[asyncio.create_task(self._try(hosts, place, options))] = place
            waiting = set(tasks)
            while waiting and loop.time() < until:
                _, waiting = await asyncio.wait(
                    waiting, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED
                )
                if _good(tasks):
                    until = min(until, loop.time() + BESIDE_SECONDS)
            good = _good(tasks)
            if not good:
                raise _error(tasks)
            return _taken(tasks, max(good, key=lambda one: (one.result().timeline or ("", 0))[1]))
        finally:
            for task in tasks:
                task.cancel()
                task.add_done_callback(_dropped)

    async def _try(self, hosts: Sequence[Address], place: int, options: dict[str, Any]) -> _Found:
        host, port = hosts[place]
        connection = await asyncpg.connect(self._dsn, host=host, port=port, **options)
        try:
            timeline = await _timeline(connection)
        except BaseException:
            connection.terminate()
            raise
        if self._is_behind(timeline):
            connection.terminate()
            raise _behind(host, port)
        return _Found(place, connection, timeline)


async def _timeline(connection: "asyncpg.Connection[Any]") -> tuple[str, int] | None:
    """Return the cluster and the timeline that a server writes, None where it does not tell (a service that hides it)."""
    try:
        row = await connection.fetchrow(_TIMELINE)
    except asyncpg.PostgresError as error:
        if isinstance(error, asyncpg.PostgresConnectionError | asyncpg.OperatorInterventionError):
            raise
        return None
    return None if row is None else (str(row[0]), int(row[1], 16))


def _behind(host: str, port: int) -> asyncpg.TargetServerAttributeNotMatched:
    return asyncpg.TargetServerAttributeNotMatched(
        f"{host}:{port} takes writes, and is the primary before the last fail-over"
    )


def _good(tasks: Collection[asyncio.Task[_Found]]) -> list[asyncio.Task[_Found]]:
    return [task for task in tasks if task.done() and task.exception() is None]


def _taken(tasks: dict[asyncio.Task[_Found], int], task: asyncio.Task[_Found]) -> _Found:
    del tasks[task]
    return task.result()


def _dropped(task: asyncio.Task[_Found]) -> None:
    """Close what a host gave that is not used."""
    if not task.cancelled() and task.exception() is None:
        task.result().connection.terminate()


def _error(tasks: Collection[asyncio.Task[_Found]]) -> BaseException:
    """Return why no host can be used: what a server said, rather than that another one is silent."""
    errors = [error for task in tasks if task.done() and (error := task.exception()) is not None]
    said = [error for error in errors if isinstance(error, asyncpg.PostgresError | asyncpg.InternalClientError)]
    return (said or errors or [TimeoutError(f"no host answered within {CONNECT_SECONDS:g} s")])[0]
