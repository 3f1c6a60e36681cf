"""What stays hidden until somebody with the right asks, which is audited: phones, addresses, names, texts. Pure."""

import re
from typing import Final

#: What stands for a hidden text.
HIDDEN: Final = "•••"

#: A long number, also as people write a phone, and LINE's id of a person, a group or a room.
_NUMBER: Final = re.compile(r"[UCR][0-9a-f]{32}|\+\d[\d ().-]{5,}\d|\+?\d{6,}")
_QUOTED: Final = re.compile(r"«[^»]*»")


def phone(text: str) -> str:
    """Return a phone, or another address of a person, of which the end alone is seen: ``+62 •••• 801``, ``U4af•••2a3b``."""
    plain = text.strip()
    prefix, colon, rest = plain.partition(":")
    if colon and prefix.isalpha():
        return f"{prefix}:{phone(rest)}"
    digits = [sign for sign in plain if sign.isalnum()]
    if len(digits) <= 4:
        return HIDDEN
    seen = "".join(digits[-3:])
    lead = plain[:3] if plain.startswith("+") else "".join(digits[:2])
    return f"{lead}{HIDDEN}{seen}"


def name(text: str) -> str:
    """Return a name of which the first letter of each word is seen."""
    return " ".join(f"{word[0]}{HIDDEN}" for word in text.split())


def words(text: str) -> str:
    """Return what stands for a text: nothing of it."""
    return "" if not text else HIDDEN


def loose(text: str) -> str:
    """Return a sentence or a path without what somebody typed: long numbers, and what stands in «»."""
    return _QUOTED.sub(f"«{HIDDEN}»", _NUMBER.sub(lambda found: phone(found.group()), text))
