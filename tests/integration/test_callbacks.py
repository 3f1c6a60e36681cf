"""Callbacks end to end: a gateway, the sandbox's platforms, an endpoint of a client, and the administrator's API."""

import asyncio
import base64
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from support.bodies import body
from support.endpoint import Mode, RecordingEndpoint, recording
from support.servers import Running, running

TOKEN = "an administrator's token"
LOGIN = {"Authorization": f"Bearer {TOKEN}"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def open_loopback(document: dict[str, Any]) -> None:
    document["admin_token"] = TOKEN
    document["allow_networks"] = ["127.0.0.0/8"]


async def admin(gateway: Running, method: str, path: str = "", **more: Any) -> tuple[int, Any]:
    url = f"{gateway.url}/v1/admin/callbacks{path}"
    async with aiohttp.request(method, url, headers=LOGIN, **more) as response:
        return response.status, await response.json(content_type=None)


@asynccontextmanager
async def connected(tmp_path, mode: Mode = Mode.WELL, **settings: Any):
    async with recording(mode) as hook, running(tmp_path, edit=open_loopback) as gateway:
        wanted = {"client": "demo", "url": hook.url, "secret": SECRET, **settings}
        status, answer = await admin(gateway, "PUT", json=wanted)
        assert status == 200, answer
        yield gateway, hook, answer["data"]["id"]


async def sent(gateway: Running, **more: Any) -> str:
    status, _, answer = await gateway.send("telegram", body(recipient="tg:1001", **more))
    assert status == 200, answer
    return answer["data"]["tid"]


async def until(gateway: Running, endpoint: str, **wanted: Any) -> Any:
    async with asyncio.timeout(20):
        while True:
            _, answer = await admin(gateway, "GET", f"/{endpoint}")
            if all(answer["data"][name] == value for name, value in wanted.items()):
                return answer["data"]
            await asyncio.sleep(0.05)


@pytest.mark.scorecard(22)
async def test_a_status_reaches_the_client_signed_in_the_published_shape(tmp_path):
    async with connected(tmp_path, headers={"X-Api-Key": "crm"}) as (gateway, hook, endpoint):
        tid = await sent(gateway, id="m-1")
        [one] = await hook.until(1)
        told = one.verified(SECRET)["status"]
        assert (told["tid"], told["message_id"], told["status"], told["recipient_id"]) == (tid, "m-1", 1, "tg:1001")
        assert one.headers["x-api-key"] == "crm"
        shown = await until(gateway, endpoint, pending=0, in_flight=0)
        assert (shown["standing"], shown["secret"]) == ("working", None)
        _, deliveries = await admin(gateway, "GET", f"/{endpoint}/deliveries")
        [delivery] = deliveries["data"]
        assert (delivery["state"], delivery["webhook_id"]) == ("delivered", one.headers["webhook-id"])
        _, whole = await admin(gateway, "GET", f"/{endpoint}/deliveries/{delivery['position']}")
        [attempt] = whole["data"]["attempts"]
        assert (attempt["status"], attempt["body"], attempt["error"]) == (200, "answered 200", None)


@pytest.mark.scorecard(21)
async def test_an_endpoint_that_was_down_misses_nothing_and_order_holds(tmp_path):
    async with connected(tmp_path, Mode.FAIL, dialect="standard") as (gateway, hook, endpoint):
        for number in range(4):
            await sent(gateway, id=f"m-{number}")
        failing = await until(gateway, endpoint, standing="failing", pending=4)
        assert failing["failures"] >= 1
        assert failing["reason"] == "error_status_code: 500"
        hook.mode = Mode.WELL
        before = len(hook.received)
        assert (await admin(gateway, "POST", f"/{endpoint}/resume"))[0] == 200
        calls = (await hook.until(before + 4))[before:]
        assert [one.verified(SECRET)["data"]["message_id"] for one in calls] == ["m-0", "m-1", "m-2", "m-3"]
        assert (await until(gateway, endpoint, pending=0))["standing"] == "working"


@pytest.mark.scorecard(21)
async def test_pause_keeps_resume_delivers_and_replay_repeats_with_the_same_id(tmp_path):
    async with connected(tmp_path) as (gateway, hook, endpoint):
        _, paused = await admin(gateway, "POST", f"/{endpoint}/pause")
        assert (paused["data"]["standing"], paused["data"]["reason"]) == ("paused", "paused by the operator")
        await gateway.until(await sent(gateway), 1)
        await until(gateway, endpoint, pending=1)
        assert hook.received == []
        await admin(gateway, "POST", f"/{endpoint}/resume")
        [first] = await hook.until(1)
        await until(gateway, endpoint, pending=0)
        position = int(first.headers["webhook-id"].rpartition("_")[2])
        status, answer = await admin(gateway, "POST", f"/{endpoint}/replay", json={"positions": [position]})
        assert (status, answer["data"]) == (200, {"count": 1})
        again = (await hook.until(2))[1]
        assert again.headers["webhook-id"] == first.headers["webhook-id"]


async def test_a_410_pauses_and_a_replay_has_to_say_what(tmp_path):
    async with connected(tmp_path, Mode.GONE) as (gateway, _, endpoint):
        await gateway.until(await sent(gateway), 1)
        paused = await until(gateway, endpoint, standing="paused")
        assert "410" in paused["reason"]
        assert paused["pending"] == 1
        status, answer = await admin(gateway, "POST", f"/{endpoint}/replay", json={})
        assert (status, answer["errors"][0]["code"]) == (422, "too_few")


@pytest.mark.scorecard(22)
async def test_a_rotation_signs_with_both_and_shows_the_new_secret_once(tmp_path):
    async with connected(tmp_path) as (gateway, hook, endpoint):
        _, answer = await admin(gateway, "POST", f"/{endpoint}/rotate")
        new = answer["data"]["secret"]
        assert new.startswith("whsec_")
        assert (await admin(gateway, "GET", f"/{endpoint}"))[1]["data"]["secret"] is None
        await sent(gateway)
        [one] = await hook.until(1)
        for secret in (SECRET, new):
            assert one.verified(secret)["status"]["status"] == 1
        given = "whsec_" + base64.b64encode(b"g" * 32).decode()
        wanted = {"overlap_seconds": 0, "secret": given}
        assert (await admin(gateway, "POST", f"/{endpoint}/rotate", json=wanted))[1]["data"]["secret"] is None
        _, tried = await admin(gateway, "POST", f"/{endpoint}/test")
        assert tried["data"]["status"] == 200
        assert len(hook.received[-1].headers["webhook-signature"].split()) == 1
        hook.received[-1].verified(given)


@pytest.mark.parametrize("kind", ["message.status", "message.received", "postback.received"])
async def test_a_test_posts_an_example_and_says_what_came_back(tmp_path, kind):
    async with connected(tmp_path, Mode.REFUSE) as (gateway, hook, endpoint):
        status, answer = await admin(gateway, "POST", f"/{endpoint}/test?kind={kind}")
        assert status == 200
        assert answer["data"]["error"] == {"code": "error_status_code", "detail": "400"}
        assert answer["data"]["body"] == "answered 400"
        [one] = hook.received
        assert one.headers["kurir-test"] == "true"
        assert one.verified(SECRET) == answer["data"]["sent"]
        assert (await admin(gateway, "GET", f"/{endpoint}"))[1]["data"]["standing"] == "working"


async def test_put_changes_what_is_given_and_a_secret_is_made_where_none_is(tmp_path):
    async with running(tmp_path, edit=open_loopback) as gateway:
        wanted = {"client": "demo", "url": "https://crm.example.com/hook"}
        _, made = await admin(gateway, "PUT", json=wanted)
        assert made["data"]["secret"].startswith("whsec_")
        assert (made["data"]["dialect"], made["data"]["events"]) == ("compat", ["*"])
        _, changed = await admin(gateway, "PUT", json={**wanted, "dialect": "standard", "events": ["contact.blocked"]})
        assert changed["data"]["id"] == made["data"]["id"]
        assert changed["data"]["secret"] is None
        assert changed["data"]["events"] == ["contact.blocked"]
        _, listed = await admin(gateway, "GET")
        assert [one["id"] for one in listed["data"]] == [made["data"]["id"]]
        assert (await admin(gateway, "DELETE", f"/{made['data']['id']}"))[0] == 200
        for method, path in [
            ("GET", ""),
            ("DELETE", ""),
            ("POST", "/pause"),
            ("POST", "/rotate"),
            ("POST", "/test"),
            ("GET", "/deliveries"),
        ]:
            status, answer = await admin(gateway, method, f"/{made['data']['id']}{path}")
            assert (status, answer["code"]) == (404, "not_found")


async def test_times_that_utc_has_no_year_for_are_refused(tmp_path):
    async with connected(tmp_path) as (gateway, _, endpoint):
        ends = {"since": "0001-01-01T00:00:00+01:00", "until": "9999-12-31T23:59:59-01:00"}
        status, answer = await admin(gateway, "POST", f"/{endpoint}/replay", json=ends)
        assert (status, answer["code"]) == (422, "invalid_parameters")
        found = [(one["pointer"], one["code"]) for one in answer["errors"]]
        assert found == [("/since", "out_of_range"), ("/until", "out_of_range")]
        whole = {"since": "0001-01-01T00:00:00Z", "until": "9999-12-31T23:59:59Z"}
        assert (await admin(gateway, "POST", f"/{endpoint}/replay", json=whole))[0] == 200


async def test_every_problem_of_an_endpoint_is_told_at_once(tmp_path):
    async with running(tmp_path, edit=open_loopback) as gateway:
        wanted = {
            "client": "nobody",
            "url": "ftp://x",
            "dialect": "compat",
            "events": ["contact.blocked", "nothing"],
            "secret": "short",
            "headers": {"Host": "x", "X-Bad": "a\nb"},
        }
        status, answer = await admin(gateway, "PUT", json=wanted)
        assert status == 422
        found = {one["pointer"] for one in answer["errors"]}
        assert found == {"/client", "/url", "/events/0", "/events/1", "/secret", "/headers"}
        assert "short" not in str(answer)


async def test_nobody_without_the_token_gets_at_an_endpoint(tmp_path):
    async with connected(tmp_path) as (gateway, _, endpoint):
        for method, path in [("GET", ""), ("PUT", ""), ("POST", f"/{endpoint}/rotate"), ("DELETE", f"/{endpoint}")]:
            async with aiohttp.request(method, f"{gateway.url}/v1/admin/callbacks{path}", json={}) as response:
                assert response.status == 401


@pytest.mark.scorecard(20)
async def test_a_redirect_leads_nowhere_and_a_hanging_endpoint_holds_up_no_other(tmp_path):
    async with recording() as inner, recording(Mode.HANG) as dead, connected(tmp_path, Mode.REDIRECT) as parts:
        gateway, hook, _ = parts
        hook.location = inner.url
        well: RecordingEndpoint
        async with recording() as well:
            for url in (dead.url, well.url):
                await admin(gateway, "PUT", json={"client": "demo", "url": url})
            for _ in range(3):
                await sent(gateway)
            await well.until(3)
            await hook.until(1)
            assert inner.received == []
            assert len(dead.received) == 1


async def test_a_restart_goes_on_with_what_is_owed(tmp_path):
    async with connected(tmp_path) as (gateway, hook, endpoint):
        await admin(gateway, "POST", f"/{endpoint}/pause")
        await gateway.until(await sent(gateway), 1)
        await until(gateway, endpoint, pending=1)
        url = hook.url
    assert url
    async with running(tmp_path, edit=open_loopback) as gateway:
        shown = await until(gateway, endpoint, standing="paused")
        assert shown["pending"] == 1
