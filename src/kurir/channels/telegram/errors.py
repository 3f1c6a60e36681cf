"""What Telegram's answers mean: one table of its error texts, and the rules for everything that is not in it.

The Bot API has a handful of error codes and many texts. The texts are no contract, so a row matches a lower-cased part
of one, together with the code; the first row that matches decides, and each code ends in a row without a text.

Sources: the pages "Making requests", "ResponseParameters" and "Sending files" of the Bot API, and the texts in the
source of tdlib/telegram-bot-api (``Client.cpp``), the program behind api.telegram.org.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeGuard
from urllib.parse import quote

from kurir.channels.base import (
    AccountDown,
    Again,
    Answer,
    Call,
    JsonObject,
    Learned,
    NoAnswer,
    Outcome,
    Rejected,
    Retry,
    Scope,
    Sent,
    Stage,
    Unknown,
)
from kurir.domain.status import Status


class Kind(StrEnum):
    """What an error is about, which decides the outcome."""

    RECIPIENT = "recipient"
    CONTENT = "content"
    ACCOUNT = "account"
    TRANSIENT = "transient"
    THROTTLED = "throttled"
    SENT = "sent"
    MOVED = "moved"
    URL_NOT_FETCHED = "url_not_fetched"
    REPLY_GONE = "reply_gone"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One row: Telegram's ``error_code``, a lower-cased part of its ``description`` ("" matches any), and the meaning.

    ``code`` is ours. ``blocked`` is true where the answer also says that nothing will reach this chat any more.
    """

    error_code: int
    text: str
    kind: Kind
    code: str
    blocked: bool = False


def _rows(error_code: int, kind: Kind, code: str, *texts: str, blocked: bool = False) -> tuple[ErrorRow, ...]:
    return tuple(ErrorRow(error_code, text, kind, code, blocked) for text in texts)


ERRORS: Final[tuple[ErrorRow, ...]] = (
    # 400: the account. Both texts stand for accounts that Telegram or its owner has taken out of service.
    *_rows(400, Kind.ACCOUNT, "account_setup", "logged out"),
    *_rows(400, Kind.ACCOUNT, "account_policy", "frozen_method_invalid"),
    # 400: the recipient. A 403 whose text is all capitals is given as 400.
    *_rows(400, Kind.MOVED, "recipient_unknown", "group chat was upgraded to a supergroup chat"),
    *_rows(400, Kind.RECIPIENT, "recipient_unknown", "chat not found", "peer_id_invalid"),
    *_rows(
        400,
        Kind.RECIPIENT,
        "recipient_refused",
        "not enough rights to send",
        "have no write access to the chat",
        "chat_write_forbidden",
        "chat_restricted",
        "topic_closed",
        # The person's own setting (Premium): no voice notes from anybody outside their contacts.
        "voice_messages_forbidden",
    ),
    # 400: the message
    *_rows(400, Kind.REPLY_GONE, "content_refused", "message to be replied not found"),
    *_rows(
        400,
        Kind.CONTENT,
        "content_refused",
        "message thread not found",
        "message is too long",
        "message caption is too long",
        "text is too long",
        "message text is empty",
        "text must be non-empty",
        "can't parse",
        "object expected as reply markup",
        "button_data_invalid",
        "button_url_invalid",
        "inline keyboard button url",
        "text buttons are unallowed in the inline keyboard",
        "reply markup is too long",
        "reply_markup_too_long",
        "button_type_invalid",
        "invalid location specified",
        "strings must be encoded in utf-8",
    ),
    # 400: the file. Only the first is worth a second way: the customer's server may be slow, or the file over the limit
    # for URLs (5 MB, 20 MB) and within the one for uploads (10 MB, 50 MB).
    *_rows(400, Kind.URL_NOT_FETCHED, "media_refused", "failed to get http url content"),
    *_rows(
        400,
        Kind.CONTENT,
        "media_refused",
        "wrong file identifier/http url specified",
        "wrong remote file identifier specified",
        "wrong type of the web page content",
        "file must be non-empty",
        "is too big for a photo",
        "file is too big",
        "photo_invalid_dimensions",
        "image_process_failed",
        "photo has unsupported extension",
        "there is no photo in the request",
        "there is no video in the request",
        "there is no audio in the request",
        "there is no voice in the request",
        "there is no document in the request",
    ),
    *_rows(400, Kind.CONTENT, "content_refused", ""),
    # 401, 404, 409, 421: the account. A malformed or revoked token gives 404, since it is a part of the path.
    *_rows(401, Kind.ACCOUNT, "account_setup", "invalid api-id/api-hash"),
    *_rows(401, Kind.ACCOUNT, "account_credentials", "unauthorized", "invalid token specified", ""),
    *_rows(404, Kind.ACCOUNT, "account_setup", "method not found"),
    *_rows(404, Kind.ACCOUNT, "account_credentials", "not found", ""),
    *_rows(409, Kind.ACCOUNT, "account_setup", "terminated by other", "webhook is active", "setwebhook", ""),
    *_rows(421, Kind.ACCOUNT, "account_setup", "misdirected", ""),
    # 403: the recipient
    *_rows(403, Kind.RECIPIENT, "recipient_blocked", "bot was blocked by the user", blocked=True),
    *_rows(403, Kind.RECIPIENT, "recipient_unreachable", "user is deactivated", blocked=True),
    *_rows(403, Kind.RECIPIENT, "recipient_unreachable", "bot can't initiate conversation with a user"),
    *_rows(403, Kind.RECIPIENT, "recipient_unknown", "the group chat was deleted", blocked=True),
    # Kicked is what Telegram calls it in a private chat too: nothing reaches the chat until somebody adds the bot again.
    *_rows(403, Kind.RECIPIENT, "recipient_refused", "bot was kicked from", blocked=True),
    *_rows(
        403,
        Kind.RECIPIENT,
        "recipient_refused",
        "can't send messages to the bot",
        "can't send messages to bots",
        "bot is not a member of",
        "",
    ),
    # 413, 429, 5xx
    *_rows(413, Kind.TOO_LARGE, "content_refused", "request entity too large", ""),
    *_rows(429, Kind.THROTTLED, "rate_limited", "retry after", ""),
    *_rows(500, Kind.SENT, "", "sent message was immediately deleted"),
    *_rows(500, Kind.TRANSIENT, "platform_unavailable", "restart", "internal server error", ""),
    *_rows(502, Kind.TRANSIENT, "platform_unavailable", ""),
    *_rows(503, Kind.TRANSIENT, "platform_unavailable", ""),
    *_rows(504, Kind.TRANSIENT, "platform_unavailable", ""),
)

#: The platform's codes, each with the words that tell it from others and with our code, for the error registry's page.
PLATFORM_CODES: Final = tuple((f"{row.error_code} {row.text}".strip(), row.code) for row in ERRORS if row.code)

#: The parameters that carry a file: where the call has one, a body too large means the file.
FILE_FIELDS: Final = ("photo", "video", "audio", "voice", "document")

_BY_CODE: Final[Mapping[int, tuple[ErrorRow, ...]]] = {
    code: tuple(row for row in ERRORS if row.error_code == code) for code in {row.error_code for row in ERRORS}
}
_REFUSED: Final = ErrorRow(0, "", Kind.CONTENT, "content_refused")
_FAULT: Final = ErrorRow(0, "", Kind.TRANSIENT, "platform_unavailable")

_TOKEN: Final = re.compile(r"/bot([^/]+)/[^/]*\Z")
_RETRY_AFTER: Final = re.compile(r"retry after ([0-9]{1,7})", re.IGNORECASE)
_LONGEST_WAIT: Final = 7 * 24 * 3600.0
_LONGEST_REASON: Final = 500


def classify(call: Call, answer: Answer | NoAnswer) -> Outcome:
    """Return what an answer means. Total; no outcome holds the bot's token, which stands in the call's URL."""
    if isinstance(answer, NoAnswer):
        reason = _reason(call, answer.reason) or "no answer came"
        return Retry("not_reached", reason) if answer.stage is Stage.BEFORE_SEND else Unknown("no_answer", reason)
    body = answer.json()
    if body is None or not isinstance(body.get("ok"), bool):
        return _not_telegrams(call, answer)
    if body["ok"]:
        return _sent(call, body.get("result")) if answer.status < 300 else _contradiction(answer.status)
    return _refused(call, answer, body)


def _sent(call: Call, result: object) -> Outcome:
    """Return Sent with ``<chat>:<message>``; a message number is unique inside its chat only.

    The id stays empty where the result names none: ``message_id`` is 0 when Telegram itself schedules a large video.
    """
    chat = result.get("chat") if isinstance(result, dict) else None
    chat_id = chat.get("id") if isinstance(chat, dict) else None
    number = result.get("message_id") if isinstance(result, dict) else None
    if not _is_number(chat_id) or not _is_number(number) or number <= 0:
        return Sent(())
    named = isinstance(call.json.get("chat_id"), str)  # an @name, for which the answer gives the number
    return Sent((f"{chat_id}:{number}",), learned=Learned(alias=str(chat_id) if named else ""))


def _contradiction(status: int) -> Unknown:
    return Unknown("ambiguous_error", f"Telegram answered ok with HTTP status {status}", str(status))


def _not_telegrams(call: Call, answer: Answer) -> Outcome:
    """Return the outcome of an answer that the Bot API did not write: something in front of it did, or it broke off.

    Nobody knows whether the call went through, but for the two statuses by which a proxy says that it let nothing pass.
    """
    reason = f"HTTP {answer.status} without Telegram's JSON"
    if answer.status == 429:
        after = _seconds(answer.headers.get("retry-after"))
        return Retry("rate_limited", reason, after, Scope.RECIPIENT, throttled=True, provider_code="429")
    if answer.status == 413:
        return Rejected(Status.FAILED, _too_large(call), reason, "413")
    return Unknown("no_answer", reason, str(answer.status))


def _refused(call: Call, answer: Answer, body: JsonObject) -> Outcome:
    error_code = body.get("error_code")
    number = error_code if _is_number(error_code) else answer.status
    description = body.get("description")
    text = description if isinstance(description, str) else ""
    reason = _reason(call, text) or f"Telegram refused with code {number}"
    parameters = body.get("parameters")
    row = _row(number, text.lower())
    if row is None:
        return Unknown("ambiguous_error", reason, str(number))
    return _outcome(
        call, row, answer, _Refusal(reason, str(number), parameters if isinstance(parameters, dict) else {})
    )


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A refusal of Telegram's, read and made fit to be shown."""

    reason: str
    provider_code: str
    parameters: JsonObject


def _row(number: int, text: str) -> ErrorRow | None:
    """Return the table's row; None for a number that is no HTTP error at all, such as 200 with ``ok`` false."""
    for row in _BY_CODE.get(number, ()):
        if row.text in text:
            return row
    if 500 <= number < 600:
        return _FAULT
    return _REFUSED if 400 <= number < 500 else None


def _outcome(call: Call, row: ErrorRow, answer: Answer, refusal: _Refusal) -> Outcome:
    reason, number = refusal.reason, refusal.provider_code
    moved_to = refusal.parameters.get("migrate_to_chat_id")
    if _is_number(moved_to) and str(moved_to) != str(call.json.get("chat_id")):
        learned = Learned(moved_to=str(moved_to))
        return Retry("recipient_unknown", reason, again=Again.NEW_ADDRESS, provider_code=number, learned=learned)
    match row.kind:
        case Kind.SENT:
            return Sent(())
        case Kind.THROTTLED:
            after = _wait(answer, refusal)
            return Retry(row.code, reason, after, Scope.RECIPIENT, throttled=True, provider_code=number)
        case Kind.TRANSIENT:
            return Retry(row.code, reason, provider_code=number)
        case Kind.ACCOUNT:
            return AccountDown(row.code, reason, number)
        case Kind.RECIPIENT | Kind.MOVED:
            learned = Learned(blocked=True) if row.blocked else Learned()
            return Rejected(Status.UNDELIVERED, row.code, reason, number, learned)
        case Kind.URL_NOT_FETCHED if _has_file(call) and call.upload is None:
            return Retry(row.code, reason, again=Again.UPLOAD, provider_code=number)
        case Kind.REPLY_GONE if "reply_parameters" in call.json:
            return Retry(row.code, reason, again=Again.WITHOUT_QUOTE, provider_code=number)
        case Kind.TOO_LARGE:
            return Rejected(Status.FAILED, _too_large(call), reason, number)
        case _:
            return Rejected(Status.FAILED, row.code, reason, number)


def _has_file(call: Call) -> bool:
    return call.upload is not None or any(name in call.json for name in FILE_FIELDS)


def _too_large(call: Call) -> str:
    return "media_refused" if _has_file(call) else "content_refused"


def _wait(answer: Answer, refusal: _Refusal) -> float | None:
    """Return how long to wait: ``parameters.retry_after``, else the header, else the number in the text."""
    for value in (refusal.parameters.get("retry_after"), answer.headers.get("retry-after")):
        seconds = _seconds(value)
        if seconds is not None:
            return seconds
    written = _RETRY_AFTER.search(refusal.reason)
    return _seconds(written.group(1)) if written else None


def _seconds(value: object) -> float | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return float(min(value, _LONGEST_WAIT))


def _is_number(value: object) -> TypeGuard[int]:
    """Return whether *value* is a JSON integer of a size that a chat id or an error code has."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _reason(call: Call, words: str) -> str:
    """Return *words* without the token (an exception's text may hold the URL), on one line and not too long."""
    found = _TOKEN.search(call.url)
    if found:
        for token in (found.group(1), quote(found.group(1), safe="")):
            words = words.replace(token, "***")
    return " ".join(words.encode("utf-8", "replace").decode().split())[:_LONGEST_REASON]
