"""Sealed values, wherever they are: read and replaced for a change of the key."""

from collections.abc import Sequence
from typing import Final

from kurir.store.database import Database
from kurir.store.sealed import Sealed, SealedKind

_ALL: Final = """
SELECT 'account', id, client_id, '', sealed FROM account
UNION ALL SELECT 'endpoint', id, client_id, url, sealed FROM endpoint
UNION ALL SELECT 'user', id, '', '', totp FROM console_user WHERE totp IS NOT NULL
ORDER BY 1, 2
"""
_REPLACE: Final = {
    SealedKind.ACCOUNT: "UPDATE account SET sealed = ? WHERE id = ? AND sealed = ?",
    SealedKind.ENDPOINT: "UPDATE endpoint SET sealed = ? WHERE id = ? AND sealed = ?",
    SealedKind.USER: "UPDATE console_user SET totp = ? WHERE id = ? AND totp = ?",
}


def sealed_values(db: Database) -> list[Sealed]:
    """Return every sealed value."""
    return [Sealed(SealedKind(row[0]), row[1], row[2], row[3], bytes(row[4])) for row in db.execute(_ALL)]


def replace_sealed(db: Database, changes: Sequence[tuple[Sealed, bytes]]) -> int:
    """Replace each value that still is what it was; return how many that were."""
    done = 0
    for known, value in changes:
        db.execute(_REPLACE[known.kind], (value, known.id, known.value))
        done += db.changes()
    return done
