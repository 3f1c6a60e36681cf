"""How long the console's questions take with a million messages in the database.

    python bench/console_store.py [--messages 1000000] [--folder DIR] [--times 20] [--database postgresql://…]

The database is filled by SQL: 20 clients with 2 accounts each, 100,000 people, texts of some 90 characters in seven languages,
a message each 0.3 s, 1 % of them failed with one of 8 codes, 0.1 % still queued, two events each, and a tenth as many messages
that came in. Then the tallies and the index of words catch up, as they do behind a running gateway, and each question is asked
so many times with other values each time. «more» says how many of the answers were one page of several.
"""

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kurir.domain.status import Status
from kurir.store import GatewayStore
from kurir.store.base import AccountRecord, ClientRecord, Declared
from kurir.store.looking import Page, Search
from kurir.store.postgres import PostgresStore
from kurir.store.postgres.statements import translated
from kurir.store.sqlite import SqliteStore
from kurir.store.sqlite.opening import connect_writer

CLIENTS, ACCOUNTS, PEOPLE = 20, 40, 100_000
CODES = (
    "recipient_blocked",
    "window_closed",
    "content_refused",
    "expired",
    "cancelled",
    "no_receipt",
    "throttled",
    "network",
)
TEXT = """
your order parcel invoice payment has left shop tomorrow arrives today thanks code is do not share it with anybody
pesanan anda sudah dikirim terima kasih ขอบคุณ สำหรับคำสั่งซื้อ ของคุณ จัดส่งแล้ว ご注文 ありがとうございます 発送しました
您的订单 已发货 谢谢 código pedido enviado gracias
"""
WORDS = TEXT.split()
#: Rows that one statement writes.
BITE = 20_000
NOW = datetime.now(UTC).replace(microsecond=0)
GAP = 300_000  # microseconds between two messages

_MESSAGES = """
INSERT INTO message (tid, client_id, channel, account_id, message_id, recipient, lane, type, priority, accepted_at, due_at,
    expires_at, life, queued, status, address, parts_total, error_code, error_detail, error_provider, ended_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_CONTENT = "INSERT INTO content (seq, body) VALUES (?, ?)"
_KEY = "INSERT INTO idempotency (client_id, message_id, channel, tid, fingerprint, version) VALUES (?, ?, ?, ?, ?, ?)"
_PLATFORM_ID = """
INSERT INTO platform_id (account_id, platform_id, tid, part, message_id, address, quote_token) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_EVENT = """
INSERT INTO event (client_id, kind, account_id, channel, conversation, at, kept_at, seq, status, previous, error_code, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def micros(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def rows_of(seq: int, count: int) -> dict[str, tuple[Any, ...]]:
    """Return the rows of one message, by statement."""
    dice = random.Random(seq)
    account = dice.randrange(ACCOUNTS)
    client, channel = f"client-{account % CLIENTS}", ("whatsapp", "telegram")[account // CLIENTS]
    tid, own, person = f"tid-{seq:09}", f"own-{seq}", f"{628_100_000_000 + dice.randrange(PEOPLE)}"
    at = micros(NOW) - (count - seq) * GAP
    failed, queued = dice.random() < 0.01, dice.random() < 0.001
    code = dice.choice(CODES) if failed and not queued else None
    status = 0 if queued else dice.choice((-3, -2, -1)) if code else dice.choice((1, 2, 3))
    text = " ".join(dice.choice(WORDS) for _ in range(14)) + (" needle-in-the-haystack" if seq % 250_000 == 7 else "")
    name = f"account-{account}"
    detail = (code, "the platform said no", "131000") if code else (None, None, None)
    ended = None if queued else at + 2_000_000
    return {
        _MESSAGES: (
            *(
                tid,
                client,
                channel,
                name,
                own,
                person,
                person,
                "text",
                "normal",
                at,
                at,
                at + 10**12,
                10**12,
                int(queued),
            ),
            *(status, "" if queued else person, int(not queued), *detail, ended),
        ),
        _CONTENT: (seq, f'{{"id":"{own}","recipient":"{person}","type":"text","text":"{text}"}}'.encode()),
        _KEY: (client, own, channel, tid, b"\x01" * 32, 1),
        _PLATFORM_ID: (name, f"wamid-{seq}", tid, 1, own, person, ""),
        _EVENT: (client, "message.status", name, channel, person, at, at + 1, seq, 1, 0, None, None),
        _EVENT + " ": (client, "message.status", name, channel, person, at, at + 2, seq, status, 1, code, None),
        _EVENT + "  ": (client, "message.received", name, channel, person, at, at, None, None, None, None, b"{}"),
    }


async def fill(store: GatewayStore, write: Callable[..., Awaitable[Any]], count: int) -> None:
    """Write *count* messages with what goes with them."""
    clients = tuple(ClientRecord(f"client-{number}", f"user-{number}", "x") for number in range(CLIENTS))
    accounts = tuple(
        AccountRecord(
            f"account-{number}", f"client-{number % CLIENTS}", ("whatsapp", "telegram")[number // CLIENTS], "", b""
        )
        for number in range(ACCOUNTS)
    )
    await store.declare(Declared(clients, accounts), NOW)
    for first in range(1, count + 1, BITE):
        by_statement: dict[str, list[tuple[Any, ...]]] = {}
        for seq in range(first, min(first + BITE, count + 1)):
            for statement, values in rows_of(seq, count).items():
                last = statement.strip() == _EVENT.strip() and statement.endswith("  ") and seq % 10
                queued = statement.startswith(_EVENT) and values[7] is not None and values[8] == 0
                if not last and not queued:
                    by_statement.setdefault(statement, []).append(values)
        await write(by_statement)


async def fill_sqlite(store: SqliteStore, database: Path, count: int) -> None:
    db = connect_writer(database, "OFF", None)

    async def write(by_statement: dict[str, list[tuple[Any, ...]]]) -> None:
        with db:
            for statement, rows in by_statement.items():
                db.executemany(statement, rows)

    await fill(store, write, count)
    db.close()


async def fill_postgres(store: PostgresStore, count: int) -> None:
    connection = await store.connect()

    async def write(by_statement: dict[str, list[tuple[Any, ...]]]) -> None:
        async with connection.transaction():
            for statement, rows in by_statement.items():
                await connection.executemany(translated(statement), rows, timeout=600)

    await fill(store, write, count)
    await connection.execute("SELECT setval('message_seq_seq', (SELECT max(seq) FROM message))")
    await connection.execute("SET statement_timeout = 0; ANALYZE", timeout=600)
    await connection.close()


def questions(count: int) -> dict[str, Callable[[random.Random], Search]]:
    """Return the kinds of searches, each with values of its own each time."""

    def client(dice: random.Random) -> str:
        return f"client-{dice.randrange(CLIENTS)}"

    def person(dice: random.Random) -> str:
        return f"{628_100_000_000 + dice.randrange(PEOPLE)}"

    def hour(dice: random.Random) -> Search:
        since = NOW - timedelta(microseconds=GAP * count) * dice.uniform(0.1, 0.9)
        return Search(since=since, until=since + timedelta(hours=1))

    return {
        "newest": lambda _: Search(),
        "newest of a client": lambda dice: Search(client_ids=(client(dice),)),
        "of 5 clients": lambda dice: Search(client_ids=tuple({client(dice) for _ in range(5)})),
        "tid": lambda dice: Search(tid=f"tid-{dice.randrange(count):09}"),
        "own id": lambda dice: Search(message_id=f"own-{dice.randrange(count)}"),
        "platform id": lambda dice: Search(platform_id=f"wamid-{dice.randrange(count)}"),
        "recipient": lambda dice: Search(recipients=(person(dice), "08" + person(dice), "+" + person(dice))),
        "recipient of a client": lambda dice: Search(client_ids=(client(dice),), recipients=(person(dice),)),
        "failed": lambda _: Search(statuses=(Status.FAILED, Status.UNDELIVERED, Status.UNSENT)),
        "failed of a client": lambda dice: Search(client_ids=(client(dice),), statuses=(Status.FAILED,)),
        "error code": lambda dice: Search(error_code=dice.choice(CODES)),
        "queued": lambda _: Search(queued=True),
        "account": lambda dice: Search(account_id=f"account-{dice.randrange(ACCOUNTS)}"),
        "delivered, by channel": lambda _: Search(channel="telegram", statuses=(Status.DELIVERED,)),
        "a type that none has": lambda _: Search(type="location"),
        "the same, of a client": lambda dice: Search(type="location", client_ids=(client(dice),)),
        "last hour": lambda _: Search(since=NOW - timedelta(hours=1)),
        "an hour long ago": hour,
        "frequent word": lambda _: Search(words="order"),
        "two words": lambda dice: Search(words=" ".join(dice.sample([word for word in WORDS if len(word) > 3], 2))),
        "Thai": lambda _: Search(words="คำสั่งซื้อ"),
        "rare word": lambda _: Search(words="needle-in-the-haystack"),
        "no such word": lambda _: Search(words="arrivesyesterdayonly"),
        "no such word, of a client": lambda dice: Search(words="orderinvoicecode", client_ids=(client(dice),)),
        "two characters": lambda _: Search(words="注文"),
        "two characters, none": lambda _: Search(words="qz"),
        "word and failed": lambda _: Search(words="payment", statuses=(Status.FAILED,)),
    }


async def ask(store: GatewayStore, count: int, times: int) -> None:
    print(f"{'question':<28} {'median ms':>10} {'p95 ms':>8} {'rows':>6} {'more':>5}")
    for name, make in questions(count).items():
        took, rows, more = [], 0, 0
        for turn in range(times):
            wanted = make(random.Random(turn))
            began = time.perf_counter()
            page: Page = await store.search(wanted, 50)
            took.append(time.perf_counter() - began)
            rows, more = rows + len(page.rows), more + (not page.complete)
        tell(name, took, f"{rows / times:>6.0f} {more:>5}")
    failed = Search(statuses=(Status.FAILED,))
    a_client = Search(client_ids=("client-3",), type="text")
    others: dict[str, Callable[[], Awaitable[Any]]] = {
        "count failed, to 10,000": lambda: store.count(failed, 10_000),
        "count of a client": lambda: store.count(a_client, 10_000),
        "count of a word": lambda: store.count(Search(words="payment"), 10_000),
        "count of a word and failed": lambda: store.count(Search(words="payment", statuses=(Status.FAILED,)), 10_000),
        "tids failed, to 10,000": lambda: store.tids(failed, 10_000),
        "50 snippets": lambda: store.snippets(list(range(count - 50, count))),
        "tallies of a day": lambda: store.tallies(NOW - timedelta(days=1), NOW, 900),
        "the same, summed up": lambda: store.tallies(NOW - timedelta(days=1), NOW, 900, by_account=False),
        "tallies of 90 days": lambda: store.tallies(NOW - timedelta(days=90), NOW, 86_400),
        "top errors of a day": lambda: store.top_errors(NOW - timedelta(days=1)),
        "last of accounts": store.last_of_accounts,
        "pulse": store.pulse,
        "story": lambda: store.story(None, f"tid-{count // 2:09}"),
    }
    for name, call in others.items():
        took = []
        for _ in range(times):
            began = time.perf_counter()
            await call()
            took.append(time.perf_counter() - began)
        tell(name, took)


def tell(name: str, took: list[float], rest: str = "") -> None:
    took.sort()
    p95 = took[min(len(took) - 1, int(len(took) * 0.95))]
    print(f"{name:<28} {statistics.median(took) * 1e3:>10.2f} {p95 * 1e3:>8.2f} {rest}", flush=True)


async def follow(store: GatewayStore, count: int) -> None:
    """Let tallies and words catch up, and print what they take."""
    for what, bite in (("tallies", lambda: store.tally(1_000)), ("words", lambda: store.index_words(100))):
        began, longest, cpu = time.perf_counter(), 0.0, time.process_time()
        while True:
            now = time.perf_counter()
            if not await bite():
                break
            longest = max(longest, time.perf_counter() - now)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        print(
            f"{what}: {seconds:.0f} s, {count / seconds:,.0f} messages/s, {cpu / count * 1e6:.0f} µs of cpu each, ",
            end="",
        )
        print(f"longest bite {longest * 1e3:.0f} ms", flush=True)


async def measure(options: argparse.Namespace) -> None:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    count = options.messages
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        database = Path(place) / "kurir.db"
        store: SqliteStore | PostgresStore
        store = PostgresStore(options.database) if options.database else SqliteStore(database, synchronous="OFF")
        await store.open()
        began = time.perf_counter()
        if isinstance(store, PostgresStore):
            await fill_postgres(store, count)
        else:
            await fill_sqlite(store, database, count)
        print(f"{count:,} messages, filled in {time.perf_counter() - began:.0f} s, load average {load}", flush=True)
        size = database.stat().st_size if database.exists() else 0
        await follow(store, count)
        if size:
            print(f"file {size / 2**20:,.0f} MiB, with tallies and words {database.stat().st_size / 2**20:,.0f} MiB")
        await ask(store, count, options.times)
        await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--database", default="")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
