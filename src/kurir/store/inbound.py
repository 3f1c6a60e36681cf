"""What the platforms' webhooks bring, as the store takes it in: messages, presses and news of people beside the receipts.

One webhook is one transaction: its receipts, its arrivals and what they teach of people, with the events that clients
are to hear of and the callbacks that are owed for them. What was taken in before changes nothing.
"""

from asyncio import Future
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from kurir.quick import quick
from kurir.store.base import ReceiptRecord


@quick
@dataclass(frozen=True, slots=True)
class Heard:
    """What an arrival teaches of a person; None and "" leave what is known as it is.

    ``phone``: digits that are theirs for certain; they move here from whoever had them in this account, the newest wins.
    ``aliases``: other addresses of the same person. ``heard``: they wrote, at the arrival's time. ``moved_to``: the address
    that replaces this one, with all that is known. A ``blocked`` that is older than what is known of it changes nothing,
    unless the platform told it and what is known was ``inferred`` from an answer to a call of ours, by our clock.
    """

    account_id: str
    client_id: str
    channel: str
    address: str
    at: datetime
    name: str = ""
    username: str = ""
    phone: str = ""
    aliases: tuple[str, ...] = ()
    heard: bool = False
    blocked: bool | None = None
    moved_to: str = ""
    inferred: bool = False


@quick
@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event for the client's feed. ``kind`` is its type in the standard dialect, ``data`` its ``data`` there, as JSON.

    ``conversation`` orders its callbacks: the address, as messages to it have it. ``media`` are the platform's handles of
    the files in it, as JSON, None where it has none; they are never shown.
    """

    kind: str
    conversation: str
    at: datetime
    data: bytes
    media: bytes | None = None


@dataclass(frozen=True, slots=True)
class ChoiceRecord:
    """The vanishing choices that a conversation was shown last: when, by which message, and pairs of (title, key)."""

    at: datetime
    message_id: str
    choices: tuple[tuple[str, str], ...] = field(default_factory=tuple)


@quick
@dataclass(frozen=True, slots=True)
class Arrival:
    """One thing that came in. ``event_id`` is the same for every repeat within the account.

    ``platform_id`` is that of a message which can be replied to, with its ``quote_token`` and ``reply_token``. ``changes`` is
    whether its event is only one if it teaches something: news that somebody blocked us who had blocked us before. Of
    ``contact.blocked`` and ``contact.unblocked`` that is whether they have, of ``contact.linked`` a phone or an address, of
    other kinds anything. Where ``heard`` changes whether they blocked us, and the arrival has no event of these two kinds,
    one is added. ``link`` is the link token that ``heard`` came by: it is used in this commit, and one that was used
    before teaches no phone. ``typed`` is asked, where the conversation at ``address`` was shown choices that vanish, which
    event there is instead of ``event``, None for that one: it may be asked twice, and only answers.
    """

    account_id: str
    client_id: str
    event_id: str
    at: datetime
    event: NewEvent | None = None
    heard: Heard | None = None
    platform_id: str = ""
    address: str = ""
    quote_token: str = ""
    reply_token: str = ""
    changes: bool = False
    link: str = ""
    typed: Callable[[ChoiceRecord], NewEvent | None] | None = field(default=None, compare=False)


@quick
@dataclass(frozen=True, slots=True)
class Webhook:
    """What one webhook brought, to be taken in at *at* (our clock).

    ``poll_offset``: an account, and the offset of its next getUpdates once this is taken in.
    """

    at: datetime
    receipts: Sequence[ReceiptRecord] = ()
    arrivals: Sequence[Arrival] = ()
    poll_offset: tuple[str, int] | None = None


@quick
@dataclass(frozen=True, slots=True)
class TakenIn:
    """What is true and durable after :meth:`InboundStore.take_in`.

    ``new``: the event ids of arrivals that were not known before. ``clients``: whose feeds have grown. ``settled`` are
    (account id, address) of the parts whose outcome was open and that a receipt told of.
    """

    new: frozenset[str] = frozenset()
    receipts: int = 0
    waiting: int = 0
    clients: tuple[str, ...] = ()
    settled: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Quoted:
    """A message of ours that was quoted or pressed: its tid and the client's id."""

    tid: str
    message_id: str


@dataclass(frozen=True, slots=True)
class ReplyTokenRecord:
    """A reply token as it was received: of which chat, when, and whether it was used."""

    address: str
    received_at: datetime
    used: bool


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """A deep link that was given out: to whose phone (digits, or "") and with which payload its token leads.

    The token stands in ``t.me/<bot>?start=…`` and ``m.me/<page>?ref=…``, or is the nonce of LINE's account link. From
    ``expires_at`` on it ties nobody to the phone; None: it holds as long as it is kept.
    """

    token: str
    client_id: str
    account_id: str
    created_at: datetime
    phone: str = ""
    payload: str = ""
    used_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TemplateRecord:
    """A template as the platform has it; ``components`` are its JSON."""

    name: str
    language: str
    status: str
    category: str
    components: str
    synced_at: datetime


@dataclass(frozen=True, slots=True)
class QuotaRecord:
    """How many messages of its quota an account has used, as the platform counts; ``limit`` None: without limit."""

    used: int
    limit: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Unread:
    """A webhook of the account's platform that could not be read, as it came at *at* (our clock), and why in one sentence."""

    account_id: str
    body: bytes = field(repr=False)
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A webhook in quarantine without its body, of which *size* is the bytes.

    ``number`` is the order in which they came. ``received_at`` is when it came first, ``times`` how often it came,
    ``replayed_at`` when it was last replayed in vain, None for never.
    """

    number: int
    account_id: str
    received_at: datetime
    times: int
    why: str
    replayed_at: datetime | None
    size: int


@dataclass(frozen=True, slots=True)
class NotKept:
    """How many webhooks of an account could not be read and came beyond the bound of its quarantine: they are lost."""

    account_id: str
    webhooks: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What of a person was erased. ``begun`` messages are being sent: then nothing was, and it is to be asked again."""

    begun: int = 0
    cancelled: int = 0
    messages: int = 0
    events: int = 0
    contact: bool = False


class InboundStore(Protocol):
    """The part of the store that is about what comes in."""

    async def take_in(self, webhook: Webhook) -> TakenIn:
        """Take everything of a webhook in, in one transaction.

        Receipts are applied or kept as by ``Store.receive``. An arrival whose event id the account had before is passed
        over. A new one adds its event at the end of the client's feed, in their order, and owes a callback to each enabled
        endpoint of the client that wants the kind; teaches what was heard of the person; and keeps what a reply to it
        needs. Nobody's phone is doubled: a phone that moves leaves its old contact without one.
        """
        ...

    def taking_in(self, webhook: Webhook) -> Future[TakenIn]:
        """Begin :meth:`take_in`, and return what will have its result: for who has no task that could wait.

        May raise StoreUnavailable at once, and then nothing was begun.
        """
        ...

    async def quoted(self, account_id: str, platform_id: str) -> Quoted | None:
        """Return which message of ours a platform id is of, also when it is older than retention; None: not ours."""
        ...

    async def quarantine(self, unread: Unread) -> int | None:
        """Keep a webhook that could not be read, and return its number. On return it is durable.

        The same body of the same account again is the same number: it is counted, and gets the newer reason. Beyond the
        account's bound (1,000 bodies, 32 MiB together, 3 MiB in one) nothing is kept: it is counted, and the answer is None.
        """
        ...

    async def quarantined(self, account_id: str = "", *, after: int = 0, limit: int = 100) -> list[Quarantined]:
        """Return what is in quarantine, of one account or with "" of all, above the number *after*, in their order."""
        ...

    async def quarantined_webhook(self, number: int) -> tuple[Quarantined, bytes] | None:
        """Return a webhook in quarantine with its body, None where there is none (any more)."""
        ...

    async def not_kept(self) -> list[NotKept]:
        """Return how many webhooks came beyond the bound of a quarantine, by account; retention deletes the counts too."""
        ...

    async def still_unread(self, number: int, why: str, at: datetime) -> None:
        """Note that a webhook was replayed at *at* and could not be read, and why. One that is gone stays gone."""
        ...

    async def release(self, number: int) -> bool:
        """Delete a webhook from the quarantine. False: it was not there."""
        ...

    async def put_link(self, link: LinkRecord) -> None:
        """Keep a link token that is about to be given out. Raises StoreError where the token is taken."""
        ...

    async def link_of(self, account_id: str, token: str) -> LinkRecord | None:
        """Return a link token of the account, used or not."""
        ...

    async def use_link(self, account_id: str, token: str, at: datetime) -> LinkRecord | None:
        """Use a link token of the account up and return it; None when it is not known, or was used before."""
        ...

    async def forget(self, client_id: str, account_id: str, addresses: Sequence[str], at: datetime) -> Forgotten:
        """Erase a person, by every address or alias that may be theirs, from the client's account, on their request.

        Messages to them that wait are cancelled (UNSENT, ``cancelled``). While one is being sent nothing is erased, and
        ``begun`` says how many are; whoever asks does so again. Erased are: the contact with phone, names and aliases;
        reply tokens, choices, watermarks, receipts that wait and their links; the events of what they wrote, pressed and
        did, with the callbacks of these, pending ones too; what their messages are called; the webhooks in quarantine of the
        client's accounts on the channel that name an address or the phone, and the client's requests in the log that do; and
        of the messages to them what was said (body, facts, losses, the requests and answers of attempts, the wording of
        errors, the answers of callbacks) and to whom (recipient, lane, address, chat).

        Kept as a bare record are of the messages to them: ids (the client's, ours, the platform's, which on Telegram
        begins with the chat, and on WhatsApp holds the number, in base64), the digest of the content that tells repeats,
        statuses, error codes and times; and the tokens of keys, which are the client's words. What callbacks and platforms
        were sent is out of reach. A message that was erased is not sent anew.

        In several transactions, the contact last: what a crash interrupts is finished by asking again.
        """
        ...

    async def put_templates(self, account_id: str, templates: Sequence[TemplateRecord], at: datetime) -> None:
        """Replace all templates of the account by these, synced at *at*."""
        ...

    async def templates(self, account_id: str) -> list[TemplateRecord]:
        """Return the account's templates, by name and language."""
        ...

    async def template(self, account_id: str, name: str, language: str) -> TemplateRecord | None:
        """Return one template of the account."""
        ...

    async def set_quota(self, account_id: str, used: int, limit: int | None, at: datetime) -> None:
        """Keep what the platform says of the account's quota; what is older than what is known changes nothing."""
        ...

    async def quota(self, account_id: str) -> QuotaRecord | None:
        """Return the account's quota as it was read last."""
        ...

    async def choices(self, account_id: str, address: str) -> ChoiceRecord | None:
        """Return the vanishing choices that the conversation was shown last, None when there were none."""
        ...

    async def reply_token(self, account_id: str, token: str) -> ReplyTokenRecord | None:
        """Return a reply token that the account received, None when it is not known (any more: two days)."""
        ...

    async def fresh_reply_token(self, account_id: str, address: str, since: datetime) -> tuple[str, datetime] | None:
        """Return the newest unused reply token of the chat and when it was given; None: none was given after *since*."""
        ...

    async def poll_offset(self, account_id: str, since: datetime | None = None) -> int | None:
        """Return the offset of the account's next getUpdates, None: there is none, or none kept since *since*."""
        ...

    async def drop_poll_offset(self, account_id: str, offset: int) -> None:
        """Forget an offset that the platform has heard; another one stays."""
        ...
