"""What somebody types into the search, and what that asks the store. Pure.

The words of the search field are names of columns with a value (``status:failed to:0812… error:131026``), and text. Text alone
may be anything: an id, a phone in any spelling, words of the message. What it looks like is tried first, in this order.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from kurir.domain import channel, recipient
from kurir.domain.message import MessageType
from kurir.domain.status import Status
from kurir.store.looking import Search

#: Names of statuses as people type them.
STATUSES: Final = {status.name.lower(): status for status in Status} | {
    "queued": Status.PENDING,
    "waiting": Status.PENDING,
}
#: The longest search that is read, in characters.
LONGEST: Final = 2000

_TERM: Final = re.compile(r'(?:([a-z_]+):)?("[^"]*"|\S+)')
_TID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PHONE: Final = re.compile(r"\+?[0-9x][0-9x\s().\-]{5,}")
_AGO: Final = re.compile(r"([0-9]{1,4})(m|h|d)")
_AGO_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_NAMES: Final = {
    "to": "to",
    "recipient": "to",
    "phone": "to",
    "id": "id",
    "tid": "tid",
    "platform": "platform_id",
    "platform_id": "platform_id",
    "client": "client",
    "channel": "channel",
    "account": "account",
    "status": "status",
    "type": "type",
    "error": "error",
    "since": "since",
    "until": "until",
}
#: What an address of a search may hold: what was typed, and each field by its name.
PARAMETERS: Final = ("q", *dict.fromkeys(_NAMES.values()))
#: Fields of which a message has one, so that only the last that was asked for counts.
_SINGLE: Final = frozenset({"id", "tid", "platform_id", "channel", "account", "type", "error", "since", "until"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A search as it was asked: the fields, each a chip, and the text beside them. ``wrong`` is what could not be read."""

    fields: tuple[tuple[str, str], ...] = ()
    text: str = ""
    wrong: tuple[str, ...] = field(default=())

    def of(self, name: str) -> tuple[str, ...]:
        """Return the values of a field."""
        return tuple(value for key, value in self.fields if key == name)

    def without(self, name: str, value: str) -> "Asked":
        """Return the search without one of its fields."""
        return replace(self, fields=tuple(one for one in self.fields if one != (name, value)))

    def without_names(self, names: Iterable[str]) -> "Asked":
        """Return the search without any of these fields."""
        left_out = frozenset(names)
        return replace(self, fields=tuple(one for one in self.fields if one[0] not in left_out))

    def query(self) -> str:
        """Return the search as it is typed."""
        quoted = [f'{name}:"{value}"' if " " in value else f"{name}:{value}" for name, value in self.fields]
        return " ".join([*quoted, self.text]).strip()


def read(typed: str) -> Asked:
    """Return what was typed as a search."""
    fields: list[tuple[str, str]] = []
    words: list[str] = []
    wrong: list[str] = []
    if len(typed) > LONGEST:
        wrong.append(f"{typed[LONGEST : LONGEST + 20]}…")
    for match in _TERM.finditer(typed[:LONGEST]):
        name, value = match.group(1), match.group(2)
        if name is None or name not in _NAMES:
            words.append(match.group(0))
            continue
        plain = value.strip('"')
        if _is_wrong(_NAMES[name], plain):
            wrong.append(match.group(0))
        elif plain:
            fields.append((_NAMES[name], plain))
    return Asked(_last_ones(fields), " ".join(words), tuple(wrong))


def _last_ones(fields: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return each field once; of those of which a message has one, the last."""
    last = {name: value for name, value in fields if name in _SINGLE}
    return tuple(one for one in dict.fromkeys(fields) if last.get(one[0], one[1]) == one[1])


def _is_wrong(name: str, value: str) -> bool:
    match name:
        case "status":
            return status_of(value) is None
        case "channel":
            return channel.canonical(value) not in channel.known()
        case "since" | "until":
            return moment_of(value, datetime.now(UTC)) is None
        case "type":
            return value not in {kind.value for kind in MessageType}
    return False


def is_tid(text: str) -> bool:
    """Return whether *text* is the gateway's id of a message."""
    return _TID.fullmatch(text.lower()) is not None


def status_of(value: str) -> Status | None:
    """Return the status that somebody named: a number of the API, or a word."""
    if re.fullmatch(r"-?[0-3]", value):
        return Status(int(value))
    return STATUSES.get(value.lower())


def moment_of(value: str, now: datetime) -> datetime | None:
    """Return the time that somebody named: 15m, 2h, 7d ago, a date, or a time (RFC 3339; without an offset UTC)."""
    ago = _AGO.fullmatch(value)
    if ago is not None:
        return now - timedelta(**{_AGO_UNITS[ago.group(2)]: int(ago.group(1))})
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def searches(asked: Asked, *, client_ids: Sequence[str] | None, regions: Iterable[str], now: datetime) -> list[Search]:
    """Return what to ask the store for, in order: the first that finds anything is the answer.

    *client_ids* is whose messages may be seen, None for everybody's; *regions* are the clients' own, for phones without a
    country code.
    """
    found = regions if isinstance(regions, list) else list(regions)
    base = _with_fields(asked, client_ids, found, now)
    text = asked.text.strip()
    if not text:
        return [base]
    if is_tid(text):
        return [replace(base, tid=text.lower())]
    tries: list[Search] = []
    if " " not in text and len(text) >= 3:
        tries += [replace(base, message_id=text), replace(base, platform_id=text)]
    if not base.recipients and (_PHONE.fullmatch(text) or _is_address(text)):
        tries.append(replace(base, recipients=spellings(text, found)))
    return [*tries, replace(base, words=text)]


def _with_fields(asked: Asked, client_ids: Sequence[str] | None, regions: list[str], now: datetime) -> Search:
    def first(name: str) -> str | None:
        return next(iter(asked.of(name)), None)

    wanted = asked.of("client")
    whose = None if client_ids is None else tuple(client_ids)
    if wanted:
        whose = tuple(one for one in wanted if whose is None or one in whose)
    since, until = first("since"), first("until")
    return Search(
        client_ids=whose,
        channel=channel.canonical(first("channel") or "") or None,
        account_id=first("account"),
        tid=first("tid"),
        message_id=first("id"),
        platform_id=first("platform_id"),
        recipients=tuple(dict.fromkeys(each for one in asked.of("to") for each in spellings(one, regions))),
        statuses=tuple(status for one in asked.of("status") if (status := status_of(one)) is not None),
        type=first("type"),
        error_code=first("error"),
        since=moment_of(since, now) if since else None,
        until=moment_of(until, now) if until else None,
    )


def _is_address(text: str) -> bool:
    return any(isinstance(_address(name, text), str) for name in channel.known())


def _address(name: str, text: str) -> str | None:
    read_as = recipient.read(name, text)
    return (
        read_as.value if isinstance(read_as, recipient.Recipient) and read_as.form is recipient.Form.ADDRESS else None
    )


def spellings(text: str, regions: Iterable[str]) -> tuple[str, ...]:
    """Return every spelling under which a message to *text* may stand: as typed, with and without plus and country code.

    A message keeps its recipient as the client gave it, and the address that it was sent to.
    """
    given = text.strip()
    found = [given]
    for name in channel.known():
        for region in ("", *regions):
            read_as = recipient.read(name, given, region)
            if not isinstance(read_as, recipient.Recipient):
                continue
            found += [read_as.value, f"{recipient.PREFIX_OF[name]}:{read_as.value}"]
            if read_as.form is recipient.Form.PHONE:
                for digits in recipient.variants(read_as.value):
                    found += [digits, f"+{digits}", f"phone:{digits}", *_national(digits)]
    return tuple(dict.fromkeys(found))


def _national(digits: str) -> list[str]:
    import phonenumbers  # noqa: PLC0415 - costs 20 ms at the first search for a phone

    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return []
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    return ["".join(sign for sign in written if sign.isdigit())]


def from_parameters(parameters: Mapping[str, Sequence[str]]) -> Asked:
    """Return the search that an address asks for: ``q``, and fields by their names."""
    asked = read(" ".join(parameters.get("q", ())))
    more: list[tuple[str, str]] = []
    wrong: list[str] = []
    for name in dict.fromkeys(_NAMES.values()):
        for value in parameters.get(name, ()):
            plain = " ".join(value.replace('"', " ").split())[:LONGEST]
            if plain and _is_wrong(name, plain):
                wrong.append(f"{name}:{plain}")
            elif plain:
                more.append((name, plain))
    return replace(asked, fields=_last_ones([*asked.fields, *more]), wrong=(*asked.wrong, *wrong))
