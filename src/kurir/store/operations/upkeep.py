"""Upkeep: deleting what is old, and looking whether every rule of the schema holds.

``purge`` runs inside a transaction of the writer, ``broken_invariants`` of a reader.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from kurir.domain.status import Status, of_parts
from kurir.store.base import Purged
from kurir.store.database import Database
from kurir.store.operations import quarantine, rows, tallies
from kurir.store.operations.parts import follows

#: An idempotency key outlives the end of its message by so much, at least; so does what is known of a webhook's events.
KEY_LIFE: Final = timedelta(days=7)
#: A receipt waits so long for its send to be recorded.
EARLY_LIFE: Final = timedelta(days=1)
#: Reply tokens and vanishing choices are looked for, but long after they were of use they are not kept.
TOKEN_LIFE: Final = timedelta(days=2)
CHOICE_LIFE: Final = timedelta(days=1)
#: Broken rules that are told of, at most, for each kind.
_TOLD: Final = 20

_ENDED: Final = """
SELECT seq, client_id, message_id, channel, status, ended_at FROM message
WHERE ended_at IS NOT NULL AND ended_at < ? ORDER BY ended_at LIMIT ?
"""
_OUTLIVE: Final = """
UPDATE idempotency SET status = ?, ended_at = ? WHERE client_id = ? AND message_id = ? AND channel = ?
"""
_DELETE: Final = "DELETE FROM message WHERE seq = ?"
_DELETE_KEYS: Final = """
DELETE FROM idempotency WHERE (client_id, message_id, channel) IN (
    SELECT client_id, message_id, channel FROM idempotency
    WHERE ended_at IS NOT NULL AND ended_at < ? ORDER BY ended_at LIMIT ?)
"""
_DELETE_SEEN: Final = """
DELETE FROM inbound_event WHERE (account_id, digest) IN (
    SELECT account_id, digest FROM inbound_event WHERE received_at < ? ORDER BY received_at LIMIT ?)
"""
_DELETE_EVENTS: Final = """
DELETE FROM event WHERE position IN (
    SELECT position FROM event WHERE seq IS NULL AND kept_at < ? ORDER BY kept_at LIMIT ?)
"""
_DELETE_RECEIVED: Final = """
DELETE FROM platform_id WHERE (account_id, platform_id) IN (
    SELECT account_id, platform_id FROM platform_id
    WHERE received_at IS NOT NULL AND received_at < ? ORDER BY received_at LIMIT ?)
"""
_DELETE_LINKS: Final = """
DELETE FROM link_token WHERE token IN (SELECT token FROM link_token WHERE created_at < ? ORDER BY created_at LIMIT ?)
"""
_DELETE_TOKENS: Final = """
DELETE FROM reply_token WHERE (account_id, token) IN (
    SELECT account_id, token FROM reply_token WHERE received_at < ? ORDER BY received_at LIMIT ?)
"""
_DELETE_CHOICES: Final = """
DELETE FROM vanishing_choice WHERE (account_id, address) IN (
    SELECT account_id, address FROM vanishing_choice WHERE at < ? ORDER BY at LIMIT ?)
"""
_DELETE_EARLY: Final = """
DELETE FROM early_receipt WHERE id IN (
    SELECT id FROM early_receipt WHERE received_at < ? ORDER BY received_at LIMIT ?)
"""

#: What must not be found where rows go with their message at once, and not later with the range that they stand in.
_NO_ORPHANS: Final = (
    "a row of {} has no message",
    """
    SELECT 'part' FROM part WHERE NOT EXISTS (SELECT 1 FROM message WHERE message.seq = part.seq)
    UNION ALL SELECT 'content' FROM content WHERE NOT EXISTS (SELECT 1 FROM message WHERE message.seq = content.seq)
    UNION ALL SELECT 'attempt' FROM attempt WHERE NOT EXISTS (SELECT 1 FROM message WHERE message.seq = attempt.seq)
    UNION ALL SELECT 'event' FROM event
        WHERE seq IS NOT NULL AND NOT EXISTS (SELECT 1 FROM message WHERE message.seq = event.seq)
    """,
)
#: What must not be found, and the sentence for it; each statement selects the words that complete the sentence.
_RULES: Final = (
    (
        "the message {} is queued with status {}: delivery has no work with it",
        "SELECT tid, status FROM message WHERE queued = 1 AND status <> 0",
    ),
    (
        "the message {} is queued although all its {} parts are answered",
        """
        SELECT tid, parts_total FROM message WHERE queued = 1 AND parts_total > 0 AND parts_total <=
            (SELECT count(*) FROM part WHERE part.seq = message.seq AND phase = 'answered')
        """,
    ),
    (
        "the message {} is queued although its part {} failed",
        """
        SELECT tid, number FROM message JOIN part ON part.seq = message.seq
        WHERE queued = 1 AND (phase = 'failed' OR part.status < 0)
        """,
    ),
    (
        "the message {} is pending with {} parts, has work left and is not queued",
        """
        SELECT tid, parts_total FROM message WHERE queued = 0 AND status = 0 AND (parts_total = 0 OR parts_total >
            (SELECT count(*) FROM part WHERE part.seq = message.seq AND phase = 'answered'))
        """,
    ),
    (
        "the message {} has no idempotency key",
        """
        SELECT tid FROM message WHERE NOT EXISTS (SELECT 1 FROM idempotency WHERE idempotency.tid = message.tid
            AND idempotency.client_id = message.client_id AND idempotency.message_id = message.message_id
            AND idempotency.channel = message.channel)
        """,
    ),
    (
        "the idempotency key of {} belongs to no message and has no end",
        """
        SELECT tid FROM idempotency WHERE ended_at IS NULL
            AND NOT EXISTS (SELECT 1 FROM message WHERE message.tid = idempotency.tid)
        """,
    ),
    (
        "the message {} has status {}, its last event says {}",
        """
        SELECT tid, message.status, coalesce(event.status, 0) FROM message LEFT JOIN event
            ON event.position = (SELECT max(position) FROM event AS other WHERE other.seq = message.seq)
        WHERE message.status <> coalesce(event.status, 0)
        """,
    ),
    (
        "the event {} of the message {} does not begin where the one before it ended",
        """
        SELECT position, tid FROM (SELECT position, seq, previous, status,
            lag(status, 1, {first}) OVER (PARTITION BY seq ORDER BY position) AS before FROM event) AS step
        JOIN message ON message.seq = step.seq WHERE previous <> before OR previous = step.status
        """,
    ),
    (
        "the part {} of the message {} is in flight in the run {}, which is not the message's",
        """
        SELECT number, tid, part.run FROM part JOIN message ON message.seq = part.seq
        WHERE phase = 'in_flight' AND part.run <> message.run
        """,
    ),
    (
        "the part {} of the message {} is {} and has the status {}",
        """
        SELECT number, tid, phase, coalesce(CAST(part.status AS TEXT), 'none') FROM part JOIN message ON message.seq = part.seq
        WHERE (phase IN ('in_flight', 'waiting')) <> (part.status IS NULL) OR (phase = 'failed' AND part.status >= 0)
            OR phase NOT IN ('in_flight', 'waiting', 'answered', 'failed')
        """,
    ),
    (
        "the part {} of the message {} is answered at no time",
        """
        SELECT number, tid FROM part JOIN message ON message.seq = part.seq
        WHERE phase = 'answered' AND answered_at IS NULL
        """,
    ),
    (
        "the part {} of the message {} is not among its {} parts",
        """
        SELECT number, tid, parts_total FROM part JOIN message ON message.seq = part.seq
        WHERE number < 1 OR number > parts_total
        """,
    ),
    (
        "the platform id {} of the message {} leads nowhere",
        """
        SELECT known.value, tid FROM part JOIN message ON message.seq = part.seq, json_each(part.platform_ids) AS known
        WHERE NOT EXISTS (SELECT 1 FROM platform_id
            WHERE platform_id.account_id = part.account_id AND platform_id.platform_id = known.value)
        """,
    ),
    (
        "the receipt of {} on the account {} still waits for a send that is recorded",
        """
        SELECT early_receipt.platform_id, early_receipt.account_id FROM early_receipt JOIN platform_id
            ON platform_id.account_id = early_receipt.account_id AND platform_id.platform_id = early_receipt.platform_id
        WHERE early_receipt.platform_id <> '' AND platform_id.tid <> ''
        """,
    ),
    (
        "the message {} ended at {}, which does not go with its place in the queue",
        """
        SELECT tid, coalesce(CAST(ended_at AS TEXT), 'no time') FROM message
        WHERE (ended_at IS NULL) <> (queued = 1 OR status = 0)
        """,
    ),
    (
        "the message {} waits for a reason without being queued",
        "SELECT tid FROM message WHERE queued = 0 AND (reason_code IS NOT NULL OR waiting_until IS NOT NULL)",
    ),
    (
        "the message {} has an error and the status {}",
        "SELECT tid, status FROM message WHERE error_code IS NOT NULL AND status >= 0",
    ),
    (
        "the message {} has no content",
        "SELECT tid FROM message WHERE NOT EXISTS (SELECT 1 FROM content WHERE content.seq = message.seq)",
    ),
    (
        "the event {} of the kind {} is neither a change of status nor has it data",
        """
        SELECT position, kind FROM event WHERE (kind = 'message.status') <> (seq IS NOT NULL)
            OR (seq IS NULL) <> (status IS NULL) OR (seq IS NULL) <> (previous IS NULL) OR (seq IS NULL) <> (data IS NOT NULL)
        """,
    ),
    (
        "the event {} is one of the client {}, its message of another",
        """
        SELECT position, event.client_id FROM event JOIN message ON message.seq = event.seq
        WHERE event.client_id <> message.client_id
        """,
    ),
    (
        "the event {} is owed to the endpoint {}, which is another client's, not there, or has no use for it",
        """
        SELECT callback.position, callback.endpoint_id FROM callback
        LEFT JOIN endpoint ON endpoint.id = callback.endpoint_id LEFT JOIN event ON event.position = callback.position
        WHERE endpoint.client_id IS DISTINCT FROM event.client_id OR endpoint.id IS NULL OR event.status = 0
        """,
    ),
    (
        "the callback of the event {} to the endpoint {} is {} and ended at {}",
        """
        SELECT position, endpoint_id, state, coalesce(CAST(ended_at AS TEXT), 'no time') FROM callback
        WHERE state NOT IN ('pending', 'delivered', 'failed') OR (state = 'pending') <> (ended_at IS NULL)
            OR (state <> 'pending' AND next_at IS NOT NULL) OR (state <> 'pending' AND tries = 0)
        """,
    ),
    (
        "an attempt at the event {} for the endpoint {} has no callback",
        """
        SELECT position, endpoint_id FROM callback_attempt WHERE NOT EXISTS (SELECT 1 FROM callback
            WHERE callback.endpoint_id = callback_attempt.endpoint_id AND callback.position = callback_attempt.position)
        """,
    ),
    (
        "the endpoint {} is paused and says not why",
        "SELECT id FROM endpoint WHERE paused_at IS NOT NULL AND paused_reason = ''",
    ),
    (
        "{} on the account {} is a contact and the other address of one",
        """
        SELECT alias, contact_alias.account_id FROM contact_alias JOIN contact
            ON contact.account_id = contact_alias.account_id AND contact.address = contact_alias.alias
        """,
    ),
    (
        "the other address {} on the account {} leads to {}, which leads on",
        """
        SELECT alias, account_id, address FROM contact_alias WHERE alias = address OR EXISTS (SELECT 1
            FROM contact_alias AS next WHERE next.account_id = contact_alias.account_id
            AND next.alias = contact_alias.address)
        """,
    ),
    (
        "the reply token on the account {} was used by nobody, or at no time",
        "SELECT account_id FROM reply_token WHERE (used_at IS NULL) <> (used_by = '')",
    ),
    (
        "the platform id {} on the account {} is of a person's message, or of ours, and says both",
        """
        SELECT platform_id, account_id FROM platform_id
        WHERE (tid = '') <> (part = 0) OR (tid = '') <> (received_at IS NOT NULL)
        """,
    ),
)
_STATUSES: Final = """
SELECT tid, message.status, parts_total, part.status
FROM message LEFT JOIN part ON part.seq = message.seq ORDER BY message.seq
"""


def purge(db: Database, before: datetime, limit: int, now: datetime) -> Purged:
    """Delete what ended before *before*. Keys stay for a week longer, with their message's last status."""
    ended = list(db.execute(_ENDED, (rows.micros(before), limit)))
    for seq, client_id, message_id, channel, status, ended_at in ended:
        db.execute(_OUTLIVE, (status, ended_at, client_id, message_id, channel))
        db.execute(_DELETE, (seq,))
    more = len(ended) == limit
    for statement, bound in ((_DELETE_KEYS, before - KEY_LIFE), (_DELETE_EVENTS, before)):
        db.execute(statement, (rows.micros(bound), limit))
        more = db.changes() == limit or more
    return Purged(len(ended), purge_small(db, before, limit, now) or more)


def purge_small(db: Database, before: datetime, limit: int, now: datetime) -> bool:
    """Delete what is old and stands by itself, up to *limit* rows of a kind; return whether there may be more."""
    more = False
    for statement, bound in (
        (_DELETE_SEEN, before - KEY_LIFE),
        (_DELETE_EARLY, now - EARLY_LIFE),
        (_DELETE_RECEIVED, before),
        (_DELETE_LINKS, before),
        (tallies.DELETE_OLD, before),
        (quarantine.DELETE_OLD, before),
        (quarantine.DELETE_OLD_COUNTS, before),
        (_DELETE_TOKENS, now - TOKEN_LIFE),
        (_DELETE_CHOICES, now - CHOICE_LIFE),
    ):
        db.execute(statement, (rows.micros(bound), limit))
        more = db.changes() == limit or more
    return more


def broken_invariants(db: Database, *, ranges: bool = False) -> list[str]:
    """Return a sentence for each rule that does not hold. *ranges*: retention drops old rows by whole ranges."""
    broken: list[str] = []
    for sentence, statement in _RULES if ranges else (*_RULES, _NO_ORPHANS):
        # The first event of a message that is still there may have gone with its range.
        for number, row in enumerate(db.execute(statement.replace("{first}", "previous" if ranges else "0"))):
            if number == _TOLD:
                broken.append("… and more of the same kind")
                break
            broken.append(sentence.format(*row))
    broken.extend(_wrong_statuses(db.execute(_STATUSES)))
    return broken


def _wrong_statuses(found: Iterable[tuple[str, int, int, int | None]]) -> list[str]:
    """Return a sentence for each message whose status is not what its parts say. Rows come message by message."""
    broken: list[str] = []
    tid, status, total = "", 0, 0
    known: list[Status] = []

    def look() -> None:
        if tid and not follows(Status(status), of_parts(known, total=total)):
            broken.append(f"the message {tid} has status {status}, its parts say {of_parts(known, total=total)}")

    for row in found:
        if row[0] != tid:
            look()
            tid, status, total, known = row[0], row[1], row[2], []
        if row[3] is not None:
            known.append(Status(row[3]))
    look()
    return broken[:_TOLD]
