"""The store in one file: SQLite, with one writer thread and a few readers."""

from kurir.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
