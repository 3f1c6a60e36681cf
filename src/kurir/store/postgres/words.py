"""The index of words in PostgreSQL: an inverted index (GIN) over hashes of every three characters in a row.

Not ``pg_trgm``: what it takes for a letter depends on the database's locale, so that under ``C`` it finds no Thai and no
Japanese by its index, and a managed database may not have it. An array of hashes needs nothing, and works for all.

GIN finds without an order. So that a frequent word does not bring all its messages, each row has a hash for the block of
seqs that it is in too, and blocks are asked one after the other, newest first.
"""

import zlib
from collections.abc import Sequence
from typing import Final

from kurir.store.database import Database
from kurir.store.operations.words import GRAM, STILL_THERE, grams_of

#: Trigrams that a search asks for, at most.
_MOST: Final = 12
#: Seqs in a block, and blocks that one call asks, at most.
BLOCK: Final = 50_000
BLOCKS: Final = 40

_PUT: Final = f"""
INSERT INTO words (rowid, grams) SELECT ?::bigint, ?::integer[] WHERE {STILL_THERE} ON CONFLICT (rowid) DO NOTHING
"""
_FIND: Final = """
SELECT rowid FROM words WHERE grams @> ?::integer[] AND grams && ?::integer[] AND rowid > ? AND rowid < ?
ORDER BY rowid DESC LIMIT ?
"""
_NEXT: Final = "SELECT rowid FROM words WHERE rowid < ? ORDER BY rowid DESC LIMIT 1"
_EMPTY: Final = "DELETE FROM words WHERE rowid IN (SELECT rowid FROM words ORDER BY rowid LIMIT ?)"


def put(db: Database, client_id: str, found: Sequence[tuple[int, str]]) -> None:
    """Index messages of a client."""
    for seq, words in found:
        grams = {words[place : place + GRAM] for place in range(len(words) - GRAM + 1)}
        own = {_hash(gram) for gram in grams} | {_of_client(client_id), _of_block(seq // BLOCK)}
        db.execute(_PUT, (seq, sorted(own), seq))


def find(
    db: Database, needles: Sequence[str], client_ids: Sequence[str] | None, between: tuple[int, int], limit: int
) -> tuple[list[int], int]:
    """Return seqs that may have all *needles*, newest first, and down to which seq it looked."""
    grams = [_hash(gram) for gram in grams_of(needles, _MOST)]
    after, before = between
    found: list[int] = []
    for _ in range(BLOCKS):
        newest = db.execute(_NEXT, (before,)).fetchone()
        if newest is None or newest[0] <= after:
            return found, after + 1
        block = newest[0] // BLOCK
        lower = max(after, block * BLOCK - 1)
        mark = _of_block(block)
        clients = [mark] if client_ids is None else [_of_client(client_id) for client_id in client_ids]
        values = ([*grams, mark], clients, lower, before, limit - len(found))
        found.extend(seq for (seq,) in db.execute(_FIND, values))
        if len(found) == limit:
            return found, found[-1]
        before = lower + 1
    return found, before


def empty(db: Database, limit: int) -> int:
    """Delete *limit* rows; return how many that were, 0 where there is no more to do."""
    db.execute(_EMPTY, (limit,))
    return db.changes()


def _hash(gram: str) -> int:
    """Return a number of 32 bits with a sign. Two that are the same would only cost time."""
    return zlib.crc32(gram.encode()) - 2**31


def _of_client(client_id: str) -> int:
    return _hash(f"client:{client_id}")


def _of_block(block: int) -> int:
    return _hash(f"block:{block}")
