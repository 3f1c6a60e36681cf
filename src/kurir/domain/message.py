"""One message as the client asked for it, after decoding: empties are absent, aliases and placements unified.

The seed's request body becomes exactly one :class:`Message`. What the message's type does not use is not here; where
it was filled in, ``ignored`` says so.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from kurir.domain.problem import Loss
from kurir.quick import quick


class MessageType(StrEnum):
    """The seed's message types and the extension ``template``."""

    TEXT = "text"
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    VOICE = "voice"
    DOCUMENT = "document"
    BUTTON = "button"
    LIST = "list"
    LOCATION = "location"
    TEMPLATE = "template"


#: Types whose content is ``body.media``.
MEDIA_TYPES = frozenset(
    {MessageType.IMAGE, MessageType.VIDEO, MessageType.AUDIO, MessageType.VOICE, MessageType.DOCUMENT}
)

#: Types that may carry ``header`` and ``footer``.
CHOICE_TYPES = frozenset({MessageType.BUTTON, MessageType.LIST})


class Priority(StrEnum):
    """How urgent a message is among the others of its account."""

    HIGH = "high"
    NORMAL = "normal"
    BULK = "bulk"


class HeaderType(StrEnum):
    """What a header of a button or list message is made of."""

    TEXT = "text"
    IMAGE = "image"
    VIDEO = "video"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True)
class Media:
    """A file by URL. ``name`` is "" when the client gave none."""

    url: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Location:
    """A point in degrees, WGS 84: latitude within ±90, longitude within ±180."""

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Button:
    """A button: ``key`` comes back when it is pressed, ``title`` is what the person reads. Neither is blank."""

    key: str
    title: str


@dataclass(frozen=True, slots=True)
class ListAction:
    """A row of a list. ``description`` may be ""."""

    key: str
    title: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class ListSection:
    """A group of rows, at least one. ``title`` and ``description`` may be ""."""

    title: str
    description: str
    actions: tuple[ListAction, ...]


@dataclass(frozen=True, slots=True)
class ListBody:
    """A list to choose from, at least one section. ``title`` may be ""."""

    title: str
    sections: tuple[ListSection, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """What stands above a button or list message: ``text`` for the type text, else ``media_url``."""

    type: HeaderType
    text: str = ""
    media_url: str = ""


@dataclass(frozen=True, slots=True)
class Footer:
    """What stands below a button or list message. At least one of the two is not blank."""

    title: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """An approved WhatsApp template: its name, its language's code, and what goes into it.

    ``parameters`` is a JSON object as text: what the client gave, without members that are null, blank or empty. The
    channel reads it.
    """

    name: str
    language: str
    parameters: str = "{}"


@quick
@dataclass(frozen=True, slots=True)
class Message:
    """A message to send. Strings are untouched; a blank optional string is "".

    ``ignored`` names the filled-in parts of the request that the type does not use.
    """

    id: str
    channel: str
    recipient: str
    type: MessageType
    text: str = ""
    media: Media | None = None
    location: Location | None = None
    buttons: tuple[Button, ...] = ()
    list: ListBody | None = None
    header: Header | None = None
    footer: Footer | None = None
    template: Template | None = None
    reply_id: str = ""
    reply_token: str = ""
    account: str = ""
    priority: Priority = Priority.NORMAL
    strict: bool = False
    send_at: datetime | None = None
    expires_in_seconds: int | None = None
    fallback: Template | None = None
    ignored: tuple[Loss, ...] = field(default=())
