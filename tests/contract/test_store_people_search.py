"""What every store promises who looks for people, for how an endpoint does, and for how much a replay would owe."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kurir.store.base import ContactRecord
from kurir.store.feed import Owed, Replay
from kurir.store.looking import HowMany, PeopleSearch
from kurir.store.operations import deliveries, people_search
from support.records import (
    ACCOUNT,
    CLIENT,
    OTHER_ACCOUNT,
    OTHER_CLIENT,
    SECOND_ACCOUNT,
    T0,
    arrival,
    at,
    called,
    endpoint,
    heard,
    new_event,
    take_in,
)


def contact(address: str, account: str = ACCOUNT, **fields) -> ContactRecord:
    client = OTHER_CLIENT if account == OTHER_ACCOUNT else CLIENT
    channel = "telegram" if account == SECOND_ACCOUNT else "messenger"
    return replace(ContactRecord(client, account, channel, address), **fields)


async def put(store, *contacts: ContactRecord) -> None:
    for one in contacts:
        await store.put_contact(one, T0)


async def found(store, limit=100, **fields) -> list[str]:
    page = await store.people(PeopleSearch(**fields), limit)
    assert page.complete
    assert page.after is None
    return [f"{one.account_id} {one.address}" for one in page.rows]


async def test_a_phone_an_address_and_an_alias_lead_to_the_person_everywhere(store):
    await put(
        store,
        contact("777", phone="628111", name="Ani"),
        contact("1001", SECOND_ACCOUNT, phone="628111"),
        contact("888", OTHER_ACCOUNT, phone="628111"),
        contact("999", phone="628222"),
    )
    await take_in(store, arrival(event=None, heard=heard("777", moved_to="778")))
    everywhere = [f"{ACCOUNT} 778", f"{SECOND_ACCOUNT} 1001", f"{OTHER_ACCOUNT} 888"]
    assert await found(store, exact=("+628111", "628111")) == everywhere
    assert await found(store, exact=("628111",), client_ids=(CLIENT,)) == everywhere[:2]
    assert await found(store, exact=("628111",), client_ids=()) == []
    assert await found(store, exact=("628111",), channel="telegram") == everywhere[1:2]
    assert await found(store, exact=("628111",), account_id=OTHER_ACCOUNT) == everywhere[2:]
    assert await found(store, exact=("777",)) == everywhere[:1], "the address that was left"
    assert await found(store, exact=("999", "1001")) == [f"{ACCOUNT} 999", everywhere[1]]
    assert await found(store, exact=("",)) == [], "nobody has no phone for a phone"


async def test_a_name_is_found_in_any_script_and_case(store):
    await put(
        store,
        contact("1", name="Ani WIJAYA"),
        contact("2", name="山田 太郎"),
        contact("3", name="Ömer", username="omer_k"),
        contact("4", OTHER_ACCOUNT, name="Ani"),
    )
    assert await found(store, name="wij ani") == [f"{ACCOUNT} 1"]
    assert await found(store, name="太郎") == [f"{ACCOUNT} 2"]
    assert await found(store, name="öMER") == [f"{ACCOUNT} 3"]
    assert await found(store, name="OMER_") == [f"{ACCOUNT} 3"]
    assert await found(store, name="ani", client_ids=(OTHER_CLIENT,)) == [f"{OTHER_ACCOUNT} 4"]
    assert await found(store, name="nobody") == []
    assert len(await found(store)) == 4


@pytest.mark.hypothesis
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=st.integers(1, 4),
    name=st.sampled_from(["", "a", "an"]),
    account=st.sampled_from([None, ACCOUNT, OTHER_ACCOUNT]),
    client=st.sampled_from([None, CLIENT, OTHER_CLIENT]),
)
async def test_pages_of_names_give_each_person_once_however_far_a_page_looks(store, limit, name, account, client):
    names = {ACCOUNT: ("Ani", "Budi", "Dana", "Tan"), OTHER_ACCOUNT: ("Sean", "Iwan", "Citra")}
    for one, each in names.items():
        await put(store, *(contact(str(number), one, name=name) for number, name in enumerate(each)))
    whose = None if client is None else (client,)
    wanted, seen = PeopleSearch(client_ids=whose, name=name, account_id=account), []
    with pytest.MonkeyPatch.context() as few:
        few.setattr(people_search, "WINDOW", 2)
        few.setattr(people_search, "BUDGET", 2)
        while True:
            page = await store.people(wanted, limit)
            seen += [(one.account_id, one.name) for one in page.rows]
            if page.complete:
                break
            assert page.after is not None
            assert wanted.after is None or page.after > wanted.after
            wanted = replace(wanted, after=page.after)
    expected = [(one, each) for one in sorted(names) for each in names[one] if name in each.lower()]
    of_client = {ACCOUNT: CLIENT, OTHER_ACCOUNT: OTHER_CLIENT}
    assert seen == [pair for pair in expected if account in (None, pair[0]) and client in (None, of_client[pair[0]])]


async def _owed(store, number: int):
    made = await store.put_endpoint(endpoint(), T0)
    for each in range(number):
        await take_in(store, arrival(at=at(each), event=new_event(at=at(each))))
    return made, await store.owed(made.id)


async def test_what_was_tried_lately_is_that_of_the_newest_events_newest_first(store):
    made, owed = await _owed(store, 3)
    await store.called([called(owed[0], Owed.FAILED, 30, status=400, error="error_status_code: 400")])
    await store.called([called(one, seconds=40 + number) for number, one in enumerate(owed[1:])])
    tried = await store.lately_tried(made.id, 2)
    assert [(one.at, one.status) for one in tried] == [(at(41), 200), (at(40), 200)]
    assert [one.error for one in await store.lately_tried(made.id, 10)][2] == "error_status_code: 400"
    assert await store.lately_tried("nowhere", 10) == []


@pytest.mark.parametrize("window", [1, 2, 100])
async def test_a_count_says_what_the_replay_does(store, monkeypatch, window):
    monkeypatch.setattr(deliveries, "WINDOW", window)
    made, owed = await _owed(store, 5)
    await store.called([called(one, Owed.FAILED, status=400) for one in owed[:2]])
    await store.called([called(one) for one in owed[2:4]])  # the fifth is pending
    # Ranges are by the time of the event, and those of arrivals are as the builder says.
    times = [event.at for event in await store.events(CLIENT)]
    for wanted in (
        Replay(failed_only=True),
        Replay(since=min(times)),
        Replay(until=min(times)),
        Replay(failed_only=True, since=max(times)),
        Replay(since=times[3]),
    ):
        counted = await store.replayable(made.id, wanted)
        assert counted.complete
        assert counted.many == await store.replay(made.id, wanted, at(100))
        # What was owed again is called again, so that the next count has something to count.
        await store.called([called(one, Owed.FAILED, status=400) for one in await store.owed(made.id)])


async def test_a_count_ends_somewhere_and_says_so(store, monkeypatch):
    monkeypatch.setattr(deliveries, "WINDOW", 2)
    monkeypatch.setattr(deliveries, "BUDGET", 2)
    made, owed = await _owed(store, 3)
    await store.called([called(one) for one in owed])
    assert await store.replayable(made.id, Replay(since=T0)) == HowMany(2, complete=False)
    assert await store.replayable("nowhere", Replay(since=T0)) == HowMany(0, complete=True)
