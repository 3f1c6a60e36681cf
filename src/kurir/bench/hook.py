"""The client's system of a run: an endpoint on loopback that takes callbacks, checks each one, and writes it down.

It is deaf when it is told to be: then it cuts every connection without an answer, as a system does whose host is gone. What
it wrote down before its answer was cut comes again, under the same ``webhook-id``.
"""

import asyncio
import json
import time
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from typing import Final, Self

from aiohttp import web

from kurir.bench.callbacks import Call, Step
from kurir.client import webhooks
from kurir.client.errors import KurirError
from kurir.client.events import MessageStatus

#: Signs nothing but the callbacks of a gateway that lives for one run.
SECRET: Final = "whsec_a3VyaXIgYmVuY2gga3VyaXIgYmVuY2gga3VyaXIgYmVuY2g="  # noqa: S105 - of a run on loopback, no secret of anybody
#: The kind of event that a run asks for: its people write nothing.
KIND: Final = "message.status"


class Hook:
    """The endpoint; it listens from ``async with`` on. *calls* are those that it took, in their order.

    *refused* says why it took others not, *outages* counts how often it was deaf.
    """

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self.refused: list[str] = []
        self.outages = 0
        self._deaf = False
        self._server = web.Server(self._take)
        self._listening: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        listening = await asyncio.get_running_loop().create_server(self._protocol, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/hook"
        self._listening = listening
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listening is not None:
            self._listening.close()
        await self._server.shutdown(1.0)

    async def be_deaf(self, seconds: float) -> None:
        """Cut every connection, and each new one, for *seconds*."""
        self.outages += 1
        self._deaf = True
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._deaf = False

    def has(self, steps: AbstractSet[Step]) -> bool:
        """Return whether it was told all of *steps*."""
        return steps <= {call.step for call in self.calls}

    def book(self) -> str:
        """Return its ledger, a JSON line for each callback."""
        return "".join(json.dumps(asdict(one)) + "\n" for one in self.calls)

    async def _take(self, request: web.BaseRequest) -> web.Response:
        """Take a callback that is signed and tells of a status; answer 400 to any other."""
        body = await request.read()
        try:
            event = webhooks.verify(request.headers, body, SECRET)
        except KurirError as error:
            self.refused.append(error.code)
            return web.Response(status=400)
        if not isinstance(event, MessageStatus) or event.previous is None:
            self.refused.append(f"{event.type or 'nothing'} was not asked for")
            return web.Response(status=400)
        webhook_id = request.headers["webhook-id"]
        self.calls.append(
            Call(time.time(), webhook_id, Step(event.tid, event.message_id, int(event.previous), int(event.status)))
        )
        return web.Response(status=204)

    def _protocol(self) -> asyncio.BaseProtocol:
        """Return what serves a new connection."""
        return _Deaf() if self._deaf else self._server()


class _Deaf(asyncio.Protocol):
    """Cuts its connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()
