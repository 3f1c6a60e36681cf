"""What the home page shows: a card for each account, what happened over time, the top errors, the first steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from kurir.console.rights import Right
from kurir.console.words import mark
from kurir.delivery.state import AccountState, Standing
from kurir.domain.errors import ERRORS, ErrorEntry
from kurir.store.base import AccountRecord, QueueDepth
from kurir.store.inbound import QuotaRecord
from kurir.store.looking import ErrorTally, LastOfAccount, Tally

#: A range of the chart: its name → how long, and the seconds of a step of the chart and of an account's small line.
RANGES: Final = {
    "3h": (timedelta(hours=3), 300, 300),
    "24h": (timedelta(hours=24), 900, 3600),
    "7d": (timedelta(days=7), 3600, 21_600),
    "30d": (timedelta(days=30), 21_600, 86_400),
}
RANGE_NAMES: Final = {
    "3h": mark("3 hours"),
    "24h": mark("24 hours"),
    "7d": mark("7 days"),
    "30d": mark("30 days"),
}
#: Accounts that have a card on the home page.
CARDS: Final = 24
#: The lines of the chart; a failure is any kind of failure.
LINES: Final = ("accepted", "sent", "failed")


@dataclass(frozen=True, slots=True)
class AccountCard:
    """An account on the home page. ``node`` is the host that works for it, "" where there is only one."""

    record: AccountRecord
    state: AccountState
    depth: QueueDepth | None
    last: LastOfAccount | None
    quota: QuotaRecord | None
    webhook_at: datetime | None
    spark: str
    node: str = ""

    @property
    def entry(self) -> ErrorEntry | None:
        """What is known of the reason why it does not simply work: its cause, and what to do. None where there is none."""
        return ERRORS.get(self.state.reason.code) if self.state.reason is not None else None

    def waits_for(self, now: datetime) -> timedelta | None:
        """Return for how long the oldest message has waited that is due; None: none does."""
        oldest = self.depth.oldest_at if self.depth else None
        return None if oldest is None or oldest > now else now - oldest


@dataclass(frozen=True, slots=True)
class TopError:
    """An error that messages failed with, with its entry of the registry."""

    tally: ErrorTally
    entry: ErrorEntry | None


@dataclass(frozen=True, slots=True)
class FirstStep:
    """A step of a newcomer: what it is, where it is done, whether it is, and the right that its page asks for."""

    title: str
    words: str
    where: str
    done: bool
    right: Right


def worst_first(records: Sequence[AccountRecord], state_of: Callable[[str], AccountState]) -> list[AccountRecord]:
    """Return the accounts, those first that do not simply work; what nobody enabled comes last."""
    order = {Standing.WORKING: 1, Standing.DISABLED: 2}
    return sorted(records, key=lambda one: order.get(state_of(one.id).standing, 0))


def chart(tallies: Sequence[Tally], since: datetime, until: datetime, step: int) -> dict[str, Any]:
    """Return what the chart draws: the times (seconds since 1970) and the values of each line, zeros filled in."""
    first = int(since.timestamp()) // step * step
    times = list(range(first, int(until.timestamp()) + 1, step))
    place = {at: index for index, at in enumerate(times)}
    lines = {name: [0] * len(times) for name in LINES}
    for one in tallies:
        index = place.get(int(one.at.timestamp()))
        if index is not None and one.kind in lines:
            lines[one.kind][index] += one.times
    return {"times": times, **lines, "totals": {name: sum(values) for name, values in lines.items()}}


def sparks(tallies: Sequence[Tally], since: datetime, until: datetime, step: int) -> dict[str, str]:
    """Return a small line of what each account sent: account → points in a field of 100 by 24; none where it sent nothing."""
    first = int(since.timestamp()) // step * step
    count = (int(until.timestamp()) - first) // step + 1
    found: dict[str, list[int]] = {}
    for one in tallies:
        index = (int(one.at.timestamp()) - first) // step
        if one.kind == "sent" and 0 <= index < count:
            found.setdefault(one.account_id, [0] * count)[index] += one.times
    return {account_id: _points(values) for account_id, values in found.items()}


def _points(values: Sequence[int]) -> str:
    most = max(values, default=0)
    if not most or len(values) < 2:
        return ""
    width = 100 / (len(values) - 1)
    return " ".join(f"{index * width:.1f},{23 - 21 * value / most:.1f}" for index, value in enumerate(values))


def top_errors(found: Sequence[ErrorTally]) -> list[TopError]:
    """Return the errors with what to do about them."""
    return [TopError(one, ERRORS.get(one.code)) for one in found]


def first_steps(*, has_password: bool, accounts: int, sent: bool, heard: bool, endpoints: bool) -> list[FirstStep]:
    """Return the first steps in their order. A visitor is shown those that she has the right to take."""
    return [
        FirstStep(mark("Set a password"), mark("The link that let you in is used up."), "/me", has_password, Right.SEE),
        FirstStep(
            mark("Connect a channel"),
            mark("A bot, a number, a page: in one paste."),
            "/accounts/new",
            accounts > 0,
            Right.OPERATE,
        ),
        FirstStep(mark("Send a message"), mark("By the API, or by hand from here."), "/messages/new", sent, Right.ACT),
        FirstStep(
            mark("Get an answer"),
            mark("Write to the account from a phone: it shows under Contacts."),
            "/contacts",
            heard,
            Right.ACT,
        ),
        FirstStep(
            mark("Be called back"),
            mark("Add the address that is told of receipts and answers."),
            "/callbacks",
            endpoints,
            Right.OPERATE,
        ),
    ]
