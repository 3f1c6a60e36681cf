"""One account's queue: starts the heads of its lanes as the platform, the operator and the account's limits allow.

What holds an account back stands in four places, each pure arithmetic: its rates (:mod:`kurir.delivery.rate`), the
window of calls in flight (:mod:`kurir.delivery.window`), the breaker (:mod:`kurir.delivery.breaker`), and the operator's
pause. The worker asks them before each start and tells them of each outcome; the store hears of what has to outlive the
process.

Where the platform has to show first that it answers, the worker looks at it by a call that sends nothing
(:mod:`kurir.delivery.life`): one at a time, and only while something waits for that.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Final

import structlog

from kurir.channels.base import AccountDown, Call, Outcome, Rejected, Retry, Scope, Sent, Unknown
from kurir.clock import Clock
from kurir.delivery.breaker import Breaker, State
from kurir.delivery.gate import Finished, Progress, Waiting
from kurir.delivery.lanes import Lane, Lanes
from kurir.delivery.life import Life, shows_life
from kurir.delivery.rate import Rates
from kurir.delivery.reading import LOOK_SECONDS, QueueReader
from kurir.delivery.sender import Sender
from kurir.delivery.state import AccountState, Limit, Standing, Why
from kurir.delivery.window import Window
from kurir.directory import Directory, Entry
from kurir.store.base import ErrorRecord, Phase, QueuedMessage, Store, StoreError

log = structlog.get_logger(__name__)

#: How long a message rests that the store, or a fault of ours, kept from moving.
STORE_SECONDS: Final = 5.0
FAULT_SECONDS: Final = 60.0
#: The longest wait before the queue is read again after a fault of ours, and after the store failed, which comes back.
TROUBLE_SECONDS: Final = 30.0
AWAY_SECONDS: Final = 4.0
#: A hold of the account that is shorter is over before a restart is.
WORTH_STORING: Final = 1.0
#: A slot of the account's rate that was taken longer ago is lost, and another one is asked for.
SLOT_SECONDS: Final = 1.0
#: How long a stop waits for the store to take what it has to know of the account.
MIRROR_SECONDS: Final = 2.0
#: What has to wait less is said to go.
AT_ONCE: Final = 0.05


class AccountWorker:
    """One account's queue: loads, starts heads, waits. *rng* draws the moments of the breaker's probes.

    *parked* is told the account and why each time that the platform stops it, also when it was stopped before.
    *may_begin* says whether the account is this node's, for long enough to make a call.
    """

    def __init__(
        self,
        entry: Entry,
        store: Store,
        directory: Directory,
        sender: Sender,
        clock: Clock,
        rng: Random,
        parked: Callable[[str, ErrorRecord], None] = lambda *_: None,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> None:
        account, channel = entry.account, entry.channel
        self._may_begin = may_begin
        self._account_id = account.id
        self._store = store
        self._directory = directory
        self._sender = sender
        self._parked = parked
        self._clock = clock
        self.lanes = Lanes()
        self.rates = Rates(account.rates, widens=not channel.CAPABILITIES.tells_throttle_scope)
        self.window = Window(account.concurrency)
        self.breaker = Breaker(account.concurrency, rng)
        self.life = Life(rng, sender.order)
        self._reader = QueueReader(account.id, self.lanes, store, directory, clock)
        self._paused = entry.paused
        self._parked_in_store = False
        self._held_in_store = -math.inf
        self._stored_at = -math.inf
        self._running: set[asyncio.Task[None]] = set()
        self._left_over: set[asyncio.Task[None]] = set()
        self._probe: asyncio.Task[None] | None = None
        self._gates: dict[str, _Gate] = {}
        self._told_of: set[str] = set()
        self._in_doubt: set[str] = set()
        self._looking: asyncio.Task[None] | None = None
        self._event = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work, where the process before this one left off: paused, parked or held."""
        entry, now = self._entry(), self._clock.monotonic()
        if entry is not None and entry.parked_code:
            self.breaker.trip(now, ErrorRecord(entry.parked_code, entry.parked_reason))
            self.breaker.probe_at = now  # perhaps the operator has mended it meanwhile
            self._parked_in_store = True
        if entry is not None and entry.held_until is not None:
            left = (entry.held_until - self._clock.now()).total_seconds()
            if entry.held_since is not None:  # a clock that was set back makes no wait longer than it was meant to be
                left = min(left, (entry.held_until - entry.held_since).total_seconds())
            if left > 0:
                self.rates.hold(now + left, entry.held_reason)
                self._held_in_store = now + left
        self._task = asyncio.create_task(self._work(), name=f"account {self._account_id}")

    def offer(self, message: QueuedMessage) -> None:
        """*message* was just accepted: it is the last one of the queue."""
        self._reader.offer(message)
        self._event.set()

    def wake(self) -> None:
        """There is something new in the queue."""
        self._reader.wake()
        self._event.set()

    def settled(self, address: str) -> None:
        """A receipt told what became of a message to *address*: its lane need not wait for that any more.

        Neither for a moment nor for the end of the call. Or it brought the message back into the queue.
        """
        self._reader.wake()
        self.lanes.end_rest(address)
        self._in_doubt.discard(address)
        if address in self._gates:
            self._told_of.add(address)
        self._event.set()

    def alive(self) -> bool:
        """Return whether the worker runs."""
        return self._task is not None and not self._task.done()

    def held(self) -> int:
        """Return how many messages are in memory."""
        return self.lanes.size

    async def pause(self) -> None:
        """Begin no call any more until :meth:`resume`; those in flight end as they would. Durable on return."""
        await self._store.pause(self._account_id, self._clock.now())
        self._paused = True
        self._stored_at = self._clock.monotonic()
        self._directory.set_paused(self._account_id, paused=True)
        log.warning("account_paused", account=self._account_id)

    async def resume(self) -> None:
        """Work again, at once, whether the operator, the platform or an outage stopped the account. Durable on return.

        What the platform asked to wait for is waited for all the same.
        """
        await self._store.pause(self._account_id, None)
        self._stored_at = self._clock.monotonic()
        self._go_on_by_operator()
        await self._mirror()

    def _go_on_by_operator(self) -> None:
        self._paused = False
        self._directory.set_paused(self._account_id, paused=False)
        self.breaker.reset()
        self.life.due_at = -math.inf
        self._tell_directory()
        log.info("account_resumed", account=self._account_id, by="operator")
        self._event.set()

    def follow(self, *, paused: bool, parked: bool, asked_at: float) -> None:
        """Do as the store said when it was asked at *asked_at*: the operator may pause and resume on any node."""
        if asked_at <= self._stored_at:
            return  # we wrote meanwhile
        if paused and not self._paused:
            self._paused = True
            self._directory.set_paused(self._account_id, paused=True)
            log.warning("account_paused", account=self._account_id)
        elif not paused and (self._paused or (self._parked_in_store and not parked)):
            self.resumed()

    def resumed(self) -> None:
        """The operator resumed the account on another node, which wrote it down."""
        self._parked_in_store = False
        self._go_on_by_operator()

    async def stop(self, seconds: float) -> None:
        """Start nothing new, wait for what runs, then stop."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._looking is not None:  # nothing is lost by it
            self._looking.cancel()
            await asyncio.wait([self._looking])
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        late = list(self._running)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(MIRROR_SECONDS):
                await self._mirror()

    # --- the loop -----------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        trouble = 0.0
        while not self._stopping:
            self._event.clear()
            try:
                await self._mirror()
                await self._go_on_without_calls()
                await self._reader.load(self._concurrency())
                wait = self._start_heads()
                trouble = 0.0
            except Exception as error:
                longest = AWAY_SECONDS if isinstance(error, StoreError) else TROUBLE_SECONDS
                trouble = min(longest, max(0.5, trouble * 2))
                self._reader.wake()
                if isinstance(error, StoreError):
                    log.warning("queue_not_read", account=self._account_id, error=str(error), retry_in=trouble)
                else:  # a fault of ours must not stop the account for good
                    log.exception("worker_fault", account=self._account_id, retry_in=trouble)
                await asyncio.sleep(trouble)
                continue
            if wait <= 0:
                await asyncio.sleep(0)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._event.wait()

    def _entry(self) -> Entry | None:
        return self._directory.accounts().get(self._account_id)

    def _concurrency(self) -> int:
        """Return how many calls may be in flight now."""
        if self._paused or self._entry() is None or not self._may_begin():
            return 0
        return min(self.window.size, self.breaker.allowed(self._clock.monotonic()))

    def _may_start(self, now: float) -> bool:
        """Return whether one more message may be sent. Calls that hang since before an outage keep no other from it."""
        if self._stopping or len(self._running) - len(self._left_over) >= self._concurrency():
            return False
        return self.breaker.state(now) is State.CLOSED or self._probe is None

    def _start_heads(self) -> float:
        """Start what may start; return how long to wait, in seconds, unless woken."""
        now = self._clock.monotonic()
        moments = [now + LOOK_SECONDS, self._reader.next_moment()]
        self.lanes.wake(now)
        look_at = self._look_at(now)
        if look_at <= now:
            self._begin_look()
        else:
            moments.append(look_at)
        if self.breaker.state(now) is State.OPEN and not self.breaker.blind:
            moments.append(self.breaker.probe_at)
        while self._may_start(now):
            free_at = self.rates.account_free_at(now)
            if free_at > now:
                moments.append(free_at)
                break
            head = self.lanes.next()
            if head is None:
                break
            self._start(*head, now)
        wake_at = self.lanes.wake(now)
        if wake_at is not None:
            moments.append(wake_at)
        if self._reader.hungry(self._concurrency()):
            return 0.0
        return min(moments) - now

    def _start(self, lane: Lane, message: QueuedMessage, now: float) -> None:
        """Send the head of *lane*, unless its recipient has to wait."""
        free_at = self.rates.recipient_free_at(now, lane.key)
        if free_at > now:
            self.lanes.pause(lane, free_at)
            return
        self._in_doubt.discard(lane.key)
        gate = _Gate(self, lane, message, now)
        task = gate.task = asyncio.create_task(self._send(lane, message, gate))
        self._gates[lane.key] = gate
        self._running.add(task)
        if self.breaker.state(now) is not State.CLOSED:
            self._probe = task
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._left_over.discard(task)
        if task is self._probe:
            self._probe = None
        self._event.set()

    def _opened(self) -> None:
        """The breaker has opened: what is in flight now counts to nothing any more."""
        self._left_over = set(self._running)
        self._probe = None

    async def _send(self, lane: Lane, message: QueuedMessage, gate: "_Gate") -> None:
        entry = self._entry()
        progress: Progress
        try:
            waits = Waiting(LOOK_SECONDS, message.begun)
            progress = await self._sender.send(message, entry, gate) if entry is not None else waits
        except StoreError as error:
            log.warning("message_not_moved", tid=message.tid, error=str(error))
            progress = Waiting(STORE_SECONDS, begun=True)  # a part may have been marked
        except Exception as error:
            # A fault of ours must neither lose the message nor stop the account: it is held, shown, and tried again.
            log.exception("message_fault", tid=message.tid, account=self._account_id)
            progress = Waiting(FAULT_SECONDS, begun=True)
            reason = ErrorRecord("internal", f"a fault of the gateway ({type(error).__name__}); it is tried again")
            with contextlib.suppress(StoreError):
                if not gate.gone:
                    await self._store.wait(message.tid, message.run, None, reason)
        finally:
            gate.close()
        if gate.gone:
            return  # the lane has gone on, and is not this task's any more
        del self._gates[lane.key]
        now = self._clock.monotonic()
        if isinstance(progress, Finished):
            self.lanes.done(lane)
        elif progress.proof is not None:
            heard = self.life.last_sign > progress.proof  # in this moment
            if not heard:
                self._in_doubt.add(lane.key)
            self.lanes.rest(lane, now if heard else now + progress.seconds, begun=True)
        elif progress.turn and not progress.begun:
            self.lanes.pause(lane, now + progress.seconds)
        else:
            self.lanes.rest(lane, now + progress.seconds, begun=progress.begun)

    def stopped_for(self, now: float) -> float:
        """Return how many seconds at least no part is begun: the operator or the breaker stopped the account, or it goes."""
        if self._paused or self._stopping or not self._may_begin():
            return LOOK_SECONDS
        if self.breaker.state(now) is not State.OPEN:
            return 0.0
        return LOOK_SECONDS if self.breaker.blind else max(0.0, self.breaker.probe_at - now)

    async def _go_on_without_calls(self) -> None:
        """Let the lanes go on whose head hangs in a call for a part that a receipt settled.

        The task of that call goes on beside them, to record what comes of it. So many may hang as calls may be in flight,
        so that a platform which never answers does not hold ever more of them; beyond, a lane waits for its call.
        """
        while self._told_of:
            address = next(iter(self._told_of))
            gate = self._gates.get(address)
            if gate is not None and gate.calling:
                part = gate.calling
                found = await self._store.at_seq(self._account_id, gate.message.seq)
                if gate.calling == part:
                    self._go_on(gate, found)
            self._told_of.discard(address)

    def _go_on(self, gate: "_Gate", found: QueuedMessage | None) -> None:
        """Let the lane of *gate* go on without its call, if its message as it was *found* has no more to do with it."""
        answered = {part.number for part in found.parts if part.phase is Phase.ANSWERED} if found is not None else set()
        if found is not None and (found.run != gate.message.run or gate.calling not in answered):
            return
        gate.settled = True
        entry = self._entry()
        if entry is None or gate.task is None or len(self._left_over) >= entry.account.concurrency:
            return
        gate.gone = True
        del self._gates[gate.lane.key]
        self._left_over.add(gate.task)
        if gate.task is self._probe:
            self._probe = None
        if found is None:
            self.lanes.done(gate.lane)
        else:  # its other parts are sent by another task, which reads the message anew
            self.lanes.rest(gate.lane, self._clock.monotonic(), begun=True)

    # --- whether the platform answers -----------------------------------------------------------------------------------

    def unproven(self, since: int) -> float | None:
        """Return None where the platform answered after *since*, else in how many seconds it is looked at.

        Infinity while a look is under way.
        """
        now = self._clock.monotonic()
        if self.life.last_sign > since:
            return None
        if self._looking is not None:
            return math.inf
        return max(0.0, self._look_moment(now) - now)

    def heard(self) -> None:
        """An answer of the platform came: what waited for one goes on, if that is not older."""
        self.life.heard(self._clock.monotonic())
        self._wake_doubtful()

    def _wake_doubtful(self) -> None:
        doubtful, self._in_doubt = self._in_doubt, set()
        for address in doubtful:
            self.lanes.end_rest(address)
        if doubtful:
            self._event.set()

    def _look_moment(self, now: float) -> float:
        """Return when a look may be made; not before the end of a wait that the platform asked for."""
        moment = self.breaker.probe_at if self.breaker.blind else self.life.due_at
        held = self.rates.held(now)
        return moment if held is None else max(moment, held[1])

    def _look_at(self, now: float) -> float:
        """Return when a look is to be made, infinity where none is: nothing waits for it, or the account is paused."""
        wanted = self.breaker.blind or bool(self._in_doubt)
        if not wanted or self._looking is not None or self._paused or self._stopping or self._entry() is None:
            return math.inf
        return self._look_moment(now)

    def _begin_look(self) -> None:
        entry = self._entry()
        if entry is not None:
            self._looking = asyncio.create_task(self._look(entry))

    async def _look(self, entry: Entry) -> None:
        """Look whether the platform answers. It is no attempt of any message, and counts to no rate of messages."""
        alive = False
        try:
            answer = await self._sender.look(entry)
            alive = shows_life(answer)
            outcome = entry.channel.classify(entry.channel.look(entry.account), answer)
            if isinstance(outcome, Retry) and outcome.throttled and outcome.after:
                self.rates.hold(self._clock.monotonic() + outcome.after, outcome.reason)
        except Exception:  # a fault of ours: the next look may do better
            log.exception("look_fault", account=self._account_id)
        finally:
            self._looking = None
            self._event.set()
        now = self._clock.monotonic()
        self.life.looked(now, alive=alive)
        self.breaker.looked(now, alive=alive)
        self._wake_doubtful()

    # --- what the account learns -----------------------------------------------------------------------------------------

    def told(self, outcome: Outcome, began: float, address: str, *, answered: bool) -> None:
        """Learn what came of a call to *address* that *began* then; *answered*: by an answer of the platform."""
        now = self._clock.monotonic()
        match outcome:
            case Sent() | Rejected():
                if answered:
                    self.window.went_well()
                    self.rates.worked(now, address, began)
                    self._works(now, began)
            case AccountDown():
                self._park(now, _error(outcome))
            case Unknown():
                self._failed(now, began, address, _error(outcome), unreadable=True)
            case Retry():
                self._refused(now, began, address, outcome, answered=answered)
        if outcome.learned.usage is not None:
            self.rates.usage(now, outcome.learned.usage, outcome.learned.regain_seconds or 0.0)
        elif outcome.learned.regain_seconds:
            self.rates.hold(now + outcome.learned.regain_seconds, "the platform closed the account's calls for a while")

    def _refused(self, now: float, began: float, address: str, outcome: Retry, *, answered: bool) -> None:
        if outcome.throttled:
            shape = {"base": outcome.base, "growth": outcome.growth}
            self.rates.throttled(now, began, address, outcome.scope, outcome.after, **shape)
            if outcome.scope is not Scope.RECIPIENT:
                self.window.went_badly(now, began)
            self._works(now, began)  # it answers, and knows who we are
        elif outcome.again is not None or outcome.code == "media_refused":
            if answered:
                self._works(now, began)
        else:
            if outcome.scope is Scope.ACCOUNT:
                self.rates.hold(now + (outcome.after or outcome.base), outcome.reason)
            self._failed(now, began, address, _error(outcome))

    def stopped(self, error: ErrorRecord) -> None:
        """The platform stopped the account, and said so by itself."""
        self._park(self._clock.monotonic(), error)
        self._event.set()

    def _park(self, now: float, error: ErrorRecord) -> None:
        if self.breaker.trip(now, error):
            self._opened()
            log.error("account_parked", account=self._account_id, code=error.code, why=error.detail)
        self._tell_directory()
        self._parked(self._account_id, error)

    def _failed(self, now: float, began: float, address: str, error: ErrorRecord, *, unreadable: bool = False) -> None:
        self.window.went_badly(now, began)
        if self.breaker.failed(now, began, address, error, unreadable=unreadable):
            self._opened()
            log.warning("account_out", account=self._account_id, code=error.code, why=error.detail)

    def _works(self, now: float, began: float) -> None:
        if self.breaker.worked(now, began):
            log.info("account_resumed", account=self._account_id, by="probe")
            self._tell_directory()

    def _tell_directory(self) -> None:
        reason = self.breaker.reason if self.breaker.stopped else None
        self._directory.set_parked(self._account_id, reason.code if reason else "", reason.detail if reason else "")

    async def _mirror(self) -> None:
        """Bring the store in line with whether the account is parked, and with until when it is held."""
        parked = self.breaker.reason if self.breaker.stopped else None
        if (parked is not None) != self._parked_in_store:
            if parked is not None:
                await self._store.park(self._account_id, parked, self._clock.now())
            else:
                await self._store.unpark(self._account_id)
            self._parked_in_store = parked is not None
            self._stored_at = self._clock.monotonic()
        now = self._clock.monotonic()
        held = self.rates.held(now)
        if held is not None and held[1] > max(self._held_in_store, now) + WORTH_STORING:
            why, until = held
            await self._store.hold(self._account_id, self._clock.now(), self._wall(until), why)
            self._held_in_store = until

    # --- for people -----------------------------------------------------------------------------------------------------

    def state(self) -> AccountState:
        """Return how the account stands."""
        now = self._clock.monotonic()
        standing, reason, until = self._standing(now)
        entry = self._entry()
        return AccountState(
            account_id=self._account_id,
            standing=standing,
            reason=reason,
            until=until,
            in_flight=len(self._running),
            window=self._concurrency(),
            concurrency=entry.account.concurrency if entry is not None else 0,
            rate_share=self.rates.factor(now),
            lanes=self.lanes.count(),
            resting=self.lanes.resting(),
            in_memory=self.lanes.size,
        )

    def limits(self) -> tuple[Limit, ...]:
        """Return the account's limits, by name."""
        now, entry = self._clock.monotonic(), self._entry()
        found: list[Limit] = []
        for name, rate in sorted(entry.account.rates.items()) if entry is not None else ():
            moment = self.rates.named_free_at(now, name)
            share = self.rates.factor(now) if name == "account" else 1.0
            busy = self.rates.busy_recipients(now) if name == "recipient" else 0
            found.append(Limit(name, rate, share, self._wall(moment) if moment - now >= AT_ONCE else None, busy))
        return tuple(found)

    def why(self, lane: str) -> Why | None:
        """Return what keeps messages of the stored lane *lane* from being sent beside those before them; None: nothing."""
        now = self._clock.monotonic()
        standing, reason, until = self._standing(now)
        if standing not in (Standing.WORKING, Standing.THROTTLED) and reason is not None:
            return Why(reason, until)
        found = self.rates.explain(now, self.lanes.home(lane) or lane)
        if found is None or found[1] - now < AT_ONCE:
            return None
        return Why(ErrorRecord("rate_limited", found[0]), self._wall(found[1]))

    def _standing(self, now: float) -> tuple[Standing, ErrorRecord | None, datetime | None]:
        if self._entry() is None:
            return Standing.DISABLED, None, None
        if self._paused:
            detail = "the operator paused the account, and can resume it"
            return Standing.PAUSED, ErrorRecord("account_paused", detail), None
        if self.breaker.state(now) is not State.CLOSED:
            standing = Standing.PARKED if self.breaker.stopped else Standing.OUT
            return standing, self.breaker.explain(self._wall), self._wall(self.breaker.probe_at)
        held = self.rates.held(now)
        if held is not None:
            return Standing.THROTTLED, ErrorRecord("rate_limited", held[0]), self._wall(held[1])
        slowed = self.rates.slowed(now)
        if slowed:
            return Standing.THROTTLED, ErrorRecord("rate_limited", slowed), None
        return Standing.WORKING, None, None

    def _wall(self, moment: float) -> datetime:
        """Return the wall-clock time of a monotonic moment."""
        return self._clock.now() + timedelta(seconds=moment - self._clock.monotonic())


class _Gate:
    """What the worker decides and learns for the head of *lane*, for which a slot of the account is taken.

    ``calling`` is the part whose call is under way, 0 for none; ``settled``: a receipt told what became of it; ``task``
    sends the message; for ``gone`` see :class:`kurir.delivery.gate.Gate`.
    """

    def __init__(self, worker: AccountWorker, lane: Lane, message: QueuedMessage, now: float) -> None:
        self.lane = lane
        self.message = message
        self.task: asyncio.Task[None] | None = None
        self.calling = 0
        self.settled = False
        self.gone = False
        self._worker = worker
        self._rates = worker.rates
        self._address = lane.key
        self._clock = worker._clock  # noqa: SLF001 - two halves of one class
        self._slot: float | None = now
        self._call: tuple[float, tuple[str, ...]] | None = None
        worker.rates.take_slot(now)

    def wait(self, call: Call) -> float:
        """Return in how many seconds *call* may be made; 0.0: it may now, and is counted as made.

        The slot that was taken when the message was started is the call's, unless preparing it took so long that
        using it now would be a burst, or the platform asked for a wait meanwhile.
        """
        now, names = self._clock.monotonic(), call.limits
        stopped = self._worker.stopped_for(now)
        if stopped > 0:
            return stopped
        if self._slot is not None and (now - self._slot > SLOT_SECONDS or self._rates.held(now) is not None):
            self.close()
        free_at = max(self._rates.recipient_free_at(now, self._address), self._rates.turn_at(now, names))
        if self._slot is None:
            free_at = max(free_at, self._rates.account_free_at(now))
        if free_at > now:
            return free_at - now
        if self._slot is None:
            self._rates.take_slot(now)
            self._slot = now
        self._rates.take_call(now, self._address, names)
        self._call = now, names
        return 0.0

    def asked_to_wait(self) -> float:
        """Return how many seconds the platform wants no such call, 0.0 when it may be made."""
        return self._rates.asked_to_wait(self._clock.monotonic(), self._address)

    def unproven(self, since: int) -> float | None:
        """Return None where the platform answered after *since*, else in how many seconds it is looked at."""
        return self._worker.unproven(since)

    def made(self, part: int) -> bool:
        """The call of *part* that was counted is made now; return whether the account is out, so that it is a probe."""
        self.calling = part
        self._slot = self._call = None
        return self._worker.breaker.state(self._clock.monotonic()) is not State.CLOSED

    def ended(self, *, alive: bool) -> None:
        """The call has ended; *alive*: by an answer that shows that the platform lives."""
        self.calling = 0
        if alive:
            self._worker.heard()

    def told(self, outcome: Outcome, began: float, *, answered: bool) -> None:
        """Learn what came of a call that *began* then. That it failed is no trouble where a receipt told that it did not."""
        settled, self.settled = self.settled, False
        failed = isinstance(outcome, Unknown) or (isinstance(outcome, Retry) and not outcome.throttled)
        if settled and failed:
            return
        self._worker.told(outcome, began, self._address, answered=answered)

    def close(self) -> None:
        """Give back what was counted and not made."""
        if self._slot is not None:
            self._rates.give_back_slot(self._slot)
            self._slot = None
        if self._call is not None:
            self._rates.give_back_call(self._call[0], self._address, self._call[1])
            self._call = None


def _error(outcome: AccountDown | Unknown | Retry) -> ErrorRecord:
    return ErrorRecord(outcome.code, outcome.reason, outcome.provider_code)
