"""LINE's refusals as a table: what each answer other than 2xx means for the message.

LINE's errors have no codes: ``{"message": "…", "details": [{"message": "…", "property": "messages[0].text"}]}``. So a
row is found by HTTP status, then by words of the message or by the property that a detail names. Sources: the pages
"Messaging API reference" (sections "Status codes" and "Error responses", and the errors of each endpoint) and "Retry
failed API requests" (409). Where the words are not published, a comment beside the row says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from kurir.channels.text import storable


class Kind(StrEnum):
    """What a refusal is about, and so what is done about it."""

    DUPLICATE = "duplicate"
    RATE = "rate"
    RECIPIENT_RATE = "recipient_rate"
    ACCOUNT = "account"
    RECIPIENT = "recipient"
    CONTENT = "content"
    REPLY = "reply"
    QUOTE = "quote"
    FAULT = "fault"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One refusal: ``says`` is a part of LINE's message in lower case, ``field`` the end of a detail's property.

    ``status`` 500 stands for every 5xx. ``bare`` is true where the status alone says it, also when the body is not
    LINE's (a proxy's page). ``anywhere`` is true where the words may stand in a detail too. ``code`` is of our registry.
    """

    status: int
    kind: Kind
    code: str
    says: str = ""
    field: str = ""
    bare: bool = False
    anywhere: bool = False


#: The first row that fits decides. A row without ``says`` and ``field`` stands for every other message of its status.
ERRORS: Final = (
    ErrorRow(400, Kind.RECIPIENT, "recipient_unknown", says="failed to send messages"),
    ErrorRow(400, Kind.RECIPIENT, "recipient_unknown", says="the property, 'to',"),
    ErrorRow(400, Kind.RECIPIENT, "recipient_unknown", field="to"),
    ErrorRow(400, Kind.REPLY, "content_refused", says="invalid reply token"),
    # The words for a wrong quote token are not published; the property is named as for every other field.
    ErrorRow(400, Kind.QUOTE, "content_refused", field="quoteToken"),
    ErrorRow(400, Kind.QUOTE, "content_refused", says="quotetoken"),
    ErrorRow(400, Kind.QUOTE, "content_refused", says="quote token"),
    ErrorRow(400, Kind.CONTENT, "content_refused", says="the request body has"),
    ErrorRow(400, Kind.CONTENT, "content_refused", says="the property, "),
    ErrorRow(400, Kind.CONTENT, "content_refused", says="could not be parsed as json"),
    ErrorRow(400, Kind.CONTENT, "content_refused", says="the content type, "),
    ErrorRow(400, Kind.CONTENT, "content_refused"),
    ErrorRow(401, Kind.ACCOUNT, "account_credentials", bare=True),
    ErrorRow(403, Kind.ACCOUNT, "account_permission", says="not available for your account", bare=True),
    ErrorRow(403, Kind.ACCOUNT, "account_permission"),
    # The send endpoints exist for every channel: there is nothing at the path only where api_base is not LINE's.
    ErrorRow(404, Kind.ACCOUNT, "account_setup", bare=True),
    ErrorRow(405, Kind.ACCOUNT, "account_setup", bare=True),
    ErrorRow(409, Kind.DUPLICATE, "", says="retry key is already accepted"),
    ErrorRow(409, Kind.AMBIGUOUS, "ambiguous_error"),
    ErrorRow(410, Kind.CONTENT, "content_refused"),
    ErrorRow(413, Kind.CONTENT, "content_refused", bare=True),
    ErrorRow(415, Kind.CONTENT, "content_refused", bare=True),
    ErrorRow(422, Kind.RECIPIENT, "recipient_unreachable", says="failed to send messages"),
    # Tried again within the month it is refused again, so it must not pass for the rate limit, wherever it is said.
    ErrorRow(429, Kind.ACCOUNT, "account_quota", says="monthly limit", anywhere=True),
    ErrorRow(429, Kind.RATE, "rate_limited", says="api rate limit", bare=True),
    # Many messages to one user, or concurrent operations on one: LINE documents the case, not its words.
    ErrorRow(429, Kind.RECIPIENT_RATE, "rate_limited"),
    ErrorRow(500, Kind.FAULT, "platform_unavailable"),
)

#: The platform's statuses, each with the words or the field that tell it from others and with our code, for the error
#: registry's page.
PLATFORM_CODES: Final = tuple((f"{row.status} {row.says or row.field}".strip(), row.code) for row in ERRORS if row.code)

#: A refusal in LINE's own JSON whose status the table does not have.
OTHER: Final = ErrorRow(0, Kind.CONTENT, "content_refused")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The body of a refusal, read: LINE's message, its details' words and properties, and all as one sentence."""

    message: str
    words: tuple[str, ...]
    fields: tuple[str, ...]
    sentence: str


def read(body: Mapping[str, Any] | None) -> Refusal | None:
    """Return the refusal in *body*, or None when the body is not LINE's."""
    message = body.get("message") if body is not None else None
    if body is None or not isinstance(message, str):
        return None
    given = body.get("details")
    details = [detail for detail in given if isinstance(detail, dict)] if isinstance(given, list) else []
    words = tuple(detail["message"] for detail in details if isinstance(detail.get("message"), str))
    fields = tuple(storable(detail["property"]) for detail in details if isinstance(detail.get("property"), str))
    said = [" ".join(str(detail.get(key, "")) for key in ("property", "message")).strip() for detail in details]
    return Refusal(message, words, fields, storable("; ".join(filter(None, [message, *said])))[:500])


def find(status: int, refusal: Refusal | None) -> ErrorRow | None:
    """Return the row for an answer; None where nobody can say what the answer means."""
    status = 500 if 500 <= status <= 599 else status
    rows = [row for row in ERRORS if row.status == status]
    if refusal is None:
        return next((row for row in rows if row.bare), None)
    said = _plain(refusal.message)
    everywhere = " · ".join((said, *map(_plain, refusal.words)))
    for row in rows:
        if row.says in (everywhere if row.anywhere else said) and (not row.field or _names(refusal.fields, row.field)):
            return row
    return OTHER if 400 <= status <= 499 else None


def _plain(words: str) -> str:
    """Return *words* in lower case, with straight quotes and single blanks: LINE promises none of these."""
    return " ".join(words.lower().replace("‘", "'").replace("’", "'").split())


def _names(fields: Sequence[str], field: str) -> bool:
    return any(name == field or name.endswith("." + field) for name in fields)
