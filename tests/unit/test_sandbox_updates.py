"""The sandbox's queue of Telegram's updates: what is put at an awkward moment is posted all the same."""

import asyncio
from typing import Any

from kurir.clock import FakeClock
from kurir.sandbox.telegram_updates import Updates


class Receiver:
    """Stands for the bot's webhook: takes everything, or nothing while ``stuck``."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.begun = asyncio.Event()
        self.changed = asyncio.Event()
        self.stuck = False

    def url(self, _: str) -> str:
        return "http://127.0.0.1:1/hook"

    async def post(self, _: str, raw: bytes) -> tuple[bool, str]:
        self.begun.set()
        if self.stuck:
            await asyncio.Event().wait()
        self.taken.append(raw)
        self.changed.set()
        return True, "200"

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.taken) < count:
                self.changed.clear()
                await self.changed.wait()


def put(updates: Updates, text: str) -> None:
    updates.put("1", {"message": {"text": text}}, 1, lambda _: None)


async def test_an_update_put_in_the_very_turn_in_which_the_drain_of_its_chat_ends_is_posted(monkeypatch):
    receiver, late = Receiver(), iter(["second"])
    updates = Updates(receiver, FakeClock(), (1.0,), 1)
    ready = updates._ready

    def put_once_none_is_left() -> list[Any]:
        found = ready()
        if not found and (text := next(late, "")):
            asyncio.get_running_loop().call_soon(put, updates, text)  # runs before whatever waits for the drain's end
        return found

    monkeypatch.setattr(updates, "_ready", put_once_none_is_left)
    put(updates, "first")
    await receiver.until(2)
    assert len(updates) == 0
    await updates.close()


async def test_an_update_put_right_after_a_reset_is_posted():
    receiver = Receiver()
    receiver.stuck = True
    updates = Updates(receiver, FakeClock(), (1.0,), 1)
    put(updates, "before")
    async with asyncio.timeout(5):
        await receiver.begun.wait()
    updates.reset()
    receiver.stuck = False
    put(updates, "after")
    await receiver.until(1)
    [raw] = receiver.taken
    assert b"after" in raw
    await updates.close()
