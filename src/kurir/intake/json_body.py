"""A request body as JSON, or the one sentence that says why it is none.

The parser is pydantic's (jiter): strict UTF-8, no NaN, a bounded depth, no lone surrogates. What it does not look for is
the NUL character, which no database takes in a text, and the ``//`` comments of the published sample, which deserve
better than «invalid JSON».
"""

import math
import re
from typing import Final

from pydantic_core import from_json

MAXIMUM_DEPTH: Final = 100

#: What a number has that a float cannot hold: an exponent of three digits, or some two hundred digits.
#: One pattern for each letter: one that begins with a letter is searched for three times as fast as one with a set.
_LARGE_EXPONENT: Final = re.compile(rb"e\+?0*[1-9][0-9]{2}")
_LARGE_EXPONENT_IN_CAPITALS: Final = re.compile(rb"E\+?0*[1-9][0-9]{2}")
_MANY_DIGITS: Final = re.compile(rb"[0-9]{200}")


class UnreadableBody(Exception):
    """The body is not the JSON that we take. ``code`` is of the error registry, ``detail`` names the place."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def read(body: bytes) -> object:
    """Return the JSON value in *body*. Raises UnreadableBody."""
    if body.startswith(b"\xef\xbb\xbf"):
        body = body[3:]
    if not body or body.isspace():
        raise UnreadableBody("invalid_json", "the body is empty; send the message as a JSON object")
    try:
        value = from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        raise _explain(body, str(error)) from None
    if body.count(b"[") + body.count(b"{") > MAXIMUM_DEPTH:
        _check_depth(value)
    if b"\\u0000" in body and _has_nul(value):
        raise UnreadableBody("invalid_json", "a string holds the NUL character (\\u0000), which cannot be kept")
    if _may_hold_infinity(body) and _has_infinity(value):
        raise UnreadableBody("invalid_json", "a number is too large to be kept (it would become infinite)")
    return value


def _explain(body: bytes, message: str) -> UnreadableBody:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        return UnreadableBody("not_utf8", f"byte {error.start} of the body is not UTF-8; encode the body as UTF-8")
    comment = find_comment(text)
    if comment is not None:
        line, column = comment
        return UnreadableBody(
            "json_comments",
            f"the body still has a // comment, at line {line}, column {column}; JSON has no comments: remove them all",
        )
    if "recursion limit" in message:
        return UnreadableBody("too_deep", f"the body is nested deeper than {MAXIMUM_DEPTH} levels")
    return UnreadableBody("invalid_json", f"the body is not JSON: {message}")


def find_comment(text: str) -> tuple[int, int] | None:
    """Return (line, column), both from 1, of the first ``//`` outside a string; None when there is none."""
    in_string = escaped = False
    line, line_start = 1, 0
    for index, character in enumerate(text):
        if character == "\n":
            line, line_start = line + 1, index + 1
            in_string = False  # a JSON string never spans lines: recover after a broken one
        elif in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character == "/" and text.startswith("//", index):
            return line, index - line_start + 1
    return None


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAXIMUM_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent if isinstance(parent, list) else ())
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise UnreadableBody("too_deep", f"the body is nested deeper than {MAXIMUM_DEPTH} levels")


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any("\x00" in key or _has_nul(child) for key, child in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))


def _may_hold_infinity(body: bytes) -> bool:
    return (
        _LARGE_EXPONENT.search(body) is not None
        or _LARGE_EXPONENT_IN_CAPITALS.search(body) is not None
        or (len(body) >= 200 and _MANY_DIGITS.search(body) is not None)
    )


def _has_infinity(value: object) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_has_infinity, value.values()))
    return isinstance(value, list) and any(map(_has_infinity, value))
