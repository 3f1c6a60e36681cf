"""One message through its parts: resolve, render, and for each part mark, call, classify, record.

A part is durably marked in flight before its call, and the mark of part n+1 shares the commit of part n's outcome. So a
process that dies on any line leaves either a part that was never begun, or one marked whose outcome is unknown; it never
leaves an outcome that nobody wrote down and everybody believes.

What a part has been through is known from its attempts when it is tried again: whether an earlier one may have left,
since when, and how many were faults (throttling uses up age, not attempts). A call that a crash cut short gets its
attempt, an unknown one, before the next call. The attempts are read only after a restart; until then they are remembered.

A part in doubt is sent again only when the platform has shown since then that it answers: a copy of it that is sent into
an outage tells nothing (:mod:`kurir.delivery.doubt`, :mod:`kurir.delivery.life`).

Whether a call may be made now is the account's worker's to say, by its :class:`~kurir.delivery.gate.Gate`; what came of
it is told there too.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from random import Random
from typing import Final

import structlog

from kurir import counting, tracing
from kurir.channels.base import (
    AccountDown,
    Again,
    Answer,
    Call,
    Facts,
    Learned,
    NoAnswer,
    Rejected,
    Rendering,
    Retry,
    Sent,
    Stage,
    Unknown,
)
from kurir.clock import Clock
from kurir.delivery import facts as gathering
from kurir.delivery import retry
from kurir.delivery.attempts import NAMES, Made, attempt_of, masked, no_call, outcome_of
from kurir.delivery.doubt import Doubt, exhausted, forbidden
from kurir.delivery.gate import Finished, Gate, Progress, Waiting
from kurir.delivery.life import shows_life
from kurir.delivery.memory import Memory
from kurir.delivery.past import Past, past_of
from kurir.delivery.retry import Backoff
from kurir.delivery.turns import Turns
from kurir.directory import Entry
from kurir.domain import recipient as recipients
from kurir.domain.account import Account
from kurir.domain.message import Message
from kurir.domain.recipient import Recipient
from kurir.domain.status import Status
from kurir.egress import Egress, Exchange, Parcel
from kurir.intake import identity, wire
from kurir.intake.refusals import known_refusal
from kurir.store import GatewayStore
from kurir.store.base import (
    AttemptRecord,
    ErrorRecord,
    Mark,
    Marked,
    PartAnswered,
    PartFailed,
    PartRecord,
    PartWaiting,
    Phase,
    QueuedMessage,
    Recorded,
    Result,
    StoreError,
    StoreUnavailable,
    Verdict,
)
from kurir.tracing import Parent, Span, Traces

log = structlog.get_logger(__name__)

#: How soon a message is looked at again whose account the platform stopped; the account's breaker says when it is called.
STOPPED_SECONDS: Final = 1.0
#: A wait for the account's or the recipient's rate that is not worth giving up a place among those who send.
SHORT_SECONDS: Final = 0.25
#: How long to wait before an outcome that the store did not take is offered to it again.
RECORD_SECONDS: Final = 1.0
#: A message in doubt looks at least so often, in seconds, whether the platform has answered, and is looked at again.
RECHECK_SECONDS: Final = 60.0
#: A refusal that deserves another try stays that refusal when the tries are over.
_REFUSALS: Final = frozenset({"content_refused", "media_refused"})
#: A look that has not ended so long after it was due is said to be under way.
_LATE_SECONDS: Final = 1.0
_NOTHING_LEARNED: Final = Learned()
_FINISHED: Final = Finished()
_CRASHED: Final = "the process stopped in the middle of the call"


@dataclass(slots=True)
class _Run:
    """A message on its way: what does not change over its parts, and the parts as they stand.

    ``probes``: an answer said that the person blocks us, long enough ago to try again: one that the platform takes says
    that they no longer do.
    """

    queued: QueuedMessage
    message: Message
    entry: Entry
    facts: Facts
    rendering: Rendering
    parts: dict[int, PartRecord]
    pasts: dict[int, Past]
    stored: bool
    gate: Gate
    secrets: tuple[str, ...]
    probes: bool = False
    recorded: bool = True
    learned: Learned = _NOTHING_LEARNED
    parcel: Parcel | None = None
    span: Span | None = None
    answered_ns: int = 0

    @property
    def begun(self) -> bool:
        """Whether a part of it was called."""
        return bool(self.parts)

    async def unpack(self) -> None:
        """Let go of the file that was fetched for a part."""
        parcel, self.parcel = self.parcel, None
        if parcel is not None:
            await parcel.close()

    def past(self, number: int) -> Past:
        """Return what part *number* has been through."""
        past = self.pasts.get(number)
        if past is None:
            past = self.pasts[number] = Past()
        return past


class Sender:
    """Sends messages. *region_of* gives a client's default region; *backoff* goes before every other but for throttling.

    *fed* is told a client whose feed may have grown.
    """

    def __init__(
        self,
        store: GatewayStore,
        egress: Egress,
        clock: Clock,
        rng: Random,
        region_of: Callable[[str], str],
        backoff: Backoff | None = None,
        fed: Callable[[str], None] = lambda _: None,
        traces: Traces | None = None,
    ) -> None:
        self._traces = traces
        self._fed = fed
        self._store = store
        self._egress = egress
        self._clock = clock
        self._rng = rng
        self._region_of = region_of
        self._backoff = backoff
        self._draining = False
        self._turns = Turns()
        self._memory = Memory(clock)
        self._complained_at = -math.inf

    @property
    def order(self) -> Iterator[int]:
        """Numbers what happens in this process: doubts, and the signs of life that come before and after them."""
        return self._memory.order

    def took_over(self, account_id: str) -> None:
        """Another node may have worked for the account until now."""
        self._memory.began(account_id)

    def drain(self) -> None:
        """Begin no part from now on; those that are marked end as they would."""
        self._draining = True

    async def look(self, entry: Entry) -> Answer | NoAnswer:
        """Make the call of the account's platform that sends nothing, and return what came of it. Never raises."""
        account = entry.account
        exchange = await self._egress.send(entry.channel.look(account), account.settings.secrets())
        return (
            exchange.answer
            if isinstance(exchange.answer, Answer)
            else NoAnswer(Stage.AFTER_SEND, exchange.answer.reason)
        )

    async def send(self, queued: QueuedMessage, entry: Entry, gate: Gate) -> Progress:
        """Take *queued* as far as it goes now. Raises StoreError when the store fails: nothing is lost by that."""
        if self._draining:
            return Waiting(0.0, queued.begun)
        if self._clock.now() >= queued.expires_at:
            return await self._expire(queued)
        left = self._memory.rest_left(queued, self._clock.now())
        if left > 0:
            return Waiting(left, queued.begun)
        async with self._turns.turn(queued.client_id, queued.priority):
            message = queued.message or wire.restore(queued.body)
            to = None if queued.facts is not None else await self._resolve(queued, message, entry)
        if isinstance(to, ErrorRecord):
            return await self._end(queued, Status.UNSENT, to)
        if to is not None:
            asked = gathering.Question(entry.channel, entry.account, message, queued.tid, to)
            facts = await gathering.gather(self._store, self._egress, self._clock, asked)
            refused = known_refusal(message, entry, facts, to, self._clock.now()) if not queued.parts else None
            if refused is not None:
                return await self._end(queued, refused.status, ErrorRecord(refused.code, refused.reason))
        else:
            facts = gathering.thaw(queued.facts or b"", queued.tid)
        parts = {part.number: part for part in queued.parts}
        facts = gathering.with_cures(facts, parts)
        rendering = entry.channel.render(message, entry.account, facts)
        cured = any(part.again for part in queued.parts if part.phase is not Phase.ANSWERED)
        stored = queued.facts is not None and not cured  # a receipt may have named the cure, and nobody rendered it yet
        secrets = entry.account.settings.secrets()
        run = _Run(queued, message, entry, facts, rendering, parts, {}, stored, gate, secrets, _inferred_block(to))
        try:
            return await self._parts(run)
        finally:
            await run.unpack()

    async def _end(self, queued: QueuedMessage, status: Status, error: ErrorRecord) -> Progress:
        """End a message of which nothing was called."""
        await self._store.finish(queued.tid, queued.run, status, error, self._clock.now())
        self._fed(queued.client_id)
        return Finished()

    async def _resolve(self, queued: QueuedMessage, message: Message, entry: Entry) -> identity.Resolved | ErrorRecord:
        read = recipients.read(queued.channel, message.recipient, self._region_of(queued.client_id))
        if not isinstance(read, Recipient):  # the client's region was changed after accept
            return ErrorRecord("recipient_not_linked", read.detail)
        return await identity.resolve(self._store, entry.account, read)

    async def _past(self, queued: QueuedMessage, part: PartRecord) -> Past:
        """Return what *part* has been through, but for a call that a crash cut short just now."""
        calls = part.attempts - (part.phase is Phase.IN_FLIGHT)
        remembered = self._memory.take_past(queued.tid, part.number, queued.run, calls)
        if remembered is not None:
            return remembered
        if calls <= 0 and queued.run == 1:
            return Past()
        return past_of(await self._store.past(queued.tid, part.number), part, queued.run, calls)

    def _remember(self, run: _Run, number: int) -> None:
        marks = run.parts[number].attempts
        self._memory.keep_past(run.queued.tid, number, run.queued.run, marks, run.past(number))

    async def _expire(self, queued: QueuedMessage) -> Progress:
        now = self._clock.now()
        expired = f"it expired at {queued.expires_at.isoformat(timespec='seconds')}, before it could be sent"
        error = ErrorRecord("expired", expired)
        if not queued.parts:
            return await self._end(queued, Status.UNSENT, error)
        open_part = next((part for part in queued.parts if part.phase is not Phase.ANSWERED), None)
        answered = {part.number for part in queued.parts}
        number = open_part.number if open_part else next(each for each in count(1) if each not in answered)
        in_flight = open_part is not None and open_part.phase is Phase.IN_FLIGHT
        if in_flight or (open_part is not None and (await self._past(queued, open_part)).unknown):
            error = ErrorRecord("outcome_unknown", f"no readable answer came, and {expired} again")
        verdict = PartFailed(Status.FAILED, error)
        outcome = "unknown" if error.code == "outcome_unknown" else "expired"  # a later run has to know
        result = Result(queued.tid, queued.run, number, now, no_call(number, now, outcome, error), verdict)
        recorded = await self._store.record(result)
        self._fed(queued.client_id)
        return _after_end(recorded)

    async def _parts(self, run: _Run) -> Progress:
        number = 1
        marked = False
        while number <= len(run.rendering.calls):
            part = run.parts.get(number)
            if part is not None and part.phase is Phase.ANSWERED:
                number += 1
                continue
            if not marked:
                held_back = await self._begin(run, number)
                if held_back is not None:
                    return held_back
            progress, marked = await self._call(run, number)
            if run.gate.gone:
                return Finished()
            if progress is not None:
                return progress
            if marked:
                number += 1
        return Finished()

    async def _begin(self, run: _Run, number: int) -> Progress | None:
        """Mark a part as soon as it may be called. None: it is marked, else why it is not to be called now."""
        part, call = run.parts.get(number), run.rendering.calls[number - 1]
        if self._draining:
            return Waiting(0.0, run.begun)
        if number not in run.pasts and (part is not None or run.queued.run > 1):
            run.pasts[number] = await self._past(run.queued, part or PartRecord(number, Phase.WAITING))
        doubt = await self._doubt(run, number)
        if doubt is not None:
            return doubt
        wait = await self._turn_of(run, call)
        if wait is None and call.upload is not None and run.parcel is None:
            run.gate.close()  # the file may take its time, and the turn is then another
            account = run.entry.account
            run.parcel = await self._egress.pack(call, account.settings.secrets(), account.client_id)
            wait = await self._turn_of(run, call)
        if wait is not None:
            return wait
        try:
            async with self._turns.turn(run.queued.client_id, run.queued.priority):
                marked = not self._draining and await self._store.mark(self._mark(run, number))
        except BaseException:
            run.gate.close()
            raise
        if marked is Marked.TOKEN_USED:  # by another message to the chat: this one does without
            run.gate.close()
            self._render(run, replace(run.facts, reply_token=None))
            return await self._begin(run, number)
        if not marked:
            run.gate.close()
            return Waiting(0.0, run.begun)  # it moved under us: to be read anew
        return None

    @staticmethod
    async def _turn_of(run: _Run, call: Call) -> Waiting | None:
        """Wait for the turn of *call* where it comes soon. None: it is there, and is counted."""
        while (seconds := run.gate.wait(call)) > 0:
            if seconds > SHORT_SECONDS:
                return Waiting(seconds, run.begun, turn=True)
            await asyncio.sleep(seconds)
        return None

    # --- one part -----------------------------------------------------------------------------------------------------

    async def _doubt(self, run: _Run, number: int) -> Progress | None:
        """Decide on a part that may have left already. None: it may be called (again)."""
        part, past, now = run.parts.get(number), run.past(number), self._clock.now()
        crash = None
        if part is not None and part.phase is Phase.IN_FLIGHT:
            reason = ErrorRecord("no_answer", _CRASHED)
            crash = no_call(number, part.marked_at or now, NAMES[Unknown], reason)
            past.count(crash)
        call, account = run.rendering.calls[number - 1], run.entry.account
        if past.in_doubt(call, now):
            if crash is not None and run.entry.channel.CAPABILITIES.receipts:
                until = crash.at + timedelta(seconds=account.unknown_wait_seconds)
                left = min((until - now).total_seconds(), account.unknown_wait_seconds)
                wait = f"{run.queued.tid}/{number}/{part.attempts if part else 0}"
                if left > 0 and not self._memory.waited(wait):  # a receipt may still tell
                    reason = ErrorRecord("no_answer", f"{_CRASHED}; a receipt may tell what became of it")
                    await self._store.wait(run.queued.tid, run.queued.run, until, reason, since=crash.at)
                    self._memory.note_wait(wait)
                    self._memory.note_wait(run.queued.tid)
                    return Waiting(left, begun=True)
            refused = forbidden(account, past.copies(call))
            if refused:
                why = _CRASHED if crash is not None else "no readable answer came"
                return await self._hold(run, number, f"{why}; {refused}")
            unproven = await self._proof(run, number, crash)
            if unproven is not None:
                return unproven
        if crash is not None:
            await self._record(run, number, crash, PartWaiting(now, ErrorRecord(crash.code, crash.reason)))
        return None

    async def _proof(self, run: _Run, number: int, crash: AttemptRecord | None) -> Progress | None:
        """Wait until the platform has shown that it answers, since the part came into doubt. None: it has.

        A copy that is sent into an outage tells nothing, and there are few of them.
        """
        queued, past, now = run.queued, run.past(number), self._clock.now()
        if past.doubt is None:
            cause = _CRASHED if crash is not None else "no readable answer came"
            past.doubt = Doubt(self._memory.doubts_from, ErrorRecord("no_answer", cause))
        doubt = past.doubt
        seconds = run.gate.unproven(doubt.since)
        if seconds is None:
            return None
        until = now + timedelta(seconds=seconds) if seconds < math.inf else None
        reason = doubt.waits(until)
        if crash is not None:
            recorded = await self._record(run, number, crash, PartWaiting(until or now, reason))
            if recorded.settled or not recorded.queued:
                return _waits(recorded, 0.0)
        else:
            self._remember(run, number)
            await self._store.wait(queued.tid, queued.run, until, reason, since=now)
        rest = min(seconds + _LATE_SECONDS, RECHECK_SECONDS, (queued.expires_at - now).total_seconds())
        return Waiting(max(0.0, rest), begun=True, proof=doubt.since)

    async def _hold(self, run: _Run, number: int, detail: str) -> Progress:
        error = ErrorRecord("outcome_unknown", detail)
        attempt = no_call(number, self._clock.now(), "unknown", error)
        recorded = await self._record(run, number, attempt, PartFailed(Status.FAILED, error))
        return _after_end(recorded)

    def _mark(self, run: _Run, number: int) -> Mark:
        queued, part = run.queued, run.parts.get(number)
        rendering, stored = run.rendering, run.stored
        call = rendering.calls[number - 1]
        run.stored = True
        return Mark(
            tid=queued.tid,
            run=queued.run,
            part=number,
            at=self._clock.now(),
            total=len(rendering.calls),
            address=run.facts.address,
            again=part.again if part else (),
            facts=None if stored else gathering.freeze(run.facts),
            losses=() if stored else rendering.losses,
            tokens=() if stored else tuple((token.token, token.key) for token in rendering.tokens),
            reply_token=call.reply_token,
            choices=() if stored else tuple((choice.title, choice.key) for choice in rendering.choices),
            cures=tuple(cure.value for cure in call.cures),
        )

    async def _call(self, run: _Run, number: int) -> tuple[Progress | None, bool]:
        """Make the call of a marked part. Returns (how the message goes on, None to go on now; next part is marked)."""
        seconds = run.gate.asked_to_wait()
        if seconds > 0:  # another call learned that in the moment between the mark and this one
            return await self._hold_back(run, number, seconds), False
        past, began = run.past(number), self._clock.now()
        call = run.rendering.calls[number - 1]
        lapsed = call.repeatable and past.lapsed(began)
        after_unknown = past.doubtful() or lapsed
        if lapsed or after_unknown != call.after_unknown:
            call = replace(call, after_unknown=after_unknown, repeatable=call.repeatable and not lapsed)
        stale = call.repeatable and past.forgotten(began)
        made = Made(number, began, call, self._clock.monotonic(), probe=run.gate.made(number), stale=stale)
        if self._traces is not None:
            run.span = _span(self._traces, run, number)
        exchange = await self._egress.send(call, run.secrets, run.entry.account.client_id, run.parcel)
        run.answered_ns = 0 if run.span is None else time.time_ns()
        run.gate.ended(alive=shows_life(exchange.answer))
        if run.parcel is not None:
            await run.unpack()
        known = run.parts.get(number)
        run.parts[number] = PartRecord(
            number, Phase.WAITING, attempts=known.attempts + 1 if known else 1, again=known.again if known else ()
        )
        run.recorded = False
        try:
            async with self._turns.turn(run.queued.client_id, run.queued.priority):
                return await self._answered(run, made, exchange)
        except StoreError:
            self._memory.forgot()
            raise
        except Exception as fault:
            if run.recorded:
                raise
            log.exception("outcome_not_understood", tid=run.queued.tid, part=number)
            reason = f"what came of the call could not be read: a fault of the gateway ({type(fault).__name__})"
            return await self._at_fault(run, made, exchange, reason)

    async def _hold_back(self, run: _Run, number: int, seconds: float) -> Progress:
        """Take the mark of a part back that is not called after all."""
        now = self._clock.now()
        reason = ErrorRecord("rate_limited", "the platform asked for a wait in the moment before the call")
        attempt = replace(no_call(number, now, NAMES[Retry], reason), counted=False)
        part = run.parts.get(number) or PartRecord(number, Phase.WAITING)
        run.parts[number] = replace(part, phase=Phase.WAITING, attempts=part.attempts + 1)
        run.past(number).count(attempt)
        recorded = await self._record(run, number, attempt, PartWaiting(now + timedelta(seconds=seconds), reason))
        return _waits(recorded, seconds)

    async def _at_fault(self, run: _Run, made: Made, exchange: Exchange, reason: str) -> tuple[Progress | None, bool]:
        """Record a call as unknown whose answer a fault of ours kept from being recorded as what it was."""
        if run.span is not None:
            run.span.end("fault", run.answered_ns)
        unread = replace(exchange, answer=NoAnswer(Stage.AFTER_SEND, reason))
        outcome = Unknown("ambiguous_error", reason)
        attempt = attempt_of(made, unread, outcome, run.secrets)
        return await self._unknown(
            run, made.part, attempt, ErrorRecord("ambiguous_error", reason), repeatable=made.call.repeatable
        )

    async def _answered(self, run: _Run, made: Made, exchange: Exchange) -> tuple[Progress | None, bool]:
        """Record what came of a call, and say as :meth:`_call` does how the message goes on."""
        number, call, secrets = made.part, made.call, run.secrets
        outcome = masked(outcome_of(run.entry, call, exchange), secrets)
        attempt = attempt_of(made, exchange, outcome, secrets)
        counting.CALLS.add(run.queued.account_id, run.queued.channel, attempt.outcome)
        counting.CALL_SECONDS.add(exchange.duration_ms / 1000, run.queued.channel)
        if run.span is not None:
            failed = "" if isinstance(outcome, Sent) else attempt.code or attempt.outcome
            run.span.end(failed, run.answered_ns, outcome=attempt.outcome, status=attempt.status)
        run.gate.told(outcome, made.began, answered=isinstance(exchange.answer, Answer))
        run.learned = outcome.learned
        match outcome:
            case Sent():
                return await self._taken(run, number, attempt, outcome)
            case Rejected():
                error = ErrorRecord(outcome.code, outcome.reason, outcome.provider_code)
                return await self._failed(run, number, attempt, outcome.status, error)
            case Retry():
                return await self._again(run, number, attempt, outcome)
            case AccountDown():
                error = ErrorRecord(outcome.code, outcome.reason, outcome.provider_code)
                until = self._clock.now() + timedelta(seconds=STOPPED_SECONDS)
                recorded = await self._record(run, number, attempt, PartWaiting(until, error))
                return _waits(recorded, STOPPED_SECONDS), False
            case Unknown():
                error = ErrorRecord(outcome.code, outcome.reason, outcome.provider_code)
                return await self._unknown(run, number, attempt, error, repeatable=call.repeatable)

    async def _taken(
        self, run: _Run, number: int, attempt: AttemptRecord, outcome: Sent
    ) -> tuple[Progress | None, bool]:
        following = number + 1 if number < len(run.rendering.calls) else None
        next_mark = None
        goes_on = not (self._draining or run.gate.gone)
        if following is not None and following not in run.parts and goes_on and run.queued.run == 1:
            upcoming = run.rendering.calls[following - 1]
            free = upcoming.upload is None and run.gate.wait(upcoming) <= 0
            next_mark = self._mark(run, following) if free else None
        if run.probes and run.learned.blocked is None:
            run.learned, run.probes = replace(run.learned, blocked=False), False
        verdict = PartAnswered(outcome.platform_ids, outcome.status, outcome.learned.quote_tokens)
        recorded = await self._record(run, number, attempt, verdict, next_mark)
        if next_mark is not None and not recorded.marked:
            run.gate.close()
        if not recorded.queued:
            return _FINISHED, False
        run.parts[number] = PartRecord(number, Phase.ANSWERED, platform_ids=outcome.platform_ids)
        if next_mark is not None and not recorded.marked:
            return Waiting(0.0, begun=True), False  # it moved under us: to be read anew
        if following is None:
            return Waiting(0.0, begun=True), False  # a receipt that came before the answer refused it: there is a cure
        return None, recorded.marked

    async def _again(
        self, run: _Run, number: int, attempt: AttemptRecord, outcome: Retry
    ) -> tuple[Progress | None, bool]:
        cure, part, past = outcome.again, run.parts[number], run.past(number)
        reason = ErrorRecord(outcome.code, outcome.reason, outcome.provider_code)
        if cure is not None and cure.value not in part.again:
            attempt = replace(attempt, counted=False)
            await self._record(run, number, attempt, PartWaiting(self._clock.now(), reason))
            self._cure(run, number, cure, outcome.learned.moved_to)
            return None, False
        if cure is not None:  # the cure was taken, and the platform says the same again
            status = Status.UNDELIVERED if reason.code.startswith("recipient_") else Status.FAILED
            return await self._failed(run, number, attempt, status, reason)
        past.count(attempt)
        seconds = self._wait_seconds(run.entry.account, part.attempts, outcome)
        until = self._clock.now() + timedelta(seconds=seconds)
        allowed = outcome.attempts or run.entry.account.retrying.attempts
        spent = attempt.counted and allowed > 0 and past.faults >= allowed
        if spent or until >= run.queued.expires_at:
            error = exhausted(reason, part.attempts, unsure=past.unknown > 0)
            if spent and reason.code in _REFUSALS and not past.unknown:
                error = reason
            return await self._failed(run, number, attempt, Status.FAILED, error)
        recorded = await self._record(run, number, attempt, PartWaiting(until, reason))
        return _waits(recorded, seconds), False

    def _wait_seconds(self, account: Account, attempt: int, outcome: Retry) -> float:
        """Return how long to wait after the *attempt*-th call: what the answer names, the platform's pages, or we."""
        if outcome.after is not None:
            return retry.named_seconds(outcome.after, self._rng)
        if outcome.base > 0 and (outcome.throttled or self._backoff is None):
            return retry.grown_seconds(attempt, outcome.base, outcome.growth, self._rng)
        return retry.wait_seconds(attempt, self._rng, self._backoff_of(account))

    def _backoff_of(self, account: Account) -> Backoff:
        shape = account.retrying
        return self._backoff or Backoff(shape.first_seconds, shape.longest_seconds)

    @staticmethod
    def _cure(run: _Run, number: int, cure: Again, moved_to: str) -> None:
        """Render anew, with *cure* taken for part *number*. What is frozen and what is lost may be other than before."""
        part = run.parts[number]
        run.parts[number] = replace(part, again=(*part.again, cure.value))
        if cure is Again.NEW_ADDRESS and moved_to:
            run.facts = replace(run.facts, address=moved_to)
        Sender._render(run, gathering.with_cures(run.facts, run.parts))

    @staticmethod
    def _render(run: _Run, facts: Facts) -> None:
        """Render anew from other *facts*, which the next mark stores."""
        run.facts = facts
        run.rendering = run.entry.channel.render(run.message, run.entry.account, facts)
        run.stored = False

    async def _unknown(
        self, run: _Run, number: int, attempt: AttemptRecord, error: ErrorRecord, *, repeatable: bool
    ) -> tuple[Progress | None, bool]:
        """Nobody knows whether the part left. What the platform makes harmless is repeated, else the policy decides.

        Where receipts may still tell, the policy is asked when they have had their time.
        """
        account, past = run.entry.account, run.past(number)
        past.count(attempt)
        past.doubt = Doubt(next(self._memory.order), error)
        receipts = bool(run.entry.channel.CAPABILITIES.receipts)
        refused = forbidden(account, past.copies(run.rendering.calls[number - 1]))
        if not repeatable and not receipts and refused:
            error = ErrorRecord("outcome_unknown", f"{error.detail}; {refused}", error.provider_code)
            return await self._failed(run, number, attempt, Status.FAILED, error)
        backoff = self._backoff_of(account)
        if not repeatable:
            backoff = replace(backoff, maximum=retry.UNKNOWN_MAXIMUM)
        seconds = retry.steady_seconds(run.parts[number].attempts, self._rng, backoff)
        if receipts and not repeatable:
            seconds = max(seconds, account.unknown_wait_seconds)
        until = self._clock.now() + timedelta(seconds=seconds)
        if until >= run.queued.expires_at:
            error = exhausted(error, run.parts[number].attempts, unsure=True)
            return await self._failed(run, number, attempt, Status.FAILED, error)
        recorded = await self._record(run, number, attempt, PartWaiting(until, error))
        return _waits(recorded, seconds), False

    async def _failed(
        self, run: _Run, number: int, attempt: AttemptRecord, status: Status, error: ErrorRecord
    ) -> tuple[Progress, bool]:
        recorded = await self._record(run, number, attempt, PartFailed(status, error))
        return _after_end(recorded), False

    def _log_not_recorded(self, tid: str, part: int, error: StoreUnavailable) -> None:
        """Say it once a second, however many messages wait for the store."""
        now = self._clock.monotonic()
        if now - self._complained_at >= RECORD_SECONDS:
            self._complained_at = now
            log.error("outcome_not_recorded", tid=tid, part=part, error=str(error))

    async def _record(
        self, run: _Run, number: int, attempt: AttemptRecord, verdict: Verdict, next_mark: Mark | None = None
    ) -> Recorded:
        """Record what became of a part. A store that cannot write is waited for: the outcome is known only here."""
        queued, learned = run.queued, run.learned
        run.learned = _NOTHING_LEARNED
        result = Result(
            queued.tid,
            queued.run,
            number,
            self._clock.now(),
            attempt,
            verdict,
            next_mark,
            learned_blocked=learned.blocked,
            moved_to=learned.moved_to,
            alias=learned.alias,
        )
        while True:
            try:
                recorded = await self._store.record(result)
            except StoreUnavailable as error:
                self._log_not_recorded(queued.tid, number, error)
                await asyncio.sleep(RECORD_SECONDS)
            else:
                run.recorded = True
                if isinstance(verdict, PartWaiting):
                    self._remember(run, number)
                if recorded.taught or not isinstance(verdict, PartWaiting):
                    self._fed(queued.client_id)
                return recorded


def _inferred_block(to: identity.Resolved | None) -> bool:
    """Return whether only an answer to a call said that the person blocks us."""
    contact = None if to is None else to.contact
    return contact is not None and contact.blocked and contact.block_inferred


def _span(traces: Traces, run: _Run, number: int) -> Span:
    """Begin the span of the call of a part, under that of the message's accept. The platform is told nothing of it."""
    queued = run.queued
    about: dict[str, str | int] = {
        "client": queued.client_id,
        "account": queued.account_id,
        "channel": queued.channel,
        "tid": queued.tid,
        "part": number,
        "run": queued.run,
    }
    parent = Parent(tracing.found(queued.body), time.time_ns())
    return traces.begin(f"call {queued.channel}", tracing.Kind.CLIENT, parent, about)


def _waits(recorded: Recorded, seconds: float) -> Progress:
    """Return how a message goes on one part of which was to wait: a receipt may have settled it meanwhile."""
    if not recorded.queued:
        return Finished()
    return Waiting(0.0 if recorded.settled else seconds, begun=True)


def _after_end(recorded: Recorded) -> Progress:
    """Return how a message goes on that was to end: a receipt may have settled the part meanwhile."""
    return Waiting(0.0, begun=True) if recorded.queued else Finished()
