"""What the routes ask of delivery: how an account stands, and to stop it, let it go on, or look at its queue.

It is a protocol of this layer, so that the routes name the few things that they need and a test can stand in for them.
"""

from typing import Protocol

from kurir.delivery.state import AccountState, Limit, Why


class Operator(Protocol):
    """Delivery, as the routes see it. ``kurir.delivery.dispatcher.Dispatcher`` is one."""

    def state(self, account_id: str) -> AccountState:
        """Return how the account stands at this moment; one that is not enabled is ``disabled``."""
        ...

    def owns(self, account_id: str) -> bool:
        """Return whether this process works for the account, so that it knows all of its state."""
        ...

    def limits(self, account_id: str) -> tuple[Limit, ...]:
        """Return the account's limits by name; none of one that is not enabled."""
        ...

    def why(self, account_id: str, lane: str) -> Why | None:
        """Return what keeps messages of this lane of the account from being sent, beyond the queue itself."""
        ...

    async def pause(self, account_id: str) -> None:
        """Start no more calls of the account. On return it is durable: a restart does not undo it."""
        ...

    async def resume(self, account_id: str) -> None:
        """Let an account go on that is paused, parked or out: it is tried at once. On return it is durable."""
        ...

    def wake(self, account_id: str) -> None:
        """Hint that there is something new in the account's queue."""
        ...
