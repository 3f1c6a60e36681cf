"""What came of a call: its outcome, and the attempt that is kept of it, with secrets masked and the body cut."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import structlog

from kurir.channels.base import AccountDown, Answer, Call, Outcome, Rejected, Retry, Sent, Unknown
from kurir.directory import Entry
from kurir.domain.status import Status
from kurir.egress import Exchange, NoFile, mask
from kurir.quick import quick
from kurir.store.base import AttemptRecord, ErrorRecord

log = structlog.get_logger(__name__)

#: So much of an answer's body is kept, in bytes.
MAXIMUM_KEPT_BODY: Final = 16 * 1024
#: How often a file is fetched that its host could not give: platforms that fetch by URL try once.
FILE_ATTEMPTS: Final = 8

_HEADERS: Final = json.JSONEncoder(ensure_ascii=False).encode

#: What each outcome is called in attempts.
NAMES: Final[Mapping[type[Outcome], str]] = {
    Sent: "sent",
    Retry: "retry",
    Rejected: "rejected",
    Unknown: "unknown",
    AccountDown: "account_down",
}


@quick
@dataclass(frozen=True, slots=True)
class Made:
    """A call that was made. ``began`` is the monotonic time of ``at``; *probe*: while the account was out.

    *stale*: its key protects it from its repeats, but no more from what an earlier run sent.
    """

    part: int
    at: datetime
    call: Call
    began: float
    probe: bool
    stale: bool


def outcome_of(entry: Entry, call: Call, exchange: Exchange) -> Outcome:
    """Return what came of a call. A fault of the channel's own makes it unknown, never another call at once."""
    answer = exchange.answer
    if isinstance(answer, NoFile):
        reason = f"the file could not be fetched: {answer.reason}"
        if answer.final:
            return Rejected(Status.FAILED, "media_refused", reason)
        return Retry("media_refused", reason, attempts=FILE_ATTEMPTS)
    try:
        return entry.channel.classify(call, answer)
    except Exception as error:
        log.exception("answer_not_classified", account=entry.account.id)
        return Unknown(
            "ambiguous_error", f"the answer could not be read: a fault of the gateway ({type(error).__name__})"
        )


def masked(outcome: Outcome, secrets: Sequence[str]) -> Outcome:
    """Return *outcome* with secrets masked, since a platform may quote the token that it refuses, and fit to be stored."""
    if isinstance(outcome, Sent):
        return outcome
    reason, code = (
        mask(text, secrets).encode("utf-8", "replace").decode() for text in (outcome.reason, outcome.provider_code)
    )
    return replace(outcome, reason=reason, provider_code=code)


def attempt_of(made: Made, exchange: Exchange, outcome: Outcome, secrets: Sequence[str]) -> AttemptRecord:
    """Return the attempt that is kept of a call."""
    answer = exchange.answer
    code = "" if isinstance(outcome, Sent) else outcome.code
    reason = "" if isinstance(outcome, Sent) else outcome.reason
    if made.call.after_unknown and (made.stale or not made.call.repeatable):
        code = code or "maybe_duplicate"
        said = "sent again after an unknown outcome"
        reason = f"{reason} ({said})" if reason else said
    if isinstance(answer, Answer):
        status, headers, body = answer.status, _HEADERS(dict(answer.headers)), answer.body
    else:
        status, headers, body = 0, "{}", answer.reason.encode("utf-8", "replace")
    return AttemptRecord(
        part=made.part,
        at=made.at,
        duration_ms=exchange.duration_ms,
        request=exchange.request,
        status=status,
        headers=mask(headers, secrets),
        body=_masked_body(body, secrets)[:MAXIMUM_KEPT_BODY],
        outcome=NAMES[type(outcome)],
        code=code,
        reason=reason,
        counted=not made.probe
        and not (isinstance(outcome, AccountDown) or (isinstance(outcome, Retry) and outcome.throttled)),
    )


def no_call(number: int, at: datetime, outcome: str, error: ErrorRecord) -> AttemptRecord:
    """Return the record of a decision that was taken without a call."""
    return AttemptRecord(number, at, 0, "", 0, "{}", b"", outcome, error.code, error.detail)


def _masked_body(body: bytes, secrets: Sequence[str]) -> bytes:
    """Return *body* with secrets masked; bytes that are no text stay as they are."""
    if body.isascii():  # and in nearly every one of these there is none
        text = body.decode("ascii")
        found = mask(text, secrets)
        return body if found is text else found.encode()
    return mask(body.decode("utf-8", "surrogateescape"), secrets).encode("utf-8", "surrogateescape")
