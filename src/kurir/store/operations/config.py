"""What is configured: clients, accounts, endpoints and the values of the installation.

The functions here run inside a transaction of the writer or of a reader.
"""

from datetime import datetime
from typing import Final

from kurir.store.base import AccountRecord, ClientRecord, Declared, EndpointRecord, ErrorRecord, StoreUnusable
from kurir.store.database import Database
from kurir.store.feed import endpoint_id_of
from kurir.store.operations import rows

_META: Final = "SELECT value FROM meta WHERE key = ?"
_SET_META: Final = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
#: Another value each time: SQLite would not write the same one again.
_PROBE: Final = """
INSERT INTO meta (key, value) VALUES ('writer_probe', '1') ON CONFLICT (key)
    DO UPDATE SET value = CAST(CAST(meta.value AS INTEGER) + 1 AS TEXT)
"""

#: Others see by it that clients or accounts changed. First in its transaction: such changes wait for one another here.
_CHANGED: Final = """
INSERT INTO meta (key, value) VALUES ('configuration_version', '1') ON CONFLICT (key)
    DO UPDATE SET value = CAST(CAST(meta.value AS INTEGER) + 1 AS TEXT)
"""

# declared = 2 marks, within one transaction, what an earlier call declared and this one has not named yet.
_FORGET: Final = (
    "UPDATE client SET declared = 2 WHERE declared = 1",
    "UPDATE account SET declared = 2 WHERE declared = 1",
    "UPDATE endpoint SET declared = 2 WHERE declared = 1",
)
_DISABLE: Final = tuple(
    f"""
    UPDATE {table} SET declared = 1, enabled = 0, changed_at = CASE WHEN enabled = 1 THEN ? ELSE changed_at END
    WHERE declared = 2
    """  # noqa: S608 -- names of our own
    for table in ("client", "account", "endpoint")
)
_DECLARE_CLIENT: Final = """
INSERT INTO client (id, username, password_hash, default_region, max_age_seconds, allow_from, enabled, declared, changed_at)
VALUES (?, ?, ?, ?, ?, ?, 1, 1, ?)
ON CONFLICT (id) DO UPDATE SET username = excluded.username, password_hash = excluded.password_hash,
    default_region = excluded.default_region, max_age_seconds = excluded.max_age_seconds, allow_from = excluded.allow_from,
    previous_hash = '', previous_until = NULL, enabled = 1, declared = 1, changed_at = excluded.changed_at
"""
_UNPARK_MENDED: Final = """
UPDATE account SET parked_code = '', parked_reason = '', parked_at = NULL
WHERE id = ? AND parked_code <> '' AND (sealed <> ? OR api_base <> ?)
"""
_DECLARE_ACCOUNT: Final = """
INSERT INTO account (id, client_id, channel, api_base, sealed, options, is_default, position, enabled, declared,
                     changed_at, sealed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, 1, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    sealed_at = CASE WHEN account.sealed = excluded.sealed THEN account.sealed_at ELSE excluded.sealed_at END,
    channel = excluded.channel, api_base = excluded.api_base, sealed = excluded.sealed,
    options = excluded.options, is_default = excluded.is_default,
    position = excluded.position, enabled = 1, declared = 1, changed_at = excluded.changed_at
"""
_CLIENT_OF: Final = "SELECT client_id FROM account WHERE id = ?"
_DECLARE_ENDPOINT: Final = """
INSERT INTO endpoint (id, client_id, url, position, dialect, events, sealed, enabled, declared, created_at, changed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, 1, 1, ?, ?)
ON CONFLICT (client_id, url) DO UPDATE SET position = excluded.position, dialect = excluded.dialect, events = excluded.events,
    sealed = excluded.sealed, enabled = 1, declared = 1, changed_at = excluded.changed_at
"""
_CLIENTS: Final = rows.CLIENT + "ORDER BY id"
_ACCOUNTS: Final = rows.ACCOUNT + "ORDER BY client_id, position, id"
_ENDPOINTS: Final = rows.ENDPOINT + "WHERE client_id = ? ORDER BY position, url"
_PAUSE: Final = "UPDATE account SET paused_at = ? WHERE id = ?"
_HOLD: Final = "UPDATE account SET held_since = ?, held_until = ?, held_reason = ? WHERE id = ?"
_PARK: Final = """
UPDATE account SET parked_code = ?, parked_reason = ?, parked_at = ? WHERE id = ? AND parked_code = ''
"""
_UNPARK: Final = """
UPDATE account SET parked_code = '', parked_reason = '', parked_at = NULL WHERE id = ? AND parked_code <> ''
"""


def meta(db: Database, key: str) -> str | None:
    """Return a value of the installation."""
    row = db.execute(_META, (key,)).fetchone()
    return None if row is None else str(row[0])


def set_meta(db: Database, key: str, value: str) -> None:
    """Set a value of the installation."""
    db.execute(_SET_META, (key, value))


def swap_meta(db: Database, key: str, value: str, was: str | None) -> str:
    """Set a value of the installation where it is not set, or is *was*, and return the value that it has then."""
    stored = meta(db, key)
    if stored is not None and stored != was:
        return stored
    set_meta(db, key, value)
    return value


def probe(db: Database) -> None:
    """Write something that harms nobody, to see whether it can be committed."""
    db.execute(_PROBE)


def changed(db: Database) -> None:
    """Let the configuration's version grow; whatever else changes it waits until this is committed."""
    db.execute(_CHANGED)


def version(db: Database) -> int:
    """Return the configuration's version."""
    return int(meta(db, "configuration_version") or 0)


def declare(db: Database, declared: Declared, at: datetime) -> None:
    """Create and bring in line what is declared; disable what was declared before and is not any more."""
    now = rows.micros(at)
    changed(db)
    for statement in _FORGET:
        db.execute(statement)
    for client in declared.clients:
        db.execute(
            _DECLARE_CLIENT,
            (
                client.id,
                client.username,
                client.password_hash,
                client.default_region,
                client.max_age_seconds,
                rows.words_column(client.allow_from),
                now,
            ),
        )
    for account in declared.accounts:
        _declare_account(db, account, now)
    for position, endpoint in enumerate(declared.endpoints):
        events = rows.words_column(endpoint.events)
        db.execute(
            _DECLARE_ENDPOINT,
            (
                endpoint_id_of(endpoint.client_id, endpoint.url),
                endpoint.client_id,
                endpoint.url,
                position,
                endpoint.dialect,
                events,
                endpoint.sealed,
                now,
                now,
            ),
        )
    for statement in _DISABLE:
        db.execute(statement, (now,))


def _declare_account(db: Database, account: AccountRecord, now: int) -> None:
    of = db.execute(_CLIENT_OF, (account.id,)).fetchone()
    if of is not None and of[0] != account.client_id:
        raise StoreUnusable(
            f"the account {account.id} belongs to the client {of[0]}, with its messages and contacts: it cannot become one of "
            f"{account.client_id}; give the account of {account.client_id} another id"
        )
    db.execute(_UNPARK_MENDED, (account.id, account.sealed, account.api_base))
    db.execute(
        _DECLARE_ACCOUNT,
        (
            account.id,
            account.client_id,
            account.channel,
            account.api_base,
            account.sealed,
            account.options,
            account.is_default,
            account.position,
            now,
            now,
        ),
    )


def clients(db: Database) -> list[ClientRecord]:
    """Return every client."""
    return [rows.client(row) for row in db.execute(_CLIENTS)]


def accounts(db: Database) -> list[AccountRecord]:
    """Return every account."""
    return [rows.account(row) for row in db.execute(_ACCOUNTS)]


def endpoints(db: Database, client_id: str) -> list[EndpointRecord]:
    """Return the endpoints of a client."""
    return [rows.endpoint(row) for row in db.execute(_ENDPOINTS, (client_id,))]


def park(db: Database, account_id: str, error: ErrorRecord, at: datetime) -> None:
    """Stop an account, unless it is stopped already."""
    db.execute(_PARK, (error.code, error.detail, rows.micros(at), account_id))


def unpark(db: Database, account_id: str) -> None:
    """Let an account work again."""
    db.execute(_UNPARK, (account_id,))


def pause(db: Database, account_id: str, at: datetime | None) -> None:
    """Note that the operator stopped the account, or with None that it may work again."""
    db.execute(_PAUSE, (rows.micros_or_none(at), account_id))


def hold(db: Database, account_id: str, since: datetime, until: datetime, reason: str) -> None:
    """Note that the platform wants nothing of the account for a while."""
    db.execute(_HOLD, (rows.micros(since), rows.micros(until), reason, account_id))
