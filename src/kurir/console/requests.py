"""The log of requests: what was refused, and what changed something, written behind the answer and never in its way.

A send that is accepted is a message, and stands there. Entries wait in memory for a moment and are written together; where
more come than may be kept, of one client or of strangers, the rest is counted in an entry of its own. A body is kept in part,
for whoever may see it; never that of somebody who was not let in, no secret of it, and no header at all.
"""

import asyncio
import contextlib
import re
from collections import OrderedDict, deque
from typing import Final

import structlog

from kurir.clock import Clock
from kurir.domain.problem import Problem
from kurir.store.access import AccessStore, RequestRecord
from kurir.store.base import StoreError

log = structlog.get_logger(__name__)

#: Entries that wait, at most, and seconds between two writings.
WAITING: Final = 500
EVERY_SECONDS: Final = 0.5
#: Entries of one client in reserve, and seconds that bring one back; and those of all strangers together.
OF_CLIENT: Final = (500, 0.5)
OF_STRANGERS: Final = (200, 10.0)
#: Clients whose entries are counted apart.
COUNTED: Final = 1000
#: Bytes of a body that are kept.
KEPT_BODY: Final = 4096
#: Problems of a request that are kept.
KEPT_PROBLEMS: Final = 20
#: What an entry says that stands for others, and its code.
NOT_KEPT: Final = "more requests came than the log keeps"
NOT_KEPT_CODE: Final = "not_kept"

_SECRET_MEMBER: Final = re.compile(
    r'("[^"\\]{0,60}(?:password|secret|token|authorization|api_key)[^"\\]{0,60}"\s*:\s*)"(?:[^"\\]|\\.)*(?:"|$)',
    re.IGNORECASE,
)


def kept_body(body: bytes) -> str:
    """Return what is kept of a body: its beginning, without the values of members that are named like secrets."""
    return _SECRET_MEMBER.sub(r'\1"•••"', body[:KEPT_BODY].decode("utf-8", "replace")).replace("\x00", "�")


class _Allowance:
    """Bounds how much of one key is kept: so many in reserve, and one more every few seconds."""

    def __init__(self, burst: int, seconds: float) -> None:
        self._burst, self._seconds = burst, seconds
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> bool:
        """Return whether one more may be kept, and count it."""
        level, at = self._levels.get(key, (float(self._burst), now))
        level = min(float(self._burst), level + (now - at) / self._seconds)
        left = level - 1 if level >= 1 else level
        self._levels[key] = (left, now)
        self._levels.move_to_end(key)
        if len(self._levels) > COUNTED:
            self._levels.popitem(last=False)
        return level >= 1


class RequestLog:
    """Keeps what became of requests. Belongs to one event loop."""

    def __init__(self, store: AccessStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: deque[RequestRecord] = deque()
        self._lost = 0
        self._clients = _Allowance(*OF_CLIENT)
        self._strangers = _Allowance(*OF_STRANGERS)
        self._task: asyncio.Task[None] | None = None
        self._flushing = asyncio.Lock()

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._work(), name="request log")

    async def stop(self) -> None:
        """Write what waits, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            with contextlib.suppress(StoreError):
                await self.flush()

    def note(self, request: RequestRecord) -> None:
        """Keep a request, if there is room."""
        kept = self._clients if request.client_id else self._strangers
        if len(self._waiting) >= WAITING or not kept.take(request.client_id, self._clock.monotonic()):
            self._lost += 1
        else:
            self._waiting.append(request)

    async def flush(self) -> None:
        """Write what waits; on return what another call began to write is written too.

        Raises StoreError; then it is lost, as entries of a log may be.
        """
        async with self._flushing:
            await self._flush()

    async def _flush(self) -> None:
        found, lost = list(self._waiting), self._lost
        self._waiting.clear()
        self._lost = 0
        if lost:
            problem = Problem("", NOT_KEPT_CODE, f"{lost} {NOT_KEPT}")
            found.append(
                RequestRecord(
                    self._clock.now(), "", "", "", "", 0, NOT_KEPT_CODE, problem.detail, (problem,), 0, "", ""
                )
            )
        if found:
            await self._store.add_requests(found)

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.flush()
            except StoreError as error:
                log.warning("request_log_not_written", error=str(error))
