"""What a phone shows, as data: the contract between the emulators and the page.

An emulator turns each platform payload that it accepted into a :class:`Bubble`. The page draws bubbles and knows
nothing of platforms beyond their look. ``as_json`` is what ``GET /sandbox/phones`` and the event stream carry.
"""

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
    """Something to press. *payload* is what the platform would send back; "" for a link, whose *url* opens."""

    title: str
    payload: str = ""
    url: str = ""
    description: str = ""


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
    is the request as it arrived, secrets left out. *at* is RFC 3339. *quoted* is the id of the bubble that is answered and
    *quoted_words* how that one begins; *held* is true while it waits at the platform for a phone that is offline.
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


@dataclass(frozen=True, slots=True)
class RefusedCall:
    """A call by which nothing reached a phone, since the platform refused it.

    *at* is RFC 3339, *method* the HTTP method and the end of the path, *status* the HTTP status, *words* what the platform
    says in the answer, *to* the recipient as the call names it, *fault* the member of a profile that struck, "" for none.
    """

    at: str
    method: str
    status: int
    words: str
    to: str
    fault: str = ""


@dataclass(slots=True)
class Phone:
    """One person's phone with one platform's app open on the chat with the business.

    *refused* are the newest calls that the platform refused, oldest first: what the sender learned of messages that are on
    no phone.
    """

    channel: str
    person: str
    address: str
    business: str
    online: bool = True
    chat_open: bool = True
    bubbles: list[Bubble] = field(default_factory=list)
    refused: list[RefusedCall] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the phone as JSON."""
        return asdict(self)
