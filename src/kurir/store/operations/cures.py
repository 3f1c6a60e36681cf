"""A part that the platform took and refused by a receipt goes back into the queue, where the message offers a cure for that.

WhatsApp may tell of a closed window by its answer, or take the message and tell by a ``failed`` receipt. In the first case the
sender takes the cure (the fallback's template) at once; the second one is decided here, in the transaction of the receipt.
What the message offers for a part stands with the part since its mark, so that nothing of the message has to be read.

The parts of a message are refused each by a receipt of its own, in any order, and the template stands for all of them. So
the first part that the platform never said to have sent is queued again, whichever of them was refused first; the others are
forgotten, and their own receipts find nothing to change. The functions run inside a transaction of the writer.
"""

from typing import Final

from kurir.domain.status import Status
from kurir.store.base import Phase
from kurir.store.database import Database
from kurir.store.operations import parts, rows
from kurir.store.operations.parts import Message, News, Part

_STANDING: Final = "SELECT number, status, again FROM part WHERE seq = ?"
_FORGET_FROM: Final = "DELETE FROM part WHERE seq = ? AND number > ?"
_QUEUE: Final = """
UPDATE message SET seq = ?, queued = 1, ended_at = NULL, waiting_since = NULL, waiting_until = NULL, reason_code = ?,
    reason_detail = ?, reason_provider = ?
WHERE seq = ?
"""


def offers(part: Part, cure: str) -> bool:
    """Return whether the message offers *cure* for *part* as it was called last."""
    return bool(cure) and cure in part.cures and cure not in part.again


def reopen(db: Database, message: Message, part: Part, news: News, now: int) -> bool:
    """Queue *message* again with the cure that the failure *news* of *part* names. Returns whether that was done.

    Where it was, what the caller holds of the message's parts is out of date, *part* too, and is not to be saved.
    """
    if news.status >= Status.PENDING or part.status not in (None, Status.PENDING) or not offers(part, news.again):
        return False
    if message.status != Status.PENDING or message.erased or now >= message.expires_at:
        return False
    standing = list(db.execute(_STANDING, (message.seq,)))
    if any(news.again in rows.words(again) for _, _, again in standing):
        return False  # it is on its way for another part, or was: at most one is sent
    sent = (number for number, status, _ in standing if status is not None and status >= Status.SENT)
    first = 1 + max(sent, default=0)
    cured = parts.find_part(db, message.seq, first)
    if cured is None or first > part.number or not offers(cured, news.again):
        return False  # a later part was sent, so that what this one was refused for holds no more
    db.execute(_FORGET_FROM, (message.seq, first))
    # As a retry does: a number above every other is found by whoever reads on in the queue.
    seq = message.seq if message.queued else parts.next_seq(db)
    db.execute(_QUEUE, (seq, *rows.error_columns(news.error), message.seq))
    if seq != message.seq:
        parts.renumber(db, message.seq, seq)
    message.seq = cured.seq = seq
    message.queued = True
    cured.phase, cured.status, cured.error, cured.attempts = Phase.WAITING, None, None, 0
    cured.again, cured.platform_ids = (*cured.again, news.again), []
    cured.answered_at, cured.covered_from, cured.settled = None, None, False
    parts.save(db, cured)
    return True
