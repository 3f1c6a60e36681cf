"""What a message becomes on Messenger: the ``message`` objects of its calls, and what is lost on the way.

A message is text or an attachment, never both, so a caption is a second message. There is no list: up to three buttons
stand in a template, up to thirteen choices become quick replies under the text (they vanish with the next message),
more become carousels of cards. Sources: Meta's pages "Send API reference", "Button template", "Generic template",
"Quick replies" and "Attachment upload" of the Messenger platform.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from kurir.channels.base import Choice, JsonObject, Labels, Upload
from kurir.channels.keys import Keys
from kurir.channels.text import fit, one_line, split, tail, utf16
from kurir.domain.message import Footer, HeaderType, ListAction, ListSection, Message, MessageType
from kurir.domain.problem import Loss, pointer

TEXT_LIMIT: Final = 2000
TEMPLATE_TEXT_LIMIT: Final = 640
TEMPLATE_BUTTONS: Final = 3
BUTTON_TITLE_LIMIT: Final = 20
PAYLOAD_LIMIT: Final = 1000
CARDS: Final = 10
CARD_LINE_LIMIT: Final = 80
QUICK_REPLIES: Final = 13

_ATTACHMENTS: Final = {
    MessageType.IMAGE: "image",
    MessageType.VIDEO: "video",
    MessageType.AUDIO: "audio",
    MessageType.VOICE: "audio",
    MessageType.DOCUMENT: "file",
}
_HEADER_ATTACHMENTS: Final = {HeaderType.IMAGE: "image", HeaderType.VIDEO: "video", HeaderType.DOCUMENT: "file"}


@dataclass(frozen=True, slots=True)
class Part:
    """The ``message`` of one call. ``file`` is set for an attachment: how it would be uploaded instead."""

    message: JsonObject
    file: Upload | None = None


@dataclass(slots=True)
class Draft:
    """What one rendering gathers: the one mutable value here, made and used up within one call of ``render``."""

    message: Message
    labels: Labels
    keys: Keys
    parts: list[Part] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)

    def lose(self, at: str, kind: str, detail: str) -> None:
        """Note a loss of what *at* points to."""
        self.losses.append(Loss(at, kind, detail))

    def text(self, text: str) -> None:
        """Add a message of text."""
        self.parts.append(Part({"text": text}))

    def file(self, kind: str, url: str, name: str = "") -> None:
        """Add an attachment by URL."""
        attachment = {"type": kind, "payload": {"url": url}}
        upload = Upload("filedata", url, name or file_name(url) or kind)
        self.parts.append(Part({"attachment": attachment}, upload))

    def template(self, payload: JsonObject) -> None:
        """Add a template."""
        self.parts.append(Part({"attachment": {"type": "template", "payload": payload}}))


def write(draft: Draft) -> None:
    """Write the message of *draft* into its parts, in the order in which they are sent."""
    _WRITERS[draft.message.type](draft)


# --- One writer a type ------------------------------------------------------------------------------------------------


def _write_text(draft: Draft) -> None:
    pieces = split(draft.message.text, TEXT_LIMIT)
    for piece in pieces:
        draft.text(piece)
    if len(pieces) > 1:
        draft.lose(
            "/body/text", "text_split", f"more than {TEXT_LIMIT} characters: it is sent as {len(pieces)} messages"
        )


def _write_media(draft: Draft) -> None:
    media = draft.message.media
    if media is None:
        return
    kind = _ATTACHMENTS[draft.message.type]
    draft.file(kind, media.url, media.name)
    # The name under a file is that of its URL; the other kinds show none ("Send a message", attachments by URL).
    shown = file_name(media.url)
    if kind == "file" and media.name and media.name != shown:
        detail = f"Messenger shows the file name of the URL («{shown}»): name the file so on the server"
        draft.lose("/body/media/name", "media_name_ignored", detail)
    if draft.message.text:
        _write_text(draft)


def _write_location(draft: Draft) -> None:
    place = draft.message.location
    if place is None:
        return
    latitude, longitude = _degrees(place.latitude), _degrees(place.longitude)
    url = draft.labels.map_url.replace("{latitude}", latitude).replace("{longitude}", longitude)
    button = {"type": "web_url", "title": fit(draft.labels.open_map, BUTTON_TITLE_LIMIT), "url": url}
    words = draft.message.text or f"📍 {latitude}, {longitude}"
    draft.template({"template_type": "button", "text": _lead(draft, words), "buttons": [button]})


def _write_buttons(draft: Draft) -> None:
    count = len(draft.message.buttons)
    if count <= TEMPLATE_BUTTONS and _write_card(draft):
        return
    _write_header_file(draft)
    words = _words(draft)
    if count <= TEMPLATE_BUTTONS:
        draft.template({"template_type": "button", "text": _lead(draft, words), "buttons": _postbacks(draft)})
    elif count <= QUICK_REPLIES:
        choices = [
            (button.key, button.title, ("body", "button", at)) for at, button in enumerate(draft.message.buttons)
        ]
        _write_quick_replies(draft, words, choices)
        detail = f"{count} buttons are shown as quick replies, which disappear with the next message"
        draft.lose("/body/button", "buttons_as_quick_replies", detail)
    else:
        _write_long_text(draft, words)
        _write_carousels(draft, _cards_of_three(draft))
        detail = f"{count} buttons are shown on cards of {TEMPLATE_BUTTONS} to leaf through"
        draft.lose("/body/button", "buttons_as_carousel", detail)


def _write_card(draft: Draft) -> bool:
    """Write the message as one card where it fits: an image above one line of text, a footer of one line at most."""
    header, text = draft.message.header, draft.message.text
    footer = " · ".join(_footer_lines(draft.message.footer))
    lines = [line for line in (text, footer) if line]
    if header is None or header.type is not HeaderType.IMAGE or not text:
        return False
    if any(utf16(line) > CARD_LINE_LIMIT or len(line.splitlines()) > 1 for line in lines):
        return False
    card: JsonObject = {"title": text, "image_url": header.media_url, "buttons": _postbacks(draft)}
    if footer:
        card["subtitle"] = footer
    draft.template({"template_type": "generic", "elements": [card]})
    return True


def _write_list(draft: Draft) -> None:
    if draft.message.list is None:
        return
    sections = draft.message.list.sections
    rows = list(_rows(sections))
    few = len(sections) == 1 and len(rows) <= QUICK_REPLIES
    _write_header_file(draft)
    words = _words(draft)
    if few and all(not row.description.strip() and _fits_button(row.title) for _, row, _ in rows):
        _write_quick_replies(draft, words, [(row.key, row.title, at) for _, row, at in rows])
        detail = "the rows are shown as quick replies, which disappear with the next message"
        draft.lose("/body/list", "list_as_quick_replies", detail)
    else:
        _write_long_text(draft, words)
        _write_carousels(draft, [_row_card(draft, section, row, at) for section, row, at in rows])
        draft.lose("/body/list", "list_as_carousel", "the rows are shown as cards to leaf through")


_WRITERS: Final[Mapping[MessageType, Callable[[Draft], None]]] = {
    MessageType.TEXT: _write_text,
    **dict.fromkeys(_ATTACHMENTS, _write_media),
    MessageType.LOCATION: _write_location,
    MessageType.BUTTON: _write_buttons,
    MessageType.LIST: _write_list,
}


# --- Words ------------------------------------------------------------------------------------------------------------


def _words(draft: Draft) -> str:
    """Return all the words of a button or list message: header, body, sections, footer, a blank line between them."""
    message = draft.message
    paragraphs = [message.header.text if message.header else "", message.text]
    if message.list:
        if not message.text:
            paragraphs.append(message.list.title)
        paragraphs.append("\n".join(_section_lines(message.list.sections)))
    paragraphs.append("\n".join(_footer_lines(message.footer)))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph.strip())


def _section_lines(sections: tuple[ListSection, ...]) -> Iterator[str]:
    """Yield ``Title — Description`` of the sections; of several, only where the cards do not say it all."""
    for section in sections:
        names = [one_line(name) for name in (section.title, section.description) if name.strip()]
        if names and (len(sections) == 1 or section.description.strip()):
            yield " — ".join(names)


def _footer_lines(footer: Footer | None) -> list[str]:
    return [line for line in (footer.title, footer.text) if line.strip()] if footer else []


def _lead(draft: Draft, words: str) -> str:
    """Return the words of a button template; what is too long for it goes ahead as text."""
    return _ahead(draft, *tail(words, TEMPLATE_TEXT_LIMIT, TEXT_LIMIT))


def _write_long_text(draft: Draft, words: str) -> None:
    draft.text(_last_piece(draft, words))


def _last_piece(draft: Draft, words: str) -> str:
    *leading, last = split(words, TEXT_LIMIT)
    return _ahead(draft, leading, last)


def _ahead(draft: Draft, leading: list[str], last: str) -> str:
    for piece in leading:
        draft.text(piece)
    if leading:
        detail = f"the words are too long for one message: {len(leading)} of text go ahead"
        draft.lose("/body/text", "body_split", detail)
    return last


def _write_header_file(draft: Draft) -> None:
    header = draft.message.header
    if header is None or header.type not in _HEADER_ATTACHMENTS:
        return
    draft.file(_HEADER_ATTACHMENTS[header.type], header.media_url)
    draft.lose("/header", "header_sent_separately", f"the {header.type} of the header goes ahead as its own message")


# --- Choices ----------------------------------------------------------------------------------------------------------

#: Where something stands in the request body.
_Place = tuple[str | int, ...]


def _postbacks(draft: Draft, first: int = 0, last: int | None = None) -> list[JsonObject]:
    """Return the buttons from *first* up to *last* of the message as template buttons."""
    return [
        {
            "type": "postback",
            "title": _shortened(draft, button.title, BUTTON_TITLE_LIMIT, "title", ("body", "button", at)),
            "payload": draft.keys.field(button.key),
        }
        for at, button in enumerate(draft.message.buttons[first:last], first)
    ]


def _write_quick_replies(draft: Draft, words: str, choices: Iterable[tuple[str, str, _Place]]) -> None:
    """Write *choices* (key, title, place) under the last piece of *words*: only the last message shows them."""
    text = _last_piece(draft, words)
    replies = []
    for key, title, place in choices:
        shown = _shortened(draft, title, BUTTON_TITLE_LIMIT, "title", place)
        replies.append({"content_type": "text", "title": shown, "payload": draft.keys.field(key)})
        draft.choices.append(Choice(shown, key))
    draft.parts.append(Part({"text": text, "quick_replies": replies}))


def _write_carousels(draft: Draft, cards: list[JsonObject]) -> None:
    for first in range(0, len(cards), CARDS):
        draft.template({"template_type": "generic", "elements": cards[first : first + CARDS]})


def _cards_of_three(draft: Draft) -> list[JsonObject]:
    count = len(draft.message.buttons)
    return [
        {
            "title": _span(draft.labels.options, first + 1, min(first + TEMPLATE_BUTTONS, count)),
            "buttons": _postbacks(draft, first, first + TEMPLATE_BUTTONS),
        }
        for first in range(0, count, TEMPLATE_BUTTONS)
    ]


def _span(label: str, first: int, last: int) -> str:
    """Return the title of a card of options: ``Options 1–3``, and ``Options 31`` where there is but one."""
    if first == last:
        label = re.sub(r"\{first\}.*\{last\}", "{first}", label)
    return fit(label.replace("{first}", str(first)).replace("{last}", str(last)), CARD_LINE_LIMIT)


def _row_card(draft: Draft, section: ListSection, row: ListAction, at: _Place) -> JsonObject:
    """Return a list's row as a card. The card shows up to 80 of its title, so the button's may be cut without loss."""
    card: JsonObject = {
        "title": _shortened(draft, row.title, CARD_LINE_LIMIT, "title", at),
        "buttons": [
            {
                "type": "postback",
                "title": fit(row.title, BUTTON_TITLE_LIMIT),
                "payload": draft.keys.field(row.key),
            }
        ],
    }
    several = draft.message.list is not None and len(draft.message.list.sections) > 1
    name = section.title if several and section.title.strip() else ""
    subtitle = " · ".join(words for words in (name, row.description) if words.strip())
    if subtitle and row.description.strip():
        card["subtitle"] = _shortened(draft, subtitle, CARD_LINE_LIMIT, "description", at)
    elif subtitle:
        card["subtitle"] = _shortened(draft, subtitle, CARD_LINE_LIMIT, "title", at[:-2])
    return card


def _rows(sections: tuple[ListSection, ...]) -> Iterator[tuple[ListSection, ListAction, _Place]]:
    """Yield every row of a list with its section and its place in the body."""
    for number, section in enumerate(sections):
        for at, row in enumerate(section.actions):
            yield section, row, ("body", "list", "sections", number, "actions", at)


def _fits_button(title: str) -> bool:
    return utf16(one_line(title)) <= BUTTON_TITLE_LIMIT


def _shortened(draft: Draft, text: str, maximum: int, name: str, owner: _Place) -> str:
    """Return *text* on one line of at most *maximum*; a cut is noted as a loss of the field *name* of *owner*."""
    if utf16(one_line(text)) > maximum:
        detail = f"Messenger shows at most {maximum} characters here: it is cut"
        draft.lose(pointer(*owner, name), f"{name}_truncated", detail)
    return fit(text, maximum)


def file_name(url: str) -> str:
    """Return the file name at the end of *url*, percent-decoded; "" where it has none."""
    path = url.partition("://")[2].partition("#")[0].partition("?")[0]
    return unquote(path.rpartition("/")[2]) if "/" in path else ""


def _degrees(value: float) -> str:
    """Return *value* with at most six decimals (11 cm), without trailing zeros: ``0``, ``-6.2``."""
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
