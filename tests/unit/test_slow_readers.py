"""Whoever does not take an answer is cut off: the server's protocol over a transport and a loop that a test moves."""

from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from kurir.http import operations, server


class Timer:
    def __init__(self, work: Callable[..., None], given: tuple[Any, ...]) -> None:
        self.work, self.given, self.cancelled = work, given, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """A loop whose timers run out when the test says."""

    def __init__(self) -> None:
        self.timers: dict[float, Timer] = {}

    def time(self) -> float:
        return 0.0

    def call_later(self, seconds: float, work: Callable[..., None], *given: Any) -> Timer:
        self.timers[seconds] = Timer(work, given)
        return self.timers[seconds]

    def run_out(self, seconds: float) -> None:
        timer = self.timers.pop(seconds)
        assert not timer.cancelled
        timer.work(*timer.given)


class Transport:
    """A connection whose reader has yet to take ``size`` bytes."""

    def __init__(self) -> None:
        self.size, self.ended = 0, ""

    def get_write_buffer_size(self) -> int:
        return self.size

    def get_extra_info(self, _name: str) -> None:
        return None

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def write(self, data: bytes) -> None:
        self.size += len(data)


@pytest.fixture
def at():
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError("nobody asks")

    config = uvicorn.Config(app, http=server.Protocol, interface="asgi3", ws="none", lifespan="off", log_config=None)
    config.load()
    loop, transport = Loop(), Transport()
    protocol = server.Protocol(config, ServerState(), {}, loop)
    protocol.connection_made(transport)
    return protocol, loop, transport


def test_who_takes_nothing_or_a_few_bytes_now_and_then_is_cut_off(at):
    protocol, loop, transport = at
    transport.size = 1_000_000
    protocol.pause_writing()
    for _ in range(3):
        transport.size -= server.LEAST_TAKEN
        loop.run_out(server.STALL_SECONDS)
        assert transport.ended == ""
    transport.size -= server.LEAST_TAKEN - 1
    loop.run_out(server.STALL_SECONDS)
    assert transport.ended == "aborted"


def test_who_takes_the_answer_is_not_looked_at_any_more(at):
    protocol, loop, transport = at
    transport.size = 1_000_000
    protocol.pause_writing()
    transport.size = 0
    protocol.resume_writing()
    assert loop.timers[server.STALL_SECONDS].cancelled
    protocol.pause_writing()
    loop.run_out(server.STALL_SECONDS)
    assert transport.ended == ""
    assert server.STALL_SECONDS not in loop.timers


def test_a_connection_that_is_closed_waits_for_the_rest_no_longer_either(at):
    _, loop, transport = at
    transport.size = 100
    loop.run_out(server.REQUEST_SECONDS)
    assert transport.ended == "closed"
    loop.run_out(server.STALL_SECONDS)
    assert transport.ended == "aborted"


def test_an_answer_to_what_is_no_http_is_not_waited_for_for_ever(at):
    protocol, loop, transport = at
    protocol.data_received(b"\x00\x01 nonsense\r\n\r\n")
    assert transport.ended == "closed"
    loop.run_out(server.STALL_SECONDS)
    assert transport.ended == "aborted"


def test_nothing_is_looked_at_after_the_connection_has_gone(at):
    protocol, loop, transport = at
    transport.size = 1_000_000
    protocol.pause_writing()
    protocol.connection_lost(None)
    assert loop.timers[server.STALL_SECONDS].cancelled


async def test_a_large_file_is_given_piece_by_piece():
    whole = operations._vendored("swagger-ui-bundle.js")
    pieces = [piece async for piece in operations._pieces(whole)]
    assert b"".join(pieces) == whole
    assert len(pieces) > 10
    assert max(map(len, pieces)) <= 64 * 1024
