"""Codes of a second factor: TOTP (RFC 6238) with what every authenticator app takes: SHA-1, six digits, 30 seconds."""

import base64
import hashlib
import hmac
import secrets
import struct
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode

#: Seconds of a time step, and digits of a code.
STEP_SECONDS: Final = 30
DIGITS: Final = 6
#: Steps that a phone's clock may be off, each way (RFC 6238, 5.2 recommends one).
SKEW: Final = 1
#: Bytes of a secret (RFC 4226, 4: 160 bits recommended).
SECRET_BYTES: Final = 20


def new_secret() -> bytes:
    """Return a new secret."""
    return secrets.token_bytes(SECRET_BYTES)


def about(user_id: str) -> str:
    """Return what a user's sealed secret is bound to."""
    return f"console_user:{user_id}:totp"


def code_at(secret: bytes, step: int) -> str:
    """Return the code of a time step (RFC 4226, 5.3)."""
    digest = hmac.new(secret, struct.pack(">Q", step), hashlib.sha1).digest()
    offset = digest[-1] & 15
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFF_FFFF
    return str(number % 10**DIGITS).zfill(DIGITS)


def step_of(secret: bytes, code: str, now: datetime) -> int | None:
    """Return the time step around *now* that *code* is of; None: it is no code of now. Blanks in it do not count."""
    given = "".join(code.split())
    if len(given) != DIGITS or not (given.isascii() and given.isdigit()):
        return None
    current = int(now.timestamp()) // STEP_SECONDS
    found = None
    for step in range(current - SKEW, current + SKEW + 1):
        if hmac.compare_digest(code_at(secret, step), given):
            found = step
    return found


def text(secret: bytes) -> str:
    """Return the secret as people type it: base32, in groups of four."""
    plain = base64.b32encode(secret).decode().rstrip("=")
    return " ".join(plain[at : at + 4] for at in range(0, len(plain), 4))


def uri(secret: bytes, name: str, issuer: str) -> str:
    """Return what an authenticator app reads from a QR code (the Key URI format)."""
    plain = base64.b32encode(secret).decode().rstrip("=")
    query = urlencode({"secret": plain, "issuer": issuer, "digits": DIGITS, "period": STEP_SECONDS}, quote_via=quote)
    return f"otpauth://totp/{quote(issuer)}:{quote(name)}?{query}"
