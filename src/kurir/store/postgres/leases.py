"""Nodes and what each of them owns: rows of ``node`` and ``lease``, by the database's clock.

A node that lives holds an advisory lock of its session. A process that is killed loses it with its connection, so that
others see at once that it is gone; one that is paused, or cut off, keeps it, and loses its leases by their time.

A lease of an account is taken under the lock of the account's client, as every write about it is done. So the fence that a
write compares is the owner's until its commit.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from kurir.store.database import Database
from kurir.store.operations import rows

#: How long a lease holds that is not renewed, in seconds.
LEASE_SECONDS: Final = 15.0
#: So many seconds of its lease a node must have left to begin a call.
MARGIN_SECONDS: Final = 2.0
#: A lease that nobody took for so long, in seconds, may be taken by a node that has its share already.
LEFT_SECONDS: Final = 5.0

#: A node without a session is dead when it has not renewed for so long, in seconds: one whose connection was cut is back
#: before. It renews each second.
SILENT_SECONDS: Final = 2.0

ACCOUNT: Final = "account:"
ENDPOINT: Final = "endpoint:"
UPKEEP: Final = "upkeep"

#: The channel of NOTIFY.
CHANNEL: Final = "kurir"

_KEY: Final = "hashtextextended('kurir node ' || {id}, 0)"
_UNTIL: Final = f"clock_timestamp() + interval '{LEASE_SECONDS} seconds'"

_LOCK: Final = f"SELECT pg_try_advisory_lock({_KEY.format(id='$1')})"
_SERVER_AGE: Final = "SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8"
_ENTER: Final = f"""
INSERT INTO node (id, host, pid, roles, started_at, until_at) VALUES ($1, $2, $3, $4, clock_timestamp(), {_UNTIL})
ON CONFLICT (id) DO UPDATE SET until_at = excluded.until_at
"""  # noqa: S608 -- constants
_ALIVE: Final = f"""
UPDATE node SET until_at = {_UNTIL} WHERE id = $1 RETURNING extract(epoch FROM clock_timestamp())::float8
"""  # noqa: S608 -- constants
_RENEW: Final = f"UPDATE lease SET until_at = {_UNTIL} WHERE node_id = $1 RETURNING name, fence"  # noqa: S608 -- constants
#: A transaction's lock on the id of each other node that is silent: who gives it has no session any more.
_BURY: Final = f"""
WITH silent AS MATERIALIZED (
    SELECT id FROM node
    WHERE id <> $1 AND until_at < clock_timestamp() + interval '{LEASE_SECONDS - SILENT_SECONDS} seconds'
), dead AS MATERIALIZED (
    SELECT id FROM silent WHERE pg_try_advisory_xact_lock({_KEY.format(id="id")})
), freed AS (
    UPDATE lease SET node_id = '', until_at = clock_timestamp() WHERE node_id IN (SELECT id FROM dead)
)
DELETE FROM node WHERE id IN (SELECT id FROM dead) RETURNING id
"""  # noqa: S608 -- constants
_NODES: Final = "SELECT id, roles, leaving, until_at > clock_timestamp() FROM node"
_LEASES: Final = """
SELECT name, node_id, until_at <= clock_timestamp(), greatest(0, extract(epoch FROM clock_timestamp() - until_at))::float8
FROM lease
"""
_KNOW: Final = """
INSERT INTO lease (name, until_at) SELECT name, clock_timestamp() FROM unnest($1::text[]) AS wanted (name)
ON CONFLICT DO NOTHING
"""
_TAKE: Final = f"""
UPDATE lease SET node_id = $1, fence = fence + 1, until_at = {_UNTIL}
WHERE name IN (
    SELECT name FROM lease WHERE name = ANY($2::text[]) AND (node_id = '' OR until_at <= clock_timestamp())
    FOR UPDATE SKIP LOCKED
)
RETURNING name, fence
"""  # noqa: S608 -- constants
_TAKE_ONE: Final = _TAKE.replace("ANY($2::text[])", "$2")
_RELEASE: Final = """
UPDATE lease SET node_id = '', until_at = clock_timestamp()
FROM unnest($2::text[], $3::bigint[]) AS given (name, fence)
WHERE lease.name = given.name AND lease.fence = given.fence AND lease.node_id = $1
"""
_DROP: Final = (
    "UPDATE lease SET node_id = '', until_at = clock_timestamp() WHERE node_id = $1 AND name = ANY($2::text[])"
)
_NOTIFY: Final = "SELECT pg_notify($1, $2)"
_LEAVING: Final = "UPDATE node SET leaving = TRUE WHERE id = $1"
_LEAVE: Final = """
WITH freed AS (UPDATE lease SET node_id = '', until_at = clock_timestamp() WHERE node_id = $1)
DELETE FROM node WHERE id = $1
"""
_OWNED_TIDS: Final = """
SELECT message.tid, message.account_id, lease.node_id, lease.fence FROM message
LEFT JOIN lease ON lease.name = 'account:' || message.account_id
WHERE message.tid = ANY($1::text[])
"""
_OWNED: Final = "SELECT substr(name, 9), node_id, fence FROM lease WHERE name = ANY($1::text[])"
_STANDINGS: Final = """
SELECT id, parked_code, parked_reason, paused_at, held_since, held_until, held_reason FROM account WHERE enabled = 1
"""
_SHOWN: Final = """
SELECT node.id, host, pid, roles, leaving, started_at, until_at,
    ARRAY(SELECT name FROM lease WHERE lease.node_id = node.id AND lease.until_at > clock_timestamp() ORDER BY name)
FROM node ORDER BY started_at, id
"""


def moment() -> float:
    """Return the seconds of a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Fences(Protocol):
    """What this node owns, as it knows it."""

    @property
    def node_id(self) -> str:
        """The node's id."""
        ...

    def fence(self, account_id: str) -> int | None:
        """Return the fence by which the node owns the account, None where it does not."""
        ...

    def left(self, account_id: str) -> float:
        """Return for how many seconds it owns the account at least, by its own clock."""
        ...

    def since(self, account_id: str) -> float:
        """Return since when it owns the account without a break (monotonic seconds), infinity where it does not."""
        ...

    def lost(self, account_id: str) -> None:
        """Hear that another node owns the account by now."""
        ...


def may_call(fences: Fences, account_id: str) -> bool:
    """Return whether a call of the account may begin now."""
    return fences.left(account_id) > MARGIN_SECONDS


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A node. ``role`` is all, api or worker; ``seen_at`` is when it renewed its leases last; ``names`` are those."""

    id: str
    host: str
    pid: int
    role: str
    leaving: bool
    since: datetime
    seen_at: datetime
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredStanding:
    """What the store knows of how an account stands."""

    account_id: str
    parked_code: str
    parked_reason: str
    paused: bool
    held_since: datetime | None
    held_until: datetime | None
    held_reason: str


@dataclass(frozen=True, slots=True)
class View:
    """Who is there, and who holds what.

    ``workers`` are the nodes that live, work and stay, ``nodes`` all that live. ``holders``: lease → node, "" nobody.
    ``free``: lease → for how many seconds nobody has held it; ``expired`` are those of them that nobody gave back.
    """

    workers: frozenset[str]
    nodes: frozenset[str]
    holders: Mapping[str, str]
    free: Mapping[str, float]
    expired: frozenset[str]


# --- on the connection of the node's keeper ---------------------------------------------------------------------------------


async def lock(connection: Any, node_id: str) -> bool:
    """Take the lock that says that the node lives, for the session. False while another session has it."""
    return bool(await connection.fetchval(_LOCK, node_id))


async def server_age(connection: Any) -> float:
    """Return for how many seconds the server has been running."""
    return float(await connection.fetchval(_SERVER_AGE))


async def enter(connection: Any, node_id: str, host: str, pid: int, role: str) -> None:
    """Write the node down."""
    await connection.execute(_ENTER, node_id, host, pid, role)


async def renew(connection: Any, node_id: str) -> tuple[float, dict[str, int]] | None:
    """Renew the node and all its leases. None: others have ended the node.

    Returns the database's clock (unix seconds) at a moment within the call, and the leases with their fences.
    """
    async with connection.transaction():
        told_at = await connection.fetchval(_ALIVE, node_id)
        if told_at is None:
            return None
        return float(told_at), dict(await connection.fetch(_RENEW, node_id))


async def bury(connection: Any, node_id: str) -> list[str]:
    """End the nodes that have no session any more, and have been silent: what they held is free. Returns their ids."""
    return [row[0] for row in await connection.fetch(_BURY, node_id)]


async def look(connection: Any) -> View:
    """Return who is there and who holds what."""
    nodes = await connection.fetch(_NODES)
    live = frozenset(row[0] for row in nodes if row[3])
    leases = await connection.fetch(_LEASES)
    return View(
        workers=frozenset(row[0] for row in nodes if row[3] and row[1] != "api" and not row[2]),
        nodes=live,
        holders={name: "" if out else holder for name, holder, out, _ in leases},
        free={name: age for name, holder, out, age in leases if out or not holder},
        expired=frozenset(name for name, holder, out, _ in leases if out and holder),
    )


async def know(connection: Any, names: Collection[str]) -> None:
    """Make a row for each lease that has none yet."""
    await connection.execute(_KNOW, list(names))


async def take(connection: Any, node_id: str, names: Sequence[str]) -> dict[str, int]:
    """Take those of *names* that are free; return them with their fences. For leases that no write compares."""
    return dict(await connection.fetch(_TAKE, node_id, list(names)))


async def release(connection: Any, node_id: str, fences: Mapping[str, int]) -> None:
    """Give leases back."""
    await connection.execute(_RELEASE, node_id, list(fences), list(fences.values()))


async def drop(connection: Any, node_id: str, names: Sequence[str]) -> None:
    """Give leases back whose fence the node does not know: it took them, and did not hear so."""
    await connection.execute(_DROP, node_id, list(names))


async def notify(connection: Any, text: str) -> None:
    """Send a notification to all nodes."""
    await connection.execute(_NOTIFY, CHANNEL, text)


async def leaving(connection: Any, node_id: str) -> None:
    """Say that the node gives up what it holds."""
    await connection.execute(_LEAVING, node_id)


async def leave(connection: Any, node_id: str) -> None:
    """Delete the node, and give back whatever it holds."""
    await connection.execute(_LEAVE, node_id)


# --- inside an operation ------------------------------------------------------------------------------------------------


def take_one(db: Database, node_id: str, name: str) -> int | None:
    """Take a lease that is free; return its fence."""
    found = db.execute(_TAKE_ONE, (node_id, name)).fetchone()
    return None if found is None else int(found[1])


def owned(
    db: Database, fences: Fences, tids: Collection[str], account_ids: Collection[str]
) -> tuple[dict[str, str], set[str]]:
    """Return the account of each message, and those of the accounts that the node owns, by the fence that it knows."""
    accounts, ours = {}, set()
    found = []
    if tids:
        for tid, account_id, holder, fence in db.execute(_OWNED_TIDS, (list(tids),)):
            accounts[tid] = account_id
            found.append((account_id, holder, fence))
    if account_ids:
        found += db.execute(_OWNED, ([ACCOUNT + account_id for account_id in account_ids],)).fetchall()
    for account_id, holder, fence in found:
        if holder == fences.node_id and fence == fences.fence(account_id):
            ours.add(account_id)
    return accounts, ours


def standings(db: Database) -> list[StoredStanding]:
    """Return what is stored of each enabled account."""
    return [
        StoredStanding(
            account_id,
            code,
            reason,
            paused is not None,
            rows.moment_or_none(since),
            rows.moment_or_none(until),
            held_reason,
        )
        for account_id, code, reason, paused, since, until, held_reason in db.execute(_STANDINGS)
    ]


def nodes(db: Database) -> list[NodeRecord]:
    """Return every node."""
    return [
        NodeRecord(node_id, host, pid, role, leaving, since, _seen(until), tuple(names))
        for node_id, host, pid, role, leaving, since, until, names in db.execute(_SHOWN)
    ]


def _seen(until: datetime) -> datetime:
    return datetime.fromtimestamp(until.timestamp() - LEASE_SECONDS, until.tzinfo)
