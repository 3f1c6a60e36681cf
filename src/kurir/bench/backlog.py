"""A queue that was left behind: many messages in a real database, written by the store's own accept, and a start on them."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from kurir import demo
from kurir.bench.ledgers import Key, words
from kurir.bench.scenario import Stage
from kurir.clock import uuid7
from kurir.domain import recipient as recipients
from kurir.domain.message import Message
from kurir.domain.recipient import PREFIX_OF, Recipient
from kurir.intake import identity, wire
from kurir.store.base import NewMessage
from kurir.store.sqlite import SqliteStore

#: Accepts that are under way at once while the database is filled: about one commit's worth.
AT_ONCE: Final = 256
MAX_AGE: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose the queue is, and when it is due: a client, its account on each channel; *due* None for now.

    *first* is the number of the first message, for a queue that grows.
    """

    client: str = demo.CLIENT
    accounts: Mapping[str, str] = field(default_factory=lambda: demo.ACCOUNTS)
    due: datetime | None = None
    first: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    """What a start on *queued* messages took. *peak*: the process's memory at its highest, in bytes.

    *ready* and *first_send*: seconds from the start of the process. *sent*: messages that the platforms took until
    *seconds* after it was ready.
    """

    queued: int
    ready: float
    first_send: float
    peak: int
    sent: int
    seconds: float


def messages(people: Sequence[tuple[str, str]], count: int, owner: Owner | None = None) -> Iterator[NewMessage]:
    """Return *count* messages to *people* in turn, as the gateway's own intake would make them."""
    owner = owner or Owner()
    now = datetime.now(UTC)
    due = owner.due or now
    for number in range(owner.first, owner.first + count):
        channel, address = people[number % len(people)]
        key = Key(f"L{number % len(people)}", number // len(people) + 1)
        recipient = f"{PREFIX_OF[channel]}:{address}"
        body = {
            "id": f"backlog-{number}",
            "times": 0,
            "timestamp": "2026-01-01T00:00:00Z",
            "recipient": recipient,
            "type": "text",
            "body": {"text": words(key, 1) + " Your order has left our shop and will be with you tomorrow."},
        }
        message, read = wire.decode(body, channel), recipients.read(channel, recipient, "")
        if not isinstance(message, Message) or not isinstance(read, Recipient):
            raise TypeError(f"a message of our own is not accepted: {message}, {read}")
        encoded = wire.encode(message)
        yield NewMessage(
            tid=uuid7(),
            client_id=owner.client,
            channel=channel,
            account_id=owner.accounts[channel],
            message_id=message.id,
            recipient=message.recipient,
            lane=identity.lane_of(channel, read),
            type=message.type.value,
            body=encoded,
            fingerprint=wire.fingerprint(encoded),
            fingerprint_version=wire.FINGERPRINT_VERSION,
            losses=(),
            priority=message.priority,
            accepted_at=now,
            due_at=due,
            expires_at=due + MAX_AGE,
        )


async def fill(database: Path, people: Sequence[tuple[str, str]], count: int, owner: Owner | None = None) -> float:
    """Queue *count* messages in *database*, which no gateway may hold; return the seconds that it took."""
    store = SqliteStore(database)
    await store.open()
    began = time.monotonic()
    waiting = iter(messages(people, count, owner))
    try:

        async def accept() -> None:
            for message in waiting:
                await store.accept(message)

        await asyncio.gather(*(accept() for _ in range(AT_ONCE)))
    finally:
        await store.close()
    return time.monotonic() - began


async def start(on: Stage, queued: int, seconds: float) -> Started:
    """Start the gateway of *on* on what is queued, and let it deliver for *seconds* after it is ready."""
    began = time.time()
    on.gateway.start()
    ready = await on.gateway.ready()
    await asyncio.sleep(seconds)
    peak = on.gateway.memory().get("VmHWM", 0)
    moments = [row.at for row in on.rows() if row.accepted]
    return Started(queued, ready, min(moments, default=began) - began, peak, len(moments), seconds)
