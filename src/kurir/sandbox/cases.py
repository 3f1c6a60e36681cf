"""A saved transcript as a test: its people act again on a running sandbox, and what arrives is held against what arrived.

``kurir sandbox export > case.json`` saves one. A test plays it against the bot that is to be tested::

    def test_the_order_bot_answers_as_it_did():
        assert check("case.json", "http://127.0.0.1:8081") == []
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from kurir.sandbox.graph import member, members
from kurir.sandbox.replay import ReplayError, renamed, steps_of
from kurir.sandbox.transcript import compacted
from kurir.sandbox.wire import JsonObject

#: Seconds that a bot has for its answer.
PATIENCE: Final = 10.0
#: Seconds between two looks at a message that is on its way.
GLANCE_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Difference:
    """One step that went otherwise: its number from 1, what the case expects and what was there, in words."""

    step: int
    expected: str
    found: str

    def __str__(self) -> str:
        """Return the difference as a sentence."""
        return f"step {self.step}: expected {self.expected}, found {self.found}"


def check(case: str | Path, sandbox: str, patience: float = PATIENCE) -> list[Difference]:
    """Play the case in a file on the sandbox at the URL *sandbox*, and return what went otherwise.

    The sandbox is reset first. Each message of the case has *patience* seconds to arrive. Raises OSError where the file cannot
    be read, ReplayError where it is no transcript or the sandbox is not there.
    """
    try:
        transcript = json.loads(Path(case).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReplayError(f"{case} is not JSON: {error}") from None
    return asyncio.run(check_transcript(transcript, sandbox, patience))


async def check_transcript(transcript: Any, sandbox: str, patience: float = PATIENCE) -> list[Difference]:
    """Do as :func:`check`, of a transcript that is already read."""
    steps = steps_of(transcript)
    timeout = aiohttp.ClientTimeout(total=patience + 30)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            played = _Played(session, sandbox.rstrip("/"), patience)
            await played.post("/sandbox/reset", {})
            for number, step in enumerate(steps, 1):
                await played.step(number, step)
            await played.nothing_more(len(steps))
            return played.differences
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ReplayError(f"The sandbox at {sandbox} does not answer: {type(error).__name__}.", 503) from None


@dataclass(slots=True)
class _Played:
    """One case as it is played: the last message of each phone that was looked at, and the new ids of earlier messages."""

    session: aiohttp.ClientSession
    url: str
    patience: float
    differences: list[Difference] = field(default_factory=list)
    last: dict[tuple[str, str], str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    async def step(self, number: int, step: JsonObject) -> None:
        """Play one step, and note where it goes otherwise."""
        channel, person = str(step.get("channel", "")), str(step.get("person", ""))
        phone = f"/sandbox/phones/{quote(channel, safe='')}/{quote(person, safe='')}"
        if "moved" in step:
            await self._must(number, "the clock to move", "/sandbox/clock", {"move": step["moved"]})
        elif person and "switched" in step:
            await self._must(number, "the phone to be switched", phone, step["switched"])
        elif person and "did" in step:
            act = renamed(step["did"], self.ids.get)
            answer = await self._must(number, f"{person} to {act.get('do')}", f"{phone}/acts", act)
            if step.get("id") and answer.get("id"):
                self.ids[str(step["id"])] = str(answer["id"])
        elif person and "received" in step:
            await self._arrives(number, channel, person, step["received"])

    async def _must(self, number: int, words: str, path: str, body: JsonObject) -> JsonObject:
        status, answer = await self.post(path, body)
        if status != 200:
            self.differences.append(Difference(number, words, f"{status} {answer.get('detail', '')}".strip()))
        data = answer.get("data")
        return data if isinstance(data, dict) else {}

    async def post(self, path: str, body: JsonObject) -> tuple[int, JsonObject]:
        """Post *body* to the sandbox; return the status and the answer."""
        async with self.session.post(self.url + path, json=body) as response:
            answer = await response.json(content_type=None)
            return response.status, answer if isinstance(answer, dict) else {}

    async def _arrives(self, number: int, channel: str, person: str, received: Mapping[str, Any]) -> None:
        """Wait for each message that the request brought then, and compare what the phone shows of it."""
        expected = members(received, "shown")
        for index, shown in enumerate(expected):
            bubble = await self._next(channel, person, self.patience)
            if bubble is None:
                self.differences.append(Difference(number, _words(shown), "nothing"))
                return
            found = [compacted(block) for block in bubble["blocks"]]
            wanted = [compacted(block) for block in shown]
            if found != wanted:
                self.differences.append(Difference(number, _words(wanted), _words(found)))
            old = members(received, "ids")
            if index < len(old):
                self.ids[str(old[index])] = str(bubble["id"])

    async def nothing_more(self, number: int) -> None:
        """Note what arrived beyond the case, on the phones that it looked at."""
        for channel, person in list(self.last):
            bubble = await self._next(channel, person, 0)
            if bubble is not None:
                found = _words([compacted(block) for block in bubble["blocks"]])
                self.differences.append(Difference(number, f"nothing more for {person} on {channel}", found))

    async def _next(self, channel: str, person: str, seconds: float) -> JsonObject | None:
        """Return the next message of the account on a phone, None where none arrives in time."""
        loop, key = asyncio.get_running_loop(), (channel, person)
        deadline = loop.time() + seconds
        while True:
            left = max(0.0, deadline - loop.time())
            query = {"person": person, "after": self.last.get(key, ""), "wait": f"{left:.3f}"}
            path = f"{self.url}/sandbox/phones/{quote(channel, safe='')}/messages"
            async with self.session.get(path, params=query) as response:
                bubbles = members(await response.json(content_type=None), "data")
            for bubble in bubbles:
                if bubble["tick"] == "clock" and not bubble["mine"]:
                    break  # on its way: nobody can tap it yet
                self.last[key] = str(bubble["id"])
                if not bubble["mine"] and bubble["tick"] != "failed":
                    return dict(member({"": bubble}, ""))
            if loop.time() >= deadline:
                return None
            if bubbles:
                await asyncio.sleep(GLANCE_SECONDS)


def _words(blocks: list[JsonObject]) -> str:
    """Return blocks as a person would name them: their texts and what can be tapped, else their kind."""
    said = [str(block.get("text") or block.get("label") or block.get("name") or "") for block in blocks]
    taps = [str(choice.get("title")) for block in blocks for choice in block.get("choices", ())]
    words = " / ".join(word for word in said if word) or ", ".join(str(block.get("kind")) for block in blocks)
    return f"«{words}»" + (f" [{', '.join(taps)}]" if taps else "")
