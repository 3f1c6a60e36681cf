"""What people look at in the console, as the store answers it: searches, counts over time, one message's whole story.

A search is bounded, whatever it asks for: ids and recipients are found by an index, everything else by walking back from the
newest message, so many rows a page. A page says how far back it looked, so that who asks can go on from there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kurir.domain.status import Status
from kurir.quick import quick
from kurir.store.base import ContactRecord, MessageRecord, StatusEvent
from kurir.store.feed import CallbackAttempt, CallbackRecord, Replay

#: The kinds of a tally. ``failed`` has a code.
TALLIED = ("accepted", "sent", "delivered", "read", "failed", "received")
#: Seconds that a tally covers.
TALLY_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Search:
    """Which messages are looked for; None and () are any.

    ``client_ids`` is whose messages may be seen at all, and () is nobody's. ``message_id`` is the client's own id,
    ``platform_id`` the platform's. ``recipients`` are exact spellings: one of them is the recipient as it was given, the
    address, or the lane. ``since`` and ``until`` (not included) are about when a message was accepted. ``words``: all of them
    occur in what the message says, in any case of letters; "quoted" ones in a row. ``before_seq`` and ``after_seq`` are
    cursors, not included themselves.
    """

    client_ids: tuple[str, ...] | None = None
    channel: str | None = None
    account_id: str | None = None
    tid: str | None = None
    message_id: str | None = None
    platform_id: str | None = None
    recipients: tuple[str, ...] = ()
    statuses: tuple[Status, ...] = ()
    type: str | None = None
    error_code: str | None = None
    queued: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    words: str = ""
    before_seq: int | None = None
    after_seq: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Messages that were found, newest first. In them parts, attempts, losses and history stay empty.

    ``complete``: there are no more. Else ``next_seq`` is the ``before_seq`` to go on with, and ``looked_back_to`` when the
    message there was accepted. ``text_searched`` is False where words were asked for and nothing may be searched for words.
    """

    rows: tuple[MessageRecord, ...]
    complete: bool
    next_seq: int | None = None
    looked_back_to: datetime | None = None
    text_searched: bool = True


@dataclass(frozen=True, slots=True)
class Named:
    """A message by its names: enough to do something with it."""

    seq: int
    client_id: str
    tid: str


@dataclass(frozen=True, slots=True)
class Names:
    """Messages that were found, newest first, and as in :class:`Page` whether these are all."""

    found: tuple[Named, ...]
    complete: bool
    next_seq: int | None = None
    looked_back_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """How many messages were found, and as in :class:`Page` whether these are all."""

    messages: int
    complete: bool
    looked_back_to: datetime | None = None


@quick
@dataclass(frozen=True, slots=True)
class Tally:
    """How often something happened to an account from ``at`` on, for as long as was asked for. ``kind`` is of TALLIED."""

    at: datetime
    client_id: str
    account_id: str
    kind: str
    times: int


@dataclass(frozen=True, slots=True)
class ErrorTally:
    """How often messages failed with a code, when the last one did, and which one that was."""

    code: str
    times: int
    last_at: datetime
    client_id: str
    account_id: str
    tid: str


@dataclass(frozen=True, slots=True)
class LastOfAccount:
    """When somebody last wrote or pressed on an account, and when a platform last took a message of it; None: never yet."""

    account_id: str
    heard_at: datetime | None
    sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class ToldTo:
    """A callback of an event, the address that it goes to, and its tries in their order."""

    callback: CallbackRecord
    url: str
    attempts: tuple[CallbackAttempt, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A change of a message's status: when we knew (``event.at`` is when it happened), and whom it was told to."""

    event: StatusEvent
    kept_at: datetime
    provider_message_id: str
    callbacks: tuple[ToldTo, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of a message. ``body`` is the request as it was accepted, as JSON; ``{}`` of one that was erased."""

    message: MessageRecord
    body: bytes
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class PeopleSearch:
    """Which people are looked for; None, () and "" are any. ``client_ids`` is whose they may be at all.

    ``exact`` are spellings: one of them is the phone, the address or another address. Else all words of ``name`` occur in the
    name or the user name, in any case of letters. ``after`` is the cursor: account and address of the last one seen.
    """

    client_ids: tuple[str, ...] | None = None
    channel: str | None = None
    account_id: str | None = None
    exact: tuple[str, ...] = ()
    name: str = ""
    after: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class People:
    """People who were found, by account and address. ``complete``: there are no more; else ``after`` is to go on with."""

    rows: tuple[ContactRecord, ...]
    complete: bool
    after: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class LatelyTried:
    """A try of a callback: when, the HTTP status (0: no answer), what was wrong ("" for nothing), how long it took."""

    at: datetime
    status: int
    error: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class HowMany:
    """How many there are; not ``complete``: at least so many, and older ones were not looked at."""

    many: int
    complete: bool


class LookingStore(Protocol):
    """The part of the store that people look at. *client_ids* is whose rows may be seen: None for everybody's."""

    async def search(self, wanted: Search, limit: int) -> Page:
        """Return up to *limit* messages that *wanted* lets through, newest first."""
        ...

    async def count(self, wanted: Search, at_most: int) -> Counted:
        """Return how many messages *wanted* lets through. It ends at *at_most*, and after some pages' worth of looking."""
        ...

    async def tids(self, wanted: Search, at_most: int) -> Names:
        """Return which messages *wanted* lets through, newest first, as far as :meth:`count` would look."""
        ...

    async def snippets(self, seqs: Sequence[int]) -> dict[int, bytes]:
        """Return what messages say (seq → the request as it was accepted, as JSON), for a list that shows them."""
        ...

    async def story(self, client_ids: tuple[str, ...] | None, tid: str) -> Story | None:
        """Return a message with all that is known of it, None where there is none or it is somebody else's."""
        ...

    async def people(self, wanted: PeopleSearch, limit: int) -> People:
        """Return up to *limit* contacts that *wanted* lets through, by account and address. A name is a bounded walk."""
        ...

    async def lately_tried(self, endpoint_id: str, limit: int) -> list[LatelyTried]:
        """Return up to *limit* tries of an endpoint's newest events, newest first."""
        ...

    async def replayable(self, endpoint_id: str, wanted: Replay) -> HowMany:
        """Return how many callbacks ``FeedStore.replay`` of this range would owe again now. Positions are not looked at."""
        ...

    async def tallies(
        self,
        since: datetime,
        until: datetime,
        step_seconds: int,
        client_ids: tuple[str, ...] | None = None,
        *,
        by_account: bool = True,
        account_id: str | None = None,
        kind: str | None = None,
    ) -> list[Tally]:
        """Return how much happened in each step from *since* to before *until*, by account and kind; none of zero.

        Steps begin at multiples of *step_seconds* since 1970, which is a multiple of TALLY_SECONDS; multiples of an hour are
        quicker. They are a second or two behind, and more while there is much to do. Not *by_account*: they are summed up, and
        ``client_id`` and ``account_id`` are "". With *account_id* they are that account's alone, with
        *kind* of that kind alone.
        """
        ...

    async def top_errors(
        self, since: datetime, client_ids: tuple[str, ...] | None = None, limit: int = 5
    ) -> list[ErrorTally]:
        """Return the codes that most messages failed with since *since* (rounded down to a tally), most frequent first."""
        ...

    async def last_of_accounts(self, client_ids: tuple[str, ...] | None = None) -> list[LastOfAccount]:
        """Return what was last heard of each account that was ever heard of, by id."""
        ...

    async def pulse(self) -> tuple[int, ...]:
        """Return numbers of which one differs once messages, events or quarantined webhooks came. Cheap."""
        ...

    async def tally(self, limit: int) -> bool:
        """Count about *limit* new messages and events; return whether there may be more.

        On return it is durable. What another node counts meanwhile is counted once.
        """
        ...

    async def index_words(self, limit: int, *, on: bool = True) -> int:
        """Make up to *limit* messages findable by their words; return how many were looked at, 0 where there are no more.

        Not *on*: from now on no search finds any by its words, and about *limit* are dropped from the index. On return it is
        durable. What another node does meanwhile is done once.
        """
        ...

    def idle(self) -> bool:
        """Return whether nobody waits for a write just now."""
        ...
