"""A client that keeps its promise: it posts each message until it hears a 200, and writes down all that it hears.

A lane is one recipient of one channel. Within a lane the client posts the next message only after the 200 of the one
before, since only then the gateway promises an order. Lanes run side by side.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Self

import aiohttp

from kurir.bench.callbacks import Step
from kurir.bench.ledgers import NO_ANSWER, TRY_LATER, Heard, Key, Posted, Told, words
from kurir.bench.processes import PASSWORD, USERNAME
from kurir.domain.recipient import PREFIX_OF

#: Longer than the gateway's own limit of 10 s for a write that is slow.
ANSWER_SECONDS: Final = 15.0
#: The waits before a message is posted again, in seconds; the last one repeats. Jitter on top.
WAITS: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
PATIENCE: Final = 2.0
#: Words of a long message: about 5,500 characters, so two or three parts on the platforms with shorter limits.
LONG: Final = 450
#: Messages that are read at once, and events of the feed in one answer.
READERS: Final = 8
PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Mix:
    """What a client posts. *long*: share of messages in several parts. *once*: share that is posted once, come what may."""

    long: float = 0.05
    once: float = 0.05


@dataclass(slots=True)
class Lane:
    """A recipient of one channel, and how many messages were posted to it. *account* is "" for the default one."""

    label: str
    channel: str
    address: str
    account: str = ""
    priority: str = ""
    serial: int = 0

    def next(self) -> Key:
        """Return the key of the lane's next message."""
        self.serial += 1
        return Key(self.label, self.serial)


def lanes(people: Iterable[tuple[str, str]], *, first: int = 0, account: str = "", priority: str = "") -> list[Lane]:
    """Return a lane for each (channel, address), labelled from *first* on."""
    return [
        Lane(f"L{first + number}", channel, address, account, priority)
        for number, (channel, address) in enumerate(people)
    ]


@dataclass
class Client:
    """The client of a run. *posted* is its ledger."""

    url: str
    session: aiohttp.ClientSession
    run: str = "run"
    name: str = USERNAME
    posted: list[Posted] = field(default_factory=list)

    async def post(self, lane: Lane, *, count: int = 1, once: bool = False, until: float | None = None) -> Posted:
        """Post the lane's next message, of *count* words, until a 200 or until *until* (unix seconds); *once*: one time."""
        key = lane.next()
        one = Posted(key, lane.channel, lane.address, f"{self.run}-{key.lane}-{key.serial}", lane.priority)
        self.posted.append(one)
        body = {
            "id": one.message_id,
            "times": int(time.time()),
            "timestamp": "2026-01-01T00:00:00Z",
            "recipient": f"{PREFIX_OF[lane.channel]}:{lane.address}",
            "type": "text",
            "body": {"text": words(key, count)},
        }
        body |= {name: value for name, value in (("account", lane.account), ("priority", lane.priority)) if value}
        for number in range(1_000_000):
            heard, wait = await self._request(lane.channel, body)
            one.heard.append(heard)
            if heard.status == 200 or once or heard.status not in {NO_ANSWER, *TRY_LATER}:
                break
            if until is not None and time.time() >= until:
                break
            await asyncio.sleep(max(wait, WAITS[min(number, len(WAITS) - 1)]) * _jitter(number, key))
        return one

    async def until_posted(self, count: int, seconds: float = 60.0) -> None:
        """Wait until *count* messages are acknowledged. Raises TimeoutError after *seconds*."""
        async with asyncio.timeout(seconds):
            while sum(1 for one in self.posted if one.acknowledged) < count:  # noqa: ASYNC110 - a poll costs nothing here
                await asyncio.sleep(0.02)

    async def _request(self, channel: str, body: Mapping[str, Any]) -> tuple[Heard, float]:
        """Post once; return what was heard, and the wait that the answer asks for, in seconds."""
        began = time.time()
        try:
            async with self.session.post(f"{self.url}/{channel}/send/{self.name}", json=body) as answer:
                content = await answer.json(content_type=None)
                tid = content["data"]["tid"] if answer.status == 200 else ""
                wait = min(PATIENCE, float(answer.headers.get("Retry-After", 0)))
                return Heard(began, time.time(), answer.status, tid), wait
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return Heard(began, time.time(), NO_ANSWER), 0.0

    async def told(self, tid: str) -> Told | None:
        """Return what the gateway says of a message, None when it knows none."""
        async with self.session.get(f"{self.url}/v1/messages/{tid}") as answer:
            return Told.read((await answer.json())["data"]) if answer.status == 200 else None

    async def told_all(self, posted: Sequence[Posted]) -> dict[str, Told]:
        """Return what the gateway says of all of *posted* that have a tid."""
        waiting = iter([one.tid for one in posted if one.tid])
        found: dict[str, Told] = {}

        async def read() -> None:
            for tid in waiting:
                told = await self.told(tid)
                if told is not None:
                    found[tid] = told

        await asyncio.gather(*(read() for _ in range(READERS)))
        return found

    async def feed(self, after: str = "") -> tuple[list[Step], str]:
        """Return (the changes of statuses that the feed has behind the cursor *after*, the cursor behind them)."""
        found: list[Step] = []
        while True:
            url = f"{self.url}/v1/events?limit={PAGE}" + (f"&after={after}" if after else "")
            async with self.session.get(url) as answer:
                page = await answer.json()
                if answer.status != 200:
                    raise ValueError(f"the feed answers {answer.status}: {page}")
            if not page["data"]:
                return found, after
            after = page["next"]
            for one in page["data"]:
                data = one["data"]
                if one["type"] == "message.status":
                    found.append(Step(data["tid"], data["message_id"], data["previous"], data["status"]))

    async def open(self) -> int:
        """Return how many messages of the newest ten thousand that are pending have not left."""
        count, after = 0, ""
        for _ in range(50):
            url = f"{self.url}/v1/messages?status=0&limit=200" + (f"&after={after}" if after else "")
            async with self.session.get(url) as answer:
                page = await answer.json()
            if answer.status != 200:
                return -1
            count += sum(1 for one in page["data"] if (one["reason"] or {}).get("code") != "awaiting_receipt")
            after = page["next"] or ""
            if not after:
                break
        return count

    async def settled(self, seconds: float) -> float:
        """Wait until nothing is pending but receipts, at most *seconds*; return how long it took."""
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                if await self.open() == 0:
                    break
            await asyncio.sleep(0.25)
        return time.monotonic() - began


def _jitter(number: int, key: Key) -> float:
    """Return a factor of 0.5 to 1.5 that spreads the repeats of many lanes."""
    return 0.5 + (hash((key, number)) % 1000) / 1000


def client_session(username: str = USERNAME, password: str = PASSWORD) -> aiohttp.ClientSession:
    """Return a session that is logged in, with keep-alive."""
    return aiohttp.ClientSession(
        headers={"Auth-username": username, "Auth-password": password},
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
        connector=aiohttp.TCPConnector(limit=128),
    )


class Load:
    """Posts at a steady rate (messages a second) to many lanes, from ``async with`` until it is stopped.

    A block that fails takes the load with it.
    """

    def __init__(self, client: Client, over: Sequence[Lane], rate: float, seed: int, mix: Mix | None = None) -> None:
        self._client = client
        self._free: asyncio.Queue[Lane] = asyncio.Queue()
        self._random = Random(seed)  # noqa: S311 - a load that can be repeated
        shuffled = list(over)
        self._random.shuffle(shuffled)
        for lane in shuffled:
            self._free.put_nowait(lane)
        self._rate = rate
        self._mix = mix or Mix()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()
        #: No message is posted again after this moment (unix seconds).
        self.until: float | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.stop()
            return
        tasks = [task for task in (self._task, *self._running) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self, seconds: float = 30.0) -> None:
        """Begin no other message; those that are begun are posted on for at most *seconds*."""
        self._stopping.set()
        self.until = time.time() + seconds
        if self._task is not None:
            await self._task
        while self._running:
            await asyncio.wait(self._running)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self._stopping.is_set():
            # A load that fell behind while the gateway was down catches up by a second's worth, and drops the rest.
            due = max(due + 1 / self._rate, loop.time() - 1.0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._stopping.wait()
            lane = await self._lane()
            if lane is not None:
                task = asyncio.create_task(self._post(lane))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def _lane(self) -> Lane | None:
        """Return a lane whose last message is acknowledged; None when the load is stopped meanwhile."""
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    return await self._free.get()
        return None

    async def _post(self, lane: Lane) -> None:
        count = LONG if self._random.random() < self._mix.long else 1
        once = self._random.random() < self._mix.once
        try:
            await self._client.post(lane, count=count, once=once, until=self.until)
        finally:
            self._free.put_nowait(lane)


class Platforms:
    """The sandbox as a run uses it: its people and its faults."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def people(self, channels: Sequence[str]) -> list[tuple[str, str]]:
        """Return (channel, address) of everybody on *channels* who can be written to by an address of digits or an id."""
        async with self._session.get(f"{self._url}/sandbox/phones") as answer:
            phones = (await answer.json())["data"]
        found = [(phone["channel"], phone["address"]) for phone in phones]
        return [(channel, address) for channel, address in found if channel in channels and "x" not in address]

    async def fault(self, profile: Mapping[str, Any] | None, channel: str = "all") -> None:
        """Set the faults of *channel*, None takes them away. Raises ValueError with the sandbox's words."""
        method, body = ("DELETE", None) if profile is None else ("PUT", profile)
        async with self._session.request(method, f"{self._url}/sandbox/faults/{channel}", json=body) as answer:
            if answer.status != 200:
                raise ValueError(f"the sandbox refuses the faults: {await answer.text()}")
