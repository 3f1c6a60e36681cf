"""Two nodes on one PostgreSQL: what one of them is told of clients and accounts is true on both, within seconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kurir import demo
from kurir.sandbox.config import DEMO_TELEGRAM
from support.nodes import ADMIN, Node, Nodes, nodes

#: What a change may take to be true on the other node: with a hint, and without one (a look each second).
HINTED = 2.0
BY_ITSELF = 5.0
BOT = "second-bot"


async def administer(on: Nodes, node: Node, method: str, path: str, json: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {ADMIN}"}
    async with on.session.request(method, f"{node.url}/v1/admin/{path}", headers=headers, json=json) as answer:
        assert answer.status == 200, await answer.text()
        return (await answer.json())["data"]


def bot(on: Nodes, **settings: Any) -> dict[str, Any]:
    return {
        "client": demo.CLIENT,
        "id": BOT,
        "channel": "telegram",
        "api_base": f"{on.sandbox.url}/telegram",
        "settings": {"token": DEMO_TELEGRAM.token, "secret_token": DEMO_TELEGRAM.secret_token} | settings,
    }


async def post(on: Nodes, node: Node, number: int) -> tuple[int, str]:
    """Post a message of the new account to a node; return the status and the tid."""
    address = next(address for channel, address in on.people if channel == "telegram")
    message = {
        "id": f"live-{number}",
        "times": 0,
        "timestamp": "2026-01-01T00:00:00Z",
        "recipient": f"tg:{address}",
        "type": "text",
        "body": {"text": f"live {number}"},
        "account": BOT,
    }
    async with on.client.session.post(f"{node.url}/telegram/send/{demo.CLIENT}", json=message) as answer:
        said = await answer.json()
        return answer.status, "" if answer.status != 200 else said["data"]["tid"]


async def sent(on: Nodes, node: Node, tid: str) -> bool:
    async with on.client.session.get(f"{node.url}/v1/messages/{tid}") as answer:
        return bool((await answer.json())["data"]["status"] >= 1)


async def until(true: Callable[[], Awaitable[bool]], seconds: float) -> float:
    """Wait until it is true, and return after how many seconds it was."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def standing(on: Nodes, node: Node) -> str:
    return str((await administer(on, node, "GET", f"accounts/{BOT}"))["standing"])


@pytest.mark.timeout(120)
async def test_an_account_that_one_node_is_told_of_sends_what_either_accepts(tmp_path):
    async with nodes(tmp_path) as on:
        await on.begun(2)
        first, second = on.nodes
        await administer(on, first, "POST", "accounts", bot(on))

        async def taken() -> bool:
            return (await post(on, second, 1))[0] == 200

        await until(taken, HINTED)
        tids = [(await post(on, node, number))[1] for number, node in enumerate((second, first), 2)]
        assert all(tids)
        for tid in tids:
            await until(lambda tid=tid: sent(on, second, tid), BY_ITSELF)
        assert (await on.owners(first))[BOT] in {first.pid, second.pid}

        await administer(on, second, "POST", f"accounts/{BOT}/disable")

        async def refused() -> bool:
            return (await post(on, first, int(time.time() * 1e6)))[0] == 422

        await until(refused, HINTED)

        async def nobodys() -> bool:
            return BOT not in await on.owners(first)

        await until(nobodys, BY_ITSELF)


@pytest.mark.timeout(120)
async def test_a_token_that_either_node_is_told_of_mends_the_account_where_it_is_worked_for(tmp_path):
    async with nodes(tmp_path) as on:
        await on.begun(2)
        first, second = on.nodes
        await administer(on, first, "POST", "accounts", bot(on, token="7001000:" + "x" * 35))
        _, tid = await post(on, first, 1)

        async def owned() -> bool:
            return BOT in await on.owners(first)

        await until(owned, BY_ITSELF)
        owners = await on.owners(first)
        other = second if owners[BOT] == first.pid else first

        async def parked() -> bool:
            return await standing(on, other) == "parked"

        await until(parked, 15.0)
        await administer(on, other, "PATCH", f"accounts/{BOT}", {"settings": {"token": DEMO_TELEGRAM.token}})
        await until(lambda: sent(on, other, tid), BY_ITSELF)
        assert await standing(on, other) == "working"


@pytest.mark.timeout(120)
async def test_a_hint_that_is_lost_delays_and_never_loses(tmp_path):
    async with nodes(tmp_path) as on:
        await on.begun(2)
        first, second = on.nodes
        await administer(on, first, "POST", "accounts", bot(on))
        # As another node would change it whose hint nobody hears.
        await on.asked("UPDATE account SET enabled = 0 WHERE id = $1", BOT)
        await on.asked("UPDATE meta SET value = (value::bigint + 1)::text WHERE key = 'configuration_version'")
        for node in (first, second):
            await until(lambda node=node: disabled(on, node), BY_ITSELF)
        status, _ = await post(on, second, 1)
        assert status == 422


async def disabled(on: Nodes, node: Node) -> bool:
    return await standing(on, node) == "disabled"


@pytest.mark.timeout(120)
async def test_a_client_that_one_node_is_told_of_is_let_in_by_the_other_and_so_is_its_new_password(tmp_path):
    async with nodes(tmp_path) as on:
        await on.begun(2)
        first, second = on.nodes
        made = await administer(on, first, "POST", "clients", {"id": "shop"})

        async def let_in(password: str) -> bool:
            headers = {"Auth-username": "shop", "Auth-password": password}
            async with on.session.get(f"{second.url}/v1/messages", headers=headers) as answer:
                return answer.status == 200

        await until(lambda: let_in(made["password"]), HINTED)
        turned = await administer(on, first, "POST", "clients/shop/rotate-password", {"overlap_seconds": 0})
        await until(lambda: let_in(turned["password"]), HINTED)
        assert not await let_in(made["password"])
