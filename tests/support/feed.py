"""Callbacks without a database and without a network, in simulated time: what is owed in memory, endpoints by script."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random
from typing import Any, Self

from kurir.callbacks.deliverer import Deliverer
from kurir.callbacks.keys import Keys
from kurir.domain.status import Status
from kurir.egress import Miss, Posted
from kurir.store.base import EndpointRecord, StoreUnavailable
from kurir.store.feed import (
    CallbackAttempt,
    CallbackRecord,
    Called,
    Endpoint,
    EventRecord,
    Ladder,
    Owed,
    Replay,
    StatusChange,
    endpoint_id_of,
)
from support.simulation import SimulatedClock, SimulatedLoop

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL = "https://crm.example.com/hook"


class MemoryFeed:
    """FeedStore in memory. ``trouble``: every call raises StoreUnavailable while it is set. Each takes a little time."""

    def __init__(self) -> None:
        self.feed: list[EventRecord] = []
        self.ends: dict[str, Endpoint] = {}
        self.rows: dict[str, dict[int, CallbackRecord]] = defaultdict(dict)
        self.tries: dict[tuple[str, int], list[CallbackAttempt]] = defaultdict(list)
        self.trouble = False
        self.reads = 0
        self.position_reads = 0
        self.largest_batch = 0

    async def _time(self) -> None:
        await asyncio.sleep(0.001)
        if self.trouble:
            raise StoreUnavailable("the disk is full")

    def add(self, client_id: str, conversation: str, at: datetime, **more: Any) -> EventRecord:
        position = len(self.feed) + 1
        change = StatusChange(f"tid-{position}", f"m{position}", conversation, Status.SENT, Status.PENDING)
        event = EventRecord(
            position,
            client_id,
            "message.status",
            "acme-tg",
            "telegram",
            conversation,
            at,
            **({"change": change} | more),
        )
        self.feed.append(event)
        for end in self.ends.values():
            if end.record.client_id == client_id and end.record.enabled:
                self.rows[end.id][position] = CallbackRecord(end.id, position, event.kind, conversation, Owed.PENDING)
        return event

    async def events(self, client_id: str, *, after: int = 0, limit: int = 100) -> list[EventRecord]:
        await self._time()
        self.reads += 1
        return [one for one in self.feed if one.client_id == client_id and one.position > after][:limit]

    async def last_position(self, client_id: str) -> int:
        await self._time()
        self.position_reads += 1
        return max((one.position for one in self.feed if one.client_id == client_id), default=0)

    async def event(self, client_id: str, position: int) -> EventRecord | None:
        await self._time()
        return next((one for one in self.feed if (one.client_id, one.position) == (client_id, position)), None)

    async def all_endpoints(self) -> list[Endpoint]:
        await self._time()
        return list(self.ends.values())

    async def endpoint(self, endpoint_id: str) -> Endpoint | None:
        await self._time()
        end = self.ends.get(endpoint_id)
        states = [row.state for row in self.rows[endpoint_id].values()]
        return end and replace(end, pending=states.count(Owed.PENDING), failed=states.count(Owed.FAILED))

    async def put_endpoint(self, record: EndpointRecord, at: datetime, was: bytes | None = None) -> Endpoint | None:  # noqa: ARG002 - the protocol's
        await self._time()
        known = self.ends.get(endpoint_id_of(record.client_id, record.url))
        if was is not None and was != (known.record.sealed if known else b""):
            return None
        return self.put(record)

    def put(self, record: EndpointRecord) -> Endpoint:
        endpoint_id = endpoint_id_of(record.client_id, record.url)
        old = self.ends.get(endpoint_id)
        self.ends[endpoint_id] = replace(old, record=record) if old else Endpoint(endpoint_id, record)
        return self.ends[endpoint_id]

    async def delete_endpoint(self, endpoint_id: str) -> bool:
        await self._time()
        self.rows.pop(endpoint_id, None)
        return self.ends.pop(endpoint_id, None) is not None

    async def set_ladder(self, endpoint_id: str, ladder: Ladder, was: Ladder | None = None) -> Ladder | None:
        await self._time()
        end = self.ends.get(endpoint_id)
        if end is not None and was in (None, end.ladder):
            end = self.ends[endpoint_id] = replace(end, ladder=ladder)
        return end and end.ladder

    async def owed(self, endpoint_id: str, *, after: int = 0, limit: int = 100) -> list[CallbackRecord]:
        found = [row for row in self.rows[endpoint_id].values() if row.state is Owed.PENDING and row.position > after]
        page = sorted(found, key=lambda row: row.position)[:limit]
        await self._time()  # what is read is an old picture when it is known
        return [replace(row, event=self.feed[row.position - 1]) for row in page]

    async def called(self, results: Sequence[Called]) -> None:
        await self._time()
        self.largest_batch = max(self.largest_batch, len(results))
        for result in results:
            place = result.attempt.endpoint_id, result.attempt.position
            row = self.rows[place[0]].get(place[1])
            if row is None:
                continue
            self.tries[place].append(result.attempt)
            ended = result.attempt.at if result.state is not Owed.PENDING else None
            self.rows[place[0]][place[1]] = replace(
                row, state=result.state, tries=row.tries + 1, next_at=result.next_at, ended_at=ended
            )

    async def replay(self, endpoint_id: str, wanted: Replay, at: datetime) -> int:  # noqa: ARG002 - the protocol's
        await self._time()
        count = 0
        for position, row in self.rows[endpoint_id].items():
            chosen = not wanted.positions or position in wanted.positions
            if chosen and row.state is not Owed.PENDING and (not wanted.failed_only or row.state is Owed.FAILED):
                self.rows[endpoint_id][position] = replace(row, state=Owed.PENDING, tries=0, next_at=None)
                count += 1
        return count

    async def callbacks(
        self, endpoint_id: str, *, state: Owed | None = None, before: int | None = None, limit: int = 100
    ) -> list[CallbackRecord]:
        await self._time()
        found = [row for row in self.rows[endpoint_id].values() if state in (None, row.state)]
        return sorted((r for r in found if before is None or r.position < before), key=lambda r: -r.position)[:limit]

    async def callback_attempts(self, endpoint_id: str, position: int) -> list[CallbackAttempt]:
        await self._time()
        return self.tries[endpoint_id, position]


@dataclass
class Arrived:
    """A call as the endpoint saw it. ``answered`` is None while it hangs, and where the gateway died before."""

    at: float
    url: str
    position: int
    webhook_id: str
    headers: Mapping[str, str]
    body: bytes
    answer: Posted
    life: int
    answered: float | None = None


def answer(status: int, **headers: str) -> Posted:
    return Posted(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"so it is", 5)


def miss(why: Miss = Miss.CONNECT) -> Posted:
    return Posted(0, {}, b"", 5, why, "nobody there")


OK = answer(200)
#: Says what an endpoint answers to a call: (position, url) → an answer.
Script = Callable[[int, str], Posted]


@dataclass
class ScriptedEndpoints:
    """Stands for the egress. ``latency`` in simulated seconds, for all or by URL."""

    clock: SimulatedClock
    script: Script = lambda *_: OK
    latency: float = 0.05
    slow: dict[str, float] = field(default_factory=dict)
    arrived: list[Arrived] = field(default_factory=list)
    under_way: list[Arrived] = field(default_factory=list)
    most: int = 0
    life: int = 1

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        webhook_id = headers["webhook-id"]
        position = int(webhook_id.rpartition("_")[2]) if not webhook_id.startswith("evt_test") else 0
        given = self.script(position, url)
        one = Arrived(self.clock.seconds, url, position, webhook_id, headers, body, given, self.life)
        self.arrived.append(one)
        self.under_way.append(one)
        self.most = max(self.most, len(self.under_way))
        try:
            await asyncio.sleep(self.slow.get(url, self.latency))
        finally:
            self.under_way.remove(one)
        one.answered = self.clock.seconds
        return given

    def at(self, url: str = URL) -> list[Arrived]:
        return [one for one in self.arrived if one.url == url]

    def positions(self, url: str = URL) -> list[int]:
        return [one.position for one in self.at(url)]


class World:
    """A deliverer over both, in time of its own."""

    def __init__(self, seed: int = 0) -> None:
        self.clock = SimulatedClock()
        self.loop = SimulatedLoop(self.clock)
        self.store = MemoryFeed()
        self.endpoints = ScriptedEndpoints(self.clock)
        self.seed = seed
        self.deliverer: Deliverer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.trouble = False
        if self.deliverer is not None:
            self.stop()
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def put(self, client_id: str = "acme", url: str = URL, dialect: str = "compat", *, enabled: bool = True) -> str:
        return self.store.put(EndpointRecord(client_id, url, dialect, ("*",), b"sealed", enabled)).id

    def start(self) -> None:
        self.deliverer = Deliverer(
            self.store, self.endpoints, self.clock, lambda _: Keys(SECRET), rng=Random(self.seed)
        )
        self.run(self.deliverer.start())

    def stop(self, seconds: float = 5.0) -> None:
        assert self.deliverer is not None
        self.run(self.deliverer.stop(seconds))
        self.deliverer = None

    def kill(self) -> None:
        """End the process: what it had not written is lost."""
        assert self.deliverer is not None
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.run(asyncio.sleep(0))
        self.run(asyncio.sleep(0))
        self.deliverer = None
        self.endpoints.life += 1

    def add(self, conversation: str = "1001", client_id: str = "acme", **more: Any) -> int:
        position = self.store.add(client_id, conversation, self.clock.now(), **more).position
        if self.deliverer is not None:
            self.run(self._wake(client_id))
        return position

    async def _wake(self, client_id: str) -> None:
        assert self.deliverer is not None
        self.deliverer.wake(client_id)

    def pass_time(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    def states(self, endpoint_id: str) -> dict[int, Owed]:
        return {position: row.state for position, row in self.store.rows[endpoint_id].items()}
