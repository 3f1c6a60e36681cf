"""Clients and accounts that are made and changed while the gateway runs: no restart, and nothing is lost by it."""

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from kurir import demo
from kurir.auth import PASSWORD_PREFIX
from support.bodies import body, new_id
from support.servers import Running, running

TOKEN = "an administrator's token"
LOGIN = {"Authorization": f"Bearer {TOKEN}"}
#: What an account that was made, or a password, may take to be true everywhere in this process, in seconds.
SOON = 2.0


def with_token(document: dict[str, Any]) -> None:
    document["admin_token"] = TOKEN


async def admin(gateway: Running, method: str, path: str, json: Any = None) -> tuple[int, Any]:
    async with aiohttp.request(method, f"{gateway.url}/v1/admin{path}", headers=LOGIN, json=json) as response:
        return response.status, await response.json(content_type=None)


async def done(gateway: Running, method: str, path: str, json: Any = None) -> Any:
    """Return what a request of the administrator gave, which must have gone well."""
    status, answer = await admin(gateway, method, path, json)
    assert status == 200, answer
    return answer["data"]


def bot(gateway: Running, **settings: Any) -> dict[str, Any]:
    """Return the body that makes an account of the sandbox's bot."""
    known = gateway.sandbox.sandbox.config.telegram
    return {
        "client": "demo",
        "channel": "telegram",
        "api_base": f"{gateway.sandbox.url}/telegram",
        "settings": {"token": known.token, "secret_token": known.secret_token} | settings,
    }


def to_ani(gateway: Running, account_id: str, **top: Any) -> dict[str, Any]:
    """Return a message to a person of the sandbox, by the address that every account of its bot knows."""
    person = gateway.sandbox.sandbox.config.people[0]
    return body(recipient=f"tg:{person.address('telegram')}", account=account_id, **top)


async def sent(gateway: Running, account_id: str, **top: Any) -> str:
    status, _, answer = await gateway.send("telegram", to_ani(gateway, account_id, **top))
    assert status == 200, answer
    return str(answer["data"]["tid"])


async def says(gateway: Running, tid: str, condition: Any, seconds: float = 15.0) -> Any:
    """Return the message as soon as *condition* holds for it."""
    async with asyncio.timeout(seconds):
        while True:
            message = await gateway.message(tid)
            if condition(message):
                return message
            await asyncio.sleep(0.02)


async def status_as(gateway: Running, username: str, password: str) -> int:
    """Return the status of a request with these credentials."""
    headers = {"Auth-username": username, "Auth-password": password}
    async with aiohttp.request("GET", f"{gateway.url}/v1/messages", headers=headers) as response:
        return response.status


async def test_an_account_that_is_made_sends_at_once_and_is_there_after_a_restart(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        began = time.monotonic()
        made = await done(gateway, "POST", "/accounts", bot(gateway) | {"id": "second-bot"})
        assert (made["id"], made["standing"], made["declared"]) == ("second-bot", "working", False)
        tid = await sent(gateway, "second-bot")
        message = await gateway.until(tid, 1, SOON)
        assert time.monotonic() - began < SOON
        assert message["account"] == "second-bot"
    async with running(tmp_path, edit=with_token) as gateway:
        # The sandbox is at another port now.
        await done(gateway, "PATCH", "/accounts/second-bot", {"api_base": bot(gateway)["api_base"]})
        await gateway.until(await sent(gateway, "second-bot"), 1)


async def test_an_account_without_an_id_gets_one_of_its_channel(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        made = [await done(gateway, "POST", "/accounts", bot(gateway)) for _ in range(2)]
        assert all(one["id"].startswith("telegram-") for one in made)
        assert len({one["id"] for one in made}) == 2


async def test_a_token_that_is_changed_mends_an_account_that_the_platform_stopped(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        wrong = bot(gateway, token="7001000:" + "x" * 35)
        await done(gateway, "POST", "/accounts", wrong | {"id": "second-bot"})
        tid = await sent(gateway, "second-bot")
        await says(gateway, tid, lambda one: one["reason"] and one["reason"]["code"] == "account_credentials")
        assert (await done(gateway, "GET", "/accounts/second-bot"))["standing"] == "parked"
        right = bot(gateway)["settings"]["token"]
        await done(gateway, "PATCH", "/accounts/second-bot", {"settings": {"token": right}})
        await gateway.until(tid, 1)
        assert (await done(gateway, "GET", "/accounts/second-bot"))["standing"] == "working"


async def test_what_is_not_named_stays_and_no_secret_is_shown(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        wanted = bot(gateway) | {"id": "second-bot", "rate": {"account": "5/s"}, "concurrency": 3}
        await done(gateway, "POST", "/accounts", wanted)
        await done(gateway, "PATCH", "/accounts/second-bot", {"rate": {"recipient": "1/2s"}, "retry": {"attempts": 4}})
        shown = await done(gateway, "GET", "/accounts/second-bot/settings")
        assert shown["rate"]["account"] == "5/s"
        assert shown["rate"]["recipient"] == "1/2s"
        assert shown["retry"] == {"attempts": 4, "first": "1s", "longest": "300s"}
        assert (shown["concurrency"], shown["settings"]) == (3, {"receive": "webhook"})
        assert sorted(shown["secrets"]) == ["secret_token", "token"]
        assert wanted["settings"]["token"] not in str(shown)
        await gateway.until(await sent(gateway, "second-bot"), 1)
        await done(gateway, "PATCH", "/accounts/second-bot", {"rate": {"account": None}, "concurrency": None})
        shown = await done(gateway, "GET", "/accounts/second-bot/settings")
        assert (shown["rate"]["account"], shown["concurrency"]) == ("30/s", 20)


async def test_an_account_that_is_switched_off_sends_nothing_until_it_is_switched_on(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        await done(gateway, "POST", "/accounts", bot(gateway) | {"id": "second-bot"})

        async def owned() -> bool:
            return (await done(gateway, "GET", "/accounts/second-bot"))["node"] is not None

        await until(owned)  # over PostgreSQL the lease is taken first
        await done(gateway, "POST", "/accounts/second-bot/pause")
        tid = await sent(gateway, "second-bot")
        assert (await done(gateway, "POST", "/accounts/second-bot/disable"))["standing"] == "disabled"
        status, _, answer = await gateway.send("telegram", to_ani(gateway, "second-bot"))
        assert (status, answer["errors"][0]["code"]) == (422, "unknown_account")
        status, answer = await admin(gateway, "POST", "/accounts/second-bot/resume")
        assert (status, answer["code"]) == (409, "account_not_enabled")
        assert (await done(gateway, "POST", "/accounts/second-bot/enable"))["standing"] == "paused"
        assert (await gateway.message(tid))["attempts"] == []
        await done(gateway, "POST", "/accounts/second-bot/resume")
        await gateway.until(tid, 1)


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"client": "nobody"}, "/client", "unsupported_value"),
        ({"channel": "telegraph"}, "/channel", "unsupported_value"),
        ({"id": "Not An Id"}, "/id", "invalid_format"),
        ({"id": "demo-tg"}, "/id", "already_taken"),
        ({"settings": {}}, "/settings/token", "missing"),
        ({"settings": {"tokn": "x"}}, "/settings/tokn", "unsupported_value"),
        ({"rate": {"account": "often"}}, "/rate/account", "invalid_format"),
        ({"concurrency": 100_000}, "/concurrency", "invalid_format"),
        ({"unknown_wait": "soon"}, "/unknown_wait", "invalid_format"),
    ],
)
async def test_what_is_wrong_with_an_account_is_told_by_the_field(tmp_path, change, pointer, code):
    async with running(tmp_path, edit=with_token) as gateway:
        status, answer = await admin(gateway, "POST", "/accounts", bot(gateway) | change)
        assert (status, answer["code"]) == (422, "invalid_parameters")
        assert (pointer, code) in [(one["pointer"], one["code"]) for one in answer["errors"]]


async def test_a_request_cannot_read_a_file_or_a_variable_of_the_gateway(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        for reference in ({"file": "/etc/hostname"}, {"env": "PATH"}):
            status, _ = await admin(gateway, "POST", "/accounts", bot(gateway, token=reference))
            assert status == 422


async def test_what_the_file_declares_is_changed_in_the_file_alone(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        for method, path, given in (
            ("PATCH", "/accounts/demo-tg", {"concurrency": 2}),
            ("POST", "/accounts/demo-tg/disable", None),
            ("PATCH", "/clients/demo", {"max_age": "1h"}),
            ("POST", "/clients/demo/rotate-password", None),
            ("POST", "/clients/demo/disable", None),
        ):
            status, answer = await admin(gateway, method, path, given)
            assert (status, answer["code"]) == (409, "configured_in_file"), path
        await done(gateway, "POST", "/accounts/demo-tg/pause")


async def test_an_account_that_the_file_no_longer_names_can_be_taken_over(tmp_path):
    def without_telegram(document: dict[str, Any]) -> None:
        with_token(document)
        accounts = document["clients"][demo.CLIENT]["accounts"]
        accounts[:] = [one for one in accounts if one["id"] != "demo-tg"]

    async with running(tmp_path, edit=with_token):
        pass
    async with running(tmp_path, edit=without_telegram) as gateway:
        await done(gateway, "PATCH", "/accounts/demo-tg", {"api_base": bot(gateway)["api_base"]})
        taken = await done(gateway, "POST", "/accounts/demo-tg/enable")
        assert (taken["standing"], taken["declared"]) == ("working", False)
        await gateway.until(await sent(gateway, "demo-tg"), 1)
        channel_default = await gateway.send("telegram", body(id=new_id()))
        assert channel_default[0] == 200


# --- clients --------------------------------------------------------------------------------------------------------------


async def test_a_client_that_is_made_is_let_in_with_the_password_that_is_shown_once(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        made = await done(gateway, "POST", "/clients", {"id": "shop", "default_region": "ID", "max_age": "2h"})
        assert made["password"].startswith(PASSWORD_PREFIX)
        assert (made["username"], made["default_region"], made["max_age"]) == ("shop", "ID", "2h")
        assert await status_as(gateway, "shop", made["password"]) == 200
        assert (await done(gateway, "GET", "/clients/shop"))["password"] is None
        assert [one["id"] for one in await done(gateway, "GET", "/clients")] == ["demo", "shop"]
        await done(gateway, "POST", "/accounts", bot(gateway) | {"client": "shop", "id": "shop-bot"})
        headers = {"Auth-username": "shop", "Auth-password": made["password"]}
        message = to_ani(gateway, "shop-bot")
        async with aiohttp.request(
            "POST", f"{gateway.url}/telegram/send/shop", headers=headers, json=message
        ) as response:
            assert response.status == 200, await response.text()
        status, _, _ = await gateway.send("telegram", to_ani(gateway, "shop-bot"))
        assert status == 422, "another client's account"


async def test_after_a_rotation_both_passwords_let_in_and_without_an_overlap_one(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        first = (await done(gateway, "POST", "/clients", {"id": "shop"}))["password"]
        assert await status_as(gateway, "shop", first) == 200
        rotated = await done(gateway, "POST", "/clients/shop/rotate-password")
        second = rotated["password"]
        assert rotated["previous_until"] is not None
        assert [await status_as(gateway, "shop", one) for one in (first, second)] == [200, 200]
        third = (await done(gateway, "POST", "/clients/shop/rotate-password", {"overlap_seconds": 0}))["password"]
        assert [await status_as(gateway, "shop", one) for one in (first, second, third)] == [401, 401, 200]


async def test_a_client_that_is_switched_off_is_not_let_in_and_its_accounts_rest(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        password = (await done(gateway, "POST", "/clients", {"id": "shop"}))["password"]
        await done(gateway, "POST", "/accounts", bot(gateway) | {"client": "shop", "id": "shop-bot"})
        assert await status_as(gateway, "shop", password) == 200
        assert (await done(gateway, "POST", "/clients/shop/disable"))["enabled"] is False
        assert await status_as(gateway, "shop", password) == 401
        assert (await done(gateway, "GET", "/accounts/shop-bot"))["standing"] == "disabled"
        await done(gateway, "POST", "/clients/shop/enable")
        assert await status_as(gateway, "shop", password) == 200
        assert (await done(gateway, "GET", "/accounts/shop-bot"))["standing"] == "working"


async def test_a_client_from_elsewhere_is_answered_as_a_wrong_password(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        password = (await done(gateway, "POST", "/clients", {"id": "shop"}))["password"]
        assert await status_as(gateway, "shop", password) == 200
        await done(gateway, "PATCH", "/clients/shop", {"allow_from": ["203.0.113.0/24"]})
        assert await status_as(gateway, "shop", password) == 401
        await done(gateway, "PATCH", "/clients/shop", {"allow_from": ["127.0.0.0/8", "::1/128"]})
        assert await status_as(gateway, "shop", password) == 200
        status, answer = await admin(gateway, "PATCH", "/clients/shop", {"allow_from": ["10.0.0.1/8"]})
        assert (status, answer["errors"][0]["pointer"]) == (422, "/allow_from/0")
        assert "10.0.0.0/8" in answer["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("given", "pointer", "code"),
    [
        ({"id": "demo"}, "/id", "already_taken"),
        ({"id": ".."}, "/id", "invalid_format"),
        ({"id": "shop", "username": "demo"}, "/username", "already_taken"),
        ({"id": "shop", "username": "a:b"}, "/username", "invalid_format"),
        ({"id": "shop", "default_region": "XX"}, "/default_region", "invalid_format"),
        ({"id": "shop", "max_age": "1y"}, "/max_age", "invalid_format"),
    ],
)
async def test_what_is_wrong_with_a_client_is_told_by_the_field(tmp_path, given, pointer, code):
    async with running(tmp_path, edit=with_token) as gateway:
        status, answer = await admin(gateway, "POST", "/clients", given)
        assert (status, answer["code"]) == (422, "invalid_parameters")
        assert [(one["pointer"], one["code"]) for one in answer["errors"]] == [(pointer, code)]


async def test_when_a_client_was_let_in_last_is_written_down_at_the_latest_when_the_gateway_stops(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        assert (await done(gateway, "GET", "/clients/demo"))["last_used_at"] is None
        tid = await sent(gateway, "demo-tg")
        await gateway.until(tid, 1)
    async with running(tmp_path, edit=with_token) as gateway:
        assert (await done(gateway, "GET", "/clients/demo"))["last_used_at"] is not None


# --- what works beside the queue ----------------------------------------------------------------------------------------


async def heard(gateway: Running, account_id: str) -> bool:
    """Return whether the account received something from a person."""
    async with gateway.session.get(f"{gateway.url}/v1/events?limit=1000") as response:
        events = [one["data"] for one in (await response.json())["data"] if one["type"] == "message.received"]
    return any(one["account"] == account_id for one in events)


async def until(true: Any, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110 - a poll costs nothing here
            await asyncio.sleep(0.05)


async def test_updates_of_an_account_are_fetched_from_when_it_is_made_until_it_wants_a_webhook(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        await done(gateway, "POST", "/accounts", bot(gateway, receive="poll") | {"id": "second-bot"})
        poller = gateway.gateway._poller
        assert poller is not None

        async def begun() -> bool:
            return poller.accounts() == {"second-bot": True}

        await until(begun)  # over PostgreSQL the lease is taken first
        person = gateway.sandbox.sandbox.config.people[0].address("telegram")
        url = f"{gateway.sandbox.url}/sandbox/phones/telegram/{person}/acts"

        # The sandbox calls the file's account until the poll, which finds a webhook, has taken that away.
        async def fetched() -> bool:
            async with gateway.session.post(url, json={"do": "text", "text": "fetched"}) as response:
                assert response.status == 200, await response.text()
            return await heard(gateway, "second-bot")

        await until(fetched)
        await done(gateway, "PATCH", "/accounts/second-bot", {"settings": {"receive": "webhook"}})

        async def nothing_is_fetched() -> bool:
            return poller.accounts() == {}

        await until(nothing_is_fetched)


async def test_an_account_begins_and_ends_to_keep_files_while_the_gateway_runs(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        keeper = gateway.gateway._media_keeper
        assert keeper is not None
        await done(gateway, "POST", "/accounts", bot(gateway) | {"id": "second-bot", "inbound_media": "keep"})

        async def kept() -> bool:
            return set(keeper._tasks) == {"second-bot"}

        await until(kept)
        assert keeper.alive()
        await done(gateway, "PATCH", "/accounts/second-bot", {"inbound_media": "stream"})

        async def streamed() -> bool:
            return not keeper._tasks

        await until(streamed)
        await gateway.until(await sent(gateway, "second-bot"), 1)
