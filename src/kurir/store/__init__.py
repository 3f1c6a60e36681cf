"""The only SQL. ``base`` is the protocol, ``sqlite`` the store for one machine; ``migrations`` holds the schema.

The protocol has three parts: ``base`` for messages on their way out, ``inbound`` for what comes in, ``feed`` for what clients
are told. A store keeps all three.
"""

from typing import Protocol

from kurir.store.base import Store
from kurir.store.feed import FeedStore
from kurir.store.inbound import InboundStore


class GatewayStore(Store, InboundStore, FeedStore, Protocol):
    """The database, whole."""
