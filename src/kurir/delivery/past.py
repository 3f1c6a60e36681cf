"""What a part has been through, as its attempts tell it: pure arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kurir.channels.base import Call
from kurir.delivery.doubt import Doubt
from kurir.store.base import AttemptRecord, PartRecord

#: How long a repeat is relied on to be harmless where the platform makes it so: LINE forgets a retry key after 24 h.
REPEATABLE: Final = timedelta(hours=23)


@dataclass(slots=True)
class Past:
    """What the attempts of a part came to so far: how many were faults, and how many ended unknown.

    *since*: when the first was made that may have left. *late*: how many ended unknown after a repeatable part had
    ceased to be so. *before*: when the last call of an earlier run was made that may have left. *doubt*: its last outcome
    that became unknown, None where this process did not see that.
    """

    faults: int = 0
    unknown: int = 0
    since: datetime | None = None
    late: int = 0
    before: datetime | None = None
    doubt: Doubt | None = None

    def count(self, attempt: AttemptRecord) -> None:
        """Add *attempt*."""
        unknown = attempt.outcome == "unknown"
        self.unknown += unknown
        self.late += unknown and self.lapsed(attempt.at)
        self.faults += attempt.outcome == "retry" and attempt.counted
        if self.since is None and (unknown or attempt.status >= 500):  # with a key, a 5xx may have been taken too
            self.since = attempt.at

    def lapsed(self, now: datetime) -> bool:
        """Return whether it is too long ago for the platform to know a repeat."""
        return self.since is not None and now >= self.since + REPEATABLE

    def in_doubt(self, call: Call, now: datetime) -> bool:
        """Return whether *call* would perhaps send the part a second time."""
        return self.lapsed(now) if call.repeatable else self.unknown > 0

    def copies(self, call: Call) -> int:
        """Return how many copies may have left in this run. Those that the platform knew as repeats are one."""
        return 1 + self.late if call.repeatable else self.unknown

    def doubtful(self) -> bool:
        """Return whether a copy may have left, so that what is sent now may be one too many."""
        return self.unknown > 0 or self.before is not None

    def forgotten(self, now: datetime) -> bool:
        """Return whether the platform may have forgotten the key of an earlier run's call that may have left."""
        return self.before is not None and now >= self.before + REPEATABLE


def past_of(attempts: Sequence[AttemptRecord], part: PartRecord, run: int, calls: int) -> Past:
    """Return what *attempts* of *part* came to in *run*, in which it had so many *calls*.

    Of fewer attempts than calls, some were cut short and nobody wrote that down.
    """
    mine = [attempt for attempt in attempts if attempt.run == run][-calls:] if calls > 0 else []
    doubts = [attempt.at for attempt in attempts if attempt.run < run and attempt.outcome == "unknown"]
    past = Past(before=max(doubts, default=None))
    for attempt in mine:
        past.count(attempt)
    lost = calls - len(mine)
    if lost > 0:
        past.unknown += lost
        past.since = min((attempt.at for attempt in mine), default=part.marked_at)
    return past
