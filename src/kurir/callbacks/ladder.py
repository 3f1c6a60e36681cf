"""What an endpoint's answer means, and when it is tried again: pure arithmetic.

| answer | is about | what follows |
|---|---|---|
| 2xx | the event | it is delivered; an endpoint on its ladder is off it |
| none, 5xx, 408, 429 | the endpoint | it goes one step down its ladder (:data:`WAITS`); the event stays owed |
| 410 | the endpoint | it is paused at once |
| another 4xx, 3xx | the event | three tries within a minute, then it failed; the endpoint is off its ladder |

After the first failure 5 s are waited, then 30 s, 2 min, 10 min, 2, 6, 16, 24 and 24 h, 72 h 12 min in all: most outages are
a restart, and a minute of it should not cost five. After the tenth failure in a row the endpoint is paused. Each wait is
drawn from itself to a tenth more, so that endpoints of one host do not come back together. ``Retry-After`` is obeyed up to a
day: the wait is never shorter than that, nor shorter than the step's own, since an endpoint that asks for a second each time
would be paused within ten.

What fails together is one step: ten calls that were under way when the endpoint went down are not ten steps. While an
endpoint is on its ladder one event at a time probes it. An event that breaks an endpoint which takes the others (it answers
500 to that one alone) waits by the same steps, by itself; at the tenth time it failed.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

from kurir.store.feed import Ladder

_HOUR: Final = 3600.0
#: Seconds after the n-th failure of an endpoint in a row, from the first.
WAITS: Final = (
    5.0, 30.0, 120.0, 600.0, 2 * _HOUR, 6 * _HOUR, 16 * _HOUR, 24 * _HOUR, 24 * _HOUR,
)  # fmt: skip
#: The failure in a row that pauses.
LAST_STEP: Final = len(WAITS) + 1
#: Seconds after the first and the second refusal of an event; the third is the last.
EVENT_WAITS: Final = (5.0, 20.0)
#: How much longer than itself a wait is drawn at most.
JITTER: Final = 0.1
#: The longest ``Retry-After`` that is obeyed, in seconds.
LONGEST: Final = 24 * _HOUR

OPERATOR: Final = "paused by the operator"


class Why(StrEnum):
    """Why a try was no success: LINE's four reasons ("Webhook errors"), the code of the attempt's error."""

    COULD_NOT_CONNECT = "could_not_connect"
    REQUEST_TIMEOUT = "request_timeout"
    ERROR_STATUS_CODE = "error_status_code"
    UNCLASSIFIED = "unclassified"


class Standing(StrEnum):
    """How an endpoint stands, for those who ask."""

    WORKING = "working"
    FAILING = "failing"
    PAUSED = "paused"
    DISABLED = "disabled"


class Verdict(StrEnum):
    """What an answer is about."""

    TAKEN = "taken"
    ENDPOINT = "endpoint"
    GONE = "gone"
    EVENT = "event"


def standing(ladder: Ladder, *, enabled: bool) -> tuple[Standing, str, datetime | None]:
    """Return how an endpoint stands, why ("" for nothing), and since when."""
    if not enabled:
        return Standing.DISABLED, "", None
    if ladder.paused_at is not None:
        return Standing.PAUSED, ladder.paused_reason, ladder.paused_at
    if ladder.failures:
        return Standing.FAILING, ladder.last_error, ladder.failing_since
    return Standing.WORKING, "", None


def judge(status: int) -> Verdict:
    """Return what the HTTP status of an answer means; 0 where no answer came."""
    if 200 <= status < 300:
        return Verdict.TAKEN
    if status == 410:
        return Verdict.GONE
    if status < 100 or status >= 500 or status in (408, 429):
        return Verdict.ENDPOINT
    return Verdict.EVENT


def blames_event(status: int, why: str, headers: Mapping[str, str]) -> bool:
    """Return whether a failure of the endpoint may be this event's doing: it was read, and nothing said to slow down."""
    throttled = status == 429 or "retry-after" in headers
    return not throttled and why != Why.COULD_NOT_CONNECT


def retry_after(headers: Mapping[str, str], now: datetime) -> float:
    """Return the seconds that ``Retry-After`` (RFC 9110, 10.2.3) asks for, 0 to a day; 0 where it asks for nothing."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - now).total_seconds()), LONGEST)


def step(ladder: Ladder, now: datetime, error: str, *, asked: float = 0.0, draw: float = 0.0) -> Ladder:
    """Return *ladder* after one more failure at *now*. *asked* is :func:`retry_after`; *draw* a number from 0 to 1."""
    failures = ladder.failures + 1
    since = ladder.failing_since or now
    if failures >= LAST_STEP:
        reason = f"it failed {failures} times in a row since {since:%Y-%m-%d %H:%M} UTC; last: {error}"
        return Ladder(failures, since, None, now, reason[:500], error[:500])
    wait = max(WAITS[failures - 1] * (1 + JITTER * draw), asked)
    return Ladder(failures, since, now + timedelta(seconds=wait), None, "", error[:500])


def later(ladder: Ladder, now: datetime, asked: float) -> Ladder:
    """Return *ladder* with its next try no earlier than *asked* seconds from *now*; no step."""
    until = now + timedelta(seconds=asked)
    if asked <= 0 or ladder.next_at is None or ladder.next_at >= until:
        return ladder
    return replace(ladder, next_at=until)


def gone(ladder: Ladder, now: datetime) -> Ladder:
    """Return *ladder* paused by a 410."""
    reason = "it answered 410 Gone: it wants no callbacks any more"
    return Ladder(ladder.failures + 1, ladder.failing_since or now, None, now, reason, "error_status_code: 410")


def paused(ladder: Ladder, now: datetime) -> Ladder:
    """Return *ladder* paused by the operator; one that is paused already keeps its reason."""
    return ladder if ladder.paused_at else replace(ladder, next_at=None, paused_at=now, paused_reason=OPERATOR)


def resumed(now: datetime) -> Ladder:
    """Return the ladder of an endpoint that goes on: it is probed at once, from the first step."""
    return Ladder(next_at=now)


def event_wait(refusals: int, draw: float) -> float | None:
    """Return the seconds until an event is tried again that was refused so many times; None: it failed."""
    return EVENT_WAITS[refusals - 1] * (1 + JITTER * draw) if refusals <= len(EVENT_WAITS) else None


def fault_wait(faults: int, draw: float) -> float | None:
    """Return the seconds that an event waits by itself which broke the endpoint so many times; None: it failed."""
    return WAITS[faults - 1] * (1 + JITTER * draw) if faults <= len(WAITS) else None
