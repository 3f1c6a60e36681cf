"""What PostgreSQL is told, and that its schema is SQLite's: the same tables, columns, order and NOT NULLs."""

import re

import pytest

from kurir.store import migrations
from kurir.store.postgres.statements import translated


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("SELECT a FROM t WHERE b = ? AND c > ?", "SELECT a FROM t WHERE b = $1 AND c > $2"),
        ("INSERT INTO t VALUES (?1, ?2, ?2)", "INSERT INTO t VALUES ($1, $2, $2)"),
        ("SELECT 1 FROM t INDEXED BY t_by_a WHERE a = ?", "SELECT 1 FROM t  WHERE a = $1"),
        ("SELECT 1 FROM a CROSS JOIN b ON b.x = a.x", "SELECT 1 FROM a JOIN b ON b.x = a.x"),
        ("SELECT 1 FROM a CROSS JOIN b WHERE b.x = a.x", "SELECT 1 FROM a CROSS JOIN b WHERE b.x = a.x"),
        ("SELECT 1 FROM t WHERE +a = ? AND +t.b = ?", "SELECT 1 FROM t WHERE a = $1 AND t.b = $2"),
        ("SELECT 1 FROM json_each(e.events) AS w", "SELECT 1 FROM jsonb_array_elements_text(e.events) AS w(value)"),
        ("INSERT INTO t VALUES (last_insert_rowid())", "INSERT INTO t VALUES (lastval())"),
        ("SELECT x'', x'7b7d'", r"SELECT '\x'::bytea, '\x7b7d'::bytea"),
    ],
)
def test_a_statement_is_told_as_postgresql_wants_it(written, told):
    assert translated(written) == told


def _tables(dialect: str) -> dict[str, list[tuple[str, bool]]]:
    """Return table → its columns in order, each with whether it must not be NULL."""
    found: dict[str, list[tuple[str, bool]]] = {}
    for migration in migrations.load(dialect):
        sql = re.sub(r"--[^\n]*", "", migration.sql)
        for name, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\)", sql, re.DOTALL):
            columns = [line.strip() for line in body.split("\n") if re.match(r" {4}[a-z]", line)]
            found[name] = [(line.split()[0], "NOT NULL" in line or "PRIMARY KEY" in line) for line in columns]
        for name, column, rest in re.findall(r"ALTER TABLE (\w+) ADD COLUMN (\w+) ([^;]*);", sql):
            found[name].append((column, "NOT NULL" in rest))
    return found


#: Who does what is only asked where there are several. The index of words is a virtual table in SQLite.
_OF_POSTGRES_ONLY = {"node", "lease", "key_range", "words"}
#: Where a partitioned table's primary key begins with the same columns.
_BY_PRIMARY_KEY = {"attempt_by_message", "callback_attempt_by_callback"}


def test_both_databases_have_the_same_tables():
    sqlite, postgres = _tables("sqlite"), _tables("postgres")
    assert len(sqlite) > 20
    assert {name: each for name, each in postgres.items() if name not in _OF_POSTGRES_ONLY} == sqlite


def _indexes(dialect: str) -> dict[str, str]:
    whole = " ".join(re.sub(r"--[^\n]*", "", migration.sql) for migration in migrations.load(dialect))
    found = re.findall(r"CREATE (?:UNIQUE )?INDEX (\w+) ON (.*?);", whole, re.DOTALL)
    return {name: " ".join(what.split()).replace("IS DISTINCT FROM", "IS NOT") for name, what in found}


def test_both_databases_have_the_same_indexes():
    sqlite = _indexes("sqlite")
    assert len(sqlite) > 20
    expected = {name: what for name, what in sqlite.items() if name not in _BY_PRIMARY_KEY}
    assert {name: what for name, what in _indexes("postgres").items() if name in sqlite} == expected
