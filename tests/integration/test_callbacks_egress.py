"""The guarded POST: what an endpoint can do to it, and what it cannot."""

import asyncio
import tracemalloc

import pytest

from kurir import egress as module
from kurir.egress import MAXIMUM_CALLBACK_ANSWER, Egress, EgressSettings, Miss, Posted
from kurir.networks import ip_network
from support.endpoint import Mode, RecordingEndpoint, recording

LOOPBACK = EgressSettings((ip_network("127.0.0.0/8"),))


async def posted(url: str, settings: EgressSettings = LOOPBACK) -> Posted:
    egress = Egress(settings)
    try:
        return await egress.post(url, b'{"a":1}', {"Content-Type": "application/json", "X-Key": "k"})
    finally:
        await egress.close()


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(module, "CALLBACK_SECONDS", 0.5)


async def said(mode: Mode) -> tuple[Posted, RecordingEndpoint]:
    async with recording(mode) as hook:
        return await posted(hook.url), hook


async def test_body_and_headers_arrive_as_they_are():
    answer, hook = await said(Mode.WELL)
    assert (answer.status, answer.body, answer.miss, answer.cut) == (200, b"answered 200", None, False)
    [one] = hook.received
    assert one.body == b'{"a":1}'
    assert one.headers["x-key"] == "k"
    assert one.headers["accept-encoding"] == "identity"


async def test_a_clients_own_header_stands_in_place_of_ours():
    async with recording(Mode.WELL) as hook:
        egress = Egress(LOOPBACK)
        for headers in ({"user-Agent": "theirs", "ACCEPT": "text/x", "X-Key": "ä"}, {}):  # over one connection
            assert (await egress.post(hook.url, b"{}", headers)).status == 200
        await egress.close()
    theirs, ours = (one.headers for one in hook.received)
    assert (theirs["user-agent"], theirs["accept"], theirs["accept-encoding"]) == ("theirs", "text/x", "identity")
    assert (ours["user-agent"], ours["accept"]) == ("kurir", "*/*")


async def test_a_header_that_would_be_two_is_never_sent():
    async with recording(Mode.WELL) as hook:
        egress = Egress(LOOPBACK)
        answer = await egress.post(hook.url, b"{}", {"X-Key": "a\r\nX-Other: b"})
        await egress.close()
    assert (answer.status, answer.miss, hook.received) == (0, Miss.CONNECT, [])


@pytest.mark.scorecard(20)
@pytest.mark.parametrize("mode", [Mode.HANG, Mode.DRIP_HEAD])
async def test_what_never_answers_is_left_in_time(mode, hurried):
    answer, hook = await said(mode)
    assert (answer.status, answer.miss) == (0, Miss.TIMEOUT)
    assert 400 <= answer.duration_ms < 3000
    assert len(hook.received) == 1


@pytest.mark.scorecard(20)
async def test_a_body_that_drips_is_cut_and_its_status_counts(hurried):
    answer, _ = await said(Mode.DRIP_BODY)
    assert (answer.status, answer.miss, answer.cut) == (200, None, True)
    assert answer.duration_ms < 3000


@pytest.mark.scorecard(20)
async def test_a_gibibyte_is_read_no_further_than_64_kib_and_takes_no_memory():
    tracemalloc.start()
    try:
        answer, hook = await said(Mode.FLOOD)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (answer.status, len(answer.body), answer.cut) == (200, MAXIMUM_CALLBACK_ANSWER, True)
    assert hook.flooded < 32 * 1024 * 1024
    assert peak < 8 * 1024 * 1024


@pytest.mark.scorecard(20)
async def test_an_endless_head_takes_no_memory(hurried):
    tracemalloc.start()
    try:
        answer, _ = await said(Mode.ENDLESS_HEAD)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status == 0
    assert peak < 8 * 1024 * 1024


@pytest.mark.scorecard(20)
async def test_a_redirect_is_not_followed():
    async with recording() as inner, recording(Mode.REDIRECT) as hook:
        hook.location = inner.url
        answer = await posted(hook.url)
        assert answer.status == 307
        assert inner.received == []


@pytest.mark.parametrize("mode", [Mode.CUT, Mode.GARBAGE])
async def test_what_is_no_answer_is_unclassified(mode):
    answer, _ = await said(mode)
    assert (answer.status, answer.miss) == (0, Miss.OTHER)


async def test_a_closed_port_could_not_be_connected_to():
    async with recording() as hook:
        url = hook.url
    answer = await posted(url)
    assert (answer.status, answer.miss) == (0, Miss.CONNECT)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/hook",
        "http://localhost:9/hook",
        "http://[::1]:9/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://user:word@example.com/",
        "ftp://example.com/",
        "http://example.com:0/",
        "no url",
        "http://2130706433/",
    ],
)
async def test_addresses_that_are_not_public_are_refused_before_a_connection(url):
    answer = await posted(url, EgressSettings())
    assert (answer.status, answer.miss) == (0, Miss.CONNECT)
    assert "word" not in answer.detail


@pytest.mark.scorecard(20)
async def test_metadata_is_refused_though_every_network_is_allowed():
    answer = await posted("http://169.254.169.254/", EgressSettings((ip_network("0.0.0.0/0"),)))
    assert answer.miss is Miss.CONNECT
    assert "never reached" in answer.detail


@pytest.mark.scorecard(20)
async def test_a_hundred_hanging_endpoints_keep_no_other_from_being_called(monkeypatch):
    monkeypatch.setattr(module, "CALLBACK_SECONDS", 3.0)  # the one that answers has to connect behind a hundred others
    async with recording(Mode.HANG) as dead, recording() as well:
        egress = Egress(LOOPBACK)
        try:
            waiting = [asyncio.create_task(egress.post(dead.url, b"{}", {})) for _ in range(100)]
            answer = await egress.post(well.url, b"{}", {})
            assert answer.status == 200
            await asyncio.gather(*waiting)
        finally:
            await egress.close()
