"""The ids that the emulated platforms give out: plausible in form, never repeated, the same again for the same seed.

They come from a hash over a counter, so no state but the counter is needed and a seeded sandbox is reproducible.
"""

import base64
import hashlib
import os
import time

#: LINE's message ids are decimal strings of 18 digits.
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LINE_ID_BASE = 400_000_000_000_000_000


class Ids:
    """A source of ids for one sandbox."""

    def __init__(self, seed: int | None) -> None:
        self._seed = os.urandom(16) if seed is None else str(seed).encode()
        # Unseeded, the counting ids begin where an earlier start cannot have come, at a few messages a second.
        self._start = 0 if seed is not None else int(time.time()) - 1_700_000_000
        self._count = 0
        self._in_chat: dict[str, int] = {}

    def _bytes(self, kind: str) -> bytes:
        self._count += 1
        return hashlib.sha256(self._seed + f":{kind}:{self._count}".encode()).digest()

    def hex(self, kind: str, length: int = 32) -> str:
        """Return *length* hexadecimal digits."""
        return self._bytes(kind).hex()[:length]

    def text(self, kind: str, length: int) -> str:
        """Return *length* characters of base64url, as the tokens and traces of the platforms are."""
        raw = b"".join(hashlib.sha256(self._bytes(kind)).digest() for _ in range(length // 40 + 1))
        return base64.urlsafe_b64encode(raw).decode().replace("=", "")[:length]

    def uuid(self, kind: str) -> str:
        """Return a random-looking UUID (version 4)."""
        digits = self.hex(kind)
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}"

    def digits(self, kind: str, length: int) -> str:
        """Return *length* decimal digits, the first not 0."""
        number = int.from_bytes(self._bytes(kind), "big") % (9 * 10 ** (length - 1))
        return str(number + 10 ** (length - 1))

    def wamid(self, wa_id: str) -> str:
        """Return a WhatsApp message id: base64 that holds the recipient's number, as the real ones do."""
        raw = (
            b"\x1d\x0b" + bytes([len(wa_id)]) + wa_id.encode() + b"\x15\x02\x00\x11\x18\x12" + self._bytes("wamid")[:18]
        )
        return "wamid." + base64.b64encode(raw).decode()

    def mid(self) -> str:
        """Return a Messenger message id."""
        return "m_" + self.text("mid", 87)

    def line_id(self) -> str:
        """Return a LINE message id; they rise."""
        self._count += 1
        return str(_LINE_ID_BASE + (self._start << 24) + self._count)

    def ulid(self, milliseconds: int) -> str:
        """Return a ULID of that moment, as LINE's webhook events have (https://github.com/ulid/spec)."""
        number = (milliseconds << 80) | int.from_bytes(self._bytes("ulid")[:10], "big")
        return "".join(_CROCKFORD[number >> (5 * place) & 31] for place in reversed(range(26)))

    def first_update(self) -> int:
        """Return the number before the first update of a Telegram bot; an unseeded one begins after an earlier start's."""
        return 900_000_000 + self._start

    def in_chat(self, chat: str) -> int:
        """Return the next Telegram message id of *chat*: small integers that count within one chat."""
        self._in_chat[chat] = self._in_chat.get(chat, self._start) + 1
        return self._in_chat[chat]
