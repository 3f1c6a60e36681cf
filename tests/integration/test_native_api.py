"""The native API, the preview, who a recipient is, every route's guard, and the reference that describes it all."""

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urljoin

import aiohttp
import jsonschema_rs
import pytest
import pytest_asyncio
import schemathesis

from kurir import channels, demo
from kurir.administration.accounts import NewAccount
from kurir.auth import FailureLimiter
from kurir.http.console.route import ConsoleRoute
from kurir.http.models import SAMPLE
from kurir.sandbox.config import DEMO_LINE, DEMO_MESSENGER, DEMO_PEOPLE, DEMO_TELEGRAM, DEMO_WHATSAPP
from kurir.store.base import ContactRecord
from kurir.store.inbound import Unread
from support.bodies import ANI, BUDI, TYPES, body, changed, new_id
from support.seed_sample import ANNOTATED, sample
from support.servers import PASSWORD, Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHANNELS = tuple(demo.ACCOUNTS)
OTHER_PASSWORD = "another long password"
OTHER = {"Auth-username": "other", "Auth-password": OTHER_PASSWORD}
ADMIN_TOKEN = "an administrator's token"
ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
NEVER = "8999-12-31T23:59:59Z"
UNLINKED = "6289999999999"
USER = "U" + "0c" * 16


def add_a_client_of_indonesia(document: dict[str, Any]) -> None:
    """A second client whose phones may begin with 0, with a LINE account of its own."""
    account = {**document["clients"]["demo"]["accounts"][2], "id": "other-line"}
    document["clients"]["other"] = {
        "username": "other",
        "password": OTHER_PASSWORD,
        "default_region": "ID",
        "accounts": [account],
    }
    document["admin_token"] = ADMIN_TOKEN


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory):
    async with running(tmp_path_factory.mktemp("gateway"), edit=add_a_client_of_indonesia) as started:
        yield started


@asynccontextmanager
async def asked(gateway: Running, method: str, path: str, **more: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    """Make a request as the demo client; ``login`` replaces its credentials."""
    login = more.pop("login", {"Auth-username": demo.CLIENT, "Auth-password": PASSWORD})
    headers = {**login, **more.pop("headers", {})}
    async with aiohttp.request(method, gateway.url + path, headers=headers, **more) as response:
        yield response


async def get(gateway: Running, path: str, **more: Any) -> tuple[int, Any]:
    async with asked(gateway, "GET", path, **more) as response:
        return response.status, await response.json(content_type=None)


async def put(gateway: Running, path: str, given: Any, **more: Any) -> tuple[int, Any]:
    async with asked(gateway, "PUT", path, json=given, **more) as response:
        return response.status, await response.json(content_type=None)


async def preview(gateway: Running, channel: str, given: Any) -> Any:
    async with asked(gateway, "POST", f"/{channel}/preview/demo", json=given) as response:
        answer = await response.json()
        assert response.status == 200, answer
        return answer["data"]


def problems(answer: Any) -> set[tuple[str, str]]:
    return {(item["pointer"], item["code"]) for item in answer["errors"]}


async def ended(gateway: Running, channel: str, recipient: str, login: Any = None, **top: Any) -> Any:
    """Send to *recipient* and return the message once it has left the queue."""
    client, more = ("other", {"login": login}) if login else ("demo", {})
    given = body(recipient=recipient, **top)
    async with asked(gateway, "POST", f"/{channel}/send/{client}", json=given, **more) as response:
        answer = await response.json()
        assert response.status == 200, answer
    async with asyncio.timeout(20):
        while True:
            _, found = await get(gateway, f"/v1/messages/{answer['data']['tid']}", **more)
            message = found["data"]
            if message["status"] != 0 or any(part["provider_message_ids"] for part in message["parts"]):
                return message
            await asyncio.sleep(0.02)


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stored(gateway):
    """Twelve messages, newest last: three to each channel, one of them to nobody that is linked."""
    found = []
    for number, channel in itertools.product(range(3), CHANNELS):
        recipient = f"{UNLINKED[:-1]}{number}" if number == 2 else (ANI, BUDI)[number]
        message = await ended(gateway, channel, recipient, id=f"stored-{number}")
        # What a platform still tells of it must not change the lists while they are read.
        ends = 3 if channel in ("whatsapp", "messenger") and number < 2 else message["status"]
        await gateway.until(message["tid"], ends)
        found.append({name: message[name] for name in ("tid", "channel", "recipient", "id")})
    return found


async def pages(gateway: Running, query: str, limit: int) -> list[list[Any]]:
    """Return the pages of a list, following the cursor to its end."""
    found, after = [], ""
    while True:
        status, answer = await get(gateway, f"/v1/messages?limit={limit}{query}{after}")
        assert status == 200, answer
        found.append(answer["data"])
        if answer["next"] is None:
            return found
        after = "&after=" + quote(answer["next"], safe="")


@pytest.mark.parametrize("limit", [1, 2, 5, 12, 200])
async def test_the_cursor_brings_every_message_once_newest_first(gateway, stored, limit):
    found = await pages(gateway, "", limit)
    mine = [one["tid"] for page in found for one in page if one["id"].startswith("stored-")]
    assert mine == [one["tid"] for one in reversed(stored)]
    assert all(len(page) == limit for page in found[:-1])
    assert 0 < len(found[-1]) <= limit


async def test_a_message_that_comes_meanwhile_does_not_shift_the_pages(gateway, stored):
    _, first = await get(gateway, "/v1/messages?limit=4&channel=line&id=stored-0")
    _, first = await get(gateway, "/v1/messages?limit=2&channel=telegram")
    await gateway.send("telegram", body())
    _, second = await get(gateway, f"/v1/messages?limit=2&channel=telegram&after={first['next']}")
    assert not {one["tid"] for one in first["data"]} & {one["tid"] for one in second["data"]}


@pytest.mark.parametrize(
    ("query", "keeps"),
    [
        ("&channel=line", lambda one: one["channel"] == "line"),
        ("&channel=facebook", lambda one: one["channel"] == "messenger"),
        ("&id=stored-1", lambda one: one["id"] == "stored-1"),
        (f"&recipient={ANI}", lambda one: one["recipient"] == ANI),
        ("&id=stored-0&channel=telegram", lambda one: (one["id"], one["channel"]) == ("stored-0", "telegram")),
        (f"&recipient={BUDI}&channel=whatsapp", lambda one: (one["recipient"], one["channel"]) == (BUDI, "whatsapp")),
        ("&id=nothing", lambda _: False),
    ],
)
async def test_a_filter_keeps_what_it_names_over_every_page(gateway, stored, query, keeps):
    found = [one for page in await pages(gateway, query, 2) for one in page]
    mine = [one["tid"] for one in found if one["id"].startswith("stored-")]
    assert mine == [one["tid"] for one in reversed(stored) if keeps(one)]
    assert all(keeps(one) for one in found)


@pytest.mark.parametrize("status", [-3, -2, -1, 0, 1, 2, 3])
async def test_messages_are_found_by_their_status(gateway, stored, status):
    found = [one for page in await pages(gateway, f"&status={status}", 3) for one in page]
    assert all(one["status"] == status for one in found)
    if status == -1:
        assert {one["tid"] for one in stored if one["id"] == "stored-2" and one["channel"] != "whatsapp"} <= {
            one["tid"] for one in found
        }


async def test_a_list_shows_the_same_as_the_message_without_its_parts_and_attempts(gateway, stored):
    _, listed = await get(gateway, "/v1/messages?id=stored-0&channel=line")
    (summary,) = listed["data"]
    whole = await gateway.message(summary["tid"])
    assert {name: whole[name] for name in summary} == summary
    assert set(whole) - set(summary) == {"address", "parts", "attempts", "losses", "history"}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/messages/abc%00", 404, "not_found"),
        ("/v1/messages?id=%00", 422, "invalid_parameters"),
        ("/v1/messages?recipient=6281%00", 422, "invalid_parameters"),
    ],
)
async def test_a_nul_is_in_nothing_that_can_be_looked_for(gateway, path, status, code):
    answered, answer = await get(gateway, path)
    assert (answered, answer["code"]) == (status, code)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=0", ("/limit", "out_of_range")),
        ("limit=201", ("/limit", "out_of_range")),
        ("limit=many", ("/limit", "wrong_type")),
        ("status=4", ("/status", "out_of_range")),
        ("status=read", ("/status", "wrong_type")),
        ("after=x", ("/after", "invalid_format")),
        ("after=bQ", ("/after", "invalid_format")),
        ("after=bcKy", ("/after", "invalid_format")),
        (f"recipient={'9' * 257}", ("/recipient", "too_long")),
    ],
)
async def test_a_wrong_query_is_named(gateway, query, expected):
    status, answer = await get(gateway, f"/v1/messages?{query}")
    assert (status, answer["code"], problems(answer)) == (422, "invalid_parameters", {expected})


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/contacts"])
async def test_a_list_of_a_channel_that_is_none_is_not_found(gateway, path):
    status, answer = await get(gateway, f"{path}?channel=pigeon")
    assert (status, answer["code"]) == (404, "unknown_channel")


def without_line(document: dict[str, Any]) -> None:
    """Take the LINE account out of the configuration."""
    accounts = document["clients"]["demo"]["accounts"]
    accounts[:] = [account for account in accounts if account["id"] != "demo-line"]


async def test_a_message_whose_account_left_the_configuration_says_so(tmp_path):
    async with running(tmp_path) as before:
        _, _, answer = await before.send("line", body(send_at=NEVER))
        tid = answer["data"]["tid"]
        assert (await before.message(tid))["reason"]["code"] == "scheduled"
    async with running(tmp_path, edit=without_line) as after:
        message = await after.message(tid)
        assert (message["status"], message["reason"]["code"]) == (0, "account_disabled")
        assert "demo-line" in message["reason"]["detail"]
        _, listed = await get(after, "/v1/messages")
        assert [one["reason"] for one in listed["data"]] == [message["reason"]]


async def test_another_clients_message_is_not_there(gateway, stored):
    tid = stored[0]["tid"]
    theirs, nothing = (
        await get(gateway, f"/v1/messages/{tid}", login=OTHER),
        await get(gateway, f"/v1/messages/{tid[:-1]}x", login=OTHER),
    )
    for status, answer in (theirs, nothing):
        answer.pop("instance")
        assert (status, answer["code"]) == (404, "not_found")
    assert theirs == nothing
    _, listed = await get(gateway, "/v1/messages?id=stored-0", login=OTHER)
    assert listed == {"data": [], "next": None}


# --- cancel and retry -------------------------------------------------------------------------------------------------


async def turn(gateway: Running, tid: str, verb: str) -> tuple[int, Any]:
    async with asked(gateway, "POST", f"/v1/messages/{tid}/{verb}") as response:
        return response.status, await response.json(content_type=None)


async def fault(gateway: Running, channel: str, **profile: Any) -> None:
    """Let something go wrong on an emulated platform."""
    url = f"{gateway.sandbox.url}/sandbox/faults/{channel}"
    async with aiohttp.request("PUT", url, json=profile) as response:
        assert response.status == 200, await response.text()


async def waits(gateway: Running, tid: str, code: str) -> Any:
    """Return the message as soon as it waits for the reason *code*."""
    async with asyncio.timeout(15):
        while True:
            message = await gateway.message(tid)
            if message["reason"] is not None and message["reason"]["code"] == code:
                return message
            await asyncio.sleep(0.02)


async def new(gateway: Running, channel: str = "line", **more: Any) -> str:
    status, _, answer = await gateway.send(channel, body(**more))
    assert status == 200, answer
    return str(answer["data"]["tid"])


async def test_a_message_that_waits_is_cancelled_once(gateway):
    tid = await new(gateway, send_at=NEVER)
    status, answer = await turn(gateway, tid, "cancel")
    assert status == 200
    assert answer["data"] == await gateway.message(tid)
    assert (answer["data"]["status"], answer["data"]["final"], answer["data"]["reason"]) == (-1, True, None)
    assert answer["data"]["error"]["code"] == "cancelled"
    status, answer = await turn(gateway, tid, "cancel")
    assert (status, answer["code"]) == (409, "already_ended")
    assert answer["detail"] == "it ended with the status -1 (unsent): the client cancelled it before it was sent"


async def test_what_was_sent_is_not_cancelled(gateway):
    tid = await new(gateway)
    await gateway.until(tid, 1)
    status, answer = await turn(gateway, tid, "cancel")
    assert (status, answer["code"]) == (409, "already_ended")
    assert answer["detail"] == "the platform has it; its status is 1 (sent)"


async def test_a_message_under_way_says_so_and_is_not_cancelled(tmp_path):
    async with running(tmp_path) as gateway:
        await fault(gateway, "line", latency=3.0)
        tid = await new(gateway)
        message = await waits(gateway, tid, "sending")
        assert message["reason"]["detail"].startswith("it was handed to the platform at 2")
        status, answer = await turn(gateway, tid, "cancel")
        assert (status, answer["code"]) == (409, "already_partly_sent")
        assert (await gateway.until(tid, 1))["status"] == 1


async def test_what_a_stopped_account_could_not_send_is_cancelled_although_it_was_called(tmp_path):
    async with running(tmp_path, edit=add_a_client_of_indonesia) as gateway:
        await fault(gateway, "line", expired_token=True)
        tid = await new(gateway)
        await waits(gateway, tid, "account_credentials")
        status, answer = await turn(gateway, tid, "cancel")
        assert (status, answer["data"]["status"], answer["data"]["error"]["code"]) == (200, -1, "cancelled")
        assert {one["status"] for one in answer["data"]["attempts"]} == {401}
        await fault(gateway, "line")
        async with asked(gateway, "POST", "/v1/admin/accounts/demo-line/resume", login=ADMIN) as response:
            assert response.status == 200
        await gateway.until(await new(gateway), 1)
        assert (await gateway.message(tid))["status"] == -1, "and nothing of it is sent when the account works again"


async def test_a_failed_message_is_sent_again_in_a_new_run(gateway):
    tid = (await ended(gateway, "line", "628110000111"))["tid"]
    link = {"phone": "628110000111"}
    await put(gateway, f"/v1/contacts/line/{DEMO_PEOPLE[0].line_user_id}", link)
    status, answer = await turn(gateway, tid, "retry")
    assert (status, answer["data"]["run"], answer["data"]["error"]) == (200, 2, None)
    message = await gateway.until(tid, 1)
    assert [(one["run"], one["outcome"], one["counted"]) for one in message["attempts"]] == [(2, "sent", True)]
    assert [change["status"] for change in message["history"]] == [-1, 0, 1]
    status, answer = await turn(gateway, tid, "retry")
    assert (status, answer["code"]) == (409, "not_failed")
    assert answer["detail"] == "its status is 1 (sent); only a message with a status below 0 is retried"
    await put(gateway, f"/v1/contacts/line/{DEMO_PEOPLE[0].line_user_id}", {"phone": DEMO_PEOPLE[0].phone})


async def test_a_message_that_waits_is_not_retried(gateway):
    tid = await new(gateway, send_at=NEVER)
    status, answer = await turn(gateway, tid, "retry")
    assert (status, answer["code"]) == (409, "not_failed")
    await turn(gateway, tid, "cancel")


@pytest.mark.parametrize("verb", ["cancel", "retry"])
async def test_of_another_client_and_of_nobody_there_is_nothing_to_cancel_or_retry(gateway, verb):
    tid = await new(gateway, send_at=NEVER)
    for path in (tid, "none"):
        async with asked(gateway, "POST", f"/v1/messages/{path}/{verb}", login=OTHER) as response:
            assert (response.status, (await response.json(content_type=None))["code"]) == (404, "not_found")
    assert (await gateway.message(tid))["reason"]["code"] == "scheduled"
    await turn(gateway, tid, "cancel")


async def test_a_retry_of_a_message_whose_account_is_gone_waits_and_says_why(tmp_path):
    async with running(tmp_path) as before:
        tid = (await ended(before, "line", UNLINKED))["tid"]
    async with running(tmp_path, edit=without_line) as after:
        status, answer = await turn(after, tid, "retry")
        assert (status, answer["data"]["status"]) == (200, 0)
        assert answer["data"]["reason"]["code"] == "account_disabled"


# --- why it waits -----------------------------------------------------------------------------------------------------


async def test_what_goes_before_a_message_is_named_with_its_own_reason(tmp_path):
    async with running(tmp_path) as gateway:
        await fault(gateway, "telegram", errors=1.0, error="500")
        first = await new(gateway, "telegram")
        held = await waits(gateway, first, "platform_unavailable")
        second, third = await new(gateway, "telegram"), await new(gateway, "telegram")
        message = await waits(gateway, third, "waiting_for_lane")
        begins = f"2 messages to the same recipient go before it; the first is {first}"
        assert message["reason"]["detail"].startswith(begins)
        assert held["attempts"][0]["outcome"] == "retry"
        _, listed = await get(gateway, "/v1/messages")
        assert [one["tid"] for one in listed["data"]] == [third, second, first]
        assert listed["data"][0]["reason"]["code"] == "queued", "a list asks for no lane"
        await turn(gateway, second, "cancel")
        message = await waits(gateway, third, "waiting_for_lane")
        assert message["reason"]["detail"].startswith("1 message to the same recipient goes before it")


async def test_priority_and_the_time_asked_for_are_shown(gateway):
    tid = await new(gateway, send_at="8999-12-31T23:59:59+07:00", priority="bulk")
    message = await gateway.message(tid)
    assert (message["priority"], message["send_at"]) == ("bulk", "8999-12-31T16:59:59Z")
    assert message["waiting_until"] == message["send_at"]
    await turn(gateway, tid, "cancel")
    plain = await gateway.message(await new(gateway))
    assert (plain["priority"], plain["send_at"]) == ("normal", None)


# --- contacts ---------------------------------------------------------------------------------------------------------


async def test_a_phone_is_linked_looked_up_and_moves_to_the_newest_address(gateway):
    status, answer = await put(gateway, "/v1/contacts/telegram/500100", {"phone": "+62 811-0000-001", "name": "Cici"})
    assert status == 200
    expected = {
        "channel": "telegram",
        "account": "demo-tg",
        "address": "500100",
        "phone": "628110000001",
        "name": "Cici",
    }
    assert {name: answer["data"][name] for name in expected} == expected
    assert answer["data"]["last_inbound_at"] is None
    assert answer["data"]["linked_at"].endswith("Z")
    _, found = await get(gateway, "/v1/contacts?phone=%2B628110000001&channel=telegram")
    assert found == {"data": [answer["data"]], "next": None}
    await put(gateway, "/v1/contacts/telegram/tg:500200", {"phone": "628110000001"})
    _, found = await get(gateway, "/v1/contacts?phone=628110000001")
    assert [(one["address"], one["phone"]) for one in found["data"]] == [("500200", "628110000001")]
    _, found = await get(gateway, "/v1/contacts?channel=telegram")
    assert {one["address"]: (one["phone"], one["name"]) for one in found["data"]}["500100"] == ("", "Cici")


async def test_a_message_to_a_phone_follows_it_to_its_new_address(gateway):
    for address in ("7001", "1001", "7001"):
        await put(gateway, f"/v1/contacts/telegram/{address}", {"phone": "628110000077"})
        assert (await ended(gateway, "telegram", "628110000077"))["address"] == address
    for person in DEMO_PEOPLE:
        await put(gateway, f"/v1/contacts/telegram/{person.telegram_chat_id}", {"phone": person.phone})


async def test_the_facebook_alias_and_explicit_addresses_work_in_contacts(gateway):
    status, answer = await put(gateway, "/v1/contacts/facebook/psid:24312345678900001", {"phone": "628110000002"})
    assert (status, answer["data"]["channel"], answer["data"]["address"]) == (200, "messenger", "24312345678900001")
    status, answer = await put(gateway, f"/v1/contacts/line/{USER}", {"phone": "628yyyyyyy", "account": "demo-line"})
    assert (status, problems(answer)) == (422, {("/phone", "invalid_recipient")})
    status, answer = await put(gateway, f"/v1/contacts/line/{USER}", {"phone": "628xxx00001", "account": "demo-line"})
    assert (status, answer["data"]["phone"]) == (200, "628xxx00001")


async def test_a_phone_that_begins_with_0_is_read_by_the_clients_region(gateway):
    path = "/v1/contacts/line/" + "U" + "0d" * 16
    status, answer = await put(gateway, path, {"phone": "0811-0000-003"}, login=OTHER)
    assert (status, answer["data"]["phone"], answer["data"]["account"]) == (200, "628110000003", "other-line")
    status, found = await get(gateway, "/v1/contacts?phone=08110000003", login=OTHER)
    assert (status, len(found["data"])) == (200, 1)
    status, answer = await put(gateway, path, {"phone": "08110000003"})
    assert (status, problems(answer)) == (422, {("/phone", "invalid_recipient")})
    status, answer = await get(gateway, "/v1/contacts?phone=08110000003")
    assert (status, problems(answer)) == (422, {("/phone", "invalid_recipient")})


@pytest.mark.parametrize(
    ("path", "given", "expected"),
    [
        ("telegram/500300", {}, {("/phone", "missing")}),
        ("telegram/500300", {"phone": 5}, {("/phone", "wrong_type")}),
        ("telegram/500300", {"phone": "x", "name": 5}, {("/name", "wrong_type")}),
        ("telegram/500300", {"phone": "12"}, {("/phone", "invalid_recipient")}),
        ("telegram/500300", {"phone": "tg:1001"}, {("/phone", "invalid_recipient")}),
        ("telegram/500300", [], {("", "wrong_type")}),
        ("telegram/500300", {"phone": "628110000009", "account": "nobody"}, {("/account", "unknown_account")}),
        ("telegram/500300", {"phone": "628110000009", "account": "demo-line"}, {("/account", "unknown_account")}),
        ("telegram/500300", {"phone": "628110000009", "account": "other-line"}, {("/account", "unknown_account")}),
        ("telegram/nobody", {"phone": "628110000009"}, {("", "invalid_recipient")}),
        ("telegram/line:" + USER, {"phone": "628110000009"}, {("", "invalid_recipient")}),
        (
            "line/nobody",
            {"phone": "1", "account": "x"},
            {("", "invalid_recipient"), ("/phone", "invalid_recipient"), ("/account", "unknown_account")},
        ),
    ],
)
async def test_a_contact_that_cannot_be_linked_is_told_everything_that_is_wrong(gateway, path, given, expected):
    status, answer = await put(gateway, f"/v1/contacts/{path}", given)
    assert (status, answer["code"], problems(answer)) == (422, "invalid_parameters", expected)
    _, found = await get(gateway, "/v1/contacts?phone=628110000009")
    assert found["data"] == []


async def test_a_contact_on_no_channel_is_not_found(gateway):
    assert (await put(gateway, "/v1/contacts/pigeon/1", {"phone": "628110000001"}))[0] == 404
    assert (await get(gateway, "/v1/contacts?channel=pigeon"))[0] == 404


# --- preview ----------------------------------------------------------------------------------------------------------

#: What may differ between a preview and the send: the tid and what is made of it, and the length of a sound, which only a
#: send measures.
_TID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def without_tids(call: Any) -> Any:
    comparable = json.loads(_TID.sub("<tid>", json.dumps(call)))
    for message in comparable["json"].get("messages", []):
        if message.get("type") == "audio":
            message["duration"] = 0
    return comparable


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("channel", CHANNELS)
async def test_what_the_preview_shows_is_what_is_sent(gateway, channel, kind):
    given = demo.example(kind, new_id("preview"))
    shown = await preview(gateway, channel, given)
    assert await get(gateway, f"/v1/messages?id={given['id']}") == (200, {"data": [], "next": None})
    _, _, answer = await gateway.send(channel, given)
    message = await gateway.until(answer["data"]["tid"], 1, seconds=20)
    sent = [attempt["request"] for attempt in message["attempts"]]
    assert [without_tids(call) for call in sent] == [without_tids(call) for call in shown["parts"]]
    assert message["losses"] == shown["losses"]


@pytest.mark.parametrize("channel", CHANNELS)
async def test_a_recipient_without_address_is_still_rendered(gateway, channel):
    shown = await preview(gateway, channel, body(recipient=UNLINKED))
    assert len(shown["parts"]) == 1
    text = json.dumps(shown["parts"][0]["json"])
    if channel == "whatsapp":
        assert shown["losses"] == []
        assert UNLINKED in text
    else:
        (loss,) = shown["losses"]
        assert (loss["pointer"], loss["kind"]) == ("/recipient", "recipient_not_linked")
        assert f"PUT /v1/contacts/{channel}/" in loss["detail"]
        assert UNLINKED not in text
        where = shown["parts"][0]["json"]
        assert (where.get("to"), where.get("chat_id"), where.get("recipient", {}).get("id")).count("") == 1


async def test_a_preview_is_refused_like_a_send(gateway):
    for given, status in ((ANNOTATED.encode(), 400), (b"{}", 422), (b"[]", 422), (b" " * 300_000, 413)):
        answers = []
        for verb in ("send", "preview"):
            async with asked(
                gateway, "POST", f"/line/{verb}/demo", data=given, headers={"Content-Type": "application/json"}
            ) as response:
                answer = await response.json()
                answer.pop("instance")
                answers.append((response.status, answer))
        assert answers[0] == answers[1]
        assert answers[0][0] == status


# --- who a recipient is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("person", DEMO_PEOPLE, ids=lambda person: person.name)
@pytest.mark.parametrize("channel", CHANNELS)
async def test_an_explicit_address_and_the_linked_phone_reach_the_same_person(gateway, channel, person):
    prefixes = {"whatsapp": ["wa:"], "telegram": ["tg:", "TG:"], "line": ["line:"], "messenger": ["fb:", "psid:"]}[
        channel
    ]
    address = person.address(channel)
    bare = [address] if channel in ("line", "messenger") else []
    # On WhatsApp the first answer teaches how the number is spelt there, and all that follows is sent to that spelling.
    stands = person.wa_id if channel == "whatsapp" else address
    assert (await ended(gateway, channel, prefixes[0] + address))["address"] in (address, stands)
    for recipient in (*(prefix + address for prefix in prefixes), *bare, person.phone, "+" + person.phone):
        assert (await ended(gateway, channel, recipient))["address"] == stands, recipient


@pytest.mark.parametrize("channel", CHANNELS)
async def test_the_prefix_of_another_channel_is_refused(gateway, channel):
    for other in set(CHANNELS) - {channel}:
        prefix = {"whatsapp": "wa", "telegram": "tg", "line": "line", "messenger": "fb"}[other]
        status, _, answer = await gateway.send(channel, body(recipient=f"{prefix}:{DEMO_PEOPLE[1].address(other)}"))
        assert (status, problems(answer)) == (422, {("/recipient", "invalid_recipient")})


@pytest.mark.parametrize("channel", ["telegram", "line", "messenger"])
async def test_a_phone_that_nobody_linked_is_unsent_and_says_how_to_link(gateway, channel):
    message = await ended(gateway, channel, UNLINKED)
    assert (message["status"], message["final"], message["attempts"]) == (-1, True, [])
    assert message["error"]["code"] == "recipient_not_linked"
    assert f"PUT /v1/contacts/{channel}/" in message["error"]["detail"]
    prefix = {"telegram": "tg:", "line": "line:", "messenger": "fb:"}[channel]
    assert prefix in message["error"]["detail"]
    assert UNLINKED not in message["error"]["detail"]


async def test_on_whatsapp_the_phone_is_the_address(gateway):
    message = await ended(gateway, "whatsapp", "+62 899-9999-9998")
    assert message["address"] == "6289999999998"
    assert message["attempts"][0]["request"]["json"]["to"].lstrip("+") == "6289999999998"


async def test_digits_that_were_only_linked_by_hand_are_never_guessed_to_be_a_chat(gateway):
    await put(gateway, "/v1/contacts/telegram/5001234", {"phone": "628110000044"})
    message = await ended(gateway, "telegram", "5001234")
    assert (message["status"], message["error"]["code"]) == (-1, "recipient_not_linked")


async def test_digits_that_the_bot_has_heard_from_are_a_chat_unless_they_are_a_phone_too(gateway):
    store, now = gateway.gateway.store, gateway.gateway.clock.now()
    await store.put_contact(ContactRecord("demo", "demo-tg", "telegram", "7654321", last_inbound_at=now), now)
    assert (await ended(gateway, "telegram", "7654321"))["address"] == "7654321"
    await put(gateway, "/v1/contacts/telegram/1001", {"phone": "7654321"})
    message = await ended(gateway, "telegram", "7654321")
    assert (message["status"], message["error"]["code"]) == (-1, "recipient_ambiguous")
    assert "tg:7654321" in message["error"]["detail"]
    assert "tg:1001" in message["error"]["detail"]
    assert (await preview(gateway, "telegram", body(recipient="7654321")))["losses"][0]["kind"] == "recipient_ambiguous"
    assert (await ended(gateway, "telegram", "tg:7654321"))["address"] == "7654321"
    await put(gateway, "/v1/contacts/telegram/7654321", {"phone": "7654321"})
    assert (await ended(gateway, "telegram", "7654321"))["address"] == "7654321"
    await put(gateway, "/v1/contacts/telegram/1001", {"phone": BUDI})


async def test_a_phone_with_0_is_resolved_by_the_clients_region(gateway):
    address = DEMO_PEOPLE[1].line_user_id
    await put(gateway, f"/v1/contacts/line/{address}", {"phone": "0812-3456-7890"}, login=OTHER)
    message = await ended(gateway, "line", "081234567890", login=OTHER)
    assert (message["status"], message["address"]) == (1, address)
    status, _, answer = await gateway.send("line", body(recipient="081234567890"))
    assert (status, problems(answer)) == (422, {("/recipient", "invalid_recipient")})


# --- every route ------------------------------------------------------------------------------------------------------

#: It takes a token of its own; test_metrics_route.py has its tests.
WATCHED = {("GET", "/metrics")}
PUBLIC = {
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/static/{name}"),
    ("GET", "/errors"),
    ("GET", "/errors/{code}"),
}
#: Its permission is the signature in the path; test_inbound.py has its tests.
LINKED = {("GET", "/media/{account_id}/{position}/{number}/{until}/{signature}")}
#: Guarded by the platform's signature, or its verify token; the bare answer has no login to ask for.
SIGNED = {("POST", "/webhooks/{account_id}"): 401, ("GET", "/webhooks/{account_id}"): 403}
#: A client's routes: how a request for the demo client's own things looks.
CLIENTS: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/{channel}/send/{client_id}"): {"path": "/line/send/demo", "json": body()},
    ("POST", "/{channel}/preview/{client_id}"): {"path": "/line/preview/demo", "json": body()},
    ("GET", "/v1/messages"): {"path": "/v1/messages?id=route-walk-sent"},
    ("GET", "/v1/messages/{tid}"): {"path": "/v1/messages/{sent}"},
    ("POST", "/v1/messages/{tid}/cancel"): {"path": "/v1/messages/{waiting}/cancel"},
    ("POST", "/v1/messages/{tid}/retry"): {"path": "/v1/messages/{failed}/retry"},
    ("GET", "/v1/events"): {"path": "/v1/events?limit=1000"},
    ("GET", "/v1/events/stream"): {"path": "/v1/events/stream"},
    ("GET", "/v1/accounts/{account_id}/templates"): {"path": "/v1/accounts/demo-wa/templates"},
    ("GET", "/v1/contacts"): {"path": f"/v1/contacts?phone={ANI}"},
    ("PUT", "/v1/contacts/{channel}/{address}"): {
        "path": "/v1/contacts/line/" + USER,
        "json": {"phone": "628110000055", "account": "demo-line"},
    },
    ("GET", "/v1/contacts/{channel}/{address}"): {"path": f"/v1/contacts/line/{DEMO_PEOPLE[0].line_user_id}"},
    ("DELETE", "/v1/contacts/{channel}/{address}/phone"): {"path": "/v1/contacts/line/" + USER + "/phone"},
    ("DELETE", "/v1/contacts/{channel}/{address}"): {"path": f"/v1/contacts/line/{USER}?account=demo-line"},
    ("POST", "/v1/contacts/links"): {
        "path": "/v1/contacts/links",
        "json": {"channel": "line", "phone": "628110000055", "account": "demo-line"},
    },
}


#: The administrator's routes: a path that answers 200.
ADMINISTRATION = {
    ("GET", "/v1/admin/accounts"): "/v1/admin/accounts",
    ("GET", "/v1/admin/accounts/{account_id}"): "/v1/admin/accounts/demo-line",
    ("POST", "/v1/admin/accounts/{account_id}/pause"): "/v1/admin/accounts/other-line/pause",
    ("POST", "/v1/admin/accounts/{account_id}/resume"): "/v1/admin/accounts/other-line/resume",
    ("GET", "/v1/admin/accounts/{account_id}/connection"): "/v1/admin/accounts/demo-line/connection",
    ("POST", "/v1/admin/accounts/{account_id}/check"): "/v1/admin/accounts/demo-tg/check",
    ("POST", "/v1/admin/accounts/{account_id}/connect"): "/v1/admin/accounts/demo-tg/connect",
    ("GET", "/v1/admin/accounts/{account_id}/templates"): "/v1/admin/accounts/demo-wa/templates",
    ("POST", "/v1/admin/accounts/{account_id}/templates/sync"): "/v1/admin/accounts/demo-wa/templates/sync",
    ("POST", "/v1/admin/accounts"): "/v1/admin/accounts",
    ("GET", "/v1/admin/accounts/{account_id}/settings"): "/v1/admin/accounts/demo-line/settings",
    ("PATCH", "/v1/admin/accounts/{account_id}"): "/v1/admin/accounts/{made}",
    ("POST", "/v1/admin/accounts/{account_id}/disable"): "/v1/admin/accounts/{made}/disable",
    ("POST", "/v1/admin/accounts/{account_id}/enable"): "/v1/admin/accounts/{made}/enable",
    ("GET", "/v1/admin/clients"): "/v1/admin/clients",
    ("POST", "/v1/admin/clients"): "/v1/admin/clients",
    ("GET", "/v1/admin/clients/{client_id}"): "/v1/admin/clients/demo",
    ("PATCH", "/v1/admin/clients/{client_id}"): "/v1/admin/clients/{shop}",
    ("POST", "/v1/admin/clients/{client_id}/rotate-password"): "/v1/admin/clients/{shop}/rotate-password",
    ("POST", "/v1/admin/clients/{client_id}/disable"): "/v1/admin/clients/{shop}/disable",
    ("POST", "/v1/admin/clients/{client_id}/enable"): "/v1/admin/clients/{shop}/enable",
    ("GET", "/v1/admin/nodes"): "/v1/admin/nodes",
    ("GET", "/v1/admin/doctor"): "/v1/admin/doctor",
    ("GET", "/v1/admin/console/users"): "/v1/admin/console/users",
    ("POST", "/v1/admin/console/links"): "/v1/admin/console/links",
    ("GET", "/v1/admin/callbacks"): "/v1/admin/callbacks",
    ("PUT", "/v1/admin/callbacks"): "/v1/admin/callbacks",
    ("GET", "/v1/admin/callbacks/{endpoint_id}"): "/v1/admin/callbacks/{endpoint}",
    ("DELETE", "/v1/admin/callbacks/{endpoint_id}"): "/v1/admin/callbacks/{endpoint}",
    ("POST", "/v1/admin/callbacks/{endpoint_id}/pause"): "/v1/admin/callbacks/{endpoint}/pause",
    ("POST", "/v1/admin/callbacks/{endpoint_id}/resume"): "/v1/admin/callbacks/{endpoint}/resume",
    ("POST", "/v1/admin/callbacks/{endpoint_id}/rotate"): "/v1/admin/callbacks/{endpoint}/rotate",
    ("POST", "/v1/admin/callbacks/{endpoint_id}/replay"): "/v1/admin/callbacks/{endpoint}/replay",
    ("POST", "/v1/admin/callbacks/{endpoint_id}/test"): "/v1/admin/callbacks/{endpoint}/test",
    ("GET", "/v1/admin/callbacks/{endpoint_id}/deliveries"): "/v1/admin/callbacks/{endpoint}/deliveries",
    (
        "GET",
        "/v1/admin/callbacks/{endpoint_id}/deliveries/{position}",
    ): "/v1/admin/callbacks/{endpoint}/deliveries/{event}",
    ("GET", "/v1/admin/webhooks"): "/v1/admin/webhooks",
    ("GET", "/v1/admin/webhooks/{number}"): "/v1/admin/webhooks/{unread}",
    ("POST", "/v1/admin/webhooks/{number}/replay"): "/v1/admin/webhooks/{unread}/replay",
    ("DELETE", "/v1/admin/webhooks/{number}"): "/v1/admin/webhooks/{unread}",
}
#: What an administrator's route wants to be told. Nobody listens at the endpoint: what is posted there fails, and is said to.
HOOK = {"client": demo.CLIENT, "url": "https://127.0.0.1/walk", "events": ["message.status"]}
TOLD = {
    ("PUT", "/v1/admin/callbacks"): HOOK,
    ("POST", "/v1/admin/callbacks/{endpoint_id}/replay"): {"failed_only": True},
    ("POST", "/v1/admin/accounts"): {
        "client": "other",
        "channel": "line",
        "settings": {"channel_access_token": "of the walk", "channel_secret": "of the walk"},
    },
    ("PATCH", "/v1/admin/accounts/{account_id}"): {"concurrency": 2},
    ("POST", "/v1/admin/clients"): {"id": "walk"},
    ("PATCH", "/v1/admin/clients/{client_id}"): {"max_age": "1h"},
}


def routes_of(app: Any) -> Iterator[tuple[str, str]]:
    """Give (method, path) of every route, those of included routers too. The console's have a walk of their own."""
    for route in app.routes:
        if isinstance(route, ConsoleRoute):
            continue
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from routes_of(inner)
        else:
            yield from ((method, route.path) for method in route.methods if method != "HEAD")


async def test_every_route_has_a_row(gateway):
    found = set(routes_of(gateway.gateway.app))
    assert found == PUBLIC | WATCHED | LINKED | set(SIGNED) | set(CLIENTS) | set(ADMINISTRATION), (
        "a new route needs a row here"
    )


async def test_no_channel_can_be_called_as_a_path_begins(gateway):
    first = {path.split("/")[1] for _, path in routes_of(gateway.gateway.app)}
    assert {one for one in first if re.fullmatch("[a-z0-9-]+", one)} <= channels.PATHS
    assert "{channel}" in first


async def test_a_route_without_row_would_be_seen(gateway):
    """The walk sees routes of included routers: the test of the test."""
    assert ("PUT", "/v1/contacts/{channel}/{address}") in set(routes_of(gateway.gateway.app))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def walked(gateway):
    """Messages of the demo client for the routes that name one: sent, waiting for its send_at, and failed."""
    found = {}
    for name, more in {"sent": {}, "waiting": {"send_at": NEVER}, "failed": {"recipient": UNLINKED}}.items():
        _, _, answer = await gateway.send("line", body(id=f"route-walk-{name}", **more))
        found[name] = answer["data"]["tid"]
    await gateway.until(found["sent"], 1)
    await gateway.until(found["failed"], -1)
    return found


@pytest.mark.parametrize("route", list(CLIENTS), ids=" ".join)
async def test_a_clients_route_answers_nobody_else(gateway, walked, route):
    row = dict(CLIENTS[route])
    path, method = row.pop("path"), route[0]
    for name, tid in walked.items():
        path = path.replace(f"{{{name}}}", tid)
    endless = path.endswith("/stream")
    async with asked(gateway, method, path, **row) as response:
        assert response.status == 200, await response.text()
        own = "" if endless else await response.text()
    for login in ({}, {"Auth-username": "demo"}, {"Authorization": "Bearer x"}):
        async with asked(gateway, method, path, login=login, **row) as response:
            assert response.status == 401
            assert (await response.json(content_type=None))["code"] == "unauthorized"
    async with asked(gateway, method, path, login=OTHER, **row) as response:
        theirs = "" if endless else await response.text()
        if route[1].startswith("/v1/events"):  # everybody has a feed, and sees nothing of another one's
            assert response.status == 200
            ids = [{one["id"] for one in json.loads(text)["data"]} for text in (own, theirs) if text]
            assert endless or (ids[0] and not ids[0] & ids[1])
        elif route in (("GET", "/v1/messages"), ("GET", "/v1/contacts")):
            assert (response.status, json.loads(theirs)) == (200, {"data": [], "next": None})
            assert json.loads(own)["data"]
        else:
            assert response.status in (403, 404, 422), theirs
            assert not any(tid in theirs for tid in walked.values())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(gateway):
    """A client and an account that are not the configuration file's."""
    administration = gateway.gateway.app.state.administration
    shop = (await administration.clients.create("shop")).record.id
    settings = TOLD["POST", "/v1/admin/accounts"]["settings"]
    account = await administration.accounts.create(NewAccount(shop, "line", settings=settings))
    return {"made": account.id, "shop": shop}


@pytest_asyncio.fixture(loop_scope="module")
async def hooked(gateway, made):
    """A callback endpoint of the demo client, an event that was posted there and failed, and a webhook in quarantine."""
    async with asked(gateway, "PUT", "/v1/admin/callbacks", login=ADMIN, json=HOOK) as response:
        answer = await response.json()
        assert response.status == 200, answer
    await gateway.until(await new(gateway), 1)
    _, feed = await get(gateway, "/v1/events?limit=1000")
    empty = json.dumps({"destination": USER, "events": []}).encode()
    unread = Unread(demo.ACCOUNTS["line"], empty, "it was not understood before", gateway.gateway.clock.now())
    number = await gateway.gateway.store.quarantine(unread)
    return {"endpoint": answer["data"]["id"], "event": feed["data"][-1]["id"], "unread": number, **made}


@pytest.mark.parametrize("route", list(ADMINISTRATION), ids=" ".join)
async def test_an_administrators_route_answers_nobody_else(gateway, hooked, route):
    # Each route is one wrong token, and there are more routes than guesses allowed, which test_auth.py has.
    gateway.gateway.app.state.edge.administrator._limiter = FailureLimiter(gateway.gateway.clock)
    path, method = ADMINISTRATION[route].format(**hooked), route[0]
    told = {"json": TOLD[route]} if route in TOLD else {}
    async with asked(gateway, method, path, login=ADMIN, **told) as response:
        assert response.status == 200, await response.text()
    mine = {"Auth-username": demo.CLIENT, "Auth-password": PASSWORD}
    for login in ({}, mine, OTHER, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {ADMIN_TOKEN}"}):
        async with asked(gateway, method, path, login=login) as response:
            assert (response.status, (await response.json(content_type=None))["code"]) == (401, "unauthorized")
            assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("route", list(SIGNED), ids=" ".join)
async def test_a_webhook_route_lets_nobody_in_without_its_own_proof(gateway, route):
    for account in (*demo.ACCOUNTS.values(), "nobody"):
        async with asked(gateway, route[0], f"/webhooks/{account}") as response:
            assert (response.status, await response.read()) == (SIGNED[route], b"")


@pytest.mark.parametrize("route", sorted(PUBLIC), ids=" ".join)
async def test_a_public_route_needs_no_login_and_other_methods_are_refused(gateway, route):
    path = route[1].replace("{name}", "docs.js").replace("{code}", "missing")
    async with asked(gateway, "GET", path, login={}) as response:
        assert response.status == 200
        assert response.headers["Request-Id"].startswith("req_")
    async with asked(gateway, "DELETE", path, login={}) as response:
        assert (response.status, (await response.json())["code"]) == (405, "method_not_allowed")


# --- secrets ----------------------------------------------------------------------------------------------------------

SECRETS = [
    *(DEMO_WHATSAPP.access_token, DEMO_WHATSAPP.app_secret, DEMO_WHATSAPP.verify_token),
    *(DEMO_TELEGRAM.token, DEMO_TELEGRAM.token.partition(":")[2], DEMO_TELEGRAM.secret_token),
    *(DEMO_LINE.channel_access_token, DEMO_LINE.channel_secret),
    *(DEMO_MESSENGER.page_access_token, DEMO_MESSENGER.app_secret, DEMO_MESSENGER.verify_token),
    *(PASSWORD, OTHER_PASSWORD, ADMIN_TOKEN),
]


async def test_no_answer_holds_a_secret(gateway):
    texts: list[str] = []

    async def keep(method: str, path: str, **more: Any) -> Any:
        async with asked(gateway, method, path, **more) as response:
            text = await response.text()
            texts.append(text + str(response.headers))
            return text

    for channel, kind in itertools.product(CHANNELS, TYPES):
        given = demo.example(kind)
        await keep("POST", f"/{channel}/preview/demo", json=given)
        answer = json.loads(await keep("POST", f"/{channel}/send/demo", json=given))
        await gateway.until(answer["data"]["tid"], 1, seconds=20)
        whole = json.loads(await keep("GET", f"/v1/messages/{answer['data']['tid']}"))
        assert whole["data"]["attempts"], "an attempt is shown, with its request"
    for path in ("/v1/messages?limit=200", "/v1/contacts", "/readyz", "/openapi.json", "/errors", "/docs"):
        await keep("GET", path)
    for (method, _), path in ADMINISTRATION.items():
        if "callbacks" not in path:  # a new secret is shown once there, to the administrator
            await keep(method, path.replace("{unread}", "1"), login=ADMIN)
    for secret in SECRETS:
        await keep("POST", f"/line/send/{quote(secret)}", json={})
        await keep("POST", "/line/send/demo", login={"Auth-username": "demo", "Auth-password": "wrong"}, json={})
    leaks = {secret: text[:200] for secret in SECRETS for text in texts if secret in text}
    assert leaks == {}
    assert any("•••" in text or "\\u2022" in text for text in texts)


# --- the reference ----------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(gateway):
    status, found = await get(gateway, "/openapi.json", login={})
    assert status == 200
    return found


async def test_the_reference_is_valid_openapi(document):
    assert document["openapi"].startswith("3.1")
    schemathesis.openapi.from_dict(document).validate()
    for name, schema in document["components"]["schemas"].items():
        jsonschema_rs.meta.validate({**schema, "components": {}}), name


async def test_the_reference_has_every_route_of_a_client_and_says_how_to_log_in(document):
    documented = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert set(CLIENTS) <= documented
    assert set(ADMINISTRATION) <= documented
    assert documented <= set(CLIENTS) | set(ADMINISTRATION) | PUBLIC | WATCHED
    for method, path in documented:
        operation = document["paths"][path][method.lower()]
        both = [{"username": [], "password": []}, {"basic": []}]
        admin = [{"admin": []}] if (method, path) in {*ADMINISTRATION, *WATCHED} else None
        assert operation.get("security") == (both if (method, path) in CLIENTS else admin)
        assert operation["summary"]
    assert set(document["components"]["securitySchemes"]) == {"username", "password", "basic", "admin"}


def schema_of(document: Any, name: str) -> Any:
    """Return a component as a schema of its own."""
    return {"$ref": f"#/components/schemas/{name}", "components": document["components"]}


async def test_the_example_of_a_send_is_the_published_sample_and_fits_its_schema(document):
    schema = document["components"]["schemas"]["SendRequest"]
    assert schema["examples"] == [SAMPLE]
    check = jsonschema_rs.validator_for(schema_of(document, "SendRequest"))
    for kind in TYPES:
        check.validate(sample(type=kind))
        check.validate(demo.example(kind))
    assert not check.is_valid(changed(body("list"), "/body/list/sections", []))


def response_schema(document: Any, path: str, method: str, status: int) -> tuple[str, Any]:
    """Return (content type, schema) of an answer as the reference describes it."""
    ((kind, content),) = document["paths"][path][method]["responses"][str(status)]["content"].items()
    return kind, {**content["schema"], "components": document["components"]}


async def test_real_answers_are_what_the_reference_says(gateway, document, walked):
    calls = [
        ("post", "/{channel}/send/{client_id}", "/line/send/demo", {"json": body()}),
        (
            "post",
            "/{channel}/send/{client_id}",
            "/line/send/demo",
            {"json": changed(body(id="route-walk-sent"), "/body/text", "x")},
        ),
        ("post", "/{channel}/send/{client_id}", "/line/send/demo", {"json": {}}),
        (
            "post",
            "/{channel}/send/{client_id}",
            "/line/send/demo",
            {"data": b"{", "headers": {"Content-Type": "text/plain"}},
        ),
        (
            "post",
            "/{channel}/send/{client_id}",
            "/line/send/demo",
            {"data": b"{", "headers": {"Content-Type": "text/html"}},
        ),
        ("post", "/{channel}/send/{client_id}", "/line/send/other", {"json": {}}),
        ("post", "/{channel}/send/{client_id}", "/pigeon/send/demo", {"json": {}}),
        ("post", "/{channel}/send/{client_id}", "/line/send/demo", {"json": {}, "login": {}}),
        ("post", "/{channel}/preview/{client_id}", "/telegram/preview/demo", {"json": sample(type="list")}),
        ("get", "/v1/messages", "/v1/messages?limit=5", {}),
        ("get", "/v1/messages", "/v1/messages?limit=0", {}),
        ("get", "/v1/messages", "/v1/messages", {"login": {}}),
        ("get", "/v1/messages/{tid}", f"/v1/messages/{walked['sent']}", {}),
        ("get", "/v1/messages/{tid}", "/v1/messages/none", {}),
        ("post", "/v1/messages/{tid}/cancel", f"/v1/messages/{walked['sent']}/cancel", {}),
        ("post", "/v1/messages/{tid}/cancel", "/v1/messages/none/cancel", {}),
        ("post", "/v1/messages/{tid}/retry", f"/v1/messages/{walked['failed']}/retry", {}),
        ("post", "/v1/messages/{tid}/retry", f"/v1/messages/{walked['sent']}/retry", {}),
        ("get", "/v1/admin/accounts", "/v1/admin/accounts", {"login": ADMIN}),
        ("get", "/v1/admin/accounts", "/v1/admin/accounts", {}),
        ("get", "/v1/admin/accounts/{account_id}", "/v1/admin/accounts/demo-wa", {"login": ADMIN}),
        ("get", "/v1/admin/accounts/{account_id}", "/v1/admin/accounts/nobody", {"login": ADMIN}),
        ("post", "/v1/admin/accounts/{account_id}/pause", "/v1/admin/accounts/other-line/pause", {"login": ADMIN}),
        ("get", "/v1/admin/accounts", "/v1/admin/accounts", {"login": ADMIN}),
        ("post", "/v1/admin/accounts/{account_id}/resume", "/v1/admin/accounts/other-line/resume", {"login": ADMIN}),
        (
            "post",
            "/v1/admin/accounts",
            "/v1/admin/accounts",
            {"login": ADMIN, "json": TOLD["POST", "/v1/admin/accounts"]},
        ),
        ("post", "/v1/admin/accounts", "/v1/admin/accounts", {"login": ADMIN, "json": {"client": "x", "channel": "y"}}),
        ("patch", "/v1/admin/accounts/{account_id}", "/v1/admin/accounts/demo-wa", {"login": ADMIN, "json": {}}),
        ("get", "/v1/admin/accounts/{account_id}/settings", "/v1/admin/accounts/demo-wa/settings", {"login": ADMIN}),
        ("get", "/v1/admin/clients", "/v1/admin/clients", {"login": ADMIN}),
        ("post", "/v1/admin/clients", "/v1/admin/clients", {"login": ADMIN, "json": {"id": "said"}}),
        ("post", "/v1/admin/clients", "/v1/admin/clients", {"login": ADMIN, "json": {"id": "said"}}),
        ("get", "/v1/contacts", "/v1/contacts", {}),
        ("put", "/v1/contacts/{channel}/{address}", f"/v1/contacts/line/{USER}", {"json": {"phone": "628110000066"}}),
        ("put", "/v1/contacts/{channel}/{address}", "/v1/contacts/line/x", {"json": {}}),
        (
            "put",
            "/v1/contacts/{channel}/{address}",
            "/v1/contacts/line/x",
            {"data": b"{", "headers": {"Content-Type": "text/plain"}},
        ),
        ("put", "/v1/contacts/{channel}/{address}", "/v1/contacts/pigeon/x", {"json": {"phone": "628110000066"}}),
    ]
    statuses = set()
    for method, path, url, more in calls:
        async with asked(gateway, method.upper(), url, **more) as response:
            answer = await response.json(content_type=None)
            kind, schema = response_schema(document, path, method, response.status)
            assert response.headers["Content-Type"] == kind, (url, response.status)
            jsonschema_rs.validator_for(schema).validate(answer)
            statuses.add(response.status)
    assert statuses >= {200, 400, 401, 403, 404, 409, 415, 422}


_URLS = re.compile(r"""(?:src|href)=["']?([^"'> ]+)""")


async def test_the_reference_page_and_every_file_of_it_come_from_here(gateway):
    kinds = {"js": "text/javascript", "css": "text/css", "png": "image/png"}
    for page in ("/docs", "/errors", "/errors/missing"):
        async with asked(gateway, "GET", page, login={}, headers={"Accept": "text/html"}) as response:
            text, policy = await response.text(), response.headers["Content-Security-Policy"]
            assert response.headers["Content-Type"].startswith("text/html")
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in policy
        assert "://" not in policy
        assert "unsafe-eval" not in policy
        assert "script-src 'self';" in policy or "script-src" not in policy
        found = _URLS.findall(text)
        assert found
        for url in found:
            assert url.startswith("/"), url
            assert not url.startswith("//")
            async with asked(gateway, "GET", url, login={}) as response:
                assert response.status == 200, url
                if url.startswith("/static/"):
                    assert response.headers["Content-Type"].partition(";")[0] == kinds[url.rpartition(".")[2]]
                    assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "<script>" not in text
        assert "://" not in text


async def test_no_style_sheet_and_no_script_of_ours_names_another_host(gateway):
    for name in ("docs.js", "swagger-ui.css"):
        async with asked(gateway, "GET", f"/static/{name}", login={}) as response:
            text = await response.text()
        loaded = re.findall(r"""(?:@import|url\(|fetch\(|import )\s*["']?([^"')]+)""", text)
        assert [url for url in loaded if not url.startswith("data:")] == []
        if name != "swagger-ui.css":
            assert "://" not in text
    for name in ("../app.py", "..%2fapp.py", "nothing.js", "%2e%2e/app.py", ""):
        async with asked(gateway, "GET", f"/static/{name}", login={}) as response:
            assert response.status == 404


async def test_no_json_answer_refers_to_another_host(gateway, document):
    """The sandbox's own addresses in what a message was sent with are the operator's api_base, not a reference."""
    texts = [json.dumps(document)]
    for path in ("/errors", "/readyz", "/livez", "/v1/contacts", "/nowhere"):
        async with asked(gateway, "GET", path) as response:
            texts.append(await response.text())
    for text in texts:
        hosts = set(re.findall(r"https?://([^/\"\\ ,;)]+)", text))
        assert hosts == set()


async def test_the_pages_links_resolve(gateway):
    async with asked(gateway, "GET", "/errors", login={}, headers={"Accept": "text/html"}) as response:
        links = _URLS.findall(await response.text())
    assert len(links) > 40
    for link in links:
        async with asked(gateway, "GET", urljoin("/errors", link), login={}) as response:
            assert response.status == 200


async def test_the_health_of_a_running_gateway_is_good(gateway):
    assert await get(gateway, "/livez", login={}) == (200, {"status": "ok"})
    assert await get(gateway, "/readyz", login={}) == (200, {"status": "ok", "wrong": []})
