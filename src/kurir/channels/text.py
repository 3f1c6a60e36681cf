"""Measuring, shortening and splitting text in every unit that the platforms count in.

Platforms count characters in UTF-16 code units (Meta, LINE), Unicode code points (Telegram), UTF-8 bytes (Telegram's
callback data) or extended grapheme clusters (LINE's labels; UAX #29). Cuts fall only between grapheme clusters, so no
emoji and no accent is ever torn. The rules ``fit`` and ``split`` are those of the WhatsApp sheet, section 8.
"""

from collections.abc import Callable
from typing import Final

import regex

Unit = Callable[[str], int]

_CLUSTER: Final = regex.compile(r"\X")
_BLANK_LINE: Final = regex.compile(r"\n[^\S\n]*\n\s*")
_SENTENCE_END: Final = frozenset(".!?…")
_JOINS_BEFORE: Final = r"[\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=ZWJ}]"
#: A blank that is one cluster with its neighbour, as a space that carries an accent: neither cut at nor dropped.
_BOUND_BLANK: Final = regex.compile(rf"\p{{Zs}}{_JOINS_BEFORE}|(?<=\p{{GCB=Prepend}})\p{{Zs}}")
_LEADING_BLANKS: Final = regex.compile(rf"(?:(?!\p{{Zs}}{_JOINS_BEFORE})[\s\x1c-\x1f])*")
ELLIPSIS: Final = "…"


def utf16(text: str) -> int:
    """Return the length in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def code_points(text: str) -> int:
    """Return the length in Unicode code points."""
    return len(text)


def utf8(text: str) -> int:
    """Return the length in UTF-8 bytes."""
    return len(text.encode())


def graphemes(text: str) -> int:
    """Return the length in extended grapheme clusters."""
    return len(text) if text.isascii() and "\r" not in text else len(_CLUSTER.findall(text))


def clusters(text: str) -> list[str]:
    """Return the extended grapheme clusters of *text*."""
    return _CLUSTER.findall(text)


def one_line(text: str) -> str:
    """Return *text* with every run of white space as one space, and none outside."""
    return " ".join(text.split())


def ago(seconds: float) -> str:
    """Return for a sentence how long ago *seconds* is: in whole hours below two days, in whole days from there."""
    hours = int(seconds // 3600)
    if hours >= 48:
        return f"{hours // 24} days ago"
    return f"{hours} hours ago" if hours != 1 else "1 hour ago"


def storable(text: str) -> str:
    """Return *text* without what neither UTF-8 nor a database takes: lone surrogates become U+FFFD, NUL is dropped."""
    text = text.replace("\0", "")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def prefix(text: str, maximum: int, unit: Unit = utf16) -> str:
    """Return the longest prefix of whole grapheme clusters that measures at most *maximum*.

    A single cluster longer than *maximum* (a flood of combining marks) is cut between its code points, so that a text
    always makes progress.
    """
    if unit(text) <= maximum:
        return text
    if text.isascii() and "\r" not in text:
        return text[:maximum]
    end = used = 0
    for match in _CLUSTER.finditer(text):
        used += unit(match.group())
        if used > maximum:
            break
        end = match.end()
    if end == 0:
        used = 0
        while end < len(text) and (used := used + unit(text[end])) <= maximum:
            end += 1
    return text[:end]


def fit(text: str, maximum: int, unit: Unit = utf16) -> str:
    """Return *text* on one line and at most *maximum* long, cut with an ellipsis where it was longer."""
    line = one_line(text)
    if unit(line) <= maximum:
        return line
    return prefix(line, maximum - 1, unit).rstrip() + ELLIPSIS


def split(text: str, maximum: int, unit: Unit = utf16) -> list[str]:
    """Return *text* in pieces of at most *maximum*, cut where a reader would pause.

    Within the second half of each window: at the last blank line, else the last newline, else the last space after the
    end of a sentence, else the last white space, else at the window's end. White space at a cut is dropped.
    """
    pieces: list[str] = []
    rest = text
    while unit(rest) > maximum:
        window = prefix(rest, maximum, unit)
        cut = _cut(rest, len(window))
        pieces.append(rest[:cut].rstrip())
        rest = _LEADING_BLANKS.sub("", rest[cut:], count=1)
    if rest or not pieces:
        pieces.append(rest)
    return [piece for piece in pieces if piece] or [text]


def _cut(text: str, end: int) -> int:
    """Return where to cut within ``text[:end]``; the character at *end* itself may be the white space cut at."""
    half = end // 2
    looked_at = text[: end + 1]
    blank_line = newline = sentence = blank = -1
    for match in _BLANK_LINE.finditer(looked_at, half):
        blank_line = match.start()
    for index in range(min(end, len(text) - 1), half - 1, -1):
        character = looked_at[index]
        if not character.isspace() or _BOUND_BLANK.match(text, index):
            continue
        blank = max(blank, index)
        if character == "\n":
            newline = max(newline, index)
        if index > 0 and looked_at[index - 1] in _SENTENCE_END:
            sentence = max(sentence, index)
    for place in (blank_line, newline, sentence, blank):
        if place > 0:
            return place
    return end


def tail(text: str, maximum: int, plain_maximum: int, unit: Unit = utf16) -> tuple[list[str], str]:
    """Return (*leading pieces*, *last piece*).

    The last is at most *maximum* long, the leading ones are split as plain text of at most *plain_maximum*.
    """
    pieces = split(text, maximum, unit)
    if len(pieces) == 1:
        return [], pieces[0]
    last = pieces[-1]
    before = text[: text.rindex(last)].rstrip() if last else text
    return split(before, plain_maximum, unit), last
