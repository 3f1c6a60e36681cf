"""What is sealed of an endpoint: its secret, the headers that go along, and the old secret while it is being rotated.

The form is that of ``kurir.configuration.declared`` with two members more, which are left out while they are empty: so an
endpoint that a configuration file declares keeps its sealed bytes, and what either of the two writes the other one reads.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from kurir.configuration.declared import ROTATION_OVERLAP, endpoint_about
from kurir.secretbox import SecretBox
from kurir.store.base import EndpointRecord

OVERLAP: Final = ROTATION_OVERLAP


@dataclass(frozen=True, slots=True)
class Keys:
    """The secrets of an endpoint. ``previous`` signs as well until ``previous_until``."""

    secret: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    previous: str = field(default="", repr=False)
    previous_until: datetime | None = None

    def signing(self, now: datetime) -> tuple[str, ...]:
        """Return the secrets that sign at *now*, the newest first."""
        if self.previous and self.previous_until is not None and now < self.previous_until:
            return self.secret, self.previous
        return (self.secret,)

    def rotated(self, secret: str, now: datetime, overlap: timedelta = OVERLAP) -> "Keys":
        """Return the keys with *secret* as the new one; the present one signs until *overlap* has passed."""
        return replace(self, secret=secret, previous=self.secret, previous_until=now + overlap)


def seal(client_id: str, url: str, keys: Keys, box: SecretBox) -> bytes:
    """Return *keys* sealed for the endpoint of the client at *url*."""
    plain: dict[str, object] = {"secret": keys.secret, "headers": dict(keys.headers)}
    if keys.previous and keys.previous_until is not None:
        plain |= {"previous": keys.previous, "previous_until": keys.previous_until.isoformat()}
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return box.seal(text.encode(), about=endpoint_about(client_id, url))


def unseal(record: EndpointRecord, box: SecretBox) -> Keys:
    """Return what is sealed in *record*. Raises SealError."""
    stored = json.loads(box.open(record.sealed, about=endpoint_about(record.client_id, record.url)))
    until = stored.get("previous_until")
    return Keys(
        stored["secret"],
        stored["headers"],
        stored.get("previous", ""),
        datetime.fromisoformat(until) if until else None,
    )
