"""What Messenger's answers mean: the table of its error codes, and ``classify``, which reads it.

Meta documents a code and a subcode ("Common error codes" of the Messenger platform, 2026-06-25; "Handling errors" of
the Graph API); the texts beside them are reworded and translated, and the HTTP status is published nowhere, so the
decision is taken on (code, subcode), then on ``is_transient``, then on the HTTP status. An error object may come with
status 200. There are no failure webhooks: what the answer says is all that will ever be known, so a refusal that Meta
also gives for messages that went out (1/1357046) is kept as unknown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

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
from kurir.channels.meta import graph
from kurir.channels.meta.graph import GraphError
from kurir.domain.status import Status


class Verdict(Enum):
    """What follows from an error."""

    TRANSIENT = auto()
    THROTTLED = auto()
    CONTENT = auto()
    RECIPIENT = auto()
    ACCOUNT = auto()
    AMBIGUOUS = auto()


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row of the table.

    ``code`` is ours, ``text`` says what happened. ``base`` is the first wait in seconds that Meta's pages name, also
    their least one, ``growth`` the factor from one wait to the next, ``attempts`` the most tries; 0 where the pages are
    silent. ``again`` is a cure, tried before the verdict falls, where the call lends itself to it. A refusal of the
    content with ``attempts`` is tried so often where Messenger itself fetches the file, then it is final.
    """

    verdict: Verdict
    code: str
    text: str
    base: float = 0.0
    growth: float = 2.0
    scope: Scope = Scope.PART
    attempts: int = 0
    again: Again | None = None


#: In a key of ERRORS: this subcode under any code, or this number as a code of its own. Meta's page lists these numbers
#: without a parent.
ANY: Final = 0

#: The ladder of a passing fault of the Graph API is 2, 4, 8, 16, 32 … seconds.
_TRANSIENT = Meaning(Verdict.TRANSIENT, "platform_unavailable", "Messenger has a temporary fault", base=2.0)
_THROTTLED = Meaning(Verdict.THROTTLED, "rate_limited", "a rate limit of the page was reached", scope=Scope.ACCOUNT)
_CONTENT = Meaning(Verdict.CONTENT, "content_refused", "Messenger refuses a field of the message")
_OUTSIDE = Meaning(
    Verdict.CONTENT, "content_refused", "an error of extensions, games, calling or linking, none of which is used here"
)
_MARKETING = Meaning(Verdict.CONTENT, "content_refused", "a limit or an opt-in of marketing messages")
_INSTAGRAM = Meaning(Verdict.CONTENT, "content_refused", "an error of Instagram messaging")
_PROFILE = Meaning(Verdict.CONTENT, "content_refused", "the person's profile is not available")
_TEMPLATE = Meaning(Verdict.CONTENT, "content_refused", "a product, form or feedback template is wrong")
_BY_PHONE = Meaning(Verdict.CONTENT, "content_refused", "addressing by phone number is not open to the page")
_TOO_LARGE = Meaning(Verdict.CONTENT, "media_refused", "the file is too large")
#: A file that stands alone is uploaded; one that a template shows cannot be, and is worth one more look after 30 s.
_NOT_FETCHED = Meaning(
    Verdict.CONTENT,
    "media_refused",
    "Messenger could not fetch the file from its URL",
    base=30.0,
    growth=1.0,
    attempts=2,
    again=Again.UPLOAD,
)
_WINDOW = Meaning(Verdict.RECIPIENT, "window_closed", "the person last wrote more than 24 hours ago")
#: The same for a blocked page, a person who left and a deactivated account: so nobody is marked as having blocked us.
_UNAVAILABLE = Meaning(Verdict.RECIPIENT, "recipient_unreachable", "the person cannot be reached now")
_NO_CODE = Meaning(Verdict.AMBIGUOUS, "ambiguous_error", "Messenger answered with an error that has no code")
_CREDENTIALS = Meaning(Verdict.ACCOUNT, "account_credentials", "the page's access token is not valid")
_PERMISSION = Meaning(Verdict.ACCOUNT, "account_permission", "the app lacks a permission for this page or person")
_POLICY = Meaning(Verdict.ACCOUNT, "account_policy", "Meta restricted the page")
_SETUP = Meaning(Verdict.ACCOUNT, "account_setup", "the page, its token and its app do not belong together")
_PROOF_WANTED = Meaning(
    Verdict.ACCOUNT, "account_setup", "the app requires an appsecret_proof, which the gateway does not send"
)
_UNKNOWN_FAULT = Meaning(
    Verdict.TRANSIENT, "platform_unavailable", "Messenger has an unknown fault", base=2.0, attempts=2
)
_PAGE_RATE = Meaning(
    Verdict.THROTTLED, "rate_limited", "the page's rate limit was reached", base=2.0, scope=Scope.ACCOUNT
)


def _rows(meaning: Meaning, code: int, subcodes: Iterable[int]) -> dict[tuple[int, int], Meaning]:
    return {(code, subcode): meaning for subcode in subcodes}


def _codes(meaning: Meaning, *codes: int) -> dict[tuple[int, int], Meaning]:
    return {(code, 0): meaning for code in codes}


#: (code, subcode) → what it means; subcode 0 stands for none and for every one that has no row of its own.
ERRORS: Final[Mapping[tuple[int, int], Meaning]] = {
    # --- faults of the platform ---------------------------------------------------------------------------------------
    (-1, 0): Meaning(
        Verdict.TRANSIENT, "platform_unavailable", "Messenger has an internal fault", base=2.0, attempts=3
    ),
    # Often a permission that is missing, so one more try is all that it gets.
    (1, 0): _UNKNOWN_FAULT,
    (1, 99): _UNKNOWN_FAULT,
    (1, 1357046): Meaning(
        Verdict.AMBIGUOUS, "ambiguous_error", "Messenger gives this error for messages that went out too"
    ),
    # 2, 8, 30 s. Also seen when the person blocked the page, so it is not tried for ever.
    (2, 0): Meaning(
        Verdict.TRANSIENT,
        "platform_unavailable",
        "Messenger has a temporary fault",
        base=2.0,
        growth=4.0,
        attempts=3,
    ),
    (1200, 0): _TRANSIENT,
    (ANY, 2018321): Meaning(
        Verdict.TRANSIENT,
        "platform_unavailable",
        "the person is in an automated dialogue of Meta's",
        base=60.0,
        growth=1.0,
        scope=Scope.RECIPIENT,
        attempts=5,
    ),
    # --- rate limits --------------------------------------------------------------------------------------------------
    (4, 0): Meaning(
        Verdict.THROTTLED, "rate_limited", "the app's rate limit was reached", base=60.0, scope=Scope.ACCOUNT
    ),
    (4, 2018022): Meaning(
        Verdict.THROTTLED, "rate_limited", "too many messages went to this person", scope=Scope.RECIPIENT
    ),
    **_codes(_THROTTLED, 17, 32, 341, 80001, 80006),
    # 2, 4, 8 … s
    **_rows(_PAGE_RATE, 613, (0, 1996, 2534040)),
    (613, 2018338): Meaning(
        Verdict.THROTTLED, "rate_limited", "Meta warns the page of abuse", base=3600.0, scope=Scope.ACCOUNT
    ),
    # --- the content --------------------------------------------------------------------------------------------------
    # An unknown reply_to may be the reason, which no subcode tells: one try without it.
    (100, 0): Meaning(
        Verdict.CONTENT, "content_refused", "Messenger refuses a field of the message", again=Again.WITHOUT_QUOTE
    ),
    (100, 2018008): _NOT_FETCHED,
    (100, 2018294): _NOT_FETCHED,
    (100, 2018047): Meaning(Verdict.CONTENT, "media_refused", "the file is not of the type that was announced"),
    (100, 2018074): Meaning(Verdict.CONTENT, "media_refused", "the stored file is not the page's", again=Again.BY_URL),
    (100, 2018109): _TOO_LARGE,
    (ANY, 36000): _TOO_LARGE,
    (100, 2018014): Meaning(Verdict.CONTENT, "content_refused", "a message and a sender action came together"),
    (100, 2018034): Meaning(Verdict.CONTENT, "content_refused", "the message is empty"),
    (100, 2018032): Meaning(Verdict.CONTENT, "content_refused", "the attachment is not valid"),
    (100, 2018320): _TEMPLATE,
    (ANY, 2018328): _TEMPLATE,
    (ANY, 2018382): _TEMPLATE,
    (ANY, 9000001): Meaning(Verdict.CONTENT, "content_refused", "the message was deleted"),
    (4, 2018354): _MARKETING,
    (9, 2018352): _MARKETING,
    (613, 1893016): _MARKETING,
    (10, 1404170): _MARKETING,
    (10, 2018336): _MARKETING,
    (200, 2018021): _BY_PHONE,
    (200, 2018027): _BY_PHONE,
    **_rows(_INSTAGRAM, 100, range(2534013, 2534038)),
    (10, 2534077): _INSTAGRAM,
    (200, 2534041): _INSTAGRAM,
    **_rows(_PROFILE, ANY, (2018218, 2018247)),
    **_rows(_OUTSIDE, ANY, (10303, 24001, 24002, 24005, 36103)),
    **_rows(_OUTSIDE, ANY, (2018144, 2018154, 2018163, 2018166, 2018171, 2018234)),
    **_rows(_OUTSIDE, ANY, range(2071010, 2071026)),
    **_rows(_OUTSIDE, ANY, range(2018389, 2018397)),
    # --- the recipient ------------------------------------------------------------------------------------------------
    (100, 2018001): Meaning(Verdict.RECIPIENT, "recipient_unknown", "the page has no such person"),
    **_rows(_WINDOW, 10, (2018278, 2534022, 2018065)),
    (10, 2018108): _UNAVAILABLE,
    (200, 1545041): _UNAVAILABLE,
    (551, 0): _UNAVAILABLE,
    (551, 1545041): _UNAVAILABLE,
    (10, 1893015): Meaning(Verdict.RECIPIENT, "recipient_refused", "the person stopped notifications for this topic"),
    # The page's operator can mend it, the recipient cannot: so it counts as a failure of the sending.
    (10, 2018300): Meaning(Verdict.CONTENT, "thread_control", "another app controls the conversation"),
    # --- the account --------------------------------------------------------------------------------------------------
    **_codes(_CREDENTIALS, 102, 190),
    **_rows(_CREDENTIALS, 190, (458, 459, 460, 463, 464, 467, 492)),
    (10, 0): _PERMISSION,
    (200, 0): _PERMISSION,
    (200, 2018028): _PERMISSION,
    (10, 1893063): _POLICY,
    (368, 0): _POLICY,
    (2022, 0): _POLICY,
    (2, 2018344): Meaning(Verdict.ACCOUNT, "account_setup", "the page has not accepted the terms for labels"),
    (100, 33): _SETUP,
    (100, 2018164): _SETUP,
}

#: The platform's codes as its pages print them, each with our code, for the error registry's page.
PLATFORM_CODES: Final = tuple(
    (f"{'*' if code == ANY else code}{f'/{subcode}' if subcode else ''}", meaning.code)
    for (code, subcode), meaning in ERRORS.items()
)


def classify(call: Call, answer: Answer | NoAnswer) -> Outcome:
    """Return what an answer means. Total: every status and body, and every way of not answering, has an outcome."""
    if isinstance(answer, NoAnswer):
        if answer.stage is Stage.BEFORE_SEND:
            return Retry("not_reached", answer.reason)
        return Unknown("no_answer", answer.reason)
    usage = graph.usage_of(answer.headers)
    return graph.with_usage(_answered(call, answer, graph.wait_of(answer, usage)), usage)


def _answered(call: Call, answer: Answer, named: float | None) -> Outcome:
    error = graph.error_of(answer)
    if error is not None:
        return _refused(call, answer.status, error, named)
    if answer.status == 429:
        reason = "Messenger answered with HTTP 429"
        return Retry("rate_limited", reason, named, Scope.ACCOUNT, throttled=True)
    body = answer.json() if answer.status == 200 else None
    platform_id = identifier(body.get("message_id")) if body is not None else ""
    if body is None or not platform_id:
        return Unknown("no_answer", f"HTTP {answer.status} came without an answer of Messenger's that can be read")
    # {"recipient_id": "2431…", "message_id": "m_AG5…", "attachment_id": "6877…"}
    return Sent((platform_id,), Status.SENT, Learned(asset_id=identifier(body.get("attachment_id"))))


def _refused(call: Call, status: int, error: GraphError, named: float | None) -> Outcome:
    meaning = _meaning(status, error)
    reason = f"{meaning.text}; Messenger said: {error.message}" if error.message else meaning.text
    code, number = meaning.code, error.provider_code
    if meaning.again is not None and _helps(meaning.again, call):
        return Retry(code, reason, again=meaning.again, provider_code=number)
    if meaning.verdict in (Verdict.TRANSIENT, Verdict.THROTTLED) or (
        meaning.verdict is Verdict.CONTENT and meaning.attempts and call.upload is None
    ):
        throttled = meaning.verdict is Verdict.THROTTLED
        return Retry(
            code,
            reason,
            # The headers count calls, the row may know of a graver limit: the longer of both.
            max(meaning.base, named) if throttled and named is not None else None,
            meaning.scope,
            throttled=throttled,
            attempts=meaning.attempts,
            provider_code=number,
            base=meaning.base,
            growth=meaning.growth,
        )
    if meaning.verdict is Verdict.CONTENT:
        return Rejected(Status.FAILED, code, reason, number)
    if meaning.verdict is Verdict.RECIPIENT:
        return Rejected(Status.UNDELIVERED, code, reason, number)
    if meaning.verdict is Verdict.ACCOUNT:
        return AccountDown(code, reason, number)
    return Unknown(code, reason, number)


def _meaning(status: int, error: GraphError) -> Meaning:
    """Return the row of *error*; where it has none, what its ``is_transient`` or the HTTP status says."""
    if error.wants_proof:
        return _PROOF_WANTED
    exact = ERRORS.get((error.code, error.subcode)) or ERRORS.get((ANY, error.subcode or error.code))
    if exact is not None:
        return exact
    general = ERRORS.get((error.code, 0)) or ERRORS.get((ANY, error.code))
    if error.is_transient and (general is None or general.verdict not in (Verdict.TRANSIENT, Verdict.THROTTLED)):
        return _TRANSIENT
    return general or _by_status(status, has_code=error.code != graph.NO_CODE)


def _by_status(status: int, *, has_code: bool) -> Meaning:
    if status == 429:
        return _THROTTLED
    if has_code and status >= 500:
        return _TRANSIENT
    # Without a code, only the HTTP status tells that the platform refused.
    return _CONTENT if has_code or 400 <= status < 500 else _NO_CODE


def _helps(cure: Again, call: Call) -> bool:
    """Return whether *cure* would make *call* another call than it is."""
    if cure is Again.WITHOUT_QUOTE:
        return "reply_to" in call.json
    payload = _payload(call.json)
    if cure is Again.UPLOAD:
        return call.upload is None and "url" in payload
    return cure is Again.BY_URL and "attachment_id" in payload


def _payload(request: JsonObject) -> JsonObject:
    """Return the payload of the attachment in *request*, {} when there is none."""
    value: object = request
    for key in ("message", "attachment", "payload"):
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def identifier(value: object) -> str:
    """Return *value* where it is an id that every store can keep (text, no NUL, no lone surrogate), else ""."""
    return value if isinstance(value, str) and value.isprintable() else ""
