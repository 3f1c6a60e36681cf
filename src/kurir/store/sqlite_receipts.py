"""Receipts: news of parts from the platforms, in any order, any number of times, before or after the answer.

A receipt finds its part by platform id, else by the reference that we gave the platform to carry; a watermark covers
all parts to an address. What finds no part yet is kept, and :func:`catch_up` applies it when the part's answer is
recorded. The functions run inside a transaction of the writer.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import apsw

from kurir.domain.status import Status, advance
from kurir.store import sqlite_parts as parts
from kurir.store import sqlite_rows as rows
from kurir.store.base import Phase, ReceiptRecord, Received
from kurir.store.sqlite_parts import Message, News, Part

_SEEN: Final = """
INSERT INTO inbound_event (account_id, event_id, received_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING
"""
_BY_PLATFORM_ID: Final = "SELECT tid, part FROM platform_id WHERE account_id = ? AND platform_id = ? AND tid <> ''"
_KEEP: Final = """
INSERT INTO early_receipt (account_id, platform_id, reference, status, at, error_code, error_detail, error_provider,
                           received_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_KEPT: Final = """
SELECT id, status, at, error_code, error_detail, error_provider, platform_id
FROM early_receipt WHERE account_id = ? AND platform_id = ? AND platform_id <> ''
UNION
SELECT id, status, at, error_code, error_detail, error_provider, platform_id
FROM early_receipt WHERE account_id = ? AND reference = ? AND reference <> ''
ORDER BY id
"""
_DROP: Final = "DELETE FROM early_receipt WHERE id = ?"
_RAISE_WATERMARK: Final = """
INSERT INTO watermark (account_id, address, status, up_to, event_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET up_to = excluded.up_to, event_at = excluded.event_at WHERE excluded.up_to > up_to
"""
_WATERMARKS: Final = """
SELECT status, event_at FROM watermark WHERE account_id = ? AND address = ? AND up_to >= ? ORDER BY status
"""
_COVERED: Final = """
SELECT message.tid, part.number FROM part JOIN message ON message.seq = part.seq
WHERE part.account_id = ? AND part.address = ? AND part.status = ? AND part.answered_at <= ? AND part.status < 3
ORDER BY part.seq, part.number
"""


def receive(db: apsw.Connection, receipts: Sequence[ReceiptRecord], at: datetime) -> Received:
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


def is_new(db: apsw.Connection, account_id: str, event_id: str, now: int) -> bool:
    """Note that the account had an event. Returns whether it is the first time."""
    db.execute(_SEEN, (account_id, event_id, now))
    return db.changes() > 0


def _apply(db: apsw.Connection, receipt: ReceiptRecord, now: int, settled: dict[tuple[str, str], None]) -> bool:
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
    if part.open:
        settled[part.account_id, part.address] = None
    _tell(db, message, part, receipt, now)
    return False


def _known(db: apsw.Connection, receipt: ReceiptRecord) -> tuple[str, int] | None:
    """Return tid and part number of the platform's id, None where it is not known (yet)."""
    if not receipt.platform_id:
        return None
    row = db.execute(_BY_PLATFORM_ID, (receipt.account_id, receipt.platform_id)).fetchone()
    return None if row is None else (row[0], row[1])


def _referred_place(db: apsw.Connection, receipt: ReceiptRecord) -> tuple[str, int] | None:
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


def _keep(db: apsw.Connection, receipt: ReceiptRecord, now: int) -> bool:
    if not receipt.platform_id and not receipt.reference:
        return False  # nothing will ever match it
    db.execute(
        _KEEP,
        (
            receipt.account_id,
            receipt.platform_id,
            receipt.reference,
            int(receipt.status),
            rows.micros(receipt.at),
            *rows.error_columns(receipt.error),
            now,
        ),
    )
    return True


def _tell(db: apsw.Connection, message: Message, part: Part, receipt: ReceiptRecord, now: int) -> None:
    """Let a known part learn a receipt."""
    news = News(receipt.status, rows.micros(receipt.at), receipt.error)
    if _of_lost_copy(part, receipt.platform_id, receipt.status):
        return
    new_id = bool(receipt.platform_id) and receipt.platform_id not in part.platform_ids
    if new_id:
        parts.know_as(db, message, part, receipt.platform_id)
    settles = part.open
    if settles:
        part.phase, part.settled = Phase.ANSWERED, True
        part.answered_at = min(news.at, now)
    parts.learn(part, news)
    last = catch_up(db, message, part, news) if settles or new_id else news
    parts.save(db, part)
    parts.refresh(db, message, last, now)


def _cover(db: apsw.Connection, receipt: ReceiptRecord, up_to: int, now: int) -> None:
    """Keep the highest watermark, and apply this one to the parts that it covers already."""
    event_at = rows.micros(receipt.at)
    db.execute(_RAISE_WATERMARK, (receipt.account_id, receipt.address, int(receipt.status), up_to, event_at))
    covered: dict[str, list[int]] = {}
    for status in Status:
        if advance(status, receipt.status) == status:
            continue
        reach = (receipt.account_id, receipt.address, int(status), up_to + parts.TOLERANCE)
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


def catch_up(db: apsw.Connection, message: Message, part: Part, news: News) -> News:
    """Let a part whose answer has just become known learn what came before it. Returns what changed it last."""
    last = news
    while (kept := _take_kept(db, message, part)) is not None:  # an id that one of them brings may lead to more
        early, platform_id = kept
        if _of_lost_copy(part, platform_id, early.status):
            continue
        if platform_id:
            parts.know_as(db, message, part, platform_id)
        if parts.learn(part, early):
            last = early
    if part.answered_at is not None:
        marks = (part.account_id, part.address, part.answered_at - parts.TOLERANCE)
        for status, event_at in list(db.execute(_WATERMARKS, marks)):
            reached = News(Status(status), event_at)
            if parts.learn(part, reached):
                last = reached
    return last


def _take_kept(db: apsw.Connection, message: Message, part: Part) -> tuple[News, str] | None:
    """Return the early receipt of *part* that came first, with its platform id, and keep it no longer; None: no more."""
    references = [f"{message.tid}:{part.number}"]
    if part.number == 1:
        references.append(message.tid)
    kept = [
        row
        for platform_id in part.platform_ids or [""]
        for reference in references
        for row in db.execute(_KEPT, (part.account_id, platform_id, part.account_id, reference))
    ]
    if not kept:
        return None
    first = min(kept, key=lambda row: row[0])
    db.execute(_DROP, (first[0],))
    return News(Status(first[1]), first[2], rows.error_or_none(*first[3:6])), first[6]
