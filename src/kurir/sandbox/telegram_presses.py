"""Presses of Telegram's inline buttons that the bot has not answered yet: until then the button shows a spinner.

https://core.telegram.org/bots/api#answercallbackquery
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from kurir.clock import Clock
from kurir.sandbox.ids import Ids
from kurir.sandbox.telegram_calls import bad
from kurir.sandbox.view import Bubble, Phone

#: Telegram names no time after which an answer is too late; a quarter of an hour is a guess.
LIFE_SECONDS: Final = 900.0
MAX_PRESSES: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Press:
    phone: Phone
    bubble: Bubble
    at: float


class Presses:
    """The presses that wait for an answer."""

    def __init__(self, ids: Ids, clock: Clock) -> None:
        self._ids = ids
        self._clock = clock
        self._open: OrderedDict[str, _Press] = OrderedDict()

    def begin(self, phone: Phone, bubble: Bubble, title: str) -> str:
        """Show the spinner on the button *title* and return the press's id."""
        query_id = self._ids.digits("press", 19)
        bubble.waiting = title
        self._open[query_id] = _Press(phone, bubble, self._clock.monotonic())
        while len(self._open) > MAX_PRESSES:
            self._open.popitem(last=False)
        return query_id

    def answer(self, query_id: str, text: str) -> Phone:
        """Clear the spinner, show *text* and return the phone; raises RefusedError when the press is unknown or too old."""
        press = self._open.pop(query_id, None)
        if press is None or self._clock.monotonic() - press.at > LIFE_SECONDS:
            raise bad("query is too old and response timeout expired or query ID is invalid")
        press.bubble.waiting = ""
        if text:
            press.phone.notice = text
            press.phone.notices += 1
        return press.phone

    def clear(self) -> None:
        """Forget all presses."""
        self._open.clear()
