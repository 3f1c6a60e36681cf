"""The store in PostgreSQL, for many processes: asyncpg, a lock for each client, leases for nodes."""

from kurir.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
