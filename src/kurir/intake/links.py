"""Links to files that came in: ours, signed and expiring, so that nobody sees where and by what secret a platform keeps one.

The signature covers the account, the event, the file's number and the moment when the link ends; its key is derived from
the encryption key, so that a restart, and a key that was rotated, leave links good (RFC 5869, RFC 2104).
"""

import base64
import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final
from urllib.parse import quote

from kurir.clock import Clock
from kurir.store.feed import EventRecord

#: How long a link is good. A platform may keep the file for less: LINE a while, WhatsApp and Messenger days.
LIFE: Final = timedelta(hours=24)
#: What the signing keys are derived for (:meth:`kurir.secretbox.SecretBox.derive`).
PURPOSE: Final = "links to files that came in"
_SIGNATURE_BYTES: Final = 18


class MediaLinks:
    """Makes and checks links below *base*. *keys* gives the signing keys, the newest first."""

    def __init__(self, base: str, keys: Callable[[], Sequence[bytes]], clock: Clock) -> None:
        self._base = base.rstrip("/")
        self._keys = keys
        self._clock = clock

    def link(self, event: EventRecord, number: int) -> tuple[str, datetime]:
        """Return the URL of the *number*-th file of *event*, from 0, and when it ends."""
        until = int((self._clock.now() + LIFE).timestamp())
        signature = _signature(self._keys()[0], event.account_id, event.position, number, until)
        path = f"/media/{quote(event.account_id, safe='')}/{event.position}/{number}/{until}/{signature}"
        return self._base + path, datetime.fromtimestamp(until, UTC)

    def good(self, account_id: str, position: int, number: int, until: int, signature: str) -> bool:
        """Return whether a link is ours and has not ended yet. In constant time."""
        ours = False
        for key in self._keys():
            right = _signature(key, account_id, position, number, until)
            ours |= hmac.compare_digest(right.encode(), signature.encode("utf-8", "replace"))
        return ours and until > self._clock.now().timestamp()


def _signature(key: bytes, account_id: str, position: int, number: int, until: int) -> str:
    message = f"{account_id}\x00{position}\x00{number}\x00{until}".encode()
    return base64.urlsafe_b64encode(hmac.digest(key, message, sha256)[:_SIGNATURE_BYTES]).decode()
