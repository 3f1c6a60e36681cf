"""A loop that cancels one task at a point of one's choice: its k-th suspension.

    with hooked("AccountWorker._send", point) as hook:
        ...  # the next task that runs this coroutine is cancelled there
    assert hook.cancelled

A task is cancelled where it waits and nowhere else, so the suspensions of a task are all the moments there are. Each has
two sides, and both lose something else: at once, when what it waits for has not happened yet; or late, when that has
happened and its result is on the way to the task, which never gets it (a commit that nobody hears of).
"""

import asyncio
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Point:
    """The suspension at which a task is cancelled, counted from 1, and on which side of it."""

    number: int
    late: bool = False


@dataclass
class Hook:
    """What became of the hooked task: how often it was suspended so far, and whether it was cancelled."""

    point: Point
    task: asyncio.Task[Any] | None = None
    suspensions: int = 0
    cancelled: bool = False

    def suspended(self, waited_for: Any) -> None:
        """Cancel the running task if this is the point."""
        self.suspensions += 1
        if self.suspensions != self.point.number:
            return
        task = asyncio.current_task()
        assert task is not None
        self.cancelled = True
        if self.point.late and asyncio.isfuture(waited_for):
            # The task adds its own callback after this one: it is cancelled when the result is there, before it runs.
            waited_for.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()


class _Hooked(Coroutine[Any, Any, Any]):
    """A coroutine that tells its hook of each suspension of the one it runs."""

    def __init__(self, work: Coroutine[Any, Any, Any], hook: Hook) -> None:
        self._work = work
        self._hook = hook

    def send(self, value: Any) -> Any:
        return self._told(self._work.send(value))

    def throw(self, *error: Any) -> Any:
        return self._told(self._work.throw(*error))

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise NotImplementedError("it is run as a task")

    def _told(self, waited_for: Any) -> Any:
        self._hook.suspended(waited_for)
        return waited_for


@contextmanager
def hooked(name: str, point: Point) -> Iterator[Hook]:
    """Hook the first task that is made inside the block of a coroutine with the qualified *name*."""
    loop = asyncio.get_running_loop()
    hook = Hook(point)
    before = loop.get_task_factory()

    def factory(loop: asyncio.AbstractEventLoop, work: Any, context: Any = None) -> asyncio.Task[Any]:
        if hook.task is None and getattr(work, "__qualname__", "") == name:
            hook.task = asyncio.Task(_Hooked(work, hook), loop=loop, context=context)
            return hook.task
        return asyncio.Task(work, loop=loop, context=context)

    loop.set_task_factory(factory)
    try:
        yield hook
    finally:
        loop.set_task_factory(before)


async def cancelled_at(work: Coroutine[Any, Any, Any], point: Point) -> tuple[Hook, Any]:
    """Run *work* as a task that is cancelled at *point*. Returns its hook, and its result, None if it was cancelled.

    Some work ends well although it was cancelled: it was suspended for the last time. Raises what *work* raises.
    """
    hook = Hook(point)
    hook.task = asyncio.Task(_Hooked(work, hook), loop=asyncio.get_running_loop())
    try:
        return hook, await hook.task
    except asyncio.CancelledError:
        return hook, None
