"""A real gateway and a real sandbox for tests: own store file, real HTTP on loopback, ports as they are free."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from kurir import channels, demo, demo_facts
from kurir.configuration.file import parse
from kurir.gateway import Gateway, Options
from kurir.sandbox.config import SandboxConfig, demo_config
from kurir.sandbox.server import SandboxServer
from support.stores import store_of
from support.sweeps import sweep

#: In the form of one that was generated, which is cheap to hash and to verify: most tests are about something else.
PASSWORD = "kurir_pw_" + "correct-horse-battery-staple-for-every-test"


@dataclass
class Running:
    """A gateway with its sandbox, and a session that is logged in as the demo client."""

    gateway: Gateway
    sandbox: SandboxServer
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return self.gateway.server.url

    async def send(self, channel: str, body: Any, **headers: str) -> tuple[int, Any, Any]:
        """POST *body* to the send endpoint; returns (status, headers, parsed answer)."""
        async with self.session.post(f"{self.url}/{channel}/send/demo", json=body, headers=headers) as response:
            return response.status, response.headers, await response.json()

    async def message(self, tid: str) -> Any:
        """Return a message by GET /v1/messages/{tid}."""
        async with self.session.get(f"{self.url}/v1/messages/{tid}") as response:
            assert response.status == 200, await response.text()
            return (await response.json())["data"]

    async def until(self, tid: str, status: int, seconds: float = 10.0) -> Any:
        """Wait until the message has *status* (or better), and return it."""
        async with asyncio.timeout(seconds):
            while True:
                message = await self.message(tid)
                if message["status"] == status or message["status"] > status >= 0:
                    return message
                await asyncio.sleep(0.02)


@asynccontextmanager
async def running(
    folder: Path,
    *,
    store: Any = None,
    extra: dict[str, Any] | None = None,
    edit: Callable[[dict[str, Any]], None] | None = None,
    phones: bool = False,
    config: SandboxConfig | None = None,
) -> AsyncIterator[Running]:
    """Run a gateway with the demo's accounts against a sandbox.

    *extra* is merged into the client's configuration; *edit* may change the whole document before it is parsed. With *phones*
    the console has the sandbox's phones, as in ``kurir up``. *config* is the sandbox's, if not that of the demo.
    """
    sandbox = SandboxServer(config or demo_config())
    await sandbox.start()
    try:
        document = demo.document(
            sandbox.sandbox.config, demo.Addresses("http://127.0.0.1:1", sandbox.url), "127.0.0.1:0", folder, PASSWORD
        )
        document["clients"][demo.CLIENT].update(extra or {})
        if edit is not None:
            edit(document)
        configuration = parse(document, {}, channels=channels.installed())
        options = Options(
            {demo.MEDIA_HOST: f"{sandbox.url}/sandbox/media"},
            demo.contacts(sandbox.sandbox.config),
            sandbox=sandbox.sandbox if phones else None,
        )
        gateway = Gateway(configuration, options, store=store or await store_of(folder))
        await gateway.start()
        for channel, url in demo_facts.webhooks(gateway.server.url).items():
            sandbox.sandbox.connect(channel, url)
        headers = {"Auth-username": demo.CLIENT, "Auth-password": PASSWORD}
        try:
            async with aiohttp.ClientSession(headers=headers) as session:
                yield Running(gateway, sandbox, session)
            await sweep(gateway.store)
        finally:
            await gateway.stop()
    finally:
        await sandbox.stop()
