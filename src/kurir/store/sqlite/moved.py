"""A SQLite database that was copied to PostgreSQL says so itself, and is not started by mistake.

Started beside the PostgreSQL that has its messages now, it would send what was queued once more, and take in what belongs
there. ``kurir db reopen`` lets it be started again.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from kurir.store.base import StoreUnusable
from kurir.store.database import Database
from kurir.store.operations import config

#: The key of the value in ``meta``. A copy leaves it out.
META: Final = "moved_to"
_FORGET: Final = "DELETE FROM meta WHERE key = ?"


def note(db: Database, place: str, at: datetime) -> None:
    """Note that everything is in PostgreSQL at *place* now (host and database, without credentials)."""
    config.set_meta(db, META, json.dumps({"to": place, "at": f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"}))


def where(db: Database) -> tuple[str, str] | None:
    """Return where it was moved to, and when (RFC 3339); None when it was not."""
    found = config.meta(db, META)
    if found is None:
        return None
    told = json.loads(found)
    return str(told["to"]), str(told["at"])


def forget(db: Database) -> None:
    """Let it be started again."""
    db.execute(_FORGET, (META,))


def refuse(db: Database, path: Path) -> None:
    """Raise StoreUnusable where the database was moved."""
    moved = where(db)
    if moved is not None:
        place, at = moved
        raise StoreUnusable(
            f"{path} was copied to PostgreSQL at {at}, and is not in use any more: set the database to {place} "
            f"(KURIR_DATABASE). To go back to the file all the same: kurir db reopen --database {path}"
        )
