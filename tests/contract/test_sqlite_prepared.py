"""SQLite prepares a statement once, and not anew for the values that it is run with."""

import apsw

from kurir.store.sqlite import SqliteStore
from support.records import ACCOUNT, CLIENT, DECLARED, T0, arrival, heard, take_in


async def test_a_statement_that_was_run_before_is_not_prepared_again(tmp_path):
    store = SqliteStore(tmp_path / "kurir.db", synchronous="OFF")
    await store.open()
    await store.declare(DECLARED, T0)
    prepared: list[str] = []

    def noted(*what: object) -> int:  # SQLite asks it while it prepares a statement, and at no other time
        prepared.append(str(what))
        return apsw.SQLITE_OK

    async def everything(name: str) -> None:
        await take_in(store, arrival(heard=heard(phone=f"4912345{name}"), platform_id=name, address="777"))
        await store.queued(ACCOUNT, limit=5)
        await store.events(CLIENT, after=0, limit=5)
        await store.contact_by_phone(ACCOUNT, f"4912345{name}")

    for runner in (store._writer, store._prompt):
        await runner.run(lambda db: setattr(db, "authorizer", noted))
    for name in ("1", "2"):  # what is done for a first person and for a second is not the same
        await everything(name)
    assert prepared, "the authorizer is not asked"
    prepared.clear()
    for name in ("3", "4"):
        await everything(name)
    await store.close()
    assert prepared == []
