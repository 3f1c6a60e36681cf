"""Which way PostgreSQL takes to the rows of a message while it knows nothing of the tables: new ones, that nobody analyzed.

SQLite's plans stand in ``test_sqlite_plans.py``. PostgreSQL makes its own from what it counted, and keeps one for a prepared
statement: begun on a small table, a bad one went through every open part for each message, until the tables were analyzed.
"""

import asyncpg
import pytest

from kurir.store.operations import plain
from kurir.store.postgres import PostgresStore
from kurir.store.postgres.statements import translated
from support import postgres
from support.records import DECLARED, T0, mark, new_message

NEWEST = max(postgres.servers(), key=int, default="")


@pytest.fixture
async def dsn() -> str:
    return await postgres.new_database(postgres.shared(NEWEST))


@pytest.mark.skipif(not NEWEST, reason="no PostgreSQL is installed here")
@pytest.mark.parametrize("parts", [0, 300])
async def test_a_message_is_reached_by_its_tid_and_its_parts_by_its_number(dsn, parts):
    store = PostgresStore(dsn)
    await store.open()
    connection = await asyncpg.connect(dsn)
    try:
        await store.declare(DECLARED, T0)
        for number in range(parts):
            message = new_message(recipient=f"{number}", lane=f"{number}")
            await store.accept(message)
            assert await store.mark(mark(message))
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        for number, statement in enumerate((plain._BEGIN, plain._OPEN)):
            await connection.execute(f"PREPARE plain{number} AS {translated(statement)}")
            values = ", ".join(["NULL"] * statement.count("?"))
            rows = await connection.fetch(f"EXPLAIN EXECUTE plain{number}({values})")
            plan = "\n".join(row[0] for row in rows)
            assert "message_tid_key" in plan, plan
            assert "part_pkey" in plan, plan
            assert "Seq Scan on part" not in plan, plan
            assert "Seq Scan on message" not in plan, plan
    finally:
        await connection.close()
        await store.close()
