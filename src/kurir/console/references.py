"""What names a person in an address of the console: nobody who looks at a screen or a history reads a phone in it.

A reference is the same each time, so that a page can be kept and shared, and nobody can make one: it is encrypted and
authenticated by AES-SIV (RFC 5297) under a key that the installation's own is the source of.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from kurir.secretbox import SecretBox

_PURPOSE: Final = "references of the console"
#: The longest reference that is read, in characters.
LONGEST: Final = 1_000


class References:
    """Makes and reads references. *box* is there once the gateway has started."""

    def __init__(self, box: Callable[[], SecretBox]) -> None:
        self._box = box
        self._made: tuple[AESSIV, ...] = ()

    def of(self, kind: str, *parts: str) -> str:
        """Return the reference of *parts* (none has a NUL), which is read as one of this *kind* only."""
        sealed = self._ciphers()[0].encrypt("\0".join(parts).encode(), [kind.encode()])
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def parts(self, kind: str, reference: str) -> tuple[str, ...] | None:
        """Return what a reference of *kind* names; None for one that this installation did not make."""
        if len(reference) > LONGEST or not reference.isascii():
            return None
        try:
            sealed = base64.urlsafe_b64decode(reference + "=" * (-len(reference) % 4))
        except (binascii.Error, ValueError):
            return None
        for cipher in self._ciphers():
            try:
                return tuple(cipher.decrypt(sealed, [kind.encode()]).decode().split("\0"))
            except (InvalidTag, ValueError):
                continue
        return None

    def _ciphers(self) -> tuple[AESSIV, ...]:
        if not self._made:
            self._made = tuple(AESSIV(key) for key in self._box().derive(_PURPOSE))
        return self._made
