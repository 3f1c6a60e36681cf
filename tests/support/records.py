"""Builders of the store's records for tests: everything has a plain default, a test names what it is about."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

from kurir.clock import uuid7
from kurir.domain.message import Priority
from kurir.domain.status import Status
from kurir.store import GatewayStore
from kurir.store.base import (
    AccountRecord,
    AttemptRecord,
    ClientRecord,
    Declared,
    EndpointRecord,
    ErrorRecord,
    Mark,
    NewMessage,
    PartAnswered,
    PartFailed,
    PartWaiting,
    ReceiptRecord,
    Recorded,
    Result,
    Store,
    Verdict,
)
from kurir.store.feed import CallbackAttempt, CallbackRecord, Called, Owed
from kurir.store.inbound import Arrival, Heard, NewEvent, TakenIn, Webhook

T0 = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)

CLIENT, OTHER_CLIENT = "acme", "globex"
ACCOUNT, SECOND_ACCOUNT, OTHER_ACCOUNT = "acme-fb", "acme-tg", "globex-fb"

_numbers = count(1)


def at(seconds: float) -> datetime:
    """The tests' day, *seconds* after its beginning."""
    return T0 + timedelta(seconds=seconds)


def new_message(**fields) -> NewMessage:
    """A message with an id of its own."""
    number = next(_numbers)
    message = NewMessage(
        tid=uuid7(),
        client_id=CLIENT,
        channel="messenger",
        account_id=ACCOUNT,
        message_id=f"id-{number}",
        recipient="fb:6915551234567890",
        lane="6915551234567890",
        type="text",
        body=b'{"text": "hello"}',
        fingerprint=b"\x01" * 32,
        fingerprint_version=1,
        losses=(),
        priority=Priority.NORMAL,
        accepted_at=T0,
        due_at=T0,
        expires_at=at(86_400),
    )
    return replace(message, **fields)


def client(client_id: str = CLIENT, **fields) -> ClientRecord:
    return replace(ClientRecord(client_id, client_id, "$argon2id$x"), **fields)


def account(account_id: str = ACCOUNT, client_id: str = CLIENT, **fields) -> AccountRecord:
    base = AccountRecord(account_id, client_id, "messenger", "https://graph.facebook.com", b"sealed")
    return replace(base, **fields)


DECLARED = Declared(
    clients=(client(), client(OTHER_CLIENT)),
    accounts=(
        account(),
        account(SECOND_ACCOUNT, channel="telegram", api_base="https://api.telegram.org", position=1),
        account(OTHER_ACCOUNT, OTHER_CLIENT),
    ),
)


def mark(message: NewMessage, part: int = 1, total: int = 1, **fields) -> Mark:
    base = Mark(message.tid, 1, part, at(1), total, message.lane, facts=b'{"address": "x"}' if part == 1 else None)
    return replace(base, **fields)


def attempt(part: int = 1, **fields) -> AttemptRecord:
    return replace(AttemptRecord(part, at(2), 12, '{"url": "…"}', 200, "{}", b"{}", "sent"), **fields)


def result(message: NewMessage, verdict: Verdict, part: int = 1, **fields) -> Result:
    return replace(Result(message.tid, 1, part, at(2), attempt(part), verdict), **fields)


def sent(*platform_ids: str, status: Status = Status.SENT, quote_tokens: tuple[str, ...] = ()) -> PartAnswered:
    return PartAnswered(platform_ids, status, quote_tokens)


def failed(status: Status = Status.FAILED, code: str = "content_refused") -> PartFailed:
    return PartFailed(status, ErrorRecord(code, "refused for good", "131009"))


def waiting(seconds: float = 60) -> PartWaiting:
    return PartWaiting(at(seconds), ErrorRecord("throttled", "the platform asked us to wait", "429"))


def receipt(status: Status, platform_id: str = "", **fields) -> ReceiptRecord:
    base = ReceiptRecord(ACCOUNT, f"event-{next(_numbers)}", status, at(10), platform_id)
    return replace(base, **fields)


async def send(store: Store, *platform_ids: str, **fields) -> NewMessage:
    """Accept a message of one part and let the platform take it."""
    message = new_message(**fields)
    await store.accept(message)
    assert await store.mark(mark(message))
    await store.record(result(message, sent(*platform_ids)))
    return message


async def send_parts(store: Store, total: int, **fields) -> tuple[NewMessage, Recorded]:
    """Accept a message of *total* parts and let the platform take them; their ids are ``<tid>-<part>``."""
    message = new_message(**fields)
    await store.accept(message)
    assert await store.mark(mark(message, total=total))
    for part in range(1, total + 1):
        following = mark(message, part + 1, total) if part < total else None
        recorded = await store.record(result(message, sent(f"{message.tid}-{part}"), part, next_mark=following))
    return message, recorded


async def fail(store: Store, verdict: PartFailed | None = None, **fields) -> NewMessage:
    """Accept a message of one part and let the platform refuse it for good."""
    message = new_message(**fields)
    await store.accept(message)
    assert await store.mark(mark(message))
    await store.record(result(message, verdict or failed()))
    return message


# --- both directions ------------------------------------------------------------------------------------------------------


def endpoint(url: str = "https://crm.example.com/hook", **fields) -> EndpointRecord:
    """An endpoint of the client that wants everything."""
    return replace(EndpointRecord(CLIENT, url, "standard", ("*",), b"sealed"), **fields)


def new_event(kind: str = "message.received", **fields) -> NewEvent:
    return replace(NewEvent(kind, "777", at(10), b'{"message": {"text": "hi"}}'), **fields)


def heard(address: str = "777", **fields) -> Heard:
    return replace(Heard(ACCOUNT, CLIENT, "messenger", address, at(10), heard=True), **fields)


def arrival(**fields) -> Arrival:
    """Something that came in, with an id of its own and an event."""
    base = Arrival(ACCOUNT, CLIENT, f"arrival-{next(_numbers)}", at(10), new_event())
    return replace(base, **fields)


async def take_in(store: GatewayStore, *arrivals: Arrival, **fields) -> TakenIn:
    return await store.take_in(Webhook(at(11), arrivals=arrivals, **fields))


def called(owed: CallbackRecord, state: Owed = Owed.DELIVERED, seconds: float = 20, **fields) -> Called:
    """What came of a try of *owed*; with PENDING it is tried again 5 seconds later."""
    status = {Owed.DELIVERED: 200, Owed.FAILED: 404, Owed.PENDING: 503}[state]
    tried = CallbackAttempt(owed.endpoint_id, owed.position, at(seconds), 7, status, '{"a": "b"}', b"answer")
    return Called(replace(tried, **fields), state, at(seconds + 5) if state is Owed.PENDING else None)
