"""What Meta's two channels share: signature, handshake, error object, usage headers.

Sources: Meta's pages "Webhooks: getting started" (signature over the raw bytes, handshake), "Rate limiting" (the usage
headers: percentages, and minutes until access is regained), "Securing Graph API requests" (appsecret_proof), "Error
codes".
"""

import hashlib
import hmac
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from kurir.channels.base import (
    Answer,
    Call,
    Handshake,
    JsonObject,
    Learned,
    Outcome,
    WebhookRejected,
    WebhookRequest,
    WebhookUnreadable,
)
from kurir.channels.text import storable

#: No code of the platform: the real ones are small, and -1 is one of Messenger's.
NO_CODE: Final = -(2**31)

#: The headers that say how much of the call limits is used: one object of the app; lists of objects by business, at most
#: 32 of them ("Rate limiting").
_APP_USAGE: Final = "x-app-usage"
_BUSINESS_USAGE: Final = "x-business-use-case-usage"
_USAGE_OBJECTS: Final = 32
_PERCENTAGES: Final = ("call_count", "total_cputime", "total_time")
_REGAIN_MINUTES: Final = "estimated_time_to_regain_access"
#: Bounds of ours on what a header is believed: 32 objects take about 5 kB; ten thousand times the limit; one week.
_LONGEST_HEADER: Final = 32 * 1024
_HIGHEST_PERCENTAGE: Final = 1e6
_LONGEST_REGAIN_MINUTES: Final = 7 * 24 * 60.0


@dataclass(frozen=True, slots=True)
class GraphError:
    """The ``error`` object of a Graph answer. Decide on ``code``, ``subcode`` and ``is_transient``: texts change.

    ``code`` is ``NO_CODE`` when the object names none; 0 is a code of its own (authentication). ``message`` is the most
    telling of the object's texts, ``title`` its member ``message``, which names a parameter where one is at fault.
    """

    code: int
    subcode: int
    is_transient: bool
    message: str
    title: str = ""

    @property
    def provider_code(self) -> str:
        """The code as the platform's pages print it: ``100/2018001`` or ``131047``; "" when there is none."""
        if self.code == NO_CODE:
            return ""
        return f"{self.code}/{self.subcode}" if self.subcode else str(self.code)

    @property
    def wants_proof(self) -> bool:
        """Whether the app requires an ``appsecret_proof``, or refuses the one given: 100 with that parameter's name.

        The name of a parameter is neither translated nor reworded. The fault is the app's settings', so it concerns
        every message, where any other 100 is about this one.
        """
        return self.code == 100 and "appsecret_proof" in self.title


def error_of(answer: Answer) -> GraphError | None:
    """Return the error object of *answer*, also of one with status 200; None when there is none."""
    body = answer.json()
    error = body.get("error") if body is not None else None
    if not isinstance(error, dict):
        return None
    details = error.get("error_data")
    text = details.get("details") if isinstance(details, dict) else None
    # ``error_data`` was a plain string in old versions.
    title = error.get("message")
    texts = (text, details, error.get("error_user_msg"), title)
    return GraphError(
        code=_integer(error.get("code"), otherwise=NO_CODE),
        subcode=_integer(error.get("error_subcode")),
        is_transient=error.get("is_transient") is True,
        message=storable(next((one for one in texts if isinstance(one, str) and one), "")[:500]),
        title=storable(title[:500]) if isinstance(title, str) else "",
    )


def usage_of(headers: Mapping[str, str]) -> Learned:
    """Return what the usage headers teach; an empty Learned where there are none that can be read.

    ``X-App-Usage: {"call_count": 28, "total_time": 25, "total_cputime": 25}``, and
    ``X-Business-Use-Case-Usage: {"<id>": [{"type": "whatsapp", "call_count": 95, "total_cputime": 20, "total_time": 20,
    "estimated_time_to_regain_access": 5}]}``: percentages, and minutes. Total: whatever the bytes, and each number is
    clamped to what can be meant.
    """
    businesses = list(islice(_business_objects(headers), _USAGE_OBJECTS))
    percentages = [
        percentage
        for entry in (_decoded(headers.get(_APP_USAGE, "")), *businesses)
        for name in _PERCENTAGES
        for percentage in _amount(entry.get(name), _HIGHEST_PERCENTAGE)
    ]
    minutes = [one for entry in businesses for one in _amount(entry.get(_REGAIN_MINUTES), _LONGEST_REGAIN_MINUTES)]
    return Learned(usage=max(percentages, default=None), regain_seconds=max(minutes, default=0.0) * 60 or None)


def wait_of(answer: Answer, usage: Learned) -> float | None:
    """Return the wait that an answer names, in seconds: the longer of *usage* and ``Retry-After``; None where none does.

    Meta's pages do not name that header; HTTP does (RFC 9110, section 10.2.3), and whatever stands before Meta may send it.
    """
    given = answer.headers.get("retry-after", "").strip()
    named = float(given) if given.isascii() and given.isdigit() and len(given) < 8 else 0.0
    return max(named, usage.regain_seconds or 0.0) or None


def with_usage(outcome: Outcome, usage: Learned) -> Outcome:
    """Return *outcome* with the usage of *usage* beside whatever else it taught."""
    if usage.usage is None and usage.regain_seconds is None:
        return outcome
    learned = replace(outcome.learned, usage=usage.usage, regain_seconds=usage.regain_seconds)
    return replace(outcome, learned=learned)


def _business_objects(headers: Mapping[str, str]) -> Iterator[JsonObject]:
    for entries in _decoded(headers.get(_BUSINESS_USAGE, "")).values():
        yield from (entry for entry in (entries if isinstance(entries, list) else ()) if isinstance(entry, dict))


def _decoded(header: str) -> JsonObject:
    """Return the JSON object in *header*; {} when it is anything else, or longer than any that is meant."""
    if len(header) > _LONGEST_HEADER:
        return {}
    try:
        value = json.loads(header)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _amount(value: object, largest: float) -> list[float]:
    """Return *value* as an amount of 0 to *largest*, in a list; [] where it is no number."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or (isinstance(value, float) and math.isnan(value))
    ):
        return []
    return [float(min(max(value, 0), largest))]


def look(api_base: str, version: str, node: str, token: str) -> Call:
    """Return the call that reads the id of *node*, which is known already, and sends nothing.

    Where the token may not read it, Graph says so by an error object. (Graph API, "Overview": reading nodes, ``fields``.)
    """
    url = f"{api_base}/{version}/{node}?fields=id"
    return Call(part=0, method="GET", url=url, headers=(("Authorization", f"Bearer {token}"),), json={})


def verify(request: WebhookRequest, *, app_secret: str, verify_token: str) -> Handshake | None:
    """Check Meta's signature, or answer its handshake. Raises WebhookRejected."""
    if request.method == "GET":
        return _handshake(request, verify_token)
    given = request.headers.get("x-hub-signature-256", "")
    wanted = "sha256=" + hmac.new(app_secret.encode(), request.body, hashlib.sha256).hexdigest()
    if not app_secret or not hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode()):
        raise WebhookRejected("the signature in X-Hub-Signature-256 is missing or wrong")
    return None


def _handshake(request: WebhookRequest, verify_token: str) -> Handshake:
    given = request.query.get("hub.verify_token", "")
    challenge = request.query.get("hub.challenge", "")
    same = hmac.compare_digest(given.encode("utf-8", "replace"), verify_token.encode())
    if request.query.get("hub.mode") != "subscribe" or not verify_token or not same:
        raise WebhookRejected("hub.verify_token is not the account's verify_token")
    # Only what Meta sends (digits) or plainly harmless characters is echoed, so that the page reflects nothing else.
    if not challenge or len(challenge) > 200 or not all(c.isascii() and (c.isalnum() or c in "-_") for c in challenge):
        raise WebhookRejected("hub.challenge is missing or holds other characters than Meta sends")
    return Handshake(challenge.encode())


def entries_of(request: WebhookRequest, expected_object: str) -> list[JsonObject]:
    """Return ``entry[]`` of a verified webhook. Raises WebhookUnreadable when the body is anything else."""
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise WebhookUnreadable(f"the body is not JSON: {type(error).__name__}") from None
    if not isinstance(body, dict) or body.get("object") != expected_object:
        raise WebhookUnreadable(f"the body is not an object of kind {expected_object}")
    entries = body.get("entry")
    if not isinstance(entries, list):
        raise WebhookUnreadable("the body has no list «entry»")
    return [entry for entry in entries if isinstance(entry, dict)]


def _integer(value: object, otherwise: int = 0) -> int:
    """Return *value* as an integer where it is one (or its digits), else *otherwise*."""
    if isinstance(value, bool):
        return otherwise
    if isinstance(value, int | float) and abs(value) < 1e15:  # neither infinite nor NaN, which no comparison holds for
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return otherwise
