"""A part in doubt: it may have left already, so that what is sent now may be one copy too many. Pure rules and words."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kurir.domain.account import Account, UnknownOutcome
from kurir.store.base import ErrorRecord

#: How often a part is sent, at most, of which nobody knows whether it left: each time may be one too many.
COPIES: Final = 3


@dataclass(frozen=True, slots=True)
class Doubt:
    """The last outcome of a part became unknown, for the reason *error*.

    *since* numbers that moment in the order of what happens in this process; 0: it was before the process began.
    """

    since: int
    error: ErrorRecord

    def waits(self, until: datetime | None) -> ErrorRecord:
        """Return why the part is not sent again yet. *until*: when the next look is due, None while one is under way."""
        when = "a look is under way" if until is None else f"next look at {until.strftime('%H:%M:%S %Z').strip()}"
        held = "it may have left, so that it is sent again only when the platform answers again"
        detail = f"{self.error.detail}; {held}; {when}"
        return ErrorRecord(self.error.code, detail, self.error.provider_code)


def forbidden(account: Account, copies: int) -> str:
    """Return why a part in doubt is not sent again, "" where it may be. *copies* may have left so far."""
    if account.unknown_outcome is UnknownOutcome.HOLD:
        return "the account's policy is to hold"
    if copies >= COPIES:
        return f"{copies} copies may have been sent, and no more are"
    return ""


def exhausted(reason: ErrorRecord, attempts: int, *, unsure: bool) -> ErrorRecord:
    """Return why no attempt is left. Where one of them may have left, proof that it did can still correct it."""
    code = "outcome_unknown" if unsure else "attempts_exhausted"
    return ErrorRecord(code, f"{attempts} attempts failed; the last: {reason.detail}", reason.provider_code)
