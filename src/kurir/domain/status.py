"""The status of a part and of a message, and the one rule by which it moves.

−3 Failed · −2 Undelivered · −1 Unsent · 0 Pending · 1 Sent · 2 Delivered · 3 Read.

Rule 1: within a run a status only moves forward: 0 → 1 → 2 → 3, a skipped step implied; 0 → −1, −2, −3; 1 → −2, −3.
Rule 2: 3, −1, −2 and −3 are final, and a delivered part cannot fail any more. Two proofs correct a failure that was
reported too early: that a part did leave corrects ``outcome_unknown``, and a receipt of delivery corrects −2 and −3.
Rule 3: a message's status is the least of its parts'; one failed part fails the message, whatever the others did.
"""

from collections.abc import Iterable
from enum import IntEnum


class Status(IntEnum):
    """The seed's message status."""

    FAILED = -3
    UNDELIVERED = -2
    UNSENT = -1
    PENDING = 0
    SENT = 1
    DELIVERED = 2
    READ = 3


def advance(current: Status, new: Status, *, proof_of_sending: bool = False) -> Status:
    """Return the status that follows when *new* is learned while *current* holds.

    *proof_of_sending* is true when *new* proves that a part left whose outcome was held as unknown (then SENT corrects
    FAILED). Late, doubled and reordered news return *current*.
    """
    if current >= Status.PENDING:
        if new >= Status.PENDING:
            return max(current, new)
        if current == Status.PENDING:
            return new
        if current == Status.SENT and new in (Status.UNDELIVERED, Status.FAILED):
            return new
        return current
    if new >= Status.DELIVERED and current in (Status.UNDELIVERED, Status.FAILED):
        return new
    if proof_of_sending and new >= Status.SENT and current == Status.FAILED:
        return new
    return current


def of_parts(parts: Iterable[Status], *, total: int) -> Status:
    """Return a message's status from the statuses of those of its *total* parts that have one.

    A part that has none yet counts as pending. A failure of any part is the message's failure; of several, the least.
    """
    known = list(parts)
    failed = [status for status in known if status < Status.PENDING]
    if failed:
        return min(failed)
    if len(known) < total:
        return Status.PENDING
    return min(known, default=Status.PENDING)
