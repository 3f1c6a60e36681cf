"""What goes wrong, as the one exception of this package."""

from collections.abc import Sequence
from dataclasses import dataclass

#: Codes of this package's own; every other code is the gateway's, and has its page at ``/errors/{code}`` there.
#: ``not_reached``: no connection, so nothing was asked. ``no_answer``: asked, and nobody knows what came of it.
NOT_REACHED = "not_reached"
NO_ANSWER = "no_answer"
#: A stream ended by itself, as it does once an hour and when the gateway stops. Only seen where nothing is asked again.
STREAM_ENDED = "stream_ended"
UNREADABLE_ANSWER = "unreadable_answer"
INVALID_WEBHOOK = "invalid_webhook"
INVALID_SIGNATURE = "invalid_signature"
TIMESTAMP_OUT_OF_RANGE = "timestamp_out_of_range"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a request: where (a JSON pointer into the body), its code, and a sentence."""

    pointer: str = ""
    code: str = ""
    detail: str = ""


class KurirError(Exception):
    """A call, or the check of a webhook, did not work.

    Attributes:
        code: The gateway's code of the error, or one of this module's.
        detail: What is wrong, in a sentence.
        problems: Every single problem of the request, where the gateway lists them.
        status: The HTTP status of the answer; 0 when there was none.
        retry_after: Seconds after which the gateway wants to be asked again, None where it did not say.
        request_id: The gateway's id of the request, for its log; "" when there is none.
        type: The path of the page that explains the error, at the gateway itself; "" when there is none.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        problems: Sequence[Problem] = (),
        status: int = 0,
        retry_after: float | None = None,
        request_id: str = "",
        type: str = "",  # noqa: A002 - the member of RFC 9457
    ) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.problems = tuple(problems)
        self.status = status
        self.retry_after = retry_after
        self.request_id = request_id
        self.type = type

    def __str__(self) -> str:
        """Return the problems, else the detail, with the code and the HTTP status."""
        sentence = "; ".join(f"{one.detail} ({one.pointer or '/'})" for one in self.problems) or self.detail
        return f"{sentence} [{self.code}, HTTP {self.status}]" if self.status else f"{sentence} [{self.code}]"
