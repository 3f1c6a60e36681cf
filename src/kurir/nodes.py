"""Which of many nodes does what: each account, each endpoint and the upkeep is one node's, by a lease in PostgreSQL.

A node keeps one connection of its own. Every second it renews itself and what it holds in one transaction; what does not
come back is not its any more, and is stopped at once. By its own clock a lease ends fifteen seconds after the renewal was
*sent*, so never later than by the database's. While that moment comes near (the database is away, the process was
stopped) nothing is begun, and nothing is given up either: if nobody took the lease meanwhile, the next renewal has it back.

Leases that are free are taken up to a fair share; what is more than that is handed over. Hints go from node to node by
NOTIFY. They only save waiting: everybody also looks by itself each second.
"""

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Final, Protocol

import asyncpg
import structlog

from kurir.clock import uuid7
from kurir.store.base import StoreError, StoreUnavailable
from kurir.store.postgres import PostgresStore, leases
from kurir.store.postgres.leases import ACCOUNT, LEASE_SECONDS, LEFT_SECONDS, View, moment

log = structlog.get_logger(__name__)

#: How often a node renews what it holds, in seconds; each time between 0.8 and 1.2 of it.
EVERY_SECONDS: Final = 1.0
#: How long a round on the node's own connection may take, in seconds, before another connection is opened.
ROUND_SECONDS: Final = 8.0
#: After it (re)connected a node leaves others so many seconds to come back, before it takes what they held: a database
#: that was away has lost the sessions of all.
PATIENCE_SECONDS: Final = 3.0
#: Hints that come within this time, in seconds, travel together.
HINT_SECONDS: Final = 0.02
#: Bytes of one notification (PostgreSQL: "less than 8000 bytes"), and hints that wait for one, at most.
HINT_BYTES: Final = 7000
HINTS: Final = 2000
#: Accounts that are taken at once.
TAKERS: Final = 4
#: How long what is handed over may take to end, in seconds.
DRAIN_SECONDS: Final = 10.0
#: How long a node that leaves tries to say so, in seconds, before its drain and after it. The others find out without.
LEAVE_SECONDS: Final = 3.0
#: A node's clock may differ from the database's by so many seconds, before it is said.
CLOCK_SECONDS: Final = 2.0

_TROUBLE: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
#: Somebody was in the way: the session goes on, and with it the lock that says that the node lives.
_IN_THE_WAY: Final = (asyncpg.LockNotAvailableError, asyncpg.TransactionRollbackError)

Hint = Sequence[str]


class Works(Protocol):
    """What the node does for what it owns."""

    def wanted(self) -> Mapping[str, Collection[str]]:
        """Return the names of all leases that somebody has to hold, by kind."""
        ...

    async def own(self, name: str) -> None:
        """Begin to work for it. Raises StoreError: then it is not owned."""
        ...

    async def disown(self, name: str, seconds: float) -> None:
        """Work for it no more. What runs may end within so many seconds; 0: it is another node's already."""
        ...

    async def follow(self) -> None:
        """Look what others changed in the store. Raises StoreError."""
        ...

    def hear(self, hint: Hint) -> None:
        """Another node gave a hint."""
        ...


@dataclass(slots=True)
class _Held:
    """A lease of this node. ``until`` is when it ends at the earliest, by :func:`moment`; ``since`` is monotonic."""

    fence: int
    until: float
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Share:
    """How many leases of a kind to take now, and how many to hand over."""

    take: int = 0
    give: int = 0


def share(node_id: str, counts: Mapping[str, int], total: int, free: int, left: int) -> Share:
    """Return what *node_id* takes and gives of *total* leases of a kind. Pure.

    *counts*: how many each node that lives and works holds, this one among them. *free* leases nobody holds, of which
    *left* ones nobody took for a while: whoever sees those takes them, whatever its share is.

    Everybody has at least the floor of the average and at most its ceiling, and what is above the floor is taken only when
    all have that. Where some have less and nothing is free, those above the floor give one each, in the order of their ids.
    """
    floor, rest = divmod(total, len(counts))
    ceiling = floor + bool(rest)
    mine = counts[node_id]
    missing = sum(max(0, floor - count) for name, count in counts.items() if name != node_id)
    take = min(free, max(0, (floor if missing else ceiling) - mine))
    if mine > ceiling:
        return Share(give=mine - ceiling)
    surplus = sum(max(0, count - ceiling) for count in counts.values())
    donors = sorted(name for name, count in counts.items() if count == ceiling > floor)
    if node_id in donors and donors.index(node_id) < missing - free - surplus:
        return Share(give=1)
    return Share(take=max(take, left))


class Keeper:
    """One node: keeps its leases, takes and gives its share, and carries hints.

    *role* is all, api or worker; an api node holds no lease. ``fences`` for the store is the keeper itself. *wall* is the
    node's clock, in unix seconds.
    """

    def __init__(
        self,
        store: PostgresStore,
        works: Works,
        role: str,
        rng: Random | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.node_id = uuid7()
        self.host = socket.gethostname()
        self.role = role
        self._store = store
        self._works = works
        self._rng = rng or Random()  # noqa: S311 - jitter, not secrets
        self._wall = wall
        self._clock_is_off = False
        self._connection: asyncpg.Connection[Any] | None = None
        self._busy = asyncio.Lock()
        self._patient_until = 0.0
        self._entered = False
        self._held: dict[str, _Held] = {}
        self._taking: set[str] = set()
        self._giving: set[str] = set()
        self._ended: dict[str, int] = {}  # what is to be given back: its work has ended
        self._returning: asyncio.Task[None] | None = None
        self._turns: dict[str, asyncio.Lock] = {}
        self._others: frozenset[str] = frozenset()
        self._hints: dict[tuple[str, ...], None] = {}
        self._telling: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        self._doubted = asyncio.Event()
        self._leaving = False
        self._trouble = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._changes: set[asyncio.Task[None]] = set()

    # --- what the store and the workers ask ---------------------------------------------------------------------------

    def fence(self, account_id: str) -> int | None:
        """Return the fence by which the node owns the account, None where it does not."""
        held = self._held.get(ACCOUNT + account_id)
        return None if held is None else held.fence

    def left(self, account_id: str) -> float:
        """Return for how many seconds the node owns the account at least, by its own clock."""
        return self._left(ACCOUNT + account_id)

    def since(self, account_id: str) -> float:
        """Return since when the node owns the account without a break (monotonic), infinity where it does not."""
        held = self._held.get(ACCOUNT + account_id)
        return float("inf") if held is None else held.since

    def lost(self, account_id: str) -> None:
        """Begin nothing more for the account, and renew at once: the store says that another node owns it by now."""
        held = self._held.get(ACCOUNT + account_id)
        if held is not None:
            held.until = float("-inf")
            self._doubted.set()

    def may_begin(self, name: str) -> bool:
        """Return whether something may be begun for what *name* leases."""
        return self._left(name) > leases.MARGIN_SECONDS

    def _left(self, name: str) -> float:
        held = self._held.get(name)
        return 0.0 if held is None else held.until - moment()

    def alive(self) -> str:
        """Return what is wrong with it, "" nothing."""
        if any(task.done() for task in self._tasks):
            return "a task of the node does not run"
        return self._trouble

    # --- its life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Enter, and take what is free of the share at once. Raises StoreError where the database does not answer."""
        try:
            await self._with_connection(self._renew)
            await self._share()
        except _TROUBLE as error:
            await self._disconnect()
            raise StoreUnavailable(f"the node cannot enter: {type(error).__name__}: {error}") from error
        await self._works.follow()
        await asyncio.gather(*self._changes)
        self._tasks = [
            asyncio.create_task(self._repeat(self._keep, self._doubted), name="node renews"),
            asyncio.create_task(self._repeat(self._share, self._look), name="node shares"),
            asyncio.create_task(self._repeat(self._works.follow), name="node follows"),
        ]

    async def leave(self) -> None:
        """Hand everything over: each lease is given back when its worker has ended, the last one with the node itself.

        Ends in time also where the database does not answer: then the others see that the session is gone.
        """
        self._leaving = True
        if not self._entered:
            return
        await self._say(lambda connection: leases.leaving(connection, self.node_id))
        gives = [asyncio.create_task(self._give(name)) for name in list(self._held)]
        if gives:
            await asyncio.wait(gives, timeout=DRAIN_SECONDS + LEAVE_SECONDS)
        await self._say(self._go)
        for give in gives:
            give.cancel()
        await asyncio.gather(*self._cancel(), *gives, return_exceptions=True)
        self._tasks = []
        await self._disconnect()

    async def _say(self, work: Callable[[Any], Awaitable[None]]) -> None:
        with contextlib.suppress(*_TROUBLE):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._with_connection(work)

    async def _go(self, connection: Any) -> None:
        """Delete the node, which frees all that it still holds, and tell the others."""
        self._cancel()  # nobody else is in the middle of a statement here: that would have to be waited for
        await leases.leave(connection, self.node_id)
        for text in packed(self.node_id, [*self._hints, ("leases",)]):
            await leases.notify(connection, text)

    def _cancel(self) -> list[asyncio.Task[None]]:
        running = [*self._tasks, *self._changes, *filter(None, (self._returning, self._telling))]
        for task in running:
            task.cancel()
        return running

    async def _repeat(self, work: Callable[[], Awaitable[object]], hint: asyncio.Event | None = None) -> None:
        """Do *work* every second, sooner when *hint* is set. What fails is tried again."""
        hint = hint or asyncio.Event()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS * self._rng.uniform(0.8, 1.2)):
                    await hint.wait()
            hint.clear()
            try:
                await work()
            except (*_TROUBLE, StoreError) as error:
                log.debug("node_without_database", error=f"{type(error).__name__}: {error}")
            except Exception:
                log.exception("node_fault")

    async def _keep(self) -> None:
        try:
            try:
                await self._with_connection(self._renew)
            except _TROUBLE:
                if self._trouble:
                    raise
                await self._with_connection(self._renew)  # at once: the connection may be all that was lost
        except _TROUBLE as error:
            if not self._trouble:
                log.warning("node_not_renewed", error=f"{type(error).__name__}: {error}")
            self._trouble = f"the node's leases are not renewed: {type(error).__name__}"
            raise
        self._trouble = ""

    async def _share(self) -> None:
        """End the nodes that are dead, take and give."""
        await self._with_connection(self._bury)
        view = await self._with_connection(self._see)
        self._others = view.nodes - {self.node_id}
        if self._leaving or self.role == "api" or self.node_id not in view.workers:
            return
        for kind, names in self._works.wanted().items():
            await self._balance(kind, frozenset(names), view)

    # --- the connection -----------------------------------------------------------------------------------------------

    async def _with_connection(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async with self._busy:
            try:
                async with asyncio.timeout(ROUND_SECONDS):
                    if self._connection is None or self._connection.is_closed():
                        self._connection = await self._enter()
                    return await work(self._connection)
            except _TROUBLE as error:
                if not isinstance(error, _IN_THE_WAY):
                    await self._disconnect()
                raise

    async def _enter(self) -> "asyncpg.Connection[Any]":
        connection = await self._store.connect()
        try:
            if not await leases.lock(connection, self.node_id):
                raise TimeoutError("the session before still has the node's lock")  # noqa: TRY301 - as if it took long
            await leases.enter(connection, self.node_id, self.host, os.getpid(), self.role)
            await connection.add_listener(leases.CHANNEL, self._heard)
        except BaseException:
            connection.terminate()
            raise
        young = await leases.server_age(connection) < PATIENCE_SECONDS
        self._patient_until = moment() + (PATIENCE_SECONDS if young or self._entered else 0.0)
        self._entered = True
        return connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    # --- keeping ------------------------------------------------------------------------------------------------------

    async def _renew(self, connection: Any) -> None:
        held, until = dict(self._held), moment() + LEASE_SECONDS
        before = self._wall()
        found = await leases.renew(connection, self.node_id)
        if found is None:
            await leases.enter(connection, self.node_id, self.host, os.getpid(), self.role)
            renewed: Mapping[str, int] = {}
        else:
            told_at, renewed = found
            self._compare_clocks(ahead(before, told_at, self._wall()))
        for name, lease in held.items():
            if self._held.get(name) is not lease:
                continue  # given back meanwhile
            if renewed.get(name) == lease.fence:
                lease.until = until
            else:
                log.warning("lease_lost", lease=name)
                del self._held[name]
                self._spawn(self._end(name, 0.0))

    def _compare_clocks(self, seconds: float) -> None:
        """Say that the node's clock is off. It works on: the wrong one may be the database's, and so everybody's."""
        off = abs(seconds) > CLOCK_SECONDS
        if off and not self._clock_is_off:
            log.warning(
                "node_clock_is_off",
                seconds_ahead=round(seconds, 1),
                advice="Let NTP set the clocks of all nodes and of the database: times to send at, to expire and to wait "
                "until are one node's, and are read by another.",
            )
        elif self._clock_is_off and not off:
            log.info("node_clock_agrees")
        self._clock_is_off = off

    async def _bury(self, connection: Any) -> None:
        if moment() < self._patient_until:  # asked here: the connection may be a new one
            return
        for node_id in await leases.bury(connection, self.node_id):
            log.warning("node_gone", node=node_id)

    async def _see(self, connection: Any) -> View:
        view = await leases.look(connection)
        if self.role != "api":
            unknown = [one for names in self._works.wanted().values() for one in names if one not in view.holders]
            if unknown:
                await leases.know(connection, unknown)
                view = await leases.look(connection)
        # What was taken, and the answer was lost.
        stray = [
            name
            for name, holder in view.holders.items()
            if holder == self.node_id and name not in self._held and name not in self._taking
        ]
        if stray:
            await leases.drop(connection, self.node_id, stray)
        return view

    async def _balance(self, kind: str, wanted: frozenset[str], view: View) -> None:
        """Take or give leases of a kind."""
        mine = [name for name in self._held if name in wanted and name not in self._giving]
        for name in [name for name in self._held if name.startswith(kind) and name not in wanted]:
            self._hand_over(name)  # its account or endpoint is there no more
        counts = dict.fromkeys(view.workers, 0)
        for name, holder in view.holders.items():
            if holder in counts and name in wanted:
                counts[holder] += 1
        counts[self.node_id] = len(mine)
        free = [name for name in view.free if name in wanted and name not in self._held]
        if moment() < self._patient_until:
            free = [name for name in free if name not in view.expired]
        left = sum(view.free[name] > LEFT_SECONDS for name in free)
        what = share(self.node_id, counts, len(wanted), len(free), left)
        for name in mine[len(mine) - what.give :]:
            self._hand_over(name)
        if what.take:
            self._rng.shuffle(free)
            free.sort(key=lambda name: -view.free[name] if view.free[name] > LEFT_SECONDS else 0.0)
            await self._take(free[: what.take])

    async def _take(self, names: list[str]) -> None:
        """Take leases. What keeps one from being taken, or being heard of, keeps no other from it."""
        slots = asyncio.Semaphore(TAKERS)
        self._taking.update(names)

        async def take(name: str) -> None:
            async with slots:
                until = moment() + LEASE_SECONDS
                if name.startswith(ACCOUNT):
                    fence = await self._store.take(self.node_id, name, name.removeprefix(ACCOUNT))
                else:
                    taken = await self._with_connection(lambda one: leases.take(one, self.node_id, [name]))
                    fence = taken.get(name)
                if fence is not None:
                    lease = self._held[name] = _Held(fence, until)
                    self._spawn(self._begin(name, lease))  # here: what is held is worked for, whatever else fails

        try:
            found = await asyncio.gather(*(take(name) for name in names), return_exceptions=True)
        finally:
            self._taking.difference_update(names)
        errors = [error for error in found if isinstance(error, BaseException)]
        for fault in [error for error in errors if not isinstance(error, (*_TROUBLE, StoreError))]:
            log.error("node_fault", exc_info=fault)
        if errors:
            log.warning("leases_not_taken", many=len(errors), error=f"{type(errors[0]).__name__}: {errors[0]}")

    # --- owning and giving --------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    async def _begin(self, name: str, lease: _Held) -> None:
        """Let the work begin for a lease that was taken."""
        async with self._turns.setdefault(name, asyncio.Lock()):
            if self._leaving or self._held.get(name) is not lease:
                return
            try:
                await self._works.own(name)
            except Exception:
                log.exception("lease_not_worked_for", lease=name)
                self._hand_over(name)

    async def _end(self, name: str, seconds: float) -> None:
        async with self._turns.setdefault(name, asyncio.Lock()):
            try:
                await self._works.disown(name, seconds)
            except Exception:
                log.exception("lease_not_ended", lease=name)

    def _hand_over(self, name: str) -> None:
        if name not in self._giving:
            self._giving.add(name)
            self._spawn(self._give(name))

    async def _give(self, name: str) -> None:
        """End the work, then give the lease back, while it is still renewed."""
        self._giving.add(name)
        try:
            await self._end(name, DRAIN_SECONDS)
            lease = self._held.pop(name, None)
            if lease is not None:
                self._ended[name] = lease.fence
        finally:
            self._giving.discard(name)
        if self._ended and (self._returning is None or self._returning.done()):
            self._returning = asyncio.create_task(self._give_back(), name="node gives back")

    async def _give_back(self) -> None:
        """Give back what has ended. What ended while the last of it was given back goes in one statement."""
        while self._ended:
            ended, self._ended = self._ended, {}
            try:
                await self._with_connection(partial(leases.release, node_id=self.node_id, fences=ended))
            except _TROUBLE:
                return  # the next round sees that the node still has them
            self.tell("leases")

    # --- hints --------------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Take and give at once: what has to be owned has changed."""
        self._look.set()

    def tell(self, *hint: str) -> None:
        """Send a hint to the other nodes, together with what comes within the next moment. It may be lost."""
        if not self._others or len(self._hints) >= HINTS:
            return
        self._hints[hint] = None
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell(), name="node hints")

    async def _tell(self) -> None:
        while self._hints:
            await asyncio.sleep(HINT_SECONDS)
            hints, self._hints = list(self._hints), {}
            for text in packed(self.node_id, hints):
                try:
                    await self._with_connection(partial(leases.notify, text=text))
                except _TROUBLE:
                    return  # everybody looks by itself

    def _heard(self, _connection: Any, _process: int, _channel: str, text: object) -> None:
        sender, hints = unpacked(str(text))
        if sender == self.node_id:
            return
        for hint in hints:
            if hint[0] == "leases":
                self._look.set()
                continue
            try:
                self._works.hear(hint)
            except Exception as error:  # noqa: BLE001 -- whoever may log in to the database may send any
                log.debug("hint_not_understood", word=hint[0][:40], error=type(error).__name__)


def packed(node_id: str, hints: Sequence[Hint]) -> list[str]:
    """Return *hints* as the texts of notifications, none too long for PostgreSQL. A hint that is, is left out."""
    texts: list[str] = []
    batch: list[Hint] = []
    size = 0
    for hint in hints:
        length = len(json.dumps(hint)) + 2
        if length > HINT_BYTES:
            continue
        if batch and size + length > HINT_BYTES:
            texts.append(json.dumps([node_id, batch]))
            batch, size = [], 0
        batch.append(hint)
        size += length
    if batch:
        texts.append(json.dumps([node_id, batch]))
    return texts


def unpacked(text: str) -> tuple[str, list[Hint]]:
    """Return the sender of a notification and its hints; of what is no hint, nothing."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return "", []
    match told:
        case [str(sender), list(hints)]:
            return sender, [hint for hint in hints if isinstance(hint, list) and hint and _words(hint)]
    return "", []


def _words(hint: list[object]) -> bool:
    return all(isinstance(word, str) for word in hint)


def ahead(before: float, told: float, after: float) -> float:
    """Return by how many seconds a clock is ahead at least (negative: behind) of another, which *told* its time meanwhile.

    It showed *before* when the other one was asked, and *after* when the answer was there.
    """
    return max(0.0, before - told) + min(0.0, after - told)
