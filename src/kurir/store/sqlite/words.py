"""The index of words in SQLite: FTS5 with trigrams, without the text itself (https://www.sqlite.org/fts5.html).

A message is indexed with three characters that stand for its client, of Unicode's private use, so that a search in one
client's messages does not walk through everybody's.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from kurir.store.database import Database
from kurir.store.operations.words import STILL_THERE, grams_of

#: Trigrams that a search asks for, at most: each costs a walk along its list.
_MOST: Final = 12
_PRIVATE, _PRIVATES = 0xE000, 6_400

_PUT: Final = f"""
INSERT INTO words (rowid, said) SELECT ?, ?
WHERE {STILL_THERE} AND NOT EXISTS (SELECT 1 FROM words WHERE rowid = ?)
"""  # noqa: S608 -- constants
_FIND: Final = "SELECT rowid FROM words WHERE words MATCH ? AND rowid > ? AND rowid < ? ORDER BY rowid DESC LIMIT ?"
#: Pages that are merged with each bite. It keeps up with what is added, and takes a few milliseconds; SQLite's own pace makes
#: pauses of 100 ms and more (docs/decisions/0021).
_MERGE: Final = "INSERT INTO words (words, rank) VALUES ('merge', 16)"
_EMPTY: Final = "INSERT INTO words (words) VALUES ('delete-all')"


def put(db: Database, client_id: str, found: Sequence[tuple[int, str]]) -> None:
    """Index messages of a client."""
    sign = _sign(client_id)
    for seq, words in found:
        db.execute(_PUT, (seq, f"{sign}\n{words}", seq, seq))
    db.execute(_MERGE)


def find(
    db: Database, needles: Sequence[str], client_ids: Sequence[str] | None, between: tuple[int, int], limit: int
) -> tuple[list[int], int]:
    """Return seqs that may have all *needles*, newest first, and down to which seq it looked."""
    wanted = " AND ".join(_quoted(gram) for gram in grams_of(needles, _MOST))
    if client_ids is not None:
        wanted = f"({' OR '.join(_quoted(_sign(client_id)) for client_id in client_ids)}) AND {wanted}"
    after, before = between
    found = [seq for (seq,) in db.execute(_FIND, (wanted, after, before, limit))]
    return found, found[-1] if len(found) == limit else after + 1


def empty(db: Database, limit: int) -> int:
    """Delete all of it by one short statement, however large it is; return that there is no more to do."""
    del limit
    db.execute(_EMPTY)
    return 0


def _quoted(gram: str) -> str:
    return '"' + gram.replace('"', '""') + '"'


def _sign(client_id: str) -> str:
    """Return the three characters of a client. Two clients with the same ones would only cost time."""
    number = int.from_bytes(hashlib.sha256(client_id.encode()).digest()[:8])
    return "".join(chr(_PRIVATE + number // _PRIVATES**place % _PRIVATES) for place in range(3))
