"""What the pages of clients show and take: the list, the form, and how long an old password lets in beside a new one. Pure."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kurir.console.words import mark
from kurir.store.base import AccountRecord, ClientRecord

#: How long the password before lets in beside the new one: what is offered, in seconds.
OVERLAPS: Final = {
    86_400: mark("24 hours"),
    0: mark("no more, from now on"),
    3600: mark("1 hour"),
    604_800: mark("7 days"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A client in the list, with how many accounts and callback endpoints are its own."""

    record: ClientRecord
    accounts: int
    endpoints: int

    def overlaps_until(self, now: datetime) -> datetime | None:
        """Return until when the password before lets in as well, None where it does not."""
        until = self.record.previous_until
        return until if until is not None and until > now else None


def rows(records: Sequence[ClientRecord], accounts: Iterable[AccountRecord], endpoints: Mapping[str, int]) -> list[Row]:
    """Return the clients as the list shows them: those that are let in first, each by id."""
    owned = Counter(one.client_id for one in accounts)
    found = [Row(one, owned[one.id], endpoints.get(one.id, 0)) for one in records]
    return sorted(found, key=lambda row: (not row.record.enabled, row.record.id))


def given(fields: Mapping[str, str]) -> dict[str, object]:
    """Return what a form sets of a client; an empty field is the default again."""
    found: dict[str, object] = {}
    for name in ("username", "default_region", "max_age"):
        if name in fields:
            found[name] = fields[name] or None
    if "allow_from" in fields:
        places = fields["allow_from"].replace(",", " ").split()
        found["allow_from"] = places or None
    return found


def overlap(text: str) -> timedelta | None:
    """Return the overlap that was chosen, None where it is none of :data:`OVERLAPS`."""
    return timedelta(seconds=int(text)) if text.isascii() and text.isdigit() and int(text) in OVERLAPS else None


def tag(record: ClientRecord) -> str:
    """Return what changes with each password: a form that was sent twice rotates once."""
    return hashlib.sha256(record.password_hash.encode()).hexdigest()[:16]
