"""What Parlour's answers mean: a table, and one total function over it.

An error of Parlour is ``{"error": {"code": "no_such_person", "message": "nobody is called ani"}}``. The codes on the right
are of kurir's registry (``kurir.domain.errors``): a package uses those, and brings none of its own.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from kurir.channels.base import (
    AccountDown,
    Answer,
    Call,
    NoAnswer,
    Outcome,
    Rejected,
    Retry,
    Scope,
    Sent,
    Stage,
    Unknown,
)
from kurir.channels.text import storable
from kurir.domain.status import Status


class Kind(StrEnum):
    """Whose trouble an error is, and so what is done about it."""

    ACCOUNT = "account"
    RECIPIENT = "recipient"
    CONTENT = "content"
    RATE = "rate"
    FAULT = "fault"


#: Parlour's code → what it is about, and our code.
ERRORS: Final[Mapping[str, tuple[Kind, str]]] = {
    "bad_token": (Kind.ACCOUNT, "account_credentials"),
    "not_allowed": (Kind.ACCOUNT, "account_permission"),
    "no_such_person": (Kind.RECIPIENT, "recipient_unknown"),
    "blocked": (Kind.RECIPIENT, "recipient_blocked"),
    "bad_message": (Kind.CONTENT, "content_refused"),
    "file_not_fetched": (Kind.CONTENT, "media_unavailable"),
    "too_fast": (Kind.RATE, "rate_limited"),
    "busy": (Kind.FAULT, "platform_unavailable"),
}
PLATFORM_CODES: Final = tuple((theirs, ours) for theirs, (_, ours) in ERRORS.items())

_LONGEST_WAIT: Final = 3600


def classify(call: Call, answer: Answer | NoAnswer) -> Outcome:  # noqa: ARG001 - the protocol's signature
    """Return what an answer means. Whatever is not Parlour's own JSON says nothing: perhaps it was sent."""
    if isinstance(answer, NoAnswer):
        if answer.stage is Stage.BEFORE_SEND:
            return Retry("not_reached", f"Parlour was not reached: {answer.reason}")
        return Unknown("no_answer", f"Parlour's answer did not come: {answer.reason}")
    body = answer.json() or {}
    if answer.status in (200, 201) and isinstance(body.get("id"), str):
        return Sent((storable(body["id"]),))
    error = body.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if not isinstance(code, str):
        return Unknown(
            "ambiguous_error", f"the answer with status {answer.status} is not Parlour's", str(answer.status)
        )
    # An unknown code with a status of 4xx is about this message; with any other, nobody can tell.
    kind, ours = ERRORS.get(code, (Kind.CONTENT, "content_refused"))
    if code not in ERRORS and not 400 <= answer.status <= 499:
        return Unknown("ambiguous_error", f"Parlour answered {answer.status}", storable(code)[:64])
    return _refused(kind, ours, storable(code)[:64], answer)


def _refused(kind: Kind, ours: str, theirs: str, answer: Answer) -> Outcome:
    reason = f"Parlour: {theirs}"
    match kind:
        case Kind.ACCOUNT:
            return AccountDown(ours, reason, theirs)
        case Kind.RECIPIENT:
            return Rejected(Status.UNDELIVERED, ours, reason, theirs)
        case Kind.RATE:
            return Retry(ours, reason, _wait(answer), Scope.ACCOUNT, throttled=True, provider_code=theirs)
        case Kind.FAULT:
            return Retry(ours, reason, _wait(answer), provider_code=theirs)
        case Kind.CONTENT:
            return Rejected(Status.FAILED, ours, reason, theirs)


def _wait(answer: Answer) -> float | None:
    given = answer.headers.get("retry-after", "").strip()
    return min(float(given), _LONGEST_WAIT) if given.isascii() and given.isdigit() and len(given) < 10 else None
