"""People over HTTP: pages of them, one of them, links that they open, a phone taken away, and a person erased."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import aiohttp
import pytest
import pytest_asyncio

from kurir.sandbox.config import DEMO_PEOPLE, DEMO_TELEGRAM
from support.bodies import body
from support.servers import Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANI, BUDI = DEMO_PEOPLE
ANIS_CHAT, BUDIS_CHAT = str(ANI.telegram_chat_id), str(BUDI.telegram_chat_id)
LONG, SHORT = "5531987654321", "553187654321"
NEVER = "8999-12-31T23:59:59Z"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory):
    async with running(tmp_path_factory.mktemp("gateway")) as started:
        yield started


async def ask(gateway: Running, method: str, path: str, given: Any = None) -> tuple[int, Any]:
    async with gateway.session.request(method, gateway.url + path, json=given) as response:
        return response.status, await response.json(content_type=None)


async def done(gateway: Running, method: str, path: str, given: Any = None) -> Any:
    status, answer = await ask(gateway, method, path, given)
    assert status == 200, answer
    return answer["data"]


async def refused(gateway: Running, method: str, path: str, given: Any = None) -> tuple[int, str, set[tuple[str, str]]]:
    status, answer = await ask(gateway, method, path, given)
    return status, answer["code"], {(one["pointer"], one["code"]) for one in answer["errors"]}


async def act(gateway: Running, channel: str, address: str, **what: Any) -> None:
    """Let a person do something on their phone."""
    url = f"{gateway.sandbox.url}/sandbox/phones/{channel}/{address}/acts"
    async with aiohttp.request("POST", url, json=what) as response:
        assert response.status == 200, await response.text()


async def until_phone(gateway: Running, channel: str, address: str, phone: str) -> Any:
    """Return the contact once *phone* is linked to it."""
    async with asyncio.timeout(10):
        while True:
            status, answer = await ask(gateway, "GET", f"/v1/contacts/{channel}/{address}")
            if status == 200 and answer["data"]["phone"] == phone:
                return answer["data"]
            await asyncio.sleep(0.02)


async def events(gateway: Running) -> list[Any]:
    """Return every event of the client's feed."""
    found: list[Any] = []
    after = ""
    while True:
        _, answer = await ask(gateway, "GET", f"/v1/events?after={after}")
        if not answer["data"]:
            return found
        found += answer["data"]
        after = answer["next"]


async def until_events(gateway: Running, seen: int) -> None:
    """Wait until the feed has more than *seen* events."""
    async with asyncio.timeout(10):
        while True:
            if len(await events(gateway)) > seen:
                return
            await asyncio.sleep(0.02)


# --- looking up -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
async def test_the_cursor_brings_every_contact_once(gateway, limit):
    for number in range(7):
        await done(gateway, "PUT", f"/v1/contacts/telegram/{600 + number}", {"phone": f"62811000060{number}"})
    found: list[tuple[str, str]] = []
    after = ""
    while True:
        status, answer = await ask(gateway, "GET", f"/v1/contacts?limit={limit}&after={quote(after)}")
        assert status == 200
        assert len(answer["data"]) <= limit
        found += [(one["account"], one["address"]) for one in answer["data"]]
        if answer["next"] is None:
            break
        assert len(answer["data"]) == limit
        after = answer["next"]
    assert found == sorted(set(found))
    assert {("demo-tg", str(600 + number)) for number in range(7)} < set(found)
    assert len({account for account, _ in found}) == 4


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=0", ("/limit", "out_of_range")),
        ("limit=1001", ("/limit", "out_of_range")),
        ("after=x", ("/after", "invalid_format")),
        ("after=bm9uZQ", ("/after", "invalid_format")),
        ("phone=12", ("/phone", "invalid_recipient")),
    ],
)
async def test_a_wrong_query_is_named(gateway, query, expected):
    assert await refused(gateway, "GET", f"/v1/contacts?{query}") == (422, "invalid_parameters", {expected})


async def test_one_contact_is_found_by_its_address_with_and_without_prefix(gateway):
    given = {"phone": "628110000700", "name": "Cici"}
    put = await done(gateway, "PUT", "/v1/contacts/telegram/700", given)
    for path in ("telegram/700", "telegram/tg:700", "telegram/700?account=demo-tg"):
        assert await done(gateway, "GET", f"/v1/contacts/{path}") == put
    assert put["username"] == ""


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("telegram/nobody", (422, "invalid_parameters", {("", "invalid_recipient")})),
        ("telegram/700?account=demo-line", (422, "invalid_parameters", {("/account", "unknown_account")})),
        (
            "line/x?account=none",
            (422, "invalid_parameters", {("", "invalid_recipient"), ("/account", "unknown_account")}),
        ),
        ("pigeon/700", (404, "unknown_channel", set())),
    ],
)
async def test_a_path_that_names_nobody_is_told_everything_that_is_wrong(gateway, method, path, expected):
    assert await refused(gateway, method, f"/v1/contacts/{path}") == expected


async def test_somebody_unknown_is_not_found(gateway):
    assert (await refused(gateway, "GET", "/v1/contacts/telegram/123456"))[:2] == (404, "not_found")
    assert (await refused(gateway, "DELETE", "/v1/contacts/telegram/123456/phone"))[:2] == (404, "not_found")


# --- two spellings ----------------------------------------------------------------------------------------------------


async def test_a_phone_of_brazil_is_one_person_in_both_spellings(gateway):
    await done(gateway, "PUT", f"/v1/contacts/telegram/{BUDIS_CHAT}", {"phone": LONG})
    for spelling in (LONG, SHORT, "+55 (31) 8765-4321"):
        (found,) = await done(gateway, "GET", f"/v1/contacts?channel=telegram&phone={quote(spelling)}")
        assert (found["address"], found["phone"]) == (BUDIS_CHAT, LONG)
        _, _, answer = await gateway.send("telegram", body(recipient=spelling))
        assert (await gateway.until(answer["data"]["tid"], 1))["address"] == BUDIS_CHAT
    moved = await done(gateway, "PUT", "/v1/contacts/telegram/711", {"phone": SHORT})
    assert moved["phone"] == LONG, "it moves in the spelling that is known"
    assert [one["address"] for one in await done(gateway, "GET", f"/v1/contacts?phone={SHORT}")] == ["711"]
    again = await done(gateway, "PUT", "/v1/contacts/telegram/711", {"phone": SHORT})
    assert again["phone"] == SHORT, "the same person's spelling may be corrected"


async def test_on_whatsapp_both_spellings_are_one_contact(gateway):
    first = await done(gateway, "PUT", f"/v1/contacts/whatsapp/{LONG}", {"phone": LONG, "name": "Rita"})
    second = await done(gateway, "PUT", f"/v1/contacts/whatsapp/{SHORT}", {"phone": LONG, "name": "Rita S."})
    assert (first["address"], second["address"], second["name"]) == (LONG, LONG, "Rita S.")
    assert await done(gateway, "GET", f"/v1/contacts/whatsapp/{SHORT}") == second
    assert (await done(gateway, "DELETE", f"/v1/contacts/whatsapp/{SHORT}"))["contact"] is True
    assert (await refused(gateway, "GET", f"/v1/contacts/whatsapp/{LONG}"))[0] == 404


# --- unlinking --------------------------------------------------------------------------------------------------------


async def test_a_phone_is_taken_away_and_the_person_stays(gateway):
    await done(gateway, "PUT", "/v1/contacts/telegram/720", {"phone": "628110000720", "name": "Dodi"})
    for _ in range(2):
        found = await done(gateway, "DELETE", "/v1/contacts/telegram/720/phone")
        assert (found["phone"], found["linked_at"], found["name"]) == ("", None, "Dodi")
    assert await done(gateway, "GET", "/v1/contacts?phone=628110000720") == []
    _, _, answer = await gateway.send("telegram", body(recipient="628110000720"))
    message = await gateway.until(answer["data"]["tid"], -1)
    assert message["error"]["code"] == "recipient_not_linked"
    assert "POST /v1/contacts/links" in message["error"]["detail"]


# --- links ------------------------------------------------------------------------------------------------------------


async def test_a_link_of_telegram_is_opened_and_ties_the_person_to_the_phone_once(gateway):
    given = {"channel": "telegram", "phone": "+62 811-0000-730", "payload": "shop 7"}
    link = await done(gateway, "POST", "/v1/contacts/links", given)
    url = urlsplit(link["url"])
    assert (url.netloc, url.path) == ("t.me", f"/{DEMO_TELEGRAM.username}")
    assert parse_qs(url.query) == {"start": [link["token"]]}
    assert 22 <= len(link["token"]) <= 64
    assert (link["phone"], link["payload"]) == ("628110000730", "shop 7")
    await act(gateway, "telegram", BUDIS_CHAT, do="open", text=link["token"])
    await until_phone(gateway, "telegram", BUDIS_CHAT, "628110000730")
    told = [one["data"] for one in await events(gateway) if one["type"] == "contact.linked"]
    assert told[-1]["contact"]["phone"] == "628110000730"
    assert told[-1]["referral"] == "shop 7"
    await act(gateway, "telegram", ANIS_CHAT, do="open", text=link["token"])
    other = await done(gateway, "PUT", "/v1/contacts/telegram/731", {"phone": "628110000731"})
    assert other["phone"] == "628110000731"
    found = await done(gateway, "GET", "/v1/contacts?phone=628110000730")
    assert [one["address"] for one in found] == [BUDIS_CHAT], "a link is good once"


async def test_a_link_of_messenger_carries_its_token_as_ref(gateway):
    link = await done(gateway, "POST", "/v1/contacts/links", {"channel": "facebook", "phone": "628110000740"})
    url = urlsplit(link["url"])
    assert (link["channel"], url.netloc) == ("messenger", "m.me")
    assert parse_qs(url.query) == {"ref": [link["token"]]}
    await act(gateway, "messenger", BUDI.psid, do="open", text=link["token"])
    await until_phone(gateway, "messenger", BUDI.psid, "628110000740")


async def test_on_line_the_token_is_the_nonce_of_the_account_link(gateway):
    link = await done(gateway, "POST", "/v1/contacts/links", {"channel": "line", "phone": "628110000750"})
    assert link["url"] == (
        f"https://access.line.me/dialog/bot/accountLink?linkToken={{linkToken}}&nonce={link['token']}"
    )
    await act(gateway, "line", BUDI.line_user_id, do="link", text=link["token"])
    await until_phone(gateway, "line", BUDI.line_user_id, "628110000750")


@pytest.mark.parametrize("channel", ["telegram", "messenger", "line"])
async def test_a_link_without_a_phone_brings_its_payload_once_and_ties_nobody(gateway, channel):
    address = {"telegram": ANIS_CHAT, "messenger": ANI.psid, "line": ANI.line_user_id}[channel]
    before = await done(gateway, "GET", f"/v1/contacts/{channel}/{address}")
    link = await done(gateway, "POST", "/v1/contacts/links", {"channel": channel, "payload": f"order of {channel}"})
    for _ in range(2):
        seen = len(await events(gateway))
        await act(gateway, channel, address, do="link" if channel == "line" else "open", text=link["token"])
        await until_events(gateway, seen)
    told = [one for one in await events(gateway) if one["data"].get("referral") == f"order of {channel}"]
    assert [one["type"] for one in told] == ["contact.referred"]
    after = await done(gateway, "GET", f"/v1/contacts/{channel}/{address}")
    assert (after["phone"], after["linked_at"]) == (before["phone"], before["linked_at"])


async def test_an_expired_link_ties_nobody(gateway):
    given = {"channel": "telegram", "phone": "628110000760", "expires_in": 60}
    link = await done(gateway, "POST", "/v1/contacts/links", given)
    store = gateway.gateway.store
    made = await store.link_of("demo-tg", link["token"])
    assert made.expires_at - made.created_at == timedelta(seconds=60)
    past = replace(made, token="of-yesterday", expires_at=made.created_at - timedelta(seconds=2))
    await store.put_link(past)
    seen = len(await events(gateway))
    await act(gateway, "telegram", ANIS_CHAT, do="open", text="of-yesterday")
    await until_events(gateway, seen)
    assert await done(gateway, "GET", "/v1/contacts?phone=628110000760") == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"channel": "telegram"}, {("/phone", "missing")}),
        ({"channel": "telegram", "phone": "12"}, {("/phone", "invalid_recipient")}),
        ({"channel": "telegram", "phone": "628110000770", "expires_in": 0}, {("/expires_in", "out_of_range")}),
        ({"channel": "telegram", "phone": "628110000770", "expires_in": 2_592_001}, {("/expires_in", "out_of_range")}),
        (
            {"channel": "telegram", "phone": "6", "account": "x"},
            {("/phone", "invalid_recipient"), ("/account", "unknown_account")},
        ),
        ({"channel": "whatsapp", "phone": "628110000770"}, {("/channel", "unsupported_type")}),
        ({"phone": "628110000770"}, {("/channel", "missing")}),
    ],
)
async def test_a_link_that_cannot_be_made_says_why(gateway, given, expected):
    found = await refused(gateway, "POST", "/v1/contacts/links", given)
    assert found == (422, "invalid_parameters", expected)


async def test_a_link_on_no_channel_is_not_found(gateway):
    given = {"channel": "pigeon", "phone": "628110000770"}
    assert (await refused(gateway, "POST", "/v1/contacts/links", given))[:2] == (404, "unknown_channel")


async def test_a_refused_token_is_told_in_the_platforms_words(tmp_path):
    def wrong_token(document: dict[str, Any]) -> None:
        account = document["clients"]["demo"]["accounts"][1]
        account["token"] = account["token"][:-5] + "wrong"

    async with running(tmp_path, edit=wrong_token) as other:
        given = {"channel": "telegram", "phone": "628110000780"}
        status, answer = await ask(other, "POST", "/v1/contacts/links", given)
        assert (status, answer["code"]) == (503, "account_credentials")
        assert "Unauthorized" in answer["detail"]
        assert "wrong" not in answer["detail"], "the token is nobody's to read"


async def test_the_bots_name_is_asked_once_and_a_platform_that_is_out_is_told_until_then(tmp_path):
    async with running(tmp_path) as other:
        given = {"channel": "telegram", "phone": "628110000790"}
        await broken(other, {"outage": "503"})
        status, answer = await ask(other, "POST", "/v1/contacts/links", given)
        assert (status, answer["code"]) == (503, "platform_unavailable")
        await broken(other, {})
        await done(other, "POST", "/v1/contacts/links", given)
        await broken(other, {"outage": "503"})
        await done(other, "POST", "/v1/contacts/links", given)


async def broken(gateway: Running, profile: dict[str, Any]) -> None:
    async with aiohttp.request("PUT", f"{gateway.sandbox.url}/sandbox/faults/telegram", json=profile) as response:
        assert response.status == 200, await response.text()


# --- erasing ----------------------------------------------------------------------------------------------------------


async def test_a_person_is_erased_with_what_was_said_and_the_answer_counts_it(tmp_path):
    async with running(tmp_path) as gateway:
        chat = ANIS_CHAT
        seen = len(await events(gateway))
        await act(gateway, "telegram", chat, do="text", text="a secret of Ani")
        await until_events(gateway, seen)
        tids = []
        for recipient in (f"tg:{chat}", ANI.phone):
            _, _, answer = await gateway.send("telegram", body(recipient=recipient))
            tids.append(answer["data"]["tid"])
            await gateway.until(tids[-1], 1)
        _, _, answer = await gateway.send("telegram", body(recipient=ANI.phone, send_at=NEVER))
        waiting = answer["data"]["tid"]
        _, _, answer = await gateway.send("telegram", body(recipient=BUDI.phone))
        other = answer["data"]["tid"]
        await gateway.until(other, 1)
        erased = await done(gateway, "DELETE", f"/v1/contacts/telegram/{chat}")
        expected = {"channel": "telegram", "account": "demo-tg", "address": chat, "contact": True, "messages": 3}
        assert expected.items() <= erased.items()
        assert erased["cancelled"] == 1
        assert erased["events"] >= 1
        assert (await refused(gateway, "GET", f"/v1/contacts/telegram/{chat}"))[0] == 404
        assert "a secret of Ani" not in str(await events(gateway))
        for tid in (*tids, waiting):
            message = await gateway.message(tid)
            assert (message["recipient"], message["address"]) == ("", "")
        assert (await gateway.message(waiting))["status"] == -1
        assert (await gateway.message(other))["recipient"] == BUDI.phone
        again = await done(gateway, "DELETE", f"/v1/contacts/telegram/{chat}")
        assert {again[name] for name in ("messages", "cancelled", "events")} == {0}
        assert again["contact"] is False


async def test_while_a_message_is_being_sent_nothing_is_erased(tmp_path):
    async with running(tmp_path) as gateway:
        await broken(gateway, {"latency": 2.0})
        _, _, answer = await gateway.send("telegram", body(recipient=ANI.phone))
        tid = answer["data"]["tid"]
        async with asyncio.timeout(5):
            while True:
                if (await gateway.message(tid))["reason"]["code"] == "sending":
                    break
                await asyncio.sleep(0.02)
        async with gateway.session.delete(f"{gateway.url}/v1/contacts/telegram/{ANIS_CHAT}") as response:
            told = await response.json(content_type=None)
            assert (response.status, told["code"]) == (409, "person_in_use")
            assert response.headers["Retry-After"] == "5"
        assert await done(gateway, "GET", f"/v1/contacts/telegram/{ANIS_CHAT}")
        await gateway.until(tid, 1)
        assert (await done(gateway, "DELETE", f"/v1/contacts/telegram/{ANIS_CHAT}"))["messages"] == 1
