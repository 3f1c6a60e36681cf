"""What a phone shows, as data: the contract between the emulators and the page.

An emulator turns each platform payload that it accepted into a :class:`Bubble`. The page draws bubbles and knows
nothing of platforms beyond their look. ``as_json`` is what ``GET /sandbox/phones`` and the event stream carry.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Span:
    """A marked run of a text, in UTF-16 code units: *style* bold, italic, underline, strike or code. Runs may nest."""

    offset: int
    length: int
    style: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Something to press. *payload* is what the platform would send back; "" for a link, whose *url* opens.

    *length* is how long the title is as the platform counts it, *limit* what it allows; 0 where it names no limit. On
    Telegram both are of the callback data, in bytes.
    """

    title: str
    payload: str = ""
    url: str = ""
    description: str = ""
    length: int = field(default=0, compare=False)
    limit: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Section:
    """A group of choices in a list sheet."""

    title: str
    rows: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of a bubble. *kind* decides which fields count.

    ``text``: text, spans, role (body, header, title, subtitle, footer, caption) · ``image``, ``video``: url, poster ·
    ``audio``: url, voice, duration_ms · ``document``: url, name, size, mime_type · ``location``: latitude, longitude,
    title, text · ``buttons``: choices, style (rows: full-width rows in the card; inline: one row of a keyboard under
    the bubble, a block for each row; chips: quick replies above the keyboard that vanish with the next message) ·
    ``list``: label, sections · ``carousel``: cards, each a tuple of blocks · ``unknown``: text, the payload as JSON.

    *length* is how long the text (of a list: the label) is as the platform counts it, before marks are taken off, and
    *limit* what it allows; 0 where it names no limit. What is longer is on no phone, since the platform refuses it.
    """

    kind: str
    text: str = ""
    role: str = "body"
    spans: tuple[Span, ...] = ()
    url: str = ""
    poster: str = ""
    name: str = ""
    size: int | None = None
    mime_type: str = ""
    voice: bool = False
    duration_ms: int | None = None
    latitude: float = 0.0
    longitude: float = 0.0
    title: str = ""
    style: str = ""
    label: str = ""
    choices: tuple[Choice, ...] = ()
    sections: tuple[Section, ...] = ()
    cards: "tuple[tuple[Block, ...], ...]" = ()
    length: int = field(default=0, compare=False)
    limit: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class LedgerEvent:
    """One thing that the sender learned: *status* −3…3, *what* in words, the webhook receiver's *answer*."""

    at: str
    status: int
    what: str
    answer: str = ""


@dataclass(slots=True)
class Bubble:
    """One message on a phone, from the business, and what the sender knows of it.

    *tick* is clock, sent, delivered, read or failed; *final* is true when this platform will never tell more. *payload*
    is the request as it arrived, secrets left out; of a person's own message it is the webhook. *at* is RFC 3339, by the
    phone's clock. *quoted* is the id of the bubble that is answered and
    *quoted_words* how that one begins; *held* is true while it waits at the platform for a phone that is offline.

    *mine* is true for what the phone's owner wrote. *reaction* is the owner's emoji on it; *edited* and *gone* say that its
    writer changed or took it back; *spent* that its quick replies are used up; *waiting* is the title of the pressed
    button whose press the bot has not answered yet (Telegram).
    """

    id: str
    at: str
    blocks: tuple[Block, ...]
    quoted: str = ""
    quoted_words: str = ""
    held: bool = False
    tick: str = "sent"
    status: int = 1
    final: bool = False
    events: list[LedgerEvent] = field(default_factory=list)
    payload: dict[str, Any] = field(default_factory=dict)
    mine: bool = False
    reaction: str = ""
    edited: bool = False
    gone: bool = False
    spent: bool = False
    waiting: str = ""

    def choices(self) -> tuple[Choice, ...]:
        """Return everything on this bubble that can be pressed: buttons, rows of lists, quick replies, cards."""
        return _choices(self.blocks)


def _choices(blocks: Iterable[Block]) -> tuple[Choice, ...]:
    found: tuple[Choice, ...] = ()
    for block in blocks:
        found += block.choices + tuple(row for section in block.sections for row in section.rows)
        for card in block.cards:
            found += _choices(card)
    return found


@dataclass(frozen=True, slots=True)
class RefusedCall:
    """A call by which nothing reached a phone, since the platform refused it.

    *at* is RFC 3339, *method* the HTTP method and the end of the path, *status* the HTTP status, *words* what the platform
    says in the answer, *to* the recipient as the call names it, *fault* the member of a profile that struck, "" for none.
    *blocks* are what it would have shown; only the newest calls have them.
    """

    at: str
    method: str
    status: int
    words: str
    to: str
    fault: str = ""
    blocks: tuple[Block, ...] = ()


@dataclass(slots=True)
class Phone:
    """One person's phone with one platform's app open on the chat with the business.

    *refused* are the newest calls that the platform refused, oldest first: what the sender learned of messages that are on
    no phone. *receipts* is false while the owner tells nobody what they read (WhatsApp); *on_channel* false while they do not
    use the app at all. *blocked* is true while the owner blocks the account (on LINE: does not follow it). *heard* is when
    the owner last wrote, in seconds of the sandbox's clock, None for never; *closed* whether Meta's 24 hours are over. *ahead*
    is how far the phone's clock is ahead, in seconds. *notice* is what the bot last said to a press (Telegram), *notices*
    counts.
    """

    channel: str
    person: str
    address: str
    business: str
    online: bool = True
    chat_open: bool = True
    receipts: bool = True
    on_channel: bool = True
    bubbles: list[Bubble] = field(default_factory=list)
    refused: list[RefusedCall] = field(default_factory=list)
    blocked: bool = False
    heard: float | None = None
    closed: bool = False
    ahead: float = 0.0
    notice: str = ""
    notices: int = 0

    def quick_replies(self) -> tuple[Bubble, tuple[Choice, ...]] | None:
        """Return the quick replies that the phone shows above its keyboard and the bubble that brought them.

        On LINE and Messenger they are the last message's and vanish with the next one; Telegram's keyboard stays until
        another message brings a new one or takes it away (https://core.telegram.org/bots/api#replykeyboardmarkup).
        """
        for bubble in reversed(self.bubbles):
            if self.channel != "telegram":
                found = () if bubble.mine or bubble.spent or bubble.gone or bubble.tick == "failed" else _chips(bubble)
                return (bubble, found) if found else None
            found = _chips(bubble)
            if found or "remove_keyboard" in str(bubble.payload.get("reply_markup", "")):
                return (bubble, found) if found and not bubble.spent else None
        return None

    def as_json(self) -> dict[str, Any]:
        """Return the phone as JSON, with the quick replies that it shows as ``chips`` and their bubble as ``chips_of``."""
        replies = self.quick_replies()
        shown = {"chips": [asdict(choice) for choice in replies[1]], "chips_of": replies[0].id} if replies else {}
        return asdict(self) | {"chips": [], "chips_of": ""} | shown


def _chips(bubble: Bubble) -> tuple[Choice, ...]:
    return tuple(
        choice
        for block in bubble.blocks
        if block.kind == "buttons" and block.style == "chips"
        for choice in block.choices
    )
