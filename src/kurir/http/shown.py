"""How the answers of the native API write what many of them hold: times, and reasons.

This is said once, so that a time or a reason looks the same wherever it stands.
"""

from datetime import datetime
from typing import Any

from kurir.store.base import ErrorRecord

#: A JSON object of an answer.
Shown = dict[str, Any]


def time(moment: datetime | None) -> str | None:
    """Return *moment* as RFC 3339 in UTC, with a Z; None for None."""
    return moment.isoformat().replace("+00:00", "Z") if moment is not None else None


def error(record: ErrorRecord | None) -> Shown | None:
    """Return why something waits or ended, as ``{code, detail, provider_code}``; None for None."""
    if record is None:
        return None
    return {"code": record.code, "detail": record.detail, "provider_code": record.provider_code}
