"""A send that comes whole, head and body in one piece, is answered as one whose parts come one by one."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kurir import demo
from kurir.http import whole
from support.bodies import TYPES, body
from support.delivering import eventually
from support.servers import PASSWORD, Running, running

HEADERS = {"Auth-username": demo.CLIENT, "Auth-password": PASSWORD, "Content-Type": "application/json"}
#: What differs from one request to the next.
OWN = ("date", "request-id")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def compared(self) -> tuple[int, dict[str, str], Any]:
        headers = {name: value for name, value in self.headers.items() if name not in (*OWN, "content-length")}
        said = json.loads(self.body)
        said.pop("instance", None)
        (said.get("data") or {}).pop("tid", None)
        said.pop("tid", None)
        return self.status, headers, said


class Line:
    """One connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        return Answer(
            int(head[0].split()[1]), headers, await self.reader.readexactly(int(headers.get("content-length", 0)))
        )

    async def whole(self, raw: bytes, path: str, headers: dict[str, str]) -> Answer:
        self.writer.write(head_of(raw, path, headers) + raw)
        return await self.answer()

    async def piecemeal(self, raw: bytes, path: str, headers: dict[str, str]) -> Answer:
        """Send the head, and the body when the server asks for it."""
        self.writer.write(head_of(raw, path, {**headers, "Expect": "100-continue"}))
        first = await self.answer()
        if first.status != 100:
            return first
        self.writer.write(raw)
        return await self.answer()


def head_of(raw: bytes, path: str, headers: dict[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: gateway", f"Content-Length: {len(raw)}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()


def raw_of(given: Any) -> bytes:
    return json.dumps(given).encode()


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as made:
        _, _, answer = await made.send("telegram", demo.example("text", "first"))  # the next login is known
        await made.until(answer["data"]["tid"], 1)
        yield made


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect the statuses of requests that were answered the short way."""
    statuses: list[int] = []
    answer = whole.WholeRequest.answer

    def noted(self: whole.WholeRequest, status: int, *rest: Any) -> None:
        statuses.append(status)
        answer(self, status, *rest)

    monkeypatch.setattr(whole.WholeRequest, "answer", noted)
    return statuses


async def connected(up: Running) -> Line:
    return Line(*await asyncio.open_connection("127.0.0.1", up.gateway.server.port))


SEND = f"/telegram/send/{demo.CLIENT}"
#: What is sent, where to, with which headers, the status, and whether it is answered the short way.
CASES: dict[str, tuple[bytes, str, dict[str, str], int, bool]] = {
    **{
        kind: (raw_of(body(kind, id=f"{{id}}-{kind}", recipient="tg:1001")), SEND, {}, 200, True)
        for kind in TYPES
        if kind != "template"
    },
    "a reply": (raw_of(body(id="{id}-r", recipient="tg:1001", reply_id="unknown")), SEND, {}, 200, False),
    "a known id": (raw_of(demo.example("text", "first")), SEND, {}, 200, True),
    "other content": (raw_of({**demo.example("text", "first"), "recipient": "tg:7"}), SEND, {}, 409, True),
    "wrong fields": (raw_of({"id": 1, "type": "text"}), SEND, {}, 422, True),
    "a template": (raw_of(body("template", id="t", recipient="tg:1001")), SEND, {}, 422, True),
    "strict": (raw_of(body("list", id="s", recipient="tg:1001", strict=True)), SEND, {}, 422, True),
    "no account": (raw_of(body(id="a", recipient="tg:1001", account="none")), SEND, {}, 422, True),
    "no JSON": (b'{"id": 1', SEND, {}, 400, True),
    "no UTF-8": (b'{"id": "\xff"}', SEND, {}, 400, True),
    "nothing": (b"", SEND, {}, 400, True),
    "another type": (b"<a/>", SEND, {"Content-Type": "text/xml"}, 415, True),
    "another charset": (b"{}", SEND, {"Content-Type": "application/json; charset=utf-16"}, 415, True),
    "text": (raw_of(demo.example("text", "first")), SEND, {"Content-Type": "text/plain"}, 200, True),
    "a wrong password": (b"{}", SEND, {"Auth-password": "wrong"}, 401, False),
    "a foreign path": (b"{}", "/telegram/send/somebody", {}, 403, True),
    "no channel": (b"{}", f"/pigeon/send/{demo.CLIENT}", {}, 404, True),
    "an alias": (
        raw_of(body(id="{id}-f", recipient="fb:6915551234567890")),
        f"/facebook/send/{demo.CLIENT}",
        {},
        200,
        True,
    ),
    "an encoded path": (raw_of(demo.example("text", "first")), SEND.replace("s", "%73", 1), {}, 200, False),
    "a query": (raw_of(demo.example("text", "first")), f"{SEND}?a=b", {}, 200, False),
    "the last one": (raw_of(demo.example("text", "first")), SEND, {"Connection": "close"}, 200, False),
    "a problem as it is": (b"{}", SEND, {"Accept": "application/problem+json"}, 422, True),
}


@pytest.mark.parametrize("name", CASES)
async def test_a_send_that_comes_whole_is_answered_as_one_that_comes_piece_by_piece(up, taken, name):
    raw, path, more, status, short = CASES[name]
    headers = {**HEADERS, **more}
    first = await (await connected(up)).whole(raw.replace(b"{id}", b"one"), path, headers)
    assert taken == ([status] if short else [])
    taken.clear()
    second = await (await connected(up)).piecemeal(raw.replace(b"{id}", b"two"), path, headers)
    assert taken == []
    assert first.status == status, first.body
    assert first.headers["request-id"] != second.headers["request-id"]
    assert first.compared() == json_with(second.compared(), b"two", b"one")


def json_with(compared: tuple[int, dict[str, str], Any], old: bytes, new: bytes) -> tuple[int, dict[str, str], Any]:
    status, headers, said = compared
    return status, headers, json.loads(json.dumps(said).encode().replace(old, new))


async def test_a_body_beyond_the_limit_is_refused_whole_too(up, taken):
    given = body(id="large", recipient="tg:1001", body={"text": "x" * 300_000})
    assert (await (await connected(up)).whole(raw_of(given), SEND, HEADERS)).status == 413
    assert (await (await connected(up)).piecemeal(raw_of(given), SEND, HEADERS)).status == 413


async def test_pipelined_requests_are_answered_in_their_order(up, taken):
    line = await connected(up)
    pieces = []
    for number in range(3):
        raw = raw_of(body(id=f"piped-{number}", recipient="tg:1001"))
        pieces += [head_of(raw, SEND, HEADERS), raw]
    line.writer.write(b"".join([*pieces, b"GET /livez HTTP/1.1\r\nHost: gateway\r\n\r\n"]))
    answers = [await line.answer() for _ in range(4)]
    assert [answer.status for answer in answers] == [200] * 4
    assert [json.loads(answer.body)["data"]["message_id"] for answer in answers[:3]] == [
        f"piped-{number}" for number in range(3)
    ]
    assert len(taken) == 1, "the others wait for the first one, as ASGI has it"
    assert (await line.whole(raw_of(body(id="after", recipient="tg:1001")), SEND, HEADERS)).status == 200
    assert len(taken) == 2


async def test_a_client_that_goes_away_before_its_answer_has_sent_the_message_all_the_same(up, taken):
    line = await connected(up)
    raw = raw_of(body(id="gone", recipient="tg:1001"))
    line.writer.write(head_of(raw, SEND, HEADERS) + raw)
    await line.writer.drain()
    line.writer.transport.abort()

    async def known() -> bool:
        async with up.session.get(f"{up.url}/v1/messages?id=gone") as response:
            return any(one["id"] == "gone" for one in (await response.json())["data"])

    await eventually(known)
    status, headers, _ = await up.send("telegram", body(id="gone", recipient="tg:1001"))
    assert status == 200
    assert headers["Idempotent-Replayed"] == "true"


async def test_a_connection_without_a_request_is_closed_after_its_time_and_not_before(up, taken):
    line = await connected(up)
    given = raw_of(body(id="idle", recipient="tg:1001"))
    await line.whole(given, SEND, HEADERS)
    port = line.writer.get_extra_info("sockname")[1]
    (protocol,) = [
        one for one in up.gateway.server._server.server_state.connections if one.client and one.client[1] == port
    ]
    assert protocol.timeout_keep_alive_task is not None
    protocol.timeout_keep_alive_handler()  # as if the first wait were over: the time is not
    assert not protocol.transport.is_closing()
    assert (await line.whole(given, SEND, HEADERS)).status == 200
    protocol.timeout_keep_alive = 0
    protocol.timeout_keep_alive_handler()
    assert await line.reader.read() == b""


async def test_no_answer_of_two_writes_waits_for_an_acknowledgement(up):
    """A connection that is kept: with Nagle's algorithm each answer of the usual way came 40 ms late."""
    async with up.session.get(f"{up.url}/livez") as response:
        await response.read()
    served = up.gateway.server._server.server_state.connections
    sockets = [one.transport.get_extra_info("socket") for one in served]
    assert sockets
    assert all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in sockets)
