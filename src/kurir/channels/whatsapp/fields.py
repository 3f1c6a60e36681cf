"""Reading the JSON of WhatsApp's webhooks and answers: a member is what it should be, or it is not there.

Nothing here raises for any JSON value but :func:`fragment`, for one that is nested deeper than Python recurses.
"""

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Final

from kurir.channels.base import Ignored, JsonObject
from kurir.channels.text import storable

#: A business-scoped user id, own or of the parent business ("Business-scoped user IDs", 2026-03-31).
BSUID: Final = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}")
#: A phone as Meta's webhooks write it: digits with the country code (E.164 allows 15).
PHONE: Final = re.compile(r"[1-9][0-9]{6,14}")
#: How much of a name that we do not know is repeated in a reason or a text: a bound of ours.
_LONGEST_NAME: Final = 60
#: Made once: ``json.dumps`` with arguments makes an encoder each time.
_CANONICAL: Final = json.JSONEncoder(separators=(",", ":"), sort_keys=True)


def objects(value: object) -> list[JsonObject]:
    """Return the objects in *value*, where it is a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def first(value: object) -> JsonObject:
    """Return the first object in *value*, where it is a list; {} when there is none."""
    return next(iter(objects(value)), {})


def member(owner: object, key: str) -> JsonObject:
    """Return the object under *key*, where *owner* is an object and has one; else {}."""
    value = owner.get(key) if isinstance(owner, dict) else None
    return value if isinstance(value, dict) else {}


def string(owner: object, key: str) -> str:
    """Return the string under *key*, fit to be stored, where *owner* is an object and has one; else ""."""
    value = owner.get(key) if isinstance(owner, dict) else None
    if not isinstance(value, str):
        return ""
    return value if value.isascii() and "\0" not in value else storable(value)


def name(owner: object, key: str) -> str:
    """Return the string under *key* as one that can stand in a sentence: cut, on one line."""
    return " ".join(string(owner, key)[:_LONGEST_NAME].split())


def phone(owner: object, key: str) -> str:
    """Return the phone's digits under *key*; "" where it holds anything else."""
    digits = string(owner, key).removeprefix("+")
    return digits if digits and PHONE.fullmatch(digits) else ""


def scoped_id(owner: object, key: str) -> str:
    """Return the business-scoped user id under *key*; "" where it holds anything else."""
    value = string(owner, key)
    return value if value and BSUID.fullmatch(value) else ""


def number(value: object) -> int:
    """Return an integer, or the digits of one, as a number; -1 for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value < 10**18 else -1
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 18 else -1


def moment(value: object) -> datetime | None:
    """Return a time in seconds, or in milliseconds as Meta has sent at times, as a moment; None when it is none."""
    count = number(value)
    seconds = count / 1000 if count >= 10**12 else count
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < 10**11 else None


def fragment(value: object) -> bytes:
    """Return *value* as canonical JSON: the same bytes for every repeat. Raises RecursionError."""
    return _CANONICAL.encode(value).encode()


def digest(raw: bytes) -> str:
    """Return the id of an event that the platform gave none."""
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def ignored(why: str, value: object) -> Ignored:
    """Return *value* as ignored, with its own id where it has one, else the digest of its bytes. Never raises."""
    try:
        raw = fragment(value)
    except RecursionError:
        raw = b""
    return Ignored(string(value, "id") or digest(raw), why, raw)
