"""What the pages of callbacks show: how an endpoint stands and has done, what was delivered, what was tried. Pure."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from kurir.callbacks import ladder as rungs
from kurir.callbacks.ladder import Standing, Why
from kurir.console.words import mark
from kurir.store.base import EndpointRecord
from kurir.store.feed import CallbackAttempt, Endpoint, Ladder
from kurir.store.looking import LatelyTried

#: Tries of which the bars and the rate are made.
LATELY: Final = 60
#: So many tries in a row without a taken one are no accident of single events.
IN_A_ROW: Final = 5
#: Why a try was no success, in words for people; the code stands beside them.
REASONS: Final = {
    Why.COULD_NOT_CONNECT: mark("No connection: the address, the certificate or a firewall is in the way."),
    Why.REQUEST_TIMEOUT: mark("No whole answer in time: take the event first, work afterwards."),
    Why.ERROR_STATUS_CODE: mark("It answered with an HTTP status other than 2xx."),
    Why.UNCLASSIFIED: mark("Another failure; the detail says which."),
}
#: What there is an example of, and what it is.
EXAMPLES: Final = {
    "message.received": mark("a message of a person"),
    "message.status": mark("a status of a message"),
    "postback.received": mark("a press of a button"),
}
#: Which endpoints come first in a list: what needs somebody.
_ORDER: Final = (Standing.PAUSED, Standing.FAILING, Standing.WORKING, Standing.DISABLED)


@dataclass(frozen=True, slots=True)
class Bar:
    """One try in the row of bars, of the oldest first."""

    at: datetime
    taken: bool
    status: int
    error: str


@dataclass(frozen=True, slots=True)
class Health:
    """How the last tries went: the bars, how many were taken, the median time of an answer in milliseconds."""

    bars: tuple[Bar, ...]
    taken: int
    median_ms: int

    @property
    def slots(self) -> int:
        """Bars that there is room for: a row is as wide with few as with many."""
        return max(LATELY, len(self.bars))

    @property
    def rate(self) -> int:
        """Taken tries, in whole percent; only 100 where all were."""
        return self.taken * 100 // len(self.bars) if self.bars else 0

    @property
    def refused(self) -> Bar | None:
        """The last try, where none of the last ones was taken: the endpoint answers, and takes nothing. Else None."""
        last = self.bars[-IN_A_ROW:]
        return last[-1] if len(last) == IN_A_ROW and not any(bar.taken for bar in last) else None


@dataclass(frozen=True, slots=True)
class Card:
    """An endpoint as the pages show it."""

    endpoint: Endpoint
    ladder: Ladder
    in_flight: int
    health: Health
    standing: Standing
    reason: str
    since: datetime | None

    @property
    def needs_somebody(self) -> bool:
        """Whether events wait that do not flow by themselves, or only later."""
        return self.standing in (Standing.PAUSED, Standing.FAILING)

    @property
    def refusing(self) -> Bar | None:
        """The last try of an endpoint that is called as ever and takes nothing: it refuses each event for itself."""
        return self.health.refused if self.standing is Standing.WORKING else None


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a delivery. ``code`` is one of LINE's four reasons, "" for success; ``sentence`` says it to people."""

    at: datetime
    duration_ms: int
    status: int
    code: str
    detail: str
    sentence: str
    headers: dict[str, Any]
    body: str

    @property
    def taken(self) -> bool:
        """Whether the endpoint took the event."""
        return not self.code and 200 <= self.status < 300


def card(endpoint: Endpoint, ladder: Ladder, in_flight: int, tried: Sequence[LatelyTried]) -> Card:
    """Return an endpoint as it is shown. *tried* are its last tries, newest first."""
    standing, reason, since = rungs.standing(ladder, enabled=endpoint.record.enabled)
    return Card(endpoint, ladder, in_flight, health(tried), standing, reason, since)


def in_order(cards: Sequence[Card]) -> list[Card]:
    """Return cards with what needs somebody first, then by client and URL."""
    return sorted(
        cards,
        key=lambda one: (_ORDER.index(one.standing), one.endpoint.record.client_id, one.endpoint.record.url),
    )


def health(tried: Sequence[LatelyTried]) -> Health:
    """Return how tries went that are given newest first."""
    by_time = sorted(tried, key=lambda one: one.at)
    bars = tuple(Bar(one.at, _is_taken(one.status, one.error), one.status, one.error) for one in by_time)
    times = sorted(one.duration_ms for one in tried)
    return Health(bars, sum(bar.taken for bar in bars), times[len(times) // 2] if times else 0)


def _is_taken(status: int, error: str) -> bool:
    return not error and 200 <= status < 300


def tried(attempt: CallbackAttempt) -> Try:
    """Return a try as it is shown."""
    code, _, detail = attempt.error.partition(": ")
    try:
        headers = json.loads(attempt.headers or "{}")
    except ValueError:
        headers = {}
    return Try(
        at=attempt.at,
        duration_ms=attempt.duration_ms,
        status=attempt.status,
        code=code,
        detail=detail,
        sentence=reason_of(code),
        headers=headers if isinstance(headers, dict) else {},
        body=attempt.body.decode("utf-8", "replace"),
    )


def reason_of(code: str) -> str:
    """Return the sentence of a reason, "" for none that is known. A text of the catalogue."""
    try:
        return REASONS[Why(code)]
    except ValueError:
        return ""


def wrong_fields(pointers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the first sentence about each field of a form, out of (pointer, sentence); "" for the form as a whole."""
    found: dict[str, str] = defaultdict(str)
    for pointer, sentence in pointers:
        name = pointer.lstrip("/").partition("/")[0]
        found[name] = found[name] or sentence
    return found


def tag(record: EndpointRecord) -> str:
    """Return what changes with each secret: a form that was sent twice rotates once, and the secret in use is not lost."""
    return hashlib.sha256(record.sealed).hexdigest()[:16]
