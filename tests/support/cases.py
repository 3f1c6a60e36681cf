"""The channel cases: one JSON file a channel under ``tests/cases``, and how their expectations are compared.

A case is (input → exact platform requests), (answer → class of outcome) or (webhook → events). ``conventions`` at the head
of each file says how to read it. Names of errors and warnings in them are descriptive; ``REASONS`` maps the reasons of
refusals onto our codes.
"""

import json
import re
from pathlib import Path
from typing import Any

CASES = Path(__file__).parent.parent / "cases"

#: A case's ``error_reason`` → the codes of ours that say it.
REASONS = {
    "empty": {"missing", "blank", "too_few", "no_words"},
    "unknown": {"unsupported_value"},
    "format": {"invalid_recipient"},
    "scheme": {"unsupported_scheme"},
    "range": {"out_of_range"},
    "media_type_unsupported": {"media_type_unsupported"},
    "too_many": {"too_many"},
    "https_required": {"https_required"},
}


def load(channel: str, kind: str) -> list[Any]:
    """Return the cases of *kind* of *channel*."""
    return [case for case in json.loads((CASES / f"{channel}.json").read_text())["cases"] if case["kind"] == kind]


def to_pointer(field: str) -> str:
    """Return the JSON pointer of a case's dotted field: ``body.button[0].key`` is ``/body/button/0/key``."""
    return "/" + re.sub(r"\[(\d+)\]", r".\1", field).replace(".", "/")


def differences(expected: Any, actual: Any, *, tid: str, tokens: dict[str, str], at: str = "$") -> list[str]:
    """Return where *actual* is not what *expected* says; [] when it is.

    ``{{tid}}`` stands for *tid*; ``{{token:REGEX}}`` for any text that matches and is one of *tokens*; ``{{uuid}}`` for any
    UUID. Numbers compare by value, objects exactly.
    """
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return [f"{at}: {actual!r} is no object"]
        found = [f"{at}.{key}: missing" for key in expected if key not in actual]
        found += [f"{at}.{key}: not expected ({actual[key]!r})" for key in actual if key not in expected]
        for key in expected:
            if key in actual:
                found += differences(expected[key], actual[key], tid=tid, tokens=tokens, at=f"{at}.{key}")
        return found
    if isinstance(expected, list):
        if not isinstance(actual, list) or len(expected) != len(actual):
            return [f"{at}: {actual!r:.300} instead of a list of {len(expected)}"]
        return [
            line
            for index, (one, other) in enumerate(zip(expected, actual, strict=True))
            for line in differences(one, other, tid=tid, tokens=tokens, at=f"{at}[{index}]")
        ]
    if isinstance(expected, str) and isinstance(actual, str):
        return (
            [] if _same_text(expected, actual, tid, tokens) else [f"{at}: {actual!r:.300} instead of {expected!r:.300}"]
        )
    return (
        []
        if (type(expected) is type(actual) and expected == actual) or _same_number(expected, actual)
        else [f"{at}: {actual!r:.300} instead of {expected!r:.300}"]
    )


def _same_number(expected: Any, actual: Any) -> bool:
    numbers = (int, float)
    return (
        isinstance(expected, numbers)
        and isinstance(actual, numbers)
        and not isinstance(expected, bool)
        and not isinstance(actual, bool)
        and expected == actual
    )


def _same_text(expected: str, actual: str, tid: str, tokens: dict[str, str]) -> bool:
    if expected == "{{uuid}}":
        return re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", actual) is not None
    token = re.fullmatch(r"\{\{token:(.*)\}\}", expected)
    if token:
        return re.search(token.group(1), actual) is not None and actual in tokens
    return expected.replace("{{tid}}", tid) == actual
