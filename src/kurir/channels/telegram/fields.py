"""Readings of what Telegram's updates are made of. Each is total: what is not as the Bot API has it reads as missing.

Fields are added to the Bot API about every month and most of a message's are optional, so nothing here insists on more
than it needs. Sources: the pages "Update", "Message", "Chat" and "User". Texts come without NUL and lone surrogates, which
no store takes, and never longer than Telegram's own limits (or, where it names none, than a bound of ours).
"""

import math
import re
from datetime import UTC, datetime
from typing import Final

from kurir.channels.base import TIME_UNTOLD, InboundLocation, JsonObject, Person
from kurir.channels.text import storable

#: A person's words. Telegram lets nobody write more than 4096 characters; this is what its server takes in bytes at all.
LONGEST_TEXT: Final = 32_768
#: A first or last name has at most 64 characters, a title 128, a user name 32 (a collectible one fewer).
_LONGEST_NAME: Final = 64
_LONGEST_TITLE: Final = 128
_LONGEST_USERNAME: Final = 32

_WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,59}")
_BEFORE_YEAR_9999: Final = 253_370_764_800
#: "int32 max" stands for a live location without an end ("Location").
_LONGEST_LIVE_PERIOD: Final = 0x7FFFFFFF


def member(owner: object, key: str) -> JsonObject:
    """Return the object under *key*; {} where there is none."""
    value = owner.get(key) if isinstance(owner, dict) else None
    return value if isinstance(value, dict) else {}


def members(owner: JsonObject, key: str) -> list[JsonObject]:
    """Return the objects in the list under *key*; [] where there is none."""
    value = owner.get(key)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def words(owner: JsonObject, key: str, longest: int = LONGEST_TEXT) -> str:
    """Return the text under *key*, fit to be stored; "" where there is none."""
    value = owner.get(key)
    return storable(value[:longest]) if isinstance(value, str) else ""


def integer(owner: JsonObject, key: str, least: int = 0, most: int = 2**53) -> int | None:
    """Return the integer under *key*; None where there is none, or one that Telegram cannot mean."""
    value = owner.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most else None


def number_of(owner: JsonObject, key: str = "id") -> str:
    """Return the number of a chat or a user under *key*, as an address has it; "" where there is none.

    At most 52 significant bits ("Chat", ``id``), negative for groups and channels.
    """
    value = integer(owner, key, -(2**52), 2**52)
    return str(value) if value else ""


def moment(owner: JsonObject, *keys: str) -> datetime:
    """Return the first time under *keys*; TIME_UNTOLD where there is none (0 is the date of an inaccessible message)."""
    seconds = next((found for key in keys if (found := integer(owner, key, 1, _BEFORE_YEAR_9999))), None)
    return TIME_UNTOLD if seconds is None else datetime.fromtimestamp(seconds, UTC)


def word(value: object) -> str:
    """Return a name of the Bot API's, such as a field's; "" where *value* is none."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def message_id_of(message: JsonObject, chat: str = "") -> str:
    """Return a message's id as ``<chat>:<number>``, in *chat* where it does not name its own; "" where it has none.

    The number is unique inside its chat only. Telegram gives 0 where it is not to be used.
    """
    chat = number_of(member(message, "chat")) or chat
    number = integer(message, "message_id", 1, 10**10 - 1)
    return f"{chat}:{number}" if chat and number else ""


def named(someone: JsonObject) -> str:
    """Return the name of a user or a chat: a title, else the first and the last name."""
    title = words(someone, "title", _LONGEST_TITLE)
    names = (words(someone, key, _LONGEST_NAME) for key in ("first_name", "last_name"))
    return title or " ".join(name for name in names if name)


def person(address: str, someone: JsonObject) -> Person:
    """Return *someone*, a user or a chat, as who is answered at *address*."""
    return Person(address, number_of(someone), named(someone), words(someone, "username", _LONGEST_USERNAME))


def writer(message: JsonObject, chat: str) -> Person:
    """Return who wrote *message* in *chat*.

    A channel's posts, and what an anonymous administrator or a channel writes in a group, are by ``sender_chat``: the user
    in ``from`` is then a stand-in of Telegram's ("Message", ``sender_chat``). A post may name neither.
    """
    return person(chat, member(message, "sender_chat") or member(message, "from") or member(message, "chat"))


def place(message: JsonObject) -> InboundLocation | None:
    """Return the place in a location, or in a venue, which has a name and an address; None where there is none.

    ``{"venue": {"location": {…}, "title": "Cafe", "address": "Street 1"}, "location": {"latitude": 1.5, …}}``
    """
    venue = member(message, "venue")
    location = member(venue, "location") or member(message, "location")
    latitude, longitude = _degrees(location.get("latitude"), 90), _degrees(location.get("longitude"), 180)
    if latitude is None or longitude is None:
        return None
    return InboundLocation(
        latitude,
        longitude,
        name=words(venue, "title"),
        address=words(venue, "address"),
        live_period=integer(location, "live_period", 0, _LONGEST_LIVE_PERIOD) or 0,
    )


def _degrees(value: object, most: int) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -most <= value <= most:
        return None
    return float(value) if math.isfinite(value) else None
