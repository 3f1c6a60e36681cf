"""Looking for people, by any spelling of a phone or an address, or by a piece of their name, over many clients.

Phones and addresses are found by their indexes, aliases too. A name is looked for by walking through contacts in the order
of account and address, so many rows a page. Letters are compared without their case here, since SQLite knows that of ASCII
alone. The functions run inside a transaction of a reader.
"""

from collections.abc import Sequence
from typing import Final

from kurir.store.base import ContactRecord
from kurir.store.database import Database
from kurir.store.looking import People, PeopleSearch
from kurir.store.operations import rows

#: Contacts that a page looks at, at most.
BUDGET: Final = 20_000
#: Contacts that are read at once.
WINDOW: Final = 500
#: Spellings that are looked for, and people that are found by them, at most.
MOST_SPELLINGS: Final = 100
MOST_EXACT: Final = 200
#: Lists of spellings are filled up to one of these lengths, so that there are few statements.
_LENGTHS: Final = (1, 8, 30, MOST_SPELLINGS)

#: Columns of rows.CONTACT: most rows that are looked at are not wanted, and none of these is made a record.
_CLIENT, _ACCOUNT, _CHANNEL, _ADDRESS, _NAME, _USERNAME = 0, 1, 2, 3, 5, 9

_OF_ANY_ACCOUNT: Final = "WHERE account_id IN (SELECT id FROM account{of_clients}) AND "
_BY_PHONE: Final = f"""
{rows.CONTACT} INDEXED BY contact_by_phone {_OF_ANY_ACCOUNT} phone IN ({{spellings}}) AND phone <> '' LIMIT ?
"""
_BY_ADDRESS: Final = rows.CONTACT + _OF_ANY_ACCOUNT + "address IN ({spellings}) LIMIT ?"
_BY_ALIAS: Final = "SELECT account_id, address FROM contact_alias " + _OF_ANY_ACCOUNT + "alias IN ({spellings}) LIMIT ?"  # noqa: S608 -- constants
_AT: Final = rows.CONTACT + "WHERE account_id = ? AND address = ?"
_NEXT: Final = rows.CONTACT + "WHERE (account_id, address) > (?, ?) ORDER BY account_id, address LIMIT ?"
_NEXT_OF_CLIENT: Final = (
    rows.CONTACT + "WHERE client_id = ? AND (account_id, address) > (?, ?) ORDER BY account_id, address LIMIT ?"
)
_NEXT_OF_ACCOUNT: Final = rows.CONTACT + "WHERE account_id = ? AND address > ? ORDER BY address LIMIT ?"


def people(db: Database, wanted: PeopleSearch, limit: int) -> People:
    """Return up to *limit* contacts that *wanted* lets through."""
    if wanted.client_ids == ():
        return People((), complete=True)
    if wanted.exact:
        return People(tuple(_exactly(db, wanted)[:limit]), complete=True)
    return _walk(db, wanted, limit)


def _exactly(db: Database, wanted: PeopleSearch) -> list[ContactRecord]:
    """Return the contacts of which a phone, an address or an alias is one of the spellings."""
    listed, values = _filled(wanted.exact[:MOST_SPELLINGS])
    whose = tuple(wanted.client_ids or ())
    of_clients = "" if wanted.client_ids is None else f" WHERE client_id IN ({', '.join('?' * len(whose))})"

    def ask(statement: str) -> list[rows.Row]:
        text = statement.replace("{spellings}", listed).replace("{of_clients}", of_clients)
        return db.execute(text, (*whose, *values, MOST_EXACT)).fetchall()

    read = [*ask(_BY_PHONE), *ask(_BY_ADDRESS)]
    for place in ask(_BY_ALIAS):
        read += db.execute(_AT, place).fetchall()
    found = {(row[_ACCOUNT], row[_ADDRESS]): rows.contact(row) for row in read if _fits(row, wanted)}
    return [found[key] for key in sorted(found)]


def _filled(spellings: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return question marks for *spellings*, and these, filled up with the last one to one of few lengths."""
    length = next(length for length in _LENGTHS if length >= len(spellings))
    return ", ".join("?" * length), (*spellings, *(spellings[-1] for _ in range(length - len(spellings))))


def _walk(db: Database, wanted: PeopleSearch, limit: int) -> People:
    """Return the next contacts in the order of account and address, of which the name has what is looked for."""
    found: list[ContactRecord] = []
    after, looked = wanted.after or ("", ""), 0
    words = wanted.name.casefold().split()
    while looked < BUDGET:
        window = _window(db, wanted, after)
        for row in window:
            if _fits(row, wanted) and _is_named(row, words):
                if len(found) == limit:
                    return People(tuple(found), complete=False, after=(found[-1].account_id, found[-1].address))
                found.append(rows.contact(row))
        if len(window) < WINDOW:
            return People(tuple(found), complete=True)
        looked += len(window)
        after = (window[-1][_ACCOUNT], window[-1][_ADDRESS])
    return People(tuple(found), complete=False, after=after)


def _window(db: Database, wanted: PeopleSearch, after: tuple[str, str]) -> list[rows.Row]:
    if wanted.account_id is None and wanted.client_ids is not None and len(wanted.client_ids) == 1:
        return db.execute(_NEXT_OF_CLIENT, (*wanted.client_ids, *after, WINDOW)).fetchall()
    if wanted.account_id is None:
        return db.execute(_NEXT, (*after, WINDOW)).fetchall()
    address = after[1] if after[0] == wanted.account_id else ""
    return db.execute(_NEXT_OF_ACCOUNT, (wanted.account_id, address, WINDOW)).fetchall()


def _fits(row: rows.Row, wanted: PeopleSearch) -> bool:
    return (
        (wanted.client_ids is None or row[_CLIENT] in wanted.client_ids)
        and wanted.channel in (None, row[_CHANNEL])
        and wanted.account_id in (None, row[_ACCOUNT])
    )


def _is_named(row: rows.Row, words: list[str]) -> bool:
    if not words:
        return True
    have = f"{row[_NAME]} {row[_USERNAME]}".casefold()
    return all(word in have for word in words)
