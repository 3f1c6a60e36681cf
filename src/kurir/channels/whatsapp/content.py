"""What a WhatsApp message is made of: each part's JSON, within Meta's limits, and what was lost on the way.

Source: Meta's pages "Text, image, video, audio, document, location messages", "Interactive reply buttons", "Interactive
lists" and "Supported media types" (read 2026-09-11 to 2026-11-20). What WhatsApp has no field for becomes the nearest
thing that a person would recognise: more than three buttons a list, more than ten rows several lists, a caption that is
too long a text after the file, a key that is too long a token.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from kurir.channels import text
from kurir.channels.base import Facts, JsonObject, Token
from kurir.channels.keys import Keys
from kurir.domain.message import Header, HeaderType, Message, MessageType
from kurir.domain.problem import Loss, pointer

TEXT: Final = 4096
CAPTION: Final = 1024
BODY: Final = 1024
HEADER: Final = 60
FOOTER: Final = 60
BUTTONS: Final = 3
BUTTON_TITLE: Final = 20
BUTTON_ID: Final = 256
LABEL: Final = 20
SECTIONS: Final = 10
SECTION_TITLE: Final = 24
ROWS: Final = 10
ROW_TITLE: Final = 24
ROW_DESCRIPTION: Final = 72
ROW_ID: Final = 200
PLACE_NAME: Final = 100

#: What WhatsApp shows, by extension of the URL ("Supported media types"). A document may be anything.
SHOWN: Final[Mapping[str, frozenset[str]]] = {
    "image": frozenset({"jpg", "jpeg", "jpe", "jfif", "png"}),
    "video": frozenset({"mp4", "3gp", "3gpp"}),
    "audio": frozenset({"aac", "amr", "mp3", "mpga", "m4a", "mp4", "ogg", "oga", "opus"}),
}
#: Extensions that tell a file's kind. Any other (``.php``, none at all) tells nothing, and the file is tried.
TELLING: Final = frozenset.union(
    *SHOWN.values(),
    ("gif", "webp", "heic", "heif", "svg", "bmp", "tif", "tiff", "avif", "ico"),
    ("mov", "avi", "mkv", "webm", "wmv", "flv", "mpeg", "mpg", "ogv", "wav", "flac", "aiff", "aif", "wma", "mid"),
    ("pdf", "txt", "csv", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "zip"),
)
_VOICE: Final = frozenset({"ogg", "oga", "opus"})
_VOICE_TYPES: Final = frozenset({"audio/ogg", "audio/opus", "application/ogg"})

_EXTENSION: Final = re.compile(r"\.([0-9]*[A-Za-z][A-Za-z0-9]{0,7})$")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f/\\]")


class Draft:
    """The parts of one message while they are written: each content is the JSON that its call adds to the envelope."""

    def __init__(self, message: Message, client_id: str, facts: Facts) -> None:
        self.message = message
        self.client_id = client_id
        self.facts = facts
        self.contents: list[JsonObject] = []
        self.losses: list[Loss] = []
        self.tokens: list[Token] = []

    def add(self, kind: str, content: JsonObject) -> None:
        """Add a part of the platform's type *kind*."""
        self.contents.append({"type": kind, kind: content})

    def lose(self, at: str, kind: str, detail: str) -> None:
        """Note a loss."""
        self.losses.append(Loss(at, kind, detail))

    def texts(self, pieces: Sequence[str]) -> None:
        """Add a text message for each piece; one with a link asks for its preview."""
        for piece in pieces:
            self.add("text", {"preview_url": "http://" in piece or "https://" in piece, "body": piece})

    def fitted(self, words: str, maximum: int, at: str, loss: str) -> str:
        """Return *words* on one line of at most *maximum*; a cut is a loss of the kind *loss*."""
        line = text.fit(words, maximum)
        if line != text.one_line(words):
            shown = f"WhatsApp shows at most {maximum} characters here, so it is cut to «{line}»"
            self.lose(at, loss, shown)
        return line


# --- Text, files, places ----------------------------------------------------------------------------------------------


def _write_text(draft: Draft) -> None:
    _write_words(draft, draft.message.text)


def _write_words(draft: Draft, words: str) -> None:
    pieces = text.split(words, TEXT)
    if len(pieces) > 1:
        detail = f"body.text is longer than {TEXT} characters, WhatsApp's limit: it is sent as {len(pieces)} messages"
        draft.lose("/body/text", "text_split", detail)
    draft.texts(pieces)


def _write_captioned(draft: Draft) -> None:
    """Write an image, video or document; words that are no caption for their length follow as text."""
    message = draft.message
    kind, url = message.type.value, message.media.url if message.media else ""
    content: JsonObject = {"link": link(url)}
    if message.type is MessageType.DOCUMENT:
        content |= _named(file_name(url, message.media.name if message.media else ""))
    captioned = bool(message.text) and text.utf16(message.text) <= CAPTION
    if captioned:
        content["caption"] = message.text
    draft.add(kind, content)
    if message.text and not captioned:
        _write_words(draft, message.text)


def _write_audio(draft: Draft) -> None:
    """Write audio, or a voice message where the file can be one; audio has no caption, so words follow as text."""
    message = draft.message
    url = message.media.url if message.media else ""
    content: JsonObject = {"link": link(url)}
    if message.type is MessageType.VOICE:
        if _is_voice(draft.facts, url):
            content["voice"] = True
        else:
            detail = "WhatsApp shows only OGG files with Opus as voice messages: it is sent as plain audio"
            draft.lose("/body/media/url", "voice_sent_as_audio", detail)
    draft.add("audio", content)
    if message.text:
        _write_words(draft, message.text)


def _write_location(draft: Draft) -> None:
    message = draft.message
    if message.location is None:
        return
    content: JsonObject = {"latitude": message.location.latitude, "longitude": message.location.longitude}
    if message.text and text.utf16(message.text) <= PLACE_NAME:
        content["name"] = message.text
    elif message.text:
        _write_words(draft, message.text)
    draft.add("location", content)


def link(url: str) -> str:
    """Return *url* with its scheme in lower case, as clients of the API write it."""
    scheme, separator, rest = url.partition("://")
    return scheme.lower() + separator + rest


def _is_voice(facts: Facts, url: str) -> bool:
    extension = extension_of(url)
    if extension in TELLING:
        return extension in _VOICE
    known = facts.media.get(url)
    return known is not None and known.content_type.partition(";")[0].strip().lower() in _VOICE_TYPES


def _last_segment(url: str) -> str:
    """Return the last segment of the URL's path, percent-decoded. By hand, since urlsplit raises for a bad host."""
    path = re.split(r"[?#]", url, maxsplit=1)[0].partition("://")[2].partition("/")[2]
    return _UNPRINTABLE.sub("", unquote(path.rpartition("/")[2])).strip()


def extension_of(url: str) -> str:
    """Return the extension of the file that *url* names, in lower case; "" when it has none."""
    found = _EXTENSION.search(_last_segment(url))
    return found.group(1).lower() if found else ""


def file_name(url: str, name: str) -> str:
    """Return the name that a document is shown with: the client's, with the URL's extension where it has none."""
    segment = _last_segment(url)
    if not name:
        return segment
    extension = _EXTENSION.search(segment)
    return name if extension is None or _EXTENSION.search(name) else name + extension.group()


def _named(name: str) -> JsonObject:
    return {"filename": name} if name else {}


# --- Buttons and lists ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a list message, from a button or from a list's action. ``at`` points to what it comes from."""

    key: str
    title: str
    description: str
    at: str


@dataclass(frozen=True, slots=True)
class _Section:
    """A section of a list message; ``title`` is already shown as it shall be, "" for none."""

    title: str
    rows: tuple[_Row, ...]


def _write_buttons(draft: Draft) -> None:
    message = draft.message
    words, at, header = _words(message)
    if len(message.buttons) > BUTTONS:
        detail = f"WhatsApp has at most {BUTTONS} buttons: the {len(message.buttons)} are shown as a list to open"
        draft.lose("/body/button", "buttons_as_list", detail)
        rows = tuple(
            _Row(button.key, button.title, "", pointer("body", "button", index))
            for index, button in enumerate(message.buttons)
        )
        header = _sent_before(draft, header)
        body = _body(draft, words, at)
        _add_lists(draft, body, header, text.fit(draft.facts.labels.menu, LABEL), [_Section("", rows)], "/body/button")
        return
    body = _body(draft, words, at)
    keys = Keys(draft.client_id, length=text.utf16, limit=BUTTON_ID, unique=True, strips=True)
    titles: set[str] = set()
    buttons = [
        {
            "type": "reply",
            "reply": {
                "id": keys.field(button.key),
                "title": _unique_title(draft, button.title, titles, pointer("body", "button", index, "title")),
            },
        }
        for index, button in enumerate(message.buttons)
    ]
    draft.tokens += keys.tokens()
    interactive: JsonObject = {"type": "button", "body": {"text": body}, "action": {"buttons": buttons}}
    draft.add("interactive", interactive | _header(draft, header) | _footer(draft))


def _write_list(draft: Draft) -> None:
    message = draft.message
    if message.list is None:
        return
    words, at, header = _words(message)
    sections, lines = [], []
    for index, section in enumerate(message.list.sections):
        place = pointer("body", "list", "sections", index)
        title = section.title
        if not title.strip():
            # A title is compulsory as soon as there is more than one section ("Interactive lists").
            title = str(index + 1) if len(message.list.sections) > 1 else ""
        if section.description.strip():
            named = [text.one_line(part) for part in (title, section.description) if part]
            lines.append(" — ".join(named))
            detail = "WhatsApp's sections have no description: it stands below the message's text"
            draft.lose(place + "/description", "section_description_in_body", detail)
        rows = tuple(
            _Row(action.key, action.title, action.description, f"{place}/actions/{number}")
            for number, action in enumerate(section.actions)
        )
        sections.append(_Section(draft.fitted(title, SECTION_TITLE, place + "/title", "title_truncated"), rows))
    header = _sent_before(draft, header)
    body = _body(draft, "\n\n".join((words, "\n".join(lines))) if lines else words, at)
    if message.list.title.strip():
        label = draft.fitted(message.list.title, LABEL, "/body/list/title", "label_truncated")
    else:
        label = text.fit(draft.facts.labels.menu, LABEL)
    _add_lists(draft, body, header, label, sections, "/body/list/sections")


def _words(message: Message) -> tuple[str, str, Header | None]:
    """Return the words of a choice, where they stand, and the header that is left.

    A text header that serves as the words is no header any more; a list's title may be words and label both.
    """
    header = message.header
    if message.text:
        return message.text, "/body/text", header
    if header is not None and header.type is HeaderType.TEXT:
        return header.text, "/header/text", None
    return message.list.title if message.list else "", "/body/list/title", header


def _body(draft: Draft, words: str, at: str) -> str:
    """Return the body of the interactive message; what does not fit into it goes before it as plain text."""
    before, last = text.tail(words, BODY, TEXT)
    if before:
        detail = f"WhatsApp takes {BODY} characters beside a choice: the beginning is sent as text before it"
        draft.lose(at, "body_split", detail)
        draft.texts(before)
    return last


def _sent_before(draft: Draft, header: Header | None) -> Header | None:
    """Send a header that is a file before the list, which takes text headers only; return the header that is left."""
    if header is None or header.type is HeaderType.TEXT:
        return header
    kind = header.type.value
    draft.add(kind, _header_file(header))
    detail = f"WhatsApp's lists take text headers only: the {kind} is sent before the list"
    draft.lose("/header/media_url", "header_sent_separately", detail)
    return None


def _header(draft: Draft, header: Header | None) -> JsonObject:
    if header is None:
        return {}
    kind = header.type.value
    if header.type is HeaderType.TEXT:
        return {"header": {"type": kind, kind: draft.fitted(header.text, HEADER, "/header/text", "header_truncated")}}
    return {"header": {"type": kind, kind: _header_file(header)}}


def _header_file(header: Header) -> JsonObject:
    named = _named(file_name(header.media_url, "")) if header.type is HeaderType.DOCUMENT else {}
    return {"link": link(header.media_url), **named}


def _footer(draft: Draft) -> JsonObject:
    footer = draft.message.footer
    if footer is None:
        return {}
    joined = " · ".join(part for part in (footer.title, footer.text) if part)
    return {"footer": {"text": draft.fitted(joined, FOOTER, "/footer", "footer_truncated")}}


def _unique_title(draft: Draft, title: str, taken: set[str], at: str) -> str:
    """Return the title cut to a button's limit, and told apart from those *taken*: Meta refuses equal ones."""
    cut = unique = draft.fitted(title, BUTTON_TITLE, at, "title_truncated")
    number = 1
    while unique in taken:
        number += 1
        suffix = f" {number}"
        unique = text.prefix(cut, BUTTON_TITLE - len(suffix)).rstrip() + suffix
    if number > 1:
        detail = f"WhatsApp refuses equal titles in one message: it is shown as «{unique}»"
        draft.lose(at, "title_deduplicated", detail)
    taken.add(unique)
    return unique


def _add_lists(
    draft: Draft, body: str, header: Header | None, label: str, sections: Sequence[_Section], at: str
) -> None:
    """Add list messages of at most ten rows: the header on the first, the footer on the last."""
    portions = list(_portions(sections))
    if len(portions) > 1:
        detail = f"WhatsApp's lists have at most {ROWS} rows: it is sent as {len(portions)} lists"
        draft.lose(at, "list_split", detail)
    for number, portion in enumerate(portions, 1):
        keys = Keys(draft.client_id, length=text.utf16, limit=ROW_ID, unique=True, strips=True)
        action = {"button": label, "sections": [_section(draft, keys, section) for section in portion]}
        words = body if number == 1 else f"({number}/{len(portions)})"
        interactive: JsonObject = {"type": "list", "body": {"text": words}, "action": action}
        if number == 1:
            interactive |= _header(draft, header)
        if number == len(portions):
            interactive |= _footer(draft)
        draft.tokens += [token for token in keys.tokens() if token not in draft.tokens]
        draft.add("interactive", interactive)


def _portions(sections: Sequence[_Section]) -> Iterator[list[_Section]]:
    """Cut sections into portions of at most ten rows, in order; a section cut in two keeps its title."""
    portion: list[_Section] = []
    room = ROWS
    for section in sections:
        rows = section.rows
        while rows:
            portion.append(_Section(section.title, rows[:room]))
            taken = len(portion[-1].rows)
            rows, room = rows[taken:], room - taken
            if room == 0:
                yield portion
                portion, room = [], ROWS
    if portion:
        yield portion


def _section(draft: Draft, keys: Keys, section: _Section) -> JsonObject:
    rows = [_row(draft, keys, row) for row in section.rows]
    return {"title": section.title, "rows": rows} if section.title else {"rows": rows}


def _row(draft: Draft, keys: Keys, row: _Row) -> JsonObject:
    """Return a row; a title that was cut stands whole in the description where that is free."""
    shown: JsonObject = {"id": keys.field(row.key)}
    shown["title"] = draft.fitted(row.title, ROW_TITLE, row.at + "/title", "title_truncated")
    if row.description.strip():
        shown["description"] = draft.fitted(
            row.description, ROW_DESCRIPTION, row.at + "/description", "description_truncated"
        )
    elif shown["title"] != text.one_line(row.title):
        shown["description"] = text.fit(row.title, ROW_DESCRIPTION)
    return shown


WRITERS: Final[Mapping[MessageType, Callable[[Draft], None]]] = {
    MessageType.TEXT: _write_text,
    MessageType.IMAGE: _write_captioned,
    MessageType.VIDEO: _write_captioned,
    MessageType.DOCUMENT: _write_captioned,
    MessageType.AUDIO: _write_audio,
    MessageType.VOICE: _write_audio,
    MessageType.LOCATION: _write_location,
    MessageType.BUTTON: _write_buttons,
    MessageType.LIST: _write_list,
}
