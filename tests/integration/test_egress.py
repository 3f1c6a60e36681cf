"""The only outgoing HTTP: how far a call came that got no answer, what is never shown, and what is never reached."""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from kurir import egress, networks
from kurir.channels.base import Answer, Call, MediaFacts, NoAnswer, Stage, Upload
from kurir.egress import Egress, EgressRefused, EgressSettings, MediaUnavailable, NoFile, duration_ms, mask
from kurir.resolving import THREADS
from support.delivering import eventually

LOOPBACK = networks.ip_network("127.0.0.0/8")
SECRET = 'se"cret/token+='

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def sending(resolver: AbstractResolver | None = None, **settings) -> AsyncIterator[Egress]:
    sender = Egress(EgressSettings(**settings), resolver)
    try:
        yield sender
    finally:
        await sender.close()


@asynccontextmanager
async def talking(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that says byte for byte what a test wants."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@asynccontextmanager
async def serving(routes: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]) -> AsyncIterator[str]:
    app = web.Application(client_max_size=200 * 1024 * 1024)
    for path, handler in routes.items():
        app.router.add_route("*", path, handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def call_to(url: str, **more) -> Call:
    headers = (("Authorization", f"Bearer {SECRET}"), ("Content-Type", "application/json"))
    return Call(1, "POST", url, headers, {"text": "hello"}, **more)


async def request_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
    )
    return head + await reader.readexactly(length)


# --- before the first byte ----------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.mark.scorecard(7)
@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "http://no-such-host.invalid/", "ftp://127.0.0.1/", "x"])
async def test_a_platform_that_was_not_reached_was_sent_nothing(url):
    async with sending() as sender:
        exchange = await sender.send(call_to(url.format(port=free_port())), [SECRET])
    assert isinstance(exchange.answer, NoAnswer)
    assert exchange.answer.stage is Stage.BEFORE_SEND
    assert exchange.answer.reason


@pytest.mark.scorecard(7)
async def test_a_failed_tls_handshake_sends_nothing():
    async def no_tls(reader, writer):
        await reader.read(100)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    async with talking(no_tls) as url, sending() as sender:
        exchange = await sender.send(call_to(url.replace("http:", "https:")))
    assert isinstance(exchange.answer, NoAnswer)
    assert exchange.answer.stage is Stage.BEFORE_SEND


@pytest.mark.scorecard(7)
async def test_a_connection_that_takes_too_long_sends_nothing(monkeypatch):
    monkeypatch.setattr(egress, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:  # nobody accepts: the queue is full, and the next one hangs in its handshake
            one.setblocking(False)
            one.connect_ex(address)
        async with sending() as sender:
            exchange = await sender.send(call_to(f"http://127.0.0.1:{address[1]}/"))
        for one in waiting:
            one.close()
    assert isinstance(exchange.answer, NoAnswer)
    assert exchange.answer.stage is Stage.BEFORE_SEND


async def test_a_call_whose_body_cannot_be_written_is_no_exception():
    async with sending() as sender:
        exchange = await sender.send(Call(1, "POST", "http://127.0.0.1:9/", (), {"text": "\ud800"}))
    assert isinstance(exchange.answer, NoAnswer)
    assert exchange.answer.stage is Stage.BEFORE_SEND


# --- after it -------------------------------------------------------------------------------------------------------------


async def cut_after_the_request(reader, writer):
    await request_of(reader)
    writer.transport.abort()


async def cut_in_the_request(reader, writer):
    await reader.read(10)
    writer.transport.abort()


async def close_without_a_word(reader, writer):
    await request_of(reader)


async def half_a_head(reader, writer):
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")


async def half_a_body(reader, writer):
    await request_of(reader)
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"ok"')


async def half_a_chunk(reader, writer):
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nabc")


async def reset_in_the_body(reader, writer):
    await request_of(reader)
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"ok"')
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.transport.abort()


async def garbage(reader, writer):
    await request_of(reader)
    writer.write(b"\x00\xff SMTP ready\r\n" * 20)


async def an_endless_head(reader, writer):
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: " + b"x" * 4000 + b"\r\n")
        await writer.drain()


async def a_broken_encoding(reader, writer):
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain")


async def no_end(reader, writer):
    await request_of(reader)
    await reader.read()


async def a_drip(reader, writer):
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.scorecard(7)
@pytest.mark.parametrize(
    "talk",
    [
        cut_after_the_request,
        cut_in_the_request,
        close_without_a_word,
        half_a_head,
        half_a_body,
        half_a_chunk,
        reset_in_the_body,
        garbage,
        an_endless_head,
        a_broken_encoding,
        no_end,
        a_drip,
    ],
)
async def test_what_ends_after_the_first_byte_is_unknown_and_never_an_exception(talk, monkeypatch):
    monkeypatch.setattr(egress, "CALL_SECONDS", 0.5)
    async with talking(talk) as url, sending() as sender:
        exchange = await sender.send(call_to(url), [SECRET])
    assert isinstance(exchange.answer, NoAnswer), exchange.answer
    assert exchange.answer.stage is Stage.AFTER_SEND
    assert exchange.answer.reason
    assert SECRET not in exchange.answer.reason


async def test_a_stale_connection_is_never_used_twice_for_one_call():
    calls = []

    async def once(reader, writer):
        calls.append(await request_of(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        calls.append(await request_of(reader))
        writer.transport.abort()

    async with talking(once) as url, sending() as sender:
        assert isinstance((await sender.send(call_to(url))).answer, Answer)
        second = (await sender.send(call_to(url))).answer
        assert isinstance(second, NoAnswer)
        assert second.stage is Stage.AFTER_SEND
    assert len(calls) == 2


@pytest.mark.parametrize("declared", [True, False])
async def test_of_a_hundred_megabytes_little_is_read_and_they_are_no_answer(declared):
    written = 0

    async def huge(reader, writer):
        nonlocal written
        await request_of(reader)
        length = b"Content-Length: 100000000\r\n" if declared else b""
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n")
        for _ in range(1000):
            writer.write(b"x" * 100_000)
            written += 100_000
            await writer.drain()

    async with talking(huge) as url, sending() as sender:
        answer = (await sender.send(call_to(url))).answer
    assert answer == NoAnswer(Stage.AFTER_SEND, "the answer has more than 1 MiB")
    assert written < 50_000_000


async def test_an_answer_of_a_mebibyte_is_whole():
    async def large(request):
        return web.Response(body=b"x" * 1024 * 1024)

    async with serving({"/send": large}) as url, sending() as sender:
        answer = (await sender.send(call_to(f"{url}/send"))).answer
    assert isinstance(answer, Answer)
    assert len(answer.body) == 1024 * 1024


async def test_an_answer_has_names_in_lower_case_and_values_that_can_be_stored():
    async def odd(reader, writer):
        await request_of(reader)
        writer.write(b"HTTP/1.1 404 Nope\r\nX-Odd: caf\xe9\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}")

    async with talking(odd) as url, sending() as sender:
        answer = (await sender.send(call_to(url))).answer
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (404, b"{}", "7")
    assert answer.headers["x-odd"].encode()


async def test_a_redirect_of_a_platform_is_its_answer():
    async def elsewhere(reader, writer):
        await request_of(reader)
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")

    async with talking(elsewhere) as url, sending() as sender:
        answer = (await sender.send(call_to(url))).answer
    assert isinstance(answer, Answer)
    assert answer.status == 302


# --- secrets --------------------------------------------------------------------------------------------------------------


async def test_secrets_are_masked_in_the_record_and_in_errors_however_they_are_written():
    call = Call(
        1,
        "POST",
        f"http://{SECRET}.invalid/bot{SECRET}/send?x=se%22cret%2Ftoken%2B%3D",
        (("Authorization", f"Bearer {SECRET}"),),
        {"text": f"my {SECRET}", "nested": [{"again": SECRET}]},
        upload=Upload("file", f"ftp://x/{SECRET}", "a"),
    )
    async with sending() as sender:
        exchange = await sender.send(call, [SECRET])
        other = await sender.send(Call(1, "POST", call.url, call.headers, call.json), [SECRET])
    for text in (exchange.request, exchange.answer.reason, other.request, other.answer.reason):
        for form in (SECRET, json.dumps(SECRET)[1:-1], "se%22cret%2Ftoken%2B%3D"):
            assert form not in text
    assert exchange.request.count(egress.MASK) == 7
    assert json.loads(exchange.request)["method"] == "POST"


def test_the_longer_of_two_secrets_is_masked_first_and_short_ones_are_left():
    assert mask("abcd abcdefgh abc", ["abcd", "abcdefgh", "abc"]) == "••• ••• abc"


# --- uploads --------------------------------------------------------------------------------------------------------------


async def test_an_upload_is_multipart_with_the_json_members_as_fields():
    got = {}

    async def take(request):
        assert request.content_type == "multipart/form-data"
        async for part in await request.multipart():
            got[part.name] = (await part.read(), part.filename, part.headers.get("Content-Type"))
        return web.json_response({"ok": True})

    async def picture(request):
        return web.Response(body=b"\x89PNG", content_type="image/png")

    async with (
        serving({"/send": take, "/cat.png": picture}) as url,
        sending(allow_networks=(LOOPBACK,)) as sender,
    ):
        headers = (("Authorization", f"Bearer {SECRET}"), ("content-type", "application/json"))
        upload = Upload("photo", f"{url}/cat.png", "katze räk ü.png")
        body = {"chat_id": 5, "caption": "é", "markup": {"a": ["ü"]}}
        exchange = await sender.send(Call(1, "POST", f"{url}/send", headers, body, upload=upload), [SECRET])
    assert isinstance(exchange.answer, Answer)
    assert got["photo"] == (b"\x89PNG", "katze räk ü.png", "image/png")
    assert (got["chat_id"][0], got["caption"][0]) == (b"5", "é".encode())
    assert json.loads(got["markup"][0]) == {"a": ["ü"]}


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ('a "cat".png', "a 'cat'.png"),
        ("a.png\r\nX-Evil: 1\r\n\r\nbody", "a.png__X-Evil: 1____body"),
        ('a"; name="chat_id', "a'; name='chat_id"),
        ("a\\", "a_"),
        ("räk\u2028\x00\x7f\ud800.pdf", "räk____.pdf"),
    ],
)
async def test_a_file_name_cannot_leave_its_header(name, sent):
    raw = []

    async def take(request):
        raw.append(await request.read())
        return web.Response()

    async def picture(request):
        return web.Response(body=b"x")

    async with serving({"/send": take, "/x": picture}) as url, sending(allow_networks=(LOOPBACK,)) as sender:
        await sender.send(call_to(f"{url}/send", upload=Upload("photo", f"{url}/x", name)))
    assert f'name="photo"; filename="{sent}"\r\n'.encode() in raw[0]


@pytest.mark.parametrize(
    ("path", "final"),
    [
        ("/404", True),
        ("/403", True),
        ("/503", False),
        ("/429", False),
        ("/408", False),
        ("/large", True),
        ("/page", True),
        ("/grows", True),
        ("/cut", False),
    ],
)
async def test_an_upload_whose_file_does_not_come_is_not_sent_and_says_whether_it_may_come_later(
    path, final, monkeypatch
):
    monkeypatch.setattr(egress, "MAXIMUM_UPLOAD", 100_000)
    sent = []

    async def file(request):
        what = request.match_info["what"]
        if what.isdigit():
            return web.Response(status=int(what))
        if what == "large":
            return web.Response(body=b"x" * 100_001)
        if what == "page":
            return web.Response(body=b"<!doctype html><title>Log in</title>", content_type="application/pdf")
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x" * (200_000 if what == "grows" else 10))
        if what == "cut":
            request.transport.abort()
        return response

    async def take(request):
        sent.append(request)
        return web.Response()

    async with (
        serving({"/send": take, "/{what}": file}) as url,
        sending(allow_networks=(LOOPBACK,)) as sender,
    ):
        exchange = await sender.send(call_to(f"{url}/send", upload=Upload("f", url + path, "a.txt")))
    assert isinstance(exchange.answer, NoFile)
    assert exchange.answer.final is final
    assert sent == []


async def test_an_upload_from_a_refused_address_will_never_come():
    async with sending() as sender:
        exchange = await sender.send(call_to("http://127.0.0.1:1/", upload=Upload("f", "http://127.0.0.1/x", "x")))
    assert isinstance(exchange.answer, NoFile)
    assert exchange.answer.final


async def test_files_in_memory_at_once_are_bounded(monkeypatch):
    monkeypatch.setattr(egress, "UPLOADS", 2)
    at_once, most = 0, 0

    async def file(request):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.02)
        at_once -= 1
        return web.Response(body=b"x")

    async def take(request):
        await request.read()
        return web.Response()

    async with (
        serving({"/send": take, "/file": file}) as url,
        sending(allow_networks=(LOOPBACK,)) as sender,
    ):
        call = call_to(f"{url}/send", upload=Upload("f", f"{url}/file", "x"))
        await asyncio.gather(*(sender.send(call) for _ in range(8)))
    assert most == 2


async def test_the_uploads_of_one_client_from_a_slow_host_do_not_hold_up_anothers():
    dripping = asyncio.Event()

    async def drip(request):
        dripping.set()
        await asyncio.sleep(60)

    async def file(request):
        return web.Response(body=b"x")

    async def take(request):
        return web.Response()

    async with (
        serving({"/send": take, "/drip": drip, "/file": file}) as url,
        sending(allow_networks=(LOOPBACK,)) as sender,
    ):
        slow = call_to(f"{url}/send", upload=Upload("f", f"{url}/drip", "x"))
        uploads = [asyncio.create_task(sender.send(slow, owner="slow")) for _ in range(24)]
        await dripping.wait()
        async with asyncio.timeout(5):
            quick = call_to(f"{url}/send", upload=Upload("f", f"{url}/file", "x"))
            exchange = await sender.send(quick, owner="quick")
        assert isinstance(exchange.answer, Answer)
        for upload in uploads:
            upload.cancel()
        await asyncio.gather(*uploads, return_exceptions=True)


# --- downloads --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guarded", [True, False])
async def test_a_file_that_takes_longer_than_its_head_may_is_passed_on_whole(monkeypatch, guarded):
    monkeypatch.setattr(egress, "MEDIA_SECONDS", 1.0)

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(13):
            await response.write(b"piece")
            await asyncio.sleep(0.1)  # the time it takes is what is tested
        return response

    async with serving({"/file": slow}) as url, sending(allow_networks=(LOOPBACK,)) as sender:
        call = Call(1, "GET", f"{url}/file", (), {}, file=True)
        async with sender.download(call, guarded=guarded) as download:
            assert b"".join([piece async for piece in download.chunks]) == b"piece" * 13


async def test_a_file_whose_host_falls_silent_is_given_up(monkeypatch):
    monkeypatch.setattr(egress, "MEDIA_SECONDS", 0.3)

    async def silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"piece")
        await asyncio.Event().wait()
        return response

    async def read(sender: Egress, call: Call) -> None:
        async with asyncio.timeout(10), sender.download(call, guarded=True) as download:
            assert await anext(download.chunks) == b"piece"
            await anext(download.chunks)

    async with serving({"/file": silent}) as url, sending(allow_networks=(LOOPBACK,)) as sender:
        with pytest.raises(MediaUnavailable) as missing:
            await read(sender, Call(1, "GET", f"{url}/file", (), {}, file=True))
        assert not missing.value.final
        with pytest.raises(MediaUnavailable, match="did not answer within"):
            await sender.fetch(f"{url}/file", 100)


# --- probing ----------------------------------------------------------------------------------------------------------------


def demo(name: str) -> bytes:
    return (files("kurir.sandbox") / "media_files" / name).read_bytes()


async def test_a_probe_tells_type_size_and_duration_of_the_sandboxs_sounds():
    async def file(request):
        name = request.match_info["name"]
        return web.Response(body=demo(name), content_type="audio/mp4" if name.endswith("m4a") else "audio/ogg")

    async with serving({"/{name}": file}) as url, sending(allow_networks=(LOOPBACK,)) as sender:
        for name, kind in (("demo.m4a", "audio/mp4"), ("demo.ogg", "audio/ogg")):
            found = await sender.probe(f"{url}/{name}")
            assert (found.content_type, found.size) == (kind, len(demo(name)))
            assert found.duration_ms is not None
            assert 500 < found.duration_ms < 60_000
            assert found.duration_ms == duration_ms(demo(name))


async def test_the_duration_of_a_file_that_was_read_in_part_is_told_only_where_its_head_knows_it(monkeypatch):
    monkeypatch.setattr(egress, "MAXIMUM_PROBE", 2_000)

    async def file(request):
        return web.Response(body=demo("demo.ogg"), content_type="audio/ogg")

    async with serving({"/a.ogg": file}) as url, sending(allow_networks=(LOOPBACK,)) as sender:
        found = await sender.probe(f"{url}/a.ogg")
    assert found == MediaFacts("audio/ogg", len(demo("demo.ogg")), None)


async def test_probes_of_previews_and_of_another_client_hold_up_no_message(monkeypatch):
    dripping = asyncio.Event()

    async def drip(request):
        dripping.set()
        await asyncio.sleep(60)

    async def file(request):
        return web.Response(body=b"x")

    async with serving({"/drip": drip, "/file": file}) as url, sending(allow_networks=(LOOPBACK,)) as sender:
        slow = [asyncio.create_task(sender.probe(f"{url}/drip")) for _ in range(60)]
        slow += [asyncio.create_task(sender.probe(f"{url}/drip", "slow")) for _ in range(60)]
        await dripping.wait()
        async with asyncio.timeout(5):
            assert (await sender.probe(f"{url}/file", "quick")).size == 1
        monkeypatch.setattr(egress, "PROBE_SECONDS", 0.05)
        assert await sender.probe(f"{url}/file") == MediaFacts()  # a preview waits for a slot only so long
        for probe in slow:
            probe.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"ID3\x04" + b"\xff" * 50, b"OggS" + b"\0" * 40, b"\0\0\0\x18ftyp"]
)
def test_bytes_that_are_no_sound_have_no_duration(content):
    assert duration_ms(content) is None


def test_a_sound_cut_anywhere_is_never_an_error():
    for name in ("demo.m4a", "demo.ogg", "demo.mp4", "demo.jpg"):
        content = demo(name)
        for size in range(0, len(content), max(1, len(content) // 60)):
            duration_ms(content[:size])


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x", "http://10.0.0.1/", "nonsense", "http://[::1", "http://a b/", ""]
)
async def test_a_probe_that_fails_knows_nothing(url):
    async with sending() as sender:
        assert await sender.probe(url) == MediaFacts()


# --- the guard --------------------------------------------------------------------------------------------------------------


class Names(AbstractResolver):
    """Resolves by a table; each name may answer otherwise each time."""

    def __init__(self, **names: list[str]) -> None:
        self.names = names
        self.asked: list[str] = []

    async def resolve(self, host, port=0, family=socket.AF_UNSPEC) -> list[ResolveResult]:
        del family
        self.asked.append(host)
        answer = self.names[host.partition(".")[0]]
        addresses = answer.pop(0).split() if len(answer) > 1 else answer[0].split()
        return [
            ResolveResult(hostname=host, host=one, port=port, family=socket.AF_INET, proto=0, flags=0)
            for one in addresses
        ]

    async def close(self) -> None:
        pass


@pytest.fixture
def connects(monkeypatch) -> list[str]:
    """Every address that is connected to, seen at the socket."""
    seen: list[str] = []
    connect = socket.socket.connect

    def noting(self, address):
        seen.append(address[0])
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", noting)
    return seen


LITERALS = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "2130706433",
    "127.1",
    "0177.0.0.1",
    "127.0.0.1.",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fd00::1]",
    "[fd00:ec2::254]",
    "１２７.0.0.1",
    "127。0。0。1",
]


@pytest.mark.scorecard(31)
@pytest.mark.parametrize("host", LITERALS)
async def test_no_connection_is_made_to_a_private_address_written_as_a_literal(host, connects):
    async with sending(Names(**{"127": ["127.0.0.1"]})) as sender:
        with pytest.raises((EgressRefused, MediaUnavailable)):
            await sender.fetch(f"http://{host}:8080/x", 100)
    assert connects == []


@pytest.mark.scorecard(31)
@pytest.mark.parametrize(
    "address", [one.strip("[]") for one in LITERALS if one[0] in "1[" and one.count(".") in (0, 3)][:8]
)
async def test_no_connection_is_made_to_a_name_that_resolves_to_a_private_address(address, connects):
    async with sending(Names(evil=[address])) as sender:
        with pytest.raises(EgressRefused, match=r"evil\.example"):
            await sender.fetch("http://evil.example/x", 100)
    assert connects == []


@pytest.mark.scorecard(31)
async def test_of_a_names_addresses_only_those_that_may_be_reached_are_connected_to(connects):
    async def file(request):
        return web.Response(body=b"x")

    async with serving({"/x": file}) as url:
        port = url.rpartition(":")[2]
        async with sending(Names(mixed=["10.0.0.1 127.0.0.1 169.254.169.254"]), allow_networks=(LOOPBACK,)) as sender:
            assert (await sender.fetch(f"http://mixed.example:{port}/x", 100))[0] == b"x"
    assert set(connects) == {"127.0.0.1"}


@pytest.mark.scorecard(31)
async def test_a_name_that_answers_otherwise_the_second_time_is_checked_the_second_time(connects):
    names = Names(rebinding=["127.0.0.1", "169.254.169.254"])

    async def elsewhere(request):
        return web.Response(status=302, headers={"Location": f"http://rebinding.other:{request.url.port}/x"})

    async with serving({"/x": elsewhere}) as url, sending(names, allow_networks=(LOOPBACK,)) as sender:
        with pytest.raises(EgressRefused, match="link-local"):
            await sender.fetch(f"http://rebinding.example:{url.rpartition(':')[2]}/x", 100)
    assert connects == ["127.0.0.1"]
    assert names.asked == ["rebinding.example", "rebinding.other"]


@pytest.mark.scorecard(31)
@pytest.mark.parametrize(
    "location",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/",
        "//192.168.0.1/x",
        "http://[::ffff:10.0.0.1]/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://user:password@127.0.0.1/",
        "http://evil.example/",
        "http://[::1",
    ],
)
async def test_a_redirect_to_where_nothing_may_go_is_refused(location, connects):
    async def elsewhere(request):
        return web.Response(status=302, headers={"Location": location})

    async with (
        serving({"/x": elsewhere}) as url,
        sending(Names(evil=["10.9.8.7"]), allow_networks=(LOOPBACK,)) as sender,
    ):
        with pytest.raises(EgressRefused) as refused:
            await sender.fetch(f"{url}/x", 100)
        assert "password" not in str(refused.value)
    assert set(connects) == {"127.0.0.1"}


@pytest.mark.parametrize(("hops", "reached"), [(0, True), (3, True), (4, False), (1000, False)])
async def test_three_redirects_are_followed_and_no_more(hops, reached):
    asked = 0

    async def hop(request):
        nonlocal asked
        asked += 1
        left = int(request.query["left"])
        if left == 0:
            return web.Response(body=b"there")
        return web.Response(status=307, headers={"Location": f"?left={left - 1}"})

    async with serving({"/x": hop}) as url, sending(allow_networks=(LOOPBACK,)) as sender:
        if reached:
            assert (await sender.fetch(f"{url}/x?left={hops}", 100))[0] == b"there"
        else:
            with pytest.raises(EgressRefused, match="redirects more than 3 times"):
                await sender.fetch(f"{url}/x?left={hops}", 100)
    assert asked == min(hops, 3) + 1


@pytest.mark.parametrize("url", ["http://me:pass@example.com/", "http://me@example.com/", "http://:pass@example.com/"])
async def test_a_url_with_a_user_name_is_refused_and_not_shown(url):
    async with sending() as sender:
        with pytest.raises(EgressRefused) as refused:
            await sender.fetch(url, 100)
    assert "pass" not in str(refused.value)
    assert "me@" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.com/", "data:,x", "//example.com/x", "x", "", "http://"]
)
async def test_what_is_neither_http_nor_https_is_refused(url):
    async with sending() as sender:
        with pytest.raises(EgressRefused):
            await sender.fetch(url, 100)


async def test_the_query_of_a_url_is_not_shown():
    async with sending() as sender:
        with pytest.raises(MediaUnavailable) as missing:
            await sender.fetch("http://no-such-host.invalid/x?signature=secret", 100)
    assert "signature" not in str(missing.value)


async def test_the_reserved_host_stands_for_the_sandbox_where_it_is_configured_and_nowhere_else():
    async def file(request):
        return web.Response(body=request.path.encode())

    async with serving({"/media/{name:.*}": file, "/secret": file}) as url:
        reserved = {"media.sandbox.invalid": f"{url}/media"}
        async with sending(reserved=reserved) as sender:
            found, _ = await sender.fetch("https://media.sandbox.invalid/demo.jpg?x=1", 100)
            assert found == b"/media/demo.jpg"
            for path, place in (("/../secret", "secret"), ("/%2e%2e/secret", "secret"), ("/a/b/../secret", "a/secret")):
                found, _ = await sender.fetch(f"https://media.sandbox.invalid{path}", 100)
                assert found == f"/media/{place}".encode(), "whatever the path, it stays below the sandbox's files"
            with pytest.raises(EgressRefused):
                await sender.fetch("https://media.sandbox.invalid/..%2fsecret", 100)
            with pytest.raises(EgressRefused):
                await sender.fetch(f"{url}/media/demo.jpg", 100)
        async with sending() as sender:
            with pytest.raises(MediaUnavailable):
                await sender.fetch("https://media.sandbox.invalid/demo.jpg", 100)


@pytest.mark.scorecard(31)
async def test_allowed_networks_open_private_addresses_and_never_metadata(connects):
    everything = (networks.ip_network("0.0.0.0/0"), networks.ip_network("::/0"))
    async with sending(Names(meta=["169.254.169.254"]), allow_networks=everything) as sender:
        for host in ("169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "[fe80::1]", "meta.example"):
            with pytest.raises(EgressRefused, match="never reached"):
                await sender.fetch(f"http://{host}/", 100)
    assert connects == []


@pytest.mark.scorecard(20)
async def test_slow_name_servers_of_clients_hold_up_no_platform_and_media_no_callback(monkeypatch):
    real, answered, asked = socket.getaddrinfo, threading.Event(), []

    def slow(host, *args, **more):
        if str(host).endswith(".slow.example"):
            asked.append(host)
            answered.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answers")
        return real(host, *args, **more)

    async def well(_):
        return web.json_response({"ok": True})

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    async with serving({"/{method:.*}": well}) as url, sending(allow_networks=[LOOPBACK]) as sender:
        there = url.replace("127.0.0.1", "localhost")
        hang = [asyncio.create_task(sender.probe(f"http://m{n}.slow.example/a", f"c{n // 4}")) for n in range(16)]
        hang += [asyncio.create_task(sender.fetch(f"http://f{n}.slow.example/a", 100)) for n in range(40)]
        try:
            async with asyncio.timeout(20):
                await eventually(lambda: len(asked) == THREADS)
                assert (await sender.post(f"{there}/hook", b"{}", {})).status == 200
                hang += [asyncio.create_task(sender.post(f"http://h{n}.slow.example/", b"{}", {})) for n in range(40)]
                await eventually(lambda: len(asked) == 2 * THREADS)
                exchange = await sender.send(Call(1, "POST", f"{there}/x", (), {}))
                assert exchange.answer.status == 200
            assert len(asked) == 2 * THREADS
        finally:
            answered.set()
            await asyncio.gather(*hang, return_exceptions=True)


async def test_the_address_is_checked_at_the_socket_too(connects):
    async with sending() as sender:
        address = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("10.0.0.1", 80))
        with pytest.raises(OSError, match="not a public address"):
            sender._guarded_socket(address)
        allowed = sender._guarded_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("93.184.215.14", 80)))
        allowed.close()
