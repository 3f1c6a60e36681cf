"""The administrator's API: how accounts stand, to stop one and let it go on, and who is let in."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from kurir.auth import KNOWN_SECONDS, Administrator, Denied, Limited
from kurir.clock import FakeClock
from kurir.delivery.state import AccountState, Standing
from kurir.store.base import ErrorRecord
from support.bodies import body
from support.servers import Running, running

TOKEN = "an administrator's token"
LOGIN = {"Authorization": f"Bearer {TOKEN}"}
ACCOUNTS = ["demo-wa", "demo-tg", "demo-line", "demo-fb"]


def with_token(document: dict[str, Any]) -> None:
    document["admin_token"] = TOKEN


def with_a_wrong_platform_token(document: dict[str, Any]) -> None:
    document["admin_token"] = TOKEN
    document["clients"]["demo"]["accounts"][1]["token"] = "7001000:" + "x" * 35


def without_telegram(document: dict[str, Any]) -> None:
    document["admin_token"] = TOKEN
    accounts = document["clients"]["demo"]["accounts"]
    accounts[:] = [account for account in accounts if account["id"] != "demo-tg"]


@asynccontextmanager
async def called(
    gateway: Running, method: str, path: str, headers: dict[str, str]
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Make a request of the administrator's API with these headers alone."""
    async with aiohttp.request(method, f"{gateway.url}/v1/admin/accounts{path}", headers=headers) as response:
        yield response


async def admin(gateway: Running, method: str, path: str = "") -> tuple[int, Any]:
    async with called(gateway, method, path, LOGIN) as response:
        return response.status, await response.json(content_type=None)


async def account(gateway: Running, account_id: str) -> Any:
    status, answer = await admin(gateway, "GET", f"/{account_id}")
    assert status == 200, answer
    return answer["data"]


async def sent(gateway: Running, **more: Any) -> str:
    status, _, answer = await gateway.send("telegram", body(**more))
    assert status == 200, answer
    return str(answer["data"]["tid"])


# --- how accounts stand -------------------------------------------------------------------------------------------------


async def test_every_account_is_listed_as_it_stands_and_none_shows_a_setting(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        status, answer = await admin(gateway, "GET")
        assert (status, answer["next"]) == (200, None)
        assert [one["id"] for one in answer["data"]] == ACCOUNTS
        one = answer["data"][1]
        assert one == await account(gateway, "demo-tg")
        assert one == {
            "id": "demo-tg",
            "client": "demo",
            "channel": "telegram",
            "default": False,
            "declared": True,
            "standing": "working",
            "reason": None,
            "since": None,
            "until": None,
            "in_flight": 0,
            "window": 20,
            "concurrency": 20,
            "rate_share": 1.0,
            "quota": None,
            "node": {"id": one["node"]["id"], "host": socket.gethostname()},
            "queue": {"messages": 0, "oldest_at": None, "oldest_age_seconds": None},
        }


class Stands:
    """Delivery of which a test says how its accounts stand."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def state(self, account_id: str) -> AccountState:
        return AccountState(account_id, **self.fields)


async def test_all_that_is_known_of_an_account_is_shown(tmp_path):
    until = datetime(2026, 11, 22, 17, 0, 1, tzinfo=UTC)
    reason = ErrorRecord("platform_unavailable", "it does not answer", "503")
    stands = Stands(standing=Standing.OUT, reason=reason, until=until, in_flight=1, window=1, concurrency=20)
    async with running(tmp_path, edit=with_token) as gateway:
        gateway.gateway.app.state.operator = lambda: stands
        shown = await account(gateway, "demo-tg")
    assert shown["standing"] == "out"
    assert shown["reason"] == {
        "code": "platform_unavailable",
        "detail": "it does not answer",
        "provider_code": "503",
    }
    assert shown["until"] == "2026-11-22T17:00:01Z"
    assert (shown["in_flight"], shown["window"], shown["concurrency"]) == (1, 1, 20)


async def test_an_account_that_the_platform_stopped_says_so_and_is_tried_at_once_when_resumed(tmp_path):
    async with running(tmp_path, edit=with_a_wrong_platform_token) as gateway:
        tid = await sent(gateway)
        message = await waits(gateway, tid, "account_credentials")
        shown = await account(gateway, "demo-tg")
        assert shown["standing"] == "parked"
        assert shown["reason"] == message["reason"]
        assert shown["until"] is not None
        status, _ = await admin(gateway, "POST", "/demo-tg/resume")
        assert status == 200
        attempts = len(message["attempts"])
        await gateway_says(gateway, tid, lambda found: len(found["attempts"]) > attempts)
        assert (await waits(gateway, tid, "account_credentials"))["status"] == 0


# --- to stop an account, and let it go on ---------------------------------------------------------------------------------


async def gateway_says(gateway: Running, tid: str, condition: Any) -> Any:
    """Return the message as soon as *condition* holds for it."""
    async with asyncio.timeout(15):
        while True:
            message = await gateway.message(tid)
            if condition(message):
                return message
            await asyncio.sleep(0.02)


async def waits(gateway: Running, tid: str, code: str) -> Any:
    return await gateway_says(gateway, tid, lambda found: found["reason"] and found["reason"]["code"] == code)


async def test_a_paused_account_sends_nothing_over_a_restart_until_it_is_resumed(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        status, answer = await admin(gateway, "POST", "/demo-tg/pause")
        assert (status, answer["data"]["standing"]) == (200, "paused")
        since = answer["data"]["since"]
        assert since.endswith("Z")
        tid = await sent(gateway)
        message = await gateway.message(tid)
        assert (message["status"], message["reason"]["code"]) == (0, "account_paused")
        _, _, other = await gateway.send("line", body())
        await gateway.until(other["data"]["tid"], 1)
    async with running(tmp_path, edit=with_token) as gateway:
        shown = await account(gateway, "demo-tg")
        assert (shown["standing"], shown["since"]) == ("paused", since)
        assert shown["queue"]["messages"] == 1
        assert shown["queue"]["oldest_at"] == message["accepted_at"]
        assert shown["queue"]["oldest_age_seconds"] >= 0
        assert (await gateway.message(tid))["attempts"] == []
        status, answer = await admin(gateway, "POST", "/demo-tg/resume")
        assert (status, answer["data"]["standing"], answer["data"]["since"]) == (200, "working", None)
        await gateway.until(tid, 1)


@pytest.mark.parametrize(("verb", "standing"), [("pause", "paused"), ("resume", "working")])
async def test_to_do_it_twice_changes_nothing(tmp_path, verb, standing):
    async with running(tmp_path, edit=with_token) as gateway:
        for _ in range(2):
            status, answer = await admin(gateway, "POST", f"/demo-tg/{verb}")
            assert (status, answer["data"]["standing"]) == (200, standing)


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/pause"), ("POST", "/resume")])
async def test_an_account_that_is_not_there_is_not_found(tmp_path, method, path):
    async with running(tmp_path, edit=with_token) as gateway:
        status, answer = await admin(gateway, method, f"/nobody{path}")
        assert (status, answer["code"]) == (404, "not_found")
        assert "nobody" in answer["detail"]


async def test_an_account_that_is_not_enabled_is_shown_and_can_be_neither_paused_nor_resumed(tmp_path):
    async with running(tmp_path, edit=with_token):
        pass
    async with running(tmp_path, edit=without_telegram) as gateway:
        shown = await account(gateway, "demo-tg")
        assert (shown["standing"], shown["reason"]["code"]) == ("disabled", "account_disabled")
        for verb in ("pause", "resume"):
            status, answer = await admin(gateway, "POST", f"/demo-tg/{verb}")
            assert (status, answer["code"]) == (409, "account_not_enabled")


# --- who is let in --------------------------------------------------------------------------------------------------------


async def test_without_a_token_the_answer_is_that_to_a_wrong_one(tmp_path):
    answers = []
    for number, edit in enumerate((None, with_token)):
        (tmp_path / str(number)).mkdir()
        async with (
            running(tmp_path / str(number), edit=edit) as gateway,
            called(gateway, "GET", "", {"Authorization": "Bearer a wrong token of many characters"}) as response,
        ):
            answer = json.loads(await response.read())
            answer.pop("instance")
            answers.append((response.status, response.headers["WWW-Authenticate"], answer))
    assert answers[0] == answers[1]
    assert (answers[0][0], answers[0][2]["code"]) == (401, "unauthorized")
    assert "admin_token" in answers[0][2]["detail"]


async def test_guessing_is_bounded_and_says_when_to_come_again(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        statuses = []
        for number in range(25):
            async with called(gateway, "GET", "", {"Authorization": f"Bearer wrong {number}"}) as response:
                statuses.append(response.status)
                last = response.headers
        assert statuses == [401] * 20 + [429] * 5
        assert 1 <= int(last["Retry-After"]) <= 30
        # A client's own login is another door.
        async with gateway.session.get(f"{gateway.url}/v1/messages") as response:
            assert response.status == 200


def bearer(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {token}".encode())]


def guess(administrator: Administrator, remote: str, times: int = 20) -> None:
    for number in range(times):
        assert administrator.refusal(bearer(f"guess {number}"), remote) == Denied()
    assert isinstance(administrator.refusal(bearer("one more"), remote), Limited)


def test_where_too_many_guesses_came_from_the_right_token_is_not_looked_at_either():
    clock = FakeClock()
    administrator = Administrator(TOKEN, clock)
    guess(administrator, "192.0.2.1")
    refusal = administrator.refusal(bearer(TOKEN), "192.0.2.1")
    assert refusal == Limited(30)
    assert administrator.refusal(bearer(TOKEN), "192.0.2.2") is None
    clock.move(30)
    assert administrator.refusal(bearer(TOKEN), "192.0.2.1") is None


def test_strangers_cannot_keep_the_administrator_out_of_where_he_was_before():
    clock = FakeClock()
    administrator = Administrator(TOKEN, clock)
    assert administrator.refusal(bearer(TOKEN), "192.0.2.1") is None
    guess(administrator, "192.0.2.1")
    assert administrator.refusal(bearer(TOKEN), "192.0.2.1") is None
    assert isinstance(administrator.refusal(bearer("wrong"), "192.0.2.1"), Limited)
    clock.move(KNOWN_SECONDS)
    guess(administrator, "192.0.2.1")
    assert isinstance(administrator.refusal(bearer(TOKEN), "192.0.2.1"), Limited)


def test_the_right_token_costs_no_attempt_and_a_missing_one_neither():
    administrator = Administrator(TOKEN, FakeClock())
    for number in range(50):
        assert administrator.refusal(bearer(TOKEN), f"192.0.2.{number % 2}") is None
        assert administrator.refusal([], "192.0.2.9") == Denied()
    guess(administrator, "192.0.2.9")


def test_a_token_that_is_not_configured_cannot_be_guessed_and_is_limited_all_the_same():
    for nothing in (None, ""):
        administrator = Administrator(nothing, FakeClock())
        assert administrator.refusal(bearer("None"), "192.0.2.1") == Denied()
        guess(administrator, "192.0.2.1", 19)
