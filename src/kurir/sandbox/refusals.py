"""The platforms' own words for the faults: error bodies, usage headers, and the pages that proxies answer with.

The codes, statuses and texts are those of https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes
(January 2026, the last edition with HTTP statuses), https://developers.facebook.com/docs/messenger-platform/error-codes,
https://github.com/tdlib/telegram-bot-api (Client.cpp) and
https://developers.line.biz/en/reference/messaging-api/#error-responses. What these pages do not print is a guess and is
marked as one.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from kurir.sandbox.faults import Decision
from kurir.sandbox.graph import GraphErrors, member, members
from kurir.sandbox.line import refusal as line_refusal
from kurir.sandbox.profiles import Fault
from kurir.sandbox.telegram_calls import refusal as telegram_refusal
from kurir.sandbox.wire import RefusedError, UnreadableError, parse_json

#: code: (HTTP status, message, details, subcode)
_Row = tuple[int, str, str, int | None]
_TEMPORARY: Final[_Row] = (503, "(#2) Service temporarily unavailable", "", None)
_WENT_WRONG: Final[_Row] = (
    500,
    "(#131000) Something went wrong",
    "Message failed to send due to an unknown error.",
    None,
)
_LOADED: Final[_Row] = (
    503,
    "(#2) API Service",
    "Temporary due to downtime or due to being overloaded.",
    None,
)
WHATSAPP: Final[Mapping[str, _Row]] = {
    "1": (400, "(#1) API Unknown", "Invalid request or possible server error.", None),
    "2": _LOADED,
    "503": _LOADED,
    "131000": _WENT_WRONG,
    "500": _WENT_WRONG,
    "131016": (500, "(#131016) Service unavailable", "A service is temporarily unavailable.", None),
    "131057": (500, "(#131057) Account in maintenance mode", "Business Account is in maintenance mode.", None),
    "133004": (503, "(#133004) Server Temporarily Unavailable", "Server is temporarily unavailable.", None),
    "130429": (400, "(#130429) Rate limit hit", "Cloud API message throughput has been reached.", None),
    "131056": (
        400,
        "(#131056) (Business Account, Consumer Account) pair rate limit hit",
        "Too many messages sent from the sender phone number to the same recipient phone number in a short period of time.",
        None,
    ),
    # Meta has no code for "this person blocked you": such messages are undeliverable like those to no WhatsApp user.
    "blocked": (400, "(#131026) Message undeliverable", "Message Undeliverable.", None),
}
MESSENGER: Final[Mapping[str, _Row]] = {
    "1": (500, "(#1) An unknown error occurred", "", None),
    "2": _TEMPORARY,
    "500": (500, "(#2) Service temporarily unavailable", "", None),
    "503": _TEMPORARY,
    "1200": (400, "(#1200) Temporary send message failure. Please try again later.", "", None),
    "613": (400, "(#613) Calls to this api have exceeded the rate limit.", "", None),
    "blocked": (400, "(#551) This person isn't available right now.", "", 1545041),
}
#: The Bot API's own are the 500s; 502 and 503 are what the servers before it say in its shape (a guess for 503).
TELEGRAM: Final[Mapping[str, tuple[int, str]]] = {
    "500": (500, "Internal Server Error"),
    "500 restart": (500, "Internal Server Error: restart"),
    "502": (502, "Bad Gateway"),
    "503": (503, "Service Unavailable"),
    "blocked": (403, "Forbidden: bot was blocked by the user"),
}
AUTHENTICATION_FAILED: Final = (
    "Authentication failed due to the following reason: invalid token. "
    "Confirm that the access token in the authorization header is valid."
)
#: 503 is a guess: LINE documents 500 only. A user who blocked the account is none of LINE's errors: see ``effects.py``.
LINE: Final[Mapping[str, tuple[int, str]]] = {
    "500": (500, "Internal Server Error"),
    "503": (503, "Service Unavailable"),
    "429": (429, "The API rate limit has been exceeded. Try again later."),
    "quota": (429, "You have reached your monthly limit."),
    "expired": (
        401,
        AUTHENTICATION_FAILED,
    ),
}

#: The characters of a platform's words that a phone keeps of a refused call.
MAX_WORDS: Final = 500
#: What proxies in front of the platforms answer: no JSON, so nothing in it is the platform's word.
PAGE: Final = (
    "<html>\r\n<head><title>{status} {phrase}</title></head>\r\n<body>\r\n<center><h1>{status} {phrase}</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
#: Accepted, but the answer is this: bytes that are neither JSON nor UTF-8.
GARBAGE: Final = b'{"\xff\xfe\x00\x1f\x8b\x08\x00 \xe2\x28\xa1 this is no JSON'


def refusal(channel: str, decision: Decision, errors: GraphErrors, moment: datetime) -> RefusedError:
    """Return the platform's own refusal for a decision that is a fault with a JSON answer.

    *moment* is now, by the wall clock.
    """
    if channel == "telegram":
        return _telegram(decision)
    if channel == "line":
        return _line(decision)
    if decision.fault is Fault.EXPIRED_TOKEN:
        return _expired(errors, moment)
    return _with_wait(_graph(channel, decision, errors), decision)


def blocked(channel: str, errors: GraphErrors, moment: datetime) -> RefusedError:
    """Return the refusal of a message to somebody who blocks the account."""
    return refusal(channel, Decision(fault=Fault.BLOCKED), errors, moment)


def _graph(channel: str, decision: Decision, errors: GraphErrors) -> RefusedError:
    rows = WHATSAPP if channel == "whatsapp" else MESSENGER
    status, message, details, subcode = rows["blocked" if decision.fault is Fault.BLOCKED else decision.code]
    code = int(message[2 : message.index(")")])
    product = "whatsapp" if details else ""
    return errors.refusal(code, message, status=status, subcode=subcode, details=details, product=product)


def _expired(errors: GraphErrors, moment: datetime) -> RefusedError:
    """https://developers.facebook.com/docs/graph-api/guides/error-handling: 190 with subcode 463."""
    words = "Error validating access token: Session has expired on {}. The current time is {}."
    form = "%A, %d-%b-%y %H:%M:%S UTC"
    text = words.format((moment - timedelta(hours=1)).strftime(form), moment.strftime(form))
    return errors.refusal(190, text, status=401, subcode=463)


def _telegram(decision: Decision) -> RefusedError:
    if decision.fault is Fault.EXPIRED_TOKEN:
        return telegram_refusal(401, "Unauthorized")
    if decision.code == "429":
        seconds = decision.wait
        error = telegram_refusal(429, f"Too Many Requests: retry after {seconds}", {"retry_after": seconds})
        error.headers["Retry-After"] = str(seconds)
        return error
    return telegram_refusal(*TELEGRAM["blocked" if decision.fault is Fault.BLOCKED else decision.code])


def _line(decision: Decision) -> RefusedError:
    names = {Fault.EXPIRED_TOKEN: "expired", Fault.QUOTA: "quota"}
    return _with_wait(line_refusal(*LINE[names.get(decision.fault, decision.code)]), decision)


def _with_wait(error: RefusedError, decision: Decision) -> RefusedError:
    """Name the wait in the header of RFC 9110: LINE and Meta document no place of their own for it."""
    if decision.wait:
        error.headers["Retry-After"] = str(decision.wait)
    return error


def words_of(status: int, body: bytes) -> str:
    """Return what a platform says in the answer *body* to a call that it refused; the status's own phrase without words.

    Graph says it in ``error.message`` and ``error.error_data.details``, Telegram in ``description``, LINE in ``message`` and
    its ``details``.
    """
    try:
        answer = parse_json(body)
    except UnreadableError:
        return f"{HTTPStatus(status).phrase}, and a page that is no JSON"
    said = member({"": answer}, "")
    graph = member(said, "error")
    details = [member({"": one}, "").get("message") for one in members(said, "details")]
    found = [
        graph.get("message"),
        member(graph, "error_data").get("details"),
        said.get("description"),
        said.get("message"),
    ]
    words = [text for text in (*found, *details) if isinstance(text, str) and text]
    return ": ".join(words)[:MAX_WORDS] or HTTPStatus(status).phrase


def usage_headers(channel: str, owner: str, decision: Decision) -> dict[str, str]:
    """Return Meta's usage headers for an account that has used so many percent; none elsewhere.

    https://developers.facebook.com/docs/graph-api/overview/rate-limiting: percentages, the time to regain in minutes.
    *owner* is the id that the business use case is counted for: the WhatsApp business account, the page.
    """
    if decision.usage is None or channel not in ("whatsapp", "messenger"):
        return {}
    calls, rest = decision.usage, min(decision.usage, 25)
    app = f'{{"call_count":{calls},"total_cputime":{rest},"total_time":{rest}}}'
    regain = f',"estimated_time_to_regain_access":{decision.regain_minutes}}}'
    case = f'{{"{owner}":[{{"type":"{channel}",' + app[1:-1] + regain + "]}"
    return {"x-app-usage": app, "x-business-use-case-usage": case}
