"""The store, whichever database is under it: each method is one of the operations.

What a method does inside its transaction stands in :mod:`kurir.store.operations`, beside its SQL. An engine
(:mod:`kurir.store.sqlite`, :mod:`kurir.store.postgres`) says how an operation is run: when a write is durable, what excludes
what, and which reads must not wait for which.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Final, TypeAlias, TypeVar

from kurir.domain.message import Priority
from kurir.domain.status import Status
from kurir.store.base import (
    Accepted,
    AccountRecord,
    Ahead,
    AttemptRecord,
    ClientRecord,
    Conflict,
    ContactRecord,
    Declared,
    EndpointRecord,
    ErrorRecord,
    Mark,
    Marked,
    MessageFilter,
    MessageRecord,
    NewMessage,
    Purged,
    Put,
    QueueDepth,
    QueuedMessage,
    ReceiptRecord,
    Received,
    Recorded,
    ReplyRecord,
    Result,
    Turn,
)
from kurir.store.database import EVERYBODY, Database, Operation, Whose, of_account, of_endpoint
from kurir.store.feed import CallbackAttempt, CallbackRecord, Called, Endpoint, EventRecord, Ladder, Owed, Replay
from kurir.store.inbound import (
    ChoiceRecord,
    Forgotten,
    LinkRecord,
    NotKept,
    Quarantined,
    QuotaRecord,
    Quoted,
    ReplyTokenRecord,
    TakenIn,
    TemplateRecord,
    Unread,
    Webhook,
)
from kurir.store.operations import (
    accept,
    administration,
    callbacks,
    config,
    delivery,
    erasure,
    expiry,
    feed,
    inbound,
    people,
    quarantine,
    reading,
    runs,
    upkeep,
)
from kurir.store.operations import receipts as applying
from kurir.store.operations import sealed as sealing
from kurir.store.sealed import Sealed
from kurir.store.sql_access import SqlAccess
from kurir.store.sql_looking import SqlLooking
from kurir.store.together import Together

#: Seconds that the sweep over the whole database may take.
SWEEP_SECONDS = 600.0

#: Seconds that whoever must answer somebody waits for a write.
PATIENCE_SECONDS: Final = 10.0

T = TypeVar("T")
#: An account's id, and an address or a phone there.
Place: TypeAlias = tuple[str, str]


class SqlStore(SqlAccess, SqlLooking):
    """:class:`kurir.store.GatewayStore` over SQL. An engine opens, closes, and runs what this hands it."""

    @abstractmethod
    async def _write(self, whose: Whose, operation: Operation[T], *, seconds: float | None = None) -> T:
        """Return what *operation* returns, once it is committed and durable. Raises StoreError and its kin.

        With *seconds* it raises StoreUnavailable when it takes longer; it may be committed all the same.
        """

    @abstractmethod
    async def _read(self, operation: Operation[T]) -> T:
        """Return what *operation* reads, all of it at one moment: what delivery and accept need at once."""

    @abstractmethod
    async def _study(self, operation: Operation[T], *, seconds: float | None = None) -> T:
        """Read what people look at: it may take its time, and holds nothing of delivery's up."""

    async def meta(self, key: str) -> str | None:
        """Return a value of the installation."""
        return await self._read(lambda db: config.meta(db, key))

    async def set_meta(self, key: str, value: str, was: str | None = None) -> str:
        """Set a value of the installation where it is not set, or is *was*, and return the value that it has then."""
        return await self._write(EVERYBODY, lambda db: config.swap_meta(db, key, value, was))

    async def sealed_values(self) -> list[Sealed]:
        """Return every sealed value."""
        return await self._read(sealing.sealed_values)

    async def replace_sealed(self, changes: Sequence[tuple[Sealed, bytes]]) -> int:
        """Put a new value in the place of each that still is what it was."""
        return await self._write(EVERYBODY, lambda db: sealing.replace_sealed(db, changes))

    # --- configuration -----------------------------------------------------------------------------------------------

    async def declare(self, declared: Declared, at: datetime) -> None:
        """Bring clients, accounts and endpoints in line with a configuration file."""
        await self._write(EVERYBODY, lambda db: config.declare(db, declared, at))

    async def clients(self) -> list[ClientRecord]:
        """Return every client by id."""
        return await self._read(config.clients)

    async def accounts(self) -> list[AccountRecord]:
        """Return every account by client and position."""
        return await self._read(config.accounts)

    async def endpoints(self, client_id: str) -> list[EndpointRecord]:
        """Return the client's endpoints in declared order."""
        return await self._read(lambda db: config.endpoints(db, client_id))

    async def configuration_version(self) -> int:
        """Return a number that grows with every change of clients and accounts."""
        return await self._read(config.version)

    async def put_client(self, record: ClientRecord, at: datetime, was: ClientRecord | None = None) -> Put:
        """Create a client, or change it where it still is as it *was*."""
        return await self._write(Whose(client_id=record.id), lambda db: administration.put_client(db, record, at, was))

    async def put_account(self, record: AccountRecord, at: datetime, was: AccountRecord | None = None) -> Put:
        """Create an account, or change it where it still is as it *was*."""
        whose = Whose(client_id=record.client_id)
        return await self._write(whose, lambda db: administration.put_account(db, record, at, was))

    async def client_used(self, client_id: str, at: datetime) -> None:
        """Note that a client was let in at *at*."""
        await self._write(Whose(client_id=client_id), lambda db: administration.client_used(db, client_id, at))

    async def park(self, account_id: str, error: ErrorRecord, at: datetime) -> None:
        """Mark the account as stopped. A second call keeps the first reason."""
        await self._write(of_account(account_id, owner=True), lambda db: config.park(db, account_id, error, at))

    async def unpark(self, account_id: str) -> None:
        """Let the account work again."""
        await self._write(of_account(account_id), lambda db: config.unpark(db, account_id))

    async def pause(self, account_id: str, at: datetime | None) -> None:
        """Note that the operator stopped the account, or that it may work again."""
        await self._write(of_account(account_id), lambda db: config.pause(db, account_id, at))

    async def hold(self, account_id: str, since: datetime, until: datetime, reason: str) -> None:
        """Note until when the platform wants nothing of the account."""
        await self._write(
            of_account(account_id, owner=True),
            lambda db: config.hold(db, account_id, since, until, reason),
        )

    # --- accept ------------------------------------------------------------------------------------------------------

    async def key_known(self, client_id: str, channel: str, message_id: str) -> bool:
        """Return whether an idempotency key is taken."""
        return await self._read(lambda db: accept.key_known(db, client_id, channel, message_id))

    async def accept(self, message: NewMessage) -> Accepted | Conflict:
        """Accept *message*: on return it is durable with its job, or was before, or its id is taken."""
        return await self._write(
            Whose(client_id=message.client_id), lambda db: accept.accept(db, message), seconds=PATIENCE_SECONDS
        )

    def accepting(self, message: NewMessage) -> "asyncio.Future[Accepted | Conflict]":
        """Begin to accept *message*, and return what will tell what :meth:`accept` does."""
        return asyncio.ensure_future(self.accept(message))

    # --- delivery ----------------------------------------------------------------------------------------------------

    async def queued(
        self, account_id: str, after: Mapping[Priority, int] | None = None, *, limit: int = 100
    ) -> list[QueuedMessage]:
        """Return queued messages of the account by seq, of each priority so many."""
        cursors = dict.fromkeys(Priority, 0) if after is None else after
        return await self._read(lambda db: delivery.queued(db, account_id, cursors, limit))

    async def begun(self, account_id: str, *, after_seq: int = 0, limit: int = 100) -> list[QueuedMessage]:
        """Return queued messages of the account of which a part has begun."""
        return await self._read(lambda db: delivery.begun(db, account_id, after_seq, limit))

    async def in_lanes(
        self, account_id: str, lanes: Sequence[str], *, high: bool, after_seq: int = 0, limit: int = 100
    ) -> list[QueuedMessage]:
        """Return queued messages of these lanes by seq."""
        return await self._read(lambda db: delivery.in_lanes(db, account_id, lanes, after_seq, limit, high=high))

    async def at_seq(self, account_id: str, seq: int) -> QueuedMessage | None:
        """Return the queued message with this seq."""
        return await self._read(lambda db: delivery.at_seq(db, account_id, seq))

    async def ahead(self, account_id: str, lane: str, seq: int, priority: Priority, at: datetime) -> Ahead:
        """Return what goes before a message in its lane."""
        return await self._study(lambda db: delivery.ahead(db, account_id, lane, seq, priority, at))

    async def past(self, tid: str, part: int) -> list[AttemptRecord]:
        """Return the attempts of a part without what makes them large."""
        return await self._read(lambda db: delivery.past(db, tid, part))

    async def mark(self, mark: Mark) -> Marked:
        """Mark a part in flight. On MARKED the mark is durable and the call may start."""
        return await self._write(Whose(tid=mark.tid, owner=True), lambda db: delivery.mark(db, mark))

    async def record(self, result: Result) -> Recorded:
        """Record what became of a part, with the next part's mark."""
        return await self._write(Whose(tid=result.tid, owner=True), lambda db: delivery.record(db, result))

    async def finish(self, tid: str, run: int, status: Status, error: ErrorRecord, at: datetime) -> bool:
        """End a queued message of which no part has begun."""
        return await self._write(
            Whose(tid=tid, owner=True), lambda db: delivery.finish(db, tid, run, status, error, at)
        )

    async def wait(
        self, tid: str, run: int, until: datetime | None, reason: ErrorRecord, *, since: datetime | None = None
    ) -> None:
        """Keep why a queued message waits, and until when."""
        await self._write(Whose(tid=tid, owner=True), lambda db: delivery.wait(db, tid, run, since, until, reason))

    async def cancel(self, client_id: str, tid: str, at: datetime) -> Turn:
        """End the client's message if none of its parts has begun."""
        return await self._write(Whose(client_id=client_id), lambda db: runs.cancel(db, client_id, tid, at))

    async def retry(self, client_id: str, tid: str, at: datetime) -> Turn:
        """Open a new run of the client's failed message."""
        return await self._write(Whose(client_id=client_id), lambda db: runs.retry(db, client_id, tid, at))

    # --- receipts ----------------------------------------------------------------------------------------------------

    async def receive(self, receipts: Sequence[ReceiptRecord], at: datetime) -> Received:
        """Apply receipts, or keep them until their send is recorded."""
        return await self._write(
            Whose(account_ids=frozenset(each.account_id for each in receipts)),
            lambda db: applying.receive(db, receipts, at),
            seconds=PATIENCE_SECONDS,
        )

    async def take_in(self, webhook: Webhook) -> TakenIn:
        """Take everything of a webhook in, in one transaction."""
        return await self._write(_whose(webhook), lambda db: inbound.take_in(db, webhook), seconds=PATIENCE_SECONDS)

    def taking_in(self, webhook: Webhook) -> "asyncio.Future[TakenIn]":
        """Begin to take a webhook in, and return what will tell what :meth:`take_in` does."""
        return asyncio.ensure_future(self.take_in(webhook))

    async def quarantine(self, unread: Unread) -> int | None:
        """Keep a webhook that could not be read, and return its number; None beyond the account's bound."""
        return await self._write(
            of_account(unread.account_id), lambda db: quarantine.keep(db, unread), seconds=PATIENCE_SECONDS
        )

    async def quarantined(self, account_id: str = "", *, after: int = 0, limit: int = 100) -> list[Quarantined]:
        """Return what is in quarantine above the number *after*."""
        return await self._study(lambda db: quarantine.kept(db, account_id, after, limit))

    async def quarantined_webhook(self, number: int) -> tuple[Quarantined, bytes] | None:
        """Return a webhook in quarantine with its body."""
        return await self._study(lambda db: quarantine.one(db, number))

    async def not_kept(self) -> list[NotKept]:
        """Return how many webhooks came beyond the bound of a quarantine, by account."""
        return await self._study(quarantine.not_kept)

    async def still_unread(self, number: int, why: str, at: datetime) -> None:
        """Note that a webhook was replayed in vain."""
        whose = await self._study(lambda db: quarantine.account_of(db, number))
        if whose is not None:
            await self._write(of_account(whose), lambda db: quarantine.still(db, number, why, at))

    async def release(self, number: int) -> bool:
        """Delete a webhook from the quarantine."""
        whose = await self._study(lambda db: quarantine.account_of(db, number))
        return whose is not None and await self._write(of_account(whose), lambda db: quarantine.drop(db, number))

    async def quoted(self, account_id: str, platform_id: str) -> Quoted | None:
        """Return which message of ours a platform id is of."""
        return await self._read(lambda db: inbound.quoted(db, account_id, platform_id))

    async def choices(self, account_id: str, address: str) -> ChoiceRecord | None:
        """Return the vanishing choices that the conversation was shown last."""
        return await self._read(lambda db: inbound.choices(db, account_id, address))

    async def reply_token(self, account_id: str, token: str) -> ReplyTokenRecord | None:
        """Return a reply token that the account received."""
        return await self._read(lambda db: inbound.reply_token(db, account_id, token))

    async def fresh_reply_token(self, account_id: str, address: str, since: datetime) -> tuple[str, datetime] | None:
        """Return the newest unused reply token of the chat."""
        return await self._read(lambda db: inbound.fresh_reply_token(db, account_id, address, since))

    async def poll_offset(self, account_id: str, since: datetime | None = None) -> int | None:
        """Return the offset of the account's next getUpdates, unless it was kept before *since*."""
        return await self._read(lambda db: inbound.poll_offset(db, account_id, since))

    async def drop_poll_offset(self, account_id: str, offset: int) -> None:
        """Forget an offset that the platform has heard."""
        await self._write(of_account(account_id), lambda db: inbound.drop_poll_offset(db, account_id, offset))

    async def put_link(self, link: LinkRecord) -> None:
        """Keep a link token that is about to be given out."""
        await self._write(Whose(client_id=link.client_id), lambda db: inbound.put_link(db, link))

    async def link_of(self, account_id: str, token: str) -> LinkRecord | None:
        """Return a link token of the account, used or not."""
        return await self._read(lambda db: inbound.link_of(db, account_id, token))

    async def use_link(self, account_id: str, token: str, at: datetime) -> LinkRecord | None:
        """Use a link token up and return it; None when it is not known, or was used before."""
        return await self._write(of_account(account_id), lambda db: inbound.use_link(db, account_id, token, at))

    async def put_templates(self, account_id: str, templates: Sequence[TemplateRecord], at: datetime) -> None:
        """Replace all templates of the account by these."""
        await self._write(
            of_account(account_id),
            lambda db: inbound.put_templates(db, account_id, templates, at),
        )

    async def templates(self, account_id: str) -> list[TemplateRecord]:
        """Return the account's templates."""
        return await self._study(lambda db: inbound.templates(db, account_id))

    async def template(self, account_id: str, name: str, language: str) -> TemplateRecord | None:
        """Return one template of the account."""
        return await self._read(lambda db: inbound.template(db, account_id, name, language))

    async def set_quota(self, account_id: str, used: int, limit: int | None, at: datetime) -> None:
        """Keep what the platform says of the account's quota."""
        await self._write(
            of_account(account_id),
            lambda db: inbound.set_quota(db, account_id, used, limit, at),
        )

    async def quota(self, account_id: str) -> QuotaRecord | None:
        """Return the account's quota as it was read last."""
        return await self._read(lambda db: inbound.quota(db, account_id))

    # --- contacts ----------------------------------------------------------------------------------------------------

    async def put_contact(self, contact: ContactRecord, at: datetime) -> ContactRecord:
        """Link or rename a contact, and return it as stored."""
        return await self._write(Whose(client_id=contact.client_id), lambda db: people.put_contact(db, contact, at))

    async def unlink_contact(self, client_id: str, account_id: str, address: str, at: datetime) -> ContactRecord | None:
        """Take a contact's phone away, and return the contact as it is now."""
        return await self._write(
            Whose(client_id=client_id), lambda db: people.unlink_contact(db, client_id, account_id, address, at)
        )

    @cached_property
    def _contacts(self) -> Together[Place, ContactRecord]:
        async def ask(places: Sequence[Place]) -> dict[Place, ContactRecord]:
            return await self._read(lambda db: people.contacts_at(db, places))

        return Together(ask)

    @cached_property
    def _contacts_by_phone(self) -> Together[Place, ContactRecord]:
        async def ask(places: Sequence[Place]) -> dict[Place, ContactRecord]:
            return await self._read(lambda db: people.contacts_by_phone(db, places))

        return Together(ask)

    async def contact(self, account_id: str, address: str) -> ContactRecord | None:
        """Return the contact with this address, or alias, on the account."""
        return await self._contacts.get((account_id, address))

    async def aliases(self, account_id: str, address: str) -> list[str]:
        """Return the other addresses of the contact at *address*."""
        return await self._read(lambda db: people.aliases(db, account_id, address))

    async def contact_by_phone(self, account_id: str, phone: str) -> ContactRecord | None:
        """Return the contact that the phone is linked to on the account."""
        return await self._contacts_by_phone.get((account_id, phone))

    async def contacts(
        self,
        client_id: str,
        *,
        phone: str | None = None,
        channel: str | None = None,
        after: tuple[str, str] | None = None,
        limit: int = people.LIST,
    ) -> list[ContactRecord]:
        """Return up to *limit* of the client's contacts, above the cursor *after*."""
        return await self._study(lambda db: people.contacts(db, client_id, phone, channel, after, limit))

    async def forget(self, client_id: str, account_id: str, addresses: Sequence[str], at: datetime) -> Forgotten:
        """Erase a person from the client's account, in several transactions."""
        return await erasure.forget(
            partial(self._write, Whose(client_id=client_id)), self._study, (client_id, account_id, addresses), at
        )

    # --- the feed and its callbacks ----------------------------------------------------------------------------------

    async def events(self, client_id: str, *, after: int = 0, limit: int = 100) -> list[EventRecord]:
        """Return the client's events above the position *after*."""
        return await self._read(lambda db: feed.events(db, client_id, after, limit))

    async def last_position(self, client_id: str) -> int:
        """Return the position of the client's newest event, 0 when there is none."""
        return await self._read(lambda db: feed.last_position(db, client_id))

    async def event(self, client_id: str, position: int) -> EventRecord | None:
        """Return one event of the client."""
        return await self._read(lambda db: feed.event(db, client_id, position))

    async def all_endpoints(self) -> list[Endpoint]:
        """Return every endpoint of every client, without counts."""
        return await self._read(callbacks.all_endpoints)

    async def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """Return an endpoint with its counts."""
        return await self._study(lambda db: callbacks.endpoint(db, endpoint_id))

    async def put_endpoint(self, record: EndpointRecord, at: datetime, was: bytes | None = None) -> Endpoint | None:
        """Create or change a client's endpoint by its URL, unless another one changed it meanwhile."""
        return await self._write(
            Whose(client_id=record.client_id), lambda db: callbacks.put_endpoint(db, record, at, was)
        )

    async def delete_endpoint(self, endpoint_id: str) -> bool:
        """Delete an endpoint with what is owed to it, in several transactions where that is much."""
        deleted = None
        while deleted is None:
            deleted = await self._write(
                of_endpoint(endpoint_id),
                lambda db: callbacks.delete_endpoint(db, endpoint_id),
            )
        return deleted

    async def set_ladder(self, endpoint_id: str, ladder: Ladder, was: Ladder | None = None) -> Ladder | None:
        """Keep where an endpoint stands on its ladder, unless that was changed meanwhile."""
        return await self._write(
            of_endpoint(endpoint_id),
            lambda db: callbacks.set_ladder(db, endpoint_id, ladder, was),
        )

    async def owed(self, endpoint_id: str, *, after: int = 0, limit: int = 100) -> list[CallbackRecord]:
        """Return pending callbacks of an endpoint above a position, with their events."""
        return await self._read(lambda db: callbacks.owed(db, endpoint_id, after, limit))

    async def called(self, results: Sequence[Called]) -> None:
        """Keep what came of tries."""
        await self._write(
            Whose(endpoint_ids=frozenset(each.attempt.endpoint_id for each in results)),
            lambda db: callbacks.called(db, results),
        )

    async def replay(self, endpoint_id: str, wanted: Replay, at: datetime) -> int:  # noqa: ARG002 -- of the protocol
        """Owe callbacks again, in several transactions where they are many."""
        up_to = await self._study(lambda db: callbacks.newest(db, endpoint_id))
        owed, after = 0, 0
        while True:
            done, reached = await self._write(
                of_endpoint(endpoint_id),
                lambda db, after=after: callbacks.replay(db, endpoint_id, wanted, after, up_to),  # type: ignore[misc]
            )
            owed += done
            if reached is None:
                return owed
            after = reached

    async def callbacks(
        self, endpoint_id: str, *, state: Owed | None = None, before: int | None = None, limit: int = 100
    ) -> list[CallbackRecord]:
        """Return an endpoint's callbacks, newest first, without their events."""
        return await self._study(lambda db: callbacks.callbacks(db, endpoint_id, state, before, limit))

    async def callback_attempts(self, endpoint_id: str, position: int) -> list[CallbackAttempt]:
        """Return the tries of a callback in their order."""
        return await self._study(lambda db: callbacks.attempts(db, endpoint_id, position))

    # --- reading -----------------------------------------------------------------------------------------------------

    async def message(self, client_id: str, tid: str) -> MessageRecord | None:
        """Return the client's message with all that is known of it."""
        return await self._study(lambda db: reading.message(db, client_id, tid))

    async def messages(self, client_id: str, wanted: MessageFilter, limit: int) -> list[MessageRecord]:
        """Return the client's newest messages that *wanted* lets through."""
        return await self._study(lambda db: reading.messages(db, client_id, wanted, limit))

    async def reply_target(self, client_id: str, account_id: str, reply_id: str) -> ReplyRecord | None:
        """Return the message that *reply_id* names."""
        return await self._read(lambda db: reading.reply_target(db, client_id, account_id, reply_id))

    async def key_of(self, client_id: str, token: str) -> str | None:
        """Return the client's key that *token* stands for."""
        return await self._read(lambda db: reading.key_of(db, client_id, token))

    async def depths(self) -> list[QueueDepth]:
        """Return the queue depth of every account that has one."""
        return await self._study(reading.depths)  # it counts them all, and delivery does not ask for it

    @cached_property
    def _traces(self) -> Together[str, str]:
        async def ask(tids: Sequence[str]) -> dict[str, str]:
            return await self._read(lambda db: reading.traces(db, tids))

        return Together(ask)

    async def trace_of(self, tid: str) -> str:
        """Return the trace that was stored with a message."""
        return await self._traces.get(tid) or ""

    # --- upkeep ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def health(self) -> str | None:
        """Return why nothing can be written, None as far as nothing is known against it."""

    async def expire(self, now: datetime, limit: int) -> int:
        """End up to *limit* queued messages that nobody will send any more."""
        overdue = await self._read(lambda db: expiry.overdue(db, now, limit))
        return await self._each_client(overdue, lambda db, tids: expiry.expire(db, tids, now))

    async def no_receipts(self, before: datetime, limit: int, at: datetime) -> int:
        """End up to *limit* messages accepted by the platform before *before* without a receipt."""
        untold = await self._study(lambda db: expiry.untold(db, before, limit))
        return await self._each_client(untold, lambda db, tids: expiry.no_receipts(db, tids, before, at))

    async def _each_client(self, found: Sequence[tuple[str, str]], end: Callable[[Database, list[str]], int]) -> int:
        """Do *end* with the tids that were *found* (client, tid), a transaction for each client; return the sum."""
        by_client: dict[str, list[str]] = {}
        for client_id, tid in found:
            by_client.setdefault(client_id, []).append(tid)
        ended = 0
        for name, tids in by_client.items():
            ended += await self._write(Whose(client_id=name), lambda db, tids=tids: end(db, tids))  # type: ignore[misc]
        return ended

    async def make_room(self, kept_for: timedelta) -> int:
        """Make ready where what comes next is kept; return how many tables were made for it: none, in one file."""
        del kept_for
        return 0

    async def purge(self, before: datetime, limit: int, *, now: datetime | None = None) -> Purged:
        """Delete what ended before *before*, up to *limit* rows of each kind."""
        return await self._write(EVERYBODY, lambda db: upkeep.purge(db, before, limit, now or before))

    async def broken_invariants(self) -> list[str]:
        """Return a sentence for each rule of the schema that does not hold."""
        return await self._study(upkeep.broken_invariants, seconds=SWEEP_SECONDS)


def _whose(webhook: Webhook) -> Whose:
    accounts = {receipt.account_id for receipt in webhook.receipts} | {
        arrival.account_id for arrival in webhook.arrivals
    }
    if webhook.poll_offset is not None:
        accounts.add(webhook.poll_offset[0])
    return Whose(account_ids=frozenset(accounts))
