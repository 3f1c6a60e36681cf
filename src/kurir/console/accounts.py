"""What the pages of accounts show: the list and its filters, a day as a strip, what limits mean, the last check. Pure."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from kurir.channels.setup import Report
from kurir.configuration.accounts import ChannelKey
from kurir.console.overview import AccountCard
from kurir.console.words import mark
from kurir.delivery.state import AccountState, Standing
from kurir.domain.account import Rate
from kurir.domain.problem import Problem
from kurir.store.looking import Tally

#: A day as a strip: so many pieces of so many seconds.
STRIP: Final = timedelta(hours=24)
STRIP_STEP: Final = 1800
#: Reports that are remembered; the oldest goes first.
_REPORTS: Final = 500

#: What the limits are about, by name. Channels of other packages may have more.
LIMITS: Final = {
    "account": mark("every call of the account"),
    "recipient": mark("calls to one recipient"),
    "group": mark("calls to one group"),
    "push": mark("push messages"),
    "reply": mark("reply messages"),
    "media": mark("uploads and downloads of files"),
}


#: What a finding says to do, where a button of the console does it. The others say it themselves.
FIXES: Final = {
    "webhook_elsewhere": mark("Stop that system, or take the webhook over here."),
    "webhook_missing": mark("Set the webhook here."),
    "updates_missing": mark("Set the webhook here: that asks for all that the gateway reads."),
    "app_not_subscribed": mark("Set the webhook here: that subscribes it."),
}


# --- the list -----------------------------------------------------------------------------------------------------------


def chosen(cards: Sequence[AccountCard], wanted: Mapping[str, str]) -> list[AccountCard]:
    """Return the cards that *wanted* (channel, standing, client; "" is any) lets through."""
    return [
        card
        for card in cards
        if wanted.get("channel", "") in ("", card.record.channel)
        and wanted.get("standing", "") in ("", card.state.standing.value)
        and wanted.get("client", "") in ("", card.record.client_id)
    ]


def choices(cards: Sequence[AccountCard]) -> dict[str, list[str]]:
    """Return by what the list can be narrowed, where it would make a difference."""
    order = [one.value for one in Standing]
    values = {
        "channel": sorted({card.record.channel for card in cards}),
        "standing": sorted({card.state.standing.value for card in cards}, key=order.index),
        "client": sorted({card.record.client_id for card in cards}),
    }
    return {name: each for name, each in values.items() if len(each) > 1}


# --- a day ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Beat:
    """A piece of the strip: how much was sent and how much failed from *at* on."""

    at: datetime
    sent: int = 0
    failed: int = 0

    @property
    def kind(self) -> str:
        """How it went: none, good, mixed or bad."""
        if not self.failed:
            return "good" if self.sent else "none"
        return "mixed" if self.sent else "bad"

    @property
    def bad_share(self) -> float:
        """The share that failed, 0 to 1; something is always seen of a failure."""
        return 0.0 if not self.failed else max(0.12, self.failed / (self.failed + self.sent))


def strip(tallies: Iterable[Tally], account_id: str, since: datetime, until: datetime) -> list[Beat]:
    """Return an account's day in pieces, the oldest first."""
    first = int(since.timestamp()) // STRIP_STEP * STRIP_STEP
    beats: OrderedDict[int, list[int]] = OrderedDict(
        (at, [0, 0]) for at in range(first, int(until.timestamp()) + 1, STRIP_STEP)
    )
    for one in tallies:
        found = beats.get(int(one.at.timestamp()))
        if found is None or one.account_id != account_id:
            continue
        if one.kind == "sent":
            found[0] += one.times
        elif one.kind == "failed":
            found[1] += one.times
    return [Beat(datetime.fromtimestamp(at, since.tzinfo), sent, failed) for at, (sent, failed) in beats.items()]


# --- limits ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Effect:
    """What a rate means: calls a minute, how many at once, and how long what waits takes at least, in seconds."""

    per_minute: float
    burst: int
    seconds: float


def effect(rate: Rate | None, waiting: int) -> Effect | None:
    """Return what *rate* means while so many messages wait (each takes one call at least); None: it limits nothing."""
    if rate is None:
        return None
    beyond = max(0, waiting - rate.burst)
    return Effect(60 * rate.count / rate.seconds, rate.burst, beyond * rate.seconds / rate.count)


# --- pausing --------------------------------------------------------------------------------------------------------------


def draining(state: AccountState) -> int | None:
    """Return how many messages of a paused account are still being sent, 0 when it is drained; None: it is not paused."""
    return state.in_flight if state.standing is Standing.PAUSED else None


# --- the settings' form -----------------------------------------------------------------------------------------------------


def words_of(key: ChannelKey) -> list[str]:
    """Return the words of which a key takes one, [] where it takes any value."""
    return re.findall(r"`([^`]+)`", key.kind)


def given_settings(keys: Sequence[ChannelKey], fields: Mapping[str, str]) -> dict[str, object]:
    """Return what a form sets of a channel's own keys. An empty secret stays as it is; another empty field is the default.

    A checkbox that is off is not sent, so that each has a hidden field ``has.<key>`` beside it.
    """
    found: dict[str, object] = {}
    for key in keys:
        name = f"s.{key.name}"
        if key.kind == "boolean":
            if f"has.{key.name}" in fields:
                found[key.name] = name in fields
        elif name in fields and (fields[name] or key.kind != "secret"):
            found[key.name] = _typed(fields[name], key.kind)
    return found


def given_options(fields: Mapping[str, str], rates: Iterable[str]) -> dict[str, object]:
    """Return what a form sets beside the channel's own keys; an empty field is the default again."""
    found: dict[str, object] = {}
    for name in ("api_base", "unknown_outcome", "unknown_wait", "inbound_media"):
        if name in fields:
            found[name] = fields[name] or None
    if "concurrency" in fields:
        found["concurrency"] = _typed(fields["concurrency"], "integer")
    if "has.default" in fields:
        found["default"] = "default" in fields
    limits = {name: fields[f"rate.{name}"] or None for name in rates if f"rate.{name}" in fields}
    if limits:
        found["rate"] = limits
    return found


def _typed(text: str, kind: str) -> object:
    """Return *text* as a value of its kind; what is none stays text, and the reader says what is wrong with it."""
    if not text:
        return None
    try:
        return int(text) if kind == "integer" else float(text) if kind == "number" else text
    except ValueError:
        return text


def by_field(problems: Iterable[Problem]) -> tuple[dict[str, str], list[str]]:
    """Return problems by the field of the form that each is about, and those that are about none."""
    found: dict[str, str] = {}
    rest: list[str] = []
    for one in problems:
        parts = [part for part in one.pointer.split("/") if part and not part.isdigit()]  # a list is one field
        name = ".".join(parts[1:] if parts[:1] == ["settings"] else parts)
        if name:
            found.setdefault(name, one.detail)
        else:
            rest.append(one.detail)
    return found, rest


# --- the last check ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found of an account, and when. ``connected``: its webhook was to be set then."""

    report: Report
    at: datetime
    connected: bool = False


@dataclass(slots=True)
class Reports:
    """The last check of each account, in memory of this process: it says how things stood, and is made again by a button."""

    _kept: OrderedDict[str, Checked] = field(default_factory=OrderedDict)

    def keep(self, account_id: str, checked: Checked) -> None:
        """Remember a check in place of the one before."""
        self._kept.pop(account_id, None)
        self._kept[account_id] = checked
        while len(self._kept) > _REPORTS:
            self._kept.popitem(last=False)

    def last(self, account_id: str) -> Checked | None:
        """Return the last check; None: there was none since this start."""
        return self._kept.get(account_id)


def counted(found: Sequence[Any], at_most: int) -> str:
    """Return how many were found, as text: «100+» where there may be more than were asked for."""
    return f"{at_most}+" if len(found) > at_most else str(len(found))
