"""One message through its parts: resolve, render, and for each part mark, call, classify, record.

A part is durably marked in flight before its call, and the mark of part n+1 shares the commit of part n's outcome. So a
process that dies on any line leaves either a part that was never begun, or one marked whose outcome is unknown; it never
leaves an outcome that nobody wrote down and everybody believes.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Final

import structlog

from kurir.channels.base import (
    AccountDown,
    Again,
    Answer,
    Call,
    Facts,
    NoAnswer,
    Outcome,
    Rejected,
    Rendering,
    Retry,
    Scope,
    Sent,
    Unknown,
)
from kurir.clock import Clock
from kurir.delivery import facts as gathering
from kurir.delivery import retry
from kurir.directory import Entry
from kurir.domain import recipient as recipients
from kurir.domain.account import UnknownOutcome
from kurir.domain.message import Message
from kurir.domain.recipient import Recipient
from kurir.domain.status import Status
from kurir.egress import Egress, Exchange
from kurir.intake import identity, wire
from kurir.store.base import (
    AttemptRecord,
    ErrorRecord,
    Mark,
    PartAnswered,
    PartFailed,
    PartRecord,
    PartWaiting,
    Phase,
    QueuedMessage,
    Recorded,
    Result,
    Store,
    StoreUnavailable,
    Verdict,
)

log = structlog.get_logger(__name__)

MAXIMUM_KEPT_BODY: Final = 16 * 1024
#: How soon a parked account is tried again with one message.
PROBE_SECONDS: Final = 60.0
#: How long to wait before an outcome that the store did not take is offered to it again.
RECORD_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Finished:
    """The message has left the queue: every part is answered, or it ended. *called*: the platform answered just now."""

    called: bool = True


@dataclass(frozen=True, slots=True)
class Waiting:
    """The message waits *seconds* for its next try; *scope* says whom that holds back."""

    seconds: float
    scope: Scope = Scope.PART


@dataclass(frozen=True, slots=True)
class Stopped:
    """The platform stopped the account; the message waits with it."""

    error: ErrorRecord


Progress = Finished | Waiting | Stopped


@dataclass(slots=True)
class _Run:
    """A message on its way: what does not change over its parts, and the parts as they stand."""

    queued: QueuedMessage
    message: Message
    entry: Entry
    facts: Facts
    rendering: Rendering
    parts: dict[int, PartRecord]
    stored: bool
    sent_any: bool = False


class Sender:
    """Sends messages. *region_of* gives a client's default region."""

    def __init__(
        self, store: Store, egress: Egress, clock: Clock, rng: Random, region_of: Callable[[str], str]
    ) -> None:
        self._store = store
        self._egress = egress
        self._clock = clock
        self._rng = rng
        self._region_of = region_of

    async def send(self, queued: QueuedMessage, entry: Entry) -> Progress:
        """Take *queued* as far as it goes now. Raises StoreError when the store fails: nothing is lost by that."""
        begun = bool(queued.parts)
        if self._clock.now() >= queued.expires_at:
            return await self._expire(queued, begun=begun)
        message = wire.restore(queued.body)
        run = await self._prepare(queued, message, entry)
        if isinstance(run, ErrorRecord):
            await self._store.finish(queued.tid, queued.run, Status.UNSENT, run, self._clock.now())
            return Finished(called=False)
        return await self._parts(run)

    async def _expire(self, queued: QueuedMessage, *, begun: bool) -> Progress:
        now = self._clock.now()
        error = ErrorRecord("expired", f"it was not sent before {queued.expires_at.isoformat(timespec='seconds')}")
        if not begun:
            await self._store.finish(queued.tid, queued.run, Status.UNSENT, error, now)
            return Finished(called=False)
        open_part = next((part for part in queued.parts if part.phase is not Phase.ANSWERED), None)
        number = open_part.number if open_part else len(queued.parts) + 1
        attempt = AttemptRecord(number, now, 0, "", 0, "{}", b"", "expired", error.code, error.detail)
        verdict = PartFailed(Status.FAILED, error)
        await self._store.record(Result(queued.tid, queued.run, number, now, attempt, verdict))
        return Finished(called=False)

    async def _prepare(self, queued: QueuedMessage, message: Message, entry: Entry) -> _Run | ErrorRecord:
        if queued.facts is not None:
            facts = gathering.thaw(queued.facts, queued.tid)
        else:
            read = recipients.read(queued.channel, message.recipient, self._region_of(queued.client_id))
            if not isinstance(read, Recipient):  # the client's region was changed after accept
                return ErrorRecord("recipient_not_linked", read.detail)
            found = await identity.resolve(self._store, entry.account, read)
            if isinstance(found, ErrorRecord):
                return found
            facts = await gathering.gather(
                self._store, self._egress, self._clock, entry.channel, entry.account, message, queued.tid, found
            )
        parts = {part.number: part for part in queued.parts}
        facts = gathering.with_cures(facts, parts)
        rendering = entry.channel.render(message, entry.account, facts)
        return _Run(queued, message, entry, facts, rendering, parts, stored=queued.facts is not None)

    async def _parts(self, run: _Run) -> Progress:
        number = 1
        marked = False
        while number <= len(run.rendering.calls):
            part = run.parts.get(number)
            if part is not None and part.phase is Phase.ANSWERED:
                number += 1
                continue
            after_unknown = part is not None and part.phase is Phase.IN_FLIGHT and not marked
            if after_unknown and not self._may_repeat(run, number):
                return await self._hold(run, number)
            if not marked and not await self._store.mark(self._mark(run, number)):
                return Finished(called=False)
            progress, marked = await self._call(run, number, after_unknown=after_unknown)
            if progress is not None:
                return progress
            if marked:
                number += 1
        return Finished()

    # --- one part -----------------------------------------------------------------------------------------------------

    def _mark(self, run: _Run, number: int) -> Mark:
        queued, part = run.queued, run.parts.get(number)
        mark = Mark(
            tid=queued.tid,
            run=queued.run,
            part=number,
            at=self._clock.now(),
            total=len(run.rendering.calls),
            address=run.facts.address,
            again=part.again if part else (),
        )
        if run.stored:
            return mark
        run.stored = True
        tokens = tuple((token.token, token.key) for token in run.rendering.tokens)
        return replace(mark, facts=gathering.freeze(run.facts), losses=run.rendering.losses, tokens=tokens)

    async def _call(self, run: _Run, number: int, *, after_unknown: bool) -> tuple[Progress | None, bool]:
        """Make the call of a marked part. Returns (how the message goes on, None to go on now; next part is marked)."""
        account = run.entry.account
        call = replace(run.rendering.calls[number - 1], after_unknown=after_unknown)
        began = self._clock.now()
        exchange = await self._egress.send(call, account.settings.secrets())
        outcome = run.entry.channel.classify(call, exchange.answer)
        attempts = (run.parts[number].attempts if number in run.parts else 0) + 1
        attempt = _attempt(number, began, exchange, outcome, maybe_duplicate=after_unknown and not call.repeatable)
        self._note(run, number, attempts)
        if isinstance(outcome, Sent):
            return await self._taken(run, number, attempt, outcome)
        if isinstance(outcome, Rejected):
            error = ErrorRecord(outcome.code, outcome.reason, outcome.provider_code)
            await self._record(run, number, attempt, PartFailed(outcome.status, error))
            return Finished(), False
        if isinstance(outcome, Retry):
            return await self._again(run, number, attempt, outcome, attempts)
        error = ErrorRecord(outcome.code, outcome.reason, outcome.provider_code)
        if isinstance(outcome, AccountDown):
            until = self._clock.now() + timedelta(seconds=PROBE_SECONDS)
            await self._record(run, number, attempt, PartWaiting(until, error))
            return Stopped(error), False
        return await self._unknown(run, number, attempt, call, error, attempts)

    def _note(self, run: _Run, number: int, attempts: int) -> None:
        """Keep in memory what the store now knows of the part."""
        known = run.parts.get(number)
        again = known.again if known else ()
        run.parts[number] = PartRecord(number, Phase.WAITING, attempts=attempts, again=again)

    async def _taken(
        self, run: _Run, number: int, attempt: AttemptRecord, outcome: Sent
    ) -> tuple[Progress | None, bool]:
        following = number + 1 if number < len(run.rendering.calls) else None
        known = run.parts.get(following) if following else None
        marks_next = following is not None and (known is None or known.phase is Phase.WAITING)
        verdict = PartAnswered(outcome.platform_ids, outcome.status, outcome.learned.quote_tokens)
        next_mark = self._mark(run, following) if following is not None and marks_next else None
        recorded = await self._record(run, number, attempt, verdict, next_mark)
        run.parts[number] = PartRecord(number, Phase.ANSWERED, platform_ids=outcome.platform_ids)
        if following is None or not recorded.queued:
            return Finished(), False
        if next_mark is not None and not recorded.marked:
            return Finished(), False
        return None, recorded.marked

    async def _again(
        self, run: _Run, number: int, attempt: AttemptRecord, outcome: Retry, attempts: int
    ) -> tuple[Progress | None, bool]:
        cure = outcome.again
        part = run.parts[number]
        now = self._clock.now()
        reason = ErrorRecord(outcome.code, outcome.reason, outcome.provider_code)
        if cure is not None and cure.value not in part.again:
            await self._record(run, number, attempt, PartWaiting(now, reason))
            if cure is Again.NEW_ADDRESS and outcome.learned.moved_to:
                run.facts = replace(run.facts, address=outcome.learned.moved_to)
                run.stored = False  # the new address is part of the frozen facts
            run.parts[number] = replace(part, again=(*part.again, cure.value))
            run.facts = gathering.with_cures(run.facts, run.parts)
            run.rendering = run.entry.channel.render(run.message, run.entry.account, run.facts)
            return None, False
        if cure is not None:  # the cure was taken, and the platform says the same again
            status = Status.UNDELIVERED if reason.code.startswith("recipient_") else Status.FAILED
            await self._record(run, number, attempt, PartFailed(status, reason))
            return Finished(), False
        if outcome.attempts and attempts >= outcome.attempts:
            await self._record(run, number, attempt, PartFailed(Status.FAILED, _exhausted(reason, attempts)))
            return Finished(), False
        seconds = retry.wait_seconds(attempts, outcome.after, self._rng)
        if now + timedelta(seconds=seconds) >= run.queued.expires_at:
            await self._record(run, number, attempt, PartFailed(Status.FAILED, _exhausted(reason, attempts)))
            return Finished(), False
        await self._record(run, number, attempt, PartWaiting(now + timedelta(seconds=seconds), reason))
        return Waiting(seconds, outcome.scope), False

    async def _unknown(
        self, run: _Run, number: int, attempt: AttemptRecord, call: Call, error: ErrorRecord, attempts: int
    ) -> tuple[Progress | None, bool]:
        """Nobody knows whether the part left. What the platform makes harmless is repeated, else the policy decides."""
        account = run.entry.account
        if not call.repeatable and account.unknown_outcome is UnknownOutcome.HOLD:
            held = ErrorRecord("outcome_unknown", f"{error.detail}; the account's policy is to hold", error.provider_code)
            await self._record(run, number, attempt, PartFailed(Status.FAILED, held))
            return Finished(), False
        seconds = retry.wait_seconds(attempts, None, self._rng)
        if not call.repeatable and run.entry.channel.CAPABILITIES.receipts:
            seconds = max(seconds, account.unknown_wait_seconds)  # a receipt may still tell
        now = self._clock.now()
        if now + timedelta(seconds=seconds) >= run.queued.expires_at:
            await self._record(run, number, attempt, PartFailed(Status.FAILED, _exhausted(error, attempts)))
            return Finished(), False
        await self._record(run, number, attempt, PartWaiting(now + timedelta(seconds=seconds), error))
        return Waiting(seconds), False

    def _may_repeat(self, run: _Run, number: int) -> bool:
        """Return whether a part that a dead process had marked may be called again."""
        repeatable = run.rendering.calls[number - 1].repeatable
        return repeatable or run.entry.account.unknown_outcome is UnknownOutcome.RESEND

    async def _hold(self, run: _Run, number: int) -> Progress:
        now = self._clock.now()
        error = ErrorRecord("outcome_unknown", "the process stopped in the middle of the call; the policy is to hold")
        attempt = AttemptRecord(number, now, 0, "", 0, "{}", b"", "unknown", error.code, error.detail)
        await self._record(run, number, attempt, PartFailed(Status.FAILED, error))
        return Finished()

    async def _record(
        self, run: _Run, number: int, attempt: AttemptRecord, verdict: Verdict, next_mark: Mark | None = None
    ) -> Recorded:
        """Record what became of a part. A store that cannot write is waited for: the outcome is known only here."""
        queued = run.queued
        result = Result(queued.tid, queued.run, number, self._clock.now(), attempt, verdict, next_mark)
        while True:
            try:
                return await self._store.record(result)
            except StoreUnavailable as error:
                log.error("outcome_not_recorded", tid=queued.tid, part=number, error=str(error))
                await asyncio.sleep(RECORD_SECONDS)


def _exhausted(reason: ErrorRecord, attempts: int) -> ErrorRecord:
    return ErrorRecord("attempts_exhausted", f"{attempts} attempts failed; the last: {reason.detail}", reason.provider_code)


def _attempt(
    number: int, began: datetime, exchange: Exchange, outcome: Outcome, *, maybe_duplicate: bool
) -> AttemptRecord:
    answer = exchange.answer
    code = "" if isinstance(outcome, Sent) else outcome.code
    reason = "" if isinstance(outcome, Sent) else outcome.reason
    if maybe_duplicate:
        code = code or "maybe_duplicate"
        reason = (reason + " (sent again after an unknown outcome)").strip()
    if isinstance(answer, NoAnswer):
        return AttemptRecord(
            number, began, exchange.duration_ms, exchange.request, 0, "{}", answer.reason.encode(), _name(outcome), code, reason
        )
    return AttemptRecord(
        number,
        began,
        exchange.duration_ms,
        exchange.request,
        answer.status,
        _headers(answer),
        answer.body[:MAXIMUM_KEPT_BODY],
        _name(outcome),
        code,
        reason,
    )


def _headers(answer: Answer) -> str:
    return json.dumps(dict(answer.headers), ensure_ascii=False)


def _name(outcome: Outcome) -> str:
    names: dict[type[Outcome], str] = {
        Sent: "sent",
        Retry: "retry",
        Rejected: "rejected",
        Unknown: "unknown",
        AccountDown: "account_down",
    }
    return names[type(outcome)]
