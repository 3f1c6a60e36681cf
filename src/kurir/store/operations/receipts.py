"""Receipts: news of parts from the platforms, in any order, any number of times, before or after the answer.

A receipt finds its part by platform id, else by the reference that we gave the platform to carry; a watermark covers
all parts to an address. What finds no part yet is kept, and :func:`catch_up` applies it when the part's answer is
recorded. A failure that the message has a cure for queues it again (:mod:`kurir.store.operations.cures`). The functions run
inside a transaction of the writer.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from kurir.domain.status import Status, advance
from kurir.store.base import Phase, ReceiptRecord, Received
from kurir.store.database import Database
from kurir.store.operations import cures, parts, rows
from kurir.store.operations.parts import Message, News, Part

_SEEN: Final = """
INSERT INTO inbound_event (account_id, digest, received_at) VALUES (?, ?, ?)
ON CONFLICT (account_id, digest) DO NOTHING
"""
_BY_PLATFORM_ID: Final = "SELECT tid, part FROM platform_id WHERE account_id = ? AND platform_id = ? AND tid <> ''"
_KEEP: Final = """
INSERT INTO early_receipt (account_id, platform_id, reference, address, status, at, error_code, error_detail,
                           error_provider, again, received_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_KEPT: Final = """
SELECT id, status, at, error_code, error_detail, error_provider, platform_id, again
FROM early_receipt WHERE account_id = ? AND platform_id = ? AND platform_id <> ''
UNION
SELECT id, status, at, error_code, error_detail, error_provider, platform_id, again
FROM early_receipt WHERE account_id = ? AND reference = ? AND reference <> ''
ORDER BY id
"""
_DROP: Final = "DELETE FROM early_receipt WHERE id = ?"
_RAISE_WATERMARK: Final = """
INSERT INTO watermark (account_id, address, status, up_to, event_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (account_id, address, status) DO UPDATE SET up_to = excluded.up_to, event_at = excluded.event_at
    WHERE excluded.up_to > watermark.up_to
"""
_WATERMARKS: Final = """
SELECT status, event_at FROM watermark WHERE account_id = ? AND address = ? AND up_to >= ? ORDER BY status
"""
_COVERED: Final = """
SELECT message.tid, part.number FROM part JOIN message ON message.seq = part.seq
WHERE part.account_id = ? AND part.address = ? AND part.status = ? AND part.covered_from <= ? AND part.status < 3
ORDER BY part.seq, part.number
"""


def receive(db: Database, receipts: Sequence[ReceiptRecord], at: datetime) -> Received:
    """Apply or keep *receipts*; skip those that were received before."""
    now = rows.micros(at)
    new = waiting = 0
    settled: dict[tuple[str, str], None] = {}
    for receipt in receipts:
        if not is_new(db, receipt.account_id, receipt.event_id, now):
            continue
        new += 1
        waiting += _apply(db, receipt, now, settled)
    return Received(new, waiting, tuple(settled))


def is_new(db: Database, account_id: str, event_id: str, now: int) -> bool:
    """Note that the account had an event. Returns whether it is the first time.

    Kept is a digest: a wamid is base64 around the person's number, and whoever is erased has to be erased here, too.
    """
    db.execute(_SEEN, (account_id, hashlib.sha256(event_id.encode()).digest()[:16], now))
    return db.changes() > 0


def _apply(db: Database, receipt: ReceiptRecord, now: int, settled: dict[tuple[str, str], None]) -> bool:
    """Apply one receipt. Returns whether it waits for its send to be recorded; notes in *settled* what it settled."""
    if receipt.watermark is not None:
        _cover(db, receipt, rows.micros(receipt.watermark), now)
        return False
    place = _known(db, receipt)
    by_id = place is not None
    place = place or _referred_place(db, receipt)
    if place is None:
        return _keep(db, receipt, now)
    message = parts.find_message(db, place[0])
    if message is None:
        return False  # deleted since: there is nothing left to change
    part = parts.find_part(db, message.seq, place[1])
    of_older_run = by_id and (part is None or receipt.platform_id not in part.platform_ids)
    if of_older_run and receipt.status < Status.PENDING:
        return False  # what an earlier run sent failed, which is known, or is sent anew
    if part is None:  # a retry forgot it: the proof waits for what is sent in its stead
        waits = replace(receipt, platform_id="", reference=f"{message.tid}:{place[1]}")
        return message.queued and _keep(db, waits, now)
    if by_id and part.again and receipt.platform_id not in part.platform_ids and receipt.status < Status.DELIVERED:
        return False  # that copy was refused since, and something else is sent in its stead
    if not by_id and part.phase is Phase.IN_FLIGHT and cures.offers(part, receipt.again):
        return _keep(db, receipt, now)  # its answer is still to come, and must not find the cure in its place
    again = cures.reopen(db, message, part, _news(receipt), now) if part.phase is not Phase.IN_FLIGHT else False
    if part.open or again:
        settled[part.account_id, part.address] = None
    if again:
        if receipt.platform_id:
            parts.know_as(db, message, part, receipt.platform_id)
    else:
        _tell(db, message, part, receipt, now)
    return False


def _news(receipt: ReceiptRecord) -> News:
    return News(receipt.status, rows.micros(receipt.at), receipt.error, receipt.again)


def _known(db: Database, receipt: ReceiptRecord) -> tuple[str, int] | None:
    """Return tid and part number of the platform's id, None where it is not known (yet)."""
    if not receipt.platform_id:
        return None
    row = db.execute(_BY_PLATFORM_ID, (receipt.account_id, receipt.platform_id)).fetchone()
    return None if row is None else (row[0], row[1])


def _referred_place(db: Database, receipt: ReceiptRecord) -> tuple[str, int] | None:
    """Return tid and part number of the reference that we gave, None where there is no such part (yet)."""
    if receipt.reference:
        tid, number = _referred(receipt.reference)
        message = parts.find_message(db, tid)
        known = message is not None and message.account_id == receipt.account_id
        if message is not None and known and parts.find_part(db, message.seq, number) is not None:
            return tid, number
    return None


def _referred(reference: str) -> tuple[str, int]:
    """Return tid and part of a reference. A bare tid is the first part."""
    tid, _, number = reference.partition(":")
    return tid, int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 1


def _keep(db: Database, receipt: ReceiptRecord, now: int) -> bool:
    if not receipt.platform_id and not receipt.reference:
        return False  # nothing will ever match it
    db.execute(
        _KEEP,
        (
            receipt.account_id,
            receipt.platform_id,
            receipt.reference,
            receipt.address,
            int(receipt.status),
            rows.micros(receipt.at),
            *rows.error_columns(receipt.error),
            receipt.again,
            now,
        ),
    )
    return True


def _tell(db: Database, message: Message, part: Part, receipt: ReceiptRecord, now: int) -> None:
    """Let a known part learn a receipt."""
    news = _news(receipt)
    if _of_lost_copy(part, receipt.platform_id, receipt.status):
        return
    new_id = bool(receipt.platform_id) and receipt.platform_id not in part.platform_ids
    if new_id:
        parts.know_as(db, message, part, receipt.platform_id)
    settles = part.open
    if settles:
        part.phase, part.settled = Phase.ANSWERED, True
        part.answered_at = min(news.at, now)
        part.covered_from = part.answered_at - parts.TOLERANCE
    parts.learn(part, news)
    dated = news.status is Status.SENT and part.answered_at is not None and part.covered_from != news.at
    if dated:
        part.covered_from = news.at
    last = catch_up(db, message, part, news, now) if settles or new_id or dated else news
    if last is None:
        return
    parts.save(db, part)
    parts.refresh(db, message, last, now)


def _cover(db: Database, receipt: ReceiptRecord, up_to: int, now: int) -> None:
    """Keep the highest watermark, and apply this one to the parts that it covers already."""
    event_at = rows.micros(receipt.at)
    db.execute(_RAISE_WATERMARK, (receipt.account_id, receipt.address, int(receipt.status), up_to, event_at))
    covered: dict[str, list[int]] = {}
    for status in Status:
        if advance(status, receipt.status) == status:
            continue
        reach = (receipt.account_id, receipt.address, int(status), up_to)
        for tid, number in db.execute(_COVERED, reach):
            covered.setdefault(tid, []).append(number)
    news = News(receipt.status, event_at, receipt.error)
    for tid, numbers in covered.items():
        message = parts.find_message(db, tid)
        if message is None:
            continue
        for number in numbers:
            part = parts.find_part(db, message.seq, number)
            if part is not None:
                parts.learn(part, news)
                parts.save(db, part)
        parts.refresh(db, message, news, now)


def _of_lost_copy(part: Part, platform_id: str, status: Status) -> bool:
    """Return whether one of two copies of *part* failed, and not the one that its answer told of."""
    return status < Status.PENDING and bool(part.platform_ids and platform_id) and platform_id not in part.platform_ids


def catch_up(db: Database, message: Message, part: Part, news: News, now: int) -> News | None:
    """Let a part whose answer has just become known learn what came before it.

    Returns what changed it last; None where the message was queued again for a cure, so that *part* is out of date.
    """
    last = news
    while (kept := _take_kept(db, message, part)) is not None:  # an id that one of them brings may lead to more
        early, platform_id = kept
        if _of_lost_copy(part, platform_id, early.status):
            continue
        if platform_id:
            parts.know_as(db, message, part, platform_id)
        if cures.reopen(db, message, part, early, now):
            return None
        if early.status is Status.SENT:
            part.covered_from = early.at
        if parts.learn(part, early):
            last = early
    if part.covered_from is not None:
        marks = (part.account_id, part.address, part.covered_from)
        for status, event_at in list(db.execute(_WATERMARKS, marks)):
            reached = News(Status(status), event_at)
            if parts.learn(part, reached):
                last = reached
    return last


def _take_kept(db: Database, message: Message, part: Part) -> tuple[News, str] | None:
    """Return the early receipt of *part* that came first, with its platform id, and keep it no longer; None: no more."""
    kept = _kept(db, message, part)
    if not kept:
        return None
    first = min(kept, key=lambda row: row[0])
    db.execute(_DROP, (first[0],))
    return _early(first)


def cure(db: Database, message: Message, part: Part, now: int) -> bool:
    """Take the cure of a part that will have no answer, where a receipt that was kept names it. Returns whether it did.

    As for :func:`kurir.store.operations.cures.reopen`, *part* is out of date then.
    """
    for row in _kept(db, message, part):
        early, platform_id = _early(row)
        if cures.reopen(db, message, part, early, now):
            db.execute(_DROP, (row[0],))
            if platform_id:
                parts.know_as(db, message, part, platform_id)
            return True
    return False


def _early(row: rows.Row) -> tuple[News, str]:
    return News(Status(row[1]), row[2], rows.error_or_none(*row[3:6]), row[7]), row[6]


def _kept(db: Database, message: Message, part: Part) -> list[rows.Row]:
    """Return the early receipts of *part*."""
    references = [f"{message.tid}:{part.number}"]
    if part.number == 1:
        references.append(message.tid)
    return [
        row
        for platform_id in part.platform_ids or [""]
        for reference in references
        for row in db.execute(_KEPT, (part.account_id, platform_id, part.account_id, reference))
    ]
