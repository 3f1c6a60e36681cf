"""One endpoint's callbacks: reads what is owed, calls it in order, and climbs the ladder when the endpoint is down.

One task decides everything: it reads the store, starts calls and takes note of those that ended, so nothing is read while
something is forgotten. A call that ended is let go of only after its result is on disk, so that a crash repeats at most
what was in flight, with the same ``webhook-id``.
"""

import asyncio
import contextlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Final, Protocol

import structlog

from kurir import counting, tracing
from kurir.callbacks import dialects, ladder, signing
from kurir.callbacks.keys import Keys
from kurir.callbacks.ladder import Verdict, Why
from kurir.callbacks.recorder import Recorder
from kurir.callbacks.window import HELD, Row, Window
from kurir.clock import Clock
from kurir.egress import Posted
from kurir.store.base import EndpointRecord, StoreError, StoreUnavailable
from kurir.store.feed import CallbackAttempt, CallbackRecord, Called, Endpoint, FeedStore, Ladder, Owed
from kurir.tracing import Parent, Span, Traces

log = structlog.get_logger(__name__)

#: Calls to one endpoint at once, at most.
IN_FLIGHT: Final = 10
#: How often it is looked whether something is owed, in seconds: a lost hint delays, and never loses.
POLL_SECONDS: Final = 1.0
#: Rows of one look, while the endpoint works, and while it is only probed.
PAGE: Final = 100
PROBE_PAGE: Final = 50
#: Looks in a row before what was found is started.
LOOKS: Final = 10
#: Seconds between two looks at a store that does not answer; and of an endpoint that is paused.
TROUBLE_SECONDS: Final = 5.0
PAUSED_SECONDS: Final = 60.0
#: Bytes of an answer's body that are kept, and how many of its headers.
KEPT_BODY: Final = 16 * 1024
#: The same of a success: nobody looks for a fault in it.
KEPT_BODY_OF_SUCCESS: Final = 1024
KEPT_HEADERS: Final = 50
#: So often what an operator decided is written again, when another node moved the endpoint meanwhile.
TRIES: Final = 5
#: Events of which it is remembered how often they were refused or broke the endpoint.
BLAMED: Final = 1000
#: Made once: ``json.dumps`` with arguments makes an encoder each time.
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False)


class Poster(Protocol):
    """What makes the calls: :class:`kurir.egress.Egress`."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """Post *body* to *url*. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What every worker uses. *may_begin* says whether an endpoint is this node's, so that it may be called."""

    store: FeedStore
    poster: Poster
    recorder: Recorder
    clock: Clock
    rng: Random
    link: dialects.Link = dialects.no_link
    may_begin: Callable[[str], bool] = lambda _: True
    traces: Traces | None = None


@dataclass(slots=True)
class _Blame:
    """How often an event was refused (4xx), and how often it broke the endpoint while that took the others."""

    refusals: int = 0
    faults: int = 0


@dataclass(slots=True)
class _Search:
    """How far the search for an event to probe with has come.

    ``after``: the position up to which was read. ``passed``: conversations whose head waits or was tried already; since the
    search ends at a head that never was, there are no more of them than events that were called. ``least`` is the one of
    these heads that may be called and was tried least, ``again`` the monotonic moment from which on to begin afresh.
    """

    again: float
    after: int = 0
    passed: set[str] = field(default_factory=set)
    least: CallbackRecord | None = None


class EndpointWorker:
    """Calls one endpoint. ``ladder`` is where it stands; the store follows within moments."""

    def __init__(self, endpoint: Endpoint, keys: Keys, tools: Tools) -> None:
        self.id = endpoint.id
        self.record = endpoint.record
        self.keys = keys
        self.ladder = endpoint.ladder
        self._kept = endpoint.ladder
        self._keeping = asyncio.Lock()
        self._kept_at = float("-inf")
        self._tools = tools
        self._window = Window()
        self._flying: dict[asyncio.Task[None], Row] = {}
        self._ended: list[tuple[asyncio.Task[None], Row, Called | None]] = []
        self._blamed: OrderedDict[int, _Blame] = OrderedDict()
        self._go = asyncio.Event()
        self._look = True
        self._more = True
        self._rescan = False
        self._search: _Search | None = None
        self._stopping = False
        self._generation = 0  # counts the changes of the ladder, to tell which calls began before one
        self._probe_at = self._moment(endpoint.ladder.next_at)
        self._task: asyncio.Task[None] | None = None

    # --- what others ask of it ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name=f"callbacks {self.id}")

    async def stop(self, seconds: float) -> None:
        """Begin no call, let the running ones end for at most *seconds*, then give up on them: they will be repeated."""
        self._stopping = True
        self._go.set()
        if self._flying:
            await asyncio.wait(list(self._flying), timeout=seconds)
        left = [*self._flying, *([self._task] if self._task is not None else [])]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        with contextlib.suppress(StoreError):
            await self._keep_ladder()

    def wake(self) -> None:
        """Hint that there is something new."""
        self._look = True
        self._go.set()

    def rescan(self) -> None:
        """Look at everything that is owed: something older is owed again."""
        self._rescan = True
        self._search = None
        self.wake()

    def change(self, record: EndpointRecord, keys: Keys) -> None:
        """Use other settings from the next call on."""
        self.record, self.keys = record, keys

    async def pause(self) -> None:
        """Begin no call until it is resumed. Durable on return. Raises StoreError."""
        await self._decide(lambda: ladder.paused(self.ladder, self._tools.clock.now()))

    async def resume(self) -> None:
        """Go on, beginning with one probing event at once. Durable on return. Raises StoreError."""
        if self.ladder != Ladder():
            self._blamed.clear()
        await self._decide(lambda: self.ladder if self.ladder == Ladder() else ladder.resumed(self._tools.clock.now()))

    async def well(self) -> bool:
        """Take the endpoint off its ladder, since it took an example; return whether it was on it.

        One that an operator paused stays so. Durable on return. Raises StoreError.
        """
        if self.ladder == Ladder() or self.ladder.paused_reason == ladder.OPERATOR:
            return False
        self._recovered()
        return await self._keep_ladder(decided=True)

    async def _decide(self, where: Callable[[], Ladder]) -> None:
        """Stand where an operator decided, whoever else moves the endpoint meanwhile. Raises StoreError."""
        for _ in range(TRIES):
            self._set_ladder(where())
            if await self._keep_ladder(decided=True):
                return
        raise StoreUnavailable("the endpoint was changed again and again meanwhile")

    def follow(self, stored: Ladder, asked_at: float) -> None:
        """Stand where the store said when it was asked: an administrator may pause and resume on any node."""
        if stored != self._kept and asked_at > self._kept_at and not self._keeping.locked():  # else we wrote meanwhile
            self._stand(stored)

    def _stand(self, stored: Ladder) -> None:
        self._kept = stored
        if stored.paused_at is None and self.ladder.paused_at is not None:
            self._blamed.clear()
        self._set_ladder(stored)

    def in_flight(self) -> int:
        """Return how many calls are under way."""
        return len(self._flying)

    def held(self) -> int:
        """Return how many callbacks are in memory."""
        return len(self._window)

    def alive(self) -> bool:
        """Return whether it runs."""
        return self._task is not None and not self._task.done()

    # --- the loop ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._stopping:
            self._go.clear()
            try:
                seconds = await self._turn()
            except StoreError as error:
                log.warning("callbacks_wait_for_store", endpoint=self.id, error=str(error))
                seconds = TROUBLE_SECONDS
            except Exception:
                log.exception("callbacks_fault", endpoint=self.id)
                seconds = TROUBLE_SECONDS
            try:
                await asyncio.wait_for(self._go.wait(), seconds)
            except TimeoutError:
                self._look = True

    async def _turn(self) -> float:
        """Do what can be done now; return in how many seconds there may be more."""
        self._let_go()
        await self._keep_ladder()
        if self.ladder.paused_at is not None:
            self._window.forget()
            return PAUSED_SECONDS
        if not self._tools.may_begin(self.id):
            return POLL_SECONDS
        if self._probe_at is not None:
            return await self._probe(self._probe_at)
        await self._fill()
        now = self._tools.clock.monotonic()
        for row in self._window.heads(now):
            if len(self._flying) >= IN_FLIGHT or self._stopping:
                break
            self._begin(row, probing=False)
        return 0.0 if self._more and len(self._window) <= HELD // 2 else self._until_due(now)

    def _until_due(self, now: float) -> float:
        due = self._window.next_due()
        # One that is due already waits for a place in flight, which wakes.
        return POLL_SECONDS if due is None or due <= now else min(POLL_SECONDS, due - now)

    async def _probe(self, at: float) -> float:
        """Call the one event that was tried least, when it is time and nothing else is under way."""
        wait = at - self._tools.clock.monotonic()
        if self._flying:
            return max(wait, POLL_SECONDS)
        if wait > 0:
            return wait
        now = self._tools.clock.monotonic()
        if self._search is None or self._search.again <= now:
            self._search = _Search(again=now + PAUSED_SECONDS)
        search = self._search
        ended = await self._look_for_probe(search)
        if search is not self._search or not ended or self._stopping:
            return 0.0  # it goes on, once it was looked whether something else is to be done
        if search.least is None:
            return min(POLL_SECONDS, max(0.0, search.again - self._tools.clock.monotonic()))
        self._search = None
        self._window.forget()
        self._window.offer(search.least)
        self._begin(self._window.heads(now)[0], probing=True)
        return POLL_SECONDS

    async def _look_for_probe(self, search: _Search) -> bool:
        """Go on with *search*; return whether it is over: everything was looked at, or a head that was never tried is found.

        The least tried probes: an event that the endpoint cannot bear, and all that is owed behind it, do not keep the
        others from proving it well.
        """
        for _ in range(LOOKS):
            rows = await self._tools.store.owed(self.id, after=search.after, limit=PROBE_PAGE)
            for record in rows:
                search.after = record.position
                if record.conversation in search.passed:
                    continue
                due = self._moment(record.next_at)
                if due is not None and due > self._tools.clock.monotonic():  # read after it: what is past is due now
                    search.again = min(search.again, due)
                elif search.least is None or record.tries < search.least.tries:
                    search.least = record
                    if record.tries == 0:
                        return True
                search.passed.add(record.conversation)
            if len(rows) < PROBE_PAGE:
                return True
        return False

    async def _fill(self) -> None:
        """Read on, where there is room and perhaps more to read."""
        window = self._window
        if self._rescan or (self._look and not window.positions):
            self._rescan = False
            window.forget()
        while len(window) < HELD and (name := window.to_read_again()) is not None:
            if not await self._read_again(name):
                break
        for _ in range(LOOKS):
            if len(window) >= HELD or not (self._look or (self._more and len(window) <= HELD // 2)):
                return
            self._look = False
            limit = min(PAGE, HELD - len(window))
            rows = await self._tools.store.owed(self.id, after=window.frontier, limit=limit)
            for record in rows:
                window.offer(record, self._moment(record.next_at))
                window.frontier = record.position
            self._more = len(rows) == limit

    async def _read_again(self, name: str) -> bool:
        """Read rows of a conversation that were passed over; return whether it is found out where they are."""
        window = self._window
        after = window.skipped.pop(name)
        for _ in range(LOOKS):
            rows = await self._tools.store.owed(self.id, after=after, limit=PAGE)
            for record in rows:
                if record.position > window.frontier:
                    return True
                if record.conversation == name and not window.offer(record, self._moment(record.next_at)):
                    return True
                after = record.position
            if len(rows) < PAGE:
                return True
        if name in window.lines:
            window.skipped[name] = after
            return True
        window.skipped[name] = after
        self._go.set()
        return False

    def _let_go(self) -> None:
        """Take note of calls that have ended."""
        ended, self._ended = self._ended, []
        for task, row, called in ended:
            self._flying.pop(task, None)
            if called is not None and called.state is not Owed.PENDING:
                self._window.done(row)
                self._blamed.pop(row.record.position, None)
                continue
            if called is not None:
                row.record = replace(row.record, tries=row.record.tries + 1)
            # One whose end is not on disk is called again, a little later.
            again = self._moment(called.next_at) if called is not None else self._after(TROUBLE_SECONDS)
            self._window.wait(row, again)
        if ended and self._probe_at is not None:
            self._window.forget()

    def _begin(self, row: Row, *, probing: bool) -> None:
        row.flying = True
        task = asyncio.create_task(self._call(row, self._generation, probing=probing), name=f"callback {self.id}")
        self._flying[task] = row

    # --- one call ----------------------------------------------------------------------------------------------------

    async def _call(self, row: Row, generation: int, *, probing: bool) -> None:
        called: Called | None = None
        try:
            made = await self._try(row.record, generation, probing=probing)
            await self._tools.recorder.record(made)
            called = made
        except Exception:
            log.exception("callback_fault", endpoint=self.id, position=row.record.position)
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._ended.append((task, row, called))
            self._go.set()

    async def _try(self, record: CallbackRecord, generation: int, *, probing: bool) -> Called:
        clock = self._tools.clock
        at = clock.now()
        try:
            body = None if record.event is None else dialects.body(self.record.dialect, record.event, self._tools.link)
        except (ValueError, TypeError, AttributeError, KeyError):
            log.exception("callback_unreadable", endpoint=self.id, position=record.position)
            return self._unsent(record, at, Owed.FAILED, "the event cannot be read")
        if body is None:
            if record.event is None:
                return self._unsent(record, at, Owed.FAILED, "the event is no longer kept")
            return self._unsent(
                record, at, Owed.DELIVERED, f"{self.record.dialect} has no {record.kind}: nothing was sent"
            )
        headers = self.headers(record.webhook_id, at, body)
        traces = self._tools.traces
        span = None if traces is None else await self._span(traces, record)
        if span is not None:
            headers = {name: value for name, value in headers.items() if name.lower() != tracing.HEADER}
            headers[tracing.HEADER] = span.traceparent
        posted = await self._tools.poster.post(self.record.url, body, headers)
        attempt = attempt_of(self.id, record.position, at, posted)
        if span is not None:
            span.end(attempt.error.partition(":")[0], status=posted.status)
        counting.CALLBACKS.add(self.id, ladder.judge(posted.status).value)
        state, wait = self._follow(record, posted, attempt.error, generation, probing=probing)
        next_at = clock.now() + timedelta(seconds=wait) if state is Owed.PENDING and wait is not None else None
        if state is Owed.FAILED:
            log.warning("callback_failed", endpoint=self.id, position=record.position, error=attempt.error[:200])
        return Called(attempt, state, next_at)

    def headers(self, webhook_id: str, at: datetime, body: bytes) -> dict[str, str]:
        """Return the headers of a call at *at*: the client's own, the signature, the type."""
        signature = signing.headers(webhook_id, at, body, self.keys.signing(at))
        return {**self.keys.headers, "Content-Type": "application/json", **signature}

    async def _span(self, traces: Traces, record: CallbackRecord) -> Span:
        """Begin the span of a call, under that of the accept of the message that the event is about."""
        change = None if record.event is None else record.event.change
        about: dict[str, str | int] = {
            "client": self.record.client_id,
            "endpoint": self.id,
            "event": record.webhook_id,
            "kind": record.kind,
        }
        header = ""
        if change is not None:
            about["tid"] = change.tid
            with contextlib.suppress(StoreError):  # then it stands by itself: no callback waits for its trace
                header = await self._tools.store.trace_of(change.tid)
        return traces.begin("callback", tracing.Kind.CLIENT, Parent(header, time.time_ns()), about)

    def _unsent(self, record: CallbackRecord, at: datetime, state: Owed, why: str) -> Called:
        return Called(CallbackAttempt(self.id, record.position, at, 0, 0, error=f"{Why.UNCLASSIFIED}: {why}"), state)

    def _follow(
        self, record: CallbackRecord, posted: Posted, error: str, generation: int, *, probing: bool
    ) -> tuple[Owed, float | None]:
        """Move the ladder as *posted* says; return where the event stands, and its own wait in seconds."""
        now, draw = self._tools.clock.now(), self._tools.rng.random()
        current = generation == self._generation and self.ladder.paused_at is None
        match ladder.judge(posted.status):
            case Verdict.TAKEN:
                if probing and current:
                    self._recovered()
                return Owed.DELIVERED, None
            case Verdict.EVENT:
                if probing and current:
                    self._recovered()
                blame = self._blame(record.position)
                blame.refusals += 1
                wait = ladder.event_wait(blame.refusals, draw)
                return (Owed.FAILED, None) if wait is None else (Owed.PENDING, wait)
            case Verdict.GONE:
                if self.ladder.paused_at is None:
                    self._set_ladder(ladder.gone(self.ladder, now))
                return Owed.PENDING, None
            case Verdict.ENDPOINT:
                asked = ladder.retry_after(posted.headers, now)
                if current:
                    self._set_ladder(ladder.step(self.ladder, now, error, asked=asked, draw=draw))
                else:
                    self._hold(now, asked)
                if probing or not ladder.blames_event(posted.status, error.partition(":")[0], posted.headers):
                    return Owed.PENDING, None
                blame = self._blame(record.position)
                blame.faults += 1
                wait = ladder.fault_wait(blame.faults, draw)
                return (Owed.FAILED, None) if wait is None else (Owed.PENDING, wait)

    def _blame(self, position: int) -> _Blame:
        blame = self._blamed.setdefault(position, _Blame())
        self._blamed.move_to_end(position)
        while len(self._blamed) > BLAMED:
            self._blamed.popitem(last=False)
        return blame

    # --- the ladder --------------------------------------------------------------------------------------------------

    def _recovered(self) -> None:
        log.info(
            "callback_endpoint_well", endpoint=self.id, client=self.record.client_id, failures=self.ladder.failures
        )
        self._set_ladder(Ladder())
        self._rescan = True

    def _hold(self, now: datetime, asked: float) -> None:
        """Obey a ``Retry-After`` that came with a failure which was no step of its own."""
        held = ladder.later(self.ladder, now, asked)
        if held is not self.ladder:
            self.ladder = held
            self._probe_at = self._moment(held.next_at)
            self._go.set()

    def _set_ladder(self, new: Ladder) -> None:
        if new == self.ladder:
            return
        old, self.ladder = self.ladder, new
        self._generation += 1
        self._search = None
        self._probe_at = None if new.paused_at is not None else self._moment(new.next_at)
        if new.paused_at is not None and old.paused_at is None:
            tell = log.info if new.paused_reason == ladder.OPERATOR else log.error
            tell("callback_endpoint_paused", endpoint=self.id, client=self.record.client_id, reason=new.paused_reason)
        elif new.failures == 1:
            log.warning(
                "callback_endpoint_failing", endpoint=self.id, client=self.record.client_id, error=new.last_error
            )
        self._go.set()

    async def _keep_ladder(self, *, decided: bool = False) -> bool:
        """Let the store follow; return whether it did. Where another node moved the endpoint meanwhile, follow that one.

        A step is this node's to take while the endpoint is; what an operator *decided* is written by whoever was asked.
        """
        async with self._keeping:
            keeping = self.ladder
            if self._kept == keeping or not (decided or self._tools.may_begin(self.id)):
                return True
            stored = await self._tools.store.set_ladder(self.id, keeping, self._kept)
            self._kept_at = self._tools.clock.monotonic()
            if stored is not None and stored != keeping:
                self._stand(stored)
                return False
            self._kept = keeping  # or it was deleted, and nobody asks any more
            return True

    def _moment(self, at: datetime | None) -> float | None:
        """Return the monotonic moment of *at*, which lies no further ahead than the longest wait there is."""
        if at is None:
            return None
        ahead = (at - self._tools.clock.now()).total_seconds()
        return self._after(min(ahead, ladder.LONGEST * (1 + ladder.JITTER)))

    def _after(self, seconds: float) -> float:
        return self._tools.clock.monotonic() + max(0.0, seconds)


def attempt_of(endpoint_id: str, position: int, at: datetime, posted: Posted) -> CallbackAttempt:
    """Return *posted* as it is kept. Its error is one of LINE's reasons, and for people what happened after a colon."""
    error = ""
    if posted.miss is not None:
        error = f"{posted.miss}: {posted.detail}"
    elif not 200 <= posted.status < 300:
        error = f"{Why.ERROR_STATUS_CODE}: {posted.status}"
    shown = {name: value[:500] for name, value in list(posted.headers.items())[:KEPT_HEADERS]}
    return CallbackAttempt(
        endpoint_id,
        position,
        at,
        posted.duration_ms,
        posted.status,
        _ENCODER.encode(shown),
        posted.body[: KEPT_BODY_OF_SUCCESS if 200 <= posted.status < 300 else KEPT_BODY],
        error,
    )
