"""A platform's webhook comes in: verified over the raw bytes, parsed, and on disk before it is answered.

The account in the path gives the secret. Each entry of a Meta batch goes to the account of the same app that owns its
number or page; entries of others are ignored, since their secret has not vouched for them.

What a webhook says of messages and people becomes events of the client's feed (``kurir.intake.arrivals``), committed with
its receipts in one transaction. Calls that a platform wants at once (Telegram's answer to a pressed button) are made
after the commit, never durably and never twice.

A webhook that the platform signed and that cannot be read, whole or in one of its events, goes into quarantine before it
is answered 200. Any other answer would bring the same bytes again for days, and on Telegram hold back every later update
meanwhile. The whole body is kept, also for one event of it: it is what ``parse`` takes, and the events that were
understood are known by their ids, so that a replay takes in only what is missing.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

import structlog

from kurir.channels.base import (
    TIME_UNTOLD,
    AccountNews,
    Again,
    Call,
    Handshake,
    Ignored,
    Inbound,
    Receipt,
    WebhookRequest,
    WebhookUnreadable,
)
from kurir.clock import Clock
from kurir.directory import Directory, Entry, owner_of, same_app
from kurir.egress import Egress
from kurir.intake.arrivals import Arrivals, Resolver
from kurir.quick import quick
from kurir.store import GatewayStore
from kurir.store.base import ErrorRecord, ReceiptRecord, StoreUnavailable
from kurir.store.inbound import Arrival, Quarantined, TakenIn, Unread, Webhook

log = structlog.get_logger(__name__)

#: What cures a failure that a receipt tells of, by our code, where the message offered it (``Call.cures``).
CURES: Final = {"window_closed": Again.TEMPLATE}
#: Calls that are made at once, at most, beside the webhooks that asked for them; what comes beyond is not made.
CALLS_AT_ONCE: Final = 100


@quick
@dataclass(frozen=True, slots=True)
class Stored:
    """What the webhook held is durable. Counts are of its events; ``new`` of those that were not known before.

    ``unread`` says of the webhook, or of each event of it that could not be understood, why.
    """

    receipts: int
    ignored: int
    new: int = 0
    unread: tuple[str, ...] = ()


#: Is told what :meth:`Receiver.receive` returns or raises.
Done = Callable[[Handshake | Stored | BaseException], None]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of reading a webhook in quarantine once more. ``why`` it stays there; "" where it is gone."""

    stored: Stored
    why: str = ""


@dataclass(frozen=True, slots=True)
class Hears:
    """Who is told of what came in, once it is durable.

    ``settled``: (account id, address) of what was open until a receipt told of it. ``fed``: the client whose feed has
    grown. ``stopped``: (account id, error) of an account that the platform stopped.
    """

    settled: Callable[[str, str], None] = lambda *_: None
    fed: Callable[[str], None] = lambda _: None
    stopped: Callable[[str, ErrorRecord], None] = lambda *_: None


@quick
@dataclass(frozen=True, slots=True)
class _Source:
    """Where events come from: ``body`` is the webhook's, None for updates that were fetched, each of which has its own.

    ``at`` is when they came. ``replayed``: long after that, so that nothing is done that only was of use at once. ``kept``
    are the bodies that went into quarantine: of a webhook one, however many of its events could not be understood.
    """

    body: bytes | None
    at: datetime
    replayed: bool = False
    kept: set[bytes] = field(default_factory=set)


@dataclass(slots=True)
class _Gathered:
    """What is to be stored of events, and what is not: why each was ignored, and (its raw bytes, why) of what is unread."""

    receipts: list[ReceiptRecord] = field(default_factory=list)
    arrivals: Arrivals = field(default_factory=Arrivals)
    news: list[tuple[Entry, AccountNews]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    unread: list[tuple[bytes, str]] = field(default_factory=list)


class Receiver:
    """Takes webhooks. *egress* makes the calls that a platform wants at once; without it they are not made."""

    def __init__(
        self,
        store: GatewayStore,
        directory: Directory,
        clock: Clock,
        hears: Hears | None = None,
        egress: Callable[[], Egress | None] = lambda: None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._hears = hears or Hears()
        self._egress = egress
        self._resolver = Resolver(store, clock)
        self._calls: set[asyncio.Task[None]] = set()
        self._begun: set[asyncio.Task[Stored]] = set()

    async def receive(self, entry: Entry, request: WebhookRequest) -> Handshake | Stored:
        """Verify, parse and store *request* of the account's platform.

        Raises WebhookRejected when it is not the platform's, StoreUnavailable when it could not be made durable. What the
        platform signed and nobody can read is durable in the quarantine on return, or counted as beyond its bound.
        """
        handshake = entry.channel.verify(entry.account, request)
        if handshake is not None:
            return handshake
        source = _Source(request.body, self._clock.now())
        return await self._read(entry, *_parsed(entry, request), source)

    def begin(self, entry: Entry, request: WebhookRequest, done: Done) -> None:
        """Do as :meth:`receive`, for who has no task: *done* is told what that returns or raises, once.

        A webhook that has nothing to wait for but its commit, as nearly all have, makes no task here either. Raises
        WebhookRejected at once.
        """
        handshake = entry.channel.verify(entry.account, request)
        if handshake is not None:
            done(handshake)
            return
        source = _Source(request.body, self._clock.now())
        events, why = _parsed(entry, request)
        found = None if why else self._gather_plain(entry, events)
        if found is None:
            self._finish(self._read(entry, events, why, source), done)
        elif not found.receipts and not found.arrivals.records:
            done(Stored(0, 0))
        else:
            try:
                asked = self._store.taking_in(Webhook(source.at, found.receipts, found.arrivals.records))
            except StoreUnavailable as error:
                done(error)
            else:
                asked.add_done_callback(partial(self._taken, entry, events, source, found, done))

    def _taken(
        self,
        entry: Entry,
        events: Sequence[Inbound],
        source: _Source,
        found: _Gathered,
        done: Done,
        asked: asyncio.Future[TakenIn],
    ) -> None:
        if asked.cancelled():  # the process ends
            return
        error = asked.exception()
        if error is None:
            taken = asked.result()
            try:
                self._tell(taken, found, source)
            except Exception as fault:  # noqa: BLE001 - whoever waits is told
                done(fault)
            else:
                done(Stored(len(found.receipts), 0, len(taken.new)))
        elif isinstance(error, StoreUnavailable) or not isinstance(error, Exception):
            done(error)
        else:
            log.error("webhook_not_taken_in", account=entry.account.id, events=len(events), exc_info=error)
            self._finish(self._one_by_one(entry, events, source, None, _fault(error)), done)

    def _finish(self, work: Coroutine[None, None, Stored], done: Done) -> None:
        def ended(task: asyncio.Task[Stored]) -> None:
            self._begun.discard(task)
            if not task.cancelled():
                done(task.exception() or task.result())

        task = asyncio.create_task(work)
        self._begun.add(task)
        task.add_done_callback(ended)

    async def _read(self, entry: Entry, events: Sequence[Inbound], why: str, source: _Source) -> Stored:
        if why:
            assert source.body is not None, "what could not be read is a webhook"  # noqa: S101 - narrows the type
            await self._quarantine(entry, source, source.body, why)
            return Stored(0, 0, unread=(why,))
        return await self._take(entry, events, source)

    async def take(
        self, entry: Entry, events: Sequence[Inbound], *, poll_offset: tuple[str, int] | None = None
    ) -> Stored:
        """Make *events* that were fetched durable, with *poll_offset* (account id, offset) not before them.

        Raises StoreUnavailable; then the offset is as it was, and the same may be taken again.
        """
        return await self._take(entry, events, _Source(None, self._clock.now()), poll_offset)

    async def replay(self, kept: Quarantined, body: bytes) -> Replayed | None:
        """Read a webhook in quarantine once more, as if it came now; None while its account is not enabled.

        What it tells and was not taken in before is durable on return, and the webhook is out of the quarantine; or it stays
        there with the new reason. It stays, too, where all of it was ignored: whoever looks at it decides. The signature
        is not asked for again, since it was right and the secret may have changed. Repeats change nothing. Raises
        StoreUnavailable; then it is still there.
        """
        entry = self._directory.accounts().get(kept.account_id)
        if entry is None:
            return None
        events, why = _parsed(entry, WebhookRequest("POST", {}, {}, body))
        stored = Stored(0, 0, unread=(why,))
        if not why:
            stored = await self._take(entry, events, _Source(body, kept.received_at, replayed=True))
            why = _why_it_stays(events, stored)
        if why:
            await self._store.still_unread(kept.number, why, self._clock.now())
        else:
            await self._store.release(kept.number)
        log.info("webhook_replayed", account=kept.account_id, number=kept.number, new=stored.new, why=why)
        return Replayed(stored, why)

    async def _take(
        self, entry: Entry, events: Sequence[Inbound], source: _Source, poll_offset: tuple[str, int] | None = None
    ) -> Stored:
        found = await self._gather(entry, events, source)
        for raw, why in found.unread:
            await self._quarantine(entry, source, raw, why)
        taken = TakenIn()
        if found.receipts or found.arrivals.records or poll_offset is not None:
            now = self._clock.now() if source.replayed else source.at
            webhook = Webhook(now, found.receipts, found.arrivals.records, poll_offset)
            try:
                taken = await self._store.take_in(webhook)
            except StoreUnavailable:
                raise
            except Exception as error:
                log.exception("webhook_not_taken_in", account=entry.account.id, events=len(events))
                return await self._one_by_one(entry, events, source, poll_offset, _fault(error))
        self._tell(taken, found, source)
        return Stored(len(found.receipts), len(found.ignored), len(taken.new), tuple(why for _, why in found.unread))

    async def _one_by_one(
        self,
        entry: Entry,
        events: Sequence[Inbound],
        source: _Source,
        poll_offset: tuple[str, int] | None,
        why: str,
    ) -> Stored:
        """Take events in each by itself, after the store refused them together: one must not hold back its neighbours."""
        if len(events) == 1:
            await self._quarantine(entry, source, _raw(events[0], source), why)
            all_of_it = Stored(0, 0, unread=(why,))
        else:
            each = [await self._take(entry, [event], source) for event in events]
            all_of_it = Stored(
                sum(one.receipts for one in each),
                sum(one.ignored for one in each),
                sum(one.new for one in each),
                tuple(why for one in each for why in one.unread),
            )
        if poll_offset is not None:
            await self._store.take_in(Webhook(self._clock.now(), poll_offset=poll_offset))
        return all_of_it

    def _gather_plain(self, entry: Entry, events: Sequence[Inbound]) -> _Gathered | None:
        """Return what :meth:`_gather` does, where nothing has to be looked up or told for it; None where something has."""
        found = _Gathered()
        try:
            for event in events:
                if isinstance(event, Ignored | AccountNews) or event.at == TIME_UNTOLD:
                    return None
                owner = self._owner(entry, event.owner)
                if owner is None:
                    return None
                if isinstance(event, Receipt):
                    found.receipts.append(_record(owner, event))
                    continue
                arrivals = self._resolver.plain(owner, event)
                if arrivals is None:
                    return None
                found.arrivals += arrivals
        except Exception:  # noqa: BLE001 - it comes again in _gather, which tells of it
            return None
        return found

    async def _gather(self, entry: Entry, events: Sequence[Inbound], source: _Source) -> _Gathered:
        found = _Gathered()
        for event in events:
            if isinstance(event, Ignored) and event.unread:
                found.unread.append((_raw(event, source), event.why))
                continue
            if isinstance(event, Ignored):
                found.ignored.append(event.why)
                log.info("webhook_event_ignored", account=entry.account.id, why=event.why)
                continue
            owner = self._owner(entry, event.owner)
            dated = event if event.at != TIME_UNTOLD else replace(event, at=source.at)
            if owner is None:
                found.ignored.append("an event of another account")
                log.warning("webhook_of_another_account", account=entry.account.id, owner=event.owner)
            elif isinstance(dated, Receipt):
                found.receipts.append(_record(owner, dated))
            elif isinstance(dated, AccountNews):
                found.news.append((owner, dated))
                account = owner.account
                found.arrivals.records.append(Arrival(account.id, account.client_id, dated.event_id, dated.at))
            else:
                try:
                    found.arrivals += await self._resolver.arrivals(owner, dated)
                except StoreUnavailable:
                    raise
                except Exception as error:  # a fault of ours: one event must not hold back its neighbours
                    log.exception("event_not_understood", account=owner.account.id, event_id=dated.event_id)
                    found.unread.append((_raw(dated, source), _fault(error)))
        return found

    async def _quarantine(self, entry: Entry, source: _Source, raw: bytes, why: str) -> None:
        """Keep what could not be read, once; what is replayed is there already."""
        if source.replayed or raw in source.kept:
            return
        source.kept.add(raw)
        account_id, size = entry.account.id, len(raw)
        number = await self._store.quarantine(Unread(account_id, raw, why, source.at))
        if number is None:
            log.error("webhook_not_kept", account=account_id, size=size, why=why, fix="kurir webhook list")
        else:
            log.warning("webhook_unreadable", account=account_id, size=size, why=why, number=number)

    async def stop(self) -> None:
        """Let the calls that are under way end for a moment, and give the others up: they were never promised."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=1.0)
        left = [*self._calls, *self._begun]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    # --- after the commit -------------------------------------------------------------------------------------------------

    def _tell(self, taken: TakenIn, found: _Gathered, source: _Source) -> None:
        for place in taken.settled:
            self._hears.settled(*place)
        for client_id in taken.clients:
            self._hears.fed(client_id)
        for owner, news in found.news:
            if news.event_id in taken.new:  # platforms repeat for days, and the operator may have mended it meanwhile
                self._account_news(owner, news, replayed=source.replayed)
        if source.replayed:
            return  # the moment for the calls is long over
        for event_id, (owner, calls) in found.arrivals.calls.items():
            if event_id in taken.new:
                for call in calls:
                    self._call(owner, call)

    def _call(self, entry: Entry, call: Call) -> None:
        egress = self._egress()
        if egress is None or len(self._calls) >= CALLS_AT_ONCE:
            log.warning("call_not_made", account=entry.account.id, method=call.method)
            return
        task = asyncio.create_task(_make(egress, entry, call))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def _account_news(self, owner: Entry, news: AccountNews, *, replayed: bool) -> None:
        """Tell the log; and stop the account, unless the news is an old one: calls tell how it stands today."""
        level = log.error if news.stops else log.warning
        level("account_news", account=owner.account.id, code=news.code, why=news.reason, at=news.at.isoformat())
        if news.stops and not replayed:
            self._hears.stopped(owner.account.id, ErrorRecord(news.code, news.reason))

    def _owner(self, entry: Entry, number: str) -> Entry | None:
        """Return the account that the platform's *number* belongs to, if the secret of *entry* vouches for it.

        A number that two accounts share is meant for the one that was called.
        """
        if number in ("", owner_of(entry.account)):
            return entry
        owner = self._directory.owner(entry.account.channel, number)
        return owner if owner is not None and same_app(owner.account, entry.account) else None


def _parsed(entry: Entry, request: WebhookRequest) -> tuple[Sequence[Inbound], str]:
    """Return the events of a verified request, or why it cannot be read. The reason holds no word of the body."""
    try:
        return entry.channel.parse(entry.account, request), ""
    except WebhookUnreadable as error:
        return (), str(error) or "the platform's module gives no reason"
    except Exception as error:  # a fault of ours, which a later version may mend
        log.exception("webhook_fault", account=entry.account.id, size=len(request.body))
        return (), _fault(error)


def _fault(error: Exception) -> str:
    return f"the gateway failed over it: {type(error).__name__}"


def _raw(event: Inbound, source: _Source) -> bytes:
    """Return what ``parse`` takes to give the event again: the whole body, or the update as it was fetched."""
    return event.raw if source.body is None else source.body


def _why_it_stays(events: Sequence[Inbound], stored: Stored) -> str:
    """Return why a webhook that was replayed is not out of quarantine; "" where it is."""
    if stored.unread:
        return stored.unread[0]
    if events and stored.ignored == len(events):
        why = next((event.why for event in events if isinstance(event, Ignored)), "events of another account")
        return f"nothing of it is of use: {why}"
    return ""


def _record(owner: Entry, receipt: Receipt) -> ReceiptRecord:
    error = receipt.error
    return ReceiptRecord(
        account_id=owner.account.id,
        event_id=receipt.event_id,
        status=receipt.status,
        at=receipt.at,
        platform_id=receipt.platform_id,
        watermark=receipt.watermark,
        address=receipt.address,
        reference=receipt.reference,
        error=ErrorRecord(error.code, error.reason, error.provider_code) if error else None,
        again=CURES.get(error.code, "") if error else "",
    )


async def _make(egress: Egress, entry: Entry, call: Call) -> None:
    account = entry.account
    exchange = await egress.send(call, account.settings.secrets(), account.client_id)
    status = getattr(exchange.answer, "status", 0)
    if status != 200:
        log.info("call_refused", account=account.id, method=call.method, status=status)
