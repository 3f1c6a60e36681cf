"""A client of kurir for Python: send, look at messages, follow events, check callbacks.

:class:`Client` and :class:`AsyncClient` have the same methods. :func:`verify` takes a callback apart after it checked who sent
it. This package imports nothing of the gateway, and the gateway nothing of it but its command line.
"""

from kurir.client.answers import (
    Accepted,
    Attempt,
    Change,
    Contact,
    ContactLink,
    Loss,
    MessageDetails,
    MessageSummary,
    Part,
    Preview,
    PreviewPart,
    Reason,
    Status,
)
from kurir.client.asynchronous import AsyncClient, AsyncEvents, AsyncStream
from kurir.client.errors import KurirError, Problem
from kurir.client.events import (
    AgentMessage,
    ContactChanged,
    Event,
    Location,
    Media,
    MessageDeleted,
    MessageEdited,
    MessageReaction,
    MessageReceived,
    MessageStatus,
    Person,
    Postback,
    PostbackReceived,
    Reacted,
    Received,
)
from kurir.client.message import Button, Footer, Header, Message, Row, Section
from kurir.client.retrying import Retries
from kurir.client.sync import Client, Events, Stream
from kurir.client.webhooks import verify

__all__ = [
    "Accepted",
    "AgentMessage",
    "AsyncClient",
    "AsyncEvents",
    "AsyncStream",
    "Attempt",
    "Button",
    "Change",
    "Client",
    "Contact",
    "ContactChanged",
    "ContactLink",
    "Event",
    "Events",
    "Footer",
    "Header",
    "KurirError",
    "Location",
    "Loss",
    "Media",
    "Message",
    "MessageDeleted",
    "MessageDetails",
    "MessageEdited",
    "MessageReaction",
    "MessageReceived",
    "MessageStatus",
    "MessageSummary",
    "Part",
    "Person",
    "Postback",
    "PostbackReceived",
    "Preview",
    "PreviewPart",
    "Problem",
    "Reacted",
    "Reason",
    "Received",
    "Retries",
    "Row",
    "Section",
    "Status",
    "Stream",
    "verify",
]
