"""Questions that come at once are put to the store together: one read for all of them, where each cost a read.

A dozen messages start in one turn of the loop, and each wants to know its person. A read of its own is a hand-over to a thread
and back (SQLite), or a transaction (PostgreSQL), for what is found in microseconds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from kurir.store.base import StoreUnavailable

K = TypeVar("K")
V = TypeVar("V")

#: Questions that are put together, at most.
MOST: Final = 200


class Together(Generic[K, V]):
    """Asks *ask* for the answers to several questions at once; what it leaves out is None.

    One read is under way at a time; who asks meanwhile waits for the next one, so that each is answered by a read that began
    after it was asked for.
    """

    def __init__(self, ask: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._ask = ask
        self._waiting: list[tuple[K, asyncio.Future[V | None]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def get(self, question: K) -> V | None:
        """Return the answer to *question*. Raises what the read raised."""
        future: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._asking is None:  # the task begins when whoever else runs in this turn of the loop has asked too
            self._asking = asyncio.create_task(self._go_on())
        return await future

    async def _go_on(self) -> None:
        asked: list[tuple[K, asyncio.Future[V | None]]] = []
        try:
            while self._waiting:
                asked, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._answer(asked)
        finally:
            self._asking = None
            for _, future in (*asked, *self._waiting):  # the loop ends: nobody will ask any more
                future.cancel()
            self._waiting.clear()

    async def _answer(self, asked: Sequence[tuple[K, asyncio.Future[V | None]]]) -> None:
        try:
            found = await self._ask(list(dict.fromkeys(question for question, _ in asked)))
        except Exception as error:  # noqa: BLE001 -- it is raised where each of them waits
            if len(asked) > 1 and not isinstance(error, StoreUnavailable):
                for one in asked:  # it may be about one of them, and is not to be the others'
                    await self._answer([one])
                return
            for _, future in asked:
                if not future.done():
                    future.set_exception(error)
        else:
            for question, future in asked:
                if not future.done():
                    future.set_result(found.get(question))
