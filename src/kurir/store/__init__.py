"""The only SQL. ``base`` is the protocol, ``sqlite`` the store for one machine; ``migrations`` holds the schema.

The protocol has parts: ``base`` for messages on their way out, ``inbound`` for what comes in, ``feed`` for what clients are
told, ``access`` for the console's users and its logs, ``looking`` for what people look at,
``sealed`` for a change of the key. A store keeps all of them.
"""

from typing import Protocol

from kurir.store.access import AccessStore
from kurir.store.base import Store
from kurir.store.feed import FeedStore
from kurir.store.inbound import InboundStore
from kurir.store.looking import LookingStore
from kurir.store.sealed import SealedStore


class GatewayStore(Store, InboundStore, FeedStore, AccessStore, LookingStore, SealedStore, Protocol):
    """The database, whole."""
