"""Delivery in simulated time: a loop that jumps to its next timer, the real store without threads, scripted platforms.

    with Simulation("telegram", seed=7) as world:
        world.platform.mood = Mood.THROTTLED
        tid = world.run(world.accept("1001", "hello"))
        world.pass_time(60.0)

Nothing waits for anything real, so an hour of an idle queue takes a second, and the same seed gives the same run. Delivery
is the real one (dispatcher, worker, sender, reader, rates, window, breaker, the channel, and the store's own SQL in an
SQLite database in memory). What is simulated: the clocks, how long the store and the platform take, and the platforms'
answers. A process that crashes leaves what it had committed, and the platforms what had reached them.
"""

import asyncio
import json
import re
import selectors
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Final, Self

import apsw

from kurir import channels
from kurir.channels.base import Answer, Call, NoAnswer, Stage
from kurir.delivery.dispatcher import Dispatcher
from kurir.directory import Directory
from kurir.domain.account import Account, Rate, Retrying
from kurir.domain.recipient import PREFIX_OF
from kurir.egress import Exchange
from kurir.intake.accept import Acceptor, Taken
from kurir.store.base import AccountRecord, ClientRecord, Declared, MessageRecord, QueuedMessage, ReceiptRecord
from kurir.store.sqlite import SqliteStore, opening
from support.delivering import CLIENT, open_account, records

#: How long a commit and a read take at most, in simulated seconds: so long a call may be made after it was counted.
STORE_SECONDS: Final = 0.002
#: How long LINE remembers a retry key, in seconds ("Retry failed API requests").
KEY_SECONDS: Final = 86_400.0
#: Few and quick attempts, so that little time has to pass.
QUICK: Final = Retrying(attempts=6, first_seconds=1.0, longest_seconds=20.0)
EPOCH: Final = 1_767_225_600.0  # 2026-01-01T00:00:00Z
#: The words of a message begin with this, each part of it holds it at least once.
_LABEL: Final = re.compile(r"\bm\d+\b")


class SimulatedClock:
    """:class:`kurir.clock.Clock`: the loop moves it, and a test sets its wall clock."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.offset = EPOCH - self.seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds + self.offset, UTC)

    def monotonic(self) -> float:
        return self.seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock, as an administrator does; no time passes."""
        self.offset += seconds


class _Jumping(selectors.DefaultSelector):
    """A selector that lets simulated time pass where a real one would wait."""

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("nobody will ever be woken: no timer is set and nothing is ready")
        self._clock.seconds += max(0.0, timeout)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is *clock*'s. Without threads and sockets its runs are the same every time."""

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__(_Jumping(clock))
        self._simulated = clock

    def time(self) -> float:
        return self._simulated.seconds


# --- the store -------------------------------------------------------------------------------------------------------------


@cache
def _empty_database() -> bytes:
    db = apsw.Connection(":memory:")
    opening.migrate(db, Path("simulated"), datetime.fromtimestamp(EPOCH, UTC))
    image = db.serialize("main")
    db.close()
    return image


class _Inline:
    """Stands for a thread of the store: takes one operation after the other, each for a little simulated time.

    What was asked for is done when its time has come, and known to the caller a moment later: so what is read is an old
    picture, and a process may die between a commit and its hearing of it.
    """

    def __init__(self, store: "SimulatedStore", *, writes: bool) -> None:
        self._store = store
        self._writes = writes
        self._busy_until = 0.0

    async def run(self, operation: Callable[[apsw.Connection], Any], **_patience: float | None) -> Any:
        store = self._store
        loop = asyncio.get_running_loop()
        for half in (0.1, 0.4):
            self._busy_until = max(self._busy_until, loop.time()) + store.rng.uniform(half, 0.5) * STORE_SECONDS / 4
            await asyncio.sleep(self._busy_until - loop.time())
            if store.dead:
                await loop.create_future()  # nobody hears of anything any more
            if half == 0.1:
                result = self._do(operation)
        return result

    def ask(self, operation: Callable[[apsw.Connection], Any], **patience: float | None) -> asyncio.Future[Any]:
        return asyncio.ensure_future(self.run(operation, **patience))

    def _do(self, operation: Callable[[apsw.Connection], Any]) -> Any:
        db = self._store.db
        if not self._writes:
            return operation(db)
        with db:
            result = operation(db)
        self._store.committed()
        return result


class SimulatedStore(SqliteStore):
    """The store over SQLite, with its SQL and without its threads and its file."""

    def __init__(self, rng: Random) -> None:
        super().__init__(Path("simulated"))
        self.rng = rng
        self.dead = False
        self.commits_left = -1
        self.db = apsw.Connection(":memory:")
        self.db.deserialize("main", _empty_database())
        self.db.pragma("foreign_keys", value=True)
        self.db.pragma("synchronous", "OFF")
        self._writer = _Inline(self, writes=True)  # type: ignore[assignment]
        self._prompt = _Inline(self, writes=False)  # type: ignore[assignment]
        self._patient = self._prompt

    def committed(self) -> None:
        """Die after this commit, if it is the one to die after."""
        self.commits_left -= 1
        if self.commits_left == 0:
            self.dead = True

    def ask(self, statement: str, *values: Any) -> list[Any]:
        """Return what the database says at this moment, without time passing."""
        return list(self.db.execute(statement, values))


# --- the platforms ---------------------------------------------------------------------------------------------------------


class Mood(StrEnum):
    """How a platform answers a call. Those of UNKNOWN give no answer that can be read."""

    TAKES = "takes"
    THROTTLES = "throttles"  # 429 without a wait
    THROTTLES_FOR = "throttles_for"  # 429 with one, where the platform names any
    THROTTLES_ACCOUNT = "throttles_account"
    FAULT = "fault"  # the platform's own 5xx: not taken
    UNREACHABLE = "unreachable"
    LOST = "lost"  # no answer, and not taken
    SILENT = "silent"  # no answer, and taken
    PROXY = "proxy"  # a proxy's page, and taken
    REFUSES = "refuses"
    STOPPED = "stopped"  # the account


UNKNOWN: Final = frozenset({Mood.LOST, Mood.SILENT, Mood.PROXY})
TAKEN: Final = frozenset({Mood.TAKES, Mood.SILENT, Mood.PROXY})
#: Those whose answer does not show that the platform lives.
DEAD: Final = UNKNOWN | {Mood.UNREACHABLE, Mood.FAULT}


@dataclass
class Arrival:
    """A call as the platform saw it. Moments are monotonic.

    ``taken``: the person has it, a copy of it if there were others (a repeat that the platform knew is none).
    ``answered``: when the gateway had the answer, None where the process died before.
    """

    number: int
    at: float
    wall: datetime
    life: int
    address: str
    label: str
    part: int
    repeatable: bool
    after_unknown: bool
    mood: Mood
    wait: float | None
    taken: bool = False
    platform_id: str = ""
    answered: float | None = None
    receipts: list[str] = field(default_factory=list)

    @property
    def known(self) -> bool:
        """Whether the gateway was given an answer that says what became of it."""
        return self.answered is not None and self.mood not in UNKNOWN


@dataclass
class Look:
    """A call as the platform saw it that sends nothing. ``answered`` as of an arrival."""

    at: float
    life: int
    mood: Mood
    answered: float | None = None


class ScriptedPlatform:
    """Stands for the egress: every platform, with a mood for all recipients or for one.

    *watch* is called with each arrival before it is answered, and may raise.
    """

    def __init__(self, clock: SimulatedClock, store: SimulatedStore, channel: str, watch: Callable[[Arrival], None]):
        self._clock = clock
        self._store = store
        self._channel = channel
        self._watch = watch
        self._keys: dict[str, tuple[float, Arrival]] = {}
        self.mood = Mood.TAKES
        self.moods: dict[str, Mood] = {}
        self.wait = 5.0
        self.latency = 0.05
        self.life = 1
        self.arrivals: list[Arrival] = []
        self.open: list[Arrival] = []
        self.looks: list[Look] = []
        self.watch_look: Callable[[Look], None] = lambda _: None
        self.faults: list[BaseException] = []

    async def send(self, call: Call, *_secrets_and_owner: object) -> Exchange:
        if self._store.dead:
            await asyncio.get_running_loop().create_future()
        if call.method == "GET":
            return await self._looked_at(call)
        arrival = self._arrive(call)
        try:
            self._watch(arrival)
        except AssertionError as fault:
            self.faults.append(fault)  # the worker would take it for a fault of the channel's
        self.open.append(arrival)
        answer = self._answer(call, arrival)
        began = self._clock.seconds
        try:
            await asyncio.sleep(self.latency)
        finally:
            self.open.remove(arrival)
        arrival.answered = self._clock.seconds
        return Exchange(answer, round((self._clock.seconds - began) * 1000), "{}")

    async def _looked_at(self, call: Call) -> Exchange:
        """Answer a look, in the mood for all."""
        look = Look(self._clock.seconds, self.life, self.mood)
        assert (call.part, call.json) == (0, {}), call
        try:
            self.watch_look(look)
        except AssertionError as fault:
            self.faults.append(fault)
        self.looks.append(look)
        arrival = Arrival(0, look.at, self._clock.now(), self.life, "0", "", 0, False, False, look.mood, None)
        await asyncio.sleep(self.latency)
        look.answered = self._clock.seconds
        answer: Answer | NoAnswer = _json(200, {"id": "1"})
        if look.mood in UNKNOWN | {Mood.UNREACHABLE}:
            answer = _UNREADABLE[look.mood]
        elif look.mood in (Mood.THROTTLES_ACCOUNT, Mood.FAULT, Mood.STOPPED):
            answer = _ANSWERS[self._channel](arrival)
        return Exchange(answer, round(self.latency * 1000), "{}")

    def signs_of_life(self) -> list[float]:
        """Return when the gateway got answers, to messages and to looks, that show that the platform lives."""
        calls: list[Arrival | Look] = [*self.arrivals, *self.looks]
        return [one.answered for one in calls if one.answered is not None and one.mood not in DEAD]

    def _arrive(self, call: Call) -> Arrival:
        body = call.json
        to = body.get("chat_id") or body.get("to") or body.get("recipient")
        address = str(to["id"] if isinstance(to, dict) else to).removeprefix("+")
        found = _LABEL.search(json.dumps(body))
        assert found, body
        arrival = Arrival(
            number=len(self.arrivals) + 1,
            at=self._clock.seconds,
            wall=self._clock.now(),
            life=self.life,
            address=address,
            label=found.group(),
            part=call.part,
            repeatable=call.repeatable,
            after_unknown=call.after_unknown,
            mood=self.moods.get(address, self.mood),
            wait=None,
        )
        self.arrivals.append(arrival)
        return arrival

    def _answer(self, call: Call, arrival: Arrival) -> Answer | NoAnswer:
        key = next((value for name, value in call.headers if name.lower() == "x-line-retry-key"), "")
        first = self._keys.get(key)
        repeat = first is not None and self._clock.seconds < first[0] + KEY_SECONDS
        if arrival.mood in TAKEN:
            arrival.taken = not repeat
            if not repeat:
                arrival.platform_id = f"id-{arrival.number}"
            if key and not repeat:
                self._keys[key] = self._clock.seconds, arrival
        if arrival.mood in _UNREADABLE:
            return _UNREADABLE[arrival.mood]
        if repeat and first is not None and arrival.mood is Mood.TAKES:
            return _json(
                409, {"message": "The retry key is already accepted", "sentMessages": [{"id": first[1].number}]}
            )
        if arrival.mood is Mood.THROTTLES_FOR and self._channel != "whatsapp":
            arrival.wait = self.wait
        return _ANSWERS[self._channel](arrival)


_UNREADABLE: Final[dict[Mood, Answer | NoAnswer]] = {
    Mood.LOST: NoAnswer(Stage.AFTER_SEND, "the connection was cut"),
    Mood.SILENT: NoAnswer(Stage.AFTER_SEND, "the connection was cut"),
    Mood.UNREACHABLE: NoAnswer(Stage.BEFORE_SEND, "connection refused"),
    Mood.PROXY: Answer(502, {}, b"<html>Bad Gateway</html>"),
}


def _json(status: int, body: dict[str, Any], **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode())


def _telegram(arrival: Arrival) -> Answer:
    def refused(status: int, description: str, **parameters: Any) -> Answer:
        body = {"ok": False, "error_code": status, "description": description, "parameters": parameters}
        return _json(status, body)

    match arrival.mood:
        case Mood.TAKES:
            chat, _, number = f"{arrival.address}:{arrival.number}".partition(":")
            arrival.platform_id = f"{chat}:{number}"
            return _json(200, {"ok": True, "result": {"message_id": int(number), "chat": {"id": int(chat)}}})
        case Mood.THROTTLES_FOR:
            return refused(429, f"Too Many Requests: retry after {arrival.wait:g}", retry_after=int(arrival.wait or 0))
        case Mood.THROTTLES | Mood.THROTTLES_ACCOUNT:
            return _json(429, {"ok": False, "error_code": 429, "description": "Too Many Requests"})
        case Mood.FAULT:
            return refused(500, "Internal Server Error: restart")
        case Mood.REFUSES:
            return refused(400, "Bad Request: chat not found")
        case _:
            return refused(401, "Unauthorized")


def _line(arrival: Arrival) -> Answer:
    match arrival.mood:
        case Mood.TAKES:
            return _json(200, {"sentMessages": [{"id": arrival.platform_id}]})
        case Mood.THROTTLES_FOR:
            body = {"message": "The API rate limit has been exceeded. Try again later."}
            return _json(429, body, retry_after=f"{arrival.wait:g}")
        case Mood.THROTTLES_ACCOUNT:
            return _json(429, {"message": "The API rate limit has been exceeded. Try again later."})
        case Mood.THROTTLES:
            return _json(429, {"message": "too many to one user"})
        case Mood.FAULT:
            return _json(500, {"message": "Internal Server Error"})
        case Mood.REFUSES:
            return _json(400, {"message": "Failed to send messages"})
        case _:
            return _json(401, {"message": "Authentication failed"})


def _whatsapp(arrival: Arrival) -> Answer:
    def refused(code: int, status: int) -> Answer:
        return _json(status, {"error": {"code": code, "message": "so it is"}})

    match arrival.mood:
        case Mood.TAKES:
            contacts = [{"input": arrival.address, "wa_id": arrival.address}]
            return _json(
                200,
                {"messaging_product": "whatsapp", "contacts": contacts, "messages": [{"id": arrival.platform_id}]},
            )
        case Mood.THROTTLES | Mood.THROTTLES_FOR:
            return refused(131056, 400)
        case Mood.THROTTLES_ACCOUNT:
            return refused(130429, 400)
        case Mood.FAULT:
            return refused(131016, 500)
        case Mood.REFUSES:
            return refused(131026, 400)
        case _:
            return refused(190, 401)


_ANSWERS: Final[dict[str, Callable[[Arrival], Answer]]] = {
    "telegram": _telegram,
    "line": _line,
    "whatsapp": _whatsapp,
}


# --- the world -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """One account of a channel. *rates* and *retrying* are the account's; the rest are fields of it."""

    channel: str = "telegram"
    rates: dict[str, Rate | None] = field(default_factory=dict)
    retrying: Retrying = QUICK
    options: dict[str, Any] = field(default_factory=dict)


class Simulation:
    """A gateway with one account, its platform and its store, in time of its own."""

    def __init__(self, setting: Setting, seed: int = 0, watch: Callable[[Arrival], None] = lambda _: None) -> None:
        self.setting = setting
        self.rng = Random(seed)
        self.clock = SimulatedClock()
        self.loop = SimulatedLoop(self.clock)
        self.store = SimulatedStore(Random(seed + 1))
        self.platform = ScriptedPlatform(self.clock, self.store, setting.channel, watch)
        self.account_id = f"{CLIENT}-{setting.channel}"
        self.known = channels.installed()
        self.directory = Directory(self.known, self._open)
        self.acceptor = Acceptor(self.store, self.directory, self.known, self.clock, self._accepted)
        self.dispatcher: Dispatcher | None = None
        self.began = 0.0

    def __enter__(self) -> Self:
        declared = records("http://127.0.0.1:9", **self.setting.options)
        mine: tuple[AccountRecord, ...] = tuple(one for one in declared.accounts if one.id == self.account_id)
        clients: tuple[ClientRecord, ...] = tuple(declared.clients)
        self.run(self.store.declare(Declared(clients, mine), self.clock.now()))
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.dispatcher is not None:
            self.crash()
        self.loop.close()
        self.store.db.close()

    def _open(self, record: AccountRecord) -> Account:
        return replace(open_account(record), rates=self.setting.rates, retrying=self.setting.retrying)

    def _accepted(self, account_id: str, message: QueuedMessage | None) -> None:
        if self.dispatcher is not None:
            self.dispatcher.accepted(account_id, message)

    # time

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run *work* to its end, and whatever else has its time meanwhile."""
        return self.loop.run_until_complete(work)

    def pass_time(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self.run(asyncio.sleep(seconds))
        if self.platform.faults:
            raise self.platform.faults[0]

    def until(self, condition: Callable[[], object], seconds: float, step: float = 1.0) -> None:
        """Let time pass until *condition* holds; AssertionError after *seconds*."""
        end = self.clock.seconds + seconds
        while not condition():
            assert self.clock.seconds < end, f"not within {seconds:g} simulated seconds"
            self.pass_time(step)

    # the process

    @property
    def up(self) -> bool:
        """Whether a process runs."""
        return self.dispatcher is not None and not self.store.dead

    def start(self) -> None:
        """Start a process on what the store has."""
        self.store.dead, self.store.commits_left = False, -1
        self.run(self.directory.reload(self.store))
        self.dispatcher = Dispatcher(
            self.store,
            self.directory,
            self.platform,
            self.clock,
            Random(self.rng.random()),  # type: ignore[arg-type]
        )
        self.began = self.clock.seconds
        self.run(self.dispatcher.start())

    def stop(self) -> None:
        """End the process as SIGTERM does."""
        assert self.dispatcher is not None
        self.run(self.dispatcher.stop(5.0))
        self.dispatcher = None
        self.platform.life += 1

    def crash(self) -> None:
        """Kill the process: what is committed and what reached the platform stays, nothing else."""
        self.store.dead = True
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.run(_gone(tasks))
        self.dispatcher = None
        self.platform.life += 1

    # what a client and a platform do

    async def accept(self, to: str, text: str, **more: Any) -> str:
        """Accept a message, and return its tid. *to* is an address of the channel."""
        body = {
            "id": f"id-{self.rng.random()}",
            "times": 0,
            "timestamp": "2026-01-01T12:00:00Z",
            "recipient": f"{PREFIX_OF[self.setting.channel]}:{to}",
            "type": "text",
            "body": {"text": text},
        }
        answer = await self.acceptor.accept(CLIENT, self.setting.channel, body | more)
        assert isinstance(answer, Taken), answer
        return answer.tid

    async def receipt(self, receipt: ReceiptRecord) -> None:
        """Take a receipt, as the gateway does with a webhook."""
        received = await self.store.receive([receipt], self.clock.now())
        for account_id, address in received.settled:
            if self.dispatcher is not None:
                self.dispatcher.settled(account_id, address)

    def message(self, tid: str) -> MessageRecord:
        """Return a message as it is now."""
        found = self.run(self.store.message(CLIENT, tid))
        assert found is not None
        return found


async def _gone(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
