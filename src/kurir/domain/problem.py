"""What is wrong with a request, and what a channel cannot show as it was asked.

A :class:`Problem` refuses a request (HTTP 422); a :class:`Loss` lets it pass and says what the person will not see as
it was written. Both point into the request body with a JSON pointer (RFC 6901).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a request is refused.

    ``pointer`` is a JSON pointer into the body, ``code`` a stable word of the error registry, ``detail`` a sentence
    that names the field, the limit and the fix.
    """

    pointer: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that the channel shows in another way than it was asked, or not at all.

    ``kind`` is a stable word (``title_truncated``, ``buttons_as_list`` …), ``detail`` a sentence for the sender.
    """

    pointer: str
    kind: str
    detail: str


def pointer(*steps: str | int) -> str:
    """Return the RFC 6901 pointer of *steps*: ``pointer("body", "button", 0)`` is ``/body/button/0``."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
