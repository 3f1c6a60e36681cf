"""Scorecard row 6: a client whose connection breaks repeats its request, and its message is sent once.

A real gateway behind a proxy that breaks the connection: after each number of bytes of the answer, from none to all, and
after every sixteenth byte of the request. The client repeats the very same body until it has a whole 200. It cannot
know what became of what it sent before, and does not have to.
"""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kurir import demo
from kurir.channels import installed
from support.cutting_proxy import Answer, Cut, cutting, exchange, post
from support.delivering import Platform, eventually
from support.servers import PASSWORD, Running, running

#: Clients at once: more than one, so that cuts fall into commits that are shared.
TOGETHER = 16
STEP = 16

_numbers = itertools.count(1)


@dataclass
class Sender:
    """A client that sends one message until it has a whole answer."""

    port: int
    identifier: str = field(default_factory=lambda: f"cut-{next(_numbers):06}")
    answers: list[Answer] = field(default_factory=list)
    tries: int = 0

    @property
    def request(self) -> bytes:
        body = demo.example("text", self.identifier) | {"recipient": f"tg:{1_000_000 + int(self.identifier[4:])}"}
        body["body"] = {"text": self.identifier}
        headers = {"Auth-username": demo.CLIENT, "Auth-password": PASSWORD}
        return post(f"/telegram/send/{demo.CLIENT}", json.dumps(body).encode(), headers)

    async def once(self, cut: Cut) -> Answer | None:
        """Try once. Returns the answer if it came whole."""
        self.tries += 1
        async with cutting(self.port, cut) as proxied:
            answer = await exchange(proxied, self.request)
        if answer is not None:
            self.answers.append(answer)
        return answer

    async def until_answered(self, cuts: Sequence[Cut]) -> None:
        """Send with one cut after the other, then without, until an answer has come whole; and once more after it."""
        for cut in (*cuts, Cut()):
            if await self.once(cut) is not None:
                break
        assert self.answers, "no whole answer came, even without a cut"
        await self.once(Cut())

    @property
    def tids(self) -> set[str]:
        return {json.loads(answer.body)["data"]["tid"] for answer in self.answers}


@dataclass
class Scene:
    """The gateway, and a platform that counts what it gets."""

    up: Running
    platform: Platform

    async def all_of(self, senders: Sequence[tuple[Sender, Sequence[Cut]]]) -> None:
        """Let *senders* send, several at once."""
        slots = asyncio.Semaphore(TOGETHER)

        async def one(sender: Sender, cuts: Sequence[Cut]) -> None:
            async with slots:
                await sender.until_answered(cuts)

        async with asyncio.TaskGroup() as group:
            for sender, cuts in senders:
                group.create_task(one(sender, cuts))

    async def check(self, senders: Sequence[Sender]) -> None:
        """Whatever was cut: one message each, sent once, known by one tid."""
        await eventually(lambda: len(self.platform.calls) >= len(senders))
        await eventually(self._nothing_queued)
        assert Counter(call.text for call in self.platform.calls) == Counter(sender.identifier for sender in senders)
        listed = await self._listed()
        assert Counter(message["id"] for message in listed) == Counter(sender.identifier for sender in senders)
        tids = {message["id"]: message["tid"] for message in listed}
        for sender in senders:
            assert [answer.status for answer in sender.answers] == [200] * len(sender.answers)
            assert sender.tids == {tids[sender.identifier]}
            # The last one repeats what was answered whole before; the first may repeat what nobody heard the answer of.
            replayed = ["idempotent-replayed" in answer.headers for answer in sender.answers]
            assert replayed[1:] == [True] * (len(replayed) - 1)

    async def _nothing_queued(self) -> bool:
        return not await self.up.gateway.store.depths()

    async def _listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        path = "/v1/messages?limit=200"
        while path:
            async with self.up.session.get(self.up.url + path) as response:
                assert response.status == 200
                page = await response.json()
            found += page["data"]
            path = f"/v1/messages?limit=200&after={page['next']}" if page["next"] else ""
        return found


@pytest.fixture
async def scene(tmp_path: Path):
    platform = Platform()

    def to_platform(document: dict[str, Any]) -> None:
        for account in document["clients"][demo.CLIENT]["accounts"]:
            account["api_base"] = platform.url
            account["rate"] = dict.fromkeys(installed()[account["channel"]].RATES, "none")

    async with platform.running(), running(tmp_path, edit=to_platform) as up:
        yield Scene(up, platform)


@pytest.mark.slow
@pytest.mark.scorecard(6)
async def test_scorecard_6_an_answer_cut_at_every_byte_sends_once(scene):
    port = scene.up.gateway.server.port
    measure = Sender(port)
    first = await measure.once(Cut())
    assert first is not None
    again = await measure.once(Cut())
    assert again is not None
    longest = max(first.size, again.size)

    # Each number of bytes, ended in order and by a reset; every third client loses the repeat's answer too.
    senders = [
        (Sender(port), [Cut(answer=size, abrupt=abrupt)] + [Cut(answer=longest - size)] * (size % 3 == 0))
        for size in range(longest + 1)
        for abrupt in (False, True)
    ]
    await scene.all_of(senders)
    await scene.check([measure, *(sender for sender, _ in senders)])

    torn = [sender for sender, cuts in senders if cuts[0].answer is not None and cuts[0].answer < first.size]
    assert len(torn) == 2 * first.size
    for sender in torn:
        assert "idempotent-replayed" in sender.answers[0].headers, "the message was there already"
    intact = [sender for sender, cuts in senders if not cuts[0].abrupt and cuts[0].answer in range(first.size, longest)]
    assert all("idempotent-replayed" not in sender.answers[0].headers for sender in intact)
    print(
        f"scorecard 6: an answer of {first.size} bytes cut after each of 0 to {longest}, in order and by reset: "
        f"{len(senders) + 1} messages, {sum(sender.tries for sender, _ in senders) + 2} requests, "
        f"{len(scene.platform.calls)} sends, none twice, one tid each"
    )


@pytest.mark.scorecard(6)
async def test_scorecard_6_a_request_cut_at_every_sixteenth_byte_sends_once(scene):
    port = scene.up.gateway.server.port
    size = len(Sender(port).request)
    points = sorted({*range(0, size, STEP), size - 1, size})
    senders = [
        (Sender(port), [Cut(request=point, abrupt=abrupt)])
        for point in points
        for abrupt in (False, True)
        for _ in (0, 1)
    ]
    await scene.all_of(senders)
    await scene.check([sender for sender, _ in senders])
    taken = 0
    for sender, [cut] in senders:
        replayed = "idempotent-replayed" in sender.answers[0].headers
        assert not replayed or cut.request == size, "only a request that came whole can have been taken"
        taken += replayed
    print(
        f"scorecard 6: a request of {size} bytes cut after each of {len(points)} numbers of bytes, in order and by reset: "
        f"{len(senders)} messages, {taken} taken although nobody heard it, {len(scene.platform.calls)} sends, none twice"
    )
