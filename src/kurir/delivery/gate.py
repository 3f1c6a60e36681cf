"""What passes between an account's worker and the sender of one message: how it goes on, and what is asked and told."""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from kurir.channels.base import Call, Outcome
from kurir.quick import quick


@dataclass(frozen=True, slots=True)
class Finished:
    """The message has left the queue: every part is answered, or it ended."""


@quick
@dataclass(frozen=True, slots=True)
class Waiting:
    """The message waits *seconds* for its next try. *begun*: a part of it was called, so that nothing goes before it.

    *turn*: it only waits for its turn at the platform, and nothing of it has changed. *proof*: a part of it is in doubt
    since that moment (:class:`kurir.delivery.doubt.Doubt`), and goes on as soon as the platform has answered since; None: it
    waits for nothing but time.
    """

    seconds: float
    begun: bool = False
    turn: bool = False
    proof: int | None = None


Progress: TypeAlias = Finished | Waiting


class Gate(Protocol):
    """What the account's worker decides and learns for the messages of one lane."""

    @property
    def gone(self) -> bool:
        """Whether the lane went on without this message: a receipt settled the part whose call had not ended.

        What comes of that call is recorded. No other call of the message is made from here, since another task may.
        """
        ...

    def wait(self, call: Call) -> float:
        """Return in how many seconds *call* may be made; 0.0: it may now, and is counted as made."""
        ...

    def asked_to_wait(self) -> float:
        """Return how many seconds the platform wants no such call, 0.0 when it may be made."""
        ...

    def unproven(self, since: int) -> float | None:
        """Return None where the platform has answered after the moment *since*, else in how many seconds it is looked at.

        Infinity while a look is under way.
        """
        ...

    def made(self, part: int) -> bool:
        """The call of *part* that was counted is made now; return whether the account is out, so that it is a probe."""
        ...

    def ended(self, *, alive: bool) -> None:
        """The call has ended; *alive*: by an answer that shows that the platform lives."""
        ...

    def close(self) -> None:
        """Give back what was counted and is not made."""
        ...

    def told(self, outcome: Outcome, began: float, *, answered: bool) -> None:
        """Learn what came of a call that *began* then (monotonic); *answered*: by an answer of the platform."""
        ...
