"""Keys of buttons and list rows, made fit for a platform's field without losing one character.

A key that the field cannot carry as it is (too long in its unit, outer blanks, a repeat where repeats are refused, or
itself looking like a token) travels as ``~t:`` and 22 base64url characters of SHA-256(client, key, occurrence). Same key,
same token, so rendering stays pure; the pair is stored before the call, and the key comes back on the press
(docs/decisions: tokens).
"""

import base64
import hashlib
from collections.abc import Callable

from kurir.channels.base import Token

PREFIX = "~t:"


def token_for(client_id: str, key: str, occurrence: int = 0) -> str:
    """Return the token of *key*: 25 ASCII characters. *occurrence* counts the same key's repeats in one message."""
    material = b"\x00".join((client_id.encode(), key.encode(), str(occurrence).encode()))
    digest = hashlib.sha256(material).digest()[:16]
    return PREFIX + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Keys:
    """Gives the field values for the keys of one message and collects the tokens to store.

    *length* measures a key in the platform's unit, *limit* is the field's maximum, *unique* is true where the platform
    refuses a repeated value, *strips* where it refuses or loses outer blanks.
    """

    def __init__(
        self, client_id: str, *, length: Callable[[str], int], limit: int, unique: bool = False, strips: bool = False
    ) -> None:
        self._client_id = client_id
        self._length = length
        self._limit = limit
        self._unique = unique
        self._strips = strips
        self._seen: dict[str, int] = {}
        self._tokens: dict[str, str] = {}

    def field(self, key: str, *, limit: int | None = None) -> str:
        """Return what travels for *key*; *limit* replaces the field's own where one message has two kinds of field."""
        occurrence = self._seen.get(key, 0)
        self._seen[key] = occurrence + 1
        fits = self._length(key) <= (self._limit if limit is None else limit)
        blank = self._strips and key != key.strip()
        repeat = self._unique and occurrence > 0
        if fits and not blank and not repeat and not key.startswith(PREFIX):
            return key
        token = token_for(self._client_id, key, occurrence if self._unique else 0)
        self._tokens[token] = key
        return token

    def tokens(self) -> tuple[Token, ...]:
        """Return the tokens given out so far, in order."""
        return tuple(Token(token, key) for token, key in self._tokens.items())
