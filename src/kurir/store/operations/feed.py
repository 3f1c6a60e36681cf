"""Reading the feed: events of a client by position, each joined with the message that it is about.

The functions run inside a transaction of a reader.
"""

from typing import Final

from kurir.domain.status import Status
from kurir.store.database import Database
from kurir.store.feed import EventRecord, StatusChange
from kurir.store.operations import rows

#: The columns of an event, and where they come from; :func:`read` reads them.
COLUMNS: Final = """
event.position, event.client_id, event.kind, event.account_id, event.channel, event.conversation, event.at, event.data,
event.media, event.seq, event.status, event.previous, event.provider_message_id, event.error_code, event.error_detail,
event.error_provider, message.tid, message.message_id, message.recipient, message.losses, message.render_losses
"""
JOINED: Final = "event LEFT JOIN message ON message.seq = event.seq"
#: A change of status outlives its message where retention drops events by whole ranges: then it is told no more.
WHOLE: Final = "(event.seq IS NULL OR message.seq IS NOT NULL)"

_EVENTS: Final = f"""
SELECT {COLUMNS} FROM {JOINED}
WHERE event.client_id = ? AND event.status IS DISTINCT FROM 0 AND event.position > ? AND {WHOLE}
ORDER BY event.position LIMIT ?
"""  # noqa: S608 -- constants
_EVENT: Final = f"""
SELECT {COLUMNS} FROM {JOINED}
WHERE event.position = ? AND event.client_id = ? AND +event.status IS DISTINCT FROM 0 AND {WHOLE}
"""  # noqa: S608 -- constants
_LAST: Final = (
    "SELECT position FROM event WHERE client_id = ? AND status IS DISTINCT FROM 0 ORDER BY position DESC LIMIT 1"
)
_PARTS: Final = rows.PART + "WHERE seq = ? ORDER BY number"


def events(db: Database, client_id: str, after: int, limit: int) -> list[EventRecord]:
    """Return the client's events above a position."""
    return [read(db, row) for row in list(db.execute(_EVENTS, (client_id, after, limit)))]


def last_position(db: Database, client_id: str) -> int:
    """Return the position of the client's newest event, 0 when there is none."""
    row = db.execute(_LAST, (client_id,)).fetchone()
    return 0 if row is None else int(row[0])


def event(db: Database, client_id: str, position: int) -> EventRecord | None:
    """Return one event of the client."""
    row = db.execute(_EVENT, (position, client_id)).fetchone()
    return None if row is None else read(db, row)


def read(db: Database, row: rows.Row) -> EventRecord:
    """Return the event of a row of COLUMNS, with its message's parts and losses."""
    return EventRecord(
        position=row[0],
        client_id=row[1],
        kind=row[2],
        account_id=row[3],
        channel=row[4],
        conversation=row[5],
        at=rows.moment(row[6]),
        change=None if row[9] is None else _change(db, row),
        data=row[7] or b"",
        media=row[8],
    )


def _change(db: Database, row: rows.Row) -> StatusChange:
    return StatusChange(
        tid=row[16],
        message_id=row[17],
        recipient=row[18],
        status=Status(row[10]),
        previous=Status(row[11]),
        error=rows.error_or_none(*row[13:16]),
        provider_message_id=row[12],
        parts=tuple(rows.part(part) for part in db.execute(_PARTS, (row[9],))),
        losses=tuple(dict.fromkeys(rows.losses(row[19]) + rows.losses(row[20]))),
    )
