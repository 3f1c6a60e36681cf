"""Telegram's rules of text: what it counts in, where a long text is cut, and styles as entities.

A text has at most 4096, a caption 1024 Unicode code points, while the offsets of entities are UTF-16 code units
("MessageEntity"). Entities are used rather than ``parse_mode``: nothing has to be escaped.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from kurir.channels.base import JsonObject
from kurir.channels.text import clusters, code_points, prefix, utf16
from kurir.quick import quick

#: What Telegram takes away or makes a blank of before it looks whether anything is left (tdlib/td, ``misc.cpp``).
_NOTHING: Final = re.compile(r"[\s\x00-\x20\x7f\u2028-\u202e]*")


def shows(words: str) -> bool:
    """Return whether anything of *words* is left when Telegram has cleaned it."""
    return _NOTHING.fullmatch(words) is None


@quick
@dataclass(frozen=True, slots=True)
class Styled:
    """Words and their styles: (style, start, end) in code points."""

    text: str
    spans: tuple[tuple[str, int, int], ...] = ()

    @classmethod
    def of(cls, runs: Iterable[tuple[str, str]]) -> "Styled":
        """Return *runs* of (words, style) as one text; a style of "" is none."""
        words, spans, end = [], [], 0
        for run, style in runs:
            start, end = end, end + len(run)
            words.append(run)
            if style:
                spans.append((style, start, end))
        return cls("".join(words), tuple(spans))

    def pieces(self, maximum: int) -> list["Styled"]:
        """Return the words in messages of at most *maximum*, each with its share of the styles."""
        if len(self.text) <= maximum and not self.spans:
            return [self]
        found = [self._slice(start, end) for start, end in _ranges(self.text, maximum)]
        return [piece for piece in found if shows(piece.text)] or found[:1]

    def _slice(self, start: int, end: int) -> "Styled":
        spans = ((style, max(first, start) - start, min(last, end) - start) for style, first, last in self.spans)
        return Styled(self.text[start:end], tuple(span for span in spans if span[1] < span[2]))

    def fields(self, words: str, entities: str) -> JsonObject:
        """Return the parameters: the text as *words* and, where there are styles, *entities* in UTF-16 units."""
        fields: JsonObject = {words: self.text}
        if self.spans:
            fields[entities] = [
                {
                    "type": style,
                    "offset": utf16(self.text[:start]),
                    "length": utf16(self.text[start:end]),
                }
                for style, start, end in self.spans
            ]
        return fields


def _ranges(words: str, maximum: int) -> Iterator[tuple[int, int]]:
    """Yield where to cut *words* into pieces of at most *maximum* code points.

    At the last white space that leaves a piece, else between two grapheme clusters. White space at a cut is dropped, as
    Telegram itself drops it at both ends of a message.
    """
    start, end = 0, len(words)
    if end > maximum:
        start, end = end - len(words.lstrip()), len(words.rstrip())
    while end - start > maximum:
        cut = start + maximum
        while cut > start and not _is_gap(words, cut):
            cut -= 1
        if cut == start:
            cut = start + len(prefix(words[start : start + maximum + 1], maximum, code_points))
        piece = words[start:cut].rstrip()
        yield start, start + len(piece)
        while _is_gap(words, cut):
            cut += 1
        start = cut
    yield start, end


def _is_gap(words: str, index: int) -> bool:
    """Return whether the character is white space of its own; a space that carries an accent is a part of a word."""
    if not words[index].isspace():
        return False
    following = words[index + 1 : index + 2]
    return following.isspace() or len(clusters(words[index] + following)) == 2
