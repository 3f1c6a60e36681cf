"""When each account was last called by its platform, since this start: the sign that its webhook is connected."""

from datetime import datetime


class LastWebhooks:
    """Remembers the newest genuine webhook (or handshake) of each account, in memory."""

    def __init__(self) -> None:
        self._at: dict[str, datetime] = {}

    def note(self, account_id: str, at: datetime) -> None:
        """Note that a webhook of the account came in whose signature was right."""
        self._at[account_id] = at

    def last(self, account_id: str) -> datetime | None:
        """Return when the newest one came in; None: none did since this start."""
        return self._at.get(account_id)
