"""What Meta's two channels share: signature, handshake, error object, usage headers.

Sources: Meta's pages "Webhooks: getting started" (signature over the raw bytes, handshake), "Rate limiting"
(X-Business-Use-Case-Usage in minutes), "Error codes"; gathered in the WhatsApp sheet §4–5 and the Messenger sheet §4–5.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kurir.channels.base import Answer, Handshake, JsonObject, WebhookRejected, WebhookRequest, WebhookUnreadable
from kurir.channels.text import storable

#: No code of the platform: the real ones are small, and -1 is one of Messenger's.
NO_CODE: Final = -(2**31)


@dataclass(frozen=True, slots=True)
class GraphError:
    """The ``error`` object of a Graph answer. Decide on ``code``, ``subcode`` and ``is_transient`` only: texts change.

    ``code`` is ``NO_CODE`` when the object names none; 0 is a code of its own (authentication).
    """

    code: int
    subcode: int
    is_transient: bool
    message: str

    @property
    def provider_code(self) -> str:
        """The code as the platform's pages print it: ``100/2018001`` or ``131047``; "" when there is none."""
        if self.code == NO_CODE:
            return ""
        return f"{self.code}/{self.subcode}" if self.subcode else str(self.code)


def error_of(answer: Answer) -> GraphError | None:
    """Return the error object of *answer*, also of one with status 200; None when there is none."""
    body = answer.json()
    error = body.get("error") if body is not None else None
    if not isinstance(error, dict):
        return None
    details = error.get("error_data")
    text = details.get("details") if isinstance(details, dict) else None
    # ``error_data`` was a plain string in old versions.
    texts = (text, details, error.get("error_user_msg"), error.get("message"))
    return GraphError(
        code=_integer(error.get("code"), otherwise=NO_CODE),
        subcode=_integer(error.get("error_subcode")),
        is_transient=error.get("is_transient") is True,
        message=storable(next((one for one in texts if isinstance(one, str) and one), "")[:500]),
    )


def regain_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the wait that the usage header names, in seconds; None when it names none.

    ``X-Business-Use-Case-Usage`` maps an id to a list of objects; ``estimated_time_to_regain_access`` is in minutes.
    """
    try:
        usage = json.loads(headers.get("x-business-use-case-usage", ""))
    except (ValueError, RecursionError):
        return None
    minutes = 0
    for entries in usage.values() if isinstance(usage, dict) else ():
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                minutes = max(minutes, _integer(entry.get("estimated_time_to_regain_access")))
    return minutes * 60.0 if minutes > 0 else None


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
