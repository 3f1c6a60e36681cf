"""LINE message objects from a message: which of LINE's kinds shows it best, and what is lost by that. Pure.

The mapping, by the page "Messaging API reference", section "Message objects": text is text; image, video and audio are
native where LINE shows the kind of file; documents, which a bot cannot send, are a card that opens them; captions do
not exist and follow as text. Buttons are a template where they fit its small fields, else a Flex card, which a very old
client shows as its alternative text only; a list is a Flex card for each section. Quick replies are no buttons: they
vanish with the next message. What does not fit inside a card goes before or after it as text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from kurir.channels.base import Facts, JsonObject
from kurir.channels.keys import Keys
from kurir.channels.line import flex as line_flex
from kurir.channels.line import urls as line_urls
from kurir.channels.text import fit, graphemes, one_line, split, utf16
from kurir.domain.account import LineSettings
from kurir.domain.message import Footer, HeaderType, ListBody, Location, Media, Message, MessageType
from kurir.domain.problem import Loss, pointer

TEXT: Final = 5000
ALTERNATIVE: Final = 400
KEY: Final = 300
SHOWN_WHEN_PRESSED: Final = 300
URL: Final = 2000
LINK: Final = 1000
PLACE: Final = 100
TEMPLATE_BUTTONS: Final = 4
TEMPLATE_LABEL: Final = 20
TEMPLATE_TITLE: Final = 40
TEMPLATE_TEXT: Final = 160
TEMPLATE_TEXT_BESIDE: Final = 60
#: Ours, so that a card stays within its bytes: a longer name is cut, a longer header or footer is a text of its own.
CARD_LINE: Final = 1000


@dataclass(slots=True)
class Draft:
    """A message in the making: what is known from outside, and the losses and tokens that come up on the way."""

    settings: LineSettings
    facts: Facts
    keys: Keys
    losses: list[Loss] = field(default_factory=list)

    @classmethod
    def of(cls, client_id: str, settings: LineSettings, facts: Facts) -> "Draft":
        """Return an empty draft of a message of *client_id*."""
        return cls(settings, facts, Keys(client_id, length=utf16, limit=KEY))

    def lose(self, at: str, kind: str, detail: str) -> None:
        """Report one loss."""
        self.losses.append(Loss(at, kind, detail))


def build(message: Message, draft: Draft) -> list[JsonObject]:
    """Return the LINE messages that show *message*, in order: at least one, perhaps more than a call takes."""
    if message.media is not None:
        return _media(message, message.media, draft)
    if message.location is not None:
        return [_location(message.text, message.location, draft)]
    if message.list is not None:
        return _list(message, message.list, draft)
    if message.buttons:
        return _button(message, draft)
    return _texts(message.text, "/body/text", draft)


def _texts(text: str, at: str, draft: Draft) -> list[JsonObject]:
    pieces = split(text, TEXT)
    if len(pieces) > 1:
        detail = f"{at[1:].replace('/', '.')} is longer than LINE's {TEXT}: it is sent as {len(pieces)} texts"
        draft.lose(at, "text_split", detail)
    return [{"type": "text", "text": piece} for piece in pieces]


# --- Files ------------------------------------------------------------------------------------------------------------


def _media(message: Message, media: Media, draft: Draft) -> list[JsonObject]:
    shown = _file(message.type, media, "/body/media/url", draft)
    if not message.text:
        return [shown]
    draft.lose("/body/text", "caption_sent_as_text", "LINE has no captions: body.text follows as a text of its own")
    return [shown, *_texts(message.text, "/body/text", draft)]


def _file(kind: MessageType, media: Media, at: str, draft: Draft) -> JsonObject:
    """Return the message that shows a file, or else opens it."""
    if kind is MessageType.DOCUMENT:
        return _link(media, at, "LINE bots cannot send files", draft)
    if not line_urls.shows(kind, media.url, draft.facts.media.get(media.url)):
        known = " and ".join(sorted(line_urls.EXTENSIONS[kind]))
        return _link(media, at, f"of {kind} files LINE shows {known} only", draft)
    preview = _preview_image(draft.settings)
    if kind is MessageType.VIDEO and not preview:
        return _link(media, at, "LINE wants a preview image with a video, and the account has none", draft)
    if media.name:
        draft.lose("/body/media/name", "media_name_ignored", f"LINE shows no name beside {kind} files")
    url = _encoded(media.url)
    if kind is MessageType.VIDEO:
        return {"type": "video", "originalContentUrl": url, "previewImageUrl": preview}
    if kind is MessageType.IMAGE:
        # LINE asks for a preview of at most 1 MB. The image itself is the only one there is.
        return {"type": "image", "originalContentUrl": url, "previewImageUrl": url}
    return {"type": "audio", "originalContentUrl": url, "duration": _duration(media.url, draft)}


def _duration(url: str, draft: Draft) -> int:
    facts = draft.facts.media.get(url)
    return max(1, (facts.duration_ms if facts else None) or draft.settings.default_audio_duration_ms)


def _link(media: Media, at: str, why: str, draft: Draft) -> JsonObject:
    """Return a card that opens the file; name and URL as text where a button cannot hold the URL."""
    draft.lose(at, "transcoded_to_link", f"{why}: the file is sent as a link to open")
    name = one_line(media.name) or one_line(line_urls.file_name(media.url))
    shown = fit(name, CARD_LINE)
    if media.name and shown != name:
        draft.lose("/body/media/name", "title_truncated", f"body.media.name is cut at {CARD_LINE} characters")
    url = _encoded(media.url)
    if len(url) > LINK:
        return {"type": "text", "text": f"{shown}\n{url}"}
    return line_flex.message(fit(name, ALTERNATIVE), line_flex.link_card(shown, url, draft.facts.labels.open))


def _encoded(url: str) -> str:
    """Return *url* as LINE takes it; *url* has passed ``problems``."""
    return line_urls.encoded(url) or url


def _preview_image(settings: LineSettings) -> str:
    """Return the account's preview image for videos, "" where there is none that LINE would take."""
    url = settings.default_preview_image_url
    given = line_urls.encoded(url) if line_urls.is_https(url) else None
    return given if given and len(given) <= URL else ""


# --- Location ---------------------------------------------------------------------------------------------------------


def _location(text: str, place: Location, draft: Draft) -> JsonObject:
    title = one_line(text)
    shown = fit(title or draft.facts.labels.location, PLACE)
    if title and shown != title:
        detail = f"body.text is the title of the location, which has at most {PLACE} characters on LINE: it is cut"
        draft.lose("/body/text", "title_truncated", detail)
    return {
        "type": "location",
        "title": shown,
        "address": f"{_degrees(place.latitude)}, {_degrees(place.longitude)}",
        "latitude": place.latitude,
        "longitude": place.longitude,
    }


def _degrees(value: float) -> str:
    """Return degrees to the centimetre, without zeros at the end."""
    written = f"{value:.7f}".rstrip("0").rstrip(".")
    return "0" if written == "-0" else written


# --- Buttons and lists ------------------------------------------------------------------------------------------------


def _words(message: Message) -> tuple[str, str]:
    """Return what the person reads above the choices, and where it was given."""
    if message.text:
        return message.text, "/body/text"
    if message.list is not None and message.list.title.strip():
        return message.list.title, "/body/list/title"
    return (message.header.text if message.header else ""), "/header/text"


def _button(message: Message, draft: Draft) -> list[JsonObject]:
    words, at = _words(message)
    before, title, hero = _header(message, at, draft)
    *beginning, text = split(words, TEXT)
    if beginning:
        detail = f"the words are longer than {TEXT}: their beginning is sent before the card with the buttons"
        draft.lose(at, "body_split", detail)
        # The card comes after the beginning of the text, and a title inside it would too.
        before += [{"type": "text", "text": piece} for piece in ([title] if title else []) + beginning]
        title = ""
    footer, after = _footer(message, draft)
    actions = [
        _press(button.key, button.title, pointer("body", "button", index), draft)
        for index, button in enumerate(message.buttons)
    ]
    alternative = fit(words, ALTERNATIVE)
    if footer is None and _fits_template(actions, title, text, hero):
        card: JsonObject = {
            "type": "template",
            "altText": alternative,
            "template": _template(title, text, hero, actions),
        }
    else:
        contents = line_flex.choice_card(title=title, text=text, hero=hero, footer=footer, actions=actions)
        card = line_flex.message(alternative, contents)
    return [*before, card, *after]


def _fits_template(actions: Sequence[JsonObject], title: str, text: str, hero: str) -> bool:
    return (
        len(actions) <= TEMPLATE_BUTTONS
        and all(graphemes(action["label"]) <= TEMPLATE_LABEL for action in actions)
        and graphemes(title) <= TEMPLATE_TITLE
        and graphemes(text) <= (TEMPLATE_TEXT_BESIDE if title or hero else TEMPLATE_TEXT)
    )


def _template(title: str, text: str, hero: str, actions: list[JsonObject]) -> JsonObject:
    optional = {"thumbnailImageUrl": hero, "title": title}
    given = {name: value for name, value in optional.items() if value}
    return {"type": "buttons", **given, "text": text, "actions": actions}


def _press(key: str, title: str, at: str, draft: Draft) -> JsonObject:
    """Return the action of a button: the key comes back, and the whole title appears in the chat as the choice."""
    label = fit(title, line_flex.LABEL, graphemes)
    if label != one_line(title):
        detail = (
            f"a label has at most {line_flex.LABEL} characters on LINE: it reads «{label}»; "
            f"up to {SHOWN_WHEN_PRESSED} characters appear in the chat when it is pressed"
        )
        draft.lose(at + "/title", "title_truncated", detail)
    shown = title if graphemes(title) <= SHOWN_WHEN_PRESSED else fit(title, SHOWN_WHEN_PRESSED, graphemes)
    return {"type": "postback", "label": label, "data": draft.keys.field(key), "displayText": shown}


def _list(message: Message, listed: ListBody, draft: Draft) -> list[JsonObject]:
    draft.lose("/body/list", "list_as_flex", "LINE has no list to choose from: each section is a card with buttons")
    words, at = _words(message)
    if listed.title.strip() not in ("", words.strip()):
        detail = "LINE has no place for list.title beside body.text: it is left out"
        draft.lose("/body/list/title", "list_title_ignored", detail)
    before, title, _ = _header(message, at, draft)
    if title:
        draft.lose("/header/text", "header_in_body", "the header is the first paragraph of the text, not bold")
        words = f"{title}\n\n{words}"
    bubbles = section_cards(listed, draft)
    footer, after = _footer(message, draft)
    rows = line_flex.footer_rows(footer)
    if footer is not None and (len(bubbles) > 1 or line_flex.size([*bubbles, *rows]) > line_flex.BUBBLE_BYTES):
        rows, after = [], _separate_footer(footer, draft)
    bubbles[0]["body"]["contents"] += rows
    card = line_flex.message(fit(_words(message)[0], ALTERNATIVE), line_flex.carousel(bubbles))
    return [*before, *_texts(words, at, draft), card, *after]


def section_cards(listed: ListBody, draft: Draft) -> list[JsonObject]:
    """Return the card of each section of a list."""
    return [
        line_flex.section_card(
            section.title,
            section.description,
            [
                (
                    _press(row.key, row.title, pointer("body", "list", "sections", place, "actions", index), draft),
                    row.description,
                )
                for index, row in enumerate(section.actions)
            ],
        )
        for place, section in enumerate(listed.sections)
    ]


def _header(message: Message, words_at: str, draft: Draft) -> tuple[list[JsonObject], str, str]:
    """Return (messages that go first, title, hero image of the card); a header that served as the words is none."""
    header = message.header
    if header is None or (header.type is HeaderType.TEXT and words_at == "/header/text"):
        return [], "", ""
    if header.type is HeaderType.TEXT:
        if utf16(header.text) <= CARD_LINE:
            return [], header.text, ""
        detail = f"a header of more than {CARD_LINE} characters is sent as a text of its own"
        draft.lose("/header/text", "header_sent_separately", detail)
        return _texts(header.text, "/header/text", draft), "", ""
    kind = MessageType(header.type.value)
    # A list begins with its words: an image inside its first card would stand below them.
    inside = kind is MessageType.IMAGE and message.type is MessageType.BUTTON
    if inside and line_urls.shows(kind, header.media_url, draft.facts.media.get(header.media_url)):
        return [], "", _encoded(header.media_url)
    shown = _file(kind, Media(header.media_url), "/header/media_url", draft)
    draft.lose("/header", "header_sent_separately", f"the {kind} of the header is sent first, as a message of its own")
    return [shown], "", ""


def _footer(message: Message, draft: Draft) -> tuple[Footer | None, list[JsonObject]]:
    """Return (footer inside the card, messages that go last)."""
    footer = message.footer
    if footer is None or utf16(footer.title) + utf16(footer.text) <= CARD_LINE:
        return footer, []
    return None, _separate_footer(footer, draft)


def _separate_footer(footer: Footer, draft: Draft) -> list[JsonObject]:
    draft.lose("/footer", "footer_sent_separately", "the footer follows as a text of its own")
    return _texts("\n".join(filter(None, (footer.title, footer.text))), "/footer", draft)
