"""A message that was just accepted goes to its account's worker as it is, and need not be read from the queue."""

from datetime import timedelta

import pytest

from kurir.intake import wire
from kurir.intake.accept import Taken
from kurir.store.base import QueuedMessage
from kurir.store.sqlite import SqliteStore
from support import cases
from support.delivering import CLIENT, delivering, store_of


@pytest.mark.parametrize("channel", ["telegram", "whatsapp", "line", "messenger"])
async def test_what_is_offered_is_what_the_queue_would_give(tmp_path, channel):
    async with delivering(tmp_path, start=False) as world:
        offered: dict[int, QueuedMessage] = {}

        def take(_account: str, message: QueuedMessage | None) -> None:
            assert message is not None
            offered[message.seq] = message

        world.acceptor._on_accepted = take
        later = (world.clock.now() + timedelta(days=1)).isoformat()
        more = [{}, {"priority": "high"}, {"send_at": later}, {"expires_in": 60}, {"times": 7, "unknown": "x"}]
        bodies = [case["input"] for case in cases.load(channel, "outbound")]
        bodies += [{**bodies[0], **extra} for extra in more]
        taken = 0
        for number, given in enumerate(bodies):
            answer = await world.acceptor.accept(CLIENT, channel, {**given, "id": f"case-{number}", "reply_id": ""})
            taken += isinstance(answer, Taken)
        assert taken == len(offered) > len(more) + 5
        stored = [
            one
            for account in {message.account_id for message in offered.values()}
            for one in await world.store.queued(account, limit=1000)
        ]
        assert {one.seq: one for one in stored} == offered
        read = [message for message in offered.values() if message.message is not None]
        assert len(read) > taken // 2
        for message in read:
            assert message.message == wire.restore(message.body)


class Counting(SqliteStore):
    """Counts what reading the queue brings."""

    brought = 0

    async def queued(self, *arguments, **more):
        found = await super().queued(*arguments, **more)
        self.brought += len(found)
        return found


async def test_messages_that_come_one_by_one_are_sent_without_the_queue_being_read(tmp_path):
    store = await store_of(tmp_path, Counting)
    async with delivering(tmp_path, store=store) as world:
        await world.ended(await world.accept("tg:1"))
        await world.ended(await world.accept("tg:2"))
        before = store.brought
        for number in range(20):
            await world.ended(await world.accept(f"tg:{number % 3 + 1}", str(number)))
        assert [call.text for call in world.platform.calls[2:]] == [str(number) for number in range(20)]
        assert store.brought - before < 10  # the look of every second may meet one
