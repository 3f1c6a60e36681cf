"""One event of Messenger's webhooks, and the readings of its fields that every kind of event shares.

Every reading is total: ids come as strings and as numbers, times as numbers and as digits, and what is neither is told
as missing. Nothing that leaves here holds NUL or a lone surrogate. Source: Meta's page "Webhooks" of the Messenger
platform (2026-05-05).
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from kurir.channels.base import Ignored, JsonObject
from kurir.channels.text import storable

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_9999: Final = 253_370_764_800_000
#: A number below this counts seconds: it would be a day of 2001 in milliseconds. Some events are said to do so.
_SECONDS_BELOW: Final = 10**12


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its JSON, the page's id, when it happened (TIME_UNTOLD: not told), and whether another app has the thread.

    ``app_id`` is the account's own, "" where it is not configured. ``raw`` is the JSON as it is kept.
    """

    json: JsonObject
    page: str
    at: datetime
    standby: bool
    app_id: str
    raw: bytes

    def party(self, role: str) -> str:
        """Return the id of the ``sender`` or the ``recipient``; "" where there is none."""
        value = self.json.get(role)
        return number(value.get("id")) if isinstance(value, dict) else ""

    def ignored(self, why: str, *, unread: bool = False) -> Ignored:
        """Return the event as one that the gateway has no use for."""
        return Ignored(event_id("ignored", why, self.raw.decode()), why, self.raw, unread)


def ignored(value: object, why: str, *, unread: bool = False) -> Ignored:
    """Return anything that stands where an event should as Ignored."""
    raw = raw_of(value)
    return Ignored(event_id("ignored", why, raw.decode()), why, raw, unread)


def event_id(*words: str) -> str:
    """Return an id that is the same for every repeat of an event, and short whatever the platform sends."""
    return f"{words[0]}:{hashlib.sha256(repr(words).encode()).hexdigest()[:32]}"


def raw_of(value: object) -> bytes:
    """Return *value* as ASCII JSON, its keys in order; b"" where it is nested deeper than can be written again."""
    try:
        return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
    except RecursionError:
        return b""


def number(value: object) -> str:
    """Return an id made of digits, which the platform gives as a string or as a number; "" for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**20:
        return str(value)
    return value if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20 else ""


def moment(value: object) -> datetime | None:
    """Return the time in *value*: milliseconds since 1970, as a number or as digits; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        return None
    milliseconds = value * 1000 if value < _SECONDS_BELOW else value
    return _EPOCH + timedelta(milliseconds=milliseconds) if milliseconds < _YEAR_9999 else None


def words(value: object) -> str:
    """Return a text of a person as every store can keep it; "" where *value* is none."""
    return storable(value) if isinstance(value, str) else ""
