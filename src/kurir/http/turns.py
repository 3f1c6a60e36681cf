"""Why a message was not cancelled or retried: a code of the registry, and a sentence."""

from kurir.domain.problem import Problem
from kurir.domain.status import Status
from kurir.store.base import MessageRecord, Turn


def refusal(turn: Turn, record: MessageRecord) -> Problem:
    """Return why nothing was done with *record*. *turn* is anything but DONE."""
    status = f"{int(record.status)} ({record.status.name.lower()})"
    if turn is Turn.NOT_FAILED:
        detail = f"its status is {status}; only a message with a status below 0 is retried"
        return Problem("", "not_failed", detail)
    if turn is Turn.BEGUN:
        detail = "a part of it was handed to the platform, which has it or may have it, and that cannot be taken back"
        return Problem("", "already_partly_sent", detail)
    if record.status < Status.PENDING:
        detail = f"it ended with the status {status}: {record.error.detail if record.error else ''}".rstrip(": ")
        return Problem("", "already_ended", detail)
    return Problem("", "already_ended", f"the platform has it; its status is {status}")
