"""A store with something in every table: messages of every fate, people, callbacks, webhooks that could not be read."""

import atexit
import shutil
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from kurir.domain.message import Priority
from kurir.domain.problem import Loss, Problem
from kurir.domain.status import Status
from kurir.store import GatewayStore
from kurir.store.access import AuditRecord, RequestRecord, SessionRecord, UserRecord
from kurir.store.base import ErrorRecord
from kurir.store.feed import Owed
from kurir.store.inbound import LinkRecord, TemplateRecord, Unread
from kurir.store.operations.quarantine import MOST_OF_ONE
from kurir.store.sqlite import SqliteStore
from support.records import (
    ACCOUNT,
    CLIENT,
    DECLARED,
    OTHER_ACCOUNT,
    OTHER_CLIENT,
    SECOND_ACCOUNT,
    T0,
    arrival,
    at,
    called,
    endpoint,
    fail,
    heard,
    mark,
    new_event,
    new_message,
    receipt,
    result,
    send,
    send_parts,
    sent,
    take_in,
    waiting,
)

#: A furnished SQLite database of this process, to be copied: to fill one costs more than most tests.
_template: list[Path] = []


async def furnished(path: Path) -> Path:
    """Make a furnished SQLite database at *path* that nobody has open, and return *path*."""
    if not _template:
        folder = Path(tempfile.mkdtemp(prefix="kurir-furnished-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        store = SqliteStore(folder / "kurir.db", synchronous="OFF")
        await store.open()
        await furnish(store)
        await store.close()
        _template.append(folder / "kurir.db")
    shutil.copyfile(_template[0], path)
    return path


#: Words that an encoding could spoil.
WORDS = "naïve «日本語» 🙂 a\nb\\u0000 'quoted' \"twice\" {}"


async def furnish(store: GatewayStore) -> None:
    """Fill every table of an open, empty *store*."""
    await store.declare(DECLARED, T0)
    await store.set_meta("words", WORDS)
    hook = (await store.put_endpoint(endpoint(), at(0))).id
    await store.put_endpoint(endpoint("https://globex.example/hook", client_id=OTHER_CLIENT), at(0))
    await _people(store)
    await _messages(store)
    first, second, third, *_ = await store.owed(hook)
    await store.called(
        [called(first, Owed.DELIVERED), called(second, Owed.FAILED), called(third, Owed.PENDING, error=WORDS)]
    )
    await store.pause(SECOND_ACCOUNT, at(30))
    await store.park(OTHER_ACCOUNT, ErrorRecord("credentials", WORDS, "190"), at(31))
    await store.put_templates(
        ACCOUNT, [TemplateRecord("hi", "en", "APPROVED", "UTILITY", '[{"a": "b"}]', at(1))], at(1)
    )
    await store.set_quota(ACCOUNT, 17, None, at(1))
    await store.quarantine(Unread(ACCOUNT, b"\x00\xff no JSON", WORDS, at(5)))
    gone = await store.quarantine(Unread(ACCOUNT, b"deleted", "why", at(5)))
    assert gone is not None
    assert await store.release(gone)
    assert await store.quarantine(Unread(ACCOUNT, b"x" * (MOST_OF_ONE + 1), "too large", at(5))) is None
    await _console(store)


async def _followed(store: GatewayStore) -> None:
    """Let tallies and the index of words catch up."""
    while await store.tally(100):
        pass
    while await store.index_words(100):
        pass


async def _console(store: GatewayStore) -> None:
    owner = UserRecord("u-1", WORDS, "owner", password_hash="x", totp=b"\x00sealed", created_at=at(0))
    assert await store.put_user(owner, at(0), first=True)
    assert await store.put_user(replace(owner, id="u-2", name="cara", role="client", client_id=CLIENT, totp=b""), at(1))
    await store.open_session(b"\x00" * 32, SessionRecord("s-1", "u-1", at(1), at(2), "127.0.0.1", WORDS))
    await store.put_sign_in_link(b"\x01" * 32, "u-2", at(9000))
    await store.add_audit(
        [AuditRecord(at(3), WORDS, "console", "::1", "revealed", "message", "t", CLIENT, "{}", '{"a": "b"}')]
    )
    refused = RequestRecord(
        at(4), "req_1", CLIENT, "POST", "/x", 422, "invalid_message", WORDS, (), 1200, "::1", "curl"
    )
    await store.add_requests([refused, replace(refused, problems=(Problem("/a", "missing", WORDS),), body=WORDS)])


async def _people(store: GatewayStore) -> None:
    link = LinkRecord("link-1", CLIENT, ACCOUNT, at(0), phone="6281234567890", payload=WORDS)
    await store.put_link(link)
    await store.put_link(replace(link, token="link-2", expires_at=at(900)))
    told = arrival(
        heard=heard(name=WORDS, username="ani", phone="6281234567890", aliases=("x", "y")),
        event=new_event(media=b'{"id": "f"}'),
        platform_id="m-1",
        address="777",
        quote_token="q",
        reply_token="t",
    )
    await take_in(store, told, poll_offset=(SECOND_ACCOUNT, 2**40))
    await take_in(store, arrival(reply_token="unused", address="777"))
    await take_in(store, arrival(heard=heard("888", blocked=True), event=None))


async def _messages(store: GatewayStore) -> None:
    for number in range(3):
        await store.accept(new_message(priority=Priority.HIGH, recipient=WORDS, due_at=at(600 + number)))
    await store.accept(
        new_message(client_id=OTHER_CLIENT, account_id=OTHER_ACCOUNT, losses=(Loss("/a", "kind", WORDS),))
    )
    await send(store, "p-1", body=bytes(range(256)) * 20)
    await send_parts(store, 3)
    failed = await fail(store)
    await _followed(store)  # so that it is counted, and then has another number
    assert await store.retry(failed.client_id, failed.tid, at(40))
    await fail(store)
    held = new_message()
    await store.accept(held)
    assert await store.mark(mark(held, total=2, tokens=(("~t:a", WORDS),), choices=(("Yes", "y"),), reply_token="t"))
    await store.record(result(held, waiting()))
    flying = new_message()
    await store.accept(flying)
    assert await store.mark(mark(flying))
    cancelled = new_message()
    await store.accept(cancelled)
    assert await store.cancel(CLIENT, cancelled.tid, at(41))
    gone = await send(store, "p-gone")
    await store.receive([receipt(Status.READ, "p-1"), receipt(Status.DELIVERED, "p-early")], at(50))
    await store.receive([receipt(Status.READ, watermark=at(60), address="777")], at(61))
    await store.purge(at(2) + timedelta(microseconds=1), 1)
    assert gone.tid
    answered = new_message(message_id="m-last")
    await store.accept(answered)
    assert await store.mark(mark(answered))
    await store.record(result(answered, sent("p-last", quote_tokens=("q",))))
