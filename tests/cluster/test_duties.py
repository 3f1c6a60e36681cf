"""What a node does beside sending: it fetches updates and calls clients' endpoints, each for what it owns, and hands it on.

``KURIR_TIER=N`` runs these.
"""

import asyncio
import os
from itertools import count
from typing import Any, Self

import pytest

from kurir import demo
from kurir.bench.hook import KIND, SECRET, Hook
from kurir.bench.load import lanes
from support.nodes import ADMIN, Node, Nodes, nodes

pytestmark = pytest.mark.skipif(os.environ.get("KURIR_TIER") != "N", reason="long tier: KURIR_TIER=N")


def by_polling(document: dict[str, Any]) -> None:
    for account in document["clients"][demo.CLIENT]["accounts"]:
        if account["channel"] == "telegram":
            account["receive"] = "poll"
            del account["secret_token"]


async def received(on: Nodes) -> list[str]:
    """Return the texts of all messages that people sent, in the order of the feed."""
    texts: list[str] = []
    after = ""
    while True:
        async with on.client.session.get(f"{on.client.url}/v1/events?limit=1000{after}") as answer:
            assert answer.status == 200, await answer.text()
            page = await answer.json()
        texts += [one["data"]["message"]["text"] for one in page["data"] if one["type"] == "message.received"]
        if not page["data"]:
            return texts
        after = f"&after={page['next']}"


class People:
    """People on Telegram who write one message after the other, each with a number, until they are told to stop."""

    def __init__(self, on: Nodes) -> None:
        self._on = on
        self._phones = [address for channel, address in on.people if channel == "telegram"]
        self.written: list[str] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _write(self) -> None:
        for number in count():
            phone = self._phones[number % len(self._phones)]
            act = {"do": "text", "text": f"no. {number}"}
            url = f"{self._on.sandbox.url}/sandbox/phones/telegram/{phone}/acts"
            async with self._on.session.post(url, json=act) as answer:
                assert answer.status == 200, await answer.text()
            self.written.append(act["text"])
            await asyncio.sleep(0.03)

    async def until_received(self, many: int, seconds: float = 30.0) -> None:
        """Wait until so many more of them are in the feed."""
        wanted = len(await received(self._on)) + many
        async with asyncio.timeout(seconds):
            while len(await received(self._on)) < wanted:  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_updates_are_fetched_by_one_node_after_the_other_and_none_is_lost_or_doubled(tmp_path):
    """A node that fetches is killed, then another one is stopped: somebody fetches on, and never two at once."""
    async with nodes(tmp_path, edit=by_polling) as on:
        await on.begun(2)
        owners = await on.owners(on.nodes[0])
        fetches = next(node for node in on.nodes if node.pid == owners["demo-tg"])
        stays = next(node for node in on.nodes if node is not fetches)
        async with People(on) as people:
            await people.until_received(30)
            fetches.down()
            _, took = await on.until_owned(stays, [stays.pid])
            await people.until_received(30)
            await fetches.up()
            await on.until_owned(stays, [stays.pid, fetches.pid])
            await people.until_received(30)
            owners = await on.owners(stays)
            second = next(node for node in on.nodes if node.pid == owners["demo-tg"])
            other = next(node for node in on.nodes if node is not second)
            second.open = False
            code, _ = await second.terminate()
            assert code == 0
            await on.until_owned(other, [other.pid])
            await people.until_received(30)
        async with asyncio.timeout(20):
            while len(set(await received(on))) < len(people.written):  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.1)
        assert sorted(await received(on)) == sorted(people.written), "each once"
        logs = "".join(node.log.read_text() for node in on.nodes)
        assert "somebody else fetches" not in logs
        print(
            f"{len(people.written)} updates, a kill -9 and a SIGTERM of who fetches: each taken in once; {took:.1f} s"
        )


async def endpoint(on: Nodes, node: Node) -> dict[str, Any]:
    [one] = await on.told(node, "callbacks")
    return dict(one)


async def until_standing(on: Nodes, node: Node, standing: str) -> None:
    async with asyncio.timeout(3.0):
        while (await endpoint(on, node))["standing"] != standing:  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.02)


async def until_called(hook: Hook, many: int, seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while len(hook.calls) < many:  # noqa: ASYNC110 - a poll costs nothing here
            await asyncio.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_an_endpoint_is_paused_resumed_and_replayed_on_any_node(tmp_path):
    """Its owner follows; and when that one is killed, the other calls the endpoint."""
    async with Hook() as hook:

        def told(document: dict[str, Any]) -> None:
            document["allow_networks"] = ["127.0.0.0/8"]
            given = {"url": hook.url, "secret": SECRET, "dialect": "standard", "events": [KIND]}
            document["clients"][demo.CLIENT]["callbacks"] = [given]

        async with nodes(tmp_path, edit=told) as on:
            await on.begun(2)
            async with asyncio.timeout(10):
                while not (owning := [one for one in await on.told(on.nodes[0], "nodes") if one["endpoints"]]):  # noqa: ASYNC110 - another process sets no event
                    await asyncio.sleep(0.05)
            owner = next(node for node in on.nodes if node.pid == owning[0]["pid"])
            asked = next(node for node in on.nodes if node is not owner)
            name = (await endpoint(on, asked))["id"]
            lane = next(one for one in lanes(on.people) if one.channel == "telegram")
            await on.client.post(lane)
            await until_called(hook, 1)
            await on.told(asked, f"callbacks/{name}/pause", "POST")
            await until_standing(on, owner, "paused")
            two = await on.client.post(lane)
            await on.client.settled(10.0)
            assert (await on.client.told(two.tid)).status == 1
            assert (await endpoint(on, asked))["pending"] == 1
            await on.told(asked, f"callbacks/{name}/resume", "POST")
            await until_standing(on, owner, "working")
            await until_called(hook, 2)
            ids = [call.webhook_id for call in hook.calls]
            headers = {"Authorization": f"Bearer {ADMIN}"}
            url = f"{asked.url}/v1/admin/callbacks/{name}/replay"
            async with on.session.post(url, json={"since": "1970-01-01T00:00:00Z"}, headers=headers) as answer:
                assert (await answer.json())["data"] == {"count": 2}
            await until_called(hook, 4)
            assert [call.webhook_id for call in hook.calls] == ids * 2, "again, in order, under the same ids"
            owner.down()
            three = await on.client.post(lane)
            async with asyncio.timeout(15):  # what it had not noted when it was killed comes once more before
                while hook.calls[-1].step.tid != three.tid:  # noqa: ASYNC110 - a poll costs nothing here
                    await asyncio.sleep(0.02)
            assert {call.webhook_id for call in hook.calls[4:-1]} <= set(ids)
            assert hook.refused == []
