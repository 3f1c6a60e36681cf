"""Clients and accounts, as an administrator makes and changes them while the gateway runs.

``accounts`` and ``clients`` have the rules, ``fields`` reads what was given by the readers of the configuration file, and
``refusal`` is how a change is turned down.
"""

from collections.abc import Awaitable, Callable, Mapping

from kurir.administration.accounts import Accounts
from kurir.administration.clients import Clients
from kurir.channels.base import Channel
from kurir.clock import Clock
from kurir.secretbox import SecretBox
from kurir.store.base import Store


class Administration:
    """What an administrator may do with clients and accounts. It knows no HTTP.

    *box* is asked when secrets are sealed or opened. *changed* is awaited after each change, which is durable by then: on
    its return this process works by it, and the others are told.
    """

    def __init__(
        self,
        store: Store,
        box: Callable[[], SecretBox],
        channels: Mapping[str, Channel],
        clock: Clock,
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self.accounts = Accounts(store, box, channels, clock, changed)
        self.clients = Clients(store, clock, changed)
