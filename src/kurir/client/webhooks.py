"""Is this callback the gateway's, and what does it tell? Needs nothing but the standard library.

The signature is that of Standard Webhooks 1.0.0 (standardwebhooks.com): ``webhook-signature`` holds one or several of
``v1,`` and the base64 of HMAC-SHA256 over ``{webhook-id}.{webhook-timestamp}.{body}``, separated by blanks. While the gateway
rotates a secret it sends two, and either of them is enough.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from typing import Final

from kurir.client import events
from kurir.client.errors import INVALID_SIGNATURE, INVALID_WEBHOOK, TIMESTAMP_OUT_OF_RANGE, KurirError

#: How far the time of a callback may be from this machine's, in seconds, as Standard Webhooks' own libraries have it.
TOLERANCE: Final = 300.0

_PREFIX: Final = "whsec_"


def verify(
    headers: Mapping[str, str],
    body: bytes | str,
    secret: str | Sequence[str],
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
) -> events.Event:
    """Return the event that a callback tells, after it was checked.

    Args:
        headers: Those of the request, in any case.
        body: The body as it came, before anything parsed it.
        secret: The endpoint's (``whsec_…``), or several: each of them may have signed.
        tolerance: How many seconds the callback's time may be before or after *now*.
        now: The present as Unix time; this machine's clock unless given.

    Raises:
        KurirError: ``invalid_webhook`` (a header is missing, or the body no object), ``invalid_signature``,
            ``timestamp_out_of_range`` (an old one may be somebody's recording), ``unreadable_answer`` (signed, but no event).
        ValueError: *secret* is none, or of another form.
    """
    keys = [_key(one) for one in ([secret] if isinstance(secret, str) else secret)]
    if not keys:
        raise ValueError("verify needs a secret")
    given = {name.lower(): value for name, value in headers.items()}
    webhook_id, stamp = _header(given, "webhook-id"), _header(given, "webhook-timestamp")
    signatures = _header(given, "webhook-signature").split(" ")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 16):
        raise KurirError(INVALID_WEBHOOK, "the header webhook-timestamp is no Unix time in whole seconds")
    content = body.encode() if isinstance(body, str) else bytes(body)
    signed = b".".join((webhook_id.encode("utf-8", "surrogateescape"), stamp.encode(), content))
    if not _any_signature(keys, signed, signatures):
        raise KurirError(INVALID_SIGNATURE, "no signature of the callback fits; is this the endpoint's secret?")
    off = (time.time() if now is None else now) - int(stamp)
    if abs(off) > tolerance:
        side = "old" if off > 0 else "ahead of this machine's clock"
        raise KurirError(
            TIMESTAMP_OUT_OF_RANGE, f"the callback is {abs(off):.0f} s {side}; at most {tolerance:g} s are taken"
        )
    return _event(content, webhook_id)


def _any_signature(keys: Sequence[bytes], signed: bytes, given: Sequence[str]) -> bool:
    """Compare every key with every signature, in a time that tells nothing of where they differ."""
    found = False
    for key in keys:
        expected = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
        for one in given:
            found |= hmac.compare_digest(expected, one.encode("utf-8", "surrogateescape"))
    return found


def _header(given: Mapping[str, str], name: str) -> str:
    value = given.get(name, "").strip()
    if not value:
        raise KurirError(INVALID_WEBHOOK, f"the header {name} is missing")
    return value


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError("a secret is whsec_ and base64, as the gateway printed it")
    return key


def _event(content: bytes, webhook_id: str) -> events.Event:
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise KurirError(INVALID_WEBHOOK, "the callback's body is no JSON object")
    return events.of_body(body, webhook_id)
