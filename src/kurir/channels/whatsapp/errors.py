"""What WhatsApp's error codes mean: one row a code, for answers and for ``failed`` receipts.

Source: Meta's page "Cloud API: error codes" (read 2026-09-11), which asks to decide on the code and warns that titles,
subcodes and HTTP statuses come and go; "Graph API: error handling" and "Rate limiting" for the codes below 1000. Codes
of the management, calling, flow and group APIs never answer a send and are left to the rule for unknown codes. Two rows
need a word of the text too: the parameter that a 100 names, and the fault of the host that a file was fetched from.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kurir.channels.base import Scope
from kurir.channels.meta.graph import GraphError


class Kind(StrEnum):
    """What follows from an error."""

    TRANSIENT = "transient"
    THROTTLED = "throttled"
    AMBIGUOUS = "ambiguous"
    CONTENT = "content"
    RECIPIENT = "recipient"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """What one code of the platform means.

    ``code`` is ours, of the error registry. ``base`` is the first wait in seconds that the platform's pages name, also
    their least one, ``growth`` the factor from one wait to the next, and ``attempts`` their bound on tries; 0 where they
    are silent. A refusal of the content with ``attempts`` is tried so often, then it is final.
    """

    kind: Kind
    code: str
    meaning: str
    scope: Scope = Scope.PART
    base: float = 0.0
    growth: float = 2.0
    attempts: int = 0


def _rows(codes: Iterable[int], row: ErrorRow) -> dict[int, ErrorRow]:
    return dict.fromkeys(codes, row)


def _account(code: str, meaning: str) -> ErrorRow:
    return ErrorRow(Kind.ACCOUNT, code, meaning)


def _content(meaning: str, code: str = "content_refused") -> ErrorRow:
    return ErrorRow(Kind.CONTENT, code, meaning)


def _recipient(meaning: str, code: str = "recipient_refused") -> ErrorRow:
    return ErrorRow(Kind.RECIPIENT, code, meaning)


def _throttled(meaning: str, scope: Scope, base: float = 0.0, growth: float = 2.0) -> ErrorRow:
    return ErrorRow(Kind.THROTTLED, "rate_limited", meaning, scope, base, growth)


def _transient(
    meaning: str, scope: Scope = Scope.PART, base: float = 2.0, growth: float = 2.0, attempts: int = 0
) -> ErrorRow:
    """Return a row of the ladder that a fault of the platform gets: 2, 4, 8, 16, 32 … seconds."""
    return ErrorRow(Kind.TRANSIENT, "platform_unavailable", meaning, scope, base, growth, attempts)


#: Graph code → what it means. The most specific row stands last where codes overlap.
ERRORS: Final[Mapping[int, ErrorRow]] = {
    # --- Graph API ----------------------------------------------------------------------------------------------------
    0: _account("account_credentials", "the app user could not be authenticated"),
    # The page offers both a malformed request and an outage as its cause, so it may follow a message that went out.
    1: ErrorRow(Kind.AMBIGUOUS, "ambiguous_error", "an unknown error, perhaps after the message was taken"),
    2: _transient("the service is down or overloaded"),
    3: _account("account_permission", "the app lacks the capability"),
    4: _throttled("the app's call limit is reached", Scope.ACCOUNT, base=60.0),
    10: _account("account_permission", "the permission is missing or was taken away"),
    **_rows((17, 32, 341, 613), _throttled("a call limit of the Graph API is reached", Scope.ACCOUNT)),
    33: _account("account_setup", "the business phone number was deleted, or phone_number_id is not one"),
    100: _content("a parameter is invalid, misspelt or too long"),
    **_rows((104, 190), _account("account_credentials", "the access token is missing, expired or invalid")),
    **_rows(range(200, 300), _account("account_permission", "the permission is missing or was taken away")),
    368: _account("account_policy", "the WhatsApp Business Account is restricted for breaking a policy"),
    80007: _throttled("the WhatsApp Business Account's rate limit is reached", Scope.ACCOUNT),
    80008: _throttled("the Business Management API's rate limit is reached", Scope.ACCOUNT),
    # --- Cloud API: sending -------------------------------------------------------------------------------------------
    130403: _recipient("the business itself has blocked this user"),
    # 1, 2, 4 … seconds.
    130429: _throttled("the phone number's throughput is reached", Scope.ACCOUNT, base=1.0),
    # Not of the content: the same message reaches whoever is not part of the experiment.
    130472: _recipient("the user is part of a marketing experiment and gets no such message"),
    130497: _recipient("the account may not message people of this country"),
    131000: _transient("something went wrong", attempts=3),
    131005: _account("account_permission", "access is denied: the permission is missing or was taken away"),
    131008: _content("a parameter is missing"),
    131009: _content("the value of a parameter is invalid"),
    131014: _content("the media file could not be fetched from its URL", "media_refused"),
    131016: _transient("the service is temporarily unavailable"),
    131021: _recipient("sender and recipient are the same number"),
    131026: _recipient(
        "undeliverable: not on WhatsApp, an old app, or the terms are not accepted", "recipient_unreachable"
    ),
    131030: _account("account_setup", "a test number sends to the recipients of its allow list only"),
    131031: _account("account_policy", "the account is locked, for a policy or a wrong PIN"),
    131037: _account("account_setup", "the number has no approved display name"),
    **_rows((131042, 131044), _account("account_payment", "there is a problem with the payment method")),
    131045: _account("account_setup", "the number is not registered"),
    131047: _recipient("more than 24 hours have passed since the user last wrote", "window_closed"),
    131048: _throttled("too many messages of this number were blocked or reported as spam", Scope.ACCOUNT, base=3600.0),
    131049: _recipient("held back to keep the user's engagement healthy; not to be tried within 24 hours"),
    131050: _recipient("the user stopped marketing messages of this business"),
    131051: _content("the message type is not supported"),
    131052: _content("the user's media file could not be fetched", "media_refused"),
    131053: _content("the media file could not be fetched or is of a type or size not taken", "media_refused"),
    131055: _content("this kind of message does not go through this API"),
    # 4ˣ seconds, x = 0, 1, 2 … ("Pair rate limits").
    131056: _throttled(
        "too many messages to this recipient within a short time", Scope.RECIPIENT, base=1.0, growth=4.0
    ),
    # At most a minute, so that the ladder of every fault outlasts it.
    131057: _transient("the number is in maintenance, for example a throughput upgrade", Scope.ACCOUNT),
    131059: _content("the cursor of a page is invalid"),
    131062: _content("this message cannot be sent to a business-scoped user id"),
    131063: _content("marketing templates are switched off on the Cloud API", "template_refused"),
    131064: _account("account_policy", "messaging is limited because templates were filed under a wrong category"),
    # --- Cloud API: templates and flows -------------------------------------------------------------------------------
    **_rows(
        (132000, 132001, 132005, 132007, 132008, 132012, 132018),
        _content("the template does not exist, or its parameters do not match it", "template_refused"),
    ),
    132015: _content("the template is paused for its quality", "template_refused"),
    132016: _content("the template is disabled for its quality", "template_refused"),
    132068: _content("the flow is blocked"),
    132069: _throttled("the flow is throttled", Scope.PART),
    # --- Cloud API: registration, payments, marketing -----------------------------------------------------------------
    **_rows(
        (133000, 133005, 133006, 133008, 133009, 133010, 133015, 133016),
        _account("account_setup", "the number is not registered, or its (de)registration or PIN failed"),
    ),
    133004: _transient("the server is temporarily unavailable"),
    134011: _account("account_payment", "the payments terms are not accepted yet"),
    134100: _content("only marketing messages go through this API", "template_refused"),
    134101: _transient(
        "the template is still being synchronised, which takes up to ten minutes", base=600.0, growth=1.0
    ),
    134102: _account("account_setup", "the marketing API is not available to this account"),
    # A "generic user error", which the page offers no cure for: once more, in case that it was none of ours.
    135000: ErrorRow(Kind.CONTENT, "content_refused", "the request's parameters are wrong", base=2.0, attempts=2),
    137000: _recipient("the identity key is not the user's current one"),
    2494100: _transient("the number is in maintenance", Scope.ACCOUNT),
}

#: The platform's codes as its pages print them, each with our code, for the error registry's page.
PLATFORM_CODES: Final = tuple((str(code), row.code) for code, row in ERRORS.items())

#: (Graph code, subcode) → what it means where the subcode changes the meaning.
SUBCODES: Final[Mapping[tuple[int, int], ErrorRow]] = {(100, 33): ERRORS[33]}

#: The codes of a file that could not be fetched, what their details say where the file's host had a passing fault
#: ("Downloading media from weblink failed with http code 503"), and what they mean then: once more, after a minute.
FILE_CODES: Final = (131014, 131053)
HOST_FAULT: Final = re.compile(r"\bhttp\D{0,20}5[0-9]{2}(?![0-9])|\btime[sd]?[ -]?out", re.IGNORECASE)
FILE_LATER: Final = ErrorRow(
    Kind.CONTENT, "media_refused", "the media file's host had a fault", base=60.0, growth=1.0, attempts=2
)
#: What a 100 means that names the parameter ``appsecret_proof``.
PROOF_WANTED: Final = _account("account_setup", "the app requires an appsecret_proof, which the gateway does not send")

#: What an unknown code means, by the class of its HTTP status.
UNKNOWN_TRANSIENT: Final = _transient("an error that WhatsApp's pages do not list, with an HTTP status of 500 or more")
UNKNOWN_THROTTLED: Final = _throttled("an error that WhatsApp's pages do not list, with HTTP status 429", Scope.ACCOUNT)
UNKNOWN_CONTENT: Final = _content("an error that WhatsApp's pages do not list")
UNKNOWN_AMBIGUOUS: Final = ErrorRow(
    Kind.AMBIGUOUS, "ambiguous_error", "an error that WhatsApp's pages do not list, without an HTTP status of one"
)
#: What an error means that the platform itself calls transient.
CALLED_TRANSIENT: Final = _transient("the platform calls the error transient")


def row_of(error: GraphError, http_status: int) -> ErrorRow:
    """Return what an error means: by subcode, code, the platform's word that it passes, else the HTTP status.

    A rate limit and an ambiguous code keep their meaning also when they are called transient: the first has a scope,
    the second says nothing about whether the message went out.
    """
    row = SUBCODES.get((error.code, error.subcode)) or ERRORS.get(error.code)
    if error.wants_proof:
        return PROOF_WANTED
    if error.is_transient and (row is None or row.kind not in (Kind.TRANSIENT, Kind.THROTTLED, Kind.AMBIGUOUS)):
        return CALLED_TRANSIENT
    if error.code in FILE_CODES and HOST_FAULT.search(error.message):
        return FILE_LATER
    if row is not None:
        return row
    if http_status == 429:
        return UNKNOWN_THROTTLED
    if http_status >= 500:
        return UNKNOWN_TRANSIENT
    return UNKNOWN_CONTENT if 400 <= http_status < 500 else UNKNOWN_AMBIGUOUS
