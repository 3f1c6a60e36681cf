"""What the platforms call, over real HTTP: who is let in, what a receipt changes, and what changes nothing."""

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from kurir import demo
from kurir.http import webhooks
from kurir.sandbox.config import DEMO_LINE, DEMO_MESSENGER, DEMO_TELEGRAM, DEMO_WHATSAPP
from kurir.sandbox.receipts import encode, sign
from support.bodies import body
from support.servers import Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

OTHER_SECRET = "0" * 32
ANI = "628xxxxxxxx"
PSID = "24312345678907001"


def add_accounts(document: dict[str, Any]) -> None:
    """A second number of the demo's own app, and a client with a number of another app."""
    whatsapp = document["clients"]["demo"]["accounts"][0]
    document["clients"]["demo"]["accounts"].append(
        {**whatsapp, "id": "demo-wa-2", "phone_number_id": "200000000000002"}
    )
    other = {
        **whatsapp,
        "id": "other-wa",
        "phone_number_id": "200000000000003",
        "app_secret": OTHER_SECRET,
        "verify_token": "other",
    }
    document["clients"]["other"] = {"username": "other", "password": "another long password", "accounts": [other]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory):
    async with running(tmp_path_factory.mktemp("gateway"), edit=add_accounts) as started:
        # The tests are the platforms: the sandbox posts no receipts.
        for channel in ("whatsapp", "messenger"):
            started.sandbox.sandbox.connect(channel, "")
        yield started


Answered = tuple[int, dict[str, str], bytes]


async def post(gateway: Running, account: str, raw: bytes, headers: dict[str, str], method: str = "POST") -> Answered:
    """Return (status, headers, body) of what the gateway answers a platform."""
    async with aiohttp.request(method, f"{gateway.url}/webhooks/{account}", data=raw, headers=headers) as response:
        return response.status, dict(response.headers), await response.read()


async def meta(gateway: Running, account: str, payload: Any, secret: str = DEMO_WHATSAPP.app_secret) -> None:
    """Post *payload* as Meta does, signed with *secret*; it is taken."""
    raw = payload if isinstance(payload, bytes) else encode(payload)
    status, _, content = await post(gateway, account, raw, {"X-Hub-Signature-256": sign(secret, raw)})
    assert (status, content) == (200, b"")


def receipts(*statuses: dict[str, Any], number: str = DEMO_WHATSAPP.phone_number_id) -> dict[str, Any]:
    """Return WhatsApp's webhook with *statuses*."""
    value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": number}, "statuses": list(statuses)}
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}],
    }


def receipt(wamid: str, word: str, at: int = 1_790_000_000, **more: Any) -> dict[str, Any]:
    return {"id": wamid, "status": word, "timestamp": str(at), "recipient_id": ANI, **more}


FAILED = {"errors": [{"code": 131026, "title": "Message undeliverable"}]}


async def sent(gateway: Running, channel: str = "whatsapp", **top: Any) -> tuple[str, str]:
    """Send a message; return its tid and platform id once the platform has it."""
    status, _, answer = await gateway.send(channel, body(**top))
    assert status == 200, answer
    tid = answer["data"]["tid"]
    async with asyncio.timeout(10):
        while True:
            parts = (await gateway.message(tid))["parts"]
            if parts and parts[0]["provider_message_ids"]:
                return tid, parts[0]["provider_message_ids"][0]
            await asyncio.sleep(0.02)


async def status_of(gateway: Running, tid: str) -> int:
    found: int = (await gateway.message(tid))["status"]
    return found


async def history_of(gateway: Running, tid: str) -> list[tuple[int, int]]:
    return [(event["previous"], event["status"]) for event in (await gateway.message(tid))["history"]]


# --- who is let in ----------------------------------------------------------------------------------------------------


def line_signature(secret: str, raw: bytes) -> str:
    return base64.b64encode(hmac.new(secret.encode(), raw, hashlib.sha256).digest()).decode()


RAW = encode(receipts())
LINE_RAW = b'{"destination":"U","events":[]}'
LET_IN = {
    "demo-wa": (RAW, {"X-Hub-Signature-256": sign(DEMO_WHATSAPP.app_secret, RAW)}),
    "demo-fb": (
        b'{"object":"page","entry":[]}',
        {"X-Hub-Signature-256": sign(DEMO_MESSENGER.app_secret, b'{"object":"page","entry":[]}')},
    ),
    "demo-tg": (b'{"update_id":1}', {"X-Telegram-Bot-Api-Secret-Token": DEMO_TELEGRAM.secret_token}),
    "demo-line": (LINE_RAW, {"X-Line-Signature": line_signature(DEMO_LINE.channel_secret, LINE_RAW)}),
}


@pytest.mark.parametrize("account", list(LET_IN))
async def test_what_the_platform_signed_is_taken(gateway, account):
    raw, headers = LET_IN[account]
    status, _, content = await post(gateway, account, raw, headers)
    assert (status, content) == (200, b"")


async def test_a_bad_signature_and_an_unknown_account_get_the_same_bare_401(gateway):
    seen = set()
    for account, (raw, headers) in LET_IN.items():
        ((name, value),) = headers.items()
        attempts: list[tuple[str, bytes, dict[str, str]]] = [
            (account, raw, {}),
            (account, raw, {name: ""}),
            (account, raw, {name: value[:-1] + ("0" if value[-1] != "0" else "1")}),
            (account, raw, {name: value + "\u00e9"}),
            (account, raw, {name: "sha256=" + "0" * 64}),
            ("nobody", raw, headers),
            ("nobody", raw, {}),
            ("%00", raw, headers),
            (account.upper(), raw, headers),
            ("x" * 3000, raw, headers),
        ]
        if account != "demo-tg":  # Telegram's secret does not depend on the body
            attempts.append((account, raw + b" ", headers))
        if account != "demo-wa":
            attempts.append(("demo-wa", *LET_IN[account]) if account != "demo-fb" else ("other-wa", raw, headers))
        for attempt in attempts:
            status, answered, content = await post(gateway, *attempt)
            fixed = {
                name.lower(): value
                for name, value in answered.items()
                if name.lower() not in ("date", "request-id", "connection")
            }
            seen.add((status, content, json.dumps(fixed)))
    assert seen == {(401, b"", '{"content-length": "0"}')}


@pytest.mark.parametrize(
    ("account", "token"), [("demo-wa", DEMO_WHATSAPP.verify_token), ("demo-fb", DEMO_MESSENGER.verify_token)]
)
async def test_metas_handshake_is_answered_with_its_challenge(gateway, account, token):
    query = f"hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158201444"
    status, headers, content = await post(gateway, f"{account}?{query}", b"", {}, "GET")
    assert (status, content) == (200, b"1158201444")
    assert headers["Content-Type"].startswith("text/plain")


async def test_a_wrong_handshake_and_an_unknown_account_get_the_same_bare_403(gateway):
    token = DEMO_WHATSAPP.verify_token
    good = f"hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1"
    paths = [
        "demo-wa",
        "demo-wa?hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1",
        "demo-wa?hub.mode=subscribe&hub.verify_token=&hub.challenge=1",
        "demo-wa?hub.mode=subscribe&hub.verify_token=%C3%A9%00&hub.challenge=1",
        f"demo-wa?hub.mode=unsubscribe&hub.verify_token={token}&hub.challenge=1",
        f"demo-wa?hub.mode=subscribe&hub.verify_token={token}",
        f"demo-wa?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=%3Cscript%3E",
        f"demo-wa?hub.mode=subscribe&hub.verify_token={token}&hub.challenge={'1' * 201}",
        f"nobody?{good}",
        f"other-wa?{good}",
        f"demo-tg?{good}",
        f"demo-line?{good}",
    ]
    for path in paths:
        status, _, content = await post(gateway, path, b"", {}, "GET")
        assert (status, content) == (403, b""), path


async def test_more_than_three_mebibytes_are_refused_and_so_many_are_not(gateway):
    for account in ("demo-wa", "nobody"):
        status, _, content = await post(gateway, account, b" " * (3 * 1024 * 1024 + 1), {})
        assert (status, content) == (413, b"")
    raw = encode(receipts()) + b" " * (3 * 1024 * 1024)
    raw = raw[: 3 * 1024 * 1024]
    status, _, _ = await post(gateway, "demo-wa", raw, {"X-Hub-Signature-256": sign(DEMO_WHATSAPP.app_secret, raw)})
    assert status == 200


async def start(gateway: Running, account: str, size: int, sent: int, method: str = "POST") -> Any:
    """Begin a request with a body of *size* bytes, of which *sent* come; return its (reader, writer)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.gateway.server.port)
    writer.write(f"{method} /webhooks/{account} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
    writer.write(b" " * sent)
    await writer.drain()
    return reader, writer


async def in_flight(gateway: Running, wanted: Callable[[int], bool]) -> None:
    """Wait until the bytes of bodies in memory are as *wanted*."""
    async with asyncio.timeout(5):
        while True:
            if wanted(gateway.gateway.app.state.webhook_bytes.size):
                return
            await asyncio.sleep(0.01)


async def head_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        return await reader.readuntil(b"\r\n\r\n")


async def test_an_unknown_account_is_answered_before_its_body_is_there(gateway):
    """And the connection is good for the next request, once the rest has come."""
    for method, account, status in (("POST", "nobody", b"401"), ("GET", "nobody", b"403"), ("GET", "demo-wa", b"403")):
        for sent in (0, 1000, 2_000_000):
            reader, writer = await start(gateway, account, 3_000_000, sent, method)
            assert (await head_of(reader)).split()[1] == status
            writer.write(b" " * (3_000_000 - sent))
            writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await head_of(reader)).split()[1] == b"200"
            writer.close()


async def test_the_bodies_of_all_webhooks_together_have_a_bound(gateway, monkeypatch):
    monkeypatch.setattr(webhooks, "MAXIMUM_IN_FLIGHT", 1_000_000)
    raw = encode(receipts()) + b" " * 200_000
    headers = {"X-Hub-Signature-256": sign(DEMO_WHATSAPP.app_secret, raw)}
    halves = [await start(gateway, account, 900_000, 450_000) for account in ("demo-wa", "demo-line")]
    await in_flight(gateway, lambda size: size > 850_000)
    status, answered, content = await post(gateway, "demo-wa", raw, headers)
    assert (status, answered["Retry-After"], content) == (503, "5", b"")
    # A usual webhook is small, and is let in all the same.
    await meta(gateway, "demo-wa", receipts())
    for _, writer in halves:
        writer.close()
    await in_flight(gateway, lambda size: size == 0)
    status, _, _ = await post(gateway, "demo-wa", raw, headers)
    assert status == 200
    await in_flight(gateway, lambda size: size == 0)


UNREADABLE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"5",
    b"\xff\xfe",
    b"\x00",
    b"[" * 100_000,
    b'{"object":"page"}',
    b'{"object":"whatsapp_business_account"}',
    b'{"object":"whatsapp_business_account","entry":5}',
    b'{"object":"whatsapp_business_account","entry":[null,5,"x",[],{"changes":{}},{"changes":[null,{"field":5}]}]}',
    encode(receipts({"id": 5}, {"id": "x", "status": ["read"]}, {"id": "x", "status": "read", "timestamp": "soon"})),
    encode(receipts({"id": "x", "status": "read", "timestamp": "9" * 400}, {"id": None})),
    encode(receipts({"id": "x\ud800", "status": "failed", "timestamp": 5, "errors": [{"code": 10**30}]})),
    encode(
        {"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "new_thing", "value": {"x": 1}}]}]}
    ),
]


@pytest.mark.parametrize("raw", UNREADABLE, ids=range(len(UNREADABLE)))
async def test_what_is_signed_and_unreadable_is_taken_once_and_for_all(gateway, raw):
    await meta(gateway, "demo-wa", raw)
    await meta(gateway, "demo-fb", raw, DEMO_MESSENGER.app_secret)
    status, _, _ = await post(gateway, "demo-tg", raw, {"X-Telegram-Bot-Api-Secret-Token": DEMO_TELEGRAM.secret_token})
    assert status == 200
    status, _, _ = await post(
        gateway, "demo-line", raw, {"X-Line-Signature": line_signature(DEMO_LINE.channel_secret, raw)}
    )
    assert status == 200


# --- what a receipt changes -------------------------------------------------------------------------------------------


async def test_receipts_move_a_message_step_by_step(gateway):
    tid, wamid = await sent(gateway)
    assert await status_of(gateway, tid) == 0
    for step, word in enumerate(("sent", "delivered", "read"), 1):
        await meta(gateway, "demo-wa", receipts(receipt(wamid, word)))
        assert await status_of(gateway, tid) == step
    assert await history_of(gateway, tid) == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize("order", list(itertools.permutations(("sent", "delivered", "read"))))
async def test_reordered_and_repeated_receipts_end_where_the_highest_does(gateway, order):
    tid, wamid = await sent(gateway)
    highest = 0
    for word in order:
        for _ in range(3):
            await meta(gateway, "demo-wa", receipts(receipt(wamid, word), receipt(wamid, word)))
        highest = max(highest, ("sent", "delivered", "read").index(word) + 1)
        assert await status_of(gateway, tid) == highest
    history = await history_of(gateway, tid)
    assert all(previous < status for previous, status in history)
    assert [status for _, status in history] == sorted({status for _, status in history})
    before = await gateway.message(tid)
    await meta(
        gateway, "demo-wa", receipts(*(receipt(wamid, word) for word in order), receipt(wamid, "failed", **FAILED))
    )
    assert await gateway.message(tid) == before


async def test_a_failure_after_sent_is_undelivered_and_a_late_delivery_corrects_it(gateway):
    tid, wamid = await sent(gateway)
    await meta(gateway, "demo-wa", receipts(receipt(wamid, "sent"), receipt(wamid, "failed", **FAILED)))
    message = await gateway.message(tid)
    assert (message["status"], message["final"], message["error"]["provider_code"]) == (-2, True, "131026")
    await meta(gateway, "demo-wa", receipts(receipt(wamid, "delivered")))
    message = await gateway.message(tid)
    assert (message["status"], message["error"]) == (2, None)


async def test_many_webhooks_at_once_are_all_taken(gateway):
    messages = await asyncio.gather(*(sent(gateway, recipient="6281234567890") for _ in range(10)))
    words = ("read", "delivered", "sent")
    await asyncio.gather(
        *(meta(gateway, "demo-wa", receipts(receipt(wamid, word))) for word in words for _, wamid in messages * 5)
    )
    for tid, _ in messages:
        assert await status_of(gateway, tid) == 3


async def test_a_receipt_of_a_number_of_another_app_is_ignored(gateway):
    tid, wamid = await sent(gateway)
    await meta(gateway, "other-wa", receipts(receipt(wamid, "read")), OTHER_SECRET)
    await meta(gateway, "other-wa", receipts(receipt(wamid, "read"), number="200000000000003"), OTHER_SECRET)
    await meta(gateway, "other-wa", receipts(receipt("x", "read", biz_opaque_callback_data=tid)), OTHER_SECRET)
    await meta(gateway, "demo-wa", receipts(receipt(wamid, "read"), number="999999999999999"))
    assert await status_of(gateway, tid) == 0
    await meta(gateway, "demo-wa", receipts(receipt(wamid, "read")))
    assert await status_of(gateway, tid) == 3


async def test_a_number_of_the_same_app_may_come_by_the_webhook_of_another(gateway):
    tid, wamid = await sent(gateway)
    await meta(gateway, "demo-wa-2", receipts(receipt(wamid, "delivered")))
    assert await status_of(gateway, tid) == 2
    tid, wamid = await sent(gateway)
    await meta(gateway, "demo-wa-2", receipts(receipt(wamid, "delivered"), number="200000000000002"))
    assert await status_of(gateway, tid) == 0


async def test_a_receipt_that_comes_before_its_send_is_recorded_waits_for_it(gateway):
    """The reference that the platform carries names the message; its platform id is not known yet."""
    soon = gateway.gateway.clock.now() + timedelta(seconds=1)
    _, _, answer = await gateway.send("whatsapp", body(send_at=soon.isoformat()))
    tid = answer["data"]["tid"]
    early = [receipt(f"wamid.early.{tid}", word, biz_opaque_callback_data=tid) for word in ("read", "sent")]
    await meta(gateway, "demo-wa", receipts(*early))
    message = await gateway.message(tid)
    assert (message["status"], message["parts"]) == (0, [])
    assert (await gateway.until(tid, 3))["status"] == 3


# --- Messenger's watermarks -------------------------------------------------------------------------------------------


def page_event(**event: Any) -> dict[str, Any]:
    page = DEMO_MESSENGER.page_id
    one = {"sender": {"id": PSID}, "recipient": {"id": page}, "timestamp": 1_790_000_000_000, **event}
    return {"object": "page", "entry": [{"id": page, "time": 1_790_000_000_000, "messaging": [one]}]}


async def test_a_watermark_covers_every_message_before_it_in_any_order(gateway):
    first, _ = await sent(gateway, "messenger")
    second, mid = await sent(gateway, "messenger")
    assert [await status_of(gateway, tid) for tid in (first, second)] == [1, 1]
    secret = DEMO_MESSENGER.app_secret
    past = {"watermark": 1_500_000_000_000}
    future = {"watermark": 4_000_000_000_000}
    await meta(gateway, "demo-fb", page_event(read=past), secret)
    assert [await status_of(gateway, tid) for tid in (first, second)] == [1, 1]
    await meta(gateway, "demo-fb", page_event(delivery={**past, "mids": [mid]}), secret)
    assert [await status_of(gateway, tid) for tid in (first, second)] == [1, 2]
    for _ in range(3):
        await meta(gateway, "demo-fb", page_event(read=future), secret)
        await meta(gateway, "demo-fb", page_event(delivery=future), secret)
    assert [await status_of(gateway, tid) for tid in (first, second)] == [3, 3]
    assert await history_of(gateway, first) == [(0, 1), (1, 3)]


async def test_webhooks_need_no_login_and_show_nothing_of_a_message(gateway):
    for account in demo.ACCOUNTS.values():
        status, _, content = await post(gateway, account, b"{}", {"Auth-username": "demo", "Auth-password": "x"})
        assert (status, content) == (401, b"")
