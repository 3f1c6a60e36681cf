"""Signatures of Standard Webhooks 1.0.0 (standardwebhooks.com), symmetric: so any of its libraries verifies a callback.

``webhook-id`` tells repeats, ``webhook-timestamp`` is the moment of this try in whole Unix seconds, and
``webhook-signature`` is ``v1,`` and the base64 of HMAC-SHA256 over ``{id}.{timestamp}.{body}``. While a secret is being
rotated the signatures of the new and the old one stand side by side, separated by a blank. A secret is ``whsec_`` and the
base64 of 24 to 64 bytes; another form is refused where it is configured (``kurir.configuration.values.webhook_secret``).
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


def new_secret() -> str:
    """Return a new random secret."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def headers(webhook_id: str, at: datetime, body: bytes, keys: Sequence[str]) -> dict[str, str]:
    """Return the three headers of a try at *at*, signed with each of *keys*, the newest first."""
    stamp = str(int(at.timestamp()))
    content = b".".join((webhook_id.encode(), stamp.encode(), body))
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(f"v1,{_sign(key, content)}" for key in keys),
    }


def _sign(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
