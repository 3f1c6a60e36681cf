"""How the statements of this folder are told to PostgreSQL.

They are written once, for both databases (:mod:`kurir.store.database`). What differs is little, and here, whole: how a
parameter is written, hints that only SQLite takes, a list in JSON as rows, and where a number that was never given, or was
just given, is taken from.
"""

import re
from functools import lru_cache
from typing import Final

#: Whole statements that are others here.
_INSTEAD: Final = {
    "UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'message' RETURNING seq": (
        "SELECT nextval(pg_get_serial_sequence('message', 'seq'))"
    ),
}
_INDEX_HINT: Final = re.compile(r"\bINDEXED BY \w+")
#: ``CROSS JOIN … ON`` fixes the order of the tables in SQLite; the standard knows no ON there.
_ORDERED_JOIN: Final = re.compile(r"\bCROSS JOIN (\w+(?: AS \w+)?)(?=\s+ON\b)")
#: A plus keeps SQLite from using an index.
_NO_INDEX: Final = re.compile(r"\b(AND|WHERE) \+(?=[a-z])")
_JSON_ROWS: Final = re.compile(r"\bjson_each\(([\w.]+)\) AS (\w+)")
#: The number that this session's last INSERT took.
_LAST_NUMBER: Final = re.compile(r"\blast_insert_rowid\(\)")
_BLOB: Final = re.compile(r"\bx'([0-9a-f]*)'")
_PARAMETER: Final = re.compile(r"\?(\d*)")


@lru_cache(maxsize=1_000)
def translated(statement: str) -> str:
    """Return *statement* as PostgreSQL wants it. ``?`` becomes ``$1``, ``$2`` …, and ``?2`` becomes ``$2``."""
    text = _INSTEAD.get(statement.strip(), statement)
    text = _INDEX_HINT.sub("", text)
    text = _ORDERED_JOIN.sub(r"JOIN \1", text)
    text = _NO_INDEX.sub(r"\1 ", text)
    text = _JSON_ROWS.sub(r"jsonb_array_elements_text(\1) AS \2(value)", text)
    text = _LAST_NUMBER.sub("lastval()", text)
    text = _BLOB.sub(r"'\\x\1'::bytea", text)
    number = 0

    def parameter(found: re.Match[str]) -> str:
        nonlocal number
        if found[1]:
            return f"${found[1]}"
        number += 1
        return f"${number}"

    return _PARAMETER.sub(parameter, text)
