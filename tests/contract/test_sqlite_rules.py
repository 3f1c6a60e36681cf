"""The sweep over SQLite's tables of events, callbacks and people sees each rule broken that it has."""

import apsw
import pytest

from kurir.store.feed import Owed
from kurir.store.sqlite import SqliteStore
from support.records import DECLARED, OTHER_CLIENT, T0, arrival, at, called, endpoint, heard, send, take_in


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("UPDATE event SET kind = 'message.status'", "is neither a change of status nor has it data"),
        ("UPDATE event SET status = 1 WHERE seq IS NULL", "is neither a change of status nor has it data"),
        (f"UPDATE event SET client_id = '{OTHER_CLIENT}'", "its message of another"),
        (f"UPDATE event SET client_id = '{OTHER_CLIENT}'", "which is another client's"),
        ("UPDATE event SET status = 0, previous = 1 WHERE seq IS NOT NULL", "has no use for it"),
        ("PRAGMA foreign_keys = OFF; DELETE FROM endpoint", "not there"),
        ("PRAGMA foreign_keys = OFF; DELETE FROM event WHERE seq IS NULL", "another client's, not there"),
        ("UPDATE callback SET state = 'lost'", "is lost and ended at"),
        ("UPDATE callback SET ended_at = 1 WHERE state = 'pending'", "is pending and ended at 1"),
        ("UPDATE callback SET tries = 0", "is delivered and ended at"),
        ("PRAGMA foreign_keys = OFF; DELETE FROM callback", "has no callback"),
        ("UPDATE endpoint SET paused_at = 1", "is paused and says not why"),
        ("UPDATE contact_alias SET alias = '777'", "is a contact and the other address of one"),
        ("UPDATE contact_alias SET address = alias", "which leads on"),
        ("UPDATE reply_token SET used_at = 1", "used by nobody"),
        ("UPDATE platform_id SET tid = '' WHERE platform_id = 'p-1'", "and says both"),
        ("UPDATE platform_id SET received_at = NULL", "and says both"),
    ],
)
async def test_the_sweep_sees_a_broken_rule(tmp_path, damage, sentence):
    store = SqliteStore(tmp_path / "kurir.db", synchronous="OFF")
    await store.open()
    await store.declare(DECLARED, T0)
    hook = (await store.put_endpoint(endpoint(), at(0))).id
    await send(store, "p-1")
    told = arrival(heard=heard(aliases=("x",)), platform_id="m-1", address="777", reply_token="t")
    await take_in(store, told)
    first, _ = await store.owed(hook)
    await store.called([called(first, Owed.DELIVERED)])
    assert await store.broken_invariants() == []
    await store.close()
    db = apsw.Connection(str(tmp_path / "kurir.db"))
    db.execute(damage)
    db.close()
    await store.open()
    broken = await store.broken_invariants()
    await store.close()
    assert any(sentence in each for each in broken), broken
