"""What no client should send: ten thousand damaged requests, and bytes that are no HTTP. None is answered 5xx or kept."""

import asyncio
import contextlib
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from kurir import demo
from kurir.http import edge, server
from support.bodies import TYPES, body, changed, without
from support.seed_sample import ANNOTATED
from support.servers import PASSWORD, Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

CASES = 10_000
AT_ONCE = 48
LOGIN = {"Auth-username": demo.CLIENT, "Auth-password": PASSWORD}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory):
    async with running(tmp_path_factory.mktemp("gateway")) as started:
        yield started


async def kept(gateway: Running) -> int:
    """Return how many messages the gateway has (at most 200)."""
    async with gateway.session.get(f"{gateway.url}/v1/messages", params={"limit": 200}) as response:
        assert response.status == 200
        return len((await response.json())["data"])


# --- ten thousand -----------------------------------------------------------------------------------------------------


class Damage:
    """A request that is wrong in one way, drawn from *rng*. ``raw`` is its body."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.method = "POST"
        self.channel = rng.choice([*demo.ACCOUNTS, "facebook"])
        self.path = f"/{self.channel}/{rng.choice(['send', 'send', 'send', 'preview'])}/demo"
        self.headers = {
            **LOGIN,
            "Content-Type": rng.choice(["application/json", "text/plain", "application/json; charset=utf-8"]),
        }
        self.kind = rng.choice(TYPES)
        self.good = body(self.kind)
        self.raw = json.dumps(self.good, ensure_ascii=rng.random() < 0.5).encode()
        self.name = rng.choice(list(WAYS))
        WAYS[self.name](self)

    def dump(self, value: Any) -> None:
        self.raw = json.dumps(value).encode()

    def mandatory(self) -> str:
        """Return the pointer of a field that the type needs and that may not be blank."""
        own = {
            "button": ["/body/button", "/body/button/0/key", "/body/button/0/title"],
            "location": ["/body/location", "/body/location/latitude"],
        }
        own["list"] = ["/body/list/sections", "/body/list/sections/0/actions", "/body/list/sections/0/actions/0/key"]
        own["text"] = ["/body/text"]
        rest = own.get(self.kind, ["/body/media", "/body/media/url"])
        return self.rng.choice(["/id", "/times", "/timestamp", "/recipient", "/type", "/body", *rest])


def truncated(it: Damage) -> None:
    it.raw = it.raw[: it.rng.randrange(len(it.raw))]


def not_utf8(it: Damage) -> None:
    at = it.rng.randrange(1, len(it.raw))
    it.raw = (
        it.raw[:at]
        + it.rng.choice([b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\x80"])
        + it.raw[at:]
    )


def another_encoding(it: Damage) -> None:
    it.raw = it.raw.decode().encode(it.rng.choice(["utf-16", "utf-16-le", "utf-32", "utf-16-be"]))


def random_bytes(it: Damage) -> None:
    it.raw = it.rng.randbytes(it.rng.randrange(200))


def random_characters(it: Damage) -> None:
    letters = '{}[]",:\\ntrue0123.eE+-/* \n\u2028é😀'
    it.raw = "".join(it.rng.choices(letters, k=it.rng.randrange(80))).encode()
    it.raw = b"\x01" + it.raw if it.raw.lstrip().startswith(b"{") else it.raw


def nested(it: Damage) -> None:
    depth = it.rng.choice([101, 200, 1000, 50_000])
    opening, closing = it.rng.choice([(b"[", b"]"), (b'{"a":', b"}"), (b'[{"x":[', b"]}]")])
    inside = opening * depth + b"1" + (closing * depth if it.rng.random() < 0.7 else b"")
    it.raw = it.raw[:-1] + b', "deep": ' + inside + b"}"


def too_large(it: Damage) -> None:
    it.raw += b" " * (256 * 1024)
    if it.rng.random() < 0.2:
        it.dump(changed(it.good, "/id", "x" * 300_000))


def no_object(it: Damage) -> None:
    it.dump(it.rng.choice([None, True, 0, -1.5, "text", [], [it.good], [[]], "", list(it.good.items())]))


def missing(it: Damage) -> None:
    it.dump(without(it.good, it.mandatory()))


def wrong_type(it: Damage) -> None:
    value = it.rng.choice([None, True, False, [], {}, [[]], [None], {"": None}, "\u00a0x", -1e300, {"a": [1]}])
    at = it.mandatory()
    is_text = at in ("/id", "/body/text", "/body/button/0/key", "/body/button/0/title") or at.endswith("/actions/0/key")
    it.dump(changed(it.good, at, 1.5 if is_text and isinstance(value, str) else value))


def blank(it: Damage) -> None:
    it.dump(
        changed(
            it.good,
            it.rng.choice(["/id", "/recipient", "/timestamp", "/type"]),
            it.rng.choice(["", " ", "\t\n", "\u3000"]),
        )
    )


def out_of_range(it: Damage) -> None:
    it.dump({**it.good, **it.rng.choice(BEYOND)})


BEYOND: list[dict[str, Any]] = [
    {"times": 2**63},
    {"times": -(2**70)},
    {"times": "1" * 30},
    {"id": "x" * 1025},
    {"expires_in": 0},
    {"expires_in": 10**12},
    {"send_at": "9999-12-31T23:59:59Z"},
    {"send_at": "2026-13-01T00:00:00Z"},
    {"timestamp": "2023-02-30"},
    {"recipient": "0" * 5000},
    {"recipient": "tg:" + "9" * 50},
    {"recipient": "+" * 1000},
    {"recipient": "@" + "a" * 1000},
    {"type": "x" * 10_000},
    {"account": "a" * 10_000},
    {"priority": "now"},
    {"reply_id": ["x"]},
    {"strict": "maybe"},
    {"fallback": [1]},
    {"body": "text"},
    {"type": "location", "body": {"location": {"latitude": 91, "longitude": 0}}},
    {"type": "location", "body": {"location": {"latitude": "nan", "longitude": "1e400"}}},
    {"type": "image", "body": {"media": {"url": "javascript:alert(1)"}}},
    {"type": "video", "body": {"media": {"url": "https://[::1"}, "text": 5}},
    {"type": "button", "body": {"text": "x", "button": [None]}},
    {"type": "button", "body": {"text": "x", "button": {"key": {}, "title": []}}},
    {"type": "button", "body": {"text": "", "button": [{"key": "a", "title": "A"}]}, "header": None},
    {"type": "list", "body": {"text": "x", "list": {"title": "T", "sections": [{"actions": {}}]}}},
]


def forbidden_value(it: Damage) -> None:
    value = it.rng.choice(
        [
            b"NaN",
            b"Infinity",
            b"-Infinity",
            b"1e999",
            b'"\\u0000"',
            b'"\\ud800"',
            b'"\\udfff\\ud800"',
            b"9" * 5000,
            b"0x1F",
            b"01",
            b"'x'",
        ]
    )
    it.raw = it.raw[:-1] + b', "extra": ' + value + b"}"


def broken_punctuation(it: Damage) -> None:
    it.raw = it.rng.choice(
        [
            it.raw + b"}",
            b"[" + it.raw,
            it.raw[:-1] + b",}",
            it.raw.replace(b":", b"=", 1),
            it.raw.replace(b'"', b"'"),
            b"(" + it.raw + b")",
            it.raw * 2,
        ]
    )


def comments(it: Damage) -> None:
    it.raw = it.rng.choice(
        [ANNOTATED.encode(), b"// x\n" + it.raw, it.raw + b" // x", b"/* x */" + it.raw, b"# x\n" + it.raw]
    )


def another_method(it: Damage) -> None:
    it.method = it.rng.choice(["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH"])


def another_path(it: Damage) -> None:
    channel, verb, client = it.path[1:].split("/")
    it.path = it.rng.choice(
        [
            f"/pigeon/{verb}/{client}",
            f"/{channel}/deliver/{client}",
            f"/{channel}/{verb}/nobody",
            f"/{channel}/{verb}/",
            f"/{channel}/{verb}/{client}/",
            f"//{channel}/{verb}/{client}",
            f"/{channel.upper()}/{verb}/{client}",
            f"/{channel}/{verb}/..%2f{client}",
            f"/{channel}/{verb}/{client}%00",
            f"/{channel}/{verb}/%ff%fe",
            "/" + "a" * 5000,
            f"/{channel}%2F{verb}%2F{client}x",
            "/v1/messages/" + "f" * 36,
            "/%2e%2e/%2e%2e/etc/passwd",
        ]
    )
    if it.path.startswith("/v1"):
        it.method = "GET"


def another_type(it: Damage) -> None:
    names = [
        "text/html",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
    ]
    names += [
        "application/json; charset=latin-1",
        "application/json;charset=utf-16",
        "image/png",
        "x",
        ";;;",
        "application/jsonp",
    ]
    it.headers["Content-Type"] = it.rng.choice(names)


def no_login(it: Damage) -> None:
    it.headers = it.rng.choice(
        [
            {},
            {"Auth-username": demo.CLIENT},
            {"Auth-password": PASSWORD},
            {"Auth-username": "", "Auth-password": ""},
            {"Authorization": "Basic ===="},
            {"Authorization": "Bearer " + "x" * 2000},
            {"Authorization": "Basic " + "A" * 4000},
            {"Auth-username": demo.CLIENT, "Authorization": "Basic ZGVtbzpkZW1v"},
        ]
    )


def native(it: Damage) -> None:
    it.method = "GET"
    it.path = it.rng.choice(
        [
            "/v1/messages?limit=0",
            "/v1/messages?limit=201",
            "/v1/messages?limit=x",
            "/v1/messages?status=4",
            "/v1/messages?status=1.5",
            "/v1/messages?after=%00",
            "/v1/messages?after=bTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk",
            "/v1/messages?after=" + "A" * 101,
            "/v1/messages?recipient=" + "9" * 300,
            "/v1/messages/" + "x" * 65,
            "/v1/messages/%F0%9F%98%80",
            "/v1/contacts?phone=x",
            "/v1/contacts?phone=" + "9" * 50,
            "/v1/contacts?channel=pigeon",
            "/v1/contacts/telegram",
            "/v1/nothing?x=" + "y" * 3000,
        ]
    )


def contact(it: Damage) -> None:
    it.method = "PUT"
    it.path = "/v1/contacts/" + it.rng.choice(
        ["telegram/1001", "line/U", "messenger/x", "pigeon/1", "telegram/line:1", "whatsapp/%00"]
    )
    it.raw = it.rng.choice(
        [
            b"",
            b"{}",
            b"[]",
            b'{"phone":5}',
            b'{"phone":"x"}',
            b'{"phone":null}',
            b'{"phone":"62","name":[1]}',
            b"{",
            b"\xff",
            b'{"phone":"\\u0000"}',
            b"[" * 500,
        ]
    )


WAYS: dict[str, Callable[[Damage], None]] = {
    way.__name__: way
    for way in (
        *(
            truncated,
            not_utf8,
            another_encoding,
            random_bytes,
            random_characters,
            nested,
            too_large,
            no_object,
            missing,
        ),
        *(wrong_type, blank, out_of_range, forbidden_value, broken_punctuation, comments, another_method, another_path),
        *(another_type, no_login, native, contact),
    )
}


def is_an_error(status: int, answer: Any, *, is_native: bool) -> bool:
    """Return whether *answer* is one of our errors with this status."""
    if (
        not 400 <= status < 500
        or answer["status"] != status
        or not answer["code"]
        or not isinstance(answer["errors"], list)
    ):
        return False
    if is_native:
        return "meta" not in answer
    meta = answer["meta"]
    return answer["data"] is None and (meta["status"], meta["code"]) == (False, status) and bool(meta["errors"])


@pytest.mark.slow
async def test_ten_thousand_bad_requests_get_a_4xx_in_the_envelope_and_leave_nothing(gateway):
    seed = int(os.environ.get("KURIR_SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed {seed} (KURIR_SEED={seed} repeats it)")
    rng = random.Random(seed)
    cases = iter([Damage(rng) for _ in range(CASES)])
    statuses: Counter[int] = Counter()
    ways: Counter[str] = Counter()
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(connector=connector, skip_auto_headers=["Content-Type"]) as session:

        async def work() -> None:
            for case in cases:
                async with session.request(
                    case.method, gateway.url + case.path, data=case.raw, headers=case.headers
                ) as response:
                    raw = await response.read()
                request = f"{case.name} {case.method} {case.path} {case.raw[:300]!r}"
                told = f"seed {seed}: {request} → {response.status} {raw[:300]!r}"
                assert 400 <= response.status < 500, told
                assert is_an_error(response.status, json.loads(raw), is_native=case.path.startswith("/v1")), told
                statuses[response.status] += 1
                ways[case.name] += 1

        async with asyncio.timeout(100):
            await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    print(dict(sorted(statuses.items())))
    assert statuses.total() == CASES
    assert set(statuses) == {400, 401, 403, 404, 405, 413, 415, 422}
    assert set(ways) == set(WAYS)
    assert await kept(gateway) == 0
    assert await gateway.gateway.store.depths() == []
    async with gateway.session.get(f"{gateway.url}/readyz") as response:
        assert (await response.json())["status"] == "ok"


# --- bytes that are no HTTP -------------------------------------------------------------------------------------------

HEAD = (
    b"POST /line/send/demo HTTP/1.1\r\nHost: x\r\nAuth-username: demo\r\nAuth-password: " + PASSWORD.encode() + b"\r\n"
)
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

NO_HTTP = {
    "words": b"HELLO\r\n\r\n",
    "words after empty lines": b"\r\n\r\nHELLO\r\n\r\n",
    "no path": b"GET\r\n\r\n",
    "no such version": b"GET / HTTP/9.9\r\n\r\n",
    "HTTP/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + b"\x00" * 200,
    "binary": bytes(range(256)),
    "no such method": b"BREW /line/send/demo HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method in small letters": b"post /line/send/demo HTTP/1.1\r\nHost: x\r\n\r\n",
    "a proxy's method": b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
    "a proxy's method with a path": b"CONNECT / HTTP/1.1\r\nHost: example.com\r\n\r\n",
    "a raw path": "GET /é HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "a raw query": b"GET /v1/messages?id=\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "bare line feeds": b"GET /livez HTTP/1.1\nHost: x\n\n",
    "a header without colon": HEAD + b"Nocolon\r\n\r\n",
    "a header's name with a space": HEAD + b"Bad Name: x\r\n\r\n",
    "a space before the colon": HEAD + b"Name : x\r\n\r\n",
    "a header with NUL": HEAD + b"X: a\x00b\r\n\r\n",
    "a header with a bare return": HEAD + b"X: a\rb\r\n\r\n",
    "a folded header": HEAD + b"X: a\r\n b\r\n\r\n",
    "a length of words": HEAD + b"Content-Length: abc\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\n",
    "a length with plus": HEAD + b"Content-Length: +2\r\n\r\n{}",
    "an endless length": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "a length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks that are not last": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a transfer coding that nobody knows": HEAD + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "a chunk of no size": CHUNKED + b"zz\r\n{}\r\n",
    "a chunk of negative size": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "a chunk of endless size": CHUNKED + b"ffffffffffffffffff\r\n{}\r\n",
    "a chunk longer than its size": CHUNKED + b"2\r\n{}xxxx\r\n0\r\n\r\n",
    "a chunk after half a body": CHUNKED + b'5\r\n{"id"\r\nxyz\r\n',
}


async def answered(gateway: Running, *pieces: bytes, seconds: float = 10) -> bytes:
    """Send *pieces* on one connection; return everything that comes back until the gateway closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.gateway.server.port)
    try:
        async with asyncio.timeout(seconds):
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
            return await reader.read()
    finally:
        writer.close()


def parsed(answer: bytes) -> tuple[int, Any]:
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), answer[:200]
    return int(head[9:12]), json.loads(content)


@pytest.mark.parametrize("name", list(NO_HTTP))
async def test_bytes_that_are_no_http_get_a_400_in_the_envelope_and_the_connection_ends(gateway, name):
    status, answer = parsed(await answered(gateway, NO_HTTP[name]))
    assert status == 400
    assert is_an_error(status, answer, is_native=False)
    assert (answer["meta"]["message"], answer["code"]) == ("Bad Request", "malformed_request")
    assert await kept(gateway) == 0


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/nowhere", "[", 404),
        ("/v1/nowhere", "[::", 404),
        ("/line/send/demo", "x y", 405),
        ("/nowhere", "", 404),
        ("/%zz%ff", "x:99999999", 404),
    ],
)
async def test_a_strange_host_or_path_is_answered_like_any_other(gateway, path, host, status):
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    got, answer = parsed(await answered(gateway, request))
    assert got == status
    assert is_an_error(got, answer, is_native=path.startswith("/v1"))


async def test_a_head_without_end_is_cut_off(gateway):
    """The answer itself may be lost, since the connection is closed while the client still writes."""
    for filler in (b"X: " + b"a" * 4_000_000, b"X: a\r\n" * 200_000):
        try:
            answer = await answered(gateway, HEAD, *(filler[at : at + 50_000] for at in range(0, len(filler), 50_000)))
        except ConnectionError:
            continue
        assert answer == b"" or parsed(answer)[0] == 400
    assert await kept(gateway) == 0


async def test_more_than_the_declared_length_is_not_read_as_the_body(gateway):
    status, answer = parsed(
        await answered(gateway, HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}" + b'{"id": "x"}')
    )
    assert (status, answer["code"]) == (422, "invalid_message")


async def test_a_large_declared_body_is_refused_without_being_read(gateway):
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.gateway.server.port)
    writer.write(HEAD + b"Content-Length: 2000000000\r\n\r\n")
    async with asyncio.timeout(5):
        status = (await reader.readline()).split()[1]
    writer.close()
    assert status == b"413"


async def test_a_list_of_nothing_but_mistakes_gets_a_small_answer(gateway):
    for kind, at in (("list", "/body/list/sections"), ("button", "/body/button")):
        for count in (60_000, 1000):
            status, _, answer = await gateway.send("whatsapp", changed(body(kind), at, [{}] * count))
            assert (status, answer["code"]) == (422, "invalid_message")
            assert len(json.dumps(answer)) < 50_000


async def test_a_large_body_in_chunks_is_refused_as_soon_as_it_is_too_large(gateway):
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.gateway.server.port)
    writer.write(CHUNKED + chunk * 5)
    async with asyncio.timeout(5):
        status = (await reader.readline()).split()[1]
    writer.close()
    assert status == b"413"


@pytest.fixture
def impatient(monkeypatch):
    """Waits so short that a test can see their end."""
    monkeypatch.setattr(edge, "BODY_SECONDS", 0.2)
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.5)


async def test_a_body_that_does_not_arrive_is_given_up(gateway, impatient):
    status, answer = parsed(await answered(gateway, HEAD + b'Content-Length: 500\r\n\r\n{"id"'))
    assert (status, answer["code"]) == (400, "invalid_json")
    assert "did not arrive" in answer["detail"]


async def test_a_connection_that_says_nothing_or_half_a_head_is_closed(gateway, impatient):
    for piece in (b"", b"\r\n", b"POST /line/se", HEAD, HEAD + b"Content-Length: 5"):
        assert await answered(gateway, piece) == b""


async def test_a_byte_now_and_then_does_not_keep_a_connection(gateway, impatient):
    """Drips until the gateway closes; without a deadline this would go on for ever."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.gateway.server.port)
    ended = asyncio.create_task(reader.read())
    async with asyncio.timeout(10):
        writer.write(b"GET /livez HTTP/1.1\r\nX: ")
        while not ended.done():
            with contextlib.suppress(ConnectionError):
                writer.write(b"a")
            await asyncio.wait([ended], timeout=0.05)
    writer.close()
    assert ended.exception() is not None or ended.result() == b""


async def test_a_client_that_goes_away_in_the_middle_leaves_nothing(gateway):
    for piece in (
        HEAD + b'Content-Length: 500\r\n\r\n{"id"',
        CHUNKED + b'5\r\n{"id"',
        HEAD + b"Content-Length: 9\r\n\r\n",
    ):
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.gateway.server.port)
        writer.write(piece)
        await writer.drain()
        writer.transport.abort()
    assert await kept(gateway) == 0


async def test_beyond_the_bound_of_connections_the_answer_is_503_in_the_envelope(gateway, monkeypatch):
    monkeypatch.setattr(server, "MAXIMUM_CONNECTIONS", 0)
    async with gateway.session.get(f"{gateway.url}/livez") as response:
        answer = await response.json()
        assert (response.status, response.headers["Retry-After"], answer["code"]) == (503, "1", "overloaded")
        assert answer["meta"]["code"] == 503


@pytest.mark.parametrize(
    "offer",
    [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
        "Connection: keep-alive, Upgrade\r\nUpgrade: h2c",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
async def test_an_offer_of_another_protocol_is_passed_over_and_the_body_is_read(gateway, offer, chunked):
    """As Java's HttpClient offers h2c with every request."""
    raw = json.dumps(without(body(), "/id")).encode()
    length = b"Transfer-Encoding: chunked\r\n" if chunked else f"Content-Length: {len(raw)}\r\n".encode()
    head = HEAD + offer.encode() + b"\r\n" + length + b"\r\n"
    content = b"%x\r\n%s\r\n0\r\n\r\n" % (len(raw), raw) if chunked else raw
    last = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for pieces in (
        [head + content + last],
        [head, content, last],
        [head[:-3], head[-3:] + content[:9], content[9:] + last],
    ):
        answers = (await answered(gateway, *pieces)).split(b"HTTP/1.1 ")[1:]
        assert [answer[:3] for answer in answers] == [b"422", b"404"]
        problems = json.loads(answers[0].partition(b"\r\n\r\n")[2])["errors"]
        assert [problem["pointer"] for problem in problems] == ["/id"]
