"""LINE's tokens: reply tokens, each of which answers one event of one chat, once, and not for long; and quote tokens."""

from collections import OrderedDict

from kurir.clock import Clock
from kurir.sandbox.ids import Ids

#: LINE promises a minute and no more: https://developers.line.biz/en/reference/messaging-api/#send-reply-message.
LIFE_SECONDS = 60.0
#: Unused tokens that are remembered; older ones are as good as expired.
MAX_TOKENS = 1000
MAX_QUOTES = 10_000


class ReplyTokens:
    """The tokens that were given out and not used yet."""

    def __init__(self, ids: Ids, clock: Clock) -> None:
        self._ids = ids
        self._clock = clock
        self._open: dict[str, tuple[str, float]] = {}

    def issue(self, address: str) -> str:
        """Return a new token that answers in the chat with *address*."""
        token = self._ids.hex("reply")
        self._open[token] = (address, self._clock.monotonic())
        while len(self._open) > MAX_TOKENS:
            del self._open[next(iter(self._open))]
        return token

    def look(self, token: str) -> str:
        """Return the chat of *token* without using it up; "" when it is unknown or used."""
        return self._open.get(token, ("", 0.0))[0]

    def use(self, token: str) -> str:
        """Return the chat that *token* answers in and use it up; "" when it is unknown, used or too old."""
        address, issued = self._open.pop(token, ("", 0.0))
        return address if self._clock.monotonic() - issued <= LIFE_SECONDS else ""

    def clear(self) -> None:
        """Forget all tokens."""
        self._open.clear()


class QuoteTokens:
    """The tokens by which a message can be quoted, by whoever wrote it."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._known: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def issue(self, address: str, number: str) -> str:
        """Return a token for the message *number* in the chat with *address*."""
        token = self._ids.text("quote", 86)
        self._known[token] = (address, number)
        while len(self._known) > MAX_QUOTES:
            self._known.popitem(last=False)
        return token

    def look(self, token: str) -> tuple[str, str]:
        """Return the chat and the message of *token*, empty when it is unknown."""
        return self._known.get(token, ("", ""))

    def clear(self) -> None:
        """Forget all tokens."""
        self._known.clear()
