"""The connection that the SQL of this folder talks to: SQLite's own, or PostgreSQL's behind the same three words.

The statements are written once, in the part of SQL that both understand (``?`` for a parameter, ``IS DISTINCT FROM``,
``RETURNING``, ``CASE``); :mod:`kurir.store.postgres.statements` says how the rest is told to PostgreSQL. ``apsw.Connection``
is a :class:`Database` as it is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from kurir.quick import quick

T = TypeVar("T")


class Rows(Protocol):
    """The rows of a statement, each a tuple of its columns."""

    def __iter__(self) -> Iterator[Any]: ...

    def fetchone(self) -> Any:
        """Return the next row, None when there is none."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        ...


class Database(Protocol):
    """A connection inside a transaction that somebody else begins and commits."""

    def execute(self, statements: str, bindings: Sequence[Any] | None = None, /) -> Rows:
        """Run one statement."""
        ...

    def changes(self) -> int:
        """Return how many rows the last INSERT, UPDATE or DELETE concerned."""
        ...


#: A transaction's part. It may be run twice, so it does nothing but read and write there.
Operation = Callable[[Database], T]


@quick
@dataclass(frozen=True, slots=True)
class Whose:
    """Whose rows a write is about: by the client's id, or by what tells the client. All empty: everybody's.

    Writes about one client exclude each other, on all nodes: so what one of them reads is true until it commits, and
    what it numbers (a message's ``seq``, an event's ``position``) becomes visible in the order of the numbers. SQLite has
    one writer, and needs none of this.

    ``owner``: only the node may write it that owns the account, else the write raises NotOwner.
    """

    client_id: str = ""
    tid: str = ""
    account_ids: frozenset[str] = frozenset()
    endpoint_ids: frozenset[str] = frozenset()
    owner: bool = False


EVERYBODY = Whose()


def of_account(account_id: str, *, owner: bool = False) -> Whose:
    """Return that a write is about an account, and so about its client."""
    return Whose(account_ids=frozenset((account_id,)), owner=owner)


def of_endpoint(endpoint_id: str) -> Whose:
    """Return that a write is about an endpoint, and so about its client."""
    return Whose(endpoint_ids=frozenset((endpoint_id,)))
