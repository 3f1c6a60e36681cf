"""Users of the console who are signed in, for tests over real HTTP."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from fastapi.routing import APIRoute

from kurir.clock import uuid7
from kurir.console.access import Browser
from kurir.gateway import Gateway
from kurir.store.access import UserRecord

#: Where the tests' browsers come from.
BROWSER = Browser("127.0.0.1", "a test")


async def user(gateway: Gateway, role: str = "owner", *, client_id: str = "", name: str = "") -> UserRecord:
    """Return a new user of the console, or the one who has this name."""
    access, now = gateway.console.access, gateway.clock.now()
    called = name or (f"{role}-{client_id}" if client_id else role)
    known = await access.store.user_named(called)
    if known is not None:
        return known
    made = UserRecord(uuid7(), called, role, client_id, created_at=now)
    assert await access.store.put_user(made, now)
    return made


async def cookie(gateway: Gateway, of: UserRecord) -> dict[str, str]:
    """Return the cookie of a new session of this user."""
    access = gateway.console.access
    done = await access.by_link(await access.new_link(of.id), BROWSER)
    return {gateway.console.cookie: done.token}


@asynccontextmanager
async def signed_in(
    running: Any, role: str = "owner", *, client_id: str = "", name: str = ""
) -> AsyncIterator[aiohttp.ClientSession]:
    """Give a browser that is signed in to the console of *running* (a ``support.servers.Running``).

    Its requests come from a page of the console, as ``Sec-Fetch-Site`` says. Paths begin with ``/console``; redirects are not
    followed unless a test asks.
    """
    who = await user(running.gateway, role, client_id=client_id, name=name)
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an IP address
    async with aiohttp.ClientSession(
        running.url,
        cookies=await cookie(running.gateway, who),
        cookie_jar=jar,
        headers={"Sec-Fetch-Site": "same-origin", "Accept": "text/html"},
    ) as session:
        yield session


def all_routes(gateway: Gateway) -> Iterator[APIRoute]:
    """Yield every route of the application, those of the routers that it includes too."""
    waiting: list[Any] = list(gateway.app.routes)
    while waiting:
        one = waiting.pop(0)
        router = getattr(one, "original_router", None)  # as FastAPI keeps a router that was included
        if router is not None:
            waiting += router.routes
        elif isinstance(one, APIRoute):
            yield one


async def text(session: aiohttp.ClientSession, path: str, status: int = 200) -> str:
    """Return a page, which must answer with *status*."""
    async with session.get(path, allow_redirects=False) as response:
        found = await response.text()
        assert response.status == status, (path, response.status, found[:2000])
        return found


async def post(
    session: aiohttp.ClientSession, path: str, fields: Any = None, status: int = 303
) -> aiohttp.ClientResponse:
    """Send a form, which must be answered with *status*; return the answer, read."""
    async with session.post(path, data=fields or {}, allow_redirects=False) as response:
        found = await response.text()
        assert response.status == status, (path, response.status, found[:2000])
        return response
