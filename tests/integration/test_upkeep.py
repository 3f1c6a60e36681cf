"""Upkeep: finished messages older than retention go, overdue ones end, and nothing that fails stops either."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

from kurir import demo
from kurir.clock import FakeClock
from kurir.domain.status import Status
from kurir.store.base import MessageFilter, StoreUnavailable
from kurir.store.looking import Search
from kurir.store.operations import words
from kurir.upkeep import Upkeep
from support.records import CLIENT, DECLARED, T0, at, mark, new_message, receipt, result, sent
from support.servers import running
from support.stores import change, everything, store_of

HOUR = timedelta(hours=1)


async def test_what_retention_has_outlived_is_deleted_and_the_rest_stays(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        tids = []
        for number in range(5):
            _, _, answer = await up.send("telegram", demo.example("text", f"old-{number}"))
            tids.append(answer["data"]["tid"])
            await up.until(tids[-1], 1)
        clock = FakeClock(up.gateway.clock.now() + timedelta(days=100))
        _, _, answer = await up.send("telegram", {**demo.example("text", "later"), "send_at": "2099-01-01T00:00:00Z"})
        assert await Upkeep(up.gateway.store, clock, timedelta(days=101)).once() == 0
        assert await Upkeep(up.gateway.store, clock, timedelta(days=90)).once() == 5
        for tid in tids:
            async with up.session.get(f"{up.url}/v1/messages/{tid}") as response:
                assert response.status == 404
        assert (await up.message(answer["data"]["tid"]))["status"] == 0


async def test_a_message_of_an_account_that_was_taken_out_expires_while_the_gateway_runs(tmp_path: Path) -> None:
    def without_telegram(document) -> None:
        client = document["clients"][demo.CLIENT]
        client["accounts"] = [one for one in client["accounts"] if one["channel"] != "telegram"]

    body = {**demo.example("text", "late"), "send_at": "2099-01-01T00:00:00Z"}
    async with running(tmp_path) as up:
        _, _, answer = await up.send("telegram", body)
    async with running(tmp_path, edit=without_telegram) as up:
        overdue = "UPDATE message SET due_at = 0, expires_at = 1"
        await change(up.gateway.store, overdue)
        message = await up.until(answer["data"]["tid"], -1)
        assert message["error"]["code"] == "expired"


async def _opened(folder: Path) -> Any:
    store = await store_of(folder)
    await store.open()
    await store.declare(DECLARED, T0)
    return store


async def test_every_kind_of_row_is_deleted_in_bites_until_none_is_left(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("kurir.upkeep.BITE", 3)
    store = await _opened(tmp_path)
    await store.receive([receipt(Status.READ, f"never-{number}") for number in range(20)], T0)
    assert await Upkeep(store, FakeClock(at(0) + timedelta(days=100)), timedelta(days=90)).once() == 0
    for table in ("inbound_event", "early_receipt"):
        assert not [row for row in await everything(store) if row.startswith(f"{table} ")]
    await store.close()


async def test_what_is_overdue_is_ended_in_bites_until_none_is_left(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("kurir.upkeep.BITE", 3)
    store = await _opened(tmp_path)
    for number in range(10):
        await store.accept(new_message())
        message = new_message()
        await store.accept(message)
        await store.mark(mark(message))
        await store.record(result(message, sent(f"wamid.{number}", status=Status.PENDING)))
    upkeep = Upkeep(store, FakeClock(at(0) + timedelta(days=29)), timedelta(days=90))
    assert (await upkeep.expire(), await upkeep.no_receipts()) == (10, 0)
    later = Upkeep(store, FakeClock(at(0) + timedelta(days=31)), timedelta(days=90))
    assert (await later.expire(), await later.no_receipts()) == (0, 10)
    statuses = [message.status for message in await store.messages(CLIENT, MessageFilter(), 100)]
    assert sorted(statuses) == [Status.FAILED] * 10 + [Status.UNSENT] * 10
    await store.close()


async def test_whatever_goes_wrong_upkeep_goes_on(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("kurir.upkeep.TROUBLE_SECONDS", 0.001)
    store = await _opened(tmp_path)
    faults = {name: [ZeroDivisionError(), StoreUnavailable("full")] for name in ("expire", "no_receipts", "purge")}
    done = {name: asyncio.Event() for name in faults}

    def faulty(name):
        method = getattr(store, name)

        async def call(*arguments, **named):
            if faults[name]:
                raise faults[name].pop()
            found = await method(*arguments, **named)
            done[name].set()
            return found

        return call

    for name in faults:
        monkeypatch.setattr(store, name, faulty(name))
    upkeep = Upkeep(store, FakeClock(T0), timedelta(days=90))
    assert not upkeep.alive()
    upkeep.start()
    async with asyncio.timeout(10):
        await asyncio.gather(*(each.wait() for each in done.values()))
    assert upkeep.alive()
    await upkeep.stop()
    assert not upkeep.alive()
    await store.close()


async def test_what_is_accepted_is_counted_and_found_by_its_words_soon_after(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        _, _, answer = await up.send("telegram", demo.example("text", "one"))
        tid = answer["data"]["tid"]
        await up.until(tid, 1)
        store, now = up.gateway.store, up.gateway.clock.now()
        async with asyncio.timeout(20):
            while await store._study(words.behind):  # noqa: ASYNC110 -- nobody sets an event for it
                await asyncio.sleep(0.05)
            while len(await store.tallies(now - HOUR, now + HOUR, 3600)) < 2:  # noqa: ASYNC110 -- nor for this
                await asyncio.sleep(0.05)
        row = (await store.search(Search(), 5)).rows[0]
        said = words.words_of((await store.snippets([row.seq]))[row.seq]).split()[0]
        assert [row.tid for row in (await store.search(Search(words=said), 5)).rows] == [tid]


async def test_a_search_by_words_that_is_not_wanted_empties_the_index(tmp_path: Path) -> None:
    store = await store_of(tmp_path)
    await store.open()
    await store.declare(DECLARED, T0)
    await store.accept(new_message())
    clock = FakeClock(T0)
    await Upkeep(store, clock, timedelta(days=90)).index_words()
    assert len((await store.search(Search(words="hello"), 5)).rows) == 1
    await Upkeep(store, clock, timedelta(days=90), search_text=False).index_words()
    assert await store._study(words.is_empty)
    assert not (await store.search(Search(words="hello"), 5)).text_searched
    await store.close()


async def test_words_wait_while_others_wait_for_a_write(tmp_path: Path, monkeypatch: Any) -> None:
    store = await store_of(tmp_path)
    await store.open()
    await store.declare(DECLARED, T0)
    for _ in range(3):
        await store.accept(new_message())
    monkeypatch.setattr("kurir.upkeep.WORDS_BITE", 1)
    upkeep = Upkeep(store, FakeClock(T0), timedelta(days=90))
    with monkeypatch.context() as patch:
        patch.setattr(store, "idle", lambda: False)
        await upkeep.index_words()
    count = "SELECT count(*) FROM words"
    assert await store._study(lambda db: db.execute(count).fetchone()[0]) == 1, "one bite, each time"
    await upkeep.index_words()
    assert await store._study(words.behind) == []
    await store.close()
