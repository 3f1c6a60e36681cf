"""What most people write is taken in by fewer statements: they leave the very rows that the general way leaves."""

import random

import apsw
import pytest

from kurir.store.inbound import ChoiceRecord, Heard, NewEvent, Webhook
from kurir.store.operations import people
from kurir.store.sqlite import SqliteStore
from support.records import (
    CLIENT,
    DECLARED,
    OTHER_CLIENT,
    T0,
    arrival,
    at,
    endpoint,
    heard,
    mark,
    new_event,
    new_message,
)

#: What holds what is known of people, and what they are told of.
_TABLES = ("contact", "contact_alias", "event", "callback", "platform_id", "reply_token", "vanishing_choice")


def _drawn(rng: random.Random) -> Heard:
    """Return something heard of one of few people, plain or not."""
    draw = rng.choice
    return heard(
        draw(("777", "778", "779", "US.1", "-5")),
        at=at(draw((0.25, 1, 1.5, 2, 3, 10, 10.5, 20))),
        client_id=OTHER_CLIENT if rng.random() < 0.03 else CLIENT,
        name=draw(("", "Ani", "Ani", "Ani", "Ani", "Budi")),
        username=draw(("", "", "", "", "", "ani")),
        phone=draw(("", "", "", "", "", "", "628111", "628222")),
        aliases=draw(((),) * 20 + (("US.1",), ("778",))),
        heard=draw((True, True, True, False)),
        blocked=draw((False,) * 8 + (None, True)),
        moved_to="-1005" if rng.random() < 0.03 else "",
        inferred=draw((False, False, False, True)),
    )


def _rows(db: apsw.Connection) -> dict[str, list[tuple[object, ...]]]:
    return {table: sorted(db.execute(f"SELECT * FROM {table}"), key=repr) for table in _TABLES}


@pytest.mark.parametrize("seed", range(12))
async def test_what_is_plain_is_learned_as_the_general_way_learns_it(tmp_path, monkeypatch, seed):
    rng, plain = random.Random(seed), people.learn_plain
    ones = [_drawn(rng) for _ in range(60)]
    arrivals = [arrival(heard=one, platform_id=str(n % 7), address=one.address) for n, one in enumerate(ones)]
    left, told, taken = [], [], 0
    for name in ("plain", "general"):
        store = SqliteStore(tmp_path / name, synchronous="OFF")
        await store.open()
        await store.declare(DECLARED, T0)
        await store.put_endpoint(endpoint(), at(0))

        def learned(db, one, known, now, general=name == "general"):
            nonlocal taken
            found = None if general else plain(db, one, known, now)
            taken += found is not None
            return found

        monkeypatch.setattr(people, "learn_plain", learned)
        told.append([await store.take_in(Webhook(at(30 + n), (), [one])) for n, one in enumerate(arrivals)])
        left.append(await store._writer.run(_rows))
        assert await store.broken_invariants() == []
        await store.close()
    assert taken > 5
    assert left[0] == left[1]
    assert told[0] == told[1]


async def test_a_text_is_asked_of_the_choices_that_its_conversation_was_shown(store):
    asked: list[ChoiceRecord] = []

    def typed(shown: ChoiceRecord) -> NewEvent | None:
        asked.append(shown)
        return new_event("postback.received") if shown.choices == (("Yes", "yes"),) else None

    async def kinds() -> list[str]:
        await store.take_in(Webhook(at(11), (), [arrival(heard=heard(), address="777", typed=typed)]))
        return [event.kind for event in await store.events(CLIENT)]

    assert (await kinds(), asked) == (["message.received"], [])  # nobody was shown anything
    for choices, kind in (((("No", "no"),), "message.received"), ((("Yes", "yes"),), "postback.received")):
        message = new_message()
        await store.accept(message)
        await store.mark(mark(message, address="777", choices=choices))
        asked.clear()
        assert (await kinds())[-1] == kind
        assert set(asked) == {ChoiceRecord(at(1), message.message_id, choices)}
