"""Clients and accounts that are made and changed while the gateway runs, by its API or its console.

The functions here run inside a transaction of the writer. Each change makes the configuration's version grow first, for
which all others wait; so what is looked for here is true until the commit.
"""

from datetime import datetime
from typing import Final

from kurir.store.base import AccountRecord, ClientRecord, Put
from kurir.store.database import Database
from kurir.store.operations import config, rows

_USERNAME: Final = "SELECT 1 FROM client WHERE username = ? AND id <> ? AND enabled = 1"
_NEW_CLIENT: Final = """
INSERT INTO client (username, password_hash, default_region, max_age_seconds, enabled, previous_hash, previous_until,
                    allow_from, changed_at, id, declared)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
ON CONFLICT (id) DO NOTHING RETURNING id
"""
_CHANGE_CLIENT: Final = """
UPDATE client SET username = ?, password_hash = ?, default_region = ?, max_age_seconds = ?, enabled = ?, previous_hash = ?,
    previous_until = ?, allow_from = ?, changed_at = ?, declared = 0
WHERE id = ? AND username = ? AND password_hash = ? AND default_region = ? AND max_age_seconds = ? AND enabled = ?
    AND previous_hash = ? AND previous_until IS NOT DISTINCT FROM ? AND allow_from = ? AND declared = ?
RETURNING id
"""
_NEW_ACCOUNT: Final = """
INSERT INTO account (api_base, sealed, options, is_default, position, enabled, changed_at, id, client_id, channel, declared)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
ON CONFLICT (id) DO NOTHING RETURNING id
"""
_CHANGE_ACCOUNT: Final = """
UPDATE account SET api_base = ?, sealed = ?, options = ?, is_default = ?, position = ?, enabled = ?, changed_at = ?,
    declared = 0
WHERE id = ? AND client_id = ? AND channel = ? AND api_base = ? AND sealed = ? AND options = ? AND is_default = ?
    AND position = ? AND enabled = ? AND declared = ?
RETURNING id
"""
_NO_DEFAULT: Final = """
UPDATE account SET is_default = 0, changed_at = ?
WHERE client_id = ? AND channel = ? AND id <> ? AND is_default = 1 AND declared = 0
"""
_SEALED: Final = "UPDATE account SET sealed_at = ? WHERE id = ?"
_USED: Final = "UPDATE client SET last_used_at = ? WHERE id = ? AND (last_used_at IS NULL OR last_used_at < ?)"


def put_client(db: Database, record: ClientRecord, at: datetime, was: ClientRecord | None) -> Put:
    """Create a client, or change it where it is as it *was*."""
    config.changed(db)
    if record.enabled and db.execute(_USERNAME, (record.username, record.id)).fetchone() is not None:
        return Put.TAKEN
    values = (*_client_columns(record), rows.micros(at), record.id)
    if was is None:
        done = db.execute(_NEW_CLIENT, values).fetchone()
    else:
        done = db.execute(_CHANGE_CLIENT, (*values, *_client_columns(was), int(was.declared))).fetchone()
    return Put.MOVED if done is None else Put.DONE


def _client_columns(record: ClientRecord) -> tuple[object, ...]:
    return (
        record.username,
        record.password_hash,
        record.default_region,
        record.max_age_seconds,
        int(record.enabled),
        record.previous_hash,
        rows.micros_or_none(record.previous_until),
        rows.words_column(record.allow_from),
    )


def put_account(db: Database, record: AccountRecord, at: datetime, was: AccountRecord | None) -> Put:
    """Create an account, or change it where it is as it *was*."""
    config.changed(db)
    values = (*_account_columns(record), rows.micros(at), record.id)
    whose = record.client_id, record.channel
    if was is None:
        done = db.execute(_NEW_ACCOUNT, (*values, *whose)).fetchone()
    else:
        mended = was.sealed != record.sealed or was.api_base != record.api_base
        done = db.execute(_CHANGE_ACCOUNT, (*values, *whose, *_account_columns(was), int(was.declared))).fetchone()
        if done is not None and mended:
            config.unpark(db, record.id)
    if done is None:
        return Put.MOVED
    if was is None or was.sealed != record.sealed:
        db.execute(_SEALED, (rows.micros(at), record.id))
    if record.is_default:
        db.execute(_NO_DEFAULT, (rows.micros(at), *whose, record.id))
    return Put.DONE


def _account_columns(record: AccountRecord) -> tuple[object, ...]:
    return (
        record.api_base,
        record.sealed,
        record.options,
        int(record.is_default),
        record.position,
        int(record.enabled),
    )


def client_used(db: Database, client_id: str, at: datetime) -> None:
    """Note that a client was let in, unless something newer is known."""
    now = rows.micros(at)
    db.execute(_USED, (now, client_id, now))
