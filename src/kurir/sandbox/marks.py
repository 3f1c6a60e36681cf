"""Marked text: WhatsApp's ``*bold*`` markers, Telegram's entities and HTML, as spans over the text that is shown.

Offsets are UTF-16 code units throughout, as Telegram counts them and as a browser's strings do.
"""

import re
from collections.abc import Iterable
from html.parser import HTMLParser
from typing import Any

from kurir.sandbox.view import Span
from kurir.sandbox.wire import utf16

#: Marks within marks; there are three that nest, so more is somebody's joke.
MAX_DEPTH = 4

_WHATSAPP_STYLES = {"*": "bold", "_": "italic", "~": "strike", "`": "code"}

#: A marker opens at a word's beginning and closes at a word's end, within one line (three backticks: within the text).
_WHATSAPP_MARK = re.compile(
    r"(?s:```(?P<block>.+?)```)|(?<![\w*_~`])(?P<mark>[*_~`])(?P<inner>[^\s](?:[^\n]*?[^\s])?)(?P=mark)(?![\w*_~`])"
)

_TELEGRAM_STYLES = {
    "bold": "bold",
    "italic": "italic",
    "underline": "underline",
    "strikethrough": "strike",
    "code": "code",
    "pre": "code",
}
_HTML_ENTITIES = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "code": "code",
    "pre": "pre",
    "a": "text_link",
    "blockquote": "blockquote",
    "span": "spoiler",
    "tg-spoiler": "spoiler",
    "tg-emoji": "custom_emoji",
}


def whatsapp(text: str, shift: int = 0, depth: int = 0) -> tuple[str, tuple[Span, ...]]:
    """Return the text without its markers and the spans they made. Marks nest: ``*_both_*``."""
    shown, spans, at = "", list[Span](), 0
    nested: tuple[Span, ...]
    for found in _WHATSAPP_MARK.finditer(text):
        shown += text[at : found.start()]
        start = shift + utf16(shown)
        if found["block"]:
            inner, nested, style = found["block"], (), "code"
        elif found["mark"] == "`" or depth == MAX_DEPTH:
            inner, nested, style = found["inner"], (), _WHATSAPP_STYLES[found["mark"]]
        else:
            inner, nested = whatsapp(found["inner"], start, depth + 1)
            style = _WHATSAPP_STYLES[found["mark"]]
        spans += [Span(start, utf16(inner), style), *nested]
        shown += inner
        at = found.end()
    return shown + text[at:], tuple(spans)


def entity_spans(entities: Iterable[Any]) -> tuple[Span, ...]:
    """Return Telegram's entities as spans; kinds without a look of their own are left out."""
    spans = []
    for entity in entities:
        if not isinstance(entity, dict):
            continue
        offset, length = entity.get("offset"), entity.get("length")
        style = _TELEGRAM_STYLES.get(str(entity.get("type")))
        if style and isinstance(offset, int) and isinstance(length, int) and offset >= 0 and length > 0:
            spans.append(Span(offset, length, style))
    return tuple(spans)


class MarkupError(Exception):
    """Marked text that cannot be parsed; its words are Telegram's, after "can't parse entities: "."""


class _Html(HTMLParser):
    """Telegram's HTML: a few tags, strictly nested (https://core.telegram.org/bots/api#html-style)."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.entities: list[dict[str, Any]] = []
        self._open: list[tuple[str, int, dict[str, Any]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _HTML_ENTITIES:
            raise MarkupError(f'Unsupported start tag "{tag}" at byte offset {len(self.text.encode())}')
        href = dict(attrs).get("href")
        extra = {"url": href} if tag == "a" and href else {}
        self._open.append((tag, utf16(self.text), extra))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1][0] != tag:
            raise MarkupError(f'Unmatched end tag at byte offset {len(self.text.encode())}, found "</{tag}>"')
        _, offset, extra = self._open.pop()
        length = utf16(self.text) - offset
        if length and (tag != "a" or extra):
            self.entities.append({"type": _HTML_ENTITIES[tag], "offset": offset, "length": length} | extra)

    def handle_data(self, data: str) -> None:
        self.text += data

    def finish(self) -> None:
        """Refuse tags that were left open."""
        self.close()
        if self._open:
            raise MarkupError(f'Can\'t find end tag corresponding to start tag "{self._open[-1][0]}"')


def telegram_html(text: str) -> tuple[str, list[dict[str, Any]]]:
    """Return the text and the entities of Telegram's HTML; raises MarkupError."""
    parser = _Html()
    parser.feed(text)
    parser.finish()
    return parser.text, sorted(parser.entities, key=lambda entity: (entity["offset"], -entity["length"]))


_MARKDOWN_MARKS = ("```", "||", "__", "*", "_", "~", "`")
_MARKDOWN_ENTITIES = {
    "```": "pre",
    "||": "spoiler",
    "__": "underline",
    "*": "bold",
    "_": "italic",
    "~": "strikethrough",
    "`": "code",
}
_MARKDOWN_RESERVED = "_*[]()~`>#+-=|{}.!"
_MARKDOWN_LINK = re.compile(r"\[(?P<label>[^\]]+)\]\((?P<url>[^)\s]+)\)")


def telegram_markdown(text: str) -> tuple[str, list[dict[str, Any]]]:
    """Return the text and the entities of Telegram's MarkdownV2; raises MarkupError.

    https://core.telegram.org/bots/api#markdownv2-style: every reserved character stands for a mark or is escaped.
    """
    shown, entities, opened, at = "", [], dict[str, int](), 0
    while at < len(text):
        literal = "`" in opened or "```" in opened
        mark = next((mark for mark in _MARKDOWN_MARKS if text.startswith(mark, at)), "")
        link = None if literal else _MARKDOWN_LINK.match(text, at)
        if text[at] == "\\" and at + 1 < len(text) and text[at + 1].isascii():
            shown += text[at + 1]
            at += 2
        elif mark and (not literal or mark in opened):
            if mark in opened:
                offset = opened.pop(mark)
                entities.append({"type": _MARKDOWN_ENTITIES[mark], "offset": offset, "length": utf16(shown) - offset})
            else:
                opened[mark] = utf16(shown)
            at += len(mark)
        elif link:
            entity = {"type": "text_link", "offset": utf16(shown), "length": utf16(link["label"]), "url": link["url"]}
            entities.append(entity)
            shown += link["label"]
            at = link.end()
        elif text[at] in _MARKDOWN_RESERVED and not literal:
            raise MarkupError(f"Character '{text[at]}' is reserved and must be escaped with the preceding '\\'")
        else:
            shown += text[at]
            at += 1
    if opened:
        name = _MARKDOWN_ENTITIES[next(iter(opened))].capitalize()
        raise MarkupError(f"Can't find end of {name} entity at byte offset {len(text.encode())}")
    return shown, sorted(entities, key=lambda entity: (entity["offset"], -entity["length"]))
