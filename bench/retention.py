"""What it costs PostgreSQL to forget: ranges dropped against rows deleted, of the same messages.

``./dev bench retention``. Each way has a database of its own with ``MESSAGES`` finished messages (a text, one attempt, three
changes of status, one callback each), written by SQL. Then retention runs as the gateway runs it. Printed: seconds, messages
a second, what went to the write-ahead log, and what the tables still occupy afterwards. PostgreSQL is Debian's, with fsync.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from kurir.store.postgres import PostgresStore, ranges
from kurir.upkeep import BITE

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from support import postgres
from support.records import DECLARED, T0, endpoint

MESSAGES = 100_000
RETENTION = timedelta(days=90)
NOW = datetime(2026, 11, 1, tzinfo=UTC)

_OLD = "(extract(epoch FROM timestamptz '2026-07-01') * 1000000)::bigint"
_FILL = (
    f"""
    INSERT INTO message (tid, client_id, channel, account_id, message_id, recipient, lane, type, priority, accepted_at,
        due_at, expires_at, life, queued, status, parts_total, ended_at, address)
    SELECT 't' || n, 'acme', 'messenger', 'acme-fb', 'm' || n, 'fb:' || n, n::text, 'text', 'normal', {_OLD}, {_OLD},
        {_OLD}, 0, 0, 3, 1, {_OLD} + n, n::text FROM generate_series(1, $1) AS n
    """,
    """
    INSERT INTO idempotency (client_id, message_id, channel, tid, fingerprint, version)
    SELECT client_id, message_id, channel, tid, '\\x01', 1 FROM message
    """,
    "INSERT INTO content (seq, body, facts) SELECT seq, convert_to(repeat('word ', 60), 'UTF8'), '\\x7b7d' FROM message",
    """
    INSERT INTO part (seq, number, run, phase, status, attempts, account_id, address, platform_ids, answered_at)
    SELECT seq, 1, 1, 'answered', 3, 1, account_id, address, jsonb_build_array('p' || seq), ended_at FROM message
    """,
    """
    INSERT INTO attempt (seq, run, part, at, duration_ms, request, status, headers, body, outcome, code, reason)
    SELECT seq, 1, 1, ended_at, 80, repeat('request ', 60), 200, repeat('header ', 30), '\\x7b7d', 'sent', '', '' FROM message
    """,
    """
    INSERT INTO event (client_id, kind, account_id, channel, conversation, at, kept_at, seq, status, previous)
    SELECT client_id, 'message.status', account_id, channel, address, ended_at, ended_at, seq, step, step - 1
    FROM generate_series(1, 3) AS step, message
    """,
    """
    INSERT INTO callback (endpoint_id, position, state, tries, ended_at)
    SELECT $1, position, 'delivered', 1, kept_at FROM event
    """,
    """
    INSERT INTO callback_attempt (endpoint_id, position, at, duration_ms, status, headers, body, error)
    SELECT endpoint_id, position, ended_at, 20, 200, '{}', '\\x6f6b', '' FROM callback
    """,
)


async def one(cluster: postgres.Cluster, *, dropped: bool) -> None:
    """Fill a database, and print what forgetting it costs."""
    dsn = await postgres.new_database(cluster)
    store = PostgresStore(dsn)
    await store.open()
    await store.declare(DECLARED, T0)
    hook = (await store.put_endpoint(endpoint(), T0)).id
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await ranges.cover(connection, ranges.MESSAGE, MESSAGES - 1, MESSAGES // 4)
            await ranges.cover(connection, ranges.EVENT, 3 * MESSAGES - 1, MESSAGES)
        for statement in _FILL:
            values = [MESSAGES] if "generate_series(1, $1)" in statement else [hook] if "$1" in statement else []
            await connection.execute(statement, *values)
        # A new message, so that no sequence ends where the last range does.
        for sequence in ("message_seq_seq", "event_position"):
            await connection.execute(f"SELECT setval('{sequence}', nextval('{sequence}') + 10)")
        step = timedelta(days=10) if dropped else timedelta(days=80)  # each was filled in so many days
        await connection.execute(
            "UPDATE key_range SET made_at = clock_timestamp() - $1::interval * "
            "(SELECT count(*) FROM key_range AS later WHERE later.kind = key_range.kind AND later.lower > key_range.lower)",
            step,
        )
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
        log = await connection.fetchval("SELECT pg_current_wal_lsn()")
        before = await connection.fetchval("SELECT pg_database_size(current_database())")
        began = time.perf_counter()
        while (await store.purge(NOW - RETENTION, BITE, now=NOW)).more:
            pass
        seconds = time.perf_counter() - began
        written = await connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1::pg_lsn)", log)
        after = await connection.fetchval("SELECT pg_database_size(current_database())")
        left = await connection.fetchval("SELECT count(*) FROM event")
        print(
            f"{'ranges dropped' if dropped else 'rows deleted':16} {seconds:>8.1f} {MESSAGES / seconds:>12,.0f} "
            f"{int(written) / MESSAGES:>16,.0f} {(before - after) / before:>14.0%} {left:>12,}"
        )
        if not dropped:
            print(f"({before / MESSAGES:,.0f} bytes on disk for each such message before)")
    finally:
        await connection.close()
        await store.close()


async def measure() -> None:
    cluster = postgres.Cluster(postgres.servers()["15"], durable=True, settings={"shared_buffers": "512MB"})
    try:
        cluster.create()
        cluster.start()
        print(f"{MESSAGES:,} messages, {BITE} in a transaction")
        print(
            f"{'':16} {'seconds':>8} {'messages/s':>12} {'log bytes each':>16} {'disk given back':>14} {'events left':>12}"
        )
        for dropped in (True, False):
            await one(cluster, dropped=dropped)
    finally:
        cluster.remove()


def main() -> None:
    asyncio.run(measure())


if __name__ == "__main__":
    main()
