"""How an account stands, for those who ask: values only."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kurir.domain.account import Rate
from kurir.store.base import ErrorRecord


class Standing(StrEnum):
    """Whether an account sends.

    WORKING: it does. THROTTLED: it does, slower than it may, or not before a moment that the platform named. OUT: the
    platform does not answer, and is probed. PARKED: the platform stopped the account, and is probed. PAUSED: the operator
    stopped it. DISABLED: the configuration does not have it, or not any more.
    """

    WORKING = "working"
    THROTTLED = "throttled"
    OUT = "out"
    PARKED = "parked"
    PAUSED = "paused"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class AccountState:
    """An account at this moment.

    ``reason`` says in a sentence why it does not simply work, None when it does; ``until`` is when it is tried again or
    goes on, as wall-clock time, None where nobody knows. ``in_flight`` is how many messages are being sent, ``window`` how
    many may be at present, of at most ``concurrency``. ``rate_share`` is the share of its own rate that the account sends at
    present, 1.0 when nothing slowed it. ``lanes`` are known to it, of which ``resting`` wait for something of their own;
    ``in_memory`` counts messages.
    """

    account_id: str
    standing: Standing
    reason: ErrorRecord | None = None
    until: datetime | None = None
    in_flight: int = 0
    window: int = 0
    concurrency: int = 0
    rate_share: float = 1.0
    lanes: int = 0
    resting: int = 0
    in_memory: int = 0


@dataclass(frozen=True, slots=True)
class Limit:
    """One of an account's limits at this moment, by the *name* that the configuration has for it.

    ``rate`` is the configured one, None where it is switched off; ``share`` is how much of it is used at present, 1.0 unless
    the platform's answers slowed it. ``free_at`` is when the next call may go, None when at once, or where it differs by
    recipient; then ``busy`` recipients have to wait.
    """

    name: str
    rate: Rate | None
    share: float = 1.0
    free_at: datetime | None = None
    busy: int = 0


@dataclass(frozen=True, slots=True)
class Why:
    """Why a message waits: a code of the error registry with one sentence, and until when, None where nobody knows."""

    reason: ErrorRecord
    until: datetime | None = None
