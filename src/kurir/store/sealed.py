"""What lies encrypted in the database: for a change of the key, which concerns all of it and none of what it says."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class SealedKind(StrEnum):
    """Whose value it is."""

    ACCOUNT = "account"
    ENDPOINT = "endpoint"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed value and the row that it is bound to. ``client_id`` and ``url`` are "" where the row has none."""

    kind: SealedKind
    id: str
    client_id: str
    url: str
    value: bytes = field(repr=False)


class SealedStore(Protocol):
    """The part of the store that a change of the key needs."""

    async def sealed_values(self) -> list[Sealed]:
        """Return every sealed value, also of what is not enabled, all of them as they are at one moment."""
        ...

    async def replace_sealed(self, changes: Sequence[tuple[Sealed, bytes]]) -> int:
        """Put a new value in the place of each that still is what it was; return how many that were.

        All in one transaction, durable on return. Nothing else of a row changes: an account stays parked, and its token as
        old as it is. Who follows the configuration is not told: no process may be at work that lacks the new key.
        """
        ...
