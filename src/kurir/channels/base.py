"""What a channel is: pure functions and tables over a few frozen words.

A channel does no I/O, reads no clock and knows no database. It turns a message into platform calls (``render``), a
platform's answer into an outcome (``classify``) and a platform's webhook into inbound facts (``verify``, ``parse``).
Everything that comes from outside reaches it as a value. Same input, same bytes: that is what makes a crash harmless,
since a message rendered again after a restart is the message that was rendered before it.

A channel is a module with the members of :class:`Channel`; ``kurir.channels.BUILT_IN`` lists ours.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Protocol, TypeAlias

from kurir.domain.account import Account, ChannelSettings, Rate
from kurir.domain.message import Message
from kurir.domain.problem import Loss, Problem
from kurir.domain.status import Status
from kurir.quick import quick

#: A JSON object as the platforms take and give it. It does not travel past the edges: only calls, answers and webhooks.
JsonObject: TypeAlias = dict[str, Any]

#: JSON as it is sent to platforms and kept: no blanks, every letter as it is.
dumps: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


# --- Facts: what comes from outside -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Labels:
    """Words that the gateway itself puts on a phone. The defaults are what the cases pin."""

    menu: str = "Menu"
    open: str = "Open"
    open_map: str = "Open map"
    options: str = "Options {first}–{last}"
    location: str = "Location"
    map_url: str = "https://www.openstreetmap.org/?mlat={latitude}&mlon={longitude}#map=16/{latitude}/{longitude}"


@dataclass(frozen=True, slots=True)
class ReplyTarget:
    """The message that is replied to, found in the store: its platform id, its chat, and LINE's quote token."""

    platform_id: str
    chat: str = ""
    quote_token: str = ""


@dataclass(frozen=True, slots=True)
class ReplyToken:
    """The reply token of the request, found usable: unused, young enough, and of the chat that is written to."""

    token: str
    age_seconds: float


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What is known of a file by URL; None or "" where it is not known. Size in bytes, duration in milliseconds."""

    content_type: str = ""
    size: int | None = None
    duration_ms: int | None = None


class Again(StrEnum):
    """How a part may be tried once more after a refusal that names its own cure; each at most once a part."""

    SAME = "same"
    NEW_ADDRESS = "new_address"
    UPLOAD = "upload"
    BY_URL = "by_url"
    PUSH = "push"
    WITHOUT_QUOTE = "without_quote"
    TEMPLATE = "template"


@quick
@dataclass(frozen=True, slots=True)
class Facts:
    """All that comes from outside, in one frozen value.

    ``address`` is the recipient as the platform knows it (WhatsApp digits or business-scoped id, Telegram chat id or
    @name, LINE id, PSID); "" in a preview of somebody without address. ``last_inbound_seconds`` is the age of the last
    message from this person to this account, None when none is known. ``again`` maps a part to the cures already taken.
    """

    tid: str
    address: str
    last_inbound_seconds: float | None = None
    reply: ReplyTarget | None = None
    reply_token: ReplyToken | None = None
    media: Mapping[str, MediaFacts] = field(default_factory=dict)
    labels: Labels = Labels()
    again: Mapping[int, frozenset[Again]] = field(default_factory=dict)

    def takes(self, part: int, cure: Again) -> bool:
        """Return whether *part* is tried again by way of *cure*."""
        return cure in self.again.get(part, frozenset())


@quick
@dataclass(frozen=True, slots=True)
class Needs:
    """What ``render`` wants to know before it is called. ``probe`` are the URLs of files whose facts help.

    ``reply_token``: a fresh reply token of the chat would be used, where there is one.
    """

    probe: tuple[str, ...] = ()
    reply_token: bool = False


# --- Calls ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that travels inside the call as multipart/form-data: fetched from *source_url*, sent as *field*."""

    field: str
    source_url: str
    filename: str


@quick
@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request to a platform: one part of a message.

    ``part`` counts from 1. ``repeatable`` is true where the platform makes a repeat harmless (LINE's retry key).
    ``limits`` names the rate limits it counts to, beside ``account`` and ``recipient``. With ``upload``, the JSON
    members travel as form fields (nested ones as JSON text). ``after_unknown`` is set by the sender when an earlier
    attempt of this very call ended unknown. ``messages`` is how many platform ids its success brings (1 to 5). ``cures``
    are what else the message offers for this part, so that ``classify`` may name it (a template for a closed window).
    ``reply_token`` is the one that the call uses up, "" for none. ``file``: of a call that fetches (:meth:`Channel.fetch`),
    its answer is the file itself.
    """

    part: int
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    json: JsonObject
    upload: Upload | None = None
    repeatable: bool = False
    limits: tuple[str, ...] = ()
    after_unknown: bool = False
    messages: int = 1
    cures: tuple[Again, ...] = ()
    reply_token: str = ""
    file: bool = False

    def text(self) -> str:
        """Return the JSON body as text, no blanks."""
        return dumps(self.json)

    def body(self) -> bytes:
        """Return the JSON body as it is sent: UTF-8, no blanks."""
        return self.text().encode()


@dataclass(frozen=True, slots=True)
class Token:
    """A stored token that stands for a client's key in a platform field that cannot carry the key itself."""

    token: str
    key: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A button that vanishes: its title as the phone shows it, and the client's key."""

    title: str
    key: str


@quick
@dataclass(frozen=True, slots=True)
class Rendering:
    """A message as platform calls, in order, with what was lost on the way and the tokens to store.

    ``choices`` are those of its buttons that vanish from the phone (quick replies): who types a title presses it.
    """

    calls: tuple[Call, ...]
    losses: tuple[Loss, ...] = ()
    tokens: tuple[Token, ...] = ()
    choices: tuple[Choice, ...] = ()


# --- Answers and outcomes ---------------------------------------------------------------------------------------------


def _unread() -> object:
    """Stand for the JSON of an answer that nobody wanted yet."""
    return _unread


@quick
@dataclass(frozen=True, slots=True)
class Answer:
    """A platform's answer. Header names are in lower case; the body is at most 1 MiB."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    _read: Any = field(default_factory=_unread, init=False, repr=False, compare=False)

    def json(self) -> JsonObject | None:
        """Return the body as a JSON object, or None when it is anything else. It is read once, and not to be changed."""
        if self._read is _unread:
            try:
                value = json.loads(self.body)
            except (ValueError, RecursionError):
                value = None
            object.__setattr__(self, "_read", value if isinstance(value, dict) else None)
        found: JsonObject | None = self._read
        return found


class Stage(StrEnum):
    """How far a call came that got no answer."""

    BEFORE_SEND = "before_send"
    AFTER_SEND = "after_send"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No answer came. Before the first byte was handed to the socket nothing was sent; after it, nobody knows."""

    stage: Stage
    reason: str


class Scope(StrEnum):
    """Whom a wait holds back."""

    PART = "part"
    RECIPIENT = "recipient"
    ACCOUNT = "account"


@quick
@dataclass(frozen=True, slots=True)
class Learned:
    """What an answer taught besides its outcome. Every field may be empty.

    ``alias``: the platform's own spelling of the address. ``moved_to``: the address that replaces it. ``blocked``: the
    person blocked us (or no longer exists). ``quote_tokens``: one a message sent, "" where none. ``asset_id``: of media.

    ``usage``: how much of its call limits the account has used, in percent of the fullest one, and over 100 where it is
    beyond; None where the platform did not say. ``regain_seconds``: how long until a limit that is reached lets calls
    pass again, in seconds; None where none is reached. Only Meta's two channels tell these ("Rate limiting").
    """

    alias: str = ""
    moved_to: str = ""
    blocked: bool | None = None
    quote_tokens: tuple[str, ...] = ()
    asset_id: str = ""
    usage: float | None = None
    regain_seconds: float | None = None


@quick
@dataclass(frozen=True, slots=True)
class Sent:
    """The platform took the part. ``status`` is PENDING where taking is not sending (WhatsApp), else SENT."""

    platform_ids: tuple[str, ...]
    status: Status = Status.SENT
    learned: Learned = Learned()


@dataclass(frozen=True, slots=True)
class Retry:
    """Not sent; to be tried again.

    ``after`` is the wait in seconds that this very answer names, None where it names none. Then ``base`` and ``growth``
    shape the waits as the platform's documentation does for this kind of error: the n-th wait, from 0, is
    ``base · growthⁿ`` seconds, and none is shorter than ``base``, which some pages name as the least. ``base`` 0 stands
    for a documentation that names no number: the settings decide.

    ``throttled`` tells a rate limit from a transient fault. ``again`` names a cure that is taken at once. ``attempts``
    bounds the tries, the first one counted, where the platform's documentation does (0: the settings decide).
    """

    code: str
    reason: str
    after: float | None = None
    scope: Scope = Scope.PART
    throttled: bool = False
    again: Again | None = None
    attempts: int = 0
    provider_code: str = ""
    learned: Learned = Learned()
    base: float = 0.0
    growth: float = 2.0


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused for good: FAILED for the content's sake, UNDELIVERED for the recipient's."""

    status: Status
    code: str
    reason: str
    provider_code: str = ""
    learned: Learned = Learned()


@dataclass(frozen=True, slots=True)
class Unknown:
    """Perhaps sent. Never repeated before the platform's own means, or the account's policy, allow it."""

    code: str
    reason: str
    provider_code: str = ""
    learned: Learned = Learned()


@dataclass(frozen=True, slots=True)
class AccountDown:
    """Not sent, and nothing of this account will be until the operator has mended it."""

    code: str
    reason: str
    provider_code: str = ""
    learned: Learned = Learned()


Outcome: TypeAlias = Sent | Retry | Rejected | Unknown | AccountDown


# --- Webhooks ---------------------------------------------------------------------------------------------------------


#: The time of an event whose platform tells none (a pressed button on Telegram): whoever takes it in puts its own clock.
TIME_UNTOLD: Final = datetime.fromtimestamp(0, UTC)


@quick
@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """What a platform posted to us (or asked, for Meta's handshake). Header names are in lower case."""

    method: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class WebhookRejected(Exception):
    """The request is not the platform's: signature or verify token missing or wrong. Answered 401 (403 for Meta's GET)."""


class WebhookUnreadable(Exception):
    """The request is the platform's, but its body is not what the platform sends. Kept for a look, answered 200."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """The answer to a platform's handshake: these bytes as text/plain."""

    body: bytes


@dataclass(frozen=True, slots=True)
class ReceiptError:
    """Why a part failed after the platform took it."""

    code: str
    reason: str
    provider_code: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Receipt:
    """News of one message of ours, or of all of them up to a watermark.

    Either ``platform_id`` names the message, or ``watermark`` (Messenger) covers every message to ``address`` sent at or
    before it. ``reference`` is what we gave the platform to carry: the tid, or ``tid:part``. ``owner`` is the platform's
    number of the account that it is for (a batch may hold several). ``event_id`` is the same for every repeat.
    """

    event_id: str
    status: Status
    at: datetime
    owner: str
    platform_id: str = ""
    watermark: datetime | None = None
    address: str = ""
    reference: str = ""
    error: ReceiptError | None = None
    raw: bytes = b""


@quick
@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that the gateway has no use for, or does not know. ``unread``: one that it could not read, for a later look."""

    event_id: str
    why: str
    raw: bytes = b""
    unread: bool = False


@quick
@dataclass(frozen=True, slots=True)
class Person:
    """Who an event comes from, as the platform names them; "" where it does not say.

    ``address`` is where an answer goes, in the spelling that ``Facts.address`` takes: the chat, which in a group is not the
    person. ``id`` is the person's own native id (a phone's digits on WhatsApp). ``phone`` are digits that the platform
    vouches for. ``aliases`` are other addresses of the same person (WhatsApp's business-scoped id beside the phone).
    """

    address: str
    id: str = ""
    name: str = ""
    username: str = ""
    avatar: str = ""
    phone: str = ""
    aliases: tuple[str, ...] = ()


class Kind(StrEnum):
    """What kind of message came in, in the words of the callbacks."""

    TEXT = "text"
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    VOICE = "voice"
    DOCUMENT = "document"
    STICKER = "sticker"
    LOCATION = "location"
    CONTACT = "contact"
    POSTBACK = "postback"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class InboundMedia:
    """A file that came in. ``id`` is the platform's handle, ``url`` where the platform keeps it.

    Either may need the account's secrets to fetch, or hold them, so neither is shown to anybody: :meth:`Channel.fetch`
    makes the call. Size in bytes, None where it is not told. ``public``: ``url`` can be fetched by anybody (guarded).
    """

    id: str = ""
    url: str = ""
    mime_type: str = ""
    name: str = ""
    size: int | None = None
    animated: bool = False
    public: bool = False


@dataclass(frozen=True, slots=True)
class InboundLocation:
    """A place in degrees. ``live_period`` is for how many seconds it moves, 0 for one that does not."""

    latitude: float
    longitude: float
    name: str = ""
    address: str = ""
    live_period: int = 0


@dataclass(frozen=True, slots=True)
class Press:
    """A button or a list row that was pressed.

    ``data`` is what its field carried: the key, or a token that stands for it. ``known`` and ``unknown`` are calls to make
    at once (Telegram's answerCallbackQuery): when the key is known, and when the data is a token that nobody knows.
    """

    data: str
    title: str = ""
    known: tuple[Call, ...] = ()
    unknown: tuple[Call, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A message of a person.

    ``owner``, ``event_id`` and ``raw`` as in :class:`Receipt`. ``platform_id`` is what a reply may name (``<chat>:<id>`` on
    Telegram), ``reply_to`` the platform's id of the message that is quoted or whose button was pressed. ``reply_token`` is
    the value that answers this message for free; ``quote_token`` what quotes it (LINE). ``referral`` is the payload of a
    deep link that began or continued the chat. ``press`` is set where ``kind`` is POSTBACK, ``text`` names the kind of an
    UNSUPPORTED one. ``standby``: another app has the conversation, and is not to be talked into. ``live``: the new
    position of a live location that was reported before under the same ``platform_id``.
    """

    event_id: str
    owner: str
    at: datetime
    sender: Person
    kind: Kind
    platform_id: str
    text: str = ""
    media: tuple[InboundMedia, ...] = ()
    location: InboundLocation | None = None
    press: Press | None = None
    reply_to: str = ""
    reply_token: str = ""
    quote_token: str = ""
    referral: str = ""
    standby: bool = False
    live: bool = False
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Reaction:
    """A person's reaction to the message ``platform_id``; ``emoji`` is "" when it was taken back."""

    event_id: str
    owner: str
    at: datetime
    sender: Person
    platform_id: str
    emoji: str
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Edited:
    """A person changed the words of their message ``platform_id``."""

    event_id: str
    owner: str
    at: datetime
    sender: Person
    platform_id: str
    text: str
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Deleted:
    """A person took back their message ``platform_id``."""

    event_id: str
    owner: str
    at: datetime
    sender: Person
    platform_id: str
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class ContactNews:
    """News of a person (or a group), not in a message of theirs.

    ``blocked``: they can or cannot be written to from now on; None where that is not told. ``shared_phone``: digits that
    are the sender's own for certain. ``referral``: the payload of a deep link, or LINE's account link nonce. ``first_time``:
    they are new. ``moved_to``: the address that replaces theirs (a group that became a supergroup, a changed number).
    ``heard``: it counts as hearing from them, so that the platform's window opens.
    """

    event_id: str
    owner: str
    at: datetime
    person: Person
    blocked: bool | None = None
    shared_phone: str = ""
    referral: str = ""
    first_time: bool = False
    reply_token: str = ""
    moved_to: str = ""
    heard: bool = False
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class AccountNews:
    """The platform told something of the account itself: our ``code``, and a sentence for the operator.

    ``stops``: nothing is sent by it any more until the operator has mended it.
    """

    event_id: str
    owner: str
    at: datetime
    code: str
    reason: str
    stops: bool = False
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class AgentMessage:
    """A message that a person of the business wrote to ``recipient`` in the platform's own inbox."""

    event_id: str
    owner: str
    at: datetime
    recipient: Person
    platform_id: str
    text: str = ""
    raw: bytes = b""


Inbound: TypeAlias = (
    Receipt | InboundMessage | Reaction | Edited | Deleted | ContactNews | AccountNews | AgentMessage | Ignored
)


# --- The channel ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a channel can do, for the docs' capability table. Each value is ``native``, ``degraded`` or ``no``.

    ``types`` maps a message type to how it is shown and a short note. ``receipts`` are the statuses that the platform
    reports by webhook after its answer. ``tells_throttle_scope``: its rate limit errors tell whether they mean one
    recipient or the whole account. ``tells_blocking``: it tells when a person blocks us and when they no longer do, so that
    what it told last can be relied on.
    """

    types: Mapping[str, tuple[str, str]]
    receipts: tuple[Status, ...]
    final_status: Status
    idempotent: bool
    tells_throttle_scope: bool = True
    tells_blocking: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of the platform: the number, the unit it counts in, what happens beyond, and the source."""

    field: str
    maximum: int
    unit: str
    beyond: str
    source: str


class Channel(Protocol):
    """The members of a channel module."""

    @property
    def NAME(self) -> str: ...
    @property
    def API_BASE(self) -> str: ...
    @property
    def SETTINGS(self) -> type[ChannelSettings]: ...
    @property
    def CAPABILITIES(self) -> Capabilities: ...
    @property
    def LIMITS(self) -> Sequence[Limit]: ...
    @property
    def RATES(self) -> Mapping[str, Rate | None]: ...
    @property
    def CONCURRENCY(self) -> int: ...
    @property
    def PLATFORM_CODES(self) -> Sequence[tuple[str, str]]: ...

    def problems(self, message: Message) -> list[Problem]:
        """Return what this channel can neither send nor degrade; [] when the message can be rendered."""
        ...

    def needs(self, message: Message, account: Account) -> Needs:
        """Return what ``render`` would like to know of the outside."""
        ...

    def refusal(self, message: Message, account: Account, facts: Facts) -> Rejected | None:
        """Return why the platform is known to refuse *message* now, with what would work; None when it is to be tried.

        Only from what the platform or the person told before (a closed window). What is not known is tried.
        """
        ...

    def render(self, message: Message, account: Account, facts: Facts) -> Rendering:
        """Return *message* as platform calls. Never raises for a message without problems; same input, same bytes."""
        ...

    def classify(self, call: Call, answer: Answer | NoAnswer) -> Outcome:
        """Return what an answer means. Total: every status and body, and every way of not answering, has an outcome."""
        ...

    def look(self, account: Account) -> Call:
        """Return a call that the platform answers with a JSON object, whatever it says of it, and that sends nothing.

        By it the gateway sees whether the platform answers again, before it sends a message again that may have left
        already. A refusal is an answer too, so it needs no permission. Its ``part`` is 0, its method GET, without a body.
        """
        ...

    def verify(self, account: Account, request: WebhookRequest) -> Handshake | None:
        """Check that *request* is the platform's, in constant time, over the raw bytes.

        Returns the handshake's answer for a handshake, else None. Raises WebhookRejected.
        """
        ...

    def parse(self, account: Account, request: WebhookRequest) -> list[Inbound]:
        """Return the events of a verified request, in its order. Raises WebhookUnreadable, nothing else."""
        ...

    def fetch(self, account: Account, media: InboundMedia, answer: Answer | None = None) -> Call | None:
        """Return the next call by which a file that came in is fetched; None when *answer* is the file, or refuses it.

        *answer* is that of the call before, None before the first. The calls are GETs without a body.
        """
        ...
