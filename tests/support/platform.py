"""A small platform on loopback that answers by a table and remembers what it was asked."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Platform:
    """``answers`` maps "METHOD /path" to (status, JSON), or to an event that is waited for before there is no answer."""

    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: list[tuple[str, bytes, Mapping[str, str]]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def answer(self, request: web.Request) -> web.Response:
        line = f"{request.method} {request.path}"
        body = await request.read()
        async with self.changed:
            self.asked.append((f"{request.method} {request.path_qs}", body, dict(request.headers)))
            self.changed.notify_all()
        said = self.answers.get(line, (404, {"message": "Not found"}))
        if isinstance(said, asyncio.Event):
            await said.wait()
            return web.Response(status=500)
        return web.json_response(said[1], status=said[0], headers=self.headers)

    async def until_asked(self, line: str, times: int = 1) -> None:
        """Wait until *line* was asked so often."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: self.count(line) >= times)

    def count(self, line: str) -> int:
        """Return how often *line* was asked."""
        return sum(one == line for one, _, _ in self.asked)


@asynccontextmanager
async def answering(answers: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> AsyncIterator[Platform]:
    """Run a platform."""
    platform = Platform(answers=dict(answers), headers=headers or {})
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", platform.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    platform.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield platform
    finally:
        await runner.cleanup()
