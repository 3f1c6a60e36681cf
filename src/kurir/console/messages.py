"""What the list of messages shows of each, and the chips by which it is narrowed."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from kurir.console import masking, requested, searching
from kurir.console.rights import Right, Visitor
from kurir.console.searching import Asked, status_of
from kurir.directory import Directory
from kurir.domain import channel
from kurir.domain.status import Status
from kurir.store.base import MessageRecord

#: So long a message counts as one that just came.
FRESH: Final = timedelta(seconds=4)
#: Choices of one kind that are shown as chips; more of them are in the form.
MOST_CHIPS: Final = 12


@dataclass(frozen=True, slots=True)
class Row:
    """A message in the list. ``text`` and ``recipient`` are masked already where they are to be. ``fresh``: it just came."""

    record: MessageRecord
    recipient: str
    text: str
    fresh: bool

    @property
    def status(self) -> int:
        """The seed's status."""
        return int(self.record.status)

    @property
    def can_retry(self) -> bool:
        """Whether a retry would be taken."""
        return self.record.status < Status.PENDING

    @property
    def can_cancel(self) -> bool:
        """Whether a cancel may be taken: the store has the last word."""
        return self.record.status is Status.PENDING and self.record.queued


@dataclass(frozen=True, slots=True)
class Chip:
    """A link that narrows the search, or lifts what it narrows."""

    name: str
    value: str
    on: bool
    query: str


def row(record: MessageRecord, body: bytes, now: datetime, *, masked: bool) -> Row:
    """Return a message as the list shows it."""
    text = requested.line_of(body)
    return Row(
        record,
        masking.phone(record.recipient) if masked else record.recipient,
        masking.words(text) if masked else text,
        now - record.accepted_at < FRESH,
    )


def without_text(asked: Asked) -> Asked:
    """Return the search without what would look into texts and phones; what is left out is told. A tid may be text."""
    fields = tuple(one for one in asked.fields if one[0] != "to")
    left_out = [f"{name}:{value}" for name, value in asked.fields if name == "to"]
    if searching.is_tid(asked.text):
        fields = (*fields, ("tid", asked.text.lower()))
    elif asked.text:
        left_out.append(asked.text)
    return replace(asked, fields=fields, text="", wrong=(*asked.wrong, *left_out))


def chips(asked: Asked, directory: Directory, visitor: Visitor) -> dict[str, list[Chip]]:
    """Return the chips by what they narrow: status, channel, and where there are several, account and client."""
    accounts = [name for name, _, _ in accounts_of(directory, visitor)]
    clients = sorted(directory.clients()) if visitor.client_ids is None and visitor.may(Right.SEE_ALL) else []
    values = {
        "status": [status.name.lower() for status in sorted(Status, reverse=True)],
        "channel": list(channel.known()),
        "account": accounts if 1 < len(accounts) <= MOST_CHIPS else [],
        "client": clients if 1 < len(clients) <= MOST_CHIPS else [],
    }
    return {name: [_chip(asked, name, value) for value in each] for name, each in values.items() if each}


def lifts(asked: Asked, shown: dict[str, list[Chip]]) -> list[Chip]:
    """Return a chip for each thing that is asked for and that none of the chips *shown* would lift."""
    known = {(chip.name, chip.value) for each in shown.values() for chip in each if chip.on}
    named = {name for name, _ in known}
    found = [
        Chip(name, value, on=True, query=asked.without(name, value).query())
        for name, value in asked.fields
        if (name, value) not in known and not (name == "status" and name in named)
    ]
    if asked.text:
        found.append(Chip("text", asked.text, on=True, query=replace(asked, text="").query()))
    return found


def accounts_of(directory: Directory, visitor: Visitor) -> list[tuple[str, str, str]]:
    """Return the enabled accounts that a visitor may see, as (id, channel, client), channel by channel."""
    seen = [
        (name, entry.account.channel, entry.account.client_id)
        for name, entry in directory.accounts().items()
        if visitor.client_ids is None or entry.account.client_id in visitor.client_ids
    ]
    order = {name: place for place, name in enumerate(channel.known())}
    return sorted(seen, key=lambda one: (order.get(one[1], len(order)), one[0]))


def name_of_list(parameters: Iterable[tuple[str, str]]) -> str:
    """Return what a page of the list is called in the audit, where it was revealed: what was typed may be a phone."""
    whole = sorted(f"{name}={value}" for name, value in parameters if name != "said")
    return f"messages {hashlib.sha256('&'.join(whole).encode()).hexdigest()[:12]}"


def _chip(asked: Asked, name: str, value: str) -> Chip:
    on = [given for given in asked.of(name) if given == value or (name == "status" and _same_status(given, value))]
    if on:
        lifted = asked
        for given in on:
            lifted = lifted.without(name, given)
        return Chip(name, value, on=True, query=lifted.query())
    kept = asked
    if name != "status":  # a message has one channel, so another one takes its place
        for given in asked.of(name):
            kept = kept.without(name, given)
    return Chip(name, value, on=False, query=replace(kept, fields=(*kept.fields, (name, value))).query())


def _same_status(one: str, other: str) -> bool:
    return status_of(one) is not None and status_of(one) == status_of(other)
