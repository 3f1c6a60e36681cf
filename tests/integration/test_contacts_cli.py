"""``kurir contact``: one person, and a file of many, against a gateway that runs."""

import asyncio
import csv
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from structlog.testing import capture_logs
from typer.testing import CliRunner

from kurir import demo
from kurir.cli import contact
from kurir.cli.app import app
from kurir.sandbox.config import DEMO_PEOPLE
from support.servers import PASSWORD, Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEADER = "phone,channel,address,name,account\n"
USERS = ["U" + f"{number:032x}" for number in range(40)]


@dataclass(frozen=True)
class Ended:
    """How a verb ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)["data"]


async def kurir(url: str, *words: str, given: str = "", password: str = PASSWORD) -> Ended:
    """Run ``kurir contact`` with *words* as the demo client of the gateway at *url*, in a terminal of 100 columns."""
    variables = {"KURIR_URL": url, "KURIR_USERNAME": demo.CLIENT, "KURIR_PASSWORD": password}
    environment = {"COLUMNS": "100", "NO_COLOR": "1", **variables}
    async with asyncio.timeout(60):
        found = await asyncio.to_thread(CliRunner().invoke, app, ["contact", *words], env=environment, input=given)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return Ended(found.exit_code, found.stdout, found.stderr)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory):
    with capture_logs():
        async with running(tmp_path_factory.mktemp("gateway")) as started:
            yield started


async def linked(gateway: Running, phone: str) -> list[tuple[str, str, str]]:
    """Return (channel, address, name) of the contacts with *phone*."""
    async with gateway.session.get(f"{gateway.url}/v1/contacts", params={"phone": phone}) as response:
        answer = await response.json()
    return [(one["channel"], one["address"], one["name"]) for one in answer["data"]]


# --- one person -------------------------------------------------------------------------------------------------------


async def test_a_person_is_linked_shown_unlinked_and_erased(gateway):
    ended = await kurir(gateway.url, "link", "telegram", "800", "+62 811-0000-800", "--name", "Ani S.")
    assert ended.code == 0, ended
    assert ended.out.splitlines()[:2] == ["800  telegram of demo-tg", "Ani S."]
    shown = await kurir(gateway.url, "show", "telegram", "tg:800", "--account", "demo-tg")
    assert shown.out == ended.out
    assert "phone 628110000800, since 20" in shown.out
    assert "never heard from" in shown.out
    assert (await kurir(gateway.url, "show", "telegram", "800", "--json")).data["phone"] == "628110000800"
    ended = await kurir(gateway.url, "unlink", "telegram", "800")
    assert (ended.code, "no phone is linked" in ended.out) == (0, True)
    refused = await kurir(gateway.url, "erase", "telegram", "800", given="n\n")
    assert refused.code == 1
    assert (await kurir(gateway.url, "show", "telegram", "800")).code == 0
    ended = await kurir(gateway.url, "erase", "telegram", "800", given="y\n")
    assert ended.code == 0
    assert ended.out.endswith("erased of 800 in demo-tg: the contact, 0 messages, 0 events\n")
    again = await kurir(gateway.url, "erase", "telegram", "800", "--yes")
    assert (again.code, again.out) == (0, "erased of 800 in demo-tg: no contact, 0 messages, 0 events\n")
    missing = await kurir(gateway.url, "show", "telegram", "800")
    assert (missing.code, missing.out) == (1, "")
    assert missing.err == "the account demo-tg knows nobody with this address (not_found, HTTP 404)\n"


async def test_a_link_stands_alone_on_standard_output(gateway):
    ended = await kurir(
        gateway.url, "make-link", "telegram", "--phone", "628110000009", "--payload", "order 7", "--expires-in", "2h"
    )
    assert ended.code == 0, ended
    assert ended.out.startswith("https://t.me/")
    assert ended.out.count("\n") == 1
    assert "good once, until 20" in ended.err
    assert "linked to 628110000009" in ended.err
    told = (await kurir(gateway.url, "make-link", "messenger", "--payload", "shop", "--json")).data
    assert (told["account"], told["payload"], told["phone"]) == ("demo-fb", "shop", "")
    assert "needs a phone" in (await kurir(gateway.url, "make-link", "telegram")).err
    assert (await kurir(gateway.url, "make-link", "whatsapp", "--payload", "x")).code == 1
    assert (await kurir(gateway.url, "make-link", "telegram", "--payload", "x", "--expires-in", "soon")).code == 2


async def test_what_is_wrong_is_said_in_the_gateways_words(gateway):
    ended = await kurir(gateway.url, "link", "line", "me", "12")
    assert (ended.code, ended.out) == (1, "")
    assert "the address in the path" in ended.err
    assert "phone must be 7 to 15 digits" in ended.err
    assert (await kurir(gateway.url, "show", "pigeon", "1")).err.endswith("(unknown_channel, HTTP 404)\n")


async def test_people_are_listed_in_pages_up_to_the_limit(gateway, monkeypatch):
    monkeypatch.setattr(contact, "PAGE", 3)
    for number in range(5):
        await kurir(gateway.url, "link", "telegram", f"81{number}", f"62811000081{number}")
    found = (await kurir(gateway.url, "list", "--channel", "telegram", "--json")).data
    assert {f"81{number}" for number in range(5)} < {one["address"] for one in found}
    short = await kurir(gateway.url, "list", "--channel", "telegram", "--limit", "4")
    assert len(short.out.splitlines()) == 6
    assert short.out.endswith("There are more; --limit shows up to 10,000.\n")
    assert (await kurir(gateway.url, "list", "--phone", "628119999999")).out == "There is no such contact.\n"
    one = await kurir(gateway.url, "list", "--phone", DEMO_PEOPLE[1].phone, "--channel", "line")
    assert DEMO_PEOPLE[1].line_user_id in one.out.replace("\n", "")


# --- a file -----------------------------------------------------------------------------------------------------------


def file_of(folder: Path, *lines: str, name: str = "people.csv") -> str:
    path = folder / name
    path.write_text(HEADER + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


async def test_a_file_is_imported_and_again_without_any_change(gateway, tmp_path):
    lines = [f"+62 811-1000-{number:03},line,{user},Person {number}," for number, user in enumerate(USERS)]
    path = file_of(tmp_path, *lines)
    for _ in range(2):
        ended = await kurir(gateway.url, "import", path)
        assert (ended.code, ended.out, ended.err) == (0, "40 linked, 0 bad lines\n", "")
    for number in (0, 39):
        assert await linked(gateway, f"628111000{number:03}") == [("line", USERS[number], f"Person {number}")]


async def test_bad_lines_are_told_reported_and_mended_while_the_good_ones_are_linked(gateway, tmp_path):
    path = file_of(
        tmp_path,
        "628112000001,telegram,820,Ani,",
        "12,telegram,821,,",
        "628112000003,line,me,,",
        "628112000004,pigeon,1,,",
        "628112000005,telegram,824,,nobody",
        ",telegram,825,,",
        "628112000001,telegram,826,,",
        "628112000001,telegram,820,Ani,",
        "9,line,you,,nobody",
    )
    report = tmp_path / "bad.csv"
    ended = await kurir(gateway.url, "import", path, "--report", str(report))
    assert ended.code == 1
    assert await linked(gateway, "628112000001") == [("telegram", "820", "Ani")]
    with report.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["line"], row["field"]) for row in rows] == [
        ("3", "phone"),
        ("4", "address"),
        ("5", "channel"),
        ("6", "account"),
        ("7", "phone"),
        ("8", "phone"),
        ("10", "account, address, phone"),
    ]
    assert all(row["reason"] and row["fix"] for row in rows)
    assert rows[5]["reason"] == "line 2 gives the same phone another address"
    for row in rows:
        assert f"line {row['line']}, {row['field']}: " in ended.out
    assert "1 linked, 7 bad lines, 1 repeat" in ended.out
    mended = report.read_text("utf-8").replace("3,12,telegram", "3,628112000002,telegram")
    report.write_text("".join(mended.splitlines(keepends=True)[:2]), encoding="utf-8")
    again = await kurir(gateway.url, "import", str(report))
    assert (again.code, again.out) == (0, "1 linked, 0 bad lines\n")
    assert await linked(gateway, "628112000002") == [("telegram", "821", "")]


async def test_many_bad_lines_are_cut_short_and_json_has_them_all(gateway, tmp_path):
    path = file_of(tmp_path, *(f"12,telegram,83{number}" for number in range(25)))
    ended = await kurir(gateway.url, "import", path)
    assert ended.code == 1
    assert ended.out.count("fix: ") == 20
    assert "and 5 more bad lines; --report bad.csv writes them all" in ended.out
    found = (await kurir(gateway.url, "import", path, "--json")).data
    assert (found["linked"], len(found["bad"]), found["stopped"]) == (0, 25, None)


async def test_standard_input_and_a_byte_order_mark_are_read(gateway):
    text = "\ufeff" + HEADER.replace(",", ";") + "628113000001;telegram;840;Eka;\n"
    ended = await kurir(gateway.url, "import", "-", given=text)
    assert (ended.code, ended.out) == (0, "1 linked, 0 bad lines\n")
    assert await linked(gateway, "628113000001") == [("telegram", "840", "Eka")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "it cannot be read: No such file or directory"),
        (b"", "it is empty: its first line must name the columns"),
        (b"phone,channel\n", "its first line must name the columns"),
        (HEADER.encode() + b"6281,line,U,J\xe9,\n", "it is not UTF-8 (line 2): save it as «CSV UTF-8»"),
    ],
)
async def test_a_file_that_cannot_be_imported_sends_nothing(gateway, tmp_path, content, told):
    path = tmp_path / "people.csv"
    if content is not None:
        path.write_bytes(content)
    ended = await kurir(gateway.url, "import", str(path))
    assert (ended.code, ended.out) == (1, "")
    assert told in ended.err


async def test_a_report_that_cannot_be_written_is_told_before_anything_is_sent(gateway, tmp_path):
    path = file_of(tmp_path, "628114000001,telegram,850,,")
    ended = await kurir(gateway.url, "import", path, "--report", str(tmp_path / "none" / "bad.csv"))
    assert (ended.code, ended.out) == (1, "")
    assert await linked(gateway, "628114000001") == []


async def test_a_wrong_password_stops_the_import_and_blames_no_line(gateway, tmp_path):
    path = file_of(tmp_path, *(f"62811500000{number},telegram,86{number},," for number in range(3)))
    ended = await kurir(gateway.url, "import", path, password="wrong password")
    assert ended.code == 1
    assert ended.out == "0 linked, 0 bad lines\n"
    assert "stopped at line " in ended.err
    assert "(unauthorized, HTTP 401)" in ended.err
    assert "run it again: what was linked stays linked" in ended.err


# --- a gateway in trouble ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def answering(answer: Callable[[web.Request], web.StreamResponse]) -> AsyncIterator[str]:
    """Serve *answer* to every request, and give the URL."""

    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        return answer(request)

    server = web.AppRunner(web.Application())
    server.app.router.add_route("*", "/{path:.*}", handler)
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    try:
        yield site.name if not site.name.endswith(":0") else f"http://127.0.0.1:{server.addresses[0][1]}"
    finally:
        await server.cleanup()


async def test_a_line_that_is_not_taken_at_present_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(contact, "WAITS", (0.01, 0.01))
    seen: list[str] = []

    def busy_once(request: web.Request) -> web.Response:
        seen.append(request.path)
        if seen.count(request.path) == 1:
            return web.json_response({"code": "overloaded", "detail": "busy"}, status=503)
        return web.json_response({"data": {}})

    path = file_of(tmp_path, *(f"62811600000{number},telegram,87{number},," for number in range(9)))
    async with answering(busy_once) as url:
        ended = await kurir(url, "import", path)
    assert (ended.code, ended.out) == (0, "9 linked, 0 bad lines\n")
    assert len(seen) == 18


async def test_a_gateway_that_stays_busy_or_goes_stops_the_import(tmp_path, monkeypatch):
    monkeypatch.setattr(contact, "WAITS", (0.01, 0.01))
    path = file_of(tmp_path, *(f"62811700000{number},telegram,88{number},," for number in range(30)))

    def busy(_: web.Request) -> web.Response:
        return web.json_response({"code": "not_durable", "detail": "the store does not answer"}, status=503)

    async with answering(busy) as url:
        ended = await kurir(url, "import", path)
    assert (ended.code, ended.out) == (1, "0 linked, 0 bad lines\n")
    assert "the store does not answer; run it again" in ended.err
    gone = await kurir(url, "import", path)
    assert (gone.code, "was not reached: nothing listens there" in gone.err) == (1, True)


async def test_no_more_than_eight_lines_are_under_way_at_once(tmp_path):
    under_way, most = 0, 0
    full = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        nonlocal under_way, most
        await request.read()
        under_way += 1
        most = max(most, under_way)
        if under_way == contact.AT_ONCE:
            full.set()
        await full.wait()
        under_way -= 1
        return web.json_response({"data": {}})

    server = web.AppRunner(web.Application())
    server.app.router.add_put("/{path:.*}", slow)
    await server.setup()
    try:
        await web.TCPSite(server, "127.0.0.1", 0).start()
        path = file_of(tmp_path, *(f"628118000{number:03},telegram,9{number:03},," for number in range(40)))
        ended = await kurir(f"http://127.0.0.1:{server.addresses[0][1]}", "import", path)
    finally:
        await server.cleanup()
    assert ended.out == "40 linked, 0 bad lines\n"
    assert most == contact.AT_ONCE
