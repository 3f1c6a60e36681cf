"""The JSON of the events that tell of a person: blocked, unblocked, linked, referred.

Intake writes it for what a platform told, and the store for what an answer of a platform taught, since only the store knows
in its transaction whether that was new. Both write it here, so that one kind of event has one shape. Every member is always
there (absent text "", absent boolean false).
"""

import json
from datetime import datetime
from typing import Any, Final

from kurir.domain.recipient import PREFIX_OF

#: Made once: ``json.dumps`` with arguments makes an encoder each time.
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def contact(
    whom: dict[str, Any],
    at: datetime,
    *,
    channel: str,
    account_id: str,
    referral: str = "",
    first_time: bool = False,
    reply_token: str = "",
    moved_to: str = "",
) -> dict[str, Any]:
    """Return the data of an event that tells of the person *whom* (:func:`person`), which happened *at* (UTC).

    *referral* is what a deep link carried. *moved_to* is the native address that replaces theirs.
    """
    return {
        "contact": whom,
        "referral": referral,
        "first_time": first_time,
        "reply_token": reply_token,
        "moved_to": address(channel, moved_to) if moved_to else "",
        **times(at),
        "channel": channel,
        "account": account_id,
    }


def person(
    channel: str,
    native: str,
    *,
    own_id: str = "",
    name: str = "",
    username: str = "",
    phone: str = "",
    avatar: str = "",
) -> dict[str, Any]:
    """Return a person at the *native* address. ``address`` is the explicit form, always safe to answer to.

    *own_id* is the person's own native id, where it is not the address (somebody in a group).
    """
    return {
        "avatar": avatar,
        "description": "",  # no platform tells one
        "name": name,
        "username": username,
        "id": own_id or native,
        "address": address(channel, native),
        "phone": phone,
    }


def address(channel: str, native: str) -> str:
    """Return the explicit form of an address (``tg:1001``); of a channel without a prefix, the address as it is."""
    prefix = PREFIX_OF.get(channel)
    return f"{prefix}:{native}" if prefix else native


def times(at: datetime) -> dict[str, Any]:
    """Return when something happened, as every event says it: unix seconds, and RFC 3339."""
    return {"times": int(at.timestamp()), "timestamp": rfc3339(at)}


def rfc3339(moment: datetime) -> str:
    """Return *moment*, which is in UTC, as RFC 3339 with a Z."""
    return moment.isoformat().replace("+00:00", "Z")


def dump(data: dict[str, Any]) -> bytes:
    """Return *data* as the event keeps it."""
    return _ENCODER.encode(data).encode()
