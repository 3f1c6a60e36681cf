"""The Store protocol: what the gateway asks of its database.

Every method is one transaction. On return what its docstring says is true and durable; when it raises, nothing of it
happened. All times are aware UTC. No method reads by a bare id on behalf of a client: the client's id is always asked for.

A message row is its own job row: ``queued`` says that delivery still has something to do with it. Parts are written when
they are first marked in flight. Status changes are events, numbered in commit order; a message's history is its events.
"""

from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Protocol

from kurir.domain.message import Message, Priority
from kurir.domain.problem import Loss
from kurir.domain.status import Status
from kurir.quick import quick


class StoreError(Exception):
    """The store could not do what it was asked; nothing of it happened."""


class StoreUnavailable(StoreError):
    """The disk is full, the file is read-only, the database is out of reach: try again later (HTTP 503)."""


class NotOwner(StoreError):
    """Another node owns the account by now: what this one brings is not written, and trying again would not help."""


class StoreUnusable(StoreError):
    """The database cannot be opened at all: newer schema, wrong file, held by another process, SQLite too old."""


# --- configuration --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """A client as it is stored. ``password_hash`` is an encoded argon2id hash, or a keyed hash of a generated secret.

    ``previous_hash`` is that of the password before, which lets in until ``previous_until``. ``allow_from`` are the networks
    that its requests may come from, all where there is none. ``declared``: the configuration file brought it.
    """

    id: str
    username: str
    password_hash: str
    default_region: str = ""
    max_age_seconds: int = 86_400
    enabled: bool = True
    previous_hash: str = ""
    previous_until: datetime | None = None
    allow_from: tuple[str, ...] = ()
    declared: bool = field(default=False, compare=False)
    last_used_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """An account as it is stored. ``sealed`` is its settings as encrypted JSON, ``options`` the rest as plain JSON.

    ``position`` is its place among the client's accounts; the first enabled one of a channel is the default unless
    another has ``is_default``. ``parked_code`` is "" while the account works; ``paused_at`` is set while the operator
    has stopped it; from ``held_since`` to ``held_until`` the platform wants nothing of it. ``declared``: the configuration
    file brought it. ``sealed_at`` is when its settings, tokens among them, came to be what they are.
    """

    id: str
    client_id: str
    channel: str
    api_base: str
    sealed: bytes
    options: str = "{}"
    is_default: bool = False
    position: int = 0
    enabled: bool = True
    parked_code: str = ""
    parked_reason: str = ""
    parked_at: datetime | None = None
    paused_at: datetime | None = None
    held_since: datetime | None = None
    held_until: datetime | None = None
    held_reason: str = ""
    declared: bool = field(default=False, compare=False)
    sealed_at: datetime | None = field(default=None, compare=False)


class Put(Enum):
    """What came of a change of the configuration. Only DONE changed anything.

    MOVED: it is not as it was any more, or is there already. TAKEN: another enabled client has the user name.
    """

    DONE = "done"
    MOVED = "moved"
    TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """A client's callback endpoint as it is stored. ``sealed`` is the signing secret and the headers, encrypted JSON."""

    client_id: str
    url: str
    dialect: str
    events: tuple[str, ...]
    sealed: bytes
    enabled: bool = True


# --- accept ---------------------------------------------------------------------------------------------------------------


@quick
@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to accept. ``body`` is its canonical form, ``lane`` what orders it: the address, or the phone unresolved.

    ``losses`` are those known at accept. ``due_at`` is send_at, else ``accepted_at``.
    """

    tid: str
    client_id: str
    channel: str
    account_id: str
    message_id: str
    recipient: str
    lane: str
    type: str
    body: bytes
    fingerprint: bytes
    fingerprint_version: int
    losses: tuple[Loss, ...]
    priority: Priority
    accepted_at: datetime
    due_at: datetime
    expires_at: datetime


@quick
@dataclass(frozen=True, slots=True)
class Accepted:
    """The message is on disk. *replayed*: it was before, with the same content, and nothing was written now.

    ``seq`` is its place in the queue, 0 where it was replayed, and where another process may have written beside this one:
    then whoever works for the account reads what has come.
    """

    tid: str
    status: Status
    replayed: bool
    seq: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Conflict:
    """The id is taken by a message with other content; nothing was written."""

    tid: str


# --- delivery -------------------------------------------------------------------------------------------------------------


class Phase(StrEnum):
    """Where a part stands: marked before its call, waiting for its next try, taken by the platform, or refused."""

    IN_FLIGHT = "in_flight"
    WAITING = "waiting"
    ANSWERED = "answered"
    FAILED = "failed"


@quick
@dataclass(frozen=True, slots=True)
class PartRecord:
    """A part of a message. ``status`` is None before the platform's answer. ``again`` are the cures taken (words).

    ``attempts`` counts its marks, so that a call that a crash cut short counts too; from 0 again when a receipt refused it and
    it goes in another form.
    """

    number: int
    phase: Phase
    status: Status | None = None
    attempts: int = 0
    platform_ids: tuple[str, ...] = ()
    marked_at: datetime | None = None
    answered_at: datetime | None = None
    again: tuple[str, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message that delivery has to do with. ``seq`` is its place in the queue: the order within a lane.

    ``due_at`` is None for a message that is due since it was accepted, whatever the clock said then. ``facts`` is what
    the first rendering saw, as JSON, None before the first mark: later renderings see the same. ``begun``: a part was
    marked in this run or an earlier one. Its last wait was meant to last from ``waiting_since`` to ``waiting_until``.
    ``message`` is what ``body`` says, where somebody has read it already.
    """

    seq: int
    tid: str
    client_id: str
    channel: str
    account_id: str
    message_id: str
    recipient: str
    lane: str
    body: bytes
    priority: Priority
    run: int
    due_at: datetime | None
    expires_at: datetime
    facts: bytes | None = None
    parts: tuple[PartRecord, ...] = ()
    waiting_since: datetime | None = None
    waiting_until: datetime | None = None
    message: Message | None = field(default=None, compare=False, repr=False)

    @property
    def begun(self) -> bool:
        """Whether a part of it has been called."""
        return bool(self.parts)


@quick
@dataclass(frozen=True, slots=True)
class Mark:
    """A part about to be called. The first mark of a run carries what the rendering found.

    ``total`` is the number of parts; ``address`` the resolved address; ``facts`` the frozen facts as JSON; ``tokens``
    pairs of (token, key). ``reply_token`` is the one that the call uses up, "" for none; ``choices`` are pairs of (title,
    key) of buttons that vanish from the phone: they are the conversation's last ones from ``at`` on. ``cures`` are what else
    the message offers for this part, should the platform refuse it by a receipt (words, as in ``again``).
    """

    tid: str
    run: int
    part: int
    at: datetime
    total: int
    address: str
    again: tuple[str, ...] = ()
    facts: bytes | None = None
    losses: tuple[Loss, ...] = ()
    tokens: tuple[tuple[str, str], ...] = ()
    reply_token: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    cures: tuple[str, ...] = ()


class Marked(Enum):
    """What came of a mark. Only MARKED is true, and only it changed anything.

    MOVED: the message stands elsewhere by now, and is to be read anew. TOKEN_USED: another message used the reply token
    up, or it is not known any more; the message is to be rendered again without it.
    """

    MARKED = "marked"
    MOVED = "moved"
    TOKEN_USED = "token_used"  # noqa: S105 -- an answer

    def __bool__(self) -> bool:
        """Return whether the call may start."""
        return self is Marked.MARKED


@quick
@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One HTTP exchange for a part, secrets masked, body of the answer at most 16 KiB. Duration in milliseconds.

    ``status`` is the HTTP status, 0 when no answer came; ``outcome`` the outcome's name; ``request`` the call as JSON.
    ``counted`` is False where it uses up age but no attempt. ``run`` is set when it is read.
    """

    part: int
    at: datetime
    duration_ms: int
    request: str
    status: int
    headers: str
    body: bytes
    outcome: str
    code: str = ""
    reason: str = ""
    counted: bool = True
    run: int = 1


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """Why a message or a part ended: our code, a sentence, and the platform's own code."""

    code: str
    detail: str
    provider_code: str = ""


@quick
@dataclass(frozen=True, slots=True)
class PartAnswered:
    """The platform took the part."""

    platform_ids: tuple[str, ...]
    status: Status
    quote_tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PartFailed:
    """The part failed for good, and with it the message."""

    status: Status
    error: ErrorRecord


@dataclass(frozen=True, slots=True)
class PartWaiting:
    """The part is to be tried again at ``until``; ``reason`` says why it waits."""

    until: datetime
    reason: ErrorRecord


Verdict = PartAnswered | PartFailed | PartWaiting


@quick
@dataclass(frozen=True, slots=True)
class Result:
    """What became of a marked part, with the exchange that told, and the mark of the next part (same commit).

    What the answer taught of the person: ``learned_blocked``, None where it did not; ``moved_to``, the address that
    replaces theirs; ``alias``, the platform's own spelling of it, by which the contact is known from then on.
    """

    tid: str
    run: int
    part: int
    at: datetime
    attempt: AttemptRecord
    verdict: Verdict
    next_mark: Mark | None = None
    learned_blocked: bool | None = None
    moved_to: str = ""
    alias: str = ""


class Turn(StrEnum):
    """What came of a client's wish to cancel or to retry a message. Only DONE changed anything."""

    DONE = "done"
    NOT_FOUND = "not_found"
    ENDED = "ended"
    BEGUN = "begun"
    NOT_FAILED = "not_failed"


@dataclass(frozen=True, slots=True)
class Ahead:
    """What goes before a message in its lane: how many messages, and the tid of the first, "" when there is none."""

    messages: int
    first: str


@quick
@dataclass(frozen=True, slots=True)
class Recorded:
    """What is true after :meth:`Store.record`. ``marked``: the next part's mark was written too.

    ``settled``: a wait or a failure changed nothing, since the platform was known to have the part, or to have refused it so
    that it is queued in another form. ``token_used``: the
    next part was not marked because of its reply token. ``taught``: the client's feed has news of the person.
    """

    status: Status
    queued: bool
    marked: bool
    settled: bool = False
    token_used: bool = False
    taught: bool = False


# --- receipts ---------------------------------------------------------------------------------------------------------------


@quick
@dataclass(frozen=True, slots=True)
class ReceiptRecord:
    """A receipt of an account, ready to be applied. Fields as in ``kurir.channels.base.Receipt``.

    ``again``: a failure that has a cure, where the message offered it (``Mark.cures``), "" for none.
    """

    account_id: str
    event_id: str
    status: Status
    at: datetime
    platform_id: str = ""
    watermark: datetime | None = None
    address: str = ""
    reference: str = ""
    error: ErrorRecord | None = None
    again: str = ""


@dataclass(frozen=True, slots=True)
class Received:
    """How many receipts were new, and how many of them waited for their send to be recorded.

    ``settled`` are (account id, address) of the parts whose outcome was open and that a receipt told of, and of those that
    are queued again for a cure.
    """

    new: int
    waiting: int
    settled: tuple[tuple[str, str], ...] = ()


# --- contacts ---------------------------------------------------------------------------------------------------------------


@quick
@dataclass(frozen=True, slots=True)
class ContactRecord:
    """A person as one account knows them. ``blocked_at`` is when the newest news of that happened, either way.

    ``block_inferred``: these news were an answer to a call of ours, timed by our clock, not the platform's own word.
    """

    client_id: str
    account_id: str
    channel: str
    address: str
    phone: str = ""
    name: str = ""
    last_inbound_at: datetime | None = None
    linked_at: datetime | None = None
    blocked: bool = False
    username: str = ""
    blocked_at: datetime | None = None
    block_inferred: bool = False


# --- reading ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """One change of a message's status. ``position`` is its place in the client's feed."""

    position: int
    tid: str
    status: Status
    previous: Status
    at: datetime
    error: ErrorRecord | None = None


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """A message with all that is known of it. In a list, parts, attempts, losses and history stay empty."""

    seq: int
    tid: str
    client_id: str
    channel: str
    account_id: str
    message_id: str
    recipient: str
    address: str
    type: str
    status: Status
    queued: bool
    run: int
    reason: ErrorRecord | None
    waiting_until: datetime | None
    error: ErrorRecord | None
    accepted_at: datetime
    due_at: datetime
    expires_at: datetime
    parts_total: int
    lane: str = ""
    priority: Priority = Priority.NORMAL
    parts: tuple[PartRecord, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()
    losses: tuple[Loss, ...] = ()
    history: tuple[StatusEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages a list shows; None is any. ``before_seq`` is the cursor: newest first, below it."""

    channel: str | None = None
    message_id: str | None = None
    recipient: str | None = None
    status: Status | None = None
    before_seq: int | None = None


@dataclass(frozen=True, slots=True)
class ReplyRecord:
    """A message that a reply names: its platform id, the chat it is in, LINE's quote token or ""."""

    platform_id: str
    address: str
    quote_token: str = ""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How much waits for an account, and since when the oldest does."""

    account_id: str
    messages: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class Purged:
    """How many messages a purge deleted, and whether there may be more to delete, of whatever kind."""

    messages: int
    more: bool


@dataclass(frozen=True, slots=True)
class Declared:
    """What a configuration file declares, in its order."""

    clients: Sequence[ClientRecord] = field(default_factory=tuple)
    accounts: Sequence[AccountRecord] = field(default_factory=tuple)
    endpoints: Sequence[EndpointRecord] = field(default_factory=tuple)


class Store(Protocol):
    """The database. One instance a process."""

    async def open(self) -> None:
        """Open the database, take it for this process, and run the migrations. Raises StoreUnusable."""
        ...

    async def close(self) -> None:
        """Finish what was begun and close. Later calls raise StoreUnavailable."""
        ...

    async def meta(self, key: str) -> str | None:
        """Return a value of the installation (such as the check of the encryption key), None when it is not set."""
        ...

    async def set_meta(self, key: str, value: str, was: str | None = None) -> str:
        """Set a value of the installation where it is not set, or is *was*, and return the value that it has then.

        On return that is durable. Of several who set a value at once one does, and all hear which it is.
        """
        ...

    # configuration

    async def declare(self, declared: Declared, at: datetime) -> None:
        """Bring clients, accounts and endpoints in line with a configuration file, in one transaction.

        What is declared is created or updated and enabled; what an earlier call declared and this one does not is
        disabled, never deleted; what was made in another way stays. A parked account whose sealed settings or api_base
        changed is un-parked, since the operator has mended it.
        """
        ...

    async def clients(self) -> list[ClientRecord]:
        """Return every client, enabled or not, by id."""
        ...

    async def accounts(self) -> list[AccountRecord]:
        """Return every account, enabled or not, by client and position."""
        ...

    async def endpoints(self, client_id: str) -> list[EndpointRecord]:
        """Return the client's callback endpoints in declared order."""
        ...

    async def configuration_version(self) -> int:
        """Return a number that grows with every change of clients and accounts, by the file or by a ``put``."""
        ...

    async def put_client(self, record: ClientRecord, at: datetime, was: ClientRecord | None = None) -> Put:
        """Create a client, or change it where it still is as it *was*; from then on it is not the configuration file's.

        ``last_used_at`` stays as it is stored.
        """
        ...

    async def put_account(self, record: AccountRecord, at: datetime, was: AccountRecord | None = None) -> Put:
        """Create an account, or change it where it still is as it *was*; from then on it is not the configuration file's.

        Its client, its channel, and whether it is parked, paused or held stay as they are stored; but a parked account whose
        sealed settings or api_base changed is un-parked. One that becomes its client's default on its channel takes that
        from the others that are not the file's.
        """
        ...

    async def client_used(self, client_id: str, at: datetime) -> None:
        """Note that a client was let in at *at*, unless something newer is known."""
        ...

    async def park(self, account_id: str, error: ErrorRecord, at: datetime) -> None:
        """Mark the account as stopped by the platform. A second call keeps the first reason."""
        ...

    async def unpark(self, account_id: str) -> None:
        """Let the account work again."""
        ...

    async def pause(self, account_id: str, at: datetime | None) -> None:
        """Note that the operator stopped the account at *at*; None: that it may work again."""
        ...

    async def hold(self, account_id: str, since: datetime, until: datetime, reason: str) -> None:
        """Note that the platform wants nothing of the account from *since* until *until*: known after a restart too."""
        ...

    # accept

    async def key_known(self, client_id: str, channel: str, message_id: str) -> bool:
        """Return whether the key is taken, as :meth:`accept` would find it: by a message, or by one that was deleted since."""
        ...

    async def accept(self, message: NewMessage) -> Accepted | Conflict:
        """Accept *message*. On Accepted it is on disk with its job, or was before (*replayed*).

        The key is (client, channel, message id). A known key with an equal fingerprint returns the first tid and today's
        status; with another fingerprint Conflict, and nothing changes. Concurrent calls with one key get one row. Raises
        StoreUnavailable when it could not be made durable: then nothing of it is kept. Only where it says that the write
        took too long (10 seconds) the message may still become durable; then the same id is answered with a replay.
        """
        ...

    def accepting(self, message: NewMessage) -> Future[Accepted | Conflict]:
        """Begin :meth:`accept`, and return what will have its result: for who has no task that could wait.

        May raise StoreUnavailable at once, and then nothing was begun.
        """
        ...

    # delivery

    async def queued(
        self, account_id: str, after: Mapping[Priority, int] | None = None, *, limit: int = 100
    ) -> list[QueuedMessage]:
        """Return queued messages of the account by seq: up to *limit* of each priority, above the seq that *after* names.

        Only the priorities of *after* are read, all of them without it. All are read at one moment, at which a message
        that was accepted before another one is seen if that one is.
        """
        ...

    async def begun(self, account_id: str, *, after_seq: int = 0, limit: int = 100) -> list[QueuedMessage]:
        """Return up to *limit* queued messages of the account by seq, above *after_seq*, of which a part has begun."""
        ...

    async def in_lanes(
        self, account_id: str, lanes: Sequence[str], *, high: bool, after_seq: int = 0, limit: int = 100
    ) -> list[QueuedMessage]:
        """Return up to *limit* queued messages of these lanes by seq, above *after_seq*: the high ones, or all others."""
        ...

    async def at_seq(self, account_id: str, seq: int) -> QueuedMessage | None:
        """Return the queued message of the account with this very *seq*."""
        ...

    async def ahead(self, account_id: str, lane: str, seq: int, priority: Priority, at: datetime) -> Ahead:
        """Return what goes before a message of this *lane*, *seq* and *priority*: what has begun, what is high, what is older.

        Counted up to 1,000. Messages that at *at* still wait for their send_at are not counted.
        """
        ...

    async def past(self, tid: str, part: int) -> list[AttemptRecord]:
        """Return the attempts of a part over all runs in their order, without requests, headers and bodies."""
        ...

    async def mark(self, mark: Mark) -> Marked:
        """Mark a part in flight. On MARKED the mark is durable and the call may start; of the other two, nothing changed.

        MOVED: the message is no longer queued, its run is another (cancelled, retried, ended), or a receipt told that
        the platform has the part. TOKEN_USED: the reply token was used by another message, or is not known; the same
        message may use it again, since a call whose outcome is unknown is repeated with the same one. The first mark
        stores total, address, facts, losses and tokens too; a later one that carries facts replaces facts and losses (a
        rendering with a new address).
        """
        ...

    async def record(self, result: Result) -> Recorded:
        """Record what became of a part, in one transaction with the next part's mark.

        Adds the attempt; sets the part; stores its platform ids; applies receipts and watermarks that came earlier;
        recomputes the message's status and adds an event when it changed. The message leaves the queue when every part
        is answered or one failed. A result of an older run is kept as an attempt and changes nothing else.

        What the answer taught of the person is kept too; where it changes whether they blocked us, that is an event of
        the client's feed (``contact.blocked``, ``contact.unblocked``).

        A part that a receipt told of (by its reference) before this call has left for certain: of its result only an
        answer is still applied, and a wait or a failure is kept as an attempt. A part that was never marked may fail when
        another part was marked. A failed message stays as it first failed until all its parts stand better than failed
        and were sent. Raises StoreError for a message that is not there.
        """
        ...

    async def finish(self, tid: str, run: int, status: Status, error: ErrorRecord, at: datetime) -> bool:
        """End a queued message of which no part has begun (expired, no address). False when it was not so any more."""
        ...

    async def wait(
        self, tid: str, run: int, until: datetime | None, reason: ErrorRecord, *, since: datetime | None = None
    ) -> None:
        """Keep why a queued message waits, from *since* until when: for those who ask, and for the time after a restart."""
        ...

    async def cancel(self, client_id: str, tid: str, at: datetime) -> Turn:
        """End the client's queued message as UNSENT with ``cancelled``, if nothing of it may have left.

        What was called and refused for certain each time, by an account that is stopped or a rate limit, has not left.
        NOT_FOUND: the client has no such message; ENDED: it is not queued any more; BEGUN: a part is in flight or was
        taken, or nobody knows what became of a call of any run (no answer, or a 5xx).
        """
        ...

    async def retry(self, client_id: str, tid: str, at: datetime) -> Turn:
        """Open a new run of the client's failed message: it is queued again behind the others, with the status 0.

        Parts that the platform took and that did not fail are kept, with the facts of their rendering; every other part
        begins anew. Where none is kept, facts and losses of the rendering are forgotten. It expires as long after *at* as
        it did after it was due. NOT_FOUND as for cancel; NOT_FAILED: its status is not below 0;
        ENDED: its person was erased, and with them what it said.
        """
        ...

    # receipts

    async def receive(self, receipts: Sequence[ReceiptRecord], at: datetime) -> Received:
        """Apply receipts. On return each is durable: applied, a known duplicate, or kept until its send is recorded.

        A part is found by platform id, else by ``reference`` (``tid:part``; a bare tid is part 1): then it remembers the
        platform id too, and if it was still waiting for its answer it is answered. Statuses only move forward
        (``kurir.domain.status``). A watermark covers every part of the account's messages to the address that was sent at or
        before it, now and when recorded later: sent when a receipt says so (SENT), else a second before its answer was
        recorded, since the answer takes its time and clocks differ.

        A failure with a cure (``again``) that the message offered for the part and did not take yet fails nothing: all from
        the first part on that the platform never said to have sent is forgotten, and that part is queued again with the
        cure. But not after the message's expiry, not where the platform sent a later part, and once a run at most.

        Raises StoreUnavailable when the write took too long (10 seconds); the receipts may still be applied, and are known
        duplicates when they come again.
        """
        ...

    # contacts

    async def put_contact(self, contact: ContactRecord, at: datetime) -> ContactRecord:
        """Link or rename a contact; what is given empty stays as it is, and so does ``blocked`` of a known contact.

        A phone already linked in the account moves: the newest wins. Returns it as stored. An alias names its contact.
        """
        ...

    async def unlink_contact(self, client_id: str, account_id: str, address: str, at: datetime) -> ContactRecord | None:
        """Take the phone of the client's contact away; everything else of it stays. An alias names its contact.

        Returns the contact as it is now, also where it had no phone; None where the client has no contact there.
        """
        ...

    async def contact(self, account_id: str, address: str) -> ContactRecord | None:
        """Return the contact with this address, or alias, on the account."""
        ...

    async def aliases(self, account_id: str, address: str) -> list[str]:
        """Return the other addresses of the contact at *address*, sorted; [] where there is none."""
        ...

    async def contact_by_phone(self, account_id: str, phone: str) -> ContactRecord | None:
        """Return the contact that the phone is linked to on the account."""
        ...

    async def contacts(
        self,
        client_id: str,
        *,
        phone: str | None = None,
        channel: str | None = None,
        after: tuple[str, str] | None = None,
        limit: int = 1000,
    ) -> list[ContactRecord]:
        """Return up to *limit*, and at most 1,000, of the client's contacts, by account and address.

        *after* is the cursor: the account id and address of the last one that was seen.
        """
        ...

    # reading

    async def message(self, client_id: str, tid: str) -> MessageRecord | None:
        """Return the client's message with parts, attempts, losses and history."""
        ...

    async def messages(self, client_id: str, wanted: MessageFilter, limit: int) -> list[MessageRecord]:
        """Return up to *limit* of the client's messages, newest first, without parts, attempts, losses and history."""
        ...

    async def reply_target(self, client_id: str, account_id: str, reply_id: str) -> ReplyRecord | None:
        """Return the message that *reply_id* names: the client's own id, a tid, or a platform id, of ours or a person's.

        A person's message is known by its platform id, until retention. Of a message of ours with several platform ids,
        one named by id or tid is represented by its first.
        """
        ...

    async def key_of(self, client_id: str, token: str) -> str | None:
        """Return the client's key that *token* stands for."""
        ...

    async def depths(self) -> list[QueueDepth]:
        """Return the queue depth of every account that has one.

        ``messages`` counts all that are queued. ``oldest_at`` is the earliest moment at which one of them became due, or
        will: its ``accepted_at``, or a later ``due_at``. It lies ahead where all of them are scheduled.
        """
        ...

    # upkeep

    def health(self) -> str | None:
        """Return why nothing can be made durable at present, None as far as nothing is known against it.

        Cheap, since anybody may ask: no query is made. Told of are the last commit, while it failed, and a write that has
        waited for 10 seconds. While the last commit failed, asking has something small written, at most once a second: so
        whoever asks again sees that the store has healed.
        """
        ...

    async def expire(self, now: datetime, limit: int) -> int:
        """End up to *limit* queued messages whose ``expires_at`` is not after *now*. Returns how many, 0 without writing.

        Those of which no part has begun end as UNSENT. Those of which one has are left to the worker of their account; but
        where the account or its client is disabled, or the account paused, they end as FAILED, unless a call was begun
        within the last hour. The error is ``expired``, or ``outcome_unknown`` where the part may have left.
        """
        ...

    async def no_receipts(self, before: datetime, limit: int, at: datetime) -> int:
        """End up to *limit* messages that the platform accepted before *before* and never told of. Returns how many.

        They are no longer queued, have the status PENDING, and end as FAILED with ``no_receipt``; of their parts those
        without any receipt fail. A receipt of delivery that comes after all corrects that.
        """
        ...

    async def purge(self, before: datetime, limit: int, *, now: datetime | None = None) -> Purged:
        """Delete up to *limit* messages that ended before *before*, with parts, attempts and events; and of the rest below.

        An ended message has left the queue with a status other than 0; its end is its last change. Idempotency keys go
        when *before* is seven days after their message's end, until then answering with its last status. Platform ids and
        tokens stay; the dedupe of webhook events goes seven days before *before*; of each kind up to *limit* rows.

        A message's events and their callbacks go with it, whether they were taken or not. Events of other kinds, what
        people's messages are called, and link tokens go when they came in before *before*. What is of no use any more goes
        by *now* (*before*, without it): reply tokens that are two days old, vanishing choices and early receipts of one day.
        """
        ...

    async def make_room(self, kept_for: timedelta) -> int:
        """Make ready where what comes next is kept until retention deletes it after *kept_for*; return how many tables were.

        To be called now and then, by one process at a time. Nothing is lost where nobody calls it.
        """
        ...

    async def broken_invariants(self) -> list[str]:
        """Return a sentence for each rule of the schema that does not hold: [] in a healthy database.

        Among them: a message is queued exactly while delivery has work with it; statuses equal what their parts say;
        every message has its idempotency key; every status but 0 has its event; no part of another run is in flight.
        """
        ...
