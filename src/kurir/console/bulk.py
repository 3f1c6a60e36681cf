"""What is done with many messages at once: which of them an action is for, and what came of it. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from kurir.domain.status import Status
from kurir.store.base import MessageRecord, Turn
from kurir.store.looking import Search

#: Messages that one press of a button acts on, at most.
MOST: Final = 10_000
ACTIONS: Final = ("retry", "cancel")

_FAILED: Final = (Status.FAILED, Status.UNDELIVERED, Status.UNSENT)


def narrowed(wanted: Search, action: str) -> Search | None:
    """Return the search for those messages that *action* is for, None where *wanted* can find none of them."""
    if action == "retry":
        statuses = tuple(one for one in _FAILED if not wanted.statuses or one in wanted.statuses)
        return replace(wanted, statuses=statuses) if statuses and wanted.queued is not True else None
    if (wanted.statuses and Status.PENDING not in wanted.statuses) or wanted.queued is False:
        return None
    return replace(wanted, statuses=(Status.PENDING,), queued=True)


def is_for(record: MessageRecord, action: str) -> bool:
    """Return whether *action* is for a message; the store has the last word."""
    if action == "retry":
        return record.status < Status.PENDING
    return record.status is Status.PENDING and record.queued


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it: how many were done, and of those that were not how many for which reason."""

    done: int
    not_done: dict[Turn, int]


def outcome(turns: Iterable[Turn]) -> Done:
    """Return what came of many turns."""
    counted = Counter(turns)
    done = counted.pop(Turn.DONE, 0)
    return Done(done, dict(counted))
