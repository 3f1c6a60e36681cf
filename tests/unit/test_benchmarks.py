"""The benchmarks: the page says what was found, bars are judged by their medians, the generator counts what it should."""

import asyncio
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kurir.bench import generator, speed
from kurir.bench.generator import Endpoint, Platform, drive, paced, request, sends
from kurir.bench.speed import Round
from kurir.cli.app import app

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def page(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.delitem(sys.modules, "benchmarks_page", raising=False)
    import benchmarks_page  # noqa: PLC0415 - its folder is on the path for this test

    return benchmarks_page


def test_the_page_says_what_was_found(page) -> None:
    known = page.load()
    assert page.PAGE.read_text("utf-8") == page.page(known), "run: python bench/benchmarks_page.py"
    for name in page.PLOTS:
        path = page.IMAGES / f"bench-{name.replace('_', '-')}.svg"
        assert path.exists() == (name in known)


def turns(cpu: float = 1e6, **rates: list[float]) -> dict:
    """Return a section in which the core is used whole, but by kurir, of which each takes *cpu* / rate."""
    found = {
        name: [{"rate": rate, "cpu": (cpu if name == "kurir" else 1e6) / rate} for rate in each]
        for name, each in rates.items()
    }
    return {"found": {name.replace("_", " "): rounds for name, rounds in found.items()}}


def test_a_bar_is_judged_by_the_median_of_its_rounds(page) -> None:
    known = {"accept": turns(kurir=[20.0, 30.0, 10.0], bare_echo=[100.0, 100.0, 20.0])}
    spread = "0.30 (0.20–0.50)"
    assert f"| accept, beside the bare echo | ≥ 0.25 | {spread} | {spread} | yes |" in page.bars(known)
    known = {"accept": turns(kurir=[20.0, 20.0, 60.0], bare_echo=[100.0, 100.0, 100.0])}
    spread = "0.20 (0.20–0.60)"
    assert f"| accept, beside the bare echo | ≥ 0.25 | {spread} | {spread} | **no** |" in page.bars(known)


def test_a_ratio_that_a_busy_machine_made_is_not_reached(page) -> None:
    known = {"accept": turns(cpu=3e6, kurir=[30.0], bare_echo=[100.0])}
    row = "| accept, beside the bare echo | ≥ 0.25 | 0.30 (0.30–0.30) | 0.10 (0.10–0.10) | **no** |"
    assert row in page.bars(known)


def test_what_was_not_measured_says_so(page) -> None:
    rows = list(page.bars({}))
    assert len(rows) == len(page.BARS) + 3
    assert all("not measured" in row for row in rows[2:])
    grown = {"1000": [{"cpu": 100.0}], "100000": [{"cpu": 110.0}]}
    rows = list(page.bars({"growth": {"found": {"elsewhere": grown}}}))
    assert rows[-1].endswith("| 1.10 (1.10–1.10) | not measured so far |"), "10⁵ is not 10⁶"


def test_ratios_are_taken_within_a_round() -> None:
    found = {"kurir": [Round(50, 2e4), Round(10, 1e5)], "bare": [Round(100, 1e4), Round(20, 5e4)]}
    assert speed.ratios(found, "kurir", "bare") == [0.5, 0.5]
    assert speed.by_processor(found, "kurir", "bare") == [0.5, 0.5]
    assert "doubtful" not in speed.table(found, "bare")


def test_who_did_not_get_its_core_is_told() -> None:
    found = {"kurir": [Round(50, 2e4)], "bare": [Round(100, 5e3)]}
    assert "doubtful: bare used 50% of its core" in speed.table(found, "bare")
    assert "doubtful: kurir" not in speed.table(found, "bare")


def test_a_generator_that_may_have_been_the_bottleneck_is_told() -> None:
    found = {"kurir": [Round(50, 20, busy=0.5)], "bare": [Round(100, 10, busy=0.95)]}
    assert "doubtful: the generator used 95% of its core beside bare" in speed.table(found, "bare")


async def test_the_generator_sends_each_request_once_and_counts_the_answers() -> None:
    async with Platform() as platform:
        platform.stamped = {}
        load = await drive(platform.port, sends(platform.port, "bench", 100, run="run"), 8)
    assert (load.answers, load.refused, platform.count) == (100, {}, 100)
    assert sorted(platform.stamped) == list(range(100)), "every text has a number of its own"
    assert len(load.latencies) == 100


async def test_a_refusal_is_no_answer_and_fails_the_round() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        load = await drive(port, [request(port, "/", b"{}")], 2)
    assert (load.answers, load.refused) == (0, {"503": 1})
    with pytest.raises(RuntimeError, match="503"):
        speed.measured(load, 1.0, 1.0)


async def test_a_paced_load_keeps_its_pace_and_says_when_each_was_answered() -> None:
    async with Endpoint() as endpoint:
        requests = [request(endpoint.port, "/", b"{}") for _ in range(20)]
        load, heard = await paced(endpoint.port, requests, 200.0, 1)
    assert sorted(heard) == list(range(20))
    assert load.answers == 20
    assert load.seconds >= 19 / 200


async def test_the_platform_takes_requests_in_any_pieces() -> None:
    async with Platform() as platform:
        reader, writer = await asyncio.open_connection("127.0.0.1", platform.port)
        whole = request(platform.port, "/bot1:x/sendMessage", b'{"chat_id": 7, "text": "#0000001"}') * 3
        for piece in (whole[:9], whole[9:-40], whole[-40:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        said = b""
        while said.count(b"HTTP/1.1 200 OK") < 3 or not said.endswith(b'"date":1}}'):
            said += await reader.read(4096)
        writer.close()
    assert said.count(b'"chat":{"id":7}') == 3
    assert platform.count == 3


@pytest.mark.parametrize("options", [["--kill", "1"], ["--term", "1"], ["--fault", "slow"]])
def test_the_speed_is_not_measured_while_things_are_broken(options: list[str]) -> None:
    result = CliRunner().invoke(app, ["bench", "--speed", *options])
    assert result.exit_code == 2


def test_a_busy_core_is_one_that_is_nearly_full() -> None:
    assert 0.5 < generator.BUSY < 1
